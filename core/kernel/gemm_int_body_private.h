/*
 * gemm_int_body_private.h: the blocked integer product, included once for each instruction set; FN is the function's name.
 *
 * Blocks of 4 × 4 inner products share their loads; the compiler turns the inner loop into multiply-add-pairs
 * (pmaddwd, vpdpwssd).  Panels of b that fit in the first-level cache are used for all rows of a before the next.
 */
#define PANEL_BYTES 24576

static void block_4x4(int64_t k, const int16_t *restrict a, const int16_t *restrict b, int32_t *c, int64_t ldc)
{
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    int32_t s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;

    for (int64_t p = 0; p < k; p++) {
        int32_t a0 = a[p], a1 = a[k + p], a2 = a[2 * k + p], a3 = a[3 * k + p];
        int32_t b0 = b[p], b1 = b[k + p], b2 = b[2 * k + p], b3 = b[3 * k + p];
        s00 += a0 * b0, s01 += a0 * b1, s02 += a0 * b2, s03 += a0 * b3;
        s10 += a1 * b0, s11 += a1 * b1, s12 += a1 * b2, s13 += a1 * b3;
        s20 += a2 * b0, s21 += a2 * b1, s22 += a2 * b2, s23 += a2 * b3;
        s30 += a3 * b0, s31 += a3 * b1, s32 += a3 * b2, s33 += a3 * b3;
    }
    c[0] = s00, c[1] = s01, c[2] = s02, c[3] = s03;
    c += ldc;
    c[0] = s10, c[1] = s11, c[2] = s12, c[3] = s13;
    c += ldc;
    c[0] = s20, c[1] = s21, c[2] = s22, c[3] = s23;
    c += ldc;
    c[0] = s30, c[1] = s31, c[2] = s32, c[3] = s33;
}

static void block_edge(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            int32_t sum = 0;
            for (int64_t p = 0; p < k; p++) {
                sum += (int32_t)a[i * k + p] * b[j * k + p];
            }
            c[i * ldc + j] = sum;
        }
    }
}

void FN(int64_t m, int64_t n, int64_t k, const int16_t *a, const int16_t *b, int32_t *c, int64_t ldc)
{
    int64_t panel = k > 0 ? PANEL_BYTES / (int64_t)sizeof *b / k / 4 * 4 : n;

    panel = panel > 4 ? panel : 4;
    for (int64_t j0 = 0; j0 < n; j0 += panel) {
        int64_t j1 = j0 + panel < n ? j0 + panel : n;
        for (int64_t i = 0; i < m; i += 4) {
            int64_t rows = m - i < 4 ? m - i : 4;
            for (int64_t j = j0; j < j1; j += 4) {
                int64_t cols = j1 - j < 4 ? j1 - j : 4;
                if (rows == 4 && cols == 4) {
                    block_4x4(k, a + i * k, b + j * k, c + i * ldc + j, ldc);
                } else {
                    block_edge(rows, cols, k, a + i * k, b + j * k, c + i * ldc + j, ldc);
                }
            }
        }
    }
}
