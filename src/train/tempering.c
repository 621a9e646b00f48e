#include "train/tempering.h"

#include <math.h>
#include <string.h>

static const double RATE_MEMORY = 0.01; /* share of an update in the running rates */

void hm_tempering_init(hm_tempering *tempering, int count, double adapt)
{
    *tempering = (hm_tempering){.count = count, .adapt = adapt};
    for (int at = 0; at < count; at++) {
        tempering->betas[at] = 1.0 - (double)at / (double)(count - 1);
        tempering->rates[at] = 0.5;
    }
}

int64_t hm_tempering_columns(const hm_tempering *tempering, const hm_model *model)
{
    return tempering->count * hm_state_columns(model);
}

/* ---- the replicas of one shard's chains ------------------------------------------------------------------------- */

typedef struct replicas {
    const hm_tempering *tempering;
    const hm_model *model;
    int64_t chains;
    hm_walk walk[HM_TEMPERATURES_MAX]; /* one a temperature, over all chains */
    hm_arena moves;                    /* the walks' scratch */
    double *log_prob[4];               /* (chains) of two neighbours, each at both temperatures */
} replicas;

static size_t doubles_bytes(int64_t count) { return hm_arena_bytes(2 * count); }

size_t hm_tempering_bytes(const hm_tempering *tempering, const hm_model *model, int64_t chains)
{
    const hm_annealing *family = model->class->annealing;
    if (tempering->count == 0) return 0;
    size_t one = hm_arena_bytes(chains * hm_state_columns(model)) +
                 hm_arena_bytes(chains * family->input_columns(model)) + 2 * doubles_bytes(chains);
    size_t moves = family->scratch_bytes(model, chains);
    return (size_t)tempering->count * one + 4 * doubles_bytes(chains) +
           hm_arena_bytes((int64_t)(moves / sizeof(float)));
}

static hm_status lay_out_walk(replicas *r, hm_shard *shard, int at)
{
    int64_t units = hm_state_columns(r->model), columns = r->model->class->annealing->input_columns(r->model);
    hm_walk *walk = &r->walk[at];
    *walk = (hm_walk){.seed = shard->seed,
                      .state = {NULL, r->chains, units},
                      .inputs = {NULL, r->chains, columns},
                      .first_chain = shard->first_chain,
                      .base = r->model->class->base_biases(r->model),
                      .scratch = &r->moves};
    HM_TRY(hm_arena_floats(shard->scratch, r->chains * units, &walk->state.at));
    HM_TRY(hm_arena_floats(shard->scratch, r->chains * columns, &walk->inputs.at));
    HM_TRY(hm_arena_doubles(shard->scratch, r->chains, &walk->energy));
    return hm_arena_doubles(shard->scratch, r->chains, &walk->base_energy);
}

static hm_status lay_out(replicas *r, hm_shard *shard)
{
    size_t bytes = r->model->class->annealing->scratch_bytes(r->model, r->chains);
    float *moves;
    for (int at = 0; at < r->tempering->count; at++) HM_TRY(lay_out_walk(r, shard, at));
    for (int at = 0; at < 4; at++) HM_TRY(hm_arena_doubles(shard->scratch, r->chains, &r->log_prob[at]));
    HM_TRY(hm_arena_floats(shard->scratch, (int64_t)(bytes / sizeof(float)), &moves));
    r->moves = (hm_arena){.base = (void *)moves, .size = bytes};
    return HM_OK;
}

/* Between shard->chains, a chain a row, and the walks, a temperature a block. */
static void copy_states(const replicas *r, hm_matrix chains, bool into_walks)
{
    int64_t units = hm_state_columns(r->model);
    for (int at = 0; at < r->tempering->count; at++)
        for (int64_t chain = 0; chain < r->chains; chain++) {
            float *stored = chains.at + chain * chains.columns + at * units,
                  *state = r->walk[at].state.at + chain * units;
            memcpy(into_walks ? state : stored, into_walks ? stored : state, (size_t)units * sizeof(float));
        }
}

hm_status hm_tempering_start(const hm_tempering *tempering, const hm_model *model, hm_shard *shard)
{
    int64_t units = hm_state_columns(model);
    const float *base = model->class->base_biases(model);
    for (int at = 0; at < tempering->count; at++)
        for (int64_t chain = 0; chain < shard->chains.rows; chain++) {
            hm_stream stream = {shard->seed, HM_RNG_CHAIN_START, (uint64_t)at};
            float *state = shard->chains.at + chain * shard->chains.columns + at * units;
            model->class->annealing->draw_base(model, base, &stream, shard->first_chain + chain,
                                               (hm_matrix){state, 1, units});
        }
    return HM_OK;
}

/* ---- moves and swaps -------------------------------------------------------------------------------------------- */

