/* Parallel tempering: at every temperature the replicas have the exact distribution; modes that Gibbs sampling does not
 * leave are left; the ladder evens out the swaps. */
#include "rbm_training.h"
#include "train/tempering.h"
#include "numbers.h"

/* One shard of chains with a ladder, moved by hand. */
typedef struct tempered {
    hm_model *model;
    hm_tempering tempering;
    hm_contrast_settings how;
    hm_arena scratch;
    hm_shard shard;
    double counts[HM_SWAP_COUNTS];
} tempered;

/* Takes over the model. */
static void tempered_start(tempered *t, hm_model *model, int temperatures, double adapt, int64_t chains)
{
    *t = (tempered){.model = model, .how = {.k = 1}};
    hm_tempering_init(&t->tempering, temperatures, adapt);
    assert_ok(hm_arena_init(&t->scratch, hm_tempering_bytes(&t->tempering, model, chains), "scratch"));
    int64_t columns = hm_tempering_columns(&t->tempering, model);
    t->shard = (hm_shard){.seed = 3, .shards = 1, .how = &t->how, .scratch = &t->scratch, .all_chains = chains};
    t->shard.chains = (hm_matrix){calloc((size_t)(chains * columns), sizeof(float)), chains, columns};
    assert_ok(hm_tempering_start(&t->tempering, model, &t->shard));
}

static void tempered_move(tempered *t, int times)
{
    for (int move = 0; move < times; move++, t->shard.step++) {
        hm_arena_reset(&t->scratch);
        assert_ok(hm_tempering_move(&t->tempering, t->model, &t->shard, t->counts));
        hm_tempering_adapt(&t->tempering, t->counts);
    }
}

static void tempered_end(tempered *t)
{
    free(t->shard.chains.at);
    hm_arena_free(&t->scratch);
    hm_model_free(t->model);
}

/* ---- the exact distribution at a temperature --------------------------------------------------------------------- */

enum { V = 5, H = 3, STATES = 1 << V };

/* p_beta(v): the model with parameters beta theta, and (1 - beta) base added to the visible biases. */
static void exact_distribution(const hm_model *model, double beta, double p[STATES])
{
    double *theta = rbm_parameters(model);
    const float *base = model->class->base_biases(model);
    for (int at = 0; at < V * H + V + H; at++) theta[at] *= beta;
    for (int i = 0; i < V; i++) theta[V * H + i] += (1 - beta) * (double)base[i];
    double log_z = rbm_log_z(theta, V, H);
    for (int64_t v = 0; v < STATES; v++) p[v] = exp(rbm_log_p_star(theta, V, H, v) - log_z);
    free(theta);
}

/* Pearson's chi-square of the replicas at one temperature: mean STATES - 1, variance 2 (STATES - 1). */
static void check_replicas(const tempered *t, int temperature, const double p[STATES])
{
    int64_t chains = t->shard.chains.rows, counts[STATES] = {0};
    double chi_square = 0;
    for (int64_t chain = 0; chain < chains; chain++) {
        const float *v = t->shard.chains.at + chain * t->shard.chains.columns + temperature * V;
        int state = 0;
        for (int i = 0; i < V; i++) state |= (int)v[i] << i;
        counts[state]++;
    }
    for (int state = 0; state < STATES; state++) {
        double expected = (double)chains * p[state];
        chi_square += ((double)counts[state] - expected) * ((double)counts[state] - expected) / expected;
    }
    print_message("  beta %.3f:", t->tempering.betas[temperature]);
    assert_close(chi_square, STATES - 1, 4 * sqrt(2.0 * (STATES - 1)));
}

static void every_temperature_has_its_exact_distribution(void **state)
{
    (void)state;
    enum { CHAINS = 20000, MOVES = 60, TEMPERATURES = 4 };
    tempered t;
    double p[STATES];
    tempered_start(&t, small_rbm(V, H, 1.0, 0.5, 4, &one_thread), TEMPERATURES, 0, CHAINS);
    tempered_move(&t, MOVES);
    for (int at = 0; at < TEMPERATURES; at++) {
        exact_distribution(t.model, t.tempering.betas[at], p);
        check_replicas(&t, at, p);
    }
    assert_true(t.shard.samples.rows == CHAINS && t.shard.samples.columns == V);
    for (int64_t chain = 0; chain < CHAINS; chain++) /* the samples are the replicas at beta = 1 */
        assert_memory_equal(t.shard.samples.at + chain * V, t.shard.chains.at + chain * t.shard.chains.columns,
                            V * sizeof(float));
    for (int pair = 0; pair + 1 < TEMPERATURES; pair++) assert_true(t.tempering.rates[pair] > 0.5);
    tempered_end(&t);
}

/* ---- two modes --------------------------------------------------------------------------------------------------- */

/* All units on or all off, alike probable by symmetry, and next to nothing in between. */
static hm_model *two_modes(int64_t visible, int64_t hidden, float weight)
{
    hm_model *model = small_rbm(visible, hidden, 0, 0, 1, &one_thread);
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    hm_matrix rate = small_rbm_tensor(model, "base_rate");
    for (int64_t at = 0; at < visible * hidden; at++) W.at[at] = weight;
    for (int64_t i = 0; i < visible; i++) b.at[i] = -weight * (float)hidden / 2, rate.at[i] = 0.5f;
    for (int64_t j = 0; j < hidden; j++) c.at[j] = -weight * (float)visible / 2;
    model->class->refresh(model);
    return model;
}

