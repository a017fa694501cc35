/*
 * steps.c: reads the list of table steps and keeps the history of those that ran.
 *
 * Words:
 * - A step is one row of photoflow.table_steps: a numbered piece of SQL that brings the data tables forward.
 * - The history is "__PhotoflowMigrations" in the data schema: one row for each step that ran or is running.
 * - The target is the data schema, with the role that owns its history. Steps run in that role's name, so that
 *   what a superuser migrates still belongs to the owner, and no code of the owner's runs as superuser.
 */
#include "photoflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "steps.h"
#include "store.h"

#define HISTORY_TABLE "__PhotoflowMigrations"

static Oid	FindHistory(Oid schemaOid, const char *schema, Oid *owner);
static bool AskSchema(const StepTarget *target, const TableStep *step);
static TableStep *ReadStep(uint64 row, const char *schema);
static TimestampTz ReadTime(uint64 row, int column);

static const char *const stepsWithHistory =
	"SELECT coalesce(t.step, h.\"Step\"), t.step IS NOT NULL, coalesce(t.version, h.\"Version\"),"
	" coalesce(t.kind, h.\"Kind\"), coalesce(t.description, h.\"Description\"), t.sql, t.count_sql,"
	" h.\"State\", h.\"RowsDone\", h.\"RowsTotal\", h.\"StartedAt\", h.\"FinishedAt\""
	" FROM photoflow.table_steps t FULL JOIN {schema}.\"" HISTORY_TABLE "\" h ON h.\"Step\" = t.step ORDER BY 1";

static const char *const stepsWithoutHistory =
	"SELECT t.step, true, t.version, t.kind, t.description, t.sql, t.count_sql, NULL::text, 0::bigint, NULL::bigint,"
	" NULL::timestamptz, NULL::timestamptz FROM photoflow.table_steps t ORDER BY 1";

/* "StartedAt" keeps the first start: a resumed step shows how long it took altogether. */
static const char *const recordStep =
	"INSERT INTO {schema}.\"" HISTORY_TABLE "\" AS h"
	" (\"Step\", \"Version\", \"Kind\", \"Description\", \"State\", \"RowsDone\", \"RowsTotal\", \"FinishedAt\")"
	" VALUES ($1, $2, $3, $4, $5, $6, nullif($7, -1), CASE WHEN $5 = 'done' THEN clock_timestamp() END)"
	" ON CONFLICT (\"Step\") DO UPDATE SET \"State\" = EXCLUDED.\"State\", \"RowsDone\" = EXCLUDED.\"RowsDone\","
	" \"RowsTotal\" = EXCLUDED.\"RowsTotal\", \"FinishedAt\" = EXCLUDED.\"FinishedAt\"";

/*
 * Read the data schema; false when there is none. Not the cached answer of installation.c: the engine runs before
 * there are tables, and while it changes them.
 */
bool
ReadDataSchema(NameData *schema)
{
	if (RunSteps("SELECT data_schema FROM photoflow.installation", 0, NULL, NULL) == 0)
		return false;
	*schema = *DatumGetName(StoreDatum(0, 1));
	return true;
}

/* The target that a schema is or would become. */
StepTarget *
FindTarget(const char *schema)
{
	StepTarget *target = palloc0(sizeof(StepTarget));

	namestrcpy(&target->schema, schema);
	target->schemaOid = get_namespace_oid(schema, true);
	target->owner = GetUserId();
	if (OidIsValid(target->schemaOid))
		target->history = FindHistory(target->schemaOid, schema, &target->owner);
	return target;
}

