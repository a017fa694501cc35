-- failure.sql: claims of failure records and what follows them, against a queue that a good developer writes in PL/pgSQL.
LOAD 'photoflow';
SET plan_cache_mode = force_generic_plan;
SET photoflow.org_id = '';		-- a worker: across organizations

-- By hand ---------------------------------------------------------------------------------------------------------------

-- The same columns, and a place in the queue that is the end of the lease while a record is in progress: one index finds
-- what is due and what is abandoned by its worker. The same failure is not recorded twice: by a lock. An array of ids, since a generic
-- plan expects a third of the queue of a join with as many as a parameter says.
CREATE TABLE bench.queue (LIKE "FailureRecords" INCLUDING DEFAULTS, PRIMARY KEY ("Id")) WITH (fillfactor = 70);
CREATE INDEX queue_due ON bench.queue ("NextRetryAt") WHERE "Status" IN (0, 1);
CREATE INDEX queue_entity ON bench.queue ("OrgId", "EntityType", "EntityId");
CREATE TABLE bench.attempts (failure_id uuid, attempt bigint, worker text, started_at timestamptz, finished_at timestamptz, outcome text, error_message text,
	PRIMARY KEY (failure_id, attempt));

CREATE FUNCTION bench.claim(worker text, batch int)
	RETURNS TABLE (id uuid, claim_token bigint, entity_type varchar, entity_id uuid, from_state varchar, to_state varchar, error_message text, severity int, retry_count int,
		payload jsonb, lease_until timestamptz, org_id uuid)
LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz := clock_timestamp();
BEGIN
	RETURN QUERY UPDATE bench.queue q SET "Status" = 1, "ClaimToken" = q."ClaimToken" + 1, "ClaimedBy" = worker, "RetryCount" = q."RetryCount" + 1, "LastRetryAt" = at,
		"NextRetryAt" = at + interval '5 minutes', "LeaseUntil" = at + interval '5 minutes', "ModifiedAt" = at
	WHERE q."Id" = ANY (array(SELECT d."Id" FROM bench.queue d WHERE d."Status" IN (0, 1) AND d."NextRetryAt" <= at ORDER BY d."NextRetryAt" LIMIT batch FOR UPDATE SKIP LOCKED))
	RETURNING q."Id", q."ClaimToken", q."EntityType", q."EntityId", q."FromState", q."ToState", q."ErrorMessage", q."Severity", q."RetryCount", q."Payload", q."LeaseUntil", q."OrgId";
