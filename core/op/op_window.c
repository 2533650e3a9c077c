/* op_window.c: kernel_shape, strides, pads, dilations, auto_pad, ceil_mode. */
#include "core/op/op_window_private.h"

#include <string.h>

static enum err read_list(const struct attrs *attrs, const char *name, int64_t low, int max, int64_t *ret,
                          int *ret_count, struct err_note *note)
{
    const int64_t *list = NULL;
    size_t count = 0;
    enum err err = attr_ints(attrs, name, &list, &count, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (count > (size_t)max) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s has %zu values; up to three spatial dimensions are supported", name,
                       count);
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i] < low || list[i] > INT32_MAX) {
            return ERR_SAY(note, list[i] < 0 && low == 0 ? ERR_UNSUPPORTED : ERR_FORMAT, "%s holds %lld", name,
                           (long long)list[i]);
        }
        ret[i] = list[i];
    }
    *ret_count = (int)count;
    return ERR_NONE;
}

static enum err read_auto_pad(const struct attrs *attrs, enum window_auto_pad *ret, struct err_note *note)
{
    static const char *const names[] = {[WINDOW_EXPLICIT] = "NOTSET",
                                        [WINDOW_VALID] = "VALID",
                                        [WINDOW_SAME_UPPER] = "SAME_UPPER",
                                        [WINDOW_SAME_LOWER] = "SAME_LOWER"};
    const char *text = NULL;
    enum err err = attr_text(attrs, "auto_pad", "NOTSET", &text, note);

    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum window_auto_pad)i;
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_FORMAT, "auto_pad '%.40s' does not exist", text);
}

enum err window_parse(const struct attrs *attrs, struct window *ret, struct err_note *note)
{
    struct window w = {0};
    int64_t ceil_mode = 0;
    enum err err = read_auto_pad(attrs, &w.auto_pad, note);

    if (err == ERR_NONE) {
        err = attr_int(attrs, "ceil_mode", 0, &ceil_mode, note);
    }
    if (err == ERR_NONE) {
        err = read_list(attrs, "kernel_shape", 1, WINDOW_MAX_RANK, w.kernel, &w.n_kernel, note);
    }
    if (err == ERR_NONE) {
        err = read_list(attrs, "strides", 1, WINDOW_MAX_RANK, w.stride, &w.n_stride, note);
    }
    if (err == ERR_NONE) {
        err = read_list(attrs, "dilations", 1, WINDOW_MAX_RANK, w.dilation, &w.n_dilation, note);
    }
    if (err == ERR_NONE) {
        err = read_list(attrs, "pads", 0, 2 * WINDOW_MAX_RANK, w.pad, &w.n_pad, note);
    }
    if (err == ERR_NONE) {
        w.ceil_mode = ceil_mode != 0;
        *ret = w;
    }
    return err;
}

static enum err check_count(const char *name, int count, int wanted, struct err_note *note)
{
    if (count != 0 && count != wanted) {
        return ERR_SAY(note, ERR_FORMAT, "%s has %d values, the image needs %d", name, count, wanted);
    }
    return ERR_NONE;
}

/* Sizes of dimension d of the three; all of them are below 2^31, so that sums and products fit in 64 bits. */
static enum err measure_one(const struct window *w, struct window_sizes *s, int d, struct err_note *note)
{
    int64_t extent = (s->kernel[d] - 1) * s->dilation[d] + 1;
    int64_t step = s->stride[d];

    if (w->auto_pad == WINDOW_SAME_UPPER || w->auto_pad == WINDOW_SAME_LOWER) {
        int64_t out = (s->in[d] + step - 1) / step;
        int64_t total = (out - 1) * step + extent - s->in[d];
        total = total > 0 && out > 0 ? total : 0;
        s->pad[d] = w->auto_pad == WINDOW_SAME_UPPER ? total / 2 : total - total / 2;
        s->pad_end[d] = total - s->pad[d];
        s->out[d] = out;
        return ERR_NONE;
    }
    int64_t room = s->in[d] + s->pad[d] + s->pad_end[d] - extent;
    if (room < 0) {
        return ERR_SAY(note, ERR_FORMAT, "a kernel of extent %lld is larger than the padded image of %lld",
                       (long long)extent, (long long)(room + extent));
    }
    s->out[d] = room / step + 1;
    /* ceil_mode adds a last window, unless it would begin behind the image and the padding before it. */
    if (w->ceil_mode && room % step != 0 && s->out[d] * step < s->in[d] + s->pad[d]) {
        s->out[d]++;
    }
    return ERR_NONE;
}

enum err window_measure(const struct window *w, const struct shape *data, const int64_t *kernel,
                        struct window_sizes *ret, struct err_note *note)
{
    int rank = data->rank - 2;
    struct window_sizes s;
    enum err err = check_count("kernel_shape", w->n_kernel, rank, note);

    err = err != ERR_NONE ? err : check_count("strides", w->n_stride, rank, note);
    err = err != ERR_NONE ? err : check_count("dilations", w->n_dilation, rank, note);
    err = err != ERR_NONE ? err : check_count("pads", w->n_pad, 2 * rank, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (kernel == NULL && w->n_kernel == 0) {
        return ERR_SAY(note, ERR_FORMAT, "kernel_shape is missing");
    }
    for (int d = 0; d < 3; d++) {
        int i = d - (3 - rank); /* the dimension as written */
        bool there = i >= 0;
        s.in[d] = there ? data->dim[2 + i] : 1;
        s.kernel[d] = !there ? 1 : kernel != NULL ? kernel[i] : w->kernel[i];
        s.stride[d] = there && w->n_stride > 0 ? w->stride[i] : 1;
        s.dilation[d] = there && w->n_dilation > 0 ? w->dilation[i] : 1;
        bool padded = there && w->n_pad > 0 && w->auto_pad == WINDOW_EXPLICIT;
        s.pad[d] = padded ? w->pad[i] : 0;
        s.pad_end[d] = padded ? w->pad[rank + i] : 0;
        if (there && kernel != NULL && w->n_kernel > 0 && kernel[i] != w->kernel[i]) {
            return ERR_SAY(note, ERR_FORMAT, "kernel_shape says %lld where the weights have %lld",
                           (long long)w->kernel[i], (long long)kernel[i]);
        }
        if (s.in[d] > INT32_MAX || s.kernel[d] > INT32_MAX || s.kernel[d] < 1) {
            return ERR_SAY(note, ERR_FORMAT, "an image of %lld with a kernel of %lld", (long long)s.in[d],
                           (long long)s.kernel[d]);
        }
        err = measure_one(w, &s, d, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    *ret = s;
    return ERR_NONE;
}

struct shape window_out_shape(const struct window_sizes *sizes, const struct shape *data, int64_t channels)
{
    struct shape out = {.rank = data->rank, .dim = {data->dim[0], channels}};

    for (int d = 2; d < data->rank; d++) {
        out.dim[d] = sizes->out[d - 2 + (5 - data->rank)];
    }
    return out;
}
