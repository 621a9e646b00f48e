/* Generative adversarial nets (Goodfellow et al. 2014): a generator x = G(z) of noise z, and a discriminator with one
 * output a(x) that tells made rows from those of the data. In turn, each climbs its own objective:
 *
 *                      discriminator                              generator
 *   minimax            log s(a(x)) + log(1 - s(a(G)))             - log(1 - s(a(G)))            s: sigmoid
 *   non_saturating     the same                                   log s(a(G))
 *   least_squares      - ((a(x) - 1)^2 + a(G)^2) / 2              - (a(G) - 1)^2 / 2            Mao et al. 2017
 *   wasserstein        a(x) - a(G) - w (|da/dx^| - 1)^2           a(G)                          Gulrajani et al. 2017
 *
 * with x^ = u x + (1 - u) G, u uniform. The penalty's gradient is a derivative of a derivative: with r = d penalty / d
 * (da/dx^), it is that of r'da/dx^, the derivative of a along r, which tangent rows carry through the net (net.h).
 */
#include "core/kernels.h"
#include "core/memory.h"
#include "infer/numeric.h"
#include "nets/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings and tensors --------------------------------------------------------------------------------------- */

typedef enum noise_kind { UNIFORM, NORMAL } noise_kind;
typedef enum range_kind { UNIT, SYMMETRIC, REAL } range_kind;
static const char *const noise_names[] = {"uniform", "normal", NULL};
static const char *const range_names[] = {"unit", "symmetric", "real", NULL};

typedef struct gan_settings {
    char *generator, *discriminator;
    int64_t noise_units;
    int noise, range;
} gan_settings;

#define FIELD(NAME) .offset = offsetof(gan_settings, NAME)
static const hm_setting gan_entries[] = {
    {.key = "generator",
     .type = HM_SET_LIST,
     FIELD(generator),
     .describe = "layers from the noise to the data, the last one of as many units as the data has columns"},
    {.key = "discriminator",
     .type = HM_SET_LIST,
     FIELD(discriminator),
     .describe = "layers from the data to one unit, dense 1, without a sigmoid"},
    {.key = "noise_units",
     .type = HM_SET_INT,
     FIELD(noise_units),
     .min = 1,
     .max = 1000000,
     .fallback = "100",
     .describe = "units of noise"},
    {.key = "noise",
     .type = HM_SET_CHOICE,
     FIELD(noise),
     .choices = noise_names,
     .fallback = "normal",
     .describe = "distribution of the noise: uniform from -1 to 1, or standard normal"},
    {.key = "range",
     .type = HM_SET_CHOICE,
     FIELD(range),
     .choices = range_names,
     .fallback = "unit",
     .describe =
         "what the generator makes of data from 0 to 1: unit, 0 to 1 (sigmoid); symmetric, -1 to 1 (tanh); real: data "
         "of any numbers, as they are"},
    {.key = NULL},
};
#undef FIELD

typedef enum loss_kind { MINIMAX, NON_SATURATING, LEAST_SQUARES, WASSERSTEIN } loss_kind;

typedef struct gan {
    hm_net generator, discriminator;
    hm_program generator_turn, discriminator_turn, critic_turn; /* a critic has a penalty on its gradient */
} gan;

enum { GENERATED, JUDGED, BETWEEN }; /* passes */

static gan *gan_of(const hm_model *model) { return model->state; }
static const gan_settings *settings_of(const hm_model *model) { return model->settings; }
static bool takes_reals(const void *settings) { return ((const gan_settings *)settings)->range == REAL; }

/* ---- noise and rows ---------------------------------------------------------------------------------------------- */

static void draw_noise(const hm_model *model, const hm_stream *stream, int64_t row, float *z)
{
    int64_t units = settings_of(model)->noise_units;
    if (settings_of(model)->noise == NORMAL) {
        hm_kernels_best()->normal(stream, row, units, z);
        return;
    }
    hm_kernels_best()->uniform(stream, row, units, z);
    for (int64_t u = 0; u < units; u++) z[u] = 2 * z[u] - 1;
}

/* Data in the generator's range, in place. */
static void to_range(const hm_model *model, int64_t n, float *x)
{
    for (int64_t i = 0; settings_of(model)->range == SYMMETRIC && i < n; i++) x[i] = 2 * x[i] - 1;
}

