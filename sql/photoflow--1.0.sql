-- photoflow 1.0: code, one configuration row, and the list of table steps. No data table is named outside a step's text.
\echo Use "CREATE EXTENSION photoflow" to load this file. \quit

CREATE SCHEMA photoflow;
GRANT USAGE ON SCHEMA photoflow TO PUBLIC;
COMMENT ON SCHEMA photoflow IS 'photoflow: functions and views; the data tables are ordinary tables elsewhere';

CREATE TABLE photoflow.installation (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	data_schema name NOT NULL
);
ALTER TABLE photoflow.installation OWNER TO @extowner@;
REVOKE ALL ON TABLE photoflow.installation FROM PUBLIC;
GRANT SELECT ON TABLE photoflow.installation TO PUBLIC;
COMMENT ON TABLE photoflow.installation IS
'One row: the schema of the data tables. The only table of the extension that is dumped with its content.';
SELECT pg_catalog.pg_extension_config_dump('photoflow.installation', '');

CREATE TABLE photoflow.table_steps (
	step int PRIMARY KEY,
	version text NOT NULL,
	kind text NOT NULL CHECK (kind IN ('ddl', 'backfill', 'validate', 'concurrent_index', 'attach')),
	description text NOT NULL,
	sql text NOT NULL,
	count_sql text,
	CHECK (kind NOT IN ('backfill', 'concurrent_index') OR count_sql IS NOT NULL)
);
REVOKE ALL ON TABLE photoflow.table_steps FROM PUBLIC;
GRANT SELECT ON TABLE photoflow.table_steps TO PUBLIC;
COMMENT ON TABLE photoflow.table_steps IS
'The shape of the data tables, step by step; filled by the extension''s scripts, run by create_tables() and migrate(). {schema} stands for the data schema. A backfill''s sql does one batch of at most $1 rows and is repeated until it touches none; count_sql counts the rows it has still to touch. For a concurrent_index count_sql, with the data schema as $1 (name), says whether the index is there and valid.';

-- Identifiers

CREATE FUNCTION photoflow.uuid_v7()
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_uuid_v7';
REVOKE ALL ON FUNCTION photoflow.uuid_v7() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.uuid_v7() TO PUBLIC;
COMMENT ON FUNCTION photoflow.uuid_v7() IS
'Makes a time-ordered uuid (RFC 9562, version 7). Within one session each is greater than the one before, also when the clock steps back.';

CREATE FUNCTION photoflow.uuid_v5(namespace uuid, name text)
	RETURNS uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_uuid_v5';
