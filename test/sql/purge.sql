-- purge(): only what was deleted long enough ago goes, children before their parents, in batches that are counted; nothing else does.
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null (null)
SET client_min_messages = warning;
INSERT INTO "Organizations" ("Id", "Name") SELECT lab.org(n), n FROM generate_series(53, 56) n;
-- An album with two stages, a photo, a comment, a like and a history of two.
CREATE FUNCTION lab.whole(n int, org int DEFAULT 53) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.album(n, org => org);
	INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content") VALUES (lab.id('comment', n), lab.id('photo', n), 'a');
	INSERT INTO "PhotoLikes" ("Id", "PhotoProcId") VALUES (lab.id('like', n), lab.id('photo', n));
	PERFORM photoflow.fire(lab.id('album', n), 'SyncRawTag'), photoflow.fire(lab.id('album', n), 'SyncRawTag');
END $$;
-- How many rows of an organization there are: live, deleted, and the history.
CREATE FUNCTION lab.rows(org int) RETURNS TABLE (urls bigint, albums bigint, stages bigint, photos bigint, comments bigint, likes bigint, deleted bigint, history bigint) LANGUAGE sql STABLE AS $$
	WITH r AS (SELECT 1 AS tbl, "IsDeleted" FROM "PublicUrls" WHERE "OrgId" = lab.org(org) UNION ALL SELECT 2, "IsDeleted" FROM "Albums" WHERE "OrgId" = lab.org(org)
		UNION ALL SELECT 3, "IsDeleted" FROM "AlbumTags" WHERE "OrgId" = lab.org(org) UNION ALL SELECT 4, "IsDeleted" FROM "PhotoProcs" WHERE "OrgId" = lab.org(org)
		UNION ALL SELECT 5, "IsDeleted" FROM "PhotoComments" WHERE "OrgId" = lab.org(org) UNION ALL SELECT 6, "IsDeleted" FROM "PhotoLikes" WHERE "OrgId" = lab.org(org))
	SELECT count(*) FILTER (WHERE tbl = 1 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 2 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 3 AND NOT "IsDeleted"),
		count(*) FILTER (WHERE tbl = 4 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 5 AND NOT "IsDeleted"), count(*) FILTER (WHERE tbl = 6 AND NOT "IsDeleted"),
		count(*) FILTER (WHERE "IsDeleted"), (SELECT count(*) FROM "AlbumTransitions" WHERE "OrgId" = lab.org(org)) FROM r
