-- story.sql: one wedding album, from the first upload to the archive, with everything the database refuses on the way.
-- Read from standard input by demo/run, in the directory above. Every refusal is checked against its SQLSTATE; the end is too.
\set QUIET on
\set ON_ERROR_STOP on
\set VERBOSITY default
\set SHOW_CONTEXT never
\encoding UTF8
\pset footer off
\pset null '-'
-- sentences by default; what is a table says so with \g
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';

CREATE EXTENSION photoflow;
SELECT photoflow.create_tables() \g /dev/null
SELECT photoflow.track('"Albums"', ignored_columns => '{ModifiedAt,CreatedAt}') \g /dev/null
CREATE TEMP TABLE refusals (what text, expected text, answered text);

\echo
\echo '==================================================================================================='
\echo ' A wedding album, from the first upload to the archive'
\echo '==================================================================================================='
SELECT ' kept by ' || photoflow.version();

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 1. A studio, its people, and a new album ------------------------------------------------------'
\echo 'Studio Sen has a photographer, Linh, and an administrator, Minh. Another studio uses the same database.'
\echo 'Linh makes an album. It starts in Init: no photos yet.'
\echo
INSERT INTO "Organizations" ("Name", "Code") VALUES ('Studio Sen', 'SEN') RETURNING "Id" AS studio \gset
INSERT INTO "Organizations" ("Name", "Code") VALUES ('Another Studio', 'OTHER') RETURNING "Id" AS other_studio \gset
INSERT INTO "Users" ("OrgId", "Name", "Email") VALUES (:'studio', 'Linh', 'linh@studio-sen.example') RETURNING "Id" AS linh \gset
INSERT INTO "Users" ("OrgId", "Name", "Email") VALUES (:'studio', 'Minh', 'minh@studio-sen.example') RETURNING "Id" AS minh \gset
INSERT INTO "Users" ("OrgId", "Name", "Email") VALUES (:'other_studio', 'Oscar', 'oscar@other.example') RETURNING "Id" AS oscar \gset

BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
INSERT INTO "Albums" ("Name", "AssigneeId") VALUES ('Wedding of An and Binh, May 2026', :'linh') RETURNING "Id" AS album \gset
SELECT "Name" AS album, photoflow.state_name("AlbumState") AS state FROM "Albums" WHERE "Id" = :'album' \g (format=aligned tuples_only=off)
COMMIT;

\echo 'May Linh close the album right away? photoflow.fire(album, ''Close''):'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT photoflow.fire(:'album', 'Close');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(trigger_not_permitted)'
INSERT INTO refusals VALUES ('closing a new album', 'PF001', :'answer');

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 2. The raw photos come in from Google Drive ---------------------------------------------------'
\echo 'Linh fires SyncRawTag: the album moves to Raw and gets its Raw stage.'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT *, format('  SyncRawTag: %s -> %s', from_state, to_state) AS told FROM photoflow.fire(:'album', 'SyncRawTag') \gset moved_
\echo :moved_told
COMMIT;
\set raw :moved_tag_id

\echo
\echo 'The folder is listed page by page; each page is handed over as Drive sent it, photoflow.sync_photos(stage, page, 412):'
\echo
\set page `cat test/data/drive/raw-page-1.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 1 of 5: %s photos added, %s so far, of %s files in the folder', inserted, processed, total) FROM photoflow.sync_photos(:'raw', :'page', 412);
COMMIT;
\set page `cat test/data/drive/raw-page-2.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 2 of 5: %s photos added, %s so far, of %s files in the folder', inserted, processed, total) FROM photoflow.sync_photos(:'raw', :'page', 412);
COMMIT;
\set page `cat test/data/drive/raw-page-3.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 3 of 5: %s photos added, %s so far, of %s files in the folder', inserted, processed, total) FROM photoflow.sync_photos(:'raw', :'page', 412);
COMMIT;
\set page `cat test/data/drive/raw-page-4.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 4 of 5: %s photos added, %s so far, of %s files in the folder', inserted, processed, total) FROM photoflow.sync_photos(:'raw', :'page', 412);
COMMIT;

