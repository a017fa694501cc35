/*
 * secret.h: what the database knows and applications must not: keys of tokens, the name of the event channel.
 */
#ifndef PHOTOFLOW_SECRET_H
#define PHOTOFLOW_SECRET_H

#include "postgres.h"

#include "nodes/pg_list.h"

#define SECRET_TOKEN_KEY "token_key"
#define SECRET_EVENT_CHANNEL "event_channel"

typedef struct Secret
{
	char	   *kind;
	char	   *kid;			/* of a token key; NULL for one that is tried on every token */
	uint8	   *bytes;
	int			length;
} Secret;

extern void SecretInitialize(void);
extern List *SecretsGet(void);
extern void SecretsRequireTable(void);
extern const Secret *SecretFind(const char *kind);

#endif
