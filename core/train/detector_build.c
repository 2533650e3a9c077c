/* detector_build.c: the detector, layer by layer. */
#include "core/train/detector_build.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/op/op_list.h"
#include "core/train/build_private.h"

#define OPSET 13
#define CAP_BYTES ((size_t)64 << 20)
#define FIRST_SCORE .01F /* what every cell says before the first step */
#define NECK 48          /* channels of the maps that the heads see */
#define POINT_WIDE 160   /* of what sees the points of faces that are not small */

const float detector_anchor_px[DETECTOR_LEVELS] = {24, 90, 360};

/* ---- Blocks -------------------------------------------------------------------------------------------------------- */

/* A convolution with its norm and Relu. */
static struct flow conv_norm(struct builder *builder, const char *path, struct flow x, const struct conv_spec *spec)
{
    char name[BUILD_NAME_BYTES];

    x = build_conv(builder, build_path(name, path, "conv"), x, spec);
    x = build_batch_norm(builder, build_path(name, path, "bn"), x);
    return build_relu(builder, build_path(name, path, "relu"), x);
}

/*
 * 3×3 in each channel, then 1×1 across them; between the two there is neither norm nor bend, which costs nothing in quality
 * (Chollet 2017) and half of what is not a convolution.
 */
static struct flow separable(struct builder *builder, const char *path, struct flow x, int channels, int stride)
{
    const struct conv_spec each = {x.channels, 3, stride, 1, x.channels, 1.0 / 3};
    const struct conv_spec across = {channels, 1, 1, 0, 1, 0};
    char name[BUILD_NAME_BYTES];

    x = build_conv(builder, build_path(name, path, "each"), x, &each);
    return conv_norm(builder, path, x, &across);
}

/*
 * A second look, which is added to a first one: from a map (the same one, or one of twice the size with stride 2) 3×3 in each
 * channel, across into wide channels, and back.  Its last numbers begin near nothing, so that it can be put into a network that
 * has learnt already.
 */
static struct flow add_look(struct builder *builder, const char *path, struct flow x, struct flow from, int wide,
                            int stride)
{
    const struct conv_spec back = {x.channels, 1, 1, 0, 1, .002};
    char name[BUILD_NAME_BYTES];
    struct flow more = separable(builder, build_path(name, path, "wide"), from, wide, stride);

    more = build_conv(builder, build_path(name, path, "back"), more, &back);
    return build_add(builder, path, x, more);
}

static struct flow refine(struct builder *builder, const char *path, struct flow x, int wide)
{
    return add_look(builder, path, x, x, wide, 1);
}

static struct flow stage(struct builder *builder, const char *path, struct flow x, int channels, int blocks)
{
    char name[BUILD_NAME_BYTES];

    for (int i = 0; i < blocks; i++) {
        (void)snprintf(name, sizeof name, "%s.%d", path, i);
        x = separable(builder, name, x, channels, i == 0 ? 2 : 1);
    }
    return x;
}

/* ---- Neck ---------------------------------------------------------------------------------------------------------- */

static value_id floats_constant(struct builder *builder, const char *name, const float *values,
                                const struct shape *shape)
{
    const int64_t count = shape_elements(shape);
    struct tensor tensor = {.type = DTYPE_F32, .shape = *shape};
    value_id id = -1;

    tensor.data = builder->err != ERR_NONE ? NULL : ARENA_ARRAY(graph_arena(builder->graph), float, count);
    if (tensor.data == NULL) {
        builder->err = builder->err != ERR_NONE ? builder->err : arena_why(graph_arena(builder->graph));
        return -1;
    }
    memcpy(tensor.data, values, (size_t)count * sizeof *values);
    builder->err = graph_add_constant(builder->graph, name, &tensor, &id, builder->note);
    return id;
}

