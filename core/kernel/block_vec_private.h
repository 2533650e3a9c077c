/*
 * block_vec_private.h: a block of sixteen floats in the registers of the instruction set that this file is compiled for.
 *
 * The kernels on blocks are written once, in vectors of the compiler, and compiled once per instruction set: one register
 * of AVX-512, two of AVX, four of anything else.  Included by the .inc files only; all functions are inlined, so no vector
 * crosses a call.
 */
#ifndef CORE_KERNEL_BLOCK_VEC_PRIVATE_H
#define CORE_KERNEL_BLOCK_VEC_PRIVATE_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/kernel/block.h"
#include "core/kernel/finish.h"

#if defined(__AVX512F__)
#define VEC_FLOATS 16
#elif defined(__AVX2__)
#define VEC_FLOATS 8
#else
#define VEC_FLOATS 4
#endif
#define VECS (BLOCK / VEC_FLOATS)

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(VEC_FLOATS * 4)));
typedef int32_t vec_int __attribute__((vector_size(VEC_FLOATS * 4)));

/* Addresses of blocks are multiples of 64 bytes. */
INLINE vec vec_load(const float *x)
{
    return *(const vec *)__builtin_assume_aligned(x, VEC_FLOATS * 4);
}

INLINE void vec_store(float *y, vec v)
{
    *(vec *)__builtin_assume_aligned(y, VEC_FLOATS * 4) = v;
}

/* Numbers of half precision (half.h): all but infinities and NaN, which no weight is. */
INLINE vec vec_load_half(const uint16_t *x)
{
#if defined(__AVX512F__)
    return (vec)_mm512_cvtph_ps(_mm256_load_si256((const __m256i *)x));
#elif defined(__AVX2__)
    return (vec)_mm256_cvtph_ps(_mm_load_si128((const __m128i *)x));
#else
    vec_int bits;
    vec_int signs;

    for (int i = 0; i < VEC_FLOATS; i++) {
        bits[i] = (x[i] & 0x7FFF) << 13;
        signs[i] = (int32_t)((uint32_t)(x[i] & 0x8000) << 16);
    }
    /* What stands 13 bits higher is the number times 2^-112, denormal ones too. */
    return (vec)((vec_int)((vec)bits * 0x1p112F) | signs);
#endif
}

INLINE vec vec_all(float x)
{
    return x - (vec){0};
}

/* a where the mask says so, else b */
INLINE vec vec_pick(vec_int mask, vec a, vec b)
{
    return (vec)(((vec_int)a & mask) | ((vec_int)b & ~mask));
}

/* The comparisons let NaN through, as those of finish.c do. */
INLINE vec vec_finish(vec v, enum finish_act act, vec slope, float low, float high)
{
    const vec zero = {0};

    switch (act) {
    case FINISH_NONE: return v;
    case FINISH_RELU: return vec_pick(v < zero, zero, v);
    case FINISH_PRELU:
    case FINISH_LEAKY: return vec_pick(v < zero, v * slope, v);
    case FINISH_CLIP:
        v = vec_pick(v < vec_all(low), vec_all(low), v);
        return vec_pick(v > vec_all(high), vec_all(high), v);
    }
    return v;
}

#endif
