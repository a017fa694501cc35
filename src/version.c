/*
 * version.c: publishes workflow versions and answers questions about them.
 *
 * Words:
 * - To publish is to add a version; a published definition never changes, so a machine compiled from it is right
 *   for as long as the session lives.
 */
#include "photoflow.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "guard.h"
#include "store.h"
#include "workflow.h"

static void CheckDefinition(Jsonb *definition);
static List *AddMissingGuards(const Machine *machine, List *problems);
static int	RequireColumn(TriggerData *trigger, const char *name);
static bool SameColumn(TriggerData *trigger, const char *name);
static const Machine *MachineArgument(FunctionCallInfo fcinfo, int argument);

/* Name a state as stored, its number where the version does not know it. */
const char *
WorkflowStateName(const Machine *machine, int value)
{
	int			state = MachineStateByValue(machine, value);

	return state == MACHINE_NONE ? psprintf("%d", value) : machine->states[state].name;
}

static List *
AddMissingGuards(const Machine *machine, List *problems)
{
	for (int i = 0; i < machine->nedges; i++)
		for (int j = 0; j < machine->edges[i].nguards; j++)
			if (!GuardExists(machine->edges[i].guards[j]))
				problems = lappend(problems,
								   psprintf("guard \"%s\" of transitions[%d] does not exist as a function (org_id uuid, "
											"album_id uuid) or (album_id uuid) returning text",
											machine->edges[i].guards[j], i));
	return problems;
}

/* Raise PF007 with everything that is wrong. */
static void
CheckDefinition(Jsonb *definition)
{
	List	   *problems;
	const Machine *machine = DefinitionCompile(definition, 0, &problems);

	problems = AddMissingGuards(machine, problems);
	if (problems != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_PF_INVALID_WORKFLOW),
				 errmsg_plural("workflow definition has %d problem", "workflow definition has %d problems",
							   list_length(problems), list_length(problems)),
				 errdetail_internal("%s", WorkflowProblemsJson(problems)),
				 errhint("SELECT photoflow.workflow(1) shows a definition that is sound.")));
}

PHOTOFLOW_FUNCTION(photoflow_publish_workflow)
{
	Jsonb	   *definition;
	bool		makeCurrent = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	JsonbValue	name;
	Datum		values[4];
	char		nulls[] = "    ";
	int			version;

	RequireArgument(fcinfo, 0, "definition", "SELECT photoflow.workflow() shows a definition.");
	definition = PG_GETARG_JSONB_P(0);
	CheckDefinition(definition);
	/* two publishers must not take the same number; readers and new albums are not held up */
	LockRelationOid(InstallationGet()->workflows, ShareRowExclusiveLock);
	values[0] = JsonbPGetDatum(definition);
	nulls[1] = 'n';
	if (getKeyJsonValueFromContainer(&definition->root, "name", 4, &name))
	{
		values[1] = PointerGetDatum(cstring_to_text_with_len(name.val.string.val, name.val.string.len));
		nulls[1] = ' ';
	}
	values[2] = BoolGetDatum(makeCurrent);
	values[3] = UUIDPGetDatum(ContextUser());
	nulls[3] = ContextUser() ? ' ' : 'n';
	StoreBegin();
	if (makeCurrent)
		StoreRun(PLAN_WORKFLOW_RETIRE, NULL, NULL);
	StoreRun(PLAN_WORKFLOW_PUBLISH, values, nulls);
	version = StoreInt(0, 1);
	StoreEnd();
	PG_RETURN_INT32(version);
}

/* Return the machine that an optional version argument names: the current one when it is NULL. */
static const Machine *
MachineArgument(FunctionCallInfo fcinfo, int argument)
{
	return WorkflowMachine(PG_ARGISNULL(argument) ? WorkflowCurrentVersion() : PG_GETARG_INT32(argument));
}

PHOTOFLOW_FUNCTION(photoflow_workflow)
{
	PG_RETURN_DATUM(WorkflowDefinition(MachineArgument(fcinfo, 0)->version));
}

PHOTOFLOW_FUNCTION(photoflow_state_name)
{
	const Machine *machine;
	int			state;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	machine = MachineArgument(fcinfo, 1);
	state = MachineStateByValue(machine, PG_GETARG_INT32(0));
	if (state == MACHINE_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow version %d has no state %d", machine->version, PG_GETARG_INT32(0)),
				 errhint("Its states are in photoflow.workflow(%d).", machine->version)));
	PG_RETURN_TEXT_P(cstring_to_text(machine->states[state].name));
}

PHOTOFLOW_FUNCTION(photoflow_state_value)
{
	const Machine *machine;
	char	   *name;
	int			state;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	machine = MachineArgument(fcinfo, 1);
	state = MachineStateByName(machine, name);
	if (state == MACHINE_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow version %d has no state \"%s\"", machine->version, name),
				 errhint("Its states are in photoflow.workflow(%d).", machine->version)));
	PG_RETURN_INT32(machine->states[state].value);
}

static int
RequireColumn(TriggerData *trigger, const char *name)
{
	int			number = SPI_fnumber(RelationGetDescr(trigger->tg_relation), name);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(trigger->tg_relation), name),
				 errhint("This trigger function is for \"WorkflowVersions\".")));
	return number;
}

static bool
SameColumn(TriggerData *trigger, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = RequireColumn(trigger, name);
	char	   *old = SPI_getvalue(trigger->tg_trigtuple, desc, number);
	char	   *new = SPI_getvalue(trigger->tg_newtuple, desc, number);

	return old && new ? strcmp(old, new) == 0 : old == new;
}

PHOTOFLOW_FUNCTION(photoflow_keep_workflow)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) != TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE UPDATE OR DELETE FOR EACH ROW, or BEFORE TRUNCATE",
						"keep_workflow")));
	if (!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || !SameColumn(trigger, "Version") ||
		!SameColumn(trigger, "Definition"))
		ereport(ERROR,
				(errcode(ERRCODE_PF_INVALID_WORKFLOW),
				 errmsg("a published workflow version does not change"),
				 errhint("Publish another version: SELECT photoflow.publish_workflow(definition).")));
	return PointerGetDatum(trigger->tg_newtuple);
}

PHOTOFLOW_FUNCTION(photoflow_workflow_changed)
{
	TriggerData *trigger = RequireStatementTrigger(fcinfo, "workflow_changed", TRIGGER_EVENT_AFTER,
												   "AFTER ... FOR EACH STATEMENT");

	/* rows do not invalidate anything by themselves: every session hears of it with the commit */
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
