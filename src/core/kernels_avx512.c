/* kernels_body.h for AVX-512 (F, VL, BW, DQ). */
#define HM_ISA_AVX512
#define HM_KERNEL_TABLE hm_kernels_avx512
#include "core/kernels_body.h"
