-- tenancy.sql: a million photos of 100 organizations, read with an explicit WHERE and no policies, and under policies.
CREATE ROLE bench_app;
SELECT photoflow.grant_app('bench_app') \g /dev/null
GRANT USAGE ON SCHEMA bench TO bench_app;
CREATE EXTENSION IF NOT EXISTS pgcrypto;

-- organization o, its album a of 10, its stage; 1,000 photos in each
CREATE PROCEDURE bench.fill_organizations(photos int) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	TRUNCATE "Albums" CASCADE;
	INSERT INTO "Organizations" ("Id", "Name") SELECT bench.uuid(0, o), 'studio ' || o FROM generate_series(1, 100) o;
	INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState", "WorkflowVersion")
	SELECT bench.uuid(1, o * 100 + a), bench.uuid(0, o), 'album ' || a, 0, 1 FROM generate_series(1, 100) o, generate_series(1, 10) a;
	INSERT INTO "AlbumTags" ("Id", "OrgId", "AlbumId", "Type")
	SELECT bench.uuid(2, o * 100 + a), bench.uuid(0, o), bench.uuid(1, o * 100 + a), 0 FROM generate_series(1, 100) o, generate_series(1, 10) a;
	-- as they come: organizations work at the same time
	INSERT INTO "PhotoProcs" ("Id", "OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder")
	SELECT photoflow.uuid_v7(), bench.uuid(0, o), bench.uuid(2, o * 100 + a), 'IMG_' || p || '.JPG', md5(concat(o, ' ', a, ' ', p)), p
	FROM generate_series(1, photos / 1000) p, generate_series(1, 10) a, generate_series(1, 100) o;
	COMMIT;
END $$;
CALL bench.fill_organizations((1000000 * :scale)::int);
VACUUM (ANALYZE) "PhotoProcs", "AlbumTags", "Albums";
CREATE TABLE bench.photo_ids AS SELECT row_number() OVER () AS n, "Id" AS id FROM "PhotoProcs" WHERE "OrgId" = bench.uuid(0, 42) LIMIT 5000;

-- the policies that people write; photoflow's own is put back by protect_table()
CREATE FUNCTION bench.org_plpgsql() RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN nullif(current_setting('photoflow.org_id', true), '')::uuid;
END $$;
CREATE PROCEDURE bench.policy(expression text) LANGUAGE plpgsql AS $$
BEGIN
	IF expression IS NULL THEN
		PERFORM photoflow.protect_table('"PhotoProcs"');
	ELSIF expression = 'none' THEN
		ALTER TABLE "PhotoProcs" DISABLE ROW LEVEL SECURITY;
	ELSE
		EXECUTE format('ALTER POLICY "PhotoflowTenant" ON "PhotoProcs" USING ("OrgId" = %s)', expression);
	END IF;
	COMMIT;
END $$;

-- runs a read a number of times as bench_app, with an explicit WHERE or without one
CREATE PROCEDURE bench.read(part text, variant text, round int, times int, policies boolean) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := bench.uuid(0, 42);
	tag uuid := bench.uuid(2, 4203);
	ids uuid[] := ARRAY(SELECT id FROM bench.photo_ids ORDER BY n LIMIT times + 10);
	since bigint;
BEGIN
	PERFORM set_config('photoflow.org_id', org::text, false);
	SET ROLE bench_app;
	FOR n IN 1 .. times + 10 LOOP		-- the first ten make the plans
		IF n = 11 THEN
			RESET ROLE;
			since := bench.cpu();
			SET ROLE bench_app;
		END IF;
		IF part = 'page of 50' AND policies THEN
			PERFORM "Id", "FileName", "SortOrder" FROM "PhotoProcs" WHERE "AlbumTagId" = tag AND NOT "IsDeleted" ORDER BY "SortOrder" LIMIT 50;
		ELSIF part = 'page of 50' THEN
			PERFORM "Id", "FileName", "SortOrder" FROM "PhotoProcs" WHERE "OrgId" = org AND "AlbumTagId" = tag AND NOT "IsDeleted" ORDER BY "SortOrder" LIMIT 50;
		ELSIF part = 'row by key' AND policies THEN
			PERFORM "FileName" FROM "PhotoProcs" WHERE "Id" = ids[n];
		ELSIF part = 'row by key' THEN
			PERFORM "FileName" FROM "PhotoProcs" WHERE "OrgId" = org AND "Id" = ids[n];
		ELSIF part = 'name by its beginning' AND policies THEN
			PERFORM "FileName" FROM "PhotoProcs" WHERE "FileName" ^@ 'IMG_77';
		ELSIF part = 'name by its beginning' THEN
			PERFORM "FileName" FROM "PhotoProcs" WHERE "OrgId" = org AND "FileName" ^@ 'IMG_77';
		ELSIF policies THEN
			PERFORM count(*) FROM "PhotoProcs";
		ELSE
			PERFORM count(*) FROM "PhotoProcs" WHERE "OrgId" = org;
		END IF;
	END LOOP;
	RESET ROLE;
	CALL bench.record('tenancy', part, variant, round, times, since);
	COMMIT;
