/*
 * maintainpart.c: the parts of maintain(): what one transaction does to the months of the audit log.
 *
 * Months are only made for rows of the default partition that an application can have written in good faith: it may write any time,
 * and should not be able to make thousands of partitions by it.
 */
#include "photoflow.h"

#include "access/brin.h"
#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "auditpartition.h"
#include "failure.h"
#include "maintain.h"
#include "protect.h"
#include "store.h"

static void MoveRows(Maintenance *run, const AuditMonth *month);
static bool IsHeld(Maintenance *run, Oid partition);
static void SummarizeFullRanges(Oid relid, Oid indexId);

/* $1: from when on, $2: so many months to either side of now; the first month of the default partition, if any */
static const char *const nextMonthQuery =
	"SELECT " AUDIT_MONTH_COLUMNS ", (m + interval '1 month') AT TIME ZONE 'UTC'"
	" FROM (SELECT date_trunc('month', min(a.\"CreatedAt\") AT TIME ZONE 'UTC') FROM ONLY {schema}.\"AuditLogs_default\" a"
	" WHERE a.\"CreatedAt\" >= greatest($1, now() - $2 * interval '1 month') AND a.\"CreatedAt\" < now() + $2 * interval '1 month') x (m)"
	" WHERE m IS NOT NULL";

/* the schema, twice the month */
static const char *const moveStatements =
	"SELECT format('CREATE TABLE %1$I.%2$I (LIKE %1$I.\"AuditLogs\" INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION);"
	" WITH moved AS (DELETE FROM ONLY %1$I.\"AuditLogs_default\" WHERE \"CreatedAt\" >= %3$L AND \"CreatedAt\" < %4$L RETURNING %5$s)"
	" INSERT INTO %1$I.%2$I (%5$s) SELECT %5$s FROM moved;"
	" ALTER TABLE %1$I.\"AuditLogs\" ATTACH PARTITION %1$I.%2$I FOR VALUES FROM (%3$L) TO (%4$L)', $1, $2, $3, $4, string_agg(quote_ident(a.attname), ', '))"
	" FROM pg_attribute a WHERE a.attrelid = format('%I.\"AuditLogs\"', $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''";

/* $1: from when on; the oldest partition that is kept no longer, and where its month ends */
static const char *const oldMonthQuery =
	"SELECT m.oid, m.ends FROM {schema}.\"AuditSettings\" s,"
	" (SELECT c.oid, " AUDIT_BOUND("TO") " FROM pg_class c"
	"  JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = $table${schema}.\"AuditLogs\"$table$::regclass) m (oid, ends)"
	" WHERE m.ends > $1 AND m.ends <= now() - s.\"KeepFor\" ORDER BY m.ends LIMIT 1";

/* followed by the partition */
static const char *const heldQuery = "SELECT FROM {schema}.\"RetentionRules\" r WHERE r.\"LegalHold\" AND EXISTS (SELECT FROM ";

/* the indexes that only summarize pages, of months that are being written, and their tables */
static const char *const summaryQuery =
	"SELECT i.indrelid, i.indexrelid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam"
	" JOIN pg_inherits h ON h.inhrelid = i.indrelid JOIN pg_class c ON c.oid = i.indrelid AND c.relkind = 'r'"
	" WHERE h.inhparent = $table${schema}.\"AuditLogs\"$table$::regclass AND m.amname = 'brin'"
	" AND coalesce(" AUDIT_BOUND("FROM") " <= now(), true)"
	" AND coalesce(" AUDIT_BOUND("TO") " > now() - interval '1 month', true)";

/* Give the rows of the next month that the default partition has a partition of their own. */
void
MoveMonth(Maintenance *run)
{
	Oid			types[2] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[2] = {TimestampTzGetDatum(run->after), Int32GetDatum(MAINTAIN_MONTHS_MOST)};
	Oid			table = get_relname_relid("AuditLogs_default", run->target->schemaOid);
	AuditMonth	month;

	run->finished = !OidIsValid(table) ||
		RunSteps(ExpandSchema(nextMonthQuery, NameStr(run->target->schema)), 2, types, values) == 0;
	if (run->finished)
		return;
	month.partition = StoreCString(0, 1);
	month.from = StoreCString(0, 2);
	month.to = StoreCString(0, 3);
	run->after = DatumGetTimestampTz(StoreDatum(0, 4));
	/* a month that was detached for the archive keeps its name, and late rows of it stay where they are */
	if (!OidIsValid(get_relname_relid(month.partition, run->target->schemaOid)))
		MoveRows(run, &month);
}