$$;
-- Make what is deleted of an organization older, as time does, in the order in which it was deleted: a day apart, the last one so many days ago.
CREATE FUNCTION lab.age(org int, days int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	d record;
	tbl text;
	made uuid;
BEGIN
	SET LOCAL session_replication_role = replica;
	FOR d IN SELECT deletion_id, now() - (days + row_number() OVER (ORDER BY deletion_id DESC)) * interval '1 day' AS at
		FROM (SELECT DISTINCT deletion_id FROM photoflow.deletions WHERE org_id = lab.org(org)) x
	LOOP
		made := regexp_replace(lpad(to_hex(floor(extract(epoch FROM d.at) * 1000)::bigint), 12, '0') || '7' || substr(replace(d.deletion_id::text, '-', ''), 14),
			'(.{8})(.{4})(.{4})(.{4})(.{12})', '\1-\2-\3-\4-\5');
		FOREACH tbl IN ARRAY '{Organizations,Users,PublicUrls,Albums,AlbumTags,PhotoProcs,PhotoComments,PhotoLikes,FailureRecords,AuditLogs,DeletionReasons}'::text[] LOOP
			EXECUTE format('UPDATE %I SET "DeletionId" = $1 %s WHERE %I = $3 AND "DeletionId" = $4', tbl, CASE WHEN tbl <> 'DeletionReasons' THEN ', "DeletedAt" = $2' END,
				CASE tbl WHEN 'Organizations' THEN 'Id' ELSE 'OrgId' END) USING made, d.at, lab.org(org), d.deletion_id;
		END LOOP;
	END LOOP;
	SET LOCAL session_replication_role = origin;
END $$;
-- What the newest run has written down.
CREATE FUNCTION lab.receipts(org int) RETURNS TABLE (tbl text, row_count bigint, batches int, state text, finished boolean, in_order boolean) LANGUAGE sql STABLE AS $$
	SELECT r.table_name, r.row_count, r.batches, r.state, r.finished_at >= r.started_at, r.first_id <= r.last_id FROM photoflow.purge_receipts r
	WHERE r.org_id = lab.org(org) AND r.run_id = (SELECT max(l.run_id::text)::uuid FROM photoflow.purge_receipts l WHERE l.org_id = lab.org(org))
	ORDER BY array_position('{PhotoLikes,PhotoComments,PhotoProcs,AlbumTags,AlbumTransitions,Albums,PublicUrls,Users,Organizations}'::text[], r.table_name), r.table_name
$$;

-- what it cannot be asked
CALL photoflow.purge(NULL);
\echo :LAST_ERROR_SQLSTATE
CALL photoflow.purge('-1 second');
\echo :LAST_ERROR_SQLSTATE
CALL photoflow.purge('1 month -31 days');
\echo :LAST_ERROR_SQLSTATE
CALL photoflow.purge('10 years', 0);
\echo :LAST_ERROR_SQLSTATE
CALL photoflow.purge('10 years', 1000001);
\echo :LAST_ERROR_SQLSTATE
BEGIN;
CALL photoflow.purge('10 years');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CREATE FUNCTION lab.purge_in_function() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL photoflow.purge('10 years'); END $$;
SELECT lab.purge_in_function();
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('photoflow.org_id', lab.org(53)::text, false) \g /dev/null
CALL photoflow.purge('10 years', org_id => lab.org(54));
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_retention(lab.org(54), '1 year');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_legal_hold(lab.org(54), true);
\echo :LAST_ERROR_SQLSTATE
RESET photoflow.org_id;
-- nothing to do, and an organization that is not there
CALL photoflow.purge('10 years', NULL, lab.org(53));
CALL photoflow.purge('10 years', 10, lab.org(99));
SELECT count(*) FROM photoflow.purge_receipts WHERE org_id IN (lab.org(53), lab.org(99));

-- what is live or was deleted a moment ago stays; what was deleted long enough ago goes, with its history
SELECT lab.whole(n) FROM generate_series(51101, 51104) n \g /dev/null
SELECT lab.whole(51109, 54) \g /dev/null
SELECT count(*) FROM photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51101)], 'first');
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51109);
SELECT lab.age(53, 365 * 30), lab.age(54, 365 * 30) \g /dev/null
SELECT count(*) FROM photoflow.soft_delete('"Albums"', ARRAY[lab.id('album', 51102)], 'second');
SELECT * FROM lab.rows(53);
CALL photoflow.purge('40 years', org_id => lab.org(53));
SELECT * FROM lab.rows(53);
CALL photoflow.purge('20 years', org_id => lab.org(53));
SELECT * FROM lab.rows(53);
SELECT * FROM lab.receipts(53);
SELECT count(*) AS rows, bool_and(older_than < now() - interval '19 years' AND older_than > now() - interval '21 years') AS older_than, bool_and(purged_by = current_user) AS by, count(user_id) AS users,
	bool_and(first_id = lab.id('album', 51101)) FILTER (WHERE table_name = 'Albums') AS first FROM photoflow.purge_receipts WHERE org_id = lab.org(53);
SELECT count(*) FROM photoflow.purge_progress;
SELECT table_name, row_count, reason, restorable FROM photoflow.deletions WHERE org_id = lab.org(53);
SELECT "Reason" FROM "DeletionReasons" WHERE "OrgId" = lab.org(53);
-- (of another organization nothing)
SELECT * FROM lab.rows(54);
-- again: there is nothing left
CALL photoflow.purge('20 years', org_id => lab.org(53));
SELECT count(DISTINCT run_id) AS runs FROM photoflow.purge_receipts WHERE org_id = lab.org(53);
-- all organizations, by whoever owns the tables; also from a block that is no transaction
DO $$ BEGIN CALL photoflow.purge('20 years'); END $$;
SELECT * FROM lab.rows(54);
SELECT * FROM lab.receipts(54);

SELECT table_name, restored_rows FROM photoflow.restore((SELECT "DeletionId" FROM "Albums" WHERE "Id" = lab.id('album', 51102)));

