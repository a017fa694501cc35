-- A plain UPDATE of "AlbumState" obeys the same rules as fire(), whatever the statement looks like.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
CREATE ROLE regress_photoflow_app;
GRANT SELECT, INSERT, UPDATE ON "Albums" TO regress_photoflow_app;
CREATE VIEW lab.albums AS SELECT "Id", "Name", "AlbumState" AS state, "IsArchive" AS archived,
	array(SELECT trigger || ' ' || h."from" || '-' || h."to" || coalesce(' ' || role, '') FROM lab.history("Id") h) AS history, lab.tags("Id") AS tags
	FROM "Albums" WHERE "Id" BETWEEN lab.id('album', 300) AND lab.id('album', 399);
CREATE FUNCTION lab.show(int[]) RETURNS TABLE (n int, state int, archived boolean, history text[], tags text) LANGUAGE sql AS
	$$ SELECT n, a.state, archived, history, tags FROM unnest($1) n JOIN lab.albums a ON a."Id" = lab.id('album', n) ORDER BY n $$;

-- one row, by the owner, who acts as super_admin: an edge is taken, its trigger recorded, its stage made
SELECT lab.album(300, bare => true) \gset
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 300);
TABLE lab.albums;
-- no edge; back; a number that is no state; NULL; guards
UPDATE "Albums" SET "AlbumState" = 5 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "AlbumState" = 0 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "AlbumState" = 99 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "AlbumState" = -1 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "AlbumState" = 2 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
UPDATE "Albums" SET "AlbumState" = NULL WHERE "Id" = lab.id('album', 300);
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "WorkflowVersion" = 2 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "AlbumState" = 2, "WorkflowVersion" = 2 WHERE "Id" = lab.id('album', 300);
\echo :LAST_ERROR_SQLSTATE
-- the same state again is no change, also of an album whose number is no state's; other columns are free
UPDATE "Albums" SET "AlbumState" = 1, "Name" = 'same' WHERE "Id" = lab.id('album', 300);
UPDATE "Albums" SET "AlbumState" = "AlbumState", "WorkflowVersion" = "WorkflowVersion" WHERE NOT "IsDeleted";
UPDATE "Albums" SET "Name" = "Name", "Status" = 1 WHERE "Id" = lab.id('album', 300);
TABLE lab.albums;

-- an application: tenant and role, or nothing
SELECT lab.id('album', 301) AS a301, lab.org(1) AS org1 \gset
SELECT lab.album(301) \gset
SET ROLE regress_photoflow_app;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = :'a301';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org1';
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = :'a301';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'anonymous';
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = :'a301';
\echo :LAST_ERROR_SQLSTATE
SET photoflow.role = 'photographer';
-- as EF Core's SaveChanges sends it: prepared, with parameters, one row expected
PREPARE save_changes (int, timestamptz, uuid) AS UPDATE "Albums" SET "AlbumState" = $1, "ModifiedAt" = $2 WHERE "Id" = $3;
\set QUIET off
EXECUTE save_changes (1, now(), :'a301');
EXECUTE save_changes (2, now(), :'a301');
EXECUTE save_changes (2, now(), :'a301');
EXECUTE save_changes (3, now(), :'a301');
EXECUTE save_changes (4, now(), :'a301');
EXECUTE save_changes (5, now(), :'a301');
EXECUTE save_changes (6, now(), :'a301');
EXECUTE save_changes (1, now(), :'a301');
EXECUTE save_changes (8, now(), lab.id('album', 399));
\set QUIET on
EXECUTE save_changes (9, now(), :'a301');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT * FROM lab.show('{301}');

