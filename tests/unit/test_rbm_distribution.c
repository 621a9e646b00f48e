/* What the RBM says of probabilities against sums over all (v, h) in float64: free energy, enumeration, annealed path,
 * the distributions that its chains sample, monitors. */
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
    assert_ok(model->class->free_energy(model, (hm_matrix){v, STATES, V}, 0, &scratch, ours));
    for (int64_t s = 0; s < STATES; s++) {
        double expected = -rbm_log_p_star(theta, V, H, s);
        if (!(fabs(ours[s] - expected) <= 2e-6)) fail_msg("F(%d) = %.9f, expected %.9f", (int)s, ours[s], expected);
    }
    free(theta);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* log of the unnormalised marginal of each configuration of the smaller layer, in blocks from any place. */
static void check_enumeration(int64_t visible, int64_t hidden)
{
    hm_model *model = small_rbm(visible, hidden, 0.8, 0.6, 4, &one_thread);
    const hm_enumeration *family = model->class->enumeration;
    int64_t units = hidden < visible ? hidden : visible, others = visible + hidden - units, begin = 3;
    int64_t count = ((int64_t)1 << units) - begin;
    double *theta = rbm_parameters(model), ours[STATES];
    hm_arena scratch;
    assert_int_equal(family->units(model), units);
    assert_true(count <= STATES);
    assert_ok(hm_arena_init(&scratch, family->scratch_bytes(model, count), "scratch"));
    assert_ok(family->log_prob(model, begin, count, &scratch, ours));
    for (int64_t at = 0; at < count; at++) {
        double sum = 0;
        for (int64_t other = 0; other < (int64_t)1 << others; other++) {
            int64_t v = hidden < visible ? other : begin + at, h = hidden < visible ? begin + at : other;
            sum += exp(-rbm_energy(theta, visible, hidden, v, h));
        }
        if (!(fabs(ours[at] - log(sum)) <= 4e-6))
            fail_msg("configuration %d: %.9f, expected %.9f", (int)(begin + at), ours[at], log(sum));
    }
    free(theta);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

static void enumeration_is_the_sum_over_the_other_layer(void **state)
{
    (void)state;
    check_enumeration(7, 4); /* hidden units enumerated */
    check_enumeration(4, 6); /* visible units enumerated */
    check_enumeration(5, 5);
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
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->annealing->scratch_bytes(model, STATES), "scratch"));
    hm_walk walk = {.state = {v, STATES, V},
                    .inputs = {inputs, STATES, H},
                    .energy = energy,
                    .base_energy = base_energy,
                    .base = base,
                    .scratch = &scratch};
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
    hm_arena_free(&scratch);
    free(theta);
    hm_model_free(model);
}

/* The 99.99 % quantile of chi-square (Wilson & Hilferty 1931). */
static double chi_square_quantile(int freedom)
{
    const double normal = 3.719, spread = 2.0 / (9.0 * freedom);
    return freedom * pow(1 - spread + normal * sqrt(spread), 3);
}

/* Chi-square of independent draws against p. */
static void check_counts(const char *what, const int64_t counts[], const double p[], int states, int64_t draws)
{
    double chi_square = 0, allowed = chi_square_quantile(states - 1);
    for (int s = 0; s < states; s++) {
        double expected = p[s] * (double)draws;
        assert_true(expected > 5); /* else the statistic is not chi-square */
        chi_square += ((double)counts[s] - expected) * ((double)counts[s] - expected) / expected;
    }
    print_message("  %s: chi-square %.1f with %d degrees of freedom, allowed %.1f\n", what, chi_square, states - 1,
                  allowed);
    assert_true(chi_square <= allowed);
}

