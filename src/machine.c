/*
 * machine.c: decides; state x trigger x role -> edge.
 *
 * Words:
 * - A state is an index into the machine's states; its value is what the table stores.
 * - An edge leads from one state to another when its trigger is fired.
 * - A pair is two states, as a plain UPDATE names them: from and to, without a trigger.
 *
 * Pure: plain C over arrays. All memory belongs to whoever compiled the machine.
 */
#include "machine.h"

#include <ctype.h>
#include <string.h>

/* Fill the two look-up matrices, which the caller has allocated. */
void
MachineIndex(Machine *machine)
{
	memset(machine->byTrigger, 0xFF, sizeof(int16_t) * machine->nstates * machine->ntriggers);
	memset(machine->byPair, 0xFF, sizeof(int16_t) * machine->nstates * machine->nstates);
	for (int i = machine->nedges - 1; i >= 0; i--)
	{
		MachineEdge *edge = &machine->edges[i];
		int16_t    *first = &machine->byPair[edge->from * machine->nstates + edge->to];

		machine->byTrigger[edge->from * machine->ntriggers + edge->trigger] = (int16_t) i;
		edge->nextOfPair = *first;
		*first = (int16_t) i;
	}
}

/* Return the state that the table stores as value, or MACHINE_NONE. */
int
MachineStateByValue(const Machine *machine, int value)
{
	/* most definitions number their states 0, 1, 2... in order */
	if (value >= 0 && value < machine->nstates && machine->states[value].value == value)
		return value;
	for (int i = 0; i < machine->nstates; i++)
		if (machine->states[i].value == value)
			return i;
	return MACHINE_NONE;
}

int
MachineStateByName(const Machine *machine, const char *name)
{
	for (int i = 0; i < machine->nstates; i++)
		if (strcmp(machine->states[i].name, name) == 0)
			return i;
	return MACHINE_NONE;
}

int
MachineTriggerByName(const Machine *machine, const char *name)
{
	for (int i = 0; i < machine->ntriggers; i++)
		if (strcmp(machine->triggers[i], name) == 0)
			return i;
	return MACHINE_NONE;
}

int
MachineTagByName(const Machine *machine, const char *name)
{
	for (int i = 0; i < machine->ntags; i++)
		if (strcmp(machine->tags[i].name, name) == 0)
			return i;
	return MACHINE_NONE;
}

/* Return the name of the tag type that the table stores as value, or NULL. */
const char *
MachineTagName(const Machine *machine, int value)
{
	for (int i = 0; i < machine->ntags; i++)
		if (machine->tags[i].value == value)
			return machine->tags[i].name;
	return NULL;
}

/* Return the bits of the roles in a comma-separated list; a super role is all bits. */
uint64_t
MachineRoleMask(const Machine *machine, const char *roles)
{
	uint64_t	mask = 0;

	while (*roles)
	{
		size_t		len = strcspn(roles, ",");
		size_t		skip = len;

		while (len > 0 && isspace((unsigned char) *roles))
			roles++, len--, skip--;
		while (len > 0 && isspace((unsigned char) roles[len - 1]))
			len--;
		for (int i = 0; i < machine->nroles; i++)
			if (strlen(machine->roles[i]) == len && strncmp(machine->roles[i], roles, len) == 0)
				mask |= UINT64_C(1) << i;
		roles += skip;
		if (*roles == ',')
			roles++;
	}
	return (mask & machine->superRoles) ? MACHINE_ALL_ROLES : mask;
}

/* Decide whether the roles may fire the trigger in the state; edge is set whenever there is one. */
MachineVerdict
MachineDecide(const Machine *machine, int state, int trigger, uint64_t roles, const MachineEdge **edge)
{
	int			found = MACHINE_NONE;

	if (state != MACHINE_NONE && trigger != MACHINE_NONE)
		found = machine->byTrigger[state * machine->ntriggers + trigger];
	*edge = found == MACHINE_NONE ? NULL : &machine->edges[found];
	if (found == MACHINE_NONE)
		return MACHINE_NO_EDGE;
	return ((*edge)->roles & roles) || roles == MACHINE_ALL_ROLES ? MACHINE_PERMITTED : MACHINE_WRONG_ROLE;
}

/* The same for an UPDATE that names only the two states: the first edge that the roles may take. */
MachineVerdict
MachineDecidePair(const Machine *machine, int from, int to, uint64_t roles, const MachineEdge **edge)
{
	int			first;

	*edge = NULL;
	if (from == MACHINE_NONE || to == MACHINE_NONE)
		return MACHINE_NO_EDGE;
	first = machine->byPair[from * machine->nstates + to];
	if (first == MACHINE_NONE)
		return MACHINE_NO_EDGE;
	for (int i = first; i != MACHINE_NONE; i = machine->edges[i].nextOfPair)
	{
		*edge = &machine->edges[i];
		if (((*edge)->roles & roles) || roles == MACHINE_ALL_ROLES)
			return MACHINE_PERMITTED;
	}
	*edge = &machine->edges[first];
	return MACHINE_WRONG_ROLE;
}

/* Say whether no edge leaves the state. */
bool
MachineIsFinal(const Machine *machine, int state)
{
	for (int i = 0; i < machine->nedges; i++)
		if (machine->edges[i].from == state)
			return false;
	return true;
}

/* Mark every state that can be reached from the given one; return whether all are. */
bool
MachineReaches(const Machine *machine, int state, bool *reached)
{
	bool		grown = true;

	memset(reached, 0, sizeof(bool) * machine->nstates);
	reached[state] = true;
	while (grown)
	{
		grown = false;
		for (int i = 0; i < machine->nedges; i++)
			if (reached[machine->edges[i].from] && !reached[machine->edges[i].to])
				grown = reached[machine->edges[i].to] = true;
	}
	for (int i = 0; i < machine->nstates; i++)
		if (!reached[i])
			return false;
	return true;
}
