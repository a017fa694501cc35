# The server's clock steps back: within a session ids keep growing, and history keeps its order.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
die 'libfaketime is not installed' unless $faketime;
my $clock = PostgreSQL::Test::Utils::tempdir() . '/clock';

sub step
{
	my ($offset) = @_;
	open my $file, '>', $clock or die $!;
	print $file "$offset\n";
	close $file;
	return;
}

my $node = PostgreSQL::Test::Cluster->new('clock');
$node->init;
step('+0');
{
	local %ENV = (%ENV, LD_PRELOAD => $faketime, FAKETIME_TIMESTAMP_FILE => $clock, FAKETIME_NO_CACHE => 1,
		FAKETIME_DONT_FAKE_MONOTONIC => 1);
	$node->start;
}

# one session; psql itself moves the clock between its statements
my $output = $node->safe_psql('postgres', qq{
CREATE EXTENSION photoflow;
SELECT photoflow.create_tables();
INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-4000-8000-000000000001', 'one');
INSERT INTO "Albums" ("OrgId", "Name", "AlbumState") VALUES ('00000000-0000-4000-8000-000000000001', 'a', 6);
CREATE TEMP TABLE made (n serial, id uuid, at timestamptz);
SELECT photoflow.fire("Id", 'RequestRevision') FROM "Albums" \\g /dev/null
INSERT INTO made (id, at) SELECT photoflow.uuid_v7(), clock_timestamp() FROM generate_series(1, 5000);
\\! echo '-3600' > $clock
INSERT INTO made (id, at) SELECT photoflow.uuid_v7(), clock_timestamp() FROM generate_series(1, 5000);
UPDATE "AlbumTags" SET "Status" = 2;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") SELECT "Id", 3, 2 FROM "Albums";
SELECT photoflow.fire("Id", 'FinishRetouch') FROM "Albums" \\g /dev/null
\\! echo '+3600' > $clock
INSERT INTO made (id, at) SELECT photoflow.uuid_v7(), clock_timestamp() FROM generate_series(1, 5000);
SELECT 'stepped', count(*) FROM (SELECT at - lag(at) OVER (ORDER BY n) AS step FROM made) s WHERE abs(extract(epoch FROM step)) > 1800;
SELECT 'growing', count(*) FROM (SELECT id > lag(id) OVER (ORDER BY n) AS grows FROM made) s WHERE grows;
SELECT 'versions', count(DISTINCT substr(id::text, 15, 1)), min(substr(id::text, 15, 1)), count(DISTINCT id) FROM made;
SELECT 'behind', count(*) FROM made WHERE n > 10000 AND photoflow.uuid_v7_time(id) > at;
SELECT 'history', string_agg(from_state || '-' || to_state, ', ') FROM (SELECT h.* FROM "Albums" a, photoflow.album_history(a."Id") h) h;
SELECT 'rollback', from_state, to_state FROM "Albums" a, photoflow.rollback_transition(a."Id");
});
like($output, qr/^stepped\|2$/m, 'the clock did step back, and forth');
like($output, qr/^growing\|14999$/m, 'each id is greater than the one before');
like($output, qr/^versions\|1\|7\|15000$/m, 'all are version 7 and different');
like($output, qr/^behind\|0$/m, 'no id is ahead of the clock once that has caught up');
like($output, qr/^history\|Feedback-Revision, Revision-Feedback$/m, 'history is in order');
like($output, qr/^rollback\|Feedback\|Revision$/m, 'the newest transition is the one rolled back');

$node->stop;
done_testing();
