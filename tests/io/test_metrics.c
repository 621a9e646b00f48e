/* metrics.h5 can be read while it grows, afterwards, and gone on with. */
#include "io/metrics.h"
#include "core/status.h"
#include "scratch_folder.h"

#include <hdf5.h>
#include <hdf5_hl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <cmocka.h>

static scratch_folder folder;
static const char *path;

enum { METRICS = 2 };
static const hm_metric list[METRICS] = {
    {"reconstruction_error", NULL, "mean squared difference"},
    {"pseudo_log_likelihood", "nats", "per row"},
};

static int set_up(void **state)
{
    (void)state;
    if (!scratch_make(&folder)) return -1;
    path = scratch_path(&folder, "metrics.h5");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    disk_unlimited();
    scratch_remove(&folder);
    hm_error_clear();
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1; /* everything was closed */
}

static void expect_refusal(hm_status status, hm_status expected, const char *part)
{
    if (status != expected || !strstr(hm_error_message(), part))
        fail_msg("status %d (expected %d), message '%s' (expected '%s')", status, expected, hm_error_message(), part);
    hm_error_clear();
}

/* Row r: step 10 r, epoch r / 3 + 1, seconds r / 2, values r and -r, the last of every third row not measured. */
static hm_status append(hm_metrics *metrics, int64_t row)
{
    const double values[METRICS] = {(double)row, row % 3 == 2 ? NAN : -(double)row};
    return hm_metrics_append(metrics, 10 * row, row / 3 + 1, (double)row / 2, values);
}

static void expect_column(const char *name, int64_t expected_rows, double slope)
{
    double *values;
    int64_t rows;
    assert_int_equal(hm_metrics_read(path, name, &values, &rows), HM_OK);
    assert_int_equal(rows, expected_rows);
    for (int64_t row = 0; row < rows; row++)
        if (slope < 0 && row % 3 == 2)
            assert_true(isnan(values[row]));
        else
            assert_true(values[row] == slope * (double)row);
    free(values);
}

static void expect_rows(int64_t rows)
{
    expect_column("step", rows, 10);
    expect_column("seconds", rows, 0.5);
    expect_column("reconstruction_error", rows, 1);
    expect_column("pseudo_log_likelihood", rows, -1);
}

static void a_finished_file_opens_like_any_other(void **state)
{
    (void)state;
    hm_metrics *metrics;
    assert_int_equal(hm_metrics_create(path, list, METRICS, &metrics), HM_OK);
    for (int64_t row = 0; row < 1300; row++) assert_int_equal(append(metrics, row), HM_OK);
    assert_int_equal(hm_metrics_rows(metrics), 1300);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    assert_int_equal(scratch_count(&folder, false), 1);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT); /* refused while a flag of the writer stands */
    assert_true(file >= 0);
    hid_t step = H5Dopen2(file, "/metrics/step", H5P_DEFAULT);
    hid_t value = H5Dopen2(file, "/metrics/pseudo_log_likelihood", H5P_DEFAULT);
    assert_true(H5DSis_scale(step) > 0);
    assert_true(H5DSis_attached(value, step, 0) > 0);
    hid_t properties = H5Dget_create_plist(value);
    assert_true(H5Pget_filter_by_id2(properties, H5Z_FILTER_FLETCHER32, NULL, NULL, NULL, 0, NULL, NULL) >= 0);
    H5Pclose(properties);
    H5Dclose(value);
    H5Dclose(step);
    H5Fclose(file);
    expect_rows(1300);
}

/* ---- another process reads while this one writes ---- */

static int64_t entries(hid_t dataset)
{
    hsize_t size = 0;
    H5Drefresh(dataset);
    hid_t space = H5Dget_space(dataset);
    H5Sget_simple_extent_dims(space, &size, NULL);
    H5Sclose(space);
    return (int64_t)size;
}

/* The number of different lengths seen before `last` entries were there; -1 when a value was wrong. */
static int watch(hid_t step, hid_t value, int64_t last)
{
    int lengths = 0;
    int64_t before = -1;
    static double values[4096];
    while (before < last) {
        int64_t now = entries(step);
        if (now == before) {
            usleep(200);
            continue;
        }
        if (entries(value) < now) return -1; /* step is written last */
        if (H5Dread(value, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) continue;
        for (int64_t row = 0; row < now; row++)
            if (values[row] != (double)row) return -1;
        before = now;
        lengths++;
    }
    return lengths;
}

/* The reader: 0 when it saw the file grow. */
static int read_growing(int64_t last)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, H5P_DEFAULT);
    if (file < 0) return 1;
    hid_t step = H5Dopen2(file, "/metrics/step", H5P_DEFAULT);
    hid_t value = H5Dopen2(file, "/metrics/reconstruction_error", H5P_DEFAULT);
    int lengths = watch(step, value, last);
    H5Dclose(value);
    H5Dclose(step);
    H5Fclose(file);
    return lengths < 5 ? 2 : 0;
}

