/*
 * failureclaim.c: claim_failures(), and next_failure_due() for who found nothing.
 *
 * Fair: organizations that have due records take turns, a part of the batch each; what is left over is filled by the order in
 * which records became due. Whether anything is due at all is one look into the index of all of them.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "failure.h"

/* so many organizations share one batch; where they turn out to have nothing, so many more are looked at */
#define ORGANIZATIONS_MOST 64
#define ORGANIZATIONS_MORE 8

/* one claim gives up so many records whose retries are used up, and ends then; the next goes on */
#define ABANDONED_MOST 500

/* an idle poller that has met a record which somebody holds comes back after */
#define HELD_AGAIN USECS_PER_SEC

/* What is asked for. */
typedef struct Claim
{
	FailureTable *table;
	ReturnSetInfo *result;
	Datum		worker;
	int			batch;
	bool		hasLease;
	int64		lease;
	ArrayType  *types;
	int			claimed;
	int			abandoned;
} Claim;

static void ReadClaim(FunctionCallInfo fcinfo, Claim *claim);
static void ClaimFrom(Claim *claim, const pg_uuid_t *org, int most);
static bool ClaimRow(Claim *claim);
static void ReturnClaim(const Claim *claim, const FailureRow *row);
static void ClaimInTurn(Claim *claim, const pg_uuid_t *orgs, int count);
static void ClaimFairly(Claim *claim);
static bool SomethingIsDue(Claim *claim);
static Datum SeverityText(int severity);

static void
ReadClaim(FunctionCallInfo fcinfo, Claim *claim)
{
	RequireArgument(fcinfo, 0, "worker", "Give the worker's name: it is seen in the history of attempts.");
	RequireArgument(fcinfo, 1, "batch_size", "Give how many records to claim at most.");
	RequireArgument(fcinfo, 5, "fair", NULL);
	RequirePositive(fcinfo, 2, "lease", "Give how long the worker may hold the records, or NULL for what the policy says.");
	claim->worker = PointerGetDatum(PG_DETOAST_DATUM(PG_GETARG_DATUM(0)));
	claim->batch = PG_GETARG_INT32(1);
	claim->hasLease = !PG_ARGISNULL(2);
	claim->lease = claim->hasLease ? IntervalMicroseconds(PG_GETARG_INTERVAL_P(2)) : 0;
	claim->types = PG_ARGISNULL(3) ? NULL : PG_GETARG_ARRAYTYPE_P(3);
	if (claim->batch <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"batch_size\" must be greater than 0"),
				 errhint("Give how many records to claim at most.")));
}

static Datum
SeverityText(int severity)
{
	const char *name = FailureSeverityName(severity);

	return CStringGetTextDatum(name ? name : psprintf("%d", severity));
}

static void
ReturnClaim(const Claim *claim, const FailureRow *row)
{
	static const FailureColumn given[] = {FC_ID, FC_TOKEN, FC_ENTITY_TYPE, FC_ENTITY, FC_FROM, FC_TO, FC_ERROR, FC_SEVERITY,
		FC_RETRIES, FC_PAYLOAD, FC_LEASE, FC_ORG};
	Datum		values[lengthof(given)];
	bool		nulls[lengthof(given)];

	for (size_t i = 0; i < lengthof(given); i++)
	{
		values[i] = FailureValue(row, given[i]);
		nulls[i] = FailureIsNull(row, given[i]);
		if (given[i] == FC_SEVERITY)
			values[i] = SeverityText(FailureInt(row, FC_SEVERITY));
	}
	tuplestore_putvalues(claim->result->setResult, claim->result->setDesc, values, nulls);
}

