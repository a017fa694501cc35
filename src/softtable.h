/*
 * softtable.h: the tables whose rows are deleted softly, and how they hang on each other.
 */
#ifndef PHOTOFLOW_SOFTTABLE_H
#define PHOTOFLOW_SOFTTABLE_H

#include "postgres.h"

#include "utils/relcache.h"

/* parents come before their children */
typedef enum SoftTableId
{
	SOFT_NONE = -1,
	SOFT_ORGANIZATIONS,
	SOFT_USERS,
	SOFT_PUBLIC_URLS,
	SOFT_ALBUMS,
	SOFT_ALBUM_TAGS,
	SOFT_PHOTOS,
	SOFT_COMMENTS,
	SOFT_LIKES,
	SOFT_FAILURES,
	SOFT_AUDIT,
	SOFT_TABLE_COUNT
} SoftTableId;

typedef struct SoftTable
{
	const char *name;
	const char *entity;			/* as DETAIL says it */
	const char *noun;			/* as messages say it */
	SoftTableId parent;
	const char *parentColumn;	/* NULL without a parent */
	const char *orgColumn;
} SoftTable;

extern const SoftTable softTables[SOFT_TABLE_COUNT];

/* where a relation has the columns that soft delete needs */
typedef struct SoftColumns
{
	Oid			relation;
	SoftTableId table;			/* of a relation that is one of ours, or a partition of it */
	AttrNumber	id;
	AttrNumber	org;
	AttrNumber	isDeleted;
	AttrNumber	deletedAt;
	AttrNumber	deletedBy;
	AttrNumber	deletionId;
} SoftColumns;

extern SoftTableId SoftTableByName(const char *name);
extern bool SoftTableHasChildren(SoftTableId table);
extern SoftTableId SoftTableRequire(Oid relid);
extern void RequireSoftDelete(void);
extern void RequireMayMark(SoftTableId table);
extern Oid	SoftTableRelation(SoftTableId table);
extern void SoftTableInitialize(void);
extern void SoftColumnsFind(Relation relation, const char *orgColumn, SoftColumns *columns);
extern bool SoftColumnsLookup(Relation relation, SoftColumns *columns);
extern SoftColumns SoftColumnsOf(Relation relation);

#endif
