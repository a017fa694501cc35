/*
 * auditplace.c: where a row of the audit log goes: the partition of its time, and whether rows may go straight into its heap.
 *
 * What was found is kept until the partition or its parent changes.
 */
#include "photoflow.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "auditlog.h"
#include "multiinsert.h"
#include "relwatch.h"

/* what everybody's rows need beside the columns of a report */
#define DELETED_COLUMN "IsDeleted"

static const struct
{
	const char *name;
	Oid			type;			/* TEXTOID: or varchar */
}			columnsKnown[AC_COUNT] = {
	[AC_ID] = {"Id", UUIDOID}, [AC_ORG] = {"OrgId", UUIDOID}, [AC_CREATED] = {"CreatedAt", TIMESTAMPTZOID},
	[AC_SERVICE] = {"ServiceName", TEXTOID}, [AC_ACTION] = {"Action", TEXTOID}, [AC_ENTITY_TYPE] = {"EntityType", TEXTOID},
	[AC_ENTITY] = {"EntityId", TEXTOID}, [AC_USER] = {"UserId", TEXTOID}, [AC_MS] = {"ExecutionTimeMs", INT8OID},
	[AC_STATUS] = {"Status", TEXTOID}, [AC_ERROR] = {"ErrorMessage", TEXTOID}, [AC_REQUEST] = {"RequestData", JSONBOID},
	[AC_RESPONSE] = {"ResponseData", JSONBOID}, [AC_REQUEST_ID] = {"RequestId", TEXTOID},
	[AC_CORRELATION] = {"CorrelationId", TEXTOID}, [AC_OPERATION] = {"Operation", TEXTOID},
	[AC_ADDRESS] = {"IpAddress", TEXTOID}, [AC_AGENT] = {"UserAgent", TEXTOID}, [AC_ADDITIONAL] = {"AdditionalData", JSONBOID},
	[AC_STARTED] = {"StartedAt", TIMESTAMPTZOID}, [AC_COMPLETED] = {"CompletedAt", TIMESTAMPTZOID},
	[AC_CHANGES] = {"Changes", JSONBOID}, [AC_ROLE] = {"Role", TEXTOID}, [AC_LOGIN] = {"DbUser", TEXTOID},
	[AC_TRANSACTION] = {"TransactionId", INT8OID}
};

/* the partition that was last written to, until it or its parent changes */
static struct
{
	Oid			logs;
	Oid			partition;
	bool		plain;
	AuditColumns columns;
} kept;

static void ForgetPartition(Datum arg, Oid relid);
static Oid	FindPartition(Relation logs, TimestampTz at);
static Relation OpenPartition(Relation logs, TimestampTz at);
static void LookAtPartition(Relation logs, Relation partition);
static bool IsPlain(Relation logs, Relation partition);
static bool ColumnsAreFilled(Relation partition);
static bool TriggersAreOurs(Relation relation);

void
AuditPlaceInitialize(void)
{
	WatchRelations(ForgetPartition);
}

static void
ForgetPartition(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == kept.partition || relid == kept.logs)
		kept.partition = InvalidOid;
}

/* Find the partition for rows of this time; InvalidOid where that is not for us to find. */
static Oid
FindPartition(Relation logs, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(logs);
	PartitionDesc desc = key ? RelationGetPartitionDesc(logs, true) : NULL;
	Datum		value = TimestampTzGetDatum(at);
	bool		isEqual;
	int			index;

	if (desc == NULL || desc->nparts == 0 || key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1 ||
		key->partattrs[0] != get_attnum(RelationGetRelid(logs), columnsKnown[AC_CREATED].name))
		return InvalidOid;
	index = desc->boundinfo->indexes[partition_range_datum_bsearch(key->partsupfunc, key->partcollation, desc->boundinfo, 1,
																   &value, &isEqual) + 1];
	if (index < 0)
		index = desc->boundinfo->default_index;
	return index < 0 ? InvalidOid : desc->oids[index];
}

/* Open that partition. While we wait for its lock somebody may make another for the time: then that is the one. */
static Relation
OpenPartition(Relation logs, TimestampTz at)
{
	Oid			found = FindPartition(logs, at);

	while (OidIsValid(found))
	{
		Oid			again;

		LockRelationOid(found, RowExclusiveLock);
		again = FindPartition(logs, at);
		if (again == found)
			return table_open(found, NoLock);
		UnlockRelationOid(found, RowExclusiveLock);
		found = again;
	}
	return NULL;
}