static hm_status enter(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    int64_t rows = shard->data.rows, units = settings_of(model)->noise_units;
    hm_stream stream = {shard->seed, HM_RNG_NOISE, shard->step * 8};
    float *z;
    (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, rows * units, &z));
    for (int64_t row = 0; row < rows; row++) draw_noise(model, &stream, shard->first_row + row, z + row * units);
    work->pass[GENERATED] = hm_pass_of(shard, 1, z);
    return HM_OK;
}

static const float *generated(const hm_model *model, const hm_work *work)
{
    return work->pass[GENERATED].at[gan_of(model)->generator.count];
}

/* ---- the discriminator's turn ------------------------------------------------------------------------------------ */

/* Room for rows of the data, as many made ones and, with a penalty, those between and their tangents; the first two
 * filled in. */
static hm_status stack(const hm_model *model, hm_shard *shard, hm_work *work, int blocks)
{
    int64_t rows = shard->data.rows, size = rows * model->visible;
    float *x;
    HM_TRY(hm_arena_floats(shard->scratch, blocks * size, &x));
    hm_shard_visible(model, shard, x);
    to_range(model, size, x);
    memcpy(x + size, generated(model, work), (size_t)size * sizeof(float));
    work->pass[JUDGED] = hm_pass_of(shard, blocks, x);
    /* As many blocks as there may be: no two rows share random numbers. */
    work->pass[JUDGED].first_row = 4 * shard->first_row;
    work->pass[JUDGED].parts = 2;
    return HM_OK;
}

/* x^ between them, as a third block, in a pass of its own: backward from ones, it gives da/dx^. */
static hm_status stand_between(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    int64_t rows = shard->data.rows, V = model->visible;
    hm_stream stream = {shard->seed, HM_RNG_NOISE, shard->step * 8 + 1};
    (void)argument;
    HM_TRY(stack(model, shard, work, 4));
    float *x = work->pass[JUDGED].at[0];
    for (int64_t row = 0; row < rows; row++) {
        float u = hm_random_uniform(&stream, shard->first_row + row, 0);
        for (int64_t i = 0; i < V; i++)
            x[(2 * rows + row) * V + i] = u * x[row * V + i] + (1 - u) * x[(rows + row) * V + i];
    }
    work->pass[BETWEEN] = hm_pass_of(shard, 1, x + 2 * rows * V);
    /* The rows whose tangents come later, with the same random numbers. */
    work->pass[BETWEEN].first_row = work->pass[JUDGED].first_row + 2 * rows;
    work->pass[BETWEEN].back = work->pass[BETWEEN].frozen = true;
    return HM_OK;
}

static hm_status from_ones(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    hm_pass *pass = &work->pass[BETWEEN];
    (void)model, (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, pass->rows, &pass->delta));
    for (int64_t row = 0; row < pass->rows; row++) pass->delta[row] = 1;
    return HM_OK;
}

/* r = - 2 w (|g| - 1) g / |g|, g = da/dx^: the tangents of the rows between. */
static hm_status penalise(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    int64_t rows = shard->data.rows, V = model->visible;
    const float *g = work->pass[BETWEEN].delta;
    float *r = work->pass[JUDGED].at[0] + 3 * rows * V;
    (void)argument;
    for (int64_t row = 0; row < rows; row++) {
        double norm = sqrt(hm_kernels_best()->dot(V, g + row * V, g + row * V));
        double factor = norm > 0 ? -2 * shard->how->gradient_penalty * (norm - 1) / norm : 0;
        for (int64_t i = 0; i < V; i++) r[row * V + i] = (float)(factor * (double)g[row * V + i]);
    }
    work->pass[JUDGED].parts = 1;
    work->pass[JUDGED].tangents = rows;
    return HM_OK;
}

static double sigmoid(double a) { return 1 / (1 + exp(-a)); }

/* d objective / d a of the discriminator, for a row of the data or a made one. */
static double discriminate(loss_kind kind, double a, bool real)
{
    switch (kind) {
    case MINIMAX:
    case NON_SATURATING: return real ? 1 - sigmoid(a) : -sigmoid(a);
    case LEAST_SQUARES: return real ? 1 - a : -a;
    case WASSERSTEIN: break;
    }
    return real ? 1 : -1;
}

/* ... and of the generator. */
static double deceive(loss_kind kind, double a)
{
    switch (kind) {
    case MINIMAX: return sigmoid(a);
    case NON_SATURATING: return 1 - sigmoid(a);
    case LEAST_SQUARES: return 1 - a;
    case WASSERSTEIN: break;
    }
    return 1;
}

