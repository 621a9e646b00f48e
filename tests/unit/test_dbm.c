/* The deep Boltzmann machine against enumeration of all its layers in float64. */
#include "small_dbm.h"

#include "boltzmann/mean_field.h"
#include "boltzmann/pretrain.h"
#include "one_gradient.h"
#include "numbers.h"

enum { V = 5, VISIBLE_STATES = 1 << V };

typedef struct machine_shape {
    const char *hidden, *classes; /* classes: of label units, or NULL */
} machine_shape;

static const machine_shape shapes[] = {{"[4, 3]", NULL}, {"[3, 2, 3]", NULL}, {"[4]", NULL},
                                       {"[3, 3]", "3"},  {"[3, 2, 2]", "3"},  {"[4]", "3"}};
enum { SHAPES = sizeof shapes / sizeof shapes[0], PLAIN_SHAPES = 3 };

static hm_model *machine_of(machine_shape shape, double weights, double biases, uint64_t seed, const hm_team *team)
{
    return labelled_dbm(V, shape.hidden, shape.classes, weights, biases, seed, team);
}

static const char *labels_of(machine_shape shape) { return shape.classes ? " and label units" : ""; }

/* Exact log Z of the smaller side, and the chance that AIS gives it. */
static void log_z_is_that_of_enumeration(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 1.0, 0.7, 3, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        hm_workers workers = serial_workers(&one_thread, 4, 9);
        hm_ais_settings ais = {.chains = 200, .ladder = HM_LADDER_LINEAR, .temperatures = 1000};
        hm_ais_result result;
        float base[DBM_UNITS_MAX] = {0};
        double log_z, expected = exact_dbm_log_z(&exact);
        assert_ok(hm_exact_log_z(model, &workers, &log_z));
        assert_close(log_z, expected, 1e-5);
        assert_ok(hm_ais(model, base, &ais, &workers, &result));
        assert_close(result.log_z, expected, 0.1);
        assert_true(fabs(result.log_z - expected) <= 4 * result.log_z_stderr);
        hm_ais_result_free(&result);
        hm_model_free(model);
    }
}

/* Reverse AIS from exact samples is high on average, and close here. */
static void reverse_ais_finds_log_z(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.5, 4, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        hm_workers workers = serial_workers(&one_thread, 4, 9);
        hm_ais_settings ais = {.chains = 200, .ladder = HM_LADDER_LINEAR, .temperatures = 1000, .burn_in = 200};
        hm_ais_result result;
        float base[DBM_UNITS_MAX] = {0}, start[200 * V] = {0};
        assert_ok(hm_ais_reverse(model, base, (hm_matrix){start, 200, V}, &ais, 0, NULL, &workers, &result));
        assert_close(result.log_z, exact_dbm_log_z(&exact), 0.1);
        hm_ais_result_free(&result);
        hm_model_free(model);
    }
}

/* The unit in a column of states of the even side; past them the last one. */
static int even_unit(const exact_dbm *exact, int column)
{
    for (int l = 0; l < exact->layers; l += 2) {
        if (column < exact->of_layer[l]) return exact->first[l] + column;
        column -= exact->of_layer[l];
    }
    return exact->units - 1;
}

