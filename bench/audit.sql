-- audit.sql: what it costs to record changes and operations, against the bare statement and a good PL/pgSQL trigger, and to read them.
LOAD 'photoflow';
SET photoflow.user_id = '00000000-0000-4000-8009-000000000001';

-- The tables ------------------------------------------------------------------------------------------------------------

-- Twelve columns, with the keys that photoflow's tables have; bench.prints is what "Prints" is filled from.
CREATE TABLE "Prints" (
	"Id" uuid PRIMARY KEY, "OrgId" uuid NOT NULL, "Title" text NOT NULL, "Paper" text NOT NULL, "State" int NOT NULL, "Copies" int NOT NULL, "SizeBytes" bigint NOT NULL,
	"CreatedAt" timestamptz NOT NULL, "ModifiedAt" timestamptz NOT NULL, "IsFramed" boolean NOT NULL, "Price" numeric(10, 2) NOT NULL, "PhotoId" uuid, UNIQUE ("OrgId", "Id")
);
CREATE TABLE bench.prints (LIKE "Prints", n int PRIMARY KEY);
INSERT INTO bench.prints
SELECT photoflow.uuid_v7(), current_setting('photoflow.org_id')::uuid, 'print ' || n || ' of an album', 'Hahnemuehle Photo Rag', n % 7, n % 10, n * 1000, now(), now(), n % 2 = 0, n / 100.0, bench.uuid(3, n), n
FROM generate_series(1, greatest(10000, 100000 * :scale)::int) n ORDER BY n;
VACUUM ANALYZE bench.prints;
CREATE VIEW bench.new_prints AS SELECT "Id", "OrgId", "Title", "Paper", "State", "Copies", "SizeBytes", "CreatedAt", "ModifiedAt", "IsFramed", "Price", "PhotoId" FROM bench.prints;

