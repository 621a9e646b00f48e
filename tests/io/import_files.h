/* What tests of importers share: files of given bytes, and a look at what is made of them. */
#ifndef IMPORT_FILES_H
#define IMPORT_FILES_H

#include "io/import.h"
#include "scratch_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

static scratch_folder folder;

static int set_up(void **state)
{
    (void)state;
    hm_error_clear();
    return scratch_make(&folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    hm_error_clear();
    scratch_remove(&folder);
    return 0;
}

/* A file of `size` bytes; its path lives until the fourth call after this one. */
static inline const char *file_of(const char *name, const void *bytes, size_t size)
{
    const char *path = scratch_path(&folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* The same, compressed. */
static inline const char *gzip_of(const char *name, const void *bytes, size_t size)
{
    const char *path = scratch_path(&folder, name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

/* The failure was `expected`, and its message holds `words`. */
static inline void assert_refused(hm_status status, hm_status expected, const char *words)
{
    if (status != expected || !strstr(hm_error_message(), words))
        fail_msg("status %d with '%s'; expected %d with '%s'", (int)status, hm_error_message(), (int)expected, words);
    hm_error_clear();
}

/* All rows, read in one piece, are these bytes. */
static inline void assert_rows(const hm_import *import, const void *expected, size_t bytes)
{
    hm_source *source = import->source;
    assert_int_equal(source->rows * source->columns * (int64_t)hm_type_size(source->type), bytes);
    unsigned char *rows = malloc(bytes);
    assert_non_null(rows);
    assert_int_equal(source->read(source, 0, source->rows, rows), HM_OK);
    assert_memory_equal(rows, expected, bytes);
    free(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
