/*
 * failure.h: failure records and the queue that they are.
 *
 * Words:
 * - A record is open while it is pending or in progress. Its place in the queue is "NextRetryAt".
 * - To claim is to take a record for the time of a lease. The token of the claim proves it: completing with a token that
 *   is no longer the record's is refused. An attempt is what happens between a claim and its end; its number is the token.
 * - To work across is to work on records of any organization: the tables' owner, and a worker (worker.c).
 */
#ifndef PHOTOFLOW_FAILURE_H
#define PHOTOFLOW_FAILURE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"

typedef enum FailureStatus
{
	FAILURE_PENDING,
	FAILURE_IN_PROGRESS,
	FAILURE_RESOLVED,
	FAILURE_ABANDONED,
	FAILURE_CANCELLED,
	FAILURE_STATUS_COUNT
} FailureStatus;

#define FAILURE_SEVERITY_COUNT 4

/* the columns that C looks at or writes; failuretable.c has their names */
typedef enum FailureColumn
{
	FC_ID, FC_ORG, FC_ENTITY, FC_ENTITY_TYPE, FC_FROM, FC_TO, FC_ERROR, FC_SEVERITY, FC_RETRIES, FC_LAST_RETRY, FC_STATUS,
	FC_CREATED, FC_MODIFIED, FC_DELETED, FC_NEXT_RETRY, FC_LEASE, FC_TOKEN, FC_WORKER, FC_FINISHED, FC_MAX_RETRIES,
	FC_PAYLOAD, FC_FINGERPRINT, FC_OCCURRENCES, FC_LAST_FAILED, FC_FIRST_ERROR,
	FC_COUNT
} FailureColumn;

typedef struct FailureColumns
{
	AttrNumber	number[FC_COUNT];
} FailureColumns;

/* One record taken apart; values and nulls are those of the whole row, and what is set there is written. */
typedef struct FailureRow
{
	const FailureColumns *columns;
	Datum	   *values;
	bool	   *nulls;
	ItemPointerData tid;
	int			statusBefore;
	int			severityBefore;
	bool		hadPlace;		/* in the queue */
	TimestampTz placeBefore;
} FailureRow;

/* How failures of an entity type are retried; microseconds. */
typedef struct FailurePolicy
{
	int64		base;
	int64		cap;
	int64		lease;
	int			maxRetries;
} FailurePolicy;

/* The table while a function works on it; all in the memory context of FailureOpen(). */
typedef struct FailureTable
{
	Relation	records;
	FailureColumns columns;
	bool		plain;			/* nothing of a user's has to hear of an UPDATE */
	Oid			key;			/* the index on "Id"; open while records are fetched by it */
	Relation	keyIndex;
	struct IndexScanDescData *keyScan;
	SnapshotData keySnapshot;
	TimestampTz now;
	TupleTableSlot *slot;
	TupleTableSlot *written;
	EState	   *estate;			/* made with the first index that is written */
	ResultRelInfo *target;
	MemoryContext context;
	MemoryContext rowContext;	/* of the row that is worked on */
	List	   *attempts;
	List	   *counts;
	bool		claimable;		/* something became claimable now */
	bool		migrates;		/* "ModifiedAt" stays: nobody has changed a record */
} FailureTable;

/* --- failurestate.c: pure --- */
extern const char *FailureStatusName(int status);
extern const char *FailureSeverityName(int severity);
extern int	FailureSeverityByName(const char *name);	/* -1 */
extern bool FailureMayMove(int from, int to);

/* --- backoff.c: pure --- */
extern int64 BackoffDelay(int retry, int64 base, int64 cap, double fraction);
extern int64 LeaseJitter(int64 lease, uint32 hash);

/* --- fingerprint.c --- */
extern char *ErrorNormalise(const char *message, int length);
extern Datum ErrorFingerprint(Datum message);

/* --- failurepolicy.c --- */
extern void FailurePolicyInitialize(void);
extern const FailurePolicy *FailurePolicyFor(const char *entityType, int length);
extern int64 IntervalMicroseconds(const Interval *interval);

/* --- failuretable.c --- */
extern void FailureTableInitialize(void);
extern FailureTable *FailureOpen(const char *function);
extern FailureTable *FailureOpenToRead(void);
extern void FailureClose(FailureTable *table);
extern void FailureRequireTable(Relation records);
extern void FailureColumnsFind(Relation records, FailureColumns *columns);
extern FailureRow *FailureRowMake(FailureTable *table, TupleTableSlot *slot);
extern FailureRow FailureRowCopy(FailureTable *table, const FailureRow *row);
extern void FailureRowTake(FailureRow *row, const FailureColumns *columns, HeapTuple tuple, TupleDesc desc);
pg_noreturn extern void RefuseConcurrentUpdate(void);
extern void RequireFailureTables(void);
extern void FailureFetchEnd(FailureTable *table);
extern bool FailureFetch(FailureTable *table, const pg_uuid_t *id, const pg_uuid_t *org, bool lock);

