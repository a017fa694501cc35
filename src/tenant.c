/*
 * tenant.c: who is asking.
 *
 * Words:
 * - The context is the settings photoflow.org_id, user_id, role, request_id and correlation_id.
 * - A tenant is set when the context has an organization.
 * - A verified context comes from a signed token (token.c). It is a setting of its own, photoflow.verified_context,
 *   which nothing but authenticate() can set. While photoflow.require_token is on, it alone counts: whatever the
 *   others were given, by SET, by ALTER ROLE or in the connection's options, is not looked at.
 *
 * A value is parsed once, in its setting's check hook; the assign hook keeps what was parsed, which the settings
 * machinery owns and frees when the value changes. Parallel workers get the settings from their leader, the verified
 * context with them: only while a worker is being set up, when no code of a user's can run, is it taken on trust.
 */
#include "photoflow.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "tenant.h"

/* said by a SET that is refused, and by set_context() */
#define TOKEN_ONLY "the context can only be set with a token"
#define TOKEN_ONLY_DETAIL "\"photoflow.require_token\" is on for this session."
#define TOKEN_ONLY_HINT "SELECT * FROM photoflow.authenticate(token) sets it for the transaction."

static char *orgText;
static char *userText;
static char *roleText;
static char *requestText;
static char *correlationText;
static char *verifiedText;

static const pg_uuid_t *givenOrg;
static const pg_uuid_t *givenUser;
static const char *givenRoles;
static const VerifiedContext *verified;
static bool requireToken = false;
static int	requireTokenAssigned = 0;
static bool settingVerified = false;

/*
 * What counts now: of the above, the given or the verified. current_org() returns a pointer to the organization, which
 * an open scan keeps as its key. So each of a transaction has a place of its own until the transaction ends; the one
 * that is left then comes home.
 */
static pg_uuid_t homePlace;
static const pg_uuid_t *org;
static const pg_uuid_t *user;
static const char *roles;
static uint64 rolesGeneration = 1;

static bool CheckGiven(char **value, void **extra, GucSource source);
static bool CheckUuid(char **value, void **extra, GucSource source);
static bool CheckOrg(char **value, void **extra, GucSource source);
static bool CheckVerified(char **value, void **extra, GucSource source);
static void AssignOrg(const char *value, void *extra);
static void AssignUser(const char *value, void *extra);
static void AssignRole(const char *value, void *extra);
static void AssignVerified(const char *value, void *extra);
static void AssignRequireToken(bool value, void *extra);
static void WorkOutContext(void);
static pg_uuid_t *PlaceOrg(const pg_uuid_t *value);
static void BringOrgHome(XactEvent event, void *arg);
static void DefineRequireToken(void);
static void DefineString(const char *name, const char *description, char **variable, GucStringCheckHook check,
						 GucStringAssignHook assign);
static void SetLocal(const char *name, const char *current, const char *value);
static void SetVerified(const char *name, const char *value, GucAction action);

/* Refuse who, what and as whom to everybody but authenticate(), where a token is required. */
static bool
CheckGiven(char **value, void **extra, GucSource source)
{
	if (!requireToken || settingVerified || InitializingParallelWorker || *value == NULL || **value == '\0')
		return true;
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg(TOKEN_ONLY);
	GUC_check_errdetail(TOKEN_ONLY_DETAIL);
	GUC_check_errhint(TOKEN_ONLY_HINT);
	return false;
}

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
	if (!CheckGiven(value, extra, source))
		return false;
	*extra = guc_malloc(LOG, sizeof(pg_uuid_t));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &parsed, sizeof(parsed));
	return true;
}

/* Rows of the audit log that belong to nobody have the nil uuid: no application works for that, only the database itself does. */
static bool
CheckOrg(char **value, void **extra, GucSource source)
{
	if (!CheckUuid(value, extra, source))
		return false;
	if (*extra && !settingVerified && !InitializingParallelWorker && UuidIsNil(*extra))
	{
		GUC_check_errdetail("The nil uuid is no organization.");
		return false;
	}
	return true;
}

