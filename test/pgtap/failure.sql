-- Law: a failure record is in one place, whichever way it is changed. Asked of a random walk of 5,000 operations over all functions of the queue and plain
-- statements, by the owner, by applications, by workers and by who is neither, some of which are rolled back, beside a user's triggers and constraints.
-- What is right is worked out here a second time, from a copy of the records (the model): each operation is foretold, its SQLSTATE, what it answers and what
-- every record is afterwards. To repeat a walk: psql -v seed=0.42, or part of it: -v operations=1000
-- Then: how delays are spread, that organizations take turns, and what a claim reads and writes, whatever else is in the table.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
\pset null ''
SELECT :{?seed} AS given, :{?operations} AS counted \gset
\if :given
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\if :counted
\else
\set operations 5000
\endif
SET client_min_messages = warning;
SELECT photoflow.create_tables() \g /dev/null
SELECT (:operations + 99) / 100 AS chunks \gset
SELECT no_plan();

DROP ROLE IF EXISTS pgtap_failure_app, pgtap_failure_worker;
CREATE ROLE pgtap_failure_app;
CREATE ROLE pgtap_failure_worker;
SELECT photoflow.grant_app('pgtap_failure_app'), photoflow.grant_worker('pgtap_failure_worker') \g /dev/null
INSERT INTO "Organizations" ("Id", "Name") SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n FROM generate_series(1, 3) n;
INSERT INTO "Albums" ("Id", "OrgId", "Name") SELECT "Id", "Id", 'album' FROM "Organizations";		-- in Init

-- The model. n is the order in which records were met: a walk picks by it, so that it can be repeated. What the database gives by its clock is foretold as a
-- range (lo to hi) and learned. lease: NULL is none, or one that ends at once.
CREATE TEMP TABLE model (id uuid PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, org uuid, type text, entity uuid, from_state text, to_state text, status int DEFAULT 0,
	severity int DEFAULT 1, retries int DEFAULT 0, most int, token bigint DEFAULT 0, worker text, error text, first_error text, occurrences int DEFAULT 1, payload jsonb,
	deleted boolean DEFAULT false, place timestamptz, lo timestamptz, hi timestamptz, lease timestamptz, lease_lo timestamptz, lease_hi timestamptz);
CREATE TEMP TABLE history (id uuid, attempt bigint, worker text, outcome text, error text, PRIMARY KEY (id, attempt));
CREATE TEMP TABLE policy (type text PRIMARY KEY, base interval, cap interval, most int, lease interval);
INSERT INTO policy VALUES ('Album', '30 days', '300 days', 3, '1 hour'), ('Photo', '30 days', '70 days', 2, '1 hour'), ('Mail', '60 days', '30 days', 10, '2 hours');
SELECT photoflow.set_failure_policy(type, base, cap, most, lease) FROM policy \g /dev/null

