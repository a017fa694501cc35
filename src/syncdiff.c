/*
 * syncdiff.c: compares a page of a listing with the photos that are stored.
 *
 * Words:
 * - A run is one listing of a folder, in one or several pages; it is open from its first page to its last.
 * - Pages that have come are remembered by their ids, so that the last page knows what the others named.
 *
 * Only reads, and locks nothing: where the comparison finds no difference, a sync leaves no trace.
 */
#include "sync.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "photoflow.h"
#include "store.h"

/* Up to so many ids are looked up; for more the whole tag is read. Platforms sync 50 or 100 files a page. */
#define LOOK_UP_AT_MOST 200

static IdSet *ReadOpenPages(const SyncCall *call, SyncDiff *diff);
static void CollectUnseen(const SyncCall *call, SyncDiff *diff, IdSet *open);
static uint64 ReadStored(const SyncCall *call);
static void CompareStored(const SyncCall *call, SyncDiff *diff, IdSet *open, uint64 nstored);

/* Fill diff with everything that a call would have to write as things are now. */
void
SyncCompare(const SyncCall *call, SyncDiff *diff)
{
	const Listing *listing = call->listing;
	IdSet	   *open;

	memset(diff, 0, sizeof(*diff));
	diff->fates = palloc0(sizeof(FileFate) * Max(listing->count, 1));	/* FILE_NEW */
	diff->rows = palloc(sizeof(pg_uuid_t) * Max(listing->count, 1));
	open = ReadOpenPages(call, diff);
	CollectUnseen(call, diff, open);
	CompareStored(call, diff, open, ReadStored(call));
}

static TextSlice
SliceDatum(Datum value)
{
	text	   *data = DatumGetTextPP(value);
	TextSlice	slice = {VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data)};

	return slice;
}

/* Return all ids that the open run has named before. */
static IdSet *
ReadOpenPages(const SyncCall *call, SyncDiff *diff)
{
	Datum		values[2] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id)};
	IdSet	   *open = IdSetCreate(64);
	int			ignored;

	diff->pages = (int) StoreRun(PLAN_SYNC_PAGES, values, NULL);
	for (int page = 0; page < diff->pages; page++)
	{
		TimestampTz since = DatumGetTimestampTz(StoreDatum(page, 2));
		Datum	   *ids;
		bool	   *nulls;
		int			count;

		deconstruct_array(DatumGetArrayTypePCopy(StoreDatum(page, 1)), VARCHAROID, -1, false, TYPALIGN_INT, &ids, &nulls,
						  &count);
		for (int i = 0; i < count; i++)
			if (!nulls[i])
				(void) IdSetAdd(open, SliceDatum(ids[i]), 0, &ignored);
		if (diff->openSince == 0 || since < diff->openSince)
			diff->openSince = since;
	}
	return open;
}

/* Collect the photos that are new to the run, and count all of it. */
static void
CollectUnseen(const SyncCall *call, SyncDiff *diff, IdSet *open)
{
	const Listing *listing = call->listing;

	diff->unseen = palloc(sizeof(TextSlice) * Max(listing->photos, 1));
	for (int i = 0; i < listing->count; i++)
		if (listing->files[i].isPhoto && IdSetFind(open, listing->files[i].id) == IDSET_NONE)
			diff->unseen[diff->nunseen++] = listing->files[i].id;
	diff->processed = IdSetCount(open) + diff->nunseen;
}

/*
 * Read the stored photos that matter: the whole tag where the listing ends, since any of them may be gone;
 * otherwise those that the page names. Return how many there are.
 */
static uint64
ReadStored(const SyncCall *call)
{
	const Listing *listing = call->listing;
	Datum		values[3] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id)};
	TextSlice  *ids;

	if (call->isLast || listing->count > LOOK_UP_AT_MOST)
		return StoreRun(PLAN_SYNC_STORED, values, NULL);
	ids = palloc(sizeof(TextSlice) * Max(listing->count, 1));
	for (int i = 0; i < listing->count; i++)
		ids[i] = listing->files[i].id;
	values[2] = SliceArray(ids, listing->count);
	return StoreRun(PLAN_SYNC_STORED_OF_PAGE, values, NULL);
}

/* Decide the fate of each file, and at the end of a listing collect the photos that are gone. */
static void
CompareStored(const SyncCall *call, SyncDiff *diff, IdSet *open, uint64 nstored)
{
	Listing    *listing = call->listing;

	diff->gone = palloc_extended(sizeof(pg_uuid_t) * (Size) Max(nstored, 1), MCXT_ALLOC_HUGE);
	for (uint64 row = 0; row < nstored; row++)
	{
		TextSlice	id = SliceDatum(StoreDatum(row, 2));
		int			index = IdSetFind(listing->byId, id);
		const ListedFile *file = index == IDSET_NONE ? NULL : &listing->files[index];
		TextSlice	thumbnail = {NULL, 0};

		CHECK_FOR_INTERRUPTS();
		if (file == NULL || !file->isPhoto)
		{
			if (call->isLast && IdSetFind(open, id) == IDSET_NONE)
				diff->gone[diff->ngone++] = *StoreUuid(row, 1);
			continue;
		}
		if (diff->fates[index] != FILE_NEW)
			continue;			/* the same file twice: only where the unique index is gone */
		if (!StoreIsNull(row, 4))
			thumbnail = SliceDatum(StoreDatum(row, 4));
		diff->fates[index] = FILE_UNCHANGED;
		if (!SliceEquals(file->name, SliceDatum(StoreDatum(row, 3))) || !SliceEquals(file->thumbnail, thumbnail))
			diff->fates[index] = FILE_CHANGED;
		diff->changed += diff->fates[index] == FILE_CHANGED;
		diff->rows[index] = *StoreUuid(row, 1);
		diff->stored++;
	}
	diff->added = listing->photos - diff->stored;
}
