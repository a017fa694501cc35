/*
 * failureadmin.c: what people do with failure records, by id or by error: abandon, requeue, cancel.
 *
 * No token is asked for: who holds such a record finds his claim lost.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "utils/builtins.h"

#include "failure.h"
#include "photo.h"
#include "store.h"

/* What is to become of records. */
typedef struct Order
{
	FailureTable *table;
	const char *function;
	int			to;
	const char *outcome;		/* of an attempt that is under way */
	bool		hasReason;
	Datum		reason;
	int			changed;
} Order;

static Order AbandonOrder(FunctionCallInfo fcinfo);
static bool Applies(const Order *order, const FailureRow *row);
static void Apply(Order *order, FailureRow *row);
static bool HasTwin(const FailureRow *row);
static void ObeyOne(Order *order, const pg_uuid_t *id, const pg_uuid_t *org, bool *found);
static Datum ObeyIds(FunctionCallInfo fcinfo, Order *order);
static void RefuseIdsAsFingerprint(text *given);
static Datum ObeyLike(FunctionCallInfo fcinfo, Order *order);

/* Say whether the order means a record in this status. */
static bool
Applies(const Order *order, const FailureRow *row)
{
	int			status = row->statusBefore;

	switch (order->to)
	{
		case FAILURE_PENDING:
			return status == FAILURE_PENDING || ((status == FAILURE_ABANDONED || status == FAILURE_CANCELLED) && !HasTwin(row));
		case FAILURE_ABANDONED:
			return status == FAILURE_PENDING || status == FAILURE_IN_PROGRESS;
		default:
			return status == FAILURE_PENDING || status == FAILURE_IN_PROGRESS || status == FAILURE_ABANDONED;
	}
}

/* Say whether the same failure has been recorded anew since this record was finished; nobody records it until the commit. */
static bool
HasTwin(const FailureRow *row)
{
	pg_uuid_t	twin;

	return FailureFindOpen(row, &twin);
}

static void
Apply(Order *order, FailureRow *row)
{
	if (row->statusBefore == FAILURE_IN_PROGRESS)
		FailureEndAttempt(order->table, row, order->outcome, order->reason, order->hasReason);
	if (order->to == FAILURE_PENDING)
	{
		FailureComplete(row);
		FailureRequeue(row);
	}
	else
		FailureFinish(row, order->to, order->table->now);
	if (order->hasReason)
		FailureReplaceError(row, order->reason, order->table->now);
}

static void
ObeyOne(Order *order, const pg_uuid_t *id, const pg_uuid_t *org, bool *found)
{
	for (;;)
	{
		int			attempts = list_length(order->table->attempts);
		FailureRow *row;

		*found = FailureFetch(order->table, id, org, order->to == FAILURE_PENDING);
		if (!*found)
			return;
		row = FailureRowMake(order->table, order->table->slot);
		if (row->statusBefore == FAILURE_NONE)
		{
			*found = false;		/* deleted: restore it first */
			return;
		}
		if (!Applies(order, row))
			return;
		Apply(order, row);
		if (FailureWrite(order->table, row, true) == TM_Ok)
			break;
		order->table->attempts = list_truncate(order->table->attempts, attempts);
		if (IsolationUsesXactSnapshot())
			RefuseConcurrentUpdate();
	}
	order->changed++;
}

/* The first argument is an array of ids. */
static Datum
ObeyIds(FunctionCallInfo fcinfo, Order *order)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_UPDATE);
	int			count;
	pg_uuid_t  *ids;
	pg_uuid_t  *missing;
	int			nmissing = 0;

	RequireArgument(fcinfo, 0, "ids", "Give the ids of the records, an empty array for none.");
	ids = UuidArrayElements(PG_GETARG_ARRAYTYPE_P(0), "ids", &count);
	count = UuidSortUnique(ids, count);
	missing = palloc(sizeof(pg_uuid_t) * Max(count, 1));
	order->table = FailureOpen(order->function);
	for (int i = 0; i < count; i++)
	{
		bool		found;

		ObeyOne(order, &ids[i], org, &found);
		if (!found)
			missing[nmissing++] = ids[i];
	}
	if (nmissing > 0)
		RefuseMissingRows("FailureRecord", "failure record", missing, nmissing);
	FailureClose(order->table);
	PG_RETURN_INT32(order->changed);
}

/* A bare literal '{..}' comes as text, where ids were meant: it would be a fingerprint that nothing has. */
static void
RefuseIdsAsFingerprint(text *given)
{
	if (VARSIZE_ANY_EXHDR(given) > 0 && *VARDATA_ANY(given) == '{')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"fingerprint\" must not be an array"),
				 errhint("To name records by their ids, say what the literal is: '{...}'::uuid[].")));
}

/* The first argument is a fingerprint. */
static Datum
ObeyLike(FunctionCallInfo fcinfo, Order *order)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_UPDATE);
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[2] = {UUIDPGetDatum(org)};
	int			count;
	pg_uuid_t  *ids;

	RequireArgument(fcinfo, 0, "fingerprint", "Take one from SELECT * FROM photoflow.failure_groups().");
	RefuseIdsAsFingerprint(PG_GETARG_TEXT_PP(0));
	values[1] = PG_GETARG_DATUM(0);
	order->table = FailureOpen(order->function);
	StoreBegin();
	count = (int) StoreRun(org ? PLAN_FAILURES_LIKE : PLAN_FAILURES_LIKE_ANYWHERE, org ? values : values + 1, NULL);
	ids = MemoryContextAllocExtended(caller, sizeof(pg_uuid_t) * Max(count, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		ids[i] = *StoreUuid(i, 1);
	StoreEnd();
	count = UuidSortUnique(ids, count);
	for (int i = 0; i < count; i++)
	{
		bool		found;

		ObeyOne(order, &ids[i], org, &found);
	}
	FailureClose(order->table);
	PG_RETURN_INT32(order->changed);
}

static Order
AbandonOrder(FunctionCallInfo fcinfo)
{
	Order		order = {.function = "abandon_failures()", .to = FAILURE_ABANDONED, .outcome = "abandoned", .hasReason = !PG_ARGISNULL(1)};

	if (order.hasReason)
		order.reason = PG_GETARG_DATUM(1);
	return order;
}

PHOTOFLOW_FUNCTION(photoflow_abandon_failures)
{
	Order		order = AbandonOrder(fcinfo);

	return ObeyIds(fcinfo, &order);
}

PHOTOFLOW_FUNCTION(photoflow_abandon_failures_like)
{
	Order		order = AbandonOrder(fcinfo);

	return ObeyLike(fcinfo, &order);
}

PHOTOFLOW_FUNCTION(photoflow_requeue_failures)
{
	Order		order = {.function = "requeue_failures()", .to = FAILURE_PENDING};

	return ObeyIds(fcinfo, &order);
}

PHOTOFLOW_FUNCTION(photoflow_requeue_failures_like)
{
	Order		order = {.function = "requeue_failures()", .to = FAILURE_PENDING};

	return ObeyLike(fcinfo, &order);
}

PHOTOFLOW_FUNCTION(photoflow_cancel_failures)
{
	Order		order = {.function = "cancel_failures()", .to = FAILURE_CANCELLED, .outcome = "cancelled"};

	return ObeyIds(fcinfo, &order);
}

PHOTOFLOW_FUNCTION(photoflow_cancel_failures_like)
{
	Order		order = {.function = "cancel_failures()", .to = FAILURE_CANCELLED, .outcome = "cancelled"};

	return ObeyLike(fcinfo, &order);
}
