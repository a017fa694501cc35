-- Install and migrate: create_tables, migrate, migration_plan, migration_status, attach, detach, audit partitions.
-- Messages that name the installed version are asserted by SQLSTATE, so that a release changes no line here.

-- the tables are there, every step is recorded, nothing is left to do
SELECT data_schema FROM photoflow.installation;
SELECT DISTINCT state FROM photoflow.migration_status;
SELECT count(*) FROM photoflow.migration_plan();
SELECT photoflow.create_tables();

-- refused: where the tables cannot be
SELECT photoflow.create_tables(NULL);
SELECT photoflow.create_tables('nowhere');
SELECT photoflow.create_tables('photoflow');
SELECT photoflow.create_tables('pg_catalog');
CREATE SCHEMA migrate_test;
SELECT photoflow.create_tables('migrate_test');
BEGIN;
UPDATE photoflow.installation SET data_schema = 'gone';
SELECT photoflow.create_tables('migrate_test');
ROLLBACK;
BEGIN;
UPDATE photoflow.installation SET data_schema = 'migrate_test';
SELECT photoflow.attach();
ROLLBACK;

-- refused: tables that photoflow did not make
BEGIN;
DELETE FROM photoflow.installation;
CREATE TABLE migrate_test."Users" ();
CREATE TABLE migrate_test."Albums" ();
SELECT photoflow.create_tables('migrate_test');
ROLLBACK;
BEGIN;
DELETE FROM photoflow.installation;
CREATE VIEW migrate_test."__PhotoflowMigrations" AS SELECT 1;
SELECT photoflow.create_tables('migrate_test');
ROLLBACK;

-- a restored dump of the tables alone is taken over as it is
BEGIN;
DELETE FROM photoflow.installation;
SELECT DISTINCT state FROM photoflow.migration_status;
SELECT photoflow.create_tables();
SELECT data_schema FROM photoflow.installation;
SELECT DISTINCT state FROM photoflow.migration_status;
ROLLBACK;

-- any schema name will do, and the caller's search_path does not matter
BEGIN;
DELETE FROM photoflow.installation;
CREATE SCHEMA "it's {schema} ""odd""";
CREATE FUNCTION migrate_test.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 1/0; SELECT NULL::timestamptz $$;
SET LOCAL search_path = migrate_test, pg_catalog;
SET LOCAL client_min_messages = debug1;
SELECT photoflow.create_tables('it''s {schema} "odd"');
SET LOCAL client_min_messages = notice;
SELECT count(*) > 15 AS made FROM pg_class WHERE relnamespace = '"it''s {schema} ""odd"""'::regnamespace AND relkind IN ('r', 'p');
SELECT DISTINCT state FROM photoflow.migration_status;
SELECT photoflow.detach(), photoflow.attach();
SHOW search_path;
ROLLBACK;

-- refused: arguments and places of migrate()
BEGIN;
CALL photoflow.migrate();
ROLLBACK;
CALL photoflow.migrate(batch_size => 0);
CALL photoflow.migrate(lock_timeout => '-1 s');
CALL photoflow.migrate(pause => '1 year');
\set VERBOSITY sqlstate
CALL photoflow.migrate('99.0');
CALL photoflow.migrate('latest');
CALL photoflow.migrate('1..0');
CALL photoflow.migrate('0.9');
SELECT * FROM photoflow.migration_plan('99.0');
\set VERBOSITY default

