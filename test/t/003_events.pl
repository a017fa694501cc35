# Events: what they hold, that they come with the commit and not without it, by NOTIFY and in the WAL; and that who may not know
# the channel's name does not hear of them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('events');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
# the channel that everybody knows, until the end of this file looks at the one that nobody does
$node->append_conf('postgresql.conf', "wal_level = logical\nphotoflow.event_channel = 'photoflow'\n");
$node->start;
my $org = '00000000-0000-4000-8000-000000000001';
$node->safe_psql('postgres', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables();
	INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');
	INSERT INTO "Albums" ("Id", "OrgId", "Name") SELECT ('00000000-0000-4000-8000-1' || lpad(n::text, 11, '0'))::uuid, '$org', n FROM generate_series(1, 40) n;
	INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") SELECT "Id", 0, 2 FROM "Albums";});

# one album, one event
my ($fired) = events(fire(1));
is(keys_of($fired), 'albumId,oldState,newState,message,timestamp,type', 'the keys of the domain, in its order');
is(value($fired, 'albumId'), album(1), 'albumId');
is(value($fired, 'oldState'), 'Init', 'oldState');
is(value($fired, 'newState'), 'Raw', 'newState');
is(value($fired, 'type'), 'album_state_changed', 'type');
isnt(value($fired, 'message'), '', 'message');
my $iso = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
like(value($fired, 'timestamp'), $iso, 'timestamp is ISO 8601 in UTC');
my ($abroad) = events(q{SET timezone = 'Asia/Tokyo'; SET datestyle = 'german'; SET lc_messages = 'C';} . fire(2));
like(value($abroad, 'timestamp'), $iso, 'whatever the session shows');
is($node->safe_psql('postgres', q{SELECT abs(extract(epoch FROM now() - '} . value($abroad, 'timestamp') . q{'::timestamptz)) < 600}), 't', 'and it is now');
my ($reasoned) = events(fire(3, q{, reason => E'because "of" \\\\ \n\t \u00e9 \u5199'}));
like(value($reasoned, 'message'), qr/because "of" \\ \n\t \x{c3}\x{a9} \x{e5}\x{86}\x{99}/, 'the message holds the reason, quoted as JSON asks');

# with the commit, in order, once each
my $session = $node->safe_psql('postgres', 'LISTEN photoflow; BEGIN; ' . fire(4) . ' ' . fire(4) . q{ SELECT 'still open'; COMMIT; SELECT 'closed';});
like($session, qr/still open.*Asynchronous notification.*Asynchronous notification/s, 'nothing leaves before the commit');
is(scalar(events('BEGIN; ' . fire(5) . ' COMMIT; BEGIN; ' . fire(6) . ' ROLLBACK;')), 1, 'nothing leaves after a rollback');
is(scalar(events('BEGIN; SAVEPOINT s; ' . fire(7) . ' ROLLBACK TO s; ' . fire(8) . ' COMMIT;')), 1, 'nor what a savepoint takes back');
is(scalar(events('BEGIN; SAVEPOINT s; ' . fire(9) . ' RELEASE s; COMMIT;')), 1, 'what a savepoint keeps does');
is(scalar(events(qq{UPDATE "Albums" SET "Name" = "Name"; UPDATE "Albums" SET "AlbumState" = "AlbumState";})), 0, 'no change, no event');
my @bulk = events(q{UPDATE "Albums" SET "AlbumState" = 1 WHERE "Name"::int BETWEEN 11 AND 20;});
is(scalar(@bulk), 10, 'a bulk UPDATE sends one for each album');
is(join(',', sort map { value($_, 'albumId') } @bulk), join(',', map { album($_) } 11 .. 20), 'each its own');
my ($back) = events('SELECT photoflow.rollback_transition(\'' . album(11) . '\');');
is(value($back, 'oldState') . value($back, 'newState'), 'RawInit', 'a rollback is a change too');
is(scalar(events(q{SELECT * FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums" WHERE "Name"::int IN (12, 13, 21)), 'SyncRawTag');})), 3, 'fire_many() sends one for each album');

# too long for NOTIFY is not too long for us
my ($code, $out, $err) = $node->psql('postgres', 'LISTEN photoflow; ' . fire(22, q{, reason => repeat('long ', 4000)}));
is($code, 0, 'a reason of 20 kB is no error');
my ($reduced) = payloads($out);
is(keys_of($reduced), 'albumId,oldState,newState,message,timestamp,type', 'the event has all its keys');
is(value($reduced, 'newState'), 'Raw', 'and what is needed');
cmp_ok(length($reduced), '<', 8000, 'and is shorter');
is($node->safe_psql('postgres', q{SELECT length(reason) FROM photoflow.album_history('} . album(22) . q{')}), 20000, 'the history keeps it all');
# at the limit itself, byte by byte (multi-byte characters and quotes count as they are sent)
my $failed = 0;
foreach my $length (7600 .. 7800)
{
	next if $length % 8 && ($length < 7690 || $length > 7790);
	my ($result) = $node->psql('postgres', fire(22, qq{, reason => repeat('x', $length)}), on_error_stop => 1);
	$failed++ if $result != 0;
}
is($failed, 0, 'no length is refused');
($code) = $node->psql('postgres', fire(22, q{, reason => repeat('"', 4000)}), on_error_stop => 1);
is($code, 0, 'quotes are counted as they are sent');

# other modes
is(scalar(events(q{SET photoflow.events = off;} . fire(23))), 0, 'events = off');
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('seen', 'test_decoding')});
my $notified = scalar(events(q{SET photoflow.events = wal;} . fire(24, q{, reason => repeat('long ', 4000)}) . q{BEGIN;} . fire(25) . q{ROLLBACK;} . fire(26)));
is($notified, 0, 'events = wal sends no NOTIFY');
my @messages = split /\n/, $node->safe_psql('postgres', q{SELECT data FROM pg_logical_slot_get_changes('seen', NULL, NULL) WHERE data LIKE 'message:%'});
is(scalar(@messages), 2, 'but a message in the WAL for each committed change');
like($messages[0], qr/^message: transactional: 1 prefix: photoflow, sz: \d+ content:\{/, 'transactional, with our prefix');
my ($content) = $messages[0] =~ /content:(.*)/;
is(value($content, 'albumId'), album(24), 'of the album');
is(keys_of($content), 'albumId,oldState,newState,message,timestamp,type', 'with the same keys');
cmp_ok(length($content), '>', 20000, 'and whole, whatever its length');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('seen')});

# a listing being synced: progress, and the end
my $tag = $node->safe_psql('postgres', q{SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = '} . album(30) . q{'});
my $files = q{[{"id": "1", "name": "a.jpg", "mimeType": "image/jpeg"}, {"id": "2", "name": "b.jpg", "mimeType": "image/jpeg"}]};
my $context = qq{SET photoflow.org_id = '$org'; };
my ($progress) = grep { value($_, 'type') eq 'photo_sync_progress' } events(qq{$context SELECT photoflow.sync_photos('$tag', '$files', 4);});
like(keys_of($progress), qr/^albumId,albumTagId,processedCount,totalCount,albumTagType,(estimatedSecondsRemaining,)?timestamp,type$/, 'the keys of a progress');
is(join(',', map { value($progress, $_) } 'albumId', 'albumTagId', 'processedCount', 'totalCount'), album(30) . ",$tag,2,4", 'and what they hold');
my ($completed) = grep { value($_, 'type') eq 'photo_sync_completed' } events(qq{$context SELECT photoflow.sync_photos('$tag', '$files', 4, true);});
is(keys_of($completed), 'albumId,albumTagId,processedCount,totalCount,albumTagType,message,timestamp,type', 'the keys of the end');

# The channel has a secret name, unless a superuser has given it one.
is($node->safe_psql('postgres', 'SELECT photoflow.event_channel()'), 'photoflow', 'the setting names the channel');
is($node->safe_psql('postgres', q{SELECT problem FROM photoflow.check_tenancy() WHERE object = 'channel photoflow'}), 'events of every organization are open to whoever listens', 'of which the linter warns');
$node->safe_psql('postgres', q{CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE realtime LOGIN; CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;
	CREATE DATABASE studio OWNER studio; CREATE DATABASE copy OWNER studio; ALTER DATABASE postgres SET photoflow.event_channel = '';});
$node->safe_psql('postgres', qq{ALTER DATABASE $_ SET photoflow.event_channel = ''}) foreach 'studio', 'copy';
my $of_this = $node->safe_psql('postgres', 'SELECT photoflow.event_channel()');
like($of_this, qr/^photoflow_[0-9a-f]{32}$/, 'without the setting its name is a secret');
is(scalar(events(fire(31))), 0, 'nothing arrives on "photoflow" any more');
is(join(',', map { value($_, 'newState') } events(fire(32), $of_this)), 'Raw', 'what happens arrives on the secret channel');
is($node->safe_psql('postgres', q{SELECT count(*) FROM photoflow.check_tenancy() WHERE object LIKE 'channel%'}), 0, 'and the linter is content');

as('studio', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app'); SET photoflow.org_id = '$org';
	INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');
	INSERT INTO "Albums" ("Id", "Name") SELECT ('00000000-0000-4000-8000-1' || lpad(n::text, 11, '0'))::uuid, n FROM generate_series(1, 9) n;});
my $channel = as('studio', 'SELECT photoflow.event_channel()');
like($channel, qr/^photoflow_[0-9a-f]{32}$/, 'the owner is told the name');
isnt($channel, $of_this, 'each database has its own');
is(as('studio', 'SELECT photoflow.event_channel()'), $channel, 'and the same in every session');
is(as('studio', q{SELECT photoflow.detach(); SELECT photoflow.attach(); CALL photoflow.migrate(); SELECT photoflow.set_token_key('0123456789abcdef0123456789abcdef'); SELECT photoflow.event_channel()}) =~ /\Q$channel\E$/, 1, 'whatever the owner does');
is(refusal('app', 'SELECT photoflow.event_channel()'), '42501', 'an application is not told');
is(refusal('app', 'SELECT "Secret" FROM "__PhotoflowSecrets"'), '42501', 'nor where it is kept');
my $loaded = 'SELECT photoflow.current_org(); ';
is(refusal('app', $loaded . q{SET photoflow.event_channel = 'photoflow'}), '42501', 'and may not choose another');
is(refusal('app', $loaded . q{SELECT set_config('photoflow.event_channel', 'photoflow', false)}), '42501', 'in no way');
is(refusal('studio', $loaded . q{SET photoflow.event_channel = 'photoflow'}), '42501', 'nor may the owner');
is($node->safe_psql('studio', q{SELECT string_agg(grantee::regrole::text, ',') FROM pg_proc p, aclexplode(p.proacl) WHERE p.oid = 'photoflow.event_channel()'::regprocedure AND grantee <> p.proowner}),
	'studio', 'the owner alone may ask');
as('studio', 'GRANT EXECUTE ON FUNCTION photoflow.event_channel() TO realtime');
is($node->safe_psql('studio', q{SELECT has_function_privilege('realtime', 'photoflow.event_channel()', 'EXECUTE')}), 't', 'and let others ask');
$node->safe_psql('studio', 'GRANT EXECUTE ON FUNCTION photoflow.event_channel() TO realtime');
is(as('realtime', 'SELECT photoflow.event_channel()'), $channel, 'as the real-time service, which needs nothing else');

# one listener on both channels, and another session that fires: what comes on the one does not come on the other
my $listener = $node->background_psql('studio', extra_params => ['-U', 'realtime']);
$listener->query_safe(qq{LISTEN photoflow; LISTEN "$channel"});
is(as('app', qq{SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer'; } . fire(1)), 'Raw', 'an application fires');
my $heard = heard($listener);
is(join(',', $heard =~ /^Asynchronous notification "([^"]+)"/mg), $channel, 'who knows the channel hears of it, who does not does not');
is(value((payloads($heard, $channel))[0], 'albumId'), album(1), 'and hears what happened');
$listener->quit;
is(scalar(payloads(as('app', "LISTEN photoflow; SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer'; " . fire(2) . ' SELECT 1;'), 'photoflow')), 0, 'not even who fires hears on "photoflow"');

# before the library is loaded the setting takes anything from anybody, and then nothing of it
my $talked_into = q{SET client_min_messages = error; SET photoflow.event_channel = 'photoflow'; };
is(scalar(payloads(as('app', "LISTEN photoflow; $talked_into SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer'; " . fire(4) . ' SELECT 1;'), 'photoflow')), 0,
	'a setting from before the library was loaded is dropped');
is(scalar(payloads($node->safe_psql('studio', "LISTEN photoflow; SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer'; " . fire(5) . ' SELECT 1;',
	extra_params => ['-U', 'app'], connstr => $node->connstr('studio') . q{ options='-c photoflow.event_channel=photoflow'}), 'photoflow')), 0, 'one in the options of the connection, too');

# a copy of the database has the channel of the original
my $dump = PostgreSQL::Test::Utils::tempdir() . '/studio.dump';
$node->command_ok(['pg_dump', '-U', 'backup', '-Fc', '-f', $dump, 'studio'], 'dumped');
$node->command_ok(['pg_restore', '-U', 'studio', '--exit-on-error', '-d', 'copy', $dump], 'and restored');
is(as('studio', 'SELECT photoflow.event_channel()', 'copy'), $channel, 'the channel survives');
is(scalar(payloads(as('studio', qq{LISTEN "$channel"; } . fire(3) . ' SELECT 1;', 'copy'), $channel)), 1, 'and is at work in the copy');

# a session that has asked hears of a new name at once
my $session_of_owner = $node->background_psql('studio', extra_params => ['-U', 'studio']);
is($session_of_owner->query_safe('SELECT photoflow.event_channel()'), $channel, 'a session knows the name');
$node->safe_psql('studio', q{UPDATE "__PhotoflowSecrets" SET "Secret" = sha256('another') WHERE "Kind" = 'event_channel'});
my $renewed = as('studio', 'SELECT photoflow.event_channel()');
isnt($renewed, $channel, 'a superuser gives the channel another secret');
is($session_of_owner->query_safe('SELECT photoflow.event_channel()'), $renewed, 'of which the session hears');
$session_of_owner->quit;
is($node->safe_psql('studio', q{DELETE FROM "__PhotoflowSecrets" WHERE "Kind" = 'event_channel'; SELECT photoflow.event_channel()}), 'photoflow', 'without a secret it is the channel of version 1.0');

$node->stop;
done_testing();

sub as
{
	my ($user, $sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql, extra_params => ['-U', $user]);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($user, $sql) = @_;
	my (undef, undef, $stderr) = $node->psql('studio', "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $user]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}

# psql shows what it was notified of after a statement: one after the other, until something came.
sub heard
{
	my ($psql) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my $shown = '';
	$shown = $psql->query('SELECT 1') while $shown !~ /Asynchronous/ && time < $until;
	return $shown;
}

sub album { my ($n) = @_; return sprintf '00000000-0000-4000-8000-1%011d', $n; }

sub fire
{
	my ($n, $more) = @_;
	return q{SELECT to_state FROM photoflow.fire('} . album($n) . q{', 'SyncRawTag'} . ($more // '') . ');';
}

# The payloads of what a session hears of itself.
sub events
{
	my ($sql, $channel) = @_;
	$channel //= 'photoflow';
	my @payloads = payloads($node->safe_psql('postgres', qq{LISTEN "$channel"; $sql SELECT 1;}), $channel);
	return @payloads;
}

sub payloads
{
	my ($output, $channel) = @_;
	$channel //= 'photoflow';
	my @payloads = $output =~ /^Asynchronous notification "$channel" with payload "(.*)" received from server process with PID \d+\.$/mg;
	return @payloads;
}

# Asked of PostgreSQL's own json, which keeps the order.
sub keys_of
{
	my ($json) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(k, ',') FROM json_object_keys(\$payload\$$json\$payload\$::json) k");
}

sub value
{
	my ($json, $key) = @_;
	return $node->safe_psql('postgres', "SELECT \$payload\$$json\$payload\$::json->>'$key'");
}
