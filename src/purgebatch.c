/*
 * purgebatch.c: the transactions of purge().
 *
 * A batch takes whole deletions, as many as fit into it. One that is larger than a batch is taken in parts, and its
 * receipts say so until it is through: restore() does not bring back what is left of it.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "purge.h"
#include "store.h"
#include "tenant.h"

/* Rows of one table that a batch takes. */
typedef struct Taken
{
	pg_uuid_t  *ids;
	int			count;
	pg_uuid_t	first;
	pg_uuid_t	last;
	pg_uuid_t	deletion;		/* of the last row */
} Taken;

static bool FindWindow(Purge *purge, pg_uuid_t *end);
static void TakeWindow(Purge *purge, const pg_uuid_t *end);
static bool TakePart(Purge *purge);
static int	TakeRows(Purge *purge, SoftTableId table, const pg_uuid_t *end, int64 limit);
static void DeleteRows(Purge *purge, SoftTableId table, pg_uuid_t *ids, int count);
static void PurgeHistory(Purge *purge, Datum albums);
static void WriteReceipt(Purge *purge, const char *table, int64 rows, const pg_uuid_t *first, const pg_uuid_t *last);
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
	Datum		values[1] = {UUIDPGetDatum(&purge->org)};
	TenantScope scope;

	memset(&purge->last, 0, sizeof(purge->last));
	purge->cutoff = 0;
	purge->rows = 0;
	purge->finished = purge->inParts = false;
	TenantEnter(&scope, &purge->org);
	if (ReadRule(purge))
		(void) StoreRun(PLAN_RECEIPTS_ABANDON, values, NULL);
	TenantLeave(&scope);
}

void
PurgeEnd(Purge *purge)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run)};
	TenantScope scope;

	TenantEnter(&scope, &purge->org);
	(void) StoreRun(PLAN_RECEIPTS_CLOSE, values, NULL);
	TenantLeave(&scope);
}

/* Take one batch, unless a legal hold has come; the organization's lock keeps restore() and set_legal_hold() waiting. */
void
PurgeBatch(Purge *purge)
{
	TenantScope scope;
	pg_uuid_t	end;

	TenantEnter(&scope, &purge->org);
	LockOrganizationForRestore(&purge->org);
	if (ReadRule(purge))
	{
		if (!purge->inParts && !FindWindow(purge, &end))
			purge->finished = true;
		else if (!purge->inParts)
			TakeWindow(purge, &end);
		else if (!TakePart(purge))
		{
			Datum		values[2] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run)};

			(void) StoreRun(PLAN_RECEIPTS_PART, values, NULL);
			purge->last = purge->part;
			purge->inParts = false;
		}
	}
	TenantLeave(&scope);
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
	memset(purge->begun, 0, sizeof(purge->begun));
	return true;
}

/* Take whole deletions, children first. */
static void
TakeWindow(Purge *purge, const pg_uuid_t *end)
{
	Datum		values[3] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->last), UUIDPGetDatum(end)};

	if (purge->inParts)
	{
		(void) TakePart(purge);
		return;
	}
	for (int table = SOFT_TABLE_COUNT - 1; table >= 0; table--)
		(void) TakeRows(purge, table, end, purge->batchSize);
	(void) StoreRun(PLAN_PURGE_REASONS, values, NULL);
	purge->last = *end;
}

/* Take a batch of one large deletion; return false when nothing is left of it. */
static bool
TakePart(Purge *purge)
{
	Datum		values[3] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->last), UUIDPGetDatum(&purge->part)};

	for (int table = SOFT_TABLE_COUNT - 1; table >= 0; table--)
		if (TakeRows(purge, table, &purge->part, purge->batchSize) > 0)
			return true;
	(void) StoreRun(PLAN_PURGE_REASONS, values, NULL);
	return false;
}

/* Delete rows of deletions that come next, to `end`; return how many. Of a part, behind those that were taken before. */
static int
TakeRows(Purge *purge, SoftTableId table, const pg_uuid_t *end, int64 limit)
{
	static const pg_uuid_t greatest = {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
	bool		behind = purge->inParts && purge->begun[table];
	Datum		values[5] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(behind ? &purge->part : &purge->last),
	UUIDPGetDatum(behind ? &purge->lastIds[table] : &greatest), UUIDPGetDatum(end), Int64GetDatum(limit)};
	int			count = (int) StoreRunOn(table == SOFT_PUBLIC_URLS ? PLAN_PURGE_TAKE_URLS : PLAN_PURGE_TAKE, table, values, NULL);
	pg_uuid_t  *ids;

	if (count == 0)
		return 0;
	ids = palloc(sizeof(pg_uuid_t) * count);
	for (int i = 0; i < count; i++)
		ids[i] = *StoreUuid(i, 1);
	SPI_freetuptable(SPI_tuptable);
	purge->begun[table] = true;
	purge->lastIds[table] = ids[count - 1];
	DeleteRows(purge, table, ids, count);
	return count;
}

static void
DeleteRows(Purge *purge, SoftTableId table, pg_uuid_t *ids, int count)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org)};
	uint64		deleted;

	qsort(ids, count, sizeof(pg_uuid_t), UuidCompare);
	values[1] = UuidArray(ids, count);
	if (table == SOFT_ALBUMS)
		PurgeHistory(purge, values[1]);
	deleted = StoreRunOn(PLAN_PURGE_ROWS, table, values, NULL);
	if (deleted < (uint64) count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("%d of %d rows of \"%s\" could not be purged", count - (int) deleted, count, softTables[table].name),
				 errhint("A BEFORE DELETE trigger or a policy keeps them.")));
	WriteReceipt(purge, softTables[table].name, (int64) deleted, &ids[0], &ids[count - 1]);
}

/* The history of an album goes with it. */
static void
PurgeHistory(Purge *purge, Datum albums)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), albums};
	uint64		count = StoreRun(PLAN_PURGE_HISTORY, values, NULL);
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
	WriteReceipt(purge, "AlbumTransitions", (int64) count, &first, &last);
}

static void
WriteReceipt(Purge *purge, const char *table, int64 rows, const pg_uuid_t *first, const pg_uuid_t *last)
{
	const pg_uuid_t *user = ContextUser();
	Datum		values[10] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run), CStringGetTextDatum(table), Int64GetDatum(rows),
	UUIDPGetDatum(first), UUIDPGetDatum(last), TimestampTzGetDatum(purge->cutoff), UUIDPGetDatum(&purge->part),
	CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)), UUIDPGetDatum(user)};
	char		nulls[10] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', purge->inParts ? ' ' : 'n', ' ', user ? ' ' : 'n'};

	(void) StoreRun(PLAN_RECEIPT_ADD, values, nulls);
	purge->rows += rows;
}
