# purge() and cascades, killed wherever they are: what a receipt says is gone is gone, and nothing else; a deletion that was not
# touched comes back exactly, one that was taken in part does not; the next purge() finishes. A legal hold stops a purge at its
# next batch. A dump keeps deletions, reasons, receipts and rules, whatever was under way.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;

use lib $FindBin::Bin;
use Listings;

my $node = PostgreSQL::Test::Cluster->new('purge');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "restart_after_crash = on\nmax_wal_size = 1GB\nsession_preload_libraries = 'photoflow'\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my ($org, $neighbour) = map { "00000000-0000-4000-8000-00000000000$_" } 1, 2;
my @tables = ('Albums', 'AlbumTags', 'PhotoProcs', 'PhotoComments', 'FailureRecords');
my $count = join(' + ', map { qq{(SELECT count(*) FROM "$_" WHERE "IsDeleted" OR "DeletionId" IS NOT NULL)} } @tables);
my $purge = q{CALL photoflow.purge('0', 50)};
fill();

# a cascade of thousands of rows, killed among the photos and below them: nothing is left of it
my ($among, $below) = (q{AFTER UPDATE ON "PhotoProcs" FOR EACH ROW WHEN (NEW."FileName" = 'middle')}, 'AFTER UPDATE ON "PhotoComments" FOR EACH STATEMENT');
my %delete = (DELETE => q{DELETE FROM "Albums" WHERE "Name" = 'big'}, UPDATE => q{UPDATE "Albums" SET "IsDeleted" = true WHERE "Name" = 'big'},
	'soft_delete()' => q{SELECT photoflow.soft_delete('"Albums"', array(SELECT "Id" FROM "Albums" WHERE "Name" = 'big'), 'too big')});
foreach my $way (['DELETE', 'KILL', $among], ['DELETE', 'KILL', $below], ['UPDATE', 'terminate', $among], ['soft_delete()', 'terminate', $below])
{
	my ($what, $how, $place) = @$way;
	end_it($how, stop_at($place, $delete{$what}));
	is(ask("SELECT $count, (SELECT count(*) FROM \"DeletionReasons\")"), '0|0', "$what, ended by $how $place: nothing is left of it");
}

# many small deletions, then the large one, then some more
ask(q{SELECT photoflow.soft_delete('"Albums"', ARRAY["Id"], 'small') FROM "Albums" WHERE "Name" LIKE 'small%' ORDER BY "Name"});
is(ask(q{DELETE FROM "Albums" WHERE "Name" = 'big' RETURNING "IsDeleted"}), 't', 'undisturbed a cascade goes through');
my $big = ask(q{SELECT "DeletionId" FROM "Albums" WHERE "Name" = 'big'});
is(ask("SELECT string_agg(table_name || ' ' || row_count, ', ' ORDER BY row_count, table_name) FROM photoflow.deletions WHERE deletion_id = '$big'"), 'AlbumTags 1, Albums 1, PhotoComments 1000, PhotoProcs 3000', 'and takes everything');
ask(qq{SELECT photoflow.soft_delete('"FailureRecords"', array(SELECT "Id" FROM "FailureRecords" WHERE "EntityType" = 'x'), 'done with');
	SELECT photoflow.soft_delete('"Albums"', ARRAY["Id"], 'later') FROM "Albums" WHERE "Name" LIKE 'later%' ORDER BY "Name";
	SELECT photoflow.soft_delete('"Albums"', ARRAY["Id"], 'theirs') FROM "Albums" WHERE "Name" LIKE 'theirs%' ORDER BY "Name"});
my $later = ask(q{SELECT "DeletionId" FROM "Albums" WHERE "Name" = 'later 10'});
my $theirs = ask(qq{SELECT "DeletionId" FROM "Albums" WHERE "OrgId" = '$neighbour' AND "IsDeleted" ORDER BY "DeletionId" DESC LIMIT 1});
ask('CREATE TABLE watch.was AS ' . everything() . '; CREATE VIEW watch.now AS ' . everything());
cmp_ok(ask("SELECT $count"), '>', 4500, 'thousands of rows are deleted');

