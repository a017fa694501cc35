/*
 * steps.h: the table steps of the extension beside what the data schema's history says of them.
 *
 * All of it runs between StoreBegin() and StoreEnd(), and in the memory context that is current.
 */
#ifndef PHOTOFLOW_STEPS_H
#define PHOTOFLOW_STEPS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#define STEP_TIME_NONE DT_NOBEGIN

typedef struct TableStep
{
	int			step;
	bool		known;			/* this version of the extension has it */
	char	   *version;
	char	   *kind;
	char	   *description;
	char	   *sql;			/* with the data schema filled in; NULL unless known */
	char	   *countSql;
	char	   *state;			/* as recorded; NULL when the history has no row */
	int64		rowsDone;
	int64		rowsTotal;		/* -1 when not counted */
	TimestampTz startedAt;
	TimestampTz finishedAt;
} TableStep;

/* Where the steps run, in whose name, and how they are refused. */
typedef struct StepTarget
{
	NameData	schema;
	Oid			schemaOid;
	Oid			history;		/* InvalidOid before create_tables() */
	Oid			owner;			/* new objects become this role's */
} StepTarget;

/* Saved by EnterSteps(), put back by LeaveSteps(); an error puts it back as well. */
typedef struct StepScope
{
	int			gucLevel;
	Oid			user;
	int			context;
} StepScope;

extern bool ReadDataSchema(NameData *schema);
extern StepTarget *FindTarget(const char *schema);
extern StepTarget *FindInstalledTarget(void);
extern void RequireTargetOwner(const StepTarget *target);
extern void EnterSteps(StepScope *scope, Oid user);
extern void SetInScope(const char *name, const char *value);
extern void LeaveSteps(const StepScope *scope);

extern List *LoadSteps(const StepTarget *target);
extern bool StepIsKind(const TableStep *step, const char *kind);
extern bool StepIsDone(const StepTarget *target, const TableStep *step);
extern bool StepIsReady(const StepTarget *target, const TableStep *step);
extern void CommentIndex(const StepTarget *target, const TableStep *step);
extern void RecordStep(const StepTarget *target, const TableStep *step, const char *state);
extern uint64 RunSteps(const char *text, int nargs, Oid *types, Datum *values);
extern void RunGenerated(const char *query, int nargs, Oid *types, Datum *values);
extern char *ExpandSchema(const char *text, const char *schema);

/* stepversion.c */
extern char *InstalledVersion(void);
extern int	CompareVersions(const char *a, const char *b);
extern void RequireKnownVersion(const char *version, const char *installed);
extern const char *TablesVersion(List *steps);
extern bool LockSteps(bool session, bool wait);
extern void UnlockSteps(void);
extern void RefuseNewerTables(List *steps, const char *version, const char *installed);

#endif
