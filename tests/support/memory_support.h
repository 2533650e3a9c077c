/* memory_support.h: looking for bytes in this process's own memory. */
#ifndef TESTS_SUPPORT_MEMORY_SUPPORT_H
#define TESTS_SUPPORT_MEMORY_SUPPORT_H

#include <stddef.h>

/* How often n bytes (up to 64) stand at a multiple of 4 in what this process can write, the stacks and n_own bytes from own on left
 * out.  -1: the system does not show it. */
long memory_copies(const void *bytes, size_t n, const void *own, size_t n_own);

#endif
