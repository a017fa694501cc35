/*
 * token.c: authenticate(), which sets the context from a signed token.
 *
 * Words:
 * - A token is a JSON Web Token (RFC 7519) in its compact form, signed with HS256: HEADER.CLAIMS.SIGNATURE.
 * - A key id, "kid", names the key a token was signed with. A key without one is tried on every token, a key that
 *   has one on tokens that name it or name none.
 *
 * Order: the form, the algorithm (HS256 and no other, whatever the header says), the signature, and only then the
 * claims: nothing that a stranger wrote is looked into further than that. A refusal says why, but repeats nothing of
 * the token.
 */
#include "photoflow.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "jose.h"
#include "redact.h"
#include "refusalcount.h"
#include "secret.h"
#include "tenant.h"

/* the platform's are some 300 characters long */
#define TOKEN_LONGEST 8192
#define HEADER_LONGEST 1024

/* the last second of the year 9999; what is later is no time in seconds */
#define SECONDS_MOST 253402300799.0

typedef struct Claims
{
	pg_uuid_t	org;
	pg_uuid_t	user;
	bool		hasUser;
	char	   *roles;			/* separated by commas, NULL for none */
	double		expires;		/* seconds since 1970 */
} Claims;

static int	clockSkew = 30;

pg_noreturn static void RefuseToken(const char *reason, const char *hint);
static void SplitToken(const char *token, int length, int *headerEnd, int *claimsEnd);
static char *CheckHeader(const char *header, int length);
static void CheckSignature(const char *token, int headerEnd, int claimsEnd, int length);
static bool SignedWithAny(const char *token, int claimsEnd, const uint8 *signature, const char *kid, bool *anyKey);
static void ReadClaims(const char *claims, int length, Claims *result);
static void CheckTimes(const List *members, Claims *result);
static bool ReadTime(const List *members, const char *name, double *seconds);
static bool ReadUuid(const List *members, const char *name, pg_uuid_t *result);
static char *ReadRoles(const List *members);
static void AddRole(StringInfo roles, const char *role);
static Datum ClaimsTuple(const Claims *claims);

void
TokenDefineSettings(void)
{
	/* raised where the clocks of the database and of who issues tokens differ by more */
	DefineCustomIntVariable("photoflow.token_clock_skew", "By how much clocks may differ when a token's times are checked.",
							NULL, &clockSkew, 30, 0, 600, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
RefuseToken(const char *reason, const char *hint)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "reason", reason);
	ereport(ERROR,
			(errcode(ERRCODE_PF_INVALID_TOKEN),
			 errmsg("token is not valid: %s", reason),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("%s", hint),
			 RefusalCounted()));
}

#define HINT_FORM "Give the token as it was issued: three parts of base64url, without \"Bearer\" in front of it."
#define HINT_CLAIMS "It must have \"org_id\" (a uuid) and \"exp\"; \"sub\" is a uuid, \"role\" a string or an array of strings."

/* Find the two dots. */
static void
SplitToken(const char *token, int length, int *headerEnd, int *claimsEnd)
{
	const char *first;
	const char *second;

	if (length > TOKEN_LONGEST)
		RefuseToken("malformed", "It is longer than 8192 characters.");
	first = memchr(token, '.', length);
	second = first ? memchr(first + 1, '.', token + length - first - 1) : NULL;
	if (second == NULL || memchr(second + 1, '.', token + length - second - 1) != NULL)
		RefuseToken("malformed", HINT_FORM);
	*headerEnd = (int) (first - token);
	*claimsEnd = (int) (second - token);
}

