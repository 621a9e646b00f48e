/* The threads of one rank. BLAS and kernels run on one thread inside each.
 *
 * A thread that waits polls for 200 microseconds, or 20 when other programs have its colleagues' cores, and then
 * sleeps. The variables of OpenMP change that: OMP_WAIT_POLICY (passive: sleep at once; active: never) and
 * GOMP_SPINCOUNT (polls before it sleeps). They are read once. */
#ifndef HM_TEAM_H
#define HM_TEAM_H

#include "core/status.h"

#include <stdint.h>

typedef struct hm_team {
    int threads; /* at least 1 */
} hm_team;

/* Calls work(context, item) for every item in [0, items), shared among the threads; returns the worst outcome. Items
 * must not depend on one another, nor on the thread that has them. Threads are started when they are first needed, and
 * stay; where the system refuses some, the others do their work. A call from inside `work` does all items itself. Not
 * collective. */
hm_status hm_team_each(const hm_team *team, int64_t items, hm_status (*work)(void *context, int64_t item),
                       void *context);

/* Cores that this process was started on. */
int hm_team_cores(void);

#endif
