/* hm_comm over MPI: the reproducible all-reduce, and agreement about failures. */
#ifndef HM_COMM_MPI_H
#define HM_COMM_MPI_H

#include "core/comm.h"

#include <mpi.h>

/* Ranks of `mpi` (duplicated; freed by hm_comm_mpi_free). Any number of ranks may agree and broadcast; the sums need a
 * power of two, and say so otherwise (HM_EUSAGE). Collective. */
hm_status hm_comm_mpi_create(MPI_Comm mpi, hm_comm **out);
void hm_comm_mpi_free(hm_comm *comm);

/* The communicator inside, for parallel HDF5 and ScaLAPACK. Borrowed. Not collective. */
MPI_Comm hm_comm_mpi_handle(const hm_comm *comm);

/* Ranks on this rank's host. Collective. */
int hm_comm_mpi_ranks_on_host(const hm_comm *comm);

#endif
