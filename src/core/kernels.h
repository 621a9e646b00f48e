/* The inner loops, for the widest vectors this processor has, chosen once at start: hm_kernels_best().
 *
 * Every table computes the same bits (see simd.h); the scalar one is the reference. Pointers may have any alignment;
 * arrays are row-major and dense unless a leading dimension (ld...) is given. Nothing here fails or allocates.
 */
#ifndef HM_KERNELS_H
#define HM_KERNELS_H

#include "core/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HM_PANEL = 48,        /* a multiple of every instruction set's panel of packed weights (product.h) */
    HM_SHARDS_MAX = 1024, /* leaves of a reduction tree */
    HM_TREE_LEVELS = 10,  /* 2^10 leaves */
    HM_STRIP = 56,        /* most rows of a gradient matrix that outer_strip makes at a time */
};

/* The rows of one shard whose outer products are summed: sum_r a[r]' b[r], a: (rows, I), b: (rows, J). */
typedef struct hm_outer_leaf {
    int64_t rows;
    const float *a;
    int64_t lda;
    const float *b; /* readable up to J rounded up to 16 columns in every row */
    int64_t ldb;
} hm_outer_leaf;

typedef struct hm_sgd_step {
    float rate;     /* learning rate */
    float scale;    /* gradient sum to mean: 1 / batch */
    float momentum; /* 0 without velocity */
    float decay;    /* weight decay, L2 */
} hm_sgd_step;

typedef struct hm_adam_step {
    float rate, scale, beta1, beta2, epsilon; /* rate and epsilon with the bias corrections in them */
    float decay;
} hm_adam_step;

typedef struct hm_kernels {
    /* out[c] = u(stream, row, c), c < columns, uniform in [0, 1) with 24 bits. */
    void (*uniform)(const hm_stream *stream, int64_t row, int64_t columns, float *out);

    /* out[c] = a standard normal number of (stream, row, c), c < columns: Box-Muller on float32 uniforms, so within
     * 5.8 of 0. Columns from a multiple of 128 take the uniforms of twice 64 columns. */
    void (*normal)(const hm_stream *stream, int64_t row, int64_t columns, float *out);

    /* p = sigmoid(scale x + bias) for a (rows, columns) matrix; prob receives p and sample a Bernoulli(p) draw of
     * stream at (first_row + row, column); either may be NULL. prob or sample may be x itself; bias may be NULL (0). */
    void (*activate)(int64_t rows, int64_t columns, const float *x, float scale, const float *bias, float *prob,
                     float *sample, const hm_stream *stream, int64_t first_row);

    /* sample[c] ~ Bernoulli(prob[c]) for one row. */
    void (*bernoulli)(int64_t columns, const float *prob, const hm_stream *stream, int64_t row, float *sample);

    /* x[i] /= keep where uniform[i] < keep, elsewhere it is 0: dropout. */
    void (*drop)(int64_t n, const float *uniform, float keep, float *x);

    /* out[i] = exp(x[i]), tanh(x[i]) to 1e-7; out may be x. */
    void (*exp)(int64_t n, const float *x, float *out);
    void (*tanh)(int64_t n, const float *x, float *out);

    /* out[i] = log(1 + exp(x[i])). */
    void (*softplus)(int64_t n, const float *x, float *out);

    /* sum_c softplus(scale x[c] + bias[c]) in nats; bias may be NULL (0). */
    double (*sum_softplus)(int64_t columns, const float *x, float scale, const float *bias);
    double (*sum)(int64_t columns, const float *x);
    double (*dot)(int64_t n, const float *a, const float *b);

    /* The greatest |a[i] - b[i]|, 0 for n = 0; a NaN may be overlooked. */
    float (*max_difference)(int64_t n, const float *a, const float *b);

    /* sums[c] += sign * sum_r x[r][c]. */
    void (*add_columns)(int64_t rows, int64_t columns, const float *x, float sign, float *sums);
    /* out = a + b; out may be either. */
    void (*add)(int64_t n, const float *a, const float *b, float *out);

    /* to[c][r] = from[r][c], r < rows, c < columns, with leading dimensions. */
    void (*transpose)(int64_t rows, int64_t columns, const float *from, int64_t ld_from, float *to, int64_t ld_to);

    /* Columns of a panel of packed weights; see product.h. */
    int64_t panel;

    /* Rows begin .. end of w (depth, columns), into all panels. What the last one has beyond the columns means nothing:
     * neither it nor its sums are looked at. */
    void (*pack_rows)(int64_t depth, int64_t columns, int64_t begin, int64_t end, const float *w, float *panels);

    /* c (rows, columns) = a (rows, depth) times packed panels; called by hm_product, see product.h for tables. Here and
     * in outer_strip, steps at which a is zero may be left out: an infinity or NaN that the other factor has there may
     * be lost. A sum that is zero is +0. */
    void (*product)(bool tables, int64_t rows, int64_t depth, int64_t columns, const float *a, const float *panels,
                    float *c);

    /* c[i][j] = sum over leaves, as a binary tree, of sum_r a[r][i] b[r][j], for rows i_begin <= i < i_end (at most
     * HM_STRIP) and all columns j of c (I, columns). */
    void (*outer_strip)(int leaves, const hm_outer_leaf *leaf, int64_t i_begin, int64_t i_end, int64_t columns,
                        float *c);

    /* move = rate (scale grad - decay w) + momentum velocity;  velocity = move;  w += move.  velocity may be NULL. */
    void (*sgd)(int64_t n, const hm_sgd_step *step, const float *grad, float *velocity, float *w);

    /* g = scale grad - decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
     * w += rate m / (sqrt(v) + epsilon). */
    void (*adam)(int64_t n, const hm_adam_step *step, const float *grad, float *moment1, float *moment2, float *w);

    /* Multiply-adds in registers and nothing else, for measuring the peak (peak.h); returns the operations done. */
    double (*multiply_adds)(int64_t rounds);
} hm_kernels;

extern const hm_kernels hm_kernels_scalar;
#ifdef __x86_64__
extern const hm_kernels hm_kernels_avx2;
extern const hm_kernels hm_kernels_avx512;
#endif

/* The instruction sets this processor can run, best first; the list ends with "scalar". */
typedef struct hm_isa {
    const char *name;
    const hm_kernels *kernels;
} hm_isa;
int hm_isa_list(const hm_isa **list);

/* The first of hm_isa_list(), or the one that HARMONIUM_ISA names (avx512, avx2, scalar) for tests. */
const hm_kernels *hm_kernels_best(void);

#endif
