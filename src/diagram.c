/*
 * diagram.c: draws a workflow for Mermaid and Graphviz.
 *
 * With an album, its state is highlighted and the edges it has taken are marked. Names may hold anything: Mermaid
 * gets an alias for each that is not a plain identifier, Graphviz gets all of them quoted.
 */
#include "photoflow.h"

#include <ctype.h>

#include "utils/builtins.h"

#include "refusal.h"
#include "store.h"
#include "workflow.h"

typedef struct Drawing
{
	const Machine *machine;
	int			current;		/* state of the album, or MACHINE_NONE */
	bool	   *taken;			/* parallel to the machine's edges */
	StringInfoData text;
} Drawing;

static void MarkTaken(Drawing *drawing, const Album *album);
static void AppendQuoted(StringInfo text, const char *label, const char *special);
static void AppendMermaidId(Drawing *drawing, int state);
static void DrawMermaid(Drawing *drawing);
static void AppendDotId(Drawing *drawing, int state);
static void DrawDot(Drawing *drawing);

/* Mark the edges in the album's history. */
static void
MarkTaken(Drawing *drawing, const Album *album)
{
	const Machine *machine = drawing->machine;
	Datum		keys[2] = {UUIDPGetDatum(&album->org), UUIDPGetDatum(&album->id)};

	StoreBegin();
	StoreRun(PLAN_HISTORY_READ, keys, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int			from = MachineStateByValue(machine, StoreInt(row, 2));
		int			trigger = MachineTriggerByName(machine, StoreCString(row, 3));
		const MachineEdge *edge;

		if (StoreInt(row, 11) == machine->version &&
			MachineDecide(machine, from, trigger, MACHINE_ALL_ROLES, &edge) == MACHINE_PERMITTED)
			drawing->taken[edge - machine->edges] = true;
	}
	StoreEnd();
}

/* Append a label, each special character as Mermaid's and HTML's numeric entity or behind a backslash. */
static void
AppendQuoted(StringInfo text, const char *label, const char *special)
{
	bool		entities = *special == '#';

	for (const char *c = label; *c; c++)
	{
		if ((unsigned char) *c < ' ')
			appendStringInfoChar(text, ' ');
		else if (strchr(special, *c) && entities)
			appendStringInfo(text, "#%d;", *c);
		else if (strchr(special, *c))
			appendStringInfo(text, "\\%c", *c);
		else
			appendStringInfoChar(text, *c);
	}
}

/* Append what Mermaid calls a state: its name, or s<number> where the name would not do. */
static void
AppendMermaidId(Drawing *drawing, int state)
{
	static const char *const reserved[] = {"end", "state", "note", "class", "classdef", "direction", "default", "style",
	"click", "as", "fork", "join", "choice"};
	const char *name = drawing->machine->states[state].name;
	bool		plain = isalpha((unsigned char) *name) && strlen(name) == strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
																				 "abcdefghijklmnopqrstuvwxyz0123456789");

	for (size_t i = 0; i < lengthof(reserved); i++)
		plain = plain && pg_strcasecmp(name, reserved[i]) != 0;
	/* s1, s2... are for those without a plain name */
	if (plain && !(name[0] == 's' && strspn(name + 1, "0123456789") == strlen(name + 1)))
		appendStringInfoString(&drawing->text, name);
	else
		appendStringInfo(&drawing->text, "s%d", state);
}

