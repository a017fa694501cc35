/*
 * completion.h: what the holders of claims do with them.
 *
 * A completion is one pair of id and token that is asked for, and what became of it.
 */
#ifndef PHOTOFLOW_COMPLETION_H
#define PHOTOFLOW_COMPLETION_H

#include "postgres.h"

#include "fmgr.h"

#include "failure.h"

typedef struct Completion
{
	pg_uuid_t	id;
	int64		token;
	int			place;			/* in the arrays */
	bool		hasError;
	Datum		error;
	bool		ok;
	const char *whyNot;
	int			status;
	bool		hasNext;
	TimestampTz next;
} Completion;

typedef struct Completions
{
	FailureTable *table;
	int			count;
	Completion *all;			/* in the order they were given */
	Completion **sorted;
	bool		waits;			/* records get a place in the queue */
	TimestampTz until;			/* of snooze */
	int64		microseconds;	/* of extend and reschedule */
	bool		hasRetryAfter;
} Completions;

/* change the row as is asked for; it is written then */
typedef void (*CompletionAction) (Completions *work, Completion *one, FailureRow *row);

extern void CompletionsRead(FunctionCallInfo fcinfo, Completions *work);
extern void CompletionsReadErrors(FunctionCallInfo fcinfo, Completions *work);
extern void CompletionsDo(FunctionCallInfo fcinfo, Completions *work, const char *function, CompletionAction action);
extern Datum CompletionsReturn(FunctionCallInfo fcinfo, const Completions *work);

#endif
