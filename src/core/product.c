#include "core/product.h"

#include "core/kernels.h"
#include "core/memory.h"

#include <stdlib.h>

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
    hm_packed *packed;
    const float *w;
} packing;

static hm_status pack_panel(void *context, int64_t panel)
{
    const packing *job = context;
    const hm_packed *packed = job->packed;
    int64_t columns = panel_columns(packed, panel), width = panel_width(packed, panel);
    const float *from = job->w + panel * HM_PANEL;
    float *to = panel_at(packed, panel);
    for (int64_t k = 0; k < packed->depth; k++)
        for (int64_t c = 0; c < columns; c++) to[k * width + c] = from[k * packed->columns + c];
    return HM_OK;
}

static hm_status pack_panel_transposed(void *context, int64_t panel)
{
    const packing *job = context;
    const hm_packed *packed = job->packed;
    const float *from = job->w + panel * HM_PANEL * packed->depth; /* w: (columns, depth) */
    hm_kernels_best()->transpose(panel_columns(packed, panel), packed->depth, from, packed->depth,
                                 panel_at(packed, panel), panel_width(packed, panel));
    return HM_OK;
}

void hm_pack_weights(hm_packed *packed, hm_matrix w, const hm_team *team)
{
    packing job = {packed, w.at};
    (void)hm_team_each(team, panels_of(packed), pack_panel, &job); /* cannot fail */
}

void hm_pack_transposed(hm_packed *packed, hm_matrix w, const hm_team *team)
{
    packing job = {packed, w.at};
    (void)hm_team_each(team, panels_of(packed), pack_panel_transposed, &job); /* cannot fail */
}

void hm_product(hm_matrix x, const hm_packed *packed, float *out)
{
    hm_kernels_best()->product(packed->tables, x.rows, packed->depth, packed->columns, x.at, packed->panels, out);
}
