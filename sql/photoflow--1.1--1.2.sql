-- photoflow 1.2: soft delete, exact restore, honest purge. Code only: no data table is named outside a step's text.
\echo Use "ALTER EXTENSION photoflow UPDATE TO '1.2'" to load this file. \quit

COMMENT ON FUNCTION photoflow.grant_app(regrole, boolean) IS
'Gives the login of an application the least it needs on the data tables, and takes away what else it has on them: DELETE (which marks rows), no TRUNCATE, no partition, no password hash unless asked for. Called by a superuser it also lets the sessions of the role load photoflow at their start. Errors: 22023 a role that sees every organization.';
COMMENT ON FUNCTION photoflow.tenant_fill() IS
'Trigger. BEFORE INSERT FOR EACH ROW: fills in "OrgId" from the parent or the context. Refuses a row of another organization (PF011), a child of a deleted row and, but for the owner, a row that is deleted already (PF021).';
COMMENT ON FUNCTION photoflow.tenant_keep() IS
'Trigger. AFTER UPDATE FOR EACH ROW: refuses a change of "OrgId", a parent in another organization (PF011), a deleted parent (PF021).';
COMMENT ON FUNCTION photoflow.tenant_require() IS
'Trigger. BEFORE INSERT, UPDATE, DELETE OR TRUNCATE, per statement: PF010 without a tenant where policies would keep every row from the statement, PF011 for a TRUNCATE by who sees one organization, PF020 for any other TRUNCATE but the owner''s with photoflow.hard_delete.';

-- Deleting and bringing back

