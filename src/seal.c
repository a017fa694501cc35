/*
 * seal.c: seal_partition() and verify_partition(): shows whether a month of the audit log that is over was changed since.
 *
 * Words:
 * - The digest of a partition is a SHA-256 over its rows in the order of their ids, and in a row over the columns that are not NULL in
 *   the order of their names: so it is the same after VACUUM FULL, dump and restore, and a new column that is NULL.
 * - A seal is the digest as it was, with the number of rows, in "AuditSeals". Who may write there can seal anew: keep digests
 *   elsewhere, too.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "commands/trigger.h"
#include "common/sha2.h"
#include "funcapi.h"
#include "commands/trigger.h"
#include "common/sha2.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "auditlog.h"
#include "auditpartition.h"
#include "photo.h"
#include "steps.h"
#include "store.h"

#define ROWS_AT_ONCE 1000

typedef struct Digest
{
	int64		rows;
	char		hex[PG_SHA256_DIGEST_LENGTH * 2 + 1];
} Digest;

/* A column of the rows that are digested, in the order of names. */
typedef struct DigestColumn
{
	int			number;
	const char *name;
	FmgrInfo	toText;
} DigestColumn;

static Oid	BeginSeal(FunctionCallInfo fcinfo, StepScope *scope, LOCKMODE mode);
static void RequireClosed(Oid relid);
static int	CompareColumns(const void *a, const void *b);
static DigestColumn *SortColumns(TupleDesc desc, int *count);
static void Add(pg_cryptohash_ctx *hash, const void *data, size_t length);
static void AddRow(pg_cryptohash_ctx *hash, HeapTuple row, TupleDesc desc, DigestColumn *columns, int count);
static void DigestPartition(Oid relid, Digest *digest);

/* $1: the partition; its bounds, NULL for the default partition. No row: it is no partition of the log. */
static const char *const boundsQuery =
	"SELECT " AUDIT_BOUND("FROM") ", " AUDIT_BOUND("TO") ","
	" coalesce(" AUDIT_BOUND("TO") " <= now(), false)"
	" FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid JOIN pg_class p ON p.oid = i.inhparent"
	" WHERE c.oid = $1 AND p.relname = 'AuditLogs' AND p.relnamespace = c.relnamespace";

static const char *const sealStatement =
	"INSERT INTO {schema}.\"AuditSeals\" (\"Partition\", \"FromTime\", \"ToTime\", \"Rows\", \"Digest\", \"SealedBy\")"
	" VALUES ($1, $2, $3, $4, $5, session_user) ON CONFLICT DO NOTHING";

static const char *const readStatement =
	"SELECT \"Rows\", \"Digest\", \"SealedAt\" FROM {schema}.\"AuditSeals\" WHERE \"Partition\" = $1";

/* Lock the partition for the owner of the tables, and see it in one way whatever the session's settings are. */
static Oid
BeginSeal(FunctionCallInfo fcinfo, StepScope *scope, LOCKMODE mode)
{
	StepTarget *target;
	Oid			relid;

	RequireArgument(fcinfo, 0, "partition", "Give the name of a partition of \"AuditLogs\".");
	relid = PG_GETARG_OID(0);
	AuditRequireTables();
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a partition is sealed and verified as it is now, not as an older snapshot shows it"),
				 errhint("Use a transaction of isolation level READ COMMITTED.")));
	StoreBegin();
	EnterSteps(scope, GetUserId());
	target = FindInstalledTarget();
	RequireTargetOwner(target);
	LockRelationOid(relid, mode);
	if (get_rel_relkind(relid) != RELKIND_RELATION || get_rel_namespace(relid) != target->schemaOid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not a partition of \"AuditLogs\"", get_rel_name(relid) ? get_rel_name(relid) : psprintf("%u", relid)),
				 errhint("SELECT * FROM photoflow.audit_partitions lists them.")));
	SetUserIdAndSecContext(target->owner, scope->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SetInScope("TimeZone", "UTC");
	SetInScope("DateStyle", "ISO, YMD");
	SetInScope("IntervalStyle", "postgres");
	SetInScope("bytea_output", "hex");
	SetInScope("extra_float_digits", "1");
	return relid;
}

