# A hostile login: it has what grant_app() gives and a context or a token of organization 1, and tries to read, count, change or
# detect rows of organization 2. Every trick is tried by two logins, "app" with a context it sets itself and "tok" that needs a
# token, and once by a superuser: the control, which must find what they must not.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "max_prepared_transactions = 4\nlog_statement = all\n");
$node->start;

my $key = 'k' x 32;
my @org = map { "00000000-0000-4000-8${_}00-000000000000" } 0 .. 2;
my ($mine, $theirs, $nowhere) = (1, 2, 9);
# whatever is Osaka's shows in its text or in its id; nothing that a trick itself says may match
my $mark = qr/Osaka|-82\d\d-0/;
my $claims = qq{{"org_id":"$org[1]","sub":"@{[id(1, 'user')]}","role":"org_admin","exp":4102444800}};
my $token = jwt($claims);
my %context = (
	app => "DO \$\$ BEGIN PERFORM photoflow.set_context('$org[1]', '@{[id(1, 'user')]}', 'org_admin'); END \$\$;",
	tok => "DO \$\$ BEGIN PERFORM photoflow.authenticate('$token'); END \$\$;",
	postgres => '');
my @logins = ('app', 'tok');
my @tables = qw(Organizations Users PublicUrls Albums AlbumTags PhotoProcs PhotoComments PhotoLikes FailureRecords AuditLogs);
my @books = qw(AlbumTransitions PhotoSyncPages DeletionReasons PurgeReceipts RetentionRules);
make_data();

# The rows are there, and each login sees its own.
foreach my $table (@tables)
{
	my $column = $table eq 'Organizations' ? 'Id' : 'OrgId';
	cmp_ok(alone('postgres', qq{SELECT count(*) FROM "$table" WHERE "$column" = '$org[2]'}), '>', 0, "$table: organization 2 has rows");
	cmp_ok(out($_, qq{SELECT count(*) FROM "$table"}), '>', 0, "$table: $_ sees rows of its own") foreach @logins;
	is(out($_, qq{SELECT count(*) FROM "$table" WHERE "$column" IS DISTINCT FROM photoflow.current_org()}), 0, "$table: and $_ no others") foreach @logins;
	is(alone($_, qq{SELECT count(*) FROM "$table"}), 0, "$table: none without a context ($_)") foreach @logins;
}
foreach my $table (@books)
{
	cmp_ok(alone('postgres', qq{SELECT count(*) FROM "$table" WHERE "OrgId" = '$org[2]'}), '>', 0, "$table: organization 2 has rows");
	states("$table is not for applications", qq{SELECT count(*) FROM "$table"}, '42501');
}

# Reading: joins, subqueries, set operations, aggregates, windows, views, functions
blind('a plain read', 'SELECT "Name" FROM "Albums"');
blind('a whole row', 'SELECT p FROM "PhotoProcs" p');
blind('to_jsonb of rows', 'SELECT to_jsonb(u) FROM "Users" u');
blind('query_to_xml', q{SELECT query_to_xml('SELECT "Name" FROM "Users"', true, false, '')});
blind('database_to_xml and its kin read as the caller', q{SELECT table_to_xml('"Users"', true, false, '')});
blind('a join', 'SELECT a."Name", p."FileName" FROM "Albums" a JOIN "AlbumTags" t ON t."AlbumId" = a."Id" JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id"');
blind('an outer join', 'SELECT o."Name", a."Name" FROM "Organizations" o FULL JOIN "Albums" a ON a."OrgId" = o."Id"');
blind('a cross join', 'SELECT a."Name", b."Name" FROM "Albums" a, "Albums" b');
blind('a CTE', 'WITH a AS MATERIALIZED (SELECT "Name" FROM "Albums") SELECT "Name" FROM a');
blind('a recursive CTE', 'WITH RECURSIVE a (n, i) AS (SELECT "Name"::text, 1 FROM "Albums" UNION ALL SELECT b."Name", i + 1 FROM a, "Albums" b WHERE i < 2) SELECT n FROM a');
blind('LATERAL', 'SELECT x."Name" FROM generate_series(1, 2), LATERAL (SELECT "Name" FROM "Albums" LIMIT 50) x');
blind('a scalar subquery', 'SELECT array(SELECT "Url" FROM "PublicUrls")');
blind('NOT IN with NULLs', 'SELECT "Name" FROM "Albums" WHERE "Id" NOT IN (SELECT NULLIF("Id", "Id") FROM "Albums" WHERE false)');
blind('OR true', 'SELECT "Name" FROM "Albums" WHERE "OrgId" = photoflow.current_org() OR true');
blind('UNION of all tables', join(' UNION ALL ', map { qq{SELECT to_jsonb(x)::text FROM "$_" x} } grep { $_ ne 'Albums' } @tables));
blind('EXCEPT', 'SELECT "Name" FROM "Albums" EXCEPT SELECT \'Kyoto\'');
blind('string_agg', 'SELECT string_agg("Name", \',\') FROM "Albums"');
blind('GROUPING SETS', 'SELECT "Name" FROM "Albums" GROUP BY GROUPING SETS (("Name"), ())');
blind('a window', 'SELECT lag("Name") OVER (ORDER BY "Name" DESC), lead("Name") OVER (ORDER BY "Name") FROM "Albums"');
blind('TABLESAMPLE', 'SELECT "Name" FROM "Albums" TABLESAMPLE SYSTEM (100)');
blind('by ctid', q{SELECT "Name" FROM "Users" WHERE ctid >= '(0,0)'});
blind("the view Live$_", qq{SELECT x FROM "Live$_" x}) foreach 'Albums', 'AlbumTags', 'PhotoProcs';
blind('ONLY', 'SELECT "Name" FROM ONLY "Albums"');
blind('a temporary view', 'CREATE TEMP VIEW v AS SELECT * FROM "Users"; SELECT "Name" FROM v');
blind('a view with security_barrier', 'CREATE TEMP VIEW v WITH (security_barrier) AS SELECT * FROM "Users"; SELECT "Name" FROM v');
blind('a view with security_invoker', 'CREATE TEMP VIEW v WITH (security_invoker) AS SELECT * FROM "Users"; SELECT "Name" FROM v');
blind('a temporary table', 'CREATE TEMP TABLE t AS SELECT * FROM "Users"; SELECT "Name" FROM t');
blind('SELECT INTO', 'SELECT * INTO TEMP t FROM "PhotoComments"; SELECT "Content" FROM t');
blind('INSERT .. SELECT into a temporary table', 'CREATE TEMP TABLE t (n text); INSERT INTO t SELECT "Url" FROM "PublicUrls"; SELECT n FROM t');
blind('COPY TO', 'COPY (SELECT "Name" FROM "Users") TO STDOUT');
blind('COPY of a table', 'COPY "Users" TO STDOUT');
blind('a cursor', 'DECLARE c SCROLL CURSOR FOR SELECT "Name" FROM "Albums"; FETCH ALL c; FETCH BACKWARD ALL c');
blind('a DO block that raises what it finds', 'DO $$ DECLARE n text; BEGIN FOR n IN SELECT "Name" FROM "Albums" LOOP RAISE WARNING \'%\', n; END LOOP; END $$');
blind('dynamic SQL', 'DO $$ DECLARE n text; BEGIN EXECUTE \'SELECT string_agg("Name", $1) FROM "Users"\' INTO n USING \' \'; RAISE WARNING \'%\', n; END $$');
blind('an SQL function', with_function('f() RETURNS SETOF text LANGUAGE sql AS $$ SELECT "Name" FROM "Albums" $$') . 'SELECT pg_temp.f()');
blind('a definer function of one\'s own', with_function('f() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS $$ SELECT "Name" FROM "Albums" $$') . 'SELECT pg_temp.f()');
blind('a large IN list', 'SELECT "Name" FROM "Albums" WHERE "Id" IN (' . join(',', map { sprintf "'00000000-0000-4000-8%d02-%012d'", 1 + $_ % 2, $_ / 2 } 0 .. 9999) . ')');
blind('FOR UPDATE', 'SELECT "Name" FROM "Albums" FOR UPDATE');
blind('FOR KEY SHARE of a join', 'SELECT a."Name" FROM "Albums" a JOIN "AlbumTags" t ON t."OrgId" = a."OrgId" FOR NO KEY UPDATE OF a SKIP LOCKED');
blind('a MERGE\'s source', 'CREATE TEMP TABLE t (n text); MERGE INTO t USING "Albums" a ON false WHEN NOT MATCHED THEN INSERT VALUES (a."Name"); SELECT n FROM t');
blind('parallel workers', 'SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SELECT "FileName" FROM "PhotoProcs"');
blind('indexes only', 'SET LOCAL enable_seqscan = off; SELECT "Url" FROM "PublicUrls" WHERE "Url" >= \'\'');
blind('a hash join\'s estimates and buckets', 'SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SELECT b."Name" FROM "Users" a JOIN "Users" b ON a."Name" <> b."Name" OR a."Name" = b."Name"');
blind('the text of a plan', 'SET LOCAL enable_seqscan = on; EXPLAIN (ANALYZE, VERBOSE, COSTS OFF) SELECT "Name" FROM "Albums" WHERE "Name" > \'A\'; SELECT "Name" FROM "Albums"');
blind('debug_print_plan', 'SET LOCAL client_min_messages = log; SET LOCAL debug_print_plan = on; SELECT "Name" FROM "Albums"');
blind('jsonb_populate and SQL/JSON', 'SELECT jsonb_path_query(jsonb_agg(u), \'$[*].Name\') FROM "Users" u');
foreach my $setting ('enable_seqscan', 'enable_indexscan', 'enable_bitmapscan', 'enable_hashagg', 'enable_material', 'jit')
{
	blind("with $setting off", "SET LOCAL $setting = off; SELECT \"Name\" FROM \"Albums\" WHERE \"Name\" >= 'A'");
}