/* Refuse every header but that of HS256; return its "kid", NULL when it has none. */
static char *
CheckHeader(const char *header, int length)
{
	uint8	   *json;
	int			jsonLength;
	List	   *members = NIL;
	const JoseMember *algorithm;
	const JoseMember *kid;

	if (length <= HEADER_LONGEST && JoseDecode(header, length, &json, &jsonLength))
		members = JoseMembers(json, jsonLength);
	if (members == NIL)
		RefuseToken("malformed", HINT_FORM);
	algorithm = JoseFind(members, "alg");
	if (algorithm == NULL || algorithm->type != JSON_TOKEN_STRING || strcmp(algorithm->text, "HS256") != 0)
		RefuseToken("algorithm", "Tokens are signed with HS256, and their header says so.");
	/* extensions that a reader must understand, and we know none */
	if (JoseFind(members, "crit"))
		RefuseToken("critical header", "Its header names extensions (\"crit\") that photoflow does not know.");
	kid = JoseFind(members, "kid");
	if (kid && kid->type != JSON_TOKEN_STRING)
		RefuseToken("malformed", "Its \"kid\" is not a string.");
	return kid ? kid->text : NULL;
}

/* Say whether one of the keys that may be meant has signed the token; look at all of them in any case. */
static bool
SignedWithAny(const char *token, int claimsEnd, const uint8 *signature, const char *kid, bool *anyKey)
{
	bool		signedWith = false;
	ListCell   *cell;

	*anyKey = false;
	foreach(cell, SecretsGet())
	{
		const Secret *key = lfirst(cell);
		uint8		expected[PG_SHA256_DIGEST_LENGTH];

		if (strcmp(key->kind, SECRET_TOKEN_KEY) != 0 || (kid && key->kid && strcmp(kid, key->kid) != 0))
			continue;
		*anyKey = true;
		JoseSign(key->bytes, key->length, token, claimsEnd, expected);
		if (JoseSignatureEquals(expected, signature))
			signedWith = true;
	}
	return signedWith;
}

static void
CheckSignature(const char *token, int headerEnd, int claimsEnd, int length)
{
	char	   *kid = CheckHeader(token, headerEnd);
	uint8	   *signature;
	int			signatureLength;
	bool		anyKey;

	if (!JoseDecode(token + claimsEnd + 1, length - claimsEnd - 1, &signature, &signatureLength))
		RefuseToken("malformed", HINT_FORM);
	if (signatureLength != PG_SHA256_DIGEST_LENGTH)
		RefuseToken("signature", "It was not signed with HS256.");
	if (SignedWithAny(token, claimsEnd, signature, kid, &anyKey))
		return;
	SecretsRequireTable();
	if (anyKey)
		RefuseToken("signature", "It was signed with another key, or changed after it was signed.");
	RefuseToken("unknown key", "The owner of the tables makes keys known: photoflow.set_token_key(key), or "
				"photoflow.add_token_key(key, kid) for one that tokens name.");
}

/* Read a time in seconds; false when it is not there. */
static bool
ReadTime(const List *members, const char *name, double *seconds)
{
	const JoseMember *member = JoseFind(members, name);

	if (member == NULL)
		return false;
	*seconds = member->type == JSON_TOKEN_NUMBER ? strtod(member->text, NULL) : NAN;
	if (isnan(*seconds) || *seconds < 0 || *seconds > SECONDS_MOST)
		RefuseToken("claims", "Its times are not numbers of seconds since 1970.");
	return true;
}

static bool
ReadUuid(const List *members, const char *name, pg_uuid_t *result)
{
	const JoseMember *member = JoseFind(members, name);

	if (member == NULL || member->type == JSON_TOKEN_NULL)
		return false;
	if (member->type != JSON_TOKEN_STRING || !UuidParse(member->text, result))
		RefuseToken("claims", HINT_CLAIMS);
	return true;
}

/* A name with a comma in it would become two roles, and a space or a control character has no place in one. */
static void
AddRole(StringInfo roles, const char *role)
{
	if (*role == '\0')
		RefuseToken("claims", HINT_CLAIMS);
	for (const char *c = role; *c; c++)
		if (*c == ',' || (unsigned char) *c <= ' ' || *c == 0x7f)
			RefuseToken("claims", "The name of a role has a comma, a space or a control character in it.");
	appendStringInfo(roles, "%s%s", roles->len > 0 ? "," : "", role);
}

