/*
 * auditsecret.c: keeps passwords and tokens out of the audit log.
 *
 * Words:
 * - A secret name is one whose value nobody should read again: of a column, of a key in JSON, or in a text in front of = or :.
 * - To mask is to write "***" for the value; that there was one, and that it changed, stays to be seen.
 */
#include "photoflow.h"

#include <ctype.h>

#include "utils/builtins.h"

#include "auditlog.h"

/* names are compared in lower case, letters and digits only; a longer one by its end */
#define NAME_MOST 64

static const char *const endings[] = {"password", "passwd", "pwd", "secret", "token", "apikey", "privatekey", "passphrase", "authorization"};
static const char *const names[] = {"passwordhash", "cookie", "setcookie", "connectionstring", "credentials"};

/* of these the rest of the line is the value */
static const char *const headers[] = {"authorization", "proxyauthorization", "cookie", "setcookie"};

static int	NormaliseName(const char *name, int length, char *out);
static bool IsNamed(const char *name, const char *const *list, int count);
static bool NeedsMask(JsonbContainer *container, bool strings);
static void MaskString(JsonbValue *value);
static bool IsWord(char c);
static const char *FindToken(const char *word, const char *wordEnd, const char *end, const char **tokenEnd);
static bool IsBase64(const char *text, const char *end);
static int	SchemeLength(const char *text, const char *end);
static const char *ValueEnd(const char *text, const char *end, const char *name, int nameLength, char quote);
static const char *ValueStart(const char *text, const char *end, char *quote);

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
		if (isalnum((unsigned char) name[i]))
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

/*
 * Find a JSON web token whose first part is in this word, perhaps behind a dash: three words, parted by dots, the first of an object
 * in base64. Return where it begins, and where it ends; NULL where there is none.
 */
static const char *
FindToken(const char *word, const char *wordEnd, const char *end, const char **tokenEnd)
{
	const char *at = wordEnd;

	for (int part = 0; part < 2; part++)
	{
		const char *start;

		if (at == end || *at != '.')
			return NULL;
		for (start = ++at; at < end && IsWord(*at);)
			at++;
		if (at == start || (part == 0 && (at - start < 2 || start[0] != 'e' || start[1] != 'y')))
			return NULL;
	}
	for (const char *start = word; start + 1 < wordEnd; start++)
		if ((start == word || start[-1] == '-' || start[-1] == '_') && start[0] == 'e' && start[1] == 'y')
		{
			*tokenEnd = at;
			return start;
		}
	return NULL;
}

/* Tell a user and his password in base64 from the word that follows "basic" in a sentence. */
static bool
IsBase64(const char *text, const char *end)
{
	int			length = 0;
	bool		coded = false;

	for (; text < end && (isalnum((unsigned char) *text) || strchr("+/=_-", *text)); text++, length++)
		coded = coded || !islower((unsigned char) *text);
	return coded && length >= 4;
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
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (at > text + length && at < end && !strchr("\r\n,;", *at) && (i == 0 || IsBase64(at, end)))
			return (int) (at - text);
	}
	return 0;
}

/*
 * Return where the value begins that a name gives to itself by = or :, also in quotes, and in quotes of JSON within JSON; NULL where it
 * does not. quote: what it ends with, or '\0'.
 */
static const char *
ValueStart(const char *text, const char *end, char *quote)
{
	while (text < end && strchr("\"'\\ \t[]", *text))
		text++;
	if (text == end || (*text != '=' && *text != ':'))
		return NULL;
	*quote = '\0';
	for (text++; text < end && strchr("\"'\\ \t=:>", *text) && *quote == '\0'; text++)
		if (*text == '"' || *text == '\'')
			*quote = *text;
	return text < end && !strchr("\r\n", *text) ? text : NULL;
}

/* Return where a value ends: in quotes with them, a header's with its line. */
static const char *
ValueEnd(const char *text, const char *end, const char *name, int nameLength, char quote)
{
	char		normal[NAME_MOST + 1];
	const char *stops = " \t\r\n,;&\"'";

	if (quote != '\0')
	{
		while (text < end && *text != quote)
			text += *text == '\\' && text + 1 < end && text[1] != quote ? 2 : 1;
		while (text > name && text[-1] == '\\')
			text--;				/* of JSON within JSON */
		return text;
	}
	(void) NormaliseName(name, nameLength, normal);
	if (IsNamed(normal, headers, lengthof(headers)))
		stops = "\r\n";
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
		char		quote = '\0';

		while (at < end && IsWord(*at))
			at++;
		if (at == word)
		{
			appendStringInfoChar(&out, *at++);
			continue;
		}
		value = FindToken(word, at, end, &after);
		if (value == NULL && SchemeLength(word, end) > 0)
		{
			value = word + SchemeLength(word, end);
			for (after = value; after < end && !strchr(" \t\r\n,;\"'", *after);)
				after++;
		}
		else if (value == NULL && IsSecretName(word, (int) (at - word)) && (value = ValueStart(at, end, &quote)) != NULL)
			after = ValueEnd(value, end, word, (int) (at - word), quote);
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
