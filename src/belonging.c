/*
 * belonging.c: the triggers that keep each row in one organization.
 *
 * Words:
 * - A parent is the row that a foreign key names; a child's "OrgId" is always its parent's.
 * - The arguments of both triggers are the logical table name, then pairs of a column and the table it names:
 *     CREATE TRIGGER ... EXECUTE FUNCTION photoflow.tenant_fill('AlbumTags', 'AlbumId', 'Albums',
 *                                                               'PublicUrlId', 'PublicUrls')
 *
 * The composite foreign keys are what guarantees it; the triggers fill in and give the better error. So the last
 * parent seen may be remembered for the rest of the transaction without asking again. It is locked, as the foreign
 * key's check would lock it: who deletes it waits (cascade.c), and what was live when we looked stays so.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "belonging.h"
#include "deletion.h"
#include "photo.h"
#include "refusalcount.h"
#include "store.h"
#include "tenant.h"

/* where "OrgId" of a parent is found: in one organization, or wherever the row is */
typedef struct ParentTable
{
	const char *name;
	StorePlan	inOrg;
	StorePlan	anywhere;
	pg_uuid_t	lastId;
	pg_uuid_t	lastOrg;
	bool		lastDeleted;
	bool		remembered;
} ParentTable;

static ParentTable parents[] = {
	{.name = "Albums", .inOrg = PLAN_ALBUM_IN_ORG, .anywhere = PLAN_ALBUM_ORG},
	{.name = "AlbumTags", .inOrg = PLAN_TAG_IN_ORG, .anywhere = PLAN_TAG_ORG},
	{.name = "PhotoProcs", .inOrg = PLAN_PHOTO_IN_ORG, .anywhere = PLAN_PHOTO_ORG},
	{.name = "PublicUrls", .inOrg = PLAN_URL_IN_ORG, .anywhere = PLAN_URL_ORG},
	{.name = "Organizations", .inOrg = PLAN_ORGANIZATION, .anywhere = PLAN_ORGANIZATION},
};

static ParentTable *FindParentTable(const char *name);
static bool IsMarked(const char *table, const pg_uuid_t *id);
static const pg_uuid_t *ParentOrg(ParentTable *parent, const pg_uuid_t *id, const pg_uuid_t *expected);
static char **TriggerArguments(TriggerData *trigger);
static const pg_uuid_t *GetUuid(TriggerData *trigger, HeapTuple tuple, const char *column, pg_uuid_t *copy);
static const pg_uuid_t *OrgFromParents(TriggerData *trigger, const pg_uuid_t *org, bool live, pg_uuid_t *copy);
static void RequireLiveParent(const ParentTable *parent, const pg_uuid_t *id);
static void RequireLiveOrganization(const char *table, const pg_uuid_t *org);
static bool NewRowIsDeleted(TriggerData *trigger);
static HeapTuple SetOrg(TriggerData *trigger, HeapTuple tuple, const pg_uuid_t *org);
pg_noreturn static void RefuseCrossTenant(const char *table, const char *parent);

/* Forget remembered parents: at the end of a transaction, where they may have been rolled back. */
void
BelongingForget(void)
{
	for (size_t i = 0; i < lengthof(parents); i++)
		parents[i].remembered = false;
}

static ParentTable *
FindParentTable(const char *name)
{
	for (size_t i = 0; i < lengthof(parents); i++)
		if (strcmp(parents[i].name, name) == 0)
			return &parents[i];
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("\"%s\" is not a table that others hang on", name),
			 errhint("SELECT photoflow.attach() puts photoflow's triggers where they belong.")));
}

/*
 * Say whether a row that we have locked is deleted, as it is now. The lock itself may have waited for who deletes it, and
 * then still returns the version from before, whose key is the same.
 */
static bool
IsMarked(const char *table, const pg_uuid_t *id)
{
	Datum		values[1] = {UUIDPGetDatum(id)};

	return StoreRunOn(PLAN_IS_MARKED, SoftTableByName(table), values, NULL) == 0 || DatumGetBool(StoreDatum(0, 1));
}

