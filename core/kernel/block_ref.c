/* block_ref.c: the kernels on blocked images as their definitions. */
#include <math.h>
#include <stddef.h>

#include "core/kernel/block_kernels.h"

/* One number finished as finish.h says; channel counts from the first of finish's arrays. */
static float finished(const struct finish *finish, float sum, int64_t channel, int64_t at)
{
    float v = sum + (finish->bias != NULL ? finish->bias[channel] : 0);

    v += finish->residual != NULL ? finish->residual[at] : 0;
    switch (finish->act) {
    case FINISH_NONE: return v;
    case FINISH_RELU: return v < 0 ? 0 : v;
    case FINISH_PRELU: return v < 0 ? v * finish->slope[channel] : v;
    case FINISH_LEAKY: return v < 0 ? v * finish->low : v;
    case FINISH_CLIP: return v < finish->low ? finish->low : v > finish->high ? finish->high : v;
    }
    return v;
}

/* A number of half precision; no weight is infinite. */
static float float_of(uint16_t half)
{
    const int exponent = half >> 10 & 31;
    const float fraction = (float)(half & 1023) / 1024;
    const float magnitude = exponent == 0 ? ldexpf(fraction, -14) : ldexpf(1 + fraction, exponent - 15);

    return half >> 15 != 0 ? -magnitude : magnitude;
}

static void product(const struct block_product *job, int64_t pixels, int blocks)
{
    for (int64_t i = 0; i < pixels * blocks * BLOCK; i++) {
        int64_t pixel = i / BLOCK / blocks;
        int64_t block = i / BLOCK % blocks;
        int64_t at = pixel * job->y_step + block * job->y_block + i % BLOCK;
        int64_t w = block * job->w_block + i % BLOCK;
        float sum = 0;
        for (int64_t t = 0; t < job->n_taps + job->n_tail; t++) {
            const float *x = job->x + pixel * job->x_step + job->offsets[t];
            for (int64_t k = 0; k < (t < job->n_taps ? job->depth : job->tail); k++) {
                sum += x[k] * (job->half != NULL ? float_of(job->half[w]) : job->w[w]);
                w += BLOCK;
            }
        }
        job->y[at] = finished(&job->finish, sum, block * BLOCK + i % BLOCK, at);
    }
}

/* ---- Winograd: the matrices, and the products with them ------------------------------------------------------------- */

static const float input2[] = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
static const float input4[] = {4, 0,  -5, 0, 1, 0, 0, -4, -4, 1,  1, 0, 0, 4, -4, -1, 1, 0,
                               0, -2, -1, 2, 1, 0, 0, 2,  -1, -2, 1, 0, 0, 4, 0,  -5, 0, 1};
static const float output2[] = {1, 1, 1, 0, 0, 1, -1, -1};
static const float output4[] = {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0, 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1};

/* r [rows, rows] = matrix [rows, side] · d [side, side] · matrixᵀ */
static void transform(const float *matrix, int rows, int side, const float *d, float *r)
{
    for (int i = 0; i < rows * rows; i++) {
        float sum = 0;
        for (int k = 0; k < side * side; k++) {
            sum += matrix[i / rows * side + k / side] * d[k] * matrix[i % rows * side + k % side];
        }
        r[i] = sum;
    }
}

static void winograd_input(const float *matrix, int side, const float *x, int64_t x_row,
                           const struct winograd_part *part, const float *scale, const float *shift, float *v,
                           int64_t v_step)
{
    for (int c = 0; c < BLOCK; c++) {
        float d[(WINOGRAD_MAX + 2) * (WINOGRAD_MAX + 2)] = {0};
        float r[(WINOGRAD_MAX + 2) * (WINOGRAD_MAX + 2)];
        for (int i = part->row0; i < part->row1; i++) {
            for (int j = part->col0; j < part->col1; j++) {
                float in = x[i * x_row + j * BLOCK + c];
                d[i * side + j] = scale != NULL ? in * scale[c] + shift[c] : in;
            }
        }
        transform(matrix, side, side, d, r);
        for (int i = 0; i < side * side; i++) {
            v[i * v_step + c] = r[i];
        }
    }
}

static void winograd_output(const float *matrix, int m, const float *sums, int64_t sums_step,
                            const struct winograd_part *part, const struct finish *finish, float *y, int64_t y_row)
{
    for (int c = 0; c < BLOCK; c++) {
        float s[(WINOGRAD_MAX + 2) * (WINOGRAD_MAX + 2)];
        float r[WINOGRAD_MAX * WINOGRAD_MAX];
        for (int i = 0; i < (m + 2) * (m + 2); i++) {
            s[i] = sums[i * sums_step + c];
        }
        transform(matrix, m, m + 2, s, r);
        for (int i = 0; i < part->row1 * part->col1; i++) {
            int row = i / part->col1;
            int col = i % part->col1;
            int64_t at = row * y_row + (int64_t)col * BLOCK + c;
            y[at] = finished(finish, r[row * m + col], c, at);
        }
    }
}

static void winograd_input2(const float *x, int64_t x_row, const struct winograd_part *part, const float *scale,
                            const float *shift, float *v, int64_t v_step)
{
    winograd_input(input2, 4, x, x_row, part, scale, shift, v, v_step);
}

static void winograd_input4(const float *x, int64_t x_row, const struct winograd_part *part, const float *scale,
                            const float *shift, float *v, int64_t v_step)
{
    winograd_input(input4, 6, x, x_row, part, scale, shift, v, v_step);
}

static void winograd_output2(const float *sums, int64_t sums_step, const struct winograd_part *part,
                             const struct finish *finish, float *y, int64_t y_row)
{
    winograd_output(output2, 2, sums, sums_step, part, finish, y, y_row);
}

static void winograd_output4(const float *sums, int64_t sums_step, const struct winograd_part *part,
                             const struct finish *finish, float *y, int64_t y_row)
{
    winograd_output(output4, 4, sums, sums_step, part, finish, y, y_row);
}

/* ---- Lanes ---------------------------------------------------------------------------------------------------------- */

static void lanes(const struct block_lanes *job, int64_t first, int64_t end)
{
    int64_t taps = job->kernel_h * job->kernel_w;

    for (int64_t i = first * job->out_w * BLOCK; i < end * job->out_w * BLOCK; i++) {
        int64_t row = i / BLOCK / job->out_w * job->stride_h - job->pad_h;
        int64_t col = i / BLOCK % job->out_w * job->stride_w - job->pad_w;
        float sum = 0;
        for (int64_t t = 0; t < taps * job->group; t++) {
            int64_t h = row + t / job->group / job->kernel_w * job->dilation_h;
            int64_t w = col + t / job->group % job->kernel_w * job->dilation_w;
            int64_t lane = i % BLOCK ^ t % job->group;
            if (h >= 0 && h < job->in_h && w >= 0 && w < job->in_w) {
                sum += job->x[(h * job->in_w + w) * BLOCK + lane] * job->w[t * BLOCK + i % BLOCK];
            }
        }
        job->y[i] = finished(&job->finish, sum, i % BLOCK, i);
    }
}

const struct block_kernels blocks_ref = {
    .blocks = 1,
    .product = product,
    .winograd_input2 = winograd_input2,
    .winograd_input4 = winograd_input4,
    .winograd_output2 = winograd_output2,
    .winograd_output4 = winograd_output4,
    .lanes = lanes,
};
