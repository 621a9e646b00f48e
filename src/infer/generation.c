#include "infer/generation.h"

#include "core/kernels.h"
#include "core/product.h"
#include "infer/numeric.h"
#include "infer/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_generation_settings, NAME)
static const hm_setting entries[] = {
    {FIELD(samples), .type = HM_SET_INT, .min = 10, .max = 1e7, .fallback = "10000", .free = true,
     .describe = "rows that are made, for Parzen windows and scores"},
    {FIELD(validation), .type = HM_SET_INT, .min = 1, .max = 1e9, .fallback = "1000", .free = true,
     .describe = "training rows on which the width of Parzen windows is chosen"},
    {FIELD(nearest), .type = HM_SET_INT, .min = 0, .max = 1e7, .fallback = "100", .free = true,
     .describe = "made rows whose nearest training example is looked for"},
    {.key = NULL},
};
#undef FIELD

const hm_settings_table hm_generation_table = {"generation", entries};

/* ---- making rows ------------------------------------------------------------------------------------------------- */

typedef struct making {
    const hm_model *model;
    const hm_workers *workers;
    hm_matrix top;
    float *samples, *means;
    int64_t first; /* shard */
} making;

static void draw_prior(const hm_model *model, const hm_stream *stream, int64_t row, float *top)
{
    const hm_latent *latent = model->class->latent;
    if (latent->draw)
        latent->draw(model, stream, row, top);
    else
        hm_kernels_best()->normal(stream, row, latent->top_units(model), top);
}

static hm_status make_shard(void *context, int64_t local)
{
    const making *job = context;
    const hm_latent *latent = job->model->class->latent;
    hm_range rows = hm_part(job->top.rows, job->workers->shards, job->first + local);
    int64_t V = job->model->visible;
    hm_stream start = {job->workers->seed, HM_RNG_SAMPLE_START, 0},
              draw = {job->workers->seed, HM_RNG_SAMPLE_VISIBLE, 0};
    for (int64_t begin = rows.begin; begin < rows.end; begin += HM_ROW_BLOCK) {
        int64_t n = rows.end - begin < HM_ROW_BLOCK ? rows.end - begin : HM_ROW_BLOCK;
        hm_arena scratch;
        for (int64_t row = begin; row < begin + n; row++)
            draw_prior(job->model, &start, row, hm_rows(job->top, row, 1).at);
        HM_TRY(hm_arena_init(&scratch, latent->scratch_bytes(job->model, n, 1), "scratch for making rows"));
        hm_status status = latent->decode(job->model, hm_rows(job->top, begin, n), &draw, begin, &scratch,
                                          job->samples ? job->samples + begin * V : NULL, job->means + begin * V);
        hm_arena_free(&scratch);
        HM_TRY(status);
    }
    return HM_OK;
}

hm_status hm_generate(const hm_model *model, const hm_workers *workers, hm_matrix top, float *samples, float *means)
{
    hm_comm *comm = workers->comm;
    HM_REQUIRE(model->class->latent, HM_EUSAGE, "family %s makes no rows from latent variables", model->class->name);
    hm_range own = hm_own_shards(workers);
    making job = {model, workers, top, samples, means, own.begin};
    HM_TRY(comm->agree(comm, hm_team_each(workers->team, hm_count(own), make_shard, &job)));
    HM_TRY(hm_gather_matrix(workers, top));
    HM_TRY(hm_gather_matrix(workers, (hm_matrix){means, top.rows, model->visible}));
    return samples ? hm_gather_matrix(workers, (hm_matrix){samples, top.rows, model->visible}) : HM_OK;
}

/* ---- distances to the made rows ---------------------------------------------------------------------------------- */

/* Made rows, packed so that a product gives a row's inner products with all of them. */
typedef struct made_rows {
    hm_matrix rows;
    hm_packed packed;
    double *square; /* (rows) */
} made_rows;

static hm_status pack_made(hm_matrix rows, const hm_team *team, made_rows *out)
{
    *out = (made_rows){.rows = rows};
    HM_TRY(hm_packed_init(&out->packed, rows.columns, rows.rows));
    HM_TRY(hm_alloc(&out->square, rows.rows, sizeof(double), "made rows"));
    hm_pack_transposed(&out->packed, rows, team);
    for (int64_t i = 0; i < rows.rows; i++) {
        const float *x = rows.at + i * rows.columns;
        out->square[i] = hm_kernels_best()->dot(rows.columns, x, x);
    }
    return HM_OK;
}

static void free_made(made_rows *made)
{
    hm_packed_free(&made->packed);
    free(made->square);
}

