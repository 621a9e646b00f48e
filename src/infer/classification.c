#include "infer/classification.h"

#include "infer/numeric.h"
#include "nets/class_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sums: the confusion matrix, then the sums of -log p and of its square. */
static hm_status add_rows(void *context, hm_matrix rows, int64_t first_row, hm_arena *scratch, double sums[])
{
    const hm_model *model = context;
    int64_t classes = model->classes;
    hm_matrix v = {NULL, rows.rows, model->visible};
    float *probs;
    HM_TRY(hm_arena_floats(scratch, v.rows * v.columns, &v.at));
    HM_TRY(hm_arena_floats(scratch, v.rows * classes, &probs));
    for (int64_t row = 0; row < v.rows; row++)
        memcpy(v.at + row * v.columns, rows.at + row * rows.columns, (size_t)v.columns * sizeof(float));
    HM_TRY(model->class->classify(model, v, scratch, probs));
    for (int64_t row = 0; row < v.rows; row++) {
        const float *p = probs + row * classes;
        int64_t is = hm_most_probable(rows.at + row * rows.columns + v.columns, classes);
        HM_REQUIRE(isfinite(p[is]), HM_ENUMERIC,
                   "the class probabilities of row %lld are not finite; the parameters have diverged",
                   (long long)(first_row + row));
        sums[is * classes + hm_most_probable(p, classes)]++;
        double loss = -log(fmax((double)p[is], 1e-45)); /* the least float32 */
        sums[classes * classes] += loss;
        sums[classes * classes + 1] += loss * loss;
    }
    return HM_OK;
}

static void summarise(const double sums[], hm_classification *out)
{
    const double *loss = sums + out->classes * out->classes;
    double right = 0, n = (double)out->rows;
    for (int64_t class = 0; class < out->classes; class ++) right += sums[class * out->classes + class];
    out->error = 1 - right / n;
    out->error_stderr = sqrt(out->error * (1 - out->error) / n);
    out->cross_entropy = loss[0] / n;
    out->cross_entropy_stderr = hm_error_of_mean(loss[0], loss[1], out->rows);
    memcpy(out->confusion, sums, (size_t)(out->classes * out->classes) * sizeof(double));
}

hm_status hm_classification_of(const hm_model *model, hm_source *source, const hm_row_transform *transform,
                               const hm_workers *workers, hm_classification *out)
{
    int64_t classes = model->classes, cells = classes * classes;
    double *sums = NULL;
    *out = (hm_classification){.rows = source->rows, .classes = classes};
    HM_REQUIRE(model->class->classifies, HM_EUSAGE, "classification: family %s does not tell classes",
               model->class->name);
    HM_REQUIRE(model->class->classifies(model), HM_EUSAGE,
               "classification: this %s has not learnt to tell classes; train it with model.classes and a stage of "
               "objective classify, or with model.label_units",
               model->class->name);
    HM_REQUIRE(source->columns == model->visible + classes, HM_EDATA,
               "classification: the data has %lld columns, but the model %lld visible units and %lld classes",
               (long long)source->columns, (long long)model->visible, (long long)classes);
    hm_row_sums job = {.source = source,
                       .transform = transform,
                       .workers = workers,
                       .what = "classification",
                       .scratch_bytes = hm_arena_bytes(HM_ROW_BLOCK * model->visible) +
                                        hm_arena_bytes(HM_ROW_BLOCK * classes) +
                                        model->class->classify_bytes(model, HM_ROW_BLOCK),
                       .sums = cells + 2,
                       .add = add_rows,
                       .context = (void *)model}; /* which it only reads */
    hm_status status = hm_alloc(&sums, cells + 2, sizeof(double), "a confusion matrix");
    if (status == HM_OK) status = hm_alloc(&out->confusion, cells, sizeof(double), "a confusion matrix");
    status = workers->comm->agree(workers->comm, status);
    if (status == HM_OK) status = hm_sum_rows(&job, sums);
    if (status == HM_OK) summarise(sums, out);
    free(sums);
    if (status != HM_OK) hm_classification_free(out);
    return status;
}

void hm_classification_free(hm_classification *classification)
{
    free(classification->confusion);
    *classification = (hm_classification){0};
}
