/* What the RBM says of probabilities against enumeration: free energy, annealed path, Gibbs sampling, monitors. */
#include "rbm_training.h"

enum { V = 5, H = 3, STATES = 1 << V };

/* p(v) of all visible states, in float64. */
static void exact_distribution(const hm_model *model, double p[STATES])
{
    double *theta = rbm_parameters(model), log_z = rbm_log_z(theta, V, H);
    for (int64_t v = 0; v < STATES; v++) p[v] = exp(rbm_log_p_star(theta, V, H, v) - log_z);
    free(theta);
}

static void free_energy_is_enumeration(void **state)
{
    (void)state;
    hm_model *model = small_rbm(V, H, 0.8, 0.6, 4, &one_thread);
    double *theta = rbm_parameters(model), ours[STATES];
    float v[STATES * V];
    hm_arena scratch;
    for (int64_t s = 0; s < STATES; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, STATES), "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){v, STATES, V}, &scratch, ours));
    for (int64_t s = 0; s < STATES; s++) {
        double expected = -rbm_log_p_star(theta, V, H, s);
        if (!(fabs(ours[s] - expected) <= 2e-6)) fail_msg("F(%d) = %.9f, expected %.9f", (int)s, ours[s], expected);
    }
    free(theta);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* log p*_beta(v) = log sum_h exp((1 - beta) base'v + beta (b'v + c'h + v'W h)): parameters scaled by beta, and base. */
