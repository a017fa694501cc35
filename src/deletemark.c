/*
 * deletemark.c: the triggers that mark, freeze and collect, whatever planned the statement.
 *
 *     CREATE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON "Albums"
 *         FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion()
 *     CREATE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON "Albums"
 *         FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion()
 *     CREATE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON "Albums"
 *         FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion()
 *
 * The first one comes after the user's own, and sees what they have made of the row. A row that is marked already is
 * left out of an UPDATE that marks: the older deletion keeps it, and the number of rows is that of those deleted.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

#include "belonging.h"
#include "deletion.h"
#include "photo.h"
#include "store.h"

/* What the triggers look at in one version of a row. */
typedef struct RowMarks
{
	bool		isDeleted;
	bool		hasBooks;		/* any of the columns that are the database's to write */
	bool		hasDeletion;
	pg_uuid_t	id;
	pg_uuid_t	org;
	pg_uuid_t	deletion;
	TimestampTz at;
	pg_uuid_t	by;
	bool		hasBy;
} RowMarks;

static bool ReadUuid(TupleTableSlot *slot, AttrNumber number, pg_uuid_t *value);
static void ReadMarks(TupleTableSlot *slot, const SoftColumns *columns, RowMarks *marks);
static HeapTuple SetMarks(TriggerData *trigger, const SoftColumns *columns, const Deletion *deletion);
static void RequireRestorable(SoftTableId table, const RowMarks *before);
static void CollectChange(TriggerData *trigger, SoftTableId table, const RowMarks *before, const RowMarks *after);

static bool
ReadUuid(TupleTableSlot *slot, AttrNumber number, pg_uuid_t *value)
{
	bool		isNull;
	Datum		datum = slot_getattr(slot, number, &isNull);

	if (!isNull)
		*value = *DatumGetUUIDP(datum);
	return !isNull;
}

static void
ReadMarks(TupleTableSlot *slot, const SoftColumns *columns, RowMarks *marks)
{
	bool		isNull;

	memset(marks, 0, sizeof(*marks));
	marks->isDeleted = DatumGetBool(slot_getattr(slot, columns->isDeleted, &isNull));
	(void) ReadUuid(slot, columns->id, &marks->id);
	(void) ReadUuid(slot, columns->org, &marks->org);
	marks->hasDeletion = ReadUuid(slot, columns->deletionId, &marks->deletion);
	marks->hasBy = ReadUuid(slot, columns->deletedBy, &marks->by);
	marks->at = DatumGetTimestampTz(slot_getattr(slot, columns->deletedAt, &isNull));
	marks->hasBooks = !isNull || marks->hasDeletion || marks->hasBy;
}

/* Write what goes with the flag into the new row; without a deletion nothing does. */
static HeapTuple
SetMarks(TriggerData *trigger, const SoftColumns *columns, const Deletion *deletion)
{
	int			numbers[3] = {columns->deletedAt, columns->deletedBy, columns->deletionId};
	Datum		values[3] = {0};
	bool		nulls[3] = {deletion == NULL, deletion == NULL || !deletion->hasBy, deletion == NULL};

	if (deletion)
	{
		values[0] = TimestampTzGetDatum(deletion->at);
		values[1] = UUIDPGetDatum(&deletion->by);
		values[2] = UUIDPGetDatum(&deletion->id);
	}
	return heap_modify_tuple_by_cols(trigger->tg_newtuple, RelationGetDescr(trigger->tg_relation), 3, numbers, values, nulls);
}

/* Raise PF022 where a row cannot come back. */
static void
RequireRestorable(SoftTableId table, const RowMarks *before)
{
	Conflicts	conflicts;

	LockOrganization(&before->org, ShareLock);
	ConflictsBegin(&conflicts);
	ConflictsFind(&conflicts, table, &before->org, before->hasDeletion ? &before->deletion : NULL, &before->id);
	if (conflicts.count > 0)
		ConflictsRaise(&conflicts, psprintf("%s %s", softTables[table].noun, UuidText(&before->id)));
}

