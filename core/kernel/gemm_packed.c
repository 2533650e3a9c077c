/* gemm_packed.c: rows as pixels of the inner loop of all dense layers (block_product.h). */
#include "core/kernel/gemm_packed.h"

#include "core/base/size.h"
#include "core/kernel/half.h"

#define AHEAD_BYTES (1 << 13) /* weights come from memory, one after the other, and are asked for so early */

/* The header, bias, slope, then [block of columns][k][16], floats or halves. */
struct header {
    bool half;
};
#define HEADER_FLOATS 16

bool gemm_packed_bytes(int64_t n, int64_t k, size_t *ret)
{
    size_t rows = 0;
    size_t floats = 0;

    return size_add((size_t)k, 2, &rows) && size_mul(rows, (size_t)n, &floats) &&
           size_add(floats, HEADER_FLOATS, &floats) && size_mul(floats, sizeof(float), ret);
}

size_t gemm_packed_fill(int64_t n, int64_t k, enum gemm_side side, const float *b, const float *bias,
                        const float *slope, bool half, void *ret)
{
    struct header *header = ret;
    float *to = (float *)ret + HEADER_FLOATS;

    for (int64_t c = 0; c < n; c++) {
        to[c] = bias != NULL ? bias[c] : 0;
        to[n + c] = slope != NULL ? slope[c] : 0;
    }
    to += 2 * n;
    float *w = to;
    for (int64_t block = 0; block < n; block += BLOCK) {
        for (int64_t i = 0; i < k; i++, to += BLOCK) {
            for (int64_t c = 0; c < BLOCK; c++) {
                to[c] = side == GEMM_TRANSPOSED ? b[(block + c) * k + i] : b[i * n + block + c];
            }
        }
    }
    header->half = half && half_squeeze(w, n * k);
    return (size_t)(HEADER_FLOATS + 2 * n) * sizeof(float) +
           (size_t)(n * k) * (header->half ? sizeof(uint16_t) : sizeof(float));
}

struct job {
    const struct block_kernels *kernels;
    int64_t m, n, k;
    const float *x, *channels; /* bias, slope */
    const float *w;            /* or, where that is NULL, half */
    const uint16_t *half;
    const struct finish *finish;
    float *y;
};

/* As many blocks of columns as the inner loop takes, all rows. */
static void columns_task(void *context, int task)
{
    static const int64_t no_offset[1] = {0};
    const struct job *job = context;
    int64_t block = (int64_t)task * job->kernels->blocks;
    int64_t left = job->n / BLOCK - block;
    int blocks = left < job->kernels->blocks ? (int)left : job->kernels->blocks;
    int64_t column = block * BLOCK;

    struct block_product product = {.x = job->x,
                                    .x_step = job->k,
                                    .offsets = no_offset,
                                    .n_taps = 1,
                                    .depth = job->k,
                                    .w = job->half == NULL ? job->w + column * job->k : NULL,
                                    .half = job->half == NULL ? NULL : job->half + column * job->k,
                                    .w_block = job->k * BLOCK,
                                    .ahead = AHEAD_BYTES,
                                    .y = job->y + column,
                                    .y_step = job->n,
                                    .y_block = BLOCK,
                                    .finish = *job->finish};

    product.finish.bias = job->channels + column;
    product.finish.slope = job->channels + job->n + column;
    product.finish.residual = job->finish->residual != NULL ? job->finish->residual + column : NULL;
    job->kernels->product(&product, job->m, blocks);
}

void gemm_packed_f32(const struct block_kernels *kernels, int64_t m, int64_t n, int64_t k, const float *x,
                     const void *packed, const struct finish *finish,
                     float *y, /* NOLINT(readability-non-const-parameter) it is written through the job */
                     struct pool *pool)
{
    const struct header *header = packed;
    const float *channels = (const float *)packed + HEADER_FLOATS;
    const float *w = channels + 2 * n;
    struct job job = {.kernels = kernels,
                      .m = m,
                      .n = n,
                      .k = k,
                      .x = x,
                      .channels = channels,
                      .w = header->half ? NULL : w,
                      .half = header->half ? (const uint16_t *)w : NULL,
                      .finish = finish,
                      .y = y};

    if (m > 0) { /* the product is for one row at least */
        pool_run(pool, (int)((n / BLOCK + kernels->blocks - 1) / kernels->blocks), columns_task, &job);
    }
}
