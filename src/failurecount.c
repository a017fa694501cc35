/*
 * failurecount.c: the counts behind failure_stats, kept with every change.
 *
 * Words:
 * - An entry says that so many records went from one status to another. Entries are only added: nobody waits for anybody.
 * - To fold is to replace entries by their sums. Who has added many folds what he can see, unless somebody else does.
 */
#include "photoflow.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "multiinsert.h"
#include "steps.h"
#include "store.h"

/* a session that has added so many entries folds; so many are worth it; and so many at once */
#define FOLD_AFTER 256
#define FOLD_LEAST 64
#define FOLD_MOST 100000
/* to look through a page costs as much as to add so many entries */
#define ENTRIES_A_PAGE 8

/* So many records of a severity went from one status to another. */
typedef struct CountEntry
{
	pg_uuid_t	org;
	int			severity;
	int			from;			/* FAILURE_NONE: the record was not there */
	int			to;				/* FAILURE_NONE: it is gone */
	int64		records;
} CountEntry;

typedef struct CountKey
{
	pg_uuid_t	org;
	int			severity;
	int			status;
} CountKey;

typedef struct CountSum
{
	CountKey	key;
	int64		records;
} CountSum;

#define COUNT_COLUMNS 5
static const PlainColumn countColumns[COUNT_COLUMNS] = {
	{"OrgId", UUIDOID, true}, {"Severity", INT4OID, true}, {"FromStatus", INT4OID, false}, {"ToStatus", INT4OID, false},
	{"Records", INT8OID, true}
};

static int64 added = 0;
static int64 foldAfter = FOLD_AFTER;

static void FillCount(void *state, int i, Datum *values, bool *nulls);
static void InsertCounts(Relation relation, List *entries);
static void AddToSum(HTAB *sums, const pg_uuid_t *org, int severity, int status, int64 records);
static int	TakeEntries(Relation relation, HTAB *sums, int most, bool all);
static bool CountsAreRight(Relation relation, HTAB *counted);
static List *SumsToEntries(HTAB *sums);
static HTAB *MakeSums(void);
static void Fold(Relation relation);

/* Note that one record went from one status to another. */
void
FailureCountAdd(FailureTable *table, const pg_uuid_t *org, int severity, int from, int to)
{
	MemoryContext caller;
	CountEntry *entry;
	ListCell   *cell;

	if (from == to)
		return;
	foreach(cell, table->counts)
	{
		entry = lfirst(cell);
		if (entry->severity == severity && entry->from == from && entry->to == to && UuidEquals(&entry->org, org))
		{
			entry->records++;
			return;
		}
	}
	caller = MemoryContextSwitchTo(table->context);
	entry = palloc(sizeof(CountEntry));
	*entry = (CountEntry) {.org = *org, .severity = severity, .from = from, .to = to, .records = 1};
	table->counts = lappend(table->counts, entry);
	MemoryContextSwitchTo(caller);
}

static void
FillCount(void *state, int i, Datum *values, bool *nulls)
{
	CountEntry *entry = list_nth(state, i);

	values[0] = UUIDPGetDatum(&entry->org);
	values[1] = Int32GetDatum(entry->severity);
	values[2] = Int32GetDatum(entry->from);
	values[3] = Int32GetDatum(entry->to);
	values[4] = Int64GetDatum(entry->records);
	nulls[0] = nulls[1] = nulls[4] = false;
	nulls[2] = entry->from == FAILURE_NONE;
	nulls[3] = entry->to == FAILURE_NONE;
}

static void
InsertCounts(Relation relation, List *entries)
{
	if (MultiInsertSuits(relation, countColumns, COUNT_COLUMNS))
	{
		MultiInsert(relation, list_length(entries), FillCount, entries);
		return;
	}
	for (int i = 0; i < list_length(entries); i++)
	{
		Datum		values[COUNT_COLUMNS];
		bool		nulls[COUNT_COLUMNS];

		FillCount(entries, i, values, nulls);
		FailureSideInsert(PLAN_FAILURE_COUNT_ADD, values, nulls, COUNT_COLUMNS);
	}
}

