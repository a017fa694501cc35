-- fire_many(): one trigger, many albums.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
CREATE ROLE regress_photoflow_app;
GRANT SELECT, UPDATE ON "Albums" TO regress_photoflow_app;
CREATE FUNCTION lab.ids(VARIADIC int[]) RETURNS uuid[] LANGUAGE sql AS $$ SELECT array(SELECT lab.id('album', n) FROM unnest($1) WITH ORDINALITY u(n, o) ORDER BY o) $$;
CREATE FUNCTION lab.states(int, int) RETURNS TABLE (n int, state int, history text[]) LANGUAGE sql AS $$
	SELECT n, "AlbumState", array(SELECT h.trigger || ' ' || h."from" || '-' || h."to" || coalesce(' ' || h.reason, '') FROM lab.history(a."Id") h)
	FROM generate_series($1, $2) n JOIN "Albums" a ON a."Id" = lab.id('album', n) ORDER BY n $$;
SELECT lab.album(401), lab.album(402), lab.album(403, 2), lab.album(404, 1, bare => true), lab.album(405, org => 2) \gset

-- the answer is in the order of the question, an id given twice counts once
SELECT right(album_id::text, 3) AS album, from_state, to_state, sqlstate, message
	FROM photoflow.fire_many(lab.ids(402, 401, 402, 405), 'SyncRawTag', 'batch');
SELECT * FROM lab.states(401, 405);
SELECT lab.tags(lab.id('album', n)) FROM generate_series(401, 405) n;
-- none at all
SELECT * FROM photoflow.fire_many('{}', 'SyncRawTag');
SELECT * FROM photoflow.fire_many('{}', 'nonsense', on_error => 'skip');

-- abort: one refusal, nothing happens
SELECT * FROM photoflow.fire_many(lab.ids(401, 403, 402), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(lab.ids(401, 499), 'SyncRawTag', on_error => 'abort');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(lab.ids(401, 404), 'SyncStockTag');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.states(401, 405);

-- skip: every refusal is told, each with its code, the others go; several edges of one trigger at once
UPDATE "Albums" SET "IsDeleted" = true WHERE "Id" = lab.id('album', 402);
SELECT lab.album(406, 1) \gset
SELECT right(album_id::text, 3) AS album, from_state, to_state, sqlstate, message
	FROM photoflow.fire_many(lab.ids(499, 401, 402, 403, 404, 405, 406), 'SyncStockTag', 'as far as they go', 'skip');
SELECT * FROM lab.states(401, 406);
-- all refused
SELECT right(album_id::text, 3) AS album, from_state, to_state, sqlstate, message
	FROM photoflow.fire_many(lab.ids(401, 403), 'Close', on_error => 'skip');

-- a tenant: its own, in its role
SELECT set_config('photoflow.org_id', lab.org(1)::text, false) \g /dev/null
SET photoflow.role = 'anonymous';
SET ROLE regress_photoflow_app;
SELECT right(album_id::text, 3) AS album, from_state, to_state, sqlstate, message
	FROM photoflow.fire_many(lab.ids(403, 405, 404), 'Rate', on_error => 'skip');
SELECT right(album_id::text, 3) AS album, from_state, to_state, sqlstate, message
	FROM photoflow.fire_many(lab.ids(403, 404), 'SyncRawTag', on_error => 'skip');
RESET ROLE;
RESET photoflow.org_id;
RESET photoflow.role;

-- arguments
SELECT * FROM photoflow.fire_many(NULL, 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(ARRAY[NULL::uuid], 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(lab.ids(401), NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(lab.ids(401), 'SyncStockTag', on_error => NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM photoflow.fire_many(lab.ids(401), 'SyncStockTag', on_error => 'ignore');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM photoflow.fire_many(ARRAY[lab.ids(401, 406), lab.ids(403, 404)], 'SyncStockTag', on_error => 'skip');

-- many: one row of history each, and as many statements on "AlbumTransitions" as there are edges
SELECT count(lab.album(n, n % 2, 1 + n % 3 / 2)) FROM generate_series(1000, 3999) n;
CREATE TABLE lab.statements (n int);
CREATE FUNCTION lab.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO lab.statements VALUES (1); RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT ON "AlbumTransitions" FOR EACH STATEMENT EXECUTE FUNCTION lab.note();
SELECT from_state, to_state, sqlstate, count(*) FROM photoflow.fire_many(array(SELECT lab.id('album', n) FROM generate_series(1000, 3999) n
	ORDER BY md5(n::text)), 'SyncRawTag') GROUP BY 1, 2, 3 ORDER BY 1;
SELECT count(*) <= 4 AS few FROM lab.statements;
DROP TRIGGER note ON "AlbumTransitions";
DROP FUNCTION lab.note();
DROP TABLE lab.statements;
SELECT count(*), count(DISTINCT "AlbumId"), bool_and("ToState" = 1) FROM "AlbumTransitions" h
	WHERE "AlbumId" BETWEEN lab.id('album', 1000) AND lab.id('album', 3999)
	AND "OrgId" = (SELECT "OrgId" FROM "Albums" WHERE "Id" = h."AlbumId");
SELECT * FROM lab.broken(400, 3999);
DROP FUNCTION lab.ids, lab.states;
DROP OWNED BY regress_photoflow_app;
DROP ROLE regress_photoflow_app;
