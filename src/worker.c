/*
 * worker.c: who may work on failure records, and on whose.
 *
 * A worker is who may execute failure_worker(): that privilege is all that grant_worker() gives. The functions of the queue
 * then work for him on every organization's records; no table, and no other function, does.
 */
#include "photoflow.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "catalog/namespace.h"
#include "failure.h"
#include "grant.h"
#include "photo.h"
#include "steps.h"
#include "store.h"

/* failure_worker(), until the catalog of functions changes */
static Oid	marker = InvalidOid;

static void ForgetMarker(Datum arg, int cacheid, uint32 hash);
static Oid	FindMarker(void);
static List *MarkerOwner(void);
static List *MarkerGrantors(Oid role);
static void ChangeMarker(FunctionCallInfo fcinfo, const char *statement, bool grants, const char *query);

void
FailureWorkerInitialize(void)
{
	CacheRegisterSyscacheCallback(PROCOID, ForgetMarker, (Datum) 0);
}

static void
ForgetMarker(Datum arg, int cacheid, uint32 hash)
{
	marker = InvalidOid;
}

static Oid
FindMarker(void)
{
	if (!OidIsValid(marker))
	{
		oidvector  *none = buildoidvector(NULL, 0);

		marker = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("failure_worker"), PointerGetDatum(none),
								 ObjectIdGetDatum(get_namespace_oid("photoflow", false)));
		if (!OidIsValid(marker))
			ereport(ERROR,
					(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
					 errmsg("there is no function photoflow.failure_worker()"),
					 errhint("ALTER EXTENSION photoflow UPDATE; CALL photoflow.migrate();")));
	}
	return marker;
}

bool
IsFailureWorker(void)
{
	return FunctionIsExecutable(FindMarker(), GetUserId());
}

/*
 * Return whose records the caller works on: NULL for everybody's. Raise PF010 for who has no tenant and is neither worker nor
 * owner, PF005 for another organization than the tenant, 42501 for who may not do it to the table itself.
 */
const pg_uuid_t *
FailureScope(const pg_uuid_t *named, AclMode privilege)
{
	bool		worker = IsFailureWorker();
	const pg_uuid_t *org = worker ? ContextOrg() : ContextRequireOrg();

	if (!worker)
		InstallationRequire("FailureRecords", privilege);
	if (org && named && !UuidEquals(org, named))
		ereport(ERROR,
				(errcode(ERRCODE_PF_NOT_FOUND),
				 errmsg("organization %s not found", UuidText(named)),
				 errdetail_internal("{\"entity\": \"Organization\", \"id\": \"%s\"}", UuidText(named)),
				 errhint("Leave \"org_id\" out to work for your own organization.")));
	return org ? org : named;
}

PHOTOFLOW_FUNCTION(photoflow_failure_worker)
{
	PG_RETURN_BOOL(true);
}

/* $1: the marker, $2: the role */
static const char *const grantorsQuery =
	"SELECT DISTINCT a.grantor FROM pg_proc p, aclexplode(p.proacl) a WHERE p.oid = $1 AND a.grantee = $2";

/* Who owns the marker grants the privilege. */
static List *
MarkerOwner(void)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(FindMarker()));
	Oid			owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;

	ReleaseSysCache(tuple);
	return list_make1_oid(owner);
}

/* Who has granted it takes it back: after a restore, or a GRANT by hand, that is not only who owns the marker. */
static List *
MarkerGrantors(Oid role)
{
	Oid			types[2] = {OIDOID, OIDOID};
	Datum		values[2] = {ObjectIdGetDatum(FindMarker()), ObjectIdGetDatum(role)};
	uint64		count = RunSteps(grantorsQuery, 2, types, values);
	List	   *grantors = NIL;

	for (uint64 i = 0; i < count; i++)
		grantors = lappend_oid(grantors, DatumGetObjectId(StoreDatum(i, 1)));
	return grantors;
}

/* Run a statement on the marker in the name of who grants it, for the owner of the tables; a superuser's query is run after it. */
static void
ChangeMarker(FunctionCallInfo fcinfo, const char *statement, bool grants, const char *query)
{
	StepScope	scope;
	char	   *role;
	ListCell   *cell;

	RequireArgument(fcinfo, 0, "worker_role", "Give the name of a role.");
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	RequireTargetOwner(FindInstalledTarget());
	role = pstrdup(quote_identifier(GetUserNameFromId(PG_GETARG_OID(0), false)));
	foreach(cell, grants ? MarkerOwner() : MarkerGrantors(PG_GETARG_OID(0)))
	{
		SetUserIdAndSecContext(lfirst_oid(cell), scope.context | SECURITY_LOCAL_USERID_CHANGE);
		(void) RunSteps(psprintf(statement, role), 0, NULL, NULL);
		SetUserIdAndSecContext(scope.user, scope.context);
	}
	PreloadFor(role, query);
	LeaveSteps(&scope);
	StoreEnd();
}

PHOTOFLOW_FUNCTION(photoflow_grant_worker)
{
	ChangeMarker(fcinfo, "GRANT EXECUTE ON FUNCTION photoflow.failure_worker() TO %s", true, preloadStatement);
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_revoke_worker)
{
	ChangeMarker(fcinfo, "REVOKE EXECUTE ON FUNCTION photoflow.failure_worker() FROM %s", false, unloadStatement);
	PG_RETURN_VOID();
}
