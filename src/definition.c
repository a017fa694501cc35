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

#include "utils/builtins.h"
#include "utils/numeric.h"

typedef struct Reader
{
	Machine    *machine;
	JsonbContainer *policies;	/* NULL when there are none */
	List	  **problems;
} Reader;

typedef void (*ElementReader) (Reader *reader, int index, JsonbContainer *element);

static void AddProblem(Reader *reader, const char *format, ...) pg_attribute_printf(2, 3);
static JsonbContainer *Member(JsonbContainer *object, const char *key, bool isArray);
static const char *TextMember(Reader *reader, JsonbContainer *object, const char *key, const char *where, bool required);
static bool IntMember(JsonbContainer *object, const char *key, int *result);
static bool BoolMember(Reader *reader, JsonbContainer *object, const char *key, const char *where);
static int	ReadArray(Reader *reader, JsonbContainer *root, const char *key, bool required, int limit,
					  ElementReader read);
static void CheckKeys(Reader *reader, JsonbContainer *object, const char *where, const char *known);
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

static void
AddProblem(Reader *reader, const char *format, ...)
{
	StringInfoData text;
	int			needed = 0;

	initStringInfo(&text);
	do
	{
		va_list		args;

		if (needed > 0)
			enlargeStringInfo(&text, needed);
		va_start(args, format);
		needed = appendStringInfoVA(&text, format, args);
		va_end(args);
	} while (needed != 0);
	*reader->problems = lappend(*reader->problems, text.data);
}

/* Return the object or array that a key holds, or NULL. */
static JsonbContainer *
Member(JsonbContainer *object, const char *key, bool isArray)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL || value.type != jbvBinary ||
		JsonContainerIsArray(value.val.binary.data) != isArray)
		return NULL;
	return value.val.binary.data;
}

static const char *
TextMember(Reader *reader, JsonbContainer *object, const char *key, const char *where, bool required)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL)
	{
		if (required)
			AddProblem(reader, "%s has no \"%s\"", where, key);
		return NULL;
	}
	if (value.type != jbvString || value.val.string.len == 0 || value.val.string.len > 255)
	{
		AddProblem(reader, "\"%s\" of %s is not a string of 1 to 255 bytes", key, where);
		return NULL;
	}
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static bool
IntMember(JsonbContainer *object, const char *key, int *result)
{
	JsonbValue	value;
	char	   *text;
	char	   *end;
	long		number;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL || value.type != jbvNumeric)
		return false;
	text = numeric_normalize(value.val.numeric);
	errno = 0;
	number = strtol(text, &end, 10);
	if (*end != '\0' || errno != 0 || number < PG_INT32_MIN || number > PG_INT32_MAX)
		return false;
	*result = (int) number;
	return true;
}

static bool
BoolMember(Reader *reader, JsonbContainer *object, const char *key, const char *where)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL)
		return false;
	if (value.type != jbvBool)
		AddProblem(reader, "\"%s\" of %s is not true or false", key, where);
	return value.type == jbvBool && value.val.boolean;
}

/* Read every element of an array of objects; return how many there are. */
static int
ReadArray(Reader *reader, JsonbContainer *root, const char *key, bool required, int limit, ElementReader read)
{
	JsonbContainer *array = Member(root, key, true);
	int			count = array ? JsonContainerSize(array) : 0;

	if (count == 0)
	{
		if (required)
			AddProblem(reader, "\"%s\" is not an array with elements", key);
		return 0;
	}
	if (count > limit)
	{
		AddProblem(reader, "\"%s\" has more than %d elements", key, limit);
		return 0;
	}
	for (int i = 0; i < count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);

		if (element->type == jbvBinary && JsonContainerIsObject(element->val.binary.data))
			read(reader, i, element->val.binary.data);
		else
			AddProblem(reader, "%s[%d] is not an object", key, i);
	}
	return count;
}

/* Complain about keys that are not in the comma-separated list: they are typing errors. */
static void
CheckKeys(Reader *reader, JsonbContainer *object, const char *where, const char *known)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = psprintf(",%.*s,", value.val.string.len, value.val.string.val);
		if (strstr(known, key) == NULL)
			AddProblem(reader, "%s has an unknown key \"%.*s\"", where, value.val.string.len, value.val.string.val);
	}
}

