/*
 * plans.h: every statement photoflow runs, one row each: name, in whose name, text, argument types.
 *
 * In a text, {Table} stands for the schema-qualified, quoted data table, [Column] for a quoted column and
 * == for pg_catalog's equality, whatever search_path says. "[]" and anything else is left as it is. A plan that names
 * {TABLE} is for all tables of soft delete: [ORG] is the table's column of the organization, [PARENT] its column that
 * names the parent, {ABOVE} the parent's table and [ABOVEORG] that one's column of the organization.
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

/*
 * --- belonging.c; $1 id, $2 organization ---
 *
 * Locked as a foreign key's check would lock it anyway: who deletes the parent waits for us, or we for him (cascade.c).
 */
#define PARENT_OF(table) "SELECT [OrgId] FROM {" table "} WHERE [Id] == $1"
STORE_PLAN(PLAN_ALBUM_IN_ORG, STORE_OWNER, PARENT_OF("Albums") " AND [OrgId] == $2 FOR KEY SHARE", UUIDOID, UUIDOID)
STORE_PLAN(PLAN_ALBUM_ORG, STORE_OWNER, PARENT_OF("Albums") " FOR KEY SHARE", UUIDOID)
STORE_PLAN(PLAN_TAG_IN_ORG, STORE_OWNER, PARENT_OF("AlbumTags") " AND [OrgId] == $2 FOR KEY SHARE", UUIDOID, UUIDOID)
STORE_PLAN(PLAN_TAG_ORG, STORE_OWNER, PARENT_OF("AlbumTags") " FOR KEY SHARE", UUIDOID)
STORE_PLAN(PLAN_PHOTO_IN_ORG, STORE_OWNER, PARENT_OF("PhotoProcs") " AND [OrgId] == $2 FOR KEY SHARE", UUIDOID, UUIDOID)
STORE_PLAN(PLAN_PHOTO_ORG, STORE_OWNER, PARENT_OF("PhotoProcs") " FOR KEY SHARE", UUIDOID)
STORE_PLAN(PLAN_URL_IN_ORG, STORE_OWNER, PARENT_OF("PublicUrls") " AND [OrgId] == $2 FOR KEY SHARE", UUIDOID, UUIDOID)
STORE_PLAN(PLAN_URL_ORG, STORE_OWNER, PARENT_OF("PublicUrls") " FOR KEY SHARE", UUIDOID)
STORE_PLAN(PLAN_ORGANIZATION, STORE_OWNER, "SELECT [Id] FROM {Organizations} WHERE [Id] == $1 FOR KEY SHARE", UUIDOID)
STORE_PLAN(PLAN_IS_MARKED, STORE_OWNER | STORE_NEWEST, "SELECT [IsDeleted] FROM {TABLE} WHERE [Id] == $1", UUIDOID)

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
	"SELECT [OrgId], [AlbumState], pg_catalog.count(*) FROM {Albums} WHERE [WorkflowVersion] == $2 AND NOT [IsDeleted]" condition \
	" GROUP BY 1, 2 ORDER BY 1, 2"