-- a new album: at the beginning of the current version, for everybody but the owner
SET ROLE regress_photoflow_app;
INSERT INTO "Albums" ("Id", "Name") VALUES (lab.id('album', 303), 'mine') RETURNING "AlbumState", "WorkflowVersion", "OrgId" = :'org1' AS mine;
INSERT INTO "Albums" ("Name", "AlbumState", "WorkflowVersion") VALUES ('explicit', 0, 1) RETURNING "AlbumState", "WorkflowVersion";
INSERT INTO "Albums" ("Name", "AlbumState") VALUES ('later', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "Albums" ("Name", "AlbumState") VALUES ('ok', 0), ('later', 10);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "Albums" ("Name", "AlbumState") VALUES ('nowhere', 99);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "Albums" ("Name", "WorkflowVersion") VALUES ('another version', 2);
\echo :LAST_ERROR_SQLSTATE
-- COPY is refused by the policies; who bypasses them may COPY, and not in any state
\copy "Albums" ("Name", "AlbumState") FROM /dev/null
RESET ROLE;
ALTER ROLE regress_photoflow_app BYPASSRLS;
SET ROLE regress_photoflow_app;
COPY "Albums" ("Name", "AlbumState") FROM stdin;
loaded	7
\.
RESET ROLE;
ALTER ROLE regress_photoflow_app NOBYPASSRLS;
RESET photoflow.org_id;
RESET photoflow.role;
COPY "Albums" ("Id", "OrgId", "Name", "AlbumState") FROM stdin;
a4b2d20f-0000-4000-8000-000000000304	5a445d71-0000-4000-8000-000000000001	loaded	7
\.
INSERT INTO "Albums" ("OrgId", "Name", "AlbumState") VALUES (lab.org(1), 'nowhere', 99);
\echo :LAST_ERROR_SQLSTATE
-- loading is not moving: no history
SELECT state, history FROM lab.albums WHERE "Id" IN (lab.id('album', 303), lab.id('album', 304)) ORDER BY "Id";

-- bulk: all or nothing
SELECT count(lab.album(n)) FROM generate_series(310, 329) n;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" BETWEEN lab.id('album', 310) AND lab.id('album', 329);
SELECT DISTINCT state, history, tags FROM lab.albums WHERE "Id" BETWEEN lab.id('album', 310) AND lab.id('album', 329);
UPDATE "AlbumTags" SET "Status" = 1 WHERE "AlbumId" = lab.id('album', 320) AND "Type" = 0;
UPDATE "Albums" SET "AlbumState" = 2 WHERE "Id" BETWEEN lab.id('album', 310) AND lab.id('album', 329);
\echo :LAST_ERROR_SQLSTATE
SELECT DISTINCT state, history FROM lab.albums WHERE "Id" BETWEEN lab.id('album', 310) AND lab.id('album', 329);
UPDATE "AlbumTags" SET "Status" = 2 WHERE "AlbumId" = lab.id('album', 320) AND "Type" = 0;
-- several edges in one statement: each row gets its own trigger, stage and archive flag
SELECT lab.album(330, 0), lab.album(331, 1), lab.album(332, 2), lab.album(333, 3), lab.album(334, 3), lab.album(335, 4), lab.album(336, 5),
	lab.album(337, 6), lab.album(338, 6), lab.album(339, 7), lab.album(340, 8), lab.album(341, 9), lab.album(342, 10), lab.album(343, 0, 2) \gset
UPDATE "Albums" SET "AlbumState" = CASE "Id" WHEN lab.id('album', 334) THEN 5 WHEN lab.id('album', 338) THEN 8 WHEN lab.id('album', 339) THEN 6
		WHEN lab.id('album', 340) THEN 9 WHEN lab.id('album', 342) THEN 10 ELSE "AlbumState" + 1 END
	WHERE "Id" BETWEEN lab.id('album', 330) AND lab.id('album', 343);
SELECT * FROM lab.show('{330,331,332,333,334,335,336,337,338,339,340,341,342,343}');
SELECT count(*) FROM "AlbumTransitions" h JOIN "Albums" a ON a."Id" = h."AlbumId" WHERE a."OrgId" <> h."OrgId";

-- other ways to write an UPDATE
SELECT lab.album(350), lab.album(351), lab.album(352), lab.album(353), lab.album(354), lab.album(355), lab.album(356) \gset
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 350), lab.org(1), 'again')
	ON CONFLICT ("Id") DO UPDATE SET "AlbumState" = 1;
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 350), lab.org(1), 'again')
	ON CONFLICT ("Id") DO UPDATE SET "AlbumState" = 7;
\echo :LAST_ERROR_SQLSTATE
MERGE INTO "Albums" a USING (SELECT lab.id('album', 351) AS id) s ON a."Id" = s.id
	WHEN MATCHED THEN UPDATE SET "AlbumState" = 1 WHEN NOT MATCHED THEN DO NOTHING;
MERGE INTO "Albums" a USING (SELECT lab.id('album', 351) AS id) s ON a."Id" = s.id
	WHEN MATCHED THEN UPDATE SET "AlbumState" = 9;
\echo :LAST_ERROR_SQLSTATE
CREATE VIEW lab.updatable AS SELECT "Id" AS id, "AlbumState" AS state FROM "Albums";
UPDATE lab.updatable SET state = 1 WHERE id = lab.id('album', 352);
UPDATE lab.updatable SET state = 4 WHERE id = lab.id('album', 352);
\echo :LAST_ERROR_SQLSTATE
WITH moved AS (UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 353) RETURNING "Id", "AlbumState")
	SELECT "AlbumState" FROM moved;
-- two data-modifying CTEs, and one beside a refused one
WITH one AS (UPDATE "Albums" SET "AlbumState" = 2 WHERE "Id" = lab.id('album', 353)),
	two AS (UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 354))
	UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 355);
WITH one AS (UPDATE "Albums" SET "AlbumState" = 3 WHERE "Id" = lab.id('album', 353))
	UPDATE "Albums" SET "AlbumState" = 6 WHERE "Id" = lab.id('album', 354);
\echo :LAST_ERROR_SQLSTATE
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM "Albums" WHERE "Id" = lab.id('album', 356) FOR UPDATE;
FETCH FORWARD 1 FROM c \g /dev/null
UPDATE "Albums" SET "AlbumState" = 1 WHERE CURRENT OF c;
SAVEPOINT s;
UPDATE "Albums" SET "AlbumState" = 3 WHERE CURRENT OF c;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
COMMIT;
UPDATE "Albums" a SET "AlbumState" = 2 FROM "AlbumTags" t WHERE t."AlbumId" = a."Id" AND a."Id" = lab.id('album', 356);
SELECT * FROM lab.show('{350,351,352,353,354,355,356}');

