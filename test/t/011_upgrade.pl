# From 1.0 to the newest version with users at work: ALTER EXTENSION, then migrate() beside writers, ended and killed on the way.
# No row is lost, no writer sees an error, and what comes out is a fresh database, compared by two catalogs and by pg_dump. So
# does what comes out of one version after the other.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use IPC::Run qw(start finish);

use lib $FindBin::Bin;
use Listings;

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my @versions = ('1.1', '1.2', '1.3', '1.4');    # after 1.0
my $newest = $versions[-1];
my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 3;
my @triggers = ('SyncRawTag', 'SyncStockTag', 'Rate', 'ConfirmRate', 'FinishRetouch', 'ConfirmFeedback', 'Finish', 'Close');
my $me = "SET photoflow.org_id = '$orgs[0]'; SET photoflow.role = 'photographer'; ";
# a row as it was in 1.0: what later versions have added counts only where it is not empty, but for a failure record's place in the queue
# (018_upgrade_failures.pl looks at that); for format()
my $old_columns = q{(SELECT (j - array(SELECT k FROM unnest(ARRAY[''DeletedAt'', ''DeletedBy'', ''DeletionId'', ''LeaseUntil'', ''ClaimedBy'', ''FinishedAt'', ''MaxRetries'', ''Payload'', ''Fingerprint'',
		''FirstError'', ''Changes'', ''Role'', ''DbUser'', ''TransactionId'']) k WHERE j->k = ''null'') - array(SELECT k FROM (VALUES (''ClaimToken'', ''0''), (''Occurrences'', ''1'')) d (k, v) WHERE j->k = v::jsonb) - ARRAY[''NextRetryAt'', ''LastFailedAt''])::text FROM to_jsonb(x) j)};
my $index = 'CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_FileName" ON public."PhotoProcs" ("OrgId", "FileName" text_pattern_ops);';

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;');
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'busy', 'fresh', 'restored', map { "fresh$_" } 1 .. $#versions;

# 1.0, filled, with what users add
is($node->safe_psql('postgres', q{SELECT source, target, path FROM pg_extension_update_paths('photoflow') ORDER BY 1, 2}),
	"1.0|1.1|1.0--1.1\n1.0|1.2|1.0--1.1--1.2\n1.0|1.3|1.0--1.1--1.2--1.3\n1.0|1.4|1.0--1.1--1.2--1.3--1.4\n1.1|1.0|\n1.1|1.2|1.1--1.2\n1.1|1.3|1.1--1.2--1.3\n1.1|1.4|1.1--1.2--1.3--1.4\n1.2|1.0|\n1.2|1.1|\n1.2|1.3|1.2--1.3\n1.2|1.4|1.2--1.3--1.4\n1.3|1.0|\n1.3|1.1|\n1.3|1.2|\n1.3|1.4|1.3--1.4\n1.4|1.0|\n1.4|1.1|\n1.4|1.2|\n1.4|1.3|",
	'one path leads from each version to each later one, and none back');
as('studio', 'busy', q{CREATE EXTENSION photoflow VERSION '1.0'; SELECT photoflow.create_tables();});
is(as('studio', 'busy', 'SELECT count(*), max(step) FROM photoflow.migration_status'), '16|16', 'a database of version 1.0');
add_users_objects('busy');
fill('busy');
my %rows = rows('busy');
cmp_ok(scalar(grep { !/^0 / } values %rows), '>=', 15, 'is filled, every table of it');
is(as('studio', 'busy', 'SELECT count(DISTINCT "AlbumState") >= 9, count(DISTINCT "OrgId") FROM "Albums"'), 't|3', 'with albums of three organizations in nine states');
is(as('studio', 'busy', 'SELECT count(DISTINCT tableoid) FROM "AuditLogs"'), 6, 'with audit rows in six partitions');
$node->command_ok(['pg_dump', '-U', 'studio', '-Fc', '-f', "$dir/old.dump", 'busy'], 'its owner dumps it, as version 1.0 allows');
$node->safe_psql('postgres', 'CREATE DATABASE stepwise TEMPLATE busy OWNER studio');

