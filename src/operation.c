/*
 * operation.c: log_operation() and log_operations(): what the application reports.
 *
 * Both make the arguments of the first: a batch has them as keys of its objects. Secrets in JSON and in texts are masked; who, for
 * whom and in which request comes from the context, as everywhere.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "attempt.h"
#include "auditlog.h"
#include "store.h"
#include "tenant.h"

#define ROWS_AT_ONCE 1000

typedef enum OperationArgument
{
	OA_SERVICE,
	OA_ACTION,
	OA_ENTITY_TYPE,
	OA_ENTITY,
	OA_MS,
	OA_STATUS,
	OA_ERROR,
	OA_REQUEST,
	OA_RESPONSE,
	OA_OPERATION,
	OA_ADDITIONAL,
	OA_STARTED,
	OA_ADDRESS,
	OA_AGENT,
	OA_COUNT
} OperationArgument;

static const struct
{
	const char *name;
	Oid			type;
	AuditColumn column;
	bool		masked;
}			arguments[OA_COUNT] = {
	[OA_SERVICE] = {"service_name", TEXTOID, AC_SERVICE, true}, [OA_ACTION] = {"action", TEXTOID, AC_ACTION, true},
	[OA_ENTITY_TYPE] = {"entity_type", TEXTOID, AC_ENTITY_TYPE, false}, [OA_ENTITY] = {"entity_id", TEXTOID, AC_ENTITY, false},
	[OA_MS] = {"execution_time_ms", INT8OID, AC_MS, false}, [OA_STATUS] = {"status", TEXTOID, AC_STATUS, false},
	[OA_ERROR] = {"error_message", TEXTOID, AC_ERROR, true}, [OA_REQUEST] = {"request_data", JSONBOID, AC_REQUEST, true},
	[OA_RESPONSE] = {"response_data", JSONBOID, AC_RESPONSE, true}, [OA_OPERATION] = {"operation", TEXTOID, AC_OPERATION, true},
	[OA_ADDITIONAL] = {"additional_data", JSONBOID, AC_ADDITIONAL, true},
	[OA_STARTED] = {"started_at", TIMESTAMPTZOID, AC_STARTED, false}, [OA_ADDRESS] = {"ip_address", TEXTOID, AC_ADDRESS, true},
	[OA_AGENT] = {"user_agent", TEXTOID, AC_AGENT, true}
};

/* An operation as it was reported; entry: its number in a batch, or ENTRY_NONE. */
typedef struct Operation
{
	Datum		values[OA_COUNT];
	bool		nulls[OA_COUNT];
	int			entry;
} Operation;

#define ENTRY_NONE (-1)

typedef struct TimeText
{
	char	   *text;
	Datum		value;
} TimeText;

pg_noreturn static void Refuse(const Operation *operation, int code, const char *message, const char *hint);
static void Check(const Operation *operation);
static Datum MaskArgument(OperationArgument argument, Datum value);
static void SetTimes(AuditRow *row);
static void FillRow(AuditRow *row, const Operation *operation);
static void ReadMember(Operation *operation, OperationArgument argument, JsonbValue *value);
static bool ReadInt8(JsonbValue *value, Datum *result);
static void ParseTime(void *state);
static bool ReadTime(JsonbValue *value, Datum *result);
static void ReadEntry(Operation *operation, JsonbValue *entry);
static void Prepare(AuditRow *row);

static void
Refuse(const Operation *operation, int code, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg_internal("%s", message),
			 operation->entry == ENTRY_NONE ? 0 : errdetail_internal("{\"index\": %d}", operation->entry),
			 errhint("%s", hint)));
}

static void
Check(const Operation *operation)
{
	char	   *status;

	for (int i = OA_SERVICE; i <= OA_ACTION; i++)
		if (operation->nulls[i])
			Refuse(operation, ERRCODE_NULL_VALUE_NOT_ALLOWED, psprintf("\"%s\" must not be NULL", arguments[i].name),
				   "Say which service did what, for example 'AlbumService' and 'SyncPhotos'.");
	status = operation->nulls[OA_STATUS] ? NULL : TextDatumGetCString(operation->values[OA_STATUS]);
	if (status == NULL || (strcmp(status, "Success") != 0 && strcmp(status, "Failed") != 0))
		Refuse(operation, ERRCODE_INVALID_PARAMETER_VALUE, "\"status\" must be Success or Failed",
			   "What went wrong in another way is told by error_message and additional_data.");
	if (!operation->nulls[OA_MS] && DatumGetInt64(operation->values[OA_MS]) < 0)
		Refuse(operation, ERRCODE_INVALID_PARAMETER_VALUE, "\"execution_time_ms\" must not be negative",
			   "Give milliseconds, or started_at and leave it to the database.");
}

