/* probe.c: the self-tests of the float and integer products and direct convolutions, and what all self-tests share. */
#include "core/kernel/probe.h"

#include <math.h>
#include <string.h>

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

void probe_floats(float *to, int64_t count, uint32_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        to[i] = (float)next(&seed) / 8388608.0F - 1;
    }
}

void probe_bytes(void *to, int64_t count, uint32_t seed)
{
    uint8_t *bytes = to;

    for (int64_t i = 0; i < count; i++) {
        uint32_t r = next(&seed);
        bytes[i] = (uint8_t)(r % 4 == 0 ? (r & 64U ? 255 : r & 128U ? 128 : 0) : r >> 3);
    }
}

bool probe_close(const float *y, const float *expected, int64_t count, double tolerance, double scale)
{
    for (int64_t i = 0; i < count; i++) {
        if (!(fabs((double)y[i] - (double)expected[i]) <= tolerance * scale)) {
            return false;
        }
    }
    return true;
}

/* ---- Products ------------------------------------------------------------------------------------------------------- */

enum {
    M = 13,
    N = 35,
    K = 67
};

bool gemm_f32_probe(const struct kernels *candidate, double tolerance)
{
    float a[M * K];
    float b[N * K];
    float c[M * N] = {0};
    float expected[M * N] = {0};

    probe_floats(a, M * K, 1);
    probe_floats(b, N * K, 2);
    for (int sides = 0; sides < 4; sides++) {
        enum gemm_side side_a = sides % 2 != 0 ? GEMM_TRANSPOSED : GEMM_AS_IS;
        enum gemm_side side_b = sides / 2 != 0 ? GEMM_TRANSPOSED : GEMM_AS_IS;
        int64_t lda = sides % 2 != 0 ? M : K;
        int64_t ldb = sides / 2 != 0 ? K : N;
        candidate->gemm_f32(side_a, side_b, M, N, K, 0.75F, a, lda, b, ldb, 0.5F, c, N);
        gemm_f32_ref(side_a, side_b, M, N, K, 0.75F, a, lda, b, ldb, 0.5F, expected, N);
        if (!probe_close(c, expected, (int64_t)M * N, tolerance, K)) {
            return false;
        }
    }
    return true;
}

bool gemm_int_probe(const struct kernels *candidate, double tolerance)
{
    uint8_t bytes[(M + N) * K];
    int16_t a[M * K];
    int16_t b[N * K];
    int32_t c[M * N];
    int32_t expected[M * N];

    (void)tolerance;
    probe_bytes(bytes, sizeof bytes, 3);
    widen_u8(bytes, M * K, 255, a, 1);
    widen_u8(bytes + M * K, N * K, 0, b, 1);
    candidate->gemm_int(M, N, K, a, b, c, N);
    gemm_int_ref(M, N, K, a, b, expected, N);
    return memcmp(c, expected, sizeof c) == 0;
}

/* ---- Direct convolutions ---------------------------------------------------------------------------------------------- */

/* Two channels in, three out, stride 2 in one direction, padding on all sides, 37 outputs in a row. */
static const struct conv_shape shapes[] = {
    {1, 2, 2, 3, {1, 5, 37}, {1, 3, 3}, {1, 2, 1}, {1, 1, 1}, {0, 1, 1}, {1, 3, 37}},
    {1, 2, 2, 3, {1, 5, 37}, {1, 3, 3}, {1, 1, 2}, {1, 1, 1}, {0, 1, 1}, {1, 5, 19}},
    {1, 2, 2, 3, {1, 5, 37}, {1, 1, 4}, {1, 1, 1}, {1, 1, 2}, {0, 0, 3}, {1, 5, 37}},
};
#define N_SHAPES (int)(sizeof shapes / sizeof shapes[0])

enum {
    IN = 4 * 5 * 37, /* of the largest of these */
    WEIGHTS = 6 * 2 * 9,
    OUT = 6 * 5 * 37,
    PHASES = 3 * 7 * 43 /* (phases + 1) times rows times columns */
};

