#include "infer/likelihood_data.h"

#include "infer/numeric.h"
#include "infer/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_ROWS = 256 }; /* of a shard in memory at a time */

static hm_status row_values(const void *context, int64_t first_row, hm_type type, const void *raw, hm_matrix out)
{
    (void)context, (void)first_row;
    int64_t count = out.rows * out.columns;
    if (type == HM_FLOAT32) {
        memcpy(out.at, raw, (size_t)count * sizeof(float));
        return HM_OK;
    }
    const unsigned char *bytes = raw;
    for (int64_t i = 0; i < count; i++) out.at[i] = (float)bytes[i] / 255.0f;
    return HM_OK;
}

const hm_row_transform hm_row_values = {row_values, NULL};

/* Sums over the rows of one shard; reduced as an array of float64. */
enum { SUM, SUM_OF_SQUARES, SUMS };

typedef struct reader {
    hm_range rows;  /* of the source, that this shard has */
    hm_range block; /* those in memory */
    void *raw;      /* (BLOCK_ROWS, columns) of the source's type */
    float *visible; /* (BLOCK_ROWS, columns) */
    hm_arena scratch;
} reader;

typedef struct pass {
    const hm_model *model;
    hm_source *source;
    const hm_row_transform *transform;
    const hm_workers *workers;
    int shards;      /* this rank's */
    reader *readers; /* (shards) */
    double *sums;    /* (shards, SUMS) */
    hm_pulse pulse;
} pass;

static hm_status reader_init(const pass *all, reader *part, int64_t shard)
{
    const hm_source *source = all->source;
    size_t columns = (size_t)source->columns;
    part->rows = hm_part(source->rows, all->workers->shards, shard);
    part->block = (hm_range){part->rows.begin, part->rows.begin};
    HM_TRY(hm_alloc(&part->raw, BLOCK_ROWS, columns * hm_type_size(source->type), "a block of data"));
    HM_TRY(hm_alloc(&part->visible, BLOCK_ROWS, columns * sizeof(float), "a block of visible states"));
    return hm_arena_init(&part->scratch, all->model->class->sampling_bytes(all->model, BLOCK_ROWS),
                         "scratch of free energies");
}

static hm_status pass_init(pass *all)
{
    const hm_comm *comm = all->workers->comm;
    HM_TRY(hm_alloc(&all->sums, all->shards, SUMS * sizeof(double), "sums of free energies"));
    HM_TRY(hm_alloc(&all->readers, all->shards, sizeof *all->readers, "readers"));
    for (int shard = 0; shard < all->shards; shard++)
        HM_TRY(reader_init(all, &all->readers[shard], (int64_t)comm->rank * all->shards + shard));
    return HM_OK;
}

static void pass_free(pass *all)
{
    for (int shard = 0; all->readers && shard < all->shards; shard++) {
        free(all->readers[shard].raw);
        free(all->readers[shard].visible);
        hm_arena_free(&all->readers[shard].scratch);
    }
    free(all->readers);
    free(all->sums);
}

/* The next block of every shard, read one after another: a source serves one thread. */
static hm_status read_blocks(const pass *all)
{
    for (reader *part = all->readers; part < all->readers + all->shards; part++) {
        int64_t begin = part->block.end, left = part->rows.end - begin;
        part->block = (hm_range){begin, begin + (left < BLOCK_ROWS ? left : BLOCK_ROWS)};
        if (left > 0) HM_TRY(all->source->read(all->source, begin, hm_count(part->block), part->raw));
    }
    return HM_OK;
}

/* Adds the free energies of a shard's block to its sums, row by row. */
static hm_status task_add(void *context, int64_t shard)
{
    pass *all = context;
    reader *part = &all->readers[shard];
    double energy[BLOCK_ROWS], *sums = all->sums + shard * SUMS;
    hm_matrix visible = {part->visible, hm_count(part->block), all->source->columns};
    if (visible.rows == 0) return HM_OK;
    hm_arena_reset(&part->scratch);
    HM_TRY(all->transform->apply(all->transform->context, part->block.begin, all->source->type, part->raw, visible));
    HM_TRY(all->model->class->free_energy(all->model, visible, &part->scratch, energy));
    for (int64_t row = 0; row < visible.rows; row++) {
        HM_REQUIRE(isfinite(energy[row]), HM_ENUMERIC,
                   "the free energy of row %lld is %g; the parameters hold NaN or have diverged",
                   (long long)(part->block.begin + row), energy[row]);
        sums[SUM] += energy[row];
        sums[SUM_OF_SQUARES] += energy[row] * energy[row];
    }
    return HM_OK;
}

/* All blocks of this rank's shards. Not collective. */
static hm_status add_own(pass *all)
{
    int64_t longest = 0;
    for (int shard = 0; shard < all->shards; shard++)
        if (hm_count(all->readers[shard].rows) > longest) longest = hm_count(all->readers[shard].rows);
    int64_t blocks = (longest + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (int64_t block = 0; block < blocks; block++) {
        HM_TRY(read_blocks(all));
        HM_TRY(hm_team_each(all->workers->team, all->shards, task_add, all));
        hm_pulse_report(&all->pulse, block + 1, blocks);
    }
    return HM_OK;
}

/* The sums of all shards into all->sums[0..SUMS). Collective. */
static hm_status add_all(pass *all)
{
    hm_comm *comm = all->workers->comm;
    hm_status status = pass_init(all);
    if (status == HM_OK) status = add_own(all);
    HM_TRY(comm->agree(comm, status));
    hm_tree_sum(all->sums, all->shards, SUMS);
    return comm->reduce_double(comm, all->sums, SUMS);
}

static hm_mean_energy mean_of(const double sums[SUMS], int64_t rows)
{
    double n = (double)rows, mean = sums[SUM] / n;
    double squares = fmax(sums[SUM_OF_SQUARES] - n * mean * mean, 0); /* rounding may take it below 0 */
    return (hm_mean_energy){mean, rows > 1 ? sqrt(squares / (n - 1) / n) : INFINITY, rows};
}

hm_status hm_mean_free_energy(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                              const hm_workers *workers, hm_mean_energy *out)
{
    HM_REQUIRE(source->rows > 0, HM_EDATA, "log-probability: the data has no rows");
    HM_REQUIRE(source->columns == model->visible, HM_EDATA,
               "log-probability: the data has %lld columns, but the model %lld visible units",
               (long long)source->columns, (long long)model->visible);
    HM_REQUIRE(model->class->free_energy, HM_EUSAGE, "log-probability: family %s has no free energy",
               model->class->name);
    HM_REQUIRE(workers->shards % workers->comm->size == 0, HM_EINTERNAL, "log-probability: %d shards on %d ranks",
               workers->shards, workers->comm->size);
    pass all = {.model = model,
                .source = source,
                .transform = transform,
                .workers = workers,
                .shards = workers->shards / workers->comm->size,
                .pulse = hm_pulse_start(workers->log, "log-probabilities")};
    hm_status status = add_all(&all);
    if (status == HM_OK) *out = mean_of(all.sums, source->rows);
    pass_free(&all);
    return status;
}
