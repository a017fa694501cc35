# photoflow: PGXS build. A new C file or test changes no line here.

EXTENSION = photoflow
MODULE_big = photoflow
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
DATA = $(sort $(wildcard sql/photoflow--*.sql))

# only what SQL calls is exported (PHOTOFLOW_FUNCTION marks it); every such function has a parameter that few use
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden -Isrc
SHLIB_LINK = -luuid

REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=photoflow
ISOLATION = $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=photoflow
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

# On a machine that has no server's headers yet, deps, demo, test and bench still run: they bring what is missing.
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)
else
all install uninstall installcheck:
	@echo "$(PG_CONFIG) names no PGXS: run 'make deps', or set PG_CONFIG to the pg_config of a server" >&2; exit 1

clean distclean:
	rm -rf *.so src/*.o src/*.bc results regression.diffs regression.out output_iso tmp_check log

.PHONY: all install uninstall installcheck clean distclean
endif

.PHONY: deps demo test bench

deps:
	@test/deps

demo:
	@demo/run

# all suites, or those named: make test SUITE="regress isolation"
test:
	@test/run $(SUITE)

bench:
	@bench/run
