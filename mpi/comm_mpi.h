/* hm_comm over MPI: the reproducible all-reduce, agreement about failures, and a limit on how long ranks wait. */
#ifndef HM_COMM_MPI_H
#define HM_COMM_MPI_H

#include "core/comm.h"

#include "mpi/watch.h"

#include <mpi.h>

/* Ranks of `mpi` (duplicated; freed by hm_comm_mpi_free). Any number of ranks may agree and broadcast; the sums need a
 * power of two, and say so otherwise (HM_EUSAGE). Collective. */
hm_status hm_comm_mpi_create(MPI_Comm mpi, hm_comm **out);
void hm_comm_mpi_free(hm_comm *comm);

/* The communicator inside, for parallel HDF5 and ScaLAPACK. Borrowed. Not collective. */
MPI_Comm hm_comm_mpi_handle(const hm_comm *comm);

/* A rank that has waited for others for `seconds` (0: for ever, the default) asks all ranks whether they are there. The
 * calls then fail with HM_ELOST on those that answered, with a message that names the silent ones: rank, host, process;
 * comm->lost is set, and every later call fails at once. Only MPI_Abort ends such a job. In calls that cannot be left
 * (comm->watch), `lost` is called instead, some seconds later. HM_EINTERNAL. Not collective, but the same on every
 * rank.
 */
hm_status hm_comm_mpi_set_timeout(hm_comm *comm, double seconds, hm_lost_fn *lost);

/* Is it this rank that reports the loss? One of those that answered. Not collective. */
bool hm_comm_mpi_speaks(const hm_comm *comm);

/* Ranks on this rank's host. Collective. */
int hm_comm_mpi_ranks_on_host(const hm_comm *comm);

#endif
