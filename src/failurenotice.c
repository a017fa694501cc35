/*
 * failurenotice.c: what others hear of failure records: the counts, and who waits for work.
 *
 *     CREATE TRIGGER "PhotoflowFailureCount" AFTER INSERT OR DELETE OR UPDATE OF "Status", "Severity", "IsDeleted"
 *         ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION photoflow.count_failure()
 *     CREATE TRIGGER "PhotoflowFailureForget" AFTER TRUNCATE ON "FailureRecords"
 *         FOR EACH STATEMENT EXECUTE FUNCTION photoflow.forget_failures()
 */
#include "photoflow.h"

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/snapmgr.h"

#include "failure.h"

static void CountSlot(TupleTableSlot *slot, const FailureColumns *columns, pg_uuid_t *org, int *severity, int *status, bool *due);

/* Read what is counted of a row; a deleted one is not there. */
static void
CountSlot(TupleTableSlot *slot, const FailureColumns *columns, pg_uuid_t *org, int *severity, int *status, bool *due)
{
	FailureRow	row = {.columns = columns};

	slot_getallattrs(slot);
	row.values = slot->tts_values;
	row.nulls = slot->tts_isnull;
	*org = *DatumGetUUIDP(FailureValue(&row, FC_ORG));
	*severity = FailureInt(&row, FC_SEVERITY);
	*status = DatumGetBool(FailureValue(&row, FC_DELETED)) ? FAILURE_NONE : FailureInt(&row, FC_STATUS);
	*due = *status == FAILURE_PENDING && !FailureIsNull(&row, FC_NEXT_RETRY) &&
		DatumGetTimestampTz(FailureValue(&row, FC_NEXT_RETRY)) <= GetCurrentTimestamp();
}

PHOTOFLOW_FUNCTION(photoflow_count_failure)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	FailureTable side = {.context = CurrentMemoryContext};
	FailureColumns columns;
	pg_uuid_t	org;
	int			severity[2] = {0, 0};
	int			status[2] = {FAILURE_NONE, FAILURE_NONE};
	bool		due[2] = {false, false};

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"count_failure\" must be fired AFTER INSERT, UPDATE OR DELETE FOR EACH ROW")));
	FailureColumnsFind(trigger->tg_relation, &columns);
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		CountSlot(trigger->tg_trigslot, &columns, &org, &severity[0], &status[0], &due[0]);
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		CountSlot(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_trigslot : trigger->tg_newslot, &columns, &org,
				  &severity[1], &status[1], &due[1]);
	if (severity[0] == severity[1] || status[0] == FAILURE_NONE || status[1] == FAILURE_NONE)
		FailureCountAdd(&side, &org, status[1] == FAILURE_NONE ? severity[0] : severity[1], status[0], status[1]);
	else
	{
		FailureCountAdd(&side, &org, severity[0], status[0], FAILURE_NONE);
		FailureCountAdd(&side, &org, severity[1], FAILURE_NONE, status[1]);
	}
	side.claimable = due[1] && !due[0];
	FailureTablesFlush(&side);
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_forget_failures)
{
	(void) RequireStatementTrigger(fcinfo, "forget_failures", TRIGGER_EVENT_AFTER, "AFTER TRUNCATE FOR EACH STATEMENT");
	PushActiveSnapshot(GetTransactionSnapshot());
	FailureCountsEmpty();
	PopActiveSnapshot();
	return PointerGetDatum(NULL);
}
