# Two tenants on one server connection, by pgbouncer in transaction mode: nothing of one's context is there for the other, however
# its transaction ended; and what a SET of a session does there, which require_token refuses.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Digest::SHA qw(hmac_sha256);
use IPC::Run qw(start run);
use MIME::Base64 qw(encode_base64url);

my $program = '/usr/sbin/pgbouncer';
die "$program is missing: test/deps installs it" unless -x $program;
run([$program, '--version'], '>', \my $version) or die "$program does not run";
my ($major, $minor) = $version =~ /PgBouncer (\d+)\.(\d+)/ or die "what version is this: $version";
my $prepares = $major > 1 || $minor >= 21;    # since then it keeps track of prepared statements

my $node = PostgreSQL::Test::Cluster->new('pgbouncer');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->start;

my $key = 'a key of the platform that signs its tokens';
my %org = (sen => '00000000-0000-4000-8000-000000000001', minh => '00000000-0000-4000-8000-000000000002');
my %other = (sen => 'minh', minh => 'sen');
my %albums = (sen => 3, minh => 5);

# app says for whom it works, door shows a token, late is door on a connection that does not load photoflow at its start
$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE door LOGIN; CREATE ROLE late LOGIN; CREATE DATABASE studio OWNER studio;
	ALTER ROLE door SET photoflow.require_token = on; ALTER ROLE late SET photoflow.require_token = on;');