# Functions in predicates, which would like to run ahead of the policy
my $leak = with_function(q{leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$});
blind('a cheap function that tells', $leak . 'SELECT 1 FROM "Albums" WHERE pg_temp.leak("Name")');
blind('in a join condition', $leak . 'SELECT 1 FROM "Albums" a JOIN "Users" u ON pg_temp.leak(u."Name") AND pg_temp.leak(a."Name")');
blind('in a HAVING', $leak . 'SELECT 1 FROM "Albums" GROUP BY "Name" HAVING pg_temp.leak("Name")');
blind('in an ORDER BY', $leak . 'SELECT 1 FROM "Albums" ORDER BY pg_temp.leak("Name")');
blind('in a RETURNING', $leak . 'UPDATE "Albums" SET "Status" = 0 RETURNING pg_temp.leak("Name")');
blind('in an aggregate\'s FILTER', $leak . 'SELECT count(*) FILTER (WHERE pg_temp.leak("Name")) FROM "Users"');
blind('in a MERGE', $leak . 'MERGE INTO "Albums" a USING (SELECT 1) s ON pg_temp.leak(a."Name") WHEN MATCHED THEN DO NOTHING');
blind('in a partial ON CONFLICT', $leak . q{INSERT INTO "PhotoLikes" AS l ("Id", "PhotoProcId", "UserId") SELECT l."Id", l."PhotoProcId", l."UserId" FROM "PhotoLikes" l
	ON CONFLICT ("Id") DO UPDATE SET "ModifiedAt" = now() WHERE pg_temp.leak(l."OrgId"::text)});
states('a cast that prints the value', 'SELECT "Name"::int FROM "Albums" WHERE "Name" NOT LIKE \'Kyoto%\'', 'none', '22P02');
states('a division by zero', 'SELECT 1 / (CASE WHEN "Name" LIKE \'Kyoto%\' THEN 1 ELSE 0 END) FROM "Albums"', 'none', '22012');
states('a sum that overflows', 'SELECT sum(CASE WHEN "FileName" LIKE \'Kyoto%\' THEN 1 ELSE 2147483647 END + 1) FROM "PhotoProcs"', 'none', '22003');
states('a uuid that is none', 'SELECT ("Content" || \'\')::uuid FROM "PhotoComments" WHERE "Content" NOT LIKE \'Kyoto%\'', 'none', '22P02');
states('a subquery of more than a row', 'SELECT (SELECT "Name" FROM "Organizations")', 'none', '21000');
states('a regular expression that does not compile', 'SELECT \'x\' ~ (CASE WHEN "Name" LIKE \'Kyoto%\' THEN \'x\' ELSE \'(\' END) FROM "Users"', 'none', '2201B');

# Counting
zero('rows that are not mine', qq{SELECT count(*) FROM "Albums" WHERE "OrgId" <> '$org[1]'});
zero('EXISTS', qq{SELECT count(*) FROM (SELECT 1 WHERE EXISTS (SELECT FROM "Users" WHERE "Id" = '@{[id(2, 'user')]}')) x});
zero('by the primary key', qq{SELECT count(*) FROM "Albums" WHERE "Id" = '@{[id(2, 'album')]}'});
zero('by the link', q{SELECT count(*) FROM "PublicUrls" WHERE "Url" = 'https://example.com/' || 'Osa' || 'ka'});
zero('by the beginning of a file name', q{SELECT count(*) FROM "PhotoProcs" WHERE "FileName" ^@ ('Osa' || 'ka')});
zero('by LIKE', q{SELECT count(*) FROM "PhotoProcs" WHERE "FileName" LIKE 'Osa%'});
zero('with a subquery over ten thousand ids', q{SELECT count(*) FROM "Albums" WHERE "Id" = ANY (array(SELECT ('00000000-0000-4000-8202-' || lpad(n::text, 12, '0'))::uuid FROM generate_series(0, 9999) n))});
zero('statistics of columns', q{SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename IN ('Albums', 'Users', 'PublicUrls')});
zero('extended statistics', q{SELECT count(*) FROM pg_stats_ext WHERE tablename = 'Users'});
zero('other rows updated', q{WITH u AS (UPDATE "Albums" SET "Status" = 0 RETURNING "OrgId") SELECT count(*) FROM u WHERE "OrgId" <> } . "'$org[1]'");
zero('other rows updated in a join', qq{WITH u AS (UPDATE "PhotoProcs" p SET "SortOrder" = 0 FROM generate_series(1, 3) WHERE p."AlbumTagId" = '@{[id(2, 'tag')]}' RETURNING 1) SELECT count(*) FROM u});

# Writing
foreach my $login (@logins)
{
	run($login, q{UPDATE "Albums" SET "Name" = 'taken'; UPDATE "PhotoProcs" SET "FileName" = 'taken'; UPDATE "PublicUrls" SET "Url" = 'taken'; UPDATE "FailureRecords" SET "Severity" = 9; COMMIT});
}
is(alone('postgres', q{SELECT (SELECT count(*) FROM "Albums" WHERE "Name" = 'taken'), (SELECT count(*) FROM "PhotoProcs" WHERE "FileName" = 'taken'),
	(SELECT count(*) FROM "PublicUrls" WHERE "Url" = 'taken'), (SELECT count(*) FROM "FailureRecords" WHERE "Severity" = 9)}), '2|2|1|1', 'an UPDATE without WHERE takes the rows of one organization');
is(alone('postgres', q{SELECT (SELECT count(*) FROM "Albums" WHERE "Name" LIKE 'Osaka%'), (SELECT count(*) FROM "PhotoProcs" WHERE "FileName" LIKE 'Osaka%'),
	(SELECT count(*) FROM "PublicUrls" WHERE "Url" LIKE '%Osaka%')}), '2|2|1', 'and leaves the other\'s as they are');
