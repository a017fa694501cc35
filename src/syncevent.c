/*
 * syncevent.c: tells how far a sync has come.
 */
#include "sync.h"

#include <math.h>

#include "photoflow.h"
#include "workflow.h"

static const char *TagTypeName(const PhotoTag *tag);
static char *BuildEvent(const SyncCall *call, const SyncDiff *diff, const char *type, const char *tagType);
static int64 EstimateSeconds(const SyncCall *call, const SyncDiff *diff, TimestampTz now);

/* Send photo_sync_progress, and at the end of a listing photo_sync_completed. */
void
SyncSendEvents(const SyncCall *call, const SyncDiff *diff)
{
	static const char *const types[] = {"photo_sync_progress", "photo_sync_completed"};
	const char *tagType;

	if (!EventsWanted())
		return;
	tagType = TagTypeName(&call->tag);
	for (int i = 0; i < (call->isLast ? 2 : 1); i++)
		EventSend(BuildEvent(call, diff, types[i], tagType), BuildEvent(call, diff, types[i], NULL));
}

/* Return what the album's workflow calls the tag, or its number. */
static const char *
TagTypeName(const PhotoTag *tag)
{
	const char *name = MachineTagName(WorkflowMachine(tag->workflow), tag->type);

	return name ? name : psprintf("%d", tag->type);
}

/* Build an event; without tagType, whose length a definition decides, it always fits into a notification. */
static char *
BuildEvent(const SyncCall *call, const SyncDiff *diff, const char *type, const char *tagType)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		completed = strcmp(type, "photo_sync_completed") == 0;
	int64		seconds = completed ? 0 : EstimateSeconds(call, diff, now);
	JsonText	json;

	JsonBegin(&json);
	JsonAddUuid(&json, "albumId", &call->tag.album);
	JsonAddUuid(&json, "albumTagId", &call->tag.id);
	JsonAddInt(&json, "processedCount", diff->processed);
	JsonAddInt(&json, "totalCount", call->totalCount < 0 ? diff->processed : call->totalCount);
	if (tagType)
		JsonAddText(&json, "albumTagType", tagType);
	if (completed)
		JsonAddText(&json, "message", psprintf("%d photos synced", diff->processed));
	else if (seconds > 0)
		JsonAddInt(&json, "estimatedSecondsRemaining", seconds);
	JsonAddTime(&json, "timestamp", now);
	JsonAddText(&json, "type", type);
	return JsonEnd(&json);
}

/* Return how long the rest will take at the pace so far, rounded up; 0 when that is not known or nothing remains. */
static int64
EstimateSeconds(const SyncCall *call, const SyncDiff *diff, TimestampTz now)
{
	int64		remaining = (int64) call->totalCount - diff->processed;
	double		elapsed;

	if (diff->openSince == 0 || diff->openSince >= now || remaining <= 0 || diff->processed == 0 || call->isLast)
		return 0;
	elapsed = (double) (now - diff->openSince) / USECS_PER_SEC;
	return (int64) ceil(elapsed * remaining / diff->processed);
}
