# Rows that were deleted in the way of 1.1, by a flag and nothing else, become deletions as they are since 1.2: beside writers, over a kill and a
# lock, with what was left live below them; each comes back exactly, or goes for good. Rows that were live are not touched.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use IPC::Run qw(start finish);

use lib $FindBin::Bin;
use Listings;

my $node = PostgreSQL::Test::Cluster->new('deleted');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

# three organizations, and one that was deleted as a whole
my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 4;
my $me = "SET photoflow.org_id = '$orgs[0]'; SET photoflow.role = 'photographer'; ";
my @tables = ('Organizations', 'Users', 'PublicUrls', 'Albums', 'AlbumTags', 'PhotoProcs', 'PhotoComments', 'PhotoLikes', 'FailureRecords', 'AuditLogs');
my $backfill = q{FROM photoflow.migration_status WHERE kind = 'backfill' AND version = '1.2'};
# what 1.3 adds to a failure record, and keeps itself
my $queue = q{ARRAY['NextRetryAt', 'LeaseUntil', 'ClaimToken', 'ClaimedBy', 'FinishedAt', 'MaxRetries', 'Payload', 'Fingerprint', 'Occurrences', 'LastFailedAt', 'FirstError', 'Changes', 'Role', 'DbUser', 'TransactionId']};

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE DATABASE busy OWNER studio; CREATE DATABASE fresh OWNER studio;');
as('studio', 'busy', q{CREATE EXTENSION photoflow VERSION '1.1'; SELECT photoflow.create_tables();});
add_grants('busy');
fill();
delete_as_before();
$node->safe_psql('busy', 'CREATE TABLE watch.before AS ' . picture(0, @tables));
my %before = map { split /\|/ } split /\n/, $node->safe_psql('busy', 'SELECT tbl, count(*) FROM watch.before WHERE deleted GROUP BY 1');
is(keys %before, @tables, 'a database of 1.1 with deleted rows in each table');
cmp_ok($before{PhotoProcs}, '>', 2000, 'thousands of them');
expect();

# the newest code on tables of 1.1
as('studio', 'busy', 'ALTER EXTENSION photoflow UPDATE');
works('busy', 'with the newest code on tables of 1.1');
is(as('app', 'busy', qq{$me BEGIN; UPDATE "Albums" SET "IsDeleted" = true WHERE "Name" = '15'; SELECT count(*), bool_or("IsDeleted") FROM "AlbumTags" WHERE "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = '15');
	UPDATE "Albums" SET "Name" = 'x' WHERE "Name" = '15' RETURNING "IsDeleted"; UPDATE "Albums" SET "IsDeleted" = false WHERE "Name" = 'x' RETURNING "IsDeleted"; DELETE FROM "PhotoComments"; SELECT count(*) FROM "PhotoComments"; ROLLBACK}),
	"2|f\nt\nf\n0", 'to delete is what it was: a flag on one row, or a row that is gone');
foreach my $call (q{SELECT photoflow.soft_delete('"Albums"', '{}')}, 'SELECT photoflow.restore(gen_random_uuid())', q{CALL photoflow.purge('1 day')}, 'SELECT FROM photoflow.deletions', 'SELECT FROM photoflow.retention',
	'SELECT FROM photoflow.purge_receipts', 'SELECT FROM photoflow.purge_progress', "SELECT photoflow.set_retention('$orgs[0]', '1 day')", "SELECT photoflow.set_legal_hold('$orgs[0]', true)", 'SELECT photoflow.adopt_deletions(10)')
{
	is(refusal('studio', 'busy', "SET photoflow.org_id = '$orgs[0]'; $call"), 'PF040', "migrate first: $call");
}
is(wrong('busy', 0), '', 'no row has changed');
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE busy OWNER studio") foreach 'killed', 'at_once';

