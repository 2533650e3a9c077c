/* byte_loops_avx512.c: the loops between products with the instructions of its name. */
#if defined(__x86_64__)
#include <stddef.h>

#define LOOPS byte_loops_avx512
#include "core/kernel/byte_loops_body.inc"
#endif
