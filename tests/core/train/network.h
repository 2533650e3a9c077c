/*
 * network.h: building small networks in a few lines, and computing them in double precision for truth.
 *
 * The double version knows the operators that these networks use and nothing else; convolutions and pools are the reference
 * kernels compiled a second time.
 */
#ifndef TESTS_CORE_TRAIN_NETWORK_H
#define TESTS_CORE_TRAIN_NETWORK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/graph/session.h"
#include "core/kernel/conv.h"
#include "core/kernel/pooling.h"
#include "core/kernel/pooling_window_private.h"
#include "core/op/op_list.h"
#include "core/train/parameters.h"

#define float double
#define conv_f32_ref conv_f64_ref
#define finish_rows no_finish
#define pooling_max_ref pooling_max_f64
#define pooling_mean_ref pooling_mean_f64
static void no_finish(const struct finish *finish, const double *base, int64_t channel0, int64_t n_rows, int64_t n_cols,
                      double *y, int64_t ld)
{
}
void conv_f64_ref(const struct conv_shape *s, const double *x, const double *w, const struct finish *finish, double *y);
void pooling_max_f64(const struct pooling_shape *s, const double *x, double *y);
void pooling_mean_f64(const struct pooling_shape *s, bool count_padding, const double *x, double *y);
#include "core/kernel/conv_ref.c"
#include "core/kernel/pooling_ref.c"
#undef float
#undef conv_f32_ref
#undef finish_rows
#undef pooling_max_ref
#undef pooling_mean_ref

#define NET_CAP ((size_t)64 << 20)

/* ---- Building ------------------------------------------------------------------------------------------------------ */

struct net {
    struct graph *graph;
    struct random random;
    int n_names;
    value_id last; /* what the next layer reads */
};

#define NET_SHAPE(...) \
    ((struct shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}})
#define NET_INT(n, v) ((struct attr){.name = (n), .kind = ATTR_INT, .i = (v)})
#define NET_FLOAT(n, v) ((struct attr){.name = (n), .kind = ATTR_FLOAT, .f = (v)})
#define NET_INTS(n, c, ...) \
    ((struct attr){.name = (n), .kind = ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__}, .count = (c)})

static inline struct net net_start(uint64_t seed, struct shape input)
{
    struct net net = {.random = random_seeded(seed, 1)};

    assert_int_equal(graph_new(op_list(), NET_CAP, &net.graph), ERR_NONE);
    assert_int_equal(graph_set_opset(net.graph, "", 13, NULL), ERR_NONE);
    input.dim[0] = -1;
    assert_int_equal(graph_add_input(net.graph, "data", DTYPE_F32, &input, &net.last, NULL), ERR_NONE);
    return net;
}

/* A constant of random numbers: middle ± spread. */
static inline value_id net_constant(struct net *net, const char *name, struct shape shape, double middle, double spread)
{
    struct tensor tensor = {.type = DTYPE_F32, .shape = shape};
    char text[64];
    value_id id = -1;

    tensor.data = arena_alloc(graph_arena(net->graph), tensor_bytes(&tensor), 1);
    assert_non_null(tensor.data);
    for (int64_t i = 0; i < shape_elements(&shape); i++) {
        ((float *)tensor.data)[i] = (float)(middle + spread * (2 * random_uniform(&net->random) - 1));
    }
    snprintf(text, sizeof text, "%s_%d", name, net->n_names++);
    assert_int_equal(graph_add_constant(net->graph, text, &tensor, &id, NULL), ERR_NONE);
    return id;
}

