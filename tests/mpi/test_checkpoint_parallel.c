/* A checkpoint written by any number of ranks is the same, is read by any number, and a failure is every rank's. */
#include "core/comm.h"
#include "core/status.h"
#include "io/checkpoint.h"
#include "io/seal.h"
#include "mpi/comm_mpi.h"
#include "scratch_folder.h"

#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { CHAINS = 203, COLUMNS = 37, VISIBLE = 37, HIDDEN = 11, PARTS_MAX = 8 };

static hm_comm *comm;
static scratch_folder folder;
static char path_text[512], previous_text[512];
static const char *path = path_text, *previous = previous_text;
static hm_layout layout;

/* ---- a run's state, as a function of `version` ---- */

/* What chains hold: 0 and 1; the same with a single negative zero, which bits cannot say; or anything at all, including
 * what does not compare equal to itself. */
typedef enum unit_kind { BITS, BITS_BUT_ONE, ANYTHING } unit_kind;

static float unit_of(int64_t chain, int64_t unit, unit_kind kind, int version)
{
    int64_t number = chain * 31 + unit * 7 + version;
    if (kind == BITS_BUT_ONE && chain == CHAINS / 2 && unit == 3) return -0.0f;
    if (kind != ANYTHING) return (float)(number % 3 == 0);
    if (number % 50 == 0) return -0.0f;
    if (number % 51 == 0) return -__FLT_DENORM_MIN__;
    return (float)number / 3;
}

static float param_of(int pack, int64_t at, int version) { return (float)(at + 1000 * pack + version) / 7; }

typedef struct run_state {
    hm_checkpoint checkpoint;
    float *packs[3]; /* parameters, velocity, second moment */
    float chains[CHAINS * COLUMNS];
    double seconds, best;
} run_state;

/* Part `part` of `parts` of a run; filled, or zero for reading. */
static void state_make(run_state *state, int parts, int part)
{
    hm_range rows = hm_part(CHAINS, parts, part);
    memset(state, 0, sizeof *state);
    for (int pack = 0; pack < 3; pack++) assert_int_equal(hm_pack_alloc(&layout, "a pack", &state->packs[pack]), HM_OK);
    state->checkpoint = (hm_checkpoint){
        .layout = &layout,
        .params = state->packs[0],
        .packs = {{"velocity", state->packs[1]}, {"second", state->packs[2]}},
        .pack_count = 2,
        .chains = {state->chains, hm_count(rows), COLUMNS},
        .first_chain = rows.begin,
        .all_chains = CHAINS,
        .real_chains = true,
        .scalars = {{.name = "seconds", .value = &state->seconds}, {.name = "best", .value = &state->best}},
        .scalar_count = 2,
    };
}

static void state_fill(run_state *state, unit_kind kind, int version)
{
    hm_checkpoint *checkpoint = &state->checkpoint;
    for (int pack = 0; pack < 3; pack++)
        for (int tensor = 0; tensor < layout.count; tensor++)
            for (int64_t at = 0; at < hm_tensor_size(&layout.tensors[tensor]); at++)
                state->packs[pack][layout.tensors[tensor].offset + at] = param_of(pack, at + 100 * tensor, version);
    for (int64_t row = 0; row < checkpoint->chains.rows; row++)
        for (int64_t unit = 0; unit < COLUMNS; unit++)
            state->chains[row * COLUMNS + unit] = unit_of(checkpoint->first_chain + row, unit, kind, version);
    state->seconds = 12.5 + version;
    state->best = -0.1;
}

static void state_free(run_state *state)
{
    for (int pack = 0; pack < 3; pack++) free(state->packs[pack]);
}

/* ---- writing and reading ---- */

static char stage[] = "contrast", config[] = "model:\n  family: rbm\n";