/* Claim the record in the table's slot, or give it up when its retries are used up; say whether it was claimed. */
static bool
ClaimRow(Claim *claim)
{
	FailureTable *table = claim->table;
	FailureRow *row = FailureRowMake(table, table->slot);
	MemoryContext caller = MemoryContextSwitchTo(table->rowContext);
	const FailurePolicy *policy = FailurePolicyOf(row);
	bool		expired = row->statusBefore == FAILURE_IN_PROGRESS;
	bool		exhausted = FailureIsExhausted(row, policy);
	FailureRow	before = expired ? FailureRowCopy(table, row) : *row;

	if (exhausted)
		FailureFinish(row, FAILURE_ABANDONED, table->now);
	else
		FailureTake(row, claim->worker, table->now, claim->hasLease ? claim->lease : policy->lease);
	MemoryContextSwitchTo(caller);
	if (FailureWrite(table, row, false) != TM_Ok)
		return false;
	if (expired)
		FailureEndAttempt(table, &before, "expired", (Datum) 0, false);
	if (exhausted)
		claim->abandoned++;
	else
		ReturnClaim(claim, row);
	return !exhausted;
}

/* Claim due records of an organization, or of all, the oldest first. */
static void
ClaimFrom(Claim *claim, const pg_uuid_t *org, int most)
{
	DueScan		due;
	int			claimed = 0;

	DueScanBegin(&due, claim->table, org, claim->types);
	while (claimed < most && claim->abandoned < ABANDONED_MOST && DueScanNext(&due))
		claimed += ClaimRow(claim);
	DueScanEnd(&due);
	claim->claimed += claimed;
}

/* An idle poll ends here. */
static bool
SomethingIsDue(Claim *claim)
{
	DueScan		due;
	bool		found;

	DueScanBegin(&due, claim->table, NULL, claim->types);
	found = DueScanNext(&due);
	DueScanEnd(&due);
	return found;
}

/* Claim a part of the batch from each of these. */
static void
ClaimInTurn(Claim *claim, const pg_uuid_t *orgs, int count)
{
	for (int i = 0; i < count && claim->claimed < claim->batch; i++)
	{
		int			left = claim->batch - claim->claimed;
		int			others = Min(count - i, left);

		ClaimFrom(claim, &orgs[i], (left + others - 1) / others);
		DueOrganizationServed(&orgs[i]);
	}
}

static void
ClaimFairly(Claim *claim)
{
	pg_uuid_t	orgs[ORGANIZATIONS_MOST];
	int			wanted = Min(claim->batch, ORGANIZATIONS_MOST);
	int			looked = 0;
	int			count;

	if (!SomethingIsDue(claim))
		return;
	/* those whose turn it is may turn out to have nothing */
	do
	{
		count = DueOrganizations(claim->table, wanted, orgs);
		ClaimInTurn(claim, orgs, count);
		looked += count;
	} while (claim->claimed == 0 && count == wanted && looked < wanted + ORGANIZATIONS_MORE);
	if (claim->claimed < claim->batch)
		ClaimFrom(claim, NULL, claim->batch - claim->claimed);
}

PHOTOFLOW_FUNCTION(photoflow_claim_failures)
{
	const pg_uuid_t *org = FailureScope(PG_ARGISNULL(4) ? NULL : PG_GETARG_UUID_P(4), ACL_UPDATE);
	Claim		claim;

	memset(&claim, 0, sizeof(claim));
	ReadClaim(fcinfo, &claim);
	InitMaterializedSRF(fcinfo, 0);
	claim.result = (ReturnSetInfo *) fcinfo->resultinfo;
	claim.table = FailureOpen("claim_failures()");
	if (org == NULL && PG_GETARG_BOOL(5))
		ClaimFairly(&claim);
	else
		ClaimFrom(&claim, org, claim.batch);
	FailureClose(claim.table);
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_next_failure_due)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_SELECT);
	FailureTable *table;
	DueScan		due;
	bool		found;
	TimestampTz next;
	Interval   *interval = palloc0(sizeof(Interval));

	table = FailureOpenToRead();
	DueScanBegin(&due, table, org, NULL);
	found = DueScanNext(&due);
	if (!found)
		DueScanDelayed(&due);
	DueScanEnd(&due);
	next = found ? table->now : Min(due.leasedUntil, due.delayedUntil);
	/* who holds something may give it back, by a rollback, of which nobody hears */
	if (!found && due.held)
		next = Min(next, table->now + HELD_AGAIN);
	if (!found)
		interval->time = next == DT_NOEND ? 0 : next - table->now;
	FailureClose(table);
	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_INTERVAL_P(interval);
}