alone('postgres', q{UPDATE "Albums" SET "Name" = 'Kyoto' WHERE "Name" = 'taken'; UPDATE "PhotoProcs" SET "FileName" = 'Kyoto.jpg' WHERE "FileName" = 'taken'; UPDATE "PublicUrls" SET "Url" = 'https://example.com/Kyoto' WHERE "Url" = 'taken'});
states('a row for organization 2', qq{INSERT INTO "Albums" ("Name", "OrgId") VALUES ('x', '$org[2]')}, 'PF011', 'none');
states('a link for organization 2', qq{INSERT INTO "PublicUrls" ("Url", "OrgId") VALUES ('x', '$org[2]')}, 'PF011', 'none');
states('a failure record for organization 2', qq{INSERT INTO "FailureRecords" ("EntityId", "EntityType", "OrgId") VALUES (gen_random_uuid(), 'x', '$org[2]')}, 'PF011', 'none');
states('an audit row for organization 2', qq{INSERT INTO "AuditLogs" ("OrgId") VALUES ('$org[2]')}, 'PF011', 'none');
states('a row given away', qq{UPDATE "Albums" SET "OrgId" = '$org[2]'}, '42501', 'PF011');
states('a row given away by ON CONFLICT', qq{INSERT INTO "PublicUrls" ("Id", "Url") VALUES ('@{[id(1, 'url')]}', 'x') ON CONFLICT ("Id") DO UPDATE SET "OrgId" = '$org[2]'}, '42501');
states('a row given away by MERGE', qq{MERGE INTO "PublicUrls" u USING (SELECT 1) s ON u."Id" = '@{[id(1, 'url')]}' WHEN MATCHED THEN UPDATE SET "OrgId" = '$org[2]'}, '42501', 'PF011');
# a DELETE marks, and only what is one's own; really deleting is the owner's
my $load = 'DO $$ BEGIN PERFORM photoflow.current_org(); END $$;';
foreach my $login (@logins)
{
	run($login, q{DELETE FROM "Albums"; DELETE FROM "PublicUrls"; DELETE FROM "LivePhotoProcs"; DELETE FROM "FailureRecords"; COMMIT});
}
is(alone('postgres', qq{SELECT count(*), bool_and("IsDeleted" = (o = '$org[1]')) FROM (SELECT "IsDeleted", "OrgId" AS o FROM "Albums" UNION ALL SELECT "IsDeleted", "OrgId" FROM "AlbumTags"
	UNION ALL SELECT "IsDeleted", "OrgId" FROM "PhotoProcs" UNION ALL SELECT "IsDeleted", "OrgId" FROM "PublicUrls" UNION ALL SELECT "IsDeleted", "OrgId" FROM "FailureRecords") x}),
	alone('postgres', q{SELECT (SELECT count(*) FROM "Albums") + (SELECT count(*) FROM "AlbumTags") + (SELECT count(*) FROM "PhotoProcs") + (SELECT count(*) FROM "PublicUrls") + (SELECT count(*) FROM "FailureRecords")}) . '|t',
	'a DELETE without WHERE marks the rows of one organization, and leaves the other\'s as they are');
my $theirs_deleted = alone('postgres', qq{$load SELECT deletion_id FROM photoflow.soft_delete('"PublicUrls"', ARRAY['@{[id(2, 'url')]}'::uuid], 'Osaka closes') LIMIT 1});
blind('the list of deletions', 'SELECT d FROM photoflow.deletions d');
blind("the receipts of purges: $_", "SELECT r FROM photoflow.$_ r") foreach 'purge_receipts', 'purge_progress', 'list_purge_receipts()';
states('the rules of others', 'SELECT r FROM photoflow.retention r', '42501', 'none');
states('a deletion of another organization, restored', "SELECT photoflow.restore('$theirs_deleted')", 'PF005', 'none');
states('the same, looked at', "SELECT photoflow.restore('$theirs_deleted', true)", 'PF005', 'none');
states('a row of another organization, deleted', qq{SELECT photoflow.soft_delete('"Albums"', ARRAY['@{[id(2, 'album')]}'::uuid])}, 'PF005', 'none');
states('the same among rows of one\'s own', qq{SELECT photoflow.soft_delete('"Albums"', ARRAY['@{[id(1, 'album')]}', '@{[id(2, 'album')]}']::uuid[])}, 'PF005', 'none');
states('no row of anybody', qq{SELECT photoflow.soft_delete('"Albums"', ARRAY['@{[id(9, 'album')]}'::uuid])}, 'PF005', 'PF005');
zero('other rows deleted', $load . q{WITH d AS (DELETE FROM "Albums" RETURNING "OrgId") SELECT count(*) FROM d WHERE "OrgId" <> } . "'$org[1]'");
zero('other rows deleted through a view', $load . q{WITH d AS (DELETE FROM "LivePhotoProcs" RETURNING "OrgId") SELECT count(*) FROM d WHERE "OrgId" <> } . "'$org[1]'");
states('purge()', q{CALL photoflow.purge('0')}, '42501', '2D000');
states('a rule', "SELECT photoflow.set_legal_hold('$org[2]', false)", '42501', 'none');
states('DELETE', $load . 'DELETE FROM "Albums"', 'none', 'none');
states('a DELETE that is real', $load . 'SET LOCAL photoflow.hard_delete = on; DELETE FROM "Albums"', 'none', '23503');
is(out($_, $load . 'SET LOCAL photoflow.hard_delete = on; DELETE FROM "Albums"; SELECT count(*) FROM "Albums"'), 2, "$_: is none, whatever is set") foreach @logins;
states('TRUNCATE', 'TRUNCATE "PhotoLikes"', '42501', 'PF020');
states('a TRUNCATE that is real', 'SET LOCAL photoflow.hard_delete = on; TRUNCATE "PhotoLikes"', '42501', 'none');
alone('postgres', qq{SELECT photoflow.restore(d) FROM (SELECT DISTINCT deletion_id FROM photoflow.deletions) x (d)});
is(alone('postgres', q{SELECT (SELECT count(*) FROM "Albums" WHERE "IsDeleted") + (SELECT count(*) FROM "PhotoProcs" WHERE "IsDeleted") + (SELECT count(*) FROM "PublicUrls" WHERE "IsDeleted") + (SELECT count(*) FROM "FailureRecords" WHERE "IsDeleted")}), 0, 'and all of it comes back');
states('COPY FROM', "COPY \"PublicUrls\" (\"Url\") FROM STDIN;\nx\n\\.\n", '0A000', 'PF010');
states('an organization of one\'s own', q{INSERT INTO "Organizations" ("Id", "Name") VALUES (gen_random_uuid(), 'x')}, '42501', 'none');
states('an organization renamed', q{UPDATE "Organizations" SET "Name" = 'x'}, '42501', 'none');
states('a user moved', qq{UPDATE "Users" SET "OrgId" = '$org[1]'}, '42501', 'PF011');
states('a password hash', 'SELECT "HashedPassword" FROM "Albums"', '42501', 'none');
states('a password hash in a predicate', 'SELECT 1 FROM "Albums" WHERE "HashedPassword" > \'a\'', '42501', 'none');
states('all columns', 'SELECT * FROM "Albums"', '42501', 'none');
states('a partition named directly', 'SELECT count(*) FROM "AuditLogs_default"', '42501', 'none');
states('a partition written directly', 'INSERT INTO "AuditLogs_default" DEFAULT VALUES', '42501');
foreach my $partition (split /\n/, alone('postgres', q{SELECT relid FROM pg_partition_tree('"AuditLogs"') WHERE isleaf}))
{
	is(state('app', "SELECT FROM $partition"), '42501', "partition $partition is closed");
	is(alone('postgres', qq{SELECT relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid) FROM pg_class c WHERE c.oid = '$partition'::regclass}), 't', "partition $partition has its policy all the same");
}
blind('a partition that somebody granted', 'SELECT "Operation" FROM "AuditLogs_default"', before => 'GRANT SELECT ON "AuditLogs_default" TO app, tok', after => 'REVOKE ALL ON "AuditLogs_default" FROM app, tok');
blind('history that somebody granted', 'SELECT "AlbumId" FROM "AlbumTransitions"', before => 'GRANT SELECT ON "AlbumTransitions" TO app, tok', after => 'REVOKE ALL ON "AlbumTransitions" FROM app, tok');
zero('secrets that somebody granted', 'SELECT count(*) FROM "__PhotoflowSecrets"', before => 'GRANT SELECT ON "__PhotoflowSecrets" TO app, tok', after => 'REVOKE ALL ON "__PhotoflowSecrets" FROM app, tok');

