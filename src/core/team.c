/* The threads are POSIX threads of our own, made when first needed and kept. Four things matter for their speed:
 *
 * - A thread with nothing to do polls for SPIN, as the next work usually comes within microseconds, and then sleeps. A
 *   thread that polls for longer keeps other programs, and its own colleagues, from the core.
 * - A wait of LONG_WAIT tells that other programs have a colleague's core, as nothing else takes that long. The next
 *   WARY_WAITS polls of the thread are short then: a thread that has slept gets its core back at once, and one that has
 *   polled must wait its turn.
 * - Every thread begins with a share of its own of the items, the same in every call, whose data its cache may still
 *   hold, and then takes items from others that have not come to them.
 * - Only threads that have begun an item are waited for. One that has no core at the moment delays nobody.
 */
#define _GNU_SOURCE /* sched_getaffinity */

#include "core/team.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST = 4096,         /* threads */
    SPIN = 200000,       /* nanoseconds of polling before a thread sleeps */
    SHORT_SPIN = 20000,  /* ... and beside other programs */
    LONG_WAIT = 1000000, /* nanoseconds */
    WARY_WAITS = 100,
    POLLS_A_LOOK = 16, /* polls between two looks at the clock */
    LINE = 64,         /* bytes of a cache line */
};

/* A thread, its share of the items, and where it sleeps. Member 0 is whoever calls hm_team_each. */
typedef struct member {
    _Alignas(LINE) _Atomic int64_t next; /* item of its share that is to be taken next */
    int64_t end;
    _Alignas(LINE) atomic_bool asleep;
    int index;
    int wary; /* waits to come with short polls */
    pthread_mutex_t lock;
    pthread_cond_t wake;
} member;

/* `state` tells whether there is work: OPEN while items are left, below that bit how many threads are at it, and above
 * it the number of the call. The other fields of a call are fixed while it is open and until nobody is at it. */
enum { OPEN_BIT = 31 };
static const uint64_t OPEN = UINT64_C(1) << OPEN_BIT, CALL = UINT64_C(1) << (OPEN_BIT + 1);

static struct pool {
    _Alignas(LINE) _Atomic uint64_t state;
    _Alignas(LINE) pthread_mutex_t busy; /* held by the thread whose call this is */
    int members;
    member *member[MOST];
    int threads; /* of the call */
    hm_status (*work)(void *context, int64_t item);
    void *context;
    _Atomic int worst;
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER};

static bool is_open(uint64_t state) { return state & OPEN; }

static uint64_t at_work(uint64_t state) { return state & (OPEN - 1); }

static uint64_t call_of(uint64_t state) { return state >> (OPEN_BIT + 1); }

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* How long to poll, which ends with the first of both. */
static struct {
    int64_t polls, nanoseconds;
} patience = {INT64_MAX, SPIN};
static pthread_once_t patience_once = PTHREAD_ONCE_INIT;

/* The environment's wishes go first, by the names that OpenMP gave them: GOMP_SPINCOUNT, then OMP_WAIT_POLICY. */
static void read_patience(void)
{
    const char *policy = getenv("OMP_WAIT_POLICY"), *count = getenv("GOMP_SPINCOUNT");
    char *rest;
    if (policy && strcasecmp(policy, "passive") == 0) patience.polls = 0;
    if (policy && strcasecmp(policy, "active") == 0) patience.nanoseconds = INT64_MAX;
    if (!count) return;
    long long polls = strtoll(count, &rest, 10);
    bool endless = strcasecmp(count, "infinite") == 0 || strcasecmp(count, "infinity") == 0;
    if (!endless && (rest == count || *rest != '\0' || polls < 0)) return;
    patience.polls = endless ? INT64_MAX : polls;
    patience.nanoseconds = INT64_MAX;
}

/* Tells the processor that this is a loop that waits. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Is there something for this member to do? For a thread of the pool: another call than `call`, which is open. */
typedef bool ready_fn(uint64_t state, uint64_t call);

static bool has_work(uint64_t state, uint64_t call) { return is_open(state) && call_of(state) != call; }

static bool all_have_left(uint64_t state, uint64_t call)
{
    (void)call;
    return at_work(state) == 0;
}

static bool poll_until(ready_fn *ready, uint64_t call, int64_t begun, int64_t most)
{
    for (int64_t polls = 0; polls < patience.polls; polls++) {
        if (ready(atomic_load(&pool.state), call)) return true;
        if (polls % POLLS_A_LOOK == POLLS_A_LOOK - 1 && nanoseconds() - begun > most) return false;
        relax();
    }
    return false;
}

/* Sleeps. `asleep` is set before the state is read, and whoever changes the state reads `asleep` after it:
 * one of both sees the other. */
static void sleep_until(member *self, ready_fn *ready, uint64_t call)
{
    pthread_mutex_lock(&self->lock);
    atomic_store(&self->asleep, true);
    while (!ready(atomic_load(&pool.state), call)) pthread_cond_wait(&self->wake, &self->lock);
    atomic_store(&self->asleep, false);
    pthread_mutex_unlock(&self->lock);
}

