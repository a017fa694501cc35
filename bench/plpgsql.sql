-- plpgsql.sql: what a good developer writes without photoflow: rules, history, fire, sync and deletion in PL/pgSQL.
CREATE TABLE bench.triggers (
	name text, definition text, owner text NOT NULL DEFAULT 'bench', relation regclass NOT NULL DEFAULT '"Albums"'
);

CREATE TABLE bench.edges (
	version int, from_state int, to_state int, trigger text, roles text[],
	PRIMARY KEY (version, from_state, to_state, trigger)
);
INSERT INTO bench.edges
SELECT w."Version", f.value, t.value, e.trigger, ARRAY(SELECT jsonb_array_elements_text(w."Definition"->'policies'->e.policy))
FROM "WorkflowVersions" AS w
CROSS JOIN jsonb_to_recordset(w."Definition"->'transitions') AS e (trigger text, "from" text, "to" text, policy text)
JOIN jsonb_to_recordset(w."Definition"->'states') AS f (name text, value int) ON f.name = e."from"
JOIN jsonb_to_recordset(w."Definition"->'states') AS t (name text, value int) ON t.name = e."to";
ANALYZE bench.edges;

-- The rules, three ways ---------------------------------------------------------------------------------------------

CREATE FUNCTION bench.check_lookup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW."AlbumState" IS DISTINCT FROM OLD."AlbumState" AND NOT EXISTS (
		SELECT FROM bench.edges
		WHERE version = NEW."WorkflowVersion" AND from_state = OLD."AlbumState" AND to_state = NEW."AlbumState"
		AND current_setting('photoflow.role', true) = ANY (roles)) THEN
		RAISE EXCEPTION 'state change % -> % is not permitted', OLD."AlbumState", NEW."AlbumState";
	END IF;
	RETURN NEW;
END $$;

CREATE FUNCTION bench.check_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NOT (CASE OLD."AlbumState"
		WHEN NEW."AlbumState" THEN true
		WHEN 0 THEN NEW."AlbumState" = 1
		WHEN 1 THEN NEW."AlbumState" = 2
		WHEN 2 THEN NEW."AlbumState" = 3
		WHEN 3 THEN NEW."AlbumState" IN (4, 5)
		WHEN 4 THEN NEW."AlbumState" = 5
		WHEN 5 THEN NEW."AlbumState" = 6
		WHEN 6 THEN NEW."AlbumState" IN (7, 8)
		WHEN 7 THEN NEW."AlbumState" = 6
		WHEN 8 THEN NEW."AlbumState" = 9
		WHEN 9 THEN NEW."AlbumState" = 10
		ELSE false END) THEN
		RAISE EXCEPTION 'state change % -> % is not permitted', OLD."AlbumState", NEW."AlbumState";
	END IF;
	RETURN NEW;
END $$;

