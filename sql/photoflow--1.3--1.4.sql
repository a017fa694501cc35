-- photoflow 1.4: the audit log and its analysis. Code only: no data table is named outside a step's text.
\echo Use "ALTER EXTENSION photoflow UPDATE TO '1.4'" to load this file. \quit

-- What the application reports

CREATE FUNCTION photoflow.log_operation(service_name text, action text, entity_type text DEFAULT NULL, entity_id text DEFAULT NULL, execution_time_ms bigint DEFAULT NULL, status text DEFAULT 'Success', error_message text DEFAULT NULL, request_data jsonb DEFAULT NULL, response_data jsonb DEFAULT NULL, operation text DEFAULT NULL, additional_data jsonb DEFAULT NULL, started_at timestamptz DEFAULT NULL, ip_address text DEFAULT NULL, user_agent text DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_log_operation';
REVOKE ALL ON FUNCTION photoflow.log_operation(text, text, text, text, bigint, text, text, jsonb, jsonb, text, jsonb, timestamptz, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.log_operation(text, text, text, text, bigint, text, text, jsonb, jsonb, text, jsonb, timestamptz, text, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.log_operation(text, text, text, text, bigint, text, text, jsonb, jsonb, text, jsonb, timestamptz, text, text) IS
'Writes an operation into the audit log, for the organization, user and request of the context, and returns its id. execution_time_ms: NULL and started_at given: worked out. Passwords and tokens in JSON and texts are masked. An operation that failed is reported in a transaction of its own: the one that failed is rolled back. Errors: PF010 no organization is set, 22004 no service or action, 22023 status is neither Success nor Failed, a negative time, 42501 no INSERT on "AuditLogs".';

CREATE FUNCTION photoflow.log_operations(entries jsonb)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_log_operations';
REVOKE ALL ON FUNCTION photoflow.log_operations(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.log_operations(jsonb) TO PUBLIC;
COMMENT ON FUNCTION photoflow.log_operations(jsonb) IS
'Writes a batch of operations: an array of objects with the arguments of log_operation() as keys. Returns how many. Errors: those of log_operation(), 22023 an unknown key or a value of another type (DETAIL has the index of the entry, from 0); then none is written.';

-- What changes in rows

CREATE FUNCTION photoflow.track(table_name regclass, ignored_columns name[] DEFAULT NULL, masked_columns name[] DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_track';
REVOKE ALL ON FUNCTION photoflow.track(regclass, name[], name[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.track(regclass, name[], name[]) TO @extowner@;
COMMENT ON FUNCTION photoflow.track(regclass, name[], name[]) IS
'Records from now on what changes in the rows of a table, as diffs in the audit log; of a partitioned table in all its partitions, of a parent in its children. A change of ignored columns alone is not recorded; of masked columns only that they changed. Columns named like passwords and tokens are always masked. Again: with other columns. Errors: 42501 not the owner of the table, 42809 no table, 42703 no such column, 22004 NULL, 22023 the audit log itself, a partition, a temporary table.';

CREATE FUNCTION photoflow.untrack(table_name regclass)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_untrack';
REVOKE ALL ON FUNCTION photoflow.untrack(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.untrack(regclass) TO @extowner@;
COMMENT ON FUNCTION photoflow.untrack(regclass) IS
'Records no more what changes in a table; what was recorded stays. Errors: 42501 not the owner of the table, 42809 no table.';

CREATE FUNCTION photoflow.record_changes()
	RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_record_changes';
REVOKE ALL ON FUNCTION photoflow.record_changes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.record_changes() TO @extowner@;
COMMENT ON FUNCTION photoflow.record_changes() IS
'Trigger function: writes changed rows into the audit log. track() puts it on tables.';

CREATE FUNCTION photoflow.keep_audit()
	RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_keep_audit';
REVOKE ALL ON FUNCTION photoflow.keep_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.keep_audit() TO PUBLIC;
COMMENT ON FUNCTION photoflow.keep_audit() IS
'Trigger function: nobody but the database writes "Changes", "TransactionId" and "DbUser" of the audit log. Errors: 42501.';

CREATE FUNCTION photoflow.keep_sealed()
	RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_keep_sealed';
REVOKE ALL ON FUNCTION photoflow.keep_sealed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.keep_sealed() TO @extowner@;
COMMENT ON FUNCTION photoflow.keep_sealed() IS
'Trigger function: a month of the audit log that is sealed takes no row any more. seal_partition() puts it there. Errors: 55000.';

CREATE VIEW photoflow.tracked_tables AS
	SELECT t.tgrelid::regclass AS table_name, CASE WHEN bool_or((t.tgtype & 29) = 29) THEN 'row' ELSE 'statement' END AS level,
		array(SELECT substr(a.argument, 8)::name FROM unnest(max(x.arguments)) a (argument) WHERE a.argument LIKE 'ignore:%') AS ignored_columns,
		array(SELECT substr(a.argument, 6)::name FROM unnest(max(x.arguments)) a (argument) WHERE a.argument LIKE 'mask:%') AS masked_columns,
		bool_and(t.tgenabled IN ('O', 'A')) AND (bool_or((t.tgtype & 29) = 29)
			OR NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE t.tgrelid IN (h.inhrelid, h.inhparent))) AS enabled
	FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		CROSS JOIN LATERAL (SELECT array(SELECT convert_from(decode(b.escaped, 'escape'), getdatabaseencoding())
			FROM unnest(string_to_array(encode(t.tgargs, 'escape'), '\000')) b (escaped))) x (arguments)
	WHERE n.nspname = 'photoflow' AND p.proname = 'record_changes' AND t.tgparentid = 0
	GROUP BY t.tgrelid;
REVOKE ALL ON photoflow.tracked_tables FROM PUBLIC;
GRANT SELECT ON photoflow.tracked_tables TO PUBLIC;
COMMENT ON VIEW photoflow.tracked_tables IS
'The tables whose changes are recorded: by row or by statement, what is ignored and what is masked beside passwords and tokens, and whether it is all recorded: not where a trigger is disabled, or a table by statement has become part of another; track() it, or the whole, again.';

-- Reports

CREATE FUNCTION photoflow.entity_timeline(entity_type text, entity_id text, since interval DEFAULT NULL, OUT created_at timestamptz, OUT action text, OUT user_id text, OUT role text, OUT changes jsonb, OUT service_name text, OUT status text, OUT execution_time_ms bigint, OUT error_message text, OUT request_id text, OUT correlation_id text, OUT transaction_id bigint, OUT id uuid)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_entity_timeline';
REVOKE ALL ON FUNCTION photoflow.entity_timeline(text, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.entity_timeline(text, text, interval) TO PUBLIC;
COMMENT ON FUNCTION photoflow.entity_timeline(text, text, interval) IS
'Returns what became of an entity, in its order: operations on it and changes of its row. entity_type: as it was reported; of a row Album, AlbumTag and so on, or the name of the tracked table. Errors: PF010 no organization is set, 22004 NULL, 22023 a negative since, 42501.';

CREATE FUNCTION photoflow.slow_operations(threshold_ms bigint DEFAULT 1000, since interval DEFAULT '1 day', max_rows int DEFAULT 50, OUT service text, OUT action text, OUT calls bigint, OUT mean_ms numeric, OUT p50_ms bigint, OUT p95_ms bigint, OUT p99_ms bigint, OUT max_ms bigint, OUT slow_calls bigint)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_slow_operations';
REVOKE ALL ON FUNCTION photoflow.slow_operations(bigint, interval, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.slow_operations(bigint, interval, int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.slow_operations(bigint, interval, int) IS
'Returns the operations that had a call of threshold_ms or more since then, with the times of all their calls in milliseconds; most slow calls first. Errors: PF010 no organization is set, 22004 NULL, 22023 a negative value, 42501.';

CREATE FUNCTION photoflow.failed_operations(since interval DEFAULT '1 day', max_rows int DEFAULT 50, OUT service text, OUT action text, OUT failures bigint, OUT calls bigint, OUT failure_rate numeric, OUT last_error text, OUT last_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_failed_operations';
REVOKE ALL ON FUNCTION photoflow.failed_operations(interval, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.failed_operations(interval, int) TO PUBLIC;
COMMENT ON FUNCTION photoflow.failed_operations(interval, int) IS
'Returns the operations that failed since then: how often, of how many calls, and the last error; most failures first. Errors: PF010 no organization is set, 22004 NULL, 22023 a negative value, 42501.';

CREATE FUNCTION photoflow.latency_histogram(service_name text DEFAULT NULL, action text DEFAULT NULL, since interval DEFAULT '1 day', OUT from_ms bigint, OUT below_ms bigint, OUT calls bigint, OUT share numeric, OUT bar text)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_latency_histogram';
REVOKE ALL ON FUNCTION photoflow.latency_histogram(text, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.latency_histogram(text, text, interval) TO PUBLIC;
COMMENT ON FUNCTION photoflow.latency_histogram(text, text, interval) IS
'Returns how many calls took how long since then, of a service, an action, or all (NULL): a row for each power of two, in milliseconds, with its share in percent and a bar for psql. Errors: PF010 no organization is set, 22004 NULL, 22023 a negative since, 42501.';

CREATE VIEW photoflow.slow_operations AS
	SELECT s.service, s.action, s.calls, s.mean_ms, s.p50_ms, s.p95_ms, s.p99_ms, s.max_ms, s.slow_calls FROM photoflow.slow_operations() s;
REVOKE ALL ON photoflow.slow_operations FROM PUBLIC;
GRANT SELECT ON photoflow.slow_operations TO PUBLIC;
COMMENT ON VIEW photoflow.slow_operations IS
'Operations of the last day that had a call of a second or more: slow_operations() with its defaults.';

CREATE VIEW photoflow.failed_operations AS
	SELECT f.service, f.action, f.failures, f.calls, f.failure_rate, f.last_error, f.last_at FROM photoflow.failed_operations() f;
REVOKE ALL ON photoflow.failed_operations FROM PUBLIC;
GRANT SELECT ON photoflow.failed_operations TO PUBLIC;
COMMENT ON VIEW photoflow.failed_operations IS
'Operations of the last day that failed: failed_operations() with its defaults.';

-- Months

CREATE PROCEDURE photoflow.maintain(months_ahead int DEFAULT 3, lock_timeout interval DEFAULT '2s')
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_maintain';
REVOKE ALL ON PROCEDURE photoflow.maintain(int, interval) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE photoflow.maintain(int, interval) TO @extowner@;
COMMENT ON PROCEDURE photoflow.maintain(int, interval) IS
'Makes the partitions of the audit log for months to come, gives rows of the default partition a partition of their month (within ten years of now), drops months that set_audit_retention() keeps no longer, but none with rows of an organization under legal hold, tells indexes of pages that are full, and adds up counts of failure records. Commits after each; what cannot get its lock within lock_timeout is left to the next call. Safe every minute. Errors: 2D000 in a transaction, 42501 not the owner of the tables, 22023 months_ahead not between 0 and 120.';

CREATE FUNCTION photoflow.set_audit_retention(keep_for interval)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_audit_retention';
REVOKE ALL ON FUNCTION photoflow.set_audit_retention(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_audit_retention(interval) TO @extowner@;
COMMENT ON FUNCTION photoflow.set_audit_retention(interval) IS
'Says how long a month of the audit log is kept after its end, NULL for ever (as at first); maintain() drops it then. Errors: 22023 a negative time, 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.seal_partition(partition regclass, OUT rows bigint, OUT digest text)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_seal_partition';
REVOKE ALL ON FUNCTION photoflow.seal_partition(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.seal_partition(regclass) TO @extowner@;
COMMENT ON FUNCTION photoflow.seal_partition(regclass) IS
'Seals a month of the audit log that is over: remembers the number of its rows and a SHA-256 of them, and returns both. Keep the digest elsewhere, too: who may write the tables of the log can seal anew. Waits until nobody writes the partition. Errors: 22023 no partition of "AuditLogs", or one that is not over, 55000 sealed already, 42501 not the owner of the tables, 25001 in REPEATABLE READ.';

CREATE FUNCTION photoflow.verify_partition(partition regclass, OUT ok boolean, OUT sealed_rows bigint, OUT found_rows bigint, OUT sealed_at timestamptz, OUT found_digest text)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_verify_partition';
REVOKE ALL ON FUNCTION photoflow.verify_partition(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.verify_partition(regclass) TO @extowner@;
COMMENT ON FUNCTION photoflow.verify_partition(regclass) IS
'Says whether a sealed month, also one that was detached, is as it was: no row changed, added, deleted or taken away. Errors: PF005 it was never sealed, 22023 no such partition, 42501 not the owner of the tables, 25001 in REPEATABLE READ.';

CREATE FUNCTION photoflow.list_audit_partitions(OUT partition regclass, OUT from_time timestamptz, OUT to_time timestamptz, OUT bytes bigint, OUT rows_estimate bigint, OUT sealed_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_audit_partitions';
REVOKE ALL ON FUNCTION photoflow.list_audit_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_audit_partitions() TO @extowner@;
COMMENT ON FUNCTION photoflow.list_audit_partitions() IS
'Returns the partitions of the audit log; no bounds: the default partition. Read it as the view photoflow.audit_partitions. Errors: 42501 not the owner of the tables.';

CREATE VIEW photoflow.audit_partitions AS
	SELECT p.partition, p.from_time, p.to_time, p.bytes, p.rows_estimate, p.sealed_at FROM photoflow.list_audit_partitions() p;
REVOKE ALL ON photoflow.audit_partitions FROM PUBLIC;
GRANT SELECT ON photoflow.audit_partitions TO @extowner@;
COMMENT ON VIEW photoflow.audit_partitions IS
'The months of the audit log with their size, and when they were sealed; no bounds: the default partition, which should be empty.';

-- Refusals

CREATE FUNCTION photoflow.list_refusals(OUT sqlstate text, OUT name text, OUT refusals bigint, OUT last_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_refusals';
REVOKE ALL ON FUNCTION photoflow.list_refusals() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_refusals() TO @extowner@;
COMMENT ON FUNCTION photoflow.list_refusals() IS
'Returns how often who was refused what in this database since the server was started, also where the transaction was rolled back; no row where photoflow is not in shared_preload_libraries. Read it as the view photoflow.refusals.';

CREATE FUNCTION photoflow.counts_refusals()
	RETURNS boolean
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_counts_refusals';
REVOKE ALL ON FUNCTION photoflow.counts_refusals() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.counts_refusals() TO PUBLIC;
COMMENT ON FUNCTION photoflow.counts_refusals() IS
'Returns whether refusals are counted: photoflow is in shared_preload_libraries.';

CREATE VIEW photoflow.refusals AS
	SELECT r.sqlstate, r.name, r.refusals, r.last_at FROM photoflow.list_refusals() r;
REVOKE ALL ON photoflow.refusals FROM PUBLIC;
GRANT SELECT ON photoflow.refusals TO @extowner@;
COMMENT ON VIEW photoflow.refusals IS
'Refusals of this database since the server was started, by SQLSTATE: wrong role, wrong organization, no organization, illegal change of state, invalid token, real delete.';

CREATE OR REPLACE FUNCTION photoflow.status()
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
			WHERE n.nspname = 'photoflow' AND t.tgparentid = 0 AND p.proname <> 'record_changes') t,
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
	FROM (SELECT concat_ws(', ', nullif(l.shared, ''), nullif(l.session, '')) FROM photoflow.preload_libraries() l) p (libraries)
	UNION ALL
	SELECT 'events', coalesce(current_setting('photoflow.events', true), 'notify'), true, NULL
	UNION ALL
	SELECT 'row-level security', format('%s of %s tables', t.protected, t.total), t.protected = t.total,
		CASE WHEN t.protected < t.total THEN 'CALL photoflow.migrate(); SELECT photoflow.attach();' END
	FROM (SELECT count(*) AS total, count(*) FILTER (WHERE c.relrowsecurity AND c.relforcerowsecurity
				AND EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'PhotoflowTenant')) AS protected
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN photoflow.installation i ON i.data_schema = n.nspname
			WHERE c.relkind IN ('r', 'p') AND (c.relname = 'Organizations' OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
				WHERE a.attrelid = c.oid AND a.attname = 'OrgId' AND NOT a.attisdropped))) t
	UNION ALL
	SELECT 'tenancy', CASE count(*) WHEN 0 THEN 'clean' WHEN 1 THEN '1 problem' ELSE count(*) || ' problems' END, count(*) = 0,
		CASE WHEN count(*) > 0 THEN 'SELECT * FROM photoflow.check_tenancy();' END
	FROM photoflow.check_tenancy()
	UNION ALL
	SELECT 'token', CASE WHEN k.tables THEN 'keys: ' || cardinality(k.ids) ELSE 'no keys yet' END || ', required of: ' || coalesce(s.names, 'nobody'),
		s.logins = 0 OR coalesce(cardinality(k.ids), 0) > 0,
		CASE WHEN s.logins > 0 AND coalesce(cardinality(k.ids), 0) = 0 THEN 'Nobody can authenticate: SELECT photoflow.set_token_key(key);'
			WHEN s.logins = 0 THEN 'Without a token a login works for whom it says: ALTER ROLE app SET photoflow.require_token = on;' END
	FROM (SELECT x.tables, CASE WHEN x.tables THEN photoflow.token_key_ids() END AS ids
			FROM (SELECT count(*) = 5 AS tables		-- with one of them missing, other rows say so
				FROM photoflow.installation i JOIN pg_catalog.pg_namespace n ON n.nspname = i.data_schema
					JOIN pg_catalog.pg_class a ON a.relnamespace = n.oid AND a.relname = 'Albums'
					JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relowner = a.relowner
				WHERE c.relname IN ('Albums', 'WorkflowVersions', 'AlbumTransitions', '__PhotoflowMigrations', '__PhotoflowSecrets')) x) k,
		(SELECT count(*) AS logins, string_agg(CASE r.setrole WHEN 0 THEN 'everybody' ELSE r.setrole::regrole::text END, ', ' ORDER BY r.setrole) AS names
			FROM pg_catalog.pg_db_role_setting r, unnest(r.setconfig) c
			WHERE r.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
				AND c ~* '^photoflow\.require_token=(on|t|tr|tru|true|y|ye|yes|1)$') s
	UNION ALL
	SELECT 'backup', coalesce(b.roles, 'superusers only'), b.roles IS NOT NULL OR me.rolsuper OR me.rolbypassrls,
		CASE WHEN b.roles IS NULL THEN
			'Policies hold the owner too, and pg_dump refuses then: CREATE ROLE backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO backup;' END
	FROM (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) AS roles FROM pg_catalog.pg_roles r
			WHERE r.rolbypassrls AND r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')) b,
		pg_catalog.pg_roles me WHERE me.rolname = current_user
	UNION ALL
	SELECT 'failure records', coalesce(string_agg(format('%s %s', f.records, f.status), ', ' ORDER BY f.status), 'none'),
		coalesce(sum(f.records) FILTER (WHERE f.status = 'abandoned'), 0) = 0,
		CASE WHEN sum(f.records) FILTER (WHERE f.status = 'abandoned') > 0 THEN
			'Some were given up: SELECT * FROM photoflow.failure_groups(''30 days''), then requeue_failures(fingerprint) or cancel_failures(fingerprint).' END
	FROM (SELECT s.status, sum(s.records) AS records
		FROM photoflow.list_failure_stats() s WHERE s.status <> 'resolved' AND s.records > 0 GROUP BY s.status) f
	UNION ALL
	SELECT 'audit log', format('%s months, to %s', count(*) FILTER (WHERE p.to_time IS NOT NULL), to_char(max(p.to_time) AT TIME ZONE 'UTC', 'YYYY-MM')),
		coalesce(max(p.to_time) > now() + interval '1 month', false) AND coalesce(sum(p.bytes) FILTER (WHERE p.to_time IS NULL), 0) = 0,
		CASE WHEN max(p.to_time) > now() + interval '1 month' THEN
				CASE WHEN sum(p.bytes) FILTER (WHERE p.to_time IS NULL) > 0 THEN 'The default partition has rows: CALL photoflow.maintain();' END
			ELSE 'Partitions run out: CALL photoflow.maintain(), best every hour from pg_cron.' END
	FROM photoflow.audit_partitions p
	UNION ALL
	SELECT 'tracked tables', coalesce(string_agg(t.table_name::text, ', ' ORDER BY t.table_name::text), 'none'), coalesce(bool_and(t.enabled), true),
		CASE WHEN NOT bool_and(t.enabled) THEN 'A trigger is disabled, or a table became a partition or a child: ALTER TABLE ... ENABLE TRIGGER, or track() it again.' END
	FROM photoflow.tracked_tables t
	UNION ALL
	SELECT 'refusals', CASE WHEN c.counted THEN coalesce(string_agg(format('%s %s', r.sqlstate, r.refusals), ', ' ORDER BY r.sqlstate), 'none')
			ELSE 'not counted' END, true,
		CASE WHEN NOT c.counted THEN 'To count them: shared_preload_libraries = ''photoflow''. The server''s log has each.' END
	FROM (SELECT photoflow.counts_refusals() AS counted) c LEFT JOIN photoflow.list_refusals() r ON true GROUP BY c.counted;
END;

-- Table steps. The log's new columns, the owner's tables, then what keeps "Changes" to the database.

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(89, '1.4', 'ddl', 'row changes in AuditLogs', $step$
ALTER TABLE {schema}."AuditLogs" ADD COLUMN "Changes" jsonb, ADD COLUMN "Role" varchar, ADD COLUMN "DbUser" varchar, ADD COLUMN "TransactionId" bigint;
ALTER TABLE {schema}."AuditLogs" ALTER COLUMN "Changes" SET STATISTICS 0, ALTER COLUMN "Role" SET STATISTICS 0, ALTER COLUMN "DbUser" SET STATISTICS 0;
COMMENT ON COLUMN {schema}."AuditLogs"."Changes" IS 'of a changed row: each column that changed with its old and new value; of a new or deleted one its values. Written by the database';
COMMENT ON COLUMN {schema}."AuditLogs"."DbUser" IS 'of a changed row: the login, where the context has no user';
COMMENT ON COLUMN {schema}."AuditLogs"."TransactionId" IS 'of a changed row: the transaction';
$step$),

(90, '1.4', 'ddl', 'seals of closed months of AuditLogs', $step$
CREATE TABLE {schema}."AuditSeals" (
	"Partition" text PRIMARY KEY,
	"FromTime" timestamptz NOT NULL,
	"ToTime" timestamptz NOT NULL,
	"Rows" bigint NOT NULL,
	"Digest" text NOT NULL,
	"SealedAt" timestamptz NOT NULL DEFAULT now(),
	"SealedBy" text NOT NULL
);
COMMENT ON TABLE {schema}."AuditSeals" IS 'What months of AuditLogs were when they were sealed';
COMMENT ON INDEX {schema}."AuditSeals_pkey" IS 'the seal of a partition';
$step$),

(91, '1.4', 'ddl', 'where in AuditLogs a time and an entity may be', $step$
CREATE INDEX "IX_AuditLogs_CreatedAt_EntityId" ON {schema}."AuditLogs" USING brin ("CreatedAt",
	"EntityId" pg_catalog.text_bloom_ops (n_distinct_per_range = 800, false_positive_rate = 0.001)) WITH (pages_per_range = 32);
COMMENT ON INDEX {schema}."IX_AuditLogs_CreatedAt_EntityId" IS 'which pages of AuditLogs may have rows of a time, or of an entity';
-- the first pages of an empty month have a summary, which each row would write anew
SELECT pg_catalog.brin_desummarize_range(i.indexrelid, 0) FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_index i ON i.indrelid = h.inhrelid
	JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam
	WHERE h.inhparent = $table${schema}."AuditLogs"$table$::pg_catalog.regclass AND m.amname = 'brin' AND pg_catalog.pg_relation_size(h.inhrelid) = 0;
$step$),

(92, '1.4', 'ddl', 'how long AuditLogs are kept', $step$
CREATE TABLE {schema}."AuditSettings" (
	"Id" boolean PRIMARY KEY DEFAULT true CHECK ("Id"),
	"KeepFor" interval,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}."AuditSettings" IS 'One row: how long a month of AuditLogs is kept after its end';
COMMENT ON INDEX {schema}."AuditSettings_pkey" IS 'one row';
$step$),

(93, '1.4', 'attach', 'only the database writes changes into AuditLogs', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowAuditKeep" BEFORE INSERT ON {schema}."AuditLogs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.keep_audit();
$step$);