REVOKE ALL ON FUNCTION photoflow.uuid_v5(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.uuid_v5(uuid, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.uuid_v5(uuid, text) IS
'Makes the uuid that a name always has within a namespace (RFC 9562, version 5, SHA-1 of the name in the database encoding).';

CREATE FUNCTION photoflow.uuid_v7_time(id uuid)
	RETURNS timestamptz
	LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_uuid_v7_time';
REVOKE ALL ON FUNCTION photoflow.uuid_v7_time(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.uuid_v7_time(uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.uuid_v7_time(uuid) IS
'Returns when a version 7 uuid was made, to the millisecond; NULL for a uuid of any other version.';

-- Context

CREATE FUNCTION photoflow.set_context(
	org_id uuid,
	user_id uuid DEFAULT NULL,
	role text DEFAULT NULL,
	request_id text DEFAULT NULL,
	correlation_id text DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_context';
REVOKE ALL ON FUNCTION photoflow.set_context(uuid, uuid, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_context(uuid, uuid, text, text, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.set_context(uuid, uuid, text, text, text) IS
'Says, for this transaction only, which organization and user the application is working for, in which role (several: separated by commas), and the ids of the request. NULL unsets.';

CREATE FUNCTION photoflow.current_org()
	RETURNS uuid
	LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_current_org';
REVOKE ALL ON FUNCTION photoflow.current_org() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.current_org() TO PUBLIC;
COMMENT ON FUNCTION photoflow.current_org() IS
'Returns the organization of the context (photoflow.org_id), NULL when unset.';

CREATE FUNCTION photoflow.current_user_id()
	RETURNS uuid
	LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_current_user_id';
REVOKE ALL ON FUNCTION photoflow.current_user_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.current_user_id() TO PUBLIC;
COMMENT ON FUNCTION photoflow.current_user_id() IS
'Returns the application user of the context (photoflow.user_id), NULL when unset.';

CREATE FUNCTION photoflow.current_role_name()
	RETURNS text
	LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_current_role_name';
REVOKE ALL ON FUNCTION photoflow.current_role_name() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.current_role_name() TO PUBLIC;
COMMENT ON FUNCTION photoflow.current_role_name() IS
'Returns the role or roles of the context (photoflow.role), NULL when unset.';

-- The state machine

CREATE FUNCTION photoflow.fire(
	album_id uuid,
	trigger text,
	expected_state text DEFAULT NULL,
	reason text DEFAULT NULL,
	args jsonb DEFAULT NULL,
	OUT transition_id uuid,
	OUT album_id uuid,
	OUT from_state text,
	OUT to_state text,
	OUT tag_id uuid)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_fire';
REVOKE ALL ON FUNCTION photoflow.fire(uuid, text, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.fire(uuid, text, text, text, jsonb) TO PUBLIC;
COMMENT ON FUNCTION photoflow.fire(uuid, text, text, text, jsonb) IS
'Fires a trigger on an album: checks edge, role and guards, changes the state, runs the entry actions and writes the history. tag_id is the stage that was created, or NULL. Errors: PF001 no edge, PF002 guards (all of them, in DETAIL), PF003 role, PF004 the album is not in expected_state, PF005 not found, PF010 no tenant, PF021 deleted.';

CREATE FUNCTION photoflow.fire_many(album_ids uuid[], trigger text, reason text DEFAULT NULL, on_error text DEFAULT 'abort')
	RETURNS TABLE (album_id uuid, from_state text, to_state text, sqlstate text, message text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_fire_many';
REVOKE ALL ON FUNCTION photoflow.fire_many(uuid[], text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.fire_many(uuid[], text, text, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.fire_many(uuid[], text, text, text) IS
'Fires a trigger on many albums, all or nothing, in a few statements whatever their number. on_error = abort raises the first refusal; skip leaves refused albums as they are and reports each with its SQLSTATE. A repeated id counts once.';

CREATE FUNCTION photoflow.permitted_triggers(album_id uuid, role text DEFAULT NULL)
	RETURNS TABLE (trigger text, to_state text, permitted boolean, required_roles text[], unmet_guards text[])
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_permitted_triggers';
REVOKE ALL ON FUNCTION photoflow.permitted_triggers(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.permitted_triggers(uuid, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.permitted_triggers(uuid, text) IS
'Lists every trigger that leaves the state of an album, whether the role (the context''s unless given) may fire it now, and if not, why not. Errors: PF005 not found, PF010 no tenant.';

CREATE FUNCTION photoflow.can_fire(album_id uuid, trigger text)
	RETURNS boolean
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_can_fire';
REVOKE ALL ON FUNCTION photoflow.can_fire(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.can_fire(uuid, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.can_fire(uuid, text) IS
'Says whether fire() would be permitted now, for the role of the context. Errors: PF005 not found, PF010 no tenant.';

CREATE FUNCTION photoflow.rollback_transition(
	album_id uuid,
	reason text DEFAULT NULL,
	OUT transition_id uuid,
	OUT album_id uuid,
	OUT from_state text,
	OUT to_state text,
	OUT tag_id uuid)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_rollback_transition';
REVOKE ALL ON FUNCTION photoflow.rollback_transition(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.rollback_transition(uuid, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.rollback_transition(uuid, text) IS
'Takes an album back to the state before its newest transition, once, and records which transition that compensates. A stage that the transition created stays; IsArchive goes back. Errors: PF001 nothing to roll back or already rolled back, PF003 role, PF005 not found.';

CREATE FUNCTION photoflow.album_history(album_id uuid)
	RETURNS TABLE (transition_id uuid, from_state text, trigger text, to_state text, user_id uuid, role text, reason text, args jsonb, created_at timestamptz, compensates uuid)
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_album_history';
REVOKE ALL ON FUNCTION photoflow.album_history(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.album_history(uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.album_history(uuid) IS
'Returns every change of state of an album, oldest first. compensates names the transition that a rollback took back. Errors: PF005 not found, PF010 no tenant.';

CREATE FUNCTION photoflow.state_name(state int, version int DEFAULT NULL)
	RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_state_name';
REVOKE ALL ON FUNCTION photoflow.state_name(int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.state_name(int, int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.state_name(int, int) IS
'Returns the name of a state of a workflow version (the current one unless given). Errors: 22023 no such state or version.';

CREATE FUNCTION photoflow.state_value(name text, version int DEFAULT NULL)
	RETURNS int
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_state_value';
REVOKE ALL ON FUNCTION photoflow.state_value(text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.state_value(text, int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.state_value(text, int) IS
'Returns the number of a state of a workflow version (the current one unless given). Errors: 22023 no such state or version.';

CREATE FUNCTION photoflow.state_diagram(format text DEFAULT 'mermaid', album_id uuid DEFAULT NULL)
	RETURNS text
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_state_diagram';
REVOKE ALL ON FUNCTION photoflow.state_diagram(text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.state_diagram(text, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.state_diagram(text, uuid) IS
'Draws the workflow as Mermaid (format mermaid) or Graphviz (format dot). With an album: its version, its state highlighted and the edges it has taken marked.';

CREATE FUNCTION photoflow.publish_workflow(definition jsonb, make_current boolean DEFAULT true)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_publish_workflow';
REVOKE ALL ON FUNCTION photoflow.publish_workflow(jsonb, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.publish_workflow(jsonb, boolean) TO @extowner@;
COMMENT ON FUNCTION photoflow.publish_workflow(jsonb, boolean) IS
'Publishes a workflow definition as a new, immutable version and returns its number. Albums stay on the version they started with. Errors: PF007 with everything that is wrong in DETAIL.';

CREATE FUNCTION photoflow.workflow(version int DEFAULT NULL)
	RETURNS jsonb
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_workflow';
REVOKE ALL ON FUNCTION photoflow.workflow(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.workflow(int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.workflow(int) IS
'Returns the definition of a workflow version (the current one unless given). Errors: 22023 no such version.';

CREATE FUNCTION photoflow.migrate_albums(
	from_version int,
	to_version int,
	state_map jsonb DEFAULT NULL,
	dry_run boolean DEFAULT true)
	RETURNS TABLE (state text, albums bigint, maps_to text, problem text)
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_migrate_albums';
REVOKE ALL ON FUNCTION photoflow.migrate_albums(int, int, jsonb, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.migrate_albums(int, int, jsonb, boolean) TO @extowner@;
COMMENT ON FUNCTION photoflow.migrate_albums(int, int, jsonb, boolean) IS
'Moves albums from one workflow version to another: a state goes to the state of the same name, or to the one state_map names ({"Old": "New"}). With dry_run it only reports. Errors: 22023 when a state that albums are in maps to nothing.';

-- Guards: NULL when met, otherwise the reason

CREATE FUNCTION photoflow.guard_raw_tag_ready(org_id uuid, album_id uuid)
	RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_guard_raw_tag_ready';
REVOKE ALL ON FUNCTION photoflow.guard_raw_tag_ready(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.guard_raw_tag_ready(uuid, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.guard_raw_tag_ready(uuid, uuid) IS
'Guard: the Raw tag of the album is Ready. Returns NULL when it holds, otherwise the reason.';

CREATE FUNCTION photoflow.guard_retouch_tag_ready(org_id uuid, album_id uuid)
	RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_guard_retouch_tag_ready';
REVOKE ALL ON FUNCTION photoflow.guard_retouch_tag_ready(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.guard_retouch_tag_ready(uuid, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.guard_retouch_tag_ready(uuid, uuid) IS
'Guard: the Retouch tag of the album is Ready. Returns NULL when it holds, otherwise the reason.';

CREATE FUNCTION photoflow.guard_photo_voted(org_id uuid, album_id uuid)
	RETURNS text
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_guard_photo_voted';
REVOKE ALL ON FUNCTION photoflow.guard_photo_voted(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.guard_photo_voted(uuid, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.guard_photo_voted(uuid, uuid) IS
'Guard: at least one photo of the album is voted for. Returns NULL when it holds, otherwise the reason.';

-- Photos

CREATE FUNCTION photoflow.sync_photos(
	tag_id uuid,
	files jsonb,
	total_count int DEFAULT NULL,
	is_last boolean DEFAULT false,
	OUT inserted int,
	OUT updated int,
	OUT unchanged int,
	OUT removed int,
	OUT processed int,
	OUT total int)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_sync_photos';
REVOKE ALL ON FUNCTION photoflow.sync_photos(uuid, jsonb, int, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.sync_photos(uuid, jsonb, int, boolean) TO PUBLIC;
COMMENT ON FUNCTION photoflow.sync_photos(uuid, jsonb, int, boolean) IS
'Takes over one page of a Google Drive listing (the body of files.list, or its files array) into a tag: adds and updates photos, leaves unchanged rows alone. is_last ends the listing: photos no longer listed are soft-deleted and the tag becomes Ready. Errors: 22023 malformed element (named), PF005 not found, PF010 no tenant, PF021 deleted.';

CREATE FUNCTION photoflow.vote(photo_ids uuid[], voted boolean DEFAULT true)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_vote';
REVOKE ALL ON FUNCTION photoflow.vote(uuid[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.vote(uuid[], boolean) TO PUBLIC;
COMMENT ON FUNCTION photoflow.vote(uuid[], boolean) IS
'Sets or takes back the vote on photos and returns how many changed. Errors: PF001 the state of the album does not allow rating, PF005 not found, PF010 no tenant, PF021 deleted.';

CREATE FUNCTION photoflow.reorder_photos(tag_id uuid, photo_ids uuid[])
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_reorder_photos';
REVOKE ALL ON FUNCTION photoflow.reorder_photos(uuid, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.reorder_photos(uuid, uuid[]) TO PUBLIC;
COMMENT ON FUNCTION photoflow.reorder_photos(uuid, uuid[]) IS
'Puts the photos of a tag in the given order, those not named after them in their present order, and returns how many moved. Errors: 22023 an id twice, PF005 not found, PF010 no tenant.';

-- Install and migrate

CREATE FUNCTION photoflow.create_tables(data_schema name DEFAULT 'public')
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_create_tables';
REVOKE ALL ON FUNCTION photoflow.create_tables(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.create_tables(name) TO @extowner@;
COMMENT ON FUNCTION photoflow.create_tables(name) IS
'Makes the data tables in a schema, as ordinary tables of the caller. Does nothing where they are complete. Errors: 55000 another schema is installed, 42P07 foreign tables of these names are there.';

CREATE PROCEDURE photoflow.migrate(
	to_version text DEFAULT NULL,
	batch_size int DEFAULT 5000,
	lock_timeout interval DEFAULT '2s',
	pause interval DEFAULT '0')
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_migrate';
REVOKE ALL ON PROCEDURE photoflow.migrate(text, int, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE photoflow.migrate(text, int, interval, interval) TO @extowner@;
COMMENT ON PROCEDURE photoflow.migrate(text, int, interval, interval) IS
'Runs the table steps that are pending after ALTER EXTENSION photoflow UPDATE, with a COMMIT after every batch, and goes on where it was interrupted. pause is waited between batches. Must be called outside a transaction block.';

CREATE FUNCTION photoflow.migration_plan(to_version text DEFAULT NULL)
	RETURNS TABLE (step int, kind text, sql text)
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_migration_plan';
REVOKE ALL ON FUNCTION photoflow.migration_plan(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.migration_plan(text) TO @extowner@;
COMMENT ON FUNCTION photoflow.migration_plan(text) IS
'Returns what migrate() would run, with the SQL of each step.';

CREATE FUNCTION photoflow.migration_steps()
	RETURNS TABLE (step int, version text, kind text, description text, state text, rows_done bigint, rows_total bigint, started_at timestamptz, finished_at timestamptz)
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_migration_steps';
REVOKE ALL ON FUNCTION photoflow.migration_steps() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.migration_steps() TO @extowner@;
COMMENT ON FUNCTION photoflow.migration_steps() IS
'Returns the rows of the view migration_status.';

CREATE FUNCTION photoflow.attach()
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_attach';
REVOKE ALL ON FUNCTION photoflow.attach() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.attach() TO @extowner@;
COMMENT ON FUNCTION photoflow.attach() IS
'Puts photoflow''s triggers and defaults back on the data tables, and makes them see what a BEFORE UPDATE trigger of your own changes. Touches no data.';

CREATE FUNCTION photoflow.detach()
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_detach';
REVOKE ALL ON FUNCTION photoflow.detach() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.detach() TO @extowner@;
COMMENT ON FUNCTION photoflow.detach() IS
'Takes photoflow''s triggers and defaults off the data tables. Touches no data; the rules no longer hold until attach().';

CREATE FUNCTION photoflow.create_audit_partitions(months int DEFAULT 12)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_create_audit_partitions';
REVOKE ALL ON FUNCTION photoflow.create_audit_partitions(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.create_audit_partitions(int) TO @extowner@;
COMMENT ON FUNCTION photoflow.create_audit_partitions(int) IS
'Makes the monthly partitions (UTC) of "AuditLogs" that are missing, this month and those after it, and returns how many it made.';

-- Triggers of the data tables

CREATE FUNCTION photoflow.tenant_fill()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_tenant_fill';
REVOKE ALL ON FUNCTION photoflow.tenant_fill() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.tenant_fill() TO PUBLIC;
COMMENT ON FUNCTION photoflow.tenant_fill() IS
'Trigger. BEFORE INSERT: fills in OrgId from the parent or the context; PF011 when it would be another organization''s, PF010 when there is none.';

CREATE FUNCTION photoflow.tenant_keep()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_tenant_keep';
REVOKE ALL ON FUNCTION photoflow.tenant_keep() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.tenant_keep() TO PUBLIC;
COMMENT ON FUNCTION photoflow.tenant_keep() IS
'Trigger. AFTER UPDATE of OrgId or of a parent: PF011 when the row would change its organization.';

CREATE FUNCTION photoflow.initial_state()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_initial_state';
REVOKE ALL ON FUNCTION photoflow.initial_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.initial_state() TO PUBLIC;
COMMENT ON FUNCTION photoflow.initial_state() IS
'Trigger. BEFORE INSERT on Albums: the initial state of the current workflow version; PF006 for any other unless the caller owns the table.';

CREATE FUNCTION photoflow.refuse_state_change()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_refuse_state_change';
REVOKE ALL ON FUNCTION photoflow.refuse_state_change() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.refuse_state_change() TO PUBLIC;
COMMENT ON FUNCTION photoflow.refuse_state_change() IS
'Trigger. AFTER UPDATE of the state of Albums, where state_change_refused() said so: guards, or the refusal (PF001 to PF006).';

CREATE FUNCTION photoflow.collect_transition()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_collect_transition';
REVOKE ALL ON FUNCTION photoflow.collect_transition() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.collect_transition() TO PUBLIC;
COMMENT ON FUNCTION photoflow.collect_transition() IS
'Trigger. AFTER UPDATE of the state of Albums: remembers the change until the end of the statement.';

CREATE FUNCTION photoflow.write_transitions()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_write_transitions';
REVOKE ALL ON FUNCTION photoflow.write_transitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.write_transitions() TO PUBLIC;
COMMENT ON FUNCTION photoflow.write_transitions() IS
'Trigger. AFTER UPDATE of the state of Albums, per statement: writes the history, runs the entry actions and sends the events of the changes collected.';

CREATE FUNCTION photoflow.keep_workflow()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_keep_workflow';
REVOKE ALL ON FUNCTION photoflow.keep_workflow() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.keep_workflow() TO PUBLIC;
COMMENT ON FUNCTION photoflow.keep_workflow() IS
'Trigger. BEFORE UPDATE, DELETE OR TRUNCATE on WorkflowVersions: a published definition is immutable.';

CREATE FUNCTION photoflow.workflow_changed()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_workflow_changed';
REVOKE ALL ON FUNCTION photoflow.workflow_changed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.workflow_changed() TO PUBLIC;
COMMENT ON FUNCTION photoflow.workflow_changed() IS
'Trigger. AFTER any change of WorkflowVersions: tells every session to forget what it compiled.';

CREATE FUNCTION photoflow.state_change_refused(old_state int, new_state int, version int)
	RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'photoflow_state_change_refused';
REVOKE ALL ON FUNCTION photoflow.state_change_refused(int, int, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.state_change_refused(int, int, int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.state_change_refused(int, int, int) IS
'Condition of a trigger on Albums: false when the state did not change, or when the edge exists, needs no guard and is open to the role of the context; otherwise the trigger has to look.';

-- Reports

CREATE FUNCTION photoflow.version()
	RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT format('photoflow %s (PostgreSQL %s, libuuid)', extversion, split_part(current_setting('server_version'), ' ', 1))
	FROM pg_catalog.pg_extension WHERE extname = 'photoflow';
END;
REVOKE ALL ON FUNCTION photoflow.version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.version() TO PUBLIC;
COMMENT ON FUNCTION photoflow.version() IS
'Returns the versions of photoflow and of PostgreSQL.';

CREATE VIEW photoflow.migration_status AS
	SELECT step, version, kind, description, state, rows_done, rows_total, started_at, finished_at
	FROM photoflow.migration_steps();
REVOKE ALL ON TABLE photoflow.migration_status FROM PUBLIC;
GRANT SELECT ON TABLE photoflow.migration_status TO @extowner@;
COMMENT ON VIEW photoflow.migration_status IS
'Every table step and how far it is: done, running, pending, or manual (to be run outside a transaction: see migration_plan()).';

CREATE FUNCTION photoflow.status()
	RETURNS TABLE (name text, value text, ok boolean, hint text)
	LANGUAGE sql STABLE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT 'version', photoflow.version(), true, NULL::text
	UNION ALL
	SELECT 'available version', e.default_version, e.default_version = e.installed_version,
		CASE WHEN e.default_version <> e.installed_version THEN 'ALTER EXTENSION photoflow UPDATE; CALL photoflow.migrate();' END
	FROM pg_catalog.pg_available_extensions e WHERE e.name = 'photoflow'
	UNION ALL
	SELECT 'data schema', coalesce(i.data_schema, '(none)'), i.data_schema IS NOT NULL,
		CASE WHEN i.data_schema IS NULL THEN 'SELECT photoflow.create_tables();' END
	FROM (SELECT true) one LEFT JOIN photoflow.installation i ON true
	UNION ALL
	SELECT 'pending steps', count(*)::text, count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'CALL photoflow.migrate();' END
	FROM photoflow.migration_steps() s WHERE s.state <> 'done'
	UNION ALL
	SELECT 'triggers attached', format('%s of %s', t.found, s.expected), t.found >= s.expected AND t.enabled,
		CASE WHEN t.found < s.expected THEN 'SELECT photoflow.attach();'
			WHEN NOT t.enabled THEN 'A trigger is disabled: ALTER TABLE ... ENABLE TRIGGER.' END
	FROM (SELECT count(*) AS found, coalesce(bool_and(t.tgenabled IN ('O', 'A')), true) AS enabled
			FROM pg_catalog.pg_trigger t
				JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
				JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
			WHERE n.nspname = 'photoflow' AND t.tgparentid = 0) t,
		(SELECT coalesce(sum(regexp_count(sql, 'CREATE OR REPLACE TRIGGER')), 0) AS expected
			FROM photoflow.table_steps WHERE kind = 'attach') s
	UNION ALL
	SELECT 'triggers see every change', coalesce(string_agg(DISTINCT c.relname, ', '), 'yes'), count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'A BEFORE UPDATE trigger may change columns that the statement does not name: SELECT photoflow.attach();' END
	FROM pg_catalog.pg_trigger t
		JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
		JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
		JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		JOIN pg_catalog.pg_trigger u ON u.tgrelid = t.tgrelid AND u.tgtype & 19 = 19 AND NOT u.tgisinternal
		JOIN pg_catalog.pg_proc up ON up.oid = u.tgfoid AND up.pronamespace <> n.oid
	WHERE n.nspname = 'photoflow' AND t.tgparentid = 0 AND t.tgattr::text <> ''
	UNION ALL
	SELECT 'preload', coalesce(nullif(p.libraries, ''), '(none)'), p.libraries ~ '\mphotoflow\M',
		CASE WHEN p.libraries !~ '\mphotoflow\M' THEN
			'ALTER DATABASE ... SET session_preload_libraries = ''photoflow''; until it is loaded, a session''s photoflow settings are not checked.' END
	FROM (SELECT string_agg(setting, ', ') FILTER (WHERE setting <> '') AS libraries
			FROM pg_catalog.pg_settings WHERE name IN ('shared_preload_libraries', 'session_preload_libraries')) one (libraries),
		LATERAL (SELECT coalesce(one.libraries, '')) p (libraries)
	UNION ALL
	SELECT 'events', coalesce(current_setting('photoflow.events', true), 'notify'), true, NULL;
END;
REVOKE ALL ON FUNCTION photoflow.status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.status() TO @extowner@;
COMMENT ON FUNCTION photoflow.status() IS
'One page for a DBA: versions, pending steps, triggers, preload, and what to do where ok is false.';

-- Table steps. A step is frozen once it is released: what changes later is a later step. Triggers of one event fire in the
-- order of their names: 00_ is ahead of the foreign keys' (RI_...) and of users' that would move the row again.

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(1, '1.0', 'ddl', 'history of table steps', $step$
CREATE TABLE {schema}."__PhotoflowMigrations" (
	"Step" int PRIMARY KEY,
	"Version" text NOT NULL,
	"Kind" text NOT NULL,
	"Description" text NOT NULL,
	"State" text NOT NULL,
	"RowsDone" bigint NOT NULL DEFAULT 0,
	"RowsTotal" bigint,
	"StartedAt" timestamptz NOT NULL DEFAULT clock_timestamp(),
	"FinishedAt" timestamptz
);
COMMENT ON TABLE {schema}."__PhotoflowMigrations" IS 'The table steps that photoflow has run here, as __EFMigrationsHistory is for EF Core';
$step$),

(2, '1.0', 'ddl', 'workflow versions', $step$
CREATE TABLE {schema}."WorkflowVersions" (
	"Version" int PRIMARY KEY,
	"Name" varchar(255),
	"Definition" jsonb NOT NULL,
	"IsCurrent" boolean NOT NULL DEFAULT false,
	"PublishedAt" timestamptz NOT NULL DEFAULT now(),
	"PublishedBy" uuid
);
CREATE UNIQUE INDEX "UX_WorkflowVersions_IsCurrent" ON {schema}."WorkflowVersions" ("IsCurrent") WHERE "IsCurrent";
COMMENT ON INDEX {schema}."UX_WorkflowVersions_IsCurrent" IS 'at most one version is current';
COMMENT ON TABLE {schema}."WorkflowVersions" IS 'Definitions of the album state machine; immutable, one row a version';
$step$),

(3, '1.0', 'ddl', 'organizations and users', $step$
CREATE TABLE {schema}."Organizations" (
	"Id" uuid PRIMARY KEY,
	"Name" varchar(255) NOT NULL,
	"Code" varchar(255),
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"IsDeleted" boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE {schema}."Organizations" IS 'The tenants: studios and photographers. "Id" is the "OrgId" of every other table';
CREATE TABLE {schema}."Users" (
	"Id" uuid PRIMARY KEY,
	"Email" varchar(255),
	"Name" varchar(255),
	"OrgId" uuid NOT NULL,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "UX_Users_OrgId_Id" UNIQUE ("OrgId", "Id"),
	CONSTRAINT "FK_Users_Organizations_OrgId" FOREIGN KEY ("OrgId") REFERENCES {schema}."Organizations" ("Id")
);
COMMENT ON INDEX {schema}."UX_Users_OrgId_Id" IS 'users of an organization; target of tenant-safe foreign keys';
$step$),

(4, '1.0', 'ddl', 'public urls', $step$
CREATE TABLE {schema}."PublicUrls" (
	"Id" uuid PRIMARY KEY,
	"Url" varchar NOT NULL,
	"Type" int NOT NULL DEFAULT 0,
	"ExpiresAt" timestamptz,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "UX_PublicUrls_OrgId_Id" UNIQUE ("OrgId", "Id"),
	CONSTRAINT "FK_PublicUrls_Organizations_OrgId" FOREIGN KEY ("OrgId") REFERENCES {schema}."Organizations" ("Id")
);
COMMENT ON INDEX {schema}."UX_PublicUrls_OrgId_Id" IS 'target of the foreign key of AlbumTags';
CREATE INDEX "IX_PublicUrls_Url" ON {schema}."PublicUrls" ("Url");
COMMENT ON INDEX {schema}."IX_PublicUrls_Url" IS 'a client opens the album by its public link, before an organization is known';
$step$),

(5, '1.0', 'ddl', 'albums', $step$
CREATE TABLE {schema}."Albums" (
	"Id" uuid PRIMARY KEY,
	"Name" varchar(255) NOT NULL,
	"Status" int NOT NULL DEFAULT 0,
	"AlbumState" int NOT NULL,
	"OrgId" uuid NOT NULL,
	"AssigneeId" uuid,
	"ProviderId" uuid,
	"HashedPassword" varchar,
	"IsArchive" boolean NOT NULL DEFAULT false,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"IsDeleted" boolean NOT NULL DEFAULT false,
	"WorkflowVersion" int NOT NULL,
	CONSTRAINT "UX_Albums_OrgId_Id" UNIQUE ("OrgId", "Id"),
	CONSTRAINT "FK_Albums_Organizations_OrgId" FOREIGN KEY ("OrgId") REFERENCES {schema}."Organizations" ("Id"),
	CONSTRAINT "FK_Albums_WorkflowVersions_WorkflowVersion" FOREIGN KEY ("WorkflowVersion")
		REFERENCES {schema}."WorkflowVersions" ("Version")
) WITH (fillfactor = 90);
COMMENT ON TABLE {schema}."Albums" IS 'Albums; "AlbumState" moves only along the edges of its "WorkflowVersion". No index holds the state, so that a change of state stays a HOT update';
COMMENT ON INDEX {schema}."UX_Albums_OrgId_Id" IS 'list the albums of an organization, newest first (ids are time-ordered); target of the foreign keys of its children';
$step$),

(6, '1.0', 'ddl', 'album tags', $step$
CREATE TABLE {schema}."AlbumTags" (
	"Id" uuid PRIMARY KEY,
	"AlbumId" uuid NOT NULL,
	"Type" int NOT NULL,
	"Status" int NOT NULL DEFAULT 0,
	"Link" jsonb,
	"ProviderId" uuid,
	"FolderId" uuid,
	"SyncInitiatedByUserId" uuid,
	"PublicUrlId" uuid,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "UX_AlbumTags_OrgId_Id" UNIQUE ("OrgId", "Id"),
	CONSTRAINT "FK_AlbumTags_Albums_AlbumId" FOREIGN KEY ("OrgId", "AlbumId") REFERENCES {schema}."Albums" ("OrgId", "Id"),
	CONSTRAINT "FK_AlbumTags_PublicUrls_PublicUrlId" FOREIGN KEY ("OrgId", "PublicUrlId")
		REFERENCES {schema}."PublicUrls" ("OrgId", "Id")
);
COMMENT ON TABLE {schema}."AlbumTags" IS 'Workflow stages of an album (Raw, Stock, Rate, Retouch, Final) and where their content is';
COMMENT ON INDEX {schema}."UX_AlbumTags_OrgId_Id" IS 'target of the foreign key of PhotoProcs';
CREATE INDEX "IX_AlbumTags_OrgId_AlbumId_Type" ON {schema}."AlbumTags" ("OrgId", "AlbumId", "Type");
COMMENT ON INDEX {schema}."IX_AlbumTags_OrgId_AlbumId_Type" IS 'the stages of an album; guards look for a stage by type; foreign key to Albums';
CREATE INDEX "IX_AlbumTags_OrgId_PublicUrlId" ON {schema}."AlbumTags" ("OrgId", "PublicUrlId") WHERE "PublicUrlId" IS NOT NULL;
COMMENT ON INDEX {schema}."IX_AlbumTags_OrgId_PublicUrlId" IS 'from a public link to its stage; foreign key to PublicUrls';
$step$),

(7, '1.0', 'ddl', 'photos', $step$
CREATE TABLE {schema}."PhotoProcs" (
	"Id" uuid PRIMARY KEY,
	"AlbumTagId" uuid NOT NULL,
	"FileName" varchar NOT NULL,
	"ExternalId" varchar,
	"Status" int NOT NULL DEFAULT 0,
	"Voted" boolean NOT NULL DEFAULT false,
	"SortOrder" int NOT NULL DEFAULT 0,
	"ThumbnailUrl" varchar,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "UX_PhotoProcs_OrgId_Id" UNIQUE ("OrgId", "Id"),
	CONSTRAINT "FK_PhotoProcs_AlbumTags_AlbumTagId" FOREIGN KEY ("OrgId", "AlbumTagId")
		REFERENCES {schema}."AlbumTags" ("OrgId", "Id")
);
COMMENT ON TABLE {schema}."PhotoProcs" IS 'Photos, one row for each photo within a stage';
COMMENT ON INDEX {schema}."UX_PhotoProcs_OrgId_Id" IS 'target of the foreign keys of PhotoComments and PhotoLikes';
CREATE UNIQUE INDEX "UX_PhotoProcs_OrgId_AlbumTagId_ExternalId" ON {schema}."PhotoProcs" ("OrgId", "AlbumTagId", "ExternalId")
	WHERE NOT "IsDeleted";
COMMENT ON INDEX {schema}."UX_PhotoProcs_OrgId_AlbumTagId_ExternalId" IS 'a sync finds its photos by Drive file id; one live photo a file and stage';
CREATE INDEX "IX_PhotoProcs_OrgId_AlbumTagId_SortOrder" ON {schema}."PhotoProcs" ("OrgId", "AlbumTagId", "SortOrder");
COMMENT ON INDEX {schema}."IX_PhotoProcs_OrgId_AlbumTagId_SortOrder" IS 'a page of a stage''s photos in their order; foreign key to AlbumTags';
CREATE INDEX "IX_PhotoProcs_OrgId_AlbumTagId_Voted" ON {schema}."PhotoProcs" ("OrgId", "AlbumTagId")
	WHERE "Voted" AND NOT "IsDeleted";
COMMENT ON INDEX {schema}."IX_PhotoProcs_OrgId_AlbumTagId_Voted" IS 'the guard asks whether any photo is voted for; the list of voted photos';
$step$),

(8, '1.0', 'ddl', 'comments and likes', $step$
CREATE TABLE {schema}."PhotoComments" (
	"Id" uuid PRIMARY KEY,
	"PhotoProcId" uuid NOT NULL,
	"Content" text NOT NULL,
	"CreatedBy" uuid,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "FK_PhotoComments_PhotoProcs_PhotoProcId" FOREIGN KEY ("OrgId", "PhotoProcId")
		REFERENCES {schema}."PhotoProcs" ("OrgId", "Id")
);
CREATE INDEX "IX_PhotoComments_OrgId_PhotoProcId_CreatedAt" ON {schema}."PhotoComments" ("OrgId", "PhotoProcId", "CreatedAt");
COMMENT ON INDEX {schema}."IX_PhotoComments_OrgId_PhotoProcId_CreatedAt" IS 'the comments of a photo in their order; foreign key to PhotoProcs';
CREATE TABLE {schema}."PhotoLikes" (
	"Id" uuid PRIMARY KEY,
	"PhotoProcId" uuid NOT NULL,
	"UserId" uuid,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	CONSTRAINT "FK_PhotoLikes_PhotoProcs_PhotoProcId" FOREIGN KEY ("OrgId", "PhotoProcId")
		REFERENCES {schema}."PhotoProcs" ("OrgId", "Id")
);
CREATE INDEX "IX_PhotoLikes_OrgId_PhotoProcId" ON {schema}."PhotoLikes" ("OrgId", "PhotoProcId");
COMMENT ON INDEX {schema}."IX_PhotoLikes_OrgId_PhotoProcId" IS 'the likes of a photo; foreign key to PhotoProcs';
CREATE UNIQUE INDEX "UX_PhotoLikes_OrgId_PhotoProcId_UserId" ON {schema}."PhotoLikes" ("OrgId", "PhotoProcId", "UserId")
	WHERE NOT "IsDeleted";
COMMENT ON INDEX {schema}."UX_PhotoLikes_OrgId_PhotoProcId_UserId" IS 'a user likes a photo once';
$step$),

(9, '1.0', 'ddl', 'failure records', $step$
CREATE TABLE {schema}."FailureRecords" (
	"Id" uuid PRIMARY KEY,
	"EntityId" uuid NOT NULL,
	"EntityType" varchar NOT NULL,
	"FromState" varchar,
	"ToState" varchar,
	"ErrorMessage" text,
	"Severity" int NOT NULL DEFAULT 1,
	"RetryCount" int NOT NULL DEFAULT 0,
	"LastRetryAt" timestamptz,
	"Status" int NOT NULL DEFAULT 0,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE {schema}."FailureRecords" IS 'Rollbacks that failed, for recovery';
CREATE INDEX "IX_FailureRecords_OrgId_EntityType_EntityId" ON {schema}."FailureRecords" ("OrgId", "EntityType", "EntityId");
COMMENT ON INDEX {schema}."IX_FailureRecords_OrgId_EntityType_EntityId" IS 'the failures of one entity';
$step$),

(10, '1.0', 'ddl', 'audit log, partitioned by month', $step$
CREATE TABLE {schema}."AuditLogs" (
	"Id" uuid NOT NULL,
	"ServiceName" varchar,
	"Action" varchar,
	"EntityType" varchar,
	"EntityId" varchar,
	"UserId" varchar,
	"ExecutionTimeMs" bigint,
	"Status" varchar NOT NULL DEFAULT 'Success',
	"ErrorMessage" text,
	"RequestData" jsonb,
	"ResponseData" jsonb,
	"ProviderId" varchar,
	"RequestId" varchar,
	"CorrelationId" varchar,
	"Operation" varchar,
	"IpAddress" varchar,
	"UserAgent" varchar,
	"AdditionalData" jsonb,
	"StartedAt" timestamptz,
	"CompletedAt" timestamptz,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"OrgId" uuid NOT NULL,
	"IsDeleted" boolean NOT NULL DEFAULT false,
	PRIMARY KEY ("Id", "CreatedAt")
) PARTITION BY RANGE ("CreatedAt");
COMMENT ON TABLE {schema}."AuditLogs" IS 'Operations and activity; one partition a month (UTC)';
CREATE TABLE {schema}."AuditLogs_default" PARTITION OF {schema}."AuditLogs" DEFAULT;
COMMENT ON TABLE {schema}."AuditLogs_default" IS 'Takes rows of months that have no partition, so that none is refused';
SELECT photoflow.create_audit_partitions();
$step$),

(11, '1.0', 'ddl', 'history of album states', $step$
CREATE TABLE {schema}."AlbumTransitions" (
	"OrgId" uuid NOT NULL,
	"AlbumId" uuid NOT NULL,
	"Id" uuid NOT NULL,
	"WorkflowVersion" int NOT NULL,
	"FromState" int NOT NULL,
	"ToState" int NOT NULL,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"Trigger" varchar NOT NULL,
	"UserId" uuid,
	"Role" varchar,
	"Reason" text,
	"Args" jsonb,
	"Compensates" uuid,
	"FromVersion" int,
	PRIMARY KEY ("OrgId", "AlbumId", "Id")
);
COMMENT ON TABLE {schema}."AlbumTransitions" IS 'Every change of an album''s state, written by the database; "Id" is time-ordered. No foreign key: rows are written only from the album''s own row while it is locked';
COMMENT ON COLUMN {schema}."AlbumTransitions"."FromVersion" IS 'the workflow version before, where a migration changed it';
COMMENT ON INDEX {schema}."AlbumTransitions_pkey" IS 'the history of an album in its order; its newest transition';
$step$),

(12, '1.0', 'ddl', 'open listings of a photo sync', $step$
CREATE TABLE {schema}."PhotoSyncPages" (
	"OrgId" uuid NOT NULL,
	"AlbumTagId" uuid NOT NULL,
	"Id" uuid NOT NULL,
	"ExternalIds" varchar[] NOT NULL,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY ("OrgId", "AlbumTagId", "Id"),
	CONSTRAINT "FK_PhotoSyncPages_AlbumTags_AlbumTagId" FOREIGN KEY ("OrgId", "AlbumTagId")
		REFERENCES {schema}."AlbumTags" ("OrgId", "Id") ON DELETE CASCADE
);
COMMENT ON TABLE {schema}."PhotoSyncPages" IS 'What a listing that has not ended has named so far, one row a page; emptied when it ends';
COMMENT ON INDEX {schema}."PhotoSyncPages_pkey" IS 'the pages of a stage; foreign key to AlbumTags';
$step$),

(13, '1.0', 'ddl', 'workflow version 1', $step$
INSERT INTO {schema}."WorkflowVersions" ("Version", "Name", "IsCurrent", "Definition") VALUES (1, 'photoflow', true, $definition$
{"name": "photoflow",
 "states": [
  {"name": "Init", "value": 0, "initial": true, "description": "created, waiting for raw photos"},
  {"name": "Raw", "value": 1, "description": "raw photos uploaded and synced"},
  {"name": "Stock", "value": 2, "rating": true, "description": "photos processed, ready for client rating"},
  {"name": "Rate", "value": 3, "description": "client confirmed that rating is complete"},
  {"name": "RateSync", "value": 4, "description": "photographer syncs the rated photos"},
  {"name": "Retouch", "value": 5, "description": "photos being retouched"},
  {"name": "Feedback", "value": 6, "description": "client reviews retouched photos"},
  {"name": "Revision", "value": 7, "description": "client requested changes"},
  {"name": "Confirmed", "value": 8, "description": "client approved all photos"},
  {"name": "Finish", "value": 9, "description": "final state with approved photos"},
  {"name": "Closed", "value": 10, "description": "archived, completed"}],
 "tags": [
  {"name": "Raw", "value": 0}, {"name": "Stock", "value": 1}, {"name": "Rate", "value": 2},
  {"name": "Retouch", "value": 3}, {"name": "Final", "value": 4}],
 "policies": {
  "Photographer": ["photographer", "org_admin"],
  "Anonymous": ["anonymous", "photographer", "org_admin"],
  "Admin": ["org_admin"]},
 "superRoles": ["supper_admin", "super_admin"],
 "transitions": [
  {"trigger": "SyncRawTag", "from": "Init", "to": "Raw", "policy": "Photographer", "createTag": "Raw"},
  {"trigger": "SyncRawTag", "from": "Raw", "to": "Raw", "policy": "Photographer", "createTag": "Raw"},
  {"trigger": "SyncStockTag", "from": "Raw", "to": "Stock", "policy": "Photographer", "guards": ["photoflow.guard_raw_tag_ready"], "createTag": "Stock"},
  {"trigger": "SyncStockTag", "from": "Stock", "to": "Stock", "policy": "Photographer", "guards": ["photoflow.guard_raw_tag_ready"], "createTag": "Stock"},
  {"trigger": "Rate", "from": "Stock", "to": "Rate", "policy": "Anonymous", "guards": ["photoflow.guard_photo_voted"], "createTag": "Rate"},
  {"trigger": "Rate", "from": "Rate", "to": "RateSync", "policy": "Photographer"},
  {"trigger": "ConfirmRate", "from": "Rate", "to": "Retouch", "policy": "Photographer", "createTag": "Retouch"},
  {"trigger": "ConfirmRate", "from": "RateSync", "to": "Retouch", "policy": "Photographer", "createTag": "Retouch"},
  {"trigger": "FinishRetouch", "from": "Retouch", "to": "Feedback", "policy": "Photographer", "guards": ["photoflow.guard_retouch_tag_ready"]},
  {"trigger": "FinishRetouch", "from": "Revision", "to": "Feedback", "policy": "Photographer", "guards": ["photoflow.guard_retouch_tag_ready"]},
  {"trigger": "RequestRevision", "from": "Feedback", "to": "Revision", "policy": "Anonymous"},
  {"trigger": "ConfirmFeedback", "from": "Feedback", "to": "Confirmed", "policy": "Anonymous"},
  {"trigger": "Finish", "from": "Confirmed", "to": "Finish", "policy": "Photographer", "createTag": "Final"},
  {"trigger": "Close", "from": "Finish", "to": "Closed", "policy": "Admin", "archive": true}]}
$definition$);
$step$),

(14, '1.0', 'attach', 'ids made by uuid_v7()', $step$
ALTER TABLE {schema}."Organizations" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."Users" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."PublicUrls" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."Albums" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."AlbumTags" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."PhotoProcs" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."PhotoComments" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."PhotoLikes" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."FailureRecords" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."AuditLogs" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
ALTER TABLE {schema}."PhotoSyncPages" ALTER COLUMN "Id" SET DEFAULT photoflow.uuid_v7();
$step$),

(15, '1.0', 'attach', 'a row belongs to one organization', $step$
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."Users"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('Users');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."PublicUrls"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('PublicUrls');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."Albums"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('Albums');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."AlbumTags"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('AlbumTags', 'AlbumId', 'Albums', 'PublicUrlId', 'PublicUrls');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."PhotoProcs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('PhotoProcs', 'AlbumTagId', 'AlbumTags');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."PhotoComments"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('PhotoComments', 'PhotoProcId', 'PhotoProcs');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."PhotoLikes"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('PhotoLikes', 'PhotoProcId', 'PhotoProcs');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."FailureRecords"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('FailureRecords');
CREATE OR REPLACE TRIGGER "PhotoflowTenantFill" BEFORE INSERT ON {schema}."AuditLogs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('AuditLogs');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId" ON {schema}."Users"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId") EXECUTE FUNCTION photoflow.tenant_keep('Users');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId" ON {schema}."PublicUrls"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId") EXECUTE FUNCTION photoflow.tenant_keep('PublicUrls');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId" ON {schema}."Albums"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId") EXECUTE FUNCTION photoflow.tenant_keep('Albums');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId", "AlbumId", "PublicUrlId" ON {schema}."AlbumTags"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId" OR OLD."AlbumId" <> NEW."AlbumId" OR OLD."PublicUrlId" IS DISTINCT FROM NEW."PublicUrlId")
	EXECUTE FUNCTION photoflow.tenant_keep('AlbumTags', 'AlbumId', 'Albums', 'PublicUrlId', 'PublicUrls');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId", "AlbumTagId" ON {schema}."PhotoProcs"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId" OR OLD."AlbumTagId" <> NEW."AlbumTagId")
	EXECUTE FUNCTION photoflow.tenant_keep('PhotoProcs', 'AlbumTagId', 'AlbumTags');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId", "PhotoProcId" ON {schema}."PhotoComments"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId" OR OLD."PhotoProcId" <> NEW."PhotoProcId")
	EXECUTE FUNCTION photoflow.tenant_keep('PhotoComments', 'PhotoProcId', 'PhotoProcs');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId", "PhotoProcId" ON {schema}."PhotoLikes"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId" OR OLD."PhotoProcId" <> NEW."PhotoProcId")
	EXECUTE FUNCTION photoflow.tenant_keep('PhotoLikes', 'PhotoProcId', 'PhotoProcs');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId" ON {schema}."FailureRecords"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId") EXECUTE FUNCTION photoflow.tenant_keep('FailureRecords');
CREATE OR REPLACE TRIGGER "00_PhotoflowTenantKeep" AFTER UPDATE OF "OrgId" ON {schema}."AuditLogs"
	FOR EACH ROW WHEN (OLD."OrgId" <> NEW."OrgId") EXECUTE FUNCTION photoflow.tenant_keep('AuditLogs');
$step$),

(16, '1.0', 'attach', 'albums move only as the machine allows', $step$
CREATE OR REPLACE TRIGGER "PhotoflowInitialState" BEFORE INSERT ON {schema}."Albums"
	FOR EACH ROW EXECUTE FUNCTION photoflow.initial_state('Albums');
CREATE OR REPLACE TRIGGER "00_PhotoflowStateGuard" AFTER UPDATE OF "AlbumState", "WorkflowVersion" ON {schema}."Albums"
	FOR EACH ROW WHEN (photoflow.state_change_refused(OLD."AlbumState", NEW."AlbumState", NEW."WorkflowVersion"))
	EXECUTE FUNCTION photoflow.refuse_state_change('Albums');
CREATE OR REPLACE TRIGGER "00_PhotoflowTransitionCollect" AFTER UPDATE OF "AlbumState", "WorkflowVersion" ON {schema}."Albums"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_transition('Albums');
CREATE OR REPLACE TRIGGER "00_PhotoflowTransitionWrite" AFTER UPDATE OF "AlbumState", "WorkflowVersion" ON {schema}."Albums"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.write_transitions('Albums');
CREATE OR REPLACE TRIGGER "PhotoflowImmutable" BEFORE UPDATE OR DELETE ON {schema}."WorkflowVersions"
	FOR EACH ROW EXECUTE FUNCTION photoflow.keep_workflow();
CREATE OR REPLACE TRIGGER "PhotoflowImmutableAll" BEFORE TRUNCATE ON {schema}."WorkflowVersions"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.keep_workflow();
CREATE OR REPLACE TRIGGER "PhotoflowPublished" AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."WorkflowVersions"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.workflow_changed();
$step$);
