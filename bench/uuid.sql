-- uuid.sql: making uuids, and what their order saves in the WAL of a primary key.
CREATE TABLE bench.keyed (id uuid PRIMARY KEY);

-- what is often used without photoflow
CREATE FUNCTION bench.uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
	SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
		PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
		52, 1), 53, 1), 'hex')::uuid;
$$;

CREATE PROCEDURE bench.uuid_rounds(ids int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
	make text;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOREACH make IN ARRAY ARRAY['gen_random_uuid()', 'photoflow.uuid_v7()', 'bench.uuid_v7()'] LOOP
			CALL bench.measure('uuid', 'calls', CASE make WHEN 'bench.uuid_v7()' THEN 'v7 in SQL' ELSE make END, round, ids,
							   format('SELECT count(%s) FROM generate_series(1, %s)', make, ids));
		END LOOP;
	END LOOP;
END $$;

-- in parts, each beginning with a checkpoint: with full_page_writes the first change of a page brings the whole page
CREATE PROCEDURE bench.keyed_round(part text, round int, ids int, parts int) LANGUAGE plpgsql AS $$
DECLARE
	make text;
	since bigint;
	spent bigint;
	start pg_lsn;
	wal numeric;
BEGIN
	FOREACH make IN ARRAY ARRAY['gen_random_uuid()', 'photoflow.uuid_v7()'] LOOP
		TRUNCATE bench.keyed;
		COMMIT;
		spent := 0;
		wal := 0;
		FOR n IN 1 .. parts LOOP
			CHECKPOINT;
			start := pg_current_wal_insert_lsn();
			since := bench.cpu();
			EXECUTE format('INSERT INTO bench.keyed SELECT %s FROM generate_series(1, %s)', make, ids / parts);
			spent := spent + bench.cpu() - since;
			wal := wal + (pg_current_wal_insert_lsn() - start);
			COMMIT;
		END LOOP;
		INSERT INTO bench.results VALUES ('uuid', part, make, round, spent / 1000.0 / ids, wal / ids);
	END LOOP;
END $$;

INSERT INTO bench.bounds VALUES
('uuid', 'calls', 'photoflow.uuid_v7()', 'gen_random_uuid()', 1),
('uuid', 'insert at once', 'photoflow.uuid_v7()', 'gen_random_uuid()', NULL),
('uuid', 'insert in 10 parts', 'photoflow.uuid_v7()', 'gen_random_uuid()', NULL);
CALL bench.uuid_rounds((1000000 * :scale)::int, 7);
ALTER SYSTEM SET full_page_writes = on;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(0.5) \g /dev/null
\connect
CALL bench.keyed_round('insert at once', 1, (1000000 * :scale)::int, 1);
CALL bench.keyed_round('insert in 10 parts', 1, (1000000 * :scale)::int, 10);
CALL bench.keyed_round('insert at once', 2, (1000000 * :scale)::int, 1);
CALL bench.keyed_round('insert in 10 parts', 2, (1000000 * :scale)::int, 10);
CALL bench.keyed_round('insert at once', 3, (1000000 * :scale)::int, 1);
CALL bench.keyed_round('insert in 10 parts', 3, (1000000 * :scale)::int, 10);
ALTER SYSTEM SET full_page_writes = off;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(0.5) \g /dev/null
