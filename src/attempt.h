/*
 * attempt.h: runs a part that may fail.
 */
#ifndef PHOTOFLOW_ATTEMPT_H
#define PHOTOFLOW_ATTEMPT_H

#include "postgres.h"

/* Run a part in a subtransaction; return NULL, or the error after all of it is rolled back, in the caller's context. */
extern ErrorData *Attempt(void (*part) (void *), void *state);

#endif