static bool
CheckVerified(char **value, void **extra, GucSource source)
{
	if (*value == NULL || **value == '\0')
		return true;
	if (settingVerified || InitializingParallelWorker)
	{
		*extra = VerifiedParse(*value);
		return *extra != NULL;
	}
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("\"photoflow.verified_context\" cannot be set");
	GUC_check_errhint("It comes from a token: SELECT * FROM photoflow.authenticate(token).");
	return false;
}

static void
AssignOrg(const char *value, void *extra)
{
	givenOrg = extra;
	WorkOutContext();
}

static void
AssignUser(const char *value, void *extra)
{
	givenUser = extra;
	WorkOutContext();
}

static void
AssignRole(const char *value, void *extra)
{
	givenRoles = value && *value ? value : NULL;
	WorkOutContext();
	ContextForgetRoles();
}

static void
AssignVerified(const char *value, void *extra)
{
	verified = extra;
	WorkOutContext();
	ContextForgetRoles();
}

static void
AssignRequireToken(bool value, void *extra)
{
	requireToken = value;
	requireTokenAssigned++;
	WorkOutContext();
	ContextForgetRoles();
}

/* Take the verified context or the given one, whichever counts now. */
static void
WorkOutContext(void)
{
	const pg_uuid_t *now = requireToken ? (verified ? &verified->org : NULL) : givenOrg;

	if (now == NULL)
		org = NULL;
	else if (org == NULL || !UuidEquals(org, now))
		org = PlaceOrg(now);
	user = requireToken ? (verified && verified->hasUser ? &verified->user : NULL) : givenUser;
	roles = requireToken ? (verified && verified->roles[0] ? verified->roles : NULL) : givenRoles;
}

/* Settings are also put back while a transaction ends: its scans are over then, and its memory is about to go. */
static pg_uuid_t *
PlaceOrg(const pg_uuid_t *value)
{
	bool		running = IsTransactionState() || GetCurrentTransactionNestLevel() > 1;
	pg_uuid_t  *place = running ? MemoryContextAlloc(TopTransactionContext, sizeof(pg_uuid_t)) : &homePlace;

	*place = *value;
	return place;
}

/* What stays set when a transaction ends leaves its memory. */
static void
BringOrgHome(XactEvent event, void *arg)
{
	if (org && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE ||
				event == XACT_EVENT_PARALLEL_COMMIT || event == XACT_EVENT_PARALLEL_ABORT))
	{
		homePlace = *org;
		org = &homePlace;
	}
}

static void
DefineString(const char *name, const char *description, char **variable, GucStringCheckHook check,
			 GucStringAssignHook assign)
{
	DefineCustomStringVariable(name, description, NULL, variable, "", PGC_USERSET, 0, check, assign, NULL);
}

/*
 * Define photoflow.require_token so that a client cannot talk its way out of it. Before the library is loaded the
 * name is a placeholder that anybody may give a value, in the connection's options even one that hides what ALTER
 * ROLE says. PostgreSQL drops such a value with a warning, and the hidden one with it: then a token is required.
 */
static void
DefineRequireToken(void)
{
	bool		placeholder = GetConfigOption("photoflow.require_token", true, false) != NULL;

	/* set by a superuser for the logins of applications, so that only a signed token says whom they work for */
	DefineCustomBoolVariable("photoflow.require_token", "Whether only a verified token sets the context.", NULL,
							 &requireToken, false, PGC_SUSET, 0, NULL, AssignRequireToken, NULL);
	if (placeholder && requireTokenAssigned < 2)
		SetConfigOption("photoflow.require_token", "on", PGC_SUSET, PGC_S_OVERRIDE);
}

