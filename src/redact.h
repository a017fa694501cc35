/*
 * redact.h: keeps keys and tokens out of the server's log.
 */
#ifndef PHOTOFLOW_REDACT_H
#define PHOTOFLOW_REDACT_H

extern void RedactInitialize(void);

#endif
