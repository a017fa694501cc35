-- rollback_transition(): the newest transition is taken back once, by a transition that says so.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
SELECT lab.album(501, bare => true) AS album \gset
SELECT from_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
SELECT transition_id AS fired FROM photoflow.fire(:'album', 'SyncRawTag', reason => 'upload') \gset
SELECT transition_id AS back, from_state, to_state, tag_id FROM photoflow.rollback_transition(:'album', 'wrong folder') \gset
SELECT :'from_state' AS from_state, :'to_state' AS to_state;
SELECT compensates = :'fired' AS names_it, transition_id = :'back' AS is_it FROM photoflow.album_history(:'album') ORDER BY created_at DESC, transition_id DESC LIMIT 1;
SELECT * FROM lab.history(:'album');
-- the stage stays, with what has been put there
SELECT lab.tags(:'album');
-- once, and a rollback is not rolled back
SELECT from_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
-- fired again it may be rolled back again; one step, not two
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncRawTag');
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncRawTag');
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.history(:'album');

-- back from the end: IsArchive goes back as well
SELECT lab.album(502, 9) AS album \gset
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Close');
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
SELECT "AlbumState", "IsArchive" FROM "Albums" WHERE "Id" = :'album';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Close');
UPDATE "Albums" SET "AlbumState" = 9 WHERE "Id" = :'album';
\echo :LAST_ERROR_SQLSTATE

-- what a plain UPDATE did is rolled back as well
SELECT lab.album(503, 3) AS album \gset
UPDATE "Albums" SET "AlbumState" = 5 WHERE "Id" = :'album';
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
SELECT * FROM lab.history(:'album');

-- by whoever may fire what is taken back, without guards
CREATE ROLE regress_photoflow_app;
GRANT SELECT, UPDATE ON "Albums" TO regress_photoflow_app;
SELECT lab.album(504, 2) AS album, lab.org(1) AS org \gset
SET ROLE regress_photoflow_app;
SET photoflow.org_id = :'org';
SET photoflow.role = 'photographer';
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Rate');
RESET ROLE;
UPDATE "PhotoProcs" SET "Voted" = false WHERE "Id" = lab.id('photo', 504);
SET ROLE regress_photoflow_app;
SET photoflow.role = 'stranger';
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'anonymous';
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album', 'the client changed her mind');
RESET ROLE;
SELECT * FROM lab.history(:'album');
SET ROLE regress_photoflow_app;
-- of another organization's album nothing is known; nor is there one without an id
SET photoflow.org_id = '00000000-0000-0000-0000-000000000001';
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state, to_state FROM photoflow.rollback_transition(NULL);
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
RESET photoflow.org_id;
RESET photoflow.role;

-- an album whose state is not where its history ends (a repair with triggers off): a conflict, not a guess
SELECT lab.album(505) AS album \gset
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncRawTag');
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE "Albums" SET "AlbumState" = 6 WHERE "Id" = :'album';
SET LOCAL session_replication_role = origin;
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- rolled back itself, a rollback leaves nothing
BEGIN;
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
ROLLBACK;
SELECT * FROM lab.history(:'album');
SELECT from_state, to_state FROM photoflow.rollback_transition(:'album');
SELECT * FROM lab.broken(500, 599);
DROP OWNED BY regress_photoflow_app;
DROP ROLE regress_photoflow_app;
