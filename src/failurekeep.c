/*
 * failurekeep.c: the trigger that keeps a failure record what it is, whichever way it is changed.
 *
 *     CREATE TRIGGER "zz_PhotoflowFailureKeep" BEFORE INSERT OR UPDATE OF "Status", .. ON "FailureRecords"
 *         FOR EACH ROW EXECUTE FUNCTION photoflow.keep_failure()
 *
 * A plain UPDATE of "Status" does what the function of that name would: a claim gets a lease and a token, a record that waits
 * again a time. What goes with it is the database's to write; a statement that does is refused, but for the owner's INSERT,
 * which loads records as they were.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"

#include "failure.h"
#include "refusalcount.h"
#include "store.h"

/* what statements do not write */
static const struct
{
	FailureColumn column;
	const char *name;
}			books[] = {
	{FC_ID, "Id"}, {FC_RETRIES, "RetryCount"}, {FC_LAST_RETRY, "LastRetryAt"}, {FC_LEASE, "LeaseUntil"}, {FC_TOKEN, "ClaimToken"},
	{FC_WORKER, "ClaimedBy"}, {FC_FINISHED, "FinishedAt"}, {FC_FINGERPRINT, "Fingerprint"}, {FC_OCCURRENCES, "Occurrences"},
	{FC_LAST_FAILED, "LastFailedAt"}, {FC_FIRST_ERROR, "FirstError"}
};

static void RefuseFailureBooks(const char *column);
static void RefuseMove(const FailureRow *row, int from, int to);
static bool Differs(TupleDesc desc, const FailureRow *a, const FailureRow *b, FailureColumn column);
static void KeepInserted(FailureRow *row);
static void KeepUpdated(TriggerData *trigger, const FailureRow *before, FailureRow *row);
static void KeepMovedPlace(TupleDesc desc, const FailureRow *before, FailureRow *row);
static void KeepPlace(TupleDesc desc, const FailureRow *before, FailureRow *row);
static void KeepMoved(const FailureRow *before, FailureRow *row);

static void
RefuseFailureBooks(const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("\"%s\" of \"FailureRecords\" is written by the database", column),
			 errhint("Leave it out of the statement: it goes with \"Status\". Functions of photoflow do the rest, such as requeue_failures().")));
}

static void
RefuseMove(const FailureRow *row, int from, int to)
{
	const char *fromName = FailureStatusName(from);
	const char *toName = FailureStatusName(to);
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "entity", "FailureRecord");
	JsonAddUuid(&detail, "id", DatumGetUUIDP(FailureValue(row, FC_ID)));
	if (from != FAILURE_NONE)
		JsonAddText(&detail, "from", fromName ? fromName : psprintf("%d", from));
	JsonAddText(&detail, "to", toName ? toName : psprintf("%d", to));
	if (from == FAILURE_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_PF_ILLEGAL_STATE_CHANGE),
				 errmsg("a failure record begins pending, not in status %d", to),
				 errdetail_internal("%s", JsonEnd(&detail)),
				 errhint("Leave \"Status\" out; only the owner of the tables loads records as they were."),
				 RefusalCounted()));
	ereport(ERROR,
			(errcode(ERRCODE_PF_ILLEGAL_STATE_CHANGE),
			 errmsg("failure record may not go from %s to %s", fromName ? fromName : psprintf("status %d", from),
					toName ? toName : psprintf("status %d", to)),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 errhint("0 pending, 1 in progress, 2 resolved, 3 abandoned, 4 cancelled. What is resolved stays so; what was abandoned or cancelled can be made pending again."),
			 RefusalCounted()));
}

static bool
Differs(TupleDesc desc, const FailureRow *a, const FailureRow *b, FailureColumn column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, a->columns->number[column] - 1);

	if (FailureIsNull(a, column) || FailureIsNull(b, column))
		return FailureIsNull(a, column) != FailureIsNull(b, column);
	return !datum_image_eq(FailureValue(a, column), FailureValue(b, column), attribute->attbyval, attribute->attlen);
}