/* Polls, then sleeps. */
static void wait_until(member *self, ready_fn *ready, uint64_t call)
{
    int64_t begun = nanoseconds();
    bool brief = self->wary > 0 && patience.nanoseconds == SPIN;
    if (!poll_until(ready, call, begun, brief ? SHORT_SPIN : patience.nanoseconds)) sleep_until(self, ready, call);
    if (nanoseconds() - begun > LONG_WAIT)
        self->wary = WARY_WAITS;
    else if (self->wary > 0)
        self->wary--;
}

static void wake_up(member *sleeper)
{
    if (!atomic_load(&sleeper->asleep)) return;
    pthread_mutex_lock(&sleeper->lock);
    pthread_cond_signal(&sleeper->wake);
    pthread_mutex_unlock(&sleeper->lock);
}

/* ---- working ----------------------------------------------------------------------------------------------------- */

/* Takes this member's items, then those of others. */
static void take_items(int index)
{
    for (int step = 0; step < pool.threads; step++) {
        member *owner = pool.member[(index + step) % pool.threads];
        if (atomic_load(&owner->next) >= owner->end) continue;
        for (int64_t item; (item = atomic_fetch_add(&owner->next, 1)) < owner->end;) {
            hm_status status = pool.work(pool.context, item);
            for (int before = atomic_load(&pool.worst); status != HM_OK;)
                if (atomic_compare_exchange_weak(&pool.worst, &before, (int)hm_worse((hm_status)before, status))) break;
        }
    }
}

/* Joins those that are at work; false when the call has ended, whose fields may then not be read. */
static bool enter(uint64_t *call, uint64_t last)
{
    uint64_t state = atomic_load(&pool.state);
    do {
        if (!has_work(state, last)) return false;
    } while (!atomic_compare_exchange_weak(&pool.state, &state, state + 1));
    *call = call_of(state);
    return true;
}

static void *thread_main(void *argument)
{
    member *self = argument;
    for (uint64_t call = 0;;) {
        wait_until(self, has_work, call);
        if (!enter(&call, call)) continue;
        if (self->index < pool.threads) take_items(self->index);
        uint64_t left = atomic_fetch_sub(&pool.state, 1) - 1;
        if (!is_open(left) && at_work(left) == 0) wake_up(pool.member[0]);
    }
    return NULL;
}

/* ---- the team ---------------------------------------------------------------------------------------------------- */

/* Adds a member and, but for the first, its thread; signals are for the thread that calls. */
static bool add_member(void)
{
    pthread_t thread;
    sigset_t all, before;
    member *new = aligned_alloc(LINE, sizeof *new);
    if (!new) return false;
    memset(new, 0, sizeof *new);
    new->index = pool.members;
    pthread_mutex_init(&new->lock, NULL);
    pthread_cond_init(&new->wake, NULL);
    pool.member[pool.members] = new;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool runs = new->index == 0 || pthread_create(&thread, NULL, thread_main, new) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!runs) {
        free(new);
        return false;
    }
    if (new->index > 0) pthread_detach(thread);
    pool.members++;
    return true;
}

/* As many members as are wanted, or as the system grants. */
static int gather(int threads)
{
    pthread_once(&patience_once, read_patience);
    while (pool.members < threads && pool.members < MOST && add_member()) continue;
    return threads < pool.members ? threads : pool.members;
}

static hm_status share(int threads, int64_t items)
{
    for (int index = 0; index < threads; index++) {
        pool.member[index]->end = items * (index + 1) / threads;
        atomic_store(&pool.member[index]->next, items * index / threads);
    }
    pool.threads = threads;
    atomic_store(&pool.worst, HM_OK);
    uint64_t next = (atomic_load(&pool.state) & ~(CALL - 1)) + CALL;
    atomic_store(&pool.state, next | OPEN);
    for (int index = 1; index < threads; index++) wake_up(pool.member[index]);
    take_items(0);
    atomic_fetch_and(&pool.state, ~OPEN);
    wait_until(pool.member[0], all_have_left, 0);
    return (hm_status)atomic_load(&pool.worst);
}

hm_status hm_team_each(const hm_team *team, int64_t items, hm_status (*work)(void *context, int64_t item),
                       void *context)
{
    int threads = team->threads < items ? team->threads : (int)items;
    if (threads > 1 && pthread_mutex_trylock(&pool.busy) == 0) { /* else within a call: on this thread alone */
        hm_status worst = HM_EINTERNAL;
        threads = gather(threads);
        pool.work = work;
        pool.context = context;
        if (threads > 1) worst = share(threads, items);
        pthread_mutex_unlock(&pool.busy);
        if (threads > 1) return worst;
    }
    hm_status worst = HM_OK;
    for (int64_t item = 0; item < items; item++) worst = hm_worse(worst, work(context, item));
    return worst;
}

int hm_team_cores(void)
{
#ifdef __linux__
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