static value_id ints_constant(struct builder *builder, const char *name, const int64_t *values, int count)
{
    struct tensor tensor = {.type = DTYPE_I64, .shape = {1, {count}}};
    value_id id = -1;

    tensor.data = builder->err != ERR_NONE ? NULL : ARENA_ARRAY(graph_arena(builder->graph), int64_t, count);
    if (tensor.data == NULL) {
        builder->err = builder->err != ERR_NONE ? builder->err : arena_why(graph_arena(builder->graph));
        return -1;
    }
    memcpy(tensor.data, values, (size_t)count * sizeof *values);
    builder->err = graph_add_constant(builder->graph, name, &tensor, &id, builder->note);
    return id;
}

static struct attr text_attr(const char *name, const char *text)
{
    return (struct attr){.name = name, .kind = ATTR_TEXT, .text = text};
}

/* Twice as large, each number four times: as SCRFD's exports enlarge. */
static struct flow enlarge(struct builder *builder, const char *path, struct flow x, value_id scales)
{
    const struct attr attrs[] = {text_attr("coordinate_transformation_mode", "asymmetric"),
                                 text_attr("mode", "nearest"), text_attr("nearest_mode", "floor")};
    const value_id in[] = {x.value, -1, scales};

    x.value = build_node(builder, "Resize", path, attrs, 3, in, 3);
    return x;
}

/* Maps of NECK channels at each level, the coarser ones added to the finer, then the finer to the coarser. */
static void neck(struct builder *builder, struct flow level[DETECTOR_LEVELS])
{
    static const float twice[4] = {1, 1, 2, 2};
    static const struct shape four = {1, {4}};
    const struct conv_spec narrow = {NECK, 1, 1, 0, 1, 0};
    value_id scales = floats_constant(builder, "neck.twice", twice, &four);
    char path[BUILD_NAME_BYTES];

    for (int i = DETECTOR_LEVELS - 1; i >= 0; i--) {
        (void)snprintf(path, sizeof path, "neck.%d.lateral", i);
        level[i] = conv_norm(builder, path, level[i], &narrow);
        if (i + 1 < DETECTOR_LEVELS) {
            (void)snprintf(path, sizeof path, "neck.%d.enlarge", i);
            struct flow coarse = enlarge(builder, path, level[i + 1], scales);
            (void)snprintf(path, sizeof path, "neck.%d.add", i);
            level[i] = build_add(builder, path, level[i], coarse);
        }
        (void)snprintf(path, sizeof path, "neck.%d.merge", i);
        level[i] = separable(builder, path, level[i], NECK, 1);
    }
    for (int i = 1; i < DETECTOR_LEVELS; i++) {
        (void)snprintf(path, sizeof path, "neck.%d.finer", i);
        level[i] = add_look(builder, path, level[i], level[i - 1], NECK, 2);
    }
}

/* ---- Heads --------------------------------------------------------------------------------------------------------- */

/* Where five points of an upright face lie in its box, in sides from its middle (the mean of many labels). */
static const float first_point[10] = {-.21F, -.10F, .21F, -.10F, 0, .09F, -.18F, .26F, .18F, .26F};

/* A convolution with a bias that makes every cell begin with the same face. */
static value_id predict(struct builder *builder, const char *path, struct flow x, const float *bias, int count)
{
    const int64_t ones[] = {1, 1};
    const struct attr attrs[] = {{.name = "kernel_shape", .kind = ATTR_INTS, .ints = ones, .count = 2},
                                 {.name = "strides", .kind = ATTR_INTS, .ints = ones, .count = 2}};
    const struct shape weights = {4, {count, x.channels, 1, 1}};
    const struct shape row = {1, {count}};
    const struct build_first_numbers small = {FIRST_NORMAL, .01F};
    const struct build_first_numbers none = {FIRST_ALL, 0};
    value_id in[3] = {x.value, -1, -1};

    in[1] = build_constant(builder, path, "weight", &weights, &small);
    in[2] = build_constant(builder, path, "bias", &row, &none);
    if (builder->err == ERR_NONE && builder->options->source == NULL) {
        memcpy(graph_constant(builder->graph, in[2])->data, bias, (size_t)count * sizeof *bias);
    }
    return build_node(builder, "Conv", path, attrs, 2, in, 3);
}

