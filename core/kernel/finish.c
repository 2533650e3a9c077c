/* finish.c: bias, residual and activation over a block that is still in the cache. */
#include "core/kernel/finish.h"

#include <stddef.h>

/* The comparisons let NaN through, as the operators that were fused do. */
static void activate(enum finish_act act, float slope, float low, float high, float *y, int64_t n)
{
    switch (act) {
    case FINISH_NONE: break;
    case FINISH_RELU:
        for (int64_t i = 0; i < n; i++) {
            y[i] = y[i] < 0 ? 0 : y[i];
        }
        break;
    case FINISH_PRELU:
    case FINISH_LEAKY:
        for (int64_t i = 0; i < n; i++) {
            y[i] = y[i] < 0 ? y[i] * slope : y[i];
        }
        break;
    case FINISH_CLIP:
        for (int64_t i = 0; i < n; i++) {
            float v = y[i] < low ? low : y[i];
            y[i] = v > high ? high : v;
        }
        break;
    }
}

void finish_rows(const struct finish *finish, const float *y_base, int64_t channel0, int64_t n_rows, int64_t n_cols,
                 float *y, int64_t ld)
{
    const float *residual = finish->residual != NULL ? finish->residual + (y - y_base) : NULL;

    for (int64_t r = 0; r < n_rows; r++) {
        float *row = y + r * ld;
        float bias = finish->bias != NULL ? finish->bias[channel0 + r] : 0;
        float slope = finish->act == FINISH_PRELU ? finish->slope[channel0 + r] : finish->low;
        if (residual != NULL) {
            const float *add = residual + r * ld;
            for (int64_t i = 0; i < n_cols; i++) {
                row[i] = row[i] + bias + add[i];
            }
        } else if (finish->bias != NULL) {
            for (int64_t i = 0; i < n_cols; i++) {
                row[i] += bias;
            }
        }
        activate(finish->act, slope, finish->low, finish->high, row, n_cols);
    }
}

void finish_columns(const struct finish *finish, const float *y_base, int64_t n_rows, int64_t n_cols, float *y,
                    int64_t ld)
{
    const float *residual = finish->residual != NULL ? finish->residual + (y - y_base) : NULL;

    for (int64_t r = 0; r < n_rows; r++) {
        float *row = y + r * ld;
        for (int64_t i = 0; finish->bias != NULL && i < n_cols; i++) {
            row[i] += finish->bias[i];
        }
        for (int64_t i = 0; residual != NULL && i < n_cols; i++) {
            row[i] += residual[r * ld + i];
        }
        if (finish->act == FINISH_PRELU) {
            for (int64_t i = 0; i < n_cols; i++) {
                row[i] = row[i] < 0 ? row[i] * finish->slope[i] : row[i];
            }
        } else {
            activate(finish->act, finish->low, finish->low, finish->high, row, n_cols);
        }
    }
}
