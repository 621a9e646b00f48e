/* The progress of long work, handed to the log a few times a second. Not collective: every rank has its own. */
#ifndef HM_PROGRESS_H
#define HM_PROGRESS_H

#include "core/log.h"

/* Seconds of a clock that never goes back; only differences mean something. */
double hm_clock(void);

typedef struct hm_pulse {
    hm_log *log;      /* borrowed */
    const char *what; /* "AIS" */
    double began, reported;
} hm_pulse;

hm_pulse hm_pulse_start(hm_log *log, const char *what);

/* Says how far the work is, at most about five times a second, and always when done = total. */
void hm_pulse_report(hm_pulse *pulse, int64_t done, int64_t total);

#endif
