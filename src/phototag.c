/*
 * phototag.c: finds and locks the tag that photos are in, and refuses what is missing or deleted.
 *
 * A row of another organization is refused in the same words as one that does not exist.
 */
#include "photo.h"

#include "photoflow.h"
#include "store.h"

#define MAX_IDS_SHOWN 10

static void ReadTag(PhotoTag *tag, uint64 found);
static char *DescribeRows(const char *entity, const pg_uuid_t *ids, int count);

/* Find a tag of the context's organization; raise PF005, PF010 or PF021. */
void
PhotoTagFind(PhotoTag *tag, const pg_uuid_t *id)
{
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[2] = {UUIDPGetDatum(id), UUIDPGetDatum(org)};

	InstallationRequire("PhotoProcs", ACL_UPDATE);
	tag->id = *id;
	ReadTag(tag, StoreRun(org ? PLAN_TAG_FIND : PLAN_TAG_FIND_ANYWHERE, values, NULL));
}

/*
 * Lock the tag and read it anew. Whoever adds, removes or moves photos of a tag holds this lock, so that two of
 * them never give the same position twice. The album is locked first, as by fire() and vote(): none of them waits
 * for another in a circle, and what a guard saw stays true. It does not disturb foreign key checks.
 */
void
PhotoTagLock(PhotoTag *tag)
{
	Datum		values[2] = {UUIDPGetDatum(&tag->id), UUIDPGetDatum(&tag->org)};
	Datum		album[3] = {UUIDPGetDatum(&tag->album), Int32GetDatum(1), UUIDPGetDatum(&tag->org)};

	(void) StoreRun(PLAN_ALBUM_LOCK_IN_ORG, album, NULL);
	ReadTag(tag, StoreRun(PLAN_TAG_LOCK, values, NULL));
}

static void
ReadTag(PhotoTag *tag, uint64 found)
{
	if (found == 0)
		RefuseMissingRows("AlbumTag", "tag", &tag->id, 1);
	if (DatumGetBool(StoreDatum(0, 6)))
		RefuseDeletedRows("AlbumTag", "tag", &tag->id, 1);
	tag->org = *StoreUuid(0, 1);
	tag->album = *StoreUuid(0, 2);
	tag->type = StoreInt(0, 3);
	tag->status = StoreInt(0, 4);
	tag->workflow = StoreInt(0, 5);
}

static char *
DescribeRows(const char *entity, const pg_uuid_t *ids, int count)
{
	JsonText	detail;
	const char *shown[MAX_IDS_SHOWN];
	int			nshown = Min(count, MAX_IDS_SHOWN);

	JsonBegin(&detail);
	JsonAddText(&detail, "entity", entity);
	if (count == 1)
	{
		JsonAddUuid(&detail, "id", ids);
		return JsonEnd(&detail);
	}
	for (int i = 0; i < nshown; i++)
		shown[i] = UuidText(&ids[i]);
	JsonAddInt(&detail, "count", count);
	JsonAddRaw(&detail, "ids", JsonTextArray(shown, nshown));
	return JsonEnd(&detail);
}

/* Raise PF005; DETAIL names the first few rows. */
void
RefuseMissingRows(const char *entity, const char *noun, const pg_uuid_t *ids, int count)
{
	ereport(ERROR,
			(errcode(ERRCODE_PF_NOT_FOUND),
			 count == 1 ? errmsg("%s %s not found", noun, UuidText(ids)) : errmsg("%d %ss not found", count, noun),
			 errdetail_internal("%s", DescribeRows(entity, ids, count)),
			 errhint("Check the id, where it is looked for, and the organization you work for: SELECT photoflow.current_org().")));
}

/* Raise PF021; DETAIL names the first few rows. */
void
RefuseDeletedRows(const char *entity, const char *noun, const pg_uuid_t *ids, int count)
{
	ereport(ERROR,
			(errcode(ERRCODE_PF_ROW_IS_DELETED),
			 count == 1 ? errmsg("%s %s is deleted", noun, UuidText(ids)) : errmsg("%d %ss are deleted", count, noun),
			 errdetail_internal("%s", DescribeRows(entity, ids, count)),
			 errhint("Work with live rows, or bring it back with photoflow.restore(); photoflow.deletions lists what is deleted.")));
}
