/*
 * argument.c: what SQL hands to a function, checked: arguments that must be given, triggers as they must be fired; and
 * what a row that goes back looks like.
 */
#include "photoflow.h"

#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Raise 22004 when an argument that is needed is NULL; hint may be NULL. */
void
RequireArgument(FunctionCallInfo fcinfo, int number, const char *name, const char *hint)
{
	if (PG_ARGISNULL(number))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"%s\" must not be NULL", name),
				 hint ? errhint("%s", hint) : errhint("Give a value for \"%s\".", name)));
}

/* Raise 22023 for an interval that is negative; NULL is not. */
void
RequireNotNegative(FunctionCallInfo fcinfo, int number, const char *name, const char *hint)
{
	static const Interval zero;

	if (!PG_ARGISNULL(number) &&
		DatumGetInt32(DirectFunctionCall2(interval_cmp, PG_GETARG_DATUM(number), IntervalPGetDatum(&zero))) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be negative", name),
				 errhint("%s", hint)));
}

/* Raise 22023 for an interval that is not longer than nothing; NULL is not refused. */
void
RequirePositive(FunctionCallInfo fcinfo, int number, const char *name, const char *hint)
{
	static const Interval zero;

	if (!PG_ARGISNULL(number) &&
		DatumGetInt32(DirectFunctionCall2(interval_cmp, PG_GETARG_DATUM(number), IntervalPGetDatum(&zero))) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be longer than nothing", name),
				 errhint("%s", hint)));
}

/* Raise 2D000 unless called as a procedure that may commit. */
void
RequireCommits(FunctionCallInfo fcinfo, const char *procedure)
{
	CallContext *call = (CallContext *) fcinfo->context;

	if (call == NULL || !IsA(call, CallContext) || call->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot run inside a transaction", procedure),
				 errhint("It commits after every batch: CALL it on its own, outside BEGIN and outside functions.")));
}

/* Return the id of an album, which must be given. */
pg_uuid_t *
AlbumIdArgument(FunctionCallInfo fcinfo, int number)
{
	RequireArgument(fcinfo, number, "album_id", "Give the id of an album.");
	return PG_GETARG_UUID_P(number);
}

/* Return a text that must be given. */
char *
TextArgument(FunctionCallInfo fcinfo, int number, const char *name)
{
	RequireArgument(fcinfo, number, name, NULL);
	return text_to_cstring(PG_GETARG_TEXT_PP(number));
}

/* Raise 39P01 unless called as the trigger of just this event: operation, level and timing. */
struct TriggerData *
RequireTrigger(FunctionCallInfo fcinfo, const char *function, uint32 event, const char *wording)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(trigger->tg_event & (TRIGGER_EVENT_OPMASK | TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)) != event)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired %s", function, wording)));
	return trigger;
}

/* Raise 39P01 unless called as a trigger of this timing, TRIGGER_EVENT_BEFORE or _AFTER, once a statement. */
struct TriggerData *
RequireStatementTrigger(FunctionCallInfo fcinfo, const char *function, uint32 timing, const char *wording)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(trigger->tg_event & (TRIGGER_EVENT_ROW | TRIGGER_EVENT_TIMINGMASK)) != timing)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired %s", function, wording)));
	return trigger;
}

/* Return the description of a row, made once in a session: looking it up for every call costs 1 us. */
TupleDesc
KeepRowType(TupleDesc *kept, const RowColumn *columns, int count)
{
	if (*kept == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	made = CreateTemplateTupleDesc(count);

		for (int i = 0; i < count; i++)
			TupleDescInitEntry(made, i + 1, columns[i].name, columns[i].type, -1, 0);
		*kept = BlessTupleDesc(made);
		MemoryContextSwitchTo(caller);
	}
	return *kept;
}
