-- Failure records: every function of the queue, what it answers and what it refuses.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") SELECT lab.org(n), n FROM generate_series(61, 64) n;
CREATE ROLE regress_failure_studio;
CREATE ROLE regress_failure_worker;
CREATE ROLE regress_failure_reader;
SELECT photoflow.grant_app('regress_failure_studio'), photoflow.grant_worker('regress_failure_worker') \g /dev/null
GRANT SELECT ON "FailureRecords", "FailureAttempts" TO regress_failure_reader;
-- lab.f(7) is record 7, and lab.n() its number
CREATE FUNCTION lab.f(n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT RETURN lab.id('failure', 61000 + n);
CREATE FUNCTION lab.n(id uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT RETURN right(id::text, 12)::bigint % 1000;
-- A record as an application makes it, of album 61000 + n.
CREATE FUNCTION lab.failed(n int, org int DEFAULT 61, error text DEFAULT 'boom', type text DEFAULT 'Album', most int DEFAULT NULL) RETURNS uuid LANGUAGE sql AS $$
	INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "FromState", "ToState", "ErrorMessage", "MaxRetries")
		VALUES (lab.f(n), lab.org(org), lab.id('album', 61000 + n), type, 'Raw', 'Stock', error, most) RETURNING "Id"
$$;
-- A record that a worker has.
CREATE FUNCTION lab.held(n int, lease interval DEFAULT '1 hour', org int DEFAULT 61, type text DEFAULT 'Album', most int DEFAULT NULL) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.failed(n, org, 'boom', 'to be held', most);
	PERFORM photoflow.claim_failures('worker', 1, lease, '{to be held}', lab.org(org));
	UPDATE "FailureRecords" SET "EntityType" = type WHERE "Id" = lab.f(n);
	RETURN lab.f(n);
END $$;
-- What there is to see of records, without times.
CREATE FUNCTION lab.look(VARIADIC ids uuid[]) RETURNS TABLE (n int, status int, severity int, retries int, token bigint, worker text, place text, lease text, finished boolean, occurrences int, error text, first_error text)
	LANGUAGE sql AS $$
	SELECT CASE WHEN r."Id" BETWEEN lab.f(0) AND lab.f(999) THEN lab.n(r."Id") END, r."Status", r."Severity", r."RetryCount", r."ClaimToken", r."ClaimedBy",
		CASE WHEN r."NextRetryAt" > clock_timestamp() THEN 'later' WHEN r."NextRetryAt" <= clock_timestamp() THEN 'due' END,
		CASE WHEN r."LeaseUntil" > clock_timestamp() THEN 'runs' WHEN r."LeaseUntil" <= clock_timestamp() THEN 'ended' END,
		r."FinishedAt" BETWEEN r."CreatedAt" AND clock_timestamp(), r."Occurrences", r."ErrorMessage", r."FirstError"
	FROM unnest(ids) WITH ORDINALITY i (id, o) JOIN "FailureRecords" r ON r."Id" = i.id ORDER BY i.o
$$;
-- The attempts at a record, without times: that they are in order is said.
CREATE FUNCTION lab.attempts(id uuid) RETURNS TABLE (attempt bigint, worker text, outcome text, error text, in_order boolean) LANGUAGE sql AS $$
	SELECT a.attempt, a.worker, a.outcome, a.error_message, a.started_at <= a.finished_at AND a.started_at >= coalesce(lag(a.finished_at) OVER (ORDER BY a.attempt), '-infinity')
	FROM photoflow.failure_attempts(id) a ORDER BY 1
$$;
-- What must not be, of the four organizations: an open record without a place, a finished one with, counts that are wrong, an attempt that is no claim's.
CREATE FUNCTION lab.wrong() RETURNS TABLE (problem text, what text) LANGUAGE sql AS $$
	SELECT 'place', "Id"::text FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) AND ("Status" IN (0, 1)) <> ("NextRetryAt" IS NOT NULL)
	UNION ALL SELECT 'lease', "Id"::text FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) AND ("Status" = 1) <> ("LeaseUntil" IS NOT NULL)
	UNION ALL SELECT 'end', "Id"::text FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) AND ("Status" > 1) <> ("FinishedAt" IS NOT NULL)
	UNION ALL SELECT 'fingerprint', "Id"::text FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n)
		AND "Fingerprint" IS DISTINCT FROM photoflow.error_fingerprint("ErrorMessage")
	UNION ALL SELECT 'last failed', "Id"::text FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) AND "LastFailedAt" IS NULL
	UNION ALL SELECT 'attempt', a."FailureId" || ' ' || a."Attempt" FROM "FailureAttempts" a LEFT JOIN "FailureRecords" r ON r."Id" = a."FailureId" AND r."OrgId" = a."OrgId"
		WHERE a."OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) AND (r."Id" IS NULL OR a."Attempt" NOT BETWEEN 1 AND r."ClaimToken" OR a."Attempt" = r."ClaimToken" AND r."Status" = 1)
	UNION ALL SELECT 'stats', format('%s %s %s: %s, not %s', org, status, severity, s, c) FROM (SELECT org_id, status, severity, records FROM photoflow.failure_stats
				WHERE org_id IN (SELECT lab.org(n) FROM generate_series(61, 64) n)) s (org, status, severity, s)
		FULL JOIN (SELECT "OrgId", ('{pending,in progress,resolved,abandoned,cancelled}'::text[])["Status" + 1], ('{low,medium,high,critical}'::text[])["Severity" + 1], count(*)
			FROM "FailureRecords" WHERE NOT "IsDeleted" AND "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n) GROUP BY 1, 2, 3) c (org, status, severity, c) USING (org, status, severity)
		WHERE s IS DISTINCT FROM c
$$;
-- Ends the leases of records, as time does; a session that has seen them leased has to forget that.
CREATE PROCEDURE lab.end_leases(VARIADIC ids uuid[]) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	UPDATE "FailureRecords" SET "LeaseUntil" = now() - interval '1 minute' WHERE "Id" = ANY (ids) AND "Status" = 1;
	SET LOCAL session_replication_role = origin;
	GRANT SELECT ON "FailureRecords" TO regress_failure_reader;
END $$;

-- Which errors are the same ----------------------------------------------------------------------------------------------
CREATE TEMP TABLE errors (n int, message text);
INSERT INTO errors VALUES
	(1, 'storage timed out after 30 s'), (1, 'storage timed out after 31 s'), (1, E'Storage  timed\tout\nafter 7 s '),
	(2, 'album 3fa85f64-5717-4562-b3fc-2c963f66afa6 is locked'), (2, 'album 00000000-0000-4000-8000-000000000001 is locked'), (2, 'ALBUM 3FA85F64-5717-4562-B3FC-2C963F66AFA6 is locked'),
	(3, 'bad pointer 0x7ffdeadbeef'), (3, 'bad pointer 0X1'), (3, 'bad pointer deadbeef01'),
	(4, 'file "a.jpg" is missing'), (4, 'file "b c.jpg" is missing'), (4, 'file "" is missing'),
	(5, 'key ''one'' taken'), (5, 'key ''another one'' taken'),
	(6, 'cannot open /var/a/1.jpg: no space'), (6, 'cannot open /mnt/b: no space'), (6, 'cannot open https://drive.test/x?y: no space'),
	(7, 'cannot open C:\a\b.jpg'), (7, 'cannot open \\server\share'),
	(8, 'photo 12 of 15 at 10:20:30.5'), (8, 'photo 1 of 2 at 1'),
	(9, ''), (9, ' '), (9, E'\n\t '),
	(10, 'Lösung fehlt'), (10, 'Lösung  fehlt'), (11, 'Losung fehlt'),
	(12, 'storage timed out'), (13, 'storage timed in'), (14, 'storage, timed out'), (15, 'a/b'), (16, 'ab'), (17, '/'), (18, '-'),
	(19, 'cannot read "x"'), (20, 'cannot write "x"'),
	(21, 'can''t read ''x'''), (22, 'can''t write ''x'''), (23, 'unmatched " here 1'), (23, 'unmatched " here 2'),
	(24, 'cafe is closed'), (25, 'face is closed');
SELECT n, message, photoflow.normalise_error(message) FROM errors ORDER BY n, message COLLATE "C";
-- one fingerprint for each error, one error for each fingerprint
SELECT 'the same error, ' || count(DISTINCT photoflow.error_fingerprint(message)) || ' fingerprints' AS problem, array_agg(message) FROM errors GROUP BY n HAVING count(DISTINCT photoflow.error_fingerprint(message)) > 1;
SELECT 'different errors, one fingerprint' AS problem, array_agg(message) FROM errors GROUP BY photoflow.error_fingerprint(message) HAVING count(DISTINCT n) > 1 ORDER BY 2;
SELECT bool_and(photoflow.error_fingerprint(message) ~ '^[0-9a-f]{16}$') AS digits, bool_and(photoflow.error_fingerprint(message) = photoflow.error_fingerprint(photoflow.normalise_error(message))) AS stable FROM errors
	WHERE n <> 23;
SELECT photoflow.normalise_error(NULL), photoflow.error_fingerprint(NULL), photoflow.error_fingerprint('storage timed out after 30 s');
-- so much of a message counts, whole characters of it
SELECT length(photoflow.normalise_error(repeat('x', 5000))) AS length, photoflow.error_fingerprint(repeat('x', 2000) || 'a') = photoflow.error_fingerprint(repeat('x', 2000) || 'b') AS behind,
	photoflow.error_fingerprint(repeat('x', 1999) || 'a') = photoflow.error_fingerprint(repeat('x', 1999) || 'b') AS before,
	length(photoflow.normalise_error(repeat('x', 1999) || 'é')) AS half, photoflow.error_fingerprint(repeat('x', 1999) || 'é') = photoflow.error_fingerprint(repeat('x', 1999) || 'ü') AS halves,
	octet_length(photoflow.normalise_error(repeat('é', 5000))) AS bytes;

-- How long to wait -------------------------------------------------------------------------------------------------------
SELECT retry, photoflow.retry_delay(retry, '30 s', '1 hour', 1) AS longest, photoflow.retry_delay(retry, '30 s', '1 hour', 0.5) AS half, photoflow.retry_delay(retry, '30 s', '1 hour', 0) AS shortest
	FROM unnest(ARRAY[-1, 0, 1, 2, 3, 7, 8, 100, 2147483647]) retry;
SELECT photoflow.retry_delay(1, '2 hours', '1 hour', 1) AS base_over_cap, photoflow.retry_delay(9, '0', '1 hour', 1) AS base_nothing, photoflow.retry_delay(9, '30 s', '0', 1) AS cap_nothing,
	photoflow.retry_delay(62, '1 month', '1000 years', 1) AS long, photoflow.retry_delay(NULL, '1 s', '1 s', 1) AS nothing;
SELECT photoflow.retry_delay(1, '-1 s', '1 hour', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.retry_delay(1, '1 s', '-1 hour', 1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.retry_delay(1, '1 s', '1 hour', 1.01);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.retry_delay(1, '1 s', '1 hour', -0.01);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.retry_delay(1, '1 s', '1 hour', 'NaN');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.retry_delay(1, '200000 years', '200000 years', 1);
\echo :LAST_ERROR_SQLSTATE

-- Recording --------------------------------------------------------------------------------------------------------------
SELECT lab.id('album', 61001) AS album, lab.org(61) AS org \gset
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'storage timed out after 30 s', org_id => :'org') AS first \gset
SELECT * FROM lab.look(:'first');
SELECT "OrgId" = :'org' AS org, "EntityId" = :'album' AS entity, "EntityType", "FromState", "ToState", "MaxRetries", "Payload", "LastFailedAt" = "CreatedAt" AS failed, "Fingerprint" = photoflow.error_fingerprint('storage timed out after 1 s') AS print
	FROM "FailureRecords" WHERE "Id" = :'first';
-- once more: the open record is bumped. Severity rises and does not fall; what is not given stays
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'storage timed out after 31 s', 'high', :'org', payload => '{"try": 2}') = :'first' AS same;
SELECT * FROM lab.look(:'first');
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'disk is full', 'low', :'org', max_retries => 3) = :'first' AS same;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', NULL, 'low', :'org') = :'first' AS same;
SELECT * FROM lab.look(:'first');
SELECT "MaxRetries", "Payload", "LastFailedAt" > "CreatedAt" AS later, "Fingerprint" = photoflow.error_fingerprint('disk is full') AS print FROM "FailureRecords" WHERE "Id" = :'first';
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'disk is full', 'critical', :'org') = :'first' AS same;
SELECT severity, occurrences, first_error FROM lab.look(:'first');
SELECT org_id = :'org' AS its, status, severity, records FROM photoflow.failure_stats WHERE org_id IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
-- the same: organization, entity, its type and the transition, of which NULL is one more state
SELECT count(DISTINCT id) AS records, count(*) AS calls FROM (SELECT photoflow.record_failure(type, lab.id('album', n), f, t, 'x', org_id => lab.org(org)) AS id FROM (VALUES
	('Album', 61001, 'Raw', 'Stock', 61), ('Album', 61001, 'Raw', 'Stock', 62), ('Album', 61001, 'Stock', 'Raw', 61), ('album', 61001, 'Raw', 'Stock', 61), ('Album', 61002, 'Raw', 'Stock', 61),
	('Album', 61001, NULL, 'Stock', 61), ('Album', 61001, 'Raw', NULL, 61), ('Album', 61001, NULL, NULL, 61), ('Album', 61001, '', '', 61), ('', 61001, 'Raw', 'Stock', 61)) v (type, n, f, t, org), generate_series(1, 3)) x;
