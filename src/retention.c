/*
 * retention.c: how long an organization keeps deleted rows at least, and whether a legal hold keeps all of them.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "deletion.h"
#include "purge.h"
#include "store.h"
#include "tenant.h"

static const pg_uuid_t *OrganizationArgument(FunctionCallInfo fcinfo);
static void WriteRule(StorePlan plan, const pg_uuid_t *org, Datum *values, const char *nulls);
static Datum ReturnRows(FunctionCallInfo fcinfo, StorePlan plan);

/* Read an organization's rule; it does not change until the end of the transaction. Between StoreBegin() and StoreEnd(). */
void
RetentionRead(const pg_uuid_t *org, RetentionRule *rule)
{
	Datum		values[1] = {UUIDPGetDatum(org)};

	memset(rule, 0, sizeof(*rule));
	if (StoreRun(PLAN_RULE_READ, values, NULL) == 0)
		return;
	rule->hasKeep = !StoreIsNull(0, 1);
	if (rule->hasKeep)
		rule->keep = *DatumGetIntervalP(StoreDatum(0, 1));
	rule->held = DatumGetBool(StoreDatum(0, 2));
}

static const pg_uuid_t *
OrganizationArgument(FunctionCallInfo fcinfo)
{
	RequireArgument(fcinfo, 0, "org_id", "Give the id of an organization.");
	RequireSoftDelete();
	StoreBegin();
	RequireOrganization(PG_GETARG_UUID_P(0));
	StoreEnd();
	return PG_GETARG_UUID_P(0);
}

/* A batch of purge() that is running is waited for; the next one reads what we write. */
static void
WriteRule(StorePlan plan, const pg_uuid_t *org, Datum *values, const char *nulls)
{
	TenantScope scope;

	StoreBegin();
	TenantEnter(&scope, org);
	LockOrganization(org, ExclusiveLock);
	(void) StoreRun(plan, values, nulls);
	TenantLeave(&scope);
	StoreEnd();
}

PHOTOFLOW_FUNCTION(photoflow_set_retention)
{
	const pg_uuid_t *org = OrganizationArgument(fcinfo);
	Datum		values[2] = {UUIDPGetDatum(org), PG_GETARG_DATUM(1)};
	char		nulls[2] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};

	RequireNotNegative(fcinfo, 1, "keep_for",
					   "Say how long deleted rows are kept at least, for example '1 year', or NULL for no rule.");
	/* so that it is an error now, and not of every purge() */
	if (!PG_ARGISNULL(1))
		(void) DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp() - 1000 * USECS_PER_DAY * 365),
								   values[1]);
	WriteRule(PLAN_RULE_KEEP, org, values, nulls);
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_set_legal_hold)
{
	const pg_uuid_t *org = OrganizationArgument(fcinfo);
	Datum		values[3] = {UUIDPGetDatum(org), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2)};
	char		nulls[3] = {' ', ' ', PG_ARGISNULL(2) ? 'n' : ' '};

	RequireArgument(fcinfo, 1, "hold", "Say true to hold, false to end it.");
	WriteRule(PLAN_RULE_HOLD, org, values, nulls);
	PG_RETURN_VOID();
}

/* Return the rows of a plan whose only argument is the organization, NULL for all. */
static Datum
ReturnRows(FunctionCallInfo fcinfo, StorePlan plan)
{
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		given[1] = {UUIDPGetDatum(org)};
	char		isNull[1] = {org ? ' ' : 'n'};

	RequireSoftDelete();
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	(void) StoreRun(plan, given, isNull);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_list_retention)
{
	return ReturnRows(fcinfo, PLAN_RULES);
}

PHOTOFLOW_FUNCTION(photoflow_list_purge_receipts)
{
	InstallationRequire(softTables[SOFT_ALBUMS].name, ACL_SELECT);
	return ReturnRows(fcinfo, PLAN_RECEIPTS);
}
