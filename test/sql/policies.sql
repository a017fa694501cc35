-- Row-level security: no tenant sees nothing and says so when it writes; a tenant sees itself; who may work across does.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_photoflow_app LOGIN;
SELECT photoflow.grant_app('regress_photoflow_app');
SELECT lab.album(41901), lab.album(41902, org => 2) \gset
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES (lab.id('url', 41901), lab.org(1), 'https://one.test/41901'), (lab.id('url', 41902), lab.org(2), 'https://two.test/41902');
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 41902) WHERE "Id" = lab.id('tag0', 41902);
INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content") VALUES (lab.id('comment', 41901), lab.id('photo', 41901), 'x'), (lab.id('comment', 41902), lab.id('photo', 41902), 'y');
INSERT INTO "PhotoLikes" ("Id", "PhotoProcId") VALUES (lab.id('like', 41901), lab.id('photo', 41901)), (lab.id('like', 41902), lab.id('photo', 41902));
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType") SELECT lab.id('failure', 41900 + n), lab.org(n), lab.id('album', 41900 + n), 'Album' FROM generate_series(1, 2) n;
INSERT INTO "AuditLogs" ("OrgId", "Action") SELECT lab.org(n), 'policies' FROM generate_series(1, 2) n;
SELECT count(*) FROM photoflow.fire_many(ARRAY[lab.id('album', 41901), lab.id('album', 41902)], 'SyncRawTag');

-- what a login of an application gets, and what it does not
SELECT c.relname, string_agg(DISTINCT p, ' ' ORDER BY p) AS privileges, bool_or(has_column_privilege('regress_photoflow_app', c.oid, 'HashedPassword', 'SELECT, INSERT, UPDATE'))
		FILTER (WHERE c.relname = 'Albums') AS passwords
	FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
	WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		AND CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') THEN has_any_column_privilege('regress_photoflow_app', c.oid, p) ELSE has_table_privilege('regress_photoflow_app', c.oid, p) END
	GROUP BY c.relname ORDER BY c.relname COLLATE "C";
-- granting again takes away what somebody granted meanwhile, on partitions too
GRANT ALL ON ALL TABLES IN SCHEMA public TO regress_photoflow_app;
SELECT photoflow.grant_app('regress_photoflow_app', passwords => true);
SELECT has_table_privilege('regress_photoflow_app', '"Albums"', 'TRUNCATE, REFERENCES') AS too_much, has_table_privilege('regress_photoflow_app', '"AuditLogs_default"', 'SELECT') AS partition,
	has_table_privilege('regress_photoflow_app', '"__PhotoflowSecrets"', 'SELECT') AS secrets, has_column_privilege('regress_photoflow_app', '"Albums"', 'HashedPassword', 'SELECT') AS passwords;
SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'regress_photoflow_app'::regrole;
-- refused: roles that no policy holds
SELECT photoflow.grant_app(current_user::regrole);
\echo :LAST_ERROR_SQLSTATE
CREATE ROLE regress_photoflow_loader LOGIN BYPASSRLS;
SELECT photoflow.grant_app('regress_photoflow_loader');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.grant_app(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.grant_app('nobody_of_that_name');
\echo :LAST_ERROR_SQLSTATE

-- nobody's tenant: nothing to read, PF010 for every write, whether a row would be met or not
SET ROLE regress_photoflow_app;
SELECT (SELECT count(*) FROM "Organizations") + (SELECT count(*) FROM "Users") + (SELECT count(*) FROM "PublicUrls") + (SELECT count(*) FROM "Albums")
	+ (SELECT count(*) FROM "AlbumTags") + (SELECT count(*) FROM "PhotoProcs") + (SELECT count(*) FROM "PhotoComments") + (SELECT count(*) FROM "PhotoLikes")
	+ (SELECT count(*) FROM "FailureRecords") + (SELECT count(*) FROM "AuditLogs") AS rows;
UPDATE "Albums" SET "Name" = 'x';
\echo :LAST_ERROR_SQLSTATE
UPDATE "PhotoProcs" SET "FileName" = 'x' WHERE false;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PublicUrls" ("Url", "OrgId") VALUES ('x', lab.org(1));
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "AuditLogs" ("Action") SELECT 'x' WHERE false;
\echo :LAST_ERROR_SQLSTATE
MERGE INTO "PhotoLikes" l USING (SELECT lab.id('like', 41901) AS id) s ON l."Id" = s.id WHEN MATCHED THEN UPDATE SET "UserId" = NULL WHEN NOT MATCHED THEN DO NOTHING;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PhotoLikes" ("Id", "PhotoProcId") VALUES (lab.id('like', 41901), lab.id('photo', 41901)) ON CONFLICT DO NOTHING;
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.why_zero('"Albums"', lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE

-- a tenant
SELECT set_config('photoflow.org_id', lab.org(1)::text, false), set_config('photoflow.role', 'photographer', false) \g /dev/null
SELECT DISTINCT "OrgId" = lab.org(1) AS mine FROM (SELECT "OrgId" FROM "Users" UNION ALL SELECT "OrgId" FROM "PublicUrls" UNION ALL SELECT "OrgId" FROM "Albums" UNION ALL SELECT "OrgId" FROM "AlbumTags"
	UNION ALL SELECT "OrgId" FROM "PhotoProcs" UNION ALL SELECT "OrgId" FROM "PhotoComments" UNION ALL SELECT "OrgId" FROM "PhotoLikes" UNION ALL SELECT "OrgId" FROM "FailureRecords" UNION ALL SELECT "OrgId" FROM "AuditLogs") x;
SELECT "Name" FROM "Organizations";
-- deleting by an UPDATE is not held up by the policy
UPDATE "PhotoComments" SET "IsDeleted" = true WHERE "Id" = lab.id('comment', 41901) RETURNING "IsDeleted";
UPDATE "PhotoComments" SET "IsDeleted" = true WHERE "Id" = lab.id('comment', 41902) RETURNING "IsDeleted";
-- why not
SELECT kind, photoflow.why_zero(tbl, id) FROM (VALUES ('mine', '"Albums"'::regclass, lab.id('album', 41901)), ('theirs', '"Albums"', lab.id('album', 41902)), ('nobody''s', '"Albums"', lab.id('album', 41999)),
	('deleted', '"PhotoComments"', lab.id('comment', 41901)), ('theirs', '"PhotoComments"', lab.id('comment', 41902))) x (kind, tbl, id);
SELECT photoflow.why_zero('"WorkflowVersions"', lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.why_zero('pg_class', lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.why_zero(0::oid::regclass, lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.why_zero(NULL, lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.why_zero('"PhotoSyncPages"', lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
-- what belongs to the owner alone
SELECT photoflow.find_public_url('https://two.test/41902');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.event_channel();
\echo :LAST_ERROR_SQLSTATE

-- who works across: the owner through functions, who bypasses policies by any statement with an "OrgId"
RESET ROLE;
RESET photoflow.org_id;
RESET photoflow.role;
SELECT kind, photoflow.why_zero(tbl, id) FROM (VALUES ('theirs', '"Albums"'::regclass, lab.id('album', 41902)), ('nobody''s', '"Albums"', lab.id('album', 41999)), ('deleted', '"PhotoComments"', lab.id('comment', 41901))) x (kind, tbl, id);
BEGIN;
SELECT photoflow.set_context(lab.org(1)) \g /dev/null
SELECT photoflow.why_zero('"Albums"', lab.id('album', 41902)), photoflow.why_zero('"Albums"', lab.id('album', 41901)), photoflow.why_zero('"Albums"', lab.id('album', 41999));
COMMIT;
SELECT org_id = lab.org(2) AS org, public_url_id = lab.id('url', 41902) AS url, type, expires_at, album_tag_id = lab.id('tag0', 41902) AS tag, album_id = lab.id('album', 41902) AS album FROM photoflow.find_public_url('https://two.test/41902');
SELECT org_id = lab.org(1) AS org, album_tag_id, album_id FROM photoflow.find_public_url('https://one.test/41901');
SELECT count(*) FROM photoflow.find_public_url('https://two.test/4190');
UPDATE "PublicUrls" SET "ExpiresAt" = now() WHERE "Id" = lab.id('url', 41902);
SELECT count(*) FROM photoflow.find_public_url('https://two.test/41902');
UPDATE "PublicUrls" SET "ExpiresAt" = now() + interval '1 day', "IsDeleted" = true WHERE "Id" = lab.id('url', 41902);
SELECT count(*) FROM photoflow.find_public_url('https://two.test/41902');
SELECT photoflow.find_public_url(NULL);
\echo :LAST_ERROR_SQLSTATE

-- the loader: COPY and INSERT with "OrgId", without it, in one statement for several; functions still want a tenant
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON "PublicUrls", "Albums", "AlbumTags", "PhotoLikes" TO regress_photoflow_loader;
SET ROLE regress_photoflow_loader;
COPY "PublicUrls" ("OrgId", "Url") FROM STDIN;
e26e0b0e-0000-4000-8000-000000000001	https://nobody.test
\.
INSERT INTO "PublicUrls" ("OrgId", "Url") SELECT lab.org(n), 'https://loaded.test/' || n FROM generate_series(1, 2) n;
INSERT INTO "PublicUrls" ("Url") VALUES ('https://loaded.test/3');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "AlbumTags" ("AlbumId", "OrgId", "Type") VALUES (lab.id('album', 41901), lab.org(1), 4), (lab.id('album', 41902), lab.org(2), 4);
INSERT INTO "AlbumTags" ("AlbumId", "OrgId", "Type") VALUES (lab.id('album', 41902), lab.org(1), 4);
\echo :LAST_ERROR_SQLSTATE
UPDATE "PublicUrls" SET "Type" = 7 WHERE "Url" LIKE 'https://loaded.test/%' RETURNING "OrgId" = lab.org(1) AS one;
DELETE FROM "PublicUrls" WHERE "Url" LIKE 'https://loaded.test/%';
-- (which marks them; no setting makes it more than that for who is not the owner)
SET photoflow.hard_delete = on;
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 41901) RETURNING "IsDeleted";
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.hard_delete;
SELECT from_state FROM photoflow.fire(lab.id('album', 41901), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
-- with a tenant set, it is that tenant's
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) \g /dev/null
INSERT INTO "PublicUrls" ("OrgId", "Url") VALUES (lab.org(2), 'https://loaded.test/4');
\echo :LAST_ERROR_SQLSTATE
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
DROP OWNED BY regress_photoflow_loader;
DROP ROLE regress_photoflow_loader;

-- TRUNCATE knows no policies: who sees one organization does not get to it
GRANT TRUNCATE ON "PhotoLikes" TO regress_photoflow_app;
SET ROLE regress_photoflow_app;
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) \g /dev/null
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
REVOKE TRUNCATE ON "PhotoLikes" FROM regress_photoflow_app;
-- nor the owner, who has not said that it is meant
BEGIN;
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SET LOCAL photoflow.hard_delete = on;
TRUNCATE "PhotoLikes";
SELECT count(*) FROM "PhotoLikes";
ROLLBACK;
BEGIN;
SELECT photoflow.set_context(lab.org(1)) \g /dev/null
SET LOCAL photoflow.hard_delete = on;
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- a table of one's own, with partitions
BEGIN;
CREATE TABLE lab.invoices ("Id" int, "OrgId" uuid NOT NULL) PARTITION BY RANGE ("Id");
CREATE TABLE lab.invoices_1 PARTITION OF lab.invoices FOR VALUES FROM (0) TO (10);
SELECT photoflow.protect_table('lab.invoices');
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
	FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE c.relnamespace = 'lab'::regnamespace ORDER BY 1;
INSERT INTO lab.invoices VALUES (1, lab.org(1)), (2, lab.org(2));
GRANT SELECT, INSERT ON lab.invoices, lab.invoices_1 TO regress_photoflow_app;
SET LOCAL ROLE regress_photoflow_app;
SELECT count(*) FROM lab.invoices;
SELECT photoflow.set_context(lab.org(1)) \g /dev/null
SELECT (SELECT array_agg("Id") FROM lab.invoices) AS parent, (SELECT array_agg("Id") FROM lab.invoices_1) AS partition;
SAVEPOINT s;
INSERT INTO lab.invoices VALUES (3, lab.org(2));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.protect_table('lab.invoices');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- again it does nothing, and takes no lock that others feel
BEGIN;
SELECT photoflow.protect_table('"AuditLogs"');
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = '"AuditLogs"'::regclass AND mode NOT IN ('AccessShareLock', 'ShareUpdateExclusiveLock');
ROLLBACK;
SELECT photoflow.protect_table('"WorkflowVersions"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.protect_table('photoflow.migration_status');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.protect_table(1::oid::regclass);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.protect_table(NULL);
\echo :LAST_ERROR_SQLSTATE
-- detach() leaves the tables closed, attach() opens them for their organizations again
BEGIN;
SELECT photoflow.detach();
SELECT count(*) FROM pg_policy WHERE polname = 'PhotoflowTenant' AND polrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace);
SET LOCAL ROLE regress_photoflow_app;
SELECT photoflow.set_context(lab.org(1)) \g /dev/null
SELECT count(*) FROM "Albums";
RESET ROLE;
SELECT photoflow.attach();
SET LOCAL ROLE regress_photoflow_app;
SELECT count(*) > 0 AS seen, bool_and("OrgId" = lab.org(1)) AS mine FROM "Albums";
ROLLBACK;
-- a month that is added later has its policy
BEGIN;
SELECT photoflow.create_audit_partitions(14) AS made;
SELECT count(*) FROM photoflow.check_tenancy();
ROLLBACK;

-- whoever may create in the data schema puts a view there, and asks: it does not run in the owner's name
BEGIN;
CREATE VIEW public.mine AS SELECT "Id", "OrgId", "IsDeleted" FROM "Albums";
SELECT photoflow.why_zero('mine', lab.id('album', 41901));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- the owner's books are kept also where a dump's script has left row_security off
BEGIN;
SET LOCAL row_security = off;
SELECT lab.album(41903) \gset
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 41903);
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 41903), 'SyncStockTag');
ROLLBACK;

-- status() says all of it
SELECT name, ok FROM photoflow.status() WHERE name IN ('row-level security', 'tenancy', 'token', 'backup') ORDER BY 1;
BEGIN;
ALTER TABLE "Users" NO FORCE ROW LEVEL SECURITY;
ALTER ROLE regress_photoflow_app SET photoflow.require_token = on;
SELECT name, ok, hint FROM photoflow.status() WHERE name IN ('row-level security', 'tenancy', 'token') ORDER BY 1;
SELECT photoflow.set_token_key(decode(repeat('ab', 32), 'hex'));
SELECT ok, hint FROM photoflow.status() WHERE name = 'token';
ROLLBACK;

SELECT photoflow.revoke_app('regress_photoflow_app');
SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 'regress_photoflow_app'::regrole;
DROP ROLE regress_photoflow_app;
