-- loop.sql: album by album inside the backend: no client, no COMMIT. The first 100 make the plans, the others are timed.

-- how: update, by hand (and insert the history), fire (photoflow's) or plpgsql (bench.fire())
CREATE PROCEDURE bench.fire_loop(how text, "case" text, part text, variant text, round int, albums uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id')::uuid;
	since bigint;
	album uuid;
BEGIN
	FOR n IN 1 .. cardinality(albums) LOOP
		IF n = 101 THEN
			since := bench.cpu();
		END IF;
		album := albums[n];
		IF how = 'fire' THEN
			PERFORM photoflow.fire(album, 'Rate');
		ELSIF how = 'plpgsql' THEN
			PERFORM bench.fire(album, 'Rate');
		ELSE
			UPDATE "Albums" SET "AlbumState" = 4, "ModifiedAt" = now() WHERE "Id" = album AND "OrgId" = org;
			IF how = 'by hand' THEN
				INSERT INTO "AlbumTransitions"
					("OrgId", "AlbumId", "Id", "WorkflowVersion", "FromState", "ToState", "CreatedAt", "Trigger", "Role")
				VALUES (org, album, gen_random_uuid(), 1, 3, 4, now(), 'Rate', 'photographer');
			END IF;
		END IF;
	END LOOP;
	CALL bench.record("case", part, variant, round, cardinality(albums) - 100, since);
	COMMIT;
END $$;

CREATE PROCEDURE bench.rename_loop(variant text, round int, albums uuid[]) LANGUAGE plpgsql AS $$
DECLARE
	org uuid := current_setting('photoflow.org_id')::uuid;
	since bigint;
	album uuid;
BEGIN
	FOR n IN 1 .. cardinality(albums) LOOP
		IF n = 101 THEN
			since := bench.cpu();
		END IF;
		album := albums[n];
		UPDATE "Albums" SET "Name" = 'x', "ModifiedAt" = now() WHERE "Id" = album AND "OrgId" = org;
	END LOOP;
	CALL bench.record('unrelated', 'loop in the backend', variant, round, cardinality(albums) - 100, since);
	COMMIT;
END $$;
