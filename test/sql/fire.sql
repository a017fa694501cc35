-- fire(): from Init to Closed, and every refusal.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
CREATE ROLE regress_photoflow_app;
GRANT SELECT, UPDATE ON "Albums" TO regress_photoflow_app;
GRANT SELECT, UPDATE ON "AlbumTags", "PhotoProcs" TO regress_photoflow_app;
SELECT lab.album(201, bare => true) AS album \gset

-- the whole way: who does what, which stages appear, what the album looks like
SET ROLE regress_photoflow_app;
SET photoflow.org_id = '00000000-0000-0000-0000-0000000000ff';
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) = lab.org(1)::text AS org;
SELECT set_config('photoflow.user_id', lab.id('user', 1)::text, false) = lab.id('user', 1)::text AS "user";
SET photoflow.role = 'photographer';
SELECT album_id, from_state, to_state, transition_id, tag_id
	FROM photoflow.fire(:'album', 'SyncRawTag', 'Init', 'first upload', '{"folder": "raw", "files": 412}') \gset
SELECT :'album' AS album, :'from_state' AS from_state, :'to_state' AS to_state,
	:'transition_id' = (SELECT transition_id FROM photoflow.album_history(:'album')) AS transition,
	:'tag_id' = (SELECT "Id" FROM "AlbumTags" WHERE "AlbumId" = :'album' AND "Type" = 0) AS stage;
-- a re-sync does not make the stage again
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'SyncRawTag');
SELECT from_state FROM photoflow.fire(:'album', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
UPDATE "AlbumTags" SET "Status" = 2 WHERE "AlbumId" = :'album' AND "Type" = 0;
SELECT from_state, to_state, tag_id IS NOT NULL AS stage FROM photoflow.fire(:'album', 'SyncStockTag');
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'SyncStockTag');
SET photoflow.role = 'anonymous';
SELECT from_state FROM photoflow.fire(:'album', 'Rate');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "Voted")
	SELECT lab.id('photo', 201), "Id", '1.jpg', true FROM "AlbumTags" WHERE "AlbumId" = :'album' AND "Type" = 1;
SET ROLE regress_photoflow_app;
SELECT from_state, to_state, tag_id IS NOT NULL AS stage FROM photoflow.fire(:'album', 'Rate');
-- the same trigger from Rate is the photographer's
SELECT from_state FROM photoflow.fire(:'album', 'Rate');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'photographer';
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'Rate');
SELECT from_state, to_state, tag_id IS NOT NULL AS stage FROM photoflow.fire(:'album', 'ConfirmRate');
SELECT from_state FROM photoflow.fire(:'album', 'FinishRetouch');
\echo :LAST_ERROR_SQLSTATE
UPDATE "AlbumTags" SET "Status" = 2 WHERE "AlbumId" = :'album' AND "Type" = 3;
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'FinishRetouch');
SET photoflow.role = 'anonymous';
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'RequestRevision', reason => 'Grandma is cut off');
SET photoflow.role = 'org_admin';
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'FinishRetouch');
SET photoflow.role = 'anonymous';
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'ConfirmFeedback');
SET photoflow.role = 'photographer';
SELECT from_state, to_state, tag_id IS NOT NULL AS stage FROM photoflow.fire(:'album', 'Finish');
SELECT from_state FROM photoflow.fire(:'album', 'Close');
\echo :LAST_ERROR_SQLSTATE
SELECT "IsArchive" FROM "Albums" WHERE "Id" = :'album';
SET photoflow.role = 'org_admin';
SELECT from_state, to_state, tag_id FROM photoflow.fire(:'album', 'Close');
SELECT from_state FROM photoflow.fire(:'album', 'Close');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT "AlbumState", "IsArchive", "ModifiedAt" > "CreatedAt" AS modified FROM "Albums" WHERE "Id" = :'album';
SELECT lab.tags(:'album');
SELECT * FROM lab.history(:'album');
SELECT DISTINCT "UserId" = lab.id('user', 1) AS "user", "OrgId" = lab.org(1) AS org FROM "AlbumTransitions" WHERE "AlbumId" = :'album';
-- what the API gives is what the table holds, oldest first
SET ROLE regress_photoflow_app;
SELECT from_state, trigger, to_state, user_id = lab.id('user', 1) AS "user", role, reason, args, compensates FROM photoflow.album_history(:'album');
SELECT count(*), bool_and(created_at BETWEEN now() - interval '1 day' AND clock_timestamp()) AS timely FROM photoflow.album_history(:'album');

