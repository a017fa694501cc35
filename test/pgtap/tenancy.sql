-- Law: no row hangs on another organization's. Read from the catalog, so that a new table is under it from its first day.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
SELECT photoflow.create_tables() \g /dev/null
SELECT no_plan();

-- the data tables, and which of them hold no tenant's rows
CREATE TEMP VIEW data_table AS SELECT c.oid, c.relname FROM pg_class c
	WHERE c.relnamespace = (SELECT data_schema::text::regnamespace FROM photoflow.installation) AND c.relkind IN ('r', 'p') AND NOT c.relispartition;
CREATE TEMP VIEW tenant_table AS SELECT * FROM data_table WHERE relname NOT IN ('Organizations', 'WorkflowVersions', 'FailurePolicies', 'AuditSeals', 'AuditSettings', '__PhotoflowMigrations', '__PhotoflowSecrets');
CREATE TEMP VIEW fk AS SELECT con.oid, con.conname, con.conrelid AS child, con.confrelid AS parent,
		array(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY o) AS child_columns,
		array(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, o) JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY o) AS parent_columns,
		con.confdeltype, con.confmatchtype, con.convalidated
	FROM pg_constraint con WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid IN (SELECT oid FROM data_table);

SELECT cmp_ok((SELECT count(*)::int FROM tenant_table), '>=', 10, 'there are tenant tables to ask');
SELECT ok(a.attnotnull AND a.atttypid = 'uuid'::regtype, format('%s."OrgId" is uuid NOT NULL', t.relname))
	FROM tenant_table t LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'OrgId' AND NOT a.attisdropped ORDER BY t.relname;
SELECT is((SELECT relname::text FROM data_table d WHERE NOT EXISTS (SELECT FROM tenant_table t WHERE t.oid = d.oid)
	AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = d.oid AND attname = 'OrgId')), NULL, 'no other table has an organization');

-- every foreign key between tenant tables leads with the organization, on both sides
SELECT cmp_ok((SELECT count(*)::int FROM fk), '>=', 8, 'there are foreign keys to ask');
SELECT is(child_columns[1] || '>' || parent_columns[1], 'OrgId>OrgId', conname || ' leads with the organization')
	FROM fk WHERE parent IN (SELECT oid FROM tenant_table) AND child IN (SELECT oid FROM tenant_table) ORDER BY conname;
SELECT is(array_to_string(child_columns || parent_columns, ' '), 'OrgId Id', conname || ' is the organization itself')
	FROM fk WHERE parent = (SELECT oid FROM data_table WHERE relname = 'Organizations') ORDER BY conname;
SELECT ok(confdeltype <> 'n' AND confdeltype <> 'd' AND convalidated AND confmatchtype = 's', conname || ' sets nothing to NULL, and is valid') FROM fk ORDER BY conname;
SELECT ok(EXISTS (SELECT FROM pg_constraint u WHERE u.conrelid = parent AND u.contype = 'u' AND u.conkey = (
		SELECT array_agg(a.attnum ORDER BY a.attname DESC) FROM pg_attribute a WHERE a.attrelid = parent AND a.attname IN ('OrgId', 'Id'))),
		parent::regclass || ' is UNIQUE ("OrgId","Id")')
	FROM (SELECT DISTINCT parent FROM fk WHERE parent IN (SELECT oid FROM tenant_table)) p ORDER BY parent::regclass::text;
-- no unique key tells one organization of another's values: it leads with "OrgId", or is the primary key of a uuid
SELECT ok(a.attname = 'OrgId' OR i.indisprimary AND (SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0]) = 'Id',
		i.indexrelid::regclass || ' leads with the organization')
	FROM pg_index i JOIN tenant_table t ON t.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE i.indisunique ORDER BY i.indexrelid::regclass::text;

-- row-level security: enabled, forced and with the one policy on every table of rows of an organization, on the organizations
-- and on every partition; on the secrets without any
CREATE TEMP VIEW closed_table AS SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity,
		CASE WHEN c.relname = 'Organizations' THEN '("Id" = photoflow.current_org())' ELSE '("OrgId" = photoflow.current_org())' END AS expression
	FROM pg_class c WHERE c.oid IN (SELECT oid FROM tenant_table UNION SELECT relid FROM tenant_table t, pg_partition_tree(t.oid))
		OR c.oid = (SELECT oid FROM data_table WHERE relname = 'Organizations');
SELECT cmp_ok((SELECT count(*)::int FROM closed_table), '>=', 20, 'there are tables and partitions to ask');
SELECT ok(relrowsecurity AND relforcerowsecurity, relname || ': row-level security is forced') FROM closed_table ORDER BY relname;
SELECT is((SELECT string_agg(concat_ws(' ', polname, polcmd, polpermissive, polroles::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), '; ')
		FROM pg_policy WHERE polrelid = c.oid), concat_ws(' ', 'PhotoflowTenant', '*', true, '{0}', expression, expression), relname || ': one policy, for all roles and commands')
	FROM closed_table c ORDER BY relname;
SELECT ok(relrowsecurity AND relforcerowsecurity AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid), 'no policy admits a row of the secrets')
	FROM pg_class c WHERE oid = (SELECT oid FROM data_table WHERE relname = '__PhotoflowSecrets');
SELECT is((SELECT string_agg(proname || ' ' || provolatile::text || proleakproof || proparallel::text, ', ') FROM pg_proc WHERE oid = 'photoflow.current_org()'::regprocedure),
	'current_org strues', 'what the policy calls is STABLE, LEAKPROOF and PARALLEL SAFE');
