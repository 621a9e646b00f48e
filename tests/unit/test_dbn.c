/* The deep belief network against enumeration of its layers in float64. */
#include "small_rbm.h"

#include "boltzmann/stack.h"
#include "infer/likelihood_data.h"
#include "train/contrast.h"

enum { V = 4, H1 = 3, SEED = 7, STATES = 1 << V };

/* Recognition stays that of the weights downward. */
static hm_model *make_model(const char *const settings[], double weights, double biases)
{
    hm_model *model = make_small_model("dbn", settings, V, &three_threads);
    draw_small_model(model, weights, biases, 0.4f, 3);
    for (int l = 0; l < hm_stack_top(model); l++) {
        hm_matrix R = hm_pack_matrix(&model->layout, model->params, model->stack->recognition[l]);
        memset(R.at, 0, (size_t)(R.rows * R.columns) * sizeof(float));
    }
    model->class->refresh(model);
    return model;
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* sum_i log p(bit i of x) under sigmoid(bias_i + sum of weights to the bits of y); W (units, others), or transposed. */
static double log_factors(int64_t x, int units, const float *bias, int64_t y, int others, const float *W,
                          bool transposed)
{
    double total = 0;
    for (int i = 0; i < units; i++) {
        double input = (double)bias[i];
        for (int j = 0; j < others; j++)
            input += (y >> j & 1) ? (double)W[transposed ? j * units + i : i * others + j] : 0;
        total += log((x >> i & 1) ? sigmoid(input) : 1 - sigmoid(input));
    }
    return total;
}

static const float *values(const hm_model *model, const char *name) { return small_rbm_tensor(model, name).at; }

/* log sum_h2 exp(-E_top(h1, h2)). */
static double log_top(const hm_model *model, int64_t h1, int H2)
{
    double total = 0;
    for (int i = 0; i < H1; i++) total += (h1 >> i & 1) ? (double)values(model, "g1")[i] : 0;
    for (int j = 0; j < H2; j++) {
        double input = (double)values(model, "c2")[j];
        for (int i = 0; i < H1; i++) input += (h1 >> i & 1) ? (double)values(model, "W2")[i * H2 + j] : 0;
        total += log1p(exp(input));
    }
    return total;
}

static double log_z_top(const hm_model *model, int H2)
{
    double Z = 0;
    for (int64_t h1 = 0; h1 < 1 << H1; h1++) Z += exp(log_top(model, h1, H2));
    return log(Z);
}

/* log p(v), and E_q of the bound and of its square, without -log Z. */
static double exact_log_p_star(const hm_model *model, int64_t v, int H2, double *bound, double *square)
{
    const float *W = values(model, "W1");
    double sum = 0;
    *bound = *square = 0;
    for (int64_t h1 = 0; h1 < 1 << H1; h1++) {
        double joint = log_factors(v, V, values(model, "b"), h1, H1, W, false) + log_top(model, h1, H2);
        double log_q = log_factors(h1, H1, values(model, "c1"), v, V, W, true);
        sum += exp(joint);
        *bound += exp(log_q) * (joint - log_q);
        *square += exp(log_q) * pow(joint - log_q, 2);
    }
    return log(sum);
}

static void visible_states(float *v)
{
    for (int64_t s = 0; s < STATES; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
}

static void free_energies(const hm_model *model, double energy[STATES])
{
    float v[STATES * V];
    hm_arena scratch;
    visible_states(v);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, STATES), "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){v, STATES, V}, 0, &scratch, energy));
    hm_arena_free(&scratch);
}

/* A row's draws are those of its number, whatever rows come with it. */
static void bound_draws_are_the_rows_own(void **state)
{
    static const char *const draws[] = {"hidden", "[3, 2]", "bound_draws", "3", NULL};
    (void)state;
    hm_model *model = make_model(draws, 0.9, 0.5);
    float v[STATES * V];
    double together[STATES], half[STATES / 2], elsewhere[STATES / 2];
    hm_arena scratch;
    hm_matrix rows = {v, STATES, V}, last = {v + STATES / 2 * V, STATES / 2, V};
    visible_states(v);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, STATES), "scratch"));
    assert_ok(model->class->free_energy(model, rows, 0, &scratch, together));
    assert_ok(model->class->free_energy(model, last, STATES / 2, &scratch, half));
    assert_ok(model->class->free_energy(model, last, 1000, &scratch, elsewhere));
    assert_memory_equal(half, together + STATES / 2, sizeof half);
    assert_memory_not_equal(half, elsewhere, sizeof half);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

