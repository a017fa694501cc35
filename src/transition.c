/*
 * transition.c: fire(), and what fire_many() and rollback_transition() share with it.
 *
 * Words:
 * - An outcome is what became of one album: a transition, or a refusal.
 *
 * Order: lock the albums (by id, so that two sessions never wait for each other), decide each one, ask its guards
 * with a snapshot taken under the lock, change the rows; the triggers on "Albums" write what the changes bring.
 * Votes and syncs that a guard looks at take the same lock on the album, so a guard's answer stays true until the
 * commit.
 * The UPDATE runs as the caller: who may not update albums may not fire.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "store.h"
#include "tenant.h"
#include "transition.h"
#include "workflow.h"

static bool CheckExpected(Outcome *outcome, const char *expected);
static int	CompareOutcomes(const void *a, const void *b);
static void UpdateAlbums(const Firing *firing, const Outcome *first, int count, bool unarchive);

/* Find the edge, or the refusal, of a locked album. */
void
TransitionDecide(Outcome *outcome, const char *trigger, const char *expected)
{
	const Album *album = &outcome->album;
	const Machine *machine;
	List	   *unmet;

	if (album->isDeleted)
	{
		outcome->refusal = RefuseDeleted(&album->id);
		return;
	}
	machine = outcome->machine = WorkflowMachine(album->version);
	if (expected && !CheckExpected(outcome, expected))
		return;
	switch (MachineDecide(machine, MachineStateByValue(machine, album->state), MachineTriggerByName(machine, trigger),
						  WorkflowRoles(machine), &outcome->edge))
	{
		case MACHINE_NO_EDGE:
			outcome->refusal = RefuseNoEdge(machine, album, trigger);
			return;
		case MACHINE_WRONG_ROLE:
			outcome->refusal = RefuseRole(machine, album, outcome->edge);
			return;
		case MACHINE_PERMITTED:
			break;
	}
	unmet = GuardsUnmet(outcome->edge, &album->org, &album->id, true);
	if (unmet != NIL)
		outcome->refusal = RefuseGuards(machine, album, outcome->edge, unmet);
}

/* Refuse an album that is in another state than the caller thinks. */
static bool
CheckExpected(Outcome *outcome, const char *expected)
{
	int			state = MachineStateByName(outcome->machine, expected);

	if (state == MACHINE_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow version %d has no state \"%s\"", outcome->machine->version, expected),
				 errhint("States are named as in photoflow.workflow(%d).", outcome->machine->version)));
	if (outcome->machine->states[state].value != outcome->album.state)
		outcome->refusal = RefuseConflict(outcome->machine, &outcome->album, expected);
	return outcome->refusal == NULL;
}

/* Change the rows of one firing and write what that brings; the outcomes get transition and stage. */
void
TransitionChange(Firing *firing, Outcome **outcomes, int count, bool unarchive)
{
	Album	   *albums = palloc(sizeof(Album) * count);
	TenantScope scope;

	for (int i = 0; i < count; i++)
		albums[i] = outcomes[i]->album;
	firing->count = count;
	firing->albums = albums;
	firing->transitions = palloc(sizeof(pg_uuid_t) * count);
	firing->tags = palloc0(sizeof(pg_uuid_t) * count);
	firing->passed = palloc0(sizeof(bool) * count);
	firing->npassed = 0;
	TenantEnter(&scope, &outcomes[0]->album.org);
	FiringBegin(firing);
	PG_TRY();
	{
		UpdateAlbums(firing, outcomes[0], count, unarchive);
	}
	PG_FINALLY();
	{
		FiringEnd(firing);
	}
	PG_END_TRY();
	TenantLeave(&scope);
	for (int i = 0; i < count; i++)
	{
		outcomes[i]->transition = firing->transitions[i];
		outcomes[i]->tag = firing->tags[i];
	}
}

static void
UpdateAlbums(const Firing *firing, const Outcome *first, int count, bool unarchive)
{
	Datum		values[6];
	int			changed;

	values[0] = UUIDPGetDatum(&first->album.org);
	values[1] = UUIDPGetDatum(&first->album.id);
	values[2] = Int32GetDatum(firing->to);
	values[3] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[4] = BoolGetDatum(unarchive);
	values[5] = Int32GetDatum(count);
	if (count > 1)
	{
		pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);

		for (int i = 0; i < count; i++)
			ids[i] = firing->albums[i].id;
		values[1] = UuidArray(ids, count);
	}
	StoreBegin();
	changed = (int) StoreRun(count == 1 ? PLAN_ALBUM_MOVE : PLAN_ALBUMS_MOVE, values, NULL);
	for (int i = changed - 1; i >= 0; i--)
		if (StoreInt(i, 1) != firing->to)
			changed--;
	StoreEnd();
	if (changed != count)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("%d of %d albums did not change their state", count - changed, count),
				 errhint("A BEFORE UPDATE trigger or a policy on \"Albums\" keeps the rows from being changed.")));
	if (firing->npassed != count)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("trigger \"00_PhotoflowTransitionCollect\" on \"Albums\" did not fire"),
				 errhint("It is disabled or missing, and history would have a hole: SELECT photoflow.attach().")));
}