-- children before their parents, whatever was deleted first and however small a batch is
CREATE FUNCTION lab.layers(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lab.whole(n);
	DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', n);
	INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES (lab.id('photo', n), 'b');
	DELETE FROM "PhotoProcs" WHERE "Id" = lab.id('photo', n);
	INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT lab.id('tag0', n), i FROM generate_series(1, 3) i;
	DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag3', n);
	DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag0', n);
	DELETE FROM "Albums" WHERE "Id" = lab.id('album', n);
	PERFORM lab.age(53, 365 * 30);
END $$;
SELECT lab.layers(51111);
CALL photoflow.purge('20 years', 1, lab.org(53));
SELECT * FROM lab.receipts(53);
SELECT lab.layers(51112);
CALL photoflow.purge('20 years', 2, lab.org(53));
SELECT * FROM lab.receipts(53);
SELECT lab.layers(51113);
CALL photoflow.purge('20 years', 3, lab.org(53));
SELECT * FROM lab.receipts(53);
SELECT lab.layers(51114);
CALL photoflow.purge('20 years', 7, lab.org(53));
SELECT * FROM lab.receipts(53);
SELECT * FROM lab.rows(53);
-- a deletion larger than a batch, between others
SELECT lab.whole(n) FROM generate_series(51115, 51116) n \g /dev/null
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") SELECT lab.id('tag3', 51115), i FROM generate_series(1, 500) i;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", 'x' FROM "PhotoProcs" WHERE "AlbumTagId" = lab.id('tag3', 51115);
DELETE FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51115);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51115);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51116);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 100, lab.org(53));
SELECT * FROM lab.receipts(53);
SELECT * FROM lab.rows(53);

-- Tables of a user's --------------------------------------------------------------------------------------------------
-- one that refers to what is to go stops the batch: all of it stays, and can come back
CREATE TABLE lab.prints ("OrgId" uuid, n int, photo uuid, album uuid, FOREIGN KEY ("OrgId", photo) REFERENCES "PhotoProcs" ("OrgId", "Id"),
	FOREIGN KEY ("OrgId", album) REFERENCES "Albums" ("OrgId", "Id"));
SELECT lab.whole(51121) \g /dev/null
INSERT INTO lab.prints VALUES (lab.org(53), 1, lab.id('photo', 51121), NULL);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51121);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 1000, lab.org(53));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.rows(53);
SELECT count(*) FROM photoflow.purge_progress;
SELECT table_name, row_count, restorable FROM photoflow.deletions WHERE org_id = lab.org(53) AND deleted_at < now() - interval '1 year';
-- in a run over all organizations it holds up no other one's
SELECT lab.whole(51124, 54) \g /dev/null
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51124);
SELECT lab.age(54, 365 * 30);
CALL photoflow.purge('20 years');
\echo :LAST_ERROR_SQLSTATE
SELECT (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51121)) AS stopped, (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51124)) AS not_stopped;
SELECT table_name, restored_rows FROM photoflow.restore((SELECT "DeletionId" FROM "Albums" WHERE "Id" = lab.id('album', 51121)));
-- taken in parts: what is gone is gone, and what is left does not come back
INSERT INTO lab.prints VALUES (lab.org(53), 2, NULL, lab.id('album', 51121));
DELETE FROM lab.prints WHERE n = 1;
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51121);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 2, lab.org(53));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM lab.rows(53);
SELECT tbl, row_count, state, finished FROM lab.receipts(53);
SELECT count(*) FROM photoflow.purge_progress;
SELECT table_name, row_count, restorable FROM photoflow.deletions WHERE org_id = lab.org(53) AND deleted_at < now() - interval '1 year';
SELECT "DeletionId" AS begun FROM "Albums" WHERE "Id" = lab.id('album', 51121) \gset
SELECT table_name, restored_rows, conflicts->0->>'kind' AS kind FROM photoflow.restore(:'begun', true);
\set VERBOSITY sqlstate
SELECT photoflow.restore(:'begun');
UPDATE "Albums" SET "IsDeleted" = false WHERE "Id" = lab.id('album', 51121);
\set VERBOSITY terse
-- the next run goes on
DELETE FROM lab.prints;
CALL photoflow.purge('20 years', 2, lab.org(53));
SELECT tbl, row_count, state, finished FROM lab.receipts(53);
SELECT state, sum(row_count) FROM photoflow.purge_receipts WHERE org_id = lab.org(53) AND run_id IN (SELECT run_id FROM photoflow.purge_receipts WHERE org_id = lab.org(53) GROUP BY 1 ORDER BY run_id::text DESC LIMIT 2)
	GROUP BY state ORDER BY state;
