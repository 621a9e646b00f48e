/* Exact log Z: the sum over all configurations of the smaller layer, in blocks.
 *
 * A block's log-sum depends on nothing but its number, and the log-sums of all blocks are added in their order on every
 * rank, so the result has the same bits for any number of ranks, threads and shards.
 */
#include "infer/likelihood.h"
#include "infer/numeric.h"
#include "infer/progress.h"

#include <math.h>
#include <stdlib.h>

enum {
    BLOCK = 1024,     /* configurations of a block: fills a product, and 25 units make 32,768 block sums */
    ROUND_BLOCKS = 4, /* blocks of a thread between two looks at the clock */
};

typedef struct enumeration {
    const hm_model *model;
    const hm_workers *workers;
    int64_t configurations, blocks;
    hm_range own;      /* this rank's blocks */
    hm_range round;    /* those being worked on */
    int64_t *gather;   /* (comm->size + 1) bytes at which each rank's block sums begin */
    double *block_sum; /* (blocks) log of the sum of p* over a block */
    hm_arena *scratch; /* (threads) */
    hm_pulse pulse;
} enumeration;

static hm_status sum_block(const enumeration *all, int64_t block, hm_arena *scratch)
{
    double log_prob[BLOCK];
    int64_t begin = block * BLOCK, left = all->configurations - begin, count = left < BLOCK ? left : BLOCK;
    hm_arena_reset(scratch);
    HM_TRY(all->model->class->enumeration->log_prob(all->model, begin, count, scratch, log_prob));
    all->block_sum[block] = hm_log_sum_exp(log_prob, count);
    HM_REQUIRE(isfinite(all->block_sum[block]), HM_ENUMERIC,
               "exact log Z: configurations %lld to %lld sum to %g; the parameters hold NaN or have diverged",
               (long long)begin, (long long)(begin + count - 1), all->block_sum[block]);
    return HM_OK;
}

/* One thread's part of a round. */
static hm_status task_sum(void *context, int64_t thread)
{
    enumeration *all = context;
    hm_range part = hm_part(hm_count(all->round), all->workers->team->threads, thread);
    for (int64_t block = part.begin; block < part.end; block++)
        HM_TRY(sum_block(all, all->round.begin + block, &all->scratch[thread]));
    return HM_OK;
}

/* This rank's blocks, in rounds. Not collective. */
static hm_status sum_own(enumeration *all)
{
    const hm_team *team = all->workers->team;
    int64_t at_once = (int64_t)team->threads * ROUND_BLOCKS;
    for (int64_t begin = all->own.begin; begin < all->own.end; begin = all->round.end) {
        int64_t left = all->own.end - begin;
        all->round = (hm_range){begin, begin + (left < at_once ? left : at_once)};
        HM_TRY(hm_team_each(team, team->threads, task_sum, all));
        hm_pulse_report(&all->pulse, all->round.end - all->own.begin, hm_count(all->own));
    }
    return HM_OK;
}

static hm_status enumeration_init(enumeration *all)
{
    const hm_comm *comm = all->workers->comm;
    int threads = all->workers->team->threads;
    int64_t first_count = all->configurations < BLOCK ? all->configurations : BLOCK;
    size_t scratch = all->model->class->enumeration->scratch_bytes(all->model, first_count);
    HM_TRY(hm_alloc(&all->gather, comm->size + 1, sizeof *all->gather, "bounds of the enumeration"));
    HM_TRY(hm_alloc(&all->block_sum, all->blocks, sizeof *all->block_sum, "block sums of the enumeration"));
    HM_TRY(hm_alloc(&all->scratch, threads, sizeof *all->scratch, "arenas of the enumeration"));
    for (int thread = 0; thread < threads; thread++)
        HM_TRY(hm_arena_init(&all->scratch[thread], scratch, "scratch of the enumeration"));
    for (int rank = 0; rank <= comm->size; rank++)
        all->gather[rank] = hm_part(all->blocks, comm->size, rank).begin * (int64_t)sizeof *all->block_sum;
    all->own = hm_part(all->blocks, comm->size, comm->rank);
    return HM_OK;
}

static void enumeration_free(enumeration *all)
{
    for (int thread = 0; all->scratch && thread < all->workers->team->threads; thread++)
        hm_arena_free(&all->scratch[thread]);
    free(all->scratch);
    free(all->block_sum);
    free(all->gather);
}

/* Collective. */
static hm_status sum_all(enumeration *all, double *log_z)
{
    hm_comm *comm = all->workers->comm;
    hm_status status = enumeration_init(all);
    if (status == HM_OK) status = sum_own(all);
    HM_TRY(comm->agree(comm, status));
    HM_TRY(comm->all_gather(comm, all->block_sum, all->gather));
    *log_z = hm_log_sum_exp(all->block_sum, all->blocks);
    return HM_OK;
}

hm_status hm_exact_check(const hm_model *model)
{
    const hm_enumeration *family = model->class->enumeration;
    HM_REQUIRE(family, HM_EUSAGE, "exact log Z: family %s cannot be enumerated%s", model->class->name,
               hm_model_anneals(model) ? "; use --method ais" : "");
    int64_t units = family->units(model);
    HM_REQUIRE(units < INT64_MAX, HM_EUSAGE,
               "exact log Z: no side of the model is of bernoulli units alone, to be enumerated");
    HM_REQUIRE(
        units <= HM_ENUMERATION_MAX, HM_EUSAGE,
        "exact log Z: the smaller side that is of bernoulli units alone has %lld units, at most %d can be enumerated%s",
        (long long)units, HM_ENUMERATION_MAX, hm_model_anneals(model) ? "; use --method ais" : "");
    return HM_OK;
}

hm_status hm_exact_log_z(const hm_model *model, const hm_workers *workers, double *log_z)
{
    HM_TRY(hm_exact_check(model));
    int64_t configurations = (int64_t)1 << model->class->enumeration->units(model);
    enumeration all = {.model = model,
                       .workers = workers,
                       .configurations = configurations,
                       .blocks = (configurations + BLOCK - 1) / BLOCK,
                       .pulse = hm_pulse_start(workers->log, "exact log Z")};
    hm_status status = sum_all(&all, log_z);
    enumeration_free(&all);
    return status;
}
