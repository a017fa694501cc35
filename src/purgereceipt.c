/*
 * purgereceipt.c: what purge() writes down of a run, and the lists of deletions that it is made from.
 *
 * A list of deletions holds copies of their ids, in the memory of the batch.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "deletion.h"
#include "purge.h"
#include "store.h"
#include "tenant.h"

static int	CompareDeletions(const ListCell *a, const ListCell *b);

/* Close receipts that are open as interrupted: of a run that was killed, or of ours, when it fails. */
void
PurgeAbandon(Purge *purge)
{
	Datum		values[1] = {UUIDPGetDatum(&purge->org)};
	TenantScope scope;

	TenantEnter(&scope, &purge->org);
	(void) StoreRun(PLAN_RECEIPTS_ABANDON, values, NULL);
	TenantLeave(&scope);
}

void
PurgeEnd(Purge *purge)
{
	Datum		values[2] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run)};
	TenantScope scope;

	TenantEnter(&scope, &purge->org);
	(void) StoreRun(PLAN_RECEIPTS_CLOSE, values, NULL);
	TenantLeave(&scope);
}

/* Count rows that this batch takes; the receipt is written in the batch's own transaction. */
void
ReceiptWrite(Purge *purge, const char *table, int64 rows, const pg_uuid_t *first, const pg_uuid_t *last)
{
	const pg_uuid_t *user = ContextUser();
	Datum		values[9] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run), CStringGetTextDatum(table), Int64GetDatum(rows),
	UUIDPGetDatum(first), UUIDPGetDatum(last), TimestampTzGetDatum(purge->cutoff),
	CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)), UUIDPGetDatum(user)};
	char		nulls[9] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', user ? ' ' : 'n'};

	(void) StoreRun(PLAN_RECEIPT_ADD, values, nulls);
	purge->rows += rows;
	purge->taken = true;
}

/* Add a deletion to a list, unless it is the last one there: rows of one deletion mostly come together. */
List *
DeletionsAdd(List *list, const pg_uuid_t *deletion)
{
	pg_uuid_t  *copy;

	if (list != NIL && UuidEquals(llast(list), deletion))
		return list;
	copy = palloc(sizeof(pg_uuid_t));
	*copy = *deletion;
	return lappend(list, copy);
}

static int
CompareDeletions(const ListCell *a, const ListCell *b)
{
	return UuidCompare(lfirst(a), lfirst(b));
}

/* Return what is in both lists, which are sorted for it. */
List *
DeletionsInBoth(List *a, List *b)
{
	List	   *both = NIL;
	int			j = 0;
	ListCell   *cell;

	list_sort(a, CompareDeletions);
	list_sort(b, CompareDeletions);
	foreach(cell, a)
	{
		while (j < list_length(b) && UuidCompare(list_nth(b, j), lfirst(cell)) < 0)
			j++;
		if (j < list_length(b) && UuidEquals(list_nth(b, j), lfirst(cell)))
			both = DeletionsAdd(both, lfirst(cell));
	}
	return both;
}

Datum
DeletionsArray(const List *list)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(list_length(list), 1));

	for (int i = 0; i < list_length(list); i++)
		ids[i] = *(pg_uuid_t *) list_nth(list, i);
	return UuidArray(ids, list_length(list));
}

/* Write into the receipts of this run that of these deletions a part is gone and a part was left. */
void
ReceiptUnfinished(Purge *purge, const List *deletions)
{
	Datum		values[3] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run), DeletionsArray(deletions)};

	if (deletions != NIL)
		(void) StoreRun(PLAN_RECEIPTS_UNFINISHED, values, NULL);
}

/* Take that back where all of it is gone. */
void
ReceiptFinished(Purge *purge, const pg_uuid_t *deletion)
{
	Datum		values[3] = {UUIDPGetDatum(&purge->org), UUIDPGetDatum(&purge->run), UUIDPGetDatum(deletion)};

	(void) StoreRun(PLAN_RECEIPTS_FINISHED, values, NULL);
}
