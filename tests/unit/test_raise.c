/* RAISE against the distribution that AIS ends in, enumerated: p_ann(v) = sum over all paths of p_base T_1 ... T_K. */
#include "boltzmann/machine.h"
#include "infer/numeric.h"
#include "unit/small_rbm.h"

enum { VISIBLE = 5, HIDDEN = 3, VECTORS = 1 << VISIBLE, HIDDEN_STATES = 1 << HIDDEN, TEMPERATURES = 5 };
enum { LABELS = 3, UNITS = VISIBLE + LABELS, STATES = VECTORS * LABELS }; /* a state is v + VECTORS * label */

static const double ladder[TEMPERATURES] = {0, 0.3, 0.55, 0.8, 1};

/* What a path at temperature beta is made of, in float64; labels: 0, or LABELS. */
typedef struct small_model {
    int labels, states;
    double W[UNITS][HIDDEN], b[UNITS], c[HIDDEN], base[UNITS];
} small_model;

static double bit(int state, int unit)
{
    return unit < VISIBLE ? state >> unit & 1 : state / VECTORS == unit - VISIBLE;
}
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* Of a state whose units have these parameters and no neighbours. */
static double probability(const small_model *m, int state, const double parameters[UNITS])
{
    double p = 1, sum = 0;
    for (int i = 0; i < VISIBLE; i++) p *= bit(state, i) > 0 ? sigmoid(parameters[i]) : sigmoid(-parameters[i]);
    for (int y = 0; y < m->labels; y++) sum += exp(parameters[VISIBLE + y]);
    return m->labels > 0 ? p * exp(parameters[VISIBLE + state / VECTORS]) / sum : p;
}

/* p_beta(v, h) ~ exp((1 - beta) base'v + beta (b'v + c'h + v'W h)): one Gibbs sweep v -> h -> v'. */
static void transition(const small_model *m, double beta, double T[STATES][STATES])
{
    memset(T, 0, sizeof(double[STATES][STATES]));
    for (int v = 0; v < m->states; v++)
        for (int h = 0; h < HIDDEN_STATES; h++) {
            double path = 1, parameters[UNITS];
            for (int j = 0; j < HIDDEN; j++) {
                double input = m->c[j];
                for (int i = 0; i < VISIBLE + m->labels; i++) input += bit(v, i) * m->W[i][j];
                path *= bit(h, j) > 0 ? sigmoid(beta * input) : sigmoid(-beta * input);
            }
            for (int i = 0; i < VISIBLE + m->labels; i++) {
                double input = m->b[i];
                for (int j = 0; j < HIDDEN; j++) input += bit(h, j) * m->W[i][j];
                parameters[i] = (1 - beta) * m->base[i] + beta * input;
            }
            for (int to = 0; to < m->states; to++) T[v][to] += path * probability(m, to, parameters);
        }
}

static void annealed_distribution(const small_model *m, double p[STATES])
{
    static double T[STATES][STATES];
    for (int v = 0; v < m->states; v++) p[v] = probability(m, v, m->base);
    for (int t = 1; t < TEMPERATURES; t++) {
        double next[STATES] = {0};
        transition(m, ladder[t], T);
        for (int v = 0; v < m->states; v++)
            for (int to = 0; to < m->states; to++) next[to] += p[v] * T[v][to];
        memcpy(p, next, sizeof next);
    }
}

static small_model copy_model(const hm_model *model, const float base[])
{
    small_model m = {.labels = (int)model->machine->layer[0].labels};
    const float *W = small_rbm_tensor(model, "W").at, *b = small_rbm_tensor(model, "b").at;
    m.states = m.labels > 0 ? STATES : VECTORS;
    for (int i = 0; i < VISIBLE + m.labels; i++) {
        for (int j = 0; j < HIDDEN; j++) m.W[i][j] = (double)W[i * HIDDEN + j];
        m.b[i] = (double)b[i];
        m.base[i] = (double)base[i];
    }
    for (int j = 0; j < HIDDEN; j++) m.c[j] = (double)small_rbm_tensor(model, "c").at[j];
    return m;
}

/* `rows` rows, all of them the visible state v. */
static hm_matrix copies_of(int v, int64_t rows)
{
    hm_matrix out = {calloc((size_t)(rows * VISIBLE), sizeof(float)), rows, VISIBLE};
    for (int64_t row = 0; row < rows; row++)
        for (int i = 0; i < VISIBLE; i++) out.at[row * VISIBLE + i] = (float)bit(v, i);
    return out;
}

static double free_energy(const hm_model *model, const float *v)
{
    hm_arena scratch;
    double energy;
    assert_ok(hm_arena_init(&scratch, model->class->sampling_bytes(model, 1), "scratch"));
    assert_ok(model->class->free_energy(model, (hm_matrix){(float *)v, 1, model->visible}, 0, &scratch, &energy));
    hm_arena_free(&scratch);
    return energy;
}

