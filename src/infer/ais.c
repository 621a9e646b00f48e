/* Annealed importance sampling: up from the base distribution (hm_ais), down from the model (hm_ais_reverse), and down
 * from single rows of data (hm_raise).
 *
 * One walk serves both: the chains stand at temperature beta; a step to beta' adds log p*_beta'(v) - log p*_beta(v) to
 * every chain's log-weight and then moves the chains by a Gibbs sweep that leaves p_beta' unchanged (not after the last
 * step). Up, the mean of the weights is Z / Z_base; down, starting from samples of the model, it is Z_base / Z.
 *
 * All shards of a rank step together, shared among the team's threads, and the ranks meet only to agree on failures
 * and, when the ladder is adaptive, to look at the weights of all chains.
 */
#include "core/kernels.h"
#include "infer/ladder.h"
#include "infer/likelihood.h"
#include "infer/numeric.h"
#include "infer/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    AGREE_EVERY = 64,      /* steps of a fixed ladder between two agreements */
    BURN_IN_AT_ONCE = 50,  /* Gibbs steps between two lines of progress */
    ADAPTIVE_ROOM = 1024,  /* temperatures for which an adaptive ladder first has room; doubled when full */
    PROGRESS_PARTS = 1000, /* of an adaptive ladder, whose length is not known: beta in thousandths */
};

/* ---- settings ---- */

static const char *const ladder_names[] = {"linear", "salakhutdinov2008", "adaptive", "custom", NULL};

/* All of them free: they say how a model is judged, not how it is trained. */
#define FIELD(NAME) .key = #NAME, .offset = offsetof(hm_ais_settings, NAME), .free = true
static const hm_setting ais_settings[] = {
    {FIELD(chains), .type = HM_SET_INT, .min = 2, .max = 1e7, .fallback = "100",
     .describe = "annealing runs over all shards"},
    {FIELD(ladder), .type = HM_SET_CHOICE, .choices = ladder_names, .fallback = "linear",
     .describe = "how the temperatures are chosen"},
    {FIELD(temperatures), .type = HM_SET_INT, .min = 2, .max = HM_LADDER_MAX, .fallback = "10000",
     HM_NEEDS(ladder, HM_LADDER_LINEAR), .describe = "temperatures of the linear ladder, both ends included"},
    {FIELD(ess_target), .type = HM_SET_REAL, .min = 0.01, .max = 0.999999, .fallback = "0.9999",
     HM_NEEDS(ladder, HM_LADDER_ADAPTIVE),
     .describe = "adaptive ladder: effective part of the chains that one step must keep"},
    {FIELD(betas), .type = HM_SET_REALS, .min = 0, .max = 1, .fallback = "[]", HM_NEEDS(ladder, HM_LADDER_CUSTOM),
     .describe = "custom ladder: temperatures ascending from 0 to 1"},
    {FIELD(burn_in), .type = HM_SET_INT, .min = 0, .max = 1e9, .fallback = "1000",
     .describe = "reverse AIS: Gibbs steps from the data before the first weight"},
    {FIELD(raise_rows), .type = HM_SET_INT, .min = 0, .max = 1e9, .fallback = "100",
     .describe = "RAISE: rows of the data that are annealed; 0: all"},
    {FIELD(raise_chains), .type = HM_SET_INT, .min = 1, .max = 1e6, .fallback = "5",
     .describe = "RAISE: annealing runs of each row"},
    {.key = NULL},
};
#undef FIELD

const hm_settings_table hm_ais_table = {"ais", ais_settings};

hm_status hm_ais_settings_check(const hm_ais_settings *settings)
{
    if (settings->ladder != HM_LADDER_CUSTOM) return HM_OK;
    return hm_ladder_check(settings->betas.at, settings->betas.count);
}

void hm_base_biases(const hm_model *model, hm_base base, float biases[])
{
    size_t bytes = (size_t)hm_state_columns(model) * sizeof biases[0];
    if (base == HM_BASE_DATA)
        memcpy(biases, model->class->base_biases(model), bytes);
    else
        memset(biases, 0, bytes);
}