/* Rows between have no gradient of their own, and their tangents 1: of the derivative along r. */
static hm_status discriminator_loss(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    hm_pass *pass = &work->pass[JUDGED];
    loss_kind kind = (loss_kind)shard->objective->kind;
    const float *a = pass->at[gan_of(model)->discriminator.count];
    int64_t rows = shard->data.rows;
    (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, pass->rows, &pass->delta));
    for (int64_t row = 0; row < pass->rows; row++) {
        int64_t block = row / rows;
        pass->delta[row] = block < 2 ? (float)discriminate(kind, (double)a[row], block == 0) : (float)(block - 2);
    }
    return HM_OK;
}

/* ---- the generator's turn ---------------------------------------------------------------------------------------- */

static hm_status judge(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    (void)argument;
    work->pass[JUDGED] = hm_pass_of(shard, 1, (float *)generated(model, work));
    work->pass[JUDGED].back = work->pass[JUDGED].frozen = true;
    return HM_OK;
}

static hm_status generator_loss(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    hm_pass *pass = &work->pass[JUDGED];
    loss_kind kind = (loss_kind)shard->objective->kind;
    const float *a = pass->at[gan_of(model)->discriminator.count];
    (void)argument;
    HM_TRY(hm_arena_floats(shard->scratch, pass->rows, &pass->delta));
    for (int64_t row = 0; row < pass->rows; row++) pass->delta[row] = (float)deceive(kind, (double)a[row]);
    return HM_OK;
}

static hm_status hand_over(const hm_model *model, hm_shard *shard, hm_work *work, int argument)
{
    (void)model, (void)shard, (void)argument;
    work->pass[GENERATED].delta = work->pass[JUDGED].delta;
    return HM_OK;
}

static void write_discriminator_turn(const gan *own, hm_program *program, bool penalty)
{
    hm_program_call(program, enter, 0);
    hm_program_forward(program, &own->generator, GENERATED);
    if (penalty) {
        hm_program_call(program, stand_between, 0);
        hm_program_forward(program, &own->discriminator, BETWEEN);
        hm_program_call(program, from_ones, 0);
        hm_program_backward(program, &own->discriminator, BETWEEN);
        hm_program_call(program, penalise, 0);
    } else
        hm_program_call(program, stack, 2);
    hm_program_forward(program, &own->discriminator, JUDGED);
    hm_program_call(program, discriminator_loss, 0);
    hm_program_backward(program, &own->discriminator, JUDGED);
}

static void write_generator_turn(const gan *own, hm_program *program)
{
    hm_program_call(program, enter, 0);
    hm_program_forward(program, &own->generator, GENERATED);
    hm_program_call(program, judge, 0);
    hm_program_forward(program, &own->discriminator, JUDGED);
    hm_program_call(program, generator_loss, 0);
    hm_program_backward(program, &own->discriminator, JUDGED);
    hm_program_call(program, hand_over, 0);
    hm_program_backward(program, &own->generator, GENERATED);
}

/* ---- a model ---------------------------------------------------------------------------------------------------- */

static hm_status gan_declare(hm_model *model)
{
    const gan_settings *settings = settings_of(model);
    HM_TRY(hm_alloc(&model->state, 1, sizeof(gan), "adversarial nets"));
    gan *own = gan_of(model);
    HM_TRY(hm_net_read(&own->generator, "generator", settings->generator, (hm_shape){1, 1, settings->noise_units}, 0));
    HM_TRY(hm_net_read(&own->discriminator, "discriminator", settings->discriminator, (hm_shape){1, 1, model->visible},
                       1));
    HM_TRY(hm_net_check_use(&own->generator));
    HM_REQUIRE(own->generator.count > 0 && hm_shape_size(hm_net_out(&own->generator)) == model->visible, HM_EUSAGE,
               "model.generator: it makes rows of %lld units, and the data has %lld columns",
               (long long)(own->generator.count ? hm_shape_size(hm_net_out(&own->generator)) : settings->noise_units),
               (long long)model->visible);
    HM_REQUIRE(own->discriminator.count > 0 && hm_shape_size(hm_net_out(&own->discriminator)) == 1, HM_EUSAGE,
               "model.discriminator: it must end in one unit, `dense 1`, not %lld",
               (long long)(own->discriminator.count ? hm_shape_size(hm_net_out(&own->discriminator)) : model->visible));
    write_discriminator_turn(own, &own->discriminator_turn, false);
    write_discriminator_turn(own, &own->critic_turn, true);
    write_generator_turn(own, &own->generator_turn);
    HM_TRY(hm_net_declare(model, &own->generator));
    return hm_net_declare(model, &own->discriminator);
}

