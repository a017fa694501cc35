# From 1.0 to 1.1 with users at work: ALTER EXTENSION, then migrate() beside writers, ended and killed on the way. No row is
# lost, no writer sees an error, and what comes out is a fresh 1.1, compared by two catalogs and by pg_dump.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IPC::Run qw(start finish);

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 3;
my @triggers = ('SyncRawTag', 'SyncStockTag', 'Rate', 'ConfirmRate', 'FinishRetouch', 'ConfirmFeedback', 'Finish', 'Close');
my $me = "SET photoflow.org_id = '$orgs[0]'; SET photoflow.role = 'photographer'; ";
my $index = 'CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_FileName" ON public."PhotoProcs" ("OrgId", "FileName" text_pattern_ops);';

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;');
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'busy', 'fresh', 'restored';

# 1.0, filled, with what users add
is($node->safe_psql('postgres', q{SELECT source, target, path FROM pg_extension_update_paths('photoflow') ORDER BY 1, 2}), "1.0|1.1|1.0--1.1\n1.1|1.0|", 'one path leads from 1.0 to 1.1, and none back');
as('studio', 'busy', q{CREATE EXTENSION photoflow VERSION '1.0'; SELECT photoflow.create_tables();});
is(as('studio', 'busy', 'SELECT count(*), max(step) FROM photoflow.migration_status'), '16|16', 'a database of version 1.0');
add_users_objects('busy');
fill('busy');
my %rows = rows('busy');
cmp_ok(scalar(grep { !/^0 / } values %rows), '>=', 15, 'is filled, every table of it');
is(as('studio', 'busy', 'SELECT count(DISTINCT "AlbumState") >= 9, count(DISTINCT "OrgId") FROM "Albums"'), 't|3', 'with albums of three organizations in nine states');
is(as('studio', 'busy', 'SELECT count(DISTINCT tableoid) FROM "AuditLogs"'), 6, 'with audit rows in six partitions');
$node->command_ok(['pg_dump', '-U', 'studio', '-Fc', '-f', "$dir/old.dump", 'busy'], 'its owner dumps it, as version 1.0 allows');