static void
ReadState(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	MachineState *state = &machine->states[index];
	char	   *where = psprintf("states[%d]", index);

	CheckKeys(reader, element, where, ",name,value,initial,rating,description,");
	state->name = TextMember(reader, element, "name", where, true);
	if (state->name == NULL)
		state->name = where;	/* so that later messages can name it */
	if (!IntMember(element, "value", &state->value))
		AddProblem(reader, "\"value\" of %s is not an integer", where);
	state->description = TextMember(reader, element, "description", where, false);
	state->rating = BoolMember(reader, element, "rating", where);
	if (MachineStateByName(machine, state->name) != MACHINE_NONE)
		AddProblem(reader, "state \"%s\" is defined twice", state->name);
	for (int i = 0; i < index; i++)
		if (machine->states[i].value == state->value)
			AddProblem(reader, "states \"%s\" and \"%s\" have the same value %d", machine->states[i].name, state->name,
					   state->value);
	if (BoolMember(reader, element, "initial", where))
	{
		if (machine->initial != MACHINE_NONE)
			AddProblem(reader, "states \"%s\" and \"%s\" are both initial", machine->states[machine->initial].name,
					   state->name);
		machine->initial = index;
	}
	machine->nstates = index + 1;
}

static void
ReadTag(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	MachineTag *tag = &machine->tags[index];
	char	   *where = psprintf("tags[%d]", index);

	CheckKeys(reader, element, where, ",name,value,");
	tag->name = TextMember(reader, element, "name", where, true);
	if (tag->name == NULL)
		tag->name = where;
	if (!IntMember(element, "value", &tag->value))
		AddProblem(reader, "\"value\" of %s is not an integer", where);
	if (MachineTagByName(machine, tag->name) != MACHINE_NONE || MachineTagName(machine, tag->value) != NULL)
		AddProblem(reader, "tag \"%s\" (%d) is defined twice", tag->name, tag->value);
	machine->ntags = index + 1;
}

