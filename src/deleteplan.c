/*
 * deleteplan.c: the planner's part of soft delete.
 *
 * A DELETE on a table of ours is planned as
 *     UPDATE .. SET "IsDeleted" = true, "DeletedAt" = photoflow.deletion_time(), "DeletedBy" = .., "DeletionId" = ..
 *         WHERE (as before) AND NOT "IsDeleted"
 * so that everything PostgreSQL knows of an UPDATE holds: privileges (that of the DELETE is asked for), policies, views,
 * RETURNING, joins, cursors, two sessions at one row. UPDATE .. SET "IsDeleted" = true is planned in the same way.
 * Any other UPDATE is given a column that is not stored, photoflow.require_live(..), which refuses marked rows.
 *
 * What cannot be planned so, the triggers do (deletemark.c): a flag that comes as a parameter, MERGE, ON CONFLICT, a
 * statement that was planned before the library was there. A table is ours when it has the trigger that marks;
 * without it (not attached, not yet migrated, disabled, or a session that replicates) nothing is turned.
 *
 * What was done is written into the plan, since plans are copied and kept: an item of PlannedStmt.invalItems, of no
 * cache, which nothing else makes and plancache.c never finds.
 */
#include "photoflow.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rowsecurity.h"
#include "utils/plancache.h"
#include "utils/rel.h"

#include "deletion.h"
#include "store.h"

#define MARK_CACHE (-1)
#define MARK_VALUE 0x50460000	/* and the marks */

static planner_hook_type previousPlanner = NULL;
static bool hardDelete = false;

static PlannedStmt *PlanStatement(Query *query, const char *text, int cursorOptions, ParamListInfo params);
static int	TurnStatement(Query *query, const char *text);
static bool IsForeignKeys(const char *text);
static bool FindTable(const RangeTblEntry *rte, SoftColumns *columns);
static bool TriggerIsOn(const Trigger *trigger);
static void TurnDelete(Query *query, const SoftColumns *columns);
static void NameMarkingColumns(Query *query, const SoftColumns *columns);
static int	TurnUpdate(Query *query, const RangeTblEntry *rte, const SoftColumns *columns, bool foreignKeys);
static bool HasOtherPolicies(Oid relid);
static void TurnMerge(Query *query, const SoftColumns *columns);
static List *MarkingTargets(const SoftColumns *columns);
static TargetEntry *CallTarget(AttrNumber number, const char *name, Oid function, Oid type);
static Node *OnlyLive(Query *query, const SoftColumns *columns, Node *qual);
static void RequireLive(Query *query, const RangeTblEntry *rte, const SoftColumns *columns);
static List *SetMarkingTargets(List *targets, const SoftColumns *columns);
static bool IsBook(const SoftColumns *columns, AttrNumber number);

void
DeletePlanInitialize(void)
{
	previousPlanner = planner_hook;
	planner_hook = PlanStatement;
	/* what this session has planned before, it plans anew */
	if (IsUnderPostmaster && IsTransactionState())
		ResetPlanCache();
}

static void
AssignHardDelete(bool value, void *extra)
{
	if (value != hardDelete)
		ResetPlanCache();
}

void
HardDeleteDefineSetting(void)
{
	/* for the owner of the tables who must really take rows away, and knows what hangs on them */
	DefineCustomBoolVariable("photoflow.hard_delete",
							 "Whether DELETE and TRUNCATE by the owner of the data tables really delete.", NULL,
							 &hardDelete, false, PGC_USERSET, 0, NULL, AssignHardDelete, NULL);
}

/* The setting is anybody's to set: it counts for a session that is the owner's, not for a function of the owner's alone. */
bool
HardDeleteAllowed(void)
{
	return hardDelete && ContextIsOwner() && RelationIsOwnedBy(InstallationGet()->albums, GetOuterUserId());
}

/* Return what was done to a plan. */
int
DeletePlanMarks(PlannedStmt *plan)
{
	ListCell   *cell;

	foreach(cell, plan->invalItems)
	{
		PlanInvalItem *item = lfirst(cell);

		if (item->cacheId == MARK_CACHE && (item->hashValue & 0xFFFF0000) == MARK_VALUE)
			return (int) (item->hashValue & 0xFFFF);
	}
	return DELETE_PLAN_NONE;
}

static PlannedStmt *
PlanStatement(Query *query, const char *text, int cursorOptions, ParamListInfo params)
{
	int			marks = DELETE_PLAN_NONE;
	PlannedStmt *plan;

	/* what rules add to a statement of ours comes here as well */
	if (query->canSetTag && StoreTakeQuiet())
		marks = DELETE_PLAN_QUIET;
	else if (query->commandType == CMD_UPDATE || query->commandType == CMD_DELETE || query->commandType == CMD_MERGE ||
			 query->hasModifyingCTE)
		marks = TurnStatement(query, text);
	plan = previousPlanner ? previousPlanner(query, text, cursorOptions, params) :
		standard_planner(query, text, cursorOptions, params);
	if (marks != DELETE_PLAN_NONE)
	{
		PlanInvalItem *item = makeNode(PlanInvalItem);

		item->cacheId = MARK_CACHE;
		item->hashValue = MARK_VALUE | (uint32) marks;
		plan->invalItems = lappend(plan->invalItems, item);
	}
	return plan;
}

