-- Law: the log tells what became of a table. Asked of a random walk of 4,000 operations over every statement that changes rows, some of which are taken back, by the
-- owner and by who may touch nothing but the table, under settings by which a session writes values otherwise, on a plain table and on a partitioned one, with and
-- without a user's trigger on the log. The first state and the diffs, in the order of "Id", give the last state by jsonb_populate_record(); what a diff says was
-- there before, was; and there are as many as rows really changed, row by row, which a trigger of the test's own has counted. To repeat a walk: psql -v seed=0.42,
-- or part of it: -v operations=1000
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
\pset null ''
SELECT :{?seed} AS given, :{?operations} AS counted \gset
\if :given
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\if :counted
\else
\set operations 4000
\endif
SET client_min_messages = warning;
SELECT photoflow.create_tables() \g /dev/null
SELECT (:operations + 99) / 100 AS chunks \gset
SELECT no_plan();

DROP ROLE IF EXISTS pgtap_audit_writer;
CREATE ROLE pgtap_audit_writer;
CREATE SCHEMA walk;
GRANT USAGE ON SCHEMA walk TO pgtap_audit_writer;
CREATE TYPE walk.kind AS ENUM ('a', 'it''s "b"', 'c');
CREATE TYPE walk.place AS (x numeric, label text);
CREATE DOMAIN walk.positive AS int CHECK (VALUE > 0);
CREATE TABLE walk.plain (gone text, id int PRIMARY KEY, region text NOT NULL DEFAULT 'eu', n int, amount numeric, ratio float8, word text, raw bytea, at timestamptz, span interval, days daterange, tags text[], doc jsonb, kind walk.kind,
	place walk.place, count walk.positive, flag boolean, uid uuid, day date, letter char(3), seen int, twice int GENERATED ALWAYS AS (n * 2) STORED);
