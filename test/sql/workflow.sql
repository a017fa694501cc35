-- Workflow versions: what may be published, what a version is, and moving albums between versions.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
-- version 1 is the domain's tables
SELECT s->>'value' AS value, s->>'name' AS state, s->>'initial' AS initial, s->>'rating' AS rating
	FROM jsonb_array_elements(photoflow.workflow(1)->'states') s;
SELECT t->>'trigger' AS trigger, t->>'from' AS from, t->>'to' AS to, photoflow.workflow(1)->'policies'->(t->>'policy') AS who, t->'guards' AS guards,
	t->>'createTag' AS tag, t->>'archive' AS archive
	FROM jsonb_array_elements(photoflow.workflow(1)->'transitions') t;
SELECT photoflow.workflow(1)->'superRoles' AS super, photoflow.workflow(1)->'tags' AS tags;
SELECT photoflow.workflow() = photoflow.workflow(1) AS current;

-- names and numbers
SELECT string_agg(n || ' ' || photoflow.state_name(n, 1), ', ' ORDER BY n) FROM generate_series(0, 10) n;
SELECT string_agg(photoflow.state_value(name)::text, ' ') FROM unnest('{Init,Raw,Stock,Rate,RateSync,Retouch,Feedback,Revision,Confirmed,Finish,Closed}'::text[]) name;
SELECT photoflow.state_name(NULL) AS name, photoflow.state_value(NULL) AS value;
SELECT photoflow.state_name(11);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_name(-1, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_value('raw');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_name(0, 77);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.workflow(77);
\echo :LAST_ERROR_SQLSTATE

-- the diagrams
SELECT photoflow.state_diagram();
SELECT photoflow.state_diagram('dot');
SELECT lab.album(701) AS album \gset
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncRawTag');
SELECT from_state, to_state FROM photoflow.fire(:'album', 'SyncStockTag');
SELECT photoflow.state_diagram('mermaid', :'album');
SELECT photoflow.state_diagram('dot', :'album');
SELECT photoflow.state_diagram('png');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_diagram('dot', lab.id('album', 799));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_diagram(NULL) = photoflow.state_diagram() AS same;

-- everything that is wrong is said at once
SELECT photoflow.publish_workflow('{
 "name": 7, "colour": "red",
 "states": [{"name": "A", "value": 0, "initial": true}, {"name": "A", "value": 1}, {"name": "B", "value": 1, "initial": true}, {"name": "", "value": 5},
  {"name": "Half", "value": 2.5}, {"name": "Lost", "value": 9, "final": true}, 7],
 "tags": [{"name": "Raw", "value": 0}, {"name": "Raw", "value": 1}, {"name": "Cooked", "value": 0}],
 "policies": {"P": ["photographer"], "None": [], "Odd": ["a,b", 3]},
 "superRoles": ["root"],
 "transitions": [
  {"trigger": "go", "from": "A", "to": "Nowhere", "policy": "P"},
  {"trigger": "go", "from": "A", "to": "B", "policy": "Q"},
  {"trigger": "none", "from": "A", "to": "B", "policy": "None"},
  {"trigger": "odd", "from": "A", "to": "B", "policy": "Odd", "archive": "yes"},
  {"trigger": "tag", "from": "A", "to": "B", "policy": "P", "createTag": "Blue", "guards": ["nonsense", "lab.no_such_guard", 3]},
  {"trigger": "guards", "from": "B", "to": "A", "policy": "P", "guards": "photoflow.guard_photo_voted"},
  {"trigger": "rollback", "from": "B", "to": "A", "policy": "P"}, {"trigger": "migrate", "from": "B", "to": "A", "policy": "P"},
  {"from": "A"}, 5]}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}, {"name": "B", "value": 1}, {"name": "C", "value": 2}],
 "policies": {"P": ["photographer"]},
 "transitions": [{"trigger": "loop", "from": "B", "to": "C", "policy": "P"}, {"trigger": "loop", "from": "C", "to": "B", "policy": "P"}]}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0}], "policies": {"P": ["p"]}, "transitions": [{"trigger": "t", "from": "A", "to": "A", "policy": "P"}]}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow('{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow('[]');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow('7');
\echo :LAST_ERROR_SQLSTATE
-- a part of the wrong type is a problem, not a part that is left out
BEGIN;
\set VERBOSITY sqlstate
SAVEPOINT s;
SELECT photoflow.publish_workflow(photoflow.workflow(1) || '{"superRoles": "supper_admin"}') > 0 AS published;
ROLLBACK TO s;
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}], "tags": {"Raw": 0}, "policies": {"P": ["p"]}, "transitions": [
 {"trigger": "t", "from": "A", "to": "A", "policy": "P"}]}') > 0 AS published;
