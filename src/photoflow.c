/*
 * photoflow.c: what happens when the library is loaded.
 */
#include "photoflow.h"

#include "utils/builtins.h"

#include "album.h"
#include "history.h"
#include "redact.h"
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
	MarkGUCPrefixReserved("photoflow");
	ScopeInitialize();
	AlbumInitialize();
	InstallationInitialize();
	WorkflowInitialize();
	SecretInitialize();
	RedactInitialize();
	HistoryInitialize();
}

/* The settings themselves are for superusers to read; whether photoflow is among them is the owner's to know. */
PHOTOFLOW_FUNCTION(photoflow_preload_libraries)
{
	const char *shared = GetConfigOption("shared_preload_libraries", true, false);
	const char *session = GetConfigOption("session_preload_libraries", true, false);

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s%s%s", shared ? shared : "", shared && *shared && session && *session ? ", " : "",
											  session ? session : "")));
}
