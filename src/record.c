/*
 * record.c: writes what a change of state brings: history, entry actions, events.
 *
 * Words:
 * - A group is the changes that one INSERT writes: same organization, machine, trigger, states and firing.
 *
 * Everything here runs in the name of the owner of the tables, for the group's organization: the decision has been
 * made.
 */
#include "photoflow.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "history.h"
#include "multiinsert.h"
#include "store.h"
#include "tenant.h"
#include "workflow.h"

/* parameters of the history plan, and the columns of "AlbumTransitions" */
enum
{
	HISTORY_ORG, HISTORY_ALBUM, HISTORY_ID, HISTORY_VERSION, HISTORY_FROM, HISTORY_TO, HISTORY_AT, HISTORY_TRIGGER,
	HISTORY_USER, HISTORY_ROLE, HISTORY_REASON, HISTORY_ARGS, HISTORY_COMPENSATES, HISTORY_FROM_VERSION, HISTORY_ARGC
};

typedef struct HistoryRows
{
	const Change *group;
	const Datum *values;		/* what all rows share */
	const char *nulls;
} HistoryRows;

static int	CompareChanges(const void *a, const void *b);
static bool SameGroup(const Change *a, const Change *b);
static void RecordGroup(const Change *group, int count);
static void WriteHistory(const Change *group, int count, TimestampTz now);
static void InsertHistory(const Change *group, int count, Datum *values, const char *nulls);
static bool MultiInsertHistory(const Change *group, int count, Datum *values, const char *nulls);
static void FillHistory(void *state, int index, Datum *values, bool *nulls);
static void CreateTags(const Change *group, int count);
static void ArchiveAlbums(const Change *group, int count);
static void SendEvents(const Change *group, int count, TimestampTz now);
static Datum AlbumArray(const Change *group, int count);
static void NoteTag(const Change *group, int count, const pg_uuid_t *ids, const pg_uuid_t *tag, const pg_uuid_t *album);
static char *BuildEvent(const Change *change, const char *message, TimestampTz now);

/* Write changes, in as few statements as their groups allow; reorders them. */
void
RecordChanges(Change *changes, int count)
{
	bool		sorted = true;
	int			first = 0;

	for (int i = 1; i < count && sorted; i++)
		sorted = SameGroup(&changes[0], &changes[i]);
	if (!sorted)
		qsort(changes, count, sizeof(Change), CompareChanges);
	while (first < count)
	{
		int			next = first + 1;

		while (next < count && SameGroup(&changes[first], &changes[next]))
			next++;
		RecordGroup(changes + first, next - first);
		first = next;
	}
}

static int
CompareChanges(const void *a, const void *b)
{
	const Change *x = a;
	const Change *y = b;
	int			order = memcmp(&x->org, &y->org, UUID_LEN);

#define COMPARE(field) if (order == 0) order = x->field < y->field ? -1 : x->field > y->field
	COMPARE(machine->version);
	COMPARE(from);
	COMPARE(to);
	COMPARE(fromMachine->version);
	COMPARE(trigger);
	COMPARE(firing);
#undef COMPARE
	return order != 0 ? order : memcmp(&x->id, &y->id, UUID_LEN);
}

static bool
SameGroup(const Change *a, const Change *b)
{
	return a->machine == b->machine && a->fromMachine == b->fromMachine && a->trigger == b->trigger &&
		a->from == b->from && a->to == b->to && a->firing == b->firing && UuidEquals(&a->org, &b->org);
}

static void
RecordGroup(const Change *group, int count)
{
	TimestampTz now = GetCurrentTimestamp();
	TenantScope scope;

	TenantEnter(&scope, &group->org);
	StoreBegin();
	WriteHistory(group, count, now);
	if (group->edge && group->edge->createTag != MACHINE_NONE)
		CreateTags(group, count);
	if (group->edge && group->edge->archive)
		ArchiveAlbums(group, count);
	StoreEnd();
	TenantLeave(&scope);
	if (EventsWanted())
		SendEvents(group, count, now);
}

static Datum
AlbumArray(const Change *group, int count)
{
	pg_uuid_t  *albums = palloc(sizeof(pg_uuid_t) * count);

	for (int i = 0; i < count; i++)
		albums[i] = group[i].album;
	return UuidArray(albums, count);
}

static void
WriteHistory(const Change *group, int count, TimestampTz now)
{
	const Firing *firing = group->firing;
	const char *role = ContextRoleText();
	Datum		values[HISTORY_ARGC];
	char		nulls[HISTORY_ARGC + 1];

	memset(nulls, ' ', sizeof(nulls));
	values[HISTORY_ORG] = UUIDPGetDatum(&group->org);
	values[HISTORY_VERSION] = Int32GetDatum(group->machine->version);
	values[HISTORY_FROM] = Int32GetDatum(group->from);
	values[HISTORY_TO] = Int32GetDatum(group->to);
	values[HISTORY_AT] = TimestampTzGetDatum(now);
	values[HISTORY_TRIGGER] = CStringGetTextDatum(group->trigger);
	/* a copy: a trigger may change the context */
	values[HISTORY_USER] = ContextUser() ? UuidCopyDatum(ContextUser()) : (Datum) 0;
	values[HISTORY_ROLE] = role ? CStringGetTextDatum(role) : (Datum) 0;
	values[HISTORY_REASON] = firing ? firing->reason : (Datum) 0;
	values[HISTORY_ARGS] = firing ? firing->args : (Datum) 0;
	values[HISTORY_COMPENSATES] = UUIDPGetDatum(firing ? firing->compensates : NULL);
	values[HISTORY_FROM_VERSION] = Int32GetDatum(group->fromMachine->version);
	for (int i = HISTORY_USER; i <= HISTORY_COMPENSATES; i++)
		if (values[i] == (Datum) 0)
			nulls[i] = 'n';
	if (group->machine == group->fromMachine)
		nulls[HISTORY_FROM_VERSION] = 'n';
	if (!MultiInsertHistory(group, count, values, nulls))
		InsertHistory(group, count, values, nulls);
}

