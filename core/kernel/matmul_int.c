/* matmul_int.c: row by row, b is read once for each row of a and never copied. */
#include "core/kernel/matmul_int.h"

/* Sums without b's zero, which is subtracted at the end; unsigned, because only the final sum is known to fit. */
static void add_u8(uint32_t factor, const uint8_t *b, int64_t n, uint32_t *c)
{
    for (int64_t j = 0; j < n; j++) {
        c[j] += factor * b[j];
    }
}

static void add_s8(uint32_t factor, const int8_t *b, int64_t n, uint32_t *c)
{
    for (int64_t j = 0; j < n; j++) {
        c[j] += factor * (uint32_t)b[j];
    }
}

void matmul_int(int64_t m, int64_t n, int64_t k, const struct quantised *a, const struct quantised *b, int32_t *c)
{
    int32_t zero = quantised_zero(a, 0);

    for (int64_t i = 0; i < m; i++) {
        uint32_t *row = (uint32_t *)c + i * n;
        uint32_t sum = 0;
        for (int64_t j = 0; j < n; j++) {
            row[j] = 0;
        }
        for (int64_t p = 0; p < k; p++) {
            uint32_t factor = (uint32_t)(quantised_at(a, i * k + p) - zero);
            sum += factor;
            if (b->sign == QUANTISED_U8) {
                add_u8(factor, (const uint8_t *)b->data + p * n, n, row);
            } else {
                add_s8(factor, (const int8_t *)b->data + p * n, n, row);
            }
        }
        for (int64_t j = 0; b->zeros != NULL && j < n; j++) {
            row[j] -= sum * (uint32_t)quantised_zero(b, j);
        }
    }
}
