/* A small RBM with a contrast loop around it, and its exact likelihood in float64, for the tests of training. */
#ifndef HM_TEST_RBM_TRAINING_H
#define HM_TEST_RBM_TRAINING_H

#include "small_rbm.h"
#include "train/contrast.h"

/* What a test varies; the rest has defaults (rbm_training_start). */
typedef struct rbm_training_options {
    hm_contrast_settings how;
    hm_optimizer_settings optimizer;
    int64_t batch, epochs, monitor_every;
    int shards;
    hm_comm *comm; /* NULL: serial */
} rbm_training_options;

/* Stays where it is: the loop borrows its fields. */
typedef struct rbm_training {
    hm_workers workers;
    hm_model *model;
    hm_source *source;
    hm_feed *feed;
    hm_contrast *contrast;
} rbm_training;

/* data: (rows, visible) bytes, 0 or 255. Takes over the model. */
static inline void rbm_training_start(rbm_training *t, hm_model *model, const unsigned char *data, int64_t rows,
                                      rbm_training_options options)
{
    hm_transform transform = {.binarize = HM_BINARIZE_NONE, .seed = 7};
    hm_train_settings train = {.epochs = options.epochs ? options.epochs : 1,
                               .batch = options.batch ? options.batch : rows,
                               .monitor_every = options.monitor_every};
    int shards = options.shards ? options.shards : 4;
    if (options.how.offset_rate == 0) options.how.offset_rate = 0.01;
    if (options.how.k == 0) options.how.k = 1;
    *t = (rbm_training){.workers = serial_workers(model->team, shards, 7), .model = model};
    if (options.comm) t->workers.comm = options.comm;
    assert_ok(hm_source_memory(HM_UINT8, rows, model->visible, data, &t->source));
    hm_range own = hm_part(shards, t->workers.comm->size, t->workers.comm->rank);
    assert_ok(hm_feed_open(t->source, &transform, 1024, train.batch, shards, own, &t->feed));
    assert_ok(
        hm_contrast_create(model, NULL, t->feed, &train, &options.how, &options.optimizer, &t->workers, &t->contrast));
}

static inline void rbm_training_end(rbm_training *t)
{
    hm_contrast_free(t->contrast);
    hm_feed_close(t->feed);
    t->source->close(t->source);
    hm_model_free(t->model);
}

static inline hm_status rbm_training_no_row(void *state, const hm_metric_row *row)
{
    (void)state, (void)row;
    return HM_OK;
}
static inline hm_status rbm_training_no_step(void *state, const hm_contrast *contrast)
{
    (void)state, (void)contrast;
    return HM_OK;
}
static const hm_observer rbm_training_unobserved = {rbm_training_no_row, rbm_training_no_step, NULL};

/* Random rows, each unit on with the given probability. */
static inline unsigned char *rbm_training_data(int64_t rows, int64_t visible, double rate, uint64_t seed)
{
    unsigned char *data = malloc((size_t)(rows * visible));
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_SYNTH};
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < visible; i++)
            data[row * visible + i] = (double)hm_random_uniform(&stream, row, i) < rate ? 255 : 0;
    return data;
}

/* ---- the exact likelihood, float64, by enumeration of both layers ----------------------------------------------- */

/* Parameters as float64: W (V, H), b (V), c (H), one after another. */
static inline double *rbm_parameters(const hm_model *model)
{
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    double *theta = malloc((size_t)(W.rows * W.columns + W.rows + W.columns) * sizeof *theta), *at = theta;
    for (int64_t i = 0; i < W.rows * W.columns; i++) *at++ = (double)W.at[i];
    for (int64_t i = 0; i < W.rows; i++) *at++ = (double)b.at[i];
    for (int64_t i = 0; i < W.columns; i++) *at++ = (double)c.at[i];
    return theta;
}

/* E(v, h) = -b'v - c'h - v'W h; v and h in bits. */
static inline double rbm_energy(const double *theta, int64_t V, int64_t H, int64_t v, int64_t h)
{
    const double *b = theta + V * H, *c = b + V;
    double energy = 0;
    for (int64_t j = 0; j < H; j++) energy -= (h >> j & 1) ? c[j] : 0;
    for (int64_t i = 0; i < V; i++) {
        if (!(v >> i & 1)) continue;
        energy -= b[i];
        for (int64_t j = 0; j < H; j++) energy -= (h >> j & 1) ? theta[i * H + j] : 0;
    }
    return energy;
}

/* log sum_h exp(-E(v, h)) by its definition: the models of these tests are far from overflow. */
static inline double rbm_log_p_star(const double *theta, int64_t V, int64_t H, int64_t v)
{
    double total = 0;
    for (int64_t h = 0; h < (int64_t)1 << H; h++) total += exp(-rbm_energy(theta, V, H, v, h));
    return log(total);
}

static inline double rbm_log_z(const double *theta, int64_t V, int64_t H)
{
    double total = 0;
    for (int64_t v = 0; v < (int64_t)1 << V; v++) total += exp(rbm_log_p_star(theta, V, H, v));
    return log(total);
}

static inline int64_t rbm_bits(const unsigned char *row, int64_t V)
{
    int64_t v = 0;
    for (int64_t i = 0; i < V; i++) v |= (int64_t)(row[i] != 0) << i;
    return v;
}

/* Sum over rows of log p(v). */
static inline double rbm_log_likelihood(const double *theta, int64_t V, int64_t H, const unsigned char *data,
                                        int64_t rows)
{
    double total = -(double)rows * rbm_log_z(theta, V, H);
    for (int64_t row = 0; row < rows; row++) total += rbm_log_p_star(theta, V, H, rbm_bits(data + row * V, V));
    return total;
}

/* d log-likelihood / d theta by central differences: as many as theta has. The caller frees it. */
static inline double *rbm_numeric_gradient(double *theta, int64_t V, int64_t H, const unsigned char *data, int64_t rows)
{
    const double step = 1e-5;
    int64_t count = V * H + V + H;
    double *gradient = malloc((size_t)count * sizeof *gradient);
    for (int64_t p = 0; p < count; p++) {
        double before = theta[p];
        theta[p] = before + step;
        double up = rbm_log_likelihood(theta, V, H, data, rows);
        theta[p] = before - step;
        double down = rbm_log_likelihood(theta, V, H, data, rows);
        theta[p] = before;
        gradient[p] = (up - down) / (2 * step);
    }
    return gradient;
}

/* A gradient pack in the order of rbm_parameters. The caller frees it. */
static inline double *rbm_flat_gradient(const hm_model *model, float *grad)
{
    static const char *const names[] = {"W", "b", "c"};
    double *flat = malloc((size_t)model->layout.size * sizeof *flat), *at = flat;
    for (int tensor = 0; tensor < 3; tensor++) {
        hm_matrix m = hm_pack_matrix(&model->layout, grad, hm_layout_find(&model->layout, names[tensor]));
        for (int64_t i = 0; i < m.rows * m.columns; i++) *at++ = (double)m.at[i];
    }
    return flat;
}

/* p(h_j = 1 | v), v in bits. */
static inline double rbm_hidden_mean(const double *theta, int64_t V, int64_t H, int64_t v, int64_t j)
{
    double x = theta[V * H + V + j];
    for (int64_t i = 0; i < V; i++) x += (v >> i & 1) ? theta[i * H + j] : 0;
    return 1 / (1 + exp(-x));
}

static inline double rbm_norm(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static inline double rbm_distance(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum);
}

#endif