/*
 * Return the organization of a parent, NULL when it is not found: looked for in the expected organization only,
 * where one is expected, so that a row elsewhere looks as if it were not there.
 */
static const pg_uuid_t *
ParentOrg(ParentTable *parent, const pg_uuid_t *id, const pg_uuid_t *expected)
{
	Datum		values[2];
	uint64		found;

	if (parent->remembered && UuidEquals(&parent->lastId, id))
		return expected == NULL || UuidEquals(&parent->lastOrg, expected) ? &parent->lastOrg : NULL;
	values[0] = UUIDPGetDatum(id);
	values[1] = UUIDPGetDatum(expected);
	StoreBegin();
	found = StoreRun(expected ? parent->inOrg : parent->anywhere, values, NULL);
	if (found > 0)
	{
		parent->lastId = *id;
		parent->lastOrg = *StoreUuid(0, 1);
		parent->lastDeleted = IsMarked(parent->name, id);
		parent->remembered = true;
	}
	StoreEnd();
	return found > 0 ? &parent->lastOrg : NULL;
}

/*
 * Return the arguments; the first, the table's logical name, must be there. On a table of somebody else's the triggers
 * would look for parents in the owner's name for him.
 */
static char **
TriggerArguments(TriggerData *trigger)
{
	if (RelationGetNamespace(trigger->tg_relation) != InstallationGet()->schemaOid)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("photoflow's triggers are for tables in its data schema only"),
				 errhint("SELECT photoflow.attach() puts them where they belong.")));
	if (trigger->tg_trigger->tgnargs < 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" has no arguments", trigger->tg_trigger->tgname),
				 errhint("SELECT photoflow.attach() puts photoflow's triggers where they belong.")));
	return trigger->tg_trigger->tgargs;
}

/* Copy a uuid column; return NULL when it is NULL. */
static const pg_uuid_t *
GetUuid(TriggerData *trigger, HeapTuple tuple, const char *column, pg_uuid_t *copy)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);
	bool		isNull;
	Datum		value;

	if (number <= 0 || SPI_gettypeid(desc, number) != UUIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("table \"%s\" has no column \"%s\" of type uuid", RelationGetRelationName(trigger->tg_relation),
						column),
				 errhint("SELECT photoflow.attach() puts photoflow's triggers where they belong.")));
	value = SPI_getbinval(tuple, desc, number, &isNull);
	if (isNull)
		return NULL;
	*copy = *DatumGetUUIDP(value);
	return copy;
}

static HeapTuple
SetOrg(TriggerData *trigger, HeapTuple tuple, const pg_uuid_t *org)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, "OrgId");
	Datum		value = UUIDPGetDatum(org);
	bool		isNull = false;

	return heap_modify_tuple_by_cols(tuple, desc, 1, &number, &value, &isNull);
}

/* The same words whether the parent is missing or another organization's. */
static void
RefuseCrossTenant(const char *table, const char *parent)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "table", table);
	JsonAddText(&detail, "parent", parent);
	ereport(ERROR,
			(errcode(ERRCODE_PF_CROSS_TENANT),
			 parent ? errmsg("row of \"%s\" would hang on a row of \"%s\" that is not in its organization", table, parent) :
			 errmsg("row of \"%s\" would belong to another organization", table),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("Leave \"OrgId\" out: it is filled in from the parent or from the context. It never changes."),
			 RefusalCounted()));
}

/* Refuse a new child of a deleted row; the parent is the one that was found last. */
static void
RequireLiveParent(const ParentTable *parent, const pg_uuid_t *id)
{
	if (parent->lastDeleted)
		RefuseMarkedRow(parent->name, id);
}

/*
 * Return the organization that the parents of a new row give it, or the expected one; refuse parents elsewhere, and
 * deleted ones for a live row. A tenant is told nothing about those elsewhere; the owner is told PF011 where the parent
 * is elsewhere, 23503 where it is not.
 */