SELECT * FROM lab.rows(53);
DROP TABLE lab.prints;
-- one that goes with it, and one that forgets it
CREATE TABLE lab.prints ("OrgId" uuid, n int, photo uuid, album uuid, FOREIGN KEY ("OrgId", photo) REFERENCES "PhotoProcs" ("OrgId", "Id") ON DELETE CASCADE,
	FOREIGN KEY ("OrgId", album) REFERENCES "Albums" ("OrgId", "Id") ON DELETE SET NULL (album));
SELECT lab.whole(51122) \g /dev/null
INSERT INTO lab.prints VALUES (lab.org(53), 1, lab.id('photo', 51122), NULL), (lab.org(53), 2, NULL, lab.id('album', 51122)), (lab.org(53), 3, lab.id('photo', 51103), NULL);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51122);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT n, album IS NULL AS no_album FROM lab.prints ORDER BY n;
DROP TABLE lab.prints;
-- a trigger that keeps a row
SELECT lab.whole(51123) \g /dev/null
DELETE FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51123);
SELECT lab.age(53, 365 * 30);
CREATE FUNCTION lab.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lab BEFORE DELETE ON "PhotoComments" FOR EACH ROW EXECUTE FUNCTION lab.keep();
CALL photoflow.purge('20 years', 1000, lab.org(53));
\echo :LAST_ERROR_SQLSTATE
DROP TRIGGER lab ON "PhotoComments";
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT tbl, row_count, state FROM lab.receipts(53);

-- Public links, open listings, logs, organizations --------------------------------------------------------------------
-- a link stays as long as a stage names it
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") SELECT lab.id('url', n), lab.org(53), 'https://' || n FROM generate_series(51131, 51133) n;
SELECT lab.whole(51131), lab.whole(51132) \g /dev/null
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 51131) WHERE "Id" = lab.id('tag0', 51131);
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 51132) WHERE "Id" = lab.id('tag0', 51132);
DELETE FROM "PublicUrls" WHERE "OrgId" = lab.org(53);
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51132);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT tbl, row_count, state FROM lab.receipts(53);
SELECT "Id" = lab.id('url', 51131) AS still_named FROM "PublicUrls" WHERE "OrgId" = lab.org(53) AND "IsDeleted";
DELETE FROM "AlbumTags" WHERE "Id" = lab.id('tag0', 51131);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 1, lab.org(53));
CALL photoflow.purge('20 years', 1, lab.org(53));
SELECT count(*) FROM "PublicUrls" WHERE "OrgId" = lab.org(53);
-- a stage with a listing that never ended
SELECT lab.whole(51134) \g /dev/null
SELECT inserted FROM photoflow.sync_photos(lab.id('tag3', 51134), '[{"id": "a", "name": "a.jpg", "mimeType": "image/jpeg"}]');
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51134);
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT count(*) FROM "PhotoSyncPages" WHERE "OrgId" = lab.org(53);
-- logs, in their partitions
INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") SELECT lab.org(53), n, now() - n * interval '1 month' FROM generate_series(0, 4) n;
INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") SELECT lab.org(53), lab.id('album', 51131), n FROM generate_series(1, 3) n;
DELETE FROM "AuditLogs" WHERE "OrgId" = lab.org(53) AND "Action" <> '2';
DELETE FROM "FailureRecords" WHERE "OrgId" = lab.org(53) AND "EntityType" <> '2';
SELECT lab.age(53, 365 * 30);
CALL photoflow.purge('20 years', 3, lab.org(53));
SELECT tbl, row_count, state FROM lab.receipts(53);
SELECT (SELECT count(*) FROM "AuditLogs" WHERE "OrgId" = lab.org(53)) AS logs, (SELECT count(*) FROM "FailureRecords" WHERE "OrgId" = lab.org(53)) AS failures;
-- what has no deletion is left alone until it is adopted
SET session_replication_role = replica;
UPDATE "PhotoLikes" SET "IsDeleted" = true, "ModifiedAt" = now() - interval '30 years' WHERE "Id" = lab.id('like', 51103);
RESET session_replication_role;
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT count(*) FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51103);
DO $$ BEGIN WHILE photoflow.adopt_deletions(1000) > 0 LOOP NULL; END LOOP; END $$;
CALL photoflow.purge('20 years', 1000, lab.org(53));
SELECT count(*) FROM "PhotoLikes" WHERE "Id" = lab.id('like', 51103);
-- rows of before 1.2, whose parent was deleted long before them: what a purge leaves the next one takes
SELECT lab.whole(51135) \g /dev/null
SET session_replication_role = replica;
UPDATE "Albums" SET "IsDeleted" = true, "ModifiedAt" = now() - interval '50 years' WHERE "Id" = lab.id('album', 51135);
UPDATE "PhotoProcs" SET "IsDeleted" = true, "ModifiedAt" = now() - interval '30 years' WHERE "Id" = lab.id('photo', 51135);
UPDATE "PhotoComments" SET "IsDeleted" = true, "ModifiedAt" = now() - interval '10 years' WHERE "Id" = lab.id('comment', 51135);
RESET session_replication_role;
DO $$ BEGIN WHILE photoflow.adopt_deletions(1000) > 0 LOOP NULL; END LOOP; END $$;
CALL photoflow.purge('20 years', 1, lab.org(53));
-- (the photo and what it hangs on stay, for the comment's sake)
SELECT (SELECT count(*) FROM "PhotoComments" WHERE "Id" = lab.id('comment', 51135)) AS comments, (SELECT count(*) FROM "PhotoProcs" WHERE "Id" = lab.id('photo', 51135)) AS photos,
	(SELECT count(*) FROM "AlbumTags" WHERE "AlbumId" = lab.id('album', 51135)) AS stages, (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51135)) AS albums;
