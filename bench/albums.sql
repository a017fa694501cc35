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

-- photoflow's triggers beside those of plpgsql.sql, by the names of their functions
INSERT INTO bench.triggers
SELECT p.proname, pg_get_triggerdef(t.oid), 'photoflow', t.tgrelid FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE p.pronamespace = 'photoflow'::regnamespace;

-- Leaves exactly these triggers on some tables: those named, all of photoflow, or none. Foreign keys and indexes stay,
-- also for the bare statement. A disabled trigger would cost a little, so they are dropped.
CREATE PROCEDURE bench.use_on(relations regclass[], names text[]) LANGUAGE plpgsql AS $$
DECLARE
	wanted text;
	command text;
BEGIN
	FOR command IN SELECT format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger
		WHERE tgrelid = ANY (relations) AND NOT tgisinternal
	LOOP
		EXECUTE command;
	END LOOP;
	FOREACH wanted IN ARRAY array_remove(names, 'none') LOOP
		IF NOT EXISTS (SELECT FROM bench.triggers WHERE wanted IN (name, owner) AND relation = ANY (relations)) THEN
			RAISE EXCEPTION 'there is no trigger %', wanted;
		END IF;
		FOR command IN SELECT definition FROM bench.triggers WHERE wanted IN (name, owner) AND relation = ANY (relations) LOOP
			EXECUTE command;
		END LOOP;
	END LOOP;
	COMMIT;
END $$;

CREATE PROCEDURE bench.use(VARIADIC names text[]) LANGUAGE plpgsql AS $$
BEGIN
	CALL bench.use_on(ARRAY['"Albums"'::regclass], names);
END $$;

-- A variant that has not done the work is not measured.
CREATE PROCEDURE bench.check_history(expected bigint) LANGUAGE plpgsql AS $$
DECLARE
	found bigint := (SELECT count(*) FROM "AlbumTransitions");
BEGIN
	IF found <> expected THEN
		RAISE EXCEPTION '% transitions have been recorded, not %', found, expected;
	END IF;
	COMMIT;
END $$;