static const pg_uuid_t *
OrgFromParents(TriggerData *trigger, const pg_uuid_t *org, bool live, pg_uuid_t *copy)
{
	char	  **args = trigger->tg_trigger->tgargs;
	pg_uuid_t	idCopy;

	for (int i = 1; i + 1 < trigger->tg_trigger->tgnargs; i += 2)
	{
		ParentTable *parent = FindParentTable(args[i + 1]);
		const pg_uuid_t *id = GetUuid(trigger, trigger->tg_trigtuple, args[i], &idCopy);
		const pg_uuid_t *found = id ? ParentOrg(parent, id, org) : NULL;

		if (id == NULL)
			continue;			/* NOT NULL is the table's to say */
		if (found == NULL && org && (ContextOrg() || ParentOrg(parent, id, NULL)))
			RefuseCrossTenant(args[0], args[i + 1]);
		if (found == NULL && org == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("new row of \"%s\" names a row of \"%s\" that does not exist", args[0], args[i + 1]),
					 errdetail_internal("{\"table\": \"%s\", \"%s\": \"%s\"}", args[0], args[i], UuidText(id)),
					 errhint("Insert the row of \"%s\" first.", args[i + 1])));
		if (found && live)
			RequireLiveParent(parent, id);
		if (found && org == NULL)
		{
			*copy = *found;
			org = copy;
		}
	}
	return org;
}

/* Refuse a new live row of a deleted organization, in the tables that hang on their organization alone. */
static void
RequireLiveOrganization(const char *table, const pg_uuid_t *org)
{
	SoftTableId known = SoftTableByName(table);
	ParentTable *parent;

	if (known == SOFT_NONE || softTables[known].parent != SOFT_ORGANIZATIONS)
		return;
	parent = FindParentTable(softTables[SOFT_ORGANIZATIONS].name);
	if (ParentOrg(parent, org, NULL))
		RequireLiveParent(parent, org);
}

/* Rows are born live, without what goes with a deletion; only the owner of the tables loads deleted ones. */
static bool
NewRowIsDeleted(TriggerData *trigger)
{
	const char *table = trigger->tg_trigger->tgargs[0];
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	SoftColumns columns;
	bool		isNull;
	bool		isDeleted;

	if (!SoftColumnsLookup(trigger->tg_relation, &columns) || columns.isDeleted <= 0)
		return false;
	isDeleted = DatumGetBool(heap_getattr(trigger->tg_trigtuple, columns.isDeleted, desc, &isNull)) && !isNull;
	if (isDeleted && !ContextIsOwner())
		ereport(ERROR,
				(errcode(ERRCODE_PF_ROW_IS_DELETED),
				 errmsg("new row of \"%s\" would be deleted already", table),
				 errhint("Leave \"IsDeleted\" out, and delete the row afterwards. Only the owner of the tables loads deleted rows.")));
	if (!isDeleted && columns.deletionId > 0 &&
		(!heap_attisnull(trigger->tg_trigtuple, columns.deletedAt, desc) ||
		 !heap_attisnull(trigger->tg_trigtuple, columns.deletedBy, desc) ||
		 !heap_attisnull(trigger->tg_trigtuple, columns.deletionId, desc)))
		RefuseBooks(table);
	return isDeleted;
}

