/*
 * grant.h: what makes the sessions of a login load photoflow.
 */
#ifndef PHOTOFLOW_GRANT_H
#define PHOTOFLOW_GRANT_H

/* queries that make the statement; $1: the role, quoted */
extern const char *const preloadStatement;
extern const char *const unloadStatement;

extern void PreloadFor(const char *role, const char *query);

#endif
