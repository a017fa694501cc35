/*
 * deletion.h: soft delete, shared by its files.
 *
 * Words:
 * - A deletion is one operation: a statement that deletes, or a call of soft_delete(). Its id is "DeletionId" of every
 *   row that it took.
 * - To mark is to set "IsDeleted" and what goes with it; a marked row is frozen.
 * - To turn is to plan a DELETE as the UPDATE that marks.
 */
#ifndef PHOTOFLOW_DELETION_H
#define PHOTOFLOW_DELETION_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "storage/itemptr.h"
#include "storage/lockdefs.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "softtable.h"

/* In TopTransactionContext, so that rows which wait for their cascade may point to it. */
typedef struct Deletion
{
	struct Deletion *previous;	/* of this transaction */
	pg_uuid_t	id;
	TimestampTz at;
	pg_uuid_t	by;
	bool		hasBy;
	int64	   *rows;			/* per table, of a call that counts; otherwise NULL */
} Deletion;

/* A row that was marked or brought back, until what is below it has been, too. */
typedef struct CollectedRow
{
	pg_uuid_t	id;
	pg_uuid_t	org;
	ItemPointerData tid;		/* of the new version */
	SoftTableId table;
	bool		restored;
	const Deletion *deletion;	/* that took it; of a restored row the one that had, or NULL where none is known */
	int			nestLevel;
} CollectedRow;

/* deletion.c */
extern void DeletionInitialize(void);
extern Deletion *DeletionNew(bool counts);
extern const Deletion *DeletionCurrent(void);
extern void DeletionGive(Deletion *deletion);
extern void DeletionEndFrameless(void);
extern const Deletion *DeletionFind(const pg_uuid_t *id);
extern const Deletion *DeletionOfRow(const pg_uuid_t *id, TimestampTz at, const pg_uuid_t *by);

struct TriggerData;
extern void RefuseHardDelete(struct TriggerData *trigger);
pg_noreturn extern void RefuseMarkedRow(const char *table, const pg_uuid_t *id);

/* deletemark.c */
pg_noreturn extern void RefuseBooks(const char *table);

/* collect.c */
extern void CollectInitialize(void);
extern void CollectRow(const CollectedRow *row);
extern void CollectFlush(void);

/* childprobe.c */
extern void ChildProbeInitialize(void);
extern bool MayHaveChildren(SoftTableId child, const pg_uuid_t *org, const pg_uuid_t *parents, int count);

/* cascade.c */
extern void CascadeRows(CollectedRow *rows, int count);

/* deleteplan.c */
typedef enum DeleteMark
{
	DELETE_PLAN_NONE = 0,
	DELETE_PLAN_CHECKED = 0x1,	/* an UPDATE that asks of each row itself whether it is live */
	DELETE_PLAN_MARKS = 0x2,	/* marks live rows, and sets what goes with it */
	DELETE_PLAN_TURNED = 0x4,	/* was a DELETE */
	DELETE_PLAN_QUIET = 0x8,	/* photoflow's own, which does by itself what the triggers would */
} DeleteMark;

struct PlannedStmt;
extern void DeletePlanInitialize(void);
extern int	DeletePlanMarks(struct PlannedStmt *plan);
extern bool HardDeleteAllowed(void);
extern void HardDeleteDefineSetting(void);

/* deletefuncs.c */
typedef struct DeleteFunctions
{
	Oid			markDeletion;
	Oid			collectDeletion;
	Oid			cascadeDeletion;
	Oid			requireLive;
	Oid			deletionId;
	Oid			deletionTime;
	Oid			currentUserId;
} DeleteFunctions;

extern void DeleteFunctionsInitialize(void);
extern const DeleteFunctions *DeleteFunctionsFind(void);

/* deleterun.c */
extern void DeleteRunInitialize(void);

/* conflict.c */
typedef struct Conflicts
{
	int64		count;
	StringInfoData list;		/* JSON objects, separated by commas; the first of them */
} Conflicts;

extern void ConflictsBegin(Conflicts *conflicts);
extern void ConflictsFind(Conflicts *conflicts, SoftTableId table, const pg_uuid_t *org, const pg_uuid_t *deletion,
						  const pg_uuid_t *row);
pg_noreturn extern void ConflictsRaise(const Conflicts *conflicts, const char *what);

/* restore.c */
extern void LockOrganization(const pg_uuid_t *org, LOCKMODE mode);
extern void RequireOrganization(const pg_uuid_t *named);
extern pg_uuid_t *OrganizationsToWorkFor(const pg_uuid_t *org, int *count);

#endif