CREATE FUNCTION photoflow.soft_delete(table_name regclass, ids uuid[], reason text DEFAULT NULL, OUT deletion_id uuid, OUT table_name text, OUT deleted_rows bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_soft_delete';
REVOKE ALL ON FUNCTION photoflow.soft_delete(regclass, uuid[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.soft_delete(regclass, uuid[], text) TO PUBLIC;
COMMENT ON FUNCTION photoflow.soft_delete(regclass, uuid[], text) IS
'Deletes rows and all below them: marks them, with one deletion_id. Returns the number of rows for each table touched; rows that are deleted already stay with their older deletion and are not counted (deletion_id is NULL when none was left). Errors: PF005 rows that are not there (DETAIL names them), PF010 no tenant, 42809 another table.';

CREATE FUNCTION photoflow.restore(deletion_id uuid, dry_run boolean DEFAULT false, OUT table_name text, OUT restored_rows bigint, OUT conflicts jsonb)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_restore';
REVOKE ALL ON FUNCTION photoflow.restore(uuid, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.restore(uuid, boolean) TO PUBLIC;
COMMENT ON FUNCTION photoflow.restore(uuid, boolean) IS
'Brings back exactly the rows that one deletion took. With dry_run it only says how many, and what conflicts there are: a parent that is still deleted, a unique value taken since, a purge that has begun. Errors: PF022 conflicts (DETAIL lists them; nothing is written), PF005 no such deletion, PF010 no tenant.';

CREATE FUNCTION photoflow.list_deletions(OUT deletion_id uuid, OUT table_name text, OUT row_count bigint, OUT deleted_at timestamptz, OUT deleted_by uuid, OUT reason text, OUT restorable boolean, OUT org_id uuid)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_deletions';
REVOKE ALL ON FUNCTION photoflow.list_deletions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_deletions() TO PUBLIC;
COMMENT ON FUNCTION photoflow.list_deletions() IS
'Returns what is deleted and can be seen by the caller, newest first: one row for each deletion and table, counted from the rows themselves. Read it as the view photoflow.deletions. Errors: PF010 no tenant.';

CREATE VIEW photoflow.deletions AS
	SELECT d.deletion_id, d.table_name, d.row_count, d.deleted_at, d.deleted_by, d.reason, d.restorable, d.org_id FROM photoflow.list_deletions() d;
REVOKE ALL ON photoflow.deletions FROM PUBLIC;
GRANT SELECT ON photoflow.deletions TO PUBLIC;
COMMENT ON VIEW photoflow.deletions IS
'What is deleted: one row for each deletion and table. restorable is false while a parent of it is deleted by another deletion, or a purge has begun to take it away.';

-- Purging

CREATE PROCEDURE photoflow.purge(older_than interval, batch_size int DEFAULT 1000, org_id uuid DEFAULT NULL)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_purge';
REVOKE ALL ON PROCEDURE photoflow.purge(interval, int, uuid) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE photoflow.purge(interval, int, uuid) TO @extowner@;
COMMENT ON PROCEDURE photoflow.purge(interval, int, uuid) IS
'Really deletes rows that were deleted longer ago than older_than, and than the organization keeps them (set_retention): in the order of their deletions, children first, at most batch_size rows a transaction. Goes on after an interruption. Leaves organizations under legal hold alone. Errors: PF020 the organization that is named is under legal hold, 55006 another session is purging, 22023 a negative interval, 2D000 inside a transaction.';

CREATE FUNCTION photoflow.set_retention(org_id uuid, keep_for interval)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_retention';
REVOKE ALL ON FUNCTION photoflow.set_retention(uuid, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_retention(uuid, interval) TO @extowner@;
COMMENT ON FUNCTION photoflow.set_retention(uuid, interval) IS
'Says how long an organizations deleted rows are kept at least, whatever purge() is asked for; NULL ends the rule. Errors: 22023 a negative interval, PF005 another organization than the one that is set.';

CREATE FUNCTION photoflow.set_legal_hold(org_id uuid, hold boolean, reason text DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_set_legal_hold';
REVOKE ALL ON FUNCTION photoflow.set_legal_hold(uuid, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.set_legal_hold(uuid, boolean, text) TO @extowner@;
COMMENT ON FUNCTION photoflow.set_legal_hold(uuid, boolean, text) IS
'Keeps purge() from an organizations rows until the hold is ended; a batch that is running is waited for. Errors: PF005 another organization than the one that is set.';

CREATE FUNCTION photoflow.list_retention(OUT org_id uuid, OUT keep_for interval, OUT legal_hold boolean, OUT hold_reason text, OUT modified_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_retention';
REVOKE ALL ON FUNCTION photoflow.list_retention() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_retention() TO @extowner@;
COMMENT ON FUNCTION photoflow.list_retention() IS
'Returns the rules of set_retention() and set_legal_hold(): of the organization that is set, to the owner without one of all. Read it as the view photoflow.retention.';

CREATE FUNCTION photoflow.list_purge_receipts(OUT run_id uuid, OUT org_id uuid, OUT table_name text, OUT row_count bigint, OUT first_id uuid, OUT last_id uuid, OUT older_than timestamptz, OUT state text, OUT batches int, OUT started_at timestamptz, OUT finished_at timestamptz, OUT purged_by text, OUT user_id uuid)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_list_purge_receipts';
REVOKE ALL ON FUNCTION photoflow.list_purge_receipts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.list_purge_receipts() TO PUBLIC;
COMMENT ON FUNCTION photoflow.list_purge_receipts() IS
'Returns the receipts of purge(): of the organization that is set, to the owner without one of all. Read it as the views photoflow.purge_receipts and photoflow.purge_progress.';

CREATE VIEW photoflow.retention AS
	SELECT r.org_id, r.keep_for, r.legal_hold, r.hold_reason, r.modified_at FROM photoflow.list_retention() r;
REVOKE ALL ON photoflow.retention FROM PUBLIC;
GRANT SELECT ON photoflow.retention TO @extowner@;
COMMENT ON VIEW photoflow.retention IS
'How long organizations keep deleted rows, and which are under legal hold.';

CREATE VIEW photoflow.purge_receipts AS
	SELECT r.run_id, r.org_id, r.table_name, r.row_count, r.first_id, r.last_id, r.older_than, r.state, r.batches, r.started_at, r.finished_at, r.purged_by, r.user_id FROM photoflow.list_purge_receipts() r;
REVOKE ALL ON photoflow.purge_receipts FROM PUBLIC;
GRANT SELECT ON photoflow.purge_receipts TO PUBLIC;
COMMENT ON VIEW photoflow.purge_receipts IS
'What was really deleted: for each run of purge(), organization and table the number of rows and the range of their ids. state: running, done, interrupted (by a kill; the numbers are right).';

CREATE VIEW photoflow.purge_progress AS
	SELECT r.run_id, r.org_id, r.table_name, r.row_count, r.batches, r.older_than, r.started_at FROM photoflow.list_purge_receipts() r WHERE r.state = 'running';
REVOKE ALL ON photoflow.purge_progress FROM PUBLIC;
GRANT SELECT ON photoflow.purge_progress TO PUBLIC;
COMMENT ON VIEW photoflow.purge_progress IS
'How far the purge is that runs now.';

CREATE FUNCTION photoflow.adopt_deletions(batch_size int)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_adopt_deletions';
REVOKE ALL ON FUNCTION photoflow.adopt_deletions(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.adopt_deletions(int) TO @extowner@;
COMMENT ON FUNCTION photoflow.adopt_deletions(int) IS
'Gives deleted rows without a deletion one of their own, at most batch_size of them, and takes what is live below them along: rows from before 1.2, or loaded by the owner. Returns how many; NULL adopts none and returns how many there are. Errors: 42501 not the owner of the tables.';

-- What plans and triggers are made of

CREATE FUNCTION photoflow.deletion_id()
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_deletion_id';
REVOKE ALL ON FUNCTION photoflow.deletion_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.deletion_id() TO PUBLIC;
COMMENT ON FUNCTION photoflow.deletion_id() IS
'Returns the id of the deletion that the statement is: one for all its rows. For plans of DELETE.';

CREATE FUNCTION photoflow.deletion_time()
	RETURNS timestamptz
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'photoflow_deletion_time';
REVOKE ALL ON FUNCTION photoflow.deletion_time() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.deletion_time() TO PUBLIC;
COMMENT ON FUNCTION photoflow.deletion_time() IS
'Returns the time of the deletion that the statement is. For plans of DELETE.';

CREATE FUNCTION photoflow.require_live(is_deleted boolean, table_name regclass, id uuid)
	RETURNS boolean
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'photoflow_require_live';
REVOKE ALL ON FUNCTION photoflow.require_live(boolean, regclass, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.require_live(boolean, regclass, uuid) TO PUBLIC;
COMMENT ON FUNCTION photoflow.require_live(boolean, regclass, uuid) IS
'Returns true; raises PF021 for a deleted row. For plans of UPDATE.';

CREATE FUNCTION photoflow.mark_deletion()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_mark_deletion';
REVOKE ALL ON FUNCTION photoflow.mark_deletion() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.mark_deletion() TO PUBLIC;
COMMENT ON FUNCTION photoflow.mark_deletion() IS
'Trigger. BEFORE DELETE OR UPDATE OF "IsDeleted" FOR EACH ROW: writes "DeletedAt", "DeletedBy" and "DeletionId" beside the flag; leaves rows alone that are deleted already; refuses to bring back what has conflicts (PF022), and to really delete (PF020) but for the owner with photoflow.hard_delete. Where it stands and is enabled, DELETE is planned as an UPDATE that marks.';

CREATE FUNCTION photoflow.collect_deletion()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_collect_deletion';
REVOKE ALL ON FUNCTION photoflow.collect_deletion() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.collect_deletion() TO PUBLIC;
COMMENT ON FUNCTION photoflow.collect_deletion() IS
'Trigger. AFTER UPDATE FOR EACH ROW: refuses changes of deleted rows (PF021), and remembers the rows that are deleted or restored.';

CREATE FUNCTION photoflow.cascade_deletion()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'photoflow_cascade_deletion';
REVOKE ALL ON FUNCTION photoflow.cascade_deletion() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION photoflow.cascade_deletion() TO PUBLIC;
COMMENT ON FUNCTION photoflow.cascade_deletion() IS
'Trigger. AFTER UPDATE FOR EACH STATEMENT: lets what is below deleted or restored rows follow them.';

-- Table steps. One table a step, its strongest lock first. Columns come first, then indexes, then the triggers that write
-- them, then the rows that were deleted before.

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(35, '1.2', 'ddl', 'what goes with a deletion, on Organizations', $step$
ALTER TABLE {schema}."Organizations" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."Organizations"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(36, '1.2', 'ddl', 'what goes with a deletion, on Users', $step$
ALTER TABLE {schema}."Users" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."Users"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(37, '1.2', 'ddl', 'what goes with a deletion, on PublicUrls', $step$
ALTER TABLE {schema}."PublicUrls" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."PublicUrls"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(38, '1.2', 'ddl', 'what goes with a deletion, on Albums', $step$
ALTER TABLE {schema}."Albums" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."Albums"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(39, '1.2', 'ddl', 'what goes with a deletion, on AlbumTags', $step$
ALTER TABLE {schema}."AlbumTags" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."AlbumTags"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(40, '1.2', 'ddl', 'what goes with a deletion, on PhotoProcs', $step$
ALTER TABLE {schema}."PhotoProcs" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."PhotoProcs"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(41, '1.2', 'ddl', 'what goes with a deletion, on PhotoComments', $step$
ALTER TABLE {schema}."PhotoComments" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."PhotoComments"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(42, '1.2', 'ddl', 'what goes with a deletion, on PhotoLikes', $step$
ALTER TABLE {schema}."PhotoLikes" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."PhotoLikes"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(43, '1.2', 'ddl', 'what goes with a deletion, on FailureRecords', $step$
ALTER TABLE {schema}."FailureRecords" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."FailureRecords"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(44, '1.2', 'ddl', 'what goes with a deletion, on AuditLogs', $step$
ALTER TABLE {schema}."AuditLogs" ADD COLUMN "DeletedAt" timestamptz, ADD COLUMN "DeletedBy" uuid, ADD COLUMN "DeletionId" uuid;
COMMENT ON COLUMN {schema}."AuditLogs"."DeletionId" IS 'the deletion that took the row: time-ordered, the same on every row that it took. Written by the database';
$step$),

(45, '1.2', 'ddl', 'reasons of deletions', $step$
CREATE TABLE {schema}."DeletionReasons" (
	"OrgId" uuid NOT NULL,
	"DeletionId" uuid NOT NULL,
	"Reason" text NOT NULL,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY ("OrgId", "DeletionId")
);
ALTER TABLE {schema}."DeletionReasons" ALTER COLUMN "Reason" SET STATISTICS 0;
COMMENT ON TABLE {schema}."DeletionReasons" IS 'Why rows were deleted, where soft_delete() was told';
COMMENT ON INDEX {schema}."DeletionReasons_pkey" IS 'the reason of a deletion';
$step$),

(46, '1.2', 'ddl', 'receipts of purges', $step$
CREATE TABLE {schema}."PurgeReceipts" (
	"OrgId" uuid NOT NULL,
	"RunId" uuid NOT NULL,
	"TableName" text NOT NULL,
	"RowCount" bigint NOT NULL,
	"Batches" int NOT NULL DEFAULT 1,
	"FirstId" uuid NOT NULL,
	"LastId" uuid NOT NULL,
	"OlderThan" timestamptz NOT NULL,
	"State" text NOT NULL DEFAULT 'running',
	"Unfinished" uuid[] NOT NULL DEFAULT '{}',
	"StartedAt" timestamptz NOT NULL DEFAULT clock_timestamp(),
	"FinishedAt" timestamptz,
	"PurgedBy" text NOT NULL,
	"UserId" uuid,
	PRIMARY KEY ("OrgId", "RunId", "TableName")
);
ALTER TABLE {schema}."PurgeReceipts" ALTER COLUMN "TableName" SET STATISTICS 0, ALTER COLUMN "State" SET STATISTICS 0,
	ALTER COLUMN "PurgedBy" SET STATISTICS 0;
COMMENT ON TABLE {schema}."PurgeReceipts" IS 'What purge() has really deleted: a row for each run, organization and table, written with the rows'' own deletion';
COMMENT ON COLUMN {schema}."PurgeReceipts"."Unfinished" IS 'deletions of which a part is gone and a part was left: larger than a batch, or with something else hanging on it';
COMMENT ON INDEX {schema}."PurgeReceipts_pkey" IS 'the receipts of an organization, run by run';
$step$),

(47, '1.2', 'ddl', 'how long organizations keep deleted rows', $step$
CREATE TABLE {schema}."RetentionRules" (
	"OrgId" uuid PRIMARY KEY,
	"KeepFor" interval,
	"LegalHold" boolean NOT NULL DEFAULT false,
	"HoldReason" text,
	"CreatedAt" timestamptz NOT NULL DEFAULT now(),
	"ModifiedAt" timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE {schema}."RetentionRules" ALTER COLUMN "HoldReason" SET STATISTICS 0;
COMMENT ON TABLE {schema}."RetentionRules" IS 'What purge() must keep: for how long at least, and everything under a legal hold';
COMMENT ON INDEX {schema}."RetentionRules_pkey" IS 'the rule of an organization';
$step$),

(48, '1.2', 'attach', 'rows of DeletionReasons are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."DeletionReasons"$table$);
$step$),

(49, '1.2', 'attach', 'rows of PurgeReceipts are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."PurgeReceipts"$table$);
$step$),

(50, '1.2', 'attach', 'rows of RetentionRules are seen by their organization only', $step$
SELECT photoflow.protect_table($table${schema}."RetentionRules"$table$);
$step$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(51, '1.2', 'concurrent_index', 'the rows of Users that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_Users_OrgId_DeletionId" ON {schema}."Users" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_Users_OrgId_DeletionId' AND i.indisvalid
$count$),

(52, '1.2', 'concurrent_index', 'the rows of PublicUrls that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_PublicUrls_OrgId_DeletionId" ON {schema}."PublicUrls" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PublicUrls_OrgId_DeletionId' AND i.indisvalid
$count$),

(53, '1.2', 'concurrent_index', 'the rows of Albums that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_Albums_OrgId_DeletionId" ON {schema}."Albums" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_Albums_OrgId_DeletionId' AND i.indisvalid
$count$),

(54, '1.2', 'concurrent_index', 'the rows of AlbumTags that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_AlbumTags_OrgId_DeletionId" ON {schema}."AlbumTags" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_AlbumTags_OrgId_DeletionId' AND i.indisvalid
$count$),

(55, '1.2', 'concurrent_index', 'the rows of PhotoProcs that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_DeletionId" ON {schema}."PhotoProcs" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoProcs_OrgId_DeletionId' AND i.indisvalid
$count$),

(56, '1.2', 'concurrent_index', 'the rows of PhotoComments that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoComments_OrgId_DeletionId" ON {schema}."PhotoComments" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoComments_OrgId_DeletionId' AND i.indisvalid
$count$),

(57, '1.2', 'concurrent_index', 'the rows of PhotoLikes that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoLikes_OrgId_DeletionId" ON {schema}."PhotoLikes" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoLikes_OrgId_DeletionId' AND i.indisvalid
$count$),

(58, '1.2', 'concurrent_index', 'the rows of FailureRecords that a deletion took; the oldest deletions first', $step$
CREATE INDEX CONCURRENTLY "IX_FailureRecords_OrgId_DeletionId" ON {schema}."FailureRecords" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_FailureRecords_OrgId_DeletionId' AND i.indisvalid
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(59, '1.2', 'ddl', 'the rows of AuditLogs that a deletion took', $step$
CREATE INDEX "IX_AuditLogs_OrgId_DeletionId" ON {schema}."AuditLogs" ("OrgId", "DeletionId", "Id") WHERE "DeletionId" IS NOT NULL;
COMMENT ON INDEX {schema}."IX_AuditLogs_OrgId_DeletionId" IS 'the rows of AuditLogs that a deletion took; the oldest deletions first';
$step$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(60, '1.2', 'concurrent_index', 'list the live albums of an organization, newest first', $step$
CREATE INDEX CONCURRENTLY "IX_Albums_OrgId_Id_Live" ON {schema}."Albums" ("OrgId", "Id") WHERE NOT "IsDeleted";
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_Albums_OrgId_Id_Live' AND i.indisvalid
$count$),

(61, '1.2', 'concurrent_index', 'a page of a stage''s live photos in their order', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_AlbumTagId_SortOrder_Live" ON {schema}."PhotoProcs" ("OrgId", "AlbumTagId", "SortOrder")
	WHERE NOT "IsDeleted";
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoProcs_OrgId_AlbumTagId_SortOrder_Live' AND i.indisvalid
$count$),

(62, '1.2', 'concurrent_index', 'the photos of a stage, deleted ones too; foreign key to AlbumTags', $step$
CREATE INDEX CONCURRENTLY "IX_PhotoProcs_OrgId_AlbumTagId" ON {schema}."PhotoProcs" ("OrgId", "AlbumTagId");
$step$, $count$
SELECT count(*) = 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = 'IX_PhotoProcs_OrgId_AlbumTagId' AND i.indisvalid
$count$),

(63, '1.2', 'ddl', 'no index over live and deleted photos in their order', $step$
DROP INDEX IF EXISTS {schema}."IX_PhotoProcs_OrgId_AlbumTagId_SortOrder";
$step$, $count$
SELECT count(*) = 2 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND i.indisvalid
		AND c.relname IN ('IX_PhotoProcs_OrgId_AlbumTagId_SortOrder_Live', 'IX_PhotoProcs_OrgId_AlbumTagId')
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(64, '1.2', 'attach', 'rows of Organizations are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."Organizations"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."Organizations"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."Organizations"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(65, '1.2', 'attach', 'rows of Users are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."Users"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."Users"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."Users"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(66, '1.2', 'attach', 'rows of PublicUrls are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."PublicUrls"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."PublicUrls"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."PublicUrls"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(67, '1.2', 'attach', 'rows of Albums are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."Albums"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."Albums"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."Albums"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(68, '1.2', 'attach', 'rows of AlbumTags are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."AlbumTags"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."AlbumTags"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."AlbumTags"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(69, '1.2', 'attach', 'rows of PhotoProcs are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."PhotoProcs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."PhotoProcs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."PhotoProcs"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(70, '1.2', 'attach', 'rows of PhotoComments are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."PhotoComments"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."PhotoComments"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."PhotoComments"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(71, '1.2', 'attach', 'rows of PhotoLikes are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."PhotoLikes"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."PhotoLikes"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."PhotoLikes"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(72, '1.2', 'attach', 'rows of FailureRecords are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."FailureRecords"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."FailureRecords"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."FailureRecords"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$),

(73, '1.2', 'attach', 'rows of AuditLogs are deleted softly', $step$
CREATE OR REPLACE TRIGGER "zz_PhotoflowDeletionMark" BEFORE DELETE OR UPDATE OF "IsDeleted" ON {schema}."AuditLogs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.mark_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCollect" AFTER UPDATE ON {schema}."AuditLogs"
	FOR EACH ROW EXECUTE FUNCTION photoflow.collect_deletion();
CREATE OR REPLACE TRIGGER "00_PhotoflowDeletionCascade" AFTER UPDATE ON {schema}."AuditLogs"
	FOR EACH STATEMENT EXECUTE FUNCTION photoflow.cascade_deletion();
$step$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql, count_sql) VALUES
(74, '1.2', 'backfill', 'rows that were deleted before become deletions, and what is below them follows', $step$
SELECT FROM pg_catalog.generate_series(1, photoflow.adopt_deletions($1));
$step$, $count$
SELECT photoflow.adopt_deletions(NULL)
$count$);

INSERT INTO photoflow.table_steps (step, version, kind, description, sql) VALUES
(75, '1.2', 'ddl', 'views of what is live', $step$
CREATE VIEW {schema}."LiveAlbums" WITH (security_invoker = true) AS
	SELECT "Id", "Name", "Status", "AlbumState", "OrgId", "AssigneeId", "ProviderId", "IsArchive", "CreatedAt", "ModifiedAt", "WorkflowVersion"
	FROM {schema}."Albums" WHERE NOT "IsDeleted";
CREATE VIEW {schema}."LiveAlbumTags" WITH (security_invoker = true) AS
	SELECT "Id", "AlbumId", "Type", "Status", "Link", "ProviderId", "FolderId", "SyncInitiatedByUserId", "PublicUrlId", "CreatedAt", "ModifiedAt", "OrgId"
	FROM {schema}."AlbumTags" WHERE NOT "IsDeleted";
CREATE VIEW {schema}."LivePhotoProcs" WITH (security_invoker = true) AS
	SELECT "Id", "AlbumTagId", "FileName", "ExternalId", "Status", "Voted", "SortOrder", "ThumbnailUrl", "CreatedAt", "ModifiedAt", "OrgId"
	FROM {schema}."PhotoProcs" WHERE NOT "IsDeleted";
COMMENT ON VIEW {schema}."LiveAlbums" IS 'Albums that are not deleted, without their password hashes. To delete from it marks the album';
COMMENT ON VIEW {schema}."LiveAlbumTags" IS 'Stages that are not deleted. To delete from it marks the stage';
COMMENT ON VIEW {schema}."LivePhotoProcs" IS 'Photos that are not deleted. To delete from it marks the photo';
$step$);