static void bound_draws_are_the_rows_own_in_a_data_set(void **state)
{
    enum { ROWS = 2 * HM_ROW_BLOCK + 1 }; /* all the same row */
    static const char *const draws[] = {"hidden", "[3, 2]", "bound_draws", "3", NULL};
    (void)state;
    hm_model *model = make_model(draws, 0.9, 0.5);
    hm_workers workers = serial_workers(&one_thread, 1, 9);
    static float v[ROWS * V];
    static double each[ROWS], direct[ROWS];
    hm_mean_energy mean;
    hm_source *source;
    hm_arena scratch;
    assert_ok(hm_source_memory(HM_FLOAT32, ROWS, V, v, &source));
    assert_ok(hm_mean_free_energy(model, source, &hm_row_values, &workers, each, &mean));
    source->close(source);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, ROWS), "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){v, ROWS, V}, 0, &scratch, direct));
    assert_memory_equal(each, direct, sizeof direct);
    assert_memory_not_equal(each, each + HM_ROW_BLOCK, HM_ROW_BLOCK * sizeof each[0]);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* Draws of the bound have the expectation that enumeration gives, which is never above log p. */
static void bound_is_its_definition(void **state)
{
    enum { H2 = 2, DRAWS = 4000 };
    static const char *const draws[] = {"hidden", "[3, 2]", "bound_draws", "4000", NULL};
    (void)state;
    hm_model *model = make_model(draws, 0.9, 0.5);
    hm_workers workers = serial_workers(&one_thread, 4, 9);
    double energy[STATES], log_z, loosest = 0;
    assert_ok(hm_exact_log_z(model, &workers, &log_z));
    assert_close(log_z, log_z_top(model, H2), 1e-5);
    free_energies(model, energy);
    for (int64_t s = 0; s < STATES; s++) {
        double bound, square, log_p = exact_log_p_star(model, s, H2, &bound, &square);
        double error = sqrt(fmax(square - bound * bound, 1e-12) / DRAWS);
        assert_true(bound <= log_p + 1e-12);
        loosest = fmax(loosest, log_p - bound);
        if (!(fabs(-energy[s] - bound) <= 4.5 * error + 1e-5))
            fail_msg("v %d: %.5f, expected %.5f, error %.5f", (int)s, -energy[s], bound, error);
    }
    print_message("  at most %.3f nats below log p\n", loosest);
    assert_true(loosest > 0.01);
    hm_model_free(model);
}

/* log p(v) of the RBM of the first layer, by its own definition. */
static double rbm_log_p_star(const hm_model *model, int64_t v)
{
    double total = 0;
    for (int i = 0; i < V; i++) total += (v >> i & 1) ? (double)values(model, "b")[i] : 0;
    for (int j = 0; j < H1; j++) {
        double input = (double)values(model, "c1")[j];
        for (int i = 0; i < V; i++) input += (v >> i & 1) ? (double)values(model, "W1")[i * H1 + j] : 0;
        total += log1p(exp(input));
    }
    return total;
}

typedef struct trained {
    hm_source *source;
    hm_feed *feed;
    hm_contrast *contrast;
    hm_workers workers;
    unsigned char *data;
} trained;

static void train_start(trained *t, hm_model *model, const char *objective, const hm_contrast_settings *how, int rows,
                        int64_t epochs)
{
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = SEED};
    hm_train_settings train = {.epochs = epochs, .batch = rows};
    hm_optimizer_settings optimizer = {.learning_rate = 0.2};
    hm_stream stream = {.seed = 4, .purpose = HM_RNG_SYNTH};
    *t = (trained){.workers = serial_workers(model->team, 4, SEED), .data = malloc((size_t)(rows * V))};
    for (int64_t row = 0; row < rows; row++) /* v1 = v0, v3 = v2, mostly */
        for (int64_t i = 0; i < V; i++)
            t->data[row * V + i] = hm_random_uniform(&stream, row, i % 2 && row % 5 ? i - 1 : i) < 0.4f ? 255 : 0;
    assert_ok(hm_source_memory(HM_UINT8, rows, V, t->data, &t->source));
    assert_ok(hm_feed_open(t->source, &transform, 64, rows, 4, (hm_range){0, 4}, &t->feed));
    const hm_objective *wanted = hm_objective_find(model->class, objective);
    if (wanted->check) assert_ok(wanted->check(model, how));
    if (wanted->begin) assert_ok(wanted->begin(model, how));
    assert_ok(hm_contrast_create(model, wanted, t->feed, &train, how, &optimizer, &t->workers, &t->contrast));
}

