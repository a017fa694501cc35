/*
 * vote.c: vote() sets or takes back the vote on any number of photos, in a few statements.
 */
#include "photo.h"

#include "access/xact.h"

#include "photoflow.h"
#include "store.h"
#include "tenant.h"
#include "workflow.h"

/* a photo to vote on */
typedef struct VotePhoto
{
	pg_uuid_t	id;
	pg_uuid_t	org;
	pg_uuid_t	album;
	bool		deleted;
} VotePhoto;

static VotePhoto *ReadVotePhotos(const pg_uuid_t *ids, int count);
static void RefuseUnfound(const pg_uuid_t *ids, int count, const VotePhoto *photos, int found);
static void RefuseDeletedPhotos(const VotePhoto *photos, int count);
static void LockRatableAlbums(const VotePhoto *photos, int count);
static void RequireRating(const pg_uuid_t *album, int value, int version);
static int	WriteVotes(const VotePhoto *photos, int count, bool voted);

PHOTOFLOW_FUNCTION(photoflow_vote)
{
	int			changed = 0;
	int			count;
	pg_uuid_t  *ids;
	VotePhoto  *photos;

	RequireArgument(fcinfo, 0, "photo_ids", NULL);
	RequireArgument(fcinfo, 1, "voted", NULL);
	(void) ContextRequireOrg();
	InstallationRequire("PhotoProcs", ACL_UPDATE);
	StoreBegin();
	ids = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(0), "photo_ids", &count);
	count = UuidSortUnique(ids, count);
	photos = ReadVotePhotos(ids, count);

	/* the photos come ordered by organization; only the tables' owner can have several */
	for (int first = 0, end; first < count; first = end)
	{
		TenantScope scope;

		for (end = first + 1; end < count && UuidEquals(&photos[first].org, &photos[end].org);)
			end++;
		TenantEnter(&scope, &photos[first].org);
		LockRatableAlbums(photos + first, end - first);
		changed += WriteVotes(photos + first, end - first, PG_GETARG_BOOL(1));
		TenantLeave(&scope);
	}
	StoreEnd();
	PG_RETURN_INT32(changed);
}

/* Read all photos, ordered by organization and album; raise PF005 or PF021 when one is missing or deleted. */
static VotePhoto *
ReadVotePhotos(const pg_uuid_t *ids, int count)
{
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[3] = {UuidArray(ids, count), Int32GetDatum(count), UUIDPGetDatum(org)};
	int			found = (int) StoreRun(org ? PLAN_VOTE_PHOTOS : PLAN_VOTE_PHOTOS_ANYWHERE, values, NULL);
	VotePhoto  *photos = palloc(sizeof(VotePhoto) * Max(found, 1));

	for (int i = 0; i < found; i++)
	{
		photos[i].id = *StoreUuid(i, 1);
		photos[i].org = *StoreUuid(i, 2);
		photos[i].album = *StoreUuid(i, 3);
		photos[i].deleted = DatumGetBool(StoreDatum(i, 4));
	}
	if (found < count)
		RefuseUnfound(ids, count, photos, found);
	RefuseDeletedPhotos(photos, found);
	return photos;
}

/* Raise PF005 naming the ids, which are sorted, that are not among the photos. */
static void
RefuseUnfound(const pg_uuid_t *ids, int count, const VotePhoto *photos, int found)
{
	pg_uuid_t  *present = palloc(sizeof(pg_uuid_t) * Max(found, 1));
	pg_uuid_t  *missing = palloc(sizeof(pg_uuid_t) * count);
	int			nmissing = 0;

	for (int i = 0; i < found; i++)
		present[i] = photos[i].id;
	qsort(present, found, sizeof(pg_uuid_t), UuidCompare);
	for (int i = 0; i < count; i++)
		if (bsearch(&ids[i], present, found, sizeof(pg_uuid_t), UuidCompare) == NULL)
			missing[nmissing++] = ids[i];
	RefuseMissingRows("PhotoProc", "photo", missing, nmissing);
}

