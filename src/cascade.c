/*
 * cascade.c: what is below marked or restored rows follows them, level by level and set by set.
 *
 * A marked row with children is locked as if its key were to change: an INSERT below it holds FOR KEY SHARE on its
 * parent (belonging.c) and is waited for; one that comes later waits, and finds its parent deleted. Only then are the
 * children looked for, with a snapshot that shows what was committed meanwhile. So no live row is ever left under a
 * deleted one.
 *
 * The statements run in the owner's name, under the policies, in the scope of the rows' organization.
 */
#include "photoflow.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "rewrite/rowsecurity.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "belonging.h"
#include "deletion.h"
#include "store.h"
#include "tenant.h"

/* of so many parents are the children marked at once, where the children have children: their ids are held in memory */
#define PARENTS_AT_ONCE 256

/* for so few parents it is cheaper to look into the index than to start a statement that may find nothing */
#define PARENTS_TO_PROBE 4

/* Rows of one table and organization, all of one deletion. */
typedef struct RowSet
{
	SoftTableId table;
	int			count;
	pg_uuid_t  *ids;
	ItemPointerData *tids;		/* NULL where they are not locked */
} RowSet;

static void LockMarked(const RowSet *rows, const pg_uuid_t *org);
static void LockChanged(const RowSet *rows, const pg_uuid_t *org);
static void Descend(const RowSet *rows, const pg_uuid_t *org, const Deletion *deletion, bool restored);
static void DescendTo(SoftTableId child, const RowSet *parents, int first, int count, const pg_uuid_t *org,
					  const Deletion *deletion, bool restored);
static RowSet *ReturnedRows(SoftTableId table, uint64 count, bool restored);
static bool MayKeepRows(SoftTableId table);
static void RequireNoneLeft(SoftTableId child, const pg_uuid_t *org, Datum parents);
static uint64 MarkBelow(SoftTableId child, const pg_uuid_t *org, Datum parents, const Deletion *deletion);
static uint64 RestoreBelow(SoftTableId child, const pg_uuid_t *org, Datum parents, const Deletion *deletion);

/* Mark or restore what is below rows of one table, organization and deletion. */
void
CascadeRows(CollectedRow *rows, int count)
{
	const Deletion *deletion = rows[0].deletion;
	RowSet		set = {.table = rows[0].table, .count = count};
	TenantScope scope;

	if (deletion && deletion->rows && !rows[0].restored)
		deletion->rows[set.table] += count;
	if (deletion == NULL || !SoftTableHasChildren(set.table))
		return;
	set.ids = palloc(sizeof(pg_uuid_t) * count);
	set.tids = rows[0].restored ? NULL : palloc(sizeof(ItemPointerData) * count);
	for (int i = 0; i < count; i++)
	{
		set.ids[i] = rows[i].id;
		if (set.tids)
			set.tids[i] = rows[i].tid;
	}
	TenantEnter(&scope, &rows[0].org);
	Descend(&set, &rows[0].org, deletion, rows[0].restored);
	TenantLeave(&scope);
	BelongingForget();			/* parents that were live */
}

/* Lock the new versions of rows that we have marked, against whoever would put a row below them. */
static void
LockMarked(const RowSet *rows, const pg_uuid_t *org)
{
	Relation	relation = table_open(SoftTableRelation(rows->table), RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	bool		changed = false;
	CommandId	command;

	CommandCounterIncrement();	/* what we marked becomes visible to us */
	command = GetCurrentCommandId(true);
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < rows->count; i++)
	{
		ItemPointerData tid = rows->tids[i];
		TM_FailureData failure;

		if (table_tuple_lock(relation, &tid, GetActiveSnapshot(), slot, command, LockTupleExclusive, LockWaitBlock, 0,
							 &failure) != TM_Ok)
			changed = true;
		ExecClearTuple(slot);
	}
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	table_close(relation, NoLock);
	if (changed)
		LockChanged(rows, org);
}

/* A trigger has changed some of the rows again meanwhile: find their newest versions by their ids. */
static void
LockChanged(const RowSet *rows, const pg_uuid_t *org)
{
	Datum		values[2] = {UUIDPGetDatum(org), UuidArray(rows->ids, rows->count)};

	StoreBegin();
	(void) StoreRunOn(PLAN_LOCK_MARKED, rows->table, values, NULL);
	StoreEnd();
}

