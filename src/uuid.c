/*
 * uuid.c: identifiers; reading, writing and version 5 by libuuid.
 *
 * A version 7 uuid is 48 bits of milliseconds, 12 bits of the fraction of the millisecond, and 62 random bits.
 * Within a session uuids only grow, also when the clock stands still or steps back.
 * libuuid's uuid_generate_time_v7() (from 2.41) promises no order within a millisecond, and its random bits cost
 * 2 us a call where a pool of PostgreSQL's strong random bits costs hundredths of that (bench/README.md).
 */
#include "photoflow.h"

#include <time.h>
#include <uuid/uuid.h>

#include "port/pg_bswap.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"

#define NS_PER_MS INT64CONST(1000000)
#define VARIANT_BITS UINT64CONST(0x8000000000000000)
#define LOW_62_BITS UINT64CONST(0x3FFFFFFFFFFFFFFF)

static uint64 RandomHalf(void);
static uint64 ClockTime(void);

/* Return 64 random bits of PostgreSQL's own strong source, which is asked for many at once. */
static uint64
RandomHalf(void)
{
	static uint64 pool[256];
	static int	used = lengthof(pool);

	if (used == lengthof(pool))
	{
		if (!pg_strong_random(pool, sizeof(pool)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		used = 0;
	}
	return pool[used++];
}

/* Return the time as 48 bits of milliseconds and 12 of their fraction. */
static uint64
ClockTime(void)
{
	struct timespec now;
	uint64		ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64) now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
	return ((ns / NS_PER_MS) << 12) | (((ns % NS_PER_MS) << 12) / NS_PER_MS);
}

/*
 * Make a time-ordered uuid, greater than the last one of this session. Where the clock has not moved on, the random
 * part grows by a random step (RFC 9562, monotonic random): the time never runs ahead of the clock, so that what
 * another session makes later is greater, too.
 */
void
UuidV7(pg_uuid_t *result)
{
	static uint64 lastTime = 0;
	static uint64 lastLow = 0;
	uint64		time = ClockTime();
	uint64		low = RandomHalf() & LOW_62_BITS;
	uint64		high;

	if (time <= lastTime)
	{
		time = lastTime;
		low = lastLow + 1 + (low >> 30);
		if (low > LOW_62_BITS)
		{
			time++;
			low &= LOW_62_BITS;
		}
	}
	lastTime = time;
	lastLow = low;
	high = pg_hton64(((time & ~UINT64CONST(0xFFF)) << 4) | 0x7000 | (time & 0xFFF));
	low = pg_hton64(VARIANT_BITS | low);
	memcpy(result->data, &high, 8);
	memcpy(result->data + 8, &low, 8);
}

/*
 * Make the uuid of version 7 of a time, with 62 bits of `low` where others have random bits: with zeros no uuid that is
 * made at that moment is less.
 */
void
UuidV7Of(TimestampTz time, uint64 low, pg_uuid_t *result)
{
	int64		epoch = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	int64		us = Min(Max(time, -epoch), (INT64CONST(1) << 48) * 1000 - 1 - epoch) + epoch;	/* in 48 bits of milliseconds */
	uint64		high = pg_hton64(((uint64) (us / 1000) << 16) | 0x7000 | (uint64) (us % 1000 * 4096 / 1000));

	low = pg_hton64(VARIANT_BITS | (low & LOW_62_BITS));
	memcpy(result->data, &high, 8);
	memcpy(result->data + 8, &low, 8);
}

/* For qsort() and bsearch() over uuids, or over structs that begin with one. */
int
UuidCompare(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* Sort uuids and drop repetitions; return how many are left. */
int
UuidSortUnique(pg_uuid_t *ids, int count)
{
	int			kept = 0;

	qsort(ids, count, sizeof(pg_uuid_t), UuidCompare);
	for (int i = 0; i < count; i++)
		if (kept == 0 || !UuidEquals(&ids[kept - 1], &ids[i]))
			ids[kept++] = ids[i];
	return kept;
}

/* Return the canonical text of a uuid, palloc'd. */
char *
UuidText(const pg_uuid_t *value)
{
	char	   *text = palloc(UUID_STR_LEN);

	uuid_unparse_lower(value->data, text);
	return text;
}

/* Read the canonical text of a uuid; return whether it was one. */
bool
UuidParse(const char *text, pg_uuid_t *result)
{
	return uuid_parse(text, result->data) == 0;
}

PHOTOFLOW_FUNCTION(photoflow_uuid_v7)
{
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));

	UuidV7(result);
	PG_RETURN_UUID_P(result);
}

PHOTOFLOW_FUNCTION(photoflow_uuid_v5)
{
	pg_uuid_t  *space = PG_GETARG_UUID_P(0);
	text	   *name = PG_GETARG_TEXT_PP(1);
	pg_uuid_t  *result = palloc(sizeof(pg_uuid_t));

	uuid_generate_sha1(result->data, space->data, VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	PG_RETURN_UUID_P(result);
}

PHOTOFLOW_FUNCTION(photoflow_uuid_v7_time)
{
	pg_uuid_t  *value = PG_GETARG_UUID_P(0);
	uint64		high;
	int64		ms;

	memcpy(&high, value->data, 8);
	high = pg_ntoh64(high);
	if (((high >> 12) & 0xF) != 7 || (value->data[8] & 0xC0) != 0x80)
		PG_RETURN_NULL();
	ms = (int64) (high >> 16);
	PG_RETURN_TIMESTAMPTZ(ms * 1000 - ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY));
}
