/*
 * softdelete.c: soft_delete().
 *
 * The rows are marked by an UPDATE as the caller, on the road that every other UPDATE of "IsDeleted" takes. What is new
 * here: all ids are looked at first, albums are locked before what is below them, and the numbers are told.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "photo.h"
#include "store.h"
#include "tenant.h"

/* A row that is asked for, and whose it is. */
typedef struct FoundRow
{
	pg_uuid_t	id;
	pg_uuid_t	org;
	pg_uuid_t	parent;
} FoundRow;

static FoundRow *FindRows(SoftTableId table, const pg_uuid_t *ids, int count, int *found);
static void RequireFound(SoftTableId table, const pg_uuid_t *ids, int count, const FoundRow *rows, int found);
static int	CompareFound(const void *a, const void *b);
static void LockAlbums(SoftTableId table, const FoundRow *rows, int count);
static void MarkRows(SoftTableId table, const FoundRow *rows, int count, Deletion *deletion, Datum reason);
static void ReturnCounts(FunctionCallInfo fcinfo, SoftTableId table, const Deletion *deletion);

/* Find rows of the caller's organization, ordered by organization; raise PF005 unless all are there. */
static FoundRow *
FindRows(SoftTableId table, const pg_uuid_t *ids, int count, int *found)
{
	MemoryContext caller = CurrentMemoryContext;
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[2] = {UuidArray(ids, count), UUIDPGetDatum(org)};
	FoundRow   *rows;

	StoreBegin();
	*found = (int) StoreRunOn(org ? PLAN_SOFT_FIND : PLAN_SOFT_FIND_ANYWHERE, table, values, NULL);
	rows = MemoryContextAllocExtended(caller, sizeof(FoundRow) * Max(*found, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *found; i++)
	{
		rows[i].id = *StoreUuid(i, 1);
		rows[i].org = *StoreUuid(i, 2);
		rows[i].parent = *StoreUuid(i, 3);
	}
	StoreEnd();
	RequireFound(table, ids, count, rows, *found);
	return rows;
}

/* An id may be there more than once in a partitioned table, so that numbers say nothing. */
static void
RequireFound(SoftTableId table, const pg_uuid_t *ids, int count, const FoundRow *rows, int found)
{
	FoundRow   *sorted = palloc(sizeof(FoundRow) * Max(found, 1));
	pg_uuid_t  *missing = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	int			nmissing = 0;

	memcpy(sorted, rows, sizeof(FoundRow) * found);
	qsort(sorted, found, sizeof(FoundRow), UuidCompare);
	for (int i = 0; i < count; i++)
		if (bsearch(&ids[i], sorted, found, sizeof(FoundRow), UuidCompare) == NULL)
			missing[nmissing++] = ids[i];
	if (nmissing > 0)
		RefuseMissingRows(softTables[table].entity, softTables[table].noun, missing, nmissing);
}

static int
CompareFound(const void *a, const void *b)
{
	const FoundRow *x = a;
	const FoundRow *y = b;
	int			order = memcmp(&x->org, &y->org, UUID_LEN);

	return order != 0 ? order : memcmp(&x->id, &y->id, UUID_LEN);
}

/* Lock the albums above tags or photos of one organization. */
static void
LockAlbums(SoftTableId table, const FoundRow *rows, int count)
{
	pg_uuid_t  *parents = palloc(sizeof(pg_uuid_t) * count);
	Datum		values[2] = {UUIDPGetDatum(&rows[0].org)};

	for (int i = 0; i < count; i++)
		parents[i] = rows[i].parent;
	values[1] = UuidArray(parents, UuidSortUnique(parents, count));
	(void) StoreRun(table == SOFT_PHOTOS ? PLAN_SOFT_ALBUMS_OF_TAGS : PLAN_SOFT_ALBUMS, values, NULL);
}

/* Mark rows of one organization. */
static void
MarkRows(SoftTableId table, const FoundRow *rows, int count, Deletion *deletion, Datum reason)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);
	Datum		values[3] = {UUIDPGetDatum(&rows[0].org)};
	TenantScope scope;
	uint64		marked;

	for (int i = 0; i < count; i++)
		ids[i] = rows[i].id;
	values[1] = UuidArray(ids, count);
	TenantEnter(&scope, &rows[0].org);
	StoreBegin();
	if (table == SOFT_ALBUM_TAGS || table == SOFT_PHOTOS)
		LockAlbums(table, rows, count);
	(void) StoreRunOn(PLAN_SOFT_LOCK, table, values, NULL);
	DeletionGive(deletion);
	marked = StoreRunOn(PLAN_SOFT_MARK, table, values, NULL);
	if (marked > 0 && deletion->rows[table] == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("the triggers of soft delete are not on \"%s\"", softTables[table].name),
				 errhint("Run CALL photoflow.migrate(), or SELECT photoflow.attach() after a detach().")));
	if (marked > 0 && reason)
	{
		values[1] = UUIDPGetDatum(&deletion->id);
		values[2] = reason;
		(void) StoreRun(PLAN_REASON_ADD, values, NULL);
	}
	StoreEnd();
	TenantLeave(&scope);
}

/* One row a table; the table that was asked for also where nothing was left to delete. */
static void
ReturnCounts(FunctionCallInfo fcinfo, SoftTableId table, const Deletion *deletion)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		any = false;

	for (int i = 0; i < SOFT_TABLE_COUNT; i++)
		any = any || deletion->rows[i] > 0;
	for (int i = 0; i < SOFT_TABLE_COUNT; i++)
	{
		Datum		values[3] = {UUIDPGetDatum(&deletion->id), CStringGetTextDatum(softTables[i].name),
		Int64GetDatum(deletion->rows[i])};
		bool		nulls[3] = {!any, false, false};

		if (deletion->rows[i] > 0 || i == (int) table)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

PHOTOFLOW_FUNCTION(photoflow_soft_delete)
{
	SoftTableId table;
	pg_uuid_t  *ids;
	int			count;
	int			found;
	FoundRow   *rows;
	Deletion   *deletion;
	Datum		reason = PG_ARGISNULL(2) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(2));

	RequireArgument(fcinfo, 0, "table_name", "Give the name of a table.");
	RequireArgument(fcinfo, 1, "ids", "Give the ids of the rows, an empty array for none.");
	table = SoftTableRequire(PG_GETARG_OID(0));
	RequireSoftDelete();
	RequireMayMark(table);
	ids = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(1), "ids", &count);
	count = UuidSortUnique(ids, count);
	InitMaterializedSRF(fcinfo, 0);
	rows = FindRows(table, ids, count, &found);
	deletion = DeletionNew(true);
	qsort(rows, found, sizeof(FoundRow), CompareFound);
	for (int first = 0, next; first < found; first = next)
	{
		for (next = first + 1; next < found && UuidEquals(&rows[next].org, &rows[first].org);)
			next++;
		MarkRows(table, rows + first, next - first, deletion, reason);
	}
	ReturnCounts(fcinfo, table, deletion);
	return (Datum) 0;
}
