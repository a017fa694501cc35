/*
 * auditsecret.c: keeps passwords and tokens out of the audit log.
 *
 * Words:
 * - A secret name is one whose value nobody should read again: of a column, of a key in JSON, or in a text in front of = or :.
 * - To mask is to write "***" for the value; that there was one, and that it changed, stays to be seen.
 */
#include "photoflow.h"

#include "utils/builtins.h"

#include "auditlog.h"

/* names are compared in lower case, without _ and -; a longer one by its end */
#define NAME_MOST 64

static const char *const endings[] = {"password", "passwd", "pwd", "secret", "token", "apikey", "privatekey", "passphrase"};
static const char *const names[] = {"passwordhash", "authorization", "cookie", "setcookie", "connectionstring", "credentials"};

/* of these the rest of the line is the value */
static const char *const headers[] = {"authorization", "cookie", "setcookie"};

static int	NormaliseName(const char *name, int length, char *out);
static bool IsNamed(const char *name, const char *const *list, int count);
static bool NeedsMask(JsonbContainer *container, bool strings);
static void MaskString(JsonbValue *value);
static bool IsWord(char c);
static int	TokenLength(const char *text, const char *end);
static int	SchemeLength(const char *text, const char *end);
static const char *ValueEnd(const char *text, const char *end, const char *name, int nameLength);
static const char *ValueStart(const char *text, const char *end);

static int
NormaliseName(const char *name, int length, char *out)
{
	int			count = 0;

	if (length > NAME_MOST)
	{
		name += length - NAME_MOST;
		length = NAME_MOST;
	}
	for (int i = 0; i < length; i++)
		if (name[i] != '_' && name[i] != '-')
			out[count++] = pg_ascii_tolower((unsigned char) name[i]);
	out[count] = '\0';
	return count;
}

static bool
IsNamed(const char *name, const char *const *list, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(name, list[i]) == 0)
			return true;
	return false;
}

bool
IsSecretName(const char *name, int length)
{
	char		normal[NAME_MOST + 1];
	int			count = NormaliseName(name, length, normal);

	for (size_t i = 0; i < lengthof(endings); i++)
	{
		int			ending = (int) strlen(endings[i]);

		if (count >= ending && strcmp(normal + count - ending, endings[i]) == 0)
			return true;
	}
	return IsNamed(normal, names, lengthof(names));
}

/* Say whether there is something to mask, which there is seldom. */
static bool
NeedsMask(JsonbContainer *container, bool strings)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		needs = false;

	while (!needs && (token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			needs = IsSecretName(value.val.string.val, value.val.string.len);
		else if (strings && (token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString)
		{
			int			masked;

			(void) MaskText(value.val.string.val, value.val.string.len, &masked);
			needs = masked > 0;
		}
	}
	return needs;
}

static void
MaskString(JsonbValue *value)
{
	int			masked;
	char	   *text = MaskText(value->val.string.val, value->val.string.len, &masked);

	if (masked > 0)
	{
		value->val.string.val = text;
		value->val.string.len = (int) strlen(text);
	}
}

/* Return JSON with secrets masked, NULL where there are none; strings: also what stands in strings. */
JsonbValue *
MaskJson(JsonbContainer *container, bool strings)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbParseState *state = NULL;
	JsonbValue	value;
	JsonbValue *result = NULL;
	bool		secret = false;

	if (!NeedsMask(container, strings))
		return NULL;
	iterator = JsonbIteratorInit(container);
	while ((token = JsonbIteratorNext(&iterator, &value, secret)) != WJB_DONE)
	{
		bool		isValue = token == WJB_VALUE || token == WJB_ELEM;
		bool		carries = isValue || token == WJB_KEY || (token == WJB_BEGIN_ARRAY && value.val.array.rawScalar);

		if (secret && value.type != jbvNull)
		{
			value.type = jbvString;
			value.val.string.val = pstrdup(AUDIT_MASK);
			value.val.string.len = (int) strlen(AUDIT_MASK);
		}
		else if (strings && isValue && value.type == jbvString)
			MaskString(&value);
		secret = token == WJB_KEY && IsSecretName(value.val.string.val, value.val.string.len);
		result = pushJsonbValue(&state, token, carries ? &value : NULL);
	}
	return result;
}

