#define _POSIX_C_SOURCE 200809L /* nanosleep */

/* A team does every item once, whatever its threads, in calls that follow one another at once or after a sleep. Threads
 * that wait sleep, one that is held up keeps nothing but its item, and one that the system refuses is done without. */
#include "core/team.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

enum { ITEMS = 1000 };

typedef struct counts {
    atomic_int done[ITEMS];
    int64_t bad; /* the item that fails, or -1 */
} counts;

static hm_status count(void *context, int64_t item)
{
    counts *all = context;
    atomic_fetch_add(&all->done[item], 1);
    return item == all->bad ? HM_EDATA : HM_OK;
}

static void assert_each_once(int threads, int64_t items, counts *all)
{
    hm_team team = {threads};
    for (int64_t item = 0; item < ITEMS; item++) atomic_store(&all->done[item], 0);
    hm_status status = hm_team_each(&team, items, count, all);
    assert_int_equal(status, all->bad >= 0 && all->bad < items ? HM_EDATA : HM_OK);
    for (int64_t item = 0; item < ITEMS; item++) assert_int_equal(atomic_load(&all->done[item]), item < items);
}

static void test_every_item_once(void **state)
{
    static const int threads[] = {1, 2, 7, 3, 64, 2};
    static const int64_t items[] = {0, 1, 2, 3, 64, ITEMS};
    static counts all;
    (void)state;
    for (size_t team = 0; team < sizeof threads / sizeof threads[0]; team++)
        for (size_t size = 0; size < sizeof items / sizeof items[0]; size++)
            for (all.bad = -1; all.bad <= 1; all.bad++) assert_each_once(threads[team], items[size], &all);
}

/* Some calls follow at once, some when all threads sleep: those that wake late may not touch the next call's items. */
static void test_calls_in_a_row(void **state)
{
    enum { CALLS = 3000, A_SLEEP = 97, FEW = 5 };
    static counts all = {.bad = -1};
    (void)state;
    for (int call = 0; call < CALLS; call++) {
        if (call % A_SLEEP == 0) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        assert_each_once(2 + call % 4, 1 + call % FEW, &all);
    }
}

static hm_status count_inside(void *context, int64_t item)
{
    static const hm_team team = {4};
    (void)item;
    return hm_team_each(&team, ITEMS, count, context);
}

static void test_a_call_inside_another(void **state)
{
    static counts all = {.bad = -1};
    static const hm_team team = {3};
    (void)state;
    assert_int_equal(hm_team_each(&team, 6, count_inside, &all), HM_OK);
    for (int64_t item = 0; item < ITEMS; item++) assert_int_equal(atomic_load(&all.done[item]), 6);
}

static void *call_often(void *context)
{
    static const hm_team team = {3};
    for (int call = 0; call < 500; call++) (void)hm_team_each(&team, 10, count, context);
    return NULL;
}

static void test_two_callers_at_once(void **state)
{
    static counts here = {.bad = -1}, there = {.bad = -1};
    pthread_t other;
    (void)state;
    assert_int_equal(pthread_create(&other, NULL, call_often, &there), 0);
    (void)call_often(&here);
    pthread_join(other, NULL);
    for (int64_t item = 0; item < ITEMS; item++) {
        assert_int_equal(atomic_load(&here.done[item]), item < 10 ? 500 : 0);
        assert_int_equal(atomic_load(&there.done[item]), item < 10 ? 500 : 0);
    }
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

enum { MILLISECOND = 1000000 /* nanoseconds */ };

typedef struct held {
    atomic_int done; /* other items */
    int others;
    bool gave_up;
} held;

/* Item 0 ends when all others are done, which it would wait for in vain if some were kept for its thread. */
static hm_status hold_first(void *context, int64_t item)
{
    enum { A_HANG = 60000 /* naps of at least a millisecond */ };
    held *h = context;
    if (item > 0) atomic_fetch_add(&h->done, 1);
    if (item > 0) return HM_OK;
    for (int naps = 0; atomic_load(&h->done) < h->others && !h->gave_up; naps++) {
        nanosleep(&(struct timespec){.tv_nsec = MILLISECOND}, NULL);
        h->gave_up = naps == A_HANG;
    }
    return HM_OK;
}

static void test_a_thread_that_is_held_up_keeps_one_item(void **state)
{
    static const hm_team team = {2};
    held h = {.others = 63};
    (void)state;
    assert_int_equal(hm_team_each(&team, h.others + 1, hold_first, &h), HM_OK);
    printf("%d of %d items were done beside the one that was held\n", atomic_load(&h.done), h.others);
    assert_false(h.gave_up);
}

static double seconds_of_cores(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void a_long_nap(void) { nanosleep(&(struct timespec){.tv_nsec = 300 * MILLISECOND}, NULL); }

static hm_status nap_in_first(void *context, int64_t item)
{
    (void)context;
    if (item == 0) a_long_nap();
    return HM_OK;
}

/* Between calls and inside of one. On a quiet machine threads that go on polling would take 0.3 s each. */
static void test_threads_that_wait_sleep(void **state)
{
    static const double ALLOWED = 0.1; /* seconds; 200 us a thread and a wait are 0.0016 */
    static const hm_team team = {4};
    static counts all = {.bad = -1};
    (void)state;
    assert_each_once(team.threads, ITEMS, &all);
    double begun = seconds_of_cores();
    a_long_nap();
    double between = seconds_of_cores() - begun;
    assert_int_equal(hm_team_each(&team, team.threads, nap_in_first, NULL), HM_OK);
    double inside = seconds_of_cores() - begun - between;
    printf("cores' time in 0.3 s: %.4f s between calls, %.4f s inside one; allowed: %g s\n", between, inside, ALLOWED);
    assert_true(between <= ALLOWED);
    assert_true(inside <= ALLOWED);
}

/* There is no address space for more stacks. */
static void test_a_refused_thread_is_done_without(void **state)
{
    enum { MANY = 300 };
    static counts all = {.bad = -1};
    struct rlimit before, little;
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* sanitizers need address space themselves */
#endif
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    little = before;
    little.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    hm_status status = hm_team_each(&(hm_team){MANY}, ITEMS, count, &all);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(status, HM_OK);
    for (int64_t item = 0; item < ITEMS; item++) assert_int_equal(atomic_load(&all.done[item]), 1);
}

int main(void)
{
    /* How a user's threads wait who sets nothing. */
    unsetenv("OMP_WAIT_POLICY");
    unsetenv("GOMP_SPINCOUNT");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_calls_in_a_row),
        cmocka_unit_test(test_a_call_inside_another),
        cmocka_unit_test(test_two_callers_at_once),
        cmocka_unit_test(test_a_thread_that_is_held_up_keeps_one_item),
        cmocka_unit_test(test_threads_that_wait_sleep),
        cmocka_unit_test(test_a_refused_thread_is_done_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
