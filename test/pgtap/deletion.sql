-- Law: no live row under a deleted one, ever; a deletion takes what it says and a restore brings back just that. Asked of a random
-- walk of 10,000 operations over all roads that delete, bring back, insert and move, by the owner and by a login of an application,
-- in blocks some of which are rolled back, beside triggers of a user's that delete as well.
-- What is right is worked out here a second time, from a copy of the rows (the model): each operation is foretold, its SQLSTATE, its
-- number of rows and the rows that change. To repeat a walk: psql -v seed=0.42, or part of it: -v operations=2000
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
\pset null ''
SELECT :{?seed} AS given, :{?operations} AS counted \gset
\if :given
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\if :counted
\else
\set operations 10000
\endif
SET client_min_messages = warning;
SELECT photoflow.create_tables() \g /dev/null
SELECT (:operations + 249) / 250 AS chunks \gset
SELECT plan(:chunks * 6 + 12);

DROP ROLE IF EXISTS pgtap_photoflow_walk;
CREATE ROLE pgtap_photoflow_walk;
SELECT photoflow.grant_app('pgtap_photoflow_walk') \g /dev/null
-- a unique index of a user's own, over live rows
CREATE UNIQUE INDEX walk_names ON "Albums" ("OrgId", "Name") WHERE NOT "IsDeleted";

-- What hangs on what, and which tables an application deletes from.
CREATE TEMP TABLE tree (tbl text, parent text, key text, app boolean);
INSERT INTO tree VALUES ('Organizations', NULL, NULL, false), ('Users', 'Organizations', 'OrgId', false), ('PublicUrls', 'Organizations', 'OrgId', true),
	('Albums', 'Organizations', 'OrgId', true), ('AlbumTags', 'Albums', 'AlbumId', true), ('PhotoProcs', 'AlbumTags', 'AlbumTagId', true),
	('PhotoComments', 'PhotoProcs', 'PhotoProcId', true), ('PhotoLikes', 'PhotoProcs', 'PhotoProcId', true),
	('FailureRecords', NULL, NULL, true), ('AuditLogs', NULL, NULL, false);
SELECT 'CREATE TEMP VIEW really AS ' || string_agg(format('SELECT %L AS tbl, "Id" AS id, %s AS org, %s AS parent, "IsDeleted" AS deleted,
		"DeletedAt" AS at, "DeletedBy" AS by, "DeletionId" AS deletion, ctid AS tid, xmin AS x FROM %I', tbl,
		CASE tbl WHEN 'Organizations' THEN '"Id"' ELSE '"OrgId"' END, coalesce(quote_ident(key), 'NULL::uuid'), tbl), ' UNION ALL '),
	-- a row but for what a deletion writes
	'CREATE TEMP VIEW contents AS ' || string_agg(format($$ SELECT "Id" AS id, to_jsonb(t) - '{IsDeleted,DeletedAt,DeletedBy,DeletionId}'::text[] AS content FROM %I t $$, tbl), ' UNION ALL '),
	'CREATE TEMP VIEW strays AS ' || string_agg(format('SELECT %L AS tbl, c."Id" AS id FROM %I c JOIN %I p ON p."Id" = c.%I WHERE p."IsDeleted" AND NOT c."IsDeleted"',
		tbl, tbl, parent, key), ' UNION ALL ') FILTER (WHERE parent IS NOT NULL)
FROM tree \gexec

-- The model. n is the order in which rows were met: a walk picks by it, so that it can be repeated; held: what a unique index compares.
CREATE TEMP TABLE model (id uuid PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, tbl text, org uuid, parent uuid, live boolean, deletion uuid,
	by uuid, at timestamptz, content jsonb, held text, tid tid, x xid);
CREATE INDEX ON model (parent);
CREATE INDEX ON model (tbl, n);
CREATE INDEX ON model (deletion);
-- What an operation has changed: as it was, and as it is.
CREATE TEMP TABLE changed (id uuid PRIMARY KEY, tbl text, org uuid, parent uuid, deleted boolean, at timestamptz, by uuid, deletion uuid, tid tid, x xid, content jsonb,
	was_live boolean, was jsonb);
CREATE FUNCTION pg_temp.look() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	ids uuid[] := array(SELECT r.id FROM really r LEFT JOIN model m ON m.id = r.id WHERE m.id IS NULL OR m.tid <> r.tid OR m.x <> r.x);
BEGIN
	DELETE FROM changed;
	INSERT INTO changed SELECT r.id, r.tbl, r.org, r.parent, r.deleted, r.at, r.by, r.deletion, r.tid, r.x, c.content, m.live, m.content
		FROM really r JOIN contents c ON c.id = r.id LEFT JOIN model m ON m.id = r.id WHERE r.id = ANY (ids) AND c.id = ANY (ids);
END $$;
CREATE FUNCTION pg_temp.learn() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO model AS m (id, tbl, org, parent, live, deletion, by, at, content, held, tid, x)
		SELECT id, tbl, org, parent, NOT deleted, deletion, by, at, content, CASE tbl WHEN 'Albums' THEN content->>'Name'
			WHEN 'PhotoProcs' THEN parent || (content->>'ExternalId') WHEN 'PhotoLikes' THEN parent || (content->>'UserId') END, tid, x
		FROM changed ORDER BY id		-- new ids are time-ordered
	ON CONFLICT (id) DO UPDATE SET parent = EXCLUDED.parent, live = EXCLUDED.live, deletion = EXCLUDED.deletion, by = EXCLUDED.by, at = EXCLUDED.at,
		content = EXCLUDED.content, held = EXCLUDED.held, tid = EXCLUDED.tid, x = EXCLUDED.x;
END $$;

