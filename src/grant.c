/*
 * grant.c: the privileges of an application's login: what it needs and nothing else.
 *
 * A grant begins by taking away what the role has on photoflow's tables, so that afterwards it has just what is said
 * here, whatever somebody granted before. DELETE marks; no TRUNCATE (which knows no policies), nothing on partitions, on
 * history or on secrets, and no password hash unless it is asked for.
 */
#include "grant.h"

#include "photoflow.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "steps.h"
#include "store.h"

static void RequireAppRole(const StepTarget *target, const char *role);
static void RequireUsage(const StepTarget *target, Oid role, const char *roleName);
static StepTarget *BeginGrant(FunctionCallInfo fcinfo, StepScope *scope, char **role);
static void RunStatements(const StepTarget *target, const char *query, const char *role, bool passwords);

/* $1: the role, quoted, $2: the owner of the tables */
static const char *const unheldQuery =
	"SELECT r.rolname, r.oid = $1::regrole FROM pg_roles r WHERE pg_has_role($1::regrole, r.oid, 'MEMBER')"
	" AND (r.rolsuper OR r.rolbypassrls OR r.oid = $2 OR r.rolname IN"
	" ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))"
	" ORDER BY r.oid <> $1::regrole, r.rolsuper DESC, r.rolbypassrls DESC, r.rolname LIMIT 1";

/* $1: the data schema, $2: the role, quoted; tables and views that the steps make, and partitions */
static const char *const revokeStatements =
	"SELECT string_agg(format('REVOKE ALL ON TABLE %s FROM %s', c.oid::regclass, $2), '; ') FROM pg_class c"
	" WHERE c.relnamespace = $1 AND c.relkind IN ('r', 'p', 'v') AND EXISTS (SELECT FROM photoflow.table_steps t,"
	" regexp_matches(t.sql, 'CREATE (?:TABLE|VIEW) [{]schema[}][.]\"([^\"]+)\"', 'g') m WHERE c.relname = m[1]"
	" OR c.oid IN (SELECT p.relid FROM pg_class r, pg_partition_tree(r.oid) p WHERE r.relnamespace = $1 AND r.relname = m[1]))";

/* $3: with the password hashes. A table without its columns is granted as a whole. */
static const char *const grantStatements =
	"WITH wanted (tbl, privileges, without) AS (VALUES"
	" ('Organizations', '{SELECT}'::text[], NULL), ('Users', '{SELECT}', NULL),"
	" ('PublicUrls', '{SELECT,INSERT,UPDATE,DELETE}', NULL),"
	" ('Albums', '{SELECT,INSERT,UPDATE,DELETE}', CASE WHEN NOT $3 THEN 'HashedPassword' END),"
	" ('AlbumTags', '{SELECT,INSERT,UPDATE,DELETE}', NULL), ('PhotoProcs', '{SELECT,INSERT,UPDATE,DELETE}', NULL),"
	" ('PhotoComments', '{SELECT,INSERT,UPDATE,DELETE}', NULL), ('PhotoLikes', '{SELECT,INSERT,UPDATE,DELETE}', NULL),"
	" ('FailureRecords', '{SELECT,INSERT,UPDATE,DELETE}', NULL), ('AuditLogs', '{SELECT,INSERT}', NULL),"
	" ('LiveAlbums', '{SELECT,INSERT,UPDATE,DELETE}', NULL), ('LiveAlbumTags', '{SELECT,INSERT,UPDATE,DELETE}', NULL),"
	" ('LivePhotoProcs', '{SELECT,INSERT,UPDATE,DELETE}', NULL)),"
	" columns AS (SELECT w.tbl, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS list"
	"  FROM wanted w JOIN pg_class c ON c.relnamespace = $1 AND c.relname = w.tbl"
	"  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> w.without"
	"  GROUP BY w.tbl)"
	" SELECT format('GRANT USAGE ON SCHEMA %s TO %s; ', $1::regnamespace, $2) || string_agg(format('GRANT %s ON TABLE %s TO %s',"
	"  (SELECT string_agg(p || CASE WHEN p <> 'DELETE' THEN coalesce(' (' || l.list || ')', '') ELSE '' END, ', ')"
	"   FROM unnest(w.privileges) p), c.oid::regclass, $2),"
	"  '; ')"
	" FROM wanted w JOIN pg_class c ON c.relnamespace = $1 AND c.relname = w.tbl LEFT JOIN columns l USING (tbl)";

