/*
 * machine.h: the compiled form of one workflow version, and the questions it answers.
 *
 * No Datum, no SPI, no clock, no ereport: everything here can be tested with a bare C compiler.
 */
#ifndef PHOTOFLOW_MACHINE_H
#define PHOTOFLOW_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_MAX_STATES 256
#define MACHINE_MAX_TRIGGERS 256
#define MACHINE_MAX_EDGES 1024
#define MACHINE_MAX_ROLES 63		/* 64 bits together mean: all of them, and any other */
#define MACHINE_NONE (-1)
#define MACHINE_ALL_ROLES UINT64_MAX

typedef struct MachineState
{
	int			value;			/* what "Albums"."AlbumState" holds */
	const char *name;
	const char *description;	/* NULL when the definition has none */
	bool		rating;			/* photos may be voted on */
} MachineState;

typedef struct MachineTag
{
	int			value;			/* what "AlbumTags"."Type" holds */
	const char *name;
} MachineTag;

typedef struct MachineEdge
{
	int			from;			/* index into states */
	int			to;				/* index into states */
	int			trigger;		/* index into triggers */
	uint64_t	roles;			/* bit i: roles[i] may fire it */
	int			nguards;
	const char **guards;		/* function names as the definition spells them */
	int			createTag;		/* index into tags, or MACHINE_NONE */
	bool		archive;		/* entering sets "IsArchive" */
	int			nextOfPair;		/* next edge between the same two states, or MACHINE_NONE */
} MachineEdge;

typedef struct Machine
{
	int			version;
	int			initial;		/* index into states */
	int			nstates;
	MachineState *states;		/* ordered as in the definition */
	int			ntriggers;
	const char **triggers;
	int			ntags;
	MachineTag *tags;
	int			nroles;
	const char **roles;
	uint64_t	superRoles;		/* bits of the roles that may do anything */
	int			nedges;
	MachineEdge *edges;
	int16_t    *byTrigger;		/* [state * ntriggers + trigger] -> edge */
	int16_t    *byPair;			/* [from * nstates + to] -> first edge */
} Machine;

typedef enum MachineVerdict
{
	MACHINE_PERMITTED,
	MACHINE_NO_EDGE,
	MACHINE_WRONG_ROLE
} MachineVerdict;

extern void MachineIndex(Machine *machine);
extern int	MachineStateByValue(const Machine *machine, int value);
extern int	MachineStateByName(const Machine *machine, const char *name);
extern int	MachineTriggerByName(const Machine *machine, const char *name);
extern int	MachineTagByName(const Machine *machine, const char *name);
extern const char *MachineTagName(const Machine *machine, int value);
extern uint64_t MachineRoleMask(const Machine *machine, const char *roles);
extern MachineVerdict MachineDecide(const Machine *machine, int state, int trigger, uint64_t roles,
									const MachineEdge **edge);
extern MachineVerdict MachineDecidePair(const Machine *machine, int from, int to, uint64_t roles,
										const MachineEdge **edge);
extern bool MachineIsFinal(const Machine *machine, int state);
extern bool MachineReaches(const Machine *machine, int state, bool *reached);

#endif