-- What a good developer writes to: the same shape, partitioned by month, and the same indexes, but no trigger of photoflow's. Ids are photoflow's.
CREATE TABLE bench.audit (LIKE "AuditLogs" INCLUDING DEFAULTS, PRIMARY KEY ("Id", "CreatedAt")) PARTITION BY RANGE ("CreatedAt");
SELECT format('CREATE TABLE bench.audit_before PARTITION OF bench.audit FOR VALUES FROM (MINVALUE) TO (%1$L); CREATE TABLE bench.audit_now PARTITION OF bench.audit FOR VALUES FROM (%1$L) TO (MAXVALUE)',
	date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') \gexec
SELECT regexp_replace(pg_get_indexdef(indexrelid), 'INDEX .+ USING', 'INDEX ON bench.audit USING')
FROM pg_index WHERE indrelid = '"AuditLogs"'::regclass AND NOT indisprimary \gexec

-- By hand ---------------------------------------------------------------------------------------------------------------

-- One INSERT a statement, from the transition tables. What an UPDATE changed: column by column, written for the table ...
SELECT format($template$
	CREATE FUNCTION bench.audit_update() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO bench.audit ("Action", "EntityType", "EntityId", "UserId", "Role", "OrgId", "TransactionId", "Changes")
		SELECT 'update', TG_TABLE_NAME, o."Id"::text, current_setting('photoflow.user_id', true), current_setting('photoflow.role', true), o."OrgId", pg_current_xact_id()::text::bigint, %s
		FROM old_rows o JOIN new_rows n ON n."Id" = o."Id" WHERE %s;
		RETURN NULL;
	END $$ $template$,
	string_agg(format('CASE WHEN n.%1$I IS DISTINCT FROM o.%1$I THEN jsonb_build_object(%1$L, jsonb_build_array(o.%1$I, n.%1$I)) ELSE ''{}'' END', attname), ' || ' ORDER BY attnum),
	string_agg(format('n.%1$I IS DISTINCT FROM o.%1$I', attname), ' OR ' ORDER BY attnum))
FROM pg_attribute WHERE attrelid = '"Prints"'::regclass AND attnum > 0 AND attname <> 'Id' \gexec
-- ... or for any table with an "Id" and an "OrgId", but for what is ignored, which the trigger names
CREATE FUNCTION bench.audit_update_any() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.audit ("Action", "EntityType", "EntityId", "UserId", "Role", "OrgId", "TransactionId", "Changes")
	SELECT 'update', TG_TABLE_NAME, o."Id"::text, current_setting('photoflow.user_id', true), current_setting('photoflow.role', true), o."OrgId", pg_current_xact_id()::text::bigint, d.changes
	FROM old_rows o JOIN new_rows n ON n."Id" = o."Id"
		CROSS JOIN LATERAL (SELECT jsonb_object_agg(b.key, jsonb_build_array(b.value, a.value)) FROM jsonb_each(to_jsonb(o)) b JOIN jsonb_each(to_jsonb(n)) a ON a.key = b.key
			WHERE a.value <> b.value AND b.key <> ALL (coalesce(TG_ARGV, '{}'))) d (changes)
	WHERE d.changes IS NOT NULL;
	RETURN NULL;
END $$;
CREATE FUNCTION bench.audit_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.audit ("Action", "EntityType", "EntityId", "UserId", "Role", "OrgId", "TransactionId", "Changes")
	SELECT 'insert', TG_TABLE_NAME, n."Id"::text, current_setting('photoflow.user_id', true), current_setting('photoflow.role', true), n."OrgId", pg_current_xact_id()::text::bigint,
		jsonb_strip_nulls(to_jsonb(n)) FROM new_rows n;
	RETURN NULL;
END $$;
CREATE FUNCTION bench.audit_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.audit ("Action", "EntityType", "EntityId", "UserId", "Role", "OrgId", "TransactionId", "Changes")
	SELECT 'delete', TG_TABLE_NAME, o."Id"::text, current_setting('photoflow.user_id', true), current_setting('photoflow.role', true), o."OrgId", pg_current_xact_id()::text::bigint,
		jsonb_strip_nulls(to_jsonb(o)) FROM old_rows o;
	RETURN NULL;
END $$;
-- what transition tables alone cost
CREATE FUNCTION bench.audit_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

-- who records what becomes of "Prints": none, photoflow, plpgsql, plpgsql any (or any, ModifiedAt ignored), nothing (transition tables that nobody reads)
CREATE PROCEDURE bench.audit_by(recorder text, relation regclass DEFAULT '"Prints"') LANGUAGE plpgsql AS $$
DECLARE
	command text;
BEGIN
	PERFORM photoflow.untrack(relation);
	FOR command IN SELECT format('DROP TRIGGER %I ON %s', tgname, relation) FROM pg_trigger WHERE tgrelid = relation AND NOT tgisinternal LOOP
		EXECUTE command;
	END LOOP;
	CASE recorder
	WHEN 'none' THEN
	WHEN 'photoflow' THEN
		PERFORM photoflow.track(relation);
	WHEN 'photoflow, ignored' THEN
		PERFORM photoflow.track(relation, '{ModifiedAt}');
	ELSE
		EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_%s()',
			relation, CASE recorder WHEN 'nothing' THEN 'nothing' ELSE 'insert' END);
		EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_%s',
			relation, CASE recorder WHEN 'nothing' THEN 'nothing()' WHEN 'plpgsql' THEN 'update()' WHEN 'plpgsql any' THEN 'update_any()' WHEN 'plpgsql, ignored' THEN 'update_any(''ModifiedAt'')' END);
		EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.audit_%s()',
			relation, CASE recorder WHEN 'nothing' THEN 'nothing' ELSE 'delete' END);
	END CASE;
	COMMIT;
END $$;

