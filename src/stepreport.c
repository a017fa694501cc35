/*
 * stepreport.c: what migrate() would do, and how far it is.
 *
 * Both reports also work before create_tables(), when every step is pending.
 */
#include "photoflow.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "steps.h"
#include "store.h"

#define PLAN_COLUMNS 3
#define STATUS_COLUMNS 9
#define DEFAULT_SCHEMA "public"

static StepTarget *FindReportTarget(void);
static void ReturnStatus(ReturnSetInfo *result, const TableStep *step, bool done);
static Datum TimeOrNull(TimestampTz time, bool *isNull);

PHOTOFLOW_FUNCTION(photoflow_migration_plan)
{
	const char *toVersion = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	StepTarget *target;
	StepScope	scope;
	List	   *steps;
	char	   *installed;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	target = FindReportTarget();
	installed = InstalledVersion();
	if (toVersion == NULL)
		toVersion = installed;
	RequireKnownVersion(toVersion, installed);
	steps = LoadSteps(target);
	RefuseNewerTables(steps, toVersion, installed);
	foreach(cell, steps)
	{
		TableStep  *step = lfirst(cell);
		bool		nulls[PLAN_COLUMNS] = {false};
		Datum		values[PLAN_COLUMNS];

		if (!step->known || CompareVersions(step->version, toVersion) > 0 || StepIsDone(target, step))
			continue;
		values[0] = Int32GetDatum(step->step);
		values[1] = CStringGetTextDatum(step->kind);
		values[2] = CStringGetTextDatum(step->sql);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	LeaveSteps(&scope);
	StoreEnd();
	return (Datum) 0;
}

PHOTOFLOW_FUNCTION(photoflow_migration_steps)
{
	StepTarget *target;
	StepScope	scope;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	target = FindReportTarget();
	foreach(cell, LoadSteps(target))
	{
		TableStep  *step = lfirst(cell);

		ReturnStatus((ReturnSetInfo *) fcinfo->resultinfo, step, StepIsDone(target, step));
	}
	LeaveSteps(&scope);
	StoreEnd();
	return (Datum) 0;
}

static StepTarget *
FindReportTarget(void)
{
	NameData	schema;
	StepTarget *target;

	if (ReadDataSchema(&schema))
		return FindTarget(NameStr(schema));
	/* a history that create_tables() has not taken over yet says nothing about this database */
	target = palloc0(sizeof(StepTarget));
	namestrcpy(&target->schema, DEFAULT_SCHEMA);
	return target;
}

static void
ReturnStatus(ReturnSetInfo *result, const TableStep *step, bool done)
{
	bool		nulls[STATUS_COLUMNS] = {false};
	Datum		values[STATUS_COLUMNS];

	values[0] = Int32GetDatum(step->step);
	values[1] = CStringGetTextDatum(step->version);
	values[2] = CStringGetTextDatum(step->kind);
	values[3] = CStringGetTextDatum(step->description);
	values[4] = CStringGetTextDatum(done ? "done" : step->state ? step->state : "pending");
	values[5] = Int64GetDatum(step->rowsDone);
	values[6] = Int64GetDatum(step->rowsTotal);
	nulls[6] = step->rowsTotal < 0;
	values[7] = TimeOrNull(step->startedAt, &nulls[7]);
	values[8] = TimeOrNull(step->finishedAt, &nulls[8]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static Datum
TimeOrNull(TimestampTz time, bool *isNull)
{
	*isNull = time == STEP_TIME_NONE;
	return TimestampTzGetDatum(time);
}
