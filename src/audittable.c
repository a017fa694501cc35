/*
 * audittable.c: what is known of a tracked table: which columns a diff may name, which are masked, whose rows they are.
 *
 * Worked out when the first of its triggers is fired, and kept until the table's description changes. What somebody may still be
 * reading is freed when the transaction ends.
 */
#include "photoflow.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "auditlog.h"
#include "relwatch.h"
#include "softtable.h"
#include "store.h"

#define IGNORE "ignore:"
#define MASK "mask:"

typedef struct TrackedEntry
{
	Oid			relation;		/* the key */
	TrackedTable *table;
} TrackedEntry;

static HTAB *tables = NULL;
static MemoryContext retired = NULL;

static void ForgetTable(Datum arg, Oid relid);
static void ForgetTables(Datum arg, int cacheid, uint32 hash);
static void FreeRetired(XactEvent event, void *arg);
static TrackedTable *Describe(Relation relation, const Trigger *trigger);
static bool IsGiven(const Trigger *trigger, bool masks, const char *column);
static bool MasksAreColumns(Relation relation, const Trigger *trigger);
static bool IsMasked(Relation relation, const Trigger *trigger, const char *column);
static DiffKind KindOf(Oid type);
static bool ConversionMayFail(Oid type);
static void DescribeColumn(TrackedColumn *column, Form_pg_attribute attribute, bool masked);
static int	CompareKeys(const void *a, const void *b);
static void DescribeColumns(TrackedTable *table, Relation relation, const Trigger *trigger);
static Relation OpenKey(Relation relation);
static void DescribeKey(TrackedTable *table, Relation relation, const Trigger *trigger);
static void DescribeOwner(TrackedTable *table, Relation relation);

void
TrackedTableInitialize(void)
{
	WatchRelations(ForgetTable);
	CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetTables, (Datum) 0);
	RegisterXactCallback(FreeRetired, NULL);
}

static void
ForgetTable(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	TrackedEntry *entry;

	if (tables == NULL)
		return;
	hash_seq_init(&status, tables);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->table && (relid == InvalidOid || entry->table->relation == relid || entry->table->root == relid))
			entry->table->valid = false;
}

/* A schema has another name, perhaps. */
static void
ForgetTables(Datum arg, int cacheid, uint32 hash)
{
	ForgetTable(arg, InvalidOid);
}

static void
FreeRetired(XactEvent event, void *arg)
{
	if (retired && (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE))
		MemoryContextDeleteChildren(retired);
}

/* Return what is known of a trigger's table. */
const TrackedTable *
TrackedTableOf(Relation relation, const Trigger *trigger)
{
	Oid			relid = RelationGetRelid(relation);
	TrackedEntry *entry;
	TrackedTable *fresh;
	bool		found;

	if (tables == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(TrackedEntry), .hcxt = TopMemoryContext};

		retired = AllocSetContextCreate(TopMemoryContext, "photoflow tracked tables of old", ALLOCSET_SMALL_SIZES);
		tables = hash_create("photoflow tracked tables", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(tables, &relid, HASH_FIND, NULL);
	if (entry && entry->table && entry->table->valid)
		return entry->table;
	fresh = Describe(relation, trigger);
	entry = hash_search(tables, &relid, HASH_ENTER, &found);
	if (found && entry->table)
		MemoryContextSetParent(entry->table->memory, retired);
	entry->table = fresh;
	return fresh;
}

static TrackedTable *
Describe(Relation relation, const Trigger *trigger)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext, "photoflow tracked table", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(memory);
	TrackedTable *table = palloc0(sizeof(TrackedTable));

	table->relation = RelationGetRelid(relation);
	table->memory = memory;
	DescribeOwner(table, relation);
	DescribeColumns(table, relation, trigger);
	DescribeKey(table, relation, trigger);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(memory, TopMemoryContext);
	table->valid = true;
	return table;
}

/* Take an argument of a trigger apart; false: it is none of ours. */
bool
TrackedArgument(const char *argument, bool *masks, const char **column)
{
	*masks = strncmp(argument, MASK, strlen(MASK)) == 0;
	if (!*masks && strncmp(argument, IGNORE, strlen(IGNORE)) != 0)
		return false;
	*column = argument + (*masks ? strlen(MASK) : strlen(IGNORE));
	return true;
}

/* Say whether a column is among those that are ignored, or masked. */
static bool
IsGiven(const Trigger *trigger, bool masks, const char *column)
{
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		bool		isMask;
		const char *name;

		if (TrackedArgument(trigger->tgargs[i], &isMask, &name) && isMask == masks && strcmp(name, column) == 0)
			return true;
	}
	return false;
}

/* A name to be masked that is no column any more may be another column now: then nothing of the table is shown. */
static bool
MasksAreColumns(Relation relation, const Trigger *trigger)
{
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		bool		isMask;
		const char *name;

		if (!TrackedArgument(trigger->tgargs[i], &isMask, &name) ||
			(isMask && get_attnum(RelationGetRelid(relation), name) == InvalidAttrNumber))
			return false;
	}
	return true;
}

static bool
IsMasked(Relation relation, const Trigger *trigger, const char *column)
{
	return IsSecretName(column, (int) strlen(column)) || IsGiven(trigger, true, column) || !MasksAreColumns(relation, trigger);
}

