/*
 * remap.c: migrate_albums(), which takes albums from one workflow version to another.
 *
 * Words:
 * - A mapping says to which state of the new version the albums of a state of the old version go; -1: to none.
 *
 * The change needs no edge: it is the definition that moved, not the album. Every album gets its history row.
 * The owner of the tables moves those of all organizations, one after the other, unless a tenant is set.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "history.h"
#include "store.h"
#include "tenant.h"
#include "workflow.h"

typedef struct Mapping
{
	const Machine *from;
	const Machine *to;
	JsonbContainer *map;		/* NULL: by name only */
} Mapping;

typedef struct StateCount
{
	pg_uuid_t	org;
	int			value;
	int64		albums;
} StateCount;

static int	MapState(const Mapping *mapping, const char *name, char **problem);
static void CheckMap(const Mapping *mapping);
static StateCount *CountStates(int version, int *count);
static int64 AlbumsIn(const StateCount *counts, int count, int value);
static void MoveState(const Mapping *mapping, const pg_uuid_t *org, int from, int to);
static void MoveAll(const Mapping *mapping, StateCount *counts, int count);
static char *ReportState(const Mapping *mapping, const char *name, int64 albums, ReturnSetInfo *result);

/* Return the state of the new version that a state goes to, or -1 and the problem. */
static int
MapState(const Mapping *mapping, const char *name, char **problem)
{
	JsonbValue	value;
	const char *target = name;
	int			state;

	*problem = NULL;
	if (mapping->map && getKeyJsonValueFromContainer(mapping->map, name, strlen(name), &value))
	{
		if (value.type != jbvString)
		{
			*problem = psprintf("state_map gives \"%s\" something that is not a name", name);
			return MACHINE_NONE;
		}
		target = pnstrdup(value.val.string.val, value.val.string.len);
	}
	state = MachineStateByName(mapping->to, target);
	if (state == MACHINE_NONE)
		*problem = psprintf("version %d has no state \"%s\"", mapping->to->version, target);
	return state;
}

/* Raise 22023 when the map names a state that the old version does not have: a typing error. */
static void
CheckMap(const Mapping *mapping)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (mapping->map == NULL)
		return;
	if (!JsonContainerIsObject(mapping->map))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a JSON object", "state_map"),
				 errhint("It is {\"OldName\": \"NewName\", ...}.")));
	iterator = JsonbIteratorInit(mapping->map);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			char	   *name = pnstrdup(value.val.string.val, value.val.string.len);

			if (MachineStateByName(mapping->from, name) == MACHINE_NONE)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("workflow version %d has no state \"%s\"", mapping->from->version, name),
						 errhint("\"state_map\" maps names of version %d to names of version %d.",
								 mapping->from->version, mapping->to->version)));
		}
}

static StateCount *
CountStates(int version, int *count)
{
	MemoryContext caller = CurrentMemoryContext;
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[2] = {UUIDPGetDatum(org), Int32GetDatum(version)};
	StateCount *counts;

	InstallationRequire("Albums", ACL_SELECT);
	StoreBegin();
	*count = (int) StoreRun(org ? PLAN_REMAP_COUNT_IN_ORG : PLAN_REMAP_COUNT, values, org ? NULL : "n ");
	counts = MemoryContextAlloc(caller, sizeof(StateCount) * Max(*count, 1));
	for (int i = 0; i < *count; i++)
	{
		counts[i].org = *StoreUuid(i, 1);
		counts[i].value = StoreInt(i, 2);
		counts[i].albums = DatumGetInt64(StoreDatum(i, 3));
	}
	StoreEnd();
	return counts;
}

static int64
AlbumsIn(const StateCount *counts, int count, int value)
{
	int64		albums = 0;

	for (int i = 0; i < count; i++)
		if (counts[i].value == value)
			albums += counts[i].albums;
	return albums;
}

