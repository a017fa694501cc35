/*
 * backoff.c: when to try again. Pure: whoever calls brings the clock and the random number.
 *
 * Full jitter: any time between at once and the exponential limit, so that what failed together does not come back together.
 */
#include "failure.h"

/* an ended lease is left alone a little longer: this part of it, at most that long */
#define LEASE_JITTER_PART 10
#define LEASE_JITTER_LONGEST (30 * USECS_PER_SEC)

/* Return the fraction (0 to 1) of min(cap, base * 2^(retry-1)); microseconds. */
int64
BackoffDelay(int retry, int64 base, int64 cap, double fraction)
{
	int64		limit = Min(base, cap);

	for (int i = 1; i < retry && limit > 0 && limit < cap; i++)
		limit = limit > cap / 2 ? cap : limit * 2;
	return (int64) (limit * fraction);
}

/* Return how long after its end a lease is left alone: the same for everybody who asks. */
int64
LeaseJitter(int64 lease, uint32 hash)
{
	int64		longest = Min(lease / LEASE_JITTER_PART, LEASE_JITTER_LONGEST);

	return longest <= 0 ? 0 : (int64) (longest * (hash / (PG_UINT32_MAX + 1.0)));
}
