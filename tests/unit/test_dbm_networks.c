/* What a deep Boltzmann machine is trained for beside its bound: multi-prediction through unrolled mean field, and the
 * recognition network; against their definitions in float64. */
#include "small_dbm.h"

#include "boltzmann/recognition.h"
#include "one_gradient.h"
#include "numbers.h"

#include <ctype.h>

enum { V = 5, VISIBLE_STATES = 1 << V, ROWS = 24 };

static const double MISSING = 0.4; /* share of the visible units that multi-prediction predicts */

/* ---- multi-prediction ------------------------------------------------------------------------------------------- */

enum { SWEEPS = 4 };

/* J of multi-prediction, by its definition: sweeps of single units, odd layers first. */
static double prediction(const exact_dbm *exact, const void *gradient)
{
    const one_gradient *g = gradient;
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_MISSING, 0};
    double total = 0;
    for (int row = 0; row < ROWS; row++) {
        double q[DBM_UNITS_MAX] = {0};
        bool seen[DBM_UNITS_MAX] = {false};
        for (int a = 0; a < exact->units; a++) {
            q[a] = 1 / (1 + exp(-exact->bias[a]));
            seen[a] = a < V && (double)hm_random_uniform(&stream, row, a) >= MISSING;
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

static void check_multi_prediction(const char *hidden)
{
    const char *sweeps[] = {"mean_field_updates", "4", NULL};
    const hm_contrast_settings how = {.missing = MISSING, .offset_rate = 0.01};
    hm_model *model = small_dbm_with(V, hidden, sweeps, 0.9, 0.5, 6, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    one_gradient g;
    double worst = 0, greatest = 0;
    one_gradient_make(&g, model, "multi_prediction", &how, random_rows(ROWS, V, 0), ROWS);
    for (int l = 0; l < exact.layers; l++) {
        const float *db = hm_pack_matrix(&model->layout, g.grad, model->machine->layer[l].bias).at;
        for (int i = 0; i < exact.of_layer[l]; i++) {
            double expected = exact_dbm_difference(&exact, exact.first[l] + i, -1, 1e-5, prediction, &g);
            worst = numbers_worse(worst, fabs((double)db[i] - expected));
            greatest = fmax(greatest, fabs(expected));
        }
        if (l + 1 == exact.layers) break;
        hm_matrix dW = hm_pack_matrix(&model->layout, g.grad, model->machine->weights[l]);
        for (int i = 0; i < dW.rows; i++)
            for (int j = 0; j < dW.columns; j++)
                worst = numbers_worse(worst, fabs((double)dW.at[i * dW.columns + j] -
                                                  exact_dbm_difference(&exact, exact.first[l] + i,
                                                                       exact.first[l + 1] + j, 1e-5, prediction, &g)));
    }
    print_message("  hidden %s: greatest error of a derivative %.2g, of up to %.2g\n", hidden, worst, greatest);
    assert_true(worst < 1e-5 && greatest > 1);
    one_gradient_free(&g);
}

static void multi_prediction_is_the_gradient_through_all_sweeps(void **state)
{
    (void)state;
    static const char *const shapes[] = {"[4, 3]", "[3, 2, 3]", "[4]"};
    for (int shape = 0; shape < 3; shape++) check_multi_prediction(shapes[shape]);
}

/* ---- recognition ------------------------------------------------------------------------------------------------ */

/* sum over rows and layers of q'log nu + (1 - q)'log(1 - nu); R and r as the model has them, one of them moved. */
static double agreement(const hm_model *model, const one_gradient *g, double q[ROWS][DBM_UNITS_MAX],
                        const double *moved)
{
    static const char *const R[] = {"", "R1", "R2", "R3"}, *const r[] = {"", "r1", "r2", "r3"};
    const hm_machine *machine = model->machine;
    int64_t columns = model->visible + model->classes;
    double total = 0;
    for (int row = 0; row < ROWS; row++) {
        double below[16], nu[16];
        int first = V;
        for (int i = 0; i < V; i++) below[i] = (double)g->batch[row * columns + i];
        for (int l = 1; l <= hm_hidden_layers(machine); l++) {
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

/* With labels: what it finds where they are given, though the network does not see them. */
static void check_recognition(const char *hidden, const char *const settings[])
{
    const hm_contrast_settings how = {.estimator = HM_EXACT, .k = 1, .offset_rate = 0.01};
    hm_model *model = small_dbm_with(V, hidden, settings, 0.7, 0.5, 9, &three_threads);
    exact_dbm exact = exact_dbm_of(model);
    double q[ROWS][DBM_UNITS_MAX], *params = calloc((size_t)model->layout.size, sizeof *params), worst = 0;
    one_gradient g;
    one_gradient_make(&g, model, "likelihood", &how, random_rows(ROWS, V, exact.labels), ROWS);
    for (int row = 0; row < ROWS; row++) {
        const float *at = g.batch + row * (V + exact.labels);
        exact_dbm_bound_given(&exact, row_bits(at, V), row_label(at + V, exact.labels), q[row]);
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
            worst = numbers_worse(worst, fabs((double)g.grad[i] - (side[1] - side[0]) / 2e-5));
        }
    }
    print_message("  hidden %s%s: greatest error of a derivative %.2g\n", hidden,
                  exact.labels ? " and label units" : "", worst);
    assert_true(worst < 3e-5);
    free(params);
    one_gradient_free(&g);
}

static void recognition_learns_what_mean_field_finds(void **state)
{
    (void)state;
    check_recognition("[3, 2, 3]", (const char *const[]){"recognition", "true", NULL});
    check_recognition("[3, 2]",
                      (const char *const[]){"recognition", "true", "classes", "3", "label_units", "true", NULL});
}

/* Until it is made, mean field does without it; then it is the pass upward with which mean field would start. */
static void recognition_begins_as_the_pass_without_it(void **state)
{
    (void)state;
    const char *network[] = {"recognition", "true", NULL};
    hm_model *model = small_dbm_with(V, "[4, 3]", network, 0.7, 0.5, 9, &one_thread);
    const hm_recognition *recognition = model->state;
    hm_states nu = {.rows = 1};
    float x[3][64] = {{1, 0, 1, 1}};
    double worst = 0;
    for (int l = 0; l < 3; l++) nu.at[l] = x[l];
    for (int l = 1; l < 3; l++) {
        hm_matrix R = hm_pack_matrix(&model->layout, model->params, recognition->weights[l]);
        memset(R.at, 0, (size_t)(R.rows * R.columns) * sizeof(float));
    }
    model->class->refresh(model);
    assert_false(recognition->made);
    assert_ok(hm_objective_find(model->class, "likelihood")->begin(model, NULL));
    assert_true(recognition->made);
    hm_recognise(model, recognition, &nu);
    for (int l = 1; l < 3; l++) {
        hm_matrix W = hm_pack_matrix(&model->layout, model->params, model->machine->weights[l - 1]);
        for (int64_t j = 0; j < W.columns; j++) {
            double input = (double)hm_model_tensor(model, model->machine->layer[l].bias)[j];
            for (int64_t i = 0; i < W.rows; i++)
                input += (l == 1 ? 2 : 1) * (double)x[l - 1][i] * (double)W.at[i * W.columns + j];
            worst = numbers_worse(worst, fabs((double)x[l][j] - 1 / (1 + exp(-input))));
        }
    }
    numbers_within("error of a probability", worst, 1e-6);
    hm_model_free(model);
}

/* Wherever it starts, mean field finds the same bound here; also from a network that has not been made. */
static void recognition_does_not_change_the_bound(void **state)
{
    (void)state;
    const char *network[] = {"recognition", "true", NULL};
    double energy[3][VISIBLE_STATES];
    float v[VISIBLE_STATES * V];
    visible_states(V, v);
    for (int with = 0; with < 3; with++) {
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
            if (with == 2) memset(small_rbm_tensor(model, "R1").at, 0, V * 4 * sizeof(float));
            model->class->refresh(model);
        }
        assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, VISIBLE_STATES), "scratch"));
        assert_ok(model->class->free_energy(model, (hm_matrix){v, VISIBLE_STATES, V}, 0, &scratch, energy[with]));
        hm_arena_free(&scratch);
        hm_model_free(model);
    }
    for (int64_t s = 0; s < VISIBLE_STATES; s++) {
        assert_true(fabs(energy[0][s] - energy[1][s]) < 1e-5);
        assert_true(energy[0][s] == energy[2][s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multi_prediction_is_the_gradient_through_all_sweeps),
        cmocka_unit_test(recognition_learns_what_mean_field_finds),
        cmocka_unit_test(recognition_begins_as_the_pass_without_it),
        cmocka_unit_test(recognition_does_not_change_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
