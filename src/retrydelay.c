/*
 * retrydelay.c: retry_delay(), for who wants to know when a retry would be, and for tests.
 */
#include "photoflow.h"

#include "utils/builtins.h"

#include "failure.h"

PHOTOFLOW_FUNCTION(photoflow_retry_delay)
{
	float8		fraction = PG_GETARG_FLOAT8(3);
	Interval   *delay = palloc0(sizeof(Interval));

	RequireNotNegative(fcinfo, 1, "base", "Give the delay before the first retry.");
	RequireNotNegative(fcinfo, 2, "cap", "Give the longest delay.");
	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"fraction\" must be between 0 and 1"),
				 errhint("Give random().")));
	delay->time = BackoffDelay(PG_GETARG_INT32(0), IntervalMicroseconds(PG_GETARG_INTERVAL_P(1)),
							   IntervalMicroseconds(PG_GETARG_INTERVAL_P(2)), fraction);
	PG_RETURN_INTERVAL_P(delay);
}
