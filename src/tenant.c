/*
 * tenant.c: who is asking.
 *
 * Words:
 * - The context is the settings photoflow.org_id, user_id, role, request_id and correlation_id.
 * - A tenant is set when photoflow.org_id is. The owner of the data tables (superusers included) may work
 *   without one, across organizations; everybody else needs a tenant and a role.
 *
 * A uuid is parsed once, in its setting's check hook; the assign hook keeps the 16 bytes, which the settings
 * machinery owns and frees when the value changes.
 */
#include "photoflow.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "store.h"

static char *orgText;
static char *userText;
static char *roleText;
static char *requestText;
static char *correlationText;

static const pg_uuid_t *org;
static const pg_uuid_t *user;
static const char *roles;
static uint64 rolesGeneration = 1;

/* for whom ContextIsOwner() was last worked out */
static Oid	ownerChecked = InvalidOid;
static bool ownerIs = false;

static bool CheckUuid(char **value, void **extra, GucSource source);
static void AssignOrg(const char *value, void *extra);
static void AssignUser(const char *value, void *extra);
static void AssignRole(const char *value, void *extra);
static void ForgetOwner(Datum arg, int cacheid, uint32 hash);
static void SetLocal(const char *name, const char *value);

static bool
CheckUuid(char **value, void **extra, GucSource source)
{
	pg_uuid_t	parsed;

	if (*value == NULL || **value == '\0')
		return true;
	if (!UuidParse(*value, &parsed))
	{
		GUC_check_errdetail("It must be a uuid, or empty to unset it.");
		return false;
	}
	*extra = guc_malloc(LOG, sizeof(pg_uuid_t));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &parsed, sizeof(parsed));
	return true;
}

static void
AssignOrg(const char *value, void *extra)
{
	org = extra;
}

static void
AssignUser(const char *value, void *extra)
{
	user = extra;
}

static void
AssignRole(const char *value, void *extra)
{
	roles = value && *value ? value : NULL;
	rolesGeneration++;
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
	rolesGeneration++;
}

void
ContextDefineSettings(void)
{
	/* set by the application for each request, best by photoflow.set_context() */
	DefineCustomStringVariable("photoflow.org_id", "The organization that the application works for.", NULL, &orgText,
							   "", PGC_USERSET, 0, CheckUuid, AssignOrg, NULL);
	DefineCustomStringVariable("photoflow.user_id", "The application user.", NULL, &userText, "", PGC_USERSET, 0,
							   CheckUuid, AssignUser, NULL);
	/* decides which triggers may be fired; the owner of the tables acts as super_admin while it is unset */
	DefineCustomStringVariable("photoflow.role", "The role or roles of the application user, separated by commas.",
							   NULL, &roleText, "", PGC_USERSET, 0, NULL, AssignRole, NULL);
	/* to find a request again in logs and history */
	DefineCustomStringVariable("photoflow.request_id", "The id of the request.", NULL, &requestText, "", PGC_USERSET,
							   0, NULL, NULL, NULL);
	DefineCustomStringVariable("photoflow.correlation_id", "The id that requests of one operation share.", NULL,
							   &correlationText, "", PGC_USERSET, 0, NULL, NULL, NULL);
	CacheRegisterSyscacheCallback(AUTHOID, ForgetOwner, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, ForgetOwner, (Datum) 0);
}

const pg_uuid_t *
ContextOrg(void)
{
	return org;
}

const pg_uuid_t *
ContextUser(void)
{
	return user;
}

const char *
ContextRoles(void)
{
	return roles;
}

const char *
ContextRoleText(void)
{
	if (roles)
		return roles;
	return ContextIsOwner() ? "super_admin" : NULL;
}

/* Grows whenever what a role may do has to be worked out anew. */
uint64
ContextRolesGeneration(void)
{
	return rolesGeneration;
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
		rolesGeneration++;
	}
	return ownerIs;
}

/* Return the tenant; NULL when none is set and the caller owns the tables; raise PF010 otherwise. */
const pg_uuid_t *
ContextRequireOrg(void)
{
	if (org == NULL && !ContextIsOwner())
		ereport(ERROR,
				(errcode(ERRCODE_PF_NO_TENANT),
				 errmsg("no organization is set"),
				 errhint("Say whom you work for in this transaction: SELECT photoflow.set_context(org_id, user_id, role).")));
	return org;
}

static void
SetLocal(const char *name, const char *value)
{
	(void) set_config_option(name, value ? value : "", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

PHOTOFLOW_FUNCTION(photoflow_set_context)
{
	SetLocal("photoflow.org_id", PG_ARGISNULL(0) ? NULL : UuidText(PG_GETARG_UUID_P(0)));
	SetLocal("photoflow.user_id", PG_ARGISNULL(1) ? NULL : UuidText(PG_GETARG_UUID_P(1)));
	SetLocal("photoflow.role", PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	SetLocal("photoflow.request_id", PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));
	SetLocal("photoflow.correlation_id", PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4)));
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_current_org)
{
	if (org == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(UuidCopyDatum(org));
}

PHOTOFLOW_FUNCTION(photoflow_current_user_id)
{
	if (user == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(UuidCopyDatum(user));
}

PHOTOFLOW_FUNCTION(photoflow_current_role_name)
{
	if (roles == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(roles));
}
