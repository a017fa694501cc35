-- Soft delete: every statement that deletes marks, and says how many; what is below follows; what is deleted is frozen, and comes back as it was.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null (null)
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") VALUES (lab.org(51), 'Fifty-one'), (lab.org(52), 'Fifty-two');
INSERT INTO "Users" ("Id", "OrgId", "Name") VALUES (lab.id('user', 51), lab.org(51), 'Eve'), (lab.id('user', 52), lab.org(52), 'Fay');
-- An album with two stages, one photo, two comments and a like on it.
CREATE FUNCTION lab.whole(n int, org int DEFAULT 51) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.album(n, org => org);
	INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content") VALUES (lab.id('comment', n), lab.id('photo', n), 'a'), (lab.id('comment b', n), lab.id('photo', n), 'b');
	INSERT INTO "PhotoLikes" ("Id", "PhotoProcId", "UserId") VALUES (lab.id('like', n), lab.id('photo', n), lab.id('user', org));
	RETURN lab.id('album', n);
END $$;
-- What is live of an album, and in how many deletions the rest is.
CREATE FUNCTION lab.rest(n int) RETURNS TABLE (album bigint, stages bigint, photos bigint, comments bigint, likes bigint, deleted bigint, deletions bigint) LANGUAGE sql STABLE AS $$
	WITH a AS (SELECT * FROM "Albums" WHERE "Id" = lab.id('album', n)), t AS (SELECT * FROM "AlbumTags" WHERE "AlbumId" IN (SELECT "Id" FROM a)),
		p AS (SELECT * FROM "PhotoProcs" WHERE "AlbumTagId" IN (SELECT "Id" FROM t)), c AS (SELECT * FROM "PhotoComments" WHERE "PhotoProcId" IN (SELECT "Id" FROM p)),
		l AS (SELECT * FROM "PhotoLikes" WHERE "PhotoProcId" IN (SELECT "Id" FROM p)),
		r AS (SELECT 1 AS tbl, "IsDeleted", "DeletionId" FROM a UNION ALL SELECT 2, "IsDeleted", "DeletionId" FROM t UNION ALL SELECT 3, "IsDeleted", "DeletionId" FROM p
			UNION ALL SELECT 4, "IsDeleted", "DeletionId" FROM c UNION ALL SELECT 5, "IsDeleted", "DeletionId" FROM l)
	SELECT count(*) FILTER (WHERE tbl = 1 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 2 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 3 AND NOT "IsDeleted"),
		count(*) FILTER (WHERE tbl = 4 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 5 AND NOT "IsDeleted"), count(*) FILTER (WHERE "IsDeleted"), count(DISTINCT "DeletionId") FROM r
$$;
-- Rows that stay live below deleted ones: none, ever.
CREATE FUNCTION lab.strays() RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT (SELECT count(*) FROM "Albums" c JOIN "Organizations" p ON p."Id" = c."OrgId" WHERE p."IsDeleted" AND NOT c."IsDeleted")
		+ (SELECT count(*) FROM "AlbumTags" c JOIN "Albums" p ON p."Id" = c."AlbumId" WHERE p."IsDeleted" AND NOT c."IsDeleted")
		+ (SELECT count(*) FROM "PhotoProcs" c JOIN "AlbumTags" p ON p."Id" = c."AlbumTagId" WHERE p."IsDeleted" AND NOT c."IsDeleted")
		+ (SELECT count(*) FROM "PhotoComments" c JOIN "PhotoProcs" p ON p."Id" = c."PhotoProcId" WHERE p."IsDeleted" AND NOT c."IsDeleted")
		+ (SELECT count(*) FROM "PhotoLikes" c JOIN "PhotoProcs" p ON p."Id" = c."PhotoProcId" WHERE p."IsDeleted" AND NOT c."IsDeleted")
$$;
-- The deletion of an album, a stage, a photo.
CREATE FUNCTION lab.deletion(kind text, n int) RETURNS uuid LANGUAGE sql STABLE AS $$
	SELECT "DeletionId" FROM "Albums" WHERE "Id" = lab.id(kind, n) UNION ALL SELECT "DeletionId" FROM "AlbumTags" WHERE "Id" = lab.id(kind, n)
	UNION ALL SELECT "DeletionId" FROM "PhotoProcs" WHERE "Id" = lab.id(kind, n) UNION ALL SELECT "DeletionId" FROM "PhotoComments" WHERE "Id" = lab.id(kind, n)
$$;
SELECT count(lab.whole(n)) FROM generate_series(51001, 51030) n;
SELECT count(lab.whole(n, 52)) FROM generate_series(51031, 51034) n;

-- before the library is loaded a DELETE is refused, once
\c -
SET client_min_messages = warning;
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51001);
\echo :LAST_ERROR_SQLSTATE
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51001) RETURNING "IsDeleted";
\c -
SET client_min_messages = warning;
PREPARE early AS DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51001);
EXECUTE early;
\echo :LAST_ERROR_SQLSTATE
\set QUIET off
EXECUTE early;
EXECUTE early;
DEALLOCATE early;

-- the tag says how many live rows were marked, RETURNING gives them as they are then
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51001) RETURNING "Name", "IsDeleted", "DeletedAt" = now() OR "DeletedAt" > now() AS at, "DeletedBy", "DeletionId" IS NULL AS none;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51001) RETURNING "Name";
DELETE FROM "Albums" WHERE "Id" IN (lab.id('album', 51001), lab.id('album', 51002));
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51999);
DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51003);
-- the flag says the same
UPDATE "AlbumTags" SET "IsDeleted" = true WHERE "AlbumId" = lab.id('album', 51004) RETURNING "Type", "IsDeleted", "DeletionId" IS NULL AS none;
UPDATE "AlbumTags" SET "IsDeleted" = true, "ModifiedAt" = now() WHERE "AlbumId" = lab.id('album', 51004);
UPDATE "AlbumTags" SET "IsDeleted" = "AlbumId" = lab.id('album', 51005) WHERE "AlbumId" = lab.id('album', 51005);
UPDATE "AlbumTags" SET "IsDeleted" = NULL WHERE "AlbumId" = lab.id('album', 51006);
UPDATE "AlbumTags" SET "IsDeleted" = DEFAULT WHERE "AlbumId" = lab.id('album', 51006);
\set QUIET on
-- all of it with one id a statement; what had been deleted before keeps its own (the comments and the like of 51001, the comments of 51003)
SELECT n, r.* FROM unnest(ARRAY[51001, 51002, 51003, 51004, 51005, 51006]) n, lab.rest(n) r ORDER BY n;
SELECT lab.deletion('album', 51001) <> lab.deletion('album', 51002) AS two_statements, lab.deletion('album', 51002) = lab.deletion('photo', 51002) AS one_deletion;
-- who: the user of the context
BEGIN;
SELECT photoflow.set_context(lab.org(51), lab.id('user', 51)) \g /dev/null
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51003) RETURNING "DeletedBy" = lab.id('user', 51) AS by_eve;
SELECT "DeletedBy" = lab.id('user', 51) AS by_eve FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51003);
COMMIT;
SELECT table_name, row_count, deleted_by = lab.id('user', 51) AS by_eve, reason, restorable FROM photoflow.deletions WHERE deletion_id = lab.deletion('photo', 51003);

-- PL/pgSQL: ROW_COUNT, FOUND, INTO, loops
CREATE FUNCTION lab.counts(photo uuid) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	n int;
	r record;
