/*
 * definition.c: reads a workflow definition (JSON) into a machine and says everything that is wrong with it.
 *
 * Words:
 * - A problem is a sentence about the definition; with one problem or more the machine is not to be used.
 * - A policy is a name for the roles that may fire.
 *
 * The machine and its strings live in the memory context that is current here.
 */
#include "workflow.h"

#include "member.h"

typedef struct Reader
{
	Machine    *machine;
	JsonbContainer *policies;	/* NULL when there are none */
	List	  **problems;
} Reader;

typedef void (*ElementReader) (Reader *reader, int index, JsonbContainer *element);

static int	ReadArray(Reader *reader, JsonbContainer *root, const char *key, bool required, int limit,
					  ElementReader read);
static void ReadState(Reader *reader, int index, JsonbContainer *element);
static void ReadTag(Reader *reader, int index, JsonbContainer *element);
static void ReadEdge(Reader *reader, int index, JsonbContainer *element);
static void ReadEdgeStates(Reader *reader, MachineEdge *edge, JsonbContainer *element, const char *where);
static void ReadGuards(Reader *reader, MachineEdge *edge, JsonbContainer *element, const char *where);
static uint64_t ReadRoles(Reader *reader, JsonbContainer *list, const char *where);
static uint64_t PolicyRoles(Reader *reader, const char *policy, const char *where);
static int	AddTrigger(Machine *machine, const char *name);
static void CheckWhole(Reader *reader);
static void CheckReachable(Reader *reader);

/* Read every element of an array of objects; return how many there are. */
static int
ReadArray(Reader *reader, JsonbContainer *root, const char *key, bool required, int limit, ElementReader read)
{
	JsonbContainer *array = MemberContainer(root, key, true);
	int			count = array ? JsonContainerSize(array) : 0;

	if (count == 0)
	{
		if (required)
			ProblemAdd(reader->problems, "\"%s\" is not an array with elements", key);
		return 0;
	}
	if (count > limit)
	{
		ProblemAdd(reader->problems, "\"%s\" has more than %d elements", key, limit);
		return 0;
	}
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element->type == jbvBinary && JsonContainerIsObject(element->val.binary.data))
			read(reader, i, element->val.binary.data);
		else
			ProblemAdd(reader->problems, "%s[%d] is not an object", key, i);
	}
	return count;
}

static void
ReadState(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	int			slot = machine->nstates;
	MachineState *state = &machine->states[slot];
	char	   *where = psprintf("states[%d]", index);

	MembersKnown(reader->problems, element, where, ",name,value,initial,rating,description,");
	state->name = MemberText(reader->problems, element, "name", where, true);
	if (state->name == NULL)
		state->name = where;	/* so that later messages can name it */
	if (!MemberInt(element, "value", &state->value))
		ProblemAdd(reader->problems, "\"value\" of %s is not an integer", where);
	state->description = MemberText(reader->problems, element, "description", where, false);
	state->rating = MemberBool(reader->problems, element, "rating", where);
	if (MachineStateByName(machine, state->name) != MACHINE_NONE)
		ProblemAdd(reader->problems, "state \"%s\" is defined twice", state->name);
	for (int i = 0; i < slot; i++)
		if (machine->states[i].value == state->value)
			ProblemAdd(reader->problems, "states \"%s\" and \"%s\" have the same value %d", machine->states[i].name, state->name,
					   state->value);
	if (MemberBool(reader->problems, element, "initial", where))
	{
		if (machine->initial != MACHINE_NONE)
			ProblemAdd(reader->problems, "states \"%s\" and \"%s\" are both initial", machine->states[machine->initial].name,
					   state->name);
		machine->initial = slot;
	}
	machine->nstates = slot + 1;
}

static void
ReadTag(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	MachineTag *tag = &machine->tags[machine->ntags];
	char	   *where = psprintf("tags[%d]", index);

	MembersKnown(reader->problems, element, where, ",name,value,");
	tag->name = MemberText(reader->problems, element, "name", where, true);
	if (tag->name == NULL)
		tag->name = where;
	if (!MemberInt(element, "value", &tag->value))
		ProblemAdd(reader->problems, "\"value\" of %s is not an integer", where);
	if (MachineTagByName(machine, tag->name) != MACHINE_NONE || MachineTagName(machine, tag->value) != NULL)
		ProblemAdd(reader->problems, "tag \"%s\" (%d) is defined twice", tag->name, tag->value);
	machine->ntags++;
}