static hm_status no_row(void *state, const hm_metric_row *row)
{
    (void)state, (void)row;
    return HM_OK;
}
static hm_status no_step(void *state, const hm_contrast *contrast)
{
    (void)state, (void)contrast;
    return HM_OK;
}

static void train_end(trained *t, bool run)
{
    const hm_observer observer = {no_row, no_step, NULL};
    if (run) assert_ok(hm_contrast_run(t->contrast, &observer));
    hm_contrast_free(t->contrast);
    hm_feed_close(t->feed);
    t->source->close(t->source);
    free(t->data);
}

/* E_q of the bound over the training rows, by enumeration. */
static double mean_bound(const hm_model *model, const unsigned char *data, int rows, int H2)
{
    double sum = 0, bound, square;
    for (int row = 0; row < rows; row++) {
        int64_t v = 0;
        for (int i = 0; i < V; i++) v |= (int64_t)(data[row * V + i] > 0) << i;
        exact_log_p_star(model, v, H2, &bound, &square);
        sum += bound;
    }
    return sum / rows - log_z_top(model, H2);
}

/* From the transpose the bound is the RBM's own log p, row by row; training the second layer raises it from there. */
static void second_layer_from_the_transpose_raises_the_bound(void **state)
{
    enum { ROWS = 40 };
    (void)state;
    hm_model *model = make_model((const char *const[]){"hidden", "[3, 4]", NULL}, 0.8, 0.5);
    hm_contrast_settings how = {.estimator = HM_PCD, .k = 1, .layer = 1, .offset_rate = 0.01};
    const hm_objective *pretrain = hm_objective_find(model->class, "pretrain");
    trained t;
    train_start(&t, model, "pretrain", &how, ROWS, 300);
    train_end(&t, true);
    how.estimator = HM_EXACT; /* of the whole top RBM, and of no part */
    assert_int_equal(pretrain->check(model, &how), HM_EUSAGE);
    hm_error_clear();
    how.layer = 2;
    for (int l = 0; l < 2; l++) { /* as new: make_model draws biases too */
        hm_matrix bias = small_rbm_tensor(model, l == 0 ? "g1" : "c2");
        memset(bias.at, 0, (size_t)bias.columns * sizeof(float));
    }
    train_start(&t, model, "pretrain", &how, ROWS, 300);
    double energy[STATES], Z = 0, log_p = 0;
    free_energies(model, energy);
    for (int64_t s = 0; s < STATES; s++) Z += exp(rbm_log_p_star(model, s));
    for (int64_t s = 0; s < STATES; s++)
        assert_true(fabs(-energy[s] - log_z_top(model, V) - (rbm_log_p_star(model, s) - log(Z))) < 1e-4);
    for (int row = 0; row < ROWS; row++) {
        int64_t v = 0;
        for (int i = 0; i < V; i++) v |= (int64_t)(t.data[row * V + i] > 0) << i;
        log_p += (rbm_log_p_star(model, v) - log(Z)) / ROWS;
    }
    double before = mean_bound(model, t.data, ROWS, V);
    assert_close(before, log_p, 1e-4);
    unsigned char *data = malloc(ROWS * V);
    memcpy(data, t.data, ROWS * V);
    train_end(&t, true);
    double after = mean_bound(model, data, ROWS, V);
    print_message("  log p of the RBM %.4f, the bound after the second layer %.4f\n", log_p, after);
    assert_true(after > before + 1e-3);
    assert_ok(pretrain->begin(model, &how)); /* another stage goes on from what the first one learnt */
    assert_true(mean_bound(model, data, ROWS, V) == after);
    free(data);
    hm_model_free(model);
}

