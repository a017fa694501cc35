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

/* in a query: name and bounds of the month that begins at m, a timestamp in UTC */
#define AUDIT_MONTH_COLUMNS \
	"'AuditLogs_' || to_char(m, 'YYYYMM'), to_char(m, 'YYYY-MM-DD') || ' 00:00:00+00'," \
	" to_char(m + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00'"

/* and of the partition c in pg_class; NULL of the default partition. TimeZone and DateStyle must be those of writing: UTC and ISO */
#define AUDIT_BOUND(which) "substring(pg_get_expr(c.relpartbound, c.oid) FROM $$" which " \\('([^']+)'\\)$$)::timestamptz"

/* between StoreBegin() and StoreEnd(), within EnterSteps(), in the name of the tables' owner */
extern Oid	FindAuditLogs(const StepTarget *target);
extern int	MakeAuditPartitions(const StepTarget *target, int months);

#endif
