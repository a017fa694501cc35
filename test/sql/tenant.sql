-- Every row belongs to one organization: its own, its parent's, and the one that is asking.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE ROLE regress_photoflow_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO regress_photoflow_app;
BEGIN;
SELECT lab.album(101) \gset
SELECT lab.album(102, org => 2) \gset
INSERT INTO "PublicUrls" ("Id", "OrgId", "Url") VALUES (lab.id('url', 101), lab.org(1), 'https://one.test/a'),
	(lab.id('url', 102), lab.org(2), 'https://two.test/b');

-- the owner gives "OrgId" at the top, below it comes from the parent
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type", "PublicUrlId") VALUES (lab.id('stage', 101), lab.id('album', 101), 1, lab.id('url', 101));
INSERT INTO "PhotoProcs" ("Id", "AlbumTagId", "FileName") VALUES (lab.id('pic', 101), lab.id('stage', 101), 'a.jpg');
INSERT INTO "PhotoComments" ("Id", "PhotoProcId", "Content") VALUES (lab.id('comment', 101), lab.id('pic', 101), 'lovely');
INSERT INTO "PhotoLikes" ("Id", "PhotoProcId", "UserId") VALUES (lab.id('like', 101), lab.id('pic', 101), lab.id('user', 1));
SELECT bool_and("OrgId" = lab.org(1)) AS filled FROM (
	SELECT "OrgId" FROM "AlbumTags" WHERE "Id" = lab.id('stage', 101) UNION ALL
	SELECT "OrgId" FROM "PhotoProcs" WHERE "Id" = lab.id('pic', 101) UNION ALL
	SELECT "OrgId" FROM "PhotoComments" WHERE "Id" = lab.id('comment', 101) UNION ALL
	SELECT "OrgId" FROM "PhotoLikes" WHERE "Id" = lab.id('like', 101)) x HAVING count(*) = 4;
-- many rows of several organizations in one statement
INSERT INTO "AlbumTags" ("AlbumId", "Type") SELECT lab.id('album', n), t FROM generate_series(2, 4, 2) t, unnest(ARRAY[101, 102, 101]) n;
SELECT bool_and(t."OrgId" = a."OrgId") AS right, count(*) FROM "AlbumTags" t JOIN "Albums" a ON a."Id" = t."AlbumId"
	WHERE a."Id" IN (lab.id('album', 101), lab.id('album', 102));
SAVEPOINT s;

