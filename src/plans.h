/*
 * plans.h: every statement photoflow runs, one row each: name, in whose name, text, argument types.
 *
 * In a text, {Table} stands for the schema-qualified, quoted data table, [Column] for a quoted column and
 * == for pg_catalog's equality, whatever search_path says. "[]" and anything else is left as it is.
 */

/* --- workflow.c, version.c --- */
STORE_PLAN(PLAN_WORKFLOW_READ, STORE_OWNER,
		   "SELECT [Definition] FROM {WorkflowVersions} WHERE [Version] == $1",
		   INT4OID)
STORE_PLAN(PLAN_WORKFLOW_CURRENT, STORE_OWNER,
		   "SELECT [Version] FROM {WorkflowVersions} WHERE [IsCurrent]",
		   InvalidOid)
STORE_PLAN(PLAN_WORKFLOW_RETIRE, STORE_CALLER,
		   "UPDATE {WorkflowVersions} SET [IsCurrent] = false WHERE [IsCurrent]",
		   InvalidOid)
STORE_PLAN(PLAN_WORKFLOW_PUBLISH, STORE_CALLER,
		   "INSERT INTO {WorkflowVersions} ([Version], [Name], [Definition], [IsCurrent], [PublishedBy]) "
		   "SELECT COALESCE(pg_catalog.max([Version]), 0) OPERATOR(pg_catalog.+) 1, $2, $1, $3, $4 "
		   "FROM {WorkflowVersions} RETURNING [Version]",
		   JSONBOID, TEXTOID, BOOLOID, UUIDOID)

/*
 * --- album.c ---
 *
 * $1 id or ids, $2 the number of ids, $3 organization. One album is asked for by itself, which is the everyday case;
 * for many see vote.c and sync.c below about the generate_series().
 */
#define ALBUM_COLUMNS "SELECT a.[Id], a.[OrgId], a.[AlbumState], a.[WorkflowVersion], a.[IsDeleted] FROM "
#define ALBUMS_NAMED \
	ALBUM_COLUMNS "ROWS FROM (pg_catalog.unnest($1), pg_catalog.generate_series(1, $2)) AS asked (id, n) " \
	"JOIN {Albums} AS a ON a.[Id] == asked.id "
STORE_PLAN(PLAN_ALBUM_READ, STORE_OWNER | STORE_READ,
		   ALBUM_COLUMNS "{Albums} AS a WHERE a.[Id] == $1",
		   UUIDOID, INT4OID)
STORE_PLAN(PLAN_ALBUM_READ_IN_ORG, STORE_OWNER | STORE_READ,
		   ALBUM_COLUMNS "{Albums} AS a WHERE a.[Id] == $1 AND a.[OrgId] == $3",
		   UUIDOID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_ALBUM_LOCK, STORE_OWNER,
		   ALBUM_COLUMNS "{Albums} AS a WHERE a.[Id] == $1 FOR NO KEY UPDATE",
		   UUIDOID, INT4OID)
STORE_PLAN(PLAN_ALBUM_LOCK_IN_ORG, STORE_OWNER,
		   ALBUM_COLUMNS "{Albums} AS a WHERE a.[Id] == $1 AND a.[OrgId] == $3 FOR NO KEY UPDATE",
		   UUIDOID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_ALBUMS_LOCK, STORE_OWNER,
		   ALBUMS_NAMED "ORDER BY a.[Id] FOR NO KEY UPDATE OF a",
		   UUIDARRAYOID, INT4OID)
STORE_PLAN(PLAN_ALBUMS_LOCK_IN_ORG, STORE_OWNER,
		   ALBUMS_NAMED "WHERE a.[OrgId] == $3 ORDER BY a.[Id] FOR NO KEY UPDATE OF a",
		   UUIDARRAYOID, INT4OID, UUIDOID)

/* --- transition.c; $1 organization, $2 id or ids, $3 state, $4 time, $5 take back the archive flag, $6 the number --- */
#define ALBUMS_MOVED "[AlbumState] = $3, [ModifiedAt] = $4, [IsArchive] = a.[IsArchive] AND NOT $5 "
STORE_PLAN(PLAN_ALBUM_MOVE, STORE_CALLER,
		   "UPDATE {Albums} AS a SET " ALBUMS_MOVED "WHERE a.[OrgId] == $1 AND a.[Id] == $2 RETURNING a.[AlbumState]",
		   UUIDOID, UUIDOID, INT4OID, TIMESTAMPTZOID, BOOLOID, INT4OID)
