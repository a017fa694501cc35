/*
 * conflict.c: what keeps deleted rows from coming back: a parent that is deleted or gone, a unique value that a live row
 * has taken since, a purge that has begun to take them away.
 *
 * Everything is looked for before anything is written. The parents are locked as an INSERT below them would lock them,
 * so that the answer stays true until the end of the transaction.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "store.h"

/* of each kind and table so many are shown */
#define CONFLICTS_SHOWN 10

static void AddConflict(Conflicts *conflicts, JsonText *conflict);
static void FindParents(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion,
						const pg_uuid_t *row);
static void FindTaken(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion,
					  const pg_uuid_t *row);
static void RunAsOwner(const char *text, int nargs, Oid *types, Datum *values);
static void AddTaken(Conflicts *conflicts, SoftTableId table, const char *index, uint64 shown);

/*
 * $1: the table, $2: what chooses the deleted rows, $3: the column of the organization. One query for each unique index
 * that holds live rows only: the deleted rows as they would be, beside the live ones that have their keys by the index's
 * own operator. Of a row elsewhere no id is told.
 *     SELECT d."Id", CASE WHEN l.org = $1 THEN l."Id" END, count(*) OVER () FROM (SELECT "Id", k1 AS k1 .. FROM (SELECT ..,
 *     false AS "IsDeleted" .. FROM t WHERE (chosen)) r WHERE (predicate)) d JOIN (SELECT "Id", org, k1 .. FROM t
 *     WHERE (predicate)) l ON l.k1 = d.k1 ..
 */
static const char *const takenQueries =
	"SELECT x.relname, format('SELECT d.\"Id\", CASE WHEN l.org = $1 THEN l.\"Id\" END, pg_catalog.count(*) OVER () FROM"
	" (SELECT r.\"Id\", %1$s FROM (SELECT %2$s FROM %3$s WHERE %4$s) r WHERE %5$s) d"
	" JOIN (SELECT r.\"Id\", r.%7$s AS org, %1$s FROM %3$s r WHERE %5$s) l ON %6$s ORDER BY 1 LIMIT 10',"
	"  (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true) || ' AS k' || k, ', ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k),"
	"  (SELECT string_agg(CASE WHEN a.attname = 'IsDeleted' THEN 'false AS \"IsDeleted\"'"
	"   WHEN a.attname IN ('DeletedAt', 'DeletedBy', 'DeletionId') THEN format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname)"
	"   ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum)"
	"   FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped), $1::regclass, $2,"
	"  pg_get_expr(i.indpred, i.indrelid),"
	"  (SELECT string_agg(format(CASE WHEN i.indnullsnotdistinct THEN '(l.k%1$s OPERATOR(%2$I.%3$s) d.k%1$s OR l.k%1$s IS NULL AND d.k%1$s IS NULL)'"
	"   ELSE 'l.k%1$s OPERATOR(%2$I.%3$s) d.k%1$s' END, k, n.nspname, o.oprname), ' AND ' ORDER BY k) FROM generate_series(1, i.indnkeyatts) k"
	"   JOIN pg_opclass c ON c.oid = i.indclass[k - 1] JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype"
	"    AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3 JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace),"
	"  quote_ident($3))"
	" FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND i.indisunique AND i.indpred IS NOT NULL"
	" AND i.indisready AND EXISTS (SELECT FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid"
	"  WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = $1"
	"  AND a.attname IN ('IsDeleted', 'DeletedAt', 'DeletedBy', 'DeletionId')) ORDER BY x.relname";

void
ConflictsBegin(Conflicts *conflicts)
{
	conflicts->count = 0;
	initStringInfo(&conflicts->list);
}

static void
AddConflict(Conflicts *conflicts, JsonText *conflict)
{
	appendStringInfo(&conflicts->list, "%s%s", conflicts->list.len > 0 ? ", " : "", JsonEnd(conflict));
}

/* Find what keeps rows of a table from coming back: of a deletion, or one row. Between no StoreBegin() and StoreEnd(). */
void
ConflictsFind(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion, const pg_uuid_t *row)
{
	Datum		values[2] = {UUIDPGetDatum(org), UUIDPGetDatum(deletion)};

	StoreBegin();
	if (deletion && StoreRun(PLAN_PURGE_BEGUN, values, NULL) > 0)
	{
		JsonText	conflict;

		JsonBegin(&conflict);
		JsonAddText(&conflict, "kind", "purge has begun");
		JsonAddText(&conflict, "table", softTables[table].name);
		JsonAddUuid(&conflict, "deletion", deletion);
		AddConflict(conflicts, &conflict);
		conflicts->count++;
	}
	if (softTables[table].parent != SOFT_NONE)
		FindParents(conflicts, table, org, deletion, row);
	FindTaken(conflicts, table, org, deletion, row);
	StoreEnd();
}

