/*
 * auditpartition.c: the monthly partitions of "AuditLogs".
 *
 * A month is one of UTC. Rows of a month without a partition go to the default partition, so none is ever refused.
 */
#include "photoflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "auditpartition.h"
#include "protect.h"
#include "store.h"

#define MAX_MONTHS 1200
#define DEFAULT_MONTHS 12

static AuditMonth *ListMonths(int months);
static bool CreatePartition(const StepTarget *target, const AuditMonth *month);
static void ForgetFirstRange(Oid partition);
static void RefuseRowsInDefault(const StepTarget *target, const AuditMonth *month);

static const char *const listMonths =
	"SELECT " AUDIT_MONTH_COLUMNS
	" FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + i * interval '1 month' AS m"
	" FROM generate_series(0, $1 - 1) i) months ORDER BY 1";

PHOTOFLOW_FUNCTION(photoflow_create_audit_partitions)
{
	int			months = PG_ARGISNULL(0) ? DEFAULT_MONTHS : PG_GETARG_INT32(0);
	int			made;
	StepTarget *target;
	StepScope	scope;

	if (months < 1 || months > MAX_MONTHS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"months\" must be between 1 and %d", MAX_MONTHS),
				 errhint("The present month is the first: 12 makes partitions for a year.")));
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	target = FindInstalledTarget();
	(void) FindAuditLogs(target);
	SetUserIdAndSecContext(target->owner, scope.context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	made = MakeAuditPartitions(target, months);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_INT32(made);
}

Oid
FindAuditLogs(const StepTarget *target)
{
	Oid			auditLogs = get_relname_relid("AuditLogs", target->schemaOid);

	if (!OidIsValid(auditLogs))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("schema \"%s\" has no table \"AuditLogs\"", NameStr(target->schema)),
				 errhint("CALL photoflow.migrate().")));
	RequireTargetOwner(target);
	return auditLogs;
}

/* Make the partitions of this month and those after it that are missing; return how many were. */
int
MakeAuditPartitions(const StepTarget *target, int months)
{
	Oid			auditLogs = FindAuditLogs(target);
	AuditMonth *list = ListMonths(months);
	bool		missing = false;
	int			made = 0;

	for (int i = 0; i < months && !missing; i++)
		missing = !OidIsValid(get_relname_relid(list[i].partition, target->schemaOid));
	if (!missing)
		return 0;
	/* the same lock as CREATE TABLE ... PARTITION OF, so that two calls do not make the same partition */
	LockRelationOid(auditLogs, ShareUpdateExclusiveLock);
	for (int i = 0; i < months; i++)
		made += CreatePartition(target, &list[i]) ? 1 : 0;
	return made;
}

/* Copied out of SPI's result, which the statements that follow replace. */
static AuditMonth *
ListMonths(int months)
{
	AuditMonth *list = palloc(sizeof(AuditMonth) * months);
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(months)};

	RunSteps(listMonths, 1, types, values);
	for (int i = 0; i < months; i++)
	{
		list[i].partition = StoreCString(i, 1);
		list[i].from = StoreCString(i, 2);
		list[i].to = StoreCString(i, 3);
	}
	return list;
}

/* False when it is there, also as a table on its own: a month that was detached for the archive stays so. */
static bool
CreatePartition(const StepTarget *target, const AuditMonth *month)
{
	const char *schema = NameStr(target->schema);

	if (OidIsValid(get_relname_relid(month->partition, target->schemaOid)))
		return false;
	RefuseRowsInDefault(target, month);
	RunSteps(ExpandSchema(psprintf("CREATE TABLE {schema}.\"%s\" PARTITION OF {schema}.\"AuditLogs\""
								   " FOR VALUES FROM ('%s') TO ('%s')",
								   month->partition, month->from, month->to),
						  schema),
			 0, NULL, NULL);
	ForgetFirstRange(get_relname_relid(month->partition, target->schemaOid));
	/* named directly, it has not its parent's policies; tables older than policies get none */
	if (TableIsProtected(get_relname_relid("AuditLogs", target->schemaOid)))
		ProtectTable(get_relname_relid(month->partition, target->schemaOid));
	return true;
}

/* An index that summarizes pages is made with a summary of the first, empty ones, which each row would write anew. */
static void
ForgetFirstRange(Oid partition)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1] = {ObjectIdGetDatum(partition)};

	(void) RunSteps("SELECT brin_desummarize_range(i.indexrelid, 0) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
					" JOIN pg_am m ON m.oid = x.relam WHERE m.amname = 'brin' AND i.indrelid = $1", 1, types, values);
}

/* PostgreSQL would refuse as well (23514), but could not say what to do. */
static void
RefuseRowsInDefault(const StepTarget *target, const AuditMonth *month)
{
	JsonText	detail;

	if (RunSteps(ExpandSchema(psprintf("SELECT 1 FROM {schema}.\"AuditLogs\" a"
									   " WHERE a.\"CreatedAt\" >= '%s' AND a.\"CreatedAt\" < '%s' LIMIT 1",
									   month->from, month->to),
							  NameStr(target->schema)),
				 0, NULL, NULL) == 0)
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "partition", month->partition);
	JsonAddText(&detail, "from", month->from);
	JsonAddText(&detail, "to", month->to);
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("the default partition of \"AuditLogs\" has rows of partition \"%s\" already", month->partition),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("In one transaction: detach the default partition, make the partitions, attach an empty default, "
					 "and insert its rows into \"AuditLogs\".")));
}

/* The owner's: sizes tell of all organizations. */
static const char *const listPartitions =
	"SELECT c.oid::regclass, " AUDIT_BOUND("FROM") ", " AUDIT_BOUND("TO") ", pg_total_relation_size(c.oid)"
	" - CASE WHEN pg_relation_size(c.oid) = 0 THEN pg_total_relation_size(c.oid) ELSE 0 END, greatest(c.reltuples, 0)::int8, s.\"SealedAt\""
	" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
	" LEFT JOIN {schema}.\"AuditSeals\" s ON s.\"Partition\" = c.relname"
	" WHERE i.inhparent = $table${schema}.\"AuditLogs\"$table$::regclass ORDER BY 3 NULLS LAST";

PHOTOFLOW_FUNCTION(photoflow_list_audit_partitions)
{
	StepScope	scope;
	StepTarget *target;
	NameData	schema;

	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	/* so that bounds are read as they were written */
	SetInScope("TimeZone", "UTC");
	SetInScope("DateStyle", "ISO, YMD");
	/* part of status(), which says itself what is missing */
	if (ReadDataSchema(&schema) && OidIsValid(get_relname_relid("AuditSeals", get_namespace_oid(NameStr(schema), true))))
	{
		target = FindInstalledTarget();
		RequireTargetOwner(target);
		(void) RunSteps(ExpandSchema(listPartitions, NameStr(target->schema)), 0, NULL, NULL);
		StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	}
	LeaveSteps(&scope);
	StoreEnd();
	return (Datum) 0;
}