void
ContextDefineSettings(void)
{
	DefineRequireToken();
	/* set by the application for each request, best by photoflow.set_context() */
	DefineString("photoflow.org_id", "The organization that the application works for.", &orgText, CheckOrg, AssignOrg);
	DefineString("photoflow.user_id", "The application user.", &userText, CheckUuid, AssignUser);
	/* decides which triggers may be fired; the owner of the tables acts as super_admin while it is unset */
	DefineString("photoflow.role", "The role or roles of the application user, separated by commas.", &roleText,
				 CheckGiven, AssignRole);
	/* to find a request again in logs and history */
	DefineString("photoflow.request_id", "The id of the request.", &requestText, NULL, NULL);
	DefineString("photoflow.correlation_id", "The id that requests of one operation share.", &correlationText, NULL, NULL);
	/* nobody's to set: it carries what authenticate() found to parallel workers, and back at a ROLLBACK TO */
	DefineCustomStringVariable("photoflow.verified_context", "The organization, user and roles of the verified token.",
							   NULL, &verifiedText, "", PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   CheckVerified, AssignVerified, NULL);
	RegisterXactCallback(BringOrgHome, NULL);
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

/* NULL or empty when unset. */
const char *
ContextRequestId(void)
{
	return requestText;
}

const char *
ContextCorrelationId(void)
{
	return correlationText;
}

/* Grows whenever what a role may do has to be worked out anew. */
uint64
ContextRolesGeneration(void)
{
	return rolesGeneration;
}

void
ContextForgetRoles(void)
{
	rolesGeneration++;
}

/* Set one setting for this transaction; not where that would change nothing. */
static void
SetLocal(const char *name, const char *current, const char *value)
{
	if (strcmp(current ? current : "", value ? value : "") != 0)
		(void) set_config_option(name, value ? value : "", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* Set one setting past the check that only lets a verified value pass. */
static void
SetVerified(const char *name, const char *value, GucAction action)
{
	settingVerified = true;
	PG_TRY();
	{
		(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, action, true, 0, false);
	}
	PG_FINALLY();
	{
		settingVerified = false;
	}
	PG_END_TRY();
}

/* Set the context of this transaction from a verified token, with a token required or not. */
void
ContextSetVerified(const pg_uuid_t *tokenOrg, const pg_uuid_t *tokenUser, const char *tokenRoles)
{
	SetVerified("photoflow.verified_context", VerifiedText(tokenOrg, tokenUser, tokenRoles), GUC_ACTION_LOCAL);
	SetVerified("photoflow.org_id", UuidText(tokenOrg), GUC_ACTION_LOCAL);
	SetVerified("photoflow.user_id", tokenUser ? UuidText(tokenUser) : "", GUC_ACTION_LOCAL);
	SetVerified("photoflow.role", tokenRoles ? tokenRoles : "", GUC_ACTION_LOCAL);
}

/* Work for an organization until the present level of settings ends; see scope.c. */
void
ContextSetOrg(const pg_uuid_t *organization)
{
	if (requireToken)
		SetVerified("photoflow.verified_context", VerifiedText(organization, NULL, NULL), GUC_ACTION_SAVE);
	else
		SetVerified("photoflow.org_id", UuidText(organization), GUC_ACTION_SAVE);
}

PHOTOFLOW_FUNCTION(photoflow_set_context)
{
	if (requireToken && !(PG_ARGISNULL(0) && PG_ARGISNULL(1) && PG_ARGISNULL(2)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg(TOKEN_ONLY),
				 errdetail(TOKEN_ONLY_DETAIL),
				 errhint(TOKEN_ONLY_HINT)));
	SetLocal("photoflow.verified_context", verifiedText, NULL);
	SetLocal("photoflow.org_id", orgText, PG_ARGISNULL(0) ? NULL : UuidText(PG_GETARG_UUID_P(0)));
	SetLocal("photoflow.user_id", userText, PG_ARGISNULL(1) ? NULL : UuidText(PG_GETARG_UUID_P(1)));
	SetLocal("photoflow.role", roleText, PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	SetLocal("photoflow.request_id", requestText, PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));
	SetLocal("photoflow.correlation_id", correlationText,
			 PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4)));
	PG_RETURN_VOID();
}

/* The place itself, not a copy: this is asked for every row that a policy looks at. */
PHOTOFLOW_FUNCTION(photoflow_current_org)
{
	if (org == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(org);
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
