-- The tables, and what the other files of this suite share: two organizations, their users, helpers in schema lab.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = debug1;
SELECT photoflow.create_tables();
SELECT photoflow.create_tables();
RESET client_min_messages;
SELECT count(*) AS steps, count(*) FILTER (WHERE "State" = 'done') = count(*) AS all_done FROM "__PhotoflowMigrations";
SELECT data_schema FROM photoflow.installation;

-- once more, with the schema named: as often as one likes, but in one schema
SELECT photoflow.create_tables('public');
CREATE SCHEMA lab;
SELECT photoflow.create_tables('lab');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.create_tables(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT relname FROM pg_class WHERE relnamespace = 'lab'::regnamespace;

-- the empty shelves: every table of the domain is there, and holds nothing but workflow version 1
SELECT "Version", "Name", "IsCurrent" FROM "WorkflowVersions";
SELECT (SELECT count(*) FROM "Organizations") + (SELECT count(*) FROM "Users") + (SELECT count(*) FROM "PublicUrls")
	+ (SELECT count(*) FROM "Albums") + (SELECT count(*) FROM "AlbumTags") + (SELECT count(*) FROM "PhotoProcs")
	+ (SELECT count(*) FROM "PhotoComments") + (SELECT count(*) FROM "PhotoLikes") + (SELECT count(*) FROM "FailureRecords")
	+ (SELECT count(*) FROM "AuditLogs") + (SELECT count(*) FROM "AlbumTransitions") AS rows;

-- lab.id('album', 7) is the same uuid in every run
CREATE FUNCTION lab.id(kind text, n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
	RETURN (substr(md5(kind), 1, 8) || '-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
CREATE FUNCTION lab.org(n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT RETURN lab.id('org', n);
INSERT INTO "Organizations" ("Id", "Name", "Code") VALUES (lab.org(1), 'Atelier One', 'one'), (lab.org(2), 'Studio Two', 'two');
INSERT INTO "Users" ("Id", "OrgId", "Email", "Name") VALUES
	(lab.id('user', 1), lab.org(1), 'ana@one.test', 'Ana'), (lab.id('user', 2), lab.org(2), 'bo@two.test', 'Bo');

-- Make an album in any state, as its owner may: with guards that hold, unless bare.
CREATE FUNCTION lab.album(n int, state int DEFAULT 0, org int DEFAULT 1, bare boolean DEFAULT false) RETURNS uuid
	LANGUAGE plpgsql AS $$
DECLARE
	album uuid := lab.id('album', n);
BEGIN
	INSERT INTO "Albums" ("Id", "OrgId", "Name", "AlbumState") VALUES (album, lab.org(org), 'album ' || n, state);
	IF NOT bare THEN
		INSERT INTO "AlbumTags" ("Id", "AlbumId", "OrgId", "Type", "Status")
			SELECT lab.id('tag' || type, n), album, lab.org(org), type, 2 FROM unnest(ARRAY[0, 3]) type;
		INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "OrgId", "FileName", "Voted")
			VALUES (lab.id('photo', n), lab.id('tag0', n), lab.org(org), n || '.jpg', true);
	END IF;
	RETURN album;
END $$;

-- What became of an album: its history, without ids and times, and whether the chain is whole.
CREATE FUNCTION lab.history(album uuid) RETURNS TABLE (n bigint, "from" int, trigger varchar, "to" int, version int, role varchar,
		reason text, args jsonb, undoes bigint)
	LANGUAGE sql STABLE AS $$
	WITH h AS (SELECT *, row_number() OVER (ORDER BY "Id") AS n FROM "AlbumTransitions" WHERE "AlbumId" = album)
	SELECT h.n, h."FromState", h."Trigger", h."ToState", h."WorkflowVersion", h."Role", h."Reason", h."Args", u.n
	FROM h LEFT JOIN h u ON u."Id" = h."Compensates" ORDER BY h.n
$$;
-- Among some albums: rows of history that do not follow from the row before, and albums that are not where their history ends.
CREATE FUNCTION lab.broken(first int, last int) RETURNS TABLE (album varchar, problem text) LANGUAGE sql STABLE AS $$
	SELECT a."Name", 'history goes from ' || h."FromState" || ' after ' || h.before
	FROM (SELECT *, lag("ToState") OVER (PARTITION BY "OrgId", "AlbumId" ORDER BY "Id") AS before FROM "AlbumTransitions") h
		JOIN "Albums" a ON a."Id" = h."AlbumId"
	WHERE h.before <> h."FromState" AND a."Id" BETWEEN lab.id('album', first) AND lab.id('album', last)
	UNION ALL
	SELECT a."Name", 'is in ' || a."AlbumState" || ', its history ends in ' || h."ToState"
	FROM "Albums" a JOIN (SELECT DISTINCT ON ("AlbumId") * FROM "AlbumTransitions" ORDER BY "AlbumId", "Id" DESC) h
		ON h."AlbumId" = a."Id"
	WHERE (h."ToState" <> a."AlbumState" OR h."OrgId" <> a."OrgId" OR h."WorkflowVersion" <> a."WorkflowVersion")
		AND a."Id" BETWEEN lab.id('album', first) AND lab.id('album', last)
	ORDER BY 1, 2
$$;
-- The stages of an album: type and status.
CREATE FUNCTION lab.tags(album uuid) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT string_agg("Type" || ':' || "Status", ' ' ORDER BY "Type", "Id") FROM "AlbumTags" WHERE "AlbumId" = album AND NOT "IsDeleted"
$$;
GRANT USAGE ON SCHEMA lab TO PUBLIC;