# purge() is killed in its first batch, among small deletions, in the large one, in its last part, and when it closes its receipts
my $begun = q{AFTER DELETE ON "PhotoComments" FOR EACH STATEMENT};
end_it('KILL', stop_at($begun, $purge));
is(wrong(), '', 'killed in its first batch, purge() leaves all as it was');
is(ask("SELECT (SELECT count(*) FROM photoflow.purge_receipts) + (SELECT count(*) FROM watch.was) - (SELECT count(*) FROM watch.now)"), 0, 'with no receipt');

my @stopped = stop_at(q{AFTER DELETE ON "PhotoProcs" FOR EACH ROW WHEN (OLD."FileName" = 'small 20')}, $purge);
is(refusal('postgres', q{CALL photoflow.purge('1 year')}), '55006', 'a second purge() does not run beside it');
is(ask('SELECT count(DISTINCT run_id), sum(row_count) > 0, sum(row_count) = (SELECT count(*) FROM watch.was) - (SELECT count(*) FROM watch.now) FROM photoflow.purge_progress'), '1|t|t', 'one can see how far it is');
end_it('KILL', @stopped);
is(wrong(), '', 'killed among small deletions, each is there as a whole, or gone');
is(ask('SELECT count(*) FILTER (WHERE row_count > 0), string_agg(DISTINCT state, \',\') FROM photoflow.purge_receipts'), ask('SELECT count(*), \'running\' FROM photoflow.purge_progress'), 'its receipts stay open');
is(ask(q{SELECT count(DISTINCT deletion_id) BETWEEN 1 AND 59 FROM photoflow.deletions WHERE reason = 'small'}), 't', 'some are gone, and some are left');
comes_back('postgres', $_, 'untouched by the kill') foreach ask(q{SELECT deletion_id FROM photoflow.deletions WHERE reason = 'small' ORDER BY deletion_id LIMIT 1}), $big, $later;

end_it('terminate', stop_at(q{AFTER DELETE ON "PhotoProcs" FOR EACH ROW WHEN (OLD."FileName" = 'middle')}, $purge));
is(wrong(), '', 'ended in the large deletion, its receipts are right');
is(ask('SELECT string_agg(DISTINCT state, \',\') FROM photoflow.purge_receipts'), 'interrupted,running', 'it has closed those of the run before');
part_is_gone('postgres');
comes_back('postgres', $_, 'untouched') foreach $later, $theirs;
like(wrong('postgres', 'BEGIN; UPDATE "PurgeReceipts" SET "RowCount" = "RowCount" + 1 WHERE "TableName" = \'PhotoProcs\';'), qr/^receipt of PhotoProcs [^\n]*$/, 'control: a wrong receipt would be seen');
like(wrong('postgres', 'BEGIN; SET photoflow.hard_delete = on; DELETE FROM "FailureRecords" WHERE NOT "IsDeleted";'), qr/^live, and gone: FailureRecords\|20$/m, 'control: so would live rows that are gone');
like(wrong('postgres', q{BEGIN; DELETE FROM "PurgeReceipts" WHERE "State" = 'running';}), qr/^in part: $big/m, 'control: and a deletion in part that nobody knows of');

# a dump of just that, with rules
ask("SELECT photoflow.set_retention('$org', '100 years'), photoflow.set_legal_hold('$neighbour', true, 'a lawsuit')");
my $books = q{SELECT 1, d::text FROM photoflow.deletions d UNION ALL SELECT 2, r::text FROM photoflow.purge_receipts r UNION ALL SELECT 3, r::text FROM photoflow.retention r
	UNION ALL SELECT 4, r::text FROM "DeletionReasons" r ORDER BY 1, 2};
