#include "core/memory.h"
#include "core/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct labelled {
    hm_source source; /* first: it is one */
    hm_source *rows;  /* owned */
    int32_t *labels;  /* owned */
    int64_t classes;
} labelled;

/* Rows of `width` bytes apart, each followed by its label as one 1 among zeros. */
static hm_status labelled_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    labelled *data = (labelled *)source;
    size_t size = hm_type_size(source->type), narrow = (size_t)data->rows->columns * size;
    size_t wide = (size_t)source->columns * size;
    unsigned char *bytes = out;
    const float one = (float)source->unit;
    HM_TRY(data->rows->read(data->rows, begin, count, out));
    for (int64_t row = count - 1; row >= 0; row--) { /* from the last: rows move to higher places */
        unsigned char *to = bytes + (size_t)row * wide, *label = to + narrow;
        memmove(to, bytes + (size_t)row * narrow, narrow);
        memset(label, 0, wide - narrow);
        label += (size_t)data->labels[begin + row] * size;
        if (source->type == HM_FLOAT32)
            memcpy(label, &one, sizeof one);
        else
            *label = (unsigned char)source->unit;
    }
    return HM_OK;
}

static void labelled_close(hm_source *source)
{
    labelled *data = (labelled *)source;
    data->rows->close(data->rows);
    free(data->labels);
    free(data);
}

hm_status hm_source_labelled(hm_source *rows, int32_t *labels, int64_t classes, hm_source **out)
{
    labelled *data;
    *out = NULL;
    HM_REQUIRE(rows->type == HM_FLOAT32 || (rows->unit == floor(rows->unit) && rows->unit <= UINT8_MAX), HM_EDATA,
               "no byte stands for 1 at a scale of %g, which labels need beside the rows; store the rows as float32",
               1 / rows->unit);
    for (int64_t row = 0; row < rows->rows; row++)
        HM_REQUIRE(labels[row] >= 0 && labels[row] < classes, HM_EDATA,
                   "the label of row %lld is %d; with %lld classes labels are 0 to %lld", (long long)row,
                   (int)labels[row], (long long)classes, (long long)classes - 1);
    HM_TRY(hm_alloc(&data, 1, sizeof *data, "labelled rows"));
    data->source = *rows;
    data->source.columns = rows->columns + classes;
    data->source.read = labelled_read;
    data->source.close = labelled_close;
    data->rows = rows;
    data->labels = labels;
    data->classes = classes;
    *out = &data->source;
    return HM_OK;
}
