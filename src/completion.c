/*
 * completion.c: pairs of id and token, judged and carried out one by one.
 *
 * Each is judged by its own row; one that is refused does not keep the others from going through. Rows are taken in the
 * order of their ids, whatever order they are given in, so that nobody waits in a circle.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "completion.h"
#include "store.h"

static int64 *TokenElements(ArrayType *array, int expected);
static void LengthsDiffer(const char *what, int count, int expected);
static int	CompareCompletions(const void *a, const void *b);
static const char *WhyNot(const FailureRow *row, const Completion *one);
static void Complete(Completions *work, Completion *one, const pg_uuid_t *org, CompletionAction action);

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
void
CompletionsRead(FunctionCallInfo fcinfo, Completions *work)
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

void
CompletionsReadErrors(FunctionCallInfo fcinfo, Completions *work)
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
	if (status == FAILURE_IN_PROGRESS && token == one->token && token > 0)
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

		if (!FailureFetch(work->table, &one->id, org, work->waits))
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

void
CompletionsDo(FunctionCallInfo fcinfo, Completions *work, const char *function, CompletionAction action)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_UPDATE);
	const Completion *done = NULL;

	InitMaterializedSRF(fcinfo, 0);
	work->table = FailureOpen(function);
	for (int i = 0; i < work->count; i++)
	{
		Completion *one = work->sorted[i];

		/* the same record again, which is done with: a row cannot be changed twice by one command */
		if (done && UuidEquals(&one->id, &done->id))
			one->whyNot = "PF030: the claim is over, it was given before in this call";
		else
			Complete(work, one, org, action);
		if (one->ok)
			done = one;
	}
	FailureClose(work->table);
}

/* Return id and ok of each. */
Datum
CompletionsReturn(FunctionCallInfo fcinfo, const Completions *work)
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
