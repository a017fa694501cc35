/*
 * firemany.c: fire_many(), one trigger for many albums in a few statements.
 */
#include "photoflow.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "refusalcount.h"
#include "store.h"
#include "transition.h"

static Outcome *LockOutcomes(const pg_uuid_t *ids, int count, const char *trigger);
static void ReturnOutcome(ReturnSetInfo *result, const Outcome *outcome);

/* Lock albums and decide each; the outcomes are ordered by id, a refusal PF005 for each id that is not there. */
static Outcome *
LockOutcomes(const pg_uuid_t *ids, int count, const char *trigger)
{
	int			found;
	int			next = 0;
	Album	   *albums = AlbumsLock(ids, count, &found);
	Outcome    *outcomes = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(Outcome) * Max(count, 1),
													  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < count; i++)
	{
		if (next < found && UuidEquals(&albums[next].id, &ids[i]))
		{
			outcomes[i].album = albums[next++];
			TransitionDecide(&outcomes[i], trigger, NULL);
		}
		else
		{
			outcomes[i].album.id = ids[i];
			outcomes[i].refusal = RefuseNotFound(&ids[i]);
		}
	}
	return outcomes;
}

static void
ReturnOutcome(ReturnSetInfo *result, const Outcome *outcome)
{
	Datum		values[5];
	bool		nulls[5] = {false, true, true, true, true};
	int			from = outcome->machine ? MachineStateByValue(outcome->machine, outcome->album.state) : MACHINE_NONE;

	values[0] = UUIDPGetDatum(&outcome->album.id);
	if (from != MACHINE_NONE)
	{
		values[1] = CStringGetTextDatum(outcome->machine->states[from].name);
		nulls[1] = false;
	}
	if (outcome->refusal)
	{
		RefusalCount(outcome->refusal->code, outcome->refusal->message, outcome->refusal->detail);
		values[3] = CStringGetTextDatum(unpack_sql_state(outcome->refusal->code));
		values[4] = CStringGetTextDatum(outcome->refusal->message);
		nulls[3] = nulls[4] = false;
	}
	else
	{
		values[2] = CStringGetTextDatum(outcome->machine->states[outcome->edge->to].name);
		nulls[2] = false;
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PHOTOFLOW_FUNCTION(photoflow_fire_many)
{
	char	   *trigger;
	char	   *onError;
	Datum		reason = PG_ARGISNULL(2) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(2));
	pg_uuid_t  *ids;
	pg_uuid_t  *given;
	int			count;
	int			distinct;
	Outcome    *outcomes;

	RequireArgument(fcinfo, 0, "album_ids", "Give an array of ids; it may be empty.");
	trigger = TextArgument(fcinfo, 1, "trigger");
	onError = TextArgument(fcinfo, 3, "on_error");
	if (strcmp(onError, "abort") != 0 && strcmp(onError, "skip") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"on_error\" must not be \"%s\"", onError),
				 errhint("It is abort or skip.")));
	InitMaterializedSRF(fcinfo, 0);
	given = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(0), "album_ids", &count);
	ids = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	memcpy(ids, given, sizeof(pg_uuid_t) * count);
	distinct = UuidSortUnique(ids, count);
	outcomes = LockOutcomes(ids, distinct, trigger);
	for (int i = 0; i < distinct && strcmp(onError, "abort") == 0; i++)
		if (outcomes[i].refusal)
			RefusalRaise(outcomes[i].refusal);
	TransitionFire(outcomes, distinct, reason, (Datum) 0);
	/* report in the caller's order; an id given again was reported already */
	for (int i = 0; i < count; i++)
	{
		pg_uuid_t  *found = bsearch(&given[i], ids, distinct, sizeof(pg_uuid_t), UuidCompare);
		Outcome    *outcome = &outcomes[found - ids];

		if (outcome->reported)
			continue;
		outcome->reported = true;
		ReturnOutcome((ReturnSetInfo *) fcinfo->resultinfo, outcome);
	}
	return (Datum) 0;
}