$node->safe_psql('studio', "CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.set_token_key('\\x" . unpack('H*', $key) . "'); SELECT photoflow.grant_app('app'); SELECT photoflow.grant_app('door');
	SELECT photoflow.grant_app('late'); ALTER ROLE late IN DATABASE studio RESET session_preload_libraries;");
foreach my $who (sort keys %org)
{
	$node->safe_psql('studio', qq{SET photoflow.org_id = '$org{$who}'; INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org{$who}', '$who');
		INSERT INTO "Albums" ("Name") SELECT '$who' FROM generate_series(1, $albums{$who});});
}
my %album = map { $_ => $node->safe_psql('studio', qq{SELECT min("Id"::text) FROM "Albums" WHERE "OrgId" = '$org{$_}'}) } keys %org;

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $socket = PostgreSQL::Test::Utils::tempdir_short();
my $said = '';
my $bouncer = start_bouncer();

my $count = 'SELECT count(*), count(DISTINCT "OrgId") FROM "Albums"';
foreach my $login ('app', 'door')
{
	my %session = map { $_ => connect_as($login) } 'sen', 'minh';
	my ($sen, $minh) = @session{'sen', 'minh'};
	my $pid = ask($sen, 'SELECT pg_backend_pid()');
	is(ask($minh, 'SELECT pg_backend_pid()'), $pid, "$login: two clients have one connection to the server");
	is(ask($sen, 'SHOW photoflow.require_token'), $login eq 'door' ? 'on' : 'off', "$login: whether a token is required");
	nothing_is_left($_, "$login: at first") foreach $sen, $minh;

	# each in turn; the one whose turn it is not waits for the connection
	foreach my $round (1 .. 3)
	{
		foreach my $who ('sen', 'minh')
		{
			my ($mine, $theirs) = @session{$who, $other{$who}};
			is(ask($mine, 'BEGIN; ' . authenticate($who)), "$org{$who}|photographer", "$login: $who is let in");
			$theirs->query_until(qr/asked/, qq{\\echo asked\nSELECT 'unknown ' || count(*) FROM "Albums";\n});
			is(ask($mine, "$count; SELECT pg_backend_pid()"), "$albums{$who}|1\n$pid", "$login: and sees its albums");
			is(ask($mine, qq{SELECT count(*) FROM "Albums" WHERE "Id" = '$album{$other{$who}}'}), 0, "$login: and not those of the other");
			is(ask($mine, 'SAVEPOINT s; ' . fire($other{$who})), 'PF005', "$login: which are not there for functions");
			ask($mine, $round == 1 ? 'ROLLBACK TO s; COMMIT' : $round == 2 ? 'ROLLBACK' : 'ROLLBACK AND CHAIN; COMMIT');
			is(ask($theirs, 'SELECT pg_backend_pid()'), "unknown 0\n$pid", "$login: who asks meanwhile, unknown, waits, and sees nothing");
			nothing_is_left($_, "$login: after the transaction of $who") foreach $theirs, $mine;
		}
	}

	# however a transaction ends
	my %ends = (
		'a COMMIT' => ['BEGIN', authenticate('sen'), $count, 'COMMIT'],
		'a ROLLBACK' => ['BEGIN', authenticate('sen'), $count, 'ROLLBACK'],
		'an error' => ['BEGIN', authenticate('sen'), 'SELECT 1 / 0', 'ROLLBACK'],
		'an error that is taken back' => ['BEGIN', authenticate('sen'), 'SAVEPOINT s', 'SELECT 1 / 0', 'ROLLBACK TO s', $count, 'COMMIT'],
		'a COMMIT that fails' => ['BEGIN', authenticate('sen'), 'SELECT 1 / 0', 'COMMIT'],
		'a statement of its own' => [authenticate('sen')],
		'several statements at once' => [authenticate('sen') . '\\; ' . $count],
		'several statements at once, of which one fails' => [authenticate('sen') . '\\; SELECT 1 / 0'],
		'a refused token' => ['BEGIN', authenticate('sen'), q{SELECT photoflow.authenticate('a.b.c')}, 'ROLLBACK'],
		'a token that a savepoint takes back' => ['BEGIN', 'SAVEPOINT s', authenticate('sen'), 'ROLLBACK TO s', 'COMMIT'],
		'a token of its own in a savepoint' => ['BEGIN', 'SAVEPOINT s', authenticate('sen'), 'RELEASE s', 'COMMIT'],
		'a block that fails' => ['BEGIN', q{DO $$ BEGIN PERFORM photoflow.authenticate('} . token('sen') . q{'); RAISE 'no'; END $$}, 'ROLLBACK'],
		'a block that catches an error' => [q{DO $$ BEGIN BEGIN PERFORM photoflow.authenticate('} . token('sen') . q{'); RAISE 'no'; EXCEPTION WHEN others THEN NULL; END; END $$}]);
	foreach my $end (sort keys %ends)
	{
		ask($sen, $_) foreach @{$ends{$end}};
		is(ask($minh, 'SELECT pg_backend_pid()'), $pid, "$login: after $end: on the same connection");
		nothing_is_left($minh, "$login: after $end");
	}
	is(ask($sen, 'BEGIN; ' . authenticate('sen') . '; SAVEPOINT s; ' . authenticate('minh') . "; ROLLBACK TO s; $count; COMMIT"), "$org{sen}|photographer\n$org{minh}|photographer\n3|1",
		"$login: a token that a savepoint takes back gives way to the one before");

	# a client that leaves in the middle takes the connection with it
	ask($sen, 'BEGIN; ' . authenticate('sen'));
	$sen->{run}->kill_kill;
	$sen->{run}->finish;
	isnt(ask($minh, 'SELECT pg_backend_pid()'), $pid, "$login: after a client that left in its transaction there is another connection");
	nothing_is_left($minh, "$login: after a client that left in its transaction");
	$sen = connect_as($login);
	$pid = ask($sen, 'SELECT pg_backend_pid()');

	# a statement that one has prepared is there for the other, and sees what the other may see
	ask($sen, q{PREPARE shared AS SELECT count(*), count(DISTINCT "OrgId") FROM "Albums"});
	is(ask($sen, 'BEGIN; ' . authenticate('sen') . '; ' . join('; ', ('EXECUTE shared') x 7) . '; COMMIT'), join("\n", "$org{sen}|photographer", ('3|1') x 7), "$login: a prepared statement, until its plan is kept");
	is(ask($minh, 'EXECUTE shared'), '0|0', "$login: gives nothing to who is unknown");
	is(ask($minh, 'BEGIN; ' . authenticate('minh') . '; EXECUTE shared; COMMIT'), "$org{minh}|photographer\n5|1", "$login: and to the other what is the other's");
	ask($minh, 'DEALLOCATE shared');
	pgbench($login, 'extended');
	SKIP:
	{
		skip "pgbouncer $major.$minor knows no prepared statements in transaction mode", 1 unless $prepares;
		pgbench($login, 'prepared');
	}

	# settings of the session, which stay on the connection: where no token is required, that is the danger
	if ($login eq 'app')
	{
		is(ask($sen, "BEGIN; SELECT photoflow.set_context('$org{sen}', NULL, 'photographer', 'r', 'c'); $count; COMMIT"), "\n3|1", "$login: set_context() in a transaction");
		nothing_is_left($minh, "$login: after set_context()");
		is(ask($sen, "BEGIN; SET LOCAL photoflow.org_id = '$org{sen}'; $count; COMMIT"), '3|1', "$login: SET LOCAL in a transaction");
		nothing_is_left($minh, "$login: after SET LOCAL");
		is(ask($sen, "SET photoflow.org_id = '$org{sen}'; $count"), '3|1', "$login: but a SET of the session");
		is(ask($minh, "$count; SELECT pg_backend_pid()"), "3|1\n$pid", "$login: lets the other see what is not the other's: SET LOCAL or set_context() is what an application must use");
		is(ask($minh, 'BEGIN; ' . authenticate('minh') . "; $count; COMMIT; $count"), "$org{minh}|photographer\n5|1\n3|1", "$login: who shows a token sees the other's for that transaction only");
		is(ask($minh, "BEGIN; SELECT photoflow.set_context(NULL); $count; COMMIT"), "\n0|0", "$login: who unsets the context sees nothing");
		ask($sen, 'RESET photoflow.org_id');
		nothing_is_left($minh, "$login: after a RESET");
	}
	else
	{
		refused($sen, $_, $login) foreach "SELECT photoflow.set_context('$org{sen}')", "SET photoflow.org_id = '$org{sen}'", "SET photoflow.user_id = '$org{sen}'", q{SET photoflow.role = 'org_admin'},
			"SELECT set_config('photoflow.org_id', '$org{sen}', false)", "BEGIN; SET LOCAL photoflow.org_id = '$org{sen}'", 'SET photoflow.require_token = off', 'RESET photoflow.require_token',
			"SET photoflow.verified_context = '$org{sen}  '", q{UPDATE pg_settings SET setting = 'off' WHERE name = 'photoflow.require_token'}, 'ALTER ROLE door SET photoflow.require_token = off',
			'ALTER ROLE door RESET photoflow.require_token';
		ask($sen, 'ROLLBACK; DISCARD ALL');
		is(ask($sen, 'SHOW photoflow.require_token'), 'on', "$login: a token is required all the same");
		nothing_is_left($minh, "$login: after all that");
	}
	$_->quit foreach $sen, $minh;
}

# Before the library is loaded its settings take anything. What one client has set then is not there for the other.
foreach my $setting ("photoflow.org_id = '$org{sen}'", 'photoflow.require_token = off', "photoflow.verified_context = '$org{sen}  '", q{photoflow.role = 'org_admin'})
{
	my ($sen, $minh) = map { connect_as('late') } 1 .. 2;
	my $pid = ask($sen, "SET $setting; SELECT pg_backend_pid()");
	unlike($sen->{stderr}, qr/ERROR/, "late: SET $setting before the library is loaded is taken");
	is(ask($minh, 'SELECT pg_backend_pid()'), $pid, 'late: on the connection of both');
	is(ask($minh, "SET client_min_messages = error; $count"), '0|0', 'late: nothing is seen');
	is(ask($minh, 'SHOW photoflow.require_token'), 'on', 'late: a token is required');
	nothing_is_left($_, "late: after SET $setting") foreach $sen, $minh;
	is(ask($minh, 'BEGIN; ' . authenticate('minh') . "; $count; COMMIT"), "$org{minh}|photographer\n5|1", 'late: with a token the other is let in');
	nothing_is_left($sen, 'late: after that');
	# out of the pool with this connection, for the next one
	ask($sen, 'BEGIN');
	$sen->{run}->kill_kill;
	$sen->{run}->finish;
	$minh->quit;
}

$bouncer->signal('INT');
$bouncer->finish;
undef $bouncer;
unlike($said, qr/FATAL|ERROR/, 'pgbouncer has nothing to complain of');
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nor has the server');
$node->stop;
done_testing();

# What the platform would issue.
sub token
{
	my ($who) = @_;
	my $signed = join '.', map { encode_base64url($_) } '{"alg":"HS256","typ":"JWT"}', qq({"org_id":"$org{$who}","role":"photographer","iat":) . time . ',"exp":' . (time + 3600) . '}';
	return $signed . '.' . encode_base64url(hmac_sha256($signed, $key));
}

sub authenticate
{
	my ($who) = @_;
	return q{SELECT org_id, role FROM photoflow.authenticate('} . token($who) . q{')};
}

sub fire
{
	my ($who) = @_;
	return "SELECT to_state FROM photoflow.fire('$album{$who}', 'SyncRawTag')";
}

# A client without a context, on a connection where others had one.
sub nothing_is_left
{
	my ($session, $name) = @_;
	is(ask($session, q{SELECT count(*), photoflow.current_org(), photoflow.current_user_id(), photoflow.current_role_name(), current_setting('photoflow.request_id'), current_setting('photoflow.correlation_id'),
		current_setting('photoflow.verified_context') FROM "Albums"}), '0||||||', "$name: nothing of a context is left");
	is(ask($session, 'BEGIN; ' . fire('sen')), 'PF010', "$name: functions ask for one");
	is(ask($session, qq{ROLLBACK; INSERT INTO "Albums" ("OrgId", "Name") VALUES ('$org{sen}', 'x')}), 'PF010', "$name: and so do writes");
	return;
}

sub refused
{
	my ($session, $sql, $login) = @_;
	my $answer = ask($session, $sql);
	ask($session, 'ROLLBACK') if $sql =~ /^BEGIN/;
	is($answer, '42501', "$login: refused: " . $sql =~ s/'[^']*'/'...'/gr);
	return;
}

# A client of pgbouncer.
sub connect_as
{
	my ($login) = @_;
	return $node->background_psql('studio', on_error_stop => 0, extra_params => ['-d', "host=$socket port=$port dbname=studio user=$login", '-v', 'VERBOSITY=sqlstate']);
}

# What a client is answered: rows, or the SQLSTATE of an error.
sub ask
{
	my ($session, $sql) = @_;
	$session->{stderr} = '';
	my $answer = $session->query($sql);
	return $session->{stderr} =~ /ERROR:  (\w{5})/ ? $1 : $answer;
}

# Many short transactions of both tenants; a division by zero for each that sees what it should not.
sub pgbench
{
	my ($login, $protocol) = @_;
	my @scripts;
	foreach my $who (sort keys %org)
	{
		my $script = PostgreSQL::Test::Utils::tempdir() . "/$who.sql";
		append_to_file($script, qq{SELECT 1 / (count(*) = 0)::int FROM "Albums";
BEGIN;
SELECT 1 / (photoflow.current_org() IS NULL)::int;
} . authenticate($who) . qq{;
SELECT 1 / (count(*) = $albums{$who} AND min("OrgId"::text) = '$org{$who}')::int FROM "Albums";
\\set luck random(1, 2)
\\if :luck = 1
COMMIT;
\\else
ROLLBACK;
\\endif
SELECT 1 / (photoflow.current_role_name() IS NULL)::int;
});
		push @scripts, '-f', $script;
	}
	# a thread for each: pgbench prepares without looking after its other clients, one of whom has the connection
	my ($stdout, $stderr) = run_command(['pgbench', '-n', '-M', $protocol, '-c', '6', '-j', '6', '-t', '50', @scripts, '-h', $socket, '-p', $port, '-U', $login, 'studio']);
	is("$stderr; " . ($stdout =~ /number of transactions actually processed: (\d+)/)[0], '; 300', "$login: six clients by turns see their own and nothing else: $protocol");
	return;
}

sub start_bouncer
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	append_to_file("$dir/users.txt", join '', map { qq{"$_" ""\n} } 'app', 'door', 'late');
	append_to_file("$dir/pgbouncer.ini", "[databases]\nstudio = host=" . $node->host . ' port=' . $node->port . qq{ dbname=studio
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $socket
auth_type = trust
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 1
min_pool_size = 0
} . ($prepares ? "max_prepared_statements = 100\n" : ''));
	my $process = start([$program, "$dir/pgbouncer.ini"], '<', '/dev/null', '>', \$said, '2>', \$said);
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	until (run(['psql', '-X', '-q', '-c', '', '-d', "host=$socket port=$port dbname=studio user=app"], '>', '/dev/null', '2>', '/dev/null'))
	{
		$process->pump_nb;
		die "pgbouncer does not start: $said" if time > $until || !$process->pumpable;
	}
	return $process;
}

END
{
	my $status = $?;
	$bouncer->kill_kill if $bouncer;
	$? = $status;
}