-- As bench.fill(): every variant begins with the same tables. size 0: an empty one. The log has rows already, as nearly always, that are not counted: those of
-- a partition's first pages, which its BRIN index summarizes from the beginning, cost more.
CREATE PROCEDURE bench.fill_prints(size int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "Prints", "AuditLogs", bench.audit;
	INSERT INTO "Prints" SELECT "Id", "OrgId", "Title", "Paper", "State", "Copies", "SizeBytes", "CreatedAt", "ModifiedAt", "IsFramed", "Price", "PhotoId"
	FROM bench.prints WHERE n <= size ORDER BY n;
	INSERT INTO "AuditLogs" ("Action", "EntityType", "EntityId", "UserId", "OrgId", "RequestData")
	SELECT 'before', 'Prints', bench.uuid(9, n)::text, '00000000-0000-4000-8009-000000000001', current_setting('photoflow.org_id')::uuid, '{"page": 1, "size": 100}' FROM generate_series(1, 1400) n;
	INSERT INTO bench.audit SELECT * FROM "AuditLogs";
	COMMIT;
	PERFORM count(*) FROM "Prints";
	ANALYZE "Prints";
	COMMIT;
END $$;

-- A variant that has not done the work is not measured.
CREATE PROCEDURE bench.check_audit(expected bigint) LANGUAGE plpgsql AS $$
DECLARE
	found bigint := (SELECT count(*) FROM "AuditLogs" WHERE "Action" <> 'before') + (SELECT count(*) FROM bench.audit WHERE "Action" <> 'before');
BEGIN
	IF found <> expected THEN
		RAISE EXCEPTION '% rows have been recorded, not %', found, expected;
	END IF;
	COMMIT;
END $$;

-- Many rows in a statement ----------------------------------------------------------------------------------------------

-- The file of COPY is the server's. request: the context has a request and a correlation id, too.
CREATE PROCEDURE bench.audit_rounds(rounds int, size int) LANGUAGE plpgsql AS $$
DECLARE
	variant record;
	file text := current_setting('data_directory') || '/prints.copy';
BEGIN
	EXECUTE format('COPY (SELECT * FROM bench.new_prints) TO %L', file);
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES
			(1, 'UPDATE, 2 of 12 columns', 'bare', 'none', 0), (2, 'UPDATE, 2 of 12 columns', 'photoflow', 'photoflow', 1),
			(3, 'UPDATE, 2 of 12 columns', 'photoflow, request and correlation', 'photoflow', 1), (4, 'UPDATE, 2 of 12 columns', 'PL/pgSQL, column by column', 'plpgsql', 1),
			(5, 'UPDATE, 2 of 12 columns', 'PL/pgSQL for any table', 'plpgsql any', 1), (6, 'UPDATE, 2 of 12 columns', 'transition tables, not read', 'nothing', 0),
			(7, 'UPDATE of an ignored column', 'bare', 'none', 0), (8, 'UPDATE of an ignored column', 'photoflow', 'photoflow, ignored', 0),
			(9, 'UPDATE of an ignored column', 'PL/pgSQL for any table', 'plpgsql, ignored', 0), (10, 'UPDATE of an ignored column', 'transition tables, not read', 'nothing', 0),
			(11, 'INSERT', 'bare', 'none', 0), (12, 'INSERT', 'photoflow', 'photoflow', 1), (13, 'INSERT', 'PL/pgSQL', 'plpgsql', 1), (14, 'INSERT', 'transition tables, not read', 'nothing', 0),
			(15, 'DELETE', 'bare', 'none', 0), (16, 'DELETE', 'photoflow', 'photoflow', 1), (17, 'DELETE', 'PL/pgSQL', 'plpgsql', 1), (18, 'DELETE', 'transition tables, not read', 'nothing', 0),
			(19, 'COPY', 'bare', 'none', 0), (20, 'COPY', 'photoflow', 'photoflow', 1), (21, 'COPY', 'PL/pgSQL', 'plpgsql', 1), (22, 'COPY', 'transition tables, not read', 'nothing', 0))
			AS v (n, part, name, recorder, recorded) ORDER BY n
		LOOP
			CALL bench.audit_by(variant.recorder);
			CALL bench.fill_prints(CASE WHEN variant.part IN ('INSERT', 'COPY') THEN 0 ELSE size END);
			PERFORM set_config('photoflow.request_id', CASE WHEN variant.n = 3 THEN 'f3b0a3a8-8f0e-4f0f-9d57-1d0d5b9b7f11' ELSE '' END, false),
				set_config('photoflow.correlation_id', CASE WHEN variant.n = 3 THEN '3c0f52a7-55f6-4a35-8f0c-6f3f8b7a2f22' ELSE '' END, false);
			CALL bench.measure('audit', variant.part, variant.name, round, size, CASE
				WHEN variant.part = 'UPDATE of an ignored column' THEN 'UPDATE "Prints" SET "ModifiedAt" = clock_timestamp()'
				WHEN variant.part = 'INSERT' THEN 'INSERT INTO "Prints" SELECT * FROM bench.new_prints'
				WHEN variant.part = 'DELETE' THEN 'DELETE FROM "Prints"'
				WHEN variant.part = 'COPY' THEN format('COPY "Prints" FROM %L', file)
				ELSE 'UPDATE "Prints" SET "State" = "State" + 1, "ModifiedAt" = clock_timestamp()' END);
			CALL bench.check_audit(variant.recorded * size);
		END LOOP;
	END LOOP;
END $$;

