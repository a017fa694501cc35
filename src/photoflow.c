/*
 * photoflow.c: what happens when the library is loaded.
 */
#include "photoflow.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "album.h"
#include "auditlog.h"
#include "deletion.h"
#include "failure.h"
#include "history.h"
#include "redact.h"
#include "refusalcount.h"
#include "secret.h"
#include "store.h"
#include "tenant.h"
#include "workflow.h"

PG_MODULE_MAGIC_EXT(.name = "photoflow");

PGDLLEXPORT void _PG_init(void);

/* Define the settings and register for what sessions must hear of; works in preload and in a lone session. */
void
_PG_init(void)
{
	ContextDefineSettings();
	EventDefineSettings();
	TokenDefineSettings();
	HardDeleteDefineSetting();
	RefusalDefineSettings();
	MarkGUCPrefixReserved("photoflow");
	ScopeInitialize();
	AlbumInitialize();
	InstallationInitialize();
	WorkflowInitialize();
	SecretInitialize();
	RedactInitialize();
	HistoryInitialize();
	SoftTableInitialize();
	DeletionInitialize();
	ChildProbeInitialize();
	CollectInitialize();
	DeleteFunctionsInitialize();
	DeletePlanInitialize();
	DeleteRunInitialize();
	FailurePolicyInitialize();
	FailureTableInitialize();
	FailureWorkerInitialize();
	MarkInitialize();
	AuditPlaceInitialize();
	RefusalCountInitialize();
	TrackedTableInitialize();
}

/* The settings themselves are for superusers to read; whether photoflow is among them is the owner's to know. */
PHOTOFLOW_FUNCTION(photoflow_preload_libraries)
{
	const char *shared = GetConfigOption("shared_preload_libraries", true, false);
	const char *session = GetConfigOption("session_preload_libraries", true, false);

	static const RowColumn columns[] = {{"shared", TEXTOID}, {"session", TEXTOID}};
	static TupleDesc desc = NULL;
	Datum		values[2] = {CStringGetTextDatum(shared ? shared : ""), CStringGetTextDatum(session ? session : "")};
	bool		nulls[2] = {false, false};

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(KeepRowType(&desc, columns, lengthof(columns)), values, nulls)));
}
