/*
 * failuredone.c: what the holder of a claim does with it: extend, resolve, reschedule, snooze.
 *
 * Words:
 * - A completion is one pair of id and token that is asked for, and what became of it.
 *
 * Each completion is judged by its own row; one that is refused does not keep the others from going through. Rows are
 * taken in the order of their ids, whatever order they are given in, so that nobody waits in a circle.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "failure.h"
#include "store.h"

typedef struct Completion
{
	pg_uuid_t	id;
	int64		token;
	int			place;			/* in the arrays */
	bool		hasError;
	Datum		error;
	bool		ok;
	const char *whyNot;
	int			status;
	bool		hasNext;
	TimestampTz next;
} Completion;

typedef struct Completions
{
	FailureTable *table;
	int			count;
	Completion *all;			/* in the order they were given */
	Completion **sorted;
	TimestampTz until;			/* of snooze */
	int64		microseconds;	/* of extend and reschedule */
	bool		hasRetryAfter;
} Completions;

typedef void (*CompletionAction) (Completions *work, Completion *one, FailureRow *row);

static int64 *TokenElements(ArrayType *array, int expected);
static void LengthsDiffer(const char *what, int count, int expected);
static void ReadPairs(FunctionCallInfo fcinfo, Completions *work);
static void ReadErrors(FunctionCallInfo fcinfo, Completions *work);
static int	CompareCompletions(const void *a, const void *b);
static const char *WhyNot(const FailureRow *row, const Completion *one);
static void Complete(Completions *work, Completion *one, const pg_uuid_t *org, CompletionAction action);
static void CompleteAll(FunctionCallInfo fcinfo, Completions *work, const char *function, CompletionAction action);
static void Extend(Completions *work, Completion *one, FailureRow *row);
static void Resolve(Completions *work, Completion *one, FailureRow *row);
static void Reschedule(Completions *work, Completion *one, FailureRow *row);
static void Snooze(Completions *work, Completion *one, FailureRow *row);
static TimestampTz NextRetry(const Completions *work, const FailureRow *row, const FailurePolicy *policy);
static Datum ReturnOk(FunctionCallInfo fcinfo, const Completions *work);

static void
LengthsDiffer(const char *what, int count, int expected)
{
	if (count != expected)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" has %d elements, and \"ids\" %d", what, count, expected),
				 errhint("Give one element for each id, in the same order.")));
}

static int64 *
TokenElements(ArrayType *array, int expected)
{
	Datum	   *elements;
	bool	   *nulls;
	int64	   *tokens;
	int			count;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, &nulls, &count);
	LengthsDiffer("claim_tokens", count, expected);
	tokens = palloc(sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"claim_tokens\" must not contain NULL"),
					 errhint("Give the claim_token that claim_failures() returned with each id.")));
		tokens[i] = DatumGetInt64(elements[i]);
	}
	return tokens;
}

static int
CompareCompletions(const void *a, const void *b)
{
	const Completion *x = *(Completion *const *) a;
	const Completion *y = *(Completion *const *) b;
	int			order = UuidCompare(&x->id, &y->id);

	return order != 0 ? order : x->place - y->place;
}

/* Read the first two arguments. */
static void
ReadPairs(FunctionCallInfo fcinfo, Completions *work)
{
	pg_uuid_t  *ids;
	int64	   *tokens;

	RequireArgument(fcinfo, 0, "ids", "Give the ids that claim_failures() returned, an empty array for none.");
	RequireArgument(fcinfo, 1, "claim_tokens", "Give the claim_token that claim_failures() returned with each id.");
	ids = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(0), "ids", &work->count);
	tokens = TokenElements(PG_GETARG_ARRAYTYPE_P(1), work->count);
	work->all = palloc0(sizeof(Completion) * Max(work->count, 1));
	work->sorted = palloc(sizeof(Completion *) * Max(work->count, 1));
	for (int i = 0; i < work->count; i++)
	{
		work->all[i].id = ids[i];
		work->all[i].token = tokens[i];
		work->all[i].place = i;
		work->sorted[i] = &work->all[i];
	}
	qsort(work->sorted, work->count, sizeof(Completion *), CompareCompletions);
}

static void
ReadErrors(FunctionCallInfo fcinfo, Completions *work)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(2))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	LengthsDiffer("errors", count, work->count);
	for (int i = 0; i < count; i++)
	{
		work->all[i].hasError = !nulls[i];
		work->all[i].error = elements[i];
	}
}

