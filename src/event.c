/*
 * event.c: sends the platform's real-time events with the commit.
 *
 * photoflow.events = notify: channel "photoflow", delivered by PostgreSQL after COMMIT and dropped by ROLLBACK.
 * photoflow.events = wal: a transactional logical message with prefix "photoflow", for logical decoding, where
 * NOTIFY's queue and its lock at commit do not scale.
 */
#include "photoflow.h"

#include "commands/async.h"
#include "miscadmin.h"

#define EVENT_CHANNEL "photoflow"

/* async.c refuses payloads of this length and more; its constant is private */
#define EVENT_NOTIFY_LIMIT (BLCKSZ - NAMEDATALEN - 128)

typedef enum EventMode
{
	EVENTS_OFF,
	EVENTS_NOTIFY,
	EVENTS_WAL
} EventMode;

static int	events = EVENTS_NOTIFY;

static const struct config_enum_entry eventModes[] = {
	{"off", EVENTS_OFF, false},
	{"notify", EVENTS_NOTIFY, false},
	{"wal", EVENTS_WAL, false},
	{NULL, 0, false}
};

void
EventDefineSettings(void)
{
	/* changed to wal by who consumes events through logical decoding, to off for bulk maintenance */
	DefineCustomEnumVariable("photoflow.events", "How events leave the database: off, notify or wal.", NULL, &events,
							 EVENTS_NOTIFY, eventModes, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* Say whether it is worth building an event. */
bool
EventsWanted(void)
{
	return events != EVENTS_OFF;
}

/* Send an event when this transaction commits; reduced replaces a payload that NOTIFY would refuse. */
void
EventSend(const char *json, const char *reduced)
{
	if (events == EVENTS_WAL)
		LogTransactionalMessage(EVENT_CHANNEL, json, strlen(json));
	else if (events == EVENTS_NOTIFY)
		Async_Notify(EVENT_CHANNEL, strlen(json) < EVENT_NOTIFY_LIMIT ? json : reduced);
}
