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

#include "auditlog.h"

/* so many bytes of JSON may a byte of a value become, where it is not text */
#define GROWTH 8

static void SetString(JsonbValue *out, const char *text, int length);
static void SetJson(JsonbValue *out, Jsonb *json);
static void SetInteger(JsonbValue *out, int64 value);
static void SetNumeric(JsonbValue *out, Datum value);
static void SetOmitted(JsonbValue *out, int64 bytes);
static bool FitsIn(const TrackedColumn *column, Datum value, int64 *room, int64 *size);
static bool JsonMayFail(const char *text, int length);
static void SetOther(JsonbValue *out, const TrackedColumn *column, Datum value);
static void SetValue(JsonbValue *out, const TrackedColumn *column, Datum value);

static void
SetString(JsonbValue *out, const char *text, int length)
{
	out->type = jbvString;
	out->val.string.val = unconstify(char *, text);
	out->val.string.len = length;
}

/* A scalar by itself is an array of one in jsonb. Keys that name secrets are masked. */
static void
SetJson(JsonbValue *out, Jsonb *json)
{
	JsonbValue *masked = NULL;

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

	SetString(&key, "omitted", (int) strlen("omitted"));
	SetInteger(&size, bytes);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	(void) pushJsonbValue(&state, WJB_VALUE, &size);
	SetJson(out, JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Say whether a value may still become part of the diff, and take its room. */
static bool
FitsIn(const TrackedColumn *column, Datum value, int64 *room, int64 *size)
{
	int64		needed;

	if (column->length != -1)
		return true;
	*size = (int64) toast_raw_datum_size(value) - VARHDRSZ;
	needed = column->kind == DIFF_TEXT ? *size : *size * GROWTH;
	if (needed > *room)
		return false;
	*room -= needed;
	return true;
}

/* The type json takes what jsonb refuses: \u0000, halves of surrogate pairs, numbers out of all bounds. */
static bool
JsonMayFail(const char *text, int length)
{
	for (int i = 0; i + 1 < length; i++)
	{
		if (text[i] == '\\' && text[i + 1] == 'u')
			return true;
		if ((text[i] == 'e' || text[i] == 'E') && i > 0 && text[i - 1] >= '0' && text[i - 1] <= '9')
		{
			int			digits = i + 1 + (text[i + 1] == '-' || text[i + 1] == '+');
			int			start = digits;

			while (digits < length && text[digits] >= '0' && text[digits] <= '9')
				digits++;
			if (digits - start > 3)
				return true;
		}
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
SetOther(JsonbValue *out, const TrackedColumn *column, Datum value)
{
	text	   *plain;

	if (column->kind == DIFF_JSON)
	{
		plain = DatumGetTextPP(value);
		if (JsonMayFail(VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain)))
		{
			int			masked;
			char	   *string = MaskText(VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain), &masked);

			SetString(out, string, (int) strlen(string));
			return;
		}
	}
	SetJson(out, DatumGetJsonbP(FunctionCall1(unconstify(FmgrInfo *, &column->toJson), value)));
}

/* A value that is shown. */
static void
SetValue(JsonbValue *out, const TrackedColumn *column, Datum value)
{
	text	   *plain;
	char	   *string;

	switch (column->kind)
	{
		case DIFF_TEXT:
			plain = DatumGetTextPP(value);
			SetString(out, VARDATA_ANY(plain), (int) VARSIZE_ANY_EXHDR(plain));
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
			SetJson(out, DatumGetJsonbP(value));
			break;
		default:
			SetOther(out, column, value);
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
	else if (!FitsIn(column, value, room, &size))
		SetOmitted(out, size);
	else
		SetValue(out, column, value);
}
