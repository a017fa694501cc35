/*
 * multiinsert.h: many rows into a plain table, page by page as COPY does.
 */
#ifndef PHOTOFLOW_MULTIINSERT_H
#define PHOTOFLOW_MULTIINSERT_H

#include "postgres.h"

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

extern bool MultiInsertSuits(Relation relation, const PlainColumn *columns, int ncolumns);
extern void MultiInsert(Relation relation, int count, RowFiller fill, void *state);

#endif
