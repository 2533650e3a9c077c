/*
 * probe.h: the self-tests: does a variant compute what its reference computes?
 *
 * Each looks at one member of the table, on a small shape that ends inside every block a variant may use: odd sizes, one
 * more than a register, edges on all sides.  A probe runs in under a millisecond, allocates nothing and keeps its numbers
 * on the stack (at most 256 KiB).
 */
#ifndef CORE_KERNEL_PROBE_H
#define CORE_KERNEL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/kernel/kernels.h"

typedef bool kernel_probe_fn(const struct kernels *candidate, double tolerance);

#define KERNEL_PROBE(family, type) kernel_probe_fn family##_probe;
KERNEL_FAMILIES(KERNEL_PROBE)
#undef KERNEL_PROBE

/* Numbers to compute with: -1 .. 1, and bytes with the extremes often; the same on every run. */
void probe_floats(float *to, int64_t count, uint32_t seed);
void probe_bytes(void *to, int64_t count, uint32_t seed);

/* |y - expected| ≤ tolerance · scale for each number; NaN is never equal. */
bool probe_close(const float *y, const float *expected, int64_t count, double tolerance, double scale);

#endif
