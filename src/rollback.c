/*
 * rollback.c: takes back the newest transition of an album.
 *
 * Words:
 * - To compensate is to undo by a new transition: the history keeps both, the second naming the first.
 *
 * The state goes back without an edge and without guards, for whoever may fire the trigger that is taken back.
 * The stage it created stays, with what has been put there; the archive flag goes back.
 */
#include "photoflow.h"

#include "utils/builtins.h"

#include "store.h"
#include "transition.h"
#include "workflow.h"

/* The newest row of an album's history. */
typedef struct Newest
{
	pg_uuid_t	id;
	char	   *trigger;
	int			from;
	int			to;
	int			version;
	bool		compensates;
	bool		migrates;
} Newest;

static bool ReadNewest(const Album *album, Newest *newest);
static Refusal *CheckNewest(const Machine *machine, const Album *album, bool found, const Newest *newest);
static Refusal *FindCompensated(const Machine *machine, const Album *album, const Newest *newest, const MachineEdge **edge);
static Refusal *TakeBack(Outcome *outcome, const char *fromState, Datum reason);

static bool
ReadNewest(const Album *album, Newest *newest)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[2] = {UUIDPGetDatum(&album->org), UUIDPGetDatum(&album->id)};
	bool		found;

	StoreBegin();
	found = StoreRun(PLAN_HISTORY_NEWEST, values, NULL) > 0;
	if (found)
	{
		newest->id = *StoreUuid(0, 1);
		newest->trigger = MemoryContextStrdup(caller, StoreCString(0, 2));
		newest->from = StoreInt(0, 3);
		newest->to = StoreInt(0, 4);
		newest->version = StoreInt(0, 5);
		newest->compensates = !StoreIsNull(0, 6);
		newest->migrates = !StoreIsNull(0, 7);
	}
	StoreEnd();
	return found;
}

/* Return why the newest transition cannot be taken back; NULL: it can. */
static Refusal *
CheckNewest(const Machine *machine, const Album *album, bool found, const Newest *newest)
{
	if (!found)
		return RefuseRollback(&album->id, "album has no transition to roll back",
							  "It is where it was created; see photoflow.album_history(id).");
	if (newest->compensates)
		return RefuseRollback(&album->id, "newest transition of the album has been rolled back already",
							  "A transition is rolled back once. Fire a trigger to move the album on.");
	if (newest->migrates)
		return RefuseRollback(&album->id, "a migration to another workflow version is not rolled back",
							  "Migrate the albums back with photoflow.migrate_albums().");
	if (MachineStateByValue(machine, newest->from) == MACHINE_NONE)
		return RefuseRollback(&album->id, "newest transition of the album came from a state that its workflow does not have",
							  "Its history is another album's or another version's; see photoflow.album_history(id).");
	if (newest->to != album->state || newest->version != album->version)
		return RefuseConflict(machine, album, WorkflowStateName(machine, newest->to));
	return NULL;
}

/* Find the edge that is taken back, NULL when there is none; return why the role may not, NULL: it may. */
static Refusal *
FindCompensated(const Machine *machine, const Album *album, const Newest *newest, const MachineEdge **edge)
{
	Album		before = *album;
	MachineVerdict verdict;

	before.state = newest->from;
	verdict = MachineDecide(machine, MachineStateByValue(machine, newest->from),
							MachineTriggerByName(machine, newest->trigger), WorkflowRoles(machine), edge);
	if (verdict == MACHINE_WRONG_ROLE)
		return RefuseRole(machine, &before, *edge);
	if (verdict == MACHINE_NO_EDGE && WorkflowRoles(machine) != MACHINE_ALL_ROLES)
		return RefuseRollback(&album->id, "newest change of the album was made past the machine",
							  "Only the owner of the tables, or a super role, takes it back.");
	return NULL;
}

/* Take back the newest transition of a locked album, from a state where one is named; return why not, NULL: it is done. */
static Refusal *
TakeBack(Outcome *outcome, const char *fromState, Datum reason)
{
	Album	   *album = &outcome->album;
	Firing		firing = {.trigger = TRIGGER_ROLLBACK, .reason = reason};
	const MachineEdge *edge;
	Newest		newest;
	Refusal    *refusal = CheckNewest(outcome->machine, album, ReadNewest(album, &newest), &newest);

	if (refusal == NULL && fromState && strcmp(WorkflowStateName(outcome->machine, newest.from), fromState) != 0)
		refusal = RefuseRollback(&album->id, psprintf("newest transition of the album came from %s, not from %s",
													  WorkflowStateName(outcome->machine, newest.from), fromState),
								 "See photoflow.album_history(id).");
	if (refusal == NULL)
		refusal = FindCompensated(outcome->machine, album, &newest, &edge);
	if (refusal)
		return refusal;
	firing.machine = outcome->machine;
	firing.from = album->state;
	firing.to = outcome->to = newest.from;
	firing.fromVersion = firing.toVersion = album->version;
	firing.compensates = &newest.id;
	TransitionChange(&firing, &outcome, 1, edge && edge->archive);
	return NULL;
}

PHOTOFLOW_FUNCTION(photoflow_rollback_transition)
{
	Datum		reason = PG_ARGISNULL(1) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(1));
	const pg_uuid_t *id = AlbumIdArgument(fcinfo, 0);
	Refusal    *refusal;
	Outcome		outcome;

	memset(&outcome, 0, sizeof(outcome));
	if (!AlbumRead(id, true, &outcome.album))
		RefusalRaise(RefuseNotFound(id));
	if (outcome.album.isDeleted)
		RefusalRaise(RefuseDeleted(&outcome.album.id));
	outcome.machine = WorkflowMachine(outcome.album.version);
	refusal = TakeBack(&outcome, NULL, reason);
	if (refusal)
		RefusalRaise(refusal);
	PG_RETURN_DATUM(TransitionTuple(&outcome, outcome.to));
}

/*
 * Take an album back from one state to another (NULL: from whatever it is in) by rolling back its newest transition. Return
 * why not, NULL when it is there; already says whether it was before. Nothing has changed when it is refused.
 */
const char *
RollbackTo(const pg_uuid_t *id, const char *state, const char *from, bool *already)
{
	Outcome		outcome;
	Refusal    *refusal;
	const char *now;

	*already = false;
	memset(&outcome, 0, sizeof(outcome));
	if (!AlbumRead(id, true, &outcome.album))
		return "album not found";
	if (outcome.album.isDeleted)
		return "the album is deleted";
	outcome.machine = WorkflowMachine(outcome.album.version);
	if (MachineStateByName(outcome.machine, state) == MACHINE_NONE)
		return psprintf("workflow version %d has no state \"%s\"", outcome.album.version, state);
	now = WorkflowStateName(outcome.machine, outcome.album.state);
	*already = strcmp(now, state) == 0;
	if (*already)
		return NULL;
	if (from && strcmp(now, from) != 0)
		return psprintf("the album has moved on to %s", now);
	refusal = TakeBack(&outcome, state, CStringGetTextDatum("recovered"));
	return refusal ? refusal->message : NULL;
}
