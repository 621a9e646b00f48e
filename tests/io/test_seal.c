/* A seal is broken by any change of the file, and only by one; xxh128sum prints the same digest. */
#include "core/status.h"
#include "io/seal.h"
#include "scratch_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static scratch_folder folder;
static const char *path;

enum { BYTES = 3000, SEAL = 64 };

static void write_bytes(const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static size_t read_bytes(unsigned char *bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, room, file);
    fclose(file);
    return size;
}

static int set_up(void **state)
{
    (void)state;
    unsigned char bytes[BYTES];
    hm_error_clear();
    if (!scratch_make(&folder)) return -1;
    path = scratch_path(&folder, "sealed");
    for (int at = 0; at < BYTES; at++) bytes[at] = (unsigned char)(at * 7);
    write_bytes(bytes, BYTES);
    return hm_seal_add(path, path) == HM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&folder);
    hm_error_clear();
    return 0;
}

/* Damage of the seal's first 19 bytes makes a file without a seal of it; any other is found. */
static void refused_or_unsealed(bool unsealed)
{
    bool sealed = false;
    assert_int_equal(hm_seal_check(path, &sealed), unsealed ? HM_OK : HM_EDATA);
    assert_int_equal(sealed, !unsealed);
    if (!unsealed) assert_non_null(strstr(hm_error_message(), path));
    hm_error_clear();
}

static void passes(void)
{
    bool sealed = false;
    assert_int_equal(hm_seal_check(path, &sealed), HM_OK);
    assert_true(sealed);
}

static void a_sealed_file_passes(void **state)
{
    (void)state;
    unsigned char bytes[BYTES + SEAL + 1];
    passes();
    assert_int_equal(read_bytes(bytes, sizeof bytes), BYTES + SEAL);
    assert_memory_equal(bytes + BYTES, "harmonium xxh3-128 ", 19);
}

static void every_single_bit_matters(void **state)
{
    (void)state;
    unsigned char bytes[BYTES + SEAL];
    assert_int_equal(read_bytes(bytes, sizeof bytes), sizeof bytes);
    for (size_t at = 0; at < sizeof bytes; at += at < BYTES ? 37 : 1) {
        bytes[at] ^= (unsigned char)(1u << at % 8);
        write_bytes(bytes, sizeof bytes);
        refused_or_unsealed(at >= BYTES && at < BYTES + 19);
        bytes[at] ^= (unsigned char)(1u << at % 8);
    }
    write_bytes(bytes, sizeof bytes);
    passes();
}

static void another_length_is_no_seal(void **state)
{
    (void)state;
    unsigned char bytes[BYTES + SEAL + 1] = {0};
    read_bytes(bytes, sizeof bytes);
    const size_t lengths[] = {0, 1, SEAL - 1, SEAL, SEAL + 1, BYTES, BYTES + SEAL - 1, BYTES + SEAL + 1};
    for (size_t at = 0; at < sizeof lengths / sizeof lengths[0]; at++) {
        bool sealed = true;
        write_bytes(bytes, lengths[at]);
        assert_int_equal(hm_seal_check(path, &sealed), HM_OK);
        assert_false(sealed);
    }
}

static void xxh128sum_agrees(void **state)
{
    (void)state;
    char command[512], digest[64] = "";
    unsigned char bytes[BYTES + SEAL];
    snprintf(command, sizeof command, "command -v xxh128sum >/dev/null && head -c -%d %s | xxh128sum", SEAL, path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    bool there = fscanf(pipe, "%63s", digest) == 1;
    pclose(pipe);
    if (!there) skip(); /* Debian: xxhash */
    read_bytes(bytes, sizeof bytes);
    assert_memory_equal(bytes + BYTES + 19, digest, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sealed_file_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_single_bit_matters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_length_is_no_seal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(xxh128sum_agrees, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
