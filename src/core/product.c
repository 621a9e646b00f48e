#include "core/product.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <stdlib.h>

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
} packing;

/* Rows of w, into the panels of its transpose that they are. */
static void pack_down(const hm_packed *down, hm_matrix w, hm_range rows)
{
    int64_t panel = down->kernels->panel, end = rows.end < down->columns ? rows.end : down->columns;
    for (int64_t row = rows.begin; row < end; row += panel)
        down->kernels->transpose(end - row < panel ? end - row : panel, w.columns, w.at + row * w.columns, w.columns,
                                 down->panels + row * down->depth, panel);
}

/* A block of rows of w is read once for both. */
static hm_status pack_block(void *context, int64_t block)
{
    const packing *job = context;
    hm_range rows = {block * HM_PANEL, (block + 1) * HM_PANEL};
    if (rows.end > job->w.rows) rows.end = job->w.rows;
    if (job->up)
        job->up->kernels->pack_rows(job->up->depth, job->up->columns, rows.begin, rows.end, job->w.at, job->up->panels);
    if (job->down) pack_down(job->down, job->w, rows);
    return HM_OK;
}

void hm_pack_both(hm_packed *up, hm_packed *down, hm_matrix w, const hm_team *team)
{
    packing job = {w, up, down};
    (void)hm_team_each(team, (w.rows + HM_PANEL - 1) / HM_PANEL, pack_block, &job); /* cannot fail */
}

void hm_pack_weights(hm_packed *packed, hm_matrix w, const hm_team *team) { hm_pack_both(packed, NULL, w, team); }

void hm_pack_transposed(hm_packed *packed, hm_matrix w, const hm_team *team) { hm_pack_both(NULL, packed, w, team); }

void hm_product(hm_matrix x, const hm_packed *packed, float *out)
{
    packed->kernels->product(packed->tables, x.rows, packed->depth, packed->columns, x.at, packed->panels, out);
}
