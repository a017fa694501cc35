# Failure records of 1.2, of every kind there may be, become a queue: beside writers and a worker that polls all the while, over a
# terminate and a kill -9. No record is lost or changed, all that is open can be claimed, and is counted; what was deleted comes back
# to be claimed as well.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use IPC::Run qw(start finish);

use lib $FindBin::Bin;
use Listings;

my $node = PostgreSQL::Test::Cluster->new('failures');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 3;
my $me = "SET photoflow.org_id = '$orgs[0]'; SET photoflow.role = 'photographer'; ";
my ($same, $stateless) = map { "00000000-0000-4000-9000-00000000000$_" } 1 .. 2;    # what has failed more than once
my @new = ('ClaimToken', 'ClaimedBy', 'Fingerprint', 'FinishedAt', 'FirstError', 'LastFailedAt', 'LeaseUntil', 'MaxRetries', 'NextRetryAt', 'Occurrences', 'Payload');
my $columns = q{SELECT attname FROM pg_attribute WHERE attrelid = '"FailureRecords"'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname COLLATE "C"};
my $new_columns = q{ARRAY['} . join(q{', '}, @new) . q{']};
my $functions = q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'photoflow'::regnamespace ORDER BY 1};
my $backfill = q{FROM photoflow.migration_status WHERE kind = 'backfill' AND version = '1.3'};

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE retry LOGIN; ALTER ROLE app SET session_preload_libraries = photoflow;');
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'busy', 'fresh', 'held';
as('studio', 'busy', q{CREATE EXTENSION photoflow VERSION '1.2'; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');});
fill();
my %before = map { split /\|/ } split /\n/, $node->safe_psql('busy', q{SELECT CASE WHEN deleted THEN 'deleted' WHEN status IN (0, 1) THEN 'open' WHEN status > 4 THEN 'unknown' ELSE 'finished' END, count(*) FROM watch.before GROUP BY 1});
ok($before{open} > 300 && $before{finished} > 50000 && $before{deleted} > 20 && $before{unknown} > 2, 'a database of 1.2 with failure records of every kind: ' . join(', ', map { "$before{$_} $_" } sort keys %before));
my @old = split /\n/, $node->safe_psql('busy', $columns);
my @functions = split /\n/, $node->safe_psql('busy', $functions);

# code of 1.3 on tables of 1.2
as_before('busy', 'in 1.2');
as('studio', 'busy', 'ALTER EXTENSION photoflow UPDATE');
as_before('busy', 'with the code of 1.3 on tables of 1.2');
works('busy', 'with the code of 1.3 on tables of 1.2');
my $none = q{'{}'::uuid[]};
my %refused = (record_failure => q{'Album', gen_random_uuid(), 'Raw', 'Stock', 'x'}, claim_failures => q{'w'}, next_failure_due => '', extend_lease => qq{$none, '{}', '1 minute'}, resolve_failures => "$none, '{}'",
	reschedule_failures => "$none, '{}', NULL", snooze_failures => "$none, '{}', now()", abandon_failures => $none, requeue_failures => $none, cancel_failures => $none, recover => 'gen_random_uuid()',
	failure_groups => '', failure_attempts => 'gen_random_uuid()', recount_failures => '', queue_failures => '10', set_failure_policy => q{'Album', '1 s'});
foreach my $function (sort keys %refused)
{
	like(refusal('studio', 'busy', "SET photoflow.org_id = '$orgs[0]'; SELECT photoflow.$function($refused{$function})", 1), qr/^PF040 HINT:  .*migrate/, "migrate first: $function()");
}
is(refusal('studio', 'busy', "$me SELECT photoflow.$_"), 'PF040', "migrate first: $_") foreach q{abandon_failures('f')}, q{requeue_failures('f')}, q{cancel_failures('f')}, q{set_failure_policy('Album')};
# what is not refused: what needs no table, what is a trigger, who is a worker, and what only lists
my %others = map { $_ => 1 } 'retry_delay', 'normalise_error', 'error_fingerprint', 'keep_failure', 'count_failure', 'forget_failures', 'failure_policies_changed', 'grant_worker', 'revoke_worker', 'failure_worker',
	'list_failure_stats', 'list_failure_policies',
	# of 1.4
	'log_operation', 'log_operations', 'track', 'untrack', 'record_changes', 'keep_audit', 'keep_sealed', 'entity_timeline', 'slow_operations', 'failed_operations', 'latency_histogram', 'maintain', 'set_audit_retention', 'seal_partition',
	'verify_partition', 'list_audit_partitions', 'list_refusals', 'counts_refusals';
my %known = map { $_ => 1 } @functions, keys %refused, keys %others;
is(join(' ', grep { !$known{$_} } split /\n/, $node->safe_psql('busy', $functions)), '', 'no function of 1.3 is forgotten here');
is(as('studio', 'busy', q{SELECT (SELECT count(*) FROM photoflow.failure_stats), (SELECT count(*) FROM photoflow.failure_policies), (SELECT count(*) FROM photoflow.check_tenancy())}), '0|1|0', 'lists say that there is nothing yet');
is(as('studio', 'busy', q{SELECT hint FROM photoflow.status() WHERE name = 'pending steps'}), 'CALL photoflow.migrate();', 'and status() what to do');
as('studio', 'busy', q{SELECT photoflow.grant_worker('retry')});
is(refusal('retry', 'busy', q{SELECT photoflow.claim_failures('w')}), 'PF040', 'a worker is one already');
is(changed('busy', 'FULL'), '0|0|0', 'no record has changed');
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE busy OWNER studio") foreach 'killed', 'at_once';

# the tables, beside writers and a poller; ended where the columns are there, and the triggers are not
my %began;
$began{busy} = moment('busy');
my @clients = (start_writers(), start_poller());
at_work();
my $reader = $node->background_psql('busy', on_error_stop => 0);
$reader->query_safe('BEGIN; SELECT FROM "FailureRecords" LIMIT 1');
my $migrating = start_migrate('busy', q{batch_size => 20, lock_timeout => '1 minute'});
waits('busy', 'AccessExclusiveLock');
my $holder = $node->background_psql('busy', on_error_stop => 0);
$holder->query_until(qr/holding/, qq{\\echo holding\nBEGIN; SET application_name = 'holder'; LOCK TABLE "FailureRecords" IN ROW EXCLUSIVE MODE;\n});
waits('busy', 'RowExclusiveLock', q{AND a.application_name = 'holder'});
$reader->query_safe('COMMIT');
$reader->quit;
waits('busy', 'ShareRowExclusiveLock');
$node->safe_psql('busy', 'SELECT pg_terminate_backend(' . migrating('busy') . ')');
$migrating->{run}->finish;
is(steps('busy'), 'ddl done, concurrent_index manual, attach done, attach running, backfill pending, attach pending', 'migrate() is ended before the triggers');
is($node->safe_psql('busy', $columns), join("\n", sort @old, @new), 'the new columns are there');
as_before('busy', 'with the columns of 1.3 and none of its triggers');
works('busy', 'with the columns of 1.3 and none of its triggers');
as('studio', 'busy', q{SELECT photoflow.set_failure_policy('Album', lease => '2 minutes')});
$holder->query_safe('COMMIT');
$holder->quit;
at_work();
like(migrate('busy', 'batch_size => 20'), qr/open failure records get their place in the queue\): done, \d{3,} of \d{3,} rows/, 'the next migrate() goes on');
my $ended = moment('busy');
is(steps('busy'), 'ddl done, concurrent_index manual, attach done, backfill done, attach done', 'and does all but the indexes');
at_work();
like(refusal('retry', 'busy', q{SELECT photoflow.claim_failures('w')}, 1), qr/^PF040 HINT:  .*concurrent_index/, 'without which nothing is claimed');
by_hand('busy');
at_work();
unlike(migrate('busy', ''), qr/by hand|waits/, 'and again, after the indexes');
is(steps('busy'), 'ddl done, concurrent_index done, attach done, backfill done, attach done', 'then everything is done');
at_work();
$node->poll_query_until('busy', 'SELECT count(*) > 60 FROM watch.claimed') or die 'the poller does not go on';
stop_clients(@clients);
is($node->safe_psql('busy', q{SELECT count(DISTINCT kind) FILTER (WHERE NOT late), count(DISTINCT kind) FILTER (WHERE late) FROM watch.written}), '7|8', 'writers did everything, before and after');
# kind 1: resolved, 2: retried, 3: abandoned, 4: deleted, 5: deleted and brought back, 6: for the poller, 7: claimed, with another message, 8: recorded twice
is($node->safe_psql('busy', q{SELECT kind, late, count(*), min(w.id::text) FROM watch.written w LEFT JOIN "FailureRecords" r ON r."Id" = w.id
	WHERE (r."Status" = (ARRAY[2, 0, 3, 0, 0, 2, 1, 0])[kind] AND r."IsDeleted" = (kind = 4) AND r."ErrorMessage" = CASE WHEN kind < 7 THEN 'first' ELSE 'then' END AND r."Occurrences" = 1 + (kind = 8)::int
		AND (r."ClaimToken" = (kind IN (1, 2, 6, 7))::int OR (r."ClaimToken" = 0 AND NOT late AND kind <> 6)) AND (r."Status" = 1) = (r."LeaseUntil" IS NOT NULL)
		AND (r."IsDeleted" OR (r."Status" < 2) = (r."NextRetryAt" IS NOT NULL))) IS NOT TRUE GROUP BY 1, 2 ORDER BY 1, 2}), '', 'and all that they did is there');
is($node->safe_psql('busy', q{SELECT count(*) - (SELECT count(*) FROM watch.written) FROM "FailureRecords" WHERE "EntityType" IN ('Written', 'Polled') AND "Id" NOT IN (SELECT id FROM watch.before)}), 0, 'and nothing else');
is($node->safe_psql('busy', q{SELECT refused > 0 AND other = '' FROM watch.polls}), 't', 'the poller was refused, until it was not');
is($node->safe_psql('busy', q{SELECT count(*), count(DISTINCT c.id), bool_and(c.token = 1 AND c.resolved AND r."Status" = 2 AND r."ClaimToken" = 1 AND r."ClaimedBy" = 'poller') FROM watch.claimed c LEFT JOIN "FailureRecords" r ON r."Id" = c.id}),
	join('|', ($node->safe_psql('busy', q{SELECT count(*) FROM "FailureRecords" WHERE "EntityType" = 'Polled'})) x 2, 't'), 'and then claimed each record once, those of before and those of now');
queued('busy', $ended, 'LEFT');

# kill -9 in the middle of the backfill, and of an index
$began{killed} = moment('killed');
$migrating = start_migrate('killed', q{batch_size => 10, pause => '20 ms'});
$node->poll_query_until('killed', "SELECT rows_done >= 50 $backfill") or die 'the backfill does not go on';
kill_backend('killed', $migrating);
my ($state, $done, $total) = split /\|/, $node->safe_psql('killed', "SELECT state, rows_done, rows_total $backfill");
ok($state eq 'running' && $done >= 50 && $done < $total, "killed: $done of $total records are done");
is($node->safe_psql('killed', 'SELECT count("NextRetryAt") FROM "FailureRecords"'), $done, 'killed: as many are in the queue');
like(migrate('killed', 'batch_size => 70'), qr/open failure records get their place in the queue\): done, $total of $total rows/, 'killed: goes on, and finishes');
$ended = moment('killed');
$holder = $node->background_psql('killed', on_error_stop => 0);
$holder->query_safe('BEGIN; LOCK TABLE "FailureRecords" IN ROW EXCLUSIVE MODE');
my $building = $node->background_psql('killed', on_error_stop => 0, extra_params => ['-U', 'studio']);
$building->query_until(qr/building/, "\\echo building\nSELECT sql FROM photoflow.migration_plan() WHERE kind = 'concurrent_index' AND sql LIKE '%_Due%' \\gexec\n");
$node->poll_query_until('killed', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONC%' AND wait_event_type = 'Lock' AND datname = 'killed'}) or die 'the index never waits';
kill_backend('killed', $building, $holder);
is($node->safe_psql('killed', q{SELECT indisvalid FROM pg_index WHERE indexrelid = '"IX_FailureRecords_Due"'::regclass}), 'f', 'killed: an index is left half-built');
like(migrate('killed', ''), qr/as they become due; .*: to be run by hand/, 'killed: which is not taken for done');
like(refusal('retry', 'killed', q{SELECT photoflow.claim_failures('w')}, 1), qr/^PF040 HINT:  .*concurrent_index/, 'killed: nor for an index');
as('studio', 'killed', 'DROP INDEX "IX_FailureRecords_Due"');
by_hand('killed');
migrate('killed', '');
is(steps('killed'), 'ddl done, concurrent_index done, attach done, backfill done, attach done', 'killed: everything is done');
queued('killed', $ended, 'FULL');

# all at once
$began{at_once} = moment('at_once');
as('studio', 'at_once', 'SELECT photoflow.create_tables()');
is(steps('at_once'), 'ddl done, concurrent_index done, attach done, backfill done, attach done', 'at once: everything is done');
queued('at_once', moment('at_once'), 'FULL');

# a batch whose records somebody finishes meanwhile is not the last one; what an old worker has is his until the lease ends, also when he writes to it before its turn has come
as('studio', 'held', q{CREATE EXTENSION photoflow VERSION '1.2'; SELECT photoflow.create_tables();});
$node->safe_psql('held', qq{INSERT INTO "Organizations" ("Id", "Name") VALUES ('$orgs[0]', 'x');
	INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT '$orgs[0]', gen_random_uuid(), 'Album' FROM generate_series(1, 5);
	INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType", "Status", "LastRetryAt", "ErrorMessage") VALUES ('$orgs[0]', gen_random_uuid(), 'Album', 1, now(), 'failed')});
as('studio', 'held', 'ALTER EXTENSION photoflow UPDATE');
$migrating = start_migrate('held', q{batch_size => 1, pause => '1 hour'});
$node->poll_query_until('held', "SELECT rows_done = 1 $backfill") or die 'the backfill does not begin';
$node->safe_psql('held', 'SELECT pg_terminate_backend(' . migrating('held') . ')');
$migrating->{run}->finish;
$node->safe_psql('held', q{UPDATE "FailureRecords" SET "ErrorMessage" = 'failed, but I am still at it' WHERE "Status" = 1});
$holder = $node->background_psql('held', on_error_stop => 0);
$holder->query_safe(q{BEGIN; UPDATE "FailureRecords" SET "Status" = 2 WHERE "Id" = (SELECT "Id" FROM "FailureRecords" WHERE "NextRetryAt" IS NULL ORDER BY 1 LIMIT 1)});
$migrating = start_migrate('held', q{batch_size => 1, lock_timeout => '1 minute'});
$node->poll_query_until('held', q{SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.query LIKE 'CALL%' AND a.datname = 'held' AND l.locktype = 'transactionid' AND NOT l.granted}) or die 'the backfill does not wait';
$holder->query_safe('COMMIT');
$holder->quit;
$migrating->query('SELECT 1');
$migrating->quit;
is($node->safe_psql('held', q{SELECT count(*), count("NextRetryAt") FROM "FailureRecords" WHERE "Status" = 0}), '4|4', 'held: the backfill does not end before all records have their place');
by_hand('held');
is(as('studio', 'held', q{SELECT count(*), bool_or(claim_token = 1) FROM photoflow.claim_failures('w')}), '4|t', 'held: what was pending is claimable, what an old worker has is not');
is($node->safe_psql('held', q{SELECT "ClaimToken", "LeaseUntil" BETWEEN now() + interval '1 minute' AND now() + interval '5 minutes' FROM "FailureRecords" WHERE "ErrorMessage" LIKE '%still at it'}), '0|t', 'held: until the lease of the policy has ended');

# the same schema in the end
as('studio', 'fresh', q{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app'); SELECT photoflow.grant_worker('retry');});
my %fresh = listings($node, 'fresh');
cmp_ok(scalar(@{$fresh{tables}}), '>', 500, 'the listing is not empty');
foreach my $database ('busy', 'killed', 'at_once')
{
	is(as('studio', $database, q{SELECT string_agg(c::text, E'\n') FROM photoflow.check_tenancy() c}), '', "$database: check_tenancy() finds nothing");
	is(as('studio', $database, q{SELECT string_agg(s::text, E'\n') FROM photoflow.status() s WHERE name IN ('version', 'pending steps', 'triggers attached', 'triggers see every change', 'row-level security', 'tenancy') AND NOT ok}), '', "$database: nor status()");
	recovers($database);
	obeys($database);
	$node->safe_psql($database, 'SET client_min_messages = warning; DROP SCHEMA watch CASCADE');
	as('studio', $database, q{SELECT photoflow.grant_app('app')});    # of the new tables it gives nothing, which is noted in them all the same
	my %listing = listings($node, $database);
	is(join("\n", difference($fresh{$_}, $listing{$_})), '', "$database: upgraded and fresh are the same by their $_") foreach sort keys %fresh;
}

$node->stop;
done_testing();

sub as
{
	my ($user, $database, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => ['-U', $user]);
}

# The SQLSTATE that a statement is refused with; and the hint, when asked for.
sub refusal
{
	my ($user, $database, $sql, $hint) = @_;
	my (undef, undef, $stderr) = $node->psql($database, "\\set VERBOSITY verbose\n$sql", extra_params => ['-U', $user]);
	my ($state) = $stderr =~ /ERROR:  (\w{5})/ or return "none ($stderr)";
	return $state if !$hint;
	my ($said) = $stderr =~ /^(HINT: .*)$/m;
	return $state . ' ' . ($said // 'no hint');
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

sub migrating
{
	my ($database) = @_;
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND datname = '$database'");
	die 'migrate() is not running' unless $pid =~ /^\d+$/;
	return $pid;
}

# Waits until somebody waits for a lock on the records.
sub waits
{
	my ($database, $mode, $more) = @_;
	$node->poll_query_until($database, qq{SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = '"FailureRecords"'::regclass AND l.mode = '$mode' AND NOT l.granted } . ($more // ''))
	  or die "nobody waits for $mode";
	return;
}

# kill -9 for the first of these sessions, which takes the others with it.
sub kill_backend
{
	my ($database, @sessions) = @_;
	kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE (query LIKE 'CALL%' OR query LIKE '%CREATE INDEX CONC%') AND datname = '$database' AND state = 'active'");
	foreach my $session (@sessions)
	{
		$session->{run}->kill_kill if $session != $sessions[0];
		$session->{run}->finish;
	}
	$node->poll_query_until($database, 'SELECT true') or die 'the server does not come back';
	return;
}

# The states of the steps of 1.3, in their order.
sub steps
{
	my ($database) = @_;
	my @steps = split /\n/, as('studio', $database, q{SELECT kind || ' ' || state FROM photoflow.migration_status WHERE version = '1.3' ORDER BY step});
	return join ', ', map { $steps[$_] } grep { $_ == 0 || $steps[$_] ne $steps[ $_ - 1 ] } 0 .. $#steps;
}

# Does what migrate() leaves to be done by hand, as README says.
sub by_hand
{
	my ($database) = @_;
	my ($code, $stdout, $stderr) = $node->psql($database, "\\set ON_ERROR_STOP 1\nSELECT sql FROM photoflow.migration_plan() WHERE kind = 'concurrent_index' \\gexec\n", extra_params => ['-U', 'studio']);
	is("$code $stderr", '0 ', "$database: the indexes are made by hand");
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_index WHERE indrelid = '"FailureRecords"'::regclass AND indisvalid AND indexrelid::regclass::text IN
		('"IX_FailureRecords_Due"', '"IX_FailureRecords_OrgId_NextRetryAt"', '"IX_FailureRecords_OrgId_Fingerprint_LastFailedAt"')}), 3, "$database: three of them");
	return;
}

sub moment
{
	my ($database) = @_;
	return $node->safe_psql($database, 'SELECT clock_timestamp()');
}

# An application at work, by functions and by statements of its own, in a transaction that is taken back.
sub works
{
	my ($database, $name) = @_;
	my $album = q{(SELECT "Id" FROM "Albums" WHERE "Name" = 'works')};
	is(as('app', $database, qq{$me BEGIN;
		INSERT INTO "Albums" ("Name") VALUES ('works') RETURNING "AlbumState";
		SELECT from_state, to_state FROM photoflow.fire($album, 'SyncRawTag');
		SELECT inserted, total FROM photoflow.sync_photos((SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = $album), '[{"id": "1", "name": "a.jpg", "mimeType": "image/jpeg"}]', 1, true);
		UPDATE "Albums" SET "AlbumState" = 2 WHERE "Name" = 'works' RETURNING "AlbumState";
		WITH d AS (DELETE FROM "Albums" WHERE "Name" = 'works' RETURNING "IsDeleted") SELECT count(*) FROM d;
		SELECT string_agg(table_name || restored_rows, ',' ORDER BY table_name) FROM photoflow.restore((SELECT "DeletionId" FROM "Albums" WHERE "Name" = 'works'));
		ROLLBACK;}), "0\nInit|Raw\n1|1\n2\n1\nAlbumTags2,Albums1,PhotoProcs1", "the application works $name");
	return;
}

# What an application may do to failure records in 1.2: all of it would be refused, or be something else, with the triggers of 1.3.
sub as_before
{
	my ($database, $name) = @_;
	my $mine = q{"FailureRecords" WHERE "EntityType" = 'mine'};
	is(as('app', $database, qq{$me BEGIN; SELECT photoflow.current_org();
		INSERT INTO "FailureRecords" ("EntityId", "EntityType", "Status", "RetryCount", "LastRetryAt", "ErrorMessage") SELECT '$same', 'mine', s, 3, now(), 'x' FROM unnest(ARRAY[0, 1, 2, 3, 4, 9]) s;
		SELECT count(*), sum("Status"), sum("RetryCount"), count(DISTINCT "OrgId") FROM $mine;
		UPDATE "FailureRecords" SET "Status" = (13 - "Status") % 10, "RetryCount" = "RetryCount" + "Status", "LastRetryAt" = NULL, "ErrorMessage" = 'y' WHERE "EntityType" = 'mine';
		SELECT string_agg("Status" || ' ' || "RetryCount", ',' ORDER BY "Status"), count("LastRetryAt") FROM $mine;
		MERGE INTO "FailureRecords" f USING (SELECT 1) s ON f."EntityType" = 'mine' AND f."Status" = 1 WHEN MATCHED THEN UPDATE SET "Status" = 2, "ModifiedAt" = now();
		DELETE FROM "FailureRecords" WHERE "EntityType" = 'mine' AND "Status" = 2;
		SELECT "IsDeleted", count(*) FROM $mine GROUP BY 1 ORDER BY 1;
		UPDATE "FailureRecords" SET "IsDeleted" = false WHERE "EntityType" = 'mine' AND "IsDeleted";
		SELECT bool_or("IsDeleted") FROM $mine;
		ROLLBACK;}), "$orgs[0]\n6|19|18|1\n0 6,1 5,2 4,3 3,4 12,9 7|0\nf|4\nt|2\nf", "failure records are what they were $name");
	return;
}

# And may not do afterwards.
sub obeys
{
	my ($database) = @_;
	my $record = q{(SELECT "Id" FROM "FailureRecords" WHERE "Status" = 2 LIMIT 1)};
	is(refusal('app', $database, qq{$me INSERT INTO "FailureRecords" ("EntityId", "EntityType", "Status") VALUES (gen_random_uuid(), 'x', $_)}), 'PF006', "$database: a record does not begin in status $_") foreach 1, 2, 9;
	is(refusal('app', $database, qq{$me UPDATE "FailureRecords" SET "Status" = 0 WHERE "Id" = $record}), 'PF006', "$database: what is resolved stays so");
	is(refusal('app', $database, qq{$me UPDATE "FailureRecords" SET "RetryCount" = "RetryCount" + 1 WHERE "Id" = $record}), '27000', "$database: retries are the database's to count");
	return;
}

# The records of before that are lost, that have changed but for the new columns and "ModifiedAt", and of which "ModifiedAt" has; those
# that the poller has taken but for what a claim writes.
sub changed
{
	my ($database, $join, $transaction) = @_;
	return $node->safe_psql($database, ($transaction // '') . qq{SELECT count(*) FILTER (WHERE r."Id" IS NULL OR b.id IS NULL), count(*) FILTER (WHERE to_jsonb(r) - $new_columns - 'ModifiedAt'::text - CASE WHEN r."EntityType" = 'Polled' THEN ARRAY['Status', 'RetryCount', 'LastRetryAt'] ELSE '{}' END
			<> b.content - 'ModifiedAt'::text - CASE WHEN r."EntityType" = 'Polled' THEN ARRAY['Status', 'RetryCount', 'LastRetryAt'] ELSE '{}' END),
		count(*) FILTER (WHERE r."EntityType" <> 'Polled' AND r."ModifiedAt" <> (b.content->>'ModifiedAt')::timestamptz)
		FROM watch.before b $join JOIN "FailureRecords" r ON r."Id" = b.id});
}

# Where failure_stats is not what a count of the records says.
sub miscounted
{
	my ($database, $transaction) = @_;
	return $node->safe_psql($database, ($transaction // '') . q{SELECT count(*) FROM photoflow.failure_stats s FULL JOIN (SELECT "OrgId" AS org_id, coalesce((ARRAY['pending', 'in progress', 'resolved', 'abandoned', 'cancelled'])["Status" + 1], "Status"::text) AS status,
			coalesce((ARRAY['low', 'medium', 'high', 'critical'])["Severity" + 1], "Severity"::text) AS severity, count(*) AS n FROM "FailureRecords" WHERE NOT "IsDeleted" GROUP BY 1, 2, 3) c USING (org_id, status, severity)
		WHERE s.records IS DISTINCT FROM c.n});
}

# Nothing is lost or changed, and what is open is in the queue, as what it was; what is not is not.
sub queued
{
	my ($database, $until, $join) = @_;
	my $past = 'BEGIN; SET LOCAL session_replication_role = replica; UPDATE "FailureRecords" SET';
	my $one = qq{WHERE "Id" = (SELECT id FROM watch.before WHERE status = 2 AND NOT deleted LIMIT 1);};
	my ($lost, $changed, $touched) = split /\|/, changed($database, $join);
	is("$lost|$changed", '0|0', "$database: no record is lost or changed");
	is($touched, 0, "$database: nor has any been modified");
	is(changed($database, $join, qq{$past "ErrorMessage" = 'other' $one}) =~ s/^(\d+\|\d+).*/$1/r, '0|1', "$database: control: it would be seen") if $database eq 'at_once';
	my $polled = $database eq 'busy' ? q{AND r."EntityType" <> 'Polled'} : '';
	is($node->safe_psql($database, qq{SELECT b.status, b.deleted, count(*), min(b.id::text) FROM watch.before b JOIN "FailureRecords" r ON r."Id" = b.id WHERE (r."ClaimToken" = 0 AND r."Occurrences" = 1
			AND num_nonnulls(r."ClaimedBy", r."FinishedAt", r."MaxRetries", r."Payload", r."FirstError") = 0 AND CASE WHEN b.status IN (0, 1) AND NOT b.deleted THEN
			r."NextRetryAt" BETWEEN '$began{$database}' AND '$until' AND r."LastFailedAt" = (b.content->>'ModifiedAt')::timestamptz
			AND r."Fingerprint" IS NOT DISTINCT FROM photoflow.error_fingerprint(b.content->>'ErrorMessage') AND CASE WHEN b.status = 0 THEN r."LeaseUntil" IS NULL
				ELSE r."LeaseUntil" - watch.lease('$database', r."EntityType") BETWEEN '$began{$database}' AND '$until' END
		ELSE num_nonnulls(r."NextRetryAt", r."LeaseUntil") = 0 END) IS NOT TRUE $polled GROUP BY 1, 2}), '', "$database: what is open is in the queue, at once or when the lease of the policy has ended");
	is(miscounted($database), 0, "$database: failure_stats is what a count of the records says");
	is(miscounted($database, qq{$past "Status" = 3 $one}), 2, "$database: control: or it would be seen") if $database eq 'at_once';
	is($node->safe_psql($database, q{SELECT sum(records) FROM photoflow.failure_stats}), $node->safe_psql($database, q{SELECT count(*) FROM "FailureRecords" WHERE NOT "IsDeleted"}), "$database: and of all of them");
	return;
}

# Claims what there is, as a worker; the records of before that were claimed and should not have been, or should and were not.
sub claims
{
	my ($database, $should, $name) = @_;
	as('retry', $database, q{INSERT INTO watch.got SELECT id, claim_token, retry_count, length(error_message), org_id FROM photoflow.claim_failures('worker', 200000)});
	is($node->safe_psql($database, qq{SELECT count(*), min(b.id::text) FROM (SELECT * FROM watch.before WHERE (content->>'EntityType' <> 'Polled' OR '$database' <> 'busy') AND $should) b FULL JOIN (SELECT g.* FROM watch.got g JOIN watch.before ON id = got WHERE NOT done) g ON g.got = b.id
		WHERE (b.id = g.got AND g.org = (b.content->>'OrgId')::uuid AND g.letters IS NOT DISTINCT FROM (SELECT length("ErrorMessage") FROM "FailureRecords" WHERE "Id" = got)) IS NOT TRUE}), '0|', "$database: $name");
	my $claimed = $node->safe_psql($database, 'SELECT count(*) FROM watch.got WHERE NOT done');
	is(as('retry', $database, q{SELECT count(*) FROM photoflow.resolve_failures(array(SELECT got FROM watch.got WHERE NOT done ORDER BY 1), array(SELECT token FROM watch.got WHERE NOT done ORDER BY got)) WHERE ok}), $claimed, "$database: and can be resolved");
	$node->safe_psql($database, 'UPDATE watch.got SET done = true');
	cmp_ok($claimed, '>', 5, "$database: $claimed of them");
	return;
}

# All that is open can be claimed, in its turn, and nothing else can.
sub recovers
{
	my ($database) = @_;
	$node->safe_psql($database, q{CREATE TABLE watch.got (got uuid, token bigint, retries int, letters int, org uuid, done boolean NOT NULL DEFAULT false); GRANT SELECT, INSERT ON watch.got TO retry; GRANT USAGE ON SCHEMA watch TO retry;});

	# a failure of which there are many records by now is recorded in one of them
	foreach my $failure ([$same, q{'Raw', 'Stock'}, $orgs[0]], [$stateless, 'NULL, NULL', $orgs[1]])
	{
		my ($entity, $states, $org) = @$failure;
		my $id = as('retry', $database, "SELECT photoflow.record_failure('Album', '$entity', $states, 'once more', org_id => '$org')");
		is($node->safe_psql($database, qq{SELECT count(*), max("Occurrences"), sum("Occurrences") - count(*), bool_or("Id" = '$id' AND "Occurrences" = 2 AND "Id" IN (SELECT id FROM watch.before)) FROM "FailureRecords" WHERE "EntityId" = '$entity' AND "EntityType" = 'Album'}),
			$node->safe_psql($database, "SELECT count(*) FROM watch.before WHERE content->>'EntityId' = '$entity'") . '|2|1|t', "$database: an open failure is bumped: $states");
	}

	my $left = q{(content->>'RetryCount')::int < 10};
	claims($database, qq{status = 0 AND NOT deleted AND $left}, 'what was pending is claimable at once');
	is($node->safe_psql($database, q{SELECT count(*) FROM watch.got JOIN watch.before ON id = got WHERE token = 1 AND retries = (content->>'RetryCount')::int + 1 AND letters >= 1000000}), 1, "$database: with its message, however long");
	is($node->safe_psql($database, qq{SELECT count(*) > 0, bool_and(r."Status" = 3 AND r."FinishedAt" IS NOT NULL AND r."RetryCount" = (content->>'RetryCount')::int) FROM watch.before JOIN "FailureRecords" r ON r."Id" = id WHERE status = 0 AND NOT deleted AND NOT $left}), 't|t', "$database: unless its retries were used up: it is abandoned");
	# in the busy one, writers have had retries put off as well
	is(as('retry', $database, q{SELECT photoflow.next_failure_due() BETWEEN '} . ($database eq 'busy' ? 0 : 30) . q{ seconds' AND '5 minutes 30 seconds'}), 't', "$database: the next ones come with the end of the leases");
	# past the triggers, of which sessions that are here would hear late: see README
	$node->safe_psql($database, q{SET session_replication_role = replica; UPDATE "FailureRecords" SET "LeaseUntil" = "LeaseUntil" - interval '5 minutes 30 seconds' WHERE "Status" = 1 AND "ClaimToken" = 0});
	claims($database, qq{status = 1 AND NOT deleted AND $left}, 'what was in progress is, when its lease has ended');
	is($node->safe_psql($database, q{SELECT count(*), bool_and("Attempt" = 0 AND "Outcome" = 'expired' AND "Worker" IS NULL AND "StartedAt" IS NOT DISTINCT FROM (content->>'LastRetryAt')::timestamptz) FROM "FailureAttempts" JOIN watch.before ON id = "FailureId"}),
		$node->safe_psql($database, 'SELECT count(*) FROM watch.before WHERE status = 1 AND NOT deleted') . '|t', "$database: the attempts of old workers are in the history");

	# what was deleted comes back; what was given up is given another chance
	is($node->safe_psql($database, q{SELECT sum((SELECT sum(restored_rows) FROM photoflow.restore(d))) FROM (SELECT DISTINCT "DeletionId" FROM "FailureRecords" WHERE "DeletionId" IS NOT NULL AND "Id" IN (SELECT id FROM watch.before)) x (d)}), $before{deleted}, "$database: what was deleted comes back");
	is(changed_restored($database), 0, "$database: as it was");
	$node->safe_psql($database, q{SET session_replication_role = replica; UPDATE "FailureRecords" SET "LeaseUntil" = "LeaseUntil" - interval '5 minutes 30 seconds' WHERE "Status" = 1 AND "ClaimToken" = 0});
	claims($database, qq{status IN (0, 1) AND deleted AND $left}, 'and what was open of it can be claimed');
	my $again = qq{((status IN (0, 1) AND NOT $left) OR status IN (3, 4)) AND content->>'EntityType' <> 'Old'};
	is(as('retry', $database, 'SELECT photoflow.requeue_failures(ARRAY[' . join(',', map { "'$_'::uuid" } split /\n/, $node->safe_psql($database, "SELECT id FROM watch.before WHERE $again")) . '])'),
		$node->safe_psql($database, "SELECT count(*) FROM watch.before WHERE $again"), "$database: what was given up can be requeued");
	claims($database, $again, 'and is claimable with all its retries');
	is($node->safe_psql($database, q{SELECT string_agg(DISTINCT "Status"::text, ','), count(*) - (SELECT count(*) FROM watch.before WHERE status = 9) FROM "FailureRecords" JOIN watch.before ON id = "Id" WHERE "Status" NOT IN (2, 3, 4)}), '9|0', "$database: no record of before is left, but those of a status that is none");
	is($node->safe_psql($database, q{SELECT status, deleted, count(*), min(id::text) FROM watch.before JOIN watch.got ON id = got JOIN "FailureRecords" r ON r."Id" = id
		WHERE r."LastFailedAt" IS NULL OR r."Fingerprint" IS DISTINCT FROM photoflow.error_fingerprint(r."ErrorMessage") GROUP BY 1, 2 ORDER BY 1, 2}), '', "$database: what was open at any time can be found by its error");
	is(miscounted($database), 0, "$database: failure_stats is still right");
	return;
}

# Restored records that are not what they were when they were deleted.
sub changed_restored
{
	my ($database) = @_;
	my $marks = q{ARRAY['IsDeleted', 'DeletionId', 'DeletedAt', 'DeletedBy']};
	return $node->safe_psql($database, qq{SELECT count(*) FROM watch.before JOIN "FailureRecords" r ON r."Id" = id WHERE deleted AND (r."IsDeleted" OR r."DeletionId" IS NOT NULL OR to_jsonb(r) - $new_columns - $marks IS DISTINCT FROM content - $marks)});
}

# Records in every status and of every severity, of three organizations; many of one failure; without states; without a message, with
# an empty one and with one of 1 MB; numbers that are none; retries used up; deleted ones; finished ones.
sub fill
{
	my $add = q{INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType", "FromState", "ToState", "ErrorMessage", "Severity", "RetryCount", "LastRetryAt", "Status", "CreatedAt", "ModifiedAt")};
	my $at = q{'2025-06-01 12:34:56.789+00'::timestamptz + row_number() OVER () * interval '1 minute'};
	my $tried = q{CASE WHEN n % 2 = 0 THEN '2025-05-01'::timestamptz + n * interval '1 hour' END};
	$node->safe_psql('busy', qq{
		INSERT INTO "Organizations" ("Id", "Name") SELECT o, o::text FROM unnest('{@{[join ',', @orgs]}}'::uuid[]) o;
		$add SELECT "Id", gen_random_uuid(), (ARRAY['Album', 'AlbumTag', 'PhotoProc'])[n % 3 + 1], 'Raw', 'Stock', CASE n WHEN 11 THEN '' WHEN 12 THEN NULL ELSE format('timed out after %s s: cannot open "/a/%s.jpg"', n, n) END,
			severity, n % 10, $tried, status, '2025-01-01', $at FROM "Organizations", generate_series(0, 4) status, generate_series(0, 3) severity, generate_series(1, 12) n;
		$add SELECT '$orgs[0]', '$same', 'Album', 'Raw', 'Stock', 'same', 1, 0, $tried, n % 2, '2025-01-01', $at FROM generate_series(1, 7) n;
		$add SELECT '$orgs[1]', '$stateless', 'Album', CASE WHEN n = 5 THEN 'Raw' END, CASE WHEN n = 4 THEN 'Stock' END, 'stateless', 1, 0, NULL, 0, '2025-01-01', $at FROM generate_series(1, 5) n;
		$add SELECT '$orgs[2]', gen_random_uuid(), 'Album', 'Raw', 'Stock', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 32768) i), 1, 0, $tried, n - 1, '2025-01-01', $at FROM generate_series(1, 3) n;
		$add SELECT "Id", gen_random_uuid(), 'Album', 'Raw', 'Stock', 'no status', severity, 0, NULL, 9, '2025-01-01', $at FROM "Organizations", unnest(ARRAY[1, 9]) severity;
		$add SELECT "Id", gen_random_uuid(), 'Album', 'Raw', 'Stock', 'no severity', severity, 0, NULL, status, '2025-01-01', $at FROM "Organizations", unnest(ARRAY[-1, 9]) severity, generate_series(0, 4) status;
		$add SELECT "Id", gen_random_uuid(), 'AlbumTag', 'Raw', 'Stock', 'used up', 1, retries, '2025-05-01', status, '2025-01-01', $at FROM "Organizations", unnest(ARRAY[10, 1000000]) retries, unnest(ARRAY[0, 1]) status;
		$add SELECT "Id", gen_random_uuid(), 'Gone', 'Raw', 'Stock', 'deleted', 1, 2, $tried, status, '2025-01-01', $at FROM "Organizations", unnest(ARRAY[0, 1, 2, 3, 4, 9]) status, generate_series(1, 2) n;
		$add SELECT "Id", gen_random_uuid(), 'Polled', 'Raw', 'Stock', 'first', 1, 0, NULL, 0, '2025-01-01', $at FROM "Organizations", generate_series(1, 20);
		$add SELECT "Id", gen_random_uuid(), 'Old', 'Raw', 'Stock', 'old', n % 4, 3, '2025-05-01', 2 + n % 3, '2025-01-01', '2025-06-01' FROM "Organizations", generate_series(1, 16700) n;
		CREATE SCHEMA watch; GRANT USAGE ON SCHEMA watch TO app, retry;
		CREATE FUNCTION watch.lease(database text, entity_type text) RETURNS interval LANGUAGE sql AS \$\$ SELECT CASE WHEN database = 'busy' AND entity_type = 'Album' THEN interval '2 minutes' ELSE '5 minutes' END \$\$;});
	as('app', 'busy', qq{SET photoflow.org_id = '$_'; SELECT photoflow.soft_delete('"FailureRecords"', array(SELECT "Id" FROM "FailureRecords" WHERE "EntityType" = 'Gone'), 'done with')}) foreach @orgs;
	$node->safe_psql('busy', q{CREATE TABLE watch.before AS SELECT "Id" AS id, "Status" AS status, "IsDeleted" AS deleted, to_jsonb(r) AS content FROM "FailureRecords" r; ALTER TABLE watch.before ADD PRIMARY KEY (id); ANALYZE;});
	return;
}

# Clients of one organization each; they note what they were told is committed, and whether the triggers were there when they began.
sub start_writers
{
	$node->safe_psql('busy', q{CREATE TABLE watch.stop (who text); CREATE TABLE watch.written (kind int, id uuid, late boolean);
		GRANT SELECT ON watch.stop TO app, retry; GRANT INSERT ON watch.written TO app;});
	my $begin = q{BEGIN; SELECT photoflow.set_context(('00000000-0000-4000-8000-00000000000' || :n::text)::uuid, NULL, 'photographer')} . ";\n";
	my $update = sub { my ($set) = @_; return qq{${begin}UPDATE "FailureRecords" SET $set WHERE "Id" = :id;\nCOMMIT;\n} };
	append_to_file("$dir/writers.sql", q{\set n :client_id + 1
\set kind random(1, 8)
SELECT count(*) AS stop FROM watch.stop WHERE who = 'writers' \gset
SELECT count(*) AS late FROM pg_trigger WHERE tgname = 'zz_PhotoflowFailureKeep' \gset
\if :stop < 1 and (:kind < 8 or :late > 0)
\sleep 5 ms
} . qq{\\if :kind = 8
SELECT gen_random_uuid() AS entity \\gset
${begin}SELECT photoflow.record_failure('Written', :entity::uuid, 'Raw', 'Stock', 'first') AS id \\gset
COMMIT;
${begin}SELECT photoflow.record_failure('Written', :entity::uuid, 'Raw', 'Stock', 'then') AS id \\gset
COMMIT;
\\else
${begin}INSERT INTO "FailureRecords" ("EntityId", "EntityType", "FromState", "ErrorMessage") VALUES (gen_random_uuid(), CASE :kind::int WHEN 6 THEN 'Polled' ELSE 'Written' END, 'Raw', 'first') RETURNING "Id" AS id \\gset
COMMIT;
\\endif
\\if :kind <= 2 or :kind = 7
} . $update->('"Status" = 1') . qq{\\endif
\\if :kind <= 3
} . $update->('"Status" = CASE :kind::int WHEN 1 THEN 2 WHEN 2 THEN 0 ELSE 3 END') . qq{\\elif :kind <= 5
${begin}DELETE FROM "FailureRecords" WHERE "Id" = :id;
COMMIT;
\\elif :kind = 7
} . $update->(q{"ErrorMessage" = 'then'}) . qq{\\endif
\\if :kind = 5
} . $update->('"IsDeleted" = false') . q{\endif
INSERT INTO watch.written VALUES (:kind, :id, :late::int > 0);
\endif
});
	return start_clients('app', 3, 5000, "$dir/writers.sql");
}

# A worker that asks for records all the time, from before there is a queue, in one session.
sub start_poller
{
	$node->safe_psql('busy', q{CREATE TABLE watch.claimed (id uuid, token bigint, resolved boolean); CREATE TABLE watch.polls (refused int, other text); INSERT INTO watch.polls VALUES (0, '');
		GRANT SELECT, INSERT, UPDATE ON watch.claimed, watch.polls TO retry;
		CREATE FUNCTION watch.poll() RETURNS void LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO watch.claimed SELECT c.id, c.claim_token, r.ok FROM photoflow.claim_failures('poller', 7, entity_types => ARRAY['Polled']) c CROSS JOIN LATERAL photoflow.resolve_failures(ARRAY[c.id], ARRAY[c.claim_token]) r;
		EXCEPTION WHEN SQLSTATE 'PF040' THEN UPDATE watch.polls SET refused = refused + 1;
			WHEN OTHERS THEN UPDATE watch.polls SET other = other || SQLSTATE || ' ' || SQLERRM || E'\n';
		END $$;});
	append_to_file("$dir/poller.sql", q{SELECT count(*) AS stop FROM watch.stop WHERE who = 'poller' \gset
\if :stop < 1
SELECT watch.poll();
\sleep 20 ms
\endif
});
	return start_clients('retry', 1, 5000, "$dir/poller.sql");
}

sub start_clients
{
	my ($user, $count, $transactions, $file) = @_;
	my %clients = (said => '', complained => '', transactions => $count * $transactions);
	$clients{run} = start(['pgbench', '-n', '-M', 'prepared', '-c', $count, '-t', $transactions, '-f', $file, '-h', $node->host, '-p', $node->port, '-U', $user, 'busy'], '>', \$clients{said}, '2>', \$clients{complained});
	return \%clients;
}

# Waits until the writers have written some more.
sub at_work
{
	my $count = $node->safe_psql('busy', 'SELECT count(*) FROM watch.written');
	$node->poll_query_until('busy', "SELECT count(*) > $count + 50 FROM watch.written") or die 'the writers do not go on';
	return;
}

# The poller goes on until nothing is left for it.
sub stop_clients
{
	my ($writers, $poller) = @_;
	$node->safe_psql('busy', q{INSERT INTO watch.stop VALUES ('writers')});
	$writers->{run}->finish;
	$node->poll_query_until('busy', q{SELECT count(*) = 0 FROM "FailureRecords" WHERE "EntityType" = 'Polled' AND "Status" <> 2}) or diag('the poller leaves some');
	$node->safe_psql('busy', q{INSERT INTO watch.stop VALUES ('poller')});
	$poller->{run}->finish;
	is($_->{complained}, '', 'no client has anything to complain of') foreach $writers, $poller;
	like($_->{said}, qr{number of transactions actually processed: $_->{transactions}/$_->{transactions}\nnumber of failed transactions: 0 }, 'nor was one the victim of a deadlock') foreach $writers, $poller;
	return;
}
