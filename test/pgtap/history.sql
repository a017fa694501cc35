-- Law: every change of an album's state has exactly one row of history, in order, however it was made: after a random walk
-- of fire(), fire_many(), rollback_transition(), plain, bulk and several-edge UPDATEs, half of them in blocks that are rolled back.
-- What happened is told by a trigger of the test's own. To repeat a walk: psql -v seed=0.42
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SELECT :{?seed} AS given \gset
\if :given
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
BEGIN;
SELECT photoflow.create_tables() \g /dev/null
SELECT plan(12);
CREATE TEMP TABLE seen (n bigint GENERATED ALWAYS AS IDENTITY, album uuid, "from" int, "to" int);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen (album, "from", "to") VALUES (NEW."Id", OLD."AlbumState", NEW."AlbumState");
	RETURN NULL;
END $$;
CREATE TRIGGER zz_see AFTER UPDATE ON "Albums" FOR EACH ROW WHEN (OLD."AlbumState" <> NEW."AlbumState") EXECUTE FUNCTION pg_temp.see();

INSERT INTO "Organizations" ("Id", "Name") SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n FROM generate_series(1, 3) n;
INSERT INTO "Albums" ("Id", "OrgId", "Name") SELECT ('00000000-0000-4000-8000-1' || lpad(n::text, 11, '0'))::uuid,
	('00000000-0000-4000-8000-00000000000' || 1 + n % 3)::uuid, n FROM generate_series(1, 200) n;
-- in half of the albums the guards hold
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") SELECT "Id", type, 2 FROM "Albums", unnest(ARRAY[0, 3]) type WHERE "Name"::int % 2 = 0;
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "Voted") SELECT "Id", 'a', true FROM "AlbumTags" WHERE "Type" = 0;

