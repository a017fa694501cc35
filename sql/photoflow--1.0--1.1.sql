-- photoflow 1.1: tenancy that the database guarantees. Code only: no data table is named outside a step's text.
\echo Use "ALTER EXTENSION photoflow UPDATE TO '1.1'" to load this file. \quit

COMMENT ON FUNCTION photoflow.set_context(uuid, uuid, text, text, text) IS
'Says, for this transaction only, which organization and user the application is working for, in which role (several: separated by commas), and the ids of the request. NULL unsets. Errors: 42501 where photoflow.require_token is on.';
COMMENT ON FUNCTION photoflow.current_org() IS
'Returns the organization of the context (photoflow.org_id, or the verified token''s where photoflow.require_token is on), NULL when unset. The policies of the data tables compare with it.';
-- next to nothing, and so little that a key led by "OrgId" costs the planner the same as the primary key: of equals it takes
-- the one made later, whose pages hold the organization's rows side by side
ALTER FUNCTION photoflow.current_org() COST 0.000000001;

COMMENT ON FUNCTION photoflow.attach() IS
'Puts photoflow''s triggers, policies and defaults back on the data tables, and makes them see what a BEFORE UPDATE trigger of your own changes. Touches no data.';
COMMENT ON FUNCTION photoflow.detach() IS
'Takes photoflow''s triggers, policies and defaults off the data tables. Touches no data; the rules no longer hold until attach(). Row-level security stays on, so that without its policy nobody but who bypasses it sees a row.';
COMMENT ON FUNCTION photoflow.migrate_albums(int, int, jsonb, boolean) IS
'Moves albums from one workflow version to another: a state goes to the state of the same name, or to the one state_map names ({"Old": "New"}). Without a tenant those of all organizations. With dry_run it only reports. Errors: 22023 when a state that albums are in maps to nothing, PF010 no tenant.';

COMMENT ON TABLE photoflow.table_steps IS
'The shape of the data tables, step by step; filled by the extension''s scripts, run by create_tables() and migrate(). {schema} stands for the data schema. A backfill''s sql does one batch of at most $1 rows and is repeated until it touches none; count_sql counts the rows it has still to touch. For a concurrent_index count_sql, with the data schema as $1 (name), says whether the index is there and valid; for a ddl step that has one, whether it may run yet.';

-- Tokens

