/* What kinds of units a layer may have, each by the three things that sampling, annealing and likelihoods need of it:
 *
 *   Bernoulli   x in {0, 1}            -E = b x + x i                      (i: the input from neighbouring layers)
 *   Gaussian    x real                 -E = -(x - b)^2 / 2 s^2 + x i / s^2
 *                                      mean b + i, variance s^2 (Cho, Ilin, Raiko 2011)
 *   softmax     one of a group is 1    as Bernoulli; p = softmax(b + i) over the group
 *   rectified   x >= 0                 infinitely many Bernoulli copies of one unit with biases b - 1/2, b - 3/2, ...
 *                                      drawn as max(0, i + b + N(0, sigmoid(i + b))) (Nair & Hinton 2010)
 *
 * The last `labels` units of a layer may be a softmax group of their own: classes that are modelled along.
 */
#ifndef HM_UNITS_H
#define HM_UNITS_H

#include "core/rng.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum hm_unit { HM_BERNOULLI, HM_GAUSSIAN, HM_SOFTMAX, HM_RECTIFIED } hm_unit;

extern const char *const hm_unit_names[]; /* by hm_unit; ends with NULL */

typedef struct hm_layer {
    int64_t units;
    int bias, mean;   /* tensors: b; the running mean of x under the data */
    hm_unit unit;     /* of all but the labels */
    int64_t group;    /* softmax: units of a group; divides the units */
    int64_t labels;   /* the last so many units are one softmax group */
    int log_variance; /* Gaussian: tensor of log s^2, or -1: s = 1 */
} hm_layer;

/* x (rows, units) holds inputs, times `scale`; bias: (units). mean receives the expectation of every unit (rectified
 * ones: that of all copies, softplus(z), to which the draw is an approximation), sample a draw of (stream, first_row +
 * row); either may be NULL, mean may be x itself, and in Bernoulli layers sample too. variance: (units) of a Gaussian
 * layer, NULL: 1. */
void hm_units_conditional(const hm_layer *layer, int64_t rows, const float *x, float scale, const float *bias,
                          const float *variance, float *mean, float *sample, const hm_stream *stream,
                          int64_t first_row);

/* One row of draws from units of the given means, as hm_units_conditional has them (Gaussian ones with the variance),
 * without neighbours. */
void hm_units_draw(const hm_layer *layer, const float *mean, const float *variance, const hm_stream *stream,
                   int64_t row, float *out);

/* The parameter b of unit i that has this mean without neighbours; a class that no row is of counts as a rare one. */
float hm_units_parameter(const hm_layer *layer, int64_t i, float mean);

/* log of the sum (or integral) over the states of one row of units of exp(b x + scale (input) x), Gaussian units with
 * their quadratic term; of rectified units with all of that times `scale`; nats. bias: NULL for 0. */
double hm_units_log_partition(const hm_layer *layer, const float *x, float scale, const float *bias,
                              const float *variance);

/* The same of units with natural parameters b alone, as in a base distribution whose Gaussian units have mean b. */
double hm_units_log_partition_base(const hm_layer *layer, const float *bias, const float *variance);

/* The part of -E that one row of states has without neighbours. */
double hm_units_score(const hm_layer *layer, const float *state, const float *bias, const float *variance);

/* n standard normal numbers of (stream, row), by inversion of 24-bit uniforms (AS 241, Wichura 1988): |z| < 5.5. */
void hm_units_normal(const hm_stream *stream, int64_t row, int64_t n, float *out);

#endif