static hm_status write_state(unit_kind kind, int version)
{
    static run_state state;
    state_make(&state, comm->size, comm->rank);
    state_fill(&state, kind, version);
    const hm_checkpoint_info info = {
        .seed = UINT64_MAX - 3, .step = 1000 + version, .epoch = 5, .shards = 8, .stage = stage, .config = config};
    hm_status status = hm_checkpoint_write(folder.path, comm, hm_comm_mpi_handle(comm), &info, &state.checkpoint);
    state_free(&state);
    return status;
}

/* Part `part` of `parts` of the file is what was written, bit for bit. */
static void expect_part(const char *file, unit_kind kind, int version, int parts, int part)
{
    static run_state wanted, got;
    state_make(&wanted, parts, part);
    state_fill(&wanted, kind, version);
    state_make(&got, parts, part);
    assert_int_equal(hm_checkpoint_read(file, &got.checkpoint), HM_OK);
    for (int pack = 0; pack < 3; pack++)
        assert_memory_equal(got.packs[pack], wanted.packs[pack], (size_t)layout.size * sizeof(float));
    assert_memory_equal(got.chains, wanted.chains, sizeof wanted.chains);
    assert_true(got.seconds == 12.5 + version && got.best == -0.1);
    state_free(&wanted);
    state_free(&got);
}

/* Every rank reads every part of every partition: what 1, 2, 4 or 8 ranks would. */
static void expect_file(const char *file, unit_kind kind, int version)
{
    for (int parts = 1; parts <= PARTS_MAX; parts *= 2)
        for (int part = 0; part < parts; part++) expect_part(file, kind, version, parts, part);
    hm_checkpoint_info info;
    assert_int_equal(hm_checkpoint_read_info(file, &info), HM_OK);
    assert_true(info.seed == UINT64_MAX - 3);
    assert_int_equal(info.step, 1000 + version);
    assert_int_equal(info.epoch, 5);
    assert_int_equal(info.shards, 8);
    assert_int_equal(info.all_chains, CHAINS);
    assert_int_equal(info.chain_columns, COLUMNS);
    assert_string_equal(info.stage, stage);
    assert_string_equal(info.config, config);
    hm_checkpoint_info_free(&info);
}

static void expect_files(int count)
{
    assert_int_equal(comm->agree(comm, HM_OK), HM_OK); /* everybody is here */
    assert_int_equal(scratch_count(&folder, false), count);
    assert_int_equal(comm->agree(comm, HM_OK), HM_OK);
}

static void clear_folder(void)
{
    expect_files(scratch_count(&folder, false));
    if (comm->rank == 0) scratch_count(&folder, true);
    expect_files(0);
}

static void expect_refusal(hm_status status, hm_status expected, const char *part)
{
    if (status != expected || !strstr(hm_error_message(), part))
        fail_msg("rank %d: status %d (expected %d), message '%s' (expected '%s')", comm->rank, status, expected,
                 hm_error_message(), part);
    hm_error_clear();
}

static int everything_is_closed(void **state)
{
    (void)state;
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) == 0 ? 0 : -1;
}

/* ---- tests ---- */

static void any_number_of_ranks_reads_what_these_ranks_wrote(void **state)
{
    (void)state;
    for (unit_kind kind = BITS; kind <= ANYTHING; kind++) {
        assert_int_equal(write_state(kind, 1), HM_OK);
        expect_file(path, kind, 1);
        clear_folder();
    }
}

static void chains_of_bits_are_packed(void **state)
{
    (void)state;
    assert_int_equal(write_state(BITS, 1), HM_OK);
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), chains = H5Dopen2(file, "/chains", H5P_DEFAULT);
    hid_t type = H5Dget_type(chains), properties = H5Dget_create_plist(chains);
    assert_int_equal(H5Tget_size(type), 1);
    assert_true(H5Pget_filter_by_id2(properties, H5Z_FILTER_FLETCHER32, NULL, NULL, NULL, 0, NULL, NULL) >= 0);
    H5Pclose(properties);
    H5Tclose(type);
    H5Dclose(chains);
    H5Fclose(file);
    clear_folder();
}

