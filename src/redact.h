/*
 * redact.h: keeps keys and tokens out of the server's log and out of pg_stat_activity.
 */
#ifndef PHOTOFLOW_REDACT_H
#define PHOTOFLOW_REDACT_H

extern void RedactInitialize(void);
extern void HideStatement(const char *secret);

#endif
