/*
 * failuretable.c: "FailureRecords" opened for a function, and its rows taken apart.
 *
 * The functions of the queue read and write the heap themselves, as albumfetch.c does: an executor's start and end would be
 * most of a claim (bench/README.md). They see rows by a dirty snapshot: as they are now, with what others have not yet
 * committed told apart, so that a row which somebody holds can be skipped, or waited for.
 *
 * Runs with the database's own eyes: the caller has checked for whom (worker.c).
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "store.h"

static const char *const columnNames[FC_COUNT] = {
	[FC_ID] = "Id", [FC_ORG] = "OrgId", [FC_ENTITY] = "EntityId", [FC_ENTITY_TYPE] = "EntityType", [FC_FROM] = "FromState",
	[FC_TO] = "ToState", [FC_ERROR] = "ErrorMessage", [FC_SEVERITY] = "Severity", [FC_RETRIES] = "RetryCount",
	[FC_LAST_RETRY] = "LastRetryAt", [FC_STATUS] = "Status", [FC_CREATED] = "CreatedAt", [FC_MODIFIED] = "ModifiedAt",
	[FC_DELETED] = "IsDeleted", [FC_NEXT_RETRY] = "NextRetryAt", [FC_LEASE] = "LeaseUntil", [FC_TOKEN] = "ClaimToken",
	[FC_WORKER] = "ClaimedBy", [FC_FINISHED] = "FinishedAt", [FC_MAX_RETRIES] = "MaxRetries", [FC_PAYLOAD] = "Payload",
	[FC_FINGERPRINT] = "Fingerprint", [FC_OCCURRENCES] = "Occurrences", [FC_LAST_FAILED] = "LastFailedAt",
	[FC_FIRST_ERROR] = "FirstError"
};

/* photoflow's own triggers on the table: their work is done here as well */
static const char *const ourTriggers[] = {"tenant_fill", "tenant_keep", "tenant_require", "mark_deletion", "collect_deletion",
"cascade_deletion", "keep_failure", "count_failure", "forget_failures"};

/* what was worked out of the table's description, until that changes */
static struct
{
	Oid			relation;
	FailureColumns columns;
	bool		plain;
	Oid			key;
} kept;

static void ForgetTable(Datum arg, Oid relid);
static void LookAtTable(Relation records);
static bool IsPlain(Relation records);
static bool IsOurTrigger(const Trigger *trigger);
static bool IndexesAreImmediate(Relation records);
static Oid	FindKey(Relation records, AttrNumber id);
static FailureTable *OpenTable(LOCKMODE mode);

void
FailureTableInitialize(void)
{
	CacheRegisterRelcacheCallback(ForgetTable, (Datum) 0);
}

static void
ForgetTable(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kept.relation)
	{
		kept.relation = InvalidOid;
		MarksForget();
	}
}

/* Find the columns; raise PF040 where the table is older than they are. */
void
FailureColumnsFind(Relation records, FailureColumns *columns)
{
	if (kept.relation == RelationGetRelid(records))
	{
		*columns = kept.columns;
		return;
	}
	for (int i = 0; i < FC_COUNT; i++)
	{
		columns->number[i] = get_attnum(RelationGetRelid(records), columnNames[i]);
		if (columns->number[i] <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
					 errmsg("table \"%s\" has no column \"%s\" yet", RelationGetRelationName(records), columnNames[i]),
					 errhint("Run CALL photoflow.migrate().")));
	}
}

static bool
IsOurTrigger(const Trigger *trigger)
{
	const char *schema = get_namespace_name(get_func_namespace(trigger->tgfoid));
	const char *name = get_func_name(trigger->tgfoid);

	/* a foreign key to the table asks whether its key has changed: it never has */
	if (trigger->tgisinternal && RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_PK)
		return true;
	if (schema == NULL || name == NULL || strcmp(schema, "photoflow") != 0)
		return false;
	for (size_t i = 0; i < lengthof(ourTriggers); i++)
		if (strcmp(name, ourTriggers[i]) == 0)
			return true;
	return false;
}

/* Say whether nothing of a user's has to hear of an UPDATE, or to allow it. */
static bool
IsPlain(Relation records)
{
	TupleConstr *constraints = RelationGetDescr(records)->constr;
	TriggerDesc *triggers = records->trigdesc;

	if (records->rd_rel->relkind != RELKIND_RELATION || records->rd_rel->relispartition || records->rd_rules != NULL ||
		(constraints && (constraints->num_check > 0 || constraints->has_generated_stored)))
		return false;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (!IsOurTrigger(&triggers->triggers[i]))
			return false;
	return IndexesAreImmediate(records);
}

/* What is checked later, or against other rows, is the executor's to do. */
static bool
IndexesAreImmediate(Relation records)
{
	bool		immediate = true;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(records))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		immediate = immediate && index->rd_index->indimmediate && !index->rd_index->indisexclusion;
		index_close(index, NoLock);
	}
	return immediate;
}