/* Turn a statement and those in its WITH; return the marks of its plan. */
static int
TurnStatement(Query *query, const char *text)
{
	int			marks = DELETE_PLAN_NONE;
	ListCell   *cell;
	RangeTblEntry *rte = query->resultRelation > 0 ? rt_fetch(query->resultRelation, query->rtable) : NULL;
	SoftColumns columns;

	foreach(cell, query->cteList)
	{
		CommonTableExpr *cte = lfirst(cell);

		if (IsA(cte->ctequery, Query) && castNode(Query, cte->ctequery)->commandType != CMD_SELECT)
			(void) TurnStatement(castNode(Query, cte->ctequery), text);
	}
	if (rte == NULL || query->commandType == CMD_INSERT || !FindTable(rte, &columns))
		return DELETE_PLAN_NONE;
	if (IsForeignKeys(text) && query->commandType == CMD_DELETE)
		return DELETE_PLAN_NONE;	/* and refused: the rows would hang on nothing */
	switch (query->commandType)
	{
		case CMD_DELETE:
			if (HardDeleteAllowed())
				break;
			TurnDelete(query, &columns);
			marks = DELETE_PLAN_MARKS | DELETE_PLAN_TURNED;
			break;
		case CMD_UPDATE:
			marks = TurnUpdate(query, rte, &columns, IsForeignKeys(text));
			break;
		default:
			TurnMerge(query, &columns);
			break;
	}
	/* with several statements in one plan it is not said which of them was done what to: its triggers stay on */
	return query->hasModifyingCTE ? marks & DELETE_PLAN_TURNED : marks;
}

/*
 * Say whether a statement is the action of a foreign key, as ri_triggers.c writes it: UPDATE ONLY "s"."t" SET .. WHERE $1
 * OPERATOR(pg_catalog.=) "c", without ONLY for a partitioned table. The statements of triggers that the action fires run
 * in the same security context, and are users'.
 */
static bool
IsForeignKeys(const char *text)
{
	return InNoForceRLSOperation() && text && (strncmp(text, "UPDATE ", 7) == 0 || strncmp(text, "DELETE FROM ", 12) == 0) &&
		strstr(text, " WHERE $") && strstr(text, " OPERATOR(pg_catalog.=) \"");
}

/* As TriggerEnabled() has it. */
static bool
TriggerIsOn(const Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* Say whether rows of this table are deleted softly, and find its columns. The statement has locked it. */
static bool
FindTable(const RangeTblEntry *rte, SoftColumns *columns)
{
	const DeleteFunctions *functions = DeleteFunctionsFind();
	Relation	relation;
	bool		found = false;

	if (functions == NULL || rte->rtekind != RTE_RELATION ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_PARTITIONED_TABLE))
		return false;
	relation = table_open(rte->relid, NoLock);
	for (int i = 0; relation->trigdesc && i < relation->trigdesc->numtriggers && !found; i++)
		found = relation->trigdesc->triggers[i].tgfoid == functions->markDeletion &&
			TriggerIsOn(&relation->trigdesc->triggers[i]);
	if (found)
	{
		SoftColumnsFind(relation, "OrgId", columns);
		found = columns->id > 0 && columns->isDeleted > 0 && columns->deletedAt > 0 && columns->deletedBy > 0 &&
			columns->deletionId > 0;
	}
	table_close(relation, NoLock);
	return found;
}