/* Samples from above have the exact distribution over the visible units. */
static void samples_have_the_exact_distribution(void **state)
{
    enum { H2 = 2, CHAINS = 20000, STEPS = 60 };
    (void)state;
    hm_model *model = make_model((const char *const[]){"hidden", "[3, 2]", NULL}, 0.9, 0.5);
    int counts[STATES] = {0};
    double chi_square = 0, log_z = log_z_top(model, H2);
    float *states = calloc(CHAINS * H1 + 64, sizeof *states), *v = calloc(CHAINS * V + 64, sizeof *v);
    hm_stream stream = {5, HM_RNG_SAMPLE_VISIBLE, HM_RNG_SECOND_WALK};
    hm_arena scratch;
    assert_int_equal(hm_state_columns(model), H1);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    assert_ok(model->class->gibbs(model, &(hm_gibbs_steps){.seed = 5, .count = STEPS}, (hm_matrix){states, CHAINS, H1},
                                  &scratch));
    hm_arena_reset(&scratch);
    assert_ok(model->class->show(model, (hm_matrix){states, CHAINS, H1}, &stream, 0, &scratch, v, NULL));
    for (int chain = 0; chain < CHAINS; chain++) {
        int64_t s = 0;
        for (int i = 0; i < V; i++) s |= (int64_t)(v[chain * V + i] > 0.5f) << i;
        counts[s]++;
    }
    for (int64_t s = 0; s < STATES; s++) {
        double bound, square, expected = CHAINS * exp(exact_log_p_star(model, s, H2, &bound, &square) - log_z);
        chi_square += pow(counts[s] - expected, 2) / expected;
    }
    print_message("  chi-square %.1f with 15 degrees of freedom, allowed 44.3\n", chi_square); /* 99.99 % */
    assert_true(chi_square < 44.3);
    hm_arena_free(&scratch);
    free(states), free(v);
    hm_model_free(model);
}

/* ---- other visible units ---------------------------------------------------------------------------------------- */

enum { OTHER_H2 = 2 };
enum other { SOFTMAX, GAUSSIAN, LEARNT, OTHERS }; /* groups of two; variance 1; variances of their own */

static hm_model *make_other(enum other kind)
{
    const char *const real[] = {"hidden",      "[3, 2]", "visible_units",  "gaussian",
                                "bound_draws", "4000",   "learn_variance", kind == LEARNT ? "true" : "false",
                                NULL};
    const char *const groups[] = {"hidden", "[3, 2]",      "visible_units", "softmax", "visible_group",
                                  "2",      "bound_draws", "4000",          NULL};
    return make_model(kind == SOFTMAX ? groups : real, 0.9, 0.5);
}

static double variance_of(const hm_model *model, int i)
{
    bool learnt = hm_layout_find(&model->layout, "log_variance") >= 0;
    return learnt ? exp((double)values(model, "log_variance")[i]) : 1;
}

/* Means of the visible units given h1. */
static void means_given(const hm_model *model, enum other kind, int64_t h1, double mean[V])
{
    for (int i = 0; i < V; i++) {
        mean[i] = (double)values(model, "b")[i];
        for (int j = 0; j < H1; j++) mean[i] += (h1 >> j & 1) ? (double)values(model, "W1")[i * H1 + j] : 0;
    }
    for (int i = 0; kind == SOFTMAX && i < V; i += 2) {
        double first = 1 / (1 + exp(mean[i + 1] - mean[i]));
        mean[i] = first, mean[i + 1] = 1 - first;
    }
}

/* log p(v | h1): N(v; mean, s^2), or one of each group of two. */
static double visible_log_p(const hm_model *model, enum other kind, const float v[V], int64_t h1)
{
    double mean[V], total = 0;
    means_given(model, kind, h1, mean);
    for (int i = 0; i < V; i++) {
        double s2 = variance_of(model, i), off = (double)v[i] - mean[i];
        total += kind == SOFTMAX ? (double)v[i] * log(mean[i]) : -off * off / (2 * s2) - 0.5 * log(2 * M_PI * s2);
    }
    return total;
}