CREATE FUNCTION photoflow.authenticate(token text, OUT org_id uuid, OUT user_id uuid, OUT role text, OUT expires_at timestamptz)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_authenticate';
REVOKE ALL ON FUNCTION photoflow.authenticate(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.authenticate(text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.authenticate(text) IS
'Verifies a JSON Web Token signed with HS256 (claims org_id, sub, role, exp, nbf, iat) and sets the context from it, for this transaction only. Times may be off by photoflow.token_clock_skew. Errors: PF012 malformed, expired, not signed with a known key, another algorithm; the reason is in DETAIL, nothing of the token is.';

CREATE FUNCTION photoflow.set_token_key(key bytea)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_token_key';
REVOKE ALL ON FUNCTION photoflow.set_token_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_token_key(bytea) TO @extowner@;
COMMENT ON FUNCTION photoflow.set_token_key(bytea) IS
'Makes this the only key that tokens are verified with: 32 bytes or more. It has no key id and is tried on every token. Errors: 22023 too short, 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.add_token_key(key bytea, kid text)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_add_token_key';
REVOKE ALL ON FUNCTION photoflow.add_token_key(bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.add_token_key(bytea, text) TO @extowner@;
COMMENT ON FUNCTION photoflow.add_token_key(bytea, text) IS
'Adds a key (32 bytes or more) for tokens whose header names this key id, or none: the first step of a rotation. Errors: 22023 too short or an empty id, 42710 the id is taken, 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.drop_token_key(kid text)
	RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_drop_token_key';
REVOKE ALL ON FUNCTION photoflow.drop_token_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.drop_token_key(text) TO @extowner@;
COMMENT ON FUNCTION photoflow.drop_token_key(text) IS
'Drops the key of this id, NULL: the one without an id. Tokens signed with it are refused from the next statement of every session on. Returns whether there was one.';

CREATE FUNCTION photoflow.token_key_ids()
	RETURNS text[]
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_token_key_ids';
REVOKE ALL ON FUNCTION photoflow.token_key_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.token_key_ids() TO @extowner@;
COMMENT ON FUNCTION photoflow.token_key_ids() IS
'Returns the ids of the token keys, oldest first; an empty text for the one without an id. Nothing of the keys themselves.';

-- Tenancy

CREATE FUNCTION photoflow.protect_table(table_name regclass)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_protect_table';
REVOKE ALL ON FUNCTION photoflow.protect_table(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.protect_table(regclass) TO @extowner@;
COMMENT ON FUNCTION photoflow.protect_table(regclass) IS
'Enables and forces row-level security on a table with an "OrgId" (one of your own, too) and on its partitions, with the policy "OrgId" = photoflow.current_org(). Does only what is missing. Errors: 42703 no such column, 42501 not the owner of the table.';

CREATE FUNCTION photoflow.grant_app(app_role regrole, passwords boolean DEFAULT false)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_grant_app';
REVOKE ALL ON FUNCTION photoflow.grant_app(regrole, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.grant_app(regrole, boolean) TO @extowner@;
COMMENT ON FUNCTION photoflow.grant_app(regrole, boolean) IS
'Gives the login of an application the least it needs on the data tables, and takes away what else it has on them: no DELETE, no TRUNCATE, no partition, no password hash unless asked for. Called by a superuser it also lets the sessions of the role load photoflow at their start. Errors: 22023 a role that sees every organization.';

CREATE FUNCTION photoflow.revoke_app(app_role regrole)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_revoke_app';
REVOKE ALL ON FUNCTION photoflow.revoke_app(regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.revoke_app(regrole) TO @extowner@;
COMMENT ON FUNCTION photoflow.revoke_app(regrole) IS
'Takes away what grant_app() gave, and all else that the role has on the data tables.';

CREATE FUNCTION photoflow.why_zero(table_name regclass, id uuid)
	RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_why_zero';
REVOKE ALL ON FUNCTION photoflow.why_zero(regclass, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.why_zero(regclass, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.why_zero(regclass, uuid) IS
'Says why a query does not find a row: not found (or another organization''s), deleted, visible; to the owner of the tables also: other organization, no organization set. Errors: 42809 no table of an organization''s rows, PF010 no tenant.';

CREATE FUNCTION photoflow.import_rows(table_name regclass, source regclass)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_import_rows';
REVOKE ALL ON FUNCTION photoflow.import_rows(regclass, regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.import_rows(regclass, regclass) TO PUBLIC;
COMMENT ON FUNCTION photoflow.import_rows(regclass, regclass) IS
'Takes rows over from a table they were copied into (COPY FROM is refused by row-level security), with columns of the same names: the organization and all parents are checked at once, then one INSERT .. SELECT runs as the caller. Returns the number of rows. Errors: PF010 no tenant, PF011 rows or parents of another organization (how many and which, in DETAIL), 42703 a column that the table does not have.';

CREATE FUNCTION photoflow.find_public_url(url text, OUT org_id uuid, OUT public_url_id uuid, OUT type int, OUT expires_at timestamptz, OUT album_tag_id uuid, OUT album_id uuid)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_find_public_url';
REVOKE ALL ON FUNCTION photoflow.find_public_url(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.find_public_url(text) TO @extowner@ WITH GRANT OPTION;
COMMENT ON FUNCTION photoflow.find_public_url(text) IS
'Returns whose a public link is, before any organization is set, and the stages it opens: for the service that issues tokens to anonymous visitors. Needs the whole address; nothing for a link that is deleted or has expired. Grant it to that service''s login only.';

CREATE FUNCTION photoflow.event_channel()
	RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_event_channel';
REVOKE ALL ON FUNCTION photoflow.event_channel() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.event_channel() TO @extowner@ WITH GRANT OPTION;
COMMENT ON FUNCTION photoflow.event_channel() IS
'Returns the channel that events are notified on, to LISTEN to. Whoever knows its name hears of every organization''s albums: grant it to the login of the real-time service only.';

CREATE FUNCTION photoflow.unfixed_cves(version_num int DEFAULT current_setting('server_version_num')::int)
	RETURNS TABLE (cve text, fixed_in text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT c.cve, c.major || '.' || c.minor
	FROM (VALUES ('CVE-2023-2455', 15, 3), ('CVE-2023-39418', 15, 4), ('CVE-2024-4317', 15, 7), ('CVE-2024-4317', 16, 3),
			('CVE-2024-10976', 15, 9), ('CVE-2024-10976', 16, 5), ('CVE-2024-10976', 17, 1),
			('CVE-2025-8713', 15, 14), ('CVE-2025-8713', 16, 10), ('CVE-2025-8713', 17, 6)) c (cve, major, minor)
	WHERE version_num / 10000 = c.major AND version_num % 10000 < c.minor
	ORDER BY c.cve;
END;
REVOKE ALL ON FUNCTION photoflow.unfixed_cves(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.unfixed_cves(int) TO @extowner@;
COMMENT ON FUNCTION photoflow.unfixed_cves(int) IS
'Returns the known leaks of row-level security that a version of PostgreSQL still has (server_version_num; this server''s unless given), and the minor version that mends each.';

CREATE FUNCTION photoflow.preload_libraries(OUT shared text, OUT session text)
	RETURNS record
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_preload_libraries';
REVOKE ALL ON FUNCTION photoflow.preload_libraries() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.preload_libraries() TO @extowner@;
COMMENT ON FUNCTION photoflow.preload_libraries() IS
'Returns the libraries that this session loaded at its start: shared_preload_libraries and session_preload_libraries.';

CREATE FUNCTION photoflow.preload_statement(role_name regrole)
	RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH setting AS (		-- as it is stored: names separated by commas, quoted where they must be
		SELECT s.setrole, s.setdatabase, substr(c.setting, strpos(c.setting, '=') + 1) AS list
		FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c (setting)
		WHERE c.setting LIKE 'session\_preload\_libraries=%'
			AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
	), own AS (
		SELECT s.list FROM setting s WHERE s.setrole IN (0, role_name::oid)
		ORDER BY s.setrole <> 0 AND s.setdatabase <> 0 DESC, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1
	), effective AS (		-- the server's is what this session has, unless it has one of its own
		SELECT l.shared, coalesce((SELECT own.list FROM own), CASE WHEN NOT EXISTS (SELECT FROM setting s
			WHERE s.setrole IN (0, (SELECT u.oid FROM pg_roles u WHERE u.rolname = session_user))) THEN l.session END, '') AS list
		FROM photoflow.preload_libraries() l
	), library AS (
		SELECT n.name, n.place FROM effective e CROSS JOIN LATERAL (SELECT coalesce(replace(r.m[1], '""', '"'), r.m[2]) AS name, r.place
			FROM regexp_matches(e.list, '"((?:[^"]|"")*)"|([^",\s]+)', 'g') WITH ORDINALITY r (m, place)) n
		WHERE n.name <> ''
	)
	SELECT format('ALTER ROLE %s IN DATABASE %I SET session_preload_libraries = %s', role_name, current_database(), concat_ws(', ',
			(SELECT string_agg(quote_literal(library.name), ', ' ORDER BY library.place) FROM library), quote_literal('photoflow')))
	FROM effective e
	WHERE e.shared !~ '\mphotoflow\M' AND NOT EXISTS (SELECT FROM library WHERE library.name ~ '\mphotoflow\M');
END;
REVOKE ALL ON FUNCTION photoflow.preload_statement(regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.preload_statement(regrole) TO @extowner@;
COMMENT ON FUNCTION photoflow.preload_statement(regrole) IS
'Returns the statement, a superuser''s to run, that makes the sessions of a role in this database load photoflow at their start; NULL where they do. Called by a role that has a session_preload_libraries of its own it does not see the server''s: compare the list.';

CREATE FUNCTION photoflow.check_tenancy()
	RETURNS TABLE (severity text, object text, problem text, fix text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH RECURSIVE tenant AS (		-- tables whose rows belong to an organization, and their partitions
		SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relowner, c.relacl, c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
			format('(%I = photoflow.current_org())', CASE WHEN c.relname = 'Organizations' THEN 'Id' ELSE 'OrgId' END) AS expression
		FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema JOIN pg_class c ON c.relnamespace = n.oid
		WHERE c.relkind IN ('r', 'p') AND (c.relname = 'Organizations' OR EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attname = 'OrgId' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped))
	), secret AS (
		SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relowner, a.relowner AS owner, c.relacl, c.relrowsecurity AND c.relforcerowsecurity AS closed
		FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema JOIN pg_class c ON c.relnamespace = n.oid
			JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = 'Albums'
		WHERE c.relname = '__PhotoflowSecrets'
	), granted AS (		-- what others than the owner may do with them
		SELECT t.oid, t.name, t.relispartition, a.grantee, a.privilege_type, t.relowner
		FROM tenant t CROSS JOIN LATERAL (
			SELECT x.grantee, x.privilege_type FROM aclexplode(t.relacl) x
			UNION SELECT x.grantee, x.privilege_type FROM pg_attribute k CROSS JOIN LATERAL aclexplode(k.attacl) x WHERE k.attrelid = t.oid) a
		WHERE a.grantee <> t.relowner
	), app (member) AS (		-- roles with such a grant, and who has it through them
		SELECT g.grantee FROM granted g WHERE g.grantee <> 0
		UNION SELECT m.member FROM app JOIN pg_auth_members m ON m.roleid = app.member
	), login AS (
		SELECT r.oid, r.rolname, r.oid::regrole AS role, r.rolsuper, r.rolbypassrls, r.oid IN (SELECT app.member FROM app) AS is_app
		FROM pg_roles r WHERE r.rolcanlogin
	), policy AS (
		SELECT p.oid, t.name, p.polname, p.polpermissive, p.polqual::text || coalesce(p.polwithcheck::text, '') AS tree,
			p.polcmd = '*' AND p.polroles = '{0}' AND p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) = t.expression
				AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), t.expression) = t.expression AS ours, t.oid AS relid,
			coalesce(pg_get_expr(p.polqual, p.polrelid), t.expression) = t.expression
				AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), t.expression) = t.expression AS same
		FROM pg_policy p JOIN tenant t ON t.oid = p.polrelid
	), reader AS (		-- views over them, and over such views
		SELECT t.oid FROM tenant t
		UNION SELECT r.ev_class FROM reader JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reader.oid
				AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid
	), key AS (
		SELECT i.indexrelid, i.indrelid, i.indisprimary, t.name, c.conname, x.relname AS index_name, n.nspname,
			array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (number, o)
				LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
				WHERE k.o <= i.indnkeyatts ORDER BY k.o) AS columns
		FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
			LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u') AND c.conrelid = i.indrelid
		WHERE i.indisunique AND NOT t.relispartition AND t.relname <> 'Organizations'
	), reference AS (
		SELECT c.oid, c.conname, c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent, ct.oid IS NOT NULL AS child_is_tenant,
			array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, o)
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.o) AS child_columns,
			array(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, o)
				JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.o) AS parent_columns
		FROM pg_constraint c JOIN tenant p ON p.oid = c.confrelid LEFT JOIN tenant ct ON ct.oid = c.conrelid
		WHERE c.contype = 'f' AND c.conparentid = 0 AND p.relname <> 'Organizations' AND NOT p.relispartition
	), definer AS (
		SELECT p.oid::regprocedure AS function, n.nspname, p.proconfig, r.rolsuper OR r.rolbypassrls AS bypasses, r.rolname
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
		WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	)
	SELECT 'error', t.name, 'row-level security is off', format('SELECT photoflow.protect_table(%L);', t.name)
	FROM tenant t WHERE NOT t.relrowsecurity
	UNION ALL
	SELECT 'error', t.name, 'row-level security is not forced on the owner', format('ALTER TABLE %s FORCE ROW LEVEL SECURITY;', t.name)
	FROM tenant t WHERE t.relrowsecurity AND NOT t.relforcerowsecurity
	UNION ALL
	SELECT 'error', t.name, 'policy "PhotoflowTenant" is missing or is not as photoflow made it', format('SELECT photoflow.protect_table(%L);', t.name)
	FROM tenant t WHERE t.relrowsecurity AND NOT EXISTS (SELECT FROM policy p WHERE p.relid = t.oid AND p.polname = 'PhotoflowTenant' AND p.ours)
	UNION ALL
	SELECT 'error', p.name, format('permissive policy %I adds to what an organization sees', p.polname), format('DROP POLICY %I ON %s;', p.polname, p.name)
	FROM policy p WHERE p.polpermissive AND p.polname <> 'PhotoflowTenant' AND NOT p.same
	UNION ALL
	SELECT 'warning', p.name, format('policy %I calls %s, which is VOLATILE: no index serves it, and every row pays', p.polname, f.oid::regprocedure),
		format('ALTER FUNCTION %s STABLE;', f.oid::regprocedure)
	FROM policy p JOIN pg_proc f ON f.provolatile = 'v' AND f.oid::text IN (SELECT m[1] FROM regexp_matches(p.tree, ':(?:func|opfunc)id (\d+)', 'g') m)
	UNION ALL
	SELECT 'error', l.rolname::text, 'a superuser, and a login of an application', format('ALTER ROLE %s NOSUPERUSER;', l.role)
	FROM login l WHERE l.rolsuper AND l.is_app
	UNION ALL
	SELECT 'error', l.rolname::text, 'bypasses row-level security and may read or write rows of every organization', format('ALTER ROLE %s NOBYPASSRLS;', l.role)
	FROM login l WHERE l.rolbypassrls AND NOT l.rolsuper AND EXISTS (SELECT FROM tenant t
		WHERE has_any_column_privilege(l.oid, t.oid, 'INSERT, UPDATE') OR has_table_privilege(l.oid, t.oid, 'DELETE')
			OR has_any_column_privilege(l.oid, t.oid, 'SELECT') AND NOT pg_has_role(l.oid, 'pg_read_all_data', 'USAGE'))
	UNION ALL
	SELECT 'error', l.rolname::text, format('a login of an application that may become %s, whom policies do not hold', r.oid::regrole), format('REVOKE %s FROM %s;', r.oid::regrole, l.role)
	FROM login l JOIN pg_roles r ON r.oid <> l.oid AND pg_has_role(l.oid, r.oid, 'MEMBER')
	WHERE l.is_app AND NOT l.rolsuper AND (r.rolsuper OR r.rolbypassrls OR r.oid IN (SELECT t.relowner FROM tenant t)
		OR r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
	UNION ALL
	SELECT DISTINCT 'warning', g.name, 'a grant to PUBLIC: every login is one of an application', format('REVOKE ALL ON TABLE %s FROM PUBLIC;', g.name)
	FROM granted g WHERE g.grantee = 0 AND NOT g.relispartition
	UNION ALL
	SELECT 'warning', l.rolname::text, 'its sessions do not load photoflow at their start: settings go unchecked and log lines unredacted until they do',
		photoflow.preload_statement(l.role) || ';'
	FROM login l WHERE l.is_app AND NOT l.rolsuper AND photoflow.preload_statement(l.role) IS NOT NULL
	UNION ALL
	SELECT 'error', g.name, format('a grant on a partition, to %s', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END),
		format('REVOKE ALL ON TABLE %s FROM %s;', g.name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
	FROM granted g WHERE g.relispartition GROUP BY g.name, g.grantee
	UNION ALL
	SELECT 'error', g.name, format('%s may %s, which knows no policies', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type),
		format('REVOKE %s ON TABLE %s FROM %s;', g.privilege_type, g.name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
	FROM granted g WHERE NOT g.relispartition AND g.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES')
	UNION ALL
	SELECT 'error', s.name, format('a grant on the secrets, to %s', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
		format('REVOKE ALL ON TABLE %s FROM %s;', s.name, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END)
	FROM secret s CROSS JOIN LATERAL (SELECT DISTINCT a.grantee FROM aclexplode(s.relacl) a WHERE a.grantee <> s.relowner) x
	UNION ALL
	SELECT 'error', s.name, 'row-level security is off or not forced', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;', s.name)
	FROM secret s WHERE NOT s.closed AND s.relkind = 'r'
	UNION ALL
	SELECT 'error', s.name, 'the secrets are not a table of the owner of the data tables: photoflow does not read them',
		CASE s.relkind WHEN 'r' THEN format('ALTER TABLE %s OWNER TO %s;', s.name, s.owner::regrole) ELSE '-- rename it, and restore the table' END
	FROM secret s WHERE s.relkind <> 'r' OR s.relowner <> s.owner
	UNION ALL
	SELECT 'error', s.name, format('policy %I lets secrets be read', p.polname), format('DROP POLICY %I ON %s;', p.polname, s.name)
	FROM secret s JOIN pg_policy p ON p.polrelid = s.oid
	UNION ALL
	SELECT 'error', r.child, format('foreign key %I to %s does not include the organization: a row may hang on another''s', r.conname, r.parent),
		-- the check of what is there sees nothing where policies are forced on who checks
		CASE WHEN NOT r.child_is_tenant THEN format('ALTER TABLE %s DROP CONSTRAINT %I;', r.child, r.conname)
			ELSE format('ALTER TABLE %1$s NO FORCE ROW LEVEL SECURITY; ALTER TABLE %2$s NO FORCE ROW LEVEL SECURITY; ALTER TABLE %1$s DROP CONSTRAINT %3$I, '
				'ADD CONSTRAINT %3$I FOREIGN KEY ("OrgId", %4$s) REFERENCES %2$s ("OrgId", %5$s) NOT VALID; ALTER TABLE %1$s VALIDATE CONSTRAINT %3$I; '
				'ALTER TABLE %1$s FORCE ROW LEVEL SECURITY; ALTER TABLE %2$s FORCE ROW LEVEL SECURITY;', r.child, r.parent, r.conname,
				(SELECT string_agg(quote_ident(k), ', ') FROM unnest(r.child_columns) k), (SELECT string_agg(quote_ident(k), ', ') FROM unnest(r.parent_columns) k)) END
	FROM reference r WHERE NOT EXISTS (SELECT FROM unnest(r.child_columns, r.parent_columns) k (child, parent) WHERE k.child = 'OrgId' AND k.parent = 'OrgId')
	UNION ALL
	SELECT 'error', k.name, format('unique key %I does not include the organization: it tells of another''s values', k.index_name),
		CASE WHEN k.conname IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I; ', k.name, k.conname)
			ELSE format('DROP INDEX %I.%I; ', k.nspname, k.index_name) END
			|| regexp_replace(pg_get_indexdef(k.indexrelid), '( USING \w+ \()', '\1"OrgId", ') || ';'
	FROM key k WHERE NOT coalesce('OrgId' = ANY (k.columns), false) AND NOT (k.indisprimary AND k.columns[1] = 'Id')
	UNION ALL
	SELECT 'warning', t.name, format('index %I is not led by the organization: EXPLAIN ANALYZE tells how many of others'' rows lie in a range of it', x.relname),
		CASE x.relname WHEN 'IX_PublicUrls_Url' THEN '-- create the index that photoflow.migration_plan() lists, then CALL photoflow.migrate();'
			ELSE format('DROP INDEX %I.%I; ', n.nspname, x.relname) || regexp_replace(pg_get_indexdef(i.indexrelid), '( USING \w+ \()', '\1"OrgId", ') || ';' END
	FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
		JOIN pg_am m ON m.oid = x.relam LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE m.amname = 'btree' AND NOT i.indisunique AND NOT t.relispartition AND t.relname <> 'Organizations' AND a.attname IS DISTINCT FROM 'OrgId'
	UNION ALL
	SELECT 'warning', t.name, format('there are statistics of %s: EXPLAIN tells of others'' values', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)),
		format('ALTER TABLE %s %s;', t.name, string_agg(format('ALTER COLUMN %I SET STATISTICS 0', a.attname), ', ' ORDER BY a.attnum))
	FROM tenant t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type y ON y.oid = a.atttypid
	WHERE a.attstattarget IS DISTINCT FROM 0 AND (y.typcategory = 'S' OR a.atttypid IN ('jsonb'::regtype, 'json'::regtype, 'bytea'::regtype))
	GROUP BY t.name
	UNION ALL
	SELECT 'warning', t.name, format('an expression of index %I has statistics: EXPLAIN tells of others'' values', x.relname),
		format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS 0;', n.nspname, x.relname, a.attnum)
	FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
		JOIN pg_attribute a ON a.attrelid = i.indexrelid AND i.indkey[a.attnum - 1] = 0 AND a.attnum <= i.indnkeyatts
		JOIN pg_attribute k ON k.attrelid = t.oid AND k.attname = 'OrgId' AND k.attnum = ANY (i.indkey::int2[])
	WHERE a.attstattarget IS DISTINCT FROM 0
	UNION ALL
	SELECT 'warning', t.name, format('statistics of column %I are still there from before: EXPLAIN tells of others'' values', a.attname),
		format('DELETE FROM pg_statistic WHERE starelid = %L::regclass AND staattnum = %s;', t.name, a.attnum)
	FROM tenant t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND a.attstattarget = 0
		JOIN photoflow.installation i ON true JOIN pg_stats s ON s.schemaname = i.data_schema AND s.tablename = t.relname AND s.attname = a.attname
	UNION ALL
	SELECT 'error', c.oid::regclass::text, 'a materialized view over rows of organizations: policies do not reach it',
		format('DROP MATERIALIZED VIEW %s CASCADE;', c.oid::regclass)
	FROM pg_class c WHERE c.relkind = 'm' AND c.oid IN (SELECT reader.oid FROM reader)
	UNION ALL
	SELECT 'error', c.oid::regclass::text, 'a view that reads rows of organizations with its owner''s eyes', format('ALTER VIEW %s SET (security_invoker = true);', c.oid::regclass)
	FROM pg_class c WHERE c.relkind = 'v' AND c.oid IN (SELECT reader.oid FROM reader)
		AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
	UNION ALL
	SELECT 'error', d.function::text, 'SECURITY DEFINER without a search_path of its own: who calls it chooses what its names mean',
		format('ALTER ROUTINE %s SET search_path = pg_catalog, %I, pg_temp;', d.function, d.nspname)
	FROM definer d WHERE NOT EXISTS (SELECT FROM unnest(d.proconfig) c WHERE c LIKE 'search_path=%')
	UNION ALL
	SELECT 'warning', d.function::text, format('SECURITY DEFINER of %I, whom no policy holds: it sees every organization''s rows', d.rolname),
		format('ALTER ROUTINE %s SECURITY INVOKER;', d.function)
	FROM definer d WHERE d.bypasses
	UNION ALL
	SELECT 'error', format('schema %I', n.nspname), format('%s may create objects in it, ahead of what others mean', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
		format('REVOKE CREATE ON SCHEMA %I FROM %s;', n.nspname, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END)
	FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema CROSS JOIN LATERAL aclexplode(n.nspacl) x
	WHERE x.privilege_type = 'CREATE' AND x.grantee <> n.nspowner AND (x.grantee = 0 OR x.grantee IN (SELECT app.member FROM app))
	UNION ALL
	SELECT 'warning', format('channel %I', s.setting), 'events of every organization are open to whoever listens', format('ALTER DATABASE %I RESET photoflow.event_channel;', current_database())
	FROM (SELECT current_setting('photoflow.event_channel', true) AS setting) s WHERE s.setting <> ''
	UNION ALL
	SELECT 'error', 'PostgreSQL ' || current_setting('server_version'), format('%s: row-level security leaks', v.cve), format('-- install PostgreSQL %s or newer', v.fixed_in)
	FROM photoflow.unfixed_cves() v
	ORDER BY 1, 2, 3;
END;
REVOKE ALL ON FUNCTION photoflow.check_tenancy() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.check_tenancy() TO @extowner@;
COMMENT ON FUNCTION photoflow.check_tenancy() IS
'Looks for whatever lets one organization see, or learn of, another''s rows: tables, policies, keys, views, functions, grants, logins, the server''s version. One row a problem, with SQL that mends it; no row: clean.';

-- Triggers of the data tables

CREATE FUNCTION photoflow.tenant_require()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_tenant_require';
REVOKE ALL ON FUNCTION photoflow.tenant_require() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.tenant_require() TO PUBLIC;
COMMENT ON FUNCTION photoflow.tenant_require() IS
'Trigger. BEFORE INSERT, UPDATE, DELETE OR TRUNCATE, per statement: PF010 without a tenant where policies would keep every row from the statement, PF011 for a TRUNCATE by who sees one organization.';

CREATE FUNCTION photoflow.secrets_changed()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_secrets_changed';
REVOKE ALL ON FUNCTION photoflow.secrets_changed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.secrets_changed() TO PUBLIC;
COMMENT ON FUNCTION photoflow.secrets_changed() IS
'Trigger. AFTER any change of __PhotoflowSecrets: tells every session to forget what it read.';

-- Reports

CREATE OR REPLACE FUNCTION photoflow.status()
	RETURNS TABLE (name text, value text, ok boolean, hint text)
	LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT 'version', photoflow.version(), true, NULL::text
	UNION ALL
	SELECT 'available version', e.default_version, e.default_version = e.installed_version,
		CASE WHEN e.default_version <> e.installed_version THEN 'ALTER EXTENSION photoflow UPDATE; CALL photoflow.migrate();' END
	FROM pg_catalog.pg_available_extensions e WHERE e.name = 'photoflow'
	UNION ALL
	SELECT 'data schema', coalesce(i.data_schema, '(none)'), i.data_schema IS NOT NULL,
		CASE WHEN i.data_schema IS NULL THEN 'SELECT photoflow.create_tables();' END
	FROM (SELECT true) one LEFT JOIN photoflow.installation i ON true
	UNION ALL
	SELECT 'pending steps', count(*)::text, count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'CALL photoflow.migrate();' END
	FROM photoflow.migration_steps() s WHERE s.state <> 'done'
	UNION ALL
	SELECT 'triggers attached', format('%s of %s', t.found, s.expected), t.found >= s.expected AND t.enabled,
		CASE WHEN t.found < s.expected THEN 'SELECT photoflow.attach();'
			WHEN NOT t.enabled THEN 'A trigger is disabled: ALTER TABLE ... ENABLE TRIGGER.' END
	FROM (SELECT count(*) AS found, coalesce(bool_and(t.tgenabled IN ('O', 'A')), true) AS enabled
			FROM pg_catalog.pg_trigger t
				JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
				JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname = 'photoflow' AND t.tgparentid = 0) t,
		(SELECT coalesce(sum(regexp_count(sql, 'CREATE OR REPLACE TRIGGER')), 0) AS expected
			FROM photoflow.table_steps WHERE kind = 'attach') s
	UNION ALL
	SELECT 'triggers see every change', coalesce(string_agg(DISTINCT c.relname, ', '), 'yes'), count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'A BEFORE UPDATE trigger may change columns that the statement does not name: SELECT photoflow.attach();' END
	FROM pg_catalog.pg_trigger t
		JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
		JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
		JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		JOIN pg_catalog.pg_trigger u ON u.tgrelid = t.tgrelid AND u.tgtype & 19 = 19 AND NOT u.tgisinternal
		JOIN pg_catalog.pg_proc up ON up.oid = u.tgfoid AND up.pronamespace <> n.oid
	WHERE n.nspname = 'photoflow' AND t.tgparentid = 0 AND t.tgattr::text <> ''
	UNION ALL
	SELECT 'preload', coalesce(nullif(p.libraries, ''), '(none)'), p.libraries ~ '\mphotoflow\M',
		CASE WHEN p.libraries !~ '\mphotoflow\M' THEN
			'ALTER DATABASE ... SET session_preload_libraries = ''photoflow''; until it is loaded, a session''s photoflow settings are not checked.' END
	FROM (SELECT concat_ws(', ', nullif(l.shared, ''), nullif(l.session, '')) FROM photoflow.preload_libraries() l) p (libraries)
	UNION ALL
	SELECT 'events', coalesce(current_setting('photoflow.events', true), 'notify'), true, NULL
	UNION ALL
	SELECT 'row-level security', format('%s of %s tables', t.protected, t.total), t.protected = t.total,
		CASE WHEN t.protected < t.total THEN 'CALL photoflow.migrate(); SELECT photoflow.attach();' END
	FROM (SELECT count(*) AS total, count(*) FILTER (WHERE c.relrowsecurity AND c.relforcerowsecurity
				AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'PhotoflowTenant')) AS protected
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN photoflow.installation i ON i.data_schema = n.nspname
			WHERE c.relkind IN ('r', 'p') AND (c.relname = 'Organizations' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
				WHERE a.attrelid = c.oid AND a.attname = 'OrgId' AND NOT a.attisdropped))) t
	UNION ALL
	SELECT 'tenancy', CASE count(*) WHEN 0 THEN 'clean' WHEN 1 THEN '1 problem' ELSE count(*) || ' problems' END, count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'SELECT * FROM photoflow.check_tenancy();' END
	FROM photoflow.check_tenancy()
	UNION ALL
	SELECT 'token', CASE WHEN k.tables THEN 'keys: ' || cardinality(k.ids) ELSE 'no keys yet' END || ', required of: ' || coalesce(s.names, 'nobody'),
		s.logins = 0 OR coalesce(cardinality(k.ids), 0) > 0,
		CASE WHEN s.logins > 0 AND coalesce(cardinality(k.ids), 0) = 0 THEN 'Nobody can authenticate: SELECT photoflow.set_token_key(key);'
			WHEN s.logins = 0 THEN 'Without a token a login works for whom it says: ALTER ROLE app SET photoflow.require_token = on;' END
	FROM (SELECT x.tables, CASE WHEN x.tables THEN photoflow.token_key_ids() END AS ids
			FROM (SELECT count(*) = 5 AS tables		-- with one of them missing, other rows say so
				FROM photoflow.installation i JOIN pg_catalog.pg_namespace n ON n.nspname = i.data_schema
					JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname = 'Albums'
					JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relowner = a.relowner
				WHERE c.relname IN ('Albums', 'WorkflowVersions', 'AlbumTransitions', '__PhotoflowMigrations', '__PhotoflowSecrets')) x) k,
		(SELECT count(*) AS logins, string_agg(CASE r.setrole WHEN 0 THEN 'everybody' ELSE r.setrole::regrole::text END, ', ' ORDER BY r.setrole) AS names
			FROM pg_catalog.pg_db_role_setting r, unnest(r.setconfig) c
			WHERE r.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
				AND c ~* '^photoflow\.require_token=(on|t|tr|tru|true|y|ye|yes|1)$') s
	UNION ALL
	SELECT 'backup', coalesce(b.roles, 'superusers only'), b.roles IS NOT NULL OR me.rolsuper OR me.rolbypassrls,
		CASE WHEN b.roles IS NULL THEN
			'Policies hold the owner too, and pg_dump refuses then: CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;' END
	FROM (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) AS roles FROM pg_catalog.pg_roles r
			WHERE r.rolbypassrls AND r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')) b,
		pg_catalog.pg_roles me WHERE me.rolname = current_user;
END;

-- Table steps. One table a step, so that no transaction holds the locks of two; its strongest lock first, so that none
-- which writers feel is held while another is waited for.

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(17, '1.1', 'ddl', 'secrets', $step$
CREATE TABLE {schema}."__PhotoflowSecrets" (
	"Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	"Kind" text NOT NULL,
	"Kid" text,
	"Secret" bytea NOT NULL,
	"CreatedAt" timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT "UX_PhotoflowSecrets_Kind_Kid" UNIQUE NULLS NOT DISTINCT ("Kind", "Kid")
);
COMMENT ON TABLE {schema}."__PhotoflowSecrets" IS 'Keys of tokens and the name of the event channel. No policy admits a row: photoflow alone reads it';
COMMENT ON INDEX {schema}."UX_PhotoflowSecrets_Kind_Kid" IS 'a key id names one key, and one key has none';
ALTER TABLE {schema}."__PhotoflowSecrets" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
INSERT INTO {schema}."__PhotoflowSecrets" ("Kind", "Secret")
	VALUES ('event_channel', sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));
$step$),

(18, '1.1', 'attach', 'sessions hear of changed secrets', $step$
CREATE OR REPLACE TRIGGER "PhotoflowSecretsChanged" AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."__PhotoflowSecrets"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.secrets_changed();
$step$),

(19, '1.1', 'attach', 'rows of Organizations are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."Organizations"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."Organizations"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('Organizations');
$step$),

(20, '1.1', 'attach', 'rows of Users are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."Users"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."Users"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('Users');
$step$),

(21, '1.1', 'attach', 'rows of PublicUrls are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PublicUrls"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."PublicUrls"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('PublicUrls');
$step$),

(22, '1.1', 'attach', 'rows of Albums are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."Albums"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."Albums"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('Albums');
$step$),

(23, '1.1', 'attach', 'rows of AlbumTags are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."AlbumTags"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."AlbumTags"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('AlbumTags');
$step$),

(24, '1.1', 'attach', 'rows of PhotoProcs are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PhotoProcs"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."PhotoProcs"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('PhotoProcs');
$step$),

(25, '1.1', 'attach', 'rows of PhotoComments are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PhotoComments"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."PhotoComments"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('PhotoComments');
$step$),

(26, '1.1', 'attach', 'rows of PhotoLikes are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PhotoLikes"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."PhotoLikes"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('PhotoLikes');
$step$),

(27, '1.1', 'attach', 'rows of FailureRecords are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."FailureRecords"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."FailureRecords"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('FailureRecords');
$step$),

(28, '1.1', 'attach', 'rows of AuditLogs are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."AuditLogs"$table$);
CREATE OR REPLACE TRIGGER "PhotoflowTenantRequire" BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."AuditLogs"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.tenant_require('AuditLogs');
$step$),

(29, '1.1', 'attach', 'rows of AlbumTransitions are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."AlbumTransitions"$table$);
$step$),

(30, '1.1', 'attach', 'rows of PhotoSyncPages are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PhotoSyncPages"$table$);
$step$);

-- What an index or the statistics of a column have of others' rows, EXPLAIN tells: comparisons are leakproof, and go ahead of
-- the policy. So an index that is not led by the organization only answers for what is known as a whole, and there are
-- no statistics of what people have written.
INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(31, '1.1', 'concurrent_index', 'photos of an organization by the beginning of their file name: WHERE "FileName" ^@ ...', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_FileName" ON {schema}."PhotoProcs" ("OrgId", "FileName" text_pattern_ops);
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoProcs_OrgId_FileName' AND i.indisvalid
$count$),

(32, '1.1', 'concurrent_index', 'a public link by its whole address: find_public_url(), before an organization is known', $step$
CREATE INDEX CONCURRENTLY "IX_PublicUrls_Url_Hash" ON {schema}."PublicUrls" USING hash ("Url");
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PublicUrls_Url_Hash' AND i.indisvalid
$count$),

(33, '1.1', 'ddl', 'no index over the addresses of all organizations in their order', $step$
DROP INDEX IF EXISTS {schema}."IX_PublicUrls_Url";
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PublicUrls_Url_Hash' AND i.indisvalid
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(34, '1.1', 'ddl', 'no statistics of what people have written', $step$
ALTER TABLE {schema}."Organizations" ALTER COLUMN "Name" SET STATISTICS 0, ALTER COLUMN "Code" SET STATISTICS 0;
ALTER TABLE {schema}."Users" ALTER COLUMN "Email" SET STATISTICS 0, ALTER COLUMN "Name" SET STATISTICS 0;
ALTER TABLE {schema}."PublicUrls" ALTER COLUMN "Url" SET STATISTICS 0;
ALTER TABLE {schema}."Albums" ALTER COLUMN "Name" SET STATISTICS 0, ALTER COLUMN "HashedPassword" SET STATISTICS 0;
ALTER TABLE {schema}."AlbumTags" ALTER COLUMN "Link" SET STATISTICS 0;
ALTER TABLE {schema}."PhotoProcs" ALTER COLUMN "FileName" SET STATISTICS 0, ALTER COLUMN "ExternalId" SET STATISTICS 0,
	ALTER COLUMN "ThumbnailUrl" SET STATISTICS 0;
ALTER TABLE {schema}."PhotoComments" ALTER COLUMN "Content" SET STATISTICS 0;
ALTER TABLE {schema}."FailureRecords" ALTER COLUMN "EntityType" SET STATISTICS 0,
	ALTER COLUMN "FromState" SET STATISTICS 0, ALTER COLUMN "ToState" SET STATISTICS 0,
	ALTER COLUMN "ErrorMessage" SET STATISTICS 0;
ALTER TABLE {schema}."AuditLogs" ALTER COLUMN "ServiceName" SET STATISTICS 0, ALTER COLUMN "Action" SET STATISTICS 0,
	ALTER COLUMN "EntityType" SET STATISTICS 0, ALTER COLUMN "EntityId" SET STATISTICS 0,
	ALTER COLUMN "UserId" SET STATISTICS 0, ALTER COLUMN "Status" SET STATISTICS 0,
	ALTER COLUMN "ErrorMessage" SET STATISTICS 0, ALTER COLUMN "RequestData" SET STATISTICS 0,
	ALTER COLUMN "ResponseData" SET STATISTICS 0, ALTER COLUMN "ProviderId" SET STATISTICS 0,
	ALTER COLUMN "RequestId" SET STATISTICS 0, ALTER COLUMN "CorrelationId" SET STATISTICS 0,
	ALTER COLUMN "Operation" SET STATISTICS 0, ALTER COLUMN "IpAddress" SET STATISTICS 0,
	ALTER COLUMN "UserAgent" SET STATISTICS 0, ALTER COLUMN "AdditionalData" SET STATISTICS 0;
ALTER TABLE {schema}."AlbumTransitions" ALTER COLUMN "Trigger" SET STATISTICS 0, ALTER COLUMN "Role" SET STATISTICS 0,
	ALTER COLUMN "Reason" SET STATISTICS 0, ALTER COLUMN "Args" SET STATISTICS 0;
ALTER TABLE {schema}."PhotoSyncPages" ALTER COLUMN "ExternalIds" SET STATISTICS 0;
$step$);
