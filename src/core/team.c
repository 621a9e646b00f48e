#include "core/team.h"

#include <omp.h>

hm_status hm_team_each(const hm_team *team, int64_t items, hm_status (*work)(void *context, int64_t item),
                       void *context)
{
    hm_status worst = HM_OK;
    int threads = team->threads < items ? team->threads : (int)items;
    if (threads <= 1) {
        for (int64_t item = 0; item < items; item++) worst = hm_worse(worst, work(context, item));
        return worst;
    }
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t item = 0; item < items; item++) {
        hm_status status = work(context, item);
        if (status != HM_OK) {
#pragma omp critical(hm_team_worst)
            worst = hm_worse(worst, status);
        }
    }
    return worst;
}
