/* probe_block.c: the self-test of the kernels on blocked images. */
#include "core/kernel/half.h"
#include "core/kernel/probe.h"

enum {
    TAPS = 3,
    TAIL = 5, /* inputs of the last tap */
    DEPTH = 7,
    MOST_STEP = 19,
    PIXELS = BLOCK_PRODUCT_PIXELS + 3, /* more than one tile */
    BLOCKS = BLOCK_PRODUCT_BLOCKS,
    SUMS = TAPS * DEPTH + TAIL,
    SIDE = WINOGRAD_MAX + 2,
    WIDTH = 11 /* of an image */
};

static struct finish finish_of(enum finish_act act, const float *bias, const float *slope, const float *residual)
{
    return (struct finish){.bias = bias, .slope = slope, .residual = residual, .act = act, .low = -0.25F, .high = 0.5F};
}

/* x_step BLOCK: a variant may know it while it is compiled; or another. */
static bool product_works(const struct block_kernels *kernels, double tolerance, int64_t x_step)
{
    _Alignas(64) float x[(PIXELS + TAPS + 1) * MOST_STEP];
    _Alignas(64) float w[BLOCKS * SUMS * BLOCK];
    _Alignas(64) float more[(2 + PIXELS) * BLOCKS * BLOCK];
    _Alignas(64) float y[PIXELS * BLOCKS * BLOCK];
    _Alignas(64) float expected[PIXELS * BLOCKS * BLOCK];
    _Alignas(64) uint16_t half[BLOCKS * SUMS * BLOCK];
    const int64_t offsets[TAPS + 1] = {3, 0, 2 * x_step, x_step + 1};

    probe_floats(x, (int64_t)(sizeof x / sizeof *x), 50);
    probe_floats(w, (int64_t)(sizeof w / sizeof *w), 51);
    probe_floats(more, (int64_t)(sizeof more / sizeof *more), 52);
    for (int64_t i = 0; i < (int64_t)(sizeof w / sizeof *w); i++) {
        half[i] = i % 7 == 0 ? (uint16_t)(i % 1024) : half_of(w[i]); /* some are denormal */
    }
    for (int pixels = 1; pixels <= PIXELS; pixels++) {
        struct block_product job = {.x = x,
                                    .x_step = x_step,
                                    .offsets = offsets,
                                    .n_taps = TAPS,
                                    .depth = DEPTH,
                                    .n_tail = 1,
                                    .tail = TAIL,
                                    .w = w,
                                    .w_block = SUMS * BLOCK,
                                    .y_step = BLOCK,
                                    .y_block = PIXELS * BLOCK};
        int blocks = 1 + pixels % kernels->blocks;
        job.finish = finish_of((enum finish_act)(pixels % 5), pixels % 3 > 0 ? more : NULL, more + BLOCKS * BLOCK,
                               pixels % 3 > 1 ? more + (ptrdiff_t)2 * BLOCKS * BLOCK : NULL);
        probe_floats(y, (int64_t)(sizeof y / sizeof *y), 53);
        probe_floats(expected, (int64_t)(sizeof y / sizeof *y), 53);
        job.y = y;
        kernels->product(&job, pixels, blocks);
        job.y = expected;
        blocks_ref.product(&job, pixels, blocks);
        if (!probe_close(y, expected, (int64_t)(sizeof y / sizeof *y), tolerance, SUMS)) {
            return false;
        }
        job.half = half;
        blocks_ref.product(&job, pixels, blocks);
        job.y = y;
        kernels->product(&job, pixels, blocks);
        if (!probe_close(y, expected, (int64_t)(sizeof y / sizeof *y), tolerance, SUMS)) {
            return false;
        }
    }
    return true;
}