/* E[w] = p_ann(v), labels summed out, for several v: weights of many independent rows of one run each. */
static void check_weights(hm_model *model)
{
    enum { RUNS = 20000 };
    static const int visited[] = {0, 5, 18, 31};
    float base[UNITS];
    double p[STATES], betas[TEMPERATURES];
    memcpy(betas, ladder, sizeof betas);
    hm_base_biases(model, HM_BASE_DATA, base);
    small_model m = copy_model(model, base);
    annealed_distribution(&m, p);
    for (size_t at = 0; at < sizeof visited / sizeof visited[0]; at++) {
        hm_matrix rows = copies_of(visited[at], RUNS);
        hm_workers workers = serial_workers(&three_threads, 8, 40 + at);
        hm_ais_settings settings = {.ladder = HM_LADDER_CUSTOM, .betas = {TEMPERATURES, betas}, .raise_chains = 1};
        hm_ais_result result;
        assert_ok(hm_raise(model, base, rows, &settings, 0, NULL, &workers, &result));
        assert_int_equal(result.chains, RUNS);
        for (int64_t row = 0; row < RUNS; row++) result.log_weights[row] *= -1; /* log w of each run */
        hm_log_mean mean = hm_log_mean_of(result.log_weights, RUNS);
        double log_z_base = model->class->annealing->log_z_base(model, base);
        double log_p = mean.log_mean - free_energy(model, rows.at) - log_z_base, expected = 0;
        for (int v = visited[at]; v < m.states; v += VECTORS) expected += p[v];
        assert_close(log_p, log(expected), 4 * mean.std_error);
        hm_ais_result_free(&result);
        free(rows.at);
    }
    hm_model_free(model);
}

static void weights_are_unbiased_for_the_annealed_distribution(void **state)
{
    (void)state;
    check_weights(small_rbm(VISIBLE, HIDDEN, 1.2, 0.7, 3, &three_threads));
    const char *const labelled[] = {"hidden", "3", "classes", "3", "label_units", "true", NULL};
    hm_model *model = make_small_model("rbm", labelled, VISIBLE, &three_threads);
    draw_small_model(model, 1.2, 0.7, 0.4f, 3);
    check_weights(model);
}

/* On average it is too low, for many rows and one run each; with more runs of each row less so; with a long ladder it
 * is the exact log p(v). */
static void it_is_a_lower_bound_that_becomes_tight(void **state)
{
    (void)state;
    enum { ROWS = 3000 };
    hm_model *model = small_rbm(20, 6, 1.5, 0.5, 5, &three_threads);
    hm_matrix rows = {calloc((size_t)ROWS * 20, sizeof(float)), ROWS, 20};
    hm_stream stream = {.seed = 8, .purpose = HM_RNG_SYNTH};
    for (int64_t at = 0; at < ROWS * 20; at++) rows.at[at] = hm_random_uniform(&stream, at, 0) < 0.5f;
    const struct {
        int64_t temperatures, chains;
    } runs[] = {{5, 1}, {5, 20}, {1000, 1}};
    double log_z[3], exact = NAN;
    float base[20];
    hm_workers workers = serial_workers(&three_threads, 8, 2);
    hm_base_biases(model, HM_BASE_DATA, base);
    assert_ok(hm_exact_log_z(model, &workers, &exact));
    for (int run = 0; run < 3; run++) {
        hm_ais_settings settings = {.temperatures = runs[run].temperatures, .raise_chains = runs[run].chains};
        hm_ais_result result;
        assert_ok(hm_raise(model, base, rows, &settings, 0, NULL, &workers, &result));
        print_message("  %lld temperatures, %lld runs a row: log Z %.4f +- %.4f, exact %.4f, spread %.3f, ESS %.2f\n",
                      (long long)result.temperatures, (long long)runs[run].chains, result.log_z, result.log_z_stderr,
                      exact, result.log_weight_spread, result.ess);
        assert_true(result.ess > 1 - 1e-9 && result.ess < (double)runs[run].chains + 1e-9);
        assert_true(result.log_z > exact - 3 * result.log_z_stderr);
        log_z[run] = result.log_z;
        if (run == 2) assert_close(result.log_z, exact, 0.05);
        hm_ais_result_free(&result);
    }
    assert_true(log_z[0] > exact + 0.1); /* a short ladder shows */
    assert_true(log_z[1] < log_z[0] && log_z[2] < log_z[1]);
    free(rows.at);
    hm_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_unbiased_for_the_annealed_distribution),
        cmocka_unit_test(it_is_a_lower_bound_that_becomes_tight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
