-- Changes of rows, one by one: what a diff of each type is, what is not in it, what is masked, and whose it is.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null (null)
\pset format unaligned
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
INSERT INTO "Organizations" ("Id", "Name") SELECT lab.org(n), n FROM generate_series(75, 76) n;
CREATE ROLE regress_track_app;
CREATE ROLE regress_track_owner;
CREATE ROLE regress_track_other;
SELECT photoflow.grant_app('regress_track_app');
-- What the log has got since it was asked last, in the order of "Id"; it is taken out. What is the same in every change of a row is said only when it is not so.
CREATE TABLE lab.track_start AS SELECT photoflow.uuid_v7() AS id;
CREATE FUNCTION lab.taken(OUT action text, OUT entity_type text, OUT entity_id text, OUT changes jsonb, OUT org text, OUT user_id text, OUT role text, OUT request text, OUT login text)
	RETURNS SETOF record LANGUAGE sql SECURITY DEFINER SET photoflow.hard_delete = on AS $$
	WITH d AS (DELETE FROM "AuditLogs" WHERE "TransactionId" IS NOT NULL AND "Id" > (SELECT id FROM lab.track_start) RETURNING *)
	SELECT concat_ws(' ', d."Action", 'by ' || d."Operation", (SELECT 'but ' || string_agg(what, ', ') FROM unnest(ARRAY[CASE WHEN d."Status" <> 'Success' THEN 'status' END,
			CASE WHEN d."CreatedAt" NOT BETWEEN now() - interval '1 hour' AND now() THEN 'time' END, CASE WHEN photoflow.uuid_v7_time(d."Id") IS NULL THEN 'id' END, CASE WHEN d."IsDeleted" THEN 'deleted' END,
			CASE WHEN num_nonnulls(d."ServiceName", d."ExecutionTimeMs", d."ErrorMessage", d."RequestData", d."ResponseData", d."ProviderId", d."IpAddress", d."UserAgent", d."AdditionalData", d."StartedAt",
				d."CompletedAt", d."DeletedAt", d."DeletedBy", d."DeletionId") > 0 THEN 'more' END, CASE WHEN (d."UserId" IS NULL) <> (d."DbUser" IS NOT NULL) THEN 'login' END]) what)),
		d."EntityType", d."EntityId", d."Changes", coalesce((SELECT n::text FROM generate_series(75, 79) n WHERE lab.org(n) = d."OrgId"), CASE WHEN d."OrgId" = '00000000-0000-0000-0000-000000000000' THEN 'nil' ELSE 'another' END),
		d."UserId", d."Role", concat_ws(' ', d."RequestId", d."CorrelationId"), CASE WHEN d."DbUser" = session_user THEN 'session_user' ELSE d."DbUser" END
	FROM d ORDER BY d."Id"
