/* The hardware limit that speeds are compared with: single-precision multiply-adds of one core. */
#ifndef HM_PEAK_H
#define HM_PEAK_H

/* GFLOP/s (a multiply-add counts as two) of this thread's core: the best of several runs of a loop of independent fused
 * multiply-adds in registers, with the widest vectors the kernels use. Takes about 0.1 s. Not collective. */
double hm_measured_peak(void);

#endif