SELECT "OrgId" = :'org' AS org, "EntityType", lab.n("EntityId") AS album, "FromState", "ToState", "Occurrences" FROM "FailureRecords" WHERE "OrgId" IN (:'org', lab.org(62)) ORDER BY 1, 2, 3, 4, 5;
-- one that is in progress is open; one that is finished is not, nor one that is deleted
SELECT photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'one', org_id => :'org') AS second \gset
SELECT id = :'second' AS its, claim_token, occurrences FROM photoflow.claim_failures('worker', 1, entity_types => '{Job}', org_id => :'org'), lab.look(:'second');
SELECT photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'two', org_id => :'org') = :'second' AS same;
SELECT * FROM lab.look(:'second');
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[:'second'::uuid], ARRAY[1]);
SELECT photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'three', org_id => :'org') AS third \gset
SELECT :'third' = :'second' AS same, * FROM lab.look(:'third');
DELETE FROM "FailureRecords" WHERE "Id" = :'third';
SELECT photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'four', org_id => :'org') AS fourth \gset
SELECT :'fourth' = :'third' AS same, * FROM lab.look(:'fourth');
SELECT photoflow.cancel_failures(ARRAY[:'fourth'::uuid]), photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'five', org_id => :'org') AS fifth \gset
SELECT :'fifth' = :'fourth' AS same, photoflow.abandon_failures(ARRAY[:'fifth'::uuid]), photoflow.record_failure('Job', lab.id('album', 61003), 'Raw', 'Stock', 'six', org_id => :'org') = :'fifth' AS the_same;
-- in one transaction, and what is rolled back
BEGIN;
SELECT photoflow.record_failure('Job', lab.id('album', 61004), 'Raw', 'Stock', 'one', org_id => :'org') AS sixth \gset
SAVEPOINT s;
SELECT photoflow.record_failure('Job', lab.id('album', 61004), 'Raw', 'Stock', 'two', org_id => :'org') = :'sixth' AS same;
SELECT occurrences, error, first_error FROM lab.look(:'sixth');
ROLLBACK TO s;
SELECT occurrences, error, first_error FROM lab.look(:'sixth');
ROLLBACK;
SELECT * FROM lab.look(:'sixth');
SELECT photoflow.record_failure('Job', lab.id('album', 61004), 'Raw', 'Stock', 'again', org_id => :'org') <> :'sixth' AS another;
-- whose: without a tenant an album's own organization, else org_id must be given
SELECT lab.album(61005, org => 62) \g /dev/null
SELECT photoflow.record_failure('Album', lab.id('album', 61005), 'Raw', 'Stock', 'x') AS whose \gset
SELECT "OrgId" = lab.org(62) AS of_its_album FROM "FailureRecords" WHERE "Id" = :'whose';
SELECT photoflow.record_failure('Photo', lab.id('photo', 61006), 'Raw', 'Stock', 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure(NULL, :'album', 'Raw', 'Stock', 'x', org_id => :'org');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure('Album', NULL, 'Raw', 'Stock', 'x', org_id => :'org');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', 'urgent', :'org');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', 'High', :'org');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', NULL, :'org');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', 'low', :'org', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.record_failure(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', org_id => :'org');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- an application: its own organization's, and nobody else's
SELECT lab.org(61) AS org61, lab.org(62) AS org62 \gset
SET ROLE regress_failure_studio;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', org_id => :'org61');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org61';
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'disk is full') = :'first' AS same;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'disk is full', org_id => :'org61') = :'first' AS same;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', org_id => :'org62');
\echo :LAST_ERROR_SQLSTATE
-- (an album of another organization is an id like any other)
SELECT photoflow.record_failure('Album', lab.id('album', 61005), 'Raw', 'Stock', 'x') AS whose \gset
SELECT "OrgId" = :'org61' AS mine FROM "FailureRecords" WHERE "Id" = :'whose';
RESET ROLE;
RESET photoflow.org_id;
SET ROLE regress_failure_reader;
SET photoflow.org_id = :'org61';
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
-- a worker across, without a right to the table; with a context he is of that organization
SET ROLE regress_failure_worker;
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'disk is full', org_id => :'org61') = :'first' AS same;
SET photoflow.org_id = :'org62';
SELECT photoflow.record_failure('Album', :'album', 'Raw', 'Stock', 'x', org_id => :'org61');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
SELECT occurrences FROM lab.look(:'first');
-- a megabyte, which lies outside of its row, and is the first error later on
SELECT photoflow.record_failure('Big', :'album', 'Raw', 'Stock', (SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 32000) n), org_id => :'org') AS big \gset
SELECT photoflow.record_failure('Big', :'album', 'Raw', 'Stock', (SELECT string_agg(md5(n::text), ' ') FROM generate_series(2, 32001) n), org_id => :'org') = :'big' AS same;
SELECT length("ErrorMessage"), md5("ErrorMessage") = md5((SELECT string_agg(md5(n::text), ' ') FROM generate_series(2, 32001) n)) AS newest, md5("FirstError") = md5((SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 32000) n)) AS first
	FROM "FailureRecords" WHERE "Id" = :'big';
