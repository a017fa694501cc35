/*
 * failurereport.c: what is told of failure records, and what is given its place in the queue afterwards.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "failure.h"
#include "photo.h"
#include "steps.h"
#include "store.h"
#include "tenant.h"

static Datum StatusText(int status);
static int64 QueueOf(const pg_uuid_t *org, int64 room, uint64 *seen);

static Datum
StatusText(int status)
{
	const char *name = FailureStatusName(status);

	return CStringGetTextDatum(name ? name : psprintf("%d", status));
}

PHOTOFLOW_FUNCTION(photoflow_list_failure_stats)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_SELECT);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[4] = {UUIDPGetDatum(org)};
	bool		nulls[4] = {false, false, false, false};
	uint64		rows;

	InitMaterializedSRF(fcinfo, 0);
	/* part of status(), which says itself what is missing */
	if (!OidIsValid(FailureSideTableIfThere("FailureCounts")))
		return (Datum) 0;
	StoreBegin();
	rows = StoreRun(PLAN_FAILURE_STATS, values, org ? " " : "n");
	for (uint64 i = 0; i < rows; i++)
	{
		const char *severity = FailureSeverityName(StoreInt(i, 3));

		values[0] = StoreDatum(i, 1);
		values[1] = StatusText(StoreInt(i, 2));
		values[2] = CStringGetTextDatum(severity ? severity : psprintf("%d", StoreInt(i, 3)));
		values[3] = StoreDatum(i, 4);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_failure_groups)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_SELECT);
	Datum		values[2] = {UUIDPGetDatum(org)};

	RequireArgument(fcinfo, 0, "since", "Give an interval, for example '1 day'.");
	RequireFailureTables();
	InitMaterializedSRF(fcinfo, 0);
	values[1] = DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()), PG_GETARG_DATUM(0));
	StoreBegin();
	(void) StoreRun(org ? PLAN_FAILURE_GROUPS : PLAN_FAILURE_GROUPS_ANYWHERE, org ? values : values + 1, NULL);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_failure_attempts)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_SELECT);
	Datum		values[2] = {(Datum) 0, UUIDPGetDatum(org)};

	RequireArgument(fcinfo, 0, "failure_id", "Give the id of a failure record.");
	RequireFailureTables();
	InitMaterializedSRF(fcinfo, 0);
	values[0] = PG_GETARG_DATUM(0);
	StoreBegin();
	if (StoreRun(PLAN_FAILURE_ORG, values, org ? "  " : " n") == 0)
		RefuseMissingRows("FailureRecord", "failure record", PG_GETARG_UUID_P(0), 1);
	values[1] = UuidCopyDatum(StoreUuid(0, 1));
	(void) StoreRun(PLAN_FAILURE_ATTEMPTS, values, NULL);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}

/* Give open records of an organization their place; return how many. seen: how many had none. In the SPI context. */
static int64
QueueOf(const pg_uuid_t *org, int64 room, uint64 *seen)
{
	Datum		values[2] = {UUIDPGetDatum(org), Int64GetDatum(room)};
	uint64		count = StoreRun(PLAN_FAILURES_UNQUEUED, values, NULL);
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	FailureTable *table;
	int64		queued = 0;

	for (uint64 i = 0; i < count; i++)
		ids[i] = *StoreUuid(i, 1);
	*seen = count;
	SPI_freetuptable(SPI_tuptable);
	table = FailureOpen("queue_failures()");
	table->migrates = true;
	for (uint64 i = 0; i < count; i++)
	{
		FailureRow *row;

		if (!FailureFetch(table, &ids[i], org, true))
			continue;
		row = FailureRowMake(table, table->slot);
		if (row->hadPlace || (row->statusBefore != FAILURE_PENDING && row->statusBefore != FAILURE_IN_PROGRESS))
			continue;
		FailureSet(row, FC_NEXT_RETRY, TimestampTzGetDatum(FailureStamp()));
		FailureComplete(row);
		queued += FailureWrite(table, row, true) == TM_Ok;
	}
	FailureClose(table);
	pfree(ids);
	return queued;
}

PHOTOFLOW_FUNCTION(photoflow_queue_failures)
{
	int64		queued = 0;
	pg_uuid_t  *orgs;
	int			count;
	int			batch = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);

	StoreBegin();
	RequireTargetOwner(FindInstalledTarget());
	RequireFailureTables();
	if (PG_ARGISNULL(0))
	{
		(void) StoreRun(PLAN_FAILURES_UNQUEUED_COUNT, NULL, NULL);
		queued = DatumGetInt64(StoreDatum(0, 1));
		StoreEnd();
		PG_RETURN_INT64(queued);
	}
	(void) StoreRun(PLAN_FAILURES_UNQUEUED_ORGS, NULL, NULL);
	count = (int) SPI_processed;
	orgs = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	for (int i = 0; i < count; i++)
		orgs[i] = *StoreUuid(i, 1);
	for (int i = 0; i < count && queued < batch; i++)
	{
		uint64		seen;

		/* somebody may have finished what was seen: that is not the end */
		do
			queued += QueueOf(&orgs[i], batch - queued, &seen);
		while (seen > 0 && queued < batch);
	}
	StoreEnd();
	PG_RETURN_INT64(queued);
}