static DiffKind
KindOf(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return DIFF_TEXT;
		case BOOLOID:
			return DIFF_BOOL;
		case INT2OID:
			return DIFF_INT2;
		case INT4OID:
			return DIFF_INT4;
		case INT8OID:
			return DIFF_INT8;
		case NUMERICOID:
			return DIFF_NUMERIC;
		case UUIDOID:
			return DIFF_UUID;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return DIFF_TIME;
		case JSONBOID:
			return DIFF_JSONB;
		case JSONOID:
			return DIFF_JSON;
		default:
			return DIFF_OTHER;
	}
}

/* Say whether to_jsonb() may refuse a value: it goes into containers, and asks the output functions of users' types. */
static bool
ConversionMayFail(Oid type)
{
	Oid			element = get_base_element_type(type);
	Oid			base = getBaseType(OidIsValid(element) ? element : getBaseType(type));

	if (KindOf(base) != DIFF_OTHER)
		return base == JSONOID;
	return base >= FirstNormalObjectId ? get_typtype(base) != TYPTYPE_ENUM :
		get_typtype(base) == TYPTYPE_RANGE || get_typtype(base) == TYPTYPE_MULTIRANGE || get_typtype(base) == TYPTYPE_COMPOSITE ||
		base == RECORDOID;
}

static void
DescribeColumn(TrackedColumn *column, Form_pg_attribute attribute, bool masked)
{
	Oid			output;
	bool		isVarlena;
	Const	   *example;

	column->number = attribute->attnum;
	column->masked = masked;
	column->type = attribute->atttypid;
	column->kind = KindOf(getBaseType(attribute->atttypid));
	if (column->kind != DIFF_OTHER && column->kind != DIFF_JSON)
		column->type = getBaseType(attribute->atttypid);
	column->byValue = attribute->attbyval;
	column->length = attribute->attlen;
	column->key.type = jbvString;
	column->key.val.string.val = pstrdup(NameStr(attribute->attname));
	column->key.val.string.len = (int) strlen(NameStr(attribute->attname));
	getTypeOutputInfo(attribute->atttypid, &output, &isVarlena);
	fmgr_info_cxt(output, &column->toText, CurrentMemoryContext);
	if (column->kind != DIFF_OTHER && column->kind != DIFF_JSON)
		return;
	column->isContainer = OidIsValid(get_base_element_type(attribute->atttypid)) || type_is_rowtype(getBaseType(attribute->atttypid));
	column->mayFail = ConversionMayFail(attribute->atttypid);
	fmgr_info_cxt(F_TO_JSONB, &column->toJson, CurrentMemoryContext);
	example = makeNullConst(attribute->atttypid, attribute->atttypmod, attribute->attcollation);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(example), InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL), &column->toJson);
}

/* As jsonb orders its keys, so that it has nothing to sort. */
static int
CompareKeys(const void *a, const void *b)
{
	const JsonbValue *left = &((const TrackedColumn *) a)->key;
	const JsonbValue *right = &((const TrackedColumn *) b)->key;

	if (left->val.string.len != right->val.string.len)
		return left->val.string.len > right->val.string.len ? 1 : -1;
	return memcmp(left->val.string.val, right->val.string.val, left->val.string.len);
}

/* What is generated follows from the rest, and cannot be written back. */
static void
DescribeColumns(TrackedTable *table, Relation relation, const Trigger *trigger)
{
	TupleDesc	desc = RelationGetDescr(relation);

	table->columns = palloc0(sizeof(TrackedColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);

		if (attribute->attisdropped || attribute->attgenerated != '\0' || IsGiven(trigger, false, name))
			continue;
		DescribeColumn(&table->columns[table->count++], attribute, IsMasked(relation, trigger, name));
	}
	qsort(table->columns, table->count, sizeof(TrackedColumn), CompareKeys);
}

/* Open the index of the primary key, also of one that is checked at the commit only; NULL where there is none. */
static Relation
OpenKey(Relation relation)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisprimary)
			return index;
		index_close(index, AccessShareLock);
	}
	return NULL;
}

static void
DescribeKey(TrackedTable *table, Relation relation, const Trigger *trigger)
{
	Relation	index = OpenKey(relation);

	if (index == NULL)
		return;
	table->keyCount = index->rd_index->indnkeyatts;
	table->key = palloc0(sizeof(TrackedColumn) * table->keyCount);
	for (int i = 0; i < table->keyCount; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), index->rd_index->indkey.values[i] - 1);

		DescribeColumn(&table->key[i], attribute, IsMasked(relation, trigger, NameStr(attribute->attname)));
	}
	index_close(index, AccessShareLock);
}

/* What the table is called in the log, and whose its rows are; of a partition as of the whole. */
static void
DescribeOwner(TrackedTable *table, Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	List	   *ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(relid) : NIL;
	Oid			root = ancestors != NIL ? llast_oid(ancestors) : relid;
	const char *name = get_rel_name(root);
	bool		inDataSchema = get_rel_namespace(root) == InstallationGet()->schemaOid;
	SoftTableId soft = inDataSchema && InstallationOwnsTable(root) ? SoftTableByName(name) : SOFT_NONE;
	AttrNumber	org = get_attnum(relid, soft == SOFT_NONE ? "OrgId" : softTables[soft].orgColumn);

	table->root = root;
	if (org > 0 && get_atttype(relid, org) == UUIDOID)
		table->org = org;
	if (soft != SOFT_NONE)
		table->isDeleted = get_attnum(relid, "IsDeleted");
	table->entityType = soft != SOFT_NONE ? softTables[soft].entity :
		inDataSchema ? pstrdup(name) : psprintf("%s.%s", get_namespace_name(get_rel_namespace(root)), name);
}