/* Let all children of rows follow. */
static void
Descend(const RowSet *rows, const pg_uuid_t *org, const Deletion *deletion, bool restored)
{
	if (rows->tids)
		LockMarked(rows, org);
	for (int child = rows->table + 1; child < SOFT_TABLE_COUNT; child++)
	{
		int			step = SoftTableHasChildren(child) ? PARENTS_AT_ONCE : rows->count;

		if (softTables[child].parent != rows->table)
			continue;
		for (int first = 0; first < rows->count; first += step)
			DescendTo(child, rows, first, Min(step, rows->count - first), org, deletion, restored);
	}
}

/* Let the children of some rows follow, and theirs. */
static void
DescendTo(SoftTableId child, const RowSet *parents, int first, int count, const pg_uuid_t *org, const Deletion *deletion,
		  bool restored)
{
	MemoryContext context;
	MemoryContext caller;
	Datum		ids;
	RowSet	   *found = NULL;
	uint64		changed;

	if (count <= PARENTS_TO_PROBE && !MayHaveChildren(child, org, parents->ids + first, count))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "photoflow cascade", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	ids = UuidArray(parents->ids + first, count);
	StoreBegin();
	changed = restored ? RestoreBelow(child, org, ids, deletion) : MarkBelow(child, org, ids, deletion);
	if (changed > 0 && SoftTableHasChildren(child))
	{
		MemoryContextSwitchTo(context);
		found = ReturnedRows(child, changed, restored);
	}
	if (!restored && MayKeepRows(child))
		RequireNoneLeft(child, org, ids);
	StoreEnd();
	MemoryContextSwitchTo(context);
	if (deletion->rows && !restored)
		deletion->rows[child] += changed;
	if (found)
		Descend(found, org, deletion, restored);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Copy the rows that a statement has returned. */
static RowSet *
ReturnedRows(SoftTableId table, uint64 count, bool restored)
{
	RowSet	   *rows = palloc0(sizeof(RowSet));

	rows->table = table;
	rows->count = (int) count;
	rows->ids = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(pg_uuid_t) * count, MCXT_ALLOC_HUGE);
	if (!restored)
		rows->tids = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(ItemPointerData) * count, MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < count; i++)
	{
		rows->ids[i] = *StoreUuid(i, 1);
		if (!restored)
			rows->tids[i] = *(ItemPointer) DatumGetPointer(StoreDatum(i, 2));
	}
	return rows;
}

/* Say whether a trigger or a policy of a user's on a table may keep rows from being marked. */
static bool
MayKeepRows(SoftTableId table)
{
	Relation	relation = table_open(SoftTableRelation(table), RowExclusiveLock);
	const TriggerDesc *triggers = relation->trigdesc;
	bool		keeps = relation->rd_rsdesc && list_length(relation->rd_rsdesc->policies) > 1;
	int			before = 0;

	for (int i = 0; triggers && triggers->trig_update_before_row && i < triggers->numtriggers; i++)
		before += TRIGGER_TYPE_MATCHES(triggers->triggers[i].tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_UPDATE);
	table_close(relation, NoLock);
	return keeps || before > 1;
}

static uint64
MarkBelow(SoftTableId child, const pg_uuid_t *org, Datum parents, const Deletion *deletion)
{
	Datum		values[5] = {UUIDPGetDatum(org), parents, TimestampTzGetDatum(deletion->at), UUIDPGetDatum(&deletion->by),
	UUIDPGetDatum(&deletion->id)};
	char		nulls[5] = {' ', ' ', ' ', deletion->hasBy ? ' ' : 'n', ' '};

	return StoreRunOn(SoftTableHasChildren(child) ? PLAN_MARK_BELOW : PLAN_MARK_LAST, child, values, nulls);
}

/* A trigger or a policy of a user's may have kept a child from being marked: then nothing is. */
static void
RequireNoneLeft(SoftTableId child, const pg_uuid_t *org, Datum parents)
{
	Datum		values[2] = {UUIDPGetDatum(org), parents};

	if (StoreRunOn(PLAN_LEFT_BELOW, child, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("rows of \"%s\" stay live below deleted ones", softTables[child].name),
				 errhint("A BEFORE UPDATE trigger or a policy on \"%s\" keeps them from being deleted.", softTables[child].name)));
}

static uint64
RestoreBelow(SoftTableId child, const pg_uuid_t *org, Datum parents, const Deletion *deletion)
{
	Datum		values[3] = {UUIDPGetDatum(org), parents, UUIDPGetDatum(&deletion->id)};

	return StoreRunOn(PLAN_RESTORE_BELOW, child, values, NULL);
}