/* counts[s]: how many rows are the bits of s. */
static void count_states(hm_matrix rows, int64_t counts[])
{
    for (int64_t row = 0; row < rows.rows; row++) {
        int64_t s = 0;
        for (int64_t i = 0; i < rows.columns; i++) s |= (int64_t)(rows.at[row * rows.columns + i] != 0) << i;
        counts[s]++;
    }
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
    assert_ok(model->class->gibbs(model, &(hm_gibbs_steps){.seed = 5, .count = STEPS, .prob = prob},
                                  (hm_matrix){v, CHAINS, V}, &scratch));
    count_states((hm_matrix){v, CHAINS, V}, counts);
    check_counts("Gibbs", counts, p, STATES, CHAINS);
    /* The probabilities that come with the samples have the marginals as their mean; sd of one below 1/2. */
    double marginal = 0, mean = 0;
    for (int s = 0; s < STATES; s++) marginal += (s & 1) ? p[s] : 0;
    for (int chain = 0; chain < CHAINS; chain++) mean += (double)prob[chain * V] / CHAINS;
    assert_close(mean, marginal, 5 * 0.5 / sqrt(CHAINS));
    free(v), free(prob);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* p(h) of all hidden states when v has distribution p. */
static void hidden_distribution(const double *theta, const double p[STATES], double p_hidden[1 << H])
{
    memset(p_hidden, 0, sizeof p_hidden[0] << H);
    for (int64_t v = 0; v < STATES; v++)
        for (int64_t h = 0; h < 1 << H; h++)
            p_hidden[h] += p[v] * exp(-rbm_energy(theta, V, H, v, h) - rbm_log_p_star(theta, V, H, v));
}

/* Many persistent chains of one shard: at the start p(h | v) of v from the base rates, after updates the model's. The
 * visible states are those of the negative phase, behind the one row of data. */
static void persistent_chains_have_the_exact_distribution(void **state)
{
    (void)state;
    enum { CHAINS = 20000, UPDATES = 50 };
    hm_model *model = small_rbm(V, H, 0.7, 0.4, 4, &one_thread);
    const hm_contrast_settings how = {.estimator = HM_PCD, .k = 2, .chains = CHAINS, .offset_rate = 0.01};
    double *theta = rbm_parameters(model), start[STATES], p[STATES], p_hidden[1 << H];
    int64_t counts[STATES] = {0}, hidden_counts[1 << H] = {0}, direct_begin = hm_layout_direct_begin(&model->layout);
    float data[V + 64] = {0}, *chains = calloc(CHAINS * H, sizeof *chains), *direct;
    float *samples = calloc(CHAINS * V, sizeof *samples), *expected = calloc(CHAINS * H, sizeof *expected);
    const hm_objective *objective = model->class->objectives[0];
    size_t gradient = objective->scratch_bytes(model, &how, 1, 1, CHAINS),
           moves = objective->chains->scratch_bytes(model, &how, CHAINS);
    hm_outer outer[HM_TENSORS_MAX];
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, gradient > moves ? gradient : moves, "scratch"));
    assert_ok(hm_pack_alloc(&model->layout, "gradient sums", &direct));
    hm_shard shard = {.shards = 1,
                      .seed = 5,
                      .data = {data, 1, V},
                      .batch = 1,
                      .chains = {chains, CHAINS, H},
                      .samples = {samples, CHAINS, V},
                      .expected = {expected, CHAINS, H},
                      .all_chains = CHAINS,
                      .how = &how,
                      .scratch = &scratch,
                      .outer = outer,
                      .direct = direct,
                      .direct_begin = direct_begin};
    assert_ok(objective->chains->start(model, &shard));
    hm_matrix rate = small_rbm_tensor(model, "base_rate");
    for (int v = 0; v < STATES; v++) {
        start[v] = 1;
        for (int i = 0; i < V; i++) start[v] *= (v >> i & 1) ? (double)rate.at[i] : 1 - (double)rate.at[i];
    }
    hidden_distribution(theta, start, p_hidden);
    count_states(shard.chains, hidden_counts);
    check_counts("start of the chains", hidden_counts, p_hidden, 1 << H, CHAINS);

    for (shard.step = 0; shard.step < UPDATES; shard.step++) {
        hm_arena_reset(&scratch);
        assert_ok(objective->chains->move(model, &shard));
        hm_arena_reset(&scratch);
        assert_ok(objective->gradient(model, &shard));
    }
    exact_distribution(model, p);
    hidden_distribution(theta, p, p_hidden);
    hm_matrix phases = outer[hm_layout_find(&model->layout, "W")].a;
    assert_int_equal(phases.rows, 1 + CHAINS);
    count_states(hm_rows(phases, 1, CHAINS), counts);
    check_counts("visible states of persistent chains", counts, p, STATES, CHAINS);
    memset(hidden_counts, 0, sizeof hidden_counts);
    count_states(shard.chains, hidden_counts);
    check_counts("hidden states of persistent chains", hidden_counts, p_hidden, 1 << H, CHAINS);
    free(theta), free(chains), free(samples), free(expected), free(direct);
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
                    .state = {v, CHAINS, V},
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
    count_states(walk.state, counts);
    check_counts("annealed at 0.6", counts, p, STATES, CHAINS);
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

