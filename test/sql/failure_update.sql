-- Failure records by plain SQL: the status goes only where it may, and what goes with it is the database's, whatever the statement looks like.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") SELECT lab.org(n), n FROM generate_series(63, 64) n;
CREATE ROLE regress_photoflow_studio;
SELECT photoflow.grant_app('regress_photoflow_studio') \g /dev/null
-- lab.f(7) is record 7, and lab.n() its number
CREATE FUNCTION lab.f(n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT RETURN lab.id('failure', 61000 + n);
CREATE FUNCTION lab.n(id uuid) RETURNS int LANGUAGE sql IMMUTABLE STRICT RETURN right(id::text, 12)::bigint % 1000;
-- A record in any status, by the ways there are.
CREATE FUNCTION lab.failed(n int, status int DEFAULT 0, org int DEFAULT 63) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "FromState", "ToState", "ErrorMessage") VALUES (lab.f(n), lab.org(org), lab.id('album', 61000 + n), 'Album', 'Raw', 'Stock', 'boom');
	IF status > 0 THEN
		UPDATE "FailureRecords" SET "Status" = 1 WHERE "Id" = lab.f(n);
	END IF;
	IF status > 1 THEN
		UPDATE "FailureRecords" SET "Status" = status WHERE "Id" = lab.f(n);
	END IF;
	RETURN lab.f(n);
END $$;
-- What there is to see of records, without times; a worker that is who does all this has no name.
CREATE FUNCTION lab.look(VARIADIC ns int[]) RETURNS TABLE (n int, status int, severity int, retries int, token bigint, worker text, place text, lease text, finished boolean, occurrences int, error text, first_error text, attempts text)
	LANGUAGE sql AS $$
	SELECT i.n, r."Status", r."Severity", r."RetryCount", r."ClaimToken", CASE WHEN r."ClaimedBy" IN (current_user, 'regress_photoflow_studio') THEN '(user)' ELSE r."ClaimedBy" END,
		CASE WHEN r."NextRetryAt" > clock_timestamp() THEN 'later' WHEN r."NextRetryAt" <= clock_timestamp() THEN 'due' END,
		CASE WHEN r."LeaseUntil" > clock_timestamp() THEN 'runs' WHEN r."LeaseUntil" <= clock_timestamp() THEN 'ended' END,
		r."FinishedAt" <= clock_timestamp(), r."Occurrences", r."ErrorMessage", r."FirstError",
		(SELECT string_agg(a.attempt || ' ' || a.outcome, ', ' ORDER BY a.attempt) FROM photoflow.failure_attempts(r."Id") a)
	FROM unnest(ns) WITH ORDINALITY i (n, o) JOIN "FailureRecords" r ON r."Id" = lab.f(i.n) ORDER BY i.o
$$;
-- What must not be: an open record without a place, a finished one with, counts that are wrong, an attempt that has ended and runs.
CREATE FUNCTION lab.wrong() RETURNS TABLE (problem text, n int, what text) LANGUAGE sql AS $$
	SELECT 'place', lab.n("Id"), "Status"::text FROM "FailureRecords" WHERE "OrgId" IN (lab.org(63), lab.org(64)) AND ("Status" IN (0, 1)) <> ("NextRetryAt" IS NOT NULL)
	UNION ALL SELECT 'lease', lab.n("Id"), "Status"::text FROM "FailureRecords" WHERE "OrgId" IN (lab.org(63), lab.org(64)) AND ("Status" = 1) <> ("LeaseUntil" IS NOT NULL)
	UNION ALL SELECT 'end', lab.n("Id"), "Status"::text FROM "FailureRecords" WHERE "OrgId" IN (lab.org(63), lab.org(64)) AND ("Status" > 1) <> ("FinishedAt" IS NOT NULL)
	UNION ALL SELECT 'fingerprint', lab.n("Id"), "ErrorMessage" FROM "FailureRecords" WHERE "OrgId" IN (lab.org(63), lab.org(64)) AND "Fingerprint" IS DISTINCT FROM photoflow.error_fingerprint("ErrorMessage")
	UNION ALL SELECT 'attempt', lab.n(a."FailureId"), a."Attempt"::text FROM "FailureAttempts" a LEFT JOIN "FailureRecords" r ON r."Id" = a."FailureId" AND r."OrgId" = a."OrgId"
		WHERE a."OrgId" IN (lab.org(63), lab.org(64)) AND (r."Id" IS NULL OR a."Attempt" NOT BETWEEN 1 AND r."ClaimToken" OR a."Attempt" = r."ClaimToken" AND r."Status" = 1)
	UNION ALL SELECT 'stats', NULL, format('%s %s: %s, not %s', status, severity, s, c) FROM (SELECT org_id, status, severity, records FROM photoflow.failure_stats WHERE org_id IN (lab.org(63), lab.org(64))) s (org, status, severity, s)
		FULL JOIN (SELECT "OrgId", coalesce(('{pending,in progress,resolved,abandoned,cancelled}'::text[])["Status" + 1], "Status"::text), coalesce(('{low,medium,high,critical}'::text[])["Severity" + 1], "Severity"::text), count(*)
			FROM "FailureRecords" WHERE NOT "IsDeleted" AND "OrgId" IN (lab.org(63), lab.org(64)) GROUP BY 1, 2, 3) c (org, status, severity, c) USING (org, status, severity)
		WHERE s IS DISTINCT FROM c
$$;
CREATE PROCEDURE lab.clear() LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL photoflow.hard_delete = on;
	DELETE FROM "FailureRecords" WHERE "OrgId" IN (lab.org(63), lab.org(64));