static bool transforms_work(const struct block_kernels *kernels, double tolerance, int m,
                            const struct winograd_part *part)
{
    _Alignas(64) float x[SIDE * WIDTH * BLOCK];
    _Alignas(64) float more[4 * BLOCK];
    _Alignas(64) float y[SIDE * SIDE * BLOCK];
    _Alignas(64) float expected[SIDE * SIDE * BLOCK];
    const int64_t count = (int64_t)SIDE * SIDE * BLOCK;
    const struct winograd_part inner = {0, part->row1 < m ? part->row1 : m, 0, part->col1 < m ? part->col1 : m};
    const struct finish finish = finish_of(FINISH_PRELU, more, more + BLOCK, NULL);
    const float *scale = part->row0 > 0 ? more + (ptrdiff_t)2 * BLOCK : NULL;
    const float *shift = part->row0 > 0 ? more + (ptrdiff_t)3 * BLOCK : NULL;
    winograd_input_fn *input = m == 2 ? kernels->winograd_input2 : kernels->winograd_input4;
    winograd_input_fn *input_ref = m == 2 ? blocks_ref.winograd_input2 : blocks_ref.winograd_input4;
    winograd_output_fn *output = m == 2 ? kernels->winograd_output2 : kernels->winograd_output4;
    winograd_output_fn *output_ref = m == 2 ? blocks_ref.winograd_output2 : blocks_ref.winograd_output4;

    probe_floats(x, (int64_t)SIDE * WIDTH * BLOCK, 54);
    probe_floats(more, (int64_t)4 * BLOCK, 55);
    probe_floats(y, count, 56);
    probe_floats(expected, count, 56);
    input(x, (int64_t)WIDTH * BLOCK, part, scale, shift, y, BLOCK);
    input_ref(x, (int64_t)WIDTH * BLOCK, part, scale, shift, expected, BLOCK);
    if (!probe_close(y, expected, count, tolerance, 200)) { /* ten squared and a bit: the largest row of the matrix */
        return false;
    }
    output(x, BLOCK, &inner, &finish, y, (int64_t)SIDE * BLOCK);
    output_ref(x, BLOCK, &inner, &finish, expected, (int64_t)SIDE * BLOCK);
    return probe_close(y, expected, count, tolerance, 400);
}

static bool lanes_work(const struct block_kernels *kernels, double tolerance, int group)
{
    _Alignas(64) float x[WIDTH * WIDTH * BLOCK];
    _Alignas(64) float w[9 * 4 * BLOCK];
    _Alignas(64) float more[2 * BLOCK];
    _Alignas(64) float y[WIDTH * WIDTH * BLOCK] = {0};
    _Alignas(64) float expected[WIDTH * WIDTH * BLOCK] = {0};
    const int64_t count = (int64_t)WIDTH * WIDTH * BLOCK;
    struct block_lanes job = {.x = x,
                              .in_h = 5,
                              .in_w = WIDTH,
                              .w = w,
                              .kernel_h = 3,
                              .kernel_w = 3,
                              .stride_h = 2,
                              .stride_w = 1,
                              .dilation_h = 1,
                              .dilation_w = 1,
                              .pad_h = 1,
                              .pad_w = 2,
                              .group = group,
                              .out_w = WIDTH + 2};

    probe_floats(x, count, 57);
    probe_floats(w, (int64_t)(sizeof w / sizeof *w), 58);
    probe_floats(more, (int64_t)2 * BLOCK, 59);
    job.finish = finish_of(FINISH_CLIP, more, NULL, group == 2 ? x : NULL);
    job.y = y;
    kernels->lanes(&job, 0, 3);
    job.y = expected;
    blocks_ref.lanes(&job, 0, 3);
    return probe_close(y, expected, count, tolerance, 9.0 * group);
}

bool blocks_probe(const struct kernels *candidate, double tolerance)
{
    const struct block_kernels *kernels = candidate->blocks;
    static const struct winograd_part parts[] = {{0, 4, 0, 4}, {0, 6, 0, 6}, {1, 3, 0, 2}, {0, 5, 1, 6}};

    bool works = product_works(kernels, tolerance, BLOCK) && product_works(kernels, tolerance, MOST_STEP);
    for (int i = 0; works && i < (int)(sizeof parts / sizeof parts[0]); i++) {
        works = transforms_work(kernels, tolerance, 4, &parts[i]) &&
                (i == 1 || i == 3 || transforms_work(kernels, tolerance, 2, &parts[i]));
    }
    return works && lanes_work(kernels, tolerance, 1) && lanes_work(kernels, tolerance, 2) &&
           lanes_work(kernels, tolerance, 4);
}