static void the_one_before_is_kept(void **state)
{
    (void)state;
    assert_int_equal(write_state(BITS, 1), HM_OK);
    expect_files(1);
    assert_int_equal(write_state(ANYTHING, 2), HM_OK);
    expect_files(2);
    assert_int_equal(write_state(BITS, 3), HM_OK);
    expect_files(2);
    expect_file(path, BITS, 3);
    expect_file(previous, ANYTHING, 2);
    clear_folder();
}

/* The disk of rank 0, which takes all the room, is full at some byte. */
static void a_full_disk_is_every_ranks_failure(void **state)
{
    (void)state;
    assert_int_equal(write_state(BITS, 1), HM_OK);
    assert_int_equal(write_state(BITS, 2), HM_OK);
    int failures = 0;
    hm_status status = HM_EOUTPUT;
    for (long limit = 0; status != HM_OK; limit += 1777) {
        if (comm->rank == 0) disk_limit(limit);
        status = write_state(ANYTHING, 3);
        disk_unlimited();
        if (status == HM_OK) break;
        expect_refusal(status, HM_EOUTPUT, "checkpoint.h5");
        expect_files(2);
        failures++;
    }
    if (comm->rank == 0) print_message("%d limits\n", failures);
    assert_true(failures > 10);
    expect_file(path, ANYTHING, 3);
    expect_file(previous, BITS, 2);
    clear_folder();
}

static void a_missing_folder_is_every_ranks_failure(void **state)
{
    (void)state;
    scratch_folder kept = folder;
    folder = (scratch_folder){.path = "/no/such/folder"};
    expect_refusal(write_state(BITS, 1), HM_EOUTPUT, "/no/such/folder/checkpoint.h5: cannot be written");
    folder = kept;
}

static void a_checkpoint_without_chains_works(void **state)
{
    (void)state;
    static run_state written, read;
    const hm_checkpoint_info info = {.shards = 8, .stage = stage, .config = config};
    state_make(&written, comm->size, comm->rank);
    written.checkpoint.all_chains = written.checkpoint.first_chain = written.checkpoint.chains.rows = 0;
    read = written;
    assert_int_equal(hm_checkpoint_write(folder.path, comm, hm_comm_mpi_handle(comm), &info, &written.checkpoint),
                     HM_OK);
    assert_int_equal(hm_checkpoint_read(path, &read.checkpoint), HM_OK);
    state_free(&written);
    clear_folder();
}

/* Sets a number of the file, and seals it again as if it had been written so. */
static void forge(const char *object, const char *name, hid_t type, const void *value)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    hid_t to =
        name ? H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT) : H5Dopen2(file, object, H5P_DEFAULT);
    assert_true((name ? H5Awrite(to, type, value) : H5Dwrite(to, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value)) >= 0);
    assert_true((name ? H5Aclose(to) : H5Dclose(to)) >= 0);
    H5Fclose(file);
    assert_int_equal(hm_seal_add(path, path), HM_OK);
}

static void counts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"epoch", INT64_MIN}, {"epoch", INT64_MAX}, {"step", -1},
                  {"stage_step", 2000}, {"stage_epoch", 6},   {"shards", 0}};
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++) {
        hm_checkpoint_info info;
        assert_int_equal(write_state(BITS, 1), HM_OK);
        if (comm->rank == 0) forge("/", counts[at].name, H5T_NATIVE_INT64, &counts[at].value);
        expect_files(at == 0 ? 1 : 2);
        expect_refusal(hm_checkpoint_read_info(path, &info), HM_EDATA, counts[at].name);
    }
    clear_folder();
}

