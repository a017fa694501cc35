/*
 * failurescan.c: what may be claimed now, in the order in which it became due.
 *
 * The two indexes of the queue hold open records: all by their place, and each organization's by their place. An entry whose
 * row is dead, or held by somebody, or not wanted, is walked over; the mark (failuremark.c) says from where on to look.
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "failure.h"

#define INDEX_ALL "IX_FailureRecords_Due"
#define INDEX_ORG "IX_FailureRecords_OrgId_NextRetryAt"

/* so many organizations without anything due are looked at for one claim; the next goes on behind them */
#define ORGANIZATIONS_LOOKED_AT 32

/* so many dead rows of delayed records are walked over to tell an idle poller how long to sleep */
#define DELAYED_LOOKED_AT 32

/* whose turn was last */
static pg_uuid_t turn;

/* What is to be done with an entry. */
typedef enum EntryVerdict
{
	ENTRY_PASSED,				/* nobody will want it where it is */
	ENTRY_HELD,					/* not ours now, perhaps later */
	ENTRY_CLAIMABLE
} EntryVerdict;

static uint32 HashTypes(ArrayType *types);
static bool IsQueueIndex(Relation index, Relation records, bool byOrganization);
static Relation OpenIndex(FailureTable *table, bool byOrganization);
static bool IsWanted(const DueScan *due, Datum type);
static EntryVerdict Judge(DueScan *due);
static bool DiedJustNow(DueScan *due);
static TimestampTz EntryPlace(const DueScan *due);
static bool NextOrganization(FailureTable *table, Relation index, const pg_uuid_t *after, pg_uuid_t *org, TimestampTz *place);

/* 0: all types. */
static uint32
HashTypes(ArrayType *types)
{
	return types ? hash_bytes((const unsigned char *) types, VARSIZE(types)) | 1 : 0;
}

/* Say whether an index is what the scan takes it for: somebody may have made another of its name. */
static bool
IsQueueIndex(Relation index, Relation records, bool byOrganization)
{
	TupleDesc	desc = RelationGetDescr(index);

	return index->rd_rel->relkind == RELKIND_INDEX && index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid &&
		index->rd_index->indrelid == RelationGetRelid(records) && index->rd_index->indnkeyatts == (byOrganization ? 2 : 1) &&
		TupleDescAttr(desc, 0)->atttypid == (byOrganization ? UUIDOID : TIMESTAMPOID) &&
		(!byOrganization || TupleDescAttr(desc, 1)->atttypid == TIMESTAMPTZOID);
}

/* Open an index of the queue; raise PF040 where it is not made yet. */
static Relation
OpenIndex(FailureTable *table, bool byOrganization)
{
	const char *name = byOrganization ? INDEX_ORG : INDEX_ALL;
	Oid			oid = get_relname_relid(name, RelationGetNamespace(table->records));
	Relation	index = OidIsValid(oid) ? relation_open(oid, AccessShareLock) : NULL;

	if (index == NULL || !IsQueueIndex(index, table->records, byOrganization))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("there is no valid index \"%s\" on \"FailureRecords\" yet", name),
				 errhint("Make the indexes that SELECT sql FROM photoflow.migration_plan() WHERE kind = 'concurrent_index' lists, then CALL photoflow.migrate().")));
	return index;
}

