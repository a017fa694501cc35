/*
 * import.c: import_rows(), which takes over rows that were copied into a table of the caller's.
 *
 * PostgreSQL refuses COPY FROM into a table with policies. So an importer copies into a temporary table and calls this:
 * whose rows they are and whose parents they name is checked for all of them at once, then one INSERT .. SELECT takes
 * them over, as the caller and under the policies. It goes parent by parent, so that the trigger which fills in "OrgId"
 * looks each of them up once.
 */
#include "photoflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "refusalcount.h"
#include "store.h"

typedef struct Import
{
	const pg_uuid_t *org;
	char	   *target;			/* qualified and quoted */
	char	   *source;
	char	   *columns;		/* of the source, quoted and separated by commas; "OrgId" is not among them */
	char	   *order;			/* the columns that name a parent, or empty */
	bool		sourceHasOrg;
} Import;

static char *QualifiedName(Oid relid);
static void RequireTarget(Oid target);
static void FindColumns(Oid target, Oid source, Import *import);
static void CheckOrganizations(const Import *import);
static void CheckParents(Oid target, Oid source, Import *import);
static void CheckParent(const Import *import, const char *column, const char *parent, const char *parentName);
pg_noreturn static void RefuseRows(const Import *import, const char *parent, int64 rows, char *examples);
static uint64 Run(const char *text, int nargs, Oid *types, Datum *values, bool readOnly);

/* $1 target, $2 source: columns of the source, and whether the target has one of that name that can be written */
static const char *const columnsQuery =
	"SELECT s.attname, t.attname IS NOT NULL AND t.attgenerated OPERATOR(pg_catalog.=) ''"
	" FROM pg_catalog.pg_attribute s LEFT JOIN pg_catalog.pg_attribute t ON t.attrelid OPERATOR(pg_catalog.=) $1"
	" AND t.attname OPERATOR(pg_catalog.=) s.attname AND t.attnum OPERATOR(pg_catalog.>) 0 AND NOT t.attisdropped"
	" WHERE s.attrelid OPERATOR(pg_catalog.=) $2 AND s.attnum OPERATOR(pg_catalog.>) 0 AND NOT s.attisdropped"
	" ORDER BY s.attnum";

/* $1 target, $2 source: the parents that ("OrgId", column) names, where the source has the column */
static const char *const parentsQuery =
	"SELECT a.attname, n.nspname, p.relname FROM pg_catalog.pg_constraint c"
	" JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) c.confrelid"
	" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.relnamespace"
	" JOIN pg_catalog.pg_attribute o ON o.attrelid OPERATOR(pg_catalog.=) c.conrelid AND o.attnum OPERATOR(pg_catalog.=) c.conkey[1]"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.conrelid AND a.attnum OPERATOR(pg_catalog.=) c.conkey[2]"
	" JOIN pg_catalog.pg_attribute s ON s.attrelid OPERATOR(pg_catalog.=) $2 AND s.attname OPERATOR(pg_catalog.=) a.attname"
	" AND NOT s.attisdropped"
	" WHERE c.conrelid OPERATOR(pg_catalog.=) $1 AND c.contype OPERATOR(pg_catalog.=) 'f'"
	" AND pg_catalog.cardinality(c.conkey) OPERATOR(pg_catalog.=) 2 AND o.attname OPERATOR(pg_catalog.=) 'OrgId'"
	" ORDER BY a.attnum";

static uint64
Run(const char *text, int nargs, Oid *types, Datum *values, bool readOnly)
{
	int			result = SPI_execute_with_args(text, nargs, types, values, NULL, readOnly, 0);

	if (result < 0)
		elog(ERROR, "import failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

static char *
QualifiedName(Oid relid)
{
	const char *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %u does not exist", relid),
				 errhint("Give the name of a table.")));
	return quote_qualified_identifier(isTempNamespace(get_rel_namespace(relid)) ? "pg_temp" :
									  get_namespace_name(get_rel_namespace(relid)), name);
}

static void
RequireTarget(Oid target)
{
	if (get_rel_namespace(target) != InstallationGet()->schemaOid || get_attnum(target, "OrgId") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table of an organization's rows", get_rel_name(target)),
				 errhint("It is one of photoflow's tables with an \"OrgId\".")));
}

/* Match the source's columns with the target's; raise 42703 for one that the target does not have. */
static void
FindColumns(Oid target, Oid source, Import *import)
{
	Oid			types[2] = {OIDOID, OIDOID};
	Datum		values[2] = {ObjectIdGetDatum(target), ObjectIdGetDatum(source)};
	StringInfoData columns;

	initStringInfo(&columns);
	Run(columnsQuery, 2, types, values, true);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		char	   *name = StoreCString(row, 1);

		if (!DatumGetBool(StoreDatum(row, 2)))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table %s has no column \"%s\" to write to", import->target, name),
					 errhint("Columns are matched by name: rename or drop it in %s.", import->source)));
		if (strcmp(name, "OrgId") == 0)
			import->sourceHasOrg = true;
		else
			appendStringInfo(&columns, ", %s", quote_identifier(name));
	}
	import->columns = columns.data;
}

