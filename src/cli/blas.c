#include "cli/blas.h"

#include <stddef.h>

#ifdef HARMONIUM_HAVE_OPENBLAS

/* OpenBLAS has no header that is safe beside other BLAS packages for these. */
void openblas_set_num_threads(int threads);
char *openblas_get_config(void);
char *openblas_get_corename(void);

void hm_blas_use_one_thread(void) { openblas_set_num_threads(1); }

const char *hm_blas_config(void) { return openblas_get_config(); }

const char *hm_blas_core(void) { return openblas_get_corename(); }

#else

void hm_blas_use_one_thread(void) {}

const char *hm_blas_config(void) { return NULL; }

const char *hm_blas_core(void) { return NULL; }

#endif
