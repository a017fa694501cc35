/*
 * relwatch.h: who keeps something that was worked out of a table's description hears when it changes.
 */
#ifndef PHOTOFLOW_RELWATCH_H
#define PHOTOFLOW_RELWATCH_H

#include "postgres.h"

/* relid: InvalidOid when all descriptions are forgotten */
typedef void (*RelationForget) (Datum arg, Oid relid);

extern void WatchRelations(RelationForget forget);

#endif