/* Return the bits of the roles in a list, adding those that are new to the machine. */
static uint64_t
ReadRoles(Reader *reader, JsonbContainer *list, const char *where)
{
	Machine    *machine = reader->machine;
	uint64_t	mask = 0;

	for (int i = 0; i < (int) JsonContainerSize(list); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(list, i);
		char	   *name;
		int			role = 0;

		if (value->type != jbvString || value->val.string.len == 0 ||
			memchr(value->val.string.val, ',', value->val.string.len) != NULL)
		{
			ProblemAdd(reader->problems, "%s[%d] is not the name of a role (a string without a comma)", where, i);
			continue;
		}
		name = pnstrdup(value->val.string.val, value->val.string.len);
		while (role < machine->nroles && strcmp(machine->roles[role], name) != 0)
			role++;
		if (role == MACHINE_MAX_ROLES)
		{
			ProblemAdd(reader->problems, "there are more than %d roles", MACHINE_MAX_ROLES);
			return mask;
		}
		if (role == machine->nroles)
			machine->roles[machine->nroles++] = name;
		mask |= UINT64CONST(1) << role;
	}
	return mask;
}

static uint64_t
PolicyRoles(Reader *reader, const char *policy, const char *where)
{
	JsonbContainer *list = reader->policies ? MemberContainer(reader->policies, policy, true) : NULL;

	if (list == NULL || JsonContainerSize(list) == 0)
	{
		ProblemAdd(reader->problems, "%s names a policy \"%s\" that is not defined, or has no role", where, policy);
		return 0;
	}
	return ReadRoles(reader, list, psprintf("policies.%s", policy));
}

/* Return the index of a trigger, adding it when it is new. */
static int
AddTrigger(Machine *machine, const char *name)
{
	int			trigger = MachineTriggerByName(machine, name);

	if (trigger == MACHINE_NONE && machine->ntriggers < MACHINE_MAX_TRIGGERS)
	{
		trigger = machine->ntriggers++;
		machine->triggers[trigger] = name;
	}
	return trigger;
}

static void
ReadEdgeStates(Reader *reader, MachineEdge *edge, JsonbContainer *element, const char *where)
{
	const char *keys[] = {"from", "to"};
	int		   *ends[] = {&edge->from, &edge->to};

	for (int i = 0; i < 2; i++)
	{
		const char *name = MemberText(reader->problems, element, keys[i], where, true);

		*ends[i] = name ? MachineStateByName(reader->machine, name) : MACHINE_NONE;
		if (name && *ends[i] == MACHINE_NONE)
			ProblemAdd(reader->problems, "\"%s\" of %s is an unknown state \"%s\"", keys[i], where, name);
	}
}

static void
ReadGuards(Reader *reader, MachineEdge *edge, JsonbContainer *element, const char *where)
{
	JsonbContainer *guards = MemberContainer(element, "guards", true);
	JsonbValue	value;

	if (guards == NULL)
	{
		if (getKeyJsonValueFromContainer(element, "guards", strlen("guards"), &value) != NULL)
			ProblemAdd(reader->problems, "\"guards\" of %s is not an array", where);
		return;
	}
	edge->guards = palloc(sizeof(char *) * Max(JsonContainerSize(guards), 1));
	for (int i = 0; i < (int) JsonContainerSize(guards); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(guards, i);

		if (name->type == jbvString && memchr(name->val.string.val, '.', name->val.string.len) != NULL)
			edge->guards[edge->nguards++] = pnstrdup(name->val.string.val, name->val.string.len);
		else
			ProblemAdd(reader->problems, "guards[%d] of %s is not the schema-qualified name of a function", i, where);
	}
}