/* Begin to look, from the mark on; under an active snapshot. */
void
DueScanBegin(DueScan *due, FailureTable *table, const pg_uuid_t *org, ArrayType *types)
{
	ScanKeyData keys[2];
	int			nkeys = 0;

	memset(due, 0, sizeof(*due));
	due->table = table;
	due->generation = MarksGeneration();
	due->org = org;
	due->types = types;
	due->typesHash = HashTypes(types);
	due->from = due->mark = MarkFind(org, due->typesHash, table->now, &due->leasedUntil);
	due->delayedUntil = DT_NOEND;
	due->index = OpenIndex(table, org != NULL);
	InitDirtySnapshot(due->dirty);
	if (org)
		ScanKeyInit(&keys[nkeys++], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(org));
	if (due->from != DT_NOBEGIN)
		ScanKeyInit(&keys[nkeys++], org ? 2 : 1, BTGreaterEqualStrategyNumber, org ? F_TIMESTAMPTZ_GE : F_TIMESTAMP_GE,
					TimestampTzGetDatum(due->from));
	due->scan = BeginIndexScan(table->records, due->index, &due->dirty, nkeys, 0);
	due->scan->xs_want_itup = true;
	index_rescan(due->scan, keys, nkeys, NULL, 0);
}

/* timezone('UTC', place) is the same number as place. */
static TimestampTz
EntryPlace(const DueScan *due)
{
	bool		isNull;

	return DatumGetTimestampTz(index_getattr(due->scan->xs_itup, due->org ? 2 : 1, due->scan->xs_itupdesc, &isNull));
}

/*
 * Find the next record that may be claimed, into the table's slot. The caller may take it or not: the mark does not pass it.
 * false: there is no other; delayedUntil says when the next one is due that is only delayed, as far as the index knows.
 */
bool
DueScanNext(DueScan *due)
{
	while (index_getnext_tid(due->scan, ForwardScanDirection))
	{
		TimestampTz place = EntryPlace(due);
		EntryVerdict verdict;

		CHECK_FOR_INTERRUPTS();
		if (place > due->table->now)
		{
			due->delayedUntil = place;
			return false;
		}
		if (!due->held)
			due->mark = place;
		if (!index_fetch_heap(due->scan, due->table->slot))
		{
			due->held = due->held || DiedJustNow(due);
			continue;
		}
		verdict = Judge(due);
		if (verdict == ENTRY_PASSED)
			continue;
		due->held = true;
		if (verdict == ENTRY_CLAIMABLE)
			return true;
	}
	return false;
}

/*
 * Say whether the dead row of an entry was alive when the scan began. Then the version that replaces it may have its entry where
 * we have read already: the mark must not pass it.
 */
static bool
DiedJustNow(DueScan *due)
{
	ItemPointerData tid = due->scan->xs_heaptid;
	bool		again = false;

	return table_index_fetch_tuple(due->scan->xs_heapfetch, &tid, GetActiveSnapshot(), due->table->slot, &again, NULL);
}

/* After DueScanNext() has found no other: see whether what is only delayed is still there; of a few, then take it on trust. */
void
DueScanDelayed(DueScan *due)
{
	if (due->delayedUntil == DT_NOEND)
		return;
	for (int looks = 0; looks < DELAYED_LOOKED_AT && !index_fetch_heap(due->scan, due->table->slot); looks++)
	{
		if (!index_getnext_tid(due->scan, ForwardScanDirection))
		{
			due->delayedUntil = DT_NOEND;
			return;
		}
		due->delayedUntil = EntryPlace(due);
	}
}

static bool
IsWanted(const DueScan *due, Datum type)
{
	ArrayIterator iterator;
	Datum		wanted;
	bool		isNull;
	bool		found = false;

	if (due->types == NULL)
		return true;
	iterator = array_create_iterator(due->types, 0, NULL);
	while (!found && array_iterate(iterator, &wanted, &isNull))
		found = !isNull && DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, wanted, type));
	array_free_iterator(iterator);
	return found;
}

