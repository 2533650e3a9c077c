/*
 * build.h: recognisers made from nothing: the networks of arcface_torch as graphs with first weights.
 *
 * Graphs as written: nothing folded, BatchNormalization and PRelu as nodes, input "input" [N, 3, 112, 112] already normalised
 * (the manifest beside the model says how), one output [N, d], not of unit length.  Constants have the names of arcface_torch's
 * state ("layer1.0.conv1.weight", "features.running_var"), nodes and their outputs the names of its modules, so that
 * weights trained there differ by a prefix at most.
 */
#ifndef CORE_TRAIN_BUILD_H
#define CORE_TRAIN_BUILD_H

#include <stdbool.h>

#include "core/graph/graph.h"

enum build_network {
    BUILD_IRESNET18,
    BUILD_IRESNET34,
    BUILD_IRESNET50,
    BUILD_IRESNET100,
    BUILD_MBF,    /* MobileFaceNet of twice the width, 512 numbers: InsightFace's "mbf" */
    BUILD_MBF_Y1, /* MobileFaceNet as published, 128 numbers: InsightFace's "y1" */
    BUILD_SMALL   /* a residual network of a million weights, 128 numbers, quick to train: "small" */
};

#define BUILD_SIDE 112 /* pixels of the input's sides */

/*
 * Where weights come from instead of chance: writes count numbers of the constant of this name to ret.
 * Errors: any; the note names the constant.
 */
struct build_source {
    enum err (*take)(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note);
    void *context;
};

struct build_options {
    uint64_t seed;                     /* decides every bit of the first weights */
    const struct build_source *source; /* NULL: first weights */
    int embedding;                     /* how many numbers the output has; 0: 512, for y1 128 */
};

/* "r18", "r34", "r50", "r100", "mbf", "y1", "small"; false if there is no such network. */
bool build_find(const char *name, enum build_network *ret);
const char *build_name(enum build_network network);

/*
 * Builds a network, sealed.
 *
 * The first weights are arcface_torch's: convolutions N(0, 0.1²) (MobileFaceNet: N(0, 2 / fan out)), slopes 0.25, the product
 * uniform within ± 1/√inputs (MobileFaceNet: N(0, 2 / outputs)), scales 1, biases 0.  Only the running variances do not begin
 * at 1 but at what these weights make of inputs of variance 1: the network can then be run before its first step,
 * where IResNet-100 would overflow.
 *
 * Owns:   *ret belongs to the caller (graph_free).
 * Errors: ERR_MISUSE embedding below 1 or above 4096; ERR_NOMEM, ERR_LIMIT; what the source says.
 */
MUST_CHECK enum err build_network(enum build_network network, const struct build_options *options, struct graph **ret,
                                  struct err_note *note);

/*
 * Builds a network with the weights of a safetensors file, sealed.  Names are those of the constants above, behind a prefix
 * that the file chooses ("model.net." in CVLface's); num_batches_tracked is passed over, slopes may be vectors.
 *
 * Owns:   *ret belongs to the caller (graph_free); bytes may go away.
 * Errors: ERR_FORMAT damaged, a tensor is missing, of another shape, or without a place; ERR_UNSUPPORTED a type that is not
 *         F32, F16 or BF16; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err build_from_safetensors(enum build_network network, const void *bytes, size_t n_bytes,
                                           struct graph **ret, struct err_note *note);

#endif