END $$;
CREATE FUNCTION bench.resolve(ids uuid[], tokens bigint[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz := clock_timestamp();
BEGIN
	RETURN QUERY UPDATE bench.queue q SET "Status" = 2, "FinishedAt" = at, "NextRetryAt" = NULL, "LeaseUntil" = NULL, "ModifiedAt" = at
	FROM unnest(ids, tokens) AS c (id, token) WHERE q."Id" = c.id AND q."ClaimToken" = c.token AND q."Status" = 1 RETURNING q."Id";
END $$;
-- and the attempts: those that were cut short are found at the next claim
CREATE FUNCTION bench.claim_noting(worker text, batch int)
	RETURNS TABLE (id uuid, claim_token bigint, entity_type varchar, entity_id uuid, from_state varchar, to_state varchar, error_message text, severity int, retry_count int,
		payload jsonb, lease_until timestamptz, org_id uuid)
LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz := clock_timestamp();
BEGIN
	RETURN QUERY WITH due AS MATERIALIZED (SELECT d."Id", d."Status", d."ClaimedBy", d."LastRetryAt" FROM bench.queue d
			WHERE d."Status" IN (0, 1) AND d."NextRetryAt" <= at ORDER BY d."NextRetryAt" LIMIT batch FOR UPDATE SKIP LOCKED),
		claimed AS (UPDATE bench.queue q SET "Status" = 1, "ClaimToken" = q."ClaimToken" + 1, "ClaimedBy" = worker, "RetryCount" = q."RetryCount" + 1, "LastRetryAt" = at,
				"NextRetryAt" = at + interval '5 minutes', "LeaseUntil" = at + interval '5 minutes', "ModifiedAt" = at
			WHERE q."Id" = ANY (array(SELECT due."Id" FROM due))
			RETURNING q."Id", q."ClaimToken", q."EntityType", q."EntityId", q."FromState", q."ToState", q."ErrorMessage", q."Severity", q."RetryCount", q."Payload", q."LeaseUntil", q."OrgId"),
		expired AS (INSERT INTO bench.attempts SELECT due."Id", c."ClaimToken" - 1, due."ClaimedBy", due."LastRetryAt", at, 'expired'
			FROM due JOIN claimed c ON c."Id" = due."Id" WHERE due."Status" = 1)
		SELECT * FROM claimed;
END $$;
CREATE FUNCTION bench.resolve_noting(ids uuid[], tokens bigint[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz := clock_timestamp();
BEGIN
	RETURN QUERY WITH resolved AS (UPDATE bench.queue q SET "Status" = 2, "FinishedAt" = at, "NextRetryAt" = NULL, "LeaseUntil" = NULL, "ModifiedAt" = at
		FROM unnest(ids, tokens) AS c (id, token) WHERE q."Id" = c.id AND q."ClaimToken" = c.token AND q."Status" = 1
		RETURNING q."Id", q."ClaimToken", q."ClaimedBy", q."LastRetryAt")
	INSERT INTO bench.attempts SELECT r."Id", r."ClaimToken", r."ClaimedBy", r."LastRetryAt", at, 'resolved' FROM resolved r RETURNING failure_id;
END $$;
CREATE FUNCTION bench.retry(ids uuid[], tokens bigint[], errors text[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
	at timestamptz := clock_timestamp();
BEGIN
	RETURN QUERY WITH failed AS (UPDATE bench.queue q SET "Status" = CASE WHEN q."RetryCount" >= 10 THEN 3 ELSE 0 END, "ErrorMessage" = c.error,
			"NextRetryAt" = at + random() * least(interval '1 hour', interval '30 s' * 2 ^ least(q."RetryCount" - 1, 20)), "LeaseUntil" = NULL, "ModifiedAt" = at
		FROM unnest(ids, tokens, errors) AS c (id, token, error) WHERE q."Id" = c.id AND q."ClaimToken" = c.token AND q."Status" = 1
		RETURNING q."Id", q."ClaimToken", q."ClaimedBy", q."LastRetryAt", c.error)
	INSERT INTO bench.attempts SELECT r."Id", r."ClaimToken", r."ClaimedBy", r."LastRetryAt", at, 'failed', r.error FROM failed r RETURNING failure_id;
END $$;
CREATE FUNCTION bench.record_one(org uuid, type text, entity uuid, from_name text, to_name text, message text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	recorded uuid;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended(org::text || entity, 0));
	UPDATE bench.queue q SET "Occurrences" = q."Occurrences" + 1, "ErrorMessage" = message, "LastFailedAt" = clock_timestamp()
	WHERE q."OrgId" = org AND q."EntityType" = type AND q."EntityId" = entity AND q."FromState" = from_name AND q."ToState" = to_name AND q."Status" IN (0, 1)
	RETURNING q."Id" INTO recorded;
	IF NOT FOUND THEN
		INSERT INTO bench.queue ("Id", "OrgId", "EntityType", "EntityId", "FromState", "ToState", "ErrorMessage", "NextRetryAt", "LastFailedAt")
		VALUES (photoflow.uuid_v7(), org, type, entity, from_name, to_name, message, clock_timestamp(), clock_timestamp()) RETURNING "Id" INTO recorded;
	END IF;
	RETURN recorded;
END $$;

-- The tables ------------------------------------------------------------------------------------------------------------

CREATE FUNCTION bench.org(n int) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN bench.uuid(5, n);
SET session_replication_role = replica;
INSERT INTO "Organizations" ("Id", "Name") SELECT bench.org(n), 'studio ' || n FROM generate_series(1, 1000) n;
RESET session_replication_role;

-- Fills both queues alike: first what is finished, then what is delayed, then what is due, of organizations in turn.
CREATE PROCEDURE bench.fill_queues(due int, delayed int, finished int, orgs int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "FailureRecords", "FailureAttempts", "FailureCounts", bench.queue, bench.attempts;
	INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType", "FromState", "ToState", "ErrorMessage", "Status", "NextRetryAt", "FinishedAt", "Fingerprint", "LastFailedAt", "CreatedAt")
	SELECT photoflow.uuid_v7(), bench.org(1 + n % orgs), bench.uuid(6, n), 'Album', 'Raw', 'Stock', 'connection to storage timed out after ' || n || ' ms',
		CASE WHEN n <= finished THEN 2 ELSE 0 END, CASE WHEN n <= finished THEN NULL WHEN n <= finished + delayed THEN now() + interval '1 day' + n * interval '1 ms'
			ELSE now() - interval '1 hour' + n * interval '1 us' END,
		CASE WHEN n <= finished THEN now() END, 'c83793ac6720ebc3', now() - interval '1 hour' + n * interval '1 us', now() - interval '1 hour' + n * interval '1 us'
	FROM generate_series(1, finished + delayed + due) n ORDER BY n;
	INSERT INTO bench.queue SELECT * FROM "FailureRecords" ORDER BY "Id";
	COMMIT;
END $$;

-- Another session's snapshot keeps what is finished after it.
CREATE PROCEDURE bench.wait_for_snapshot() LANGUAGE plpgsql AS $$
BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'snapshot' AND query LIKE '%pg_sleep%') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END $$;
-- Finishes the oldest of both queues.
CREATE PROCEDURE bench.finish_oldest(size int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	UPDATE "FailureRecords" SET "Status" = 2, "NextRetryAt" = NULL, "FinishedAt" = now() WHERE "Id" = ANY (array(SELECT "Id" FROM "FailureRecords" WHERE "Status" = 0 ORDER BY "NextRetryAt" LIMIT size));
	UPDATE bench.queue SET "Status" = 2, "NextRetryAt" = NULL, "FinishedAt" = now() WHERE "Id" = ANY (array(SELECT "Id" FROM bench.queue WHERE "Status" = 0 ORDER BY "NextRetryAt" LIMIT size));
	COMMIT;
END $$;

-- The measuring ---------------------------------------------------------------------------------------------------------

-- Of the statement alone: time by the clock, and pages; the CPU that report.sql shows is that of its transaction, with the COMMIT.
CREATE TABLE bench.statements (part text, variant text, round int, ms numeric, pages int, position int GENERATED ALWAYS AS IDENTITY);
-- what a statement may take, ms
CREATE TABLE bench.limits (part text, variant text, ms numeric);

CREATE PROCEDURE bench.pages(statement text, INOUT pages int) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	seen int[] := '{}';
BEGIN
	FOR n IN 1 .. 5 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
		COMMIT;
		seen := seen || ((plan->0->'Plan'->>'Shared Hit Blocks')::int + (plan->0->'Plan'->>'Shared Read Blocks')::int);
	END LOOP;
	pages := (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p) FROM unnest(seen) p);
END $$;

-- Claims, each in a transaction of its own; the first few make plans and caches.
CREATE PROCEDURE bench.claims(part text, variant text, round int, times int, batch int, expected int) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	started timestamptz;
	spent interval := '0';
	claimed int;
	pages int;
BEGIN
	FOR n IN -9 .. times LOOP
		IF n = 1 THEN
			since := bench.cpu();
			spent := '0';
		END IF;
		IF variant = 'by hand' THEN
			started := clock_timestamp();
			PERFORM FROM bench.claim('w', batch);
		ELSIF variant = 'by hand, attempts' THEN
			started := clock_timestamp();
			PERFORM FROM bench.claim_noting('w', batch);
		ELSIF variant = 'photoflow, no turns' THEN
			started := clock_timestamp();
			PERFORM FROM photoflow.claim_failures('w', batch, fair => false);
		ELSE
			started := clock_timestamp();
			PERFORM FROM photoflow.claim_failures('w', batch);
		END IF;
		GET DIAGNOSTICS claimed = ROW_COUNT;
		spent := spent + (clock_timestamp() - started);
		IF claimed <> expected THEN
			RAISE EXCEPTION '%, %: % records were claimed, not %', part, variant, claimed, expected;
		END IF;
		COMMIT;
	END LOOP;
	CALL bench.record('failure', part, variant, round, times, since);
	COMMIT;
	CALL bench.pages(CASE variant WHEN 'by hand' THEN format('SELECT FROM bench.claim(''w'', %s)', batch) WHEN 'by hand, attempts' THEN format('SELECT FROM bench.claim_noting(''w'', %s)', batch)
		WHEN 'photoflow, no turns' THEN format('SELECT FROM photoflow.claim_failures(''w'', %s, fair => false)', batch) ELSE format('SELECT FROM photoflow.claim_failures(''w'', %s)', batch) END, pages);
	INSERT INTO bench.statements VALUES (part, variant, round, extract(epoch FROM spent) * 1000 / times, pages);
	COMMIT;
END $$;
CREATE PROCEDURE bench.claim_rounds(part text, rounds int, times int, batch int, expected int, turns boolean DEFAULT true) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.claims(part, 'by hand', round, times, batch, expected);
		CALL bench.claims(part, 'by hand, attempts', round, times, batch, expected);
		CALL bench.claims(part, 'photoflow', round, times, batch, expected);
		IF turns THEN
			CALL bench.claims(part, 'photoflow, no turns', round, times, batch, expected);
		END IF;
	END LOOP;
	INSERT INTO bench.bounds SELECT 'failure', part, v, 'by hand', NULL FROM unnest('{photoflow,"photoflow, no turns"}'::text[]) v WHERE turns OR v = 'photoflow';
	COMMIT;
END $$;

-- Claims and what follows, record by record; the statements of a pair are two transactions.
CREATE PROCEDURE bench.pairs(part text, variant text, round int, times int, batch int) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	started timestamptz;
	spent interval := '0';
	ids uuid[];
	tokens bigint[];
	errors text[] := array_fill('storage does not answer: 503'::text, ARRAY[batch]);
	done int;
BEGIN
	FOR n IN -4 .. times LOOP
		IF n = 1 THEN
			since := bench.cpu();
			spent := '0';
		END IF;
		started := clock_timestamp();
		IF variant = 'photoflow' THEN
			SELECT array_agg(c.id), array_agg(c.claim_token) INTO ids, tokens FROM photoflow.claim_failures('w', batch) c;
			COMMIT;
			IF part LIKE '%reschedule%' THEN
				SELECT count(*) INTO done FROM photoflow.reschedule_failures(ids, tokens, errors) r WHERE r.ok;
			ELSE
				SELECT count(*) INTO done FROM photoflow.resolve_failures(ids, tokens) r WHERE r.ok;
			END IF;
		ELSIF variant = 'by hand' THEN
			SELECT array_agg(c.id), array_agg(c.claim_token) INTO ids, tokens FROM bench.claim('w', batch) c;
			COMMIT;
			SELECT count(*) INTO done FROM bench.resolve(ids, tokens);
		ELSE
			SELECT array_agg(c.id), array_agg(c.claim_token) INTO ids, tokens FROM bench.claim_noting('w', batch) c;
			COMMIT;
			IF part LIKE '%reschedule%' THEN
				SELECT count(*) INTO done FROM bench.retry(ids, tokens, errors);
			ELSE
				SELECT count(*) INTO done FROM bench.resolve_noting(ids, tokens);
			END IF;
		END IF;
		COMMIT;
		spent := spent + (clock_timestamp() - started);
		IF done <> batch THEN
			RAISE EXCEPTION '%, %: % records were done, not %', part, variant, done, batch;
		END IF;
	END LOOP;
	CALL bench.record('failure', part, variant, round, times * batch, since);
	INSERT INTO bench.statements VALUES (part, variant, round, extract(epoch FROM spent) * 1000 / times, NULL);
	COMMIT;
END $$;
CREATE PROCEDURE bench.pair_rounds(part text, rounds int, times int, batch int) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		IF part NOT LIKE '%reschedule%' THEN
			CALL bench.pairs(part, 'by hand', round, times, batch);
		END IF;
		CALL bench.pairs(part, 'by hand, attempts', round, times, batch);
		CALL bench.pairs(part, 'photoflow', round, times, batch);
	END LOOP;
END $$;

-- Recording: failures of their own, and the same ones again.
CREATE PROCEDURE bench.records(part text, variant text, round int, times int, first int) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	started timestamptz;
	spent interval := '0';
BEGIN
	FOR n IN -9 .. times LOOP
		IF n = 1 THEN
			since := bench.cpu();
			spent := '0';
		END IF;
		started := clock_timestamp();
		IF variant = 'photoflow' THEN
			PERFORM photoflow.record_failure('Photo', bench.uuid(7, first + n), 'Raw', 'Stock', 'connection to storage timed out after ' || n || ' ms', org_id => bench.org(1));
		ELSE
			PERFORM bench.record_one(bench.org(1), 'Photo', bench.uuid(7, first + n), 'Raw', 'Stock', 'connection to storage timed out after ' || n || ' ms');
		END IF;
		spent := spent + (clock_timestamp() - started);
		COMMIT;
	END LOOP;
	CALL bench.record('failure', part, variant, round, times, since);
	INSERT INTO bench.statements VALUES (part, variant, round, extract(epoch FROM spent) * 1000 / times, NULL);
	COMMIT;
END $$;
CREATE PROCEDURE bench.record_rounds(rounds int, times int) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR again IN 0 .. 1 LOOP
			CALL bench.records(CASE again WHEN 0 THEN 'record a new failure' ELSE 'record it again' END, 'by hand', round, times, round * 1000000);
			CALL bench.records(CASE again WHEN 0 THEN 'record a new failure' ELSE 'record it again' END, 'photoflow', round, times, round * 1000000);
		END LOOP;
	END LOOP;
END $$;

-- Plain statements of many rows, by row: the triggers keep the books. By hand there are none to keep.
CREATE PROCEDURE bench.bulk_rounds(rounds int, size int, name text) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.fill_queues(size, 0, 0, 1);
		CALL bench.measure('failure', name, 'by hand', round, size, 'UPDATE bench.queue SET "Status" = 4, "NextRetryAt" = NULL, "FinishedAt" = now()');
		CALL bench.measure('failure', name, 'photoflow', round, size, 'UPDATE "FailureRecords" SET "Status" = 4');
	END LOOP;
	INSERT INTO bench.bounds VALUES ('failure', name, 'photoflow', 'by hand', NULL);
END $$;

-- The shapes ------------------------------------------------------------------------------------------------------------

\set rounds 7
SELECT greatest(20000, (100000 * :scale)::int) AS many, greatest(10, (200 * least(:scale, 1))::int) AS times \gset
INSERT INTO bench.limits
SELECT part || size, 'photoflow', ms FROM (VALUES ('due', 0.30), ('beside ten times as many finished', 0.32), ('behind delayed', 0.30), ('behind dead rows that are pinned', 0.5)) l (part, ms),
	unnest('{": claim of 1",": claim of 10"}'::text[]) size
UNION ALL VALUES ('idle, twice as many dead rows pinned', 'photoflow', 0.1), ('empty poll', 'photoflow', 0.03);
INSERT INTO bench.bounds VALUES ('failure', 'batch of 100, claim and resolve', 'photoflow', 'by hand', 1 / 1.3), ('failure', 'batch of 100, claim and resolve', 'photoflow', 'by hand, attempts', NULL),
	('failure', 'one by one, claim and resolve', 'photoflow', 'by hand', NULL), ('failure', 'one by one, claim and resolve', 'photoflow', 'by hand, attempts', NULL),
	('failure', 'one by one, claim and reschedule', 'photoflow', 'by hand, attempts', NULL), ('failure', 'batch of 100, claim and reschedule', 'photoflow', 'by hand, attempts', NULL),
	('failure', 'record a new failure', 'photoflow', 'by hand', NULL), ('failure', 'record it again', 'photoflow', 'by hand', NULL);

CALL bench.fill_queues(0, 0, 0, 1);
CALL bench.claim_rounds('empty poll', :rounds, 5 * :times, 10, 0, false);

CALL bench.fill_queues(:many, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.claim_rounds('due: claim of 1', :rounds, :times, 1, 1);
CALL bench.claim_rounds('due: claim of 10', :rounds, :times / 10, 10, 10);

CALL bench.fill_queues(:many, 0, 10 * :many, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.claim_rounds('beside ten times as many finished: claim of 1', :rounds, :times, 1, 1);
CALL bench.claim_rounds('beside ten times as many finished: claim of 10', :rounds, :times / 10, 10, 10);

CALL bench.fill_queues(:many / 5, :many, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.claim_rounds('behind delayed: claim of 1', :rounds, :times, 1, 1);
CALL bench.claim_rounds('behind delayed: claim of 10', :rounds, :times / 10, 10, 10);

-- 1,000 organizations: a turn each
CALL bench.fill_queues(:many, 0, 0, 1000);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.claim_rounds('of 1,000 organizations: claim of 1', :rounds, :times, 1, 1);
CALL bench.claim_rounds('of 1,000 organizations: claim of 10', :rounds, :times / 10, 10, 10);

-- finished since the last vacuum, and nobody needs them
CALL bench.fill_queues(:many + :many / 5, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.finish_oldest(:many);
CALL bench.claim_rounds('behind dead rows: claim of 1', :rounds, :times, 1, 1);

-- finished, and a snapshot keeps them
CALL bench.fill_queues(:many + :many / 5, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
\! PGAPPNAME=snapshot psql -X -q -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
CALL bench.wait_for_snapshot();
CALL bench.finish_oldest(:many);
SELECT clock_timestamp() AS started \gset
SELECT FROM photoflow.claim_failures('w', 1) \g /dev/null
SELECT round(extract(epoch FROM clock_timestamp() - :'started'::timestamptz) * 1000, 1) AS "the first claim of a session behind pinned dead rows, ms" \g
CALL bench.claim_rounds('behind dead rows that are pinned: claim of 1', :rounds, :times / 10, 1, 1);
CALL bench.claim_rounds('behind dead rows that are pinned: claim of 10', :rounds, :times / 10, 10, 10);
CALL bench.fill_queues(2 * :many, 0, 0, 1);
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'snapshot' \g /dev/null
VACUUM (ANALYZE) "FailureRecords", bench.queue;
\! PGAPPNAME=snapshot psql -X -q -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
CALL bench.wait_for_snapshot();
CALL bench.finish_oldest(2 * :many);
CALL bench.claim_rounds('idle, twice as many dead rows pinned', :rounds, :times / 10, 10, 0, false);
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'snapshot' \g /dev/null

CALL bench.fill_queues(:many, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.pair_rounds('one by one, claim and resolve', :rounds, :times, 1);
CALL bench.pair_rounds('one by one, claim and reschedule', :rounds, :times, 1);
CALL bench.fill_queues(2 * :many, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.pair_rounds('batch of 100, claim and resolve', :rounds, greatest(1, :times / 5), 100);
CALL bench.fill_queues(2 * :many, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.pair_rounds('batch of 100, claim and reschedule', :rounds, greatest(1, :times / 5), 100);

CALL bench.fill_queues(:many, 0, 0, 1);
VACUUM (ANALYZE) "FailureRecords", bench.queue;
CALL bench.record_rounds(:rounds, 5 * :times);
CALL bench.bulk_rounds(3, :many / 10, 'plain UPDATE, a tenth as many rows');
CALL bench.bulk_rounds(3, :many, 'plain UPDATE of all rows');
CALL bench.bulk_rounds(1, 3 * :many, 'plain UPDATE of three times as many');

\pset footer off
WITH m AS (
	SELECT part, variant, min(position) AS position, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric AS ms, min(ms) AS least, max(ms) AS most, count(*) AS n,
		percentile_disc(0.5) WITHIN GROUP (ORDER BY pages) AS pages
	FROM bench.statements GROUP BY part, variant
), r AS (
	SELECT a.part, a.variant, percentile_cont(0.5) WITHIN GROUP (ORDER BY h.ms / a.ms)::numeric AS ratio
	FROM bench.statements a JOIN bench.statements h USING (part, round) WHERE h.variant = CASE WHEN a.part LIKE '%reschedule%' THEN 'by hand, attempts' ELSE 'by hand' END GROUP BY 1, 2
)
SELECT m.part AS statement, m.variant, round(m.ms, 3) AS ms, round(m.least, 3) AS min, round(m.most, 3) AS max, m.n, m.pages, round(r.ratio, 2) AS "by hand : this", l.ms AS "bound, ms",
	CASE WHEN l.ms IS NULL THEN '' WHEN m.ms <= l.ms THEN 'met' ELSE 'MISSED' END AS "?"
FROM m JOIN r USING (part, variant) LEFT JOIN bench.limits l USING (part, variant) ORDER BY min(m.position) OVER (PARTITION BY m.part), m.position;
