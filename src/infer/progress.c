#include "infer/progress.h"

#include <math.h>
#include <time.h>

static const double INTERVAL = 0.2; /* seconds, at least, between two reports */

double hm_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

hm_pulse hm_pulse_start(hm_log *log, const char *what)
{
    return (hm_pulse){.log = log, .what = what, .began = hm_clock(), .reported = -INFINITY};
}

void hm_pulse_report(hm_pulse *pulse, int64_t done, int64_t total)
{
    double now = hm_clock();
    if (done < total && now - pulse->reported < INTERVAL) return;
    pulse->reported = now;
    hm_progress progress = {
        .what = pulse->what,
        .done = done,
        .total = total,
        .objective = NAN,
        .seconds_left = done > 0 ? (now - pulse->began) * (double)(total - done) / (double)done : 0,
    };
    pulse->log->progress(pulse->log, &progress);
}