static void
RefuseRows(const Import *import, const char *parent, int64 rows, char *examples)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "table", import->target);
	JsonAddText(&detail, "parent", parent);
	JsonAddInt(&detail, "rows", rows);
	if (examples)
		JsonAddRaw(&detail, "ids", examples);
	ereport(ERROR,
			(errcode(ERRCODE_PF_CROSS_TENANT),
			 parent ? errmsg(INT64_FORMAT " rows would hang on rows of \"%s\" that are not in your organization", rows, parent) :
			 errmsg(INT64_FORMAT " rows would belong to another organization", rows),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 parent ? errhint("Import the parents first, or take these rows out of %s.", import->source) :
			 errhint("Leave \"OrgId\" out of %s, or give your own.", import->source),
			 RefusalCounted()));
}

static void
CheckOrganizations(const Import *import)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(import->org)};

	if (!import->sourceHasOrg)
		return;
	Run(psprintf("SELECT pg_catalog.count(*) FROM %s s WHERE NOT (s.\"OrgId\"::pg_catalog.uuid OPERATOR(pg_catalog.=) $1)", import->source),
		1, types, values, true);
	if (DatumGetInt64(StoreDatum(0, 1)) > 0)
		RefuseRows(import, NULL, DatumGetInt64(StoreDatum(0, 1)), NULL);
}

static void
CheckParent(const Import *import, const char *column, const char *parent, const char *parentName)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(import->org)};
	const char *quoted = quote_identifier(column);

	Run(psprintf("SELECT pg_catalog.count(*), pg_catalog.to_jsonb((pg_catalog.array_agg(DISTINCT s.%s))[1:10])::pg_catalog.text"
				 " FROM %s s WHERE s.%s IS NOT NULL AND NOT EXISTS (SELECT FROM %s p"
				 " WHERE p.\"OrgId\" OPERATOR(pg_catalog.=) $1 AND p.\"Id\" OPERATOR(pg_catalog.=) s.%s)",
				 quoted, import->source, quoted, parent, quoted),
		1, types, values, true);
	if (DatumGetInt64(StoreDatum(0, 1)) > 0)
		RefuseRows(import, parentName, DatumGetInt64(StoreDatum(0, 1)), StoreCString(0, 2));
}

/* Refuse rows whose parents are not the tenant's, in the same words whether they are another's or nobody's. */
static void
CheckParents(Oid target, Oid source, Import *import)
{
	Oid			types[2] = {OIDOID, OIDOID};
	Datum		values[2] = {ObjectIdGetDatum(target), ObjectIdGetDatum(source)};
	uint64		count = Run(parentsQuery, 2, types, values, true);
	SPITupleTable *parents = SPI_tuptable;
	StringInfoData order;

	initStringInfo(&order);
	for (uint64 row = 0; row < count; row++)
	{
		char	   *column = SPI_getvalue(parents->vals[row], parents->tupdesc, 1);
		char	   *schema = SPI_getvalue(parents->vals[row], parents->tupdesc, 2);
		char	   *name = SPI_getvalue(parents->vals[row], parents->tupdesc, 3);

		CheckParent(import, column, quote_qualified_identifier(schema, name), name);
		appendStringInfo(&order, "%s s.%s", row == 0 ? " ORDER BY" : ",", quote_identifier(column));
	}
	import->order = order.data;
}

PHOTOFLOW_FUNCTION(photoflow_import_rows)
{
	Import		import = {0};
	Oid			target;
	Oid			source;
	Oid			types[1] = {UUIDOID};
	Datum		values[1];
	uint64		rows;

	RequireArgument(fcinfo, 0, "table_name", "Give the name of a table.");
	RequireArgument(fcinfo, 1, "source", "Give the name of the table that the rows were copied into.");
	target = PG_GETARG_OID(0);
	source = PG_GETARG_OID(1);
	import.target = QualifiedName(target);
	import.source = QualifiedName(source);
	import.org = ContextOrg();
	if (import.org == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NO_TENANT),
				 errmsg("no organization is set"),
				 errhint("Rows are imported for one organization: SELECT photoflow.set_context(org_id). To load those of "
						 "several at once, COPY as a role that bypasses row-level security."),
				 RefusalCounted()));
	RequireTarget(target);
	StoreBegin();
	FindColumns(target, source, &import);
	CheckOrganizations(&import);
	CheckParents(target, source, &import);
	values[0] = UUIDPGetDatum(import.org);
	rows = Run(psprintf("INSERT INTO %s (\"OrgId\"%s) SELECT $1%s FROM %s s%s", import.target, import.columns, import.columns,
						import.source, import.order), 1, types, values, false);
	StoreEnd();
	PG_RETURN_INT64(rows);
}
