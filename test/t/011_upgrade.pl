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
my $index = 'CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_FileName" ON public."PhotoProcs" ("OrgId", "FileName" text_pattern_ops)';

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
is(as('studio', 'busy', 'SELECT string_agg(step::text, \',\' ORDER BY step) FROM photoflow.migration_plan()'), join(',', 17 .. 31), 'fifteen steps are pending');
is(as('studio', 'busy', q{SELECT value, hint FROM photoflow.status() WHERE name = 'pending steps'}), '15|CALL photoflow.migrate();', 'and status() says so');
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
my ($writers, $said) = start_writers('busy');
written('busy', 20);
my $reader = $node->background_psql('busy');
$reader->query_safe('BEGIN; SELECT count(*) FROM "AlbumTags";');
my $migrating = start_migrate('busy');
is(steps('busy'), '17-22 done, 23 running, 24-31 pending', 'migrate() stops at a table that a reader holds');
$node->safe_psql('busy', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL photoflow.migrate%' AND datname = 'busy'});
$migrating->{run}->finish;
written('busy', 20);
is(steps('busy'), '17-22 done, 23 running, 24-31 pending', 'ended there, it leaves what it did');
works('busy', 'with some tables of 1.1 and some of 1.0');
$migrating = start_migrate('busy');
$reader->query_safe('COMMIT');
$reader->quit;
my $end = $migrating->query('SELECT 1');
my $notices = $migrating->{stderr};
$migrating->quit;
like($notices, qr/step 23 \(attach, rows of AlbumTags are seen by their organization only\): done/, 'the next migrate() goes on there');
unlike($notices, qr/step 22 /, 'and not before');
like($notices, qr/step 31 \(concurrent_index, photos of an organization.*\): to be run by hand/, 'an index is left to be built by hand');
is(steps('busy'), '17-30 done, 31 manual', 'the other steps are done');
is(as('studio', 'busy', 'SELECT step, kind, sql FROM photoflow.migration_plan()'), "31|concurrent_index|$index", 'the plan has its SQL');
written('busy', 20);
as('studio', 'busy', $index);
is(steps('busy'), '17-31 done', 'which is done when it has run');
written('busy', 20);
my (undef, undef, $again) = $node->psql('busy', 'CALL photoflow.migrate()', extra_params => ['-U', 'studio']);
like($again, qr/step 31 \(.*\): done/, 'as the next migrate() notes');
(undef, undef, $again) = $node->psql('busy', 'CALL photoflow.migrate()', extra_params => ['-U', 'studio']);
like($again, qr/nothing to migrate: the data tables are of version 1\.1/, 'after which nothing is left');
written('busy', 20);
$node->safe_psql('busy', 'INSERT INTO stop VALUES (true)');
$writers->finish;
is($writers->full_result(0), 0, 'no writer failed');
is($$said =~ s/^pgbench \(.*\n//r, '', 'and none has anything to say') or diag($$said);

# what the writers were told is committed is there, whole; so is all that was there before
is($node->safe_psql('busy', q{SELECT count(*) FROM written w LEFT JOIN "Albums" a ON a."Id" = w.album AND a."OrgId" = w.org AND a."AlbumState" = 1 AND a."Name" = 'renamed'
	WHERE a."Id" IS NULL OR 2 <> (SELECT count(*) FROM "AlbumTags" t JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id" WHERE t."AlbumId" = a."Id" AND t."OrgId" = w.org AND p."OrgId" = w.org)
		OR 1 <> (SELECT count(*) FROM "AlbumTransitions" h WHERE h."AlbumId" = a."Id" AND h."OrgId" = w.org AND h."Trigger" = 'SyncRawTag')
		OR 1 <> (SELECT count(*) FROM "AuditLogs" l WHERE l."EntityId" = w.album::text AND l."OrgId" = w.org)}), 0, 'every row that a writer wrote is there');
is($node->safe_psql('busy', q{SELECT count(*) = (SELECT count(*) FROM written) FROM "Albums" WHERE "Name" IN ('written', 'renamed')}), 't', 'and none that it did not');
cmp_ok($node->safe_psql('busy', 'SELECT count(*) FROM written'), '>=', 100, 'they were at work all the time');
my %after = rows('busy', q{WHERE NOT EXISTS (SELECT FROM written w WHERE r::text LIKE '%' || w.album || '%')}, \%rows);

done_testing();

sub as
{
	my ($user, $database, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => ['-U', $user]);
}
