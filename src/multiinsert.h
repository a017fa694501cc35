/*
 * multiinsert.h: many rows into a plain table, page by page as COPY does.
 */
#ifndef PHOTOFLOW_MULTIINSERT_H
#define PHOTOFLOW_MULTIINSERT_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "utils/relcache.h"

/* Fill in row number index; what is not touched keeps the value of the row before. */
typedef void (*RowFiller) (void *state, int index, Datum *values, bool *nulls);

/* a column as the table must have it */
typedef struct PlainColumn
{
	const char *name;
	Oid			type;
	bool		notNull;
} PlainColumn;

extern bool IndexesAreImmediate(Relation relation);
extern bool MultiInsertSuits(Relation relation, const PlainColumn *columns, int ncolumns);
extern void MultiInsert(Relation relation, int count, RowFiller fill, void *state);

/* the same for rows that come one by one; in the memory context that was current at its beginning */
typedef struct MultiInserter MultiInserter;
extern MultiInserter *MultiInsertBegin(Relation relation, int room, bool isBulk, int options);
extern TupleTableSlot *MultiInsertNext(MultiInserter *inserter);
extern bool MultiInsertStore(MultiInserter *inserter);
extern void MultiInsertFlush(MultiInserter *inserter);
extern void MultiInsertEnd(MultiInserter *inserter);

#endif
