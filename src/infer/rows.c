#include "infer/rows.h"

#include "infer/numeric.h"
#include "infer/progress.h"

#include <stdlib.h>
#include <string.h>

static hm_status row_values(const void *context, int64_t first_row, const hm_source *source, const void *raw,
                            hm_matrix out)
{
    (void)context, (void)first_row;
    hm_source_values(source, out.rows * out.columns, raw, out.at);
    return HM_OK;
}

const hm_row_transform hm_row_values = {row_values, NULL};

typedef struct reader {
    hm_range rows;  /* of the source, that this shard has */
    hm_range block; /* those in memory */
    void *raw;      /* (HM_ROW_BLOCK, columns) of the source's type */
    float *values;  /* (HM_ROW_BLOCK, columns) */
    hm_arena scratch;
} reader;

typedef struct pass {
    const hm_row_sums *job;
    int shards;      /* this rank's */
    reader *readers; /* (shards) */
    double *sums;    /* (shards, job->sums) */
    hm_pulse pulse;
} pass;

static hm_status reader_init(const pass *all, reader *part, int64_t shard)
{
    const hm_source *source = all->job->source;
    size_t columns = (size_t)source->columns;
    part->rows = hm_part(source->rows, all->job->workers->shards, shard);
    part->block = (hm_range){part->rows.begin, part->rows.begin};
    HM_TRY(hm_alloc(&part->raw, HM_ROW_BLOCK, columns * hm_type_size(source->type), "a block of data"));
    HM_TRY(hm_alloc(&part->values, HM_ROW_BLOCK, columns * sizeof(float), "a block of data"));
    return hm_arena_init(&part->scratch, all->job->scratch_bytes, all->job->what);
}

static hm_status pass_init(pass *all)
{
    const hm_comm *comm = all->job->workers->comm;
    HM_TRY(hm_alloc(&all->sums, all->shards * all->job->sums, sizeof(double), all->job->what));
    HM_TRY(hm_alloc(&all->readers, all->shards, sizeof *all->readers, "readers"));
    for (int shard = 0; shard < all->shards; shard++)
        HM_TRY(reader_init(all, &all->readers[shard], (int64_t)comm->rank * all->shards + shard));
    return HM_OK;
}

static void pass_free(pass *all)
{
    for (int shard = 0; all->readers && shard < all->shards; shard++) {
        free(all->readers[shard].raw);
        free(all->readers[shard].values);
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
        part->block = (hm_range){begin, begin + (left < HM_ROW_BLOCK ? left : HM_ROW_BLOCK)};
        if (left > 0) HM_TRY(all->job->source->read(all->job->source, begin, hm_count(part->block), part->raw));
    }
    return HM_OK;
}

static hm_status task_add(void *context, int64_t shard)
{
    const pass *all = context;
    const hm_row_sums *job = all->job;
    reader *part = &all->readers[shard];
    hm_matrix rows = {part->values, hm_count(part->block), job->source->columns};
    if (rows.rows == 0) return HM_OK;
    hm_arena_reset(&part->scratch);
    HM_TRY(job->transform->apply(job->transform->context, part->block.begin, job->source, part->raw, rows));
    return job->add(job->context, rows, part->block.begin, &part->scratch, all->sums + shard * job->sums);
}

/* All blocks of this rank's shards. Not collective. */
static hm_status add_own(pass *all)
{
    int64_t longest = 0;
    for (int shard = 0; shard < all->shards; shard++)
        if (hm_count(all->readers[shard].rows) > longest) longest = hm_count(all->readers[shard].rows);
    int64_t blocks = (longest + HM_ROW_BLOCK - 1) / HM_ROW_BLOCK;
    for (int64_t block = 0; block < blocks; block++) {
        HM_TRY(read_blocks(all));
        HM_TRY(hm_team_each(all->job->workers->team, all->shards, task_add, all));
        hm_pulse_report(&all->pulse, block + 1, blocks);
    }
    return HM_OK;
}

hm_status hm_sum_shards(const hm_workers *workers, int64_t shards, int64_t width, double sums[])
{
    hm_tree_sum(sums, shards, width);
    return workers->comm->reduce_double(workers->comm, sums, width);
}

hm_status hm_sum_rows(const hm_row_sums *job, double sums[])
{
    const hm_workers *workers = job->workers;
    hm_comm *comm = workers->comm;
    HM_REQUIRE(job->source->rows > 0, HM_EDATA, "%s: the data has no rows", job->what);
    HM_REQUIRE(workers->shards % comm->size == 0, HM_EINTERNAL, "%s: %d shards on %d ranks", job->what, workers->shards,
               comm->size);
    pass all = {.job = job, .shards = workers->shards / comm->size, .pulse = hm_pulse_start(workers->log, job->what)};
    hm_status status = pass_init(&all);
    if (status == HM_OK) status = add_own(&all);
    status = comm->agree(comm, status);
    if (status == HM_OK) {
        status = hm_sum_shards(workers, all.shards, job->sums, all.sums);
        memcpy(sums, all.sums, (size_t)job->sums * sizeof(double));
    }
    pass_free(&all);
    return status;
}

static hm_status gather(const hm_workers *workers, int64_t rows, int64_t row_bytes, void *each)
{
    hm_comm *comm = workers->comm;
    int64_t *begin, shards = workers->shards / comm->size;
    HM_TRY(comm->agree(comm, hm_alloc(&begin, comm->size + 1, sizeof *begin, "numbers of rows")));
    for (int rank = 0; rank <= comm->size; rank++) /* the part after the last one is empty and begins at the end */
        begin[rank] = hm_part(rows, workers->shards, rank * shards).begin * row_bytes;
    hm_status status = comm->all_gather(comm, each, begin);
    free(begin);
    return status;
}

hm_status hm_gather_rows(const hm_workers *workers, int64_t rows, int64_t width, double *each)
{
    return gather(workers, rows, width * (int64_t)sizeof *each, each);
}

hm_status hm_gather_matrix(const hm_workers *workers, hm_matrix m)
{
    return gather(workers, m.rows, m.columns * (int64_t)sizeof *m.at, m.at);
}

hm_status hm_gather_classes(const hm_workers *workers, int64_t rows, int32_t *classes)
{
    return gather(workers, rows, (int64_t)sizeof *classes, classes);
}
