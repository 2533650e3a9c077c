/*
 * conv_direct_rows_private.h: the body of one direct convolution, included once for each element type and instruction set.
 *
 * The including file defines IN (element of x), WEIGHT, SUM (of y), ZERO (subtracted from x, an expression) and FN (prefix
 * of the functions).  One output row is gathered tap row by tap row, so it stays in the first-level cache; a tap row of 1,
 * 3, 5 or 7 weights and stride 1 or 2 is one loop that the compiler unrolls over the weights and vectorises over the row.
 */
#define CAT2(a, b) a##b
#define CAT(a, b) CAT2(a, b)

__attribute__((always_inline)) static inline void CAT(FN, _span)(SUM *restrict y, const IN *restrict x,
                                                                 const WEIGHT *restrict w, SUM zero, int64_t count,
                                                                 int64_t taps, int64_t stride)
{
    for (int64_t i = 0; i < count; i++) {
        SUM sum = y[i];
        for (int64_t k = 0; k < taps; k++) {
            sum += (SUM)w[k] * ((SUM)x[i * stride + k] - zero);
        }
        y[i] = sum;
    }
}

static void CAT(FN, _interior)(SUM *y, const IN *x, const WEIGHT *w, SUM zero, int64_t count, int64_t taps,
                               int64_t stride)
{
    if (stride == 1) {
        switch (taps) {
        case 1: CAT(FN, _span)(y, x, w, zero, count, 1, 1); return;
        case 3: CAT(FN, _span)(y, x, w, zero, count, 3, 1); return;
        case 5: CAT(FN, _span)(y, x, w, zero, count, 5, 1); return;
        case 7: CAT(FN, _span)(y, x, w, zero, count, 7, 1); return;
        default: break;
        }
    } else if (stride == 2) {
        switch (taps) {
        case 1: CAT(FN, _span)(y, x, w, zero, count, 1, 2); return;
        case 3: CAT(FN, _span)(y, x, w, zero, count, 3, 2); return;
        case 5: CAT(FN, _span)(y, x, w, zero, count, 5, 2); return;
        case 7: CAT(FN, _span)(y, x, w, zero, count, 7, 2); return;
        default: break;
        }
    }
    CAT(FN, _span)(y, x, w, zero, count, taps, stride);
}

/* One row of taps over one row of x: the columns where every tap lies inside go through the fast loop. */
static void CAT(FN, _row)(const struct conv_shape *s, const IN *x, SUM zero, const WEIGHT *w, SUM *y)
{
    int64_t last = (s->kernel[2] - 1) * s->dilation[2];
    int64_t first = 0;
    int64_t end = 0;
    int64_t unused = 0;

    if (s->dilation[2] == 1 && s->in[2] > last) {
        conv_range(s->in[2], s->stride[2], -s->pad[2], s->out[2], &first, &unused);
        conv_range(s->in[2], s->stride[2], last - s->pad[2], s->out[2], &unused, &end);
        end = end > first ? end : first;
        if (end > first) {
            CAT(FN, _interior)
            (y + first, x + first * s->stride[2] - s->pad[2], w, zero, end - first, s->kernel[2], s->stride[2]);
        }
    }
    for (int64_t k = 0; k < s->kernel[2]; k++) {
        int64_t offset = k * s->dilation[2] - s->pad[2];
        int64_t from = 0;
        int64_t to = 0;
        conv_range(s->in[2], s->stride[2], offset, s->out[2], &from, &to);
        for (int64_t o = from; o < to; o++) {
            if (o == first && end > first) {
                o = end;
                if (o >= to) {
                    break;
                }
            }
            y[o] += (SUM)w[k] * ((SUM)x[o * s->stride[2] + offset] - zero);
        }
    }
}

static void CAT(FN, _plane)(const struct conv_shape *s, const IN *x, SUM zero, const WEIGHT *w, int64_t n, int64_t oc,
                            SUM *y)
{
    const IN *image = x + (n * s->groups + oc / s->oc) * s->ic * conv_in_pixels(s);
    const WEIGHT *weights = w + oc * s->ic * conv_taps(s);

    for (int64_t row = 0; row < s->out[0] * s->out[1]; row++) {
        SUM *out = y + row * s->out[2];
        for (int64_t i = 0; i < s->out[2]; i++) {
            out[i] = 0;
        }
        for (int64_t t = 0; t < s->ic * s->kernel[0] * s->kernel[1]; t++) {
            int64_t c = t / (s->kernel[0] * s->kernel[1]);
            int64_t d = row / s->out[1] * s->stride[0] + t / s->kernel[1] % s->kernel[0] * s->dilation[0] - s->pad[0];
            int64_t h = row % s->out[1] * s->stride[1] + t % s->kernel[1] * s->dilation[1] - s->pad[1];
            if (d >= 0 && d < s->in[0] && h >= 0 && h < s->in[1]) {
                CAT(FN, _row)
                (s, image + c * conv_in_pixels(s) + (d * s->in[1] + h) * s->in[2], zero, weights + t * s->kernel[2],
                 out);
            }
        }
    }
}

#undef CAT
#undef CAT2
