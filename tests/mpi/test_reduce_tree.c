/* The all-reduce is the binary tree over ranks, bit for bit; failures and copies reach every rank. */
#include "mpi_test.h"

#include "core/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What `rank` puts in: numbers of very different sizes, so that the order of a sum shows in its last bits. */
static double input(int rank, int64_t i)
{
    hm_stream stream = {.seed = 5, .purpose = HM_RNG_SYNTH};
    double magnitude = (double)hm_random_below(&stream, rank, 2 * i, 12) - 6.0;
    return (2.0 * (double)hm_random_uniform(&stream, rank, i) - 1.0) * pow(10.0, magnitude);
}

static float tree_float(int first, int ranks, int64_t i)
{
    if (ranks == 1) return (float)input(first, i);
    return tree_float(first, ranks / 2, i) + tree_float(first + ranks / 2, ranks / 2, i);
}

static double tree_double(int first, int ranks, int64_t i)
{
    if (ranks == 1) return input(first, i);
    return tree_double(first, ranks / 2, i) + tree_double(first + ranks / 2, ranks / 2, i);
}

static float sequential(int ranks, int64_t i)
{
    float sum = 0;
    for (int rank = 0; rank < ranks; rank++) sum += (float)input(rank, i);
    return sum;
}

/* Compared with the tree that this rank adds up itself, from all ranks' numbers. */
static void sums_are_the_tree(hm_comm *comm, int64_t count)
{
    float *x = malloc((size_t)count * sizeof *x);
    double *y = malloc((size_t)count * sizeof *y);
    int64_t other_order = 0, only_mine = 0;
    check(x && y);
    for (int64_t i = 0; i < count; i++) {
        x[i] = (float)input(comm->rank, i);
        y[i] = input(comm->rank, i);
    }
    check(comm->reduce_float(comm, x, count) == HM_OK);
    check(comm->reduce_double(comm, y, count) == HM_OK);
    for (int64_t i = 0; i < count; i++) {
        float expected = tree_float(0, comm->size, i);
        double expected_double = tree_double(0, comm->size, i);
        check(memcmp(&x[i], &expected, sizeof expected) == 0);
        check(memcmp(&y[i], &expected_double, sizeof expected_double) == 0);
        other_order += expected != sequential(comm->size, i);
        only_mine += expected == (float)input(comm->rank, i);
    }
    /* Another order would have been noticed, and so would no reduction (a sum may be its largest term). */
    if (comm->size >= 4 && count >= 1000) check(other_order > count / 100);
    if (comm->size >= 2 && count >= 1000) check(only_mine < count / 2 + 1);
    free(x);
    free(y);
}

/* More than there is room for, of many sizes, in the background: the same bits as one after another. */
static void many_are_under_way_together(hm_comm *comm)
{
    enum { MANY = 37 };
    float *together[MANY], *alone[MANY];
    int64_t counts[MANY];
    for (int at = 0; at < MANY; at++) {
        counts[at] = (int64_t)at * at * 97 % 20011; /* 0 among them */
        together[at] = malloc((size_t)counts[at] * sizeof(float) + 1);
        alone[at] = malloc((size_t)counts[at] * sizeof(float) + 1);
        check(together[at] && alone[at]);
        for (int64_t i = 0; i < counts[at]; i++) together[at][i] = alone[at][i] = (float)input(comm->rank, i + at);
    }
    for (int at = 0; at < MANY; at++) check(comm->begin_float(comm, together[at], counts[at]) == HM_OK);
    check(comm->finish(comm) == HM_OK);
    check(comm->finish(comm) == HM_OK); /* nothing is left */
    for (int at = 0; at < MANY; at++) {
        check(comm->reduce_float(comm, alone[at], counts[at]) == HM_OK);
        check(memcmp(together[at], alone[at], (size_t)counts[at] * sizeof(float)) == 0);
        free(together[at]);
        free(alone[at]);
    }
}

/* Values that a sum must hand on as they are: zeros, denormals, infinities; a NaN on one rank is every rank's. */
static void special_values_survive(hm_comm *comm)
{
    enum { COUNT = 5 };
    const bool last = comm->rank == comm->size - 1;
    float x[COUNT] = {-0.0f, 1e-45f, last ? INFINITY : 1.0f, last ? NAN : 1.0f, last ? -3e38f : 0.0f};
    double y[COUNT] = {-0.0, 4.94e-324, last ? (double)INFINITY : 1.0, last ? (double)NAN : 1.0, last ? -1e308 : 0.0};
    check(comm->reduce_float(comm, x, COUNT) == HM_OK);
    check(comm->reduce_double(comm, y, COUNT) == HM_OK);
    check(x[0] == 0 && signbit(x[0]) && x[1] == (float)comm->size * 0x1p-149f);
    check(x[2] == INFINITY && isnan(x[3]) && x[4] == -3e38f);
    check(y[0] == 0 && signbit(y[0]) && y[1] == comm->size * 0x1p-1074);
    check(y[2] == (double)INFINITY && isnan(y[3]) && y[4] == -1e308);
    check(comm->reduce_float(comm, x, 0) == HM_OK); /* nothing at all */
}

