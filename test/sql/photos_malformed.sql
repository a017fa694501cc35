-- sync_photos on malformed input: one error that names the element, and nothing is written
\set tag '00000000-0000-0000-0000-0000000f08b1'
INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-0000-0000-0000000f0801', 'Malformed');
SET photoflow.org_id = '00000000-0000-0000-0000-0000000f0801';
INSERT INTO "Albums" ("Id", "Name") VALUES ('00000000-0000-0000-0000-0000000f08a1', 'Malformed');
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") VALUES (:'tag', '00000000-0000-0000-0000-0000000f08a1', 0);

-- no listing at all
SELECT photoflow.sync_photos(:'tag', 'null');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT photoflow.sync_photos(:'tag', '"files"');
SELECT photoflow.sync_photos(:'tag', '7');
SELECT photoflow.sync_photos(:'tag', 'true');
SELECT photoflow.sync_photos(:'tag', '{"error": {"code": 404, "message": "File not found"}}');
SELECT photoflow.sync_photos(:'tag', '{"files": {}}');
SELECT photoflow.sync_photos(:'tag', '{"files": null}');
SELECT photoflow.sync_photos(:'tag', '{"files": "[]"}');

-- elements that are no files
\set VERBOSITY default
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": "1", "mimeType": "image/jpeg"}, 7]');
\set VERBOSITY terse
SELECT photoflow.sync_photos(:'tag', '[null]');
SELECT photoflow.sync_photos(:'tag', '[[]]');
SELECT photoflow.sync_photos(:'tag', '["1"]');

-- keys that are missing or of another type, also in what would be skipped
\set VERBOSITY default
SELECT photoflow.sync_photos(:'tag', '{"files": [{"id": "1", "name": "1", "mimeType": "image/jpeg"}, {"name": "2", "mimeType": "image/jpeg"}]}');
SELECT photoflow.sync_photos(:'tag', '{"files": [{"id": "1", "name": "1", "mimeType": ["image/jpeg"]}]}');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT photoflow.sync_photos(:'tag', '[{"id": null, "name": "1", "mimeType": "image/jpeg"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": 1, "name": "1", "mimeType": "image/jpeg"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "", "name": "1", "mimeType": "image/jpeg"}]');
SELECT photoflow.sync_photos(:'tag', jsonb_build_array(jsonb_build_object('id', repeat('x', 1025), 'name', '1', 'mimeType', 'video/mp4')));
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "mimeType": "image/jpeg"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": {}, "mimeType": "image/jpeg"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": "1"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": "1", "mimeType": "video/mp4", "trashed": "true"}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": "1", "mimeType": "image/jpeg", "trashed": 0}]');
SELECT photoflow.sync_photos(:'tag', '[{"id": "1", "name": "1", "mimeType": "text/plain", "thumbnailLink": false}]');

-- 10 MB, malformed at its very end
SELECT photoflow.sync_photos(:'tag', jsonb_agg(jsonb_build_object('id', n::text, 'name', repeat('n', 50), 'mimeType', 'image/jpeg')) || '[{}]')
	FROM generate_series(1, 100000) n;
-- 10 MB of something else
SELECT photoflow.sync_photos(:'tag', to_jsonb(repeat('x', 10000000)));
SELECT photoflow.sync_photos(:'tag', jsonb_agg(n)) FROM generate_series(1, 1000000) n;
SELECT photoflow.sync_photos(:'tag', (repeat('[', 5000) || repeat(']', 5000))::jsonb);
\set VERBOSITY default

-- nothing is written
SELECT count(*) FROM "PhotoProcs" WHERE "AlbumTagId" = :'tag';
SELECT count(*) FROM "PhotoSyncPages" WHERE "AlbumTagId" = :'tag';
SELECT "Status", "ModifiedAt" = "CreatedAt" AS untouched FROM "AlbumTags" WHERE "Id" = :'tag';

-- an id of 1024 bytes that does not compress is the longest
SELECT inserted FROM photoflow.sync_photos(:'tag', jsonb_build_array(jsonb_build_object('id',
	(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 32) n), 'name', '', 'mimeType', 'image/jpeg')));
RESET photoflow.org_id;