PHOTOFLOW_FUNCTION(photoflow_mark_deletion)
{
	bool		deletes = CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_BY_DELETE(((TriggerData *) fcinfo->context)->tg_event);
	TriggerData *trigger = RequireTrigger(fcinfo, "mark_deletion", deletes ? BEFORE_DELETE_ROW : BEFORE_UPDATE_ROW,
										  "BEFORE DELETE OR UPDATE FOR EACH ROW");
	SoftColumns columns;
	RowMarks	before;
	bool		isNull;
	bool		isDeleted;

	if (deletes)
	{
		RefuseHardDelete(trigger);
		return PointerGetDatum(trigger->tg_trigtuple);
	}
	columns = SoftColumnsOf(trigger->tg_relation);
	isDeleted = DatumGetBool(slot_getattr(trigger->tg_newslot, columns.isDeleted, &isNull));

	if (isNull)
		return PointerGetDatum(trigger->tg_newtuple);	/* NOT NULL is the table's to say */
	ReadMarks(trigger->tg_trigslot, &columns, &before);
	if (isDeleted)
		return PointerGetDatum(before.isDeleted ? NULL : SetMarks(trigger, &columns, DeletionCurrent()));
	if (!before.isDeleted)
		return PointerGetDatum(trigger->tg_newtuple);
	RequireRestorable(columns.table, &before);
	return PointerGetDatum(SetMarks(trigger, &columns, NULL));
}

/* Say that what goes with a deletion is not a statement's to write. */
void
RefuseBooks(const char *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("\"DeletedAt\", \"DeletedBy\" and \"DeletionId\" of \"%s\" are written by the database", table),
			 errhint("Leave them out of the statement, and of what triggers of your own change.")));
}

/* Collect what happened to a row; refuse what may not. */
static void
CollectChange(TriggerData *trigger, SoftTableId table, const RowMarks *before, const RowMarks *after)
{
	CollectedRow row = {.id = after->id, .org = after->org, .table = table, .restored = before->isDeleted,
		.tid = trigger->tg_newslot->tts_tid};

	if (before->isDeleted && after->isDeleted)
		RefuseMarkedRow(softTables[table].name, &before->id);
	if (after->isDeleted ? !after->hasDeletion : after->hasBooks)
		RefuseBooks(softTables[table].name);
	if (!before->isDeleted && !after->isDeleted)
		return;
	if (ContextOrg() && !UuidEquals(ContextOrg(), &after->org))
		RefuseMissingRows(softTables[table].entity, softTables[table].noun, &after->id, 1);
	if (after->isDeleted)
		row.deletion = DeletionFind(&after->deletion);
	else if (before->hasDeletion)
		row.deletion = DeletionOfRow(&before->deletion, before->at, NULL);
	if (after->isDeleted && row.deletion == NULL)
		RefuseBooks(softTables[table].name);	/* a trigger of a user's has written another */
	BelongingForget();
	if (SoftTableHasChildren(table))
		CollectRow(&row);
	else if (row.deletion && row.deletion->rows && !row.restored)
		row.deletion->rows[table]++;
}

PHOTOFLOW_FUNCTION(photoflow_collect_deletion)
{
	TriggerData *trigger = RequireTrigger(fcinfo, "collect_deletion", AFTER_UPDATE_ROW, "AFTER UPDATE FOR EACH ROW");
	SoftColumns columns = SoftColumnsOf(trigger->tg_relation);
	RowMarks	before;
	RowMarks	after;

	ReadMarks(trigger->tg_trigslot, &columns, &before);
	ReadMarks(trigger->tg_newslot, &columns, &after);
	CollectChange(trigger, columns.table, &before, &after);
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_cascade_deletion)
{
	(void) RequireStatementTrigger(fcinfo, "cascade_deletion", TRIGGER_EVENT_AFTER, "AFTER UPDATE FOR EACH STATEMENT");
	CollectFlush();
	DeletionEndFrameless();
	return PointerGetDatum(NULL);
}