static hm_status gan_allocate(hm_model *model)
{
    HM_TRY(hm_net_allocate(&gan_of(model)->generator));
    return hm_net_allocate(&gan_of(model)->discriminator);
}

static void gan_destroy(hm_model *model)
{
    gan *own = gan_of(model);
    if (own) hm_net_free(&own->generator);
    if (own) hm_net_free(&own->discriminator);
    free(own);
}

static hm_status gan_init(hm_model *model, uint64_t seed, const float base_rates[])
{
    (void)base_rates;
    model->seed = seed;
    HM_TRY(hm_net_init(model, &gan_of(model)->generator, seed));
    return hm_net_init(model, &gan_of(model)->discriminator, seed);
}

static void gan_refresh(hm_model *model)
{
    hm_net_refresh(model, &gan_of(model)->generator);
    hm_net_refresh(model, &gan_of(model)->discriminator);
}

/* ---- objectives ------------------------------------------------------------------------------------------------- */

static bool adversary_has(const hm_model *model, int tensor)
{
    return hm_net_has(&gan_of(model)->discriminator, tensor);
}

static hm_status check_wasserstein(const hm_model *model, const hm_contrast_settings *how)
{
    const char *layer = hm_net_without_tangents(&gan_of(model)->discriminator);
    (void)how;
    HM_REQUIRE(!layer, HM_EUSAGE,
               "objective wasserstein: the gradient penalty is of each row for itself, through dense and convolutional "
               "layers and activations; model.discriminator has a layer %s",
               layer);
    return HM_OK;
}

static size_t scratch_bytes(const hm_model *model, const hm_contrast_settings *how, int shards, int64_t rows,
                            int64_t chains)
{
    const gan *own = gan_of(model);
    (void)how, (void)shards, (void)chains;
    return hm_work_bytes() + hm_arena_bytes(rows * settings_of(model)->noise_units) +
           hm_arena_bytes(4 * rows * model->visible) + 3 * hm_arena_bytes(4 * rows) +
           hm_net_bytes(&own->generator, rows, true) + hm_net_bytes(&own->discriminator, 4 * rows, true) +
           hm_net_bytes(&own->discriminator, rows, true);
}

static void finish(hm_model *model, const hm_contrast_settings *how, bool adversary, int64_t batch, float *grad)
{
    (void)how;
    hm_net_finish(model, adversary ? &gan_of(model)->discriminator : &gan_of(model)->generator, batch, grad);
}

static void refresh_player(hm_model *model, bool adversary)
{
    hm_net_refresh(model, adversary ? &gan_of(model)->discriminator : &gan_of(model)->generator);
}

#define SCORES                                                                                                         \
    {"real_score", NULL, "mean of the discriminator's last layer on rows of the data"},                                \
    {                                                                                                                  \
        "made_score", NULL, "mean of the discriminator's last layer on made rows"                                      \
    }
static const hm_monitor monitors[] = {
    SCORES,
    {"accuracy", NULL,
     "share of both that the discriminator tells right: above 0 (least_squares: a half) on rows of the data"},
    {NULL, NULL, NULL},
};
/* A critic's outputs have no border between the two. */
static const hm_monitor critic_monitors[] = {SCORES, {NULL, NULL, NULL}};

static hm_status monitor(const hm_model *model, hm_shard *shard)
{
    const gan *own = gan_of(model);
    int64_t rows = shard->data.rows, units = settings_of(model)->noise_units;
    hm_stream stream = {shard->seed, HM_RNG_NOISE, shard->step * 8};
    hm_matrix x = {NULL, rows, model->visible}, z = {NULL, rows, units};
    float *made, *real_score, *made_score, border = shard->objective->kind == LEAST_SQUARES ? 0.5f : 0.0f;
    HM_TRY(hm_arena_floats(shard->scratch, rows * model->visible, &x.at));
    HM_TRY(hm_arena_floats(shard->scratch, rows * units, &z.at));
    hm_shard_visible(model, shard, x.at);
    to_range(model, rows * model->visible, x.at);
    for (int64_t row = 0; row < rows; row++) draw_noise(model, &stream, shard->first_row + row, z.at + row * units);
    HM_TRY(hm_net_apply(model, &own->generator, z, shard->scratch, &made));
    HM_TRY(hm_net_apply(model, &own->discriminator, x, shard->scratch, &real_score));
    HM_TRY(
        hm_net_apply(model, &own->discriminator, (hm_matrix){made, rows, model->visible}, shard->scratch, &made_score));
    for (int64_t row = 0; row < rows; row++) {
        shard->monitors[0] += (double)real_score[row];
        shard->monitors[1] += (double)made_score[row];
        shard->monitors[2] += 0.5 * (real_score[row] > border) + 0.5 * (made_score[row] <= border);
    }
    return HM_OK;
}