bool conv_direct_f32_probe(const struct kernels *candidate, double tolerance)
{
    float x[IN];
    float w[WEIGHTS];
    float y[OUT] = {0};
    float expected[OUT] = {0};

    probe_floats(x, IN, 4);
    probe_floats(w, WEIGHTS, 5);
    for (int i = 0; i < N_SHAPES; i++) {
        const struct conv_shape *s = &shapes[i];
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            candidate->conv_direct_f32(s, x, w, 0, oc, y);
            conv_direct_f32_ref(s, x, w, 0, oc, expected);
            if (!probe_close(y, expected, conv_out_pixels(s), tolerance, (double)(s->ic * conv_taps(s)))) {
                return false;
            }
        }
    }
    return true;
}

bool conv_direct_u8_probe(const struct kernels *candidate, double tolerance)
{
    uint8_t x[IN];
    int16_t w[WEIGHTS];
    int32_t y[OUT] = {0};
    int32_t expected[OUT] = {0};

    (void)tolerance;
    probe_bytes(x, WEIGHTS, 6);
    widen_u8(x, WEIGHTS, 255, w, 1);
    probe_bytes(x, IN, 7);
    for (int i = 0; i < N_SHAPES; i++) {
        const struct conv_shape *s = &shapes[i];
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            candidate->conv_direct_u8(s, x, 3, w, 0, oc, y);
            conv_direct_u8_ref(s, x, 3, w, 0, oc, expected);
            if (memcmp(y, expected, (size_t)conv_out_pixels(s) * sizeof *y) != 0) {
                return false;
            }
        }
    }
    return true;
}

bool conv_direct_s8_probe(const struct kernels *candidate, double tolerance)
{
    int8_t x[IN];
    int16_t w[WEIGHTS];
    int32_t y[OUT] = {0};
    int32_t expected[OUT] = {0};

    (void)tolerance;
    probe_bytes(x, WEIGHTS, 8);
    widen_s8(x, WEIGHTS, -128, w, 1);
    probe_bytes(x, IN, 9);
    for (int i = 0; i < N_SHAPES; i++) {
        const struct conv_shape *s = &shapes[i];
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            candidate->conv_direct_s8(s, x, -3, w, 0, oc, y);
            conv_direct_s8_ref(s, x, -3, w, 0, oc, expected);
            if (memcmp(y, expected, (size_t)conv_out_pixels(s) * sizeof *y) != 0) {
                return false;
            }
        }
    }
    return true;
}

bool conv_direct_data_f32_probe(const struct kernels *candidate, double tolerance)
{
    float w[WEIGHTS];
    float dy[OUT];
    float work[PHASES];

    probe_floats(w, WEIGHTS, 10);
    probe_floats(dy, OUT, 11);
    for (int i = 0; i < N_SHAPES; i++) {
        const struct conv_shape *s = &shapes[i];
        float dx[IN] = {1};
        float expected[IN] = {1};
        for (int64_t ic = 0; ic < s->groups * s->ic; ic++) {
            candidate->conv_direct_data_f32(s, w, dy, 0, ic, dx, work);
            conv_direct_data_f32_ref(s, w, dy, 0, ic, expected, work);
        }
        if (!probe_close(dx, expected, s->groups * s->ic * conv_in_pixels(s), tolerance,
                         (double)(s->oc * conv_taps(s)))) {
            return false;
        }
    }
    return true;
}

bool conv_direct_weight_f32_probe(const struct kernels *candidate, double tolerance)
{
    float x[IN];
    float dy[OUT];
    float work[PHASES];

    probe_floats(x, IN, 12);
    probe_floats(dy, OUT, 13);
    for (int i = 0; i < N_SHAPES; i++) {
        const struct conv_shape *s = &shapes[i];
        float dw[WEIGHTS] = {1};
        float expected[WEIGHTS] = {1};
        for (int64_t oc = 0; oc < s->groups * s->oc; oc++) {
            candidate->conv_direct_weight_f32(s, x, dy, 0, oc, dw, work);
            conv_direct_weight_f32_ref(s, x, dy, 0, oc, expected, work);
        }
        if (!probe_close(dw, expected, s->groups * s->oc * s->ic * conv_taps(s), tolerance,
                         (double)conv_out_pixels(s))) {
            return false;
        }
    }
    return true;
}
