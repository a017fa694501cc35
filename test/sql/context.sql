-- The context: who is asking, and for how long that holds.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE VIEW lab.context AS
	SELECT photoflow.current_org() AS org, photoflow.current_user_id() AS "user", photoflow.current_role_name() AS role,
		current_setting('photoflow.request_id') AS request, current_setting('photoflow.correlation_id') AS correlation;
\pset null (null)

-- a new session has none
TABLE lab.context;

-- junk is refused at SET, and what was there stays
SET photoflow.org_id = '11111111-1111-4111-8111-111111111111';
SET photoflow.org_id = 'junk';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = '11111111-1111-4111-8111-11111111111';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = '11111111-1111-4111-8111-1111111111111';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = ' 11111111-1111-4111-8111-111111111111';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = 'g1111111-1111-4111-8111-111111111111';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.user_id = '1';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.events = 'loud';
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('photoflow.org_id', 'junk', true);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.current_org();

-- an upper-case uuid is a uuid; RESET and the empty string unset
SET photoflow.org_id = 'ABCDEFAB-1111-4111-8111-111111111111';
SELECT photoflow.current_org();
SET photoflow.org_id = '';
SELECT photoflow.current_org() IS NULL AS unset;
SET photoflow.org_id = '11111111-1111-4111-8111-111111111111';
RESET photoflow.org_id;
SELECT photoflow.current_org() IS NULL AS unset;

-- set_context(): for this transaction only, after COMMIT and after ROLLBACK it is unset: NULL, not an empty string
BEGIN;
SELECT photoflow.set_context(lab.org(1), lab.id('user', 1), 'photographer', 'req-1', 'corr-1');
TABLE lab.context;
COMMIT;
TABLE lab.context;
BEGIN;
SELECT photoflow.set_context(lab.org(1), lab.id('user', 1), 'photographer', 'req-1', 'corr-1');
ROLLBACK;
TABLE lab.context;
-- outside a transaction block it ends with its own statement
SELECT photoflow.set_context(lab.org(1));
SELECT photoflow.current_org();
-- what is not given is unset: nothing of the request before shines through
BEGIN;
SELECT photoflow.set_context(lab.org(1), lab.id('user', 1), 'photographer', 'req-1', 'corr-1');
SELECT photoflow.set_context(lab.org(2));
TABLE lab.context;
SELECT photoflow.set_context(NULL);
TABLE lab.context;
COMMIT;

-- it takes the place of SET, which comes back after the transaction
SET photoflow.org_id = '22222222-2222-4222-8222-222222222222';
SET photoflow.role = 'anonymous';
BEGIN;
SELECT photoflow.set_context(lab.org(1), NULL, 'photographer');
SELECT org = lab.org(1) AS mine, role FROM lab.context;
COMMIT;
SELECT org, role FROM lab.context;
BEGIN;
SET LOCAL photoflow.org_id = '33333333-3333-4333-8333-333333333333';
SELECT photoflow.current_org();
COMMIT;
SELECT photoflow.current_org();
-- savepoints
BEGIN;
SELECT photoflow.set_context(lab.org(1), NULL, 'one');
SAVEPOINT a;
SELECT photoflow.set_context(lab.org(2), NULL, 'two');
SELECT org = lab.org(2) AS two, role FROM lab.context;
ROLLBACK TO a;
SELECT org = lab.org(1) AS one, role FROM lab.context;
SAVEPOINT b;
SELECT photoflow.set_context(lab.org(2), NULL, 'two');
RELEASE b;
SELECT org = lab.org(2) AS two, role FROM lab.context;
COMMIT;
SELECT org, role FROM lab.context;
-- an error on the way takes back what the transaction had set
BEGIN;
SELECT photoflow.set_context(lab.org(1), NULL, 'one');
SET LOCAL photoflow.org_id = 'junk';
ROLLBACK;
SELECT org, role FROM lab.context;
-- SET itself is transactional too
BEGIN;
SET photoflow.org_id = '44444444-4444-4444-8444-444444444444';
ROLLBACK;
SELECT photoflow.current_org();
-- what Npgsql sends when a connection goes back to the pool
DISCARD ALL;
\pset null (null)
TABLE lab.context;