/* What a state begins with is the row, then a draw of what mean field finds: one label, if any. */
static void states_begin_where_mean_field_ends(void **state)
{
    (void)state;
    enum { DRAWS = 4000 };
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.5, 4, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        int columns = (int)hm_state_columns(model);
        float *v = calloc(DRAWS * V, sizeof *v), *states = calloc((size_t)(DRAWS * columns + 64), sizeof *states);
        double q[DBM_UNITS_MAX];
        hm_arena scratch;
        for (int row = 0; row < DRAWS; row++) v[row * V + 1] = 1;
        exact_dbm_bound(&exact, 2, q);
        assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, DRAWS), "scratch"));
        hm_stream stream = {.seed = 5, .purpose = HM_RNG_UPWARD};
        assert_ok(model->class->enter(model, (hm_matrix){v, DRAWS, V}, &stream, 0, &scratch,
                                      (hm_matrix){states, DRAWS, columns}));
        for (int i = 0; i < columns; i++) {
            int unit = even_unit(&exact, i), first = even_unit(&exact, V);
            double mean = 0, together = 0, expected = i < V ? i == 1 : q[unit], apart = q[unit] * q[first];
            for (int row = 0; row < DRAWS; row++) {
                mean += (double)states[row * columns + i] / DRAWS;
                together += (double)(states[row * columns + i] * states[row * columns + V]) / DRAWS;
            }
            assert_true(fabs(mean - expected) <= 4.5 * sqrt(expected * (1 - expected) / DRAWS) + 1e-9);
            if (unit < exact.first[exact.layers - 1] || i == V || exact.layers < 5) continue;
            assert_true(fabs(together - apart) <= 4.5 * sqrt(apart * (1 - apart) / DRAWS)); /* layers by themselves */
        }
        bool labels_are_even = exact.labels > 0 && exact.layers % 2 == 1;
        for (int row = 0; labels_are_even && row < DRAWS; row++) {
            float on = 0;
            for (int i = columns - exact.labels; i < columns; i++) on += states[row * columns + i];
            assert_true(on == 1);
        }
        free(v), free(states);
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
}

/* The bound is the best factorial one, never above log p(v), and exact when there is one hidden layer and no labels. */
static void bound_is_the_best_factorial_one(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.6, 5, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        float v[VISIBLE_STATES * V];
        double energy[VISIBLE_STATES], q[DBM_UNITS_MAX], loosest = 0;
        hm_arena scratch;
        visible_states(V, v);
        assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, VISIBLE_STATES), "scratch"));
        assert_ok(model->class->free_energy(model, (hm_matrix){v, VISIBLE_STATES, V}, 0, &scratch, energy));
        for (int64_t s = 0; s < VISIBLE_STATES; s++) {
            double log_p_star = exact_dbm_log_sum(&exact, s, V), bound = exact_dbm_bound(&exact, s, q);
            if (!(fabs(-energy[s] - bound) <= 1e-4)) fail_msg("v %d: bound %.8f, best %.8f", (int)s, -energy[s], bound);
            if (!(-energy[s] <= log_p_star + 1e-5))
                fail_msg("v %d: bound %.8f above %.8f", (int)s, -energy[s], log_p_star);
            loosest = fmax(loosest, log_p_star + energy[s]);
        }
        print_message("  hidden %s%s: at most %.4f nats below log p\n", shapes[shape].hidden, labels_of(shapes[shape]),
                      loosest);
        assert_true(exact.layers > 2 ? loosest > 1e-3 : loosest < 1e-4);
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
}

/* In a pair of pre-training the layer whose input counts twice is there twice, in one state. */
static void pairs_have_the_energy_of_doubled_layers(void **state)
{
    (void)state;
    hm_model *model = small_dbm(V, "[3, 2]", 0.8, 0.6, 5, &one_thread);
    for (int l = 0; l < 2; l++) {
        hm_machine pair = model->class->pairs->at(model, l);
        int lower = (int)pair.layer[0].units, upper = (int)pair.layer[1].units, below = l == 0 ? 2 : 1,
            above = 3 - below;
        const float *W = hm_model_tensor(model, pair.weights[0]), *b = hm_model_tensor(model, pair.layer[0].bias),
                    *c = hm_model_tensor(model, pair.layer[1].bias);
        float x[64] = {0};
        double ours;
        hm_states states = {.rows = 1, .at = {x}};
        hm_arena scratch;
        assert_ok(hm_arena_init(&scratch, hm_side_log_prob_bytes(&pair, 1), "scratch"));
        for (int s = 0; s < 1 << lower; s++) {
            double expected = 0;
            for (int i = 0; i < lower; i++) {
                x[i] = (float)(s >> i & 1);
                expected += below * (double)b[i] * (double)x[i];
            }
            for (int copy = 0; copy < above; copy++) /* each copy above sees all copies below */
                for (int j = 0; j < upper; j++) {
                    double input = (double)c[j];
                    for (int i = 0; i < lower; i++) input += below * (double)W[i * upper + j] * (double)x[i];
                    expected += log1p(exp(input));
                }
            hm_arena_reset(&scratch);
            assert_ok(hm_side_log_prob(model, &pair, HM_EVEN, &states, &scratch, &ours));
            assert_true(fabs(ours - expected) < 1e-5);
        }
        hm_arena_free(&scratch);
    }
    hm_model_free(model);
}