SELECT length(error_message), claim_token FROM photoflow.claim_failures('worker', 1, entity_types => '{Big}', org_id => :'org');
SELECT ok, status, why_not FROM photoflow.reschedule_failures(ARRAY[:'big'::uuid], ARRAY[1], ARRAY[(SELECT string_agg(md5(n::text), ' ') FROM generate_series(3, 32002) n)], '0');
SELECT length("ErrorMessage"), md5("ErrorMessage") = md5((SELECT string_agg(md5(n::text), ' ') FROM generate_series(3, 32002) n)) AS newest, md5("FirstError") = md5((SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 32000) n)) AS first
	FROM "FailureRecords" WHERE "Id" = :'big';
SELECT attempt, outcome, md5(error_message) = md5((SELECT string_agg(md5(n::text), ' ') FROM generate_series(3, 32002) n)) AS its FROM photoflow.failure_attempts(:'big');
SELECT * FROM lab.wrong();
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (:'org', lab.org(62));
RESET photoflow.hard_delete;
SELECT * FROM lab.wrong();
SELECT count(*) FROM photoflow.failure_stats WHERE org_id IN (:'org', lab.org(62));

-- Claiming ---------------------------------------------------------------------------------------------------------------
SELECT photoflow.claim_failures(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 1, '0');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 1, '-1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 1, '1 month -31 days');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 1, '200000 years');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.claim_failures('worker', 1, fair => NULL);
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT photoflow.claim_failures('worker');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- nothing there
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org');
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => lab.org(99));
SET ROLE regress_failure_studio;
SELECT photoflow.claim_failures('worker');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org61';
SELECT photoflow.next_failure_due();
SELECT photoflow.claim_failures('worker', org_id => :'org62');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
-- what is given to a worker, the oldest first
SELECT lab.failed(1), lab.failed(2, error => NULL), lab.failed(3, type => 'Photo') \g /dev/null
UPDATE "FailureRecords" SET "FromState" = NULL, "ToState" = NULL WHERE "Id" = lab.f(2);
UPDATE "FailureRecords" SET "Severity" = 3, "Payload" = '{"a": [1, null]}' WHERE "Id" = lab.f(3);
SET photoflow.org_id = :'org61';
SELECT photoflow.next_failure_due();
RESET photoflow.org_id;
SELECT lab.n(id) AS n, claim_token, entity_type, lab.n(entity_id) AS album, from_state, to_state, error_message, severity, retry_count, payload, lease_until - now() BETWEEN '5 minutes' AND '6 minutes' AS five_minutes,
	lab.n(org_id) AS org FROM photoflow.claim_failures('worker-7', 2, org_id => :'org');
SELECT lab.n(id) AS n, claim_token, entity_type, lab.n(entity_id) AS album, from_state, to_state, error_message, severity, retry_count, payload, lease_until - now() BETWEEN '1 hour' AND '1 hour 1 minute' AS an_hour,
	lab.n(org_id) AS org FROM photoflow.claim_failures('worker-8', 2, '1 hour', org_id => :'org');
SELECT count(*) FROM photoflow.claim_failures('worker-9', 2, org_id => :'org');
SELECT * FROM lab.look(lab.f(1), lab.f(2), lab.f(3));
SELECT bool_and("LastRetryAt" BETWEEN "CreatedAt" AND clock_timestamp()) AS retried, bool_and("NextRetryAt" = "CreatedAt" OR "NextRetryAt" > "CreatedAt") AS place FROM "FailureRecords" WHERE "Id" BETWEEN lab.f(1) AND lab.f(3);
SELECT org_id = :'org' AS its, status, severity, records FROM photoflow.failure_stats WHERE org_id = :'org';
-- nobody else's: they sleep until the first lease has ended
SET photoflow.org_id = :'org61';
SELECT photoflow.next_failure_due() BETWEEN '4 minutes' AND '5 minutes 31 seconds' AS due;
RESET photoflow.org_id;
-- what is delayed is not due
SELECT lab.failed(4) \g /dev/null
UPDATE "FailureRecords" SET "NextRetryAt" = now() + interval '3 minutes' WHERE "Id" = lab.f(4);
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org');
SET photoflow.org_id = :'org61';
SELECT photoflow.next_failure_due() BETWEEN '2 minutes' AND '3 minutes' AS due;
RESET photoflow.org_id;
-- of types: the ones named, and none where none is
SELECT lab.failed(5, type => 'Album'), lab.failed(6, type => 'Photo'), lab.failed(7, type => 'Mail') \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', entity_types => '{}', org_id => :'org');
SELECT count(*) FROM photoflow.claim_failures('worker', entity_types => '{NULL}', org_id => :'org');
SELECT count(*) FROM photoflow.claim_failures('worker', entity_types => '{album,Al,Albums,""}', org_id => :'org');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', entity_types => '{Mail,Mail,NULL,Nothing}', org_id => :'org');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', entity_types => '{{Mail,Album},{Photo,Nothing}}', org_id => :'org');
-- (who is given only some types passes the others, and leaves them to those who are given all)
SELECT lab.failed(8, type => 'Mail') \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', entity_types => '{Photo}', org_id => :'org');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', org_id => :'org');
SELECT * FROM lab.wrong();
-- in the same transaction what was recorded, and what was given back
BEGIN;
SELECT lab.failed(9) \g /dev/null
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', org_id => :'org');
SELECT ok, status, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(9)], ARRAY[1], NULL, '0');
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', org_id => :'org');
SAVEPOINT s;
SELECT ok FROM photoflow.snooze_failures(ARRAY[lab.f(9)], ARRAY[2], now());
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', org_id => :'org');
ROLLBACK TO s;
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(9)], ARRAY[3]);
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(9)], ARRAY[2]);
ROLLBACK;
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org');
SELECT * FROM lab.wrong();
-- one after the other in one statement: never the same
SELECT count(lab.failed(n)) FROM generate_series(11, 14) n;
SELECT (SELECT lab.n(id) FROM photoflow.claim_failures('a', 1, org_id => :'org')) AS a, (SELECT lab.n(id) FROM photoflow.claim_failures('b', 1, org_id => :'org')) AS b,
	array(SELECT lab.n(id) FROM photoflow.claim_failures('c', 5, org_id => :'org')) AS c;
