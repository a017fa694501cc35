-- bulk.sql: an UPDATE of the state of 100,000 albums with the rules kept, without history.
CREATE PROCEDURE bench.bulk(size int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	variant record;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES
			(1, 'bare', 'none'),
			(2, 'photoflow', 'refuse_state_change'),
			(3, 'PL/pgSQL BEFORE ROW, CASE', 'check_case'),
			(4, 'PL/pgSQL BEFORE ROW, look-up', 'check_lookup'),
			(5, 'PL/pgSQL AFTER ROW WHEN, look-up', 'check_after')) AS v (n, name, trigger) ORDER BY n
		LOOP
			CALL bench.use(variant.trigger);
			CALL bench.fill(size);
			CALL bench.measure('bulk', 'rules', variant.name, round, size, 'UPDATE "Albums" SET "AlbumState" = 4, "ModifiedAt" = now()');
		END LOOP;
	END LOOP;
END $$;
INSERT INTO bench.bounds VALUES ('bulk', 'rules', 'photoflow', 'bare', 1.1);
CALL bench.bulk((100000 * :scale)::int, 9);
