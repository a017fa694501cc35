# The audit log among all that is around it: maintain() beside writers, readers and itself, killed on its way, over a change of the
# month and from pg_cron; months that are kept, dropped and held; seals; refusals that roll back; what the server's log must not say;
# a bulk change; dump and restore; logical replication; and what of the log a report reads.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use Encode qw(decode);
use IPC::Run qw(start);
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Time::Local qw(timegm);

use FindBin;

use lib $FindBin::Bin;
use Listings qw(difference);

my %org = (sen => '00000000-0000-4000-8000-000000000001', minh => '00000000-0000-4000-8000-000000000002');
my $user = '00000000-0000-4000-9000-000000000001';
my %as = map { $_ => "SET photoflow.org_id = '$org{$_}'; SET photoflow.role = 'photographer'; " } keys %org;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node;    # the server that is asked

# the ones that need a server of their own begin, and run beside the rest
my $world = begin('world', "shared_preload_libraries = 'pg_cron,photoflow'\ncron.host = 'HOST'\nwal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nmax_worker_processes = 20\n");
my $copy = begin('subscriber', "shared_preload_libraries = 'pg_cron,photoflow'\ncron.use_background_workers = on\nmax_worker_processes = 20\n");
have_cron_maintain($_) foreach $world, $copy;

my $months = begin('months', "session_preload_libraries = 'photoflow'\nrestart_after_crash = on\nfull_page_writes = off\nshared_buffers = 16MB\n");
waiting_for_a_month();
beside_writers();
locks_of_others();
killed();
kept_and_dropped();
of_users();
in_bulk();
refusals_without_preload();
$months->stop;

a_month_changes();

$node = $world;
refusals();
secrets();
seals();
pruned();
dumped();
replicated();
cron_has_maintained($_) foreach $world, $copy;
$_->stop foreach $copy, $world;
done_testing();

# A server with the extension, two organizations, and albums of theirs.
sub begin
{
	my ($name, $conf) = @_;
	$node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => ['--no-locale', '--encoding=UTF8']);
	my $host = $node->host;
	$node->append_conf('postgresql.conf', "max_wal_size = 1GB\nautovacuum = off\n" . $conf =~ s/HOST/$host/r);
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup');
	install('studio');
	return $node;
}