SELECT table_name, row_count, restorable FROM photoflow.deletions WHERE org_id = lab.org(53) AND deleted_at < now() - interval '5 years';
CALL photoflow.purge('5 years', 1, lab.org(53));
SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51135);
-- a row that a trigger keeps from being adopted is an error, not an endless story
BEGIN;
SELECT lab.whole(51138) \g /dev/null
SET LOCAL session_replication_role = replica;
UPDATE "PhotoLikes" SET "IsDeleted" = true WHERE "Id" = lab.id('like', 51138);
SET LOCAL session_replication_role = origin;
CREATE TRIGGER lab BEFORE UPDATE ON "PhotoLikes" FOR EACH ROW EXECUTE FUNCTION lab.keep();
SELECT photoflow.adopt_deletions(1000);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- an organization: its links, one of which was deleted before the stage that names it
INSERT INTO "Users" ("OrgId", "Name") VALUES (lab.org(55), 'x');
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES (lab.id('url', 51136), lab.org(55), 'https://51136'), (lab.id('url', 51137), lab.org(55), 'https://51137');
SELECT lab.whole(51136, 55) \g /dev/null
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 51136) WHERE "Id" = lab.id('tag0', 51136);
DELETE FROM "PublicUrls" WHERE "Id" = lab.id('url', 51136);
DELETE FROM "Organizations" WHERE "Id" = lab.org(55);
SELECT lab.age(55, 365 * 30);
CALL photoflow.purge('20 years', 9, lab.org(55));
CALL photoflow.purge('20 years', 9, lab.org(55));
SELECT * FROM lab.rows(55);
SELECT count(*) FROM "Organizations" WHERE "Id" = lab.org(55);
SELECT table_name, sum(row_count) FROM photoflow.purge_receipts WHERE org_id = lab.org(55) GROUP BY 1 ORDER BY 1;