BEGIN
	DELETE FROM "PhotoComments" WHERE "PhotoProcId" = photo AND "Content" = 'a';
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN NEXT format('%s, %s', n, FOUND);
	DELETE FROM "PhotoComments" WHERE "PhotoProcId" = photo AND "Content" = 'a';
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN NEXT format('%s, %s', n, FOUND);
	DELETE FROM "PhotoLikes" WHERE "PhotoProcId" = photo RETURNING * INTO STRICT r;
	RETURN NEXT format('into %s', r."IsDeleted");
	FOR r IN DELETE FROM "PhotoComments" WHERE "PhotoProcId" = photo RETURNING "Content", "IsDeleted" LOOP
		RETURN NEXT format('loop %s %s', r."Content", r."IsDeleted");
	END LOOP;
	EXECUTE 'DELETE FROM "PhotoProcs" WHERE "Id" = $1' USING photo;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN NEXT format('execute %s', n);
	DELETE FROM "PhotoProcs" WHERE "Id" = photo RETURNING * INTO STRICT r;
EXCEPTION WHEN no_data_found THEN
	RETURN NEXT 'nothing to return';
END $$;
SELECT lab.counts(lab.id('photo', 51007));
-- (the block of the exception took it all back)
SELECT * FROM lab.rest(51007);
CREATE FUNCTION lab.sql_delete(photo uuid) RETURNS SETOF text LANGUAGE sql AS $$ DELETE FROM "PhotoComments" WHERE "PhotoProcId" = photo RETURNING "Content" $$;
SELECT lab.sql_delete(lab.id('photo', 51007));
SELECT * FROM lab.sql_delete(lab.id('photo', 51007));

-- CTEs: read or not, several in one statement, which is one deletion
WITH d AS (DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51008) RETURNING "IsDeleted") SELECT count(*), bool_and("IsDeleted") FROM d;
WITH d AS (DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag3', 51008)) SELECT 'not read';
SELECT * FROM lab.rest(51008);
WITH a AS (DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51009) RETURNING 1), t AS (UPDATE "AlbumTags" SET "IsDeleted" = true WHERE "AlbumId" = lab.id('album', 51009) RETURNING 1),
	p AS (DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51008) RETURNING 1)
	SELECT (SELECT count(*) FROM a) AS albums, (SELECT count(*) FROM t) AS stages, (SELECT count(*) FROM p) AS likes;
SELECT * FROM lab.rest(51009);
SELECT count(DISTINCT "DeletionId") AS deletions FROM (SELECT "DeletionId" FROM "Albums" WHERE "Id" = lab.id('album', 51009) UNION ALL SELECT "DeletionId" FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51008)) x;
WITH a AS (DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51010) RETURNING 1), l AS (DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51008)) SELECT count(*) FROM a;
SELECT lab.deletion('album', 51010) = lab.deletion('photo', 51008) AS one_deletion;
-- a child that is born in the statement that deletes its parent
WITH d AS (DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag0', 51011) RETURNING "Id") INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT "Id", 'too late' FROM d;
\echo :LAST_ERROR_SQLSTATE
WITH i AS (INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName") VALUES (lab.id('born', 51011), lab.id('tag0', 51011), 'just in time') RETURNING 1),
	d AS (DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag0', 51011) RETURNING 1) SELECT (SELECT count(*) FROM i) AS born, (SELECT count(*) FROM d) AS deleted;
SELECT "IsDeleted" FROM "PhotoProcs" WHERE "Id" = lab.id('born', 51011);

-- MERGE
\set QUIET off
MERGE INTO "PhotoComments" c USING (VALUES (lab.id('comment', 51012)), (lab.id('comment b', 51012)), (lab.id('comment', 51008)), (lab.id('comment', 51998))) s (id) ON c."Id" = s.id
	WHEN MATCHED AND c."Content" = 'a' THEN DELETE WHEN MATCHED THEN DO NOTHING;
MERGE INTO "PhotoComments" c USING (VALUES (lab.id('comment', 51012)), (lab.id('comment b', 51012))) s (id) ON c."Id" = s.id WHEN MATCHED THEN DELETE;
\set QUIET on
SELECT * FROM lab.rest(51012);

-- prepared: before and after, with generic plans, of every kind
SET plan_cache_mode = force_generic_plan;
PREPARE delete_photo (uuid) AS DELETE FROM "PhotoProcs" WHERE "Id" = $1 RETURNING "IsDeleted";
PREPARE flag_tag (boolean, uuid) AS UPDATE "AlbumTags" SET "IsDeleted" = $1 WHERE "Id" = $2;
PREPARE rename_photo (text, uuid) AS UPDATE "PhotoProcs" SET "FileName" = $1 WHERE "Id" = $2;
\set QUIET off
EXECUTE rename_photo('new.jpg', lab.id('photo', 51013));
EXECUTE delete_photo(lab.id('photo', 51013));
EXECUTE delete_photo(lab.id('photo', 51013));
EXECUTE rename_photo('newer.jpg', lab.id('photo', 51013));
\echo :LAST_ERROR_SQLSTATE
EXECUTE flag_tag(true, lab.id('tag0', 51013));
EXECUTE flag_tag(true, lab.id('tag0', 51013));
EXECUTE flag_tag(false, lab.id('tag0', 51013));
EXECUTE flag_tag(false, lab.id('tag0', 51013));
\set QUIET on
RESET plan_cache_mode;
DEALLOCATE ALL;
SELECT * FROM lab.rest(51013);

-- cursors
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51014) ORDER BY "Content" FOR UPDATE;
\set QUIET off
MOVE 1 FROM c;
DELETE FROM "PhotoComments" WHERE CURRENT OF c RETURNING "Content", "IsDeleted";
DELETE FROM "PhotoComments" WHERE CURRENT OF c;
MOVE 1 FROM c;
UPDATE "PhotoComments" SET "IsDeleted" = true WHERE CURRENT OF c;
\set QUIET on
COMMIT;
SELECT * FROM lab.rest(51014);

-- views: those of live rows, a user's own, one on top of it
CREATE VIEW lab.named AS SELECT "Id", "AlbumId", "Type" FROM "AlbumTags" WHERE "Type" = 3;
CREATE VIEW lab.named_too AS SELECT * FROM lab.named WHERE "Type" > 0;
\set QUIET off
DELETE FROM "LiveAlbums" WHERE "Id" IN (lab.id('album', 51001), lab.id('album', 51015)) RETURNING "Name";
DELETE FROM "LiveAlbums" WHERE "Id" = lab.id('album', 51015);
DELETE FROM "LivePhotoProcs" WHERE "Id" = lab.id('photo', 51016);
DELETE FROM lab.named_too WHERE "AlbumId" = lab.id('album', 51016) RETURNING "Type";
UPDATE "LiveAlbums" SET "Name" = 'x' WHERE "Id" = lab.id('album', 51015);
\set QUIET on
SELECT (SELECT count(*) FROM "LiveAlbums" WHERE "Id" = lab.id('album', 51015)) AS albums, (SELECT count(*) FROM "LiveAlbumTags" WHERE "AlbumId" IN (lab.id('album', 51015), lab.id('album', 51016))) AS stages,
	(SELECT count(*) FROM "LivePhotoProcs" WHERE "Id" = lab.id('photo', 51016)) AS photos;
DROP VIEW lab.named_too, lab.named;

-- USING, with more than one match a row; a join with itself; a subquery; LIMIT
\set QUIET off
DELETE FROM "AlbumTags" t USING "Albums" a, generate_series(1, 3) WHERE a."Id" = t."AlbumId" AND a."Name" = 'album 51017' AND t."Type" = 3 RETURNING t."Type", a."Name", t."IsDeleted";
DELETE FROM "PhotoComments" c USING "PhotoComments" d WHERE c."PhotoProcId" = d."PhotoProcId" AND c."Content" > d."Content" AND c."PhotoProcId" = lab.id('photo', 51017);
DELETE FROM ONLY "PhotoComments" WHERE "Id" IN (SELECT "Id" FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51017) ORDER BY "Id" LIMIT 5);
UPDATE "PhotoLikes" l SET "IsDeleted" = true FROM "PhotoProcs" p WHERE p."Id" = l."PhotoProcId" AND p."Id" = lab.id('photo', 51017);
\set QUIET on
SELECT * FROM lab.rest(51017);

-- COPY and EXPLAIN
COPY (DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51018) RETURNING "Content", "IsDeleted") TO STDOUT;
EXPLAIN (COSTS OFF) DELETE FROM "Albums" WHERE ctid = '(0,1)';
EXPLAIN (COSTS OFF) UPDATE "Albums" SET "IsDeleted" = true WHERE ctid = '(0,1)';
EXPLAIN (COSTS OFF) UPDATE "Albums" SET "Name" = 'x' WHERE ctid = '(0,1)';
EXPLAIN (COSTS OFF) WITH d AS (DELETE FROM "Albums" WHERE ctid = '(0,1)') SELECT 1;
-- a table of somebody else's, whatever it is called, is not ours
CREATE TABLE lab."Albums" ("Id" int, "IsDeleted" boolean NOT NULL DEFAULT false);
INSERT INTO lab."Albums" VALUES (1), (2);
DELETE FROM lab."Albums" WHERE "Id" = 1;
SELECT * FROM lab."Albums";
DROP TABLE lab."Albums";
SELECT * FROM lab.rest(51018);

