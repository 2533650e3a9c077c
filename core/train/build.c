/*
 * build.c: IResNet and MobileFaceNet, layer by layer as arcface_torch has them.
 */
#include "core/train/build.h"

#include <stdio.h>
#include <string.h>

#include "core/op/op_list.h"
#include "core/train/build_private.h"

#define OPSET 13

/* IResNet-100 needs 261 MB. */
#define CAP_BYTES ((size_t)512 << 20)

static const struct network {
    const char *name;
    int blocks[4]; /* of the stages of an IResNet; none: a MobileFaceNet */
    int scale;     /* of a MobileFaceNet's width; none: the small network */
    int embedding;
} networks[] = {
    [BUILD_IRESNET18] = {"r18", {2, 2, 2, 2}, 0, 512},
    [BUILD_IRESNET34] = {"r34", {3, 4, 6, 3}, 0, 512},
    [BUILD_IRESNET50] = {"r50", {3, 4, 14, 3}, 0, 512},
    [BUILD_IRESNET100] = {"r100", {3, 13, 30, 3}, 0, 512},
    [BUILD_MBF] = {"mbf", {0}, 2, 512},
    [BUILD_MBF_Y1] = {"y1", {0}, 1, 128},
    [BUILD_SMALL] = {"small", {0}, 0, 128},
};

bool build_find(const char *name, enum build_network *ret)
{
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        if (strcmp(networks[i].name, name) == 0) {
            *ret = (enum build_network)i;
            return true;
        }
    }
    return false;
}

const char *build_name(enum build_network network)
{
    return networks[network].name;
}

/* ---- IResNet ----------------------------------------------------------------------------------------------------- */

/* BN, 3×3, BN, PReLU, 3×3 (which takes the stride), BN, and the shortcut; nothing behind the sum. */
static struct flow iresnet_block(struct builder *builder, const char *path, struct flow x, int channels, int stride)
{
    const struct conv_spec widen = {channels, 3, 1, 1, 1, 0};
    const struct conv_spec down = {channels, 3, stride, 1, 1, 0};
    const struct conv_spec shortcut = {channels, 1, stride, 0, 1, 0};
    char name[BUILD_NAME_BYTES];

    struct flow y = build_batch_norm(builder, build_path(name, path, "bn1"), x);
    y = build_conv(builder, build_path(name, path, "conv1"), y, &widen);
    y = build_batch_norm(builder, build_path(name, path, "bn2"), y);
    y = build_prelu(builder, build_path(name, path, "prelu"), y);
    y = build_conv(builder, build_path(name, path, "conv2"), y, &down);
    y = build_batch_norm(builder, build_path(name, path, "bn3"), y);
    if (stride != 1 || x.channels != channels) {
        x = build_conv(builder, build_path(name, path, "downsample.0"), x, &shortcut);
        x = build_batch_norm(builder, build_path(name, path, "downsample.1"), x);
    }
    return build_add(builder, path, y, x);
}

static struct flow iresnet(struct builder *builder, struct flow input, const int blocks[4], int embedding)
{
    const struct conv_spec stem = {64, 3, 1, 1, 1, 0};
    char name[BUILD_NAME_BYTES];

    struct flow x = build_conv(builder, "conv1", input, &stem);
    x = build_batch_norm(builder, "bn1", x);
    x = build_prelu(builder, "prelu", x);
    for (int stage = 0; stage < 4; stage++) {
        for (int block = 0; block < blocks[stage]; block++) {
            (void)snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            x = iresnet_block(builder, name, x, 64 << stage, block == 0 ? 2 : 1);
        }
    }
    x = build_batch_norm(builder, "bn2", x);
    x = build_flatten(builder, "flatten", x, (BUILD_SIDE / 16) * (BUILD_SIDE / 16));
    x = build_linear(builder, "fc", x, embedding, true);
    return build_batch_norm(builder, "features", x);
}

/* ---- MobileFaceNet ----------------------------------------------------------------------------------------------- */

/* A convolution with BN, and PReLU unless it is linear: three modules of one list. */
static struct flow conv_block(struct builder *builder, const char *path, struct flow x, const struct conv_spec *spec,
                              bool linear)
{
    char name[BUILD_NAME_BYTES];

    x = build_conv(builder, build_path(name, path, "layers.0"), x, spec);
    x = build_batch_norm(builder, build_path(name, path, "layers.1"), x);
    return linear ? x : build_prelu(builder, build_path(name, path, "layers.2"), x);
}

/* 1×1 up, 3×3 in each channel, 1×1 down; the input is added where it fits. */
static struct flow depth_wise(struct builder *builder, const char *path, struct flow x, int channels, int inner,
                              int stride)
{
    const struct conv_spec up = {inner, 1, 1, 0, 1, 0};
    const struct conv_spec each = {inner, 3, stride, 1, inner, 0};
    const struct conv_spec down = {channels, 1, 1, 0, 1, 0};
    char name[BUILD_NAME_BYTES];

    struct flow y = conv_block(builder, build_path(name, path, "layers.0"), x, &up, false);
    y = conv_block(builder, build_path(name, path, "layers.1"), y, &each, false);
    y = conv_block(builder, build_path(name, path, "layers.2"), y, &down, true);
    return stride == 1 ? build_add(builder, path, x, y) : y;
}

static struct flow residual(struct builder *builder, const char *path, struct flow x, int blocks, int inner)
{
    char name[BUILD_NAME_BYTES];

    for (int i = 0; i < blocks; i++) {
        (void)snprintf(name, sizeof name, "%s.layers.%d", path, i);
        x = depth_wise(builder, name, x, x.channels, inner, 1);
    }
    return x;
}