/* ---- the walk of all chains ---- */

typedef struct annealing {
    const hm_model *model;
    const hm_workers *workers;
    const hm_ais_settings *settings;
    const char *what; /* for progress and messages */
    const float *base;
    uint64_t first_step;     /* of the random streams */
    int first_shard, shards; /* this rank's */
    hm_range chains;         /* this rank's, numbered over all */
    int64_t *gather;         /* (comm->size + 1) bytes at which each rank's piece of a float64 per chain begins */

    float *states, *inputs;       /* (rank's chains, state_columns) and (.., input_columns); the walks' */
    double *energy, *base_energy; /* (rank's chains); the walks' */
    hm_walk *walks;               /* (shards) */
    hm_arena *arenas;             /* (shards) */
    double *log_prob;             /* (all chains; own piece used) log p*_beta(v) at the current temperature */
    double *increments;           /* (all chains) of the step being tried */
    double *log_weights;          /* (all chains) sums of the increments */

    double beta, next; /* the current temperature, and the one being tried */
    int64_t step;      /* number of the step that leads to `next`, from 1 */
    hm_status pending; /* of this rank, until the next agreement */
    double began;      /* on hm_clock */
    hm_pulse pulse;    /* of the burn-in, then of the walk */
} annealing;

typedef hm_status (*shard_task)(void *context, int64_t shard);

/* Runs a task on each of this rank's shards, unless the rank has failed since the last agreement. */
static void each_shard(annealing *run, shard_task task)
{
    if (run->pending == HM_OK) run->pending = hm_team_each(run->workers->team, run->shards, task, run);
}

static hm_status agreed(annealing *run)
{
    hm_comm *comm = run->workers->comm;
    return run->pending = comm->agree(comm, run->pending);
}

static void annealing_free(annealing *run)
{
    for (int shard = 0; run->arenas && shard < run->shards; shard++) hm_arena_free(&run->arenas[shard]);
    void *owned[] = {run->gather, run->states, run->inputs,   run->energy,     run->base_energy,
                     run->walks,  run->arenas, run->log_prob, run->increments, run->log_weights};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) free(owned[i]);
}

/* Enough for each of what is done with `chains` chains, one at a time: a move, a burn-in. */
static size_t walk_scratch(const hm_model *model, int64_t chains)
{
    size_t move = model->class->annealing->scratch_bytes(model, chains),
           burn_in = model->class->sampling_bytes(model, chains);
    return move > burn_in ? move : burn_in;
}

/* The walk of one shard: its chains' rows of the rank's buffers. */
static hm_status walk_init(annealing *run, int shard)
{
    const hm_annealing *family = run->model->class->annealing;
    hm_range part = hm_part(run->settings->chains, run->workers->shards, run->first_shard + shard);
    int64_t first = part.begin - run->chains.begin, columns = family->input_columns(run->model);
    int64_t units = family->state_columns(run->model);
    size_t bytes = walk_scratch(run->model, hm_count(part));
    HM_TRY(hm_arena_init(&run->arenas[shard], bytes, "scratch of AIS"));
    run->walks[shard] = (hm_walk){
        .seed = run->workers->seed,
        .state = {run->states + first * units, hm_count(part), units},
        .inputs = {run->inputs + first * columns, hm_count(part), columns},
        .energy = run->energy + first,
        .base_energy = run->base_energy + first,
        .first_chain = part.begin,
        .base = run->base,
        .scratch = &run->arenas[shard],
    };
    return HM_OK;
}

