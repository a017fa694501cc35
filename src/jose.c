/*
 * jose.c: the parts of a signed token: base64url, the members of a JSON object, the signature.
 *
 * The cryptography, the alphabet and the JSON are PostgreSQL's own. What is stricter here than there: base64url has
 * one spelling for any bytes, and no name comes twice in an object, so that no two readers of a token can differ.
 *
 * Nothing is raised for what a token may contain; the caller says in one voice that it is not valid.
 */
#include "jose.h"

#include "common/base64.h"
#include "common/hmac.h"
#include "mb/pg_wchar.h"

#include "compat.h"

/* while an object is read; depth 1 is inside the outermost one */
typedef struct MemberReader
{
	List	   *members;
	JoseMember *current;
	int			depth;
	bool		refused;
} MemberReader;

static JsonActionResult BeginObject(void *state);
static JsonActionResult BeginArray(void *state);
static JsonActionResult EndStructure(void *state);
static JsonActionResult BeginField(void *state, char *name, bool isNull);
static JsonActionResult ReadScalar(void *state, char *token, JsonTokenType type);
static void Enter(MemberReader *reader, JsonTokenType type);
static bool IsAscii(const char *json);

/* Decode base64url without padding; false where the text is not the one spelling of some bytes. */
bool
JoseDecode(const char *text, int length, uint8 **bytes, int *nbytes)
{
	int			padded = (length + 3) / 4 * 4;
	char	   *plain = palloc(padded + 1);
	int			room = pg_b64_dec_len(padded) + 1;
	char	   *again;

	if (length % 4 == 1)
		return false;
	for (int i = 0; i < length; i++)
	{
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return false;
		plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	memset(plain + length, '=', padded - length);
	*bytes = palloc(room);
	*nbytes = DecodeBase64(plain, padded, *bytes, room);
	if (*nbytes < 0)
		return false;
	again = palloc(pg_b64_enc_len(*nbytes) + 1);
	return EncodeBase64(*bytes, *nbytes, again, pg_b64_enc_len(*nbytes) + 1) == padded &&
		memcmp(again, plain, padded) == 0;
}

static void
Enter(MemberReader *reader, JsonTokenType type)
{
	if (reader->depth == 0 && type != JSON_TOKEN_OBJECT_START)
		reader->refused = true;
	if (reader->depth == 1 && reader->current)
		reader->current->type = type;
	if (reader->depth > 1 && reader->current)
		reader->current->onlyStrings = false;
	reader->depth++;
}

static JsonActionResult
BeginObject(void *state)
{
	Enter(state, JSON_TOKEN_OBJECT_START);
	JSON_ACTION_DONE;
}

static JsonActionResult
BeginArray(void *state)
{
	Enter(state, JSON_TOKEN_ARRAY_START);
	JSON_ACTION_DONE;
}

static JsonActionResult
EndStructure(void *state)
{
	((MemberReader *) state)->depth--;
	JSON_ACTION_DONE;
}

static JsonActionResult
BeginField(void *state, char *name, bool isNull)
{
	MemberReader *reader = state;

	if (reader->depth == 1)
	{
		if (JoseFind(reader->members, name))
			reader->refused = true;
		reader->current = palloc0(sizeof(JoseMember));
		reader->current->name = pstrdup(name);
		reader->current->type = JSON_TOKEN_INVALID;
		reader->current->onlyStrings = true;
		reader->members = lappend(reader->members, reader->current);
	}
	JSON_ACTION_DONE;
}

static JsonActionResult
ReadScalar(void *state, char *token, JsonTokenType type)
{
	MemberReader *reader = state;
	JoseMember *member = reader->current;

	if (member == NULL)
		reader->refused = true;		/* not in an object: a lone value, or an element of an array */
	else if (reader->depth == 1)
	{
		member->type = type;
		member->text = pstrdup(token);
	}
	else if (reader->depth == 2 && member->type == JSON_TOKEN_ARRAY_START && type == JSON_TOKEN_STRING)
		member->strings = lappend(member->strings, pstrdup(token));
	else
		member->onlyStrings = false;
	JSON_ACTION_DONE;
}

/* Say whether a JSON text has ASCII characters only, escaped ones too: the parser raises an error where it cannot convert. */
static bool
IsAscii(const char *json)
{
	for (const char *c = json; *c; c++)
	{
		if (IS_HIGHBIT_SET(*c))
			return false;
		if (c[0] == '\\' && c[1] == 'u' && (strncmp(c + 2, "00", 2) != 0 || c[4] > '7'))
			return false;
		if (c[0] == '\\' && c[1] != '\0')
			c++;
	}
	return true;
}

/* Return the members of the object that a JSON text is; NIL where it is not one, or names a member twice, or none. */
List *
JoseMembers(const uint8 *json, int length)
{
	MemberReader reader = {0};
	JsonSemAction actions = {.semstate = &reader, .object_start = BeginObject, .object_end = EndStructure,
		.array_start = BeginArray, .array_end = EndStructure, .object_field_start = BeginField, .scalar = ReadScalar};
	char	   *text = pnstrdup((const char *) json, length);

	/* tokens are UTF-8; in a database of another encoding only what both have in common is taken */
	if (memchr(json, '\0', length) != NULL || !pg_verify_mbstr(PG_UTF8, text, length, true))
		return NIL;
	if (GetDatabaseEncoding() != PG_UTF8 && !IsAscii(text))
		return NIL;
	if (pg_parse_json(MakeJsonLexContext(text, length, GetDatabaseEncoding()), &actions) != JSON_SUCCESS || reader.refused)
		return NIL;
	return reader.members;
}

const JoseMember *
JoseFind(const List *members, const char *name)
{
	ListCell   *cell;

	foreach(cell, members)
		if (strcmp(((JoseMember *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	return NULL;
}

/* HMAC with SHA-256 of a text. */
void
JoseSign(const uint8 *key, int keyLength, const char *text, int length, uint8 signature[PG_SHA256_DIGEST_LENGTH])
{
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);

	if (context == NULL || pg_hmac_init(context, key, keyLength) < 0 ||
		pg_hmac_update(context, (const uint8 *) text, length) < 0 ||
		pg_hmac_final(context, signature, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute an HMAC: %s", context ? pg_hmac_error(context) : "out of memory");
	pg_hmac_free(context);
}

/* Compare in a time that says nothing of where they differ. */
bool
JoseSignatureEquals(const uint8 *a, const uint8 *b)
{
	volatile uint8 difference = 0;

	for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}