-- entry actions are part of the edge, also for an UPDATE; a stage that is there is not made again
SELECT lab.album(360, 9, bare => true), lab.album(361, 8, bare => true) \gset
UPDATE "Albums" SET "AlbumState" = 10 WHERE "Id" = lab.id('album', 360);
UPDATE "Albums" SET "AlbumState" = 9 WHERE "Id" = lab.id('album', 361);
SELECT * FROM lab.show('{360,361}');

-- history lives and dies with its change: savepoints, exception blocks, errors later in the statement
SELECT lab.album(370), lab.album(371), lab.album(372), lab.album(373), lab.album(374) \gset
BEGIN;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 370);
SAVEPOINT s;
UPDATE "Albums" SET "AlbumState" = 2 WHERE "Id" = lab.id('album', 370);
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 371);
ROLLBACK TO s;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 372);
COMMIT;
DO $$
BEGIN
	BEGIN
		UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" IN (lab.id('album', 373), lab.id('album', 374));
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
		UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 374);
	END;
END $$;
SELECT * FROM lab.show('{370,371,372,373,374}');

-- a user's trigger in the middle of the statement that moves other albums, some of it in a block that is rolled back
SELECT lab.album(380), lab.album(381), lab.album(382), lab.album(383), lab.album(384), lab.album(385) \gset
CREATE FUNCTION lab.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD."AlbumState" = NEW."AlbumState" OR NEW."Id" NOT IN (lab.id('album', 380), lab.id('album', 381)) THEN
		RETURN NULL;
	END IF;
	BEGIN
		UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 384);
		PERFORM photoflow.fire(lab.id('album', 385), 'SyncRawTag');
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
		NULL;
	END;
	IF NEW."Id" = lab.id('album', 380) THEN
		UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 382);
		BEGIN
			PERFORM photoflow.fire(lab.id('album', 383), 'SyncRawTag');
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER follow AFTER UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.follow();
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" IN (lab.id('album', 380), lab.id('album', 381));
DROP TRIGGER follow ON "Albums";
SELECT * FROM lab.show('{380,381,382,383,384,385}');
-- the same with triggers that run before and after photoflow's own, and that move the same album on
SELECT lab.album(386), lab.album(387), lab.album(388), lab.album(389) \gset
CREATE OR REPLACE FUNCTION lab.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW."AlbumState" = 1 AND OLD."AlbumState" = 0 THEN
		UPDATE "Albums" SET "AlbumState" = 2 WHERE "Id" = NEW."Id";
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER zz_follow AFTER UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.follow();
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 386);
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 387), 'SyncRawTag');
DROP TRIGGER zz_follow ON "Albums";
CREATE TRIGGER "Aa_follow" AFTER UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.follow();
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 388);
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 389), 'SyncRawTag');
DROP TRIGGER "Aa_follow" ON "Albums";
SELECT * FROM lab.show('{386,387,388,389}');

-- a user's BEFORE trigger meets the rules too, also where the UPDATE does not name the state
SELECT lab.album(390), lab.album(391) \gset
CREATE OR REPLACE FUNCTION lab.follow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."AlbumState" := 1 + 4 * NEW."Status"; RETURN NEW; END';
CREATE TRIGGER follow BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.follow();
-- the column lists of photoflow's triggers would not see it: status() says so, attach() widens them
SELECT value, ok FROM photoflow.status() WHERE name = 'triggers see every change';
SELECT photoflow.attach();
SELECT value, ok FROM photoflow.status() WHERE name = 'triggers see every change';
\set VERBOSITY sqlstate
UPDATE "Albums" SET "Status" = 1 WHERE "Id" = lab.id('album', 390);
\set VERBOSITY default
UPDATE "Albums" SET "Status" = 0 WHERE "Id" = lab.id('album', 391);
DROP TRIGGER follow ON "Albums";
SELECT photoflow.attach();
SELECT * FROM lab.show('{390,391}');
DROP FUNCTION lab.follow();

-- a trigger that is off is noticed before the history has a hole
ALTER TABLE "Albums" DISABLE TRIGGER "00_PhotoflowTransitionWrite";
SELECT lab.album(392) \gset
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 392);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE "Albums" ENABLE TRIGGER "00_PhotoflowTransitionWrite";
SELECT state FROM lab.albums WHERE "Id" = lab.id('album', 392);

-- an album that is deleted does not change, however it is asked (PF021)
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" = lab.id('album', 392);
\set VERBOSITY sqlstate
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 392);
\set VERBOSITY default
SELECT * FROM lab.show('{392}');

SELECT * FROM lab.broken(300, 399);
DROP VIEW lab.albums, lab.updatable CASCADE;
DROP OWNED BY regress_photoflow_app;
DROP ROLE regress_photoflow_app;
\pset format aligned
