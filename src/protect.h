/*
 * protect.h: row-level security on a table with an organization.
 */
#ifndef PHOTOFLOW_PROTECT_H
#define PHOTOFLOW_PROTECT_H

#include "postgres.h"

extern void ProtectTable(Oid relid);
extern bool TableIsProtected(Oid relid);

#endif
