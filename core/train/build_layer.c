/* build_layer.c: one layer each: its constants, its node, and how large its numbers are at first. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/build_private.h"

#define EPSILON 1e-5F
#define SLOPE 0.25F

const char *build_path(char ret[BUILD_NAME_BYTES], const char *path, const char *name)
{
    (void)snprintf(ret, BUILD_NAME_BYTES, "%s.%s", path, name);
    return ret;
}

/* ---- Constants --------------------------------------------------------------------------------------------------- */

/* FNV-1a: each constant has its own stream, so that its numbers do not depend on what is built before it. */
static uint64_t stream_of(const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
        hash = (hash ^ *p) * UINT64_C(1099511628211);
    }
    return hash;
}

static void fill(const struct builder *builder, const char *name, const struct build_first_numbers *first, float *data,
                 int64_t count)
{
    struct random random = random_seeded(builder->options->seed, stream_of(name));

    for (int64_t i = 0; i < count; i++) {
        switch (first->kind) {
        case FIRST_ALL: data[i] = first->value; break;
        case FIRST_NORMAL: data[i] = first->value * (float)random_normal(&random); break;
        case FIRST_UNIFORM: data[i] = first->value * (float)(2 * random_uniform(&random) - 1); break;
        }
    }
}

value_id build_constant(struct builder *builder, const char *path, const char *last, const struct shape *shape,
                        const struct build_first_numbers *first)
{
    const struct build_source *source = builder->options->source;
    struct tensor tensor = {.type = DTYPE_F32, .shape = *shape};
    char name[BUILD_NAME_BYTES];
    value_id id = -1;

    if (builder->err != ERR_NONE) {
        return -1;
    }
    (void)build_path(name, path, last);
    tensor.data = ARENA_ARRAY(graph_arena(builder->graph), float, shape_elements(shape));
    if (tensor.data == NULL) {
        builder->err = ERR_SAY(builder->note, arena_why(graph_arena(builder->graph)), "no memory for '%s'", name);
        return -1;
    }
    if (source != NULL) {
        builder->err = source->take(source->context, name, shape, tensor.data, builder->note);
    } else {
        fill(builder, name, first, tensor.data, shape_elements(shape));
    }
    if (builder->err == ERR_NONE) {
        builder->err = graph_add_constant(builder->graph, name, &tensor, &id, builder->note);
    }
    return id;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------- */

value_id build_node(struct builder *builder, const char *op, const char *path, const struct attr *attrs, int n_attrs,
                    const value_id *in, int n_in)
{
    const struct attrs list = {.list = attrs, .count = n_attrs};
    value_id out = -1;

    if (builder->err == ERR_NONE) {
        builder->err = graph_value(builder->graph, path, &out, builder->note);
    }
    if (builder->err == ERR_NONE) {
        builder->err = graph_add_node(builder->graph, "", op, path, &list, in, n_in, &out, 1, builder->note);
    }
    return out;
}

static struct attr int_attr(const char *name, int64_t value)
{
    return (struct attr){.name = name, .kind = ATTR_INT, .i = value};
}

static struct attr ints_attr(const char *name, const int64_t *values, size_t count)
{
    return (struct attr){.name = name, .kind = ATTR_INTS, .ints = values, .count = count};
}

/* torch's fan out counts a group's kernels as if there were one group. */
struct flow build_conv(struct builder *builder, const char *path, struct flow x, const struct conv_spec *spec)
{
    const int64_t dilations[] = {1, 1};
    const int64_t kernel[] = {spec->kernel, spec->kernel};
    const int64_t pads[] = {spec->pad, spec->pad, spec->pad, spec->pad};
    const int64_t strides[] = {spec->stride, spec->stride};
    const struct attr attrs[] = {ints_attr("dilations", dilations, 2), int_attr("group", spec->group),
                                 ints_attr("kernel_shape", kernel, 2), ints_attr("pads", pads, 4),
                                 ints_attr("strides", strides, 2)};
    const struct shape shape = {4, {spec->channels, x.channels / spec->group, spec->kernel, spec->kernel}};
    double area = (double)spec->kernel * spec->kernel;
    double rule = builder->first == BUILD_FIRST_IRESNET ? 0.1 : sqrt(2 / (spec->channels * area));
    double deviation = spec->deviation > 0 ? spec->deviation : rule;
    const struct build_first_numbers first = {FIRST_NORMAL, (float)deviation};
    const value_id in[] = {x.value, build_constant(builder, path, "weight", &shape, &first)};

    return (struct flow){.value = build_node(builder, "Conv", path, attrs, 5, in, 2),
                         .channels = spec->channels,
                         .square = x.square * deviation * deviation * area * (double)shape.dim[1]};
}

struct flow build_batch_norm(struct builder *builder, const char *path, struct flow x)
{
    const struct attr attrs[] = {{.name = "epsilon", .kind = ATTR_FLOAT, .f = EPSILON},
                                 {.name = "momentum", .kind = ATTR_FLOAT, .f = 0.9F}};
    const struct shape shape = {1, {x.channels}};
    const struct build_first_numbers one = {FIRST_ALL, 1};
    const struct build_first_numbers zero = {FIRST_ALL, 0};
    const struct build_first_numbers variance = {FIRST_ALL, (float)x.square};
    value_id in[5] = {x.value};

    in[1] = build_constant(builder, path, "weight", &shape, &one);
    in[2] = build_constant(builder, path, "bias", &shape, &zero);
    in[3] = build_constant(builder, path, "running_mean", &shape, &zero);
    in[4] = build_constant(builder, path, "running_var", &shape, &variance);
    return (struct flow){
        .value = build_node(builder, "BatchNormalization", path, attrs, 2, in, 5), .channels = x.channels, .square = 1};
}

/* Half of a symmetric input is multiplied by the slope. */
struct flow build_prelu(struct builder *builder, const char *path, struct flow x)
{
    const struct shape shape = {3, {x.channels, 1, 1}};
    const struct build_first_numbers first = {FIRST_ALL, SLOPE};
    const value_id in[] = {x.value, build_constant(builder, path, "weight", &shape, &first)};

    return (struct flow){.value = build_node(builder, "PRelu", path, NULL, 0, in, 2),
                         .channels = x.channels,
                         .square = x.square * (1 + (double)SLOPE * (double)SLOPE) / 2};
}

struct flow build_relu(struct builder *builder, const char *path, struct flow x)
{
    return (struct flow){.value = build_node(builder, "Relu", path, NULL, 0, &x.value, 1),
                         .channels = x.channels,
                         .square = x.square / 2};
}

struct flow build_add(struct builder *builder, const char *path, struct flow a, struct flow b)
{
    const value_id in[] = {a.value, b.value};

    return (struct flow){.value = build_node(builder, "Add", path, NULL, 0, in, 2),
                         .channels = a.channels,
                         .square = a.square + b.square};
}

struct flow build_flatten(struct builder *builder, const char *path, struct flow x, int pixels)
{
    const struct attr axis = int_attr("axis", 1);

    x.value = build_node(builder, "Flatten", path, &axis, 1, &x.value, 1);
    x.channels *= pixels;
    return x;
}

struct flow build_linear(struct builder *builder, const char *path, struct flow x, int outputs, bool bias)
{
    const struct attr attrs[] = {{.name = "alpha", .kind = ATTR_FLOAT, .f = 1},
                                 {.name = "beta", .kind = ATTR_FLOAT, .f = 1},
                                 int_attr("transB", 1)};
    const struct shape shape = {2, {outputs, x.channels}};
    const struct shape row = {1, {outputs}};
    bool iresnet = builder->first == BUILD_FIRST_IRESNET;
    double bound = 1 / sqrt(x.channels);
    double deviation = iresnet ? bound / sqrt(3) : sqrt(2.0 / outputs);
    const struct build_first_numbers uniform = {FIRST_UNIFORM, (float)bound};
    const struct build_first_numbers normal = {FIRST_NORMAL, (float)deviation};
    value_id in[3] = {x.value, -1, -1};

    in[1] = build_constant(builder, path, "weight", &shape, iresnet ? &uniform : &normal);
    in[2] = bias ? build_constant(builder, path, "bias", &row, &uniform) : -1;
    return (struct flow){.value = build_node(builder, "Gemm", path, attrs, 3, in, bias ? 3 : 2),
                         .channels = outputs,
                         .square = x.square * deviation * deviation * x.channels};
}
