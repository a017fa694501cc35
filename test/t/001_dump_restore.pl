# A dump restored into a fresh database is the same database: tables, rows, and all that users have added; no trigger fires
# on the way, and the rules hold afterwards. DROP EXTENSION takes the rules and no row; they come back with attach().

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "max_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my $org = '00000000-0000-4000-8000-000000000001';
my @triggers = ('SyncRawTag', 'SyncStockTag', 'Rate', 'ConfirmRate', 'FinishRetouch', 'ConfirmFeedback', 'Finish', 'Close');

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN;');
foreach my $owner ('studio', undef)
{
	my $who = $owner // 'superuser';
	my @user = defined $owner ? ('-U', $owner) : ();
	my ($from, $to) = ("from_$who", "to_$who");

	foreach my $database ($from, $to)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $database" . (defined $owner ? " OWNER $owner" : ''));
	}
	fill($from, $owner);
	my @rows = rows($from, $owner);
	cmp_ok(scalar(grep { !/\|0$/ } @rows), '>=', 12, "$who: the tables are filled");

	my $before = dump_of($from, @user);
	$node->command_ok(['pg_dump', @user, '-Fc', '-f', "$dir/$from.dump", $from], "$who: pg_dump");
	$node->command_ok(['pg_restore', @user, '--exit-on-error', '-d', $to, "$dir/$from.dump"], "$who: pg_restore into a fresh database");
	is_deeply([rows($to, $owner)], \@rows, "$who: every row has arrived, and no other");
	is(as($to, $owner, 'SELECT count(*) FROM noted'), as($from, $owner, 'SELECT count(*) FROM noted'), "$who: no trigger fired in the restore");
	is(dump_of($to, @user), $before, "$who: a dump of the copy is the dump of the original");
	foreach my $part ('CREATE EXTENSION IF NOT EXISTS photoflow', 'CREATE INDEX mine', 'CREATE TRIGGER note', 'CREATE POLICY mine', '"Mine" integer', 'CONSTRAINT mine CHECK',
		'GRANT SELECT ON TABLE public."Albums" TO app', 'CREATE TRIGGER "00_PhotoflowStateGuard"', 'COPY photoflow.installation', 'COPY public."AlbumTransitions"',
		'COPY public."Albums"', 'COPY public."__PhotoflowMigrations"', 'photoflow.uuid_v7()', 'COMMENT ON INDEX public."UX_Albums_OrgId_Id"')
	{
		cmp_ok(index($before, $part), '>=', 0, "$who: the dump holds $part");
	}
	unlike($before, qr/CREATE TABLE photoflow|COPY photoflow\.table_steps|CREATE FUNCTION photoflow/, "$who: and nothing that the extension brings");

	# the rules are at work in the copy
	rules_hold($to, $owner, "$who: restored");
	is(as($to, $owner, 'SELECT count(*) FROM photoflow.migration_plan()'), 0, "$who: restored: no step is pending");
	is(as($to, $owner, "SELECT photoflow.workflow()->>'name'"), 'own', "$who: restored: the workflow that was published is current");

	# plain text by psql, and one table of it
	$node->safe_psql('postgres', "CREATE DATABASE plain_$who" . (defined $owner ? " OWNER $owner" : ''));
	$node->command_ok(['pg_dump', @user, '-f', "$dir/$from.sql", $from], "$who: pg_dump as text");
	$node->command_ok(['psql', @user, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$from.sql", "plain_$who"], "$who: restored by psql");
	is_deeply([rows("plain_$who", $owner)], \@rows, "$who: with every row");
	my $one = dump_of($from, @user, '-t', 'public."Albums"');
	is(scalar(() = $one =~ /^[0-9a-f]{8}-[0-9a-f-]{27}\t/mg), as($from, $owner, 'SELECT count(*) FROM "Albums"'), "$who: pg_dump -t holds the rows of the table");
	like(dump_of($from, @user, '-n', 'public'), qr/COPY public\."PhotoProcs" .*\n[0-9a-f]{8}-/, "$who: pg_dump -n holds rows too");

	# without the extension: every row is there; with it again: every rule
	my $attached = attached($to, $owner);
	as($to, $owner, 'SET client_min_messages = warning; DROP EXTENSION photoflow CASCADE');
	is_deeply([grep { !/installation/ } rows($to, $owner)], [grep { !/installation/ } rows_after($to, $owner, @rows)], "$who: DROP EXTENSION keeps every row");
	is(as($to, $owner, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'Photoflow%'}), 0, "$who: but takes the triggers");
	isnt(as($to, $owner, q{SELECT count(*) FROM pg_trigger WHERE tgname = 'note' AND NOT tgisinternal}), 0, "$who: not those of users");
	as($to, $owner, 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.attach();');
	is(attached($to, $owner), $attached, "$who: create_tables() and attach() put triggers and defaults back");
	rules_hold($to, $owner, "$who: attached again");
	is(as($to, $owner, 'SELECT count(*) FROM photoflow.migration_plan()'), 0, "$who: attached again: no step is pending");
	as($to, $owner, 'SELECT photoflow.detach();');
	is(as($to, $owner, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'Photoflow%'}), 0, "$who: detach() takes them off");
	as($to, $owner, 'SELECT photoflow.attach();');
	is(attached($to, $owner), $attached, "$who: attach() puts them back");
}

