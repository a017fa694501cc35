-- unrelated.sql: an UPDATE that does not name the state, in bulk and row by row in a loop; bench/client adds a client.
CREATE PROCEDURE bench.rename_rounds(size int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	few int := 100 + size / 10;
	ids uuid[] := ARRAY(SELECT id FROM bench.albums WHERE n <= few ORDER BY random());
	variant record;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES
			(1, 'bare', '{none}'),
			(2, 'photoflow', '{photoflow}'),
			(3, 'PL/pgSQL look-up + statement', '{check_lookup,history_statement}')) AS v (n, name, triggers) ORDER BY n
		LOOP
			CALL bench.use(VARIADIC variant.triggers::text[]);
			CALL bench.fill(size);
			CALL bench.measure('unrelated', 'bulk', variant.name, round, size, 'UPDATE "Albums" SET "Name" = ''x'', "ModifiedAt" = now()');
			CALL bench.fill(few);
			CALL bench.rename_loop(variant.name, round, ids);
		END LOOP;
	END LOOP;
END $$;

INSERT INTO bench.bounds
SELECT 'unrelated', part, 'photoflow', 'bare', 1.05
FROM (VALUES ('bulk'), ('loop in the backend'), ('prepared, a round trip each'), ('prepared, a round trip in all')) AS p (part);
CALL bench.rename_rounds((100000 * :scale)::int, 9);
