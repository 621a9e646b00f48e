/* Training gives the same parameters, optimiser state, chains, metrics and base rates on any number of ranks as in one
 * process. */
#include "../unit/rbm_training.h"

#include "mpi_test.h"

enum { VISIBLE = 21, HIDDEN = 13, ROWS = 203, ROWS_OF_METRICS = 64 };

typedef struct recorded {
    int rows;
    double values[ROWS_OF_METRICS][HM_METRICS_MAX];
} recorded;

static hm_status record(void *state, const hm_metric_row *row)
{
    recorded *metrics = state;
    memcpy(metrics->values[metrics->rows++], row->values, sizeof metrics->values[0]);
    return HM_OK;
}

typedef struct variant {
    const char *name;
    rbm_training_options options;
} variant;

static void train(rbm_training *t, const unsigned char *data, rbm_training_options options, hm_comm *comm,
                  recorded *metrics)
{
    hm_observer observer = {record, rbm_training_no_step, metrics};
    options.comm = comm;
    *metrics = (recorded){0};
    rbm_training_start(t, small_rbm(VISIBLE, HIDDEN, 0.1, 0.1, 3, &three_threads), data, ROWS, options);
    assert_ok(hm_contrast_run(t->contrast, &observer));
}

static void same_as_serial(hm_comm *comm, const variant *v, const unsigned char *data)
{
    rbm_training ours, serial;
    recorded our_metrics, serial_metrics;
    train(&ours, data, v->options, comm, &our_metrics);
    train(&serial, data, v->options, hm_comm_serial(), &serial_metrics);
    size_t bytes = (size_t)ours.model->layout.size * sizeof(float);
    check(memcmp(ours.model->params, serial.model->params, bytes) == 0);
    for (int moment = 0; moment < ours.contrast->optimizer.moments; moment++)
        check(memcmp(ours.contrast->optimizer.moment[moment], serial.contrast->optimizer.moment[moment], bytes) == 0);
    check(our_metrics.rows == 2 && memcmp(&our_metrics, &serial_metrics, sizeof our_metrics) == 0);
    int64_t columns = ours.contrast->chains.columns;
    for (int64_t chain = 0; chain < ours.contrast->chains.rows; chain++) {
        const float *mine = ours.contrast->chains.at + chain * columns;
        const float *theirs = serial.contrast->chains.at + (ours.contrast->first_chain + chain) * columns;
        check(memcmp(mine, theirs, (size_t)columns * sizeof(float)) == 0);
    }
    check(memcmp(&ours.contrast->tempering, &serial.contrast->tempering, sizeof ours.contrast->tempering) == 0);
    /* Something was learnt, so that equality says something. */
    hm_model *fresh = small_rbm(VISIBLE, HIDDEN, 0.1, 0.1, 3, &one_thread);
    check(memcmp(ours.model->params, fresh->params, bytes) != 0);
    hm_model_free(fresh);
    if (comm->rank == 0) printf("  %s: the same bits on %d ranks\n", v->name, comm->size);
    rbm_training_end(&ours);
    rbm_training_end(&serial);
}

/* Every estimator, centred or not, with either optimiser: 20 rows in 8 shards of 2 or 3. */
static void all_updates(hm_comm *comm, const unsigned char *data)
{
    static const struct {
        const char *name;
        hm_contrast_settings how;
    } estimators[] = {
        {"pcd", {.estimator = HM_PCD, .chains = 50, .k = 2}},
        {"pt",
         {.estimator = HM_PCD,
          .sampler = HM_PARALLEL_TEMPERING,
          .temperatures = 5,
          .swap_adaptation = 0.05,
          .chains = 50,
          .k = 2}},
        {"cd", {.estimator = HM_CD, .k = 3}},
        {"exact", {.estimator = HM_EXACT}},
    };
    static const struct {
        const char *name;
        hm_optimizer_settings settings;
    } optimizers[] = {
        {"momentum", {.learning_rate = 0.05, .momentum = 0.5, .weight_decay = 0.001}},
        {"adam", {.optimizer = HM_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}},
    };
    for (int e = 0; e < 4; e++)
        for (int centered = 0; centered < 2; centered++)
            for (int o = 0; o < 2; o++) {
                char name[64];
                variant v = {.name = name, .options = {.batch = 20, .epochs = 2, .shards = 8}};
                snprintf(name, sizeof name, "%s, %s, %s", estimators[e].name, centered ? "centred" : "plain",
                         optimizers[o].name);
                v.options.how = estimators[e].how;
                v.options.how.centered = centered;
                v.options.optimizer = optimizers[o].settings;
                same_as_serial(comm, &v, data);
            }
}

/* Odd batches, as few rows as shards, more shards, sparsity, chains as many as the batch. */
static void odd_shapes(hm_comm *comm, const unsigned char *data)
{
    const hm_optimizer_settings momentum = {.learning_rate = 0.05, .momentum = 0.5};
    const variant variants[] = {
        {"33 rows, 33 chains",
         {.how = {.estimator = HM_PCD, .centered = true},
          .optimizer = momentum,
          .batch = 33,
          .epochs = 2,
          .shards = 8}},
        {"8 rows, sparse",
         {.how = {.estimator = HM_CD, .sparsity_target = 0.1, .sparsity_cost = 0.2},
          .optimizer = momentum,
          .batch = 8,
          .epochs = 2,
          .shards = 8}},
        {"100 rows, 16 shards",
         {.how = {.estimator = HM_PCD, .chains = 17}, .optimizer = momentum, .batch = 100, .epochs = 2, .shards = 16}},
    };
    for (size_t at = 0; at < sizeof variants / sizeof variants[0]; at++) same_as_serial(comm, &variants[at], data);
}

static uint32_t survey(hm_comm *comm, const unsigned char *data, float rates[VISIBLE])
{
    hm_transform transform = {.binarize = HM_BINARIZE_NONE};
    hm_source *source;
    hm_feed *feed;
    assert_ok(hm_source_memory(HM_UINT8, ROWS, VISIBLE, data, &source));
    assert_ok(hm_feed_open(source, &transform, 16, 20, 8, hm_part(8, comm->size, comm->rank), &feed));
    int64_t grey;
    uint32_t fingerprint;
    assert_ok(hm_feed_survey(feed, comm, rates, &fingerprint, &grey));
    hm_feed_close(feed);
    source->close(source);
    return fingerprint;
}

static void test(hm_comm *comm)
{
    float ours[VISIBLE], serial[VISIBLE];
    unsigned char *data = rbm_training_data(ROWS, VISIBLE, 0.3, 4);
    check(survey(comm, data, ours) == survey(hm_comm_serial(), data, serial));
    check(memcmp(ours, serial, sizeof ours) == 0);
    all_updates(comm, data);
    odd_shapes(comm, data);
    free(data);
}

int main(int argc, char **argv) { return mpi_test_main(argc, argv, test); }
