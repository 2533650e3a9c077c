/* elementwise.c: unary and binary loops. */
#include "core/kernel/elementwise.h"

#include <math.h>

#define EACH(expression)                  \
    for (int64_t i = 0; i < count; i++) { \
        float v = x[i];                   \
        y[i] = (expression);              \
    }                                     \
    break

static float between(float v, float low, float high)
{
    v = v < low ? low : v;
    return v > high ? high : v;
}

/* NOLINTNEXTLINE(readability-function-size) one loop a case; splitting it would hide the list */
void unary_f32(enum unary what, float alpha, float beta, const float *x, float *y, int64_t count)
{
    switch (what) {
    case UNARY_RELU: EACH(v < 0 ? 0 : v);
    case UNARY_LEAKY_RELU: EACH(v < 0 ? alpha * v : v);
    case UNARY_CLIP: EACH(between(v, alpha, beta));
    case UNARY_SIGMOID: EACH(1.0F / (1.0F + expf(-v)));
    case UNARY_TANH: EACH(tanhf(v));
    case UNARY_FLOOR: EACH(floorf(v));
    case UNARY_CEIL: EACH(ceilf(v));
    case UNARY_EXP: EACH(expf(v));
    case UNARY_LOG: EACH(logf(v));
    case UNARY_SQRT: EACH(sqrtf(v));
    case UNARY_ABS: EACH(fabsf(v));
    case UNARY_NEG: EACH(-v);
    case UNARY_RECIPROCAL: EACH(1.0F / v);
    case UNARY_ELU: EACH(v < 0 ? alpha * expm1f(v) : v);
    case UNARY_HARD_SIGMOID: EACH(between(alpha * v + beta, 0, 1));
    case UNARY_HARD_SWISH: EACH(v * between(v / 6.0F + 0.5F, 0, 1));
    case UNARY_SOFTPLUS: EACH(v > 20 ? v : log1pf(expf(v)));
    case UNARY_ERF: EACH(erff(v));
    }
}

/* NOLINTBEGIN(bugprone-macro-parentheses) a type cannot stand in parentheses */
/* The common distances of a row get loops of their own, which the compiler can vectorise. */
#define ROWS(T, OUT, expression)                  \
    for (int64_t r = 0; r < rows; r++) {          \
        const T *pa = a + strided_start(s, 0, r); \
        const T *pb = b + strided_start(s, 1, r); \
        OUT *out = (OUT *)y + r * row;            \
        if (step_a == 1 && step_b == 1) {         \
            for (int64_t i = 0; i < row; i++) {   \
                T p = pa[i];                      \
                T q = pb[i];                      \
                out[i] = (OUT)(expression);       \
            }                                     \
        } else if (step_a == 1 && step_b == 0) {  \
            T q = pb[0];                          \
            for (int64_t i = 0; i < row; i++) {   \
                T p = pa[i];                      \
                out[i] = (OUT)(expression);       \
            }                                     \
        } else {                                  \
            for (int64_t i = 0; i < row; i++) {   \
                T p = pa[i * step_a];             \
                T q = pb[i * step_b];             \
                out[i] = (OUT)(expression);       \
            }                                     \
        }                                         \
    }                                             \
    break

/* NOLINTEND(bugprone-macro-parentheses) */

#define WALK                                      \
    int64_t row = strided_row(s);                 \
    int64_t rows = row > 0 ? strided_rows(s) : 0; \
    int64_t step_a = s->step[0][s->rank - 1];     \
    int64_t step_b = s->step[1][s->rank - 1]

/* NOLINTNEXTLINE(readability-function-size) one loop a case; splitting it would hide the list */
void binary_f32(enum binary what, const struct strided *s, const float *a, const float *b, void *y)
{
    WALK;
    switch (what) {
    case BINARY_ADD: ROWS(float, float, p + q);
    case BINARY_SUB: ROWS(float, float, p - q);
    case BINARY_MUL: ROWS(float, float, p *q);
    case BINARY_DIV: ROWS(float, float, p / q);
    case BINARY_MIN: ROWS(float, float, p < q || isnan(p) ? p : q);
    case BINARY_MAX: ROWS(float, float, p > q || isnan(p) ? p : q);
    case BINARY_POW: ROWS(float, float, powf(p, q));
    case BINARY_PRELU: ROWS(float, float, p < 0 ? p * q : p);
    case BINARY_EQUAL: ROWS(float, uint8_t, p == q);
    case BINARY_LESS: ROWS(float, uint8_t, p < q);
    case BINARY_GREATER: ROWS(float, uint8_t, p > q);
    }
}

#define INTEGERS(name, T, U)                                                              \
    void name(enum binary what, const struct strided *s, const T *a, const T *b, void *y) \
    {                                                                                     \
        WALK;                                                                             \
        switch (what) {                                                                   \
        case BINARY_ADD: ROWS(T, T, (U)p + (U)q);                                         \
        case BINARY_SUB: ROWS(T, T, (U)p - (U)q);                                         \
        case BINARY_MUL: ROWS(T, T, (U)p *(U)q);                                          \
        case BINARY_DIV: ROWS(T, T, q == 0 ? 0 : q == -1 ? (T)(0 - (U)p) : p / q);        \
        case BINARY_MIN: ROWS(T, T, p < q ? p : q);                                       \
        case BINARY_MAX: ROWS(T, T, p > q ? p : q);                                       \
        case BINARY_POW:                                                                  \
        case BINARY_PRELU: break;                                                         \
        case BINARY_EQUAL: ROWS(T, uint8_t, p == q);                                      \
        case BINARY_LESS: ROWS(T, uint8_t, p < q);                                        \
        case BINARY_GREATER: ROWS(T, uint8_t, p > q);                                     \
        }                                                                                 \
    }

/* NOLINTBEGIN(readability-function-size) as above */
INTEGERS(binary_i64, int64_t, uint64_t)
INTEGERS(binary_i32, int32_t, uint32_t)
/* NOLINTEND(readability-function-size) */
