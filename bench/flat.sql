-- flat.sql: what a transition costs among 10,000, 100,000 and 1,000,000 albums.
-- The work by hand is measured in the same tables: what grows with them grows in both.
CREATE PROCEDURE bench.flat_round(round int, size int, fired int) LANGUAGE plpgsql AS $$
DECLARE
	change text := 'UPDATE "Albums" SET "AlbumState" = 4, "ModifiedAt" = now()';
	write text := 'INSERT INTO "AlbumTransitions"
		("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
		SELECT "OrgId", "Id", gen_random_uuid(), "WorkflowVersion", 3, 4, now(), ''Rate'', ''photographer'' FROM "Albums"';
	ids uuid[] := ARRAY(SELECT id FROM bench.albums WHERE n <= size ORDER BY random() LIMIT 100 + fired);
	name text := to_char(size, 'FM9,999,999') || ' albums';
BEGIN
	CALL bench.use('photoflow');
	CALL bench.fill(size);
	CALL bench.measure('flat', 'photoflow, bulk', name, round, size, change);
	CALL bench.check_history(size);
	CALL bench.fill(size);
	CALL bench.fire_loop('fire', 'flat', 'photoflow, fire() at random', name, round, ids);
	CALL bench.check_history(cardinality(ids));
	CALL bench.use('none');
	CALL bench.fill(size);
	CALL bench.measure('flat', 'by hand, bulk', name, round, size, change, write);
	CALL bench.check_history(size);
	CALL bench.fill(size);
	CALL bench.fire_loop('by hand', 'flat', 'by hand, at random', name, round, ids);
	CALL bench.check_history(cardinality(ids));
END $$;

CREATE PROCEDURE bench.flat_rounds(smallest int, fired int, rounds int) LANGUAGE plpgsql AS $$
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.flat_round(round, smallest, fired);
		CALL bench.flat_round(round, smallest * 10, fired);
		IF round <= 3 THEN
			CALL bench.flat_round(round, smallest * 100, fired);
		END IF;
	END LOOP;
END $$;

CALL bench.flat_rounds((10000 * :scale)::int, (2000 * :scale)::int, 7);