SELECT is_empty('SELECT * FROM photoflow.check_tenancy()', 'the linter finds nothing');
-- a statement without a tenant is refused on every table that applications write
SELECT ok(EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.oid AND tgfoid = 'photoflow.tenant_require()'::regprocedure AND tgenabled = 'O' AND tgtype = 62), relname || ' asks for a tenant once a statement')
	FROM data_table t WHERE relname NOT IN ('WorkflowVersions', '__PhotoflowMigrations', '__PhotoflowSecrets', 'AlbumTransitions', 'PhotoSyncPages',
		'DeletionReasons', 'PurgeReceipts', 'RetentionRules', 'FailureAttempts', 'FailureCounts', 'FailurePolicies', 'AuditSeals', 'AuditSettings') ORDER BY relname;

-- rows of two organizations, made in every way that there is; then all children are asked
INSERT INTO "Organizations" ("Id", "Name") SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n FROM generate_series(1, 2) n;
INSERT INTO "Users" ("OrgId") SELECT "Id" FROM "Organizations";
INSERT INTO "PublicUrls" ("OrgId", "Url") SELECT "Id", "Name" FROM "Organizations", generate_series(1, 5);
INSERT INTO "Albums" ("OrgId", "Name") SELECT "Id", n FROM "Organizations", generate_series(1, 20) n;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status", "PublicUrlId") SELECT a."Id", t, 2, (SELECT "Id" FROM "PublicUrls" u WHERE u."OrgId" = a."OrgId" LIMIT 1) FROM "Albums" a, unnest(ARRAY[0, 3]) t;
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "Voted") SELECT "Id", n, true FROM "AlbumTags", generate_series(1, 5) n;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs";
INSERT INTO "PhotoLikes" ("PhotoProcId", "UserId") SELECT p."Id", u."Id" FROM "PhotoProcs" p JOIN "Users" u USING ("OrgId");
INSERT INTO "AuditLogs" ("OrgId", "CreatedAt") SELECT "Id", now() + n * interval '1 month' FROM "Organizations", generate_series(-3, 3) n;
SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums"), 'SyncRawTag') \g /dev/null
SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums"), 'SyncStockTag') \g /dev/null
SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums"), 'Rate') \g /dev/null
UPDATE "Albums" SET "AlbumState" = 5 WHERE "AlbumState" = 3;
SELECT photoflow.set_context('00000000-0000-4000-8000-000000000001', NULL, 'photographer') \g /dev/null
SELECT count(photoflow.sync_photos("Id", '[{"id": "x", "name": "x.jpg", "mimeType": "image/jpeg"}]')) FROM "AlbumTags" WHERE "OrgId" = photoflow.current_org() \g /dev/null
SELECT photoflow.set_context(NULL) \g /dev/null
SELECT count(*) FROM photoflow.soft_delete('"PhotoComments"', array(SELECT "Id" FROM "PhotoComments"), 'rude') \g /dev/null
SELECT photoflow.set_retention("Id", '1 year') FROM "Organizations" \g /dev/null
INSERT INTO "PurgeReceipts" ("OrgId", "RunId", "TableName", "RowCount", "FirstId", "LastId", "OlderThan", "PurgedBy")
	SELECT "Id", "Id", 'PhotoLikes', 1, "Id", "Id", now(), 'nobody' FROM "Organizations";
SELECT photoflow.record_failure('Organization', "Id", 'a', 'b', 'no', org_id => "Id") FROM "Organizations" \g /dev/null
SELECT photoflow.reschedule_failures(ARRAY[c.id], ARRAY[c.claim_token], ARRAY['again']) FROM photoflow.claim_failures('worker') c \g /dev/null

-- the test must be able to fail: without its foreign key and triggers a wrong row is found
CREATE FUNCTION pg_temp.strays(fk oid) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	found bigint;
	f fk;
BEGIN
	SELECT * INTO f FROM fk WHERE fk.oid = $1;
	EXECUTE format('SELECT count(*) FROM %s c JOIN %s p ON p.%I = c.%I WHERE c."OrgId" <> p."OrgId"', f.child::regclass, f.parent::regclass,
		f.parent_columns[array_upper(f.parent_columns, 1)], f.child_columns[array_upper(f.child_columns, 1)]) INTO found;
	RETURN found;
END $$;
SELECT cmp_ok((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', oid::regclass), false, true, '')))[1]::text::int, '>', 0, relname || ' has rows')
	FROM tenant_table ORDER BY relname;
SELECT is(pg_temp.strays(oid), 0::bigint, conname || ': no child of another organization')
	FROM fk WHERE parent IN (SELECT oid FROM tenant_table) ORDER BY conname;
SELECT is_empty($$ SELECT h."AlbumId" FROM "AlbumTransitions" h LEFT JOIN "Albums" a ON a."Id" = h."AlbumId" WHERE a."OrgId" IS DISTINCT FROM h."OrgId" $$,
	'no transition of another organization''s album');
SET LOCAL session_replication_role = replica;
UPDATE "AlbumTags" SET "AlbumId" = (SELECT "Id" FROM "Albums" a WHERE a."OrgId" <> "AlbumTags"."OrgId" LIMIT 1)
	WHERE "Id" = (SELECT "Id" FROM "AlbumTags" LIMIT 1);
SET LOCAL session_replication_role = origin;
SELECT is(sum(pg_temp.strays(oid)), 1::numeric, 'a stray that is put there by force is found') FROM fk WHERE parent IN (SELECT oid FROM tenant_table);
SELECT * FROM finish();
ROLLBACK;
