/* Sums that become log-likelihoods: float64, in the log domain, with what is known about their error.
 *
 * Nothing here fails, allocates or talks to other ranks. A NaN anywhere in the input gives a NaN, never a plausible
 * number.
 */
#ifndef HM_NUMERIC_H
#define HM_NUMERIC_H

#include <stdint.h>

enum { HM_BRACKET_SIGMAS = 3 }; /* half-width of an interval, in standard errors of the mean */

/* log sum_i exp(x[i]), without overflow. -inf for n = 0 or when every x is -inf; +inf when some x is. */
double hm_log_sum_exp(const double x[], int64_t n);

/* log((1/n) sum_i exp(x[i])). */
double hm_log_mean_exp(const double x[], int64_t n);

/* Effective sample size (sum_i w_i)^2 / sum_i w_i^2 of n weights w = exp(log_w): between 1 and n; 0 for n = 0; NaN when
 * no weight, or an infinite one, leaves it undefined. */
double hm_effective_sample_size(const double log_w[], int64_t n);

/* The mean of n weights w = exp(x), in the log domain. With one weight, or an undefined deviation, nothing is known
 * about the error: std_error is +inf and the interval the whole line. */
typedef struct hm_log_mean {
    double log_mean;  /* log mean(w) */
    double std_error; /* of log_mean, by the delta method: sd(w) / (mean(w) sqrt(n)), sd with n - 1 */
    double lower;     /* log(mean(w) - 3 sd(w) / sqrt(n)); -inf when that is not positive */
    double upper;     /* log(mean(w) + 3 sd(w) / sqrt(n)) */
    double ess;       /* hm_effective_sample_size */
    double spread;    /* standard deviation of x itself, with n - 1; 0 for n = 1 */
} hm_log_mean;

hm_log_mean hm_log_mean_of(const double x[], int64_t n);

/* Standard error of the mean of n values, by their sum and the sum of their squares: sd / sqrt(n), sd with n - 1; +inf
 * for n = 1. */
double hm_error_of_mean(double sum, double squares, int64_t n);

/* Adds `parts` rows of `width` values as a binary tree, ((p0 + p1) + (p2 + p3)) + ..., into the first row; the others
 * are overwritten. With comm->reduce_double after it this is one tree over all shards, whatever the ranks (see
 * core/comm.h). values: (parts, width). */
void hm_tree_sum(double values[], int64_t parts, int64_t width);

/* The quantile of a standard normal: u = P(x < quantile), u in (0, 1), by bisection. */
double hm_normal_quantile(double u);

#endif