static hm_status annealing_alloc(annealing *run)
{
    int64_t all = run->settings->chains, own = hm_count(run->chains);
    int64_t columns = run->model->class->annealing->input_columns(run->model);
    HM_TRY(hm_alloc(&run->states, own, (size_t)hm_state_columns(run->model) * sizeof(float), "states of AIS"));
    HM_TRY(hm_alloc(&run->inputs, own, (size_t)columns * sizeof(float), "inputs of AIS"));
    HM_TRY(hm_alloc(&run->energy, own, sizeof(double), "energies of AIS"));
    HM_TRY(hm_alloc(&run->base_energy, own, sizeof(double), "energies of AIS"));
    HM_TRY(hm_alloc(&run->walks, run->shards, sizeof *run->walks, "walks of AIS"));
    HM_TRY(hm_alloc(&run->arenas, run->shards, sizeof *run->arenas, "arenas of AIS"));
    HM_TRY(hm_alloc(&run->log_prob, all, sizeof(double), "log-probabilities of AIS"));
    HM_TRY(hm_alloc(&run->increments, all, sizeof(double), "log-weights of AIS"));
    HM_TRY(hm_alloc(&run->log_weights, all, sizeof(double), "log-weights of AIS"));
    for (int shard = 0; shard < run->shards; shard++) HM_TRY(walk_init(run, shard));
    return HM_OK;
}

/* Lays out this rank's part; fills in everything that the caller has not. Collective. */
static hm_status annealing_init(annealing *run)
{
    hm_comm *comm = run->workers->comm;
    HM_REQUIRE(run->workers->shards % comm->size == 0, HM_EINTERNAL, "%s: %d shards on %d ranks", run->what,
               run->workers->shards, comm->size);
    run->step = 1;
    run->began = hm_clock();
    run->pulse = hm_pulse_start(run->workers->log, run->what);
    run->shards = run->workers->shards / comm->size;
    run->first_shard = comm->rank * run->shards;
    hm_status status = hm_alloc(&run->gather, comm->size + 1, sizeof *run->gather, "bounds of AIS");
    for (int rank = 0; status == HM_OK && rank <= comm->size; rank++) {
        int64_t shard = (int64_t)rank * run->shards; /* the part after the last one is empty and begins at the end */
        run->gather[rank] = hm_part(run->settings->chains, run->workers->shards, shard).begin * (int64_t)sizeof(double);
    }
    if (status == HM_OK) {
        run->chains.begin = run->gather[comm->rank] / (int64_t)sizeof(double);
        run->chains.end = run->gather[comm->rank + 1] / (int64_t)sizeof(double);
        status = annealing_alloc(run);
    }
    run->pending = status;
    return agreed(run);
}

/* ---- tasks: one shard, one step ---- */

/* log_prob of one shard's chains, whose caches are fresh, at the temperature where they stand. */
static void measure(annealing *run, const hm_walk *walk, double beta)
{
    run->model->class->annealing->log_prob(run->model, walk, beta, run->log_prob + walk->first_chain);
}

static hm_status task_start(void *context, int64_t shard)
{
    annealing *run = context;
    hm_walk *walk = &run->walks[shard];
    hm_arena_reset(walk->scratch);
    HM_TRY(run->model->class->annealing->refresh(run->model, walk));
    measure(run, walk, run->beta);
    return HM_OK;
}

/* increments = log p*_next(v) - log p*_beta(v). */
static hm_status task_propose(void *context, int64_t shard)
{
    annealing *run = context;
    const hm_walk *walk = &run->walks[shard];
    const double *log_prob = run->log_prob + walk->first_chain;
    double *increments = run->increments + walk->first_chain;
    run->model->class->annealing->log_prob(run->model, walk, run->next, increments);
    for (int64_t chain = 0; chain < walk->state.rows; chain++) increments[chain] -= log_prob[chain];
    return HM_OK;
}

static hm_status task_weigh(void *context, int64_t shard)
{
    annealing *run = context;
    const hm_walk *walk = &run->walks[shard];
    for (int64_t chain = walk->first_chain; chain < walk->first_chain + walk->state.rows; chain++) {
        run->log_weights[chain] += run->increments[chain];
        HM_REQUIRE(
            isfinite(run->log_weights[chain]), HM_ENUMERIC,
            "%s: the log-weight of chain %lld is %g at temperature %lld (beta = %.9g); the parameters hold NaN or "
            "have diverged",
            run->what, (long long)chain, run->log_weights[chain], (long long)run->step, run->next);
    }
    return HM_OK;
}