-- before the library is loaded a setting takes anything; when it is, junk is dropped with a warning: no tenant, not a wrong one
\c
SET photoflow.org_id = 'junk';
SET photoflow.user_id = '55555555-5555-4555-8555-555555555555';
SELECT photoflow.current_org(), photoflow.current_user_id();
\c
\set SHOW_CONTEXT never

-- a function's SET is its own
CREATE FUNCTION lab.as_two() RETURNS uuid LANGUAGE sql SET photoflow.org_id = '22222222-2222-4222-8222-222222222222'
	AS 'SELECT photoflow.current_org()';
SELECT lab.as_two(), photoflow.current_org();
DROP FUNCTION lab.as_two();

-- the prefix is reserved: a typing error is not taken for a setting
SET photoflow.org = '11111111-1111-4111-8111-111111111111';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.orgid = '';
\echo :LAST_ERROR_SQLSTATE

-- the planner may use current_org() as a key: STABLE, and evaluated once, not per row
SELECT provolatile, proleakproof, proparallel FROM pg_proc WHERE oid = 'photoflow.current_org()'::regprocedure;
SET photoflow.org_id = '11111111-1111-4111-8111-111111111111';
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT 1 FROM "AlbumTransitions" WHERE "OrgId" = photoflow.current_org() AND "AlbumId" = lab.id('album', 1);
RESET enable_seqscan;
RESET enable_bitmapscan;
RESET photoflow.org_id;

-- everybody but the owner needs a tenant
CREATE ROLE regress_photoflow_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON "Organizations", "Users", "PublicUrls", "Albums", "AlbumTags", "PhotoProcs" TO regress_photoflow_app;
SELECT lab.album(1) \gset
BEGIN;
SET LOCAL ROLE regress_photoflow_app;
SAVEPOINT s;
SELECT from_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM photoflow.fire_many(ARRAY[lab.id('album', 1)], 'SyncRawTag', on_error => 'skip');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT trigger FROM photoflow.permitted_triggers(lab.id('album', 1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.can_fire(lab.id('album', 1), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state FROM photoflow.rollback_transition(lab.id('album', 1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state FROM photoflow.album_history(lab.id('album', 1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.state_diagram('dot', lab.id('album', 1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.vote(ARRAY[lab.id('photo', 1)]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT inserted FROM photoflow.sync_photos(lab.id('tag0', 1), '[]');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.reorder_photos(lab.id('tag0', 1), ARRAY[lab.id('photo', 1)]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(1), 'without a tenant');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 1), 1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- a tenant without a role: nothing that needs one
SELECT photoflow.set_context(lab.org(1));
SELECT from_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- with both
SELECT photoflow.set_context(lab.org(1), lab.id('user', 1), 'photographer');
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
-- the owner's powers come and go with the role, within one session
RESET ROLE;
SELECT photoflow.set_context(NULL);
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'SyncStockTag');
SET LOCAL ROLE regress_photoflow_app;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'Rate');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- a member of the owner is the owner
CREATE ROLE regress_photoflow_dba;
DO $$ BEGIN EXECUTE format('GRANT %I TO regress_photoflow_dba', current_user); END $$;
BEGIN;
SET LOCAL ROLE regress_photoflow_dba;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
ROLLBACK;
DO $$ BEGIN EXECUTE format('REVOKE %I FROM regress_photoflow_dba', current_user); END $$;
BEGIN;
GRANT SELECT, UPDATE ON "Albums" TO regress_photoflow_dba;
SET LOCAL ROLE regress_photoflow_dba;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- an owner who takes a role has that role's powers only
BEGIN;
SELECT photoflow.set_context(lab.org(1), NULL, 'anonymous');
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 1), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

DROP VIEW lab.context;
DROP OWNED BY regress_photoflow_app;
DROP ROLE regress_photoflow_app, regress_photoflow_dba;
