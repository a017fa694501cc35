/*
 * purge.c: CALL purge(), the only thing that really deletes.
 *
 * Words:
 * - A batch is one transaction: at most so many rows, with the receipt that counts them, or nothing.
 * - A run is one CALL. It takes organization after organization, each one's deletions in their order, and within a
 *   deletion the children first. A run that was killed has done whole batches, and the next one goes on behind them.
 * - An organization whose batch fails is left with a warning, and the others are purged; the error is raised at the end.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "attempt.h"
#include "deletion.h"
#include "purge.h"
#include "refusalcount.h"
#include "store.h"

#define NOTICE_EVERY_MS 1000
#define MAX_BATCH 1000000
#define MAX_ATTEMPTS 5
#define KEEP_HINT "Say how long deleted rows are kept at least, for example '30 days'."

static LOCKTAG runLock;

typedef struct PurgePart
{
	Purge	   *purge;
	void		(*run) (Purge *);
} PurgePart;

static void ReadArguments(FunctionCallInfo fcinfo, Purge *purge);
static pg_uuid_t *Organizations(FunctionCallInfo fcinfo, int *count);
static void RunPurge(Purge *purge, const pg_uuid_t *orgs, int count, bool named);
static void RunAttempt(void *state);
static bool RunPart(Purge *purge, void (*part) (Purge *), bool named);
pg_noreturn static void RefuseHeld(const Purge *purge);
static void PurgeOrganization(Purge *purge, bool named);
static void ReportProgress(Purge *purge, bool done);

static void
ReadArguments(FunctionCallInfo fcinfo, Purge *purge)
{
	RequireArgument(fcinfo, 0, "older_than", KEEP_HINT);
	RequireNotNegative(fcinfo, 0, "older_than", KEEP_HINT);
	purge->olderThan = PG_GETARG_INTERVAL_P(0);
	purge->batchSize = PG_ARGISNULL(1) ? 1000 : PG_GETARG_INT32(1);
	if (purge->batchSize < 1 || purge->batchSize > MAX_BATCH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"batch_size\" must be between 1 and %d", MAX_BATCH),
				 errhint("Leave it out for 1000 rows a batch.")));
}

/* Return whose rows are to be purged: those of the organization that is named or set, or of all. */
static pg_uuid_t *
Organizations(FunctionCallInfo fcinfo, int *count)
{
	const pg_uuid_t *org = ContextRequireOrg();
	const pg_uuid_t *named = PG_ARGISNULL(2) ? NULL : PG_GETARG_UUID_P(2);

	if (named)
		RequireOrganization(named);
	return OrganizationsToWorkFor(named ? named : org, count);
}

static void
RunAttempt(void *state)
{
	PurgePart  *attempt = state;

	MemoryContextSwitchTo(attempt->purge->batchContext);
	StoreBegin();				/* a connection of its own: all that it allocates ends with it */
	attempt->run(attempt->purge);
	StoreEnd();
}

/*
 * Run a part in a transaction of its own; again, where somebody who restores had locked rows in another order. Return
 * whether it was done; otherwise the error is kept, and raised if the part belongs to an organization that was named.
 */
static bool
RunPart(Purge *purge, void (*part) (Purge *), bool named)
{
	ErrorData  *error = NULL;

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		Purge		before = *purge;
		PurgePart	attempted = {purge, part};

		error = Attempt(RunAttempt, &attempted);
		if (error)
			*purge = before;
		SPI_commit();
		MemoryContextReset(purge->batchContext);
		CHECK_FOR_INTERRUPTS();
		if (error == NULL || !(error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
							   error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE))
			break;
	}
	if (error == NULL)
		return true;
	if (part != PurgeAbandon)
		(void) RunPart(purge, PurgeAbandon, false);
	if (named || error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("organization %s is not purged to its end: %s", UuidText(&purge->org), error->message)));
	if (purge->failure == NULL)
		purge->failure = error;
	return false;
}

/* At most once a second, and at the end. */
static void
ReportProgress(Purge *purge, bool done)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!done && !TimestampDifferenceExceeds(purge->lastNotice, now, NOTICE_EVERY_MS))
		return;
	purge->lastNotice = now;
	ereport(NOTICE,
			(errmsg("organization %s: " INT64_FORMAT " rows purged%s", UuidText(&purge->org), purge->rows, done ? "" : " so far")));
}

static void
RefuseHeld(const Purge *purge)
{
	ereport(ERROR,
			(errcode(ERRCODE_PF_HARD_DELETE_REFUSED),
			 errmsg("organization %s is under legal hold", UuidText(&purge->org)),
			 errdetail_internal("{\"entity\": \"Organization\", \"id\": \"%s\"}", UuidText(&purge->org)),
			 errhint("Nothing of it is purged until SELECT photoflow.set_legal_hold(org_id, false)."),
			 RefusalCounted()));
}

static void
PurgeOrganization(Purge *purge, bool named)
{
	if (!RunPart(purge, PurgeBegin, named))
		return;
	if (purge->held && named)
		RefuseHeld(purge);
	while (!purge->held && !purge->finished)
	{
		if (!RunPart(purge, PurgeBatch, named))
			return;
		ReportProgress(purge, false);
	}
	if (purge->held)
		ereport(NOTICE, (errmsg("organization %s is under legal hold, and left as it is", UuidText(&purge->org))));
	else if (purge->rows > 0)
		ReportProgress(purge, true);
	(void) RunPart(purge, PurgeEnd, named);
}

static void
RunPurge(Purge *purge, const pg_uuid_t *orgs, int count, bool named)
{
	purge->batchContext = AllocSetContextCreate(CurrentMemoryContext, "photoflow purge batch", ALLOCSET_DEFAULT_SIZES);
	purge->lastNotice = GetCurrentTimestamp();
	UuidV7(&purge->run);
	for (int i = 0; i < count; i++)
	{
		purge->org = orgs[i];
		PurgeOrganization(purge, named);
	}
	if (purge->failure)
		ReThrowError(purge->failure);
}

PHOTOFLOW_FUNCTION(photoflow_purge)
{
	Purge		purge = {0};
	pg_uuid_t  *orgs;
	int			count;

	RequireCommits(fcinfo, "photoflow.purge()");
	ReadArguments(fcinfo, &purge);
	RequireSoftDelete();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	purge.olderThan = memcpy(palloc(sizeof(Interval)), purge.olderThan, sizeof(Interval));
	orgs = Organizations(fcinfo, &count);
	SET_LOCKTAG_OBJECT(runLock, MyDatabaseId, InstallationGet()->albums, 0, 1);
	if (LockAcquire(&runLock, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session is purging"),
				 errhint("SELECT * FROM photoflow.purge_progress shows how far it is.")));
	PG_TRY();
	{
		RunPurge(&purge, orgs, count, !PG_ARGISNULL(2));
	}
	PG_FINALLY();
	{
		LockRelease(&runLock, ExclusiveLock, true);
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}