static void
RefuseDeletedPhotos(const VotePhoto *photos, int count)
{
	pg_uuid_t  *deleted = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	int			ndeleted = 0;

	for (int i = 0; i < count; i++)
		if (photos[i].deleted)
			deleted[ndeleted++] = photos[i].id;
	qsort(deleted, ndeleted, sizeof(pg_uuid_t), UuidCompare);
	if (ndeleted > 0)
		RefuseDeletedRows("PhotoProc", "photo", deleted, ndeleted);
}

/*
 * Lock the albums of photos of one organization, and refuse those whose state does not allow rating.
 *
 * A vote and a state change of its album exclude each other: fire() locks the album FOR NO KEY UPDATE before it asks
 * the guards, and so do we before we look at its state. Otherwise taking back the last vote and Rate, whose guard wants
 * a vote, could pass each other, and both commit. Votes on one album take turns. The albums are locked in the order of
 * their ids, as everywhere, so that nobody waits in a circle.
 */
static void
LockRatableAlbums(const VotePhoto *photos, int count)
{
	pg_uuid_t  *albums = palloc(sizeof(pg_uuid_t) * count);
	int			nalbums = 0;
	uint64		found;

	for (int i = 0; i < count; i++)
		if (i == 0 || !UuidEquals(&photos[i].album, &photos[i - 1].album))
			albums[nalbums++] = photos[i].album;
	{
		Datum		values[] = {UUIDPGetDatum(&photos[0].org), UuidArray(albums, nalbums), Int32GetDatum(nalbums)};

		found = StoreRun(PLAN_VOTE_LOCK_ALBUMS, values, NULL);
	}
	for (uint64 row = 0; row < found; row++)
	{
		if (DatumGetBool(StoreDatum(row, 4)))
			RefuseDeletedRows("Album", "album", StoreUuid(row, 1), 1);
		RequireRating(StoreUuid(row, 1), StoreInt(row, 2), StoreInt(row, 3));
	}
}

/* Raise PF001 unless photos may be voted on in this state of the album. */
static void
RequireRating(const pg_uuid_t *album, int value, int version)
{
	const Machine *machine = WorkflowMachine(version);
	int			state = MachineStateByValue(machine, value);
	const char **allowed;
	int			nallowed = 0;
	const char *name = state == MACHINE_NONE ? psprintf("%d", value) : machine->states[state].name;
	StringInfoData list;
	JsonText	detail;

	if (state != MACHINE_NONE && machine->states[state].rating)
		return;
	allowed = palloc(sizeof(char *) * machine->nstates);
	initStringInfo(&list);
	for (int i = 0; i < machine->nstates; i++)
	{
		if (!machine->states[i].rating)
			continue;
		appendStringInfo(&list, "%s%s", nallowed > 0 ? ", " : "", machine->states[i].name);
		allowed[nallowed++] = machine->states[i].name;
	}
	JsonBegin(&detail);
	JsonAddUuid(&detail, "album", album);
	JsonAddText(&detail, "state", name);
	JsonAddRaw(&detail, "allowed", JsonTextArray(allowed, nallowed));
	ereport(ERROR,
			(errcode(ERRCODE_PF_TRIGGER_NOT_PERMITTED),
			 errmsg("photos of album %s may not be voted on in state %s", UuidText(album), name),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 nallowed > 0 ? errhint("States that allow it: %s.", list.data) :
			 errhint("No state of workflow version %d allows rating; publish a version in which one does.", version)));
}

/* Write the votes that differ; return how many. */
static int
WriteVotes(const VotePhoto *photos, int count, bool voted)
{
	pg_uuid_t  *ids = palloc(sizeof(pg_uuid_t) * count);

	for (int i = 0; i < count; i++)
		ids[i] = photos[i].id;
	/* sorted, so that two votes on the same photos lock them in the same order */
	qsort(ids, count, sizeof(pg_uuid_t), UuidCompare);
	{
		Datum		values[] = {UUIDPGetDatum(&photos[0].org), UuidArray(ids, count), Int32GetDatum(count),
		BoolGetDatum(voted), TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())};

		return (int) StoreRun(PLAN_VOTE_WRITE, values, NULL);
	}
}