static void
MoveRows(Maintenance *run, const AuditMonth *month)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4] = {CStringGetTextDatum(NameStr(run->target->schema)), CStringGetTextDatum(month->partition),
		CStringGetTextDatum(month->from), CStringGetTextDatum(month->to)};

	/* with the default partition alone, an INSERT that has chosen it and waits for it would be refused (23514) afterwards */
	LockRelationOid(FindAuditLogs(run->target), AccessExclusiveLock);
	LockRelationOid(get_relname_relid("AuditLogs_default", run->target->schemaOid), AccessExclusiveLock);
	SetInScope("photoflow.hard_delete", "on");	/* its rows are not lost, they move */
	RunGenerated(moveStatements, 4, types, values);
	ProtectTable(get_relname_relid(month->partition, run->target->schemaOid));
}

void
MakeMonths(Maintenance *run)
{
	(void) MakeAuditPartitions(run->target, run->months + 1);
}

/* Drop the next month that is kept no longer, unless a legal hold keeps it. */
void
DropMonth(Maintenance *run)
{
	Oid			types[1] = {TIMESTAMPTZOID};
	Datum		values[1] = {TimestampTzGetDatum(run->after)};
	const char *schema = NameStr(run->target->schema);
	Oid			partition;

	run->finished = RunSteps(ExpandSchema(oldMonthQuery, schema), 1, types, values) == 0;
	if (run->finished)
		return;
	partition = DatumGetObjectId(StoreDatum(0, 1));
	run->after = DatumGetTimestampTz(StoreDatum(0, 2));
	if (IsHeld(run, partition))
		return;
	run->finished = true;		/* with the whole log in use, no other month can be dropped either */
	LockRelationOid(FindAuditLogs(run->target), AccessExclusiveLock);
	run->finished = false;
	if (!get_rel_relispartition(partition))
		return;					/* dropped or detached meanwhile */
	if (!ConditionalLockRelationOid(partition, AccessExclusiveLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition \"%s\" is in use", get_rel_name(partition))));
	/* nobody writes the month any more, nor holds an organization now, and what was committed meanwhile is seen */
	LockRelationOid(get_relname_relid("RetentionRules", run->target->schemaOid), ShareLock);
	if (!IsHeld(run, partition))
		(void) RunSteps(psprintf("DROP TABLE %s", quote_qualified_identifier(schema, get_rel_name(partition))), 0, NULL, NULL);
}

/* Say whether a month has rows of an organization under legal hold. */
static bool
IsHeld(Maintenance *run, Oid partition)
{
	const char *schema = NameStr(run->target->schema);
	const char *name = get_rel_name(partition);

	return name && RunSteps(psprintf("%s%s a WHERE a.\"OrgId\" = r.\"OrgId\") LIMIT 1", ExpandSchema(heldQuery, schema),
									 quote_qualified_identifier(schema, name)), 0, NULL, NULL) > 0;
}

/* The range that is being filled stays out: each row that came into it would write its summary anew. */
static void
SummarizeFullRanges(Oid relid, Oid indexId)
{
	Relation	table = table_open(relid, NoLock);
	Relation	index = index_open(indexId, AccessShareLock);
	BlockNumber pages = RelationGetNumberOfBlocks(table);
	BlockNumber inLast = pages % BrinGetPagesPerRange(index);

	index_close(index, NoLock);
	table_close(table, NoLock);
	(void) DirectFunctionCall1(brin_summarize_new_values, ObjectIdGetDatum(indexId));
	if (inLast > 0 || pages == 0)
		(void) DirectFunctionCall2(brin_desummarize_range, ObjectIdGetDatum(indexId), Int64GetDatum((int64) pages - inLast));
}

/*
 * Let the indexes know what pages hold that are full by now. Who vacuums does it, too, and is not disturbed: to wait for the lock
 * would end an autovacuum.
 */
void
SummarizeMonths(Maintenance *run)
{
	uint64		count = RunSteps(ExpandSchema(summaryQuery, NameStr(run->target->schema)), 0, NULL, NULL);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isNull;
		Oid			table = DatumGetObjectId(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isNull));
		Datum		index = SPI_getbinval(found->vals[i], found->tupdesc, 2, &isNull);

		if (ConditionalLockRelationOid(table, ShareUpdateExclusiveLock))
			SummarizeFullRanges(table, DatumGetObjectId(index));
	}
}

void
FoldCounts(Maintenance *run)
{
	FailureCountsFold();
}