-- Frozen --------------------------------------------------------------------------------------------------------------
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51019);
UPDATE "Albums" SET "Name" = 'x' WHERE "Id" = lab.id('album', 51019);
\echo :LAST_ERROR_SQLSTATE
-- all of a statement, or nothing
UPDATE "Albums" SET "Name" = 'x' WHERE "Id" IN (lab.id('album', 51019), lab.id('album', 51020));
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "Name" = "Name" WHERE "Id" IN (lab.id('album', 51019), lab.id('album', 51020)) AND NOT "IsDeleted" RETURNING "Name";
UPDATE "PhotoProcs" p SET "Voted" = true FROM "AlbumTags" t WHERE t."Id" = p."AlbumTagId" AND t."AlbumId" = lab.id('album', 51019);
\echo :LAST_ERROR_SQLSTATE
WITH u AS (UPDATE "PhotoProcs" SET "Voted" = true WHERE "Id" = lab.id('photo', 51019)) SELECT 1;
\echo :LAST_ERROR_SQLSTATE
MERGE INTO "PhotoComments" c USING (SELECT lab.id('comment', 51019) AS id) s ON c."Id" = s.id WHEN MATCHED THEN UPDATE SET "Content" = 'x';
\echo :LAST_ERROR_SQLSTATE
MERGE INTO "PhotoComments" c USING (SELECT lab.id('comment', 51019) AS id) s ON c."Id" = s.id WHEN MATCHED AND false THEN DELETE WHEN MATCHED THEN UPDATE SET "Content" = 'x';
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 51019), lab.org(51), 'x') ON CONFLICT ("Id") DO UPDATE SET "Name" = EXCLUDED."Name";
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 51019), lab.org(51), 'x') ON CONFLICT ("Id") DO NOTHING RETURNING "Name";
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 51019);
\echo :LAST_ERROR_SQLSTATE
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 51020) WHERE "Id" = lab.id('photo', 51019);
\echo :LAST_ERROR_SQLSTATE
SELECT to_state FROM photoflow.fire(lab.id('album', 51019), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT to_state FROM photoflow.rollback_transition(lab.id('album', 51019));
\echo :LAST_ERROR_SQLSTATE
SELECT album_id = lab.id('album', 51019) AS deleted, to_state, sqlstate FROM photoflow.fire_many(ARRAY[lab.id('album', 51019), lab.id('album', 51020)], 'SyncRawTag', on_error => 'skip');
SELECT photoflow.vote(ARRAY[lab.id('photo', 51019)]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.sync_photos(lab.id('tag0', 51019), '[]', NULL, true);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reorder_photos(lab.id('tag0', 51019), '{}');
\echo :LAST_ERROR_SQLSTATE
-- a session without the planner's part has the triggers
\c -
SET client_min_messages = warning;
UPDATE "PhotoComments" SET "Content" = 'x' WHERE "Id" = lab.id('comment', 51019);
\echo :LAST_ERROR_SQLSTATE
-- what deletes or brings back a row by ON CONFLICT is met by the same rules
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 51020), lab.org(51), 'x') ON CONFLICT ("Id") DO UPDATE SET "IsDeleted" = true RETURNING "Name", "IsDeleted", "DeletionId" IS NULL AS none;
SELECT * FROM lab.rest(51020);
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 51020), lab.org(51), 'x') ON CONFLICT ("Id") DO UPDATE SET "IsDeleted" = false RETURNING "Name", "IsDeleted", "DeletionId" IS NULL AS none;
SELECT * FROM lab.rest(51020);

