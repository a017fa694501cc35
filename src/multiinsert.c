/*
 * multiinsert.c: many rows into a plain table, page by page as COPY does.
 *
 * A page of rows is one heap operation and one WAL record instead of one each. That is only done for a table which
 * nobody has added anything to that an INSERT would have to look at: triggers, rules, columns, partitions. The
 * caller checks MultiInsertSuits() and runs an ordinary INSERT otherwise.
 */
#include "multiinsert.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "compat.h"

/* as COPY: what one table_multi_insert() gets */
#define ROWS_AT_ONCE 1000

static void InsertBatch(ResultRelInfo *target, EState *estate, TupleTableSlot **slots, int count,
						BulkInsertState bulk);

/* Say whether the table is plain and has just these columns, in this order. */
bool
MultiInsertSuits(Relation relation, const char *const *columns, int ncolumns)
{
	TupleDesc	desc = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition ||
		relation->trigdesc != NULL || relation->rd_rules != NULL || desc->natts != ncolumns)
		return false;
	for (int i = 0; i < ncolumns; i++)
		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), columns[i]) != 0 ||
			TupleDescAttr(desc, i)->attgenerated != '\0')
			return false;
	return true;
}

/* Insert rows that the filler makes; the caller holds a RowExclusiveLock and may insert. */
void
MultiInsert(Relation relation, int count, RowFiller fill, void *state)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	BulkInsertState bulk = GetBulkInsertState();
	int			room = Min(count, ROWS_AT_ONCE);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * room);
	int			filled = 0;

	InitResultRelInfo(target, relation, 1, NULL, 0);
	ExecOpenIndices(target, false);
	for (int i = 0; i < room; i++)
	{
		slots[i] = table_slot_create(relation, NULL);
		memset(slots[i]->tts_isnull, true, sizeof(bool) * RelationGetDescr(relation)->natts);
	}
	for (int i = 0; i < count; i++)
	{
		TupleTableSlot *slot = slots[filled];

		ExecClearTuple(slot);
		fill(state, i, slot->tts_values, slot->tts_isnull);
		ExecStoreVirtualTuple(slot);
		if (RelationGetDescr(relation)->constr)
			ExecConstraints(target, slot, estate);
		if (++filled == room || i == count - 1)
		{
			InsertBatch(target, estate, slots, filled, bulk);
			filled = 0;
		}
	}
	for (int i = 0; i < room; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	FreeBulkInsertState(bulk);
	table_finish_bulk_insert(relation, 0);
	ExecCloseIndices(target);
	FreeExecutorState(estate);
}

static void
InsertBatch(ResultRelInfo *target, EState *estate, TupleTableSlot **slots, int count, BulkInsertState bulk)
{
	table_multi_insert(target->ri_RelationDesc, slots, count, GetCurrentCommandId(true), 0, bulk);
	for (int i = 0; i < count && target->ri_NumIndices > 0; i++)
	{
		ResetPerTupleExprContext(estate);
		(void) InsertIndexTuples(target, slots[i], estate);
	}
}
