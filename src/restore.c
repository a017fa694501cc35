/*
 * restore.c: restore(), which brings back what one deletion took.
 *
 * Words:
 * - A conflict is what keeps a row from coming back (conflict.c). With one of them nothing is written.
 *
 * Locks, until the end of the transaction: who restores holds the organization's lock shared, a batch of purge()
 * exclusively, so that a deletion is never half purged and half restored. Two restore() of one deletion take turns.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "belonging.h"
#include "deletion.h"
#include "store.h"
#include "tenant.h"

/* The rows of one table in one organization that a deletion took. */
typedef struct RestorePart
{
	SoftTableId table;
	const pg_uuid_t *org;
	int64		rows;
	Conflicts	conflicts;
} RestorePart;

static List *FindParts(const pg_uuid_t *orgs, int count, const pg_uuid_t *deletion);
static bool IsBelow(const List *parts, const RestorePart *part);
static void RequireParts(const List *parts, const pg_uuid_t *deletion);
static int64 FindConflicts(List *parts, const pg_uuid_t *deletion, Conflicts *all);
static void RestorePartOf(RestorePart *part, const pg_uuid_t *deletion);
static void ReturnParts(ReturnSetInfo *result, const List *parts);

/* Wait until nobody purges an organization (ShareLock), or restores or purges it (ExclusiveLock). */
void
LockOrganization(const pg_uuid_t *org, LOCKMODE mode)
{
	/* two organizations of the same key wait for each other as well */
	LockDatabaseObject(InstallationGet()->albums, hash_bytes(org->data, UUID_LEN), 0, mode);
}

static void
LockDeletion(const pg_uuid_t *deletion)
{
	LockDatabaseObject(InstallationGet()->albums, hash_bytes(deletion->data, UUID_LEN), 2, ExclusiveLock);
}

/* Raise PF005 unless there is such an organization, and it is the one that is set where one is. */
void
RequireOrganization(const pg_uuid_t *named)
{
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[1] = {UUIDPGetDatum(named)};

	if ((org && !UuidEquals(org, named)) || StoreRun(PLAN_ORGANIZATION_THERE, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NOT_FOUND),
				 errmsg("organization %s not found", UuidText(named)),
				 errdetail_internal("{\"entity\": \"Organization\", \"id\": \"%s\"}", UuidText(named)),
				 errhint("Check the id, and the organization you work for: SELECT photoflow.current_org().")));
}

/* Return the organization that is set, or all of them where none is. In the SPI context. */
pg_uuid_t *
OrganizationsToWorkFor(const pg_uuid_t *org, int *count)
{
	pg_uuid_t  *orgs;

	if (org)
	{
		orgs = palloc(sizeof(pg_uuid_t));
		orgs[0] = *org;
		*count = 1;
		return orgs;
	}
	*count = (int) StoreRun(PLAN_ORGANIZATIONS, NULL, NULL);
	orgs = palloc(sizeof(pg_uuid_t) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		orgs[i] = *StoreUuid(i, 1);
	SPI_freetuptable(SPI_tuptable);
	return orgs;
}

static List *
FindParts(const pg_uuid_t *orgs, int count, const pg_uuid_t *deletion)
{
	List	   *parts = NIL;

	for (int i = 0; i < count; i++)
		for (int table = 0; table < SOFT_TABLE_COUNT; table++)
		{
			Datum		values[2] = {UUIDPGetDatum(&orgs[i]), UUIDPGetDatum(deletion)};
			RestorePart *part;
			int64		rows;

			(void) StoreRunOn(PLAN_RESTORE_COUNT, table, values, NULL);
			rows = DatumGetInt64(StoreDatum(0, 1));
			SPI_freetuptable(SPI_tuptable);
			if (rows == 0)
				continue;
			part = palloc0(sizeof(RestorePart));
			part->table = table;
			part->org = &orgs[i];
			part->rows = rows;
			parts = lappend(parts, part);
		}
	return parts;
}

/* Say whether the deletion has taken rows of the table above, so that these may have followed them. */
static bool
IsBelow(const List *parts, const RestorePart *part)
{
	ListCell   *cell;

	foreach(cell, parts)
		if (((RestorePart *) lfirst(cell))->table == softTables[part->table].parent)
			return true;
	return false;
}

/* Raise PF005 for a deletion that is not there; the caller must be allowed to mark rows of the tables that it began in. */
static void
RequireParts(const List *parts, const pg_uuid_t *deletion)
{
	ListCell   *cell;

	if (parts == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NOT_FOUND),
				 errmsg("deletion %s not found", UuidText(deletion)),
				 errdetail_internal("{\"deletion\": \"%s\"}", UuidText(deletion)),
				 errhint("It has been restored or purged, or is another organization's: SELECT * FROM photoflow.deletions.")));
	foreach(cell, parts)
		if (!IsBelow(parts, lfirst(cell)))
			RequireMayMark(((RestorePart *) lfirst(cell))->table);
}