-- no new row below a deleted one, at any level, nor by a move; not even one that is deleted with it
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 51019), 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (lab.id('tag0', 51020), 'x'), (lab.id('tag0', 51019), 'x');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51019), 'x');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PhotoLikes" ("PhotoProcId") SELECT "Id" FROM "PhotoProcs" WHERE "Id" IN (lab.id('photo', 51019), lab.id('photo', 51020));
\echo :LAST_ERROR_SQLSTATE
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 51019) WHERE "Id" = lab.id('photo', 51020);
\echo :LAST_ERROR_SQLSTATE
UPDATE "AlbumTags" SET "AlbumId" = lab.id('album', 51019) WHERE "Id" = lab.id('tag0', 51020);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES (lab.id('url', 51020), lab.org(51), 'https://51020');
DELETE FROM "PublicUrls" WHERE "Id" = lab.id('url', 51020);
INSERT INTO "AlbumTags" ("AlbumId", "Type", "PublicUrlId") VALUES (lab.id('album', 51020), 1, lab.id('url', 51020));
\echo :LAST_ERROR_SQLSTATE
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 51020) WHERE "Id" = lab.id('tag0', 51020);
\echo :LAST_ERROR_SQLSTATE
-- an organization: what belongs to it alone is refused as well; the logs go on
BEGIN;
\set QUIET off
DELETE FROM "Organizations" WHERE "Id" = lab.org(52);
\set QUIET on
SELECT table_name, row_count FROM photoflow.deletions WHERE org_id = lab.org(52);
SELECT lab.strays();
SAVEPOINT s;
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(52), 'x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "Users" ("OrgId", "Name") VALUES (lab.org(52), 'x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "PublicUrls" ("OrgId", "Url") VALUES (lab.org(52), 'x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 51031), 1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") VALUES (lab.org(52), lab.id('album', 51031), 'Album') RETURNING "IsDeleted";
INSERT INTO "AuditLogs" ("OrgId", "Action") VALUES (lab.org(52), 'x') RETURNING "IsDeleted";
SELECT table_name, restored_rows, conflicts FROM photoflow.restore((SELECT "DeletionId" FROM "Organizations" WHERE "Id" = lab.org(52)));
SELECT * FROM lab.rest(51031);
ROLLBACK;

-- the books are the database's: no statement writes them
UPDATE "Albums" SET "DeletedAt" = now() WHERE "Id" = lab.id('album', 51020);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "DeletedBy" = lab.id('user', 51), "Name" = 'x' WHERE "Id" = lab.id('album', 51020);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "DeletionId" = lab.id('mine', 1) WHERE "Id" = lab.id('album', 51020);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "DeletionId" = NULL WHERE "Id" = lab.id('album', 51019);
\echo :LAST_ERROR_SQLSTATE
UPDATE "Albums" SET "DeletionId" = "DeletionId", "DeletedAt" = "DeletedAt", "DeletedBy" = NULL WHERE "Id" = lab.id('album', 51020) RETURNING "Name";
-- with the flag they are overwritten
UPDATE "AlbumTags" SET "IsDeleted" = true, "DeletionId" = lab.id('mine', 1), "DeletedAt" = '2001-01-01', "DeletedBy" = lab.id('mine', 2) WHERE "Id" = lab.id('tag3', 51020)
	RETURNING "DeletionId" = lab.id('mine', 1) AS mine, "DeletedAt" < now() - interval '1 day' AS past, "DeletedBy";
UPDATE "AlbumTags" SET "IsDeleted" = false, "DeletionId" = lab.id('mine', 1) WHERE "Id" = lab.id('tag3', 51020) RETURNING "DeletionId";
\set VERBOSITY sqlstate
INSERT INTO "AlbumTags" ("AlbumId", "Type", "DeletionId") VALUES (lab.id('album', 51020), 1, lab.id('mine', 1));
INSERT INTO "AlbumTags" ("AlbumId", "Type", "DeletedAt") VALUES (lab.id('album', 51020), 1, now());
\set VERBOSITY terse
SELECT count(*) FROM "AlbumTags" WHERE NOT "IsDeleted" AND num_nonnulls("DeletionId", "DeletedAt", "DeletedBy") > 0;

-- soft_delete() -------------------------------------------------------------------------------------------------------
CREATE TEMP TABLE done AS SELECT * FROM photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51021), lab.id('album', 51019), lab.id('album', 51021)], 'ordered');
SELECT table_name, deleted_rows, deletion_id = lab.deletion('album', 51021) AS its FROM done;
SELECT table_name, row_count, reason, restorable FROM photoflow.deletions WHERE deletion_id = lab.deletion('album', 51021);
SELECT deletion_id, table_name, deleted_rows FROM photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51021)], 'again');
SELECT deletion_id, table_name, deleted_rows FROM photoflow.soft_delete('"Albums"', '{}');
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51022), lab.id('album', 51999)]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51022), NULL]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"Albums"', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete(NULL, '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"AlbumTransitions"', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"LiveAlbums"', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"AuditLogs_default"', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('pg_class', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete(0::oid::regclass, '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.rest(51022);
-- many at once
INSERT INTO "FailureRecords" ("Id", "OrgId", "EntityId", "EntityType") SELECT lab.id('many', n), lab.org(51), lab.id('album', 51022), 'Album' FROM generate_series(1, 10000) n;
SELECT table_name, deleted_rows FROM photoflow.soft_delete('"FailureRecords"', array(SELECT lab.id('many', 1 + n % 10000) FROM generate_series(1, 20000) n));
SELECT count(*), count(DISTINCT "DeletionId") FROM "FailureRecords" WHERE "OrgId" = lab.org(51) AND "IsDeleted";
\set VERBOSITY sqlstate
SELECT photoflow.soft_delete('"FailureRecords"', array(SELECT lab.id('many', n) FROM generate_series(1, 20000) n));
\set VERBOSITY terse
SELECT table_name, restored_rows FROM photoflow.restore((SELECT "DeletionId" FROM "FailureRecords" WHERE "Id" = lab.id('many', 1)));
SET photoflow.hard_delete = on;
DELETE FROM "FailureRecords" WHERE "OrgId" = lab.org(51);
RESET photoflow.hard_delete;

-- Bringing back -------------------------------------------------------------------------------------------------------
-- exactly what was taken, exactly as it was
CREATE TEMP TABLE before AS SELECT 1 AS n, to_jsonb(a) AS row FROM "Albums" a WHERE "Id" = lab.id('album', 51023) UNION ALL SELECT 2, to_jsonb(t) FROM "AlbumTags" t WHERE "AlbumId" = lab.id('album', 51023)
	UNION ALL SELECT 3, to_jsonb(p) FROM "PhotoProcs" p WHERE "Id" = lab.id('photo', 51023) UNION ALL SELECT 4, to_jsonb(c) FROM "PhotoComments" c WHERE "PhotoProcId" = lab.id('photo', 51023)
	UNION ALL SELECT 5, to_jsonb(l) FROM "PhotoLikes" l WHERE "PhotoProcId" = lab.id('photo', 51023);
DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51023);
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51023);
DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag3', 51023);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51023);
SELECT * FROM lab.rest(51023);
SELECT table_name, row_count, restorable, dense_rank() OVER (ORDER BY deletion_id) AS deletion FROM photoflow.deletions
	WHERE deletion_id IN (lab.deletion('comment', 51023), lab.deletion('photo', 51023), lab.deletion('tag3', 51023), lab.deletion('album', 51023));
-- an inner deletion not before its outer one, which is named
SELECT d.comment AS comment_deletion, d.photo AS photo_deletion, d.album AS album_deletion, d.tag AS tag_deletion
	FROM (SELECT lab.deletion('comment', 51023) AS comment, lab.deletion('photo', 51023) AS photo, lab.deletion('album', 51023) AS album, lab.deletion('tag3', 51023) AS tag) d \gset
SELECT table_name, restored_rows, jsonb_array_length(conflicts) AS n, conflicts->0->>'kind' AS kind, conflicts->0->>'parentTable' AS parent, (conflicts->0->>'parentDeletion')::uuid = :'photo_deletion' AS its
	FROM photoflow.restore(:'comment_deletion', true);
DO $$ BEGIN
	PERFORM photoflow.restore(lab.deletion('photo', 51023));
EXCEPTION WHEN SQLSTATE 'PF022' THEN
	DECLARE
		detail text;
		message text;
	BEGIN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, message = MESSAGE_TEXT;
		RAISE WARNING '%', regexp_replace(message, '[0-9a-f]{8}-[-0-9a-f]{27}', '<id>');
		RAISE WARNING '% %, % %', detail::jsonb->'conflicts'->0->>'kind', detail::jsonb->'conflicts'->0->>'table', detail::jsonb->'conflicts'->0->>'parentTable',
			(detail::jsonb->'conflicts'->0->>'parentDeletion')::uuid = lab.deletion('album', 51023);
	END;
END $$;
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'album_deletion', dry_run => true);
SELECT * FROM lab.rest(51023);
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'album_deletion');
SELECT * FROM lab.rest(51023);
\set VERBOSITY sqlstate
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'album_deletion');
\set VERBOSITY terse
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'photo_deletion');
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'comment_deletion');
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'tag_deletion');
SELECT (SELECT count(*) FROM before) AS rows, count(*) AS others FROM (
	(SELECT 1, to_jsonb(a) FROM "Albums" a WHERE "Id" = lab.id('album', 51023) UNION ALL SELECT 2, to_jsonb(t) FROM "AlbumTags" t WHERE "AlbumId" = lab.id('album', 51023)
	UNION ALL SELECT 3, to_jsonb(p) FROM "PhotoProcs" p WHERE "Id" = lab.id('photo', 51023) UNION ALL SELECT 4, to_jsonb(c) FROM "PhotoComments" c WHERE "PhotoProcId" = lab.id('photo', 51023)
	UNION ALL SELECT 5, to_jsonb(l) FROM "PhotoLikes" l WHERE "PhotoProcId" = lab.id('photo', 51023)) EXCEPT TABLE before) x;
