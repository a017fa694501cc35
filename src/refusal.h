/*
 * refusal.h: why an album may not move, before it is decided whether that is raised or reported.
 */
#ifndef PHOTOFLOW_REFUSAL_H
#define PHOTOFLOW_REFUSAL_H

#include "postgres.h"

#include "compat.h"

#include "album.h"
#include "guard.h"
#include "machine.h"

typedef struct Refusal
{
	int			code;
	char	   *message;
	char	   *detail;			/* one JSON object */
	char	   *hint;
} Refusal;

extern Refusal *RefuseNotFound(const pg_uuid_t *album);
extern Refusal *RefuseDeleted(const pg_uuid_t *album);
extern Refusal *RefuseConflict(const Machine *machine, const Album *album, const char *expected);
extern Refusal *RefuseNoEdge(const Machine *machine, const Album *album, const char *trigger);
extern Refusal *RefuseRole(const Machine *machine, const Album *album, const MachineEdge *edge);
extern Refusal *RefuseGuards(const Machine *machine, const Album *album, const MachineEdge *edge, List *unmet);
extern Refusal *RefuseChange(const Machine *machine, const Album *album, int toValue);
extern Refusal *RefuseRollback(const pg_uuid_t *album, const char *why, const char *hint);
pg_noreturn extern void RefusalRaise(const Refusal *refusal);

#endif
