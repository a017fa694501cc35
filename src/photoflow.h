/*
 * photoflow.h: what every file shares: SQLSTATEs, the context, JSON for DETAIL and events.
 */
#ifndef PHOTOFLOW_H
#define PHOTOFLOW_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"

/* SQL calls these and nothing else is exported. */
#define PHOTOFLOW_FUNCTION(name) \
	PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name); \
	Datum name(PG_FUNCTION_ARGS)

#define ERRCODE_PF_TRIGGER_NOT_PERMITTED MAKE_SQLSTATE('P', 'F', '0', '0', '1')
#define ERRCODE_PF_GUARD_NOT_MET MAKE_SQLSTATE('P', 'F', '0', '0', '2')
#define ERRCODE_PF_ROLE_NOT_ALLOWED MAKE_SQLSTATE('P', 'F', '0', '0', '3')
#define ERRCODE_PF_STATE_CONFLICT MAKE_SQLSTATE('P', 'F', '0', '0', '4')
#define ERRCODE_PF_NOT_FOUND MAKE_SQLSTATE('P', 'F', '0', '0', '5')
#define ERRCODE_PF_ILLEGAL_STATE_CHANGE MAKE_SQLSTATE('P', 'F', '0', '0', '6')
#define ERRCODE_PF_INVALID_WORKFLOW MAKE_SQLSTATE('P', 'F', '0', '0', '7')
#define ERRCODE_PF_NO_TENANT MAKE_SQLSTATE('P', 'F', '0', '1', '0')
#define ERRCODE_PF_CROSS_TENANT MAKE_SQLSTATE('P', 'F', '0', '1', '1')
#define ERRCODE_PF_INVALID_TOKEN MAKE_SQLSTATE('P', 'F', '0', '1', '2')
#define ERRCODE_PF_HARD_DELETE_REFUSED MAKE_SQLSTATE('P', 'F', '0', '2', '0')
#define ERRCODE_PF_ROW_IS_DELETED MAKE_SQLSTATE('P', 'F', '0', '2', '1')
#define ERRCODE_PF_RESTORE_CONFLICT MAKE_SQLSTATE('P', 'F', '0', '2', '2')
#define ERRCODE_PF_TABLES_OUT_OF_DATE MAKE_SQLSTATE('P', 'F', '0', '4', '0')

/* numbers of domain.md's enums that C needs; names and numbers of states live in the workflow */
#define TAG_STATUS_SYNCING 1
#define TAG_STATUS_READY 2

/* tenant.c, scope.c: who is asking; pointers are NULL when unset and live until the setting changes */
extern void ContextDefineSettings(void);
extern const pg_uuid_t *ContextOrg(void);
extern const pg_uuid_t *ContextUser(void);
extern const char *ContextRoles(void);
extern const char *ContextRequestId(void);
extern const char *ContextCorrelationId(void);
extern uint64 ContextRolesGeneration(void);
extern bool ContextIsOwner(void);
extern const pg_uuid_t *ContextRequireOrg(void);	/* NULL only for the tables' owner without a tenant */
extern void ContextForgetOwner(void);

/* what a refusal and the history say of the caller: the role, super_admin for the owner without one, or NULL */
extern const char *ContextRoleText(void);

/* argument.c */
extern void RequireArgument(FunctionCallInfo fcinfo, int number, const char *name, const char *hint);
extern void RequireNotNegative(FunctionCallInfo fcinfo, int number, const char *name, const char *hint);
extern void RequirePositive(FunctionCallInfo fcinfo, int number, const char *name, const char *hint);
extern void RequireCommits(FunctionCallInfo fcinfo, const char *procedure);
extern pg_uuid_t *AlbumIdArgument(FunctionCallInfo fcinfo, int number);
extern char *TextArgument(FunctionCallInfo fcinfo, int number, const char *name);

/* a column of a row that a function returns */
typedef struct RowColumn
{
	const char *name;
	Oid			type;
} RowColumn;

extern struct TupleDescData *KeepRowType(struct TupleDescData **kept, const RowColumn *columns, int count);
extern struct TriggerData *RequireTrigger(FunctionCallInfo fcinfo, const char *function, uint32 event,
										  const char *wording);
extern struct TriggerData *RequireStatementTrigger(FunctionCallInfo fcinfo, const char *function, uint32 timing,
												   const char *wording);
#define BEFORE_UPDATE_ROW (TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE)
#define BEFORE_DELETE_ROW (TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE)
#define BEFORE_INSERT_ROW (TRIGGER_EVENT_INSERT | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE)
#define AFTER_UPDATE_ROW (TRIGGER_EVENT_UPDATE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_AFTER)

/* token.c */
extern void TokenDefineSettings(void);

/* event.c: sent with the commit, never after a rollback */
extern void EventDefineSettings(void);
extern bool EventsWanted(void);
extern void EventWake(const char *channel);
extern void EventSend(const char *json, const char *reduced);

/* json.c: one flat object, built in order */
typedef struct JsonText
{
	StringInfoData text;
	bool		empty;
} JsonText;

extern void JsonBegin(JsonText *json);
extern void JsonAddText(JsonText *json, const char *key, const char *value);
extern void JsonAddUuid(JsonText *json, const char *key, const pg_uuid_t *value);
extern void JsonAddInt(JsonText *json, const char *key, int64 value);
extern void JsonAddRaw(JsonText *json, const char *key, const char *value);
extern void JsonAddTime(JsonText *json, const char *key, TimestampTz value);
extern char *JsonEnd(JsonText *json);
extern char *JsonTextArray(const char *const *values, int count);

/* uuid.c */
extern void UuidV7(pg_uuid_t *result);
extern void UuidV7Of(TimestampTz time, uint64 low, pg_uuid_t *result);
extern char *UuidText(const pg_uuid_t *value);
extern bool UuidParse(const char *text, pg_uuid_t *result);
extern int	UuidCompare(const void *a, const void *b);
extern int	UuidSortUnique(pg_uuid_t *ids, int count);

static inline bool
UuidEquals(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, UUID_LEN) == 0;
}

static inline bool
UuidIsNil(const pg_uuid_t *value)
{
	static const pg_uuid_t nil = {{0}};

	return UuidEquals(value, &nil);
}

/* A copy in the current memory context, as SQL functions return it. */
static inline Datum
UuidCopyDatum(const pg_uuid_t *value)
{
	pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));

	*copy = *value;
	return UUIDPGetDatum(copy);
}

#endif
