/* One gradient of an objective, on one batch of all rows, for tests that compare it with a definition. */
#ifndef HM_TEST_ONE_GRADIENT_H
#define HM_TEST_ONE_GRADIENT_H

#include "small_rbm.h"
#include "train/contrast.h"

enum { ONE_GRADIENT_SEED = 7, ONE_GRADIENT_SHARDS = 4 };

/* Stays where it is: the loop borrows its fields. */
typedef struct one_gradient {
    hm_workers workers;
    hm_model *model;
    hm_source *source;
    hm_feed *feed;
    hm_contrast *contrast;
    float *data;  /* (rows, visible + classes) */
    float *batch; /* the same, in the order of the minibatch: the feed shuffles */
    float *grad;
} one_gradient;

/* objective: NULL for the family's first; turn: of two players. Takes over model and data. */
static inline void one_gradient_turn(one_gradient *g, hm_model *model, const char *objective, int64_t turn,
                                     const hm_contrast_settings *how, float *data, int64_t rows)
{
    const hm_model_class *class = model->class;
    hm_transform transform = {.binarize = HM_BINARIZE_NONE,
                              .seed = ONE_GRADIENT_SEED,
                              .real = class->takes_reals && class->takes_reals(model->settings)};
    hm_train_settings train = {.epochs = 1, .batch = rows};
    hm_optimizer_settings optimizer = {.learning_rate = 0.1};
    int64_t columns = model->visible + model->classes;
    int shards = ONE_GRADIENT_SHARDS;
    *g = (one_gradient){.workers = serial_workers(model->team, shards, ONE_GRADIENT_SEED),
                        .model = model,
                        .data = data,
                        .batch = calloc((size_t)(rows * columns + 64), sizeof(float))};
    assert_ok(hm_source_memory(HM_FLOAT32, rows, columns, data, &g->source));
    assert_ok(hm_feed_open(g->source, &transform, 64, rows, shards, (hm_range){0, shards}, &g->feed));
    assert_ok(hm_contrast_create(model, objective ? hm_objective_find(class, objective) : NULL, g->feed, &train, how,
                                 &optimizer, &g->workers, &g->contrast));
    assert_ok(hm_pack_alloc(&model->layout, "a gradient", &g->grad));
    assert_ok(hm_contrast_gradient(g->contrast, 0, 0, turn, g->grad));
    hm_feed_rows(g->feed, 0, (hm_matrix){g->batch, rows, columns});
}

static inline void one_gradient_make(one_gradient *g, hm_model *model, const char *objective,
                                     const hm_contrast_settings *how, float *data, int64_t rows)
{
    one_gradient_turn(g, model, objective, 0, how, data, rows);
}

/* Is unit i of layer l kept by dropout in a row of the batch, and by how much is it larger? As the rule is written down
 * in rng.h. */
static inline double one_gradient_kept(double rate, int l, int64_t row, int64_t i)
{
    hm_stream stream = {ONE_GRADIENT_SEED, HM_RNG_DROPOUT, (uint64_t)l};
    return (double)hm_random_uniform(&stream, row, i) < 1 - rate ? 1 / (1 - rate) : 0;
}

static inline void one_gradient_free(one_gradient *g)
{
    hm_contrast_free(g->contrast);
    hm_feed_close(g->feed);
    g->source->close(g->source);
    free(g->data), free(g->batch), free(g->grad);
    hm_model_free(g->model);
}

#endif
