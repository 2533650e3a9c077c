/*
 * kernel_list.h: every kernel that comes in variants, one line each.
 *
 * A family is one contract (the header that declares its type).  Its variants are named FAMILY_VARIANT and compute the same
 * numbers as FAMILY_ref, up to the tolerance: the largest difference relative to the sum of the absolute products that go
 * into a number; 0 means the same bits.  From these lines come the table that everybody calls through (kernels.h), the
 * choice at start with its self-test, and the rows of the unit test.
 *
 * Adding a variant = a file and a line; adding a family = two more: here, and FAMILY_probe beside its reference.
 */
#ifndef CORE_KERNEL_KERNEL_LIST_H
#define CORE_KERNEL_KERNEL_LIST_H

#include "core/kernel/block_kernels.h"
#include "core/kernel/byte_loops.h"
#include "core/kernel/byte_product.h"
#include "core/kernel/conv_direct.h"
#include "core/kernel/conv_direct_backward.h"
#include "core/kernel/gemm.h"
#include "core/kernel/gemm_int.h"
#include "core/kernel/learn_loops.h"
#include "core/kernel/scan.h"

/* F(family, type of a variant) */
#define KERNEL_FAMILIES(F)                           \
    F(gemm_f32, gemm_f32_fn)                         \
    F(gemm_int, gemm_int_fn)                         \
    F(byte_product, byte_product_fn)                 \
    F(byte_loops, const struct byte_loops)           \
    F(conv_direct_f32, conv_direct_f32_fn)           \
    F(conv_direct_u8, conv_direct_u8_fn)             \
    F(conv_direct_s8, conv_direct_s8_fn)             \
    F(conv_direct_data_f32, conv_direct_data_fn)     \
    F(conv_direct_weight_f32, conv_direct_weight_fn) \
    F(blocks, const struct block_kernels)            \
    F(learn_loops, const struct learn_loops)         \
    F(scan, const struct scan)

/*
 * V(family, variant, what the processor must have, tolerance), the best of each family first.
 * A variant that can be compiled for one architecture only stands in that architecture's list.
 */
#if defined(__x86_64__)
#define KERNEL_LIST_MACHINE(V)                  \
    V(byte_product, vnni, VNNI, 0)              \
    V(byte_product, avx2, AVX2, 0)              \
    V(byte_loops, avx512, AVX512, 0)            \
    V(byte_loops, avx2, AVX2, 0)                \
    V(gemm_int, vnni, VNNI, 0)                  \
    V(gemm_int, avx2, AVX2, 0)                  \
    V(conv_direct_f32, avx2, AVX2, 2e-6)        \
    V(conv_direct_u8, avx2, AVX2, 0)            \
    V(conv_direct_s8, avx2, AVX2, 0)            \
    V(conv_direct_data_f32, avx2, AVX2, 2e-6)   \
    V(conv_direct_weight_f32, avx2, AVX2, 2e-6) \
    V(blocks, avx512, AVX512, 2e-6)             \
    V(blocks, avx2, AVX2, 2e-6)                 \
    V(learn_loops, avx512, AVX512, 4e-6)        \
    V(learn_loops, avx2, AVX2, 4e-6)            \
    V(scan, vbmi, VBMI, 0)                      \
    V(scan, vnni, VNNI, 0)                      \
    V(scan, avx2, AVX2, 0)
#else
#define KERNEL_LIST_MACHINE(V)
#endif

#define KERNEL_LIST_ANY(V)                              \
    V(gemm_f32, blas, PORTABLE, 2e-6)                   \
    V(gemm_f32, ref, REF, 0)                            \
    V(byte_product, portable, PORTABLE, 0)              \
    V(byte_product, ref, REF, 0)                        \
    V(byte_loops, portable, PORTABLE, 0)                \
    V(byte_loops, ref, REF, 0)                          \
    V(gemm_int, portable, PORTABLE, 0)                  \
    V(gemm_int, ref, REF, 0)                            \
    V(conv_direct_f32, portable, PORTABLE, 2e-6)        \
    V(conv_direct_f32, ref, REF, 0)                     \
    V(conv_direct_u8, portable, PORTABLE, 0)            \
    V(conv_direct_u8, ref, REF, 0)                      \
    V(conv_direct_s8, portable, PORTABLE, 0)            \
    V(conv_direct_s8, ref, REF, 0)                      \
    V(conv_direct_data_f32, portable, PORTABLE, 2e-6)   \
    V(conv_direct_data_f32, ref, REF, 0)                \
    V(conv_direct_weight_f32, portable, PORTABLE, 2e-6) \
    V(conv_direct_weight_f32, ref, REF, 0)              \
    V(blocks, portable, PORTABLE, 2e-6)                 \
    V(blocks, ref, REF, 0)                              \
    V(learn_loops, ref, REF, 0)                         \
    V(scan, ref, REF, 0)

#define KERNEL_LIST(V) KERNEL_LIST_MACHINE(V) KERNEL_LIST_ANY(V)

#endif
