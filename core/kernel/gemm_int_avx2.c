/* gemm_int_avx2.c: the integer product with the instructions of its name. */
#include "core/kernel/gemm_int.h"

#if defined(__x86_64__)
#define FN gemm_int_avx2
#include "core/kernel/gemm_int_body.inc"
#endif