-- the owner: nothing to take it from
INSERT INTO "Albums" ("Name") VALUES ('whose?');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "Users" ("Email") VALUES ('who@nowhere.test');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AuditLogs" ("Action") VALUES ('x');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- an organization that does not exist
INSERT INTO "Albums" ("OrgId", "Name") VALUES (lab.org(99), 'whose?');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- a parent that does not exist is the owner's 23503, one that is elsewhere PF011
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 199), 0);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "OrgId") VALUES (lab.id('album', 199), 0, lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "OrgId") VALUES (lab.id('album', 102), 0, lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- two parents of two organizations
INSERT INTO "AlbumTags" ("AlbumId", "Type", "PublicUrlId") VALUES (lab.id('album', 101), 0, lab.id('url', 102));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "OrgId") VALUES (lab.id('tag0', 102), 'x.jpg', lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content", "OrgId") VALUES (lab.id('photo', 102), 'x', lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "PhotoLikes" ("PhotoProcId", "OrgId") VALUES (lab.id('photo', 102), lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- a row without its parent is the table's to refuse
\set VERBOSITY terse
INSERT INTO "PhotoProcs" ("FileName", "OrgId") VALUES ('x.jpg', lab.org(1));
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;

-- "OrgId" never changes, not even by the owner, not even to an organization that exists, not in bulk
UPDATE "Albums" SET "OrgId" = lab.org(2) WHERE "Id" = lab.id('album', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "Users" SET "OrgId" = lab.org(2);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "PhotoComments" SET "OrgId" = lab.org(2) WHERE NOT "IsDeleted";
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "PublicUrls" SET "OrgId" = lab.org(2) WHERE NOT "IsDeleted";
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") VALUES (lab.org(1), lab.id('album', 101), 'Album');
UPDATE "FailureRecords" SET "OrgId" = lab.org(2);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AuditLogs" ("OrgId", "Action", "CreatedAt") VALUES (lab.org(1), 'x', '2001-01-01');
UPDATE "AuditLogs" SET "OrgId" = lab.org(2);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
\set VERBOSITY terse
UPDATE "Albums" SET "OrgId" = NULL WHERE "Id" = lab.id('album', 101);
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- to the same value it may be set: EF Core writes all columns
UPDATE "Albums" SET "OrgId" = "OrgId", "Name" = 'renamed' WHERE "Id" = lab.id('album', 101);
-- moving a child to a parent of another organization, alone and with its "OrgId"
UPDATE "AlbumTags" SET "AlbumId" = lab.id('album', 102) WHERE "Id" = lab.id('stage', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "AlbumTags" SET "AlbumId" = lab.id('album', 102), "OrgId" = lab.org(2), "PublicUrlId" = NULL WHERE "Id" = lab.id('stage', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "AlbumTags" SET "PublicUrlId" = lab.id('url', 102) WHERE "Id" = lab.id('stage', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 102) WHERE "Id" = lab.id('pic', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "PhotoLikes" SET "PhotoProcId" = lab.id('photo', 102) WHERE "Id" = lab.id('like', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- to a parent that does not exist
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 199) WHERE "Id" = lab.id('pic', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- within the organization it may move
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag3', 101) WHERE "Id" = lab.id('pic', 101);
-- with the triggers off (a careless restore) the foreign keys still hold
ALTER TABLE "AlbumTags" DISABLE TRIGGER "PhotoflowTenantFill";
SAVEPOINT t;
INSERT INTO "AlbumTags" ("AlbumId", "Type", "OrgId") VALUES (lab.id('album', 102), 0, lab.org(1));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO t;
ALTER TABLE "AlbumTags" ENABLE TRIGGER "PhotoflowTenantFill";

-- a tenant: "OrgId" comes from the context where there is no parent
SET LOCAL ROLE regress_photoflow_app;
SELECT photoflow.set_context(lab.org(1), NULL, 'photographer');
INSERT INTO "Albums" ("Name") VALUES ('mine') RETURNING "OrgId" = lab.org(1) AS mine, "AlbumState", "WorkflowVersion" = 1 AS first;
INSERT INTO "Albums" ("Name", "OrgId") VALUES ('mine', lab.org(1)) RETURNING "OrgId" = lab.org(1) AS mine;
INSERT INTO "PublicUrls" ("Url") VALUES ('https://one.test/c') RETURNING "OrgId" = lab.org(1) AS mine;
INSERT INTO "FailureRecords" ("EntityId", "EntityType") VALUES (lab.id('album', 101), 'Album') RETURNING "OrgId" = lab.org(1) AS mine;
INSERT INTO "AuditLogs" ("Action") VALUES ('looked') RETURNING "OrgId" = lab.org(1) AS mine;
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 101), 1) RETURNING "OrgId" = lab.org(1) AS mine;
SAVEPOINT s;
INSERT INTO "Albums" ("Name", "OrgId") VALUES ('theirs', lab.org(2));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
INSERT INTO "AuditLogs" ("Action", "OrgId") VALUES ('theirs', lab.org(2));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- another's parent and none at all: the same words
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 102), 0) \g /dev/null
\set foreign :LAST_ERROR_SQLSTATE ': ' :LAST_ERROR_MESSAGE
ROLLBACK TO s;
INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES (lab.id('album', 199), 0) \g /dev/null
\set missing :LAST_ERROR_SQLSTATE ': ' :LAST_ERROR_MESSAGE
ROLLBACK TO s;
SELECT :'foreign' = :'missing' AS same_words, :'foreign' AS words;
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 102) WHERE "Id" = lab.id('pic', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
UPDATE "PhotoProcs" SET "AlbumTagId" = lab.id('tag0', 199) WHERE "Id" = lab.id('pic', 101);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- the same of fire(): PF005 with the same words but for the id
SELECT from_state FROM photoflow.fire(lab.id('album', 102), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state FROM photoflow.fire(lab.id('album', 199), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT trigger FROM photoflow.permitted_triggers(lab.id('album', 102));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.can_fire(lab.id('album', 102), 'SyncRawTag');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state FROM photoflow.album_history(lab.id('album', 102));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT from_state FROM photoflow.rollback_transition(lab.id('album', 102));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT photoflow.state_diagram('mermaid', lab.id('album', 102));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
-- guards are functions that anybody may call: they tell a tenant nothing of others
SELECT photoflow.guard_raw_tag_ready(lab.org(1), lab.id('album', 101)), photoflow.guard_raw_tag_ready(lab.org(2), lab.id('album', 102)),
	photoflow.guard_photo_voted(lab.org(1), lab.id('album', 101)), photoflow.guard_photo_voted(lab.org(2), lab.id('album', 102)),
	photoflow.guard_retouch_tag_ready(lab.org(2), lab.id('album', 102));
-- fire_many() skips what is not there, whichever way
SELECT album_id = lab.id('album', 101) AS mine, from_state, to_state, sqlstate
	FROM photoflow.fire_many(ARRAY[lab.id('album', 101), lab.id('album', 102)], 'SyncRawTag', on_error => 'skip');
ROLLBACK;
DROP OWNED BY regress_photoflow_app;
DROP ROLE regress_photoflow_app;
