/*
 * deleterun.c: the executor's part of soft delete.
 *
 * - A DELETE that was planned as an UPDATE says that it was a DELETE once it has run: DELETE 3, not UPDATE 3.
 * - The triggers of deletemark.c are on in the catalog, so that they hold whatever planned a statement. For one whose
 *   plan does their work they are switched off, in the executor's own copy of the table's triggers; not where a BEFORE
 *   trigger of a user's has the last word.
 * - Each statement that runs has a frame, which remembers the deletion that it is. What its WITH does and nobody reads is
 *   only done when it is finished: it has the frame again then.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"

#include "deletion.h"
#include "deleterun.h"
#include "store.h"

#define OUR_TRIGGERS 3

static ExecutorStart_hook_type previousStart = NULL;
static ExecutorRun_hook_type previousRun = NULL;
static ExecutorFinish_hook_type previousFinish = NULL;
static DeleteFrame *frame = NULL;

/* Statements whose WITH deletes, between their run and their finish; in TopTransactionContext. */
typedef struct Unfinished
{
	struct Unfinished *next;
	const QueryDesc *query;
	const Deletion *deletion;
} Unfinished;

static Unfinished *unfinished = NULL;

static void StartStatement(QueryDesc *query, int flags);
static void FinishNext(QueryDesc *query);
static void FinishStatement(QueryDesc *query);
static const Deletion *TakeUnfinished(const QueryDesc *query);
static void RememberUnfinished(const QueryDesc *query, const Deletion *deletion);
static void ForgetUnfinished(XactEvent event, void *arg);
static void RunNext(EXECUTOR_RUN_PARAMETERS);
static void RunStatement(EXECUTOR_RUN_PARAMETERS);
static bool Modifies(const QueryDesc *query);
static bool IsOurs(const Trigger *trigger, const DeleteFunctions *functions);
static bool IsNeedless(const Trigger *trigger, int marks, const DeleteFunctions *functions);
static void AddFlags(TriggerDesc *flags, int16 type);
static void SwitchTriggersOff(TriggerDesc *triggers, int marks);

void
DeleteRunInitialize(void)
{
	previousStart = ExecutorStart_hook;
	ExecutorStart_hook = StartStatement;
	previousRun = ExecutorRun_hook;
	ExecutorRun_hook = RunStatement;
	previousFinish = ExecutorFinish_hook;
	ExecutorFinish_hook = FinishStatement;
	RegisterXactCallback(ForgetUnfinished, NULL);
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

/* Say whether a trigger is ours, of those that a plan may make needless. */
static bool
IsOurs(const Trigger *trigger, const DeleteFunctions *functions)
{
	return trigger->tgfoid == functions->markDeletion || trigger->tgfoid == functions->collectDeletion ||
		trigger->tgfoid == functions->cascadeDeletion;
}

/* Say whether a trigger of ours has nothing to do for a plan: what marks has still to be collected. */
static bool
IsNeedless(const Trigger *trigger, int marks, const DeleteFunctions *functions)
{
	return trigger->tgfoid == functions->markDeletion || (marks & (DELETE_PLAN_CHECKED | DELETE_PLAN_QUIET)) != 0;
}

/* Add what a trigger is to the flags by which the executor knows whether to look into the list, and lock a row for it. */
static void
AddFlags(TriggerDesc *flags, int16 type)
{
	flags->trig_update_before_row |= TRIGGER_TYPE_MATCHES(type, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_UPDATE);
	flags->trig_update_after_row |= TRIGGER_TYPE_MATCHES(type, TRIGGER_TYPE_ROW, TRIGGER_TYPE_AFTER, TRIGGER_TYPE_UPDATE);
	flags->trig_update_after_statement |=
		TRIGGER_TYPE_MATCHES(type, TRIGGER_TYPE_STATEMENT, TRIGGER_TYPE_AFTER, TRIGGER_TYPE_UPDATE);
	flags->trig_delete_before_row |= TRIGGER_TYPE_MATCHES(type, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, TRIGGER_TYPE_DELETE);
}

/*
 * Switch off what a plan has made needless, in the executor's copy of a table's triggers. Not where a BEFORE trigger of a
 * user's may make something else of the rows than the plan knows; photoflow's own statements look for that themselves.
 */
static void
SwitchTriggersOff(TriggerDesc *triggers, int marks)
{
	const DeleteFunctions *functions = DeleteFunctionsFind();
	TriggerDesc flags = {0};
	Trigger    *needless[OUR_TRIGGERS];
	int			count = 0;

	for (int i = 0; functions && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (count < OUR_TRIGGERS && IsOurs(trigger, functions) && IsNeedless(trigger, marks, functions))
			needless[count++] = trigger;
		else
			AddFlags(&flags, trigger->tgtype);
	}
	if (count == 0 || (flags.trig_update_before_row && (marks & DELETE_PLAN_QUIET) == 0))
		return;
	for (int i = 0; i < count; i++)
		needless[i]->tgenabled = TRIGGER_DISABLED;
	triggers->trig_update_before_row = flags.trig_update_before_row;
	triggers->trig_update_after_row = flags.trig_update_after_row;
	triggers->trig_update_after_statement = flags.trig_update_after_statement;
	triggers->trig_delete_before_row = flags.trig_delete_before_row;
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
	if (queryDesc->plannedstmt->hasModifyingCTE)
		RememberUnfinished(queryDesc, mine.deletion);
	if (queryDesc->operation == CMD_UPDATE && (DeletePlanMarks(queryDesc->plannedstmt) & DELETE_PLAN_TURNED))
		queryDesc->operation = CMD_DELETE;
}

static void
ForgetUnfinished(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		unfinished = NULL;
}

/* Take out what is remembered of a statement; one that failed before it was finished may have left something behind. */
static const Deletion *
TakeUnfinished(const QueryDesc *query)
{
	const Deletion *found = NULL;

	for (Unfinished **place = &unfinished; *place;)
	{
		if ((*place)->query == query)
		{
			found = (*place)->deletion;
			*place = (*place)->next;
		}
		else
			place = &(*place)->next;
	}
	return found;
}

static void
RememberUnfinished(const QueryDesc *query, const Deletion *deletion)
{
	Unfinished *entry = MemoryContextAlloc(TopTransactionContext, sizeof(Unfinished));

	(void) TakeUnfinished(query);
	entry->query = query;
	entry->deletion = deletion;
	entry->next = unfinished;
	unfinished = entry;
}

static void
FinishNext(QueryDesc *query)
{
	if (previousFinish)
		previousFinish(query);
	else
		standard_ExecutorFinish(query);
}

static void
FinishStatement(QueryDesc *query)
{
	DeleteFrame mine = {.outer = frame, .deletion = NULL, .operation = query->operation};

	if (!query->plannedstmt->hasModifyingCTE)
	{
		FinishNext(query);
		return;
	}
	mine.deletion = TakeUnfinished(query);
	frame = &mine;
	PG_TRY();
	{
		FinishNext(query);
	}
	PG_FINALLY();
	{
		frame = mine.outer;
	}
	PG_END_TRY();
}
