/* CSV files; the first bytes choose the options. */
#include "fuzz.h"
#include "io/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const labels[] = {NULL, "0", "label", "2"};
    static const char *const indices[] = {NULL, "none", "1", "id"};
    fuzz_bytes bytes = {data, size};
    hm_csv_options options = {.header = (int)fuzz_choice(&bytes, 3), .scale = 1};
    options.label_column = labels[fuzz_choice(&bytes, 4)];
    options.index_column = indices[fuzz_choice(&bytes, 4)];
    hm_import rows;
    if (fuzz_refused(hm_csv_open(fuzz_file(bytes.at, bytes.left), &options, &rows)) != HM_OK) return 0;
    FUZZ_CLAIM(!options.label_column == !rows.labels);
    free(rows.labels);
    fuzz_read(rows.source);
    return 0;
}
