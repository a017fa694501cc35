# Workers that forget, come late, are terminated and killed with the whole server, over 20,000 failure records: each record is
# resolved once or given up, by one claim at a time, and the books say just what happened.
#
# Whatever a worker claims and completes it writes into ledgers of the test's own, in the same transaction; in the end these are
# compared with what the database says. To repeat a run, as far as that can be done: PHOTOFLOW_SEED=n.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use IPC::Run qw(start);
use Time::HiRes qw(usleep);

my $seed = $ENV{PHOTOFLOW_SEED} // int(rand(1_000_000));
srand($seed);
note("PHOTOFLOW_SEED=$seed");

my $records = 20_000;
my $calls = 600;    # of record_failure(), by each of two
my @org = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 4;

my $node = PostgreSQL::Test::Cluster->new('workers');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 2GB\nsession_preload_libraries = 'photoflow'\n");
$node->start;
fill();

# five work across, one for its organization, one by plain UPDATEs, one is the owner; two record what fails, and give up or requeue some
my %sessions = ((map { ("worker $_" => ['retry', "CALL ledger.work('worker $_', NULL)"]) } 1 .. 5),
	'desk' => ['desk', "SET photoflow.org_id = '$org[2]'", "CALL ledger.work('desk', '$org[2]')"],
	'plain' => ['desk', "SET photoflow.org_id = '$org[3]'", "CALL ledger.work_plainly('plain', '$org[3]')"],
	'owner' => ['studio', "CALL ledger.work('owner', NULL)"],
	'desk records' => ['desk', "SET photoflow.org_id = '$org[2]'", "CALL ledger.record('desk records', '$org[2]', $calls)"],
	'owner records' => ['studio', "CALL ledger.record('owner records', '$org[0]', $calls)"]);

# what happens when so many records are resolved, of a hundred
my @events = sort { $a->[0] <=> $b->[0] } ((map { [rand(88), 'terminate'] } 1 .. 30), (map { [5 + 28 * $_ + rand(20), 'KILL'] } 0 .. 2),
	[35, 'note'], [50, 'note no more'], [25, 'VACUUM'], [70, 'VACUUM']);
my %happened = map { $_->[1] => 0 } @events;
my (%running, %heard, %said, %starts);
run_sessions();
$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
my $restarts = 0;
$restarts += $_ - 1 foreach values %starts;

is(join(',', map { "$_ $happened{$_}" } sort keys %happened), 'KILL 3,VACUUM 2,note 1,note no more 1,terminate 30', 'all happened that was to happen');
cmp_ok($restarts, '>=', 30, 'and sessions had to begin anew');
my $log = slurp_file($node->logfile);
is(scalar(() = $log =~ /was terminated by signal 9/g), 3, 'the server restarted three times');
unlike($log, qr/PANIC|TRAP:|was terminated by signal (?!9\b)/, 'and for no other reason');

look_past_none();

# records
wrong('no record is lost, none comes from nowhere', q{SELECT 'records', count(*) FROM "FailureRecords" HAVING count(*) <> } . $records . q{ + 3000 + (SELECT count(DISTINCT id) FROM ledger.calls)
	UNION ALL SELECT 'deleted', count(*) FROM "FailureRecords" WHERE "IsDeleted" HAVING count(*) > 0});
wrong('each record is finished', q{SELECT "Id", "Status" FROM "FailureRecords" WHERE "Status" NOT IN (2, 3) OR "NextRetryAt" IS NOT NULL OR "LeaseUntil" IS NOT NULL OR "FinishedAt" IS NULL});
wrong('resolved once, or given up and not resolved', q{SELECT r."Id", r."Status", e.n FROM "FailureRecords" r LEFT JOIN (SELECT id, count(*) AS n FROM ledger.ends WHERE outcome = 'resolved' GROUP BY id) e ON e.id = r."Id"
	WHERE (r."Status" = 2)::int <> coalesce(e.n, 0)});
wrong('by the newest claim, and the last thing that was told of it', q{SELECT r."Id", r."ClaimToken", e.token FROM "FailureRecords" r JOIN ledger.ends e ON e.id = r."Id" WHERE e.outcome = 'resolved' AND e.token <> r."ClaimToken"});
wrong('given up when the retries are used up, or by hand', q{SELECT r."Id", r."RetryCount" FROM "FailureRecords" r LEFT JOIN photoflow.failure_policies p ON p.entity_type = r."EntityType"
	WHERE r."Status" = 3 AND r."RetryCount" < coalesce(r."MaxRetries", p.max_retries) AND NOT EXISTS (SELECT FROM ledger.orders o WHERE o.id = r."Id" AND o.what = 'abandon')});
wrong('never claimed more often than it may be', q{SELECT r."Id", r."RetryCount" FROM "FailureRecords" r LEFT JOIN photoflow.failure_policies p ON p.entity_type = r."EntityType" WHERE r."RetryCount" > coalesce(r."MaxRetries", p.max_retries)});

