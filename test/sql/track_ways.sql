-- Changes of rows, whichever way they come: each is in the log once, as it was.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") VALUES (lab.org(78), 'Seventy-eight');
CREATE ROLE regress_track_app;
CREATE ROLE regress_track_writer;
SELECT photoflow.grant_app('regress_track_app');
-- What the log has got since it was asked last, in the order of "Id"; it is taken out.
CREATE TABLE lab.track_start AS SELECT photoflow.uuid_v7() AS id;
CREATE FUNCTION lab.taken(OUT action text, OUT entity_type text, OUT entity_id text, OUT changes jsonb) RETURNS SETOF record LANGUAGE sql SECURITY DEFINER SET photoflow.hard_delete = on AS $$
	WITH d AS (DELETE FROM "AuditLogs" WHERE "TransactionId" IS NOT NULL AND "Id" > (SELECT id FROM lab.track_start) RETURNING *)
	SELECT concat_ws(' ', d."Action", 'by ' || d."Operation", CASE WHEN d."Status" <> 'Success' OR d."IsDeleted" OR d."DbUser" IS NULL THEN 'but not so' END), d."EntityType", d."EntityId", d."Changes" FROM d ORDER BY d."Id"
$$;
-- What the log says that became of a table, from nothing, in the order of "Id"; what does not follow from what was before is a problem. And what really is there.
CREATE TABLE lab.replayed (id text PRIMARY KEY, r jsonb);
CREATE FUNCTION lab.replay(entity text, OUT id text, OUT n int, OUT t text, OUT problem text) RETURNS SETOF record LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	a "AuditLogs";
	old jsonb;
BEGIN
	DELETE FROM lab.replayed;
	FOR a IN SELECT * FROM "AuditLogs" l WHERE l."EntityType" = entity AND l."TransactionId" IS NOT NULL ORDER BY l."Id" LOOP
		old := (SELECT r FROM lab.replayed WHERE id = a."EntityId");
		CASE a."Action"
		WHEN 'insert' THEN
			problem := CASE WHEN old IS NOT NULL THEN a."EntityId" || ' came twice' END;
			INSERT INTO lab.replayed VALUES (a."EntityId", a."Changes") ON CONFLICT (id) DO UPDATE SET r = EXCLUDED.r;
		WHEN 'delete' THEN
			problem := CASE WHEN old IS DISTINCT FROM a."Changes" THEN format('%s went as %s, was %s', a."EntityId", a."Changes", old) END;
			DELETE FROM lab.replayed WHERE id = a."EntityId";
		WHEN 'update' THEN
			problem := (SELECT string_agg(format('%s had %s %s, not %s', a."EntityId", key, coalesce(old -> key, 'null'), value -> 0), ', ' ORDER BY key) FROM jsonb_each(a."Changes") WHERE coalesce(old -> key, 'null') <> value -> 0);
			old := coalesce(old, '{}') || (SELECT jsonb_object_agg(key, value -> 1) FROM jsonb_each(a."Changes"));
			DELETE FROM lab.replayed WHERE id = a."EntityId";
			INSERT INTO lab.replayed VALUES (coalesce(old ->> 'id', a."EntityId"), jsonb_strip_nulls(old));
		WHEN 'truncate' THEN
			DELETE FROM lab.replayed;
		END CASE;
		IF problem IS NOT NULL THEN
			RETURN NEXT;
			problem := NULL;
		END IF;
	END LOOP;
	RETURN QUERY SELECT id, (r ->> 'n')::int, r ->> 't', NULL::text FROM lab.replayed;
END $$;
CREATE FUNCTION lab.differs(entity text) RETURNS TABLE (what text, id text, n int, t text, problem text) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT ''log'', * FROM (SELECT * FROM lab.replay(%1$L) EXCEPT SELECT id::text, n, t, NULL FROM %1$s) x
		UNION ALL SELECT ''table'', * FROM (SELECT id::text, n, t, NULL FROM %1$s EXCEPT SELECT * FROM lab.replay(%1$L)) x ORDER BY 1, 2', entity);
END $$;

-- Every statement ------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.way (id int PRIMARY KEY, n int, t text);
CREATE TABLE lab.source (id int PRIMARY KEY, n int);
SELECT photoflow.track('lab.way');
-- empty ones
INSERT INTO lab.way SELECT 1, 2, 'x' WHERE false;
UPDATE lab.way SET n = 1;
DELETE FROM lab.way;
MERGE INTO lab.way USING lab.source s ON false WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1, 'x');
COPY lab.way FROM stdin;
\.
SELECT count(*) FROM lab.taken();
-- COPY, also into some of the columns
COPY lab.way FROM stdin;
1	10	a
2	20	\N
\.
COPY lab.way (id, t) FROM stdin (FORMAT csv);
3,"c ""q"" \, 'x'"
\.
SELECT * FROM lab.taken();
-- UPDATE FROM: a row that is joined twice changes once
INSERT INTO lab.source VALUES (1, 11), (2, 20), (9, 99);
UPDATE lab.way w SET n = s.n FROM lab.source s, generate_series(1, 3) WHERE w.id = s.id;
DELETE FROM lab.way w USING lab.source s WHERE w.id = s.id AND s.n = 20;
SELECT * FROM lab.taken();
-- ON CONFLICT
INSERT INTO lab.way VALUES (1, 0, 'z'), (4, 40, 'd') ON CONFLICT DO NOTHING;
INSERT INTO lab.way VALUES (1, 12, 'z'), (5, 50, 'e'), (4, 40, 'z') ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO lab.way VALUES (1, 13, 'z'), (6, 60, 'f') ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE false;
SELECT * FROM lab.taken();
-- MERGE
MERGE INTO lab.way w USING (VALUES (1, 14), (3, 0), (4, 40), (7, 70), (8, 0)) v (id, n) ON w.id = v.id
	WHEN MATCHED AND v.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = v.n WHEN NOT MATCHED AND v.n > 0 THEN INSERT VALUES (v.id, v.n, 'g') WHEN NOT MATCHED THEN DO NOTHING;
