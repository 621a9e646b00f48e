/* Tests that run on several ranks: main, and checks that end all of them. */
#ifndef HM_TEST_MPI_H
#define HM_TEST_MPI_H

#include "core/comm.h"
#include "mpi/comm_mpi.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the test on every rank, saying which check failed where. */
#define check(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: rank %d: %s does not hold; last error: %s\n", __FILE__, __LINE__, comm->rank,      \
                    #condition, hm_error_message());                                                                   \
            MPI_Abort(MPI_COMM_WORLD, 1);                                                                              \
        }                                                                                                              \
    } while (0)

/* Runs `test` on all ranks. */
static inline int mpi_test_main(int argc, char **argv, void (*test)(hm_comm *comm))
{
    hm_comm *comm;
    MPI_Init(&argc, &argv);
    if (hm_comm_mpi_create(MPI_COMM_WORLD, &comm) != HM_OK) MPI_Abort(MPI_COMM_WORLD, 1);
    test(comm);
    hm_comm_mpi_free(comm);
    MPI_Finalize();
    return 0;
}

#endif
