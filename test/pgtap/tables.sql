-- Law: the tables are those of the domain's document, under their exact names and types, and belong to the user, not to the extension.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
SELECT photoflow.create_tables() \g /dev/null
SELECT no_plan();
CREATE TEMP TABLE described (tbl text, col text, type text);
-- the document's columns; where it gives no type, none is asked for
INSERT INTO described SELECT tbl, split_part(part, ' ', 1), nullif(substr(part, strpos(part || ' ', ' ') + 1), '')
	FROM (VALUES
	('Albums', 'Id uuid;Name character varying(255);Status integer;AlbumState integer;OrgId uuid;AssigneeId uuid;ProviderId uuid;HashedPassword character varying;IsArchive boolean;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;IsDeleted boolean;WorkflowVersion integer'),
	('AlbumTags', 'Id uuid;AlbumId uuid;Type integer;Status integer;Link jsonb;ProviderId uuid;FolderId uuid;SyncInitiatedByUserId uuid;PublicUrlId uuid;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('PhotoProcs', 'Id uuid;AlbumTagId uuid;FileName character varying;ExternalId character varying;Status integer;Voted boolean;SortOrder integer;ThumbnailUrl character varying;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('FailureRecords', 'Id uuid;EntityId uuid;EntityType character varying;FromState character varying;ToState character varying;ErrorMessage text;Severity integer;RetryCount integer;LastRetryAt timestamp with time zone;Status integer;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('AuditLogs', 'Id uuid;ServiceName character varying;Action character varying;EntityType character varying;EntityId character varying;UserId character varying;ExecutionTimeMs bigint;Status character varying;ErrorMessage text;RequestData jsonb;ResponseData jsonb;ProviderId character varying;RequestId character varying;CorrelationId character varying;Operation character varying;IpAddress character varying;UserAgent character varying;AdditionalData jsonb;StartedAt timestamp with time zone;CompletedAt timestamp with time zone;CreatedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('Organizations', 'Id uuid;Name;Code;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;IsDeleted boolean'),
	('Users', 'Id uuid;Email;Name;OrgId uuid;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;IsDeleted boolean'),
	('PublicUrls', 'Id uuid;Url;Type integer;ExpiresAt timestamp with time zone;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('PhotoComments', 'Id uuid;PhotoProcId uuid;Content;CreatedBy;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean'),
	('PhotoLikes', 'Id uuid;PhotoProcId uuid;UserId;CreatedAt timestamp with time zone;ModifiedAt timestamp with time zone;OrgId uuid;IsDeleted boolean')) d(tbl, cols),
		regexp_split_to_table(cols, ';') part;
SELECT has_table('public', tbl, tbl || ' exists') FROM (SELECT DISTINCT tbl FROM described) d ORDER BY tbl;
SELECT has_column('public', tbl, col, format('%s."%s" exists', tbl, col)) FROM described WHERE type IS NULL ORDER BY tbl, col;
SELECT is(format_type(a.atttypid, a.atttypmod), d.type, format('%s."%s" is %s', tbl, col, type))
	FROM described d LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(format('public.%I', tbl)) AND a.attname = col AND NOT a.attisdropped
	WHERE d.type IS NOT NULL ORDER BY tbl, col;
-- keys: "Id" alone; the log is partitioned by month and has the month's column in its key
SELECT col_is_pk('public', tbl, 'Id'::name, tbl || ': primary key') FROM (SELECT DISTINCT tbl FROM described) d WHERE tbl <> 'AuditLogs' ORDER BY tbl;
SELECT col_is_pk('public', 'AuditLogs', ARRAY['Id', 'CreatedAt']::name[], 'AuditLogs: primary key');
SELECT is_partitioned('public', 'AuditLogs', 'AuditLogs is partitioned');
SELECT is((SELECT pg_get_partkeydef('"AuditLogs"'::regclass)), 'RANGE ("CreatedAt")', 'by its time');
SELECT is((SELECT count(*)::int FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '"AuditLogs"'::regclass
	AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'), 1, 'with a DEFAULT partition');
SELECT lives_ok(format($$ INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('00000000-0000-4000-8000-000000000001', 'a', %L) $$, at), 'a row of ' || at || ' is not refused')
	FROM unnest('{-infinity,0001-01-01,1970-01-01,2023-12-31 23:59:59.999999+00,9999-12-31,infinity}'::text[]) at;
SELECT lives_ok($$ INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('00000000-0000-4000-8000-000000000001', 'a', date_trunc('month', now(), 'UTC')) $$, 'nor one of this month');
SELECT isnt((SELECT tableoid::regclass::text FROM "AuditLogs" WHERE "CreatedAt" = date_trunc('month', now(), 'UTC')), '"AuditLogs_default"', 'which has a partition of its own');
-- ids are made by the database, in order, and those given are taken
SELECT is(pg_get_expr(adbin, adrelid), 'photoflow.uuid_v7()', tbl || '."Id" is time-ordered') FROM (SELECT DISTINCT tbl FROM described) d
	LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(format('public.%I', tbl)) AND a.attname = 'Id'
	LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum ORDER BY tbl;

-- every index says what it is for; those of the primary keys need not
SELECT cmp_ok(count(*)::int, '>=', 10, 'there are indexes to ask') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary;
SELECT isnt(coalesce(obj_description(c.oid, 'pg_class'), ''), '', c.relname || ' says what it is for')
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary AND NOT c.relispartition ORDER BY c.relname;
-- every foreign key has an index that begins with its columns, so that deleting a parent does not read every child
SELECT ok(EXISTS (SELECT FROM pg_index i WHERE i.indrelid = con.conrelid
		AND (SELECT array_agg(k ORDER BY k) FROM unnest(con.conkey) k) = (SELECT array_agg(k ORDER BY k) FROM unnest((i.indkey::int2[])[0:cardinality(con.conkey) - 1]) k)),
		con.conname || ' has an index')
	FROM pg_constraint con WHERE con.connamespace = 'public'::regnamespace AND con.contype = 'f' AND con.conparentid = 0
		AND con.conname NOT LIKE '%WorkflowVersion%' ORDER BY con.conname;

-- the data is the user's
SELECT is_empty($$ SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'pg_all_foreign_keys' AND c.relname NOT LIKE 'tap_funky'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'photoflow') $$, 'no data table is a member of the extension');
SELECT is_empty($$ SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
	WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND t.typnamespace = 'photoflow'::regnamespace $$, 'no column has a type of the extension''s');
SELECT is_empty($$ SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relowner <> current_user::regrole $$, 'the caller owns them');
SELECT is_empty($$ SELECT relname FROM pg_class WHERE relnamespace = 'photoflow'::regnamespace AND relkind IN ('r', 'p', 'm', 'S')
	AND relname NOT IN ('installation', 'table_steps') $$, 'the extension''s schema has no table but its own two');
SELECT * FROM finish();
ROLLBACK;
