/*
 * history.c: collects changes of state row by row and has them written once a statement.
 *
 * Words:
 * - To collect is to remember a change that has happened to a row; to flush is to write what was collected.
 *
 * Lifetimes: a change belongs to the subtransaction it happened in. It is flushed by the statement trigger of the
 * same subtransaction level (or earlier, when the buffer is full: its row has changed already), dropped when the
 * subtransaction aborts, and handed to the parent when it commits. A nested statement never flushes the changes of
 * an outer level: its own rollback would take their history along.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "belonging.h"
#include "enforce.h"
#include "history.h"
#include "store.h"
#include "workflow.h"

/* one INSERT writes this many at most, so that memory stays flat in an UPDATE of any size */
#define HISTORY_BATCH 8192

static Change *changes;			/* in TopTransactionContext */
static int	changeCount;
static int	changeRoom;
static Firing *firings;

static void EndTransaction(XactEvent event, void *arg);
static void EndSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg);
static int	FirstOfLevel(int level);
static int	FindAlbum(const Firing *firing, const pg_uuid_t *id);
static void AttributeChange(Change *change, const Album *before);

void
HistoryInitialize(void)
{
	RegisterXactCallback(EndTransaction, NULL);
	RegisterSubXactCallback(EndSubtransaction, NULL);
}

static void
EndTransaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (changeCount > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("history of %d changes of album states has not been written", changeCount),
					 errhint("Trigger \"00_PhotoflowTransitionWrite\" is disabled or missing: SELECT photoflow.attach().")));
		return;
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		changes = NULL;
		changeCount = changeRoom = 0;
		firings = NULL;
		BelongingForget();
	}
}

static void
EndSubtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		changeCount = FirstOfLevel(level);
		BelongingForget();
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = FirstOfLevel(level); i < changeCount; i++)
			changes[i].nestLevel = level - 1;
	}
}

/* Return where the changes of a nest level begin: levels only grow along the buffer. */
static int
FirstOfLevel(int level)
{
	int			first = changeCount;

	while (first > 0 && changes[first - 1].nestLevel >= level)
		first--;
	return first;
}

/* Remember a change until HistoryFlush(). */
void
HistoryCollect(const Change *change)
{
	int			level = GetCurrentTransactionNestLevel();

	if (changeCount == changeRoom)
	{
		changeRoom = changeRoom > 0 ? changeRoom * 2 : 16;
		changes = changes ? repalloc(changes, sizeof(Change) * changeRoom) :
			MemoryContextAlloc(TopTransactionContext, sizeof(Change) * changeRoom);
	}
	changes[changeCount] = *change;
	changes[changeCount].nestLevel = level;
	changeCount++;
	/* all of one level as a rule; a mixed full buffer waits for its statement triggers */
	if (changeCount % HISTORY_BATCH == 0 && changes[0].nestLevel >= level)
		HistoryFlush();
}

/* Write the changes of this subtransaction level. Writing may collect and flush more: take them out first. */
void
HistoryFlush(void)
{
	int			first = FirstOfLevel(GetCurrentTransactionNestLevel());
	int			count = changeCount - first;
	Change	   *taken;
	MemoryContext context;
	MemoryContext caller;

	if (count == 0)
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "photoflow history", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	taken = MemoryContextAllocExtended(context, sizeof(Change) * count, MCXT_ALLOC_HUGE);
	memcpy(taken, changes + first, sizeof(Change) * count);
	changeCount = first;
	RecordChanges(taken, count);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/* Let the triggers on "Albums" know what is being done. The caller ends it also on error. */
void
FiringBegin(Firing *firing)
{
	firing->outer = firings;
	firings = firing;
}

void
FiringEnd(Firing *firing)
{
	firings = firing->outer;
}

static int
FindAlbum(const Firing *firing, const pg_uuid_t *id)
{
	const Album *found = bsearch(id, firing->albums, firing->count, sizeof(Album), UuidCompare);

	return found ? (int) (found - firing->albums) : -1;
}

/* Return the firing that makes this very change, and the album's place in it; NULL when there is none. */
Firing *
FiringOf(const Album *before, const Album *after, int *index)
{
	for (Firing *firing = firings; firing; firing = firing->outer)
	{
		if (firing->from != before->state || firing->to != after->state || firing->fromVersion != before->version ||
			firing->toVersion != after->version)
			continue;
		*index = firing->everyAlbum ? -1 : FindAlbum(firing, &before->id);
		if (firing->everyAlbum || (*index >= 0 && !firing->passed[*index]))
			return firing;
	}
	return NULL;
}

/* Name the change: by its firing, or by the edge that a plain UPDATE has taken. */
static void
AttributeChange(Change *change, const Album *before)
{
	Firing	   *firing = change->firing;

	UuidV7(&change->id);
	if (firing == NULL)
	{
		change->edge = EnforceEdge(change->machine, before, change->to);
		change->trigger = change->edge ? change->machine->triggers[change->edge->trigger] : TRIGGER_UNKNOWN;
		return;
	}
	change->edge = firing->edge;
	change->trigger = firing->trigger;
	if (firing->everyAlbum)
		return;
	firing->passed[change->index] = true;
	firing->npassed++;
	firing->transitions[change->index] = change->id;
}

PHOTOFLOW_FUNCTION(photoflow_collect_transition)
{
	TriggerData *trigger;
	Album		before;
	Album		after;
	Change		change;

	trigger = RequireTrigger(fcinfo, "collect_transition", AFTER_UPDATE_ROW, "AFTER UPDATE FOR EACH ROW");
	AlbumFromSlot(trigger->tg_relation, trigger->tg_trigslot, &before);
	AlbumFromSlot(trigger->tg_relation, trigger->tg_newslot, &after);
	memset(&change, 0, sizeof(change));
	change.firing = FiringOf(&before, &after, &change.index);
	if (change.firing == NULL)
	{
		/* fire() may lead to the same state again; for a plain UPDATE that is no change */
		if (before.state == after.state && before.version == after.version)
			return PointerGetDatum(NULL);
		EnforceRow(&before, &after);
	}
	change.org = after.org;
	change.album = after.id;
	change.from = before.state;
	change.to = after.state;
	change.machine = WorkflowMachine(after.version);
	change.fromMachine = before.version == after.version ? change.machine : WorkflowMachine(before.version);
	AttributeChange(&change, &before);
	HistoryCollect(&change);
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_write_transitions)
{
	(void) RequireStatementTrigger(fcinfo, "write_transitions", TRIGGER_EVENT_AFTER, "AFTER UPDATE FOR EACH STATEMENT");
	HistoryFlush();
	return PointerGetDatum(NULL);
}
