/* Times the reproducible all-reduce against MPI_Allreduce, in turn, over packs of several sizes; rank 0 prints one JSON
 * object of medians in microseconds.
 *
 *     mpirun -n 2 build/tests/bench_reduce [rounds]
 */
#include "core/memory.h"
#include "mpi/comm_mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIZES = 8, ROUNDS = 41, CALLS = 4 };

static const int64_t floats[SIZES] = {1, 1024, 16384, 65536, 262144, 524288, 1048576, 4194304};

static int by_size(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double values[], int count)
{
    qsort(values, (size_t)count, sizeof values[0], by_size);
    return values[count / 2];
}

typedef struct bench {
    hm_comm *comm;
    float *pack;
    int rounds;
} bench;

static void ours(const bench *b, int64_t count) { b->comm->reduce_float(b->comm, b->pack, count); }

static void library(const bench *b, int64_t count)
{
    MPI_Allreduce(MPI_IN_PLACE, b->pack, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}

/* Microseconds of one call, the slowest rank's. */
static double one_round(const bench *b, void (*reduce)(const bench *, int64_t), int64_t count)
{
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    for (int call = 0; call < CALLS; call++) reduce(b, count);
    double time = (MPI_Wtime() - start) / CALLS * 1e6;
    MPI_Allreduce(MPI_IN_PLACE, &time, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return time;
}

static void measure(const bench *b, int64_t count, double *our_time, double *library_time)
{
    double our_times[1024], library_times[1024];
    for (int round = 0; round < b->rounds; round++) {
        for (int64_t at = 0; at < count; at++) b->pack[at] = 1e-9f;
        our_times[round] = one_round(b, ours, count);
        library_times[round] = one_round(b, library, count);
    }
    *our_time = median(our_times, b->rounds);
    *library_time = median(library_times, b->rounds);
}

int main(int argc, char **argv)
{
    bench b = {.rounds = argc > 1 ? atoi(argv[1]) : ROUNDS};
    MPI_Init(&argc, &argv);
    if (b.rounds < 1 || b.rounds > 1024 || hm_comm_mpi_create(MPI_COMM_WORLD, &b.comm) != HM_OK ||
        hm_alloc(&b.pack, floats[SIZES - 1], sizeof(float), "a pack") != HM_OK)
        MPI_Abort(MPI_COMM_WORLD, 1);
    bool speaks = b.comm->rank == 0;
    if (speaks) printf("{\"ranks\": %d, \"sizes\": [", b.comm->size);
    for (int size = 0; size < SIZES; size++) {
        double our_time, library_time;
        measure(&b, floats[size], &our_time, &library_time);
        if (speaks)
            printf("%s{\"bytes\": %lld, \"ours_us\": %.2f, \"mpi_us\": %.2f}", size ? ", " : "",
                   (long long)(floats[size] * (int64_t)sizeof(float)), our_time, library_time);
    }
    if (speaks) puts("]}");
    free(b.pack);
    hm_comm_mpi_free(b.comm);
    MPI_Finalize();
    return 0;
}
