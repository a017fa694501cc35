/*
 * failurepolicy.c: how failures are retried, by entity type.
 *
 * What was read is kept for the session until a trigger on "FailurePolicies" says that it changed.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "failure.h"
#include "relwatch.h"
#include "steps.h"
#include "store.h"

typedef struct NamedPolicy
{
	char	   *entityType;
	FailurePolicy policy;
} NamedPolicy;

/* what holds where nothing is set */
static const FailurePolicy usual = {
	.base = 30 * USECS_PER_SEC, .cap = USECS_PER_HOUR, .lease = 5 * USECS_PER_MINUTE, .maxRetries = 10
};

static MemoryContext policyContext;
static List *policies;
static bool valid = false;
static Oid	policyTable = InvalidOid;
static uint64 invalidations = 0;

static void ForgetPolicies(Datum arg, Oid relid);
static void ReadPolicies(void);
static int64 ReadInterval(uint64 row, int column, int64 otherwise);
static Datum IntervalDatum(int64 microseconds);
static void ReturnPolicy(ReturnSetInfo *result, const char *entityType, const FailurePolicy *policy);

void
FailurePolicyInitialize(void)
{
	WatchRelations(ForgetPolicies);
}

static void
ForgetPolicies(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == policyTable || !OidIsValid(policyTable))
	{
		valid = false;
		invalidations++;
	}
}

/* A month is 30 days and a day 24 hours, as where intervals are compared. */
int64
IntervalMicroseconds(const Interval *interval)
{
	double		sum = ((double) interval->month * DAYS_PER_MONTH + interval->day) * (double) USECS_PER_DAY + (double) interval->time;

	if (sum > (double) PG_INT64_MAX / 4 || sum < (double) PG_INT64_MIN / 4)
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("interval is too long"),
				 errhint("Delays and leases are hours or days.")));
	return ((int64) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY + interval->time;
}

static int64
ReadInterval(uint64 row, int column, int64 otherwise)
{
	return StoreIsNull(row, column) ? otherwise : IntervalMicroseconds(DatumGetIntervalP(StoreDatum(row, column)));
}

static void
ReadPolicies(void)
{
	uint64		before = invalidations;
	uint64		rows;

	if (policyContext == NULL)
		policyContext = AllocSetContextCreate(TopMemoryContext, "photoflow failure policies", ALLOCSET_SMALL_SIZES);
	policies = NIL;
	MemoryContextReset(policyContext);
	policyTable = get_relname_relid("FailurePolicies", InstallationGet()->schemaOid);
	if (!InstallationOwnsTable(policyTable))
		return;
	StoreBegin();
	PushActiveSnapshot(GetLatestSnapshot());
	rows = StoreRun(PLAN_FAILURE_POLICIES, NULL, NULL);
	PopActiveSnapshot();
	for (uint64 row = 0; row < rows; row++)
	{
		MemoryContext spi = MemoryContextSwitchTo(policyContext);
		NamedPolicy *named = palloc(sizeof(NamedPolicy));

		named->entityType = pstrdup(StoreCString(row, 1));
		named->policy.base = ReadInterval(row, 2, usual.base);
		named->policy.cap = ReadInterval(row, 3, usual.cap);
		named->policy.maxRetries = StoreIsNull(row, 4) ? usual.maxRetries : StoreInt(row, 4);
		named->policy.lease = ReadInterval(row, 5, usual.lease);
		policies = lappend(policies, named);
		MemoryContextSwitchTo(spi);
	}
	StoreEnd();
	valid = before == invalidations;
}

/* Return the policy of an entity type; good until the next call. */
const FailurePolicy *
FailurePolicyFor(const char *entityType, int length)
{
	ListCell   *cell;

	if (!valid)
		ReadPolicies();
	foreach(cell, policies)
	{
		const NamedPolicy *named = lfirst(cell);

		if (strncmp(named->entityType, entityType, length) == 0 && named->entityType[length] == '\0')
			return &named->policy;
	}
	return &usual;
}

PHOTOFLOW_FUNCTION(photoflow_failure_policies_changed)
{
	TriggerData *trigger = RequireStatementTrigger(fcinfo, "failure_policies_changed", TRIGGER_EVENT_AFTER,
												   "AFTER any change, FOR EACH STATEMENT");

	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

static Datum
IntervalDatum(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return DirectFunctionCall1(interval_justify_hours, IntervalPGetDatum(interval));
}

static void
ReturnPolicy(ReturnSetInfo *result, const char *entityType, const FailurePolicy *policy)
{
	Datum		values[5] = {CStringGetTextDatum(entityType), IntervalDatum(policy->base), IntervalDatum(policy->cap),
	Int32GetDatum(policy->maxRetries), IntervalDatum(policy->lease)};
	bool		nulls[5] = {false, false, false, false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PHOTOFLOW_FUNCTION(photoflow_list_failure_policies)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	if (!valid)
		ReadPolicies();
	ReturnPolicy(result, "*", &usual);
	foreach(cell, policies)
	{
		const NamedPolicy *named = lfirst(cell);

		ReturnPolicy(result, named->entityType, &named->policy);
	}
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_set_failure_policy)
{
	bool		ends = PG_ARGISNULL(1) && PG_ARGISNULL(2) && PG_ARGISNULL(3) && PG_ARGISNULL(4);
	Datum		values[5];
	char		nulls[6] = "     ";

	RequireArgument(fcinfo, 0, "entity_type", "Give the type of the entities, for example 'Album'.");
	RequireNotNegative(fcinfo, 1, "base", "Give a delay, or NULL for 30 seconds.");
	RequireNotNegative(fcinfo, 2, "cap", "Give a delay, or NULL for one hour.");
	if (!PG_ARGISNULL(3) && PG_GETARG_INT32(3) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"max_retries\" must not be negative"),
				 errhint("Give how often to retry, or NULL for %d times.", usual.maxRetries)));
	RequirePositive(fcinfo, 4, "lease", "Give how long a worker may hold a record, or NULL for 5 minutes.");
	(void) FailureSideTable("FailurePolicies");
	for (int i = 0; i < 5; i++)
	{
		/* one that is too long is refused here, not at each claim */
		if (i != 0 && i != 3 && !PG_ARGISNULL(i))
			(void) IntervalMicroseconds(PG_GETARG_INTERVAL_P(i));
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	StoreBegin();
	RequireTargetOwner(FindInstalledTarget());
	(void) StoreRun(ends ? PLAN_FAILURE_POLICY_END : PLAN_FAILURE_POLICY_SET, values, ends ? NULL : nulls);
	StoreEnd();
	PG_RETURN_VOID();
}