/* To the temperature that task_propose tried. */
static hm_status task_move(void *context, int64_t shard)
{
    annealing *run = context;
    hm_walk *walk = &run->walks[shard];
    hm_arena_reset(walk->scratch);
    HM_TRY(run->model->class->annealing->move(run->model, walk, run->next, HM_RNG_AIS_HIDDEN, HM_RNG_AIS_VISIBLE,
                                              run->first_step + (uint64_t)run->step));
    measure(run, walk, run->next);
    return HM_OK;
}

/* Accepts the proposal: weighs the chains, and moves them unless the walk ends here. */
static void accept(annealing *run, bool last)
{
    each_shard(run, task_weigh);
    if (!last) each_shard(run, task_move);
    run->beta = run->next;
    run->step++;
}

/* ---- the two ways along a ladder ---- */

/* Along betas, (count), in steps of `direction` (+1 from 0, -1 from 1). Collective. */
static hm_status walk_fixed(annealing *run, const double betas[], int64_t count, int direction)
{
    int64_t at = direction > 0 ? 0 : count - 1;
    run->beta = betas[at];
    each_shard(run, task_start);
    for (int64_t done = 1; done < count; done++) {
        run->next = betas[at += direction];
        each_shard(run, task_propose);
        accept(run, done == count - 1);
        if (done % AGREE_EVERY == 0) HM_TRY(agreed(run));
        hm_pulse_report(&run->pulse, done, count - 1);
    }
    return agreed(run);
}

/* hm_ess_at: the incremental ESS of all chains of all ranks, each counted equally. (The conditional ESS of Zhou,
 * Johansen and Aston 2016 weighs them by their weights so far; without resampling that would let a few chains choose
 * the ladder.) */
static hm_status incremental_ess(void *context, double beta, double *ess)
{
    annealing *run = context;
    hm_comm *comm = run->workers->comm;
    int64_t chains = run->settings->chains;
    run->next = beta;
    each_shard(run, task_propose);
    HM_TRY(agreed(run));
    HM_TRY(comm->all_gather(comm, run->increments, run->gather));
    *ess = hm_effective_sample_size(run->increments, chains) / (double)chains;
    return HM_OK;
}

static hm_status betas_grow(hm_reals *betas, int64_t *room)
{
    if (betas->count < *room) return HM_OK;
    double *grown;
    int64_t wanted = *room ? 2 * *room : ADAPTIVE_ROOM;
    HM_TRY(hm_alloc(&grown, wanted, sizeof *grown, "the ladder of temperatures"));
    if (betas->count) memcpy(grown, betas->at, (size_t)betas->count * sizeof *grown);
    free(betas->at);
    betas->at = grown;
    *room = wanted;
    return HM_OK;
}

/* Up from 0, choosing the temperatures; *betas receives them. Collective. */
static hm_status walk_adaptive(annealing *run, hm_reals *betas)
{
    hm_adaptive ladder = {.beta = 0, .target = run->settings->ess_target};
    int64_t room = 0;
    run->beta = 0;
    each_shard(run, task_start);
    for (;;) {
        if (run->pending == HM_OK) run->pending = betas_grow(betas, &room);
        HM_TRY(agreed(run));
        betas->at[betas->count++] = ladder.beta;
        if (ladder.beta >= 1) return HM_OK;
        HM_REQUIRE(betas->count < HM_LADDER_MAX, HM_ENUMERIC,
                   "AIS: %d adaptive temperatures have come only to beta = %.9g; lower ais.ess_target", HM_LADDER_MAX,
                   ladder.beta);
        HM_TRY(hm_adaptive_next(&ladder, incremental_ess, run));
        accept(run, ladder.beta >= 1);
        hm_pulse_report(&run->pulse, (int64_t)(ladder.beta * PROGRESS_PARTS), PROGRESS_PARTS);
    }
}

