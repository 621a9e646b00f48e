#include "cli/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 256 };
static const double SECONDS_BETWEEN = 0.1;

typedef struct stderr_log {
    hm_log log; /* first: a stderr_log is an hm_log */
    bool shown, terminal;
    bool open; /* a line without its end stands on the terminal */
    double last;
} stderr_log;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static size_t add_time(char *line, size_t used, double seconds)
{
    int left = seconds > 0 && seconds < 1e8 ? (int)(seconds + 0.5) : 0;
    if (left >= 3600)
        return (size_t)snprintf(line + used, LINE - used, ", %d:%02d:%02d left", left / 3600, left / 60 % 60,
                                left % 60);
    return (size_t)snprintf(line + used, LINE - used, ", %d:%02d left", left / 60, left % 60);
}

static void write_line(const hm_progress *p, char *line)
{
    size_t used = (size_t)snprintf(line, LINE, "%s ", p->what);
    if (p->epochs > 0)
        used +=
            (size_t)snprintf(line + used, LINE - used, "epoch %lld/%lld, ", (long long)p->epoch, (long long)p->epochs);
    used += (size_t)snprintf(line + used, LINE - used, "step %lld/%lld", (long long)p->done, (long long)p->total);
    if (p->samples_a_second > 0)
        used += (size_t)snprintf(line + used, LINE - used, ", %.0f samples/s", p->samples_a_second);
    if (p->objective_name && !isnan(p->objective))
        used += (size_t)snprintf(line + used, LINE - used, ", %s %.4g", p->objective_name, p->objective);
    if (p->done < p->total) add_time(line, used, p->seconds_left);
}

static void show(hm_log *base, const hm_progress *progress)
{
    stderr_log *log = (stderr_log *)base;
    char line[LINE];
    double time = now();
    bool last = progress->done == progress->total;
    if (!log->shown) return;
    if (log->terminal ? time - log->last < SECONDS_BETWEEN && !last : !progress->epoch_end) return;
    log->last = time;
    write_line(progress, line);
    if (log->terminal) {
        fprintf(stderr, "\r%s\033[K%s", line, last ? "\n" : "");
        log->open = !last;
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
}

static void warn(hm_log *base, const char *message)
{
    hm_log_finish(base);
    fprintf(stderr, "harmonium: warning: %s\n", message);
}

static void note(hm_log *base, const char *line)
{
    if (!((stderr_log *)base)->shown) return;
    hm_log_finish(base);
    fprintf(stderr, "%s\n", line);
}

hm_log *hm_log_stderr(int rank, bool progress)
{
    static stderr_log log;
    if (rank != 0) return hm_log_silent();
    log = (stderr_log){.log = {.progress = show, .warn = warn, .note = note},
                       .shown = progress,
                       .terminal = isatty(STDERR_FILENO) == 1};
    return &log.log;
}

void hm_log_finish(hm_log *base)
{
    if (base->progress != show) return;
    stderr_log *log = (stderr_log *)base;
    if (log->open) fputc('\n', stderr);
    log->open = false;
}
