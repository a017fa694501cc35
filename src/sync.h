/*
 * sync.h: one call of sync_photos(): what is listed, and how it differs from what is stored.
 */
#ifndef PHOTOFLOW_SYNC_H
#define PHOTOFLOW_SYNC_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "listing.h"
#include "photo.h"

typedef enum FileFate
{
	FILE_NEW,
	FILE_CHANGED,
	FILE_UNCHANGED
} FileFate;

/* What a call would have to write; everything lives until StoreEnd(). */
typedef struct SyncDiff
{
	FileFate   *fates;			/* of each file of the listing */
	pg_uuid_t  *rows;			/* "Id" of each file that is stored already */
	int			stored;			/* how many files of the listing are */
	int			added;
	int			changed;
	pg_uuid_t  *gone;			/* live photos that the whole listing did not name; only at its end */
	int			ngone;
	TextSlice  *unseen;			/* photos that no earlier page of the open run named */
	int			nunseen;
	int			pages;			/* of the open run */
	TimestampTz openSince;		/* when its first page came; 0 without pages */
	int			processed;		/* photos named so far in this run */
} SyncDiff;

typedef struct SyncCall
{
	PhotoTag	tag;
	Listing    *listing;
	int			totalCount;		/* -1: not given */
	bool		isLast;
	TimestampTz now;			/* of the transaction, as column defaults have it */
} SyncCall;

extern void SyncCompare(const SyncCall *call, SyncDiff *diff);
extern void SyncSendEvents(const SyncCall *call, const SyncDiff *diff);

#endif