/* The target of this database; raises 55000 when there is none. */
StepTarget *
FindInstalledTarget(void)
{
	NameData	schema;
	StepTarget *target;

	if (!ReadDataSchema(&schema))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("photoflow has no data tables in this database"),
				 errhint("Make them with SELECT photoflow.create_tables().")));
	target = FindTarget(NameStr(schema));
	if (!OidIsValid(target->history))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("schema \"%s\" has no history of table steps", NameStr(schema)),
				 errhint("If the schema was renamed, update photoflow.installation; if the tables were dropped, "
						 "make them with SELECT photoflow.create_tables(%s).",
						 quote_literal_cstr(NameStr(schema)))));
	return target;
}

/* Only a plain table is the history: reading somebody's view would run its functions as us. */
static Oid
FindHistory(Oid schemaOid, const char *schema, Oid *owner)
{
	Oid			history = get_relname_relid(HISTORY_TABLE, schemaOid);
	HeapTuple	class;

	class = SearchSysCache1(RELOID, ObjectIdGetDatum(history));
	if (!HeapTupleIsValid(class))
		return InvalidOid;
	*owner = ((Form_pg_class) GETSTRUCT(class))->relowner;
	if (((Form_pg_class) GETSTRUCT(class))->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" in schema \"%s\" is not a table", HISTORY_TABLE, schema),
				 errhint("photoflow keeps its history under this name: rename the other object.")));
	ReleaseSysCache(class);
	return history;
}

void
RequireTargetOwner(const StepTarget *target)
{
	if (OidIsValid(target->history) && !RelationIsOwnedBy(target->history, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the data tables in schema \"%s\"", NameStr(target->schema)),
				 errhint("Call it as role \"%s\" or as a member of it.", GetUserNameFromId(target->owner, false))));
}

/*
 * Pin search_path, so that texts mean the same for every caller, and run in the name of a role until LeaveSteps(). As
 * for ri_triggers.c, policies that are forced on an owner do not hold the owner's own steps back.
 */
void
EnterSteps(StepScope *scope, Oid user)
{
	scope->gucLevel = NewGUCNestLevel();
	GetUserIdAndSecContext(&scope->user, &scope->context);
	SetInScope("search_path", "pg_catalog, pg_temp");
	SetUserIdAndSecContext(user, scope->context | SECURITY_NOFORCE_RLS |
						   (user != scope->user ? SECURITY_LOCAL_USERID_CHANGE : 0));
}

