-- photoflow 1.3: failure records that are retried until they are recovered. Code only: no data table is named outside a step's text.
\echo Use "ALTER EXTENSION photoflow UPDATE TO '1.3'" to load this file. \quit

-- Recording, claiming, finishing

CREATE FUNCTION photoflow.record_failure(entity_type text, entity_id uuid, from_state text, to_state text, error_message text, severity text DEFAULT 'medium', org_id uuid DEFAULT NULL, max_retries int DEFAULT NULL, payload jsonb DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_record_failure';
REVOKE ALL ON FUNCTION photoflow.record_failure(text, uuid, text, text, text, text, uuid, int, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.record_failure(text, uuid, text, text, text, text, uuid, int, jsonb) TO PUBLIC;
COMMENT ON FUNCTION photoflow.record_failure(text, uuid, text, text, text, text, uuid, int, jsonb) IS
'Records a failure and returns its id. An open record of the same entity and transition is bumped instead: one more occurrence, the newest message, the higher severity. Call it in a transaction of its own: the one that failed is rolled back. severity: low, medium, high, critical. max_retries: NULL for the policy''s. org_id may be left out where a tenant is set, or where the entity is an album. Errors: PF005 another organization, PF010 no organization, 22023 an unknown severity, 22004 no entity.';

CREATE FUNCTION photoflow.claim_failures(worker text, batch_size int DEFAULT 10, lease interval DEFAULT NULL, entity_types text[] DEFAULT NULL, org_id uuid DEFAULT NULL, fair boolean DEFAULT true, OUT id uuid, OUT claim_token bigint, OUT entity_type text, OUT entity_id uuid, OUT from_state text, OUT to_state text, OUT error_message text, OUT severity text, OUT retry_count int, OUT payload jsonb, OUT lease_until timestamptz, OUT org_id uuid)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_claim_failures';
REVOKE ALL ON FUNCTION photoflow.claim_failures(text, int, interval, text[], uuid, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.claim_failures(text, int, interval, text[], uuid, boolean) TO PUBLIC;
COMMENT ON FUNCTION photoflow.claim_failures(text, int, interval, text[], uuid, boolean) IS
'Claims records that are due, and those whose lease has ended, for a worker: each for the time of the lease, with a token that proves it. Rows that others hold are skipped, never waited for. lease NULL: the policy''s of the entity type (5 minutes). fair: organizations that have due records take turns; false: the oldest first. A record whose retries are used up is abandoned instead. A tenant claims its own records; a worker (grant_worker) and the owner those of all organizations or of org_id. Errors: 22004, 22023 arguments, PF005 another organization, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.next_failure_due()
	RETURNS interval
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_next_failure_due';
REVOKE ALL ON FUNCTION photoflow.next_failure_due() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.next_failure_due() TO PUBLIC;
COMMENT ON FUNCTION photoflow.next_failure_due() IS
'Returns how long an idle poller may sleep until something may be claimable: 0 when something is, NULL when nothing waits. A record that comes meanwhile is told on channel photoflow_failures. Errors: PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.extend_lease(ids uuid[], claim_tokens bigint[], lease interval, OUT id uuid, OUT ok boolean)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_extend_lease';
REVOKE ALL ON FUNCTION photoflow.extend_lease(uuid[], bigint[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.extend_lease(uuid[], bigint[], interval) TO PUBLIC;
COMMENT ON FUNCTION photoflow.extend_lease(uuid[], bigint[], interval) IS
'Lets leases end lease from now, never earlier than they would: one row for each id, in their order; ok is false where the claim is lost. Errors: 22004 NULL, 22023 arrays of different length, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.resolve_failures(ids uuid[], claim_tokens bigint[], OUT id uuid, OUT ok boolean, OUT why_not text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_resolve_failures';
REVOKE ALL ON FUNCTION photoflow.resolve_failures(uuid[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.resolve_failures(uuid[], bigint[]) TO PUBLIC;
COMMENT ON FUNCTION photoflow.resolve_failures(uuid[], bigint[]) IS
'Resolves claimed records: one row for each id, in their order. why_not begins with a SQLSTATE: PF030 the claim is lost or completed, PF005 no such record, PF021 deleted; the others go through. Errors: 22004 NULL, 22023 arrays of different length, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.reschedule_failures(ids uuid[], claim_tokens bigint[], errors text[], retry_after interval DEFAULT NULL, OUT id uuid, OUT ok boolean, OUT status text, OUT next_retry_at timestamptz, OUT why_not text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_reschedule_failures';
REVOKE ALL ON FUNCTION photoflow.reschedule_failures(uuid[], bigint[], text[], interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.reschedule_failures(uuid[], bigint[], text[], interval) TO PUBLIC;
COMMENT ON FUNCTION photoflow.reschedule_failures(uuid[], bigint[], text[], interval) IS
'Ends attempts that failed: the record waits for its next retry, retry_after from now or after a random part of min(cap, base * 2^(retries-1)), or is abandoned when its retries are used up. errors: one message for each id, NULL for none. One row for each id, in their order; why_not as in resolve_failures(). Errors: 22004 NULL, 22023 arrays of different length or a negative retry_after, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.snooze_failures(ids uuid[], claim_tokens bigint[], until timestamptz, OUT id uuid, OUT ok boolean)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_snooze_failures';
REVOKE ALL ON FUNCTION photoflow.snooze_failures(uuid[], bigint[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.snooze_failures(uuid[], bigint[], timestamptz) TO PUBLIC;
COMMENT ON FUNCTION photoflow.snooze_failures(uuid[], bigint[], timestamptz) IS
'Puts claimed records back until a time, without using up a retry: one row for each id, in their order; ok is false where the claim is lost. Errors: 22004 NULL, 22023 arrays of different length, PF010 neither tenant nor worker.';

-- What people do with them

CREATE FUNCTION photoflow.abandon_failures(ids uuid[], reason text DEFAULT NULL)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_abandon_failures';
REVOKE ALL ON FUNCTION photoflow.abandon_failures(uuid[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.abandon_failures(uuid[], text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.abandon_failures(uuid[], text) IS
'Gives up on open records; who holds one finds his claim lost. reason becomes their message. Returns how many; records in another status are left. Errors: PF005 ids that are not there (DETAIL names them), PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.abandon_failures(fingerprint text, reason text DEFAULT NULL)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_abandon_failures_like';
REVOKE ALL ON FUNCTION photoflow.abandon_failures(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.abandon_failures(text, text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.abandon_failures(text, text) IS
'Gives up on open records: all that have this fingerprint (failure_groups). reason becomes their message. Returns how many. Errors: 22023 an array, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.requeue_failures(ids uuid[])
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_requeue_failures';
REVOKE ALL ON FUNCTION photoflow.requeue_failures(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.requeue_failures(uuid[]) TO PUBLIC;
COMMENT ON FUNCTION photoflow.requeue_failures(uuid[]) IS
'Makes waiting, abandoned and cancelled records due now, with all their retries; one that somebody holds is left. One of which there is an open record of the same failure by now is left. Returns how many; records in another status are left. Errors: PF005 ids that are not there (DETAIL names them), PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.requeue_failures(fingerprint text)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_requeue_failures_like';
REVOKE ALL ON FUNCTION photoflow.requeue_failures(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.requeue_failures(text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.requeue_failures(text) IS
'Makes waiting, abandoned and cancelled records due now, with all their retries: all that have this fingerprint (failure_groups). One of which there is an open record of the same failure by now is left. Returns how many. Errors: 22023 an array, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.cancel_failures(ids uuid[])
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_cancel_failures';
REVOKE ALL ON FUNCTION photoflow.cancel_failures(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.cancel_failures(uuid[]) TO PUBLIC;
COMMENT ON FUNCTION photoflow.cancel_failures(uuid[]) IS
'Cancels open and abandoned records; who holds one finds his claim lost. Returns how many; records in another status are left. Errors: PF005 ids that are not there (DETAIL names them), PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.cancel_failures(fingerprint text)
	RETURNS int
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_cancel_failures_like';
REVOKE ALL ON FUNCTION photoflow.cancel_failures(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.cancel_failures(text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.cancel_failures(text) IS
'Cancels open and abandoned records: all that have this fingerprint (failure_groups). Returns how many. Errors: 22023 an array, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.recover(failure_id uuid)
	RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_recover';
REVOKE ALL ON FUNCTION photoflow.recover(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.recover(uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.recover(uuid) IS
'Takes the album of a failure record back to the record''s FromState, by the machine''s rules, and resolves the record. Returns recovered, already in <state>, already resolved, or not recovered: and why; then nothing has changed. A worker acts for the database (any role); an application in its own role. Errors: PF004 somebody has finished the record meanwhile, PF005 no such record, PF010 neither tenant nor worker.';

-- Reports

CREATE FUNCTION photoflow.failure_attempts(failure_id uuid, OUT attempt bigint, OUT worker text, OUT started_at timestamptz, OUT finished_at timestamptz, OUT outcome text, OUT error_message text)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_failure_attempts';
REVOKE ALL ON FUNCTION photoflow.failure_attempts(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.failure_attempts(uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.failure_attempts(uuid) IS
'Returns the attempts at a record in their order. outcome: running, resolved, failed, snoozed, expired (the lease ended), abandoned, cancelled. Errors: PF005 no such record, PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.failure_groups(since interval DEFAULT '1 day', OUT fingerprint text, OUT sample text, OUT count bigint, OUT first_seen timestamptz, OUT last_seen timestamptz, OUT next_retry_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_failure_groups';
REVOKE ALL ON FUNCTION photoflow.failure_groups(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.failure_groups(interval) TO PUBLIC;
COMMENT ON FUNCTION photoflow.failure_groups(interval) IS
'Returns the failures seen since then by their error: its fingerprint, the newest message, how many records, when first and last seen, when the next is retried (NULL: none is open). Most records first. Errors: PF010 neither tenant nor worker.';

CREATE FUNCTION photoflow.list_failure_stats(OUT org_id uuid, OUT status text, OUT severity text, OUT records bigint)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_failure_stats';
REVOKE ALL ON FUNCTION photoflow.list_failure_stats() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_failure_stats() TO PUBLIC;
COMMENT ON FUNCTION photoflow.list_failure_stats() IS
'Returns how many records there are by status and severity, from counts that are kept with every change: of the organization that is set, to the owner and to workers of all. Read it as the view photoflow.failure_stats. Errors: PF010 neither tenant nor worker.';

CREATE VIEW photoflow.failure_stats AS
	SELECT s.org_id, s.status, s.severity, s.records FROM photoflow.list_failure_stats() s;
REVOKE ALL ON photoflow.failure_stats FROM PUBLIC;
GRANT SELECT ON photoflow.failure_stats TO PUBLIC;
COMMENT ON VIEW photoflow.failure_stats IS
'How many failure records there are, by organization, status and severity; deleted ones are not counted.';

CREATE FUNCTION photoflow.recount_failures()
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_recount_failures';
REVOKE ALL ON FUNCTION photoflow.recount_failures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.recount_failures() TO @extowner@;
COMMENT ON FUNCTION photoflow.recount_failures() IS
'Counts anew what failure_stats shows, from the records; returns how many there are. Needed only after rows were loaded or changed past the triggers. Errors: 42501 not the owner of the tables.';

-- Settings and privileges

CREATE FUNCTION photoflow.set_failure_policy(entity_type text, base interval DEFAULT NULL, cap interval DEFAULT NULL, max_retries int DEFAULT NULL, lease interval DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_failure_policy';
REVOKE ALL ON FUNCTION photoflow.set_failure_policy(text, interval, interval, int, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_failure_policy(text, interval, interval, int, interval) TO @extowner@;
COMMENT ON FUNCTION photoflow.set_failure_policy(text, interval, interval, int, interval) IS
'Says how failures of an entity type are retried; what is NULL is as usual (base 30 s, cap 1 hour, 10 retries, lease 5 minutes), all NULL ends the policy. Errors: 22023 a negative value or an empty lease, 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.list_failure_policies(OUT entity_type text, OUT base interval, OUT cap interval, OUT max_retries int, OUT lease interval)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_failure_policies';
REVOKE ALL ON FUNCTION photoflow.list_failure_policies() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_failure_policies() TO PUBLIC;
COMMENT ON FUNCTION photoflow.list_failure_policies() IS
'Returns the policies of set_failure_policy() with what they leave as usual, and the usual ones with entity type *. Read it as the view photoflow.failure_policies.';

CREATE VIEW photoflow.failure_policies AS
	SELECT p.entity_type, p.base, p.cap, p.max_retries, p.lease FROM photoflow.list_failure_policies() p;
REVOKE ALL ON photoflow.failure_policies FROM PUBLIC;
GRANT SELECT ON photoflow.failure_policies TO PUBLIC;
COMMENT ON VIEW photoflow.failure_policies IS
'How failures are retried, by entity type; * is what holds for all others.';

CREATE FUNCTION photoflow.grant_worker(worker_role regrole)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_grant_worker';
REVOKE ALL ON FUNCTION photoflow.grant_worker(regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.grant_worker(regrole) TO @extowner@;
COMMENT ON FUNCTION photoflow.grant_worker(regrole) IS
'Lets a login work on the failure records of every organization, by the failure functions alone: it needs and gets no privilege on a table. Called by a superuser it also lets the sessions of the role load photoflow at their start. Errors: 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.revoke_worker(worker_role regrole)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_revoke_worker';
REVOKE ALL ON FUNCTION photoflow.revoke_worker(regrole) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.revoke_worker(regrole) TO @extowner@;
COMMENT ON FUNCTION photoflow.revoke_worker(regrole) IS
'Takes back what grant_worker() gave. Errors: 42501 not the owner of the tables.';

CREATE FUNCTION photoflow.failure_worker()
	RETURNS boolean
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_failure_worker';
REVOKE ALL ON FUNCTION photoflow.failure_worker() FROM PUBLIC;
-- with grant option: a superuser may own the function where the owner of the extension restores a dump, which grants it again to workers
GRANT EXECUTE ON FUNCTION photoflow.failure_worker() TO @extowner@ WITH GRANT OPTION;
COMMENT ON FUNCTION photoflow.failure_worker() IS
'Returns true. Who may execute it is a retry worker: see grant_worker().';

CREATE FUNCTION photoflow.retry_delay(retry int, base interval, cap interval, fraction double precision)
	RETURNS interval
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_retry_delay';
REVOKE ALL ON FUNCTION photoflow.retry_delay(int, interval, interval, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.retry_delay(int, interval, interval, double precision) TO PUBLIC;
COMMENT ON FUNCTION photoflow.retry_delay(int, interval, interval, double precision) IS
'Returns the delay before a retry: fraction (0 to 1, random) of min(cap, base * 2^(retry-1)). Errors: 22023 a fraction outside of it, a negative interval.';

CREATE FUNCTION photoflow.normalise_error(message text)
	RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_normalise_error';
REVOKE ALL ON FUNCTION photoflow.normalise_error(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.normalise_error(text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.normalise_error(text) IS
'Returns an error message without what differs from one time to the next: numbers, ids, quoted names, paths, spacing; its first 2,000 bytes.';

CREATE FUNCTION photoflow.error_fingerprint(message text)
	RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_error_fingerprint';
REVOKE ALL ON FUNCTION photoflow.error_fingerprint(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.error_fingerprint(text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.error_fingerprint(text) IS
'Returns 16 hexadecimal digits, the same for messages that normalise_error() makes equal.';

CREATE FUNCTION photoflow.queue_failures(batch_size int)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_queue_failures';
REVOKE ALL ON FUNCTION photoflow.queue_failures(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.queue_failures(int) TO @extowner@;
COMMENT ON FUNCTION photoflow.queue_failures(int) IS
'Gives open records of before 1.3, or loaded past the triggers, their place in the queue and their fingerprint, at most batch_size of them; a record in progress without a lease is claimable again when the policy''s lease has ended. Returns how many; NULL changes none and returns how many there are. Errors: 42501 not the owner of the tables.';

-- Triggers

CREATE FUNCTION photoflow.keep_failure()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_keep_failure';
REVOKE ALL ON FUNCTION photoflow.keep_failure() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.keep_failure() TO PUBLIC;
COMMENT ON FUNCTION photoflow.keep_failure() IS
'Trigger. BEFORE INSERT OR UPDATE FOR EACH ROW: lets a failure record change its status only as it may (PF006), and keeps what goes with it: retries, lease, token, fingerprint, its place in the queue. Refuses to have those written by a statement (27000).';

CREATE FUNCTION photoflow.count_failure()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_count_failure';
REVOKE ALL ON FUNCTION photoflow.count_failure() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.count_failure() TO PUBLIC;
COMMENT ON FUNCTION photoflow.count_failure() IS
'Trigger. AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW: keeps the counts of failure_stats, and tells channel photoflow_failures of what is claimable now.';

CREATE FUNCTION photoflow.forget_failures()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_forget_failures';
REVOKE ALL ON FUNCTION photoflow.forget_failures() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.forget_failures() TO PUBLIC;
COMMENT ON FUNCTION photoflow.forget_failures() IS
'Trigger. AFTER TRUNCATE FOR EACH STATEMENT: empties counts and attempts.';

CREATE FUNCTION photoflow.failure_policies_changed()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_failure_policies_changed';
REVOKE ALL ON FUNCTION photoflow.failure_policies_changed() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.failure_policies_changed() TO PUBLIC;
COMMENT ON FUNCTION photoflow.failure_policies_changed() IS
'Trigger. AFTER any change of FailurePolicies: tells every session to forget what it read.';

-- What the linter knows of the queue, and what a DBA sees

CREATE OR REPLACE FUNCTION photoflow.check_tenancy()
	RETURNS TABLE (severity text, object text, problem text, fix text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH RECURSIVE tenant AS (		-- tables whose rows belong to an organization, and their partitions
		SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relowner, c.relacl, c.relispartition, c.relrowsecurity, c.relforcerowsecurity,
			format('(%I = photoflow.current_org())', CASE WHEN c.relname = 'Organizations' THEN 'Id' ELSE 'OrgId' END) AS expression
		FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema JOIN pg_class c ON c.relnamespace = n.oid
		WHERE c.relkind IN ('r', 'p') AND (c.relname = 'Organizations' OR EXISTS (SELECT FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attname = 'OrgId' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped))
	), secret AS (
		SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relowner, a.relowner AS owner, c.relacl, c.relrowsecurity AND c.relforcerowsecurity AS closed
		FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema JOIN pg_class c ON c.relnamespace = n.oid
			JOIN pg_class a ON a.relnamespace = n.oid AND a.relname = 'Albums'
		WHERE c.relname = '__PhotoflowSecrets'
	), granted AS (		-- what others than the owner may do with them
		SELECT t.oid, t.name, t.relispartition, a.grantee, a.privilege_type, t.relowner
		FROM tenant t CROSS JOIN LATERAL (
			SELECT x.grantee, x.privilege_type FROM aclexplode(t.relacl) x
			UNION SELECT x.grantee, x.privilege_type FROM pg_attribute k CROSS JOIN LATERAL aclexplode(k.attacl) x WHERE k.attrelid = t.oid) a
		WHERE a.grantee <> t.relowner
	), app (member) AS (		-- roles with such a grant, and who has it through them
		SELECT g.grantee FROM granted g WHERE g.grantee <> 0
		UNION SELECT m.member FROM app JOIN pg_auth_members m ON m.roleid = app.member
	), login AS (
		SELECT r.oid, r.rolname, r.oid::regrole AS role, r.rolsuper, r.rolbypassrls, r.oid IN (SELECT app.member FROM app) AS is_app
		FROM pg_roles r WHERE r.rolcanlogin
	), policy AS (
		SELECT p.oid, t.name, p.polname, p.polpermissive, p.polqual::text || coalesce(p.polwithcheck::text, '') AS tree,
			p.polcmd = '*' AND p.polroles = '{0}' AND p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) = t.expression
				AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), t.expression) = t.expression AS ours, t.oid AS relid,
			coalesce(pg_get_expr(p.polqual, p.polrelid), t.expression) = t.expression
				AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), t.expression) = t.expression AS same
		FROM pg_policy p JOIN tenant t ON t.oid = p.polrelid
	), reader AS (		-- views over them, and over such views
		SELECT t.oid FROM tenant t
		UNION SELECT r.ev_class FROM reader JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reader.oid
				AND d.classid = 'pg_rewrite'::regclass JOIN pg_rewrite r ON r.oid = d.objid
	), key AS (
		SELECT i.indexrelid, i.indrelid, i.indisprimary, t.name, c.conname, x.relname AS index_name, n.nspname,
			array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (number, o)
				LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
				WHERE k.o <= i.indnkeyatts ORDER BY k.o) AS columns
		FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
			LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u') AND c.conrelid = i.indrelid
		WHERE i.indisunique AND NOT t.relispartition AND t.relname <> 'Organizations'
	), reference AS (
		SELECT c.oid, c.conname, c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent, ct.oid IS NOT NULL AS child_is_tenant,
			array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, o)
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.o) AS child_columns,
			array(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, o)
				JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.o) AS parent_columns
		FROM pg_constraint c JOIN tenant p ON p.oid = c.confrelid LEFT JOIN tenant ct ON ct.oid = c.conrelid
		WHERE c.contype = 'f' AND c.conparentid = 0 AND p.relname <> 'Organizations' AND NOT p.relispartition
	), definer AS (
		SELECT p.oid::regprocedure AS function, n.nspname, p.proconfig, r.rolsuper OR r.rolbypassrls AS bypasses, r.rolname
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
		WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	)
	SELECT 'error', t.name, 'row-level security is off', format('SELECT photoflow.protect_table(%L);', t.name)
	FROM tenant t WHERE NOT t.relrowsecurity
	UNION ALL
	SELECT 'error', t.name, 'row-level security is not forced on the owner', format('ALTER TABLE %s FORCE ROW LEVEL SECURITY;', t.name)
	FROM tenant t WHERE t.relrowsecurity AND NOT t.relforcerowsecurity
	UNION ALL
	SELECT 'error', t.name, 'policy "PhotoflowTenant" is missing or is not as photoflow made it', format('SELECT photoflow.protect_table(%L);', t.name)
	FROM tenant t WHERE t.relrowsecurity AND NOT EXISTS (SELECT FROM policy p WHERE p.relid = t.oid AND p.polname = 'PhotoflowTenant' AND p.ours)
	UNION ALL
	SELECT 'error', p.name, format('permissive policy %I adds to what an organization sees', p.polname), format('DROP POLICY %I ON %s;', p.polname, p.name)
	FROM policy p WHERE p.polpermissive AND p.polname <> 'PhotoflowTenant' AND NOT p.same
	UNION ALL
	SELECT 'warning', p.name, format('policy %I calls %s, which is VOLATILE: no index serves it, and every row pays', p.polname, f.oid::regprocedure),
		format('ALTER FUNCTION %s STABLE;', f.oid::regprocedure)
	FROM policy p JOIN pg_proc f ON f.provolatile = 'v' AND f.oid::text IN (SELECT m[1] FROM regexp_matches(p.tree, ':(?:func|opfunc)id (\d+)', 'g') m)
	UNION ALL
	SELECT 'error', l.rolname::text, 'a superuser, and a login of an application', format('ALTER ROLE %s NOSUPERUSER;', l.role)
	FROM login l WHERE l.rolsuper AND l.is_app
	UNION ALL
	SELECT 'error', l.rolname::text, 'bypasses row-level security and may read or write rows of every organization', format('ALTER ROLE %s NOBYPASSRLS;', l.role)
	FROM login l WHERE l.rolbypassrls AND NOT l.rolsuper AND EXISTS (SELECT FROM tenant t
		WHERE has_any_column_privilege(l.oid, t.oid, 'INSERT, UPDATE') OR has_table_privilege(l.oid, t.oid, 'DELETE')
			OR has_any_column_privilege(l.oid, t.oid, 'SELECT') AND NOT pg_has_role(l.oid, 'pg_read_all_data', 'USAGE'))
	UNION ALL
	SELECT 'error', l.rolname::text, format('a login of an application that may become %s, whom policies do not hold', r.oid::regrole), format('REVOKE %s FROM %s;', r.oid::regrole, l.role)
	FROM login l JOIN pg_roles r ON r.oid <> l.oid AND pg_has_role(l.oid, r.oid, 'MEMBER')
	WHERE l.is_app AND NOT l.rolsuper AND (r.rolsuper OR r.rolbypassrls OR r.oid IN (SELECT t.relowner FROM tenant t)
		OR r.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))
	UNION ALL
	SELECT DISTINCT 'warning', g.name, 'a grant to PUBLIC: every login is one of an application', format('REVOKE ALL ON TABLE %s FROM PUBLIC;', g.name)
	FROM granted g WHERE g.grantee = 0 AND NOT g.relispartition
	UNION ALL
	SELECT 'warning', l.rolname::text, 'its sessions do not load photoflow at their start: settings go unchecked and log lines unredacted until they do',
		photoflow.preload_statement(l.role) || ';'
	FROM login l WHERE l.is_app AND NOT l.rolsuper AND photoflow.preload_statement(l.role) IS NOT NULL
	UNION ALL
	SELECT 'error', g.name, format('a grant on a partition, to %s', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END),
		format('REVOKE ALL ON TABLE %s FROM %s;', g.name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
	FROM granted g WHERE g.relispartition GROUP BY g.name, g.grantee
	UNION ALL
	SELECT 'error', g.name, format('%s may %s, which knows no policies', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type),
		format('REVOKE %s ON TABLE %s FROM %s;', g.privilege_type, g.name, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
	FROM granted g WHERE NOT g.relispartition AND g.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES')
	UNION ALL
	SELECT 'error', s.name, format('a grant on the secrets, to %s', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
		format('REVOKE ALL ON TABLE %s FROM %s;', s.name, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END)
	FROM secret s CROSS JOIN LATERAL (SELECT DISTINCT a.grantee FROM aclexplode(s.relacl) a WHERE a.grantee <> s.relowner) x
	UNION ALL
	SELECT 'error', s.name, 'row-level security is off or not forced', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;', s.name)
	FROM secret s WHERE NOT s.closed AND s.relkind = 'r'
	UNION ALL
	SELECT 'error', s.name, 'the secrets are not a table of the owner of the data tables: photoflow does not read them',
		CASE s.relkind WHEN 'r' THEN format('ALTER TABLE %s OWNER TO %s;', s.name, s.owner::regrole) ELSE '-- rename it, and restore the table' END
	FROM secret s WHERE s.relkind <> 'r' OR s.relowner <> s.owner
	UNION ALL
	SELECT 'error', s.name, format('policy %I lets secrets be read', p.polname), format('DROP POLICY %I ON %s;', p.polname, s.name)
	FROM secret s JOIN pg_policy p ON p.polrelid = s.oid
	UNION ALL
	SELECT 'error', r.child, format('foreign key %I to %s does not include the organization: a row may hang on another''s', r.conname, r.parent),
		-- the check of what is there sees nothing where policies are forced on who checks
		CASE WHEN NOT r.child_is_tenant THEN format('ALTER TABLE %s DROP CONSTRAINT %I;', r.child, r.conname)
			ELSE format('ALTER TABLE %1$s NO FORCE ROW LEVEL SECURITY; ALTER TABLE %2$s NO FORCE ROW LEVEL SECURITY; ALTER TABLE %1$s DROP CONSTRAINT %3$I, '
				'ADD CONSTRAINT %3$I FOREIGN KEY ("OrgId", %4$s) REFERENCES %2$s ("OrgId", %5$s) NOT VALID; ALTER TABLE %1$s VALIDATE CONSTRAINT %3$I; '
				'ALTER TABLE %1$s FORCE ROW LEVEL SECURITY; ALTER TABLE %2$s FORCE ROW LEVEL SECURITY;', r.child, r.parent, r.conname,
				(SELECT string_agg(quote_ident(k), ', ') FROM unnest(r.child_columns) k), (SELECT string_agg(quote_ident(k), ', ') FROM unnest(r.parent_columns) k)) END
	FROM reference r WHERE NOT EXISTS (SELECT FROM unnest(r.child_columns, r.parent_columns) k (child, parent) WHERE k.child = 'OrgId' AND k.parent = 'OrgId')
	UNION ALL
	SELECT 'error', k.name, format('unique key %I does not include the organization: it tells of another''s values', k.index_name),
		CASE WHEN k.conname IS NOT NULL THEN format('ALTER TABLE %s DROP CONSTRAINT %I; ', k.name, k.conname)
			ELSE format('DROP INDEX %I.%I; ', k.nspname, k.index_name) END
			|| regexp_replace(pg_get_indexdef(k.indexrelid), '( USING \w+ \()', '\1"OrgId", ') || ';'
	FROM key k WHERE NOT coalesce('OrgId' = ANY (k.columns), false) AND NOT (k.indisprimary AND k.columns[1] = 'Id')
	UNION ALL
	SELECT 'warning', t.name, format('index %I is not led by the organization: EXPLAIN ANALYZE tells how many of others'' rows lie in a range of it', x.relname),
		CASE x.relname WHEN 'IX_PublicUrls_Url' THEN '-- create the index that photoflow.migration_plan() lists, then CALL photoflow.migrate();'
			ELSE format('DROP INDEX %I.%I; ', n.nspname, x.relname) || regexp_replace(pg_get_indexdef(i.indexrelid), '( USING \w+ \()', '\1"OrgId", ') || ';' END
	FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
		JOIN pg_am m ON m.oid = x.relam LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE m.amname = 'btree' AND NOT i.indisunique AND NOT t.relispartition AND t.relname <> 'Organizations' AND a.attname IS DISTINCT FROM 'OrgId'
		-- no condition on an expression that is not leakproof goes ahead of a policy
		AND pg_get_indexdef(i.indexrelid, 1, true) <> 'timezone(''UTC''::text, "NextRetryAt")'
	UNION ALL
	SELECT 'warning', r.oid::regrole::text, 'a login with rights on the tables may also work on the failure records of every organization',
		format('SELECT photoflow.revoke_worker(%L);', r.oid::regrole)
	FROM pg_roles r WHERE r.oid IN (SELECT a.member FROM app a) AND NOT r.rolsuper
		AND has_function_privilege(r.oid, 'photoflow.failure_worker()', 'EXECUTE')
		AND NOT EXISTS (SELECT FROM tenant t WHERE pg_has_role(r.oid, t.relowner, 'USAGE'))
	UNION ALL
	SELECT 'warning', t.name, format('there are statistics of %s: EXPLAIN tells of others'' values', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)),
		format('ALTER TABLE %s %s;', t.name, string_agg(format('ALTER COLUMN %I SET STATISTICS 0', a.attname), ', ' ORDER BY a.attnum))
	FROM tenant t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type y ON y.oid = a.atttypid
	WHERE a.attstattarget IS DISTINCT FROM 0 AND (y.typcategory = 'S' OR a.atttypid IN ('jsonb'::regtype, 'json'::regtype, 'bytea'::regtype))
	GROUP BY t.name
	UNION ALL
	SELECT 'warning', t.name, format('an expression of index %I has statistics: EXPLAIN tells of others'' values', x.relname),
		format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS 0;', n.nspname, x.relname, a.attnum)
	FROM pg_index i JOIN tenant t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
		JOIN pg_attribute a ON a.attrelid = i.indexrelid AND i.indkey[a.attnum - 1] = 0 AND a.attnum <= i.indnkeyatts
		JOIN pg_attribute k ON k.attrelid = t.oid AND k.attname = 'OrgId' AND k.attnum = ANY (i.indkey::int2[])
	WHERE a.attstattarget IS DISTINCT FROM 0
	UNION ALL
	SELECT 'warning', t.name, format('statistics of column %I are still there from before: EXPLAIN tells of others'' values', a.attname),
		format('DELETE FROM pg_statistic WHERE starelid = %L::regclass AND staattnum = %s;', t.name, a.attnum)
	FROM tenant t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND a.attstattarget = 0
		JOIN photoflow.installation i ON true JOIN pg_stats s ON s.schemaname = i.data_schema AND s.tablename = t.relname AND s.attname = a.attname
	UNION ALL
	SELECT 'error', c.oid::regclass::text, 'a materialized view over rows of organizations: policies do not reach it',
		format('DROP MATERIALIZED VIEW %s CASCADE;', c.oid::regclass)
	FROM pg_class c WHERE c.relkind = 'm' AND c.oid IN (SELECT reader.oid FROM reader)
	UNION ALL
	SELECT 'error', c.oid::regclass::text, 'a view that reads rows of organizations with its owner''s eyes', format('ALTER VIEW %s SET (security_invoker = true);', c.oid::regclass)
	FROM pg_class c WHERE c.relkind = 'v' AND c.oid IN (SELECT reader.oid FROM reader)
		AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
	UNION ALL
	SELECT 'error', d.function::text, 'SECURITY DEFINER without a search_path of its own: who calls it chooses what its names mean',
		format('ALTER ROUTINE %s SET search_path = pg_catalog, %I, pg_temp;', d.function, d.nspname)
	FROM definer d WHERE NOT EXISTS (SELECT FROM unnest(d.proconfig) c WHERE c LIKE 'search_path=%')
	UNION ALL
	SELECT 'warning', d.function::text, format('SECURITY DEFINER of %I, whom no policy holds: it sees every organization''s rows', d.rolname),
		format('ALTER ROUTINE %s SECURITY INVOKER;', d.function)
	FROM definer d WHERE d.bypasses
	UNION ALL
	SELECT 'error', format('schema %I', n.nspname), format('%s may create objects in it, ahead of what others mean', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END),
		format('REVOKE CREATE ON SCHEMA %I FROM %s;', n.nspname, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END)
	FROM photoflow.installation i JOIN pg_namespace n ON n.nspname = i.data_schema CROSS JOIN LATERAL aclexplode(n.nspacl) x
	WHERE x.privilege_type = 'CREATE' AND x.grantee <> n.nspowner AND (x.grantee = 0 OR x.grantee IN (SELECT app.member FROM app))
	UNION ALL
	SELECT 'warning', format('channel %I', s.setting), 'events of every organization are open to whoever listens', format('ALTER DATABASE %I RESET photoflow.event_channel;', current_database())
	FROM (SELECT current_setting('photoflow.event_channel', true) AS setting) s WHERE s.setting <> ''
	UNION ALL
	SELECT 'error', 'PostgreSQL ' || current_setting('server_version'), format('%s: row-level security leaks', v.cve), format('-- install PostgreSQL %s or newer', v.fixed_in)
	FROM photoflow.unfixed_cves() v
	ORDER BY 1, 2, 3;
END;

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
		FROM photoflow.list_failure_stats() s WHERE s.status <> 'resolved' AND s.records > 0 GROUP BY s.status) f;
END;

-- Table steps. Columns, then indexes, then what is open gets its place in the queue, then the triggers that keep it.

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(76, '1.3', 'ddl', 'what goes with a retry, on FailureRecords', $step$
ALTER TABLE {schema}."FailureRecords" ADD COLUMN "NextRetryAt" timestamptz, ADD COLUMN "LeaseUntil" timestamptz,
	ADD COLUMN "ClaimToken" bigint NOT NULL DEFAULT 0, ADD COLUMN "ClaimedBy" text, ADD COLUMN "FinishedAt" timestamptz, ADD COLUMN "MaxRetries" int,
	ADD COLUMN "Payload" jsonb, ADD COLUMN "Fingerprint" text, ADD COLUMN "Occurrences" int NOT NULL DEFAULT 1, ADD COLUMN "LastFailedAt" timestamptz,
	ADD COLUMN "FirstError" text;
ALTER TABLE {schema}."FailureRecords" ALTER COLUMN "ClaimedBy" SET STATISTICS 0, ALTER COLUMN "Payload" SET STATISTICS 0,
	ALTER COLUMN "Fingerprint" SET STATISTICS 0, ALTER COLUMN "FirstError" SET STATISTICS 0;
ALTER TABLE {schema}."FailureRecords" SET (fillfactor = 50);
COMMENT ON COLUMN {schema}."FailureRecords"."NextRetryAt" IS 'while the record is open its place in the queue, from when on it may be claimed; NULL once it is finished';
COMMENT ON COLUMN {schema}."FailureRecords"."LeaseUntil" IS 'while the record is in progress: until when its worker has it';
COMMENT ON COLUMN {schema}."FailureRecords"."ClaimToken" IS 'grows with each claim: the number of the attempt, and what proves the claim';
COMMENT ON COLUMN {schema}."FailureRecords"."FirstError" IS 'the first message, once another has taken its place';
$step$),

(77, '1.3', 'ddl', 'attempts at failure records', $step$
CREATE TABLE {schema}."FailureAttempts" (
	"OrgId" uuid NOT NULL,
	"FailureId" uuid NOT NULL,
	"Attempt" bigint NOT NULL,
	"Worker" text,
	"StartedAt" timestamptz,
	"FinishedAt" timestamptz NOT NULL,
	"Outcome" text NOT NULL,
	"ErrorMessage" text,
	PRIMARY KEY ("OrgId", "FailureId", "Attempt")
);
ALTER TABLE {schema}."FailureAttempts" ALTER COLUMN "Worker" SET STATISTICS 0, ALTER COLUMN "Outcome" SET STATISTICS 0,
	ALTER COLUMN "ErrorMessage" SET STATISTICS 0;
COMMENT ON TABLE {schema}."FailureAttempts" IS 'Attempts at failure records that ended without success; the one that runs, or succeeded, is in the record itself';
COMMENT ON INDEX {schema}."FailureAttempts_pkey" IS 'the attempts at one record in their order';
$step$),

(78, '1.3', 'ddl', 'counts of failure records', $step$
CREATE TABLE {schema}."FailureCounts" (
	"OrgId" uuid NOT NULL,
	"Severity" int NOT NULL,
	"FromStatus" int,
	"ToStatus" int,
	"Records" bigint NOT NULL
);
ALTER TABLE {schema}."FailureCounts" REPLICA IDENTITY FULL;
COMMENT ON TABLE {schema}."FailureCounts" IS 'How many failure records went from one status to another (NULL: came, or went), added up now and then; what failure_stats sums';
$step$),

(79, '1.3', 'ddl', 'policies of retries', $step$
CREATE TABLE {schema}."FailurePolicies" (
	"EntityType" text PRIMARY KEY,
	"Base" interval,
	"Cap" interval,
	"MaxRetries" int,
	"Lease" interval,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE {schema}."FailurePolicies" IS 'How failures are retried, by entity type; NULL is as usual';
COMMENT ON INDEX {schema}."FailurePolicies_pkey" IS 'the policy of an entity type';
$step$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(80, '1.3', 'concurrent_index', 'open failure records as they become due; by an expression, which no policy lets a condition go ahead by', $step$
CREATE INDEX CONCURRENTLY "IX_FailureRecords_Due" ON {schema}."FailureRecords" (timezone('UTC', "NextRetryAt")) WHERE "NextRetryAt" IS NOT NULL AND NOT "IsDeleted";
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_FailureRecords_Due' AND i.indisvalid
$count$),

(81, '1.3', 'concurrent_index', 'open failure records of an organization as they become due', $step$
CREATE INDEX CONCURRENTLY "IX_FailureRecords_OrgId_NextRetryAt" ON {schema}."FailureRecords" ("OrgId", "NextRetryAt") WHERE "NextRetryAt" IS NOT NULL AND NOT "IsDeleted";
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_FailureRecords_OrgId_NextRetryAt' AND i.indisvalid
$count$),

(82, '1.3', 'concurrent_index', 'failures with one error, newest last', $step$
CREATE INDEX CONCURRENTLY "IX_FailureRecords_OrgId_Fingerprint_LastFailedAt" ON {schema}."FailureRecords" ("OrgId", "Fingerprint", "LastFailedAt");
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_FailureRecords_OrgId_Fingerprint_LastFailedAt' AND i.indisvalid
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(83, '1.3', 'attach', 'rows of FailureAttempts are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."FailureAttempts"$table$);
$step$),

(84, '1.3', 'attach', 'rows of FailureCounts are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."FailureCounts"$table$);
$step$),

(85, '1.3', 'attach', 'sessions hear of changed policies of retries', $step$
CREATE OR REPLACE TRIGGER "PhotoflowFailurePolicies" AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {schema}."FailurePolicies"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.failure_policies_changed();
$step$),

(86, '1.3', 'attach', 'failure records keep their retries, leases and counts', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowFailureKeep" BEFORE INSERT OR UPDATE OF "Id", "EntityType", "Status", "ErrorMessage", "RetryCount", "LastRetryAt", "NextRetryAt",
		"LeaseUntil", "ClaimToken", "ClaimedBy", "FinishedAt", "Fingerprint", "Occurrences", "LastFailedAt", "FirstError", "IsDeleted" ON {schema}."FailureRecords"
	FOR EACH ROW EXECUTE FUNCTION photoflow.keep_failure();
CREATE OR REPLACE TRIGGER "PhotoflowFailureCount" AFTER INSERT OR DELETE OR UPDATE ON {schema}."FailureRecords"
	FOR EACH ROW EXECUTE FUNCTION photoflow.count_failure();
CREATE OR REPLACE TRIGGER "PhotoflowFailureForget" AFTER TRUNCATE ON {schema}."FailureRecords"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.forget_failures();
$step$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(87, '1.3', 'backfill', 'open failure records get their place in the queue', $step$
SELECT FROM pg_catalog.generate_series(1, photoflow.queue_failures($1));
$step$, $count$
SELECT photoflow.queue_failures(NULL)
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(88, '1.3', 'attach', 'failure records are counted', $step$
SELECT photoflow.recount_failures();
$step$);
