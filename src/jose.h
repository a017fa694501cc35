/*
 * jose.h: the parts of a signed token: base64url, the members of a JSON object, the signature.
 */
#ifndef PHOTOFLOW_JOSE_H
#define PHOTOFLOW_JOSE_H

#include "postgres.h"

#include "common/jsonapi.h"
#include "common/sha2.h"
#include "nodes/pg_list.h"

/* One member of the outermost object; all strings are copies in the memory context of the caller. */
typedef struct JoseMember
{
	char	   *name;
	JsonTokenType type;			/* of a scalar; of an array or object, what it begins with */
	char	   *text;			/* of a scalar, escapes resolved */
	List	   *strings;		/* of an array: its elements that are strings */
	bool		onlyStrings;	/* of an array: it has no other elements */
} JoseMember;

extern bool JoseDecode(const char *text, int length, uint8 **bytes, int *nbytes);
extern List *JoseMembers(const uint8 *json, int length);
extern const JoseMember *JoseFind(const List *members, const char *name);
extern void JoseSign(const uint8 *key, int keyLength, const char *text, int length, uint8 signature[PG_SHA256_DIGEST_LENGTH]);
extern bool JoseSignatureEquals(const uint8 *a, const uint8 *b);

#endif
