/*
 * maintain.c: CALL maintain(), which keeps the audit log a log of months: how its parts are run; and how long months are kept.
 *
 * Words:
 * - A part is one transaction: one month made, filled from the default partition, or dropped. What cannot get its lock in time is
 *   left to the next call; so nobody waits long for us, and a call that was killed has done whole parts.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "attempt.h"
#include "auditlog.h"
#include "maintain.h"
#include "migrate.h"
#include "store.h"

/* how long a lock is waited for, and how long nobody has to wait for us then */
#define WAIT_FOR_LOCK_MS 100
#define WAIT_BETWEEN_MS 200

static LOCKTAG runLock;

static void ReadArguments(FunctionCallInfo fcinfo, Maintenance *run);
static void RunAttempt(void *state);
static ErrorData *AttemptPart(Maintenance *run);
static bool RunMaintenancePart(Maintenance *run, const char *what, void (*part) (Maintenance *));
static void RunMaintenance(Maintenance *run);

static const char *const keepStatement =
	"INSERT INTO {schema}.\"AuditSettings\" (\"Id\", \"KeepFor\") VALUES (true, $1)"
	" ON CONFLICT (\"Id\") DO UPDATE SET \"KeepFor\" = excluded.\"KeepFor\", \"ModifiedAt\" = now()";

static void
ReadArguments(FunctionCallInfo fcinfo, Maintenance *run)
{
	memset(run, 0, sizeof(*run));
	run->months = PG_ARGISNULL(0) ? 3 : PG_GETARG_INT32(0);
	run->lockTimeout = PG_ARGISNULL(1) ? 2000 : IntervalMilliseconds(PG_GETARG_INTERVAL_P(1), "lock_timeout");
	if (run->months < 0 || run->months > MAINTAIN_MONTHS_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"months_ahead\" must be between 0 and %d", MAINTAIN_MONTHS_MOST),
				 errhint("Leave it out for 3 months.")));
}

/* In the name of the tables' owner, past policies, and not waiting long for a lock. */
static void
RunAttempt(void *state)
{
	Maintenance *run = state;
	StepScope	scope;

	StoreBegin();				/* a connection of its own: all that it allocates ends with it */
	EnterSteps(&scope, GetUserId());
	run->target = FindInstalledTarget();
	RequireTargetOwner(run->target);
	SetUserIdAndSecContext(run->target->owner, scope.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SetInScope("lock_timeout", psprintf("%dms", (int) Max(Min(run->lockTimeout, WAIT_FOR_LOCK_MS), 1)));
	SetInScope("client_min_messages", "warning");
	/* so that bounds of partitions are read as they were written */
	SetInScope("TimeZone", "UTC");
	SetInScope("DateStyle", "ISO, YMD");
	run->part(run);
	LeaveSteps(&scope);
	StoreEnd();
}

/*
 * Attempt a part until lock_timeout is over. Each time it waits for a lock only a moment, since whoever wants the table after us
 * waits with us.
 */
static ErrorData *
AttemptPart(Maintenance *run)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), run->lockTimeout);

	for (;;)
	{
		TimestampTz after = run->after;
		ErrorData  *error = Attempt(RunAttempt, run);

		SPI_commit();
		if (error == NULL || error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE || GetCurrentTimestamp() >= deadline)
			return error;
		run->after = after;
		WaitFor(WAIT_BETWEEN_MS);
	}
}

/* Run a part and commit it; false: it is not done, and why was said. */
static bool
RunMaintenancePart(Maintenance *run, const char *what, void (*part) (Maintenance *))
{
	MemoryContext caller = MemoryContextSwitchTo(run->memory);
	ErrorData  *error;

	run->part = part;
	error = AttemptPart(run);
	MemoryContextSwitchTo(caller);
	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (error && (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
				  error->sqlerrcode == ERRCODE_CHECK_VIOLATION))
		ereport(NOTICE, (errmsg("%s: left to the next call: %s", what, error->message)));
	else if (error)
	{
		ereport(WARNING, (errcode(error->sqlerrcode), errmsg("%s: %s", what, error->message)));
		if (run->failure == NULL)
		{
			run->failure = palloc0(sizeof(ErrorData));
			run->failure->elevel = ERROR;
			run->failure->sqlerrcode = error->sqlerrcode;
			run->failure->message = pstrdup(error->message);
		}
	}
	MemoryContextReset(run->memory);
	CHECK_FOR_INTERRUPTS();
	return error == NULL;
}

static void
RunMaintenance(Maintenance *run)
{
	bool		done;

	run->memory = AllocSetContextCreate(CurrentMemoryContext, "photoflow maintenance", ALLOCSET_DEFAULT_SIZES);
	run->after = DT_NOBEGIN;
	do
		done = RunMaintenancePart(run, "rows of the default partition", MoveMonth);
	while (done && !run->finished);
	(void) RunMaintenancePart(run, "partitions ahead", MakeMonths);
	run->after = DT_NOBEGIN;
	do
	{
		TimestampTz before = run->after;

		done = RunMaintenancePart(run, "partitions that are kept no longer", DropMonth) || run->after != before;
	} while (done && !run->finished);
	(void) RunMaintenancePart(run, "summaries of pages", SummarizeMonths);
	(void) RunMaintenancePart(run, "counts of failure records", FoldCounts);
	if (run->failure)
		ereport(ERROR,
				(errcode(run->failure->sqlerrcode),
				 errmsg("maintenance was not done to its end: %s", run->failure->message),
				 errhint("What was done is kept; call maintain() again when the reason is gone.")));
}

PHOTOFLOW_FUNCTION(photoflow_maintain)
{
	Maintenance run;

	RequireCommits(fcinfo, "photoflow.maintain()");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("maintain() must see what is committed while it waits for a lock"),
				 errhint("SET default_transaction_isolation = 'read committed'.")));
	ReadArguments(fcinfo, &run);
	AuditRequireTables();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	RequireTargetOwner(FindInstalledTarget());
	SET_LOCKTAG_OBJECT(runLock, MyDatabaseId, InstallationGet()->albums, 0, 2);
	if (LockAcquire(&runLock, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		ereport(NOTICE, (errmsg("another session maintains already")));
		SPI_finish();
		PG_RETURN_VOID();
	}
	PG_TRY();
	{
		RunMaintenance(&run);
	}
	PG_FINALLY();
	{
		LockRelease(&runLock, ExclusiveLock, true);
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_set_audit_retention)
{
	StepScope	scope;
	StepTarget *target;
	Oid			types[1] = {INTERVALOID};
	Datum		values[1] = {PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0)};

	RequireNotNegative(fcinfo, 0, "keep_for", "Give how long a month is kept after its end, or NULL for ever.");
	AuditRequireTables();
	if (!PG_ARGISNULL(0))		/* that it is no longer than time */
		(void) DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(GetCurrentTimestamp()), values[0]);
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	target = FindInstalledTarget();
	RequireTargetOwner(target);
	SetUserIdAndSecContext(target->owner, scope.context | SECURITY_LOCAL_USERID_CHANGE);
	if (PG_ARGISNULL(0))
		(void) RunSteps(ExpandSchema("DELETE FROM {schema}.\"AuditSettings\"", NameStr(target->schema)), 0, NULL, NULL);
	else
		(void) RunSteps(ExpandSchema(keepStatement, NameStr(target->schema)), 1, types, values);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}