# The tables of a database that has lost its extension, alone: a dump of the tables restored beside a new extension.
$node->safe_psql('postgres', 'CREATE DATABASE tables_only');
$node->command_ok(['pg_dump', '-n', 'public', '-f', "$dir/public.sql", 'from_superuser'], 'pg_dump of the data schema alone');
$node->safe_psql('tables_only', 'CREATE EXTENSION photoflow; DROP SCHEMA public');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/public.sql", 'tables_only'], 'is restored beside the extension');
$node->safe_psql('tables_only', 'SELECT photoflow.create_tables()');
is(as('tables_only', undef, 'SELECT count(*) FROM "Albums"'), as('from_superuser', undef, 'SELECT count(*) FROM "Albums"'), 'create_tables() takes over what is there');
rules_hold('tables_only', undef, 'tables alone');

done_testing();

# Runs SQL as a user of that name.
sub as
{
	my ($database, $user, $sql) = @_;
	return $node->safe_psql($database, $sql, extra_params => defined $user ? ['-U', $user] : []);
}

sub dump_of
{
	my ($database, @options) = @_;
	my ($stdout, $stderr) = run_command(['pg_dump', '-h', $node->host, '-p', $node->port, @options, $database]);
	die $stderr if $stderr ne '';
	$stdout =~ s/^\\(un)?restrict .*\n//mg;
	die 'the dump is empty' if length($stdout) < 1000;
	return $stdout;
}