-- Rows and what is below them: all that is live, or all of one deletion.
CREATE FUNCTION pg_temp.below(ids uuid[], deletion uuid DEFAULT NULL) RETURNS uuid[] LANGUAGE sql AS $$
	WITH RECURSIVE b AS (SELECT id FROM unnest(ids) id UNION ALL SELECT m.id FROM b JOIN model m ON m.parent = b.id
		WHERE CASE WHEN $2 IS NULL THEN m.live ELSE m.deletion = $2 END)
	SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM b
$$;
-- What keeps rows from coming back: a parent that is deleted and does not come with them, or a live row in their place.
CREATE FUNCTION pg_temp.conflicts(ids uuid[]) RETURNS boolean LANGUAGE sql AS $$
	SELECT EXISTS (SELECT FROM model c JOIN model p ON p.id = c.parent WHERE c.id = ANY (ids) AND NOT p.live AND p.id <> ALL (ids))
		OR EXISTS (SELECT FROM model d JOIN model l ON l.tbl = d.tbl AND l.org = d.org AND l.live AND l.held = d.held WHERE d.id = ANY (ids))
$$;
CREATE FUNCTION pg_temp.one(what text[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT what[1 + floor(random() * cardinality(what))::int]';
CREATE FUNCTION pg_temp.pick(wanted text, mostly_live boolean DEFAULT true) RETURNS model LANGUAGE plpgsql AS $$
DECLARE
	only_live boolean := mostly_live AND random() < 0.8 AND EXISTS (SELECT FROM model m WHERE m.tbl = wanted AND m.live);
	place bigint := floor(random() * (SELECT count(*) FROM model m WHERE m.tbl = wanted AND (m.live OR NOT only_live)));
	picked model;
BEGIN
	SELECT * INTO picked FROM model m WHERE m.tbl = wanted AND (m.live OR NOT only_live) ORDER BY m.n OFFSET place LIMIT 1;
	RETURN picked;
END $$;
-- some rows of a table, deleted ones among them; of one parent half of the time
CREATE FUNCTION pg_temp.picks(wanted text) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
	salt bigint := floor(random() * 1e9);
	first model := pg_temp.pick(wanted);
	siblings boolean := random() < 0.5;
BEGIN
	RETURN array(SELECT m.id FROM model m WHERE m.tbl = wanted AND (m.id = first.id OR abs(hashint8extended(m.n, salt)) % 100 < CASE WHEN siblings THEN 40 ELSE 2 END
		AND (NOT siblings OR m.parent = first.parent)) ORDER BY m.n LIMIT 20);
END $$;
CREATE FUNCTION pg_temp.pick_deletion() RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	all_of_them uuid[] := array(SELECT m.deletion FROM model m WHERE NOT m.live GROUP BY 1 ORDER BY min(m.n));
	-- most of the time one that can come back
	free uuid[] := array(SELECT m.deletion FROM model m LEFT JOIN model p ON p.id = m.parent AND NOT p.live AND p.deletion <> m.deletion
		WHERE NOT m.live GROUP BY 1 HAVING count(p.id) = 0 ORDER BY min(m.n));
BEGIN
	RETURN pg_temp.one((CASE WHEN random() < 0.7 THEN free ELSE all_of_them END)::text[]);
END $$;

-- Roads that delete rows of a table, $1: their ids. %1$I the table, %2$I its parent, %3$I its key, %4$I the view of its live rows.
CREATE TEMP TABLE roads (road text, sql text);
INSERT INTO roads VALUES
	('delete', 'DELETE FROM %1$I WHERE "Id" = ANY ($1)'),
	('delete live', 'DELETE FROM %1$I WHERE "Id" = ANY ($1) AND NOT "IsDeleted"'),
	('using', 'DELETE FROM %1$I t USING %2$I p WHERE p."Id" = t.%3$I AND t."Id" = ANY ($1)'),
	('cte', 'WITH d AS (DELETE FROM %1$I WHERE "Id" = ANY ($1) RETURNING "IsDeleted") SELECT count(*) FROM d WHERE "IsDeleted"'),
	('merge', 'MERGE INTO %1$I t USING unnest($1) AS s (id) ON t."Id" = s.id WHEN MATCHED THEN DELETE'),
	('view', 'DELETE FROM %4$I WHERE "Id" = ANY ($1)'),
	('flag', 'UPDATE %1$I SET "IsDeleted" = true WHERE "Id" = ANY ($1)'),
	('parameter', 'UPDATE %1$I SET "IsDeleted" = $2 WHERE "Id" = ANY ($1)'),
	('expression', 'UPDATE %1$I SET "IsDeleted" = "IsDeleted" OR "Id" = ANY ($1) WHERE "Id" = ANY ($1)');
-- Runs a road, as whoever runs it, and returns how many rows it says.
CREATE FUNCTION pg_temp.go(road text, t tree, sql text, ids uuid[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	told bigint;
	total bigint := 0;
	yes boolean := true;
	c refcursor;
	id uuid;
BEGIN
	CASE road
		-- plans that are kept, across roles and organizations
		WHEN 'kept delete' THEN DELETE FROM "PhotoProcs" WHERE "Id" = ANY (ids);
		WHEN 'kept flag' THEN UPDATE "AlbumTags" SET "IsDeleted" = true, "ModifiedAt" = "ModifiedAt" WHERE "Id" = ANY (ids);
		WHEN 'kept parameter' THEN UPDATE "AlbumTags" SET "IsDeleted" = yes WHERE "Id" = ANY (ids);
		WHEN 'current of' THEN
			OPEN c FOR EXECUTE format('SELECT "Id" FROM %I WHERE "Id" = ANY ($1) FOR UPDATE', t.tbl) USING ids;
			LOOP
				FETCH c INTO id;
				EXIT WHEN NOT FOUND;
				EXECUTE format('DELETE FROM %I WHERE CURRENT OF %I', t.tbl, c);
				GET DIAGNOSTICS told = ROW_COUNT;
				total := total + told;
			END LOOP;
			CLOSE c;
			RETURN total;
		-- ids come twice
		WHEN 'soft_delete' THEN
			SELECT sum(deleted_rows) FILTER (WHERE table_name = t.tbl), count(DISTINCT deletion_id) INTO told, total
				FROM photoflow.soft_delete(quote_ident(t.tbl)::regclass, ids || ids, 'walk');
			RETURN CASE WHEN total = (told > 0)::int THEN told ELSE -1 END;
		ELSE
			sql := format(sql, t.tbl, t.parent, t.key, 'Live' || t.tbl);
			IF sql LIKE 'WITH%' THEN
				EXECUTE sql INTO told USING ids, yes;
				RETURN told;
			END IF;
			EXECUTE sql USING ids, yes;
	END CASE;
	GET DIAGNOSTICS told = ROW_COUNT;
	RETURN told;
END $$;

-- Triggers of a user's that delete: the row that setting walk.victim names (table and id), once.
CREATE FUNCTION pg_temp.walk_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	victim text := current_setting('walk.victim', true);
BEGIN
	IF victim <> '' THEN
		PERFORM set_config('walk.victim', '', true);
		EXECUTE format('DELETE FROM %I WHERE "Id" = $1', split_part(victim, ' ', 1)) USING split_part(victim, ' ', 2)::uuid;
	END IF;
	RETURN NEW;
END $$;

-- One operation: foretell it, do it, compare. Returns what, how it ended and what was not as foretold.
CREATE FUNCTION pg_temp.act(OUT what text, OUT outcome text, OUT problem text) LANGUAGE plpgsql AS $$
<<my>>
DECLARE
	who int := greatest(0, floor(random() * 5)::int - 1);	-- 0 the owner, who works across organizations; 1 to 3 an application
	org uuid := CASE WHEN who > 0 THEN ('00000000-0000-4000-8000-00000000000' || who)::uuid END;
	doer uuid := CASE WHEN who > 0 AND random() < 0.8 THEN ('00000000-0000-4000-9000-00000000000' || who)::uuid END;
	t tree;
	sql text;
	name text;
	a model;						-- the row that it is about
	b model;
	ids uuid[] := '{}';
	hits uuid[] := '{}';			-- the rows that it deletes itself,
	taken uuid[] := '{}';			-- with all below
	victim model;
	theirs uuid[] := '{}';			-- what a trigger deletes
	back uuid[] := '{}';
	expected text := '';			-- SQLSTATE; NULL: whatever the workflow says
	foretold bigint;				-- rows; NULL: not told
	told bigint;
	deletion uuid;
	key text;
	writes boolean := false;		-- other columns as well
	news boolean := false;			-- rows that are new
	got text[];
BEGIN
	what := pg_temp.one('{road,road,road,road,road,road,soft_delete,soft_delete,restore,restore,restore,restore,restore,dry_run,unflag,unflag,insert,insert,insert,insert,
		insert,plant,move,move,sync,sync,vote,fire,reorder,update,pair,pair,unread pair,crossing,toggle}'::text[]);
	name := pg_temp.one(CASE WHEN who = 0 AND random() < 0.1 THEN '{Organizations,Users,AuditLogs}'
		ELSE '{PublicUrls,Albums,AlbumTags,AlbumTags,PhotoProcs,PhotoProcs,PhotoProcs,PhotoComments,PhotoLikes,FailureRecords}' END::text[]);
	name := CASE what WHEN 'insert' THEN pg_temp.one('{PublicUrls,Albums,AlbumTags,PhotoProcs,PhotoProcs,PhotoComments,PhotoComments,PhotoLikes}')
		WHEN 'move' THEN pg_temp.one('{AlbumTags,PhotoProcs,PhotoProcs,PhotoComments,PhotoLikes}') WHEN 'crossing' THEN 'PhotoProcs'
		WHEN 'pair' THEN pg_temp.one('{AlbumTags,PhotoProcs,PhotoComments}') WHEN 'unread pair' THEN pg_temp.one('{AlbumTags,PhotoProcs,PhotoComments}') ELSE name END;
	IF what = 'road' THEN
		what := pg_temp.one(array(SELECT road FROM roads ORDER BY road) || '{current of,kept delete,kept flag,kept parameter}'::text[]);
		what := CASE WHEN what = 'using' AND name IN ('Organizations', 'FailureRecords', 'AuditLogs') OR what = 'view' AND name NOT IN ('Albums', 'AlbumTags', 'PhotoProcs') THEN 'delete'
			ELSE what END;
		name := CASE WHEN what = 'kept delete' THEN 'PhotoProcs' WHEN what LIKE 'kept%' THEN 'AlbumTags' ELSE name END;
		sql := coalesce((SELECT roads.sql FROM roads WHERE road = what), '');
	END IF;
	-- never run out of rows
	IF (SELECT count(*) FROM model m WHERE m.tbl = 'PhotoProcs' AND m.live) < 60 THEN
		what := pg_temp.one('{plant,plant,restore}');
		sql := NULL;
	END IF;
	SELECT * INTO t FROM tree WHERE tbl = name;

	-- foretell
	CASE
	WHEN what = 'soft_delete' OR sql IS NOT NULL THEN
		IF random() < 0.5 OR name = 'Organizations' THEN
			a := pg_temp.pick(name);
			ids := array_remove(ARRAY[a.id], NULL);
		ELSE
			ids := pg_temp.picks(name);
		END IF;
		hits := array(SELECT m.id FROM model m WHERE m.id = ANY (ids) AND m.live AND (who = 0 OR m.org = my.org));
		taken := pg_temp.below(hits);
		foretold := cardinality(hits);
		IF what = 'soft_delete' AND EXISTS (SELECT FROM model m WHERE m.id = ANY (ids) AND who > 0 AND m.org <> my.org) THEN
			expected := 'PF005';
		END IF;
		-- a row for the trigger: of the same organization, not above or below what is deleted
		IF EXISTS (SELECT FROM pg_trigger g JOIN model m ON m.id = ANY (taken) AND g.tgrelid = quote_ident(m.tbl)::regclass WHERE g.tgname = 'walk_on') THEN
			victim := pg_temp.pick(pg_temp.one('{PublicUrls,AlbumTags,PhotoProcs,PhotoComments,PhotoLikes}'));
			theirs := pg_temp.below(ARRAY[victim.id]);
			IF victim.id IS NULL OR NOT victim.live OR victim.id = ANY (taken) OR theirs && hits OR EXISTS (SELECT FROM model m WHERE m.id = ANY (hits) AND m.org <> victim.org) THEN
				theirs := '{}';
			END IF;
		END IF;
	WHEN what IN ('restore', 'dry_run') THEN
		deletion := pg_temp.pick_deletion();
		back := array(SELECT m.id FROM model m WHERE m.deletion = my.deletion AND (who = 0 OR m.org = my.org));
		foretold := cardinality(back);
		expected := CASE WHEN deletion IS NULL THEN '22004' WHEN foretold = 0 THEN 'PF005'
			WHEN who > 0 AND EXISTS (SELECT FROM model m WHERE m.id = ANY (back) AND m.tbl IN ('Organizations', 'Users', 'AuditLogs')) THEN '42501'
			WHEN what = 'restore' AND pg_temp.conflicts(back) THEN 'PF022' ELSE '' END;
	WHEN what = 'unflag' THEN
		a := pg_temp.pick(name, false);
		foretold := (a.id IS NOT NULL AND (who = 0 OR a.org = org))::int;
		IF foretold = 1 AND NOT a.live THEN
			expected := CASE WHEN pg_temp.conflicts(ARRAY[a.id]) THEN 'PF022' ELSE '' END;
			back := pg_temp.below(ARRAY[a.id], a.deletion);
		END IF;
	WHEN what = 'insert' THEN
		a := pg_temp.pick(t.parent);
		key := floor(random() * 30);
		news := true;
		foretold := 1;
		expected := CASE WHEN who > 0 AND a.org <> org THEN 'PF011' WHEN NOT a.live THEN 'PF021'
			WHEN EXISTS (SELECT FROM model m WHERE m.tbl = t.tbl AND m.org = a.org AND m.live
				AND m.held = CASE t.tbl WHEN 'Albums' THEN key WHEN 'PhotoProcs' THEN a.id || key
					WHEN 'PhotoLikes' THEN a.id || ('00000000-0000-4000-9000-' || lpad(key, 12, '0')) END) THEN '23505' ELSE '' END;
	-- a whole album and some more; the owner's
	WHEN what = 'plant' THEN
		who := 0;
		a := pg_temp.pick('Organizations');
		expected := CASE WHEN a.live THEN '' ELSE 'PF021' END;
		news := true;
	WHEN what = 'move' THEN
		a := pg_temp.pick(name);
		b := pg_temp.pick(t.parent);
		foretold := (a.id IS NOT NULL AND (who = 0 OR a.org = org))::int;
		writes := true;
		expected := CASE WHEN foretold = 0 OR a.live AND a.parent = b.id THEN '' WHEN NOT a.live THEN 'PF021' WHEN a.org <> b.org THEN 'PF011'
			WHEN EXISTS (SELECT FROM model m WHERE m.tbl = a.tbl AND m.live AND m.parent = b.id AND m.held = b.id || substr(a.held, 37)) THEN '23505'
			WHEN NOT b.live THEN 'PF021' ELSE '' END;
	WHEN what IN ('sync', 'reorder') THEN
		a := pg_temp.pick('AlbumTags');
		expected := CASE WHEN who > 0 AND a.org <> org THEN 'PF005' WHEN NOT a.live THEN 'PF021' ELSE '' END;
		writes := true;
		news := what = 'sync';
		ids := array(SELECT m.id FROM model m WHERE m.parent = a.id AND m.live);
		key := (SELECT jsonb_agg(jsonb_build_object('id', n::text, 'name', n || '.jpg', 'mimeType', 'image/jpeg')) FROM generate_series(0, 29) n
			WHERE n % (2 + cardinality(ids)) = 0);
		IF what = 'sync' THEN
			hits := array(SELECT m.id FROM model m WHERE m.id = ANY (ids) AND m.content->>'ExternalId' IS NOT NULL AND NOT key::jsonb @> jsonb_build_array(jsonb_build_object('id', m.content->>'ExternalId')));
			taken := pg_temp.below(hits);
		END IF;
	WHEN what = 'vote' THEN
		ids := pg_temp.picks('PhotoProcs');
		writes := true;
		expected := CASE WHEN EXISTS (SELECT FROM model m WHERE m.id = ANY (ids) AND who > 0 AND m.org <> my.org) THEN 'PF005'
			WHEN EXISTS (SELECT FROM model m WHERE m.id = ANY (ids) AND NOT m.live) THEN 'PF021'
			WHEN EXISTS (SELECT FROM model m JOIN model g ON g.id = m.parent JOIN model l ON l.id = g.parent WHERE m.id = ANY (ids) AND l.content->>'AlbumState' <> '2') THEN 'PF001'
			ELSE '' END;
	WHEN what = 'fire' THEN
		a := pg_temp.pick('Albums');
		key := pg_temp.one('{SyncRawTag,SyncStockTag,Rate,ConfirmRate,FinishRetouch,RequestRevision}');
		expected := CASE WHEN who > 0 AND a.org <> org THEN 'PF005' WHEN NOT a.live THEN 'PF021' END;
		writes := true;
		news := true;
	WHEN what = 'update' THEN
		ids := pg_temp.picks(name);
		foretold := (SELECT count(*) FROM model m WHERE m.id = ANY (ids) AND (who = 0 OR m.org = my.org));
		expected := CASE WHEN EXISTS (SELECT FROM model m WHERE m.id = ANY (ids) AND NOT m.live AND (who = 0 OR m.org = my.org)) THEN 'PF021' ELSE '' END;
		writes := true;
	-- a parent and its children, or a child that is new, in one statement
	WHEN what IN ('pair', 'unread pair', 'crossing') THEN
		a := pg_temp.pick(t.parent);
		IF (who = 0 OR a.org = org) AND a.live THEN
			hits := a.id || CASE WHEN what = 'crossing' THEN '{}' ELSE array(SELECT m.id FROM model m WHERE m.parent = a.id AND m.live AND m.tbl = t.tbl) END;
			taken := pg_temp.below(ARRAY[a.id]);
		END IF;
		foretold := cardinality(hits) + (what = 'crossing')::int;
		-- whichever comes first: the child is refused, or goes with its parent
		expected := CASE WHEN what <> 'crossing' THEN '' WHEN who > 0 AND a.org <> org THEN 'PF011' WHEN NOT a.live THEN 'PF021' END;
		news := what = 'crossing';
	WHEN what = 'toggle' THEN
		a := pg_temp.pick('PhotoProcs');
		ids := array(SELECT m.id FROM model m WHERE m.parent = a.id AND m.tbl = 'PhotoComments' AND (who = 0 OR m.org = my.org));
		foretold := cardinality(ids);
		hits := array(SELECT m.id FROM model m WHERE m.id = ANY (ids) AND m.live);
		taken := hits;
		back := array(SELECT m.id FROM model m WHERE m.id = ANY (ids) AND NOT m.live);
		expected := CASE WHEN pg_temp.conflicts(back) THEN 'PF022' ELSE '' END;
	END CASE;
	doer := CASE WHEN who > 0 THEN doer END;

	-- do
	outcome := '';
	BEGIN
		PERFORM set_config('walk.victim', CASE WHEN theirs <> '{}' THEN victim.tbl || ' ' || victim.id ELSE '' END, true);
		IF who > 0 THEN
			PERFORM photoflow.set_context(org, doer, 'org_admin');
			SET LOCAL ROLE pgtap_photoflow_walk;
		END IF;
		CASE what
			WHEN 'restore', 'dry_run' THEN
				SELECT sum(restored_rows) INTO told FROM photoflow.restore(deletion, what = 'dry_run');
			WHEN 'unflag' THEN
				EXECUTE format('UPDATE %I SET "IsDeleted" = false WHERE "Id" = $1', t.tbl) USING a.id;
				GET DIAGNOSTICS told = ROW_COUNT;
			WHEN 'insert' THEN
				EXECUTE CASE t.tbl WHEN 'PublicUrls' THEN 'INSERT INTO "PublicUrls" ("OrgId", "Url") VALUES ($1, $2)'
					WHEN 'Albums' THEN 'INSERT INTO "Albums" ("OrgId", "Name") VALUES ($1, $2)'
					WHEN 'AlbumTags' THEN 'INSERT INTO "AlbumTags" ("AlbumId", "Type") VALUES ($1, $2::int % 5)'
					WHEN 'PhotoProcs' THEN 'INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "ExternalId") VALUES ($1, $2 || ''.jpg'', $2)'
					WHEN 'PhotoComments' THEN 'INSERT INTO "PhotoComments" ("PhotoProcId", "Content") VALUES ($1, $2)'
					ELSE 'INSERT INTO "PhotoLikes" ("PhotoProcId", "UserId") VALUES ($1, (''00000000-0000-4000-9000-'' || lpad($2, 12, ''0''))::uuid)' END USING a.id, key;
				GET DIAGNOSTICS told = ROW_COUNT;
			WHEN 'plant' THEN
				PERFORM pg_temp.plant(a.id);
			WHEN 'move' THEN
				EXECUTE format('UPDATE %I SET %I = $2 WHERE "Id" = $1', t.tbl, t.key) USING a.id, b.id;
				GET DIAGNOSTICS told = ROW_COUNT;
			WHEN 'sync' THEN
				PERFORM photoflow.sync_photos(a.id, key::jsonb, NULL, true);
			WHEN 'reorder' THEN
				PERFORM photoflow.reorder_photos(a.id, '{}');
			WHEN 'vote' THEN
				PERFORM photoflow.vote(ids, cardinality(ids) % 2 = 0);
			WHEN 'fire' THEN
				PERFORM photoflow.fire(a.id, key);
			WHEN 'update' THEN
				EXECUTE format('UPDATE %I SET "CreatedAt" = "CreatedAt" WHERE "Id" = ANY ($1)', t.tbl) USING ids;
				GET DIAGNOSTICS told = ROW_COUNT;
			WHEN 'pair' THEN
				EXECUTE format('WITH p AS (DELETE FROM %I WHERE "Id" = $1 RETURNING 1), c AS (UPDATE %I SET "IsDeleted" = true WHERE %I = $1 RETURNING 1)
					SELECT (SELECT count(*) FROM p) + (SELECT count(*) FROM c)', t.parent, t.tbl, t.key) INTO told USING a.id;
			-- what nobody reads is done after all else: it is the same statement still
			WHEN 'unread pair' THEN
				EXECUTE format('WITH p AS (DELETE FROM %I WHERE "Id" = $1 RETURNING 1), c AS (UPDATE %I SET "IsDeleted" = true WHERE %I = $1)
					SELECT count(*) + $2 FROM p', t.parent, t.tbl, t.key) INTO told USING a.id, greatest(foretold - 1, 0);
			WHEN 'crossing' THEN
				sql := 'WITH i AS (INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName") VALUES ($1, ''x'') RETURNING 1), d AS (DELETE FROM "AlbumTags" WHERE "Id" = $1 RETURNING 1)
					SELECT (SELECT count(*) FROM %1$s) + (SELECT count(*) FROM %2$s)';
				EXECUTE CASE WHEN a.n % 2 = 0 THEN format(sql, 'i', 'd') ELSE format(sql, 'd', 'i') END INTO told USING a.id;
			WHEN 'toggle' THEN
				UPDATE "PhotoComments" SET "IsDeleted" = NOT "IsDeleted" WHERE "PhotoProcId" = a.id;
				GET DIAGNOSTICS told = ROW_COUNT;
			ELSE
				told := pg_temp.go(what, t, sql, ids);
		END CASE;
		RESET ROLE;
		PERFORM photoflow.set_context(NULL), set_config('walk.victim', '', true);
	EXCEPTION WHEN OTHERS THEN
		outcome := SQLSTATE;
		problem := SQLERRM;
	END;

	-- compare
	IF outcome <> expected OR expected IS NULL AND outcome NOT IN ('', 'PF001', 'PF002', 'PF003', 'PF004', 'PF021', '22004') THEN
		problem := format('%s by %s ended with "%s" %s, not with "%s"', what, who, outcome, problem, expected);
		RETURN;
	END IF;
	problem := NULL;
	PERFORM pg_temp.look();
	IF outcome <> '' OR what = 'dry_run' THEN
		taken := '{}';
		theirs := '{}';
		back := '{}';
		got := got || CASE WHEN EXISTS (SELECT FROM changed) THEN 'rows changed that must not' END;
	END IF;
	IF outcome = '' THEN
		got := got || CASE WHEN told <> foretold OR foretold IS NOT NULL AND told IS NULL THEN format('it says %s rows, not %s', told, foretold) END;
	END IF;
	got := got || ARRAY[
		CASE WHEN array(SELECT c.id FROM changed c WHERE c.deleted AND c.was_live ORDER BY c.id) <> array(SELECT id FROM unnest(taken || theirs) id ORDER BY id)
			THEN 'other rows were deleted' END,
		CASE WHEN array(SELECT c.id FROM changed c WHERE NOT c.deleted AND NOT c.was_live ORDER BY c.id) <> array(SELECT id FROM unnest(back) id ORDER BY id)
			THEN 'other rows came back' END,
		CASE WHEN EXISTS (SELECT FROM changed c WHERE c.deleted AND NOT c.was_live) THEN 'a deleted row changed' END,
		CASE WHEN EXISTS (SELECT FROM changed c WHERE c.was_live IS NULL AND (NOT news OR c.deleted AND what <> 'crossing')) THEN 'rows are new, or born deleted' END,
		CASE WHEN EXISTS (SELECT FROM changed c WHERE c.content <> c.was AND (NOT writes OR NOT c.was_live AND NOT c.deleted)) THEN 'other columns changed' END,
		CASE WHEN EXISTS (SELECT FROM changed c WHERE c.deleted AND (c.deletion IS NULL OR c.at IS NULL OR c.by IS DISTINCT FROM doer) OR NOT c.deleted AND num_nonnulls(c.deletion, c.at, c.by) > 0)
			THEN 'the books are not kept' END,
		-- one deletion a statement, a new one
		CASE WHEN (SELECT count(DISTINCT c.deletion) FROM changed c WHERE c.id = ANY (hits)) <> CASE WHEN taken = '{}' THEN 0 WHEN what = 'current of' THEN cardinality(hits) ELSE 1 END
			THEN 'not one deletion' END,
		CASE WHEN EXISTS (SELECT FROM changed c JOIN changed p ON p.id = c.parent AND p.deleted WHERE c.deleted AND c.deletion <> p.deletion AND c.id <> ALL (hits || victim.id))
			THEN 'what is below has another deletion' END,
		CASE WHEN EXISTS (SELECT FROM changed v JOIN changed h ON h.deletion = v.deletion WHERE theirs <> '{}' AND v.id = victim.id AND h.id = ANY (hits)) THEN 'the trigger''s is the same deletion' END,
		CASE WHEN EXISTS (SELECT FROM changed c JOIN model m ON m.deletion = c.deletion) THEN 'an older deletion was added to' END];
	PERFORM pg_temp.learn();
	got := got || CASE WHEN EXISTS (SELECT FROM model c JOIN model p ON p.id = c.parent WHERE c.live AND NOT p.live) THEN 'a live row under a deleted one' END;
	problem := format('%s of %s by %s (%s): %s', what, name, who, outcome, nullif(array_to_string(got, ', '), ''));
	problem := CASE WHEN array_to_string(got, '') <> '' THEN problem END;
END $$;
CREATE FUNCTION pg_temp.plant(org uuid) RETURNS void LANGUAGE sql AS $$
	INSERT INTO "Users" ("OrgId") VALUES (org);
	INSERT INTO "FailureRecords" ("OrgId", "EntityId", "EntityType") VALUES (org, org, 'planted');
	INSERT INTO "AuditLogs" ("OrgId", "CreatedAt") SELECT org, now() + n * interval '1 month' FROM generate_series(0, 1) n;
	WITH a AS (INSERT INTO "Albums" ("OrgId", "Name", "AlbumState") VALUES (org, 'planted ' || photoflow.uuid_v7(), 2) RETURNING "Id"),
	t AS (INSERT INTO "AlbumTags" ("OrgId", "AlbumId", "Type", "Status") SELECT org, "Id", n, 2 FROM a, generate_series(0, 1) n RETURNING "Id"),
	p AS (INSERT INTO "PhotoProcs" ("OrgId", "AlbumTagId", "FileName", "ExternalId") SELECT org, "Id", n || '.jpg', n FROM t, generate_series(0, 2) n RETURNING "Id"),
	c AS (INSERT INTO "PhotoComments" ("OrgId", "PhotoProcId", "Content") SELECT org, "Id", n FROM p, generate_series(1, 2) n RETURNING "Id"),
	l AS (INSERT INTO "PhotoLikes" ("OrgId", "PhotoProcId", "UserId") SELECT org, "Id", '00000000-0000-4000-9000-000000000001' FROM p RETURNING "Id")
	SELECT FROM l;
$$;

-- Some operations, one or two at a time, some of which are taken back. Returns what was wrong first.
CREATE TEMP TABLE told (what text, outcome text, n int, PRIMARY KEY (what, outcome));
CREATE FUNCTION pg_temp.walk(steps int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	wrong text[] := '{}';
	ends text[];
	act record;
	regret boolean;
	few int;
BEGIN
	WHILE steps > 0 LOOP
		regret := random() < 0.15;
		few := least(steps, 1 + (random() < 0.1)::int);
		steps := steps - few;
		ends := '{}';
		BEGIN
			FOR i IN 1..few LOOP
				SELECT * INTO act FROM pg_temp.act();
				ends := ends || ARRAY[ARRAY[act.what, act.outcome, act.problem]];
			END LOOP;
			IF regret THEN
				RAISE EXCEPTION USING ERRCODE = 'TTT00';
			END IF;
		EXCEPTION WHEN SQLSTATE 'TTT00' THEN
			ends := ends || ARRAY[ARRAY['', 'TTT00', NULL]];
			PERFORM pg_temp.look();
			IF EXISTS (SELECT FROM changed) THEN
				ends := ends || ARRAY[ARRAY['', 'TTT00', 'something is left of what was rolled back']];
			END IF;
		END;
		INSERT INTO told SELECT ends[i][1], ends[i][2], count(*) FROM generate_subscripts(ends, 1) i GROUP BY 1, 2
			ON CONFLICT ON CONSTRAINT told_pkey DO UPDATE SET n = told.n + EXCLUDED.n;
		IF EXISTS (SELECT FROM generate_subscripts(ends, 1) i WHERE ends[i][3] <> '') THEN
			wrong := wrong || array(SELECT ends[i][3] FROM generate_subscripts(ends, 1) i WHERE ends[i][3] <> '');
			PERFORM pg_temp.look(), pg_temp.learn();
		END IF;
	END LOOP;
	RETURN array_to_string(wrong[1:3], E'\n');
END $$;

-- Three organizations with six albums each
INSERT INTO "Organizations" ("Id", "Name") SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, n FROM generate_series(1, 3) n;
INSERT INTO "PublicUrls" ("OrgId", "Url") SELECT "Id", n FROM "Organizations", generate_series(1, 5) n;
SELECT pg_temp.plant("Id") FROM "Organizations", generate_series(1, 6) \g /dev/null
SELECT pg_temp.look(), pg_temp.learn() \g /dev/null

-- What photoflow.deletions says, to an application too, is what the rows say.
CREATE FUNCTION pg_temp.listed(org uuid DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	list text[];
BEGIN
	IF org IS NOT NULL THEN
		PERFORM photoflow.set_context(org);
		SET LOCAL ROLE pgtap_photoflow_walk;
	END IF;
	list := array(SELECT concat_ws(' ', d.org_id, d.deletion_id, d.table_name, d.row_count, d.deleted_at, d.deleted_by, d.restorable) FROM photoflow.deletions d);
	RESET ROLE;
	PERFORM photoflow.set_context(NULL);
	RETURN QUERY SELECT unnest(list);
END $$;
CREATE FUNCTION pg_temp.counted(org uuid DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r.org, r.deletion, r.tbl, count(*), min(r.at), min(r.by::text), (SELECT count(*) = 0 FROM really c JOIN really p ON p.id = c.parent
		WHERE c.deletion = r.deletion AND c.org = r.org AND p.deleted AND p.deletion <> c.deletion))
	FROM really r WHERE r.deleted AND (counted.org IS NULL OR r.org = counted.org) GROUP BY r.org, r.deletion, r.tbl
$$;

SELECT setseed(:seed) \g /dev/null
CREATE TEMP VIEW chunks AS SELECT n, least(250, :operations - (n - 1) * 250) AS steps, n % 4 IN (1, 3) AS after, n % 4 IN (2, 3) AS before, n % 4 = 0 AS purges FROM generate_series(1, :chunks) n;
SELECT command FROM chunks, LATERAL (VALUES
	(1, 'DROP TRIGGER IF EXISTS walk_on ON "PhotoProcs"'), (1, 'DROP TRIGGER IF EXISTS walk_on ON "AlbumTags"'),
	(2, CASE WHEN after THEN 'CREATE TRIGGER walk_on AFTER UPDATE ON "PhotoProcs" FOR EACH ROW WHEN (NEW."IsDeleted" AND NOT OLD."IsDeleted") EXECUTE FUNCTION pg_temp.walk_on()' END),
	(3, CASE WHEN before THEN 'CREATE TRIGGER walk_on BEFORE UPDATE ON "AlbumTags" FOR EACH ROW WHEN (NEW."IsDeleted" AND NOT OLD."IsDeleted") EXECUTE FUNCTION pg_temp.walk_on()' END),
	-- so that the tables stay small
	(4, 'VACUUM "Organizations", "Users", "PublicUrls", "Albums", "AlbumTags", "PhotoProcs", "PhotoComments", "PhotoLikes", "FailureRecords", "AuditLogs"'),
	(5, 'VACUUM ANALYZE model, changed, told'),
	(6, format($$ SELECT is(pg_temp.walk(%s), '', 'operations to %s went as foretold, seed %s') $$, steps, (n - 1) * 250 + steps, :'seed')),
	(7, format($$ SELECT is_empty('SELECT * FROM strays', 'no live row is under a deleted one, %s, seed %s') $$, n, :'seed')),
	(8, format($$ SELECT is_empty('SELECT * FROM really WHERE CASE WHEN deleted THEN deletion IS NULL OR at IS NULL ELSE num_nonnulls(deletion, at, by) > 0 END',
		'what is deleted has a deletion and its time, what is live has neither, %s, seed %s') $$, n, :'seed')),
	(9, format($$ SELECT bag_eq('SELECT pg_temp.listed()', 'SELECT pg_temp.counted()', 'photoflow.deletions counts the rows, %s, seed %s') $$, n, :'seed')),
	(10, format($$ SELECT bag_eq('SELECT pg_temp.listed(''00000000-0000-4000-8000-00000000000%1$s'')', 'SELECT pg_temp.counted(''00000000-0000-4000-8000-00000000000%1$s'')',
		'and to an application its own, %2$s, seed %3$s') $$, 1 + n % 3, n, :'seed')),
	-- now and then what is deleted goes for good; the organizations stay
	(11, CASE WHEN purges THEN $$ DO 'BEGIN PERFORM photoflow.restore(deletion) FROM model WHERE tbl = ''Organizations'' AND NOT live; PERFORM pg_temp.look(), pg_temp.learn(); END' $$ END),
	(12, CASE WHEN purges THEN $$ CALL photoflow.purge('0', 37) $$ END),
	(13, CASE WHEN purges THEN 'DELETE FROM model WHERE NOT live' END),
	(14, format($$ SELECT is_empty('SELECT r.tbl, r.id, m.tbl, m.id FROM (really JOIN contents USING (id)) r FULL JOIN model m ON m.id = r.id
		WHERE (m.parent, m.live, m.deletion, m.by, m.at, m.content) IS DISTINCT FROM (r.parent, NOT r.deleted, r.deletion, r.by, r.at, r.content)',
		'every row is what the model says, %s, seed %s') $$, n, :'seed'))) AS c (place, command)
WHERE command IS NOT NULL ORDER BY n, place \gexec

-- the walk went everywhere
SELECT is((SELECT sum(n)::int FROM told WHERE what <> ''), :operations, 'operations, seed ' || :seed);
SELECT is(array(SELECT what FROM told WHERE what <> '' GROUP BY 1 HAVING NOT bool_or(outcome = '') ORDER BY 1), '{}', 'every kind of operation succeeded, seed ' || :seed);
SELECT is(array(SELECT code FROM unnest('{PF001,PF005,PF011,PF021,PF022,23505,42501,TTT00}'::text[]) code WHERE code NOT IN (SELECT outcome FROM told)), '{}', 'every refusal was met, seed ' || :seed);
SELECT is(array(SELECT tbl FROM tree WHERE tbl NOT IN (SELECT m.tbl FROM model m WHERE m.live)), '{}', 'live rows are left in every table, seed ' || :seed);

-- many at once, on either road: one deletion, at all levels, and all of it comes back
INSERT INTO "Organizations" ("Id", "Name") VALUES ('00000000-0000-4000-8000-000000000004', 'large');
INSERT INTO "Albums" ("Id", "OrgId", "Name") VALUES ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000004', 'large');
INSERT INTO "AlbumTags" ("Id", "AlbumId", "Type") VALUES ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000004', 0);
INSERT INTO "PhotoProcs" ("AlbumTagId", "FileName", "ExternalId") SELECT '00000000-0000-4000-8000-000000000004', n, n FROM generate_series(1, 10000) n;
INSERT INTO "PhotoComments" ("PhotoProcId", "Content") SELECT "Id", n FROM "PhotoProcs", generate_series(1, 2) n WHERE "AlbumTagId" = '00000000-0000-4000-8000-000000000004';
CREATE FUNCTION pg_temp.large() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s of %s in %s', tbl, deleted, rows, deletions), ', ' ORDER BY tbl) FROM (SELECT tbl, count(*) FILTER (WHERE r.deleted) AS deleted, count(*) AS rows,
		count(DISTINCT deletion) AS deletions FROM really r WHERE org = '00000000-0000-4000-8000-000000000004' AND tbl LIKE 'Photo%' GROUP BY tbl) x
$$;
SELECT is(array(SELECT (table_name, deleted_rows)::text FROM photoflow.soft_delete('"PhotoProcs"', array(SELECT "Id" FROM "PhotoProcs" WHERE "AlbumTagId" = '00000000-0000-4000-8000-000000000004'))),
	'{"(PhotoProcs,10000)","(PhotoComments,20000)"}', 'soft_delete() says how many');
SELECT is(pg_temp.large(), 'PhotoComments 20000 of 20000 in 1, PhotoProcs 10000 of 10000 in 1', 'soft_delete() takes 10,000 photos and their comments');
SELECT is(array(SELECT (table_name, restored_rows)::text FROM photoflow.restore((SELECT DISTINCT deletion_id FROM photoflow.deletions WHERE org_id = '00000000-0000-4000-8000-000000000004'))),
	'{"(PhotoProcs,10000)","(PhotoComments,20000)"}', 'restore() says how many');
SELECT is(pg_temp.large(), 'PhotoComments 0 of 20000 in 0, PhotoProcs 0 of 10000 in 0', 'restore() brings them back');
DELETE FROM "PhotoProcs" WHERE "AlbumTagId" = '00000000-0000-4000-8000-000000000004';
SELECT is(pg_temp.large(), 'PhotoComments 20000 of 20000 in 1, PhotoProcs 10000 of 10000 in 1', 'DELETE takes them');
UPDATE "PhotoProcs" SET "IsDeleted" = false WHERE "AlbumTagId" = '00000000-0000-4000-8000-000000000004' AND "ExternalId"::int <= 9000;
SELECT is(pg_temp.large(), 'PhotoComments 2000 of 20000 in 1, PhotoProcs 1000 of 10000 in 1', 'UPDATE brings some of them back');
DELETE FROM "Albums" WHERE "OrgId" = '00000000-0000-4000-8000-000000000004';
SELECT is(pg_temp.large(), 'PhotoComments 20000 of 20000 in 2, PhotoProcs 10000 of 10000 in 2', 'an album takes those that are live');
SELECT is_empty('SELECT * FROM strays', 'none is left');

SELECT diag('to repeat this walk: psql -v seed=' || :seed || ' -v operations=' || :operations) WHERE num_failed() > 0;
SELECT * FROM finish();
DROP OWNED BY pgtap_photoflow_walk;
DROP ROLE pgtap_photoflow_walk;
