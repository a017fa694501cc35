/*
 * auditpartition.h: the monthly partitions of "AuditLogs".
 */
#ifndef PHOTOFLOW_AUDITPARTITION_H
#define PHOTOFLOW_AUDITPARTITION_H

#include "postgres.h"

#include "steps.h"

typedef struct AuditMonth
{
	char	   *partition;
	char	   *from;			/* as text, with its time zone */
	char	   *to;
} AuditMonth;

/* between StoreBegin() and StoreEnd(), within EnterSteps(), in the name of the tables' owner */
extern Oid	FindAuditLogs(const StepTarget *target);
extern int	MakeAuditPartitions(const StepTarget *target, int months);

#endif
