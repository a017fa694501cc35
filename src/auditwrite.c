/*
 * auditwrite.c: writes rows into "AuditLogs", for who reports an operation and for the triggers that see changes.
 *
 * Words:
 * - A writer has the partition of the present month open; all rows of one writer have the time of the transaction.
 *
 * Where the partition is as photoflow made it, rows go into its heap page by page, as COPY does it, past triggers and policies:
 * what photoflow's own triggers would do for them is done here. Where a user's trigger, CHECK or rule has to hear of it, each row
 * is an INSERT in the owner's name and in the scope of its organization.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "auditlog.h"
#include "multiinsert.h"
#include "softtable.h"
#include "store.h"
#include "tenant.h"

/* rows that wait are written when they hold so much memory */
#define WAITING_MOST (1024 * 1024)

struct AuditWriter
{
	Relation	logs;
	Relation	partition;		/* NULL where every row is an INSERT */
	AuditColumns columns;
	MultiInserter *inserter;
	MemoryContext waiting;		/* values of rows that wait to be written */
};

static Relation OpenLogs(void);
static void InsertRow(const AuditRow *row);
static void SetText(AuditRow *row, AuditColumn column, const char *value);

static Relation
OpenLogs(void)
{
	Oid			relid = SoftTableRelation(SOFT_AUDIT);

	if (!InstallationOwnsTable(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"AuditLogs\" is not photoflow's table"),
				 errhint("It must be a table of the owner of the data tables.")));
	return table_open(relid, RowExclusiveLock);
}

/* Begin to write; room: so many rows wait before they are written, with their values in the memory context, which is emptied then. */
AuditWriter *
AuditWriterOpen(int room, MemoryContext waiting)
{
	AuditWriter *writer = palloc0(sizeof(AuditWriter));

	PreventCommandIfReadOnly("writing into the audit log");
	PreventCommandIfParallelMode("writing into the audit log");
	writer->logs = OpenLogs();
	writer->waiting = waiting;
	writer->partition = AuditPlaceOpen(writer->logs, GetCurrentTransactionStartTimestamp(), &writer->columns);
	if (writer->partition)
		/* never into holes of older pages: the index that summarizes pages tells times and entities by their place */
		writer->inserter = MultiInsertBegin(writer->partition, room, false, TABLE_INSERT_SKIP_FSM);
	return writer;
}

void
AuditWriterAdd(AuditWriter *writer, const AuditRow *row)
{
	TupleTableSlot *slot;
	bool		written;

	if (writer->inserter == NULL)
	{
		InsertRow(row);
		MemoryContextReset(writer->waiting);
		return;
	}
	slot = MultiInsertNext(writer->inserter);
	for (int i = 0; i < AC_COUNT; i++)
	{
		slot->tts_values[writer->columns.number[i] - 1] = row->values[i];
		slot->tts_isnull[writer->columns.number[i] - 1] = row->nulls[i];
	}
	slot->tts_values[writer->columns.deleted - 1] = BoolGetDatum(false);
	slot->tts_isnull[writer->columns.deleted - 1] = false;
	written = MultiInsertStore(writer->inserter);
	if (!written && MemoryContextMemAllocated(writer->waiting, true) > WAITING_MOST)
	{
		MultiInsertFlush(writer->inserter);
		written = true;
	}
	if (written)
		MemoryContextReset(writer->waiting);
}

/* Write what waits; the locks stay until the transaction ends. */
void
AuditWriterClose(AuditWriter *writer)
{
	if (writer->inserter)
	{
		MultiInsertEnd(writer->inserter);
		table_close(writer->partition, NoLock);
	}
	table_close(writer->logs, NoLock);
}

/* One row as anybody's INSERT, so that triggers, checks and rules hear of it. */
static void
InsertRow(const AuditRow *row)
{
	char		nulls[AC_COUNT];
	int			level = NewGUCNestLevel();

	for (int i = 0; i < AC_COUNT; i++)
		nulls[i] = row->nulls[i] ? 'n' : ' ';
	ContextSetOrg(DatumGetUUIDP(row->values[AC_ORG]));
	StoreBegin();
	if (StoreRun(PLAN_AUDIT_ADD, row->values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a row of the audit log could not be written"),
				 errhint("A BEFORE INSERT trigger or a policy on \"AuditLogs\" keeps it.")));
	StoreEnd();
	AtEOXact_GUC(true, level);
}

static void
SetText(AuditRow *row, AuditColumn column, const char *value)
{
	if (value && *value)
		AuditSet(row, column, CStringGetTextDatum(value));
}

/* Begin a row: nothing in it but who asks, when, and that it went well. The organization may be missing. */
void
AuditRowOfContext(AuditRow *row)
{
	memset(row->nulls, true, sizeof(row->nulls));
	memset(row->values, 0, sizeof(row->values));
	if (ContextOrg())
		AuditSet(row, AC_ORG, UuidCopyDatum(ContextOrg()));
	AuditSet(row, AC_CREATED, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	AuditSet(row, AC_STATUS, CStringGetTextDatum("Success"));
	SetText(row, AC_USER, ContextUser() ? UuidText(ContextUser()) : NULL);
	SetText(row, AC_ROLE, ContextRoles());
	SetText(row, AC_REQUEST_ID, ContextRequestId());
	SetText(row, AC_CORRELATION, ContextCorrelationId());
}

/* Nobody but the database says what changed, when and by which login: an INSERT that does is refused, unless the owner loads rows. */
PHOTOFLOW_FUNCTION(photoflow_keep_audit)
{
	static const char *const kept[] = {"Changes", "TransactionId", "DbUser"};
	TriggerData *trigger = RequireTrigger(fcinfo, "keep_audit", BEFORE_INSERT_ROW, "BEFORE INSERT FOR EACH ROW");
	Relation	relation = trigger->tg_relation;

	for (size_t i = 0; i < lengthof(kept); i++)
	{
		AttrNumber	number = get_attnum(RelationGetRelid(relation), kept[i]);

		if (number > 0 && !heap_attisnull(trigger->tg_trigtuple, number, RelationGetDescr(relation)) && !ContextIsOwner())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("only the database writes \"%s\" of \"AuditLogs\"", kept[i]),
					 errhint("Leave the column out; SELECT photoflow.track(table) records what changes in a table.")));
	}
	return PointerGetDatum(trigger->tg_trigtuple);
}