STORE_PLAN(PLAN_ALBUMS_MOVE, STORE_CALLER,
		   "UPDATE {Albums} AS a SET " ALBUMS_MOVED
		   "FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.generate_series(1, $6)) AS asked (id, n) "
		   "WHERE a.[OrgId] == $1 AND a.[Id] == asked.id RETURNING a.[AlbumState]",
		   UUIDOID, UUIDARRAYOID, INT4OID, TIMESTAMPTZOID, BOOLOID, INT4OID)
STORE_PLAN(PLAN_HISTORY_NEWEST, STORE_OWNER,
		   "SELECT [Id], [Trigger], [FromState], [ToState], [WorkflowVersion], [Compensates], [FromVersion] "
		   "FROM {AlbumTransitions} WHERE [OrgId] == $1 AND [AlbumId] == $2 ORDER BY [Id] DESC LIMIT 1",
		   UUIDOID, UUIDOID)

/* --- history.c, record.c --- */
STORE_PLAN(PLAN_HISTORY_INSERT, STORE_BOOKS,
		   "INSERT INTO {AlbumTransitions} ([OrgId], [AlbumId], [Id], [WorkflowVersion], [FromState], [ToState], [CreatedAt], "
		   "[Trigger], [UserId], [Role], [Reason], [Args], [Compensates], [FromVersion]) "
		   "SELECT $1, change.album, change.id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 "
		   "FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS change (album, id)",
		   UUIDOID, UUIDARRAYOID, UUIDARRAYOID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID, TEXTOID, UUIDOID, TEXTOID,
		   TEXTOID, JSONBOID, UUIDOID, INT4OID)
STORE_PLAN(PLAN_TAGS_CREATE, STORE_BOOKS,
		   "INSERT INTO {AlbumTags} ([Id], [OrgId], [AlbumId], [Type]) "
		   "SELECT stage.id, $1, stage.album, $2 "
		   "FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.generate_series(1, $5)) "
		   "AS stage (album, id, n) "
		   "WHERE NOT EXISTS (SELECT FROM {AlbumTags} tag WHERE tag.[OrgId] == $1 AND tag.[AlbumId] == stage.album "
		   "AND tag.[Type] == $2 AND NOT tag.[IsDeleted]) RETURNING [Id], [AlbumId]",
		   UUIDOID, INT4OID, UUIDARRAYOID, UUIDARRAYOID, INT4OID)
STORE_PLAN(PLAN_ALBUMS_ARCHIVE, STORE_BOOKS,
		   "UPDATE {Albums} AS a SET [IsArchive] = true "
		   "FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.generate_series(1, $3)) AS asked (id, n) "
		   "WHERE a.[OrgId] == $1 AND a.[Id] == asked.id AND NOT a.[IsArchive]",
		   UUIDOID, UUIDARRAYOID, INT4OID)

/* --- guard.c --- */
STORE_PLAN(PLAN_ALBUM_VERSION, STORE_OWNER | STORE_READ,
		   "SELECT [WorkflowVersion] FROM {Albums} WHERE [OrgId] == $1 AND [Id] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_GUARD_TAG, STORE_OWNER | STORE_READ,
		   "SELECT FROM {AlbumTags} WHERE [OrgId] == $1 AND [AlbumId] == $2 AND [Type] == $3 AND [Status] == $4 "
		   "AND NOT [IsDeleted] LIMIT 1",
		   UUIDOID, UUIDOID, INT4OID, INT4OID)
STORE_PLAN(PLAN_GUARD_VOTED, STORE_OWNER | STORE_READ,
		   "SELECT FROM {AlbumTags} tag WHERE tag.[OrgId] == $1 AND tag.[AlbumId] == $2 AND NOT tag.[IsDeleted] "
		   "AND EXISTS (SELECT FROM {PhotoProcs} photo WHERE photo.[OrgId] == $1 AND photo.[AlbumTagId] == tag.[Id] "
		   "AND photo.[Voted] AND NOT photo.[IsDeleted]) LIMIT 1",
		   UUIDOID, UUIDOID)