\echo
\echo 'One page is still missing. Linh, in a hurry, fires SyncStockTag:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT photoflow.fire(:'album', 'SyncStockTag');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(guard_not_met)'
INSERT INTO refusals VALUES ('processing before all raw photos are there', 'PF002', :'answer');

\echo
\echo 'What could be done with the album now, and what is in the way? photoflow.permitted_triggers(album):'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT trigger, to_state, CASE WHEN permitted THEN 'yes' ELSE 'no' END AS now, array_to_string(required_roles, ', ') AS by_whom,
	nullif(array_to_string(unmet_guards, '; '), '') AS in_the_way
FROM photoflow.permitted_triggers(:'album') \g (format=aligned tuples_only=off)
COMMIT;

\echo 'The last page ends the listing. Linh''s screen listens (LISTEN photoflow) and hears of it with the commit:'
\echo
\set page `cat test/data/drive/raw-page-5.json`
LISTEN photoflow;
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 5 of 5: %s photos added, %s so far, of %s files in the folder', inserted, processed, total) FROM photoflow.sync_photos(:'raw', :'page', 412, true);
COMMIT;
UNLISTEN photoflow;
SELECT format(E'\n412 files were listed, %s of them are photos; a sidecar, a video, a folder and a trashed file are not.', count(*))
FROM "PhotoProcs" WHERE "AlbumTagId" = :'raw' AND NOT "IsDeleted";

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 3. The processed photos, ready for the client -------------------------------------------------'
\echo 'Now that Raw is Ready, the same SyncStockTag is allowed. Six pages of finished JPEGs follow.'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT *, format('  SyncStockTag: %s -> %s', from_state, to_state) AS told FROM photoflow.fire(:'album', 'SyncStockTag') \gset moved_
\echo :moved_told
COMMIT;
\set stock :moved_tag_id

