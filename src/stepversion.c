/*
 * stepversion.c: which version code and tables have, and the lock that lets one engine run at a time.
 *
 * The version of the tables is the newest one whose steps the history names. Tables may be older than the code
 * (migrate() brings them forward), never newer.
 */
#include "photoflow.h"

#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "steps.h"
#include "store.h"

/* kept for UnlockSteps(), which may run where no catalog can be read */
static LOCKTAG stepsLock;

static bool VersionIsValid(const char *version);

/*
 * Take the lock on the extension that keeps a second engine, and DROP EXTENSION, out. For the session it outlives
 * the commits of migrate() and must be given back with UnlockSteps(), also after an error.
 */
bool
LockSteps(bool session, bool wait)
{
	SET_LOCKTAG_OBJECT(stepsLock, MyDatabaseId, ExtensionRelationId, get_extension_oid("photoflow", false), 0);
	return LockAcquire(&stepsLock, ShareUpdateExclusiveLock, session, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

void
UnlockSteps(void)
{
	LockRelease(&stepsLock, ShareUpdateExclusiveLock, true);
}

char *
InstalledVersion(void)
{
	RunSteps("SELECT e.extversion FROM pg_catalog.pg_extension e"
			 " WHERE e.extname OPERATOR(pg_catalog.=) 'photoflow'",
			 0, NULL, NULL);
	return StoreCString(0, 1);
}

/* Numbers separated by dots, as every version of photoflow is. */
static bool
VersionIsValid(const char *version)
{
	bool		digit = false;

	for (const char *c = version; *c; c++)
	{
		if (*c == '.' ? !digit : (*c < '0' || *c > '9'))
			return false;
		digit = *c != '.';
	}
	return digit;
}

/* Raise 22023 when code of this version is not installed, or never could be. */
void
RequireKnownVersion(const char *version, const char *installed)
{
	bool		valid = VersionIsValid(version);
	JsonText	detail;

	if (valid && CompareVersions(version, installed) <= 0)
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "to_version", version);
	JsonAddText(&detail, "installed", installed);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 valid ? errmsg("version %s of photoflow is not installed", version) :
			 errmsg("\"%s\" is no version of photoflow", version),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 valid ? errhint("ALTER EXTENSION photoflow UPDATE TO '%s' first; installed is %s.", version, installed) :
			 errhint("Leave to_version out for the installed version, %s.", installed)));
}

/* Less than, equal to or greater than 0 as a is older than, equal to or newer than b: 1.10 is newer than 1.9. */
int
CompareVersions(const char *a, const char *b)
{
	while (*a || *b)
	{
		char	   *endA;
		char	   *endB;
		unsigned long partA = strtoul(a, &endA, 10);
		unsigned long partB = strtoul(b, &endB, 10);

		if (partA != partB)
			return partA < partB ? -1 : 1;
		if (endA == a && endB == b)
			break;
		a = *endA == '.' ? endA + 1 : endA;
		b = *endB == '.' ? endB + 1 : endB;
	}
	return 0;
}

/* NULL before create_tables(). */
const char *
TablesVersion(List *steps)
{
	const char *newest = NULL;
	ListCell   *cell;

	foreach(cell, steps)
	{
		TableStep  *step = lfirst(cell);

		if (step->state && (newest == NULL || CompareVersions(step->version, newest) > 0))
			newest = step->version;
	}
	return newest;
}

/* Raise 0A000 when the tables are newer than a version: than the code's own, or than the one asked for. */
void
RefuseNewerTables(List *steps, const char *version, const char *installed)
{
	const char *tables = TablesVersion(steps);
	JsonText	detail;

	if (tables == NULL || CompareVersions(tables, version) <= 0)
		return;
	JsonBegin(&detail);
	JsonAddText(&detail, "tables", tables);
	JsonAddText(&detail, "to_version", version);
	JsonAddText(&detail, "installed", installed);
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the data tables are of version %s, newer than %s", tables, version),
			 errdetail_internal("%s", JsonEnd(&detail)),
			 CompareVersions(tables, installed) > 0 ?
			 errhint("Install photoflow %s, then ALTER EXTENSION photoflow UPDATE.", tables) :
			 errhint("Going back to an older version is not part of this version of photoflow.")));
}