const char *const preloadStatement = "SELECT photoflow.preload_statement($1::regrole)";
const char *const unloadStatement =
	"SELECT format('ALTER ROLE %s IN DATABASE %I RESET session_preload_libraries', $1, current_database())"
	" FROM pg_db_role_setting s WHERE s.setrole = $1::regrole AND 'session_preload_libraries=photoflow' = ANY (s.setconfig)"
	" AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())";

/* Refuse roles that policies do not hold, or that may become one: a grant would look like a border and be none. */
static void
RequireAppRole(const StepTarget *target, const char *role)
{
	Oid			types[2] = {TEXTOID, OIDOID};
	Datum		values[2] = {CStringGetTextDatum(role), ObjectIdGetDatum(target->owner)};

	if (RunSteps(unheldQuery, 2, types, values) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 DatumGetBool(StoreDatum(0, 2)) ?
				 errmsg("role %s sees every organization: policies do not hold it", role) :
				 errmsg("role %s may become %s, who sees every organization", role, StoreCString(0, 1)),
				 errhint("Give the application a login of its own: CREATE ROLE app LOGIN.")));
}

/* The owner of the tables need not be that of their schema, whose grant PostgreSQL then skips with a warning. */
static void
RequireUsage(const StepTarget *target, Oid role, const char *roleName)
{
	if (!SchemaIsUsable(target->schemaOid, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role %s has no USAGE on schema \"%s\"", roleName, NameStr(target->schema)),
				 errhint("Its owner: GRANT USAGE ON SCHEMA %s TO %s;", quote_identifier(NameStr(target->schema)), roleName)));
}

static StepTarget *
BeginGrant(FunctionCallInfo fcinfo, StepScope *scope, char **role)
{
	StepTarget *target;

	RequireArgument(fcinfo, 0, "app_role", "Give the name of a role.");
	StoreBegin();
	EnterSteps(scope, GetUserId());
	target = FindInstalledTarget();
	RequireTargetOwner(target);
	*role = pstrdup(quote_identifier(GetUserNameFromId(PG_GETARG_OID(0), false)));
	SetUserIdAndSecContext(target->owner, scope->context | SECURITY_LOCAL_USERID_CHANGE);
	SetInScope("client_min_messages", "error");
	return target;
}

/* Run the statements that a query makes. */
static void
RunStatements(const StepTarget *target, const char *query, const char *role, bool passwords)
{
	Oid			types[3] = {OIDOID, TEXTOID, BOOLOID};
	Datum		values[3] = {ObjectIdGetDatum(target->schemaOid), CStringGetTextDatum(role), BoolGetDatum(passwords)};

	RunGenerated(query, 3, types, values);
}

/* A superuser's to say which libraries a session loads: for anybody else check_tenancy() says what to ask for. */
void
PreloadFor(const char *role, const char *query)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(role)};

	if (superuser())
		RunGenerated(query, 1, types, values);
}

PHOTOFLOW_FUNCTION(photoflow_grant_app)
{
	StepScope	scope;
	char	   *role;
	StepTarget *target = BeginGrant(fcinfo, &scope, &role);

	RequireAppRole(target, role);
	RunStatements(target, revokeStatements, role, false);
	RunStatements(target, grantStatements, role, !PG_ARGISNULL(1) && PG_GETARG_BOOL(1));
	RequireUsage(target, PG_GETARG_OID(0), role);
	SetUserIdAndSecContext(scope.user, scope.context);
	PreloadFor(role, preloadStatement);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_revoke_app)
{
	StepScope	scope;
	char	   *role;
	StepTarget *target = BeginGrant(fcinfo, &scope, &role);

	RunStatements(target, revokeStatements, role, false);
	RunSteps(psprintf("REVOKE ALL ON SCHEMA %s FROM %s", quote_identifier(NameStr(target->schema)), role), 0, NULL, NULL);
	SetUserIdAndSecContext(scope.user, scope.context);
	PreloadFor(role, unloadStatement);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}
