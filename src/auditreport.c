/*
 * auditreport.c: what the audit log tells: the life of an entity, what was slow, what failed.
 *
 * Each report is of the organization that is set, to the owner of the tables without one of all. It reads the partitions of its time.
 */
#include "photoflow.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "auditlog.h"
#include "softtable.h"
#include "store.h"
#include "tenant.h"

/* the longest bar of a histogram */
#define BAR_LENGTH 40

/* a bucket of a histogram for each bit that a number of milliseconds may have, and one for 0 */
#define BUCKETS 65

static Datum Since(FunctionCallInfo fcinfo, int number);
static void RequireRows(FunctionCallInfo fcinfo, int number);
static void Report(FunctionCallInfo fcinfo, StorePlan ofOne, StorePlan ofAll, Datum *values, const char *nulls, int count);
static char *Bar(int64 calls, int64 most);
static void ReturnBucket(ReturnSetInfo *result, int bucket, int64 calls, int64 total, int64 most);

/* Raise PF040 where the tables are of an older version: that of seals is the last to be made. */
void
AuditRequireTables(void)
{
	if (get_attnum(SoftTableRelation(SOFT_AUDIT), "Changes") == InvalidAttrNumber ||
		!OidIsValid(get_relname_relid("AuditSettings", InstallationGet()->schemaOid)))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("the audit log is of an older version"),
				 errhint("Run CALL photoflow.migrate().")));
}

/* Return whose rows the caller may see, NULL for everybody's; raise PF010, 42501 or PF040. */
const pg_uuid_t *
AuditScope(void)
{
	const pg_uuid_t *org = ContextOrg();

	if (org == NULL && !ContextIsOwner() && !MayWorkAcross(SoftTableRelation(SOFT_AUDIT)))
		org = RequireTenant();
	InstallationRequire("AuditLogs", ACL_SELECT);
	AuditRequireTables();
	return org;
}

static Datum
Since(FunctionCallInfo fcinfo, int number)
{
	RequireArgument(fcinfo, number, "since", "Give an interval, for example '1 day'.");
	RequireNotNegative(fcinfo, number, "since", "Give how long ago it begins, for example '1 day'.");
	return DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
							   PG_GETARG_DATUM(number));
}

static void
RequireRows(FunctionCallInfo fcinfo, int number)
{
	RequireArgument(fcinfo, number, "max_rows", "Give how many rows to show at most.");
	if (PG_GETARG_INT32(number) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"max_rows\" must not be negative"),
				 errhint("Give how many rows to show at most.")));
}

/*
 * Run a report's plan, to whose values the organization is added, and leave its rows to be read; between StoreBegin() and StoreEnd().
 * Planned so that the index which summarizes pages is used: of what an entity's rows are there are no statistics, and of a month that
 * has just begun none at all. Where all pages must be read it costs next to nothing.
 */
static void
Report(FunctionCallInfo fcinfo, StorePlan ofOne, StorePlan ofAll, Datum *values, const char *nulls, int count)
{
	const pg_uuid_t *org = AuditScope();
	char		isNull[5] = "    ";
	int			level = NewGUCNestLevel();

	memcpy(isNull, nulls, count);
	values[count] = UUIDPGetDatum(org);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) StoreRun(org ? ofOne : ofAll, values, isNull);
	AtEOXact_GUC(true, level);
}

PHOTOFLOW_FUNCTION(photoflow_entity_timeline)
{
	Datum		values[4];

	RequireArgument(fcinfo, 0, "entity_type", "For example 'Album', or the name of a tracked table.");
	RequireArgument(fcinfo, 1, "entity_id", "Give the id of the entity as text.");
	values[0] = PG_ARGISNULL(2) ? TimestampTzGetDatum(DT_NOBEGIN) : Since(fcinfo, 2);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = PG_GETARG_DATUM(1);
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	Report(fcinfo, PLAN_AUDIT_TIMELINE, PLAN_AUDIT_TIMELINE_ANYWHERE, values, "   ", 3);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_slow_operations)
{
	Datum		values[4];

	RequireArgument(fcinfo, 0, "threshold_ms", "Give from how many milliseconds on a call is slow.");
	if (PG_GETARG_INT64(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"threshold_ms\" must not be negative"),
				 errhint("Give from how many milliseconds on a call is slow.")));
	RequireRows(fcinfo, 2);
	values[0] = Since(fcinfo, 1);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = PG_GETARG_DATUM(2);
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	Report(fcinfo, PLAN_AUDIT_SLOW, PLAN_AUDIT_SLOW_ANYWHERE, values, "   ", 3);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_failed_operations)
{
	Datum		values[3];

	RequireRows(fcinfo, 1);
	values[0] = Since(fcinfo, 0);
	values[1] = PG_GETARG_DATUM(1);
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	Report(fcinfo, PLAN_AUDIT_FAILED, PLAN_AUDIT_FAILED_ANYWHERE, values, "  ", 2);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

/* A bar as long as its calls are many, at least one where there is a call. */
static char *
Bar(int64 calls, int64 most)
{
	const char *block = GetDatabaseEncoding() == PG_UTF8 ? "\xe2\x96\x88" : "#";
	int64		length = (int64) floor((double) BAR_LENGTH * (double) calls / (double) most + 0.5);
	StringInfoData bar;

	initStringInfo(&bar);
	for (int64 i = 0; i < Max(length, calls > 0 ? 1 : 0); i++)
		appendStringInfoString(&bar, block);
	return bar.data;
}

/* Bucket 0 is for 0 ms, each other for numbers of so many bits. */
static void
ReturnBucket(ReturnSetInfo *result, int bucket, int64 calls, int64 total, int64 most)
{
	Datum		values[5];
	bool		nulls[5] = {false, false, false, false, false};
	Datum		percent = DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(calls * 100)),
											  NumericGetDatum(int64_to_numeric(total)));

	values[0] = Int64GetDatum(bucket == 0 ? 0 : INT64CONST(1) << (bucket - 1));
	values[1] = Int64GetDatum(bucket > 62 ? PG_INT64_MAX : INT64CONST(1) << bucket);
	values[2] = Int64GetDatum(calls);
	values[3] = DirectFunctionCall2(numeric_round, percent, Int32GetDatum(1));
	values[4] = CStringGetTextDatum(Bar(calls, most));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PHOTOFLOW_FUNCTION(photoflow_latency_histogram)
{
	Datum		values[4];
	char		nulls[4] = "   ";
	int64		calls[BUCKETS] = {0};
	int64		total = 0;
	int64		most = 0;
	int			first = BUCKETS;
	int			last = -1;

	values[0] = Since(fcinfo, 2);
	for (int i = 0; i < 2; i++)
	{
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i + 1] = PG_GETARG_DATUM(i);
	}
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	Report(fcinfo, PLAN_AUDIT_LATENCY, PLAN_AUDIT_LATENCY_ANYWHERE, values, nulls, 3);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		int			bucket = Min(StoreInt(i, 1), BUCKETS - 1);

		calls[bucket] = DatumGetInt64(StoreDatum(i, 2));
		total += calls[bucket];
		most = Max(most, calls[bucket]);
		first = Min(first, bucket);
		last = Max(last, bucket);
	}
	StoreEnd();
	for (int bucket = first; bucket <= last; bucket++)
		ReturnBucket((ReturnSetInfo *) fcinfo->resultinfo, bucket, calls[bucket], total, most);
	return (Datum) 0;
}