static void check_other_bound(const hm_model *model, enum other kind, const float v[V])
{
    double sum = 0, bound = 0, square = 0, energy;
    for (int64_t h1 = 0; h1 < 1 << H1; h1++) {
        double joint = visible_log_p(model, kind, v, h1) + log_top(model, h1, OTHER_H2), log_q = 0;
        for (int j = 0; j < H1; j++) {
            double input = (double)values(model, "c1")[j];
            for (int i = 0; i < V; i++)
                input += (double)v[i] / variance_of(model, i) * (double)values(model, "W1")[i * H1 + j];
            log_q += log((h1 >> j & 1) ? sigmoid(input) : sigmoid(-input));
        }
        sum += exp(joint);
        bound += exp(log_q) * (joint - log_q);
        square += exp(log_q) * pow(joint - log_q, 2);
    }
    float row[64] = {0};
    hm_arena scratch;
    memcpy(row, v, V * sizeof *v);
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, 1), "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){row, 1, V}, 0, &scratch, &energy));
    hm_arena_free(&scratch);
    assert_true(bound <= log(sum));
    assert_close(-energy, bound, 4.5 * sqrt(fmax(square - bound * bound, 1e-12) / 4000) + 1e-5);
}

/* Means of samples from above, and of the means that they are drawn from. */
static void check_other_samples(const hm_model *model, enum other kind)
{
    enum { CHAINS = 20000, STEPS = 60 };
    float *states = calloc(CHAINS * H1 + 64, sizeof *states), *v = calloc(CHAINS * V + 64, sizeof *v),
          *means = calloc(CHAINS * V + 64, sizeof *means);
    hm_stream stream = {5, HM_RNG_SAMPLE_VISIBLE, HM_RNG_SECOND_WALK};
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    assert_ok(model->class->gibbs(model, &(hm_gibbs_steps){.seed = 5, .count = STEPS}, (hm_matrix){states, CHAINS, H1},
                                  &scratch));
    hm_arena_reset(&scratch);
    assert_ok(model->class->show(model, (hm_matrix){states, CHAINS, H1}, &stream, 0, &scratch, v, means));
    for (int i = 0; i < V; i++) {
        double expected = 0, given[V], drawn = 0, square = 0, mean = 0;
        for (int64_t h1 = 0; h1 < 1 << H1; h1++) {
            means_given(model, kind, h1, given);
            expected += given[i] * exp(log_top(model, h1, OTHER_H2) - log_z_top(model, OTHER_H2));
        }
        for (int chain = 0; chain < CHAINS; chain++) {
            drawn += (double)v[chain * V + i] / CHAINS;
            square += pow((double)v[chain * V + i], 2) / CHAINS;
            mean += (double)means[chain * V + i] / CHAINS;
        }
        double allowed = 4.5 * sqrt((square - drawn * drawn) / CHAINS);
        assert_close(drawn, expected, allowed);
        assert_close(mean, expected, allowed);
    }
    hm_arena_free(&scratch);
    free(states), free(v), free(means);
}

static void other_visible_units_have_their_own_density(void **state)
{
    (void)state;
    for (enum other kind = 0; kind < OTHERS; kind++) {
        const float rows[2][3][V] = {{{1, 0, 1, 0}, {0, 1, 1, 0}, {1, 0, 0, 1}},
                                     {{0.3f, -1.2f, 2, 0}, {-1, 0.5f, 0.1f, 1.5f}, {0, 0, 0, 0}}};
        hm_model *model = make_other(kind);
        for (int row = 0; row < 3; row++) check_other_bound(model, kind, rows[kind != SOFTMAX][row]);
        check_other_samples(model, kind);
        hm_model_free(model);
    }
    refuse_small_model(
        "dbn", (const char *const[]){"hidden", "[3, 2]", "visible_units", "softmax", "visible_group", "3", NULL}, V,
        "groups of 3");
}

/* ---- the up-down algorithm -------------------------------------------------------------------------------------- */

/* One shard's gradient of up_down; the shard borrows all of it, scratch and direct are the caller's to free. */
static void take_gradient(const hm_model *model, const hm_contrast_settings *how, hm_matrix data, hm_outer outer[],
                          float *direct, hm_arena *scratch, hm_shard *shard)
{
    const hm_objective *up_down = hm_objective_find(model->class, "up_down");
    memset(outer, 0, HM_TENSORS_MAX * sizeof *outer);
    assert_ok(hm_arena_init(scratch, up_down->scratch_bytes(model, how, 1, data.rows, 0), "scratch"));
    *shard = (hm_shard){.shards = 1,
                        .seed = SEED,
                        .step = 3,
                        .data = data,
                        .batch = data.rows,
                        .how = how,
                        .scratch = scratch,
                        .outer = outer,
                        .direct = direct,
                        .direct_begin = hm_layout_direct_begin(&model->layout)};
    assert_ok(up_down->gradient(model, shard));
}