static int64
FindConflicts(List *parts, const pg_uuid_t *deletion, Conflicts *all)
{
	ListCell   *cell;

	ConflictsBegin(all);
	foreach(cell, parts)
	{
		RestorePart *part = lfirst(cell);

		ConflictsBegin(&part->conflicts);
		ConflictsFind(&part->conflicts, part->table, part->org, deletion, NULL);
		all->count += part->conflicts.count;
		if (part->conflicts.count > 0)
			appendStringInfo(&all->list, "%s%s", all->list.len > 0 ? ", " : "", part->conflicts.list.data);
	}
	return all->count;
}

static void
RestorePartOf(RestorePart *part, const pg_uuid_t *deletion)
{
	Datum		values[2] = {UUIDPGetDatum(part->org), UUIDPGetDatum(deletion)};
	int64		counted = part->rows;
	TenantScope scope;

	TenantEnter(&scope, part->org);
	part->rows = (int64) StoreRunOn(PLAN_RESTORE_ALL, part->table, values, NULL);
	if (part->rows != counted)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg(INT64_FORMAT " of " INT64_FORMAT " rows of \"%s\" would not come back", counted - part->rows, counted,
						softTables[part->table].name),
				 errhint("A BEFORE UPDATE trigger or a policy keeps them, or somebody brought them back in this moment: try again.")));
	(void) StoreRun(PLAN_REASON_FORGET, values, NULL);
	TenantLeave(&scope);
}

static void
ReturnParts(ReturnSetInfo *result, const List *parts)
{
	ListCell   *cell;

	foreach(cell, parts)
	{
		RestorePart *part = lfirst(cell);
		Datum		values[3] = {CStringGetTextDatum(softTables[part->table].name), Int64GetDatum(part->rows)};
		bool		nulls[3] = {false, false, part->conflicts.count == 0};

		if (!nulls[2])
			values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("[%s]", part->conflicts.list.data)));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

PHOTOFLOW_FUNCTION(photoflow_restore)
{
	const pg_uuid_t *org = ContextRequireOrg();
	const pg_uuid_t *deletion;
	bool		dryRun = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	pg_uuid_t  *orgs;
	int			count;
	List	   *parts;
	ListCell   *cell;
	Conflicts	all;

	RequireArgument(fcinfo, 0, "deletion_id", "Deletions are listed in photoflow.deletions.");
	deletion = PG_GETARG_UUID_P(0);
	RequireSoftDelete();
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	orgs = OrganizationsToWorkFor(org, &count);
	parts = FindParts(orgs, count, deletion);
	RequireParts(parts, deletion);
	LockDeletion(deletion);
	foreach(cell, parts)
		LockOrganization(((RestorePart *) lfirst(cell))->org, ShareLock);
	/* as it is now that we have the locks */
	parts = FindParts(orgs, count, deletion);
	RequireParts(parts, deletion);
	if (FindConflicts(parts, deletion, &all) > 0 && !dryRun)
		ConflictsRaise(&all, psprintf("deletion %s", UuidText(deletion)));
	BelongingForget();
	foreach(cell, parts)
		if (!dryRun)
			RestorePartOf(lfirst(cell), deletion);
	ReturnParts((ReturnSetInfo *) fcinfo->resultinfo, parts);
	StoreEnd();
	return (Datum) 0;
}
