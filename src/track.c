/*
 * track.c: track() and untrack(): puts the triggers of auditchange.c on a table, and takes them off.
 *
 * The triggers are all that is remembered: what is ignored or masked are their arguments, so that a dump keeps it, and a table that is
 * dropped leaves nothing behind. A partitioned table has row triggers, which PostgreSQL clones to all its partitions, also to those to
 * come; of a family of inheritance each member has them. So does a table whose rows a user's trigger may change again. Ours come first,
 * so that what others do is recorded behind what fired them.
 */
#include "photoflow.h"

#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "auditlog.h"
#include "softtable.h"
#include "steps.h"
#include "store.h"

static const struct
{
	const char *name;
	const char *event;			/* and what comes after the table */
	const char *rest;
	bool		byRow;
	bool		byStatement;	/* TRUNCATE goes with both */
}			triggers[] = {
	{"00_PhotoflowAuditInsert", "INSERT", "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT", false, true},
	{"00_PhotoflowAuditUpdate", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT", false, true},
	{"00_PhotoflowAuditDelete", "DELETE", "REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT", false, true},
	{"00_PhotoflowAuditRow", "INSERT OR UPDATE OR DELETE", "FOR EACH ROW", true, false},
	{"00_PhotoflowAuditTruncate", "TRUNCATE", "FOR EACH STATEMENT", true, true}
};

static Oid	TableArgument(FunctionCallInfo fcinfo, LOCKMODE mode);
pg_noreturn static void RefuseTable(Oid relid, int code, const char *why, const char *hint);
static void RequireTrackable(Oid relid);
static void AppendColumns(StringInfo out, FunctionCallInfo fcinfo, int number, const char *argument, const char *prefix, Oid relid);
static char *QualifiedTable(Oid relid);
static void DropTriggers(Oid relid, bool all, bool byRow);
static bool HasRowTriggers(Oid relid);
static void ChangeTriggers(Oid relid, const char *arguments);
static void ChangeFamily(FunctionCallInfo fcinfo, Oid relid, const char *arguments);

/* Return the table, locked so that it stays what it is; raise 42501 for who does not own it. */
static Oid
TableArgument(FunctionCallInfo fcinfo, LOCKMODE mode)
{
	Oid			relid;
	char		kind;

	RequireArgument(fcinfo, 0, "table_name", "Give the name of a table.");
	relid = PG_GETARG_OID(0);
	LockRelationOid(relid, mode);
	kind = get_rel_relkind(relid);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", kind == '\0' ? psprintf("%u", relid) : get_rel_name(relid)),
				 errhint("Changes are recorded where the rows are: track the tables under a view.")));
	if (!RelationIsOwnedBy(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	return relid;
}

static void
RefuseTable(Oid relid, int code, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("table \"%s\" cannot be tracked: %s", get_rel_name(relid), why),
			 errhint("%s", hint)));
}

static void
RequireTrackable(Oid relid)
{
	const char *name = get_rel_name(relid);

	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		RefuseTable(relid, ERRCODE_INVALID_PARAMETER_VALUE, "it is temporary", "Its rows are gone with the session.");
	if (InstallationOwnsTable(relid) &&
		(strcmp(name, "AuditLogs") == 0 || strcmp(name, "AuditSeals") == 0 || strcmp(name, "AuditSettings") == 0))
		RefuseTable(relid, ERRCODE_INVALID_PARAMETER_VALUE, "it is part of the audit log",
					"What becomes of the log is shown by seal_partition() and verify_partition().");
	if (get_rel_relispartition(relid))
		RefuseTable(relid, ERRCODE_INVALID_PARAMETER_VALUE, "it is a partition", "Track the partitioned table, and with it all partitions.");
}

