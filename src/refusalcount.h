/*
 * refusalcount.h: refusals are counted and logged past the rollback of their transaction.
 */
#ifndef PHOTOFLOW_REFUSALCOUNT_H
#define PHOTOFLOW_REFUSALCOUNT_H

#include "postgres.h"

extern void RefusalCountInitialize(void);
extern void RefusalDefineSettings(void);

/* the last of an ereport()'s arguments, where somebody is refused what he may not do */
extern int	RefusalCounted(void);

/* the same where a refusal is reported and not raised; detail is one JSON object */
extern void RefusalCount(int code, const char *message, const char *detail);

#endif
