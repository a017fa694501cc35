/*
 * enforce.h: the machine's rules for a plain UPDATE.
 */
#ifndef PHOTOFLOW_ENFORCE_H
#define PHOTOFLOW_ENFORCE_H

#include "album.h"
#include "machine.h"

extern void EnforceRow(const Album *before, const Album *after);
extern const MachineEdge *EnforceEdge(const Machine *machine, const Album *before, int to);

#endif
