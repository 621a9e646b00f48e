#include "boltzmann/units.h"

#include "core/kernels.h"

#include <math.h>
#include <stddef.h>

const char *const hm_unit_names[] = {"bernoulli", "gaussian", "softmax", "rectified", NULL};

/* The quantile of the standard normal distribution, to 1e-7 (AS 241, PPND7: Wichura 1988). */
static double normal_quantile(double p)
{
    double q = p - 0.5, r;
    if (fabs(q) <= 0.425) {
        r = 0.180625 - q * q;
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
               (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1);
    }
    r = sqrt(-log(q < 0 ? p : 1 - p));
    double z;
    if (r <= 5)
        z = (((0.17023821103 * (r - 1.6) + 1.3067284816) * (r - 1.6) + 2.7568153900) * (r - 1.6) + 1.4234372777) /
            ((0.12021132975 * (r - 1.6) + 0.73700164250) * (r - 1.6) + 1);
    else
        z = (((0.017337203997 * (r - 5) + 0.42868294337) * (r - 5) + 3.0812263860) * (r - 5) + 6.6579051150) /
            ((0.012258202635 * (r - 5) + 0.24197894225) * (r - 5) + 1);
    return q < 0 ? -z : z;
}

void hm_units_normal(const hm_stream *stream, int64_t row, int64_t n, float *out)
{
    hm_kernels_best()->uniform(stream, row, n, out);
    for (int64_t i = 0; i < n; i++) out[i] = (float)normal_quantile((double)out[i] + 0x1p-25);
}

/* Runs of units that are treated alike: the layer's own, then its labels. */
static int64_t own_units(const hm_layer *layer) { return layer->units - layer->labels; }

/* ---- softmax ---------------------------------------------------------------------------------------------------- */

/* Of one group: max and log of the sum of exp(scale (x + b)). */
static double log_sum(int64_t count, const float *x, float scale, const float *bias)
{
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < count; k++) most = fmax(most, (double)scale * (double)x[k] + (bias ? (double)bias[k] : 0));
    for (int64_t k = 0; k < count; k++) sum += exp((double)scale * (double)x[k] + (bias ? (double)bias[k] : 0) - most);
    return most + log(sum);
}

/* uniform: one number of the group. */
static void softmax_group(int64_t count, const float *x, float scale, const float *bias, float *mean, float *sample,
                          float uniform)
{
    double total = log_sum(count, x, scale, bias), below = 0;
    bool drawn = false;
    for (int64_t k = 0; k < count; k++) {
        double p = exp((double)scale * (double)x[k] + (bias ? (double)bias[k] : 0) - total);
        below += p;
        bool this = !drawn && ((double)uniform < below || k + 1 == count);
        if (mean && mean != sample) mean[k] = (float)p; /* which may be x[k]: it was read above */
        if (sample) sample[k] = this ? 1.0f : 0.0f;
        drawn = drawn || this;
    }
}

static void softmax_row(int64_t units, int64_t group, const float *x, float scale, const float *bias, float *mean,
                        float *sample, const hm_stream *stream, int64_t row, int64_t first_column)
{
    for (int64_t at = 0; at < units; at += group)
        softmax_group(group, x + at, scale, bias ? bias + at : NULL, mean ? mean + at : NULL,
                      sample ? sample + at : NULL, sample ? hm_random_uniform(stream, row, first_column + at) : 0.0f);
}

/* ---- Gaussian and rectified: x is not sample --------------------------------------------------------------------- */

static void gaussian_row(int64_t units, const float *x, float scale, const float *bias, const float *variance,
                         float *mean, float *sample, const hm_stream *stream, int64_t row)
{
    if (sample) hm_units_normal(stream, row, units, sample);
    for (int64_t i = 0; i < units; i++) {
        float expected = scale * x[i] + (bias ? bias[i] : 0), deviation = variance ? sqrtf(variance[i]) : 1.0f;
        if (sample) sample[i] = expected + deviation * sample[i];
        if (mean && mean != sample) mean[i] = expected;
    }
}

/* max(0, N(z, sigmoid(z))) */
static float rectified_draw(double z, float normal)
{
    return (float)fmax(0, z + sqrt(1 / (1 + exp(-z))) * (double)normal);
}

