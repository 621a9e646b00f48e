/* Random numbers as a pure function of what they are for (Random123: Salmon, Moraes, Dror, Shaw 2011).
 *
 * A number is addressed by (seed, purpose, step, row, column); there is no state, so no order and no rank in it.
 * The Philox4x32-10 counter holds (column block, row, step, purpose | high bits of row and step), its key the seed.
 */
#ifndef HM_RNG_H
#define HM_RNG_H

#include <assert.h>
#include <stdint.h>

/* What a stream is drawn for. Two uses that may meet at one (step, row, column) need two purposes. */
typedef enum hm_purpose {
    HM_RNG_INIT = 1,      /* initial parameters; row, column: of the tensor; step: its number */
    HM_RNG_SHUFFLE,       /* order of the data; step: epoch */
    HM_RNG_BINARIZE,      /* binarisation; step: epoch if dynamic, else 0; row: row of the data set */
    HM_RNG_POSITIVE,      /* hidden samples of the positive phase; step: update */
    HM_RNG_CHAIN_START,   /* initial state of the chains */
    HM_RNG_CHAIN_HIDDEN,  /* Gibbs, hidden half-steps; step: update * k + Gibbs step; row: chain */
    HM_RNG_CHAIN_VISIBLE, /* Gibbs, visible half-steps */
    HM_RNG_AIS_START,     /* AIS: samples of the base distribution */
    HM_RNG_AIS_HIDDEN,    /* AIS transitions; step: temperature */
    HM_RNG_AIS_VISIBLE,
    HM_RNG_SAMPLE_HIDDEN, /* `harmonium sample` and burn-in of reverse AIS; step: Gibbs step */
    HM_RNG_SAMPLE_VISIBLE,
    HM_RNG_SAMPLE_START, /* where `harmonium sample` starts */
    HM_RNG_PSEUDO,       /* the pixel that pseudo-likelihood flips */
    HM_RNG_SYNTH,        /* generators of data */
    HM_RNG_UPWARD,       /* states of hidden layers below the one that is trained; step: update * 8 + layer */
    HM_RNG_DROPOUT,      /* step: update * 8 + layer; row: of the minibatch */
    HM_RNG_MISSING,      /* multi-prediction: visible units that are hidden; step: update; row: of the minibatch */
    HM_RNG_DOWNWARD,     /* fantasies of the up-down algorithm; step: update * 8 + layer; row: chain */
    HM_RNG_NOISE, /* latent variables of a VAE; step: update * 8 + layer; row: of the minibatch times samples + sample
                   */
    HM_RNG_SWAP,  /* parallel tempering: swaps; step: Gibbs step; row: chain; column: the warmer temperature's */
} hm_purpose;

typedef struct hm_stream {
    uint64_t seed;
    uint32_t purpose; /* hm_purpose, below 256 */
    uint64_t step;    /* below 2^44 */
} hm_stream;

/* Where the steps of a second walk begin, which shares no numbers with a first one of the same purposes: above all that
 * can be counted there, and with eight layers a step still below 2^44. */
#define HM_RNG_SECOND_WALK ((uint64_t)1 << 40)

/* The words of the counter that all columns of a row share. */
typedef struct hm_counter {
    uint32_t row, step, high;
} hm_counter;

static inline hm_counter hm_counter_of(const hm_stream *stream, int64_t row)
{
    uint64_t r = (uint64_t)row;
    assert(stream->step >> 44 == 0 && r >> 44 == 0);
    return (hm_counter){
        .row = (uint32_t)r,
        .step = (uint32_t)stream->step,
        .high =
            (stream->purpose << 24) | ((uint32_t)(stream->step >> 32) & 0xfffu) << 12 | ((uint32_t)(r >> 32) & 0xfffu),
    };
}

/* One number of a stream: 32 random bits; a uniform in [0, 1) with 24 bits (as the kernels draw it); a standard
 * normal (Box-Muller on two streams' words of that column, float64 inside). row below 2^44, column below 2^31. */
uint32_t hm_random_bits(const hm_stream *stream, int64_t row, int64_t column);
float hm_random_uniform(const hm_stream *stream, int64_t row, int64_t column);
double hm_random_normal(const hm_stream *stream, int64_t row, int64_t column);

/* An integer in [0, bound), bound >= 1, from 64 bits of the stream at (row, column); bias below bound / 2^64. */
uint64_t hm_random_below(const hm_stream *stream, int64_t row, int64_t column, uint64_t bound);

/* order[0..n) = a random permutation of 0..n-1 (Fisher-Yates, numbers at (row, i)). */
void hm_random_permutation(const hm_stream *stream, int64_t row, int64_t n, int64_t order[]);

#endif