static void values_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static run_state read;
    static float units[CHAINS * COLUMNS];
    const double no_number = NAN;
    assert_int_equal(write_state(ANYTHING, 1), HM_OK);
    if (comm->rank == 0) forge("/scalars/best", NULL, H5T_NATIVE_DOUBLE, &no_number);
    expect_files(1);
    state_make(&read, 1, 0);
    expect_refusal(hm_checkpoint_read(path, &read.checkpoint), HM_EDATA, "/scalars/best is nan");
    assert_int_equal(write_state(ANYTHING, 1), HM_OK);
    units[COLUMNS + 2] = 7.5F;
    if (comm->rank == 0) forge("/chains", NULL, H5T_NATIVE_FLOAT, units);
    expect_files(2);
    assert_int_equal(hm_checkpoint_read(path, &read.checkpoint), HM_OK);
    read.checkpoint.real_chains = false;
    expect_refusal(hm_checkpoint_read(path, &read.checkpoint), HM_EDATA, "7.5 (row 1, column 2)");
    state_free(&read);
    clear_folder();
}

static void another_number_of_chains_is_refused(void **state)
{
    (void)state;
    static run_state read;
    assert_int_equal(write_state(BITS, 1), HM_OK);
    state_make(&read, 1, 0);
    read.checkpoint.all_chains = CHAINS + 1;
    expect_refusal(hm_checkpoint_read(path, &read.checkpoint), HM_EDATA,
                   "/chains has shape (203, 37), expected (204, 37)");
    state_free(&read);
    clear_folder();
}

/* A byte of a chain that changes on the disk is noticed by whoever reads the file. */
static void damage_is_noticed(void **state)
{
    (void)state;
    static run_state read;
    assert_int_equal(write_state(ANYTHING, 1), HM_OK);
    float needle[2] = {unit_of(100, 3, ANYTHING, 1), unit_of(100, 4, ANYTHING, 1)}, here[2];
    if (comm->rank == 0) {
        FILE *file = fopen(path, "r+b");
        long at = 0;
        while (fseek(file, at, SEEK_SET) == 0 && fread(here, sizeof here, 1, file) == 1 &&
               memcmp(here, needle, sizeof here) != 0)
            at++;
        fseek(file, at, SEEK_SET);
        fputc('x', file);
        fclose(file);
    }
    expect_files(1);
    state_make(&read, 1, 0);
    expect_refusal(hm_checkpoint_read(path, &read.checkpoint), HM_EDATA, "damaged: its digest does not match");
    state_free(&read);
    clear_folder();
}

static void make_layout(void)
{
    const hm_tensor tensors[] = {
        {.name = "W", .dims = 2, .shape = {VISIBLE, HIDDEN}, .axes = {"visible", "hidden"}, .description = "weights"},
        {.name = "b", .dims = 1, .shape = {VISIBLE}, .axes = {"visible"}, .description = "visible biases"},
    };
    int index;
    for (int tensor = 0; tensor < 2; tensor++)
        if (hm_layout_add(&layout, tensors[tensor], &index) != HM_OK) MPI_Abort(MPI_COMM_WORLD, 1);
}

#define TEST(name) cmocka_unit_test_teardown(name, everything_is_closed)

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (hm_comm_mpi_create(MPI_COMM_WORLD, &comm) != HM_OK) return 1;
    if (comm->rank == 0 && !scratch_make(&folder)) return 1;
    if (comm->broadcast(comm, &folder, sizeof folder, 0) != HM_OK) return 1;
    strcpy(path_text, scratch_path(&folder, "checkpoint.h5"));
    strcpy(previous_text, scratch_path(&folder, "checkpoint.prev.h5"));
    make_layout();
    const struct CMUnitTest tests[] = {
        TEST(any_number_of_ranks_reads_what_these_ranks_wrote),
        TEST(chains_of_bits_are_packed),
        TEST(the_one_before_is_kept),
        TEST(a_full_disk_is_every_ranks_failure),
        TEST(a_missing_folder_is_every_ranks_failure),
        TEST(a_checkpoint_without_chains_works),
        TEST(counts_that_cannot_be_are_refused),
        TEST(values_that_cannot_be_are_refused),
        TEST(another_number_of_chains_is_refused),
        TEST(damage_is_noticed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (comm->rank == 0) scratch_remove(&folder);
    hm_comm_mpi_free(comm);
    MPI_Finalize();
    return failed;
}
