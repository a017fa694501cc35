-- purge.sql: a million deleted photos purged, batch by batch; deletion.sql goes before.

-- Deleted an hour after each other, 1,000 photos at a time; in the middle a fifth of all at once.
CREATE PROCEDURE bench.fill_deleted(photos int) LANGUAGE plpgsql AS $$
DECLARE
	deletions int := photos / 1000;
BEGIN
	CALL bench.fill_photos(deletions, 10, 3, 100);
	SET LOCAL session_replication_role = replica;
	INSERT INTO "PhotoProcs" ("Id", "OrgId", "AlbumTagId", "FileName", "ExternalId", "SortOrder", "IsDeleted", "DeletedAt", "DeletionId")
	SELECT bench.uuid(5, n), current_setting('photoflow.org_id')::uuid, bench.uuid(2, d), 'IMG_' || n || '.JPG', md5(n::text), n, true, at,
		(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000000000000000')::uuid
	FROM generate_series(1, deletions) AS d, generate_series((d - 1) * 1000 + 1, d * 1000) AS n,
		LATERAL (SELECT now() - make_interval(hours => deletions * 2 - CASE WHEN d BETWEEN deletions * 0.4 AND deletions * 0.6 THEN deletions / 2
			ELSE d END)) AS t (at);
	COMMIT;
	CALL bench.check_deleted(0, photos, 0);
	ANALYZE "PhotoProcs";
	COMMIT;
END $$;

-- notes what the backend has used when a batch is done: CPU, and memory that it does not share
CREATE TABLE bench.batches (n int GENERATED ALWAYS AS IDENTITY, cpu bigint, memory int);
CREATE FUNCTION bench.note_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bench.batches (cpu, memory)
	VALUES (bench.cpu(), substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s+(\d+)')::int);
	RETURN NULL;
END $$;

CREATE TABLE bench.purges (part text, batches int, first int, last int);
CREATE PROCEDURE bench.record_purge(part text, photos int) LANGUAGE plpgsql AS $$
DECLARE
	done int := (SELECT count(*) FROM bench.batches);
	tenth int := done / 10;
BEGIN
	CALL bench.check_deleted(0, 0, 0);
	INSERT INTO bench.results
	SELECT 'deletion', part, CASE WHEN b.n > tenth THEN 'last tenth of the batches' ELSE 'first tenth of the batches' END,
		b.n % (done - tenth), (b.cpu - a.cpu) / 1000.0 / (photos / done)
	FROM bench.batches AS b JOIN bench.batches AS a ON a.n = b.n - 1 WHERE b.n <= tenth OR b.n > done - tenth ORDER BY b.n;
	INSERT INTO bench.purges
	SELECT part, done, max(memory) FILTER (WHERE n <= tenth), max(memory) FILTER (WHERE n > done - tenth) FROM bench.batches;
	INSERT INTO bench.bounds VALUES ('deletion', part, 'last tenth of the batches', 'first tenth of the batches', 1.2);
	TRUNCATE bench.batches RESTART IDENTITY;
	COMMIT;
END $$;

SELECT (1000000 * :scale)::int AS photos \gset
CALL bench.use_on_photos('photoflow');
CREATE TRIGGER note_batch AFTER DELETE ON "PhotoProcs" FOR EACH STATEMENT EXECUTE FUNCTION bench.note_batch();
CALL bench.fill_deleted(:photos);
CALL photoflow.purge('1 hour', 1000);
CALL bench.record_purge('purge, batches of 1,000', :photos);
CALL bench.fill_deleted(:photos);
CALL photoflow.purge('1 hour', 10000);
CALL bench.record_purge('purge, batches of 10,000', :photos);
-- with a snapshot that is older: nothing of what is deleted can be removed
CALL bench.fill_deleted(:photos);
\! PGAPPNAME=snapshot psql -X -q -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT' -c 'SELECT pg_sleep(3600)' >/dev/null 2>&1 &
DO $$ BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'snapshot' AND query LIKE '%pg_sleep%') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END $$;
CALL photoflow.purge('1 hour', 1000);
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'snapshot' \g /dev/null
CALL bench.record_purge('purge beside an old snapshot', :photos);
DROP TRIGGER note_batch ON "PhotoProcs";
\pset footer off
SELECT part AS "memory of the backend", batches, first AS "first tenth, kB", last AS "last tenth, kB", 1.1 AS bound,
	CASE WHEN last <= 1.1 * first THEN 'met' ELSE 'MISSED' END AS "?"
FROM bench.purges;