/* Any node of one output that reads net->last first and then up to four constants. */
static inline value_id net_node(struct net *net, const char *op, struct attrs attrs, const value_id *more, int n_more)
{
    value_id in[8] = {net->last};
    value_id out = -1;
    char text[64];
    struct err_note note = {0};

    for (int i = 0; i < n_more; i++) {
        in[i + 1] = more[i];
    }
    snprintf(text, sizeof text, "%s_%d", op, net->n_names++);
    assert_int_equal(graph_value(net->graph, text, &out, &note), ERR_NONE);
    if (graph_add_node(net->graph, "", op, text, &attrs, in, 1 + n_more, &out, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    net->last = out;
    return out;
}

#define NET_ATTRS(...)                                    \
    ((struct attrs){.list = (struct attr[]){__VA_ARGS__}, \
                    .count = (int)(sizeof((struct attr[]){__VA_ARGS__}) / sizeof(struct attr))})
#define NET_NO_ATTRS ((struct attrs){0})

static inline void net_conv(struct net *net, int64_t in, int64_t out, int64_t side, int64_t stride, int64_t groups,
                            bool bias)
{
    double spread = 1.5 / sqrt((double)(in / groups * side * side));
    value_id more[2] = {net_constant(net, "w", NET_SHAPE(out, in / groups, side, side), 0, spread), -1};
    int64_t pad = side == 3 ? 1 : 0;

    if (bias) {
        more[1] = net_constant(net, "b", NET_SHAPE(out), 0, 0.3);
    }
    (void)net_node(net, "Conv",
                   NET_ATTRS(NET_INTS("strides", 2, stride, stride), NET_INTS("pads", 4, pad, pad, pad, pad),
                             NET_INT("group", groups)),
                   more, bias ? 2 : 1);
}

static inline void net_norm(struct net *net, int64_t channels)
{
    const value_id more[4] = {net_constant(net, "scale", NET_SHAPE(channels), 1, 0.3),
                              net_constant(net, "shift", NET_SHAPE(channels), 0, 0.3),
                              net_constant(net, "mean", NET_SHAPE(channels), 0, 0.2),
                              net_constant(net, "variance", NET_SHAPE(channels), 1, 0.5)};

    (void)net_node(net, "BatchNormalization", NET_ATTRS(NET_FLOAT("epsilon", 1e-3F)), more, 4);
}

static inline void net_prelu(struct net *net, int64_t channels)
{
    value_id slope = net_constant(net, "slope", NET_SHAPE(channels, 1, 1), 0.25, 0.1);

    (void)net_node(net, "PRelu", NET_NO_ATTRS, &slope, 1);
}

static inline void net_add(struct net *net, value_id other)
{
    (void)net_node(net, "Add", NET_NO_ATTRS, &other, 1);
}

static inline void net_gemm(struct net *net, int64_t in, int64_t out)
{
    const value_id more[2] = {net_constant(net, "fc", NET_SHAPE(out, in), 0, 1.5 / sqrt((double)in)),
                              net_constant(net, "fcb", NET_SHAPE(out), 0, 0.3)};

    (void)net_node(net, "Gemm", NET_ATTRS(NET_INT("transB", 1)), more, 2);
}

/* The output, checked and ordered; not sealed. */
static inline struct graph *net_finish(struct net *net)
{
    struct err_note note = {0};

    assert_int_equal(graph_add_output(net->graph, net->last, DTYPE_F32, &(struct shape){.rank = -1}, NULL), ERR_NONE);
    if (graph_finish(net->graph, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    return net->graph;
}

/* A normalisation in front, depthwise and pointwise layers with a residual, a global depthwise one: MobileFaceNet, small. */
static inline struct graph *net_mobile(uint64_t seed)
{
    struct net net = net_start(seed, NET_SHAPE(1, 3, 16, 16));
    value_id mean = net_constant(&net, "imagemean", NET_SHAPE(1), 0.1, 0);
    value_id scale = net_constant(&net, "imagescale", NET_SHAPE(1), 1.5, 0);

    (void)net_node(&net, "Sub", NET_NO_ATTRS, &mean, 1);
    (void)net_node(&net, "Mul", NET_NO_ATTRS, &scale, 1);
    net_conv(&net, 3, 8, 3, 2, 1, false);
    net_norm(&net, 8);
    net_prelu(&net, 8);
    net_conv(&net, 8, 8, 3, 1, 8, false);
    net_norm(&net, 8);
    net_prelu(&net, 8);
    value_id shortcut = net.last;
    net_conv(&net, 8, 16, 1, 1, 1, false);
    net_norm(&net, 16);
    net_prelu(&net, 16);
    net_conv(&net, 16, 16, 3, 1, 8, false); /* two channels in a group */
    net_norm(&net, 16);
    net_prelu(&net, 16);
    net_conv(&net, 16, 8, 1, 1, 1, false);
    net_norm(&net, 8);
    net_add(&net, shortcut);
    net_conv(&net, 8, 8, 3, 2, 8, true);
    net_norm(&net, 8);
    net_conv(&net, 8, 8, 4, 1, 8, false);
    net_norm(&net, 8);
    (void)net_node(&net, "Flatten", NET_NO_ATTRS, NULL, 0);
    net_gemm(&net, 8, 6);
    net_norm(&net, 6);
    return net_finish(&net);
}

/* Pre-activated blocks, one with a projection in the shortcut: IResNet, small. */
static inline struct graph *net_residual(uint64_t seed)
{
    struct net net = net_start(seed, NET_SHAPE(1, 3, 12, 12));

    net_conv(&net, 3, 6, 3, 1, 1, false);
    net_norm(&net, 6);
    net_prelu(&net, 6);
    for (int block = 0; block < 2; block++) {
        value_id in = net.last;
        int64_t from = block == 0 ? 6 : 8;
        int64_t stride = block == 0 ? 2 : 1;
        net_norm(&net, from);
        net_conv(&net, from, 8, 3, 1, 1, false);
        net_norm(&net, 8);
        net_prelu(&net, 8);
        net_conv(&net, 8, 8, 3, stride, 1, false);
        net_norm(&net, 8);
        value_id body = net.last;
        net.last = in;
        if (block == 0) {
            net_conv(&net, 6, 8, 1, 2, 1, false);
            net_norm(&net, 8);
        }
        net_add(&net, body);
    }
    net_norm(&net, 8);
    (void)net_node(&net, "Dropout", NET_NO_ATTRS, NULL, 0);
    (void)net_node(&net, "Flatten", NET_NO_ATTRS, NULL, 0);
    net_gemm(&net, 8 * 36, 5);
    net_norm(&net, 5);
    return net_finish(&net);
}

/* The operators that the two do not have. */
static inline struct graph *net_mixed(uint64_t seed)
{
    struct net net = net_start(seed, NET_SHAPE(1, 2, 8, 8));
    value_id low = net_constant(&net, "low", (struct shape){0}, -0.6, 0);
    value_id high = net_constant(&net, "high", (struct shape){0}, 0.7, 0);

    net_conv(&net, 2, 4, 3, 1, 1, true);
    (void)net_node(&net, "Clip", NET_NO_ATTRS, (value_id[]){low, high}, 2);
    value_id clipped = net.last;
    (void)net_node(&net, "MaxPool", NET_ATTRS(NET_INTS("kernel_shape", 2, 2, 2), NET_INTS("strides", 2, 2, 2)), NULL,
                   0);
    value_id largest = net.last;
    net.last = clipped;
    (void)net_node(&net, "AveragePool", NET_ATTRS(NET_INTS("kernel_shape", 2, 2, 2), NET_INTS("strides", 2, 2, 2)),
                   NULL, 0);
    (void)net_node(&net, "LeakyRelu", NET_ATTRS(NET_FLOAT("alpha", 0.2F)), NULL, 0);
    (void)net_node(&net, "Concat", NET_ATTRS(NET_INT("axis", 1)), &largest, 1);
    value_id both = net.last;
    net_conv(&net, 8, 8, 1, 1, 1, true);
    (void)net_node(&net, "Sigmoid", NET_NO_ATTRS, NULL, 0);
    (void)net_node(&net, "Mul", NET_NO_ATTRS, &both, 1);
    (void)net_node(&net, "Relu", NET_NO_ATTRS, NULL, 0);
    (void)net_node(&net, "Transpose", NET_ATTRS(NET_INTS("perm", 4, 0, 2, 3, 1)), NULL, 0);
    (void)net_node(&net, "Transpose", NET_ATTRS(NET_INTS("perm", 4, 0, 3, 1, 2)), NULL, 0);
    net_add(&net, net.last); /* a value with itself */
    (void)net_node(&net, "GlobalAveragePool", NET_NO_ATTRS, NULL, 0);
    (void)net_node(&net, "Identity", NET_NO_ATTRS, NULL, 0);
    (void)net_node(&net, "Flatten", NET_NO_ATTRS, NULL, 0);
    value_id matrix = net_constant(&net, "matrix", NET_SHAPE(8, 5), 0, 0.8);
    (void)net_node(&net, "MatMul", NET_NO_ATTRS, &matrix, 1);
    return net_finish(&net);
}

/* ---- The truth in double ------------------------------------------------------------------------------------------- */

struct truth {
    const struct graph *graph;
    const struct parameters *parameters;
    bool batch_statistics;
    struct tensor *shapes; /* per value, as a session has seen them */
    double **values;       /* per value; inputs of nodes that are parameters live in block */
    double *block;         /* the parameters */
    double nearest_kink;   /* the smallest distance of any number to a kink, of the last run */
    double *seen;          /* a block of what BatchNormalization has seen; sums */
};

/* inputs of this shape; the graph is sealed. */
static inline void truth_init(struct truth *truth, const struct graph *graph, const struct parameters *parameters,
                              const struct tensor *input)
{
    const struct session_options options = {.keep_all = true};
    struct session *session;
    struct tensor output;
    struct err_note note = {0};

    *truth = (struct truth){.graph = graph, .parameters = parameters};
    truth->shapes = MEM_ARRAY(struct tensor, (size_t)graph_value_count(graph));
    truth->values = MEM_ARRAY(double *, (size_t)graph_value_count(graph));
    truth->block = MEM_ARRAY(double, parameters->n_floats);
    truth->seen = MEM_ARRAY(double, parameters->n_floats);
    assert_true(truth->shapes != NULL && truth->values != NULL && truth->block != NULL && truth->seen != NULL);
    assert_int_equal(session_new(graph, &options, &session), ERR_NONE);
    if (session_run(session, input, 1, &output, 1, &note) != ERR_NONE) {
        fail_msg("%s", note.text);
    }
    for (value_id id = 0; id < graph_value_count(graph); id++) {
        const struct tensor *constant = graph_constant(graph, id);
        const struct tensor *value = constant != NULL ? constant : session_value(session, id);
        if (value == NULL) {
            continue;
        }
        int64_t count = shape_elements(&value->shape);
        truth->shapes[id] = *value;
        truth->values[id] = MEM_ARRAY(double, (size_t)count);
        assert_non_null(truth->values[id]);
        for (int64_t i = 0; constant != NULL && value->type == DTYPE_F32 && i < count; i++) {
            truth->values[id][i] = (double)((const float *)value->data)[i];
        }
    }
    for (size_t i = 0; i < parameters->n_floats; i++) {
        truth->block[i] = (double)parameters->values[i];
    }
    value_id id = graph_input(graph, 0)->value;
    for (int64_t i = 0; i < shape_elements(&input->shape); i++) {
        truth->values[id][i] = (double)((const float *)input->data)[i];
    }
    session_free(session);
}

static inline void truth_release(struct truth *truth)
{
    for (value_id id = 0; id < graph_value_count(truth->graph); id++) {
        mem_free(truth->values[id]);
    }
    mem_free(truth->values);
    mem_free(truth->shapes);
    mem_free(truth->block);
    mem_free(truth->seen);
}

static inline void truth_windows(const struct graph_node *node, const struct shape *x, const struct shape *y,
                                 int64_t kernel[3], int64_t stride[3], int64_t pad[3], int64_t in[3], int64_t out[3])
{
    const struct attr *strides = attr_find(&node->attrs, "strides");
    const struct attr *pads = attr_find(&node->attrs, "pads");
    const struct attr *kernels = attr_find(&node->attrs, "kernel_shape");

    kernel[0] = stride[0] = in[0] = out[0] = 1;
    pad[0] = 0;
    for (int d = 1; d < 3; d++) {
        in[d] = x->dim[d + 1];
        out[d] = y->dim[d + 1];
        stride[d] = strides != NULL ? strides->ints[d - 1] : 1;
        pad[d] = pads != NULL ? pads->ints[d - 1] : 0;
        if (kernels != NULL) {
            kernel[d] = kernels->ints[d - 1];
        }
    }
}

static inline void truth_kink(struct truth *truth, double distance)
{
    truth->nearest_kink = fmin(truth->nearest_kink, fabs(distance));
}

static inline void truth_conv(const struct graph_node *node, const struct shape *x_shape, const struct shape *w_shape,
                              const struct shape *y_shape, const double *x, const double *w, const double *b, double *y)
{
    const struct attr *group = attr_find(&node->attrs, "group");
    const struct finish none = {0};
    struct conv_shape s = {.n = x_shape->dim[0], .groups = group != NULL ? group->i : 1, .ic = w_shape->dim[1]};

    s.oc = w_shape->dim[0] / s.groups;
    truth_windows(node, x_shape, y_shape, s.kernel, s.stride, s.pad, s.in, s.out);
    for (int d = 0; d < 3; d++) {
        s.dilation[d] = 1;
        s.kernel[d] = d == 0 ? 1 : w_shape->dim[d + 1];
    }
    conv_f64_ref(&s, x, w, &none, y);
    for (int64_t i = 0; b != NULL && i < shape_elements(y_shape); i++) {
        y[i] += b[i / conv_out_pixels(&s) % w_shape->dim[0]];
    }
}

static inline void truth_norm(struct truth *truth, const struct graph_node *node, const struct shape *shape,
                              const double *x, double *y)
{
    int64_t channels = shape->dim[1];
    int64_t pixels = shape_elements(shape) / shape->dim[0] / channels;
    double count = (double)(shape->dim[0] * pixels);
    double epsilon = (double)attr_find(&node->attrs, "epsilon")->f;
    const struct parameter *p[4];

    for (int k = 0; k < 4; k++) {
        p[k] = parameters_find(truth->parameters, node->in[k + 1]);
    }
    for (int64_t c = 0; c < channels; c++) {
        double mean = truth->block[p[2]->offset + (size_t)c];
        double variance = truth->block[p[3]->offset + (size_t)c];
        if (truth->batch_statistics) {
            mean = 0;
            variance = 0;
            for (int64_t i = 0; i < shape_elements(shape); i++) {
                mean += i / pixels % channels == c ? x[i] / count : 0;
            }
            for (int64_t i = 0; i < shape_elements(shape); i++) {
                variance += i / pixels % channels == c ? (x[i] - mean) * (x[i] - mean) / count : 0;
            }
            truth->seen[p[2]->offset + (size_t)c] = mean;
            truth->seen[p[3]->offset + (size_t)c] = variance * count / (count - 1);
        }
        for (int64_t i = 0; i < shape_elements(shape); i++) {
            if (i / pixels % channels == c) {
                y[i] = (x[i] - mean) / sqrt(variance + epsilon) * truth->block[p[0]->offset + (size_t)c] +
                       truth->block[p[1]->offset + (size_t)c];
            }
        }
    }
}

static inline void truth_pool(struct truth *truth, const struct graph_node *node, const struct shape *x_shape,
                              const struct shape *y_shape, const double *x, double *y, bool max)
{
    struct pooling_shape s = {.planes = x_shape->dim[0] * x_shape->dim[1], .dilation = {1, 1, 1}};

    truth_windows(node, x_shape, y_shape, s.kernel, s.stride, s.pad, s.in, s.out);
    if (!max) {
        pooling_mean_f64(&s, false, x, y);
        return;
    }
    pooling_max_f64(&s, x, y);
    /* A second pixel as large as the first, but for those that are clipped, is a kink. */
    for (int64_t i = 0; i < shape_elements(y_shape); i++) {
        struct pooling_window w;
        double second = -INFINITY;
        int n_first = 0;
        window_at(&s, i % (s.out[1] * s.out[2]), &w);
        for (int64_t b = w.first[1]; b < w.end[1]; b++) {
            for (int64_t c = w.first[2]; c < w.end[2]; c++) {
                double v = x[i / (s.out[1] * s.out[2]) * s.in[1] * s.in[2] + place(&s, &w, 0, b, c)];
                n_first += v == y[i];
                second = v < y[i] ? fmax(second, v) : second;
            }
        }
        truth_kink(truth, n_first > 1 ? 1 : y[i] - second);
    }
}

/* Numbers at one place of two inputs, the second of which may be a number or stretch along pixels. */
static inline double truth_second(const struct shape *shape, const struct shape *second, const double *b, int64_t i)
{
    int64_t count = shape_elements(second);

    if (count == 1) {
        return b[0];
    }
    if (count == shape_elements(shape)) {
        return b[i];
    }
    return b[i / (shape->dim[2] * shape->dim[3]) % shape->dim[1]]; /* [C, 1, 1] */
}

static inline void truth_matrix(const struct shape *a, const struct shape *y_shape, bool transposed, const double *x,
                                const double *w, const double *b, double *y)
{
    int64_t n = y_shape->dim[1];
    int64_t depth = a->dim[1];

    for (int64_t i = 0; i < shape_elements(y_shape); i++) {
        y[i] = b != NULL ? b[i % n] : 0;
        for (int64_t k = 0; k < depth; k++) {
            y[i] += x[i / n * depth + k] * (transposed ? w[i % n * depth + k] : w[k * n + i % n]);
        }
    }
}

static inline void truth_transpose(const struct graph_node *node, const struct shape *x_shape,
                                   const struct shape *y_shape, const double *x, double *y)
{
    const int64_t *perm = attr_find(&node->attrs, "perm")->ints;

    for (int64_t i = 0; i < shape_elements(y_shape); i++) {
        int64_t rest = i;
        int64_t at[4];
        for (int d = 3; d >= 0; d--) {
            at[perm[d]] = rest % y_shape->dim[d];
            rest /= y_shape->dim[d];
        }
        y[i] = x[((at[0] * x_shape->dim[1] + at[1]) * x_shape->dim[2] + at[2]) * x_shape->dim[3] + at[3]];
    }
}

static inline void truth_concat(const struct shape *a, const struct shape *b, const double *x, const double *z,
                                double *y)
{
    int64_t rows[2] = {shape_elements(a) / a->dim[0], shape_elements(b) / b->dim[0]};

    for (int64_t i = 0; i < shape_elements(a) + shape_elements(b); i++) {
        int64_t n = i / (rows[0] + rows[1]);
        int64_t k = i % (rows[0] + rows[1]);
        y[i] = k < rows[0] ? x[n * rows[0] + k] : z[n * rows[1] + k - rows[0]];
    }
}

/* Operators that compute one number from one number, or two. */
static inline bool truth_number(struct truth *truth, const struct graph_node *node, const double *x, const double *b,
                                double *y)
{
    const char *op = node->op->name;
    const struct shape *shape = &truth->shapes[node->out[0]].shape;
    const struct shape *second = node->n_in > 1 ? &truth->shapes[node->in[1]].shape : NULL;

    for (int64_t i = 0; i < shape_elements(shape); i++) {
        double v = x[i];
        if (strcmp(op, "Add") == 0) {
            y[i] = v + truth_second(shape, second, b, i);
        } else if (strcmp(op, "Sub") == 0) {
            y[i] = v - truth_second(shape, second, b, i);
        } else if (strcmp(op, "Mul") == 0) {
            y[i] = v * truth_second(shape, second, b, i);
        } else if (strcmp(op, "PRelu") == 0) {
            y[i] = v < 0 ? v * truth_second(shape, second, b, i) : v;
            truth_kink(truth, v);
        } else if (strcmp(op, "Relu") == 0) {
            y[i] = v < 0 ? 0 : v;
            truth_kink(truth, v == 0 ? 1 : v); /* an exact zero was made by something flat */
        } else if (strcmp(op, "LeakyRelu") == 0) {
            y[i] = v < 0 ? v * (double)attr_find(&node->attrs, "alpha")->f : v;
            truth_kink(truth, v);
        } else if (strcmp(op, "Clip") == 0) {
            const double high = truth->values[node->in[2]][0];
            y[i] = fmin(fmax(v, b[0]), high);
            truth_kink(truth, v - b[0]);
            truth_kink(truth, v - high);
        } else if (strcmp(op, "Sigmoid") == 0) {
            y[i] = 1 / (1 + exp(-v));
        } else if (strcmp(op, "Flatten") == 0 || strcmp(op, "Identity") == 0 || strcmp(op, "Dropout") == 0) {
            y[i] = v;
        } else {
            return false;
        }
    }
    return true;
}

static inline void truth_node(struct truth *truth, const struct graph_node *node)
{
    const char *op = node->op->name;
    const struct shape *y_shape = &truth->shapes[node->out[0]].shape;
    const struct shape *shapes[3] = {NULL};
    const double *in[3] = {NULL};
    double *y = truth->values[node->out[0]];

    for (int k = 0; k < node->n_in && k < 3; k++) {
        const struct parameter *p = parameters_find(truth->parameters, node->in[k]);
        shapes[k] = &truth->shapes[node->in[k]].shape;
        in[k] = p != NULL ? truth->block + p->offset : truth->values[node->in[k]];
    }
    if (strcmp(op, "Conv") == 0) {
        truth_conv(node, shapes[0], shapes[1], y_shape, in[0], in[1], in[2], y);
    } else if (strcmp(op, "BatchNormalization") == 0) {
        truth_norm(truth, node, y_shape, in[0], y);
    } else if (strcmp(op, "MaxPool") == 0 || strcmp(op, "AveragePool") == 0) {
        truth_pool(truth, node, shapes[0], y_shape, in[0], y, op[0] == 'M');
    } else if (strcmp(op, "Gemm") == 0 || strcmp(op, "MatMul") == 0) {
        truth_matrix(shapes[0], y_shape, op[0] == 'G', in[0], in[1], in[2], y);
    } else if (strcmp(op, "Transpose") == 0) {
        truth_transpose(node, shapes[0], y_shape, in[0], y);
    } else if (strcmp(op, "Concat") == 0) {
        truth_concat(shapes[0], shapes[1], in[0], in[1], y);
    } else if (strcmp(op, "GlobalAveragePool") == 0) {
        int64_t pixels = shape_elements(shapes[0]) / shape_elements(y_shape);
        for (int64_t i = 0; i < shape_elements(y_shape); i++) {
            y[i] = 0;
            for (int64_t k = 0; k < pixels; k++) {
                y[i] += in[0][i * pixels + k] / (double)pixels;
            }
        }
    } else if (!truth_number(truth, node, in[0], in[1], y)) {
        fail_msg("%s is not known in double", op);
    }
}

/* Runs; returns Σ output · out_grad. */
static inline double truth_value(struct truth *truth, const double *out_grad)
{
    value_id output = graph_output(truth->graph, 0)->value;
    double sum = 0;

    truth->nearest_kink = INFINITY;
    for (int i = 0; i < graph_node_count(truth->graph); i++) {
        truth_node(truth, graph_node(truth->graph, i));
    }
    for (int64_t i = 0; i < shape_elements(&truth->shapes[output].shape); i++) {
        sum += truth->values[output][i] * out_grad[i];
    }
    return sum;
}

#endif
