-- setup.sql: the schema bench: the clock, the results, and the bounds they are held against.
CREATE EXTENSION photoflow;
SELECT photoflow.create_tables() \g /dev/null
CREATE SCHEMA bench;

-- the same for every session, those of pgbench too
ALTER DATABASE bench SET client_min_messages = warning;
ALTER DATABASE bench SET jit = off;
ALTER DATABASE bench SET max_parallel_workers_per_gather = 0;
ALTER DATABASE bench SET photoflow.events = off;
ALTER DATABASE bench SET photoflow.org_id = '00000000-0000-0000-0000-00000000000a';
ALTER DATABASE bench SET photoflow.role = 'photographer';

-- The CPU time of this backend in ns. The kernel counts at its ticks and whenever a process gives the CPU away, so it
-- does that first: the count is then good to microseconds.
CREATE FUNCTION bench.cpu() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	PERFORM pg_sleep(0.001);
	RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint;
END $$;

-- ids that can be written down, in the order of n
CREATE FUNCTION bench.uuid(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN ('00000000-0000-4000-800' || kind || '-' || lpad(n::text, 12, '0'))::uuid;

CREATE TABLE bench.results (
	"case" text, part text, variant text, round int, us numeric, wal numeric,
	position int GENERATED ALWAYS AS IDENTITY
);

-- what a variant is held against; without a bound it is for information
CREATE TABLE bench.bounds ("case" text, part text, variant text, reference text, bound numeric);

CREATE PROCEDURE bench.record("case" text, part text, variant text, round int, rows bigint, since bigint,
							  wal numeric DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
	spent bigint := bench.cpu() - since;
BEGIN
	INSERT INTO bench.results VALUES ("case", part, variant, round, spent / 1000.0 / rows, wal / rows);
END $$;

-- runs statements in one transaction and records what a row cost
CREATE PROCEDURE bench.measure("case" text, part text, variant text, round int, rows bigint, VARIADIC statements text[])
LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	wal pg_lsn;
	statement text;
BEGIN
	wal := pg_current_wal_insert_lsn();
	since := bench.cpu();
	FOREACH statement IN ARRAY statements LOOP
		EXECUTE statement;
	END LOOP;
	CALL bench.record("case", part, variant, round, rows, since, pg_current_wal_insert_lsn() - wal);
	COMMIT;
END $$;

-- what a client calls before and after a stretch of its transactions
CREATE FUNCTION bench.mark() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('bench.since', bench.cpu()::text, false);
END $$;
CREATE FUNCTION bench.marked("case" text, part text, variant text, round int, rows bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.record("case", part, variant, round, rows, current_setting('bench.since')::bigint);
END $$;