/* Return the index that is on "Id" alone. */
static Oid
FindKey(Relation records, AttrNumber id)
{
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(records))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisunique && index->rd_index->indimmediate &&
			index->rd_index->indisvalid && index->rd_index->indnkeyatts == 1 && index->rd_index->indkey.values[0] == id &&
			RelationGetIndexPredicate(index) == NIL)
			found = RelationGetRelid(index);
		index_close(index, NoLock);
	}
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no unique index on \"Id\"", RelationGetRelationName(records)),
				 errhint("Its primary key is \"Id\": ALTER TABLE ... ADD PRIMARY KEY (\"Id\").")));
	return found;
}

static void
LookAtTable(Relation records)
{
	FailureColumns columns;
	bool		plain;
	Oid			key;

	if (kept.relation == RelationGetRelid(records))
		return;
	FailureColumnsFind(records, &columns);
	plain = IsPlain(records);
	key = FindKey(records, columns.number[FC_ID]);
	kept.columns = columns;
	kept.plain = plain;
	kept.key = key;
	kept.relation = RelationGetRelid(records);
}

static FailureTable *
OpenTable(LOCKMODE mode)
{
	Oid			relid = get_relname_relid("FailureRecords", InstallationGet()->schemaOid);
	FailureTable *table = palloc0(sizeof(FailureTable));

	if (!InstallationOwnsTable(relid))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("there is no table \"FailureRecords\" of the owner of the data tables"),
				 errhint("Run SELECT photoflow.create_tables().")));
	table->records = table_open(relid, mode);
	LookAtTable(table->records);
	table->columns = kept.columns;
	table->plain = kept.plain;
	table->key = kept.key;
	table->now = GetCurrentTimestamp();
	table->slot = table_slot_create(table->records, NULL);
	table->context = CurrentMemoryContext;
	table->rowContext = AllocSetContextCreate(CurrentMemoryContext, "photoflow failure record", ALLOCSET_DEFAULT_SIZES);
	return table;
}

/* Open the table to write, as a statement of its own; FailureClose() ends it. */
FailureTable *
FailureOpen(const char *function)
{
	FailureTable *table;

	PreventCommandIfReadOnly(function);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	table = OpenTable(RowExclusiveLock);
	CheckCmdReplicaIdentity(table->records, CMD_UPDATE);
	table->written = MakeSingleTupleTableSlot(RelationGetDescr(table->records), &TTSOpsVirtual);
	return table;
}

FailureTable *
FailureOpenToRead(void)
{
	return OpenTable(AccessShareLock);
}

/* Write what goes with what was written, and close. */
void
FailureClose(FailureTable *table)
{
	bool		writes = table->written != NULL;

	if (writes)
		FailureTablesFlush(table);
	FailureFetchEnd(table);
	ExecDropSingleTupleTableSlot(table->slot);
	if (writes)
		ExecDropSingleTupleTableSlot(table->written);
	if (table->target)
		ExecCloseIndices(table->target);
	if (table->estate)
		FreeExecutorState(table->estate);
	table_close(table->records, NoLock);
	MemoryContextDelete(table->rowContext);
	if (!writes)
		return;
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* Raise PF040 where the table is older than its queue. */
void
RequireFailureTables(void)
{
	FailureClose(FailureOpenToRead());
}

/* Take a row apart. */
void
FailureRowTake(FailureRow *row, const FailureColumns *columns, HeapTuple tuple, TupleDesc desc)
{
	row->columns = columns;
	row->values = palloc(sizeof(Datum) * desc->natts);
	row->nulls = palloc(sizeof(bool) * desc->natts);
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
	row->tid = tuple->t_self;
	row->statusBefore = DatumGetBool(FailureValue(row, FC_DELETED)) ? FAILURE_NONE : FailureInt(row, FC_STATUS);
	row->severityBefore = FailureInt(row, FC_SEVERITY);
	row->hadPlace = !FailureIsNull(row, FC_NEXT_RETRY);
	row->placeBefore = row->hadPlace ? DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) : 0;
}

/* Take the row in a slot apart; good until the next call. */
FailureRow *
FailureRowMake(FailureTable *table, TupleTableSlot *slot)
{
	MemoryContext caller;
	FailureRow *row;

	MemoryContextReset(table->rowContext);
	caller = MemoryContextSwitchTo(table->rowContext);
	row = palloc(sizeof(FailureRow));
	FailureRowTake(row, &table->columns, ExecCopySlotHeapTuple(slot), RelationGetDescr(table->records));
	row->tid = slot->tts_tid;
	MemoryContextSwitchTo(caller);
	return row;
}

/* A copy that stays as it is when the row is changed; as long-lived. */
FailureRow
FailureRowCopy(FailureTable *table, const FailureRow *row)
{
	int			columns = RelationGetDescr(table->records)->natts;
	FailureRow	copy = *row;

	copy.values = memcpy(MemoryContextAlloc(table->rowContext, sizeof(Datum) * columns), row->values, sizeof(Datum) * columns);
	copy.nulls = memcpy(MemoryContextAlloc(table->rowContext, sizeof(bool) * columns), row->nulls, sizeof(bool) * columns);
	return copy;
}