/* A new record; what the owner loads keeps what it has. */
static void
KeepInserted(FailureRow *row)
{
	int			status = FailureInt(row, FC_STATUS);
	bool		loads = ContextIsOwner();

	if (status != FAILURE_PENDING && (!loads || FailureStatusName(status) == NULL))
		RefuseMove(row, FAILURE_NONE, status);
	if (!loads)
	{
		if (FailureInt(row, FC_RETRIES) != 0 || !FailureIsNull(row, FC_LAST_RETRY))
			RefuseFailureBooks(FailureIsNull(row, FC_LAST_RETRY) ? "RetryCount" : "LastRetryAt");
		FailureSet(row, FC_TOKEN, Int64GetDatum(0));
		FailureSet(row, FC_OCCURRENCES, Int32GetDatum(1));
		FailureClear(row, FC_LEASE);
		FailureClear(row, FC_WORKER);
		FailureClear(row, FC_FINISHED);
		FailureClear(row, FC_FIRST_ERROR);
	}
	if (FailureIsNull(row, FC_LAST_FAILED) || !loads)
		FailureSet(row, FC_LAST_FAILED, FailureValue(row, FC_CREATED));
	if (!FailureIsNull(row, FC_ERROR))
		FailureSet(row, FC_FINGERPRINT, ErrorFingerprint(FailureValue(row, FC_ERROR)));
	else
		FailureClear(row, FC_FINGERPRINT);
	if (status != FAILURE_PENDING && status != FAILURE_IN_PROGRESS)
	{
		FailureClear(row, FC_NEXT_RETRY);
		if (FailureIsNull(row, FC_FINISHED))
			FailureSet(row, FC_FINISHED, TimestampTzGetDatum(GetCurrentTimestamp()));
	}
	else if (FailureIsNull(row, FC_NEXT_RETRY) || DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) <= GetCurrentTimestamp())
		FailureSet(row, FC_NEXT_RETRY, TimestampTzGetDatum(FailureStamp()));
}

/* A plain UPDATE has changed the status. */
static void
KeepMoved(const FailureRow *before, FailureRow *row)
{
	int			from = FailureInt(before, FC_STATUS);
	int			to = FailureInt(row, FC_STATUS);
	const FailurePolicy *policy = FailurePolicyOf(row);
	TimestampTz now = GetCurrentTimestamp();

	if (!FailureMayMove(from, to))
		RefuseMove(row, from, to);
	if (to == FAILURE_IN_PROGRESS)
	{
		FailureTake(row, CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)), now, policy->lease);
		/* before it was due: it would be looked for there when its lease has ended */
		if (DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) > now)
			FailureSet(row, FC_NEXT_RETRY, TimestampTzGetDatum(FailureStamp()));
	}
	else if (to != FAILURE_PENDING)
		FailureFinish(row, to, now);
	else if (from != FAILURE_IN_PROGRESS)
		FailureRequeue(row);
	else
	{
		FailureSet(row, FC_LAST_FAILED, TimestampTzGetDatum(now));
		FailureRetryAt(row, FailureStamp() + BackoffDelay(FailureInt(row, FC_RETRIES), policy->base, policy->cap,
														  pg_prng_double(&pg_global_prng_state)));
	}
}

static void
KeepUpdated(TriggerData *trigger, const FailureRow *before, FailureRow *row)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		appears = (DatumGetBool(FailureValue(before, FC_DELETED)) && !DatumGetBool(FailureValue(row, FC_DELETED))) ||
		Differs(desc, before, row, FC_ENTITY_TYPE);

	for (size_t i = 0; i < lengthof(books); i++)
		if (Differs(desc, before, row, books[i].column))
			RefuseFailureBooks(books[i].name);
	if (Differs(desc, before, row, FC_ERROR))
	{
		FailureClear(row, FC_FINGERPRINT);
		if (FailureIsNull(row, FC_FIRST_ERROR) && !FailureIsNull(before, FC_ERROR))
			FailureSet(row, FC_FIRST_ERROR, FailureValue(before, FC_ERROR));
		if (!FailureIsNull(row, FC_ERROR))
			FailureSet(row, FC_FINGERPRINT, ErrorFingerprint(FailureValue(row, FC_ERROR)));
	}
	if (FailureInt(before, FC_STATUS) != FailureInt(row, FC_STATUS))
		KeepMovedPlace(desc, before, row);
	else
		KeepPlace(desc, before, row);
	/* where others may have passed it: all sessions forget their marks */
	if (appears && !FailureIsNull(row, FC_NEXT_RETRY))
		CacheInvalidateRelcache(trigger->tg_relation);
}