SELECT photoflow.restore(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.restore(lab.id('no deletion', 1));
\echo :LAST_ERROR_SQLSTATE

-- by the flag: the row, and what went with it
DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51024);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51024);
UPDATE "AlbumTags" SET "IsDeleted" = false WHERE "Id" = lab.id('tag0', 51024);
\echo :LAST_ERROR_SQLSTATE
\set QUIET off
UPDATE "Albums" SET "IsDeleted" = false WHERE "Id" = lab.id('album', 51024) RETURNING "IsDeleted", "DeletedAt", "DeletedBy", "DeletionId";
UPDATE "Albums" SET "IsDeleted" = false WHERE "Id" = lab.id('album', 51024);
\set QUIET on
SELECT * FROM lab.rest(51024);
-- a part of a deletion; the rest of it stays what it was
DELETE FROM "AlbumTags" WHERE "AlbumId" = lab.id('album', 51024);
UPDATE "AlbumTags" SET "IsDeleted" = false, "Status" = 1 WHERE "Id" = lab.id('tag0', 51024) RETURNING "Status";
SELECT * FROM lab.rest(51024);
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(lab.deletion('tag3', 51024));

-- unique values that are taken since: of ours, a user's own, on an expression; all of them are told, several at once
CREATE UNIQUE INDEX lab_names ON "Albums" ("OrgId", "Name") WHERE NOT "IsDeleted";
CREATE UNIQUE INDEX lab_lower ON "PhotoProcs" ("OrgId", "AlbumTagId", lower("FileName")) WHERE "FileName" IS NOT NULL AND NOT "IsDeleted";
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "ExternalId") VALUES (lab.id('first', 51025), lab.id('tag3', 51025), 'One.jpg', '1'), (lab.id('second', 51025), lab.id('tag3', 51025), 'two.jpg', '2');
DELETE FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag3', 51025);
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "ExternalId") VALUES (lab.id('third', 51025), lab.id('tag3', 51025), 'three.jpg', '1'), (lab.id('fourth', 51025), lab.id('tag3', 51025), 'ONE.JPG', '4');
SELECT table_name, restored_rows, c->>'kind' AS kind, c->>'index' AS index, (c->>'id')::uuid = lab.id('first', 51025) AS first, (c->>'by')::uuid IN (lab.id('third', 51025), lab.id('fourth', 51025)) AS by
	FROM photoflow.restore(lab.deletion('first', 51025), true), jsonb_array_elements(conflicts) c ORDER BY index;
\set VERBOSITY sqlstate
SELECT photoflow.restore(lab.deletion('first', 51025));
\set VERBOSITY terse
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "Id" = lab.id('first', 51025);
\echo :LAST_ERROR_SQLSTATE
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "Id" = lab.id('second', 51025) RETURNING "FileName";
DELETE FROM "PhotoProcs" WHERE "Id" IN (lab.id('third', 51025), lab.id('fourth', 51025));
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(lab.deletion('first', 51025));
-- a name is free as soon as it is deleted
DELETE FROM "Albums" WHERE "Name" = 'album 51026';
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES (lab.id('album', 51926), lab.org(51), 'album 51026');
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(51), 'album 51026');
\echo :LAST_ERROR_SQLSTATE
SELECT table_name, restored_rows, conflicts->0->>'kind' AS kind, conflicts->0->>'index' AS index FROM photoflow.restore(lab.deletion('album', 51026), true);
UPDATE "Albums" SET "Name" = 'another' WHERE "Id" = lab.id('album', 51926);
SELECT table_name, restored_rows FROM photoflow.restore(lab.deletion('album', 51026));
DROP INDEX lab_names, lab_lower;
-- an index that has the flag among its columns holds live rows apart from deleted ones as well
CREATE UNIQUE INDEX lab_flag ON "Albums" ("OrgId", "Name", "IsDeleted");
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51926);
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(51), 'another');
SELECT table_name, restored_rows, conflicts->0->>'kind' AS kind, conflicts->0->>'index' AS index FROM photoflow.restore(lab.deletion('album', 51926), true);
\set VERBOSITY sqlstate
SELECT photoflow.restore(lab.deletion('album', 51926));
\set VERBOSITY terse
DROP INDEX lab_flag;
-- two rows of one deletion in each other's way, by an index that came later
UPDATE "PhotoComments" SET "Content" = 'same' WHERE "PhotoProcId" = lab.id('photo', 51026);
DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51026);
CREATE UNIQUE INDEX lab_contents ON "PhotoComments" ("OrgId", "PhotoProcId", "Content") WHERE NOT "IsDeleted";
SELECT table_name, restored_rows, conflicts->0->>'kind' AS kind FROM photoflow.restore(lab.deletion('comment', 51026), true);
\set VERBOSITY sqlstate
SELECT photoflow.restore(lab.deletion('comment', 51026));
\set VERBOSITY terse
DROP INDEX lab_contents;

-- more of them than DETAIL shows
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "ExternalId") SELECT lab.id('dozen', n), lab.id('tag3', 51026), n, n FROM generate_series(1, 12) n;
DELETE FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag3', 51026);
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "ExternalId") SELECT lab.id('tag3', 51026), n, n FROM generate_series(1, 12) n;
SELECT jsonb_array_length(conflicts) FROM photoflow.restore(lab.deletion('dozen', 1), true);
DO $$ BEGIN
	PERFORM photoflow.restore(lab.deletion('dozen', 1));
EXCEPTION WHEN SQLSTATE 'PF022' THEN
	RAISE WARNING '%', regexp_replace(SQLERRM, '[0-9a-f]{8}-[-0-9a-f]{27}', '<id>');
END $$;
-- a row of it that comes back by the flag may come back while others may not
DELETE FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag3', 51026) AND "FileName" = '7' AND NOT "IsDeleted";
\set QUIET off
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "Id" = lab.id('dozen', 7);
\set QUIET on
SELECT jsonb_array_length(conflicts), restored_rows FROM photoflow.restore(lab.deletion('dozen', 1), true);

-- a listing: what it removes is a deletion, and comes back only where nothing has come instead
SELECT inserted, removed FROM photoflow.sync_photos(lab.id('tag3', 51027), '[{"id": "a", "name": "a.jpg", "mimeType": "image/jpeg"}, {"id": "b", "name": "b.jpg", "mimeType": "image/jpeg"}]', NULL, true);
SELECT inserted, removed FROM photoflow.sync_photos(lab.id('tag3', 51027), '[{"id": "b", "name": "b.jpg", "mimeType": "image/jpeg"}]', NULL, true);
SELECT "DeletionId" AS removed FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag3', 51027) AND "IsDeleted" \gset
SELECT table_name, restored_rows, conflicts FROM photoflow.restore(:'removed', true);
SELECT inserted, removed FROM photoflow.sync_photos(lab.id('tag3', 51027), '[{"id": "a", "name": "a.jpg", "mimeType": "image/jpeg"}, {"id": "b", "name": "b.jpg", "mimeType": "image/jpeg"}]', NULL, true);
SELECT table_name, restored_rows, conflicts->0->>'index' AS taken FROM photoflow.restore(:'removed', true);

-- Savepoints ----------------------------------------------------------------------------------------------------------
BEGIN;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51028), 'c');
SAVEPOINT s;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51028);
SAVEPOINT t;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51028), 'd');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO t;
SELECT * FROM lab.rest(51028);
ROLLBACK TO s;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51028), 'e');
SELECT * FROM lab.rest(51028);
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51028);
SAVEPOINT u;
SELECT table_name, restored_rows FROM photoflow.restore(lab.deletion('photo', 51028));
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51028), 'f');
ROLLBACK TO u;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', 51028), 'g');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO u;
RELEASE s;
COMMIT;
SELECT * FROM lab.rest(51028);

