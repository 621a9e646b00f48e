/* A test set drawn from the rows of an import: two sources that read through the first. */
#include "core/memory.h"
#include "core/rng.h"
#include "io/import.h"

#include <math.h>
#include <stdlib.h>

typedef struct part_source {
    hm_source source; /* first: a part_source is an hm_source */
    hm_source *whole;
    int64_t *rows; /* (source.rows) their numbers in whole, ascending; owned */
} part_source;

/* Rows that follow one another are read together. */
static hm_status part_read(hm_source *source, int64_t begin, int64_t count, void *out)
{
    part_source *part = (part_source *)source;
    size_t row_bytes = (size_t)source->columns * hm_type_size(source->type);
    for (int64_t done = 0, run; done < count; done += run) {
        int64_t first = part->rows[begin + done];
        for (run = 1; done + run < count && part->rows[begin + done + run] == first + run;) run++;
        HM_TRY(part->whole->read(part->whole, first, run, (unsigned char *)out + (size_t)done * row_bytes));
    }
    return HM_OK;
}

static void part_close(hm_source *source)
{
    free(((part_source *)source)->rows);
    free(source);
}

/* A part of `rows` rows, not yet chosen. */
static hm_status make_part(const hm_import *whole, int64_t rows, hm_import *out)
{
    part_source *part;
    HM_TRY(hm_alloc(&part, 1, sizeof *part, "a part of the data"));
    part->source = *whole->source;
    part->source.rows = rows;
    part->source.read = part_read;
    part->source.close = part_close;
    part->whole = whole->source;
    *out = (hm_import){.source = &part->source, .name = whole->name};
    HM_TRY(hm_alloc(&part->rows, rows, sizeof part->rows[0], "row numbers"));
    return whole->labels ? hm_alloc(&out->labels, rows, sizeof out->labels[0], "labels") : HM_OK;
}

static void append(const hm_import *whole, int64_t row, hm_import *part, int64_t *count)
{
    ((part_source *)part->source)->rows[*count] = row;
    if (whole->labels) part->labels[*count] = whole->labels[row];
    ++*count;
}

/* Selection sampling (Knuth, vol. 2, algorithm S): each set of test rows is equally likely. */
static void choose_rows(const hm_import *whole, uint64_t seed, hm_import *train, hm_import *test)
{
    hm_stream stream = {seed, HM_RNG_SYNTH, HM_SYNTH_SPLIT};
    int64_t train_rows = 0, test_rows = 0;
    for (int64_t row = 0; row < whole->source->rows; row++) {
        uint64_t left = (uint64_t)(whole->source->rows - row);
        bool tested = hm_random_below(&stream, row, 0, left) < (uint64_t)(test->source->rows - test_rows);
        append(whole, row, tested ? test : train, tested ? &test_rows : &train_rows);
    }
}

hm_status hm_import_split(const hm_import *whole, double fraction, uint64_t seed, hm_import *train, hm_import *test)
{
    int64_t rows = whole->source->rows, test_rows = llround(fraction * (double)rows);
    *train = *test = (hm_import){0};
    HM_REQUIRE(test_rows > 0 && test_rows < rows, HM_EUSAGE,
               "a test fraction of %g of %lld rows leaves no rows for one of the sets", fraction, (long long)rows);
    hm_status status = make_part(whole, rows - test_rows, train);
    if (status == HM_OK) status = make_part(whole, test_rows, test);
    if (status == HM_OK) {
        choose_rows(whole, seed, train, test);
        return HM_OK;
    }
    hm_import_free(train);
    hm_import_free(test);
    return status;
}
