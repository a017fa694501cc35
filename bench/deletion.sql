-- deletion.sql: marking rows against the UPDATEs that do it by hand, bringing them back, what is live, and purging.
LOAD 'photoflow';
SET photoflow.user_id = '00000000-0000-4000-8009-000000000001';

-- Albums of one stage, with so many photos in each, and so many comments on each photo of the first albums; 0.5 comments
-- are on every other photo. As bench.fill(): every variant begins with the same tables.
CREATE PROCEDURE bench.fill_photos(albums int, photos int, comments numeric, commented int) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id');
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "Albums" CASCADE;
	INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState", "WorkflowVersion")
	SELECT bench.uuid(1, a), org, 'album ' || a, 0, 1 FROM generate_series(1, albums) AS a;
	INSERT INTO "AlbumTags" ("Id", "OrgId", "AlbumId", "Type")
	SELECT bench.uuid(2, a), org, bench.uuid(1, a), 0 FROM generate_series(1, albums) AS a;
	INSERT INTO "PhotoProcs" ("Id", "OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder")
	SELECT bench.uuid(3, n), org, bench.uuid(2, (n - 1) / photos + 1), 'IMG_' || n || '.JPG', md5(n::text), n
	FROM generate_series(1, albums * photos) AS n;
	INSERT INTO "PhotoComments" ("Id", "OrgId", "PhotoProcId", "Content")
	SELECT bench.uuid(4, n), org, bench.uuid(3, floor((n - 1) / comments)::int + 1), 'comment ' || n
	FROM generate_series(1, (commented * photos * comments)::int) AS n;
	COMMIT;
	PERFORM count(*) FROM "PhotoProcs";
	PERFORM count(*) FROM "PhotoComments";
	ANALYZE "Albums", "AlbumTags", "PhotoProcs", "PhotoComments", "PhotoLikes";
	COMMIT;
END $$;

CREATE PROCEDURE bench.use_on_photos(VARIADIC names text[]) LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.use_on(ARRAY['"Albums"', '"AlbumTags"', '"PhotoProcs"', '"PhotoComments"', '"PhotoLikes"']::regclass[], names);
END $$;

-- A variant that has not done the work is not measured. Hint bits are set on the way.
CREATE PROCEDURE bench.check_deleted(albums bigint, photos bigint, comments bigint) LANGUAGE plpgsql AS $$
DECLARE
	found text := concat_ws(', ', (SELECT count(*) FROM "Albums" WHERE "IsDeleted" AND "DeletionId" IS NOT NULL),
		(SELECT count(*) FROM "PhotoProcs" WHERE "IsDeleted" AND "DeletionId" IS NOT NULL),
		(SELECT count(*) FROM "PhotoComments" WHERE "IsDeleted" AND "DeletionId" IS NOT NULL));
BEGIN
	IF found <> concat_ws(', ', albums, photos, comments) THEN
		RAISE EXCEPTION 'albums, photos and comments deleted: %, not %, %, %', found, albums, photos, comments;
	END IF;
	COMMIT;
END $$;

-- what is set by hand
CREATE FUNCTION bench.marks(deletion uuid) RETURNS text LANGUAGE sql STABLE
	RETURN format('"IsDeleted" = true, "DeletedAt" = now(), "DeletedBy" = %L, "DeletionId" = %L', photoflow.current_user_id(), deletion);

-- An album with all below it ----------------------------------------------------------------------------------------

-- every variant of every round takes another album of the same tables
CREATE PROCEDURE bench.album_rounds(rounds int, photos int, comments int) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id');
	rows int := 2 + photos * (1 + comments);
	album uuid;
	marks text;
	tags text;
	below text;
