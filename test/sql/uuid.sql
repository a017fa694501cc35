-- Identifiers: version 7 in order, version 5 as in the RFC.
\set VERBOSITY default
\set SHOW_CONTEXT never
\pset null (null)
-- version and variant bits; no two are the same; each is greater than the one before
CREATE TEMP TABLE made AS SELECT n, photoflow.uuid_v7() AS id FROM generate_series(1, 20000) n;
SELECT count(DISTINCT id), bool_and(substr(id::text, 15, 1) = '7') AS version, bool_and(substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')) AS variant FROM made;
SELECT count(*) FROM (SELECT id <= lag(id) OVER (ORDER BY n) AS wrong FROM made) x WHERE wrong;
-- the low bits are random: over 20000 every one of the 62 is now 0, now 1
SELECT bool_and(ones BETWEEN 9000 AND 11000) FROM (
	SELECT sum(get_bit(uuid_send(id), (b / 8) * 8 + 7 - b % 8)) AS ones FROM made, generate_series(66, 127) b GROUP BY b) x;
-- the time is now, to the millisecond, and never before the transaction
SELECT bool_and(photoflow.uuid_v7_time(id) BETWEEN now() - interval '1 minute' AND clock_timestamp() + interval '1 s') FROM made;
SELECT photoflow.uuid_v7_time(photoflow.uuid_v7()) BETWEEN clock_timestamp() - interval '10 s' AND clock_timestamp() + interval '1 s' AS now;
-- as a default
BEGIN;
INSERT INTO "Organizations" ("Name") SELECT 'default' FROM generate_series(1, 100);
SELECT count(*) FILTER (WHERE photoflow.uuid_v7_time("Id") IS NOT NULL) FROM "Organizations" WHERE "Name" = 'default';
ROLLBACK;

-- RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC
SELECT photoflow.uuid_v7_time('017F22E2-79B0-7CC3-98C4-DC0C0C07398F') AT TIME ZONE 'UTC' AS rfc;
SELECT photoflow.uuid_v7_time('00000000-0000-7000-8000-000000000000') AT TIME ZONE 'UTC' AS first;
SELECT photoflow.uuid_v7_time('ffffffff-ffff-7fff-bfff-ffffffffffff') AT TIME ZONE 'UTC' AS last;
-- other versions and other variants carry no such time
SELECT photoflow.uuid_v7_time(id) FROM unnest(ARRAY['017F22E2-79B0-4CC3-98C4-DC0C0C07398F', '017F22E2-79B0-1CC3-98C4-DC0C0C07398F',
	'017F22E2-79B0-7CC3-18C4-DC0C0C07398F', '017F22E2-79B0-7CC3-D8C4-DC0C0C07398F', '00000000-0000-0000-0000-000000000000', NULL]::uuid[]) id;

-- version 5: Python's and the RFC's vectors; the empty name; a name of several bytes a character; NULL
SELECT photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com') = '2ed6657d-e927-568b-95e1-2665a8aea6a2' AS rfc,
	photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'python.org') = '886313e1-3b8a-5372-9b90-0c9aee199e5d' AS python;
SELECT photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', '') AS empty;
SELECT photoflow.uuid_v5(NULL, 'a'), photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', NULL);
-- a long name, which is compressed where it is stored, and a name of several bytes a character (vectors from Python's uuid.uuid5)
CREATE TEMP TABLE names AS SELECT repeat('x', 100000) AS name;
SELECT photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', name) = 'ebe83c00-ce75-5a85-a611-99040bdf13ed' AS long FROM names;
SELECT photoflow.uuid_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', U&'photo \5199\771F') = 'f088565f-36c9-5dc4-a703-da6e2e230b21' AS utf8
	WHERE getdatabaseencoding() = 'UTF8';