CREATE FUNCTION pg_temp.one(what text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT what[1 + floor(random() * cardinality(what))::int]';
CREATE FUNCTION pg_temp.severity(n int) RETURNS text LANGUAGE sql AS $$ SELECT ('{low,medium,high,critical}'::text[])[n + 1] $$;
-- mostly one in one of these statuses
CREATE FUNCTION pg_temp.pick(statuses int[]) RETURNS model LANGUAGE plpgsql AS $$
DECLARE
	choosy boolean := random() < 0.85 AND EXISTS (SELECT FROM model m WHERE m.status = ANY (statuses) AND NOT m.deleted);
	skipped bigint := floor(random() * (SELECT count(*) FROM model m WHERE NOT choosy OR m.status = ANY (statuses) AND NOT m.deleted));
	picked model;
BEGIN
	SELECT * INTO picked FROM model m WHERE NOT choosy OR m.status = ANY (statuses) AND NOT m.deleted ORDER BY m.n OFFSET skipped LIMIT 1;
	RETURN picked;
END $$;
CREATE FUNCTION pg_temp.claimable(m model, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT m.deleted AND (m.status = 0 AND m.place <= at OR m.status = 1 AND (m.lease IS NULL OR m.lease <= at))
$$;
CREATE FUNCTION pg_temp.exhausted(m model) RETURNS boolean LANGUAGE sql AS $$
	SELECT m.retries >= coalesce(m.most, (SELECT p.most FROM policy p WHERE p.type = m.type))
$$;
CREATE FUNCTION pg_temp.has_twin(m model) RETURNS boolean LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM model o WHERE o.status IN (0, 1) AND NOT o.deleted AND o.id <> m.id
		AND (o.org, o.type, o.entity) = (m.org, m.type, m.entity) AND (o.from_state, o.to_state) IS NOT DISTINCT FROM (m.from_state, m.to_state))
$$;

-- What becomes of a record.
CREATE FUNCTION pg_temp.end_attempt(which uuid, outcome text, error text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO history SELECT m.id, m.token, m.worker, $2, $3 FROM model m WHERE m.id = which
$$;
CREATE FUNCTION pg_temp.take(which uuid, worker text, lo timestamptz, hi timestamptz) RETURNS void LANGUAGE sql AS $$
	UPDATE model m SET status = 1, token = token + 1, retries = retries + 1, worker = $2, lease = NULL, lease_lo = $3, lease_hi = $4 WHERE m.id = which
$$;
CREATE FUNCTION pg_temp.wait(which uuid, lo timestamptz, hi timestamptz) RETURNS void LANGUAGE sql AS $$
	UPDATE model m SET status = 0, lease = NULL, place = NULL, lo = $2, hi = $3 WHERE m.id = which
$$;
CREATE FUNCTION pg_temp.finish(which uuid, status int) RETURNS void LANGUAGE sql AS $$
	UPDATE model m SET status = $2, lease = NULL, place = NULL WHERE m.id = which
$$;
CREATE FUNCTION pg_temp.say(which uuid, message text) RETURNS void LANGUAGE sql AS $$
	UPDATE model m SET first_error = coalesce(m.first_error, m.error), error = message WHERE m.id = which AND message IS NOT NULL
$$;

-- How the records differ from the model, after learning what the clock gave; '' when they do not.
CREATE FUNCTION pg_temp.differences() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	SELECT string_agg(format('model %s, record %s', d.m, d.r), '; ') INTO found FROM (
		SELECT to_jsonb(m) AS m, to_jsonb(r) - '{DeletionId,DeletedAt,DeletedBy,ModifiedAt,CreatedAt}'::text[] AS r FROM model m FULL JOIN "FailureRecords" r ON r."Id" = m.id
		WHERE (m.org, m.type, m.entity, m.from_state, m.to_state, m.status, m.severity, m.retries, m.most, m.token, m.worker, m.error, m.first_error, m.occurrences, m.payload, m.deleted)
				IS DISTINCT FROM (r."OrgId", r."EntityType"::text, r."EntityId", r."FromState"::text, r."ToState"::text, r."Status", r."Severity", r."RetryCount", r."MaxRetries",
					r."ClaimToken", r."ClaimedBy", r."ErrorMessage", r."FirstError", r."Occurrences", r."Payload", r."IsDeleted")
			OR photoflow.error_fingerprint(m.error) IS DISTINCT FROM r."Fingerprint" OR (m.status > 1) <> (r."FinishedAt" IS NOT NULL)
			OR (m.token > 0) <> (r."LastRetryAt" IS NOT NULL) OR r."LastFailedAt" IS NULL
			OR CASE WHEN m.status > 1 THEN r."NextRetryAt" IS NOT NULL WHEN m.lo IS NULL THEN r."NextRetryAt" IS DISTINCT FROM m.place
				ELSE r."NextRetryAt" BETWEEN m.lo AND m.hi IS NOT true END
			OR CASE WHEN m.status <> 1 THEN r."LeaseUntil" IS NOT NULL WHEN m.lease_lo IS NULL THEN r."LeaseUntil" IS DISTINCT FROM m.lease
				ELSE r."LeaseUntil" BETWEEN m.lease_lo AND m.lease_hi IS NOT true END
		LIMIT 3) d;
	UPDATE model m SET place = r."NextRetryAt", lease = r."LeaseUntil", lo = NULL, hi = NULL, lease_lo = NULL, lease_hi = NULL
		FROM "FailureRecords" r WHERE r."Id" = m.id AND (m.lo IS NOT NULL OR m.lease_lo IS NOT NULL);
	RETURN coalesce(found, '');
END $$;

-- A user's triggers: one counts what it hears of.
CREATE FUNCTION pg_temp.walk_hears() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('walk.heard', (coalesce(nullif(current_setting('walk.heard', true), ''), '0')::int + 1)::text, true);
	RETURN NEW;
END $$;
CREATE FUNCTION pg_temp.heard_of(rows int) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgname = 'walk_hears') AND current_setting('walk.heard') <> rows::text
		THEN format('the trigger heard of %s rows, not %s', current_setting('walk.heard'), rows) END
$$;

-- One operation: foretell it, do it, compare. Returns what, how it ended and what was not as foretold.
CREATE FUNCTION pg_temp.act(OUT what text, OUT outcome text, OUT problem text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
<<my>>
DECLARE
	-- 0 the owner, 1 to 3 an application, 4 a worker, 5 a worker for one organization, 6 an application without one
	who int := pg_temp.one('{0,0,0,0,0,1,1,1,2,2,3,3,4,4,4,4,4,4,5,6}');
	org uuid := CASE WHEN who IN (1, 2, 3) THEN '00000000-0000-4000-8000-00000000000' || who WHEN who = 5 THEN '00000000-0000-4000-8000-000000000002' END;
	named uuid;						-- the organization that is named
	a model;						-- the record that it is about
	m model;
	ids uuid[] := '{}';
	tokens bigint[] := '{}';
	errors text[];
	foretold text[] := '{}';		-- for each id: '' or a SQLSTATE
	expected text := '';			-- SQLSTATE; alternatives are divided by |
	expected_count int;
	told_count int;
	told text[];
	due uuid[] := '{}';				-- what may be claimed, in its order
	given jsonb;					-- what claim_failures() returned
	batch int;
	fairly boolean;
	in_order boolean;
	lease interval;
	after interval;
	types text[];
	worker text := pg_temp.one('{w1,w2,w3}');
	message text := pg_temp.one(ARRAY['timeout after 30 s', 'timeout after 31 s', 'cannot open "a.jpg"', 'cannot open "b.jpg"', 'disk full', NULL]);
	state text;
	goal int;
	at timestamptz;
	t0 timestamptz;
	t1 timestamptz;
	id uuid;
	text_told text;
	text_foretold text;
	next interval;
	got text[];
BEGIN
	what := pg_temp.one('{record,record,record,record,record,record,insert,insert,claim,claim,claim,claim,claim,claim,claim,resolve,resolve,reschedule,reschedule,reschedule,
		reschedule,snooze,extend,abandon,requeue,requeue,cancel,abandon like,requeue like,cancel like,status,status,status,status,place,place,books,message,delete,restore,recover,
		recover,due,due,attempts,malformed,policy}'::text[]);
	t0 := clock_timestamp();

	-- foretell
	CASE
	WHEN what = 'record' THEN
		a.type := pg_temp.one('{Album,Photo,Mail}');
		a.org := ('00000000-0000-4000-8000-00000000000' || pg_temp.one('{1,2,3}'))::uuid;
		named := CASE WHEN who IN (1, 2, 3, 5) AND random() < 0.5 THEN NULL WHEN who IN (1, 2, 3, 5) AND random() < 0.7 THEN org ELSE a.org END;
		named := CASE WHEN who IN (0, 4) AND random() < 0.2 THEN NULL ELSE named END;
		a.org := coalesce(named, org, a.org);
		a.entity := CASE WHEN a.type = 'Album' THEN a.org ELSE ('00000000-0000-4000-9000-00000000000' || pg_temp.one('{1,2,3,4,5,6}'))::uuid END;
		a.from_state := nullif(pg_temp.one('{Init,Raw,Stock,-}'), '-');
		a.to_state := nullif(pg_temp.one('{Raw,Rate,-}'), '-');
		a.severity := pg_temp.one('{0,1,1,2,3}');
		a.most := nullif(pg_temp.one('{-1,-1,-1,0,1,4}')::int, -1);
		a.payload := CASE WHEN random() < 0.5 THEN jsonb_build_object('n', floor(random() * 10)) END;
		expected := CASE WHEN who = 6 THEN 'PF010' WHEN org <> named THEN 'PF005' WHEN named IS NULL AND org IS NULL AND a.type <> 'Album' THEN 'PF010' ELSE '' END;
	WHEN what = 'insert' THEN
		a.org := coalesce(org, ('00000000-0000-4000-8000-00000000000' || pg_temp.one('{1,2,3}'))::uuid);
		a.type := pg_temp.one('{Photo,Mail}');
		a.entity := ('00000000-0000-4000-9000-00000000000' || pg_temp.one('{1,2,3,4,5,6}'))::uuid;
		a.status := pg_temp.one('{0,0,0,0,1,3,7}');
		a.retries := pg_temp.one('{0,0,0,2}');
		a.token := CASE WHEN who = 0 THEN a.retries ELSE 0 END;
		a.place := CASE WHEN a.status <> 1 AND random() < 0.5 THEN t0 + pg_temp.one('{-1 hour,1 day}')::interval END;
		expected := CASE WHEN who IN (4, 5) THEN '42501' WHEN who = 6 THEN 'PF010' WHEN a.status = 7 OR a.status > 0 AND who > 0 THEN 'PF006' WHEN a.retries > 0 AND who > 0 THEN '27000' ELSE '' END;
	WHEN what = 'claim' THEN
		batch := pg_temp.one('{1,1,2,5,10,100}');
		lease := nullif(pg_temp.one('{-,1 hour,1 hour,1 microsecond,1 microsecond}'), '-');
		types := nullif(pg_temp.one('{"","","","{Mail}","{Album,Photo,nothing}","{}"}'), '')::text[];
		named := nullif(pg_temp.one('{"","","",00000000-0000-4000-8000-000000000001,00000000-0000-4000-8000-000000000002,00000000-0000-4000-8000-000000000009}'), '')::uuid;
		fairly := random() < 0.5;
		expected := CASE WHEN who = 6 AND named IS NULL THEN 'PF010' WHEN who = 6 THEN 'PF010|PF005' WHEN org <> named THEN 'PF005' ELSE '' END;
		due := array(SELECT x.id FROM model x WHERE pg_temp.claimable(x, t0) AND (coalesce(org, named) IS NULL OR x.org = coalesce(org, named)) AND (types IS NULL OR x.type = ANY (types))
			ORDER BY x.place);
		expected_count := least(batch, (SELECT count(*) FROM model x WHERE x.id = ANY (due) AND NOT pg_temp.exhausted(x)));
	WHEN what IN ('resolve', 'reschedule', 'snooze', 'extend') THEN
		FOR i IN 1 .. 1 + floor(random() * 4) LOOP
			a := pg_temp.pick('{1}');
			ids := ids || CASE WHEN i > 1 AND random() < 0.15 THEN ids[i - 1] WHEN random() < 0.03 THEN '00000000-0000-4000-8000-00000000000f' ELSE coalesce(a.id, org, '00000000-0000-4000-8000-00000000000f') END;
			SELECT * INTO m FROM model x WHERE x.id = ids[i];
			tokens := tokens || (CASE WHEN random() < 0.8 THEN coalesce(m.token, 1) ELSE coalesce(m.token, 1) + pg_temp.one('{-1,-1,1,-100}')::int END);
			foretold := foretold || CASE WHEN m.id IS NULL OR m.org <> my.org THEN 'PF005' WHEN m.deleted THEN 'PF021' WHEN m.status <> 1 OR m.token <> tokens[i] OR m.token = 0 THEN 'PF030'
				-- whether the second of a pair is told that its lease is extended is not said
				WHEN EXISTS (SELECT FROM generate_series(1, i - 1) k WHERE ids[k] = ids[i] AND foretold[k] = '') THEN CASE WHEN what = 'extend' THEN 'any' ELSE 'PF030' END ELSE '' END;
			errors[i] := CASE WHEN random() < 0.7 THEN pg_temp.one('{timeout after 32 s,disk full,other}') END;
		END LOOP;
		errors := CASE WHEN random() < 0.8 THEN errors END;
		after := CASE what WHEN 'reschedule' THEN nullif(pg_temp.one('{-,-,-,0,0,1 day}'), '-') WHEN 'snooze' THEN pg_temp.one('{-1 day,1 day}') ELSE pg_temp.one('{1 minute,3 hours}') END;
		expected := CASE WHEN who = 6 THEN 'PF010' ELSE '' END;
	WHEN what IN ('abandon', 'requeue', 'cancel') THEN
		FOR i IN 1 .. 1 + floor(random() * 3) LOOP
			a := pg_temp.pick((CASE what WHEN 'requeue' THEN '{0,3,4}' WHEN 'cancel' THEN '{0,1,3}' ELSE '{0,1}' END)::int[]);
			ids := ids || CASE WHEN a.id IS NULL OR random() < 0.03 THEN '00000000-0000-4000-8000-00000000000f' ELSE a.id END;
			IF a.id IS NULL OR a.deleted OR a.org <> my.org OR ids[i] <> a.id THEN
				expected := 'PF005';
			END IF;
		END LOOP;
		ids := ids || CASE WHEN random() < 0.2 THEN ids[1:1] ELSE '{}' END;
		expected := CASE WHEN who = 6 THEN 'PF010' ELSE expected END;
	WHEN what LIKE '% like' THEN
		a.error := pg_temp.one(ARRAY['timeout after 33 s', 'cannot open "c.jpg"', 'disk full', 'other', 'given up', 'nobody''s']);
		ids := array(SELECT x.id FROM model x WHERE NOT x.deleted AND x.status <> 2 AND (my.org IS NULL OR x.org = my.org)
			AND photoflow.error_fingerprint(x.error) = photoflow.error_fingerprint(a.error));
		expected := CASE WHEN who = 6 THEN 'PF010' ELSE '' END;
	WHEN what IN ('status', 'place', 'books', 'message', 'delete') THEN
		a := pg_temp.pick((CASE what WHEN 'place' THEN '{0}' WHEN 'books' THEN '{0,1,2,3,4}' ELSE '{0,1,3,4}' END)::int[]);
		IF random() < 0.1 THEN
			SELECT * INTO a FROM model x WHERE x.deleted ORDER BY x.n LIMIT 1;
		END IF;
		expected_count := (a.id IS NOT NULL AND (who = 0 OR a.org = org))::int;
		goal := pg_temp.one('{0,0,1,1,2,3,4,7}');
		at := CASE pg_temp.one('{past,future,null,same}') WHEN 'past' THEN t0 - interval '1 hour' WHEN 'future' THEN t0 + interval '1 day' WHEN 'same' THEN a.place END;
		state := pg_temp.one(ARRAY['"RetryCount" = "RetryCount" + 1', '"LastRetryAt" = now()', '"LeaseUntil" = now()', '"ClaimToken" = "ClaimToken" + 1', '"ClaimedBy" = ''me''', '"FinishedAt" = now()',
			'"Fingerprint" = ''f''', '"Occurrences" = "Occurrences" + 1', '"LastFailedAt" = now() - interval ''1 s''', '"FirstError" = ''first''']);
		expected := CASE WHEN who IN (4, 5) THEN '42501' WHEN who = 6 THEN 'PF010' WHEN expected_count = 0 THEN ''
			WHEN what = 'delete' THEN '' WHEN a.deleted AND (what = 'message' OR what = 'place' AND at = a.place) THEN 'PF021'
			WHEN a.deleted THEN 'PF021|PF006|27000'
			WHEN what = 'status' AND NOT (a.status = goal OR a.status || '>' || goal = ANY ('{0>1,0>2,0>3,0>4,1>0,1>2,1>3,1>4,3>0,3>2,3>4,4>0}')) THEN 'PF006'
			WHEN what = 'place' AND a.place IS DISTINCT FROM at AND (a.status <> 0 OR at IS NULL) THEN '27000'
			WHEN what = 'books' THEN '27000' ELSE '' END;
		expected_count := CASE WHEN what = 'delete' AND a.deleted THEN 0 ELSE expected_count END;
	WHEN what = 'restore' THEN
		SELECT * INTO a FROM model x WHERE x.deleted AND (who = 0 OR x.org = my.org) ORDER BY x.n LIMIT 1;
		SELECT "DeletionId" INTO id FROM "FailureRecords" WHERE "Id" = a.id;
		expected := CASE WHEN who IN (4, 6) THEN 'PF010' WHEN who = 5 THEN '42501|22004' WHEN id IS NULL THEN '22004' ELSE '' END;
	WHEN what = 'recover' THEN
		a := pg_temp.pick('{0,1,3,4}');
		IF random() < 0.6 THEN
			SELECT * INTO a FROM model x WHERE x.type = 'Album' AND x.status <> 2 AND (my.org IS NULL OR x.org = my.org) ORDER BY x.from_state = 'Init' DESC, x.n LIMIT 1;
		END IF;
		text_foretold := CASE WHEN a.deleted THEN 'not recovered: %' WHEN a.status = 2 THEN 'already resolved' WHEN a.status = 4 OR a.type <> 'Album' OR a.from_state IS NULL THEN 'not recovered: %'
			WHEN a.from_state = 'Init' THEN 'already in Init' ELSE 'not recovered: %' END;
		-- who works for one organization needs the rights of an application
		expected := CASE WHEN who = 6 THEN 'PF010' WHEN a.id IS NULL THEN 'PF005|22004' WHEN a.org <> my.org THEN 'PF005' WHEN who = 5 AND a.type = 'Album' THEN '42501|' ELSE '' END;
	WHEN what = 'due' THEN
		-- microseconds until something may be claimable
		text_foretold := (SELECT CASE WHEN bool_or(pg_temp.claimable(x, t0)) THEN '0'
			ELSE round(extract(epoch FROM min(CASE WHEN x.status = 1 THEN x.lease ELSE x.place END) - t0))::text END
			FROM model x WHERE x.status IN (0, 1) AND NOT x.deleted AND (my.org IS NULL OR x.org = my.org));
		expected := CASE WHEN who = 6 THEN 'PF010' ELSE '' END;
	WHEN what = 'attempts' THEN
		a := pg_temp.pick('{1,2,3}');
		expected := CASE WHEN who = 6 THEN 'PF010' WHEN a.id IS NULL THEN '22004' WHEN a.org <> my.org THEN 'PF005' ELSE '' END;
	WHEN what = 'malformed' THEN
		state := pg_temp.one(array(SELECT x.sql FROM malformed x ORDER BY x.sql));
		expected := (SELECT x.code FROM malformed x WHERE x.sql = state);
		expected := CASE WHEN who = 6 THEN 'PF010|' || expected ELSE expected END;
	WHEN what = 'policy' THEN
		a.type := pg_temp.one('{Album,Photo,Mail}');
		a.most := pg_temp.one('{1,2,3,5}');
		expected := CASE WHEN who = 0 THEN '' ELSE '42501' END;
	END CASE;

	-- do
	outcome := '';
	t0 := clock_timestamp();
	BEGIN
		PERFORM set_config('walk.heard', '0', true);
		IF org IS NOT NULL THEN
			PERFORM photoflow.set_context(org, NULL, 'org_admin');
		END IF;
		IF who > 0 THEN
			PERFORM set_config('role', CASE WHEN who IN (4, 5) THEN 'pgtap_failure_worker' ELSE 'pgtap_failure_app' END, true);
		END IF;
		CASE what
		WHEN 'record' THEN
			id := photoflow.record_failure(a.type, a.entity, a.from_state, a.to_state, message, pg_temp.severity(a.severity), named, a.most, a.payload);
		WHEN 'insert' THEN
			INSERT INTO "FailureRecords" ("OrgId", "EntityType", "EntityId", "Status", "RetryCount", "LastRetryAt", "ClaimToken", "ErrorMessage", "NextRetryAt", "FinishedAt")
				VALUES (a.org, a.type, a.entity, a.status, a.retries, CASE WHEN a.retries > 0 THEN now() END, a.token, message, a.place, CASE WHEN a.status > 1 THEN now() END) RETURNING "Id" INTO id;
		WHEN 'claim' THEN
			SELECT jsonb_agg(to_jsonb(c)) INTO given FROM photoflow.claim_failures(worker, batch, lease, types, named, fairly) c;
		WHEN 'resolve' THEN
			SELECT array_agg(CASE WHEN r.ok THEN '' ELSE left(r.why_not, 5) END ORDER BY r.ordinality) INTO told
				FROM photoflow.resolve_failures(ids, tokens) WITH ORDINALITY r WHERE r.id = ids[r.ordinality];
		WHEN 'reschedule' THEN
			SELECT array_agg(CASE WHEN r.ok THEN '' ELSE left(r.why_not, 5) END ORDER BY r.ordinality), jsonb_agg(to_jsonb(r)) INTO told, given
				FROM photoflow.reschedule_failures(ids, tokens, errors, after) WITH ORDINALITY r WHERE r.id = ids[r.ordinality];
		WHEN 'snooze' THEN
			SELECT array_agg(CASE WHEN r.ok THEN '' ELSE 'no' END ORDER BY r.ordinality) INTO told
				FROM photoflow.snooze_failures(ids, tokens, t0 + after) WITH ORDINALITY r WHERE r.id = ids[r.ordinality];
		WHEN 'extend' THEN
			SELECT array_agg(CASE WHEN r.ok THEN '' ELSE 'no' END ORDER BY r.ordinality) INTO told
				FROM photoflow.extend_lease(ids, tokens, after) WITH ORDINALITY r WHERE r.id = ids[r.ordinality];
		WHEN 'abandon' THEN told_count := photoflow.abandon_failures(ids, message);
		WHEN 'requeue' THEN told_count := photoflow.requeue_failures(ids);
		WHEN 'cancel' THEN told_count := photoflow.cancel_failures(ids);
		WHEN 'abandon like' THEN told_count := photoflow.abandon_failures(photoflow.error_fingerprint(a.error), 'given up');
		WHEN 'requeue like' THEN told_count := photoflow.requeue_failures(photoflow.error_fingerprint(a.error));
		WHEN 'cancel like' THEN told_count := photoflow.cancel_failures(photoflow.error_fingerprint(a.error));
		WHEN 'status' THEN
			IF message IS NULL THEN
				UPDATE "FailureRecords" SET "Status" = goal WHERE "Id" = a.id;
			ELSE
				UPDATE "FailureRecords" SET "Status" = goal, "ErrorMessage" = message WHERE "Id" = a.id;
			END IF;
			GET DIAGNOSTICS told_count = ROW_COUNT;
		WHEN 'place' THEN
			UPDATE "FailureRecords" SET "NextRetryAt" = at WHERE "Id" = a.id;
			GET DIAGNOSTICS told_count = ROW_COUNT;
		WHEN 'books' THEN
			EXECUTE format('UPDATE "FailureRecords" SET %s WHERE "Id" = $1', state) USING a.id;
			GET DIAGNOSTICS told_count = ROW_COUNT;
		WHEN 'message' THEN
			UPDATE "FailureRecords" SET "ErrorMessage" = message, "Severity" = goal % 4 WHERE "Id" = a.id;
			GET DIAGNOSTICS told_count = ROW_COUNT;
		WHEN 'delete' THEN
			DELETE FROM "FailureRecords" WHERE "Id" = a.id;
			GET DIAGNOSTICS told_count = ROW_COUNT;
		WHEN 'restore' THEN PERFORM photoflow.restore(id);
		WHEN 'recover' THEN text_told := photoflow.recover(a.id);
		WHEN 'due' THEN next := photoflow.next_failure_due();
		WHEN 'attempts' THEN
			told := array(SELECT concat_ws(' ', f.attempt, f.worker, f.outcome, f.error_message, f.finished_at IS NULL) FROM photoflow.failure_attempts(a.id) f);
		WHEN 'malformed' THEN EXECUTE state;
		WHEN 'policy' THEN PERFORM photoflow.set_failure_policy(a.type, '30 days', '300 days', a.most, '1 hour');
		END CASE;
		PERFORM set_config('role', 'none', true), photoflow.set_context(NULL);
	EXCEPTION WHEN OTHERS THEN
		outcome := SQLSTATE;
		problem := SQLERRM;
	END;
	t1 := clock_timestamp() + interval '1 ms';		-- times given out in a burst run ahead of the clock

	-- compare
	IF outcome <> ALL (regexp_split_to_array(expected, '\|')) THEN
		problem := format('%s by %s ended with "%s" %s, not with "%s": %s', what, who, outcome, problem, expected, jsonb_build_object('record', to_jsonb(a), 'ids', ids, 'tokens', tokens, 'goal', goal,
			'sql', state, 'at', at));
		RETURN;
	END IF;
	problem := NULL;
	IF outcome = '' THEN
		CASE
		WHEN what = 'record' THEN
			SELECT * INTO m FROM model x WHERE x.status IN (0, 1) AND NOT x.deleted AND (x.org, x.type, x.entity) = (a.org, a.type, a.entity)
				AND (x.from_state, x.to_state) IS NOT DISTINCT FROM (a.from_state, a.to_state) ORDER BY x.id LIMIT 1;
			IF m.id IS NULL THEN
				INSERT INTO model (id, org, type, entity, from_state, to_state, severity, most, error, payload, lo, hi)
					VALUES (my.id, a.org, a.type, a.entity, a.from_state, a.to_state, a.severity, a.most, message, a.payload, t0, t1);
				what := 'record a new one';
			ELSE
				UPDATE model x SET occurrences = x.occurrences + 1, severity = greatest(x.severity, a.severity), payload = coalesce(a.payload, x.payload) WHERE x.id = m.id;
				PERFORM pg_temp.say(m.id, message);
				got := got || CASE WHEN my.id <> m.id THEN 'another record was bumped' END || pg_temp.heard_of(1);
			END IF;
		WHEN what = 'insert' THEN
			INSERT INTO model (id, org, type, entity, status, retries, token, error, place, lo, hi, lease)
				VALUES (my.id, a.org, a.type, a.entity, a.status, a.retries, a.token, message, CASE WHEN a.status < 2 AND a.place > t0 THEN a.place END,
					CASE WHEN a.place > t0 THEN NULL ELSE t0 END, CASE WHEN a.place > t0 THEN NULL ELSE t1 END, NULL);
		WHEN what = 'claim' THEN
			given := coalesce(given, '[]');
			-- in turns, which of them is not foretold: only how many, and that nobody with something due was left out
			in_order := org IS NOT NULL OR named IS NOT NULL OR NOT fairly;
			IF NOT in_order THEN
				IF EXISTS (SELECT FROM (SELECT x.org, count(*) AS n FROM model x WHERE x.id = ANY (due) AND NOT pg_temp.exhausted(x) GROUP BY 1) o
					WHERE least(o.n, batch / 3) > (SELECT count(*) FROM jsonb_array_elements(given) g WHERE g->>'org_id' = o.org::text)) THEN
					got := got || format('an organization was left out of %s', jsonb_array_length(given));
				END IF;
				due := array(SELECT d FROM unnest(due) WITH ORDINALITY u (d, o) JOIN "FailureRecords" r ON r."Id" = d JOIN model x ON x.id = d
					WHERE given @> jsonb_build_array(jsonb_build_object('id', d)) OR pg_temp.exhausted(x) AND r."Status" = 3 ORDER BY o);
			END IF;
			told_count := jsonb_array_length(given);
			goal := 0;
			FOREACH id IN ARRAY due LOOP
				-- the oldest first; when there are enough, what is used up is left too
				EXIT WHEN batch = 0;
				SELECT * INTO m FROM model x WHERE x.id = my.id;
				IF m.status = 1 THEN
					PERFORM pg_temp.end_attempt(id, 'expired');
				END IF;
				IF pg_temp.exhausted(m) THEN
					PERFORM pg_temp.finish(id, 3);
				ELSE
					after := coalesce(lease, (SELECT p.lease FROM policy p WHERE p.type = m.type));
					PERFORM pg_temp.take(id, worker, t0 + after, t1 + after);
					batch := batch - in_order::int;
				END IF;
				goal := goal + 1;
			END LOOP;
			got := got || pg_temp.heard_of(goal);
			-- what a worker is told is what is there
			got := got || (SELECT format('it is told %s', g) FROM jsonb_array_elements(given) g LEFT JOIN "FailureRecords" r ON r."Id" = (g->>'id')::uuid
				WHERE jsonb_build_object('id', r."Id", 'claim_token', r."ClaimToken", 'entity_type', r."EntityType", 'entity_id', r."EntityId", 'from_state', r."FromState", 'to_state', r."ToState",
					'error_message', r."ErrorMessage", 'severity', pg_temp.severity(r."Severity"), 'retry_count', r."RetryCount", 'payload', r."Payload", 'lease_until', r."LeaseUntil",
					'org_id', r."OrgId") <> g LIMIT 1);
		WHEN what IN ('resolve', 'reschedule', 'snooze', 'extend') THEN
			IF (SELECT bool_or(CASE WHEN what IN ('resolve', 'reschedule') THEN f <> t ELSE f <> 'any' AND (f = '') <> (t = '') END) FROM unnest(foretold, told) u (f, t)) IS DISTINCT FROM false THEN
				got := got || format('%s, not %s', told, foretold);
			END IF;
			FOR i IN 1 .. cardinality(ids) LOOP
				CONTINUE WHEN foretold[i] <> '';
				SELECT * INTO m FROM model x WHERE x.id = ids[i];
				CASE what
				WHEN 'resolve' THEN PERFORM pg_temp.finish(ids[i], 2);
				WHEN 'snooze' THEN
					PERFORM pg_temp.end_attempt(ids[i], 'snoozed');
					IF after < interval '0' THEN
						PERFORM pg_temp.wait(ids[i], t0, t1);
					ELSE
						PERFORM pg_temp.wait(ids[i], t0 + after, t0 + after);
					END IF;
					UPDATE model x SET retries = x.retries - 1 WHERE x.id = ids[i];
				WHEN 'extend' THEN
					UPDATE model x SET lease_lo = greatest(x.lease, t0 + after), lease_hi = greatest(x.lease, t1 + after) WHERE x.id = ids[i];
				WHEN 'reschedule' THEN
					PERFORM pg_temp.end_attempt(ids[i], 'failed', errors[i]), pg_temp.say(ids[i], errors[i]);
					IF pg_temp.exhausted(m) THEN
						PERFORM pg_temp.finish(ids[i], 3);
					ELSE
						PERFORM pg_temp.wait(ids[i], t0 + coalesce(after, '0'), t1 + coalesce(after, (SELECT least(p.cap, p.base * 2.0 ^ greatest(m.retries - 1, 0)) FROM policy p WHERE p.type = m.type)));
					END IF;
					got := got || (SELECT format('it is told %s', given->(i - 1)) FROM "FailureRecords" r WHERE r."Id" = ids[i] AND (r."NextRetryAt" IS DISTINCT FROM (given->(i - 1)->>'next_retry_at')::timestamptz
						OR given->(i - 1)->>'status' IS DISTINCT FROM CASE r."Status" WHEN 0 THEN 'pending' WHEN 3 THEN 'abandoned' END));
				END CASE;
			END LOOP;
			got := got || CASE WHEN 'any' <> ALL (foretold) THEN pg_temp.heard_of((SELECT count(*)::int FROM unnest(foretold) f WHERE f = '')) END;
		WHEN what IN ('abandon', 'requeue', 'cancel') OR what LIKE '% like' THEN
			expected_count := 0;
			message := CASE WHEN what = 'abandon like' THEN 'given up' WHEN what = 'abandon' THEN message END;
			FOR m IN SELECT x.* FROM model x WHERE x.id = ANY (ids) ORDER BY x.id LOOP
				CONTINUE WHEN NOT CASE split_part(what, ' ', 1) WHEN 'abandon' THEN m.status IN (0, 1) WHEN 'cancel' THEN m.status IN (0, 1, 3)
					ELSE m.status = 0 OR m.status IN (3, 4) AND NOT pg_temp.has_twin(m) END;
				IF m.status = 1 THEN
					PERFORM pg_temp.end_attempt(m.id, CASE WHEN what LIKE 'abandon%' THEN 'abandoned' ELSE 'cancelled' END, message);
				END IF;
				IF what LIKE 'requeue%' THEN
					PERFORM pg_temp.wait(m.id, t0, t1);
					UPDATE model x SET retries = 0 WHERE x.id = m.id;
				ELSE
					PERFORM pg_temp.finish(m.id, CASE WHEN what LIKE 'abandon%' THEN 3 ELSE 4 END);
				END IF;
				PERFORM pg_temp.say(m.id, message);
				expected_count := expected_count + 1;
			END LOOP;
			got := got || pg_temp.heard_of(expected_count);
		WHEN what = 'status' AND expected_count = 1 THEN
			IF message IS DISTINCT FROM a.error THEN
				PERFORM pg_temp.say(a.id, message);
			END IF;
			IF a.status = 1 AND goal NOT IN (1, 2) THEN
				PERFORM pg_temp.end_attempt(a.id, CASE goal WHEN 0 THEN 'failed' WHEN 3 THEN 'abandoned' ELSE 'cancelled' END);
				-- the worker of the model is the record's
			END IF;
			CASE
			WHEN a.status = goal THEN NULL;
			WHEN goal = 1 THEN
				after := (SELECT p.lease FROM policy p WHERE p.type = a.type);
				PERFORM pg_temp.take(a.id, CASE who WHEN 0 THEN current_user ELSE 'pgtap_failure_app' END, t0 + after, t1 + after);
				-- before it was due: else it would not be looked for when the lease has ended
				UPDATE model x SET place = NULL, lo = t0, hi = t1 WHERE x.id = a.id AND a.place > t0;
			WHEN goal > 1 THEN PERFORM pg_temp.finish(a.id, goal);
			WHEN a.status = 1 THEN PERFORM pg_temp.wait(a.id, t0, t1 + (SELECT least(p.cap, p.base * 2.0 ^ greatest(a.retries - 1, 0)) FROM policy p WHERE p.type = a.type));
			ELSE
				PERFORM pg_temp.wait(a.id, t0, t1);
				UPDATE model x SET retries = 0 WHERE x.id = a.id;
			END CASE;
		WHEN what = 'place' AND expected_count = 1 THEN
			IF at IS DISTINCT FROM a.place AND a.status = 0 THEN
				PERFORM pg_temp.wait(a.id, greatest(at, t0), greatest(at, t1));
			END IF;
		WHEN what = 'message' AND expected_count = 1 THEN
			UPDATE model x SET severity = goal % 4 WHERE x.id = a.id;
			IF message IS DISTINCT FROM a.error THEN
				UPDATE model x SET first_error = coalesce(x.first_error, x.error), error = message WHERE x.id = a.id;
			END IF;
		WHEN what = 'delete' AND expected_count = 1 THEN UPDATE model x SET deleted = true WHERE x.id = a.id;
		WHEN what = 'restore' THEN UPDATE model x SET deleted = false WHERE x.id = a.id;
		WHEN what = 'recover' THEN
			IF text_told NOT LIKE text_foretold THEN
				got := got || format('"%s", not "%s"', text_told, text_foretold);
			ELSIF text_foretold LIKE 'already in%' THEN
				PERFORM pg_temp.finish(a.id, 2);
				what := 'recover an album';
			END IF;
		WHEN what = 'due' THEN
			-- a lease is followed by a moment in which nobody claims the record; who has seen a lease that is over now may be told to come too early, never too late
			IF coalesce(extract(epoch FROM next) > text_foretold::numeric + 32, text_foretold IS NOT NULL) OR next < interval '0'
				OR (next IS NOT DISTINCT FROM interval '0') <> (text_foretold IS NOT DISTINCT FROM '0') THEN
				got := got || format('%s, not %s s', coalesce(next::text, 'NULL'), coalesce(text_foretold, 'NULL'));
			END IF;
		WHEN what = 'attempts' THEN
			got := got || (SELECT CASE WHEN told <> x.a THEN format('attempts %s, not %s', told, x.a) END FROM (SELECT array(
				SELECT concat_ws(' ', h.attempt, h.worker, h.outcome, h.error, h.still) FROM (
					SELECT attempt, y.worker, y.outcome, error, false AS still FROM history y WHERE y.id = a.id
					UNION ALL SELECT a.token, a.worker, CASE a.status WHEN 1 THEN 'running' ELSE 'resolved' END, NULL, a.status = 1
					WHERE a.status IN (1, 2) AND a.token > 0 AND NOT EXISTS (SELECT FROM history y WHERE y.id = a.id AND y.attempt = a.token)) h ORDER BY h.attempt)) x (a));
		WHEN what = 'policy' THEN UPDATE policy p SET base = '30 days', cap = '300 days', most = a.most, lease = '1 hour' WHERE p.type = a.type;
		ELSE NULL;
		END CASE;
		got := got || CASE WHEN told_count <> expected_count THEN format('it says %s rows, not %s', told_count, expected_count) END;
	END IF;
	got := got || nullif(pg_temp.differences(), '');
	problem := CASE WHEN array_to_string(got, '') <> '' THEN format('%s by %s of %s (%s): %s', what, who, coalesce(a.n::text, ids::text), outcome, array_to_string(got, ', ')) END;
END $$;

-- what every caller is refused, whatever is there
CREATE TEMP TABLE malformed (sql text, code text);
GRANT SELECT ON malformed TO PUBLIC;
INSERT INTO malformed VALUES
	($$ SELECT photoflow.claim_failures('w', 0) $$, '22023'), ($$ SELECT photoflow.claim_failures('w', -1) $$, '22023'), ($$ SELECT photoflow.claim_failures(NULL) $$, '22004'),
	($$ SELECT photoflow.claim_failures('w', 1, '0') $$, '22023'), ($$ SELECT photoflow.claim_failures('w', 1, '-1 s') $$, '22023'), ($$ SELECT photoflow.claim_failures('w', NULL) $$, '22004'),
	($$ SELECT photoflow.resolve_failures('{00000000-0000-4000-8000-000000000001}', '{}') $$, '22023'), ($$ SELECT photoflow.resolve_failures('{NULL}', '{1}') $$, '22004'),
	($$ SELECT photoflow.resolve_failures('{00000000-0000-4000-8000-000000000001}', '{NULL}') $$, '22004'), ($$ SELECT photoflow.resolve_failures(NULL, NULL) $$, '22004'),
	($$ SELECT photoflow.reschedule_failures('{00000000-0000-4000-8000-000000000001}', '{1}', '{}') $$, '22023'),
	($$ SELECT photoflow.reschedule_failures('{00000000-0000-4000-8000-000000000001}', '{1}', NULL, '-1 s') $$, '22023'), ($$ SELECT photoflow.snooze_failures('{}', '{}', NULL) $$, '22004'),
	($$ SELECT photoflow.extend_lease('{}', '{}', '0') $$, '22023'), ($$ SELECT photoflow.extend_lease('{}', '{}', NULL) $$, '22004'), ($$ SELECT photoflow.abandon_failures(NULL::uuid[]) $$, '22004'),
	($$ SELECT photoflow.requeue_failures('{NULL}'::uuid[]) $$, '22004'), ($$ SELECT photoflow.cancel_failures(NULL::text) $$, '22004'), ($$ SELECT photoflow.recover(NULL) $$, '22004'),
	($$ SELECT photoflow.record_failure('Photo', '00000000-0000-4000-8000-000000000001', 'a', 'b', 'e', 'fatal', '00000000-0000-4000-8000-000000000002') $$, '22023|PF005'),
	($$ SELECT photoflow.record_failure('Photo', '00000000-0000-4000-8000-000000000001', 'a', 'b', 'e', 'low', '00000000-0000-4000-8000-000000000002', -1) $$, '22023|PF005'),
	($$ SELECT photoflow.record_failure('Photo', NULL, 'a', 'b', 'e', 'low', '00000000-0000-4000-8000-000000000002') $$, '22004|PF005'),
	($$ SELECT photoflow.failure_attempts(NULL) $$, '22004'), ($$ SELECT photoflow.failure_groups(NULL) $$, '22004'),
	($$ SELECT photoflow.failure_attempts('00000000-0000-4000-8000-00000000000f') $$, 'PF005'), ($$ SELECT photoflow.recover('00000000-0000-4000-8000-00000000000f') $$, 'PF005'),
	($$ SELECT photoflow.retry_delay(1, '1 s', '1 s', 1.5) $$, '22023'), ($$ SELECT photoflow.retry_delay(1, '-1 s', '1 s', 0.5) $$, '22023');

-- Some operations, of which some are taken back, alone or with their transaction, as the model is. Counts them in told; what was wrong first is in wrong.
CREATE TEMP TABLE told (what text, outcome text, n int);
CREATE TEMP TABLE wrong (n int GENERATED ALWAYS AS IDENTITY, problem text);
CREATE PROCEDURE pg_temp.walk(steps int) LANGUAGE plpgsql AS $$
DECLARE
	whats text[] := '{}';
	outcomes text[] := '{}';
	problems text[] := '{}';
	act record;
	dice float8;
	left_over text;
BEGIN
	FOR i IN 1 .. steps LOOP
		dice := random();
		BEGIN
			SELECT * INTO act FROM pg_temp.act();
			whats := whats || act.what;
			outcomes := outcomes || act.outcome;
			problems := problems || act.problem;
			IF dice < 0.07 THEN
				RAISE EXCEPTION USING ERRCODE = 'TTT00';
			END IF;
		EXCEPTION WHEN SQLSTATE 'TTT00' THEN
			outcomes := outcomes || 'TTT00'::text;
			whats := whats || ''::text;
			problems := problems || ('after it was taken back: ' || nullif(pg_temp.differences(), ''));
		END;
		IF dice > 0.93 THEN
			ROLLBACK;
			outcomes := outcomes || 'TTT01'::text;
			whats := whats || ''::text;
			problems := problems || ('after a rollback: ' || nullif(pg_temp.differences(), ''));
		ELSIF dice > 0.5 THEN
			COMMIT;
		END IF;
		-- go on from what is there
		IF array_to_string(problems, '') <> '' THEN
			INSERT INTO wrong (problem) SELECT p FROM unnest(problems) p WHERE p <> '';
			problems := '{}';
			CALL pg_temp.relearn();
		END IF;
	END LOOP;
	INSERT INTO told SELECT w, o, count(*) FROM unnest(whats, outcomes) u (w, o) GROUP BY 1, 2;
END $$;
CREATE PROCEDURE pg_temp.relearn() LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM model;
	DELETE FROM history;
	INSERT INTO model (id, org, type, entity, from_state, to_state, status, severity, retries, most, token, worker, error, first_error, occurrences, payload, deleted, place, lease)
		SELECT "Id", "OrgId", "EntityType", "EntityId", "FromState", "ToState", "Status", "Severity", "RetryCount", "MaxRetries", "ClaimToken", "ClaimedBy", "ErrorMessage", "FirstError", "Occurrences",
			"Payload", "IsDeleted", "NextRetryAt", "LeaseUntil" FROM "FailureRecords" ORDER BY "Id";
	INSERT INTO history SELECT "FailureId", "Attempt", "Worker", "Outcome", "ErrorMessage" FROM "FailureAttempts";
END $$;
-- what failure_stats and failure_groups say, to an application too, is what the model says
CREATE FUNCTION pg_temp.reported(org uuid DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	list text[];
BEGIN
	IF org IS NOT NULL THEN
		PERFORM photoflow.set_context(org), set_config('role', 'pgtap_failure_app', true);
	END IF;
	list := array(SELECT concat_ws(' ', s.org_id, s.status, s.severity, s.records) FROM photoflow.failure_stats s) || array(SELECT concat_ws(' ', g.fingerprint, g.count, g.next_retry_at) FROM photoflow.failure_groups() g);
	PERFORM set_config('role', 'none', true), photoflow.set_context(NULL);
	RETURN QUERY SELECT unnest(list);
END $$;
CREATE FUNCTION pg_temp.counted(org uuid DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', m.org, ('{pending,in progress,resolved,abandoned,cancelled}'::text[])[m.status + 1], pg_temp.severity(m.severity), count(*))
		FROM model m WHERE NOT m.deleted AND (counted.org IS NULL OR m.org = counted.org) GROUP BY m.org, m.status, m.severity
	UNION ALL SELECT concat_ws(' ', photoflow.error_fingerprint(m.error), count(*), min(CASE m.status WHEN 1 THEN m.lease ELSE m.place END))
		FROM model m WHERE NOT m.deleted AND m.error IS NOT NULL AND (counted.org IS NULL OR m.org = counted.org) GROUP BY photoflow.error_fingerprint(m.error)
$$;

SELECT setseed(:seed) \g /dev/null
CREATE TEMP VIEW chunks AS SELECT n, least(100, :operations - (n - 1) * 100) AS steps FROM generate_series(1, :chunks) n;
SELECT command FROM chunks, LATERAL (VALUES
	-- by turns: nothing of a user's, a trigger that hears, a trigger that sees each row first, a constraint
	(1, 'DROP TRIGGER IF EXISTS walk_hears ON "FailureRecords"'), (2, 'DROP TRIGGER IF EXISTS walk_sees ON "FailureRecords"'), (3, 'ALTER TABLE "FailureRecords" DROP CONSTRAINT IF EXISTS walk_holds'),
	(4, CASE n % 5 WHEN 2 THEN 'CREATE TRIGGER walk_hears AFTER UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION pg_temp.walk_hears()'
		WHEN 3 THEN 'CREATE TRIGGER walk_sees BEFORE INSERT OR UPDATE ON "FailureRecords" FOR EACH ROW EXECUTE FUNCTION pg_temp.walk_hears()'
		WHEN 4 THEN 'ALTER TABLE "FailureRecords" ADD CONSTRAINT walk_holds CHECK ("RetryCount" >= 0)' END),
	(5, 'VACUUM ANALYZE model, history, told'),
	(6, format('CALL pg_temp.walk(%s)', steps)),
	(7, format($$ SELECT is((SELECT string_agg(problem, E'\n') FROM (SELECT problem FROM wrong ORDER BY n LIMIT 3) w), NULL, 'operations to %s went as foretold, seed %s') $$, (n - 1) * 100 + steps, :'seed')),
	(8, 'DELETE FROM wrong'),
	(9, format($$ SELECT bag_eq('SELECT pg_temp.reported()', 'SELECT pg_temp.counted()', 'failure_stats and failure_groups count the records, %s, seed %s') $$, n, :'seed')),
	(10, format($$ SELECT bag_eq('SELECT pg_temp.reported(''00000000-0000-4000-8000-00000000000%1$s'')', 'SELECT pg_temp.counted(''00000000-0000-4000-8000-00000000000%1$s'')',
		'and to an application its own, %2$s, seed %3$s') $$, 1 + n % 3, n, :'seed')),
	(11, format($$ SELECT bag_eq('SELECT "FailureId", "Attempt", "Worker", "Outcome", "ErrorMessage" FROM "FailureAttempts"', 'SELECT * FROM history', 'the attempts are in the history, %s, seed %s') $$, n, :'seed')),
	-- now and then counts are folded, and what is deleted goes for good with its attempts
	(12, CASE WHEN n % 8 = 0 THEN $$ CALL photoflow.purge('0', 7) $$ END),
	(13, CASE WHEN n % 8 = 0 THEN $$ DELETE FROM history WHERE id IN (SELECT id FROM model WHERE deleted) $$ END),
	(14, CASE WHEN n % 8 = 0 THEN 'DELETE FROM model WHERE deleted' END)) AS c (place, command)
WHERE command IS NOT NULL ORDER BY n, place \gexec

-- the walk went everywhere
SELECT is((SELECT sum(n)::int FROM told WHERE what <> ''), :operations, 'operations, seed ' || :seed);
SELECT is(array(SELECT what FROM told WHERE what NOT IN ('', 'books', 'malformed') GROUP BY 1 HAVING NOT bool_or(outcome = '') ORDER BY 1), '{}', 'every kind of operation succeeded, seed ' || :seed);
SELECT is(array(SELECT code FROM unnest('{PF005,PF006,PF010,PF021,22004,22023,27000,42501,TTT00,TTT01}'::text[]) code WHERE code NOT IN (SELECT outcome FROM told)), '{}', 'every refusal was met, seed ' || :seed);
SELECT is(array(SELECT o FROM unnest('{failed,snoozed,expired,abandoned,cancelled}'::text[]) o WHERE o NOT IN (SELECT outcome FROM history)), '{}', 'attempts ended every way, seed ' || :seed);
SELECT cmp_ok((SELECT count(DISTINCT status)::int FROM model), '>=', 4, 'records are left in nearly every status, seed ' || :seed);
SELECT is(photoflow.recount_failures(), (SELECT count(*) FROM model WHERE NOT deleted), 'counted anew, there are as many');
SELECT bag_eq('SELECT pg_temp.reported()', 'SELECT pg_temp.counted()', 'and they are the same');
SELECT diag('to repeat this walk: psql -v seed=' || :seed || ' -v operations=' || :operations) WHERE num_failed() > 0;
DROP TRIGGER IF EXISTS walk_hears ON "FailureRecords";
DROP TRIGGER IF EXISTS walk_sees ON "FailureRecords";
ALTER TABLE "FailureRecords" DROP CONSTRAINT IF EXISTS walk_holds;

-- What the walk meets seldom or never ------------------------------------------------------------------------------------------------------------------------

-- Fills the queue anew: so many records of an organization, due in their order, or delayed, or of another status.
CREATE PROCEDURE pg_temp.empty() LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL photoflow.hard_delete = on;
	TRUNCATE "FailureRecords";
END $$;
CREATE FUNCTION pg_temp.org(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE PROCEDURE pg_temp.fill(org int, size int, after interval DEFAULT NULL, status int DEFAULT 0, error text DEFAULT 'boom', retries int DEFAULT 0) LANGUAGE sql AS $$
	INSERT INTO "FailureRecords" ("OrgId", "EntityType", "EntityId", "ErrorMessage", "Status", "NextRetryAt", "RetryCount", "LastRetryAt")
		SELECT pg_temp.org(org), 'Queue', gen_random_uuid(), error, status, clock_timestamp() + after, retries, CASE WHEN retries > 0 THEN now() END FROM generate_series(1, size);
$$;
INSERT INTO "Organizations" ("Id", "Name") SELECT pg_temp.org(n), n FROM generate_series(4, 400) n;

CALL pg_temp.empty();
SELECT photoflow.set_failure_policy('Short', lease => '1 microsecond') \g /dev/null
INSERT INTO "FailureRecords" ("OrgId", "EntityType", "EntityId", "NextRetryAt") VALUES (pg_temp.org(1), 'Short', pg_temp.org(1), now() + interval '1 day');
UPDATE "FailureRecords" SET "Status" = 1;
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w')), 1, 'a record that was claimed by a plain UPDATE before it was due is claimable again when its lease has ended');

CALL pg_temp.empty();
CALL pg_temp.fill(1, 3);
BEGIN;
UPDATE "FailureRecords" SET "NextRetryAt" = now();
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w')), 3, 'what this transaction has changed itself is no obstacle to its claim');
ROLLBACK;
BEGIN;
SELECT FROM "FailureRecords" FOR UPDATE \g /dev/null
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w')), 3, 'nor what it has locked');
ROLLBACK;
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w')), 3, 'nor what was rolled back');
SELECT lives_ok($$ SELECT photoflow.extend_lease(array_agg("Id") || array_agg("Id"), array_agg("ClaimToken") || array_agg("ClaimToken"), '1 hour') FROM "FailureRecords" $$,
	'a lease is extended twice in a call');

-- Delays ----------------------------------------------------------------------------------------------------------------------------------------------------

-- every retry, base, limit and fraction: the fraction of min(cap, base * 2^(retry-1))
SELECT is_empty($$ SELECT * FROM (SELECT r, b, c, f, extract(epoch FROM photoflow.retry_delay(r, b, c, f)) AS delay, f * least(extract(epoch FROM c), extract(epoch FROM b) * 2::numeric ^ (r - 1)) AS foretold
	FROM generate_series(1, 70) r, unnest('{0,1 ms,30 s,1 h,1 day,20 days}'::interval[]) b, unnest('{0,1 s,1 h,1 day,365 days}'::interval[]) c, unnest('{0,0.25,0.5,1}'::numeric[]) f) d
	WHERE abs(delay - foretold) > 0.000002 $$, 'retry_delay() is the fraction of min(cap, base * 2^(retry-1))');
SELECT is(photoflow.retry_delay(2147483647, '30 s', '1 h', 1), interval '1 h', 'of any retry');
SELECT throws_ok(format('SELECT photoflow.retry_delay(1, %L, %L, %L)', b, c, f), '22023', NULL, format('retry_delay(1, %s, %s, %s) is refused', b, c, f))
	FROM (VALUES ('-1 s', '1 h', '0.5'), ('1 s', '-1 h', '0.5'), ('1 s', '1 h', '-0.1'), ('1 s', '1 h', '1.1'), ('1 s', '1 h', 'NaN'), ('1 s', '1 h', 'Infinity')) v (b, c, f);

-- Full jitter: as many in each part of what is possible. Six sigma of what chance does to so many.
CREATE FUNCTION pg_temp.spread(fractions float8[]) RETURNS text LANGUAGE sql AS $$
	SELECT nullif(concat_ws(', ', CASE WHEN min(f) < 0 OR max(f) > 1 THEN format('from %s to %s', min(f), max(f)) END,
		CASE WHEN abs(avg(f) - 0.5) > 6 * 0.289 / sqrt(count(*)) THEN 'mean ' || avg(f) END,
		CASE WHEN abs(percentile_cont(0.25) WITHIN GROUP (ORDER BY f) - 0.25) > 6 * 0.433 / sqrt(count(*)) THEN 'first quartile ' || percentile_cont(0.25) WITHIN GROUP (ORDER BY f) END,
		CASE WHEN abs(percentile_cont(0.5) WITHIN GROUP (ORDER BY f) - 0.5) > 6 * 0.5 / sqrt(count(*)) THEN 'median ' || percentile_cont(0.5) WITHIN GROUP (ORDER BY f) END,
		CASE WHEN abs(percentile_cont(0.75) WITHIN GROUP (ORDER BY f) - 0.75) > 6 * 0.433 / sqrt(count(*)) THEN 'third quartile ' || percentile_cont(0.75) WITHIN GROUP (ORDER BY f) END,
		CASE WHEN min(f) > 20.0 / count(*) OR max(f) < 1 - 20.0 / count(*) THEN 'the ends are missing' END), '') FROM unnest(fractions) f
$$;
SELECT setseed(0.25) \g /dev/null
SELECT is(pg_temp.spread(array(SELECT extract(epoch FROM photoflow.retry_delay(4, '30 s', '1 h', random())) / 240 FROM generate_series(1, 10000))), NULL, 'retry_delay() spreads as its fractions do');
CALL pg_temp.empty();
SELECT photoflow.set_failure_policy('Queue', '10 days', '1000 days', 1000) \g /dev/null
CALL pg_temp.fill(1, 4000);
CALL pg_temp.fill(1, 3000, retries => 2);
CALL pg_temp.fill(1, 3000, retries => 29);
CREATE TEMP TABLE rescheduled AS SELECT "Id" AS id, CASE "RetryCount" WHEN 0 THEN 10 WHEN 2 THEN 40 ELSE 1000 END AS most, now() AS since FROM "FailureRecords";
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w', 10000)), 10000, 'ten thousand are claimed at once');
UPDATE rescheduled SET since = clock_timestamp();
SELECT is((SELECT count(*)::int FROM photoflow.reschedule_failures(array(SELECT "Id" FROM "FailureRecords"), array(SELECT "ClaimToken" FROM "FailureRecords"), NULL) r WHERE r.ok), 10000, 'and rescheduled at once');
SELECT is(pg_temp.spread(array(SELECT extract(epoch FROM "NextRetryAt" - since) / 86400 / most FROM rescheduled JOIN "FailureRecords" ON "Id" = id WHERE CASE n WHEN 0 THEN true ELSE most = n END)), NULL,
		format('ten thousand delays are spread from at once to the limit, those of a limit of %s days', n))
	FROM unnest('{0,10,40,1000}'::int[]) n;
-- one by one they are no less spread
SELECT is((SELECT count(DISTINCT "NextRetryAt")::int FROM "FailureRecords"), 10000, 'no two are at the same time');
SELECT photoflow.set_failure_policy('Queue', max_retries => 1000) \g /dev/null

-- Organizations take turns -----------------------------------------------------------------------------------------------------------------------------------

-- Claims a batch at a time until so many of an organization's are claimed, or so many claims are made; returns how many it took.
CREATE FUNCTION pg_temp.claims_until(org int, wanted int, batch int, most int, fairly boolean DEFAULT true) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	got int := 0;
BEGIN
	FOR n IN 1 .. most LOOP
		got := got + (SELECT count(*) FROM photoflow.claim_failures('w', batch, fair => fairly) c WHERE c.org_id = pg_temp.org(org));
		IF got >= wanted THEN
			RETURN n;
		END IF;
	END LOOP;
	RETURN NULL;
END $$;
CALL pg_temp.empty();
CALL pg_temp.fill(1, 20000);
CALL pg_temp.fill(3, 10);
BEGIN;
SELECT is(pg_temp.claims_until(3, 1, 10, 100, false), NULL, 'without turns who comes behind 20,000 waits');
ROLLBACK;
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(3, 10, 10, 100), '<=', 3, 'ten of one organization behind 20,000 of another: in the first claims of ten');
ROLLBACK;
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(3, 10, 1, 100), '<=', 21, 'one at a time: every other claim');
ROLLBACK;
-- many more: with something due, with nothing but delayed records, with nothing but leased ones
CREATE PROCEDURE pg_temp.fill_many(first int, last int, after interval DEFAULT NULL) LANGUAGE sql AS $$
	INSERT INTO "FailureRecords" ("OrgId", "EntityType", "EntityId", "NextRetryAt") SELECT pg_temp.org(o), 'Queue', gen_random_uuid(), clock_timestamp() + after FROM generate_series(first, last) o, generate_series(1, 3);
$$;
CALL pg_temp.fill_many(4, 100);
CREATE FUNCTION pg_temp.turns(batch int, claims int) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
	served uuid[] := '{}';
BEGIN
	FOR n IN 1 .. claims LOOP
		served := served || array(SELECT c.org_id FROM photoflow.claim_failures('w', batch) c);
	END LOOP;
	RETURN ARRAY[cardinality(served), (SELECT count(DISTINCT s) FROM unnest(served) s)];
END $$;
BEGIN;
SELECT is(pg_temp.turns(1, 198), '{198,99}', 'in twice as many claims of one as there are organizations each of them had its turn');
ROLLBACK;
BEGIN;
SELECT is(pg_temp.turns(10, 20), '{200,99}', 'and in twice as many records, by tens');
ROLLBACK;
BEGIN;
SELECT is(pg_temp.turns(100, 2), '{200,99}', 'and by hundreds, though not in one claim');
ROLLBACK;
CALL pg_temp.empty();
CALL pg_temp.fill(1, 2000);
CALL pg_temp.fill_many(4, 200, '1 day');
CALL pg_temp.fill(201, 10);
CALL pg_temp.fill_many(202, 400, '1 day');
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(201, 1, 1, 2000), '<=', 2 * 399, 'among 396 organizations with nothing but delayed records: in twice as many claims as organizations');
ROLLBACK;
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(201, 10, 10, 2000), '<=', 2 * 399, 'ten of them, by tens');
ROLLBACK;
CALL pg_temp.empty();
CALL pg_temp.fill_many(4, 200);
CALL pg_temp.fill_many(202, 400);
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w', 10000, '1 day')), 3 * 396, 'all of them are claimed');
CALL pg_temp.fill(1, 2000);
CALL pg_temp.fill(201, 10);
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(201, 1, 1, 2000), '<=', 2 * 398, 'among 396 with nothing but leased ones, too');
ROLLBACK;
-- they are there no more
SELECT photoflow.resolve_failures(array_agg("Id"), array_agg("ClaimToken")) FROM "FailureRecords" WHERE "Status" = 1 \g /dev/null
BEGIN;
SELECT cmp_ok(pg_temp.claims_until(201, 1, 1, 2000), '<=', 2 * 398, 'among 396 with nothing but dead rows, too');
ROLLBACK;

