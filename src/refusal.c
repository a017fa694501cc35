/*
 * refusal.c: the words of every refusal of the machine: SQLSTATE, message, DETAIL as JSON, HINT.
 */
#include "photoflow.h"

#include "refusal.h"
#include "refusalcount.h"
#include "workflow.h"

static Refusal *MakeRefusal(int code, char *message, JsonText *detail, char *hint);
static char *TriggersOf(const Machine *machine, int state);
static char *RolesOf(const Machine *machine, const MachineEdge *edge, bool json);
static void BeginDetail(JsonText *detail, const Machine *machine, const Album *album);

static Refusal *
MakeRefusal(int code, char *message, JsonText *detail, char *hint)
{
	Refusal    *refusal = palloc(sizeof(Refusal));

	refusal->code = code;
	refusal->message = message;
	refusal->detail = JsonEnd(detail);
	refusal->hint = hint;
	return refusal;
}

void
RefusalRaise(const Refusal *refusal)
{
	ereport(ERROR,
			(errcode(refusal->code),
			 errmsg_internal("%s", refusal->message),
			 errdetail_internal("%s", refusal->detail),
			 errhint("%s", refusal->hint),
			 RefusalCounted()));
}

/* Name the triggers that leave a state, for a hint. */
static char *
TriggersOf(const Machine *machine, int state)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < machine->nedges; i++)
		if (machine->edges[i].from == state)
			appendStringInfo(&text, "%s%s (to %s)", text.len > 0 ? ", " : "", machine->triggers[machine->edges[i].trigger],
							 machine->states[machine->edges[i].to].name);
	return text.data;
}

/* Name the roles that may take an edge. */
static char *
RolesOf(const Machine *machine, const MachineEdge *edge, bool json)
{
	const char *names[MACHINE_MAX_ROLES];
	int			count = 0;
	StringInfoData text;

	for (int i = 0; i < machine->nroles; i++)
		if (edge->roles & (UINT64_C(1) << i))
			names[count++] = machine->roles[i];
	if (json)
		return JsonTextArray(names, count);
	initStringInfo(&text);
	for (int i = 0; i < count; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", names[i]);
	return text.data;
}

static void
BeginDetail(JsonText *detail, const Machine *machine, const Album *album)
{
	JsonBegin(detail);
	JsonAddText(detail, "entity", "Album");
	JsonAddUuid(detail, "id", &album->id);
	JsonAddText(detail, "from", WorkflowStateName(machine, album->state));
}

/* The same words whether the row is missing or another organization's. */
Refusal *
RefuseNotFound(const pg_uuid_t *album)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "Album");
	JsonAddUuid(&detail, "id", album);
	return MakeRefusal(ERRCODE_PF_NOT_FOUND, psprintf("album %s not found", UuidText(album)), &detail,
					   pstrdup("Check the id, and the organization you work for: SELECT photoflow.current_org()."));
}

Refusal *
RefuseDeleted(const pg_uuid_t *album)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "Album");
	JsonAddUuid(&detail, "id", album);
	return MakeRefusal(ERRCODE_PF_ROW_IS_DELETED, psprintf("album %s is deleted", UuidText(album)), &detail,
					   pstrdup("A deleted album does not change; restore it first."));
}

Refusal *
RefuseConflict(const Machine *machine, const Album *album, const char *expected)
{
	JsonText	detail;
	const char *actual = WorkflowStateName(machine, album->state);

	BeginDetail(&detail, machine, album);
	JsonAddText(&detail, "expected", expected);
	return MakeRefusal(ERRCODE_PF_STATE_CONFLICT,
					   psprintf("album is in state \"%s\", not in \"%s\"", actual, expected), &detail,
					   pstrdup("Somebody was faster: read the album again and decide anew."));
}

Refusal *
RefuseNoEdge(const Machine *machine, const Album *album, const char *trigger)
{
	JsonText	detail;
	char	   *leaving = TriggersOf(machine, MachineStateByValue(machine, album->state));

	BeginDetail(&detail, machine, album);
	JsonAddText(&detail, "trigger", trigger);
	return MakeRefusal(ERRCODE_PF_TRIGGER_NOT_PERMITTED,
					   psprintf("trigger \"%s\" is not permitted in state \"%s\"", trigger,
								WorkflowStateName(machine, album->state)),
					   &detail,
					   *leaving ? psprintf("Triggers that leave this state: %s.", leaving) :
					   pstrdup("No trigger leaves this state."));
}

Refusal *
RefuseRole(const Machine *machine, const Album *album, const MachineEdge *edge)
{
	JsonText	detail;
	const char *role = ContextRoleText();

	BeginDetail(&detail, machine, album);
	JsonAddText(&detail, "trigger", machine->triggers[edge->trigger]);
	JsonAddText(&detail, "to", machine->states[edge->to].name);
	JsonAddText(&detail, "role", role);
	JsonAddRaw(&detail, "requiredRoles", RolesOf(machine, edge, true));
	return MakeRefusal(ERRCODE_PF_ROLE_NOT_ALLOWED,
					   role ? psprintf("role \"%s\" may not fire trigger \"%s\" in state \"%s\"", role,
									   machine->triggers[edge->trigger], machine->states[edge->from].name) :
					   psprintf("without a role trigger \"%s\" may not be fired in state \"%s\"",
								machine->triggers[edge->trigger], machine->states[edge->from].name),
					   &detail,
					   psprintf("Roles that may: %s. The role comes from photoflow.set_context().",
								RolesOf(machine, edge, false)));
}

Refusal *
RefuseGuards(const Machine *machine, const Album *album, const MachineEdge *edge, List *unmet)
{
	JsonText	detail;

	BeginDetail(&detail, machine, album);
	JsonAddText(&detail, "trigger", machine->triggers[edge->trigger]);
	JsonAddText(&detail, "to", machine->states[edge->to].name);
	JsonAddText(&detail, "role", ContextRoleText());
	JsonAddRaw(&detail, "unmetGuards", GuardsJson(unmet));
	return MakeRefusal(ERRCODE_PF_GUARD_NOT_MET,
					   psprintf("guards of trigger \"%s\" in state \"%s\" are not met",
								machine->triggers[edge->trigger], machine->states[edge->from].name),
					   &detail, psprintf("What is missing: %s.", GuardsReasons(unmet)));
}

Refusal *
RefuseChange(const Machine *machine, const Album *album, int toValue)
{
	JsonText	detail;
	char	   *leaving = TriggersOf(machine, MachineStateByValue(machine, album->state));

	BeginDetail(&detail, machine, album);
	JsonAddText(&detail, "to", WorkflowStateName(machine, toValue));
	return MakeRefusal(ERRCODE_PF_ILLEGAL_STATE_CHANGE,
					   psprintf("album may not go from state \"%s\" to \"%s\"", WorkflowStateName(machine, album->state),
								WorkflowStateName(machine, toValue)),
					   &detail,
					   *leaving ? psprintf("Triggers that leave this state: %s. SELECT * FROM photoflow.permitted_triggers(id) "
										   "says who may fire them and when.", leaving) :
					   pstrdup("No trigger leaves this state."));
}

Refusal *
RefuseRollback(const pg_uuid_t *album, const char *why, const char *hint)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "Album");
	JsonAddUuid(&detail, "id", album);
	JsonAddText(&detail, "trigger", "rollback");
	return MakeRefusal(ERRCODE_PF_TRIGGER_NOT_PERMITTED, pstrdup(why), &detail, pstrdup(hint));
}
