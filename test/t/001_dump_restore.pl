# A dump restored into a fresh database is the same database: tables, rows, policies, secrets, and all that users have added;
# no trigger fires on the way, and the rules hold afterwards. Policies hold the owner, too: a role that bypasses them dumps,
# the owner restores. DROP EXTENSION takes the rules and no row, and leaves the tables closed; attach() brings the rules back.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64url);

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init(extra => ['--no-locale', '--encoding=UTF8']);
$node->append_conf('postgresql.conf', "max_wal_size = 1GB\n");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir();

my $org = '00000000-0000-4000-8000-000000000001';
my $neighbour = '00000000-0000-4000-8000-000000000002';
my $me = "SET photoflow.org_id = '$org'; ";
my $key = 'only the owner knows these bytes, and its tokens';
my @triggers = ('SyncRawTag', 'SyncStockTag', 'Rate', 'ConfirmRate', 'FinishRetouch', 'ConfirmFeedback', 'Finish', 'Close');

$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE desk LOGIN;
	CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;');
foreach my $owner ('studio', undef)
{
	my $who = $owner // 'superuser';
	my @user = defined $owner ? ('-U', $owner) : ();
	my @backup = defined $owner ? ('-U', 'backup') : ();
	my ($from, $to) = ("from_$who", "to_$who");

	foreach my $database ($from, $to)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $database" . (defined $owner ? " OWNER $owner" : ''));
	}
	fill($from, $owner);
	my @rows = rows($from);
	my %of_table = map { split /\|/ } @rows;
	cmp_ok(scalar(grep { !/\|0$/ } @rows), '>=', 14, "$who: the tables are filled");

	$node->command_fails_like(['pg_dump', @user, $from], qr/query would be affected by row-level security policy/, "$who: pg_dump by the owner is refused") if defined $owner;
	my $before = dump_of($from, @backup);
	$node->command_ok(['pg_dump', @backup, '-Fc', '-f', "$dir/$from.dump", $from], "$who: pg_dump");
	$node->command_ok(['pg_restore', @user, '--exit-on-error', '-d', $to, "$dir/$from.dump"], "$who: pg_restore into a fresh database");
	is_deeply([rows($to)], \@rows, "$who: every row has arrived, and no other");
	is(as($to, $owner, 'SELECT count(*) FROM noted'), as($from, $owner, 'SELECT count(*) FROM noted'), "$who: no trigger fired in the restore");
	is(dump_of($to, @backup), $before, "$who: a dump of the copy is the dump of the original");
	foreach my $part ('CREATE EXTENSION IF NOT EXISTS photoflow', 'CREATE INDEX mine', 'CREATE TRIGGER note', 'CREATE POLICY mine', '"Mine" integer', 'CONSTRAINT mine CHECK',
		'GRANT SELECT ON TABLE public."Albums" TO app', 'CREATE TRIGGER "00_PhotoflowStateGuard"', 'COPY photoflow.installation', 'COPY public."AlbumTransitions"',
		'COPY public."Albums"', 'COPY public."__PhotoflowMigrations"', 'photoflow.uuid_v7()', 'COMMENT ON INDEX public."UX_Albums_OrgId_Id"',
		'CREATE POLICY "PhotoflowTenant" ON public."Organizations"', 'CREATE POLICY "PhotoflowTenant" ON public."AuditLogs_default"', 'COPY public."__PhotoflowSecrets"',
		'ALTER TABLE ONLY public."Albums" FORCE ROW LEVEL SECURITY', 'ALTER TABLE public."Albums" ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE ONLY public."__PhotoflowSecrets" FORCE ROW LEVEL SECURITY', 'GRANT SELECT("Name"),INSERT("Name"),UPDATE("Name") ON TABLE public."Albums" TO desk')
	{
		cmp_ok(index($before, $part), '>=', 0, "$who: the dump holds $part");
	}
	unlike($before, qr/CREATE TABLE photoflow|COPY photoflow\.table_steps|CREATE FUNCTION photoflow/, "$who: and nothing that the extension brings");

	foreach my $part ('CREATE POLICY "PhotoflowTenant" ON ', 'FORCE ROW LEVEL SECURITY')
	{
		my $expected = $node->safe_psql($from, q{SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
			WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'OrgId'}) + 1;
		cmp_ok($expected, '>=', 12 + 12, "$who: there are that many tables and partitions with an organization");
		$expected++ if $part =~ /FORCE/;
		is(scalar(() = $before =~ /\Q$part\E/g), $expected, "$who: the dump has $part... for each, and nothing else");
	}

	# the rules and the policies are at work in the copy, and secrets are the same
	foreach my $database ($from, $to)
	{
		tenants_are_apart($database, $owner, "$who: $database", %of_table);
	}
	is(as($to, $owner, 'SELECT photoflow.event_channel()'), as($from, $owner, 'SELECT photoflow.event_channel()'), "$who: restored: events go to the same channel");
	is(as($to, $owner, 'SELECT photoflow.token_key_ids()'), '{"",2026}', "$who: restored: token keys are there");
	rules_hold($to, $owner, "$who: restored");
	is(as($to, $owner, 'SELECT count(*) FROM photoflow.migration_plan()'), 0, "$who: restored: no step is pending");
	is(as($to, $owner, "SELECT photoflow.workflow()->>'name'"), 'own', "$who: restored: the workflow that was published is current");

	# plain text by psql, and one table of it
	$node->safe_psql('postgres', "CREATE DATABASE plain_$who" . (defined $owner ? " OWNER $owner" : ''));
	$node->command_ok(['pg_dump', @backup, '-f', "$dir/$from.sql", $from], "$who: pg_dump as text");
	$node->command_ok(['psql', @user, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/$from.sql", "plain_$who"], "$who: restored by psql");
	is_deeply([rows("plain_$who")], \@rows, "$who: with every row");
	my $one = dump_of($from, @backup, '-t', 'public."Albums"');
	is(scalar(() = $one =~ /^[0-9a-f]{8}-[0-9a-f-]{27}\t/mg), $of_table{'"Albums"'}, "$who: pg_dump -t holds the rows of the table");
	like(dump_of($from, @backup, '-n', 'public'), qr/COPY public\."PhotoProcs" .*\n[0-9a-f]{8}-/, "$who: pg_dump -n holds rows too");

	# without the extension: every row is there, and nobody but who bypasses policies sees one; with it again: every rule
	my $attached = attached($to, $owner);
	my $closed = q{SELECT count(*), count(*) FILTER (WHERE relrowsecurity AND relforcerowsecurity) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
		AND c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'OrgId')};
	my $tables = $node->safe_psql($to, $closed);
	like($tables, qr/^(\d+)\|\1$/, "$who: row-level security is on, and forced");
	as($to, $owner, 'SET client_min_messages = warning; DROP EXTENSION photoflow CASCADE');
	is_deeply([grep { !/installation/ } rows($to)], [grep { !/installation/ } rows_after(@rows)], "$who: DROP EXTENSION keeps every row");
	is(as($to, $owner, q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%Photoflow%'}), 0, "$who: but takes the triggers");
	is(as($to, $owner, q{SELECT count(*) FROM pg_policy}), 0, "$who: and the policies");
	is($node->safe_psql($to, $closed), $tables, "$who: without them row-level security stays on");
	closed($to, $owner, "$who: dropped");
	isnt(as($to, $owner, q{SELECT count(*) FROM pg_trigger WHERE tgname = 'note' AND NOT tgisinternal}), 0, "$who: not those of users");
	as($to, $owner, 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.attach();');
	is(attached($to, $owner), $attached, "$who: create_tables() and attach() put triggers, policies and defaults back");
	rules_hold($to, $owner, "$who: attached again");
	is_deeply([rows($to)], [rows_after(rows_after(@rows))], "$who: attached again: on the same rows");
	is(as($to, $owner, 'SELECT count(*) FROM photoflow.migration_plan()'), 0, "$who: attached again: no step is pending");
	as($to, $owner, 'SELECT photoflow.detach();');
	is(as($to, $owner, q{SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%Photoflow%') + (SELECT count(*) FROM pg_policy)}), 0, "$who: detach() takes them off");
	is($node->safe_psql($to, $closed), $tables, "$who: detach() leaves row-level security on");
	closed($to, $owner, "$who: detached");
	as($to, $owner, 'SELECT photoflow.attach();');
	is(attached($to, $owner), $attached, "$who: attach() puts them back");
	tenants_are_apart($to, $owner, "$who: attached", map { split /\|/ } rows($to));
}

# The tables of a database that has lost its extension, alone: a dump of the tables restored beside a new extension.
$node->safe_psql('postgres', 'CREATE DATABASE tables_only');
$node->command_ok(['pg_dump', '-n', 'public', '-f', "$dir/public.sql", 'from_superuser'], 'pg_dump of the data schema alone');
$node->safe_psql('tables_only', 'CREATE EXTENSION photoflow; DROP SCHEMA public');
$node->command_ok(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/public.sql", 'tables_only'], 'is restored beside the extension');
$node->safe_psql('tables_only', 'SELECT photoflow.create_tables()');
is(as('tables_only', undef, 'SELECT count(*) FROM "Albums"'), as('from_superuser', undef, 'SELECT count(*) FROM "Albums"'), 'create_tables() takes over what is there');
tenants_are_apart('tables_only', undef, 'tables alone', map { split /\|/ } rows('tables_only'));
is(as('tables_only', undef, 'SELECT photoflow.event_channel()'), as('from_superuser', undef, 'SELECT photoflow.event_channel()'), 'tables alone: the channel of events comes with them');
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

# Every table of the user and how many rows it has, of all organizations; of counts, which may be added up at any time, what they come to.
sub rows
{
	my ($database) = @_;
	return split /\n/, $node->safe_psql($database, q{SELECT t.oid::regclass::text COLLATE "C",
			(xpath('/row/c/text()', query_to_xml(format('SELECT %s AS c FROM ONLY %s', CASE WHEN t.relname = 'FailureCounts' THEN 'sum("Records")' ELSE 'count(*)' END, t.oid::regclass), false, true, '')))[1]
		FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public')) ORDER BY 1});
}

# The rules have been tried meanwhile: see rules_hold().
sub rows_after
{
	my (@rows) = @_;
	my %grown = ('"Albums"' => 1, '"AlbumTags"' => 1, '"AlbumTransitions"' => 1, 'noted' => 1);
	return map { my ($table, $count) = split /\|/; "$table|" . ($count + ($grown{$table} // 0)); } @rows;
}

sub attached
{
	my ($database, $user) = @_;
	return as($database, $user, q{SELECT string_agg(x, E'\n' ORDER BY x) FROM (
		SELECT pg_get_triggerdef(oid) AS x FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('%s.%s %s', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE adrelid::regclass::text NOT LIKE 'photoflow.%'
		UNION ALL SELECT format('%s %s %s %s %s %s', polrelid::regclass, polname, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
			FROM pg_policy WHERE polname = 'PhotoflowTenant') x});
}

# Each of the organizations sees its own rows, without one there is nothing to see: as the owner, and as an application that has no other rights.
sub tenants_are_apart
{
	my ($database, $user, $name, %rows) = @_;
	foreach my $who (defined $user ? ($user, 'desk') : ('desk'))
	{
		my ($mine, $others) = map { as($database, $who, qq{SET photoflow.org_id = '$_'; SELECT count("Id") FROM "Albums"}) } $org, $neighbour;
		is($others, 3, "$name: $who sees the three albums of the other organization");
		is($mine + $others, $rows{'"Albums"'}, "$name: $who sees the albums of this one, and no others");
		is(as($database, $who, q{SELECT (SELECT count("Id") FROM "Albums") + (SELECT count(*) FROM "Organizations") + (SELECT count(*) FROM "PhotoProcs")}), 0, "$name: $who sees nothing without an organization");
		is(as($database, $who, 'BEGIN; SELECT org_id FROM photoflow.authenticate(\'' . token($neighbour) . q{'); SELECT count("Id") FROM "Albums"; COMMIT;}),
			"$neighbour\n3", "$name: $who is let in with a token");
	}
	return;
}

# Without policies, but with row-level security on, not even the owner sees a row.
sub closed
{
	my ($database, $user, $name) = @_;
	foreach my $who (defined $user ? ($user, 'desk') : ('desk'))
	{
		is(as($database, $who, qq{$me SELECT (SELECT count("Id") FROM "Albums") + (SELECT count(*) FROM "Organizations") + (SELECT count(*) FROM "PhotoProcs") + (SELECT count(*) FROM "AuditLogs")}),
			0, "$name: $who sees nothing");
	}
	return;
}

# A token as the platform issues them, signed with the key that fill() has set.
sub token
{
	my ($of) = @_;
	my $signed = join '.', map { encode_base64url($_) } '{"alg":"HS256","typ":"JWT"}', qq({"org_id":"$of","role":"photographer","exp":) . (time + 3600) . '}';
	return $signed . '.' . encode_base64url(hmac_sha256($signed, $key));
}

# One new album, one transition; and what must be refused is.
sub rules_hold
{
	my ($database, $user, $name) = @_;
	my @session = defined $user ? (extra_params => ['-U', $user]) : ();
	my $tenant = defined $user ? $me : '';
	is(as($database, $user, qq{$tenant INSERT INTO "Albums" ("OrgId", "Name", "WorkflowVersion") VALUES ('$org', '$name', 1);
		SELECT from_state || ' ' || to_state FROM photoflow.fire((SELECT "Id" FROM "Albums" WHERE "Name" = '$name'), 'SyncRawTag')}),
		'Init Raw', "$name: an album moves");
	my ($code, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\n$tenant UPDATE "Albums" SET "AlbumState" = 9 WHERE "Name" = '$name'}, @session);
	like($stderr, qr/PF006/, "$name: an illegal UPDATE is refused");
	(undef, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\n$tenant UPDATE "Albums" SET "OrgId" = '00000000-0000-4000-8000-000000000009' WHERE "Name" = '$name'}, @session);
	like($stderr, defined $user ? qr/42501/ : qr/PF011/, "$name: a change of organization is refused, by a policy or, to whom none holds, by a trigger");
	(undef, undef, $stderr) = $node->psql($database, qq{\\set VERBOSITY sqlstate\nDELETE FROM "WorkflowVersions"}, @session);
	like($stderr, qr/PF007/, "$name: a published workflow stays");
	is(as($database, $user, qq{$tenant SELECT string_agg("Trigger", ',') FROM "AlbumTransitions" WHERE "AlbumId" = (SELECT "Id" FROM "Albums" WHERE "Name" = '$name')}),
		'SyncRawTag', "$name: with its history");
	return;
}

# Two organizations, albums of one of them in every state, token keys, and what users add: an index, a trigger that notes, a policy, a column, a CHECK, grants, a workflow with a guard.
sub fill
{
	my ($database, $user) = @_;
	my $tenant = defined $user ? $me : '';
	as($database, $user, "CREATE EXTENSION photoflow; SELECT photoflow.create_tables(); SELECT photoflow.set_token_key('$key'); SELECT photoflow.add_token_key(sha256('$key'), '2026');");
	as($database, $user, qq{ $tenant
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
		as($database, $user, qq{$tenant SELECT count(*) FROM photoflow.fire_many(array(SELECT "Id" FROM "Albums" WHERE substr("Name", 7)::int > $n), '$trigger')});
		$n += 10;
	}
	as($database, $user, $tenant . q{
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
		SELECT photoflow.fire("Id", 't') FROM "Albums" WHERE "WorkflowVersion" = 2;
		SELECT photoflow.grant_app('desk');});
	as($database, $user, qq{SET photoflow.org_id = '$neighbour';
		INSERT INTO "Organizations" ("Id", "Name") VALUES ('$neighbour', 'two');
		INSERT INTO "Albums" ("Name", "WorkflowVersion") SELECT 'not theirs ' || n, 1 FROM generate_series(1, 3) n;
		INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") SELECT "Id", 0, 2 FROM "Albums";
		INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT "Id", 'b.jpg' FROM "AlbumTags";}) if defined $user;
	as($database, $user, qq{
		INSERT INTO "Organizations" ("Id", "Name") VALUES ('$neighbour', 'two');
		INSERT INTO "Albums" ("OrgId", "Name", "WorkflowVersion") SELECT '$neighbour', 'not theirs ' || n, 1 FROM generate_series(1, 3) n;}) if !defined $user;
	return;
}
