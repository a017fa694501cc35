/*
 * purgebatch.c: the transactions of purge().
 *
 * A batch takes whole deletions, as many as fit into it, children first. Two things leave a part of a deletion behind: it
 * is larger than a batch, or something of another deletion still hangs on a row (of older data, or a stage on a public
 * link). The receipts name such deletions: restore() does not bring back what is left of them. Rows that were left
 * are looked at again in another pass, as long as passes take anything.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "failure.h"
#include "purge.h"
#include "store.h"
#include "tenant.h"

/* A row that a batch may take. */
typedef struct Candidate
{
	pg_uuid_t	id;
	pg_uuid_t	deletion;
} Candidate;

static bool FindWindow(Purge *purge, pg_uuid_t *end);
static void TakeWindow(Purge *purge, const pg_uuid_t *end);
static bool TakePart(Purge *purge);
static void NextPass(Purge *purge);
static int	TakeRows(Purge *purge, SoftTableId table, const pg_uuid_t *end, int64 limit);
static int	LeaveHanging(Purge *purge, SoftTableId table, Candidate *rows, int count);
static int	LeaveNamed(Purge *purge, StorePlan plan, SoftTableId child, Candidate *rows, int count);
static void DeleteRows(Purge *purge, SoftTableId table, const Candidate *rows, int count);
static Datum IdArray(const Candidate *rows, int count);
static void PurgeHistory(Purge *purge, StorePlan plan, const char *table, Datum rows);
static bool ReadRule(Purge *purge);

/* Work out how long this organization keeps its rows, now; return false under a legal hold. */
static bool
ReadRule(Purge *purge)
{
	RetentionRule rule;
	Datum		now = TimestampTzGetDatum(GetCurrentTimestamp());
	TimestampTz kept;

	RetentionRead(&purge->org, &rule);
	purge->held = rule.held;
	if (purge->cutoff == 0)
		purge->cutoff = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, now, IntervalPGetDatum(purge->olderThan)));
	if (rule.hasKeep)
	{
		kept = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval, now, IntervalPGetDatum(&rule.keep)));
		purge->cutoff = Min(purge->cutoff, kept);
	}
	return !rule.held;
}

/* Begin with an organization. What a run that was killed has left open is closed: the one that could be running is us. */
void
PurgeBegin(Purge *purge)
{
	TenantScope scope;

	memset(&purge->last, 0, sizeof(purge->last));
	purge->cutoff = 0;
	purge->rows = 0;
	purge->finished = purge->inParts = purge->left = purge->taken = false;
	TenantEnter(&scope, &purge->org);
	(void) ReadRule(purge);
	TenantLeave(&scope);
	PurgeAbandon(purge);
}

/* Take one batch, unless a legal hold has come; the organization's lock keeps restore() and set_legal_hold() waiting. */
void
PurgeBatch(Purge *purge)
{
	TenantScope scope;
	pg_uuid_t	end;

	purge->takenNow = purge->leftNow = NIL;
	TenantEnter(&scope, &purge->org);
	LockOrganization(&purge->org, ExclusiveLock);
	if (ReadRule(purge))
	{
		if (purge->inParts)
			purge->inParts = TakePart(purge);
		else if (FindWindow(purge, &end))
			TakeWindow(purge, &end);
		else
			NextPass(purge);
	}
	TenantLeave(&scope);
}

/* Look once more at what was left, unless this pass has taken nothing that it could hang on. */
static void
NextPass(Purge *purge)
{
	purge->finished = !(purge->left && purge->taken);
	purge->left = purge->taken = false;
	memset(&purge->last, 0, sizeof(purge->last));
}

/* Find the last of the deletions that fit into a batch; one that does not is taken in parts. Return false at the end. */
static bool
FindWindow(Purge *purge, pg_uuid_t *end)
{
	pg_uuid_t	bound;
	Datum		values[4] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->last), UUIDPGetDatum(&bound),
	Int64GetDatum(purge->batchSize + 1)};
	uint64		count;

	UuidV7Of(purge->cutoff, 0, &bound);
	count = StoreRun(PLAN_PURGE_WINDOW, values, NULL);
	if (count == 0)
		return false;
	*end = *StoreUuid(count - 1, 1);
	if (count <= (uint64) purge->batchSize)
		return true;
	for (uint64 i = count - 1; i > 0; i--)
		if (!UuidEquals(StoreUuid(i - 1, 1), end))
		{
			*end = *StoreUuid(i - 1, 1);
			return true;
		}
	purge->inParts = true;
	purge->part = *end;
	purge->partLeft = false;
	memset(purge->begun, 0, sizeof(purge->begun));
	return true;
}

/* Take whole deletions, children first; or begin with one that is taken in parts. */
static void
TakeWindow(Purge *purge, const pg_uuid_t *end)
{
	Datum		values[4] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->last), UUIDPGetDatum(end)};

	if (purge->inParts)
	{
		purge->inParts = TakePart(purge);
		return;
	}
	for (int table = SOFT_TABLE_COUNT - 1; table >= 0; table--)
		(void) TakeRows(purge, table, end, purge->batchSize);
	values[3] = DeletionsArray(purge->leftNow);
	(void) StoreRun(PLAN_PURGE_REASONS, values, NULL);
	ReceiptUnfinished(purge, DeletionsInBoth(purge->takenNow, purge->leftNow));
	purge->last = *end;
}

