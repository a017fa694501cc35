/*
 * maintain.h: one run of maintain(), shared by its two files.
 */
#ifndef PHOTOFLOW_MAINTAIN_H
#define PHOTOFLOW_MAINTAIN_H

#include "steps.h"

/* months are made so far ahead at most, and for rows so far from now */
#define MAINTAIN_MONTHS_MOST 120

typedef struct Maintenance
{
	int			months;			/* ahead of this one */
	int64		lockTimeout;	/* ms */
	MemoryContext memory;		/* emptied after each part */
	StepTarget *target;			/* of the part that runs */
	void		(*part) (struct Maintenance *);
	TimestampTz after;			/* the next month begins here */
	bool		finished;
	ErrorData  *failure;		/* the first */
} Maintenance;

/* What one transaction does; in the name of the tables' owner, past policies. */
extern void MoveMonth(Maintenance *run);
extern void MakeMonths(Maintenance *run);
extern void DropMonth(Maintenance *run);
extern void SummarizeMonths(Maintenance *run);
extern void FoldCounts(Maintenance *run);

#endif