-- The other tables ----------------------------------------------------------------------------------------------------
INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES (lab.org(52), 'this month', now()), (lab.org(52), 'long ago', '2001-01-01'), (lab.org(52), 'longer ago', '2000-01-01');
INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") VALUES (lab.org(52), lab.id('album', 51031), 'Album');
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES (lab.id('url', 51031), lab.org(52), 'https://51031');
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 51031) WHERE "Id" = lab.id('tag0', 51031);
\set QUIET off
DELETE FROM "AuditLogs" WHERE "OrgId" = lab.org(52) AND "CreatedAt" > '2001-01-01' RETURNING "Action", "IsDeleted";
DELETE FROM "AuditLogs_default" WHERE "OrgId" = lab.org(52) RETURNING "Action", "IsDeleted", "DeletionId" IS NULL AS none;
DELETE FROM "AuditLogs" WHERE "OrgId" = lab.org(52);
\set VERBOSITY sqlstate
UPDATE "AuditLogs" SET "Status" = 'x' WHERE "OrgId" = lab.org(52);
\set VERBOSITY terse
DELETE FROM "FailureRecords" WHERE "OrgId" = lab.org(52);
DELETE FROM "Users" WHERE "OrgId" = lab.org(52);
-- a link that a stage names: the stage stays
DELETE FROM "PublicUrls" WHERE "Id" = lab.id('url', 51031);
UPDATE "AlbumTags" SET "Status" = 1 WHERE "Id" = lab.id('tag0', 51031);
\set QUIET on
-- newest first
SELECT table_name, row_count, restorable FROM photoflow.deletions WHERE org_id = lab.org(52);
SELECT count(*) FROM (SELECT DISTINCT deletion_id FROM photoflow.deletions WHERE org_id = lab.org(52)) d, LATERAL photoflow.restore(d.deletion_id);
SELECT (SELECT count(*) FROM "AuditLogs" WHERE "OrgId" = lab.org(52) AND NOT "IsDeleted") AS logs, (SELECT count(*) FROM photoflow.deletions WHERE org_id = lab.org(52)) AS deletions;
SET photoflow.hard_delete = on;
DELETE FROM "AuditLogs" WHERE "OrgId" = lab.org(52);
DELETE FROM "FailureRecords" WHERE "OrgId" = lab.org(52);
RESET photoflow.hard_delete;

-- Organizations -------------------------------------------------------------------------------------------------------
CREATE ROLE regress_photoflow_deleter;
SELECT photoflow.grant_app('regress_photoflow_deleter');
SET ROLE regress_photoflow_deleter;
-- without one: nothing
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51029);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51029)]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.restore(lab.id('no deletion', 1));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.deletions;
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('photoflow.org_id', lab.org(51)::text, false) \g /dev/null
\set QUIET off
DELETE FROM "Albums" WHERE "Id" IN (lab.id('album', 51029), lab.id('album', 51031)) RETURNING "Name";
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" IN (lab.id('album', 51029), lab.id('album', 51031));
DELETE FROM "LiveAlbums" WHERE "Id" = lab.id('album', 51031);
\set QUIET on
-- a plan that was made for somebody else
RESET ROLE;
PREPARE delete_like AS DELETE FROM "PhotoLikes" WHERE "Id" IN (lab.id('like', 51028), lab.id('like', 51030), lab.id('like', 51031)) RETURNING "Id" = lab.id('like', 51030) AS mine;
EXPLAIN (COSTS OFF) EXECUTE delete_like \g /dev/null
SET ROLE regress_photoflow_deleter;
EXECUTE delete_like;
DEALLOCATE delete_like;
-- another's, and none at all: the same words
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51031)]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51999)]);
\echo :LAST_ERROR_SQLSTATE
-- what it was not granted
DELETE FROM "Users";
\echo :LAST_ERROR_SQLSTATE
DELETE FROM "AuditLogs";
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.soft_delete('"Organizations"', ARRAY[lab.org(51)]);
\echo :LAST_ERROR_SQLSTATE
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
CALL photoflow.purge('0');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.adopt_deletions(1);
\echo :LAST_ERROR_SQLSTATE
-- rows are born live
INSERT INTO "Albums" ("Name", "IsDeleted") VALUES ('born deleted', true);
\echo :LAST_ERROR_SQLSTATE
-- the setting does nothing for it
SET photoflow.hard_delete = on;
DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51030) RETURNING "IsDeleted";
RESET photoflow.hard_delete;
SELECT table_name, row_count FROM photoflow.deletions WHERE deletion_id IN (lab.deletion('album', 51029), lab.deletion('comment', 51030));
RESET ROLE;
RESET photoflow.org_id;
-- the owner deletes in two organizations at once: each sees and brings back its own
SELECT table_name, deleted_rows FROM photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51030), lab.id('album', 51032)], 'both');
SELECT lab.deletion('album', 51030) = lab.deletion('album', 51032) AS one_deletion, lab.deletion('album', 51032) AS both \gset
SELECT :'one_deletion' AS one_deletion;
SET ROLE regress_photoflow_deleter;
SELECT set_config('photoflow.org_id', lab.org(52)::text, false) \g /dev/null
SELECT table_name, row_count, reason, org_id = lab.org(52) AS mine FROM photoflow.deletions;
SELECT table_name, restored_rows FROM photoflow.restore(:'both');
\set VERBOSITY sqlstate
SELECT photoflow.restore(:'both');
\set VERBOSITY terse
SELECT photoflow.why_zero('"Albums"', lab.id('album', 51032)), photoflow.why_zero('"Albums"', lab.id('album', 51030));
RESET ROLE;
RESET photoflow.org_id;
SELECT n, r.* FROM unnest(ARRAY[51030, 51032]) n, lab.rest(n) r;
SELECT table_name, row_count, reason, org_id = lab.org(51) AS first FROM photoflow.deletions WHERE deletion_id = :'both';
-- a superuser with an organization set is asked for rows of another
BEGIN;
SELECT photoflow.set_context(lab.org(51)) \g /dev/null
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- who may only delete, and who may only update
CREATE ROLE regress_photoflow_only;
GRANT DELETE, SELECT ("Id") ON "Albums" TO regress_photoflow_only;
GRANT UPDATE ("IsDeleted"), SELECT ("Id") ON "PhotoComments" TO regress_photoflow_only;
BEGIN;
SELECT photoflow.set_context(lab.org(52)) \g /dev/null
SET LOCAL ROLE regress_photoflow_only;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51033) RETURNING "Id" = lab.id('album', 51033) AS deleted;
UPDATE "PhotoComments" SET "IsDeleted" = true WHERE "Id" = lab.id('comment', 51034) RETURNING "Id" = lab.id('comment', 51034) AS deleted;
SAVEPOINT s;
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" = lab.id('album', 51034);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51034)]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.restore((SELECT max(deletion_id::text)::uuid FROM photoflow.deletions WHERE table_name = 'Albums'));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment b', 51034);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- What really deletes -------------------------------------------------------------------------------------------------
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
TRUNCATE "Albums" CASCADE;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
SELECT photoflow.set_context(lab.org(51)) \g /dev/null
SET LOCAL photoflow.hard_delete = on;
TRUNCATE "PhotoLikes";
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SET LOCAL photoflow.hard_delete = on;
\set QUIET off
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51030);
DELETE FROM "PhotoComments" WHERE "PhotoProcId" = lab.id('photo', 51030);
MERGE INTO "PhotoProcs" p USING (SELECT lab.id('photo', 51030) AS id) s ON s.id = p."Id" WHEN MATCHED THEN DELETE;
TRUNCATE "FailureRecords";
RESET photoflow.hard_delete;
DELETE FROM "AlbumTags" WHERE "AlbumId" = lab.id('album', 51030);
\set QUIET on
SELECT (SELECT count(*) FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51030)) AS likes, (SELECT count(*) FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51030)) AS photos;
SAVEPOINT s;
SET LOCAL photoflow.hard_delete = on;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51030);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- a plan is as old as the setting
BEGIN;
PREPARE again AS DELETE FROM "PhotoLikes" WHERE "Id" IN (lab.id('like', 51031), lab.id('like', 51034));
SET LOCAL photoflow.hard_delete = on;
EXECUTE again;
SELECT count(*) FROM "PhotoLikes" WHERE "Id" IN (lab.id('like', 51031), lab.id('like', 51034));
ROLLBACK;
EXECUTE again;
SELECT count(*) FROM "PhotoLikes" WHERE "Id" IN (lab.id('like', 51031), lab.id('like', 51034));
DEALLOCATE again;
-- a superuser without any trigger; what he leaves has no deletion, is frozen all the same, and can be adopted
BEGIN;
SET LOCAL session_replication_role = replica;
\set QUIET off
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51031);
UPDATE "AlbumTags" SET "IsDeleted" = true, "ModifiedAt" = '2026-01-02' WHERE "AlbumId" = lab.id('album', 51034);
\set QUIET on
SET LOCAL session_replication_role = origin;
SELECT count(*) FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51031);
SAVEPOINT s;
UPDATE "AlbumTags" SET "Status" = 1 WHERE "AlbumId" = lab.id('album', 51034);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "AlbumTags" SET "IsDeleted" = false WHERE "Id" = lab.id('tag3', 51034) RETURNING "IsDeleted", "DeletionId";
SELECT photoflow.adopt_deletions(NULL);
SELECT photoflow.adopt_deletions(1000);
SELECT lab.strays();
SELECT table_name, row_count, deleted_at = '2026-01-02' AS its_time, deleted_by, restorable FROM photoflow.deletions WHERE deletion_id = lab.deletion('tag0', 51034);
SELECT table_name, restored_rows FROM photoflow.restore(lab.deletion('tag0', 51034));
ROLLBACK;
-- the owner loads rows that are deleted already, under deleted ones too
BEGIN;
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "IsDeleted", "ModifiedAt") VALUES (lab.id('tag0', 51029), 'loaded', true, '2026-01-02');
SELECT photoflow.adopt_deletions(1000);
SELECT table_name, row_count, deleted_at = '2026-01-02' AS its_time, restorable FROM photoflow.deletions WHERE deletion_id = (SELECT "DeletionId" FROM "PhotoProcs" WHERE "FileName" = 'loaded');
ROLLBACK;

