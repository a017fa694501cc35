/*
 * listing.h: the photos that one page of a Google Drive listing names.
 */
#ifndef PHOTOFLOW_LISTING_H
#define PHOTOFLOW_LISTING_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "idset.h"

/* the text of all three lies in the jsonb */
typedef struct ListedFile
{
	TextSlice	id;
	TextSlice	name;
	TextSlice	thumbnail;		/* text is NULL when Drive has none */
	bool		isPhoto;		/* false: named again further down, as something that is no photo */
} ListedFile;

typedef struct Listing
{
	ListedFile *files;			/* in the listing's order, each id once */
	int			count;
	int			photos;			/* how many of them are photos */
	IdSet	   *byId;			/* id -> index into files */
} Listing;

extern Listing *ListingRead(Jsonb *files);

#endif
