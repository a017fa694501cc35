/*
 * listing.c: reads and validates the body of Google Drive's files.list.
 *
 * Words:
 * - An element is a member of the listing's "files" array, counted from 0 as JSON paths do.
 * - A photo is an element whose mimeType starts with image/ and that is not in the trash; everything else
 *   (folders, videos, sidecars) is validated all the same, and then left out.
 *
 * Nothing is copied: the result points into the jsonb and lives no longer than that.
 */
#include "listing.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "photoflow.h"

#define MAX_ID_LENGTH 1024		/* what a btree index holds with room to spare; Drive's have 33 characters */
#define FIRST_CAPACITY 256

/* Raise 22023 for a value that is not what a listing has there. */
static void
RefuseElement(const char *message, const char *path, const char *expected, const char *found)
{
	JsonText	detail;

	JsonBegin(&detail);
	JsonAddText(&detail, "path", path);
	JsonAddText(&detail, "expected", expected);
	JsonAddText(&detail, "found", found);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg_internal("%s", message),
					errdetail_internal("%s", JsonEnd(&detail)),
					errhint("Pass the body of Google Drive's files.list, or its \"files\" array, as Drive sent it: every file has a string id, name and mimeType. Elements are counted from 0; nothing was written.")));
}

/* Raise 22023 for a key of an element; value is NULL when the key is missing. */
static void
RefuseKey(int element, const char *key, JsonbValue *value, const char *expected)
{
	char	   *path = psprintf("files[%d].%s", element, key);

	if (value == NULL)
		RefuseElement(psprintf("element %d of \"files\" has no \"%s\"", element, key), path, expected, "nothing");
	else
		RefuseElement(psprintf("\"%s\" of element %d of \"files\" is not a %s", key, element, expected), path, expected,
					  JsonbTypeName(value));
}

/* Return the string at a key of an element; without one, refuse it, or return no text when it is optional. */
static TextSlice
ReadString(JsonbContainer *object, int element, const char *key, bool optional)
{
	JsonbValue	value;
	TextSlice	slice = {NULL, 0};
	bool		present = getKeyJsonValueFromContainer(object, key, strlen(key), &value) != NULL;

	if (optional && (!present || value.type == jbvNull))
		return slice;
	if (!present || value.type != jbvString)
		RefuseKey(element, key, present ? &value : NULL, "string");
	slice.text = value.val.string.val;
	slice.length = value.val.string.len;
	return slice;
}

static TextSlice
ReadId(JsonbContainer *object, int element)
{
	TextSlice	id = ReadString(object, element, "id", false);

	if (id.length == 0)
		RefuseElement(psprintf("\"id\" of element %d of \"files\" is empty", element), psprintf("files[%d].id", element),
					  "string", "empty string");
	if (id.length > MAX_ID_LENGTH)
		RefuseElement(psprintf("\"id\" of element %d of \"files\" is longer than %d bytes", element, MAX_ID_LENGTH),
					  psprintf("files[%d].id", element), "string", psprintf("string of %d bytes", id.length));
	return id;
}

static bool
ReadTrashed(JsonbContainer *object, int element)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(object, "trashed", strlen("trashed"), &value) == NULL || value.type == jbvNull)
		return false;
	if (value.type != jbvBool)
		RefuseKey(element, "trashed", &value, "boolean");
	return value.val.boolean;
}

/* Read one element, checking everything that is used of it. */
static ListedFile
ReadElement(JsonbValue *value, int element)
{
	static const char prefix[] = "image/";
	JsonbContainer *object;
	ListedFile	file;
	TextSlice	mimeType;

	if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
		RefuseElement(psprintf("element %d of \"files\" is not an object", element), psprintf("files[%d]", element), "object",
					  JsonbTypeName(value));
	object = value->val.binary.data;
	file.id = ReadId(object, element);
	file.name = ReadString(object, element, "name", false);
	mimeType = ReadString(object, element, "mimeType", false);
	file.thumbnail = ReadString(object, element, "thumbnailLink", true);
	file.isPhoto = !ReadTrashed(object, element) && mimeType.length >= (int) strlen(prefix) &&
		pg_strncasecmp(mimeType.text, prefix, strlen(prefix)) == 0;
	return file;
}

/* Return the array of files in what the caller passed, or refuse it. */
static JsonbContainer *
FindFilesArray(Jsonb *files)
{
	JsonbContainer *root = &files->root;
	JsonbValue	value;

	if (JsonContainerIsObject(root))
	{
		if (getKeyJsonValueFromContainer(root, "files", strlen("files"), &value) == NULL)
			RefuseElement("the listing has no \"files\"", "files", "array", "nothing");
		if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
			RefuseElement("\"files\" of the listing is not an array", "files", "array", JsonbTypeName(&value));
		return value.val.binary.data;
	}
	if (JsonContainerIsScalar(root))
	{
		JsonbExtractScalar(root, &value);
		RefuseElement("the listing is neither an object nor an array", "files", "array", JsonbTypeName(&value));
	}
	return root;
}

/* Take over a file; where its id was listed before, this one counts and keeps the earlier one's place. */
static void
AddFile(Listing *listing, int *capacity, ListedFile file)
{
	int			present;

	if (!file.isPhoto)
	{
		present = IdSetFind(listing->byId, file.id);
		if (present == IDSET_NONE)
			return;
	}
	else if (IdSetAdd(listing->byId, file.id, listing->count, &present))
	{
		if (listing->count == *capacity)
		{
			*capacity *= 2;
			listing->files = repalloc_huge(listing->files, sizeof(ListedFile) * (Size) *capacity);
		}
		listing->files[listing->count++] = file;
		listing->photos++;
		return;
	}
	listing->photos += (int) file.isPhoto - (int) listing->files[present].isPhoto;
	listing->files[present] = file;
}

/* Read a listing. The first malformed element is refused with 22023. */
Listing *
ListingRead(Jsonb *files)
{
	JsonbContainer *array = FindFilesArray(files);
	JsonbIterator *iterator = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			element = 0;
	int			capacity = Max(FIRST_CAPACITY, Min((int) JsonContainerSize(array), 10000));
	Listing    *listing = palloc0(sizeof(Listing));

	listing->files = palloc(sizeof(ListedFile) * capacity);
	listing->byId = IdSetCreate(capacity);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		AddFile(listing, &capacity, ReadElement(&value, element++));
	}
	return listing;
}