static Datum
MaskArgument(OperationArgument argument, Datum value)
{
	text	   *plain;
	char	   *shown;
	int			masked;

	if (!arguments[argument].masked)
		return value;
	if (arguments[argument].type == JSONBOID)
		return MaskJsonDatum(value);
	plain = DatumGetTextPP(value);
	shown = MaskText(VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain), &masked);
	return masked > 0 ? CStringGetTextDatum(shown) : value;
}

/* Work out of when it began and how long it took what was not said; nothing where that is beyond all time. */
static void
SetTimes(AuditRow *row)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz started = DatumGetTimestampTz(row->values[AC_STARTED]);
	int64		ms = DatumGetInt64(row->values[AC_MS]);

	if (row->nulls[AC_STARTED] && row->nulls[AC_MS])
		return;
	if (!row->nulls[AC_STARTED] && TIMESTAMP_NOT_FINITE(started))
		return;
	if (row->nulls[AC_MS])
		AuditSet(row, AC_MS, Int64GetDatum(ms = started >= now ? 0 : (now - started) / 1000));
	if (ms > PG_INT64_MAX / 1000)
		return;
	if (row->nulls[AC_STARTED] && IS_VALID_TIMESTAMP(now - ms * 1000))
		AuditSet(row, AC_STARTED, TimestampTzGetDatum(started = now - ms * 1000));
	if (!row->nulls[AC_STARTED] && IS_VALID_TIMESTAMP(started) && ms * 1000 < END_TIMESTAMP - started)
		AuditSet(row, AC_COMPLETED, TimestampTzGetDatum(started + ms * 1000));
}

/* Make the row of an operation; it holds who asks already. */
static void
FillRow(AuditRow *row, const Operation *operation)
{
	pg_uuid_t	id;

	Check(operation);
	for (int i = 0; i < OA_COUNT; i++)
		if (!operation->nulls[i])
			AuditSet(row, arguments[i].column, MaskArgument(i, operation->values[i]));
	SetTimes(row);
	UuidV7(&id);
	AuditSet(row, AC_ID, UuidCopyDatum(&id));
}

/* Who may insert, may report. */
static void
Prepare(AuditRow *row)
{
	InstallationRequire("AuditLogs", ACL_INSERT);
	(void) RequireTenant();
	AuditRowOfContext(row);
}

PHOTOFLOW_FUNCTION(photoflow_log_operation)
{
	Operation	operation = {.entry = ENTRY_NONE};
	AuditRow	row;
	AuditWriter *writer;

	Prepare(&row);
	for (int i = 0; i < OA_COUNT; i++)
	{
		operation.nulls[i] = PG_ARGISNULL(i);
		operation.values[i] = PG_GETARG_DATUM(i);
	}
	FillRow(&row, &operation);
	writer = AuditWriterOpen(1, AllocSetContextCreate(CurrentMemoryContext, "photoflow operation", ALLOCSET_SMALL_SIZES));
	AuditWriterAdd(writer, &row);
	AuditWriterClose(writer);
	PG_RETURN_DATUM(row.values[AC_ID]);
}

/* A whole number that bigint holds. */
static bool
ReadInt8(JsonbValue *value, Datum *result)
{
	char	   *text;
	char	   *end;

	if (value->type != jbvNumeric || numeric_is_nan(value->val.numeric))
		return false;
	text = numeric_normalize(value->val.numeric);
	errno = 0;
	*result = Int64GetDatum(strtoi64(text, &end, 10));
	return *end == '\0' && errno == 0;
}

