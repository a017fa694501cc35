-- sync_photos, vote, reorder_photos: what a user sees. The listings are test/data/drive, bodies of Drive's files.list.
\getenv abs_srcdir PG_ABS_SRCDIR
\set raw1 `cat :'abs_srcdir'/data/drive/raw-page-1.json`
\set raw2 `cat :'abs_srcdir'/data/drive/raw-page-2.json`
\set raw3 `cat :'abs_srcdir'/data/drive/raw-page-3.json`
\set raw4 `cat :'abs_srcdir'/data/drive/raw-page-4.json`
\set raw5 `cat :'abs_srcdir'/data/drive/raw-page-5.json`
\set org '00000000-0000-0000-0000-0000000f0701'
\set user '00000000-0000-0000-0000-0000000f0702'
\set album '00000000-0000-0000-0000-0000000f07a1'
\set tag '00000000-0000-0000-0000-0000000f07b1'
\set deleted_tag '00000000-0000-0000-0000-0000000f07b2'
INSERT INTO "Organizations" ("Id", "Name") VALUES (:'org', 'Photos and Sons');
INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState") VALUES (:'album', :'org', 'The wedding', 2);
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type", "IsDeleted") VALUES (:'tag', :'album', 0, false), (:'deleted_tag', :'album', 1, true);
SET photoflow.org_id = :'org';
SET photoflow.user_id = :'user';
CREATE VIEW stage AS SELECT "Status", "SyncInitiatedByUserId" = photoflow.current_user_id() AS mine,
	(SELECT count(*) FROM "PhotoSyncPages" WHERE "AlbumTagId" = t."Id") AS pages
	FROM "AlbumTags" t WHERE "Id" = '00000000-0000-0000-0000-0000000f07b1';
CREATE VIEW photos AS SELECT * FROM "PhotoProcs" WHERE "AlbumTagId" = '00000000-0000-0000-0000-0000000f07b1';

-- a listing in five pages: photos only, the rest is skipped
TABLE stage;
SELECT * FROM photoflow.sync_photos(:'tag', :'raw1', 412);
TABLE stage;
SELECT * FROM photoflow.sync_photos(:'tag', :'raw2', 412);
SELECT * FROM photoflow.sync_photos(:'tag', :'raw2', 412);
SELECT * FROM photoflow.sync_photos(:'tag', :'raw3', 412);
SELECT * FROM photoflow.sync_photos(:'tag', :'raw4');
TABLE stage;
SELECT * FROM photoflow.sync_photos(:'tag', :'raw5', 412, is_last => true);
TABLE stage;
SELECT count(*), count(DISTINCT "ExternalId") AS files, count("ThumbnailUrl") AS thumbnails, min("SortOrder"), max("SortOrder"),
	bool_or("Voted") AS voted, max("Status") AS status FROM photos;
SELECT "SortOrder", left("FileName", 40) AS name, length("FileName") FROM photos WHERE "SortOrder" >= 398 ORDER BY "SortOrder";
SELECT "FileName", count(*) FROM photos GROUP BY 1 HAVING count(*) > 1;
SELECT count(*) FROM photos WHERE "FileName" ~ '\.(xmp|mp4)$|9999|Selects';

-- the same again: nothing is written, not even a lock
BEGIN;
SELECT * FROM photoflow.sync_photos(:'tag', (:'raw1'::jsonb)->'files' || ((:'raw2'::jsonb)->'files') || ((:'raw3'::jsonb)->'files')
	|| ((:'raw4'::jsonb)->'files') || ((:'raw5'::jsonb)->'files'), is_last => true);
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
COMMIT;

