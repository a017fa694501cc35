# migrate() beside other sessions: locks held by users, a second migrate(), a cancel, a killed backend, a DBA's index; and across
# the organizations that policies keep apart.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('migrate');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
$node->start;

# The owner of the database is no superuser: photoflow is a trusted extension.
$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE DATABASE studio OWNER studio;');
my $as_studio = 'SET SESSION AUTHORIZATION studio; ';
$node->safe_psql('studio', "$as_studio CREATE EXTENSION photoflow; SELECT photoflow.create_tables();");
is(query(q{SELECT string_agg(DISTINCT c.relowner::regrole::text, ',') FROM pg_class c
	WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')}),
	'studio', 'the tables belong to the caller of create_tables()');
is(query('SELECT count(*) FROM photoflow.migration_status', $as_studio),
	query('SELECT count(*) FROM photoflow.table_steps'), 'the owner sees every step');

# A superuser runs the steps: what they make is the owner's all the same.
add_step(9001, 'ddl', 'probe', q{CREATE TABLE {schema}."Probe" ("Id" int PRIMARY KEY, "Seen" int NOT NULL DEFAULT 0);
	INSERT INTO {schema}."Probe" SELECT i FROM pg_catalog.generate_series(1, 2000) i});
my ($ret, $notices) = migrate('');
is($ret, 0, 'a superuser migrates');
like($notices, qr/step 9001 \(ddl, probe\): done/, 'with a NOTICE for the step');
is(query(q{SELECT relowner::regrole FROM pg_class WHERE relname = 'Probe'}), 'studio', 'a new table is the owner\'s');

# A user holds a lock: migrate() gives up, lets go, and tries again.
add_step(9002, 'ddl', 'column', 'ALTER TABLE {schema}."Probe" ADD COLUMN "More" int');
my $user = $node->background_psql('studio');
$user->query_safe('BEGIN; SELECT count(*) FROM "Probe";');
($ret, $notices) = migrate(q{lock_timeout => '1 ms'});
isnt($ret, 0, 'migrate() fails when the lock is never to be had');
like($notices, qr/step 9002 waits for a lock: attempt 9 of 10 failed/, 'after nine retries');
like($notices, qr/ERROR:  canceling statement due to lock timeout/, 'with the lock timeout');
like($notices, qr/HINT:  10 attempts failed/, 'and a hint');
is(state(9002), 'running|0|', 'the step stays running');

my $migrating = $node->background_psql('studio', on_error_stop => 0);
start_migrate($migrating, q{lock_timeout => '100 ms'});
$node->poll_query_until('studio', waiting_for('Lock')) or die 'never waits for the lock';
is(query('SELECT count(*) FROM "Probe"'), 2000, 'users go on in between');
$user->query_safe('COMMIT');
finish_migrate($migrating);
is(state(9002), 'done|0|', 'done once the lock is free');

# One engine at a time; a cancel ends it and gives its lock back.
add_step(9003, 'backfill', 'see each row once', q{UPDATE {schema}."Probe" SET "Seen" = "Seen" + 1
	WHERE "Id" IN (SELECT "Id" FROM {schema}."Probe" WHERE "Seen" = 0 ORDER BY "Id" LIMIT $1)},
	q{SELECT count(*) FROM {schema}."Probe" WHERE "Seen" = 0});
start_migrate($migrating, q{batch_size => 100, pause => '10 min'});
$node->poll_query_until('studio', q{SELECT "RowsDone" = 100 FROM "__PhotoflowMigrations" WHERE "Step" = 9003})
	or die 'no batch is done';
$node->poll_query_until('studio', waiting_for('Extension')) or die 'never pauses';
is(query(q{SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE query LIKE 'CALL%'}),
	't', 'the pause holds no snapshot');
($ret, $notices) = migrate('');
isnt($ret, 0, 'a second migrate() is refused');
like($notices, qr/being created or migrated by another session/, 'and says why');
cancel_migrate();
finish_migrate($migrating);
is(state(9003), 'running|100|2000', 'what was done is kept');
is(query('SELECT count(*) FROM "Probe" WHERE "Seen" = 1'), 100, 'and is what the history says');

# kill -9 in the middle of the backfill: the batch that ran is lost, the others are not.
start_migrate($migrating, q{batch_size => 100, pause => '100 ms'});
$node->poll_query_until('studio', q{SELECT "RowsDone" >= 400 FROM "__PhotoflowMigrations" WHERE "Step" = 9003})
	or die 'no batches are done';
kill_migrate();
$migrating->{run}->finish;
$node->poll_query_until('studio', 'SELECT true') or die 'the server does not come back';
my ($state, $done, $total) = split /\|/, state(9003);
is($state, 'running', 'still running after the kill');
is($total, 2000, 'of the total it was started with');
ok($done >= 400 && $done < 2000 && $done % 100 == 0, "$done rows are recorded");
is(query('SELECT count(*) FROM "Probe" WHERE "Seen" = 1'), $done, 'as many as were changed');

($ret, $notices) = migrate(q{batch_size => 50, pause => '50 ms'});
is($ret, 0, 'the next migrate() goes on');
like($notices, qr/see each row once\): \d+ of 2000 rows/, 'tells of its progress');
like($notices, qr/see each row once\): done, 2000 of 2000 rows/, 'and of the end');
is(state(9003), 'done|2000|2000', 'recorded');
is(query('SELECT min("Seen"), max("Seen") FROM "Probe"'), '1|1', 'every row was seen exactly once');

