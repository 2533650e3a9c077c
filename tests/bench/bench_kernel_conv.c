/*
 * bench_kernel_conv.c: one thread, one image: milliseconds and speed of the convolutions of face networks.
 *
 * Prints the best of several runs for each layer, in processor time of the thread, so that a busy machine disturbs less.
 */
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/kernel/conv.h"
#include "core/kernel/gemm.h"

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

int main(void)
{
    printf("OpenBLAS core %s\n%-26s %8s %8s\n", gemm_core(), "layer", "ms", "GFLOPS");
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
        printf("%-26s %8.3f %8.1f\n", rows[i].name, ms, 2e-6 * (double)(outputs * s->ic * conv_taps(s)) / ms);
        mem_free(x);
        mem_free(w);
        mem_free(y);
        mem_free(work);
    }
    return 0;
}
