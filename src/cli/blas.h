/* What only OpenBLAS can be asked; with another BLAS the answers are NULL. */
#ifndef HM_CLI_BLAS_H
#define HM_CLI_BLAS_H

/* A BLAS that makes threads of its own makes none inside a rank. Others are told by their environment. */
void hm_blas_use_one_thread(void);

/* Version and build of OpenBLAS, and the processor whose kernels it uses; NULL when the BLAS is another. */
const char *hm_blas_config(void);
const char *hm_blas_core(void);

#endif