static void annealed_path_is_its_definition(void **state)
{
    (void)state;
    const float base[V] = {0.5f, -1.0f, 0.0f, 2.0f, -0.3f};
    const double betas[] = {0, 0.25, 0.5, 1};
    hm_model *model = small_rbm(V, H, 0.8, 0.6, 4, &one_thread);
    double *theta = rbm_parameters(model), scaled[V * H + V + H], ours[STATES], energy[STATES], base_energy[STATES];
    float v[STATES * V], inputs[STATES * H + 64];
    for (int64_t s = 0; s < STATES; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
    hm_walk walk = {.visible = {v, STATES, V},
                    .inputs = {inputs, STATES, H},
                    .energy = energy,
                    .base_energy = base_energy,
                    .base = base};
    assert_ok(model->class->annealing->refresh(model, &walk));
    for (int at = 0; at < 4; at++) {
        double beta = betas[at];
        for (int p = 0; p < V * H + V + H; p++) scaled[p] = beta * theta[p];
        for (int i = 0; i < V; i++) scaled[V * H + i] += (1 - beta) * (double)base[i];
        model->class->annealing->log_prob(model, &walk, beta, ours);
        for (int64_t s = 0; s < STATES; s++) {
            double expected = rbm_log_p_star(scaled, V, H, s);
            if (!(fabs(ours[s] - expected) <= 2e-6))
                fail_msg("beta %g, v %d: %.9f, expected %.9f", beta, (int)s, ours[s], expected);
        }
    }
    double sum = 0; /* Z of the base: over v of exp(base'v), times 2^H */
    for (int64_t s = 0; s < STATES; s++) sum += exp(base_energy[s]);
    assert_close(model->class->annealing->log_z_base(model, base), log(sum) + H * log(2.0), 1e-6);
    free(theta);
    hm_model_free(model);
}

/* Chi-square of independent draws against p, 31 degrees of freedom; the 99.99 % quantile is 69.1. */
static void check_counts(const char *what, const int64_t counts[STATES], const double p[STATES], int64_t draws)
{
    double chi_square = 0;
    for (int s = 0; s < STATES; s++) {
        double expected = p[s] * (double)draws;
        assert_true(expected > 5); /* else the statistic is not chi-square */
        chi_square += ((double)counts[s] - expected) * ((double)counts[s] - expected) / expected;
    }
    print_message("  %s: chi-square %.1f with 31 degrees of freedom, allowed 69.1\n", what, chi_square);
    assert_true(chi_square <= 69.1);
}

static int64_t state_of(const float *v)
{
    int64_t s = 0;
    for (int i = 0; i < V; i++) s |= (int64_t)(v[i] != 0) << i;
    return s;
}

/* 20,000 independent chains, 100 steps each, from all zeros. */
static void gibbs_samples_have_the_exact_distribution(void **state)
{
    (void)state;
    enum { CHAINS = 20000, STEPS = 100 };
    hm_model *model = small_rbm(V, H, 0.7, 0.4, 4, &one_thread);
    double p[STATES];
    int64_t counts[STATES] = {0};
    float *v = calloc(CHAINS * V + 64, sizeof *v), *prob = calloc(CHAINS * V + 64, sizeof *prob);
    hm_arena scratch;
    exact_distribution(model, p);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    assert_ok(model->class->gibbs(model, 5, (hm_matrix){v, CHAINS, V}, 0, 0, STEPS, &scratch, prob));
    for (int chain = 0; chain < CHAINS; chain++) counts[state_of(v + chain * V)]++;
    check_counts("Gibbs", counts, p, CHAINS);
    /* The probabilities that come with the samples have the marginals as their mean; sd of one below 1/2. */
    double marginal = 0, mean = 0;
    for (int s = 0; s < STATES; s++) marginal += (s & 1) ? p[s] : 0;
    for (int chain = 0; chain < CHAINS; chain++) mean += (double)prob[chain * V] / CHAINS;
    assert_close(mean, marginal, 5 * 0.5 / sqrt(CHAINS));
    free(v), free(prob);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* The annealed transition at beta = 1, and in between, leaves its distribution as it is. */
static void annealed_moves_have_the_exact_distribution(void **state)
{
    (void)state;
    enum { CHAINS = 20000, STEPS = 100 };
    const float base[V] = {0.5f, -0.5f, 0.0f, 0.3f, -0.3f};
    const double beta = 0.6;
    hm_model *model = small_rbm(V, H, 0.9, 0.4, 4, &one_thread);
    double *theta = rbm_parameters(model), p[STATES], *energy = calloc(CHAINS, sizeof *energy),
           *base_energy = calloc(CHAINS, sizeof *energy);
    int64_t counts[STATES] = {0};
    float *v = calloc(CHAINS * V + 64, sizeof *v), *inputs = calloc(CHAINS * H + 64, sizeof *inputs);
    hm_arena scratch;
    for (int q = 0; q < V * H + V + H; q++) theta[q] *= beta;
    for (int i = 0; i < V; i++) theta[V * H + i] += (1 - beta) * (double)base[i];
    double log_z = rbm_log_z(theta, V, H);
    for (int64_t s = 0; s < STATES; s++) p[s] = exp(rbm_log_p_star(theta, V, H, s) - log_z);
    assert_ok(hm_arena_init(&scratch, model->class->annealing->scratch_bytes(model, CHAINS), "scratch"));
    hm_walk walk = {.seed = 3,
                    .visible = {v, CHAINS, V},
                    .inputs = {inputs, CHAINS, H},
                    .energy = energy,
                    .base_energy = base_energy,
                    .base = base,
                    .scratch = &scratch};
    assert_ok(model->class->annealing->refresh(model, &walk));
    for (uint64_t step = 0; step < STEPS; step++) {
        hm_arena_reset(&scratch);
        assert_ok(model->class->annealing->move(model, &walk, beta, HM_RNG_AIS_HIDDEN, HM_RNG_AIS_VISIBLE, step));
    }
    for (int chain = 0; chain < CHAINS; chain++) counts[state_of(v + chain * V)]++;
    check_counts("annealed at 0.6", counts, p, CHAINS);
    free(v), free(inputs), free(energy), free(base_energy), free(theta);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* ---- monitors --------------------------------------------------------------------------------------------------- */

typedef struct monitor_sums {
    double sums[HM_METRICS_MAX];
    int rows;
} monitor_sums;

static hm_status add_row(void *state, const hm_metric_row *row)
{
    monitor_sums *m = state;
    for (int at = 0; at < 3; at++) m->sums[at] += row->values[at];
    m->rows++;
    return HM_OK;
}

/* With a rate of zero the parameters stand still: the mean of many monitors against float64 over all units. */
static void monitors_are_their_definitions(void **state)
{
    (void)state;
    enum { ROWS = 32, EPOCHS = 400 };
    rbm_training t;
    monitor_sums m = {0};
    hm_observer observer = {add_row, rbm_training_no_epoch, &m};
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 0.8, 0.6, 4, &one_thread);
    double *theta = rbm_parameters(model), error = 0, pseudo = 0, energy = 0, spread = 0;
    for (int row = 0; row < ROWS; row++) {
        int64_t v = rbm_bits(data + row * V, V);
        double h[H];
        energy -= rbm_log_p_star(theta, V, H, v) / ROWS;
        for (int j = 0; j < H; j++) {
            double x = theta[V * H + V + j];
            for (int i = 0; i < V; i++) x += (v >> i & 1) ? theta[i * H + j] : 0;
            h[j] = 1 / (1 + exp(-x));
        }
        for (int i = 0; i < V; i++) {
            double x = theta[V * H + i], bit = (double)(v >> i & 1);
            for (int j = 0; j < H; j++) x += theta[i * H + j] * h[j];
            error += (bit - 1 / (1 + exp(-x))) * (bit - 1 / (1 + exp(-x))) / V / ROWS;
            double here = rbm_log_p_star(theta, V, H, v), there = rbm_log_p_star(theta, V, H, v ^ (1ll << i));
            double log_p = V * (here - fmax(here, there) - log1p(exp(-fabs(here - there))));
            pseudo += log_p / V / ROWS;
            spread += log_p * log_p / V / ROWS;
        }
    }
    rbm_training_start(&t, model, data, ROWS, (rbm_training_options){.how = {.estimator = HM_CD}, .epochs = EPOCHS});
    assert_ok(hm_contrast_run(t.contrast, &observer));
    assert_int_equal(m.rows, EPOCHS);
    assert_close(m.sums[0] / EPOCHS, error, 1e-6);
    assert_close(m.sums[2] / EPOCHS, energy, 1e-5);
    /* Each row of metrics draws 16 units of each of 32 rows. */
    assert_close(m.sums[1] / EPOCHS, pseudo, 5 * sqrt(spread / (16.0 * ROWS * EPOCHS)));
    free(theta);
    free(data);
    rbm_training_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_energy_is_enumeration),
        cmocka_unit_test(annealed_path_is_its_definition),
        cmocka_unit_test(gibbs_samples_have_the_exact_distribution),
        cmocka_unit_test(annealed_moves_have_the_exact_distribution),
        cmocka_unit_test(monitors_are_their_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
