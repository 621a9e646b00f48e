/* The digest of what a file holds: XXH3-128 of the names, shapes, types, elements and attributes of its groups and
 * datasets, in the order of names. It is the root attribute `digest`, 32 hexadecimal digits.
 *
 * Fletcher-32 takes a block of zeros with a checksum of zeros, and HDF5 has no checksums for attributes at all. The
 * digest is of values, so it stays when a tool copies or repacks the file. Not part of it: itself, links, what HDF5's
 * dimension scales and netCDF store for themselves, and attributes and datasets that are neither numbers nor texts.
 * Of a dataset with the attribute `digest_rows` the elements are not part either: each block of that many rows has a
 * digest of its own in /digests/NAME (XXH3-64), checked when the block is read (dataset.c). Internal to io/.
 */
#ifndef HM_DIGEST_H
#define HM_DIGEST_H

#include "io/h5.h"

enum { HM_DIGEST_TEXT = 33 };

/* The digest of `first`, the object `root` and all below it. HM_EDATA. */
hm_status hm_digest_of(hm_store *store, const char *first, const char *root, char text[HM_DIGEST_TEXT]);

/* Stores the digest of the open file in it. HM_EDATA, HM_EOUTPUT. Not collective. */
hm_status hm_digest_write(hm_store *store);

#endif
