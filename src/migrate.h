/*
 * migrate.h: one run of migrate(), shared by its two files.
 */
#ifndef PHOTOFLOW_MIGRATE_H
#define PHOTOFLOW_MIGRATE_H

#include "steps.h"

typedef struct Migration
{
	const char *toVersion;		/* NULL: the installed version */
	int			batchSize;
	int64		lockTimeout;	/* ms */
	int64		pause;			/* ms */
	StepTarget *target;
	List	   *steps;
	MemoryContext partContext;	/* emptied after each part */
	TimestampTz lastNotice;
	bool		finished;		/* the part that ran was the last of its step */
	int64		rows;			/* that it touched */
} Migration;

/* What one transaction does; run in the name of the tables' owner. */
typedef void (*StepPart) (Migration *migration, TableStep *step);

extern void StartStep(Migration *migration, TableStep *step);
extern void DoStep(Migration *migration, TableStep *step);
extern void DoBatch(Migration *migration, TableStep *step);
extern void CheckReady(Migration *migration, TableStep *step);
extern void CheckIndex(Migration *migration, TableStep *step);
extern void RunPart(Migration *migration, TableStep *step, StepPart part);
extern void WaitFor(int64 milliseconds);

/* an argument that is a time to wait, in ms */
extern int64 IntervalMilliseconds(const Interval *interval, const char *argument);

#endif