SELECT * FROM lab.taken() ORDER BY entity_id;
-- two changes of one table in one statement, by CTEs
WITH u AS (UPDATE lab.way SET n = n + 1 WHERE id < 5 RETURNING id), i AS (INSERT INTO lab.way VALUES (10, 100, 'j') RETURNING id), u2 AS (UPDATE lab.way SET t = t || '!' WHERE id > 5 RETURNING id), d AS (DELETE FROM lab.way WHERE id = 5 RETURNING id)
	SELECT (SELECT count(*) FROM u) AS u, (SELECT count(*) FROM i) AS i, (SELECT count(*) FROM u2) AS u2, (SELECT count(*) FROM d) AS d;
SELECT * FROM lab.taken() ORDER BY entity_id::int;
-- one that is never read is run all the same; two of a kind
WITH a AS (INSERT INTO lab.way VALUES (11, 110, 'k')), b AS (INSERT INTO lab.way VALUES (12, 120, 'l')) INSERT INTO lab.way VALUES (13, 130, 'm');
SELECT * FROM lab.taken() ORDER BY entity_id::int;
-- cursors
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM lab.way WHERE id > 10 ORDER BY id FOR UPDATE;
FETCH 1 FROM c;
UPDATE lab.way SET n = -n WHERE CURRENT OF c;
FETCH 1 FROM c;
DELETE FROM lab.way WHERE CURRENT OF c;
COMMIT;
SELECT * FROM lab.taken();
-- through a view, a function, a prepared statement, over and over; after which the table is another
CREATE VIEW lab.way_view AS SELECT id, n FROM lab.way WHERE id > 10 WITH CHECK OPTION;
UPDATE lab.way_view SET n = n + 1 WHERE id = 13;
INSERT INTO lab.way_view VALUES (14, 0);
PREPARE again (int) AS UPDATE lab.way SET n = n + $1 WHERE id = 14;
EXECUTE again (1);
EXECUTE again (0);
ALTER TABLE lab.way ADD extra int DEFAULT 7;
EXECUTE again (2);
DELETE FROM lab.way_view WHERE id = 14;
SELECT * FROM lab.taken();
ALTER TABLE lab.way DROP extra;
DROP VIEW lab.way_view;
DEALLOCATE again;
-- that fails, or is taken back; and what is in between
BEGIN;
UPDATE lab.way SET n = 1 WHERE id = 1;
SAVEPOINT a;
UPDATE lab.way SET n = 2 WHERE id = 1;
INSERT INTO lab.way VALUES (20, 0, 'lost');
SAVEPOINT b;
UPDATE lab.way SET n = 3 WHERE id = 1;
RELEASE b;
ROLLBACK TO a;
UPDATE lab.way SET n = 4 WHERE id = 1;
SAVEPOINT c;
INSERT INTO lab.way VALUES (21, 0, 'x'), (1, 0, 'again');
ROLLBACK TO c;
UPDATE lab.way SET n = 5 WHERE id = 1;
COMMIT;
DO $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			UPDATE lab.way SET n = n + 10 WHERE id = 4;
			IF i = 2 THEN
				RAISE division_by_zero;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
			UPDATE lab.way SET t = 'caught' WHERE id = 4;
		END;
	END LOOP;
END $$;
BEGIN;
UPDATE lab.way SET n = 0;
ROLLBACK;
SELECT * FROM lab.taken();
-- VACUUM FULL, CLUSTER, of the table and of the log
UPDATE lab.way SET n = 7 WHERE id = 1;
VACUUM FULL lab.way;
CLUSTER lab.way USING way_pkey;
UPDATE lab.way SET n = 8 WHERE id = 1;
VACUUM FULL "AuditLogs";
UPDATE lab.way SET n = 9 WHERE id = 1;
SELECT * FROM lab.taken();

-- a schema of another name
CREATE SCHEMA regress_track_schema;
CREATE TABLE regress_track_schema.t (id int PRIMARY KEY);
SELECT photoflow.track('regress_track_schema.t');
INSERT INTO regress_track_schema.t VALUES (1);
ALTER SCHEMA regress_track_schema RENAME TO regress_track_renamed;
INSERT INTO regress_track_renamed.t VALUES (2);
SELECT * FROM lab.taken();
DROP SCHEMA regress_track_renamed CASCADE;