BEGIN
	CALL bench.fill_photos(3 * rounds, photos, comments, 3 * rounds);
	FOR taken IN 1 .. 3 * rounds LOOP
		album := bench.uuid(1, taken);
		marks := bench.marks(photoflow.uuid_v7());
		tags := format('ARRAY(SELECT "Id" FROM "AlbumTags" WHERE "OrgId" = %L AND "AlbumId" = %L)', org, album);
		below := format('ARRAY(SELECT "Id" FROM "PhotoProcs" WHERE "OrgId" = %L AND "AlbumTagId" = ANY (%s))', org, tags);
		CASE taken % 3
		WHEN 1 THEN
			CALL bench.use_on_photos('none');
			CALL bench.measure('deletion', 'an album', 'by hand, five UPDATEs', (taken + 2) / 3, rows,
				format('UPDATE "Albums" SET %s WHERE "OrgId" = %L AND "Id" = %L AND NOT "IsDeleted"', marks, org, album),
				format('UPDATE "AlbumTags" SET %s WHERE "OrgId" = %L AND "AlbumId" = %L AND NOT "IsDeleted"', marks, org, album),
				format('UPDATE "PhotoProcs" SET %s WHERE "OrgId" = %L AND "AlbumTagId" = ANY (%s) AND NOT "IsDeleted"', marks, org, tags),
				format('UPDATE "PhotoComments" SET %s WHERE "OrgId" = %L AND "PhotoProcId" = ANY (%s) AND NOT "IsDeleted"', marks, org, below),
				format('UPDATE "PhotoLikes" SET %s WHERE "OrgId" = %L AND "PhotoProcId" = ANY (%s) AND NOT "IsDeleted"', marks, org, below));
		WHEN 2 THEN
			CALL bench.use_on_photos('photoflow');
			CALL bench.measure('deletion', 'an album', 'DELETE', (taken + 2) / 3, rows,
				format('DELETE FROM "Albums" WHERE "OrgId" = %L AND "Id" = %L', org, album));
		ELSE
			CALL bench.use_on_photos('cascade');
			CALL bench.measure('deletion', 'an album', 'PL/pgSQL triggers', (taken + 2) / 3, rows,
				format('UPDATE "Albums" SET %s WHERE "OrgId" = %L AND "Id" = %L AND NOT "IsDeleted"', marks, org, album));
		END CASE;
		CALL bench.check_deleted(taken, taken * photos, taken * photos * comments);
	END LOOP;
END $$;

INSERT INTO bench.bounds VALUES ('deletion', 'an album', 'DELETE', 'by hand, five UPDATEs', 1.1);
CALL bench.album_rounds(9, (1000 * :scale)::int, 3);

-- One row, row by row inside the backend: 100 that make the plans, and those that are timed --------------------------------

