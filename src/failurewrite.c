/*
 * failurewrite.c: writes a changed record back, and what goes with it.
 *
 * A row is updated without being locked first: whoever holds it makes that fail, which is the SKIP LOCKED of a claim. Where
 * a trigger, a constraint or a rule of a user's has to hear of it, the row is locked and an UPDATE is run instead, in the
 * owner's name and the scope of the row's organization.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "store.h"
#include "tenant.h"

/* what PLAN_FAILURE_WRITE sets, in the order of its parameters from $3 on */
static const FailureColumn writtenColumns[] = {FC_STATUS, FC_NEXT_RETRY, FC_LEASE, FC_TOKEN, FC_WORKER, FC_RETRIES, FC_LAST_RETRY,
	FC_FINISHED, FC_ERROR, FC_FINGERPRINT, FC_FIRST_ERROR, FC_SEVERITY, FC_PAYLOAD, FC_OCCURRENCES, FC_LAST_FAILED, FC_MODIFIED};

static const FailureRow *writing = NULL;
static bool writingPassed = false;

static TM_Result UpdateTuple(FailureTable *table, FailureRow *row, bool wait);
static TM_Result UpdateByPlan(FailureTable *table, FailureRow *row, bool wait);
static void RunWrite(const FailureRow *row);
static bool SameWord(const FailureRow *a, const FailureRow *b, FailureColumn column);
static void NoteChange(FailureTable *table, const FailureRow *row);

/* Write a row; TM_Ok, or what keeps it from being written: then nothing has happened. */
TM_Result
FailureWrite(FailureTable *table, FailureRow *row, bool wait)
{
	MemoryContext caller = MemoryContextSwitchTo(table->rowContext);
	TM_Result	result;

	if (!table->migrates)
		FailureSet(row, FC_MODIFIED, TimestampTzGetDatum(table->now));
	result = table->plain ? UpdateTuple(table, row, wait) : UpdateByPlan(table, row, wait);
	MemoryContextSwitchTo(caller);
	if (result == TM_Ok)
		NoteChange(table, row);
	return result;
}

static TM_Result
UpdateTuple(FailureTable *table, FailureRow *row, bool wait)
{
	TupleTableSlot *slot = table->written;
	int			columns = RelationGetDescr(table->records)->natts;
	UpdatedIndexes indexes;
	TM_FailureData failure;
	LockTupleMode mode;
	TM_Result	result;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, sizeof(Datum) * columns);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * columns);
	ExecStoreVirtualTuple(slot);
	if (!wait && UPDATES_MUST_WAIT && (result = FailureLock(table, &row->tid, false)) != TM_Ok)
		return result;
	result = table_tuple_update(table->records, &row->tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
								wait || UPDATES_MUST_WAIT, &failure, &mode, &indexes);
	/* who does not wait is told of any lock, also of our own, and of one that a foreign key takes */
	if (result == TM_BeingModified && !wait && FailureLock(table, &row->tid, false) == TM_Ok)
		result = table_tuple_update(table->records, &row->tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
									true, &failure, &mode, &indexes);
	if (result != TM_Ok || !IndexesAreUpdated(indexes))
		return result;
	if (table->estate == NULL)
	{
		MemoryContextSwitchTo(table->context);
		table->estate = CreateExecutorState();
		table->target = makeNode(ResultRelInfo);
		InitResultRelInfo(table->target, table->records, 0, NULL, 0);
		ExecOpenIndices(table->target, false);
		MemoryContextSwitchTo(table->rowContext);
	}
	ResetPerTupleExprContext(table->estate);
	/* a record that stays in the queue will have more versions: let an index look for old ones before it splits a page */
	(void) InsertUpdatedIndexTuples(table->target, slot, table->estate, !FailureIsNull(row, FC_NEXT_RETRY), indexes);
	return TM_Ok;
}

/* Lock a row as an UPDATE does that leaves its key alone. The table's slot has it then. */
TM_Result
FailureLock(FailureTable *table, ItemPointer tid, bool wait)
{
	TM_FailureData failure;

	return table_tuple_lock(table->records, tid, GetActiveSnapshot(), table->slot, GetCurrentCommandId(true),
							LockTupleNoKeyExclusive, wait ? LockWaitBlock : LockWaitSkip, 0, &failure);
}