/* Raise 22023 for what is no month that is over; its bounds are in SPI's result. */
static void
RequireClosed(Oid relid)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1] = {ObjectIdGetDatum(relid)};
	bool		found = RunSteps(boundsQuery, 1, types, values) > 0;

	if (!found || !DatumGetBool(StoreDatum(0, 3)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 !found ? errmsg("\"%s\" is not a partition of \"AuditLogs\"", get_rel_name(relid)) :
				 StoreIsNull(0, 2) ? errmsg("the default partition is never closed") :
				 errmsg("the month of \"%s\" is not over", get_rel_name(relid)),
				 errhint("SELECT * FROM photoflow.audit_partitions WHERE to_time <= now() lists those that can be sealed.")));
}

static int
CompareColumns(const void *a, const void *b)
{
	return strcmp(((const DigestColumn *) a)->name, ((const DigestColumn *) b)->name);
}

static DigestColumn *
SortColumns(TupleDesc desc, int *count)
{
	DigestColumn *columns = palloc0(sizeof(DigestColumn) * desc->natts);

	*count = 0;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Oid			output;
		bool		isVarlena;

		if (attribute->attisdropped)
			continue;
		getTypeOutputInfo(attribute->atttypid, &output, &isVarlena);
		fmgr_info(output, &columns[*count].toText);
		columns[*count].name = NameStr(attribute->attname);
		columns[(*count)++].number = i + 1;
	}
	qsort(columns, *count, sizeof(DigestColumn), CompareColumns);
	return columns;
}

static void
Add(pg_cryptohash_ctx *hash, const void *data, size_t length)
{
	if (pg_cryptohash_update(hash, data, length) < 0)
		elog(ERROR, "could not compute a digest");
}

/* Each name and each value ends with a zero byte, which neither can hold. */
static void
AddRow(pg_cryptohash_ctx *hash, HeapTuple row, TupleDesc desc, DigestColumn *columns, int count)
{
	for (int i = 0; i < count; i++)
	{
		bool		isNull;
		Datum		value = heap_getattr(row, columns[i].number, desc, &isNull);
		char	   *text;

		if (isNull)
			continue;
		text = OutputFunctionCall(&columns[i].toText, value);
		Add(hash, columns[i].name, strlen(columns[i].name) + 1);
		Add(hash, text, strlen(text) + 1);
	}
	Add(hash, "", 1);
}

static void
DigestPartition(Oid relid, Digest *digest)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);
	MemoryContext rowContext = AllocSetContextCreate(CurrentMemoryContext, "photoflow digest", ALLOCSET_DEFAULT_SIZES);
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
	char	   *query = psprintf("SELECT * FROM ONLY %s ORDER BY \"Id\", \"CreatedAt\"",
								 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)));
	Portal		cursor = SPI_cursor_open_with_args(NULL, query, 0, NULL, NULL, NULL, false, 0);
	DigestColumn *columns = NULL;
	int			count = 0;

	if (hash == NULL || pg_cryptohash_init(hash) < 0)
		elog(ERROR, "could not begin a digest");
	digest->rows = 0;
	for (SPI_cursor_fetch(cursor, true, ROWS_AT_ONCE); SPI_processed > 0; SPI_cursor_fetch(cursor, true, ROWS_AT_ONCE))
	{
		MemoryContext caller;

		if (columns == NULL)
			columns = SortColumns(CreateTupleDescCopy(SPI_tuptable->tupdesc), &count);
		caller = MemoryContextSwitchTo(rowContext);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			AddRow(hash, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, columns, count);
			MemoryContextReset(rowContext);
		}
		MemoryContextSwitchTo(caller);
		digest->rows += (int64) SPI_processed;
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(cursor);
	if (pg_cryptohash_final(hash, bytes, sizeof(bytes)) < 0)
		elog(ERROR, "could not end a digest");
	pg_cryptohash_free(hash);
	digest->hex[hex_encode((const char *) bytes, sizeof(bytes), digest->hex)] = '\0';
}

