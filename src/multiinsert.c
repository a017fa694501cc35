/*
 * multiinsert.c: many rows into a plain table, page by page as COPY does.
 *
 * A page of rows is one heap operation and one WAL record instead of one each. That is only done for a table which
 * nobody has added anything to that an INSERT would have to look at: triggers, rules, columns, partitions. The
 * caller checks MultiInsertSuits() and runs an ordinary INSERT otherwise.
 */
#include "multiinsert.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "compat.h"

/* as COPY: what one table_multi_insert() gets */
#define ROWS_AT_ONCE 1000

static bool IndexesArePlain(Relation relation);
static void InsertBatch(ResultRelInfo *target, EState *estate, TupleTableSlot **slots, int count,
						BulkInsertState bulk);

/*
 * Say whether the table is plain and has just these columns, in this order. The filler's rows keep the NOT NULLs
 * that are named; any other constraint, and any index that is more than columns, is the ordinary INSERT's to check.
 */
bool
MultiInsertSuits(Relation relation, const PlainColumn *columns, int ncolumns)
{
	TupleDesc	desc = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rel->relispartition ||
		relation->trigdesc != NULL || relation->rd_rules != NULL || desc->natts != ncolumns ||
		(desc->constr && desc->constr->num_check > 0))
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (strcmp(NameStr(attribute->attname), columns[i].name) != 0 || attribute->atttypid != columns[i].type ||
			attribute->atttypmod != -1 || attribute->attnotnull != columns[i].notNull ||
			attribute->attgenerated != '\0' || attribute->attidentity != '\0')
			return false;
	}
	return IndexesArePlain(relation);
}

static bool
IndexesArePlain(Relation relation)
{
	bool		plain = true;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		plain = plain && index->rd_index->indimmediate && !index->rd_index->indisexclusion &&
			RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;
		index_close(index, AccessShareLock);
	}
	return plain;
}

/* Insert rows that the filler makes; the caller holds a RowExclusiveLock and may insert. */
void
MultiInsert(Relation relation, int count, RowFiller fill, void *state)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	int			room = Min(count, ROWS_AT_ONCE);
	BulkInsertState bulk = count < ROWS_AT_ONCE ? NULL : GetBulkInsertState();
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
		if (++filled == room || i == count - 1)
		{
			InsertBatch(target, estate, slots, filled, bulk);
			filled = 0;
		}
	}
	for (int i = 0; i < room; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	if (bulk)
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
