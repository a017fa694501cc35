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

struct MultiInserter
{
	ResultRelInfo *target;
	EState	   *estate;
	BulkInsertState bulk;		/* or NULL */
	TupleTableSlot **slots;		/* made as they are needed */
	int			room;
	int			filled;
	int			options;		/* of table_multi_insert() */
};

static bool IndexesArePlain(Relation relation);

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

/* Say whether no index waits until the end of the transaction, or excludes more than what is equal. */
bool
IndexesAreImmediate(Relation relation)
{
	bool		immediate = true;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		immediate = immediate && index->rd_index->indimmediate && !index->rd_index->indisexclusion;
		index_close(index, NoLock);
	}
	return immediate;
}

/* Insert rows that the filler makes; the caller holds a RowExclusiveLock and may insert. */
void
MultiInsert(Relation relation, int count, RowFiller fill, void *state)
{
	MultiInserter *inserter = MultiInsertBegin(relation, Min(count, ROWS_AT_ONCE), count >= ROWS_AT_ONCE, 0);

	for (int i = 0; i < count; i++)
	{
		TupleTableSlot *slot = MultiInsertNext(inserter);

		fill(state, i, slot->tts_values, slot->tts_isnull);
		MultiInsertStore(inserter);
	}
	MultiInsertEnd(inserter);
}

/*
 * Begin to insert, with room for so many rows before they are written; options are those of table_multi_insert(). The caller
 * holds a RowExclusiveLock and may insert.
 */
MultiInserter *
MultiInsertBegin(Relation relation, int room, bool isBulk, int options)
{
	MultiInserter *inserter = palloc0(sizeof(MultiInserter));

	inserter->estate = CreateExecutorState();
	inserter->target = makeNode(ResultRelInfo);
	inserter->room = room;
	inserter->options = options;
	inserter->bulk = isBulk ? GetBulkInsertState() : NULL;
	inserter->slots = palloc0(sizeof(TupleTableSlot *) * Max(room, 1));
	InitResultRelInfo(inserter->target, relation, 1, NULL, 0);
	ExecOpenIndices(inserter->target, false);
	return inserter;
}

/* Return the slot of the next row, to fill in; what is not touched keeps the value of a row before, at first NULL. */
TupleTableSlot *
MultiInsertNext(MultiInserter *inserter)
{
	Relation	relation = inserter->target->ri_RelationDesc;
	TupleTableSlot *slot = inserter->slots[inserter->filled];

	if (slot == NULL)
	{
		slot = inserter->slots[inserter->filled] = table_slot_create(relation, NULL);
		memset(slot->tts_isnull, true, sizeof(bool) * RelationGetDescr(relation)->natts);
	}
	ExecClearTuple(slot);
	return slot;
}

/* The slot is filled in. Its values must live until they are written: return whether they have been. */
bool
MultiInsertStore(MultiInserter *inserter)
{
	ExecStoreVirtualTuple(inserter->slots[inserter->filled]);
	if (++inserter->filled < inserter->room)
		return false;
	MultiInsertFlush(inserter);
	return true;
}

/* Write the rows that wait. */
void
MultiInsertFlush(MultiInserter *inserter)
{
	ResultRelInfo *target = inserter->target;
	MemoryContext caller;

	if (inserter->filled == 0)
		return;
	/* as COPY does, since it leaves behind what it allocates */
	caller = MemoryContextSwitchTo(GetPerTupleMemoryContext(inserter->estate));
	table_multi_insert(target->ri_RelationDesc, inserter->slots, inserter->filled, GetCurrentCommandId(true), inserter->options,
					   inserter->bulk);
	MemoryContextSwitchTo(caller);
	for (int i = 0; i < inserter->filled && target->ri_NumIndices > 0; i++)
	{
		ResetPerTupleExprContext(inserter->estate);
		(void) InsertIndexTuples(target, inserter->slots[i], inserter->estate);
	}
	ResetPerTupleExprContext(inserter->estate);
	inserter->filled = 0;
}

void
MultiInsertEnd(MultiInserter *inserter)
{
	MultiInsertFlush(inserter);
	for (int i = 0; i < inserter->room && inserter->slots[i]; i++)
		ExecDropSingleTupleTableSlot(inserter->slots[i]);
	if (inserter->bulk)
		FreeBulkInsertState(inserter->bulk);
	table_finish_bulk_insert(inserter->target->ri_RelationDesc, 0);
	ExecCloseIndices(inserter->target);
	FreeExecutorState(inserter->estate);
}
