/*
 * workflow.h: workflow versions as compiled machines.
 */
#ifndef PHOTOFLOW_WORKFLOW_H
#define PHOTOFLOW_WORKFLOW_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "machine.h"

/* A machine, once compiled, is never freed: pointers to it are good for the session. */
extern const Machine *WorkflowMachine(int version);	/* raises 22023 when there is none */
extern int	WorkflowCurrentVersion(void);
extern uint64 WorkflowRoles(const Machine *machine);	/* what the context's role may do */
extern Datum WorkflowDefinition(int version);	/* jsonb, in the current memory context */
extern const char *WorkflowStateName(const Machine *machine, int value);
extern void WorkflowInitialize(void);
extern char *WorkflowProblemsJson(List *problems);

/* what "AlbumTransitions"."Trigger" holds where no trigger of the definition was fired */
#define TRIGGER_ROLLBACK "rollback"
#define TRIGGER_MIGRATE "migrate"
#define TRIGGER_UNKNOWN "update"

/* definition.c: JSON -> machine; problems is a list of C strings, NIL when the definition is sound */
extern Machine *DefinitionCompile(Jsonb *definition, int version, List **problems);

#endif