-- How long, and whether at all ----------------------------------------------------------------------------------------
SELECT lab.whole(51141), lab.whole(51142, 54) \g /dev/null
DELETE FROM "Albums" WHERE "Id" IN (lab.id('album', 51141), lab.id('album', 51142));
SELECT lab.age(53, 365 * 30), lab.age(54, 365 * 30) \g /dev/null
SELECT photoflow.set_retention(lab.org(53), '-1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_retention(NULL, '1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_retention(lab.org(53), '40 years');
SELECT org_id = lab.org(53) AS its, keep_for = interval '40 years' AS keep, legal_hold, hold_reason, modified_at IS NULL AS never FROM photoflow.retention WHERE org_id IN (lab.org(53), lab.org(54));
-- the longer of the two counts; for the others it is as before
CALL photoflow.purge('20 years');
SELECT (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51141)) AS kept, (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51142)) AS not_kept;
SELECT photoflow.set_retention(lab.org(53), '1 day');
CALL photoflow.purge('40 years', org_id => lab.org(53));
SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51141);
SELECT photoflow.set_retention(lab.org(53), NULL);
SELECT keep_for, legal_hold FROM photoflow.retention WHERE org_id = lab.org(53);
-- a legal hold
SELECT photoflow.set_legal_hold(lab.org(53), NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_legal_hold(NULL, true);
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_legal_hold(lab.org(53), true, 'case 17/2026');
SELECT keep_for, legal_hold, hold_reason FROM photoflow.retention WHERE org_id = lab.org(53);
CALL photoflow.purge('20 years', org_id => lab.org(53));
\echo :LAST_ERROR_SQLSTATE
SELECT lab.whole(51143, 54) \g /dev/null
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51143);
SELECT lab.age(54, 365 * 30);
SET client_min_messages = notice;
CALL photoflow.purge('50 years');
SET client_min_messages = warning;
CALL photoflow.purge('20 years');
SELECT (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51141)) AS held, (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51143)) AS not_held;
-- one deletes and restores under it as ever
SELECT table_name, restored_rows FROM photoflow.restore((SELECT "DeletionId" FROM "Albums" WHERE "Id" = lab.id('album', 51141)));
DELETE FROM "Albums" WHERE "Id" = lab.id('album', 51141);
SELECT lab.age(53, 365 * 30);
SELECT photoflow.set_legal_hold(lab.org(53), false);
SELECT keep_for, legal_hold, hold_reason FROM photoflow.retention WHERE org_id = lab.org(53);
CALL photoflow.purge('20 years', org_id => lab.org(53));
SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51141);

-- Whose -----------------------------------------------------------------------------------------------------------------
SELECT lab.whole(51151, 54), lab.whole(51152, 56) \g /dev/null
DELETE FROM "Albums" WHERE "Id" IN (lab.id('album', 51151), lab.id('album', 51152));
SELECT lab.age(54, 365 * 30), lab.age(56, 365 * 30) \g /dev/null
-- with an organization set: its rows
SELECT set_config('photoflow.org_id', lab.org(54)::text, false), set_config('photoflow.user_id', lab.id('user', 54)::text, false) \g /dev/null
CALL photoflow.purge('20 years');
SELECT DISTINCT org_id = lab.org(54) AS mine, user_id = lab.id('user', 54) AS by FROM photoflow.purge_receipts WHERE run_id = (SELECT max(run_id::text)::uuid FROM photoflow.purge_receipts);
RESET photoflow.org_id;
RESET photoflow.user_id;
SELECT (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51151)) AS set, (SELECT count(*) FROM "Albums" WHERE "Id" = lab.id('album', 51152)) AS not_set;
-- an application purges nothing and sees the receipts of its own
CREATE ROLE regress_photoflow_purger;
SELECT photoflow.grant_app('regress_photoflow_purger');
SET ROLE regress_photoflow_purger;
SELECT count(*) FROM photoflow.purge_receipts;
\echo :LAST_ERROR_SQLSTATE
SELECT set_config('photoflow.org_id', lab.org(54)::text, false) \g /dev/null
SELECT count(*) > 0 AS some, bool_and(org_id = lab.org(54)) AS mine FROM photoflow.purge_receipts;
SELECT count(*) FROM photoflow.purge_progress;
CALL photoflow.purge('20 years');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_retention(lab.org(54), '1 day');
\echo :LAST_ERROR_SQLSTATE
SELECT photoflow.set_legal_hold(lab.org(54), true);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM "PurgeReceipts";
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM "RetentionRules";
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM photoflow.retention;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
RESET photoflow.org_id;
DROP OWNED BY regress_photoflow_purger;
DROP ROLE regress_photoflow_purger;
CALL photoflow.purge('20 years');
SELECT * FROM lab.rows(56);

-- all of it goes, so that other files find what they expect
SET photoflow.hard_delete = on;
DELETE FROM "PhotoSyncPages" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "PhotoLikes" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "PhotoComments" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "PhotoProcs" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "AlbumTags" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "AlbumTransitions" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "Albums" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "PublicUrls" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "Users" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "AuditLogs" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "FailureRecords" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "Organizations" WHERE "Id" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "DeletionReasons" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "RetentionRules" WHERE "OrgId" IN (SELECT lab.org(n) FROM generate_series(53, 56) n);
DELETE FROM "PurgeReceipts";
RESET photoflow.hard_delete;
DROP FUNCTION lab.whole(int, int), lab.rows(int), lab.age(int, int), lab.receipts(int), lab.purge_in_function(), lab.layers(int), lab.keep();
