-- albums.sql: albums in state Rate that can be put back before every measurement, and the triggers on them.
INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-0000-0000-00000000000a', 'Bench');
CREATE TABLE bench.albums (n int PRIMARY KEY, id uuid NOT NULL);
INSERT INTO bench.albums SELECT n, photoflow.uuid_v7()
FROM generate_series(1, (SELECT greatest(100000, 1000000 * :scale))::int) AS n;
VACUUM ANALYZE bench.albums;

-- Fills "Albums" with the first albums in state Rate. No trigger and no foreign key is asked; hint bits are set and
-- statistics are fresh, so that every variant begins with the same table.
CREATE PROCEDURE bench.fill(size int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "Albums", "AlbumTransitions" CASCADE;
	INSERT INTO "Albums" ("Id", "Name", "AlbumState", "WorkflowVersion", "OrgId", "AssigneeId", "ProviderId")
	SELECT id, 'album ' || n, 3, 1, '00000000-0000-0000-0000-00000000000a', id, id FROM bench.albums WHERE n <= size ORDER BY n;
	COMMIT;
	PERFORM count(*) FROM "Albums";
	ANALYZE "Albums", "AlbumTransitions";
	COMMIT;
END $$;

-- photoflow's triggers beside those of plpgsql.sql
INSERT INTO bench.triggers
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = '"Albums"'::regclass AND NOT tgisinternal;

-- Leaves exactly these triggers on "Albums". Foreign keys and indexes stay, also for the bare statement. A disabled
-- trigger would cost a little, so they are dropped.
CREATE PROCEDURE bench.use(VARIADIC names text[]) LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	FOR command IN
		SELECT format('DROP TRIGGER %I ON "Albums"', tgname) FROM pg_trigger WHERE tgrelid = '"Albums"'::regclass AND NOT tgisinternal
		UNION ALL
		SELECT definition FROM bench.triggers WHERE name = ANY (names)
		OR (names @> '{photoflow}' AND name LIKE 'Photoflow%')
	LOOP
		EXECUTE command;
	END LOOP;
	COMMIT;
END $$;
