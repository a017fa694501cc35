/*
 * transition.h: firing triggers.
 */
#ifndef PHOTOFLOW_TRANSITION_H
#define PHOTOFLOW_TRANSITION_H

#include "postgres.h"

#include "album.h"
#include "history.h"
#include "machine.h"
#include "refusal.h"

/* What became of one album. */
typedef struct Outcome
{
	Album		album;			/* as it was, locked */
	const Machine *machine;
	const MachineEdge *edge;
	Refusal    *refusal;		/* NULL when it was fired */
	pg_uuid_t	transition;
	pg_uuid_t	tag;			/* all zero when no stage was created */
	int			to;				/* the state of a rollback */
	bool		reported;
} Outcome;

extern void TransitionDecide(Outcome *outcome, const char *trigger, const char *expected);
extern void TransitionFire(Outcome *outcomes, int count, Datum reason, Datum args);
extern void TransitionChange(Firing *firing, Outcome **outcomes, int count, bool unarchive);
extern const char *RollbackTo(const pg_uuid_t *id, const char *state, const char *from, bool *already);
extern Datum TransitionTuple(const Outcome *outcome, int toValue);

#endif
