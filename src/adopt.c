/*
 * adopt.c: adopt_deletions(), which gives rows that were marked before there were deletions one of their own.
 *
 * Until 1.2 a deleted row had "IsDeleted" and nothing else, and what was below it stayed live. A batch takes such rows,
 * parents first; those of one organization that were last modified at the same moment, as one transaction does it,
 * become one deletion of that time, and what is live below them follows. The id is made of the time and the
 * organization, so that it is the same in whatever batch a row comes.
 */
#include "photoflow.h"

#include "common/hashfn.h"

#include "deletion.h"
#include "store.h"
#include "tenant.h"

typedef struct Unadopted
{
	pg_uuid_t	org;
	TimestampTz at;
	pg_uuid_t	id;
} Unadopted;

/*
 * Where this session's last batch ended, so that no batch reads again what others have read. That may have been rolled
 * back: a table is through only when nothing is found from its beginning.
 */
static pg_uuid_t lastId[SOFT_TABLE_COUNT];

static int64 CountUnadopted(void);
static int64 AdoptOfTable(SoftTableId table, int64 limit);
static int	CompareUnadopted(const void *a, const void *b);
static void AdoptGroup(SoftTableId table, const Unadopted *rows, int count);

static int64
CountUnadopted(void)
{
	const pg_uuid_t *org = ContextOrg();
	int64		count = 0;
	Datum		values[1] = {UUIDPGetDatum(org)};
	char		nulls[1] = {org ? ' ' : 'n'};

	for (int table = 0; table < SOFT_TABLE_COUNT; table++)
	{
		(void) StoreRunOn(PLAN_UNADOPTED_COUNT, table, values, nulls);
		count += DatumGetInt64(StoreDatum(0, 1));
	}
	return count;
}

static int
CompareUnadopted(const void *a, const void *b)
{
	const Unadopted *x = a;
	const Unadopted *y = b;
	int			order = memcmp(&x->org, &y->org, UUID_LEN);

	return order != 0 ? order : x->at < y->at ? -1 : x->at > y->at;
}

/* Adopt rows of one organization and moment. */
static void
AdoptGroup(SoftTableId table, const Unadopted *rows, int count)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);
	pg_uuid_t	made;
	const Deletion *deletion;
	Datum		values[4];
	uint64		adopted;
	TenantScope scope;

	for (int i = 0; i < count; i++)
		ids[i] = rows[i].id;
	UuidV7Of(rows[0].at, hash_bytes_extended(rows[0].org.data, UUID_LEN, (uint64) rows[0].at), &made);
	deletion = DeletionOfRow(&made, rows[0].at, NULL);
	values[0] = UUIDPGetDatum(&rows[0].org);
	values[1] = UuidArray(ids, count);
	values[2] = TimestampTzGetDatum(deletion->at);
	values[3] = UUIDPGetDatum(&deletion->id);
	TenantEnter(&scope, &rows[0].org);
	adopted = StoreRunOn(PLAN_ADOPT, table, values, NULL);
	if (adopted < (uint64) count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("%d of %d rows of \"%s\" could not be adopted", count - (int) adopted, count, softTables[table].name),
				 errhint("A BEFORE UPDATE trigger or a policy keeps them, or somebody has changed them in this moment: try again.")));
	for (uint64 i = 0; i < adopted; i++)
	{
		CollectedRow row = {.id = *StoreUuid(i, 1), .org = rows[0].org, .table = table, .deletion = deletion,
			.tid = *(ItemPointer) DatumGetPointer(StoreDatum(i, 2))};

		if (SoftTableHasChildren(table))
			CollectRow(&row);
	}
	CollectFlush();
	TenantLeave(&scope);
}

/* Adopt rows of a table, and what is below them; return how many rows. */
static int64
AdoptOfTable(SoftTableId table, int64 limit)
{
	static const pg_uuid_t beginning;
	const pg_uuid_t *org = ContextOrg();
	Datum		values[3] = {UUIDPGetDatum(&lastId[table]), Int64GetDatum(limit), UUIDPGetDatum(org)};
	char		nulls[3] = {' ', ' ', org ? ' ' : 'n'};
	int			count = (int) StoreRunOn(table == SOFT_AUDIT ? PLAN_UNADOPTED_LOG : PLAN_UNADOPTED, table, values, nulls);
	Unadopted  *rows = palloc(sizeof(Unadopted) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		rows[i].id = *StoreUuid(i, 1);
		rows[i].org = *StoreUuid(i, 2);
		rows[i].at = DatumGetTimestampTz(StoreDatum(i, 3));
	}
	if (count > 0)
		lastId[table] = rows[count - 1].id;
	else if (!UuidEquals(&lastId[table], &beginning))
	{
		lastId[table] = beginning;
		return AdoptOfTable(table, limit);
	}
	qsort(rows, count, sizeof(Unadopted), CompareUnadopted);
	for (int first = 0, next; first < count; first = next)
	{
		for (next = first + 1; next < count && CompareUnadopted(&rows[next], &rows[first]) == 0;)
			next++;
		AdoptGroup(table, rows + first, next - first);
	}
	return count;
}

PHOTOFLOW_FUNCTION(photoflow_adopt_deletions)
{
	int64		adopted = 0;

	if (!ContextIsOwner())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only the owner of the data tables adopts deleted rows"),
				 errhint("Call it as the owner, or as a superuser.")));
	if (!PG_ARGISNULL(0) && PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"batch_size\" must be at least 1"),
				 errhint("NULL adopts nothing and returns how many rows there are to adopt.")));
	RequireSoftDelete();
	StoreBegin();
	if (PG_ARGISNULL(0))
		adopted = CountUnadopted();
	else
		for (int table = 0; table < SOFT_TABLE_COUNT && adopted == 0; table++)
			adopted = AdoptOfTable(table, PG_GETARG_INT32(0));
	StoreEnd();
	PG_RETURN_INT64(adopted);
}
