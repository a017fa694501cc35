/*
 * deletions.c: the list of deletions, as the rows themselves tell it.
 *
 * There is no register of deletions that could say something else than the rows: what has been restored or purged is
 * gone from the list, in part or as a whole. Only reasons are written down.
 */
#include "photoflow.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "store.h"

#define DELETION_COLUMNS 8

/* What one deletion has taken of one table. */
typedef struct Listed
{
	pg_uuid_t	deletion;
	SoftTableId table;
	int64		rows;
	TimestampTz at;
	pg_uuid_t	by;
	bool		hasBy;
	bool		blocked;		/* a parent is deleted by another, or a purge has begun */
	text	   *reason;
} Listed;

static List *ListTable(List *found, SoftTableId table, const pg_uuid_t *org);
static int	CompareListed(const ListCell *a, const ListCell *b);
static void AddReasons(List *found, const pg_uuid_t *org);
static void AddPurges(List *found, const pg_uuid_t *org);
static void BlockWhole(List *found);
static void ReturnListed(ReturnSetInfo *result, const Listed *listed, const pg_uuid_t *org);
static void ListOrganization(ReturnSetInfo *result, const pg_uuid_t *org);

/* Add what was deleted of a table; lists are made in the SPI context. */
static List *
ListTable(List *found, SoftTableId table, const pg_uuid_t *org)
{
	Datum		values[1] = {UUIDPGetDatum(org)};
	uint64		count;

	if (pg_class_aclcheck(SoftTableRelation(table), GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(SoftTableRelation(table), GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		return found;
	count = StoreRunOn(softTables[table].parent == SOFT_NONE ? PLAN_DELETIONS : PLAN_DELETIONS_BELOW, table, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		Listed	   *listed = palloc0(sizeof(Listed));

		listed->deletion = *StoreUuid(i, 1);
		listed->table = table;
		listed->rows = DatumGetInt64(StoreDatum(i, 2));
		listed->at = DatumGetTimestampTz(StoreDatum(i, 3));
		listed->hasBy = !StoreIsNull(i, 4);
		if (listed->hasBy)
			listed->by = *StoreUuid(i, 4);
		listed->blocked = DatumGetBool(StoreDatum(i, 5));
		found = lappend(found, listed);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

/* Newest first: ids are time-ordered. */
static int
CompareListed(const ListCell *a, const ListCell *b)
{
	const Listed *x = lfirst(a);
	const Listed *y = lfirst(b);
	int			order = memcmp(&y->deletion, &x->deletion, UUID_LEN);

	return order != 0 ? order : x->table - y->table;
}

static void
AddReasons(List *found, const pg_uuid_t *org)
{
	Datum		values[1] = {UUIDPGetDatum(org)};
	uint64		count = StoreRun(PLAN_REASONS, values, NULL);
	HASHCTL		control = {.keysize = sizeof(pg_uuid_t), .entrysize = sizeof(pg_uuid_t) + sizeof(text *), .hcxt = CurrentMemoryContext};
	HTAB	   *reasons = hash_create("photoflow reasons", Max(count, 16), &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ListCell   *cell;

	for (uint64 i = 0; i < count; i++)
	{
		char	   *entry = hash_search(reasons, StoreUuid(i, 1), HASH_ENTER, NULL);
		text	   *reason = DatumGetTextPCopy(StoreDatum(i, 2));

		memcpy(entry + sizeof(pg_uuid_t), &reason, sizeof(reason));
	}
	foreach(cell, found)
	{
		Listed	   *listed = lfirst(cell);
		char	   *entry = hash_search(reasons, &listed->deletion, HASH_FIND, NULL);

		if (entry)
			memcpy(&listed->reason, entry + sizeof(pg_uuid_t), sizeof(listed->reason));
	}
}

/* At most one purge has begun as a rule. */
static void
AddPurges(List *found, const pg_uuid_t *org)
{
	Datum		values[1] = {UUIDPGetDatum(org)};
	uint64		count = StoreRun(PLAN_PURGES_BEGUN, values, NULL);
	ListCell   *cell;

	for (uint64 i = 0; i < count; i++)
		foreach(cell, found)
		{
			Listed	   *listed = lfirst(cell);

			listed->blocked = listed->blocked || UuidEquals(&listed->deletion, StoreUuid(i, 1));
		}
}

/* A deletion comes back as a whole, or not. */
static void
BlockWhole(List *found)
{
	for (int first = 0, next; first < list_length(found); first = next)
	{
		Listed	   *head = list_nth(found, first);
		bool		blocked = false;

		for (next = first; next < list_length(found) &&
			 UuidEquals(&((Listed *) list_nth(found, next))->deletion, &head->deletion); next++)
			blocked = blocked || ((Listed *) list_nth(found, next))->blocked;
		for (int i = first; i < next; i++)
			((Listed *) list_nth(found, i))->blocked = blocked;
	}
}

static void
ReturnListed(ReturnSetInfo *result, const Listed *listed, const pg_uuid_t *org)
{
	Datum		values[DELETION_COLUMNS] = {UUIDPGetDatum(&listed->deletion), CStringGetTextDatum(softTables[listed->table].name),
		Int64GetDatum(listed->rows), TimestampTzGetDatum(listed->at), UUIDPGetDatum(&listed->by), PointerGetDatum(listed->reason),
		BoolGetDatum(!listed->blocked), UUIDPGetDatum(org)};
	bool		nulls[DELETION_COLUMNS] = {false, false, false, false, !listed->hasBy, listed->reason == NULL, false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
ListOrganization(ReturnSetInfo *result, const pg_uuid_t *org)
{
	List	   *found = NIL;
	ListCell   *cell;

	for (int table = 0; table < SOFT_TABLE_COUNT; table++)
		found = ListTable(found, table, org);
	if (found == NIL)
		return;
	AddReasons(found, org);
	AddPurges(found, org);
	list_sort(found, CompareListed);
	BlockWhole(found);
	foreach(cell, found)
		ReturnListed(result, lfirst(cell), org);
}

PHOTOFLOW_FUNCTION(photoflow_list_deletions)
{
	const pg_uuid_t *org = ContextRequireOrg();
	ReturnSetInfo *result;
	pg_uuid_t  *orgs;
	int			count;

	RequireSoftDelete();
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	StoreBegin();
	orgs = OrganizationsToWorkFor(org, &count);
	for (int i = 0; i < count; i++)
		ListOrganization(result, &orgs[i]);
	StoreEnd();
	return (Datum) 0;
}
