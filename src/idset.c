/*
 * idset.c: external ids hashed in backend memory, so that comparing a listing with a table costs no SQL per file.
 *
 * A set lives as long as the memory context it was made in; the ids' text is not copied.
 */
#include "idset.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct IdSetEntry
{
	TextSlice	id;
	uint32		hash;
	int			value;
	char		status;
} IdSetEntry;

#define SH_PREFIX idtable
#define SH_ELEMENT_TYPE IdSetEntry
#define SH_KEY_TYPE TextSlice
#define SH_KEY id
#define SH_HASH_KEY(table, key) hash_bytes((const unsigned char *) (key).text, (key).length)
#define SH_EQUAL(table, a, b) SliceEquals((a), (b))
#define SH_STORE_HASH
#define SH_GET_HASH(table, entry) ((entry)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct IdSet
{
	idtable_hash *table;
};

IdSet *
IdSetCreate(uint32 expected)
{
	IdSet	   *set = palloc(sizeof(IdSet));

	set->table = idtable_create(CurrentMemoryContext, expected, NULL);
	return set;
}

/* Add an id and return true, or return false and the value it was added with when it is there already. */
bool
IdSetAdd(IdSet *set, TextSlice id, int value, int *present)
{
	bool		found;
	IdSetEntry *entry = idtable_insert(set->table, id, &found);

	if (found)
	{
		*present = entry->value;
		return false;
	}
	entry->value = value;
	return true;
}

/* Return the value of an id, or IDSET_NONE. */
int
IdSetFind(IdSet *set, TextSlice id)
{
	IdSetEntry *entry = idtable_lookup(set->table, id);

	return entry ? entry->value : IDSET_NONE;
}

int
IdSetCount(IdSet *set)
{
	return (int) set->table->members;
}

/* Make a text[]; a slice without text is a NULL element. */
Datum
SliceArray(const TextSlice *slices, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(count, 1));
	int			bound = 1;

	for (int i = 0; i < count; i++)
	{
		nulls[i] = slices[i].text == NULL;
		elements[i] = nulls[i] ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(slices[i].text, slices[i].length));
	}
	if (count == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &bound, TEXTOID, -1, false, TYPALIGN_INT));
}
