/*
 * photo.h: what the photo functions share: the tag they work in, and their refusals.
 */
#ifndef PHOTOFLOW_PHOTO_H
#define PHOTOFLOW_PHOTO_H

#include "postgres.h"

#include "compat.h"

#include "fmgr.h"
#include "utils/uuid.h"

/* one live tag of a live album */
typedef struct PhotoTag
{
	pg_uuid_t	id;
	pg_uuid_t	org;
	pg_uuid_t	album;
	int			type;
	int			status;
	int			workflow;		/* version of the album's */
} PhotoTag;

extern void PhotoTagFind(PhotoTag *tag, const pg_uuid_t *id);
extern void PhotoTagLock(PhotoTag *tag);
pg_noreturn extern void RefuseMissingRows(const char *entity, const char *noun, const pg_uuid_t *ids, int count);
pg_noreturn extern void RefuseDeletedRows(const char *entity, const char *noun, const pg_uuid_t *ids, int count);

#endif