# the code: one statement, no table is touched
my $storage = q{SELECT string_agg(format('%s %s %s', oid::regclass, relfilenode, relrowsecurity), E'\n' ORDER BY oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace};
my $before = $node->safe_psql('busy', $storage);
as('studio', 'busy', 'ALTER EXTENSION photoflow UPDATE');
is(as('studio', 'busy', q{SELECT extversion FROM pg_extension WHERE extname = 'photoflow'}), $newest, 'ALTER EXTENSION brings the newest code');
is($node->safe_psql('busy', $storage), $before, 'and touches no table');
is_deeply({rows('busy')}, \%rows, 'and no row');
is(refusal('studio', 'busy', "ALTER EXTENSION photoflow UPDATE TO '$_'"), '22023', "there is no way back to $_") foreach '1.0', @versions[0 .. $#versions - 1];

# between the two steps the application works as before, on tables of 1.0
my %steps = map { split /\|/ } split /\n/, as('studio', 'busy', q{SELECT step, kind || ': ' || description FROM photoflow.table_steps WHERE version <> '1.0'});
my @manual = grep { $steps{$_} =~ /^concurrent_index/ } sort keys %steps;
# what an index built by hand replaces goes when that is there
my %waiting = map { $_ => 1 } grep { $steps{$_} =~ /^ddl: no index over / } keys %steps;
my @replaced = ('IX_PublicUrls_Url', 'IX_PhotoProcs_OrgId_AlbumTagId_SortOrder');
is(keys %waiting, @replaced, 'some indexes are replaced');
is(steps('busy'), expected('pending'), 'the steps since 1.0 are pending');
is(as('studio', 'busy', q{SELECT string_agg(step::text, ',' ORDER BY step) FROM photoflow.migration_plan()}), join(',', sort keys %steps), 'and planned');
is(as('studio', 'busy', q{SELECT value, hint FROM photoflow.status() WHERE name = 'pending steps'}), keys(%steps) . '|CALL photoflow.migrate();', 'and status() says so');
is(as('studio', 'busy', q{SELECT count(*) > 12 FROM photoflow.check_tenancy() WHERE problem = 'row-level security is off'}), 't', 'as does the linter');
is(as('studio', 'busy', q{SELECT photoflow.event_channel()}), 'photoflow', 'events go where they went');
works('busy', "with the code of $newest on tables of 1.0");
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
works('busy', "with some tables of $newest and some of 1.0");
$migrating = start_migrate('busy', 'AlbumTags');
$reader->query_safe('COMMIT');
$reader->quit;
my $notices = end_migrate($migrating);
my ($begun) = $notices =~ /NOTICE:  step (\d+)/;
is($steps{$begun}, 'attach: rows of AlbumTags are seen by their organization only', 'the next migrate() goes on there');
like($notices, qr/step $_ \(concurrent_index, .*\): to be run by hand\nDETAIL:  .*CREATE INDEX CONCURRENTLY/, "step $_ is left to be run by hand") foreach @manual;
is(steps('busy'), expected('manual'), 'the other steps are done');
is(as('studio', 'busy', 'SELECT string_agg(step || kind, \',\' ORDER BY step) FROM photoflow.migration_plan()'), join(',', sort((map { $_ . 'concurrent_index' } @manual), (map { $_ . 'ddl' } keys %waiting))), 'the plan has the rest');
like($notices, qr/step $_ \(.*\): waits for what is to be run by hand/, "and step $_, which waits for it, says so") foreach sort keys %waiting;
is($node->safe_psql('busy', "SELECT count(*) FROM pg_class WHERE relname = '$_'"), 1, "the old index $_ is there until the new one is") foreach @replaced;
is(as('studio', 'busy', q{SELECT btrim(sql, E'\n') FROM photoflow.migration_plan() WHERE sql LIKE '%FileName%'}), $index, 'as SQL');
at_work('busy');
by_hand('busy');
is(steps('busy'), expected('built'), 'which is done when it has run');
my $noted = migrate('busy');
like($noted, qr/step $_ \(.*\): done/, "as the next migrate() notes of step $_") foreach @manual, sort keys %waiting;
is(steps('busy'), expected('done'), 'and does what waited for it');
is($node->safe_psql('busy', "SELECT count(*) FROM pg_class WHERE relname = '$_'"), 0, "the old index $_ is gone") foreach @replaced;
like(migrate('busy'), qr/nothing to migrate: the data tables are of version \Q$newest\E$/m, 'after which nothing is left');
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
works('busy', "with all tables of $newest");
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
is(steps('at_once'), expected('done'), "create_tables() brings the tables to $newest at once");
compare_rows('at_once', 'at once');
$node->command_ok(['pg_restore', '-U', 'studio', '--exit-on-error', '-d', 'restored', "$dir/old.dump"], "a dump of version 1.0 is restored beside $newest");
is(steps('restored'), expected('pending'), 'its tables are of 1.0');
migrate('restored');
by_hand('restored');
migrate('restored');
is(steps('restored'), expected('done'), 'and are brought forward');

# version by version: each of them is what a fresh one is, and the last one what all the others must be
my %fresh;
foreach my $n (1 .. @versions)
{
	my ($version, $database) = ($versions[$n - 1], $n == @versions ? 'fresh' : "fresh$n");
	as('studio', 'stepwise', "ALTER EXTENSION photoflow UPDATE TO '$version'");
	as('studio', 'stepwise', 'SELECT photoflow.create_tables()');
	is(as('studio', 'stepwise', q{SELECT count(*) FROM photoflow.migration_status WHERE state <> 'done' OR version > } . "'$version'"), 0, "stepwise: the tables are of $version");
	works('stepwise', "with the code and the tables of $version");
	as('studio', $database, "CREATE EXTENSION photoflow VERSION '$version'; SELECT photoflow.create_tables();");
	add_users_objects($database);
	%fresh = listings($node, $database);
	my %least = (dump => 5000, members => 200, tables => 500);
	cmp_ok(scalar(@{$fresh{$_}}), '>', $least{$_}, "fresh $version: the listing of its $_ is not empty") foreach sort keys %least;
	same_as_fresh('stepwise', "stepwise at $version");
}
compare_rows('stepwise', 'version by version');
$node->safe_psql('busy', 'DROP SCHEMA watch CASCADE');
same_as_fresh($_, $_) foreach 'busy', 'quiet', 'at_once', 'restored';

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
	my %listing = listings($node, 'drifted');
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

# The state of each step since 1.0.
sub steps
{
	my ($database) = @_;
	return as('studio', $database, q{SELECT string_agg(step || ' ' || state, ', ' ORDER BY step) FROM photoflow.migration_status WHERE version <> '1.0'});
}

# What they are to be: pending, done, done but for those that are run by hand, or done up to that of a table, which is running.
sub expected
{
	my ($how) = @_;
	my ($running) = grep { $steps{$_} =~ /: rows of $how are seen/ } keys %steps;
	return join ', ', map
	{
		"$_ " . (defined $running ? ($_ < $running ? 'done' : $_ == $running ? 'running' : 'pending')
			: $how !~ /manual|built/ ? $how : $waiting{$_} ? 'pending' : $how eq 'manual' && $steps{$_} =~ /^concurrent_index/ ? 'manual' : 'done')
	} sort { $a <=> $b } keys %steps;
}

# Does what migrate() leaves to be done by hand.
sub by_hand
{
	my ($database) = @_;
	as('studio', $database, $_) foreach split /\n/, as('studio', $database, q{SELECT translate(sql, E'\n\t', '  ') FROM photoflow.migration_plan() WHERE kind = 'concurrent_index'});
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

# Every table of the data schema: how many rows, and their md5, but for columns that come with later versions, which must be empty.
sub rows
{
	my ($database) = @_;
	return map { split /\|/ } split /\n/, $node->safe_psql($database, q{SELECT t.oid::regclass::text, (xpath('/row/c/text()', query_to_xml(
			format('SELECT count(*) || '' '' || coalesce(md5(string_agg(r::text, E''\n'' ORDER BY r::text)), '''') AS c FROM (SELECT %s AS r FROM ONLY %s x) r', '} . $old_columns . q{', t.oid::regclass), false, true, '')))[1]
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
	is(delete $now{"\"$_\""}, '0 ', "$name: $_ is new, and empty") foreach 'DeletionReasons', 'PurgeReceipts', 'RetentionRules', 'FailureAttempts', 'FailurePolicies', 'AuditSeals', 'AuditSettings';
	ok(delete $now{'"FailureCounts"'}, "$name: FailureCounts is new");
	is($node->safe_psql($database, 'SELECT sum("Records") FROM "FailureCounts"'), $node->safe_psql($database, 'SELECT count(*) FROM "FailureRecords"'), "$name: and has counted the failure records");
	is_deeply(\%now, \%then, "$name: every other row is what it was");
	return;
}

# A database that was upgraded is the same as a fresh one.
sub same_as_fresh
{
	my ($database, $name) = @_;
	my %listing = listings($node, $database);
	is(join("\n", difference($fresh{$_}, $listing{$_})), '', "$name: upgraded and fresh are the same by their $_") foreach sort keys %fresh;
	return;
}

# Keeps a copy of every row.
sub keep
{
	my ($database) = @_;
	$node->safe_psql($database, q{CREATE SCHEMA watch; CREATE TABLE watch.kept (tbl regclass, r text);
		DO $$ DECLARE t regclass; BEGIN
			FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
				EXECUTE format('INSERT INTO watch.kept SELECT %L, %s FROM ONLY %s x', t, '} . $old_columns . q{', t);
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
				EXECUTE format('INSERT INTO watch.lost SELECT * FROM watch.kept k WHERE tbl = %L::regclass AND NOT EXISTS (SELECT FROM ONLY %s x WHERE %s = k.r)', t, t, '} . $old_columns . q{');
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
