/*
 * auditvalue.c: values of columns as JSON.
 *
 * They are as to_jsonb() makes them, so that jsonb_populate_record() reads them back. Those of everyday types are made here, since
 * to_jsonb() works out the type anew for each value.
 */
#include "photoflow.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/numeric.h"

#include "attempt.h"
#include "auditlog.h"

/* jsonb takes numbers of any length that is less than this */
#define DIGITS_MOST 1000

/* an array or a composite beyond so many bytes may become more than JSON, or one piece of memory, has room for */
#define CERTAIN_MOST 65536

typedef struct Conversion
{
	const TrackedColumn *column;
	Datum		value;
	Jsonb	   *json;
} Conversion;

static void SetString(JsonbValue *out, const char *text, int length);
static void SetJson(JsonbValue *out, Jsonb *json, int64 *room);
static void SetInteger(JsonbValue *out, int64 value);
static void SetNumeric(JsonbValue *out, Datum value);
static void SetOmitted(JsonbValue *out, int64 bytes);
static bool FitsIn(const TrackedColumn *column, Datum value, int64 room, int64 *size);
static bool JsonMayFail(const char *text, int length);
static void MakeJson(void *state);
static void SetOther(JsonbValue *out, const TrackedColumn *column, Datum value, int64 *room);
static void SetValue(JsonbValue *out, const TrackedColumn *column, Datum value, int64 *room);

static void
SetString(JsonbValue *out, const char *text, int length)
{
	out->type = jbvString;
	out->val.string.val = unconstify(char *, text);
	out->val.string.len = length;
}

/* A scalar by itself is an array of one in jsonb. Keys that name secrets are masked. */
static void
SetJson(JsonbValue *out, Jsonb *json, int64 *room)
{
	JsonbValue *masked = NULL;

	*room -= VARSIZE(json);
	if (*room < 0)
	{
		SetOmitted(out, VARSIZE(json) - VARHDRSZ);
		return;
	}
	if (JB_ROOT_IS_SCALAR(json))
	{
		(void) JsonbExtractScalar(&json->root, out);
		return;
	}
	masked = MaskJson(&json->root, false);
	if (masked)
		json = JsonbValueToJsonb(masked);
	out->type = jbvBinary;
	out->val.binary.data = &json->root;
	out->val.binary.len = VARSIZE(json) - VARHDRSZ;
}

static void
SetOmitted(JsonbValue *out, int64 bytes)
{
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue	size;
	int64		room = AUDIT_VALUES_MOST;

	SetString(&key, "omitted", (int) strlen("omitted"));
	SetInteger(&size, bytes);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	(void) pushJsonbValue(&state, WJB_VALUE, &size);
	SetJson(out, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)), &room);
}

/* Say whether a value may still become part of the diff. */
static bool
FitsIn(const TrackedColumn *column, Datum value, int64 room, int64 *size)
{
	*size = column->length == -1 ? (int64) toast_raw_datum_size(value) - VARHDRSZ : 0;
	return *size <= room;
}

/* The type json takes what jsonb refuses: \u0000, halves of surrogate pairs, numbers of too many digits. */
static bool
JsonMayFail(const char *text, int length)
{
	int			digits = 0;

	for (int i = 0; i < length; i++)
	{
		digits = text[i] >= '0' && text[i] <= '9' ? digits + 1 : 0;
		if (digits > DIGITS_MOST || ((text[i] == 'e' || text[i] == 'E') && i + 1 < length && strchr("+-0123456789", text[i + 1])) ||
			(text[i] == '\\' && i + 1 < length && text[i + 1] == 'u'))
			return true;
	}
	return false;
}

static void
SetInteger(JsonbValue *out, int64 value)
{
	out->type = jbvNumeric;
	out->val.numeric = int64_to_numeric(value);
}

static void
SetNumeric(JsonbValue *out, Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number) || numeric_is_inf(number))
	{
		char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));

		SetString(out, text, (int) strlen(text));
		return;
	}
	out->type = jbvNumeric;
	out->val.numeric = number;
}

static void
MakeJson(void *state)
{
	Conversion *conversion = state;

	conversion->json = DatumGetJsonbP(FunctionCall1(unconstify(FmgrInfo *, &conversion->column->toJson), conversion->value));
}

/*
 * A value as to_jsonb() makes it. Where that may fail it is tried, and what cannot be JSON is left out: it is the user's own statement
 * that would fail.
 */
static void
SetOther(JsonbValue *out, const TrackedColumn *column, Datum value, int64 *room)
{
	Conversion	conversion = {column, value, NULL};
	bool		mayFail = column->mayFail || (column->length == -1 && toast_raw_datum_size(value) > CERTAIN_MOST);
	ErrorData  *error;

	if (column->kind == DIFF_JSON)
	{
		text	   *plain = DatumGetTextPP(value);

		mayFail = mayFail || JsonMayFail(VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain));
	}
	if (!mayFail)
	{
		MakeJson(&conversion);
		SetJson(out, conversion.json, room);
		return;
	}
	error = Attempt(MakeJson, &conversion);
	if (error == NULL)
	{
		SetJson(out, conversion.json, room);
		return;
	}
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTERNAL_ERROR)
		ReThrowError(error);
	SetOmitted(out, column->length == -1 ? (int64) toast_raw_datum_size(value) - VARHDRSZ : column->length);
}

/* A value that is shown. */
static void
SetValue(JsonbValue *out, const TrackedColumn *column, Datum value, int64 *room)
{
	text	   *plain;
	char	   *string;

	switch (column->kind)
	{
		case DIFF_TEXT:
			plain = DatumGetTextPP(value);
			SetString(out, VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain));
			*room -= VARSIZE_ANY_EXHDR(plain);
			break;
		case DIFF_BOOL:
			out->type = jbvBool;
			out->val.boolean = DatumGetBool(value);
			break;
		case DIFF_INT2:
			SetInteger(out, DatumGetInt16(value));
			break;
		case DIFF_INT4:
			SetInteger(out, DatumGetInt32(value));
			break;
		case DIFF_INT8:
			SetInteger(out, DatumGetInt64(value));
			break;
		case DIFF_NUMERIC:
			SetNumeric(out, value);
			break;
		case DIFF_UUID:
			string = UuidText(DatumGetUUIDP(value));
			SetString(out, string, (int) strlen(string));
			break;
		case DIFF_TIME:
			string = JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, column->type, NULL);
			SetString(out, string, (int) strlen(string));
			break;
		case DIFF_JSONB:
			SetJson(out, DatumGetJsonbP(value), room);
			break;
		default:
			SetOther(out, column, value, room);
			break;
	}
}

/* Make JSON of a value; room: how many bytes the values of the row may still have. */
void
AuditValueToJson(JsonbValue *out, const TrackedColumn *column, Datum value, bool isNull, int64 *room)
{
	int64		size = 0;

	if (isNull)
		out->type = jbvNull;
	else if (column->masked)
		SetString(out, AUDIT_MASK, (int) strlen(AUDIT_MASK));
	else if (!FitsIn(column, value, *room, &size))
		SetOmitted(out, size);
	else
		SetValue(out, column, value, room);
}
