/*
 * member.c: reads members of a JSON object, noting what is not as it should be.
 *
 * Strings are copied into the current memory context.
 */
#include "member.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Add a sentence to a list of problems. */
void
ProblemAdd(List **problems, const char *format, ...)
{
	StringInfoData text;
	int			needed = 0;

	initStringInfo(&text);
	do
	{
		va_list		args;

		if (needed > 0)
			enlargeStringInfo(&text, needed);
		va_start(args, format);
		needed = appendStringInfoVA(&text, format, args);
		va_end(args);
	} while (needed != 0);
	*problems = lappend(*problems, text.data);
}

/* Return the object or array that a key holds, or NULL. */
JsonbContainer *
MemberContainer(JsonbContainer *object, const char *key, bool isArray)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL || value.type != jbvBinary ||
		JsonContainerIsArray(value.val.binary.data) != isArray)
		return NULL;
	return value.val.binary.data;
}

/* Return a string of 1 to 255 bytes; NULL, and a problem, when it is not one or is missing though required. */
const char *
MemberText(List **problems, JsonbContainer *object, const char *key, const char *where, bool required)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL)
	{
		if (required)
			ProblemAdd(problems, "%s has no \"%s\"", where, key);
		return NULL;
	}
	if (value.type != jbvString || value.val.string.len == 0 || value.val.string.len > 255)
	{
		ProblemAdd(problems, "\"%s\" of %s is not a string of 1 to 255 bytes", key, where);
		return NULL;
	}
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* Read a 32-bit integer; return whether it was one. */
bool
MemberInt(JsonbContainer *object, const char *key, int *result)
{
	JsonbValue	value;
	char	   *text;
	char	   *end;
	long		number;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL || value.type != jbvNumeric)
		return false;
	text = numeric_normalize(value.val.numeric);
	errno = 0;
	number = strtol(text, &end, 10);
	if (*end != '\0' || errno != 0 || number < PG_INT32_MIN || number > PG_INT32_MAX)
		return false;
	*result = (int) number;
	return true;
}

/* Return a boolean, false when it is missing. */
bool
MemberBool(List **problems, JsonbContainer *object, const char *key, const char *where)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, key, strlen(key), &value) == NULL)
		return false;
	if (value.type != jbvBool)
		ProblemAdd(problems, "\"%s\" of %s is not true or false", key, where);
	return value.type == jbvBool && value.val.boolean;
}

/* Complain about optional members of the definition that are not the array or object they must be. */
void
MembersShaped(List **problems, JsonbContainer *root)
{
	static const struct
	{
		const char *key;
		bool		isArray;
	}			members[] = {{"tags", true}, {"policies", false}, {"superRoles", true}};
	JsonbValue	value;

	for (size_t i = 0; i < lengthof(members); i++)
		if (getKeyJsonValueFromContainer(root, members[i].key, strlen(members[i].key), &value) != NULL &&
			MemberContainer(root, members[i].key, members[i].isArray) == NULL)
			ProblemAdd(problems, "\"%s\" is not %s", members[i].key, members[i].isArray ? "an array" : "an object");
}

/* Complain about keys that are not in the comma-separated list: they are typing errors. */
void
MembersKnown(List **problems, JsonbContainer *object, const char *where, const char *known)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = psprintf(",%.*s,", value.val.string.len, value.val.string.val);
		if (strstr(known, key) == NULL)
			ProblemAdd(problems, "%s has an unknown key \"%.*s\"", where, value.val.string.len, value.val.string.val);
	}
}
