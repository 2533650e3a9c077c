/*
 * packing.h: how much memory the weights of networks take at rest, against their speed.  Chosen once for the process, before
 * its first network is loaded, as the kernels are (core/kernel/kernels.h).
 */
#ifndef CORE_GRAPH_PACKING_H
#define CORE_GRAPH_PACKING_H

#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/err.h"

struct packing {
    bool fast; /* a recogniser keeps what single images and what batches want; else one form serves both */
    bool half; /* packed weights are stored in half precision */
};

/*
 * memory: "small" or "fast"; weights: "fp32" or "fp16".
 * Errors: ERR_MISUSE another word.
 */
MUST_CHECK enum err packing_choose(const char *memory, const char *weights, struct err_note *note);

/* What is chosen: small and fp32 until then. */
struct packing packing_chosen(void);

#endif
