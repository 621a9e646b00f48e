/* A limit to what one request to HDF5 may compute. On some damaged files (zeros in its heaps, among others) the library
 * never returns, and nothing can interrupt it but the end of the process. A thread looks once a second how much
 * processor time the request has taken; waiting for a slow disk takes none. */
#include "io/h5.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { SECONDS_MAX = 10 }; /* of processor time; one request moves at most some hundred megabytes */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct request {
    int depth;
    clockid_t clock; /* processor time of the thread that asks */
    time_t began;
    const char *path;
} request;

static time_t seconds_of(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return now.tv_sec;
}

static void (*end)(const char *message);

void hm_store_on_hang(void (*end_program)(const char *message)) { end = end_program; }

static void give_up(const char *path)
{
    char message[1024];
    snprintf(message, sizeof message, "%.800s: damaged: HDF5 does not come to an end of reading it", path);
    end(message);
}

static void *watch(void *none)
{
    const struct timespec second = {.tv_sec = 1};
    for (;;) {
        nanosleep(&second, NULL);
        pthread_mutex_lock(&lock);
        if (request.depth > 0 && seconds_of(request.clock) - request.began > SECONDS_MAX) give_up(request.path);
        pthread_mutex_unlock(&lock);
    }
    return none;
}

/* Signals stay with the threads that know them. */
static void start(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, watch, NULL) == 0) pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void hm_h5_guard_begin(const char *path)
{
    if (end) pthread_once(&once, start);
    pthread_mutex_lock(&lock);
    request.depth++;
    pthread_getcpuclockid(pthread_self(), &request.clock);
    request.began = seconds_of(request.clock);
    request.path = path;
    pthread_mutex_unlock(&lock);
}

void hm_h5_guard_end(void)
{
    pthread_mutex_lock(&lock);
    request.depth--;
    pthread_mutex_unlock(&lock);
}