static void a_failure_is_every_ranks(hm_comm *comm)
{
    check(comm->agree(comm, HM_OK) == HM_OK);
    for (int failing = 0; failing < comm->size; failing++) {
        char expected[64];
        hm_status mine = HM_OK;
        hm_error_clear();
        /* All ranks from `failing` on fail; the lowest one is heard. */
        if (comm->rank >= failing)
            mine = hm_fail(comm->rank == failing ? HM_EDATA : HM_EOUTPUT, "rank %d failed", comm->rank);
        check(comm->agree(comm, mine) == HM_EDATA);
        snprintf(expected, sizeof expected, "rank %d failed", failing);
        check(strcmp(hm_error_message(), expected) == 0);
    }
    /* One rank alone, and a message longer than what is sent of it. */
    for (int failing = 0; failing < comm->size; failing++) {
        char longest[5000];
        hm_error_clear();
        memset(longest, 'x', sizeof longest - 1);
        longest[sizeof longest - 1] = '\0';
        hm_status mine = comm->rank == failing ? hm_fail(HM_EOUTPUT, "rank %d: %s", failing, longest) : HM_OK;
        check(comm->agree(comm, mine) == HM_EOUTPUT);
        check(strncmp(hm_error_message(), "rank ", 5) == 0 && atoi(hm_error_message() + 5) == failing);
    }
    hm_error_clear();
}

/* The greatest wish of any rank is what all hear of, with every agreement; also with one that fails. */
static void wishes_are_heard(hm_comm *comm)
{
    for (int wishing = 0; wishing < comm->size; wishing++)
        for (hm_wish wish = HM_WISH_NOTHING; wish <= HM_WISH_STOP; wish++) {
            comm->wish = comm->rank == wishing ? wish : HM_WISH_NOTHING;
            check(comm->agree(comm, HM_OK) == HM_OK && comm->wished == wish);
            hm_status mine = comm->rank == comm->size - 1 ? hm_fail(HM_EDATA, "the last one") : HM_OK;
            check(comm->agree(comm, mine) == HM_EDATA && comm->wished == wish);
            hm_error_clear();
        }
    comm->wish = comm->rank == 0 ? HM_WISH_CHECKPOINT : HM_WISH_STOP;
    check(comm->agree(comm, HM_OK) == HM_OK);
    check(comm->wished == (comm->size == 1 ? HM_WISH_CHECKPOINT : HM_WISH_STOP));
    comm->wish = HM_WISH_NOTHING;
    check(comm->agree(comm, HM_OK) == HM_OK && comm->wished == HM_WISH_NOTHING);
}

/* Pieces of 0, 1003, 2006 ... bytes (rank 0 has none). */
static void pieces_reach_every_rank(hm_comm *comm)
{
    enum { MOST = 64 };
    int64_t begin[MOST + 1] = {0};
    check(comm->size <= MOST);
    for (int rank = 0; rank < comm->size; rank++) begin[rank + 1] = begin[rank] + 1003 * rank;
    int64_t total = begin[comm->size];
    unsigned char *all = calloc((size_t)total + 1, 1);
    check(all);
    all[total] = 77; /* beyond the end */
    for (int64_t at = begin[comm->rank]; at < begin[comm->rank + 1]; at++)
        all[at] = (unsigned char)(comm->rank + 1 + at);
    check(comm->all_gather(comm, all, begin) == HM_OK);
    for (int rank = 0; rank < comm->size; rank++)
        for (int64_t at = begin[rank]; at < begin[rank + 1]; at++) check(all[at] == (unsigned char)(rank + 1 + at));
    check(all[total] == 77);
    free(all);
}

static void every_root_can_broadcast(hm_comm *comm)
{
    for (int root = 0; root < comm->size; root++) {
        unsigned char bytes[100], kept = (unsigned char)comm->rank;
        memset(bytes, comm->rank, sizeof bytes);
        check(comm->broadcast(comm, bytes, sizeof bytes - 1, root) == HM_OK);
        for (size_t at = 0; at + 1 < sizeof bytes; at++) check(bytes[at] == root);
        check(bytes[sizeof bytes - 1] == kept);
        check(comm->broadcast(comm, bytes, 0, root) == HM_OK);
    }
}

static void test(hm_comm *comm)
{
    static const int64_t counts[] = {1, 2, 3, 7, 16, 1000, 50021, 392000};
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++) sums_are_the_tree(comm, counts[at]);
    many_are_under_way_together(comm);
    special_values_survive(comm);
    wishes_are_heard(comm);
    a_failure_is_every_ranks(comm);
    pieces_reach_every_rank(comm);
    every_root_can_broadcast(comm);
}

int main(int argc, char **argv) { return mpi_test_main(argc, argv, test); }
