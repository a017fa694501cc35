# A hot standby that serves reads: a context, a token, the policies and the reports are there as well; a dropped key is gone.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "session_preload_libraries = 'photoflow'\n");
$primary->start;
my @orgs = map { "00000000-0000-4000-8000-00000000000$_" } 1, 2;
my %key = (old => 'k' x 32, new => 'n' x 40);
$primary->safe_psql('postgres', q{CREATE ROLE app LOGIN; CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.grant_app('app');
	ALTER ROLE app SET photoflow.require_token = on;
	INSERT INTO "Organizations" ("Id", "Name") VALUES } . join(', ', map { "('$_', 'studio')" } @orgs) . q{;
	INSERT INTO "Albums" ("OrgId", "Name") SELECT "Id", 'album ' || n FROM "Organizations", generate_series(1, 3) n;});
$primary->safe_psql('postgres', "SELECT photoflow.add_token_key('$key{$_}'::bytea, '$_')") foreach sort keys %key;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'a standby');
is(app('SELECT count(*) FROM "Albums"'), 0, 'without a token nothing is seen');
is(app('BEGIN; ' . authenticate(0, 'old') . ' SELECT count(*), count(DISTINCT "OrgId"), min("OrgId"::text) FROM "Albums"; COMMIT;'), "$orgs[0]\n3|1|$orgs[0]", 'with one, its organization');
is(app('BEGIN; ' . authenticate(1, 'new') . ' SELECT count(*), min("OrgId"::text) FROM "Albums"; COMMIT; SELECT count(*) FROM "Albums"'), "$orgs[1]\n3|$orgs[1]\n0", 'for the transaction');
like(refused("SET photoflow.org_id = '$orgs[0]'"), qr/^ERROR:  42501/m, 'SET is refused as on the primary');
is(app('BEGIN; ' . authenticate(0, 'old') . q{ SELECT array_agg(trigger || ' ' || permitted) FROM photoflow.permitted_triggers((SELECT "Id" FROM "Albums" ORDER BY "Name" LIMIT 1)); COMMIT;}),
	"$orgs[0]\n{\"SyncRawTag true\"}", 'functions that read work');
like(refused('BEGIN; ' . authenticate(0, 'old') . q{ SELECT photoflow.fire((SELECT "Id" FROM "Albums" LIMIT 1), 'SyncRawTag')}), qr/^ERROR:  25006/m, 'functions that write say that it is read-only');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM photoflow.check_tenancy()'), 0, 'the linter reads');
is($standby->safe_psql('postgres', q{SELECT string_agg(name, ',') FROM photoflow.status() WHERE NOT ok}), '', 'and so does status()');
like(refused("SELECT photoflow.set_token_key('$key{old}'::bytea)", 'postgres'), qr/^ERROR:  (25006|55000)/m, 'keys are the primary\'s to change');

# a session that has read the keys hears of a change that is replayed
my $session = $standby->background_psql('postgres', on_error_stop => 0, extra_params => ['-U', 'app']);
is($session->query('BEGIN; ' . authenticate(0, 'old') . ' COMMIT;'), $orgs[0], 'a session knows both keys');
$primary->safe_psql('postgres', q{SELECT photoflow.drop_token_key('old')});
$primary->wait_for_catchup($standby);
is($session->query('BEGIN; ' . authenticate(0, 'old') . ' ROLLBACK;'), '', 'the one that was dropped on the primary no longer counts');
like($session->{stderr}, qr/token is not valid/, 'and is refused');
is($session->query('BEGIN; ' . authenticate(0, 'new') . ' COMMIT;'), $orgs[0], 'the other still does');
$session->quit;

# promoted, it is as the primary was
$standby->promote;
is(app('BEGIN; ' . authenticate(0, 'new') . q{ SELECT to_state FROM photoflow.fire((SELECT "Id" FROM "Albums" ORDER BY "Name" LIMIT 1), 'SyncRawTag'); COMMIT;}), "$orgs[0]\nRaw", 'promoted, it takes changes');
done_testing();

sub app { my ($sql) = @_; return $standby->safe_psql('postgres', $sql, extra_params => ['-U', 'app']); }

sub refused
{
	my ($sql, $user) = @_;
	my (undef, undef, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => ['-U', $user // 'app']);
	$stderr =~ s/^psql:\S+ //mg;
	return $stderr;
}

sub url { my ($bytes) = @_; return encode_base64($bytes, '') =~ tr{+/}{-_}r =~ s/=+$//r; }

# The statement that authenticates for an organization with a token signed with a key.
sub authenticate
{
	my ($org, $kid) = @_;
	my $body = url(qq({"alg":"HS256","typ":"JWT","kid":"$kid"})) . '.' . url(qq({"org_id":"$orgs[$org]","role":"photographer","exp":) . (time() + 3600) . '}');
	return "SELECT org_id FROM photoflow.authenticate('$body." . url(hmac_sha256($body, $key{$kid})) . "');";
}