/*
 * arcface_torch's second convolution has 64 groups at every width, so that it is one for each channel only at the
 * published one.
 */
static struct flow mobilefacenet(struct builder *builder, struct flow input, int scale, int embedding, bool bias)
{
    const struct conv_spec first = {64 * scale, 3, 2, 1, 1, 0};
    const struct conv_spec second = {64 * scale, 3, 1, 1, 64, 0};
    const struct conv_spec widen = {512, 1, 1, 0, 1, 0};
    const struct conv_spec whole = {512, BUILD_SIDE / 16, 1, 0, 512, 0};

    struct flow x = conv_block(builder, "layers.0", input, &first, false);
    x = conv_block(builder, "layers.1", x, &second, false);
    x = depth_wise(builder, "layers.2", x, 64 * scale, 128, 2);
    x = residual(builder, "layers.3", x, 4, 128);
    x = depth_wise(builder, "layers.4", x, 128 * scale, 256, 2);
    x = residual(builder, "layers.5", x, 6, 256);
    x = depth_wise(builder, "layers.6", x, 128 * scale, 512, 2);
    x = residual(builder, "layers.7", x, 2, 256);
    x = conv_block(builder, "conv_sep", x, &widen, false);
    x = conv_block(builder, "features.layers.0", x, &whole, true);
    x = build_flatten(builder, "features.layers.1", x, 1);
    x = build_linear(builder, "features.layers.2", x, embedding, bias);
    return build_batch_norm(builder, "features.layers.3", x);
}

/* ---- The small one ------------------------------------------------------------------------------------------------ */

/*
 * A million weights where training is cheapest: half of all pixels are gone after the first layer, three quarters of the rest
 * after the second, and what follows are dense 3×3 layers, which learn at several times the speed of as many
 * multiplications in each channel apart.  The end is MobileFaceNet's.
 */
static struct flow small_block(struct builder *builder, const char *path, struct flow x)
{
    const struct conv_spec same = {x.channels, 3, 1, 1, 1, 0};
    char name[BUILD_NAME_BYTES];

    struct flow y = conv_block(builder, build_path(name, path, "layers.0"), x, &same, false);
    y = conv_block(builder, build_path(name, path, "layers.1"), y, &same, true);
    return build_add(builder, path, x, y);
}

static struct flow small(struct builder *builder, struct flow input, int embedding)
{
    const struct conv_spec stem = {32, 3, 2, 1, 1, 0};
    const struct conv_spec down[] = {{64, 3, 2, 1, 1, 0}, {128, 3, 2, 1, 1, 0}, {160, 3, 2, 1, 1, 0}};
    static const int blocks[] = {1, 2, 0};
    const struct conv_spec widen = {256, 1, 1, 0, 1, 0};
    const struct conv_spec whole = {256, BUILD_SIDE / 16, 1, 0, 256, 0};
    char name[BUILD_NAME_BYTES];

    struct flow x = conv_block(builder, "stem", input, &stem, false);
    for (int stage = 0; stage < 3; stage++) {
        (void)snprintf(name, sizeof name, "stage%d.down", stage + 1);
        x = conv_block(builder, name, x, &down[stage], false);
        for (int block = 0; block < blocks[stage]; block++) {
            (void)snprintf(name, sizeof name, "stage%d.%d", stage + 1, block);
            x = small_block(builder, name, x);
        }
    }
    x = conv_block(builder, "widen", x, &widen, false);
    x = conv_block(builder, "features.layers.0", x, &whole, true);
    x = build_flatten(builder, "features.layers.1", x, 1);
    x = build_linear(builder, "features.layers.2", x, embedding, false);
    return build_batch_norm(builder, "features.layers.3", x);
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static enum err build_all(const struct network *network, int embedding, struct builder *builder)
{
    const struct shape images = {4, {-1, 3, BUILD_SIDE, BUILD_SIDE}};
    const struct shape rows = {2, {-1, embedding}};
    struct flow input = {.value = -1, .channels = 3, .square = 1};

    builder->err = graph_set_opset(builder->graph, "", OPSET, builder->note);
    if (builder->err == ERR_NONE) {
        builder->err = graph_add_input(builder->graph, "input", DTYPE_F32, &images, &input.value, builder->note);
    }
    struct flow x;

    if (network->blocks[0] > 0) {
        x = iresnet(builder, input, network->blocks, embedding);
    } else if (network->scale > 0) {
        x = mobilefacenet(builder, input, network->scale, embedding, network->scale == 1);
    } else {
        x = small(builder, input, embedding);
    }
    if (builder->err == ERR_NONE) {
        builder->err = graph_add_output(builder->graph, x.value, DTYPE_F32, &rows, builder->note);
    }
    if (builder->err == ERR_NONE) {
        builder->err = graph_finish(builder->graph, builder->note);
    }
    return builder->err;
}

enum err build_network(enum build_network network, const struct build_options *options, struct graph **ret,
                       struct err_note *note)
{
    const struct network *row = &networks[network];
    struct builder builder = {
        .options = options, .first = row->blocks[0] > 0 ? BUILD_FIRST_IRESNET : BUILD_FIRST_MBF, .note = note};
    int embedding = options->embedding == 0 ? row->embedding : options->embedding;

    if (embedding < 1 || embedding > 4096) {
        return ERR_SAY(note, ERR_MISUSE, "an embedding of %d numbers; 1 to 4096 are possible", embedding);
    }
    enum err err = graph_new(op_list(), CAP_BYTES, &builder.graph);
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "no memory for a network");
    }
    err = build_all(row, embedding, &builder);
    if (err != ERR_NONE) {
        graph_free(builder.graph);
        return err;
    }
    graph_seal(builder.graph);
    *ret = builder.graph;
    return ERR_NONE;
}
