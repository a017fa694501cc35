/*
 * verified.c: what a token has said, as the text of a setting: "ORGANIZATION USER ROLES", the last two may be empty.
 */
#include "photoflow.h"

#include "tenant.h"

char *
VerifiedText(const pg_uuid_t *org, const pg_uuid_t *user, const char *roles)
{
	return psprintf("%s %s %s", UuidText(org), user ? UuidText(user) : "", roles ? roles : "");
}

/* Parse what VerifiedText() has written, into memory of the settings machinery; NULL when there is none left. */
VerifiedContext *
VerifiedParse(const char *text)
{
	char	   *orgId = pstrdup(text);
	char	   *userId = strchr(orgId, ' ');
	char	   *roles = userId ? strchr(userId + 1, ' ') : NULL;
	VerifiedContext *parsed = guc_malloc(LOG, offsetof(VerifiedContext, roles) + strlen(text) + 1);

	if (parsed == NULL)
		return NULL;
	if (roles == NULL)
		elog(ERROR, "malformed verified context");
	*userId++ = *roles++ = '\0';
	parsed->hasUser = *userId != '\0';
	if (!UuidParse(orgId, &parsed->org) || (parsed->hasUser && !UuidParse(userId, &parsed->user)))
		elog(ERROR, "malformed verified context");
	strcpy(parsed->roles, roles);
	pfree(orgId);
	return parsed;
}
