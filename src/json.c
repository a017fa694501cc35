/*
 * json.c: writes one flat JSON object, key by key, for DETAIL and for events.
 *
 * The text lives in the memory context that was current at JsonBegin().
 */
#include "photoflow.h"

#include "miscadmin.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/json.h"

static void AddKey(JsonText *json, const char *key);

void
JsonBegin(JsonText *json)
{
	initStringInfo(&json->text);
	appendStringInfoChar(&json->text, '{');
	json->empty = true;
}

static void
AddKey(JsonText *json, const char *key)
{
	appendStringInfo(&json->text, "%s\"%s\": ", json->empty ? "" : ", ", key);
	json->empty = false;
}

/* Add a string, or null. */
void
JsonAddText(JsonText *json, const char *key, const char *value)
{
	AddKey(json, key);
	if (value)
		escape_json(&json->text, value);
	else
		appendStringInfoString(&json->text, "null");
}

void
JsonAddUuid(JsonText *json, const char *key, const pg_uuid_t *value)
{
	JsonAddText(json, key, value ? UuidText(value) : NULL);
}

void
JsonAddInt(JsonText *json, const char *key, int64 value)
{
	AddKey(json, key);
	appendStringInfo(&json->text, INT64_FORMAT, value);
}

/* Add what is JSON already: an array, an object, true. */
void
JsonAddRaw(JsonText *json, const char *key, const char *value)
{
	AddKey(json, key);
	appendStringInfoString(&json->text, value);
}

/* Add a time as ISO 8601 in UTC. */
void
JsonAddTime(JsonText *json, const char *key, TimestampTz value)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[MAXDATELEN + 2];

	if (timestamp2tm(value, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	EncodeDateTime(&tm, fsec, false, 0, NULL, USE_XSD_DATES, text);
	strcat(text, "Z");
	JsonAddText(json, key, text);
}

char *
JsonEnd(JsonText *json)
{
	appendStringInfoChar(&json->text, '}');
	return json->text.data;
}

/* Make a JSON array of strings. */
char *
JsonTextArray(const char *const *values, int count)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoChar(&text, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoString(&text, ", ");
		escape_json(&text, values[i]);
	}
	appendStringInfoChar(&text, ']');
	return text.data;
}