static const hm_program *program_of(const hm_model *model, const hm_objective *objective, bool adversary)
{
    const gan *own = gan_of(model);
    return !adversary                       ? &own->generator_turn
           : objective->kind == WASSERSTEIN ? &own->critic_turn
                                            : &own->discriminator_turn;
}

static hm_stretches stretches(const hm_model *model, const hm_objective *objective, bool adversary)
{
    return program_of(model, objective, adversary)->stretches;
}

static hm_status gradient(const hm_model *model, hm_shard *shard)
{
    return hm_program_run(program_of(model, shard->objective, shard->adversary), model, shard);
}

#define OBJECTIVE(NAME, KIND, READS, CHECK, MONITORS, DESCRIBE)                                                        \
    static const hm_objective NAME = {                                                                                 \
        .name = #NAME,                                                                                                 \
        .kind = KIND,                                                                                                  \
        .reads = READS,                                                                                                \
        .describe = DESCRIBE,                                                                                          \
        .monitors = MONITORS,                                                                                          \
        .check = CHECK,                                                                                                \
        .adversary_has = adversary_has,                                                                                \
        .scratch_bytes = scratch_bytes,                                                                                \
        .stretches = stretches,                                                                                        \
        .gradient = gradient,                                                                                          \
        .monitor = monitor,                                                                                            \
        .finish = finish,                                                                                              \
        .refresh = refresh_player,                                                                                     \
    }
OBJECTIVE(non_saturating, NON_SATURATING, " adversary_steps ", NULL, monitors,
          "log D of made rows for the generator (Goodfellow et al. 2014)");
OBJECTIVE(minimax, MINIMAX, " adversary_steps ", NULL, monitors, "the game of Goodfellow et al. 2014 as it is written");
OBJECTIVE(least_squares, LEAST_SQUARES, " adversary_steps ", NULL, monitors,
          "squared distance to 1 and 0 (Mao et al. 2017)");
OBJECTIVE(wasserstein, WASSERSTEIN, " adversary_steps gradient_penalty ", check_wasserstein, critic_monitors,
          "a critic with a penalty on its gradient (Gulrajani et al. 2017)");

static const hm_objective *const gan_objectives[] = {&non_saturating, &minimax, &least_squares, &wasserstein, NULL};

/* ---- use -------------------------------------------------------------------------------------------------------- */

static int64_t noise_units(const hm_model *model) { return settings_of(model)->noise_units; }

static double noise_quantile(const hm_model *model, double u)
{
    return settings_of(model)->noise == NORMAL ? hm_normal_quantile(u) : 2 * u - 1;
}

static size_t decode_bytes(const hm_model *model, int64_t rows, int64_t samples)
{
    (void)samples;
    return hm_net_bytes(&gan_of(model)->generator, rows, false);
}

/* Rows are made without further noise: a sample is its own mean. */
static hm_status decode(const hm_model *model, hm_matrix top, const hm_stream *stream, int64_t first_row,
                        hm_arena *scratch, float *sample, float *mean)
{
    size_t mark = scratch->used;
    int64_t n = top.rows * model->visible;
    float *made;
    (void)stream, (void)first_row;
    HM_TRY(hm_net_apply(model, &gan_of(model)->generator, top, scratch, &made));
    for (int64_t i = 0; i < n; i++) mean[i] = settings_of(model)->range == SYMMETRIC ? (made[i] + 1) / 2 : made[i];
    if (sample) memcpy(sample, mean, (size_t)n * sizeof(float));
    scratch->used = mark;
    return HM_OK;
}

static const hm_latent gan_latent = {
    .units = noise_units,
    .top_units = noise_units,
    .draw = draw_noise,
    .quantile = noise_quantile,
    .scratch_bytes = decode_bytes,
    .decode = decode,
};

/* ---- the table -------------------------------------------------------------------------------------------------- */

const hm_model_class hm_model_gan = {
    .name = "gan",
    .describe = "generative adversarial nets",
    .settings = {"model", gan_entries},
    .settings_size = sizeof(gan_settings),
    .takes_reals = takes_reals,
    .declare = gan_declare,
    .allocate = gan_allocate,
    .destroy = gan_destroy,
    .init = gan_init,
    .refresh = gan_refresh,
    .objectives = gan_objectives,
    .latent = &gan_latent,
};
