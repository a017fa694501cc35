/*
 * migratepart.c: the transactions of migrate().
 *
 * Words:
 * - A part is what one transaction does: a whole ddl, validate or attach step, or one batch of a backfill, always
 *   together with its line in the history. A kill loses at most the part that ran.
 * - An attempt is a part in a subtransaction with a lock_timeout. One that cannot get its lock is rolled back and
 *   its transaction committed, so that users queued behind the lock go on; then it is tried again, later and later.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "attempt.h"
#include "migrate.h"
#include "store.h"

#define MAX_ATTEMPTS 10
#define MAX_WAIT_MS 5000

typedef struct MigrationAttempt
{
	Migration  *migration;
	TableStep  *step;
	StepPart	part;
} MigrationAttempt;

static void RunAttempt(void *state);
static void HandleFailure(Migration *migration, TableStep *step, ErrorData *error, int attempt);
static void DescribeStep(void *step);

void
StartStep(Migration *migration, TableStep *step)
{
	/* a resumed backfill keeps the total it was started with */
	if (StepIsKind(step, "backfill") && step->rowsTotal < 0)
	{
		RunSteps(step->countSql, 0, NULL, NULL);
		step->rowsTotal = DatumGetInt64(StoreDatum(0, 1));
	}
	RecordStep(migration->target, step, "running");
}

void
DoStep(Migration *migration, TableStep *step)
{
	RunSteps(step->sql, 0, NULL, NULL);
	RecordStep(migration->target, step, "done");
}

void
DoBatch(Migration *migration, TableStep *step)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(migration->batchSize)};
	TableStep	after = *step;

	migration->rows = RunSteps(step->sql, 1, types, values);
	SPI_freetuptable(SPI_tuptable);
	migration->finished = migration->rows == 0;
	after.rowsDone += migration->rows;
	RecordStep(migration->target, &after, migration->finished ? "done" : "running");
}

void
CheckReady(Migration *migration, TableStep *step)
{
	migration->finished = StepIsReady(migration->target, step);
}

void
CheckIndex(Migration *migration, TableStep *step)
{
	migration->finished = StepIsDone(migration->target, step);
	if (migration->finished)
		CommentIndex(migration->target, step);
	RecordStep(migration->target, step, migration->finished ? "done" : "manual");
}

/* Run a part until it got its locks, and commit it. */
void
RunPart(Migration *migration, TableStep *step, StepPart part)
{
	MemoryContext caller = MemoryContextSwitchTo(migration->partContext);
	ErrorContextCallback context = {error_context_stack, DescribeStep, step};
	MigrationAttempt attempted = {migration, step, part};

	error_context_stack = &context;
	for (int attempt = 1;; attempt++)
	{
		ErrorData  *error = Attempt(RunAttempt, &attempted);

		if (error == NULL)
			break;
		HandleFailure(migration, step, error, attempt);
	}
	error_context_stack = context.previous;
	SPI_commit();
	MemoryContextSwitchTo(caller);
	MemoryContextReset(migration->partContext);
	CHECK_FOR_INTERRUPTS();
}

static void
RunAttempt(void *state)
{
	MigrationAttempt *attempt = state;
	StepScope	scope;
	char		timeout[32];

	snprintf(timeout, sizeof(timeout), INT64_FORMAT "ms", attempt->migration->lockTimeout);
	EnterSteps(&scope, attempt->migration->target->owner);
	SetInScope("lock_timeout", timeout);
	attempt->part(attempt->migration, attempt->step);
	LeaveSteps(&scope);
}

/* Wait and return when another attempt may succeed, otherwise raise the error. */
static void
HandleFailure(Migration *migration, TableStep *step, ErrorData *error, int attempt)
{
	int64		wait = Min(MAX_WAIT_MS, Max(migration->lockTimeout, 10) * attempt);

	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	if (attempt >= MAX_ATTEMPTS)
	{
		error->hint = psprintf("%d attempts failed; what was done is kept. End the transactions that hold the table "
							   "(see pg_stat_activity), or give a longer lock_timeout, and call migrate() again.",
							   attempt);
		ReThrowError(error);
	}
	SPI_commit();				/* nothing may stay locked while we wait */
	ereport(NOTICE,
			(errmsg("step %d waits for a lock: attempt %d of %d failed", step->step, attempt, MAX_ATTEMPTS)));
	WaitFor(wait);
}

static void
DescribeStep(void *step)
{
	errcontext("table step %d (%s)", ((TableStep *) step)->step, ((TableStep *) step)->description);
}

/* Sleep without a lock or a snapshot; a cancel or a shutdown ends it. */
void
WaitFor(int64 milliseconds)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
	long		rest;

	while (milliseconds > 0 && (rest = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, rest, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}