/* Append names of columns as arguments of a trigger; raise 22004 for NULL, 42703 for what is no column. */
static void
AppendColumns(StringInfo out, FunctionCallInfo fcinfo, int number, const char *argument, const char *prefix, Oid relid)
{
	ArrayIterator iterator;
	Datum		value;
	bool		isNull;

	if (PG_ARGISNULL(number))
		return;
	iterator = array_create_iterator(PG_GETARG_ARRAYTYPE_P(number), 0, NULL);
	while (array_iterate(iterator, &value, &isNull))
	{
		const char *column = isNull ? NULL : NameStr(*DatumGetName(value));

		if (isNull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"%s\" must not contain NULL", argument),
					 errhint("Give the names of columns of the table.")));
		if (get_attnum(relid, column) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist", column, get_rel_name(relid)),
					 errhint("\"%s\" names columns of the table, as they are written in quotes.", argument)));
		appendStringInfo(out, "%s%s", out->len > 0 ? ", " : "", quote_literal_cstr(psprintf("%s%s", prefix, column)));
	}
	array_free_iterator(iterator);
}

static char *
QualifiedTable(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* Drop our triggers of a table: all, or those that it has no more as a table by row, or by statement. */
static void
DropTriggers(Oid relid, bool all, bool byRow)
{
	for (size_t i = 0; i < lengthof(triggers); i++)
		if ((all || !(byRow ? triggers[i].byRow : triggers[i].byStatement)) &&
			OidIsValid(get_trigger_oid(relid, triggers[i].name, true)))
			(void) RunSteps(psprintf("DROP TRIGGER \"%s\" ON %s", triggers[i].name, QualifiedTable(relid)), 0, NULL, NULL);
}

/*
 * Say whether a user's AFTER trigger sees each row: it may change the table again, and what it does must not be recorded before the
 * statement that fired it.
 */
static bool
HasRowTriggers(Oid relid)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1] = {ObjectIdGetDatum(relid)};

	/* tgtype's bits: 1 row, 2 before */
	return RunSteps("SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = $1 AND t.tgtype & 3 = 1"
					" AND NOT t.tgisinternal AND p.pronamespace <> 'photoflow'::regnamespace LIMIT 1", 1, types, values) > 0;
}

/* Give a table its triggers, or, without arguments, take them. */
static void
ChangeTriggers(Oid relid, const char *arguments)
{
	bool		byRow = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE || has_superclass(relid) || has_subclass(relid) ||
		HasRowTriggers(relid);

	DropTriggers(relid, arguments == NULL, byRow);
	for (size_t i = 0; arguments && i < lengthof(triggers); i++)
		if (byRow ? triggers[i].byRow : triggers[i].byStatement)
			(void) RunSteps(psprintf("CREATE OR REPLACE TRIGGER \"%s\" AFTER %s ON %s %s EXECUTE FUNCTION photoflow.record_changes(%s)",
									 triggers[i].name, triggers[i].event, QualifiedTable(relid), triggers[i].rest, arguments),
							0, NULL, NULL);
}

/* Change the triggers of a table and of those that inherit from it; partitions have theirs from the whole. */
static void
ChangeFamily(FunctionCallInfo fcinfo, Oid relid, const char *arguments)
{
	StepScope	scope;
	List	   *members = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? list_make1_oid(relid) :
		find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	ListCell   *cell;

	StoreBegin();
	EnterSteps(&scope, GetUserId());
	SetInScope("client_min_messages", "warning");
	foreach(cell, members)
	{
		if (!RelationIsOwnedBy(lfirst_oid(cell), GetUserId()))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(lfirst_oid(cell)));
		ChangeTriggers(lfirst_oid(cell), arguments);
	}
	LeaveSteps(&scope);
	StoreEnd();
}

PHOTOFLOW_FUNCTION(photoflow_track)
{
	Oid			relid = TableArgument(fcinfo, ShareRowExclusiveLock);
	StringInfoData arguments;

	AuditRequireTables();
	RequireTrackable(relid);
	initStringInfo(&arguments);
	AppendColumns(&arguments, fcinfo, 1, "ignored_columns", "ignore:", relid);
	AppendColumns(&arguments, fcinfo, 2, "masked_columns", "mask:", relid);
	ChangeFamily(fcinfo, relid, arguments.data);
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_untrack)
{
	ChangeFamily(fcinfo, TableArgument(fcinfo, ShareRowExclusiveLock), NULL);
	PG_RETURN_VOID();
}