/* Fold what there is, unless somebody else does. */
void
FailureCountsFold(void)
{
	Relation	relation = table_open(FailureSideTable("FailureCounts"), RowExclusiveLock);

	if (MultiInsertSuits(relation, countColumns, COUNT_COLUMNS) && ConditionalLockRelation(relation, ShareUpdateExclusiveLock))
		Fold(relation);
	table_close(relation, NoLock);
}

/* Write entries; fold them with others now and then. Under an active snapshot. */
void
FailureCountsWrite(List *counts)
{
	Relation	relation = table_open(FailureSideTable("FailureCounts"), RowExclusiveLock);

	InsertCounts(relation, counts);
	added += list_length(counts);
	if (added >= foldAfter && MultiInsertSuits(relation, countColumns, COUNT_COLUMNS))
	{
		added = 0;
		/* kept until the commit: nobody else folds what we have not committed */
		if (ConditionalLockRelation(relation, ShareUpdateExclusiveLock))
			Fold(relation);
	}
	table_close(relation, NoLock);
}

static HTAB *
MakeSums(void)
{
	HASHCTL		control = {.keysize = sizeof(CountKey), .entrysize = sizeof(CountSum), .hcxt = CurrentMemoryContext};

	return hash_create("photoflow failure counts", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
AddToSum(HTAB *sums, const pg_uuid_t *org, int severity, int status, int64 records)
{
	CountKey	key;
	CountSum   *sum;
	bool		found;

	if (status == FAILURE_NONE)
		return;
	memset(&key, 0, sizeof(key));
	key.org = *org;
	key.severity = severity;
	key.status = status;
	sum = hash_search(sums, &key, HASH_ENTER, &found);
	sum->records = (found ? sum->records : 0) + records;
}

static void
AddEntry(HTAB *sums, TupleTableSlot *slot)
{
	pg_uuid_t  *org;
	int			severity;
	int64		records;

	slot_getallattrs(slot);
	org = DatumGetUUIDP(slot->tts_values[0]);
	severity = DatumGetInt32(slot->tts_values[1]);
	records = DatumGetInt64(slot->tts_values[4]);
	AddToSum(sums, org, severity, slot->tts_isnull[2] ? FAILURE_NONE : DatumGetInt32(slot->tts_values[2]), -records);
	AddToSum(sums, org, severity, slot->tts_isnull[3] ? FAILURE_NONE : DatumGetInt32(slot->tts_values[3]), records);
}

/*
 * Delete the entries that the snapshot shows, and add them up; return how many. sums may be NULL. What others have folded
 * since is left out, or, where all are wanted, a serialization failure.
 */
static int
TakeEntries(Relation relation, HTAB *sums, int most, bool all)
{
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	int			taken = 0;

	while (taken < most && table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		TM_FailureData failure;

		CHECK_FOR_INTERRUPTS();
		if (table_tuple_delete(relation, &slot->tts_tid, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot, false,
							   &failure, false) != TM_Ok)
		{
			if (all)
				RefuseConcurrentUpdate();
			continue;
		}
		taken++;
		if (sums)
			AddEntry(sums, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	return taken;
}

static List *
SumsToEntries(HTAB *sums)
{
	List	   *entries = NIL;
	HASH_SEQ_STATUS status;
	CountSum   *sum;

	hash_seq_init(&status, sums);
	while ((sum = hash_seq_search(&status)) != NULL)
	{
		CountEntry *entry = palloc(sizeof(CountEntry));

		*entry = (CountEntry) {.org = sum->key.org, .severity = sum->key.severity, .from = FAILURE_NONE,
			.to = sum->key.status, .records = sum->records};
		if (entry->records != 0)
			entries = lappend(entries, entry);
	}
	return entries;
}

/*
 * Replace entries by their sums; ones that are too few to be worth it stay. The next time comes when what it costs, to look
 * through the table's pages and to write the sums anew, is little beside what was added.
 */
static void
Fold(Relation relation)
{
	TableScanDesc scan;
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	int			seen = 0;
	HTAB	   *sums;
	List	   *entries;

	/* a trigger's snapshot is its statement's: what that has folded before is there no more */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	while (seen < FOLD_LEAST && table_scan_getnextslot(scan, ForwardScanDirection, slot))
		seen++;
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	foldAfter = Max(FOLD_AFTER, (int64) RelationGetNumberOfBlocks(relation) * ENTRIES_A_PAGE);
	if (seen == FOLD_LEAST)
	{
		sums = MakeSums();
		(void) TakeEntries(relation, sums, FOLD_MOST, false);
		entries = SumsToEntries(sums);
		if (entries != NIL)
			MultiInsert(relation, list_length(entries), FillCount, entries);
		foldAfter = Max(foldAfter, list_length(entries));
	}
	PopActiveSnapshot();
}

/* Forget all counts, and all attempts: the records have been truncated. Under an active snapshot. */
void
FailureCountsEmpty(void)
{
	static const char *const tables[] = {"FailureCounts", "FailureAttempts"};

	for (size_t i = 0; i < lengthof(tables); i++)
	{
		Relation	relation = table_open(FailureSideTable(tables[i]), ShareUpdateExclusiveLock);

		(void) TakeEntries(relation, NULL, PG_INT32_MAX, true);
		table_close(relation, NoLock);
	}
}

/* Say whether the entries add up to what was counted; counted is used up. */
static bool
CountsAreRight(Relation relation, HTAB *counted)
{
	TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	HTAB	   *sums = MakeSums();
	HASH_SEQ_STATUS status;
	CountSum   *sum;
	bool		right = true;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		AddEntry(sums, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	hash_seq_init(&status, sums);
	while ((sum = hash_seq_search(&status)) != NULL)
		AddToSum(counted, &sum->key.org, sum->key.severity, sum->key.status, -sum->records);
	hash_seq_init(&status, counted);
	while ((sum = hash_seq_search(&status)) != NULL)
		right = right && sum->records == 0;
	return right;
}

/*
 * Count anew, where the counts are wrong. What is deleted here and what is counted is what one snapshot shows: entries of transactions that it does not
 * show are added to the result, as they are to the old entries.
 */
PHOTOFLOW_FUNCTION(photoflow_recount_failures)
{
	Relation	relation;
	List	   *entries = NIL;
	HTAB	   *counted;
	int64		total = 0;
	uint64		rows;

	PreventCommandIfReadOnly("recount_failures()");
	StoreBegin();
	RequireTargetOwner(FindInstalledTarget());
	relation = table_open(FailureSideTable("FailureCounts"), ShareUpdateExclusiveLock);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	counted = MakeSums();
	rows = StoreRun(PLAN_FAILURE_COUNT_ALL, NULL, NULL);
	for (uint64 i = 0; i < rows; i++)
	{
		CountEntry *entry = palloc(sizeof(CountEntry));

		*entry = (CountEntry) {.org = *StoreUuid(i, 1), .severity = StoreInt(i, 2), .from = FAILURE_NONE, .to = StoreInt(i, 3),
			.records = DatumGetInt64(StoreDatum(i, 4))};
		total += entry->records;
		entries = lappend(entries, entry);
		AddToSum(counted, &entry->org, entry->severity, entry->to, entry->records);
	}
	if (!CountsAreRight(relation, counted))
	{
		(void) TakeEntries(relation, NULL, PG_INT32_MAX, true);
		if (entries != NIL)
			InsertCounts(relation, entries);
	}
	PopActiveSnapshot();
	table_close(relation, NoLock);
	StoreEnd();
	PG_RETURN_INT64(total);
}
