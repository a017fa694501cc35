-- Laws of sync_photos, vote and reorder_photos, on random input against a model written in SQL.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT photoflow.create_tables();
SELECT setseed(0.42);
SELECT plan(20);

INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-0000-0000-000000000001', 'Laws');
SELECT photoflow.set_context('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
INSERT INTO "Albums" ("Id", "Name", "AlbumState") VALUES ('00000000-0000-0000-0000-0000000000a1', 'Laws', 2);
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") VALUES
	('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 1),
	('00000000-0000-0000-0000-0000000000b2', '00000000-0000-0000-0000-0000000000a1', 0);
-- a photo of another tag and one without external id: no sync of the first tag may touch them
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "ExternalId", "SortOrder") VALUES
	('00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-0000000000b2', 'bystander', 'f1', 0),
	('00000000-0000-0000-0000-0000000000c2', '00000000-0000-0000-0000-0000000000b2', 'by hand', NULL, 1);

CREATE FUNCTION tag() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT '00000000-0000-0000-0000-0000000000b1'::uuid $$;

-- versions of all rows that a sync could write or lock
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(line, ',' ORDER BY line)) FROM (
		SELECT 'p' || "Id" || ctid || xmin || xmax FROM "PhotoProcs"
		UNION ALL SELECT 't' || "Id" || ctid || xmin || xmax FROM "AlbumTags"
		UNION ALL SELECT 'a' || "Id" || ctid || xmin || xmax FROM "Albums"
		UNION ALL SELECT 's' || "Id" || ctid || xmin || xmax FROM "PhotoSyncPages") AS lines (line) $$;

-- a random page: ids of a small pool, so that they repeat; some elements are no photos
CREATE FUNCTION random_page(size int) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(jsonb_agg(jsonb_build_object('id', 'f' || floor(random() * 40)::int, 'name', 'n' || floor(random() * 3)::int,
			'mimeType', (ARRAY['image/jpeg', 'IMAGE/PNG', 'image/x-nikon-nef', 'video/mp4'])[1 + floor(random() * 4)::int],
			'trashed', random() < 0.1, 'thumbnailLink', CASE WHEN random() < 0.5 THEN 't' || floor(random() * 2)::int END)), '[]')
	FROM generate_series(1, size) $$;

-- what a page says: the last element of an id counts
CREATE FUNCTION page_photos(page jsonb) RETURNS TABLE (id text, name text, thumbnail text) LANGUAGE sql AS $$
	SELECT f->>'id', f->>'name', f->>'thumbnailLink'
	FROM (SELECT DISTINCT ON (e->>'id') e FROM jsonb_array_elements(page) WITH ORDINALITY AS l (e, n) ORDER BY e->>'id', n DESC) AS d (f)
	WHERE lower(f->>'mimeType') LIKE 'image/%' AND NOT (f->>'trashed')::boolean $$;

CREATE TABLE run (id text PRIMARY KEY);				-- ids listed so far in the run
CREATE TABLE problems (law text, round int);