PHOTOFLOW_FUNCTION(photoflow_seal_partition)
{
	static const RowColumn columns[] = {{"rows", INT8OID}, {"digest", TEXTOID}};
	static TupleDesc desc = NULL;
	StepScope	scope;
	Oid			relid = BeginSeal(fcinfo, &scope, ShareLock);	/* nobody writes while it is read */
	Oid			types[5] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, TEXTOID};
	Datum		values[5] = {CStringGetTextDatum(get_rel_name(relid))};
	bool		nulls[2] = {false, false};
	Digest		digest;

	RequireClosed(relid);
	values[1] = StoreDatum(0, 1);
	values[2] = StoreDatum(0, 2);
	DigestPartition(relid, &digest);
	values[3] = Int64GetDatum(digest.rows);
	values[4] = CStringGetTextDatum(digest.hex);
	if (RunSteps(ExpandSchema(sealStatement, get_namespace_name(get_rel_namespace(relid))), 5, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" is sealed already", get_rel_name(relid)),
				 errhint("SELECT * FROM photoflow.verify_partition(partition) says whether it is as it was.")));
	(void) RunSteps(psprintf("CREATE TRIGGER \"" AUDIT_SEALED_TRIGGER "\" BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION photoflow.keep_sealed()",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid))), 0, NULL, NULL);
	LeaveSteps(&scope);
	StoreEnd();
	values[0] = Int64GetDatum(digest.rows);
	values[1] = CStringGetTextDatum(digest.hex);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(KeepRowType(&desc, columns, lengthof(columns)), values, nulls)));
}

PHOTOFLOW_FUNCTION(photoflow_verify_partition)
{
	static const RowColumn columns[] = {{"ok", BOOLOID}, {"sealed_rows", INT8OID}, {"found_rows", INT8OID},
	{"sealed_at", TIMESTAMPTZOID}, {"found_digest", TEXTOID}};
	static TupleDesc desc = NULL;
	StepScope	scope;
	Oid			relid = BeginSeal(fcinfo, &scope, AccessShareLock);
	Oid			types[1] = {TEXTOID};
	Datum		values[5] = {CStringGetTextDatum(get_rel_name(relid))};
	bool		nulls[5] = {false, false, false, false, false};
	char	   *sealed;
	Digest		digest;

	if (RunSteps(ExpandSchema(readStatement, get_namespace_name(get_rel_namespace(relid))), 1, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NOT_FOUND),
				 errmsg("partition \"%s\" was never sealed", get_rel_name(relid)),
				 errdetail_internal("{\"entity\": \"AuditSeal\", \"id\": \"%s\"}", get_rel_name(relid)),
				 errhint("SELECT * FROM photoflow.seal_partition(partition) seals a month that is over.")));
	values[1] = StoreDatum(0, 1);
	sealed = StoreCString(0, 2);
	values[3] = StoreDatum(0, 3);
	DigestPartition(relid, &digest);
	LeaveSteps(&scope);
	values[0] = BoolGetDatum(DatumGetInt64(values[1]) == digest.rows && strcmp(sealed, digest.hex) == 0);
	values[2] = Int64GetDatum(digest.rows);
	StoreEnd();
	values[4] = CStringGetTextDatum(digest.hex);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(KeepRowType(&desc, columns, lengthof(columns)), values, nulls)));
}

/* A month that is sealed takes no row any more: it would look as if somebody had tampered with it. */
PHOTOFLOW_FUNCTION(photoflow_keep_sealed)
{
	TriggerData *trigger = RequireTrigger(fcinfo, "keep_sealed", BEFORE_INSERT_ROW, "BEFORE INSERT FOR EACH ROW");

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("partition \"%s\" is sealed", RelationGetRelationName(trigger->tg_relation)),
			 errdetail_internal("{\"entity\": \"AuditSeal\", \"id\": \"%s\"}", RelationGetRelationName(trigger->tg_relation)),
			 errhint("Leave \"CreatedAt\" out; a month that is over takes no row any more once it is sealed.")));
}