# beside writers that insert, update, delete and bring back
my $writers = start_writers();
at_work();
like(migrate('busy', 'batch_size => 100'), qr/become deletions, .*\): done, (\d{4,}) of \1 rows/, 'migrate() beside writers');
at_work();
by_hand('busy');
unlike(migrate('busy', ''), qr/by hand|waits/, 'and again, after the indexes');
at_work();
stop_writers($writers);
is($node->safe_psql('busy', q{SELECT count(*) FROM photoflow.migration_status WHERE state <> 'done'}), 0, 'everything is done');
is(wrong('busy', 1), '', 'what was deleted is a deletion, with what is below it, and nothing else is');
is(loose('busy'), '', 'nothing is deleted without a deletion, nothing live is below a deleted row');
# kind 1: the album, 2: its tag, 3: a photo, 4: a comment is deleted; 5: a photo is deleted and brought back
is($node->safe_psql('busy', q{SELECT count(DISTINCT kind) = 5 AND count(DISTINCT kind) FILTER (WHERE NOT late) = 5 AND count(DISTINCT kind) FILTER (WHERE late) = 5 FROM watch.written}), 't', 'writers did everything, before and after');
is($node->safe_psql('busy', q{SELECT kind, late, count(*) FROM watch.written w LEFT JOIN "Albums" a ON a."Id" = w.album LEFT JOIN "AlbumTags" t ON t."Id" = w.tag
	LEFT JOIN "PhotoProcs" p ON p."Id" = w.photo LEFT JOIN "PhotoComments" c ON c."PhotoProcId" = w.photo LEFT JOIN "PhotoProcs" o ON o."AlbumTagId" = w.tag AND o."Id" <> w.photo
	WHERE (a."Name" = 'renamed' AND t."OrgId" = a."OrgId" AND o."Id" IS NOT NULL AND p."Id" IS NOT NULL AND (c."Id" IS NOT NULL OR kind = 4)
		AND (a."IsDeleted", t."IsDeleted", o."IsDeleted", p."IsDeleted", coalesce(c."IsDeleted", true)) = (kind = 1, kind <= 2, kind <= 2, kind <= 3, kind <= 4)
		AND (kind > 2 OR (t."DeletionId", t."DeletedAt") = (o."DeletionId", o."DeletedAt")) AND (kind > 3 OR c."DeletionId" = p."DeletionId") AND (kind > 1 OR a."DeletionId" = t."DeletionId")
		) IS NOT TRUE GROUP BY 1, 2 ORDER BY 1, 2}), '', 'and all that they did is there');

# kill -9 in the middle of the backfill
my $migrating = start_migrate('killed', q{batch_size => 50, pause => '20 ms'});
$node->poll_query_until('killed', "SELECT rows_done >= 500 $backfill") or die 'the backfill does not go on';
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND datname = 'killed'});
kill 'KILL', $pid;
$migrating->{run}->finish;
$node->poll_query_until('killed', 'SELECT true') or die 'the server does not come back';
my ($state, $done, $total) = split /\|/, $node->safe_psql('killed', "SELECT state, rows_done, rows_total $backfill");
ok($state eq 'running' && $done >= 500 && $done < $total, "killed: $done of $total rows are done");
$node->safe_psql('killed', 'CREATE VIEW watch.now AS ' . picture(1, @tables));
is($node->safe_psql('killed', 'SELECT count(*) FROM watch.before b JOIN watch.now n USING (tbl, id) WHERE b.deleted AND n.deletion IS NOT NULL'), $done, 'killed: as many as have a deletion');
is($node->safe_psql('killed', q{SELECT count(*) FROM watch.now n JOIN watch.now p ON p.tbl = n.ptbl AND p.id = n.parent WHERE p.deletion IS NOT NULL AND NOT n.deleted}), 0, 'killed: what is below them has followed');

