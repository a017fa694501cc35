-- What others do to the tables: a DBA's constraints, types and triggers, forged triggers, roles without privileges.
-- Each of these once brought the server down, forged or lost history, or told too much.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null (null)
SELECT count(lab.album(n, bare => true)) FROM generate_series(801, 880) n;
CREATE FUNCTION lab.eighty() RETURNS TABLE (state int, albums bigint, transitions bigint) LANGUAGE sql AS $$
	SELECT a."AlbumState", count(*), (SELECT count(*) FROM "AlbumTransitions" WHERE "AlbumId" BETWEEN lab.id('album', 801) AND lab.id('album', 880))
	FROM "Albums" a WHERE a."Id" BETWEEN lab.id('album', 801) AND lab.id('album', 880) GROUP BY 1 ORDER BY 1
$$;
\set move 'UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" BETWEEN lab.id(\'album\', 801) AND lab.id(\'album\', 880)'

-- the history of a bulk change obeys what a DBA adds to its table
\set VERBOSITY sqlstate
BEGIN; TRUNCATE "AlbumTransitions"; ALTER TABLE "AlbumTransitions" ALTER "UserId" SET NOT NULL; :move; ROLLBACK;
BEGIN; ALTER TABLE "AlbumTransitions" ADD CHECK ("ToState" <> 1) NOT VALID; :move; ROLLBACK;
BEGIN; ALTER TABLE "AlbumTransitions" ALTER "Trigger" TYPE varchar(3) USING 'x'; :move; ROLLBACK;
\set VERBOSITY terse
SELECT * FROM lab.eighty();
-- and so it is written the ordinary way: with a column more, another type, an index on an expression, a trigger
BEGIN;
ALTER TABLE "AlbumTransitions" ADD "Shard" int DEFAULT 7;
ALTER TABLE "AlbumTransitions" ALTER "CreatedAt" TYPE timestamp;
CREATE INDEX ON "AlbumTransitions" (lower("Trigger"));
:move;
SELECT count(*), min("Shard"), max("Trigger"), bool_and("CreatedAt" BETWEEN now() - interval '1 day' AND now() + interval '1 day') AS today
	FROM "AlbumTransitions" WHERE "AlbumId" BETWEEN lab.id('album', 801) AND lab.id('album', 880);
ROLLBACK;
BEGIN;
CREATE FUNCTION lab.count_rows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."Reason" := ''seen''; RETURN NEW; END';
CREATE TRIGGER seen BEFORE INSERT ON "AlbumTransitions" FOR EACH ROW EXECUTE FUNCTION lab.count_rows();
:move;
SELECT count(*), min("Reason") FROM "AlbumTransitions" WHERE "AlbumId" BETWEEN lab.id('album', 801) AND lab.id('album', 880);
ROLLBACK;
-- page by page otherwise: nothing is different but the pages
:move;
SELECT * FROM lab.eighty();
SELECT * FROM lab.broken(801, 880);
SELECT count(*) AS found_by_index FROM "AlbumTransitions" WHERE "OrgId" = lab.org(1) AND "AlbumId" = lab.id('album', 840);

-- a trigger that changes the id of the stage fire() creates
SELECT lab.album(881, bare => true) AS album \gset
BEGIN;
CREATE FUNCTION lab.new_id() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."Id" := lab.id(''other'', 1); RETURN NEW; END';
CREATE TRIGGER zz BEFORE INSERT ON "AlbumTags" FOR EACH ROW EXECUTE FUNCTION lab.new_id();
SELECT to_state, tag_id = lab.id('other', 1) AS its_id FROM photoflow.fire(:'album', 'SyncRawTag');
ROLLBACK;

