/*
 * guard.c: asks the guards of an edge, and the guards that photoflow brings.
 *
 * Words:
 * - A guard is a function returning text: NULL when its condition is met, otherwise the reason why not. It takes
 *   (org_id uuid, album_id uuid) or (album_id uuid), and runs as the caller.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "guard.h"
#include "store.h"
#include "tenant.h"
#include "workflow.h"

static Oid	FindGuard(const char *name, int *nargs);
static char *AskGuard(const char *name, const pg_uuid_t *org, const pg_uuid_t *album);
static const Machine *AlbumMachine(const pg_uuid_t *org, const pg_uuid_t *album);
static Datum TagReady(FunctionCallInfo fcinfo, const char *tagName);

/* Return the function that a definition names, preferring the form that is told the organization. */
static Oid
FindGuard(const char *name, int *nargs)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	List	   *parts;
	List	   *names;

	if (!SplitIdentifierString(pstrdup(name), '.', &parts) || list_length(parts) != 2)
		return InvalidOid;
	names = list_make2(makeString(linitial(parts)), makeString(lsecond(parts)));
	for (*nargs = 2; *nargs > 0; (*nargs)--)
	{
		Oid			function = LookupFuncName(names, *nargs, types, true);

		if (OidIsValid(function) && get_func_rettype(function) == TEXTOID && !get_func_retset(function))
			return function;
	}
	return InvalidOid;
}

bool
GuardExists(const char *name)
{
	int			nargs;

	return OidIsValid(FindGuard(name, &nargs));
}

/* Return the reason why a guard is not met, or NULL. */
static char *
AskGuard(const char *name, const pg_uuid_t *org, const pg_uuid_t *album)
{
	LOCAL_FCINFO(call, 2);
	FmgrInfo	function;
	int			nargs;
	Oid			oid = FindGuard(name, &nargs);
	Datum		result;

	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("guard %s does not exist", name),
				 errhint("The workflow names it: create %s(org_id uuid, album_id uuid) RETURNS text again, or publish a "
						 "version without it.", name)));
	fmgr_info(oid, &function);
	InitFunctionCallInfoData(*call, &function, nargs, InvalidOid, NULL, NULL);
	call->args[0].value = UUIDPGetDatum(nargs == 2 ? org : album);
	call->args[1].value = UUIDPGetDatum(album);
	call->args[0].isnull = call->args[1].isnull = false;
	result = FunctionCallInvoke(call);
	return call->isnull ? NULL : TextDatumGetCString(result);
}

/*
 * Ask all guards of an edge; return a list of UnmetGuard. With latest they see what is committed by now and this
 * transaction's own changes, which is what a decision under the album's lock needs.
 */
List *
GuardsUnmet(const MachineEdge *edge, const pg_uuid_t *org, const pg_uuid_t *album, bool latest)
{
	List	   *unmet = NIL;
	TenantScope scope;

	if (edge->nguards == 0)
		return NIL;
	TenantEnter(&scope, org);
	/* also where the transaction has a snapshot of its own: a guard that was met when it began proves nothing */
	if (latest)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
	}
	for (int i = 0; i < edge->nguards; i++)
	{
		char	   *reason = AskGuard(edge->guards[i], org, album);
		UnmetGuard *guard;

		if (reason == NULL)
			continue;
		guard = palloc(sizeof(UnmetGuard));
		guard->name = edge->guards[i];
		guard->reason = reason;
		unmet = lappend(unmet, guard);
	}
	if (latest)
		PopActiveSnapshot();
	TenantLeave(&scope);
	return unmet;
}

/* Return [{"guard": ..., "reason": ...}] */
char *
GuardsJson(List *unmet)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	appendStringInfoChar(&text, '[');
	foreach(cell, unmet)
	{
		UnmetGuard *guard = lfirst(cell);
		JsonText	json;

		JsonBegin(&json);
		JsonAddText(&json, "guard", guard->name);
		JsonAddText(&json, "reason", guard->reason);
		appendStringInfo(&text, "%s%s", foreach_current_index(cell) > 0 ? ", " : "", JsonEnd(&json));
	}
	appendStringInfoChar(&text, ']');
	return text.data;
}

/* Return the reasons as one line for people. */
char *
GuardsReasons(List *unmet)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, unmet)
		appendStringInfo(&text, "%s%s", foreach_current_index(cell) > 0 ? "; " : "",
						 ((UnmetGuard *) lfirst(cell))->reason);
	return text.data;
}

/* Return the machine of an album, NULL where the caller may not see it. */
static const Machine *
AlbumMachine(const pg_uuid_t *org, const pg_uuid_t *album)
{
	const pg_uuid_t *tenant = ContextRequireOrg();
	Datum		values[2] = {UUIDPGetDatum(org), UUIDPGetDatum(album)};
	int			version = 0;
	bool		found = false;

	InstallationRequire("Albums", ACL_SELECT);
	if (tenant && !UuidEquals(tenant, org))
		return NULL;
	StoreBegin();
	if (StoreRun(PLAN_ALBUM_VERSION, values, NULL) > 0)
	{
		version = StoreInt(0, 1);
		found = true;
	}
	StoreEnd();
	return found ? WorkflowMachine(version) : NULL;
}

static Datum
TagReady(FunctionCallInfo fcinfo, const char *tagName)
{
	pg_uuid_t  *org = PG_GETARG_UUID_P(0);
	pg_uuid_t  *album = PG_GETARG_UUID_P(1);
	const Machine *machine = AlbumMachine(org, album);
	int			tag = machine ? MachineTagByName(machine, tagName) : MACHINE_NONE;
	bool		ready = false;

	if (tag != MACHINE_NONE)
	{
		Datum		values[4] = {UUIDPGetDatum(org), UUIDPGetDatum(album), Int32GetDatum(machine->tags[tag].value),
		Int32GetDatum(TAG_STATUS_READY)};

		StoreBegin();
		ready = StoreRun(PLAN_GUARD_TAG, values, NULL) > 0;
		StoreEnd();
	}
	if (ready)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("the %s tag is not Ready", tagName)));
}

PHOTOFLOW_FUNCTION(photoflow_guard_raw_tag_ready)
{
	return TagReady(fcinfo, "Raw");
}

PHOTOFLOW_FUNCTION(photoflow_guard_retouch_tag_ready)
{
	return TagReady(fcinfo, "Retouch");
}

PHOTOFLOW_FUNCTION(photoflow_guard_photo_voted)
{
	pg_uuid_t  *org = PG_GETARG_UUID_P(0);
	pg_uuid_t  *album = PG_GETARG_UUID_P(1);
	const pg_uuid_t *tenant = ContextRequireOrg();
	Datum		values[2] = {UUIDPGetDatum(org), UUIDPGetDatum(album)};
	bool		voted = false;

	InstallationRequire("Albums", ACL_SELECT);
	if (tenant == NULL || UuidEquals(tenant, org))
	{
		StoreBegin();
		voted = StoreRun(PLAN_GUARD_VOTED, values, NULL) > 0;
		StoreEnd();
	}
	if (voted)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text("no photo is voted for"));
}