my $dumped = ask($books);
like($dumped, qr/later.*interrupted.*running.*100 years.*a lawsuit/s, 'there are deletions, receipts and rules');
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'copy', 'plain';
$node->command_ok(['pg_dump', '-Fc', '-f', "$dir/dump", 'postgres'], 'pg_dump in the middle of it');
$node->command_ok(['pg_restore', '--exit-on-error', '-d', 'copy', "$dir/dump"], 'pg_restore');
$node->command_ok(['pg_dump', '-f', "$dir/dump.sql", 'postgres'], 'pg_dump as text');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/dump.sql", 'plain'], 'restored by psql');
foreach my $database ('copy', 'plain')
{
	is(ask($books, $database), $dumped, "$database: deletions, reasons, receipts and rules have arrived");
	is(wrong($database), '', "$database: and every row, as it was");
	part_is_gone($database);
	comes_back($database, $later, "$database: untouched");
	is(ask(q{BEGIN; DELETE FROM "Albums" WHERE "Name" = 'live 1'; DELETE FROM "LivePhotoProcs" WHERE "FileName" = 'live 2';
		SELECT deletion_id IS NULL, table_name, deleted_rows FROM photoflow.soft_delete('"Albums"', array(SELECT "Id" FROM "Albums" WHERE "Name" = 'live 3'), 'why') ORDER BY 2; SELECT count(*) FROM "LiveAlbums" WHERE "Name" LIKE 'live%';
		SELECT count(DISTINCT "DeletionId"), count(*) FROM "PhotoProcs" WHERE "FileName" LIKE 'live%' AND "IsDeleted" AND "DeletedAt" IS NOT NULL; SELECT count(*) FROM photoflow.deletions WHERE reason = 'why'; ROLLBACK}, $database),
		"f|AlbumTags|1\nf|Albums|1\nf|PhotoComments|1\nf|PhotoProcs|1\n3\n3|3\n4", "$database: to delete marks");
	is(refusal($database, q{UPDATE "Albums" SET "Name" = 'x' WHERE "IsDeleted"}), 'PF021', "$database: deleted rows are frozen");
	is(refusal($database, q{SET photoflow.hard_delete = off; TRUNCATE "PhotoComments"}), 'PF020', "$database: and not truncated");
	is(refusal($database, "CALL photoflow.purge('0', 50, '$neighbour')"), 'PF020', "$database: the legal hold holds");
	my $left = ask("SELECT $count", $database);
	is(refusal($database, $purge), 'none', "$database: purge()");
	is(ask("SELECT $count", $database), $left, "$database: takes nothing that is to be kept");
	ask("SELECT photoflow.set_retention('$org', NULL), photoflow.set_legal_hold('$neighbour', false)", $database);
	finishes($database);
}
ask("SELECT photoflow.set_retention('$org', NULL), photoflow.set_legal_hold('$neighbour', false)");

# two more kills, and the end
end_it('KILL', stop_at(q{AFTER DELETE ON "AlbumTransitions" FOR EACH STATEMENT}, $purge));
is(wrong(), '', 'killed when the history of the large album goes, its receipts are right');
part_is_gone('postgres');
end_it('KILL', stop_at(q{AFTER UPDATE ON "PurgeReceipts" FOR EACH ROW WHEN (NEW."State" = 'done')}, $purge));
is(wrong(), '', 'killed when it closes its receipts, they are right');
is(ask(qq{SELECT count(*) FROM watch.now WHERE deletion IS NOT NULL AND org = '$org'}), 0, 'and nothing is left of this organization');