sub install
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database OWNER studio");
	as('studio', q{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');}, $database);
	foreach my $who (sort keys %org)
	{
		as('studio', qq{$as{$who} INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org{$who}', '$who'); INSERT INTO "Albums" ("Id", "Name") VALUES } . join(', ', map { "('" . album($who, $_) . "', '$_')" } 1 .. 9), $database);
	}
	# rows that do not lie where their time belongs; months that are there
	as_super(q{CREATE SCHEMA watch; GRANT USAGE ON SCHEMA watch TO app;
		CREATE FUNCTION watch.astray() RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE p record; wrong bigint; found bigint := 0;
		BEGIN
			FOR p IN SELECT * FROM photoflow.audit_partitions WHERE to_time IS NOT NULL LOOP
				EXECUTE format('SELECT (SELECT count(*) FROM ONLY %s WHERE ("CreatedAt" >= %L AND "CreatedAt" < %L) IS NOT TRUE) + (SELECT count(*) FROM ONLY "AuditLogs_default" WHERE "CreatedAt" >= %2$L AND "CreatedAt" < %3$L)',
					p.partition, p.from_time, p.to_time) INTO wrong;
				found := found + wrong;
			END LOOP;
			RETURN found;
		END $$;
		CREATE FUNCTION watch.stop_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN WHILE NOT pg_try_advisory_xact_lock(42) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NULL; END $$;
		CREATE FUNCTION watch.drop_months() RETURNS void LANGUAGE plpgsql AS $$
		DECLARE p regclass;
		BEGIN
			FOR p IN SELECT partition FROM photoflow.audit_partitions WHERE to_time IS NOT NULL LOOP EXECUTE format('DROP TABLE %s', p); END LOOP;
		END $$;}, $database);
	return;
}

# Writers that come while maintain() waits to give the month they write in a partition: each by another way, in a session that knows the
# default partition already.
sub waiting_for_a_month
{
	$node = $months;
	as_super('SELECT watch.drop_months()');
	is(as_super('SELECT string_agg(partition::text, \',\') FROM photoflow.audit_partitions'), '"AuditLogs_default"', 'there is no month at all');
	as('studio', q{SELECT photoflow.track('"Albums"')});
	my @ways = ('INSERT', 'log_operation', 'log_operations', 'UPDATE');
	my %sql = (INSERT => q{INSERT INTO "AuditLogs" ("Action", "EntityId") VALUES ('way', 'INSERT TIME')}, log_operation => q{SELECT FROM photoflow.log_operation('way', 'way', entity_id => 'log_operation TIME')},
		log_operations => q{SELECT FROM photoflow.log_operations('[{"service_name": "way", "action": "way", "entity_id": "log_operations TIME"}]')},
		UPDATE => q{UPDATE "Albums" SET "Name" = 'UPDATE TIME' WHERE "Id" = '} . album('sen', 1) . q{'});
	my %session = map { $_ => session('app') } @ways;
	ask($session{$_}, $as{sen} . ($sql{$_} =~ s/TIME/before/r)) foreach @ways;
	my $found = sub
	{
		my ($when) = @_;
		# of this month alone, so that no other partition is looked at
		return as_super(qq{SELECT string_agg(DISTINCT split_part(id, ' ', 1), ',' ORDER BY split_part(id, ' ', 1)), count(*), count(*) FILTER (WHERE p = '"AuditLogs_default"') FROM (
			SELECT coalesce("Changes"->'Name'->>1, "EntityId") AS id, tableoid::regclass::text AS p FROM "AuditLogs" WHERE "CreatedAt" >= date_trunc('month', now(), 'UTC') AND "CreatedAt" < date_trunc('month', now(), 'UTC') + interval '1 month') x WHERE id LIKE '% $when'});
	};
	my $all = join ',', sort @ways;
	is($found->('before'), "$all|4|4", 'rows of a month without a partition are in the default partition, however they came');
	as_super('CREATE TRIGGER zz_stop AFTER DELETE ON "AuditLogs_default" FOR EACH STATEMENT EXECUTE FUNCTION watch.stop_here()');
	my $holder = session('postgres');
	ask($holder, 'SELECT pg_advisory_lock(42)');
	my $maintaining = start_maintain(q{lock_timeout => '2 minutes'});
	stopped();
	$session{$_}->query_until(qr/writing/, "\\echo writing\n" . ($sql{$_} =~ s/TIME/meanwhile/r) . ";\n") foreach @ways;
	$node->poll_query_until('studio', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'}) or die 'the writers do not wait';
	$holder->quit;
	is(end($maintaining), '', 'maintain() gives the month a partition');
	as_super('DROP TRIGGER zz_stop ON "AuditLogs_default"');
	foreach my $way (@ways)
	{
		is(ask($session{$way}, 'SELECT 1'), '1', "a writer that waited meanwhile has written: $way");
	}
	is($found->('meanwhile'), "$all|4|0", 'and his row is in the partition of its month');
	is($found->('before'), "$all|4|0", 'as are those of before');
	ask($session{$_}, $sql{$_} =~ s/TIME/after/r) foreach @ways;
	is($found->('after'), "$all|4|0", 'and those that come after');
	is(as_super('SELECT watch.astray(), (SELECT count(*) FROM ONLY "AuditLogs_default")'), '0|0', 'nothing is astray');
	is(as('app', qq{$as{sen} SELECT count(*) FROM photoflow.entity_timeline('Album', '} . album('sen', 1) . q{', '1 day')}), 3, 'the timeline has all three changes');
	$_->quit foreach values %session;
	tidy();
	return;
}

# Three writers, by three ways each, in months that go back further and further; maintain() all the while.
sub beside_writers
{
	$node = $months;
	as_super(q{CREATE TABLE watch.era (n int); INSERT INTO watch.era VALUES (0); CREATE TABLE watch.written (kind int, id text); CREATE TABLE watch.refused (state text, message text);
		GRANT SELECT ON watch.era TO app; GRANT INSERT ON watch.written, watch.refused TO app;
		CREATE FUNCTION watch.write(who int) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE kind int := 1 + floor(random() * 3); id text := gen_random_uuid();
		BEGIN
			PERFORM photoflow.set_context(('00000000-0000-4000-8000-00000000000' || 1 + who % 2)::uuid, NULL, 'photographer');
			IF kind = 1 THEN
				INSERT INTO "AuditLogs" ("Action", "EntityId", "CreatedAt") SELECT 'written', id, now() - (n * 400 + random() * 400) * interval '1 day' FROM watch.era;
			ELSIF kind = 2 THEN
				PERFORM photoflow.log_operation('writer', 'written', entity_id => id);
			ELSE
				UPDATE "Albums" SET "Name" = id WHERE "Id" = ('00000000-0000-4000-8000-' || 1 + who % 2 || '0000000000' || 5 + who % 3)::uuid;
			END IF;
			INSERT INTO watch.written VALUES (kind, id);
		EXCEPTION WHEN OTHERS THEN INSERT INTO watch.refused VALUES (SQLSTATE, SQLERRM);
		END $$;});
	append_to_file("$dir/writers.sql", "\\set n :client_id + 1\nSELECT watch.write(:n::int);\n\\sleep 1 ms\n");
	my ($said, $complained) = ('', '');
	my $writers = start(['pgbench', '-n', '-M', 'prepared', '-c', 3, '-T', 600, '-f', "$dir/writers.sql", '-h', $node->host, '-p', $node->port, '-U', 'app', 'studio'], '>', \$said, '2>', \$complained);
	my $waiting = q{(SELECT count(*) FROM ONLY "AuditLogs_default")};
	my $moved = 0;
	my @said;
	foreach my $era (0 .. 5)
	{
		as_super("UPDATE watch.era SET n = $era");
		$node->poll_query_until('studio', "SELECT $waiting >= 80") or die 'the writers do not go on';
		$moved += as_super("SELECT $waiting");
		foreach (1 .. 3)
		{
			my ($code, $notices) = maintain(q{lock_timeout => '20 s'});
			push @said, $notices if $code != 0 || $notices ne '';
		}
		cmp_ok(as_super("SELECT $waiting"), '<', 80, "writers go on, and the default partition is emptied: $era");
	}
	is("@said", '', 'maintain() had nothing to say');
	is(as_super(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'}), 3, 'nobody has given up');
	$writers->signal('TERM');
	$writers->finish;
	$node->poll_query_until('studio', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'}) or die 'the writers go on';
	is($complained, '', 'nor complained');
	is(as_super('SELECT state, message, count(*) FROM watch.refused GROUP BY 1, 2'), '', 'none of whose rows was refused');
	is((maintain(''))[1], '', 'maintain() once more');
	cmp_ok(as_super("SELECT $waiting"), '==', 0, "$moved rows were in the default partition, and none is");
	is(as_super('SELECT watch.astray()'), 0, 'each is in its month');
	tidy();
	is(as_super(q{SELECT count(DISTINCT kind), count(*) > 1000 FROM watch.written}), '3|t', 'rows were written in three ways');
	is(as_super(q{SELECT kind, count(*), min(id) FROM watch.written FULL JOIN (SELECT CASE "Action" WHEN 'update' THEN "Changes"->'Name'->>1 ELSE "EntityId" END AS id, count(*) AS n FROM "AuditLogs"
		WHERE "Action" = 'written' OR ("Action" = 'update' AND "Changes"->'Name'->>1 NOT LIKE 'UPDATE %') GROUP BY 1) l USING (id) WHERE kind IS NULL OR n IS DISTINCT FROM 1 GROUP BY 1}), '', 'each is there, once');
	cmp_ok(as_super('SELECT count(*) FROM photoflow.audit_partitions WHERE from_time < now() - interval \'5 years\''), '>', 12, 'which was made');
	is(as_super(q{SELECT count(*) FROM generate_series(0, 3) n LEFT JOIN photoflow.audit_partitions ON from_time = date_trunc('month', now(), 'UTC') + n * interval '1 month' WHERE partition IS NULL}), 0, 'so are this month and the next three');
	is(as_super(q{SELECT count(*) FROM photoflow.audit_partitions p WHERE to_time IS NOT NULL AND (partition::text <> '"AuditLogs_' || to_char(from_time AT TIME ZONE 'UTC', 'YYYYMM') || '"' OR to_time <> (from_time AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
		OR NOT (SELECT relrowsecurity AND relforcerowsecurity AND relowner = 'studio'::regrole FROM pg_class WHERE oid = partition) OR has_table_privilege('app', partition, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
		OR (SELECT count(*) FROM pg_index WHERE indrelid = partition AND indisvalid) <> (SELECT count(*) FROM pg_index WHERE indrelid = '"AuditLogs"'::regclass))}), 0, 'months are whole, with policies, indexes and no grants');
	return;
}

# Who holds a lock is waited for as long as it is said; nobody but the owner maintains, one at a time, and not in a transaction.
sub locks_of_others
{
	$node = $months;
	as_super(q{INSERT INTO "AuditLogs" ("OrgId", "Action", "EntityId", "CreatedAt") SELECT '} . $org{sen} . q{', 'ahead', n, now() + (13 + n % 2) * interval '32 days' FROM generate_series(1, 10) n});
	my $made = q{SELECT count(*) FROM photoflow.audit_partitions WHERE from_time > now() + interval '6 months'};
	foreach my $lock (q{LOCK TABLE "AuditLogs" IN ACCESS EXCLUSIVE MODE}, q{LOCK TABLE ONLY "AuditLogs" IN SHARE UPDATE EXCLUSIVE MODE}, q{LOCK TABLE "AuditLogs_default" IN ACCESS SHARE MODE},
		qq{INSERT INTO "AuditLogs" ("OrgId", "CreatedAt") VALUES ('$org{sen}', now() + interval '3 years')})
	{
		my $holder = session('postgres');
		ask($holder, "BEGIN; $lock");
		my $began = time;
		my ($code, $said) = maintain(q{months_ahead => 5, lock_timeout => '200 ms'});
		my $took = time - $began;
		cmp_ok($took, '<', 20, sprintf "maintain() waits for nobody: %.1f s: $lock", $took);
		is($code, 0, 'and is not refused');
		like($said, qr/^[^\n]*NOTICE: /m, 'but says so');
		is(as_super("SELECT (SELECT count(*) FROM ONLY \"AuditLogs_default\") FROM ($made) x (n) WHERE n = 0"), '10', 'and leaves it to the next call') if $lock !~ /ACCESS EXCLUSIVE/;
		ask($holder, 'ROLLBACK');
		$holder->quit;
	}

	my $holder = session('postgres');
	ask($holder, q{BEGIN; LOCK TABLE "AuditLogs_default" IN ACCESS SHARE MODE});
	my $first = start_maintain(q{lock_timeout => '2 minutes'});
	waits();
	my $began = time;
	my ($code, $said) = maintain(q{lock_timeout => '2 minutes'});
	my $took = time - $began;
	cmp_ok($took, '<', 20, sprintf 'a second maintain() returns at once: %.1f s', $took);
	is($code, 0, 'and is not refused');
	like($said, qr/^[^\n]*NOTICE: .*(another|already)/m, 'but says that there is another');
	ask($holder, 'COMMIT');
	$holder->quit;
	is(end($first), '', 'which does what is to be done');
	is(as_super("SELECT count(*), watch.astray(), ($made) > 0 FROM ONLY \"AuditLogs_default\""), '0|0|t', 'all of it');
	is((maintain(q{months_ahead => 5}))[1], '', 'and then the next');
	is(as_super(q{SELECT count(*) FROM photoflow.audit_partitions WHERE from_time = date_trunc('month', now(), 'UTC') + interval '5 months'}), 1, 'with the months that it was told');

	is(refusal('studio', 'BEGIN; CALL photoflow.maintain()'), '2D000', 'not in a transaction');
	is(refusal('studio', 'BEGIN; SELECT 1; CALL photoflow.maintain(); COMMIT'), '2D000', 'not even in one that has begun');
	is(refusal('app', $as{sen} . $_), '42501', "not an application's: $_") foreach 'CALL photoflow.maintain()', q{SELECT photoflow.set_audit_retention('1 day')}, q{SELECT photoflow.seal_partition('"AuditLogs_default"')},
		q{SELECT photoflow.verify_partition('"AuditLogs_default"')}, q{SELECT photoflow.track('"Albums"')}, q{SELECT photoflow.untrack('"Albums"')}, 'SELECT * FROM photoflow.audit_partitions', 'SELECT * FROM photoflow.refusals', 'TABLE "AuditSeals"', 'TABLE "AuditSettings"',
		'TABLE "AuditLogs_default"', 'UPDATE "AuditLogs" SET "Action" = \'x\'', 'DELETE FROM "AuditLogs"', 'TRUNCATE "AuditLogs"', q{INSERT INTO "AuditLogs" ("Changes") VALUES ('{}')};
	is(refusal('studio', $_), '22023', "refused: $_") foreach q{SELECT photoflow.set_audit_retention('-1 day')}, 'CALL photoflow.maintain(-1)', q{CALL photoflow.maintain(lock_timeout => '-1 s')};
	return;
}

# maintain() ended in each of its parts: nothing is lost, nothing is there twice, and the next call finishes.
sub killed
{
	$node = $months;
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "EntityId", "CreatedAt") SELECT '$org{minh}', 'killed', n, date_trunc('month', now(), 'UTC') + (30 + n % 3) * interval '1 month' + n * interval '1 minute' FROM generate_series(1, 30000) n});
	my $books = q{SELECT count(*), sum(hashtextextended(a::text, 0)) FROM "AuditLogs" a};
	my $before = as_super($books);
	my $left = 'SELECT count(*) FROM ONLY "AuditLogs_default"';
	is(as_super($left), 30000, 'rows of three months are in the default partition');
	foreach my $way (['KILL', 1, 30000], ['TERM', 2, 20000], ['KILL', 3, 10000])
	{
		my ($how, $month, $rest) = @$way;
		my $id = 15000 + $month - 15000 % 3 - 1;
		as_super(qq{CREATE TRIGGER zz_stop AFTER DELETE ON "AuditLogs_default" FOR EACH ROW WHEN (OLD."EntityId" = '$id') EXECUTE FUNCTION watch.stop_here()});
		my $holder = session('postgres');
		ask($holder, 'SELECT pg_advisory_lock(42)');
		my $victim = start_maintain('');
		kill $how, stopped();
		$victim->{run}->finish;
		$holder->{run}->kill_kill if $how eq 'KILL';
		$how eq 'KILL' ? $holder->{run}->finish : $holder->quit;
		$node->poll_query_until('studio', 'SELECT true') or die 'the server does not come back';
		is(as_super($books), $before, "$how in month $month: each row is there, once");
		is(as_super("$left UNION ALL SELECT watch.astray()"), "$rest\n0", 'those of the months before are in theirs, the others where they were');
		as_super('DROP TRIGGER zz_stop ON "AuditLogs_default"');
	}
	is((maintain(''))[1], '', 'the next call');
	is(as_super("$left UNION ALL SELECT watch.astray()"), "0\n0", 'finishes');
	is(as_super($books), $before, 'with each row there, once');

	# while it makes a month, and while it drops one
	install('ended');
	as_super(q{SELECT watch.drop_months(); INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT '} . $org{sen} . q{', 'old', date_trunc('month', now(), 'UTC') - n * interval '1 month' FROM generate_series(1, 6) n}, 'ended');
	foreach my $lock (['AuditLogs', q{ONLY "AuditLogs" IN SHARE UPDATE EXCLUSIVE MODE}], ['AuditLogs_' . month(-5), '"AuditLogs_' . month(-5) . '" IN ACCESS SHARE MODE'])
	{
		my ($table, $mode) = @$lock;
		my $holder = session('postgres', 'ended');
		ask($holder, "BEGIN; LOCK TABLE $mode");
		my $victim = start_maintain(q{lock_timeout => '2 minutes'}, 'ended');
		$node->poll_query_until('ended', qq{SELECT to_regclass('"AuditLogs_@{[month(-6)]}"') IS NULL}) or die 'no month is dropped';
		waits('ended');
		as_super(q{SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND datname = 'ended'});
		$victim->{run}->finish;
		$holder->quit;
		if ($table eq 'AuditLogs')
		{
			is(as_super('SELECT count(*), (SELECT count(*) FROM photoflow.audit_partitions) FROM ONLY "AuditLogs_default"', 'ended'), '6|1', 'ended before it has made a month: nothing is done');
			is((maintain('', 'ended'))[1], '', 'the next call');
			is(as_super('SELECT count(*), (SELECT count(*) FROM "AuditLogs"), (SELECT count(*) FROM photoflow.audit_partitions) FROM ONLY "AuditLogs_default"', 'ended'), '0|6|11', 'does all');
			as('studio', q{SELECT photoflow.set_audit_retention('2 months')}, 'ended');
		}
	}
	is(as_super(q{SELECT count(*), min("CreatedAt") = date_trunc('month', now(), 'UTC') - interval '5 months' FROM "AuditLogs"}, 'ended'), '5|t', 'ended before it drops the second month: one is gone');
	is((maintain('', 'ended'))[1], '', 'the next call');
	is(as_super(q{SELECT count(*) FROM "AuditLogs" WHERE "CreatedAt" < date_trunc('month', now(), 'UTC') - interval '2 months'}, 'ended'), 0, 'does the rest');
	return;
}

# Months go when their last moment is longer ago than is said; who is under legal hold keeps them.
sub kept_and_dropped
{
	$node = $months;
	install('kept');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT '$org{sen}', 'old', date_trunc('month', now(), 'UTC') - n * interval '1 month' + interval '1 day' FROM generate_series(1, 30) n;
		INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt", "IsDeleted") SELECT '$org{minh}', 'old', date_trunc('month', now(), 'UTC') - n * interval '1 month' + interval '1 day', n = 25 FROM unnest(ARRAY[20, 25]) n}, 'kept');
	is((maintain('', 'kept'))[1], '', 'thirty months are made');
	my $all = q{SELECT coalesce(string_agg(partition::text, ' ' ORDER BY partition::text), '') FROM photoflow.audit_partitions};
	my $before = as_super($all, 'kept');
	is(scalar(() = $before =~ /"AuditLogs_\d{6}"/g), 42, 'and those to come are there');
	maintain('', 'kept');
	is(as_super($all, 'kept'), $before, 'while nothing is said, all are kept');
	as('studio', q{SELECT photoflow.set_audit_retention('500 years')}, 'kept');
	maintain('', 'kept');
	is(as_super($all, 'kept'), $before, 'for a long time: all');

	# whoever reads the oldest one keeps it, and nothing else
	as('studio', qq{SELECT photoflow.set_audit_retention('18 months'); SELECT photoflow.set_legal_hold('$org{minh}', true, 'a lawsuit')}, 'kept');
	my $expected = as_super($all . qq{ WHERE (to_time <= now() - interval '18 months') IS NOT TRUE OR partition::text IN ('"AuditLogs_@{[month(-20)]}"', '"AuditLogs_@{[month(-25)]}"')}, 'kept');
	my $oldest = as_super(q{SELECT partition FROM photoflow.audit_partitions ORDER BY from_time LIMIT 1}, 'kept');
	my $reader = session('postgres', 'kept');
	ask($reader, "BEGIN; SELECT count(*) FROM $oldest");
	my ($code, $said) = maintain(q{lock_timeout => '200 ms'}, 'kept');
	like("$code $said", qr/^0 .*NOTICE: /s, 'a month that somebody reads is left');
	is(join("\n", difference([sort($oldest, split / /, $expected)], [split / /, as_super($all, 'kept')])), '', 'the others are dropped');
	ask($reader, 'COMMIT');
	is((maintain('', 'kept'))[1], '', 'the next call');
	is(as_super($all, 'kept'), $expected, 'drops it as well, but no month with rows of an organization under legal hold, also deleted ones');
	is(as_super(q{SELECT count(*) FROM "AuditLogs"}, 'kept'), 18 + 4, 'with all rows of theirs');

	# a hold that comes while maintain() waits to drop a month
	as('studio', "SELECT photoflow.set_legal_hold('$org{minh}', false)", 'kept');
	my $held = '"AuditLogs_' . month(-25) . '"';
	ask($reader, "BEGIN; SELECT count(*) FROM $held");
	my $maintaining = start_maintain(q{lock_timeout => '2 minutes'}, 'kept');
	waits('kept');
	my $holding = session('studio', 'kept');
	$holding->query_until(qr/holding/, "\\echo holding\nSELECT photoflow.set_legal_hold('$org{minh}', true, 'a lawsuit');\n");
	my $hold = q{FROM pg_stat_activity WHERE query LIKE '%set_legal_hold%' AND usename = 'studio' AND datname = 'kept' AND};
	$node->poll_query_until('kept', "SELECT count(*) = 1 $hold (state = 'idle' OR wait_event_type = 'Lock')") or die 'there is no hold';
	my $told = as_super("SELECT count(*) $hold state = 'idle'", 'kept');
	ask($reader, 'COMMIT');
	end($maintaining);
	like(ask($holding, 'SELECT 1'), qr/^\s*1$/, 'a legal hold that comes while maintain() waits to drop a month');
	ok(!$told || as_super(qq{SELECT to_regclass('$held') IS NOT NULL}, 'kept') eq 't', 'is heeded, or comes after it');

	# and rows that come meanwhile
	maintain('', 'kept');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('$org{sen}', 'late', date_trunc('month', now(), 'UTC') - interval '22 months' + interval '1 day')}, 'kept');
	as('studio', 'SELECT photoflow.set_audit_retention(NULL)', 'kept');
	maintain('', 'kept');
	as('studio', q{SELECT photoflow.set_audit_retention('18 months')}, 'kept');
	my $writer = session('app', 'kept');
	ask($writer, qq{$as{minh} BEGIN; INSERT INTO "AuditLogs" ("Action", "EntityId", "CreatedAt") VALUES ('late', 'late', date_trunc('month', now(), 'UTC') - interval '22 months' + interval '1 day')});
	$maintaining = start_maintain(q{lock_timeout => '2 minutes'}, 'kept');
	waits('kept');
	ask($writer, 'COMMIT');
	end($maintaining);
	is(as_super(q{SELECT count(*) FROM "AuditLogs" WHERE "EntityId" = 'late'}, 'kept'), 1, 'a row of an organization under legal hold that is committed while maintain() waits is kept');
	$_->quit foreach $reader, $holding, $writer;

	# rows that are too old as they come; a month that was detached; and for ever again
	as('studio', "SELECT photoflow.set_legal_hold('$org{minh}', false)", 'kept');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('$org{sen}', 'late', now() - interval '50 months'); ALTER TABLE "AuditLogs" DETACH PARTITION "AuditLogs_@{[month(-15)]}"}, 'kept');
	as('studio', q{SELECT photoflow.set_audit_retention('12 months')}, 'kept');
	maintain('', 'kept') foreach 1, 2;
	is(as_super(q{SELECT count(*), min("CreatedAt") >= date_trunc('month', now() - interval '13 months', 'UTC') FROM "AuditLogs"}, 'kept') =~ s/^1[23]\|/some|/r, 'some|t', 'a year is kept, and nothing else');
	is(as_super(qq{SELECT count(*) FROM "AuditLogs_@{[month(-15)]}"}, 'kept'), 1, 'but for a month that was detached');
	as('studio', 'SELECT photoflow.set_audit_retention(NULL)', 'kept');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('$org{sen}', 'late', now() - interval '50 months')}, 'kept');
	maintain('', 'kept');
	is(as_super(q{SELECT tableoid::regclass FROM "AuditLogs" WHERE "Action" = 'late'}, 'kept'), '"AuditLogs_' . as_super(q{SELECT to_char(now() AT TIME ZONE 'UTC' - interval '50 months', 'YYYYMM')}) . '"', 'for ever again');
	return;
}