END $$;
SELECT lab.org(63) AS org63, lab.org(64) AS org64 \gset

-- Every pair of statuses: what comes of it, or the refusal ----------------------------------------------------------------
CREATE FUNCTION lab.move(n int, to_status int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	rows int;
BEGIN
	UPDATE "FailureRecords" SET "Status" = to_status WHERE "Id" = lab.f(n);
	GET DIAGNOSTICS rows = ROW_COUNT;
	RETURN rows;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT count(lab.failed(10 * f + t, f)) FROM generate_series(0, 4) f, generate_series(0, 4) t;
SELECT * FROM lab.wrong();
SELECT f, t, lab.move(10 * f + t, t) FROM generate_series(0, 4) f, generate_series(0, 4) t \g /dev/null
SELECT n / 10 AS "from", n % 10 AS "to", l.* FROM generate_series(0, 4) f, generate_series(0, 4) t, lab.look(10 * f + t) l ORDER BY 1, 2;
SELECT * FROM lab.wrong();
CALL lab.clear();
-- told: 1 row, or the SQLSTATE; to an application the same
SELECT count(lab.failed(10 * f + t, f)) FROM generate_series(0, 4) f, generate_series(0, 4) t;
SET ROLE regress_photoflow_studio;
SET photoflow.org_id = :'org63';
SELECT f AS "from", string_agg(lab.move(10 * f + t, t), ' ' ORDER BY t) AS "to 0 1 2 3 4" FROM generate_series(0, 4) f, generate_series(0, 4) t GROUP BY 1 ORDER BY 1;
-- another organization's is not there
SELECT lab.move(1, 2);
SET photoflow.org_id = :'org64';
SELECT lab.move(2, 0);
RESET photoflow.org_id;
SELECT lab.move(2, 0);
RESET ROLE;
SELECT n / 10 AS "from", n % 10 AS "to", l.status, l.retries, l.token, l.worker, l.attempts FROM generate_series(0, 4) f, generate_series(0, 4) t, lab.look(10 * f + t) l ORDER BY 1, 2;
SELECT * FROM lab.wrong();
CALL lab.clear();
-- the words of it
SELECT lab.failed(1), lab.failed(2, 2), lab.failed(3, 4) \g /dev/null
UPDATE "FailureRecords" SET "Status" = 0 WHERE "Id" = lab.f(2);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = 3 WHERE "Id" = lab.f(3);
\echo :LAST_ERROR_SQLSTATE
-- numbers that are no status
UPDATE "FailureRecords" SET "Status" = 5 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = -1 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = 2147483647 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = 32 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
UPDATE "FailureRecords" SET "Status" = NULL WHERE "Id" = lab.f(1);
\set VERBOSITY default
SET session_replication_role = replica;
UPDATE "FailureRecords" SET "Status" = 9 WHERE "Id" = lab.f(1);
RESET session_replication_role;
UPDATE "FailureRecords" SET "Status" = 0 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
UPDATE "FailureRecords" SET "Status" = 9, "Payload" = '{}' WHERE "Id" = lab.f(1);
SELECT status, severity, records FROM photoflow.failure_stats WHERE org_id = :'org63' AND status NOT IN ('resolved', 'cancelled');
SELECT photoflow.recount_failures() >= 3 AS counted;
SELECT status, severity, records FROM photoflow.failure_stats WHERE org_id = :'org63' ORDER BY 1;
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{0}');
CALL lab.clear();

-- A plain claim: the lease of the policy, the next token, one retry more; the user is the worker
SELECT photoflow.set_failure_policy('Album', base => '10 days', max_retries => 2, lease => '1 day');
SELECT lab.failed(1), lab.failed(2) \g /dev/null
UPDATE "FailureRecords" SET "NextRetryAt" = now() + interval '1 hour' WHERE "Id" = lab.f(2);
UPDATE "FailureRecords" SET "Status" = 1 WHERE "Id" IN (lab.f(1), lab.f(2));
SELECT lab.n("Id") AS n, "LeaseUntil" - "LastRetryAt" = '1 day' AS a_day, "LastRetryAt" BETWEEN "CreatedAt" AND clock_timestamp() AS retried, "NextRetryAt" <= clock_timestamp() AS place FROM "FailureRecords" WHERE "OrgId" = :'org63' ORDER BY 1;
SELECT * FROM lab.look(1, 2);
-- its token is as good as any
SELECT ok FROM photoflow.extend_lease(ARRAY[lab.f(1)], '{1}', '2 days');
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(1), lab.f(1)], '{2,1}');
-- given back: it waits as the policy says, and the attempt has failed
UPDATE "FailureRecords" SET "Status" = 0, "ErrorMessage" = 'again' WHERE "Id" = lab.f(2);
SELECT "NextRetryAt" BETWEEN now() AND now() + interval '10 days 1 minute' AS later, "LastFailedAt" > "LastRetryAt" AS failed FROM "FailureRecords" WHERE "Id" = lab.f(2);
SELECT error, first_error, attempts, token, retries FROM lab.look(2);
-- again and again: it waits also when its retries are used up, since that was asked for; the claim that meets it gives it up
UPDATE "FailureRecords" SET "Status" = 1 WHERE "Id" = lab.f(2);
SELECT status, retries, token FROM lab.look(2);
UPDATE "FailureRecords" SET "Status" = 0 WHERE "Id" = lab.f(2);
SELECT * FROM lab.look(2);
UPDATE "FailureRecords" SET "NextRetryAt" = now() WHERE "Id" = lab.f(2);
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT * FROM lab.look(2);
SELECT * FROM lab.wrong();
SELECT photoflow.set_failure_policy('Album');
CALL lab.clear();

