/*
 * bench_kernel_conv.c: one thread, one image: milliseconds and speed of the convolutions of face networks, in every form.
 *
 * Prints the best of several runs for each layer, in processor time of the thread, so that a busy machine disturbs less: the
 * dense path (patches and OpenBLAS, or direct loops), and each blocked form that can compute the layer; * is the model's choice.
 *
 * History, on a Xeon of the Emerald Rapids family (AVX-512, about 170 GFLOPS a core measured):
 *   1. Dense, patches and OpenBLAS (SkylakeX kernels): IResNet-50 about 150 ms.  Loses to ONNX Runtime; only for what has no
 *      blocked form now, and for training.
 *   2. Blocked, the product's loop over 14 pixels x 2 blocks in compiler vectors: 146 GFLOPS from the first-level cache where
 *      the FMA peak, measured beside it, was 165.  The next pair's weights are fetched once, one block of them beside
 *      each tile of pixels; a prefetch in every tile occupies the load ports for nothing.
 *   3. Winograd with the position as the outer loop and a chunk's tiles beside its weights in the second-level cache:
 *      IResNet-50 62 ms with F(4x4) nearly everywhere, MobileFaceNet 7.0 ms, against 127-160 and 26-30 of ONNX Runtime.
 *   4. F(2x2) at 14 and 7 pixels up to two images: as fast as F(4x4), with less than half of its weights.
 *   5. The fully connected layer packed once: OpenBLAS's packing at every call was a tenth of IResNet-50.
 *   6. The loop over pixels inside the product: with sixteen channels, setting up a call cost as much as its sums.  Depthwise
 *      3x3 with the nine weights in registers; a depthwise layer and the 1x1 one behind it in one go, band by band; a
 *      detector's heads of one map as one layer, turned to channels-last as they leave it: SCRFD-500M 17.3 -> 12.3 ms.
 *   7. Winograd's sums over more than 128 channels as sums of sums: no slower, and IResNet-100 with unfused norms differs from
 *      ONNX Runtime by 7.3e-5 of a map's size in batches of eight, not by 1.07e-4.
 *   Lost: a BatchNorm written by the producer as a second output.  The consumer reads its input once anyway, into tiles or
 *   padded rows, and scales it there; a second output costs a trip through memory and half the place.
 */
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/kernel/conv.h"
#include "core/kernel/conv_block.h"
#include "core/kernel/gemm.h"
#include "core/kernel/kernels.h"

#define RUNS 15

struct row {
    const char *name;
    struct conv_shape s;
};

/* n, groups, ic and oc of a group, in, kernel, stride, dilation, pad, out */
#define LAYER(g, i, o, from, k, st, to)                                                        \
    {                                                                                          \
        1, g, i, o, {1, from, from}, {1, k, k}, {1, st, st}, {1, 1, 1}, {0, (k) / 2, (k) / 2}, \
        {                                                                                      \
            1, to, to                                                                          \
        }                                                                                      \
    }

static const struct row rows[] = {
    {"3x3 64-64 @112", LAYER(1, 64, 64, 112, 3, 1, 112)},
    {"3x3 64-64 @56", LAYER(1, 64, 64, 56, 3, 1, 56)},
    {"3x3 128-128 @28", LAYER(1, 128, 128, 28, 3, 1, 28)},
    {"3x3 256-256 @14", LAYER(1, 256, 256, 14, 3, 1, 14)},
    {"3x3 512-512 @7", LAYER(1, 512, 512, 7, 3, 1, 7)},
    {"3x3 256-512 @14", LAYER(1, 256, 512, 14, 3, 1, 14)},
    {"3x3 s2 64-64 @112", LAYER(1, 64, 64, 112, 3, 2, 56)},
    {"3x3 s2 256-256 @28", LAYER(1, 256, 256, 28, 3, 2, 14)},
    {"3x3 3-64 @112", LAYER(1, 3, 64, 112, 3, 1, 112)},
    {"3x3 s2 3-64 @112", LAYER(1, 3, 64, 112, 3, 2, 56)},
    {"1x1 64-128 @56", LAYER(1, 64, 128, 56, 1, 1, 56)},
    {"1x1 128-256 @14", LAYER(1, 128, 256, 14, 1, 1, 14)},
    {"depthwise 3x3 128 @56", LAYER(128, 1, 1, 56, 3, 1, 56)},
    {"depthwise 3x3 s2 128 @56", LAYER(128, 1, 1, 56, 3, 2, 28)},
    {"64 groups of 2 3x3 @56", LAYER(64, 2, 2, 56, 3, 1, 56)},
};

