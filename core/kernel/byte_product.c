/* byte_product.c: the product of bytes for any processor: four pixels share each load of the weights. */
#include "core/kernel/byte_product.h"

#include <stddef.h>
#include <string.h>

static inline void some_pixels(const struct byte_rows *rows, const uint8_t *x, int n, int32_t *restrict y)
{
    uint32_t sum[4][BYTE_LANES];

    for (int p = 0; p < n; p++) {
        memcpy(sum[p], rows->start, sizeof sum[p]);
    }
    for (int64_t r = 0; r < rows->n_runs; r++) {
        const int8_t *w = rows->w + r * rows->quads * BYTE_LANES * 4;
        const uint8_t *run = x + rows->run_at[r];
        for (int64_t q = 0; q < rows->quads; q++, w += (ptrdiff_t)BYTE_LANES * 4, run += 4) {
            for (int p = 0; p < n; p++) {
                const uint8_t *at = run + p * rows->pixel_step;
                for (int c = 0; c < BYTE_LANES; c++) {
                    sum[p][c] += (uint32_t)(at[0] * w[c * 4] + at[1] * w[c * 4 + 1] + at[2] * w[c * 4 + 2] +
                                            at[3] * w[c * 4 + 3]);
                }
            }
        }
    }
    memcpy(y, sum, (size_t)n * sizeof sum[0]);
}

void byte_product_portable(const struct byte_rows *rows, int64_t n_pixels, int32_t *y)
{
    int64_t p = 0;

    for (; p + 4 <= n_pixels; p += 4) {
        some_pixels(rows, rows->x + p * rows->pixel_step, 4, y + p * BYTE_LANES);
    }
    for (; p < n_pixels; p++) {
        some_pixels(rows, rows->x + p * rows->pixel_step, 1, y + p * BYTE_LANES);
    }
}
