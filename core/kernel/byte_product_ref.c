/* byte_product_ref.c: the product of bytes as its definition. */
#include "core/kernel/byte_product.h"

void byte_product_ref(const struct byte_rows *rows, int64_t n_pixels, int32_t *y)
{
    for (int64_t p = 0; p < n_pixels; p++) {
        for (int64_t c = 0; c < BYTE_LANES; c++) {
            uint32_t sum = (uint32_t)rows->start[c];
            for (int64_t r = 0; r < rows->n_runs; r++) {
                const uint8_t *x = rows->x + p * rows->pixel_step + rows->run_at[r];
                for (int64_t i = 0; i < rows->quads * 4; i++) {
                    int8_t w = rows->w[((r * rows->quads + i / 4) * BYTE_LANES + c) * 4 + i % 4];
                    sum += (uint32_t)(x[i] * w);
                }
            }
            y[p * BYTE_LANES + c] = (int32_t)sum;
        }
    }
}
