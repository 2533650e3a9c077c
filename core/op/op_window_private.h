/*
 * op_window_private.h: the attributes that convolutions and pools share, and the sizes that follow from them.
 */
#ifndef CORE_OP_OP_WINDOW_PRIVATE_H
#define CORE_OP_OP_WINDOW_PRIVATE_H

#include "core/op/op_private.h"

#define WINDOW_MAX_RANK 3

/* As written; a count of 0 means absent. */
struct window {
    enum window_auto_pad {
        WINDOW_EXPLICIT,
        WINDOW_VALID,
        WINDOW_SAME_UPPER,
        WINDOW_SAME_LOWER
    } auto_pad;
    bool ceil_mode;
    int n_kernel, n_stride, n_dilation, n_pad;
    int64_t kernel[WINDOW_MAX_RANK], stride[WINDOW_MAX_RANK], dilation[WINDOW_MAX_RANK];
    int64_t pad[2 * WINDOW_MAX_RANK];
};

/* Always three dimensions; missing ones come first, with 1 everywhere and no padding. */
struct window_sizes {
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], out[3];
};

MUST_CHECK enum err window_parse(const struct attrs *attrs, struct window *ret, struct err_note *note);

/*
 * data is [n, c, spatial...]; kernel (of the weights) may be NULL: then the attribute must be there.
 * Errors: ERR_FORMAT counts do not fit the rank, or the kernel is larger than the padded image.
 */
MUST_CHECK enum err window_measure(const struct window *window, const struct shape *data, const int64_t *kernel,
                                   struct window_sizes *ret, struct err_note *note);

/* [n, channels, out...] with the rank of data. */
struct shape window_out_shape(const struct window_sizes *sizes, const struct shape *data, int64_t channels);

#endif
