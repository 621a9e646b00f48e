#define _POSIX_C_SOURCE 200809L /* nanosleep */

/* A team does every item once, whatever its threads, in calls that follow one another at once or after a sleep. */
#include "core/team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_calls_in_a_row),
        cmocka_unit_test(test_a_call_inside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