/* |x - s|^2 of one row with the inner product. */
static double square_distance(const made_rows *made, double x_square, const float *inner, int64_t i)
{
    return fmax(x_square + made->square[i] - 2 * (double)inner[i], 0);
}

/* ---- Parzen windows ---------------------------------------------------------------------------------------------- */

enum { WIDTHS = 16, BLOCK = 64 };

typedef struct parzen_job {
    const made_rows *made;
    int widths;
    double width[WIDTHS];
} parzen_job;

/* log of the mean of N(x; s, width^2) over the made rows s. */
static double log_density(const made_rows *made, double x_square, const float *inner, double least, double width)
{
    double sum = 0, scale = -0.5 / (width * width), most = least * scale;
    for (int64_t i = 0; i < made->rows.rows; i++) {
        double exponent = square_distance(made, x_square, inner, i) * scale - most;
        if (exponent > -50) sum += exp(exponent); /* the greatest is 0 */
    }
    return most + log(sum / (double)made->rows.rows) -
           0.5 * (double)made->rows.columns * log(6.283185307179586 * width * width);
}

/* sums: of each width's log-density, then of its square. */
static hm_status add_densities(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const parzen_job *job = context;
    const made_rows *made = job->made;
    size_t mark = scratch->used;
    (void)first_row;
    for (int64_t begin = 0; begin < rows.rows; begin += BLOCK) {
        int64_t n = rows.rows - begin < BLOCK ? rows.rows - begin : BLOCK;
        float *inner;
        HM_TRY(hm_arena_floats(scratch, n * made->rows.rows, &inner));
        hm_product(hm_rows(rows, begin, n), &made->packed, inner);
        for (int64_t row = 0; row < n; row++) {
            const float *x = rows.at + (begin + row) * rows.columns, *own = inner + row * made->rows.rows;
            double square = hm_kernels_best()->dot(rows.columns, x, x), least = INFINITY;
            for (int64_t i = 0; i < made->rows.rows; i++) least = fmin(least, square_distance(made, square, own, i));
            for (int w = 0; w < job->widths; w++) {
                double density = log_density(made, square, own, least, job->width[w]);
                sums[w] += density;
                sums[job->widths + w] += density * density;
            }
        }
        scratch->used = mark;
    }
    return HM_OK;
}

static hm_status sum_densities(parzen_job *job, hm_source *source, const hm_row_transform *transform,
                               const hm_workers *workers, double sums[])
{
    hm_row_sums rows = {.source = source,
                        .transform = transform,
                        .workers = workers,
                        .what = "Parzen windows",
                        .scratch_bytes = hm_arena_bytes(BLOCK * job->made->rows.rows),
                        .sums = 2 * job->widths,
                        .add = add_densities,
                        .context = job};
    return hm_sum_rows(&rows, sums);
}

/* The best of a grid of widths from low to high, evenly in the logarithm. */
static hm_status search(parzen_job *job, double low, double high, hm_source *validation,
                        const hm_row_transform *transform, const hm_workers *workers, hm_parzen *out)
{
    double sums[2 * WIDTHS];
    job->widths = WIDTHS;
    for (int w = 0; w < WIDTHS; w++) job->width[w] = low * pow(high / low, w / (double)(WIDTHS - 1));
    HM_TRY(sum_densities(job, validation, transform, workers, sums));
    out->validation = -INFINITY;
    for (int w = 0; w < WIDTHS; w++)
        if (sums[w] / (double)validation->rows > out->validation) {
            out->validation = sums[w] / (double)validation->rows;
            out->width = job->width[w];
        }
    return HM_OK;
}

static hm_status measure(parzen_job *job, hm_source *validation, const hm_row_transform *of_validation, hm_source *rows,
                         const hm_row_transform *transform, const hm_workers *workers, hm_parzen *out)
{
    const double least = 0.005, most = 5, step = pow(most / least, 1.0 / (WIDTHS - 1));
    double sums[2 * WIDTHS];
    HM_TRY(search(job, least, most, validation, of_validation, workers, out));
    /* Data of another scale: on beyond the edge. */
    for (int more = 0; more < 5 && (out->width == job->width[0] || out->width == job->width[WIDTHS - 1]); more++) {
        double scale = out->width == job->width[0] ? least / most : most / least;
        HM_TRY(search(job, job->width[0] * scale, job->width[WIDTHS - 1] * scale, validation, of_validation, workers,
                      out));
    }
    HM_TRY(search(job, out->width / step, out->width * step, validation, of_validation, workers, out));
    job->widths = 1;
    job->width[0] = out->width;
    HM_TRY(sum_densities(job, rows, transform, workers, sums));
    out->log_prob = sums[0] / (double)rows->rows;
    out->std_error = hm_error_of_mean(sums[0], sums[1], rows->rows);
    return HM_OK;
}