# the next one meets a row that somebody holds, in the last table: its batch is tried again, and not left out
my $holder = $node->background_psql('killed');
$holder->query_safe(q{BEGIN; SELECT FROM "AuditLogs" WHERE "IsDeleted" AND "DeletionId" IS NULL LIMIT 1 FOR UPDATE});
$migrating = start_migrate('killed', q{batch_size => 50, lock_timeout => '20 ms'});
$migrating->{run}->pump until $migrating->{stderr} =~ /waits for a lock: attempt 1|ERROR/;
$holder->query_safe('COMMIT');
$holder->quit;
$migrating->query('SELECT 1');
$migrating->quit;
is($node->safe_psql('killed', "SELECT state, rows_done = rows_total $backfill"), 'done|t', 'killed: goes on, and finishes');
is(wrong('killed', 0), '', 'killed: with nothing doubled and nothing left out');
by_hand('killed');
migrate('killed', '');

# all at once, and the same schema in the end
as('studio', 'at_once', 'SELECT photoflow.create_tables()');
is(wrong('at_once', 0), '', 'at once: the same comes out');
is($node->safe_psql('at_once', q{SELECT count(*) FROM (SELECT FROM watch.now WHERE deleted GROUP BY deletion HAVING count(DISTINCT (org, deleted_at)) > 1) x}), 0, 'what was deleted at different times, or of different organizations, are different deletions');
is($node->safe_psql('at_once', q{SELECT count(*) FROM (SELECT FROM watch.now WHERE deleted GROUP BY org, deleted_at HAVING count(DISTINCT deletion) > 1) x}), 0, 'and what was deleted in one transaction is one');
is($node->safe_psql('at_once', q{SELECT count(*) FROM ((SELECT tbl, id, deletion FROM watch.now WHERE deleted EXCEPT SELECT d.table_name, n.id, d.deletion_id FROM photoflow.deletions d JOIN watch.now n ON n.tbl = d.table_name AND n.deletion = d.deletion_id AND n.deleted_at = d.deleted_at)) x}), 0, 'the list of deletions has them all');
as('studio', 'fresh', 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables();');
add_grants('fresh');
my %fresh = listings($node, 'fresh');
cmp_ok(scalar(@{$fresh{tables}}), '>', 500, 'the listing is not empty');
$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE at_once');
foreach my $database ('busy', 'killed', 'at_once')
{
	$node->safe_psql($database, 'SET client_min_messages = warning; DROP SCHEMA watch CASCADE');
	my %listing = listings($node, $database);
	is(join("\n", difference($fresh{$_}, $listing{$_})), '', "$database: upgraded and fresh are the same by their $_") foreach sort keys %fresh;
}

as('app', 'restored', qq{$me UPDATE "PhotoProcs" SET "SortOrder" = 1 WHERE "FileName" = '15' AND "AlbumTagId" = (SELECT "Id" FROM "AlbumTags" WHERE "Type" = 0 AND "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = '15'));
	SELECT photoflow.current_org(); DELETE FROM "PhotoComments" WHERE "Id" = (SELECT "Id" FROM "PhotoComments" WHERE NOT "IsDeleted" LIMIT 1)});
is(wrong('restored', 0), "PhotoComments|1\nPhotoProcs|1", 'control: a row that is not what it was would be seen');
as('app', 'restored', qq{$me UPDATE "PhotoProcs" SET "SortOrder" = 0 WHERE "SortOrder" = 1});

# each comes back, exactly: an outer one first
my ($inner, $outer) = split /\|/, $node->safe_psql('restored', qq{SELECT t."DeletionId", a."DeletionId" FROM "AlbumTags" t JOIN "Albums" a ON a."Id" = t."AlbumId" WHERE a."Name" = '6' AND t."Type" = 0 AND a."OrgId" = '$orgs[0]'});
isnt($inner, $outer, 'a tag that was deleted before its album');
is(refusal('studio', 'restored', "SET photoflow.org_id = '$orgs[0]'; SELECT photoflow.restore('$inner')"), 'PF022', 'does not come back before it');
like($node->safe_psql('restored', "SELECT conflicts FROM photoflow.restore('$inner', true)"), qr/"kind": "parent deleted".*"parentDeletion": "$outer"/, 'as it says');
my $all = $node->safe_psql('restored', 'SELECT count(DISTINCT deletion) FROM watch.now WHERE deleted');
cmp_ok($all, '>', 100, 'there are many deletions');
is($node->safe_psql('restored', q{SELECT * FROM watch.restore_all()}), "$all|", 'every deletion comes back, with exactly its rows');
is($node->safe_psql('restored', qq{SELECT count(*) FROM watch.now n FULL JOIN watch.before b USING (tbl, id) WHERE (n.content - $queue = b.content AND NOT n.deleted AND n.deletion IS NULL AND n.deleted_at IS NULL) IS NOT TRUE}), 0, 'all rows are live, and as they were');

# or goes for good, whatever the batch; a row on which a newer deletion hangs may wait for the next run
foreach my $database ('killed', 'at_once')
{
	my $count = join(' + ', map { qq{(SELECT count(*) FROM "$_" WHERE "IsDeleted")} } @tables);
	my $deleted = $node->safe_psql($database, "SELECT $count");
	cmp_ok($deleted, '>', 4000, "$database: there is much to purge");
	my ($said, $runs) = ('', 0);
	while ($runs++ < 3 && $node->safe_psql($database, "SELECT $count") ne '0')
	{
		my (undef, undef, $stderr) = $node->psql($database, q{CALL photoflow.purge('1 day', } . ($database eq 'killed' ? 100 : 7) . ')');
		$said .= $stderr;
	}
	unlike($said, qr/ERROR/, "$database: purge()");
	is($node->safe_psql($database, "SELECT $count"), 0, "$database: takes all that was deleted");
	is($node->safe_psql($database, 'SELECT sum(row_count) FROM photoflow.purge_receipts'), $deleted, "$database: with receipts");
}

$node->stop;
done_testing();

sub as
{
	my ($user, $database, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => ['-U', $user]);
}

sub refusal
{
	my ($user, $database, $sql) = @_;
	my (undef, undef, $stderr) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $user]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}

# What migrate() says, called by the owner, who is no superuser.
sub migrate
{
	my ($database, $arguments) = @_;
	my ($code, undef, $stderr) = $node->psql($database, "CALL photoflow.migrate($arguments)", extra_params => ['-U', 'studio']);
	die $stderr if $code != 0;
	return $stderr;
}

sub start_migrate
{
	my ($database, $arguments) = @_;
	my $session = $node->background_psql($database, on_error_stop => 0, extra_params => ['-U', 'studio']);
	$session->query_until(qr/migrating/, "\\echo migrating\nCALL photoflow.migrate($arguments);\n");
	return $session;
}

# Does what migrate() leaves to be done by hand.
sub by_hand
{
	my ($database) = @_;
	my $statements = as('studio', $database, q{SELECT translate(sql, E'\n\t', '  ') FROM photoflow.migration_plan() WHERE kind = 'concurrent_index'});
	is(scalar(() = $statements =~ /CREATE INDEX CONCURRENTLY/g), 11 + 3, "$database: indexes are left to be built by hand");
	as('studio', $database, $_) foreach split /\n/, $statements;
	return;
}

# An application at work, by functions and by statements of its own, in a transaction that is taken back.
sub works
{
	my ($database, $name) = @_;
	my $album = q{(SELECT "Id" FROM "Albums" WHERE "Name" = 'works')};
	is(as('app', $database, qq{$me BEGIN;
		INSERT INTO "Albums" ("Name") VALUES ('works') RETURNING "AlbumState";
		SELECT from_state, to_state FROM photoflow.fire($album, 'SyncRawTag');
		SELECT inserted, total FROM photoflow.sync_photos((SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = $album), '[{"id": "1", "name": "a.jpg", "mimeType": "image/jpeg"}, {"id": "2", "name": "b.jpg", "mimeType": "image/jpeg"}]', 2, true);
		SELECT inserted, removed FROM photoflow.sync_photos((SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = $album), '[{"id": "2", "name": "b.jpg", "mimeType": "image/jpeg"}]', 1, true);
		UPDATE "Albums" SET "AlbumState" = 2 WHERE "Name" = 'works' RETURNING "AlbumState"; ROLLBACK;}), "0\nInit|Raw\n2|2\n0|1\n2", "the application works $name");
	return;
}

# When each row must turn out to have been deleted: by itself, or with the nearest deleted row above it. And what brings all back,
# one after the other, and says of a deletion whether other rows came than those that it took.
sub expect
{
	$node->safe_psql('busy', q{CREATE TABLE watch.expected AS WITH RECURSIVE e AS (
			SELECT tbl, id, CASE WHEN deleted THEN at END AS at, content FROM watch.before WHERE parent IS NULL
			UNION ALL SELECT b.tbl, b.id, CASE WHEN b.deleted THEN b.at ELSE e.at END, b.content FROM e JOIN watch.before b ON b.ptbl = e.tbl AND b.parent = e.id) SELECT * FROM e;
		CREATE FUNCTION watch.restore_all(OUT restored int, OUT wrong text) LANGUAGE plpgsql AS $$
		DECLARE d record; came bigint; left_before bigint; left_now bigint; more boolean := true;
		BEGIN
			restored := 0;
			SELECT count(*) INTO left_before FROM watch.now WHERE deleted;
			WHILE more LOOP
				more := false;
				FOR d IN SELECT deletion, count(*) AS n FROM watch.now WHERE deleted GROUP BY 1 LOOP
					BEGIN
						SELECT sum(restored_rows) INTO came FROM photoflow.restore(d.deletion);
					EXCEPTION WHEN SQLSTATE 'PF022' THEN CONTINUE;
					END;
					SELECT count(*) INTO left_now FROM watch.now WHERE deleted;
					IF came <> d.n OR left_before - left_now <> d.n OR EXISTS (SELECT FROM watch.now WHERE deletion = d.deletion) THEN
						wrong := concat_ws(', ', wrong, d.deletion);
					END IF;
					left_before := left_now;
					restored := restored + 1;
					more := true;
				END LOOP;
			END LOOP;
		END $$;});
	return;
}

# The tables where something else came out than was expected; other rows may be new, or not.
sub wrong
{
	my ($database, $new) = @_;
	my $marked = $node->safe_psql($database, q{SELECT count(*) FROM pg_attribute WHERE attrelid = '"Albums"'::regclass AND attname = 'DeletionId'});
	return $node->safe_psql($database, q{SELECT b.tbl, count(*) FROM watch.before b FULL JOIN (} . picture(0, @tables) . qq{) n USING (tbl, id) WHERE (n.content - $queue = b.content AND n.deleted = b.deleted) IS NOT TRUE GROUP BY 1}) if !$marked;
	$node->safe_psql($database, 'CREATE OR REPLACE VIEW watch.now AS ' . picture(1, @tables));
	return $node->safe_psql($database, 'SELECT tbl, count(*) FROM watch.expected e ' . ($new ? 'LEFT' : 'FULL') . qq{ JOIN watch.now n USING (tbl, id)
		WHERE (n.content - $queue = e.content AND n.deleted = (e.at IS NOT NULL) AND (n.deletion IS NOT NULL) = n.deleted AND n.deleted_at IS NOT DISTINCT FROM e.at AND n.deleted_by IS NULL) IS NOT TRUE GROUP BY 1});
}

sub loose
{
	my ($database) = @_;
	return $node->safe_psql($database, q{SELECT n.tbl, count(*) FROM watch.now n LEFT JOIN watch.now p ON p.tbl = n.ptbl AND p.id = n.parent
		WHERE n.deleted <> (n.deletion IS NOT NULL) OR n.deleted <> (n.deleted_at IS NOT NULL) OR (p.deleted AND NOT n.deleted) GROUP BY 1});
}

sub add_grants
{
	my ($database) = @_;
	as('studio', $database, 'GRANT SELECT, INSERT, UPDATE ON "Albums", "AlbumTags", "PhotoProcs", "PhotoComments" TO app; GRANT DELETE ON "PhotoComments" TO app; GRANT SELECT ON "Organizations" TO app;');
	return;
}

# Albums are named by numbers.
sub fill
{
	$node->safe_psql('busy', qq{
		INSERT INTO "Organizations" ("Id", "Name") SELECT o, o::text FROM unnest('{@{[join ',', @orgs]}}'::uuid[]) o;
		INSERT INTO "Users" ("OrgId", "Email") SELECT "Id", n || '\@b.c' FROM "Organizations", generate_series(1, 3) n;
		INSERT INTO "PublicUrls" ("OrgId", "Url") SELECT "Id", 'https://' || n || "Id" FROM "Organizations", generate_series(1, 3) n;
		INSERT INTO "Albums" ("OrgId", "Name") SELECT "Id", n FROM "Organizations", generate_series(1, 40) n;
		INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") SELECT a."Id", t, 2 FROM "Albums" a, unnest(ARRAY[0, 3]) t;
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT "Id", n FROM "AlbumTags", generate_series(1, 15) n;
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs";
		INSERT INTO "PhotoLikes" ("PhotoProcId") SELECT "Id" FROM "PhotoProcs" WHERE "FileName" = '1';
		INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT "OrgId", "Id", "Name" FROM "Albums";
		INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT "Id", n, now() - n * interval '10 days' FROM "Organizations", generate_series(1, 9) n;});
	return;
}

# Each at a time of its own, unless they were deleted in one transaction.
sub delete_as_before
{
	my $albums = q{SELECT "Id" FROM "Albums" WHERE "Name"};
	my $tags = qq{SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" IN ($albums};
	$node->safe_psql('busy', q{CREATE SCHEMA watch; CREATE FUNCTION watch.day(n int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2024-01-01 12:34:56.789012+00'::timestamptz + n * interval '1 day' $$;});
	my @deleted = (
		[1, 'Albums', q{"Name" IN ('1', '2', '3', '4', '5')}],    # with all below them live
		[2, 'PhotoProcs', qq{"FileName" = '1' AND "AlbumTagId" IN ($tags = '6') AND "Type" = 3)}], [3, 'AlbumTags', qq{"AlbumId" IN ($albums = '6') AND "Type" = 0}], [4, 'Albums', q{"Name" = '6'}],    # inner ones first
		[5, 'Albums', q{"Name" = '7'}], [6, 'AlbumTags', qq{"AlbumId" IN ($albums = '7') AND "Type" = 0}],    # the outer one first
		[7, 'Albums', q{"Name" = '8'}], [7, 'AlbumTags', qq{"AlbumId" IN ($albums = '8')}], [7, 'PhotoProcs', qq{"AlbumTagId" IN ($tags = '8'))}],    # in one transaction
		[8, 'AlbumTags', qq{"AlbumId" IN ($albums = '9') AND "Type" = 0}], [9, 'PhotoProcs', qq{"FileName"::int <= 7 AND "AlbumTagId" IN ($tags = '10'))}],
		[10, 'PhotoComments', qq{"PhotoProcId" IN (SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" IN ($tags = '11')))}], [10, 'PhotoLikes', qq{"PhotoProcId" IN (SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" IN ($tags = '11')))}],
		[11, 'PhotoProcs', qq{"FileName" = '1' AND "AlbumTagId" IN ($tags = '12'))}], [11, 'PhotoProcs', qq{"FileName" = '2' AND "AlbumTagId" IN ($tags = '12'))}, q{ + interval '1 us'}],
		[12, 'Users', q{"Email" LIKE '1%'}], [12, 'PublicUrls', q{"Url" LIKE 'https://1%'}], [12, 'FailureRecords', q{"EntityType"::int > 30}],
		(map { [20, 'PhotoProcs', qq{"AlbumTagId" IN ($tags = '$_'))}, qq{ + $_ * interval '1 s'}] } 21 .. 40), [30, 'Organizations', qq{"Id" = '$orgs[3]'}]);
	$node->safe_psql('busy', join(';', (map { my ($day, $table, $where, $plus) = @$_; qq{UPDATE "$table" SET "IsDeleted" = true, "ModifiedAt" = watch.day($day)} . ($plus // '') . " WHERE $where" } @deleted), q{UPDATE "AuditLogs" SET "IsDeleted" = true WHERE "Action"::int > 6}));
	return;
}

# Clients of one organization each; they note what they were told is committed, and whether migrate() was there first.
sub start_writers
{
	$node->safe_psql('busy', q{CREATE TABLE watch.stop (said boolean); CREATE TABLE watch.written (kind int, album uuid, tag uuid, photo uuid, late boolean DEFAULT (to_regclass('public."LiveAlbums"') IS NOT NULL));
		GRANT USAGE ON SCHEMA watch TO app; GRANT SELECT ON watch.stop TO app; GRANT INSERT ON watch.written TO app;});
	my $begin = q{BEGIN; SELECT photoflow.set_context(('00000000-0000-4000-8000-00000000000' || :n::text)::uuid, NULL, 'photographer')} . ";\n";
	append_to_file("$dir/writers.sql", q{\set n :client_id + 1
\set kind random(1, 5)
SELECT count(*) AS stop FROM watch.stop \gset
\if :stop < 1
} . $begin . q{INSERT INTO "Albums" ("Name") VALUES ('written') RETURNING "Id" AS album \gset
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") VALUES (:album, 3, 2) RETURNING "Id" AS tag \gset
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (:tag, 'a.jpg');
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (:tag, 'b.jpg') RETURNING "Id" AS photo \gset
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (:photo, 'x');
COMMIT;
} . $begin . q{UPDATE "Albums" SET "Name" = 'renamed' WHERE "Id" = :album;
COMMIT;
} . $begin . q{\if :kind = 1
UPDATE "Albums" SET "IsDeleted" = true, "ModifiedAt" = now() WHERE "Id" = :album;
\elif :kind = 2
UPDATE "AlbumTags" SET "IsDeleted" = true, "ModifiedAt" = now() WHERE "Id" = :tag;
\elif :kind = 4
DELETE FROM "PhotoComments" WHERE "PhotoProcId" = :photo;
\else
UPDATE "PhotoProcs" SET "IsDeleted" = true, "ModifiedAt" = now() WHERE "Id" = :photo;
\endif
COMMIT;
\if :kind = 5
} . $begin . q{UPDATE "PhotoProcs" SET "IsDeleted" = false, "ModifiedAt" = now() WHERE "Id" = :photo;
COMMIT;
\endif
INSERT INTO watch.written VALUES (:kind, :album, :tag, :photo);
\endif
});
	my %writers = (said => '', complained => '');
	$writers{run} = start(['pgbench', '-n', '-M', 'prepared', '-c', '3', '-t', '5000', '-f', "$dir/writers.sql", '-h', $node->host, '-p', $node->port, '-U', 'app', 'busy'], '>', \$writers{said}, '2>', \$writers{complained});
	return \%writers;
}

# Waits until the writers have written some more.
sub at_work
{
	my $count = $node->safe_psql('busy', 'SELECT count(*) FROM watch.written');
	$node->poll_query_until('busy', "SELECT count(*) > $count + 50 FROM watch.written") or die 'the writers do not go on';
	return;
}

sub stop_writers
{
	my ($clients) = @_;
	$node->safe_psql('busy', 'INSERT INTO watch.stop VALUES (true)');
	$clients->{run}->finish;
	is($clients->{complained}, '', 'no writer has anything to complain of');
	like($clients->{said}, qr{number of transactions actually processed: 15000/15000\nnumber of failed transactions: 0 }, 'nor was one the victim of a deadlock');
	return;
}
