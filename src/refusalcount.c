/*
 * refusalcount.c: who was refused what, so that it is not lost with the transaction that is rolled back.
 *
 * Each refusal is one line of the server's log. Where the library is in shared_preload_libraries it is counted as well, in shared
 * memory: by database and SQLSTATE, since the server's start. Counters are atomic, and a database takes the first free place for
 * good, so that no lock is taken while an error is on its way.
 */
#include "photoflow.h"

#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "commands/dbcommands.h"
#include "refusalcount.h"

/* so many databases are told apart; what is refused in others is only logged */
#define DATABASES 128

static const struct
{
	int			code;
	const char *name;
}			counted[] = {
	{ERRCODE_PF_ROLE_NOT_ALLOWED, "role_not_allowed"}, {ERRCODE_PF_ILLEGAL_STATE_CHANGE, "illegal_state_change"},
	{ERRCODE_PF_NO_TENANT, "no_tenant"}, {ERRCODE_PF_CROSS_TENANT, "cross_tenant"},
	{ERRCODE_PF_INVALID_TOKEN, "invalid_token"}, {ERRCODE_PF_HARD_DELETE_REFUSED, "hard_delete_refused"}
};

typedef struct DatabaseRefusals
{
	pg_atomic_uint32 database;	/* InvalidOid while the place is free */
	pg_atomic_uint64 count[lengthof(counted)];
	pg_atomic_uint64 lastAt[lengthof(counted)]; /* a TimestampTz */
} DatabaseRefusals;

static DatabaseRefusals *shared = NULL;
static bool logRefusals = true;
static shmem_request_hook_type nextRequest = NULL;
static shmem_startup_hook_type nextStartup = NULL;

static void RequestMemory(void);
static void FindMemory(void);
static DatabaseRefusals *PlaceOfDatabase(bool take);
static int	NumberOf(int code);
static void CountOne(int number);
static void AddKnown(JsonText *line, const char *key, const char *value);
static void LogOne(int number, const char *message, const char *detail);

void
RefusalDefineSettings(void)
{
	/* for who has another place for security events, or is flooded with them */
	DefineCustomBoolVariable("photoflow.log_refusals", "Whether a refusal is a line of the server's log.", NULL,
							 &logRefusals, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

void
RefusalCountInitialize(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	nextRequest = shmem_request_hook;
	shmem_request_hook = RequestMemory;
	nextStartup = shmem_startup_hook;
	shmem_startup_hook = FindMemory;
}

static void
RequestMemory(void)
{
	if (nextRequest)
		nextRequest();
	RequestAddinShmemSpace(mul_size(DATABASES, sizeof(DatabaseRefusals)));
}

static void
FindMemory(void)
{
	bool		found;

	if (nextStartup)
		nextStartup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("photoflow refusals", mul_size(DATABASES, sizeof(DatabaseRefusals)), &found);
	for (int i = 0; i < DATABASES && !found; i++)
	{
		pg_atomic_init_u32(&shared[i].database, InvalidOid);
		for (size_t number = 0; number < lengthof(counted); number++)
		{
			pg_atomic_init_u64(&shared[i].count[number], 0);
			pg_atomic_init_u64(&shared[i].lastAt[number], 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/* Return the place of this database, taking a free one if it has none; NULL where there is none. */
static DatabaseRefusals *
PlaceOfDatabase(bool take)
{
	for (int i = 0; shared && i < DATABASES; i++)
	{
		uint32		owner = pg_atomic_read_u32(&shared[i].database);

		if (owner == InvalidOid && take && pg_atomic_compare_exchange_u32(&shared[i].database, &owner, MyDatabaseId))
			owner = MyDatabaseId;
		if (owner == MyDatabaseId)
			return &shared[i];
	}
	return NULL;
}

/* -1: it is not counted. */
static int
NumberOf(int code)
{
	for (size_t number = 0; number < lengthof(counted); number++)
		if (counted[number].code == code)
			return (int) number;
	return -1;
}

static void
CountOne(int number)
{
	DatabaseRefusals *place = PlaceOfDatabase(true);

	if (place == NULL)
		return;
	pg_atomic_fetch_add_u64(&place->count[number], 1);
	pg_atomic_write_u64(&place->lastAt[number], (uint64) GetCurrentTimestamp());
}

static void
AddKnown(JsonText *line, const char *key, const char *value)
{
	if (value && *value)
		JsonAddText(line, key, value);
}

static void
LogOne(int number, const char *message, const char *detail)
{
	JsonText	line;

	JsonBegin(&line);
	JsonAddText(&line, "sqlstate", unpack_sql_state(counted[number].code));
	JsonAddText(&line, "name", counted[number].name);
	AddKnown(&line, "message", message);
	AddKnown(&line, "org", ContextOrg() ? UuidText(ContextOrg()) : NULL);
	AddKnown(&line, "user", ContextUser() ? UuidText(ContextUser()) : NULL);
	AddKnown(&line, "role", ContextRoles());
	AddKnown(&line, "login", GetUserNameFromId(GetSessionUserId(), true));
	AddKnown(&line, "database", get_database_name(MyDatabaseId));
	AddKnown(&line, "requestId", ContextRequestId());
	if (detail && *detail == '{')
		JsonAddRaw(&line, "detail", detail);
	ereport(LOG_SERVER_ONLY, (errmsg_internal("photoflow refusal %s", JsonEnd(&line)), errhidestmt(true), errhidecontext(true)));
}

void
RefusalCount(int code, const char *message, const char *detail)
{
	int			number = NumberOf(code);

	if (number < 0)
		return;
	CountOne(number);
	if (logRefusals)
		LogOne(number, message, detail);
}

int
RefusalCounted(void)
{
	ErrorData  *error = CopyErrorData();

	RefusalCount(error->sqlerrcode, error->message, error->detail);
	FreeErrorData(error);
	return 0;
}

PHOTOFLOW_FUNCTION(photoflow_list_refusals)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DatabaseRefusals *place = PlaceOfDatabase(false);

	InitMaterializedSRF(fcinfo, 0);
	for (size_t number = 0; place && number < lengthof(counted); number++)
	{
		uint64		count = pg_atomic_read_u64(&place->count[number]);
		Datum		values[4] = {CStringGetTextDatum(unpack_sql_state(counted[number].code)),
			CStringGetTextDatum(counted[number].name), UInt64GetDatum(count),
			TimestampTzGetDatum((TimestampTz) pg_atomic_read_u64(&place->lastAt[number]))};
		bool		nulls[4] = {false, false, false, false};

		if (count > 0)
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Say whether refusals are counted. */
PHOTOFLOW_FUNCTION(photoflow_counts_refusals)
{
	PG_RETURN_BOOL(shared != NULL);
}