/* Set a setting until LeaveSteps(). */
void
SetInScope(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
LeaveSteps(const StepScope *scope)
{
	SetUserIdAndSecContext(scope->user, scope->context);
	AtEOXact_GUC(true, scope->gucLevel);
}

/* The steps of this version and those of the history that it does not know, in order. */
List *
LoadSteps(const StepTarget *target)
{
	const char *schema = NameStr(target->schema);
	List	   *steps = NIL;
	uint64		rows;

	rows = RunSteps(OidIsValid(target->history) ? ExpandSchema(stepsWithHistory, schema) : stepsWithoutHistory, 0,
					NULL, NULL);
	for (uint64 row = 0; row < rows; row++)
		steps = lappend(steps, ReadStep(row, schema));
	return steps;
}

static TableStep *
ReadStep(uint64 row, const char *schema)
{
	TableStep  *step = palloc0(sizeof(TableStep));

	step->step = StoreInt(row, 1);
	step->known = DatumGetBool(StoreDatum(row, 2));
	step->version = StoreCString(row, 3);
	step->kind = StoreCString(row, 4);
	step->description = StoreCString(row, 5);
	if (!StoreIsNull(row, 6))
		step->sql = ExpandSchema(StoreCString(row, 6), schema);
	if (!StoreIsNull(row, 7))
		step->countSql = ExpandSchema(StoreCString(row, 7), schema);
	step->state = StoreCString(row, 8);
	step->rowsDone = StoreIsNull(row, 9) ? 0 : DatumGetInt64(StoreDatum(row, 9));
	step->rowsTotal = StoreIsNull(row, 10) ? -1 : DatumGetInt64(StoreDatum(row, 10));
	step->startedAt = ReadTime(row, 11);
	step->finishedAt = ReadTime(row, 12);
	return step;
}

static TimestampTz
ReadTime(uint64 row, int column)
{
	return StoreIsNull(row, column) ? STEP_TIME_NONE : DatumGetTimestampTz(StoreDatum(row, column));
}

bool
StepIsKind(const TableStep *step, const char *kind)
{
	return strcmp(step->kind, kind) == 0;
}

/* Ask count_sql, where it is a question about the data schema. */
static bool
AskSchema(const StepTarget *target, const TableStep *step)
{
	Oid			types[1] = {NAMEOID};
	Datum		values[1] = {NameGetDatum(&target->schema)};

	return RunSteps(step->countSql, 1, types, values) > 0 && DatumGetBool(StoreDatum(0, 1));
}

/* A ddl step may have to wait for what is done by hand. */
bool
StepIsReady(const StepTarget *target, const TableStep *step)
{
	return !StepIsKind(step, "ddl") || step->countSql == NULL || AskSchema(target, step);
}

/* A concurrent index is built by hand: it is done once it is there and valid, recorded or not. */
bool
StepIsDone(const StepTarget *target, const TableStep *step)
{
	if (step->state && strcmp(step->state, "done") == 0)
		return true;
	if (!step->known || !StepIsKind(step, "concurrent_index") || !OidIsValid(target->history))
		return false;
	return AskSchema(target, step);
}

/* An index that is built concurrently cannot bring its comment along: the description of its step is it. */
void
CommentIndex(const StepTarget *target, const TableStep *step)
{
	static const char before[] = " CONCURRENTLY ";
	const char *name = strstr(step->sql, before);
	const char *end = name ? strstr(name, " ON ") : NULL;

	if (end == NULL)
		elog(ERROR, "step %d names no index", step->step);
	name += strlen(before);
	RunSteps(psprintf("COMMENT ON INDEX %s.%.*s IS %s", quote_identifier(NameStr(target->schema)), (int) (end - name), name,
					  quote_literal_cstr(step->description)), 0, NULL, NULL);
}

void
RecordStep(const StepTarget *target, const TableStep *step, const char *state)
{
	char	   *sql = ExpandSchema(recordStep, NameStr(target->schema));
	Oid			types[7] = {INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, INT8OID};
	Datum		values[7] = {
		Int32GetDatum(step->step), CStringGetTextDatum(step->version), CStringGetTextDatum(step->kind),
		CStringGetTextDatum(step->description), CStringGetTextDatum(state), Int64GetDatum(step->rowsDone),
		Int64GetDatum(step->rowsTotal)};

	RunSteps(sql, 7, types, values);
}

/* Run one or more statements in the present scope; return the number of rows of the last. */
uint64
RunSteps(const char *text, int nargs, Oid *types, Datum *values)
{
	int			result = SPI_execute_with_args(text, nargs, types, values, NULL, false, 0);

	if (result < 0)
		elog(ERROR, "table step failed: %s", SPI_result_code_string(result));
	return SPI_processed;
}

/* Run the statements, in one text, that a query makes; nothing where it returns no row or NULL. */
void
RunGenerated(const char *query, int nargs, Oid *types, Datum *values)
{
	if (RunSteps(query, nargs, types, values) > 0 && !StoreIsNull(0, 1))
		RunSteps(StoreCString(0, 1), 0, NULL, NULL);
}

/* Fill in the data schema. Other braces, as of a JSON document in a step, stay. */
char *
ExpandSchema(const char *text, const char *schema)
{
	static const char placeholder[] = "{schema}";
	StringInfoData out;
	const char *found;

	initStringInfo(&out);
	while ((found = strstr(text, placeholder)) != NULL)
	{
		appendBinaryStringInfo(&out, text, found - text);
		appendStringInfoString(&out, quote_identifier(schema));
		text = found + strlen(placeholder);
	}
	appendStringInfoString(&out, text);
	return out.data;
}