/* Report a state; return its problem when albums are in it, otherwise NULL. */
static char *
ReportState(const Mapping *mapping, const char *name, int64 albums, ReturnSetInfo *result)
{
	Datum		values[4] = {CStringGetTextDatum(name), Int64GetDatum(albums)};
	bool		nulls[4] = {false, false, true, true};
	char	   *problem;
	int			target = MapState(mapping, name, &problem);

	if (target != MACHINE_NONE)
	{
		values[2] = CStringGetTextDatum(mapping->to->states[target].name);
		nulls[2] = false;
	}
	else
	{
		values[3] = CStringGetTextDatum(problem);
		nulls[3] = false;
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return albums > 0 ? problem : NULL;
}

static void
MoveState(const Mapping *mapping, const pg_uuid_t *org, int from, int to)
{
	Firing		firing = {.trigger = TRIGGER_MIGRATE, .machine = mapping->to, .from = from, .to = to,
		.fromVersion = mapping->from->version, .toVersion = mapping->to->version, .everyAlbum = true};
	Datum		values[5] = {UUIDPGetDatum(org), Int32GetDatum(firing.fromVersion), Int32GetDatum(firing.toVersion),
	Int32GetDatum(from), Int32GetDatum(to)};
	TenantScope scope;

	TenantEnter(&scope, org);
	FiringBegin(&firing);
	PG_TRY();
	{
		StoreBegin();
		StoreRun(PLAN_REMAP_MOVE, values, NULL);
		StoreEnd();
		HistoryFlush();
	}
	PG_FINALLY();
	{
		FiringEnd(&firing);
	}
	PG_END_TRY();
	TenantLeave(&scope);
}

/* Move every state, and again while others' commits bring albums of the old version into states already done. */
static void
MoveAll(const Mapping *mapping, StateCount *counts, int count)
{
	while (count > 0)
	{
		for (int i = 0; i < count; i++)
		{
			char	   *problem;
			int			target = MapState(mapping, WorkflowStateName(mapping->from, counts[i].value), &problem);

			if (target == MACHINE_NONE)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("albums in state \"%s\" map to nothing", WorkflowStateName(mapping->from, counts[i].value)),
						 errdetail_internal("%s", WorkflowProblemsJson(list_make1(problem))),
						 errhint("Map the state with \"state_map\", or move those albums first.")));
			MoveState(mapping, &counts[i].org, counts[i].value, mapping->to->states[target].value);
		}
		if (IsolationUsesXactSnapshot())
			return;
		CHECK_FOR_INTERRUPTS();
		counts = CountStates(mapping->from->version, &count);
	}
}

PHOTOFLOW_FUNCTION(photoflow_migrate_albums)
{
	Mapping		mapping;
	bool		dryRun = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	List	   *problems = NIL;
	StateCount *counts;
	int			count;

	RequireArgument(fcinfo, 0, "from_version", "Give two workflow versions.");
	RequireArgument(fcinfo, 1, "to_version", "Give two workflow versions.");
	InitMaterializedSRF(fcinfo, 0);
	mapping.from = WorkflowMachine(PG_GETARG_INT32(0));
	mapping.to = WorkflowMachine(PG_GETARG_INT32(1));
	mapping.map = PG_ARGISNULL(2) ? NULL : &PG_GETARG_JSONB_P(2)->root;
	CheckMap(&mapping);
	counts = CountStates(mapping.from->version, &count);
	for (int i = 0; i < mapping.from->nstates; i++)
	{
		const MachineState *state = &mapping.from->states[i];
		char	   *problem = ReportState(&mapping, state->name, AlbumsIn(counts, count, state->value),
										  (ReturnSetInfo *) fcinfo->resultinfo);

		if (problem)
			problems = lappend(problems, psprintf("state \"%s\": %s", state->name, problem));
	}
	if (dryRun || mapping.from == mapping.to)
		return (Datum) 0;
	if (problems != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("albums are in states that workflow version %d does not have", mapping.to->version),
				 errdetail_internal("%s", WorkflowProblemsJson(problems)),
				 errhint("Map them with \"state_map\"; dry_run => true shows the whole mapping.")));
	MoveAll(&mapping, counts, count);
	return (Datum) 0;
}