CREATE TEMP TABLE told (what text, outcome text, n int, PRIMARY KEY (what, outcome));
CREATE FUNCTION pg_temp.pick(anyarray) RETURNS anyelement LANGUAGE sql VOLATILE AS 'SELECT $1[1 + floor(random() * cardinality($1))::int]';
CREATE FUNCTION pg_temp.walk(steps int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	triggers text[] := '{SyncRawTag,SyncStockTag,Rate,ConfirmRate,FinishRetouch,RequestRevision,ConfirmFeedback,Finish,Close}';
	albums uuid[] := array(SELECT "Id" FROM "Albums" ORDER BY 1);
	what text;
	many uuid[];
	album uuid;
	outcome text;
	regret boolean;
BEGIN
	FOR step IN 1..steps LOOP
		what := pg_temp.pick('{fire,fire,fire,update,update,next,next,bulk,many,rollback,nested}'::text[]);
		album := pg_temp.pick(albums);
		many := array(SELECT a FROM unnest(albums) a WHERE random() < 0.1);
		regret := random() < 0.3;
		outcome := 'done';
		PERFORM set_config('photoflow.role', pg_temp.pick('{photographer,org_admin,anonymous,supper_admin,"anonymous,photographer",""}'::text[]), true);
		BEGIN
			CASE what
				WHEN 'fire' THEN PERFORM photoflow.fire(album, pg_temp.pick(triggers), reason => step::text);
				WHEN 'update' THEN UPDATE "Albums" SET "AlbumState" = floor(random() * 11)::int WHERE "Id" = album;
				WHEN 'next' THEN UPDATE "Albums" SET "AlbumState" = "AlbumState" + 1, "ModifiedAt" = now() WHERE "Id" = album;
				-- several edges in one statement, of several organizations
				WHEN 'bulk' THEN UPDATE "Albums" SET "AlbumState" = CASE "AlbumState" WHEN 3 THEN 5 WHEN 6 THEN 7 + floor(random() * 2)::int
						WHEN 7 THEN 6 WHEN 10 THEN 10 ELSE "AlbumState" + 1 END
					WHERE "Id" = ANY (many) AND ("Name"::int % 2 = 0 OR "AlbumState" NOT IN (1, 2, 5, 7));
				WHEN 'many' THEN PERFORM photoflow.fire_many(many, pg_temp.pick(triggers), on_error => 'skip');
				WHEN 'rollback' THEN PERFORM photoflow.rollback_transition(album);
				WHEN 'nested' THEN
					PERFORM photoflow.fire_many(many, pg_temp.pick(triggers), on_error => 'skip');
					BEGIN
						PERFORM photoflow.fire(album, pg_temp.pick(triggers));
						UPDATE "Albums" SET "AlbumState" = "AlbumState" + 1 WHERE "Id" = pg_temp.pick(albums);
					EXCEPTION WHEN OTHERS THEN
						outcome := 'inner ' || SQLSTATE;
					END;
			END CASE;
			IF regret THEN
				RAISE EXCEPTION USING ERRCODE = 'TTT00';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE;
		END;
		INSERT INTO told VALUES (what, outcome, 1) ON CONFLICT ON CONSTRAINT told_pkey DO UPDATE SET n = told.n + 1;
	END LOOP;
END $$;
SELECT setseed(:seed) \g /dev/null
SELECT pg_temp.walk(4000) \g /dev/null

CREATE TEMP VIEW history AS SELECT *, row_number() OVER (PARTITION BY "AlbumId" ORDER BY "Id") AS n,
	lag("ToState") OVER (PARTITION BY "AlbumId" ORDER BY "Id") AS before FROM "AlbumTransitions";
-- the walk went somewhere
SELECT cmp_ok((SELECT count(*)::int FROM seen), '>', 500, 'many changes, seed ' || :seed);
SELECT is((SELECT count(DISTINCT what)::int FROM told WHERE outcome = 'done'), 7, 'every way succeeded at least once, seed ' || :seed);
SELECT is((SELECT count(*)::int FROM told WHERE outcome !~ '^(inner )?(done|PF00[1236]|PF004|TTT00)$'), 0, 'nothing failed for another reason than a rule, seed ' || :seed);
-- exactly one row a change, in the order of the changes
SELECT is_empty($$ SELECT album, seen, told FROM
		(SELECT album, string_agg("from" || '-' || "to", ' ' ORDER BY n) AS seen FROM seen GROUP BY 1) s
		FULL JOIN (SELECT "AlbumId" AS album, string_agg("FromState" || '-' || "ToState", ' ' ORDER BY "Id") AS told
			FROM "AlbumTransitions" WHERE "FromState" <> "ToState" GROUP BY 1) h USING (album)
	WHERE seen IS DISTINCT FROM told $$, 'the history is what was seen, seed ' || :seed);
SELECT is_empty($$ SELECT "AlbumId", n, before, "FromState" FROM history WHERE before <> "FromState" $$, 'each row begins where the one before ended, seed ' || :seed);
SELECT is_empty($$ SELECT "AlbumId" FROM history WHERE n = 1 AND "FromState" <> 0 $$, 'the first row begins at the beginning, seed ' || :seed);
SELECT is_empty($$ SELECT a."Id", a."AlbumState", h."ToState" FROM "Albums" a
	LEFT JOIN (SELECT DISTINCT ON ("AlbumId") * FROM history ORDER BY "AlbumId", n DESC) h ON h."AlbumId" = a."Id"
	WHERE a."AlbumState" <> coalesce(h."ToState", 0) $$, 'an album is where its history ends, seed ' || :seed);
-- what a row says is an edge of the workflow, or takes one back
SELECT is_empty($$ SELECT h."Trigger", h."FromState", h."ToState" FROM "AlbumTransitions" h WHERE h."Trigger" <> 'rollback' AND NOT EXISTS (
	SELECT FROM jsonb_array_elements(photoflow.workflow(1)->'transitions') t WHERE t->>'trigger' = h."Trigger"
		AND photoflow.state_value(t->>'from', 1) = h."FromState" AND photoflow.state_value(t->>'to', 1) = h."ToState") $$, 'every row names an edge, seed ' || :seed);
SELECT is_empty($$ SELECT h."AlbumId", h.n FROM history h LEFT JOIN history c ON c."AlbumId" = h."AlbumId" AND c.n = h.n - 1
	WHERE h."Trigger" = 'rollback' AND (h."Compensates", h."FromState", h."ToState") IS DISTINCT FROM (c."Id", c."ToState", c."FromState")
		OR (h."Trigger" = 'rollback') <> (h."Compensates" IS NOT NULL) $$, 'a rollback takes back the row before it, seed ' || :seed);
SELECT is_empty($$ SELECT "Compensates" FROM "AlbumTransitions" GROUP BY 1 HAVING "Compensates" IS NOT NULL AND count(*) > 1 $$, 'none is taken back twice, seed ' || :seed);
SELECT is_empty($$ SELECT h."AlbumId" FROM "AlbumTransitions" h LEFT JOIN "Albums" a ON a."Id" = h."AlbumId" WHERE a."OrgId" IS DISTINCT FROM h."OrgId" $$,
	'a row belongs to its album''s organization, seed ' || :seed);
-- a stage is made once
SELECT is_empty($$ SELECT "AlbumId", "Type" FROM "AlbumTags" GROUP BY 1, 2 HAVING count(*) > 1 $$, 'no stage twice, seed ' || :seed);
SELECT * FROM finish();
ROLLBACK;
