#include "io/row_digests.h"

#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { BLOCK_BYTES = 256 * 1024, BLOCK_MAX = 1 << 28, NAME_BYTES = 128 };

static const char rows_name[] = "digest_rows";

static hm_field digests_field(const char *name, char path[NAME_BYTES])
{
    snprintf(path, NAME_BYTES, "/digests%s", name);
    return (hm_field){.name = path,
                      .type = HM_FIELD_INT64,
                      .dims = 1,
                      .axes = {"block"},
                      .description = "XXH3-64 of each block of rows (attribute digest_rows of the dataset)"};
}

int64_t hm_row_digests_block(int64_t row_bytes) { return row_bytes < BLOCK_BYTES ? BLOCK_BYTES / row_bytes : 1; }

static hm_status row_digests_new(int64_t rows, int64_t row_bytes, int64_t block_rows, hm_row_digests *out)
{
    *out = (hm_row_digests){.rows = rows, .row_bytes = row_bytes, .block_rows = block_rows, .held = -1};
    out->blocks = rows / block_rows + (rows % block_rows > 0);
    return hm_alloc(&out->digests, out->blocks, sizeof *out->digests, "digests of rows");
}

hm_status hm_row_digests_new(int64_t rows, int64_t row_bytes, hm_row_digests *out)
{
    return row_digests_new(rows, row_bytes, hm_row_digests_block(row_bytes), out);
}

static int64_t rows_of_block(const hm_row_digests *digests, int64_t block)
{
    int64_t left = digests->rows - block * digests->block_rows;
    return left < digests->block_rows ? left : digests->block_rows;
}

static int64_t digest_of_block(const hm_row_digests *digests, int64_t block, const void *rows)
{
    return (int64_t)XXH3_64bits(rows, (size_t)(rows_of_block(digests, block) * digests->row_bytes));
}

void hm_row_digests_add(hm_row_digests *digests, int64_t begin, const void *rows)
{
    int64_t block = begin / digests->block_rows;
    digests->digests[block] = digest_of_block(digests, block, rows);
}

hm_status hm_row_digests_write(const hm_row_digests *digests, hm_store *store, const char *name)
{
    char path[NAME_BYTES];
    const hm_field field = digests_field(name, path);
    HM_TRY(hm_store_set_int(store, name, rows_name, digests->block_rows));
    return hm_store_write(store, &field, &digests->blocks, digests->digests);
}

hm_status hm_row_digests_open(hm_store *store, const char *name, int64_t rows, int64_t row_bytes, hm_row_digests *out)
{
    char path[NAME_BYTES];
    const hm_field field = digests_field(name, path);
    int64_t block_rows;
    *out = (hm_row_digests){0};
    if (!hm_store_has_attribute(store, name, rows_name)) return HM_OK;
    HM_TRY(hm_store_get_int(store, name, rows_name, &block_rows));
    HM_REQUIRE(block_rows > 0 && (block_rows == 1 || block_rows <= BLOCK_MAX / row_bytes), HM_EDATA,
               "%s: %s: attribute %s is %lld; it must be from 1 to %lld", hm_store_path(store), name, rows_name,
               (long long)block_rows, (long long)(row_bytes < BLOCK_MAX ? BLOCK_MAX / row_bytes : 1));
    HM_TRY(row_digests_new(rows, row_bytes, block_rows, out));
    HM_TRY(hm_alloc(&out->block, block_rows < rows ? block_rows : rows, (size_t)row_bytes, "a block of rows"));
    return hm_store_read(store, &field, &out->blocks, out->digests);
}

static hm_status read_block(hm_row_digests *digests, hm_store *store, const char *name, hm_array *array, int64_t block,
                            void *out)
{
    int64_t begin = block * digests->block_rows, count = rows_of_block(digests, block);
    HM_TRY(hm_array_read_rows(array, begin, count, out));
    HM_REQUIRE(
        digest_of_block(digests, block, out) == digests->digests[block], HM_EDATA,
        "%s: rows %lld to %lld of %s are damaged, or were changed since they were imported; import them again (if "
        "the change is meant, remove the attribute `%s` of %s and `digest` of the root)",
        hm_store_path(store), (long long)begin, (long long)(begin + count - 1), name, rows_name, name);
    return HM_OK;
}

/* The part of a block that is asked for; the block is kept for the next part. */
static hm_status read_part(hm_row_digests *digests, hm_store *store, const char *name, hm_array *array, int64_t begin,
                           int64_t count, void *out)
{
    int64_t block = begin / digests->block_rows, first = begin - block * digests->block_rows;
    if (digests->held != block) {
        digests->held = -1;
        HM_TRY(read_block(digests, store, name, array, block, digests->block));
        digests->held = block;
    }
    memcpy(out, digests->block + first * digests->row_bytes, (size_t)(count * digests->row_bytes));
    return HM_OK;
}

hm_status hm_row_digests_read(hm_row_digests *digests, hm_store *store, const char *name, hm_array *array,
                              int64_t begin, int64_t count, void *out)
{
    if (digests->block_rows == 0) return hm_array_read_rows(array, begin, count, out);
    HM_REQUIRE(begin >= 0 && count >= 0 && count <= digests->rows - begin, HM_EINTERNAL,
               "%s: %s has no rows [%lld, +%lld)", hm_store_path(store), name, (long long)begin, (long long)count);
    unsigned char *to = out;
    while (count > 0) {
        int64_t block = begin / digests->block_rows, first = begin - block * digests->block_rows;
        int64_t there = rows_of_block(digests, block) - first, some = there < count ? there : count;
        HM_TRY(some == rows_of_block(digests, block) ? read_block(digests, store, name, array, block, to)
                                                     : read_part(digests, store, name, array, begin, some, to));
        begin += some;
        count -= some;
        to += some * digests->row_bytes;
    }
    return HM_OK;
}

void hm_row_digests_free(hm_row_digests *digests)
{
    free(digests->digests);
    free(digests->block);
}
