/*
 * tenant.h: whose rows are worked on, and by whom; photoflow.h has what every file asks.
 */
#ifndef PHOTOFLOW_TENANT_H
#define PHOTOFLOW_TENANT_H

#include "postgres.h"

#include "utils/uuid.h"

/* What a token has said; one allocation of the settings machinery. */
typedef struct VerifiedContext
{
	pg_uuid_t	org;
	pg_uuid_t	user;
	bool		hasUser;
	char		roles[FLEXIBLE_ARRAY_MEMBER];	/* separated by commas; may be empty */
} VerifiedContext;

/* Saved by TenantEnter(), put back by TenantLeave(); an error puts it back as well. */
typedef struct TenantScope
{
	int			gucLevel;		/* 0 where a tenant was set already */
} TenantScope;

/* tenant.c */
extern void ContextSetVerified(const pg_uuid_t *tokenOrg, const pg_uuid_t *tokenUser, const char *tokenRoles);
extern void ContextSetOrg(const pg_uuid_t *organization);
extern void ContextForgetRoles(void);

/* verified.c */
extern char *VerifiedText(const pg_uuid_t *org, const pg_uuid_t *user, const char *roles);
extern VerifiedContext *VerifiedParse(const char *text);

/* scope.c */
extern void ScopeInitialize(void);
extern void TenantEnter(TenantScope *scope, const pg_uuid_t *org);
extern void TenantLeave(const TenantScope *scope);
extern void RequireTenantFor(Oid relid);
extern const pg_uuid_t *RequireTenant(void);
extern bool MayWorkAcross(Oid relid);

#endif
