-- Events: when they are sent. What they hold is asked in test/t/003_events.pl.
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT photoflow.current_org() \g /dev/null
SHOW photoflow.events;
SELECT lab.album(601), lab.album(602), lab.album(603) \gset
SET photoflow.events = off;
LISTEN photoflow;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 601), 'SyncRawTag');
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 602);
UNLISTEN photoflow;
RESET photoflow.events;
-- nothing is sent by a transaction that is rolled back, nor by a refusal
LISTEN photoflow;
BEGIN;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 603), 'SyncRawTag');
ROLLBACK;
BEGIN;
SAVEPOINT s;
UPDATE "Albums" SET "AlbumState" = 1 WHERE "Id" = lab.id('album', 603);
ROLLBACK TO s;
COMMIT;
UPDATE "Albums" SET "AlbumState" = 9 WHERE "Id" = lab.id('album', 603);
\echo :LAST_ERROR_SQLSTATE
SELECT 1;
UNLISTEN photoflow;
-- a reason of any length is no reason to fail
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 603), 'SyncRawTag', reason => repeat('because ', 2500));
SELECT length(reason) FROM lab.history(lab.id('album', 603));
-- a message in the log of the server needs no decoder to be written
SET photoflow.events = wal;
SELECT from_state, to_state FROM photoflow.fire(lab.id('album', 603), 'SyncStockTag', reason => repeat('because ', 2500));
RESET photoflow.events;