PHOTOFLOW_FUNCTION(photoflow_tenant_fill)
{
	TriggerData *trigger;
	char	  **args;
	pg_uuid_t	givenCopy;
	pg_uuid_t	orgCopy;
	const pg_uuid_t *given;
	const pg_uuid_t *org;
	bool		live;

	trigger = RequireTrigger(fcinfo, "tenant_fill", BEFORE_INSERT_ROW, "BEFORE INSERT FOR EACH ROW");
	args = TriggerArguments(trigger);
	given = GetUuid(trigger, trigger->tg_trigtuple, "OrgId", &givenCopy);
	RequireTenantFor(RelationGetRelid(trigger->tg_relation));
	org = ContextOrg();
	if (org && given && !UuidEquals(org, given))
		RefuseCrossTenant(args[0], NULL);
	live = !NewRowIsDeleted(trigger);
	org = OrgFromParents(trigger, org ? org : given, live, &orgCopy);
	if (org == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NO_TENANT),
				 errmsg("no organization is set for the new row of \"%s\"", args[0]),
				 errhint("Give \"OrgId\", or say whom you work for: SELECT photoflow.set_context(org_id)."),
				 RefusalCounted()));
	if (live)
		RequireLiveOrganization(args[0], org);
	return PointerGetDatum(given ? trigger->tg_trigtuple : SetOrg(trigger, trigger->tg_trigtuple, org));
}

/*
 * Once a statement, ahead of its rows: a statement that policies would keep from every row must not look as if there
 * were none. TRUNCATE knows no policies; only who may work across organizations takes the rows of all of them, and only
 * the owner who has said so.
 *     CREATE TRIGGER ... BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ... FOR EACH STATEMENT
 *         EXECUTE FUNCTION photoflow.tenant_require('Albums')
 */
PHOTOFLOW_FUNCTION(photoflow_tenant_require)
{
	TriggerData *trigger = RequireStatementTrigger(fcinfo, "tenant_require", TRIGGER_EVENT_BEFORE,
												   "BEFORE ... FOR EACH STATEMENT");

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) &&
		(ContextOrg() || !(ContextIsOwner() || MayWorkAcross(RelationGetRelid(trigger->tg_relation)))))
		ereport(ERROR,
				(errcode(ERRCODE_PF_CROSS_TENANT),
				 errmsg("TRUNCATE would take the rows of every organization"),
				 errhint("Delete the rows of your organization instead."),
				 RefusalCounted()));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) && !HardDeleteAllowed())
		ereport(ERROR,
				(errcode(ERRCODE_PF_HARD_DELETE_REFUSED),
				 errmsg("TRUNCATE would really delete all rows of \"%s\"", RelationGetRelationName(trigger->tg_relation)),
				 errdetail_internal("{\"table\": \"%s\"}", RelationGetRelationName(trigger->tg_relation)),
				 errhint("The owner of the tables may, after SET photoflow.hard_delete = on."),
				 RefusalCounted()));
	if (ContextOrg() == NULL && !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		RequireTenantFor(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_tenant_keep)
{
	TriggerData *trigger;
	char	  **args;
	pg_uuid_t	oldOrg;
	pg_uuid_t	newOrg;
	pg_uuid_t	id;

	trigger = RequireTrigger(fcinfo, "tenant_keep", AFTER_UPDATE_ROW, "AFTER UPDATE FOR EACH ROW");
	args = TriggerArguments(trigger);
	if (!GetUuid(trigger, trigger->tg_trigtuple, "OrgId", &oldOrg) ||
		!GetUuid(trigger, trigger->tg_newtuple, "OrgId", &newOrg) || !UuidEquals(&oldOrg, &newOrg))
		RefuseCrossTenant(args[0], NULL);
	if (ContextOrg() && !UuidEquals(ContextOrg(), &newOrg))
		RefuseCrossTenant(args[0], NULL);
	if (trigger->tg_relation->rd_rel->relrowsecurity)
		RequireTenantFor(RelationGetRelid(trigger->tg_relation));
	for (int i = 1; i + 1 < trigger->tg_trigger->tgnargs; i += 2)
	{
		ParentTable *parent = FindParentTable(args[i + 1]);

		if (!GetUuid(trigger, trigger->tg_newtuple, args[i], &id))
			continue;
		if (ParentOrg(parent, &id, &newOrg))
		{
			RequireLiveParent(parent, &id);
			continue;
		}
		if (ContextOrg() || !ContextIsOwner() || ParentOrg(parent, &id, NULL))
			RefuseCrossTenant(args[0], args[i + 1]);
	}
	return PointerGetDatum(NULL);
}