static inline bool
FailureIsNull(const FailureRow *row, FailureColumn column)
{
	return row->nulls[row->columns->number[column] - 1];
}

static inline Datum
FailureValue(const FailureRow *row, FailureColumn column)
{
	return row->values[row->columns->number[column] - 1];
}

static inline int
FailureInt(const FailureRow *row, FailureColumn column)
{
	return DatumGetInt32(FailureValue(row, column));
}

static inline void
FailureSet(FailureRow *row, FailureColumn column, Datum value)
{
	row->values[row->columns->number[column] - 1] = value;
	row->nulls[row->columns->number[column] - 1] = false;
}

static inline void
FailureClear(FailureRow *row, FailureColumn column)
{
	row->values[row->columns->number[column] - 1] = (Datum) 0;
	row->nulls[row->columns->number[column] - 1] = true;
}

/* --- failurewrite.c --- */
extern TM_Result FailureLock(FailureTable *table, ItemPointer tid, bool wait);
extern TM_Result FailureWrite(FailureTable *table, FailureRow *row, bool wait);
extern bool FailureIsWriting(const FailureRow *row);
extern bool FailurePassWriting(const FailureRow *row);
extern void FailureTablesFlush(FailureTable *table);

/* --- failureattempt.c --- */
extern void FailureEndAttempt(FailureTable *table, const FailureRow *row, const char *outcome, Datum error, bool hasError);
extern void FailureAttemptsWrite(List *attempts);
extern Oid	FailureSideTableIfThere(const char *name);
extern Oid	FailureSideTable(const char *name);
extern void FailureSideInsert(int plan, const Datum *values, const bool *nulls, int columns);

/* --- failurecount.c --- */
extern void FailureCountAdd(FailureTable *table, const pg_uuid_t *org, int severity, int from, int to);
extern void FailureCountsWrite(List *counts);
extern void FailureCountsFold(void);
extern void FailureCountsEmpty(void);
#define FAILURE_NONE (-1)		/* a status: of a record that is not there, or deleted */

/* --- failuremove.c: what each step makes of a record --- */
extern void FailureTake(FailureRow *row, Datum worker, TimestampTz now, int64 lease);
extern void FailureRetryAt(FailureRow *row, TimestampTz when);
extern void FailureFinish(FailureRow *row, int status, TimestampTz now);
extern void FailureRequeue(FailureRow *row);
extern void FailureReplaceError(FailureRow *row, Datum message, TimestampTz now);
extern void FailureComplete(FailureRow *row);
extern bool FailureIsExhausted(const FailureRow *row, const FailurePolicy *policy);
extern const FailurePolicy *FailurePolicyOf(const FailureRow *row);
extern TimestampTz FailureStamp(void);
extern TimestampTz LeaseEnd(const FailureRow *row);

/* --- failurerecord.c --- */
extern bool FailureFindOpen(const FailureRow *row, pg_uuid_t *found);

/* --- failuremark.c, failurescan.c --- */
typedef struct DueScan
{
	FailureTable *table;
	const pg_uuid_t *org;		/* NULL: of all organizations */
	ArrayType  *types;			/* NULL: of all entity types */
	uint32		typesHash;
	Relation	index;
	struct IndexScanDescData *scan;
	SnapshotData dirty;
	uint64		generation;		/* of the marks, when it began */
	TimestampTz from;			/* where it began */
	TimestampTz mark;			/* nothing claimable before it */
	bool		held;			/* the mark stays where it is */
	TimestampTz leasedUntil;	/* when the first lease ends of those that were passed */
	TimestampTz delayedUntil;	/* when the first record is due that is not yet */
} DueScan;

extern void MarkInitialize(void);
extern TimestampTz MarkFind(const pg_uuid_t *org, uint32 typesHash, TimestampTz now, TimestampTz *leasedUntil);
extern void MarkKeep(const pg_uuid_t *org, uint32 typesHash, TimestampTz at, TimestampTz now, TimestampTz leasedUntil,
					 bool fromStart);
extern void MarkHold(TimestampTz place);
extern void MarksForget(void);
extern uint64 MarksGeneration(void);
extern void DueScanBegin(DueScan *due, FailureTable *table, const pg_uuid_t *org, ArrayType *types);
extern bool DueScanNext(DueScan *due);
extern void DueScanDelayed(DueScan *due);
extern void DueScanEnd(DueScan *due);
extern int	DueOrganizations(FailureTable *table, int wanted, pg_uuid_t *orgs);
extern void DueOrganizationServed(const pg_uuid_t *org);

/* --- worker.c --- */
extern bool IsFailureWorker(void);
extern void FailureWorkerInitialize(void);
extern const pg_uuid_t *FailureScope(const pg_uuid_t *named, AclMode privilege);

#endif