/* Every row of an up-down update is what the delta rule makes of states that are 0 or 1. */
static void up_down_is_the_delta_rule(void **state)
{
    enum { ROWS = 12, H2 = 5 };
    (void)state;
    hm_model *model = make_model((const char *const[]){"hidden", "[3, 5]", NULL}, 0.9, 0.5);
    hm_contrast_settings how = {.estimator = HM_CD, .k = 2, .offset_rate = 0.01};
    trained t;
    train_start(&t, model, "up_down", &how, ROWS, 1);
    hm_matrix R = small_rbm_tensor(model, "R1"), W = small_rbm_tensor(model, "W1");
    assert_memory_equal(R.at, W.at, (size_t)(R.rows * R.columns) * sizeof(float)); /* begin unties them */
    assert_true(model->stack->untied[0]);
    small_rbm_normal(R, 0.7, 9, 0);
    model->class->refresh(model);
    hm_outer outer[HM_TENSORS_MAX];
    float data[ROWS * V], *direct = calloc((size_t)model->layout.size, sizeof *direct);
    hm_arena scratch;
    hm_shard shard;
    for (int i = 0; i < ROWS * V; i++) data[i] = t.data[i] > 0 ? 1.0f : 0.0f;
    take_gradient(model, &how, (hm_matrix){data, ROWS, V}, outer, direct, &scratch, &shard);
    const hm_outer *wake = &outer[hm_layout_find(&model->layout, "W1")];
    const hm_outer *dream = &outer[hm_layout_find(&model->layout, "R1")];
    assert_true(wake->a.rows == ROWS && dream->a.rows == ROWS);
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < V; i++) { /* v - sigmoid(W h + b) */
            double input = (double)values(model, "b")[i];
            for (int j = 0; j < H1; j++) input += (double)W.at[i * H1 + j] * (double)wake->b.at[row * H1 + j];
            assert_true(fabs((double)wake->a.at[row * V + i] - ((double)data[row * V + i] - sigmoid(input))) < 1e-5);
        }
        for (int j = 0; j < H1; j++) { /* h - sigmoid(v R + c), h of the fantasy 0 or 1 */
            double input = (double)values(model, "c1")[j];
            for (int i = 0; i < V; i++) {
                float v = dream->a.at[row * V + i];
                assert_true(v == 0.0f || v == 1.0f);
                input += (double)R.at[i * H1 + j] * (double)v;
            }
            double h = (double)dream->b.at[row * H1 + j] + sigmoid(input);
            assert_true(fabs(h) < 1e-5 || fabs(h - 1) < 1e-5);
            float up = wake->b.at[row * H1 + j];
            assert_true(up == 0.0f || up == 1.0f);
        }
    }
    free(direct);
    hm_arena_free(&scratch);
    train_end(&t, false);
    hm_model_free(model);
}