/* The status has changed, and the place in the queue with it; the time that a waiting record is given is taken. */
static void
KeepMovedPlace(TupleDesc desc, const FailureRow *before, FailureRow *row)
{
	bool		given = Differs(desc, before, row, FC_NEXT_RETRY) && !FailureIsNull(row, FC_NEXT_RETRY);
	TimestampTz time = given ? DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) : 0;

	if (given && FailureInt(row, FC_STATUS) != FAILURE_PENDING)
		RefuseFailureBooks("NextRetryAt");
	FailureSet(row, FC_NEXT_RETRY, FailureIsNull(before, FC_NEXT_RETRY) ? TimestampTzGetDatum(FailureStamp()) :
			   FailureValue(before, FC_NEXT_RETRY));
	KeepMoved(before, row);
	if (given)
		FailureRetryAt(row, time > GetCurrentTimestamp() ? time : FailureStamp());
}

/* The status stays; the place in the queue may be changed while the record waits. */
static void
KeepPlace(TupleDesc desc, const FailureRow *before, FailureRow *row)
{
	int			status = FailureInt(row, FC_STATUS);
	bool		moved = Differs(desc, before, row, FC_NEXT_RETRY);

	if (moved && (status != FAILURE_PENDING || FailureIsNull(row, FC_NEXT_RETRY)))
		RefuseFailureBooks("NextRetryAt");
	if (status != FAILURE_PENDING && status != FAILURE_IN_PROGRESS)
		return;
	if (FailureIsNull(row, FC_NEXT_RETRY))
		FailureComplete(row);
	/* a time that has passed would lie before the marks of those who claim */
	if (FailureIsNull(row, FC_NEXT_RETRY) ||
		(moved && DatumGetTimestampTz(FailureValue(row, FC_NEXT_RETRY)) <= GetCurrentTimestamp()))
		FailureSet(row, FC_NEXT_RETRY, TimestampTzGetDatum(FailureStamp()));
}

PHOTOFLOW_FUNCTION(photoflow_keep_failure)
{
	bool		inserts = CALLED_AS_TRIGGER(fcinfo) && TRIGGER_FIRED_BY_INSERT(((TriggerData *) fcinfo->context)->tg_event);
	TriggerData *trigger = RequireTrigger(fcinfo, "keep_failure", inserts ? BEFORE_INSERT_ROW : BEFORE_UPDATE_ROW,
										  "BEFORE INSERT OR UPDATE FOR EACH ROW");
	HeapTuple	tuple = inserts ? trigger->tg_trigtuple : trigger->tg_newtuple;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	FailureColumns columns;
	FailureRow	before;
	FailureRow	row;

	FailureRequireTable(trigger->tg_relation);
	FailureColumnsFind(trigger->tg_relation, &columns);
	FailureRowTake(&row, &columns, tuple, desc);
	if (FailureIsNull(&row, FC_STATUS) || FailureIsNull(&row, FC_ENTITY_TYPE) || FailureIsNull(&row, FC_RETRIES) ||
		FailureIsNull(&row, FC_ID) || FailureIsNull(&row, FC_TOKEN) || FailureIsNull(&row, FC_DELETED))
		return PointerGetDatum(tuple);	/* NOT NULL is the table's to say */
	if (inserts)
		KeepInserted(&row);
	else
	{
		FailureRowTake(&before, &columns, trigger->tg_trigtuple, desc);
		if (before.hadPlace)
			MarkHold(before.placeBefore);
		if (FailurePassWriting(&row))
			return PointerGetDatum(tuple);
		KeepUpdated(trigger, &before, &row);
	}
	return PointerGetDatum(heap_form_tuple(desc, row.values, row.nulls));
}