static void
DrawMermaid(Drawing *drawing)
{
	const Machine *machine = drawing->machine;
	StringInfo	text = &drawing->text;

	appendStringInfoString(text, "stateDiagram-v2\n");
	for (int i = 0; i < machine->nstates; i++)
	{
		appendStringInfoString(text, "    state \"");
		AppendQuoted(text, machine->states[i].name, "#\";:<>");
		appendStringInfoString(text, "\" as ");
		AppendMermaidId(drawing, i);
		appendStringInfoChar(text, '\n');
	}
	appendStringInfoString(text, "    [*] --> ");
	AppendMermaidId(drawing, machine->initial);
	for (int i = 0; i < machine->nedges; i++)
	{
		const MachineEdge *edge = &machine->edges[i];

		appendStringInfoString(text, "\n    ");
		AppendMermaidId(drawing, edge->from);
		appendStringInfoString(text, " --> ");
		AppendMermaidId(drawing, edge->to);
		appendStringInfoString(text, " : ");
		AppendQuoted(text, machine->triggers[edge->trigger], "#\";:<>");
		appendStringInfo(text, "%s%s", edge->nguards > 0 ? " [guarded]" : "", drawing->taken[i] ? " (taken)" : "");
	}
	for (int i = 0; i < machine->nstates; i++)
		if (MachineIsFinal(machine, i))
		{
			appendStringInfoString(text, "\n    ");
			AppendMermaidId(drawing, i);
			appendStringInfoString(text, " --> [*]");
		}
	if (drawing->current != MACHINE_NONE)
	{
		appendStringInfoString(text, "\n    classDef current fill:#f9a825,stroke:#333,font-weight:bold\n    class ");
		AppendMermaidId(drawing, drawing->current);
		appendStringInfoString(text, " current");
	}
	appendStringInfoChar(text, '\n');
}

static void
AppendDotId(Drawing *drawing, int state)
{
	appendStringInfoChar(&drawing->text, '"');
	AppendQuoted(&drawing->text, drawing->machine->states[state].name, "\"\\");
	appendStringInfoChar(&drawing->text, '"');
}

static void
DrawDot(Drawing *drawing)
{
	const Machine *machine = drawing->machine;
	StringInfo	text = &drawing->text;

	appendStringInfoString(text, "digraph workflow {\n    rankdir=LR;\n    node [shape=box, style=rounded];\n"
						   "    \"\" [shape=point];\n");
	for (int i = 0; i < machine->nstates; i++)
	{
		appendStringInfoString(text, "    ");
		AppendDotId(drawing, i);
		appendStringInfo(text, "%s;\n",
						 i == drawing->current ? " [style=\"rounded,filled,bold\", fillcolor=\"#f9a825\"]" : "");
	}
	appendStringInfoString(text, "    \"\" -> ");
	AppendDotId(drawing, machine->initial);
	appendStringInfoString(text, ";\n");
	for (int i = 0; i < machine->nedges; i++)
	{
		const MachineEdge *edge = &machine->edges[i];

		appendStringInfoString(text, "    ");
		AppendDotId(drawing, edge->from);
		appendStringInfoString(text, " -> ");
		AppendDotId(drawing, edge->to);
		appendStringInfoString(text, " [label=\"");
		AppendQuoted(text, machine->triggers[edge->trigger], "\"\\");
		appendStringInfo(text, "%s\"%s];\n", edge->nguards > 0 ? " [guarded]" : "",
						 drawing->taken[i] ? ", penwidth=3, color=\"#2e7d32\"" : "");
	}
	appendStringInfoString(text, "}\n");
}

PHOTOFLOW_FUNCTION(photoflow_state_diagram)
{
	char	   *format = PG_ARGISNULL(0) ? "mermaid" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	Drawing		drawing = {.current = MACHINE_NONE};
	Album		album;

	if (strcmp(format, "mermaid") != 0 && strcmp(format, "dot") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be \"%s\"", "format", format),
				 errhint("It is mermaid or dot.")));
	if (!PG_ARGISNULL(1) && !AlbumRead(PG_GETARG_UUID_P(1), false, &album))
		RefusalRaise(RefuseNotFound(PG_GETARG_UUID_P(1)));
	drawing.machine = WorkflowMachine(PG_ARGISNULL(1) ? WorkflowCurrentVersion() : album.version);
	drawing.taken = palloc0(sizeof(bool) * drawing.machine->nedges);
	if (!PG_ARGISNULL(1))
	{
		drawing.current = MachineStateByValue(drawing.machine, album.state);
		MarkTaken(&drawing, &album);
	}
	initStringInfo(&drawing.text);
	if (strcmp(format, "dot") == 0)
		DrawDot(&drawing);
	else
		DrawMermaid(&drawing);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(drawing.text.data, drawing.text.len));
}
