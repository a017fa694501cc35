/*
 * failurestate.c: the small machine of a failure record. Plain C over arrays: no Datum, no clock, no database.
 */
#include "failure.h"

static const char *const statusNames[FAILURE_STATUS_COUNT] = {"pending", "in progress", "resolved", "abandoned", "cancelled"};
static const char *const severityNames[FAILURE_SEVERITY_COUNT] = {"low", "medium", "high", "critical"};

/* to which status each may move: one bit each */
#define TO(status) (1 << FAILURE_ ## status)
static const int moves[FAILURE_STATUS_COUNT] = {
	[FAILURE_PENDING] = TO(IN_PROGRESS) | TO(RESOLVED) | TO(ABANDONED) | TO(CANCELLED),
	[FAILURE_IN_PROGRESS] = TO(PENDING) | TO(RESOLVED) | TO(ABANDONED) | TO(CANCELLED),
	[FAILURE_ABANDONED] = TO(PENDING) | TO(RESOLVED) | TO(CANCELLED),
	[FAILURE_CANCELLED] = TO(PENDING),
};

/* NULL for a number that is none. */
const char *
FailureStatusName(int status)
{
	return status >= 0 && status < FAILURE_STATUS_COUNT ? statusNames[status] : NULL;
}

/* NULL for a number that is none. */
const char *
FailureSeverityName(int severity)
{
	return severity >= 0 && severity < FAILURE_SEVERITY_COUNT ? severityNames[severity] : NULL;
}

int
FailureSeverityByName(const char *name)
{
	for (int i = 0; i < FAILURE_SEVERITY_COUNT; i++)
		if (strcmp(severityNames[i], name) == 0)
			return i;
	return -1;
}

bool
FailureMayMove(int from, int to)
{
	return FailureStatusName(from) && FailureStatusName(to) && (moves[from] & (1 << to)) != 0;
}
