/* byte_loops.c: the loops between products for any processor. */
#include <stddef.h>

#define LOOPS byte_loops_portable
#include "core/kernel/byte_loops_body.inc"