-- PF001: no such edge, no such trigger (the words are exact: case counts), an edge of another state
RESET ROLE;
SELECT lab.album(202) AS album \gset
SET ROLE regress_photoflow_app;
SET photoflow.role = 'photographer';
SELECT from_state FROM photoflow.fire(:'album', 'Finish');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', 'syncrawtag');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', '');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', 'Raw"\ tag'' %s');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', 'rollback');
\echo :LAST_ERROR_SQLSTATE

-- PF002: all unmet guards, each once
RESET ROLE;
SELECT lab.album(203, 1, bare => true) AS bare \gset
SET ROLE regress_photoflow_app;
SELECT from_state FROM photoflow.fire(:'bare', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
-- a Raw stage that is not Ready, one that is Ready but deleted
RESET ROLE;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "Status", "IsDeleted") VALUES (:'bare', 0, 2, true), (:'bare', 0, 1, false), (:'bare', 0, 3, false);
SET ROLE regress_photoflow_app;
SELECT from_state FROM photoflow.fire(:'bare', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE

-- PF003: the role, before the guards (a stranger learns nothing of them)
SET photoflow.role = 'anonymous';
SELECT from_state FROM photoflow.fire(:'bare', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = '';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'Photographer';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'photographers';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'photo"grapher, {}';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE

-- PF004: expected_state, before everything but PF005, PF010 and PF021
SET photoflow.role = 'photographer';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag', 'Raw');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', 'Finish', 'Confirmed');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'anonymous';
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag', 'Raw');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'photographer';
-- a name that is no state at all is a typing error, not a conflict
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag', 'init');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', 'SyncRawTag', '');
\echo :LAST_ERROR_SQLSTATE