-- New records -------------------------------------------------------------------------------------------------------------
-- an application's begin pending, with nothing behind them
SET ROLE regress_photoflow_studio;
SET photoflow.org_id = :'org63';
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "ErrorMessage", "Severity", "MaxRetries", "Payload") VALUES (lab.f(1), lab.id('album', 61001), 'Album', 'boom', 2, 7, '{}') RETURNING "Status", "RetryCount", "ClaimToken", "Occurrences", "OrgId" = :'org63' AS mine;
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "Status", "RetryCount", "ClaimToken", "Occurrences", "LastRetryAt", "LeaseUntil", "ClaimedBy", "FinishedAt", "FirstError") VALUES (lab.f(2), lab.id('album', 61001), 'Album', 0, 0, 0, 1, NULL, NULL, NULL, NULL, NULL);
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "NextRetryAt") VALUES (lab.f(3), lab.id('album', 61001), 'Album', now() + interval '1 hour'), (lab.f(4), lab.id('album', 61001), 'Album', '2001-01-01');
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "Status") VALUES (lab.f(5), lab.id('album', 61001), 'Album', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "Status") VALUES (lab.f(5), lab.id('album', 61001), 'Album', 0), (lab.f(6), lab.id('album', 61001), 'Album', 2);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("Id", "EntityId", "EntityType", "Status") VALUES (lab.f(5), lab.id('album', 61001), 'Album', 9);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("EntityId", "EntityType", "RetryCount") VALUES (lab.id('album', 61001), 'Album', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("EntityId", "EntityType", "LastRetryAt") VALUES (lab.id('album', 61001), 'Album', now());
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("EntityId", "EntityType", "OrgId") VALUES (lab.id('album', 61001), 'Album', :'org64');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
INSERT INTO "FailureRecords" ("EntityId", "EntityType") VALUES (lab.id('album', 61001), 'Album');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT * FROM lab.look(1, 2, 3, 4);
SELECT * FROM lab.wrong();
-- the owner loads them as they were, but for what the queue needs
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "Status", "RetryCount", "LastRetryAt", "ClaimToken", "ClaimedBy", "LeaseUntil", "FinishedAt", "Occurrences", "FirstError", "Fingerprint", "NextRetryAt", "ErrorMessage", "LastFailedAt")
	SELECT lab.f(10 + s), :'org63', lab.id('album', 61010), 'Album', s, 3, now() - interval '1 hour', 4, 'loaded', CASE s WHEN 1 THEN now() + interval '1 hour' END, CASE WHEN s > 1 THEN now() END, 5, 'first', 'a print of its own', '2001-01-01', 'boom', '2001-01-01' FROM generate_series(0, 4) s;
SELECT * FROM lab.look(10, 11, 12, 13, 14);
SELECT bool_and("LastFailedAt" = '2001-01-01') AS failed, bool_and("LastRetryAt" < now()) AS retried FROM "FailureRecords" WHERE "ClaimedBy" = 'loaded';
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "Status") VALUES (lab.f(5), :'org63', lab.id('album', 61001), 'Album', 5);
\echo :LAST_ERROR_SQLSTATE
SELECT ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(11)], '{4}');
SELECT * FROM lab.wrong();
CALL lab.clear();