-- A partitioned table has row triggers.
CREATE TABLE bench.parted (LIKE "Prints", PRIMARY KEY ("Id", "State")) PARTITION BY LIST ("State");
SELECT format('CREATE TABLE bench.parted_%1$s PARTITION OF bench.parted FOR VALUES IN (%1$s)', s) FROM generate_series(0, 6) s \gexec
CREATE PROCEDURE bench.parted_rounds(rounds int, size int) LANGUAGE plpgsql AS $$
DECLARE
	recorder text;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOREACH recorder IN ARRAY ARRAY['none', 'photoflow'] LOOP
			CALL bench.audit_by('none');
			CALL bench.fill_prints(0);
			CALL bench.audit_by(recorder, 'bench.parted');
			SET LOCAL session_replication_role = replica;
			TRUNCATE bench.parted;
			INSERT INTO bench.parted SELECT * FROM bench.new_prints;
			COMMIT;
			PERFORM count(*) FROM bench.parted;
			COMMIT;
			CALL bench.measure('audit', 'UPDATE of a partitioned table', CASE recorder WHEN 'none' THEN 'bare' ELSE recorder END, round, size,
				'UPDATE bench.parted SET "Copies" = "Copies" + 1, "ModifiedAt" = clock_timestamp()');
			CALL bench.check_audit(CASE recorder WHEN 'none' THEN 0 ELSE size END);
		END LOOP;
	END LOOP;
END $$;

-- A few rows, in a statement each, just after maintain() has summarized what was there. It commits for itself, so that psql calls it.
CREATE PROCEDURE bench.few(variant text, round int) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	wal pg_lsn;
	print uuid;
BEGIN
	FOR nth IN 1 .. 500 LOOP
		IF nth = 101 THEN
			since := bench.cpu();
			wal := pg_current_wal_insert_lsn();
		END IF;
		SELECT "Id" INTO print FROM bench.prints p WHERE p.n = nth;
		UPDATE "Prints" SET "State" = "State" + 1, "ModifiedAt" = now() WHERE "Id" = print;
	END LOOP;
	CALL bench.record('audit', 'UPDATE of a row, 400 rows', variant, round, 400, since, pg_current_wal_insert_lsn() - wal);
	COMMIT;
END $$;

INSERT INTO bench.bounds VALUES
('audit', 'UPDATE, 2 of 12 columns', 'photoflow', 'bare', 3), ('audit', 'INSERT', 'photoflow', 'bare', 2.5),
('audit', 'UPDATE, 2 of 12 columns', 'photoflow', 'PL/pgSQL, column by column', NULL), ('audit', 'INSERT', 'photoflow', 'PL/pgSQL', NULL),
('audit', 'DELETE', 'photoflow', 'PL/pgSQL', NULL), ('audit', 'COPY', 'photoflow', 'PL/pgSQL', NULL), ('audit', 'UPDATE of an ignored column', 'photoflow', 'PL/pgSQL for any table', NULL);
SELECT count(*) AS prints FROM bench.prints \gset
CALL bench.audit_rounds(5, :prints);
CALL bench.parted_rounds(3, :prints);
SELECT c.command FROM generate_series(1, 7) round, (VALUES (1, 'bare', 'none', false), (2, 'photoflow', 'photoflow', false), (3, 'photoflow, after maintain()', 'photoflow', true)) AS v (n, name, recorder, maintained),
	LATERAL (VALUES (1, format('CALL bench.audit_by(%L)', v.recorder)), (2, 'CALL bench.fill_prints(500)'), (3, CASE WHEN v.maintained THEN 'CALL photoflow.maintain()' ELSE 'DO ''BEGIN END''' END),
		(4, format('CALL bench.few(%L, %s)', v.name, round))) AS c (n, command) ORDER BY round, v.n, c.n \gexec

-- Row by row inside the backend: 100 that make the plans, and those that are timed --------------------------------------------