-- steps as a later version would bring them
INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(9001, '1.0', 'ddl', 'a table', 'CREATE TABLE {schema}."Probe" ("Id" int PRIMARY KEY, "Seen" int NOT NULL DEFAULT 0);
	INSERT INTO {schema}."Probe" SELECT i FROM generate_series(1, 25) i;', NULL),
(9002, '1.0', 'backfill', 'see each row once', 'UPDATE {schema}."Probe" SET "Seen" = "Seen" + 1
	WHERE "Id" IN (SELECT "Id" FROM {schema}."Probe" WHERE "Seen" = 0 LIMIT $1)',
	'SELECT count(*) FROM {schema}."Probe" WHERE "Seen" = 0'),
(9003, '1.0', 'ddl', 'a constraint', 'ALTER TABLE {schema}."Probe" ADD CONSTRAINT "Seen" CHECK ("Seen" > 0) NOT VALID', NULL),
(9004, '1.0', 'validate', 'its rows', 'ALTER TABLE {schema}."Probe" VALIDATE CONSTRAINT "Seen"', NULL),
(9005, '1.0', 'concurrent_index', 'an index', 'CREATE INDEX CONCURRENTLY "IX_Probe_Seen" ON {schema}."Probe" ("Seen")',
	'SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = ''IX_Probe_Seen'' AND i.indisvalid');
SELECT step, kind, sql FROM photoflow.migration_plan();
SELECT step, version, kind, description, state FROM photoflow.migration_status WHERE state <> 'done';

-- all at once through create_tables(), silently
BEGIN;
SELECT photoflow.create_tables();
SELECT count(*), min("Seen"), max("Seen") FROM "Probe";
SELECT indexdef FROM pg_indexes WHERE indexname = 'IX_Probe_Seen';
SELECT step, state FROM photoflow.migration_status WHERE step > 9000;
ROLLBACK;

-- in many transactions through migrate()
CALL photoflow.migrate(batch_size => 10);
SELECT count(*), min("Seen"), max("Seen") FROM "Probe";
SELECT step, state, rows_done, rows_total, finished_at IS NOT NULL AS finished FROM photoflow.migration_status WHERE step > 9000;
SELECT step, kind, sql FROM photoflow.migration_plan();

-- the index is the DBA's; an invalid one is not done
CREATE INDEX CONCURRENTLY "IX_Probe_Seen" ON public."Probe" ("Seen");
UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"IX_Probe_Seen"'::regclass;
SELECT step, state FROM photoflow.migration_status WHERE step = 9005;
UPDATE pg_index SET indisvalid = true WHERE indexrelid = '"IX_Probe_Seen"'::regclass;
SELECT step, state FROM photoflow.migration_status WHERE step = 9005;
SELECT count(*) FROM photoflow.migration_plan();
CALL photoflow.migrate();
SELECT "State", "FinishedAt" IS NOT NULL AS finished FROM "__PhotoflowMigrations" WHERE "Step" = 9005;

-- a step that fails says which it is, keeps those before it, and is tried again
INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(9006, '1.0', 'ddl', 'a column', 'ALTER TABLE {schema}."Probe" ADD COLUMN "More" int'),
(9007, '1.0', 'ddl', 'out of order', 'ALTER TABLE {schema}."Probe" ADD COLUMN "Seen" int');
CALL photoflow.migrate();
SELECT step, state FROM photoflow.migration_status WHERE step > 9005;
ALTER TABLE "Probe" RENAME COLUMN "Seen" TO "SeenBefore";
CALL photoflow.migrate();

-- steps that the code does not know are shown; tables newer than the code are not touched
DELETE FROM photoflow.table_steps WHERE step > 9000;
SELECT step, state FROM photoflow.migration_status WHERE step > 9005;
UPDATE "__PhotoflowMigrations" SET "Version" = '99.0' WHERE "Step" = 9007;
\set VERBOSITY sqlstate
CALL photoflow.migrate();
SELECT photoflow.create_tables();
\set VERBOSITY default
DELETE FROM "__PhotoflowMigrations" WHERE "Step" > 9000;
DROP TABLE "Probe";

-- only the owner of the tables
CREATE ROLE regress_migrate_stranger;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA photoflow TO regress_migrate_stranger;
SET ROLE regress_migrate_stranger;
\set VERBOSITY sqlstate
CALL photoflow.migrate();
SELECT photoflow.attach();
SELECT photoflow.detach();
SELECT photoflow.create_audit_partitions();
\set VERBOSITY default
RESET ROLE;

-- detach() takes what attach() brings, and leaves what a user made with photoflow's functions
CREATE TEMP TABLE attached AS
	SELECT tgrelid, tgname, pg_get_triggerdef(oid) AS def FROM pg_trigger WHERE tgname LIKE 'Photoflow%'
	UNION ALL
	SELECT adrelid, adnum::text, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) LIKE '%uuid_v7%';
BEGIN;
CREATE TRIGGER mine BEFORE INSERT ON "Users" FOR EACH ROW EXECUTE FUNCTION photoflow.tenant_fill('Users');
ALTER TABLE "Users" ADD COLUMN "Other" uuid DEFAULT photoflow.uuid_v7();
CREATE TABLE migrate_test.other ("Id" uuid DEFAULT photoflow.uuid_v7());
SELECT photoflow.detach();
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend d JOIN pg_depend m ON m.classid = d.refclassid AND m.objid = d.refobjid
	JOIN pg_extension e ON m.refclassid = 'pg_extension'::regclass AND e.oid = m.refobjid AND e.extname = 'photoflow'
WHERE m.deptype = 'e' AND d.refclassid = 'pg_proc'::regclass AND d.classid IN ('pg_trigger'::regclass, 'pg_attrdef'::regclass)
ORDER BY 1;
DROP TRIGGER mine ON "Users";
ALTER TABLE "Users" DROP COLUMN "Other";
DROP TABLE migrate_test.other;
SELECT photoflow.attach();
SELECT photoflow.attach();
TABLE attached EXCEPT
	(SELECT tgrelid, tgname, pg_get_triggerdef(oid) AS def FROM pg_trigger WHERE tgname LIKE 'Photoflow%'
	UNION ALL
	SELECT adrelid, adnum::text, pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) LIKE '%uuid_v7%');
SELECT count(*) > 20 AS enough FROM attached;
ROLLBACK;

-- audit partitions: a year from now on is there; a month's rows that lie in the default partition are in the way
SELECT photoflow.create_audit_partitions();
SELECT photoflow.create_audit_partitions(0);
SELECT photoflow.create_audit_partitions(1201);
BEGIN;
SELECT photoflow.create_audit_partitions(15), photoflow.create_audit_partitions(15);
SELECT count(*) FROM pg_inherits WHERE inhparent = '"AuditLogs"'::regclass;
DO $$
DECLARE
	month text := to_char(now() AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
	EXECUTE format('DROP TABLE "AuditLogs_%s"', month);
	INSERT INTO "Organizations" ("Name") VALUES ('probe');
	INSERT INTO "AuditLogs" ("OrgId") SELECT "Id" FROM "Organizations" WHERE "Name" = 'probe';
	PERFORM photoflow.create_audit_partitions();
EXCEPTION WHEN check_violation THEN
	RAISE NOTICE '%', replace(SQLERRM, month, 'YYYYMM');
END $$;
ROLLBACK;

REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA photoflow FROM regress_migrate_stranger;
DROP ROLE regress_migrate_stranger;
DROP SCHEMA migrate_test;