/* ---- starts ---- */

/* Forward: independent samples of the base distribution. */
static hm_status task_sample_base(void *context, int64_t shard)
{
    annealing *run = context;
    hm_walk *walk = &run->walks[shard];
    hm_stream stream = {walk->seed, HM_RNG_AIS_START, run->first_step};
    run->model->class->annealing->draw_base(run->model, run->base, &stream, walk->first_chain, walk->state);
    return HM_OK;
}

typedef struct burn_in {
    annealing *run;
    int64_t first, steps;
} burn_in;

static hm_status task_burn_in(void *context, int64_t shard)
{
    burn_in *part = context;
    hm_walk *walk = &part->run->walks[shard];
    hm_arena_reset(walk->scratch);
    hm_gibbs_steps steps = {.seed = walk->seed,
                            .first = HM_RNG_SECOND_WALK + (uint64_t)part->first,
                            .count = part->steps,
                            .first_row = walk->first_chain};
    return part->run->model->class->gibbs(part->run->model, &steps, walk->state, walk->scratch);
}

/* States from the caller's rows. */
typedef struct entry {
    annealing *run;
    hm_matrix start;
} entry;

static hm_status task_enter(void *context, int64_t shard)
{
    entry *from = context;
    hm_walk *walk = &from->run->walks[shard];
    hm_stream stream = {walk->seed, HM_RNG_UPWARD, from->run->first_step};
    hm_arena_reset(walk->scratch);
    return from->run->model->class->enter(from->run->model, hm_rows(from->start, walk->first_chain, walk->state.rows),
                                          &stream, walk->first_chain, walk->scratch, walk->state);
}

/* Down: Gibbs steps of the model from the caller's rows. */
static void start_from_rows(annealing *run, hm_matrix start)
{
    entry from = {run, start};
    run->pending = hm_team_each(run->workers->team, run->shards, task_enter, &from);
    int64_t steps = run->settings->burn_in;
    bool slow = steps > BURN_IN_AT_ONCE;
    if (slow) run->pulse = hm_pulse_start(run->workers->log, "burn-in of reverse AIS");
    for (int64_t done = 0; done < steps && run->pending == HM_OK; done += BURN_IN_AT_ONCE) {
        int64_t left = steps - done;
        burn_in part = {run, done, left < BURN_IN_AT_ONCE ? left : BURN_IN_AT_ONCE};
        run->pending = hm_team_each(run->workers->team, run->shards, task_burn_in, &part);
        if (slow) hm_pulse_report(&run->pulse, done + part.steps, steps);
    }
}

/* ---- results ---- */

/* Gathers the log-weights of all ranks and hands them to *out. Collective. */
static hm_status gather_weights(annealing *run, hm_ais_result *out)
{
    hm_comm *comm = run->workers->comm;
    HM_TRY(comm->all_gather(comm, run->log_weights, run->gather));
    out->log_weights = run->log_weights;
    run->log_weights = NULL;
    out->chains = run->settings->chains;
    return HM_OK;
}

/* log mean(w) and its error as an estimate of log Z; `sign` is -1 when w is Z_base / Z. */
static void summarise(annealing *run, int sign, hm_ais_result *out)
{
    double log_z_base = run->model->class->annealing->log_z_base(run->model, run->base);
    hm_log_mean mean = hm_log_mean_of(out->log_weights, out->chains);
    out->log_z = log_z_base + sign * mean.log_mean;
    out->log_z_stderr = mean.std_error;
    out->log_z_lower = log_z_base + sign * (sign > 0 ? mean.lower : mean.upper);
    out->log_z_upper = log_z_base + sign * (sign > 0 ? mean.upper : mean.lower);
    out->ess = mean.ess;
    out->log_weight_spread = mean.spread;
    for (int64_t chain = 0; chain < out->chains; chain++) out->log_weights[chain] *= sign;
    out->seconds = hm_clock() - run->began;
}

