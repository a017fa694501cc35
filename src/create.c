/*
 * create.c: create_tables(), the door to the step engine for a database that has no tables yet.
 *
 * Everything happens in the caller's transaction and without a NOTICE: steps that migrate() would spread over many
 * transactions (batches, concurrent indexes) run as one piece here, since nobody else can see the tables yet.
 */
#include "photoflow.h"

#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "steps.h"
#include "store.h"

#define BATCH_AT_ONCE 100000

static void CheckDataSchema(const char *schema);
static void CreateTables(const char *schema);
static bool CheckInstallation(const char *schema);
static void RefuseExistingTables(const StepTarget *target);
static void RegisterDataSchema(const char *schema);
static void RunStepAtOnce(const StepTarget *target, const TableStep *step);
static char *RemoveConcurrently(const char *sql);
static void ForgetInstallationEverywhere(void);

/* tables that the steps would make, and that are there already */
static const char *const existingTables =
	"SELECT array_agg(c.relname::text ORDER BY c.relname::text COLLATE \"C\") FROM pg_class c WHERE c.relnamespace = $1"
	" AND c.relname IN (SELECT m[1] FROM photoflow.table_steps t,"
	" regexp_matches(t.sql, 'CREATE TABLE [{]schema[}][.]\"([^\"]+)\"', 'g') m)";

PHOTOFLOW_FUNCTION(photoflow_create_tables)
{
	char	   *schema;
	StepScope	scope;

	RequireArgument(fcinfo, 0, "data_schema", "Leave it out for schema public.");
	schema = pstrdup(NameStr(*PG_GETARG_NAME(0)));
	/* what is made inside CREATE EXTENSION becomes a member: not dumped, and dropped with the extension */
	if (creating_extension)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("data tables cannot be made while an extension is created or updated"),
				 errhint("Call photoflow.create_tables() afterwards.")));
	CheckDataSchema(schema);

	StoreBegin();
	EnterSteps(&scope, GetUserId());
	SetInScope("client_min_messages", "warning");
	LockSteps(false, true);
	CreateTables(schema);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}

static void
CheckDataSchema(const char *schema)
{
	Oid			schemaOid = get_namespace_oid(schema, true);

	if (!OidIsValid(schemaOid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" does not exist", schema),
				 errhint("Make it first: CREATE SCHEMA %s;", quote_identifier(schema))));
	if (IsCatalogNamespace(schemaOid) || isAnyTempNamespace(schemaOid) || IsToastNamespace(schemaOid) ||
		OidIsValid(getExtensionOfObject(NamespaceRelationId, schemaOid)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" cannot hold data tables", schema),
				 errhint("It is the system's, a session's or an extension's: name a schema of your own.")));
}

static void
CreateTables(const char *schema)
{
	bool		registered = CheckInstallation(schema);
	StepTarget *target = FindTarget(schema);
	List	   *steps;
	char	   *installed = InstalledVersion();
	StepScope	scope;
	ListCell   *cell;

	RequireTargetOwner(target);
	if (!OidIsValid(target->history))
		RefuseExistingTables(target);
	steps = LoadSteps(target);
	RefuseNewerTables(steps, installed, installed);
	if (!registered)
		RegisterDataSchema(schema);

	EnterSteps(&scope, target->owner);
	foreach(cell, steps)
	{
		TableStep  *step = lfirst(cell);

		if (step->known && !StepIsDone(target, step))
			RunStepAtOnce(target, step);
	}
	LeaveSteps(&scope);
	ForgetInstallationEverywhere();
}

/* True when this schema is installed already. */
static bool
CheckInstallation(const char *schema)
{
	NameData	installed;

	if (!ReadDataSchema(&installed))
		return false;
	if (strcmp(NameStr(installed), schema) != 0)
	{
		JsonText	detail;

		JsonBegin(&detail);
		JsonAddText(&detail, "installed", NameStr(installed));
		JsonAddText(&detail, "requested", schema);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the data tables are in schema \"%s\"", NameStr(installed)),
				 errdetail_internal("%s", JsonEnd(&detail)),
				 OidIsValid(get_namespace_oid(NameStr(installed), true)) ?
				 errhint("A database has one set of them: use SELECT photoflow.create_tables(%s), or move them with "
						 "ALTER TABLE ... SET SCHEMA and update photoflow.installation.",
						 quote_literal_cstr(NameStr(installed))) :
				 errhint("That schema is gone. If it was renamed: UPDATE photoflow.installation SET data_schema = %s;",
						 quote_literal_cstr(schema))));
	}
	return true;
}

/* EF Core may have made them: a half-fitting table must not be mixed with ours. */
static void
RefuseExistingTables(const StepTarget *target)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1] = {ObjectIdGetDatum(target->schemaOid)};
	Datum	   *elements;
	const char **names;
	int			count;
	JsonText	detail;

	RunSteps(existingTables, 1, types, values);
	if (StoreIsNull(0, 1))
		return;
	deconstruct_array(DatumGetArrayTypeP(StoreDatum(0, 1)), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	names = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
		names[i] = TextDatumGetCString(elements[i]);
	JsonBegin(&detail);
	JsonAddText(&detail, "schema", NameStr(target->schema));
	JsonAddRaw(&detail, "tables", JsonTextArray(names, count));
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg_plural("schema \"%s\" has a table \"%s\" that photoflow did not make",
						   "schema \"%s\" has tables that photoflow did not make, \"%s\" among them",
						   count, NameStr(target->schema), names[0]),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("Taking over existing tables is not part of this version of photoflow. Rename or move them, or "
					 "choose another schema.")));
}

static void
RegisterDataSchema(const char *schema)
{
	NameData	name;
	Oid			types[1] = {NAMEOID};
	Datum		values[1];

	namestrcpy(&name, schema);
	values[0] = NameGetDatum(&name);
	RunSteps("INSERT INTO photoflow.installation (data_schema) VALUES ($1)", 1, types, values);
	ForgetInstallationEverywhere();
}

static void
RunStepAtOnce(const StepTarget *target, const TableStep *step)
{
	if (StepIsKind(step, "backfill"))
	{
		Oid			types[1] = {INT4OID};
		Datum		values[1] = {Int32GetDatum(BATCH_AT_ONCE)};

		while (RunSteps(step->sql, 1, types, values) > 0)
			CHECK_FOR_INTERRUPTS();
	}
	else if (StepIsKind(step, "concurrent_index"))
	{
		RunSteps(RemoveConcurrently(step->sql), 0, NULL, NULL);
		CommentIndex(target, step);
	}
	else
		RunSteps(step->sql, 0, NULL, NULL);
	RecordStep(target, step, "done");
}

static char *
RemoveConcurrently(const char *sql)
{
	static const char word[] = " CONCURRENTLY";
	StringInfoData out;
	const char *found;

	initStringInfo(&out);
	while ((found = strstr(sql, word)) != NULL)
	{
		appendBinaryStringInfo(&out, sql, found - sql);
		sql = found + strlen(word);
	}
	appendStringInfoString(&out, sql);
	return out.data;
}

/* Sessions keep where the tables are, and look again when photoflow.installation changes. */
static void
ForgetInstallationEverywhere(void)
{
	CacheInvalidateRelcacheByRelid(get_relname_relid("installation", get_namespace_oid("photoflow", false)));
	CommandCounterIncrement();
}