STORE_PLAN(PLAN_REMAP_COUNT, STORE_OWNER, REMAP_COUNT(""), UUIDOID, INT4OID)
STORE_PLAN(PLAN_REMAP_COUNT_IN_ORG, STORE_OWNER, REMAP_COUNT(" AND [OrgId] == $1"), UUIDOID, INT4OID)
STORE_PLAN(PLAN_REMAP_MOVE, STORE_CALLER,
		   "UPDATE {Albums} SET [WorkflowVersion] = $3, [AlbumState] = $5 "
		   "WHERE [OrgId] == $1 AND [WorkflowVersion] == $2 AND [AlbumState] == $4 AND NOT [IsDeleted]",
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

/*
 * --- cascade.c; $1 organization, $2 ids of the parents ---
 *
 * == ANY of an array rather than a join, which on a table that is small when the plan is made flips to a scan of all
 * (bench/README.md).
 */
#define MARKED "[IsDeleted] = true, [DeletedAt] = $3, [DeletedBy] = $4, [DeletionId] = $5"
#define LIVE "[IsDeleted] = false, [DeletedAt] = NULL, [DeletedBy] = NULL, [DeletionId] = NULL"
#define MARK_BELOW \
	"UPDATE {TABLE} SET " MARKED " WHERE [ORG] == $1 AND [PARENT] == ANY ($2) AND NOT [IsDeleted]"
STORE_PLAN(PLAN_MARK_BELOW, STORE_BOOKS | STORE_QUIET | STORE_NEWEST,
		   MARK_BELOW " RETURNING [Id], ctid",
		   UUIDOID, UUIDARRAYOID, TIMESTAMPTZOID, UUIDOID, UUIDOID)
STORE_PLAN(PLAN_MARK_LAST, STORE_BOOKS | STORE_QUIET | STORE_NEWEST,
		   MARK_BELOW,
		   UUIDOID, UUIDARRAYOID, TIMESTAMPTZOID, UUIDOID, UUIDOID)
STORE_PLAN(PLAN_RESTORE_BELOW, STORE_BOOKS | STORE_QUIET | STORE_NEWEST,
		   "UPDATE {TABLE} SET " LIVE " WHERE [ORG] == $1 AND [PARENT] == ANY ($2) AND [DeletionId] == $3 RETURNING [Id]",
		   UUIDOID, UUIDARRAYOID, UUIDOID)

STORE_PLAN(PLAN_LOCK_MARKED, STORE_OWNER,
		   "SELECT FROM {TABLE} WHERE [ORG] == $1 AND [Id] == ANY ($2) ORDER BY [Id] FOR UPDATE",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_LEFT_BELOW, STORE_OWNER,
		   "SELECT FROM {TABLE} WHERE [ORG] == $1 AND [PARENT] == ANY ($2) AND NOT [IsDeleted] LIMIT 1",
		   UUIDOID, UUIDARRAYOID)

/* --- softdelete.c --- */
STORE_PLAN(PLAN_SOFT_FIND, STORE_OWNER | STORE_READ,
		   "SELECT [Id], [ORG], [PARENT] FROM {TABLE} WHERE [Id] == ANY ($1) AND [ORG] == $2",
		   UUIDARRAYOID, UUIDOID)
STORE_PLAN(PLAN_SOFT_FIND_ANYWHERE, STORE_OWNER | STORE_READ,
		   "SELECT [Id], [ORG], [PARENT] FROM {TABLE} WHERE [Id] == ANY ($1)",
		   UUIDARRAYOID)
/* the albums above are locked first, as by fire(), vote() and sync_photos(); $1 organization, $2 ids of tags or of albums */
STORE_PLAN(PLAN_SOFT_ALBUMS_OF_TAGS, STORE_OWNER,
		   "SELECT FROM {Albums} a WHERE a.[OrgId] == $1 AND a.[Id] == ANY (SELECT t.[AlbumId] FROM {AlbumTags} t"
		   " WHERE t.[OrgId] == $1 AND t.[Id] == ANY ($2)) ORDER BY a.[Id] FOR NO KEY UPDATE OF a",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_SOFT_ALBUMS, STORE_OWNER,
		   "SELECT FROM {Albums} a WHERE a.[OrgId] == $1 AND a.[Id] == ANY ($2) ORDER BY a.[Id] FOR NO KEY UPDATE OF a",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_SOFT_LOCK, STORE_OWNER,
		   "SELECT FROM {TABLE} WHERE [ORG] == $1 AND [Id] == ANY ($2) AND NOT [IsDeleted] ORDER BY [Id] FOR UPDATE",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_SOFT_MARK, STORE_CALLER,
		   "UPDATE {TABLE} SET [IsDeleted] = true WHERE [ORG] == $1 AND [Id] == ANY ($2)",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_REASON_ADD, STORE_BOOKS,
		   "INSERT INTO {DeletionReasons} ([OrgId], [DeletionId], [Reason]) VALUES ($1, $2, $3)",
		   UUIDOID, UUIDOID, TEXTOID)
STORE_PLAN(PLAN_REASON_FORGET, STORE_BOOKS,
		   "DELETE FROM {DeletionReasons} WHERE [OrgId] == $1 AND [DeletionId] == $2",
		   UUIDOID, UUIDOID)

/* --- deletions.c; $1 organization: a row for each deletion that still has rows in the table --- */
#define DELETIONS(blocked, above) \
	"SELECT d.[DeletionId], pg_catalog.count(*), pg_catalog.min(d.[DeletedAt])," \
	" pg_catalog.max(d.[DeletedBy]::pg_catalog.text)::pg_catalog.uuid, " blocked \
	" FROM {TABLE} d " above "WHERE d.[ORG] == $1 AND d.[DeletionId] IS NOT NULL GROUP BY 1"
STORE_PLAN(PLAN_DELETIONS, STORE_OWNER | STORE_READ, DELETIONS("false", ""), UUIDOID)
STORE_PLAN(PLAN_DELETIONS_BELOW, STORE_OWNER | STORE_READ,
		   DELETIONS("pg_catalog.bool_or(COALESCE(p.[IsDeleted] AND (p.[DeletionId] IS NULL OR NOT (p.[DeletionId] == d.[DeletionId])), true))",
					 "LEFT JOIN {ABOVE} p ON p.[ABOVEORG] == d.[ORG] AND p.[Id] == d.[PARENT] "),
		   UUIDOID)
STORE_PLAN(PLAN_REASONS, STORE_OWNER | STORE_READ,
		   "SELECT [DeletionId], [Reason] FROM {DeletionReasons} WHERE [OrgId] == $1",
		   UUIDOID)
STORE_PLAN(PLAN_PURGES_BEGUN, STORE_OWNER | STORE_READ,
		   "SELECT pg_catalog.unnest([Unfinished]) FROM {PurgeReceipts} WHERE [OrgId] == $1",
		   UUIDOID)

/* --- restore.c, conflict.c; $1 organization, $2 deletion --- */
STORE_PLAN(PLAN_RESTORE_COUNT, STORE_OWNER | STORE_NEWEST,
		   "SELECT pg_catalog.count(*) FROM {TABLE} WHERE [ORG] == $1 AND [DeletionId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_RESTORE_ALL, STORE_BOOKS | STORE_QUIET | STORE_NEWEST,
		   "UPDATE {TABLE} SET " LIVE " WHERE [ORG] == $1 AND [DeletionId] == $2",
		   UUIDOID, UUIDOID)
/* those whose row is purged may have records and log entries left */
#define PURGED_ORGANIZATIONS \
	"SELECT [OrgId] FROM {PurgeReceipts} WHERE [TableName]::pg_catalog.text OPERATOR(pg_catalog.=) 'Organizations'"
STORE_PLAN(PLAN_ORGANIZATIONS, STORE_OWNER | STORE_READ,
		   "SELECT [Id] FROM {Organizations} UNION " PURGED_ORGANIZATIONS " ORDER BY 1",
		   InvalidOid)
/* parents that this deletion did not take stay as they are until we are through */
STORE_PLAN(PLAN_PARENTS_LOCK, STORE_OWNER,
		   "SELECT FROM {ABOVE} p WHERE p.[ABOVEORG] == $1 AND p.[Id] == ANY (SELECT c.[PARENT] FROM {TABLE} c"
		   " WHERE c.[ORG] == $1 AND c.[DeletionId] == $2) AND (p.[DeletionId] IS NULL OR NOT (p.[DeletionId] == $2))"
		   " FOR KEY SHARE OF p",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_PARENT_LOCK, STORE_OWNER,
		   "SELECT FROM {ABOVE} p WHERE p.[ABOVEORG] == $1 AND p.[Id] == (SELECT c.[PARENT] FROM {TABLE} c"
		   " WHERE c.[ORG] == $1 AND c.[Id] == $2) FOR KEY SHARE OF p",
		   UUIDOID, UUIDOID)
#define PARENT_CONFLICTS(rows, exempt) \
	"SELECT c.[Id], p.[Id], p.[DeletionId], pg_catalog.count(*) OVER () FROM {TABLE} c LEFT JOIN {ABOVE} p" \
	" ON p.[ABOVEORG] == c.[ORG] AND p.[Id] == c.[PARENT] WHERE c.[ORG] == $1 AND " rows \
	" AND (p.[Id] IS NULL OR p.[IsDeleted]" exempt ") ORDER BY c.[Id] LIMIT 10"
STORE_PLAN(PLAN_PARENT_CONFLICTS, STORE_OWNER | STORE_NEWEST,
		   PARENT_CONFLICTS("c.[DeletionId] == $2", " AND (p.[DeletionId] IS NULL OR NOT (p.[DeletionId] == $2))"),
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_PARENT_CONFLICT, STORE_OWNER | STORE_NEWEST,
		   PARENT_CONFLICTS("c.[Id] == $2", ""),
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_PURGE_BEGUN, STORE_OWNER | STORE_NEWEST,
		   "SELECT FROM {PurgeReceipts} WHERE [OrgId] == $1 AND $2 == ANY ([Unfinished]) LIMIT 1",
		   UUIDOID, UUIDOID)

/*
 * --- purge.c, purgebatch.c, retention.c ---
 *
 * Deletions are taken in their order, which is that of their ids; $2 is the last one that is done. One who only looks at
 * the first rows behind it, and goes on from there, never walks over what he has taken away himself.
 */
#define AFTER_DONE "[DeletionId] OPERATOR(pg_catalog.>) $2 AND [DeletionId] OPERATOR(pg_catalog.<) $3"
#define WINDOW_OF(table, org) \
	"(SELECT [DeletionId] FROM {" table "} WHERE [" org "] == $1 AND " AFTER_DONE " ORDER BY [DeletionId] LIMIT $4)"
STORE_PLAN(PLAN_PURGE_WINDOW, STORE_OWNER | STORE_READ,
		   "SELECT [DeletionId] FROM (" WINDOW_OF("Organizations", "Id") " UNION ALL " WINDOW_OF("Users", "OrgId") " UNION ALL "
		   WINDOW_OF("PublicUrls", "OrgId") " UNION ALL " WINDOW_OF("Albums", "OrgId") " UNION ALL "
		   WINDOW_OF("AlbumTags", "OrgId") " UNION ALL " WINDOW_OF("PhotoProcs", "OrgId") " UNION ALL "
		   WINDOW_OF("PhotoComments", "OrgId") " UNION ALL " WINDOW_OF("PhotoLikes", "OrgId") " UNION ALL "
		   WINDOW_OF("FailureRecords", "OrgId") " UNION ALL " WINDOW_OF("AuditLogs", "OrgId") ") w ORDER BY 1 LIMIT $4",
		   UUIDOID, UUIDOID, UUIDOID, INT8OID)
/* $1 organization, $2, $3 deletion and id of the last row taken, $4 last deletion, $5 how many */
STORE_PLAN(PLAN_PURGE_TAKE, STORE_OWNER,
		   "SELECT t.[Id], t.[DeletionId] FROM {TABLE} t WHERE t.[ORG] == $1 AND ROW(t.[DeletionId], t.[Id])"
		   " OPERATOR(pg_catalog.>) ROW($2, $3) AND t.[DeletionId] OPERATOR(pg_catalog.<=) $4 AND t.[IsDeleted]"
		   " ORDER BY t.[DeletionId], t.[Id] LIMIT $5 FOR UPDATE OF t",
		   UUIDOID, UUIDOID, UUIDOID, UUIDOID, INT8OID)
/* what still hangs on rows that are to be taken: in a table of their children, and the stages of a public link */
STORE_PLAN(PLAN_PURGE_HANGING, STORE_OWNER,
		   "SELECT DISTINCT [PARENT] FROM {TABLE} WHERE [ORG] == $1 AND [PARENT] == ANY ($2)",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_PURGE_HANGING_ON_URL, STORE_OWNER,
		   "SELECT DISTINCT [PublicUrlId] FROM {AlbumTags} WHERE [OrgId] == $1 AND [PublicUrlId] == ANY ($2)",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_PURGE_ROWS, STORE_BOOKS | STORE_QUIET,
		   "DELETE FROM {TABLE} WHERE [ORG] == $1 AND [Id] == ANY ($2) AND [IsDeleted] AND [DeletionId] IS NOT NULL",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_PURGE_HISTORY, STORE_BOOKS,
		   "DELETE FROM {AlbumTransitions} WHERE [OrgId] == $1 AND [AlbumId] == ANY ($2) RETURNING [Id]",
		   UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_PURGE_ATTEMPTS, STORE_BOOKS,
		   "DELETE FROM {FailureAttempts} WHERE [OrgId] == $1 AND [FailureId] == ANY ($2) RETURNING [FailureId]",
		   UUIDOID, UUIDARRAYOID)
/* $2, $3 from which deletion behind to which, $4 but those of which rows are left */
STORE_PLAN(PLAN_PURGE_REASONS, STORE_BOOKS,
		   "DELETE FROM {DeletionReasons} WHERE [OrgId] == $1 AND [DeletionId] OPERATOR(pg_catalog.>) $2"
		   " AND [DeletionId] OPERATOR(pg_catalog.<=) $3 AND NOT ([DeletionId] == ANY ($4))",
		   UUIDOID, UUIDOID, UUIDOID, UUIDARRAYOID)
/* $1 organization, $2 run, $3 table, $4 rows, $5, $6 first and last id, $7 older than, $8, $9 by whom */
STORE_PLAN(PLAN_RECEIPT_ADD, STORE_BOOKS,
		   "INSERT INTO {PurgeReceipts} AS r ([OrgId], [RunId], [TableName], [RowCount], [FirstId], [LastId], [OlderThan],"
		   " [PurgedBy], [UserId]) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
		   " ON CONFLICT ([OrgId], [RunId], [TableName]) DO UPDATE SET"
		   " [RowCount] = r.[RowCount] OPERATOR(pg_catalog.+) EXCLUDED.[RowCount], [Batches] = r.[Batches] OPERATOR(pg_catalog.+) 1,"
		   " [FirstId] = LEAST(r.[FirstId], EXCLUDED.[FirstId]), [LastId] = GREATEST(r.[LastId], EXCLUDED.[LastId])",
		   UUIDOID, UUIDOID, TEXTOID, INT8OID, UUIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, UUIDOID)
/* $3 deletions of which a part is left, in all receipts of the run; or, $3 of which nothing is left any more */
STORE_PLAN(PLAN_RECEIPTS_UNFINISHED, STORE_BOOKS,
		   "UPDATE {PurgeReceipts} SET [Unfinished] = [Unfinished] OPERATOR(pg_catalog.||) $3"
		   " WHERE [OrgId] == $1 AND [RunId] == $2 AND NOT ([Unfinished] OPERATOR(pg_catalog.@>) $3)",
		   UUIDOID, UUIDOID, UUIDARRAYOID)
STORE_PLAN(PLAN_RECEIPTS_FINISHED, STORE_BOOKS,
		   "UPDATE {PurgeReceipts} SET [Unfinished] = pg_catalog.array_remove([Unfinished], $3)"
		   " WHERE [OrgId] == $1 AND [RunId] == $2",
		   UUIDOID, UUIDOID, UUIDOID)
STORE_PLAN(PLAN_RECEIPTS_CLOSE, STORE_BOOKS,
		   "UPDATE {PurgeReceipts} SET [State] = 'done', [FinishedAt] = pg_catalog.clock_timestamp()"
		   " WHERE [OrgId] == $1 AND [RunId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_RECEIPTS_ABANDON, STORE_BOOKS,
		   "UPDATE {PurgeReceipts} SET [State] = 'interrupted', [FinishedAt] = pg_catalog.clock_timestamp()"
		   " WHERE [OrgId] == $1 AND [State]::pg_catalog.text OPERATOR(pg_catalog.=) 'running'",
		   UUIDOID)
STORE_PLAN(PLAN_RECEIPTS, STORE_OWNER | STORE_READ,
		   "SELECT [RunId], [OrgId], [TableName]::pg_catalog.text, [RowCount], [FirstId], [LastId], [OlderThan], [State]::pg_catalog.text, [Batches],"
		   " [StartedAt], [FinishedAt], [PurgedBy]::pg_catalog.text, [UserId] FROM {PurgeReceipts} WHERE $1 IS NULL OR [OrgId] == $1"
		   " ORDER BY [StartedAt], [OrgId], [TableName]",
		   UUIDOID)
STORE_PLAN(PLAN_ORGANIZATION_THERE, STORE_OWNER | STORE_READ,
		   "SELECT FROM {Organizations} WHERE [Id] == $1 UNION ALL SELECT FROM (" PURGED_ORGANIZATIONS ") p WHERE p.[OrgId] == $1",
		   UUIDOID)
STORE_PLAN(PLAN_RULE_READ, STORE_OWNER,
		   "SELECT [KeepFor], [LegalHold], [HoldReason]::pg_catalog.text FROM {RetentionRules} WHERE [OrgId] == $1 FOR SHARE",
		   UUIDOID)
STORE_PLAN(PLAN_RULES, STORE_OWNER | STORE_READ,
		   "SELECT [OrgId], [KeepFor], [LegalHold], [HoldReason]::pg_catalog.text, [ModifiedAt] FROM {RetentionRules}"
		   " WHERE $1 IS NULL OR [OrgId] == $1 ORDER BY [OrgId]",
		   UUIDOID)
STORE_PLAN(PLAN_RULE_KEEP, STORE_BOOKS,
		   "INSERT INTO {RetentionRules} ([OrgId], [KeepFor]) VALUES ($1, $2)"
		   " ON CONFLICT ([OrgId]) DO UPDATE SET [KeepFor] = EXCLUDED.[KeepFor], [ModifiedAt] = EXCLUDED.[ModifiedAt]",
		   UUIDOID, INTERVALOID)
STORE_PLAN(PLAN_RULE_HOLD, STORE_BOOKS,
		   "INSERT INTO {RetentionRules} ([OrgId], [LegalHold], [HoldReason]) VALUES ($1, $2, $3)"
		   " ON CONFLICT ([OrgId]) DO UPDATE SET [LegalHold] = EXCLUDED.[LegalHold], [HoldReason] = EXCLUDED.[HoldReason],"
		   " [ModifiedAt] = EXCLUDED.[ModifiedAt]",
		   UUIDOID, BOOLOID, TEXTOID)

/* --- adopt.c; $1 after which id, $2 how many, $3 organization or NULL: rows that were marked before there were deletions --- */
#define UNADOPTED(time) \
	"SELECT [Id], [ORG], " time " FROM {TABLE} WHERE [IsDeleted] AND [DeletionId] IS NULL" \
	" AND [Id] OPERATOR(pg_catalog.>) $1 AND ($3 IS NULL OR [ORG] == $3) ORDER BY [Id] LIMIT $2"
STORE_PLAN(PLAN_UNADOPTED, STORE_OWNER, UNADOPTED("[ModifiedAt]"), UUIDOID, INT8OID, UUIDOID)
STORE_PLAN(PLAN_UNADOPTED_LOG, STORE_OWNER, UNADOPTED("[CreatedAt]"), UUIDOID, INT8OID, UUIDOID)
STORE_PLAN(PLAN_UNADOPTED_COUNT, STORE_OWNER | STORE_READ,
		   "SELECT pg_catalog.count(*) FROM {TABLE} WHERE [IsDeleted] AND [DeletionId] IS NULL"
		   " AND ($1 IS NULL OR [ORG] == $1)",
		   UUIDOID)
STORE_PLAN(PLAN_ADOPT, STORE_BOOKS | STORE_QUIET,
		   "UPDATE {TABLE} SET [DeletedAt] = $3, [DeletionId] = $4 WHERE [ORG] == $1 AND [Id] == ANY ($2) AND [IsDeleted]"
		   " AND [DeletionId] IS NULL RETURNING [Id], ctid",
		   UUIDOID, UUIDARRAYOID, TIMESTAMPTZOID, UUIDOID)

/*
 * --- failurewrite.c, failurecount.c: where a trigger, a constraint or a rule of a user's has to hear of it ---
 *
 * $1 organization, $2 record, then what writtenColumns names.
 */
STORE_PLAN(PLAN_FAILURE_WRITE, STORE_BOOKS | STORE_QUIET,
		   "UPDATE {FailureRecords} SET [Status] = $3, [NextRetryAt] = $4, [LeaseUntil] = $5, [ClaimToken] = $6, [ClaimedBy] = $7,"
		   " [RetryCount] = $8, [LastRetryAt] = $9, [FinishedAt] = $10, [ErrorMessage] = $11, [Fingerprint] = $12,"
		   " [FirstError] = $13, [Severity] = $14, [Payload] = $15, [Occurrences] = $16, [LastFailedAt] = $17, [ModifiedAt] = $18"
		   " WHERE [OrgId] == $1 AND [Id] == $2",
		   UUIDOID, UUIDOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		   TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID)
STORE_PLAN(PLAN_FAILURE_ATTEMPT_ADD, STORE_BOOKS,
		   "INSERT INTO {FailureAttempts} ([OrgId], [FailureId], [Attempt], [Worker], [StartedAt], [FinishedAt], [Outcome],"
		   " [ErrorMessage]) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		   UUIDOID, UUIDOID, INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID)
STORE_PLAN(PLAN_FAILURE_ATTEMPTS_GONE, STORE_BOOKS,
		   "DELETE FROM {FailureAttempts} WHERE [OrgId] == $1 AND [FailureId] == $2",
		   UUIDOID, UUIDOID)
STORE_PLAN(PLAN_FAILURE_COUNT_ADD, STORE_BOOKS,
		   "INSERT INTO {FailureCounts} ([OrgId], [Severity], [FromStatus], [ToStatus], [Records]) VALUES ($1, $2, $3, $4, $5)",
		   UUIDOID, INT4OID, INT4OID, INT4OID, INT8OID)
STORE_PLAN(PLAN_FAILURE_COUNT_ALL, STORE_OWNER | STORE_READ,
		   "SELECT [OrgId], [Severity], [Status], pg_catalog.count(*) FROM {FailureRecords} WHERE NOT [IsDeleted] GROUP BY 1, 2, 3",
		   InvalidOid)

/* --- failurepolicy.c --- */
STORE_PLAN(PLAN_FAILURE_POLICIES, STORE_OWNER | STORE_READ,
		   "SELECT [EntityType], [Base], [Cap], [MaxRetries], [Lease] FROM {FailurePolicies} ORDER BY [EntityType]",
		   InvalidOid)
STORE_PLAN(PLAN_FAILURE_POLICY_SET, STORE_BOOKS,
		   "INSERT INTO {FailurePolicies} ([EntityType], [Base], [Cap], [MaxRetries], [Lease]) VALUES ($1, $2, $3, $4, $5)"
		   " ON CONFLICT ([EntityType]) DO UPDATE SET [Base] = EXCLUDED.[Base], [Cap] = EXCLUDED.[Cap],"
		   " [MaxRetries] = EXCLUDED.[MaxRetries], [Lease] = EXCLUDED.[Lease], [ModifiedAt] = EXCLUDED.[ModifiedAt]",
		   TEXTOID, INTERVALOID, INTERVALOID, INT4OID, INTERVALOID)
STORE_PLAN(PLAN_FAILURE_POLICY_END, STORE_BOOKS,
		   "DELETE FROM {FailurePolicies} WHERE [EntityType] == $1",
		   TEXTOID)

/* --- failurerecord.c; $1 organization, $2 entity type, $3 entity, $4, $5 states --- */
STORE_PLAN(PLAN_FAILURE_OPEN, STORE_OWNER | STORE_NEWEST,
		   "SELECT [Id] FROM {FailureRecords} WHERE [OrgId] == $1 AND [EntityType]::pg_catalog.text == $2 AND [EntityId] == $3"
		   " AND ([FromState]::pg_catalog.text == $4 OR ([FromState] IS NULL AND $4 IS NULL))"
		   " AND ([ToState]::pg_catalog.text == $5 OR ([ToState] IS NULL AND $5 IS NULL))"
		   " AND [NextRetryAt] IS NOT NULL AND NOT [IsDeleted] ORDER BY [Id] LIMIT 1",
		   UUIDOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID)
STORE_PLAN(PLAN_FAILURE_ADD, STORE_BOOKS,
		   "INSERT INTO {FailureRecords} ([OrgId], [Id], [EntityType], [EntityId], [FromState], [ToState], [ErrorMessage],"
		   " [Severity], [MaxRetries], [Payload]) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		   UUIDOID, UUIDOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, JSONBOID)
STORE_PLAN(PLAN_FAILURE_ALBUM_ORG, STORE_OWNER | STORE_READ,
		   "SELECT [OrgId] FROM {Albums} WHERE [Id] == $1",
		   UUIDOID)

/* --- failureadmin.c; $1 organization, $2 fingerprint --- */
STORE_PLAN(PLAN_FAILURES_LIKE, STORE_OWNER,
		   "SELECT [Id] FROM {FailureRecords} WHERE [OrgId] == $1 AND [Fingerprint] == $2 AND NOT [IsDeleted] AND NOT ([Status] == 2)",
		   UUIDOID, TEXTOID)
STORE_PLAN(PLAN_FAILURES_LIKE_ANYWHERE, STORE_OWNER,
		   "SELECT [Id] FROM {FailureRecords} WHERE [Fingerprint] == $1 AND NOT [IsDeleted] AND NOT ([Status] == 2)",
		   TEXTOID)

/* --- failurereport.c --- */
STORE_PLAN(PLAN_FAILURE_STATS, STORE_OWNER | STORE_READ,
		   "SELECT c.o, c.status, c.severity, pg_catalog.sum(c.records)::pg_catalog.int8 FROM"
		   " (SELECT [OrgId], [ToStatus], [Severity], [Records] FROM {FailureCounts}"
		   "  WHERE [ToStatus] IS NOT NULL AND ($1 IS NULL OR [OrgId] == $1)"
		   " UNION ALL SELECT [OrgId], [FromStatus], [Severity], OPERATOR(pg_catalog.-) [Records] FROM {FailureCounts}"
		   "  WHERE [FromStatus] IS NOT NULL AND ($1 IS NULL OR [OrgId] == $1)) c (o, status, severity, records)"
		   " GROUP BY 1, 2, 3 HAVING NOT (pg_catalog.sum(c.records) OPERATOR(pg_catalog.=) 0) ORDER BY 1, 2, 3",
		   UUIDOID)
#define GROUP_COLUMNS(where) \
	"pg_catalog.count(*), pg_catalog.min(r.[CreatedAt]), pg_catalog.max(r.[LastFailedAt])," \
	" pg_catalog.min(CASE WHEN r.[Status] == 1 THEN r.[LeaseUntil] ELSE r.[NextRetryAt] END)" \
	" FROM {FailureRecords} r WHERE " where " AND r.[LastFailedAt] OPERATOR(pg_catalog.>=) "
/* $1 organization, $2 since when: from fingerprint to fingerprint along the index */
STORE_PLAN(PLAN_FAILURE_GROUPS, STORE_OWNER | STORE_READ,
		   "WITH RECURSIVE f (f) AS ((SELECT [Fingerprint] FROM {FailureRecords} WHERE [OrgId] == $1 AND [Fingerprint] IS NOT NULL"
		   " ORDER BY [Fingerprint] LIMIT 1) UNION ALL SELECT (SELECT r.[Fingerprint] FROM {FailureRecords} r WHERE r.[OrgId] == $1"
		   " AND r.[Fingerprint] OPERATOR(pg_catalog.>) f.f ORDER BY r.[Fingerprint] LIMIT 1) FROM f WHERE f.f IS NOT NULL)"
		   " SELECT f.f, (SELECT r.[ErrorMessage] FROM {FailureRecords} r WHERE r.[OrgId] == $1 AND r.[Fingerprint] == f.f"
		   " AND NOT r.[IsDeleted] ORDER BY r.[LastFailedAt] DESC LIMIT 1), g.* FROM f CROSS JOIN LATERAL (SELECT "
		   GROUP_COLUMNS("r.[OrgId] == $1 AND r.[Fingerprint] == f.f AND NOT r.[IsDeleted]") "$2) g (n, first, last, next)"
		   " WHERE g.n OPERATOR(pg_catalog.>) 0 ORDER BY g.n DESC, f.f",
		   UUIDOID, TIMESTAMPTZOID)
STORE_PLAN(PLAN_FAILURE_GROUPS_ANYWHERE, STORE_OWNER | STORE_READ,
		   "SELECT g.f, (SELECT r.[ErrorMessage] FROM {FailureRecords} r WHERE r.[OrgId]::pg_catalog.text == g.o"
		   " AND r.[Fingerprint] == g.f AND NOT r.[IsDeleted] ORDER BY r.[LastFailedAt] DESC LIMIT 1), g.n, g.first, g.last, g.next"
		   " FROM (SELECT r.[Fingerprint], pg_catalog.max(r.[OrgId]::pg_catalog.text), "
		   GROUP_COLUMNS("r.[Fingerprint] IS NOT NULL AND NOT r.[IsDeleted]") "$1 GROUP BY r.[Fingerprint]) g (f, o, n, first, last, next)"
		   " ORDER BY g.n DESC, g.f",
		   TIMESTAMPTZOID)
STORE_PLAN(PLAN_FAILURE_ORG, STORE_OWNER | STORE_READ,
		   "SELECT [OrgId] FROM {FailureRecords} WHERE [Id] == $1 AND ($2 IS NULL OR [OrgId] == $2)",
		   UUIDOID, UUIDOID)
/* $1 record, $2 organization; what runs, or has succeeded, is in the record itself */
STORE_PLAN(PLAN_FAILURE_ATTEMPTS, STORE_OWNER | STORE_READ,
		   "SELECT [Attempt], [Worker], [StartedAt], [FinishedAt], [Outcome], [ErrorMessage] FROM {FailureAttempts}"
		   " WHERE [OrgId] == $2 AND [FailureId] == $1 UNION ALL SELECT r.[ClaimToken], r.[ClaimedBy], r.[LastRetryAt],"
		   " CASE WHEN r.[Status] == 2 THEN r.[FinishedAt] END, CASE WHEN r.[Status] == 2 THEN 'resolved' ELSE 'running' END, NULL"
		   " FROM {FailureRecords} r WHERE r.[OrgId] == $2 AND r.[Id] == $1 AND r.[ClaimToken] OPERATOR(pg_catalog.>) 0"
		   " AND (r.[Status] == 1 OR r.[Status] == 2) AND NOT EXISTS (SELECT FROM {FailureAttempts} x WHERE x.[OrgId] == $2"
		   " AND x.[FailureId] == $1 AND x.[Attempt] == r.[ClaimToken]) ORDER BY 1",
		   UUIDOID, UUIDOID)
#define UNQUEUED "[NextRetryAt] IS NULL AND ([Status] == 0 OR [Status] == 1) AND NOT [IsDeleted]"
STORE_PLAN(PLAN_FAILURES_UNQUEUED, STORE_OWNER,
		   "SELECT [Id] FROM {FailureRecords} WHERE [OrgId] == $1 AND " UNQUEUED " ORDER BY [Id] LIMIT $2",
		   UUIDOID, INT8OID)
STORE_PLAN(PLAN_FAILURES_UNQUEUED_ORGS, STORE_OWNER | STORE_READ,
		   "SELECT DISTINCT [OrgId] FROM {FailureRecords} WHERE " UNQUEUED,
		   InvalidOid)
STORE_PLAN(PLAN_FAILURES_UNQUEUED_COUNT, STORE_OWNER | STORE_READ,
		   "SELECT pg_catalog.count(*) FROM {FailureRecords} WHERE " UNQUEUED,
		   InvalidOid)

/* --- auditwrite.c --- */
STORE_PLAN(PLAN_AUDIT_ADD, STORE_BOOKS,
		   "INSERT INTO {AuditLogs} ([Id], [OrgId], [CreatedAt], [ServiceName], [Action], [EntityType], [EntityId], [UserId], [ExecutionTimeMs],"
		   " [Status], [ErrorMessage], [RequestData], [ResponseData], [RequestId], [CorrelationId], [Operation], [IpAddress], [UserAgent],"
		   " [AdditionalData], [StartedAt], [CompletedAt], [Changes], [Role], [DbUser], [TransactionId])"
		   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
		   UUIDOID, UUIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT8OID, TEXTOID, TEXTOID, JSONBOID, JSONBOID,
		   TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID, JSONBOID, TEXTOID, TEXTOID, INT8OID)

/*
 * --- auditreport.c ---
 *
 * Each twice: of one organization, and of all. $1 since when; what follows is the report's own, and last the organization.
 */
#define AUDIT_SINCE(org) " FROM {AuditLogs} a WHERE a.[CreatedAt] OPERATOR(pg_catalog.>=) $1 AND NOT a.[IsDeleted]" org
#define AUDIT_TIMELINE(org) \
	"SELECT a.[CreatedAt], a.[Action]::pg_catalog.text, a.[UserId]::pg_catalog.text, a.[Role]::pg_catalog.text, a.[Changes]," \
	" a.[ServiceName]::pg_catalog.text, a.[Status]::pg_catalog.text, a.[ExecutionTimeMs], a.[ErrorMessage], a.[RequestId]::pg_catalog.text," \
	" a.[CorrelationId]::pg_catalog.text, a.[TransactionId], a.[Id]" AUDIT_SINCE(" AND a.[EntityType]::pg_catalog.text == $2" \
	" AND a.[EntityId]::pg_catalog.text == $3" org) " ORDER BY a.[CreatedAt], a.[Id]"
#define AUDIT_PERCENTILE(part) "pg_catalog.percentile_disc(" part ") WITHIN GROUP (ORDER BY a.[ExecutionTimeMs])"
#define AUDIT_SLOW(org) \
	"SELECT a.[ServiceName]::pg_catalog.text, a.[Action]::pg_catalog.text, pg_catalog.count(*)," \
	" pg_catalog.round(pg_catalog.sum(a.[ExecutionTimeMs]) OPERATOR(pg_catalog.*) 1.0000 OPERATOR(pg_catalog./) pg_catalog.count(*), 1), " AUDIT_PERCENTILE("0.5") ", " AUDIT_PERCENTILE("0.95") ", " \
	AUDIT_PERCENTILE("0.99") ", pg_catalog.max(a.[ExecutionTimeMs])," \
	" pg_catalog.count(*) FILTER (WHERE a.[ExecutionTimeMs] OPERATOR(pg_catalog.>=) $2)" \
	AUDIT_SINCE(" AND a.[ExecutionTimeMs] IS NOT NULL" org) " GROUP BY 1, 2" \
	" HAVING pg_catalog.max(a.[ExecutionTimeMs]) OPERATOR(pg_catalog.>=) $2 ORDER BY 9 DESC, 8 DESC, 1, 2 LIMIT $3"
#define AUDIT_FAILED(org) \
	"WITH c (service, action, failed, message, at, id) AS MATERIALIZED (SELECT a.[ServiceName]::pg_catalog.text, a.[Action]::pg_catalog.text," \
	" a.[Status]::pg_catalog.text == 'Failed', CASE WHEN a.[Status]::pg_catalog.text == 'Failed' THEN a.[ErrorMessage] END, a.[CreatedAt], a.[Id]" \
	AUDIT_SINCE(" AND a.[Changes] IS NULL AND a.[TransactionId] IS NULL" org) ")," \
	" l AS (SELECT DISTINCT ON (service, action) service, action, message, at FROM c WHERE failed ORDER BY service, action, at DESC, id DESC)," \
	" g (service, action, failures, calls) AS (SELECT service, action, pg_catalog.count(*) FILTER (WHERE failed), pg_catalog.count(*) FROM c" \
	" GROUP BY service, action)" \
	" SELECT g.service, g.action, g.failures, g.calls, pg_catalog.round(g.failures::pg_catalog.numeric OPERATOR(pg_catalog./) g.calls, 4)," \
	" l.message, l.at FROM g JOIN l ON (g.service == l.service OR (g.service IS NULL AND l.service IS NULL)) AND (g.action == l.action OR (g.action IS NULL AND l.action IS NULL))" \
	" ORDER BY g.failures DESC, l.at DESC, g.service, g.action LIMIT $2"
#define AUDIT_LATENCY(org) \
	"SELECT CASE WHEN a.[ExecutionTimeMs] OPERATOR(pg_catalog.<=) 0 THEN 0 ELSE pg_catalog.length(pg_catalog.ltrim(" \
	"a.[ExecutionTimeMs]::pg_catalog.bit(64)::pg_catalog.text, '0')) END, pg_catalog.count(*)" \
	AUDIT_SINCE(" AND a.[ExecutionTimeMs] IS NOT NULL AND ($2 IS NULL OR a.[ServiceName]::pg_catalog.text == $2)" \
	" AND ($3 IS NULL OR a.[Action]::pg_catalog.text == $3)" org) " GROUP BY 1 ORDER BY 1"
STORE_PLAN(PLAN_AUDIT_TIMELINE, STORE_OWNER | STORE_READ, AUDIT_TIMELINE(" AND a.[OrgId] == $4"),
		   TIMESTAMPTZOID, TEXTOID, TEXTOID, UUIDOID)
STORE_PLAN(PLAN_AUDIT_TIMELINE_ANYWHERE, STORE_OWNER | STORE_READ, AUDIT_TIMELINE(""), TIMESTAMPTZOID, TEXTOID, TEXTOID)
STORE_PLAN(PLAN_AUDIT_SLOW, STORE_OWNER | STORE_READ, AUDIT_SLOW(" AND a.[OrgId] == $4"), TIMESTAMPTZOID, INT8OID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_AUDIT_SLOW_ANYWHERE, STORE_OWNER | STORE_READ, AUDIT_SLOW(""), TIMESTAMPTZOID, INT8OID, INT4OID)
STORE_PLAN(PLAN_AUDIT_FAILED, STORE_OWNER | STORE_READ, AUDIT_FAILED(" AND a.[OrgId] == $3"), TIMESTAMPTZOID, INT4OID, UUIDOID)
STORE_PLAN(PLAN_AUDIT_FAILED_ANYWHERE, STORE_OWNER | STORE_READ, AUDIT_FAILED(""), TIMESTAMPTZOID, INT4OID)
STORE_PLAN(PLAN_AUDIT_LATENCY, STORE_OWNER | STORE_READ, AUDIT_LATENCY(" AND a.[OrgId] == $4"), TIMESTAMPTZOID, TEXTOID, TEXTOID, UUIDOID)
STORE_PLAN(PLAN_AUDIT_LATENCY_ANYWHERE, STORE_OWNER | STORE_READ, AUDIT_LATENCY(""), TIMESTAMPTZOID, TEXTOID, TEXTOID)
