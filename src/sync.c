/*
 * sync.c: sync_photos() takes over one page of a Drive listing.
 *
 * It compares first and locks nothing while there is no difference. Where there is one, it locks the tag and compares
 * once more, because another sync may have been faster, and then writes new, changed and gone photos with one
 * statement each, in the caller's name. The run's pages are photoflow's own books and written in the owner's.
 */
#include "sync.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "photoflow.h"
#include "store.h"
#include "tenant.h"

typedef struct SyncCounts
{
	int			inserted;
	int			updated;
	int			removed;
} SyncCounts;

static void ReadArguments(FunctionCallInfo fcinfo, SyncCall *call);
static bool SomethingToWrite(const SyncCall *call, const SyncDiff *diff);
static int	StatusAfter(const SyncCall *call);
static void WritePhotos(const SyncCall *call, const SyncDiff *diff, SyncCounts *counts);
static int	InsertPhotos(const SyncCall *call, const SyncDiff *diff);
static int	FirstFreePosition(const SyncCall *call, int needed);
static int	UpdatePhotos(const SyncCall *call, const SyncDiff *diff);
static int	RemovePhotos(const SyncCall *call, const SyncDiff *diff);
static void WriteTag(const SyncCall *call);
static void WritePages(const SyncCall *call, const SyncDiff *diff);
static Datum MakeResult(FunctionCallInfo fcinfo, const SyncCall *call, const SyncDiff *diff, const SyncCounts *counts);

PHOTOFLOW_FUNCTION(photoflow_sync_photos)
{
	SyncCall	call;
	SyncDiff	diff;
	SyncCounts	counts = {0};
	TenantScope scope;

	RequireArgument(fcinfo, 0, "tag_id", NULL);
	RequireArgument(fcinfo, 1, "files", NULL);
	RequireArgument(fcinfo, 3, "is_last", NULL);
	StoreBegin();				/* everything up to StoreEnd() is allocated in its context */
	ReadArguments(fcinfo, &call);
	TenantEnter(&scope, &call.tag.org);
	SyncCompare(&call, &diff);
	if (SomethingToWrite(&call, &diff))
	{
		PhotoTagLock(&call.tag);
		SyncCompare(&call, &diff);
		WritePhotos(&call, &diff, &counts);
		WritePages(&call, &diff);
		if (StatusAfter(&call) != call.tag.status)
			WriteTag(&call);
	}
	SyncSendEvents(&call, &diff);
	TenantLeave(&scope);
	StoreEnd();
	return MakeResult(fcinfo, &call, &diff, &counts);
}

/* Read and check the arguments; the tag is looked for before the listing is read, which may be long. */
static void
ReadArguments(FunctionCallInfo fcinfo, SyncCall *call)
{
	call->totalCount = PG_ARGISNULL(2) ? -1 : PG_GETARG_INT32(2);
	call->isLast = PG_GETARG_BOOL(3);
	call->now = GetCurrentTransactionStartTimestamp();
	if (!PG_ARGISNULL(2) && call->totalCount < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"total_count\" must not be negative"),
				 errhint("Leave \"total_count\" out, or NULL, when the number of files is not known.")));
	PhotoTagFind(&call->tag, PG_GETARG_UUID_P(0));
	call->listing = ListingRead(PG_GETARG_JSONB_P(1));
}

static bool
SomethingToWrite(const SyncCall *call, const SyncDiff *diff)
{
	if (diff->added + diff->changed + diff->ngone > 0 || StatusAfter(call) != call->tag.status)
		return true;
	return call->isLast ? diff->pages > 0 : diff->nunseen > 0;
}

static int
StatusAfter(const SyncCall *call)
{
	return call->isLast ? TAG_STATUS_READY : TAG_STATUS_SYNCING;
}

static void
WritePhotos(const SyncCall *call, const SyncDiff *diff, SyncCounts *counts)
{
	if (diff->added > 0)
		counts->inserted = InsertPhotos(call, diff);
	if (diff->changed > 0)
		counts->updated = UpdatePhotos(call, diff);
	if (diff->ngone > 0)
		counts->removed = RemovePhotos(call, diff);
}

