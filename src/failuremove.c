/*
 * failuremove.c: what each step makes of a record, whether a function takes it or a plain UPDATE.
 */
#include "photoflow.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

#include "failure.h"

/* Return the policy that holds for a record. */
const FailurePolicy *
FailurePolicyOf(const FailureRow *row)
{
	text	   *type = DatumGetTextPP(FailureValue(row, FC_ENTITY_TYPE));

	return FailurePolicyFor(VARDATA_ANY(type), VARSIZE_ANY_EXHDR(type));
}

/* Say whether all retries of a record are used up. */
bool
FailureIsExhausted(const FailureRow *row, const FailurePolicy *policy)
{
	int			most = FailureIsNull(row, FC_MAX_RETRIES) ? policy->maxRetries : FailureInt(row, FC_MAX_RETRIES);

	return FailureInt(row, FC_RETRIES) >= most;
}

/*
 * Return a time for a place in the queue: now, and each time later than the last. Places that differ let the mark (failuremark.c)
 * pass one of them without the others.
 */
TimestampTz
FailureStamp(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	/* only while the clock has not caught up with what was given out in a burst; not for an hour that it was set back */
	last = now > last || now < last - USECS_PER_SEC ? now : last + 1;
	return last;
}

/* A worker begins an attempt. The place in the queue stays: no index has to hear of it. */
void
FailureTake(FailureRow *row, Datum worker, TimestampTz now, int64 lease)
{
	FailureSet(row, FC_STATUS, Int32GetDatum(FAILURE_IN_PROGRESS));
	FailureSet(row, FC_LEASE, TimestampTzGetDatum(now + lease));
	FailureSet(row, FC_TOKEN, Int64GetDatum(DatumGetInt64(FailureValue(row, FC_TOKEN)) + 1));
	FailureSet(row, FC_WORKER, worker);
	FailureSet(row, FC_RETRIES, Int32GetDatum(FailureInt(row, FC_RETRIES) + 1));
	FailureSet(row, FC_LAST_RETRY, TimestampTzGetDatum(now));
	FailureClear(row, FC_FINISHED);
}

/* The record waits again. */
void
FailureRetryAt(FailureRow *row, TimestampTz when)
{
	FailureSet(row, FC_STATUS, Int32GetDatum(FAILURE_PENDING));
	FailureSet(row, FC_NEXT_RETRY, TimestampTzGetDatum(when));
	FailureClear(row, FC_LEASE);
	FailureClear(row, FC_FINISHED);
}

/* The record leaves the queue. */
void
FailureFinish(FailureRow *row, int status, TimestampTz now)
{
	FailureSet(row, FC_STATUS, Int32GetDatum(status));
	FailureSet(row, FC_FINISHED, TimestampTzGetDatum(now));
	FailureClear(row, FC_NEXT_RETRY);
	FailureClear(row, FC_LEASE);
}

/* The record is due now, with all its retries. */
void
FailureRequeue(FailureRow *row)
{
	FailureRetryAt(row, FailureStamp());
	FailureSet(row, FC_RETRIES, Int32GetDatum(0));
}

/* The newest message takes the place of the one before; the first is kept. */
void
FailureReplaceError(FailureRow *row, Datum message, TimestampTz now)
{
	if (FailureIsNull(row, FC_FIRST_ERROR) && !FailureIsNull(row, FC_ERROR))
		FailureSet(row, FC_FIRST_ERROR, FailureValue(row, FC_ERROR));
	FailureSet(row, FC_ERROR, message);
	FailureSet(row, FC_FINGERPRINT, ErrorFingerprint(message));
	FailureSet(row, FC_LAST_FAILED, TimestampTzGetDatum(now));
}

/* Give a record of before the queue what the others have from the beginning. */
void
FailureComplete(FailureRow *row)
{
	if (FailureIsNull(row, FC_LAST_FAILED))
		FailureSet(row, FC_LAST_FAILED, FailureValue(row, FC_MODIFIED));
	/* an old worker has it: until now leases were no matter of the database's */
	if (FailureInt(row, FC_STATUS) == FAILURE_IN_PROGRESS && FailureIsNull(row, FC_LEASE))
		FailureSet(row, FC_LEASE, TimestampTzGetDatum(GetCurrentTimestamp() + FailurePolicyOf(row)->lease));
	if (FailureIsNull(row, FC_FINGERPRINT) && !FailureIsNull(row, FC_ERROR))
		FailureSet(row, FC_FINGERPRINT, ErrorFingerprint(FailureValue(row, FC_ERROR)));
}

/* Return when a record in progress may be claimed by another: a little after its lease. One without a lease is nobody's. */
TimestampTz
LeaseEnd(const FailureRow *row)
{
	TimestampTz until;
	TimestampTz since;
	uint32		hash;

	if (FailureIsNull(row, FC_LEASE))
		return DT_NOBEGIN;
	until = DatumGetTimestampTz(FailureValue(row, FC_LEASE));
	since = FailureIsNull(row, FC_LAST_RETRY) ? until : DatumGetTimestampTz(FailureValue(row, FC_LAST_RETRY));
	hash = hash_combine(hash_bytes(DatumGetUUIDP(FailureValue(row, FC_ID))->data, UUID_LEN),
						(uint32) DatumGetInt64(FailureValue(row, FC_TOKEN)));
	if (TIMESTAMP_NOT_FINITE(until) || TIMESTAMP_NOT_FINITE(since))
		return until;
	return until + LeaseJitter(until - since, hash);
}
