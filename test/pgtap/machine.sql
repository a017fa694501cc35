-- Law: every state x trigger x role of workflow version 1, by fire(), and every pair of states x role, by a plain UPDATE.
-- What is right is written down here a second time, from the tables of the domain, not read from the workflow.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
SELECT photoflow.create_tables() \g /dev/null
SELECT plan(11 * 9 * 4 + 11 * 11 * 4 + 3);

CREATE TEMP TABLE states AS SELECT row_number() OVER () - 1 AS n, name FROM unnest(
	'{Init,Raw,Stock,Rate,RateSync,Retouch,Feedback,Revision,Confirmed,Finish,Closed}'::text[]) name;
CREATE TEMP TABLE triggers AS SELECT row_number() OVER () AS n, name FROM unnest(
	'{SyncRawTag,SyncStockTag,Rate,ConfirmRate,FinishRetouch,RequestRevision,ConfirmFeedback,Finish,Close}'::text[]) name;
-- who: P photographer, A anonymous (and so the photographer too), O organization's admin
CREATE TEMP TABLE edges (trigger text, "from" text, "to" text, who char, stage int, archive boolean);
INSERT INTO edges VALUES
	('SyncRawTag', 'Init', 'Raw', 'P', 0, false), ('SyncRawTag', 'Raw', 'Raw', 'P', 0, false),
	('SyncStockTag', 'Raw', 'Stock', 'P', 1, false), ('SyncStockTag', 'Stock', 'Stock', 'P', 1, false),
	('Rate', 'Stock', 'Rate', 'A', 2, false), ('Rate', 'Rate', 'RateSync', 'P', NULL, false),
	('ConfirmRate', 'Rate', 'Retouch', 'P', 3, false), ('ConfirmRate', 'RateSync', 'Retouch', 'P', 3, false),
	('FinishRetouch', 'Retouch', 'Feedback', 'P', NULL, false), ('FinishRetouch', 'Revision', 'Feedback', 'P', NULL, false),
	('RequestRevision', 'Feedback', 'Revision', 'A', NULL, false), ('ConfirmFeedback', 'Feedback', 'Confirmed', 'A', NULL, false),
	('Finish', 'Confirmed', 'Finish', 'P', 4, false), ('Close', 'Finish', 'Closed', 'O', NULL, true);
CREATE TEMP TABLE roles (n int, name text, may text);
INSERT INTO roles VALUES (1, 'anonymous', 'A'), (2, 'photographer', 'PA'), (3, 'org_admin', 'PAO'), (4, 'supper_admin', 'PAO');

CREATE ROLE pgtap_photoflow_app;
GRANT SELECT, UPDATE ON "Albums" TO pgtap_photoflow_app;
INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-4000-8000-000000000001', 'one');

-- Try one change on a fresh album whose guards hold, tell what became of it, and take everything back.
CREATE FUNCTION pg_temp.attempt(state int, role text, trigger text, target int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	org uuid := '00000000-0000-4000-8000-000000000001';
	album uuid := '00000000-0000-4000-8000-000000000002';
	tag uuid;
	answer text;
	fired record;
BEGIN
	INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState") VALUES (album, org, 'a', state);
	-- what the guards ask for, and no stage that an entry action would make but for these
	INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status") VALUES (album, 0, 2), (album, 3, 2);
	INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "Voted") SELECT "Id", 'a.jpg', true FROM "AlbumTags" WHERE "Type" = 0;
	PERFORM photoflow.set_context(org, NULL, role);
	SET LOCAL ROLE pgtap_photoflow_app;
	IF trigger IS NOT NULL THEN
		SELECT * INTO fired FROM photoflow.fire(album, trigger);
	ELSE
		UPDATE "Albums" SET "AlbumState" = target WHERE "Id" = album;
	END IF;
	RESET ROLE;
	SELECT format('in %s%s; history %s; stages %s', "AlbumState", CASE WHEN "IsArchive" THEN ' archived' END,
		coalesce((SELECT string_agg(format('%s %s-%s by %s', "Trigger", "FromState", "ToState", "Role"), ',') FROM "AlbumTransitions"), 'none'),
		(SELECT string_agg("Type"::text, '' ORDER BY "Type") FROM "AlbumTags")) INTO answer FROM "Albums";
	RAISE EXCEPTION USING ERRCODE = 'TTT00', MESSAGE = answer || CASE WHEN trigger IS NOT NULL THEN
		format('; answer %s to %s', fired.from_state, fired.to_state) ELSE '' END;
EXCEPTION
	WHEN SQLSTATE 'TTT00' THEN RETURN SQLERRM;
	WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE FUNCTION pg_temp.success("from" int, "to" int, trigger text, stage int, archive boolean, role text) RETURNS text LANGUAGE sql AS $$
	SELECT format('in %s%s; history %s; stages %s', "to", CASE WHEN archive THEN ' archived' END,
		coalesce(format('%s %s-%s by %s', trigger, "from", "to", role), 'none'),
		CASE WHEN stage IN (1, 2) THEN '0' || stage || '3' WHEN stage = 4 THEN '034' ELSE '03' END)
$$;

SELECT is(pg_temp.attempt(s.n::int, r.name, t.name, NULL),
		CASE WHEN e.trigger IS NULL THEN 'PF001' WHEN strpos(r.may, e.who) = 0 THEN 'PF003'
			ELSE pg_temp.success(s.n::int, d.n::int, t.name, e.stage, e.archive, r.name) || format('; answer %s to %s', s.name, d.name) END,
		format('%s fires %s in %s', r.name, t.name, s.name))
	FROM states s CROSS JOIN triggers t CROSS JOIN roles r
		LEFT JOIN edges e ON e."from" = s.name AND e.trigger = t.name LEFT JOIN states d ON d.name = e."to"
	ORDER BY s.n, t.n, r.n;

SELECT is(pg_temp.attempt(s.n::int, r.name, NULL, d.n::int),
		CASE WHEN s.n = d.n THEN format('in %s; history none; stages 03', d.n)
			WHEN e.trigger IS NULL THEN 'PF006' WHEN strpos(r.may, e.who) = 0 THEN 'PF003'
			ELSE pg_temp.success(s.n::int, d.n::int, e.trigger, e.stage, e.archive, r.name) END,
		format('%s updates %s to %s', r.name, s.name, d.name))
	FROM states s CROSS JOIN states d CROSS JOIN roles r
		LEFT JOIN edges e ON e."from" = s.name AND e."to" = d.name AND s.n <> d.n
	ORDER BY s.n, d.n, r.n;

-- the table above and the workflow name the same things, no more and no fewer
SELECT results_eq($$ SELECT name, n::int FROM states ORDER BY n $$,
	$$ SELECT s->>'name' AS name, (s->>'value')::int AS n FROM jsonb_array_elements(photoflow.workflow(1)->'states') s ORDER BY 2 $$, 'states');
SELECT bag_eq($$ SELECT trigger, "from", "to" FROM edges $$,
	$$ SELECT t->>'trigger' AS trigger, t->>'from' AS "from", t->>'to' AS "to" FROM jsonb_array_elements(photoflow.workflow(1)->'transitions') t $$, 'edges');
SELECT is((SELECT count(*)::int FROM "AlbumTransitions"), 0, 'every attempt was taken back');
SELECT * FROM finish();
ROLLBACK;
