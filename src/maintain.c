/*
 * maintain.c: CALL maintain(), which keeps the audit log a log of months; and how long months are kept.
 *
 * Words:
 * - A part is one transaction: one month made, filled from the default partition, or dropped. What cannot get its lock in time is
 *   left to the next call; so nobody waits long for us, and a call that was killed has done whole parts.
 *
 * Months are only made for rows of the default partition that an application can have written in good faith: it may write any time,
 * and should not be able to make thousands of partitions by it.
 */
#include "photoflow.h"

#include "access/brin.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "attempt.h"
#include "auditlog.h"
#include "auditpartition.h"
#include "failure.h"
#include "migrate.h"
#include "protect.h"
#include "store.h"

#define MONTHS_MOST 120

/* how long a lock is waited for, and how long nobody has to wait for us then */
#define WAIT_FOR_LOCK_MS 100
#define WAIT_BETWEEN_MS 200

typedef struct Maintenance
{
	int			months;			/* ahead of this one */
	int64		lockTimeout;	/* ms */
	MemoryContext memory;		/* emptied after each part */
	StepTarget *target;			/* of the part that runs */
	void		(*part) (struct Maintenance *);
	TimestampTz after;			/* the next month begins here */
	bool		finished;
	ErrorData  *failure;		/* the first */
} Maintenance;

static LOCKTAG runLock;

static void ReadArguments(FunctionCallInfo fcinfo, Maintenance *run);
static void RunAttempt(void *state);
static ErrorData *AttemptPart(Maintenance *run);
static bool RunMaintenancePart(Maintenance *run, const char *what, void (*part) (Maintenance *));
static void MoveMonth(Maintenance *run);
static void MoveRows(Maintenance *run, const AuditMonth *month);
static void MakeMonths(Maintenance *run);
static void DropMonth(Maintenance *run);
static bool IsHeld(Maintenance *run, Oid partition);
static void SummarizeFullRanges(Oid relid, Oid indexId);
static void SummarizeMonths(Maintenance *run);
static void FoldCounts(Maintenance *run);
static void RunMaintenance(Maintenance *run);

/* $1: from when on, $2: so many months to either side of now; the first month of the default partition, if any */
static const char *const nextMonthQuery =
	"SELECT 'AuditLogs_' || to_char(m, 'YYYYMM'), to_char(m, 'YYYY-MM-DD') || ' 00:00:00+00',"
	" to_char(m + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00', (m + interval '1 month') AT TIME ZONE 'UTC'"
	" FROM (SELECT date_trunc('month', min(a.\"CreatedAt\") AT TIME ZONE 'UTC') FROM ONLY {schema}.\"AuditLogs_default\" a"
	" WHERE a.\"CreatedAt\" >= greatest($1, now() - $2 * interval '1 month') AND a.\"CreatedAt\" < now() + $2 * interval '1 month') x (m)"
	" WHERE m IS NOT NULL";

/* the schema, twice the month */
static const char *const moveStatements =
	"SELECT format('CREATE TABLE %1$I.%2$I (LIKE %1$I.\"AuditLogs\" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION);"
	" WITH moved AS (DELETE FROM ONLY %1$I.\"AuditLogs_default\" WHERE \"CreatedAt\" >= %3$L AND \"CreatedAt\" < %4$L RETURNING %5$s)"
	" INSERT INTO %1$I.%2$I (%5$s) SELECT %5$s FROM moved;"
	" ALTER TABLE %1$I.\"AuditLogs\" ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%3$L) TO (%4$L)', $1, $2, $3, $4, string_agg(quote_ident(a.attname), ', '))"
	" FROM pg_attribute a WHERE a.attrelid = format('%I.\"AuditLogs\"', $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

/* $1: from when on; the oldest partition that is kept no longer, and where its month ends */
static const char *const oldMonthQuery =
	"SELECT m.oid, m.ends FROM {schema}.\"AuditSettings\" s,"
	" (SELECT c.oid, substring(pg_get_expr(c.relpartbound, c.oid) FROM $$TO \\('([^']+)'\\)$$)::timestamptz FROM pg_class c"
	"  JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = $table${schema}.\"AuditLogs\"$table$::regclass) m (oid, ends)"
	" WHERE m.ends > $1 AND m.ends <= now() - s.\"KeepFor\" ORDER BY m.ends LIMIT 1";

/* followed by the partition */
static const char *const heldQuery = "SELECT FROM {schema}.\"RetentionRules\" r WHERE r.\"LegalHold\" AND EXISTS (SELECT FROM ";

/* the indexes that only summarize pages, of months that are being written, and their tables */
static const char *const summaryQuery =
	"SELECT i.indrelid, i.indexrelid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam"
	" JOIN pg_inherits h ON h.inhrelid = i.indrelid JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 'r', pg_get_expr(c.relpartbound, c.oid) b (bound)"
	" WHERE h.inhparent = $table${schema}.\"AuditLogs\"$table$::regclass AND m.amname = 'brin'"
	" AND coalesce(substring(b.bound FROM $$FROM \\('([^']+)'\\)$$)::timestamptz <= now(), true)"
	" AND coalesce(substring(b.bound FROM $$TO \\('([^']+)'\\)$$)::timestamptz > now() - interval '1 month', true)";

static const char *const keepStatement =
	"INSERT INTO {schema}.\"AuditSettings\" (\"Id\", \"KeepFor\") VALUES (true, $1)"
	" ON CONFLICT (\"Id\") DO UPDATE SET \"KeepFor\" = excluded.\"KeepFor\", \"ModifiedAt\" = now()";

