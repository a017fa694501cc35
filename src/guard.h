/*
 * guard.h: the conditions of an edge.
 */
#ifndef PHOTOFLOW_GUARD_H
#define PHOTOFLOW_GUARD_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "machine.h"

typedef struct UnmetGuard
{
	const char *name;
	char	   *reason;
} UnmetGuard;

extern bool GuardExists(const char *name);
extern List *GuardsUnmet(const MachineEdge *edge, const pg_uuid_t *org, const pg_uuid_t *album, bool latest);
extern char *GuardsJson(List *unmet);
extern char *GuardsReasons(List *unmet);

#endif
