#include "infer/likelihood_data.h"

#include "infer/numeric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SUM, SUM_OF_SQUARES, SUMS };

typedef struct energies {
    const hm_model *model;
    double *each; /* (rows of the source), or NULL */
} energies;

static hm_status add_energies(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const energies *all = context;
    const hm_model *model = all->model;
    double energy[HM_ROW_BLOCK];
    HM_TRY(model->class->free_energy(model, rows, first_row, scratch, energy));
    if (all->each) memcpy(all->each + first_row, energy, (size_t)rows.rows * sizeof(double));
    for (int64_t row = 0; row < rows.rows; row++) {
        HM_REQUIRE(isfinite(energy[row]), HM_ENUMERIC,
                   "the free energy of row %lld is %g; the parameters hold NaN or have diverged",
                   (long long)(first_row + row), energy[row]);
        sums[SUM] += energy[row];
        sums[SUM_OF_SQUARES] += energy[row] * energy[row];
    }
    return HM_OK;
}

static hm_mean_energy mean_of(const double sums[SUMS], int64_t rows)
{
    return (hm_mean_energy){sums[SUM] / (double)rows, hm_error_of_mean(sums[SUM], sums[SUM_OF_SQUARES], rows), rows};
}

hm_status hm_mean_free_energy(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                              const hm_workers *workers, double *each, hm_mean_energy *out)
{
    double sums[SUMS];
    energies all = {model, each};
    HM_REQUIRE(source->columns == model->visible, HM_EDATA,
               "log-probability: the data has %lld columns, but the model %lld visible units",
               (long long)source->columns, (long long)model->visible);
    HM_REQUIRE(model->class->free_energy, HM_EUSAGE, "log-probability: family %s has no free energy",
               model->class->name);
    hm_row_sums job = {.source = source,
                       .transform = transform,
                       .workers = workers,
                       .what = "log-probability",
                       .scratch_bytes = model->class->sampling_bytes(model, HM_ROW_BLOCK),
                       .sums = SUMS,
                       .add = add_energies,
                       .context = &all};
    HM_TRY(hm_sum_rows(&job, sums));
    *out = mean_of(sums, source->rows);
    return each ? hm_gather_rows(workers, source->rows, 1, each) : HM_OK;
}
