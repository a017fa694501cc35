-- import_rows(): what COPY FROM may not do, checked for all rows at once. And the beginning of a file name as a search.
\set VERBOSITY default
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_photoflow_app;
SELECT photoflow.grant_app('regress_photoflow_app');
SELECT lab.album(42801), lab.album(42802, org => 2), lab.album(42803) \gset
SET photoflow.role = 'photographer';
SET ROLE regress_photoflow_app;
-- Npgsql's binary import is a COPY: refused by PostgreSQL
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) \g /dev/null
\set VERBOSITY terse
\copy "PhotoProcs" ("AlbumTagId", "FileName") FROM /dev/null
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE

-- into a table of one's own it is not
CREATE TEMP TABLE staged ("AlbumTagId" uuid, "FileName" varchar, "SortOrder" int, "ExternalId" varchar);
COPY staged FROM STDIN (FORMAT csv);
b6b33ab8-0000-4000-8000-000000042801,one.jpg,1,x1
\.
TRUNCATE staged;
INSERT INTO staged SELECT lab.id(CASE n % 2 WHEN 0 THEN 'tag0' ELSE 'tag3' END, CASE WHEN n < 500 THEN 42801 ELSE 42803 END), 'IMG_' || lpad(n::text, 5, '0') || '.JPG', n, 'file-' || n
	FROM generate_series(1, 1000) n;
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
SELECT count(*), count(DISTINCT "AlbumTagId"), bool_and("OrgId" = lab.org(1)) AS mine, bool_and(photoflow.uuid_v7_time("Id") IS NOT NULL) AS ids
	FROM "PhotoProcs" WHERE "ExternalId" LIKE 'file-%';
-- once more: the keys are those of any INSERT
\set VERBOSITY terse
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
TRUNCATE staged;
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');

-- rows that hang on another's parent or on nobody's: how many, which, and in the same words
INSERT INTO staged VALUES (lab.id('tag0', 42801), 'a', 1, 'a'), (lab.id('tag0', 42802), 'b', 2, 'b'), (lab.id('tag0', 42802), 'c', 3, 'c'), (lab.id('tag0', 42899), 'd', 4, 'd');
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM "PhotoProcs" WHERE "FileName" = 'a';
-- a parent that is missing is the table's to refuse
TRUNCATE staged;
INSERT INTO staged VALUES (NULL, 'a', 1, 'a');
\set VERBOSITY terse
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
-- rows that say whose they are
ALTER TABLE staged ADD "OrgId" uuid;
TRUNCATE staged;
INSERT INTO staged VALUES (lab.id('tag0', 42801), 'mine', 1, 'm', lab.org(1)), (lab.id('tag0', 42801), 'nobody''s', 2, 'n', NULL);
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
SELECT "FileName", "OrgId" = lab.org(1) AS mine FROM "PhotoProcs" WHERE "ExternalId" IN ('m', 'n') ORDER BY 1;
UPDATE staged SET "OrgId" = lab.org(2), "ExternalId" = 'o';
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
\echo :LAST_ERROR_SQLSTATE
-- albums begin where albums begin
CREATE TEMP TABLE albums ("Name" text, "AlbumState" int);
INSERT INTO albums VALUES ('imported', 0), ('imported', 0);
SELECT photoflow.import_rows('"Albums"', 'albums');
UPDATE albums SET "AlbumState" = 9;
SELECT photoflow.import_rows('"Albums"', 'albums');
\echo :LAST_ERROR_SQLSTATE

-- columns that the table does not have, or that cannot be written; types that do not fit
CREATE TEMP TABLE wrong ("AlbumTagId" uuid, "FileName" varchar, "Filename" varchar);
SELECT photoflow.import_rows('"PhotoProcs"', 'wrong');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE wrong DROP COLUMN "Filename", ADD COLUMN "SortOrder" text;
\set VERBOSITY terse
SELECT photoflow.import_rows('"PhotoProcs"', 'wrong');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
-- what is no table of rows of an organization; privileges are the caller's own; NULL; nobody's tenant
SELECT photoflow.import_rows('"WorkflowVersions"', 'wrong');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.import_rows('wrong', 'wrong');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.import_rows('"Users"', 'albums');
\echo :LAST_ERROR_SQLSTATE
CREATE TEMP TABLE people ("Name" text);
INSERT INTO people VALUES ('Mallory');
SELECT photoflow.import_rows('"Users"', 'people');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.import_rows(NULL, 'people');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.import_rows('"Users"', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.import_rows(4294967295::oid::regclass, 'people');
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
SELECT photoflow.import_rows('"PhotoProcs"', 'staged');
\echo :LAST_ERROR_SQLSTATE

-- a file name by its beginning: ^@ is leakproof, so that the index serves it under row-level security; LIKE is not
RESET ROLE;
ANALYZE "PhotoProcs";
SET ROLE regress_photoflow_app;
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) \g /dev/null
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM "PhotoProcs" WHERE "FileName" ^@ 'IMG_0001';
CREATE FUNCTION pg_temp.uses(query text) RETURNS TABLE (index boolean, for_the_name boolean) LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	index := false;
	for_the_name := false;
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		index := index OR line LIKE '%Index%Scan using "IX_PhotoProcs_OrgId_FileName"%';
		for_the_name := for_the_name OR line LIKE '%Index Cond%IMG%';
	END LOOP;
	RETURN NEXT;
END $$;
SELECT * FROM pg_temp.uses($$ SELECT "Id" FROM "PhotoProcs" WHERE "FileName" ^@ 'IMG_0001' $$);
SELECT * FROM pg_temp.uses($$ SELECT "Id" FROM "PhotoProcs" WHERE starts_with("FileName", 'IMG_0001') $$);
SELECT for_the_name FROM pg_temp.uses($$ SELECT "Id" FROM "PhotoProcs" WHERE "FileName" LIKE 'IMG\_0001%' $$);

RESET ROLE;
RESET enable_seqscan;
RESET enable_bitmapscan;
SET photoflow.hard_delete = on;
DELETE FROM "PhotoProcs" WHERE "ExternalId" LIKE 'file-%' OR "ExternalId" IN ('m', 'n');
DELETE FROM "Albums" WHERE "Name" = 'imported';
RESET photoflow.hard_delete;
RESET photoflow.org_id;
RESET photoflow.role;
DROP TABLE staged, albums, wrong, people;
DROP FUNCTION pg_temp.uses(text);
SELECT photoflow.revoke_app('regress_photoflow_app');
DROP ROLE regress_photoflow_app;
