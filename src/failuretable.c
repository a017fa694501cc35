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
#include "access/sysattr.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "multiinsert.h"
#include "relwatch.h"
#include "store.h"

static const struct
{
	const char *name;
	Oid			type;
	bool		isText;			/* or varchar */
}			columnsKnown[FC_COUNT] = {
	[FC_ID] = {"Id", UUIDOID, false}, [FC_ORG] = {"OrgId", UUIDOID, false},
	[FC_ENTITY] = {"EntityId", UUIDOID, false}, [FC_ENTITY_TYPE] = {"EntityType", TEXTOID, true},
	[FC_FROM] = {"FromState", TEXTOID, true}, [FC_TO] = {"ToState", TEXTOID, true},
	[FC_ERROR] = {"ErrorMessage", TEXTOID, true}, [FC_SEVERITY] = {"Severity", INT4OID, false},
	[FC_RETRIES] = {"RetryCount", INT4OID, false}, [FC_LAST_RETRY] = {"LastRetryAt", TIMESTAMPTZOID, false},
	[FC_STATUS] = {"Status", INT4OID, false}, [FC_CREATED] = {"CreatedAt", TIMESTAMPTZOID, false},
	[FC_MODIFIED] = {"ModifiedAt", TIMESTAMPTZOID, false}, [FC_DELETED] = {"IsDeleted", BOOLOID, false},
	[FC_NEXT_RETRY] = {"NextRetryAt", TIMESTAMPTZOID, false}, [FC_LEASE] = {"LeaseUntil", TIMESTAMPTZOID, false},
	[FC_TOKEN] = {"ClaimToken", INT8OID, false}, [FC_WORKER] = {"ClaimedBy", TEXTOID, true},
	[FC_FINISHED] = {"FinishedAt", TIMESTAMPTZOID, false}, [FC_MAX_RETRIES] = {"MaxRetries", INT4OID, false},
	[FC_PAYLOAD] = {"Payload", JSONBOID, false}, [FC_FINGERPRINT] = {"Fingerprint", TEXTOID, true},
	[FC_OCCURRENCES] = {"Occurrences", INT4OID, false}, [FC_LAST_FAILED] = {"LastFailedAt", TIMESTAMPTZOID, false},
	[FC_FIRST_ERROR] = {"FirstError", TEXTOID, true}
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
static bool IsPlain(Relation records, const FailureColumns *columns);
static bool IsOurTrigger(const Trigger *trigger);
static bool KeysAreWritten(Relation records, const FailureColumns *columns);
static Oid	FindKey(Relation records, AttrNumber id);
static FailureTable *OpenTable(LOCKMODE mode);

void
FailureTableInitialize(void)
{
	WatchRelations(ForgetTable);
}

static void
ForgetTable(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kept.relation || !OidIsValid(kept.relation))
	{
		kept.relation = InvalidOid;
		MarksForget();
	}
}

/* Raise 39P01 unless a trigger is on the failure records of the installation: anybody may make a table with a trigger of ours. */
void
FailureRequireTable(Relation records)
{
	if (strcmp(RelationGetRelationName(records), "FailureRecords") != 0 || !InstallationOwnsTable(RelationGetRelid(records)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("photoflow's triggers of failure records are for photoflow's table only"),
				 errhint("SELECT photoflow.attach() puts them where they belong.")));
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
		AttrNumber	number = get_attnum(RelationGetRelid(records), columnsKnown[i].name);
		Oid			type = number > 0 ? TupleDescAttr(RelationGetDescr(records), number - 1)->atttypid : InvalidOid;

		if (type != columnsKnown[i].type && !(columnsKnown[i].isText && type == VARCHAROID))
			ereport(ERROR,
					(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
					 number > 0 ? errmsg("column \"%s\" of \"%s\" has another type", columnsKnown[i].name, RelationGetRelationName(records)) :
					 errmsg("table \"%s\" has no column \"%s\" yet", RelationGetRelationName(records), columnsKnown[i].name),
					 errhint("Run CALL photoflow.migrate().")));
		columns->number[i] = number;
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
IsPlain(Relation records, const FailureColumns *columns)
{
	TupleConstr *constraints = RelationGetDescr(records)->constr;
	TriggerDesc *triggers;
	bool		areOurs = true;

	if (records->rd_rel->relkind != RELKIND_RELATION || records->rd_rel->relispartition || records->rd_rules != NULL ||
		(constraints && (constraints->num_check > 0 || constraints->has_generated_stored)))
		return false;
	triggers = CopyTriggerDesc(records->trigdesc);	/* a look into the catalog may make them anew */
	for (int i = 0; areOurs && triggers && i < triggers->numtriggers; i++)
		areOurs = IsOurTrigger(&triggers->triggers[i]);
	FreeTriggerDesc(triggers);
	return areOurs && IndexesAreImmediate(records) && !KeysAreWritten(records, columns);
}

/* Say whether a key that a foreign key may refer to has a column that the queue writes. */
static bool
KeysAreWritten(Relation records, const FailureColumns *columns)
{
	Bitmapset  *keys = RelationGetIndexAttrBitmap(records, INDEX_ATTR_BITMAP_KEY);

	for (int i = FC_ERROR; i < FC_COUNT; i++)
		if (bms_is_member(columns->number[i] - FirstLowInvalidHeapAttributeNumber, keys))
			return true;
	return false;
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
	AcceptInvalidationMessages();
	FailureColumnsFind(records, &columns);
	plain = IsPlain(records, &columns);
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
