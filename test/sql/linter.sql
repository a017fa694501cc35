-- check_tenancy(): clean as installed and granted; each planted fault is found, named and mended by the SQL it prints.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_photoflow_login LOGIN;
SELECT * FROM photoflow.check_tenancy();
SELECT photoflow.grant_app('regress_photoflow_login');
SELECT * FROM photoflow.check_tenancy();

-- what it says of a fault, without columns that are as long as a page
CREATE VIEW lab.found AS SELECT severity, object, problem FROM photoflow.check_tenancy();
-- runs what it prints, and says what is left
CREATE FUNCTION lab.mend() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	found record;
BEGIN
	FOR round IN 1 .. 2 LOOP		-- an index that is made anew may have statistics of its own
		FOR found IN SELECT fix FROM photoflow.check_tenancy() LOOP
			EXECUTE found.fix;
		END LOOP;
	END LOOP;
	RETURN QUERY SELECT object || ': ' || problem FROM photoflow.check_tenancy();
END $$;

-- the owner without FORCE; no policies at all; the policy missing, widened, VOLATILE, or beside a wider one
BEGIN;
ALTER TABLE "Albums" NO FORCE ROW LEVEL SECURITY;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
BEGIN;
ALTER TABLE "PhotoProcs" DISABLE ROW LEVEL SECURITY;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
BEGIN;
DROP POLICY "PhotoflowTenant" ON "AlbumTags";
ALTER POLICY "PhotoflowTenant" ON "Users" USING (true);
ALTER POLICY "PhotoflowTenant" ON "PublicUrls" TO regress_photoflow_login;
CREATE FUNCTION lab.whose() RETURNS uuid LANGUAGE plpgsql AS 'BEGIN RETURN photoflow.current_org(); END';
CREATE POLICY slow ON "PhotoComments" AS RESTRICTIVE USING ("OrgId" = lab.whose());
CREATE POLICY wide ON "PhotoLikes" FOR SELECT USING ("UserId" IS NOT NULL);
CREATE POLICY narrow ON "PhotoLikes" AS RESTRICTIVE USING ("UserId" IS NOT NULL);
CREATE POLICY same ON "PhotoLikes" FOR SELECT USING ("OrgId" = photoflow.current_org());
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
-- a table of one's own, and one's own partition of the log
BEGIN;
CREATE TABLE public.invoices ("Id" uuid PRIMARY KEY, "OrgId" uuid NOT NULL, number int UNIQUE);
CREATE TABLE public."AuditLogs_1999" PARTITION OF "AuditLogs" FOR VALUES FROM ('1999-01-01') TO ('2000-01-01');
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;

-- logins that no policy holds
BEGIN;
ALTER ROLE regress_photoflow_login SUPERUSER;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
BEGIN;
ALTER ROLE regress_photoflow_login BYPASSRLS;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
-- through a role that they are members of
BEGIN;
CREATE ROLE regress_photoflow_member LOGIN BYPASSRLS IN ROLE regress_photoflow_login;
SELECT * FROM photoflow.check_tenancy() WHERE problem NOT LIKE '%load photoflow%';
ALTER ROLE regress_photoflow_member SUPERUSER;
SELECT * FROM photoflow.check_tenancy() WHERE problem NOT LIKE '%load photoflow%';
ROLLBACK;
-- who may become the owner
BEGIN;
CREATE ROLE regress_photoflow_owner;
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO regress_photoflow_owner', name);
	END LOOP;
END $$;
GRANT regress_photoflow_owner TO regress_photoflow_login;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;
-- a role that they may become, and what reads the server's files
BEGIN;
CREATE ROLE regress_photoflow_all NOLOGIN BYPASSRLS;
GRANT regress_photoflow_all, pg_read_server_files TO regress_photoflow_login;
SELECT * FROM photoflow.check_tenancy();
SAVEPOINT s;
SELECT photoflow.grant_app('regress_photoflow_login');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT lab.mend();
ROLLBACK;
-- the role for backups is none of them
BEGIN;
CREATE ROLE regress_photoflow_backup LOGIN BYPASSRLS;
GRANT pg_read_all_data TO regress_photoflow_backup;
SELECT * FROM lab.found;
GRANT INSERT ON "Users" TO regress_photoflow_backup;
SELECT * FROM lab.found WHERE problem NOT LIKE '%load photoflow%';
ROLLBACK;

-- keys: a foreign key and unique keys without the organization
BEGIN;
ALTER TABLE "AlbumTags" ADD CONSTRAINT plain FOREIGN KEY ("AlbumId") REFERENCES "Albums" ("Id");
ALTER TABLE "Albums" ADD CONSTRAINT names UNIQUE ("Name", "ProviderId");
CREATE UNIQUE INDEX mails ON "Users" (lower("Email")) WHERE "Email" <> '';
CREATE UNIQUE INDEX fine ON "Users" ("Email", "OrgId");
CREATE TABLE lab.ratings (photo uuid REFERENCES "PhotoProcs" ("Id"));
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'plain';
SELECT pg_get_indexdef(c.oid) FROM pg_class c WHERE relname IN ('names', 'mails') ORDER BY relname;
ROLLBACK;

-- an index that is not led by the organization; statistics from before there were to be none
BEGIN;
CREATE INDEX titles ON "Albums" ("Name");
CREATE INDEX whole ON "Albums" USING hash ("Name");
ALTER TABLE "Users" ALTER COLUMN "Email" SET STATISTICS 100;
ANALYZE "Users";
ALTER TABLE "Users" ALTER COLUMN "Email" SET STATISTICS 0;
SELECT severity, object, problem, regexp_replace(fix, '(staattnum = )\d+', '\1n') AS fix FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;