-- PF005 and PF021
SELECT from_state FROM photoflow.fire(lab.id('album', 299), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT lab.album(204) AS gone \gset
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" = :'gone';
SET ROLE regress_photoflow_app;
SELECT from_state FROM photoflow.fire(:'gone', 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'gone', 'SyncRawTag', 'Raw');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.rollback_transition(:'gone');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.can_fire(:'gone', 'SyncRawTag');

-- NULL
SELECT from_state FROM photoflow.fire(NULL, 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(:'album', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT trigger FROM photoflow.permitted_triggers(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.can_fire(NULL, 'x');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.can_fire(:'album', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.album_history(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncRawTag', NULL, NULL, NULL);

-- lists of roles, as a token with an array gives them; spaces do not matter
SET photoflow.role = 'anonymous,photographer';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncStockTag');
SET photoflow.role = ' guest , photographer ,, ';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncStockTag');
SET photoflow.role = 'guest,anonymous';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
-- SuperAdmin in both spellings may do anything that has an edge, also as one of a list; guards hold for it
SET photoflow.role = 'supper_admin';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Rate');
SELECT from_state, to_state FROM photoflow.fire(:'album', 'ConfirmRate');
SET photoflow.role = 'guest,super_admin';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'FinishRetouch');
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Close');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state, to_state FROM photoflow.fire(:'bare', 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'super_admins';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
\echo :LAST_ERROR_SQLSTATE

-- what could be fired, and why not: for me, for another role, for an owner, for an album that is deleted or at its end
SET photoflow.role = 'photographer';
SELECT * FROM photoflow.permitted_triggers(:'bare');
SELECT * FROM photoflow.permitted_triggers(:'bare', 'anonymous');
SELECT * FROM photoflow.permitted_triggers(:'album');
SELECT trigger, permitted FROM photoflow.permitted_triggers(:'album', 'nobody');
SELECT trigger, permitted FROM photoflow.permitted_triggers(:'album', 'super_admin');
SELECT trigger, permitted FROM photoflow.permitted_triggers(:'album', '');
SELECT * FROM photoflow.permitted_triggers(:'gone');
SELECT * FROM photoflow.permitted_triggers(lab.id('album', 201));
SELECT photoflow.can_fire(:'bare', 'SyncRawTag') AS resync, photoflow.can_fire(:'bare', 'SyncStockTag') AS guarded,
	photoflow.can_fire(:'bare', 'Close') AS no_edge, photoflow.can_fire(:'bare', 'nonsense') AS unknown;
SET photoflow.role = 'anonymous';
SELECT photoflow.can_fire(:'bare', 'SyncRawTag') AS wrong_role, photoflow.can_fire(:'album', 'RequestRevision') AS may;
RESET ROLE;
RESET photoflow.role;
SELECT trigger, permitted FROM photoflow.permitted_triggers(:'album');

-- the owner without a role is super_admin and says so in the history
SELECT from_state, to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
SELECT role, trigger FROM lab.history(:'album') ORDER BY n DESC LIMIT 1;

-- who may not update albums may not fire; the history needs no grant
CREATE ROLE regress_photoflow_reader;
GRANT SELECT ON "Albums" TO regress_photoflow_reader;
SET ROLE regress_photoflow_reader;
SET photoflow.role = 'photographer';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Finish');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- a refusal leaves nothing behind; nor does a transaction that is rolled back
BEGIN;
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Finish');
SELECT lab.tags(:'album');
ROLLBACK;
SELECT "AlbumState" FROM "Albums" WHERE "Id" = :'album';
SELECT lab.tags(:'album');
SELECT count(*) FROM lab.history(:'album') WHERE trigger = 'Finish';
SELECT * FROM lab.history(:'bare');

-- a user's BEFORE trigger that keeps the row from changing is noticed, not recorded
CREATE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Finish');
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER keep ON "Albums";
-- one that takes the album elsewhere meets the rules
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."AlbumState" := 10; RETURN NEW; END';
CREATE TRIGGER keep BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Finish');
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER keep ON "Albums";
\pset format unaligned
-- one that takes it along another edge, or leaves it where it is: fire() did not do what it was told, and refuses
SELECT lab.album(205, 6) AS album \gset
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."AlbumState" := 7; RETURN NEW; END';
CREATE TRIGGER keep BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.keep();
\set VERBOSITY sqlstate
SELECT from_state, to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
\set VERBOSITY default
SELECT "AlbumState" AS state, array(SELECT trigger || ' ' || h."from" || '-' || h."to" FROM lab.history("Id") h) AS history
	FROM "Albums" WHERE "Id" = :'album';
DROP TRIGGER keep ON "Albums";
SELECT lab.album(206, 6) AS album \gset
CREATE OR REPLACE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."AlbumState" := OLD."AlbumState"; RETURN NEW; END';
CREATE TRIGGER keep BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.keep();
\set VERBOSITY sqlstate
SELECT from_state, to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
\set VERBOSITY default
SELECT "AlbumState" AS state, array(SELECT trigger || ' ' || h."from" || '-' || h."to" FROM lab.history("Id") h) AS history
	FROM "Albums" WHERE "Id" = :'album';
DROP TRIGGER keep ON "Albums";
DROP FUNCTION lab.keep();
SELECT * FROM lab.broken(200, 299);
\pset format aligned

RESET photoflow.org_id;
RESET photoflow.user_id;
RESET photoflow.role;
DROP OWNED BY regress_photoflow_app, regress_photoflow_reader;
DROP ROLE regress_photoflow_app, regress_photoflow_reader;
