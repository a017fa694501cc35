/*
 * failureattempt.c: attempts that have ended, and the tables beside the records.
 *
 * The attempt that runs, and the one that succeeded, are in the record itself: success costs no row.
 */
#include "photoflow.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "failure.h"
#include "multiinsert.h"
#include "store.h"
#include "tenant.h"

/* An attempt that has ended; "FailureAttempts" as it is made. */
typedef struct EndedAttempt
{
	pg_uuid_t	org;
	pg_uuid_t	id;
	int64		attempt;
	Datum		worker;			/* 0: NULL */
	bool		hasStart;
	TimestampTz start;
	TimestampTz end;
	Datum		outcome;
	Datum		error;			/* 0: NULL */
} EndedAttempt;

#define ATTEMPT_COLUMNS 8
static const PlainColumn attemptColumns[ATTEMPT_COLUMNS] = {
	{"OrgId", UUIDOID, true}, {"FailureId", UUIDOID, true}, {"Attempt", INT8OID, true}, {"Worker", TEXTOID, false},
	{"StartedAt", TIMESTAMPTZOID, false}, {"FinishedAt", TIMESTAMPTZOID, true}, {"Outcome", TEXTOID, true},
	{"ErrorMessage", TEXTOID, false}
};

static Datum CopyText(Datum value);
static void FillAttempt(void *state, int i, Datum *values, bool *nulls);

/* A value that outlives its row; what lies outside of it is fetched. */
static Datum
CopyText(Datum value)
{
	return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
}

/* Remember the attempt that a record is in as ended. */
void
FailureEndAttempt(FailureTable *table, const FailureRow *row, const char *outcome, Datum error, bool hasError)
{
	MemoryContext caller = MemoryContextSwitchTo(table->context);
	EndedAttempt *attempt = palloc(sizeof(EndedAttempt));

	attempt->org = *DatumGetUUIDP(FailureValue(row, FC_ORG));
	attempt->id = *DatumGetUUIDP(FailureValue(row, FC_ID));
	attempt->attempt = DatumGetInt64(FailureValue(row, FC_TOKEN));
	attempt->worker = FailureIsNull(row, FC_WORKER) ? (Datum) 0 : CopyText(FailureValue(row, FC_WORKER));
	attempt->hasStart = !FailureIsNull(row, FC_LAST_RETRY);
	attempt->start = attempt->hasStart ? DatumGetTimestampTz(FailureValue(row, FC_LAST_RETRY)) : 0;
	attempt->end = table->now;
	attempt->outcome = CStringGetTextDatum(outcome);
	attempt->error = hasError ? CopyText(error) : (Datum) 0;
	table->attempts = lappend(table->attempts, attempt);
	MemoryContextSwitchTo(caller);
}

static void
FillAttempt(void *state, int i, Datum *values, bool *nulls)
{
	EndedAttempt *attempt = list_nth(state, i);

	values[0] = UUIDPGetDatum(&attempt->org);
	values[1] = UUIDPGetDatum(&attempt->id);
	values[2] = Int64GetDatum(attempt->attempt);
	values[3] = attempt->worker;
	values[4] = TimestampTzGetDatum(attempt->start);
	values[5] = TimestampTzGetDatum(attempt->end);
	values[6] = attempt->outcome;
	values[7] = attempt->error;
	for (int column = 0; column < ATTEMPT_COLUMNS; column++)
		nulls[column] = (column == 3 && attempt->worker == 0) || (column == 4 && !attempt->hasStart) ||
			(column == 7 && attempt->error == 0);
}

/* Write attempts that have ended. */
void
FailureAttemptsWrite(List *attempts)
{
	Relation	relation = table_open(FailureSideTable("FailureAttempts"), RowExclusiveLock);

	if (MultiInsertSuits(relation, attemptColumns, ATTEMPT_COLUMNS))
		MultiInsert(relation, list_length(attempts), FillAttempt, attempts);
	else
		for (int i = 0; i < list_length(attempts); i++)
		{
			Datum		values[ATTEMPT_COLUMNS];
			bool		nulls[ATTEMPT_COLUMNS];

			FillAttempt(attempts, i, values, nulls);
			FailureSideInsert(PLAN_FAILURE_ATTEMPT_ADD, values, nulls, ATTEMPT_COLUMNS);
		}
	table_close(relation, NoLock);
}

/* Insert a row where a user's triggers are to hear of it; its first column is the organization. */
void
FailureSideInsert(int plan, const Datum *values, const bool *nulls, int columns)
{
	char		spiNulls[ATTEMPT_COLUMNS + 1];
	TenantScope scope;

	for (int i = 0; i < columns; i++)
		spiNulls[i] = nulls[i] ? 'n' : ' ';
	TenantEnter(&scope, DatumGetUUIDP(values[0]));
	StoreBegin();
	(void) StoreRun((StorePlan) plan, values, spiNulls);
	StoreEnd();
	TenantLeave(&scope);
}

/* Return a table beside the records; InvalidOid where there is none of the owner's. */
Oid
FailureSideTableIfThere(const char *name)
{
	Oid			relid = get_relname_relid(name, InstallationGet()->schemaOid);

	return InstallationOwnsTable(relid) ? relid : InvalidOid;
}

/* Return a table beside the records; raise PF040 where it is not made yet. */
Oid
FailureSideTable(const char *name)
{
	Oid			relid = FailureSideTableIfThere(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("there is no table \"%s\" of the owner of the data tables yet", name),
				 errhint("Run CALL photoflow.migrate().")));
	return relid;
}
