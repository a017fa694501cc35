/*
 * scope.c: who may work without a tenant, and for which one the database then works.
 *
 * Words:
 * - To work across is to work without a tenant, on rows of any organization. The owner of the data tables may,
 *   through photoflow's functions; for plain statements policies are forced on the owner too, so there it takes a
 *   role that bypasses them (a superuser, or BYPASSRLS).
 * - A scope is one organization for as long as a function works on its rows. What the owner does across
 *   organizations is done in the scope of one after the other: triggers, guards and whatever else of a user's runs
 *   on the way sees that organization's rows and no others.
 */
#include "photoflow.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "refusalcount.h"
#include "store.h"
#include "tenant.h"

/* for whom ContextIsOwner() was last worked out */
static Oid	ownerChecked = InvalidOid;
static bool ownerIs = false;

static void ForgetOwner(Datum arg, int cacheid, uint32 hash);
pg_noreturn static void RefuseWithoutTenant(bool isOwner);

void
ScopeInitialize(void)
{
	CacheRegisterSyscacheCallback(AUTHOID, ForgetOwner, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, ForgetOwner, (Datum) 0);
}

static void
ForgetOwner(Datum arg, int cacheid, uint32 hash)
{
	ContextForgetOwner();
}

void
ContextForgetOwner(void)
{
	ownerChecked = InvalidOid;
	ContextForgetRoles();
}

/* Say whether the current user owns the data tables. */
bool
ContextIsOwner(void)
{
	Oid			asking = GetUserId();

	if (asking != ownerChecked)
	{
		const Installation *where = InstallationGet();

		ownerIs = RelationIsOwnedBy(where->albums, asking);
		ownerChecked = asking;
		ContextForgetRoles();
	}
	return ownerIs;
}

const char *
ContextRoleText(void)
{
	const char *roles = ContextRoles();

	if (roles)
		return roles;
	return ContextIsOwner() ? "super_admin" : NULL;
}

static void
RefuseWithoutTenant(bool isOwner)
{
	ereport(ERROR,
			(errcode(ERRCODE_PF_NO_TENANT),
			 errmsg("no organization is set"),
			 isOwner ?
			 errhint("Say whom you work for: SELECT photoflow.set_context(org_id). To work on rows of several "
					 "organizations at once, use a role that bypasses row-level security.") :
			 errhint("Say whom you work for in this transaction: SELECT photoflow.set_context(org_id, user_id, role), "
					 "or photoflow.authenticate(token)."),
			 RefusalCounted()));
}

/* Return the tenant; NULL when none is set and the caller owns the tables; raise PF010 otherwise. */
const pg_uuid_t *
ContextRequireOrg(void)
{
	if (ContextOrg() == NULL && !ContextIsOwner())
		RefuseWithoutTenant(false);
	return ContextOrg();
}

/* Say whether policies leave a statement of the current user on this table alone. */
bool
MayWorkAcross(Oid relid)
{
	return check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED &&
		(ContextIsOwner() || has_bypassrls_privilege(GetUserId()));
}

/* Raise PF010 for a statement on this table that a policy would silently keep from every row. */
void
RequireTenantFor(Oid relid)
{
	if (ContextOrg() == NULL && !MayWorkAcross(relid))
		RefuseWithoutTenant(ContextIsOwner());
}

/* Return the tenant; raise PF010 when none is set, whoever asks. */
const pg_uuid_t *
RequireTenant(void)
{
	if (ContextOrg() == NULL)
		RefuseWithoutTenant(ContextIsOwner());
	return ContextOrg();
}

/* Work for an organization until TenantLeave(), unless a tenant is set: then it is that organization already. */
void
TenantEnter(TenantScope *scope, const pg_uuid_t *org)
{
	scope->gucLevel = 0;
	if (ContextOrg())
		return;
	scope->gucLevel = NewGUCNestLevel();
	ContextSetOrg(org);
}

void
TenantLeave(const TenantScope *scope)
{
	if (scope->gucLevel > 0)
		AtEOXact_GUC(true, scope->gucLevel);
}
