/*
 * deletion.c: the deletions of this transaction, their ids, and what a plan or a trigger asks of one row.
 *
 * Lifetimes: a deletion is made when its first row is marked, by the statement that runs (deleterun.c), or by
 * soft_delete(), whose statement takes it over. It lives until the transaction ends. A statement which began before
 * the library was there has no frame: it is `frameless` until its cascade.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "deleterun.h"
#include "deletion.h"
#include "photo.h"
#include "refusalcount.h"
#include "store.h"

static Deletion *newest = NULL;
static const Deletion *given = NULL;
static const Deletion *frameless = NULL;

static void ForgetDeletions(XactEvent event, void *arg);
static bool IsMoved(TriggerData *trigger);
static void RequireUnmarked(TriggerData *trigger);
static void ForgetQuiet(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg);

void
DeletionInitialize(void)
{
	RegisterXactCallback(ForgetDeletions, NULL);
	RegisterSubXactCallback(ForgetQuiet, NULL);
}

static void
ForgetDeletions(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		newest = NULL;
		given = frameless = NULL;
		(void) StoreTakeQuiet();
	}
}

/* What failed before it started is forgotten. */
static void
ForgetQuiet(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		(void) StoreTakeQuiet();
		given = NULL;
	}
}

/* Begin a deletion; one that counts has the number of its rows for each table. */
Deletion *
DeletionNew(bool counts)
{
	Deletion   *deletion = MemoryContextAllocZero(TopTransactionContext, sizeof(Deletion));
	const pg_uuid_t *user = ContextUser();

	UuidV7(&deletion->id);
	deletion->at = GetCurrentTimestamp();
	deletion->hasBy = user != NULL;
	if (user)
		deletion->by = *user;
	if (counts)
		deletion->rows = MemoryContextAllocZero(TopTransactionContext, sizeof(int64) * SOFT_TABLE_COUNT);
	deletion->previous = newest;
	newest = deletion;
	return deletion;
}

/* Return the deletion that the statement is which runs now. */
const Deletion *
DeletionCurrent(void)
{
	DeleteFrame *frame = DeleteFrameCurrent();
	const Deletion **place = frame ? &frame->deletion : &frameless;

	if (*place == NULL)
		*place = DeletionNew(false);
	return *place;
}

/* Let the next statement be this deletion; NULL: the one that it is by itself. */
void
DeletionGive(Deletion *deletion)
{
	given = deletion;
}

const Deletion *
DeletionTakeGiven(void)
{
	const Deletion *taken = given;

	given = NULL;
	return taken;
}

/* Let what comes next without a frame be another deletion. */
void
DeletionEndFrameless(void)
{
	frameless = NULL;
}

/* Return the deletion of this transaction that has this id, or NULL. */
const Deletion *
DeletionFind(const pg_uuid_t *id)
{
	const Deletion *found = newest;

	while (found && !UuidEquals(&found->id, id))
		found = found->previous;
	return found;
}

/* Return the deletion whose id a row carries; one of another transaction is made up from the row. */
const Deletion *
DeletionOfRow(const pg_uuid_t *id, TimestampTz at, const pg_uuid_t *by)
{
	const Deletion *known = DeletionFind(id);
	Deletion   *found;

	if (known)
		return known;
	found = MemoryContextAllocZero(TopTransactionContext, sizeof(Deletion));
	found->id = *id;
	found->at = at;
	found->hasBy = by != NULL;
	if (by)
		found->by = *by;
	found->previous = newest;
	newest = found;
	return found;
}

PHOTOFLOW_FUNCTION(photoflow_deletion_id)
{
	PG_RETURN_DATUM(UuidCopyDatum(&DeletionCurrent()->id));
}

PHOTOFLOW_FUNCTION(photoflow_deletion_time)
{
	PG_RETURN_TIMESTAMPTZ(DeletionCurrent()->at);
}

/* Say that a row is frozen. */
void
RefuseMarkedRow(const char *table, const pg_uuid_t *id)
{
	SoftTableId known = SoftTableByName(table);

	if (known != SOFT_NONE && id)
		RefuseDeletedRows(softTables[known].entity, softTables[known].noun, id, 1);
	ereport(ERROR,
			(errcode(ERRCODE_PF_ROW_IS_DELETED),
			 errmsg("row of \"%s\" is deleted", table),
			 errhint("A deleted row does not change; restore it first.")));
}

/* Called for each row of an UPDATE, so that it says yes at once. */
PHOTOFLOW_FUNCTION(photoflow_require_live)
{
	if (!PG_ARGISNULL(0) && PG_GETARG_BOOL(0))
	{
		const char *name = PG_ARGISNULL(1) ? NULL : get_rel_name(PG_GETARG_OID(1));

		RefuseMarkedRow(name ? name : "?", PG_ARGISNULL(2) ? NULL : PG_GETARG_UUID_P(2));
	}
	PG_RETURN_BOOL(true);
}

/* Say whether an UPDATE takes the row to another partition, which for the executor is a DELETE and an INSERT. */
static bool
IsMoved(TriggerData *trigger)
{
	DeleteFrame *frame = DeleteFrameCurrent();

	/* in a WITH, or by MERGE, it is not told from a DELETE, and refused */
	return frame && frame->operation == CMD_UPDATE && trigger->tg_relation->rd_rel->relispartition;
}

/* Refuse to move a marked row. */
static void
RequireUnmarked(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, "IsDeleted");
	bool		isNull;

	if (number > 0 && DatumGetBool(SPI_getbinval(trigger->tg_trigtuple, desc, number, &isNull)) && !isNull)
		RefuseMarkedRow(RelationGetRelationName(trigger->tg_relation), NULL);
}

/* Refuse a DELETE that could not be turned, for whatever reason; it goes on where it may. */
void
RefuseHardDelete(TriggerData *trigger)
{
	const char *table = RelationGetRelationName(trigger->tg_relation);
	JsonText	detail;

	if (IsMoved(trigger))
	{
		RequireUnmarked(trigger);
		return;
	}
	if (HardDeleteAllowed())
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "table", table);
	ereport(ERROR,
			(errcode(ERRCODE_PF_HARD_DELETE_REFUSED),
			 errmsg("rows of \"%s\" are not really deleted", table),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 InNoForceRLSOperation() ?
			 errhint("A foreign key of a row that is being deleted cascades here, which would leave rows that hang on "
					 "nothing: delete these rows first, they are only marked, and purge them.") :
			 ContextIsOwner() ?
			 errhint("A statement that was planned before photoflow was loaded marks rows when it is run again: load the "
					 "library at the start of sessions, ALTER DATABASE ... SET session_preload_libraries = 'photoflow'. "
					 "What is deleted is taken away by CALL photoflow.purge(); to really delete live rows: SET "
					 "photoflow.hard_delete = on.") :
			 errhint("A statement that was planned before photoflow was loaded marks rows when it is run again: load the "
					 "library at the start of sessions, ALTER ROLE ... SET session_preload_libraries = 'photoflow'."),
			 RefusalCounted()));
}