/* Find the columns; raise PF040 where the table is older than they are. */
static void
LookAtPartition(Relation logs, Relation partition)
{
	Oid			relid = RelationGetRelid(partition);

	/* first of all, so that what changes while we look is looked at again the next time */
	kept.logs = RelationGetRelid(logs);
	kept.partition = relid;
	kept.plain = false;
	for (int i = 0; i < AC_COUNT; i++)
	{
		AttrNumber	number = get_attnum(relid, columnsKnown[i].name);
		Oid			type = number > 0 ? TupleDescAttr(RelationGetDescr(partition), number - 1)->atttypid : InvalidOid;

		if (type != columnsKnown[i].type && !(columnsKnown[i].type == TEXTOID && type == VARCHAROID))
		{
			kept.partition = InvalidOid;
			ereport(ERROR,
					(errcode(ERRCODE_PF_TABLES_OUT_OF_DATE),
					 number > 0 ? errmsg("column \"%s\" of \"%s\" has another type", columnsKnown[i].name, get_rel_name(relid)) :
					 errmsg("table \"%s\" has no column \"%s\" yet", get_rel_name(relid), columnsKnown[i].name),
					 errhint("Run CALL photoflow.migrate().")));
		}
		kept.columns.number[i] = number;
	}
	kept.columns.deleted = get_attnum(relid, DELETED_COLUMN);
	kept.plain = IsPlain(logs, partition);
}

/* Say whether a row needs nothing but to be put into the heap and the indexes. */
static bool
IsPlain(Relation logs, Relation partition)
{
	TupleConstr *constraints = RelationGetDescr(partition)->constr;

	return partition->rd_rel->relkind == RELKIND_RELATION && logs->rd_rules == NULL && partition->rd_rules == NULL &&
		!(constraints && (constraints->num_check > 0 || constraints->has_generated_stored)) &&
		ColumnsAreFilled(partition) && TriggersAreOurs(logs) && TriggersAreOurs(partition) && IndexesAreImmediate(partition);
}

/* Say whether every column is one that we know, or may be left NULL. */
static bool
ColumnsAreFilled(Relation partition)
{
	TupleDesc	desc = RelationGetDescr(partition);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		known = i + 1 == kept.columns.deleted && attribute->atttypid == BOOLOID;
		bool		filled = known;

		for (int c = 0; c < AC_COUNT && !known; c++)
		{
			known = kept.columns.number[c] == i + 1;
			filled = known && (c == AC_ID || c == AC_ORG || c == AC_CREATED || c == AC_ACTION || c == AC_STATUS);
		}
		if (attribute->attisdropped)
			continue;
		if (known ? attribute->atttypmod != -1 || (attribute->attnotnull && !filled) :
			attribute->attnotnull || attribute->atthasdef || OidIsValid(get_element_type(attribute->atttypid)) ||
			get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN)
			return false;
	}
	return kept.columns.deleted != InvalidAttrNumber;
}

/* Say whether nobody else has a trigger that an INSERT fires, and the month is not sealed. */
static bool
TriggersAreOurs(Relation relation)
{
	TriggerDesc *triggers = CopyTriggerDesc(relation->trigdesc);	/* a look into the catalog may make them anew */
	Oid			ours = get_namespace_oid("photoflow", true);
	bool		areOurs = true;

	for (int i = 0; areOurs && triggers && i < triggers->numtriggers; i++)
		areOurs = !TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype) ||
			(get_func_namespace(triggers->triggers[i].tgfoid) == ours && strcmp(triggers->triggers[i].tgname, AUDIT_SEALED_TRIGGER) != 0);
	FreeTriggerDesc(triggers);
	return areOurs;
}

/* Open the partition for rows of this time, where they may go straight into the heap; NULL: a row is an INSERT into the log. */
Relation
AuditPlaceOpen(Relation logs, TimestampTz at, AuditColumns *columns)
{
	Relation	partition = OpenPartition(logs, at);

	if (partition == NULL)
		return NULL;
	if (kept.partition != RelationGetRelid(partition))
		LookAtPartition(logs, partition);
	*columns = kept.columns;
	if (kept.plain)
		return partition;
	table_close(partition, NoLock);
	return NULL;
}
