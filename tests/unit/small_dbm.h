/* Small deep Boltzmann machines and what is true of them, by enumeration of all layers in float64. */
#ifndef HM_TEST_SMALL_DBM_H
#define HM_TEST_SMALL_DBM_H

#include "boltzmann/machine.h"
#include "small_rbm.h"

enum { DBM_LAYERS_MAX = 5, DBM_UNITS_MAX = 16 };

/* A machine in float64: units of all layers one after another, biases, and weights as a symmetric matrix. */
typedef struct exact_dbm {
    int layers, units, of_layer[DBM_LAYERS_MAX], first[DBM_LAYERS_MAX];
    int labels; /* the last so many units are one group, of which one is on */
    double bias[DBM_UNITS_MAX], weight[DBM_UNITS_MAX][DBM_UNITS_MAX];
} exact_dbm;

static inline exact_dbm exact_dbm_of(const hm_model *model)
{
    const hm_machine *machine = model->machine;
    exact_dbm exact = {.layers = machine->layers, .labels = (int)machine->layer[machine->layers - 1].labels};
    for (int l = 0; l < exact.layers; l++) {
        exact.of_layer[l] = (int)machine->layer[l].units;
        exact.first[l] = exact.units;
        for (int i = 0; i < exact.of_layer[l]; i++)
            exact.bias[exact.units + i] = (double)hm_model_tensor(model, machine->layer[l].bias)[i];
        exact.units += exact.of_layer[l];
    }
    for (int l = 0; l + 1 < exact.layers; l++) {
        const float *W = hm_model_tensor(model, machine->weights[l]);
        for (int i = 0; i < exact.of_layer[l]; i++)
            for (int j = 0; j < exact.of_layer[l + 1]; j++) {
                int a = exact.first[l] + i, b = exact.first[l + 1] + j;
                exact.weight[a][b] = exact.weight[b][a] = (double)W[i * exact.of_layer[l + 1] + j];
            }
    }
    return exact;
}

/* -E of a configuration, unit u is bit u; -infinity of one that cannot be. */
static inline double exact_dbm_score(const exact_dbm *exact, int64_t x)
{
    double score = 0;
    int labels_on = 0;
    for (int a = exact->units - exact->labels; a < exact->units; a++) labels_on += (int)(x >> a & 1);
    if (exact->labels > 0 && labels_on != 1) return -INFINITY;
    for (int a = 0; a < exact->units; a++) {
        if (!(x >> a & 1)) continue;
        score += exact->bias[a];
        for (int b = 0; b < a; b++) score += (x >> b & 1) ? exact->weight[a][b] : 0;
    }
    return score;
}

/* log of the sum of exp(-E) over configurations whose first `fixed` units are the bits of v. */
static inline double exact_dbm_log_sum(const exact_dbm *exact, int64_t v, int fixed)
{
    double sum = 0;
    for (int64_t rest = 0; rest < (int64_t)1 << (exact->units - fixed); rest++)
        sum += exp(exact_dbm_score(exact, v | rest << fixed));
    return log(sum);
}

static inline double exact_dbm_log_z(const exact_dbm *exact) { return exact_dbm_log_sum(exact, 0, 0); }

/* p(unit = 1) of every unit. */
static inline void exact_dbm_marginals(const exact_dbm *exact, double marginals[DBM_UNITS_MAX])
{
    double log_z = exact_dbm_log_z(exact);
    for (int a = 0; a < exact->units; a++) marginals[a] = 0;
    for (int64_t x = 0; x < (int64_t)1 << exact->units; x++) {
        double p = exp(exact_dbm_score(exact, x) - log_z);
        for (int a = 0; a < exact->units; a++) marginals[a] += (x >> a & 1) ? p : 0;
    }
}

static inline double exact_dbm_input(const exact_dbm *exact, int a, const double q[DBM_UNITS_MAX])
{
    double input = exact->bias[a];
    for (int b = 0; b < exact->units; b++) input += exact->weight[a][b] * q[b];
    return input;
}

static inline double minus_x_log_x(double x) { return x > 0 ? -x * log(x) : 0; }

/* The greatest bound E_q[-E] + H(q) of a factorial q of what is not given, by coordinate ascent one unit, or the group
 * of labels, at a time; q receives it. Given: v, and a label unless that is -1. */