static void a_growing_file_is_readable(void **state)
{
    (void)state;
    enum { ROWS = 600 };
    fflush(stdout);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t reader = fork(); /* before HDF5 has opened anything here */
    if (reader == 0) {
        char go;
        alarm(60);
        _exit(read(ready[0], &go, 1) == 1 ? read_growing(ROWS) : 3);
    }
    hm_metrics *metrics;
    assert_int_equal(hm_metrics_create(path, list, METRICS, &metrics), HM_OK);
    assert_int_equal(write(ready[1], "g", 1), 1);
    for (int64_t row = 0; row < ROWS; row++) {
        assert_int_equal(append(metrics, row), HM_OK);
        usleep(1000);
    }
    int outcome = -1;
    assert_int_equal(waitpid(reader, &outcome, 0), reader); /* it ends with the file still open here */
    assert_true(WIFEXITED(outcome));
    assert_int_equal(WEXITSTATUS(outcome), 0);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    close(ready[0]);
    close(ready[1]);
}

/* ---- going on ---- */

static void rows_after_the_step_are_cut(void **state)
{
    (void)state;
    hm_metrics *metrics;
    assert_int_equal(hm_metrics_create(path, list, METRICS, &metrics), HM_OK);
    for (int64_t row = 0; row < 700; row++) assert_int_equal(append(metrics, row), HM_OK);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    assert_int_equal(hm_metrics_continue(path, list, METRICS, 5999, &metrics), HM_OK);
    assert_int_equal(hm_metrics_rows(metrics), 600);
    expect_refusal(append(metrics, 599 - 1), HM_EINTERNAL, "step 5990 comes after step 5980");
    for (int64_t row = 600; row < 650; row++) assert_int_equal(append(metrics, row), HM_OK);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    expect_rows(650);
    assert_int_equal(scratch_count(&folder, false), 1);
    assert_int_equal(hm_metrics_continue(path, list, METRICS, -1, &metrics), HM_OK);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    expect_rows(0);
}

/* A writer that dies leaves its flags in the file. */
static void a_file_whose_writer_died_is_gone_on_with(void **state)
{
    (void)state;
    fflush(stdout);
    pid_t writer = fork();
    if (writer == 0) {
        hm_metrics *metrics;
        if (hm_metrics_create(path, list, METRICS, &metrics) != HM_OK) _exit(1);
        for (int64_t row = 0; row < 20; row++)
            if (append(metrics, row) != HM_OK) _exit(2);
        raise(SIGKILL);
    }
    int outcome = -1;
    assert_int_equal(waitpid(writer, &outcome, 0), writer);
    assert_true(WIFSIGNALED(outcome));
    expect_rows(20);
    hm_metrics *metrics;
    assert_int_equal(hm_metrics_continue(path, list, METRICS, 190, &metrics), HM_OK);
    assert_int_equal(append(metrics, 20), HM_OK);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    expect_rows(21);
}

static void bad_lists_and_files_are_refused(void **state)
{
    (void)state;
    hm_metrics *metrics;
    const hm_metric taken = {"epoch", NULL, ""}, slash = {"a/b", NULL, ""}, unknown = {"other", NULL, ""};
    expect_refusal(hm_metrics_create(path, &taken, 1, &metrics), HM_EINTERNAL, "'epoch'");
    expect_refusal(hm_metrics_create(path, &slash, 1, &metrics), HM_EINTERNAL, "'a/b'");
    assert_int_equal(scratch_count(&folder, false), 0);
    expect_refusal(hm_metrics_continue(path, list, METRICS, 0, &metrics), HM_EDATA, "No such file");
    assert_int_equal(hm_metrics_create(path, list, METRICS, &metrics), HM_OK);
    assert_int_equal(hm_metrics_close(metrics), HM_OK);
    expect_refusal(hm_metrics_continue(path, &unknown, 1, 0, &metrics), HM_EDATA, "/metrics/other is missing");
    double *values;
    int64_t rows;
    expect_refusal(hm_metrics_read(path, "other", &values, &rows), HM_EDATA, "/metrics/other is missing");
}

/* Rows appended until the disk was full are still there to be read. */
static void a_full_disk_keeps_the_rows_before(void **state)
{
    (void)state;
    hm_metrics *metrics;
    assert_int_equal(hm_metrics_create(path, list, METRICS, &metrics), HM_OK);
    int64_t row = 0;
    for (; row < 500; row++) assert_int_equal(append(metrics, row), HM_OK);
    disk_limit(30000);
    hm_status status = HM_OK;
    for (; row < 100000 && status == HM_OK; row++) status = append(metrics, row);
    disk_unlimited();
    expect_refusal(status, HM_EOUTPUT, "File too large");
    assert_int_equal(hm_metrics_close(metrics), HM_EOUTPUT);
    double *steps;
    int64_t rows;
    assert_int_equal(hm_metrics_read(path, "step", &steps, &rows), HM_OK);
    assert_true(rows >= 500);
    free(steps);
}

static void a_full_disk_at_the_start_leaves_nothing(void **state)
{
    (void)state;
    hm_metrics *metrics;
    for (long limit = 0; limit < 8000; limit += 211) {
        disk_limit(limit);
        hm_status status = hm_metrics_create(path, list, METRICS, &metrics);
        disk_unlimited();
        if (status == HM_OK) {
            assert_true(limit > 1000);
            assert_int_equal(hm_metrics_close(metrics), HM_OK);
            return;
        }
        expect_refusal(status, HM_EOUTPUT, "File too large");
        assert_int_equal(scratch_count(&folder, false), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_growing_file_is_readable),
        TEST(a_file_whose_writer_died_is_gone_on_with),
        TEST(a_finished_file_opens_like_any_other),
        TEST(rows_after_the_step_are_cut),
        TEST(bad_lists_and_files_are_refused),
        TEST(a_full_disk_keeps_the_rows_before),
        TEST(a_full_disk_at_the_start_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
