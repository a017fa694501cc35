/*
 * workflow.c: workflow versions as compiled machines, one compilation per session.
 *
 * Words:
 * - The epoch grows whenever "WorkflowVersions" may have changed (its triggers send a relcache invalidation with
 *   the commit). What was read in an older epoch is read again before it is used.
 * - The current version is the one that new albums get.
 *
 * A machine is never freed: definitions are immutable, so re-reading finds the same bytes and keeps the machine.
 */
#include "photoflow.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "relwatch.h"
#include "store.h"
#include "workflow.h"

typedef struct CachedMachine
{
	int			version;		/* hash key */
	uint64		epoch;			/* when it was last known to be right; 0: never */
	Jsonb	   *definition;
	const Machine *machine;
} CachedMachine;

static HTAB *machines;
static CachedMachine *last;
static uint64 epoch = 1;
static Oid	workflowsTable;

static int	currentVersion;
static uint64 currentEpoch = 0;

static void ForgetWorkflows(Datum arg, Oid relid);
static CachedMachine *FindCached(int version);
static Jsonb *ReadDefinition(int version);
static void CompileInto(CachedMachine *cached, Jsonb *definition);

void
WorkflowInitialize(void)
{
	WatchRelations(ForgetWorkflows);
}

static void
ForgetWorkflows(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == workflowsTable)
		epoch++;
}

/* Return the machine of a version; raise 22023 when there is no such version. */
const Machine *
WorkflowMachine(int version)
{
	uint64		reading;
	Jsonb	   *definition;

	if (last && last->version == version && last->epoch == epoch)
		return last->machine;
	last = NULL;
	workflowsTable = InstallationGet()->workflows;
	reading = epoch;
	definition = ReadDefinition(version);
	last = FindCached(version);
	if (last->machine == NULL || VARSIZE(last->definition) != VARSIZE(definition) ||
		memcmp(last->definition, definition, VARSIZE(definition)) != 0)
		CompileInto(last, definition);
	last->epoch = reading;		/* an invalidation while we read makes the next caller read again */
	return last->machine;
}

static CachedMachine *
FindCached(int version)
{
	CachedMachine *cached;
	bool		found;

	if (machines == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(int), .entrysize = sizeof(CachedMachine), .hcxt = TopMemoryContext};

		machines = hash_create("photoflow machines", 8, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	cached = hash_search(machines, &version, HASH_ENTER, &found);
	if (!found)
	{
		cached->epoch = 0;
		cached->definition = NULL;
		cached->machine = NULL;
	}
	return cached;
}

/* Read a definition into the current memory context. */
static Jsonb *
ReadDefinition(int version)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = Int32GetDatum(version);
	Jsonb	   *definition = NULL;

	StoreBegin();
	if (StoreRun(PLAN_WORKFLOW_READ, &value, NULL) > 0)
	{
		MemoryContext spi;

		if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
			ereport(ERROR,
					(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
					 errmsg("\"WorkflowVersions\".\"Definition\" is not of type jsonb"),
					 errhint("Its type was changed: ALTER TABLE ... ALTER COLUMN \"Definition\" TYPE jsonb.")));
		spi = MemoryContextSwitchTo(caller);
		definition = DatumGetJsonbPCopy(StoreDatum(0, 1));
		MemoryContextSwitchTo(spi);
	}
	StoreEnd();
	if (definition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow version %d does not exist", version),
				 errhint("The versions are in \"WorkflowVersions\"; publish_workflow() adds one.")));
	return definition;
}

Datum
WorkflowDefinition(int version)
{
	return JsonbPGetDatum(ReadDefinition(version));
}

/* Compile in a memory context of its own, which is discarded if the definition is unsound. */
static void
CompileInto(CachedMachine *cached, Jsonb *definition)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "photoflow machine", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	List	   *problems;
	const Machine *machine = DefinitionCompile(definition, cached->version, &problems);

	if (problems != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_PF_INVALID_WORKFLOW),
				 errmsg("workflow version %d is not valid", cached->version),
				 errdetail_internal("%s", WorkflowProblemsJson(problems)),
				 errhint("It was not written by publish_workflow(), which would have refused it.")));
	cached->definition = (Jsonb *) palloc(VARSIZE(definition));
	memcpy(cached->definition, definition, VARSIZE(definition));
	cached->machine = machine;
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(context, TopMemoryContext);
}

/* Return {"problems": [...]} */
char *
WorkflowProblemsJson(List *problems)
{
	JsonText	detail;
	const char **texts = palloc(sizeof(char *) * Max(list_length(problems), 1));
	ListCell   *cell;

	foreach(cell, problems)
		texts[foreach_current_index(cell)] = lfirst(cell);
	JsonBegin(&detail);
	JsonAddRaw(&detail, "problems", JsonTextArray(texts, list_length(problems)));
	return JsonEnd(&detail);
}

/* Return the version that new albums get. */
int
WorkflowCurrentVersion(void)
{
	uint64		reading = epoch;
	uint64		found;

	if (currentEpoch == epoch)
		return currentVersion;
	workflowsTable = InstallationGet()->workflows;
	StoreBegin();
	found = StoreRun(PLAN_WORKFLOW_CURRENT, NULL, NULL);
	if (found > 0)
		currentVersion = StoreInt(0, 1);
	StoreEnd();
	if (found == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PF_INVALID_WORKFLOW),
				 errmsg("no workflow version is current"),
				 errhint("Publish one: SELECT photoflow.publish_workflow(definition).")));
	/* a transaction with an old snapshot may have read the past: good for now, not for later */
	currentEpoch = IsolationUsesXactSnapshot() ? 0 : reading;
	return currentVersion;
}

/* Return what the context's role may do: all, for the owner of the tables without a role. */
uint64
WorkflowRoles(const Machine *machine)
{
	static const Machine *forMachine = NULL;
	static uint64 forGeneration = 0;
	static uint64 mask;
	const char *roles = ContextRoles();

	if (roles == NULL)
		return ContextIsOwner() ? MACHINE_ALL_ROLES : 0;
	if (forMachine != machine || forGeneration != ContextRolesGeneration())
	{
		mask = MachineRoleMask(machine, roles);
		forMachine = machine;
		forGeneration = ContextRolesGeneration();
	}
	return mask;
}