CREATE PROCEDURE sync_randomly(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	page jsonb;
	last boolean;
	known jsonb;
	result record;
	before text;
	processed int;
BEGIN
	FOR round IN 1..rounds LOOP
		page := random_page(floor(random() * 30)::int);
		last := random() < 0.3;
		SELECT jsonb_object_agg("ExternalId", jsonb_build_array("FileName", "ThumbnailUrl", "SortOrder", "Voted"))
			INTO known FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted";
		SELECT * INTO result FROM photoflow.sync_photos(tag(), page, NULL, last);
		INSERT INTO run SELECT id FROM page_photos(page) ON CONFLICT DO NOTHING;
		SELECT count(*) INTO processed FROM run;

		INSERT INTO problems SELECT 'every photo of the page is stored as listed', round
			WHERE EXISTS (SELECT FROM page_photos(page) l WHERE NOT EXISTS (SELECT FROM "PhotoProcs" p WHERE "AlbumTagId" = tag()
				AND NOT "IsDeleted" AND "ExternalId" = l.id AND "FileName" = l.name AND "ThumbnailUrl" IS NOT DISTINCT FROM l.thumbnail));
		INSERT INTO problems SELECT 'inserted, updated and unchanged are what the model says', round
			FROM (SELECT count(*) FILTER (WHERE known->id IS NULL) AS inserted,
					count(*) FILTER (WHERE known->id->>0 <> name OR known->id->>1 IS DISTINCT FROM thumbnail AND known->id IS NOT NULL) AS updated,
					count(*) AS listed FROM page_photos(page)) m
			WHERE (m.inserted, m.updated, m.listed - m.inserted - m.updated) <> (result.inserted, result.updated, result.unchanged);
		INSERT INTO problems SELECT 'processed counts the ids of the run once', round WHERE result.processed <> processed;
		INSERT INTO problems SELECT 'total is processed when it is not given', round WHERE result.total <> result.processed;
		INSERT INTO problems SELECT 'positions and votes of photos that stay do not change', round
			WHERE EXISTS (SELECT FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted" AND known ? "ExternalId"
				AND (known->"ExternalId"->>2, known->"ExternalId"->>3) IS DISTINCT FROM ("SortOrder"::text, "Voted"::text));
		INSERT INTO problems SELECT 'no two live photos share a position', round
			WHERE EXISTS (SELECT FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted" GROUP BY "SortOrder" HAVING count(*) > 1);
		INSERT INTO problems SELECT 'the tag is Ready after a last page, Syncing after any other', round
			FROM "AlbumTags" WHERE "Id" = tag() AND "Status" <> CASE WHEN last THEN 2 ELSE 1 END;
		INSERT INTO problems SELECT 'before the last page nothing is removed', round WHERE NOT last AND result.removed > 0;
		INSERT INTO problems SELECT 'after the last page the photos are exactly those of the run', round
			WHERE last AND EXISTS (SELECT FROM (SELECT "ExternalId" FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted") p (id)
				FULL JOIN run USING (id) WHERE p.id IS NULL OR run.id IS NULL);
		INSERT INTO problems SELECT 'after the last page no page is remembered', round
			WHERE last AND EXISTS (SELECT FROM "PhotoSyncPages" WHERE "AlbumTagId" = tag());
		INSERT INTO problems SELECT 'a page remembers only what is new to the run', round
			WHERE EXISTS (SELECT FROM "PhotoSyncPages", unnest("ExternalIds") id WHERE "AlbumTagId" = tag() GROUP BY id HAVING count(*) > 1);

		-- a retry of a page that is not the last, and a last page again when the run was one page
		IF NOT last OR processed = (SELECT count(*) FROM page_photos(page)) THEN
			before := fingerprint();
			PERFORM photoflow.sync_photos(tag(), page, NULL, last);
			INSERT INTO problems SELECT 'the same page again writes and locks nothing', round WHERE fingerprint() <> before;
		END IF;
		UPDATE "PhotoProcs" SET "Voted" = random() < 0.5 WHERE "AlbumTagId" = tag() AND NOT "IsDeleted" AND random() < 0.1;
		DELETE FROM run WHERE last;
	END LOOP;
END $$;
CALL sync_randomly(120);
SELECT is((SELECT string_agg(DISTINCT round::text, ', ') FROM problems p WHERE p.law = l.law), NULL, 'sync_photos: ' || l.law)
FROM (VALUES ('every photo of the page is stored as listed'), ('inserted, updated and unchanged are what the model says'),
	('processed counts the ids of the run once'), ('total is processed when it is not given'),
	('positions and votes of photos that stay do not change'), ('no two live photos share a position'),
	('the tag is Ready after a last page, Syncing after any other'), ('before the last page nothing is removed'),
	('after the last page the photos are exactly those of the run'), ('after the last page no page is remembered'),
	('a page remembers only what is new to the run'), ('the same page again writes and locks nothing')) AS l (law);
SELECT is((SELECT count(*) FROM "PhotoProcs" WHERE "AlbumTagId" = '00000000-0000-0000-0000-0000000000b2' AND NOT "IsDeleted"
	AND "CreatedAt" = "ModifiedAt"), 2::bigint, 'sync_photos: photos of another tag are not touched');

-- (whatever listing the walk has left open ends here)
SELECT count(*) FROM photoflow.sync_photos(tag(), '[]', NULL, true) \g /dev/null
-- a table that did not change in size after its plans were made, then did: still one pass
SELECT is((SELECT (inserted, removed >= 0, processed)::text FROM photoflow.sync_photos(tag(), (SELECT jsonb_agg(jsonb_build_object(
	'id', 'g' || n, 'name', 'g' || n, 'mimeType', 'image/jpeg')) FROM generate_series(1, 10000) n), 10000, true)), '(10000,t,10000)',
	'sync_photos: 10,000 new photos in one call');

-- reorder_photos
CREATE FUNCTION reorder_randomly() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	named uuid[];
	expected uuid[];
	before int[];
	moved int;
BEGIN
	SELECT array_agg("Id" ORDER BY random()) INTO named FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted" AND random() < 0.4;
	SELECT coalesce(named, '{}') || array_agg("Id" ORDER BY "SortOrder", "Id") FILTER (WHERE "Id" <> ALL (coalesce(named, '{}')))
		INTO expected FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted";
	SELECT array_agg("SortOrder" ORDER BY array_position(expected, "Id")) INTO before FROM "PhotoProcs" WHERE "Id" = ANY (expected);
	moved := photoflow.reorder_photos(tag(), coalesce(named, '{}'));
	IF (SELECT array_agg("Id" ORDER BY "SortOrder") FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted") <> expected THEN
		RETURN 'wrong order';
	ELSIF moved <> (SELECT count(*) FROM unnest(before) WITH ORDINALITY b (old, n) WHERE old <> n - 1) THEN
		RETURN 'wrong count';
	END IF;
	RETURN CASE WHEN photoflow.reorder_photos(tag(), expected) <> 0 THEN 'moved again' END;
END $$;
SELECT photoflow.sync_photos(tag(), (SELECT jsonb_agg(jsonb_build_object('id', 'h' || n, 'name', 'h', 'mimeType', 'image/jpeg'))
	FROM generate_series(1, 60) n), NULL, true) \g /dev/null
SELECT is((SELECT string_agg(reorder_randomly(), ', ') FROM generate_series(1, 40)), NULL,
	'reorder_photos: named photos first, the others after them in their order; only what moves is counted');
SELECT is((SELECT array_agg("SortOrder" ORDER BY "SortOrder") FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted"),
	ARRAY(SELECT generate_series(0, 59)), 'reorder_photos: positions are 0 to n - 1');

-- vote
CREATE FUNCTION vote_randomly() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	photos uuid[];
	wanted boolean := random() < 0.5;
	differing int;
BEGIN
	SELECT coalesce(array_agg("Id" ORDER BY random()), '{}'), count(*) FILTER (WHERE "Voted" <> wanted) INTO photos, differing
		FROM "PhotoProcs" WHERE "AlbumTagId" = tag() AND NOT "IsDeleted" AND random() < 0.5;
	IF photoflow.vote(photos || photos, wanted) <> differing THEN
		RETURN 'wrong count';
	END IF;
	RETURN CASE WHEN EXISTS (SELECT FROM "PhotoProcs" WHERE "Id" = ANY (photos) AND "Voted" <> wanted) THEN 'not voted' END;
END $$;
SELECT is((SELECT string_agg(vote_randomly(), ', ') FROM generate_series(1, 40)), NULL, 'vote: exactly the photos whose vote differs change');

-- one album in each state of the workflow
INSERT INTO "Albums" ("Id", "Name", "AlbumState")
	SELECT ('00000000-0000-0000-0000-00000000a1' || (10 + (s->>'value')::int))::uuid, s->>'name', (s->>'value')::int
	FROM "WorkflowVersions", jsonb_array_elements("Definition"->'states') s WHERE "Version" = 1;
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") SELECT "Id", "Id", 1 FROM "Albums" WHERE "Id"::text LIKE '%-00000000a1__';
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName") SELECT "Id", "Id", 'x' FROM "AlbumTags" WHERE "Id"::text LIKE '%-00000000a1__';
CREATE FUNCTION vote_result(photo uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN photoflow.vote(ARRAY[photo])::text;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT is((SELECT string_agg("Name" || ' ' || vote_result("Id"), ', ' ORDER BY "Id") FROM "Albums" WHERE "Id"::text LIKE '%-00000000a1__'),
	'Init PF001, Raw PF001, Stock 1, Rate PF001, RateSync PF001, Retouch PF001, Feedback PF001, Revision PF001, Confirmed PF001, '
	'Finish PF001, Closed PF001', 'vote: only in a state that allows rating');

-- tenants
SELECT photoflow.set_context('00000000-0000-0000-0000-000000000009');
SELECT is(vote_result('00000000-0000-0000-0000-0000000000c1'), vote_result('00000000-0000-0000-0000-0000000000ff'),
	'vote: another organization''s photo looks like one that does not exist');
SELECT throws_ok(format('SELECT photoflow.sync_photos(%L, ''[]'')', tag()), 'PF005', NULL, 'sync_photos: so does another organization''s tag');
SELECT * FROM finish();
ROLLBACK;
