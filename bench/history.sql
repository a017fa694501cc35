-- history.sql: the same UPDATE with its history, against the UPDATE and one INSERT .. SELECT by hand.
CREATE PROCEDURE bench.history(size int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	change text := 'UPDATE "Albums" SET "AlbumState" = 4, "ModifiedAt" = now()';
	write text := 'INSERT INTO "AlbumTransitions"
		("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
		SELECT "OrgId", "Id", %s(), "WorkflowVersion", 3, 4, now(), ''Rate'', ''photographer'' FROM "Albums" WHERE "AlbumState" = 4';
	nothing text := 'SELECT';
	variant record;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES
			(1, 'bare, no history', 'none', nothing, 'off'),
			(2, 'by hand', 'none', format(write, 'gen_random_uuid'), 'off'),
			(3, 'by hand, ids by uuid_v7()', 'none', format(write, 'photoflow.uuid_v7'), 'off'),
			(4, 'photoflow', 'photoflow', nothing, 'off'),
			(5, 'photoflow, events = notify', 'photoflow', nothing, 'notify'),
			(6, 'PL/pgSQL look-up + statement', '{check_lookup,history_statement}', nothing, 'off'),
			(7, 'PL/pgSQL look-up + row', '{check_lookup,history_row}', nothing, 'off'))
			AS v (n, name, triggers, afterwards, events) ORDER BY n
		LOOP
			CALL bench.use(VARIADIC CASE WHEN variant.triggers LIKE '{%' THEN variant.triggers::text[] ELSE ARRAY[variant.triggers] END);
			CALL bench.fill(size);
			PERFORM set_config('photoflow.events', variant.events, false);
			CALL bench.measure('history', 'rules and history', variant.name, round, size, change, variant.afterwards);
			CALL bench.check_history(CASE variant.name WHEN 'bare, no history' THEN 0 ELSE size END);
		END LOOP;
	END LOOP;
END $$;
INSERT INTO bench.bounds VALUES
('history', 'rules and history', 'photoflow', 'by hand', 0.85),
('history', 'rules and history', 'photoflow', 'by hand, ids by uuid_v7()', 0.85),
('history', 'rules and history', 'photoflow, events = notify', 'by hand', NULL),
('history', 'rules and history', 'PL/pgSQL look-up + statement', 'by hand', NULL),
('history', 'rules and history', 'PL/pgSQL look-up + row', 'by hand', NULL);
CALL bench.history((100000 * :scale)::int, 7);
