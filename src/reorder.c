/*
 * reorder.c: reorder_photos() gives the photos of a tag new positions, in one statement.
 */
#include "photo.h"

#include "access/xact.h"
#include "catalog/pg_type.h"

#include "photoflow.h"
#include "store.h"
#include "tenant.h"

/* where a photo shall be, and whether it was found */
typedef struct Place
{
	pg_uuid_t	id;
	int			position;
	bool		found;
} Place;

static Place *SortPlaces(const pg_uuid_t *ids, int count);
static int	MovePhotos(const PhotoTag *tag, Place *places, int count);
static void RequireFound(const Place *places, int count);
static Datum IntArray(const int *values, int count);

PHOTOFLOW_FUNCTION(photoflow_reorder_photos)
{
	PhotoTag	tag;
	Place	   *places;
	pg_uuid_t  *ids;
	int			count;
	int			moved;
	TenantScope scope;

	RequireArgument(fcinfo, 0, "tag_id", NULL);
	RequireArgument(fcinfo, 1, "photo_ids", NULL);
	(void) ContextRequireOrg();
	StoreBegin();
	ids = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(1), "photo_ids", &count);
	places = SortPlaces(ids, count);
	PhotoTagFind(&tag, PG_GETARG_UUID_P(0));
	TenantEnter(&scope, &tag.org);
	PhotoTagLock(&tag);
	moved = MovePhotos(&tag, places, count);
	TenantLeave(&scope);
	StoreEnd();
	PG_RETURN_INT32(moved);
}

/* Return the places of the ids, sorted by id; raise 22023 when one is named twice. */
static Place *
SortPlaces(const pg_uuid_t *ids, int count)
{
	Place	   *places = palloc(sizeof(Place) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		places[i].id = ids[i];
		places[i].position = i;
		places[i].found = false;
	}
	qsort(places, count, sizeof(Place), UuidCompare);	/* the id comes first in a Place */
	for (int i = 1; i < count; i++)
	{
		JsonText	detail;

		if (!UuidEquals(&places[i].id, &places[i - 1].id))
			continue;
		JsonBegin(&detail);
		JsonAddUuid(&detail, "id", &places[i].id);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("photo %s is named twice", UuidText(&places[i].id)),
				 errdetail_internal("%s", JsonEnd(&detail)),
				 errhint("A photo has one position: name each only once in \"photo_ids\".")));
	}
	return places;
}

/* Work out where each photo of the tag belongs, and write the positions that change; return how many. */
static int
MovePhotos(const PhotoTag *tag, Place *places, int count)
{
	Datum		key[2] = {UUIDPGetDatum(&tag->org), UUIDPGetDatum(&tag->id)};
	uint64		nphotos = StoreRun(PLAN_REORDER_READ, key, NULL);
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * Max(nphotos, 1));
	int		   *positions = palloc(sizeof(int) * Max(nphotos, 1));
	int			next = count;	/* photos that are not named follow, in the order they come */
	int			moved = 0;

	for (uint64 row = 0; row < nphotos; row++)
	{
		Place	   *place = bsearch(StoreUuid(row, 1), places, count, sizeof(Place), UuidCompare);
		int			position = place ? place->position : next++;

		if (place)
			place->found = true;
		if (position == StoreInt(row, 2))
			continue;
		ids[moved] = *StoreUuid(row, 1);
		positions[moved++] = position;
	}
	RequireFound(places, count);
	if (moved == 0)
		return 0;
	{
		Datum		values[] = {key[0], key[1], TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
		UuidArray(ids, moved), IntArray(positions, moved), Int32GetDatum(moved)};

		return (int) StoreRun(PLAN_REORDER_WRITE, values, NULL);
	}
}

/* Raise PF005 for what is no live photo of the tag. */
static void
RequireFound(const Place *places, int count)
{
	pg_uuid_t  *missing = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	int			nmissing = 0;

	for (int i = 0; i < count; i++)
		if (!places[i].found)
			missing[nmissing++] = places[i].id;
	if (nmissing > 0)
		RefuseMissingRows("PhotoProc", "photo", missing, nmissing);
}

static Datum
IntArray(const int *values, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		elements[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}
