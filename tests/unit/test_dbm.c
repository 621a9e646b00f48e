/* The deep Boltzmann machine against enumeration of all its layers in float64. */
#include "small_dbm.h"

#include "boltzmann/mean_field.h"
#include "boltzmann/pretrain.h"
#include "one_gradient.h"

#include <ctype.h>

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

static void visible_states(float *v)
{
    for (int64_t s = 0; s < VISIBLE_STATES; s++)
        for (int i = 0; i < V; i++) v[s * V + i] = (float)(s >> i & 1);
}

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

/* What a state begins with is the row, then a draw of what mean field finds: one label, if any. */
static void states_begin_where_mean_field_ends(void **state)
{
    (void)state;
    enum { DRAWS = 4000 };
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.5, 4, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        int columns = (int)hm_state_columns(model), first_even = exact.layers > 2 ? exact.first[2] : 0;
        float *v = calloc(DRAWS * V, sizeof *v), *states = calloc((size_t)(DRAWS * columns + 64), sizeof *states);
        double q[DBM_UNITS_MAX];
        hm_arena scratch;
        for (int row = 0; row < DRAWS; row++) v[row * V + 1] = 1;
        exact_dbm_bound(&exact, 2, q);
        assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, DRAWS), "scratch"));
        hm_stream stream = {.seed = 5, .purpose = HM_RNG_UPWARD};
        assert_ok(model->class->enter(model, (hm_matrix){v, DRAWS, V}, &stream, 0, &scratch,
                                      (hm_matrix){states, DRAWS, columns}));
        for (int i = 0; i < columns && (i < V || i - V < exact.of_layer[2]); i++) {
            double mean = 0, expected = i < V ? i == 1 : q[first_even + i - V];
            for (int row = 0; row < DRAWS; row++) mean += (double)states[row * columns + i];
            mean /= DRAWS;
            assert_true(fabs(mean - expected) <= 4.5 * sqrt(expected * (1 - expected) / DRAWS));
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

/* The bound is the best factorial one, never above log p(v), and exact when there is one hidden layer. */
static void bound_is_the_best_factorial_one(void **state)
{
    (void)state;
    for (int shape = 0; shape < SHAPES; shape++) {
        hm_model *model = machine_of(shapes[shape], 0.8, 0.6, 5, &one_thread);
        exact_dbm exact = exact_dbm_of(model);
        float v[VISIBLE_STATES * V];
        double energy[VISIBLE_STATES], q[DBM_UNITS_MAX], loosest = 0;
        hm_arena scratch;
        visible_states(v);
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

/* ---- the gradient ----------------------------------------------------------------------------------------------- */

enum { ROWS = 24 };

/* Mean of the best bound over the rows, labels being given, minus log Z: what the exact gradient climbs. */
static double mean_bound(const exact_dbm *exact, const float *data)
{
    double sum = 0, q[DBM_UNITS_MAX];
    for (int row = 0; row < ROWS; row++, data += V + exact->labels) {
        int64_t v = 0;
        int label = -1;
        for (int i = 0; i < V; i++) v |= (int64_t)(data[i] > 0) << i;
        for (int y = 0; y < exact->labels; y++) label = data[V + y] > 0 ? y : label;
        sum += exact_dbm_bound_given(exact, v, label, q);
    }
    return sum / ROWS - exact_dbm_log_z(exact);
}

/* Central difference of one parameter of the float64 machine: a bias (b < 0) or a weight. */
static double difference(const exact_dbm *exact, const float *data, int a, int b)
{
    const double step = 1e-4;
    double side[2];
    for (int up = 0; up < 2; up++) {
        exact_dbm moved = *exact;
        if (b < 0)
            moved.bias[a] += up ? step : -step;
        else
            moved.weight[a][b] = moved.weight[b][a] += up ? step : -step;
        side[up] = mean_bound(&moved, data);
    }
    return (side[1] - side[0]) / (2 * step);
}

static float *random_rows(int classes)
{
    int columns = V + classes;
    float *data = calloc((size_t)(ROWS * columns), sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < V; i++) data[row * columns + i] = hm_random_uniform(&stream, row, i) < 0.4f ? 1.0f : 0.0f;
        if (classes > 0) data[row * columns + V + (int)hm_random_below(&stream, row, V, (uint64_t)classes)] = 1;
    }
    return data;
}

static void check_gradient(machine_shape shape)
{
    hm_model *model = machine_of(shape, 0.6, 0.4, 6, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    hm_contrast_settings how = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01};
    one_gradient g;
    double worst = 0;
    one_gradient_make(&g, model, NULL, &how, random_rows(exact.labels), ROWS);
    for (int l = 0; l < exact.layers; l++) {
        const float *db = hm_pack_matrix(&model->layout, g.grad, model->machine->layer[l].bias).at;
        for (int i = 0; i < exact.of_layer[l]; i++)
            worst = fmax(worst, fabs((double)db[i] / ROWS - difference(&exact, g.data, exact.first[l] + i, -1)));
        if (l + 1 == exact.layers) break;
        hm_matrix dW = hm_pack_matrix(&model->layout, g.grad, model->machine->weights[l]);
        for (int i = 0; i < dW.rows; i++)
            for (int j = 0; j < dW.columns; j++)
                worst = fmax(worst, fabs((double)dW.at[i * dW.columns + j] / ROWS -
                                         difference(&exact, g.data, exact.first[l] + i, exact.first[l + 1] + j)));
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

/* ---- multi-prediction and recognition --------------------------------------------------------------------------- */

enum { SWEEPS = 4 };

/* J of multi-prediction, by its definition: sweeps of single units, odd layers first. */
static double prediction(const exact_dbm *exact, const one_gradient *g, double missing)
{
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_MISSING, 0};
    double total = 0;
    for (int row = 0; row < ROWS; row++) {
        double q[DBM_UNITS_MAX] = {0};
        bool seen[DBM_UNITS_MAX] = {false};
        for (int a = 0; a < exact->units; a++) {
            q[a] = 1 / (1 + exp(-exact->bias[a]));
            seen[a] = a < V && (double)hm_random_uniform(&stream, row, a) >= missing;
            if (seen[a]) q[a] = (double)g->batch[row * V + a];
        }
        for (int half = 0; half < 2 * SWEEPS; half++)
            for (int l = 1 - half % 2; l < exact->layers; l += 2)
                for (int a = exact->first[l]; a < exact->first[l] + exact->of_layer[l]; a++) {
                    double input = exact->bias[a];
                    for (int b = 0; b < exact->units; b++) input += exact->weight[a][b] * q[b];
                    if (!seen[a]) q[a] = 1 / (1 + exp(-input));
                }
        for (int i = 0; i < V; i++)
            if (!seen[i])
                total +=
                    (double)g->batch[row * V + i] * log(q[i]) + (1 - (double)g->batch[row * V + i]) * log(1 - q[i]);
    }
    return total;
}

static double prediction_difference(const exact_dbm *exact, const one_gradient *g, double missing, int a, int b)
{
    const double step = 1e-5;
    double side[2];
    for (int up = 0; up < 2; up++) {
        exact_dbm moved = *exact;
        if (b < 0)
            moved.bias[a] += up ? step : -step;
        else
            moved.weight[a][b] = moved.weight[b][a] += up ? step : -step;
        side[up] = prediction(&moved, g, missing);
    }
    return (side[1] - side[0]) / (2 * step);
}

static void check_multi_prediction(const char *hidden)
{
    const char *sweeps[] = {"mean_field_updates", "4", NULL};
    const hm_contrast_settings how = {.missing = 0.4, .offset_rate = 0.01};
    hm_model *model = small_dbm_with(V, hidden, sweeps, 0.9, 0.5, 6, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    one_gradient g;
    double worst = 0, greatest = 0;
    one_gradient_make(&g, model, "multi_prediction", &how, random_rows(0), ROWS);
    for (int l = 0; l < exact.layers; l++) {
        const float *db = hm_pack_matrix(&model->layout, g.grad, model->machine->layer[l].bias).at;
        for (int i = 0; i < exact.of_layer[l]; i++) {
            double expected = prediction_difference(&exact, &g, how.missing, exact.first[l] + i, -1);
            worst = fmax(worst, fabs((double)db[i] - expected));
            greatest = fmax(greatest, fabs(expected));
        }
        if (l + 1 == exact.layers) break;
        hm_matrix dW = hm_pack_matrix(&model->layout, g.grad, model->machine->weights[l]);
        for (int i = 0; i < dW.rows; i++)
            for (int j = 0; j < dW.columns; j++)
                worst = fmax(worst, fabs((double)dW.at[i * dW.columns + j] -
                                         prediction_difference(&exact, &g, how.missing, exact.first[l] + i,
                                                               exact.first[l + 1] + j)));
    }
    print_message("  hidden %s: greatest error of a derivative %.2g, of up to %.2g\n", hidden, worst, greatest);
    assert_true(worst < 1e-5 && greatest > 1);
    one_gradient_free(&g);
}

static void multi_prediction_is_the_gradient_through_all_sweeps(void **state)
{
    (void)state;
    for (int shape = 0; shape < PLAIN_SHAPES; shape++) check_multi_prediction(shapes[shape].hidden);
}

/* sum over rows and layers of q'log nu + (1 - q)'log(1 - nu); R and r as the model has them, one of them moved. */
static double agreement(const hm_model *model, const one_gradient *g, double q[ROWS][DBM_UNITS_MAX],
                        const double *moved)
{
    static const char *const R[] = {"", "R1", "R2", "R3"}, *const r[] = {"", "r1", "r2", "r3"};
    const hm_machine *machine = model->machine;
    double total = 0;
    for (int row = 0; row < ROWS; row++) {
        double below[16], nu[16];
        int first = V;
        for (int i = 0; i < V; i++) below[i] = (double)g->batch[row * V + i];
        for (int l = 1; l < machine->layers; l++) {
            const double *W = moved + (small_rbm_tensor(model, R[l]).at - model->params);
            const double *b = moved + (small_rbm_tensor(model, r[l]).at - model->params);
            int lower = (int)machine->layer[l - 1].units, units = (int)machine->layer[l].units;
            for (int j = 0; j < units; j++) {
                double input = b[j];
                for (int i = 0; i < lower; i++) input += below[i] * W[i * units + j];
                nu[j] = 1 / (1 + exp(-input));
                total += q[row][first + j] * log(nu[j]) + (1 - q[row][first + j]) * log(1 - nu[j]);
            }
            first += units;
            memcpy(below, nu, sizeof nu);
        }
    }
    return total;
}

static void recognition_learns_what_mean_field_finds(void **state)
{
    (void)state;
    const char *network[] = {"recognition", "true", NULL};
    const hm_contrast_settings how = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01};
    hm_model *model = small_dbm_with(V, "[3, 2, 3]", network, 0.7, 0.5, 9, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    double q[ROWS][DBM_UNITS_MAX], *params = calloc((size_t)model->layout.size, sizeof *params), worst = 0;
    one_gradient g;
    one_gradient_make(&g, model, "likelihood", &how, random_rows(0), ROWS);
    for (int row = 0; row < ROWS; row++) {
        int64_t v = 0;
        for (int i = 0; i < V; i++) v |= (int64_t)(g.batch[row * V + i] > 0) << i;
        exact_dbm_bound(&exact, v, q[row]);
    }
    for (int64_t i = 0; i < model->layout.size; i++) params[i] = (double)model->params[i];
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        const hm_tensor *at = &model->layout.tensors[tensor];
        if (toupper(at->name[0]) != 'R') continue;
        for (int64_t i = at->offset; i < at->offset + hm_tensor_size(at); i++) {
            double was = params[i], side[2];
            for (int up = 0; up < 2; up++) {
                params[i] = was + (up ? 1e-5 : -1e-5);
                side[up] = agreement(model, &g, q, params);
            }
            params[i] = was;
            worst = fmax(worst, fabs((double)g.grad[i] - (side[1] - side[0]) / 2e-5));
        }
    }
    print_message("  greatest error of a derivative %.2g\n", worst);
    assert_true(worst < 3e-5);
    free(params);
    one_gradient_free(&g);
}

/* It starts as the pass without it, and wherever it starts, mean field finds the same bound here. */
static void recognition_does_not_change_the_bound(void **state)
{
    (void)state;
    const char *network[] = {"recognition", "true", NULL};
    double energy[2][VISIBLE_STATES];
    float v[VISIBLE_STATES * V];
    visible_states(v);
    for (int with = 0; with < 2; with++) {
        const char *none[] = {NULL};
        hm_model *model = small_dbm_with(V, "[4, 3]", with ? network : none, 0.7, 0.5, 9, &one_thread);
        hm_arena scratch;
        if (with) { /* the same machine: tensors are drawn by number */
            hm_model *plain = small_dbm_with(V, "[4, 3]", none, 0.7, 0.5, 9, &one_thread);
            for (int tensor = 0; tensor < plain->layout.count; tensor++) {
                hm_matrix from = hm_pack_matrix(&plain->layout, plain->params, tensor);
                memcpy(small_rbm_tensor(model, plain->layout.tensors[tensor].name).at, from.at,
                       (size_t)(from.rows * from.columns) * sizeof(float));
            }
            hm_model_free(plain);
            model->class->refresh(model);
        }
        assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, VISIBLE_STATES), "scratch"));
        assert_ok(model->class->free_energy(model, (hm_matrix){v, VISIBLE_STATES, V}, 0, &scratch, energy[with]));
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
    for (int64_t s = 0; s < VISIBLE_STATES; s++) assert_true(fabs(energy[0][s] - energy[1][s]) < 1e-5);
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

/* What is even: v, then h2 or labels; states of hm_machine_gibbs. */
static void check_gibbs(machine_shape shape)
{
    hm_model *model = machine_of(shape, 0.8, 0.5, 8, &one_thread);
    exact_dbm exact = exact_dbm_of(model);
    double marginals[DBM_UNITS_MAX], mean[DBM_UNITS_MAX] = {0}, square[DBM_UNITS_MAX] = {0}, expected[DBM_UNITS_MAX];
    int columns = (int)hm_state_columns(model);
    float *states = calloc((size_t)(CHAINS * columns + 64), sizeof *states);
    double *sums = calloc((size_t)(CHAINS * columns), sizeof *sums);
    hm_arena scratch;
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, CHAINS), "scratch"));
    for (int step = 0; step < BURN_IN + MEASURED; step++) {
        hm_arena_reset(&scratch);
        assert_ok(
            model->class->gibbs(model, 5, (hm_matrix){states, CHAINS, columns}, 0, (uint64_t)step, 1, &scratch, NULL));
        for (int i = 0; step >= BURN_IN && i < CHAINS * columns; i++) sums[i] += (double)states[i] / MEASURED;
    }
    for (int i = 0; i < CHAINS * columns; i++) {
        mean[i % columns] += sums[i] / CHAINS;
        square[i % columns] += sums[i] * sums[i] / CHAINS;
    }
    exact_dbm_marginals(&exact, marginals);
    for (int i = 0; i < V; i++) expected[i] = marginals[i];
    for (int i = 0; i < exact.of_layer[2]; i++) expected[V + i] = marginals[exact.first[2] + i];
    check_means("Gibbs", mean, square, expected, columns);
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
    for (int at = 0; at < SAMPLED; at++) check_gibbs(sampled[at]);
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
        scaled.bias[i < V ? i : scaled.first[2] + i - V] += (1 - beta) * (double)base[i];
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
    for (int i = 0; i < columns; i++) expected[i] = marginals[i < V ? i : scaled.first[2] + i - V];
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
        visible_states(v);
        assert_true(model->class->classifies(model));
        assert_ok(hm_arena_init(&scratch, model->class->classify_bytes(model, VISIBLE_STATES), "scratch"));
        assert_ok(model->class->classify(model, (hm_matrix){v, VISIBLE_STATES, V}, &scratch, told));
        for (int64_t s = 0; s < VISIBLE_STATES; s++) {
            exact_dbm_bound(&exact, s, q);
            for (int y = 0; y < 3; y++)
                worst = fmax(worst, fabs((double)told[s * 3 + y] - q[exact.units - exact.labels + y]));
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
        cmocka_unit_test(pairs_have_the_energy_of_doubled_layers),
        cmocka_unit_test(gradient_is_that_of_the_bound),
        cmocka_unit_test(multi_prediction_is_the_gradient_through_all_sweeps),
        cmocka_unit_test(recognition_learns_what_mean_field_finds),
        cmocka_unit_test(recognition_does_not_change_the_bound),
        cmocka_unit_test(gibbs_steps_have_the_exact_marginals),
        cmocka_unit_test(annealed_moves_have_the_exact_marginals),
        cmocka_unit_test(classes_are_told_by_mean_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
