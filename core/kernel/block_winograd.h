/*
 * block_winograd.h: the transforms of Winograd's minimal filtering, F(2×2, 3×3) and F(4×4, 3×3), of one block of channels.
 *
 *     y = Aᵀ [ Σ over input channels (G g Gᵀ) ⊙ (Bᵀ d B) ] A          (Lavin and Gray 2015, points 0, ±1, ±2, ∞)
 *
 * A tile of m × m outputs needs (m + 2)² inputs and as many products in the place of 9 m².  The sums in the bracket are
 * (m + 2)² products of matrices, one for each position in the tile (block_product.h computes them).
 */
#ifndef CORE_KERNEL_BLOCK_WINOGRAD_H
#define CORE_KERNEL_BLOCK_WINOGRAD_H

#include "core/kernel/block.h"
#include "core/kernel/finish.h"

#define WINOGRAD_MAX 4 /* the largest m */

static inline int64_t winograd_positions(int m)
{
    return (int64_t)(m + 2) * (m + 2);
}

/* Which rows and columns of a tile lie inside the image. */
struct winograd_part {
    int row0, row1, col0, col1;
};

/*
 * Transforms one tile of inputs: v[position · v_step ..] of 16 channels each.
 * Shapes: x points to where the tile's first pixel lies or would lie, rows x_row floats apart; only pixels of part are read,
 *         the others count as zero.  scale and shift (16 each, or both NULL) are applied to the pixels read: a BatchNorm
 *         before the convolution, whose zero padding comes after it.
 */
typedef void winograd_input_fn(const float *x, int64_t x_row, const struct winograd_part *part, const float *scale,
                               const float *shift, float *v, int64_t v_step);

/*
 * Transforms one tile of sums back and finishes it: pixels of part (from 0) are written.
 * Shapes: finish->bias and slope hold 16 numbers, residual lies as y.
 */
typedef void winograd_output_fn(const float *sums, int64_t sums_step, const struct winograd_part *part,
                                const struct finish *finish, float *y, int64_t y_row);

/* The weights, once: w [16 output channels at w_step floats][9] → u [positions at u_step floats][16 output channels]. */
void winograd_weights(int m, const float *w, int64_t w_step, int n_out, float *u, int64_t u_step);

#endif