-- What a statement does not write -------------------------------------------------------------------------------------------
SELECT lab.failed(1), lab.failed(2, 1), lab.failed(3, 2) \g /dev/null
CREATE FUNCTION lab.set(assignment text, n int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE "FailureRecords" SET %s WHERE "Id" = lab.f(%s)', assignment, n);
	RETURN '00000';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT a, string_agg(lab.set(a, n), ', ' ORDER BY n) FROM unnest(ARRAY['"RetryCount" = "RetryCount" + 1', '"RetryCount" = NULL', '"LastRetryAt" = now()', '"LeaseUntil" = now() + interval ''1 hour''', '"ClaimToken" = 7', '"ClaimedBy" = ''me''', '"FinishedAt" = now()',
	'"Fingerprint" = ''f''', '"Occurrences" = 2', '"Occurrences" = NULL', '"LastFailedAt" = NULL', '"FirstError" = ''e''', '"Status" = 9 - "Status", "RetryCount" = 9', '"IsDeleted" = true, "ClaimToken" = 2', '"Severity" = 3, "Occurrences" = 9', '"Id" = photoflow.uuid_v7()'])
	WITH ORDINALITY x (a, o), generate_series(1, 3) n GROUP BY a, o ORDER BY o;
UPDATE "FailureRecords" SET "ClaimToken" = 7 WHERE "Id" = lab.f(1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.look(1, 2, 3);
-- the same value is no change: who writes all columns back, as EF Core's Update() does, is not refused
UPDATE "FailureRecords" SET "Status" = "Status", "RetryCount" = "RetryCount", "LastRetryAt" = "LastRetryAt", "LeaseUntil" = "LeaseUntil", "ClaimToken" = "ClaimToken", "ClaimedBy" = "ClaimedBy", "FinishedAt" = "FinishedAt", "Fingerprint" = "Fingerprint",
	"Occurrences" = "Occurrences", "LastFailedAt" = "LastFailedAt", "FirstError" = "FirstError", "NextRetryAt" = "NextRetryAt", "ErrorMessage" = "ErrorMessage", "IsDeleted" = "IsDeleted", "Payload" = '{}' WHERE "OrgId" = :'org63';
SELECT * FROM lab.look(1, 2, 3);
-- its place: while it waits, and not nowhere; a time that has passed is now
SELECT a, string_agg(lab.set(a, n), ', ' ORDER BY n) FROM unnest(ARRAY['"NextRetryAt" = now() + interval ''1 hour''', '"NextRetryAt" = ''-infinity''', '"NextRetryAt" = NULL', '"NextRetryAt" = ''infinity''', '"NextRetryAt" = ''2001-01-01''']) WITH ORDINALITY x (a, o), generate_series(1, 3) n GROUP BY a, o ORDER BY o;
SELECT n, status, place FROM lab.look(1, 2, 3);
SELECT "NextRetryAt" BETWEEN "CreatedAt" AND clock_timestamp() AS now FROM "FailureRecords" WHERE "Id" = lab.f(1);
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', org_id => :'org63');
-- with a status that moves: a time that is given is kept, or refused; it is not dropped in silence
SELECT lab.failed(4, 1), lab.failed(5, 3) \g /dev/null
CREATE FUNCTION lab.keeps(n int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	told text := lab.set('"Status" = 0, "NextRetryAt" = ''2100-01-01''', n);
BEGIN
	RETURN told = '27000' OR (SELECT "NextRetryAt" = '2100-01-01' FROM "FailureRecords" WHERE "Id" = lab.f(n));
END $$;
SELECT lab.keeps(4), lab.keeps(5);
-- messages: the first is kept, the fingerprint is the newest one's
SELECT lab.failed(7) \g /dev/null
UPDATE "FailureRecords" SET "ErrorMessage" = 'second 2' WHERE "Id" = lab.f(7);
UPDATE "FailureRecords" SET "ErrorMessage" = 'third 3' WHERE "Id" = lab.f(7);
SELECT error, first_error, occurrences FROM lab.look(7);
UPDATE "FailureRecords" SET "ErrorMessage" = NULL WHERE "Id" = lab.f(7) RETURNING "Fingerprint";
UPDATE "FailureRecords" SET "ErrorMessage" = 'fourth' WHERE "Id" = lab.f(7);
SELECT error, first_error FROM lab.look(7);
SELECT * FROM lab.wrong();
-- what is an application's to say it may change at any time
UPDATE "FailureRecords" SET "Severity" = 3, "Payload" = '[]', "MaxRetries" = 1, "FromState" = 'Init', "ToState" = NULL, "EntityType" = 'Photo' WHERE "OrgId" = :'org63';
UPDATE "FailureRecords" SET "Severity" = 17 WHERE "Id" = lab.f(7);
SELECT severity, records FROM photoflow.failure_stats WHERE org_id = :'org63' AND status = 'pending' ORDER BY 1;
SELECT * FROM lab.wrong();
CALL lab.clear();

-- Statements of all kinds -------------------------------------------------------------------------------------------------
SELECT count(lab.failed(n)) FROM generate_series(1, 9) n;
\set QUIET off
-- MERGE
MERGE INTO "FailureRecords" r USING (VALUES (lab.f(1), 1), (lab.f(2), 2), (lab.f(3), 0)) s (id, status) ON r."Id" = s.id
	WHEN MATCHED AND s.status > 0 THEN UPDATE SET "Status" = s.status WHEN MATCHED THEN DO NOTHING;
MERGE INTO "FailureRecords" r USING (VALUES (lab.f(1), 0), (lab.f(2), 0)) s (id, status) ON r."Id" = s.id WHEN MATCHED THEN UPDATE SET "Status" = s.status;
\echo :LAST_ERROR_SQLSTATE
MERGE INTO "FailureRecords" r USING (VALUES (lab.f(1)), (lab.f(21))) s (id) ON r."Id" = s.id
	WHEN MATCHED THEN UPDATE SET "Status" = 0 WHEN NOT MATCHED THEN INSERT ("Id", "OrgId", "EntityId", "EntityType") VALUES (s.id, :'org63', s.id, 'Album');
MERGE INTO "FailureRecords" r USING (VALUES (lab.f(3))) s (id) ON r."Id" = s.id WHEN MATCHED THEN DELETE;
\set QUIET on
SELECT l.*, r."IsDeleted" FROM lab.look(1, 2, 3, 21) l JOIN "FailureRecords" r ON r."Id" = lab.f(l.n) ORDER BY l.n;
SELECT * FROM lab.wrong();
SELECT photoflow.recount_failures() > 0 AS counted;
-- ON CONFLICT
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "ErrorMessage") VALUES (lab.f(4), :'org63', lab.f(4), 'Album', 'again'), (lab.f(22), :'org63', lab.f(22), 'Album', 'new')
	ON CONFLICT ("Id") DO UPDATE SET "Status" = 1, "ErrorMessage" = EXCLUDED."ErrorMessage" RETURNING lab.n("Id") AS n, "Status", "ClaimToken";
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType") VALUES (lab.f(4), :'org63', lab.f(4), 'Album') ON CONFLICT ("Id") DO UPDATE SET "Occurrences" = "FailureRecords"."Occurrences" + 1;
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType") VALUES (lab.f(2), :'org63', lab.f(4), 'Album') ON CONFLICT ("Id") DO UPDATE SET "Status" = EXCLUDED."Status";
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "Status") VALUES (lab.f(5), :'org63', lab.f(5), 'Album', 2) ON CONFLICT ("Id") DO NOTHING;
SELECT * FROM lab.look(2, 4, 5, 22);
SELECT * FROM lab.wrong();
-- COPY: the owner loads, an application is refused by the policies
COPY "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "Status", "ErrorMessage", "FinishedAt") FROM stdin;
3ee28fe1-0000-4000-8000-000000061031	5a445d71-0000-4000-8000-000000000063	a4b2d20f-0000-4000-8000-000000061031	Album	0	copied	\N
3ee28fe1-0000-4000-8000-000000061032	5a445d71-0000-4000-8000-000000000063	a4b2d20f-0000-4000-8000-000000061032	Album	3	copied	2001-01-01
\.
COPY "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "Status") FROM stdin;
3ee28fe1-0000-4000-8000-000000061033	5a445d71-0000-4000-8000-000000000063	a4b2d20f-0000-4000-8000-000000061033	Album	7
\.
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_photoflow_studio;
SET photoflow.org_id = :'org63';
COPY "FailureRecords" ("OrgId", "EntityId", "EntityType") FROM stdin;
5a445d71-0000-4000-8000-000000000063	a4b2d20f-0000-4000-8000-000000061033	Album
\.
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;
SELECT n, status, place, error FROM lab.look(31, 32);
SELECT * FROM lab.wrong();
-- prepared, with parameters, as EF Core sends it; a cursor; a view; a CTE; a join with more than one match
PREPARE save (int, uuid) AS UPDATE "FailureRecords" SET "Status" = $1, "ModifiedAt" = now() WHERE "Id" = $2;
\set QUIET off
EXECUTE save (1, lab.f(5));
EXECUTE save (1, lab.f(5));
EXECUTE save (2, lab.f(5));
EXECUTE save (2, lab.f(5));
EXECUTE save (1, lab.f(5));
\echo :LAST_ERROR_SQLSTATE
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM "FailureRecords" WHERE "Id" IN (lab.f(6), lab.f(7)) ORDER BY "Id" FOR UPDATE;
MOVE 1 FROM c;
UPDATE "FailureRecords" SET "Status" = 1 WHERE CURRENT OF c;
MOVE 1 FROM c;
UPDATE "FailureRecords" SET "Status" = 4 WHERE CURRENT OF c;
COMMIT;
CREATE VIEW lab.open AS SELECT "Id", "Status" AS state FROM "FailureRecords" WHERE "Status" < 2 WITH CHECK OPTION;
UPDATE lab.open SET state = 1 WHERE "Id" = lab.f(8);
UPDATE lab.open SET state = 9 WHERE "Id" = lab.f(8);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
UPDATE lab.open SET state = 2 WHERE "Id" = lab.f(8);
\set VERBOSITY default
DROP VIEW lab.open;
WITH u AS (UPDATE "FailureRecords" SET "Status" = 1 WHERE "Id" = lab.f(9) RETURNING "ClaimToken", "LeaseUntil" > now() AS leased) SELECT * FROM u;
UPDATE "FailureRecords" r SET "Status" = 0 FROM generate_series(1, 3) WHERE r."Id" = lab.f(9);
\set QUIET on
DEALLOCATE save;
SELECT n, status, retries, token, attempts FROM lab.look(5, 6, 7, 8, 9);
SELECT * FROM lab.wrong();
-- many at once: all of a statement, or nothing; each as it is
CALL lab.clear();
SELECT count(lab.failed(n, n % 5)) FROM generate_series(1, 20) n;
\set VERBOSITY sqlstate
UPDATE "FailureRecords" SET "Status" = 0 WHERE "OrgId" = :'org63';
\set VERBOSITY default
SELECT "Status", count(*) FROM "FailureRecords" WHERE "OrgId" = :'org63' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM "FailureAttempts" WHERE "OrgId" = :'org63';
UPDATE "FailureRecords" SET "Status" = 0 WHERE "OrgId" = :'org63' AND "Status" <> 2;
SELECT "Status", "RetryCount", "ClaimToken", count(*), count("NextRetryAt") AS places FROM "FailureRecords" WHERE "OrgId" = :'org63' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT "Outcome", count(*) FROM "FailureAttempts" WHERE "OrgId" = :'org63' GROUP BY 1 ORDER BY 1;
SELECT * FROM lab.wrong();
UPDATE "FailureRecords" SET "Status" = CASE lab.n("Id") % 5 WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN "Status" WHEN 3 THEN 3 ELSE 4 END, "Severity" = lab.n("Id") % 4 WHERE "OrgId" = :'org63';
SELECT status, severity, records FROM photoflow.failure_stats WHERE org_id = :'org63' ORDER BY 1, 2;
SELECT * FROM lab.wrong();
-- thousands: the counts are added up meanwhile
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType") SELECT lab.id('many', n), :'org64', lab.id('album', n), 'Many' FROM generate_series(1, 3000) n;
UPDATE "FailureRecords" SET "Status" = 1 WHERE "OrgId" = :'org64';
UPDATE "FailureRecords" SET "Status" = 3, "Severity" = 0 WHERE "OrgId" = :'org64' AND right("Id"::text, 1) < '5';
UPDATE "FailureRecords" SET "Status" = 2 WHERE "OrgId" = :'org64' AND "Status" = 1;
SELECT status, severity, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1, 2;
SELECT "Outcome", count(*) FROM "FailureAttempts" WHERE "OrgId" = :'org64' GROUP BY 1;
SELECT * FROM lab.wrong();
-- taken back: with a savepoint, with its transaction
BEGIN;
UPDATE "FailureRecords" SET "Status" = 0 WHERE "OrgId" = :'org64' AND "Status" = 3;
SAVEPOINT s;
UPDATE "FailureRecords" SET "Status" = 1 WHERE "OrgId" = :'org64' AND "Status" = 0;
SELECT status, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1;
ROLLBACK TO s;
SELECT status, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1;
SELECT * FROM lab.wrong();
ROLLBACK;
SELECT status, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1;
SELECT * FROM lab.wrong();
-- all of them at once
BEGIN;
SET LOCAL photoflow.hard_delete = on;
TRUNCATE "FailureRecords";
SELECT count(*) AS stats FROM photoflow.failure_stats;
SELECT count(*) AS attempts FROM "FailureAttempts";
ROLLBACK;
SELECT * FROM lab.wrong();
-- deleted and brought back: counted as what it is
DELETE FROM "FailureRecords" WHERE "OrgId" = :'org64' AND "Status" = 2;
SELECT status, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1;
UPDATE "FailureRecords" SET "IsDeleted" = false WHERE "OrgId" = :'org64' AND "IsDeleted" AND right("Id"::text, 1) = '7';
SELECT status, records FROM photoflow.failure_stats WHERE org_id = :'org64' ORDER BY 1;
SELECT * FROM lab.wrong();
CALL lab.clear();
-- with its status: from deleted to claimed
SELECT lab.failed(1), lab.failed(2), lab.failed(3, 3) \g /dev/null
DELETE FROM "FailureRecords" WHERE "OrgId" = :'org63';
UPDATE "FailureRecords" SET "IsDeleted" = false, "Status" = CASE "Id" WHEN lab.f(1) THEN 1 WHEN lab.f(2) THEN 2 ELSE 0 END WHERE "OrgId" = :'org63';
SELECT * FROM lab.look(1, 2, 3);
SELECT * FROM lab.wrong();
CALL lab.clear();

-- Triggers, constraints and rules of a user's ------------------------------------------------------------------------------
CREATE TABLE lab.heard (at int GENERATED ALWAYS AS IDENTITY, what text);
GRANT INSERT, SELECT ON lab.heard TO PUBLIC;
CREATE FUNCTION lab.hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'STATEMENT' THEN
		INSERT INTO lab.heard (what) VALUES (format('%s %s', TG_WHEN, TG_OP));
	ELSIF TG_OP = 'INSERT' THEN
		INSERT INTO lab.heard (what) VALUES (format('%s %s %s: %s', TG_WHEN, TG_OP, lab.n(NEW."Id"), NEW."Status"));
	ELSE
		INSERT INTO lab.heard (what) VALUES (format('%s %s %s: %s to %s, token %s, retries %s, %s', TG_WHEN, TG_OP, lab.n(NEW."Id"), OLD."Status", NEW."Status", NEW."ClaimToken", NEW."RetryCount", NEW."ErrorMessage"));
	END IF;
	RETURN NEW;
END $$;
-- What was heard since, in its order.
CREATE FUNCTION lab.heard() RETURNS SETOF text LANGUAGE sql AS $$ WITH gone AS (DELETE FROM lab.heard RETURNING *) SELECT what FROM gone ORDER BY at $$;
SELECT lab.failed(n) FROM generate_series(1, 6) n \g /dev/null
CREATE TRIGGER lab_before BEFORE UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.hear();
CREATE TRIGGER lab_after AFTER UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.hear();
SELECT lab.n(id) AS n, claim_token, retry_count, lease_until > now() AS leased FROM photoflow.claim_failures('worker', 5, org_id => :'org63');
SELECT lab.heard();
SELECT lab.n(id) AS n, ok FROM photoflow.extend_lease(ARRAY[lab.f(1), lab.f(6)], '{1,1}', '1 hour');
SELECT lab.n(id) AS n, ok, why_not FROM photoflow.resolve_failures(ARRAY[lab.f(1), lab.f(1)], '{1,1}');
SELECT lab.n(id) AS n, ok, status FROM photoflow.reschedule_failures(ARRAY[lab.f(2)], '{1}', '{again}', '0');
SELECT lab.n(id) AS n, ok FROM photoflow.snooze_failures(ARRAY[lab.f(3)], '{1}', now());
SELECT lab.heard();
SELECT photoflow.abandon_failures(ARRAY[lab.f(4)], 'enough'), photoflow.requeue_failures(ARRAY[lab.f(4)]), photoflow.cancel_failures(ARRAY[lab.f(4)]);
SELECT photoflow.record_failure('Album', lab.id('album', 61005), 'Raw', 'Stock', 'anew', 'high', :'org63') = lab.f(5) AS same;
SELECT lab.heard();
SELECT * FROM lab.look(1, 2, 3, 4, 5, 6);
SELECT * FROM lab.wrong();
-- what is given up on the way is heard of, too
UPDATE "FailureRecords" SET "MaxRetries" = 0 WHERE "Id" = lab.f(6);
SELECT lab.heard();
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
SELECT lab.heard();
SELECT lab.album(61011, org => 63) \g /dev/null
SELECT to_state FROM photoflow.fire(lab.id('album', 61011), 'SyncRawTag');
SELECT lab.failed(11) \g /dev/null
UPDATE "FailureRecords" SET "FromState" = 'Init', "ToState" = 'Raw' WHERE "Id" = lab.f(11);
SELECT photoflow.recover(lab.f(11));
SELECT lab.heard();
SELECT * FROM lab.wrong();
DROP TRIGGER lab_before ON "FailureRecords";
DROP TRIGGER lab_after ON "FailureRecords";
CALL lab.clear();
-- once a statement, of a column, of the attempts, of what is new
CREATE TRIGGER lab_statement AFTER UPDATE ON "FailureRecords" FOR EACH STATEMENT EXECUTE FUNCTION lab.hear();
CREATE TRIGGER lab_insert BEFORE INSERT ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.hear();
CREATE TRIGGER lab_attempts AFTER INSERT ON "FailureAttempts" FOR EACH STATEMENT EXECUTE FUNCTION lab.hear();
SELECT lab.failed(1) \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT ok FROM photoflow.reschedule_failures(ARRAY[lab.f(1)], '{1}', NULL, '0');
SELECT photoflow.record_failure('Album', lab.id('album', 61001), 'Raw', 'Stock', 'x', org_id => :'org63') = lab.f(1) AS same;
SELECT lab.heard();
DROP TRIGGER lab_statement ON "FailureRecords";
DROP TRIGGER lab_insert ON "FailureRecords";
DROP TRIGGER lab_attempts ON "FailureAttempts";
SELECT * FROM lab.wrong();
CALL lab.clear();
-- one that keeps a record: the function says so, and nothing has happened
CREATE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW."Id" <> lab.f(2) THEN NEW END; END $$;
SELECT lab.failed(1), lab.failed(2), lab.failed(3) \g /dev/null
CREATE TRIGGER lab BEFORE INSERT OR UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 2, org_id => :'org63');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.cancel_failures(ARRAY[lab.f(1), lab.f(2)]);
\echo :LAST_ERROR_SQLSTATE
SELECT n, status, token FROM lab.look(1, 2, 3);
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT photoflow.record_failure('Album', lab.id('album', 61009), 'Raw', 'Stock', 'x', org_id => :'org63');
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER lab ON "FailureRecords";
SELECT * FROM lab.wrong();
-- one that comes last and keeps a record from a plain UPDATE: the attempt has not ended, and may still end
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW."Status" <> 0 THEN NEW END; END $$;
CREATE TRIGGER zzz_lab BEFORE UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.keep();
\set QUIET off
UPDATE "FailureRecords" SET "Status" = 0 WHERE "Id" = lab.f(1);
\set QUIET on
DROP TRIGGER zzz_lab ON "FailureRecords";
SELECT n, status, attempts FROM lab.look(1);
SELECT ok, status, why_not FROM photoflow.reschedule_failures(ARRAY[lab.f(1)], '{1}', NULL, '0');
SELECT n, status, attempts FROM lab.look(1);
SELECT * FROM lab.wrong();
CALL lab.clear();
-- one that raises
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW."Status" = 2 THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'LB001'; END IF; RETURN NEW; END $$;
SELECT lab.failed(1, 1) \g /dev/null
CREATE TRIGGER lab AFTER UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT ok FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{1}');
\echo :LAST_ERROR_SQLSTATE
SELECT ok, status FROM photoflow.reschedule_failures(ARRAY[lab.f(1)], '{1}', NULL, '0');
SELECT n, status, attempts FROM lab.look(1);
DROP TRIGGER lab ON "FailureRecords";
CALL lab.clear();
-- one that changes what is its to change
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."Payload" := jsonb_build_object('by', 'trigger'); NEW."Severity" := 3; RETURN NEW; END $$;
SELECT lab.failed(1), lab.failed(2) \g /dev/null
CREATE TRIGGER lab BEFORE UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
SELECT "Severity", "Payload", "Status", "ClaimToken" FROM "FailureRecords" WHERE "Id" = lab.f(1);
SELECT * FROM lab.wrong();
-- (a statement that does not name the column: status() says what attach() mends)
SELECT value, ok FROM photoflow.status() WHERE name = 'triggers see every change';
SELECT photoflow.attach();
SELECT value, ok FROM photoflow.status() WHERE name = 'triggers see every change';
UPDATE "FailureRecords" SET "MaxRetries" = 3 WHERE "Id" = lab.f(2);
SELECT * FROM lab.wrong();
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."RetryCount" := 7; RETURN NEW; END $$;
UPDATE "FailureRecords" SET "MaxRetries" = 4 WHERE "Id" = lab.f(2);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER lab ON "FailureRecords";
SELECT photoflow.attach();
CALL lab.clear();
-- one that runs a statement of its own on the record: it obeys as all others do
CREATE FUNCTION lab.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 AND NEW."Status" = 1 AND OLD."Status" = 0 THEN
		EXECUTE format('UPDATE "FailureRecords" SET %s WHERE "Id" = $1', NEW."Payload"->>'set') USING NEW."Id";
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER lab AFTER UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION lab.follow();
CREATE FUNCTION lab.followed(n int, assignment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.failed(n);
	UPDATE "FailureRecords" SET "Payload" = jsonb_build_object('set', assignment) WHERE "Id" = lab.f(n);
	RETURN (SELECT count(*) FROM photoflow.claim_failures('worker', 1, entity_types => '{Album}', org_id => lab.org(63)) WHERE id = lab.f(n));
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT n, a, lab.followed(n::int, a) FROM unnest(ARRAY['"Status" = 2', '"ClaimToken" = 77', '"Status" = 9', '"ErrorMessage" = ''followed''', '"ClaimedBy" = ''me''', '"Occurrences" = 9', '"Payload" = NULL']) WITH ORDINALITY x (a, n) ORDER BY n;
SELECT * FROM lab.look(1, 2, 3, 4, 5, 6, 7);
SELECT * FROM lab.wrong();
DROP TRIGGER lab ON "FailureRecords";
CALL lab.clear();
-- CHECK
SELECT lab.failed(1), lab.failed(2) \g /dev/null
ALTER TABLE "FailureRecords" ADD CONSTRAINT lab CHECK ("OrgId" <> lab.org(63) OR "ClaimedBy" <> 'forbidden');
SELECT lab.n(id) AS n FROM photoflow.claim_failures('allowed', 1, org_id => :'org63');
\set VERBOSITY sqlstate
SELECT lab.n(id) AS n FROM photoflow.claim_failures('forbidden', 1, org_id => :'org63');
\set VERBOSITY default
SELECT n, status, token, worker FROM lab.look(1, 2);
ALTER TABLE "FailureRecords" DROP CONSTRAINT lab;
SELECT lab.n(id) AS n FROM photoflow.claim_failures('forbidden', 1, org_id => :'org63');
CALL lab.clear();
-- a column that is worked out from others
ALTER TABLE "FailureRecords" ADD COLUMN lab text GENERATED ALWAYS AS ("Status" || ':' || "ClaimToken") STORED;
SELECT lab.failed(1) \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT lab, photoflow.cancel_failures(ARRAY[lab.f(1)]) FROM "FailureRecords" WHERE "Id" = lab.f(1);
SELECT lab FROM "FailureRecords" WHERE "Id" = lab.f(1);
ALTER TABLE "FailureRecords" DROP COLUMN lab;
SELECT * FROM lab.wrong();
CALL lab.clear();
-- indexes: unique where it is claimed, of an expression, checked at the end; what the functions write is in all of them
CREATE UNIQUE INDEX lab_unique ON "FailureRecords" ("OrgId", "EntityId") WHERE "Status" = 1;
CREATE INDEX lab_expression ON "FailureRecords" ("OrgId", ("ClaimToken" * 10 + "Status"));
SELECT lab.failed(1), lab.failed(2) \g /dev/null
UPDATE "FailureRecords" SET "EntityId" = lab.id('album', 61001) WHERE "Id" = lab.f(2);
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
SET enable_seqscan = off;
SELECT lab.n("Id") AS n, "ClaimToken" FROM "FailureRecords" WHERE "OrgId" = :'org63' AND "ClaimToken" * 10 + "Status" = 11;
RESET enable_seqscan;
\set VERBOSITY sqlstate
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
\set VERBOSITY default
DROP INDEX lab_unique, lab_expression;
ALTER TABLE "FailureRecords" ADD CONSTRAINT lab UNIQUE ("OrgId", "ClaimedBy") DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
\set VERBOSITY sqlstate
COMMIT;
\set VERBOSITY default
SELECT n, status, token FROM lab.look(1, 2);
ALTER TABLE "FailureRecords" DROP CONSTRAINT lab;
-- a table that refers to records
CREATE TABLE lab.notes (failure uuid REFERENCES "FailureRecords" ("Id"), text text);
INSERT INTO lab.notes SELECT lab.f(2), 'look at this';
SELECT lab.n(id) AS n FROM photoflow.claim_failures('worker', 1, org_id => :'org63');
DROP TABLE lab.notes;
SELECT * FROM lab.wrong();
CALL lab.clear();
-- rules: one that adds a statement; one that takes the place of ours
CREATE RULE lab AS ON UPDATE TO "FailureRecords" DO ALSO INSERT INTO lab.heard (what) VALUES (OLD."Status" || ' to ' || NEW."Status");
SELECT lab.failed(1) \g /dev/null
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT n, status, token FROM lab.look(1);
SELECT count(*) > 0 AS heard FROM lab.heard();
DROP RULE lab ON "FailureRecords";
CREATE RULE lab AS ON UPDATE TO "FailureRecords" DO INSTEAD NOTHING;
SELECT ok FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{1}');
\echo :LAST_ERROR_SQLSTATE
DROP RULE lab ON "FailureRecords";
SELECT ok FROM photoflow.resolve_failures(ARRAY[lab.f(1)], '{1}');
SELECT * FROM lab.wrong();
CALL lab.clear();
-- none of it left: straight again. A record that is loaded anew under an id that was there before is claimed like any other
SELECT lab.failed(1) \g /dev/null
SELECT claim_token FROM photoflow.claim_failures('worker', org_id => :'org63');
SELECT ok FROM photoflow.reschedule_failures(ARRAY[lab.f(1)], '{1}', NULL, '0');
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "Id" = lab.f(1);
RESET photoflow.hard_delete;
SELECT lab.failed(1), lab.failed(2) \g /dev/null
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', 1, '1 microsecond', org_id => :'org63');
SELECT lab.n(id) AS n, claim_token FROM photoflow.claim_failures('worker', 2, org_id => :'org63') ORDER BY 1;
SELECT n, status, attempts FROM lab.look(1, 2);
SELECT * FROM lab.wrong();
-- an id that is taken from its record, and an organization
UPDATE "FailureRecords" SET "OrgId" = :'org64' WHERE "Id" = lab.f(2);
\echo :LAST_ERROR_SQLSTATE

-- Nothing is left of it
CALL lab.clear();
SELECT * FROM lab.wrong();
SELECT count(*) FROM "FailureAttempts" WHERE "OrgId" IN (lab.org(63), lab.org(64));
SET photoflow.hard_delete = on;
DELETE FROM "PhotoProcs" WHERE "OrgId" IN (lab.org(63), lab.org(64));
DELETE FROM "AlbumTags" WHERE "OrgId" IN (lab.org(63), lab.org(64));
DELETE FROM "Albums" WHERE "OrgId" IN (lab.org(63), lab.org(64));
DELETE FROM "AlbumTransitions" WHERE "OrgId" IN (lab.org(63), lab.org(64));
DELETE FROM "Organizations" WHERE "Id" IN (lab.org(63), lab.org(64));
RESET photoflow.hard_delete;
DROP OWNED BY regress_photoflow_studio;
DROP ROLE regress_photoflow_studio;
DROP TABLE lab.heard;
DROP FUNCTION lab.f(int), lab.n(uuid), lab.failed(int, int, int), lab.look(int[]), lab.wrong(), lab.move(int, int), lab.set(text, int), lab.keeps(int), lab.hear(), lab.heard(), lab.keep(), lab.follow(), lab.followed(int, text);
DROP PROCEDURE lab.clear();