/* Sums over all units and rows, float64. */
typedef struct monitor_reference {
    double error, energy, pseudo;
    double pseudo_variance; /* over the units of a row, summed over rows */
} monitor_reference;

static void add_reference(const double *theta, int64_t v, monitor_reference *r)
{
    double h[H], sum = 0, squares = 0, here = rbm_log_p_star(theta, V, H, v);
    r->energy -= here;
    for (int j = 0; j < H; j++) h[j] = rbm_hidden_mean(theta, V, H, v, j);
    for (int i = 0; i < V; i++) {
        double x = theta[V * H + i], bit = (double)(v >> i & 1);
        for (int j = 0; j < H; j++) x += theta[i * H + j] * h[j];
        r->error += (bit - 1 / (1 + exp(-x))) * (bit - 1 / (1 + exp(-x))) / V;
        double there = rbm_log_p_star(theta, V, H, v ^ (int64_t)1 << i);
        double log_p = V * (here - log(exp(here) + exp(there))); /* V log p(v_i | the other units) */
        sum += log_p;
        squares += log_p * log_p;
    }
    r->pseudo += sum / V;
    r->pseudo_variance += squares / V - sum / V * sum / V;
}

/* With a rate of zero the parameters stand still: the mean of many monitors against float64 over all units. */
static void monitors_are_their_definitions(void **state)
{
    (void)state;
    enum { ROWS = 32, EPOCHS = 2000, DRAWS = 16 }; /* draws: units a row, see rbm_monitors */
    rbm_training t;
    monitor_sums m = {0};
    monitor_reference r = {0};
    hm_observer observer = {add_row, rbm_training_no_step, &m};
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 0.8, 0.6, 4, &one_thread);
    double *theta = rbm_parameters(model);
    for (int row = 0; row < ROWS; row++) add_reference(theta, rbm_bits(data + row * V, V), &r);
    rbm_training_start(&t, model, data, ROWS, (rbm_training_options){.how = {.estimator = HM_CD}, .epochs = EPOCHS});
    assert_ok(hm_contrast_run(t.contrast, &observer));
    assert_int_equal(m.rows, EPOCHS);
    assert_close(m.sums[0] / EPOCHS, r.error / ROWS, 1e-6);
    assert_close(m.sums[2] / EPOCHS, r.energy / ROWS, 1e-5);
    double error = sqrt(r.pseudo_variance / ((double)DRAWS * EPOCHS)) / ROWS;
    assert_true(error > 0);
    assert_close(m.sums[1] / EPOCHS, r.pseudo / ROWS, 4 * error);
    free(theta);
    free(data);
    rbm_training_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_energy_is_enumeration),
        cmocka_unit_test(enumeration_is_the_sum_over_the_other_layer),
        cmocka_unit_test(annealed_path_is_its_definition),
        cmocka_unit_test(gibbs_samples_have_the_exact_distribution),
        cmocka_unit_test(persistent_chains_have_the_exact_distribution),
        cmocka_unit_test(annealed_moves_have_the_exact_distribution),
        cmocka_unit_test(monitors_are_their_definitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
