/*
 * store.c: runs the statements of plans.h.
 *
 * Words:
 * - A plan is a statement prepared once per session (generic, kept by SPI) and re-prepared only when the data
 *   tables move to another schema.
 * - In the name of the owner: as ri_triggers.c does for foreign keys, a plan that keeps the database's own books
 *   (history, stages, workflow versions) runs as the owner of the data tables, so that an application needs no
 *   right to write them. Such a text names "OrgId" itself.
 * - Past policies: only plans that read. No trigger, and so no code of a user's, ever runs with the policies off;
 *   PostgreSQL keeps a plan by role, and one that such code has made would be used again where they are on.
 *
 * store.c knows no rules. An error inside a plan ends the (sub)transaction, which restores the user id.
 */
#include "store.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "photoflow.h"

#define STORE_MAX_ARGS 26

typedef struct StoreStatement
{
	int			flags;
	const char *text;
	Oid			argtypes[STORE_MAX_ARGS];
} StoreStatement;

static const StoreStatement statements[STORE_PLAN_COUNT] = {
#define STORE_PLAN(name, flags, text, ...) {flags, text, {__VA_ARGS__}},
#include "plans.h"
#undef STORE_PLAN
};

/* one of each, and one for each table of soft delete of those that are for all of them */
static SPIPlanPtr plans[STORE_PLAN_COUNT][SOFT_TABLE_COUNT];
static uint64 plansGeneration;
static bool quiet = false;

static void EnterPlan(int flags, Oid owner, Oid *user, int *context);
static int	ExecutePlan(SPIPlanPtr plan, int flags, Datum *values, const char *nulls);
static SPIPlanPtr PreparePlan(StorePlan plan, SoftTableId table, const char *schema);
static char *ExpandText(const char *text, SoftTableId table, const char *schema);
static void AppendReference(StringInfo out, const char **cursor, SoftTableId table, const char *schema);
static const char *NameInTable(const char *name, int length, SoftTableId table);
static char *ArrayData(ArrayType *array);

void
StoreBegin(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
StoreEnd(void)
{
	SPI_finish();
}

/*
 * Let names in a user's triggers mean what their owner sees, until AtEOXact_GUC(): they run in his name, and a caller could
 * put something of his own in their way.
 */
int
PinSearchPath(void)
{
	int			level = NewGUCNestLevel();
	const char *path = psprintf("pg_catalog, %s, pg_temp", quote_identifier(NameStr(InstallationGet()->schema)));

	(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/* Run a plan; return the number of rows found or changed. The rows are in SPI_tuptable. */
uint64
StoreRun(StorePlan plan, const Datum *values, const char *nulls)
{
	return StoreRunOn(plan, 0, values, nulls);
}

/* Run a plan that is for all tables of soft delete on one of them. */
uint64
StoreRunOn(StorePlan plan, SoftTableId table, const Datum *values, const char *nulls)
{
	const Installation *where = InstallationGet();
	int			flags = statements[plan].flags;
	Oid			user;
	int			context;
	int			gucLevel = 0;
	int			result;

	if (plansGeneration != InstallationGeneration())
	{
		/* kept plans of the old schema: rare, and a running one may not be freed */
		memset(plans, 0, sizeof(plans));
		plansGeneration = InstallationGeneration();
	}
	if (flags & STORE_BOOKS)
	{
		gucLevel = PinSearchPath();
		/* what a dump's script leaves behind would make the owner's books an error, since policies are forced */
		if (!row_security)
			(void) set_config_option("row_security", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	EnterPlan(flags, where->owner, &user, &context);
	if (plans[plan][table] == NULL)
		plans[plan][table] = PreparePlan(plan, table, NameStr(where->schema));
	result = ExecutePlan(plans[plan][table], flags, unconstify(Datum *, values), nulls);
	quiet = false;
	SetUserIdAndSecContext(user, context);
	if (result == SPI_OK_REWRITTEN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a rule makes something else of a statement of photoflow's"),
				 errhint("Drop the rule on the data table; a trigger can do what it does.")));
	if (gucLevel > 0)
		AtEOXact_GUC(true, gucLevel);
	if (result < 0)
		elog(ERROR, "plan %d failed: %s", plan, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * Execute a plan. One that must see the newest rows in a transaction that keeps its snapshot runs as ri_triggers.c
 * does it: with the latest snapshot, and an error where that shows a row which the transaction's own does not.
 */
static int
ExecutePlan(SPIPlanPtr plan, int flags, Datum *values, const char *nulls)
{
	quiet = (flags & STORE_QUIET) != 0;
	if ((flags & STORE_NEWEST) && IsolationUsesXactSnapshot())
	{
		Snapshot	own = GetTransactionSnapshot();

		CommandCounterIncrement();
		return SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), own, false, true, 0);
	}
	return SPI_execute_plan(plan, values, nulls, (flags & STORE_READ) != 0, 0);
}

/*
 * Say whether the statement that is being planned, or that starts with a plan it has, is a quiet one. What comes after it
 * is not: its own planning may run a user's functions, and it fires a user's triggers.
 */
bool
StoreTakeQuiet(void)
{
	bool		was = quiet;

	quiet = false;
	return was;
}

/* Take on whom a plan runs as; it is prepared so too, since its rewriting depends on it and is kept. */
static void
EnterPlan(int flags, Oid owner, Oid *user, int *context)
{
	GetUserIdAndSecContext(user, context);
	if (flags & STORE_OWNER)
		SetUserIdAndSecContext(owner, *context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	else if (flags & STORE_BOOKS)
		SetUserIdAndSecContext(owner, (*context | SECURITY_LOCAL_USERID_CHANGE) & ~SECURITY_NOFORCE_RLS);
	else if (*context & SECURITY_NOFORCE_RLS)
		SetUserIdAndSecContext(*user, *context & ~SECURITY_NOFORCE_RLS);
}

static SPIPlanPtr
PreparePlan(StorePlan plan, SoftTableId table, const char *schema)
{
	const StoreStatement *statement = &statements[plan];
	char	   *text = ExpandText(statement->text, table, schema);
	int			nargs = 0;
	SPIPlanPtr	prepared;

	while (nargs < STORE_MAX_ARGS && statement->argtypes[nargs] != InvalidOid)
		nargs++;
	prepared = SPI_prepare_cursor(text, nargs, unconstify(Oid *, (const Oid *) statement->argtypes), CURSOR_OPT_GENERIC_PLAN);
	if (prepared == NULL)
		elog(ERROR, "could not prepare plan %d: %s", plan, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "could not keep plan %d", plan);
	pfree(text);
	return prepared;
}

/* Expand {Table}, [Column] and == as plans.h describes. */
static char *
ExpandText(const char *text, SoftTableId table, const char *schema)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *cursor = text; *cursor;)
	{
		if (*cursor == '{' || (*cursor == '[' && cursor[1] != ']'))
			AppendReference(&out, &cursor, table, schema);
		else if (cursor[0] == '=' && cursor[1] == '=')
		{
			appendStringInfoString(&out, "OPERATOR(pg_catalog.=)");
			cursor += 2;
		}
		else
			appendStringInfoChar(&out, *cursor++);
	}
	return out.data;
}

static void
AppendReference(StringInfo out, const char **cursor, SoftTableId table, const char *schema)
{
	char		open = **cursor;
	const char *end = strchr(*cursor, open == '{' ? '}' : ']');

	if (open == '{')
		appendStringInfo(out, "%s.", quote_identifier(schema));
	appendStringInfo(out, "\"%s\"", NameInTable(*cursor + 1, (int) (end - *cursor - 1), table));
	*cursor = end + 1;
}

/* A name as it stands, or what it stands for in this table. */
static const char *
NameInTable(const char *name, int length, SoftTableId table)
{
	const SoftTable *soft = &softTables[table];
	char	   *given = pnstrdup(name, length);

	if (strcmp(given, "TABLE") == 0)
		return soft->name;
	if (strcmp(given, "ORG") == 0)
		return soft->orgColumn;
	if (strcmp(given, "PARENT") == 0)
		return soft->parentColumn ? soft->parentColumn : "Id";	/* a plan for all tables does not use it then */
	if (strcmp(given, "ABOVE") == 0)
		return softTables[soft->parent].name;
	if (strcmp(given, "ABOVEORG") == 0)
		return softTables[soft->parent].orgColumn;
	return given;
}

bool
StoreIsNull(uint64 row, int column)
{
	bool		isNull;

	SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isNull);
	return isNull;
}

/* The value itself, good until StoreEnd(); 0 when it is NULL. */
Datum
StoreDatum(uint64 row, int column)
{
	bool		isNull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isNull);
}

/* NULL when the value is NULL; good until StoreEnd(). */
const pg_uuid_t *
StoreUuid(uint64 row, int column)
{
	bool		isNull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isNull);

	return isNull ? NULL : DatumGetUUIDP(value);
}