/* Return the bits of the roles in a list, adding those that are new to the machine. */
static uint64_t
ReadRoles(Reader *reader, JsonbContainer *list, const char *where)
{
	Machine    *machine = reader->machine;
	uint64_t	mask = 0;

	for (int i = 0; i < JsonContainerSize(list); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(list, i);
		char	   *name;
		int			role = 0;

		if (value->type != jbvString || value->val.string.len == 0 ||
			memchr(value->val.string.val, ',', value->val.string.len) != NULL)
		{
			AddProblem(reader, "%s[%d] is not the name of a role (a string without a comma)", where, i);
			continue;
		}
		name = pnstrdup(value->val.string.val, value->val.string.len);
		while (role < machine->nroles && strcmp(machine->roles[role], name) != 0)
			role++;
		if (role == MACHINE_MAX_ROLES)
		{
			AddProblem(reader, "there are more than %d roles", MACHINE_MAX_ROLES);
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
	JsonbContainer *list = reader->policies ? Member(reader->policies, policy, true) : NULL;

	if (list == NULL || JsonContainerSize(list) == 0)
	{
		AddProblem(reader, "%s names a policy \"%s\" that is not defined, or has no role", where, policy);
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
		const char *name = TextMember(reader, element, keys[i], where, true);

		*ends[i] = name ? MachineStateByName(reader->machine, name) : MACHINE_NONE;
		if (name && *ends[i] == MACHINE_NONE)
			AddProblem(reader, "\"%s\" of %s is an unknown state \"%s\"", keys[i], where, name);
	}
}

static void
ReadGuards(Reader *reader, MachineEdge *edge, JsonbContainer *element, const char *where)
{
	JsonbContainer *guards = Member(element, "guards", true);
	JsonbValue	value;

	if (guards == NULL)
	{
		if (getKeyJsonValueFromContainer(element, "guards", strlen("guards"), &value) != NULL)
			AddProblem(reader, "\"guards\" of %s is not an array", where);
		return;
	}
	edge->guards = palloc(sizeof(char *) * Max(JsonContainerSize(guards), 1));
	for (int i = 0; i < JsonContainerSize(guards); i++)
	{
		JsonbValue *name = getIthJsonbValueFromContainer(guards, i);

		if (name->type == jbvString && memchr(name->val.string.val, '.', name->val.string.len) != NULL)
			edge->guards[edge->nguards++] = pnstrdup(name->val.string.val, name->val.string.len);
		else
			AddProblem(reader, "guards[%d] of %s is not the schema-qualified name of a function", i, where);
	}
}

static void
ReadEdge(Reader *reader, int index, JsonbContainer *element)
{
	Machine    *machine = reader->machine;
	MachineEdge *edge = &machine->edges[index];
	char	   *where = psprintf("transitions[%d]", index);
	const char *trigger = TextMember(reader, element, "trigger", where, true);
	const char *policy = TextMember(reader, element, "policy", where, true);
	const char *tag = TextMember(reader, element, "createTag", where, false);

	CheckKeys(reader, element, where, ",trigger,from,to,policy,guards,createTag,archive,");
	memset(edge, 0, sizeof(*edge));
	ReadEdgeStates(reader, edge, element, where);
	ReadGuards(reader, edge, element, where);
	edge->trigger = trigger ? AddTrigger(machine, trigger) : MACHINE_NONE;
	edge->roles = policy ? PolicyRoles(reader, policy, where) : 0;
	edge->createTag = tag ? MachineTagByName(machine, tag) : MACHINE_NONE;
	edge->archive = BoolMember(reader, element, "archive", where);
	if (trigger && (strcmp(trigger, TRIGGER_ROLLBACK) == 0 || strcmp(trigger, TRIGGER_MIGRATE) == 0))
		AddProblem(reader, "%s: \"%s\" is a reserved name of a trigger", where, trigger);
	if (trigger && edge->trigger == MACHINE_NONE)
		AddProblem(reader, "there are more than %d triggers", MACHINE_MAX_TRIGGERS);
	if (tag && edge->createTag == MACHINE_NONE)
		AddProblem(reader, "\"createTag\" of %s is an unknown tag \"%s\"", where, tag);
	for (int i = 0; i < index; i++)
		if (machine->edges[i].from == edge->from && machine->edges[i].trigger == edge->trigger &&
			edge->from != MACHINE_NONE && trigger)
			AddProblem(reader, "%s: trigger \"%s\" leaves state \"%s\" twice", where, trigger,
					   machine->states[edge->from].name);
	machine->nedges = index + 1;
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
			AddProblem(reader, "state \"%s\" cannot be reached from \"%s\"", machine->states[i].name,
					   machine->states[machine->initial].name);
}

/* Check what can only be seen once everything is read. */
static void
CheckWhole(Reader *reader)
{
	Machine    *machine = reader->machine;

	if (machine->nstates > 0 && machine->initial == MACHINE_NONE)
		AddProblem(reader, "no state is initial");
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
		AddProblem(&reader, "the definition is not an object");
		return machine;
	}
	machine->states = palloc0(sizeof(MachineState) * MACHINE_MAX_STATES);
	machine->tags = palloc0(sizeof(MachineTag) * MACHINE_MAX_STATES);
	machine->triggers = palloc0(sizeof(char *) * MACHINE_MAX_TRIGGERS);
	machine->roles = palloc0(sizeof(char *) * MACHINE_MAX_ROLES);
	machine->edges = palloc0(sizeof(MachineEdge) * MACHINE_MAX_EDGES);

	CheckKeys(&reader, root, "the definition", ",name,states,tags,policies,superRoles,transitions,");
	(void) TextMember(&reader, root, "name", "the definition", false);
	ReadArray(&reader, root, "states", true, MACHINE_MAX_STATES, ReadState);
	ReadArray(&reader, root, "tags", false, MACHINE_MAX_STATES, ReadTag);
	reader.policies = Member(root, "policies", false);
	superRoles = Member(root, "superRoles", true);
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