/* Group outcomes that one UPDATE can change: same organization, version and edge. Refused ones come last. */
static int
CompareOutcomes(const void *a, const void *b)
{
	const Outcome *x = *(Outcome *const *) a;
	const Outcome *y = *(Outcome *const *) b;
	int			order = (x->refusal != NULL) - (y->refusal != NULL);

	if (order == 0)
		order = memcmp(&x->album.org, &y->album.org, UUID_LEN);
	if (order == 0)
		order = x->album.version < y->album.version ? -1 : x->album.version > y->album.version;
	if (order == 0)
		order = x->edge < y->edge ? -1 : x->edge > y->edge;
	return order != 0 ? order : memcmp(&x->album.id, &y->album.id, UUID_LEN);
}

/* Fire every outcome that is not refused, group by group. */
void
TransitionFire(Outcome *outcomes, int count, Datum reason, Datum args)
{
	Outcome   **order = palloc(sizeof(Outcome *) * Max(count, 1));
	int			first = 0;

	for (int i = 0; i < count; i++)
		order[i] = &outcomes[i];
	if (count > 1)
		qsort(order, count, sizeof(Outcome *), CompareOutcomes);
	while (first < count && order[first]->refusal == NULL)
	{
		Outcome    *head = order[first];
		int			next = first + 1;
		Firing		firing = {.trigger = head->machine->triggers[head->edge->trigger], .edge = head->edge,
			.machine = head->machine, .from = head->album.state, .reason = reason, .args = args};

		firing.to = head->machine->states[head->edge->to].value;
		firing.fromVersion = firing.toVersion = head->album.version;
		while (next < count && order[next]->refusal == NULL && order[next]->edge == head->edge &&
			   order[next]->machine == head->machine && UuidEquals(&order[next]->album.org, &head->album.org))
			next++;
		TransitionChange(&firing, order + first, next - first, false);
		first = next;
	}
}

/* Make the row that fire() and rollback_transition() return. */
Datum
TransitionTuple(const Outcome *outcome, int toValue)
{
	static const pg_uuid_t none;
	static const RowColumn columns[] = {{"transition_id", UUIDOID}, {"album_id", UUIDOID}, {"from_state", TEXTOID},
	{"to_state", TEXTOID}, {"tag_id", UUIDOID}};
	static TupleDesc desc = NULL;
	Datum		values[5];
	bool		nulls[5] = {false, false, false, false, false};

	values[0] = UUIDPGetDatum(&outcome->transition);
	values[1] = UUIDPGetDatum(&outcome->album.id);
	values[2] = CStringGetTextDatum(WorkflowStateName(outcome->machine, outcome->album.state));
	values[3] = CStringGetTextDatum(WorkflowStateName(outcome->machine, toValue));
	values[4] = UUIDPGetDatum(&outcome->tag);
	nulls[4] = UuidEquals(&outcome->tag, &none);
	return HeapTupleGetDatum(heap_form_tuple(KeepRowType(&desc, columns, lengthof(columns)), values, nulls));
}

PHOTOFLOW_FUNCTION(photoflow_fire)
{
	const pg_uuid_t *id = AlbumIdArgument(fcinfo, 0);
	char	   *trigger = TextArgument(fcinfo, 1, "trigger");
	char	   *expected = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	Datum		reason = PG_ARGISNULL(3) ? (Datum) 0 : PointerGetDatum(PG_GETARG_TEXT_PP(3));
	Datum		args = PG_ARGISNULL(4) ? (Datum) 0 : PointerGetDatum(PG_GETARG_JSONB_P(4));
	Outcome		outcome;

	memset(&outcome, 0, sizeof(outcome));
	if (!AlbumRead(id, true, &outcome.album))
		RefusalRaise(RefuseNotFound(id));
	TransitionDecide(&outcome, trigger, expected);
	if (outcome.refusal)
		RefusalRaise(outcome.refusal);
	TransitionFire(&outcome, 1, reason, args);
	PG_RETURN_DATUM(TransitionTuple(&outcome, outcome.machine->states[outcome.edge->to].value));
}
