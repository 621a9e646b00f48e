/* Temporary files of killed writers go and those of live ones stay; what is no regular file is refused, and no link is
 * followed. */
#include "core/status.h"
#include "io/files.h"
#include "scratch_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

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
    scratch_remove(&folder);
    hm_error_clear();
    return 0;
}

static bool is_there(const char *name)
{
    struct stat about;
    return lstat(scratch_path(&folder, name), &about) == 0;
}

static void touch(const char *name)
{
    int file = open(scratch_path(&folder, name), O_WRONLY | O_CREAT | O_EXCL, 0666);
    assert_true(file >= 0);
    assert_int_equal(write(file, "text", 4), 4);
    close(file);
}

static void a_live_writer_keeps_its_file(void **state)
{
    (void)state;
    char *name, *other;
    int file, second;
    const char *path = scratch_path(&folder, "a.h5");
    assert_int_equal(hm_temporary_make(path, &name, &file), HM_OK);
    int again = open(name, O_RDONLY); /* HDF5 and the seal open and close it too */
    assert_true(again >= 0);
    close(again);
    pid_t child = fork();
    if (child == 0) {
        hm_temporary_sweep(path, true);
        _exit(hm_temporary_make(path, &other, &second) != HM_OK); /* another name, and killed at once */
    }
    int ended;
    waitpid(child, &ended, 0);
    assert_int_equal(ended, 0);
    assert_int_equal(access(name, F_OK), 0);
    assert_int_equal(scratch_count(&folder, false), 2);
    hm_temporary_sweep(path, false);
    assert_int_equal(access(name, F_OK), 0);
    assert_int_equal(scratch_count(&folder, false), 1);
    close(file);
    hm_temporary_sweep(path, false);
    assert_int_equal(scratch_count(&folder, false), 0);
    free(name);
}

static void what_is_not_ours_stays(void **state)
{
    (void)state;
    static const char *const theirs[] = {"a.h5",
                                         "a.h5.tmp",
                                         "a.h5.tmp.12",
                                         "a.h5.tmp.notes",
                                         "a.h5.tmp.0123456789abcdef.txt",
                                         "b.h5.tmp.0123456789abcdef"};
    enum { THEIRS = sizeof theirs / sizeof theirs[0] };
    char path[128];
    snprintf(path, sizeof path, "%s/a.h5", folder.path);
    for (int at = 0; at < THEIRS; at++) touch(theirs[at]);
    touch("a.h5.tmp.0123456789abcdef");
    assert_int_equal(symlink("a.h5", scratch_path(&folder, "a.h5.tmp.1111111111111111")), 0);
    assert_int_equal(mkdir(scratch_path(&folder, "a.h5.tmp.2222222222222222"), 0777), 0);
    hm_temporary_sweep(path, false);
    for (int at = 0; at < THEIRS; at++) assert_true(is_there(theirs[at]));
    assert_false(is_there("a.h5.tmp.0123456789abcdef"));
    assert_true(is_there("a.h5.tmp.1111111111111111"));
    assert_true(is_there("a.h5.tmp.2222222222222222"));
    hm_temporary_sweep(path, true);
    assert_false(is_there("a.h5.tmp"));
    assert_false(is_there("a.h5.tmp.12"));
    assert_true(is_there("a.h5.tmp.notes"));
    assert_true(is_there("a.h5"));
    rmdir(scratch_path(&folder, "a.h5.tmp.2222222222222222"));
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    int file;
    assert_int_equal(mkfifo(scratch_path(&folder, "pipe"), 0666), 0);
    alarm(60); /* waiting for a writer is the failure */
    assert_int_equal(hm_file_open(scratch_path(&folder, "pipe"), HM_EDATA, &file), HM_EDATA);
    alarm(0);
    assert_non_null(strstr(hm_error_message(), "a named pipe"));
    hm_error_clear();
    assert_int_equal(hm_file_open(folder.path, HM_EUSAGE, &file), HM_EUSAGE);
    assert_non_null(strstr(hm_error_message(), "a folder"));
    hm_error_clear();
    assert_int_equal(hm_file_open("/dev/null", HM_EDATA, &file), HM_EDATA);
    hm_error_clear();
    assert_int_equal(hm_file_open(scratch_path(&folder, "absent"), HM_EDATA, &file), HM_EDATA);
    assert_non_null(strstr(hm_error_message(), "No such file"));
    hm_error_clear();
    touch("text");
    assert_int_equal(hm_file_open(scratch_path(&folder, "text"), HM_EDATA, &file), HM_OK);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_live_writer_keeps_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_ours_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_regular_files_are_read, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
