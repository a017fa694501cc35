/*
 * lookup.c: two questions whose answer lies past the policies: why a row is not seen, and whose a public link is.
 *
 * Both read in the owner's name, and tell only what the asker may know.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "protect.h"
#include "store.h"
#include "tenant.h"

/* What there is of a row: more than one where an id is not unique, as in a partitioned table. */
typedef struct RowFacts
{
	bool		found;
	bool		mine;			/* of the tenant, or of anybody's where none is set */
	bool		deleted;
} RowFacts;

static void RequireTenantTable(Oid relid);
static RowFacts ReadRow(Oid relid, const pg_uuid_t *id);

/* Refuse what is not one of the data tables with an organization; it stays what it is until the transaction ends. */
static void
RequireTenantTable(Oid relid)
{
	const char *name;

	LockRelationOid(relid, AccessShareLock);
	name = get_rel_name(relid);
	if (!InstallationOwnsTable(relid) || get_attnum(relid, "Id") == InvalidAttrNumber ||
		get_attnum(relid, "OrgId") == InvalidAttrNumber || get_attnum(relid, "IsDeleted") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table of an organization's rows", name ? name : psprintf("%u", relid)),
				 errhint("It is one of photoflow's tables with \"Id\", \"OrgId\" and \"IsDeleted\".")));
	InstallationRequire(name, ACL_SELECT);
}

/* Read in the owner's name and past the policies. */
static RowFacts
ReadRow(Oid relid, const pg_uuid_t *id)
{
	const pg_uuid_t *org = ContextOrg();
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(id)};
	RowFacts	facts = {false, false, false};
	Oid			user;
	int			context;
	int			result;

	StoreBegin();
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(InstallationGet()->owner, context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	result = SPI_execute_with_args(psprintf("SELECT \"OrgId\", \"IsDeleted\" FROM %s WHERE \"Id\" OPERATOR(pg_catalog.=) $1",
											quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
																	   get_rel_name(relid))),
								   1, types, values, NULL, true, 0);
	SetUserIdAndSecContext(user, context);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read \"%s\"", get_rel_name(relid));
	for (uint64 row = 0; row < SPI_processed && !facts.mine; row++)
	{
		facts.found = true;
		facts.mine = org == NULL || UuidEquals(org, StoreUuid(row, 1));
		facts.deleted = DatumGetBool(StoreDatum(row, 2));
	}
	StoreEnd();
	return facts;
}

PHOTOFLOW_FUNCTION(photoflow_why_zero)
{
	Oid			relid;
	RowFacts	facts;
	const char *why;

	RequireArgument(fcinfo, 0, "table_name", "Give the name of a table.");
	RequireArgument(fcinfo, 1, "id", "Give the id of a row.");
	relid = PG_GETARG_OID(0);
	RequireTenantTable(relid);
	(void) ContextRequireOrg();
	facts = ReadRow(relid, PG_GETARG_UUID_P(1));
	if (!facts.found || (!facts.mine && !ContextIsOwner()))
		why = "not found";
	else if (!facts.mine)
		why = "other organization";
	else if (ContextOrg() == NULL && !MayWorkAcross(relid))
		why = "no organization set";
	else
		why = facts.deleted ? "deleted" : "visible";
	PG_RETURN_TEXT_P(cstring_to_text(why));
}

PHOTOFLOW_FUNCTION(photoflow_find_public_url)
{
	Datum		url;

	RequireArgument(fcinfo, 0, "url", "Give the whole address.");
	url = PointerGetDatum(PG_GETARG_TEXT_PP(0));
	InitMaterializedSRF(fcinfo, 0);
	StoreBegin();
	(void) StoreRun(PLAN_PUBLIC_URL, &url, NULL);
	StoreReturnRows((ReturnSetInfo *) fcinfo->resultinfo);
	StoreEnd();
	return (Datum) 0;
}
