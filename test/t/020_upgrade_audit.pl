# A million rows of an audit log of 1.3, of months and of the default partition, become one of 1.4: beside writers and a reader, over
# a terminate and a kill -9. No row is lost or changed, no writer sees an error, and what comes out is what a fresh one is.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use IPC::Run qw(start);

use lib $FindBin::Bin;
use Listings;

my $node = PostgreSQL::Test::Cluster->new('audit');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 4GB\nshared_buffers = 256MB\nautovacuum = off\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1 .. 3;
my $me = "SET photoflow.org_id = '$orgs[0]'; SET photoflow.role = 'photographer'; ";
my @new = ('Changes', 'DbUser', 'Role', 'TransactionId');
my $rows = 1_000_000;
my $columns = q{SELECT attname FROM pg_attribute WHERE attrelid = '"AuditLogs"'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname COLLATE "C"};
my $functions = q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'photoflow'::regnamespace ORDER BY 1};

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; ALTER ROLE app SET session_preload_libraries = photoflow;');
$node->safe_psql('postgres', "CREATE DATABASE $_ OWNER studio") foreach 'busy', 'fresh';
as('studio', 'busy', q{CREATE EXTENSION photoflow VERSION '1.3'; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');});
fill();
my @old = split /\n/, $node->safe_psql('busy', $columns);
my @functions = split /\n/, $node->safe_psql('busy', $functions);
my $old = join ', ', map { qq{"$_"} } @old;
# of the columns that there are in 1.3, in one order; a row that was lost, changed or is there twice is seen
my $books = qq{SELECT count(*), sum(hashtextextended(row($old)::text, 0)) FROM "AuditLogs" WHERE "Action" LIKE 'of before%'};
my $before = $node->safe_psql('busy', $books);
like($before, qr/^$rows\|/, 'a database of 1.3 with a million rows in its audit log');
is($node->safe_psql('busy', q{SELECT count(DISTINCT tableoid) >= 7, count(*) FILTER (WHERE tableoid = '"AuditLogs_default"'::regclass) > 300000 FROM "AuditLogs"}), 't|t', 'in six months, and without one');

# code of 1.4 on tables of 1.3
works('busy', 'in 1.3');
as('studio', 'busy', q{ALTER EXTENSION photoflow UPDATE TO '1.4'});
works('busy', 'with the code of 1.4 on tables of 1.3');
my $default = q{'"AuditLogs_default"'};
my %refused = (log_operation => q{'s', 'a'}, log_operations => q{'[{"service_name": "s", "action": "a"}]'}, track => q{'"Albums"'}, entity_timeline => q{'Album', 'x'}, slow_operations => '', failed_operations => '', latency_histogram => '',
	set_audit_retention => q{'1 year'}, seal_partition => $default, verify_partition => $default);
foreach my $function (sort keys %refused)
{
	like(refusal('studio', 'busy', "SET photoflow.org_id = '$orgs[0]'; SELECT photoflow.$function($refused{$function})", 1), qr/^PF040 HINT:  .*migrate/, "migrate first: $function()");
}
like(refusal('studio', 'busy', $_, 1), qr/^PF040 HINT:  .*migrate/, "migrate first: $_") foreach 'CALL photoflow.maintain()', 'SELECT photoflow.set_audit_retention(NULL)', 'SELECT * FROM photoflow.slow_operations', 'SELECT * FROM photoflow.failed_operations',
	"SET photoflow.org_id = '$orgs[0]'; SELECT photoflow.log_operations('[]')", "SELECT photoflow.entity_timeline('Album', 'x', '1 day')";
is(refusal('app', 'busy', "$me SELECT photoflow.log_operation('s', 'a')"), 'PF040', 'migrate first: an application');
# what is not refused: triggers, what only lists, and to track no longer what cannot be tracked yet
my %others = map { $_ => 1 } 'untrack', 'record_changes', 'keep_audit', 'keep_sealed', 'list_audit_partitions', 'list_refusals', 'counts_refusals';
my %known = map { $_ => 1 } @functions, keys %refused, 'maintain', keys %others;
is(join(' ', grep { !$known{$_} } split /\n/, $node->safe_psql('busy', $functions)), '', 'no function of 1.4 is forgotten here');
is(as('studio', 'busy', q{SELECT (SELECT count(*) FROM photoflow.tracked_tables), (SELECT count(*) FROM photoflow.audit_partitions), (SELECT count(*) FROM photoflow.refusals)}), '0|0|0', 'lists say that there is nothing yet');
is(as('studio', 'busy', q{SELECT hint FROM photoflow.status() WHERE name = 'pending steps'}), 'CALL photoflow.migrate();', 'and status() what to do');
is($node->safe_psql('busy', $columns), join("\n", @old), 'no column has come');
$node->safe_psql('postgres', "CREATE DATABASE killed TEMPLATE busy OWNER studio");

# beside writers: ended where a reader holds the log up, and where a writer does
my $writers = start_writers();
at_work();
my $reader = $node->background_psql('busy', on_error_stop => 0);
$reader->query_safe('BEGIN; SELECT FROM "AuditLogs" LIMIT 1');
my $migrating = start_migrate('busy', q{lock_timeout => '300 ms'});
waits('busy', 'AccessExclusiveLock');
at_work();
is(steps('busy'), 'ddl running, ddl pending, attach pending', 'migrate() waits for a reader, and writers for neither');
terminate('busy', $migrating);
is($node->safe_psql('busy', $columns), join("\n", @old), 'ended there, it has done nothing');
works('busy', 'with a migrate() that was ended');
at_work();
$migrating = start_migrate('busy', q{lock_timeout => '1 minute'});
waits('busy', 'AccessExclusiveLock');
my $holder = $node->background_psql('busy', on_error_stop => 0);
$holder->query_until(qr/holding/, qq{\\echo holding\nBEGIN; SET application_name = 'holder'; LOCK TABLE "AuditLogs" IN ROW EXCLUSIVE MODE;\n});
waits('busy', 'RowExclusiveLock', q{AND a.application_name = 'holder'});
$reader->query_safe('COMMIT');
$reader->quit;
waits('busy', 'ShareLock');
terminate('busy', $migrating);
is(steps('busy'), 'ddl done, ddl running, ddl pending, attach pending', 'ended by the index');
is($node->safe_psql('busy', $columns), join("\n", sort @old, @new), 'it has brought the columns');
works('busy', 'with the columns of 1.4 and nothing else of it');
is(refusal('studio', 'busy', "SELECT photoflow.$_"), 'PF040', "with the columns of 1.4: migrate first: $_") foreach q{track('"Albums"')}, q{slow_operations()}, qq{seal_partition($default)}, q{set_audit_retention('1 year')};
$holder->query_safe('COMMIT');
$holder->quit;
at_work();
unlike(migrate('busy', ''), qr/by hand|waits/, 'the next migrate() does all');
is(steps('busy'), 'ddl done, attach done', 'as it says');
at_work();
stop_writers($writers);
is($node->safe_psql('busy', $books), $before, 'every row of before is what it was');
is($node->safe_psql('busy', qq{SELECT count(*) FROM "AuditLogs" WHERE num_nonnulls(@{[join ', ', map { qq{"$_"} } @new]}) > 0 AND "Action" LIKE 'of before%'}), 0, 'with nothing in the new columns');
# 1: inserted as before, 2: with an album that moves, 3: reported, once that can be
is($node->safe_psql('busy', q{SELECT w.kind, count(*), min(w.id) FROM watch.written w FULL JOIN (SELECT "EntityId" AS id, count(*) AS n FROM "AuditLogs" WHERE "Action" = 'written' GROUP BY 1) a USING (id) WHERE w.id IS NULL OR a.n IS DISTINCT FROM 1
	OR (w.kind = 2 AND NOT EXISTS (SELECT FROM "Albums" b WHERE b."Id" = w.id::uuid AND b."AlbumState" = 1)) GROUP BY 1}), '', 'all that writers were told is there, once');
is($node->safe_psql('busy', q{SELECT string_agg(kind || ' ' || (n > 20), ',' ORDER BY kind) FROM (SELECT kind, count(*) AS n FROM watch.written GROUP BY 1) x}), '1 true,2 true,3 true', 'they wrote in every way');
is($node->safe_psql('busy', q{SELECT state, message, count(*) FROM watch.refused WHERE state <> 'PF040' GROUP BY 1, 2}), '', 'and none was refused but for what is new');
is($node->safe_psql('busy', q{SELECT count(*) > 0 FROM watch.refused}), 't', 'which was, at first');

# kill -9 in the middle of the columns, and of the index
$reader = $node->background_psql('killed', on_error_stop => 0);
$reader->query_safe('BEGIN; SELECT FROM "AuditLogs" LIMIT 1');
$migrating = start_migrate('killed', q{lock_timeout => '1 minute'});
waits('killed', 'AccessExclusiveLock');
kill_backend('killed', $migrating, $reader);
is(steps('killed'), 'ddl running, ddl pending, attach pending', 'killed: at the columns');
is($node->safe_psql('killed', $books), $before, 'killed: every row is what it was');
my $last = $node->safe_psql('killed', q{SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '"AuditLogs"'::regclass ORDER BY inhrelid DESC LIMIT 1});
$holder = $node->background_psql('killed', on_error_stop => 0);
$holder->query_safe("BEGIN; LOCK TABLE $last IN ROW SHARE MODE");
$migrating = start_migrate('killed', q{lock_timeout => '1 minute'});
waits('killed', 'AccessExclusiveLock', '', $last);
kill_backend('killed', $migrating, $holder);
is(steps('killed'), 'ddl running, ddl pending, attach pending', 'killed: at the last of the partitions');
is($node->safe_psql('killed', $columns), join("\n", @old), 'killed: no column is left of it');
# while it reads what it indexes
$migrating = start_migrate('killed', '');
my $pid = $node->safe_psql('killed', q{CREATE FUNCTION pg_temp.builder() RETURNS int LANGUAGE plpgsql AS $$
	DECLARE found int;
	BEGIN
		FOR n IN 1 .. 30000 LOOP
			SELECT pid INTO found FROM pg_locks WHERE relation = '"AuditLogs_default"'::regclass AND mode = 'ShareLock' AND granted;
			EXIT WHEN found IS NOT NULL;
			PERFORM pg_sleep(0.001);
		END LOOP;
		RETURN found;
	END $$; SELECT pg_temp.builder()});
kill_backend('killed', [$pid], $migrating);
is(steps('killed'), 'ddl done, ddl running, ddl pending, attach pending', 'killed: in the index');
is($node->safe_psql('killed', $books), $before, 'killed: every row is what it was');
is($node->safe_psql('killed', q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), 0, 'killed: no index is left half-built');
works('killed', 'after kill -9');
migrate('killed', '');
is(steps('killed'), 'ddl done, attach done', 'killed: the next migrate() finishes');
is($node->safe_psql('killed', $books), $before, 'killed: every row is what it was, in the end');

# the same in the end
as('studio', 'fresh', q{CREATE EXTENSION photoflow VERSION '1.4'; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');});
my %fresh = listings($node, 'fresh');
cmp_ok(scalar(@{$fresh{tables}}), '>', 500, 'the listing is not empty');
foreach my $database ('busy', 'killed')
{
	is(as('studio', $database, q{SELECT string_agg(c::text, E'\n') FROM photoflow.check_tenancy() c}), '', "$database: check_tenancy() finds nothing");
	is(as('studio', $database, q{SELECT string_agg(s::text, E'\n') FROM photoflow.status() s WHERE name IN ('version', 'pending steps', 'triggers attached', 'triggers see every change', 'row-level security', 'tenancy', 'tracked tables') AND NOT ok}), '', "$database: nor status()");
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_inherits p JOIN pg_index i ON i.indrelid = p.inhrelid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam WHERE inhparent = '"AuditLogs"'::regclass AND amname = 'brin' AND indisvalid}),
		$node->safe_psql($database, q{SELECT count(*) FROM pg_inherits WHERE inhparent = '"AuditLogs"'::regclass}), "$database: each month has its index");
	my %listing;
	{
		$node->safe_psql($database, q{SET client_min_messages = warning; DROP SCHEMA IF EXISTS watch CASCADE});
		as('studio', $database, q{SELECT photoflow.grant_app('app')});
		%listing = listings($node, $database);
	}
	is(join("\n", difference($fresh{$_}, $listing{$_})), '', "$database: upgraded and fresh are the same by their $_") foreach sort keys %fresh;
	recorded($database);
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

sub terminate
{
	my ($database, $session) = @_;
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . migrating($database) . ', 60000)');
	$session->{run}->finish;
	return;
}

# Waits until somebody waits for a lock on the log, or another table.
sub waits
{
	my ($database, $mode, $more, $table) = @_;
	$table //= '"AuditLogs"';
	$node->poll_query_until($database, qq{SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = '$table'::regclass AND l.mode = '$mode' AND NOT l.granted } . ($more // '')) or die "nobody waits for $mode";
	return;
}

# kill -9 for migrate(), by its pid where that is known, which takes its session and others with it.
sub kill_backend
{
	my ($database, @sessions) = @_;
	my $pid = ref $sessions[0] eq 'ARRAY' ? shift(@sessions)->[0] : migrating($database);
	kill 'KILL', $pid;
	foreach my $session (@sessions)
	{
		$session->{run}->kill_kill if $session != $sessions[0];
		$session->{run}->finish;
	}
	$node->poll_query_until($database, 'SELECT true') or die 'the server does not come back';
	return;
}

# The states of the steps of 1.4, in their order, each as often as it changes.
sub steps
{
	my ($database) = @_;
	my @steps = split /\n/, as('studio', $database, q{SELECT kind || ' ' || state FROM photoflow.migration_status WHERE version = '1.4' ORDER BY step});
	return join ', ', map { $steps[$_] } grep { $_ == 0 || $steps[$_] ne $steps[ $_ - 1 ] } 0 .. $#steps;
}

# An application at work, in a transaction that is taken back; the log with a row of its own, and of another organization.
sub works
{
	my ($database, $name) = @_;
	my $album = q{(SELECT "Id" FROM "Albums" WHERE "Name" = 'works')};
	is(as('app', $database, qq{$me BEGIN;
		INSERT INTO "Albums" ("Name") VALUES ('works') RETURNING "AlbumState";
		SELECT from_state, to_state FROM photoflow.fire($album, 'SyncRawTag');
		INSERT INTO "AuditLogs" ("ServiceName", "Action", "EntityId", "RequestData") VALUES ('s', 'works', 'x', '{"a": 1}') RETURNING "OrgId", "Status";
		INSERT INTO "AuditLogs" ("Action", "CreatedAt") VALUES ('works', now() - interval '9 years');
		SELECT count(*), count(DISTINCT "OrgId"), bool_or("RequestData"->>'a' = '1') FROM "AuditLogs" WHERE "Action" = 'works';
		WITH d AS (DELETE FROM "Albums" WHERE "Name" = 'works' RETURNING "IsDeleted") SELECT count(*) FROM d;
		SELECT photoflow.record_failure('Album', $album, 'Raw', 'Stock', 'x') IS NOT NULL;
		ROLLBACK;}), "0\nInit|Raw\n$orgs[0]|Success\n2|1|t\n1\nt", "the application works $name");
	return;
}

# And what is new works on what was there.
sub recorded
{
	my ($database) = @_;
	as('studio', $database, q{SELECT photoflow.track('"Albums"')});
	my $id = as('app', $database, qq{$me INSERT INTO "Albums" ("Name") VALUES ('recorded') RETURNING "Id"});
	as('app', $database, qq{$me UPDATE "Albums" SET "Name" = 'twice' WHERE "Id" = '$id'; SELECT FROM photoflow.log_operation('s', 'a', 'Album', '$id', 12)});
	is(as('app', $database, qq{$me SELECT action, changes->'Name', execution_time_ms FROM photoflow.entity_timeline('Album', '$id')}), qq{insert|"recorded"|\nupdate|["recorded", "twice"]|\na||12}, "$database: changes and operations come into the log");
	is(as('app', $database, qq{$me SELECT count(*) FROM photoflow.entity_timeline('Old', '77')}), $node->safe_psql($database, qq{SELECT count(*) FROM "AuditLogs" WHERE "EntityType" = 'Old' AND "EntityId" = '77' AND "OrgId" = '$orgs[0]'}), "$database: and rows of before are found");
	is(as('studio', $database, q{SELECT sum(calls), max(max_ms) FROM photoflow.slow_operations(0, '20 years', 1000)}), $node->safe_psql($database, q{SELECT count(*), max("ExecutionTimeMs") FROM "AuditLogs" WHERE "ExecutionTimeMs" IS NOT NULL AND NOT "IsDeleted"}), "$database: and counted");
	my ($code, undef, $said) = $node->psql($database, 'CALL photoflow.maintain()', extra_params => ['-U', 'studio']);
	is("$code $said", '0 ', "$database: maintain()");
	is($node->safe_psql($database, q{SELECT count(*) FROM ONLY "AuditLogs_default"}), 0, "$database: gives hundreds of thousands of rows their months");
	is($node->safe_psql($database, $books), $before, "$database: as they are");
	my $month = as('studio', $database, q{SELECT partition FROM photoflow.audit_partitions WHERE to_time < now() ORDER BY to_time DESC LIMIT 1});
	is(as('studio', $database, qq{SELECT rows > 50000 FROM photoflow.seal_partition('$month'); SELECT ok FROM photoflow.verify_partition('$month')}), "t\nt", "$database: which can be sealed");
	return;
}

# A third of the rows in months that are over, which have no partition in 1.3, two thirds in this one and those to come.
sub fill
{
	$node->safe_psql('busy', qq{
		INSERT INTO "Organizations" ("Id", "Name") SELECT o, o::text FROM unnest('{@{[join ',', @orgs]}}'::uuid[]) o;
		INSERT INTO "AuditLogs" ("OrgId", "ServiceName", "Action", "EntityType", "EntityId", "ExecutionTimeMs", "Status", "RequestData", "CreatedAt")
		SELECT ('{@{[join ',', @orgs]}}'::uuid[])[1 + n % 3], 'service ' || n % 7, 'of before ' || n % 11, 'Old', n % 50000, n % 1000, CASE n % 10 WHEN 0 THEN 'Failed' ELSE 'Success' END, CASE WHEN n % 20 = 0 THEN jsonb_build_object('n', n, 'letters', 'é "x"') END,
			date_trunc('month', now(), 'UTC') + (n % 9 - 3) * interval '1 month' + n * interval '2 seconds' FROM generate_series(1, $rows) n;
		CREATE SCHEMA watch; GRANT USAGE ON SCHEMA watch TO app;
		CREATE TABLE watch.stop (said boolean); CREATE TABLE watch.written (kind int, id text); CREATE TABLE watch.refused (state text, message text); GRANT SELECT ON watch.stop TO app; GRANT INSERT ON watch.written, watch.refused TO app;
		CREATE FUNCTION watch.write(who int) RETURNS void LANGUAGE plpgsql AS \$\$
		DECLARE kind int := 1 + floor(random() * 3); id uuid := gen_random_uuid();
		BEGIN
			PERFORM photoflow.set_context(('00000000-0000-4000-8000-00000000000' || who)::uuid, NULL, 'photographer');
			IF kind = 2 THEN
				INSERT INTO "Albums" ("Id", "Name") VALUES (id, 'written');
				PERFORM photoflow.fire(id, 'SyncRawTag');
			END IF;
			IF kind < 3 THEN
				INSERT INTO "AuditLogs" ("Action", "EntityId", "CreatedAt") VALUES ('written', id::text, now() + (random() * 9 - 3) * interval '30 days');
			ELSE
				EXECUTE 'SELECT photoflow.log_operation(\$1, \$2, entity_id => \$3)' USING 'writer', 'written', id::text;
			END IF;
			INSERT INTO watch.written VALUES (kind, id);
		EXCEPTION WHEN OTHERS THEN INSERT INTO watch.refused VALUES (SQLSTATE, SQLERRM);
		END \$\$;});
	return;
}

sub start_writers
{
	append_to_file("$dir/writers.sql", "\\set n :client_id + 1\nSELECT watch.write(:n::int);\n\\sleep 2 ms\n");
	my %writers = (said => '', complained => '');
	$writers{run} = start(['pgbench', '-n', '-M', 'prepared', '-c', 3, '-T', 600, '-f', "$dir/writers.sql", '-h', $node->host, '-p', $node->port, '-U', 'app', 'busy'], '>', \$writers{said}, '2>', \$writers{complained});
	return \%writers;
}

# Waits until the writers have written some more.
sub at_work
{
	my $count = $node->safe_psql('busy', 'SELECT count(*) FROM watch.written');
	$node->poll_query_until('busy', "SELECT count(*) > $count + 60 FROM watch.written") or die 'the writers do not go on';
	return;
}

sub stop_writers
{
	my ($writers) = @_;
	is($node->safe_psql('busy', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'}), 3, 'no writer has given up');
	$writers->{run}->signal('TERM');
	$writers->{run}->finish;
	$node->poll_query_until('busy', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'}) or die 'the writers go on';
	is($writers->{complained}, '', 'nor complained');
	return;
}