# The same words for what is missing and for what is another's
same('fire()', q{SELECT photoflow.fire('ID:album', 'SyncRawTag')}, 'PF005');
same('fire_many()', q{SELECT photoflow.fire_many(ARRAY['ID:album'::uuid], 'SyncRawTag')}, 'PF005');
same('fire_many() that skips', q{SELECT * FROM photoflow.fire_many(ARRAY['ID:album'::uuid], 'SyncRawTag', on_error => 'skip')}, 'none');
same('permitted_triggers()', q{SELECT * FROM photoflow.permitted_triggers('ID:album')}, 'PF005');
same('can_fire()', q{SELECT photoflow.can_fire('ID:album', 'SyncRawTag')}, 'PF005');
same('rollback_transition()', q{SELECT photoflow.rollback_transition('ID:album')}, 'PF005');
same('album_history()', q{SELECT * FROM photoflow.album_history('ID:album')}, 'PF005');
same('state_diagram()', q{SELECT photoflow.state_diagram('mermaid', 'ID:album')}, 'PF005');
same('sync_photos()', q{SELECT photoflow.sync_photos('ID:tag', '[]', 0, true)}, 'PF005');
same('vote()', q{SELECT photoflow.vote(ARRAY['ID:photo'::uuid])}, 'PF005');
same('vote() on a mixture', qq{SELECT photoflow.vote(ARRAY['@{[id(1, 'photo')]}', 'ID:photo'::uuid])}, 'PF005', control => 0);
same('reorder_photos()', q{SELECT photoflow.reorder_photos('ID:tag', '{}')}, 'PF005');
same('reorder_photos() with another\'s photo', qq{SELECT photoflow.reorder_photos('@{[id(1, 'tag')]}', ARRAY['ID:photo'::uuid])}, undef, control => 0);
same('why_zero()', q{SELECT photoflow.why_zero('"Albums"', 'ID:album')}, 'none');
same('why_zero() of users', q{SELECT photoflow.why_zero('"Users"', 'ID:user')}, 'none');
same('why_zero() of audit rows', q{SELECT photoflow.why_zero('"AuditLogs"', 'ID:audit')}, 'none');
same('guard_raw_tag_ready()', q{SELECT photoflow.guard_raw_tag_ready('ID:org', 'ID:album')}, 'none');
same('guard_photo_voted()', q{SELECT photoflow.guard_photo_voted('ID:org', 'ID:album')}, 'none');
same('a stage on another\'s album', q{INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES ('ID:album', 7)}, 'PF011');
same('a photo in another\'s stage', q{INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES ('ID:tag', 'x')}, 'PF011');
same('a comment on another\'s photo', q{INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES ('ID:photo', 'x')}, 'PF011');
same('a like of another\'s photo', q{INSERT INTO "PhotoLikes" ("PhotoProcId", "UserId") VALUES ('ID:photo', gen_random_uuid())}, 'PF011');
same('another\'s link', qq{UPDATE "AlbumTags" SET "PublicUrlId" = 'ID:url' WHERE "Id" = '@{[id(1, 'tag')]}'}, 'PF011', control => 0);
same('a stage moved to another\'s album', qq{UPDATE "AlbumTags" SET "AlbumId" = 'ID:album' WHERE "Id" = '@{[id(1, 'tag')]}'}, 'PF011', control => 0);
same('import_rows()', q{CREATE TEMP TABLE s ("AlbumId" uuid, "Type" int); INSERT INTO s VALUES ('ID:album', 7); SELECT photoflow.import_rows('"AlbumTags"', 's')}, 'PF011', control => 0);
same('an UPDATE by id', q{UPDATE "Albums" SET "Status" = 0 WHERE "Id" = 'ID:album' RETURNING "Name"}, 'none');
same('FOR UPDATE NOWAIT', q{SELECT "Name" FROM "Albums" WHERE "Id" = 'ID:album' FOR UPDATE NOWAIT}, 'none');
same('MERGE by id', q{MERGE INTO "FailureRecords" f USING (SELECT 1) s ON f."Id" = 'ID:failure' WHEN MATCHED THEN UPDATE SET "Status" = 1 WHEN NOT MATCHED THEN DO NOTHING; SELECT "Status" FROM "FailureRecords" WHERE "Id" = 'ID:failure'}, 'none');
same('the unique key of likes', qq{INSERT INTO "PhotoLikes" ("PhotoProcId", "UserId") VALUES ('@{[id(1, 'photo', 1)]}', 'ID:user') RETURNING "UserId"}, 'none', control => 0);
same('the unique key of photos', qq{INSERT INTO "PhotoProcs" ("AlbumTagId", "ExternalId", "FileName") SELECT '@{[id(1, 'tag')]}', 'external-ID:photo', 'x' RETURNING "FileName"}, 'none', control => 0);
# photoflow's trigger functions on tables of one's own
my $table = 'CREATE TEMP TABLE t ("OrgId" uuid, "AlbumId" uuid, "AlbumTagId" uuid, "PhotoProcId" uuid, "PublicUrlId" uuid); ';
my %parent = (AlbumId => ['Albums', 'album'], AlbumTagId => ['AlbumTags', 'tag'], PhotoProcId => ['PhotoProcs', 'photo'], PublicUrlId => ['PublicUrls', 'url']);
foreach my $column (sort keys %parent)
{
	my ($parent, $kind) = @{ $parent{$column} };
	same("tenant_fill() for $parent on a table of one's own", $table . qq{CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('t', '$column', '$parent');
		INSERT INTO t ("$column") VALUES ('ID:$kind') RETURNING "OrgId"}, '39P01', control => 0);
	same("tenant_keep() for $parent on a table of one's own", $table . qq{CREATE TRIGGER x AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_keep('t', '$column', '$parent');
		INSERT INTO t ("OrgId", "$column") VALUES ('ORG', 'ID:$kind'); UPDATE t SET "$column" = "$column"}, undef, control => 0);
}
foreach my $function ('collect_transition', 'refuse_state_change', 'initial_state')
{
	my $when = $function eq 'initial_state' ? 'BEFORE INSERT' : 'AFTER UPDATE';
	states("$function() on a table of one's own", qq{CREATE TEMP TABLE "Albums" ("Id" uuid, "OrgId" uuid, "AlbumState" int, "WorkflowVersion" int, "IsDeleted" boolean);
		CREATE TRIGGER x $when ON pg_temp."Albums" FOR EACH ROW EXECUTE FUNCTION photoflow.$function('Albums');
		INSERT INTO pg_temp."Albums" VALUES ('@{[id(2, 'album')]}', '$org[2]', 0, 1, false); UPDATE pg_temp."Albums" SET "AlbumState" = 1}, '39P01', '39P01');
}
states("$_() called directly", "SELECT photoflow.$_()", '39P01', '39P01') foreach 'tenant_require', 'secrets_changed', 'tenant_fill', 'tenant_keep';
states('the trigger of secrets is harmless elsewhere', 'CREATE TEMP TABLE t (x int); CREATE TRIGGER x AFTER INSERT ON t EXECUTE FUNCTION photoflow.secrets_changed(); INSERT INTO t VALUES (1)', 'none');

# What an index finds is counted, and the counts are everybody's to see: they must say nothing of what a link is
foreach my $login (@logins)
{
	is(probe($login, q{"Url" >= 'https://example.com/O' AND "Url" < 'https://example.com/P'}), probe($login, q{"Url" >= 'https://example.com/Q' AND "Url" < 'https://example.com/R'}), "$login: EXPLAIN ANALYZE does not say whether there is such a link");
	is(fetched($login, q{"Url" >= 'https://example.com/O' AND "Url" < 'https://example.com/P'}), fetched($login, q{"Url" >= 'https://example.com/Q' AND "Url" < 'https://example.com/R'}), "$login: nor do the counters of the transaction");
}
isnt(probe('postgres', q{"Url" >= 'https://example.com/O' AND "Url" < 'https://example.com/P'}), probe('postgres', q{"Url" >= 'https://example.com/Q' AND "Url" < 'https://example.com/R'}), 'control: there is one');

# import_rows(): whatever the source is
my $import = q{SELECT photoflow.import_rows('"AlbumTags"', 's')};
my $flip = with_function(qq{flip() RETURNS uuid LANGUAGE plpgsql AS \$\$ BEGIN IF current_setting('my.turn', true) = 'x' THEN RETURN ('00000000-0000-4000-' || '8202-000000000000')::uuid; END IF;
	PERFORM set_config('my.turn', 'x', true); RETURN '@{[id(1, 'album')]}'; END \$\$});
