/*
 * albumfetch.c: one album by its key, without a plan.
 *
 * fire() reads and locks one row; an executor's start and end cost three times the work (bench/README.md). So the
 * row is fetched through the primary key's index and locked as nodeLockRows.c does it. What is not the plain case,
 * a key of other columns or no key at all, is left to the plans of album.c.
 *
 * Runs with the database's own eyes: the caller has checked what the user may do, and whose the row is.
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "album.h"
#include "store.h"

static Oid	KeyIndex(Relation albums);
static bool FetchByKey(Relation albums, Oid key, const pg_uuid_t *id, Snapshot snapshot, TupleTableSlot *slot);
static bool IsOf(Relation albums, TupleTableSlot *slot, const pg_uuid_t *org, Album *album);
static bool LockSlot(Relation albums, Snapshot snapshot, TupleTableSlot *slot);
static void CheckSerializable(const char *what);

/*
 * Read one album, of the organization when one is given, locked FOR NO KEY UPDATE when asked. Return false where
 * album.c's plans have to do it. Another organization's row is not locked: that could be felt.
 */
bool
AlbumFetch(const pg_uuid_t *id, const pg_uuid_t *org, bool lock, Album *album, bool *found)
{
	Relation	albums = table_open(InstallationGet()->albums, lock ? RowShareLock : AccessShareLock);
	Oid			key = KeyIndex(albums);
	TupleTableSlot *slot;
	Snapshot	snapshot;

	if (lock)
		PreventCommandIfReadOnly("SELECT FOR NO KEY UPDATE");
	if (!OidIsValid(key))
	{
		table_close(albums, NoLock);
		return false;
	}
	if (lock)
	{
		/* as a statement of its own: what this transaction has done so far, and others have committed, is seen */
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	snapshot = GetActiveSnapshot();
	slot = table_slot_create(albums, NULL);
	*found = FetchByKey(albums, key, id, snapshot, slot) && IsOf(albums, slot, org, album);
	if (*found && lock)
		*found = LockSlot(albums, snapshot, slot) && IsOf(albums, slot, org, album);
	ExecDropSingleTupleTableSlot(slot);
	if (lock)
		PopActiveSnapshot();
	table_close(albums, NoLock);
	return true;
}

/* Read the row; return whether it is the organization's. */
static bool
IsOf(Relation albums, TupleTableSlot *slot, const pg_uuid_t *org, Album *album)
{
	AlbumFromSlot(albums, slot, album);
	return org == NULL || UuidEquals(org, &album->org);
}

/* Return the primary key's index when it is a plain one on "Id" alone. */
static Oid
KeyIndex(Relation albums)
{
	Oid			oid;
	Relation	index;
	bool		suits;

	if (albums->rd_rel->relkind != RELKIND_RELATION)
		return InvalidOid;
	oid = PrimaryKeyIndex(albums);
	if (!OidIsValid(oid))
		return InvalidOid;
	index = index_open(oid, AccessShareLock);
	suits = index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indnkeyatts == 1 &&
		index->rd_index->indkey.values[0] == AlbumIdColumn(albums);
	index_close(index, NoLock);
	return suits ? oid : InvalidOid;
}

static bool
FetchByKey(Relation albums, Oid key, const pg_uuid_t *id, Snapshot snapshot, TupleTableSlot *slot)
{
	Relation	index = index_open(key, NoLock);
	IndexScanDesc scan = BeginIndexScan(albums, index, snapshot, 1, 0);
	ScanKeyData wanted;
	bool		found;

	ScanKeyInit(&wanted, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	index_rescan(scan, &wanted, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	index_endscan(scan);
	index_close(index, NoLock);
	return found;
}

/* Lock the row in its newest version, which is then in the slot; return whether there is one. */
static bool
LockSlot(Relation albums, Snapshot snapshot, TupleTableSlot *slot)
{
	ItemPointerData tid = slot->tts_tid;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(albums, &tid, snapshot, slot, GetCurrentCommandId(true), LockTupleNoKeyExclusive,
							 LockWaitBlock, flags, &failure))
	{
		case TM_Ok:
			return true;
		case TM_SelfModified:
			return false;
		case TM_Updated:
			CheckSerializable("update");
			break;
		case TM_Deleted:
			CheckSerializable("delete");
			return false;
		default:
			break;
	}
	elog(ERROR, "unexpected result of locking an album");
}

static void
CheckSerializable(const char *what)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent %s", what),
				 errhint("Repeat the transaction.")));
}
