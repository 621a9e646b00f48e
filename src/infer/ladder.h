/* Temperature ladders for annealed importance sampling: 0 = beta_0 <= beta_1 <= ... = 1.
 *
 * A fixed ladder is an array. An adaptive one is found while the chains walk: the next temperature is as far as the
 * chains can go before the weights of that one step become uneven.
 */
#ifndef HM_LADDER_H
#define HM_LADDER_H

#include "core/settings.h"
#include "infer/likelihood.h"

enum { HM_LADDER_MAX = 1000000 }; /* temperatures */

/* The settings' ladder into *betas, whose array the caller frees. HM_EUSAGE for the adaptive one, which has no array,
 * and for custom temperatures that hm_ladder_check refuses. Not collective. */
hm_status hm_ladder_fixed(const hm_ais_settings *settings, hm_reals *betas);

/* HM_EUSAGE unless betas: (count) ascend from 0 to 1 (a temperature may repeat); the message names the entry
 * and its value. */
hm_status hm_ladder_check(const double betas[], int64_t count);

/* Where an adaptive ladder stands. Start with {.beta = 0, .target = ...} and step 0. */
typedef struct hm_adaptive {
    double beta;   /* the current temperature */
    double target; /* ESS of one step's weights that must be kept, as a fraction of the chains, in (0, 1) */
    double step;   /* length of the last step, the first guess for the next; 0 at the start */
} hm_adaptive;

/* ESS, as a fraction of the chains, of the weights of a step from the current temperature to `beta`. */
typedef hm_status (*hm_ess_at)(void *context, double beta, double *ess);

/* Moves ladder->beta to the next temperature: the farthest, to within a tenth of the permitted loss, at which ess_at is
 * not below the target, and at most 1. The last call of ess_at was made at that temperature. Every rank that sees the
 * same ESS makes the same calls, so ess_at may be collective. HM_ENUMERIC when the ESS is NaN or no step is short
 * enough. */
hm_status hm_adaptive_next(hm_adaptive *ladder, hm_ess_at ess_at, void *context);

#endif