static TM_Result
UpdateByPlan(FailureTable *table, FailureRow *row, bool wait)
{
	const FailureRow *outer = writing;
	bool		outerPassed = writingPassed;
	TM_Result	result = FailureLock(table, &row->tid, wait);

	if (result != TM_Ok)
		return result;
	writing = row;
	writingPassed = false;
	PG_TRY();
	{
		RunWrite(row);
	}
	PG_FINALLY();
	{
		writing = outer;
		writingPassed = outerPassed;
	}
	PG_END_TRY();
	return TM_Ok;
}

static void
RunWrite(const FailureRow *row)
{
	Datum		values[lengthof(writtenColumns) + 2] = {FailureValue(row, FC_ORG), FailureValue(row, FC_ID)};
	char		nulls[lengthof(writtenColumns) + 3];
	TenantScope scope;

	memset(nulls, ' ', sizeof(nulls));
	for (size_t i = 0; i < lengthof(writtenColumns); i++)
	{
		values[i + 2] = FailureValue(row, writtenColumns[i]);
		nulls[i + 2] = FailureIsNull(row, writtenColumns[i]) ? 'n' : ' ';
	}
	TenantEnter(&scope, DatumGetUUIDP(values[0]));
	StoreBegin();
	if (StoreRun(PLAN_FAILURE_WRITE, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("failure record %s could not be changed", UuidText(DatumGetUUIDP(values[1]))),
				 errhint("A BEFORE UPDATE trigger or a policy on \"FailureRecords\" keeps it.")));
	StoreEnd();
	TenantLeave(&scope);
}

static bool
SameWord(const FailureRow *a, const FailureRow *b, FailureColumn column)
{
	return FailureIsNull(a, column) == FailureIsNull(b, column) &&
		(FailureIsNull(a, column) || FailureValue(a, column) == FailureValue(b, column));
}

/* Say whether this is the row that an UPDATE of ours makes; a user's trigger may make another of it meanwhile. */
bool
FailureIsWriting(const FailureRow *row)
{
	return writing && UuidEquals(DatumGetUUIDP(FailureValue(writing, FC_ID)), DatumGetUUIDP(FailureValue(row, FC_ID))) &&
		SameWord(writing, row, FC_STATUS) && SameWord(writing, row, FC_TOKEN) && SameWord(writing, row, FC_NEXT_RETRY) &&
		SameWord(writing, row, FC_LEASE) && SameWord(writing, row, FC_RETRIES);
}

/* Keep the mark where others may need it, the counts right, and listeners awake. */
static void
NoteChange(FailureTable *table, const FailureRow *row)
{
	int			status = FailureInt(row, FC_STATUS);
	int			severity = FailureInt(row, FC_SEVERITY);
	const pg_uuid_t *org = DatumGetUUIDP(FailureValue(row, FC_ORG));

	if (row->hadPlace)
		MarkHold(row->placeBefore);
	if (status == FAILURE_PENDING && DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) <= GetCurrentTimestamp())
		table->claimable = true;
	if (!table->plain)
		return;					/* the trigger counts */
	if (severity == row->severityBefore)
		FailureCountAdd(table, org, severity, row->statusBefore, status);
	else
	{
		FailureCountAdd(table, org, row->severityBefore, row->statusBefore, FAILURE_NONE);
		FailureCountAdd(table, org, severity, FAILURE_NONE, status);
	}
}

/* Let the UPDATE that is ours pass, once: what a trigger of a user's does to the record afterwards is a statement like any other. */
bool
FailurePassWriting(const FailureRow *row)
{
	if (writingPassed || !FailureIsWriting(row))
		return false;
	return writingPassed = true;
}

/* Write what has come together beside the records. */
void
FailureTablesFlush(FailureTable *table)
{
	if (table->counts != NIL)
		FailureCountsWrite(table->counts);
	if (table->attempts != NIL)
		FailureAttemptsWrite(table->attempts);
	if (table->claimable)
		EventWake("photoflow_failures");
	table->counts = table->attempts = NIL;
}