# What users have added to the log goes along; the tables may lie in another schema; a session may have any settings, and a superuser call.
sub of_users
{
	$node = $months;
	install('users');
	as('studio', q{ALTER TABLE "AuditLogs" ADD COLUMN "Mine" int NOT NULL DEFAULT 7, ADD CONSTRAINT mine CHECK ("Mine" > 0), ALTER COLUMN "RequestData" SET STORAGE EXTERNAL; CREATE INDEX mine ON "AuditLogs" ("ServiceName");
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."Mine" := NEW."Mine" + 1; RETURN NEW; END'; CREATE TRIGGER note BEFORE INSERT ON "AuditLogs" FOR EACH ROW EXECUTE FUNCTION note();}, 'users');
	my $add = sub { my ($n) = @_; as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "EntityId", "CreatedAt") SELECT '$org{sen}', 'user''s', x, date_trunc('month', now(), 'UTC') - $n * interval '1 month' + x * interval '1 day' FROM generate_series(0, 20) x}, 'users'); return };
	$add->(3);
	is((maintain('', 'users'))[1], '', 'a log with a column, a CHECK, a trigger and an index of users');
	is(as_super(q{SELECT count(*), count(DISTINCT tableoid), bool_or(tableoid = '"AuditLogs_default"'::regclass), min("Mine"), max("Mine") FROM "AuditLogs"}, 'users'), '21|1|f|8|8', 'is moved as it is');
	$add->(3);
	is(as_super(q{SELECT count(*), min("Mine"), max("Mine") FROM "AuditLogs"}, 'users'), '42|8|8', 'and they go on');
	is(as_super(q{SELECT attstorage FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attname = 'RequestData' AND relname = 'AuditLogs_} . month(-3) . q{'}, 'users'), 'e', 'so does the storage of a column');
	is(refusal('studio', qq{$as{sen} INSERT INTO "AuditLogs" ("Mine", "CreatedAt") VALUES (-9, date_trunc('month', now(), 'UTC') - interval '3 months')}, 'users'), '23514', 'and the CHECK');
	as('studio', q{ALTER TABLE "AuditLogs" ADD COLUMN "Loud" text GENERATED ALWAYS AS (upper("Action")) STORED}, 'users');
	$add->(4);
	is((maintain('', 'users'))[1], '', 'with a generated column');
	is(as_super(q{SELECT count(*) FROM ONLY "AuditLogs_default"}, 'users'), 0, 'rows are moved');
	$add->(4);
	is(as_super(q{SELECT count(*), string_agg(DISTINCT "Loud", ',') FROM "AuditLogs"}, 'users'), q{84|USER'S}, 'and have it');
	as('studio', q{ALTER TABLE "AuditLogs" DROP COLUMN "Loud"}, 'users');

	# months are those of UTC, however a session reads and writes times
	my $list = q{SELECT concat_ws(' ', relname, extract(epoch FROM from_time), extract(epoch FROM to_time)) FROM photoflow.audit_partitions JOIN pg_class c ON c.oid = partition ORDER BY relname};
	as('studio', q{SELECT photoflow.set_audit_retention('20 years')}, 'users');
	foreach my $n (5 .. 8)
	{
		my $style = ('German', 'SQL, DMY', 'Postgres', 'ISO')[$n - 5];
		my $zone = ('Asia/Kolkata', 'Australia/Sydney', 'America/New_York', 'Asia/Kathmandu')[$n - 5];
		my $set = "SET DateStyle = '$style'; SET TimeZone = '$zone'; SET IntervalStyle = 'sql_standard'; SET search_path = ''; ";
		$add->($n);
		as('studio', $set . 'CALL photoflow.maintain()', 'users');
		is(as_super(q{SELECT count(*), watch.astray() FROM ONLY "AuditLogs_default"}, 'users'), '0|0', "maintain() with $style, $zone");
		is(join("\n", difference([split /\n/, as_super($list, 'users')], [split /\n/, as('studio', $set . $list, 'users')])), '', 'and the list has the same moments');
	}
	is(as_super(q{SELECT count(*) FROM photoflow.audit_partitions WHERE to_time IS NOT NULL AND (from_time <> date_trunc('month', from_time, 'UTC') OR to_time <> from_time + interval '1 month' OR partition::text NOT LIKE to_char(from_time, '"%"YYYYMM"%"'))}, 'users'), 0, 'months are months');

	is(refusal('studio', "SET default_transaction_isolation = '$_'; CALL photoflow.maintain()", 'users'), '25001', "not in $_: it must see what is committed while it waits") foreach 'repeatable read', 'serializable';

	# called by a superuser; cancelled
	as_super('CALL photoflow.maintain(14)', 'users');
	is(as_super(q{SELECT count(*), string_agg(DISTINCT relowner::regrole::text, ',') FROM photoflow.audit_partitions JOIN pg_class c ON c.oid = partition WHERE from_time > now() + interval '12 months'}, 'users'), '2|studio', 'what a superuser makes is the owner\'s');
	my $holder = session('postgres', 'users');
	ask($holder, 'BEGIN; LOCK TABLE "AuditLogs_default" IN ACCESS SHARE MODE');
	my $cancelled = start_maintain(q{months_ahead => 15, lock_timeout => '2 minutes'}, 'users');
	waits('users');
	as_super(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND datname = 'users'}, 'users');
	$cancelled->query('SELECT 1');
	like($cancelled->{stderr}, qr/canceling statement due to user request/, 'maintain() is cancelled');
	ask($holder, 'COMMIT');
	$holder->quit;
	is((maintain('15', 'users'))[1], '', 'and nobody has to wait for that session');
	is(ask($cancelled, 'CALL photoflow.maintain(16); SELECT count(*) FROM photoflow.audit_partitions WHERE from_time > now() + interval \'12 months\''), '4', 'which can go on itself');
	$cancelled->quit;

	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere OWNER studio');
	as('studio', qq{CREATE EXTENSION photoflow; CREATE SCHEMA "Daten"; SELECT photoflow.create_tables('Daten'); $as{sen} INSERT INTO "Daten"."Organizations" ("Id", "Name") VALUES ('$org{sen}', 'sen'); SELECT photoflow.track('"Daten"."Albums"'); INSERT INTO "Daten"."Albums" ("Name") VALUES ('x');
		INSERT INTO "Daten"."AuditLogs" ("Action", "CreatedAt") SELECT 'x', date_trunc('month', now(), 'UTC') - n * interval '1 month' FROM generate_series(1, 6) n; SELECT photoflow.set_audit_retention('4 months');}, 'elsewhere');
	is((maintain('', 'elsewhere'))[1], '', 'tables in another schema');
	is(as_super(q{SELECT count(*), count(DISTINCT tableoid), (SELECT count(*) FROM ONLY "Daten"."AuditLogs_default"), string_agg("EntityType", ',') FROM "Daten"."AuditLogs"}, 'elsewhere'), '5|5|0|Album', 'are maintained');
	is(as('studio', q{SELECT rows FROM photoflow.seal_partition('"Daten"."AuditLogs_} . month(-1) . q{"')}, 'elsewhere'), 1, 'and sealed');
	is(as('studio', q{SELECT ok FROM photoflow.verify_partition('"Daten"."AuditLogs_} . month(-1) . q{"')}, 'elsewhere'), 't', 'and verified');
	return;
}

