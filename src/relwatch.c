/*
 * relwatch.c: one callback of the relation cache for all files that need one.
 *
 * PostgreSQL has room for ten in a session, its own and those of every library together.
 */
#include "relwatch.h"

#include "utils/inval.h"

#define WATCHERS_MOST 16

static RelationForget watchers[WATCHERS_MOST];
static int	count = 0;

static void TellWatchers(Datum arg, Oid relid);

static void
TellWatchers(Datum arg, Oid relid)
{
	for (int i = 0; i < count; i++)
		watchers[i] (arg, relid);
}

void
WatchRelations(RelationForget forget)
{
	if (count == 0)
		CacheRegisterRelcacheCallback(TellWatchers, (Datum) 0);
	if (count == WATCHERS_MOST)
		elog(ERROR, "too many files of photoflow watch relations");
	watchers[count++] = forget;
}