static void swap_bytes(void *a, void *b, size_t bytes)
{
    unsigned char *x = a, *y = b;
    for (size_t at = 0; at < bytes; at++) {
        unsigned char kept = x[at];
        x[at] = y[at];
        y[at] = kept;
    }
}

/* The states of a chain at two temperatures, and what is cached of them. */
static void exchange(hm_walk *a, hm_walk *b, int64_t chain)
{
    int64_t units = a->state.columns, columns = a->inputs.columns;
    swap_bytes(a->state.at + chain * units, b->state.at + chain * units, (size_t)units * sizeof(float));
    swap_bytes(a->inputs.at + chain * columns, b->inputs.at + chain * columns, (size_t)columns * sizeof(float));
    swap_bytes(&a->energy[chain], &b->energy[chain], sizeof(double));
    swap_bytes(&a->base_energy[chain], &b->base_energy[chain], sizeof(double));
}

/* Accepts with probability min(1, p_a(w) p_b(v) / (p_a(v) p_b(w))), v at temperature a = m and w at b = m + 1. */
static void swap_pair(replicas *r, int m, uint64_t step, double counts[])
{
    const hm_annealing *family = r->model->class->annealing;
    hm_walk *v = &r->walk[m], *w = &r->walk[m + 1];
    double a = r->tempering->betas[m], b = r->tempering->betas[m + 1];
    hm_stream stream = {v->seed, HM_RNG_SWAP, step};
    family->log_prob(r->model, v, a, r->log_prob[0]);
    family->log_prob(r->model, v, b, r->log_prob[1]);
    family->log_prob(r->model, w, a, r->log_prob[2]);
    family->log_prob(r->model, w, b, r->log_prob[3]);
    for (int64_t chain = 0; chain < r->chains; chain++) {
        double gain = r->log_prob[2][chain] + r->log_prob[1][chain] - r->log_prob[0][chain] - r->log_prob[3][chain];
        counts[2 * m]++;
        if (!((double)hm_random_uniform(&stream, v->first_chain + chain, m) < exp(gain))) continue;
        counts[2 * m + 1]++;
        exchange(v, w, chain);
    }
}

static hm_status gibbs_step(replicas *r, uint64_t step)
{
    for (int at = 0; at < r->tempering->count; at++) {
        hm_arena_reset(&r->moves);
        HM_TRY(r->model->class->annealing->move(r->model, &r->walk[at], r->tempering->betas[at], HM_RNG_CHAIN_HIDDEN,
                                                HM_RNG_CHAIN_VISIBLE, step * HM_TEMPERATURES_MAX + (uint64_t)at));
    }
    return HM_OK;
}

hm_status hm_tempering_move(const hm_tempering *tempering, const hm_model *model, hm_shard *shard,
                            double counts[HM_SWAP_COUNTS])
{
    replicas r = {.tempering = tempering, .model = model, .chains = shard->chains.rows};
    memset(counts, 0, HM_SWAP_COUNTS * sizeof counts[0]);
    HM_TRY(lay_out(&r, shard));
    copy_states(&r, shard->chains, true);
    for (int at = 0; at < tempering->count; at++) { /* the parameters have changed since these were cached */
        hm_arena_reset(&r.moves);
        HM_TRY(model->class->annealing->refresh(model, &r.walk[at]));
    }
    for (int64_t k = 0; k < shard->how->k; k++) {
        uint64_t step = shard->step * (uint64_t)shard->how->k + (uint64_t)k;
        HM_TRY(gibbs_step(&r, step));
        for (int m = (int)(step % 2); m + 1 < tempering->count; m += 2) swap_pair(&r, m, step, counts);
    }
    copy_states(&r, shard->chains, false);
    shard->samples = r.walk[0].state;
    return HM_OK;
}

/* ---- the ladder ------------------------------------------------------------------------------------------------- */

/* Only sums and products: the same bits on every processor. */
void hm_tempering_adapt(hm_tempering *tempering, const double counts[HM_SWAP_COUNTS])
{
    int pairs = tempering->count - 1;
    double mean = 0, total = 0, gap[HM_TEMPERATURES_MAX];
    for (int m = 0; m < pairs; m++) {
        if (counts[2 * m] > 0)
            tempering->rates[m] += RATE_MEMORY * (counts[2 * m + 1] / counts[2 * m] - tempering->rates[m]);
        mean += tempering->rates[m] / pairs;
    }
    for (int m = 0; m < pairs; m++) {
        gap[m] = tempering->betas[m] - tempering->betas[m + 1];
        gap[m] *= 1 + tempering->adapt * (tempering->rates[m] - mean);
        total += gap[m];
    }
    for (int m = 0; m + 1 < pairs; m++) tempering->betas[m + 1] = tempering->betas[m] - gap[m] / total;
}