$$;
-- as to_jsonb() has a row, without its NULLs; and each column as text
CREATE FUNCTION lab.row_of(r anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	kept jsonb := to_jsonb(r);
	col name;
	is_null boolean;
BEGIN
	FOR col IN SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.reltype = pg_typeof(r) AND a.attnum > 0 AND NOT a.attisdropped LOOP
		EXECUTE format('SELECT ($1).%I IS NOT DISTINCT FROM NULL', col) USING r INTO is_null;
		IF is_null THEN
			kept := kept - col::text;
		END IF;
	END LOOP;
	RETURN kept;
END $$;
CREATE FUNCTION lab.texts_of(r anyelement) RETURNS TABLE (col name, value text) LANGUAGE plpgsql AS $$
BEGIN
	FOR col IN SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.reltype = pg_typeof(r) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LOOP
		EXECUTE format('SELECT ($1).%I::text', col) USING r INTO value;
		RETURN NEXT;
	END LOOP;
END $$;

-- Every type -------------------------------------------------------------------------------------------------------------
CREATE TYPE lab.track_mood AS ENUM ('calm', 'it''s "mad"');
CREATE DOMAIN lab.track_count AS int CHECK (VALUE >= 0);
CREATE DOMAIN lab.track_words AS text[];
CREATE TYPE lab.track_point AS (x int, "y ""q""" text);
CREATE TYPE lab.track_line AS (a lab.track_point, b lab.track_point[], c lab.track_count);
CREATE DOMAIN lab.track_spot AS lab.track_point;
CREATE TABLE lab.track_types (id int PRIMARY KEY, c_int2 smallint, c_int4 int, c_int8 bigint, c_numeric numeric, c_scaled numeric(10, 2), c_float4 real, c_float8 float8, c_bool boolean, c_text text, c_varchar varchar(10), c_bpchar char(5),
	c_char "char", c_name name, c_bytea bytea, c_uuid uuid, c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz, c_interval interval, c_ints int[], c_texts text[], c_mood lab.track_mood, c_moods lab.track_mood[],
	c_count lab.track_count, c_words lab.track_words, c_point lab.track_point, c_spot lab.track_spot, c_line lab.track_line, c_range int4range, c_tsrange tstzrange, c_multi int4multirange, c_json json, c_jsonb jsonb, c_jsonbs jsonb[], c_inet inet,
	c_cidr cidr, c_mac macaddr, c_xml xml, c_bit bit(4), c_varbit varbit, c_plane point, c_search tsvector, c_oid oid, c_class regclass, c_path jsonpath, c_lsn pg_lsn);
CREATE TABLE lab.track_values (o int GENERATED ALWAYS AS IDENTITY, col name, a text, b text);
INSERT INTO lab.track_values (col, a, b) VALUES
	('c_int2', '-32768', '32767'), ('c_int4', '-2147483648', '2147483647'), ('c_int8', '-9223372036854775808', '9223372036854775807'),
	('c_numeric', 'NaN', '-Infinity'), ('c_numeric', '1.0', '1.00'), ('c_numeric', '-0.000000000000000000000000000001', '123456789012345678901234567890.5'), ('c_scaled', '0', '-0.01'),
	('c_float4', 'NaN', '0.1'), ('c_float4', '-0', '0'), ('c_float8', 'Infinity', '-Infinity'), ('c_float8', '0.1', '1e-20'), ('c_float8', '1.5e25', '12345678901234567'), ('c_bool', 'f', 't'),
	('c_text', '', ' '), ('c_text', 'it''s "so" \ /', E'a\tb\nc\r\x01\x7f'), ('c_text', 'e\u0301 {"a": [1, null]}', U&'\00e9 e\0301 \+01F600 \FFFF'), ('c_text', 'null', '***'),
	('c_varchar', 'ab  ', 'ab'), ('c_bpchar', 'ab', 'abcde'), ('c_char', 'x', ''), ('c_name', 'pg', 'a "b"'), ('c_bytea', '\x', '\x00ff5c27'), ('c_uuid', '00000000-0000-0000-0000-000000000000', 'ABCDEF01-2345-6789-abcd-ef0123456789'),
	('c_date', '4714-11-24 BC', 'infinity'), ('c_date', '0044-03-15 BC', '5874897-12-31'), ('c_time', '00:00', '24:00'), ('c_timetz', '12:00:00.000001+05:30', '12:00:00-15:59:59'),
	('c_timestamp', '-infinity', '2026-02-28 23:59:59.999999'), ('c_timestamptz', 'infinity', '2026-02-28 23:59:59.5+02'), ('c_timestamptz', '0001-01-01 BC', '12345-06-07'), ('c_interval', '-1 mons +2 days -03:04:05.000006', '24:00:00'),
	('c_interval', '1 day', '30 days'), ('c_ints', '{}', '{1,NULL,-3}'), ('c_ints', '{{1,2},{3,4}}', '[0:1]={1,2}'), ('c_ints', '{1,2}', '[0:1]={1,2}'), ('c_texts', '{NULL,"NULL","",a b,"\"q\""}', '{"{}"}'), ('c_mood', 'calm', 'it''s "mad"'),
	('c_moods', '{calm}', '{calm,"it''s \"mad\""}'), ('c_count', '0', '7'), ('c_words', '{a}', '{}'), ('c_point', '(1,"a ""b""")', '(,)'), ('c_point', '(1,)', '(1,"")'), ('c_spot', '(1,a)', '(2,a)'),
	('c_line', '("(1,a)","{""(2,b)"",NULL}",3)', '(,{},)'), ('c_range', 'empty', '[1,5]'), ('c_range', '(,)', '[3,)'), ('c_tsrange', '["2026-01-01 00:00+00",infinity)', '(,"2026-01-01 00:00+00"]'), ('c_multi', '{}', '{[1,3),[5,7)}'),
	('c_json', '{"b": 1, "a": [true, null]}', '"text"'), ('c_json', '{"a":1}', '{ "a" : 1 }'), ('c_json', 'null', '0'), ('c_jsonb', '{"b": 1, "a": [true, null, 1.50]}', '"text"'), ('c_jsonb', '1', '1.0'), ('c_jsonb', '[]', '{}'), ('c_jsonb', 'false', 'null'),
	('c_jsonbs', '{1,"null",NULL}', '{"{\"a\": \"b\"}"}'), ('c_inet', '10.0.0.1', '::1/64'), ('c_inet', '10.0.0.1/32', '10.0.0.1/24'), ('c_cidr', '10.0.0.0/8', 'fe80::/10'), ('c_mac', '08:00:2b:01:02:03', 'ff-ff-ff-ff-ff-ff'), ('c_xml', '<a b="c">&lt;"</a>', 'x<y/>'),
	('c_bit', '0000', '1010'), ('c_varbit', '', '101'), ('c_plane', '(0,-1.5)', '(NaN,Infinity)'), ('c_search', 'a:1B ''b c''', ''), ('c_oid', '0', '4294967295'), ('c_class', 'pg_catalog.pg_class', '0'), ('c_path', '$.a[*]', 'strict $'), ('c_lsn', '0/0', 'FFFFFFFF/FFFFFFFF');
SELECT photoflow.track('lab.track_types');
INSERT INTO lab.track_types (id) VALUES (1);
SELECT action, entity_type, entity_id, changes FROM lab.taken();
-- each: NULL, a value, another, the same again, NULL, NULL again. The statement is the same, so is its plan
CREATE PROCEDURE lab.walk_types() LANGUAGE plpgsql AS $$
DECLARE
	v lab.track_values;
BEGIN
	FOR v IN SELECT * FROM lab.track_values ORDER BY o LOOP
		EXECUTE format('UPDATE lab.track_types SET %I = %L WHERE id = 1', v.col, v.a);
		EXECUTE format('UPDATE lab.track_types SET %I = %L WHERE id = 1', v.col, v.b);
		EXECUTE format('UPDATE lab.track_types SET %I = %L WHERE id = 1', v.col, v.b);
		EXECUTE format('UPDATE lab.track_types SET %I = NULL WHERE id = 1', v.col);
		EXECUTE format('UPDATE lab.track_types SET %I = NULL WHERE id = 1', v.col);
	END LOOP;
END $$;
CALL lab.walk_types();
SELECT action, entity_id, changes FROM lab.taken();
-- a whole row comes, and goes; there is one for each place in the list of a column's values
CREATE PROCEDURE lab.insert_types() LANGUAGE plpgsql AS $$
DECLARE
	columns text;
	v text;
	n int := 100;
BEGIN
	LOOP
		SELECT string_agg(format('%I', col), ', ' ORDER BY o), string_agg(format('%L', w), ', ' ORDER BY o) INTO columns, v
			FROM (SELECT min(o) AS o, col, (array_agg(w ORDER BY o, w))[1 + n - 100] AS w FROM lab.track_values, unnest(ARRAY[a, b]) w GROUP BY col) x WHERE w IS NOT NULL;
		EXIT WHEN columns IS NULL;
		EXECUTE format('INSERT INTO lab.track_types (id, %s) VALUES (%s, %s)', columns, n, v);
		n := n + 1;
	END LOOP;
END $$;
CALL lab.insert_types();
CREATE TEMP TABLE inserted AS SELECT * FROM lab.taken();
SELECT count(*) AS rows, count(*) FILTER (WHERE i.changes = lab.row_of(t)) AS as_to_jsonb, count(DISTINCT i.entity_id) AS entities, sum((SELECT count(*) FROM jsonb_object_keys(i.changes))) AS keys
	FROM inserted i JOIN lab.track_types t ON t.id = i.entity_id::int WHERE i.action = 'insert';
-- reading them back gives the same, but for a JSON null, the bounds of arrays, the spaces of json and the sign of zero
SELECT i.entity_id, t.col, t.value AS stored, b.value AS read FROM inserted i JOIN lab.track_types r ON r.id = i.entity_id::int, lab.texts_of(r) t, lab.texts_of(jsonb_populate_record(NULL::lab.track_types, i.changes)) b
	WHERE t.col = b.col AND t.value IS DISTINCT FROM b.value ORDER BY 1, 2;
DELETE FROM lab.track_types WHERE id > 99;
SELECT count(*) AS rows, count(*) FILTER (WHERE d.changes = i.changes AND d.action = 'delete') AS as_inserted FROM lab.taken() d JOIN inserted i USING (entity_id);
-- whatever a session writes values like, they are read back as they were, and a row is called the same
CREATE TABLE lab.track_dated (at timestamptz PRIMARY KEY, day date, stamp timestamp, zoned timetz, span interval, bytes bytea, f4 real, f8 float8, during tstzrange, days daterange[], spans interval[]);
SELECT photoflow.track('lab.track_dated');
SET DateStyle = 'German, DMY';
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'sql_standard';
SET bytea_output = 'escape';
SET extra_float_digits = -15;
INSERT INTO lab.track_dated VALUES ('2026-02-03 10:00+00', '2026-02-03', '2026-02-03 10:00', '10:00+00', '-1 day 02:03', '\x00ff', 0.3::real + 1e-7, 0.1::float8 + 0.2, '[2026-02-03 10:00+00,)', '{"[2026-02-03,2026-03-02)"}', '{1 mon -1 day}');
UPDATE lab.track_dated SET f8 = f8 + 1e-16, f4 = f4 + 1e-7, at = '2026-02-03 11:00+00';
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
RESET bytea_output;
RESET extra_float_digits;
CREATE TEMP TABLE dated AS SELECT * FROM lab.taken();
SELECT action, entity_id, changes FROM dated;
SELECT t.col, t.value AS stored, b.value AS read FROM lab.track_dated r, lab.texts_of(r) t, dated i, dated u, lab.texts_of(jsonb_populate_record(NULL::lab.track_dated, i.changes || (SELECT jsonb_object_agg(key, value -> 1) FROM jsonb_each(u.changes)))) b
	WHERE i.action = 'insert' AND u.action = 'update' AND t.col = b.col AND t.value IS DISTINCT FROM b.value ORDER BY 1;
SELECT photoflow.untrack('lab.track_dated');
DROP TABLE lab.track_dated, dated;
-- several columns at once: those that differ, no others
UPDATE lab.track_types SET c_int4 = 5, c_text = 'x', c_date = c_date, c_bytea = c_bytea || '\x', id = 3 WHERE id = 1;
SELECT action, entity_id, changes FROM lab.taken();
SELECT photoflow.untrack('lab.track_types');
DROP TABLE lab.track_types, lab.track_values, inserted;
DROP PROCEDURE lab.walk_types(), lab.insert_types();

-- Big values -------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.track_big (id int PRIMARY KEY, note text, packed text, outside text, bytes bytea, doc jsonb);
ALTER TABLE lab.track_big ALTER outside SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL;
SELECT photoflow.track('lab.track_big');
-- what is there of a change, with the lengths of what is long
CREATE FUNCTION lab.short(changes jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(key || ': ' || CASE WHEN jsonb_typeof(value) = 'array' THEN (SELECT string_agg(CASE WHEN length(v #>> '{}') > 100 THEN length(v #>> '{}') || ' of ' || left(v #>> '{}', 3) ELSE v::text END, ' -> ' ORDER BY o) FROM jsonb_array_elements(value) WITH ORDINALITY e (v, o))
		WHEN length(value #>> '{}') > 100 THEN length(value #>> '{}') || ' of ' || left(value #>> '{}', 3) ELSE value::text END, ', ' ORDER BY key) FROM jsonb_each(changes)
$$;
INSERT INTO lab.track_big VALUES (1, 'a', repeat('p', 3000000), repeat('out', 1000000), decode(repeat('ab', 2000000), 'hex'), jsonb_build_object('k', repeat('d', 2000000), 'n', 1));
SELECT action, lab.short(changes - 'doc'), length(changes #>> '{doc,k}') AS doc, changes = lab.row_of(b) AS whole FROM lab.taken(), lab.track_big b;
-- untouched, and written anew with the same bytes: not in it
UPDATE lab.track_big SET note = 'b';
UPDATE lab.track_big SET note = 'c', packed = packed || '', outside = substr(outside, 1), bytes = bytes || '\x', doc = doc || '{"n": 1}';
UPDATE lab.track_big SET packed = packed || '', outside = outside || '', bytes = bytes || '\x', doc = jsonb_set(doc, '{n}', '1');
SELECT action, changes FROM lab.taken();
-- stored in another way it is the same
ALTER TABLE lab.track_big ALTER packed SET STORAGE EXTERNAL, ALTER outside SET STORAGE MAIN;
UPDATE lab.track_big SET note = 'd', packed = packed || '', outside = outside || '';
SELECT action, changes FROM lab.taken();
-- one of its bytes, its last, differs
UPDATE lab.track_big SET packed = overlay(packed PLACING 'q' FROM 3000000);
UPDATE lab.track_big SET bytes = set_byte(bytes, 0, 0), outside = 'o', doc = doc || '{"n": 2}';
UPDATE lab.track_big SET packed = NULL, bytes = NULL, doc = NULL;
SELECT action, lab.short(changes - 'doc'), length(changes #>> '{doc,0,k}') AS doc_was, changes #> '{doc,1,n}' AS n, jsonb_typeof(changes #> '{doc,1}') AS doc_is FROM lab.taken();
UPDATE lab.track_big SET note = repeat('x', 100), packed = repeat('p', 3000000);
DELETE FROM lab.track_big;
SELECT action, lab.short(changes) FROM lab.taken();
-- more than 100 MB in one row: what is too much is left out, what is small is there
INSERT INTO lab.track_big (id, note, packed, outside) VALUES (1, 'small', repeat('p', 60 * 1024 * 1024), repeat('o', 60 * 1024 * 1024 + 7));
UPDATE lab.track_big SET note = 'still small', packed = repeat('q', 60 * 1024 * 1024);
UPDATE lab.track_big SET note = 'and', packed = NULL, outside = NULL;
SELECT action, lab.short(changes) FROM lab.taken();
-- what is less is whole, of whatever type it is
TRUNCATE lab.track_big;
INSERT INTO lab.track_big (id, bytes, doc) VALUES (1, decode(repeat('ab', 14 * 1024 * 1024), 'hex'), jsonb_build_object('k', repeat('d', 14 * 1024 * 1024)));
UPDATE lab.track_big SET doc = jsonb_build_object('k', repeat('e', 14 * 1024 * 1024));
SELECT action, lab.short(changes - 'doc'), length(changes #>> '{doc,k}') AS doc, length(changes #>> '{doc,0,k}') AS doc_was, length(changes #>> '{doc,1,k}') AS doc_is FROM lab.taken();
SELECT photoflow.untrack('lab.track_big');
DROP TABLE lab.track_big;

-- Columns that come, go and follow -----------------------------------------------------------------------------------------
CREATE TABLE lab.track_columns (gone_before int, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, gone text, again int GENERATED BY DEFAULT AS IDENTITY (START 10));
ALTER TABLE lab.track_columns DROP gone_before;
SELECT photoflow.track('lab.track_columns');
INSERT INTO lab.track_columns (n, gone) VALUES (1, 'g'), (NULL, NULL);
UPDATE lab.track_columns SET n = 2 WHERE id = 1;
UPDATE lab.track_columns SET again = DEFAULT WHERE id = 2;
SELECT action, entity_id, changes FROM lab.taken();
ALTER TABLE lab.track_columns DROP gone, ADD late text DEFAULT 'late', ADD later timestamptz;
-- rows of before have the default without being written
UPDATE lab.track_columns SET n = 3 WHERE id = 1;
UPDATE lab.track_columns SET late = 'late' WHERE id = 1;
UPDATE lab.track_columns SET late = 'now' WHERE id = 1;
UPDATE lab.track_columns SET late = NULL WHERE id = 2;
INSERT INTO lab.track_columns (n) VALUES (4);
SELECT action, entity_id, changes FROM lab.taken();
-- generated no more: a column like others
ALTER TABLE lab.track_columns ALTER twice DROP EXPRESSION;
UPDATE lab.track_columns SET twice = 0 WHERE id = 3;
SELECT action, entity_id, changes FROM lab.taken();
-- rewritten, of another type, of another name, put in another place: nothing of it is a change of a row
ALTER TABLE lab.track_columns ALTER n TYPE numeric(10, 2) USING n / 4.0, ALTER late TYPE varchar(20);
ALTER TABLE lab.track_columns RENAME n TO number;
SELECT action, entity_id, changes FROM lab.taken();
UPDATE lab.track_columns SET number = number + 1, late = 'x';
DELETE FROM lab.track_columns WHERE id = 1;
SELECT action, entity_id, changes FROM lab.taken();
ALTER TABLE lab.track_columns RENAME TO track_renamed;
UPDATE lab.track_renamed SET number = 0 WHERE id = 3;
ALTER TABLE lab.track_renamed SET SCHEMA public;
UPDATE track_renamed SET number = 1 WHERE id = 3;
SELECT action, entity_type, entity_id, changes FROM lab.taken();
SELECT photoflow.untrack('track_renamed');
DROP TABLE track_renamed;

-- Names --------------------------------------------------------------------------------------------------------------------
CREATE SCHEMA "lab ""two""";
CREATE TABLE "lab ""two"""."it's a ""ta.ble""" ("a ""b"" \ é" int PRIMARY KEY, "it's" text, "ignore:me" int, "o'\clock" int, "***" int, " " int, "mask:this" int, "ctid " int, "select" int,
	"sixty-three bytes sixty-three bytes sixty-three bytes 123456789" int);
SELECT photoflow.track('"lab ""two"""."it''s a ""ta.ble"""', '{"o''\\clock",ignore:me}', '{it''s,mask:this}');
SELECT * FROM photoflow.tracked_tables WHERE table_name::text LIKE '%ta.ble%';
INSERT INTO "lab ""two"""."it's a ""ta.ble""" VALUES (1, 'secret', 2, 3, 4, 5, 6, 7, 8, 9);
UPDATE "lab ""two"""."it's a ""ta.ble""" SET "ignore:me" = 3, "o'\clock" = 4;
UPDATE "lab ""two"""."it's a ""ta.ble""" SET "ignore:me" = 4, " " = 6, "it's" = 'shh', "***" = NULL;
DELETE FROM "lab ""two"""."it's a ""ta.ble""";
SELECT action, entity_type, entity_id, changes FROM lab.taken();
DROP SCHEMA "lab ""two""" CASCADE;
SELECT count(*) FROM photoflow.tracked_tables WHERE table_name::text LIKE '%ta.ble%';

-- 1,600 columns
CREATE PROCEDURE lab.wide(what text, col text, separator text DEFAULT ', ') LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format(what, (SELECT string_agg(format(col, n, n + 1), separator ORDER BY n) FROM generate_series(1, 1600) n));
END $$;
CALL lab.wide('CREATE TABLE lab.track_wide (%s)', 'c%s int2');
ALTER TABLE lab.track_wide ADD PRIMARY KEY (c1600);
SELECT photoflow.track('lab.track_wide');
CALL lab.wide('INSERT INTO lab.track_wide VALUES (%s)', '%s');
UPDATE lab.track_wide SET c1 = 0, c800 = NULL;
CALL lab.wide('UPDATE lab.track_wide SET %s', 'c%s = %s');
SELECT action, entity_id, (SELECT count(*) FROM jsonb_object_keys(changes)) AS keys, changes -> 'c1' AS c1, changes -> 'c800' AS c800, changes -> 'c1600' AS c1600 FROM lab.taken();
SELECT photoflow.untrack('lab.track_wide');
DROP TABLE lab.track_wide;
DROP PROCEDURE lab.wide(text, text, text);

-- Which row ----------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.track_keyless (a int UNIQUE NOT NULL, b text);
CREATE TABLE lab.track_pair (b text, n int, a int, PRIMARY KEY (a, b));
CREATE TABLE lab.track_times (at timestamptz PRIMARY KEY, n int);
SELECT photoflow.track('lab.track_keyless'), photoflow.track('lab.track_pair'), photoflow.track('lab.track_times');
INSERT INTO lab.track_keyless VALUES (1, 'a'), (2, 'b'), (3, 'b');
UPDATE lab.track_keyless SET b = 'c' WHERE a > 1;
DELETE FROM lab.track_keyless WHERE a = 1;
SELECT action, entity_type, entity_id, changes FROM lab.taken();
INSERT INTO lab.track_pair VALUES ('a', 0, 1), ('it''s "b", \', 0, -2), ('', NULL, 3), ('né', 0, 4);
UPDATE lab.track_pair SET n = 1 WHERE a < 2;
-- the key as it was; the new one is in the diff, and the row's from then on
UPDATE lab.track_pair SET a = 10, b = 'aa' WHERE a = 1;
UPDATE lab.track_pair SET n = 2 WHERE a = 10;
DELETE FROM lab.track_pair WHERE a IN (10, 3);
SELECT action, entity_id, changes FROM lab.taken();
INSERT INTO lab.track_times VALUES ('2026-01-01 12:00+00', 1);
SELECT action, entity_id, changes FROM lab.taken();
-- columns that a key includes are none of it
CREATE TABLE lab.track_including (a int, b int, PRIMARY KEY (a) INCLUDE (b));
SELECT photoflow.track('lab.track_including');
INSERT INTO lab.track_including VALUES (1, 2);
SELECT action, entity_id, changes FROM lab.taken();
DROP TABLE lab.track_including;
-- in one statement, from row to row
CREATE TABLE lab.track_chain (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
SELECT photoflow.track('lab.track_chain');
INSERT INTO lab.track_chain VALUES (1), (2), (3);
UPDATE lab.track_chain SET id = id + 1;
SELECT action, entity_id, changes FROM lab.taken();
-- a key that comes and goes with track() in place
ALTER TABLE lab.track_pair DROP CONSTRAINT track_pair_pkey;
UPDATE lab.track_pair SET n = 3 WHERE a = 4;
ALTER TABLE lab.track_pair ADD PRIMARY KEY (b);
UPDATE lab.track_pair SET n = 4 WHERE a = 4;
SELECT action, entity_id, changes FROM lab.taken();
SELECT photoflow.untrack('lab.track_keyless'), photoflow.untrack('lab.track_pair'), photoflow.untrack('lab.track_times'), photoflow.untrack('lab.track_chain');
DROP TABLE lab.track_keyless, lab.track_pair, lab.track_times, lab.track_chain;

-- Ignored and masked -------------------------------------------------------------------------------------------------------
CREATE TABLE lab.track_secrets (id int PRIMARY KEY, seen int, iban text, twofold text, n int, "HashedPassword" text, "Claim-Token" int, api_key text, "PWD" bytea, "TokenCount" int, tokens text, passwords text, secretary text, "Cookie" text, "cookies" text, "Set-Cookie" jsonb,
	authorization_ text, "Connection_String" text, private__key text, credential text, credentials text, password_hash text, hash_password_old text, doc jsonb, raw json, docs jsonb[]);
SELECT photoflow.track('lab.track_secrets', '{seen,twofold}', '{twofold,iban,n}');
INSERT INTO lab.track_secrets VALUES (1, 2, 'DE1', 'twofold', 3, 'h', 4, 'k', '\x00', 5, 't', 'p', 's', 'c', 'cs', '{"a": [1]}', 'auth', 'cs', 'pk', 'one', 'many', 'ph', 'hpo');
SELECT key, value FROM lab.taken(), jsonb_each(changes) ORDER BY value, key COLLATE "C";
-- only what is ignored: no row; beside something else: not in it
UPDATE lab.track_secrets SET seen = seen + 1, twofold = 'x';
SELECT count(*) FROM lab.taken();
UPDATE lab.track_secrets SET seen = seen + 1, "TokenCount" = 6;
UPDATE lab.track_secrets SET iban = 'DE2', n = n + 1, "HashedPassword" = 'i', "PWD" = '\x01';
UPDATE lab.track_secrets SET iban = 'DE2', "HashedPassword" = 'i' || '';
UPDATE lab.track_secrets SET iban = NULL, "Claim-Token" = NULL, "Set-Cookie" = NULL;
UPDATE lab.track_secrets SET iban = '', "Claim-Token" = 0, "Set-Cookie" = 'null';
SELECT action, entity_id, changes FROM lab.taken();
-- names of secrets within JSON, however deep, of any type of value; strings are not searched
UPDATE lab.track_secrets SET doc = '{"password": "a", "Api-Key": 1, "a": [{"clientSecret": {"x": 1}, "b": [[{"TOKEN": [1]}]]}, "password", "Bearer abc", "password=abc"], "tokens": 1, "Cookie": null, "pwd": "***"}';
UPDATE lab.track_secrets SET raw = '{"pass_word": 1, "p\u0061ssword": 2, "x": {"refresh_token": "abc", "refresh_token": "def"}}', docs = ARRAY['{"secret": 1}', '[{"secret": [2]}]']::jsonb[];
SELECT action, changes FROM lab.taken();
-- that a secret has changed is told, not what it was
UPDATE lab.track_secrets SET doc = '{"password": "a", "b": 1}';
UPDATE lab.track_secrets SET doc = '{"password": "b", "b": 1}';
UPDATE lab.track_secrets SET doc = '{"password": "b", "b": 2}', docs = NULL;
SELECT action, changes - 'docs' AS changes FROM lab.taken();
DELETE FROM lab.track_secrets;
SELECT changes -> 'iban' AS iban, changes -> 'doc' AS doc, changes -> 'raw' AS raw, changes ? 'docs' AS docs, changes ? 'seen' AS seen, changes ? 'twofold' AS twofold FROM lab.taken();
-- whichever way the key is written
CREATE TYPE lab.track_holder AS (j json);
CREATE TABLE lab.track_json (id int, j json, js json[], c lab.track_holder);
SELECT photoflow.track('lab.track_json');
INSERT INTO lab.track_json (id, j) VALUES (1, '{"p\u0061ssword": "shh", "name": "\u00e9\ud83d\ude00", "a": [{"toke\u006E": 1}]}');
UPDATE lab.track_json SET j = '{"p\u0061ssword": "ssh", "name": "\\u0065 12e1000"}', js = ARRAY['{"p\u0061ssword": "shh"}']::json[], c = ROW('{"p\u0061ssword": "shh"}');
SELECT action, changes FROM lab.taken();
-- json takes what jsonb has no room for. The statement is none the worse for it, and what is recorded has no secrets
CREATE TABLE lab.track_strange (o int, v json);
INSERT INTO lab.track_strange VALUES (1, '{"p\u0061ssword": "shh", "a": "\u0000"}'), (2, '{"password": "shh", "a": "\ud83d"}'), (3, '{"password": "shh", "a": 1e999999}'), (4, ('{"password": "shh", "a": ' || repeat('9', 140000) || '}')::json),
	(5, ('{"password": "shh", "a": 0.' || repeat('9', 20000) || '}')::json);
UPDATE lab.track_json j SET j = v, id = o FROM lab.track_strange WHERE o = 1;
UPDATE lab.track_json j SET j = v, id = o FROM lab.track_strange WHERE o = 2;
UPDATE lab.track_json j SET j = v, id = o FROM lab.track_strange WHERE o = 3;
UPDATE lab.track_json j SET j = v, id = o FROM lab.track_strange WHERE o = 4;
UPDATE lab.track_json j SET j = v, id = o FROM lab.track_strange WHERE o = 5;
UPDATE lab.track_json j SET js = ARRAY[v], id = o + 10 FROM lab.track_strange WHERE o = 1;
UPDATE lab.track_json j SET js = ARRAY[v], id = o + 10 FROM lab.track_strange WHERE o = 3;
UPDATE lab.track_json j SET js = NULL, c = ROW(v), id = o + 20 FROM lab.track_strange WHERE o = 2;
UPDATE lab.track_json j SET js = NULL, c = ROW(v), id = o + 20 FROM lab.track_strange WHERE o = 4;
DELETE FROM lab.track_json;
SELECT action, CASE action WHEN 'update' THEN changes #> '{id,1}' END AS id, array(SELECT key FROM jsonb_object_keys(changes) key ORDER BY key) AS columns, changes::text ~ 'shh' AS tells FROM lab.taken();
DROP TABLE lab.track_json, lab.track_strange;
DROP TYPE lab.track_holder;
-- within composites, arrays of them, domains over them
CREATE TYPE lab.track_login AS (name text, "Password" text, more jsonb);
CREATE DOMAIN lab.track_login_d AS lab.track_login;
CREATE DOMAIN lab.track_json_d AS jsonb;
CREATE TABLE lab.track_logins (id int, one lab.track_login, many lab.track_login[], d lab.track_login_d, j lab.track_json_d, js lab.track_json_d[]);
SELECT photoflow.track('lab.track_logins');
INSERT INTO lab.track_logins VALUES (1, '(a,b,"{""token"": 1}")', ARRAY['(a,b,)', NULL]::lab.track_login[], '(a,b,"[{""token"": 1}]")', '{"token": 1, "a": "b"}', ARRAY['{"token": 1}']::lab.track_json_d[]);
UPDATE lab.track_logins SET one."Password" = 'c';
SELECT entity_type, action, changes FROM lab.taken();
-- a secret for a key
CREATE TABLE lab.track_token (token text PRIMARY KEY, n int);
SELECT photoflow.track('lab.track_token');
INSERT INTO lab.track_token VALUES ('t1', 1);
SELECT action, entity_id, changes FROM lab.taken();
-- track() again replaces what was said
SELECT photoflow.track('lab.track_logins', masked_columns => '{id}');
UPDATE lab.track_logins SET id = 2, one = NULL, many = NULL, d = NULL, j = NULL, js = NULL;
SELECT photoflow.track('lab.track_logins', '{}', '{}');
UPDATE lab.track_logins SET id = 3;
SELECT photoflow.track('lab.track_logins', '{id}');
UPDATE lab.track_logins SET id = 4;
SELECT photoflow.track('lab.track_logins', ARRAY[]::name[], NULL);
UPDATE lab.track_logins SET id = 5;
SELECT action, changes FROM lab.taken();
-- only what is ignored: whole rows still come and go
SELECT photoflow.track('lab.track_logins', '{id,one,many,d,j,js}');
INSERT INTO lab.track_logins VALUES (6);
UPDATE lab.track_logins SET id = 7;
DELETE FROM lab.track_logins;
SELECT action, entity_id, changes FROM lab.taken();
DROP TABLE lab.track_logins, lab.track_token;
DROP DOMAIN lab.track_login_d, lab.track_json_d;
DROP TYPE lab.track_login;
-- a masked column that was renamed: nothing is shown any more, until one says anew what is a secret
SELECT photoflow.track('lab.track_secrets', '{seen}', '{iban,n}');
INSERT INTO lab.track_secrets (id, seen, iban, n, tokens) VALUES (1, 1, 'DE1', 1, 'a');
ALTER TABLE lab.track_secrets RENAME iban TO account;
UPDATE lab.track_secrets SET account = 'DE2', tokens = 'b', "TokenCount" = 7, seen = 2;
UPDATE lab.track_secrets SET tokens = NULL, doc = '{"a": 1}';
INSERT INTO lab.track_secrets (id, account) VALUES (2, 'DE3');
DELETE FROM lab.track_secrets WHERE id = 2;
SELECT action, changes FROM lab.taken();
ALTER TABLE lab.track_secrets RENAME account TO iban;
UPDATE lab.track_secrets SET iban = 'DE4', tokens = 'c';
ALTER TABLE lab.track_secrets DROP iban;
UPDATE lab.track_secrets SET tokens = 'd', n = 2;
SELECT masked_columns FROM photoflow.tracked_tables WHERE table_name = 'lab.track_secrets'::regclass;
SELECT photoflow.track('lab.track_secrets', masked_columns => '{iban}');
\echo :LAST_ERROR_SQLSTATE
UPDATE lab.track_secrets SET tokens = 'e', n = 3;
SELECT photoflow.track('lab.track_secrets', masked_columns => '{n}');
UPDATE lab.track_secrets SET tokens = 'f', n = 4;
SELECT action, changes FROM lab.taken();
-- an ignored one that was renamed is one like others
SELECT photoflow.track('lab.track_secrets', '{seen}');
ALTER TABLE lab.track_secrets RENAME seen TO looked;
UPDATE lab.track_secrets SET looked = 9, n = 5;
SELECT action, changes FROM lab.taken();

-- What is tracked, and what cannot be -------------------------------------------------------------------------------------
SELECT photoflow.track('lab.track_secrets', '{looked,id}', '{id,n}');
SELECT * FROM photoflow.tracked_tables WHERE table_name::text LIKE 'lab.track%';
SELECT DISTINCT t.tgname FROM pg_trigger t WHERE t.tgrelid = 'lab.track_secrets'::regclass AND NOT t.tgname ~ '^00_PhotoflowAudit';
ALTER TABLE lab.track_secrets DISABLE TRIGGER ALL;
UPDATE lab.track_secrets SET tokens = 'g';
SELECT enabled FROM photoflow.tracked_tables WHERE table_name = 'lab.track_secrets'::regclass;
ALTER TABLE lab.track_secrets ENABLE TRIGGER ALL;
SELECT enabled FROM photoflow.tracked_tables WHERE table_name = 'lab.track_secrets'::regclass;
SELECT photoflow.untrack('lab.track_secrets'), photoflow.untrack('lab.track_secrets');
UPDATE lab.track_secrets SET tokens = 'h';
SELECT count(*) FROM photoflow.tracked_tables WHERE table_name::text LIKE 'lab.track%';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'lab.track_secrets'::regclass;
SELECT count(*) FROM lab.taken();
-- that is rolled back
BEGIN;
SELECT photoflow.track('lab.track_secrets');
UPDATE lab.track_secrets SET tokens = 'i';
SELECT changes FROM lab.taken();
ROLLBACK;
UPDATE lab.track_secrets SET tokens = 'j';
SELECT count(*) FROM lab.taken();
CREATE VIEW lab.track_view AS SELECT * FROM lab.track_secrets;
CREATE MATERIALIZED VIEW lab.track_matview AS SELECT 1 AS a;
CREATE SEQUENCE lab.track_seq;
CREATE INDEX track_index ON lab.track_secrets (n);
CREATE FOREIGN DATA WRAPPER regress_track_fdw;
CREATE SERVER regress_track_server FOREIGN DATA WRAPPER regress_track_fdw;
CREATE FOREIGN TABLE lab.track_foreign (a int) SERVER regress_track_server;
CREATE TEMP TABLE track_temp (a int);
SELECT photoflow.track('lab.track_view');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_matview');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_seq');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_index');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_foreign');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('track_temp');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('"AuditLogs"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('"AuditLogs_default"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('"AuditSeals"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('"AuditSettings"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.untrack(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', '{n,NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', NULL, ARRAY[NULL]::name[]);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', '{N}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', NULL, '{n,nothing}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', '{ctid}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', '{iban}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('lab.track_secrets', '{........pg.dropped.3........}');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track(0::regclass);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.track('pg_class');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM photoflow.tracked_tables WHERE table_name::text LIKE 'lab.track%';
-- who may
SET ROLE regress_track_app;
SELECT photoflow.track('"Albums"');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.untrack('"Albums"');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) AS anybody_may_see FROM photoflow.tracked_tables WHERE table_name::text LIKE 'lab.track%';
RESET ROLE;
GRANT EXECUTE ON FUNCTION photoflow.track(regclass, name[], name[]), photoflow.untrack(regclass) TO regress_track_owner;
SET ROLE regress_track_owner;
SELECT photoflow.track('lab.track_secrets');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.untrack('lab.track_secrets');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
REVOKE EXECUTE ON FUNCTION photoflow.track(regclass, name[], name[]), photoflow.untrack(regclass) FROM regress_track_owner;
DROP VIEW lab.track_view;
DROP MATERIALIZED VIEW lab.track_matview;
DROP SEQUENCE lab.track_seq;
DROP FOREIGN TABLE lab.track_foreign;
DROP SERVER regress_track_server;
DROP FOREIGN DATA WRAPPER regress_track_fdw;
DROP TABLE track_temp, lab.track_secrets;

-- Whose it is --------------------------------------------------------------------------------------------------------------
CREATE TABLE lab.track_own (id int PRIMARY KEY, "OrgId" uuid, n int);
CREATE TABLE lab.track_texts (id int PRIMARY KEY, "OrgId" text);
CREATE TABLE lab.track_none (id int PRIMARY KEY, orgid uuid, n int);
SELECT photoflow.track('lab.track_own'), photoflow.track('lab.track_texts'), photoflow.track('lab.track_none');
SELECT lab.org(75) AS org, lab.org(76) AS org2, lab.id('user', 75) AS "user" \gset
-- nobody is said: the nil organization, the login
INSERT INTO lab.track_own VALUES (1, :'org', 0), (2, NULL, 0);
INSERT INTO lab.track_texts VALUES (1, :'org');
INSERT INTO lab.track_none VALUES (1, :'org', 0);
SELECT entity_type, entity_id, org, user_id, role, request, login FROM lab.taken();
-- the context says: of the organization where the row does not; a user, then no login
BEGIN;
SELECT photoflow.set_context(:'org2', :'user', 'photographer,retoucher', 'req-1', 'corr-1');
INSERT INTO lab.track_own VALUES (3, :'org', 0), (4, NULL, 0);
INSERT INTO lab.track_texts VALUES (2, :'org');
INSERT INTO lab.track_none VALUES (2, :'org', 0);
SELECT photoflow.set_context(:'org2', NULL, NULL, 'req-2');
UPDATE lab.track_own SET n = 1 WHERE id > 2;
SELECT photoflow.set_context(NULL, :'user');
UPDATE lab.track_none SET n = 1;
SELECT photoflow.set_context(NULL, NULL, 'photographer');
DELETE FROM lab.track_none WHERE id = 1;
COMMIT;
UPDATE lab.track_none SET n = 2;
SELECT entity_type, entity_id, org, user_id = :'user' AS its_user, role, request, login FROM lab.taken();
-- by settings of the session
SET photoflow.org_id = :'org2';
SET photoflow.user_id = :'user';
SET photoflow.role = 'client';
SET photoflow.request_id = 'req-3';
SET photoflow.correlation_id = 'corr-3';
UPDATE lab.track_none SET n = 3;
RESET photoflow.org_id;
RESET photoflow.user_id;
RESET photoflow.role;
RESET photoflow.request_id;
RESET photoflow.correlation_id;
SELECT org, user_id = :'user' AS its_user, role, request, login FROM lab.taken();
-- also of a column that is ignored, or masked
SELECT photoflow.track('lab.track_own', '{OrgId}');
UPDATE lab.track_own SET n = 2 WHERE id = 1;
SELECT photoflow.track('lab.track_own', NULL, '{OrgId,id}');
UPDATE lab.track_own SET n = 3 WHERE id = 1;
SELECT photoflow.track('lab.track_own');
SELECT entity_id, org, changes FROM lab.taken();
-- a row that changes its organization
UPDATE lab.track_own SET "OrgId" = :'org2' WHERE id = 1;
UPDATE lab.track_own SET "OrgId" = NULL WHERE id = 3;
DELETE FROM lab.track_own WHERE id IN (1, 3);
SELECT action, entity_id, org, (SELECT count(*) FROM jsonb_object_keys(changes)) AS keys FROM lab.taken();
-- the login, not the role; the transaction, and its time
GRANT INSERT ON lab.track_own TO regress_track_owner;
GRANT regress_track_other TO regress_track_owner;
GRANT INSERT ON lab.track_own TO regress_track_other;
SET SESSION AUTHORIZATION regress_track_owner;
SET ROLE regress_track_other;
INSERT INTO lab.track_own VALUES (10, NULL, 0);
RESET SESSION AUTHORIZATION;
SELECT action, login FROM lab.taken();
BEGIN;
UPDATE lab.track_own SET n = 5 WHERE id = 10;
SAVEPOINT s;
UPDATE lab.track_own SET n = 6 WHERE id = 10;
SELECT "Changes", "TransactionId" = pg_current_xact_id()::text::bigint AS transaction, "CreatedAt" = now() AS at, photoflow.uuid_v7_time("Id") BETWEEN now() - interval '10 s' AND clock_timestamp() + interval '10 s' AS id
	FROM "AuditLogs" WHERE "EntityType" = 'lab.track_own' ORDER BY "Id";
COMMIT;
SELECT count(*) FROM lab.taken();
-- an organization sees its own, nobody sees what is nobody's
INSERT INTO lab.track_own VALUES (11, :'org', 0), (12, :'org2', 0), (13, NULL, 0);
SET ROLE regress_track_app;
BEGIN;
SELECT photoflow.set_context(:'org');
SELECT "EntityId" FROM "AuditLogs" WHERE "EntityType" = 'lab.track_own';
SELECT photoflow.set_context(:'org2');
SELECT "EntityId" FROM "AuditLogs" WHERE "EntityType" = 'lab.track_own';
ROLLBACK;
SELECT "EntityId" FROM "AuditLogs" WHERE "EntityType" = 'lab.track_own';
RESET ROLE;
SELECT entity_id, org FROM lab.taken();
DROP TABLE lab.track_own, lab.track_texts, lab.track_none;

-- photoflow's tables -------------------------------------------------------------------------------------------------------
CREATE TABLE track_plain (id int PRIMARY KEY, "IsDeleted" boolean DEFAULT false);
CREATE TABLE lab."Albums" (id int PRIMARY KEY, "IsDeleted" boolean DEFAULT false);
SELECT photoflow.track(t::regclass) FROM unnest('{"Organizations","Users","PublicUrls","Albums","AlbumTags","PhotoProcs","PhotoComments","PhotoLikes","FailureRecords",track_plain,"lab.Albums"}'::text[]) n,
	LATERAL (SELECT CASE WHEN n = 'lab.Albums' THEN 'lab."Albums"' ELSE quote_ident(n) END) x (t) \g /dev/null
SELECT table_name, level, ignored_columns, masked_columns, enabled FROM photoflow.tracked_tables WHERE table_name::text !~ '^lab.track' ORDER BY table_name::text COLLATE "C";
SELECT lab.org(77) AS org, lab.id('user', 77) AS "user" \gset
BEGIN;
SELECT photoflow.set_context(NULL, :'user', 'org_admin', 'req-4');
INSERT INTO "Organizations" ("Id", "Name", "CreatedAt", "ModifiedAt") VALUES (:'org', 'Seventy-seven', '2026-01-01', '2026-01-01');
INSERT INTO "Users" ("Id", "OrgId", "Name", "CreatedAt", "ModifiedAt") VALUES (:'user', :'org', 'Ute', '2026-01-01', '2026-01-01');
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url", "CreatedAt", "ModifiedAt") VALUES (lab.id('url', 75001), :'org', 'https://a.test', '2026-01-01', '2026-01-01');
INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState", "HashedPassword", "CreatedAt", "ModifiedAt") VALUES (lab.id('album', 75001), :'org', 'album', 0, 'hash', '2026-01-01', '2026-01-01');
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type", "Status", "Link", "CreatedAt", "ModifiedAt")
	VALUES (lab.id('tag', 75001), lab.id('album', 75001), 0, 2, '{"url": "https://d.test/1", "resourceKey": "k", "accessToken": "t"}', '2026-01-01', '2026-01-01');
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName", "CreatedAt", "ModifiedAt") VALUES (lab.id('photo', 75001), lab.id('tag', 75001), 'a.jpg', '2026-01-01', '2026-01-01'), (lab.id('photo', 75002), lab.id('tag', 75001), 'b.jpg', '2026-01-01', '2026-01-01');
INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content", "CreatedAt", "ModifiedAt") VALUES (lab.id('comment', 75001), lab.id('photo', 75001), 'fine', '2026-01-01', '2026-01-01');
INSERT INTO "PhotoLikes" ("Id", "PhotoProcId", "UserId", "CreatedAt", "ModifiedAt") VALUES (lab.id('like', 75001), lab.id('photo', 75001), :'user', '2026-01-01', '2026-01-01');
INSERT INTO track_plain VALUES (1);
INSERT INTO lab."Albums" VALUES (1);
COMMIT;
SELECT action, entity_type, entity_id, org, user_id = :'user' AS its_user, role, request, changes FROM lab.taken();
-- a failure, its claim: what the database writes by itself too
SELECT photoflow.record_failure('Album', lab.id('album', 75001), 'Raw', 'Stock', 'storage timed out', org_id => :'org') AS failure \gset
SELECT count(*) FROM photoflow.claim_failures('worker', org_id => :'org');
SELECT ok FROM photoflow.resolve_failures(ARRAY[:'failure'::uuid], ARRAY[1]);
SELECT action, entity_type, entity_id = :'failure' AS its_id, org, array(SELECT key FROM jsonb_object_keys(changes) key WHERE action = 'update' ORDER BY key COLLATE "C") AS changed, changes -> 'Status' AS status, changes -> 'ClaimToken' AS token, changes -> 'RetryCount' AS retries
	FROM lab.taken();
-- an UPDATE that is no deletion
UPDATE "Albums" SET "HashedPassword" = 'other', "Name" = 'name' WHERE "Id" = lab.id('album', 75001);
UPDATE "Organizations" SET "Name" = 'name' WHERE "Id" = :'org';
SELECT action, entity_type, org, changes - 'ModifiedAt' AS changes FROM lab.taken();
-- a transition
BEGIN;
SELECT photoflow.set_context(:'org', :'user', 'photographer', 'req-5');
SELECT photoflow.fire(lab.id('album', 75001), 'SyncRawTag') \g /dev/null
COMMIT;
SELECT action, entity_type, entity_id = lab.id('album', 75001)::text AS its_id, user_id = :'user' AS its_user, role, request, changes - 'ModifiedAt' AS changes FROM lab.taken();

-- what photoflow's functions write, page by page or row by row
SELECT photoflow.track('"AlbumTransitions"');
BEGIN;
SELECT photoflow.set_context(:'org', :'user', 'photographer', 'req-5');
SELECT inserted, updated, removed FROM photoflow.sync_photos(lab.id('tag', 75001), '[{"id": "e1", "name": "1.jpg", "mimeType": "image/jpeg"}, {"id": "e2", "name": "2.jpg", "mimeType": "image/jpeg"}]', is_last => true);
SELECT photoflow.fire(lab.id('album', 75001), 'SyncStockTag') \g /dev/null
SELECT photoflow.vote(array(SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag', 75001) AND "ExternalId" = 'e1'));
COMMIT;
SELECT action, entity_type, org, its_user, role, request, changes - '{Id,ModifiedAt,CreatedAt,At}'::text[] AS changes FROM (SELECT *, user_id = :'user' AS its_user FROM lab.taken()) t ORDER BY entity_type COLLATE "C", action, changes;
SELECT photoflow.untrack('"AlbumTransitions"');
-- a soft DELETE takes what is below; each row of it is a change, and the action says what was meant
BEGIN;
SELECT photoflow.set_context(:'org', :'user', 'photographer', 'req-6');
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 75001);
COMMIT;
SELECT "DeletionId" AS deletion FROM "Albums" WHERE "Id" = lab.id('album', 75001) \gset
CREATE TEMP TABLE gone AS SELECT * FROM lab.taken();
SELECT action, entity_type, CASE WHEN entity_id LIKE '%-0000-4000-8000-%' THEN entity_id ELSE 'new' END AS entity, org, user_id = :'user' AS its_user, role, request, changes -> 'IsDeleted' AS flag, array(SELECT key FROM jsonb_object_keys(changes) key ORDER BY key COLLATE "C") AS changed,
	changes -> 'DeletionId' = jsonb_build_array(NULL, :'deletion') AS deletion, changes -> 'DeletedBy' = jsonb_build_array(NULL, :'user') AS by_user FROM gone ORDER BY entity_type COLLATE "C", entity;
-- and back
SELECT table_name, restored_rows FROM photoflow.restore(:'deletion');
SELECT action, entity_type, CASE WHEN entity_id LIKE '%-0000-4000-8000-%' THEN entity_id ELSE 'new' END AS entity, org, user_id, role, request, login, changes -> 'IsDeleted' AS flag, array(SELECT key FROM jsonb_object_keys(changes) key ORDER BY key COLLATE "C") AS changed,
	changes -> 'DeletionId' = jsonb_build_array(:'deletion', NULL) AS deletion FROM lab.taken() ORDER BY entity_type COLLATE "C", entity;
-- by soft_delete(), by a plain UPDATE of the flag
SELECT table_name, deleted_rows FROM photoflow.soft_delete('"PhotoProcs"', ARRAY[lab.id('photo', 75002)]);
SELECT action, entity_type, entity_id, changes -> 'IsDeleted' AS flag FROM lab.taken();
UPDATE "PhotoProcs" SET "IsDeleted" = true WHERE "Id" = lab.id('photo', 75001);
SELECT action, entity_type, entity_id, changes -> 'IsDeleted' AS flag FROM lab.taken() ORDER BY entity_type COLLATE "C";
-- what is deleted for good is a delete without an UPDATE, and has the row
SET photoflow.hard_delete = on;
DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 75002);
RESET photoflow.hard_delete;
SELECT action, entity_type, entity_id, org, changes -> 'FileName' AS name, changes -> 'IsDeleted' AS flag FROM lab.taken();
-- loaded as deleted: an insert
INSERT INTO "Users" ("Id", "OrgId", "Name", "IsDeleted", "DeletedAt", "DeletionId", "CreatedAt", "ModifiedAt") VALUES (lab.id('user', 75001), :'org', 'Uwe', true, '2026-01-01', lab.id('deletion', 1), '2026-01-01', '2026-01-01');
SELECT action, entity_type, changes -> 'IsDeleted' AS flag FROM lab.taken();
-- a flag of the same name on a table that is not photoflow's is a column like others
UPDATE track_plain SET "IsDeleted" = true;
UPDATE lab."Albums" SET "IsDeleted" = true;
UPDATE lab."Albums" SET "IsDeleted" = false;
DELETE FROM lab."Albums";
SELECT action, entity_type, entity_id, changes FROM lab.taken();
-- an organization goes, with all that it has
DELETE FROM "Organizations" WHERE "Id" = :'org';
SELECT action, entity_type, org, count(*) FROM lab.taken() GROUP BY 1, 2, 3 ORDER BY action, entity_type COLLATE "C";
-- ignored, the flag still says that it is one; with all that a restoration changes ignored there is nothing to record
SELECT photoflow.track('"PublicUrls"', '{IsDeleted,ModifiedAt}'), photoflow.track('"AlbumTags"', '{IsDeleted,DeletedAt,DeletedBy,DeletionId,ModifiedAt}');
SELECT "DeletionId" AS deletion FROM "Organizations" WHERE "Id" = :'org' \gset
SELECT table_name, restored_rows FROM photoflow.restore(:'deletion');
SELECT action, entity_type, org, count(*), count(*) FILTER (WHERE changes ? 'IsDeleted') AS flags FROM lab.taken() GROUP BY 1, 2, 3 ORDER BY action, entity_type COLLATE "C";
-- detached and attached again: tracked as before
SELECT count(*) FROM photoflow.tracked_tables \gset before_
BEGIN;
SELECT photoflow.detach();
SELECT count(*) = :before_count AS the_same FROM photoflow.tracked_tables;
UPDATE "Users" SET "Name" = 'detached' WHERE "Id" = :'user';
SELECT photoflow.attach();
UPDATE "Users" SET "Name" = 'attached' WHERE "Id" = :'user';
SELECT count(*) = :before_count AS the_same FROM photoflow.tracked_tables;
COMMIT;
SELECT action, entity_type, org, changes - 'ModifiedAt' AS changes FROM lab.taken();
-- who may write the log may not write this
SET ROLE regress_track_app;
SET photoflow.org_id = :'org';
INSERT INTO "AuditLogs" ("Action", "EntityType", "EntityId", "Changes") VALUES ('update', 'Album', lab.id('album', 75001), '{"Name": ["a", "b"]}');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
RESET ROLE;

-- Nothing is left of it
SELECT photoflow.untrack(table_name) FROM photoflow.tracked_tables \g /dev/null
SELECT count(*) FROM photoflow.tracked_tables;
SET photoflow.hard_delete = on;
DELETE FROM "PhotoComments" WHERE "OrgId" = :'org';
DELETE FROM "PhotoLikes" WHERE "OrgId" = :'org';
DELETE FROM "PhotoProcs" WHERE "OrgId" = :'org';
DELETE FROM "AlbumTags" WHERE "OrgId" = :'org';
DELETE FROM "Albums" WHERE "OrgId" = :'org';
DELETE FROM "PublicUrls" WHERE "OrgId" = :'org';
DELETE FROM "Users" WHERE "OrgId" = :'org';
DELETE FROM "FailureRecords" WHERE "OrgId" = :'org';
DELETE FROM "AlbumTransitions" WHERE "OrgId" = :'org';
DELETE FROM "DeletionReasons" WHERE "OrgId" = :'org';
DELETE FROM "Organizations" WHERE "Id" IN (SELECT lab.org(n) FROM generate_series(75, 77) n);
RESET photoflow.hard_delete;
SELECT count(*) FROM lab.taken();
SELECT count(*) FROM "AuditLogs" WHERE "Id" > (SELECT id FROM lab.track_start);
DROP TABLE lab.track_start, track_plain, lab."Albums", gone;
DROP FUNCTION lab.taken(), lab.row_of(anyelement), lab.texts_of(anyelement), lab.short(jsonb);
DROP DOMAIN lab.track_spot;
DROP TYPE lab.track_line, lab.track_point, lab.track_mood;
DROP DOMAIN lab.track_count, lab.track_words;
DROP OWNED BY regress_track_app, regress_track_owner, regress_track_other;
DROP ROLE regress_track_app, regress_track_owner, regress_track_other;