void hm_ais_result_free(hm_ais_result *result)
{
    free(result->log_weights);
    free(result->betas);
    *result = (hm_ais_result){0};
}

hm_status hm_ais_check(const hm_model *model)
{
    HM_REQUIRE(model->class->annealing, HM_EUSAGE,
               "AIS: family %s has no log Z to be estimated by annealing; use another --method", model->class->name);
    return model->class->annealing->check(model);
}

static hm_status anneal_up(annealing *run, hm_ais_result *out)
{
    hm_reals betas = {0};
    bool adaptive = run->settings->ladder == HM_LADDER_ADAPTIVE;
    if (!adaptive) run->pending = hm_ladder_fixed(run->settings, &betas);
    each_shard(run, task_sample_base);
    hm_status status = agreed(run);
    if (status == HM_OK) status = adaptive ? walk_adaptive(run, &betas) : walk_fixed(run, betas.at, betas.count, +1);
    out->betas = betas.at;
    out->temperatures = betas.count;
    HM_TRY(status);
    return gather_weights(run, out);
}

hm_status hm_ais(const hm_model *model, const float base[], const hm_ais_settings *settings, const hm_workers *workers,
                 hm_ais_result *out)
{
    *out = (hm_ais_result){0};
    HM_TRY(hm_ais_check(model));
    annealing run = {.model = model, .workers = workers, .settings = settings, .what = "AIS", .base = base};
    hm_status status = annealing_init(&run);
    if (status == HM_OK) status = anneal_up(&run, out);
    if (status == HM_OK) summarise(&run, +1, out);
    annealing_free(&run);
    if (status != HM_OK) hm_ais_result_free(out);
    return status;
}

/* A copy of the ladder that the run goes down, ascending. */
static hm_status reverse_ladder(const hm_ais_settings *settings, int64_t temperatures, const double *betas,
                                hm_reals *ladder)
{
    if (!betas) return hm_ladder_fixed(settings, ladder);
    hm_ais_settings given = {.ladder = HM_LADDER_CUSTOM, .betas = {temperatures, NULL}};
    HM_TRY(hm_alloc(&given.betas.at, temperatures, sizeof *betas, "the ladder of temperatures"));
    if (temperatures > 0) memcpy(given.betas.at, betas, (size_t)temperatures * sizeof *betas);
    *ladder = given.betas;
    return hm_ladder_check(ladder->at, ladder->count);
}

/* Down from the caller's rows, after settings->burn_in Gibbs steps. Collective. */
static hm_status anneal_down(annealing *run, hm_matrix start, int64_t temperatures, const double *betas,
                             hm_ais_result *out)
{
    hm_reals ladder = {0};
    run->pending = reverse_ladder(run->settings, temperatures, betas, &ladder);
    out->betas = ladder.at;
    out->temperatures = ladder.count;
    HM_TRY(agreed(run));
    start_from_rows(run, start);
    HM_TRY(agreed(run));
    run->pulse = hm_pulse_start(run->workers->log, run->what);
    HM_TRY(walk_fixed(run, ladder.at, ladder.count, -1));
    return gather_weights(run, out);
}

hm_status hm_ais_reverse(const hm_model *model, const float base[], hm_matrix start, const hm_ais_settings *settings,
                         int64_t temperatures, const double *betas, const hm_workers *workers, hm_ais_result *out)
{
    *out = (hm_ais_result){0};
    HM_TRY(hm_ais_check(model));
    HM_REQUIRE(start.rows == settings->chains && start.columns == model->visible, HM_EINTERNAL,
               "reverse AIS: start is %lld x %lld, but %lld chains of %lld units are wanted", (long long)start.rows,
               (long long)start.columns, (long long)settings->chains, (long long)model->visible);
    annealing run = {.model = model,
                     .workers = workers,
                     .settings = settings,
                     .what = "reverse AIS",
                     .base = base,
                     .first_step = HM_RNG_SECOND_WALK};
    hm_status status = annealing_init(&run);
    if (status == HM_OK) status = anneal_down(&run, start, temperatures, betas, out);
    if (status == HM_OK) summarise(&run, -1, out);
    annealing_free(&run);
    if (status != HM_OK) hm_ais_result_free(out);
    return status;
}

