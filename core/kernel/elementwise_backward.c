/* elementwise_backward.c: gradients number by number, and the sums where an input was stretched. */
#include "core/kernel/elementwise_backward.h"

#include <stddef.h>

#include "core/kernel/lanes_private.h"

#define EACH(expression)                  \
    for (int64_t i = 0; i < count; i++) { \
        float v = at[i];                  \
        float g = dy[i];                  \
        dx[i] += (expression);            \
    }                                     \
    break

void unary_backward_f32(enum unary what, float alpha, float beta, const float *at, const float *dy, float *dx,
                        int64_t count)
{
    /* NOLINTNEXTLINE(clang-diagnostic-switch-enum) the contract lists which have a gradient */
    switch ((int)what) {
    case UNARY_RELU: EACH(v > 0 ? g : 0);
    case UNARY_LEAKY_RELU: EACH(v > 0 ? g : alpha * g);
    case UNARY_CLIP: EACH(v > alpha && v < beta ? g : 0);
    case UNARY_SIGMOID: EACH(g * v * (1 - v));
    case UNARY_TANH: EACH(g * (1 - v * v));
    default: break;
    }
}

void stretched_backward_f32(const struct strided *s, float factor, const float *dy, const float *other, float *grad)
{
    int64_t row = strided_row(s);
    int64_t rows = row > 0 ? strided_rows(s) : 0;
    int64_t step = s->step[0][s->rank - 1];
    int64_t other_step = s->step[1][s->rank - 1];

    for (int64_t r = 0; r < rows; r++) {
        const float *g = dy + r * row;
        float *to = grad + strided_start(s, 0, r);
        const float *with = other == NULL ? NULL : other + strided_start(s, 1, r);
        if (with == NULL && step == 0) {
            *to += factor * lanes_sum(g, row);
        } else if (step == 0 && other_step == 1) {
            *to += factor * lanes_dot(g, with, row);
        } else if (step == 0 && other_step == 0) {
            *to += factor * *with * lanes_sum(g, row);
        } else if (with == NULL && step == 1) {
            for (int64_t i = 0; i < row; i++) {
                to[i] += factor * g[i];
            }
        } else {
            for (int64_t i = 0; i < row; i++) {
                to[i * step] += factor * g[i] * (with == NULL ? 1 : with[i * other_step]);
            }
        }
    }
}

/* Σ dy · min(x, 0) */
static float below_zero(const float *x, const float *dy, int64_t count)
{
    lanes sums = {0};
    float rest = 0;
    int64_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        const lanes zero = {0};
        lanes v;
        lanes g;
        lanes_load(&v, x + i);
        lanes_load(&g, dy + i);
        v = (lanes)(~(v > zero) & (__typeof__(v > zero))v); /* all bits of a lane, or none */
        sums += g * v;
    }
    for (; i < count; i++) {
        rest += x[i] > 0 ? 0 : dy[i] * x[i];
    }
    return lanes_total(&sums) + rest;
}

void prelu_backward_f32(const struct strided *s, const float *x, const float *slope, const float *dy, float *dx,
                        float *dslope)
{
    int64_t row = strided_row(s);
    int64_t rows = row > 0 ? strided_rows(s) : 0;
    int64_t step = s->step[0][s->rank - 1];

    for (int64_t r = 0; r < rows; r++) {
        int64_t start = strided_start(s, 0, r);
        const float *in = x + r * row;
        const float *g = dy + r * row;
        if (dx != NULL) {
            float *d = dx + r * row;
            float constant = slope[start];
            for (int64_t i = 0; step == 0 && i < row; i++) {
                d[i] += in[i] > 0 ? g[i] : constant * g[i];
            }
            for (int64_t i = 0; step != 0 && i < row; i++) {
                d[i] += in[i] > 0 ? g[i] : slope[start + i * step] * g[i];
            }
        }
        if (dslope != NULL && step == 0) {
            dslope[start] += below_zero(in, g, row);
        }
        for (int64_t i = 0; dslope != NULL && step != 0 && i < row; i++) {
            dslope[start + i * step] += in[i] > 0 ? 0 : g[i] * in[i];
        }
    }
}