/* A centred step of weights alone, through finish: what the other layer sees of the means of layer `from`, so many
 * times, stays. */
static void assert_input_stays(const hm_model *model, const hm_machine *pair, const float *grad, int from, float times)
{
    hm_matrix dW = hm_pack_matrix(&model->layout, (float *)grad, pair->weights[0]);
    const float *mean = hm_model_tensor(model, pair->layer[from].mean);
    const float *bias = hm_pack_matrix(&model->layout, (float *)grad, pair->layer[1 - from].bias).at;
    for (int64_t unit = 0; unit < pair->layer[1 - from].units; unit++) {
        double moved = (double)bias[unit];
        for (int64_t other = 0; other < pair->layer[from].units; other++)
            moved += (double)times * (double)mean[other] *
                     (double)(from == 0 ? dW.at[other * dW.columns + unit] : dW.at[unit * dW.columns + other]);
        assert_true(fabs((double)bias[unit]) > 1e-3);
        assert_true(fabs(moved) < 1e-6);
    }
}

static void pairs_are_centred_as_often_as_inputs_count(void **state)
{
    (void)state;
    const hm_contrast_settings how = {.centered = true};
    hm_model *model = small_dbm(V, "[3, 2, 4]", 0.8, 0.6, 5, &one_thread);
    float *grad;
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &grad));
    for (int l = 0; l < 3; l++) {
        hm_machine pair = model->class->pairs->at(model, l);
        assert_true(pair.up_scale == (l < 2 ? 2.0f : 1.0f) && pair.down_scale == (l > 0 ? 2.0f : 1.0f));
        memset(grad, 0, (size_t)model->layout.size * sizeof *grad);
        for (int layer = 0; layer < 2; layer++)
            for (int64_t unit = 0; unit < pair.layer[layer].units; unit++)
                hm_model_tensor(model, pair.layer[layer].mean)[unit] = 0.2f + 0.1f * (float)unit;
        hm_matrix dW = hm_pack_matrix(&model->layout, grad, pair.weights[0]);
        for (int64_t i = 0; i < dW.rows * dW.columns; i++) dW.at[i] = 0.3f + 0.1f * (float)(i % 3);
        hm_machine_finish(model, &pair, &how, 1, grad);
        assert_input_stays(model, &pair, grad, 0, pair.up_scale);
        assert_input_stays(model, &pair, grad, 1, pair.down_scale);
    }
    free(grad);
    hm_model_free(model);
}

/* ---- mean field ------------------------------------------------------------------------------------------------- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* p(unit `at` of layer l is on | q of its neighbours), those below counting `times`, those above if `above`. */
static double conditional(const exact_dbm *exact, const double q[], int l, int at, double times, bool above)
{
    int unit = exact->first[l] + at;
    double input = exact->bias[unit];
    for (int side = -1; side <= (above ? 1 : -1); side += 2)
        for (int i = 0; l + side >= 0 && l + side < exact->layers && i < exact->of_layer[l + side]; i++) {
            int other = exact->first[l + side] + i;
            input += (side < 0 ? times : 1) * exact->weight[unit][other] * q[other];
        }
    return sigmoid(input);
}

static void update_layer(const exact_dbm *exact, double q[], int l, double damping)
{
    double fresh[DBM_UNITS_MAX];
    for (int i = 0; i < exact->of_layer[l]; i++) fresh[i] = conditional(exact, q, l, i, 1, true);
    for (int i = 0; i < exact->of_layer[l]; i++) {
        double *old = &q[exact->first[l] + i];
        *old = (1 - damping) * fresh[i] + damping * *old;
    }
}