static float *fill(int64_t count)
{
    float *f = MEM_ARRAY(float, (size_t)count);

    for (int64_t i = 0; f != NULL && i < count; i++) {
        f[i] = (float)(i % 17) / 17 - 0.5F;
    }
    return f;
}

static double best_ms(const struct conv_shape *s, const float *x, const float *w, float *y, void *work, size_t bytes)
{
    const struct finish none = {0};
    double best = 1e9;

    for (int run = 0; run < RUNS; run++) {
        int64_t start = clock_thread_cpu_ns();
        conv_f32(s, x, w, &none, y, work, bytes, NULL);
        double ms = (double)(clock_thread_cpu_ns() - start) * 1e-6;
        best = ms < best ? ms : best;
    }
    return best;
}

/* Milliseconds of one blocked form; negative if there is no memory. */
static double blocked_ms(const struct conv_shape *s, enum conv_form form, const float *w)
{
    const struct conv_constants constants = {.w = w};
    const struct finish none = {0};
    int64_t inputs = s->n * block_count(s->groups * s->ic) * conv_in_pixels(s) * BLOCK;
    int64_t outputs = s->n * block_count(s->groups * s->oc) * conv_out_pixels(s) * BLOCK;
    size_t pack_bytes = 0;
    size_t work_bytes = 0;
    double best = -1;

    if (!conv_pack_bytes(s, form, &pack_bytes) || !conv_block_work_bytes(s, form, 1, &work_bytes)) {
        return -1;
    }
    void *packed = mem_new_huge(pack_bytes, 1);
    void *work = mem_new_huge(work_bytes, 1);
    float *x = fill(inputs);
    float *y = fill(outputs);
    if (packed != NULL && work != NULL && x != NULL && y != NULL) {
        (void)conv_pack_f32(s, form, &constants, false, packed);
        for (int run = 0; run < RUNS; run++) {
            int64_t start = clock_thread_cpu_ns();
            conv_block_f32(kernels()->blocks, s, packed, x, &none, y, work, NULL);
            double ms = (double)(clock_thread_cpu_ns() - start) * 1e-6;
            best = best < 0 || ms < best ? ms : best;
        }
    }
    mem_free(packed);
    mem_free(work);
    mem_free(x);
    mem_free(y);
    return best;
}

static void print_forms(const struct conv_shape *s, const float *w)
{
    static const char *const names[] = {[CONV_FIRST] = "first",
                                        [CONV_DIRECT] = "direct",
                                        [CONV_LANES] = "lanes",
                                        [CONV_WINOGRAD2] = "F2",
                                        [CONV_WINOGRAD4] = "F4"};

    for (int form = CONV_FIRST; form <= CONV_WINOGRAD4; form++) {
        if (conv_block_can(s, (enum conv_form)form)) {
            printf("  %s%s %.3f", names[form], conv_block_choose(s) == (enum conv_form)form ? "*" : "",
                   blocked_ms(s, (enum conv_form)form, w));
        }
    }
    printf("\n");
}

int main(void)
{
    printf("OpenBLAS core %s\n%-26s %8s %8s\n", gemm_core(), "layer", "dense ms", "GFLOPS");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct conv_shape *s = &rows[i].s;
        int64_t outputs = s->groups * s->oc * conv_out_pixels(s);
        float *x = fill(s->groups * s->ic * conv_in_pixels(s));
        float *w = fill(s->groups * s->oc * s->ic * conv_taps(s));
        float *y = fill(outputs);
        size_t bytes = 0;
        if (!conv_f32_work_bytes(s, 1, &bytes)) {
            return 1;
        }
        void *work = mem_new(bytes, 1);
        if (x == NULL || w == NULL || y == NULL || work == NULL) {
            return 1;
        }
        double ms = best_ms(s, x, w, y, work, bytes);
        printf("%-26s %8.3f %8.1f ", rows[i].name, ms, 2e-6 * (double)(outputs * s->ic * conv_taps(s)) / ms);
        print_forms(s, w);
        mem_free(x);
        mem_free(w);
        mem_free(y);
        mem_free(work);
    }
    return 0;
}