# A statement that changes 100,000 rows, beside the same on a table that is not tracked.
sub in_bulk
{
	$node = $months;
	my $rows = 100_000;
	foreach my $table ('bare', 'tracked')
	{
		as('studio', qq{CREATE TABLE $table (id int PRIMARY KEY, "OrgId" uuid, n int, note text); INSERT INTO $table SELECT n, '$org{sen}', n, 'a note of some length' FROM generate_series(1, $rows) n});
	}
	as('studio', q{SELECT photoflow.track('tracked')});
	as_super('VACUUM ANALYZE bare; VACUUM ANALYZE tracked; CHECKPOINT');
	my $session = session('studio');
	ask($session, "$as{sen} SET photoflow.user_id = '$user'; SET work_mem = '4MB'; SET jit = off");
	my $pid = ask($session, 'SELECT pg_backend_pid()');
	my %wal;
	my $grown;
	foreach my $table ('bare', 'tracked')
	{
		ask($session, "SELECT count(*) FROM $table; UPDATE $table SET n = n WHERE id = 0");
		my $from = ask($session, 'SELECT pg_current_wal_insert_lsn()');
		forget_peak($pid);
		my $before = memory($pid, 'VmRSS');
		is(ask($session, "WITH u AS (UPDATE $table SET n = n + 1 RETURNING 1) SELECT count(*) FROM u"), $rows, "$rows rows of a $table table are changed");
		$grown = memory($pid, 'VmHWM') - $before;
		$wal{$table} = as_super("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$from')") / $rows;
	}
	is(as_super(q{SELECT count(*), count(DISTINCT "EntityId"), count(DISTINCT "Id"), count(DISTINCT "TransactionId"), bool_and("Changes" = jsonb_build_object('n', jsonb_build_array("EntityId"::int, "EntityId"::int + 1)))
		FROM "AuditLogs" WHERE "EntityType" = 'tracked'}), "$rows|$rows|$rows|1|t", 'each is in the log, with what has changed');
	my $more = $wal{tracked} - $wal{bare};
	cmp_ok($more, '<=', 400, sprintf 'for %.0f bytes of WAL a row, beside the %.0f of the change', $more, $wal{bare});
	cmp_ok($more, '>', 100, 'which are counted');
	cmp_ok($grown, '<', 100 * 1024, "and $grown kB of memory");

	# 400 MB of values; and row by row, of partitions
	as('studio', qq{CREATE TABLE wide (id int PRIMARY KEY, "OrgId" uuid, data text); INSERT INTO wide SELECT n, '$org{sen}', repeat(md5(n::text), 3125) FROM generate_series(1, 2000) n;
		CREATE TABLE parted (id int PRIMARY KEY, "OrgId" uuid, n int) PARTITION BY RANGE (id); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (50000); CREATE TABLE parted_2 PARTITION OF parted DEFAULT;
		INSERT INTO parted SELECT n, '$org{sen}', n FROM generate_series(1, $rows) n; SELECT photoflow.track('wide'), photoflow.track('parted')});
	foreach my $way (['wide', q{data = data || 'x'}, 2000, q{length("Changes"->'data'->>0) = 100000 AND length("Changes"->'data'->>1) = 100001}], ['parted', 'n = n + 1', $rows, q{("Changes"->'n'->>1)::int = "EntityId"::int + 1}])
	{
		my ($table, $set, $count, $right) = @$way;
		forget_peak($pid);
		my $before = memory($pid, 'VmRSS');
		is(ask($session, "WITH u AS (UPDATE $table SET $set RETURNING 1) SELECT count(*) FROM u"), $count, "$count rows of a $table table are changed");
		$grown = memory($pid, 'VmHWM') - $before;
		is(as_super(qq{SELECT count(*), bool_and($right), count(DISTINCT "EntityId") FROM "AuditLogs" WHERE "EntityType" = '$table' AND "Action" = 'update'}), "$count|t|$count", 'each is in the log');
		cmp_ok($grown, '<', 100 * 1024, "for $grown kB of memory");
	}
	$session->quit;
	return;
}