ROLLBACK TO s;
\set VERBOSITY default
ROLLBACK;
SELECT photoflow.publish_workflow(NULL);
\echo :LAST_ERROR_SQLSTATE
-- more of everything than a machine holds is a problem too, not a crash
SELECT photoflow.publish_workflow(jsonb_build_object('states', (SELECT jsonb_agg(jsonb_build_object('name', 's' || n, 'value', n, 'initial', n = 0)) FROM generate_series(0, 99999) n),
	'policies', '{"P": ["p"]}'::jsonb, 'transitions', '[{"trigger": "t", "from": "s0", "to": "s1", "policy": "P"}]'::jsonb));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.publish_workflow(jsonb_build_object('states', '[{"name": "A", "value": 0, "initial": true}]'::jsonb, 'policies',
	jsonb_build_object('P', (SELECT jsonb_agg('r' || n) FROM generate_series(1, 70) n)), 'transitions', '[{"trigger": "t", "from": "A", "to": "A", "policy": "P"}]'::jsonb));
\echo :LAST_ERROR_SQLSTATE
-- a guard must be a function of the right kind: arguments and result
CREATE FUNCTION lab.guard_boolean(album_id uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION lab.guard_many(album_id uuid) RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION lab.guard_none() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}], "policies": {"P": ["p"]}, "transitions": [
 {"trigger": "t", "from": "A", "to": "A", "policy": "P", "guards": ["lab.guard_boolean", "lab.guard_many", "lab.guard_none", "pg_catalog.length"]}]}');
\echo :LAST_ERROR_SQLSTATE
-- a name that is none is one more problem, like the others
\set VERBOSITY sqlstate
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}], "policies": {"P": ["p"]}, "transitions": [
 {"trigger": "t", "from": "A", "to": "A", "policy": "P", "guards": ["lab.a.b.c"]}]}');
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}], "policies": {"P": ["p"]}, "transitions": [
 {"trigger": "t", "from": "A", "to": "A", "policy": "P", "guards": ["lab..x"]}]}');
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}], "policies": {"P": ["p"]}, "transitions": [
 {"trigger": "t", "from": "A", "to": "A", "policy": "P", "guards": [".x"]}]}');
\set VERBOSITY default
SELECT count(*), max("Version") FROM "WorkflowVersions";