states('a view that answers differently the second time', $flip . "CREATE TEMP VIEW s AS SELECT pg_temp.flip() AS \"AlbumId\", 7 AS \"Type\"; $import", 'PF011');
states('a view that drops itself', with_function('gone() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DROP VIEW IF EXISTS pg_temp.s; RETURN 7; END $$') . qq{CREATE TEMP VIEW s AS SELECT '@{[id(1, 'album')]}'::uuid AS "AlbumId", pg_temp.gone() AS "Type"; $import}, qr/^(42P01|55006)$/);
states('rows of organization 2', qq{CREATE TEMP TABLE s ("OrgId" uuid, "AlbumId" uuid, "Type" int); INSERT INTO s VALUES ('$org[2]', '@{[id(2, 'album')]}', 7); $import}, 'PF011');
states('a table with a wild name', qq{CREATE TEMP TABLE "a""b; c" ("AlbumId" uuid, "Type" int); INSERT INTO "a""b; c" VALUES ('@{[id(1, 'album')]}', 7); SELECT photoflow.import_rows('"AlbumTags"', '"a""b; c"')}, 'none');
states('a table without columns', q{CREATE TEMP TABLE s (); SELECT photoflow.import_rows('"PublicUrls"', 's')}, 'none');
states('columns of other types', qq{CREATE TEMP TABLE s ("AlbumId" int, "Type" int); $import}, '42883');
states('itself', q{SELECT photoflow.import_rows('"PublicUrls"', '"PublicUrls"')}, '23505');
states('an index as the target', q{CREATE TEMP TABLE s ("Id" uuid); SELECT photoflow.import_rows('"UX_Albums_OrgId_Id"', 's')}, qr/^428/);
states('an index as the source', q{SELECT photoflow.import_rows('"Albums"', '"UX_Albums_OrgId_Id"')}, '42809');
states('nothing as the source', q{SELECT photoflow.import_rows('"Albums"', 0)}, '42P01');
states('no such relation', q{SELECT photoflow.import_rows('"Albums"', 4294967295::oid::regclass)}, '42P01');
states('a catalog', q{SELECT photoflow.import_rows('pg_authid', 'pg_authid')}, '42809');
states('the secrets', q{CREATE TEMP TABLE s (x int); SELECT photoflow.import_rows('"__PhotoflowSecrets"', 's')}, '42809');
states('history', q{CREATE TEMP TABLE s ("Trigger" text); SELECT photoflow.import_rows('"AlbumTransitions"', 's')}, '42501');
states('NULL', q{SELECT photoflow.import_rows(NULL, NULL)}, '22004', '22004');
states("why_zero($_)", "SELECT photoflow.why_zero($_)", qr/^(22004|42809)$/, qr/^(22004|42809)$/) foreach q{0, gen_random_uuid()}, q{NULL, NULL}, q{'"Albums"', NULL}, q{'pg_class', gen_random_uuid()}, q{'"UX_Albums_OrgId_Id"', gen_random_uuid()}, q{4294967295::oid::regclass, gen_random_uuid()};
states('why_zero() of a partition', q{SELECT photoflow.why_zero('"AuditLogs_default"', gen_random_uuid())}, '42501', 'none');
states("the owner's $_", "SELECT photoflow.$_", '42501') foreach q{protect_table('"Albums"')}, q{grant_app('app')}, q{revoke_app('app')}, 'event_channel()', q{find_public_url('x')}, 'token_key_ids()',
	q{set_token_key('\x00')}, q{add_token_key('\x00', 'x')}, q{drop_token_key(NULL)}, 'check_tenancy()', 'detach()', 'attach()', 'unfixed_cves()';