/* The expectation of all copies together: the sum of sigmoid(z - k + 1/2) over k is close to softplus(z). */
static void rectified_row(int64_t units, const float *x, float scale, const float *bias, float *mean, float *sample,
                          const hm_stream *stream, int64_t row)
{
    if (sample) hm_units_normal(stream, row, units, sample);
    for (int64_t i = 0; i < units; i++) {
        double z = (double)scale * (double)x[i] + (bias ? (double)bias[i] : 0);
        if (sample) sample[i] = rectified_draw(z, sample[i]);
        if (mean && mean != sample) mean[i] = (float)(fmax(z, 0) + log1p(exp(-fabs(z))));
    }
}

/* From means softplus(z). */
static void draw_rectified(int64_t units, const float *mean, const hm_stream *stream, int64_t row, float *out)
{
    hm_units_normal(stream, row, units, out);
    for (int64_t i = 0; i < units; i++)
        out[i] = rectified_draw((double)mean[i] + log(-expm1(-(double)mean[i])), out[i]);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static void own_row(const hm_layer *layer, const float *x, float scale, const float *bias, const float *variance,
                    float *mean, float *sample, const hm_stream *stream, int64_t row)
{
    int64_t units = own_units(layer);
    switch (layer->unit) {
    case HM_BERNOULLI: hm_kernels_best()->activate(1, units, x, scale, bias, mean, sample, stream, row); break;
    case HM_GAUSSIAN: gaussian_row(units, x, scale, bias, variance, mean, sample, stream, row); break;
    case HM_SOFTMAX: softmax_row(units, layer->group, x, scale, bias, mean, sample, stream, row, 0); break;
    case HM_RECTIFIED: rectified_row(units, x, scale, bias, mean, sample, stream, row); break;
    }
}

void hm_units_conditional(const hm_layer *layer, int64_t rows, const float *x, float scale, const float *bias,
                          const float *variance, float *mean, float *sample, const hm_stream *stream, int64_t first_row)
{
    int64_t units = layer->units, own = own_units(layer);
    if (layer->unit == HM_BERNOULLI && layer->labels == 0) {
        hm_kernels_best()->activate(rows, units, x, scale, bias, mean, sample, stream, first_row);
        return;
    }
    for (int64_t row = 0; row < rows; row++) {
        const float *x_row = x + row * units;
        float *mean_row = mean ? mean + row * units : NULL, *sample_row = sample ? sample + row * units : NULL;
        if (layer->labels > 0)
            softmax_row(layer->labels, layer->labels, x_row + own, scale, bias ? bias + own : NULL,
                        mean_row ? mean_row + own : NULL, sample_row ? sample_row + own : NULL, stream, first_row + row,
                        own);
        own_row(layer, x_row, scale, bias, variance, mean_row, sample_row, stream, first_row + row);
    }
}

/* One 1 in each group, with probabilities in proportion to the means. */
static void draw_groups(int64_t units, int64_t group, const float *mean, const hm_stream *stream, int64_t row,
                        int64_t first_column, float *out)
{
    for (int64_t at = 0; at < units; at += group) {
        double total = 0, below = 0, wanted = (double)hm_random_uniform(stream, row, first_column + at);
        bool drawn = false;
        for (int64_t k = at; k < at + group; k++) total += (double)mean[k];
        for (int64_t k = at; k < at + group; k++) {
            below += (double)mean[k] / total;
            bool this = !drawn && (wanted < below || k + 1 == at + group);
            out[k] = this ? 1.0f : 0.0f;
            drawn = drawn || this;
        }
    }
}

void hm_units_draw(const hm_layer *layer, const float *mean, const float *variance, const hm_stream *stream,
                   int64_t row, float *out)
{
    int64_t own = own_units(layer);
    switch (layer->unit) {
    case HM_BERNOULLI: hm_kernels_best()->bernoulli(own, mean, stream, row, out); break;
    case HM_SOFTMAX: draw_groups(own, layer->group, mean, stream, row, 0, out); break;
    case HM_GAUSSIAN: gaussian_row(own, mean, 1.0f, NULL, variance, NULL, out, stream, row); break;
    case HM_RECTIFIED: draw_rectified(own, mean, stream, row, out); break;
    }
    if (layer->labels > 0) draw_groups(layer->labels, layer->labels, mean + own, stream, row, own, out + own);
}

static const double LEAST_RATE = 1e-7; /* of a class that no row is of */

float hm_units_parameter(const hm_layer *layer, int64_t i, float mean)
{
    if (i >= layer->units - layer->labels) return (float)log(fmax((double)mean, LEAST_RATE));
    switch (layer->unit) {
    case HM_GAUSSIAN: return mean;
    case HM_SOFTMAX: return (float)log((double)mean);
    default: return (float)log((double)mean / (1.0 - (double)mean));
    }
}

/* ---- log-probabilities ------------------------------------------------------------------------------------------ */

/* log of the integral of exp(-(v - b)^2 / 2 s^2 + scale v x / s^2) = log sqrt(2 pi s^2) + ((b + scale x)^2 - b^2) / 2
 * s^2. */
static double gaussian_log_partition(int64_t units, const float *x, float scale, const float *bias,
                                     const float *variance)
{
    const double two_pi = 6.283185307179586;
    double total = 0;
    for (int64_t i = 0; i < units; i++) {
        double b = bias ? (double)bias[i] : 0, s2 = variance ? (double)variance[i] : 1;
        double shift = x ? (double)scale * (double)x[i] : 0;
        total += 0.5 * log(two_pi * s2) + (2 * b * shift + shift * shift) / (2 * s2);
    }
    return total;
}

/* The copies' softplus(scale (z - k + 1/2)), k = 1, 2, ..., until they are below 1e-9. */
static double rectified_log_partition(int64_t units, const float *x, float scale, const float *bias)
{
    double total = 0;
    for (int64_t i = 0; i < units; i++) {
        double z = (x ? (double)x[i] : 0) + (bias ? (double)bias[i] : 0);
        for (double at = z - 0.5; (double)scale * at > -21; at -= 1)
            total += fmax((double)scale * at, 0) + log1p(exp(-fabs((double)scale * at)));
    }
    return total;
}

static double groups_log_partition(int64_t units, int64_t group, const float *x, float scale, const float *bias)
{
    double total = 0;
    for (int64_t at = 0; at < units; at += group) total += log_sum(group, x + at, scale, bias ? bias + at : NULL);
    return total;
}

double hm_units_log_partition(const hm_layer *layer, const float *x, float scale, const float *bias,
                              const float *variance)
{
    int64_t own = own_units(layer);
    double total = 0;
    if (layer->labels > 0)
        total = groups_log_partition(layer->labels, layer->labels, x + own, scale, bias ? bias + own : NULL);
    switch (layer->unit) {
    case HM_BERNOULLI: return total + hm_kernels_best()->sum_softplus(own, x, scale, bias);
    case HM_SOFTMAX: return total + groups_log_partition(own, layer->group, x, scale, bias);
    case HM_GAUSSIAN: return total + gaussian_log_partition(own, x, scale, bias, variance);
    case HM_RECTIFIED: return total + rectified_log_partition(own, x, scale, bias);
    }
    return total;
}

double hm_units_log_partition_base(const hm_layer *layer, const float *bias, const float *variance)
{
    int64_t own = own_units(layer);
    /* With b in the place of the input: (b, no bias) is what (no input, b) is, except for Gaussian units. */
    if (layer->unit != HM_GAUSSIAN) return hm_units_log_partition(layer, bias, 1.0f, NULL, NULL);
    double labels = layer->labels > 0 ? groups_log_partition(layer->labels, layer->labels, bias + own, 1.0f, NULL) : 0;
    return labels + gaussian_log_partition(own, NULL, 0.0f, NULL, variance);
}

double hm_units_score(const hm_layer *layer, const float *state, const float *bias, const float *variance)
{
    int64_t own = own_units(layer);
    double score = 0;
    if (layer->unit != HM_GAUSSIAN) return hm_kernels_best()->dot(layer->units, bias, state);
    if (layer->labels > 0) score = hm_kernels_best()->dot(layer->labels, bias + own, state + own);
    for (int64_t i = 0; i < own; i++)
        score -= pow((double)state[i] - (double)bias[i], 2) / (2 * (variance ? (double)variance[i] : 1));
    return score;
}