/* Judge the row in the table's slot, where it lies. */
static EntryVerdict
Judge(DueScan *due)
{
	FailureTable *table = due->table;
	FailureRow	row = {.columns = &table->columns, .values = table->slot->tts_values, .nulls = table->slot->tts_isnull};
	int			status;
	TimestampTz end;

	if (TransactionIdIsValid(due->dirty.xmin) || TransactionIdIsValid(due->dirty.xmax))
		return ENTRY_HELD;
	slot_getallattrs(table->slot);
	status = FailureInt(&row, FC_STATUS);
	if ((status != FAILURE_PENDING && status != FAILURE_IN_PROGRESS) || DatumGetBool(FailureValue(&row, FC_DELETED)))
		return ENTRY_PASSED;	/* finished past the triggers */
	if (!IsWanted(due, FailureValue(&row, FC_ENTITY_TYPE)))
		return ENTRY_PASSED;
	/* what this transaction has taken itself it may give back: MarkHold() was told */
	if (status == FAILURE_IN_PROGRESS && (end = LeaseEnd(&row)) > table->now)
	{
		if (!due->held)
			due->leasedUntil = Min(due->leasedUntil, end);
		return ENTRY_PASSED;
	}
	if (IsolationUsesXactSnapshot() && !table_tuple_satisfies_snapshot(table->records, table->slot, GetActiveSnapshot()))
		return ENTRY_HELD;
	return ENTRY_CLAIMABLE;
}

/* End, and remember how far there is nothing to claim. */
void
DueScanEnd(DueScan *due)
{
	index_endscan(due->scan);
	index_close(due->index, NoLock);
	if (due->generation == MarksGeneration())
		MarkKeep(due->org, due->typesHash, due->mark, due->table->now, due->leasedUntil, due->from == DT_NOBEGIN);
}

/* Find the first organization behind another (NULL: of all) that has open records, and where they begin. */
static bool
NextOrganization(FailureTable *table, Relation index, const pg_uuid_t *after, pg_uuid_t *org, TimestampTz *place)
{
	SnapshotData dirty;
	IndexScanDesc scan;
	ScanKeyData key;
	bool		found;
	bool		isNull;

	InitDirtySnapshot(dirty);
	scan = BeginIndexScan(table->records, index, &dirty, after ? 1 : 0, 0);
	scan->xs_want_itup = true;
	scan->ignore_killed_tuples = false; /* to step over them is to read all their pages */
	if (after)
		ScanKeyInit(&key, 1, BTGreaterStrategyNumber, F_UUID_GT, UUIDPGetDatum(after));
	index_rescan(scan, &key, after ? 1 : 0, NULL, 0);
	found = index_getnext_tid(scan, ForwardScanDirection) != NULL;
	if (found)
	{
		*org = *DatumGetUUIDP(index_getattr(scan->xs_itup, 1, scan->xs_itupdesc, &isNull));
		*place = DatumGetTimestampTz(index_getattr(scan->xs_itup, 2, scan->xs_itupdesc, &isNull));
	}
	index_endscan(scan);
	return found;
}

/*
 * Find organizations whose turn it is: those behind the ones of the last claim that seem to have something due. Rows are
 * not looked at, so that one may turn out to have nothing.
 */
int
DueOrganizations(FailureTable *table, int wanted, pg_uuid_t *orgs)
{
	static bool started = false;
	Relation	index = OpenIndex(table, true);
	pg_uuid_t	org;
	const pg_uuid_t *behind = &turn;
	TimestampTz place;
	bool		wrapped = false;
	int			count = 0;

	if (!started)
		started = pg_strong_random(&turn, sizeof(turn));
	org = turn;
	for (int looks = 0; count < wanted && looks < wanted + ORGANIZATIONS_LOOKED_AT; looks++)
	{
		if (!NextOrganization(table, index, behind, &org, &place))
		{
			if (wrapped)
				break;
			wrapped = true;
			behind = NULL;
			continue;
		}
		if (wrapped && UuidCompare(&org, &turn) > 0)
			break;
		behind = &org;
		if (place <= table->now)
			orgs[count++] = org;
	}
	index_close(index, NoLock);
	if (count == 0)
		turn = org;				/* all that were looked at have nothing: go on behind them */
	return count;
}

/* The next claim begins behind this organization. */
void
DueOrganizationServed(const pg_uuid_t *org)
{
	turn = *org;
}
