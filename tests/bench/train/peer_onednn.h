/*
 * peer_onednn.h: the same convolution, forward and back, by oneDNN in the layouts that it likes best.
 */
#ifndef TESTS_BENCH_TRAIN_PEER_ONEDNN_H
#define TESTS_BENCH_TRAIN_PEER_ONEDNN_H

#include <stdbool.h>

#include "core/kernel/conv.h"

struct peer;

/* s: its n does not count.  first: without the gradient of the data.  NULL: oneDNN is not installed, or cannot. */
struct peer *peer_new(const struct conv_shape *s, int batch, bool first);

/* Forward (direct or Winograd, whichever was faster when it was made), gradient of the data, of the weights. */
void peer_run(struct peer *peer);
void peer_free(struct peer *peer);

#endif