# Becoming somebody else, and switching the policies off
states('SET ROLE', 'SET ROLE studio', '42501', 'none');
states('SET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION studio', '42501', 'none');
states('row_security = off', 'SET row_security = off; SELECT count(*) FROM "Albums"', '42501', 'none');
states('session_replication_role', 'SET session_replication_role = replica', '42501', 'none');
states('NO FORCE', 'ALTER TABLE "Albums" NO FORCE ROW LEVEL SECURITY', '42501', 'none');
states('DISABLE ROW LEVEL SECURITY', 'ALTER TABLE "Albums" DISABLE ROW LEVEL SECURITY', '42501', 'none');
states('DISABLE TRIGGER', 'ALTER TABLE "Albums" DISABLE TRIGGER ALL', '42501', 'none');
states('a policy of one\'s own', 'CREATE POLICY p ON "Albums" USING (true)', '42501', 'none');
states('current_org() replaced', q{CREATE OR REPLACE FUNCTION photoflow.current_org() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'}, '42501');
states('a trigger on a data table', 'CREATE TRIGGER x AFTER INSERT ON "Albums" EXECUTE FUNCTION photoflow.tenant_require()', '42501');
states('a rule', 'CREATE RULE x AS ON UPDATE TO "Albums" DO ALSO NOTHING', '42501');
states('a foreign key to a data table', q{CREATE TEMP TABLE t (id uuid REFERENCES "Albums" ("Id"))}, qr/^(42501|42P16)$/);
states('a partition of one\'s own', q{CREATE TEMP TABLE t PARTITION OF "AuditLogs" FOR VALUES FROM ('1999-01-01') TO ('1999-02-01')}, qr/^(42501|42P16|42809)$/);
states('inheritance', 'CREATE TEMP TABLE t () INHERITS ("Albums")', '42501');
states('a table in the data schema', 'CREATE TABLE public."AlbumsX" ()', '42501', 'none');
states('a leakproof function', q{CREATE FUNCTION pg_temp.f(text) RETURNS boolean LEAKPROOF LANGUAGE sql AS 'SELECT true'}, '42501', 'none');
states('an untrusted language', q{CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'photoflow', 'photoflow_current_org'}, '42501');
states("the server's files: $_", "SELECT $_", '42501', 'none') foreach q{pg_read_file('PG_VERSION')}, q{pg_ls_dir('.')}, q{lo_import('PG_VERSION')};
states('COPY FROM PROGRAM', q{CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'true'}, '42501', 'none');
states('pg_statistic', 'SELECT count(*) FROM pg_statistic', '42501', 'none');
states('a snapshot of pages', q{SELECT pg_relation_filepath('"Albums"'); SELECT pg_read_binary_file(pg_relation_filepath('"Albums"'))}, '42501', 'none');
blind('a shadow in pg_temp', 'CREATE TEMP TABLE "PublicUrls" (x text); SELECT "Url" FROM public."PublicUrls"');
blind('a search_path with traps', with_function('current_org() RETURNS uuid LANGUAGE sql AS $$ SELECT (\'00000000-0000-4000-\' || \'8200-000000000000\')::uuid $$') . 'SET LOCAL search_path = pg_temp, photoflow, public; SELECT "Name" FROM "Users"');

# The context
foreach my $login (@logins)
{
	my $count = 'SELECT count(*) FROM "Albums"';

	is(alone($login, "BEGIN; $context{$login} COMMIT; $count"), 0, "$login: the context ends with the transaction");
	is(alone($login, "BEGIN; $context{$login} ROLLBACK; $count"), 0, "$login: and with a rollback");
	is(alone($login, "BEGIN; SAVEPOINT s; $context{$login} ROLLBACK TO s; $count; COMMIT"), 0, "$login: and with a savepoint that is rolled back");
	is(alone($login, "BEGIN; SAVEPOINT s; $context{$login} RELEASE s; $count; COMMIT"), 2, "$login: a savepoint that is released keeps it");
	is(alone($login, "BEGIN; $context{$login} RESET ALL; $count; COMMIT"), 0, "$login: RESET ALL ends it");
	is(alone($login, "BEGIN; $context{$login} COMMIT; DISCARD ALL; $count"), 0, "$login: so does DISCARD ALL");
	is(alone($login, "PREPARE q AS $count; EXECUTE q; BEGIN; $context{$login} EXECUTE q; COMMIT; EXECUTE q"), "0\n2\n0", "$login: a prepared plan asks anew");
	is(alone($login, "SET plan_cache_mode = force_generic_plan; PREPARE q AS $count; BEGIN; $context{$login} EXECUTE q; COMMIT; EXECUTE q; BEGIN; $context{$login} EXECUTE q; COMMIT"), "2\n0\n2", "$login: a generic one too");
	is(alone($login, with_function('f() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM "Albums"); END $$') . "SELECT pg_temp.f(); BEGIN; $context{$login} SELECT pg_temp.f(); COMMIT; SELECT pg_temp.f()"), "0\n2\n0", "$login: and a function's");
	is(alone($login, "BEGIN; $context{$login} DECLARE c CURSOR WITH HOLD FOR SELECT DISTINCT \"OrgId\" FROM \"Albums\"; COMMIT; FETCH ALL c"), $org[1], "$login: a cursor that outlives its transaction holds what it held");
	is(alone($login, "BEGIN; $context{$login} PREPARE TRANSACTION '$login'; $count; COMMIT PREPARED '$login'; $count"), "0\n0", "$login: a prepared transaction leaves no context");
	is(out($login, "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SELECT count(*) FROM \"PhotoProcs\""), 2, "$login: parallel workers see what their leader sees");
	is(refusal($login, "SET photoflow.verified_context = '$org[2]  org_admin'"), '42501', "$login: the verified context is nobody's to set");
	is(refusal($login, "SELECT set_config('photoflow.verified_context', '$org[2]  org_admin', false)"), '42501', "$login: nor by set_config()");
	is(refusal($login, 'SET photoflow.require_token = off'), '42501', "$login: nor whether a token is needed");
	is(refusal($login, 'SET photoflow.event_channel = \'mine\''), '42501', "$login: nor the channel of events");
	is(refusal($login, 'SET photoflow.token_clock_skew = 600'), '42501', "$login: nor the clocks");
	is(refusal($login, "SET photoflow.org_id = 'junk'"), '22023', "$login: junk is no organization");
	is(refusal($login, "CREATE TEMP TABLE t (); CREATE FUNCTION pg_temp.f() RETURNS bigint LANGUAGE sql SET photoflow.require_token = off AS '$count'"), '42501', "$login: nor by a function's SET");
	is(refusal($login, "ALTER ROLE $login SET photoflow.require_token = off"), '42501', "$login: nor by ALTER ROLE");
	is(refusal($login, "ALTER ROLE $login SET photoflow.verified_context = '$org[2]  x'"), '42501', "$login: nor that of the verified context");
}
my $count = 'SELECT count(*) FROM "Albums"';
foreach my $login ('tok', 'late')		# late: photoflow is loaded when it is first needed
{
	is(alone($login, $count), 0, "$login: no token, no rows");
	is(alone($login, "BEGIN; $context{tok} $count; COMMIT"), 2, "$login: with one, its own");
	is(refusal($login, "SELECT photoflow.set_context('$org[2]')"), '42501', "$login: set_context() is refused");
	is(refusal($login, "BEGIN; $context{tok} SELECT photoflow.set_context('$org[2]')"), '42501', "$login: with a token, too");
	is(alone($login, "BEGIN; $context{tok} SELECT photoflow.set_context(NULL); $count; COMMIT"), "\n0", "$login: unsetting it leaves nothing");
	is(refusal($login, "SELECT photoflow.current_org(); SET photoflow.org_id = '$org[2]'"), '42501', "$login: so is SET");
	is(refusal($login, "SELECT photoflow.current_org(); SET photoflow.role = 'super_admin'"), '42501', "$login: and that of the role");
	is(refusal($login, "SELECT photoflow.current_org(); SELECT set_config('photoflow.user_id', '$org[2]', true)"), '42501', "$login: and set_config()");
	is(refusal($login, "SELECT photoflow.current_org(); ALTER ROLE $login SET photoflow.org_id = '$org[2]'"), '42501', "$login: and ALTER ROLE");
	is(refusal($login, "SELECT photoflow.current_org(); CREATE TEMP TABLE t (); CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET photoflow.org_id = '$org[2]' AS 'SELECT 1'"), '42501', "$login: and a function's SET");
	is(quiet($login, "ALTER ROLE $login RESET ALL; \\c\n SHOW photoflow.require_token; $count"), "on\n0", "$login: ALTER ROLE .. RESET ALL leaves what a superuser has set");
	foreach my $options ("-c photoflow.require_token=off -c photoflow.org_id=$org[2]", "-c photoflow.verified_context=$org[2]\\ \\ org_admin", "-c photoflow.org_id=$org[2]",
		"-c photoflow.require_token=off -c photoflow.require_token=off", '-c photoflow.require_token= ')
	{
		local $ENV{PGOPTIONS} = $options;

		is(quiet($login, $count), 0, "$login: options '$options' give nothing");
		is(quiet($login, "$count; RESET ALL; $count; DISCARD ALL; $count; RESET photoflow.org_id; $count"), "0\n0\n0\n0", "$login: nor after RESET and DISCARD ALL");
	}
	foreach my $setting ("photoflow.require_token = off", "photoflow.verified_context = '$org[2]  org_admin'", "photoflow.org_id = '$org[2]'")
	{
		is(quiet($login, "SET $setting; $count; COMMIT; $count"), "0\n0", "$login: SET $setting ahead of everything gives nothing");
		is(quiet($login, "BEGIN; SET LOCAL $setting; $count; COMMIT; $count"), $login eq 'tok' ? '0' : "0\n0", "$login: nor does SET LOCAL $setting");
		is(quiet($login, "BEGIN; SAVEPOINT s; SET $setting; SELECT photoflow.current_org(); ROLLBACK TO s; $count; COMMIT; $count"), $login eq 'tok' ? "0\n0" : "\n0\n0", "$login: nor when $setting is rolled back over the loading");
	}
	is(quiet($login, "SET photoflow.require_token = off; SET photoflow.org_id = '$org[2]'; $count; RESET photoflow.require_token; SET photoflow.org_id = '$org[2]'; $count"), "0\n0", "$login: all of it together");
}
{
	local $ENV{PGOPTIONS} = "-c photoflow.require_token=off -c photoflow.org_id=$org[2]";

	is(quiet('app', $count), 0, 'who tries to switch off what is not on has it on');
}

# Tokens
states('the token of organization 1', "SELECT org_id FROM photoflow.authenticate('$token')", 'none', 'none');
my ($header, $body, $signature) = split /\./, $token;
my $foreign = encode(qq{{"org_id":"$org[2]","exp":4102444800}});
my %bad = (
	'another organization under the old signature' => "$header.$foreign.$signature",
	'no algorithm' => encode('{"alg":"none"}') . ".$foreign.",
	'no algorithm, signed' => jwt(qq{{"org_id":"$org[2]","exp":4102444800}}, '{"alg":"none"}'),
	'another algorithm' => jwt($claims, '{"alg":"HS512"}'),
	'another key' => jwt(qq{{"org_id":"$org[2]","exp":4102444800}}, undef, 'x' x 32),
	'an empty key' => jwt(qq{{"org_id":"$org[2]","exp":4102444800}}, undef, ''),
	'a claim twice' => jwt(qq{{"org_id":"$org[1]","org_id":"$org[2]","exp":4102444800}}),
	'an escaped name twice' => jwt(qq{{"org_id":"$org[1]","org\\u005fid":"$org[2]","exp":4102444800}}),
	'expired' => jwt(qq{{"org_id":"$org[1]","exp":1}}),
	'without an end' => jwt(qq{{"org_id":"$org[1]"}}),
	'an end that is no number' => jwt(qq{{"org_id":"$org[1]","exp":"4102444800"}}),
	'an endless end' => jwt(qq{{"org_id":"$org[1]","exp":1e400}}),
	'from the future' => jwt(qq{{"org_id":"$org[1]","exp":4102444800,"nbf":4102444000}}),
	'no organization' => jwt('{"exp":4102444800}'),
	'an organization that is a list' => jwt(qq{{"org_id":["$org[2]"],"exp":4102444800}}),
	'a role with a comma' => jwt(qq{{"org_id":"$org[1]","exp":4102444800,"role":"a,super_admin"}}),
	'a critical header' => jwt($claims, '{"alg":"HS256","crit":["x"]}'),
	'padding' => "$token=",
	'a dot more' => "$token.",
	'white space' => " $token",
	'a deep header' => encode('{"a":' . '[' x 300 . ']' x 300 . '}') . '.e30.AAAA',
	'10 MB' => 'x' x 16,
	'nothing' => '');
foreach my $name (sort keys %bad)
{
	my $given = $name eq '10 MB' ? q{repeat('a.b', 3500000)} : "'$bad{$name}'";

	is(refusal($_, "SELECT photoflow.authenticate($given)"), 'PF012', "$_: a token with $name") foreach @logins;
	unlike((run('tok', "SELECT photoflow.authenticate($given)"))[1], qr/\Q@{[substr($bad{$name}, 0, 60) || 'zzz']}\E/, "and nothing of it in the error ($name)") unless length $bad{$name} < 40;
}
is(refusal('tok', 'SELECT photoflow.authenticate(NULL)'), '22004', 'a token that is NULL');
is(quiet('tok', qq{SELECT count(*) FROM generate_series(1, length('$token')) n WHERE pg_temp.ok(overlay('$token' PLACING 'A' FROM n FOR 1)) <> (substr('$token', n, 1) = 'A')},
	with_function(q{ok(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM photoflow.authenticate(t); RETURN true; EXCEPTION WHEN SQLSTATE 'PF012' THEN RETURN false; END $$})), 0, 'one character changed, wherever it is, and the token is no good');
is(quiet('tok', qq{SELECT count(*) FROM generate_series(0, length('$token') - 1) n WHERE pg_temp.ok(left('$token', n))},
	with_function(q{ok(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM photoflow.authenticate(t); RETURN true; EXCEPTION WHEN SQLSTATE 'PF012' THEN RETURN false; END $$})), 0, 'nor is the beginning of one');
is(alone('tok', "BEGIN; $context{tok} SAVEPOINT s; SELECT photoflow.authenticate('x'); ROLLBACK TO s; $count; COMMIT", 0), 2, 'a token that is refused leaves the one before');
unlike(alone('tok', "SELECT query FROM photoflow.authenticate('$token'), LATERAL (SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() OFFSET 0) a"), qr/\Q$signature\E/, 'other sessions of a login do not find tokens in pg_stat_activity');
my %written = (
	'a token' => q{SELECT photoflow.authenticate('TOKEN')},
	'one in capitals' => q{SELECT PHOTOFLOW . "authenticate" ('TOKEN')},
	'one on another line' => qq{SELECT photoflow.authenticate\n\t(\n'TOKEN')},
	'one after a comment' => q{SELECT photoflow.authenticate/**/('TOKEN')},
	'one of a prepared statement' => q{PREPARE p (text) AS SELECT photoflow.authenticate($1); EXECUTE p ('TOKEN')},
	'one that is refused' => q{SELECT photoflow.authenticate('TOKENx')},
	'one in a statement that fails' => q{SELECT 1 / 0 FROM photoflow.authenticate('TOKEN')},
	'one in a DO block' => q{DO $$ BEGIN PERFORM photoflow.authenticate('TOKEN'); END $$});
foreach my $name (sort keys %written)
{
	my $given = jwt(qq{{"org_id":"$org[1]","exp":4102444800,"jti":"$name"}});

	quiet('tok', $written{$name} =~ s/TOKEN/$given/r);
	unlike(slurp_file($node->logfile), qr/\Q@{[(split m{[.]}, $given)[2]]}\E/, "the log has no token in it: $name");
}
like(slurp_file($node->logfile), qr/SELECT 1 AS written/, 'control: it has what else is said') if quiet('tok', 'SELECT 1 AS written');

# Events
my $channel = alone('postgres', 'SELECT photoflow.event_channel()');
like($channel, qr/^photoflow_[0-9a-f]{32}$/, 'the channel of events is a secret');
foreach my $login (@logins)
{
	my ($out, $err) = run($login, q{SET LOCAL trace_notify = on; SET LOCAL client_min_messages = debug5; SET LOCAL debug_print_plan = on; SET LOCAL debug_print_parse = on;
		SELECT to_state FROM photoflow.fire('} . id(1, 'album', $login eq 'app' ? 0 : 1) . q{', 'SyncRawTag'); COMMIT});

	like($out, qr/Raw/, "$login: fires");
	unlike($out . $err, qr/\Q$channel\E/, "$login: whatever PostgreSQL says of its work, it does not name the channel");
	is(out($login, 'SELECT count(*) FROM pg_listening_channels()'), 0, "$login: nobody listens unasked");
	unlike(listened($login), qr/Asynchronous/, "$login: LISTEN photoflow hears nothing");
}
like(listened('postgres', $channel), qr/Asynchronous notification.*-82\d\d-0/, 'control: the channel tells of organization 2');

# What is left: the primary key "Id" is one for all organizations, so that who knows an id learns that it is taken, and nothing else
foreach my $login (@logins)
{
	my $id = id(2, 'album');

	is(state($login, qq{INSERT INTO "Albums" ("Id", "Name") VALUES ('$id', 'x')}), '23505', "$login: an id that is taken is taken");
	unlike((run($login, qq{INSERT INTO "Albums" ("Id", "Name") VALUES ('$id', 'x')}))[1], qr/DETAIL|Osaka/, "$login: which is all that the error says");
	is(state($login, qq{INSERT INTO "Albums" ("Id", "Name") VALUES ('$id', 'x') ON CONFLICT ("Id") DO UPDATE SET "Name" = 'x' RETURNING "Id"}), '42501', "$login: and it is not taken over");
	is(out($login, qq{INSERT INTO "Albums" ("Id", "Name") VALUES ('$id', 'x') ON CONFLICT DO NOTHING RETURNING "Id"}), '', "$login: nor read");
}

# Last, since a backend that crashes takes the server along
foreach my $head ('["a"]', '[1]', '[null]', '[["a"]]', '[{"a":1}]', '[]', '[[]]', '"a"', '1', 'null', '{}', '{"a":[["x"]]}', '{"alg":["HS256"]}', '{"alg":{"a":"HS256"}}', '{"alg":null}', '', '{')
{
	is(refusal('tok', "SELECT photoflow.authenticate('" . encode($head) . ".e30.AAAA')"), 'PF012', "a header that is $head");
	is(refusal('tok', "SELECT photoflow.authenticate('" . jwt($head) . "')"), 'PF012', "claims that are $head");
}
is(quiet('postgres', 'SELECT 1'), 1, 'the server is still there');

done_testing();

# The id of a row: the organization and the kind show in it.
sub id
{
	my ($organization, $kind, $n) = @_;
	my %number = (org => 0, url => 1, album => 2, tag => 3, photo => 4, comment => 5, like => 6, audit => 7, user => 8, failure => 9);

	return sprintf '00000000-0000-4000-8%d%02d-%012d', $organization, $number{$kind}, $n // 0;
}

sub make_data
{
	alone('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE tok LOGIN; CREATE ROLE late LOGIN; CREATE DATABASE studio OWNER studio', 1, 'postgres');
	alone('studio', "CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.set_token_key('$key'::bytea); SELECT photoflow.grant_app('late')");
	alone('postgres', q{SELECT photoflow.grant_app('app'); SELECT photoflow.grant_app('tok'); ALTER ROLE tok SET photoflow.require_token = on; ALTER ROLE late SET photoflow.require_token = on;
		GRANT TEMPORARY ON DATABASE studio TO app, tok, late});
	foreach my $o (1, 2)
	{
		my $name = $o == 1 ? 'Kyoto' : 'Osaka';
		my $ids = sub { my ($kind) = @_; return "('00000000-0000-4000-8$o" . substr(id($o, $kind), 21, 2) . "-' || lpad(n::text, 12, '0'))::uuid" };

		alone('postgres', qq{INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org[$o]', '$name');
			INSERT INTO "Users" ("Id", "OrgId", "Name", "Email") VALUES ('@{[id($o, 'user')]}', '$org[$o]', '$name', '$name\@example.com');
			INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES ('@{[id($o, 'url')]}', '$org[$o]', 'https://example.com/$name');
			INSERT INTO "Albums" ("Id", "OrgId", "Name", "HashedPassword") SELECT @{[$ids->('album')]}, '$org[$o]', '$name', '$name' FROM generate_series(0, 1) n;
			INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type", "Status", "PublicUrlId") VALUES ('@{[id($o, 'tag')]}', '@{[id($o, 'album')]}', 0, 2, '@{[id($o, 'url')]}');
			INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "ExternalId", "Voted") SELECT @{[$ids->('photo')]}, '@{[id($o, 'tag')]}', '$name.jpg', 'external-' || @{[$ids->('photo')]}, true FROM generate_series(0, 1) n;
			INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content") VALUES ('@{[id($o, 'comment')]}', '@{[id($o, 'photo')]}', '$name');
			INSERT INTO "PhotoLikes" ("Id", "PhotoProcId", "UserId") VALUES ('@{[id($o, 'like')]}', '@{[id($o, 'photo')]}', '@{[id($o, 'user')]}');
			INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "ErrorMessage") VALUES ('@{[id($o, 'failure')]}', '$org[$o]', '@{[id($o, 'album')]}', 'Album', '$name');
			INSERT INTO "AuditLogs" ("Id", "OrgId", "Operation", "CreatedAt") VALUES ('@{[id($o, 'audit')]}', '$org[$o]', '$name', now()), (photoflow.uuid_v7(), '$org[$o]', '$name', '1999-01-01');
			INSERT INTO "AlbumTransitions" ("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "Trigger") VALUES ('$org[$o]', '@{[id($o, 'album', 1)]}', photoflow.uuid_v7(), 1, 0, 0, '$name');
			INSERT INTO "PhotoSyncPages" ("OrgId", "AlbumTagId", "CreatedAt", "Id", "ExternalIds") VALUES ('$org[$o]', '@{[id($o, 'tag')]}', now(), photoflow.uuid_v7(), '{$name}');
			INSERT INTO "DeletionReasons" ("OrgId", "DeletionId", "Reason") VALUES ('$org[$o]', photoflow.uuid_v7(), '$name');
			INSERT INTO "PurgeReceipts" ("OrgId", "RunId", "TableName", "RowCount", "FirstId", "LastId", "OlderThan", "PurgedBy")
				VALUES ('$org[$o]', photoflow.uuid_v7(), 'Albums', 1, '@{[id($o, 'album', 7)]}', '@{[id($o, 'album', 7)]}', now(), '$name');
			SELECT photoflow.set_legal_hold('$org[$o]', true, '$name')});
	}
	alone('postgres', 'CREATE STATISTICS names (mcv) ON "OrgId", "CreatedAt" FROM "Users"; ANALYZE');
}

sub encode
{
	my ($text) = @_;
	(my $encoded = encode_base64($text, '')) =~ tr{+/}{-_};
	return $encoded =~ s/=+$//r;
}

sub jwt
{
	my ($payload, $head, $secret) = @_;
	my $signed = encode($head // '{"alg":"HS256","typ":"JWT"}') . '.' . encode($payload);

	return "$signed." . encode(hmac_sha256($signed, $secret // $key));
}

# A temporary function; the schema of temporary objects has to be there.
sub with_function
{
	my ($definition) = @_;
	return "CREATE TEMP TABLE IF NOT EXISTS anything (); CREATE FUNCTION pg_temp.$definition; ";
}

# What a login gets to see of statements in its context, in a transaction that is rolled back.
sub run
{
	my ($login, $sql) = @_;
	my (undef, $out, $err) = $node->psql('studio', "\\set VERBOSITY verbose\nBEGIN; $context{$login}\n$sql\n;\nROLLBACK;", extra_params => ['-U', $login]);

	return ($out, $err);
}

sub out { return (run(@_))[0]; }

sub state
{
	my ($login, $sql) = @_;
	my (undef, $err) = run($login, $sql);

	return $err =~ /(?:ERROR|FATAL):  (\w{5})/ ? $1 : $err =~ /server closed|terminat/ ? "crash ($err)" : 'none';
}

# Statements without a context, which must succeed.
sub alone
{
	my ($login, $sql, $stop, $database) = @_;
	my ($code, $out, $err) = $node->psql($database // 'studio', $sql, extra_params => ['-U', $login], on_error_stop => $stop // 1);

	die "$login: $sql\n$err" if $code != 0;
	return $out;
}

# The same, without regard to what is refused on the way.
sub quiet
{
	my ($login, $sql, $before) = @_;
	my (undef, $out) = $node->psql('studio', ($before // '') . $sql, extra_params => ['-U', $login], on_error_stop => 0);

	return $out;
}

sub refusal
{
	my ($login, $sql) = @_;
	my (undef, undef, $err) = $node->psql('studio', "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $login]);

	return $err =~ /(?:ERROR|FATAL):  (\w{5})/ ? $1 : "none ($err)";
}

# Nothing of organization 2 comes out, in rows, notices or errors; for a superuser it does.
sub blind
{
	my ($name, $sql, %also) = @_;

	alone('postgres', $also{before}) if $also{before};
	foreach my $login (@logins)
	{
		my ($out, $err) = run($login, $sql);

		unlike($out . $err, $mark, "$login: $name");
		unlike($err, qr/ERROR/, "$login: $name (which is no error)");
	}
	like(join('', run('postgres', $sql)), $mark, "control: $name");
	alone('postgres', $also{after}) if $also{after};
}

sub zero
{
	my ($name, $sql, %also) = @_;

	alone('postgres', $also{before}) if $also{before};
	is(out($_, $sql), 0, "$_: $name") foreach @logins;
	cmp_ok(out('postgres', $sql), '>', 0, "control: $name");
	alone('postgres', $also{after}) if $also{after};
}

# The SQLSTATE that a statement ends with, for the logins and (where it is given) for a superuser.
sub states
{
	my ($name, $sql, $expected, $control) = @_;

	foreach my $login (@logins, defined $control ? 'postgres' : ())
	{
		my $want = $login eq 'postgres' ? $control : $expected;
		my $got = state($login, $sql);

		ref $want ? like($got, $want, "$login: $name") : is($got, $want, "$login: $name");
	}
}

# A statement says the same of what is another organization's as of what is nowhere; to a superuser it does not.
sub same
{
	my ($name, $sql, $expected, %also) = @_;
	my $about = sub {
		my ($login, $organization) = @_;
		my $given = $sql =~ s/ID:(\w+)/id($organization, $1)/ger =~ s/ORG/id($organization, 'org')/ger;

		return join('', run($login, $given)) =~ s/-8$organization(\d\d)-/-8*$1-/gr =~ s/^psql:<stdin>:\d+: //gmr;
	};

	foreach my $login (@logins)
	{
		my $answer = $about->($login, $theirs);

		is($answer, $about->($login, $nowhere), "$login: $name, in the same words");
		is($answer =~ /ERROR:  (\w{5})/ ? $1 : 'none', $expected, "$login: $name ($expected)") if defined $expected;
		isnt($answer, $about->($login, $mine), "$login: $name, other words for its own") if ($also{control} // 1) && $expected ne 'none';
	}
	isnt($about->('postgres', $theirs), $about->('postgres', $nowhere), "control: $name") if $also{control} // 1;
}

# What EXPLAIN ANALYZE says of a scan by an index, without the words of the question.
sub probe
{
	my ($login, $where) = @_;

	return out($login, "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM \"PublicUrls\" WHERE $where") =~ s/'[^']*'/?/gr;
}

sub fetched
{
	my ($login, $where) = @_;

	return out($login, "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SELECT * FROM \"PublicUrls\" WHERE $where; SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'PublicUrls'");
}

# What a session that listens hears of a change in organization 2.
sub listened
{
	my ($login, $name) = @_;
	my $change = "SELECT photoflow.fire('" . id(2, 'album') . "', 'SyncRawTag')";

	return alone($login, 'LISTEN ' . ($name // 'photoflow') . "; " . ($login eq 'postgres' ? $change : "\\! psql -X -q -U postgres -d studio -c \"$change\" >&2\n") . '; SELECT 1; SELECT 2');
}