# Every table of the user and how many rows it has.
sub rows
{
	my ($database, $user) = @_;
	return split /\n/, as($database, $user, q{SELECT t.oid::regclass::text COLLATE "C", (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM ONLY %s', t.oid::regclass), false, true, '')))[1]
		FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public')) ORDER BY 1});
}

# The rules have been tried meanwhile: see rules_hold().
sub rows_after
{
	my ($database, $user, @rows) = @_;
	my %grown = ('"Albums"' => 1, '"AlbumTags"' => 1, '"AlbumTransitions"' => 1, 'noted' => 1);
	return map { my ($table, $count) = split /\|/; "$table|" . ($count + ($grown{$table} // 0)); } @rows;
}

sub attached
{
	my ($database, $user) = @_;
	return as($database, $user, q{SELECT string_agg(x, E'\n' ORDER BY x) FROM (
		SELECT pg_get_triggerdef(oid) AS x FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('%s.%s %s', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE adrelid::regclass::text NOT LIKE 'photoflow.%') x});
}

# One new album, one transition; and what must be refused is.
sub rules_hold
{
	my ($database, $user, $name) = @_;
	my @session = defined $user ? (extra_params => ['-U', $user]) : ();
	is(as($database, $user, qq{INSERT INTO "Albums" ("OrgId", "Name", "WorkflowVersion") VALUES ('$org', '$name', 1);
		SELECT from_state || ' ' || to_state FROM photoflow.fire((SELECT "Id" FROM "Albums" WHERE "Name" = '$name'), 'SyncRawTag')}),
		'Init Raw', "$name: an album moves");
	my ($code, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\nUPDATE "Albums" SET "AlbumState" = 9 WHERE "Name" = '$name'}, @session);
	like($stderr, qr/PF006/, "$name: an illegal UPDATE is refused");
	(undef, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\nUPDATE "Albums" SET "OrgId" = '00000000-0000-4000-8000-000000000009' WHERE "Name" = '$name'}, @session);
	like($stderr, qr/PF011/, "$name: a change of organization is refused");
	(undef, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\nDELETE FROM "WorkflowVersions"}, @session);
	like($stderr, qr/PF007/, "$name: a published workflow stays");
	is(as($database, $user, qq{SELECT string_agg("Trigger", ',') FROM "AlbumTransitions" WHERE "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = '$name')}),
		'SyncRawTag', "$name: with its history");
	return;
}

# Albums in every state, and what users add: an index, a trigger that notes, a policy, a column, a CHECK, grants, a workflow with a guard.
sub fill
{
	my ($database, $user) = @_;
	as($database, $user, 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables();');
	as($database, $user, qq{
		INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');
		INSERT INTO "Users" ("OrgId", "Email") VALUES ('$org', 'a\@b.c');
		INSERT INTO "PublicUrls" ("OrgId", "Url") VALUES ('$org', 'https://one.test');
		INSERT INTO "Albums" ("OrgId", "Name", "HashedPassword") SELECT '$org', 'album ' || n, E'odd \\t "chars" \\\\ é' FROM generate_series(1, 90) n;
		INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status", "Link", "PublicUrlId") SELECT a."Id", t, 2, '{"url": "x"}', u."Id" FROM "Albums" a, "PublicUrls" u, unnest(ARRAY[0, 3]) t;
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "Voted") SELECT "Id", 'a.jpg', true FROM "AlbumTags";
		INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs" LIMIT 10;
		INSERT INTO "PhotoLikes" ("PhotoProcId") SELECT "Id" FROM "PhotoProcs" LIMIT 10;
		INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT '$org', "Id", 'Album' FROM "Albums" LIMIT 5;
		INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT '$org', 'x', now() + n * interval '20 days' FROM generate_series(-5, 5) n;});
	my $n = 10;
	foreach my $trigger (@triggers)
	{
		as($database, $user, qq{SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums" WHERE substr("Name", 7)::int > $n), '$trigger')});
		$n += 10;
	}
	as($database, $user, q{
		CREATE TABLE noted (what text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.noted VALUES (TG_TABLE_NAME); RETURN NULL; END';
		CREATE TRIGGER note AFTER INSERT ON "Albums" FOR EACH ROW EXECUTE FUNCTION note();
		CREATE TRIGGER note AFTER INSERT OR UPDATE ON "PhotoProcs" FOR EACH STATEMENT EXECUTE FUNCTION note();
		CREATE TRIGGER note AFTER INSERT ON "WorkflowVersions" FOR EACH STATEMENT EXECUTE FUNCTION note();
		CREATE INDEX mine ON "Albums" (lower("Name"));
		ALTER TABLE "Albums" ADD COLUMN "Mine" integer DEFAULT 7;
		ALTER TABLE "PhotoProcs" ADD CONSTRAINT mine CHECK ("SortOrder" > -5);
		ALTER TABLE "PhotoComments" ENABLE ROW LEVEL SECURITY;
		CREATE POLICY mine ON "PhotoComments" USING ("OrgId" = photoflow.current_org());
		GRANT SELECT ON "Albums" TO app;
		UPDATE "PhotoProcs" SET "SortOrder" = 1;
		CREATE FUNCTION my_guard(album_id uuid) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
		SELECT photoflow.publish_workflow('{"name": "own", "states": [{"name": "A", "value": 0, "initial": true}], "policies": {"P": ["p"]},
			"transitions": [{"trigger": "t", "from": "A", "to": "A", "policy": "P", "guards": ["public.my_guard"]}]}');
		INSERT INTO "Albums" ("OrgId", "Name") SELECT "Id", 'of the new version' FROM "Organizations";
		SELECT photoflow.fire("Id", 't') FROM "Albums" WHERE "WorkflowVersion" = 2;});
	return;
}
