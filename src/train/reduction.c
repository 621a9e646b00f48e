#include "train/reduction.h"

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

hm_status hm_reduction_init(hm_reduction *reduction, const hm_layout *layout, const hm_workers *workers, int shards)
{
    int64_t begin = hm_layout_direct_begin(layout), size = layout->size - begin;
    *reduction = (hm_reduction){
        .layout = layout, .workers = workers, .shards = shards, .direct_begin = begin, .direct_size = size};
    HM_TRY(hm_pack_alloc(layout, "the gradient", &reduction->grad));
    HM_TRY(hm_alloc(&reduction->outer, (int64_t)shards * layout->count, sizeof(hm_outer), "gradients"));
    HM_TRY(hm_alloc(&reduction->direct, shards * size, sizeof(float), "gradients"));
    return hm_alloc(&reduction->leaves, shards, sizeof(hm_outer_leaf), "gradients");
}

void hm_reduction_free(hm_reduction *reduction)
{
    free(reduction->grad);
    free(reduction->outer);
    free(reduction->direct);
    free(reduction->leaves);
}

hm_outer *hm_reduction_outer(const hm_reduction *reduction, int local)
{
    return reduction->outer + (int64_t)local * reduction->layout->count;
}

float *hm_reduction_direct(const hm_reduction *reduction, int local)
{
    return reduction->direct + local * reduction->direct_size;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* A gradient matrix is made in strips of its rows, each the tree over own shards. */
typedef struct strips {
    const hm_reduction *reduction;
    hm_matrix grad;
    int64_t first; /* strip */
} strips;

static hm_status sum_strip(void *context, int64_t strip)
{
    const strips *job = context;
    int64_t begin = (job->first + strip) * HM_STRIP, end = begin + HM_STRIP;
    if (end > job->grad.rows) end = job->grad.rows;
    hm_kernels_best()->outer_strip(job->reduction->shards, job->reduction->leaves, begin, end, job->grad.columns,
                                   job->grad.at);
    return HM_OK;
}

/* Strips that are reduced together: while the network has them, the next ones are made. Enough for all threads, and for
 * a message whose latency does not count. */
static int64_t strips_of_a_piece(const hm_workers *workers, hm_matrix grad)
{
    enum { FEWEST_FLOATS = 1 << 16 };
    int64_t all = (grad.rows + HM_STRIP - 1) / HM_STRIP, strip = HM_STRIP * grad.columns;
    if (workers->comm->size == 1) return all;
    int64_t piece = (FEWEST_FLOATS + strip - 1) / strip, threads = workers->team->threads;
    return (piece + threads - 1) / threads * threads;
}

/* The gradient of a tensor whose shards gave factors of products. */
static hm_status sum_products(hm_reduction *reduction, int tensor)
{
    const hm_workers *workers = reduction->workers;
    hm_comm *comm = workers->comm;
    for (int local = 0; local < reduction->shards; local++) {
        const hm_outer *outer = &hm_reduction_outer(reduction, local)[tensor];
        reduction->leaves[local] =
            (hm_outer_leaf){outer->a.rows, outer->a.at, outer->a.columns, outer->b.at, outer->b.columns};
    }
    strips job = {reduction, hm_pack_matrix(reduction->layout, reduction->grad, tensor), 0};
    int64_t all = (job.grad.rows + HM_STRIP - 1) / HM_STRIP, piece = strips_of_a_piece(workers, job.grad);
    for (; job.first < all; job.first += piece) {
        int64_t count = all - job.first < piece ? all - job.first : piece;
        hm_range rows = {job.first * HM_STRIP, (job.first + count) * HM_STRIP};
        if (rows.end > job.grad.rows) rows.end = job.grad.rows;
        HM_TRY(hm_team_each(workers->team, count, sum_strip, &job));
        HM_TRY(comm->begin_float(comm, job.grad.at + rows.begin * job.grad.columns, hm_count(rows) * job.grad.columns));
    }
    return HM_OK;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void sum_direct(const hm_reduction *reduction)
{
    int64_t size = reduction->direct_size;
    for (int stride = 1; stride < reduction->shards; stride *= 2)
        for (int local = 0; local + stride < reduction->shards; local += 2 * stride) {
            float *left = hm_reduction_direct(reduction, local);
            hm_kernels_best()->add(size, left, hm_reduction_direct(reduction, local + stride), left);
        }
    memcpy(reduction->grad + reduction->direct_begin, reduction->direct, (size_t)size * sizeof(float));
}

hm_status hm_reduce_gradient(hm_reduction *reduction, const bool learns[])
{
    const hm_layout *layout = reduction->layout;
    hm_comm *comm = reduction->workers->comm;
    for (int tensor = 0; tensor < layout->count; tensor++)
        if (layout->tensors[tensor].products && learns[tensor]) HM_TRY(sum_products(reduction, tensor));
    sum_direct(reduction);
    return comm->begin_float(comm, reduction->grad + reduction->direct_begin, reduction->direct_size);
}