-- a workflow of one's own: guards of both signatures, several edges between the same two states, a role of its own, odd names
CREATE TABLE lab.asked (who text, org uuid, album uuid);
CREATE TABLE lab.closed (guard text PRIMARY KEY);
CREATE FUNCTION lab.guard_two(org_id uuid, album_id uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO lab.asked VALUES ('two', org_id, album_id);
	RETURN (SELECT 'two is "closed"' FROM lab.closed WHERE guard = 'two');
END $$;
CREATE FUNCTION lab.guard_one(album_id uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO lab.asked VALUES ('one', NULL, album_id);
	RETURN (SELECT 'one is closed' FROM lab.closed WHERE guard = 'one');
END $$;
CREATE FUNCTION lab.guard_both(album_id uuid) RETURNS text LANGUAGE sql AS $$ SELECT 'not this one' $$;
CREATE FUNCTION lab.guard_both(org_id uuid, album_id uuid) RETURNS text LANGUAGE sql AS $$ SELECT NULL::text $$;
\set definition '{"name": "own", "states": [{"name": "Draft \\"a\\"", "value": 10, "initial": true}, {"name": "Review: <b>", "value": 20}, {"name": "Done", "value": -3}], "tags": [{"name": "Proof", "value": 77}], "policies": {"Editor": ["editor"], "Chief": ["chief"]}, "superRoles": ["boss"], "transitions": [{"trigger": "submit", "from": "Draft \\"a\\"", "to": "Review: <b>", "policy": "Editor", "guards": ["lab.guard_two", "lab.guard_one"], "createTag": "Proof"}, {"trigger": "push", "from": "Draft \\"a\\"", "to": "Review: <b>", "policy": "Chief"}, {"trigger": "shove", "from": "Draft \\"a\\"", "to": "Review: <b>", "policy": "Editor", "guards": ["lab.guard_both"]}, {"trigger": "accept", "from": "Review: <b>", "to": "Done", "policy": "Editor", "archive": true}, {"trigger": "reject", "from": "Review: <b>", "to": "Draft \\"a\\"", "policy": "Editor"}]}'
BEGIN;
SELECT photoflow.publish_workflow(:'definition') - max("Version") AS next FROM "WorkflowVersions";
ROLLBACK;
SELECT max("Version") AS last FROM "WorkflowVersions" \gset
SELECT photoflow.publish_workflow(:'definition', false) AS own \gset
SELECT :own - :last AS next, photoflow.workflow() = photoflow.workflow(1) AS still_current, photoflow.workflow(:own) = :'definition'::jsonb AS kept;
SELECT photoflow.publish_workflow(:'definition') AS own \gset
SELECT :own - :last AS next, photoflow.workflow() = :'definition'::jsonb AS current;
SELECT "Version" - :last AS n, "Name", "IsCurrent" FROM "WorkflowVersions" WHERE "Version" > :last ORDER BY 1;
-- new albums are born in it, old ones stay where they are
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 702), lab.org(1), 'album 702') RETURNING "AlbumState", "WorkflowVersion" = :own AS own;
SELECT from_state, to_state FROM photoflow.fire(:'album', 'Rate');
SELECT trigger, to_state, permitted, required_roles, unmet_guards FROM photoflow.permitted_triggers(lab.id('album', 702));
-- both guards are asked, and all that are not met are told
INSERT INTO lab.closed VALUES ('one'), ('two');
TRUNCATE lab.asked;
SELECT from_state FROM photoflow.fire(lab.id('album', 702), 'submit');
\echo :LAST_ERROR_SQLSTATE
SELECT trigger, permitted, unmet_guards FROM photoflow.permitted_triggers(lab.id('album', 702), 'editor');
DELETE FROM lab.closed WHERE guard = 'two';
SELECT from_state FROM photoflow.fire(lab.id('album', 702), 'submit');
\echo :LAST_ERROR_SQLSTATE
-- a plain UPDATE takes the first of the edges that role and guards allow
INSERT INTO "Albums" ("Id", "OrgId", "Name") SELECT lab.id('album', n), lab.org(1), 'album ' || n FROM generate_series(703, 708) n;
SET photoflow.role = 'editor';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 703);
SET photoflow.role = 'chief';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 704);
SET photoflow.role = 'photographer';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 705);
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'boss';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 705);
DELETE FROM lab.closed;
TRUNCATE lab.asked;
SET photoflow.role = 'editor';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 706);
SELECT DISTINCT who, org = lab.org(1) AS org, album = lab.id('album', 706) AS album FROM lab.asked ORDER BY who;
-- another version's super roles are nothing here
SET photoflow.role = 'super_admin';
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 707);
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.role;
-- the owner acts as super_admin, whatever the version calls its own
UPDATE "Albums" SET "AlbumState" = 20 WHERE "Id" = lab.id('album', 707);
UPDATE "Albums" SET "AlbumState" = -3 WHERE "Id" = lab.id('album', 707);
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 706), 'accept');
SELECT a."Name", "AlbumState", "IsArchive", h.trigger, h."from", h."to", lab.tags(a."Id") FROM "Albums" a LEFT JOIN lab.history(a."Id") h ON true
	WHERE a."Id" BETWEEN lab.id('album', 702) AND lab.id('album', 708) ORDER BY 1, h.n;
-- a role and the trigger both exist in one version only
SELECT from_state FROM photoflow.fire(:'album', 'submit');
\echo :LAST_ERROR_SQLSTATE
SELECT from_state FROM photoflow.fire(lab.id('album', 708), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.state_diagram('mermaid', lab.id('album', 706));
SELECT photoflow.state_diagram('dot', lab.id('album', 706));
-- a guard that is gone, one that fails, one that changes what it guards
DROP FUNCTION lab.guard_one(uuid);
SELECT from_state FROM photoflow.fire(lab.id('album', 708), 'submit');
\echo :LAST_ERROR_SQLSTATE
CREATE FUNCTION lab.guard_one(album_id uuid) RETURNS text LANGUAGE sql AS 'SELECT (1 / 0)::text';
SELECT from_state FROM photoflow.fire(lab.id('album', 708), 'submit');
\echo :LAST_ERROR_SQLSTATE
CREATE OR REPLACE FUNCTION lab.guard_one(album_id uuid) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 708), 'submit');

