/* IDX files, plain and gzip: as images, and as labels of as many rows as they say themselves. */
#include "fuzz.h"
#include "io/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    hm_import images;
    int32_t *labels = NULL;
    if (fuzz_refused(hm_idx_open(path, 0, &images)) == HM_OK) fuzz_read(images.source);
    int64_t rows = size < 8 ? 1 : (int64_t)data[4] << 24 | data[5] << 16 | data[6] << 8 | data[7];
    fuzz_refused(hm_idx_labels(path, rows, &labels));
    free(labels);
    return 0;
}
