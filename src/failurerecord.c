/*
 * failurerecord.c: record_failure().
 *
 * The same failure is the same entity and transition. While a record of it is open, another is not made: it is bumped. Two
 * sessions that record the same failure take turns, by a lock on it that is held until the commit.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "failure.h"
#include "refusalcount.h"
#include "store.h"
#include "tenant.h"

/* so many locks there are for all failures, that one who takes many does not fill the table of locks */
#define FAILURE_LOCKS 1024

/* What is the same failure; a Datum of 0 is NULL. */
typedef struct FailureIdentity
{
	pg_uuid_t	org;
	Datum		entityType;
	pg_uuid_t	entity;
	Datum		from;
	Datum		to;
} FailureIdentity;

static uint32 HashText(uint32 hash, Datum value);
static bool FindOpen(const FailureIdentity *identity, pg_uuid_t *found);
static void OrganizationOfAlbum(const pg_uuid_t *album, pg_uuid_t *org);
static bool Bump(FunctionCallInfo fcinfo, const pg_uuid_t *id, int severity);
static void Insert(FunctionCallInfo fcinfo, const FailureIdentity *identity, int severity, pg_uuid_t *id);
static int	SeverityArgument(FunctionCallInfo fcinfo);

static uint32
HashText(uint32 hash, Datum value)
{
	text	   *string;

	if (value == 0)
		return hash_combine(hash, 1);
	string = DatumGetTextPP(value);
	return hash_combine(hash, hash_bytes((const unsigned char *) VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string)));
}

/* Find the open record of a failure, which nobody else records or requeues until the commit. */
static bool
FindOpen(const FailureIdentity *identity, pg_uuid_t *found)
{
	Datum		values[5] = {UUIDPGetDatum(&identity->org), identity->entityType, UUIDPGetDatum(&identity->entity), identity->from,
	identity->to};
	char		nulls[6] = {' ', ' ', ' ', identity->from ? ' ' : 'n', identity->to ? ' ' : 'n', '\0'};
	uint32		hash = hash_combine(hash_bytes(identity->org.data, UUID_LEN), hash_bytes(identity->entity.data, UUID_LEN));
	bool		any;

	hash = HashText(HashText(HashText(hash, identity->entityType), identity->from), identity->to);
	LockDatabaseObject(InstallationGet()->albums, hash % FAILURE_LOCKS, 3, ExclusiveLock);
	StoreBegin();
	any = StoreRun(PLAN_FAILURE_OPEN, values, nulls) > 0;
	if (any)
		*found = *StoreUuid(0, 1);
	StoreEnd();
	return any;
}

/* Find another open record of the failure that a finished one is of. */
bool
FailureFindOpen(const FailureRow *row, pg_uuid_t *found)
{
	FailureIdentity identity = {.org = *DatumGetUUIDP(FailureValue(row, FC_ORG)), .entityType = FailureValue(row, FC_ENTITY_TYPE),
	.entity = *DatumGetUUIDP(FailureValue(row, FC_ENTITY))};

	identity.from = FailureIsNull(row, FC_FROM) ? (Datum) 0 : FailureValue(row, FC_FROM);
	identity.to = FailureIsNull(row, FC_TO) ? (Datum) 0 : FailureValue(row, FC_TO);
	return FindOpen(&identity, found);
}

/* Who works across may leave the organization out for an album. */
static void
OrganizationOfAlbum(const pg_uuid_t *album, pg_uuid_t *org)
{
	Datum		values[1] = {UUIDPGetDatum(album)};

	StoreBegin();
	if (StoreRun(PLAN_FAILURE_ALBUM_ORG, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_NO_TENANT),
				 errmsg("the organization of the failed entity is not known"),
				 errhint("Give \"org_id\", or say whom you work for: SELECT photoflow.set_context(org_id)."),
				 RefusalCounted()));
	*org = *StoreUuid(0, 1);
	StoreEnd();
}

static int
SeverityArgument(FunctionCallInfo fcinfo)
{
	char	   *name = TextArgument(fcinfo, 5, "severity");
	int			severity = FailureSeverityByName(name);

	if (severity < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no severity \"%s\"", name),
				 errhint("Severities are low, medium, high and critical.")));
	return severity;
}

