-- sync.sql: a listing of 10,000 photos that are all there, and the same listing when all of them are new.
INSERT INTO "Albums" ("Id", "Name", "AlbumState", "WorkflowVersion", "OrgId")
VALUES ('00000000-0000-0000-0000-0000000000a1', 'listed', 0, 1, '00000000-0000-0000-0000-00000000000a');
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type", "Status", "OrgId")
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 0, 2,
		'00000000-0000-0000-0000-00000000000a');

-- every field that Google Drive sends, of the length it has there
CREATE TABLE bench.listing AS
SELECT jsonb_build_object('files', jsonb_agg(jsonb_build_object(
	'kind', 'drive#file', 'id', '1' || md5(n::text), 'name', 'IMG_' || n || '.jpg', 'mimeType', 'image/jpeg',
	'size', '54530880',
	'createdTime', '2026-05-16T09:00:00.000Z', 'modifiedTime', '2026-05-16T09:00:00.000Z', 'md5Checksum', md5('sum' || n),
	'webViewLink', 'https://drive.google.com/file/d/1' || md5(n::text) || '/view?usp=drivesdk', 'trashed', false,
	'thumbnailLink', 'https://lh3.googleusercontent.com/drive-storage/'
	|| md5('a' || n) || md5('b' || n) || md5('c' || n) || md5('d' || n) || '=s220')
	ORDER BY n)) AS files
FROM generate_series(1, (10000 * :scale)::int) AS n;

CREATE PROCEDURE bench.sync_one(part text, variant text, round int, files jsonb) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id')::uuid;
	tag uuid := '00000000-0000-0000-0000-0000000000b1';
	since bigint := bench.cpu();
BEGIN
	IF variant = 'sync_photos()' THEN
		PERFORM photoflow.sync_photos(tag, files, is_last => true);
	ELSIF variant LIKE 'PL/pgSQL%' THEN
		PERFORM bench.sync(tag, files);
	ELSIF variant = 'read and join' THEN
		PERFORM count(*)
		FROM jsonb_to_recordset(files->'files')
			AS f (id text, name text, "mimeType" text, trashed boolean, "thumbnailLink" text)
		JOIN "PhotoProcs" AS p ON p."OrgId" = org AND p."AlbumTagId" = tag AND p."ExternalId" = f.id AND NOT p."IsDeleted"
		WHERE f."mimeType" LIKE 'image/%' AND f.trashed IS NOT TRUE;
	ELSE
		INSERT INTO "PhotoProcs" ("OrgId", "AlbumTagId", "ExternalId", "FileName", "ThumbnailUrl", "SortOrder")
		SELECT org, tag, f.id, f.name, f.thumbnail, f.position
		FROM ROWS FROM (jsonb_to_recordset(files->'files')
				AS (id text, name text, "mimeType" text, trashed boolean, "thumbnailLink" text))
			WITH ORDINALITY AS f (id, name, mime, trashed, thumbnail, position)
		WHERE f.mime LIKE 'image/%' AND f.trashed IS NOT TRUE;
	END IF;
	CALL bench.record('sync', part, variant, round, jsonb_array_length(files->'files'), since);
END $$;

-- what this transaction has written to the tables of photos
CREATE FUNCTION bench.photo_rows_written() RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables
	WHERE relname IN ('PhotoProcs', 'AlbumTags', 'PhotoSyncPages');
$$;
CREATE TABLE bench.sync_written (part text, variant text, rows bigint);

CREATE PROCEDURE bench.sync_rounds(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	listed jsonb := (SELECT files || '{}' FROM bench.listing);	-- no longer compressed
	before bigint;
	variant text;
BEGIN
	FOR round IN 0 .. rounds LOOP
		FOREACH variant IN ARRAY '{one INSERT .. SELECT,sync_photos(),PL/pgSQL upsert}'::text[] LOOP
			SET LOCAL session_replication_role = replica;	-- a tenant may not
			TRUNCATE "PhotoProcs" CASCADE;
			COMMIT;
			before := bench.photo_rows_written();
			CALL bench.sync_one('all new', variant, round, listed);
			INSERT INTO bench.sync_written VALUES ('all new', variant, bench.photo_rows_written() - before);
			COMMIT;
		END LOOP;
		PERFORM count(*) FROM "PhotoProcs";
		ANALYZE "PhotoProcs";
		COMMIT;
		FOREACH variant IN ARRAY '{read and join,sync_photos(),PL/pgSQL upsert}'::text[] LOOP
			before := bench.photo_rows_written();
			CALL bench.sync_one('nothing changed', variant, round, listed);
			INSERT INTO bench.sync_written VALUES ('nothing changed', variant, bench.photo_rows_written() - before);
			COMMIT;
		END LOOP;
	END LOOP;
	DELETE FROM bench.results WHERE "case" = 'sync' AND results.round = 0;	-- the round that made the plans
END $$;

INSERT INTO bench.bounds VALUES
('sync', 'nothing changed', 'sync_photos()', 'read and join', 2),
('sync', 'all new', 'sync_photos()', 'one INSERT .. SELECT', 1.5);
CALL bench.sync_rounds(15);
\pset footer off
SELECT part AS sync, variant, min(rows) AS "rows written, min", max(rows) AS max
FROM bench.sync_written GROUP BY 1, 2 ORDER BY 1, 2;
