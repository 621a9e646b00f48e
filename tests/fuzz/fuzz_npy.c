/* NPY files: as rows, and as labels of 1 to 8 rows. */
#include "fuzz.h"
#include "io/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    hm_import rows;
    if (fuzz_refused(hm_npy_open(path, 0, &rows)) == HM_OK) fuzz_read(rows.source);
    for (int64_t count = 1; count <= 8; count++) {
        int32_t *labels = NULL;
        fuzz_refused(hm_npy_labels(path, count, &labels));
        free(labels);
    }
    return 0;
}