hm_status hm_parzen_of(hm_matrix made, hm_source *validation, const hm_row_transform *of_validation, hm_source *rows,
                       const hm_row_transform *transform, const hm_workers *workers, hm_parzen *out)
{
    made_rows packed;
    *out = (hm_parzen){.samples = made.rows, .rows = rows->rows};
    hm_status status = workers->comm->agree(workers->comm, pack_made(made, workers->team, &packed));
    parzen_job job = {.made = &packed};
    if (status == HM_OK) status = measure(&job, validation, of_validation, rows, transform, workers, out);
    free_made(&packed);
    return status;
}

/* ---- nearest rows ------------------------------------------------------------------------------------------------ */

typedef struct nearest_job {
    const made_rows *made;
    int shards;
    double *best; /* (shards of all ranks, made rows) square distance of the nearest row so far ... */
    double *row;  /* ... and its number */
    const hm_source *source;
} nearest_job;

/* A shard's rows lie together, so that it alone writes to its part. */
static hm_status find_nearest(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const nearest_job *job = context;
    const made_rows *made = job->made;
    int shard = 0;
    float *inner;
    (void)sums;
    while (hm_part(job->source->rows, job->shards, shard).end <= first_row) shard++;
    double *best = job->best + shard * made->rows.rows, *number = job->row + shard * made->rows.rows;
    HM_TRY(hm_arena_floats(scratch, rows.rows * made->rows.rows, &inner));
    hm_product(rows, &made->packed, inner);
    for (int64_t row = 0; row < rows.rows; row++) {
        const float *x = rows.at + row * rows.columns;
        double square = hm_kernels_best()->dot(rows.columns, x, x);
        for (int64_t i = 0; i < made->rows.rows; i++) {
            double distance = square_distance(made, square, inner + row * made->rows.rows, i);
            if (distance >= best[i]) continue;
            best[i] = distance;
            number[i] = (double)(first_row + row);
        }
    }
    return HM_OK;
}

/* The best of all shards, in their order: the first of equals. */
static hm_status gather_nearest(const nearest_job *job, const hm_workers *workers, double *number, double *distance)
{
    int64_t n = job->made->rows.rows;
    HM_TRY(hm_gather_rows(workers, job->shards, n, job->best));
    HM_TRY(hm_gather_rows(workers, job->shards, n, job->row));
    for (int64_t i = 0; i < n; i++) {
        int least = 0;
        for (int shard = 1; shard < job->shards; shard++)
            if (job->best[shard * n + i] < job->best[least * n + i]) least = shard;
        number[i] = job->row[least * n + i];
        distance[i] = sqrt(job->best[least * n + i]);
    }
    return HM_OK;
}

hm_status hm_nearest_rows(hm_matrix made, hm_source *source, const hm_row_transform *transform,
                          const hm_workers *workers, double *number, double *distance)
{
    made_rows packed;
    nearest_job job = {.made = &packed, .shards = workers->shards, .source = source};
    double sum;
    hm_status status = pack_made(made, workers->team, &packed);
    if (status == HM_OK) status = hm_alloc(&job.best, job.shards * made.rows, sizeof(double), "distances");
    if (status == HM_OK) status = hm_alloc(&job.row, job.shards * made.rows, sizeof(double), "distances");
    for (int64_t i = 0; status == HM_OK && i < job.shards * made.rows; i++) job.best[i] = INFINITY;
    status = workers->comm->agree(workers->comm, status);
    hm_row_sums rows = {.source = source,
                        .transform = transform,
                        .workers = workers,
                        .what = "nearest rows",
                        .scratch_bytes = hm_arena_bytes(HM_ROW_BLOCK * made.rows),
                        .sums = 1,
                        .add = find_nearest,
                        .context = &job};
    if (status == HM_OK) status = hm_sum_rows(&rows, &sum);
    if (status == HM_OK) status = gather_nearest(&job, workers, number, distance);
    free(job.best);
    free(job.row);
    free_made(&packed);
    return status;
}

/* ---- what a classifier says -------------------------------------------------------------------------------------- */

typedef struct impression_job {
    const hm_model *classifier;
    hm_impression *out;
} impression_job;

