/*
 * secret.c: what the database knows and applications must not.
 *
 * "__PhotoflowSecrets" is an ordinary table of the owner's, so that it is in a backup with the rest. Row-level security
 * is forced on it and no policy admits a row: a GRANT on all tables of the schema gives nothing away. photoflow reads
 * it in the owner's name and keeps what it read for the session, until a trigger on the table says that it changed.
 *
 * Lifetimes: the list and all in it live in a memory context of their own, which the next reading resets.
 */
#include "secret.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "photoflow.h"
#include "redact.h"
#include "relwatch.h"
#include "steps.h"
#include "store.h"

/* RFC 7518, 3.2: a key for HS256 has at least as many bits as the hash */
#define KEY_BYTES_LEAST PG_SHA256_DIGEST_LENGTH

static MemoryContext secretContext;
static List *secrets;
static bool valid = false;
static Oid	secretTable = InvalidOid;
static uint64 invalidations = 0;

static void ForgetSecrets(Datum arg, Oid relid);
static void ForgetSecretsWithSchema(Datum arg, int cacheid, uint32 hash);
static void ReadSecrets(void);
static char *CopyBytes(bytea *from, int *length);
static StepTarget *BeginKeys(StepScope *scope, bool change);
static void EndKeys(const StepScope *scope);
static bytea *KeyArgument(FunctionCallInfo fcinfo, int number);
static void InsertKey(const StepTarget *target, bytea *key, const char *kid);
static uint64 RunOnSecrets(const StepTarget *target, const char *text, int nargs, Oid *types, Datum *values);

void
SecretInitialize(void)
{
	WatchRelations(ForgetSecrets);
	CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetSecretsWithSchema, (Datum) 0);
}

static void
ForgetSecrets(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == secretTable || !OidIsValid(secretTable))
	{
		valid = false;
		invalidations++;
	}
}

static void
ForgetSecretsWithSchema(Datum arg, int cacheid, uint32 hash)
{
	valid = false;
	invalidations++;
}

/* Return the secrets as a list of Secret, NIL where the tables are older than secrets. */
List *
SecretsGet(void)
{
	/* within a transaction nothing else may have made us hear of a key that was dropped */
	AcceptInvalidationMessages();
	if (!valid)
		ReadSecrets();
	return secrets;
}

static void
ReadSecrets(void)
{
	uint64		before = invalidations;
	uint64		rows;

	if (secretContext == NULL)
		secretContext = AllocSetContextCreate(TopMemoryContext, "photoflow secrets", ALLOCSET_SMALL_SIZES);
	secrets = NIL;
	MemoryContextReset(secretContext);
	secretTable = get_relname_relid("__PhotoflowSecrets", InstallationGet()->schemaOid);
	/* a view of that name is somebody's trap; a table of another owner is a mistake, which must not open the channel */
	if (get_rel_relkind(secretTable) == RELKIND_RELATION)
		SecretsRequireTable();
	else
		secretTable = InvalidOid;
	if (!OidIsValid(secretTable))
		return;					/* looked for again the next time: the table may be made any moment */
	StoreBegin();
	/* what is kept for the session is what is true now, not what was when a REPEATABLE READ transaction began */
	PushActiveSnapshot(GetLatestSnapshot());
	rows = StoreRun(PLAN_SECRETS_READ, NULL, NULL);
	PopActiveSnapshot();
	for (uint64 row = 0; row < rows; row++)
	{
		MemoryContext spi = MemoryContextSwitchTo(secretContext);
		Secret	   *secret = palloc(sizeof(Secret));

		secret->kind = pstrdup(StoreCString(row, 1));
		secret->kid = StoreIsNull(row, 2) ? NULL : pstrdup(StoreCString(row, 2));
		secret->bytes = (uint8 *) CopyBytes(DatumGetByteaPP(StoreDatum(row, 3)), &secret->length);
		secrets = lappend(secrets, secret);
		MemoryContextSwitchTo(spi);
	}
	StoreEnd();
	valid = before == invalidations;
}

/* Raise PF040 where the tables are older than secrets, or these are not the owner's. */
void
SecretsRequireTable(void)
{
	Oid			table = get_relname_relid("__PhotoflowSecrets", InstallationGet()->schemaOid);

	if (!InstallationOwnsTable(table))
		ereport(ERROR,
				(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
				 errmsg("schema \"%s\" has no table \"__PhotoflowSecrets\" of the owner's", NameStr(InstallationGet()->schema)),
				 OidIsValid(table) ?
				 errhint("It must be a table of role \"%s\", as \"Albums\" is.", GetUserNameFromId(InstallationGet()->owner, false)) :
				 errhint("CALL photoflow.migrate().")));
}

static char *
CopyBytes(bytea *from, int *length)
{
	char	   *copy;

	*length = VARSIZE_ANY_EXHDR(from);
	copy = palloc(Max(*length, 1));
	memcpy(copy, VARDATA_ANY(from), *length);
	return copy;
}

/* Return the one secret of a kind, NULL when there is none. */
const Secret *
SecretFind(const char *kind)
{
	ListCell   *cell;

	foreach(cell, SecretsGet())
		if (strcmp(((Secret *) lfirst(cell))->kind, kind) == 0)
			return lfirst(cell);
	return NULL;
}