/* Say why a claim is no good any more; NULL: it is. */
static const char *
WhyNot(const FailureRow *row, const Completion *one)
{
	int64		token = DatumGetInt64(FailureValue(row, FC_TOKEN));
	int			status = FailureInt(row, FC_STATUS);

	if (row->statusBefore == FAILURE_NONE)
		return "PF021: the record is deleted";
	if (status == FAILURE_IN_PROGRESS && token == one->token)
		return NULL;
	if (token > one->token && status == FAILURE_IN_PROGRESS)
		return psprintf("PF030: the lease has ended, and the record was claimed again (token " INT64_FORMAT ")", token);
	if (token < one->token || one->token <= 0)
		return "PF030: there never was a claim with this token";
	return psprintf("PF030: the claim is over, the record is %s", FailureStatusName(status) ? FailureStatusName(status) : "unknown");
}

/* Do what is asked for with one record, if the claim is good; again, if it was changed while we looked. */
static void
Complete(Completions *work, Completion *one, const pg_uuid_t *org, CompletionAction action)
{
	for (;;)
	{
		int			attempts = list_length(work->table->attempts);
		FailureRow *row;

		if (!FailureFetch(work->table, &one->id, org, true))
		{
			one->whyNot = "PF005: no such record";
			return;
		}
		row = FailureRowMake(work->table, work->table->slot);
		one->whyNot = WhyNot(row, one);
		if (one->whyNot)
			return;
		action(work, one, row);
		if (FailureWrite(work->table, row, true) == TM_Ok)
			break;
		work->table->attempts = list_truncate(work->table->attempts, attempts); /* not ended after all */
		if (IsolationUsesXactSnapshot())
			RefuseConcurrentUpdate();
	}
	one->ok = true;
}

static void
CompleteAll(FunctionCallInfo fcinfo, Completions *work, const char *function, CompletionAction action)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_UPDATE);

	InitMaterializedSRF(fcinfo, 0);
	work->table = FailureOpen(function);
	for (int i = 0; i < work->count; i++)
		Complete(work, work->sorted[i], org, action);
	FailureClose(work->table);
}

/* never earlier than it would end: whoever looks at records has passed it until then */
static void
Extend(Completions *work, Completion *one, FailureRow *row)
{
	TimestampTz until = work->table->now + work->microseconds;

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
	FailureRetryAt(row, work->until <= work->table->now ? FailureStamp() : work->until);
	FailureSet(row, FC_RETRIES, Int32GetDatum(FailureInt(row, FC_RETRIES) - 1));
}

/* Return id and ok of each. */
static Datum
ReturnOk(FunctionCallInfo fcinfo, const Completions *work)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < work->count; i++)
	{
		Datum		values[3] = {UUIDPGetDatum(&work->all[i].id), BoolGetDatum(work->all[i].ok)};
		bool		nulls[3] = {false, false, work->all[i].whyNot == NULL};

		if (work->all[i].whyNot)
			values[2] = CStringGetTextDatum(work->all[i].whyNot);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_extend_lease)
{
	Completions work = {0};

	ReadPairs(fcinfo, &work);
	RequireArgument(fcinfo, 2, "lease", "Give how long from now the leases are to last.");
	work.microseconds = IntervalMicroseconds(PG_GETARG_INTERVAL_P(2));
	if (work.microseconds <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"lease\" must be longer than nothing"),
				 errhint("To give records back, snooze_failures() or reschedule_failures().")));
	CompleteAll(fcinfo, &work, "extend_lease()", Extend);
	return ReturnOk(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_resolve_failures)
{
	Completions work = {0};

	ReadPairs(fcinfo, &work);
	CompleteAll(fcinfo, &work, "resolve_failures()", Resolve);
	return ReturnOk(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_snooze_failures)
{
	Completions work = {0};

	ReadPairs(fcinfo, &work);
	RequireArgument(fcinfo, 2, "until", "Give the time from which on the records may be claimed again.");
	work.until = PG_GETARG_TIMESTAMPTZ(2);
	if (work.until == DT_NOEND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"until\" must not be infinity"),
				 errhint("To give a record up: abandon_failures(), or cancel_failures().")));
	CompleteAll(fcinfo, &work, "snooze_failures()", Snooze);
	return ReturnOk(fcinfo, &work);
}

PHOTOFLOW_FUNCTION(photoflow_reschedule_failures)
{
	Completions work = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	ReadPairs(fcinfo, &work);
	ReadErrors(fcinfo, &work);
	RequireNotNegative(fcinfo, 3, "retry_after", "Give a delay, or NULL for the one that the policy says.");
	work.hasRetryAfter = !PG_ARGISNULL(3);
	work.microseconds = work.hasRetryAfter ? IntervalMicroseconds(PG_GETARG_INTERVAL_P(3)) : 0;
	CompleteAll(fcinfo, &work, "reschedule_failures()", Reschedule);
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