-- Many rows, few rows ------------------------------------------------------------------------------------------------------------
TRUNCATE lab.way;
SELECT * FROM lab.taken();
INSERT INTO lab.way SELECT i, i, repeat('t', i % 50) FROM generate_series(1, 10000) i;
UPDATE lab.way SET n = n + 1 WHERE id % 10 <> 0;
UPDATE lab.way SET n = CASE WHEN id % 3 = 0 THEN -n ELSE n END, t = CASE WHEN id % 5 = 0 THEN 'five' ELSE t END;
DELETE FROM lab.way WHERE id % 2 = 0;
SELECT "Action", count(*), count(DISTINCT "EntityId") AS rows, count(DISTINCT "Id") AS ids, count(DISTINCT "TransactionId") AS transactions, count(DISTINCT "CreatedAt") AS times FROM "AuditLogs" WHERE "EntityType" = 'lab.way' GROUP BY 1 ORDER BY min("Id"::text);
SELECT * FROM lab.differs('lab.way');
-- in the order in which they were changed
SELECT bool_and("EntityId"::int = n) AS in_order FROM (SELECT "EntityId", row_number() OVER (ORDER BY "Id") AS n FROM "AuditLogs" WHERE "EntityType" = 'lab.way' AND "Action" = 'insert') x;
SELECT count(*) FROM lab.taken();
-- in as many statements
DO $$
BEGIN
	FOR i IN 1 .. 2000 LOOP
		INSERT INTO lab.way VALUES (-i, i, i);
		UPDATE lab.way SET n = n + 1 WHERE id = -i;
		IF i % 2 = 0 THEN
			DELETE FROM lab.way WHERE id = -i;
		END IF;
	END LOOP;
END $$;
SELECT action, count(*), count(DISTINCT entity_id) AS rows FROM lab.taken() GROUP BY 1 ORDER BY 1;

-- Triggers ---------------------------------------------------------------------------------------------------------------------
TRUNCATE lab.way;
SELECT photoflow.track('lab.source');
CREATE FUNCTION lab.way_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF new.t = 'skip' THEN
		RETURN NULL;
	ELSIF new.t = 'same' THEN
		RETURN old;
	END IF;
	new.t := upper(new.t);
	RETURN new;
END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE ON lab.way FOR EACH ROW EXECUTE FUNCTION lab.way_before();
SELECT count(*) FROM lab.taken() WHERE action <> 'truncate';
-- what a BEFORE trigger made of it
INSERT INTO lab.way VALUES (1, 1, 'a'), (2, 2, 'skip'), (3, 3, 'c');
UPDATE lab.way SET n = 9, t = 'same';
UPDATE lab.way SET n = 4, t = 'skip' WHERE id = 1;
UPDATE lab.way SET n = 5, t = 'b' WHERE id = 1;
SELECT * FROM lab.taken();
DROP TRIGGER before ON lab.way;
-- a trigger that changes another table, which has one that changes the first
CREATE FUNCTION lab.way_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_table_name = 'way' THEN
		INSERT INTO lab.source VALUES (new.id, 1) ON CONFLICT (id) DO UPDATE SET n = source.n + 1;
	ELSIF new.n < 3 THEN
		UPDATE lab.way SET n = n + 100 WHERE id = new.id;
	END IF;
	RETURN NULL;
END $$;
TRUNCATE lab.source;
CREATE TRIGGER after AFTER UPDATE ON lab.way FOR EACH ROW EXECUTE FUNCTION lab.way_after();
CREATE TRIGGER after AFTER INSERT OR UPDATE ON lab.source FOR EACH ROW EXECUTE FUNCTION lab.way_after();
SELECT count(*) FROM lab.taken() WHERE action <> 'truncate';
UPDATE lab.way SET n = 0 WHERE id = 1;
SELECT * FROM lab.taken() ORDER BY entity_type, changes;
SELECT * FROM lab.way ORDER BY id;
SELECT * FROM lab.source ORDER BY id;
-- a row that its own trigger changes again: one after the other, as it was
DROP TRIGGER after ON lab.source;
DROP TRIGGER after ON lab.way;
DELETE FROM lab.way;
SELECT count(*) FROM lab.taken();
CREATE FUNCTION lab.way_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lab.way SET n = n + 1, t = tg_op WHERE id = new.id;
	RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT OR UPDATE ON lab.way FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION lab.way_again();
-- (to be tracked anew, since such a table is recorded row by row)
SELECT photoflow.track('lab.way') \g /dev/null
INSERT INTO lab.way VALUES (1, 10, 'a'), (2, 20, 'b');
UPDATE lab.way SET n = n + 5;
SELECT * FROM lab.differs('lab.way');
SELECT * FROM lab.taken() WHERE entity_id = '1';
-- where it is the row before, or behind, that its trigger changes, all of it is recorded; the order is that in which the triggers are fired
CREATE OR REPLACE FUNCTION lab.way_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lab.way SET n = n + 100 WHERE id <> new.id;
	RETURN NULL;
