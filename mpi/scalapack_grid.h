/* The process grid of ScaLAPACK over a run's ranks. */
#ifndef HM_SCALAPACK_GRID_H
#define HM_SCALAPACK_GRID_H

#include "core/status.h"

#include <mpi.h>

typedef struct hm_grid {
    int context;       /* BLACS context */
    int rows, columns; /* of processes, as square as the ranks allow */
    int row, column;   /* this rank's place */
} hm_grid;

/* Collective over all ranks of `mpi`. */
hm_status hm_grid_create(MPI_Comm mpi, hm_grid *out);
/* Nothing of a grid that is all zero. */
void hm_grid_free(hm_grid *grid);

/* Multiplies block-cyclic matrices A B with known A_ij = i + j, B = 2 I (pdgemm) and returns the largest error, which
 * is 0 where ScaLAPACK works. Collective. */
hm_status hm_grid_check(const hm_grid *grid, MPI_Comm mpi, double *error);

/* The eigenvalues, ascending, of a symmetric n x n matrix, and its eigenvectors as the rows of `matrix`, in their
 * place; the same matrix on every rank before, and after. By pdsyevd on a block-cyclic layout; the last bits depend on
 * the grid. HM_ENUMERIC, HM_EINTERNAL: follow it with comm->agree. Collective. */
hm_status hm_grid_eigen(const hm_grid *grid, MPI_Comm mpi, int n, double *matrix, double *values);

#endif
