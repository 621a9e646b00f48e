/* CD and PCD gradients, averaged over many updates with frozen parameters, against the exact gradient: the bias of CD
 * shrinks as k grows and vanishes; persistent chains have none once they have forgotten their start. Neither depends on
 * the number of shards. */
#include "rbm_training.h"

#include <float.h>

enum { V = 6, H = 4, COUNT = V * H + V + H, ROWS = 40, BLOCKS = 60 };

/* In units of the exact gradient's size. */
typedef struct bias {
    double distance; /* of the mean gradient to the exact one */
    double noise;    /* root mean square of that distance if there were no bias: from the spread of block means */
    double worst;    /* largest |mean - exact| of an element, in its standard errors */
} bias;

typedef struct sampling {
    hm_contrast_settings how;
    int burn_in, block; /* updates; a block is long against the chains' memory */
} sampling;

/* Mean gradient of each block of updates into means (BLOCKS, COUNT). */
static void block_means(rbm_training *t, const sampling *s, double *means)
{
    float *grad;
    assert_ok(hm_pack_alloc(&t->model->layout, "a gradient", &grad));
    for (int update = -s->burn_in; update < BLOCKS * s->block; update++) {
        assert_ok(hm_contrast_gradient(t->contrast, 0, 0, 0, grad));
        t->contrast->step++; /* another step of the random streams */
        if (update < 0) continue;
        double *flat = rbm_flat_gradient(t->model, grad), *mean = means + update / s->block * COUNT;
        for (int p = 0; p < COUNT; p++) mean[p] += flat[p] / s->block;
        free(flat);
    }
    free(grad);
}

static bias compare(const double *means, const double *exact)
{
    bias found = {0};
    for (int p = 0; p < COUNT; p++) {
        double mean = 0, variance = 0;
        for (int block = 0; block < BLOCKS; block++) mean += means[block * COUNT + p] / BLOCKS;
        for (int block = 0; block < BLOCKS; block++) {
            double deviation = means[block * COUNT + p] - mean;
            variance += deviation * deviation / (BLOCKS - 1) / BLOCKS; /* of the mean */
        }
        double off = mean - exact[p];
        found.distance += off * off;
        found.noise += variance;
        found.worst = fmax(found.worst, fabs(off) / sqrt(variance));
    }
    double size = rbm_norm(exact, COUNT);
    found.distance = sqrt(found.distance) / size;
    found.noise = sqrt(found.noise) / size;
    return found;
}

static bias bias_of(sampling s)
{
    rbm_training t;
    unsigned char *data = rbm_training_data(ROWS, V, 0.4, 3);
    hm_model *model = small_rbm(V, H, 3, 0.5, 11, &one_thread);
    double *theta = rbm_parameters(model), *exact = rbm_numeric_gradient(theta, V, H, data, ROWS);
    double *means = calloc(BLOCKS * COUNT, sizeof *means);
    rbm_training_start(&t, model, data, ROWS, (rbm_training_options){.how = s.how});
    block_means(&t, &s, means);
    bias found = compare(means, exact);
    print_message("  %s-%lld, %lld chains: off by %.4f of the gradient's size, noise %.4f; worst element %.1f standard "
                  "errors\n",
                  s.how.estimator == HM_CD ? "CD" : "PCD", (long long)s.how.k, (long long)s.how.chains, found.distance,
                  found.noise, found.worst);
    free(theta), free(exact), free(means), free(data);
    rbm_training_end(&t);
    return found;
}

/* The squared distance of an unbiased mean has mean noise^2 and a standard deviation of at most sqrt(2) noise^2. */
static void assert_unbiased(bias b)
{
    assert_true(b.noise > 0 && b.noise < 0.03); /* fine enough to see a bias */
    assert_true(b.distance <= 3 * b.noise);
    assert_true(b.worst <= 5);
}

static void cd_gradient_approaches_exact_with_k(void **state)
{
    (void)state;
    static const int64_t steps[] = {1, 2, 4, 50};
    bias last = {.distance = INFINITY};
    for (int at = 0; at < 4; at++) {
        bias b = bias_of((sampling){.how = {.estimator = HM_CD, .k = steps[at]}, .block = 100});
        assert_true(b.distance + 3 * b.noise < last.distance - 3 * last.noise); /* by more than chance */
        if (at == 0) assert_true(b.distance > 0.1); /* CD-1 is biased: otherwise this proves nothing */
        last = b;
    }
    assert_unbiased(last);
}

static void pcd_gradient_is_exact_after_burn_in(void **state)
{
    (void)state;
    assert_unbiased(bias_of((sampling){.how = {.estimator = HM_PCD, .k = 1, .chains = 400},
                                       .burn_in = 500,
                                       .block = 200})); /* more chains than rows */
    assert_unbiased(
        bias_of((sampling){.how = {.estimator = HM_PCD, .k = 5, .chains = 25}, .burn_in = 100, .block = 200}));
    assert_unbiased(bias_of((sampling){.how = {.estimator = HM_PCD, .k = 5}, .burn_in = 100, .block = 200}));
}

/* What one row of metrics and one gradient say after an epoch that moves no parameter. */
typedef struct seen {
    double metrics[HM_METRICS_MAX];
    double *gradient;
} seen;

static hm_status keep_row(void *state, const hm_metric_row *row)
{
    memcpy(((seen *)state)->metrics, row->values, sizeof((seen *)state)->metrics);
    return HM_OK;
}

static seen see(hm_contrast_settings how, int shards)
{
    rbm_training t;
    seen result = {0};
    float *grad;
    hm_observer observer = {keep_row, rbm_training_no_step, &result};
    unsigned char *data = calloc(ROWS * V, 1);
    for (int row = 0; row < ROWS; row++) data[row * V + 1] = data[row * V + 4] = 255;
    rbm_training_start(&t, small_rbm(V, H, 1, 0.5, 11, &one_thread), data, ROWS,
                       (rbm_training_options){.how = how, .shards = shards});
    assert_ok(hm_pack_alloc(&t.model->layout, "a gradient", &grad));
    assert_ok(hm_contrast_run(t.contrast, &observer));
    assert_ok(hm_contrast_gradient(t.contrast, 1, 0, 0, grad));
    result.gradient = rbm_flat_gradient(t.model, grad);
    free(grad), free(data);
    rbm_training_end(&t);
    return result;
}

/* Numbers are drawn for a row of the minibatch and for a chain, whatever shard it is in. With rows that are all the
 * same, their order in the minibatch does not matter, and only roundings may differ. */
static void random_numbers_do_not_depend_on_shards(void **state)
{
    (void)state;
    const hm_contrast_settings settings[] = {{.estimator = HM_CD}, {.estimator = HM_PCD, .chains = 50, .k = 2}};
    for (int at = 0; at < 2; at++) {
        seen one = see(settings[at], 1);
        for (int shards = 2; shards <= 16; shards *= 2) {
            seen many = see(settings[at], shards);
            for (int metric = 0; metric < 3; metric++)
                assert_true(fabs(many.metrics[metric] - one.metrics[metric]) <= 1e-9);
            /* float32 sums of ROWS terms; one state that differs would move the gradient by about 1 */
            assert_true(rbm_distance(many.gradient, one.gradient, COUNT) <=
                        ROWS * FLT_EPSILON * rbm_norm(one.gradient, COUNT));
            free(many.gradient);
        }
        assert_true(rbm_norm(one.gradient, COUNT) > 1);
        free(one.gradient);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cd_gradient_approaches_exact_with_k),
        cmocka_unit_test(random_numbers_do_not_depend_on_shards),
        cmocka_unit_test(pcd_gradient_is_exact_after_burn_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