-- what changed is updated, and only that; position and vote stay
BEGIN;
UPDATE photos SET "Voted" = true, "ModifiedAt" = '-infinity' WHERE "SortOrder" < 2;
SELECT * FROM photoflow.sync_photos(:'tag', jsonb_set(jsonb_set(:'raw1', '{files,0,name}', '"renamed.CR3"'), '{files,0,thumbnailLink}', 'null'));
SELECT "SortOrder", "FileName", "ThumbnailUrl" IS NULL AS no_thumbnail, "Voted", "ModifiedAt" > '-infinity' AS touched
	FROM photos WHERE "SortOrder" < 2 ORDER BY "SortOrder";
ROLLBACK;

-- the end of a listing takes away what no page of it named
SELECT * FROM photoflow.sync_photos(:'tag', :'raw1');
SELECT * FROM photoflow.sync_photos(:'tag', :'raw2', is_last => true);
SELECT "IsDeleted", count(*), max("SortOrder") FROM photos GROUP BY 1 ORDER BY 1;
-- and a photo that comes back is a new photo, at the end
SELECT * FROM photoflow.sync_photos(:'tag', :'raw3', 500);
SELECT min("SortOrder"), max("SortOrder") FROM photos WHERE NOT "IsDeleted" AND "ExternalId" = (:'raw3'::jsonb)#>>'{files,0,id}';
SELECT * FROM photoflow.sync_photos(:'tag', '[]', is_last => true);
-- an empty folder
SELECT * FROM photoflow.sync_photos(:'tag', '{"files": []}', is_last => true);
SELECT count(*) FROM photos WHERE NOT "IsDeleted";

-- an id twice: the last one counts; photos that no listing brought are left alone
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "SortOrder") VALUES ('00000000-0000-0000-0000-0000000f07c0', :'tag', 'by hand.jpg', 5);
SELECT * FROM photoflow.sync_photos(:'tag', '[
	{"id": "a", "name": "first.jpg", "mimeType": "image/jpeg"},
	{"id": "b", "name": "b.jpg", "mimeType": "IMAGE/JPEG", "trashed": null},
	{"id": "c", "name": "c.jpg", "mimeType": "image/jpeg"},
	{"id": "a", "name": "second.jpg", "mimeType": "image/png", "thumbnailLink": null},
	{"id": "c", "name": "c.jpg", "mimeType": "image/jpeg", "trashed": true},
	{"id": "d", "name": "d", "mimeType": "image"}]', is_last => true);
SELECT "ExternalId", "FileName", "SortOrder" FROM photos WHERE NOT "IsDeleted" ORDER BY "SortOrder";

