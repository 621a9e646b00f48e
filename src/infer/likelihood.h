/* Log-likelihood of models with an intractable normaliser: exact enumeration, AIS and reverse AIS.
 *
 * All estimates are of log Z in nats; sums are float64. Chains are cut into the run's shards, and every function is
 * collective over comm and gives the same bits on any number of ranks and threads.
 */
#ifndef HM_LIKELIHOOD_H
#define HM_LIKELIHOOD_H

#include "core/comm.h"
#include "core/log.h"
#include "core/source.h"
#include "models/model.h"

enum { HM_ENUMERATION_MAX = 25 }; /* units of the enumerated layer */

/* Which workers share the work; `shards` is a multiple of comm->size. */
typedef struct hm_workers {
    hm_comm *comm;
    const hm_team *team;
    int shards;
    uint64_t seed;
    hm_log *log;
} hm_workers;

/* The shards of this rank. */
static inline hm_range hm_own_shards(const hm_workers *workers)
{
    return hm_part(workers->shards, workers->comm->size, workers->comm->rank);
}

/* log Z by enumeration of the smaller layer. HM_EUSAGE when it has more than HM_ENUMERATION_MAX units. Collective. */
hm_status hm_exact_log_z(const hm_model *model, const hm_workers *workers, double *log_z);

/* HM_EUSAGE when a model cannot be enumerated. Not collective. */
hm_status hm_exact_check(const hm_model *model);

typedef enum hm_base { HM_BASE_DATA, HM_BASE_UNIFORM } hm_base;
typedef enum hm_ladder {
    HM_LADDER_LINEAR,
    HM_LADDER_SALAKHUTDINOV2008, /* 0:1e-3:.5, .5:1e-4:.9, .9:1e-5:1: 14,503 values with both ends of each part */
    HM_LADDER_ADAPTIVE,          /* the next beta keeps the ESS of that step's weights at ess_target of all chains */
    HM_LADDER_CUSTOM,
} hm_ladder;

typedef struct hm_ais_settings {
    int64_t chains;       /* annealing runs over all shards */
    int ladder;           /* hm_ladder */
    int64_t temperatures; /* of the linear ladder, both ends included */
    double ess_target;    /* adaptive: fraction of the chains, in (0, 1) */
    hm_reals betas;       /* custom: ascending from 0 to 1 */
    int64_t burn_in;      /* reverse: Gibbs steps from data rows before the first weight */
    int64_t raise_rows;   /* RAISE: rows of the data that are annealed; 0: all */
    int64_t raise_chains; /* RAISE: annealing runs of each of them */
} hm_ais_settings;

extern const hm_settings_table hm_ais_table; /* section "ais" */
hm_status hm_ais_settings_check(const hm_ais_settings *settings);

typedef struct hm_ais_result {
    double log_z;                    /* log of the mean weight, plus log Z of the base */
    double log_z_stderr;             /* standard error of log_z (delta method: sd(w) / (mean(w) sqrt(chains))) */
    double log_z_lower, log_z_upper; /* log(mean w -+ 3 sd(w) / sqrt(chains)) + log Z of the base; lower may be -inf */
    double ess;                      /* (sum w)^2 / sum w^2 */
    double log_weight_spread;        /* standard deviation of the log-weights, nats */
    int64_t chains, temperatures;
    double *log_weights; /* (chains) owned, in the order of the chains, on every rank: each chain's own estimate of
                          * log Z minus log Z of the base, so minus the sum of its steps for reverse AIS */
    double *betas;       /* (temperatures) owned, ascending */
    double seconds;      /* this rank's; the rest has the same bits on all */
} hm_ais_result;

void hm_ais_result_free(hm_ais_result *result);

/* AIS (Neal 2001; Salakhutdinov & Murray 2008) from independent units with the biases `base` (state_columns) to the
 * model. E[w] = Z / Z_base, so the estimate of log Z is low on average. Two runs with one seed share their random
 * numbers, whatever the base. HM_ENUMERIC, naming the temperature, when a weight is not finite. Free *out with
 * hm_ais_result_free; nothing is left in it after a failure. Collective. */
hm_status hm_ais(const hm_model *model, const float base[], const hm_ais_settings *settings, const hm_workers *workers,
                 hm_ais_result *out);

/* Reverse AIS (Burda, Grosse, Salakhutdinov 2015; Grosse, Ancha, Roy 2016): from (approximate) samples of the model,
 * obtained by burn_in Gibbs steps from `start`, down to the base. E[1/w] = Z_base / Z for exact samples, so the
 * estimate is high on average. start: (chains, visible) rows of training data, the same on every rank. betas: the
 * ladder of a forward run, or NULL for the settings' own (an adaptive ladder needs the forward run's). log_z, its error
 * and interval, and ess are of the mean of 1/w; the upper end may be +inf. Shares no random numbers with hm_ais.
 * Collective. */
hm_status hm_ais_reverse(const hm_model *model, const float base[], hm_matrix start, const hm_ais_settings *settings,
                         int64_t temperatures, const double *betas, const hm_workers *workers, hm_ais_result *out);

/* RAISE (Burda, Grosse, Salakhutdinov 2015): the probability of each row under the distribution that AIS with this
 * ladder ends in, p_ann, by annealing down from the row itself. With w the weight of such a run, E[w] = p_ann(v) Z_base
 * / p*(v), so that the mean of log(mean w) over rows is low on average: a conservative estimate of how well p_ann,
 * which can be sampled from, explains the rows. It needs no sample of the model, but the
 * hidden units' exact posterior: HM_EUSAGE for families that bound it. p_ann is the model only when annealing
 * reaches it: where the model has far modes that AIS misses, p_ann may explain the data better than the model does.
 * out->log_z is what log Z would have to be,
 *
 *     log Z_base - mean over rows of log(mean w),       mean log p_ann(v) >= -(mean free energy) - log_z on average;
 *
 * its error is that of the mean over rows (of which there are two at least). rows: (n, visible), the same on every
 * rank; settings->raise_chains runs of each. out->chains is n, log_weights are -log(mean w) of each row, and so is the
 * spread; ess is the mean over rows. betas as for hm_ais_reverse. Collective. */
hm_status hm_raise(const hm_model *model, const float base[], hm_matrix rows, const hm_ais_settings *settings,
                   int64_t temperatures, const double *betas, const hm_workers *workers, hm_ais_result *out);

/* Whether a method can be had of this model at all: AIS and reverse AIS; RAISE. HM_EUSAGE. Not collective. */
hm_status hm_ais_check(const hm_model *model);
hm_status hm_raise_check(const hm_model *model);

/* biases: (state_columns), log(rate / (1 - rate)) of the data's base rates (0 of hidden units) or zeros. Not
 * collective. */
void hm_base_biases(const hm_model *model, hm_base base, float biases[]);

#endif
