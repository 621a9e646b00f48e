/* A limit to what one request to HDF5 may compute. On some damaged files (zeros in its heaps, among others) the library
 * never returns, and nothing can interrupt it but the end of the process. A thread looks once a second how much
 * processor time the request has taken; waiting for a slow disk takes none. */
#include "io/h5.h"

#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    SECONDS_MAX = 10, /* of processor time; one request moves at most some hundred megabytes */
    SECONDS_LATER = 5 /* ranks above 0 wait longer, so that one rank speaks */
};

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

static bool is_first_rank(void)
{
    int running = 0, finished = 0, rank = 0;
    MPI_Initialized(&running);
    MPI_Finalized(&finished);
    if (running && !finished) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank == 0;
}

static void give_up(const char *path)
{
    char message[1024];
    int length = snprintf(message, sizeof message,
                          "harmonium: %.800s: damaged: HDF5 does not come to an end of reading it\n", path);
    ssize_t written = write(STDERR_FILENO, message, (size_t)length);
    (void)written;
    _exit(HM_EDATA);
}

static void *watch(void *none)
{
    const struct timespec second = {.tv_sec = 1};
    time_t limit = is_first_rank() ? SECONDS_MAX : SECONDS_MAX + SECONDS_LATER;
    for (;;) {
        nanosleep(&second, NULL);
        pthread_mutex_lock(&lock);
        if (request.depth > 0 && seconds_of(request.clock) - request.began > limit) give_up(request.path);
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
    pthread_once(&once, start);
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