/* Return the roles separated by commas, NULL for none. */
static char *
ReadRoles(const List *members)
{
	const JoseMember *member = JoseFind(members, "role");
	StringInfoData roles;
	ListCell   *cell;

	initStringInfo(&roles);
	if (member == NULL || member->type == JSON_TOKEN_NULL)
		return NULL;
	if (member->type == JSON_TOKEN_STRING)
		AddRole(&roles, member->text);
	else if (member->type == JSON_TOKEN_ARRAY_START && member->onlyStrings)
	{
		foreach(cell, member->strings)
			AddRole(&roles, lfirst(cell));
	}
	else
		RefuseToken("claims", HINT_CLAIMS);
	return roles.len > 0 ? roles.data : NULL;
}

static void
CheckTimes(const List *members, Claims *result)
{
	double		now = (double) GetCurrentTimestamp() / USECS_PER_SEC +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY;
	double		notBefore;
	double		issued;

	if (!ReadTime(members, "exp", &result->expires))
		RefuseToken("claims", HINT_CLAIMS);
	if (now >= result->expires + clockSkew)
		RefuseToken("expired", "Get a new token.");
	if (ReadTime(members, "nbf", &notBefore) && now < notBefore - clockSkew)
		RefuseToken("not yet valid", "Compare the clocks; photoflow.token_clock_skew says by how much they may differ.");
	if (ReadTime(members, "iat", &issued) && now < issued - clockSkew)
		RefuseToken("issued in the future",
					"Compare the clocks; photoflow.token_clock_skew says by how much they may differ.");
}

static void
ReadClaims(const char *claims, int length, Claims *result)
{
	uint8	   *json;
	int			jsonLength;
	List	   *members = NIL;

	if (JoseDecode(claims, length, &json, &jsonLength))
		members = JoseMembers(json, jsonLength);
	if (members == NIL)
		RefuseToken("malformed", "Its claims are not one JSON object in which every name comes once.");
	CheckTimes(members, result);
	if (!ReadUuid(members, "org_id", &result->org) || UuidIsNil(&result->org))
		RefuseToken("claims", HINT_CLAIMS);
	result->hasUser = ReadUuid(members, "sub", &result->user);
	result->roles = ReadRoles(members);
}

static Datum
ClaimsTuple(const Claims *claims)
{
	static const RowColumn columns[] = {{"org_id", UUIDOID}, {"user_id", UUIDOID}, {"role", TEXTOID},
	{"expires_at", TIMESTAMPTZOID}};
	static TupleDesc desc = NULL;
	Datum		values[4];
	bool		nulls[4] = {false, !claims->hasUser, claims->roles == NULL, false};

	values[0] = UUIDPGetDatum(&claims->org);
	values[1] = UUIDPGetDatum(&claims->user);
	values[2] = claims->roles ? CStringGetTextDatum(claims->roles) : (Datum) 0;
	values[3] = TimestampTzGetDatum((TimestampTz) ((claims->expires -
													(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY) *
												   USECS_PER_SEC));
	return HeapTupleGetDatum(heap_form_tuple(KeepRowType(&desc, columns, lengthof(columns)), values, nulls));
}

PHOTOFLOW_FUNCTION(photoflow_authenticate)
{
	text	   *given;
	char	   *token;
	int			length;
	int			headerEnd;
	int			claimsEnd;
	Claims		claims = {0};

	RequireArgument(fcinfo, 0, "token", HINT_FORM);
	given = PG_GETARG_TEXT_PP(0);
	token = VARDATA_ANY(given);
	length = VARSIZE_ANY_EXHDR(given);
	HideStatement(text_to_cstring(given));
	SplitToken(token, length, &headerEnd, &claimsEnd);
	CheckSignature(token, headerEnd, claimsEnd, length);
	ReadClaims(token + headerEnd + 1, claimsEnd - headerEnd - 1, &claims);
	ContextSetVerified(&claims.org, claims.hasUser ? &claims.user : NULL, claims.roles);
	PG_RETURN_DATUM(ClaimsTuple(&claims));
}