static void
FindParents(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion, const pg_uuid_t *row)
{
	Datum		values[2] = {UUIDPGetDatum(org), UUIDPGetDatum(row ? row : deletion)};
	uint64		shown;

	(void) StoreRunOn(row ? PLAN_PARENT_LOCK : PLAN_PARENTS_LOCK, table, values, NULL);
	shown = StoreRunOn(row ? PLAN_PARENT_CONFLICT : PLAN_PARENT_CONFLICTS, table, values, NULL);
	for (uint64 i = 0; i < shown; i++)
	{
		JsonText	conflict;

		JsonBegin(&conflict);
		JsonAddText(&conflict, "kind", StoreIsNull(i, 2) ? "parent purged" : "parent deleted");
		JsonAddText(&conflict, "table", softTables[table].name);
		JsonAddUuid(&conflict, "id", StoreUuid(i, 1));
		JsonAddText(&conflict, "parentTable", softTables[softTables[table].parent].name);
		JsonAddUuid(&conflict, "parent", StoreUuid(i, 2));
		JsonAddUuid(&conflict, "parentDeletion", StoreUuid(i, 3));
		AddConflict(conflicts, &conflict);
	}
	if (shown > 0)
		conflicts->count += DatumGetInt64(StoreDatum(0, 4));
}

/* Run a query that is made here past the policies: it names the organization itself. */
static void
RunAsOwner(const char *text, int nargs, Oid *types, Datum *values)
{
	Oid			user;
	int			context;
	int			result;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(InstallationGet()->owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	result = SPI_execute_with_args(text, nargs, types, values, NULL, false, 0);
	SetUserIdAndSecContext(user, context);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not look for conflicts: %s", SPI_result_code_string(result));
}

/* Find live rows that have taken a unique value; the names in the indexes mean what they mean to pg_catalog. */
static void
FindTaken(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion, const pg_uuid_t *row)
{
	const char *chosen = psprintf("%s = $1 AND %s = $2", quote_identifier(softTables[table].orgColumn),
								  row ? "\"Id\"" : "\"DeletionId\"");
	Oid			types[3] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[3] = {ObjectIdGetDatum(SoftTableRelation(table)), CStringGetTextDatum(chosen),
	CStringGetTextDatum(softTables[table].orgColumn)};
	Oid			keyTypes[2] = {UUIDOID, UUIDOID};
	Datum		keys[2] = {UUIDPGetDatum(org), UUIDPGetDatum(row ? row : deletion)};
	SPITupleTable *queries;
	uint64		count;
	int			gucLevel = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	RunAsOwner(takenQueries, 3, types, values);
	queries = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		char	   *index = SPI_getvalue(queries->vals[i], queries->tupdesc, 1);

		RunAsOwner(SPI_getvalue(queries->vals[i], queries->tupdesc, 2), 2, keyTypes, keys);
		AddTaken(conflicts, table, index, SPI_processed);
	}
	AtEOXact_GUC(true, gucLevel);
}

static void
AddTaken(Conflicts *conflicts, SoftTableId table, const char *index, uint64 shown)
{
	for (uint64 i = 0; i < shown; i++)
	{
		JsonText	conflict;

		JsonBegin(&conflict);
		JsonAddText(&conflict, "kind", "taken");
		JsonAddText(&conflict, "table", softTables[table].name);
		JsonAddUuid(&conflict, "id", StoreUuid(i, 1));
		JsonAddUuid(&conflict, "by", StoreUuid(i, 2));
		JsonAddText(&conflict, "index", index);
		AddConflict(conflicts, &conflict);
	}
	if (shown > 0)
		conflicts->count += DatumGetInt64(StoreDatum(0, 3));
}

/* Raise PF022 with all that was found. */
void
ConflictsRaise(const Conflicts *conflicts, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PF_RESTORE_CONFLICT),
			 errmsg("%s cannot be restored: " INT64_FORMAT " %s", what, conflicts->count,
					conflicts->count == 1 ? "conflict" : "conflicts"),
			 errdetail_internal("{\"conflicts\": [%s]}", conflicts->list.data),
			 errhint("Restore a deleted parent first (its deletion is named), rename or delete what has taken a unique value; "
					 "SELECT * FROM photoflow.restore(deletion_id, dry_run => true) looks again.")));
}