-- Tables of a user's that hang on ours, and ours on them ---------------------------------------------------------------
CREATE TABLE lab.prints ("OrgId" uuid, "Id" int PRIMARY KEY, photo uuid, album uuid, FOREIGN KEY ("OrgId", photo) REFERENCES "PhotoProcs" ("OrgId", "Id") ON DELETE CASCADE,
	FOREIGN KEY ("OrgId", album) REFERENCES "Albums" ("OrgId", "Id") ON DELETE SET NULL (album));
INSERT INTO lab.prints VALUES (lab.org(52), 1, lab.id('photo', 51032), NULL), (lab.org(52), 2, NULL, lab.id('album', 51032));
BEGIN;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
-- a mark takes nothing of theirs
SELECT "Id", photo IS NULL AS no_photo, album IS NULL AS no_album FROM lab.prints ORDER BY 1;
ROLLBACK;
CREATE TABLE lab.folders (id int PRIMARY KEY);
INSERT INTO lab.folders VALUES (1), (2), (3);
ALTER TABLE "Albums" ADD folder int REFERENCES lab.folders ON DELETE CASCADE;
ALTER TABLE "PhotoProcs" ADD folder int REFERENCES lab.folders ON DELETE SET NULL ON UPDATE CASCADE;
UPDATE "Albums" SET folder = 1 WHERE "Id" IN (lab.id('album', 51032));
UPDATE "PhotoProcs" SET folder = 2 WHERE "Id" IN (lab.id('photo', 51032), lab.id('photo', 51034));
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51034);
DELETE FROM lab.folders WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
-- what only sets a column may set it in a frozen row
UPDATE lab.folders SET id = 22 WHERE id = 2;
SELECT folder, "IsDeleted" FROM "PhotoProcs" WHERE "Id" IN (lab.id('photo', 51032), lab.id('photo', 51034)) ORDER BY 2;
DELETE FROM lab.folders WHERE id = 22;
SELECT folder, "IsDeleted" FROM "PhotoProcs" WHERE "Id" IN (lab.id('photo', 51032), lab.id('photo', 51034)) ORDER BY 2;
-- a trigger that is fired so deletes like any other, and its plans are no others afterwards
CREATE FUNCTION lab.on_folder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.folder IS NOT NULL AND NEW.folder IS NULL THEN
		UPDATE "AlbumTags" SET "IsDeleted" = true WHERE "Id" = lab.id('tag0', 51034);
		DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51032);
	END IF;
	RETURN NEW;
END $$;
BEGIN;
UPDATE "PhotoProcs" SET folder = 3 WHERE "Id" = lab.id('photo', 51032);
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "Id" = lab.id('photo', 51034);
CREATE TRIGGER lab BEFORE UPDATE ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.on_folder();
SAVEPOINT s;
DELETE FROM lab.folders WHERE id = 3;
SELECT * FROM lab.rest(51034);
SELECT * FROM lab.rest(51032);
SELECT lab.strays();
ROLLBACK TO s;
UPDATE "PhotoProcs" SET folder = NULL WHERE "Id" = lab.id('photo', 51032);
SELECT * FROM lab.rest(51034);
SELECT * FROM lab.rest(51032);
SELECT lab.strays();
ROLLBACK;
ALTER TABLE "Albums" DROP folder;
ALTER TABLE "PhotoProcs" DROP folder;
DROP TABLE lab.folders, lab.prints;

-- Triggers ------------------------------------------------------------------------------------------------------------
-- one of a user's sees the rows as they will be, and what is below, too
CREATE TABLE lab.seen (tbl text, live boolean, has_deletion boolean);
GRANT INSERT ON lab.seen TO PUBLIC;
CREATE FUNCTION lab.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO lab.seen VALUES (TG_TABLE_NAME || ' ' || TG_OP, NOT NEW."IsDeleted", NEW."DeletionId" IS NOT NULL);
	RETURN NEW;