-- one album, and only once, is let pass for a fire(): a trigger that goes there and back leaves all of it in the history
SELECT lab.album(882, 6) AS album \gset
CREATE FUNCTION lab.bounce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		UPDATE "Albums" SET "AlbumState" = 6 WHERE "Id" = NEW."Id";
		UPDATE "Albums" SET "AlbumState" = 7 WHERE "Id" = NEW."Id";
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz AFTER UPDATE OF "AlbumState" ON "Albums" FOR EACH ROW WHEN (NEW."AlbumState" = 7) EXECUTE FUNCTION lab.bounce();
SELECT from_state, to_state FROM photoflow.fire(:'album', 'RequestRevision');
DROP TRIGGER zz ON "Albums";
SELECT n, "from", trigger, "to" FROM lab.history(:'album');

-- a BEFORE trigger that moves another album while fire() moves this one
SELECT lab.album(883, 9), lab.album(884, 6) \gset
CREATE FUNCTION lab.other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW."Id" = lab.id('album', 883) THEN UPDATE "Albums" SET "AlbumState" = 8 WHERE "Id" = lab.id('album', 884) AND "AlbumState" = 6; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER zz BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.other();
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 883), 'Close');
DROP TRIGGER zz ON "Albums";
SELECT "AlbumState", "IsArchive" FROM "Albums" WHERE "Id" IN (lab.id('album', 883), lab.id('album', 884)) ORDER BY 1;
SELECT * FROM lab.broken(883, 884);

-- fire() without its triggers would leave a hole: it says so instead
SELECT lab.album(885, 6) AS album \gset
ALTER TABLE "Albums" DISABLE TRIGGER "00_PhotoflowTransitionCollect";
SELECT to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE "Albums" ENABLE TRIGGER "00_PhotoflowTransitionCollect";

-- no primary key on "Id" alone, as Citus wants it: found and locked by a plan instead
BEGIN;
ALTER TABLE "Albums" DROP CONSTRAINT "Albums_pkey";
SELECT from_state, to_state FROM photoflow.fire(:'album', 'RequestRevision');
ALTER TABLE "Albums" ADD PRIMARY KEY ("OrgId", "Id");
SELECT from_state, to_state FROM photoflow.fire(:'album', 'FinishRetouch');
SELECT count(*) FROM photoflow.permitted_triggers(:'album');
SET photoflow.org_id = 'a0000000-0000-4000-8000-000000000001';
SELECT photoflow.can_fire(:'album', 'ConfirmFeedback');
ROLLBACK;

-- history that does not fit the album: one really deleted and inserted again, with another workflow
SELECT lab.album(886, 9, bare => true) AS album \gset
SELECT to_state FROM photoflow.fire(:'album', 'Close');
SELECT photoflow.publish_workflow('{"states": [{"name": "A", "value": 0, "initial": true}, {"name": "B", "value": 1}], "policies": {"p": ["r"]},
	"transitions": [{"trigger": "go", "from": "A", "to": "B", "policy": "p"}]}', false) AS version \gset
SET photoflow.hard_delete = on;
DELETE FROM "Albums" WHERE "Id" = :'album';
RESET photoflow.hard_delete;
INSERT INTO "Albums" ("Id", "OrgId", "Name", "WorkflowVersion") VALUES (:'album', lab.org(1), 'again', :version);
SELECT to_state FROM photoflow.rollback_transition(:'album');
\echo :LAST_ERROR_SQLSTATE

-- definitions that are not what they should be
SELECT photoflow.publish_workflow('{"states": [1, {"name": "A", "value": 0, "initial": true}, {"name": "B", "value": 1}], "tags": [2], "transitions": [3]}');
\echo :LAST_ERROR_SQLSTATE

-- the same file twice, where the unique index is gone
BEGIN;
DROP INDEX "UX_PhotoProcs_OrgId_AlbumTagId_ExternalId";
SELECT lab.album(887) AS album \gset
INSERT INTO "PhotoProcs" ("AlbumTagId", "OrgId", "FileName", "ExternalId")
	SELECT lab.id('tag0', 887), lab.org(1), 'n1', 'e1' FROM generate_series(1, 300);
\set VERBOSITY sqlstate
SELECT photoflow.sync_photos(lab.id('tag0', 887), (SELECT jsonb_agg(jsonb_build_object('id', 'e' || i, 'name', 'n' || i, 'mimeType', 'image/jpeg'))
	FROM generate_series(1, 301) i));
