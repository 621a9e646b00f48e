#include "infer/numeric.h"

#include <math.h>

/* The largest x; NaN when there is one; -inf for n = 0. */
static double maximum(const double x[], int64_t n)
{
    double max = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) return x[i];
        if (x[i] > max) max = x[i];
    }
    return max;
}

double hm_log_sum_exp(const double x[], int64_t n)
{
    double max = maximum(x, n);
    if (!isfinite(max)) return max;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

double hm_log_mean_exp(const double x[], int64_t n) { return hm_log_sum_exp(x, n) - log((double)n); }

double hm_effective_sample_size(const double log_w[], int64_t n)
{
    if (n == 0) return 0;
    double max = maximum(log_w, n);
    if (!isfinite(max)) return NAN;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = exp(log_w[i] - max);
        sum += w;
        squares += w * w;
    }
    return sum * sum / squares;
}

/* Standard deviation around the mean, with n - 1; n >= 2. */
static double deviation(const double x[], int64_t n)
{
    double mean = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

/* sd(w) / mean(w) of w = exp(x), with n - 1; n >= 2 and a finite log mean. */
static double relative_deviation(const double x[], int64_t n, double log_mean)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double excess = exp(x[i] - log_mean) - 1;
        squares += excess * excess;
    }
    return sqrt(squares / (double)(n - 1));
}

hm_log_mean hm_log_mean_of(const double x[], int64_t n)
{
    hm_log_mean out = {.log_mean = hm_log_mean_exp(x, n),
                       .std_error = INFINITY,
                       .lower = -INFINITY,
                       .upper = INFINITY,
                       .ess = hm_effective_sample_size(x, n)};
    if (isnan(out.log_mean)) return (hm_log_mean){NAN, NAN, NAN, NAN, NAN, NAN};
    if (n < 2 || !isfinite(out.log_mean)) return out;
    out.spread = deviation(x, n);
    out.std_error = relative_deviation(x, n, out.log_mean) / sqrt((double)n);
    double margin = HM_BRACKET_SIGMAS * out.std_error; /* of the mean, as a fraction of it */
    out.lower = margin < 1 ? out.log_mean + log1p(-margin) : -INFINITY;
    out.upper = out.log_mean + log1p(margin);
    return out;
}

double hm_error_of_mean(double sum, double squares, int64_t n)
{
    double count = (double)n, deviations = squares - sum * sum / count;
    if (n < 2) return INFINITY;
    if (deviations < 0) deviations = 0; /* by rounding; a NaN stays */
    return sqrt(deviations / (count - 1) / count);
}

void hm_tree_sum(double values[], int64_t parts, int64_t width)
{
    for (int64_t stride = 1; stride < parts; stride *= 2)
        for (int64_t part = 0; part + stride < parts; part += 2 * stride)
            for (int64_t c = 0; c < width; c++) values[part * width + c] += values[(part + stride) * width + c];
}

double hm_normal_quantile(double u)
{
    double least = -10, most = 10;
    for (int step = 0; step < 60; step++) {
        double middle = (least + most) / 2;
        *(0.5 * erfc(-middle / sqrt(2)) < u ? &least : &most) = middle;
    }
    return (least + most) / 2;
}
