/* op_conv_private.h: what float and integer convolutions share: their attributes and their sizes. */
#ifndef CORE_OP_OP_CONV_PRIVATE_H
#define CORE_OP_OP_CONV_PRIVATE_H

#include "core/kernel/conv.h"
#include "core/op/op_window_private.h"

struct conv_attrs {
    struct window window;
    int64_t group;
};

enum err conv_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                    struct err_note *note);

/* From the inputs 0 (data) and 1 (weights). */
MUST_CHECK enum err conv_measure(const struct op_call *call, struct conv_shape *ret, struct shape *ret_out,
                                 struct err_note *note);

/* The same for a call whose shapes have passed conv_measure before. */
struct conv_shape conv_sizes(const struct op_call *call);

#endif
