/*
 * failuremark.c: the low-water mark of the queue: before it there is nothing to claim.
 *
 * A record that has been claimed or finished leaves dead rows behind at its place, which an old snapshot keeps there. Walking
 * over 100,000 of them takes 12 ms (bench/README.md); a session that has done so remembers how far.
 *
 * A mark may never pass a record that somebody will want:
 * - one that another transaction has inserted or changed and not committed stops it (failurescan.c sees them), as does what
 *   this transaction has changed itself: it may roll back;
 * - one that is leased is passed, but the mark is good only until the first such lease has ended;
 * - one that gets its place later gets the time of then, which is after the mark: places are given by the clock, and marks
 *   stay this side of it by a moment, in which a row gets from its place into the index;
 * - one that is restored to its place sends a relcache invalidation, by which every session forgets its marks;
 * - if the clock is set back, all marks are forgotten.
 * Whoever writes past the triggers can put a record before a mark; so a mark is forgotten after a while, and what it hid is found.
 *
 * Marks are this session's own. In shared memory each INSERT would have to tell them; a session of its own pays once.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "failure.h"

/* how far behind the clock a mark stays; how long it is believed; how many there are at most */
#define MARK_BEHIND (100 * INT64CONST(1000))
#define MARK_LIFE (60 * USECS_PER_SEC)
#define MARKS_MOST 4096

/* For an organization, or all of them, and a choice of entity types. */
typedef struct MarkKey
{
	pg_uuid_t	org;
	uint32		types;
	bool		all;			/* of all organizations */
} MarkKey;

typedef struct Mark
{
	MarkKey		key;
	TimestampTz at;
	TimestampTz since;			/* when all before it was last walked over */
	TimestampTz leasedUntil;	/* good until then */
} Mark;

static HTAB *marks = NULL;
static uint64 generation = 0;	/* grows when marks are forgotten */
static TimestampTz lastNow = 0;
static TimestampTz held = DT_NOEND; /* the first place that this transaction has changed */

static void EndTransaction(XactEvent event, void *arg);
static Mark *FindMark(const pg_uuid_t *org, uint32 typesHash, HASHACTION action);

void
MarkInitialize(void)
{
	RegisterXactCallback(EndTransaction, NULL);
}

static void
EndTransaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		held = DT_NOEND;
}

uint64
MarksGeneration(void)
{
	return generation;
}

void
MarksForget(void)
{
	generation++;
	if (marks)
		hash_destroy(marks);
	marks = NULL;
}

static Mark *
FindMark(const pg_uuid_t *org, uint32 typesHash, HASHACTION action)
{
	MarkKey		key;
	Mark	   *mark;
	bool		found;

	if (marks == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(MarkKey), .entrysize = sizeof(Mark), .hcxt = TopMemoryContext};

		marks = hash_create("photoflow failure marks", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.all = org == NULL;
	if (org)
		key.org = *org;
	key.types = typesHash;
	mark = hash_search(marks, &key, action, &found);
	if (mark && !found)
	{
		mark->at = DT_NOBEGIN;
		mark->since = 0;
		mark->leasedUntil = DT_NOEND;
	}
	return mark;
}

/* Return from where on to look, and when the first lease ends of what lies before. */
TimestampTz
MarkFind(const pg_uuid_t *org, uint32 typesHash, TimestampTz now, TimestampTz *leasedUntil)
{
	Mark	   *mark;

	if (now < lastNow)
		MarksForget();
	lastNow = now;
	mark = FindMark(org, typesHash, HASH_FIND);
	*leasedUntil = DT_NOEND;
	if (mark == NULL || mark->leasedUntil <= now || now - mark->since > MARK_LIFE)
		return DT_NOBEGIN;
	*leasedUntil = mark->leasedUntil;
	return mark->at;
}

/* Remember that there is nothing to claim before a mark, but what is leased until then. */
void
MarkKeep(const pg_uuid_t *org, uint32 typesHash, TimestampTz at, TimestampTz now, TimestampTz leasedUntil, bool fromStart)
{
	Mark	   *mark;

	at = Min(at, held);
	at = Min(at, now - MARK_BEHIND);
	if (marks && hash_get_num_entries(marks) >= MARKS_MOST)
		MarksForget();
	mark = FindMark(org, typesHash, HASH_ENTER);
	mark->at = at;
	mark->leasedUntil = leasedUntil;
	if (fromStart)
		mark->since = now;
}

/* Keep marks from passing a place that this transaction has changed. */
void
MarkHold(TimestampTz place)
{
	held = Min(held, place);
}