/* --- belonging.c; $1 id, $2 organization --- */
STORE_PLAN(PLAN_ALBUM_IN_ORG, STORE_OWNER, "SELECT [OrgId] FROM {Albums} WHERE [Id] == $1 AND [OrgId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_ALBUM_ORG, STORE_OWNER, "SELECT [OrgId] FROM {Albums} WHERE [Id] == $1", UUIDOID)
STORE_PLAN(PLAN_TAG_IN_ORG, STORE_OWNER, "SELECT [OrgId] FROM {AlbumTags} WHERE [Id] == $1 AND [OrgId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_TAG_ORG, STORE_OWNER, "SELECT [OrgId] FROM {AlbumTags} WHERE [Id] == $1", UUIDOID)
STORE_PLAN(PLAN_PHOTO_IN_ORG, STORE_OWNER, "SELECT [OrgId] FROM {PhotoProcs} WHERE [Id] == $1 AND [OrgId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_PHOTO_ORG, STORE_OWNER, "SELECT [OrgId] FROM {PhotoProcs} WHERE [Id] == $1", UUIDOID)
STORE_PLAN(PLAN_URL_IN_ORG, STORE_OWNER, "SELECT [OrgId] FROM {PublicUrls} WHERE [Id] == $1 AND [OrgId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_URL_ORG, STORE_OWNER, "SELECT [OrgId] FROM {PublicUrls} WHERE [Id] == $1", UUIDOID)

/* --- secret.c; no policy admits a row of the table --- */
STORE_PLAN(PLAN_SECRETS_READ, STORE_OWNER | STORE_READ,
		   "SELECT [Kind], [Kid], [Secret] FROM {__PhotoflowSecrets} ORDER BY [CreatedAt], [Id]",
		   InvalidOid)

/* --- lookup.c; $1 the whole address --- */
STORE_PLAN(PLAN_PUBLIC_URL, STORE_OWNER | STORE_READ,
		   "SELECT u.[OrgId], u.[Id], u.[Type], u.[ExpiresAt], t.[Id], t.[AlbumId] "
		   "FROM {PublicUrls} AS u LEFT JOIN ({AlbumTags} AS t JOIN {Albums} AS a "
		   "ON a.[OrgId] == t.[OrgId] AND a.[Id] == t.[AlbumId] AND NOT a.[IsDeleted]) "
		   "ON t.[OrgId] == u.[OrgId] AND t.[PublicUrlId] == u.[Id] AND NOT t.[IsDeleted] "
		   "WHERE u.[Url] == $1 AND NOT u.[IsDeleted] "
		   "AND COALESCE(u.[ExpiresAt] OPERATOR(pg_catalog.>) pg_catalog.now(), true) ORDER BY u.[Id], t.[Id]",
		   VARCHAROID)

/* --- permitted.c, diagram.c; $1 organization, $2 album --- */
STORE_PLAN(PLAN_HISTORY_READ, STORE_OWNER | STORE_READ,
		   "SELECT [Id], [FromState], [Trigger], [ToState], [UserId], [Role]::pg_catalog.text, [Reason], [Args], [CreatedAt], "
		   "[Compensates], [WorkflowVersion], [FromVersion] "
		   "FROM {AlbumTransitions} WHERE [OrgId] == $1 AND [AlbumId] == $2 ORDER BY [Id]",
		   UUIDOID, UUIDOID)

/* --- remap.c; $1 organization, $2 version, $3 new version, $4 state, $5 new state --- */
#define REMAP_COUNT(condition) \
	"SELECT [OrgId], [AlbumState], pg_catalog.count(*) FROM {Albums} WHERE [WorkflowVersion] == $2" condition \
	" GROUP BY 1, 2 ORDER BY 1, 2"
STORE_PLAN(PLAN_REMAP_COUNT, STORE_OWNER, REMAP_COUNT(""), UUIDOID, INT4OID)
STORE_PLAN(PLAN_REMAP_COUNT_IN_ORG, STORE_OWNER, REMAP_COUNT(" AND [OrgId] == $1"), UUIDOID, INT4OID)
STORE_PLAN(PLAN_REMAP_MOVE, STORE_CALLER,
		   "UPDATE {Albums} SET [WorkflowVersion] = $3, [AlbumState] = $5 "
		   "WHERE [OrgId] == $1 AND [WorkflowVersion] == $2 AND [AlbumState] == $4",
		   UUIDOID, INT4OID, INT4OID, INT4OID, INT4OID)

/* --- phototag.c, sync.c, vote.c, reorder.c ---
 *
 * An array's length is not known when a plan is made: the planner takes it for 10 elements, and on a table that is
 * small then it may choose to compare each element with each row, for as long as the plan is kept. The
 * generate_series() beside an array, just as long, raises the estimate to 1000, so that it hashes or uses an index.
 */
STORE_PLAN(PLAN_TAG_FIND, STORE_OWNER,
		   "SELECT t.[OrgId], t.[AlbumId], t.[Type], t.[Status], a.[WorkflowVersion], t.[IsDeleted] OR a.[IsDeleted]"
		   " FROM {AlbumTags} AS t JOIN {Albums} AS a ON a.[OrgId] == t.[OrgId] AND a.[Id] == t.[AlbumId]"
		   " WHERE t.[Id] == $1 AND t.[OrgId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_TAG_FIND_ANYWHERE, STORE_OWNER,
		   "SELECT t.[OrgId], t.[AlbumId], t.[Type], t.[Status], a.[WorkflowVersion], t.[IsDeleted] OR a.[IsDeleted]"
		   " FROM {AlbumTags} AS t JOIN {Albums} AS a ON a.[OrgId] == t.[OrgId] AND a.[Id] == t.[AlbumId]"
		   " WHERE t.[Id] == $1",
		   UUIDOID)
STORE_PLAN(PLAN_TAG_LOCK, STORE_OWNER,
		   "SELECT t.[OrgId], t.[AlbumId], t.[Type], t.[Status], a.[WorkflowVersion], t.[IsDeleted] OR a.[IsDeleted]"
		   " FROM {AlbumTags} AS t JOIN {Albums} AS a ON a.[OrgId] == t.[OrgId] AND a.[Id] == t.[AlbumId]"
		   " WHERE t.[Id] == $1 AND t.[OrgId] == $2 FOR NO KEY UPDATE OF t",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_SYNC_PAGES, STORE_OWNER,
		   "SELECT [ExternalIds], [CreatedAt] FROM {PhotoSyncPages} WHERE [OrgId] == $1 AND [AlbumTagId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_SYNC_PAGE_ADD, STORE_BOOKS,
		   "INSERT INTO {PhotoSyncPages} ([OrgId], [AlbumTagId], [CreatedAt], [Id], [ExternalIds])"
		   " VALUES ($1, $2, $3, $4, $5)",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDOID, TEXTARRAYOID)
STORE_PLAN(PLAN_SYNC_PAGES_FORGET, STORE_BOOKS,
		   "DELETE FROM {PhotoSyncPages} WHERE [OrgId] == $1 AND [AlbumTagId] == $2",
		   UUIDOID, UUIDOID)
/* photos without an external id do not come from a listing, and no listing takes them away */
STORE_PLAN(PLAN_SYNC_STORED, STORE_OWNER,
		   "SELECT [Id], [ExternalId], [FileName], [ThumbnailUrl] FROM {PhotoProcs}"
		   " WHERE [OrgId] == $1 AND [AlbumTagId] == $2 AND NOT [IsDeleted] AND [ExternalId] IS NOT NULL",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_SYNC_STORED_OF_PAGE, STORE_OWNER,
		   "SELECT [Id], [ExternalId], [FileName], [ThumbnailUrl] FROM {PhotoProcs}"
		   " WHERE [OrgId] == $1 AND [AlbumTagId] == $2 AND NOT [IsDeleted] AND [ExternalId] == ANY ($3)",
		   UUIDOID, UUIDOID, TEXTARRAYOID)
STORE_PLAN(PLAN_SYNC_LAST_POSITION, STORE_OWNER,
		   "SELECT pg_catalog.max([SortOrder]) FROM {PhotoProcs}"
		   " WHERE [OrgId] == $1 AND [AlbumTagId] == $2 AND NOT [IsDeleted]",
		   UUIDOID, UUIDOID)
/* the tag is locked, so a conflict can only come from an INSERT that is not photoflow's */
STORE_PLAN(PLAN_SYNC_INSERT, STORE_CALLER,
		   "INSERT INTO {PhotoProcs} AS p"
		   " ([Id], [OrgId], [AlbumTagId], [ExternalId], [FileName], [ThumbnailUrl], [SortOrder], [CreatedAt], [ModifiedAt])"
		   " SELECT n.id, $1, $2, n.external_id, n.file_name, n.thumbnail_url, n.sort_order, $3, $3"
		   " FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7),"
		   " pg_catalog.generate_series($8, $9)) AS n (id, external_id, file_name, thumbnail_url, sort_order)"
		   " ON CONFLICT ([OrgId], [AlbumTagId], [ExternalId]) WHERE NOT [IsDeleted] DO UPDATE"
		   " SET [FileName] = EXCLUDED.[FileName], [ThumbnailUrl] = EXCLUDED.[ThumbnailUrl], [ModifiedAt] = EXCLUDED.[ModifiedAt]"
		   " WHERE NOT (p.[FileName] == EXCLUDED.[FileName] AND COALESCE(p.[ThumbnailUrl] == EXCLUDED.[ThumbnailUrl],"
		   " p.[ThumbnailUrl] IS NULL AND EXCLUDED.[ThumbnailUrl] IS NULL))",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID, INT4OID)
STORE_PLAN(PLAN_SYNC_UPDATE, STORE_CALLER,
		   "UPDATE {PhotoProcs} AS p"
		   " SET [FileName] = c.file_name, [ThumbnailUrl] = c.thumbnail_url, [ModifiedAt] = $3"
		   " FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		   " pg_catalog.generate_series(1, $7)) AS c (id, file_name, thumbnail_url, n)"
		   " WHERE p.[OrgId] == $1 AND p.[AlbumTagId] == $2 AND p.[Id] == c.id AND NOT p.[IsDeleted]",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID)
STORE_PLAN(PLAN_SYNC_REMOVE, STORE_CALLER,
		   "UPDATE {PhotoProcs} AS p SET [IsDeleted] = true, [ModifiedAt] = $3"
		   " FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.generate_series(1, $5)) AS g (id, n)"
		   " WHERE p.[OrgId] == $1 AND p.[AlbumTagId] == $2 AND p.[Id] == g.id AND NOT p.[IsDeleted]",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDARRAYOID, INT4OID)
STORE_PLAN(PLAN_SYNC_TAG, STORE_CALLER,
		   "UPDATE {AlbumTags} SET [Status] = $4, [ModifiedAt] = $3,"
		   " [SyncInitiatedByUserId] = CASE WHEN [Status] == $5 THEN [SyncInitiatedByUserId] ELSE $6 END"
		   " WHERE [OrgId] == $1 AND [Id] == $2",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, INT4OID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_VOTE_PHOTOS, STORE_OWNER,
		   "SELECT p.[Id], p.[OrgId], t.[AlbumId], p.[IsDeleted] OR t.[IsDeleted]"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.generate_series(1, $2)) AS v (id, n)"
		   " JOIN {PhotoProcs} AS p ON p.[Id] == v.id"
		   " JOIN {AlbumTags} AS t ON t.[OrgId] == p.[OrgId] AND t.[Id] == p.[AlbumTagId]"
		   " WHERE p.[OrgId] == $3 ORDER BY p.[OrgId], t.[AlbumId]",
		   UUIDARRAYOID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_VOTE_PHOTOS_ANYWHERE, STORE_OWNER,
		   "SELECT p.[Id], p.[OrgId], t.[AlbumId], p.[IsDeleted] OR t.[IsDeleted]"
		   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.generate_series(1, $2)) AS v (id, n)"
		   " JOIN {PhotoProcs} AS p ON p.[Id] == v.id"
		   " JOIN {AlbumTags} AS t ON t.[OrgId] == p.[OrgId] AND t.[Id] == p.[AlbumTagId]"
		   " ORDER BY p.[OrgId], t.[AlbumId]",
		   UUIDARRAYOID, INT4OID)
STORE_PLAN(PLAN_VOTE_LOCK_ALBUMS, STORE_OWNER,
		   "SELECT a.[Id], a.[AlbumState], a.[WorkflowVersion], a.[IsDeleted]"
		   " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.generate_series(1, $3)) AS v (id, n)"
		   " JOIN {Albums} AS a ON a.[Id] == v.id WHERE a.[OrgId] == $1 ORDER BY a.[Id] FOR NO KEY UPDATE OF a",
		   UUIDOID, UUIDARRAYOID, INT4OID)
STORE_PLAN(PLAN_VOTE_WRITE, STORE_CALLER,
		   "UPDATE {PhotoProcs} AS p SET [Voted] = $4, [ModifiedAt] = $5"
		   " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.generate_series(1, $3)) AS v (id, n)"
		   " WHERE p.[OrgId] == $1 AND p.[Id] == v.id AND NOT p.[IsDeleted] AND NOT (p.[Voted] == $4)",
		   UUIDOID, UUIDARRAYOID, INT4OID, BOOLOID, TIMESTAMPTZOID)
STORE_PLAN(PLAN_REORDER_READ, STORE_OWNER,
		   "SELECT [Id], [SortOrder] FROM {PhotoProcs}"
		   " WHERE [OrgId] == $1 AND [AlbumTagId] == $2 AND NOT [IsDeleted] ORDER BY [SortOrder], [Id]",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_REORDER_WRITE, STORE_CALLER,
		   "UPDATE {PhotoProcs} AS p SET [SortOrder] = m.position, [ModifiedAt] = $3"
		   " FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.generate_series(1, $6))"
		   " AS m (id, position, n)"
		   " WHERE p.[OrgId] == $1 AND p.[AlbumTagId] == $2 AND p.[Id] == m.id AND NOT p.[IsDeleted]",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, UUIDARRAYOID, INT4ARRAYOID, INT4OID)
