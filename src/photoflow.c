/*
 * photoflow.c: what happens when the library is loaded.
 */
#include "photoflow.h"

#include "album.h"
#include "history.h"
#include "store.h"
#include "workflow.h"

PG_MODULE_MAGIC_EXT(.name = "photoflow");

PGDLLEXPORT void _PG_init(void);

/* Define the settings and register for what sessions must hear of; works in preload and in a lone session. */
void
_PG_init(void)
{
	ContextDefineSettings();
	EventDefineSettings();
	MarkGUCPrefixReserved("photoflow");
	AlbumInitialize();
	InstallationInitialize();
	WorkflowInitialize();
	HistoryInitialize();
}
