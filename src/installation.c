/*
 * installation.c: knows where the data tables are.
 *
 * The answer is cached for the session and forgotten when photoflow.installation, one of the
 * tables named here or a schema changes. The generation grows when the tables turn out to be in another schema.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "relwatch.h"
#include "store.h"

static Installation installation;
static Oid	installationTable;
static bool valid = false;
static uint64 generation = 1;
static uint64 invalidations = 0;

static const Installation *FindInstallation(void);
static bool LoadInstallation(Installation *found);
static bool ReadSchema(NameData *schema);
static void ForgetInstallation(Datum arg, Oid relid);
static void ForgetInstallationSchema(Datum arg, int cacheid, uint32 hash);
static void ResetInstallation(void);

void
InstallationInitialize(void)
{
	WatchRelations(ForgetInstallation);
	CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetInstallationSchema, (Datum) 0);
}

/* Return where the data tables are; raise PF040 when there are none. */
const Installation *
InstallationGet(void)
{
	const Installation *found = FindInstallation();

	if (found == NULL || !OidIsValid(found->albums) || !OidIsValid(found->workflows) || !OidIsValid(found->history))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("photoflow has no data tables in this database"),
				 found == NULL ? errhint("Make them with SELECT photoflow.create_tables().") :
				 errhint("They were in schema \"%s\"; if it was renamed, update photoflow.installation.",
						 NameStr(found->schema))));
	return found;
}

/* The same, but NULL when create_tables() has never run; tables that are missing are InvalidOid. */
static const Installation *
FindInstallation(void)
{
	Installation found;

	if (valid)
		return &installation;
	if (!LoadInstallation(&found))
		return NULL;
	if (strcmp(NameStr(found.schema), NameStr(installation.schema)) != 0)
		generation++;
	installation = found;
	return &installation;
}

/*
 * Refuse callers who have no privilege, on the table or on a column of it, to do what is then done in the owner's
 * name: reading in the owner's name must not tell more than the caller may read.
 */
void
InstallationRequire(const char *table, AclMode privilege)
{
	Oid			relid = get_relname_relid(table, InstallationGet()->schemaOid);

	if (OidIsValid(relid) && pg_class_aclcheck(relid, GetUserId(), privilege) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), privilege, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, table);
}

/*
 * Say whether it is a table, and of the owner of the data tables. Whoever may create in their schema could otherwise
 * put a view of a name that we look for there, and its functions would run as the owner.
 */
bool
InstallationOwnsTable(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		owns = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		owns = (class->relkind == RELKIND_RELATION || class->relkind == RELKIND_PARTITIONED_TABLE) &&
			class->relowner == InstallationGet()->owner && class->relnamespace == InstallationGet()->schemaOid;
		ReleaseSysCache(tuple);
	}
	return owns;
}

uint64
InstallationGeneration(void)
{
	return generation;
}

static bool
LoadInstallation(Installation *found)
{
	uint64		before = invalidations;
	HeapTuple	class;

	memset(found, 0, sizeof(*found));
	if (!ReadSchema(&found->schema))
		return false;
	found->schemaOid = get_namespace_oid(NameStr(found->schema), true);
	if (OidIsValid(found->schemaOid))
	{
		found->albums = get_relname_relid("Albums", found->schemaOid);
		found->workflows = get_relname_relid("WorkflowVersions", found->schemaOid);
		found->history = get_relname_relid("AlbumTransitions", found->schemaOid);
	}
	class = SearchSysCache1(RELOID, ObjectIdGetDatum(found->albums));
	if (HeapTupleIsValid(class))
	{
		found->owner = ((Form_pg_class) GETSTRUCT(class))->relowner;
		ReleaseSysCache(class);
	}
	/* an invalidation that arrived while we read may concern what we read: do not keep it then */
	valid = before == invalidations && OidIsValid(found->owner) && OidIsValid(found->workflows) &&
		OidIsValid(found->history);
	return true;
}

static bool
ReadSchema(NameData *schema)
{
	bool		found;

	installationTable = get_relname_relid("installation", get_namespace_oid("photoflow", false));
	StoreBegin();
	if (SPI_execute("SELECT data_schema FROM photoflow.installation", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read photoflow.installation");
	found = SPI_processed == 1;
	if (found)
		*schema = *DatumGetName(StoreDatum(0, 1));
	StoreEnd();
	return found;
}

static void
ForgetInstallation(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == installationTable || relid == installation.albums ||
		relid == installation.workflows || relid == installation.history)
		ResetInstallation();
}

static void
ForgetInstallationSchema(Datum arg, int cacheid, uint32 hash)
{
	ResetInstallation();
}

static void
ResetInstallation(void)
{
	valid = false;
	invalidations++;
	ContextForgetOwner();
}