static inline double exact_dbm_bound_given(const exact_dbm *exact, int64_t v, int label, double q[DBM_UNITS_MAX])
{
    int V = exact->of_layer[0], first_label = exact->units - exact->labels;
    double bound = 0;
    for (int a = 0; a < first_label; a++) q[a] = a < V ? (double)(v >> a & 1) : 0.5;
    for (int a = first_label; a < exact->units; a++) q[a] = label < 0 ? 1.0 / exact->labels : a - first_label == label;
    for (int sweep = 0; sweep < 2000; sweep++) {
        double p[DBM_UNITS_MAX], sum = 0;
        for (int a = V; a < first_label; a++) q[a] = 1 / (1 + exp(-exact_dbm_input(exact, a, q)));
        for (int a = first_label; a < exact->units; a++) sum += p[a] = exp(exact_dbm_input(exact, a, q));
        for (int a = first_label; label < 0 && a < exact->units; a++) q[a] = p[a] / sum;
    }
    for (int a = 0; a < exact->units; a++) {
        bound += exact->bias[a] * q[a];
        for (int b = 0; b < a; b++) bound += exact->weight[a][b] * q[a] * q[b];
        bound += minus_x_log_x(q[a]) + (a < first_label ? minus_x_log_x(1 - q[a]) : 0);
    }
    return bound;
}

static inline double exact_dbm_bound(const exact_dbm *exact, int64_t v, double q[DBM_UNITS_MAX])
{
    return exact_dbm_bound_given(exact, v, -1, q);
}

/* Central difference, with so large a step, of what `function` makes of the machine, by a bias (b < 0) or a weight. */
static inline double exact_dbm_difference(const exact_dbm *exact, int a, int b, double step,
                                          double (*function)(const exact_dbm *, const void *), const void *context)
{
    double side[2];
    for (int up = 0; up < 2; up++) {
        exact_dbm moved = *exact;
        if (b < 0)
            moved.bias[a] += up ? step : -step;
        else
            moved.weight[a][b] = moved.weight[b][a] += up ? step : -step;
        side[up] = function(&moved, context);
    }
    return (side[1] - side[0]) / (2 * step);
}

/* A model of family dbm with normal weights and biases of the given deviations; hidden as "[3, 2]". Mean field runs
 * until nothing moves. more: further settings and their values, NULL at the end. */
static inline hm_model *small_dbm_with(int64_t visible, const char *hidden, const char *const more[], double weights,
                                       double biases, uint64_t seed, const hm_team *team)
{
    const char *chosen[16] = {"hidden", hidden, "mean_field_updates", "500", "mean_field_tolerance", "1e-7"};
    for (int at = 0; more[at]; at++) chosen[6 + at] = more[at];
    hm_model *model = make_small_model("dbm", chosen, visible, team);
    draw_small_model(model, weights, biases, 0.5f, seed);
    return model;
}

/* One with label units, of so many classes, unless classes is NULL; its network has not been made. */
static inline hm_model *labelled_dbm(int64_t visible, const char *hidden, const char *classes, double weights,
                                     double biases, uint64_t seed, const hm_team *team)
{
    const char *more[] = {classes ? "classes" : NULL, classes, "label_units", "true", NULL};
    hm_model *model = small_dbm_with(visible, hidden, more, weights, biases, seed, team);
    if (!classes) return model;
    hm_matrix N = small_rbm_tensor(model, "N1");
    memset(N.at, 0, (size_t)(N.rows * N.columns) * sizeof(float));
    model->class->refresh(model);
    return model;
}

static inline hm_model *small_dbm(int64_t visible, const char *hidden, double weights, double biases, uint64_t seed,
                                  const hm_team *team)
{
    return labelled_dbm(visible, hidden, NULL, weights, biases, seed, team);
}

/* All states of the visible units, (2^visible, visible). */
static inline void visible_states(int visible, float *v)
{
    for (int64_t s = 0; s < (int64_t)1 << visible; s++)
        for (int i = 0; i < visible; i++) v[s * visible + i] = (float)(s >> i & 1);
}

/* The bits of a row, and which of its labels is on, or -1. */
static inline int64_t row_bits(const float *row, int visible)
{
    int64_t v = 0;
    for (int i = 0; i < visible; i++) v |= (int64_t)(row[i] > 0) << i;
    return v;
}

static inline int row_label(const float *labels, int classes)
{
    for (int y = 0; y < classes; y++)
        if (labels[y] > 0) return y;
    return -1;
}

/* Rows of random bits, and a label each when there are classes; the caller frees them. */
static inline float *random_rows(int rows, int visible, int classes)
{
    int columns = visible + classes;
    float *data = calloc((size_t)(rows * columns), sizeof *data);
    hm_stream stream = {.seed = 3, .purpose = HM_RNG_SYNTH};
    for (int row = 0; row < rows; row++) {
        for (int i = 0; i < visible; i++)
            data[row * columns + i] = hm_random_uniform(&stream, row, i) < 0.4f ? 1.0f : 0.0f;
        if (classes > 0)
            data[row * columns + visible + (int)hm_random_below(&stream, row, visible, (uint64_t)classes)] = 1;
    }
    return data;
}

#endif