INSERT INTO bench.triggers (name, definition) VALUES
('check_lookup', 'CREATE TRIGGER check_lookup BEFORE UPDATE OF "AlbumState" ON "Albums"
	FOR EACH ROW EXECUTE FUNCTION bench.check_lookup()'),
('check_case', 'CREATE TRIGGER check_case BEFORE UPDATE OF "AlbumState" ON "Albums"
	FOR EACH ROW EXECUTE FUNCTION bench.check_case()'),
('check_after', 'CREATE TRIGGER check_after AFTER UPDATE OF "AlbumState" ON "Albums"
	FOR EACH ROW WHEN (OLD."AlbumState" IS DISTINCT FROM NEW."AlbumState") EXECUTE FUNCTION bench.check_lookup()');

-- The history, by row and by statement; the second joins the transition tables, which allow no column list -------------

CREATE FUNCTION bench.history_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO "AlbumTransitions"
		("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
	VALUES (NEW."OrgId", NEW."Id", gen_random_uuid(), NEW."WorkflowVersion", OLD."AlbumState", NEW."AlbumState", now(), 'Rate',
			current_setting('photoflow.role', true));
	RETURN NULL;
END $$;

CREATE FUNCTION bench.history_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO "AlbumTransitions"
		("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
	SELECT n."OrgId", n."Id", gen_random_uuid(), n."WorkflowVersion", o."AlbumState", n."AlbumState", now(), 'Rate',
		   current_setting('photoflow.role', true)
	FROM old_albums AS o JOIN new_albums AS n ON n."Id" = o."Id" WHERE n."AlbumState" IS DISTINCT FROM o."AlbumState";
	RETURN NULL;
END $$;

INSERT INTO bench.triggers (name, definition) VALUES
('history_row', 'CREATE TRIGGER history_row AFTER UPDATE OF "AlbumState" ON "Albums"
	FOR EACH ROW WHEN (OLD."AlbumState" IS DISTINCT FROM NEW."AlbumState") EXECUTE FUNCTION bench.history_row()'),
('history_statement', 'CREATE TRIGGER history_statement AFTER UPDATE ON "Albums"
	REFERENCING OLD TABLE AS old_albums NEW TABLE AS new_albums
	FOR EACH STATEMENT EXECUTE FUNCTION bench.history_statement()');

-- fire(), without guards, entry actions and events -----------------------------------------------------------------

CREATE FUNCTION bench.fire(album_id uuid, fired text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id')::uuid;
	caller text := current_setting('photoflow.role', true);
	transition uuid := gen_random_uuid();
	album record;
	edge record;
BEGIN
	SELECT "AlbumState" AS state, "WorkflowVersion" AS version INTO album
	FROM "Albums" WHERE "Id" = album_id AND "OrgId" = org FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'album % not found', album_id;
	END IF;
	SELECT to_state, roles INTO edge
	FROM bench.edges WHERE version = album.version AND from_state = album.state AND trigger = fired;
	IF NOT FOUND OR caller <> ALL (edge.roles) THEN
		RAISE EXCEPTION '% is not permitted in state %', fired, album.state;
	END IF;
	UPDATE "Albums" SET "AlbumState" = edge.to_state, "ModifiedAt" = now() WHERE "Id" = album_id AND "OrgId" = org;
	INSERT INTO "AlbumTransitions"
		("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
	VALUES (org, album_id, transition, album.version, album.state, edge.to_state, now(), fired, caller);
	RETURN transition;
END $$;

-- sync_photos(), without events ------------------------------------------------------------------------------------

CREATE FUNCTION bench.sync(tag uuid, files jsonb, OUT written bigint, OUT removed bigint) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id')::uuid;
	listed varchar[];
BEGIN
	PERFORM FROM "AlbumTags" WHERE "Id" = tag AND "OrgId" = org FOR NO KEY UPDATE;
	INSERT INTO "PhotoProcs" AS p ("OrgId", "AlbumTagId", "ExternalId", "FileName", "ThumbnailUrl", "SortOrder")
	SELECT org, tag, f.id, f.name, f.thumbnail, f.position
	FROM ROWS FROM (jsonb_to_recordset(files->'files')
			AS (id text, name text, "mimeType" text, trashed boolean, "thumbnailLink" text))
		WITH ORDINALITY AS f (id, name, mime, trashed, thumbnail, position)
	WHERE f.mime LIKE 'image/%' AND f.trashed IS NOT TRUE
	ON CONFLICT ("OrgId", "AlbumTagId", "ExternalId") WHERE NOT "IsDeleted" DO UPDATE
	SET "FileName" = EXCLUDED."FileName", "ThumbnailUrl" = EXCLUDED."ThumbnailUrl", "ModifiedAt" = now()
	WHERE (p."FileName", p."ThumbnailUrl") IS DISTINCT FROM (EXCLUDED."FileName", EXCLUDED."ThumbnailUrl");
	GET DIAGNOSTICS written = ROW_COUNT;
	listed := ARRAY(SELECT f->>'id' FROM jsonb_array_elements(files->'files') AS f);
	UPDATE "PhotoProcs" SET "IsDeleted" = true, "ModifiedAt" = now()
	WHERE "OrgId" = org AND "AlbumTagId" = tag AND NOT "IsDeleted" AND "ExternalId" <> ALL (listed);
	GET DIAGNOSTICS removed = ROW_COUNT;
END $$;

-- Soft delete: who deletes a row sets the four columns, and what is below follows by statement -----------------------

CREATE TEMP TABLE cascades AS SELECT * FROM (VALUES
	('Albums'::text, 'AlbumTags'::text, 'AlbumId'::text), ('AlbumTags', 'PhotoProcs', 'AlbumTagId'),
	('PhotoProcs', 'PhotoComments', 'PhotoProcId'), ('PhotoProcs', 'PhotoLikes', 'PhotoProcId')) AS c (parent, child, key);

SELECT format($template$
	CREATE FUNCTION bench.%I() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE %I AS c
		SET "IsDeleted" = true, "DeletedAt" = n."DeletedAt", "DeletedBy" = n."DeletedBy", "DeletionId" = n."DeletionId"
		FROM old_rows AS o JOIN new_rows AS n ON n."Id" = o."Id"
		WHERE n."IsDeleted" AND NOT o."IsDeleted" AND c."OrgId" = n."OrgId" AND c.%I = n."Id" AND NOT c."IsDeleted";
		RETURN NULL;
	END $$ $template$, 'cascade to ' || child, child, key)
FROM cascades \gexec

INSERT INTO bench.triggers (name, relation, definition)
SELECT 'cascade', format('%I', parent)::regclass, format('CREATE TRIGGER %1$I AFTER UPDATE ON %2$I
	REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION bench.%1$I()',
	'cascade to ' || child, parent)
FROM cascades;