END $$;

CREATE PROCEDURE bench.read_rounds(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	part record;
	variant record;
BEGIN
	FOR round IN 1 .. rounds LOOP
		FOR part IN SELECT * FROM (VALUES (1, 'page of 50', 400, true), (2, 'row by key', 2000, true), (3, 'count by index', 40, true),
			(4, 'sequential count', 3, false), (5, 'name by its beginning', 400, true)) AS p (n, name, times, index) ORDER BY n
		LOOP
			PERFORM set_config('enable_indexscan', part.index::text, false), set_config('enable_indexonlyscan', part.index::text, false),
				set_config('enable_bitmapscan', part.index::text, false);
			FOR variant IN SELECT * FROM (VALUES (1, 'no policies, WHERE', false, 'none'), (2, 'photoflow', true, NULL),
				(3, '(SELECT photoflow.current_org())', true, '(SELECT photoflow.current_org())'),
				(4, 'current_setting()::uuid', true, 'current_setting(''photoflow.org_id'')::uuid'),
				(5, '(SELECT current_setting()::uuid)', true, '(SELECT current_setting(''photoflow.org_id'')::uuid)'),
				(6, 'PL/pgSQL, STABLE', true, 'bench.org_plpgsql()')) AS v (n, name, policies, expression) ORDER BY n
			LOOP
				CALL bench.policy(variant.expression);
				CALL bench.read(part.name, variant.name, round, part.times, variant.policies);
				CALL bench.policy(NULL);
			END LOOP;
		END LOOP;
	END LOOP;
	RESET enable_indexscan;
	RESET enable_indexonlyscan;
	RESET enable_bitmapscan;
END $$;

INSERT INTO bench.bounds SELECT 'tenancy', part, 'photoflow', 'no policies, WHERE', bound
FROM (VALUES ('page of 50', 1.05), ('row by key', 1.05), ('count by index', 1.05), ('sequential count', 1.4), ('name by its beginning', NULL)) AS b (part, bound);
CALL bench.read_rounds(9);

-- a token, verified by photoflow, and in PL/pgSQL with pgcrypto and jsonb as pgjwt does it
SELECT photoflow.set_token_key(decode(repeat('c5', 32), 'hex')) \g /dev/null
CREATE FUNCTION bench.url(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE
	RETURN rtrim(translate(encode(bytes, 'base64'), E'+/\n', '-_'), '=');
CREATE FUNCTION bench.token() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT body || '.' || bench.url(hmac(body, encode(decode(repeat('c5', 32), 'hex'), 'escape'), 'sha256'))
	FROM (SELECT bench.url('{"alg":"HS256","typ":"JWT"}') || '.' || bench.url(convert_to(format(
		'{"sub":"%s","role":["photographer","org_admin"],"org_id":"%s","iat":%s,"nbf":%s,"exp":%s}', bench.uuid(9, 1), bench.uuid(0, 42),
		extract(epoch FROM now())::bigint - 5, extract(epoch FROM now())::bigint - 5, extract(epoch FROM now())::bigint + 86400), 'UTF8')) AS body) AS t
$$;
CREATE FUNCTION bench.decode_url(part text) RETURNS bytea LANGUAGE sql IMMUTABLE
	RETURN decode(rpad(translate(part, '-_', '+/'), (length(part) + 3) / 4 * 4, '='), 'base64');
CREATE FUNCTION bench.authenticate(token text, key bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	parts text[] := string_to_array(token, '.');
	header jsonb := convert_from(bench.decode_url(parts[1]), 'UTF8');
	claims jsonb;
BEGIN
	IF cardinality(parts) <> 3 OR header->>'alg' <> 'HS256'
		OR bench.decode_url(parts[3]) <> hmac(convert_to(parts[1] || '.' || parts[2], 'UTF8'), key, 'sha256') THEN
		RAISE EXCEPTION 'invalid token';
	END IF;
	claims := convert_from(bench.decode_url(parts[2]), 'UTF8');
	IF to_timestamp((claims->>'exp')::numeric) <= now() OR to_timestamp((claims->>'nbf')::numeric) > now() THEN
		RAISE EXCEPTION 'token has expired';
	END IF;
	PERFORM set_config('photoflow.org_id', claims->>'org_id', true), set_config('photoflow.user_id', claims->>'sub', true),
		set_config('photoflow.role', (SELECT string_agg(r, ',') FROM jsonb_array_elements_text(claims->'role') r), true);
END $$;
CREATE PROCEDURE bench.token_rounds(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	key bytea := decode(repeat('c5', 32), 'hex');
	body text := substring(bench.token() FROM '^[^.]+\.[^.]+');
	token text := body || '.' || bench.url(hmac(convert_to(body, 'UTF8'), key, 'sha256'));
	since bigint;
BEGIN
	FOR round IN 0 .. rounds LOOP
		since := bench.cpu();
		FOR n IN 1 .. 2000 LOOP
			PERFORM photoflow.authenticate(token);
		END LOOP;
		IF round > 0 THEN
			CALL bench.record('tenancy', 'a token', 'photoflow.authenticate()', round, 2000, since);
		END IF;
		COMMIT;
		since := bench.cpu();
		FOR n IN 1 .. 2000 LOOP
			PERFORM bench.authenticate(token, key);
		END LOOP;
		IF round > 0 THEN
			CALL bench.record('tenancy', 'a token', 'PL/pgSQL with pgcrypto', round, 2000, since);
		END IF;
		COMMIT;
	END LOOP;
END $$;
CALL bench.token_rounds(7);

-- importing 10,000 photos: by a role that bypasses policies, and for one organization
CREATE TEMP TABLE staged AS SELECT bench.uuid(2, 4200 + n % 10 + 1) AS "AlbumTagId", 'NEW_' || n AS "FileName", md5('new' || n) AS "ExternalId", n AS "SortOrder"
	FROM generate_series(1, (10000 * :scale)::int) n;
GRANT SELECT ON staged TO bench_app;
ANALYZE staged;
CREATE PROCEDURE bench.import_rounds(rounds int) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := bench.uuid(0, 42);
	rows bigint := (SELECT count(*) FROM staged);
	variant text;
	since bigint;
BEGIN
	PERFORM set_config('photoflow.org_id', org::text, false);
	FOR round IN 0 .. rounds LOOP
		FOREACH variant IN ARRAY '{INSERT .. SELECT by a superuser,import_rows(),row by row by a superuser}'::text[] LOOP
			since := bench.cpu();
			IF variant = 'import_rows()' THEN
				SET LOCAL ROLE bench_app;
				PERFORM photoflow.import_rows('"PhotoProcs"', 'staged');
				RESET ROLE;
			ELSIF variant LIKE 'INSERT%' THEN
				INSERT INTO "PhotoProcs" ("OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder") SELECT org, s.* FROM staged s;
			ELSE
				DECLARE
					s record;
				BEGIN
					FOR s IN SELECT * FROM staged LOOP
						INSERT INTO "PhotoProcs" ("OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder")
						VALUES (org, s."AlbumTagId", s."FileName", s."ExternalId", s."SortOrder");
					END LOOP;
				END;
			END IF;
			IF round > 0 THEN
				CALL bench.record('tenancy', 'import of 10,000', variant, round, rows, since);
			END IF;
			SET LOCAL session_replication_role = replica;	-- which really deletes
			DELETE FROM "PhotoProcs" WHERE "FileName" LIKE 'NEW\_%' AND "OrgId" = org;
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
CALL bench.import_rounds(5);