# claims
wrong('the tokens of a record are 1, 2, 3, ..., each claimed once', q{SELECT r."Id", r."ClaimToken", c.n, c.most FROM "FailureRecords" r LEFT JOIN (SELECT id, count(*) AS n, max(token) AS most FROM ledger.claims GROUP BY id) c ON c.id = r."Id"
	WHERE r."ClaimToken" <> coalesce(c.n, 0) OR r."ClaimToken" <> coalesce(c.most, 0)});
wrong('in the order of time', q{SELECT id, token FROM (SELECT *, lag(at) OVER w AS before FROM ledger.claims WINDOW w AS (PARTITION BY id ORDER BY token)) c WHERE at < before});
wrong('no record was claimed while another had it', q{SELECT c.id, c.token, c.until, c.next FROM (SELECT *, lead(at) OVER w AS next FROM ledger.claims WINDOW w AS (PARTITION BY id ORDER BY token)) c
		LEFT JOIN (SELECT id, token, max(until) AS until FROM ledger.extended GROUP BY 1, 2) x USING (id, token)
	WHERE c.next < greatest(c.until, x.until) AND NOT EXISTS (SELECT FROM ledger.ends e WHERE e.id = c.id AND e.token = c.token)
		AND NOT EXISTS (SELECT FROM "FailureAttempts" a WHERE a."FailureId" = c.id AND a."Attempt" = c.token AND a."Outcome" = 'abandoned')});
wrong('nor before the attempt before it had ended', q{SELECT c.id, c.token FROM ledger.claims c JOIN "FailureAttempts" a ON a."FailureId" = c.id AND a."Attempt" = c.token - 1 WHERE c.at < a."FinishedAt"});
wrong('a claim was refused only when it was lost or over', q{SELECT f.* FROM ledger.refused f WHERE (f.why NOT LIKE 'PF030: %' AND f.why <> 'said no')
	OR NOT EXISTS (SELECT FROM ledger.claims c WHERE c.id = f.id AND c.token > f.token)
		AND NOT EXISTS (SELECT FROM ledger.ends e WHERE e.id = f.id AND e.token = f.token)
		AND NOT EXISTS (SELECT FROM "FailureAttempts" a WHERE a."FailureId" = f.id AND a."Attempt" = f.token AND a."Outcome" IN ('expired', 'abandoned'))});
wrong('whoever works for an organization got its records only', qq{SELECT c.* FROM ledger.claims c JOIN "FailureRecords" r ON r."Id" = c.id WHERE (c.worker = 'desk' AND r."OrgId" <> '$org[2]') OR (c.worker = 'plain' AND r."OrgId" <> '$org[3]')});
wrong('nothing that was due was overlooked', 'SELECT * FROM ledger.overlooked');

# attempts
wrong('the history has each attempt that was not the success', q{SELECT r."Id", r."ClaimToken", a.n FROM "FailureRecords" r LEFT JOIN (SELECT "FailureId", count(*) AS n FROM "FailureAttempts" GROUP BY 1) a ON a."FailureId" = r."Id"
	WHERE coalesce(a.n, 0) <> r."ClaimToken" - (r."Status" = 2 AND EXISTS (SELECT FROM ledger.ends e WHERE e.id = r."Id" AND e.token = r."ClaimToken" AND e.outcome = 'resolved'))::int});
wrong('and says of each what came of it, and whose it was', q{SELECT a."FailureId", a."Attempt", a."Outcome", a."Worker", c.worker, e.outcome FROM "FailureAttempts" a LEFT JOIN ledger.claims c ON c.id = a."FailureId" AND c.token = a."Attempt"
		LEFT JOIN ledger.ends e ON e.id = c.id AND e.token = c.token JOIN "FailureRecords" r ON r."Id" = a."FailureId"
	WHERE a."Outcome" <> ALL (CASE WHEN e.outcome IS NULL THEN '{expired,abandoned}'::text[] ELSE ARRAY[e.outcome] END) OR a."Worker" IS DISTINCT FROM CASE c.worker WHEN 'plain' THEN 'desk' ELSE c.worker END
		OR a."OrgId" <> r."OrgId" OR a."StartedAt" <> c.at OR (a."Outcome" = 'abandoned' AND NOT EXISTS (SELECT FROM ledger.orders o WHERE o.id = a."FailureId" AND o.what = 'abandon'))});
wrong('a retry is a claim that was not snoozed', q{SELECT r."Id", r."RetryCount", r."ClaimToken" FROM "FailureRecords" r WHERE NOT EXISTS (SELECT FROM ledger.orders o WHERE o.id = r."Id")
	AND r."RetryCount" <> r."ClaimToken" - (SELECT count(*) FROM "FailureAttempts" a WHERE a."FailureId" = r."Id" AND a."Outcome" = 'snoozed')});
wrong('failure_attempts() tells all that', q{SELECT r."Id" FROM "FailureRecords" r, LATERAL (SELECT array_agg(a.attempt) AS numbers, count(*) FILTER (WHERE a.outcome = 'resolved') AS resolved, count(*) FILTER (WHERE a.outcome = 'running') AS running
		FROM photoflow.failure_attempts(r."Id") a) a
	WHERE r."ClaimToken" > 2 AND (a.numbers <> array(SELECT generate_series(1, r."ClaimToken")) OR a.resolved <> (r."Status" = 2)::int OR a.running > 0)});

