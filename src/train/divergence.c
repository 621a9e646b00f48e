#include "train/divergence.h"

#include "core/kernels.h"

#include <math.h>
#include <stdio.h>

enum { STANDS_STILL = 100 };        /* updates, and an epoch, in which no unit of any chain is seen to change */
static const double EXPLODED = 100; /* root mean square of weights; those of models that explain data are below 5 */

/* lower: the key of a learning rate. */
static hm_status diverged(const hm_contrast *contrast, const char *what, const char *lower, const hm_optimizer *mover)
{
    const char *stage = contrast->stage;
    return hm_fail(HM_ENUMERIC, "training diverged%s%s%s: %s after update %lld (epoch %lld); lower %s (now %g)",
                   stage ? " in stage '" : "", stage ? stage : "", stage ? "'" : "", what, (long long)contrast->step,
                   (long long)contrast->epoch + 1, lower, mover->settings.learning_rate);
}

hm_status hm_diverged(const hm_contrast *contrast, const char *what)
{
    return diverged(contrast, what, contrast->stage ? "its learning_rate" : "train.learning_rate",
                    &contrast->optimizer);
}

hm_status hm_contrast_check_finite(const hm_contrast *contrast)
{
    const hm_layout *layout = &contrast->model->layout;
    for (int tensor = 0; tensor < layout->count; tensor++) {
        hm_matrix values = hm_pack_matrix(layout, contrast->model->params, tensor);
        int64_t size = values.rows * values.columns;
        char what[128];
        double norm = sqrt(hm_kernels_best()->dot(size, values.at, values.at) / (double)size);
        if (!isfinite(norm))
            snprintf(what, sizeof what, "parameter %s is not finite", layout->tensors[tensor].name);
        else if (layout->tensors[tensor].decays && norm > EXPLODED)
            snprintf(what, sizeof what, "the weights %s have exploded (root mean square %.3g)",
                     layout->tensors[tensor].name, norm);
        else
            continue;
        if (!contrast->adversary.learns[tensor]) return hm_diverged(contrast, what);
        return diverged(contrast, what, "discriminator.learning_rate", &contrast->adversary);
    }
    return HM_OK;
}

/* A sum of the chains' states, with parallel tempering of those of the model itself, which come first, with weights by
 * their place: when it stays, to the last bit, so did they. */
static double sum_of_states(const hm_contrast *contrast)
{
    hm_matrix chains = contrast->chains;
    int64_t replicas = contrast->tempering.count > 0 ? contrast->tempering.count : 1, own = chains.columns / replicas;
    double sum = 0;
    for (int64_t chain = 0; chain < chains.rows; chain++)
        for (int64_t i = 0; i < own; i++)
            sum += (double)chains.at[chain * chains.columns + i] * (double)((chain * own + i) % 8191 + 1);
    return sum;
}

hm_status hm_contrast_check_alive(hm_contrast *contrast)
{
    hm_comm *comm = contrast->workers->comm;
    const char *fault = contrast->objective->fault ? contrast->objective->fault(contrast->model, &contrast->how) : NULL;
    if (fault) return hm_diverged(contrast, fault);
    if (contrast->all_chains == 0) return HM_OK;
    double sum = sum_of_states(contrast), moved = sum != contrast->chain_sum; /* a NaN before the first row differs */
    int64_t steps = hm_contrast_epoch(contrast);
    contrast->chain_sum = sum;
    HM_TRY(comm->reduce_double(comm, &moved, 1));
    if (moved > 0) contrast->chains_moved = contrast->step;
    int64_t still = contrast->step - contrast->chains_moved;
    return still < steps || still < STANDS_STILL ? HM_OK
                                                 : hm_diverged(contrast, "the persistent chains have stopped moving");
}