# A row that a user has locked makes a batch wait and retry, too.
add_step(9004, 'backfill', 'see again', q{UPDATE {schema}."Probe" SET "Seen" = 2
	WHERE "Id" IN (SELECT "Id" FROM {schema}."Probe" WHERE "Seen" = 1 LIMIT $1)},
	q{SELECT count(*) FROM {schema}."Probe" WHERE "Seen" = 1});
$user = $node->background_psql('studio');
$user->query_safe('BEGIN; SELECT 1 FROM "Probe" WHERE "Id" = 1000 FOR UPDATE;');
($ret, $notices) = migrate(q{batch_size => 300, lock_timeout => '1 ms'});
like($notices, qr/step 9004 waits for a lock/, 'a locked row is retried');
$user->query_safe('COMMIT');
$user->quit;
($ret, $notices) = migrate('');
is(state(9004), 'done|2000|2000', 'and the total is right in the end');

# An index is the DBA's to build.
add_step(9005, 'concurrent_index', 'an index', q{CREATE INDEX CONCURRENTLY "IX_Probe_Seen" ON {schema}."Probe" ("Seen")},
	q{SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_Probe_Seen' AND i.indisvalid});
($ret, $notices) = migrate('');
is($ret, 0, 'migrate() goes past the index');
like($notices, qr/step 9005 \(concurrent_index, an index\): to be run by hand/, 'and says so');
is(state(9005), 'manual|0|', 'manual');
my $sql = query('SELECT sql FROM photoflow.migration_plan()', $as_studio);
is($sql, 'CREATE INDEX CONCURRENTLY "IX_Probe_Seen" ON public."Probe" ("Seen")', 'the plan has its SQL');
$node->safe_psql('studio', $sql);
is(state(9005), 'done|0|', 'done as soon as it is there');
($ret, $notices) = migrate('');
like($notices, qr/step 9005 \(concurrent_index, an index\): done/, 'and recorded by the next migrate()');
($ret, $notices) = migrate('');
like($notices, qr/nothing to migrate/, 'then nothing is left');

# Policies hold the owner's own statements and not the owner's steps: a step works on the rows of every organization.
my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 3;
foreach my $org (@orgs)
{
	query(qq{SET photoflow.org_id = '$org'; INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'before'); INSERT INTO "Albums" ("Name") SELECT 'before' FROM generate_series(1, 50);}, $as_studio);
}
is(query('SELECT count(*) FROM "Albums"', $as_studio), 0, 'the owner sees no album without an organization');
add_step(9006, 'backfill', 'rename albums', q{UPDATE {schema}."Albums" SET "Name" = 'after' WHERE "Id" IN (SELECT "Id" FROM {schema}."Albums" WHERE "Name" = 'before' LIMIT $1)},
	q{SELECT count(*) FROM {schema}."Albums" WHERE "Name" = 'before'});
add_step(9007, 'ddl', 'rename organizations', q{UPDATE {schema}."Organizations" SET "Name" = 'after'});
add_step(9008, 'validate', 'no album is left behind', q{ALTER TABLE {schema}."Albums" ADD CONSTRAINT "CK_Albums_Name" CHECK ("Name" = 'after') NOT VALID;
	ALTER TABLE {schema}."Albums" VALIDATE CONSTRAINT "CK_Albums_Name"});
($ret, undef, $notices) = $node->psql('studio', 'CALL photoflow.migrate(batch_size => 40)', extra_params => ['-U', 'studio']);
is($ret, 0, 'the owner migrates the rows of every organization, without one of its own');
is(state(9006), 'done|150|150', 'every album of them');
is(query('SELECT count(*), count(DISTINCT "OrgId") FROM "Albums" WHERE "Name" = \'after\''), '150|3', 'has changed');
is(query('SELECT count(*) FROM "Organizations" WHERE "Name" = \'after\''), 3, 'and every organization');
add_step(9009, 'backfill', 'rename again', q{UPDATE {schema}."Albums" SET "Status" = 1 WHERE "Id" IN (SELECT "Id" FROM {schema}."Albums" WHERE "Status" = 0 LIMIT $1)},
	q{SELECT count(*) FROM {schema}."Albums" WHERE "Status" = 0});
($ret, $notices) = migrate('', "SET photoflow.org_id = '$orgs[0]'; ");
is($ret, 0, 'a superuser migrates with an organization set');
is(state(9009), 'done|150|150', 'and still reaches all of them');
add_step(9010, 'backfill', 'rename once more', q{UPDATE {schema}."Albums" SET "Status" = 2 WHERE "Id" IN (SELECT "Id" FROM {schema}."Albums" WHERE "Status" = 1 LIMIT $1)},
	q{SELECT count(*) FROM {schema}."Albums" WHERE "Status" = 1});
($ret, undef, $notices) = $node->psql('studio', "SET photoflow.org_id = '$orgs[0]'; CALL photoflow.migrate();", extra_params => ['-U', 'studio']);
is($ret, 0, 'so does the owner');
is(state(9010), 'done|150|150', 'and reaches all of them, too');
is(query('SELECT count(*) FROM "Albums"', "$as_studio SET photoflow.org_id = '$orgs[0]'; "), 50, 'while its own statements see one organization');

$node->stop;
done_testing();

sub query
{
	my ($sql, $before) = @_;
	return $node->safe_psql('studio', ($before // '') . $sql);
}

# 'state|rows_done|rows_total' as the view shows them
sub state
{
	my ($step) = @_;
	return query("SELECT state, rows_done, rows_total FROM photoflow.migration_status WHERE step = $step");
}

sub add_step
{
	my ($step, $kind, $description, $sql, $count_sql) = @_;
	my $count = defined $count_sql ? "\$count\$$count_sql\$count\$" : 'NULL';
	$node->safe_psql('studio', qq{INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql)
		SELECT $step, extversion, '$kind', '$description', \$sql\$$sql\$sql\$, $count
		FROM pg_extension WHERE extname = 'photoflow'});
	return;
}

# The exit code, and every message.
sub migrate
{
	my ($arguments, $before) = @_;
	my ($code, undef, $stderr) = $node->psql('studio', ($before // '') . "CALL photoflow.migrate($arguments)");
	return ($code, $stderr);
}

sub start_migrate
{
	my ($session, $arguments) = @_;
	$session->query_until(qr/migrating/, "\\echo migrating\nCALL photoflow.migrate($arguments);\n");
	return;
}

sub finish_migrate
{
	my ($session) = @_;
	$session->query('SELECT 1');
	return;
}

sub waiting_for
{
	my ($type) = @_;
	return qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL%' AND wait_event_type = '$type'};
}

sub cancel_migrate
{
	query(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND state = 'active'});
	return;
}

sub kill_migrate
{
	my $pid = query(q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND state = 'active'});
	die 'migrate() is not running' unless $pid =~ /^\d+$/;
	kill 'KILL', $pid;
	return;
}