-- an application claims its own, and needs the right to change them
SELECT lab.failed(15), lab.failed(16, 62) \g /dev/null
SET ROLE regress_failure_reader;
SET photoflow.org_id = :'org61';
SELECT photoflow.claim_failures('worker');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SET ROLE regress_failure_studio;
SELECT lab.n(id) AS n, lab.n(org_id) AS org FROM photoflow.claim_failures('worker');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', org_id => :'org61');
RESET photoflow.org_id;
RESET ROLE;
-- a worker across: all of them, those of one, those of the one that he has set
SELECT lab.failed(17), lab.failed(18, 63, type => 'Across') \g /dev/null
SET ROLE regress_failure_worker;
SET photoflow.org_id = :'org62';
SELECT lab.n(id) AS n, lab.n(org_id) AS org FROM photoflow.claim_failures('worker');
RESET photoflow.org_id;
SELECT lab.n(id) AS n, lab.n(org_id) AS org FROM photoflow.claim_failures('worker', org_id => :'org61');
SELECT lab.n(id) AS n, lab.n(org_id) AS org FROM photoflow.claim_failures('worker', entity_types => '{Across}');
RESET ROLE;
SELECT * FROM lab.wrong();
-- Fair: 30 due in one organization, and behind them 2 and 1 in others. The oldest first: they wait; in turns: they do not
SELECT count(lab.failed(n, 61, type => 'Fair')) FROM generate_series(101, 130) n;
SELECT lab.failed(131, 62, type => 'Fair'), lab.failed(132, 62, type => 'Fair'), lab.failed(133, 63, type => 'Fair') \g /dev/null
BEGIN;
SELECT lab.n(org_id) AS org, count(*) FROM photoflow.claim_failures('worker', 24, entity_types => '{Fair}', fair => false) GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
SELECT lab.n(org_id) AS org, count(*), count(DISTINCT id), min(lab.n(id)) AS first, max(lab.n(id)) AS last FROM photoflow.claim_failures('worker', 24, entity_types => '{Fair}') GROUP BY 1 ORDER BY 1;
SELECT lab.n(org_id) AS org, count(*), count(DISTINCT id), min(lab.n(id)) AS first, max(lab.n(id)) AS last FROM photoflow.claim_failures('worker', 24, entity_types => '{Fair}') GROUP BY 1 ORDER BY 1;
ROLLBACK;
SELECT count(*), count(DISTINCT id) FROM photoflow.claim_failures('worker', 1000, entity_types => '{Fair}');
SELECT count(*) FROM photoflow.claim_failures('worker', 1000, entity_types => '{Fair}');
SELECT * FROM lab.wrong();
-- an index that is not there yet
BEGIN;
DROP INDEX "IX_FailureRecords_Due";
SELECT photoflow.claim_failures('worker');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
DROP INDEX "IX_FailureRecords_OrgId_NextRetryAt";
SELECT photoflow.claim_failures('worker', org_id => :'org');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;
SELECT * FROM lab.wrong();

-- What the holder of a claim does ----------------------------------------------------------------------------------------
-- what cannot be asked, of all four alike
CREATE FUNCTION lab.ask(arguments text) RETURNS TABLE (function text, code text, message text, hint text) LANGUAGE plpgsql AS $$
BEGIN
	FOR function, message IN VALUES ('extend_lease', format('%s, ''1 hour''', arguments)), ('resolve_failures', arguments), ('reschedule_failures', format('%s, NULL', arguments)), ('snooze_failures', format('%s, now()', arguments)) LOOP
		BEGIN
			EXECUTE format('SELECT count(*) || '' rows'' FROM photoflow.%I(%s)', function, message) INTO message;
			code := '00000';
			hint := NULL;
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT a, x.function, x.code, x.message, x.hint FROM unnest(ARRAY['NULL, NULL', '''{}'', NULL', '''{}'', ''{}''', 'ARRAY[lab.f(1)], ''{}''', '''{}'', ''{1}''', 'ARRAY[lab.f(1), NULL], ''{1,2}''', 'ARRAY[lab.f(1)], ''{NULL}''']) WITH ORDINALITY l (a, o),
	lab.ask(a) WITH ORDINALITY x (function, code, message, hint, n) ORDER BY o, n;
SELECT photoflow.extend_lease('{}', '{}', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.extend_lease('{}', '{}', '0');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.extend_lease('{}', '{}', '-1 hour');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reschedule_failures('{}', '{}', '{}', '-1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reschedule_failures('{}', '{}', '{one}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reschedule_failures(ARRAY[lab.f(1)], '{1}', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.snooze_failures('{}', '{}', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.snooze_failures('{}', '{}', 'infinity');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_failure_studio;
SELECT photoflow.resolve_failures('{}', '{}');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
BEGIN READ ONLY;
SELECT photoflow.resolve_failures('{}', '{}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- Extending: later, never earlier, and not a lease that is another's
SELECT lab.held(1), lab.held(2, '1 microsecond') \g /dev/null
CREATE TEMP TABLE before AS SELECT "Id", "LeaseUntil" FROM "FailureRecords" WHERE "OrgId" = :'org';
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(2), lab.f(1), lab.f(9)], '{1,1,1}', '10 minutes');
SELECT lab.n(r."Id") AS n, r."LeaseUntil" = b."LeaseUntil" AS as_before, r."LeaseUntil" - now() BETWEEN '9 minutes' AND '10 minutes' AS ten_minutes FROM "FailureRecords" r JOIN before b USING ("Id") ORDER BY 1;
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(1), lab.f(1)], '{1,1}', '2 hours');
SELECT "LeaseUntil" - now() BETWEEN '1 hour 59 minutes' AND '2 hours' AS two_hours FROM "FailureRecords" WHERE "Id" = lab.f(1);
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(1), lab.f(1), lab.f(1), lab.f(1), lab.f(2)], '{0,2,-1,9223372036854775807,2}', '5 hours');
SELECT "LeaseUntil" - now() < '3 hours' AS not_touched FROM "FailureRecords" WHERE "Id" = lab.f(1);
SELECT retries, token FROM lab.look(lab.f(1));

-- Resolving
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{1}');
SELECT * FROM lab.look(lab.f(1));
SELECT * FROM lab.attempts(lab.f(1));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{1}');
-- pairs are judged one by one: stale, early, nonsense, foreign, missing, twice, deleted, waiting; in the order in which they are given
SELECT lab.held(3), lab.held(4), lab.held(5, org => 62), lab.held(6), lab.failed(7), lab.held(8) \g /dev/null
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(6);
BEGIN;
SELECT photoflow.set_context(:'org') \g /dev/null
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(8), lab.f(7), lab.f(6), lab.f(5), lab.f(4), lab.f(3), lab.f(2), lab.f(1), lab.f(99), lab.f(4), lab.f(4), lab.f(7)], '{1,0,1,1,1,2,0,1,1,1,2,1}');
COMMIT;
SELECT n, status, finished FROM lab.look(lab.f(1), lab.f(2), lab.f(3), lab.f(4), lab.f(5), lab.f(6), lab.f(7), lab.f(8));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(5), lab.f(5)], '{9223372036854775807,-9223372036854775808}');
SELECT * FROM lab.wrong();

-- Rescheduling: after a delay that is given, or a part of what the policy says
SELECT lab.held(11), lab.held(12), lab.held(13), lab.held(14) \g /dev/null
SELECT lab.n(id) AS n, ok, status, next_retry_at - now() BETWEEN '1 day' AND '1 day 1 minute' AS tomorrow, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(12), lab.f(11)], '{1,1}', '{two,NULL}', '1 day');
SELECT * FROM lab.look(lab.f(11), lab.f(12));
SELECT * FROM lab.attempts(lab.f(11));
SELECT * FROM lab.attempts(lab.f(12));
SELECT ok, status, next_retry_at AS next, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(13)], '{1}', NULL) \gset
SELECT :'ok' AS ok, :'status' AS status, "NextRetryAt" = :'next' AS its, "NextRetryAt" - "LastFailedAt" BETWEEN '0' AND '31 seconds' AS soon FROM "FailureRecords" WHERE "Id" = lab.f(13);
-- at once: claimed again, with the next token; the old one is no good
SELECT lab.n(id) AS n, ok, status, next_retry_at <= clock_timestamp() AS now FROM photoflow.reschedule_failures(ARRAY[lab.f(14)], '{1}', '{again}', '0');
SELECT lab.n(id) AS n, claim_token, retry_count, error_message FROM photoflow.claim_failures('another', 9, org_id => :'org') WHERE id = lab.f(14);
SELECT lab.n(id) AS n, ok, status, next_retry_at > now() AS later, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(14), lab.f(13), lab.f(99), lab.f(6), lab.f(14), lab.f(14)], '{1,1,1,1,2,2}', '{late,late,none,gone,mine,twice}', '1 hour');
SELECT * FROM lab.look(lab.f(14));
SELECT * FROM lab.attempts(lab.f(14));
-- an empty message is one; a message of NULL leaves what there is
SELECT lab.held(15) \g /dev/null
SELECT ok FROM photoflow.reschedule_failures(ARRAY[lab.f(15)], '{1}', '{""}', '1 hour');
SELECT error, first_error FROM lab.look(lab.f(15));
SELECT * FROM lab.attempts(lab.f(15));