-- views and functions that look with others' eyes
BEGIN;
CREATE VIEW lab.definer AS SELECT * FROM "Albums";
CREATE VIEW lab.invoker WITH (security_invoker = true) AS SELECT * FROM "Albums";
CREATE VIEW lab.behind AS SELECT * FROM lab.invoker;
CREATE MATERIALIZED VIEW lab.kept AS SELECT "Id", "OrgId" FROM "AlbumTags";
CREATE FUNCTION lab.pathless() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public."Albums"';
CREATE FUNCTION lab.pinned(int) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT count(*) FROM public."Albums"';
CREATE PROCEDURE lab.pathless_too() LANGUAGE sql SECURITY DEFINER AS '';
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;

-- grants: on a partition, of what knows no policies, on secrets, on the schema
BEGIN;
GRANT SELECT ON "AuditLogs_default" TO regress_photoflow_login;
GRANT TRUNCATE, TRIGGER ON "Albums" TO regress_photoflow_login;
GRANT REFERENCES ("Id") ON "PhotoProcs" TO PUBLIC;
GRANT SELECT ON "__PhotoflowSecrets" TO regress_photoflow_login;
CREATE POLICY open ON "__PhotoflowSecrets" USING (true);
ALTER TABLE "__PhotoflowSecrets" NO FORCE ROW LEVEL SECURITY;
GRANT CREATE ON SCHEMA public TO regress_photoflow_login;
SELECT * FROM photoflow.check_tenancy();
SELECT lab.mend();
ROLLBACK;

-- secrets that are not the owner's: photoflow does not read them, and does not send events where anybody listens
BEGIN;
ALTER TABLE "__PhotoflowSecrets" OWNER TO regress_photoflow_login;
SELECT severity, object, problem, regexp_replace(fix, 'TO \S+;', 'TO owner;') AS fix FROM photoflow.check_tenancy();
SELECT count(*) AS rows FROM photoflow.status();
SELECT lab.mend();
ALTER TABLE "__PhotoflowSecrets" OWNER TO regress_photoflow_login;
\set VERBOSITY terse
SELECT photoflow.event_channel();
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- a login whose sessions do not load the library; an open channel; a server that leaks
BEGIN;
ALTER ROLE regress_photoflow_login IN DATABASE :"DBNAME" SET session_preload_libraries = 'auto_explain';
SELECT severity, object, problem, regexp_replace(fix, ' DATABASE \S+', ' DATABASE db') AS fix FROM photoflow.check_tenancy();
SELECT lab.mend();
SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'regress_photoflow_login'::regrole;
-- names that are stored with quotes, and none at all
ALTER ROLE regress_photoflow_login IN DATABASE :"DBNAME" SET session_preload_libraries = '$libdir/auto_explain', 'odd, "name"';
SELECT regexp_replace(photoflow.preload_statement('regress_photoflow_login'), ' DATABASE \S+', ' DATABASE db');
SELECT lab.mend();
SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'regress_photoflow_login'::regrole;
ALTER ROLE regress_photoflow_login IN DATABASE :"DBNAME" SET session_preload_libraries = '';
SELECT regexp_replace(photoflow.preload_statement('regress_photoflow_login'), ' DATABASE \S+', ' DATABASE db');
ROLLBACK;
BEGIN;
SELECT count(photoflow.uuid_v7());
SET LOCAL photoflow.event_channel = 'photoflow';
SELECT severity, object, problem FROM photoflow.check_tenancy();
ROLLBACK;
SELECT * FROM photoflow.unfixed_cves(150002);
SELECT v, cve, fixed_in FROM unnest(ARRAY[150013, 150014, 160009, 160010, 170000, 170005, 170006, 180000]) v, photoflow.unfixed_cves(v);
SELECT count(*) AS unfixed_here FROM photoflow.unfixed_cves();

-- quoted names, and tables that are gone
BEGIN;
CREATE ROLE "regress photoflow ""odd""" LOGIN;
CREATE TABLE public."odd ""table""" ("Id" uuid, "OrgId" uuid NOT NULL);
GRANT TRUNCATE ON public."odd ""table""" TO "regress photoflow ""odd""";
SELECT object, problem, fix FROM photoflow.check_tenancy() WHERE problem NOT LIKE '%load photoflow%';
SELECT lab.mend();
ROLLBACK;
BEGIN;
UPDATE photoflow.installation SET data_schema = 'gone';
SELECT * FROM photoflow.check_tenancy();
ROLLBACK;

-- as granted, as before
SELECT * FROM photoflow.check_tenancy();
SELECT photoflow.revoke_app('regress_photoflow_login');
SELECT count(*) AS settings FROM pg_db_role_setting WHERE setrole = 'regress_photoflow_login'::regrole;
DROP VIEW lab.found;
DROP FUNCTION lab.mend();
-- a schema whose name wants quotes: partitions too
BEGIN;
DELETE FROM photoflow.installation;
CREATE SCHEMA "App Data";
SELECT photoflow.create_tables('App Data');
GRANT SELECT ON ALL TABLES IN SCHEMA "App Data" TO regress_photoflow_login;
SELECT photoflow.grant_app('regress_photoflow_login');
SELECT object, problem FROM photoflow.check_tenancy();
SELECT photoflow.revoke_app('regress_photoflow_login');
SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 'regress_photoflow_login'::regrole;
ROLLBACK;
DROP ROLE regress_photoflow_login;