/* The same of a jsonb, which is returned itself where there is nothing to mask. */
Datum
MaskJsonDatum(Datum json)
{
	Jsonb	   *given = DatumGetJsonbP(json);
	JsonbValue *masked = MaskJson(&given->root, true);

	return JsonbPGetDatum(masked ? JsonbValueToJsonb(masked) : given);
}

static bool
IsWord(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Return the length of a JSON web token that begins here: three words, parted by dots, the first of an object in base64; or 0. */
static int
TokenLength(const char *text, const char *end)
{
	const char *at = text;

	if (end - text < 2 || text[0] != 'e' || text[1] != 'y')
		return 0;
	for (int part = 0; part < 3; part++)
	{
		const char *start = at;

		while (at < end && IsWord(*at))
			at++;
		if (at == start || (part < 2 && (at == end || *at++ != '.')))
			return 0;
	}
	return (int) (at - text);
}

/* Return the length of "Bearer " or "Basic " in front of a value; or 0. */
static int
SchemeLength(const char *text, const char *end)
{
	static const char *const schemes[] = {"bearer", "basic"};

	for (size_t i = 0; i < lengthof(schemes); i++)
	{
		int			length = (int) strlen(schemes[i]);
		const char *at = text + length;

		if (end - text <= length || pg_strncasecmp(text, schemes[i], length) != 0)
			continue;
		while (at < end && *at == ' ')
			at++;
		if (at > text + length && at < end && !strchr("\r\n\t,;", *at))
			return (int) (at - text);
	}
	return 0;
}

/* Return where the value begins that a name gives to itself by = or :, also in quotes; NULL where it does not. */
static const char *
ValueStart(const char *text, const char *end)
{
	while (text < end && (*text == '"' || *text == '\'' || *text == ' '))
		text++;
	if (text == end || (*text != '=' && *text != ':'))
		return NULL;
	do
		text++;
	while (text < end && (*text == ' ' || *text == '"' || *text == '\''));
	return text < end && !strchr("\r\n", *text) ? text : NULL;
}

/* Return where a value ends: a header's with its line. */
static const char *
ValueEnd(const char *text, const char *end, const char *name, int nameLength)
{
	char		normal[NAME_MOST + 1];
	const char *stops = " \t\r\n,;&\"')}]";

	(void) NormaliseName(name, nameLength, normal);
	if (IsNamed(normal, headers, lengthof(headers)))
		stops = "\r\n\"'";
	else
		text += SchemeLength(text, end);
	while (text < end && !strchr(stops, *text))
		text++;
	return text;
}

/* Return a text with its secrets masked; masked: how many there were. */
char *
MaskText(const char *text, int length, int *masked)
{
	const char *end = text + length;
	StringInfoData out;

	*masked = 0;
	initStringInfo(&out);
	for (const char *at = text; at < end;)
	{
		const char *word = at;
		const char *value = NULL;
		const char *after = NULL;

		while (at < end && IsWord(*at))
			at++;
		if (at == word)
		{
			appendStringInfoChar(&out, *at++);
			continue;
		}
		if (TokenLength(word, end) > 0)
		{
			value = word;
			after = word + TokenLength(word, end);
		}
		else if (SchemeLength(word, end) > 0)
		{
			value = word + SchemeLength(word, end);
			for (after = value; after < end && !strchr(" \t\r\n,;\"'", *after);)
				after++;
		}
		else if (IsSecretName(word, (int) (at - word)) && (value = ValueStart(at, end)) != NULL)
			after = ValueEnd(value, end, word, (int) (at - word));
		if (after && after > value)
		{
			appendBinaryStringInfo(&out, word, (int) (value - word));
			appendStringInfoString(&out, AUDIT_MASK);
			at = after;
			(*masked)++;
		}
		else
			appendBinaryStringInfo(&out, word, (int) (at - word));
	}
	return out.data;
}