/* Take a batch of one large deletion; return false when it is through. */
static bool
TakePart(Purge *purge)
{
	Datum		values[4] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->last), UUIDPGetDatum(&purge->part)};

	for (int table = SOFT_TABLE_COUNT - 1; table >= 0; table--)
		if (TakeRows(purge, table, &purge->part, purge->batchSize) > 0)
		{
			purge->partLeft = purge->partLeft || purge->leftNow != NIL;
			ReceiptUnfinished(purge, purge->takenNow);
			return true;
		}
	if (!purge->partLeft)
	{
		values[3] = DeletionsArray(NIL);
		(void) StoreRun(PLAN_PURGE_REASONS, values, NULL);
		ReceiptFinished(purge, &purge->part);
	}
	purge->last = purge->part;
	return false;
}

/*
 * Delete rows of deletions that come next, to `end`; of a part, behind those that were looked at before. Return how many
 * were looked at: those that something hangs on are left.
 */
static int
TakeRows(Purge *purge, SoftTableId table, const pg_uuid_t *end, int64 limit)
{
	static const pg_uuid_t greatest = {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
	bool		behind = purge->inParts && purge->begun[table];
	Datum		values[5] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(behind ? &purge->part : &purge->last),
	UUIDPGetDatum(behind ? &purge->lastIds[table] : &greatest), UUIDPGetDatum(end), Int64GetDatum(limit)};
	int			count = (int) StoreRunOn(PLAN_PURGE_TAKE, table, values, NULL);
	Candidate  *rows = palloc(sizeof(Candidate) * Max(count, 1));
	int			kept;

	for (int i = 0; i < count; i++)
	{
		rows[i].id = *StoreUuid(i, 1);
		rows[i].deletion = *StoreUuid(i, 2);
	}
	SPI_freetuptable(SPI_tuptable);
	if (count == 0)
		return 0;
	purge->begun[table] = true;
	purge->lastIds[table] = rows[count - 1].id;
	qsort(rows, count, sizeof(Candidate), UuidCompare);
	kept = LeaveHanging(purge, table, rows, count);
	if (kept > 0)
		DeleteRows(purge, table, rows, kept);
	return count;
}

/* Take out of the rows, ordered by id, those that something hangs on; return how many are left to take. */
static int
LeaveHanging(Purge *purge, SoftTableId table, Candidate *rows, int count)
{
	for (int child = table + 1; child < SOFT_TABLE_COUNT; child++)
		if (softTables[child].parent == table)
			count = LeaveNamed(purge, PLAN_PURGE_HANGING, child, rows, count);
	if (table == SOFT_PUBLIC_URLS)
		count = LeaveNamed(purge, PLAN_PURGE_HANGING_ON_URL, SOFT_ALBUM_TAGS, rows, count);
	return count;
}

/* Take out those that a plan names. */
static int
LeaveNamed(Purge *purge, StorePlan plan, SoftTableId child, Candidate *rows, int count)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), IdArray(rows, count)};
	int			named = count > 0 ? (int) StoreRunOn(plan, child, values, NULL) : 0;
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(named, 1));
	int			kept = 0;

	if (named == 0)
		return count;
	for (int i = 0; i < named; i++)
		ids[i] = *StoreUuid(i, 1);
	qsort(ids, named, sizeof(pg_uuid_t), UuidCompare);
	for (int i = 0; i < count; i++)
	{
		if (bsearch(&rows[i].id, ids, named, sizeof(pg_uuid_t), UuidCompare) == NULL)
			rows[kept++] = rows[i];
		else
			purge->leftNow = DeletionsAdd(purge->leftNow, &rows[i].deletion);
	}
	purge->left = true;
	return kept;
}

static Datum
IdArray(const Candidate *rows, int count)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(count, 1));

	for (int i = 0; i < count; i++)
		ids[i] = rows[i].id;
	return UuidArray(ids, count);
}

/* Really delete rows, ordered by id. */
static void
DeleteRows(Purge *purge, SoftTableId table, const Candidate *rows, int count)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), IdArray(rows, count)};
	uint64		deleted;

	if (table == SOFT_ALBUMS)
		PurgeHistory(purge, PLAN_PURGE_HISTORY, "AlbumTransitions", values[1]);
	if (table == SOFT_FAILURES && OidIsValid(FailureSideTableIfThere("FailureAttempts")))
		PurgeHistory(purge, PLAN_PURGE_ATTEMPTS, "FailureAttempts", values[1]);
	deleted = StoreRunOn(PLAN_PURGE_ROWS, table, values, NULL);
	if (deleted < (uint64) count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("%d of %d rows of \"%s\" could not be purged", count - (int) deleted, count, softTables[table].name),
				 errhint("A BEFORE DELETE trigger or a policy keeps them.")));
	for (int i = 0; i < count; i++)
		purge->takenNow = DeletionsAdd(purge->takenNow, &rows[i].deletion);
	ReceiptWrite(purge, softTables[table].name, (int64) deleted, &rows[0].id, &rows[count - 1].id);
}

/* The history of a row goes with it. */
static void
PurgeHistory(Purge *purge, StorePlan plan, const char *table, Datum rows)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), rows};
	uint64		count = StoreRun(plan, values, NULL);
	pg_uuid_t	first;
	pg_uuid_t	last;

	if (count == 0)
		return;
	first = last = *StoreUuid(0, 1);
	for (uint64 i = 1; i < count; i++)
	{
		const pg_uuid_t *id = StoreUuid(i, 1);

		if (UuidCompare(id, &first) < 0)
			first = *id;
		if (UuidCompare(id, &last) > 0)
			last = *id;
	}
	SPI_freetuptable(SPI_tuptable);
	ReceiptWrite(purge, table, (int64) count, &first, &last);
}