# the code: one statement, no table is touched
my $storage = q{SELECT string_agg(format('%s %s %s', oid::regclass, relfilenode, relrowsecurity), E'\n' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace};
my $before = $node->safe_psql('busy', $storage);
as('studio', 'busy', 'ALTER EXTENSION photoflow UPDATE');
is(as('studio', 'busy', q{SELECT extversion FROM pg_extension WHERE extname = 'photoflow'}), '1.1', 'ALTER EXTENSION brings the code of 1.1');
is($node->safe_psql('busy', $storage), $before, 'and touches no table');
is_deeply({rows('busy')}, \%rows, 'and no row');
is(refusal('studio', 'busy', q{ALTER EXTENSION photoflow UPDATE TO '1.0'}), '22023', 'there is no way back');

# between the two steps the application works as before, on tables of 1.0
my %steps = map { split /\|/ } split /\n/, as('studio', 'busy', q{SELECT step, kind || ': ' || description FROM photoflow.table_steps WHERE version = '1.1'});
my @manual = grep { $steps{$_} =~ /^concurrent_index/ } sort keys %steps;
# what an index built by hand replaces goes when that is there
my ($waiting) = grep { $steps{$_} =~ /^ddl: no index over the addresses/ } keys %steps;
is(steps('busy'), expected('pending'), 'the steps of 1.1 are pending');
is(as('studio', 'busy', q{SELECT string_agg(step::text, ',' ORDER BY step) FROM photoflow.migration_plan()}), join(',', sort keys %steps), 'and planned');
is(as('studio', 'busy', q{SELECT value, hint FROM photoflow.status() WHERE name = 'pending steps'}), keys(%steps) . '|CALL photoflow.migrate();', 'and status() says so');
is(as('studio', 'busy', q{SELECT count(*) > 12 FROM photoflow.check_tenancy() WHERE problem = 'row-level security is off'}), 't', 'as does the linter');
is(as('studio', 'busy', q{SELECT photoflow.event_channel()}), 'photoflow', 'events go where they went');
works('busy', 'with the code of 1.1 on tables of 1.0');
is(as('studio', 'busy', 'SELECT count(DISTINCT "OrgId") FROM "Albums"'), 3, 'policies do not hold the owner yet');
is(refusal('studio', 'busy', q{SELECT photoflow.set_token_key('0123456789abcdef0123456789abcdef')}), 'PF040', 'token keys have no table yet');
is(refusal('app', 'busy', q{SELECT photoflow.authenticate('a.b.c')}), 'PF012', 'so no token is good');

# copies, for what cannot be done beside users
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE busy OWNER studio") foreach 'quiet', 'at_once';
%rows = rows('busy');

# the tables, beside writers: one engine is ended in the middle, the next one finishes
keep('busy');
my $writers = start_writers('busy');
$node->poll_query_until('busy', 'SELECT count(DISTINCT org) = 3 FROM watch.written') or die 'the writers do not begin';
at_work('busy');
my $reader = $node->background_psql('busy', on_error_stop => 0);
$reader->query_safe('BEGIN; SELECT count(*) FROM "AlbumTags";');
my $migrating = start_migrate('busy', 'AlbumTags');
is(steps('busy'), expected('AlbumTags'), 'migrate() waits for a table that a reader holds');
$reader->query('SAVEPOINT read');
$reader->query(q{UPDATE "AlbumTags" SET "Status" = "Status" WHERE "Id" = (SELECT "Id" FROM "AlbumTags" LIMIT 1)});
unlike($reader->{stderr}, qr/deadlock/, 'who may go on and write');
$reader->{stderr} = '';
$reader->query('ROLLBACK TO read');
$node->safe_psql('busy', 'SELECT pg_terminate_backend(' . migrating('busy') . ')');
$migrating->{run}->finish;
at_work('busy');
is(steps('busy'), expected('AlbumTags'), 'ended there, it leaves what it did');
works('busy', 'with some tables of 1.1 and some of 1.0');
$migrating = start_migrate('busy', 'AlbumTags');
$reader->query_safe('COMMIT');
$reader->quit;
my $notices = end_migrate($migrating);
my ($begun) = $notices =~ /NOTICE:  step (\d+)/;
is($steps{$begun}, 'attach: rows of AlbumTags are seen by their organization only', 'the next migrate() goes on there');
like($notices, qr/step $_ \(concurrent_index, .*\): to be run by hand\nDETAIL:  .*CREATE INDEX CONCURRENTLY/, "step $_ is left to be run by hand") foreach @manual;
is(steps('busy'), expected('manual'), 'the other steps are done');
is(as('studio', 'busy', 'SELECT string_agg(step || kind, \',\' ORDER BY step) FROM photoflow.migration_plan()'), join(',', sort((map { $_ . 'concurrent_index' } @manual), $waiting . 'ddl')), 'the plan has the rest');
like($notices, qr/step $waiting \(.*\): waits for what is to be run by hand/, 'and what waits for it says so');
is($node->safe_psql('busy', q{SELECT count(*) FROM pg_class WHERE relname = 'IX_PublicUrls_Url'}), 1, 'the old index is there until the new one is');
is(as('studio', 'busy', q{SELECT btrim(sql, E'\n') FROM photoflow.migration_plan() WHERE sql LIKE '%FileName%'}), $index, 'as SQL');
at_work('busy');
by_hand('busy');
is(steps('busy'), expected('built'), 'which is done when it has run');
my $noted = migrate('busy');
like($noted, qr/step $_ \(.*\): done/, "as the next migrate() notes of step $_") foreach @manual, $waiting;
is(steps('busy'), expected('done'), 'and does what waited for it');
is($node->safe_psql('busy', q{SELECT count(*) FROM pg_class WHERE relname = 'IX_PublicUrls_Url'}), 0, 'the old index is gone');
like(migrate('busy'), qr/nothing to migrate: the data tables are of version 1\.1/, 'after which nothing is left');
at_work('busy');
stop_writers('busy', $writers);

# what the writers were told is committed is there, whole; so is all that was there before
is($node->safe_psql('busy', q{SELECT count(*) FROM watch.written w LEFT JOIN "Albums" a ON a."Id" = w.album AND a."OrgId" = w.org AND a."AlbumState" = 1 AND a."Name" = 'renamed'
	WHERE a."Id" IS NULL OR 1 <> (SELECT count(*) FROM "AlbumTags" t JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id" WHERE t."AlbumId" = a."Id" AND t."OrgId" = w.org AND p."OrgId" = w.org)
		OR 2 <> (SELECT count(*) FROM "AlbumTags" t WHERE t."AlbumId" = a."Id" AND t."OrgId" = w.org)
		OR 1 <> (SELECT count(*) FROM "AlbumTransitions" h WHERE h."AlbumId" = a."Id" AND h."OrgId" = w.org AND h."Trigger" = 'SyncRawTag')
		OR 1 <> (SELECT count(*) FROM "AuditLogs" l WHERE l."EntityId" = w.album::text AND l."OrgId" = w.org)}), 0, 'every row that a writer wrote is there');
is($node->safe_psql('busy', q{SELECT count(*) - (SELECT count(*) FROM watch.written) FROM "Albums" WHERE "Name" IN ('written', 'renamed')}), 0, 'and none that it did not');
is(lost('busy'), '', 'and every row of before');
works('busy', 'with all tables of 1.1');
is(as('studio', 'busy', 'SELECT count(*) FROM "Albums"'), 0, 'policies hold the owner now');
foreach my $org (@orgs)
{
	is(as('app', 'busy', "SET photoflow.org_id = '$org'; SELECT count(*) > 100, count(DISTINCT \"OrgId\") FROM \"Albums\""), 't|1', 'and the application sees one organization');
}

# kill -9 in the middle, and an index ended half-built
is_deeply({rows('quiet')}, \%rows, 'a copy, without users');
$reader = $node->background_psql('quiet', on_error_stop => 0);
$reader->query_safe('BEGIN; SELECT count(*) FROM "PhotoProcs";');
$migrating = start_migrate('quiet', 'PhotoProcs');
is(steps('quiet'), expected('PhotoProcs'), 'migrate() is in the middle');
kill 'KILL', migrating('quiet');
$migrating->{run}->finish;
$reader->{run}->kill_kill;
$reader->{run}->finish;
$node->poll_query_until('quiet', 'SELECT true') or die 'the server does not come back';
is(steps('quiet'), expected('PhotoProcs'), 'after kill -9 what was done is done');
migrate('quiet');
is(steps('quiet'), expected('manual'), 'the next migrate() finishes');
my $holder = $node->background_psql('quiet');
$holder->query_safe('BEGIN; LOCK TABLE "PhotoProcs" IN ROW EXCLUSIVE MODE;');
my $building = $node->background_psql('quiet', on_error_stop => 0, extra_params => ['-U', 'studio']);
$building->query_until(qr/building/, "\\echo building\n$index\n");
my $waits = q{FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event_type = 'Lock'};
$node->poll_query_until('quiet', "SELECT count(*) = 1 $waits") or die 'the index never waits';
$node->safe_psql('quiet', "SELECT pg_terminate_backend(pid) $waits");
$building->{run}->finish;
$holder->query_safe('COMMIT');
$holder->quit;
is($node->safe_psql('quiet', q{SELECT indisvalid FROM pg_index WHERE indexrelid = '"IX_PhotoProcs_OrgId_FileName"'::regclass}), 'f', 'an index that was ended half-built is invalid');
like(migrate('quiet'), qr/photos of an organization.*\): to be run by hand/, 'and not taken for done');
as('studio', 'quiet', 'DROP INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_FileName"');
by_hand('quiet');
migrate('quiet');
is(steps('quiet'), expected('done'), 'built again, it is');
compare_rows('quiet', 'killed on the way');

# all at once, as create_tables() does it; and from a dump of 1.0
as('studio', 'at_once', 'SELECT photoflow.create_tables()');
is(steps('at_once'), expected('done'), 'create_tables() brings the tables to 1.1 at once');
compare_rows('at_once', 'at once');
$node->command_ok(['pg_restore', '-U', 'studio', '--exit-on-error', '-d', 'restored', "$dir/old.dump"], 'a dump of version 1.0 is restored beside 1.1');
is(steps('restored'), expected('pending'), 'its tables are of 1.0');
migrate('restored');
by_hand('restored');
migrate('restored');
is(steps('restored'), expected('done'), 'and are brought forward');

# all of them are what a fresh 1.1 is
as('studio', 'fresh', 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables();');
add_users_objects('fresh');
$node->safe_psql('busy', 'DROP SCHEMA watch CASCADE');
my %fresh = listings('fresh');
my %least = (dump => 5000, members => 200, tables => 500);
cmp_ok(scalar(@{$fresh{$_}}), '>', $least{$_}, "fresh: the listing of its $_ is not empty") foreach sort keys %least;
foreach my $database ('busy', 'quiet', 'at_once', 'restored')
{
	my %listing = listings($database);
	foreach my $what (sort keys %fresh)
	{
		is(join("\n", difference($fresh{$what}, $listing{$what})), '', "$database: upgraded and fresh are the same by their $what");
	}
}

# and would not be taken for the same if they differed
my @drifts = (
	['a comment', q{COMMENT ON FUNCTION photoflow.can_fire(uuid, text) IS 'Says something else.'}, 'dump', 'members'],
	['a policy', 'DROP POLICY "PhotoflowTenant" ON "AuditLogs_default"', 'dump', 'tables'],
	['a default', 'ALTER TABLE "Albums" ALTER COLUMN "Status" SET DEFAULT 1', 'dump', 'tables'],
	['FORCE', 'ALTER TABLE "PhotoLikes" NO FORCE ROW LEVEL SECURITY', 'dump', 'tables'],
	['a grant', 'GRANT EXECUTE ON FUNCTION photoflow.event_channel() TO app', 'dump', 'members'],
	['a step', q{UPDATE photoflow.table_steps SET sql = sql || ' ' WHERE step = 30}, 'members'],
	['a trigger', 'ALTER TABLE "Users" DISABLE TRIGGER "PhotoflowTenantRequire"', 'dump', 'tables']);
foreach my $drift (@drifts)
{
	my ($name, $sql, @where) = @$drift;
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS drifted');
	$node->safe_psql('postgres', 'CREATE DATABASE drifted TEMPLATE at_once');
	$node->safe_psql('drifted', $sql);
	my %listing = listings('drifted');
	is(join(' ', grep { difference($fresh{$_}, $listing{$_}) } sort keys %fresh), join(' ', @where), "a planted drift is found: $name");
}

$node->stop;
done_testing();

sub as
{
	my ($user, $database, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => ['-U', $user]);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($user, $database, $sql) = @_;
	my (undef, undef, $stderr) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $user]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}

# What migrate() says, called by the owner.
sub migrate
{
	my ($database) = @_;
	my ($code, undef, $stderr) = $node->psql($database, 'CALL photoflow.migrate()', extra_params => ['-U', 'studio']);
	die $stderr if $code != 0;
	return $stderr;
}

# A session whose migrate() waits for the lock of a table that somebody holds.
sub start_migrate
{
	my ($database, $table) = @_;
	my $session = $node->background_psql($database, on_error_stop => 0, extra_params => ['-U', 'studio']);
	$session->query_until(qr/migrating/, "\\echo migrating\nCALL photoflow.migrate();\n");
	$node->poll_query_until($database, qq{SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.query LIKE 'CALL%' AND l.relation = '"$table"'::regclass AND NOT l.granted}) or die 'migrate() never waits';
	return $session;
}

sub end_migrate
{
	my ($session) = @_;
	$session->query('SELECT 1');
	my $said = $session->{stderr};
	$session->quit;
	return $said;
}

sub migrating
{
	my ($database) = @_;
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND datname = '$database'");
	die 'migrate() is not running' unless $pid =~ /^\d+$/;
	return $pid;
}

# The state of each of 1.1's steps.
sub steps
{
	my ($database) = @_;
	return as('studio', $database, q{SELECT string_agg(step || ' ' || state, ', ' ORDER BY step) FROM photoflow.migration_status WHERE version = '1.1'});
}

# What they are to be: pending, done, done but for those that are run by hand, or done up to that of a table, which is running.
sub expected
{
	my ($how) = @_;
	my ($running) = grep { $steps{$_} =~ /: rows of $how are seen/ } keys %steps;
	return join ', ', map
	{
		"$_ " . (defined $running ? ($_ < $running ? 'done' : $_ == $running ? 'running' : 'pending')
			: $how !~ /manual|built/ ? $how : $_ == $waiting ? 'pending' : $how eq 'manual' && $steps{$_} =~ /^concurrent_index/ ? 'manual' : 'done')
	} sort { $a <=> $b } keys %steps;
}

# Does what migrate() leaves to be done by hand.
sub by_hand
{
	my ($database) = @_;
	as('studio', $database, $_) foreach split /\n/, as('studio', $database, q{SELECT btrim(sql, E'\n') FROM photoflow.migration_plan() WHERE kind = 'concurrent_index'});
	return;
}

# An application at work, by functions and by statements of its own, in a transaction that is taken back.
sub works
{
	my ($database, $name) = @_;
	my $album = q{(SELECT "Id" FROM "Albums" WHERE "Name" = 'works')};
	my $photos = qq{"PhotoProcs" p JOIN "AlbumTags" t ON t."Id" = p."AlbumTagId" AND t."AlbumId" = $album};
	is(as('app', $database, qq{$me BEGIN;
		INSERT INTO "Albums" ("Name") VALUES ('works') RETURNING "AlbumState";
		SELECT from_state, to_state FROM photoflow.fire($album, 'SyncRawTag');
		SELECT inserted, total FROM photoflow.sync_photos((SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = $album),
			'[{"id": "1", "name": "a.jpg", "mimeType": "image/jpeg"}, {"id": "2", "name": "b.jpg", "mimeType": "image/jpeg"}]', 2, true);
		UPDATE "Albums" SET "AlbumState" = 2 WHERE "Name" = 'works';
		SELECT photoflow.vote(array(SELECT p."Id" FROM $photos));
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT p."Id", 'x' FROM $photos WHERE p."FileName" = 'a.jpg' RETURNING "OrgId";
		SELECT to_state FROM photoflow.rollback_transition($album);
		SELECT string_agg(to_state, ',') FROM photoflow.album_history($album);
		ROLLBACK;}), "0\nInit|Raw\n2|2\n2\n$orgs[0]\nRaw\nRaw,Stock,Raw", "the application works $name");
	return;
}

# Clients of one organization each, whose transactions read before they write, until somebody says stop. They note what they
# were told is committed.
sub start_writers
{
	my ($database) = @_;
	$node->safe_psql($database, q{CREATE TABLE watch.stop (said boolean); CREATE TABLE watch.written (album uuid, org uuid); GRANT USAGE ON SCHEMA watch TO app;
		GRANT SELECT ON watch.stop TO app; GRANT INSERT ON watch.written TO app;});
	append_to_file("$dir/writers.sql", q{\set n :client_id + 1
SELECT count(*) AS stop FROM watch.stop \gset
\if :stop < 1
BEGIN;
SELECT photoflow.set_context(('00000000-0000-4000-8000-00000000000' || :n::text)::uuid, NULL, 'photographer');
SELECT count(*) AS seen FROM "Albums" a JOIN "AlbumTags" t ON t."AlbumId" = a."Id" LEFT JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id" WHERE a."Name" = 'album 7';
INSERT INTO "Albums" ("Name") VALUES ('written') RETURNING "Id" AS album, "OrgId" AS org \gset
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") VALUES (:album, 3, 2) RETURNING "Id" AS tag \gset
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (:tag, 'a.jpg');
SELECT * FROM photoflow.fire(:album, 'SyncRawTag');
UPDATE "Albums" SET "Name" = 'renamed' WHERE "Id" = :album;
INSERT INTO "AuditLogs" ("Action", "EntityId") VALUES ('written', :album::uuid::text);
COMMIT;
INSERT INTO watch.written VALUES (:album, :org);
\endif
});
	my %writers = (said => '', complained => '');
	$writers{run} = start(['pgbench', '-n', '-M', 'prepared', '-c', '3', '-t', '5000', '-f', "$dir/writers.sql", '-h', $node->host, '-p', $node->port, '-U', 'app', $database],
		'>', \$writers{said}, '2>', \$writers{complained});
	return \%writers;
}

# Waits until every writer has written some more; if they came to their own end before that, the rest would prove nothing.
sub at_work
{
	my ($database) = @_;
	my $count = q{coalesce((SELECT string_agg(n::text, ',' ORDER BY org) FROM (SELECT org, count(*) AS n FROM watch.written GROUP BY org) w), '0,0,0')};
	my $before = $node->safe_psql($database, "SELECT $count");
	my $more = qq{SELECT count(*) = 3 AND bool_and(now >= before + 10) FROM unnest(string_to_array($count, ',')::int[], string_to_array('$before', ',')::int[]) u (now, before)};
	$node->poll_query_until($database, "SELECT ($more) OR (SELECT count(*) < 3 FROM pg_stat_activity WHERE usename = 'app' AND datname = '$database')") or die 'the writers do not go on';
	die 'the writers have ended' if $node->safe_psql($database, $more) ne 't';
	return;
}

sub stop_writers
{
	my ($database, $writers) = @_;
	$node->safe_psql($database, 'INSERT INTO watch.stop VALUES (true)');
	$writers->{run}->finish;
	is($writers->{run}->full_result(0), 0, 'no writer failed');
	is($writers->{complained}, '', 'and none has anything to complain of');
	like($writers->{said}, qr{number of transactions actually processed: 15000/15000\nnumber of failed transactions: 0 }, 'nor was one the victim of a deadlock');
	return;
}

# Every table of the data schema: how many rows, and their md5.
sub rows
{
	my ($database) = @_;
	return map { split /\|/ } split /\n/, $node->safe_psql($database, q{SELECT t.oid::regclass::text, (xpath('/row/c/text()', query_to_xml(
			format('SELECT count(*) || '' '' || coalesce(md5(string_agg(r::text, E''\n'' ORDER BY r::text)), '''') AS c FROM ONLY %s r', t.oid::regclass), false, true, '')))[1]
		FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace});
}

# The rows of a database that was upgraded without users are those of before, but for what migrate() keeps itself.
sub compare_rows
{
	my ($database, $name) = @_;
	my (%now, %then);
	%now = rows($database);
	%then = %rows;
	like(delete $now{'"__PhotoflowSecrets"'}, qr/^1 /, "$name: one secret is new");
	like(delete $now{'"__PhotoflowMigrations"'}, qr/^@{[16 + keys %steps]} /, "$name: and the notes of the steps");
	delete $then{'"__PhotoflowMigrations"'};
	is_deeply(\%now, \%then, "$name: every other row is what it was");
	return;
}

# Keeps a copy of every row.
sub keep
{
	my ($database) = @_;
	$node->safe_psql($database, q{CREATE SCHEMA watch; CREATE TABLE watch.kept (tbl regclass, r text);
		DO $$ DECLARE t regclass; BEGIN
			FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
				EXECUTE format('INSERT INTO watch.kept SELECT %L, r::text FROM ONLY %s r', t, t);
			END LOOP; END $$;});
	return;
}

# The tables that do not have all of these rows any more.
sub lost
{
	my ($database) = @_;
	return $node->safe_psql($database, q{CREATE TABLE watch.lost (LIKE watch.kept);
		DO $$ DECLARE t regclass; BEGIN
			FOR t IN SELECT DISTINCT tbl FROM watch.kept LOOP
				EXECUTE format('INSERT INTO watch.lost SELECT * FROM watch.kept k WHERE tbl = %L::regclass AND NOT EXISTS (SELECT FROM ONLY %s r WHERE r::text = k.r)', t, t);
			END LOOP; END $$;
		SELECT tbl, count(*) FROM watch.lost GROUP BY 1});
}

# Albums of three organizations in nine states, with all that hangs on them.
sub fill
{
	my ($database) = @_;
	as('studio', $database, qq{
		INSERT INTO "Organizations" ("Id", "Name") SELECT o, o::text FROM unnest('{$orgs[0],$orgs[1],$orgs[2]}'::uuid[]) o;
		INSERT INTO "Users" ("OrgId", "Email") SELECT "Id", 'a\@b.c' FROM "Organizations";
		INSERT INTO "PublicUrls" ("OrgId", "Url") SELECT "Id", 'https://' || "Id" FROM "Organizations";
		INSERT INTO "Albums" ("OrgId", "Name", "HashedPassword") SELECT "Id", 'album ' || n, 'x' FROM "Organizations", generate_series(1, 90) n;
		INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status", "Link", "PublicUrlId")
			SELECT a."Id", t, 2, '{"url": "x"}', u."Id" FROM "Albums" a JOIN "PublicUrls" u USING ("OrgId"), unnest(ARRAY[0, 3]) t;
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "ExternalId", "Voted") SELECT "Id", 'a' || n || '.jpg', n, true FROM "AlbumTags", generate_series(1, 3) n;
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs" LIMIT 100;
		INSERT INTO "PhotoLikes" ("PhotoProcId") SELECT "Id" FROM "PhotoProcs" LIMIT 100;
		INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT "OrgId", "Id", 'Album' FROM "Albums" LIMIT 50;
		INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT "Id", 'x', date_trunc('month', now()) + n * interval '1 month' FROM "Organizations", generate_series(-2, 4) n;
		INSERT INTO "Invoices" ("OrgId", "No") SELECT "Id", 1 FROM "Organizations";});
	my $n = 10;
	foreach my $trigger (@triggers)
	{
		as('studio', $database, qq{SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums" WHERE substr("Name", 7)::int > $n), '$trigger')});
		$n += 10;
	}
	as('studio', $database, qq{$me SELECT photoflow.sync_photos("Id", '[{"id": "9", "name": "z.jpg", "mimeType": "image/jpeg"}]', 5) FROM "AlbumTags" WHERE "OrgId" = '$orgs[0]' AND "Type" = 0 LIMIT 1;
		SELECT photoflow.rollback_transition("Id") FROM "Albums" WHERE "Name" = 'album 15' AND "OrgId" = '$orgs[0]';});
	return;
}

# What users add to photoflow's tables, and a table of their own.
sub add_users_objects
{
	my ($database) = @_;
	as('studio', $database, q{
		CREATE TABLE "Invoices" ("Id" uuid PRIMARY KEY DEFAULT photoflow.uuid_v7(), "OrgId" uuid NOT NULL, "No" int);
		ALTER TABLE "Invoices" ENABLE ROW LEVEL SECURITY;
		CREATE POLICY own ON "Invoices" USING ("OrgId" = photoflow.current_org());
		ALTER TABLE "PhotoComments" ENABLE ROW LEVEL SECURITY;
		CREATE POLICY mine ON "PhotoComments" USING ("OrgId" = photoflow.current_org());
		ALTER TABLE "Albums" ADD COLUMN "Mine" integer, ALTER COLUMN "Mine" SET DEFAULT 7;
		ALTER TABLE "PhotoProcs" ADD CONSTRAINT mine CHECK ("SortOrder" > -5);
		CREATE INDEX mine ON "Albums" (lower("Name"));
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER note AFTER INSERT ON "Albums" FOR EACH ROW EXECUTE FUNCTION note();
		COMMENT ON COLUMN "Albums"."Mine" IS 'ours';
		GRANT SELECT, INSERT, UPDATE ON "Albums", "AlbumTags", "PhotoProcs", "PhotoComments", "PhotoLikes", "PublicUrls" TO app;
		GRANT SELECT ON "Organizations", "Users" TO app;
		GRANT INSERT ON "AuditLogs" TO app;});
	return;
}

# What a database is: by pg_dump, which shows the members of an extension in its mode for pg_upgrade; by the catalog of members;
# by the catalog of tables. Numbers that say when or in what order something was made are taken out, and nothing else.
sub listings
{
	my ($database) = @_;
	my ($dump, $stderr) = run_command(['pg_dump', '-h', $node->host, '-p', $node->port, '--binary-upgrade', '-s', $database]);
	die $stderr if $stderr ne '';
	$dump =~ s/^\\(un)?restrict .*\n//mg;
	$dump =~ s/(binary_upgrade_set_next_\w+\(')\d+(')/$1N$2/g;
	$dump =~ s/(SET relfrozenxid = ')\d+(', relminmxid = ')\d+(')/$1N$2N$3/g;
	$dump =~ s/^(WHERE oid = ')\d+(';)$/$1N$2/mg;
	$dump =~ s/(?<=[{,])[0-9A-F]+\/[0-9A-F]+(?=[,}].*::pg_catalog\.pg_lsn\[\]\);$)/N/mg;
	$dump =~ s/^(SELECT pg_catalog\.binary_upgrade_create_empty_extension\('photoflow'.*'\{)\d+(\}')/$1N$2/mg;
	my %listing = (dump => [split /\n/, $dump]);
	$listing{members} = [split /\n/, $node->safe_psql($database, q{
		SELECT replace(x, E'\n', '\n') FROM (
			SELECT format('%s %s: %s', i.type, i.identity, row(m.owner, m.acl, obj_description(d.objid, c.relname))) AS x
			FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'photoflow' AND d.deptype = 'e'
				JOIN pg_class c ON c.oid = d.classid CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
				LEFT JOIN LATERAL (SELECT proowner::regrole AS owner, proacl AS acl FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
					UNION ALL SELECT relowner::regrole, relacl FROM pg_class WHERE d.classid = 'pg_class'::regclass AND oid = d.objid
					UNION ALL SELECT nspowner::regrole, nspacl FROM pg_namespace WHERE d.classid = 'pg_namespace'::regclass AND oid = d.objid) m ON true
			UNION ALL SELECT format('at first %s %s: %s', i.type, i.identity, row(p.privtype, p.initprivs))
			FROM pg_init_privs p CROSS JOIN LATERAL pg_identify_object(p.classoid, p.objoid, p.objsubid) i WHERE i.schema = 'photoflow' OR i.identity = 'photoflow'
			UNION ALL SELECT format('%s: %s', oid::regprocedure, row(pg_get_functiondef(oid), prosqlbody IS NOT NULL)) FROM pg_proc WHERE pronamespace = 'photoflow'::regnamespace
			UNION ALL SELECT format('%s: %s', oid::regclass, pg_get_viewdef(oid)) FROM pg_class WHERE relnamespace = 'photoflow'::regnamespace AND relkind = 'v'
			UNION ALL SELECT format('extension: %s', row(extname, extowner::regrole, extnamespace::regnamespace, extrelocatable, extversion, extconfig::regclass[], extcondition))
			FROM pg_extension WHERE extname = 'photoflow'
			UNION ALL SELECT format('step: %s', t) FROM photoflow.table_steps t
			UNION ALL SELECT format('installed: %s', i) FROM photoflow.installation i) x ORDER BY x COLLATE "C"})];
	$listing{tables} = [split /\n/, $node->safe_psql($database, q{
		WITH t AS (SELECT c.oid::regclass AS name, c.* FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'photoflow'::regnamespace))
		SELECT replace(x, E'\n', '\n') FROM (
			SELECT format('%s: %s', name, row(relkind, relowner::regrole, relacl, reloptions, relpersistence, relrowsecurity, relforcerowsecurity, relispartition, relreplident,
				pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid), obj_description(oid, 'pg_class'))) AS x FROM t
			UNION ALL SELECT format('%s.%s: %s', name, attname, row(attnum, format_type(atttypid, atttypmod), attnotnull, attstattarget, attisdropped, attacl, attstorage, attcollation::regcollation, attidentity, attgenerated,
				(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef d WHERE d.adrelid = attrelid AND d.adnum = attnum), col_description(attrelid, attnum)))
			FROM t JOIN pg_attribute ON attrelid = t.oid WHERE attnum > 0
			UNION ALL SELECT format('%s constraint %s: %s', name, conname, row(pg_get_constraintdef(k.oid), convalidated, condeferrable, conislocal, coninhcount, obj_description(k.oid, 'pg_constraint')))
			FROM t JOIN pg_constraint k ON k.conrelid = t.oid
			UNION ALL SELECT format('%s index: %s', name, row(pg_get_indexdef(indexrelid), indisprimary, indisvalid, indisready, obj_description(indexrelid, 'pg_class'))) FROM t JOIN pg_index ON indrelid = t.oid
			UNION ALL SELECT format('%s trigger: %s', name, row(pg_get_triggerdef(g.oid), tgenabled, tgparentid <> 0, obj_description(g.oid, 'pg_trigger')))
			FROM t JOIN pg_trigger g ON tgrelid = t.oid WHERE NOT tgisinternal
			UNION ALL SELECT format('%s triggers of keys: %s', name, row(tgfoid::regproc, tgenabled, count(*))) FROM t JOIN pg_trigger ON tgrelid = t.oid WHERE tgisinternal GROUP BY name, tgfoid, tgenabled
			UNION ALL SELECT format('%s policy: %s', name, row(polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy')))
			FROM t JOIN pg_policy p ON polrelid = t.oid
			UNION ALL SELECT format('done: %s', row("Step", "Version", "Kind", "Description", "State", "RowsDone", "RowsTotal")) FROM "__PhotoflowMigrations"
			UNION ALL SELECT format('workflow: %s', row("Version", "Name", "Definition", "IsCurrent")) FROM "WorkflowVersions"
			UNION ALL SELECT format('secret: %s', row("Kind", "Kid", length("Secret"))) FROM "__PhotoflowSecrets") x ORDER BY x COLLATE "C"})];
	return %listing;
}

# The lines that one has and the other has not, and how often.
sub difference
{
	my ($one, $other) = @_;
	my %count;
	$count{$_}++ foreach @$one;
	$count{$_}-- foreach @$other;
	my @lines = map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } grep { $count{$_} } sort keys %count;
	return @lines if @lines;
	return join("\n", @$one) eq join("\n", @$other) ? () : ('the same lines in another order');
}