-- Snoozing: costs no retry
SELECT lab.held(21), lab.held(22), lab.held(23) \g /dev/null
SELECT lab.n(id) AS n, ok FROM photoflow.snooze_failures(ARRAY[lab.f(21), lab.f(21), lab.f(99)], '{1,1,1}', now() + interval '1 day');
SELECT lab.n(id) AS n, ok FROM photoflow.snooze_failures(ARRAY[lab.f(22)], '{1}', '-infinity');
SELECT lab.n(id) AS n, ok FROM photoflow.snooze_failures(ARRAY[lab.f(23)], '{2}', now());
SELECT * FROM lab.look(lab.f(21), lab.f(22), lab.f(23));
SELECT "NextRetryAt" - now() BETWEEN '23 hours' AND '1 day' AS tomorrow FROM "FailureRecords" WHERE "Id" = lab.f(21);
SELECT * FROM lab.attempts(lab.f(21));
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('worker', 9, org_id => :'org') WHERE id = lab.f(22);
-- (a record of another type of failure leaves what it had)
SELECT error, first_error, occurrences FROM lab.look(lab.f(22));

-- Retries that are used up -----------------------------------------------------------------------------------------------
-- none at all: a claim gives it up; one: the claim, and no other
SELECT lab.failed(31, most => 0), lab.failed(32, most => 1) \g /dev/null
SELECT lab.n(id) AS n, retry_count FROM photoflow.claim_failures('worker', 9, org_id => :'org');
SELECT * FROM lab.look(lab.f(31), lab.f(32));
SELECT count(*) FROM photoflow.failure_attempts(lab.f(31));
SELECT lab.n(id) AS n, ok, status, next_retry_at, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(32)], '{1}', '{last}', '0');
SELECT * FROM lab.look(lab.f(32));
SELECT * FROM lab.attempts(lab.f(32));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(32)], '{1}');
-- snoozed at its last retry it has it still
SELECT lab.held(33, most => 1) \g /dev/null
SELECT ok FROM photoflow.snooze_failures(ARRAY[lab.f(33)], '{1}', now());
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('worker', 9, org_id => :'org');
-- by the policy, of its type
SELECT photoflow.set_failure_policy('Mail', base => '1 day', cap => '10 days', max_retries => 2, lease => '1 hour');
SELECT lab.failed(34, type => 'Mail') \g /dev/null
SELECT lab.n(id) AS n, lease_until - now() BETWEEN '1 hour' AND '1 hour 1 minute' AS an_hour FROM photoflow.claim_failures('worker', 9, org_id => :'org');
SELECT ok, status FROM photoflow.reschedule_failures(ARRAY[lab.f(34)], '{1}', NULL, '0');
SELECT lab.n(id) AS n, lease_until - now() BETWEEN '2 minutes' AND '3 minutes' AS two_minutes FROM photoflow.claim_failures('worker', 9, '2 minutes', org_id => :'org');
SELECT ok, status FROM photoflow.reschedule_failures(ARRAY[lab.f(34)], '{2}', NULL);
SELECT * FROM lab.look(lab.f(34));
SELECT * FROM lab.wrong();

-- Leases that end --------------------------------------------------------------------------------------------------------
-- the record is claimed again, the old holder is refused, the rest of his batch goes through
SELECT count(lab.failed(n)) FROM generate_series(41, 43) n;
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('slow', 9, '1 hour', org_id => :'org');
CALL lab.end_leases(lab.f(42));
SELECT n, status, lease FROM lab.look(lab.f(41), lab.f(42), lab.f(43));
-- (nobody has claimed it yet: it is still his)
BEGIN;
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(42)], '{1}');
ROLLBACK;
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('quick', 9, '1 hour', org_id => :'org');
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(41), lab.f(42), lab.f(43)], '{1,1,1}', '2 hours');
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(41), lab.f(42), lab.f(43)], '{1,1,1}');
SELECT * FROM lab.look(lab.f(41), lab.f(42), lab.f(43));
SELECT * FROM lab.attempts(lab.f(42));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(42)], '{2}');
SELECT * FROM lab.attempts(lab.f(42));
-- a worker that always dies: as often as it may be tried, then it is given up, and nobody is killed by it again
SELECT lab.failed(44, most => 3) \g /dev/null
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('dies 1', 9, '1 microsecond', org_id => :'org');
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('dies 2', 9, '1 microsecond', org_id => :'org');
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('dies 3', 9, '1 microsecond', org_id => :'org');
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('looks', 9, '1 microsecond', org_id => :'org');
SELECT * FROM lab.look(lab.f(44));
SELECT * FROM lab.attempts(lab.f(44));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(44)], '{3}');
-- a lease that has ended is left alone a little longer, at most a tenth of it
SELECT lab.failed(45, 64) \g /dev/null
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 9, '100 seconds', org_id => lab.org(64));
SELECT set_config('photoflow.org_id', lab.org(64)::text, false) \g /dev/null
SELECT photoflow.next_failure_due() BETWEEN '60 seconds' AND '110 seconds' AS due;
RESET photoflow.org_id;
SELECT ok FROM photoflow.resolve_failures(ARRAY[lab.f(45)], '{1}');
SELECT * FROM lab.wrong();

-- Ten thousand at once ---------------------------------------------------------------------------------------------------
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "ErrorMessage") SELECT lab.id('many', n), lab.org(63), lab.id('album', n), 'Many', 'boom ' || n FROM generate_series(1, 10000) n;
CREATE TEMP TABLE claimed AS SELECT id, claim_token FROM photoflow.claim_failures('worker', 20000, org_id => lab.org(63));
SELECT count(*), count(DISTINCT id), max(claim_token) FROM claimed;
SELECT count(*), count(*) FILTER (WHERE ok) AS ok FROM (SELECT (photoflow.extend_lease(array_agg(id ORDER BY random()), array_agg(claim_token), '1 hour')).* FROM claimed) x;
-- each second one wrong
WITH asked AS (SELECT id, claim_token + row_number() OVER (ORDER BY id) % 2 AS token, row_number() OVER (ORDER BY id) % 2 = 0 AS good FROM claimed),
	told AS (SELECT r.* FROM (SELECT array_agg(id ORDER BY id DESC) AS ids, array_agg(token ORDER BY id DESC) AS tokens FROM asked) a, photoflow.resolve_failures(a.ids, a.tokens) WITH ORDINALITY r (id, ok, why_not, o))
	SELECT ok, left(why_not, 5) AS why_not, count(*), bool_and(ok = good) AS right, bool_and(o = place) AS in_order FROM told JOIN (SELECT *, row_number() OVER (ORDER BY id DESC) AS place FROM asked) x USING (id) GROUP BY 1, 2 ORDER BY 1;
SELECT count(*), count(*) FILTER (WHERE ok) AS ok FROM (SELECT (photoflow.reschedule_failures(array_agg(id), array_agg(claim_token), array_agg('later ' || id), '0')).* FROM claimed) x;
SELECT photoflow.requeue_failures(array_agg(id)) FROM claimed;
SELECT photoflow.abandon_failures(array_agg(id) || array_agg(id), 'enough') FROM claimed;
SELECT photoflow.cancel_failures(array_agg(id)) FROM claimed;
SELECT status, severity, records FROM photoflow.failure_stats WHERE org_id = lab.org(63) ORDER BY 1;
SELECT "Outcome", count(*) FROM "FailureAttempts" WHERE "OrgId" = lab.org(63) GROUP BY 1;
SELECT * FROM lab.wrong();
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;

