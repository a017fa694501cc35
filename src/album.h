/*
 * album.h: what the machine needs to know of a row of "Albums".
 */
#ifndef PHOTOFLOW_ALBUM_H
#define PHOTOFLOW_ALBUM_H

#include "postgres.h"

#include "commands/trigger.h"
#include "utils/uuid.h"

typedef struct Album
{
	pg_uuid_t	id;				/* first: albums are searched by it */
	pg_uuid_t	org;
	int			state;			/* as stored */
	int			version;
	bool		isDeleted;
} Album;

extern void AlbumInitialize(void);
extern void AlbumFromSlot(Relation relation, TupleTableSlot *slot, Album *album);
extern bool AlbumStateIsNull(Relation relation, TupleTableSlot *slot);
extern bool AlbumVersionIsNull(Relation relation, TupleTableSlot *slot);
extern int	AlbumIdColumn(Relation relation);
extern int	AlbumStateColumn(Relation relation);
extern int	AlbumVersionColumn(Relation relation);

extern bool AlbumRead(const pg_uuid_t *id, bool lock, Album *album);
extern bool AlbumFetch(const pg_uuid_t *id, const pg_uuid_t *org, bool lock, Album *album, bool *found);
extern Album *AlbumsLock(const pg_uuid_t *ids, int count, int *found);

#endif