-- What a claim reads and writes ------------------------------------------------------------------------------------------------------------------------------

-- Pages touched by a statement: the middle of some runs, since now and then one folds the counts. The first make plans and caches.
CREATE PROCEDURE pg_temp.measure(statement text, INOUT pages int) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
	all_pages int[] := '{}';
BEGIN
	FOR n IN 1 .. 12 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || statement INTO plan;
		IF n > 3 THEN
			all_pages := all_pages || ((plan->0->'Plan'->>'Shared Hit Blocks')::int + (plan->0->'Plan'->>'Shared Read Blocks')::int);
		END IF;
		COMMIT;
	END LOOP;
	pages := (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY p) FROM unnest(all_pages) p);
END $$;

CREATE TEMP TABLE pages (shape text, statement text, pages int, most int);
-- a new version that does not fit its page, as where none goes, costs an entry in each of five indexes
CREATE PROCEDURE pg_temp.measure_all(shape text, a_record int DEFAULT 5) LANGUAGE plpgsql AS $$
DECLARE
	pages int;
	-- while nothing can be pruned a page has no room for a new version of each of its rows: of the others all indexes are written
	ten int := CASE WHEN shape LIKE '% still sees' THEN 180 ELSE 90 END;
BEGIN
	-- what became due in the last moment is walked over again (failuremark.c): not of these any more
	WHILE clock_timestamp() < (SELECT max("NextRetryAt") FROM "FailureRecords" WHERE "NextRetryAt" < now() + interval '1 hour') + interval '0.1 s' LOOP
	END LOOP;
	CALL pg_temp.measure('SELECT * FROM photoflow.claim_failures(''w'', 1)', pages);
	INSERT INTO pages VALUES (shape, 'a claim of one', pages, 40 + a_record);
	CALL pg_temp.measure('SELECT * FROM photoflow.claim_failures(''w'', 10)', pages);
	INSERT INTO pages VALUES (shape, 'a claim of ten', pages, 40 + 10 * a_record);
	CALL pg_temp.measure('SELECT * FROM photoflow.claim_failures(''w'', 10, fair => false)', pages);
	INSERT INTO pages VALUES (shape, 'a claim of ten without turns', pages, 40 + 10 * a_record);
	CALL pg_temp.measure('SELECT * FROM photoflow.claim_failures(''w'', 10, entity_types => ''{Queue}'', org_id => ''00000000-0000-4000-8000-000000000001'')', pages);
	INSERT INTO pages VALUES (shape, 'a claim of ten of an organization and a type', pages, 40 + 10 * a_record);
	CALL pg_temp.measure('SELECT photoflow.next_failure_due()', pages);
	INSERT INTO pages VALUES (shape, 'next_failure_due()', pages, 20);