/* [N, C, H, W] → [N, H·W, C] */
static value_id rows_of(struct builder *builder, const char *path, value_id x, value_id shape)
{
    static const int64_t perm[] = {0, 2, 3, 1};
    const struct attr attrs[] = {{.name = "perm", .kind = ATTR_INTS, .ints = perm, .count = 4}};
    char name[BUILD_NAME_BYTES];
    value_id in[2] = {-1, shape};

    in[0] = build_node(builder, "Transpose", build_path(name, path, "last"), attrs, 1, &x, 1);
    return build_node(builder, "Reshape", build_path(name, path, "rows"), NULL, 0, in, 2);
}

struct head {
    value_id kind[3]; /* score, box, points, as maps */
};

/*
 * What tells the points looks again.  Most faces are large enough for the coarser levels, whose cells lie far apart: there it
 * sees the finer level's map as well, and has more to say it with, which costs little where cells are few.
 */
static struct flow look_for_points(struct builder *builder, const char *path, struct flow x, const struct flow *finer)
{
    char name[BUILD_NAME_BYTES];

    x = refine(builder, build_path(name, path, "fine"), x, NECK);
    if (finer != NULL) {
        x = add_look(builder, build_path(name, path, "detail"), x, *finer, 2 * NECK, 2);
        x = refine(builder, build_path(name, path, "point.0"), x, POINT_WIDE);
        x = refine(builder, build_path(name, path, "point.1"), x, POINT_WIDE);
    }
    return x;
}

/* finer: the map of the level before; NULL: there is none. */
static struct head make_head(struct builder *builder, int level, struct flow x, const struct flow *finer)
{
    float side = detector_anchor_px[level] / (float)detector_stride(level);
    float score[1] = {-logf((1 - FIRST_SCORE) / FIRST_SCORE)};
    float box[4] = {side / 2, side / 2, side / 2, side / 2};
    float point[10];
    char path[BUILD_NAME_BYTES];
    char name[BUILD_NAME_BYTES];
    struct head head;

    for (int i = 0; i < 10; i++) {
        point[i] = side * first_point[i];
    }
    (void)snprintf(path, sizeof path, "head.%d", level);
    x = separable(builder, path, x, NECK, 1);
    struct flow fine = look_for_points(builder, path, x, finer);
    head.kind[0] = predict(builder, build_path(name, path, "score"), x, score, 1);
    head.kind[1] = predict(builder, build_path(name, path, "box"), x, box, 4);
    head.kind[2] = predict(builder, build_path(name, path, "point"), fine, point, 10);
    return head;
}

/* ---- The form that learns ---------------------------------------------------------------------------------------------------- */

static enum err output_all(struct builder *builder, const struct head heads[DETECTOR_LEVELS])
{
    static const int64_t keep[] = {0, -1, DETECTOR_COLUMNS};
    const struct attr axis = {.name = "axis", .kind = ATTR_INT, .i = 1};
    const struct shape all = {3, {-1, -1, DETECTOR_COLUMNS}};
    value_id shape = ints_constant(builder, "rows.15", keep, 3);
    value_id level[DETECTOR_LEVELS];
    char path[BUILD_NAME_BYTES];

    for (int i = 0; i < DETECTOR_LEVELS; i++) {
        (void)snprintf(path, sizeof path, "head.%d.all", i);
        value_id joined = build_node(builder, "Concat", path, &axis, 1, heads[i].kind, 3);
        level[i] = rows_of(builder, path, joined, shape);
    }
    value_id out = build_node(builder, "Concat", "cells", &axis, 1, level, DETECTOR_LEVELS);
    return builder->err != ERR_NONE ? builder->err
                                    : graph_add_output(builder->graph, out, DTYPE_F32, &all, builder->note);
}

/* ---- Votes --------------------------------------------------------------------------------------------------------- */