-- a published version is immutable, and stays
UPDATE "WorkflowVersions" SET "Definition" = '{}' WHERE "Version" = :own;
\echo :LAST_ERROR_SQLSTATE
UPDATE "WorkflowVersions" SET "Version" = 99 WHERE "Version" = :own;
\echo :LAST_ERROR_SQLSTATE
DELETE FROM "WorkflowVersions" WHERE "Version" = :own;
\echo :LAST_ERROR_SQLSTATE
TRUNCATE "WorkflowVersions";
\echo :LAST_ERROR_SQLSTATE
-- which one is current may change
UPDATE "WorkflowVersions" SET "IsCurrent" = false WHERE "IsCurrent";
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(1), 'of no version');
\echo :LAST_ERROR_SQLSTATE
UPDATE "WorkflowVersions" SET "IsCurrent" = true WHERE "Version" = 1;
SELECT photoflow.workflow() = photoflow.workflow(1) AS back;
UPDATE "WorkflowVersions" SET "IsCurrent" = true WHERE "Version" = :own;
\echo :LAST_ERROR_SQLSTATE
-- a definition that goes round publish_workflow() is not used
BEGIN;
INSERT INTO "WorkflowVersions" ("Version", "Definition") VALUES (:own + 1, '{"states": []}');
\set VERBOSITY sqlstate
SELECT photoflow.state_name(0, :own + 1);
\set VERBOSITY default
ROLLBACK;
-- publishing is the owner's
CREATE ROLE regress_photoflow_app;
SET ROLE regress_photoflow_app;
SELECT photoflow.publish_workflow('{}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.migrate_albums(1, 2);
\echo :LAST_ERROR_SQLSTATE
-- reading is everybody's
SELECT photoflow.state_name(0, 1), photoflow.workflow(1)->>'name' AS name;
RESET ROLE;
DROP ROLE regress_photoflow_app;

-- migrating albums: dry run by default, all or nothing, with a history
SET client_min_messages = warning;
BEGIN;
SET LOCAL photoflow.hard_delete = on;
TRUNCATE "Albums", "AlbumTransitions" CASCADE;
SELECT photoflow.publish_workflow(jsonb_set(jsonb_set(photoflow.workflow(1), '{states,10}', '{"name": "Archived", "value": 110}'),
	'{transitions}', '[{"trigger": "Jump", "from": "Init", "to": "Archived", "policy": "Admin"}]'
	|| (SELECT jsonb_agg(t) FROM jsonb_array_elements(photoflow.workflow(1)->'transitions') t WHERE t->>'to' <> 'Closed'))) AS new \gset
INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState", "WorkflowVersion")
	SELECT lab.id('album', n), lab.org(1 + n % 2), 'album ' || n, (n - 710) % 11, 1 FROM generate_series(710, 731) n;
SELECT state, albums, maps_to, replace(problem, :'new', 'NEW') AS problem FROM photoflow.migrate_albums(1, :new);
SELECT count(*) FROM "Albums" WHERE "WorkflowVersion" = 1;
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT * FROM photoflow.migrate_albums(1, :new, dry_run => false);
\set VERBOSITY default
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT * FROM photoflow.migrate_albums(1, :new, '{"Close": "Archived"}');
\set VERBOSITY default
ROLLBACK TO s;
SELECT * FROM photoflow.migrate_albums(1, :new, '["Closed"]');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT state, problem IS NULL AS fine FROM photoflow.migrate_albums(1, :new, '{"Closed": "Archive", "Raw": 7}') WHERE state IN ('Closed', 'Raw');
\set VERBOSITY sqlstate
SELECT * FROM photoflow.migrate_albums(1, 77);
ROLLBACK TO s;
SELECT * FROM photoflow.migrate_albums(NULL, 1);
\set VERBOSITY default
ROLLBACK TO s;
SELECT count(*) FROM "AlbumTransitions";
-- names map to names, two old states may become one
SELECT state, albums, maps_to, problem FROM photoflow.migrate_albums(1, :new, '{"Closed": "Archived", "RateSync": "Rate"}', false);
SELECT "WorkflowVersion" - :new AS version, "AlbumState", count(*), bool_or("IsArchive") AS archived FROM "Albums" GROUP BY 1, 2 ORDER BY 2;
SELECT "Trigger", "FromState", "ToState", "FromVersion", "WorkflowVersion" - :new AS version, count(*), count(DISTINCT "OrgId") AS orgs, bool_and(h."OrgId" = (SELECT "OrgId" FROM "Albums" a WHERE a."Id" = h."AlbumId")) AS right
	FROM "AlbumTransitions" h GROUP BY 1, 2, 3, 4, 5 ORDER BY 2;
SELECT count(*) FROM "AlbumTags";
SELECT from_state, trigger, to_state FROM photoflow.album_history(lab.id('album', 720));
-- what follows, follows the new version; a migration is not rolled back; back again with another migration
SAVEPOINT s;
SELECT from_state FROM photoflow.rollback_transition(lab.id('album', 720));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 710), 'Jump');
SELECT sum(albums), count(problem) FROM photoflow.migrate_albums(:new, 1, '{"Archived": "Closed"}', false);
SELECT "AlbumState", count(*) FROM "Albums" WHERE "WorkflowVersion" = 1 GROUP BY 1 ORDER BY 1;
SELECT * FROM photoflow.migrate_albums(1, 1, dry_run => false) WHERE problem IS NOT NULL OR maps_to <> state;
SELECT count(*) FROM lab.broken(700, 799);
ROLLBACK;
SELECT * FROM lab.broken(700, 799);
DROP TABLE lab.asked, lab.closed;
\pset format aligned
