# kill -9 of a backend in the middle of fire_many() leaves all or nothing, wherever it was; what was committed stays.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\n");
$node->start;
my $org = '00000000-0000-4000-8000-000000000001';
my $albums = 10000;    # more than one batch of history
$node->safe_psql('postgres', qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables();
	INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');
	INSERT INTO "Albums" ("OrgId", "Name") SELECT '$org', n FROM generate_series(1, $albums) n;
	CREATE ROLE app LOGIN; SELECT photoflow.grant_app('app');
	CREATE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM pg_advisory_xact_lock(42);
		RETURN NULL;
	END \$\$;});
my $all = q{array(SELECT "Id" FROM "Albums")};

# while rows change, when history is written, when stages are made
my %where = ('"Albums"' => q{AFTER UPDATE ON "Albums" FOR EACH ROW WHEN (NEW."Name" = '} . ($albums / 2) . q{')},
	'"AlbumTransitions"' => 'AFTER INSERT ON "AlbumTransitions" FOR EACH STATEMENT',
	'"AlbumTags"' => q{AFTER INSERT ON "AlbumTags" FOR EACH STATEMENT});
my %how = ('fire_many()' => "SELECT count(*) FROM photoflow.fire_many($all, 'SyncRawTag');",
	'a bulk UPDATE' => 'UPDATE "Albums" SET "AlbumState" = 1;',
	'fire_many() by an application' => "SET SESSION AUTHORIZATION app; SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer';
		SELECT count(*) FROM photoflow.fire_many($all, 'SyncRawTag');");
foreach my $table (sort keys %where)
{
	foreach my $statement (sort keys %how)
	{
		$node->safe_psql('postgres', "CREATE TRIGGER zz_stop $where{$table} EXECUTE FUNCTION stop_here()");
		kill_in_the_middle($how{$statement});
		is(truth(), '0:0/0/0', "$statement, killed at $table: nothing is left");
		$node->safe_psql('postgres', "DROP TRIGGER zz_stop ON $table");
	}
}

# undisturbed it goes through, once, and outlives the server
is($node->safe_psql('postgres', "SELECT count(*), count(sqlstate) FROM photoflow.fire_many($all, 'SyncRawTag')"), "$albums|0", 'then fire_many() does it all');
is(truth(), "1:$albums/$albums/$albums", 'state, history and stages');
$node->stop('immediate');
$node->start;
is(truth(), "1:$albums/$albums/$albums", 'and it is there after a crash of the server');
is($node->safe_psql('postgres', qq{SELECT from_state || to_state FROM photoflow.rollback_transition((SELECT "Id" FROM "Albums" WHERE "Name" = '1'))}), 'RawInit', 'and can be gone on from');
$node->stop;

done_testing();

# The highest state : albums that moved / rows of history / stages.
sub truth
{
	return $node->safe_psql('postgres', q{SELECT format('%s:%s/%s/%s', max("AlbumState"), count(*) FILTER (WHERE "AlbumState" > 0),
		(SELECT count(*) FROM "AlbumTransitions"), (SELECT count(*) FROM "AlbumTags")) FROM "Albums"});
}

sub kill_in_the_middle
{
	my ($sql) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe('SELECT pg_advisory_lock(42)');
	my $victim = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $victim->query_safe('SELECT pg_backend_pid()');
	$victim->query_until(qr/going/, "\\echo going\n$sql\n");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE pid = $pid AND locktype = 'advisory' AND NOT granted")
		or die 'the statement never gets there';
	kill 'KILL', $pid;
	$victim->{run}->finish;
	$holder->{run}->kill_kill;
	$holder->{run}->finish;
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	return;
}