ALTER TABLE walk.plain DROP gone;
CREATE TABLE walk.parts (LIKE walk.plain INCLUDING GENERATED INCLUDING DEFAULTS, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE walk.parts_eu PARTITION OF walk.parts FOR VALUES IN ('eu');
CREATE TABLE walk.parts_us PARTITION OF walk.parts FOR VALUES IN ('us') PARTITION BY HASH (id);
CREATE TABLE walk.parts_us0 PARTITION OF walk.parts_us FOR VALUES WITH (MODULUS 2, REMAINDER 0);
-- one whose columns lie otherwise
CREATE TABLE walk.parts_as (gone int, letter char(3), seen int, doc jsonb, twice int GENERATED ALWAYS AS (n * 2) STORED, kind walk.kind, place walk.place, flag boolean, id int NOT NULL, gone_too text, count walk.positive, uid uuid, day date, days daterange,
	tags text[], span interval, at timestamptz, raw bytea, word text, ratio float8, amount numeric, n int, region text NOT NULL DEFAULT 'eu');
ALTER TABLE walk.parts_as DROP gone, DROP gone_too;
ALTER TABLE walk.parts ATTACH PARTITION walk.parts_as FOR VALUES IN ('as');
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON walk.plain, walk.parts TO pgtap_audit_writer;

-- What really happened to rows: a row is changed when its bytes differ, but for the column that the log ignores.
CREATE TABLE walk.heard (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, entity text, action text, id text);
CREATE FUNCTION walk.hear() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF tg_op = 'UPDATE' THEN
		new.seen := old.seen;
		IF old *= new THEN
			RETURN NULL;
		END IF;
	END IF;
	IF tg_op = 'INSERT' THEN
		old := new;
	END IF;
	INSERT INTO walk.heard (entity, action, id) VALUES (tg_argv[0], lower(tg_op), CASE WHEN tg_op = 'TRUNCATE' THEN NULL WHEN tg_argv[0] = 'walk.plain' THEN old.id::text ELSE jsonb_build_array(old.id::text, old.region)::text END);
	RETURN NULL;
END $$;
CREATE TRIGGER hear_truncate AFTER TRUNCATE ON walk.plain FOR EACH STATEMENT EXECUTE FUNCTION walk.hear('walk.plain');
CREATE TRIGGER hear AFTER INSERT OR UPDATE OR DELETE ON walk.parts FOR EACH ROW EXECUTE FUNCTION walk.hear('walk.parts');
CREATE TRIGGER hear_truncate AFTER TRUNCATE ON walk.parts FOR EACH STATEMENT EXECUTE FUNCTION walk.hear('walk.parts');
CREATE TABLE walk.heard_of_log (n bigint GENERATED ALWAYS AS IDENTITY, id uuid, who name);
CREATE FUNCTION walk.hear_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO walk.heard_of_log (id, who) VALUES (new."Id", current_user);
	RETURN NEW;
END $$;

CREATE FUNCTION walk.one(what text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT what[1 + floor(random() * cardinality(what))::int]';
CREATE FUNCTION walk.long(lines int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT string_agg(md5(random()::text), '') FROM generate_series(1, lines) $$;
-- a value for a column, NULL now and then. No JSON null: it is read back as NULL. No minus zero: JSON has none
CREATE FUNCTION walk.some(col text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	IF col = 'region' THEN
		RETURN walk.one('{eu,us,as}');
	ELSIF random() < 0.12 THEN
		RETURN NULL;
	END IF;
	RETURN CASE col
		WHEN 'n' THEN floor(random() * 7)::text
		WHEN 'amount' THEN walk.one('{0,0.0,0.00,1.5,1.50,-1.5,NaN,Infinity,-Infinity,123456789012345678901234567890.123456789,1e-30,1e40}')
		WHEN 'ratio' THEN walk.one('{0,1.5,-1e-300,1e300,5e-324,1.7976931348623157e308,NaN,-Infinity,0.1,0.30000000000000004,12345678901234567}')
		WHEN 'word' THEN CASE floor(random() * 4) WHEN 0 THEN walk.long(2) WHEN 1 THEN walk.long(300) WHEN 2 THEN repeat(walk.long(1), 400)
			ELSE walk.one(ARRAY['', ' ', 'null', '***', 'it''s "so" \ /', E'\t\n\r\x01', U&'e\0301 \00e9 \+01F600', '{"a": 1}', '[1]']) END
		WHEN 'raw' THEN walk.one(ARRAY['\x', '\x00', '\x00ff5c27', '\x' || walk.long(1), '\x' || walk.long(300)])
		WHEN 'at' THEN walk.one('{infinity,-infinity,2026-01-01 00:00:00.123456+02,0044-03-15 10:00 BC,2026-06-30 23:59:60+00,1999-12-31 23:59:59.999999+00,12345-06-07 00:00+00}')
		WHEN 'span' THEN walk.one('{0,1 day,24:00,30 days,1 mon,-1 mons +2 days -03:04:05.000006,-1 day 02:03,178000000 years,0.000001 s}')
		WHEN 'days' THEN walk.one('{empty,"(,)","[2026-01-02,2026-02-03)","(,2026-12-01)","[2026-03-04,infinity)"}')
		WHEN 'tags' THEN walk.one(ARRAY['{}', '{a}', '{NULL}', '{NULL,"",a b,"\"q\"","NULL"}', '{{a,b},{c,d}}', '{' || walk.long(300) || '}'])
		WHEN 'doc' THEN walk.one(ARRAY['{}', '[]', '"text"', '1', '1.0', 'true', '{"a": [1, null, 1.50], "b": {"c": "\u00e9"}}', '[[], {}, ""]', '{"k": "' || walk.long(300) || '"}'])
		WHEN 'kind' THEN walk.one('{a,"it''s \"b\"",c}')
		WHEN 'place' THEN walk.one(ARRAY['(1.50,"a ""b""")', '(1.5,"a ""b""")', '(,)', '(NaN,)', '(,"")'])
		WHEN 'flag' THEN walk.one('{t,f}')
		WHEN 'uid' THEN walk.one('{00000000-0000-0000-0000-000000000000,abcdef01-2345-6789-abcd-ef0123456789}')
		WHEN 'day' THEN walk.one('{infinity,4714-11-24 BC,2026-02-28,5874897-12-31}')
		WHEN 'letter' THEN walk.one('{"",a,"a ",abc}')
		ELSE (1 + floor(random() * 5))::int::text END;
END $$;
CREATE TABLE walk.columns AS SELECT attname::text AS col, attnum AS o FROM pg_attribute WHERE attrelid = 'walk.plain'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('id', 'twice') ORDER BY attnum;
CREATE FUNCTION walk.columns(most int) RETURNS text[] LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(col) FROM (SELECT col FROM walk.columns WHERE col <> 'region' ORDER BY random() LIMIT 1 + floor(random() * most)) c
$$;
CREATE FUNCTION walk.set_list(cols text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT string_agg(format('%I = %L', c, walk.some(c)), ', ') FROM unnest(cols) c $$;
CREATE FUNCTION walk.row_of(id int, cols text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT format('(%s, %L, %s)', id, walk.some('region'), string_agg(format('%L', walk.some(c)), ', ')) FROM unnest(cols) c $$;
CREATE FUNCTION walk.id() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 + floor(random() * 60)::int';

-- What is done: how often, and how often it ended so.
CREATE TABLE walk.done (what text, outcome text);
-- One operation on a table; in one of several, several that are kept or taken back.
CREATE FUNCTION walk.act(t text, depth int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	what text := walk.one('{insert,insert,insert,insert,upsert,upsert,upsert,nothing,update,update,update,update,update,update,many,many,same,seen,delete,delete,delete many,key,move,merge,merge,swap,from,cursor,function,block,block,block,truncate}');
	key text := CASE t WHEN 'walk.plain' THEN 'id' ELSE 'id, region' END;
	cols text[] := walk.columns(4);
	rows text := (SELECT string_agg(walk.row_of(walk.id(), cols), ', ') FROM generate_series(1, 1 + floor(random() * 4)::int));
	names text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(cols) c);
	c refcursor;
	outcome text := '';
	sql text;
BEGIN
	PERFORM set_config('TimeZone', walk.one('{UTC,Asia/Kathmandu,America/Los_Angeles}'), true), set_config('DateStyle', walk.one('{"ISO, YMD","German, DMY","SQL, MDY","Postgres, DMY"}'), true),
		set_config('IntervalStyle', walk.one('{postgres,postgres_verbose,sql_standard,iso_8601}'), true), set_config('bytea_output', walk.one('{hex,escape}'), true), set_config('extra_float_digits', walk.one('{1,0,3,-15}'), true);
	sql := CASE what
		WHEN 'insert' THEN format('INSERT INTO %s (id, region, %s) VALUES %s', t, names, rows)
		WHEN 'nothing' THEN format('INSERT INTO %s (id, region, %s) VALUES %s ON CONFLICT DO NOTHING', t, names, rows)
		WHEN 'upsert' THEN format('INSERT INTO %s AS w (id, region, %s) VALUES %s ON CONFLICT (%s) DO UPDATE SET %s%s', t, names, rows, key, (SELECT string_agg(format('%1$I = excluded.%1$I', u), ', ') FROM unnest(cols) u),
			walk.one('{"",""," WHERE w.n > 2",", region = excluded.region"}'))
		WHEN 'update' THEN format('UPDATE %s SET %s WHERE id = %s', t, walk.set_list(cols), walk.id())
		WHEN 'many' THEN format('UPDATE %s SET %s WHERE id %% %s = 1', t, walk.set_list(cols), walk.one('{2,3,7}'))
		WHEN 'same' THEN format('UPDATE %s SET n = n, word = word || '''', raw = raw || ''\x'', doc = doc::text::jsonb, letter = trim(letter), region = region, %s WHERE id %% 4 = %s', t, walk.one('{id = id,amount = amount::text::numeric,seen = 1}'), walk.one('{0,1,2}'))
		WHEN 'seen' THEN format('UPDATE %s SET seen = %s WHERE id %% 3 = 0', t, floor(random() * 100))
		WHEN 'delete' THEN format('DELETE FROM %s WHERE id = %s', t, walk.id())
		WHEN 'delete many' THEN format('DELETE FROM %s WHERE id %% 9 = %s', t, floor(random() * 9))
		WHEN 'key' THEN format('UPDATE %s SET id = %s, %s WHERE id = %s', t, walk.id(), walk.set_list(cols), walk.id())
		WHEN 'move' THEN format('UPDATE %s SET region = %L, %s WHERE id %% 8 = %s', t, walk.some('region'), walk.set_list(cols), floor(random() * 8))
		WHEN 'merge' THEN format('MERGE INTO %1$s w USING (SELECT * FROM %2$s x WHERE x.id IN (%3$s, %4$s, %5$s, %6$s) UNION ALL SELECT (jsonb_populate_record(NULL::%2$s, jsonb_build_object(''id'', %7$s, ''region'', %8$L, ''word'', ''new''))).*) v ON w.id = v.id AND w.region = v.region
			WHEN MATCHED AND v.id %% 3 = 0 THEN DELETE WHEN MATCHED AND v.id %% 3 = 1 THEN DO NOTHING WHEN MATCHED THEN UPDATE SET %9$s WHEN NOT MATCHED THEN INSERT (id, region, word) VALUES (v.id, v.region, v.word)',
			t, CASE t WHEN 'walk.plain' THEN 'walk.parts' ELSE 'walk.plain' END, walk.id(), walk.id(), walk.id(), walk.id(), walk.id(), walk.some('region'), walk.set_list(cols))
		-- deleted and inserted anew with the same key by one statement, beside an update of others
		WHEN 'swap' THEN format('WITH d AS (DELETE FROM %1$s WHERE id = %2$s RETURNING *), u AS (UPDATE %1$s SET %3$s WHERE id = %2$s + 1) INSERT INTO %1$s (id, region, n, word) SELECT id, region, n + 1, ''new'' FROM d', t, walk.id(), walk.set_list(cols))
		WHEN 'from' THEN format('UPDATE %1$s w SET n = v.n + 1, word = v.word FROM %1$s v, generate_series(1, 2) WHERE w.id = v.id + 1 AND v.id %% 5 = %2$s', t, floor(random() * 5))
		WHEN 'truncate' THEN CASE WHEN random() < 0.2 THEN format('TRUNCATE %s', t) END
		END;
	BEGIN
		IF random() < 0.5 THEN
			SET LOCAL ROLE pgtap_audit_writer;
		END IF;
		CASE
		WHEN what = 'block' THEN
			RESET ROLE;
			IF depth < 3 THEN
				FOR i IN 1 .. 1 + floor(random() * 4) LOOP
					PERFORM walk.act(t, depth + 1);
				END LOOP;
			END IF;
			IF random() < 0.4 THEN
				RAISE triggered_action_exception;
			END IF;
		WHEN what = 'cursor' THEN
			RESET ROLE;
			OPEN c FOR EXECUTE format('SELECT id FROM %s WHERE id > %s ORDER BY id FOR UPDATE', t, walk.id());
			FOR i IN 1 .. 3 LOOP
				MOVE c;
				EXIT WHEN NOT FOUND;
				EXECUTE format(walk.one('{UPDATE %s SET n = n + 1 WHERE CURRENT OF %I,UPDATE %s SET word = ''cursor'' WHERE CURRENT OF %I,DELETE FROM %s WHERE CURRENT OF %I}'), t, c::text);
			END LOOP;
			CLOSE c;
		WHEN what = 'function' THEN
			-- statements within a statement
			RESET ROLE;
			EXECUTE format('SELECT count(walk.change(%L, x)) FROM generate_series(1, 3) x', t);
		WHEN sql IS NOT NULL THEN
			EXECUTE sql;
		ELSE
		END CASE;
		RESET ROLE;
	EXCEPTION
		WHEN unique_violation OR cardinality_violation OR triggered_action_exception OR check_violation THEN
			RESET ROLE;
			outcome := SQLSTATE;
	END;
	INSERT INTO walk.done VALUES (what, outcome);
END $$;
CREATE FUNCTION walk.change(t text, x int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %s SET %s WHERE id = %s', t, walk.set_list(walk.columns(2)), walk.id());
	RETURN x;
END $$;
CREATE PROCEDURE walk.go(t text, operations int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. operations LOOP
		PERFORM walk.act(t, 0);
		IF random() < 0.5 THEN
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
END $$;

-- What the log makes of it. Columns are compared as text, those that the log has.
CREATE TABLE walk.state (LIKE walk.plain);
ALTER TABLE walk.state ADD entity text, ADD entity_id text, ADD PRIMARY KEY (entity, entity_id);
CREATE TABLE walk.seen (entity text PRIMARY KEY, log uuid, heard bigint, rows bigint DEFAULT 0);
CREATE FUNCTION walk.text_of(r walk.plain) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	r.seen := NULL;
	r.twice := NULL;
	RETURN r::text;
END $$;
CREATE FUNCTION walk.entity_id(t text, r walk.plain) RETURNS text LANGUAGE sql AS $$ SELECT CASE t WHEN 'walk.plain' THEN r.id::text ELSE jsonb_build_array(r.id::text, r.region)::text END $$;
-- Replays what is new in the log, and compares; '' when all is as it should be.
CREATE FUNCTION walk.differences(t text) RETURNS text LANGUAGE plpgsql SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 AS $$
DECLARE
	s walk.seen := (SELECT x FROM walk.seen x WHERE x.entity = t);
	a "AuditLogs";
	was walk.plain;
	it walk.plain;
	problems text[] := '{}';
BEGIN
	-- row by row as many as were changed, in the order in which they were
	problems := problems || array(SELECT format('the %s. of %s: %s in the log, %s in the table', o, id, l.action, h.action)
		FROM (SELECT coalesce("EntityId", '') AS id, "Action"::text AS action, row_number() OVER (PARTITION BY "EntityId" ORDER BY "Id") AS o FROM "AuditLogs" WHERE "EntityType" = t AND "Id" > s.log) l
		FULL JOIN (SELECT coalesce(x.id, '') AS id, x.action, row_number() OVER (PARTITION BY x.id ORDER BY x.n) AS o FROM walk.heard x WHERE x.entity = t AND x.n > s.heard) h USING (id, o)
		WHERE l.action IS DISTINCT FROM h.action ORDER BY o LIMIT 3);
	FOR a IN SELECT * FROM "AuditLogs" l WHERE l."EntityType" = t AND l."Id" > s.log ORDER BY l."Id" LOOP
		was := NULL;
		SELECT (jsonb_populate_record(NULL::walk.plain, '{}')).* INTO it;
		SELECT x.id, x.region, x.n, x.amount, x.ratio, x.word, x.raw, x.at, x.span, x.days, x.tags, x.doc, x.kind, x.place, x.count, x.flag, x.uid, x.day, x.letter INTO was.id, was.region, was.n, was.amount, was.ratio, was.word, was.raw, was.at, was.span, was.days,
			was.tags, was.doc, was.kind, was.place, was.count, was.flag, was.uid, was.day, was.letter FROM walk.state x WHERE x.entity = t AND x.entity_id = a."EntityId";
		IF (was.id IS NOT NULL) <> (a."Action" IN ('update', 'delete')) THEN
			problems := problems || format('%s of %s, which is%s there', a."Action", a."EntityId", CASE WHEN was.id IS NULL THEN ' not' ELSE '' END);
		END IF;
		IF a."Status" <> 'Success' OR num_nonnulls(a."Operation", a."ServiceName", a."UserId") > 0 OR a."DbUser" <> session_user OR a."OrgId" <> '00000000-0000-0000-0000-000000000000' THEN
			problems := problems || format('the log has %s', to_jsonb(a));
		END IF;
		CASE a."Action"
		WHEN 'insert' THEN
			it := jsonb_populate_record(NULL::walk.plain, a."Changes");
		WHEN 'update' THEN
			it := jsonb_populate_record(was, (SELECT jsonb_object_agg(key, value -> 1) FROM jsonb_each(a."Changes")));
			IF jsonb_populate_record(was, (SELECT jsonb_object_agg(key, value -> 0) FROM jsonb_each(a."Changes")))::text <> was::text THEN
				problems := problems || format('%s was %s, not as in %s', a."EntityId", left(was::text, 1000), left(a."Changes"::text, 1000));
			END IF;
			IF EXISTS (SELECT FROM jsonb_each(a."Changes") WHERE jsonb_array_length(value) <> 2) THEN
				problems := problems || format('%s has not two values', a."Changes");
			END IF;
		WHEN 'delete' THEN
			IF jsonb_populate_record(NULL::walk.plain, a."Changes")::text <> was::text THEN
				problems := problems || format('%s went as %s, not as %s', a."EntityId", left(a."Changes"::text, 1000), left(was::text, 1000));
			END IF;
		WHEN 'truncate' THEN
			IF a."Changes" IS NOT NULL OR a."EntityId" IS NOT NULL THEN
				problems := problems || format('TRUNCATE of %s', a."EntityId");
			END IF;
			DELETE FROM walk.state WHERE entity = t;
		END CASE;
		IF a."Changes" ?| '{seen,twice,gone}' THEN
			problems := problems || format('%s has too much', a."Changes");
		END IF;
		DELETE FROM walk.state WHERE entity = t AND entity_id = a."EntityId";
		IF a."Action" IN ('insert', 'update') THEN
			INSERT INTO walk.state SELECT it.*, t, walk.entity_id(t, it);
		END IF;
		s.rows := s.rows + 1;
		s.log := a."Id";
	END LOOP;
	EXECUTE format($sql$ SELECT $1 || array(SELECT format('%%s has %%s', w, left(x, 1000)) FROM (
			(SELECT 'the log', walk.text_of((id, region, n, amount, ratio, word, raw, at, span, days, tags, doc, kind, place, count, flag, uid, day, letter, NULL, NULL)) FROM walk.state WHERE entity = %1$L
				EXCEPT SELECT 'the log', walk.text_of((id, region, n, amount, ratio, word, raw, at, span, days, tags, doc, kind, place, count, flag, uid, day, letter, NULL, NULL)) FROM %1$s)
			UNION ALL (SELECT 'the table', walk.text_of((id, region, n, amount, ratio, word, raw, at, span, days, tags, doc, kind, place, count, flag, uid, day, letter, NULL, NULL)) FROM %1$s
				EXCEPT SELECT 'the table', walk.text_of((id, region, n, amount, ratio, word, raw, at, span, days, tags, doc, kind, place, count, flag, uid, day, letter, NULL, NULL)) FROM walk.state WHERE entity = %1$L)) d (w, x) LIMIT 3) $sql$, t)
		INTO problems USING problems;
	UPDATE walk.seen x SET log = s.log, heard = coalesce((SELECT max(h.n) FROM walk.heard h WHERE h.entity = t), x.heard), rows = s.rows WHERE x.entity = t;
	RETURN array_to_string(problems[1:4], '; ');
END $$;

-- The walk: the first state is there before the tables are tracked
SELECT setseed(:seed) \g /dev/null
SELECT walk.act(t, 3) FROM generate_series(1, 60), unnest('{walk.plain,walk.parts}'::text[]) t \g /dev/null
INSERT INTO walk.state SELECT p.*, 'walk.plain', walk.entity_id('walk.plain', p) FROM walk.plain p;
INSERT INTO walk.state SELECT p.*, 'walk.parts', walk.entity_id('walk.parts', p::walk.plain) FROM (SELECT * FROM walk.parts) p;
SELECT photoflow.track('walk.plain', '{seen}'), photoflow.track('walk.parts', '{seen}') \g /dev/null
-- not before: a table with a trigger for each row is recorded row by row
CREATE TRIGGER hear AFTER INSERT OR UPDATE OR DELETE ON walk.plain FOR EACH ROW EXECUTE FUNCTION walk.hear('walk.plain');
SELECT is((SELECT string_agg(table_name || ' by ' || level, ', ' ORDER BY table_name::text) FROM photoflow.tracked_tables), 'walk.parts by row, walk.plain by statement', 'one table is recorded by the statement, one row by row');
CREATE TABLE walk.parts_us1 PARTITION OF walk.parts_us FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO walk.seen SELECT t, photoflow.uuid_v7(), (SELECT coalesce(max(n), 0) FROM walk.heard) FROM unnest('{walk.plain,walk.parts}'::text[]) t;
SELECT coalesce(max(n), 0) AS before FROM walk.heard \gset
TRUNCATE walk.done;
SELECT format('CALL walk.go(%L, 50)', t),
	format('SELECT is(walk.differences(%1$L), '''', ''%1$s: operations %2$s to %3$s of the walk with seed %4$s'')', t, 50 * n - 49, 50 * n, :'seed'),
	-- a user's trigger on the log: by which each row is an INSERT; in a transaction that is rolled back at last, and half a walk without
	CASE WHEN n = :chunks / 3 AND t = 'walk.parts' THEN 'CREATE TRIGGER hear BEFORE INSERT ON "AuditLogs" FOR EACH ROW EXECUTE FUNCTION walk.hear_log()' END,
	CASE WHEN n = :chunks * 2 / 3 AND t = 'walk.parts' THEN 'DROP TRIGGER hear ON "AuditLogs"' END
	FROM generate_series(1, :chunks) n, unnest('{walk.plain,walk.parts}'::text[]) t ORDER BY n, t DESC \gexec
BEGIN;
SELECT walk.act(t, 0) FROM generate_series(1, 50), unnest('{walk.plain,walk.parts}'::text[]) t \g /dev/null
ROLLBACK;
SELECT is(walk.differences(t), '', t || ': operations that were rolled back') FROM unnest('{walk.plain,walk.parts}'::text[]) t;
SELECT is((SELECT rows FROM walk.seen WHERE entity = t), (SELECT count(*) FROM walk.heard WHERE entity = t AND n > :before), t || ': as many in the log as changes of rows') FROM unnest('{walk.plain,walk.parts}'::text[]) t;
SELECT is((SELECT count(*) FROM "AuditLogs"), (SELECT sum(rows)::bigint FROM walk.seen), 'and there is nothing else');
SELECT is((SELECT count(DISTINCT "Id") FROM "AuditLogs"), (SELECT count(*) FROM "AuditLogs"), 'no id is there twice');
SELECT is((SELECT string_agg(DISTINCT who::text, ', ') FROM walk.heard_of_log), (SELECT relowner::regrole::text FROM pg_class WHERE oid = '"AuditLogs"'::regclass), 'a trigger on the log runs as its owner');
SELECT is((SELECT count(*)::int FROM (SELECT id, lag(id) OVER (ORDER BY n) AS before FROM walk.heard_of_log) x WHERE before >= id), 0, 'and hears of changes in the order of their ids');
-- the walk has been everywhere: each operation was done and went well, and some were taken back
SELECT cmp_ok(count(*) FILTER (WHERE outcome = ''), '>', 0::bigint, format('%s was done', w)) FROM unnest('{insert,upsert,nothing,update,many,same,seen,delete,delete many,key,move,merge,swap,from,cursor,function,block}'::text[]) w
	LEFT JOIN walk.done ON what = w WHERE :operations >= 2000 GROUP BY w ORDER BY w;
SELECT cmp_ok(count(*), '>', 0::bigint, 'blocks were taken back') FROM walk.done WHERE what = 'block' AND outcome = '09000' HAVING :operations >= 2000;
SELECT cmp_ok(count(*), '>', (:operations / 4)::bigint, format('%s changes of %s', count(*), entity)) FROM walk.heard WHERE n > :before GROUP BY entity;
SELECT diag(format('%s operations, of which %s failed or were taken back; %s changes; the seed is %s', (SELECT count(*) FROM walk.done), (SELECT count(*) FROM walk.done WHERE outcome <> ''), (SELECT sum(rows) FROM walk.seen), :'seed'));

SELECT * FROM finish();
SELECT photoflow.untrack('walk.plain'), photoflow.untrack('walk.parts') \g /dev/null
SET client_min_messages = error;
DROP SCHEMA walk CASCADE;
DROP ROLE pgtap_audit_writer;
