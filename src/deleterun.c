/*
 * deleterun.c: the executor's part of soft delete.
 *
 * - A DELETE that was planned as an UPDATE says that it was a DELETE once it has run: DELETE 3, not UPDATE 3.
 * - The triggers of deletemark.c are on in the catalog, so that they hold whatever planned a statement. For one whose
 *   plan does their work they are switched off, in the executor's own copy of the table's triggers; not where a BEFORE
 *   trigger of a user's has the last word.
 * - Each statement that runs has a frame, which remembers the deletion that it is.
 */
#include "photoflow.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"

#include "deletion.h"
#include "deleterun.h"
#include "store.h"

static ExecutorStart_hook_type previousStart = NULL;
static ExecutorRun_hook_type previousRun = NULL;
static DeleteFrame *frame = NULL;

static void StartStatement(QueryDesc *query, int flags);
static void RunNext(EXECUTOR_RUN_PARAMETERS);
static void RunStatement(EXECUTOR_RUN_PARAMETERS);
static bool Modifies(const QueryDesc *query);
static void SwitchTriggersOff(TriggerDesc *triggers, int marks);
static bool HasForeignBefore(const TriggerDesc *triggers, const DeleteFunctions *functions);
static bool HasTriggers(const TriggerDesc *triggers, int16 event, int16 level, int16 timing);

void
DeleteRunInitialize(void)
{
	previousStart = ExecutorStart_hook;
	ExecutorStart_hook = StartStatement;
	previousRun = ExecutorRun_hook;
	ExecutorRun_hook = RunStatement;
}

DeleteFrame *
DeleteFrameCurrent(void)
{
	return frame;
}

static bool
Modifies(const QueryDesc *query)
{
	return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
}

static bool
HasTriggers(const TriggerDesc *triggers, int16 event, int16 level, int16 timing)
{
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgenabled != TRIGGER_DISABLED && TRIGGER_TYPE_MATCHES(trigger->tgtype, level, timing, event))
			return true;
	}
	return false;
}

/*
 * Say whether a BEFORE trigger of a user's may make something else of the rows than the plan knows. A RI trigger, or
 * one of ours, changes nothing.
 */
static bool
HasForeignBefore(const TriggerDesc *triggers, const DeleteFunctions *functions)
{
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_UPDATE) &&
			trigger->tgfoid != functions->markDeletion)
			return true;
	}
	return false;
}

/* The flags say whether the executor looks into the list at all, and locks a row for it first. */
static void
SwitchTriggersOff(TriggerDesc *triggers, int marks)
{
	const DeleteFunctions *functions = DeleteFunctionsFind();
	bool		quiet = (marks & DELETE_PLAN_QUIET) != 0;
	bool		any = false;

	if (functions == NULL || (!quiet && HasForeignBefore(triggers, functions)))
		return;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		bool		checks = trigger->tgfoid == functions->collectDeletion || trigger->tgfoid == functions->cascadeDeletion;

		if (trigger->tgfoid == functions->markDeletion || (checks && (quiet || (marks & DELETE_PLAN_CHECKED))) ||
			(quiet && trigger->tgfoid == functions->refuseHardDelete))
		{
			trigger->tgenabled = TRIGGER_DISABLED;
			any = true;
		}
	}
	if (!any)
		return;
	triggers->trig_update_before_row = HasTriggers(triggers, TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE);
	triggers->trig_update_after_row = HasTriggers(triggers, TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_ROW, TRIGGER_TYPE_AFTER);
	triggers->trig_update_after_statement =
		HasTriggers(triggers, TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_STATEMENT, TRIGGER_TYPE_AFTER);
	triggers->trig_delete_before_row = HasTriggers(triggers, TRIGGER_TYPE_DELETE, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE);
}

static void
StartStatement(QueryDesc *query, int flags)
{
	int			marks;
	ListCell   *cell;

	(void) StoreTakeQuiet();	/* a plan that is kept says itself what it is */
	if (previousStart)
		previousStart(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if (!Modifies(query))
		return;
	marks = DeletePlanMarks(query->plannedstmt);
	if ((marks & (DELETE_PLAN_CHECKED | DELETE_PLAN_MARKS | DELETE_PLAN_QUIET)) == 0)
		return;
	foreach(cell, query->estate->es_opened_result_relations)
	{
		ResultRelInfo *relation = lfirst(cell);

		if (relation->ri_TrigDesc)
			SwitchTriggersOff(relation->ri_TrigDesc, marks);
	}
}

static void
RunNext(EXECUTOR_RUN_PARAMETERS)
{
	if (previousRun)
		previousRun(EXECUTOR_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(EXECUTOR_RUN_ARGUMENTS);
}

static void
RunStatement(EXECUTOR_RUN_PARAMETERS)
{
	DeleteFrame mine = {.outer = frame, .deletion = NULL, .operation = queryDesc->operation};

	if (!Modifies(queryDesc))
	{
		RunNext(EXECUTOR_RUN_ARGUMENTS);
		return;
	}
	mine.deletion = DeletionTakeGiven();
	frame = &mine;
	PG_TRY();
	{
		RunNext(EXECUTOR_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		frame = mine.outer;
	}
	PG_END_TRY();
	if (queryDesc->operation == CMD_UPDATE && (DeletePlanMarks(queryDesc->plannedstmt) & DELETE_PLAN_TURNED))
		queryDesc->operation = CMD_DELETE;
}
