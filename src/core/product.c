#include "core/product.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

hm_status hm_packed_init(hm_packed *packed, int64_t depth, int64_t columns)
{
    *packed = (hm_packed){.depth = depth, .columns = columns, .kernels = hm_kernels_best()};
    int64_t size;
    bool fits = depth >= 0 && columns >= 0 && columns <= INT64_MAX - HM_PANEL &&
                !__builtin_mul_overflow((columns + HM_PANEL - 1) / HM_PANEL * HM_PANEL, depth, &size);
    HM_REQUIRE(fits, HM_EINTERNAL, "packed weights: a matrix cannot be %lld x %lld", (long long)depth,
               (long long)columns);
    return hm_alloc(&packed->panels, size, sizeof(float), "packed weights");
}

void hm_packed_free(hm_packed *packed)
{
    free(packed->panels);
    *packed = (hm_packed){0};
}

typedef struct packing {
    hm_matrix w;
    const hm_packed *up, *down; /* either may be NULL */
    const hm_kernels *kernels;
} packing;

/* A block of rows of w is a panel of its transpose. It is read once for both. */
static hm_status pack_block(void *context, int64_t block)
{
    const packing *job = context;
    hm_matrix w = job->w;
    const hm_packed *up = job->up, *down = job->down;
    int64_t panel = job->kernels->panel, begin = block * panel, end = begin + panel < w.rows ? begin + panel : w.rows;
    if (up) job->kernels->pack_rows(up->depth, up->columns, begin, end, w.at, up->panels);
    if (down && end > down->columns) end = down->columns;
    if (down && end > begin)
        job->kernels->transpose(end - begin, w.columns, w.at + begin * w.columns, w.columns,
                                down->panels + begin * down->depth, panel);
    return HM_OK;
}

void hm_pack_both(hm_packed *up, hm_packed *down, hm_matrix w, const hm_team *team)
{
    packing job = {w, up, down, (up ? up : down)->kernels};
    int64_t panel = job.kernels->panel;
    (void)hm_team_each(team, (w.rows + panel - 1) / panel, pack_block, &job); /* cannot fail */
}

void hm_pack_weights(hm_packed *packed, hm_matrix w, const hm_team *team) { hm_pack_both(packed, NULL, w, team); }

void hm_pack_transposed(hm_packed *packed, hm_matrix w, const hm_team *team) { hm_pack_both(NULL, packed, w, team); }

void hm_product(hm_matrix x, const hm_packed *packed, float *out)
{
    packed->kernels->product(packed->tables, x.rows, packed->depth, packed->columns, x.at, packed->panels, out);
}