static TargetEntry *
CallTarget(AttrNumber number, const char *name, Oid function, Oid type)
{
	FuncExpr   *call = makeFuncExpr(function, type, NIL, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

	return makeTargetEntry((Expr *) call, number, pstrdup(name), false);
}

/* Make the assignments that mark a row. */
static List *
MarkingTargets(const SoftColumns *columns)
{
	const DeleteFunctions *functions = DeleteFunctionsFind();

	return list_make4(makeTargetEntry((Expr *) makeBoolConst(true, false), columns->isDeleted, pstrdup("IsDeleted"), false),
					  CallTarget(columns->deletedAt, "DeletedAt", functions->deletionTime, TIMESTAMPTZOID),
					  CallTarget(columns->deletedBy, "DeletedBy", functions->currentUserId, UUIDOID),
					  CallTarget(columns->deletionId, "DeletionId", functions->deletionId, UUIDOID));
}

/* Return: qual AND NOT "IsDeleted". */
static Node *
OnlyLive(Query *query, const SoftColumns *columns, Node *qual)
{
	Var		   *flag = makeVar(query->resultRelation, columns->isDeleted, BOOLOID, -1, InvalidOid, 0);

	return make_and_qual(qual, (Node *) makeBoolExpr(NOT_EXPR, list_make1(flag), -1));
}

static void
TurnDelete(Query *query, const SoftColumns *columns)
{
	query->commandType = CMD_UPDATE;
	query->targetList = MarkingTargets(columns);
	query->jointree->quals = OnlyLive(query, columns, query->jointree->quals);
	NameMarkingColumns(query, columns);
}

/* Let triggers ON UPDATE OF these columns fire; no privilege to update them is asked for, only that to delete. */
static void
NameMarkingColumns(Query *query, const SoftColumns *columns)
{
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);

	AddUpdatedColumn(query, rte, columns->isDeleted);
	AddUpdatedColumn(query, rte, columns->deletedAt);
	AddUpdatedColumn(query, rte, columns->deletedBy);
	AddUpdatedColumn(query, rte, columns->deletionId);
}

/*
 * Say whether policies of a user's stand on a table: those for DELETE would not be asked of an action of MERGE that is an
 * UPDATE, so that it is refused instead.
 */
static bool
HasOtherPolicies(Oid relid)
{
	Relation	relation = table_open(relid, NoLock);
	bool		has = relation->rd_rsdesc && list_length(relation->rd_rsdesc->policies) > 1;

	table_close(relation, NoLock);
	return has;
}

static void
TurnMerge(Query *query, const SoftColumns *columns)
{
	ListCell   *cell;

	foreach(cell, query->mergeActionList)
	{
		MergeAction *action = lfirst(cell);

		if (action->commandType != CMD_DELETE || HardDeleteAllowed() || HasOtherPolicies(columns->relation))
			continue;
		/* no column is named as updated: where the MERGE also updates, the privilege to update it would be asked for */
		action->commandType = CMD_UPDATE;
		action->targetList = MarkingTargets(columns);
		action->qual = OnlyLive(query, columns, action->qual);
	}
}

/* Say whether a column is the database's to write. */
static bool
IsBook(const SoftColumns *columns, AttrNumber number)
{
	return number == columns->deletedAt || number == columns->deletedBy || number == columns->deletionId;
}

static int
TurnUpdate(Query *query, const RangeTblEntry *rte, const SoftColumns *columns, bool foreignKeys)
{
	bool		touches = false;
	bool		marks = false;
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *target = lfirst(cell);

		if (target->resjunk)
			continue;
		if (target->resno == columns->isDeleted)
		{
			Const	   *value = (Const *) target->expr;

			touches = true;
			marks = IsA(value, Const) && !value->constisnull && DatumGetBool(value->constvalue);
		}
		touches = touches || IsBook(columns, target->resno);
	}
	if (marks)
	{
		query->targetList = SetMarkingTargets(query->targetList, columns);
		query->jointree->quals = OnlyLive(query, columns, query->jointree->quals);
		return DELETE_PLAN_MARKS;
	}
	/* partitions have triggers of their own, which are left to look */
	if (touches || rte->relkind != RELKIND_RELATION)
		return DELETE_PLAN_NONE;
	if (!foreignKeys)			/* which may set columns of marked rows */
		RequireLive(query, rte, columns);
	return DELETE_PLAN_CHECKED;
}

/* Replace what the statement assigns to the flag and to what goes with it; what is not stored comes last. */
static List *
SetMarkingTargets(List *targets, const SoftColumns *columns)
{
	List	   *kept = NIL;
	List	   *unstored = NIL;
	ListCell   *cell;

	foreach(cell, targets)
	{
		TargetEntry *target = lfirst(cell);

		if (target->resjunk)
			unstored = lappend(unstored, target);
		else if (target->resno != columns->isDeleted && !IsBook(columns, target->resno))
			kept = lappend(kept, target);
	}
	return list_concat(list_concat(kept, MarkingTargets(columns)), unstored);
}

/* Add: photoflow.require_live("IsDeleted", table, "Id"), not stored. */
static void
RequireLive(Query *query, const RangeTblEntry *rte, const SoftColumns *columns)
{
	int			relation = query->resultRelation;
	List	   *args = list_make3(makeVar(relation, columns->isDeleted, BOOLOID, -1, InvalidOid, 0),
								  makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(rte->relid), false, true),
								  makeVar(relation, columns->id, UUIDOID, -1, InvalidOid, 0));
	FuncExpr   *call = makeFuncExpr(DeleteFunctionsFind()->requireLive, BOOLOID, args, InvalidOid, InvalidOid,
									COERCE_EXPLICIT_CALL);

	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) call, list_length(query->targetList) + 1, pstrdup("live"), true));
}
