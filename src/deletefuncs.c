/*
 * deletefuncs.c: the functions that plans and triggers of soft delete are made of, by OID.
 *
 * Looked up once a session and again after any function has changed; not there in databases without the extension.
 */
#include "photoflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "deletion.h"

static DeleteFunctions functions;
static bool functionsKnown = false;
static bool functionsThere = false;
static uint64 functionChanges = 0;

static void ForgetFunctions(Datum arg, int cacheid, uint32 hash);
static Oid	FindFunction(Oid schema, const char *name, int nargs, const Oid *types);

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
	functionChanges++;
}

/* By the catalog: whoever runs a statement on a table of ours needs no right to look our functions up. */
static Oid
FindFunction(Oid schema, const char *name, int nargs, const Oid *types)
{
	oidvector  *arguments = buildoidvector(types, nargs);
	Oid			found = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name), PointerGetDatum(arguments),
										ObjectIdGetDatum(schema));

	if (!OidIsValid(found))
		functionsThere = false;
	return found;
}

/* Return the functions; NULL where the extension is not installed, or is older than soft delete. */
const DeleteFunctions *
DeleteFunctionsFind(void)
{
	static const Oid liveTypes[] = {BOOLOID, REGCLASSOID, UUIDOID};
	uint64		changes;
	Oid			schema;

	if (functionsKnown)
		return functionsThere ? &functions : NULL;
	changes = functionChanges;
	schema = get_namespace_oid("photoflow", true);
	functionsThere = OidIsValid(schema);
	if (functionsThere)
	{
		functions.markDeletion = FindFunction(schema, "mark_deletion", 0, NULL);
		functions.collectDeletion = FindFunction(schema, "collect_deletion", 0, NULL);
		functions.cascadeDeletion = FindFunction(schema, "cascade_deletion", 0, NULL);
		functions.requireLive = FindFunction(schema, "require_live", lengthof(liveTypes), liveTypes);
		functions.deletionId = FindFunction(schema, "deletion_id", 0, NULL);
		functions.deletionTime = FindFunction(schema, "deletion_time", 0, NULL);
		functions.currentUserId = FindFunction(schema, "current_user_id", 0, NULL);
	}
	functionsKnown = changes == functionChanges;
	return functionsThere ? &functions : NULL;
}