static void
ParseTime(void *state)
{
	TimeText   *time = state;

	time->value = DirectFunctionCall3(timestamptz_in, CStringGetDatum(time->text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static bool
ReadTime(JsonbValue *value, Datum *result)
{
	TimeText	time = {pnstrdup(value->val.string.val, value->val.string.len), (Datum) 0};
	ErrorData  *error = Attempt(ParseTime, &time);

	if (error && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		ReThrowError(error);
	*result = time.value;
	return error == NULL;
}

/* Read one argument out of an object; raise 22023 where it is of another type. */
static void
ReadMember(Operation *operation, OperationArgument argument, JsonbValue *value)
{
	bool		fits = value->type == jbvNull;

	operation->nulls[argument] = value->type == jbvNull;
	if (fits)
		return;
	switch (arguments[argument].type)
	{
		case JSONBOID:
			operation->values[argument] = JsonbPGetDatum(JsonbValueToJsonb(value));
			fits = true;
			break;
		case INT8OID:
			fits = ReadInt8(value, &operation->values[argument]);
			break;
		case TIMESTAMPTZOID:
			fits = value->type == jbvString && ReadTime(value, &operation->values[argument]);
			break;
		default:
			fits = value->type == jbvString;
			if (fits)
				operation->values[argument] =
					PointerGetDatum(cstring_to_text_with_len(value->val.string.val, value->val.string.len));
			break;
	}
	if (!fits)
		Refuse(operation, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("\"%s\" is not of type %s", arguments[argument].name,
						format_type_be(arguments[argument].type)),
			   "Values are as the arguments of log_operation().");
}

/* Read an entry of a batch; raise 22023 where it is no object of such arguments. */
static void
ReadEntry(Operation *operation, JsonbValue *entry)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			argument = 0;

	if (entry->type != jbvBinary || !JsonContainerIsObject(entry->val.binary.data))
		Refuse(operation, ERRCODE_INVALID_PARAMETER_VALUE, "an entry of \"entries\" is not an object",
			   "Give an array of objects with the arguments of log_operation() as keys.");
	memset(operation->nulls, true, sizeof(operation->nulls));
	operation->nulls[OA_STATUS] = false;
	operation->values[OA_STATUS] = CStringGetTextDatum("Success");
	iterator = JsonbIteratorInit(entry->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE)
			ReadMember(operation, argument, &value);
		if (token != WJB_KEY)
			continue;
		for (argument = 0; argument < OA_COUNT; argument++)
			if (strlen(arguments[argument].name) == (size_t) value.val.string.len &&
				memcmp(arguments[argument].name, value.val.string.val, value.val.string.len) == 0)
				break;
		if (argument == OA_COUNT)
			Refuse(operation, ERRCODE_INVALID_PARAMETER_VALUE,
				   psprintf("\"%s\" is no argument of log_operation()", pnstrdup(value.val.string.val, value.val.string.len)),
				   "Keys are named as its arguments: service_name, action, entity_type and so on.");
	}
}

PHOTOFLOW_FUNCTION(photoflow_log_operations)
{
	Operation	operation = {.entry = ENTRY_NONE};
	AuditRow	shared;
	MemoryContext waiting = AllocSetContextCreate(CurrentMemoryContext, "photoflow operations", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	Jsonb	   *entries;
	AuditWriter *writer;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	entry;

	RequireArgument(fcinfo, 0, "entries", "Give an array of objects, an empty one for none.");
	Prepare(&shared);
	entries = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(entries) || JB_ROOT_IS_SCALAR(entries))
		Refuse(&operation, ERRCODE_INVALID_PARAMETER_VALUE, "\"entries\" is not an array", "Give an array of objects.");
	writer = AuditWriterOpen(Min(Max(JB_ROOT_COUNT(entries), 1), ROWS_AT_ONCE), waiting);
	iterator = JsonbIteratorInit(&entries->root);
	(void) JsonbIteratorNext(&iterator, &entry, true);
	while ((token = JsonbIteratorNext(&iterator, &entry, true)) == WJB_ELEM)
	{
		AuditRow	row = shared;

		CHECK_FOR_INTERRUPTS();
		operation.entry++;
		MemoryContextSwitchTo(waiting);
		ReadEntry(&operation, &entry);
		FillRow(&row, &operation);
		MemoryContextSwitchTo(caller);
		AuditWriterAdd(writer, &row);
	}
	AuditWriterClose(writer);
	PG_RETURN_INT32(operation.entry + 1);
}