# what was recorded while they worked
wrong('each record_failure() is a record, or one more of its occurrences', q{SELECT r."Id", r."Occurrences", c.n FROM "FailureRecords" r FULL JOIN (SELECT id, count(*) AS n FROM ledger.calls GROUP BY id) c ON c.id = r."Id"
	WHERE coalesce(c.n, 1) IS DISTINCT FROM r."Occurrences"});
is(ask(q{SELECT string_agg(DISTINCT n::text, ',') FROM (SELECT count(*) AS n FROM ledger.calls WHERE producer <> 'slow' GROUP BY producer) c}), $calls, 'as many as there were calls');
wrong('an order by hand ends one attempt at most', q{SELECT r."Id" FROM "FailureRecords" r WHERE (SELECT count(*) FROM "FailureAttempts" a WHERE a."FailureId" = r."Id" AND a."Outcome" = 'abandoned') >
	(SELECT coalesce(sum(o.changed), 0) FROM ledger.orders o WHERE o.id = r."Id" AND o.what = 'abandon')});
wrong('a trigger saw no claim that nobody made', q{SELECT n.* FROM ledger.noted n LEFT JOIN ledger.claims c USING (id, token) WHERE c.id IS NULL});

# counts, and the indexes that the functions write themselves
my $stats = q{SELECT org_id, status, severity, records FROM photoflow.failure_stats};
my $counted = q{SELECT "OrgId", (ARRAY['pending', 'in progress', 'resolved', 'abandoned', 'cancelled'])["Status" + 1], (ARRAY['low', 'medium', 'high', 'critical'])["Severity" + 1], count(*) FROM "FailureRecords" GROUP BY 1, 2, 3};
wrong('failure_stats counts the records', "($stats EXCEPT $counted) UNION ALL ($counted EXCEPT $stats)");
is(ask('SELECT sum(records) FROM photoflow.failure_stats'), ask('SELECT photoflow.recount_failures()'), 'all of them, as recount_failures() does');
wrong('and finds nothing else', "($stats EXCEPT $counted) UNION ALL ($counted EXCEPT $stats)");
is(ask(q{SELECT count(*) > 3 FROM pg_index i, LATERAL (SELECT bt_index_check(i.indexrelid, true)) x WHERE i.indrelid IN ('"FailureRecords"'::regclass, '"FailureAttempts"'::regclass)}), 't', 'every row is in every index');
is(ask(q{SELECT count(*) FROM pg_class c, LATERAL verify_heapam(c.oid) h WHERE c.oid IN ('"FailureRecords"'::regclass, '"FailureAttempts"'::regclass, '"FailureCounts"'::regclass)}), 0, 'and sound');
is(ask(q{SELECT count(*), photoflow.next_failure_due() IS NULL FROM photoflow.claim_failures('late', 1000)}), '0|t', 'nothing is left to claim');

# all of that was not for nothing
my %most = map { split /\|/ } split /\n/, ask(q{SELECT "Outcome", count(*) FROM "FailureAttempts" GROUP BY 1 UNION ALL SELECT 'claims of ' || worker, count(*) FROM ledger.claims GROUP BY 1
	UNION ALL SELECT 'refused', count(*) FROM ledger.refused UNION ALL SELECT 'extended', count(*) FROM ledger.extended UNION ALL SELECT 'noted', count(*) FROM ledger.noted
	UNION ALL SELECT 'order to ' || what, sum(changed) FROM ledger.orders GROUP BY what UNION ALL SELECT 'bumped', count(*) FROM "FailureRecords" WHERE "Occurrences" > 1 UNION ALL SELECT 'given up', count(*) FROM "FailureRecords" WHERE "Status" = 3});
