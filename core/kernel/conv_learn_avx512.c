/* conv_learn_avx512.c: the convolutions of training with AVX-512. */
#if defined(__x86_64__)

#include "core/kernel/conv_learn_dense_private.h"

const struct learn_loops learn_loops_avx512 = {
    .winograd = winograd,
    .winograd_weight = winograd_weight,
    .dense = dense,
    .dense_data = dense_data,
    .dense_weight = dense_weight,
};

#endif
