#include "core/peak.h"

#include "core/kernels.h"

#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double hm_measured_peak(void)
{
    enum { ROUNDS = 300000, RUNS = 10 };
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        double operations = hm_kernels_best()->multiply_adds(ROUNDS);
        double rate = operations / (now() - start) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}