-- refusals
SELECT photoflow.sync_photos(NULL, '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.sync_photos(:'tag', NULL);
SELECT photoflow.sync_photos(:'tag', '[]', 0, NULL);
SELECT photoflow.sync_photos(:'tag', '[]', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.sync_photos(:'album', '[]');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.sync_photos(:'deleted_tag', '[]');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = '00000000-0000-0000-0000-0000000f0709';
SELECT photoflow.sync_photos(:'tag', '[]');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org';

-- votes
\set p1 '00000000-0000-0000-0000-0000000f07c1'
\set p2 '00000000-0000-0000-0000-0000000f07c2'
\set p3 '00000000-0000-0000-0000-0000000f07c3'
\set stock '00000000-0000-0000-0000-0000000f07b3'
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") VALUES (:'stock', :'album', 1);
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "SortOrder") VALUES
	(:'p1', :'stock', '1.jpg', 0), (:'p2', :'stock', '2.jpg', 1), (:'p3', :'stock', '3.jpg', 2);
SELECT photoflow.vote(ARRAY[:'p1', :'p2', :'p1']::uuid[]);
SELECT photoflow.vote(ARRAY[:'p1', :'p2', :'p3']::uuid[]);
SELECT photoflow.vote(ARRAY[:'p1']::uuid[], false);
SELECT photoflow.vote('{}');
SELECT "FileName", "Voted" FROM "PhotoProcs" WHERE "AlbumTagId" = :'stock' ORDER BY 1;
SELECT photoflow.vote(NULL);
SELECT photoflow.vote(ARRAY[:'p1', NULL]::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.vote(ARRAY[:'p1', :'tag']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.vote(ARRAY(SELECT ('00000000-0000-0000-0000-0000000fff' || n)::uuid FROM generate_series(10, 29) n));
BEGIN;
UPDATE "PhotoProcs" SET "IsDeleted" = true WHERE "Id" = :'p1';
SELECT photoflow.vote(ARRAY[:'p1', :'p2']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" = :'album';
SELECT photoflow.vote(ARRAY[:'p1', :'p2']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- new positions
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p3']::uuid[]);
SELECT "SortOrder", "FileName", "Voted" FROM "PhotoProcs" WHERE "AlbumTagId" = :'stock' ORDER BY 1;
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p3', :'p2', :'p1']::uuid[]);
SELECT "SortOrder", "FileName" FROM "PhotoProcs" WHERE "AlbumTagId" = :'stock' ORDER BY 1;
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p3', :'p2', :'p1']::uuid[]);
SELECT photoflow.reorder_photos(:'stock', '{}');
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p3', :'p1', :'p3']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p3', '00000000-0000-0000-0000-0000000f07c0']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reorder_photos(:'deleted_tag', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.reorder_photos(:'album', '{}');
\echo :LAST_ERROR_SQLSTATE

-- the tables' owner works without a tenant too, an application does not
RESET photoflow.org_id;
SELECT photoflow.vote(ARRAY[:'p1', :'p2']::uuid[]);
SELECT inserted, updated, unchanged, removed FROM photoflow.sync_photos(:'stock', '[{"id": "e", "name": "e", "mimeType": "image/e"}]');
SELECT photoflow.reorder_photos(:'stock', ARRAY[:'p1']::uuid[]);
CREATE ROLE photos_app;
SET ROLE photos_app;
SELECT photoflow.vote('{}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.sync_photos(:'stock', '[]');
\echo :LAST_ERROR_SQLSTATE
SET photoflow.org_id = :'org';
-- what is read in the owner's name is read for those only who may change photos
SELECT inserted, updated, unchanged, removed FROM photoflow.sync_photos(:'stock', '[{"id": "e", "name": "e", "mimeType": "image/e"}]');
\set VERBOSITY terse
SELECT photoflow.sync_photos(:'stock', '[{"id": "f", "name": "f", "mimeType": "image/f"}]');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.vote(ARRAY[:'p1']::uuid[], false);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
RESET ROLE;
GRANT SELECT, INSERT, UPDATE ON "PhotoProcs", "AlbumTags" TO photos_app;
SET ROLE photos_app;
SELECT inserted, updated, unchanged, removed FROM photoflow.sync_photos(:'stock', '[{"id": "f", "name": "f", "mimeType": "image/f"}]');
SELECT inserted, updated, unchanged, removed FROM photoflow.sync_photos(:'stock', '[{"id": "f", "name": "g", "mimeType": "image/f"}]', is_last => true);
SELECT photoflow.vote(ARRAY[:'p1']::uuid[], false);
RESET ROLE;

-- another state of the album
INSERT INTO "Albums" ("Id", "Name", "AlbumState") VALUES ('00000000-0000-0000-0000-0000000f07a2', 'Delivered', 9);
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") VALUES ('00000000-0000-0000-0000-0000000f07b4', '00000000-0000-0000-0000-0000000f07a2', 4);
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName") VALUES ('00000000-0000-0000-0000-0000000f07c9', '00000000-0000-0000-0000-0000000f07b4', '9.jpg');
SELECT photoflow.vote(ARRAY[:'p1', '00000000-0000-0000-0000-0000000f07c9']::uuid[]);
\echo :LAST_ERROR_SQLSTATE
SELECT "Voted" FROM "PhotoProcs" WHERE "Id" = :'p1';

DROP OWNED BY photos_app;
DROP ROLE photos_app;
DROP VIEW photos, stage;
RESET photoflow.org_id;
RESET photoflow.user_id;
