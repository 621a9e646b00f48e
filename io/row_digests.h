/* Digests of the rows of a large dataset, block by block, so that damage and changes are found where rows are read.
 *
 * A block is as many rows as fit 256 KiB, and a chunk of the file. Its digest is XXH3-64 of its elements; the digests
 * are the dataset /digests/NAME, the rows of a block the attribute `digest_rows` of the dataset (digest.h). Internal to
 * io/.
 */
#ifndef HM_ROW_DIGESTS_H
#define HM_ROW_DIGESTS_H

#include "io/store.h"

typedef struct hm_row_digests {
    int64_t rows, row_bytes;  /* of the dataset */
    int64_t block_rows;       /* 0: the dataset has no digests */
    int64_t blocks, *digests; /* (blocks) */
    int64_t held;             /* the block in `block`; -1: none */
    unsigned char *block;     /* (block_rows, row_bytes) */
} hm_row_digests;

/* How many rows a block has. */
int64_t hm_row_digests_block(int64_t row_bytes);

/* Digests to be filled by hm_row_digests_add, for a dataset of this shape. HM_EINTERNAL. */
hm_status hm_row_digests_new(int64_t rows, int64_t row_bytes, hm_row_digests *out);

/* The digest of the next block, the rows from `begin`. */
void hm_row_digests_add(hm_row_digests *digests, int64_t begin, const void *block);

/* Stores them as those of the dataset `name` ("/train/x"). HM_EOUTPUT. */
hm_status hm_row_digests_write(const hm_row_digests *digests, hm_store *store, const char *name);

/* The digests stored of the dataset; of a file without them rows are read unchecked. HM_EDATA. */
hm_status hm_row_digests_open(hm_store *store, const char *name, int64_t rows, int64_t row_bytes, hm_row_digests *out);

/* Rows [begin, begin + count) of the dataset into `out`, checked. HM_EDATA. */
hm_status hm_row_digests_read(hm_row_digests *digests, hm_store *store, const char *name, hm_array *array,
                              int64_t begin, int64_t count, void *out);

void hm_row_digests_free(hm_row_digests *digests);

#endif
