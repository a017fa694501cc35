/*
 * album.c: reads rows of "Albums", from a trigger's slot or from the table.
 *
 * Columns are found by name once per relation and forgotten when the relation changes.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "album.h"
#include "relwatch.h"
#include "store.h"

static struct
{
	Oid			relation;
	int			id;
	int			org;
	int			state;
	int			version;
	int			isDeleted;
}			columns;

static void FindColumns(Relation relation);
static int	FindColumn(Relation relation, const char *name, Oid type);
static void ForgetColumns(Datum arg, Oid relid);
static void ReadRow(uint64 row, Album *album);

void
AlbumInitialize(void)
{
	WatchRelations(ForgetColumns);
}

static void
ForgetColumns(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == columns.relation)
		columns.relation = InvalidOid;
}

static int
FindColumn(Relation relation, const char *name, Oid type)
{
	int			number = SPI_fnumber(RelationGetDescr(relation), name);

	if (number <= 0 || SPI_gettypeid(RelationGetDescr(relation), number) != type)
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("table \"%s\" has no column \"%s\" of type %s", RelationGetRelationName(relation), name,
						format_type_be(type)),
				 errhint("Run CALL photoflow.migrate().")));
	return number;
}

static void
FindColumns(Relation relation)
{
	if (columns.relation == RelationGetRelid(relation))
		return;
	/* whoever may create a table could otherwise have the owner write history for a table of his own */
	if (RelationGetRelid(relation) != InstallationGet()->albums)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("photoflow's triggers of albums are for photoflow's table \"Albums\" only"),
				 errhint("SELECT photoflow.attach() puts them where they belong.")));
	columns.id = FindColumn(relation, "Id", UUIDOID);
	columns.org = FindColumn(relation, "OrgId", UUIDOID);
	columns.state = FindColumn(relation, "AlbumState", INT4OID);
	columns.version = FindColumn(relation, "WorkflowVersion", INT4OID);
	columns.isDeleted = FindColumn(relation, "IsDeleted", BOOLOID);
	columns.relation = RelationGetRelid(relation);
}

/* Read a row in a trigger; a column that is NULL reads as zero. */
void
AlbumFromSlot(Relation relation, TupleTableSlot *slot, Album *album)
{
	bool		isNull;
	Datum		value;

	FindColumns(relation);
	memset(album, 0, sizeof(*album));
	value = slot_getattr(slot, columns.id, &isNull);
	if (!isNull)
		album->id = *DatumGetUUIDP(value);
	value = slot_getattr(slot, columns.org, &isNull);
	if (!isNull)
		album->org = *DatumGetUUIDP(value);
	album->state = DatumGetInt32(slot_getattr(slot, columns.state, &isNull));
	album->version = DatumGetInt32(slot_getattr(slot, columns.version, &isNull));
	album->isDeleted = DatumGetBool(slot_getattr(slot, columns.isDeleted, &isNull));
}

bool
AlbumStateIsNull(Relation relation, TupleTableSlot *slot)
{
	FindColumns(relation);
	return slot_attisnull(slot, columns.state);
}

bool
AlbumVersionIsNull(Relation relation, TupleTableSlot *slot)
{
	FindColumns(relation);
	return slot_attisnull(slot, columns.version);
}

int
AlbumIdColumn(Relation relation)
{
	FindColumns(relation);
	return columns.id;
}

int
AlbumStateColumn(Relation relation)
{
	FindColumns(relation);
	return columns.state;
}

int
AlbumVersionColumn(Relation relation)
{
	FindColumns(relation);
	return columns.version;
}

static void
ReadRow(uint64 row, Album *album)
{
	album->id = *StoreUuid(row, 1);
	album->org = *StoreUuid(row, 2);
	album->state = StoreInt(row, 3);
	album->version = StoreInt(row, 4);
	album->isDeleted = DatumGetBool(StoreDatum(row, 5));
}

/*
 * Read one album of the caller's organization; return whether it is there. Raise PF010 without an organization.
 * Locked means FOR NO KEY UPDATE, and as it is once the lock is had.
 */
bool
AlbumRead(const pg_uuid_t *id, bool lock, Album *album)
{
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[3] = {UUIDPGetDatum(id), Int32GetDatum(1), UUIDPGetDatum(org)};
	bool		found;

	InstallationRequire("Albums", lock ? ACL_UPDATE : ACL_SELECT);
	if (AlbumFetch(id, org, lock, album, &found))
		return found;
	StoreBegin();
	found = StoreRun(org ? (lock ? PLAN_ALBUM_LOCK_IN_ORG : PLAN_ALBUM_READ_IN_ORG) :
					 (lock ? PLAN_ALBUM_LOCK : PLAN_ALBUM_READ), values, NULL) > 0;
	if (found)
		ReadRow(0, album);
	StoreEnd();
	return found;
}

/* Lock albums of the caller's organization; return those that are there, ordered by id. */
Album *
AlbumsLock(const pg_uuid_t *ids, int count, int *found)
{
	MemoryContext caller = CurrentMemoryContext;
	const pg_uuid_t *org = ContextRequireOrg();
	Datum		values[3] = {UuidArray(ids, count), Int32GetDatum(count), UUIDPGetDatum(org)};
	Album	   *albums;

	InstallationRequire("Albums", ACL_UPDATE);
	StoreBegin();
	*found = (int) StoreRun(org ? PLAN_ALBUMS_LOCK_IN_ORG : PLAN_ALBUMS_LOCK, values, NULL);
	albums = MemoryContextAllocExtended(caller, sizeof(Album) * Max(*found, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *found; i++)
		ReadRow(i, &albums[i]);
	StoreEnd();
	return albums;
}