# Lines are written, and nothing is counted.
sub refusals_without_preload
{
	$node = $months;
	my $from = -s $node->logfile;
	is(refusal('app', $as{sen} . "SET photoflow.role = 'anonymous'; SELECT to_state FROM photoflow.fire('" . album('sen', 1) . q{', 'SyncRawTag')}), 'PF003', 'without preload: a refusal');
	my @lines = refusal_lines($from);
	is(join(',', map { $_->{sqlstate} } @lines), 'PF003', 'is one line');
	is(as('studio', q{SELECT (SELECT count(*) FROM photoflow.refusals), value FROM photoflow.status() WHERE name = 'refusals'}), '0|not counted', 'and is not counted');
	return;
}

# By a clock of its own: an hour before a month ends, an hour after, and five months later.
sub a_month_changes
{
	my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
	die 'libfaketime is not installed' unless $faketime;
	my $file = "$dir/clock";
	my (undef, undef, undef, undef, $m, $y) = gmtime;
	my $first = sub { my ($n) = @_; return timegm(0, 0, 0, 1, ($m + $n) % 12, $y + 1900 + int(($m + $n) / 12)) };
	my $name = sub { my ($n) = @_; return strftime('"AuditLogs_%Y%m"', gmtime $first->($n)) };
	my $step = sub { my ($at) = @_; open my $clock, '>', $file or die $!; printf $clock "%+d\n", $at - time; close $clock; return };
	$step->($first->(1) - 3600);
	{
		local %ENV = (%ENV, LD_PRELOAD => $faketime, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1, FAKETIME_DONT_FAKE_MONOTONIC => 1);
		begin('clock', "session_preload_libraries = 'photoflow'\n");
	}
	as_super('SELECT watch.drop_months()');
	as('studio', q{SELECT photoflow.track('"Albums"')});
	my $there = q{SELECT string_agg(partition::text, ' ' ORDER BY to_time) FROM photoflow.audit_partitions};
	is((maintain('1'))[1], '', 'an hour before the month ends: maintain()');
	is(as_super($there), join(' ', map({ $name->($_) } 0, 1), '"AuditLogs_default"'), 'makes this month and the next');
	is(refusal('studio', q{SELECT photoflow.seal_partition('} . $name->(0) . q{')}), '22023', 'which is not over');

	my $session = session('app');
	ask($session, $as{sen} . q{PREPARE log AS SELECT FROM photoflow.log_operation('clock', 'prepared'); PREPARE add AS INSERT INTO "AuditLogs" ("Action") VALUES ('insert prepared')});
	my $write = sub
	{
		my ($at) = @_;
		ask($session, qq{UPDATE "Albums" SET "Name" = '$at' WHERE "Id" = '} . album('sen', 1) . qq{'; EXECUTE log; EXECUTE add; SELECT FROM photoflow.log_operation('clock', 'plain'); INSERT INTO "AuditLogs" ("Action") VALUES ('insert plain')});
		return as_super(q{WITH last AS (SELECT max("CreatedAt") AS at FROM "AuditLogs") SELECT string_agg(p || ' ' || n, ',') FROM (SELECT tableoid::regclass AS p, count(*) AS n FROM "AuditLogs", last WHERE "CreatedAt" > at - interval '10 minutes' GROUP BY 1) x});
	};
	is($write->('before'), $name->(0) . ' 5', 'rows are written into this month');
	my $open = session('app');
	ask($open, "$as{sen} BEGIN; SELECT now()");
	$step->($first->(1) + 3600);
	is($write->('after'), $name->(1) . ' 5', 'an hour after, into the next');
	ask($open, q{SELECT FROM photoflow.log_operation('clock', 'open'); UPDATE "Albums" SET "Name" = 'open' WHERE "Id" = '} . album('sen', 2) . q{'; COMMIT});
	is(as_super(q{SELECT count(*), string_agg(DISTINCT tableoid::regclass::text, ',') FROM "AuditLogs" WHERE "Action" = 'open' OR "Changes"->'Name'->>1 = 'open'}), '2|' . $name->(0), 'but for a transaction of the month before');
	is((maintain('1'))[1], '', 'the next maintain()');
	is(as_super($there), join(' ', map({ $name->($_) } 0 .. 2), '"AuditLogs_default"'), 'makes one more');
	is(as('studio', q{SELECT rows FROM photoflow.seal_partition('} . $name->(0) . q{')}), 7, 'and what is over can be sealed');

	$step->($first->(6) + 3600);
	is($write->('later'), '"AuditLogs_default" 5', 'five months later nobody has called it: rows are written all the same');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES ('$org{sen}', 'between', now() - interval '2 months')});
	is((maintain('1'))[1], '', 'until somebody does');
	is(as_super($there), join(' ', map({ $name->($_) } 0 .. 2, 4, 6, 7), '"AuditLogs_default"'), 'months that have rows are made, and the next');
	is(as_super('SELECT count(*), watch.astray(), (SELECT count(*) FROM "AuditLogs") FROM ONLY "AuditLogs_default"'), '0|0|18', 'with all rows in them');
	is($write->('and again'), $name->(6) . ' 10', 'and whoever wrote into the default partition writes into his month');
	is(as_super('SELECT count(*), watch.astray() FROM ONLY "AuditLogs_default"'), '0|0', 'and nowhere else');
	is(as('studio', q{SELECT ok FROM photoflow.verify_partition('} . $name->(0) . q{')}), 't', 'what was sealed is as it was');

	# the end of month 4 is one month ago
	as('studio', q{SELECT photoflow.set_audit_retention('1 month 2 hours')});
	is((maintain('1'))[1], '', 'a month is kept for a month and two hours');
	is(as_super($there), join(' ', map({ $name->($_) } 4, 6, 7), '"AuditLogs_default"'), 'one is over for a month and one hour, and stays');
	as('studio', q{SELECT photoflow.set_audit_retention('1 month')});
	is((maintain('1'))[1], '', 'a month is kept for a month');
	is(as_super($there), join(' ', map({ $name->($_) } 6, 7), '"AuditLogs_default"'), 'and then it goes');

	# the clock was wrong all the time
	$step->($first->(1) + 7200);
	ask($session, q{SELECT FROM photoflow.log_operation('clock', 'right again')});
	is(as_super(q{SELECT tableoid::regclass FROM "AuditLogs" WHERE "Action" = 'right again'}), '"AuditLogs_default"', 'five months back, the log goes on');
	is((maintain('1'))[1], '', 'and maintain()');
	is(as_super(q{SELECT tableoid::regclass FROM "AuditLogs" WHERE "Action" = 'right again'}), $name->(1), 'makes that month again');
	$_->quit foreach $session, $open;
	$node->stop;
	return;
}

# Each is counted and written down, whatever becomes of its transaction, in its database.
sub refusals
{
	$node = $world;
	install('other');
	my $albums = q{ARRAY['} . join(q{', '}, map { album('sen', $_) } 1 .. 5) . q{']::uuid[]};
	my $request = "\"r\" \\\n\t{\xc3\xa9";    # as UTF-8
	my $me = qq{$as{sen} SELECT FROM photoflow.set_context('$org{sen}', '$user', 'anonymous', } . "E'" . ($request =~ s/\\/\\\\/r =~ s/\n/\\n/r) . "', 'c-1')";
	my %provoke = (PF003 => ['app', "$me; SELECT FROM photoflow.fire('" . album('sen', 1) . q{', 'SyncRawTag')}], PF006 => ['app', $as{sen} . q{UPDATE "Albums" SET "AlbumState" = 9 WHERE "Id" = '} . album('sen', 1) . q{'}],
		PF010 => ['app', q{SELECT FROM photoflow.fire('} . album('sen', 1) . q{', 'SyncRawTag')}], PF011 => ['app', qq{$as{sen} INSERT INTO "Albums" ("Name", "OrgId") VALUES ('x', '$org{minh}')}],
		PF012 => ['app', q{SELECT FROM photoflow.authenticate('a.b.c')}], PF020 => ['studio', 'SET photoflow.hard_delete = off; TRUNCATE "PhotoComments"']);
	my %name = (PF003 => 'role_not_allowed', PF006 => 'illegal_state_change', PF010 => 'no_tenant', PF011 => 'cross_tenant', PF012 => 'invalid_token', PF020 => 'hard_delete_refused');
	my @states = sort keys %provoke;
	my $counts = sub { return join ' ', split /\n/, as('studio', q{SELECT sqlstate || '=' || refusals FROM photoflow.refusals ORDER BY 1}, $_[0]) };
	my %count = map { $_ => 0 } @states;
	my $expected = sub { return join ' ', map { "$_=$count{$_}" } grep { $count{$_} } @states };
	my $from = -s $node->logfile;
	my $began = as_super('SELECT clock_timestamp()');

	is($counts->('studio'), '', 'since the server was started there was no refusal');
	foreach my $state (@states)
	{
		my ($login, $sql) = @{$provoke{$state}};
		is(refusal($login, "BEGIN; $sql"), $state, "$name{$state} is refused");
		$count{$state}++;
	}
	is($counts->('studio'), $expected->(), 'each is counted, though its transaction was rolled back');
	is(as('studio', q{SELECT string_agg(sqlstate || name, ' ' ORDER BY sqlstate), bool_and(last_at BETWEEN '} . $began . q{' AND clock_timestamp()) FROM photoflow.refusals}), join(' ', map { $_ . $name{$_} } @states) . '|t', 'with its name and time');
	is(as('studio', q{SELECT value, ok FROM photoflow.status() WHERE name = 'refusals'}), join(', ', map { "$_ 1" } @states) . '|t', 'status() says so');

	# caught, a savepoint, skipped, by two at a time
	foreach my $state (@states)
	{
		my ($login, $sql) = @{$provoke{$state}};
		my @statements = split /; /, $sql;
		my $last = pop @statements;
		$last =~ s/^SELECT FROM/PERFORM/;
		as($login, join('; ', 'BEGIN', @statements, "DO \$do\$ BEGIN FOR n IN 1 .. 3 LOOP BEGIN $last; EXCEPTION WHEN SQLSTATE '$state' THEN NULL; END; END LOOP; END \$do\$", 'COMMIT'));
		$count{$state} += 3;
	}
	is($counts->('studio'), $expected->(), 'those that an EXCEPTION block has caught are, too');
	my $session = session('app');
	ask($session, "BEGIN; $me; SAVEPOINT s");
	is(ask($session, "SELECT FROM photoflow.fire('" . album('sen', 1) . q{', 'SyncRawTag')}), 'PF003', 'to a savepoint');
	ask($session, 'ROLLBACK TO s; COMMIT');
	$session->quit;
	$count{PF003}++;
	is(as('app', "BEGIN; $me; SELECT count(*), count(sqlstate), min(sqlstate) FROM photoflow.fire_many($albums, 'SyncRawTag', on_error => 'skip'); COMMIT") =~ s/^\s+//r, '5|5|PF003', 'skipped');
	$count{PF003} += 5;
	is($counts->('studio'), $expected->(), 'and those that are skipped');
	is(refusal('app', "BEGIN; $me; DO \$do\$ BEGIN BEGIN PERFORM photoflow.fire('" . album('sen', 1) . "', 'SyncRawTag'); EXCEPTION WHEN OTHERS THEN RAISE; END; END \$do\$"), 'PF003', 'raised again');
	$count{PF003}++;
	is($counts->('studio'), $expected->(), 'it is counted once');
	my (undef, undef, $heard) = $node->psql('studio', "SET client_min_messages = log; $provoke{PF010}[1]", extra_params => ['-U', 'app']);
	like($heard, qr/without an organization|no organization|whom you work for/i, 'whoever hears what the server says');
	unlike($heard, qr/photoflow refusal/, 'does not hear that');
	$count{PF010}++;
	append_to_file("$dir/refused.sql", "DO \$do\$ BEGIN PERFORM photoflow.fire('" . album('sen', 1) . "', 'SyncRawTag'); EXCEPTION WHEN SQLSTATE 'PF010' THEN NULL; END \$do\$;\n");
	$node->command_ok(['pgbench', '-n', '-c', 4, '-j', 2, '-t', 100, '-f', "$dir/refused.sql", '-U', 'app', 'studio'], 'four sessions at a time');
	$count{PF010} += 400;
	is($counts->('studio'), $expected->(), 'of all that a session is refused none is lost');

	# what is none
	is(as('app', "BEGIN; $me; SELECT photoflow.can_fire('" . album('sen', 1) . "', 'SyncRawTag'), (SELECT bool_or(permitted) FROM photoflow.permitted_triggers('" . album('sen', 1) . q{')); COMMIT}) =~ s/^\s+//r, 'f|f', 'who asks whether he may');
	is(refusal('app', "$as{sen} SELECT FROM photoflow.fire('$user', 'SyncRawTag')"), 'PF005', 'what is not there');
	is(refusal('app', "$as{sen} SELECT FROM photoflow.fire('" . album('sen', 1) . q{', 'Finish')}), 'PF001', 'what goes not from here');
	is(refusal('app', 'TRUNCATE "PhotoComments"'), '42501', 'what PostgreSQL refuses');
	is($counts->('studio'), $expected->(), 'is not counted');

	# another database, and who may know
	is($counts->('other'), '', 'in another database there was no refusal');
	is(refusal('app', $provoke{PF010}[1], 'other'), 'PF010', 'until there is one');
	is($counts->('other'), 'PF010=1', 'which is counted there');
	is($counts->('studio'), $expected->(), 'and not here');
	is(refusal('app', $_), '42501', "not an application's: $_") foreach 'SELECT * FROM photoflow.refusals', 'SELECT * FROM photoflow.list_refusals()', 'SET photoflow.log_refusals = off';

	# lines
	my @lines = refusal_lines($from);
	my %lines = (%count, PF010 => $count{PF010} + 1);
	my %found;
	$found{$_->{sqlstate} // 'none'}++ foreach @lines;
	is(join(' ', map { "$_=$found{$_}" } sort keys %found), join(' ', map { "$_=$lines{$_}" } @states), 'each is one line of the server\'s log, of JSON');
	is(join("\n", grep { !defined } map { $name{$_->{sqlstate}} eq $_->{name} ? 1 : undef } @lines), '', 'with its name');
	my %known = map { $_ => 1 } 'sqlstate', 'name', 'message', 'org', 'user', 'role', 'login', 'database', 'requestId', 'detail';
	is(join(' ', grep { !$known{$_} } map { keys %$_ } @lines), '', 'it says nothing that it should not');
	is(scalar(grep { !length($_->{message} // '') || grep { !defined } values %$_ } @lines), 0, 'and nothing that is not there');
	my ($one) = grep { $_->{sqlstate} eq 'PF003' } @lines;
	is(join('|', map { $one->{$_} // 'NULL' } 'org', 'user', 'role', 'login', 'database', 'requestId'), join('|', $org{sen}, $user, 'anonymous', 'app', 'studio', decode('UTF-8', $request)), 'it says who, for whom, in which request');
	is(ref $one->{detail}, 'HASH', 'and why');
	($one) = grep { $_->{sqlstate} eq 'PF010' && $_->{database} eq 'other' } @lines;
	is(join(' ', grep { defined $one->{$_} } 'org', 'user', 'role', 'requestId'), '', 'without a context it says nothing of it');
	is($one->{login}, 'app', 'but who it was');

	# without lines
	$from = -s $node->logfile;
	is(as_super(q{SHOW photoflow.log_refusals}), 'on', 'lines can be turned off');
	as_super(q{ALTER ROLE app SET photoflow.log_refusals = off});
	is(refusal('app', $provoke{PF010}[1]), 'PF010', 'then a refusal');
	$count{PF010}++;
	is($counts->('studio'), $expected->(), 'is counted');
	is(scalar(refusal_lines($from)), 0, 'and not written');
	as_super(q{ALTER ROLE app RESET photoflow.log_refusals});
	is(refusal('app', $provoke{PF010}[1]), 'PF010', 'on again');
	is(scalar(refusal_lines($from)), 1, 'it is written');
	return;
}

# What the server's log says of tokens and passwords when everything is logged: nothing.
sub secrets
{
	$node = $world;
	my $from = -s $node->logfile;
	as_super(qq{ALTER ROLE app SET $_}) foreach q{log_statement = 'all'}, 'log_min_duration_statement = 0', 'log_parameter_max_length_on_error = -1', q{log_error_verbosity = 'verbose'};
	as('studio', q{SELECT photoflow.set_token_key('0123456789abcdef0123456789abcdef')});
	my $secret = 'geheimnis';
	my $body = url('{"alg":"HS256","typ":"JWT"}') . '.' . url(qq({"org_id":"$org{sen}","role":"photographer","exp":) . (int(time) + 3600) . '}');
	my $token = "$body." . url(hmac_sha256($body, '0123456789abcdef0123456789abcdef'));
	my $bad = $token =~ s/\.(.)([^.]*)$/'.' . ($1 eq 'A' ? 'B' : 'A') . $2/er;
	my $data = qq({"password": "$secret", "deep": [{"Api-Key": "$secret"}], "note": "token=$secret", "auth": "$token"});
	my $log = qq{SELECT FROM photoflow.log_operation('Auth', 'Login', request_data => '$data', response_data => '$data', additional_data => '$data', error_message => 'password=$secret', user_agent => 'Bearer $secret')};
	my $logs = qq{SELECT FROM photoflow.log_operations('[{"service_name": "Auth", "action": "Logins", "request_data": $data, "error_message": "password: $secret"}]')};

	# with authenticate() in the statement, or the transaction, as an application calls it
	is(as('app', qq{BEGIN; SELECT org_id FROM photoflow.authenticate('$token'); COMMIT}), $org{sen}, 'everything is logged: a token');
	$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-U', 'app', '-d', 'studio', '-c', "SELECT FROM photoflow.authenticate('$token'); $log; $logs"], 'a token and an operation in one message');
	# and alone: what an operation reports is not for the server's log
	as('app', "$as{sen} $log; $logs; PREPARE reported (jsonb) AS SELECT photoflow.log_operation('Auth', 'Prepared', request_data => \$1); EXECUTE reported ('$data')");
	append_to_file("$dir/login.sql", qq{BEGIN;\nSELECT FROM photoflow.authenticate(:token);\nEND;\n});
	append_to_file("$dir/both.sql", qq{SELECT l IS NOT NULL FROM photoflow.authenticate(:token) CROSS JOIN LATERAL photoflow.log_operation('Auth', 'Both', request_data => :data, error_message => :error) l;\n});
	foreach my $mode ('simple', 'extended', 'prepared')
	{
		$node->command_ok(['pgbench', '-n', '-M', $mode, '-t', 2, '-D', "token='$token'", '-f', "$dir/login.sql", '-U', 'app', 'studio'], "by the $mode protocol") if $mode eq 'simple';
		$node->command_ok(['pgbench', '-n', '-M', $mode, '-t', 2, '-D', "token=$token", '-D', "data=$data", '-D', "error=password=$secret", '-f', "$dir/both.sql", '-U', 'app', 'studio'], "both by the $mode protocol") if $mode ne 'simple';
	}
	is(refusal('app', qq{SELECT FROM photoflow.authenticate('$bad'); $log}), 'PF012', 'a token that is not valid');
	my $text = slurp_file($node->logfile, $from);
	cmp_ok(scalar(() = $text =~ /not shown: it may hold a key or a token/g), '>', 5, 'statements are logged');
	is(join(',', map { $_->{sqlstate} } refusal_lines($from)), 'PF012', 'and the refusal');
	is(join("\n", grep { /$secret|\Q$body\E|eyJ/ } split /\n/, $text), '', 'without a password or a token');

	# errors of what reports operations: the message, not the statement, which is the application's
	$from = -s $node->logfile;
	as_super(qq{ALTER ROLE app SET $_}) foreach q{log_statement = 'none'}, 'log_min_duration_statement = -1', q{log_min_error_statement = 'panic'};
	my %wrong = ('no status' => qq{"status": "$secret no", }, 'a text for a number' => qq{"execution_time_ms": "$secret", }, 'a negative time' => '"execution_time_ms": -1, ', 'a number for a text' => '"entity_id": {"password": "' . $secret . '"}, ');
	foreach my $what (sort keys %wrong)
	{
		is(refusal('app', $as{sen} . qq{SELECT photoflow.log_operations('[{"service_name": "a", "action": "b"}, {"service_name": "Auth", $wrong{$what}"action": "Login", "request_data": $data}]')}), '22023', "refused: $what");
	}
	is(refusal('app', $as{sen} . ($log =~ s/'Login'/'Login', status => 'no'/r)), '22023', 'refused: no status of one');
	is(refusal('app', $log), 'PF010', 'refused: no organization');
	$text = slurp_file($node->logfile, $from);
	cmp_ok(scalar(() = $text =~ /ERROR: /g), '==', 6, 'errors are logged');
	is(join("\n", grep { /"password|$token|token=$secret|Bearer $secret/ } split /\n/, $text), '', 'with nothing of what was reported');
	as_super(qq{ALTER ROLE app RESET $_}) foreach 'log_statement', 'log_min_duration_statement', 'log_parameter_max_length_on_error', 'log_error_verbosity', 'log_min_error_statement';

	# nor has the table any of it
	is(as_super(qq{SELECT count(*) > 3, count(*) FILTER (WHERE a::text LIKE '%$secret%' OR a::text LIKE '%eyJ%') FROM "AuditLogs" a}), 't|0', 'nor is it in the table');
	return;
}

# A sealed month, changed in every way there is, and in ways that change nothing.
sub seals
{
	$node = $world;
	my $month = 'public."AuditLogs_' . month(-2) . '"';
	# columns that users have added, and whose text depends on settings
	as('studio', q{ALTER TABLE "AuditLogs" ADD COLUMN "Mine" interval, ADD COLUMN "Score" double precision, ADD COLUMN "Raw" bytea, ADD COLUMN "Day" date});
	my $at = q{date_trunc('month', now(), 'UTC') - interval '2 months' + interval '3 days'};
	as_super(qq{SET session_replication_role = replica; INSERT INTO "AuditLogs" ("OrgId", "CreatedAt", "EntityId") VALUES ('$org{sen}', $at, 'empty');
		INSERT INTO "AuditLogs" SELECT (jsonb_populate_record(NULL::"AuditLogs", jsonb_object_agg(attname, CASE WHEN attname = 'EntityId' THEN '"full"' WHEN attname = 'OrgId' THEN '"$org{minh}"'::jsonb WHEN attname = 'CreatedAt' THEN to_jsonb($at) WHEN attname = 'IsDeleted' THEN 'false'
			ELSE CASE atttypid::regtype::text WHEN 'uuid' THEN '"$user"' WHEN 'jsonb' THEN '{"a": [1, "x"]}' WHEN 'bigint' THEN '7' WHEN 'timestamp with time zone' THEN '"2026-01-02 03:04:05.678901+00"' WHEN 'interval' THEN '"1 mon 2 days 03:04:05.6"'
				WHEN 'double precision' THEN '0.1' WHEN 'bytea' THEN '"\\\\\\\\x00ff5c"' WHEN 'date' THEN '"2026-02-01"' WHEN 'character varying' THEN '"ab"' WHEN 'text' THEN '"c"' END::jsonb END))).* FROM pg_attribute WHERE attrelid = '"AuditLogs"'::regclass AND attnum > 0 AND NOT attisdropped;
		INSERT INTO "AuditLogs" ("OrgId", "CreatedAt", "Action", "EntityId", "RequestData") SELECT '$org{sen}', $at, 'x', n, jsonb_build_object('n', n, 'big', repeat('x', n)) FROM generate_series(1, 3000) n;});
	is((maintain(''))[1], '', 'a month with rows of every kind');
	is(as_super(qq{SELECT count(*) FROM pg_attribute, $month m WHERE attrelid = '"AuditLogs"'::regclass AND attnum > 0 AND NOT attisdropped AND m."EntityId" = 'full' AND to_jsonb(m)->>attname IS NULL}), 0, 'one of them is full');

	is(refusal('studio', "SELECT photoflow.seal_partition('$_')"), '22023', "not to be sealed: $_") foreach '"AuditLogs_default"', '"AuditLogs"', '"Albums"', '"AuditLogs_' . month(0) . '"', '"AuditLogs_' . month(1) . '"', 'pg_class', '"AuditSeals"';
	is(refusal('studio', "SELECT photoflow.verify_partition('$month')"), 'PF005', 'it was never sealed');

	# a writer that is not done yet is waited for
	my $writer = session('app');
	ask($writer, qq{$as{sen} BEGIN; INSERT INTO "AuditLogs" ("Action", "CreatedAt") VALUES ('the last', $at)});
	my $sealing = session('studio');
	$sealing->query_until(qr/sealing/, qq{\\echo sealing\n$as{sen} CREATE TEMP TABLE sealed AS SELECT * FROM photoflow.seal_partition('$month');\n});
	$node->poll_query_until('studio', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%seal_partition%' AND wait_event_type = 'Lock'}) or die 'the seal waits for nobody';
	ask($writer, 'COMMIT');
	$writer->quit;
	my ($rows, $digest) = split /\|/, ask($sealing, 'SELECT * FROM sealed');
	$sealing->quit;
	is($rows, 3003, 'a seal has the rows of a writer that it has waited for');
	like($digest, qr/^[0-9a-f]{64}$/, 'and a digest');
	is(refusal('studio', "SELECT photoflow.seal_partition('$month')"), '55000', 'it is sealed');
	my $verify = "SELECT ok, sealed_rows, found_rows, found_digest FROM photoflow.verify_partition('$month')";
	my $good = "t|3003|3003|$digest";
	is(as('studio', $verify), $good, 'it is as it was');
	is(as_super(qq{SELECT sealed_at BETWEEN now() - interval '1 minute' AND now() FROM photoflow.audit_partitions WHERE partition = '$month'::regclass}), 't', 'the list knows it');

	# each column of a row that has a value there, and of one that has not
	my @columns = map { [split /\|/] } split /\n/, as_super(q{SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = '"AuditLogs"'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum});
	my %other = (uuid => sub { 'gen_random_uuid()' }, jsonb => sub { "jsonb_build_object('t', $_[0])" }, bigint => sub { "coalesce($_[0], 0) + 1" }, boolean => sub { "NOT $_[0]" }, bytea => sub { "coalesce($_[0], '') || '\\x00'" },
		'timestamp with time zone' => sub { "coalesce($_[0], '2026-01-01') + interval '1 microsecond'" }, date => sub { "coalesce($_[0], '2026-01-01') + 1" }, interval => sub { "coalesce($_[0], '0') + interval '1 microsecond'" }, 'double precision' => sub { "coalesce($_[0], 0) + 1e-16" }, map { $_ => sub { "coalesce($_[0], '') || ' '" } } 'character varying', 'text');
	my %tamper;
	foreach my $column (@columns)
	{
		my ($name, $type) = @$column;
		$tamper{"$name of a row that is $_"} = qq{UPDATE $month SET "$name" = @{[$other{$type}->(qq{"$name"})]} WHERE "EntityId" = '$_'} foreach 'empty', 'full';
		$tamper{"$name is taken away"} = qq{UPDATE $month SET "$name" = NULL WHERE "EntityId" = 'full'} if $name !~ /^(Id|OrgId|CreatedAt|Status|IsDeleted)$/;
		$tamper{"$name is empty, not NULL"} = qq{UPDATE $month SET "$name" = '' WHERE "EntityId" = 'empty'} if $type =~ /char|text|bytea/ && $name !~ /^(Status|EntityId)$/;
	}
	%tamper = (%tamper,
		'jsonb null for NULL' => qq{UPDATE $month SET "Changes" = 'null' WHERE "EntityId" = 'empty'},
		'the scale of a number in jsonb' => qq{UPDATE $month SET "RequestData" = '{"a": [1.0, "x"]}' WHERE "EntityId" = 'full'},
		'two columns in each other\'s place' => qq{UPDATE $month SET "ServiceName" = "EntityId", "EntityId" = "ServiceName" WHERE "EntityId" = 'full'},
		'a letter from one column into the next' => qq{UPDATE $month SET "Action" = 'a', "EntityType" = 'bab' WHERE "EntityId" = 'full'},
		'two rows in each other\'s place' => qq{UPDATE $month a SET "RequestData" = b."RequestData", "EntityId" = b."EntityId" FROM $month b WHERE a."EntityId" IN ('7', '8') AND b."EntityId" IN ('7', '8') AND a."EntityId" <> b."EntityId"},
		'a row is deleted' => qq{DELETE FROM $month WHERE "EntityId" = '17'},
		'a row is added' => qq{INSERT INTO $month ("OrgId", "CreatedAt") VALUES ('$org{sen}', $at)},
		'a row is added to the log' => qq{INSERT INTO "AuditLogs" ("OrgId", "CreatedAt") VALUES ('$org{sen}', $at)},
		'a row has another id' => qq{WITH d AS (DELETE FROM $month WHERE "EntityId" = '18' RETURNING *) INSERT INTO $month ("OrgId", "CreatedAt", "Action", "EntityId", "RequestData") SELECT "OrgId", "CreatedAt", "Action", "EntityId", "RequestData" FROM d},
		'a row is there twice' => qq{WITH d AS (DELETE FROM $month WHERE "EntityId" = '19' RETURNING "Id") INSERT INTO $month ("OrgId", "CreatedAt", "Action", "EntityId", "RequestData") SELECT "OrgId", "CreatedAt", "Action", "EntityId", "RequestData" FROM $month WHERE "EntityId" = '20'},
		'all rows' => "TRUNCATE $month");
	cmp_ok(scalar(keys %tamper), '>', 90, scalar(keys %tamper) . ' ways to tamper with a month');
	my @ways = sort keys %tamper;
	my @answers = split /\n/, as_super('SET session_replication_role = replica; SET photoflow.hard_delete = on; ' . join '', map { "BEGIN; $tamper{$_}; SELECT ok, found_digest <> '$digest', found_rows FROM photoflow.verify_partition('$month'); ROLLBACK;\n" } @ways);
	is(scalar(@answers), scalar(@ways), 'have been tried');
	is(join("\n", map { "$ways[$_]: $answers[$_]" } grep { $answers[$_] !~ /^f\|t\|/ } 0 .. $#ways), '', 'all are seen');
	my %rows = map { $ways[$_] => $answers[$_] =~ s/.*\|//r } 0 .. $#answers;
	is(join(',', map { $rows{$_} } 'a row is deleted', 'a row is added', 'a row is added to the log', 'all rows', 'Action is taken away'), '3002,3004,3004,0,3003', 'rows are counted');
	is(as('studio', $verify), $good, 'taken back, it is as it was');
	is(refusal('app', qq{$as{sen} INSERT INTO "AuditLogs" ("Action", "CreatedAt") VALUES ('late', $at)}), '55000', 'an application cannot write a row of that month any more');

	# what changes nothing
	my @settings = (q{TimeZone = 'Asia/Tokyo'}, q{DateStyle = 'German'}, q{IntervalStyle = 'iso_8601'}, q{bytea_output = 'escape'}, 'extra_float_digits = -15', q{search_path = ''}, 'quote_all_identifiers = on', 'enable_sort = off', 'enable_indexscan = off', q{client_encoding = 'LATIN1'}, 'work_mem = 64',
		qq{photoflow.org_id = '$org{minh}'}, q{default_transaction_read_only = on});
	is(as('studio', "SET $_; $verify"), $good, "it is as it was: $_") foreach @settings;
	is(as('studio', join('; ', map({ "SET $_" } @settings), $verify)), $good, 'and with all of it');
	is(as_super($verify), $good, 'also to a superuser');
	my @harmless = ("VACUUM FULL $month", "CLUSTER $month USING \"" . as_super("SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = '$month'::regclass AND indisprimary") . '"', "REINDEX TABLE $month", "ANALYZE $month",
		qq{BEGIN; SET LOCAL session_replication_role = replica; UPDATE $month SET "Action" = "Action"; COMMIT}, q{ALTER TABLE "AuditLogs" ADD COLUMN "Aaa" text, ADD COLUMN "Zzz" jsonb}, qq{ALTER TABLE "AuditLogs" DETACH PARTITION $month}, "VACUUM FULL $month",
		qq{ALTER TABLE "AuditLogs" ATTACH PARTITION $month FOR VALUES FROM (} . as_super(qq{SELECT quote_literal(from_time) || ') TO (' || quote_literal(to_time) FROM photoflow.audit_partitions WHERE partition = '$month'::regclass}) . ')', q{ALTER TABLE "AuditLogs" DROP COLUMN "Aaa", DROP COLUMN "Zzz"});
	foreach my $sql (@harmless)
	{
		as_super($sql);
		is(as('studio', $verify), $good, 'it is as it was: ' . substr $sql, 0, 60);
	}
	is(refusal('studio', "BEGIN ISOLATION LEVEL REPEATABLE READ; $verify"), '25001', 'of now, not of a snapshot');
	return;
}

# A report reads the months of its time and no others.
sub pruned
{
	$node = $world;
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "ServiceName", "Action", "EntityType", "EntityId", "ExecutionTimeMs", "Status", "CreatedAt") SELECT '$org{sen}', 'pruned', 'x', 'Album', 'pruned', 5000, 'Failed', now() - n * interval '1 month' FROM generate_series(0, 6) n WHERE n <> 2});
	is((maintain(''))[1], '', 'months back and ahead');
	my @there = split /\n/, as_super(q{SELECT replace(partition::text, '"', '') FROM photoflow.audit_partitions WHERE to_time IS NOT NULL ORDER BY from_time});
	my ($yesterday) = as_super(q{SELECT 'AuditLogs_' || to_char(now() AT TIME ZONE 'UTC' - interval '1 day', 'YYYYMM')});
	my @ago = grep { $_ ge 'AuditLogs_' . month(-6) && $_ lt $yesterday } @there;
	cmp_ok(scalar(@ago), '>=', 5, 'there are months that are over');
	my $read = sub
	{
		my ($sql) = @_;
		my (undef, undef, $plans) = $node->psql('studio', "SET client_min_messages = warning; LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on; SET auto_explain.log_timing = off;
			SET client_min_messages = log; $sql");
		my %read;
		foreach my $line (split /\n/, $plans)
		{
			$read{$1} = 1 if $line =~ /Scan.* on "?(AuditLogs_\d{6})\b/ && $line !~ /never executed/;
		}
		return \%read;
	};
	foreach my $who ('', $as{sen})
	{
		foreach my $report (q{photoflow.slow_operations(since => 'TIME')}, q{photoflow.failed_operations('TIME')}, q{photoflow.latency_histogram(since => 'TIME')}, q{photoflow.entity_timeline('Album', 'pruned', 'TIME')})
		{
			my $name = ($who ? 'one organization: ' : 'all: ') . $report;
			my $found = $read->($who . 'SELECT * FROM ' . $report =~ s/TIME/1 day/r);
			ok($found->{$there[-1]} || $found->{'AuditLogs_' . month(0)}, "$name: this month is read");
			is(join(' ', grep { $found->{$_} } @ago), '', 'and none that is over');
			$found = $read->($who . 'SELECT * FROM ' . $report =~ s/TIME/1 year/r);
			is(join(' ', grep { !$found->{$_} } @ago), '', 'unless it is asked for');
		}
		my $found = $read->("$who SELECT * FROM photoflow.slow_operations");
		is(join(' ', grep { $found->{$_} } @ago), '', 'nor by the view');
	}
	return;
}

# Tracked tables of every kind, seals and settings: restored by their owner, who is no superuser.
sub dumped
{
	$node = $world;
	as('studio', q{CREATE TABLE notes (id int PRIMARY KEY, "OrgId" uuid, note text, seen int, iban text); CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		CREATE TABLE elders (id int PRIMARY KEY); CREATE TABLE children (age int, PRIMARY KEY (id)) INHERITS (elders);
		SELECT photoflow.track('notes', '{seen}', '{iban}'), photoflow.track('parts'), photoflow.track('elders'), photoflow.track('"Albums"', '{Status}'), photoflow.track('"AlbumTags"'); SELECT photoflow.set_audit_retention('50 years');} .
		qq{INSERT INTO notes SELECT n, '$org{sen}', 'note ' || n, n, 'DE' || n FROM generate_series(1, 100) n; INSERT INTO parts VALUES (1, '2026-01-02'); INSERT INTO elders VALUES (1); INSERT INTO children VALUES (2, 9);
		$as{sen} UPDATE "Albums" SET "Name" = 'dumped' WHERE "Id" = '@{[album('sen', 3)]}'; DELETE FROM "Albums" WHERE "Id" = '@{[album('sen', 4)]}'});
	my $month = '"AuditLogs_' . month(-2) . '"';
	my $books = q{SELECT x FROM (SELECT 'log ' || to_jsonb(a)::text AS x FROM "AuditLogs" a UNION ALL SELECT 'seal ' || s::text FROM "AuditSeals" s UNION ALL SELECT 'setting ' || s::text FROM "AuditSettings" s UNION ALL SELECT 'tracked ' || t::text FROM photoflow.tracked_tables t
		UNION ALL SELECT 'month ' || concat_ws(' ', partition, from_time, to_time, sealed_at, (SELECT count(*) FROM "AuditLogs" a WHERE a.tableoid = partition)) FROM photoflow.audit_partitions) x ORDER BY x COLLATE "C"};
	my $dumped = as_super($books);
	my %lines;
	$lines{(split / /)[0]}++ foreach split /\n/, $dumped;
	ok($lines{log} > 3000 && $lines{month} > 10, "there is a log: $lines{log} rows in $lines{month} months");
	is(join(',', map { $lines{$_} // 0 } 'seal', 'setting', 'tracked'), '1,1,6', 'with a seal, a setting, and six tracked tables');
	$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'restored', 'plain';
	$node->command_ok(['pg_dump', '-U', 'backup', '-Fc', '-N', 'watch', '-f', "$dir/dump", 'studio'], 'pg_dump');
	$node->command_ok(['pg_restore', '-U', 'studio', '--exit-on-error', '-d', 'restored', "$dir/dump"], 'pg_restore as the owner');
	$node->command_ok(['pg_dump', '-U', 'backup', '-N', 'watch', '-f', "$dir/dump.sql", 'studio'], 'pg_dump as text');
	$node->command_ok(['psql', '-U', 'studio', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", 'plain'], 'restored by psql');
	foreach my $database ('restored', 'plain')
	{
		is(join("\n", difference([split /\n/, $dumped], [split /\n/, as_super($books, $database)])), '', "$database: all has arrived, and nothing else was recorded");
		is(as('studio', "SELECT ok FROM photoflow.verify_partition('$month')", $database), 't', "$database: the seal is good");
		is(as_super(qq{BEGIN; SET LOCAL session_replication_role = replica; UPDATE $month SET "Action" = 'y' WHERE "EntityId" = '5'; SELECT ok FROM photoflow.verify_partition('$month'); ROLLBACK}, $database), 'f', "$database: and would not be if a row were another");
		my $last = q{SELECT "Action", "EntityType", "EntityId", "Changes", "OrgId" FROM "AuditLogs" WHERE "TransactionId" IS NOT NULL ORDER BY "Id" DESC LIMIT 1};
		as('studio', q{UPDATE notes SET note = 'changed', seen = 0, iban = 'x' WHERE id = 1}, $database);
		is(as_super($last, $database), qq{update|notes|1|{"iban": ["***", "***"], "note": ["note 1", "changed"]}|$org{sen}}, "$database: changes are recorded, as before");
		as('studio', q{UPDATE notes SET seen = -1}, $database);
		as('studio', q{INSERT INTO parts VALUES (3, '2026-01-04')}, $database);
		is(as_super($last, $database) =~ s/\|[^|]*$//r, 'insert|parts|["3", "2026-01-04"]|{"id": 3, "day": "2026-01-04"}', "$database: of a partitioned table");
		as('studio', q{UPDATE elders SET id = id + 10 WHERE id = 2}, $database);
		is(as_super($last, $database) =~ s/\|[^|]*$//r, 'update|children|2|{"id": [2, 12]}', "$database: of a child");
		as('app', qq{$as{sen} UPDATE "Albums" SET "Name" = 'app', "Status" = 1 WHERE "Id" = '@{[album('sen', 5)]}'}, $database);
		is(as_super($last, $database), 'update|Album|' . album('sen', 5) . qq{|{"Name": ["5", "app"]}|$org{sen}}, "$database: of an application");
		is(as('app', qq{$as{sen} SELECT count(*) FROM photoflow.log_operation('a', 'b')}, $database), 1, "$database: operations are reported");
		is(as_super(q{SELECT count(*) FROM "AuditLogs"}, $database), $lines{log} + 5, "$database: five rows have come");
		is(refusal('app', qq{$as{sen} $_}, $database), '42501', "$database: refused: $_") foreach 'UPDATE "AuditLogs" SET "Action" = \'x\'', 'DELETE FROM "AuditLogs"', q{INSERT INTO "AuditLogs" ("Changes") VALUES ('{}')};
		is((maintain('', $database))[1], '', "$database: maintain()");
		is(as('studio', q{SELECT string_agg(s::text, E'\n') FROM photoflow.status() s WHERE name IN ('version', 'pending steps', 'triggers attached', 'triggers see every change', 'tracked tables', 'audit log') AND NOT ok}, $database), '', "$database: status() has nothing to say");
	}
	return;
}

# A tracked table that is published, to a server where it is tracked, too; then the log itself.
sub replicated
{
	my $table = q{CREATE TABLE items (id int PRIMARY KEY, "OrgId" uuid, n int, note text); GRANT ALL ON items TO app; SELECT photoflow.track('items')};
	my $log = q{SELECT count(*), coalesce(md5(string_agg(to_jsonb(a)::text, '' ORDER BY "Id")), '') FROM "AuditLogs" a};
	my $items = q{SELECT count(*), md5(string_agg(i::text, '' ORDER BY id)) FROM items i};
	my $arrives = sub
	{
		my ($subscription) = @_;
		$node = $copy;
		$node->poll_query_until('studio', q{SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel}) or die "$subscription does not begin";
		$world->wait_for_catchup($subscription);
		return;
	};
	my ($here, $there);
	my $both = sub { my ($sql) = @_; $node = $world; $here = as_super($sql); $node = $copy; $there = as_super($sql); return };
	$node = $world;
	as('studio', $table);
	as('app', qq{$as{sen} INSERT INTO items SELECT n, '$org{sen}', n, 'x' FROM generate_series(1, 100) n});
	as_super('CREATE PUBLICATION items FOR TABLE items');
	$node = $copy;
	# with the columns that seals() has added on the other side
	as('studio', $table . q{; ALTER TABLE "AuditLogs" ADD COLUMN "Mine" interval, ADD COLUMN "Score" double precision, ADD COLUMN "Raw" bytea, ADD COLUMN "Day" date});
	my $connection = $world->connstr . ' dbname=studio';
	as_super("CREATE SUBSCRIPTION items CONNECTION '$connection' PUBLICATION items");
	$arrives->('items');
	$node = $world;
	as('app', qq{$as{sen} UPDATE items SET n = n + 1 WHERE id <= 50; DELETE FROM items WHERE id = 100; INSERT INTO items SELECT n, '$org{sen}', n, 'x' FROM generate_series(101, 3000) n; UPDATE items SET id = 5000 WHERE id = 99; TRUNCATE items; INSERT INTO items SELECT n, '$org{sen}', n, 'x' FROM generate_series(1, 2000) n});
	$arrives->('items');
	$both->($items);
	is($there, $here, 'a tracked table is replicated');
	is(as_super($log), '0|', 'to where it is tracked as well, and nothing is recorded there');
	$node = $world;
	is(as_super(q{SELECT count(*) FROM "AuditLogs" WHERE "EntityType" = 'items'}), 100 + 50 + 1 + 2900 + 1 + 1 + 2000, 'but here');

	as_super('CREATE PUBLICATION audit FOR TABLE "AuditLogs" WITH (publish_via_partition_root = true)');
	$node = $copy;
	as_super("CREATE SUBSCRIPTION audit CONNECTION '$connection' PUBLICATION audit");
	$arrives->('audit');
	$both->($log);
	is($there, $here, 'the log is replicated as it is');
	$node = $world;
	as('app', qq{$as{sen} UPDATE items SET n = n + 1; SELECT FROM photoflow.log_operation('replicated', 'x', request_data => '{"a": 1}'); SELECT FROM photoflow.log_operations((SELECT jsonb_agg(jsonb_build_object('service_name', 'replicated', 'action', n::text)) FROM generate_series(1, 1500) n));
		INSERT INTO "AuditLogs" ("Action") VALUES ('replicated'); UPDATE "Albums" SET "Name" = 'replicated' WHERE "Id" = '@{[album('sen', 6)]}'});
	as('studio', q{INSERT INTO notes SELECT n, NULL, repeat('long ', n * 10) FROM generate_series(1001, 1200) n});
	$arrives->($_) foreach 'audit', 'items';
	$both->($log);
	is($there, $here, 'and what comes afterwards, page by page');
	is(as_super(q{SELECT count(*) FROM "AuditLogs" WHERE "Changes"->'n' IS NOT NULL AND "Action" = 'update' AND "EntityType" = 'items'}), 50 + 2000, 'with its changes');
	$node = $world;
	as_super('CALL photoflow.maintain(6)');
	$node = $copy;
	is((maintain('', 'studio'))[1], '', 'both are maintained');
	as('app', qq{$as{sen} UPDATE items SET note = 'here' WHERE id = 1});
	is(as_super(q{SELECT "EntityId", "Changes" FROM "AuditLogs" ORDER BY "Id" DESC LIMIT 1}), '1|{"note": ["x", "here"]}', 'who changes something there is recorded there');
	as_super('ALTER SUBSCRIPTION items DISABLE; ALTER SUBSCRIPTION audit DISABLE');
	unlike(slurp_file($node->logfile), qr/ERROR: .*(AuditLogs|items|photoflow)/, 'and no worker had to begin anew');
	return;
}

# The real pg_cron calls maintain() every minute, as the owner of the tables, in a database where nobody else does.
sub have_cron_maintain
{
	($node) = @_;
	install('minutely');
	as_super(q{CREATE EXTENSION pg_cron}, 'postgres');
	as_super(qq{INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT '$org{sen}', 'cron', now() - n * interval '1 month' FROM generate_series(1, 10) n}, 'minutely');
	as('studio', q{SELECT photoflow.set_audit_retention('5 months')}, 'minutely');
	as_super(q{SELECT cron.schedule_in_database('photoflow', '* * * * *', 'CALL photoflow.maintain()', 'minutely', 'studio')}, 'postgres');
	return;
}

sub cron_has_maintained
{
	($node) = @_;
	my $name = $node->name;
	my $until = time + 90;
	my $runs = q{SELECT coalesce(string_agg(DISTINCT concat_ws(' ', status, username, database, command), ','), '') FROM cron.job_run_details WHERE end_time IS NOT NULL};
	sleep 0.5 while time < $until && as_super($runs, 'postgres') eq '';
	is(as_super($runs, 'postgres'), 'succeeded studio minutely CALL photoflow.maintain()', "$name: pg_cron has maintained, each time") or diag(as_super('SELECT return_message FROM cron.job_run_details', 'postgres'));
	is(as_super(q{SELECT count(*) FROM ONLY "AuditLogs_default"}, 'minutely'), 0, "$name: the default partition is empty");
	is(as_super(q{SELECT count(*), count(DISTINCT tableoid), watch.astray() FROM "AuditLogs"}, 'minutely'), '5|5|0', "$name: months are made, and old ones dropped");
	return;
}

sub album { my ($who, $n) = @_; return sprintf '00000000-0000-4000-8000-%d000%08d', $who eq 'sen' ? 1 : 2, $n; }

# The name of a month so many after this one, as partitions have it.
sub month
{
	my ($n) = @_;
	my (undef, undef, undef, undef, $m, $y) = gmtime;
	my $count = ($y + 1900) * 12 + $m + $n;
	return sprintf '%04d%02d', int($count / 12), $count % 12 + 1;
}

sub as
{
	my ($login, $sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql, extra_params => ['-U', $login]);
}

sub as_super
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($login, $sql, $database) = @_;
	my (undef, undef, $stderr) = $node->psql($database // 'studio', "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $login]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}

sub session
{
	my ($login, $database) = @_;
	return $node->background_psql($database // 'studio', on_error_stop => 0, extra_params => ['-U', $login, '-v', 'VERBOSITY=sqlstate']);
}

# What a session is answered: rows, or the SQLSTATE of an error.
sub ask
{
	my ($session, $sql) = @_;
	$session->{stderr} = '' if $sql !~ /^SELECT 1$/;
	my $answer = $session->query($sql);
	my $state = $session->{stderr} =~ /(?:ERROR|FATAL):  (\w{5})/ ? $1 : undef;
	$session->{stderr} = '';
	return $state // $answer;
}

# The status of maintain(), called by the owner, and what it says.
sub maintain
{
	my ($arguments, $database) = @_;
	my ($code, undef, $stderr) = $node->psql($database // 'studio', "CALL photoflow.maintain($arguments)", extra_params => ['-U', 'studio']);
	return ($code, $stderr);
}

sub start_maintain
{
	my ($arguments, $database) = @_;
	my $session = $node->background_psql($database // 'studio', on_error_stop => 0, extra_params => ['-U', 'studio']);
	$session->query_until(qr/maintaining/, "\\echo maintaining\nCALL photoflow.maintain($arguments);\n");
	return $session;
}

# What it has said when it ends.
sub end
{
	my ($session) = @_;
	$session->query('SELECT 1');
	my $said = $session->{stderr};
	$session->quit;
	return $said;
}

# Waits until maintain() waits, which may be for a moment at a time: it is at work for longer than it has work.
sub waits
{
	my ($database) = @_;
	$database //= 'studio';
	$node->poll_query_until($database, qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL photoflow.maintain%' AND datname = '$database' AND state = 'active' AND wait_event IS NOT NULL AND clock_timestamp() - query_start > interval '500 ms'}) or die 'maintain() does not wait';
	return;
}

# The process of maintain(), when a trigger has stopped it: see watch.stop_here().
sub stopped
{
	my $found = q{FROM pg_stat_activity WHERE query LIKE 'CALL photoflow.maintain%' AND datname = 'studio' AND wait_event = 'PgSleep'};
	$node->poll_query_until('studio', "SELECT count(*) = 1 $found") or die 'maintain() does not get there';
	return as_super(q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL photoflow.maintain%' AND datname = 'studio'});
}

# What is astray must not be in the way of what comes next.
sub tidy
{
	as_super(q{SET session_replication_role = replica; WITH d AS (DELETE FROM ONLY "AuditLogs_default" RETURNING *) INSERT INTO "AuditLogs" SELECT * FROM d});
	return;
}

# Lets the peak of a process's memory begin anew, where the kernel can.
sub forget_peak
{
	my ($pid) = @_;
	append_to_file("/proc/$pid/clear_refs", '5') if -w "/proc/$pid/clear_refs";
	return;
}

# kB of memory of a process.
sub memory
{
	my ($pid, $what) = @_;
	my ($size) = slurp_file("/proc/$pid/status") =~ /^$what:\s+(\d+) kB$/m or die "no $what";
	return $size;
}

# The refusals in the server's log since an offset, decoded.
sub refusal_lines
{
	my ($from) = @_;
	my @found;
	foreach my $line (split /\n/, slurp_file($node->logfile, $from))
	{
		next unless $line =~ /photoflow refusal/;
		my ($json) = $line =~ /LOG:  (?:00000: )?photoflow refusal (\{.*\})$/;
		push @found, eval { decode_json($json // '') } // {sqlstate => "not JSON: $line", name => ''};
	}
	return @found;
}

sub url { my ($bytes) = @_; return encode_base64($bytes, '') =~ tr{+/}{-_}r =~ s/=+$//r; }
