#include "mpi/scalapack_grid.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>

/* BLACS and PBLAS come without headers. */
int Csys2blacs_handle(MPI_Comm mpi);
void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
void Cblacs_gridinfo(int context, int *rows, int *columns, int *row, int *column);
void Cblacs_gridexit(int context);
void Cfree_blacs_system_handle(int handle);
int numroc_(const int *n, const int *block, const int *process, const int *first, const int *processes);
void descinit_(int *descriptor, const int *rows, const int *columns, const int *row_block, const int *column_block,
               const int *first_row, const int *first_column, const int *context, const int *leading, int *info);
void pdgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *desca, const double *b, const int *ib,
             const int *jb, const int *descb, const double *beta, double *c, const int *ic, const int *jc,
             const int *descc);

hm_status hm_grid_create(MPI_Comm mpi, hm_grid *out)
{
    int ranks;
    MPI_Comm_size(mpi, &ranks);
    *out = (hm_grid){.rows = (int)sqrt((double)ranks)};
    while (ranks % out->rows != 0) out->rows--;
    out->columns = ranks / out->rows;
    int handle = Csys2blacs_handle(mpi);
    out->context = handle;
    Cblacs_gridinit(&out->context, "Row", out->rows, out->columns);
    Cfree_blacs_system_handle(handle);
    Cblacs_gridinfo(out->context, &out->rows, &out->columns, &out->row, &out->column);
    HM_REQUIRE(out->row >= 0, HM_EINTERNAL, "ScaLAPACK: this rank got no place in the process grid");
    return HM_OK;
}

void hm_grid_free(hm_grid *grid) { Cblacs_gridexit(grid->context); }

enum { N = 40, BLOCK = 4 };

/* The number in the whole matrix of local row or column `local` of a block-cyclic layout. */
static int global_index(int local, int process, int processes)
{
    return (local / BLOCK * processes + process) * BLOCK + local % BLOCK;
}

static hm_status check(const hm_grid *grid, double *buffers, int rows, int columns, double *error)
{
    const int n = N, block = BLOCK, zero = 0, one = 1, leading = rows > 0 ? rows : 1;
    const double unit = 1, none = 0;
    double *a = buffers, *b = buffers + rows * columns, *c = buffers + 2 * rows * columns;
    int descriptor[9], info;
    descinit_(descriptor, &n, &n, &block, &block, &zero, &zero, &grid->context, &leading, &info);
    HM_REQUIRE(info == 0, HM_EINTERNAL, "ScaLAPACK: descinit returned %d", info);
    for (int j = 0; j < columns; j++)
        for (int i = 0; i < rows; i++) {
            int row = global_index(i, grid->row, grid->rows), column = global_index(j, grid->column, grid->columns);
            a[j * leading + i] = row + column;
            b[j * leading + i] = row == column ? 2 : 0;
        }
    pdgemm_("N", "N", &n, &n, &n, &unit, a, &one, &one, descriptor, b, &one, &one, descriptor, &none, c, &one, &one,
            descriptor);
    *error = 0;
    for (int at = 0; at < rows * columns; at++) *error = fmax(*error, fabs(c[at] - 2 * a[at]));
    return HM_OK;
}

hm_status hm_grid_check(const hm_grid *grid, MPI_Comm mpi, double *error)
{
    const int n = N, block = BLOCK, zero = 0;
    int rows = numroc_(&n, &block, &grid->row, &zero, &grid->rows);
    int columns = numroc_(&n, &block, &grid->column, &zero, &grid->columns);
    double mine = INFINITY, *buffers;
    HM_TRY(hm_alloc(&buffers, 3 * rows * columns + 1, sizeof(double), "the ScaLAPACK check"));
    hm_status status = check(grid, buffers, rows, columns, &mine);
    free(buffers);
    MPI_Allreduce(&mine, error, 1, MPI_DOUBLE, MPI_MAX, mpi);
    return status;
}
