# Events: what they hold, that they come with the commit and not without it, by NOTIFY and in the WAL.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('events');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "wal_level = logical\n");
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

done_testing();

sub album { my ($n) = @_; return sprintf '00000000-0000-4000-8000-1%011d', $n; }

sub fire
{
	my ($n, $more) = @_;
	return q{SELECT to_state FROM photoflow.fire('} . album($n) . q{', 'SyncRawTag'} . ($more // '') . ');';
}

# The payloads of what a session hears of itself.
sub events
{
	my ($sql) = @_;
	my @payloads = payloads($node->safe_psql('postgres', "LISTEN photoflow; $sql SELECT 1;"));
	return @payloads;
}

sub payloads
{
	my ($output) = @_;
	my @payloads = $output =~ /^Asynchronous notification "photoflow" with payload "(.*)" received from server process with PID \d+\.$/mg;
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