static double share_of_mode(const tempered *t)
{
    double on = 0;
    for (int64_t chain = 0; chain < t->shard.chains.rows; chain++)
        on += (double)t->shard.chains.at[chain * t->shard.chains.columns] / (double)t->shard.chains.rows;
    return on;
}

/* All replicas start in one mode. With two temperatures only, which hardly ever exchange, beta = 1 is next to plain
 * Gibbs sampling.
 */
static void modes_that_gibbs_does_not_leave_are_left(void **state)
{
    (void)state;
    enum { CHAINS = 400, MOVES = 600, VISIBLE = 20, HIDDEN = 6 };
    double shares[2];
    for (int tempering = 0; tempering < 2; tempering++) {
        tempered t;
        tempered_start(&t, two_modes(VISIBLE, HIDDEN, 1.5f), tempering ? 20 : 2, 0.05, CHAINS);
        for (int64_t at = 0; at < CHAINS * t.shard.chains.columns; at++) t.shard.chains.at[at] = 1;
        tempered_move(&t, MOVES);
        shares[tempering] = share_of_mode(&t);
        tempered_end(&t);
    }
    print_message("  still in the mode where all began: Gibbs %.3f, parallel tempering %.3f\n", shares[0], shares[1]);
    assert_true(shares[0] > 0.9);
    assert_close(shares[1], 0.5, 4 * 0.5 / sqrt(CHAINS));
}

/* ---- the ladder ---------------------------------------------------------------------------------------------------
 */

static void spread_of_rates(const hm_tempering *t, double *least, double *most)
{
    *least = 1, *most = 0;
    for (int pair = 0; pair + 1 < t->count; pair++) {
        *least = fmin(*least, t->rates[pair]);
        *most = fmax(*most, t->rates[pair]);
    }
}

static void the_ladder_evens_the_swaps_out(void **state)
{
    (void)state;
    double least[2], most[2];
    for (int adaptive = 0; adaptive < 2; adaptive++) {
        tempered t;
        tempered_start(&t, two_modes(30, 8, 1.0f), 8, adaptive ? 0.05 : 0, 200);
        tempered_move(&t, 1500);
        spread_of_rates(&t.tempering, &least[adaptive], &most[adaptive]);
        print_message("  %s: swaps accepted %.3f to %.3f\n", adaptive ? "adaptive" : "even", least[adaptive],
                      most[adaptive]);
        assert_true(t.tempering.betas[0] == 1 && t.tempering.betas[7] == 0);
        for (int at = 0; at < 7; at++) assert_true(t.tempering.betas[at] > t.tempering.betas[at + 1]);
        tempered_end(&t);
    }
    assert_true(least[1] > 2 * least[0] && most[1] - least[1] < 0.2);
}

/* ---- in the loop --------------------------------------------------------------------------------------------------
 */

/* The mean of many tempered gradients of frozen parameters is the exact one, within its standard error. */
static void gradients_are_the_exact_ones_on_average(void **state)
{
    (void)state;
    enum { VISIBLE = 6, HIDDEN = 4, ROWS = 24, UPDATES = 600, SIZE = VISIBLE * HIDDEN + VISIBLE + HIDDEN };
    unsigned char *data = rbm_training_data(ROWS, VISIBLE, 0.3, 5);
    rbm_training t;
    rbm_training_options options = {
        .how = {.estimator = HM_PCD, .sampler = HM_PARALLEL_TEMPERING, .temperatures = 5, .chains = 64, .k = 2},
        .optimizer = {.learning_rate = 0.1}};
    rbm_training_start(&t, small_rbm(VISIBLE, HIDDEN, 0.8, 0.4, 6, &three_threads), data, ROWS, options);
    double *theta = rbm_parameters(t.model), mean[SIZE] = {0}, squares[SIZE] = {0}, worst = 0;
    double *exact = rbm_numeric_gradient(theta, VISIBLE, HIDDEN, data, ROWS);
    float *grad;
    assert_ok(hm_pack_alloc(&t.model->layout, "a gradient", &grad));
    for (int update = -50; update < UPDATES; update++, t.contrast->step++) {
        assert_ok(hm_contrast_gradient(t.contrast, 0, 0, 0, grad));
        double *flat = rbm_flat_gradient(t.model, grad);
        for (int at = 0; update >= 0 && at < SIZE; at++) {
            mean[at] += flat[at] / UPDATES;
            squares[at] += flat[at] * flat[at] / UPDATES;
        }
        free(flat);
    }
    for (int at = 0; at < SIZE; at++) {
        double error = sqrt((squares[at] - mean[at] * mean[at]) / UPDATES);
        worst = numbers_worse(worst, fabs(mean[at] - exact[at]) / error);
    }
    /* Of 34 normal deviations the largest exceeds 3.6 once in a hundred; neighbouring updates are correlated a little.
     */
    print_message("  largest deviation of %d: %.2f standard errors, allowed 6\n", SIZE, worst);
    assert_true(worst < 6);
    free(theta), free(exact), free(grad), free(data);
    rbm_training_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_temperature_has_its_exact_distribution),
        cmocka_unit_test(modes_that_gibbs_does_not_leave_are_left),
        cmocka_unit_test(the_ladder_evens_the_swaps_out),
        cmocka_unit_test(gradients_are_the_exact_ones_on_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
