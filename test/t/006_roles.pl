# Who may do what: installed by a database's owner who is no superuser, whom policies hold as everybody; used by logins that
# have grants on tables and nothing else; and not to be led astray by a search_path.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('roles');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE studio LOGIN; CREATE ROLE app LOGIN; CREATE ROLE desk LOGIN; CREATE ROLE other LOGIN; CREATE DATABASE studio OWNER studio;
	CREATE ROLE squatter LOGIN; CREATE DATABASE squatted OWNER studio;');
my $org = '00000000-0000-4000-8000-000000000001';

# a schema that somebody made beforehand is not adopted
is(refusal('studio', 'CREATE EXTENSION photoflow', 'other'), '42501', 'who may not create in the database may not install');
$node->safe_psql('squatted', 'GRANT CREATE ON DATABASE squatted TO squatter');
as('squatter', 'CREATE SCHEMA photoflow', 'squatted');
is(refusal('squatted', 'CREATE EXTENSION photoflow', 'studio'), '42P06', 'a schema made beforehand makes the installation fail');

# trusted: the owner of the database installs, owns the tables, maintains
as('studio', 'CREATE EXTENSION photoflow; SELECT photoflow.create_tables();');
is(as('studio', q{SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')}), 'studio', 'the tables are the owner\'s');
is(refusal('studio', qq{INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one')}, 'studio'), 'PF010', 'the owner writes for an organization, too');
my $for = "SET photoflow.org_id = '$org'; ";
as('studio', qq{$for INSERT INTO "Organizations" ("Id", "Name") VALUES ('$org', 'one');
	INSERT INTO "Albums" ("Id", "OrgId", "Name") SELECT ('00000000-0000-4000-8000-1' || lpad(n::text, 11, '0'))::uuid, '$org', n FROM generate_series(1, 9) n;});
is(as('studio', fire(1)), 'Raw', 'the owner fires without a context');
is(as('studio', qq{SELECT photoflow.state_name("AlbumState") FROM "Albums" WHERE "Id" = '} . album(1) . q{'}), '', 'but does not see the album');
is(refusal('studio', q{UPDATE "Albums" SET "Name" = 'x'}, 'studio'), 'PF010', 'nor writes one');
is(refusal('studio', q{DELETE FROM "Albums"}, 'studio'), 'PF010', 'nor deletes one');
is(as('studio', qq{BEGIN; SELECT photoflow.set_context('$org'); SELECT photoflow.state_name("AlbumState") FROM "Albums" WHERE "Id" = '} . album(1) . q{'; COMMIT; SELECT count(*) FROM "Albums"}), "\nRaw\n0",
	'until the context is set, and for no longer');
is(as('studio', 'SELECT count(*) > 0 FROM photoflow.migration_status'), 't', 'and sees the steps');
is(as('studio', 'SELECT bool_and(ok OR hint IS NOT NULL) FROM photoflow.status()'), 't', 'and the status');
is(as('studio', 'SELECT photoflow.publish_workflow(photoflow.workflow(), false)'), 2, 'and publishes');
is(as('studio', 'SELECT count(*) FROM photoflow.migrate_albums(1, 2, NULL, true)'), 11, 'and plans a migration of albums');
as('studio', 'SELECT photoflow.detach(); SELECT photoflow.attach(); CALL photoflow.migrate();');
is(as('studio', fire(2)), 'Raw', 'and attaches again');

# an application: grants on tables, EXECUTE from PUBLIC; those of grant_app(), or by hand
as('studio', q{SELECT photoflow.grant_app('desk')});
as('studio', $for . q{INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT "Id", 'a.jpg' FROM "AlbumTags"});
as('studio', q{GRANT SELECT, UPDATE ON "Albums" TO app; GRANT SELECT, INSERT, UPDATE ON "AlbumTags", "PhotoProcs" TO app; GRANT INSERT ON "Albums" TO app;});
my $me = "SET photoflow.org_id = '$org'; SET photoflow.role = 'photographer'; ";
my $history = 0;
foreach my $who ('app', 'desk')
{
	my ($fired, $updated) = $who eq 'app' ? (3, 4) : (5, 9);
	is(as($who, $me . fire($fired)), 'Raw', "$who: an application with grants on tables fires");
	is(as($who, qq{$me SELECT string_agg(to_state, ',') FROM photoflow.album_history('} . album($fired) . q{')}), 'Raw', "$who: and reads the history of its album");
	is(as($who, qq{$me UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = '} . album($updated) . q{'; SELECT 'ok'}), 'ok', "$who: a plain UPDATE does it too");
	$history += 2;
	is(as('studio', $for . q{SELECT count(*) FROM "AlbumTransitions" WHERE "Role" = 'photographer'}), $history, "$who: with history, in the owner's name");
	is(refusal('studio', qq{$me INSERT INTO "AlbumTransitions" ("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "Trigger")
		VALUES ('$org', '} . album($fired) . q{', photoflow.uuid_v7(), 1, 1, 9, 'forged')}, $who), '42501', "$who: it does not write history");
	is(refusal('studio', $me . q{UPDATE "AlbumTransitions" SET "ToState" = 9}, $who), '42501', "$who: nor change it");
	is(refusal('studio', $me . q{DELETE FROM "AlbumTransitions"}, $who), '42501', "$who: nor delete it");
	foreach my $call (q{photoflow.publish_workflow('{}')}, 'photoflow.migrate_albums(1, 2)', 'photoflow.create_tables()', 'photoflow.attach()', 'photoflow.detach()',
		'photoflow.migration_plan()', 'photoflow.migration_steps()', 'photoflow.status()', 'photoflow.create_audit_partitions()',
		q{photoflow.set_token_key('0123456789abcdef0123456789abcdef')}, q{photoflow.add_token_key('0123456789abcdef0123456789abcdef', 'k')}, q{photoflow.drop_token_key('k')}, 'photoflow.drop_token_key(NULL)',
		'photoflow.token_key_ids()', q{photoflow.protect_table('public."Albums"')}, qq{photoflow.grant_app('$who')}, qq{photoflow.grant_app('$who', true)}, q{photoflow.grant_app('other')},
		qq{photoflow.revoke_app('$who')}, 'photoflow.check_tenancy()', q{photoflow.find_public_url('x')}, 'photoflow.event_channel()', 'photoflow.unfixed_cves()',
		qq{photoflow.preload_statement('$who')}, 'photoflow.preload_libraries()', qq{photoflow.set_retention('$org', '1 day')}, qq{photoflow.set_legal_hold('$org', false)}, 'photoflow.adopt_deletions(1)', 'photoflow.list_retention()',
		qq{photoflow.grant_worker('$who')}, qq{photoflow.revoke_worker('$who')}, 'photoflow.failure_worker()', q{photoflow.set_failure_policy('Album', '1 s')}, 'photoflow.recount_failures()', 'photoflow.queue_failures(1)')
	{
		is(refusal('studio', "SELECT $call", $who), '42501', "$who: it may not call $call");
	}
	is(refusal('studio', 'CALL photoflow.migrate()', $who), '42501', "$who: nor migrate");
	is(refusal('studio', q{CALL photoflow.purge('0')}, $who), '42501', "$who: nor purge");
	is(refusal('studio', 'UPDATE photoflow.installation SET data_schema = current_user', $who), '42501', "$who: nor say where the tables are");
	is(refusal('studio', q{INSERT INTO photoflow.table_steps SELECT 99, '1.0', 'ddl', 'x', 'x'}, $who), '42501', "$who: nor add steps");
	is(refusal('studio', 'CREATE TABLE photoflow.x ()', $who), '42501', "$who: nor create in our schema");
	foreach my $table ('"Organizations"', '"Albums"', '"PhotoProcs"', '"AuditLogs"', '"AuditLogs_default"', '"WorkflowVersions"', '"__PhotoflowMigrations"', '"__PhotoflowSecrets"')
	{
		is(refusal('studio', "$me TRUNCATE $table CASCADE", $who), '42501', "$who: nor truncate $table");
		next if $who eq 'desk' && $table =~ /Albums|PhotoProcs/;
		is(refusal('studio', "$me DELETE FROM $table", $who), '42501', "$who: nor delete from $table");
	}
	foreach my $table ('"__PhotoflowMigrations"', '"DeletionReasons"', '"PurgeReceipts"', '"RetentionRules"', '"FailureAttempts"', '"FailureCounts"', '"FailurePolicies"')
	{
		is(refusal('studio', "$me SELECT * FROM $table", $who), '42501', "$who: nor read $table");
		is(refusal('studio', "$me DELETE FROM $table", $who), '42501', "$who: nor delete from $table");
	}
	is(refusal('studio', "$me SELECT * FROM $_", $who), '42501', "$who: nor read $_") foreach '"AuditLogs_default"', '"__PhotoflowSecrets"', '"AlbumTransitions"', 'photoflow.retention';
}
# grant_app() gives DELETE, which marks; one that was planned before the library was there is refused, and no setting of a login's makes it a real one
foreach my $table ('"Albums"', '"PhotoProcs"')
{
	my $rows = $node->safe_psql('studio', "SELECT count(*) FROM $table");
	cmp_ok($rows, '>', 1, "there are rows in $table");
	is(as('desk', qq{$me SET photoflow.hard_delete = on; BEGIN; SELECT photoflow.current_role_name(); WITH d AS (DELETE FROM $table RETURNING "IsDeleted") SELECT count(*), bool_and("IsDeleted") FROM d;
		SELECT count(*) FROM $table; ROLLBACK;}), "photographer\n$rows|t\n$rows", "desk: its DELETE from $table marks them");
	is(refusal('studio', "$me SET photoflow.hard_delete = on; DELETE FROM $table", 'desk'), 'PF020', "desk: without the library it is refused");
	is($node->safe_psql('studio', qq{SELECT count(*) FROM $table WHERE NOT "IsDeleted"}), $rows, "and all rows of $table are still there");
}
is(as('app', $me . 'SELECT "HashedPassword" FROM "Albums" LIMIT 1'), '', 'who was given the whole table sees password hashes');
is(refusal('studio', $me . 'SELECT "HashedPassword" FROM "Albums"', 'desk'), '42501', 'who was given what an application needs does not');
as('studio', q{SELECT photoflow.grant_app('desk', true)});
is(as('desk', $me . 'SELECT count("HashedPassword") FROM "Albums"'), 0, 'unless it is asked for');
# all functions there are: an application may call those it needs, triggers and conditions, and no others
is($node->safe_psql('studio', q{SELECT string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") FROM pg_proc p WHERE p.pronamespace = 'photoflow'::regnamespace
	AND p.prorettype <> 'trigger'::regtype AND NOT has_function_privilege('desk', p.oid, 'EXECUTE')}),
	'add_token_key adopt_deletions attach check_tenancy create_audit_partitions create_tables detach drop_token_key event_channel failure_worker find_public_url grant_app grant_worker list_audit_partitions list_refusals list_retention maintain migrate migrate_albums migration_plan migration_steps'
	. ' preload_libraries preload_statement protect_table publish_workflow purge queue_failures recount_failures revoke_app revoke_worker seal_partition set_audit_retention set_failure_policy set_legal_hold set_retention set_token_key status token_key_ids track unfixed_cves untrack verify_partition', 'these functions are the owner\'s, and no others');
is($node->safe_psql('studio', q{SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'photoflow'::regnamespace AND NOT has_function_privilege('studio', p.oid, 'EXECUTE')}), 0, 'who may call them all');
is(refusal('studio', $me . fire(6), 'other'), '42501', 'who may not update albums may not fire');
as('studio', q{SELECT photoflow.revoke_app('desk')});
is(refusal('studio', $me . fire(6), 'desk'), '42501', 'nor may an application that has lost its rights');
is(refusal('studio', $me . 'SELECT count("Id") FROM "Albums"', 'desk'), '42501', 'which sees no album either');
# functions that are triggers do nothing when they are called or attached elsewhere
foreach my $function ('tenant_fill', 'tenant_keep', 'initial_state', 'refuse_state_change', 'collect_transition', 'write_transitions', 'keep_workflow', 'workflow_changed',
	'tenant_require', 'secrets_changed', 'mark_deletion', 'collect_deletion', 'cascade_deletion', 'keep_failure', 'count_failure', 'forget_failures', 'failure_policies_changed')
{
	is(refusal('studio', "SELECT photoflow.$function()", 'app'), '39P01', "$function() is not called directly");
}
# attached by others to tables of their own (anybody has temporary ones), they are no way into our tables
$node->safe_psql('studio', 'CREATE SCHEMA lair AUTHORIZATION app');
foreach my $schema ('lair', 'pg_temp')
{
	my $columns = '"Id" uuid, "OrgId" uuid, "Name" text, "AlbumState" int, "WorkflowVersion" int, "IsDeleted" boolean, "ModifiedAt" timestamptz, "DeletedAt" timestamptz, "DeletedBy" uuid, "DeletionId" uuid';
	refusal('studio', qq{$me CREATE TABLE $schema."Albums" ($columns);
		CREATE TRIGGER a AFTER UPDATE ON $schema."Albums" FOR EACH ROW EXECUTE FUNCTION photoflow.collect_transition('Albums');
		CREATE TRIGGER b AFTER UPDATE ON $schema."Albums" FOR EACH STATEMENT EXECUTE FUNCTION photoflow.write_transitions('Albums');
		INSERT INTO $schema."Albums" VALUES ('} . album(6) . qq{', '$org', 'x', 8, 1, false, now());
		UPDATE $schema."Albums" SET "AlbumState" = 9;}, 'app');
	is(as('studio', $for . q{SELECT count(*) FROM "AlbumTransitions" WHERE "AlbumId" = '} . album(6) . q{'}), 0, "a table in $schema writes no history of our albums");
	is(as('studio', $for . q{SELECT count(*) FROM "AlbumTags" WHERE "AlbumId" = '} . album(6) . q{'}), 0, "a table in $schema makes no stages of them");
	is(refusal('studio', qq{$me DROP TABLE IF EXISTS $schema."Albums"; CREATE TABLE $schema."Albums" ($columns);
		CREATE TRIGGER a BEFORE UPDATE ON $schema."Albums" FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion('Albums');
		CREATE TRIGGER b AFTER UPDATE ON $schema."Albums" FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion('Albums');
		CREATE TRIGGER c AFTER UPDATE ON $schema."Albums" FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion('Albums');
		INSERT INTO $schema."Albums" VALUES ('} . album(1) . qq{', '$org', 'x', 1, 1, false, now());
		UPDATE $schema."Albums" SET "IsDeleted" = true;}, 'app'), '39P01', "a table in $schema deletes nothing");
	is(as('studio', $for . q{SELECT count(*) FROM "AlbumTags" WHERE "IsDeleted"}), 0, "a table in $schema takes no stages of ours along");
}

# a search_path with traps in it: operators, functions, tables and types ahead of pg_catalog and public
$node->safe_psql('studio', q{CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC;
	CREATE TABLE trap.sprung (what text); GRANT INSERT, SELECT ON trap.sprung TO PUBLIC;
	CREATE FUNCTION trap.spring(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO trap.sprung VALUES ($1 || '' as '' || current_user); RETURN true; END';
	CREATE FUNCTION trap.eq(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT trap.spring('=') $$;
	CREATE FUNCTION trap.eq(int, int) RETURNS boolean LANGUAGE sql AS $$ SELECT trap.spring('= int') $$;
	CREATE FUNCTION trap.ne(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT trap.spring('<>') $$;
	CREATE FUNCTION trap.add(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring('+'); RETURN 0; END $$;
	CREATE OPERATOR trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = trap.eq);
	CREATE OPERATOR trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.eq);
	CREATE OPERATOR trap.<> (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = trap.ne);
	CREATE OPERATOR trap.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.add);
	CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring('now'); RETURN NULL; END $$;
	CREATE FUNCTION trap.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring('unnest'); END $$;
	CREATE FUNCTION trap.max(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring('max'); RETURN 7; END $$;
	CREATE FUNCTION trap.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM trap.spring('count'); RETURN 7; END $$;
	CREATE FUNCTION trap.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
	CREATE FUNCTION trap.set_context(uuid, uuid, text) RETURNS void LANGUAGE sql AS $$ SELECT trap.spring('set_context') $$;
	CREATE TABLE trap."Albums" (); CREATE TABLE trap."AlbumTransitions" (); CREATE TABLE trap.installation (data_schema name);
	CREATE DOMAIN trap.uuid AS int; CREATE DOMAIN trap.text AS int;});
my $astray = 'SET search_path = trap, pg_catalog, public; ';
foreach my $who ('app', 'studio')
{
	my $n = $who eq 'app' ? 7 : 8;
	my $id = album($n);
	is(as($who, "$astray$me" . fire($n)), 'Raw', "$who: fire() goes straight");
	is(as($who, "$astray$me" . qq{UPDATE public."Albums" SET "AlbumState" = 1, "Name" = 'x' WHERE "Id" OPERATOR(pg_catalog.=) '$id'; SELECT 'ok'}), 'ok', "$who: and an UPDATE");
	is(as($who, qq{$astray$me SELECT to_state FROM photoflow.rollback_transition('$id')}), 'Init', "$who: and a rollback");
	is(as($who, qq{$astray$me SELECT to_state FROM photoflow.fire_many(ARRAY['$id'::pg_catalog.uuid], 'SyncRawTag')}), 'Raw', "$who: and fire_many()");
	is(as($who, qq{$astray$me SELECT pg_catalog.count(*) FROM photoflow.permitted_triggers('$id')}), 2, "$who: and permitted_triggers()");
	is(as($who, qq{$astray$me SELECT pg_catalog.count(*) FROM photoflow.album_history('$id')}), 3, "$who: and album_history()");
	is(as($who, qq{$astray$me SELECT deleted_rows FROM photoflow.soft_delete('public."Albums"', ARRAY['$id'::pg_catalog.uuid]) LIMIT 1}), 1, "$who: and soft_delete()");
	is(as($who, qq{$astray$me SELECT restored_rows FROM photoflow.restore((SELECT deletion_id FROM photoflow.deletions LIMIT 1)) LIMIT 1}), 1, "$who: and restore()");
	is(as($who, qq{$astray$me INSERT INTO public."Albums" ("Name") VALUES ('$who') RETURNING "AlbumState"}), 0, "$who: and an INSERT");
	is(as($who, qq{$astray$me INSERT INTO public."AlbumTags" ("AlbumId", "Type", "Status") VALUES ('$id', 1, 2) RETURNING "OrgId"}), $org, "$who: and that of a child");
	is(refusal('studio', qq{$astray$me INSERT INTO public."AlbumTags" ("AlbumId", "Type") VALUES ('00000000-0000-4000-8000-999999999999', 1)}, $who), 'PF011', "$who: and its refusal");
}
my $astray_owner = as('studio', qq{$astray SELECT photoflow.create_tables(); SELECT photoflow.detach(); SELECT photoflow.attach(); CALL photoflow.migrate();
	SELECT photoflow.create_audit_partitions(14); SELECT photoflow.protect_table('public."Albums"'); SELECT photoflow.grant_app('desk'); SELECT photoflow.revoke_app('desk'); SELECT photoflow.grant_app('desk');
	SELECT photoflow.set_token_key('0123456789abcdef0123456789abcdef'); SELECT photoflow.add_token_key('0123456789abcdef0123456789abcdef', 'k'); SELECT photoflow.token_key_ids();
	SELECT photoflow.drop_token_key('k'); SELECT photoflow.event_channel(); SELECT pg_catalog.count(*) FROM photoflow.find_public_url('x'); SELECT photoflow.why_zero('public."Albums"', photoflow.uuid_v7());
	SELECT pg_catalog.count(*) FROM photoflow.check_tenancy(); SELECT photoflow.preload_statement('desk'); SELECT pg_catalog.count(*) FROM photoflow.migration_status; SELECT pg_catalog.count(*) FROM photoflow.status();
	SELECT photoflow.set_retention('$org', '1 day'); SELECT photoflow.set_legal_hold('$org', false); SELECT pg_catalog.count(*) FROM photoflow.retention; SELECT photoflow.adopt_deletions(1);
	SET photoflow.org_id = '$org'; DELETE FROM public."Albums" WHERE "Name" OPERATOR(pg_catalog.=) 'studio'; RESET photoflow.org_id; CALL photoflow.purge('0');
	SELECT pg_catalog.count(*) FROM photoflow.purge_receipts; SELECT photoflow.publish_workflow(photoflow.workflow(), false); SELECT pg_catalog.count(*) FROM photoflow.migrate_albums(1, 3, NULL, false);});
like($astray_owner, qr/\b11$/, 'the owner\'s functions go straight');
is($node->safe_psql('studio', 'SELECT what, count(*) FROM trap.sprung GROUP BY 1'), '', 'no trap was sprung');
is(as('app', "$astray SELECT 1 = 2"), 't', 'who walks there himself');
is($node->safe_psql('studio', 'SELECT what FROM trap.sprung'), '= int as app', 'springs it');

# what a dump's script leaves behind: the books are the owner's, whom policies hold, and are kept all the same
$node->safe_psql('studio', qq{INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES ('} . album(77) . qq{', '$org', 'books')});
is($node->safe_psql('studio', 'SET row_security = off; ' . fire(77)), 'Raw', 'a superuser fires with row_security off');
is($node->safe_psql('studio', q{SELECT count(*) FROM "AlbumTags" WHERE "AlbumId" = '} . album(77) . q{'}), 1, 'and the stage is made');

# whoever may create in the data schema puts things of our names there: nothing of his runs as the owner
$node->safe_psql('studio', q{CREATE SCHEMA den; GRANT ALL ON SCHEMA den, public TO app; CREATE TABLE den.who (name text); GRANT INSERT ON den.who TO PUBLIC});
as('app', q{CREATE FUNCTION den.tell() RETURNS uuid LANGUAGE plpgsql AS 'BEGIN INSERT INTO den.who VALUES (current_user); RETURN NULL; END';
	CREATE VIEW public.bait AS SELECT den.tell() AS "Id", den.tell() AS "OrgId", false AS "IsDeleted"; GRANT SELECT ON public.bait TO PUBLIC;});
is(refusal('studio', "$me SELECT photoflow.why_zero('public.bait', '$org')", 'app'), '42809', 'a view is no table of rows of an organization');
is($node->safe_psql('studio', 'SELECT count(*) FROM den.who'), 0, 'and was not looked into');

done_testing();

sub album { my ($n) = @_; return sprintf '00000000-0000-4000-8000-1%011d', $n; }

sub fire
{
	my ($n) = @_;
	return q{SELECT to_state FROM photoflow.fire('} . album($n) . q{', 'SyncRawTag')};
}

sub as
{
	my ($user, $sql, $database) = @_;
	return $node->safe_psql($database // 'studio', $sql, extra_params => ['-U', $user]);
}

# The SQLSTATE that a statement is refused with.
sub refusal
{
	my ($database, $sql, $user) = @_;
	my (undef, undef, $stderr) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql", extra_params => ['-U', $user]);
	return $stderr =~ /ERROR:  (\w{5})/ ? $1 : "none ($stderr)";
}
