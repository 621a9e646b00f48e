/* Small RBMs with known parameters for the tests of likelihoods. */
#ifndef HM_TEST_SMALL_RBM_H
#define HM_TEST_SMALL_RBM_H

#include "infer/likelihood.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const hm_team one_thread = {1}, three_threads = {3};

#define assert_ok(call) small_rbm_ok((call), #call)

static inline void small_rbm_ok(hm_status status, const char *call)
{
    if (status != HM_OK) fail_msg("%s: %d, %s", call, (int)status, hm_error_message());
}

/* Prints both and fails unless |measured - expected| <= allowed; a NaN fails. */
#define assert_close(measured, expected, allowed) small_rbm_close(#measured, (measured), (expected), (allowed))

static inline void small_rbm_close(const char *what, double measured, double expected, double allowed)
{
    double error = fabs(measured - expected);
    print_message("  %s = %.12g, expected %.12g, difference %.3g, allowed %.3g\n", what, measured, expected, error,
                  allowed);
    if (!(error <= allowed)) fail_msg("%s = %.17g is not within %.3g of %.17g", what, measured, allowed, expected);
}

static inline hm_matrix small_rbm_tensor(const hm_model *model, const char *name)
{
    int index = hm_layout_find(&model->layout, name);
    assert_true(index >= 0);
    return hm_pack_matrix(&model->layout, model->params, index);
}

static inline void small_rbm_normal(hm_matrix m, double std, uint64_t seed, uint64_t step)
{
    hm_stream stream = {.seed = seed, .purpose = HM_RNG_INIT, .step = step};
    for (int64_t i = 0; i < m.rows * m.columns; i++) m.at[i] = (float)(std * hm_random_normal(&stream, 0, i));
}

/* p(v_i = 1) into base_rate, from all hidden configurations in float64. */
static inline void small_rbm_base_rates(hm_model *model)
{
    hm_matrix W = small_rbm_tensor(model, "W"), b = small_rbm_tensor(model, "b"), c = small_rbm_tensor(model, "c");
    hm_matrix rate = small_rbm_tensor(model, "base_rate");
    int64_t V = W.rows, H = W.columns;
    double *input = calloc((size_t)V, sizeof *input), *sum = calloc((size_t)V, sizeof *sum), total = 0;
    for (int64_t h = 0; h < (int64_t)1 << H; h++) {
        double log_p = 0;
        for (int64_t j = 0; j < H; j++) log_p += (h >> j & 1) ? (double)c.at[j] : 0;
        for (int64_t i = 0; i < V; i++) {
            input[i] = (double)b.at[i];
            for (int64_t j = 0; j < H; j++) input[i] += (h >> j & 1) ? (double)W.at[i * H + j] : 0;
            log_p += log1p(exp(-fabs(input[i]))) + fmax(input[i], 0);
        }
        total += exp(log_p);
        for (int64_t i = 0; i < V; i++) sum[i] += exp(log_p) / (1 + exp(-input[i]));
    }
    for (int64_t i = 0; i < V; i++) rate.at[i] = (float)fmin(fmax(sum[i] / total, 0.02), 0.98);
    free(input);
    free(sum);
}

/* A family's settings, chosen: pairs of key and value, NULL at the end; the rest by default. */
static inline void *chosen_settings(const hm_model_class *class, const char *const settings[])
{
    void *chosen = calloc(1, class->settings_size);
    const char *complaint = NULL;
    assert_ok(hm_settings_default(&class->settings, chosen));
    for (int at = 0; settings[at]; at += 2)
        assert_ok(
            hm_setting_parse(hm_settings_find(&class->settings, settings[at]), chosen, settings[at + 1], &complaint));
    return chosen;
}

/* A model of a family, all parameters 0. */
static inline hm_model *make_small_model(const char *family, const char *const settings[], int64_t visible,
                                         const hm_team *team)
{
    const hm_model_class *class = hm_model_find(family);
    void *chosen = chosen_settings(class, settings);
    hm_model *model;
    assert_ok(hm_model_create(class, chosen, visible, team, &model));
    hm_settings_free(&class->settings, chosen);
    free(chosen);
    return model;
}

/* It cannot be made: HM_EUSAGE, with a message that has these words in it. */
static inline void refuse_small_model(const char *family, const char *const settings[], int64_t visible,
                                      const char *words)
{
    const hm_model_class *class = hm_model_find(family);
    void *chosen = chosen_settings(class, settings);
    hm_model *model = NULL;
    hm_status status = hm_model_create(class, chosen, visible, &one_thread, &model);
    if (status != HM_EUSAGE || !strstr(hm_error_message(), words))
        fail_msg("%s: %d, '%s' without '%s'", family, (int)status, hm_error_message(), words);
    hm_error_clear();
    hm_settings_free(&class->settings, chosen);
    free(chosen);
}

/* Normal weights and biases of the given deviations; running means at `running`. */
static inline void draw_small_model(hm_model *model, double weights, double biases, float running, uint64_t seed)
{
    for (int tensor = 0; tensor < model->layout.count; tensor++) {
        hm_matrix values = hm_pack_matrix(&model->layout, model->params, tensor);
        double deviation = model->layout.tensors[tensor].products ? weights : biases;
        for (int64_t i = 0; i < values.rows * values.columns; i++) values.at[i] = running;
        if (model->layout.tensors[tensor].role == HM_LEARNT)
            small_rbm_normal(values, deviation, seed, (uint64_t)tensor);
    }
    model->class->refresh(model);
}

/* A model of family rbm with normal weights and biases of the given deviations, and the base rates of its own visible
 * units when it has few hidden units (a half otherwise). */
static inline hm_model *small_rbm(int64_t visible, int64_t hidden, double weights, double biases, uint64_t seed,
                                  const hm_team *team)
{
    char units[32];
    snprintf(units, sizeof units, "%lld", (long long)hidden);
    hm_model *model = make_small_model("rbm", (const char *const[]){"hidden", units, NULL}, visible, team);
    small_rbm_normal(small_rbm_tensor(model, "W"), weights, seed, 0);
    small_rbm_normal(small_rbm_tensor(model, "b"), biases, seed, 1);
    small_rbm_normal(small_rbm_tensor(model, "c"), biases, seed, 2);
    hm_matrix rate = small_rbm_tensor(model, "base_rate");
    for (int64_t i = 0; i < visible; i++) rate.at[i] = 0.5f;
    if (hidden <= 12) small_rbm_base_rates(model);
    model->class->refresh(model);
    return model;
}

static inline hm_workers serial_workers(const hm_team *team, int shards, uint64_t seed)
{
    return (hm_workers){.comm = hm_comm_serial(), .team = team, .shards = shards, .seed = seed, .log = hm_log_silent()};
}

#endif
