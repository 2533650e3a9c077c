/*
 * half.h: floats stored in 16 bits, IEEE half precision: half of the memory that a layer's weights take, and half of what it
 * reads of them.
 */
#ifndef CORE_KERNEL_HALF_H
#define CORE_KERNEL_HALF_H

#include <stdbool.h>
#include <stdint.h>

/* Rounds to the nearest, ties to even; what is larger than 65504 becomes infinite. */
uint16_t half_of(float x);

/*
 * Turns count floats into as many halves in place, from the first byte on.  Returns false and changes nothing if one of them is
 * not finite as a half.
 */
bool half_squeeze(float *x, int64_t count);

#endif