static void
ReadArguments(FunctionCallInfo fcinfo, Maintenance *run)
{
	memset(run, 0, sizeof(*run));
	run->months = PG_ARGISNULL(0) ? 3 : PG_GETARG_INT32(0);
	run->lockTimeout = PG_ARGISNULL(1) ? 2000 : IntervalMilliseconds(PG_GETARG_INTERVAL_P(1), "lock_timeout");
	if (run->months < 0 || run->months > MONTHS_MOST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"months_ahead\" must be between 0 and %d", MONTHS_MOST),
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

/* Give the rows of the next month that the default partition has a partition of their own. */
static void
MoveMonth(Maintenance *run)
{
	Oid			types[2] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[2] = {TimestampTzGetDatum(run->after), Int32GetDatum(MONTHS_MOST)};
	Oid			table = get_relname_relid("AuditLogs_default", run->target->schemaOid);
	AuditMonth	month;

	run->finished = !OidIsValid(table) ||
		RunSteps(ExpandSchema(nextMonthQuery, NameStr(run->target->schema)), 2, types, values) == 0;
	if (run->finished)
		return;
	month.partition = StoreCString(0, 1);
	month.from = StoreCString(0, 2);
	month.to = StoreCString(0, 3);
	run->after = DatumGetTimestampTz(StoreDatum(0, 4));
	/* a month that was detached for the archive keeps its name, and late rows of it stay where they are */
	if (!OidIsValid(get_relname_relid(month.partition, run->target->schemaOid)))
		MoveRows(run, &month);
}

static void
MoveRows(Maintenance *run, const AuditMonth *month)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4] = {CStringGetTextDatum(NameStr(run->target->schema)), CStringGetTextDatum(month->partition),
		CStringGetTextDatum(month->from), CStringGetTextDatum(month->to)};

	/* with the default partition alone, an INSERT that has chosen it and waits for it would be refused (23514) afterwards */
	LockRelationOid(FindAuditLogs(run->target), AccessExclusiveLock);
	LockRelationOid(get_relname_relid("AuditLogs_default", run->target->schemaOid), AccessExclusiveLock);
	SetInScope("photoflow.hard_delete", "on");	/* its rows are not lost, they move */
	RunGenerated(moveStatements, 4, types, values);
	ProtectTable(get_relname_relid(month->partition, run->target->schemaOid));
}

static void
MakeMonths(Maintenance *run)
{
	(void) MakeAuditPartitions(run->target, run->months + 1);
}

/* Drop the next month that is kept no longer, unless a legal hold keeps it. */
static void
DropMonth(Maintenance *run)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(run->after)};
	const char *schema = NameStr(run->target->schema);
	Oid			partition;

	run->finished = RunSteps(ExpandSchema(oldMonthQuery, schema), 1, types, values) == 0;
	if (run->finished)
		return;
	partition = DatumGetObjectId(StoreDatum(0, 1));
	run->after = DatumGetTimestampTz(StoreDatum(0, 2));
	if (IsHeld(run, partition))
		return;
	run->finished = true;		/* with the whole log in use, no other month can be dropped either */
	LockRelationOid(FindAuditLogs(run->target), AccessExclusiveLock);
	run->finished = false;
	if (!get_rel_relispartition(partition))
		return;					/* dropped or detached meanwhile */
	if (!ConditionalLockRelationOid(partition, AccessExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition \"%s\" is in use", get_rel_name(partition))));
	/* nobody writes the month any more, nor holds an organization now, and what was committed meanwhile is seen */
	LockRelationOid(get_relname_relid("RetentionRules", run->target->schemaOid), ShareLock);
	if (!IsHeld(run, partition))
		(void) RunSteps(psprintf("DROP TABLE %s", quote_qualified_identifier(schema, get_rel_name(partition))), 0, NULL, NULL);
}

/* Say whether a month has rows of an organization under legal hold. */
static bool
IsHeld(Maintenance *run, Oid partition)
{
	const char *schema = NameStr(run->target->schema);
	const char *name = get_rel_name(partition);

	return name && RunSteps(psprintf("%s%s a WHERE a.\"OrgId\" = r.\"OrgId\") LIMIT 1", ExpandSchema(heldQuery, schema),
									 quote_qualified_identifier(schema, name)), 0, NULL, NULL) > 0;
}

/* The range that is being filled stays out: each row that came into it would write its summary anew. */
static void
SummarizeFullRanges(Oid relid, Oid indexId)
{
	Relation	table = table_open(relid, NoLock);
	Relation	index = index_open(indexId, AccessShareLock);
	BlockNumber pages = RelationGetNumberOfBlocks(table);
	BlockNumber inLast = pages % BrinGetPagesPerRange(index);

	index_close(index, NoLock);
	table_close(table, NoLock);
	(void) DirectFunctionCall1(brin_summarize_new_values, ObjectIdGetDatum(indexId));
	if (inLast > 0 || pages == 0)
		(void) DirectFunctionCall2(brin_desummarize_range, ObjectIdGetDatum(indexId), Int64GetDatum((int64) pages - inLast));
}

/*
 * Let the indexes know what pages hold that are full by now. Who vacuums does it, too, and is not disturbed: to wait for the lock
 * would end an autovacuum.
 */
static void
SummarizeMonths(Maintenance *run)
{
	uint64		count = RunSteps(ExpandSchema(summaryQuery, NameStr(run->target->schema)), 0, NULL, NULL);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isNull;
		Oid			table = DatumGetObjectId(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isNull));
		Datum		index = SPI_getbinval(found->vals[i], found->tupdesc, 2, &isNull);

		if (ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
			SummarizeFullRanges(table, DatumGetObjectId(index));
	}
}

static void
FoldCounts(Maintenance *run)
{
	FailureCountsFold();
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