END $$;
CALL pg_temp.empty();
CALL pg_temp.measure_all('nothing at all');
CALL pg_temp.fill(1, 200);
CALL pg_temp.measure_all('200 due');
CALL pg_temp.empty();
CALL pg_temp.fill(1, 20000);
VACUUM "FailureRecords";
CALL pg_temp.measure_all('20,000 due');
CALL pg_temp.fill(1, 20000, status => 2);
CALL pg_temp.measure_all('beside 20,000 finished');
CALL pg_temp.empty();
CALL pg_temp.fill(1, 20000, '1 day');
CALL pg_temp.fill(1, 1000);
CALL pg_temp.measure_all('behind 20,000 delayed');
-- finished one after the other and not yet vacuumed: who comes first cleans up behind them, or at least does not walk again
CALL pg_temp.empty();
CALL pg_temp.fill(1, 20000, error => 'first');
SELECT is(photoflow.cancel_failures(photoflow.error_fingerprint('first')), 20000, '20,000 are finished');
CALL pg_temp.fill(1, 1000);
CALL pg_temp.measure_all('behind 20,000 just finished');
-- dead rows that another session's snapshot still needs
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'dblink') AS dblink, current_setting('port') AS port \gset
\getenv host PGHOST
\getenv password PGPASSWORD
\if :{?host} \else \set host :HOST \endif
\if :{?password} \else \set password '' \endif
\if :dblink
CREATE EXTENSION dblink;
CALL pg_temp.empty();
CALL pg_temp.fill(1, 20000, error => 'first');
SELECT dblink_connect('pin', format('host=%s port=%s dbname=%L user=%L password=%L', :'host', :'port', current_database(), current_user, :'password')) \g /dev/null
SELECT dblink_exec('pin', 'BEGIN ISOLATION LEVEL REPEATABLE READ'), (SELECT n FROM dblink('pin', 'SELECT count(*) FROM "FailureRecords"') AS d (n bigint)) \g /dev/null
SELECT is(photoflow.cancel_failures(photoflow.error_fingerprint('first')), 20000, '20,000 are finished');
CALL pg_temp.measure_all('nothing due behind 20,000 dead rows that another session still sees');
CALL pg_temp.fill(1, 1000);
CALL pg_temp.measure_all('behind 20,000 dead rows that another session still sees', 15);
SELECT is((SELECT n FROM dblink('pin', 'SELECT count(*) FROM "FailureRecords" WHERE "Status" = 0') AS d (n bigint)), 20000::bigint, 'it does see them');
-- who is about to claim is no reason to sleep for long, or until somebody calls: he may not
SELECT dblink_exec('pin', 'COMMIT') \g /dev/null
CALL pg_temp.empty();
CALL pg_temp.fill(1, 1);
SELECT dblink_exec('pin', 'BEGIN'), (SELECT n FROM dblink('pin', 'SELECT count(*) FROM photoflow.claim_failures(''other'')') AS d (n bigint)) \g /dev/null
SELECT is((SELECT count(*)::int FROM photoflow.claim_failures('w')), 0, 'what somebody is claiming is not claimed');
SELECT isnt(photoflow.next_failure_due(), NULL, 'while somebody is claiming the only record there is something to come back for');
SELECT dblink_exec('pin', 'ROLLBACK') \g /dev/null
SELECT is(photoflow.next_failure_due(), interval '0', 'which is there when he did not');
SELECT dblink_disconnect('pin') \g /dev/null
DROP EXTENSION dblink;
\else
SELECT skip('there is no dblink here', 5);
\endif
SELECT cmp_ok(pages, '<=', most, format('%s, %s: a few pages', shape, statement)) FROM pages;
SELECT diag(format('%s, %s: %s pages', shape, statement, pages)) FROM pages WHERE num_failed() > 0;