static void
ReadEdge(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	MachineEdge *edge = &machine->edges[machine->nedges];
	char	   *where = psprintf("transitions[%d]", index);
	const char *trigger = MemberText(reader->problems, element, "trigger", where, true);
	const char *policy = MemberText(reader->problems, element, "policy", where, true);
	const char *tag = MemberText(reader->problems, element, "createTag", where, false);

	MembersKnown(reader->problems, element, where, ",trigger,from,to,policy,guards,createTag,archive,");
	memset(edge, 0, sizeof(*edge));
	ReadEdgeStates(reader, edge, element, where);
	ReadGuards(reader, edge, element, where);
	edge->trigger = trigger ? AddTrigger(machine, trigger) : MACHINE_NONE;
	edge->roles = policy ? PolicyRoles(reader, policy, where) : 0;
	edge->createTag = tag ? MachineTagByName(machine, tag) : MACHINE_NONE;
	edge->archive = MemberBool(reader->problems, element, "archive", where);
	if (trigger && (strcmp(trigger, TRIGGER_ROLLBACK) == 0 || strcmp(trigger, TRIGGER_MIGRATE) == 0))
		ProblemAdd(reader->problems, "%s: \"%s\" is a reserved name of a trigger", where, trigger);
	if (trigger && edge->trigger == MACHINE_NONE)
		ProblemAdd(reader->problems, "there are more than %d triggers", MACHINE_MAX_TRIGGERS);
	if (tag && edge->createTag == MACHINE_NONE)
		ProblemAdd(reader->problems, "\"createTag\" of %s is an unknown tag \"%s\"", where, tag);
	for (int i = 0; i < machine->nedges; i++)
		if (machine->edges[i].from == edge->from && machine->edges[i].trigger == edge->trigger &&
			edge->from != MACHINE_NONE && trigger)
			ProblemAdd(reader->problems, "%s: trigger \"%s\" leaves state \"%s\" twice", where, trigger,
					   machine->states[edge->from].name);
	machine->nedges++;
}

static void
CheckReachable(Reader *reader)
{
	Machine    *machine = reader->machine;
	bool		reached[MACHINE_MAX_STATES];

	if (MachineReaches(machine, machine->initial, reached))
		return;
	for (int i = 0; i < machine->nstates; i++)
		if (!reached[i])
			ProblemAdd(reader->problems, "state \"%s\" cannot be reached from \"%s\"", machine->states[i].name,
					   machine->states[machine->initial].name);
}

/* Check what can only be seen once everything is read. */
static void
CheckWhole(Reader *reader)
{
	Machine    *machine = reader->machine;

	if (machine->nstates > 0 && machine->initial == MACHINE_NONE)
		ProblemAdd(reader->problems, "no state is initial");
	for (int i = 0; i < machine->nedges; i++)
		if (machine->edges[i].from == MACHINE_NONE || machine->edges[i].to == MACHINE_NONE)
			return;				/* already said; reachability would only repeat it */
	if (machine->initial != MACHINE_NONE)
		CheckReachable(reader);
}

/* Compile a definition; with problems the machine returned is incomplete. */
Machine *
DefinitionCompile(Jsonb *definition, int version, List **problems)
{
	Machine    *machine = palloc0(sizeof(Machine));
	JsonbContainer *root = &definition->root;
	Reader		reader = {machine, NULL, problems};
	JsonbContainer *superRoles;

	*problems = NIL;
	machine->version = version;
	machine->initial = MACHINE_NONE;
	if (!JsonContainerIsObject(root))
	{
		ProblemAdd(reader.problems, "the definition is not an object");
		return machine;
	}
	machine->states = palloc0(sizeof(MachineState) * MACHINE_MAX_STATES);
	machine->tags = palloc0(sizeof(MachineTag) * MACHINE_MAX_STATES);
	machine->triggers = palloc0(sizeof(char *) * MACHINE_MAX_TRIGGERS);
	machine->roles = palloc0(sizeof(char *) * MACHINE_MAX_ROLES);
	machine->edges = palloc0(sizeof(MachineEdge) * MACHINE_MAX_EDGES);

	MembersKnown(reader.problems, root, "the definition", ",name,states,tags,policies,superRoles,transitions,");
	(void) MemberText(reader.problems, root, "name", "the definition", false);
	ReadArray(&reader, root, "states", true, MACHINE_MAX_STATES, ReadState);
	ReadArray(&reader, root, "tags", false, MACHINE_MAX_STATES, ReadTag);
	reader.policies = MemberContainer(root, "policies", false);
	superRoles = MemberContainer(root, "superRoles", true);
	MembersShaped(problems, root);
	if (superRoles)
		machine->superRoles = ReadRoles(&reader, superRoles, "superRoles");
	ReadArray(&reader, root, "transitions", true, MACHINE_MAX_EDGES, ReadEdge);
	CheckWhole(&reader);
	if (*problems == NIL)
	{
		machine->byTrigger = palloc(sizeof(int16_t) * machine->nstates * machine->ntriggers);
		machine->byPair = palloc(sizeof(int16_t) * machine->nstates * machine->nstates);
		MachineIndex(machine);
	}
	return machine;
}
