# Failure records among all that is around them: an application whose rollback failed, a worker that may do this and nothing else,
# another organization, a clock that is set wrong and right again, a dump with open claims, and pgbouncer in transaction mode.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IPC::Run qw(start run);

my %org = (sen => '00000000-0000-4000-8000-000000000001', minh => '00000000-0000-4000-8000-000000000002');
my $unknown = '00000000-0000-4000-8000-999999999999';
my (%kept, $port, $socket, $bouncer);
my %as = map { $_ => "SET photoflow.org_id = '$org{$_}'; SET photoflow.role = 'photographer'; " } keys %org;

my $node = PostgreSQL::Test::Cluster->new('world');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "session_preload_libraries = 'photoflow'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE retry LOGIN; CREATE ROLE desk LOGIN; CREATE ROLE guest LOGIN; CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;
	CREATE DATABASE studio OWNER studio;');
as('studio', q{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app'); SELECT photoflow.grant_app('desk'); SELECT photoflow.grant_worker('retry'); SELECT photoflow.grant_worker('desk');});
foreach my $who (sort keys %org)
{
	as('studio', qq{$as{$who} INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org{$who}', '$who'); INSERT INTO "Albums" ("Id", "Name") VALUES } . join ', ', map { "('" . album($who, $_) . "', '$_')" } 1 .. 9);
}

a_rollback_that_fails();
a_worker_sees_nothing_else();
another_organization();
a_clock_that_steps();
a_dump_with_open_claims();
one_connection_for_all();

$node->stop;
done_testing();

# The application moves an album, has to take it back, and cannot; what is recorded in that transaction goes with it. A worker
# does what the application could not.
sub a_rollback_that_fails
{
	my ($album, $moved, $back) = map { album('sen', $_) } 1, 2, 3;
	foreach my $id ($album, $moved, $back)
	{
		as('app', qq{$as{sen} SELECT photoflow.fire('$id', 'SyncRawTag'); UPDATE "AlbumTags" SET "Status" = 2 WHERE "AlbumId" = '$id'; SELECT photoflow.fire('$id', 'SyncStockTag')});
	}
	as('studio', q{CREATE FUNCTION storage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'storage timed out' USING ERRCODE = '58030'; END $$;
		CREATE TRIGGER storage AFTER UPDATE OF "AlbumState" ON "Albums" FOR EACH ROW WHEN (NEW."AlbumState" < OLD."AlbumState") EXECUTE FUNCTION storage();});
	my $ear = session('retry');
	ask($ear, 'LISTEN photoflow_failures');

	my $app = session('app');
	my $begin = "BEGIN; SELECT photoflow.set_context('$org{sen}', role => 'photographer')";
	my $record = "SELECT photoflow.record_failure('Album', '$album', 'Raw', 'Stock', 'storage timed out', 'high')";
	ask($app, $begin);
	is(ask($app, "SELECT to_state FROM photoflow.rollback_transition('$album')"), '58030', 'an album cannot be taken back');
	is(ask($app, $record), '25P02', 'nor can that be recorded where it failed');
	ask($app, "ROLLBACK; $begin; SAVEPOINT s");
	like(ask($app, $record), qr/^[0-9a-f-]{36}$/, 'what is recorded and rolled back');
	ask($app, 'ROLLBACK TO s; COMMIT');
	is(heard($ear), 0, 'wakes nobody');
	is(ask($app, "$begin; SELECT count(*) FROM \"FailureRecords\"; COMMIT") =~ s/^\n//r, 0, 'and is gone');
	my $id = ask($app, "$begin; $record") =~ s/^\n//r;
	ask($app, 'ROLLBACK') if $id !~ /^[0-9a-f-]{36}$/;
	is(heard($ear), 0, 'nobody is woken before it is committed');
	ask($app, 'COMMIT');
	is(heard($ear), 1, 'a record in a transaction of its own wakes who listens, once');
	ask($app, "$begin; " . join('; ', map { "SELECT photoflow.record_failure('Album', '$_', 'Raw', 'Stock', 'storage timed out')" } $moved, $back) . '; COMMIT');
	is(heard($ear), 1, 'two in one transaction do so once, too');
	is(ask($app, "SET photoflow.events = off; $begin; SELECT photoflow.record_failure('x', '$unknown', 'a', 'b', 'e'); COMMIT; RESET photoflow.events") =~ s/^\n//r =~ /^[0-9a-f-]{36}$/, 1, 'events are off');
	is(heard($ear), 0, 'and then it wakes nobody');
	as('studio', qq{SELECT photoflow.cancel_failures(array(SELECT c.id FROM photoflow.claim_failures('tidy', entity_types => ARRAY['x']) c))});
	is(heard($ear), 0, 'nor does a claim, or a record that is finished');

	# the worker
	my $worker = session('retry');
	is(ask($worker, q{SELECT id, claim_token, entity_id, from_state, to_state, severity, retry_count, org_id FROM photoflow.claim_failures('w', 1, fair => false)}), "$id|1|$album|Raw|Stock|high|1|$org{sen}", 'a worker claims it');
	is(ask($worker, "SELECT photoflow.recover('$id')"), '58030', 'while the reason lasts, recover() fails');
	is(state($album), 'Stock', 'the album is where it was');
	is(record($id, '"Status", "ClaimToken", "RetryCount"'), '1|1|1', 'and so is the record');
	is(ask($worker, "SELECT ok, status, why_not FROM photoflow.reschedule_failures(ARRAY['$id'::uuid], ARRAY[1], ARRAY['storage timed out again'], '0')"), 't|pending|', 'the worker tries again later');
	is(heard($ear), 1, 'which is at once, so that others are woken');
	as('studio', 'DROP TRIGGER storage ON "Albums"; DROP FUNCTION storage()');
	as('app', qq{$as{sen} SELECT photoflow.rollback_transition('$back')});
	as('app', qq{$as{sen} SELECT photoflow.fire('$moved', 'SyncStockTag')});
	my %claimed = map { split /=/ } split /\n/, ask($worker, q{SELECT entity_id || '=' || id FROM photoflow.claim_failures('w')});
	is(join(',', sort keys %claimed), join(',', sort $album, $moved, $back), 'all three are claimed');
	is(ask($worker, "BEGIN; SELECT photoflow.recover('$claimed{$album}'); SELECT photoflow.current_org(), photoflow.current_role_name(), current_user, current_setting('search_path'); COMMIT"), qq{recovered\n||retry|"\$user", public}, 'then recover() takes the album back, and leaves nothing of its context');
	is(state($album), 'Raw', 'to where it was');
	is(as('app', "$as{sen} SELECT string_agg(coalesce(trigger, '-') || ':' || to_state || CASE WHEN compensates IS NULL THEN '' ELSE '*' END, ' ' ORDER BY transition_id) FROM photoflow.album_history('$album')") =~ s/\w+:Raw\*$/:Raw*/r, 'SyncRawTag:Raw SyncStockTag:Stock :Raw*', 'as its history says');
	is(record($id, '"Status", "FinishedAt" IS NOT NULL, "FirstError", "ErrorMessage"'), '2|t|storage timed out|storage timed out again', 'and resolves the record');
	is(ask($worker, "SELECT string_agg(attempt || ' ' || worker || ' ' || outcome, ', ' ORDER BY attempt) FROM photoflow.failure_attempts('$id')"), '1 w failed, 2 w resolved', 'with its attempts');
	is(ask($worker, "SELECT photoflow.recover('$id')"), 'already resolved', 'once');
	is(ask($worker, "SELECT ok, left(why_not, 5) FROM photoflow.resolve_failures(ARRAY['$id', '$id']::uuid[], ARRAY[2, 1])"), "f|PF030\nf|PF030", 'the claim is over then, and so is the one before it');
	is(ask($worker, "SELECT photoflow.recover('$claimed{$back}')"), 'already in Raw', 'an album that is back already');
	is(record($claimed{$back}, '"Status"'), 2, 'needs no more');
	like(ask($worker, "SELECT photoflow.recover('$claimed{$moved}')"), qr/^not recovered: .*came from Stock/, 'one that has moved on is left alone');
	is(state($moved) . ' ' . record($claimed{$moved}, '"Status", "ClaimToken"'), 'Stock 1|1', 'and its record stays with the worker');
	is(ask($worker, "SELECT photoflow.abandon_failures(ARRAY['$claimed{$moved}'::uuid], 'somebody moved it on')"), 1, 'who gives it up');
	is(heard($ear), 0, 'nobody was woken for all that');
	$_->quit foreach $ear, $app, $worker;
	return;
}

sub a_worker_sees_nothing_else
{
	my $album = album('sen', 4);
	as('app', qq{$as{sen} SELECT photoflow.fire('$album', 'SyncRawTag'); SELECT photoflow.record_failure('Album', '$album', 'Init', 'Raw', 'e')});
	as('app', qq{$as{minh} SELECT photoflow.record_failure('Album', '} . album('minh', 4) . q{', 'Init', 'Raw', 'e')});

	# what grant_worker() gives, and no more
	my $may = q{SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'photoflow'::regnamespace AND has_function_privilege('%s', p.oid, 'EXECUTE')};
	is(as('studio', sprintf("$may EXCEPT $may", 'retry', 'guest')), 'photoflow.failure_worker()', 'a worker may execute one function more than everybody');
	is(as('studio', q{SELECT string_agg(c.oid::regclass::text, ',') FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
		AND (has_any_column_privilege('retry', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') OR has_table_privilege('retry', c.oid, 'DELETE, TRUNCATE, TRIGGER'))}), '', 'and has no privilege on any table');

	my $worker = session('retry');
	is(ask($worker, q{SELECT count(*), count(DISTINCT org_id) FROM photoflow.claim_failures('w')}), '2|2', 'a worker claims across organizations');
	foreach my $context ('', "SELECT photoflow.set_context('$org{sen}', role => 'super_admin'); ")
	{
		my $name = $context ? 'a worker that says whom it works for' : 'a worker';
		my @tables = split /\n/, as('studio', q{SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1});
		cmp_ok(scalar(@tables), '>', 20, 'there are tables');
		is(join(',', grep { tried($worker, "${context}SELECT count(*) FROM $_") ne '42501' } @tables), '', "$name reads no table");
		foreach my $sql (q{UPDATE "FailureRecords" SET "Status" = 2}, q{DELETE FROM "FailureRecords"}, qq{INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") VALUES ('$org{sen}', '$album', 'Album')},
			q{TRUNCATE "FailureAttempts"}, q{COPY "FailureRecords" TO STDOUT}, q{LOCK TABLE "FailureRecords" IN SHARE MODE})
		{
			is(tried($worker, $context . $sql), '42501', "$name: refused: " . $sql =~ s/ .*//r);
		}
		foreach my $sql ("SELECT to_state FROM photoflow.fire('$album', 'SyncStockTag')", "SELECT photoflow.fire_many(ARRAY['$album'::uuid], 'SyncStockTag')", "SELECT to_state FROM photoflow.rollback_transition('$album')",
			"SELECT photoflow.vote(array[photoflow.uuid_v7()])", qq{SELECT * FROM photoflow.soft_delete('"Albums"', ARRAY['$album'::uuid])}, qq{SELECT * FROM photoflow.soft_delete('"FailureRecords"', ARRAY['$album'::uuid])},
			"SELECT * FROM photoflow.album_history('$album')", "SELECT * FROM photoflow.permitted_triggers('$album')", "SELECT photoflow.restore('$album')",
			"SELECT photoflow.sync_photos('$album', '[]')", "SELECT photoflow.reorder_photos('$album', ARRAY['$album'::uuid])", "SELECT * FROM photoflow.deletions", "CALL photoflow.purge('0')",
			"SELECT photoflow.set_failure_policy('Album', max_retries => 0)", "SELECT photoflow.grant_worker('guest')", "SELECT photoflow.grant_app('retry')", 'SELECT photoflow.recount_failures()', 'SELECT photoflow.queue_failures(1)',
			'SELECT photoflow.event_channel()', 'SELECT * FROM photoflow.retention', qq{SELECT photoflow.import_rows('"Albums"', '"Albums"')})
		{
			my ($function) = $sql =~ /photoflow\.(\w+)/;
			my $answer = tried($worker, $context . $sql);
			my %else = $context ? (restore => 'PF005', deletions => '') : ();
			is($answer, $else{$function} // ($answer eq 'PF010' && !$context ? 'PF010' : '42501'), "$name: refused: $function");
		}
	}
	is(state($album), 'Raw', 'the album is where it was');
	is(as('app', "$as{sen} SELECT string_agg(DISTINCT org_id::text, ',') FROM photoflow.failure_stats"), $org{sen}, 'an application sees how many of its organization there are');
	is(ask($worker, 'SELECT count(DISTINCT org_id) FROM photoflow.failure_stats'), 2, 'a worker of all');
	is(ask($worker, "BEGIN; SELECT photoflow.set_context('$org{minh}'); SELECT string_agg(DISTINCT org_id::text, ',') FROM photoflow.failure_stats; COMMIT; SELECT count(DISTINCT org_id) FROM photoflow.failure_stats"), "\n$org{minh}\n2", 'or of the one it says it works for');

	nothing_of_a_callers_runs_as_the_owner($album);

	# and when it is over, it is over at once
	is(tried(session_of('studio'), q{SELECT photoflow.revoke_worker('retry')}), '', 'revoke_worker()');
	foreach my $sql (q{SELECT count(*) FROM photoflow.claim_failures('w')}, 'SELECT photoflow.next_failure_due()', "SELECT * FROM photoflow.resolve_failures(ARRAY['$album'::uuid], ARRAY[1])", "SELECT * FROM photoflow.failure_attempts('$album')",
		'SELECT * FROM photoflow.failure_stats', 'SELECT * FROM photoflow.failure_groups()', "SELECT photoflow.recover('$album')", "SELECT photoflow.record_failure('Album', '$album', 'a', 'b', 'e')")
	{
		is(ask($worker, $sql), 'PF010', "ends it in open sessions, too: " . ($sql =~ /photoflow\.(\w+)/)[0]);
	}
	is(tried($worker, "SELECT photoflow.set_context('$org{sen}'); SELECT count(*) FROM photoflow.claim_failures('w')"), '42501', 'also for an organization');
	as('studio', q{SELECT photoflow.grant_worker('retry')});
	is(ask($worker, 'SELECT count(DISTINCT org_id) FROM photoflow.failure_stats'), 2, 'and grant_worker() gives it again');
	is(as('studio', q{SELECT string_agg(object, ',') FROM photoflow.check_tenancy() WHERE problem LIKE '%failure records%'}), 'desk', 'check_tenancy() names a login that is both');
	as_super(q{SELECT photoflow.cancel_failures(array(SELECT "Id" FROM "FailureRecords" WHERE "Status" < 2))});
	$worker->quit;
	return;
}

# A table of the data schema has a trigger of its owner's that writes where it has always written. Whoever calls a function of the
# queue, and has a table of that name of his own, does not get what is the owner's by it.
sub nothing_of_a_callers_runs_as_the_owner
{
	my ($album) = @_;
	as('studio', q{CREATE TABLE noted (id uuid); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO noted VALUES (NEW."Id"); RETURN NULL; END';
		CREATE TRIGGER note AFTER INSERT OR UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION note(); CREATE TRIGGER note AFTER UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION note();
		CREATE TRIGGER note AFTER INSERT ON "AlbumTransitions" FOR EACH ROW EXECUTE FUNCTION note();
		GRANT INSERT ON noted TO PUBLIC;});
	foreach my $login ('retry', 'app')
	{
		my $session = session($login);
		ask($session, ($login eq 'app' ? $as{sen} : '') . q{CREATE TEMP TABLE noted (id uuid); CREATE TEMP TABLE who (name text); GRANT ALL ON noted, who TO PUBLIC;
			CREATE FUNCTION pg_temp.spring() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO pg_temp.who VALUES (current_user); RETURN NULL; END';
			CREATE TRIGGER spring AFTER INSERT ON noted FOR EACH ROW EXECUTE FUNCTION pg_temp.spring()});
		ask($session, "SELECT photoflow.record_failure('x', gen_random_uuid(), 'a', 'b', '$login', org_id => '$org{sen}')");
		my $id = ask($session, "SELECT photoflow.record_failure('Album', '$album', 'Init', 'Raw', '$login', org_id => '$org{sen}')");
		ask($session, q{SELECT count(*) FROM photoflow.claim_failures('w')});
		ask($session, "SELECT photoflow.recover('$id')");
		is(record($id, '"Status"'), 2, "$login: a record, a claim, a recovery");
		is(ask($session, q{SELECT string_agg(DISTINCT name, ',') FROM who WHERE name <> current_user}), '', "$login: run nothing of the caller's as somebody else");
		if ($login eq 'app')
		{
			is(ask($session, qq{BEGIN; SELECT to_state FROM photoflow.fire('$album', 'SyncRawTag')}), 'Raw', 'nor does fire(), which writes history as the owner');
			is(ask($session, q{SELECT string_agg(DISTINCT name, ',') FROM who WHERE name <> current_user}), '', 'but in his own name');
			ask($session, 'ROLLBACK');
		}
		$session->quit;
	}
	cmp_ok(as_super('SELECT count(*) FROM noted'), '>', 0, 'the trigger has written where it writes');
	as('studio', 'DROP TRIGGER note ON "FailureRecords"; DROP TRIGGER note ON "Albums"; DROP TRIGGER note ON "AlbumTransitions"; DROP TABLE noted; DROP FUNCTION note()');
	return;
}

# To an application another organization's records are not there, by no function, in no other words than for none at all.
sub another_organization
{
	my %theirs;
	foreach my $state ('held', 'abandoned', 'resolved', 'pending')
	{
		$theirs{$state} = as('app', "$as{minh} SELECT photoflow.record_failure('Album', photoflow.uuid_v5('$unknown', '$state'), 'Init', 'Raw', 'their secret')");
		as('app', "$as{minh} SELECT photoflow.abandon_failures(ARRAY['$theirs{abandoned}'::uuid])") if $state eq 'abandoned';
		is(as('app', "$as{minh} SELECT id FROM photoflow.claim_failures('theirs', lease => '1 hour') WHERE id = '$theirs{$state}'"), $theirs{$state}, "theirs is $state") if $state eq 'held' || $state eq 'resolved';
		as('app', "$as{minh} SELECT photoflow.resolve_failures(ARRAY['$theirs{$state}'::uuid], ARRAY[1])") if $state eq 'resolved';
	}
	my $mine = as('app', "$as{sen} SELECT photoflow.record_failure('Album', photoflow.uuid_v5('$unknown', 'mine'), 'Init', 'Raw', 'their secret', max_retries => 100)");
	my $books = sprintf q{SELECT md5(string_agg(x, '' ORDER BY x)) FROM (SELECT r::text AS x FROM "FailureRecords" r WHERE "OrgId" = '%1$s' UNION ALL SELECT a::text FROM "FailureAttempts" a WHERE "OrgId" = '%1$s') x}, $org{minh};
	my $before = as_super($books);
	my $due = as('studio', 'SELECT photoflow.next_failure_due() = interval \'0\'');
	is($due, 't', 'there is something due');

	my %call = (resolve => "SELECT * FROM photoflow.resolve_failures(ARRAY['ID'::uuid], ARRAY[TOKEN])", extend => "SELECT * FROM photoflow.extend_lease(ARRAY['ID'::uuid], ARRAY[TOKEN], '1 hour')",
		reschedule => "SELECT * FROM photoflow.reschedule_failures(ARRAY['ID'::uuid], ARRAY[TOKEN], ARRAY['x'], '0')", snooze => "SELECT * FROM photoflow.snooze_failures(ARRAY['ID'::uuid], ARRAY[TOKEN], clock_timestamp())",
		abandon => "SELECT photoflow.abandon_failures(ARRAY['ID'::uuid], 'x')", requeue => "SELECT photoflow.requeue_failures(ARRAY['ID'::uuid])", cancel => "SELECT photoflow.cancel_failures(ARRAY['ID'::uuid])",
		recover => "SELECT photoflow.recover('ID')", attempts => "SELECT * FROM photoflow.failure_attempts('ID')", delete => q{SELECT * FROM photoflow.soft_delete('"FailureRecords"', ARRAY['ID'::uuid])},
		why => q{SELECT photoflow.why_zero('"FailureRecords"', 'ID')}, claim => q{SELECT photoflow.claim_failures('w', org_id => 'ID')}, record => q{SELECT photoflow.record_failure('Album', '} . $unknown . q{', 'a', 'b', 'e', org_id => 'ID')});
	foreach my $what (sort keys %call)
	{
		my @ids = $what eq 'claim' || $what eq 'record' ? $org{minh} : map { $theirs{$_} } sort keys %theirs;
		my @answers = map { words('app', $as{sen}, $call{$what} =~ s/ID/$_/r =~ s/TOKEN/1/r, $_) } $unknown, @ids;
		my $nothing = shift @answers;
		like($nothing, $what eq 'why' ? qr/^not found$/ : $what =~ /^(extend|snooze)$/ ? qr/^\*\|f$/ : qr/PF005/, "$what: of nothing");
		is(join("\n--\n", grep { $_ ne $nothing } @answers), '', "$what: of another organization it is the same in every word");
		is(tried(session_of('app'), $call{$what} =~ s/ID/$unknown/r =~ s/TOKEN/1/r), 'PF010', "$what: without an organization it is refused") unless $what =~ /^(why|claim|record)$/;
		is(tried(session_of('guest'), $as{sen} . $call{$what} =~ s/ID/$unknown/r =~ s/TOKEN/1/r), '42501', "$what: to who may not touch the table, too") unless $what eq 'why';
	}
	is(as('app', "$as{sen} SELECT count(*), min(org_id::text) FROM photoflow.claim_failures('mine', 100)"), "1|$org{sen}", 'a claim gives its own');
	is(as('app', "$as{sen} SELECT photoflow.next_failure_due() > interval '1 minute'"), 't', 'and when the next is due is when that lease ends');
	is(as('app', "$as{sen} SELECT count, sample FROM photoflow.failure_groups() WHERE fingerprint = photoflow.error_fingerprint('their secret')"), '1|their secret', 'failures by their error are its own');
	is(as('app', "$as{sen} SELECT photoflow.$_"), 1, "by the error it does so with its own alone: $_") foreach map { "$_(photoflow.error_fingerprint('their secret'))" } 'abandon_failures', 'requeue_failures', 'cancel_failures';
	is(as_super($books), $before, 'theirs is as it was, in every column');
	is(as('studio', qq{SELECT count(*) FROM photoflow.claim_failures('owner', 100) WHERE org_id = '$org{minh}'}), 1, 'and what is due can be claimed by who works across');
	as_super(q{SELECT photoflow.cancel_failures(array(SELECT "Id" FROM "FailureRecords" WHERE "Status" < 2))});
	return;
}

# An hour back and forth: what is recorded, claimed and put back meanwhile is there when the clock is right, and is nobody's twice.
sub a_clock_that_steps
{
	my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
	die 'libfaketime is not installed' unless $faketime;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/clock';
	my $step = sub { my ($offset) = @_; open my $clock, '>', $file or die $!; print $clock "$offset\n"; close $clock; return };
	my $clock = PostgreSQL::Test::Cluster->new('clock');
	$clock->init(extra => ['--no-locale', '--encoding=UTF8']);
	$step->('+0');
	{
		local %ENV = (%ENV, LD_PRELOAD => $faketime, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1);
		$clock->start;
	}
	$clock->safe_psql('postgres', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org{sen}', 'sen');
		CREATE TABLE done (name text, token bigint, PRIMARY KEY (name)); CREATE TABLE given (name text, token bigint, PRIMARY KEY (name, token));});
	my ($a, $b) = map { $clock->background_psql('postgres', on_error_stop => 0, extra_params => ['-v', 'VERBOSITY=sqlstate']) } 1, 2;
	my $record = sub { my ($session, @names) = @_; ask($session, "SELECT photoflow.record_failure('x', gen_random_uuid(), 'a', '$_', 'e', org_id => '$org{sen}')") foreach @names; return };
	# names and tokens of what is claimed; no token is given out twice
	my $claim = sub { my ($session, $most) = @_; return ask($session, "WITH c AS (INSERT INTO given SELECT to_state, claim_token FROM photoflow.claim_failures('w', $most, '10 minutes', fair => false) RETURNING name, token)
		SELECT coalesce(string_agg(name || token, ' ' ORDER BY name), '') FROM c") };
	my $complete = sub { my ($session, $how, $name, $token) = @_; return ask($session, "SELECT ok FROM photoflow." . ($how =~ s/IDS/array(SELECT "Id" FROM "FailureRecords" WHERE "ToState" = '$name'), ARRAY[$token]/r)) };
	my $resolve = sub
	{
		my ($session, $name, $token) = @_;
		my $ok = $complete->($session, 'resolve_failures(IDS)', $name, $token);
		ask($session, "INSERT INTO done VALUES ('$name', $token)") if $ok eq 't';
		return $ok;
	};

	$record->($a, 'one', 'two', 'three');
	is($claim->($a, 1), 'one1', 'the clock is right: a claim');
	is($claim->($b, 1), 'two1', 'another');

	$step->('-3600');
	$record->($a, 'four');
	is($claim->($b, 9), 'four1', 'an hour back: what is recorded now is due now, also to who has claimed when it was later');
	is($claim->($a, 9), '', 'and to one only; what waits from before is not due yet');
	is(ask($a, q{SELECT photoflow.next_failure_due() < interval '15 minutes'}), 't', 'and it is known when to look again');
	is($complete->($a, q{reschedule_failures(IDS, NULL, '0')}, 'one', 1), 't', 'a claim of before is good');
	is($claim->($b, 9), 'one2', 'what is put back now is due now');
	is($resolve->($a, 'one', 1), 'f', 'and its claim of before is over');

	$step->('+0');
	is($claim->($a, 9), 'four2 one3 three1', 'right again: what was recorded before, and claims of the wrong hour that have ended');
	is($resolve->($b, 'one', 2), 'f', 'which are good no more');
	is($resolve->($a, 'one', 3), 't', 'but the new ones are');
	is($resolve->($b, 'two', 1), 't', 'and so is one that was held all the time');

	$step->('+3600');
	$record->($a, 'five');
	is($claim->($b, 9), 'five1 four3 three2', 'an hour ahead: claims have ended early');
	is($resolve->($a, 'four', 2), 'f', 'and are good no more');
	is($complete->($b, q{reschedule_failures(IDS, NULL, '0')}, 'five', 1), 't', 'one is put back');

	$step->('+0');
	is($claim->($_, 9), '', 'right again: nothing is due') foreach $a, $b;
	is($resolve->($b, 'three', 2), 't', 'a claim of the wrong hour is good');
	$record->($b, 'six');
	is($claim->($a, 9), 'six1', 'what is recorded now is due now');
	is($resolve->($a, 'six', 1), 't', 'and resolved');
	is(ask($a, q{SELECT photoflow.next_failure_due() BETWEEN '50 minutes' AND '2 hours'}), 't', 'what was put back in the wrong hour is due in an hour');
	is(ask($a, q{SELECT photoflow.requeue_failures(array(SELECT "Id" FROM "FailureRecords" WHERE "ToState" = 'five'))}), 1, 'unless somebody says: now');
	is($claim->($b, 9), 'five2', 'then it is');
	is($resolve->($b, 'five', 2), 't', 'and resolved');

	# one session looks while the clock is wrong, another records while it is right
	$step->('+7200');
	is($claim->($a, 9), 'four4', 'wrong once more: who held a record has lost it');
	is($complete->($a, q{reschedule_failures(IDS, NULL, '0')}, 'four', 4), 't', 'and it is put back');
	is($claim->($a, 9), 'four5', 'and claimed');
	$step->('+0');
	$record->($b, 'seven');
	$step->('+7230');
	$claim->($a, 9);
	$step->('+7320');
	my $seven = join ' ', grep { $_ ne '' } $claim->($a, 9), ask($b, q{SELECT string_agg(name || token, ' ') FROM given WHERE name = 'seven'});
	like($seven, qr/^(seven1 )?seven1$/, 'what was recorded in the hour that was right is found soon, by who thought that there was nothing');
	$step->('+0');
	is($resolve->($a, 'seven', 1) . $resolve->($a, 'four', 4) . $resolve->($b, 'four', 5), 'tft', 'right for good: the newest claims are good, whoever completes them');
	is($clock->safe_psql('postgres', q{SELECT count(*) = 7 AND bool_and("Status" = 2) FROM "FailureRecords"}), 't', 'nothing is lost');
	is($clock->safe_psql('postgres', q{SELECT count(*) FROM done FULL JOIN "FailureRecords" r ON r."ToState" = name AND r."ClaimToken" = token WHERE name IS NULL OR r."Id" IS NULL}), 0, 'each is resolved once, by its newest claim');
	is($clock->safe_psql('postgres', q{SELECT count(*) FROM given g LEFT JOIN ("FailureAttempts" JOIN "FailureRecords" r ON "FailureId" = r."Id") ON r."ToState" = g.name AND "Attempt" = g.token LEFT JOIN done d ON d.name = g.name AND d.token = g.token
		WHERE ("Attempt" IS NULL) = (d.name IS NULL)}), 0, 'and each other claim is in its history');
	is($clock->safe_psql('postgres', q{SELECT status, records FROM photoflow.failure_stats}), 'resolved|7', 'they are counted');
	$_->quit foreach $a, $b;
	$clock->stop;
	return;
}

# Holders of claims go on with the copy where they were.
sub a_dump_with_open_claims
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	as('studio', qq{SELECT photoflow.set_failure_policy('Job', base => '1 hour', cap => '1 day', max_retries => 3, lease => '2 hours')});
	my %id = map { $_ => as('retry', "SELECT photoflow.record_failure('Job', photoflow.uuid_v5('$unknown', '$_'), 'a', 'b', '$_ failed', 'low', '$org{sen}', payload => '{\"n\": 1}')") }
		'held', 'ended', 'delayed', 'snoozed', 'given up', 'cancelled', 'resolved';
	my $claimed = as('retry', q{SELECT count(*), max(claim_token) FROM photoflow.claim_failures('w', 100)});
	is($claimed, '7|1', 'all are claimed');
	as('retry', qq{SELECT photoflow.reschedule_failures(ARRAY['$id{ended}', '$id{held}']::uuid[], ARRAY[1, 1], ARRAY['failed again', NULL], '0');
		SELECT photoflow.reschedule_failures(ARRAY['$id{delayed}'::uuid], ARRAY[1], NULL, '3 days'); SELECT photoflow.snooze_failures(ARRAY['$id{snoozed}'::uuid], ARRAY[1], now() + interval '5 days');
		SELECT photoflow.abandon_failures(ARRAY['$id{'given up'}'::uuid], 'no use'); SELECT photoflow.cancel_failures(ARRAY['$id{cancelled}'::uuid]); SELECT photoflow.resolve_failures(ARRAY['$id{resolved}'::uuid], ARRAY[1]);});
	is(as('retry', q{SELECT count(*) FROM photoflow.claim_failures('first', 1, '1 microsecond', fair => false)}) . as('retry', q{SELECT count(*) FROM photoflow.claim_failures('second', 1, '3 hours', fair => false)}), '11', 'two are claimed, one of them for a moment');
	my %holder = map { split /\|/ } split /\n/, as_super(q{SELECT "ClaimedBy", "Id" FROM "FailureRecords" WHERE "Status" = 1});
	is(join(',', sort keys %holder), 'second', 'the moment is over, so that the other got the same record') if keys %holder == 1;
	as('retry', q{SELECT count(*) FROM photoflow.claim_failures('third', 1, '1 microsecond', fair => false)}) if keys %holder == 1;
	%holder = map { split /\|/ } split /\n/, as_super(q{SELECT CASE WHEN "LeaseUntil" > now() THEN 'held' ELSE 'ended' END, "Id" FROM "FailureRecords" WHERE "Status" = 1});
	is(join(',', sort keys %holder), 'ended,held', 'one is held, the claim of another has ended');
	my %token = map { $_ => record($holder{$_}, '"ClaimToken"') } keys %holder;
	my $deleted = as('app', "$as{sen} SELECT photoflow.record_failure('Job', photoflow.uuid_v5('$unknown', 'deleted'), 'a', 'b', 'e')");
	as('app', qq{$as{sen} DELETE FROM "FailureRecords" WHERE "Id" = '$deleted'});

	my $books = q{SELECT x FROM (SELECT 'record ' || r::text AS x FROM "FailureRecords" r UNION ALL SELECT 'attempt ' || a::text FROM "FailureAttempts" a UNION ALL SELECT 'stats ' || s::text FROM photoflow.failure_stats s
		UNION ALL SELECT 'policy ' || p::text FROM photoflow.failure_policies p UNION ALL SELECT 'group ' || g::text FROM photoflow.failure_groups() g
		UNION ALL SELECT 'attempts ' || r."Id" || a::text FROM "FailureRecords" r, photoflow.failure_attempts(r."Id") a) x ORDER BY x COLLATE "C"};
	my $dumped = as_super($books);
	like($dumped, qr/^attempt .*^policy \(Job,.*^record .*^stats .*/ms, 'there are records, attempts, policies and counts');
	$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'copy', 'plain';
	$node->command_ok(['pg_dump', '-U', 'backup', '-Fc', '-f', "$dir/dump", 'studio'], 'pg_dump with open claims');
	$node->command_ok(['pg_restore', '-U', 'studio', '--exit-on-error', '-d', 'copy', "$dir/dump"], 'pg_restore as the owner');
	$node->command_ok(['pg_dump', '-U', 'backup', '-f', "$dir/dump.sql", 'studio'], 'pg_dump as text');
	$node->command_ok(['psql', '-U', 'studio', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", 'plain'], 'restored by psql');
	foreach my $database ('copy', 'plain', 'studio')
	{
		is(as_super($books, $database), $dumped, "$database: records, attempts, counts and policies have arrived") unless $database eq 'studio';
		is(as('retry', q{SELECT count(*) > 0 FROM photoflow.failure_stats}, $database), 't', "$database: a worker is one there, too");
		is(as('retry', "SELECT photoflow.next_failure_due() = interval '0'", $database), 't', "$database: something is due");
		is(as('retry', "SELECT ok FROM photoflow.extend_lease(ARRAY['$holder{held}'::uuid], ARRAY[$token{held}], '4 hours')", $database), 't', "$database: who holds a claim keeps it");
		is(as('retry', "SELECT id, claim_token, retry_count, payload FROM photoflow.claim_failures('late', 100)", $database), "$holder{ended}|" . ($token{ended} + 1) . '|' . ($token{ended} + 1) . '|{"n": 1}', "$database: the claim that has ended, and nothing else, can be taken over");
		is(as('retry', "SELECT ok, left(why_not, 5) FROM photoflow.resolve_failures(ARRAY['$holder{ended}', '$holder{held}', '$holder{held}']::uuid[], ARRAY[$token{ended}, $token{held} - 1, $token{held}])", $database),
			"f|PF030\nf|PF030\nt|", "$database: the newest claim is good, and no other");
		is(as('retry', "SELECT photoflow.next_failure_due() BETWEEN '1 hour' AND '3 hours'", $database), 't', "$database: what is next is the end of a lease, by the policy");
		is(as('retry', "SELECT photoflow.record_failure('Job', photoflow.uuid_v5('$unknown', 'delayed'), 'a', 'b', 'again', org_id => '$org{sen}')", $database), $id{delayed}, "$database: an open failure is known");
		is(as('retry', "SELECT photoflow.requeue_failures(ARRAY['$id{snoozed}', '$id{'given up'}']::uuid[])", $database), 2, "$database: and others can be requeued");
		is(as('retry', q{SELECT count(*) FROM photoflow.claim_failures('late', 100)}, $database), 2, "$database: and claimed");
		as('studio', q{SELECT photoflow.revoke_worker('retry')}, $database);
		is(refusal('retry', 'SELECT photoflow.next_failure_due()', $database), 'PF010', "$database: until that is taken back");
		my $stats = q{SELECT string_agg(org_id || status || severity || records, ',' ORDER BY org_id, status, severity) FROM photoflow.failure_stats};
		my $kept = as_super($stats, $database);
		as_super('SELECT photoflow.recount_failures()', $database);
		is(as_super($stats, $database), $kept, "$database: counts were kept");
	}
	as('studio', q{SELECT photoflow.grant_worker('retry')});
	as_super(q{SELECT photoflow.cancel_failures(array(SELECT "Id" FROM "FailureRecords" WHERE "Status" < 2 AND NOT "IsDeleted"))});
	return;
}

# pgbouncer in transaction mode: a claim outlives its connection; who works across and who works for one organization share one.
sub one_connection_for_all
{
	start_bouncer();
	my ($claims, $first, $second) = map { client('two', 'retry') } 1 .. 3;
	my $id = as('retry', "SELECT photoflow.record_failure('x', '$unknown', 'a', 'b', 'e', org_id => '$org{sen}')");
	my $pid = 'SELECT pg_backend_pid()';
	my ($one, $token) = ask($claims, "BEGIN; $pid; SELECT id || ' ' || claim_token FROM photoflow.claim_failures('w')") =~ /^(\d+)\n$id (\d+)$/;
	ok($token, 'pgbouncer: a claim');
	my $two = ask($first, "BEGIN; $pid");
	ask($claims, 'COMMIT');
	is(ask($second, "BEGIN; $pid"), $one, 'pgbouncer: somebody else gets the connection that has claimed');
	ask($first, 'ROLLBACK');
	is(ask($claims, "BEGIN; $pid; SELECT ok FROM photoflow.resolve_failures(ARRAY['$id'::uuid], ARRAY[$token]); COMMIT"), "$two\nt", 'pgbouncer: on another the claim is as good');
	is(ask($second, "SELECT ok, left(why_not, 5) FROM photoflow.resolve_failures(ARRAY['$id'::uuid], ARRAY[$token]); COMMIT"), 'f|PF030', 'pgbouncer: and then it is over, on the first as well');
	$_->quit foreach $claims, $first, $second;

	# one connection for both: who has a context sees one organization, who has none works across, and neither finds anything of the other
	my ($across, $tenant) = map { client('one', 'desk') } 1 .. 2;
	is(ask($across, $pid), ask($tenant, $pid), 'pgbouncer: two clients have one connection');
	my $begin = "BEGIN; SELECT FROM photoflow.set_context('$org{minh}')";
	my $record = sub { return as('retry', join '; ', map { "SELECT photoflow.record_failure('x', gen_random_uuid(), 'a', 'b', 'e', org_id => '$org{$_}')" } @_) };
	my $claim;
	foreach my $end ('COMMIT', 'ROLLBACK')
	{
		$claim = q{SELECT coalesce(string_agg(org_id::text, ',' ORDER BY org_id), 'none') || ' ' || (photoflow.current_org() IS NULL) FROM photoflow.claim_failures('w', 9, fair => } . ($end eq 'COMMIT' ? 'true)' : 'false)');
		is(ask($across, $claim), 'none true', "pgbouncer, $end: nothing is due");
		is(ask($tenant, "$begin; $claim; COMMIT"), 'none false', "pgbouncer, $end: nor for one");
		$record->('sen', 'minh');
		is(ask($tenant, "$begin; $claim; $end"), "$org{minh} false", "pgbouncer, $end: an organization gets its own");
		is(ask($tenant, "$begin; $claim; COMMIT"), $end eq 'COMMIT' ? 'none false' : "$org{minh} false", "pgbouncer, $end: and what was rolled back once more");
		is(ask($across, $claim), "$org{sen} true", "pgbouncer, $end: who works across gets the other");
		$record->('sen', 'sen');
		# long enough for the session to remember that it has passed both
		is(ask($across, "BEGIN; $claim; SELECT FROM pg_sleep(0.2); $claim; $end") =~ s/\n\n/\n/r, "$org{sen},$org{sen} true\nnone true", "pgbouncer, $end: and the next two");
		is(ask($tenant, "$begin; $claim; COMMIT"), 'none false', "pgbouncer, $end: of which an organization gets none");
		is(ask($across, $claim), $end eq 'COMMIT' ? 'none true' : "$org{sen},$org{sen} true", "pgbouncer, $end: who works across gets what was rolled back");
		$record->('minh');
		is(ask($across, $claim), "$org{minh} true", "pgbouncer, $end: and what is another's");
		is(ask($tenant, "$begin; SELECT string_agg(DISTINCT org_id::text, ',') FROM photoflow.failure_stats; ROLLBACK; SELECT count(DISTINCT org_id) FROM photoflow.failure_stats"), "$org{minh}\n2", "pgbouncer, $end: counts are those of whom one works for");
	}
	my $app = client('one', 'app');
	is(ask($app, $claim), 'PF010', 'pgbouncer: an application without an organization gets nothing');
	$_->quit foreach $across, $tenant, $app;
	$bouncer->kill_kill;
	undef $bouncer;
	return;
}

sub album { my ($who, $n) = @_; return sprintf '00000000-0000-4000-8000-%d000%08d', $who eq 'sen' ? 1 : 2, $n; }

sub as
{
	my ($user, $sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql, extra_params => ['-U', $user]);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($user, $sql, $database) = @_;
	my (undef, undef, $stderr) = $node->psql($database // 'studio', "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $user]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : 'none';
}

sub as_super
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql);
}

sub state
{
	my ($album) = @_;
	return as_super(qq{SELECT photoflow.state_name("AlbumState") FROM "Albums" WHERE "Id" = '$album'});
}

sub record
{
	my ($id, $columns) = @_;
	return as_super(qq{SELECT $columns FROM "FailureRecords" WHERE "Id" = '$id'});
}

sub session
{
	my ($login) = @_;
	return $node->background_psql('studio', on_error_stop => 0, extra_params => ['-U', $login, '-v', 'VERBOSITY=sqlstate']);
}

# One of each login, for many small questions.
sub session_of
{
	my ($login) = @_;
	return $kept{$login} //= session($login);
}

# What a session is answered: rows, or the SQLSTATE of an error.
sub ask
{
	my ($session, $sql) = @_;
	$session->{stderr} = '';
	my $answer = $session->query($sql);
	return $session->{stderr} =~ /(?:ERROR|FATAL):  (\w{5})/ ? $1 : $answer;
}

# The same in a transaction that is taken back, without what a context answers.
sub tried
{
	my ($session, $sql) = @_;
	my $answer = ask($session, "BEGIN; $sql");
	ask($session, $sql =~ /_worker/ && $answer !~ /^\w{5}$/ ? 'COMMIT' : 'ROLLBACK');
	return $answer =~ s/^\n+//r;
}

# How often a session that listens is woken.
sub heard
{
	my ($session) = @_;
	my $answer = ask($session, 'SELECT 1');
	return scalar(() = $answer =~ /^Asynchronous notification "photoflow_failures" received from server process with PID \d+\.$/mg);
}

# Every word of an answer, but for the id.
sub words
{
	my ($user, $context, $sql, $id) = @_;
	my (undef, $stdout, $stderr) = $node->psql('studio', "\\set VERBOSITY verbose\n\\set SHOW_CONTEXT never\n$context\n$sql", extra_params => ['-U', $user]);
	$stderr =~ s/^LOCATION:.*\n?//mg;
	return "$stdout$stderr" =~ s/\Q$id\E/*/gr =~ s/^psql:<stdin>:\d+: //mgr;
}

# A client of pgbouncer.
sub client
{
	my ($database, $login) = @_;
	return $node->background_psql('studio', on_error_stop => 0, extra_params => ['-d', "host=$socket port=$port dbname=$database user=$login", '-v', 'VERBOSITY=sqlstate']);
}

sub start_bouncer
{
	my $program = '/usr/sbin/pgbouncer';
	die "$program is missing: test/deps installs it" unless -x $program;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	$port = PostgreSQL::Test::Cluster::get_free_port();
	$socket = PostgreSQL::Test::Utils::tempdir_short();
	my $server = 'host=' . $node->host . ' port=' . $node->port . ' dbname=studio';
	append_to_file("$dir/users.txt", join '', map { qq{"$_" ""\n} } 'app', 'retry', 'desk');
	append_to_file("$dir/pgbouncer.ini", "[databases]\none = $server pool_size=1\ntwo = $server pool_size=2\n[pgbouncer]\nlisten_addr =\nlisten_port = $port\nunix_socket_dir = $socket\nauth_type = trust\nauth_file = $dir/users.txt\npool_mode = transaction\nmin_pool_size = 0\n");
	my $said = '';
	$bouncer = start([$program, "$dir/pgbouncer.ini"], '<', '/dev/null', '>', \$said, '2>', \$said);
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	until (run(['psql', '-X', '-q', '-c', '', '-d', "host=$socket port=$port dbname=two user=retry"], '>', '/dev/null', '2>', '/dev/null'))
	{
		$bouncer->pump_nb;
		die "pgbouncer does not start: $said" if time > $until || !$bouncer->pumpable;
	}
	return;
}

END
{
	my $status = $?;
	$bouncer->kill_kill if $bouncer;
	$? = $status;
}
