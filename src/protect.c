/*
 * protect.c: row-level security on a table with an organization, and on its partitions.
 *
 * Words:
 * - The policy is "PhotoflowTenant", one for all roles and commands: "OrgId" = photoflow.current_org(). It is forced on
 *   the owner too. Nothing about "IsDeleted" is in it: the UPDATE that deletes a row would be refused.
 * - A partition has the policy as well: named directly, it would not have its parent's. Nor are there statistics of
 *   a column of it where the whole table has none.
 *
 * Only what is missing or different is done, so that a call on a protected table takes no lock that readers or writers feel.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "protect.h"
#include "steps.h"
#include "store.h"

static const char *OrganizationColumn(Oid relid);

/*
 * $1: the table, $2: its column of the organization, quoted. The expression of a policy is compared as
 * pg_get_expr() writes it, which EnterSteps()'s search_path makes the same for every caller.
 */
static const char *const protectStatements =
	"WITH target AS (SELECT c.oid, c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity"
	"  FROM pg_class c WHERE c.relkind IN ('r', 'p')"
	"   AND (c.oid = $1 OR c.oid IN (SELECT t.relid FROM pg_partition_tree($1) t))),"
	" policy AS (SELECT p.polrelid, p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}'"
	"   AND pg_get_expr(p.polqual, p.polrelid) = format('(%s = photoflow.current_org())', $2)"
	"   AND pg_get_expr(p.polwithcheck, p.polrelid) = format('(%s = photoflow.current_org())', $2) AS right"
	"  FROM pg_policy p WHERE p.polname = 'PhotoflowTenant'),"
	" statements AS ("
	"  SELECT t.name, 1, format('DROP POLICY \"PhotoflowTenant\" ON %s', t.name) AS statement"
	"  FROM target t JOIN policy p ON p.polrelid = t.oid WHERE p.right IS NOT TRUE"
	"  UNION ALL SELECT t.name, 2, format('CREATE POLICY \"PhotoflowTenant\" ON %s USING (%s = photoflow.current_org())"
	" WITH CHECK (%s = photoflow.current_org())', t.name, $2, $2)"
	"  FROM target t LEFT JOIN policy p ON p.polrelid = t.oid WHERE p.right IS NOT TRUE"
	"  UNION ALL SELECT t.name, 3, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name) FROM target t"
	"  WHERE NOT t.relrowsecurity"
	"  UNION ALL SELECT t.name, 4, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name) FROM target t"
	"  WHERE NOT t.relforcerowsecurity"
	"  UNION ALL SELECT t.name, 5, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', t.name, k.attname)"
	"  FROM target t JOIN pg_attribute k ON k.attrelid = t.oid JOIN pg_attribute p ON p.attrelid = pg_partition_root($1)"
	"   AND p.attname = k.attname WHERE k.attnum > 0 AND NOT k.attisdropped AND p.attstattarget = 0"
	"   AND k.attstattarget IS DISTINCT FROM 0)"
	" SELECT string_agg(s.statement, '; ' ORDER BY s) FROM statements s";

bool
TableIsProtected(Oid relid)
{
	HeapTuple	class = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		isProtected;

	if (!HeapTupleIsValid(class))
		return false;
	isProtected = ((Form_pg_class) GETSTRUCT(class))->relrowsecurity;
	ReleaseSysCache(class);
	return isProtected;
}

/* Return the column by which rows belong to an organization; raise 42703 where there is none. */
static const char *
OrganizationColumn(Oid relid)
{
	AttrNumber	number = get_attnum(relid, "OrgId");
	NameData	schema;

	if (number != InvalidAttrNumber && get_atttype(relid, number) == UUIDOID)
		return "\"OrgId\"";
	/* the organizations themselves */
	if (ReadDataSchema(&schema) && strcmp(get_rel_name(relid), "Organizations") == 0 &&
		strcmp(get_namespace_name(get_rel_namespace(relid)), NameStr(schema)) == 0)
		return "\"Id\"";
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"%s\" has no column \"OrgId\" of type uuid", get_rel_name(relid)),
			 errhint("Its rows belong to nobody: ALTER TABLE ... ADD COLUMN \"OrgId\" uuid NOT NULL.")));
}

/* Protect a table; between StoreBegin() and StoreEnd(), within EnterSteps(). */
void
ProtectTable(Oid relid)
{
	Oid			types[2] = {REGCLASSOID, TEXTOID};
	Datum		values[2] = {ObjectIdGetDatum(relid), CStringGetTextDatum(OrganizationColumn(relid))};

	RunGenerated(protectStatements, 2, types, values);
}

PHOTOFLOW_FUNCTION(photoflow_protect_table)
{
	Oid			relid;
	char		kind;
	StepScope	scope;

	RequireArgument(fcinfo, 0, "table_name", "Give the name of a table.");
	relid = PG_GETARG_OID(0);
	LockRelationOid(relid, ShareUpdateExclusiveLock);	/* so that it is there until we are done */
	kind = get_rel_relkind(relid);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", kind == '\0' ? psprintf("%u", relid) : get_rel_name(relid)),
				 errhint("Row-level security is for tables; a view over them needs WITH (security_invoker = true).")));
	StoreBegin();
	EnterSteps(&scope, GetUserId());
	SetInScope("client_min_messages", "warning");
	ProtectTable(relid);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}
