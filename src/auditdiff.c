/*
 * auditdiff.c: what changed in a row, as JSON.
 *
 *     update: {"Name": ["old", "new"], "Rate": [3, null]}    insert, delete: {"Name": "it", "Rate": 3}
 *
 * Old and new are compared as they are stored, big ones first by where they are stored: what an UPDATE leaves alone is not read.
 */
#include "photoflow.h"

#include "utils/builtins.h"
#include "utils/datum.h"

#include "auditlog.h"

static bool IsSame(const TrackedColumn *column, TupleTableSlot *before, TupleTableSlot *after);
static bool IsSameToast(Datum a, Datum b);
static char *KeyText(const TrackedColumn *column, Datum value);

/* Say whether both are the same place in a TOAST table. */
static bool
IsSameToast(Datum a, Datum b)
{
	struct varlena *left = (struct varlena *) DatumGetPointer(a);
	struct varlena *right = (struct varlena *) DatumGetPointer(b);

	return VARATT_IS_EXTERNAL_ONDISK(left) && VARATT_IS_EXTERNAL_ONDISK(right) &&
		memcmp(left, right, VARSIZE_EXTERNAL(left)) == 0;
}

static bool
IsSame(const TrackedColumn *column, TupleTableSlot *before, TupleTableSlot *after)
{
	int			i = column->number - 1;
	Datum		old = before->tts_values[i];
	Datum		new = after->tts_values[i];

	if (before->tts_isnull[i] || after->tts_isnull[i])
		return before->tts_isnull[i] == after->tts_isnull[i];
	if (column->byValue)
		return old == new;
	if (column->length == -1 && IsSameToast(old, new))
		return true;
	return datum_image_eq(old, new, column->byValue, column->length);
}

/* Return the diff of an update, in the current memory context; same: nothing that is recorded has changed. */
Datum
DiffOfUpdate(const TrackedTable *table, TupleTableSlot *before, TupleTableSlot *after, bool *same)
{
	JsonbParseState *state = NULL;
	int64		room = AUDIT_VALUES_MOST;

	slot_getallattrs(before);
	slot_getallattrs(after);
	for (int i = 0; i < table->count; i++)
	{
		const TrackedColumn *column = &table->columns[i];
		int			at = column->number - 1;
		JsonbValue	value;

		if (IsSame(column, before, after))
			continue;
		if (state == NULL)
			(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
		(void) pushJsonbValue(&state, WJB_KEY, unconstify(JsonbValue *, &column->key));
		(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
		AuditValueToJson(&value, column, before->tts_values[at], before->tts_isnull[at], &room);
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
		AuditValueToJson(&value, column, after->tts_values[at], after->tts_isnull[at], &room);
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
		(void) pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	}
	*same = state == NULL;
	return *same ? (Datum) 0 : JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* Return a row without its NULLs. */
Datum
DiffOfRow(const TrackedTable *table, TupleTableSlot *slot)
{
	JsonbParseState *state = NULL;
	int64		room = AUDIT_VALUES_MOST;

	slot_getallattrs(slot);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < table->count; i++)
	{
		const TrackedColumn *column = &table->columns[i];
		int			at = column->number - 1;
		JsonbValue	value;

		if (slot->tts_isnull[at])
			continue;
		(void) pushJsonbValue(&state, WJB_KEY, unconstify(JsonbValue *, &column->key));
		AuditValueToJson(&value, column, slot->tts_values[at], false, &room);
		(void) pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* The text of a value of the key. */
static char *
KeyText(const TrackedColumn *column, Datum value)
{
	if (column->masked)
		return pstrdup(AUDIT_MASK);
	if (column->kind == DIFF_UUID)
		return UuidText(DatumGetUUIDP(value));
	if (column->kind == DIFF_JSONB || column->kind == DIFF_JSON || column->isContainer)
	{
		JsonbValue	json;
		int64		room = AUDIT_VALUES_MOST;
		Jsonb	   *masked;

		AuditValueToJson(&json, column, value, false, &room);
		masked = JsonbValueToJsonb(&json);
		return JsonbToCString(NULL, &masked->root, VARSIZE(masked));
	}
	return OutputFunctionCall(unconstify(FmgrInfo *, &column->toText), value);
}

/* Return the primary key of a row as text, of several columns as a JSON array of their texts. */
Datum
EntityIdOfRow(const TrackedTable *table, TupleTableSlot *slot, bool *isNull)
{
	const char **texts;

	*isNull = table->keyCount == 0;
	if (*isNull)
		return (Datum) 0;
	slot_getallattrs(slot);
	if (table->keyCount == 1)
		return CStringGetTextDatum(KeyText(&table->key[0], slot->tts_values[table->key[0].number - 1]));
	texts = palloc(sizeof(char *) * table->keyCount);
	for (int i = 0; i < table->keyCount; i++)
		texts[i] = KeyText(&table->key[i], slot->tts_values[table->key[i].number - 1]);
	return CStringGetTextDatum(JsonTextArray(texts, table->keyCount));
}