note(join ', ', map { "$_: $most{$_}" } sort keys %most);
foreach my $what ('failed', 'snoozed', 'expired', 'refused', 'extended', 'noted', 'bumped', 'given up', 'order to abandon', 'order to requeue', map { "claims of $_" } 'desk', 'plain', 'owner', 'worker 1', 'steady 1', 'steady desk', 'fickle 29')
{
	cmp_ok($most{$what} // 0, '>', 0, "there were some: $what");
}

$node->stop;
done_testing();

# What holds sessions up when they look for what is due: others that claim and think better of it, put back what they have, or
# record something, all in transactions that last. Where a session remembers up to where there is nothing, it must not pass these.
# Nobody dies here, no claim ends by itself, and who finds nothing for a while goes home: then nothing may be left.
sub look_past_none
{
	my @fickle = (5, 14, 20, 29);    # so many times they claim; the last thing they do is to give up what they had for a while
	ask(q{INSERT INTO ledger.producing VALUES ('slow'), ('locks'), } . join ', ', map { "('fickle $_')" } @fickle);
	ask(qq{INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType", "FromState", "ToState") SELECT ('{$org[0],$org[1],$org[2]}'::uuid[])[1 + n % 3], md5('quick ' || n)::uuid, 'Quick', 'a', 'b' FROM generate_series(1, 3000) n});
	put_back_after_a_wait();
	my %ways = (1 => 'NULL, false', 2 => 'NULL, true', 3 => "'{Quick,none}', false");    # each remembers by its own
	%sessions = ((map { ("steady $_" => ['retry', "CALL ledger.work_steadily('steady $_', $ways{$_})"]) } keys %ways), 'steady desk' => ['desk', "SET photoflow.org_id = '$org[2]'", "CALL ledger.work_steadily('steady desk', NULL, true)"],
		(map { ("fickle $_" => [$_ % 2 ? 'retry' : 'studio', "CALL ledger.waver('fickle $_', $_)"]) } @fickle), 'slow' => ['studio', "CALL ledger.record_slowly('slow', '$org[1]')"], 'locks' => ['desk', "SET photoflow.org_id = '$org[2]'", "CALL ledger.lock('locks', '$org[2]')"]);
	run_sessions();
	wrong('nothing is left that was held while others looked', q{SELECT "Status", "OrgId", "NextRetryAt" FROM "FailureRecords" WHERE "EntityType" = 'Quick' AND "Status" <> 2});
	return;
}

# A record is locked, and so put back only when that is over. It is due then, not when it was asked for, which others have passed.
sub put_back_after_a_wait
{
	my ($holder, $locker, $other) = map { $node->background_psql('postgres') } 1 .. 3;
	my $record = "SELECT photoflow.record_failure('Wait', gen_random_uuid(), 'a', 'b', 'NAME', org_id => '$org[0]')";
	my $claim = q{SELECT f.id, f.claim_token FROM photoflow.claim_failures('NAME', lease => '1 hour', entity_types => ARRAY['Wait']) f};
	my $waits = ask($record =~ s/NAME/waits/r);
	is($holder->query_safe($claim =~ s/NAME/holder/r), "$waits|1", 'a record is claimed');
	$locker->query_safe(qq{BEGIN; SELECT FROM "FailureRecords" WHERE "Id" = '$waits' FOR UPDATE});
	$holder->query_until(qr/asked/, "\\echo asked\nSELECT ok FROM photoflow.reschedule_failures(ARRAY['$waits'::uuid], ARRAY[1], NULL, '0');\n");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%reschedule_failures%' AND wait_event_type = 'Lock'}) or die 'the holder does not wait';
	my $next = ask($record =~ s/NAME/next/r);
	is($other->query_safe($claim =~ s/NAME/other/r), "$next|1", 'and the next one, while the first is to be put back, and waits');
	ask('SELECT pg_sleep(0.2)');    # longer than a session trusts the place of what it passes
	is($other->query_safe($claim =~ s/NAME/other/r), '', 'there is no other');
	$locker->query_safe('COMMIT');
	is($holder->query_safe('SELECT 1'), "t\n1", 'it is put back');
	is($other->query_safe($claim =~ s/NAME/other/r), "$waits|2", 'and found by who had passed it');
	is($other->query_safe("SELECT ok FROM photoflow.resolve_failures(ARRAY['$waits', '$next']::uuid[], ARRAY[2, 1])"), "t\nt", 'both are resolved');
	ask(q{SET photoflow.hard_delete = on; DELETE FROM "FailureRecords" WHERE "EntityType" = 'Wait'; DELETE FROM "FailureAttempts" WHERE "FailureId" NOT IN (SELECT "Id" FROM "FailureRecords")});
	$_->quit foreach $holder, $locker, $other;
	return;
}

sub ask
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

# What a query finds is wrong; shows the first few.
sub wrong
{
	my ($name, $query) = @_;
	is(ask("SELECT x::text FROM ($query) x LIMIT 5"), '', $name);
	return;
}

sub said
{
	return join '', map { "$_: $said{$_}" } grep { $said{$_} ne '' } sort keys %said;
}

# Until all have come to their end.
sub run_sessions
{
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	start_session($_) foreach sort keys %sessions;
	for (my $rounds = 0; %running; $rounds++)
	{
		die "the workers do not come to an end:\n" . said() . look() if time > $until;
		look_after_sessions();
		make_happen() if @events && $rounds % 5 == 0;
		usleep(20_000);
	}
	return;
}

sub start_session
{
	my ($name) = @_;
	my ($user, @commands) = @{$sessions{$name}};
	$said{$name} //= '';
	$starts{$name}++;
	local $ENV{PGAPPNAME} = $name;
	$running{$name} = start(['psql', '-X', '-q', '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . " user=$user", map { ('-c', $_) } @commands],
		'<', '/dev/null', '>', '/dev/null', '2>', \$heard{$name});
	return;
}

# Starts again who has lost the server; whose statement has failed ends it all.
sub look_after_sessions
{
	foreach my $name (sort keys %running)
	{
		$running{$name}->pump_nb;
		next if $running{$name}->pumpable;
		$running{$name}->finish;
		my $status = $running{$name}->full_result(0);
		$said{$name} .= $heard{$name};
		delete $running{$name};
		die "$name: $heard{$name}" if $heard{$name} =~ /ERROR: /;
		start_session($name) if $status != 0;
	}
	return;
}

# One of the events that are due, or several, until the server is gone by one.
sub make_happen
{
	my ($code, $resolved) = $node->psql('postgres', q{SELECT count(*) FROM ledger.ends WHERE outcome = 'resolved'});
	return if $code != 0;
	while (@events && $events[0][0] <= 100 * $resolved / $records)
	{
		my $what = $events[0][1];
		if ($what eq 'terminate' || $what eq 'KILL')
		{
			my ($there, $pids) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name IN ('" . join("', '", keys %sessions) . "') AND backend_type = 'client backend' ORDER BY application_name");
			return if $there != 0 || $pids eq '';
			my @pids = split /\n/, $pids;
			my $pid = $pids[rand(@pids)];
			return if $what eq 'KILL' ? !kill('KILL', $pid) : ($node->psql('postgres', "SELECT 1 / pg_terminate_backend($pid)::int"))[0] != 0;
		}
		else
		{
			my %sql = ('VACUUM' => 'VACUUM "FailureRecords", "FailureAttempts", "FailureCounts"', 'note' => 'CREATE TRIGGER note AFTER UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION ledger.note()',
				'note no more' => 'DROP TRIGGER note ON "FailureRecords"');
			return if ($node->psql('postgres', $sql{$what}))[0] != 0;
		}
		$happened{$what}++;
		shift @events;
		return if $what eq 'KILL';
	}
	return;
}

# For who has to find out why it does not end.
sub look
{
	my (undef, $state) = $node->psql('postgres', q{SELECT "Status", "EntityType", count(*), min("NextRetryAt"), min("LeaseUntil"), clock_timestamp() FROM "FailureRecords" GROUP BY 1, 2 ORDER BY 1, 2; TABLE ledger.producing; SELECT application_name, state, wait_event, query FROM pg_stat_activity});
	return $state;
}

# Types of entities differ in their policies: many retries, few, and those of the records themselves. All leases by policy are of
# 300 ms, as ledger.work() knows.
sub fill
{
	$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; ALTER DATABASE postgres OWNER TO studio; CREATE ROLE retry LOGIN; CREATE ROLE desk LOGIN; CREATE EXTENSION amcheck');
	my $orgs = join ', ', map { "('$_', 'x')" } @org;
	my $policies = join ' ', map { "SELECT photoflow.set_failure_policy('$_->[0]', '10 ms', '80 ms', $_->[1], '300 ms');" } ['Album', 10], ['Photo', 3], ['Job', 10], ['Sync', 5];
	$node->safe_psql('postgres', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('desk'); SELECT photoflow.grant_worker('retry'); $policies}, extra_params => ['-U', 'studio']);
	$node->safe_psql('postgres', qq{INSERT INTO "Organizations" ("Id", "Name") VALUES $orgs;
		INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "FromState", "ToState", "ErrorMessage", "Severity", "MaxRetries")
			SELECT md5('record ' || n)::uuid, (ARRAY['$org[0]', '$org[0]', '$org[0]', '$org[1]', '$org[2]', '$org[3]'])[1 + n % 6]::uuid, md5(n::text)::uuid, (ARRAY['Album', 'Photo', 'Job'])[1 + n % 3], 'a', 'b', 'error ' || n % 50, n % 4, CASE n % 3 WHEN 2 THEN 2 END
			FROM generate_series(1, $records) n;
		CREATE SCHEMA ledger;
		CREATE TABLE ledger.claims (id uuid, token bigint, worker text, at timestamptz, until timestamptz, PRIMARY KEY (id, token));
		CREATE TABLE ledger.extended (id uuid, token bigint, until timestamptz);
		CREATE TABLE ledger.ends (id uuid, token bigint, worker text, outcome text, PRIMARY KEY (id, token));
		CREATE TABLE ledger.refused (id uuid, token bigint, worker text, wanted text, why text);
		CREATE TABLE ledger.calls (producer text, id uuid);
		CREATE TABLE ledger.orders (id uuid, what text, changed int);
		CREATE TABLE ledger.producing AS SELECT x AS producer FROM unnest(ARRAY['desk records', 'owner records']) x;
		CREATE TABLE ledger.noted (id uuid, token bigint);
		CREATE TABLE ledger.overlooked (worker text, record text);
		GRANT USAGE ON SCHEMA ledger TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA ledger TO PUBLIC;});
	$node->safe_psql('postgres', procedures() =~ s/SEED/$seed/gr);
	return;
}

sub procedures
{
	return <<'SQL';
CREATE FUNCTION ledger.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW."ClaimToken" <> OLD."ClaimToken" THEN
		INSERT INTO ledger.noted VALUES (NEW."Id", NEW."ClaimToken");
	END IF;
	RETURN NULL;
END $$;

-- what is to become of a claim; the same whenever the run is repeated
CREATE FUNCTION ledger.fate(id uuid, token bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN n < 46 THEN 'resolve' WHEN n < 50 THEN 'resolve twice' WHEN n < 60 THEN 'fail' WHEN n < 68 THEN 'back off' WHEN n < 76 THEN 'snooze' WHEN n < 80 THEN 'snooze a little'
		WHEN n < 86 THEN 'forget' WHEN n < 93 THEN 'late' ELSE 'extend' END FROM (SELECT abs(hashtextextended(id::text || token, SEED) % 100) AS n) x $$;

-- what may be claimed, by the table, and is held by nobody
CREATE FUNCTION ledger.waiting(org uuid) RETURNS text[] LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
	SELECT coalesce(array_agg(concat_ws('/', x."Id", x."ClaimToken", x."NextRetryAt", x."LeaseUntil")), '{}') FROM (SELECT * FROM "FailureRecords" r
		WHERE (org IS NULL OR r."OrgId" = org) AND CASE r."Status" WHEN 0 THEN r."NextRetryAt" WHEN 1 THEN r."LeaseUntil" + (r."LeaseUntil" - r."LastRetryAt") / 10 END < clock_timestamp() - interval '0.2 s'
		FOR UPDATE SKIP LOCKED) x $$;

-- completes claims in one of the ways there are, and writes down what it was told
CREATE PROCEDURE ledger.complete(me text, how text, ids uuid[], tokens bigint[]) LANGUAGE plpgsql AS $$
DECLARE
	twice boolean := how = 'resolve twice';
BEGIN
	IF how IN ('resolve', 'late', 'resolve twice') THEN
		WITH d AS (SELECT d.id, d.ok, d.why_not, t.token FROM photoflow.resolve_failures(CASE WHEN twice THEN ids || ids ELSE ids END, CASE WHEN twice THEN tokens || tokens ELSE tokens END) WITH ORDINALITY d (id, ok, why_not, n)
				JOIN unnest(CASE WHEN twice THEN tokens || tokens ELSE tokens END) WITH ORDINALITY t (token, n) USING (n)),
			e AS (INSERT INTO ledger.ends SELECT d.id, d.token, me, 'resolved' FROM d WHERE d.ok)
		INSERT INTO ledger.refused SELECT d.id, d.token, me, how, d.why_not FROM d WHERE d.ok IS NOT TRUE;
	ELSIF how IN ('fail', 'back off') THEN
		WITH d AS (SELECT d.id, d.ok, d.why_not, t.token FROM photoflow.reschedule_failures(ids, tokens, array(SELECT 'again ' || n FROM generate_series(1, cardinality(ids)) n), CASE how WHEN 'fail' THEN interval '0' END)
				WITH ORDINALITY d (id, ok, status, next_retry_at, why_not, n) JOIN unnest(tokens) WITH ORDINALITY t (token, n) USING (n)),
			e AS (INSERT INTO ledger.ends SELECT d.id, d.token, me, 'failed' FROM d WHERE d.ok)
		INSERT INTO ledger.refused SELECT d.id, d.token, me, how, d.why_not FROM d WHERE d.ok IS NOT TRUE;
	ELSIF how IN ('snooze', 'snooze a little') THEN
		WITH d AS (SELECT d.id, d.ok, t.token FROM photoflow.snooze_failures(ids, tokens, now() + CASE how WHEN 'snooze' THEN interval '0' ELSE interval '30 ms' END) WITH ORDINALITY d (id, ok, n)
				JOIN unnest(tokens) WITH ORDINALITY t (token, n) USING (n)),
			e AS (INSERT INTO ledger.ends SELECT d.id, d.token, me, 'snoozed' FROM d WHERE d.ok)
		INSERT INTO ledger.refused SELECT d.id, d.token, me, how, 'said no' FROM d WHERE d.ok IS NOT TRUE;
	ELSIF how = 'extend' THEN
		WITH d AS (SELECT d.id, d.ok, t.token FROM photoflow.extend_lease(ids, tokens, '500 ms') WITH ORDINALITY d (id, ok, n) JOIN unnest(tokens) WITH ORDINALITY t (token, n) USING (n)),
			e AS (INSERT INTO ledger.extended SELECT d.id, d.token, now() + interval '500 ms' FROM d WHERE d.ok)
		INSERT INTO ledger.refused SELECT d.id, d.token, me, how, 'said no' FROM d WHERE d.ok IS NOT TRUE;
	END IF;
END $$;

CREATE PROCEDURE ledger.work(me text, org uuid) LANGUAGE plpgsql AS $$
DECLARE
	held uuid[]; tokens bigint[]; fates text[]; how text;
	ids uuid[]; ids_tokens bigint[];
	late uuid[] := '{}'; late_tokens bigint[] := '{}';
	idle int := 0; waiting text[];
	lease interval;
BEGIN
	LOOP
		lease := (ARRAY['30 ms', '1 s', '1 s', NULL])[1 + floor(random() * 4)];
		WITH c AS (INSERT INTO ledger.claims SELECT f.id, f.claim_token, me, f.lease_until - coalesce(lease, '300 ms'), f.lease_until
				FROM photoflow.claim_failures(me, 1 + floor(random() * 40)::int, lease, CASE WHEN idle = 0 AND random() < 0.2 THEN ARRAY['Photo', 'Sync'] END, CASE WHEN random() < 0.1 THEN org END, random() < 0.7) f
				RETURNING id, token)
		SELECT array_agg(id), array_agg(token), array_agg(ledger.fate(id, token)) INTO held, tokens, fates FROM c;
		IF held IS NULL THEN
			COMMIT;
			EXIT WHEN NOT EXISTS (SELECT FROM ledger.producing) AND NOT EXISTS (SELECT FROM photoflow.failure_stats s WHERE s.status IN ('pending', 'in progress') AND s.records <> 0);
			idle := idle + 1;
			IF idle % 40 = 20 THEN
				waiting := ledger.waiting(org);
			ELSIF idle % 40 = 0 THEN
				INSERT INTO ledger.overlooked SELECT me, x FROM unnest(waiting) x INTERSECT SELECT me, x FROM unnest(ledger.waiting(org)) x;
			END IF;
			COMMIT;
			PERFORM pg_sleep(least(extract(epoch FROM coalesce(photoflow.next_failure_due(), '1 s')), 0.05));
			COMMIT;
			CONTINUE;
		END IF;
		idle := 0;
		IF random() < 0.03 THEN
			ROLLBACK;
			CONTINUE;
		END IF;
		COMMIT;
		FOREACH how IN ARRAY array(SELECT DISTINCT x FROM unnest(fates) x) LOOP
			SELECT array_agg(x.h), array_agg(x.t) INTO ids, ids_tokens FROM unnest(held, tokens, fates) x (h, t, f) WHERE x.f = how;
			CALL ledger.complete(me, how, ids, ids_tokens);
			IF random() < 0.03 THEN
				ROLLBACK;
			ELSIF random() < 0.7 THEN
				COMMIT;
			END IF;
		END LOOP;
		COMMIT;
		IF cardinality(late) > 0 AND random() < 0.2 THEN
			CALL ledger.complete(me, 'late', late, late_tokens);
			COMMIT;
			late := '{}';
			late_tokens := '{}';
		END IF;
		late := late || array(SELECT h FROM unnest(held, fates) x (h, f) WHERE f IN ('late', 'extend'));
		late_tokens := late_tokens || array(SELECT t FROM unnest(tokens, fates) x (t, f) WHERE f IN ('late', 'extend'));
	END LOOP;
END $$;

-- completes all that it claims, long before its time
CREATE PROCEDURE ledger.work_steadily(me text, types text[], fair boolean) LANGUAGE plpgsql AS $$
DECLARE
	held uuid[]; tokens bigint[];
	idle int := 0;
BEGIN
	LOOP
		WITH c AS (INSERT INTO ledger.claims SELECT f.id, f.claim_token, me, f.lease_until - interval '1 hour', f.lease_until
				FROM photoflow.claim_failures(me, 5, '1 hour', types, fair => fair) f RETURNING id, token)
		SELECT array_agg(id), array_agg(token) INTO held, tokens FROM c;
		COMMIT;
		IF held IS NULL THEN
			EXIT WHEN idle > 60 AND NOT EXISTS (SELECT FROM ledger.producing);
			idle := idle + 1;
			PERFORM pg_sleep(0.01);
			CONTINUE;
		END IF;
		idle := 0;
		CALL ledger.complete(me, 'resolve', held, tokens);
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

-- claims, and thinks better of it: of all of that, of a part, or when it has had it for a while
CREATE PROCEDURE ledger.waver(me text, most int) LANGUAGE plpgsql AS $$
DECLARE
	held uuid[]; tokens bigint[];
BEGIN
	FOR n IN 1 .. most LOOP
		IF n % 3 = 0 THEN
			BEGIN
				PERFORM FROM photoflow.claim_failures(me, 5, '1 hour');
				RAISE EXCEPTION 'no';
			EXCEPTION WHEN raise_exception THEN
			END;
		ELSE
			WITH c AS (INSERT INTO ledger.claims SELECT f.id, f.claim_token, me, f.lease_until - interval '1 hour', f.lease_until FROM photoflow.claim_failures(me, 5, '1 hour') f RETURNING id, token)
			SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(token), '{}') INTO held, tokens FROM c;
			IF n % 3 = 1 THEN
				COMMIT;
				CALL ledger.complete(me, 'fail', held, tokens);
			END IF;
		END IF;
		PERFORM pg_sleep(0.03 * (n % 8));
		IF n % 3 = 1 THEN
			COMMIT;
		ELSE
			ROLLBACK;
		END IF;
	END LOOP;
	DELETE FROM ledger.producing p WHERE p.producer = me;
	COMMIT;
END $$;

-- in transactions that last
CREATE PROCEDURE ledger.record_slowly(me text, org uuid) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. 40 LOOP
		INSERT INTO ledger.calls SELECT me, photoflow.record_failure('Quick', md5('slow ' || n)::uuid, 'a', 'b', 'slow', org_id => org);
		PERFORM pg_sleep(0.03 * (n % 8));
		COMMIT;
	END LOOP;
	DELETE FROM ledger.producing p WHERE p.producer = me;
	COMMIT;
END $$;

-- looks at records, and lets nobody change them meanwhile
CREATE PROCEDURE ledger.lock(me text, org uuid) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. 40 LOOP
		IF n % 2 = 0 THEN
			PERFORM FROM "FailureRecords" r WHERE r."Status" < 2 ORDER BY r."Status" DESC, r."NextRetryAt" LIMIT 20 FOR UPDATE SKIP LOCKED;
		ELSE
			PERFORM FROM "FailureRecords" r WHERE r."Status" < 2 ORDER BY r."Status" DESC, r."NextRetryAt" LIMIT 20 FOR KEY SHARE SKIP LOCKED;
		END IF;
		PERFORM pg_sleep(0.03 * (n % 8));
		COMMIT;
	END LOOP;
	DELETE FROM ledger.producing p WHERE p.producer = me;
	COMMIT;
END $$;

-- an application that knows nothing but UPDATE
CREATE PROCEDURE ledger.work_plainly(me text, org uuid) LANGUAGE plpgsql AS $$
DECLARE
	held uuid[]; tokens bigint[];
BEGIN
	LOOP
		WITH due AS (SELECT r."Id" FROM "FailureRecords" r WHERE r."Status" = 0 AND r."NextRetryAt" <= clock_timestamp() AND r."RetryCount" < coalesce(r."MaxRetries", 3) ORDER BY r."NextRetryAt" LIMIT 20 FOR UPDATE SKIP LOCKED),
			u AS (UPDATE "FailureRecords" r SET "Status" = 1 FROM due WHERE r."Id" = due."Id" RETURNING r."Id", r."ClaimToken", r."LastRetryAt", r."LeaseUntil"),
			c AS (INSERT INTO ledger.claims SELECT u."Id", u."ClaimToken", me, u."LastRetryAt", u."LeaseUntil" FROM u RETURNING id, token)
		SELECT array_agg(id), array_agg(token) INTO held, tokens FROM c;
		COMMIT;
		IF held IS NULL THEN
			EXIT WHEN NOT EXISTS (SELECT FROM ledger.producing) AND NOT EXISTS (SELECT FROM "FailureRecords" WHERE "Status" IN (0, 1));
			PERFORM pg_sleep(0.05);
			CONTINUE;
		END IF;
		WITH mine AS (SELECT id, token, CASE WHEN ledger.fate(id, token) IN ('fail', 'back off') THEN 0 ELSE 2 END AS status FROM unnest(held, tokens) x (id, token) WHERE ledger.fate(id, token) <> 'forget'),
			u AS (UPDATE "FailureRecords" r SET "Status" = m.status FROM mine m WHERE r."Id" = m.id AND r."ClaimToken" = m.token AND r."Status" = 1 RETURNING m.id, m.token, m.status),
			e AS (INSERT INTO ledger.ends SELECT u.id, u.token, me, CASE u.status WHEN 2 THEN 'resolved' ELSE 'failed' END FROM u)
		INSERT INTO ledger.refused SELECT m.id, m.token, me, 'plainly', 'said no' FROM mine m WHERE NOT EXISTS (SELECT FROM u WHERE u.id = m.id);
		COMMIT;
	END LOOP;
END $$;

-- records failures, many of them again, and gives up or requeues some by hand
CREATE PROCEDURE ledger.record(me text, org uuid, most int) LANGUAGE plpgsql AS $$
DECLARE
	n int;
	changed uuid;
BEGIN
	LOOP
		SELECT count(*) INTO n FROM ledger.calls c WHERE c.producer = me;
		EXIT WHEN n >= most;
		INSERT INTO ledger.calls SELECT me, photoflow.record_failure('Sync', md5(me || floor(random() * 100))::uuid, 'a', 'b', 'sync ' || n, (ARRAY['low', 'medium', 'high', 'critical'])[1 + floor(random() * 4)], org);
		IF random() < 0.03 THEN
			ROLLBACK;
		END IF;
		COMMIT;
		SELECT c.id INTO changed FROM ledger.calls c WHERE c.producer = me ORDER BY random() LIMIT 1;
		IF changed IS NOT NULL AND random() < 0.2 THEN
			INSERT INTO ledger.orders VALUES (changed, 'abandon', photoflow.abandon_failures(ARRAY[changed], 'by hand'));
			COMMIT;
		ELSIF changed IS NOT NULL AND random() < 0.2 THEN
			INSERT INTO ledger.orders VALUES (changed, 'requeue', photoflow.requeue_failures(ARRAY[changed]));
			COMMIT;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	DELETE FROM ledger.producing p WHERE p.producer = me;
	COMMIT;
END $$;
SQL
}
