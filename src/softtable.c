/*
 * softtable.c: the tables whose rows are deleted softly.
 */
#include "photoflow.h"

#include "catalog/partition.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "relwatch.h"
#include "softtable.h"
#include "store.h"

const SoftTable softTables[SOFT_TABLE_COUNT] = {
	[SOFT_ORGANIZATIONS] = {"Organizations", "Organization", "organization", SOFT_NONE, NULL, "Id"},
	[SOFT_USERS] = {"Users", "User", "user", SOFT_ORGANIZATIONS, "OrgId", "OrgId"},
	[SOFT_PUBLIC_URLS] = {"PublicUrls", "PublicUrl", "public url", SOFT_ORGANIZATIONS, "OrgId", "OrgId"},
	[SOFT_ALBUMS] = {"Albums", "Album", "album", SOFT_ORGANIZATIONS, "OrgId", "OrgId"},
	[SOFT_ALBUM_TAGS] = {"AlbumTags", "AlbumTag", "tag", SOFT_ALBUMS, "AlbumId", "OrgId"},
	[SOFT_PHOTOS] = {"PhotoProcs", "PhotoProc", "photo", SOFT_ALBUM_TAGS, "AlbumTagId", "OrgId"},
	[SOFT_COMMENTS] = {"PhotoComments", "PhotoComment", "comment", SOFT_PHOTOS, "PhotoProcId", "OrgId"},
	[SOFT_LIKES] = {"PhotoLikes", "PhotoLike", "like", SOFT_PHOTOS, "PhotoProcId", "OrgId"},
	[SOFT_FAILURES] = {"FailureRecords", "FailureRecord", "failure record", SOFT_NONE, NULL, "OrgId"},
	[SOFT_AUDIT] = {"AuditLogs", "AuditLog", "audit log entry", SOFT_NONE, NULL, "OrgId"},
};

/* columns of the relations that triggers were last fired on; forgotten when one of them changes */
static SoftColumns kept[SOFT_TABLE_COUNT];
static int	nextKept = 0;

static void ForgetColumns(Datum arg, Oid relid);
static SoftTableId TableOf(Oid relid);

void
SoftTableInitialize(void)
{
	WatchRelations(ForgetColumns);
}

static void
ForgetColumns(Datum arg, Oid relid)
{
	for (int i = 0; i < SOFT_TABLE_COUNT; i++)
		if (relid == InvalidOid || kept[i].relation == relid)
			kept[i].relation = InvalidOid;
}

SoftTableId
SoftTableByName(const char *name)
{
	for (int table = 0; table < SOFT_TABLE_COUNT; table++)
		if (strcmp(softTables[table].name, name) == 0)
			return table;
	return SOFT_NONE;
}

bool
SoftTableHasChildren(SoftTableId table)
{
	for (int child = table + 1; child < SOFT_TABLE_COUNT; child++)
		if (softTables[child].parent == table)
			return true;
	return false;
}

/* Return which table of ours this is; raise 42809 for another's, PF040 where it is of an older version. */
SoftTableId
SoftTableRequire(Oid relid)
{
	const char *name = get_rel_name(relid);
	SoftTableId table = name && InstallationOwnsTable(relid) ? SoftTableByName(name) : SOFT_NONE;

	if (table == SOFT_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table whose rows are deleted softly", name ? name : psprintf("%u", relid)),
				 errhint("It is one of photoflow's tables with \"IsDeleted\", for example \"Albums\".")));
	if (get_attnum(relid, "DeletionId") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("table \"%s\" has no column \"DeletionId\" yet", name),
				 errhint("Run CALL photoflow.migrate().")));
	return table;
}

/* Raise PF040 where the tables are of an older version: the last of the tables of soft delete is the last to be made. */
void
RequireSoftDelete(void)
{
	(void) SoftTableRequire(SoftTableRelation(SOFT_ALBUMS));
	if (!OidIsValid(get_relname_relid("RetentionRules", InstallationGet()->schemaOid)))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("the data tables have no place for deletions yet"),
				 errhint("Run CALL photoflow.migrate().")));
}

/* Refuse who may not update "IsDeleted" of a table. */
void
RequireMayMark(SoftTableId table)
{
	Oid			relid = SoftTableRelation(table);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_UPDATE) != ACLCHECK_OK &&
		pg_attribute_aclcheck(relid, get_attnum(relid, "IsDeleted"), GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, softTables[table].name);
}

/* Return the data table; raise PF040 where it is missing. */
Oid
SoftTableRelation(SoftTableId table)
{
	Oid			relid = get_relname_relid(softTables[table].name, InstallationGet()->schemaOid);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("there is no table \"%s\"", softTables[table].name),
				 errhint("Run SELECT photoflow.create_tables().")));
	return relid;
}

/* Find the columns by name; InvalidAttrNumber where there is none. */
void
SoftColumnsFind(Relation relation, const char *orgColumn, SoftColumns *columns)
{
	Oid			relid = RelationGetRelid(relation);

	columns->id = get_attnum(relid, "Id");
	columns->org = get_attnum(relid, orgColumn);
	columns->isDeleted = get_attnum(relid, "IsDeleted");
	columns->deletedAt = get_attnum(relid, "DeletedAt");
	columns->deletedBy = get_attnum(relid, "DeletedBy");
	columns->deletionId = get_attnum(relid, "DeletionId");
	columns->relation = relid;
}

/* Return which table this is, or is a partition of; by its name. */
static SoftTableId
TableOf(Oid relid)
{
	List	   *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;
	Oid			root = ancestors != NIL ? llast_oid(ancestors) : relid;	/* none while it is being detached */
	const char *name = get_rel_name(root);

	return name && get_rel_namespace(root) == InstallationGet()->schemaOid ? SoftTableByName(name) : SOFT_NONE;
}

/*
 * Find where a trigger's relation has its columns. Return false for anybody else's: the cascade would run in the owner's
 * name for him.
 */
bool
SoftColumnsLookup(Relation relation, SoftColumns *columns)
{
	SoftTableId table;

	for (int i = 0; i < SOFT_TABLE_COUNT; i++)
		if (kept[i].relation == RelationGetRelid(relation))
		{
			*columns = kept[i];
			return true;
		}
	table = TableOf(RelationGetRelid(relation));
	if (table == SOFT_NONE || !InstallationOwnsTable(RelationGetRelid(relation)))
		return false;
	SoftColumnsFind(relation, softTables[table].orgColumn, columns);
	columns->table = table;
	nextKept = (nextKept + 1) % SOFT_TABLE_COUNT;
	kept[nextKept] = *columns;
	return true;
}

/* The same; raise 39P01 where it is no table of ours, PF040 where a column is missing. */
SoftColumns
SoftColumnsOf(Relation relation)
{
	SoftColumns columns;

	if (!SoftColumnsLookup(relation, &columns))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("photoflow's triggers of deletions are for photoflow's tables only"),
				 errhint("SELECT photoflow.attach() puts them where they belong.")));
	if (columns.id <= 0 || columns.org <= 0 || columns.isDeleted <= 0 || columns.deletedAt <= 0 ||
		columns.deletedBy <= 0 || columns.deletionId <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("table \"%s\" lacks a column of soft delete", RelationGetRelationName(relation)),
				 errhint("Run CALL photoflow.migrate().")));
	return columns;
}
