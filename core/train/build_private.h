/*
 * build_private.h: the layers that the networks are made of.
 *
 * Errors stay: after the first one every call does nothing and returns -1, so that a network reads as a list of layers.
 * Every layer follows the mean of the squares of its output over random inputs, for the running variances; it is written to
 * the layer's struct beside the value.
 */
#ifndef CORE_TRAIN_BUILD_PRIVATE_H
#define CORE_TRAIN_BUILD_PRIVATE_H

#include "core/train/build.h"

#define BUILD_NAME_BYTES 96

/* How convolutions and the last product begin. */
enum build_first {
    BUILD_FIRST_IRESNET,
    BUILD_FIRST_MBF
};

struct builder {
    struct graph *graph;
    const struct build_options *options;
    enum build_first first;
    enum err err;
    struct err_note *note;
};

/* What flows between layers. */
struct flow {
    value_id value;
    int channels;
    double square; /* mean of the squares */
};

struct conv_spec {
    int channels; /* of the output */
    int kernel, stride, pad, group;
    double deviation; /* of the first weights; 0: the network's rule */
};

/* What numbers a constant begins with. */
struct build_first_numbers {
    enum first_kind {
        FIRST_ALL,     /* all of them value */
        FIRST_NORMAL,  /* deviation value */
        FIRST_UNIFORM, /* within ± value */
    } kind;
    float value;
};

/* What layers are made of: a constant of floats named path.last, a node with one output named path. */
value_id build_constant(struct builder *builder, const char *path, const char *last, const struct shape *shape,
                        const struct build_first_numbers *first);
value_id build_node(struct builder *builder, const char *op, const char *path, const struct attr *attrs, int n_attrs,
                    const value_id *in, int n_in);

/* Each layer's constants are named path.weight and so on, its node and output path. */
struct flow build_conv(struct builder *builder, const char *path, struct flow x, const struct conv_spec *spec);
struct flow build_batch_norm(struct builder *builder, const char *path, struct flow x);
struct flow build_prelu(struct builder *builder, const char *path, struct flow x);
struct flow build_relu(struct builder *builder, const char *path, struct flow x);
struct flow build_add(struct builder *builder, const char *path, struct flow a, struct flow b);
struct flow build_flatten(struct builder *builder, const char *path, struct flow x, int pixels);
struct flow build_linear(struct builder *builder, const char *path, struct flow x, int outputs, bool bias);

/* Writes "path.name" to ret. */
const char *build_path(char ret[BUILD_NAME_BYTES], const char *path, const char *name);

#endif
