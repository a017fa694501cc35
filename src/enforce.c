/*
 * enforce.c: the triggers that refuse.
 *
 * A plain UPDATE names two states and no trigger; it takes the first edge between them that the role may take and
 * whose guards are met. The everyday case is decided by the trigger's condition alone, which costs next to
 * nothing and never fires:
 *     CREATE TRIGGER "00_PhotoflowStateGuard" AFTER UPDATE OF "AlbumState", "WorkflowVersion" ON "Albums"
 *         FOR EACH ROW WHEN (photoflow.state_change_refused(OLD."AlbumState", NEW."AlbumState", ...))
 *         EXECUTE FUNCTION photoflow.refuse_state_change('Albums')
 */
#include "photoflow.h"

#include "executor/spi.h"
#include "utils/rel.h"

#include "enforce.h"
#include "guard.h"
#include "history.h"
#include "refusal.h"
#include "refusalcount.h"
#include "workflow.h"

static Refusal *RefuseRoleOfPair(const Machine *machine, const Album *before, const MachineEdge *first);
static Refusal *RefusePair(const Machine *machine, const Album *before, int to, const MachineEdge **taken);
static void CheckInitial(const Machine *machine, int state, bool isCurrent);

/* Three arguments, not more: the executor parses the condition anew for every statement, and that is what it costs. */
PHOTOFLOW_FUNCTION(photoflow_state_change_refused)
{
	int			from = PG_GETARG_INT32(0);
	int			to = PG_GETARG_INT32(1);
	const Machine *machine;
	const MachineEdge *edge;

	if (from == to)
		PG_RETURN_BOOL(false);
	/* without a tenant only the owner goes on: the trigger function says so */
	if (ContextOrg() == NULL && !ContextIsOwner())
		PG_RETURN_BOOL(true);
	machine = WorkflowMachine(PG_GETARG_INT32(2));
	PG_RETURN_BOOL(MachineDecidePair(machine, MachineStateByValue(machine, from), MachineStateByValue(machine, to),
									 WorkflowRoles(machine), &edge) != MACHINE_PERMITTED ||
				   edge->nguards > 0);
}

/* The roles of all edges between the two states, in the name of the first. */
static Refusal *
RefuseRoleOfPair(const Machine *machine, const Album *before, const MachineEdge *first)
{
	MachineEdge all = *first;

	for (int next = first->nextOfPair; next != MACHINE_NONE; next = machine->edges[next].nextOfPair)
		all.roles |= machine->edges[next].roles;
	return RefuseRole(machine, before, &all);
}

/* Return why an UPDATE may not take an album to a state, or NULL and the edge that it takes. */
static Refusal *
RefusePair(const Machine *machine, const Album *before, int to, const MachineEdge **taken)
{
	uint64		roles = WorkflowRoles(machine);
	const MachineEdge *edge;
	List	   *unmet = NIL;
	MachineVerdict verdict = MachineDecidePair(machine, MachineStateByValue(machine, before->state),
											   MachineStateByValue(machine, to), roles, &edge);

	*taken = NULL;
	if (verdict == MACHINE_NO_EDGE)
		return RefuseChange(machine, before, to);
	if (verdict == MACHINE_WRONG_ROLE)
		return RefuseRoleOfPair(machine, before, edge);
	for (const MachineEdge *next = edge;;)
	{
		if (next->roles & roles)
		{
			List	   *found = GuardsUnmet(next, &before->org, &before->id, true);

			if (found == NIL)
			{
				*taken = next;
				return NULL;
			}
			if (unmet == NIL)
				unmet = found;
		}
		if (next->nextOfPair == MACHINE_NONE)
			return RefuseGuards(machine, before, edge, unmet);
		next = &machine->edges[next->nextOfPair];
	}
}

/* Return the edge that an UPDATE which was let pass has taken; NULL where the rules did not hold. */
const MachineEdge *
EnforceEdge(const Machine *machine, const Album *before, int to)
{
	const MachineEdge *edge;

	if (MachineDecidePair(machine, MachineStateByValue(machine, before->state), MachineStateByValue(machine, to),
						  WorkflowRoles(machine), &edge) != MACHINE_PERMITTED)
		return NULL;
	/* with several edges between the two, and guards, it is the guards that choose */
	if (edge->nguards > 0 && edge->nextOfPair != MACHINE_NONE)
		(void) RefusePair(machine, before, to, &edge);
	return edge;
}