/* Let an open record know that the failure has happened again; false: it is open no more. */
static bool
Bump(FunctionCallInfo fcinfo, const pg_uuid_t *id, int severity)
{
	FailureTable *table = FailureOpen("record_failure()");
	bool		bumped = false;

	while (!bumped && FailureFetch(table, id, NULL, false))
	{
		FailureRow *row = FailureRowMake(table, table->slot);

		if (row->statusBefore != FAILURE_PENDING && row->statusBefore != FAILURE_IN_PROGRESS)
			break;
		FailureSet(row, FC_OCCURRENCES, Int32GetDatum(Min(FailureInt(row, FC_OCCURRENCES), PG_INT32_MAX - 1) + 1));
		FailureSet(row, FC_SEVERITY, Int32GetDatum(Max(FailureInt(row, FC_SEVERITY), severity)));
		FailureSet(row, FC_LAST_FAILED, TimestampTzGetDatum(table->now));
		if (!PG_ARGISNULL(4))
			FailureReplaceError(row, PG_GETARG_DATUM(4), table->now);
		if (!PG_ARGISNULL(8))
			FailureSet(row, FC_PAYLOAD, PG_GETARG_DATUM(8));
		bumped = FailureWrite(table, row, true) == TM_Ok;
		if (!bumped && IsolationUsesXactSnapshot())
			RefuseConcurrentUpdate();
	}
	FailureClose(table);
	return bumped;
}

static void
Insert(FunctionCallInfo fcinfo, const FailureIdentity *identity, int severity, pg_uuid_t *id)
{
	TenantScope scope;
	Datum		values[10] = {UUIDPGetDatum(&identity->org), UUIDPGetDatum(id), identity->entityType,
		UUIDPGetDatum(&identity->entity), identity->from, identity->to, PG_GETARG_DATUM(4), Int32GetDatum(severity),
	PG_GETARG_DATUM(7), PG_GETARG_DATUM(8)};
	char		nulls[11] = {' ', ' ', ' ', ' ', identity->from ? ' ' : 'n', identity->to ? ' ' : 'n',
		PG_ARGISNULL(4) ? 'n' : ' ', ' ', PG_ARGISNULL(7) ? 'n' : ' ', PG_ARGISNULL(8) ? 'n' : ' ', '\0'};

	UuidV7(id);
	TenantEnter(&scope, &identity->org);
	StoreBegin();
	if (StoreRun(PLAN_FAILURE_ADD, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("the failure record could not be written"),
				 errhint("A BEFORE INSERT trigger or a policy on \"FailureRecords\" keeps it from being inserted.")));
	StoreEnd();
	TenantLeave(&scope);
}

PHOTOFLOW_FUNCTION(photoflow_record_failure)
{
	const pg_uuid_t *org = FailureScope(PG_ARGISNULL(6) ? NULL : PG_GETARG_UUID_P(6), ACL_INSERT);
	int			severity = SeverityArgument(fcinfo);
	FailureIdentity identity;
	pg_uuid_t	id;

	RequireArgument(fcinfo, 0, "entity_type", "Say what failed, for example 'Album'.");
	RequireArgument(fcinfo, 1, "entity_id", "Give the id of what failed.");
	RequireFailureTables();
	if (!PG_ARGISNULL(7) && PG_GETARG_INT32(7) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"max_retries\" must not be negative"),
				 errhint("Give how often to retry, or NULL for what the policy says.")));
	identity.entityType = PG_GETARG_DATUM(0);
	identity.entity = *PG_GETARG_UUID_P(1);
	identity.from = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	identity.to = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	if (org)
		identity.org = *org;
	else
		OrganizationOfAlbum(&identity.entity, &identity.org);
	if (!FindOpen(&identity, &id) || !Bump(fcinfo, &id, severity))
		Insert(fcinfo, &identity, severity, &id);
	PG_RETURN_DATUM(UuidCopyDatum(&id));
}
