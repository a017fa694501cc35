/*
 * fingerprint.c: which errors are the same error.
 *
 * An error message is normalised: what differs from one time to the next becomes a sign. Quoted names '', paths and
 * addresses <path>, ids and numbers #; letters small, spacing single. Its fingerprint is a hash of that.
 */
#include "photoflow.h"

#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "common/cryptohash.h"
#include "utils/builtins.h"

#include "failure.h"

/* so much of a message is looked at: the rest is mostly a stack */
#define MESSAGE_BYTES 2000
/* a run of hexadecimal digits and dashes of this length, with a digit in it, is an id */
#define ID_LENGTH 8
#define QUOTED_LONGEST 200
#define FINGERPRINT_BYTES 8

static bool IsWordByte(unsigned char c);
static int	WordLength(const char *text, int length);
static int	QuotedLength(const char *text, int length, bool inWord);
static void AppendWord(StringInfo out, const char *word, int length);
static int	IdLength(const char *text, int length);

static bool
IsWordByte(unsigned char c)
{
	return IS_HIGHBIT_SET(c) || isalnum(c) || strchr("_/\\-.:?&=%~@+", c) != NULL;
}

static int
WordLength(const char *text, int length)
{
	int			n = 0;

	while (n < length && text[n] != '\0' && IsWordByte((unsigned char) text[n]))
		n++;
	return n;
}

/* Return the length of what is quoted here, with its quotes; 0 where nothing is, as in the middle of a word. */
static int
QuotedLength(const char *text, int length, bool inWord)
{
	if (inWord)
		return 0;
	if (text[0] != '\'' && text[0] != '"' && text[0] != '`')
		return 0;
	for (int n = 1; n < Min(length, QUOTED_LONGEST) && text[n] != '\n'; n++)
		if (text[n] == text[0])
			return n + 1;
	return 0;
}

/* Return the length of an id, or of a number, that begins here; 0 where none does. */
static int
IdLength(const char *text, int length)
{
	int			n = 0;
	int			digits = 0;

	if (length > 2 && text[0] == '0' && pg_ascii_tolower((unsigned char) text[1]) == 'x' && isxdigit((unsigned char) text[2]))
	{
		for (n = 2; n < length && isxdigit((unsigned char) text[n]);)
			n++;
		return n;
	}
	for (; n < length && (isxdigit((unsigned char) text[n]) || text[n] == '-'); n++)
		digits += isdigit((unsigned char) text[n]) != 0;
	if (n >= ID_LENGTH && digits > 0)
		return n;
	for (n = 0; n < length && isdigit((unsigned char) text[n]);)
		n++;
	return n;
}

static void
AppendWord(StringInfo out, const char *word, int length)
{
	if (length > 1 && (memchr(word, '/', length) || memchr(word, '\\', length)))
	{
		appendStringInfoString(out, "<path>");
		/* a full stop or a colon behind it is not part of it */
		if (strchr(".:?", word[length - 1]))
			appendStringInfoChar(out, word[length - 1]);
		return;
	}
	for (int i = 0; i < length;)
	{
		int			id = IdLength(word + i, length - i);

		if (id == 0)
			appendStringInfoChar(out, (char) pg_ascii_tolower((unsigned char) word[i++]));
		else
		{
			/* 1.5, 12:30 and 10-20 are one number */
			if (out->len < 2 || out->data[out->len - 2] != '#' || strchr(".:-", out->data[out->len - 1]) == NULL)
				appendStringInfoChar(out, '#');
			else
				out->data[--out->len] = '\0';
			i += id;
		}
	}
}

char *
ErrorNormalise(const char *message, int length)
{
	StringInfoData out;
	int			end = pg_mbcliplen(message, length, MESSAGE_BYTES);

	initStringInfo(&out);
	for (int i = 0; i < end;)
	{
		int			word = WordLength(message + i, end - i);
		int			quoted = word > 0 ? 0 : QuotedLength(message + i, end - i, i > 0 && isalpha((unsigned char) message[i - 1]));

		if (word > 0)
			AppendWord(&out, message + i, word);
		else if (quoted > 0)
			appendStringInfoString(&out, "''");
		else if (!isspace((unsigned char) message[i]))
			appendStringInfoChar(&out, message[i]);
		else if (out.len > 0 && out.data[out.len - 1] != ' ')
			appendStringInfoChar(&out, ' ');
		i += Max(Max(word, quoted), 1);
	}
	while (out.len > 0 && out.data[out.len - 1] == ' ')
		out.data[--out.len] = '\0';
	return out.data;
}

/* Return the fingerprint of a message, as text. */
Datum
ErrorFingerprint(Datum message)
{
	/* of a long message that lies outside of its row only the beginning is fetched */
	text	   *start = DatumGetTextPSlice(message, 0, MESSAGE_BYTES);
	char	   *normal = ErrorNormalise(VARDATA_ANY(start), VARSIZE_ANY_EXHDR(start));
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char		digits[FINGERPRINT_BYTES * 2 + 1];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (pg_cryptohash_init(hash) < 0 || pg_cryptohash_update(hash, (const uint8 *) normal, strlen(normal)) < 0 ||
		pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not hash an error message: %s", pg_cryptohash_error(hash));
	pg_cryptohash_free(hash);
	digits[hex_encode((const char *) digest, FINGERPRINT_BYTES, digits)] = '\0';
	return CStringGetTextDatum(digits);
}

PHOTOFLOW_FUNCTION(photoflow_normalise_error)
{
	text	   *message = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(ErrorNormalise(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message))));
}

PHOTOFLOW_FUNCTION(photoflow_error_fingerprint)
{
	PG_RETURN_DATUM(ErrorFingerprint(PG_GETARG_DATUM(0)));
}