/*
 * Refuse what is no matter of edges: an album that is deleted or another organization's, a change of the version.
 * photoflow's own changes have been let pass before.
 */
void
EnforceRow(const Album *before, const Album *after)
{
	const pg_uuid_t *org = ContextRequireOrg();
	JsonText	detail;

	if (org && !UuidEquals(org, &before->org))
		RefusalRaise(RefuseNotFound(&before->id));
	if (before->isDeleted)
		RefusalRaise(RefuseDeleted(&before->id));
	if (before->version == after->version)
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "Album");
	JsonAddUuid(&detail, "id", &before->id);
	JsonAddInt(&detail, "fromVersion", before->version);
	JsonAddInt(&detail, "toVersion", after->version);
	ereport(ERROR,
			(errcode(ERRCODE_PF_ILLEGAL_STATE_CHANGE),
			 errmsg("album keeps the workflow version it started with"),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("Move albums to another version with SELECT * FROM photoflow.migrate_albums(%d, %d).",
					 before->version, after->version),
			 RefusalCounted()));
}

PHOTOFLOW_FUNCTION(photoflow_refuse_state_change)
{
	TriggerData *trigger;
	Album		before;
	Album		after;
	const MachineEdge *edge;
	Refusal    *refusal;
	int			index;

	trigger = RequireTrigger(fcinfo, "refuse_state_change", AFTER_UPDATE_ROW, "AFTER UPDATE FOR EACH ROW");
	AlbumFromSlot(trigger->tg_relation, trigger->tg_trigslot, &before);
	AlbumFromSlot(trigger->tg_relation, trigger->tg_newslot, &after);
	if (FiringOf(&before, &after, &index))
		return PointerGetDatum(NULL);
	EnforceRow(&before, &after);
	refusal = RefusePair(WorkflowMachine(before.version), &before, after.state, &edge);
	if (refusal)
		RefusalRaise(refusal);
	return PointerGetDatum(NULL);
}

/* Refuse a new album anywhere but at the beginning, unless the owner of the tables loads it. */
static void
CheckInitial(const Machine *machine, int state, bool isCurrent)
{
	const char *initial = machine->states[machine->initial].name;
	JsonText	detail;

	if (MachineStateByValue(machine, state) != MACHINE_NONE && ContextIsOwner())
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "Album");
	JsonAddInt(&detail, "state", state);
	JsonAddInt(&detail, "version", machine->version);
	JsonAddText(&detail, "initial", initial);
	ereport(ERROR,
			(errcode(ERRCODE_PF_ILLEGAL_STATE_CHANGE),
			 MachineStateByValue(machine, state) == MACHINE_NONE ?
			 errmsg("workflow version %d has no state %d", machine->version, state) :
			 isCurrent ? errmsg("a new album must start in state \"%s\"", initial) :
			 errmsg("a new album must start with the current workflow version"),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("Leave \"AlbumState\" and \"WorkflowVersion\" out, then fire triggers. Only the owner of the table "
					 "loads albums in other states."),
			 RefusalCounted()));
}

PHOTOFLOW_FUNCTION(photoflow_initial_state)
{
	TriggerData *trigger;
	Relation	relation;
	Album		album;
	const Machine *machine;
	int			current;
	int			columns[2];
	Datum		values[2];
	bool		nulls[2] = {false, false};

	trigger = RequireTrigger(fcinfo, "initial_state", BEFORE_INSERT_ROW, "BEFORE INSERT FOR EACH ROW");
	relation = trigger->tg_relation;
	AlbumFromSlot(relation, trigger->tg_trigslot, &album);
	current = WorkflowCurrentVersion();
	if (AlbumVersionIsNull(relation, trigger->tg_trigslot))
		album.version = current;
	machine = WorkflowMachine(album.version);
	if (AlbumStateIsNull(relation, trigger->tg_trigslot))
		album.state = machine->states[machine->initial].value;
	if (album.version != current || album.state != machine->states[machine->initial].value)
		CheckInitial(machine, album.state, album.version == current);

	columns[0] = AlbumStateColumn(relation);
	columns[1] = AlbumVersionColumn(relation);
	values[0] = Int32GetDatum(album.state);
	values[1] = Int32GetDatum(album.version);
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_trigtuple, RelationGetDescr(relation), 2, columns,
													 values, nulls));
}
