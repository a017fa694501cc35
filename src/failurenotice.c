/*
 * failurenotice.c: what others hear of failure records: the counts, and who waits for work.
 *
 *     CREATE TRIGGER "PhotoflowFailureCount" AFTER INSERT OR DELETE OR UPDATE ON "FailureRecords"
 *         FOR EACH ROW EXECUTE FUNCTION photoflow.count_failure()
 *     CREATE TRIGGER "PhotoflowFailureForget" AFTER TRUNCATE ON "FailureRecords"
 *         FOR EACH STATEMENT EXECUTE FUNCTION photoflow.forget_failures()
 */
#include "photoflow.h"

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "store.h"
#include "tenant.h"

/* What is counted, and told, of one version of a row. */
typedef struct Seen
{
	FailureRow	row;
	int			status;			/* of a deleted one: FAILURE_NONE */
	int			severity;
	bool		due;
} Seen;

static void
SeeSlot(TupleTableSlot *slot, const FailureColumns *columns, Seen *seen)
{
	slot_getallattrs(slot);
	seen->row.columns = columns;
	seen->row.values = slot->tts_values;
	seen->row.nulls = slot->tts_isnull;
	seen->severity = FailureInt(&seen->row, FC_SEVERITY);
	seen->status = DatumGetBool(FailureValue(&seen->row, FC_DELETED)) ? FAILURE_NONE : FailureInt(&seen->row, FC_STATUS);
	seen->due = seen->status == FAILURE_PENDING && !FailureIsNull(&seen->row, FC_NEXT_RETRY) &&
		DatumGetTimestampTz(FailureValue(&seen->row, FC_NEXT_RETRY)) <= GetCurrentTimestamp();
}

/* Write the end of the attempt that a plain UPDATE has taken the record out of; not before it is sure that it has. */
static void
NoteAttempt(FailureTable *side, const Seen *before, const Seen *after)
{
	static const char *const outcomes[FAILURE_STATUS_COUNT] = {[FAILURE_PENDING] = "failed", [FAILURE_ABANDONED] = "abandoned",
		[FAILURE_CANCELLED] = "cancelled"};

	if (before->status == FAILURE_IN_PROGRESS && after->status >= 0 && after->status < FAILURE_STATUS_COUNT &&
		outcomes[after->status] && !FailureIsWriting(&after->row))
		FailureEndAttempt(side, &before->row, outcomes[after->status], (Datum) 0, false);
}

/* A record that is really gone takes its attempts with it. */
static void
ForgetAttempts(const FailureRow *row)
{
	Datum		values[2] = {FailureValue(row, FC_ORG), FailureValue(row, FC_ID)};
	TenantScope scope;

	if (DatumGetInt64(FailureValue(row, FC_TOKEN)) == 0)
		return;
	TenantEnter(&scope, DatumGetUUIDP(values[0]));
	StoreBegin();
	(void) StoreRun(PLAN_FAILURE_ATTEMPTS_GONE, values, NULL);
	StoreEnd();
	TenantLeave(&scope);
}

static void
NoteCount(FailureTable *side, const pg_uuid_t *org, const Seen *before, const Seen *after)
{
	if (before->severity == after->severity || before->status == FAILURE_NONE || after->status == FAILURE_NONE)
		FailureCountAdd(side, org, after->status == FAILURE_NONE ? before->severity : after->severity, before->status, after->status);
	else
	{
		FailureCountAdd(side, org, before->severity, before->status, FAILURE_NONE);
		FailureCountAdd(side, org, after->severity, FAILURE_NONE, after->status);
	}
}

PHOTOFLOW_FUNCTION(photoflow_count_failure)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	FailureTable side = {.context = CurrentMemoryContext, .now = GetCurrentTimestamp()};
	FailureColumns columns;
	Seen		before = {.status = FAILURE_NONE};
	Seen		after = {.status = FAILURE_NONE};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"count_failure\" must be fired AFTER INSERT, UPDATE OR DELETE FOR EACH ROW")));
	FailureRequireTable(trigger->tg_relation);
	FailureColumnsFind(trigger->tg_relation, &columns);
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		SeeSlot(trigger->tg_trigslot, &columns, &before);
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		SeeSlot(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigslot : trigger->tg_newslot, &columns, &after);
	/* MERGE names no column when it deletes, so that keep_failure() has not been there */
	if (before.row.values && !FailureIsNull(&before.row, FC_NEXT_RETRY))
		MarkHold(DatumGetTimestampTz(FailureValue(&before.row, FC_NEXT_RETRY)));
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ForgetAttempts(&before.row);
	else
		NoteAttempt(&side, &before, &after);
	NoteCount(&side, DatumGetUUIDP(FailureValue(before.row.values ? &before.row : &after.row, FC_ORG)), &before, &after);
	side.claimable = after.due && !before.due;
	FailureTablesFlush(&side);
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_forget_failures)
{
	FailureRequireTable(RequireStatementTrigger(fcinfo, "forget_failures", TRIGGER_EVENT_AFTER,
												"AFTER TRUNCATE FOR EACH STATEMENT")->tg_relation);
	PushActiveSnapshot(GetTransactionSnapshot());
	FailureCountsEmpty();
	PopActiveSnapshot();
	return PointerGetDatum(NULL);
}