END $$;
DELETE FROM lab.way;
SELECT count(*) FROM lab.taken();
INSERT INTO lab.way VALUES (1, 10, 'a'), (2, 20, 'b');
UPDATE lab.way SET n = n + 5;
SELECT count(*) FROM lab.taken();
SELECT id, n FROM lab.way ORDER BY id;
DROP TRIGGER again ON lab.way;
SELECT photoflow.track('lab.way') \g /dev/null
CREATE TABLE lab.way_part (id int PRIMARY KEY, n int, t text) PARTITION BY RANGE (id);
CREATE TABLE lab.way_part_1 PARTITION OF lab.way_part DEFAULT;
SELECT photoflow.track('lab.way_part');
CREATE OR REPLACE FUNCTION lab.way_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lab.way_part SET n = n + 1, t = tg_op WHERE id = new.id;
	RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT OR UPDATE ON lab.way_part FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION lab.way_again();
INSERT INTO lab.way_part VALUES (1, 10, 'a');
UPDATE lab.way_part SET n = n + 5;
SELECT * FROM lab.differs('lab.way_part');
SELECT * FROM lab.taken();
DROP TABLE lab.way_part;
-- deferred to the end
CREATE FUNCTION lab.way_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE lab.way SET t = 'late' WHERE id = new.id;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON lab.way DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (old.n IS DISTINCT FROM new.n) EXECUTE FUNCTION lab.way_late();
BEGIN;
UPDATE lab.way SET n = 0 WHERE id = 1;
SELECT * FROM lab.taken();
COMMIT;
SELECT * FROM lab.taken();
DROP TRIGGER late ON lab.way;
DROP FUNCTION lab.way_before(), lab.way_after(), lab.way_again(), lab.way_late();
SELECT photoflow.untrack('lab.source');

-- Foreign keys -------------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.parent (id int PRIMARY KEY, n int);
CREATE TABLE lab.child (id int PRIMARY KEY, up int REFERENCES lab.parent ON DELETE CASCADE ON UPDATE CASCADE, down int REFERENCES lab.child ON DELETE SET NULL);
SELECT photoflow.track('lab.parent'), photoflow.track('lab.child');
INSERT INTO lab.parent VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO lab.child VALUES (11, 1, NULL), (12, 1, 11), (21, 2, 12), (31, 3, NULL);
SELECT count(*) FROM lab.taken();
UPDATE lab.parent SET id = 4 WHERE id = 1;
SELECT * FROM lab.taken() ORDER BY entity_type COLLATE "C", entity_id;
DELETE FROM lab.parent WHERE id IN (3, 4);
SELECT * FROM lab.taken() ORDER BY entity_type COLLATE "C", entity_id, action;
-- in two statements of the cascade one row: both are there, and in order
INSERT INTO lab.parent VALUES (5, 5);
INSERT INTO lab.child VALUES (51, 5, NULL), (52, 5, 51);
SELECT count(*) FROM lab.taken();
DELETE FROM lab.child WHERE id = 51;
DELETE FROM lab.parent WHERE id = 5;
SELECT * FROM lab.taken() WHERE entity_id = '52';

-- TRUNCATE -----------------------------------------------------------------------------------------------------------------------
TRUNCATE lab.parent CASCADE;
SELECT * FROM lab.taken() ORDER BY entity_type COLLATE "C";
BEGIN;
SELECT photoflow.set_context(lab.org(78));
TRUNCATE lab.way, lab.child, lab.source;
SELECT "EntityType", "EntityId", "Action", "Changes", "Operation", "OrgId" = lab.org(78) AS its_org FROM "AuditLogs" WHERE "TransactionId" = pg_current_xact_id()::text::bigint ORDER BY "EntityType" COLLATE "C";
ROLLBACK;
TRUNCATE lab.way;
SELECT * FROM lab.taken();
DROP TABLE lab.child, lab.parent;

