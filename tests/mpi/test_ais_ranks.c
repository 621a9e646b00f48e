/* Likelihoods have the same bits on any number of ranks: AIS, reverse AIS, RAISE, enumeration and mean free energies
 * over MPI against one process (hm_comm_serial) in the same program; and a failure of one rank is every rank's. */
#include "infer/likelihood_data.h"
#include "mpi/comm_mpi.h"
#include "unit/small_rbm.h"

enum { VISIBLE = 45, HIDDEN = 12, CHAINS = 29, ROWS = 1100, SHARDS = 8 };

static hm_comm *ranks;

/* Everything that is estimated of one model. */
typedef struct estimates {
    hm_ais_result linear, adaptive, reverse, raise;
    hm_mean_energy energy;
    double each[ROWS];
    double exact;
} estimates;

static hm_model *make_model(void) { return small_rbm(VISIBLE, HIDDEN, 0.8, 0.8, 31, &three_threads); }

static float *make_rows(int64_t rows)
{
    float *data = calloc((size_t)(rows * VISIBLE), sizeof *data);
    hm_stream stream = {.seed = 9, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < VISIBLE; i++)
            data[row * VISIBLE + i] = hm_random_uniform(&stream, row, i) < 0.3f ? 1.0f : 0.0f;
    return data;
}

static void estimate_all(const hm_model *model, hm_comm *comm, estimates *out)
{
    hm_workers workers = {.comm = comm, .team = model->team, .shards = SHARDS, .seed = 77, .log = hm_log_silent()};
    hm_ais_settings linear = {.chains = CHAINS, .ladder = HM_LADDER_LINEAR, .temperatures = 200, .burn_in = 120};
    hm_ais_settings adaptive = {.chains = CHAINS, .ladder = HM_LADDER_ADAPTIVE, .ess_target = 0.97, .burn_in = 70};
    float base[VISIBLE], *rows = make_rows(ROWS);
    hm_source *source;
    hm_base_biases(model, HM_BASE_DATA, base);
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, VISIBLE, rows, &source));
    assert_ok(hm_exact_log_z(model, &workers, &out->exact));
    assert_ok(hm_ais(model, base, &linear, &workers, &out->linear));
    assert_ok(hm_ais(model, base, &adaptive, &workers, &out->adaptive));
    assert_ok(hm_ais_reverse(model, base, (hm_matrix){rows, CHAINS, VISIBLE}, &adaptive, out->adaptive.temperatures,
                             out->adaptive.betas, &workers, &out->reverse));
    linear.raise_chains = 3;
    assert_ok(hm_raise(model, base, (hm_matrix){rows, CHAINS, VISIBLE}, &linear, 0, NULL, &workers, &out->raise));
    assert_ok(hm_mean_free_energy(model, source, &hm_row_values, &workers, out->each, &out->energy));
    source->close(source);
    free(rows);
}

static void estimates_free(estimates *all)
{
    hm_ais_result_free(&all->linear);
    hm_ais_result_free(&all->adaptive);
    hm_ais_result_free(&all->reverse);
    hm_ais_result_free(&all->raise);
}

static void assert_same_result(const hm_ais_result *a, const hm_ais_result *b)
{
    assert_int_equal(a->temperatures, b->temperatures);
    assert_int_equal(a->chains, b->chains);
    assert_memory_equal(a->betas, b->betas, (size_t)a->temperatures * sizeof(double));
    assert_memory_equal(a->log_weights, b->log_weights, (size_t)a->chains * sizeof(double));
    assert_true(a->log_z == b->log_z && a->log_z_stderr == b->log_z_stderr);
    assert_true(a->log_z_lower == b->log_z_lower && a->log_z_upper == b->log_z_upper);
    assert_true(a->ess == b->ess && a->log_weight_spread == b->log_weight_spread);
}

static void bits_do_not_depend_on_ranks(void **state)
{
    (void)state;
    hm_model *model = make_model();
    estimates alone, together;
    estimate_all(model, hm_comm_serial(), &alone);
    estimate_all(model, ranks, &together);
    print_message("  %d ranks: log Z %.6f exact, %.6f AIS, %.6f reverse\n", ranks->size, together.exact,
                  together.linear.log_z, together.reverse.log_z);
    assert_same_result(&alone.linear, &together.linear);
    assert_same_result(&alone.adaptive, &together.adaptive);
    assert_same_result(&alone.reverse, &together.reverse);
    assert_same_result(&alone.raise, &together.raise);
    assert_true(alone.exact == together.exact);
    assert_true(alone.energy.mean == together.energy.mean && alone.energy.std_error == together.energy.std_error);
    assert_memory_equal(alone.each, together.each, sizeof alone.each);
    estimates_free(&alone);
    estimates_free(&together);
    hm_model_free(model);
}

/* Only the last rank's parameters are broken: without agreement the others would wait for it forever. */
static void a_failure_of_one_rank_is_every_ranks(void **state)
{
    (void)state;
    hm_model *model = make_model();
    hm_workers workers = {.comm = ranks, .team = model->team, .shards = SHARDS, .seed = 77, .log = hm_log_silent()};
    float base[VISIBLE] = {0}, *rows = make_rows(ROWS);
    hm_source *source;
    if (ranks->rank == ranks->size - 1) small_rbm_tensor(model, "c").at[2] = NAN;
    model->class->refresh(model);
    for (int ladder = HM_LADDER_LINEAR; ladder <= HM_LADDER_ADAPTIVE; ladder++) {
        hm_ais_settings settings = {.chains = CHAINS, .ladder = ladder, .temperatures = 300, .ess_target = 0.9};
        hm_ais_result result;
        assert_int_equal(hm_ais(model, base, &settings, &workers, &result), HM_ENUMERIC);
        assert_non_null(strstr(hm_error_message(), "beta = "));
        hm_error_clear();
    }
    double log_z;
    hm_mean_energy mean;
    assert_int_equal(hm_exact_log_z(model, &workers, &log_z), HM_ENUMERIC);
    hm_error_clear();
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, VISIBLE, rows, &source));
    assert_int_equal(hm_mean_free_energy(model, source, &hm_row_values, &workers, NULL, &mean), HM_ENUMERIC);
    hm_error_clear();
    source->close(source);
    free(rows);
    hm_model_free(model);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (hm_comm_mpi_create(MPI_COMM_WORLD, &ranks) != HM_OK) {
        print_error("%s\n", hm_error_message());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_ranks),
        cmocka_unit_test(a_failure_of_one_rank_is_every_ranks),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hm_comm_mpi_free(ranks);
    MPI_Finalize();
    return failed;
}
