/*
 * compat.h: the only place that knows PostgreSQL's versions.
 *
 * Each name is the newest API's, back-ported to the older majors.
 */
#ifndef PHOTOFLOW_COMPAT_H
#define PHOTOFLOW_COMPAT_H

#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "common/jsonapi.h"
#include "replication/message.h"
#include "utils/acl.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 150000
#error "photoflow needs PostgreSQL 15 or newer"
#endif

/* 15 does not hide symbols and leaves this empty; the build hides all that is not marked */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

/* 16 folded the ownership checks into one and gave GUC extras an allocator of their own */
#if PG_VERSION_NUM < 160000
#define RelationIsOwnedBy(relid, roleid) pg_class_ownercheck((relid), (roleid))
#define guc_malloc(elevel, size) malloc(size)
#else
#define RelationIsOwnedBy(relid, roleid) object_ownercheck(RelationRelationId, (relid), (roleid))
#endif

#if PG_VERSION_NUM < 160000
#define SchemaIsUsable(schema, roleid) (pg_namespace_aclcheck((schema), (roleid), ACL_USAGE) == ACLCHECK_OK)
#else
#define SchemaIsUsable(schema, roleid) \
	(object_aclcheck(NamespaceRelationId, (schema), (roleid), ACL_USAGE) == ACLCHECK_OK)
#endif

#if PG_VERSION_NUM < 160000
#define FunctionIsExecutable(function, roleid) (pg_proc_aclcheck((function), (roleid), ACL_EXECUTE) == ACLCHECK_OK)
#else
#define FunctionIsExecutable(function, roleid) \
	(object_aclcheck(ProcedureRelationId, (function), (roleid), ACL_EXECUTE) == ACLCHECK_OK)
#endif

/* 16 added an argument for indexes that only summarize */
#if PG_VERSION_NUM < 160000
#define InsertIndexTuples(target, slot, estate) ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL)
#else
#define InsertIndexTuples(target, slot, estate) \
	ExecInsertIndexTuples((target), (slot), (estate), false, false, NULL, NIL, false)
#endif

/* 16 tells indexes that only summarize from the others in what an update asks for */
#if PG_VERSION_NUM < 160000
typedef bool UpdatedIndexes;
#define IndexesAreUpdated(indexes) (indexes)
#define InsertUpdatedIndexTuples(target, slot, estate, stays, indexes) \
	ExecInsertIndexTuples((target), (slot), (estate), (stays), false, NULL, NIL)
#else
typedef TU_UpdateIndexes UpdatedIndexes;
#define IndexesAreUpdated(indexes) ((indexes) != TU_None)
#define InsertUpdatedIndexTuples(target, slot, estate, stays, indexes) \
	ExecInsertIndexTuples((target), (slot), (estate), (stays), false, NULL, NIL, (indexes) == TU_Summarizing)
#endif

/* heap_update() asserts that nobody asks it not to wait, and without assertions answers as table_tuple_update() promises */
#ifdef USE_ASSERT_CHECKING
#define UPDATES_MUST_WAIT true
#else
#define UPDATES_MUST_WAIT false
#endif

/* 16 let the actions of the JSON parser fail */
#if PG_VERSION_NUM < 160000
typedef void JsonActionResult;
#define JSON_ACTION_DONE return
#else
typedef JsonParseErrorType JsonActionResult;
#define JSON_ACTION_DONE return JSON_SUCCESS
#endif

/* 17 lets the caller bring the lexer's memory */
#if PG_VERSION_NUM < 170000
#define MakeJsonLexContext(json, len, encoding) makeJsonLexContextCstringLen((json), (len), (encoding), true)
#else
#define MakeJsonLexContext(json, len, encoding) makeJsonLexContextCstringLen(NULL, (json), (len), (encoding), true)
#endif

/* 18 tells bytes from characters */
#if PG_VERSION_NUM < 180000
#define DecodeBase64(src, len, dst, dstlen) pg_b64_decode((src), (len), (char *) (dst), (dstlen))
#define EncodeBase64(src, len, dst, dstlen) pg_b64_encode((const char *) (src), (len), (dst), (dstlen))
#else
#define DecodeBase64(src, len, dst, dstlen) pg_b64_decode((src), (len), (dst), (dstlen))
#define EncodeBase64(src, len, dst, dstlen) pg_b64_encode((src), (len), (dst), (dstlen))
#endif

/* 16 took the privileges that a statement needs out of the range table */
#if PG_VERSION_NUM < 160000
#define UpdatedColumnsOf(query, rte) ((rte)->updatedCols)
#else
#define UpdatedColumnsOf(query, rte) (getRTEPermissionInfo((query)->rteperminfos, (rte))->updatedCols)
#endif
#define AddUpdatedColumn(query, rte, column) \
	(UpdatedColumnsOf(query, rte) = \
	 bms_add_member(UpdatedColumnsOf(query, rte), (column) - FirstLowInvalidHeapAttributeNumber))

/* 18 runs every plan once */
#if PG_VERSION_NUM < 180000
#define EXECUTOR_RUN_PARAMETERS QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count, execute_once
#else
#define EXECUTOR_RUN_PARAMETERS QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define EXECUTOR_RUN_ARGUMENTS queryDesc, direction, count
#endif

/* 17 added the flush argument; a transactional message is flushed with its commit */
#if PG_VERSION_NUM < 170000
#define LogTransactionalMessage(prefix, text, len) LogLogicalMessage((prefix), (text), (len), true)
#else
#define LogTransactionalMessage(prefix, text, len) LogLogicalMessage((prefix), (text), (len), true, false)
#endif

/* 18 counts index searches for EXPLAIN, and tells deferrable keys apart */
#if PG_VERSION_NUM < 180000
#define BeginIndexScan(table, index, snapshot, nkeys, norderbys) \
	index_beginscan((table), (index), (snapshot), (nkeys), (norderbys))
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex(table)
#else
#define BeginIndexScan(table, index, snapshot, nkeys, norderbys) \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), (norderbys))
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex((table), false)
#endif

/* 18 writes it in front of a declaration and drops the macro that stood behind it */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18 carries name and version in the magic block */
#if PG_VERSION_NUM < 180000
#define PG_MODULE_MAGIC_EXT(...) PG_MODULE_MAGIC
#endif

#endif
