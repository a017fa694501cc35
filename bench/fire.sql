-- fire.sql: one transition at a time, in a loop inside the backend; bench/client does it from a client.
CREATE PROCEDURE bench.fire_rounds(size int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	ids uuid[] := ARRAY(SELECT id FROM bench.albums WHERE n <= size ORDER BY random());
	variant record;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES
			(1, 'UPDATE only', 'update', 'none'),
			(2, 'by hand: UPDATE, INSERT', 'by hand', 'none'),
			(3, 'fire()', 'fire', 'photoflow'),
			(4, 'UPDATE with photoflow''s triggers', 'update', 'photoflow'),
			(5, 'PL/pgSQL fire()', 'plpgsql', 'none')) AS v (n, name, how, trigger) ORDER BY n
		LOOP
			CALL bench.use(variant.trigger);
			CALL bench.fill(size);
			CALL bench.fire_loop(variant.how, 'fire', 'loop in the backend', variant.name, round, ids);
			CALL bench.check_history(CASE variant.name WHEN 'UPDATE only' THEN 0 ELSE size END);
		END LOOP;
	END LOOP;
END $$;

INSERT INTO bench.bounds
SELECT 'fire', part, variant, 'by hand: UPDATE, INSERT', CASE WHEN part LIKE 'prepared%' THEN bound END
FROM (VALUES ('prepared, a round trip each'), ('prepared, a round trip in all'), ('loop in the backend')) AS p (part),
	 (VALUES ('fire()', 1.2), ('UPDATE with photoflow''s triggers', NULL), ('PL/pgSQL fire()', NULL)) AS v (variant, bound);
CALL bench.fire_rounds(100 + (5000 * :scale)::int, 9);
