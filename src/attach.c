/*
 * attach.c: puts photoflow's triggers, policies and defaults on the data tables, and takes them off.
 *
 * attach() runs the recorded attach steps again, whose texts may be repeated. detach() looks in pg_depend for what
 * hangs on a function of the extension, and takes away what an attach step names: a trigger or default that a user
 * made with photoflow's functions stays, since attach() could not bring it back.
 *
 * To widen a trigger is to take its column list away. The lists keep photoflow out of updates that do not name its
 * columns (bench/README.md), but a user's BEFORE UPDATE trigger can change columns that no statement names: on a
 * table that has one, attach() widens.
 */
#include "photoflow.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "steps.h"
#include "store.h"

static StepTarget *BeginAttach(StepScope *scope);

/*
 * $1: the data schema. Partitions need no statement of their own but for their policies: their triggers are clones
 * (tgparentid), and a default dropped from the parent goes from them, too. A table stays closed without its policy.
 */
static const char *const detachStatements =
	"WITH attached AS (SELECT string_agg(s.sql, ' ') AS text FROM photoflow.table_steps s WHERE s.kind = 'attach'),"
	" dependent AS (SELECT DISTINCT d.classid, d.objid FROM pg_depend d, pg_depend m, pg_extension e"
	"  WHERE e.extname = 'photoflow' AND m.refclassid = 'pg_extension'::regclass AND m.refobjid = e.oid"
	"  AND m.deptype = 'e' AND m.classid = 'pg_proc'::regclass"
	"  AND d.refclassid = m.classid AND d.refobjid = m.objid),"
	" statements AS ("
	"  SELECT c.relname, format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname) AS statement"
	"  FROM dependent d, attached a, pg_trigger t, pg_class c, pg_namespace n"
	"  WHERE d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND t.tgparentid = 0"
	"  AND c.oid = t.tgrelid AND c.relnamespace = $1 AND n.oid = $1"
	"  AND position('\"' || t.tgname || '\"' IN a.text) > 0"
	"  UNION ALL"
	"  SELECT c.relname, format('ALTER TABLE %I.%I ALTER COLUMN %I DROP DEFAULT', n.nspname, c.relname, k.attname)"
	"  FROM dependent d, attached a, pg_attrdef f, pg_class c, pg_namespace n, pg_attribute k"
	"  WHERE d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid AND c.oid = f.adrelid AND NOT c.relispartition"
	"  AND k.attrelid = f.adrelid AND k.attnum = f.adnum AND k.attgenerated = '' AND c.relnamespace = $1 AND n.oid = $1"
	"  AND position('\"' || k.attname || '\" SET DEFAULT' IN a.text) > 0"
	"  UNION ALL"
	"  SELECT r.relname, format('DROP POLICY %I ON %I.%I', p.polname, n.nspname, c.relname)"
	"  FROM dependent d, pg_policy p, pg_class c, pg_namespace n, pg_class r"
	"  WHERE d.classid = 'pg_policy'::regclass AND p.oid = d.objid AND c.oid = p.polrelid AND c.relnamespace = $1"
	"  AND n.oid = $1 AND p.polname = 'PhotoflowTenant' AND r.oid = coalesce(pg_partition_root(c.oid), c.oid))"
	" SELECT string_agg(s.statement, '; ' ORDER BY s.relname, s.statement) FROM statements s, attached a"
	" WHERE position('{schema}.\"' || s.relname || '\"' IN a.text) > 0";

/* $1: the data schema. tgtype's bits: 1 row, 2 before, 16 update */
static const char *const widenStatements =
	"SELECT string_agg(regexp_replace(replace(pg_get_triggerdef(t.oid), 'CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER'),"
	"  ' UPDATE OF .*? ON ', ' UPDATE ON '), '; ')"
	" FROM pg_trigger t, pg_class c WHERE c.oid = t.tgrelid AND c.relnamespace = $1 AND t.tgparentid = 0"
	" AND t.tgattr::text <> '' AND t.tgfoid IN (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'photoflow'::regnamespace)"
	" AND EXISTS (SELECT FROM pg_trigger u, pg_proc f WHERE u.tgrelid = t.tgrelid AND u.tgtype & 19 = 19"
	"  AND NOT u.tgisinternal AND f.oid = u.tgfoid AND f.pronamespace <> 'photoflow'::regnamespace)";

PHOTOFLOW_FUNCTION(photoflow_attach)
{
	StepScope	scope;
	StepTarget *target;
	ListCell   *cell;
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	StoreBegin();
	target = BeginAttach(&scope);
	foreach(cell, LoadSteps(target))
	{
		TableStep  *step = lfirst(cell);

		if (step->known && StepIsKind(step, "attach") && StepIsDone(target, step))
			RunSteps(step->sql, 0, NULL, NULL);
	}
	values[0] = ObjectIdGetDatum(target->schemaOid);
	RunGenerated(widenStatements, 1, types, values);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}

PHOTOFLOW_FUNCTION(photoflow_detach)
{
	StepScope	scope;
	StepTarget *target;
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	StoreBegin();
	target = BeginAttach(&scope);
	values[0] = ObjectIdGetDatum(target->schemaOid);
	RunGenerated(detachStatements, 1, types, values);
	LeaveSteps(&scope);
	StoreEnd();
	PG_RETURN_VOID();
}

/* Lock the engine out, and go on in the name of the tables' owner. */
static StepTarget *
BeginAttach(StepScope *scope)
{
	StepTarget *target;

	LockSteps(false, true);
	target = FindInstalledTarget();
	RequireTargetOwner(target);
	EnterSteps(scope, target->owner);
	SetInScope("client_min_messages", "warning");
	return target;
}