#define BESIDE 1 /* cells in each direction that have a vote */
#define NEAR (2 * BESIDE + 1)
#define NO_VOTES 1e-6F /* keeps a quotient finite where nobody sees anything */

/*
 * Kernels that add up over a cell's neighbourhood: [10, 11, 3, 3] what weighted points say (channels 0 to 9), from where the cell
 * stands (channel 10, the weights: a point of the next cell lies one stride further), and [1, 1, 3, 3] the weights.
 */
static void fill_votes(float sum[10][11][NEAR][NEAR], float count[NEAR][NEAR])
{
    memset(sum, 0, sizeof(float) * 10 * 11 * NEAR * NEAR);
    for (int y = 0; y < NEAR; y++) {
        for (int x = 0; x < NEAR; x++) {
            count[y][x] = 1;
            for (int k = 0; k < 10; k++) {
                sum[k][k][y][x] = 1;
                sum[k][10][y][x] = (float)((k % 2 == 0 ? x : y) - BESIDE);
            }
        }
    }
}

static value_id add_up(struct builder *builder, const char *path, value_id x, value_id kernel, value_id bias)
{
    const int64_t pads[] = {BESIDE, BESIDE, BESIDE, BESIDE};
    const int64_t sides[] = {NEAR, NEAR};
    const struct attr attrs[] = {{.name = "kernel_shape", .kind = ATTR_INTS, .ints = sides, .count = 2},
                                 {.name = "pads", .kind = ATTR_INTS, .ints = pads, .count = 4}};
    const value_id in[] = {x, kernel, bias};

    return build_node(builder, "Conv", path, attrs, 2, in, 3);
}

/* Constants that all levels share. */
struct votes {
    value_id sum, none, count, few;
};

static struct votes votes_constants(struct builder *builder)
{
    static const struct shape sum_shape = {4, {10, 11, NEAR, NEAR}};
    static const struct shape count_shape = {4, {1, 1, NEAR, NEAR}};
    static const struct shape ten = {1, {10}};
    static const struct shape one = {1, {1}};
    static const float zeros[10] = {0};
    static const float few[1] = {NO_VOTES};
    float sum[10][11][NEAR][NEAR];
    float count[NEAR][NEAR];
    struct votes votes;

    fill_votes(sum, count);
    votes.sum = floats_constant(builder, "votes.sum", &sum[0][0][0][0], &sum_shape);
    votes.none = floats_constant(builder, "votes.none", zeros, &ten);
    votes.count = floats_constant(builder, "votes.count", &count[0][0], &count_shape);
    votes.few = floats_constant(builder, "votes.few", few, &one);
    return votes;
}

/*
 * The points of each cell become the mean of what it and its neighbours say, weighed by the squares of their scores: what one cell
 * says is off by its own noise, too (a sixth more; measured on 203 faces of photos that were learnt from).
 */
static value_id vote(struct builder *builder, const char *path, const struct votes *votes, const struct head *head)
{
    const struct attr axis = {.name = "axis", .kind = ATTR_INT, .i = 1};
    char name[BUILD_NAME_BYTES];
    value_id score = build_node(builder, "Sigmoid", build_path(name, path, "score"), NULL, 0, &head->kind[0], 1);
    value_id pair[2] = {score, score};
    value_id weight = build_node(builder, "Mul", build_path(name, path, "weight"), NULL, 0, pair, 2);

    pair[0] = head->kind[2];
    pair[1] = weight;
    pair[0] = build_node(builder, "Mul", build_path(name, path, "weighted"), NULL, 0, pair, 2);
    value_id both = build_node(builder, "Concat", build_path(name, path, "both"), &axis, 1, pair, 2);
    pair[0] = add_up(builder, build_path(name, path, "sum"), both, votes->sum, votes->none);
    pair[1] = add_up(builder, build_path(name, path, "count"), weight, votes->count, votes->few);
    return build_node(builder, "Div", build_path(name, path, "mean"), NULL, 0, pair, 2);
}

/* ---- The form that finds ------------------------------------------------------------------------------------------- */

