/*
 * auditchange.c: the trigger that records what happens to the rows of a tracked table.
 *
 *     CREATE TRIGGER "00_PhotoflowAuditUpdate" AFTER UPDATE ON "Albums" REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
 *         FOR EACH STATEMENT EXECUTE FUNCTION photoflow.record_changes('mask:Title')
 *
 * Once a statement the transition tables are walked in step; the rows of a partitioned or inherited table, which have none where the
 * table is named by another, come one by one. Everything is written in the same subtransaction, and goes with it.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "auditlog.h"

/* rows that are written at once */
#define ROWS_AT_ONCE 1000

/* whose rows belong to nobody: no organization has this id */
static const pg_uuid_t nobody = {{0}};

typedef struct Recorder
{
	const TrackedTable *table;
	AuditWriter *writer;		/* opened for the first row that changed */
	int			room;
	MemoryContext waiting;		/* values of rows that are not yet written */
	AuditRow	row;			/* what all rows of the statement share, once the writer is open */
} Recorder;

/* what texts of values depend on */
typedef struct OutputSettings
{
	int			dateStyle;
	int			intervalStyle;
	int			floatDigits;
	int			byteaOutput;
	pg_tz	   *timezone;
} OutputSettings;

static OutputSettings PinOutput(const OutputSettings *settings);
static void RecordEvent(const TriggerData *trigger);
static bool TablesAreThere(const TriggerData *trigger);
static bool IsRecordedByRow(const TriggerData *trigger);
static void RecorderBegin(Recorder *recorder, const TriggerData *trigger, int room);
static void RecorderOpen(Recorder *recorder);
static void RecorderEnd(Recorder *recorder);
static void SetOrganization(const Recorder *recorder, AuditRow *row, TupleTableSlot *slot);
static void SetAction(AuditRow *row, const TrackedTable *table, TupleTableSlot *before, TupleTableSlot *after);
static void Record(Recorder *recorder, TupleTableSlot *before, TupleTableSlot *after);
static void RecordTruncate(Recorder *recorder);
static TupleTableSlot *ReadTable(Tuplestorestate *rows, Relation relation, int *pointer);
static bool NextRow(Tuplestorestate *rows, int pointer, TupleTableSlot *slot);
static void RecordStatement(Recorder *recorder, const TriggerData *trigger);

static void
RecorderBegin(Recorder *recorder, const TriggerData *trigger, int room)
{
	recorder->table = TrackedTableOf(trigger->tg_relation, trigger->tg_trigger);
	recorder->writer = NULL;
	recorder->room = room;
	recorder->waiting = AllocSetContextCreate(CurrentMemoryContext, "photoflow audit rows", ALLOCSET_DEFAULT_SIZES);
}

/* Something has changed: work out what all rows of the statement share. */
static void
RecorderOpen(Recorder *recorder)
{
	AuditRow   *row = &recorder->row;

	recorder->writer = AuditWriterOpen(recorder->room, recorder->waiting);
	AuditRowOfContext(row);
	AuditSet(row, AC_ENTITY_TYPE, CStringGetTextDatum(recorder->table->entityType));
	if (ContextUser() == NULL)
	{
		const char *login = GetUserNameFromId(GetSessionUserId(), true);

		AuditSet(row, AC_LOGIN, CStringGetTextDatum(login ? login : psprintf("%u", GetSessionUserId())));
	}
	AuditSet(row, AC_TRANSACTION, UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId())));
}

static void
RecorderEnd(Recorder *recorder)
{
	if (recorder->writer)
		AuditWriterClose(recorder->writer);
	MemoryContextDelete(recorder->waiting);
}

/* The row's own organization; without one that of the context, or nobody's. */
static void
SetOrganization(const Recorder *recorder, AuditRow *row, TupleTableSlot *slot)
{
	AttrNumber	org = recorder->table->org;

	if (slot && org != InvalidAttrNumber && !slot->tts_isnull[org - 1])
		AuditSet(row, AC_ORG, UuidCopyDatum(DatumGetUUIDP(slot->tts_values[org - 1])));
	else if (row->nulls[AC_ORG])
		AuditSet(row, AC_ORG, UUIDPGetDatum(&nobody));
}

/*
 * Say what was done. The statement is only named where the action does not tell it: on a table of soft delete, rows are deleted and
 * brought back by an UPDATE.
 */
static void
SetAction(AuditRow *row, const TrackedTable *table, TupleTableSlot *before, TupleTableSlot *after)
{
	int			at = table->isDeleted - 1;
	const char *action = before == NULL ? "insert" : after == NULL ? "delete" : "update";

	if (before && after && at >= 0 && DatumGetBool(before->tts_values[at]) != DatumGetBool(after->tts_values[at]))
	{
		action = DatumGetBool(after->tts_values[at]) ? "delete" : "restore";
		AuditSet(row, AC_OPERATION, CStringGetTextDatum("UPDATE"));
	}
	AuditSet(row, AC_ACTION, CStringGetTextDatum(action));
}