/* The pass upward, then updates, odd layers first, then the odd layers that follow from the even ones. */
static void check_updates(hm_mean_field how)
{
    hm_model *model = small_dbm(V, "[3, 2, 3]", 0.8, 0.6, 5, &one_thread);
    exact_dbm exact = exact_dbm_of(model);
    hm_mean_field_result result;
    hm_states states = {.rows = 1};
    float x[4][64] = {{1, 0, 1, 1}};
    double q[DBM_UNITS_MAX] = {1, 0, 1, 1}, worst = 0;
    hm_arena scratch;
    for (int l = 0; l < 4; l++) states.at[l] = x[l];
    assert_ok(hm_arena_init(&scratch, hm_mean_field_bytes(model->machine, 1), "scratch"));
    assert_ok(hm_mean_field_run(model, model->machine, &how, 0, &states, &scratch, &result));
    for (int l = 1; l < 4; l++)
        for (int i = 0; i < exact.of_layer[l]; i++)
            q[exact.first[l] + i] = conditional(&exact, q, l, i, l < 3 ? 2 : 1, false);
    for (int update = 0; update < how.updates; update++)
        for (int at = 0; at < 3; at++) update_layer(&exact, q, (const int[]){1, 3, 2}[at], how.damping);
    update_layer(&exact, q, 1, 0);
    update_layer(&exact, q, 3, 0);
    for (int l = 1; l < 4; l++)
        for (int i = 0; i < exact.of_layer[l]; i++)
            worst = numbers_worse(worst, fabs((double)x[l][i] - q[exact.first[l] + i]));
    numbers_within("error of a probability", worst, 1e-6);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* Without damping layers are updated in place; but for the last update, unless changes are measured in all of them. */
static void updates_are_their_definition(void **state)
{
    (void)state;
    check_updates((hm_mean_field){.updates = 2, .damping = 0.3});
    check_updates((hm_mean_field){.updates = 3});
    check_updates((hm_mean_field){.updates = 3, .tolerance = 1e-30});
}

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

enum { ROWS = 24 };

/* Mean of the best bound over the rows, labels being given, minus log Z: what the exact gradient climbs. */
static double mean_bound(const exact_dbm *exact, const void *rows)
{
    const float *data = rows;
    double sum = 0, q[DBM_UNITS_MAX];
    for (int row = 0; row < ROWS; row++, data += V + exact->labels)
        sum += exact_dbm_bound_given(exact, row_bits(data, V), row_label(data + V, exact->labels), q);
    return sum / ROWS - exact_dbm_log_z(exact);
}

static void check_gradient(machine_shape shape)
{
    hm_model *model = machine_of(shape, 0.6, 0.4, 6, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    hm_contrast_settings how = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01};
    one_gradient g;
    double worst = 0;
    one_gradient_make(&g, model, NULL, &how, random_rows(ROWS, V, exact.labels), ROWS);
    for (int l = 0; l < exact.layers; l++) {
        const float *db = hm_pack_matrix(&model->layout, g.grad, model->machine->layer[l].bias).at;
        for (int i = 0; i < exact.of_layer[l]; i++)
            worst =
                numbers_worse(worst, fabs((double)db[i] / ROWS - exact_dbm_difference(&exact, exact.first[l] + i, -1,
                                                                                      1e-4, mean_bound, g.data)));
        if (l + 1 == exact.layers) break;
        hm_matrix dW = hm_pack_matrix(&model->layout, g.grad, model->machine->weights[l]);
        for (int i = 0; i < dW.rows; i++)
            for (int j = 0; j < dW.columns; j++)
                worst =
                    numbers_worse(worst, fabs((double)dW.at[i * dW.columns + j] / ROWS -
                                              exact_dbm_difference(&exact, exact.first[l] + i, exact.first[l + 1] + j,
                                                                   1e-4, mean_bound, g.data)));
    }
    print_message("  hidden %s%s: greatest error of a derivative %.2g\n", shape.hidden, labels_of(shape), worst);
    assert_true(worst < 1e-5);
    one_gradient_free(&g);
}

static void gradient_is_that_of_the_bound(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) check_gradient(shapes[shape]);
}

/* ---- chains ----------------------------------------------------------------------------------------------------- */

enum { CHAINS = 4000, BURN_IN = 60, MEASURED = 40 };

/* Means over chains and steps against the exact marginals; the error is estimated from means of independent chains. */
static void check_means(const char *what, const double *mean, const double *square, const double *marginals, int units)
{
    for (int a = 0; a < units; a++) {
        double error = sqrt(fmax(square[a] - mean[a] * mean[a], 1e-12) / CHAINS);
        if (!(fabs(mean[a] - marginals[a]) <= 4.5 * error))
            fail_msg("%s: unit %d is on %.5f of the time, should be %.5f, error %.5f", what, a, mean[a], marginals[a],
                     error);
    }
}

