/* Progress and warnings, handed down from the command. Nothing below src/cli prints by itself. */
#ifndef HM_LOG_H
#define HM_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hm_progress {
    const char *what; /* "training", "AIS" */
    int64_t done, total;
    int64_t epoch, epochs;   /* 0 when there are none */
    double samples_a_second; /* 0 when unknown */
    double objective;        /* NaN when there is none */
    const char *objective_name;
    double seconds_left;
    bool epoch_end; /* off a terminal only these are shown */
} hm_progress;

typedef struct hm_log hm_log;
struct hm_log {
    void (*progress)(hm_log *log, const hm_progress *progress);
    void (*warn)(hm_log *log, const char *message);
    void (*note)(hm_log *log, const char *line); /* beside progress, and silent when that is */
    void *state;
};

/* A log that says nothing. */
hm_log *hm_log_silent(void);

#endif