/* Record what became of one row; before or after is NULL where there was none. */
static void
Record(Recorder *recorder, TupleTableSlot *before, TupleTableSlot *after)
{
	const TrackedTable *table = recorder->table;
	TupleTableSlot *first = before ? before : after;
	MemoryContext caller = MemoryContextSwitchTo(recorder->waiting);
	Datum		changes;
	AuditRow	row;
	pg_uuid_t	id;
	bool		same = false;

	changes = before && after ? DiffOfUpdate(table, before, after, &same) : DiffOfRow(table, first);
	MemoryContextSwitchTo(caller);
	if (same)
		return;
	if (recorder->writer == NULL)
		RecorderOpen(recorder);
	row = recorder->row;
	MemoryContextSwitchTo(recorder->waiting);
	UuidV7(&id);
	AuditSet(&row, AC_ID, UuidCopyDatum(&id));
	AuditSet(&row, AC_CHANGES, changes);
	SetOrganization(recorder, &row, first);
	row.values[AC_ENTITY] = EntityIdOfRow(table, first, &row.nulls[AC_ENTITY]);
	SetAction(&row, table, before, after);
	MemoryContextSwitchTo(caller);
	AuditWriterAdd(recorder->writer, &row);
}

static void
RecordTruncate(Recorder *recorder)
{
	pg_uuid_t	id;

	RecorderOpen(recorder);
	UuidV7(&id);
	AuditSet(&recorder->row, AC_ID, UuidCopyDatum(&id));
	SetOrganization(recorder, &recorder->row, NULL);
	AuditSet(&recorder->row, AC_ACTION, CStringGetTextDatum("truncate"));
	AuditWriterAdd(recorder->writer, &recorder->row);
}

/* Begin to read a transition table, from its first row, wherever others are in it. */
static TupleTableSlot *
ReadTable(Tuplestorestate *rows, Relation relation, int *pointer)
{
	*pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(rows, *pointer);
	tuplestore_rescan(rows);
	return MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
}

static bool
NextRow(Tuplestorestate *rows, int pointer, TupleTableSlot *slot)
{
	tuplestore_select_read_pointer(rows, pointer);
	return tuplestore_gettupleslot(rows, true, false, slot);
}

static void
RecordStatement(Recorder *recorder, const TriggerData *trigger)
{
	Tuplestorestate *old = trigger->tg_oldtable;
	Tuplestorestate *new = trigger->tg_newtable;
	int			oldPointer = 0;
	int			newPointer = 0;
	TupleTableSlot *before = old ? ReadTable(old, trigger->tg_relation, &oldPointer) : NULL;
	TupleTableSlot *after = new ? ReadTable(new, trigger->tg_relation, &newPointer) : NULL;

	while ((before == NULL || NextRow(old, oldPointer, before)) && (after == NULL || NextRow(new, newPointer, after)))
	{
		CHECK_FOR_INTERRUPTS();
		Record(recorder, before, after);
	}
	if (before)
		ExecDropSingleTupleTableSlot(before);
	if (after)
		ExecDropSingleTupleTableSlot(after);
}

/* Say whether a trigger that is fired once a statement has the transition tables of its event. */
static bool
TablesAreThere(const TriggerData *trigger)
{
	TriggerEvent event = trigger->tg_event;

	if (TRIGGER_FIRED_FOR_ROW(event))
		return true;
	return (trigger->tg_oldtable != NULL) == (TRIGGER_FIRED_BY_UPDATE(event) || TRIGGER_FIRED_BY_DELETE(event)) &&
		(trigger->tg_newtable != NULL) == (TRIGGER_FIRED_BY_UPDATE(event) || TRIGGER_FIRED_BY_INSERT(event));
}

/* A table that was tracked by itself, and has become part of one that is, has the triggers of both. */
static bool
IsRecordedByRow(const TriggerData *trigger)
{
	const TriggerDesc *triggers = trigger->tg_relation->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers && !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event); i++)
		if (triggers->triggers[i].tgfoid == trigger->tg_trigger->tgfoid && TRIGGER_FOR_ROW(triggers->triggers[i].tgtype))
			return true;
	return false;
}

/* Make texts of values the same whatever the session's settings are; they are variables here, so that it costs nothing. */
static OutputSettings
PinOutput(const OutputSettings *settings)
{
	OutputSettings before = {DateStyle, IntervalStyle, extra_float_digits, bytea_output, session_timezone};

	DateStyle = settings->dateStyle;
	IntervalStyle = settings->intervalStyle;
	extra_float_digits = settings->floatDigits;
	bytea_output = settings->byteaOutput;
	session_timezone = settings->timezone;
	return before;
}

static void
RecordEvent(const TriggerData *trigger)
{
	Recorder	recorder;
	TupleTableSlot *slot = trigger->tg_trigslot;

	RecorderBegin(&recorder, trigger, TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? 1 : ROWS_AT_ONCE);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		RecordTruncate(&recorder);
	else if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		RecordStatement(&recorder, trigger);
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		Record(&recorder, slot, trigger->tg_newslot);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		Record(&recorder, NULL, slot);
	else
		Record(&recorder, slot, NULL);
	RecorderEnd(&recorder);
}

PHOTOFLOW_FUNCTION(photoflow_record_changes)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	OutputSettings before;
	OutputSettings pinned = {USE_ISO_DATES, INTSTYLE_POSTGRES, 1, BYTEA_OUTPUT_HEX, NULL};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TablesAreThere(trigger))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired %s", "record_changes", "AFTER, for each row or with transition tables"),
				 errhint("SELECT photoflow.track(table) makes its triggers.")));
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) && IsRecordedByRow(trigger))
		return PointerGetDatum(NULL);
	pinned.timezone = pg_tzset("UTC");
	before = PinOutput(&pinned);
	PG_TRY();
	{
		RecordEvent(trigger);
	}
	PG_FINALLY();
	{
		(void) PinOutput(&before);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
