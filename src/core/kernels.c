/* Which kernels to run: decided once, by what the processor says it can do. */
#include "core/kernels.h"

#include <stdlib.h>
#include <string.h>

int hm_isa_list(const hm_isa **list)
{
    static hm_isa isas[3];
    int count = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        isas[count++] = (hm_isa){"avx512", &hm_kernels_avx512};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        isas[count++] = (hm_isa){"avx2", &hm_kernels_avx2};
#endif
    isas[count++] = (hm_isa){"scalar", &hm_kernels_scalar};
    *list = isas;
    return count;
}

static const hm_kernels *choose(void)
{
    const hm_isa *isas;
    int count = hm_isa_list(&isas);
    const char *wanted = getenv("HARMONIUM_ISA");
    for (int index = 0; wanted && index < count; index++)
        if (strcmp(isas[index].name, wanted) == 0) return isas[index].kernels;
    return isas[0].kernels;
}

const hm_kernels *hm_kernels_best(void)
{
    static const hm_kernels *best; /* every thread would choose the same */
    const hm_kernels *kernels = __atomic_load_n(&best, __ATOMIC_RELAXED);
    if (!kernels) {
        kernels = choose();
        __atomic_store_n(&best, kernels, __ATOMIC_RELAXED);
    }
    return kernels;
}
