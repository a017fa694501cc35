/*
 * collect.c: remembers marked and restored rows until the end of their statement, when what is below them follows.
 *
 * Lifetimes as in history.c: a row belongs to the subtransaction it was changed in, is dropped when that aborts, and
 * handed to the parent when it commits. A nested statement never takes the rows of an outer level with it.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "deletion.h"

/* so that memory stays flat in a statement of any size */
#define COLLECT_BATCH 8192

static CollectedRow *rows;		/* in TopTransactionContext */
static int	rowCount;
static int	rowRoom;

static void EndTransaction(XactEvent event, void *arg);
static void EndSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg);
static int	FirstOfLevel(int level);
static int	CompareRows(const void *a, const void *b);
static bool SameGroup(const CollectedRow *a, const CollectedRow *b);

void
CollectInitialize(void)
{
	RegisterXactCallback(EndTransaction, NULL);
	RegisterSubXactCallback(EndSubtransaction, NULL);
}

static void
EndTransaction(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) && rowCount > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("what is below %d deleted or restored rows has not followed them", rowCount),
				 errhint("Trigger \"00_PhotoflowDeletionCascade\" is disabled or missing: SELECT photoflow.attach().")));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		rows = NULL;
		rowCount = rowRoom = 0;
	}
}

static void
EndSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		rowCount = FirstOfLevel(level);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = FirstOfLevel(level); i < rowCount; i++)
			rows[i].nestLevel = level - 1;
	}
}

/* Return where the rows of a nest level begin: levels only grow along the buffer. */
static int
FirstOfLevel(int level)
{
	int			first = rowCount;

	while (first > 0 && rows[first - 1].nestLevel >= level)
		first--;
	return first;
}

/* Remember a row until CollectFlush(). */
void
CollectRow(const CollectedRow *row)
{
	int			level = GetCurrentTransactionNestLevel();

	if (rowCount == rowRoom)
	{
		rowRoom = rowRoom > 0 ? rowRoom * 2 : 16;
		rows = rows ? repalloc(rows, sizeof(CollectedRow) * rowRoom) :
			MemoryContextAlloc(TopTransactionContext, sizeof(CollectedRow) * rowRoom);
	}
	rows[rowCount] = *row;
	rows[rowCount].nestLevel = level;
	rowCount++;
	/* all of one level as a rule; a mixed full buffer waits for its statement triggers */
	if (rowCount % COLLECT_BATCH == 0 && rows[0].nestLevel >= level)
		CollectFlush();
}

/* Group rows that one cascade can follow. */
static int
CompareRows(const void *a, const void *b)
{
	const CollectedRow *x = a;
	const CollectedRow *y = b;
	int			order = x->table - y->table;

	if (order == 0)
		order = x->restored - y->restored;
	if (order == 0)
		order = memcmp(&x->org, &y->org, UUID_LEN);
	if (order == 0)
		order = x->deletion < y->deletion ? -1 : x->deletion > y->deletion;
	return order != 0 ? order : memcmp(&x->id, &y->id, UUID_LEN);
}

static bool
SameGroup(const CollectedRow *a, const CollectedRow *b)
{
	return a->table == b->table && a->restored == b->restored && a->deletion == b->deletion &&
		UuidEquals(&a->org, &b->org);
}

/* Let what is below the rows of this subtransaction level follow them. That may collect and flush more: take them out first. */
void
CollectFlush(void)
{
	int			first = FirstOfLevel(GetCurrentTransactionNestLevel());
	int			count = rowCount - first;
	CollectedRow *taken;
	MemoryContext context;
	MemoryContext caller;

	if (count == 0)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "photoflow deletion", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	taken = MemoryContextAllocExtended(context, sizeof(CollectedRow) * count, MCXT_ALLOC_HUGE);
	memcpy(taken, rows + first, sizeof(CollectedRow) * count);
	rowCount = first;
	qsort(taken, count, sizeof(CollectedRow), CompareRows);
	for (int start = 0, next; start < count; start = next)
	{
		for (next = start + 1; next < count && SameGroup(&taken[start], &taken[next]);)
			next++;
		CascadeRows(taken + start, next - start);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
