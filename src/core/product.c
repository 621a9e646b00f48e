#include "core/product.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

enum { GRAIN = 16 }; /* panel widths are multiples of this: one AVX-512 vector */

static int64_t panels_of(const hm_packed *packed) { return (packed->columns + HM_PANEL - 1) / HM_PANEL; }

/* Columns of a panel that are weights, and its width with padding. */
static int64_t panel_columns(const hm_packed *packed, int64_t panel)
{
    int64_t left = packed->columns - panel * HM_PANEL;
    return left < HM_PANEL ? left : HM_PANEL;
}
static int64_t panel_width(const hm_packed *packed, int64_t panel)
{
    return (panel_columns(packed, panel) + GRAIN - 1) / GRAIN * GRAIN;
}

/* All panels before the last are full. */
static float *panel_at(const hm_packed *packed, int64_t panel)
{
    return packed->panels + panel * packed->depth * HM_PANEL;
}

hm_status hm_packed_init(hm_packed *packed, int64_t depth, int64_t columns)
{
    *packed = (hm_packed){.depth = depth, .columns = columns};
    int64_t size;
    bool fits = depth >= 0 && columns >= 0 && columns <= INT64_MAX - GRAIN &&
                !__builtin_mul_overflow((columns + GRAIN - 1) / GRAIN * GRAIN, depth, &size);
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
    hm_packed *up, *down; /* either may be NULL */
} packing;

/* Rows of w, into all panels of `up`. */
static void pack_rows(const hm_packed *up, hm_matrix w, hm_range rows)
{
    for (int64_t k = rows.begin; k < rows.end; k++)
        for (int64_t panel = 0; panel < panels_of(up); panel++) {
            const float *from = w.at + k * w.columns + panel * HM_PANEL;
            float *to = panel_at(up, panel) + k * panel_width(up, panel);
            int64_t columns = panel_columns(up, panel);
            if (columns == HM_PANEL)
                memcpy(to, from, HM_PANEL * sizeof(float)); /* a few vectors, without a call */
            else
                memcpy(to, from, (size_t)columns * sizeof(float));
        }
}

/* A block of rows of w is a panel of its transpose. It is read once for both. */
static hm_status pack_block(void *context, int64_t block)
{
    const packing *job = context;
    hm_matrix w = job->w;
    hm_range rows = {block * HM_PANEL, block * HM_PANEL + HM_PANEL};
    if (rows.end > w.rows) rows.end = w.rows;
    if (job->up) pack_rows(job->up, w, rows);
    if (job->down && rows.end > job->down->columns) rows.end = job->down->columns;
    if (job->down && rows.end > rows.begin)
        hm_kernels_best()->transpose(hm_count(rows), w.columns, w.at + rows.begin * w.columns, w.columns,
                                     panel_at(job->down, block), panel_width(job->down, block));
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
    hm_kernels_best()->product(packed->tables, x.rows, packed->depth, packed->columns, x.at, packed->panels, out);
}
