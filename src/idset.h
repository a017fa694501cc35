/*
 * idset.h: slices of text, and sets of external ids, each with a number of the caller's.
 */
#ifndef PHOTOFLOW_IDSET_H
#define PHOTOFLOW_IDSET_H

#include "postgres.h"

#define IDSET_NONE (-1)

/* Text that lies in somebody else's memory, without a terminating zero; text is NULL for SQL's NULL. */
typedef struct TextSlice
{
	const char *text;
	int			length;
} TextSlice;

typedef struct IdSet IdSet;

extern IdSet *IdSetCreate(uint32 expected);
extern bool IdSetAdd(IdSet *set, TextSlice id, int value, int *present);
extern int	IdSetFind(IdSet *set, TextSlice id);
extern int	IdSetCount(IdSet *set);
extern Datum SliceArray(const TextSlice *slices, int count);

static inline bool
SliceEquals(TextSlice a, TextSlice b)
{
	if (a.text == NULL || b.text == NULL)
		return a.text == b.text;
	return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

#endif
