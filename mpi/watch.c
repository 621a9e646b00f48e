#include "mpi/watch.h"

#include "core/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct hm_watch {
    int rank, size;
    const hm_place *places;
    hm_lost_fn *lost;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    const char *what;
    double seconds;
    int ticks; /* seconds in which this process was running; one in which it was stopped is not counted */
    bool ends;
};

/* Is the process stopped, dead or gone? */
static bool is_silent(int process)
{
    char path[64], line[512] = "", *state;
    snprintf(path, sizeof path, "/proc/%d/stat", process);
    FILE *file = fopen(path, "r");
    if (!file) return kill(process, 0) != 0 && errno == ESRCH; /* gone, or a system without /proc */
    size_t got = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[got] = '\0';
    state = strrchr(line, ')'); /* the end of the name, which may hold anything */
    return state && state[1] && strchr("TtZX", state[2]);
}

/* Names the silent ranks of this host; *speaks: this rank is the first of the host that is not. */
static void find_silent(const hm_watch *watch, char *list, size_t size, bool *speaks)
{
    const hm_place *mine = &watch->places[watch->rank];
    *speaks = true;
    *list = '\0';
    for (int rank = 0; rank < watch->size; rank++) {
        const hm_place *place = &watch->places[rank];
        size_t used = strlen(list);
        if (rank == watch->rank || strcmp(place->host, mine->host) != 0) continue;
        if (is_silent(place->process))
            snprintf(list + used, size - used, "%srank %d (host %s, process %d)", used ? ", " : "", rank, place->host,
                     place->process);
        else if (rank < watch->rank)
            *speaks = false;
    }
}

static void report(const hm_watch *watch)
{
    enum { TIME_FOR_OTHERS = 3 }; /* seconds, for hosts that can name a rank */
    char silent[512], message[1024];
    bool speaks;
    find_silent(watch, silent, sizeof silent, &speaks);
    if (*silent) {
        snprintf(message, sizeof message, "no answer for %g s from %s while %s; the job is ended", watch->seconds,
                 silent, watch->what);
    } else {
        nanosleep(&(struct timespec){.tv_sec = TIME_FOR_OTHERS}, NULL);
        snprintf(message, sizeof message,
                 "%s takes longer than %g s: a rank of another host does not answer, or the file system; the job is "
                 "ended",
                 watch->what, watch->seconds);
        speaks = watch->rank == 0;
    }
    watch->lost(message, speaks);
}

static void *watch_main(void *argument)
{
    hm_watch *watch = argument;
    pthread_mutex_lock(&watch->lock);
    while (!watch->ends) {
        struct timespec next;
        if (!watch->what) {
            pthread_cond_wait(&watch->wake, &watch->lock);
            continue;
        }
        clock_gettime(CLOCK_MONOTONIC, &next);
        next.tv_sec++;
        if (pthread_cond_timedwait(&watch->wake, &watch->lock, &next) == 0) continue; /* something else, or nothing */
        if (watch->what && ++watch->ticks > watch->seconds) report(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

hm_status hm_watch_create(int rank, int size, const hm_place places[], hm_lost_fn *lost, hm_watch **out)
{
    pthread_condattr_t monotonic;
    *out = NULL;
    hm_watch *watch;
    HM_TRY(hm_alloc(&watch, 1, sizeof *watch, "a watch"));
    *watch = (hm_watch){.rank = rank, .size = size, .places = places, .lost = lost};
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&watch->thread, NULL, watch_main, watch) != 0) {
        free(watch);
        return hm_fail(HM_EINTERNAL, "no thread for a watch");
    }
    *out = watch;
    return HM_OK;
}

void hm_watch_free(hm_watch *watch)
{
    if (!watch) return;
    pthread_mutex_lock(&watch->lock);
    watch->ends = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void hm_watch_over(hm_watch *watch, const char *what, double seconds)
{
    pthread_mutex_lock(&watch->lock);
    watch->what = what;
    watch->seconds = seconds;
    watch->ticks = 0;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
}