-- An operation as log_operation() writes it, by hand into the same table, and into one without photoflow's triggers.
CREATE PROCEDURE bench.operation_loop(variant text, round int, ids uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	entity text;
	request jsonb := '{"page": 1, "size": 100, "folder": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs"}';
	who text := current_setting('photoflow.user_id');
	caller text := current_setting('photoflow.role');
	org uuid := current_setting('photoflow.org_id');
BEGIN
	FOR n IN 1 .. cardinality(ids) LOOP
		IF n = 101 THEN
			since := bench.cpu();
		END IF;
		entity := ids[n];
		IF variant = 'log_operation()' THEN
			PERFORM photoflow.log_operation('AlbumService', 'SyncPhotos', 'Album', entity, 123, request_data => request);
		ELSIF variant = 'INSERT' THEN
			INSERT INTO "AuditLogs" ("ServiceName", "Action", "EntityType", "EntityId", "UserId", "Role", "ExecutionTimeMs", "RequestData", "StartedAt", "CompletedAt", "OrgId")
			VALUES ('AlbumService', 'SyncPhotos', 'Album', entity, who, caller, 123, request, clock_timestamp() - interval '123 ms', clock_timestamp(), org);
		ELSE
			INSERT INTO bench.audit ("ServiceName", "Action", "EntityType", "EntityId", "UserId", "Role", "ExecutionTimeMs", "RequestData", "StartedAt", "CompletedAt", "OrgId")
			VALUES ('AlbumService', 'SyncPhotos', 'Album', entity, who, caller, 123, request, clock_timestamp() - interval '123 ms', clock_timestamp(), org);
		END IF;
	END LOOP;
	CALL bench.record('audit', 'an operation, loop in the backend', variant, round, cardinality(ids) - 100, since);
	COMMIT;
END $$;
CREATE PROCEDURE bench.update_loop(variant text, round int, ids uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	print uuid;
BEGIN
	FOR n IN 1 .. cardinality(ids) LOOP
		IF n = 101 THEN
			since := bench.cpu();
		END IF;
		print := ids[n];
		UPDATE "Prints" SET "State" = "State" + 1, "ModifiedAt" = now() WHERE "Id" = print;
	END LOOP;
	CALL bench.record('audit', 'UPDATE of a row, loop in the backend', variant, round, cardinality(ids) - 100, since);
	COMMIT;
END $$;
-- 100 operations in one call, or statement: the entries of a batch
CREATE PROCEDURE bench.batch_loop(variant text, round int, times int, entries jsonb) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	entry jsonb;
	who text := current_setting('photoflow.user_id');
	caller text := current_setting('photoflow.role');
	org uuid := current_setting('photoflow.org_id');
BEGIN
	FOR n IN -9 .. times LOOP
		IF n = 1 THEN
			since := bench.cpu();
		END IF;
		IF variant = 'log_operations()' THEN
			PERFORM photoflow.log_operations(entries);
		ELSIF variant = 'log_operation() for each' THEN
			FOR entry IN SELECT e FROM jsonb_array_elements(entries) e LOOP
				PERFORM photoflow.log_operation(entry->>'service_name', entry->>'action', entry->>'entity_type', entry->>'entity_id', (entry->>'execution_time_ms')::bigint,
					request_data => entry->'request_data');
			END LOOP;
		ELSIF variant = 'INSERT for each' THEN
			FOR entry IN SELECT e FROM jsonb_array_elements(entries) e LOOP
				INSERT INTO "AuditLogs" ("ServiceName", "Action", "EntityType", "EntityId", "UserId", "Role", "ExecutionTimeMs", "RequestData", "StartedAt", "CompletedAt", "OrgId")
				VALUES (entry->>'service_name', entry->>'action', entry->>'entity_type', entry->>'entity_id', who, caller, (entry->>'execution_time_ms')::bigint, entry->'request_data',
					clock_timestamp() - (entry->>'execution_time_ms')::bigint * interval '1 ms', clock_timestamp(), org);
			END LOOP;
		ELSE
			INSERT INTO "AuditLogs" ("ServiceName", "Action", "EntityType", "EntityId", "UserId", "Role", "ExecutionTimeMs", "RequestData", "StartedAt", "CompletedAt", "OrgId")
			SELECT e.service_name, e.action, e.entity_type, e.entity_id, who, caller, e.execution_time_ms, e.request_data, clock_timestamp() - e.execution_time_ms * interval '1 ms', clock_timestamp(), org
			FROM jsonb_to_recordset(entries) e (service_name text, action text, entity_type text, entity_id text, execution_time_ms bigint, request_data jsonb);
		END IF;
	END LOOP;
	CALL bench.record('audit', 'operations, 100 at once, for each', variant, round, times * jsonb_array_length(entries), since);
	COMMIT;
	CALL bench.check_audit((times + 10) * jsonb_array_length(entries));
END $$;

CREATE PROCEDURE bench.audit_loops(rounds int, size int) LANGUAGE plpgsql AS $$
DECLARE
	variant record;
	name text;
	ids uuid[];
	entries jsonb := (SELECT jsonb_agg(jsonb_build_object('service_name', 'AlbumService', 'action', 'SyncPhotos', 'entity_type', 'Album', 'entity_id', bench.uuid(1, n), 'execution_time_ms', n,
		'request_data', jsonb_build_object('page', n, 'size', 100, 'folder', '1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs'))) FROM generate_series(1, 100) n);
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR variant IN SELECT * FROM (VALUES (1, 'bare', 'none', 0), (2, 'photoflow', 'photoflow', 1), (3, 'PL/pgSQL, column by column', 'plpgsql', 1), (4, 'PL/pgSQL for any table', 'plpgsql any', 1),
			(5, 'transition tables, not read', 'nothing', 0)) AS v (n, name, recorder, recorded) ORDER BY n
		LOOP
			CALL bench.audit_by(variant.recorder);
			CALL bench.fill_prints(size);
			DISCARD PLANS;
			ids := ARRAY(SELECT "Id" FROM bench.prints WHERE n <= size ORDER BY random());
			CALL bench.update_loop(variant.name, round, ids);
			CALL bench.check_audit(variant.recorded * size);
		END LOOP;
		FOREACH name IN ARRAY ARRAY['INSERT', 'log_operation()', 'INSERT into a table without triggers'] LOOP
			CALL bench.fill_prints(0);
			CALL bench.operation_loop(name, round, ids);
			CALL bench.check_audit(size);
		END LOOP;
		FOREACH name IN ARRAY ARRAY['INSERT for each', 'one INSERT .. SELECT', 'log_operations()', 'log_operation() for each'] LOOP
			CALL bench.fill_prints(0);
			CALL bench.batch_loop(name, round, greatest(1, size / 50), entries);
		END LOOP;
	END LOOP;
END $$;

INSERT INTO bench.bounds
SELECT 'audit', subject || part, v.variant, v.reference, v.bound
FROM (VALUES ('loop in the backend', true), ('prepared, a round trip each', false), ('prepared, a round trip in all', false)) AS p (part, loop),
	(VALUES ('UPDATE of a row, ', 'photoflow', 'bare', 1.6), ('UPDATE of a row, ', 'photoflow', 'PL/pgSQL, column by column', NULL), ('an operation, ', 'log_operation()', 'INSERT', 1.3)) AS v (subject, variant, reference, bound);
-- in the loop for information
UPDATE bench.bounds SET bound = NULL WHERE "case" = 'audit' AND part LIKE '%loop in the backend';
INSERT INTO bench.bounds VALUES ('audit', 'operations, 100 at once, for each', 'log_operations()', 'one INSERT .. SELECT', NULL);
CALL bench.audit_loops(7, 100 + (4000 * :scale)::int);

-- Reports of a month -----------------------------------------------------------------------------------------------------

-- So many rows of the last 30 days, in the order of time, of ten organizations in turn: one in five is an operation, the others are changes. An entity has twenty, far from each other.
CREATE FUNCTION bench.audit_org(n int) RETURNS uuid LANGUAGE sql STABLE RETURN CASE n WHEN 0 THEN current_setting('photoflow.org_id')::uuid ELSE bench.uuid(5, n) END;
CREATE PROCEDURE bench.fill_month(size int) LANGUAGE plpgsql AS $$
DECLARE
	month timestamp;
BEGIN
	FOR month IN SELECT generate_series(date_trunc('month', (now() - interval '30 days') AT TIME ZONE 'UTC'), now() AT TIME ZONE 'UTC', '1 month') LOOP
		EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF "AuditLogs" FOR VALUES FROM (%L) TO (%L)', 'AuditLogs_' || to_char(month, 'YYYYMM'),
			month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
	END LOOP;
	SET LOCAL session_replication_role = replica;
	TRUNCATE "AuditLogs", bench.audit;
	INSERT INTO "AuditLogs" ("Id", "ServiceName", "Action", "EntityType", "EntityId", "UserId", "ExecutionTimeMs", "Status", "RequestData", "CreatedAt", "OrgId", "Changes", "TransactionId")
	SELECT photoflow.uuid_v7(), CASE WHEN op THEN 'Service' || (random() * 4)::int END, CASE WHEN op THEN 'Action' || (random() * 20)::int ELSE 'update' END, CASE WHEN op THEN 'Album' ELSE 'Prints' END,
		bench.uuid(7, (n * 7919::bigint % (size / 20))::int)::text, '00000000-0000-4000-8009-000000000001', CASE WHEN op THEN (random() ^ 8 * 3000)::bigint END,
		CASE WHEN op AND random() < 0.02 THEN 'Failed' ELSE 'Success' END, CASE WHEN op THEN '{"page": 1, "size": 100, "folder": "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs"}'::jsonb END,
		now() - interval '30 days' * (1 - n::float8 / size), bench.audit_org((n * 7919::bigint % (size / 20) % 10)::int),
		CASE WHEN NOT op THEN '{"State": [3, 4], "ModifiedAt": ["2026-11-25T11:42:39.202132+00:00", "2026-11-26T11:42:39.202132+00:00"]}'::jsonb END, CASE WHEN NOT op THEN n END
	FROM generate_series(1, size) n, LATERAL (SELECT hashint4(n)::bigint % 5 = 0) o (op) ORDER BY n;
	COMMIT;
	-- by hand the entity and what was slow have an index each
	EXECUTE 'CREATE INDEX IF NOT EXISTS audit_entity ON bench.audit ("OrgId", "EntityType", "EntityId")';
	EXECUTE 'CREATE INDEX IF NOT EXISTS audit_slow ON bench.audit ("OrgId", "CreatedAt") WHERE "ExecutionTimeMs" IS NOT NULL';
	COMMIT;
	SET LOCAL session_replication_role = replica;
	INSERT INTO bench.audit SELECT * FROM "AuditLogs" ORDER BY "Id";
	COMMIT;
END $$;

-- pages that a statement reads
CREATE TABLE bench.report_pages (part text, variant text, round int, pages int, rows int, position int GENERATED ALWAYS AS IDENTITY);
-- A report, so many times; a timeline each time of another entity.
CREATE PROCEDURE bench.report(part text, variant text, round int, times int, entities int, statement text) LANGUAGE plpgsql AS $$
DECLARE
	since bigint;
	plan json;
	org text := current_setting('photoflow.org_id');
BEGIN
	FOR n IN -1 .. times LOOP
		IF n = 1 THEN
			since := bench.cpu();
		END IF;
		EXECUTE statement USING bench.uuid(7, 10 * ((n + 7) * 7877 % (entities / 10)))::text, org::uuid;
	END LOOP;
	CALL bench.record('audit', part, variant, round, times, since);
	COMMIT;
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ' || statement INTO plan USING bench.uuid(7, 10 * (round * 7877 % (entities / 10)))::text, org::uuid;
	INSERT INTO bench.report_pages VALUES (part, variant, round, (plan->0->'Plan'->>'Shared Hit Blocks')::int + (plan->0->'Plan'->>'Shared Read Blocks')::int, (plan->0->'Plan'->>'Actual Rows')::int);
	COMMIT;
END $$;

CREATE PROCEDURE bench.report_rounds(rounds int, entities int, since text) LANGUAGE plpgsql AS $$
DECLARE
	slow text := 'SELECT "ServiceName", "Action", count(*), round(avg("ExecutionTimeMs"), 1), percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY "ExecutionTimeMs"), max("ExecutionTimeMs"),
		count(*) FILTER (WHERE "ExecutionTimeMs" >= 1000) AS slow FROM %s WHERE "OrgId" = $2 AND "CreatedAt" >= now() - interval %L AND "ExecutionTimeMs" IS NOT NULL AND NOT "IsDeleted" AND ($1 IS NOT NULL)
		GROUP BY 1, 2 HAVING max("ExecutionTimeMs") >= 1000 ORDER BY 7 DESC, 6 DESC, 1, 2 LIMIT 50';
	timeline text := 'SELECT "CreatedAt", "Action", "UserId", "Role", "Changes", "ServiceName", "Status", "ExecutionTimeMs", "ErrorMessage", "RequestId", "CorrelationId", "TransactionId", "Id"
		FROM %s WHERE "OrgId" = $2 AND "EntityType" = ''Prints'' AND "EntityId" = $1 AND NOT "IsDeleted" ORDER BY "CreatedAt", "Id"';
BEGIN
	FOR round IN 1 .. rounds LOOP
		CALL bench.report('slow_operations(), 1 day of 30' || since, 'by hand, an index', round, 20, entities, format(slow, 'bench.audit', '1 day'));
		CALL bench.report('slow_operations(), 1 day of 30' || since, 'by hand, photoflow''s index', round, 20, entities, format(slow, '"AuditLogs"', '1 day'));
		CALL bench.report('slow_operations(), 1 day of 30' || since, 'photoflow', round, 20, entities, 'SELECT * FROM photoflow.slow_operations() WHERE $1 IS NOT NULL OR $2 IS NOT NULL');
		CALL bench.report('slow_operations(), 30 days' || since, 'by hand, an index', round, 2, entities, format(slow, 'bench.audit', '30 days'));
		CALL bench.report('slow_operations(), 30 days' || since, 'by hand, photoflow''s index', round, 2, entities, format(slow, '"AuditLogs"', '30 days'));
		CALL bench.report('slow_operations(), 30 days' || since, 'photoflow', round, 2, entities, 'SELECT * FROM photoflow.slow_operations(since => ''30 days'') WHERE $1 IS NOT NULL OR $2 IS NOT NULL');
		CALL bench.report('entity_timeline()' || since, 'by hand, an index', round, 20, entities, format(timeline, 'bench.audit'));
		CALL bench.report('entity_timeline()' || since, 'by hand, photoflow''s index', round, 5, entities, format(timeline, '"AuditLogs"'));
		CALL bench.report('entity_timeline()' || since, 'photoflow', round, 20, entities, 'SELECT * FROM photoflow.entity_timeline(''Prints'', $1) WHERE $2 IS NOT NULL');
		CALL bench.report('entity_timeline(), 7 days' || since, 'photoflow', round, 20, entities, 'SELECT * FROM photoflow.entity_timeline(''Prints'', $1, ''7 days'') WHERE $2 IS NOT NULL');
	END LOOP;
END $$;

SELECT greatest(100000, 2000000 * :scale)::int AS month \gset
CALL bench.fill_month(:month);
VACUUM (ANALYZE) "AuditLogs", bench.audit;
CALL bench.report_rounds(5, :month / 20, '');
-- 50,000 more, as they come: changes, and operations, which are smaller; nobody has summarized them. Then maintain() has.
CALL bench.audit_by('photoflow');
INSERT INTO "Prints" SELECT * FROM bench.new_prints LIMIT 10000;
UPDATE "Prints" SET "State" = "State" + 1, "ModifiedAt" = clock_timestamp();
UPDATE "Prints" SET "State" = "State" + 1, "ModifiedAt" = clock_timestamp();
SELECT count(photoflow.log_operations(e.entries)) FROM generate_series(1, 200), (SELECT jsonb_agg(jsonb_build_object('service_name', 'AlbumService', 'action', 'SyncPhotos', 'entity_type', 'Album',
	'entity_id', bench.uuid(1, n), 'execution_time_ms', n)) FROM generate_series(1, 100) n) e (entries) \g /dev/null
CALL bench.report_rounds(1, :month / 20, ', then 50,000 rows');
SELECT bench.cpu() AS since \gset
CALL photoflow.maintain();
SELECT bench.cpu() - :since AS spent \gset
CALL bench.report_rounds(1, :month / 20, ', then maintain()');

-- What is printed here: pages, and WAL beyond the bare statement's.
\pset footer off
\pset null ''
SELECT :month AS "rows of a month", (:spent / 1000000.0)::numeric(10, 1) AS "maintain() after 50,000 rows, ms",
	(SELECT string_agg(format('%s %s', regexp_replace(x.amname, '^btree$', 'btree'), pg_size_pretty(x.size)), ', ') FROM (SELECT a.amname, sum(pg_relation_size(c.oid)) AS size
		FROM pg_partition_tree('"AuditLogs"') t JOIN pg_index i ON i.indrelid = t.relid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam GROUP BY 1) x) AS "indexes of AuditLogs",
	(SELECT pg_size_pretty(sum(pg_relation_size(relid))) FROM pg_partition_tree('"AuditLogs"')) AS "pages";
SELECT part AS report, variant, percentile_disc(0.5) WITHIN GROUP (ORDER BY pages) AS pages, percentile_disc(0.5) WITHIN GROUP (ORDER BY rows) AS rows
FROM bench.report_pages GROUP BY part, variant ORDER BY min(min(position)) OVER (PARTITION BY part), min(position);
WITH w AS (SELECT part, variant, min(position) AS position, percentile_cont(0.5) WITHIN GROUP (ORDER BY wal)::numeric AS wal FROM bench.results WHERE "case" = 'audit' AND wal IS NOT NULL GROUP BY 1, 2)
SELECT w.part AS "WAL, bytes a row", w.variant, round(w.wal) AS wal, round(w.wal - b.wal) AS "above bare", CASE WHEN w.variant = 'photoflow' AND w.part = 'UPDATE, 2 of 12 columns' THEN 400 END AS bound,
	CASE WHEN w.variant = 'photoflow' AND w.part = 'UPDATE, 2 of 12 columns' THEN CASE WHEN w.wal - b.wal <= 400 THEN 'met' ELSE 'MISSED' END ELSE '' END AS "?"
FROM w JOIN w b ON b.part = w.part AND b.variant = 'bare' WHERE w.variant <> 'bare' ORDER BY w.position;

CALL bench.audit_by('none');
CALL bench.fill_prints(0);
DROP INDEX bench.audit_entity, bench.audit_slow;