/* The ordinary way: one INSERT .. SELECT FROM unnest(). */
static void
InsertHistory(const Change *group, int count, Datum *values, const char *nulls)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);

	for (int i = 0; i < count; i++)
		ids[i] = group[i].id;
	values[HISTORY_ALBUM] = AlbumArray(group, count);
	values[HISTORY_ID] = UuidArray(ids, count);
	StoreRun(PLAN_HISTORY_INSERT, values, nulls);
}

static void
FillHistory(void *state, int index, Datum *values, bool *nulls)
{
	const HistoryRows *rows = state;

	for (int i = 0; i < HISTORY_ARGC; i++)
	{
		values[i] = rows->values[i];
		nulls[i] = rows->nulls[i] == 'n';
	}
	values[HISTORY_ALBUM] = UUIDPGetDatum(&rows->group[index].album);
	values[HISTORY_ID] = UUIDPGetDatum(&rows->group[index].id);
}

/* The fast way, as COPY writes; return false where the table is not as photoflow made it. */
static bool
MultiInsertHistory(const Change *group, int count, Datum *values, const char *nulls)
{
	static const PlainColumn columns[HISTORY_ARGC] = {
		{"OrgId", UUIDOID, true}, {"AlbumId", UUIDOID, true}, {"Id", UUIDOID, true}, {"WorkflowVersion", INT4OID, true},
		{"FromState", INT4OID, true}, {"ToState", INT4OID, true}, {"CreatedAt", TIMESTAMPTZOID, true},
		{"Trigger", VARCHAROID, true}, {"UserId", UUIDOID, false}, {"Role", VARCHAROID, false},
		{"Reason", TEXTOID, false}, {"Args", JSONBOID, false}, {"Compensates", UUIDOID, false},
		{"FromVersion", INT4OID, false}
	};
	HistoryRows rows = {group, values, nulls};
	Relation	history = table_open(InstallationGet()->history, RowExclusiveLock);
	bool		suits = MultiInsertSuits(history, columns, HISTORY_ARGC);

	if (suits)
	{
		MultiInsert(history, count, FillHistory, &rows);
		CommandCounterIncrement();
	}
	table_close(history, suits ? NoLock : RowExclusiveLock);
	return suits;
}

/* Create the stage that the edge names where the album does not have it, and tell the firing its id. */
static void
CreateTags(const Change *group, int count)
{
	const MachineTag *tag = &group->machine->tags[group->edge->createTag];
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);
	Datum		values[5] = {UUIDPGetDatum(&group->org), Int32GetDatum(tag->value)};
	uint64		created;

	for (int i = 0; i < count; i++)
		UuidV7(&ids[i]);		/* ascending: they can be searched */
	values[2] = AlbumArray(group, count);
	values[3] = UuidArray(ids, count);
	values[4] = Int32GetDatum(count);
	created = StoreRun(PLAN_TAGS_CREATE, values, NULL);
	for (uint64 row = 0; group->firing && row < created; row++)
		NoteTag(group, count, ids, StoreUuid(row, 1), StoreUuid(row, 2));
}

/* Tell the firing which stage an album got: found by its id, or by the album where a trigger changed the id. */
static void
NoteTag(const Change *group, int count, const pg_uuid_t *ids, const pg_uuid_t *tag, const pg_uuid_t *album)
{
	const pg_uuid_t *found = bsearch(tag, ids, count, sizeof(pg_uuid_t), UuidCompare);
	int			index = found ? (int) (found - ids) : 0;

	while (index < count && !UuidEquals(&group[index].album, album))
		index++;
	if (index < count)
		group->firing->tags[group[index].index] = *tag;
}

static void
ArchiveAlbums(const Change *group, int count)
{
	Datum		values[3] = {UUIDPGetDatum(&group->org), AlbumArray(group, count), Int32GetDatum(count)};

	StoreRun(PLAN_ALBUMS_ARCHIVE, values, NULL);
}

static char *
BuildEvent(const Change *change, const char *message, TimestampTz now)
{
	JsonText	json;

	JsonBegin(&json);
	JsonAddUuid(&json, "albumId", &change->album);
	JsonAddText(&json, "oldState", WorkflowStateName(change->fromMachine, change->from));
	JsonAddText(&json, "newState", WorkflowStateName(change->machine, change->to));
	JsonAddText(&json, "message", message);
	JsonAddTime(&json, "timestamp", now);
	JsonAddText(&json, "type", "album_state_changed");
	return JsonEnd(&json);
}

static void
SendEvents(const Change *group, int count, TimestampTz now)
{
	char	   *plain = psprintf("Album moved from %s to %s", WorkflowStateName(group->fromMachine, group->from),
								 WorkflowStateName(group->machine, group->to));
	char	   *message = plain;

	if (group->firing && group->firing->reason)
		message = psprintf("%s: %s", plain, TextDatumGetCString(group->firing->reason));
	for (int i = 0; i < count; i++)
	{
		char	   *event = BuildEvent(&group[i], message, now);

		/* a reason of any length must not stop the transaction: NOTIFY then gets the event without it */
		EventSend(event, message == plain ? event : BuildEvent(&group[i], plain, now));
	}
}