-- What people do: abandon, requeue, cancel ------------------------------------------------------------------------------
-- a record in each status, by id: which go, which stay, how many
CREATE FUNCTION lab.five(n int, error text DEFAULT 'boom') RETURNS uuid[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.held(n + 1), lab.held(n + 2), lab.held(n + 3), lab.held(n + 4);
	PERFORM lab.failed(n);
	UPDATE "FailureRecords" SET "ErrorMessage" = error WHERE "Id" BETWEEN lab.f(n) AND lab.f(n + 4);
	PERFORM photoflow.resolve_failures(ARRAY[lab.f(n + 2)], '{1}');
	PERFORM photoflow.abandon_failures(ARRAY[lab.f(n + 3)]);
	PERFORM photoflow.cancel_failures(ARRAY[lab.f(n + 4)]);
	RETURN array(SELECT lab.f(i) FROM generate_series(n, n + 4) i);
END $$;
SELECT lab.five(1), lab.five(11), lab.five(21) \g /dev/null
SELECT * FROM lab.look(lab.f(1), lab.f(2), lab.f(3), lab.f(4), lab.f(5));
SELECT photoflow.abandon_failures(ARRAY[lab.f(1), lab.f(2), lab.f(3), lab.f(4), lab.f(5), lab.f(1)], 'no hope');
SELECT * FROM lab.look(lab.f(1), lab.f(2), lab.f(3), lab.f(4), lab.f(5));
SELECT i, a.* FROM generate_series(1, 5) i, lab.attempts(lab.f(i)) a;
SELECT photoflow.cancel_failures(ARRAY[lab.f(11), lab.f(12), lab.f(13), lab.f(14), lab.f(15)]);
SELECT * FROM lab.look(lab.f(11), lab.f(12), lab.f(13), lab.f(14), lab.f(15));
SELECT i, a.* FROM generate_series(11, 15) i, lab.attempts(lab.f(i)) a;
SELECT photoflow.requeue_failures(ARRAY[lab.f(21), lab.f(22), lab.f(23), lab.f(24), lab.f(25)]);
SELECT * FROM lab.look(lab.f(21), lab.f(22), lab.f(23), lab.f(24), lab.f(25));
SELECT i, a.* FROM generate_series(21, 25) i, lab.attempts(lab.f(i)) a;
-- who holds one finds his claim lost
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(2), lab.f(12), lab.f(22)], '{1,1,1}');
-- requeued: claimed again, with all retries and a new token
SELECT lab.n(id) AS n, claim_token, retry_count FROM photoflow.claim_failures('worker', 9, org_id => :'org') ORDER BY 1;
-- one that waits for tomorrow is due now
SELECT lab.held(31) \g /dev/null
SELECT ok FROM photoflow.reschedule_failures(ARRAY[lab.f(31)], '{1}', NULL, '1 day');
SELECT photoflow.requeue_failures(ARRAY[lab.f(31)]);
SELECT * FROM lab.look(lab.f(31));
-- one whose failure has been recorded anew stays what it is: of two that wait for it, the first goes
SELECT lab.failed(32), photoflow.cancel_failures(ARRAY[lab.f(32)]), photoflow.record_failure('Album', lab.id('album', 61032), 'Raw', 'Stock', 'anew', org_id => :'org') AS anew \gset
SELECT photoflow.requeue_failures(ARRAY[lab.f(32)]), status FROM lab.look(lab.f(32));
SELECT photoflow.cancel_failures(ARRAY[:'anew'::uuid]), photoflow.requeue_failures(ARRAY[:'anew', lab.f(32)]);
SELECT count(*) FILTER (WHERE status = 0) AS pending, count(*) FILTER (WHERE status = 4) AS cancelled FROM lab.look(:'anew', lab.f(32));
-- none; ids that are not there, another's, deleted: all or nothing
SELECT photoflow.abandon_failures('{}'::uuid[]), photoflow.requeue_failures('{}'::uuid[]), photoflow.cancel_failures('{}'::uuid[]);
SELECT lab.failed(33), lab.failed(34), lab.failed(35, 62) \g /dev/null
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(34);
SELECT photoflow.cancel_failures(ARRAY[lab.f(33), lab.f(34)]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.requeue_failures(ARRAY[lab.f(33), lab.f(98), lab.f(99)]);
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT photoflow.set_context(:'org') \g /dev/null
SELECT photoflow.abandon_failures(ARRAY[lab.f(33), lab.f(35)]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT n, status FROM lab.look(lab.f(33), lab.f(35));
SELECT photoflow.abandon_failures(NULL::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.requeue_failures(ARRAY[lab.f(33), NULL]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.cancel_failures(NULL::text);
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_failure_studio;
SELECT photoflow.cancel_failures('{}'::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.cancel_failures('0123456789abcdef');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- ids as a bare literal are text, and no fingerprint
SELECT photoflow.cancel_failures('{}'), photoflow.abandon_failures('{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.requeue_failures('{01890000-0000-7000-8000-000000000001}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.wrong();
-- by the error: all that have it, of the organization that is set, or of all
SELECT lab.five(41, 'unique trouble 1'), lab.failed(51, 62, 'unique trouble 2'), lab.failed(52, 61, 'other trouble') \g /dev/null
SELECT photoflow.error_fingerprint('unique trouble 3') AS print \gset
BEGIN;
SELECT photoflow.set_context(:'org') \g /dev/null
SELECT photoflow.requeue_failures(:'print');
SELECT photoflow.abandon_failures(:'print', 'no hope');
SELECT photoflow.abandon_failures(:'print'), photoflow.cancel_failures(:'print');
SELECT * FROM lab.look(lab.f(41), lab.f(42), lab.f(43), lab.f(44), lab.f(45), lab.f(51), lab.f(52));
-- (it is another error now)
SELECT photoflow.cancel_failures(photoflow.error_fingerprint('no hope'));
SELECT n, status FROM lab.look(lab.f(41), lab.f(42), lab.f(43), lab.f(44), lab.f(45), lab.f(51), lab.f(52));
ROLLBACK;
SELECT photoflow.cancel_failures(:'print');
SELECT n, status FROM lab.look(lab.f(41), lab.f(42), lab.f(43), lab.f(44), lab.f(45), lab.f(51), lab.f(52));
SELECT photoflow.requeue_failures(:'print');
SELECT n, status FROM lab.look(lab.f(41), lab.f(42), lab.f(43), lab.f(44), lab.f(45), lab.f(51), lab.f(52));
SELECT photoflow.requeue_failures('no such print'), photoflow.cancel_failures(''), photoflow.abandon_failures('no such print', NULL);
SELECT * FROM lab.wrong();

-- Reports ----------------------------------------------------------------------------------------------------------------
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;
SELECT lab.failed(1, error => 'disk 1 is full') \g /dev/null
SELECT lab.failed(2, error => 'disk 2 is full') \g /dev/null
SELECT lab.failed(3, 62, error => 'disk 3 is full') \g /dev/null
SELECT lab.failed(4, error => 'timeout'), lab.failed(5, error => NULL), lab.failed(6, error => 'gone') \g /dev/null
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(6);
SELECT photoflow.cancel_failures(ARRAY[lab.f(4)]);
UPDATE "FailureRecords" SET "NextRetryAt" = now() + interval '1 hour' WHERE "Id" = lab.f(1);
SET photoflow.org_id = :'org61';
SELECT fingerprint = photoflow.error_fingerprint(sample) AS its, sample, count, first_seen <= last_seen AS seen, next_retry_at <= now() AS due FROM photoflow.failure_groups();
SELECT sample, count, next_retry_at <= now() AS due FROM photoflow.failure_groups('0');
SELECT sample FROM photoflow.failure_groups('-1 day');
SELECT status, severity, records FROM photoflow.failure_stats;
RESET photoflow.org_id;
SELECT sample, count FROM photoflow.failure_groups('1 hour') WHERE sample LIKE 'disk%';
SELECT photoflow.failure_groups(NULL);
\echo :LAST_ERROR_SQLSTATE
-- one that runs: when its lease ends; the newest message of all; what was last seen long ago is not shown
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, '2 hours', org_id => :'org');
SET photoflow.org_id = :'org61';
SELECT sample, count, next_retry_at - now() BETWEEN '59 minutes' AND '1 hour' AS an_hour FROM photoflow.failure_groups() WHERE next_retry_at IS NOT NULL;
RESET photoflow.org_id;
SET session_replication_role = replica;
UPDATE "FailureRecords" SET "LastFailedAt" = now() - interval '2 days' WHERE "Id" IN (lab.f(1), lab.f(2));
RESET session_replication_role;
SET photoflow.org_id = :'org61';
SELECT sample, count FROM photoflow.failure_groups();
SELECT sample, count FROM photoflow.failure_groups('3 days');
RESET photoflow.org_id;
-- attempts: of a record that is there
SELECT photoflow.failure_attempts(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.failure_attempts(lab.f(99));
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM photoflow.failure_attempts(lab.f(4));
SELECT * FROM lab.attempts(lab.f(2));
SET photoflow.org_id = :'org62';
SELECT photoflow.failure_attempts(lab.f(2));
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_failure_studio;
SELECT photoflow.failure_attempts(lab.f(2));
\echo :LAST_ERROR_SQLSTATE
SELECT org_id = :'org62' AS mine, status, records FROM photoflow.failure_stats;
SELECT sample, count FROM photoflow.failure_groups();
RESET photoflow.org_id;
SELECT * FROM photoflow.failure_stats;
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.failure_groups();
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.failure_attempts(lab.f(2));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.next_failure_due();
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.recount_failures();
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_failure_policy('Album');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.grant_worker('regress_failure_studio');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.queue_failures(1);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- a worker that is none any more
SELECT photoflow.revoke_worker('regress_failure_worker');
SET ROLE regress_failure_worker;
SELECT photoflow.claim_failures('worker');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT photoflow.grant_worker('regress_failure_worker');
-- counts that somebody has spoilt are put right
SET session_replication_role = replica;
UPDATE "FailureRecords" SET "Severity" = 3 WHERE "Id" = lab.f(2);
RESET session_replication_role;
SELECT problem, regexp_replace(what, '^\S+ ', '') AS what FROM lab.wrong() ORDER BY 2;
SELECT photoflow.recount_failures() = (SELECT count(*) FROM "FailureRecords" WHERE NOT "IsDeleted") AS counted;
SELECT * FROM lab.wrong();
-- records that were loaded past the triggers get their place
SET session_replication_role = replica;
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "ErrorMessage", "Status") SELECT lab.f(10 + n), lab.org(64), lab.id('album', 61010 + n), 'Album', 'loaded', n FROM generate_series(0, 4) n;
RESET session_replication_role;
SELECT photoflow.recount_failures() > 0 AS counted;
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => lab.org(64));
SELECT photoflow.queue_failures(NULL);
SELECT photoflow.queue_failures(0), photoflow.queue_failures(-1);
SELECT photoflow.queue_failures(1);
SELECT photoflow.queue_failures(NULL);
SELECT photoflow.queue_failures(1000);
SELECT photoflow.queue_failures(1000);
SELECT photoflow.queue_failures(NULL);
SELECT * FROM lab.look(lab.f(10), lab.f(11), lab.f(12), lab.f(13), lab.f(14));
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', org_id => lab.org(64));
-- (what is finished is left as it was loaded)
SELECT problem, count(*) FROM lab.wrong() GROUP BY 1 ORDER BY 1;
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" = lab.org(64);
RESET photoflow.hard_delete;
SELECT * FROM lab.wrong();

-- Policies ---------------------------------------------------------------------------------------------------------------
SELECT * FROM photoflow.failure_policies;
SELECT photoflow.set_failure_policy('Mail', base => '1 minute');
SELECT photoflow.set_failure_policy('Album', max_retries => 0), photoflow.set_failure_policy('', base => '0', cap => '0');
SELECT * FROM photoflow.failure_policies;
SELECT photoflow.set_failure_policy('Mail'), photoflow.set_failure_policy(''), photoflow.set_failure_policy('Nothing');
SELECT * FROM photoflow.failure_policies;
SELECT photoflow.set_failure_policy(NULL, base => '1 s');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_failure_policy('Album', base => '-1 s');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_failure_policy('Album', cap => '-1 s');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_failure_policy('Album', max_retries => -1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_failure_policy('Album', lease => '0');
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT photoflow.set_failure_policy('Album', base => '200000 years');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT photoflow.set_failure_policy('Album', lease => '200000 years');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT * FROM photoflow.failure_policies;
-- it holds from the statement on, also for what waits already; and what is rolled back does not
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;
SELECT lab.failed(21), lab.failed(22) \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', 1, entity_types => '{Album}', org_id => :'org');
SELECT n, status FROM lab.look(lab.f(21), lab.f(22));
BEGIN;
SELECT photoflow.set_failure_policy('Album', lease => '1 day');
SELECT photoflow.requeue_failures(ARRAY[lab.f(21)]);
SELECT lab.n(id) AS n, lease_until - now() > '23 hours' AS a_day FROM photoflow.claim_failures('worker', 1, entity_types => '{Album}', org_id => :'org');
ROLLBACK;
SELECT entity_type, max_retries, lease FROM photoflow.failure_policies;
BEGIN;
SAVEPOINT s;
SELECT photoflow.set_failure_policy('Album');
SELECT max_retries FROM photoflow.failure_policies WHERE entity_type = 'Album';
ROLLBACK TO s;
SELECT max_retries FROM photoflow.failure_policies WHERE entity_type = 'Album';
COMMIT;
SELECT photoflow.set_failure_policy('Album');
-- a plain statement is heard of as well
INSERT INTO "FailurePolicies" ("EntityType", "MaxRetries") VALUES ('Job', 1);
SELECT * FROM photoflow.failure_policies;
UPDATE "FailurePolicies" SET "MaxRetries" = 2;
SELECT max_retries FROM photoflow.failure_policies WHERE entity_type = 'Job';
DELETE FROM "FailurePolicies";
SELECT count(*) FROM photoflow.failure_policies;
INSERT INTO "FailurePolicies" ("EntityType", "MaxRetries") VALUES ('Job', 1);
TRUNCATE "FailurePolicies";
SELECT count(*) FROM photoflow.failure_policies;
-- delays of a type with a policy: between nothing and min(cap, base * 2^(retries-1)), in the record as in the answer
SELECT photoflow.set_failure_policy('Slow', base => '10 days', cap => '30 days');
SELECT lab.failed(31, type => 'Slow') \g /dev/null
CREATE FUNCTION lab.delays(record uuid, times int) RETURNS TABLE (retry int, longest interval, within boolean) LANGUAGE plpgsql AS $$
DECLARE
	token bigint;
BEGIN
	FOR i IN 1 .. times LOOP
		UPDATE "FailureRecords" SET "NextRetryAt" = now() WHERE "Id" = record;
		SELECT c.claim_token, c.retry_count INTO token, retry FROM photoflow.claim_failures('worker', 1, entity_types => '{Slow}', org_id => lab.org(61)) c;
		longest := photoflow.retry_delay(retry, '10 days', '30 days', 1);
		SELECT r.next_retry_at - clock_timestamp() BETWEEN '-1 minute' AND longest INTO within FROM photoflow.reschedule_failures(ARRAY[record], ARRAY[token], NULL) r;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT * FROM lab.delays(lab.f(31), 9);
SELECT photoflow.set_failure_policy('Slow');

-- Recovering -------------------------------------------------------------------------------------------------------------
SELECT lab.album(61101) \g /dev/null
SELECT lab.album(n, org => 61) FROM generate_series(61121, 61132) n \g /dev/null
-- Takes album 61120 + n to a state, and makes record n of the step from the one before.
CREATE FUNCTION lab.stuck(n int, state int DEFAULT 2) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	PERFORM photoflow.fire(lab.id('album', 61120 + n), 'SyncRawTag');
	IF state > 1 THEN
		PERFORM photoflow.fire(lab.id('album', 61120 + n), 'SyncStockTag');
	END IF;
	INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "FromState", "ToState") VALUES (lab.f(120 + n), lab.org(61), lab.id('album', 61120 + n), 'Album', 'Raw', 'Stock');
	RETURN lab.f(120 + n);
END $$;
CREATE FUNCTION lab.state(n int) RETURNS text LANGUAGE sql AS $$
	SELECT photoflow.state_name("AlbumState", "WorkflowVersion") || ', ' || (SELECT string_agg("Trigger" || ' ' || "FromState" || '-' || "ToState", ', ' ORDER BY "Id") FROM "AlbumTransitions" WHERE "AlbumId" = a."Id")
	FROM "Albums" a WHERE "Id" = lab.id('album', n)
$$;
SELECT lab.stuck(1) AS stuck \gset
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61121), n, status, finished FROM lab.look(:'stuck');
SELECT photoflow.recover(:'stuck');
-- one that a worker holds: his claim is over
SELECT lab.stuck(2) AS stuck \gset
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', 9, entity_types => '{Album}', org_id => :'org');
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61122), n, status, finished FROM lab.look(:'stuck');
SELECT * FROM lab.attempts(:'stuck');
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[:'stuck'::uuid], '{1}');
-- already there
SELECT lab.stuck(3, 1) AS stuck \gset
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61123), n, status, finished FROM lab.look(:'stuck');
-- moved on
SELECT lab.stuck(4) AS stuck \gset
SELECT to_state FROM photoflow.fire(lab.id('album', 61124), 'Rate');
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61124), n, status, finished FROM lab.look(:'stuck');
-- its state was reached by another way: stepped back from Stock to Stock
SELECT lab.stuck(5) AS stuck \gset
SELECT to_state FROM photoflow.fire(lab.id('album', 61125), 'SyncStockTag');
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61125), n, status, finished FROM lab.look(:'stuck');
-- no state of the workflow; no FromState; no ToState: from wherever it is
SELECT lab.stuck(6) AS stuck \gset
UPDATE "FailureRecords" SET "FromState" = 'Cooked' WHERE "Id" = :'stuck';
SELECT photoflow.recover(:'stuck');
UPDATE "FailureRecords" SET "FromState" = NULL WHERE "Id" = :'stuck';
SELECT photoflow.recover(:'stuck');
UPDATE "FailureRecords" SET "FromState" = 'Raw', "ToState" = NULL WHERE "Id" = :'stuck';
SELECT photoflow.recover(:'stuck');
SELECT lab.state(61126), n, status, finished FROM lab.look(:'stuck');
-- not an album; an album that is not there, another's, deleted
SELECT lab.failed(71, type => 'Photo'), lab.failed(72), lab.failed(73) \g /dev/null
SELECT photoflow.recover(lab.f(71)), photoflow.recover(lab.f(72));
UPDATE "FailureRecords" SET "EntityId" = lab.id('album', 61101) WHERE "Id" = lab.f(73);
SELECT photoflow.recover(lab.f(73));
SELECT lab.stuck(7) AS stuck \gset
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 61127);
SELECT photoflow.recover(:'stuck');
SELECT n, status, finished FROM lab.look(lab.f(71), lab.f(72), lab.f(73), :'stuck');
-- a record that is cancelled, deleted; one that was given up is recovered
SELECT lab.stuck(8) AS stuck \gset
SELECT photoflow.cancel_failures(ARRAY[:'stuck'::uuid]), photoflow.recover(:'stuck');
SELECT lab.stuck(9) AS stuck \gset
DELETE FROM "FailureRecords" WHERE "Id" = :'stuck';
SELECT photoflow.recover(:'stuck');
SELECT lab.stuck(10) AS stuck \gset
SELECT photoflow.abandon_failures(ARRAY[:'stuck'::uuid]), photoflow.recover(:'stuck');
SELECT lab.state(61128), lab.state(61129), lab.state(61130);
-- a role that may not take it back, one that may; the album of another organization's record
SELECT lab.stuck(11) AS stuck \gset
SELECT lab.failed(74, 62) \g /dev/null
SET ROLE regress_failure_studio;
SELECT photoflow.recover(:'stuck');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org61';
SELECT photoflow.recover(:'stuck');
SET photoflow.role = 'anonymous';
SELECT photoflow.recover(:'stuck');
RESET ROLE;
SELECT lab.state(61131), n, status, finished FROM lab.look(:'stuck');
SET ROLE regress_failure_studio;
SET photoflow.role = 'photographer';
SELECT photoflow.recover(:'stuck');
SELECT photoflow.recover(lab.f(74));
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET photoflow.role;
RESET ROLE;
SELECT lab.state(61131), n, status, finished FROM lab.look(:'stuck');
-- a worker acts for the database, without a role and without a right
SELECT lab.stuck(12) AS stuck \gset
SET ROLE regress_failure_worker;
SELECT photoflow.recover(:'stuck');
RESET ROLE;
SELECT lab.state(61132), n, status, finished FROM lab.look(:'stuck');
SELECT h.trigger, h.role, h.reason FROM lab.history(lab.id('album', 61132)) h ORDER BY h.n DESC LIMIT 1;
SELECT photoflow.recover(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.recover(lab.f(99));
\echo :LAST_ERROR_SQLSTATE
BEGIN READ ONLY;
SELECT photoflow.recover(:'stuck');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT * FROM lab.broken(61121, 61132);
SELECT * FROM lab.wrong();

-- Deleting ---------------------------------------------------------------------------------------------------------------
-- while it is held: the claim is lost, and comes back with the record
SELECT lab.held(81), lab.held(82), lab.failed(83) \g /dev/null
SELECT table_name, deleted_rows FROM photoflow.soft_delete('"FailureRecords"', ARRAY[lab.f(81), lab.f(82), lab.f(83)]);
SELECT "DeletionId" AS gone FROM "FailureRecords" WHERE "Id" = lab.f(81) \gset
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(81)], '{1}');
SELECT lab.n(id) AS n, ok, status, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(81)], '{1}', NULL);
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(81)], '{1}', '1 hour');
SELECT lab.n(id) AS n, ok FROM photoflow.snooze_failures(ARRAY[lab.f(81)], '{1}', now());
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org') WHERE id BETWEEN lab.f(81) AND lab.f(83);
SELECT photoflow.abandon_failures(ARRAY[lab.f(82)]);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = 2 WHERE "Id" = lab.f(82);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.attempts(lab.f(81));
SELECT * FROM lab.wrong();
SELECT table_name, restored_rows FROM photoflow.restore(:'gone');
SELECT * FROM lab.look(lab.f(81), lab.f(82), lab.f(83));
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(81)], '{1}');
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', org_id => :'org') WHERE id BETWEEN lab.f(81) AND lab.f(83);
SELECT * FROM lab.wrong();
-- its attempts go with it when it is purged
SELECT ok FROM photoflow.reschedule_failures(ARRAY[lab.f(82), lab.f(83)], '{1,1}', NULL, '0');
SELECT count(*) FROM "FailureAttempts" WHERE "FailureId" IN (lab.f(82), lab.f(83));
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(82);
SELECT count(*) FROM "FailureAttempts" WHERE "FailureId" IN (lab.f(82), lab.f(83));
CALL photoflow.purge('0', org_id => :'org');
SELECT lab.n("FailureId") AS n, "Outcome" FROM "FailureAttempts" WHERE "FailureId" IN (lab.f(82), lab.f(83));
SELECT count(*) FROM "FailureRecords" WHERE "Id" = lab.f(82);
-- and when it is deleted for good
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(83);
RESET photoflow.hard_delete;
SELECT lab.n("FailureId") AS n, "Outcome" FROM "FailureAttempts" WHERE "FailureId" = lab.f(83);
SELECT * FROM lab.wrong();

