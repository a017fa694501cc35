/*
 * store.h: all SQL that photoflow runs, as plans kept for the session.
 *
 * Between StoreBegin() and StoreEnd() the rows of the last StoreRun() are in SPI_tuptable;
 * copy what is needed out of it before StoreEnd().
 */
#ifndef PHOTOFLOW_STORE_H
#define PHOTOFLOW_STORE_H

#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/uuid.h"

#include "softtable.h"

/* Where the data tables are. Valid until the next call of InstallationGet(). */
typedef struct Installation
{
	NameData	schema;
	Oid			schemaOid;
	Oid			albums;
	Oid			workflows;
	Oid			history;
	Oid			owner;			/* of "Albums"; bookkeeping is done in this role's name */
} Installation;

typedef enum StorePlan
{
#define STORE_PLAN(name, flags, text, ...) name,
#include "plans.h"
#undef STORE_PLAN
	STORE_PLAN_COUNT
} StorePlan;

/* in whose name a plan runs, and what it may do */
#define STORE_CALLER 0x00		/* the caller's privileges count */
#define STORE_OWNER 0x01		/* reads in the owner's name, past policies: the text itself must name "OrgId" */
#define STORE_READ 0x02			/* read-only: sees what the calling statement sees */
#define STORE_BOOKS 0x04		/* writes in the owner's name, under the policies: in the scope of a tenant (tenant.h) */
#define STORE_QUIET 0x08		/* soft delete does not look at it: the text marks, restores or purges by itself */
#define STORE_NEWEST 0x10		/* also sees what was committed since the transaction's snapshot; refuses to change it */

extern const Installation *InstallationGet(void);
extern bool InstallationOwnsTable(Oid relid);
extern void InstallationRequire(const char *table, AclMode privilege);
extern uint64 InstallationGeneration(void);
extern void InstallationInitialize(void);

extern int	PinSearchPath(void);

extern void StoreBegin(void);
extern void StoreEnd(void);
extern uint64 StoreRun(StorePlan plan, const Datum *values, const char *nulls);
extern uint64 StoreRunOn(StorePlan plan, SoftTableId table, const Datum *values, const char *nulls);

/* whether what is planned now is a statement of STORE_QUIET; asked once, by the first that is planned or started */
extern bool StoreTakeQuiet(void);

/* the rows of the last StoreRun(); columns count from 1 */
extern bool StoreIsNull(uint64 row, int column);
extern Datum StoreDatum(uint64 row, int column);
extern const pg_uuid_t *StoreUuid(uint64 row, int column);
extern int	StoreInt(uint64 row, int column);
extern char *StoreCString(uint64 row, int column);
extern void StoreReturnRows(struct ReturnSetInfo *result);

/* arrays for "= ANY ($n)" and unnest($n) */
extern Datum UuidArray(const pg_uuid_t *values, int count);
extern pg_uuid_t *UuidArrayElements(ArrayType *array, const char *argument, int *count);
extern Datum TextArray(char **values, int count);

#endif
