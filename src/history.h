/*
 * history.h: changes of state between the moment they happen and the moment they are written.
 */
#ifndef PHOTOFLOW_HISTORY_H
#define PHOTOFLOW_HISTORY_H

#include "postgres.h"

#include "album.h"
#include "machine.h"

/*
 * A firing is a change of state that photoflow itself is making: already decided, so that the triggers on
 * "Albums" let it pass, each album once. Firings nest when a user's trigger fires another album.
 */
typedef struct Firing
{
	struct Firing *outer;
	const char *trigger;		/* as it stands in the history */
	const MachineEdge *edge;	/* NULL where none is taken: rollback, migration */
	const Machine *machine;		/* of toVersion */
	int			from;			/* as stored */
	int			to;
	int			fromVersion;
	int			toVersion;
	bool		everyAlbum;		/* migration: whatever album is in from and fromVersion */
	int			count;
	const Album *albums;		/* ordered by id, unless everyAlbum */
	Datum		reason;			/* text, or 0 */
	Datum		args;			/* jsonb, or 0 */
	const pg_uuid_t *compensates;	/* the transition that a rollback takes back, or NULL */
	bool	   *passed;			/* parallel to albums: its change has been collected */
	int			npassed;
	pg_uuid_t  *transitions;	/* results, parallel to albums */
	pg_uuid_t  *tags;			/* the stages created; all zero where none was */
} Firing;

typedef struct Change
{
	pg_uuid_t	org;
	pg_uuid_t	album;
	pg_uuid_t	id;				/* of the transition */
	const Machine *machine;		/* of the version after the change */
	const Machine *fromMachine;
	const MachineEdge *edge;	/* or NULL */
	const char *trigger;
	int			from;			/* as stored */
	int			to;
	Firing	   *firing;			/* or NULL: a plain UPDATE */
	int			index;			/* into the firing's results */
	int			nestLevel;		/* of the subtransaction it happened in */
} Change;

extern void HistoryInitialize(void);
extern void HistoryCollect(const Change *change);
extern void HistoryFlush(void);

extern void FiringBegin(Firing *firing);
extern void FiringEnd(Firing *firing);
extern Firing *FiringOf(const Album *before, const Album *after, int *index);

/* record.c */
extern void RecordChanges(Change *changes, int count);

#endif