static enum err output_nine(struct builder *builder, const struct head heads[DETECTOR_LEVELS])
{
    static const int columns[3] = {1, 4, 10};
    static const char *const names[3] = {"score", "bbox", "kps"};
    char path[BUILD_NAME_BYTES];
    const struct votes votes = votes_constants(builder);

    for (int kind = 0; kind < 3; kind++) {
        const int64_t keep[] = {0, -1, columns[kind]};
        const struct shape rows = {3, {-1, -1, columns[kind]}};
        (void)snprintf(path, sizeof path, "rows.%d", columns[kind]);
        value_id shape = ints_constant(builder, path, keep, 3);
        for (int i = 0; i < DETECTOR_LEVELS; i++) {
            char name[BUILD_NAME_BYTES];
            (void)snprintf(name, sizeof name, "%s_%d", names[kind], detector_stride(i));
            value_id x = heads[i].kind[kind];
            if (kind == 2) {
                (void)snprintf(path, sizeof path, "votes.%d", i);
                x = vote(builder, path, &votes, &heads[i]);
            }
            (void)snprintf(path, sizeof path, "head.%d.%s", i, names[kind]);
            if (kind == 0) {
                x = rows_of(builder, path, x, shape);
                x = build_node(builder, "Sigmoid", name, NULL, 0, &x, 1);
            } else {
                const int64_t perm[] = {0, 2, 3, 1};
                const struct attr attrs[] = {{.name = "perm", .kind = ATTR_INTS, .ints = perm, .count = 4}};
                value_id in[2] = {build_node(builder, "Transpose", path, attrs, 1, &x, 1), shape};
                x = build_node(builder, "Reshape", name, NULL, 0, in, 2);
            }
            if (builder->err == ERR_NONE) {
                builder->err = graph_add_output(builder->graph, x, DTYPE_F32, &rows, builder->note);
            }
        }
    }
    return builder->err;
}

static enum err build_all(struct builder *builder, enum detector_form form)
{
    const struct shape images = {4, {-1, 3, -1, -1}};
    const struct conv_spec stem = {16, 3, 2, 1, 1, 0};
    struct flow x = {.value = -1, .channels = 3, .square = .25};
    struct flow level[DETECTOR_LEVELS];
    struct head heads[DETECTOR_LEVELS];

    builder->err = graph_set_opset(builder->graph, "", OPSET, builder->note);
    if (builder->err == ERR_NONE) {
        builder->err = graph_add_input(builder->graph, "input", DTYPE_F32, &images, &x.value, builder->note);
    }
    x = conv_norm(builder, "stem", x, &stem);
    x = stage(builder, "stage4", x, 32, 1);
    level[0] = stage(builder, "stage8", x, 64, 3);
    level[1] = refine(builder, "refine16", stage(builder, "stage16", level[0], 96, 4), 192);
    level[2] = refine(builder, "refine32", stage(builder, "stage32", level[1], 128, 3), 256);
    neck(builder, level);
    for (int i = 0; i < DETECTOR_LEVELS; i++) {
        heads[i] = make_head(builder, i, level[i], i > 0 ? &level[i - 1] : NULL);
    }
    if (builder->err == ERR_NONE) {
        builder->err = form == DETECTOR_LEARNS ? output_all(builder, heads) : output_nine(builder, heads);
    }
    return builder->err != ERR_NONE ? builder->err : graph_finish(builder->graph, builder->note);
}

enum err detector_build(enum detector_form form, const struct build_options *options, struct graph **ret,
                        struct err_note *note)
{
    struct builder builder = {.options = options, .first = BUILD_FIRST_MBF, .note = note};
    enum err err = graph_new(op_list(), CAP_BYTES, &builder.graph);

    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "no memory for a network");
    }
    err = build_all(&builder, form);
    if (err != ERR_NONE) {
        graph_free(builder.graph);
        return err;
    }
    graph_seal(builder.graph);
    *ret = builder.graph;
    return ERR_NONE;
}
