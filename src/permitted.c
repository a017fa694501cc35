/*
 * permitted.c: what may be fired, by whom, and if not, why not.
 *
 * Reads only: nothing is locked, and the answer is as old as the statement's snapshot.
 */
#include "photoflow.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "guard.h"
#include "refusal.h"
#include "store.h"
#include "workflow.h"

static Album ReadAlbum(FunctionCallInfo fcinfo);
static Datum RolesArray(const Machine *machine, const MachineEdge *edge);
static Datum GuardsArray(List *unmet);

/* Read the album that the first argument names; raise PF005 when it is not there. */
static Album
ReadAlbum(FunctionCallInfo fcinfo)
{
	const pg_uuid_t *id = AlbumIdArgument(fcinfo, 0);
	Album		album;

	if (!AlbumRead(id, false, &album))
		RefusalRaise(RefuseNotFound(id));
	return album;
}

static Datum
RolesArray(const Machine *machine, const MachineEdge *edge)
{
	char	   *names[MACHINE_MAX_ROLES];
	int			count = 0;

	for (int i = 0; i < machine->nroles; i++)
		if (edge->roles & (UINT64_C(1) << i))
			names[count++] = unconstify(char *, machine->roles[i]);
	return TextArray(names, count);
}

/* Each unmet guard as "name: reason". */
static Datum
GuardsArray(List *unmet)
{
	char	  **texts = palloc(sizeof(char *) * Max(list_length(unmet), 1));
	ListCell   *cell;

	foreach(cell, unmet)
	{
		UnmetGuard *guard = lfirst(cell);

		texts[foreach_current_index(cell)] = psprintf("%s: %s", guard->name, guard->reason);
	}
	return TextArray(texts, list_length(unmet));
}

PHOTOFLOW_FUNCTION(photoflow_permitted_triggers)
{
	Album		album = ReadAlbum(fcinfo);
	const Machine *machine = WorkflowMachine(album.version);
	int			state = MachineStateByValue(machine, album.state);
	uint64		roles = PG_ARGISNULL(1) ? WorkflowRoles(machine) :
		MachineRoleMask(machine, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	ReturnSetInfo *result;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	for (int i = 0; i < machine->nedges && !album.isDeleted; i++)
	{
		const MachineEdge *edge = &machine->edges[i];
		bool		nulls[5] = {false, false, false, false, false};
		Datum		values[5];
		List	   *unmet;

		if (edge->from != state)
			continue;
		unmet = GuardsUnmet(edge, &album.org, &album.id, false);
		values[0] = CStringGetTextDatum(machine->triggers[edge->trigger]);
		values[1] = CStringGetTextDatum(machine->states[edge->to].name);
		values[2] = BoolGetDatum((edge->roles & roles || roles == MACHINE_ALL_ROLES) && unmet == NIL);
		values[3] = RolesArray(machine, edge);
		values[4] = GuardsArray(unmet);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_can_fire)
{
	Album		album = ReadAlbum(fcinfo);
	const Machine *machine = WorkflowMachine(album.version);
	const MachineEdge *edge;

	RequireArgument(fcinfo, 1, "trigger", "Give the name of a trigger.");
	PG_RETURN_BOOL(!album.isDeleted &&
				   MachineDecide(machine, MachineStateByValue(machine, album.state),
								 MachineTriggerByName(machine, text_to_cstring(PG_GETARG_TEXT_PP(1))),
								 WorkflowRoles(machine), &edge) == MACHINE_PERMITTED &&
				   GuardsUnmet(edge, &album.org, &album.id, false) == NIL);
}

PHOTOFLOW_FUNCTION(photoflow_album_history)
{
	Album		album = ReadAlbum(fcinfo);
	Datum		keys[2] = {UUIDPGetDatum(&album.org), UUIDPGetDatum(&album.id)};
	ReturnSetInfo *result;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	StoreBegin();
	StoreRun(PLAN_HISTORY_READ, keys, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SPITupleTable *rows = SPI_tuptable;
		uint64		count = SPI_processed;
		Datum		values[12];
		bool		nulls[12];
		const Machine *machine;
		const Machine *fromMachine;

		heap_deform_tuple(rows->vals[row], rows->tupdesc, values, nulls);
		machine = WorkflowMachine(DatumGetInt32(values[10]));
		fromMachine = nulls[11] ? machine : WorkflowMachine(DatumGetInt32(values[11]));
		values[1] = CStringGetTextDatum(WorkflowStateName(fromMachine, DatumGetInt32(values[1])));
		values[3] = CStringGetTextDatum(WorkflowStateName(machine, DatumGetInt32(values[3])));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		SPI_tuptable = rows;	/* reading a machine may have run another plan */
		SPI_processed = count;
	}
	StoreEnd();
	return (Datum) 0;
}