-- a claim and an extension change no index: all of them are HOT. A new version fits its page; the fifth of a page's rows might not.
CALL pg_temp.empty();
CALL pg_temp.fill(1, 500);
VACUUM "FailureRecords";
CREATE FUNCTION pg_temp.hot(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint[] := ARRAY[pg_stat_get_xact_tuples_updated('"FailureRecords"'::regclass), pg_stat_get_xact_tuples_hot_updated('"FailureRecords"'::regclass)];
BEGIN
	EXECUTE statement;
	RETURN format('%s of %s', pg_stat_get_xact_tuples_hot_updated('"FailureRecords"'::regclass) - before[2], pg_stat_get_xact_tuples_updated('"FailureRecords"'::regclass) - before[1]);
END $$;
SELECT is(pg_temp.hot($$ SELECT photoflow.claim_failures('w', 4) $$), '4 of 4', 'a claim touches no index');
SELECT is(pg_temp.hot($$ SELECT photoflow.extend_lease(array_agg("Id"), array_agg("ClaimToken"), '1 day') FROM "FailureRecords" WHERE "Status" = 1 $$), '4 of 4', 'nor does an extension');
SELECT is(pg_temp.hot($$ SELECT photoflow.claim_failures('w', 4, fair => false) $$), '4 of 4', 'nor another claim');
SELECT is(pg_temp.hot($$ UPDATE "FailureRecords" SET "Status" = 1 WHERE "Id" = (SELECT "Id" FROM "FailureRecords" WHERE "Status" = 0 ORDER BY "Id" DESC LIMIT 1) $$), '1 of 1', 'nor a plain UPDATE that claims');

-- Counts are folded by and by: what that rewrites is of the order of what was added, not each time all that there is of 2,000 organizations.
CALL pg_temp.empty();
INSERT INTO "Organizations" ("Id", "Name") SELECT pg_temp.org(n), n FROM generate_series(401, 2000) n;
CALL pg_temp.fill_many(1, 2000);
SELECT photoflow.recount_failures() \g /dev/null
CREATE FUNCTION pg_temp.folded(claims int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := pg_stat_get_xact_tuples_deleted('"FailureCounts"'::regclass);
BEGIN
	FOR n IN 1 .. claims LOOP
		PERFORM photoflow.claim_failures('w', 10);
	END LOOP;
	RETURN pg_stat_get_xact_tuples_deleted('"FailureCounts"'::regclass) - before;
END $$;
SELECT cmp_ok(pg_temp.folded(600), '<=', 3 * 6000::bigint, 'of 6,000 counts not many more are folded');
SELECT is((SELECT sum(records)::int FROM photoflow.failure_stats WHERE status = 'in progress'), 6000, 'and they are right');

SELECT * FROM finish();
SELECT photoflow.revoke_worker('pgtap_failure_worker') \g /dev/null
DROP OWNED BY pgtap_failure_app, pgtap_failure_worker;
DROP ROLE pgtap_failure_app, pgtap_failure_worker;