/* (v - b - W h) / s^2 of Gaussian visible units, and the derivative of log N(v) by log s^2. */
static void up_down_of_real_rows_is_the_delta_rule(void **state)
{
    enum { ROWS = 3 };
    (void)state;
    hm_model *model = make_other(LEARNT);
    const hm_objective *up_down = hm_objective_find(model->class, "up_down");
    hm_contrast_settings how = {.estimator = HM_CD, .k = 1, .offset_rate = 0.01};
    float data[ROWS * V + 64] = {0.3f, -1.2f, 2, 0, -1, 0.5f, 0.1f, 1.5f, 0, 0.2f, -0.4f, 3},
                          *direct = calloc((size_t)model->layout.size, sizeof *direct);
    hm_outer outer[HM_TENSORS_MAX];
    hm_arena scratch;
    hm_shard shard;
    assert_ok(up_down->begin(model, &how));
    take_gradient(model, &how, (hm_matrix){data, ROWS, V}, outer, direct, &scratch, &shard);
    const hm_outer *wake = &outer[hm_layout_find(&model->layout, "W1")];
    double by_variance[V] = {0};
    for (int row = 0; row < ROWS; row++) {
        int64_t h1 = 0;
        double mean[V];
        for (int j = 0; j < H1; j++) h1 |= (int64_t)(wake->b.at[row * H1 + j] > 0) << j;
        means_given(model, LEARNT, h1, mean);
        for (int i = 0; i < V; i++) {
            double s2 = variance_of(model, i), off = (double)data[row * V + i] - mean[i];
            assert_true(fabs((double)wake->a.at[row * V + i] - off / s2) < 1e-5);
            by_variance[i] += 0.5 * (off * off / s2 - 1);
        }
    }
    const hm_tensor *z = &model->layout.tensors[hm_layout_find(&model->layout, "log_variance")];
    for (int i = 0; i < V; i++)
        assert_true(fabs((double)direct[z->offset - hm_layout_direct_begin(&model->layout) + i] - by_variance[i]) <
                    1e-4);
    hm_arena_reset(&scratch);
    shard.monitors = (double[8]){0};
    assert_ok(up_down->monitor(model, &shard));
    assert_true(isfinite(shard.monitors[0]));
    free(direct);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* A layer that is trained as an RBM after up_down has one kind of weights again. */
static void pretraining_ties_a_layer(void **state)
{
    (void)state;
    hm_model *model = make_model((const char *const[]){"hidden", "[3, 5, 2]", NULL}, 0.9, 0.5);
    hm_contrast_settings how = {.layer = 1};
    const hm_objective *pretrain = hm_objective_find(model->class, "pretrain");
    assert_ok(hm_objective_find(model->class, "up_down")->begin(model, &how));
    assert_true(model->stack->untied[0] && model->stack->untied[1]);
    assert_ok(pretrain->begin(model, &how));
    assert_true(!model->stack->untied[0] && model->stack->untied[1]);
    hm_matrix R = small_rbm_tensor(model, "R2"), W = small_rbm_tensor(model, "W2");
    R.at[0] = 42; /* what up_down has learnt of a layer stays */
    assert_ok(hm_objective_find(model->class, "up_down")->begin(model, &how));
    assert_true(model->stack->untied[0] && R.at[0] == 42);
    assert_memory_equal(R.at + 1, W.at + 1, (size_t)(R.rows * R.columns - 1) * sizeof(float));
    hm_model_free(model);
}

/* By the place they have in the model, whichever machine of two layers is trained. */
static void dead_layers_are_named_by_their_place(void **state)
{
    (void)state;
    hm_model *model = make_model((const char *const[]){"hidden", "[3, 5, 2]", NULL}, 0.9, 0.5);
    const hm_objective *pretrain = hm_objective_find(model->class, "pretrain"),
                       *up_down = hm_objective_find(model->class, "up_down");
    for (int64_t layer = 1; layer <= 3; layer++) {
        hm_contrast_settings how = {.layer = layer};
        hm_layer upper = model->stack->pair[layer - 1].layer[1];
        float *mean = hm_model_tensor(model, upper.mean);
        char words[64];
        for (int64_t j = 0; j < upper.units; j++) mean[j] = 0.5f;
        assert_null(pretrain->fault(model, &how));
        memset(mean, 0, (size_t)upper.units * sizeof mean[0]);
        snprintf(words, sizeof words, "%d of %d units of hidden layer %d are dead", (int)upper.units, (int)upper.units,
                 (int)layer);
        assert_non_null(strstr(pretrain->fault(model, &how), words));
        if (layer == 3) assert_non_null(strstr(up_down->fault(model, &how), words));
    }
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bound_draws_are_the_rows_own),
        cmocka_unit_test(bound_draws_are_the_rows_own_in_a_data_set),
        cmocka_unit_test(bound_is_its_definition),
        cmocka_unit_test(second_layer_from_the_transpose_raises_the_bound),
        cmocka_unit_test(samples_have_the_exact_distribution),
        cmocka_unit_test(other_visible_units_have_their_own_density),
        cmocka_unit_test(up_down_is_the_delta_rule),
        cmocka_unit_test(up_down_of_real_rows_is_the_delta_rule),
        cmocka_unit_test(pretraining_ties_a_layer),
        cmocka_unit_test(dead_layers_are_named_by_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