-- one claim gives up no more than 500; the next goes on
SELECT count(photoflow.record_failure('Lot', gen_random_uuid(), 'A', 'B', 'hopeless', org_id => lab.org(64), max_retries => 0)) FROM generate_series(1, 1100);
SELECT count(photoflow.record_failure('Lot', gen_random_uuid(), 'A', 'B', 'hopeful', org_id => lab.org(64))) FROM generate_series(1, 3);
SELECT c.error_message, r."Status", count(*) FROM photoflow.claim_failures('worker', 10, entity_types => '{Lot}') c FULL JOIN "FailureRecords" r ON r."Id" = c.id WHERE r."EntityType" = 'Lot' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT "Status", count(*) FROM "FailureRecords" WHERE "EntityType" = 'Lot' GROUP BY 1 ORDER BY 1;
SELECT error_message FROM photoflow.claim_failures('worker', 10, entity_types => '{Lot}', fair => false);
SELECT "Status", count(*) FROM "FailureRecords" WHERE "EntityType" = 'Lot' GROUP BY 1 ORDER BY 1;
SELECT error_message FROM photoflow.claim_failures('worker', 10, entity_types => '{Lot}');
SELECT "Status", count(*) FROM "FailureRecords" WHERE "EntityType" = 'Lot' GROUP BY 1 ORDER BY 1;
SELECT * FROM lab.wrong();