\set page `cat test/data/drive/stock-page-1.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  page 1 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page');
\set page `cat test/data/drive/stock-page-2.json`
SELECT format('  page 2 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page');
\set page `cat test/data/drive/stock-page-3.json`
SELECT format('  page 3 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page');
\set page `cat test/data/drive/stock-page-4.json`
SELECT format('  page 4 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page');
\set page `cat test/data/drive/stock-page-5.json`
SELECT format('  page 5 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page');
\set page `cat test/data/drive/stock-page-6.json`
SELECT format('  page 6 of 6: %s photos added', inserted) FROM photoflow.sync_photos(:'stock', :'page', is_last => true);
COMMIT;

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 4. The client chooses -------------------------------------------------------------------------'
\echo 'The couple opens the public link (role anonymous) and presses "done" without having chosen a photo:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', NULL, 'anonymous') \g /dev/null
SELECT photoflow.fire(:'album', 'Rate');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(guard_not_met)'
INSERT INTO refusals VALUES ('rating without a vote', 'PF002', :'answer');

\echo
\echo 'So they vote on forty photos, and then it goes through:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', NULL, 'anonymous') \g /dev/null
SELECT photoflow.vote(ARRAY(
	SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" = :'stock' AND NOT "IsDeleted" ORDER BY "SortOrder", "Id" LIMIT 40)) AS votes \gset
\echo '  photos voted:' :votes
SELECT format('  Rate: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'Rate', reason => 'these forty, please');
COMMIT;

\echo
\echo 'Another studio, knowing the album''s id, tries to move it. For them it does not exist:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'other_studio', :'oscar', 'org_admin') \g /dev/null
SELECT photoflow.fire(:'album', 'ConfirmRate');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(not_found)'
INSERT INTO refusals VALUES ('another studio', 'PF005', :'answer');

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 5. Retouching, a second look, approval --------------------------------------------------------'
\echo 'Linh takes over the choice (Rate), confirms it, and brings the forty retouched photos. Her screen listens again:'
\echo
LISTEN photoflow;
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  Rate: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'Rate');
SELECT *, format('  ConfirmRate: %s -> %s', from_state, to_state) AS told FROM photoflow.fire(:'album', 'ConfirmRate') \gset moved_
\echo :moved_told
COMMIT;
UNLISTEN photoflow;
\set retouch :moved_tag_id

\echo
\set page `cat test/data/drive/retouch-page-1.json`
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  %s retouched photos added', inserted) FROM photoflow.sync_photos(:'retouch', :'page', 40, true);
SELECT format('  FinishRetouch: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'FinishRetouch');
COMMIT;

\echo
\echo 'The couple asks for a change, and says which:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', NULL, 'anonymous') \g /dev/null
INSERT INTO "PhotoComments" ("PhotoProcId", "Content")
SELECT "Id", 'A little warmer, please' FROM "PhotoProcs" WHERE "AlbumTagId" = :'retouch' ORDER BY "SortOrder", "Id" LIMIT 1
RETURNING format('  "%s"', "Content");
SELECT format('  RequestRevision: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'RequestRevision', reason => 'the first one a little warmer');
COMMIT;

\echo
\echo 'Linh corrects it, the couple approves, Linh finishes:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  FinishRetouch: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'FinishRetouch', reason => 'made warmer');
COMMIT;
BEGIN;
SELECT photoflow.set_context(:'studio', NULL, 'anonymous') \g /dev/null
SELECT format('  ConfirmFeedback: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'ConfirmFeedback', expected_state => 'Feedback');
COMMIT;
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT format('  Finish: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'Finish');
COMMIT;

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 6. Into the archive ---------------------------------------------------------------------------'
\echo 'Closing is for administrators. Linh tries:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
SELECT photoflow.fire(:'album', 'Close');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(role_not_allowed)'
INSERT INTO refusals VALUES ('closing as a photographer', 'PF003', :'answer');

\echo
\echo 'A program that knows nothing of triggers just writes the column, UPDATE "Albums" SET "AlbumState" = 1. The same rules hold:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'linh', 'photographer') \g /dev/null
UPDATE "Albums" SET "AlbumState" = 1, "ModifiedAt" = now() WHERE "Id" = :'album';
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(illegal_state_change)'
INSERT INTO refusals VALUES ('writing a state past the machine', 'PF006', :'answer');

\echo
\echo 'Minh, the administrator, closes the album; it is archived in the same moment:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT format('  Close: %s -> %s', from_state, to_state) FROM photoflow.fire(:'album', 'Close', reason => 'delivered and paid');
\echo
SELECT "Name" AS album, photoflow.state_name("AlbumState") AS state, "IsArchive" AS archived FROM "Albums" WHERE "Id" = :'album' \g (format=aligned tuples_only=off)
COMMIT;

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 7. Another studio, and a stolen connection ----------------------------------------------------'
\echo 'The application logs in as "app", which has photoflow.grant_app() and must bring a signed token (photoflow.require_token).'
\echo 'With the token of Oscar, of the other studio, it asks for every album there is, without a WHERE:'
\echo
CREATE ROLE app LOGIN;
SELECT photoflow.grant_app('app') \g /dev/null
SELECT photoflow.set_token_key(decode(repeat('5e', 32), 'hex')) \g /dev/null
-- the platform that issues tokens, played by pgcrypto
CREATE EXTENSION pgcrypto;
CREATE FUNCTION pg_temp.url(bytes bytea) RETURNS text LANGUAGE sql RETURN rtrim(translate(encode(bytes, 'base64'), E'+/\n', '-_'), '=');
CREATE FUNCTION pg_temp.token(org uuid, person uuid, role text) RETURNS text LANGUAGE sql AS $$
	SELECT body || '.' || pg_temp.url(hmac(convert_to(body, 'UTF8'), decode(repeat('5e', 32), 'hex'), 'sha256'))
	FROM (SELECT pg_temp.url('{"alg":"HS256","typ":"JWT"}') || '.' || pg_temp.url(convert_to(json_build_object('sub', person, 'role', role,
		'org_id', org, 'exp', extract(epoch FROM now())::bigint + 3600)::text, 'UTF8')) AS body) t
$$;
SELECT pg_temp.token(:'other_studio', :'oscar', 'org_admin') AS oscars_token, pg_temp.token(:'studio', :'minh', 'org_admin') AS minhs_token \gset
SET photoflow.require_token = on;
SET SESSION AUTHORIZATION app;
BEGIN;
SELECT photoflow.authenticate(:'oscars_token') \g /dev/null
SELECT format('  Oscar sees %s albums, %s photos and %s studio.', (SELECT count(*) FROM "Albums"), (SELECT count(*) FROM "PhotoProcs"), (SELECT count(*) FROM "Organizations"));
SELECT format('  Why not album %s? photoflow.why_zero(): %s.', 'of Studio Sen', photoflow.why_zero('"Albums"', :'album'));
COMMIT;
\echo
\echo 'The same connection, the same statements, with Minh''s token:'
\echo
BEGIN;
SELECT photoflow.authenticate(:'minhs_token') \g /dev/null
SELECT format('  Minh sees %s album, %s photos and %s studio.', (SELECT count(*) FROM "Albums"), (SELECT count(*) FROM "PhotoProcs"), (SELECT count(*) FROM "Organizations"));
COMMIT;
\echo
\echo 'Somebody who stole the connection has no token, and says he is Studio Sen:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin');
\set answer :SQLSTATE
ROLLBACK;
\echo 'SQLSTATE: ' :answer '(insufficient_privilege)'
\set ON_ERROR_STOP on
SELECT format('  He sees %s albums.', count(*)) FROM "Albums";
\echo
\echo 'One letter of Oscar''s token changed:'
\echo
\set ON_ERROR_STOP off
SELECT photoflow.authenticate(overlay(:'oscars_token' PLACING CASE substr(:'oscars_token', 60, 1) WHEN 'x' THEN 'y' ELSE 'x' END FROM 60 FOR 1)) \g /dev/null
\set forged :SQLSTATE
\echo 'SQLSTATE: ' :forged '(invalid_token)'
\set ON_ERROR_STOP on
RESET SESSION AUTHORIZATION;
RESET photoflow.require_token;
INSERT INTO refusals VALUES ('working for whom one likes', '42501', :'answer'), ('a forged token', 'PF012', :'forged');

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 8. A mistake, taken back ----------------------------------------------------------------------'
\echo 'Minh first deletes one photo; a minute later, by mistake, the whole album. The application sends a plain DELETE:'
\echo
-- (loaded by now, as session_preload_libraries has it on a real server)
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT deletion_id AS photo_deletion FROM photoflow.soft_delete('"PhotoProcs"', ARRAY[(SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" = :'raw' AND NOT "IsDeleted"
	ORDER BY "SortOrder" LIMIT 1)], 'eyes closed') \gset
COMMIT;
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
WITH gone AS (DELETE FROM "Albums" WHERE "Id" = :'album' RETURNING "Name", "DeletionId") SELECT "DeletionId" AS album_deletion FROM gone \gset
SELECT d.table_name, d.row_count, d.reason, d.restorable FROM photoflow.deletions d \g (format=aligned tuples_only=off)
COMMIT;
\echo 'May the deleted album be moved back a step?'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
UPDATE "Albums" SET "Name" = 'renamed' WHERE "Id" = :'album';
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(row_is_deleted)'
INSERT INTO refusals VALUES ('changing a deleted album', 'PF021', :'answer');
\echo
\echo 'The photo alone cannot come back, what it hangs on is deleted; photoflow.restore() brings back the album as it was, without it:'
\echo
\set ON_ERROR_STOP off
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT * FROM photoflow.restore(:'photo_deletion');
\set answer :SQLSTATE
ROLLBACK;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(restore_conflict)'
\echo
INSERT INTO refusals VALUES ('restoring a photo of a deleted album', 'PF022', :'answer');
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT table_name, restored_rows FROM photoflow.restore(:'album_deletion') \g (format=aligned tuples_only=off)
SELECT d.table_name, d.row_count, d.reason, d.restorable FROM photoflow.deletions d WHERE d.reason = 'eyes closed' \g (format=aligned tuples_only=off)
COMMIT;
\echo 'What is still deleted is one day really gone, and a receipt says so: CALL photoflow.purge(''0 days''):'
\echo
CALL photoflow.purge('0 days');
SELECT r.table_name, r.row_count, r.state FROM photoflow.purge_receipts r \g (format=aligned tuples_only=off)

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 9. A rollback that fails at night -------------------------------------------------------------'
\echo 'A second album goes to Raw, then its storage fails, and so does the service''s rollback. The service records the failure, in a transaction of its own:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
INSERT INTO "Albums" ("Name") VALUES ('Engagement') RETURNING "Id" AS second \gset
SELECT photoflow.fire(:'second', 'SyncRawTag') \g /dev/null
COMMIT;
SELECT photoflow.record_failure('Album', :'second', 'Init', 'Raw', 'storage timed out after 30 s, request 7f3a91bc-2210', 'high') AS failure FROM photoflow.set_context(:'studio', :'minh', 'photographer') \gset
\echo 'A worker of another service, which may see no album and no photo (grant_worker), claims what is due:'
\echo
CREATE ROLE retry_worker LOGIN;
SELECT photoflow.grant_worker('retry_worker') \g /dev/null
SET SESSION AUTHORIZATION retry_worker;
SELECT c.claim_token, c.entity_type, c.from_state, c.to_state, c.error_message, c.severity, c.retry_count FROM photoflow.claim_failures('worker-7') c \g (format=aligned tuples_only=off)
SELECT r.status, r.next_retry_at > now() AS later FROM photoflow.reschedule_failures(ARRAY[:'failure'::uuid], ARRAY[1], ARRAY['storage timed out after 31 s, request 9c00ab12-4471'], '1 hour') r \g (format=aligned tuples_only=off)
\echo 'It has lost its claim by saying so; saying more is refused:'
\echo
SELECT r.ok, r.why_not, left(r.why_not, 5) AS answer FROM photoflow.resolve_failures(ARRAY[:'failure'::uuid], ARRAY[1]) r \gset
\echo '  ' :why_not
RESET SESSION AUTHORIZATION;
INSERT INTO refusals VALUES ('completing a claim twice', 'PF030', :'answer');
\echo
\echo 'In the morning the storage is back. Minh looks at what failed, by error, and all of it is tried again; the database itself takes the album back:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT g.fingerprint, g.sample, g.count FROM photoflow.failure_groups() g \g (format=aligned tuples_only=off)
SELECT format('  requeued: %s', photoflow.requeue_failures(g.fingerprint)) FROM photoflow.failure_groups() g;
COMMIT;
SET SESSION AUTHORIZATION retry_worker;
SELECT format('  claim %s: %s', c.claim_token, photoflow.recover(c.id)) FROM photoflow.claim_failures('worker-7') c;
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT format('  The album is in state %s again.', photoflow.state_name("AlbumState")) FROM "Albums" WHERE "Id" = :'second';
\echo
SELECT a.attempt, a.worker, a.outcome, a.error_message FROM photoflow.failure_attempts(:'failure') a \g (format=aligned tuples_only=off)
COMMIT;

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 10. Who, what, how slow -----------------------------------------------------------------------'
\echo 'All along the database has written down what changed in albums (photoflow.track), and the services report what they do (photoflow.log_operation).'
\echo 'A morning of the gallery service, with a password in a request that should not have been there:'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin', 'req-4711') \g /dev/null
SELECT format('  %s operations reported', photoflow.log_operations(jsonb_agg(jsonb_build_object('service_name', 'GalleryService', 'action', 'OpenAlbum',
	'entity_type', 'Album', 'entity_id', :'album', 'execution_time_ms', round(9 * exp(0.9 * (2.2 * sin(n * 1.7) + sin(n * 0.37)) + 2.1)), 'status', CASE n % 97 WHEN 0 THEN 'Failed' ELSE 'Success' END,
	'error_message', CASE n % 97 WHEN 0 THEN 'storage timed out' END)))) FROM generate_series(1, 400) n;
SELECT photoflow.log_operation('GalleryService', 'ShareAlbum', 'Album', :'album', 35, request_data => '{"to": "an@example.org", "password": "sunflower"}') \g /dev/null
SELECT format('  What the log keeps of the request: %s', "RequestData") FROM "AuditLogs" WHERE "Action" = 'ShareAlbum';
\echo
\echo 'photoflow.latency_histogram(''GalleryService'', ''OpenAlbum''):'
\echo
SELECT * FROM photoflow.latency_histogram('GalleryService', 'OpenAlbum') \g (format=aligned tuples_only=off)
SELECT service, action, calls, p50_ms, p95_ms, p99_ms, max_ms, slow_calls FROM photoflow.slow_operations(500) \g (format=aligned tuples_only=off)
SELECT service, action, failures, calls, failure_rate, last_error FROM photoflow.failed_operations() \g (format=aligned tuples_only=off)
\echo 'The last changes of the album itself, photoflow.entity_timeline(''Album'', id):'
\echo
SELECT t.action, u."Name" AS by_whom, left(t.changes::text, 80) AS changes FROM photoflow.entity_timeline('Album', :'album') t LEFT JOIN "Users" u ON u."Id"::text = t.user_id
	WHERE t.changes IS NOT NULL AND t.changes ? 'AlbumState' ORDER BY t.id DESC LIMIT 3 \g (format=aligned tuples_only=off)
COMMIT;
\echo 'May the application tidy the log?'
\echo
\set ON_ERROR_STOP off
SET SESSION AUTHORIZATION app;
DELETE FROM "AuditLogs" WHERE "Status" = 'Failed';
\set answer :SQLSTATE
RESET SESSION AUTHORIZATION;
\set ON_ERROR_STOP on
\echo 'SQLSTATE: ' :answer '(insufficient_privilege)'
INSERT INTO refusals VALUES ('tidying the audit log', '42501', :'answer');

-- ---------------------------------------------------------------------------------------------------
\echo
\echo '--- 11. What remains ------------------------------------------------------------------------------'
\echo 'Every move, who made it and why (photoflow.album_history):'
\echo
BEGIN;
SELECT photoflow.set_context(:'studio', :'minh', 'org_admin') \g /dev/null
SELECT row_number() OVER () AS no, h.from_state, h.trigger, h.to_state, coalesce(u."Name", 'the couple') AS by_whom, h.role, h.reason
FROM photoflow.album_history(:'album') h LEFT JOIN "Users" u ON u."Id" = h.user_id \g (format=aligned tuples_only=off)

\echo 'The photos of each stage:'
\echo
SELECT (ARRAY['Raw', 'Stock', 'Rate', 'Retouch', 'Final'])[t."Type" + 1] AS stage,
	(ARRAY['Pending', 'Syncing', 'Ready', 'Failed'])[t."Status" + 1] AS status,
	count(p."Id") AS photos, count(*) FILTER (WHERE p."Voted") AS voted
FROM "AlbumTags" t LEFT JOIN "PhotoProcs" p ON p."AlbumTagId" = t."Id" AND NOT p."IsDeleted"
WHERE t."AlbumId" = :'album' AND NOT t."IsDeleted"
GROUP BY t."Id", t."Type", t."Status" ORDER BY t."Type" \g (format=aligned tuples_only=off)

\echo 'What was refused:'
\echo
SELECT what, answered AS sqlstate FROM refusals \g (format=aligned tuples_only=off)

\echo 'The way the album took, as a diagram (photoflow.state_diagram; paste it where Mermaid is drawn, on GitHub for instance):'
\echo
SELECT photoflow.state_diagram('mermaid', :'album');

SELECT count(*) FILTER (WHERE expected <> answered) = 0 AND count(*) = 12
	AND EXISTS (SELECT FROM "Albums" WHERE "Id" = :'album' AND photoflow.state_name("AlbumState") = 'Closed' AND "IsArchive") AS as_told
FROM refusals \gset
COMMIT;
\echo
\if :as_told
	\echo 'The album is Closed. Every rule above was kept by the database.'
\else
	SELECT what, expected, answered FROM refusals WHERE expected <> answered \g (format=aligned tuples_only=off)
	DO 'BEGIN RAISE EXCEPTION ''the story did not end as told''; END';
\endif
