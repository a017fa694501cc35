/*
 * deleterun.h: what is known of the statement that runs.
 */
#ifndef PHOTOFLOW_DELETERUN_H
#define PHOTOFLOW_DELETERUN_H

#include "nodes/nodes.h"

#include "deletion.h"

/* On the stack of the executor's run; its deletion is made when the first row is marked. */
typedef struct DeleteFrame
{
	struct DeleteFrame *outer;
	const Deletion *deletion;
	CmdType		operation;		/* as it was planned */
} DeleteFrame;

extern DeleteFrame *DeleteFrameCurrent(void);

/* deletion.c */
extern const Deletion *DeletionTakeGiven(void);

#endif