/* Go on in the owner's name; who changes keys does so alone: two that set the only one would leave two. */
static StepTarget *
BeginKeys(StepScope *scope, bool change)
{
	StepTarget *target;

	StoreBegin();
	EnterSteps(scope, GetUserId());
	target = FindInstalledTarget();
	RequireTargetOwner(target);
	SetUserIdAndSecContext(target->owner, scope->context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	SecretsRequireTable();
	if (change)
		RunOnSecrets(target, "LOCK TABLE {schema}.\"__PhotoflowSecrets\" IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL);
	return target;
}

static void
EndKeys(const StepScope *scope)
{
	LeaveSteps(scope);
	StoreEnd();
}

static bytea *
KeyArgument(FunctionCallInfo fcinfo, int number)
{
	bytea	   *key;

	HideStatement(NULL);
	RequireArgument(fcinfo, number, "key", "Give the bytes of the key that tokens are signed with.");
	key = PG_GETARG_BYTEA_PP(number);
	if (VARSIZE_ANY_EXHDR(key) < KEY_BYTES_LEAST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a token key must have at least %d bytes", KEY_BYTES_LEAST),
				 errhint("HS256 asks for a key of 256 random bits or more (RFC 7518, section 3.2).")));
	return key;
}

static uint64
RunOnSecrets(const StepTarget *target, const char *text, int nargs, Oid *types, Datum *values)
{
	return RunSteps(ExpandSchema(text, NameStr(target->schema)), nargs, types, values);
}

static void
InsertKey(const StepTarget *target, bytea *key, const char *kid)
{
	Oid			types[2] = {BYTEAOID, TEXTOID};
	Datum		values[2] = {PointerGetDatum(key), kid ? CStringGetTextDatum(kid) : (Datum) 0};

	if (kid)
		RunOnSecrets(target, "INSERT INTO {schema}.\"__PhotoflowSecrets\" (\"Kind\", \"Secret\", \"Kid\")"
					 " VALUES ('" SECRET_TOKEN_KEY "', $1, $2)", 2, types, values);
	else
		RunOnSecrets(target, "INSERT INTO {schema}.\"__PhotoflowSecrets\" (\"Kind\", \"Secret\")"
					 " VALUES ('" SECRET_TOKEN_KEY "', $1)", 1, types, values);
}

/* The trigger of the table: as for workflow versions, every session hears of it with the commit. */
PHOTOFLOW_FUNCTION(photoflow_secrets_changed)
{
	TriggerData *trigger = RequireStatementTrigger(fcinfo, "secrets_changed", TRIGGER_EVENT_AFTER,
												   "AFTER ... FOR EACH STATEMENT");

	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

PHOTOFLOW_FUNCTION(photoflow_set_token_key)
{
	bytea	   *key = KeyArgument(fcinfo, 0);
	StepScope	scope;
	StepTarget *target = BeginKeys(&scope, true);

	RunOnSecrets(target, "DELETE FROM {schema}.\"__PhotoflowSecrets\" WHERE \"Kind\" = '" SECRET_TOKEN_KEY "'", 0, NULL, NULL);
	InsertKey(target, key, NULL);
	EndKeys(&scope);
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_add_token_key)
{
	bytea	   *key = KeyArgument(fcinfo, 0);
	char	   *kid = TextArgument(fcinfo, 1, "kid");
	StepScope	scope;
	StepTarget *target;
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(kid)};

	if (*kid == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "kid"),
				 errhint("A key without an id is set with photoflow.set_token_key(key).")));
	target = BeginKeys(&scope, true);
	if (RunOnSecrets(target, "SELECT 1 FROM {schema}.\"__PhotoflowSecrets\" WHERE \"Kind\" = '" SECRET_TOKEN_KEY
					 "' AND \"Kid\" = $1", 1, types, values) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("there is a token key \"%s\" already", kid),
				 errhint("Drop it first: SELECT photoflow.drop_token_key(%s).", quote_literal_cstr(kid))));
	InsertKey(target, key, kid);
	EndKeys(&scope);
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_drop_token_key)
{
	StepScope	scope;
	StepTarget *target = BeginKeys(&scope, true);
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	uint64		dropped;

	if (PG_ARGISNULL(0))
		dropped = RunOnSecrets(target, "DELETE FROM {schema}.\"__PhotoflowSecrets\" WHERE \"Kind\" = '" SECRET_TOKEN_KEY
							   "' AND \"Kid\" IS NULL", 0, NULL, NULL);
	else
	{
		values[0] = PointerGetDatum(PG_GETARG_TEXT_PP(0));
		dropped = RunOnSecrets(target, "DELETE FROM {schema}.\"__PhotoflowSecrets\" WHERE \"Kind\" = '" SECRET_TOKEN_KEY
							   "' AND \"Kid\" = $1", 1, types, values);
	}
	EndKeys(&scope);
	PG_RETURN_BOOL(dropped > 0);
}

/* The names of the keys and nothing of the keys themselves. */
PHOTOFLOW_FUNCTION(photoflow_token_key_ids)
{
	StepScope	scope;
	StepTarget *target = BeginKeys(&scope, false);
	Datum		ids;

	RunOnSecrets(target, "SELECT coalesce(array_agg(coalesce(\"Kid\", '') ORDER BY \"CreatedAt\", \"Id\"), '{}') FROM"
				 " {schema}.\"__PhotoflowSecrets\" WHERE \"Kind\" = '" SECRET_TOKEN_KEY "'", 0, NULL, NULL);
	ids = SPI_datumTransfer(StoreDatum(0, 1), false, -1);
	EndKeys(&scope);
	PG_RETURN_DATUM(ids);
}
