/*
 * block_kernels.h: the kernels on blocked images, one table for each instruction set.
 */
#ifndef CORE_KERNEL_BLOCK_KERNELS_H
#define CORE_KERNEL_BLOCK_KERNELS_H

#include "core/kernel/block_lanes.h"
#include "core/kernel/block_product.h"
#include "core/kernel/block_winograd.h"

struct block_kernels {
    int blocks; /* of output channels in one call of product: no more */
    block_product_fn *product;
    winograd_input_fn *winograd_input2, *winograd_input4;
    winograd_output_fn *winograd_output2, *winograd_output4;
    block_lanes_fn *lanes;
};

extern const struct block_kernels blocks_ref, blocks_portable, blocks_avx2, blocks_avx512;

#endif