# the other one: a legal hold that comes while a batch runs stops the next
my $before = ask(qq{SELECT count(*) FROM watch.now WHERE org = '$neighbour' AND tbl <> 'AlbumTransitions'});
like(purge_and_hold($neighbour, q{AFTER DELETE ON "PhotoProcs" FOR EACH ROW WHEN (OLD."FileName" = 'theirs 15')}), qr/organization $neighbour is under legal hold, and left as it is/, 'a legal hold stops a purge');
is(ask(qq{SELECT $before - count(*) BETWEEN 1 AND 50, count(*) FILTER (WHERE deletion IS NOT NULL) > 50 FROM watch.now WHERE org = '$neighbour' AND tbl <> 'AlbumTransitions'}), 't|t', 'after the batch that was running');
is(wrong(), '', 'with the right receipts');
is(ask("SELECT string_agg(DISTINCT state, ',') FROM photoflow.purge_receipts WHERE org_id = '$neighbour'"), 'done', 'which are closed');
comes_back('postgres', $theirs, 'under a legal hold: untouched');
is(refusal('postgres', "CALL photoflow.purge('0', 50, '$neighbour')"), 'PF020', 'it cannot be purged by name');
my (undef, undef, $notice) = $node->psql('postgres', $purge);
like($notice, qr/^[^\n]*NOTICE: +organization $neighbour is under legal hold, and left as it is$/m, 'and is passed over by a purge of all');
ask("SELECT photoflow.set_legal_hold('$neighbour', false)");
finishes('postgres');

# below an album there may be a stage whose deletion is newer, made while the album's waited for another row; or of none, as its owner has loaded it
ask(qq{INSERT INTO "Albums" ("OrgId", "Name") SELECT '$org', x FROM unnest(ARRAY['first', 'second', 'third']) x; INSERT INTO "AlbumTags" ("AlbumId", "Type") SELECT "Id", 0 FROM "Albums" WHERE "Name" IN ('first', 'second');
	INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT t."Id", 'x' FROM "AlbumTags" t JOIN "Albums" a ON a."Id" = t."AlbumId" WHERE a."Name" IN ('first', 'second')});