/* Insert the new photos in the listing's order, after those that are there. */
static int
InsertPhotos(const SyncCall *call, const SyncDiff *diff)
{
	const Listing *listing = call->listing;
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * diff->added);
	TextSlice  *externalIds = palloc(sizeof(TextSlice) * diff->added);
	TextSlice  *names = palloc(sizeof(TextSlice) * diff->added);
	TextSlice  *thumbnails = palloc(sizeof(TextSlice) * diff->added);
	int			position = FirstFreePosition(call, diff->added);
	int			n = 0;

	for (int i = 0; i < listing->count; i++)
	{
		const ListedFile *file = &listing->files[i];

		if (!file->isPhoto || diff->fates[i] != FILE_NEW)
			continue;
		UuidV7(&ids[n]);
		externalIds[n] = file->id;
		names[n] = file->name;
		thumbnails[n++] = file->thumbnail;
	}
	{
		Datum		values[] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id), TimestampTzGetDatum(call->now),
			UuidArray(ids, n), SliceArray(externalIds, n), SliceArray(names, n), SliceArray(thumbnails, n),
		Int32GetDatum(position), Int32GetDatum(position + n - 1)};

		return (int) StoreRun(PLAN_SYNC_INSERT, values, NULL);
	}
}

/* Return the position after the last live photo of the tag. */
static int
FirstFreePosition(const SyncCall *call, int needed)
{
	Datum		values[2] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id)};
	int64		first;

	(void) StoreRun(PLAN_SYNC_LAST_POSITION, values, NULL);
	first = StoreIsNull(0, 1) ? 0 : (int64) StoreInt(0, 1) + 1;
	if (first + needed - 1 > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("no position is left after the last photo of tag %s", UuidText(&call->tag.id)),
				 errhint("Number its photos anew: SELECT photoflow.reorder_photos('%s', '{}').", UuidText(&call->tag.id))));
	return (int) first;
}

static int
UpdatePhotos(const SyncCall *call, const SyncDiff *diff)
{
	const Listing *listing = call->listing;
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * diff->changed);
	TextSlice  *names = palloc(sizeof(TextSlice) * diff->changed);
	TextSlice  *thumbnails = palloc(sizeof(TextSlice) * diff->changed);
	int			n = 0;

	for (int i = 0; i < listing->count; i++)
	{
		if (diff->fates[i] != FILE_CHANGED || !listing->files[i].isPhoto)
			continue;
		ids[n] = diff->rows[i];
		names[n] = listing->files[i].name;
		thumbnails[n++] = listing->files[i].thumbnail;
	}
	{
		Datum		values[] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id), TimestampTzGetDatum(call->now),
			UuidArray(ids, n), SliceArray(names, n), SliceArray(thumbnails, n), Int32GetDatum(n)};

		return (int) StoreRun(PLAN_SYNC_UPDATE, values, NULL);
	}
}

static int
RemovePhotos(const SyncCall *call, const SyncDiff *diff)
{
	Datum		values[] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id), TimestampTzGetDatum(call->now),
	UuidArray(diff->gone, diff->ngone), Int32GetDatum(diff->ngone)};

	return (int) StoreRun(PLAN_SYNC_REMOVE, values, NULL);
}

/* Move the tag on; where this call begins the run, the tag is told who did. */
static void
WriteTag(const SyncCall *call)
{
	const pg_uuid_t *given = ContextUser();
	pg_uuid_t  *user = given ? DatumGetUUIDP(UuidCopyDatum(given)) : NULL;	/* a trigger may change the context */
	Datum		values[] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id), TimestampTzGetDatum(call->now),
	Int32GetDatum(StatusAfter(call)), Int32GetDatum(TAG_STATUS_SYNCING), UUIDPGetDatum(user)};

	(void) StoreRun(PLAN_SYNC_TAG, values, user ? NULL : "     n");
}

/* Remember what this page named, or forget the run's pages at its end. */
static void
WritePages(const SyncCall *call, const SyncDiff *diff)
{
	pg_uuid_t	page;
	Datum		values[5] = {UUIDPGetDatum(&call->tag.org), UUIDPGetDatum(&call->tag.id)};

	if (call->isLast && diff->pages > 0)
		(void) StoreRun(PLAN_SYNC_PAGES_FORGET, values, NULL);
	if (call->isLast || diff->nunseen == 0)
		return;
	UuidV7(&page);
	values[2] = TimestampTzGetDatum(call->now);
	values[3] = UUIDPGetDatum(&page);
	values[4] = SliceArray(diff->unseen, diff->nunseen);
	(void) StoreRun(PLAN_SYNC_PAGE_ADD, values, NULL);
}

static Datum
MakeResult(FunctionCallInfo fcinfo, const SyncCall *call, const SyncDiff *diff, const SyncCounts *counts)
{
	TupleDesc	desc;
	int			unchanged = diff->stored - diff->changed;
	Datum		values[] = {Int32GetDatum(counts->inserted), Int32GetDatum(counts->updated), Int32GetDatum(unchanged),
		Int32GetDatum(counts->removed), Int32GetDatum(diff->processed),
	Int32GetDatum(call->totalCount < 0 ? diff->processed : call->totalCount)};
	bool		nulls[lengthof(values)] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