/* sums: features, then their products. */
static hm_status add_features(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const impression_job *job = context;
    const hm_model *model = job->classifier;
    int64_t C = job->out->classes, F = job->out->features;
    size_t mark = scratch->used;
    float *probs, *features;
    HM_TRY(hm_arena_floats(scratch, rows.rows * C, &probs));
    HM_TRY(hm_arena_floats(scratch, rows.rows * F, &features));
    HM_TRY(model->class->classify(model, rows, scratch, probs));
    HM_TRY(model->class->features(model, rows, scratch, features));
    for (int64_t i = 0; i < rows.rows * C; i++) job->out->probs[first_row * C + i] = (double)probs[i];
    for (int64_t row = 0; row < rows.rows; row++) {
        const float *f = features + row * F;
        for (int64_t a = 0; a < F; a++) {
            sums[a] += (double)f[a];
            for (int64_t b = 0; b <= a; b++) sums[F + a * F + b] += (double)f[a] * (double)f[b];
        }
    }
    scratch->used = mark;
    return HM_OK;
}

static void summarise(const double *sums, hm_impression *out)
{
    int64_t C = out->classes, F = out->features;
    double n = (double)out->rows;
    for (int64_t a = 0; a < F; a++) out->mean[a] = sums[a] / n;
    for (int64_t a = 0; a < F; a++)
        for (int64_t b = 0; b <= a; b++)
            out->covariance[a * F + b] = out->covariance[b * F + a] =
                (sums[F + a * F + b] - n * out->mean[a] * out->mean[b]) / (n - 1);
    for (int64_t row = 0; row < out->rows; row++) {
        int64_t best = 0;
        for (int64_t c = 1; c < C; c++)
            if (out->probs[row * C + c] > out->probs[row * C + best]) best = c;
        out->histogram[best]++;
    }
}

static hm_status allocate_impression(hm_impression *out, double **sums)
{
    HM_TRY(hm_alloc(&out->probs, out->rows * out->classes, sizeof(double), "class probabilities"));
    HM_TRY(hm_alloc(&out->histogram, out->classes, sizeof(double), "a histogram"));
    HM_TRY(hm_alloc(&out->mean, out->features, sizeof(double), "features"));
    HM_TRY(hm_alloc(&out->covariance, out->features * out->features, sizeof(double), "features"));
    return hm_alloc(sums, out->features * (out->features + 1), sizeof(double), "features");
}

hm_status hm_impression_of(const hm_model *classifier, hm_source *rows, const hm_row_transform *transform,
                           const hm_workers *workers, hm_impression *out)
{
    const hm_model_class *class = classifier->class;
    double *sums = NULL;
    *out = (hm_impression){.rows = rows->rows, .classes = classifier->classes};
    HM_REQUIRE(class->features, HM_EUSAGE, "a model of family %s has no features to judge rows by; train a network",
               class->name);
    HM_REQUIRE(rows->columns == classifier->visible, HM_EDATA,
               "the classifier has %lld visible units, and the rows have %lld columns", (long long)classifier->visible,
               (long long)rows->columns);
    HM_REQUIRE(rows->rows >= 2, HM_EDATA, "a covariance takes two rows");
    out->features = class->feature_units(classifier);
    hm_status status = workers->comm->agree(workers->comm, allocate_impression(out, &sums));
    impression_job job = {classifier, out};
    hm_row_sums sum = {.source = rows,
                       .transform = transform,
                       .workers = workers,
                       .what = "features",
                       .scratch_bytes = hm_arena_bytes(HM_ROW_BLOCK * out->classes) +
                                        hm_arena_bytes(HM_ROW_BLOCK * out->features) +
                                        2 * class->classify_bytes(classifier, HM_ROW_BLOCK),
                       .sums = out->features * (out->features + 1),
                       .add = add_features,
                       .context = &job};
    if (status == HM_OK) status = hm_sum_rows(&sum, sums);
    if (status == HM_OK) status = hm_gather_rows(workers, out->rows, out->classes, out->probs);
    if (status == HM_OK) summarise(sums, out);
    free(sums);
    if (status != HM_OK) hm_impression_free(out);
    return status;
}

void hm_impression_free(hm_impression *impression)
{
    free(impression->probs);
    free(impression->histogram);
    free(impression->mean);
    free(impression->covariance);
    *impression = (hm_impression){0};
}

double hm_inception_score(const hm_impression *impression, int64_t begin, int64_t end)
{
    int64_t C = impression->classes;
    double divergence = 0, n = (double)(end - begin);
    for (int64_t c = 0; c < C; c++) {
        double marginal = 0;
        for (int64_t row = begin; row < end; row++) marginal += impression->probs[row * C + c] / n;
        for (int64_t row = begin; row < end; row++) {
            double p = impression->probs[row * C + c];
            if (p > 0) divergence += p * log(p / marginal) / n;
        }
    }
    return exp(divergence);
}
