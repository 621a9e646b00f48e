/* kernels_body.h one number at a time, for any processor: the reference that the others must equal bit for bit. */
#define HM_KERNEL_TABLE hm_kernels_scalar
#include "core/kernels_body.h"
