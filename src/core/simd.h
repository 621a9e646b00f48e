/* Vectors of one instruction set, chosen by the macro HM_ISA_* that the including file defines.
 *
 * kernels_body.h is written once against these names and compiled once for each instruction set (kernels_avx512.c,
 * kernels_avx2.c, kernels_scalar.c). Every operation is exactly rounded (add, multiply, fused multiply-add) or acts on
 * integers, and every kernel fixes the order of its sums, so all three give THE SAME BITS: a run does not depend on
 * the processor it ran on. The scalar version, one lane wide, is the readable reference.
 */
#ifndef HM_SIMD_H
#define HM_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(HM_ISA_AVX512)
#include <immintrin.h>
enum { VL = 16 }; /* float lanes */
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
static inline vf vf_set(float x) { return _mm512_set1_ps(x); }
static inline vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline vm vm_first(int n) { return (vm)(n >= VL ? 0xffffu : ((1u << n) - 1u) & 0xffffu); }
static inline vf vf_load_first(const float *p, int n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
static inline void vf_store_first(float *p, vf x, int n) { _mm512_mask_storeu_ps(p, vm_first(n), x); }
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vm vf_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm vf_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm vf_nan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline uint32_t vm_bits(vm m) { return m; } /* lane i is bit i */
static inline vf vf_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
static inline vf vf_one_if(vm m) { return _mm512_maskz_mov_ps(m, vf_set(1.0f)); } /* elsewhere 0 */
static inline vi vf_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf vf_from_bits(vi a) { return _mm512_castsi512_ps(a); }
static inline vf vf_from_int(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
#define vi_shl(a, n) _mm512_slli_epi32((a), (n))
#define vi_shr(a, n) _mm512_srli_epi32((a), (n)) /* logical */
static inline vi vi_iota(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
/* The 64-bit products a*m of each unsigned 32-bit lane, as their low and high words. */
static inline void vi_mulhilo(vi a, uint32_t m, vi *hi, vi *lo)
{
    vi factor = _mm512_set1_epi32((int32_t)m);
    vi even = _mm512_mul_epu32(a, factor);
    vi odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
    *lo = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
    *hi = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
/* a0 b0 a1 b1 ...: the first and the second half of the interleaved lanes. */
static inline void vf_interleave(vf a, vf b, vf *first, vf *second)
{
    const vi low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const vi high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    *first = _mm512_permutex2var_ps(a, low, b);
    *second = _mm512_permutex2var_ps(a, high, b);
}

#elif defined(HM_ISA_AVX2)
#include <immintrin.h>
enum { VL = 8 };
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm; /* all ones or all zeros in each lane */
static inline vf vf_set(float x) { return _mm256_set1_ps(x); }
static inline vi vi_set(int32_t x) { return _mm256_set1_epi32(x); }
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline vi vi_iota(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
static inline vi vi_first(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), vi_iota()); }
static inline vf vf_load_first(const float *p, int n)
{
    return n >= VL ? vf_load(p) : _mm256_maskload_ps(p, vi_first(n));
}
static inline void vf_store_first(float *p, vf x, int n)
{
    if (n >= VL)
        vf_store(p, x); /* on AMD a masked store takes some twelve cycles */
    else
        _mm256_maskstore_ps(p, vi_first(n), x);
}
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vm vf_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm vf_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vm vf_nan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
static inline uint32_t vm_bits(vm m) { return (uint32_t)_mm256_movemask_ps(m); }
static inline vf vf_select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
static inline vf vf_one_if(vm m) { return _mm256_and_ps(m, vf_set(1.0f)); }
static inline vi vf_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf vf_from_bits(vi a) { return _mm256_castsi256_ps(a); }
static inline vf vf_from_int(vi a) { return _mm256_cvtepi32_ps(a); }
static inline vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
#define vi_shl(a, n) _mm256_slli_epi32((a), (n))
#define vi_shr(a, n) _mm256_srli_epi32((a), (n))
static inline void vi_mulhilo(vi a, uint32_t m, vi *hi, vi *lo)
{
    vi factor = _mm256_set1_epi32((int32_t)m);
    vi even = _mm256_mul_epu32(a, factor);
    vi odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
static inline void vf_interleave(vf a, vf b, vf *first, vf *second)
{
    vf low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b); /* within halves of 4 lanes */
    *first = _mm256_permute2f128_ps(low, high, 0x20);
    *second = _mm256_permute2f128_ps(low, high, 0x31);
}

#else /* the reference: one lane, any processor */
enum { VL = 1 };
typedef float vf;
typedef int32_t vi;
typedef int vm;
static inline vf vf_set(float x) { return x; }
static inline vi vi_set(int32_t x) { return x; }
static inline vf vf_load(const float *p) { return *p; }
static inline void vf_store(float *p, vf x) { *p = x; }
static inline vf vf_load_first(const float *p, int n) { return n > 0 ? *p : 0.0f; }
static inline void vf_store_first(float *p, vf x, int n)
{
    if (n > 0) *p = x;
}
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_sqrt(vf a) { return sqrtf(a); }
static inline vf vf_fma(vf a, vf b, vf c) { return fmaf(a, b, c); }
/* As the x86 instructions do: the second operand where either is NaN. */
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vm vf_less(vf a, vf b) { return a < b; }
static inline vm vf_equal(vf a, vf b) { return a == b; }
static inline vm vf_nan(vf a) { return isnan(a); }
static inline uint32_t vm_bits(vm m) { return (uint32_t)m; }
static inline vf vf_select(vm m, vf yes, vf no) { return m ? yes : no; }
static inline vf vf_one_if(vm m) { return m ? 1.0f : 0.0f; }
static inline vi vf_bits(vf a)
{
    vi bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
static inline vf vf_from_bits(vi a)
{
    vf value;
    memcpy(&value, &a, sizeof value);
    return value;
}
static inline vf vf_from_int(vi a) { return (float)a; }
static inline vi vi_iota(void) { return 0; }
static inline vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
static inline vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
static inline vi vi_and(vi a, vi b) { return a & b; }
static inline vi vi_or(vi a, vi b) { return a | b; }
static inline vi vi_xor(vi a, vi b) { return a ^ b; }
static inline void vf_interleave(vf a, vf b, vf *first, vf *second)
{
    *first = a;
    *second = b;
}
#define vi_shl(a, n) ((vi)((uint32_t)(a) << (n)))
#define vi_shr(a, n) ((vi)((uint32_t)(a) >> (n)))
static inline void vi_mulhilo(vi a, uint32_t m, vi *hi, vi *lo)
{
    uint64_t product = (uint64_t)(uint32_t)a * m;
    *lo = (vi)(uint32_t)product;
    *hi = (vi)(uint32_t)(product >> 32);
}
#endif

#endif
