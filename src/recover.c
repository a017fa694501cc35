/*
 * recover.c: recover(), the retry that the database does by itself.
 *
 * The album is taken back as rollback_transition() does it, and the record is resolved in the same transaction: first the album
 * is locked, then the record is written, as anybody does who works on both. A worker acts for the database, in the name of
 * the tables' owner and so in any role; an application acts in its own.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "failure.h"
#include "photo.h"
#include "store.h"
#include "tenant.h"
#include "transition.h"

/* What the record says. */
typedef struct Recovery
{
	pg_uuid_t	id;
	pg_uuid_t	org;
	pg_uuid_t	entity;
	char	   *entityType;
	char	   *from;			/* NULL where it says nothing */
	char	   *to;
	int			status;
	bool		deleted;
} Recovery;

static char *TextOf(const FailureRow *row, FailureColumn column);
static void ReadRecovery(Recovery *recovery, const pg_uuid_t *org);
static const char *NotRecoverable(const Recovery *recovery);
static const char *TakeAlbumBack(const Recovery *recovery, bool *already);
static bool ResolveRecovered(const Recovery *recovery);

static char *
TextOf(const FailureRow *row, FailureColumn column)
{
	return FailureIsNull(row, column) ? NULL : TextDatumGetCString(FailureValue(row, column));
}

/* Read the record; raise PF005 where there is none. */
static void
ReadRecovery(Recovery *recovery, const pg_uuid_t *org)
{
	FailureTable *table = FailureOpen("recover()");
	FailureRow *row;

	if (!FailureFetch(table, &recovery->id, org, false))
		RefuseMissingRows("FailureRecord", "failure record", &recovery->id, 1);
	row = FailureRowMake(table, table->slot);
	recovery->org = *DatumGetUUIDP(FailureValue(row, FC_ORG));
	recovery->entity = *DatumGetUUIDP(FailureValue(row, FC_ENTITY));
	recovery->entityType = TextOf(row, FC_ENTITY_TYPE);
	recovery->from = TextOf(row, FC_FROM);
	recovery->to = TextOf(row, FC_TO);
	recovery->status = FailureInt(row, FC_STATUS);
	recovery->deleted = row->statusBefore == FAILURE_NONE;
	FailureClose(table);
}

/* Say why the record cannot be recovered, whatever its album does; NULL: it can. */
static const char *
NotRecoverable(const Recovery *recovery)
{
	if (recovery->deleted)
		return "the record is deleted";
	if (!FailureMayMove(recovery->status, FAILURE_RESOLVED))
		return psprintf("the record is %s", FailureStatusName(recovery->status));
	if (pg_strcasecmp(recovery->entityType, "Album") != 0)
		return psprintf("only albums are recovered here, not \"%s\"", recovery->entityType);
	return recovery->from ? NULL : "the record has no FromState";
}

/* Take the album back in the scope of its organization. */
static const char *
TakeAlbumBack(const Recovery *recovery, bool *already)
{
	bool		forDatabase = ContextOrg() == NULL && IsFailureWorker();
	TenantScope scope;
	Oid			user;
	int			context;
	int			level;
	const char *whyNot;

	GetUserIdAndSecContext(&user, &context);
	TenantEnter(&scope, &recovery->org);
	level = PinSearchPath();
	if (forDatabase)
		SetUserIdAndSecContext(InstallationGet()->owner, context | SECURITY_LOCAL_USERID_CHANGE);
	whyNot = RollbackTo(&recovery->entity, recovery->from, recovery->to, already);
	SetUserIdAndSecContext(user, context);
	AtEOXact_GUC(true, level);
	TenantLeave(&scope);
	return whyNot;
}

/* Resolve the record; false: somebody has finished it meanwhile. */
static bool
ResolveRecovered(const Recovery *recovery)
{
	FailureTable *table = FailureOpen("recover()");
	bool		resolved = false;

	while (!resolved && FailureFetch(table, &recovery->id, &recovery->org, false))
	{
		FailureRow *row = FailureRowMake(table, table->slot);

		if (row->statusBefore == FAILURE_NONE || !FailureMayMove(row->statusBefore, FAILURE_RESOLVED))
			break;
		FailureFinish(row, FAILURE_RESOLVED, table->now);
		resolved = FailureWrite(table, row, true) == TM_Ok;
		if (!resolved && IsolationUsesXactSnapshot())
			RefuseConcurrentUpdate();
	}
	FailureClose(table);
	return resolved;
}

PHOTOFLOW_FUNCTION(photoflow_recover)
{
	const pg_uuid_t *org = FailureScope(NULL, ACL_UPDATE);
	Recovery	recovery;
	const char *whyNot;
	bool		already;

	RequireArgument(fcinfo, 0, "failure_id", "Give the id of a failure record.");
	memset(&recovery, 0, sizeof(recovery));
	recovery.id = *PG_GETARG_UUID_P(0);
	ReadRecovery(&recovery, org);
	if (recovery.status == FAILURE_RESOLVED && !recovery.deleted)
		PG_RETURN_TEXT_P(cstring_to_text("already resolved"));
	whyNot = NotRecoverable(&recovery);
	if (whyNot == NULL)
		whyNot = TakeAlbumBack(&recovery, &already);
	if (whyNot)
		PG_RETURN_TEXT_P(cstring_to_text(psprintf("not recovered: %s", whyNot)));
	if (!ResolveRecovered(&recovery))
		ereport(ERROR,
				(errcode(ERRCODE_PF_STATE_CONFLICT),
				 errmsg("failure record %s was finished by somebody else meanwhile", UuidText(&recovery.id)),
				 errhint("Nothing has changed; look at the record again.")));
	PG_RETURN_TEXT_P(cstring_to_text(already ? psprintf("already in %s", recovery.from) : "recovered"));
}
