/*
 * failuredone.c: what the holder of a claim does with it: extend, resolve, reschedule, snooze.
 */
#include "photoflow.h"

#include "common/pg_prng.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "completion.h"

static void Extend(Completions *work, Completion *one, FailureRow *row);
static void Resolve(Completions *work, Completion *one, FailureRow *row);
static void Reschedule(Completions *work, Completion *one, FailureRow *row);
static void Snooze(Completions *work, Completion *one, FailureRow *row);
static TimestampTz NextRetry(const Completions *work, const FailureRow *row, const FailurePolicy *policy);

/* Never earlier than it would end: whoever looks at records has passed it until then */
static void
Extend(Completions *work, Completion *one, FailureRow *row)
{
	TimestampTz until = GetCurrentTimestamp() + work->microseconds;

	if (FailureIsNull(row, FC_LEASE) || DatumGetTimestampTz(FailureValue(row, FC_LEASE)) < until)
		FailureSet(row, FC_LEASE, TimestampTzGetDatum(until));
}

static void
Resolve(Completions *work, Completion *one, FailureRow *row)
{
	FailureFinish(row, FAILURE_RESOLVED, work->table->now);
}

static TimestampTz
NextRetry(const Completions *work, const FailureRow *row, const FailurePolicy *policy)
{
	int64		delay = work->microseconds;

	if (!work->hasRetryAfter)
		delay = BackoffDelay(FailureInt(row, FC_RETRIES), policy->base, policy->cap, pg_prng_double(&pg_global_prng_state));
	return FailureStamp() + delay;
}

static void
Reschedule(Completions *work, Completion *one, FailureRow *row)
{
	const FailurePolicy *policy = FailurePolicyOf(row);
	bool		exhausted = FailureIsExhausted(row, policy);

	FailureEndAttempt(work->table, row, "failed", one->error, one->hasError);
	if (one->hasError)
		FailureReplaceError(row, one->error, work->table->now);
	else
		FailureSet(row, FC_LAST_FAILED, TimestampTzGetDatum(work->table->now));
	if (exhausted)
		FailureFinish(row, FAILURE_ABANDONED, work->table->now);
	else
		FailureRetryAt(row, NextRetry(work, row, policy));
	one->status = FailureInt(row, FC_STATUS);
	one->hasNext = !exhausted;
	one->next = exhausted ? 0 : DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY));
}

static void
Snooze(Completions *work, Completion *one, FailureRow *row)
{
	FailureEndAttempt(work->table, row, "snoozed", (Datum) 0, false);
	FailureRetryAt(row, work->until <= GetCurrentTimestamp() ? FailureStamp() : work->until);
	FailureSet(row, FC_RETRIES, Int32GetDatum(Max(FailureInt(row, FC_RETRIES) - 1, 0)));
}

PHOTOFLOW_FUNCTION(photoflow_extend_lease)
{
	Completions work = {0};

	CompletionsRead(fcinfo, &work);
	RequireArgument(fcinfo, 2, "lease", "Give how long from now the leases are to last.");
	RequirePositive(fcinfo, 2, "lease", "To give records back, snooze_failures() or reschedule_failures().");
	work.microseconds = IntervalMicroseconds(PG_GETARG_INTERVAL_P(2));
	CompletionsDo(fcinfo, &work, "extend_lease()", Extend);
	return CompletionsReturn(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_resolve_failures)
{
	Completions work = {0};

	CompletionsRead(fcinfo, &work);
	CompletionsDo(fcinfo, &work, "resolve_failures()", Resolve);
	return CompletionsReturn(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_snooze_failures)
{
	Completions work = {0};

	CompletionsRead(fcinfo, &work);
	RequireArgument(fcinfo, 2, "until", "Give the time from which on the records may be claimed again.");
	work.until = PG_GETARG_TIMESTAMPTZ(2);
	if (work.until == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"until\" must not be infinity"),
				 errhint("To give a record up: abandon_failures(), or cancel_failures().")));
	work.waits = true;
	CompletionsDo(fcinfo, &work, "snooze_failures()", Snooze);
	return CompletionsReturn(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_reschedule_failures)
{
	Completions work = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	CompletionsRead(fcinfo, &work);
	CompletionsReadErrors(fcinfo, &work);
	RequireNotNegative(fcinfo, 3, "retry_after", "Give a delay, or NULL for the one that the policy says.");
	work.hasRetryAfter = !PG_ARGISNULL(3);
	work.microseconds = work.hasRetryAfter ? IntervalMicroseconds(PG_GETARG_INTERVAL_P(3)) : 0;
	work.waits = true;
	CompletionsDo(fcinfo, &work, "reschedule_failures()", Reschedule);
	for (int i = 0; i < work.count; i++)
	{
		const Completion *one = &work.all[i];
		Datum		values[5] = {UUIDPGetDatum(&one->id), BoolGetDatum(one->ok)};
		bool		nulls[5] = {false, false, !one->ok, !one->ok || !one->hasNext, one->whyNot == NULL};

		if (one->ok)
			values[2] = CStringGetTextDatum(FailureStatusName(one->status));
		values[3] = TimestampTzGetDatum(one->next);
		if (one->whyNot)
			values[4] = CStringGetTextDatum(one->whyNot);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