CREATE PROCEDURE bench.delete_loop(variant text, round int, ids uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id');
	who uuid := current_setting('photoflow.user_id');
	deletions uuid[] := ARRAY(SELECT photoflow.uuid_v7() FROM unnest(ids));
	flag boolean := true;
	since bigint;
	row_id uuid;
	deletion uuid;
BEGIN
	FOR n IN 1 .. cardinality(ids) LOOP
		IF n = 101 THEN
			since := bench.cpu();
		END IF;
		row_id := ids[n];
		deletion := deletions[n];
		IF variant = 'comment: by hand' THEN
			UPDATE "PhotoComments" SET "IsDeleted" = true, "DeletedAt" = now(), "DeletedBy" = who, "DeletionId" = deletion
			WHERE "Id" = row_id AND "OrgId" = org AND NOT "IsDeleted";
		ELSIF variant = 'comment: DELETE' THEN
			DELETE FROM "PhotoComments" WHERE "Id" = row_id AND "OrgId" = org;
		ELSIF variant = 'photo: by hand' THEN
			UPDATE "PhotoProcs" SET "IsDeleted" = true, "DeletedAt" = now(), "DeletedBy" = who, "DeletionId" = deletion
			WHERE "Id" = row_id AND "OrgId" = org AND NOT "IsDeleted";
		ELSIF variant = 'photo: DELETE' THEN
			DELETE FROM "PhotoProcs" WHERE "Id" = row_id AND "OrgId" = org;
		ELSE
			UPDATE "PhotoProcs" SET "IsDeleted" = flag WHERE "Id" = row_id AND "OrgId" = org;
		END IF;
	END LOOP;
	CALL bench.record('deletion', 'a row, loop in the backend', variant, round, cardinality(ids) - 100, since);
	COMMIT;
END $$;

-- the photos are those without comments
CREATE PROCEDURE bench.delete_loop_rounds(rounds int, size int) LANGUAGE plpgsql AS $$
DECLARE
	variant record;
	ids uuid[];
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.fill_photos(100, 6 * size / 100, 0.5, 100);
		FOR variant IN SELECT * FROM (VALUES
			(1, 'comment: by hand', 'none', 4, 0), (2, 'comment: DELETE', 'photoflow', 4, 1), (3, 'photo: by hand', 'none', 3, 0),
			(4, 'photo: DELETE', 'photoflow', 3, 1), (5, 'photo: UPDATE, parameter', 'photoflow', 3, 2))
			AS v (n, name, triggers, kind, slice) ORDER BY n
		LOOP
			CALL bench.use_on_photos(variant.triggers);
			ids := ARRAY(SELECT bench.uuid(variant.kind, CASE variant.kind WHEN 3 THEN 2 * n ELSE n END)
				FROM generate_series(variant.slice * size + 1, (variant.slice + 1) * size) AS n ORDER BY random());
			CALL bench.delete_loop(variant.name, round, ids);
		END LOOP;
		CALL bench.check_deleted(0, 3 * size, 2 * size);
	END LOOP;
END $$;

INSERT INTO bench.bounds
SELECT 'deletion', part, v.variant, v.reference, 1.2
FROM (VALUES ('a row, loop in the backend'), ('prepared, a round trip each'), ('prepared, a round trip in all')) AS p (part),
	(VALUES ('comment: DELETE', 'comment: by hand'), ('photo: DELETE', 'photo: by hand'),
		('photo: UPDATE, parameter', 'photo: by hand')) AS v (variant, reference);
CALL bench.delete_loop_rounds(9, 100 + (5000 * :scale)::int);

-- Many photos at once, and back again ---------------------------------------------------------------------------------

-- Those of all but ten albums, which have the comments. The deletion that is brought back by hand was made by hand, that of
-- restore() by DELETE: the same rows in the same order.
CREATE PROCEDURE bench.bulk_delete_round(round int, albums int, photos int) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id');
	size int := albums * photos;
	deletion uuid := photoflow.uuid_v7();
	which text := format('"OrgId" = %L AND "AlbumTagId" > %L', org, bench.uuid(2, 10));
	marked text := format('UPDATE "PhotoProcs" SET %s WHERE %s AND NOT "IsDeleted"', bench.marks(deletion), which);
BEGIN
	CALL bench.use_on_photos('none');
	CALL bench.fill_photos(10 + albums, photos, 3, 10);
	CALL bench.measure('deletion', 'photos', 'by hand', round, size, marked);
	CALL bench.check_deleted(0, size, 0);
	CALL bench.measure('deletion', 'photos brought back', 'by hand', round, size, format('UPDATE "PhotoProcs"
		SET "IsDeleted" = false, "DeletedAt" = NULL, "DeletedBy" = NULL, "DeletionId" = NULL WHERE "OrgId" = %L AND "DeletionId" = %L',
		org, deletion));
	CALL bench.check_deleted(0, 0, 0);

	CALL bench.use_on_photos('photoflow');
	CALL bench.fill_photos(10 + albums, photos, 3, 10);
	CALL bench.measure('deletion', 'photos', 'DELETE', round, size, format('DELETE FROM "PhotoProcs" WHERE %s', which));
	CALL bench.check_deleted(0, size, 0);
	deletion := (SELECT "DeletionId" FROM "PhotoProcs" WHERE "IsDeleted" LIMIT 1);
	CALL bench.measure('deletion', 'photos brought back', 'restore()', round, size, format('SELECT photoflow.restore(%L)', deletion));
	CALL bench.check_deleted(0, 0, 0);

	CALL bench.fill_photos(10 + albums, photos, 3, 10);
	CALL bench.measure('deletion', 'photos', 'UPDATE SET "IsDeleted" = true', round, size,
		format('UPDATE "PhotoProcs" SET "IsDeleted" = true WHERE %s', which));
	CALL bench.check_deleted(0, size, 0);

	CALL bench.use_on_photos('cascade');
	CALL bench.fill_photos(10 + albums, photos, 3, 10);
	CALL bench.measure('deletion', 'photos', 'PL/pgSQL triggers', round, size, marked);
	CALL bench.check_deleted(0, size, 0);
END $$;

-- every other photo of ten albums, named by its id; the other ten have the comments
CREATE PROCEDURE bench.soft_delete_round(round int, size int) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id');
	ids uuid[] := ARRAY(SELECT bench.uuid(3, 2 * (size + n)) FROM generate_series(1, size) AS n);
BEGIN
	CALL bench.use_on_photos('none');
	CALL bench.fill_photos(20, size / 5, 3, 10);
	CALL bench.measure('deletion', 'photos by id', 'by hand', round, size,
		format('UPDATE "PhotoProcs" SET %s WHERE "OrgId" = %L AND "Id" = ANY (%L) AND NOT "IsDeleted"', bench.marks(photoflow.uuid_v7()), org, ids));
	CALL bench.check_deleted(0, size, 0);
	CALL bench.use_on_photos('photoflow');
	CALL bench.fill_photos(20, size / 5, 3, 10);
	CALL bench.measure('deletion', 'photos by id', 'soft_delete()', round, size,
		format('SELECT photoflow.soft_delete(%L, %L)', '"PhotoProcs"', ids));
	CALL bench.check_deleted(0, size, 0);
END $$;

CREATE PROCEDURE bench.bulk_delete_rounds(rounds int, size int) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.bulk_delete_round(round, 100, size / 100);
		CALL bench.soft_delete_round(round, size / 10);
	END LOOP;
END $$;

INSERT INTO bench.bounds VALUES
('deletion', 'photos', 'DELETE', 'by hand', 1.3),
('deletion', 'photos', 'UPDATE SET "IsDeleted" = true', 'by hand', 1.3),
('deletion', 'photos by id', 'soft_delete()', 'by hand', 1.3),
('deletion', 'photos brought back', 'restore()', 'by hand', 1.3);
CALL bench.bulk_delete_rounds(7, (100000 * :scale)::int);

-- What is live, among what is deleted ---------------------------------------------------------------------------------

-- Two organizations with as many live albums and as many live photos in a stage. The first has nine times as many more,
-- which are then deleted; what is live is spread over as many pages in both.
CREATE PROCEDURE bench.fill_lists(live int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "Albums" CASCADE;
	INSERT INTO "Organizations" ("Id", "Name") SELECT bench.uuid(0, 900 + o), 'studio ' || o FROM generate_series(1, 2) AS o;
	INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState", "WorkflowVersion")
	SELECT bench.uuid(1, 2 * n + o), bench.uuid(0, 900 + o), 'album ' || n, 0, 1
	FROM generate_series(1, 10 * live) AS n, generate_series(1, 2) AS o WHERE o = 1 OR n % 10 = 0 ORDER BY n, o;
	INSERT INTO "AlbumTags" ("Id", "OrgId", "AlbumId", "Type")
	SELECT bench.uuid(2, o), bench.uuid(0, 900 + o), bench.uuid(1, 20 + o), 0 FROM generate_series(1, 2) AS o;
	INSERT INTO "PhotoProcs" ("Id", "OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder")
	SELECT bench.uuid(3, 2 * n + o), bench.uuid(0, 900 + o), bench.uuid(2, o), 'IMG_' || n || '.JPG', md5(n::text), n
	FROM generate_series(1, 10 * live) AS n, generate_series(1, 2) AS o WHERE o = 1 OR n % 10 = 0 ORDER BY n, o;
	SET LOCAL session_replication_role = origin;
	PERFORM set_config('photoflow.org_id', bench.uuid(0, 901)::text, true);
	DELETE FROM "Albums" WHERE "OrgId" = bench.uuid(0, 901) AND substring("Name" FROM 7)::int % 10 <> 0;
	DELETE FROM "PhotoProcs" WHERE "OrgId" = bench.uuid(0, 901) AND "SortOrder" % 10 <> 0;
	COMMIT;
	CALL bench.check_deleted(9 * live, 9 * live, 0);
END $$;

CREATE PROCEDURE bench.list_rounds(rounds int, times int) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	org uuid;
	tag uuid;
	variant text;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR o IN REVERSE 2 .. 1 LOOP
			org := bench.uuid(0, 900 + o);
			tag := bench.uuid(2, o);
			variant := CASE o WHEN 1 THEN 'nine in ten are deleted' ELSE 'none is deleted' END;
			FOR n IN 1 .. times + 10 LOOP		-- the first ten make the plans
				IF n = 11 THEN
					since := bench.cpu();
				END IF;
				PERFORM "Id", "FileName", "SortOrder" FROM "PhotoProcs"
				WHERE "OrgId" = org AND "AlbumTagId" = tag AND NOT "IsDeleted" ORDER BY "SortOrder" LIMIT 50;
			END LOOP;
			CALL bench.record('deletion', 'page of 50 live photos', variant, round, times, since);
			FOR n IN 1 .. times + 10 LOOP
				IF n = 11 THEN
					since := bench.cpu();
				END IF;
				PERFORM "Id", "Name", "AlbumState" FROM "Albums" WHERE "OrgId" = org AND NOT "IsDeleted" ORDER BY "Id" DESC LIMIT 50;
			END LOOP;
			CALL bench.record('deletion', 'page of 50 live albums, newest first', variant, round, times, since);
			COMMIT;
		END LOOP;
	END LOOP;
END $$;

INSERT INTO bench.bounds VALUES
('deletion', 'page of 50 live photos', 'nine in ten are deleted', 'none is deleted', 1.1),
('deletion', 'page of 50 live albums, newest first', 'nine in ten are deleted', 'none is deleted', 1.1);
CALL bench.use_on_photos('photoflow');
CALL bench.fill_lists((1000 * :scale)::int);
VACUUM (ANALYZE) "Albums", "AlbumTags", "PhotoProcs";
SET plan_cache_mode = force_generic_plan;
CALL bench.list_rounds(9, 400);
RESET plan_cache_mode;

\ir purge.sql