-- Nothing is left of it
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;
SELECT * FROM lab.wrong();
SELECT count(*) FROM photoflow.failure_stats WHERE org_id IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
SELECT count(*) FROM "FailureAttempts" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
SET photoflow.hard_delete = on;
DELETE FROM "PhotoProcs" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
DELETE FROM "AlbumTags" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
DELETE FROM "Albums" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
DELETE FROM "AlbumTransitions" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
DELETE FROM "DeletionReasons" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
DELETE FROM "Organizations" WHERE "Id" IN (SELECT lab.org(n) FROM generate_series(61, 64) n);
RESET photoflow.hard_delete;
SELECT photoflow.revoke_worker('regress_failure_worker');
DROP OWNED BY regress_failure_studio, regress_failure_worker, regress_failure_reader;
DROP ROLE regress_failure_studio, regress_failure_worker, regress_failure_reader;
DROP TABLE errors, before, claimed;
DROP FUNCTION lab.f(int), lab.n(uuid), lab.failed(int, int, text, text, int), lab.held(int, interval, int, text, int), lab.look(uuid[]), lab.attempts(uuid), lab.wrong(), lab.ask(text), lab.five(int, text), lab.delays(uuid, int), lab.stuck(int, int),
	lab.state(int);
DROP PROCEDURE lab.end_leases(uuid[]);