/* ---- RAISE ---- */

/* Each row as often as it has chains, one after another. */
static hm_status repeat_rows(hm_matrix rows, int64_t times, hm_matrix *out)
{
    *out = (hm_matrix){NULL, rows.rows * times, rows.columns};
    HM_TRY(hm_alloc(&out->at, out->rows, (size_t)rows.columns * sizeof(float), "starts of RAISE"));
    for (int64_t row = 0; row < out->rows; row++)
        memcpy(out->at + row * rows.columns, rows.at + row / times * rows.columns,
               (size_t)rows.columns * sizeof(float));
    return HM_OK;
}

/* From the log-weights of all runs (rows, times) to what hm_raise says, in place. */
static void summarise_rows(annealing *run, int64_t rows, int64_t times, hm_ais_result *out)
{
    double sum = 0, squares = 0, log_z_base = run->model->class->annealing->log_z_base(run->model, run->base);
    for (int64_t row = 0; row < rows; row++) {
        const double *weights = out->log_weights + row * times;
        hm_log_mean weight = hm_log_mean_of(weights, times);
        out->ess += weight.ess / (double)rows;
        out->log_weights[row] = -weight.log_mean; /* row <= row * times: these weights are not needed any more */
        sum -= weight.log_mean;
    }
    double mean = sum / (double)rows;
    for (int64_t row = 0; row < rows; row++) squares += pow(out->log_weights[row] - mean, 2);
    out->chains = rows;
    out->log_weight_spread = sqrt(squares / (double)(rows - 1));
    out->log_z = log_z_base + mean;
    out->log_z_stderr = out->log_weight_spread / sqrt((double)rows);
    out->log_z_lower = out->log_z - 3 * out->log_z_stderr;
    out->log_z_upper = out->log_z + 3 * out->log_z_stderr;
    out->seconds = hm_clock() - run->began;
}

hm_status hm_raise_check(const hm_model *model)
{
    HM_TRY(hm_ais_check(model));
    HM_REQUIRE(!model->class->bound, HM_EUSAGE,
               "RAISE starts from the hidden units' posterior, which family %s only bounds (%s)", model->class->name,
               model->class->bound);
    return HM_OK;
}

hm_status hm_raise(const hm_model *model, const float base[], hm_matrix rows, const hm_ais_settings *settings,
                   int64_t temperatures, const double *betas, const hm_workers *workers, hm_ais_result *out)
{
    hm_ais_settings own = *settings;
    hm_matrix start = {0};
    *out = (hm_ais_result){0};
    HM_TRY(hm_raise_check(model));
    HM_REQUIRE(rows.rows >= 2 && rows.columns == model->visible, HM_EINTERNAL,
               "RAISE: %lld rows of %lld; it takes two at least, of %lld units", (long long)rows.rows,
               (long long)rows.columns, (long long)model->visible);
    own.chains = rows.rows * settings->raise_chains;
    own.burn_in = 1; /* the transition at beta = 1, which comes before the first weight */
    annealing run = {.model = model,
                     .workers = workers,
                     .settings = &own,
                     .what = "RAISE",
                     .base = base,
                     .first_step = HM_RNG_SECOND_WALK};
    hm_status status = annealing_init(&run);
    if (status == HM_OK)
        status = workers->comm->agree(workers->comm, repeat_rows(rows, settings->raise_chains, &start));
    if (status == HM_OK) status = anneal_down(&run, start, temperatures, betas, out);
    if (status == HM_OK) summarise_rows(&run, rows.rows, settings->raise_chains, out);
    free(start.at);
    annealing_free(&run);
    if (status != HM_OK) hm_ais_result_free(out);
    return status;
}
