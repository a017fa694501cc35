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
static void CheckNewest(const Machine *machine, const Album *album, bool found, const Newest *newest);
static const MachineEdge *CompensatedEdge(const Machine *machine, const Album *album, const Newest *newest);

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

/* Refuse what cannot be taken back. */
static void
CheckNewest(const Machine *machine, const Album *album, bool found, const Newest *newest)
{
	if (!found)
		RefusalRaise(RefuseRollback(&album->id, "album has no transition to roll back",
									"It is where it was created; see photoflow.album_history(id)."));
	if (newest->compensates)
		RefusalRaise(RefuseRollback(&album->id, "newest transition of the album has been rolled back already",
									"A transition is rolled back once. Fire a trigger to move the album on."));
	if (newest->migrates)
		RefusalRaise(RefuseRollback(&album->id, "a migration to another workflow version is not rolled back",
									"Migrate the albums back with photoflow.migrate_albums()."));
	if (MachineStateByValue(machine, newest->from) == MACHINE_NONE)
		RefusalRaise(RefuseRollback(&album->id, "newest transition of the album came from a state that its workflow does not have",
									"Its history is another album's or another version's; see photoflow.album_history(id)."));
	if (newest->to != album->state || newest->version != album->version)
		RefusalRaise(RefuseConflict(machine, album, WorkflowStateName(machine, newest->to)));
}

/* Return the edge that is taken back, NULL when there is none; raise PF003 or PF001 for the role. */
static const MachineEdge *
CompensatedEdge(const Machine *machine, const Album *album, const Newest *newest)
{
	const MachineEdge *edge;
	Album		before = *album;
	MachineVerdict verdict;

	before.state = newest->from;
	verdict = MachineDecide(machine, MachineStateByValue(machine, newest->from),
							MachineTriggerByName(machine, newest->trigger), WorkflowRoles(machine), &edge);
	if (verdict == MACHINE_WRONG_ROLE)
		RefusalRaise(RefuseRole(machine, &before, edge));
	if (verdict == MACHINE_NO_EDGE && WorkflowRoles(machine) != MACHINE_ALL_ROLES)
		RefusalRaise(RefuseRollback(&album->id, "newest change of the album was made past the machine",
									"Only the owner of the tables, or a super role, takes it back."));
	return edge;
}

PHOTOFLOW_FUNCTION(photoflow_rollback_transition)
{
	Datum		reason = PG_ARGISNULL(1) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(1));
	Outcome		outcome;
	Outcome    *outcomes = &outcome;
	Firing		firing = {.trigger = TRIGGER_ROLLBACK, .reason = reason};
	const MachineEdge *edge;
	Newest		newest;
	Album	   *album = &outcome.album;
	const pg_uuid_t *id = AlbumIdArgument(fcinfo, 0);

	memset(&outcome, 0, sizeof(outcome));
	if (!AlbumRead(id, true, album))
		RefusalRaise(RefuseNotFound(id));
	if (album->isDeleted)
		RefusalRaise(RefuseDeleted(&album->id));
	outcome.machine = WorkflowMachine(album->version);
	CheckNewest(outcome.machine, album, ReadNewest(album, &newest), &newest);
	edge = CompensatedEdge(outcome.machine, album, &newest);

	firing.machine = outcome.machine;
	firing.from = album->state;
	firing.to = newest.from;
	firing.fromVersion = firing.toVersion = album->version;
	firing.compensates = &newest.id;
	TransitionChange(&firing, &outcomes, 1, edge && edge->archive);
	PG_RETURN_DATUM(TransitionTuple(&outcome, newest.from));
}