-- Partitions ---------------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.part (id int, region text, n int, t text, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE lab.part_eu PARTITION OF lab.part FOR VALUES IN ('eu');
CREATE TABLE lab.part_us PARTITION OF lab.part FOR VALUES IN ('us', 'ca') PARTITION BY LIST (region);
CREATE TABLE lab.part_us_us PARTITION OF lab.part_us FOR VALUES IN ('us');
SELECT photoflow.track('lab.part', '{t}');
CREATE TABLE lab.part_us_ca PARTITION OF lab.part_us FOR VALUES IN ('ca');
-- one whose columns lie otherwise
CREATE TABLE lab.part_as (gone int, t text, twice int GENERATED ALWAYS AS (n * 2) STORED, n int, region text NOT NULL, gone_too text, id int NOT NULL);
ALTER TABLE lab.part_as DROP gone, DROP gone_too;
ALTER TABLE lab.part ATTACH PARTITION lab.part_as FOR VALUES IN ('as');
SELECT * FROM photoflow.tracked_tables WHERE table_name::text LIKE 'lab.part%';
INSERT INTO lab.part (id, region, n, t) VALUES (1, 'eu', 1, 'a'), (2, 'us', 2, 'b'), (3, 'ca', 3, 'c'), (4, 'as', 4, 'd');
SELECT * FROM lab.taken() ORDER BY entity_id;
UPDATE lab.part SET n = n + 10, t = 'x' WHERE id <> 3;
UPDATE lab.part SET t = 'y';
SELECT * FROM lab.taken() ORDER BY entity_id;
-- a partition that is named itself, a part of the parts
UPDATE lab.part_as SET n = 5;
INSERT INTO lab.part_us (id, region, n) VALUES (5, 'ca', 5);
DELETE FROM lab.part_us_ca WHERE id = 3;
COPY lab.part_eu (id, region, n) FROM stdin;
6	eu	6
\.
SELECT * FROM lab.taken();
-- a row that moves goes in one place and comes in another
UPDATE lab.part SET region = 'us', n = 0 WHERE id = 6;
UPDATE lab.part SET region = 'as' WHERE id = 2;
SELECT * FROM lab.taken();
UPDATE lab.part SET id = 7 WHERE id = 6;
INSERT INTO lab.part (id, region, n) VALUES (7, 'us', 1), (8, 'eu', 8) ON CONFLICT (id, region) DO UPDATE SET n = 70;
MERGE INTO lab.part p USING (VALUES (7, 'us', 71), (9, 'as', 9), (8, 'eu', 0)) v (id, region, n) ON p.id = v.id AND p.region = v.region
	WHEN MATCHED AND v.n = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = v.n WHEN NOT MATCHED THEN INSERT (id, region, n) VALUES (v.id, v.region, v.n);
SELECT action, entity_id, changes FROM lab.taken();
DELETE FROM lab.part WHERE id > 4;
SELECT action, entity_id, changes FROM lab.taken() ORDER BY entity_id;
-- detached it is tracked no more, or as what it is then; attached again it is
ALTER TABLE lab.part DETACH PARTITION lab.part_as;
UPDATE lab.part_as SET n = 40 WHERE id = 4;
SELECT * FROM lab.taken();
ALTER TABLE lab.part ATTACH PARTITION lab.part_as FOR VALUES IN ('as');
UPDATE lab.part_as SET n = 41 WHERE id = 4;
SELECT * FROM lab.taken();
-- one that was tracked by itself is recorded once, as what it is now
CREATE TABLE lab.part_xx (LIKE lab.part INCLUDING ALL);
SELECT photoflow.track('lab.part_xx');
INSERT INTO lab.part_xx (id, region, n) VALUES (10, 'xx', 10);
ALTER TABLE lab.part ATTACH PARTITION lab.part_xx FOR VALUES IN ('xx');
UPDATE lab.part_xx SET n = 11;
UPDATE lab.part SET n = 12 WHERE id = 10;
SELECT * FROM lab.taken();
SELECT photoflow.track('lab.part', '{t}');
UPDATE lab.part_xx SET n = 13, t = 'ignored';
DELETE FROM lab.part WHERE id = 10;
SELECT * FROM lab.taken();
ALTER TABLE lab.part DETACH PARTITION lab.part_xx;
SELECT photoflow.untrack('lab.part_xx');
INSERT INTO lab.part_xx (id, region, n) VALUES (10, 'xx', 10);
SELECT count(*) FROM lab.taken();
DROP TABLE lab.part_xx;
-- of another name: what is recorded is of it
ALTER TABLE lab.part RENAME TO part_renamed;
UPDATE lab.part_as SET n = 42 WHERE id = 4;
UPDATE lab.part_renamed SET n = 43 WHERE id = 4;
SELECT * FROM lab.taken();
ALTER TABLE lab.part_renamed RENAME TO part;
-- a masked column that is renamed; other ways to be tracked
SELECT photoflow.track('lab.part', masked_columns => '{t}');
UPDATE lab.part SET t = 'z', n = 44 WHERE id = 4;
ALTER TABLE lab.part RENAME t TO text;
UPDATE lab.part SET text = 'zz', n = 45 WHERE id = 4;
SELECT * FROM lab.taken();
SELECT photoflow.track('lab.part_as');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.part');
TRUNCATE lab.part_us;
TRUNCATE lab.part;
SELECT * FROM lab.taken();
-- foreign keys to it, also while a row moves
CREATE TABLE lab.part_child (id int PRIMARY KEY, part int, region text, FOREIGN KEY (part, region) REFERENCES lab.part ON UPDATE CASCADE ON DELETE CASCADE);
SELECT photoflow.track('lab.part_child');
INSERT INTO lab.part (id, region, n) VALUES (1, 'eu', 1);
INSERT INTO lab.part_child VALUES (1, 1, 'eu');
UPDATE lab.part SET region = 'us';
SELECT * FROM lab.taken();
DELETE FROM lab.part;
SELECT * FROM lab.taken() ORDER BY entity_type COLLATE "C";
SELECT photoflow.untrack('lab.part'), photoflow.untrack('lab.part_child');
SELECT count(*) FROM pg_trigger WHERE tgrelid::regclass::text LIKE 'lab.part%' AND tgname ~ 'Audit';
INSERT INTO lab.part (id, region, n) VALUES (1, 'eu', 1);
SELECT count(*) FROM lab.taken();
DROP TABLE lab.part_child, lab.part;

-- Inherited tables -----------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.mother (id int PRIMARY KEY, n int);
CREATE TABLE lab.daughter (extra text, PRIMARY KEY (id)) INHERITS (lab.mother);
CREATE TABLE lab.grandchild (own int) INHERITS (lab.daughter);
SELECT photoflow.track('lab.mother', masked_columns => '{n}');
SELECT * FROM photoflow.tracked_tables WHERE table_name::text ~ '^lab.(mother|daughter|grandchild)' ORDER BY table_name::text;
INSERT INTO lab.mother VALUES (1, 1);
INSERT INTO lab.daughter VALUES (2, 2, 'two');
INSERT INTO lab.grandchild VALUES (3, 3, 'three', 33);
UPDATE lab.mother SET n = n + 1 WHERE id > 1;
UPDATE ONLY lab.mother SET id = 10;
UPDATE lab.daughter SET extra = 'x';
DELETE FROM lab.mother WHERE id = 3;
SELECT * FROM lab.taken();
TRUNCATE ONLY lab.mother;
TRUNCATE lab.mother;
SELECT * FROM lab.taken() ORDER BY entity_type;
-- a child alone; a child to come, with track() again; a table that becomes a mother, or a daughter
SELECT photoflow.untrack('lab.mother');
SELECT count(*) FROM photoflow.tracked_tables WHERE table_name::text ~ '^lab.(mother|daughter|grandchild)';
SELECT photoflow.track('lab.grandchild');
INSERT INTO lab.mother VALUES (1, 1);
INSERT INTO lab.grandchild VALUES (3, 3, 'three', 33);
UPDATE lab.mother SET n = 0;
SELECT * FROM lab.taken();
SELECT photoflow.track('lab.mother');
CREATE TABLE lab.daughter2 (own int) INHERITS (lab.mother);
SELECT photoflow.track('lab.mother');
INSERT INTO lab.daughter2 VALUES (4, 4, 4);
UPDATE lab.mother SET n = 1;
SELECT * FROM lab.taken();
SELECT table_name, level FROM photoflow.tracked_tables WHERE table_name::text ~ '^lab.(mother|daughter|grandchild)' ORDER BY table_name::text;
SELECT photoflow.track('lab.way'), photoflow.track('lab.source');
CREATE TABLE lab.way_child () INHERITS (lab.way);
SELECT photoflow.track('lab.way');
INSERT INTO lab.way VALUES (1, 1, 'mother');
INSERT INTO lab.way_child VALUES (2, 2, 'child');
UPDATE lab.way SET n = n + 1;
SELECT * FROM lab.taken();
SELECT table_name, level FROM photoflow.tracked_tables WHERE table_name::text ~ '^lab.way' ORDER BY table_name::text;
-- alone again: by the statement again
DROP TABLE lab.way_child;
SELECT photoflow.track('lab.way');
UPDATE lab.way SET n = n + 1;
SELECT * FROM lab.taken();
SELECT table_name, level FROM photoflow.tracked_tables WHERE table_name::text ~ '^lab.way' ORDER BY table_name::text;
DROP TABLE lab.mother CASCADE;
TRUNCATE lab.way;
SELECT count(*) FROM lab.taken();

-- Who -----------------------------------------------------------------------------------------------------------------------------
-- who has no privilege on the log, or on anything but the table; in a session of his own, where nothing is known yet
GRANT USAGE ON SCHEMA lab TO regress_track_writer;
GRANT INSERT, UPDATE, DELETE, TRUNCATE, SELECT ON lab.way TO regress_track_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON "PublicUrls" TO regress_track_writer;
SELECT photoflow.track('"PublicUrls"');
SET ROLE regress_track_writer;
INSERT INTO "AuditLogs" ("Action") VALUES ('x');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM "AuditLogs";
\echo :LAST_ERROR_SQLSTATE
\c -
SET client_min_messages = warning;
SET ROLE regress_track_writer;
INSERT INTO lab.way VALUES (1, 1, 'w');
UPDATE lab.way SET n = 2;
DELETE FROM lab.way;
TRUNCATE lab.way;
RESET ROLE;
SELECT * FROM lab.taken();
SET ROLE regress_track_writer;
BEGIN;
SELECT photoflow.set_context(lab.org(78));
INSERT INTO "PublicUrls" ("Id", "Url") VALUES (lab.id('url', 75002), 'https://a.test');
UPDATE "PublicUrls" SET "Url" = 'https://b.test' WHERE "Id" = lab.id('url', 75002);
DELETE FROM "PublicUrls" WHERE "Id" = lab.id('url', 75002);
COMMIT;
RESET ROLE;
SELECT action, entity_type, entity_id = lab.id('url', 75002)::text AS its_id, changes -> 'Url' AS url, changes -> 'IsDeleted' AS flag FROM lab.taken();
-- an application: it may read what it did, of its organization
SET ROLE regress_track_app;
BEGIN;
SELECT photoflow.set_context(lab.org(78), lab.id('user', 75), 'photographer');
INSERT INTO "PublicUrls" ("Id", "Url") VALUES (lab.id('url', 75003), 'https://c.test');
SELECT "Action", "EntityType", "EntityId" = lab.id('url', 75003)::text AS its_id, "UserId" = lab.id('user', 75)::text AS its_user, "Role", "DbUser" FROM "AuditLogs" WHERE "TransactionId" IS NOT NULL;
SELECT action, changes ->> 'Url' AS url, user_id = lab.id('user', 75)::text AS its_user, role, transaction_id = pg_current_xact_id()::text::bigint AS transaction FROM photoflow.entity_timeline('PublicUrl', lab.id('url', 75003)::text);
UPDATE "AuditLogs" SET "Changes" = '{}';
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
RESET ROLE;
SELECT count(*) FROM lab.taken();
SELECT photoflow.untrack('"PublicUrls"');
-- what a replica applies is not recorded; a trigger that is always fired would be
SET session_replication_role = replica;
INSERT INTO lab.way VALUES (1, 1, 'r');
UPDATE lab.way SET n = 2;
TRUNCATE lab.way;
INSERT INTO lab.way VALUES (1, 1, 'r');
SET session_replication_role = origin;
SELECT count(*) FROM lab.taken();
UPDATE lab.way SET n = 3;
SET session_replication_role = local;
UPDATE lab.way SET n = 4;
RESET session_replication_role;
SELECT * FROM lab.taken();
-- read only, and nothing to do
BEGIN READ ONLY;
UPDATE lab.way SET n = 5;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- isolation levels
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE lab.way SET n = 6;
UPDATE lab.way SET n = 7;
COMMIT;
SELECT * FROM lab.taken();

-- The log is the owner's: what he puts on it counts --------------------------------------------------------------------------------
CREATE TABLE lab.heard (n int GENERATED ALWAYS AS IDENTITY, who name, action text, entity_id text, changes jsonb, org uuid, seen bigint);
CREATE FUNCTION lab.hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO lab.heard (who, action, entity_id, changes, org) VALUES (current_user, new."Action", new."EntityId", new."Changes", new."OrgId");
	RETURN new;
END $$;
SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = '"AuditLogs"'::regclass \gset
TRUNCATE lab.way;
SELECT count(*) FROM lab.taken();
CREATE TRIGGER user_before BEFORE INSERT ON "AuditLogs" FOR EACH ROW EXECUTE FUNCTION lab.hear();
SET ROLE regress_track_writer;
INSERT INTO lab.way SELECT i, i, 'x' FROM generate_series(1, 1500) i;
UPDATE lab.way SET n = n + 1 WHERE id < 1200;
DELETE FROM lab.way WHERE id > 3;
RESET ROLE;
SELECT who = :'owner' AS by_the_owner, action, count(*), org FROM lab.heard GROUP BY 1, 2, 4 ORDER BY min(n);
SELECT count(*) FILTER (WHERE h.action = a."Action" AND h.entity_id = a."EntityId" AND h.changes = a."Changes") AS the_same, count(*) FROM (SELECT *, row_number() OVER (ORDER BY n) AS o FROM lab.heard) h
	FULL JOIN (SELECT *, row_number() OVER (ORDER BY "Id") AS o FROM "AuditLogs" WHERE "EntityType" = 'lab.way') a USING (o);
SELECT * FROM lab.differs('lab.way');
SELECT count(*) FROM lab.taken();
TRUNCATE lab.heard;
DROP TRIGGER user_before ON "AuditLogs";
CREATE TRIGGER user_after AFTER INSERT ON "AuditLogs" FOR EACH ROW EXECUTE FUNCTION lab.hear();
BEGIN;
SELECT photoflow.set_context(lab.org(78), lab.id('user', 75), 'photographer');
SET LOCAL ROLE regress_track_writer;
UPDATE lab.way SET n = 0;
SELECT photoflow.current_org() = lab.org(78) AS still_its_org, current_user;
COMMIT;
SELECT who = :'owner' AS by_the_owner, action, entity_id, changes, org = lab.org(78) AS its_org FROM lab.heard ORDER BY entity_id;
SELECT count(*) FROM "AuditLogs" WHERE "UserId" = lab.id('user', 75)::text AND "OrgId" = lab.org(78) AND "EntityType" = 'lab.way';
DROP TRIGGER user_after ON "AuditLogs";
SELECT count(*) FROM lab.taken();
-- a trigger that changes what is to be written; one that keeps it: then the change is refused, not unrecorded
CREATE FUNCTION lab.change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	new."AdditionalData" := '{"by": "trigger"}';
	RETURN CASE WHEN new."Changes" #>> '{t,1}' = 'no' THEN NULL ELSE new END;
END $$;
CREATE TRIGGER user_change BEFORE INSERT ON "AuditLogs" FOR EACH ROW EXECUTE FUNCTION lab.change();
UPDATE lab.way SET n = 1 WHERE id = 1;
UPDATE lab.way SET t = 'no' WHERE id = 1;
SELECT "Changes", "AdditionalData" FROM "AuditLogs" WHERE "EntityType" = 'lab.way';
SELECT t FROM lab.way WHERE id = 1;
DROP TRIGGER user_change ON "AuditLogs";
SELECT count(*) FROM lab.taken();
-- a CHECK, a column with a default
ALTER TABLE "AuditLogs" ADD CONSTRAINT user_check CHECK ("EntityId" <> '2');
UPDATE lab.way SET n = 2 WHERE id = 1;
\set VERBOSITY sqlstate
UPDATE lab.way SET n = 2 WHERE id = 2;
\set VERBOSITY terse
UPDATE lab.way SET n = 3 WHERE id = 1;
ALTER TABLE "AuditLogs" DROP CONSTRAINT user_check;
UPDATE lab.way SET n = 2 WHERE id = 2;
BEGIN;
ALTER TABLE "AuditLogs" ADD "Extra" int NOT NULL DEFAULT 7, ADD "More" text;
UPDATE lab.way SET n = 3 WHERE id = 2;
SELECT "EntityId", "Changes", "Extra", "More" FROM "AuditLogs" WHERE "EntityType" = 'lab.way' ORDER BY "Id";
ALTER TABLE "AuditLogs" DROP "Extra", DROP "More";
UPDATE lab.way SET n = 4 WHERE id = 2;
ROLLBACK;
UPDATE lab.way SET n = 4 WHERE id = 2;
SELECT action, entity_id, changes FROM lab.taken();
-- a statement trigger, a unique index
CREATE FUNCTION lab.hear_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO lab.heard (who, action, seen) SELECT current_user, tg_op, count(*) FROM added;
	RETURN NULL;
END $$;
TRUNCATE lab.heard;
CREATE TRIGGER user_statement AFTER INSERT ON "AuditLogs" REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION lab.hear_all();
UPDATE lab.way SET n = 5;
SELECT sum(seen) AS seen, bool_and(who = :'owner') AS by_the_owner FROM lab.heard;
DROP TRIGGER user_statement ON "AuditLogs";
SELECT action, entity_id, changes FROM lab.taken() ORDER BY entity_id;
CREATE UNIQUE INDEX user_unique ON "AuditLogs" ("EntityId", "CreatedAt") WHERE "EntityType" = 'lab.way';
BEGIN;
UPDATE lab.way SET n = 6 WHERE id = 1;
\set VERBOSITY sqlstate
UPDATE lab.way SET n = 7 WHERE id = 1;
\set VERBOSITY terse
ROLLBACK;
SELECT n FROM lab.way WHERE id = 1;
DROP INDEX user_unique;
DROP FUNCTION lab.hear(), lab.hear_all(), lab.change();
DROP TABLE lab.heard;

-- Without a partition for now, the default has it; a new one is found
BEGIN;
UPDATE lab.way SET n = 10 WHERE id = 1;
SAVEPOINT s;
DO $$ BEGIN EXECUTE format('DROP TABLE %I', 'AuditLogs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')); END $$;
UPDATE lab.way SET n = 11 WHERE id = 1;
SELECT tableoid::regclass, "Changes" FROM "AuditLogs" WHERE "EntityType" = 'lab.way';
ROLLBACK TO s;
UPDATE lab.way SET n = 12 WHERE id = 1;
SELECT tableoid::regclass = format('%I', 'AuditLogs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM'))::regclass AS of_the_month, "Changes" FROM "AuditLogs" WHERE "EntityType" = 'lab.way' ORDER BY "Id";
DO $$ BEGIN EXECUTE format('ALTER TABLE "AuditLogs" DETACH PARTITION %I', 'AuditLogs_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')); END $$;
UPDATE lab.way SET n = 13 WHERE id = 1;
SELECT tableoid::regclass, "Changes" FROM "AuditLogs" WHERE "EntityType" = 'lab.way';
DROP TABLE "AuditLogs_default";
SAVEPOINT s;
UPDATE lab.way SET n = 14 WHERE id = 1;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT n FROM lab.way WHERE id = 1;
ROLLBACK;
UPDATE lab.way SET n = 15 WHERE id = 1;
SELECT action, entity_id, changes FROM lab.taken();

-- Nothing is left of it
SELECT photoflow.untrack('lab.way'), photoflow.untrack('lab.source');
UPDATE lab.way SET n = 16 WHERE id = 1;
SELECT count(*) FROM lab.taken();
SELECT count(*) FROM photoflow.tracked_tables;
DROP TABLE lab.way, lab.source;
SET photoflow.hard_delete = on;
DELETE FROM "PublicUrls" WHERE "OrgId" = lab.org(78);
DELETE FROM "DeletionReasons" WHERE "OrgId" = lab.org(78);
DELETE FROM "Organizations" WHERE "Id" = lab.org(78);
RESET photoflow.hard_delete;
SELECT count(*) FROM "AuditLogs" WHERE "Id" > (SELECT id FROM lab.track_start);
DROP TABLE lab.track_start, lab.replayed;
DROP FUNCTION lab.taken(), lab.differs(text), lab.replay(text);
DROP OWNED BY regress_track_app, regress_track_writer;
DROP ROLE regress_track_app, regress_track_writer;