int
StoreInt(uint64 row, int column)
{
	return DatumGetInt32(StoreDatum(row, column));
}

/* The value as text, NULL when it is NULL; good until StoreEnd(). */
char *
StoreCString(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* ARR_DATA_PTR() without its mix of signed and unsigned, which -Wextra reports. */
static char *
ArrayData(ArrayType *array)
{
	return (char *) array + (ARR_HASNULL(array) ? (Size) array->dataoffset : ARR_OVERHEAD_NONULLS(ARR_NDIM(array)));
}

/* Make a uuid[] in one allocation: the elements lie side by side as in the C array. */
Datum
UuidArray(const pg_uuid_t *values, int count)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + (Size) count * sizeof(pg_uuid_t);
	ArrayType  *array;

	if (count == 0)
		return PointerGetDatum(construct_empty_array(UUIDOID));
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = UUIDOID;
	ARR_DIMS(array)[0] = count;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ArrayData(array), values, (Size) count * sizeof(pg_uuid_t));
	return PointerGetDatum(array);
}

/* Copy the elements of a uuid[] argument; raise 22004 when one is NULL. */
pg_uuid_t *
UuidArrayElements(ArrayType *array, const char *argument, int *count)
{
	pg_uuid_t  *values;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"%s\" must not contain NULL", argument),
				 errhint("Leave the NULL elements out, for example with array_remove(%s, NULL).", argument)));
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	values = palloc(Max(*count, 1) * sizeof(pg_uuid_t));
	if (*count > 0)
		memcpy(values, ArrayData(array), (Size) *count * sizeof(pg_uuid_t));
	return values;
}

/* Make a text[]; a NULL pointer is a NULL element. */
Datum
TextArray(char **values, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc0(sizeof(bool) * Max(count, 1));
	int			bound = 1;

	if (count == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	for (int i = 0; i < count; i++)
	{
		nulls[i] = values[i] == NULL;
		elements[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &bound, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Return the rows of the last StoreRun() as those of a function, after InitMaterializedSRF(). */
void
StoreReturnRows(ReturnSetInfo *result)
{
	int			columns = SPI_tuptable->tupdesc->natts;
	Datum	   *values = palloc(sizeof(Datum) * columns);
	bool	   *nulls = palloc(sizeof(bool) * columns);

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}
