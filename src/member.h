/*
 * member.h: reads members of a JSON object, noting what is not as it should be.
 */
#ifndef PHOTOFLOW_MEMBER_H
#define PHOTOFLOW_MEMBER_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* problems is a list of C strings; where names the object in them */
extern void ProblemAdd(List **problems, const char *format, ...) pg_attribute_printf(2, 3);
extern JsonbContainer *MemberContainer(JsonbContainer *object, const char *key, bool isArray);
extern const char *MemberText(List **problems, JsonbContainer *object, const char *key, const char *where, bool required);
extern bool MemberInt(JsonbContainer *object, const char *key, int *result);
extern bool MemberBool(List **problems, JsonbContainer *object, const char *key, const char *where);
extern void MembersShaped(List **problems, JsonbContainer *root);
extern void MembersKnown(List **problems, JsonbContainer *object, const char *where, const char *known);

#endif
