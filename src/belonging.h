/*
 * belonging.h: the triggers that keep each row in one organization.
 */
#ifndef PHOTOFLOW_BELONGING_H
#define PHOTOFLOW_BELONGING_H

extern void BelongingForget(void);

#endif
