/*
 * auditlog.h: the audit log, shared by its files.
 *
 * Words:
 * - An operation is what the application reports; a change is what happened to a row of a tracked table.
 * - The diff of a change is "Changes": of an update the columns that differ, each with its old and its new value; of an insert or
 *   a delete the row without its NULLs.
 * - To mask is to write "***" for a value that is a secret.
 */
#ifndef PHOTOFLOW_AUDITLOG_H
#define PHOTOFLOW_AUDITLOG_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"

#define AUDIT_MASK "***"

typedef enum AuditColumn
{
	AC_ID,
	AC_ORG,
	AC_CREATED,
	AC_SERVICE,
	AC_ACTION,
	AC_ENTITY_TYPE,
	AC_ENTITY,
	AC_USER,
	AC_MS,
	AC_STATUS,
	AC_ERROR,
	AC_REQUEST,
	AC_RESPONSE,
	AC_REQUEST_ID,
	AC_CORRELATION,
	AC_OPERATION,
	AC_ADDRESS,
	AC_AGENT,
	AC_ADDITIONAL,
	AC_STARTED,
	AC_COMPLETED,
	AC_CHANGES,
	AC_ROLE,
	AC_LOGIN,
	AC_TRANSACTION,
	AC_COUNT
} AuditColumn;

/* A row of the log to be. */
typedef struct AuditRow
{
	Datum		values[AC_COUNT];
	bool		nulls[AC_COUNT];
} AuditRow;

static inline void
AuditSet(AuditRow *row, AuditColumn column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

/* auditplace.c */
typedef struct AuditColumns
{
	AttrNumber	number[AC_COUNT];
	AttrNumber	deleted;
} AuditColumns;

/* on a month that is sealed; it refuses rows */
#define AUDIT_SEALED_TRIGGER "zz_PhotoflowAuditSealed"

extern void AuditPlaceInitialize(void);
extern Relation AuditPlaceOpen(Relation logs, TimestampTz at, AuditColumns *columns);

/* auditwrite.c */
typedef struct AuditWriter AuditWriter;
extern AuditWriter *AuditWriterOpen(int room, MemoryContext waiting);
extern void AuditWriterAdd(AuditWriter *writer, const AuditRow *row);
extern void AuditWriterClose(AuditWriter *writer);
extern void AuditRowOfContext(AuditRow *row);

/* auditsecret.c */
extern bool IsSecretName(const char *name, int length);
extern JsonbValue *MaskJson(JsonbContainer *container, bool strings);
extern Datum MaskJsonDatum(Datum json);
extern char *MaskText(const char *text, int length, int *masked);

/* how a value becomes JSON */
typedef enum DiffKind
{
	DIFF_TEXT,
	DIFF_BOOL,
	DIFF_INT2,
	DIFF_INT4,
	DIFF_INT8,
	DIFF_NUMERIC,
	DIFF_UUID,
	DIFF_TIME,
	DIFF_JSONB,
	DIFF_JSON,
	DIFF_OTHER					/* as to_jsonb() makes it */
} DiffKind;

typedef struct TrackedColumn
{
	AttrNumber	number;
	JsonbValue	key;
	DiffKind	kind;
	Oid			type;
	bool		byValue;
	int16		length;
	bool		masked;
	bool		isContainer;	/* an array or a composite */
	bool		mayFail;		/* to_jsonb() may refuse a value of it */
	FmgrInfo	toJson;			/* of DIFF_OTHER and DIFF_JSON */
	FmgrInfo	toText;
} TrackedColumn;

/* What is known of a tracked table; audittable.c. */
typedef struct TrackedTable
{
	Oid			relation;
	Oid			root;			/* of a partition the whole, whose name the log has */
	MemoryContext memory;
	bool		valid;
	const char *entityType;
	int			count;
	TrackedColumn *columns;		/* those that a diff may name */
	int			keyCount;
	TrackedColumn *key;			/* of the primary key */
	AttrNumber	org;			/* InvalidAttrNumber: rows belong to no organization by themselves */
	AttrNumber	isDeleted;		/* of a table of soft delete */
} TrackedTable;

/* auditvalue.c; values of one row beyond so many bytes are left out: JSON has room for 256 MB */
#define AUDIT_VALUES_MOST (100 * 1024 * 1024)

extern void AuditValueToJson(JsonbValue *out, const TrackedColumn *column, Datum value, bool isNull, int64 *room);

/* auditdiff.c */
extern Datum DiffOfUpdate(const TrackedTable *table, TupleTableSlot *before, TupleTableSlot *after, bool *same);
extern Datum DiffOfRow(const TrackedTable *table, TupleTableSlot *slot);
extern Datum EntityIdOfRow(const TrackedTable *table, TupleTableSlot *slot, bool *isNull);

/* audittable.c */
struct Trigger;
extern void TrackedTableInitialize(void);
extern const TrackedTable *TrackedTableOf(Relation relation, const struct Trigger *trigger);
extern bool TrackedArgument(const char *argument, bool *masks, const char **column);

/* auditreport.c */
extern const pg_uuid_t *AuditScope(void);
extern void AuditRequireTables(void);

#endif
