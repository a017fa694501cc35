/*
 * childprobe.c: whether a few rows have children at all, by the index of their foreign key and without a plan.
 *
 * Most rows that are deleted one by one have nothing below them, and an executor's start and end for each table of
 * children costs as much as the row itself (bench/README.md).
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "executor/tuptable.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "deletion.h"
#include "relwatch.h"

/* the indexes that were found, until the table or one of its indexes changes */
static struct
{
	Oid			relation;
	Oid			index;
}			known[SOFT_TABLE_COUNT];

static void ForgetIndexes(Datum arg, Oid relid);
static bool Suits(Relation index, AttrNumber org, AttrNumber parent);
static Oid	FindIndex(Relation relation, SoftTableId child);
static bool ProbeIndex(Relation relation, Oid indexOid, const pg_uuid_t *org, const pg_uuid_t *parents, int count);

void
ChildProbeInitialize(void)
{
	WatchRelations(ForgetIndexes);
}

static void
ForgetIndexes(Datum arg, Oid relid)
{
	for (int i = 0; i < SOFT_TABLE_COUNT; i++)
		if (relid == InvalidOid || known[i].relation == relid || known[i].index == relid)
			known[i].relation = InvalidOid;
}

/* Say whether an index holds all rows, and leads with the organization and the parent. */
static bool
Suits(Relation index, AttrNumber org, AttrNumber parent)
{
	return index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid && index->rd_index->indnkeyatts >= 2 &&
		index->rd_index->indkey.values[0] == org && index->rd_index->indkey.values[1] == parent &&
		RelationGetIndexPredicate(index) == NIL;
}

static Oid
FindIndex(Relation relation, SoftTableId child)
{
	Oid			relid = RelationGetRelid(relation);
	AttrNumber	org;
	AttrNumber	parent;
	Oid			found = InvalidOid;
	ListCell   *cell;

	if (known[child].relation == relid)
		return known[child].index;
	org = get_attnum(relid, softTables[child].orgColumn);
	parent = get_attnum(relid, softTables[child].parentColumn);
	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (!OidIsValid(found) && Suits(index, org, parent))
			found = lfirst_oid(cell);
		index_close(index, AccessShareLock);
	}
	known[child].relation = relid;
	known[child].index = found;
	return found;
}

/* Look for any child, also a deleted one, with the newest snapshot: what is committed while we hold the parents counts. */
static bool
ProbeIndex(Relation relation, Oid indexOid, const pg_uuid_t *org, const pg_uuid_t *parents, int count)
{
	Relation	index = index_open(indexOid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan = BeginIndexScan(relation, index, snapshot, 2, 0);
	bool		found = false;

	for (int i = 0; i < count && !found; i++)
	{
		ScanKeyData keys[2];

		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(org));
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&parents[i]));
		index_rescan(scan, keys, 2, NULL, 0);
		found = index_getnext_slot(scan, ForwardScanDirection, slot);
	}
	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	return found;
}

/* Say whether rows may have children in a table; the caller has locked them, so that no new ones come. */
bool
MayHaveChildren(SoftTableId child, const pg_uuid_t *org, const pg_uuid_t *parents, int count)
{
	Relation	relation;
	Oid			index;
	bool		may;

	if (softTables[child].parent == SOFT_ORGANIZATIONS)
		return true;
	relation = table_open(SoftTableRelation(child), RowExclusiveLock);
	index = FindIndex(relation, child);
	may = !OidIsValid(index) || ProbeIndex(relation, index, org, parents, count);
	table_close(relation, NoLock);
	return may;
}
