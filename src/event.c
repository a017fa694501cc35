/*
 * event.c: sends the platform's real-time events with the commit.
 *
 * photoflow.events = notify: a channel, delivered by PostgreSQL after COMMIT and dropped by ROLLBACK. Whoever knows a
 * channel's name may listen to it, and an event tells of any organization's album: so the name ends in a secret of the
 * database's, which event_channel() tells those who may know it.
 * photoflow.events = wal: a transactional logical message with prefix "photoflow", for logical decoding, where
 * NOTIFY's queue and its lock at commit do not scale.
 */
#include "photoflow.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "secret.h"

/* the prefix of logical messages, and of the channel; alone, the channel of tables that are older than secrets */
#define EVENT_CHANNEL "photoflow"

/* of the secret, in the channel's name */
#define CHANNEL_BYTES 16

/* async.c refuses payloads of this length and more; its constant is private */
#define EVENT_NOTIFY_LIMIT (BLCKSZ - NAMEDATALEN - 128)

typedef enum EventMode
{
	EVENTS_OFF,
	EVENTS_NOTIFY,
	EVENTS_WAL
} EventMode;

static int	events = EVENTS_NOTIFY;
static char *channelText;

static bool CheckChannel(char **value, void **extra, GucSource source);
static const char *EventChannel(void);
static void Notify(const char *payload);

static const struct config_enum_entry eventModes[] = {
	{"off", EVENTS_OFF, false},
	{"notify", EVENTS_NOTIFY, false},
	{"wal", EVENTS_WAL, false},
	{NULL, 0, false}
};

static bool
CheckChannel(char **value, void **extra, GucSource source)
{
	if (*value == NULL || strlen(*value) < NAMEDATALEN)
		return true;
	GUC_check_errdetail("The name of a channel has at most %d bytes.", NAMEDATALEN - 1);
	return false;
}

void
EventDefineSettings(void)
{
	/* changed to wal by who consumes events through logical decoding, to off for bulk maintenance */
	DefineCustomEnumVariable("photoflow.events", "How events leave the database: off, notify or wal.", NULL, &events,
							 EVENTS_NOTIFY, eventModes, PGC_USERSET, 0, NULL, NULL, NULL);
	/* set where every login may hear of every organization's albums: then listeners need not ask for the name */
	DefineCustomStringVariable("photoflow.event_channel", "The channel of events; empty for one with a secret name.", NULL,
							   &channelText, "", PGC_SUSET, 0, CheckChannel, NULL, NULL);
}

/* Return the channel; good until the setting or a secret changes. */
static const char *
EventChannel(void)
{
	static char name[NAMEDATALEN];
	const Secret *secret;

	if (channelText && *channelText)
		return channelText;
	secret = SecretFind(SECRET_EVENT_CHANNEL);
	if (secret == NULL || secret->length < CHANNEL_BYTES)
		return EVENT_CHANNEL;
	strcpy(name, EVENT_CHANNEL "_");
	name[sizeof(EVENT_CHANNEL) + hex_encode((const char *) secret->bytes, CHANNEL_BYTES, name + sizeof(EVENT_CHANNEL))] = '\0';
	return name;
}

PHOTOFLOW_FUNCTION(photoflow_event_channel)
{
	PG_RETURN_TEXT_P(cstring_to_text(EventChannel()));
}

/* Say whether it is worth building an event. */
bool
EventsWanted(void)
{
	return events != EVENTS_OFF;
}

/* Trace_notify, which anybody may turn on, would tell the client the name of the channel. */
static void
Notify(const char *payload)
{
	bool		trace = Trace_notify;

	Trace_notify = false;
	PG_TRY();
	{
		Async_Notify(EventChannel(), payload);
	}
	PG_FINALLY();
	{
		Trace_notify = trace;
	}
	PG_END_TRY();
}

/* Tell who waits for work that there is some; PostgreSQL sends the same only once a transaction. No secret: nothing is told. */
void
EventWake(const char *channel)
{
	if (events == EVENTS_WAL)
		LogTransactionalMessage(channel, "", 0);
	else if (events == EVENTS_NOTIFY)
		Async_Notify(channel, "");
}

/* Send an event when this transaction commits; reduced replaces a payload that NOTIFY would refuse. */
void
EventSend(const char *json, const char *reduced)
{
	if (events == EVENTS_WAL)
		LogTransactionalMessage(EVENT_CHANNEL, json, strlen(json));
	else if (events == EVENTS_NOTIFY)
		Notify(strlen(json) < EVENT_NOTIFY_LIMIT ? json : reduced);
}