/* One number of a state: of what is even (v, then h2 or labels), and behind that whether each label is the one told. */
static double sampled_number(const float *state, int columns, int32_t label, int i)
{
    return i < columns ? (double)state[i] : (double)(label == i - columns);
}

/* States of hm_machine_gibbs; `clamp`: the label that all are kept at, -1 for none. */
static void check_gibbs(machine_shape shape, int clamp)
{
    hm_model *model = machine_of(shape, 0.8, 0.5, 8, &one_thread);
    exact_dbm exact = exact_dbm_of(model);
    double marginals[DBM_UNITS_MAX], mean[DBM_UNITS_MAX] = {0}, square[DBM_UNITS_MAX] = {0}, expected[DBM_UNITS_MAX];
    int columns = (int)hm_state_columns(model), width = columns + exact.labels;
    float *states = calloc((size_t)(CHAINS * columns + 64), sizeof *states);
    double *sums = calloc((size_t)(CHAINS * width), sizeof *sums);
    int32_t labels[CHAINS];
    hm_arena scratch;
    for (int chain = 0; chain < CHAINS; chain++) labels[chain] = clamp;
    if (clamp >= 0) exact.bias[exact.units - exact.labels + clamp] += 50; /* no other one has a chance */
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    for (int step = 0; step < BURN_IN + MEASURED; step++) {
        const hm_gibbs_steps one = {.seed = 5,
                                    .first = (uint64_t)step,
                                    .count = 1,
                                    .clamped = clamp >= 0,
                                    .labels = exact.labels > 0 ? labels : NULL};
        hm_arena_reset(&scratch);
        assert_ok(model->class->gibbs(model, &one, (hm_matrix){states, CHAINS, columns}, &scratch));
        for (int i = 0; step >= BURN_IN && i < CHAINS * width; i++)
            sums[i] += sampled_number(states + i / width * columns, columns, labels[i / width], i % width) / MEASURED;
    }
    for (int i = 0; i < CHAINS * width; i++) {
        mean[i % width] += sums[i] / CHAINS;
        square[i % width] += sums[i] * sums[i] / CHAINS;
    }
    exact_dbm_marginals(&exact, marginals);
    for (int i = 0; i < width; i++)
        expected[i] = marginals[i < columns ? even_unit(&exact, i) : exact.units - exact.labels + i - columns];
    check_means(clamp < 0 ? "Gibbs" : "Gibbs, clamped", mean, square, expected, width);
    free(states), free(sums);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

/* Labels on the odd side, and on the even one. */
static const machine_shape sampled[] = {{"[3, 2, 3]", NULL}, {"[3, 2]", "3"}, {"[4]", "3"}};
enum { SAMPLED = sizeof sampled / sizeof sampled[0] };

static void gibbs_steps_have_the_exact_marginals(void **state)
{
    (void)state;
    for (int at = 0; at < SAMPLED; at++) check_gibbs(sampled[at], -1);
}

static void clamped_labels_give_the_exact_conditional(void **state)
{
    (void)state;
    for (int at = 1; at < SAMPLED; at++)
        for (int label = 0; label < 3; label++) check_gibbs(sampled[at], label);
}

/* Moves at a temperature leave p_beta unchanged: the marginals of the state's units, by enumeration of the machine
 * whose parameters are beta times as large, with the rest of the even layers' biases from the base. */
static void check_annealed_moves(machine_shape shape)
{
    const double beta = 0.6;
    hm_model *model = machine_of(shape, 1.0, 0.5, 8, &one_thread);
    const hm_annealing *path = model->class->annealing;
    exact_dbm scaled = exact_dbm_of(model);
    int columns = (int)hm_state_columns(model), inputs = (int)path->input_columns(model);
    float base[DBM_UNITS_MAX], *states = calloc((size_t)(CHAINS * columns + 64), sizeof *states);
    float *cached = calloc((size_t)(CHAINS * inputs + 64), sizeof *cached);
    double *energy = calloc(2 * CHAINS, sizeof *energy), *sums = calloc((size_t)(CHAINS * columns), sizeof *sums);
    double marginals[DBM_UNITS_MAX], mean[DBM_UNITS_MAX] = {0}, square[DBM_UNITS_MAX] = {0}, expected[DBM_UNITS_MAX];
    hm_arena scratch;
    for (int i = 0; i < columns; i++) base[i] = 0.3f * (float)(i % 4) - 0.5f;
    for (int a = 0; a < scaled.units; a++) {
        scaled.bias[a] *= beta;
        for (int b = 0; b < scaled.units; b++) scaled.weight[a][b] *= beta;
    }
    for (int i = 0; i < columns; i++) /* v, then h2 or labels */
        scaled.bias[even_unit(&scaled, i)] += (1 - beta) * (double)base[i];
    assert_ok(hm_arena_init(&scratch, path->scratch_bytes(model, CHAINS), "scratch"));
    hm_walk walk = {.seed = 11,
                    .state = {states, CHAINS, columns},
                    .inputs = {cached, CHAINS, inputs},
                    .energy = energy,
                    .base_energy = energy + CHAINS,
                    .base = base,
                    .scratch = &scratch};
    assert_ok(path->refresh(model, &walk));
    for (uint64_t step = 1; step <= BURN_IN + MEASURED; step++) {
        hm_arena_reset(&scratch);
        assert_ok(path->move(model, &walk, beta, HM_RNG_AIS_HIDDEN, HM_RNG_AIS_VISIBLE, step));
        for (int i = 0; step > BURN_IN && i < CHAINS * columns; i++) sums[i] += (double)states[i] / MEASURED;
    }
    for (int i = 0; i < CHAINS * columns; i++) {
        mean[i % columns] += sums[i] / CHAINS;
        square[i % columns] += sums[i] * sums[i] / CHAINS;
    }
    exact_dbm_marginals(&scaled, marginals);
    for (int i = 0; i < columns; i++) expected[i] = marginals[even_unit(&scaled, i)];
    check_means("annealed", mean, square, expected, columns);
    free(states), free(cached), free(energy), free(sums);
    hm_arena_free(&scratch);
    hm_model_free(model);
}

static void annealed_moves_have_the_exact_marginals(void **state)
{
    (void)state;
    for (int at = 0; at < SAMPLED; at++) check_annealed_moves(sampled[at]);
}

/* ---- labels ----------------------------------------------------------------------------------------------------- */

/* Classes are told by q of the label units, as long as there is no network. */
static void classes_are_told_by_mean_field(void **state)
{
    (void)state;
    for (int shape = PLAIN_SHAPES; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.6, 5, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        float v[VISIBLE_STATES * V], told[VISIBLE_STATES * 3];
        double q[DBM_UNITS_MAX], worst = 0;
        hm_arena scratch;
        visible_states(V, v);
        assert_true(model->class->classifies(model));
        assert_ok(hm_arena_init(&scratch, model->class->classify_bytes(model, VISIBLE_STATES), "scratch"));
        assert_ok(model->class->classify(model, (hm_matrix){v, VISIBLE_STATES, V}, &scratch, told));
        for (int64_t s = 0; s < VISIBLE_STATES; s++) {
            exact_dbm_bound(&exact, s, q);
            for (int y = 0; y < 3; y++)
                worst = numbers_worse(worst, fabs((double)told[s * 3 + y] - q[exact.units - exact.labels + y]));
        }
        print_message("  hidden %s: greatest error of a probability %.2g\n", shapes[shape].hidden, worst);
        assert_true(worst < 1e-4);
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_z_is_that_of_enumeration),
        cmocka_unit_test(reverse_ais_finds_log_z),
        cmocka_unit_test(states_begin_where_mean_field_ends),
        cmocka_unit_test(bound_is_the_best_factorial_one),
        cmocka_unit_test(updates_are_their_definition),
        cmocka_unit_test(pairs_have_the_energy_of_doubled_layers),
        cmocka_unit_test(pairs_are_centred_as_often_as_inputs_count),
        cmocka_unit_test(gradient_is_that_of_the_bound),
        cmocka_unit_test(gibbs_steps_have_the_exact_marginals),
        cmocka_unit_test(clamped_labels_give_the_exact_conditional),
        cmocka_unit_test(annealed_moves_have_the_exact_marginals),
        cmocka_unit_test(classes_are_told_by_mean_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