\set VERBOSITY terse
ROLLBACK;

-- triggers where they do not belong, by whoever may make a table
CREATE ROLE regress_worst LOGIN;
GRANT USAGE ON SCHEMA lab TO regress_worst;
SELECT lab.album(888, 6) AS album \gset
SET ROLE regress_worst;
CREATE TEMP TABLE "Albums" ("Id" uuid, "OrgId" uuid, "AlbumState" int, "WorkflowVersion" int, "IsDeleted" boolean);
CREATE TRIGGER a AFTER UPDATE ON pg_temp."Albums" FOR EACH ROW EXECUTE FUNCTION photoflow.collect_transition('Albums');
CREATE TRIGGER b AFTER UPDATE ON pg_temp."Albums" FOR EACH STATEMENT EXECUTE FUNCTION photoflow.write_transitions('Albums');
INSERT INTO pg_temp."Albums" VALUES (:'album', lab.org(1), 6, 1, false);
UPDATE pg_temp."Albums" SET "AlbumState" = 8;
\echo :LAST_ERROR_SQLSTATE
CREATE TEMP TABLE forged ("Id" int, "OrgId" int, "Version" int);
CREATE TRIGGER a BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION photoflow.initial_state();
INSERT INTO forged VALUES (1, 2, 3);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER a ON forged;
CREATE TRIGGER a BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill();
INSERT INTO forged VALUES (1, 2, 3);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER a ON forged;
CREATE TRIGGER a BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('forged', 'Id', 'Albums');
INSERT INTO forged VALUES (1, 2, 3);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER a ON forged;
INSERT INTO forged VALUES (1, 2, 3);
CREATE TRIGGER a BEFORE UPDATE ON forged FOR EACH ROW EXECUTE FUNCTION photoflow.keep_workflow();
UPDATE forged SET "Id" = 2;
\echo :LAST_ERROR_SQLSTATE
CREATE TRIGGER b AFTER UPDATE ON forged FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_keep('forged');
-- a role that may read nothing is told nothing, whichever function it asks
SELECT photoflow.set_context(lab.org(1), role => 'org_admin') \g /dev/null
SET photoflow.org_id = 'a0000000-0000-4000-8000-000000000001';
SELECT * FROM photoflow.album_history(:'album');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.permitted_triggers(:'album');
SELECT photoflow.can_fire(:'album', 'ConfirmFeedback');
SELECT photoflow.state_diagram('dot', :'album');
SELECT photoflow.guard_photo_voted(lab.org(1), :'album');
SELECT photoflow.guard_raw_tag_ready(lab.org(1), :'album');
SELECT to_state FROM photoflow.fire(:'album', 'ConfirmFeedback');
SELECT to_state FROM photoflow.rollback_transition(:'album');
SELECT photoflow.sync_photos(lab.id('tag0', 888), '[]');
SELECT photoflow.vote(ARRAY[lab.id('photo', 888)]);
SELECT photoflow.reorder_photos(lab.id('tag0', 888), '{}');
RESET photoflow.org_id;
RESET ROLE;
SELECT n, "from", trigger, "to" FROM lab.history(:'album');
-- forged in the data schema, by who may create there
CREATE TABLE forged_too ("Id" int, "OrgId" int, "Version" int);
CREATE TRIGGER a BEFORE INSERT ON forged_too FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill();
INSERT INTO forged_too VALUES (1, 2, 3);
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER a ON forged_too;
CREATE TRIGGER a BEFORE INSERT ON forged_too FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('forged', 'Id', 'Albums');
INSERT INTO forged_too VALUES (1, 2, 3);
\echo :LAST_ERROR_SQLSTATE
DROP TABLE forged_too;
DROP OWNED BY regress_worst;
DROP ROLE regress_worst;
DROP FUNCTION lab.bounce(), lab.other(), lab.eighty();
