/*
 * migrate.c: CALL migrate(), which brings tables with users on them forward, in many small transactions.
 *
 * Steps and strings live in the SPI memory context, which a non-atomic connection keeps over its commits.
 */
#include "photoflow.h"

#include <limits.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "migrate.h"
#include "store.h"

#define NOTICE_EVERY_MS 1000

static void ReadArguments(FunctionCallInfo fcinfo, Migration *migration);
static void RunMigration(Migration *migration);
static void LoadMigration(Migration *migration);
static void RunPendingStep(Migration *migration, TableStep *step);
static void RunBackfill(Migration *migration, TableStep *step);
static void ReportStep(const TableStep *step, const char *what);
static void ReportRows(Migration *migration, const TableStep *step, bool done);
static void ReportManual(const TableStep *step);

PHOTOFLOW_FUNCTION(photoflow_migrate)
{
	Migration	migration = {0};

	RequireCommits(fcinfo, "photoflow.migrate()");
	ReadArguments(fcinfo, &migration);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	if (!LockSteps(true, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the data tables are being created or migrated by another session"),
				 errhint("Look at photoflow.migration_status, and call migrate() again when it is through.")));
	PG_TRY();
	{
		RunMigration(&migration);
	}
	PG_FINALLY();
	{
		UnlockSteps();
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}

static void
ReadArguments(FunctionCallInfo fcinfo, Migration *migration)
{
	migration->toVersion = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	migration->batchSize = PG_ARGISNULL(1) ? 5000 : PG_GETARG_INT32(1);
	migration->lockTimeout = PG_ARGISNULL(2) ? 2000 : IntervalMilliseconds(PG_GETARG_INTERVAL_P(2), "lock_timeout");
	migration->pause = PG_ARGISNULL(3) ? 0 : IntervalMilliseconds(PG_GETARG_INTERVAL_P(3), "pause");
	if (migration->batchSize < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"batch_size\" must be at least 1"),
				 errhint("Leave it out for 5000 rows a batch.")));
}

/* Rounded up: a lock_timeout that came out as 0 would wait for ever. */
int64
IntervalMilliseconds(const Interval *interval, const char *argument)
{
	double		milliseconds = ceil((interval->month * 30.0 + interval->day) * 86400000.0 + interval->time / 1000.0);

	if (milliseconds < 0 || milliseconds > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is out of range", argument),
				 errhint("Give an interval between 0 and 24 days.")));
	return (int64) milliseconds;
}

static void
RunMigration(Migration *migration)
{
	bool		any = false;
	ListCell   *cell;

	migration->partContext = AllocSetContextCreate(CurrentMemoryContext, "photoflow migration part",
												   ALLOCSET_DEFAULT_SIZES);
	LoadMigration(migration);
	foreach(cell, migration->steps)
	{
		TableStep  *step = lfirst(cell);

		if (step->known && !(step->state && strcmp(step->state, "done") == 0) &&
			CompareVersions(step->version, migration->toVersion) <= 0)
		{
			RunPendingStep(migration, step);
			any = true;
		}
	}
	if (!any)
		ereport(NOTICE,
				(errmsg("nothing to migrate: the data tables are of version %s", migration->toVersion)));
}

static void
LoadMigration(Migration *migration)
{
	StepScope	scope;
	char	   *installed;

	EnterSteps(&scope, GetUserId());
	migration->target = FindInstalledTarget();
	RequireTargetOwner(migration->target);
	installed = InstalledVersion();
	if (migration->toVersion == NULL)
		migration->toVersion = installed;
	RequireKnownVersion(migration->toVersion, installed);
	migration->steps = LoadSteps(migration->target);
	RefuseNewerTables(migration->steps, migration->toVersion, installed);
	LeaveSteps(&scope);
}

static void
RunPendingStep(Migration *migration, TableStep *step)
{
	if (StepIsKind(step, "concurrent_index"))
	{
		RunPart(migration, step, CheckIndex);
		if (migration->finished)
			ReportStep(step, "done");
		else
			ReportManual(step);
		return;
	}
	if (StepIsKind(step, "ddl") && step->countSql)
	{
		RunPart(migration, step, CheckReady);
		if (!migration->finished)
		{
			ReportStep(step, "waits for what is to be run by hand");
			return;
		}
	}
	RunPart(migration, step, StartStep);
	if (StepIsKind(step, "backfill"))
		RunBackfill(migration, step);
	else
	{
		RunPart(migration, step, DoStep);
		ReportStep(step, "done");
	}
}

static void
RunBackfill(Migration *migration, TableStep *step)
{
	migration->lastNotice = GetCurrentTimestamp();
	for (;;)
	{
		RunPart(migration, step, DoBatch);
		step->rowsDone += migration->rows;
		if (migration->finished)
			break;
		ReportRows(migration, step, false);
		WaitFor(migration->pause);
	}
	ReportRows(migration, step, true);
}

static void
ReportStep(const TableStep *step, const char *what)
{
	ereport(NOTICE,
			(errmsg("step %d (%s, %s): %s", step->step, step->kind, step->description, what)));
}

/* At most once a second, and at the end. */
static void
ReportRows(Migration *migration, const TableStep *step, bool done)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!done && !TimestampDifferenceExceeds(migration->lastNotice, now, NOTICE_EVERY_MS))
		return;
	migration->lastNotice = now;
	ReportStep(step, psprintf("%s" INT64_FORMAT " of " INT64_FORMAT " rows", done ? "done, " : "", step->rowsDone,
							  step->rowsTotal));
}

static void
ReportManual(const TableStep *step)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddInt(&detail, "step", step->step);
	JsonAddText(&detail, "sql", step->sql);
	ereport(NOTICE,
			(errmsg("step %d (%s, %s): to be run by hand", step->step, step->kind, step->description),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("Run its SQL outside a transaction, then call migrate() again. Drop first an INVALID index that a "
					 "failed attempt left.")));
}
