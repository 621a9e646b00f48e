/* The all-reduce is the binary tree over ranks, bit for bit; failures and copies reach every rank. */
#include "mpi_test.h"

#include "core/rng.h"

#include <math.h>
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

static void sums_are_the_tree(hm_comm *comm, int64_t count)
{
    float *x = malloc((size_t)count * sizeof *x);
    double *y = malloc((size_t)count * sizeof *y);
    int64_t other_order = 0;
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
    }
    /* Another order would have been noticed. */
    if (comm->size >= 4 && count >= 1000) check(other_order > 0);
    free(x);
    free(y);
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
    hm_error_clear();
}

static void copies_reach_every_rank(hm_comm *comm)
{
    enum { MOST = 64 };
    int64_t begin[MOST + 1] = {0};
    unsigned char all[MOST * MOST], root_bytes[100];
    for (int rank = 0; rank < comm->size; rank++) begin[rank + 1] = begin[rank] + rank; /* rank 0 has nothing */
    memset(all, 0, sizeof all);
    memset(all + begin[comm->rank], comm->rank + 1, (size_t)(begin[comm->rank + 1] - begin[comm->rank]));
    check(comm->all_gather(comm, all, begin) == HM_OK);
    for (int rank = 0; rank < comm->size; rank++)
        for (int64_t at = begin[rank]; at < begin[rank + 1]; at++) check(all[at] == rank + 1);
    memset(root_bytes, comm->rank, sizeof root_bytes);
    check(comm->broadcast(comm, root_bytes, sizeof root_bytes, comm->size - 1) == HM_OK);
    check(root_bytes[0] == comm->size - 1 && root_bytes[99] == comm->size - 1);
}

static void test(hm_comm *comm)
{
    static const int64_t counts[] = {1, 2, 3, 7, 16, 1000, 50021};
    for (size_t at = 0; at < sizeof counts / sizeof counts[0]; at++) sums_are_the_tree(comm, counts[at]);
    a_failure_is_every_ranks(comm);
    copies_reach_every_rank(comm);
}

int main(int argc, char **argv) { return mpi_test_main(argc, argv, test); }
