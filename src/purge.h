/*
 * purge.h: one run of purge(), shared by its files.
 */
#ifndef PHOTOFLOW_PURGE_H
#define PHOTOFLOW_PURGE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "softtable.h"

typedef struct Purge
{
	pg_uuid_t	run;
	pg_uuid_t	org;			/* whose rows are being purged */
	int64		batchSize;
	Interval   *olderThan;
	TimestampTz cutoff;			/* for this organization; deletions of that time and later stay */
	pg_uuid_t	last;			/* the last deletion that is through in this pass */
	bool		held;			/* a legal hold is on, or came in between */
	bool		finished;		/* nothing is left to take */
	bool		left;			/* rows were left in this pass since something hung on them */
	bool		taken;			/* rows were taken in this pass */
	bool		inParts;		/* `part` is larger than a batch and being taken in several */
	pg_uuid_t	part;
	bool		begun[SOFT_TABLE_COUNT];	/* rows of the part are taken behind this id */
	pg_uuid_t	lastIds[SOFT_TABLE_COUNT];
	bool		partLeft;		/* something hung on rows of the part */
	List	   *takenNow;		/* deletions of which this batch has taken rows, in its memory */
	List	   *leftNow;		/* and of which it has left some */
	int64		rows;			/* of this organization, so far */
	MemoryContext batchContext; /* emptied after each batch */
	TimestampTz lastNotice;
	ErrorData  *failure;		/* the first of an organization that could not be purged to its end */
} Purge;

/* purgebatch.c */
extern void PurgeBegin(Purge *purge);
extern void PurgeBatch(Purge *purge);

/* purgereceipt.c */
extern void PurgeEnd(Purge *purge);
extern void PurgeAbandon(Purge *purge);
extern void ReceiptWrite(Purge *purge, const char *table, int64 rows, const pg_uuid_t *first, const pg_uuid_t *last);
extern void ReceiptUnfinished(Purge *purge, const List *deletions);
extern void ReceiptFinished(Purge *purge, const pg_uuid_t *deletion);
extern List *DeletionsAdd(List *list, const pg_uuid_t *deletion);
extern List *DeletionsInBoth(List *a, List *b);
extern Datum DeletionsArray(const List *list);

/* retention.c: what an organization's rules are */
typedef struct RetentionRule
{
	bool		hasKeep;
	Interval	keep;
	bool		held;
} RetentionRule;

extern void RetentionRead(const pg_uuid_t *org, RetentionRule *rule);

#endif
