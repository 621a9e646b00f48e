/* kernels_body.h for AVX2 with FMA. */
#define HM_ISA_AVX2
#define HM_KERNEL_TABLE hm_kernels_avx2
#include "core/kernels_body.h"