END $$;
CREATE FUNCTION lab.see_delete() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''really deleted''; END';
BEGIN;
CREATE TRIGGER lab_b BEFORE UPDATE ON "AlbumTags" FOR EACH ROW EXECUTE FUNCTION lab.see();
CREATE TRIGGER lab_a AFTER UPDATE OF "IsDeleted" ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.see();
CREATE TRIGGER lab_d BEFORE DELETE ON "AlbumTags" FOR EACH ROW EXECUTE FUNCTION lab.see_delete();
DELETE FROM "AlbumTags" WHERE "AlbumId" = lab.id('album', 51033);
SELECT *, count(*) FROM lab.seen GROUP BY 1, 2, 3 ORDER BY 1;
ROLLBACK;
-- one that keeps a row out of it
CREATE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW."Type" = 3 THEN NULL ELSE NEW END; END';
CREATE FUNCTION lab.unflag() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."IsDeleted" := false; NEW."DeletionId" := NULL; NEW."DeletedAt" := NULL; NEW."DeletedBy" := NULL; RETURN NEW; END';
CREATE FUNCTION lab.unflag_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."IsDeleted" := false; RETURN NEW; END';
CREATE FUNCTION lab.forge() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."DeletionId" := lab.id(''forged'', 1); RETURN NEW; END';
CREATE FUNCTION lab.flag() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW."IsDeleted" := NEW."Name" LIKE ''trash%''; RETURN NEW; END';
BEGIN;
CREATE TRIGGER lab BEFORE UPDATE ON "AlbumTags" FOR EACH ROW EXECUTE FUNCTION lab.keep();
\set QUIET off
DELETE FROM "AlbumTags" WHERE "AlbumId" = lab.id('album', 51032);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
\set QUIET on
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
CREATE TRIGGER lab BEFORE UPDATE ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.unflag();
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
CREATE TRIGGER lab BEFORE UPDATE ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.unflag_only();
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51032);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- one that keeps a parent deleted, whose children must not come back without it
BEGIN;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
CREATE TRIGGER lab BEFORE UPDATE ON "AlbumTags" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SAVEPOINT s;
-- (a stage without photos: it is only left behind)
SELECT table_name, restored_rows FROM photoflow.restore(lab.deletion('album', 51032));
ROLLBACK TO s;
DROP TRIGGER lab ON "AlbumTags";
CREATE FUNCTION lab.keep_all() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lab BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.keep_all();
DO $$ BEGIN PERFORM photoflow.restore(lab.deletion('album', 51032)); EXCEPTION WHEN OTHERS THEN NULL; END $$;
SELECT lab.strays();
ROLLBACK;
-- one that comes after ours does not write the books either
BEGIN;
CREATE TRIGGER zzz_lab BEFORE UPDATE ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.forge();
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51032);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- one that sets the flag in a statement that does not name it: refused until attach() has seen it
BEGIN;
CREATE TRIGGER lab BEFORE UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.flag();
SAVEPOINT s;
UPDATE "Albums" SET "Name" = 'trash it' WHERE "Id" = lab.id('album', 51032);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.attach();
UPDATE "Albums" SET "Name" = 'trash it' WHERE "Id" = lab.id('album', 51032);
SELECT * FROM lab.rest(51032);
ROLLBACK;
-- one that adds a row below what is being deleted, while that is still live
CREATE FUNCTION lab.add() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (lab.id('tag0', 51032), 'added');
	RETURN NULL;
END $$;
BEGIN;
CREATE TRIGGER lab AFTER UPDATE ON "Albums" FOR EACH ROW EXECUTE FUNCTION lab.add();
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
SELECT * FROM lab.rest(51032);
DROP TRIGGER lab ON "Albums";
SAVEPOINT s;
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (lab.id('tag0', 51032), 'later');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT lab.strays();
ROLLBACK;
-- one that deletes the parent of a row that has just come
CREATE FUNCTION lab.undermine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM "AlbumTags" WHERE "Id" = NEW."AlbumTagId";
	RETURN NEW;
END $$;
BEGIN;
CREATE TRIGGER zz_lab AFTER INSERT ON "PhotoProcs" FOR EACH ROW EXECUTE FUNCTION lab.undermine();
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES (lab.id('tag0', 51032), 'x');
SELECT lab.strays();
ROLLBACK;
-- one whose own statement is a deletion of its own, also where nobody reads it
CREATE FUNCTION lab.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51034);
	WITH d AS (DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag3', 51034)) INSERT INTO lab.seen VALUES ('followed');
	RETURN NEW;
END $$;
BEGIN;
CREATE TRIGGER lab BEFORE UPDATE ON "Albums" FOR EACH ROW WHEN (NEW."IsDeleted" AND NOT OLD."IsDeleted") EXECUTE FUNCTION lab.follow();
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "Id" = lab.id('photo', 51034);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
SELECT * FROM lab.rest(51034);
SELECT lab.deletion('album', 51032) IN (lab.deletion('photo', 51034), lab.deletion('tag3', 51034)) AS same;
ROLLBACK;

-- without the trigger that lets the rest follow there is no commit
BEGIN;
ALTER TABLE "Albums" DISABLE TRIGGER "00_PhotoflowDeletionCascade";
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
COMMIT;
\echo :LAST_ERROR_SQLSTATE
BEGIN;
DROP TRIGGER "00_PhotoflowDeletionCascade" ON "AlbumTags";
UPDATE "AlbumTags" SET "IsDeleted" = true WHERE "Id" = lab.id('tag0', 51032);
COMMIT;
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.attach();
SELECT value FROM photoflow.status() WHERE name = 'triggers attached' AND NOT ok;
-- forged on a table of somebody else's
CREATE TABLE lab.forged ("Id" uuid, "OrgId" uuid, "IsDeleted" boolean, "DeletedAt" timestamptz, "DeletedBy" uuid, "DeletionId" uuid);
CREATE TRIGGER a AFTER UPDATE ON lab.forged FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion('Albums');
INSERT INTO lab.forged VALUES (lab.id('album', 51032), lab.org(52), false);
UPDATE lab.forged SET "IsDeleted" = true;
\echo :LAST_ERROR_SQLSTATE
DROP TABLE lab.forged;
SELECT * FROM lab.rest(51032);

-- Rights --------------------------------------------------------------------------------------------------------------
-- who may not mark a row may not bring it back; not by a right to another column
CREATE ROLE regress_photoflow_namer;
GRANT SELECT, UPDATE ("Name") ON "Albums" TO regress_photoflow_namer;
BEGIN;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
SELECT lab.deletion('album', 51032) AS gone, lab.org(52) AS org \gset
SET LOCAL ROLE regress_photoflow_namer;
SELECT photoflow.set_context(:'org') \g /dev/null
SELECT * FROM photoflow.restore(:'gone');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- who has no right to photoflow's functions is told nothing by a table that is not ours, and spoils nothing in the session
CREATE TABLE lab.plain (n int);
GRANT UPDATE, SELECT ON lab.plain TO regress_photoflow_namer;
BEGIN;
REVOKE USAGE ON SCHEMA photoflow FROM PUBLIC;
SET LOCAL ROLE regress_photoflow_namer;
UPDATE lab.plain SET n = 1;
RESET ROLE;
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51032) RETURNING "IsDeleted";
ROLLBACK;
DROP TABLE lab.plain;
DROP OWNED BY regress_photoflow_namer;
DROP ROLE regress_photoflow_namer;
-- an action of MERGE that policies for DELETE would have to judge is refused
BEGIN;
CREATE POLICY lab ON "PhotoLikes" AS RESTRICTIVE FOR DELETE USING (false);
MERGE INTO "PhotoLikes" l USING (SELECT lab.id('like', 51032) AS id) s ON l."Id" = s.id WHEN MATCHED THEN DELETE;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- a rule that adds a statement to ours does not take its place
BEGIN;
CREATE TABLE lab.noted (n int);
GRANT INSERT ON lab.noted TO PUBLIC;
CREATE RULE lab AS ON UPDATE TO "AlbumTags" DO ALSO INSERT INTO lab.noted VALUES (1);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51032);
SELECT * FROM lab.rest(51032);
ROLLBACK;
-- the law, once more; and all of it goes, so that other files find what they expect
SELECT lab.strays();
SET photoflow.hard_delete = on;
DELETE FROM "PhotoLikes" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "PhotoComments" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "PhotoProcs" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "AlbumTags" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "Albums" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "PublicUrls" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "Users" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "Organizations" WHERE "Id" IN (lab.org(51), lab.org(52));
DELETE FROM "AlbumTransitions" WHERE "OrgId" IN (lab.org(51), lab.org(52));
DELETE FROM "DeletionReasons" WHERE "OrgId" IN (lab.org(51), lab.org(52));
RESET photoflow.hard_delete;
DROP OWNED BY regress_photoflow_deleter, regress_photoflow_only;
DROP ROLE regress_photoflow_deleter, regress_photoflow_only;
DROP TABLE lab.seen;
DROP FUNCTION lab.whole(int, int), lab.rest(int), lab.strays(), lab.deletion(text, int), lab.counts(uuid), lab.sql_delete(uuid), lab.on_folder(), lab.see(), lab.see_delete(), lab.keep(),
	lab.unflag(), lab.unflag_only(), lab.forge(), lab.flag(), lab.add(), lab.undermine(), lab.follow();
