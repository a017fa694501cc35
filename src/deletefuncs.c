/*
 * deletefuncs.c: the functions that plans and triggers of soft delete are made of, by OID.
 *
 * Looked up once a session and again after any function has changed; not there in databases without the extension.
 */
#include "photoflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "parser/parse_func.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "deletion.h"

static DeleteFunctions functions;
static bool functionsKnown = false;
static bool functionsThere = false;

static void ForgetFunctions(Datum arg, int cacheid, uint32 hash);
static Oid	FindFunction(const char *name, int nargs, const Oid *types);

void
DeleteFunctionsInitialize(void)
{
	CacheRegisterSyscacheCallback(PROCOID, ForgetFunctions, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, ForgetFunctions, (Datum) 0);
}

static void
ForgetFunctions(Datum arg, int cacheid, uint32 hash)
{
	functionsKnown = false;
}

static Oid
FindFunction(const char *name, int nargs, const Oid *types)
{
	Oid			found = LookupFuncName(list_make2(makeString("photoflow"), makeString(pstrdup(name))), nargs, types, true);

	if (!OidIsValid(found))
		functionsThere = false;
	return found;
}

/* Return the functions; NULL where the extension is not installed, or is older than soft delete. */
const DeleteFunctions *
DeleteFunctionsFind(void)
{
	static const Oid liveTypes[] = {BOOLOID, REGCLASSOID, UUIDOID};

	if (functionsKnown)
		return functionsThere ? &functions : NULL;
	functionsThere = OidIsValid(get_namespace_oid("photoflow", true));
	functionsKnown = true;		/* a change that is heard of meanwhile takes it back */
	if (!functionsThere)
		return NULL;
	functions.markDeletion = FindFunction("mark_deletion", 0, NULL);
	functions.collectDeletion = FindFunction("collect_deletion", 0, NULL);
	functions.cascadeDeletion = FindFunction("cascade_deletion", 0, NULL);
	functions.requireLive = FindFunction("require_live", lengthof(liveTypes), liveTypes);
	functions.deletionId = FindFunction("deletion_id", 0, NULL);
	functions.deletionTime = FindFunction("deletion_time", 0, NULL);
	functions.currentUserId = FindFunction("current_user_id", 0, NULL);
	return functionsThere ? &functions : NULL;
}
