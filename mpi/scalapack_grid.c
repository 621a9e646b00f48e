#include "mpi/scalapack_grid.h"

#include "core/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
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
void pdsyevd_(const char *job, const char *triangle, const int *n, double *a, const int *ia, const int *ja,
              const int *desca, double *w, double *z, const int *iz, const int *jz, const int *descz, double *work,
              const int *lwork, int *iwork, const int *liwork, int *info);

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

void hm_grid_free(hm_grid *grid)
{
    if (grid->rows > 0) Cblacs_gridexit(grid->context);
}

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

/* ---- eigenvectors ----------------------------------------------------------------------------------------------- */

enum { EIGEN_BLOCK = 32 };

/* One rank's part of block-cyclic n x n matrices. */
typedef struct cyclic {
    const hm_grid *grid;
    int n, rows, columns, leading;
    int descriptor[9];
} cyclic;

static int cyclic_index(int local, int process, int processes)
{
    return (local / EIGEN_BLOCK * processes + process) * EIGEN_BLOCK + local % EIGEN_BLOCK;
}

static hm_status cyclic_init(const hm_grid *grid, int n, cyclic *out)
{
    const int block = EIGEN_BLOCK, zero = 0;
    int info;
    *out = (cyclic){.grid = grid,
                    .n = n,
                    .rows = numroc_(&n, &block, &grid->row, &zero, &grid->rows),
                    .columns = numroc_(&n, &block, &grid->column, &zero, &grid->columns)};
    out->leading = out->rows > 0 ? out->rows : 1;
    descinit_(out->descriptor, &n, &n, &block, &block, &zero, &zero, &grid->context, &out->leading, &info);
    HM_REQUIRE(info == 0, HM_EINTERNAL, "ScaLAPACK: descinit returned %d", info);
    return HM_OK;
}

/* Between the whole matrix, row-major, and this rank's part, column-major; column j of the part is row j of `whole`
 * when it holds eigenvectors as rows. */
static void copy_part(const cyclic *part, double *whole, double *own, bool into_part)
{
    for (int j = 0; j < part->columns; j++)
        for (int i = 0; i < part->rows; i++) {
            int row = cyclic_index(i, part->grid->row, part->grid->rows);
            int column = cyclic_index(j, part->grid->column, part->grid->columns);
            double *there = &whole[(int64_t)column * part->n + row], *here = &own[(int64_t)j * part->leading + i];
            if (into_part)
                *here = *there;
            else
                *there = *here;
        }
}

static hm_status solve(const cyclic *part, double *a, double *vectors, double *values)
{
    const int one = 1, ask = -1;
    double room, *work;
    int whole_room, info, *whole_work;
    pdsyevd_("V", "L", &part->n, a, &one, &one, part->descriptor, values, vectors, &one, &one, part->descriptor, &room,
             &ask, &whole_room, &ask, &info);
    HM_REQUIRE(info == 0, HM_EINTERNAL, "ScaLAPACK: pdsyevd asks for no workspace but returns %d", info);
    /* Less is asked for than pdormtr, which it calls, needs for small matrices. */
    int more = (part->rows + part->columns + 2 * EIGEN_BLOCK) * EIGEN_BLOCK + 4 * part->n;
    int length = (int)room + more, whole_length = whole_room + 64;
    HM_TRY(hm_alloc(&work, length, sizeof *work, "workspace of pdsyevd"));
    hm_status status = hm_alloc(&whole_work, whole_length, sizeof *whole_work, "workspace of pdsyevd");
    if (status == HM_OK) {
        pdsyevd_("V", "L", &part->n, a, &one, &one, part->descriptor, values, vectors, &one, &one, part->descriptor,
                 work, &length, whole_work, &whole_length, &info);
        if (info != 0) status = hm_fail(HM_ENUMERIC, "ScaLAPACK: pdsyevd did not converge (%d)", info);
        free(whole_work);
    }
    free(work);
    return status;
}

hm_status hm_grid_eigen(const hm_grid *grid, MPI_Comm mpi, int n, double *matrix, double *values)
{
    cyclic part;
    double *own;
    HM_TRY(cyclic_init(grid, n, &part));
    int64_t size = (int64_t)part.leading * (part.columns > 0 ? part.columns : 1);
    HM_TRY(hm_alloc(&own, 2 * size, sizeof *own, "a block-cyclic matrix"));
    copy_part(&part, matrix, own, true);
    hm_status status = solve(&part, own, own + size, values);
    for (int64_t at = 0; at < (int64_t)n * n; at++) matrix[at] = 0;
    if (status == HM_OK) copy_part(&part, matrix, own + size, false);
    free(own);
    /* Every element lies on one rank: a sum puts them together. */
    for (int row = 0; row < n; row++)
        MPI_Allreduce(MPI_IN_PLACE, matrix + (int64_t)row * n, n, MPI_DOUBLE, MPI_SUM, mpi);
    return status;
}
