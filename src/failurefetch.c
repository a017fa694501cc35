/*
 * failurefetch.c: one failure record by its id, as it is now.
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "failure.h"

static bool FetchDirty(FailureTable *table, const pg_uuid_t *id);
static bool IsThere(FailureTable *table, const pg_uuid_t *id);

/* Find the version of a row that is valid now, or would be; who is changing it is told by the snapshot. */
static bool
FetchDirty(FailureTable *table, const pg_uuid_t *id)
{
	ScanKeyData wanted;

	if (table->keyScan == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(table->context);

		InitDirtySnapshot(table->keySnapshot);
		table->keyIndex = index_open(table->key, AccessShareLock);
		table->keyScan = BeginIndexScan(table->records, table->keyIndex, &table->keySnapshot, 1, 0);
		MemoryContextSwitchTo(caller);
	}
	ScanKeyInit(&wanted, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	index_rescan(table->keyScan, &wanted, 1, NULL, 0);
	return index_getnext_slot(table->keyScan, ForwardScanDirection, table->slot);
}

void
FailureFetchEnd(FailureTable *table)
{
	if (table->keyScan == NULL)
		return;
	index_endscan(table->keyScan);
	index_close(table->keyIndex, NoLock);
	table->keyScan = NULL;
}

/*
 * Say whether a row is there all the same. While we read the index and then the heap somebody may have replaced the one version
 * that we knew of by another: a snapshot shows either.
 */
static bool
IsThere(FailureTable *table, const pg_uuid_t *id)
{
	Snapshot	latest = RegisterSnapshot(GetLatestSnapshot());
	Relation	index = index_open(table->key, AccessShareLock);
	IndexScanDesc scan = BeginIndexScan(table->records, index, latest, 1, 0);
	ScanKeyData wanted;
	bool		found;

	ScanKeyInit(&wanted, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	index_rescan(scan, &wanted, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, table->slot);
	index_endscan(scan);
	index_close(index, NoLock);
	UnregisterSnapshot(latest);
	return found;
}

/*
 * Find a row by its id, of an organization when one is given, into the table's slot; wait for who is changing it, and lock it
 * when asked: before it is given a place in the queue, which must not grow old while we wait. Another organization's row is
 * not waited for: that could be felt. In a transaction that keeps its snapshot a row which has changed since is a
 * serialization failure.
 */
bool
FailureFetch(FailureTable *table, const pg_uuid_t *id, const pg_uuid_t *org, bool lock)
{
	bool		isNull;

	for (;;)
	{
		TransactionId changing;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if (!FetchDirty(table, id))
		{
			if (!IsThere(table, id))
				return false;
			continue;
		}
		if (org && !UuidEquals(org, DatumGetUUIDP(slot_getattr(table->slot, table->columns.number[FC_ORG], &isNull))))
			return false;
		changing = TransactionIdIsValid(table->keySnapshot.xmin) ? table->keySnapshot.xmin : table->keySnapshot.xmax;
		tid = table->slot->tts_tid;
		if (TransactionIdIsValid(changing))
		{
			FailureFetchEnd(table); /* its pins would keep VACUUM waiting, too */
			XactLockTableWait(changing, table->records, &tid, XLTW_Update);
			continue;
		}
		if (IsolationUsesXactSnapshot() && !table_tuple_satisfies_snapshot(table->records, table->slot, GetActiveSnapshot()))
			RefuseConcurrentUpdate();
		if (!lock || FailureLock(table, &tid, true) == TM_Ok)
			return true;
	}
}

/* For transactions that keep their snapshot. */
void
RefuseConcurrentUpdate(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errhint("Repeat the transaction.")));
}
