/* The threads of one rank (OpenMP). BLAS and kernels run on one thread inside each. */
#ifndef HM_TEAM_H
#define HM_TEAM_H

#include "core/status.h"

#include <stdint.h>

typedef struct hm_team {
    int threads; /* at least 1 */
} hm_team;

/* Calls work(context, item) for every item in [0, items), shared among the threads; returns the worst outcome. Items
 * must not depend on one another. Not collective. */
hm_status hm_team_each(const hm_team *team, int64_t items, hm_status (*work)(void *context, int64_t item),
                       void *context);

#endif
