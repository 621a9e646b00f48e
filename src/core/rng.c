#include "core/rng.h"

#include <Random123/philox.h>

#include <math.h>

/* The block and word of a column are the kernels' (kernels_body.h): 64 columns take word 0 of 16 blocks, then word 1
 * ... */
static philox4x32_ctr_t block_at(const hm_stream *stream, int64_t row, uint32_t block)
{
    hm_counter shared = hm_counter_of(stream, row);
    philox4x32_ctr_t counter = {{block, shared.row, shared.step, shared.high}};
    philox4x32_key_t key = {{(uint32_t)stream->seed, (uint32_t)(stream->seed >> 32)}};
    return philox4x32(counter, key);
}

uint32_t hm_random_bits(const hm_stream *stream, int64_t row, int64_t column)
{
    philox4x32_ctr_t words = block_at(stream, row, (uint32_t)(column / 64 * 16 + column % 16));
    return words.v[column / 16 % 4];
}

float hm_random_uniform(const hm_stream *stream, int64_t row, int64_t column)
{
    return (float)(hm_random_bits(stream, row, column) >> 8) * 0x1p-24f;
}

double hm_random_normal(const hm_stream *stream, int64_t row, int64_t column)
{
    const double two_pi = 6.283185307179586;
    philox4x32_ctr_t words = block_at(stream, row, (uint32_t)column);
    uint64_t first = (uint64_t)words.v[0] << 32 | words.v[1], second = (uint64_t)words.v[2] << 32 | words.v[3];
    double radius = sqrt(-2.0 * log(((double)(first >> 11) + 0.5) * 0x1p-53)); /* u in (0, 1): the log is finite */
    return radius * cos(two_pi * (double)(second >> 11) * 0x1p-53);
}

uint64_t hm_random_below(const hm_stream *stream, int64_t row, int64_t column, uint64_t bound)
{
    philox4x32_ctr_t words = block_at(stream, row, (uint32_t)column);
    uint64_t bits = (uint64_t)words.v[0] << 32 | words.v[1];
    return (uint64_t)(((unsigned __int128)bits * bound) >> 64);
}

void hm_random_permutation(const hm_stream *stream, int64_t row, int64_t n, int64_t order[])
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)hm_random_below(stream, row, i, (uint64_t)i + 1);
        int64_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}
