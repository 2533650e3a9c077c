/* conv_learn_avx2.c: the convolutions of training with AVX2 and FMA. */
#if defined(__x86_64__)

#include "core/kernel/conv_learn_dense_private.h"

const struct learn_loops learn_loops_avx2 = {
    .winograd = winograd,
    .winograd_weight = winograd_weight,
    .dense = dense,
    .dense_data = dense_data,
    .dense_weight = dense_weight,
};

#endif
