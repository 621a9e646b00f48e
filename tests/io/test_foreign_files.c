/* Files of others: nothing in them makes the program read another file, load code, or take memory that the file could
 * not fill. Each variant is made with HDF5's own functions, as an attacker would. */
#include "import_files.h"
#include "io/dataset.h"
#include "io/store.h"

#include <hdf5.h>

/* A data file with nothing in it yet. */
static hid_t empty_data_file(const char *path)
{
    hm_store *store;
    assert_int_equal(hm_store_create(path, &hm_format_data, &store), HM_OK);
    assert_int_equal(hm_store_commit(store), HM_OK);
    hm_store_close(store);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    H5Adelete(file, "digest"); /* as another program's file */
    H5Gclose(H5Gcreate2(file, "train", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    return file;
}

enum { ROWS = 4, COLUMNS = 3 };

/* train/x with these creation properties and shape; written where there is somewhere to write to. */
static void make_x(hid_t file, hid_t properties, hsize_t rows, hsize_t columns, bool written)
{
    const hsize_t size[2] = {rows, columns};
    unsigned char bytes[ROWS * COLUMNS] = {1, 2, 3};
    hid_t space = H5Screate_simple(2, size, NULL);
    hid_t x = H5Dcreate2(file, "train/x", H5T_STD_U8LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    assert_true(x >= 0);
    if (written) assert_true(H5Dwrite(x, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0);
    hid_t one = H5Screate(H5S_SCALAR);
    hid_t scale = H5Acreate2(x, "scale", H5T_IEEE_F64LE, one, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(scale, H5T_NATIVE_DOUBLE, &(double){1 / 255.0}) >= 0);
    H5Aclose(scale);
    H5Sclose(one);
    H5Dclose(x);
    H5Sclose(space);
}

/* A sound data file, which others may point at. */
static void make_neighbour(const char *path)
{
    hid_t file = empty_data_file(path);
    make_x(file, H5P_DEFAULT, ROWS, COLUMNS, true);
    H5Fclose(file);
}

static void in_another_hdf5_file(hid_t file, hid_t properties, const char *neighbour)
{
    const hsize_t size[2] = {ROWS, COLUMNS};
    hid_t space = H5Screate_simple(2, size, NULL);
    assert_true(H5Pset_virtual(properties, space, neighbour, "/train/x", space) >= 0);
    make_x(file, properties, ROWS, COLUMNS, false);
    H5Sclose(space);
}

static void in_a_raw_file(hid_t file, hid_t properties, const char *neighbour)
{
    assert_true(H5Pset_external(properties, neighbour, 0, H5F_UNLIMITED) >= 0);
    make_x(file, properties, ROWS, COLUMNS, false);
}

static void behind_an_external_link(hid_t file, hid_t properties, const char *neighbour)
{
    (void)properties;
    assert_true(H5Lcreate_external(neighbour, "/train/x", file, "train/x", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void behind_a_plugin(hid_t file, hid_t properties, const char *neighbour)
{
    (void)neighbour;
    const hsize_t chunk[2] = {ROWS, COLUMNS};
    assert_true(H5Pset_chunk(properties, 2, chunk) >= 0);
    assert_true(H5Pset_filter(properties, 32001, H5Z_FLAG_OPTIONAL, 0, NULL) >= 0);
    make_x(file, properties, ROWS, COLUMNS, true);
}

static void without_its_rows(hid_t file, hid_t properties, const char *neighbour)
{
    (void)neighbour;
    const hsize_t chunk[2] = {ROWS, COLUMNS};
    assert_true(H5Pset_chunk(properties, 2, chunk) >= 0);
    make_x(file, properties, (hsize_t)1 << 40, 784, false);
}

static void in_one_large_piece(hid_t file, hid_t properties, const char *neighbour)
{
    (void)neighbour;
    const hsize_t chunk[2] = {1 << 20, 1 << 9};
    assert_true(H5Pset_chunk(properties, 2, chunk) >= 0 && H5Pset_deflate(properties, 1) >= 0);
    make_x(file, properties, 1 << 20, 1 << 9, false);
}

static void nothing_outside_the_file_is_reached(void **state)
{
    (void)state;
    static const struct {
        void (*make)(hid_t file, hid_t properties, const char *neighbour);
        const char *message;
    } variants[] = {
        {in_another_hdf5_file, "lies in other files"},         {in_a_raw_file, "lies in other files"},
        {behind_an_external_link, "has no split 'train'"},     {behind_a_plugin, "filter 32001"},
        {without_its_rows, "claims to be larger than a file"}, {in_one_large_piece, "chunks of more than 256 MiB"},
    };
    const char *neighbour = scratch_path(&folder, "neighbour.h5"), *path = scratch_path(&folder, "foreign.h5");
    make_neighbour(neighbour);
    for (size_t at = 0; at < sizeof variants / sizeof variants[0]; at++) {
        hm_source *source;
        hid_t file = empty_data_file(path), properties = H5Pcreate(H5P_DATASET_CREATE);
        variants[at].make(file, properties, neighbour);
        H5Pclose(properties);
        H5Fclose(file);
        assert_refused(hm_dataset_open(path, "train", &source), HM_EDATA, variants[at].message);
        assert_int_equal(H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL), 0); /* everything was closed */
    }
}

/* The test above proves something only if the same rows are read when they lie in the file. */
static void the_neighbour_itself_is_read(void **state)
{
    (void)state;
    const char *path = scratch_path(&folder, "neighbour.h5");
    hm_source *source;
    unsigned char bytes[ROWS * COLUMNS];
    make_neighbour(path);
    assert_int_equal(hm_dataset_open(path, "train", &source), HM_OK);
    assert_int_equal(source->read(source, 0, ROWS, bytes), HM_OK);
    assert_int_equal(bytes[1], 2);
    source->close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_outside_the_file_is_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_neighbour_itself_is_read, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