my $holder = $node->background_psql('postgres');
$holder->query_safe(q{BEGIN; UPDATE "Albums" SET "Status" = 1 WHERE "Name" = 'second'});
my $deleting = $node->background_psql('postgres');
$deleting->query_until(qr/deleting/, qq{\\echo deleting\nDELETE FROM "Albums" WHERE "Name" IN ('first', 'second');\n});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'DELETE FROM "Albums"%' AND wait_event_type = 'Lock'}) or die 'the DELETE does not wait';
ask(q{DELETE FROM "AlbumTags" WHERE "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = 'first')});
$_->quit foreach $holder, $deleting;
is(ask(q{SELECT a."Name", a."DeletionId" < t."DeletionId", a."DeletionId" = t."DeletionId", t."DeletionId" = p."DeletionId" FROM "Albums" a JOIN "AlbumTags" t ON t."AlbumId" = a."Id" JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id" WHERE a."IsDeleted" ORDER BY 1}),
	"first|t|f|t\nsecond|f|t|t", 'a stage was deleted later than its album, by another deletion');
is(refusal('postgres', q{CALL photoflow.purge('0', 1)}), 'none', "purge() in the smallest batches, run $_") foreach 1, 2;
is(ask("SELECT $count"), 0, 'takes both');
ask(q{INSERT INTO "AlbumTags" ("AlbumId", "Type", "IsDeleted") SELECT "Id", 0, true FROM "Albums" WHERE "Name" = 'third'; DELETE FROM "Albums" WHERE "Name" = 'third'});
is(refusal('postgres', q{CALL photoflow.purge('0')}), 'none', 'purge() with a deleted stage that belongs to no deletion');
ask('SELECT photoflow.adopt_deletions(10)');
is(refusal('postgres', q{CALL photoflow.purge('0')}), 'none', "after it has been adopted, run $_") foreach 1, 2;
is(ask("SELECT $count"), 0, 'it goes, and its album');

# a deletion of which a part was left, since a stage hangs on it, does not come back; one that was left as a whole does
ask(qq{INSERT INTO "Albums" ("OrgId", "Name") SELECT '$org', x FROM unnest(ARRAY['fourth', 'fifth']) x; INSERT INTO "AlbumTags" ("AlbumId", "Type", "IsDeleted") SELECT "Id", 0, true FROM "Albums" WHERE "Name" = 'fourth';
	DELETE FROM "Albums" WHERE "Name" IN ('fourth', 'fifth')});
purge_and_hold($org, 'AFTER DELETE ON "Albums" FOR EACH STATEMENT');
my $half = ask(q{SELECT "DeletionId" FROM "Albums" WHERE "Name" = 'fourth' AND NOT EXISTS (SELECT FROM "Albums" WHERE "Name" = 'fifth')});
is(refusal('postgres', "SELECT photoflow.restore('$half')"), 'PF022', 'half of a deletion does not come back');
ask(qq{SELECT photoflow.set_legal_hold('$org', false); INSERT INTO "PublicUrls" ("OrgId", "Url") VALUES ('$org', 'https://one.test'); UPDATE "AlbumTags" SET "PublicUrlId" = (SELECT "Id" FROM "PublicUrls") WHERE "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = 'live 1');
	DELETE FROM "Albums" WHERE "Name" = 'live 5'; SELECT photoflow.soft_delete('"PublicUrls"', array(SELECT "Id" FROM "PublicUrls"), 'a link')});
is(refusal('postgres', $purge), 'none', 'purge() with a deleted link that a live stage is shown by');
is(ask(q{SELECT row_count, reason, restorable FROM photoflow.deletions WHERE table_name = 'PublicUrls'}), '1|a link|t', 'leaves the link and its reason');
is(refusal('postgres', q{SELECT photoflow.restore((SELECT deletion_id FROM photoflow.deletions WHERE table_name = 'PublicUrls'))}), 'none', 'and it comes back');

$node->stop;
done_testing();

sub ask
{
	my ($sql, $database) = @_;
	return $node->safe_psql($database // 'postgres', $sql);
}

sub refusal
{
	my ($database, $sql) = @_;
	my (undef, undef, $stderr) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql");
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : 'none';
}

# Starts a statement that stops where a trigger of a user's stops it.
sub stop_at
{
	my ($place, $sql) = @_;
	my ($table) = $place =~ / ON ("\w+")/;
	ask("CREATE TRIGGER zz_stop $place EXECUTE FUNCTION watch.stop_here()");
	my $holder = $node->background_psql('postgres', on_error_stop => 0);
	$holder->query_safe('SELECT pg_advisory_lock(42)');
	my $victim = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $victim->query_safe('SELECT pg_backend_pid()');
	$victim->query_until(qr/going/, "\\echo going\n$sql;\n");
	$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_locks WHERE pid = $pid AND locktype = 'advisory' AND NOT granted") or die "never gets to $place";
	return ($table, $holder, $victim, $pid);
}

# Kills it (which takes the server along), terminates it, or lets it go on and returns what it says.
sub end_it
{
	my ($how, $table, $holder, $victim, $pid) = @_;
	my $said = '';
	if ($how eq 'KILL')
	{
		kill 'KILL', $pid;
		$victim->{run}->finish;
		$holder->{run}->kill_kill;
		$holder->{run}->finish;
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server does not come back';
	}
	elsif ($how eq 'terminate')
	{
		ask("SELECT pg_terminate_backend($pid, 60000)");
		$victim->{run}->finish;
		$holder->quit;
	}
	else
	{
		$holder->quit;
		$victim->query('SELECT 1');
		$said = $victim->{stderr};
		$victim->quit;
	}
	ask("DROP TRIGGER zz_stop ON $table");
	return $said;
}

# Purges an organization, which comes under a legal hold while a batch is stopped; returns what purge() says.
sub purge_and_hold
{
	my ($of, $place) = @_;
	my @stopped = stop_at($place, "CALL photoflow.purge('0', 50, '$of')");
	my $holding = $node->background_psql('postgres');
	$holding->query_until(qr/holding/, "\\echo holding\nSELECT photoflow.set_legal_hold('$of', true, 'a lawsuit');\n");
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%set_legal_hold%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()}) or die 'the hold does not wait';
	my $said = end_it('go on', @stopped);
	$holding->quit;
	return $said;
}

# All rows; history hangs on its album.
sub everything
{
	return picture(1, @tables) . q{ UNION ALL SELECT 'AlbumTransitions', h."Id", h."OrgId", 'Albums', h."AlbumId", a."IsDeleted", h."CreatedAt", to_jsonb(h), a."DeletedAt", a."DeletedBy", a."DeletionId"
		FROM "AlbumTransitions" h LEFT JOIN "Albums" a ON a."Id" = h."AlbumId"};
}

# What is not as it must be: the sum of receipts is what is gone; only deleted rows are; all others are what they were; nothing
# hangs on nothing; deletions went in their order, whole but for one that is known not to be restorable.
sub wrong
{
	my ($database, $planted) = @_;
	return ask(($planted // '') . q{WITH gone AS (SELECT w.* FROM watch.was w LEFT JOIN watch.now n USING (tbl, id) WHERE n.id IS NULL),
		d AS (SELECT org, deletion, count(*) AS n, (SELECT count(*) FROM gone g WHERE g.deletion = w.deletion AND g.org = w.org) AS gone FROM watch.was w WHERE deletion IS NOT NULL GROUP BY org, deletion)
		SELECT 'receipt of ' || tbl || ' of ' || org, coalesce(g.n, 0) || ' gone, ' || coalesce(r.n, 0) || ' said' FROM (SELECT tbl, org, count(*) AS n FROM gone GROUP BY 1, 2) g
			FULL JOIN (SELECT table_name AS tbl, org_id AS org, sum(row_count) AS n FROM photoflow.purge_receipts GROUP BY 1, 2) r USING (tbl, org) WHERE g.n IS DISTINCT FROM r.n
		UNION ALL SELECT 'live, and gone: ' || tbl, count(*)::text FROM gone WHERE deletion IS NULL GROUP BY tbl
		UNION ALL SELECT 'changed: ' || tbl, count(*)::text FROM watch.was w JOIN watch.now n USING (tbl, id) WHERE n.content <> w.content OR n.deletion IS DISTINCT FROM w.deletion GROUP BY tbl
		UNION ALL SELECT 'new: ' || tbl, count(*)::text FROM watch.now n LEFT JOIN watch.was w USING (tbl, id) WHERE w.id IS NULL GROUP BY tbl
		UNION ALL SELECT 'hangs on nothing: ' || n.tbl, count(*)::text FROM watch.now n LEFT JOIN watch.now p ON p.tbl = n.ptbl AND p.id = n.parent WHERE n.ptbl <> 'Organizations' AND p.id IS NULL GROUP BY 1
		UNION ALL SELECT 'out of order: ' || deletion, '' FROM d WHERE gone > 0 AND EXISTS (SELECT FROM d e WHERE e.org = d.org AND e.deletion < d.deletion AND e.gone < e.n)
		UNION ALL SELECT 'in part: ' || deletion, gone || ' of ' || n FROM d WHERE gone NOT IN (0, n) AND NOT EXISTS (SELECT FROM photoflow.deletions x WHERE x.deletion_id = d.deletion AND x.org_id = d.org AND NOT x.restorable)
		ORDER BY 1}, $database);
}

# The large deletion cannot be brought back any more, in any way.
sub part_is_gone
{
	my ($database) = @_;
	is(ask("SELECT count(*) BETWEEN 1 AND (SELECT count(*) - 1 FROM watch.was WHERE deletion = '$big') FROM watch.now WHERE deletion = '$big'", $database), 't', "$database: a part of the large deletion is gone");
	is(refusal($database, "SELECT photoflow.restore('$big')"), 'PF022', "$database: it does not come back");
	like(ask("SELECT string_agg(conflicts::text, ' ') FROM photoflow.restore('$big', true)", $database), qr/"kind": "purge has begun"/, "$database: since a purge has begun");
	is(refusal($database, qq{UPDATE "Albums" SET "IsDeleted" = false WHERE "DeletionId" = '$big'}), 'PF022', "$database: nor by hand");
	is(ask(qq{SELECT DISTINCT restorable FROM photoflow.deletions WHERE deletion_id = '$big'}, $database), 'f', "$database: as the list says");
	return;
}

# A deletion comes back with all its rows and no other; in a transaction that is taken back.
sub comes_back
{
	my ($database, $deletion, $name) = @_;
	is(ask(qq{BEGIN; SELECT count(*) FROM watch.was WHERE deletion = '$deletion'; SELECT sum(restored_rows) + (SELECT count(*) FROM watch.was WHERE deletion = '$deletion' AND tbl = 'AlbumTransitions') FROM photoflow.restore('$deletion');
		SELECT count(*) FROM watch.was w JOIN watch.now n USING (tbl, id) WHERE w.deletion = '$deletion' AND n.deletion IS NULL AND n.content = w.content;
		SELECT count(*) FROM watch.was w JOIN watch.now n USING (tbl, id) WHERE w.deletion IS DISTINCT FROM n.deletion; ROLLBACK}, $database) =~ /^(\d{1,})\n\1\n\1\n\1$/, 1, "$name: $deletion comes back");
	return;
}

# An undisturbed purge() takes the rest.
sub finishes
{
	my ($database) = @_;
	is(refusal($database, $purge), 'none', "$database: an undisturbed purge()");
	is(ask("SELECT $count, (SELECT count(*) FROM photoflow.deletions), (SELECT count(*) FROM \"DeletionReasons\"), (SELECT count(*) FROM photoflow.purge_progress)", $database), '0|0|0|0', "$database: takes the rest");
	is(wrong($database), '', "$database: and all receipts together say what is gone");
	is(ask(q{SELECT string_agg(DISTINCT state, ',' ORDER BY state) FROM photoflow.purge_receipts WHERE run_id <> (SELECT max(run_id::text)::uuid FROM photoflow.purge_receipts)}, $database), $database eq 'postgres' ? 'done,interrupted' : 'interrupted', "$database: those of the runs before are marked");
	is(ask(q{SELECT string_agg(DISTINCT state, ',') FROM photoflow.purge_receipts WHERE run_id = (SELECT max(run_id::text)::uuid FROM photoflow.purge_receipts)}, $database), 'done', "$database: and that of the last");
	is(ask(q{SELECT count(*) FROM "LiveAlbums"}, $database), 5, "$database: what was live is there");
	return;
}

# The photo in the middle of the large album is named so; photos of small ones as their albums.
sub fill
{
	ask(qq{CREATE EXTENSION photoflow; SELECT photoflow.create_tables();
		CREATE SCHEMA watch; CREATE FUNCTION watch.stop_here() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END \$\$;
		INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one'), ('$neighbour', 'two');
		INSERT INTO "Albums" ("OrgId", "Name") SELECT '$org', 'small ' || n FROM generate_series(1, 60) n;
		INSERT INTO "Albums" ("OrgId", "Name") SELECT '$org', name || n FROM unnest(ARRAY['live ', 'later ']) WITH ORDINALITY x (name, o), generate_series(1, o * 5) n;
		INSERT INTO "Albums" ("OrgId", "Name") VALUES ('$org', 'big');
		INSERT INTO "Albums" ("OrgId", "Name") SELECT '$neighbour', 'theirs ' || n FROM generate_series(1, 60) n;
		SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums"), 'SyncRawTag');
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT t."Id", a."Name" FROM "AlbumTags" t JOIN "Albums" a ON a."Id" = t."AlbumId" WHERE a."Name" <> 'big';
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT t."Id", CASE n WHEN 1500 THEN 'middle' ELSE 'big' END FROM "AlbumTags" t JOIN "Albums" a ON a."Id" = t."AlbumId", generate_series(1, 3000) n WHERE a."Name" = 'big';
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs" WHERE "FileName" <> 'big' AND "FileName" <> 'middle';
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs" WHERE "FileName" = 'big' LIMIT 1000;
		INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT '$org', gen_random_uuid(), x FROM unnest(ARRAY['x', 'y']) x, generate_series(1, 20);});
	return;
}
