/*
 * op_resize.c: Resize and Upsample: nearest and linear.
 *
 * Each dimension has a table: for every output coordinate one or two input coordinates and the weight of the second.  The
 * tables are made in scratch at every run: they cost out-sizes added up, the image costs them multiplied.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/kernel/block.h"
#include "core/op/op_private.h"

struct resize {
    bool linear;
    enum coordinates {
        HALF_PIXEL,
        PYTORCH_HALF_PIXEL,
        ALIGN_CORNERS,
        ASYMMETRIC,
        TF_HALF_PIXEL_FOR_NN
    } coordinates;
    enum nearest {
        ROUND_PREFER_FLOOR,
        ROUND_PREFER_CEIL,
        FLOOR,
        CEIL
    } nearest;
    bool old; /* Upsample, and Resize of opset 10: asymmetric, nearest downwards */
    int n_scales;
    float scales[TENSOR_MAX_RANK]; /* Upsample 7 */
};

static enum err pick(const struct attrs *attrs, const char *name, const char *absent, const char *const *names,
                     int count, int *ret, struct err_note *note)
{
    const char *text = NULL;
    enum err err = attr_text(attrs, name, absent, &text, note);

    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_UNSUPPORTED, "%s '%.40s' is not supported", name, text);
}

/* What opset 18 added is accepted where it says the same as before. */
static enum err refuse_new(const struct attrs *attrs, struct err_note *note)
{
    const char *policy = NULL;
    int64_t antialias = 0;
    int64_t outside = 0;
    enum err err = attr_int(attrs, "antialias", 0, &antialias, note);

    err = err != ERR_NONE ? err : attr_int(attrs, "exclude_outside", 0, &outside, note);
    err = err != ERR_NONE ? err : attr_text(attrs, "keep_aspect_ratio_policy", "stretch", &policy, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (antialias != 0 || outside != 0 || attr_find(attrs, "axes") != NULL || strcmp(policy, "stretch") != 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "antialias, exclude_outside, axes and policies are not supported");
    }
    return ERR_NONE;
}

static enum err read_attrs(const struct attrs *attrs, struct resize *resize, struct err_note *note)
{
    static const char *const modes[] = {"nearest", "linear", "bilinear"};
    static const char *const coordinates[] = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
                                              "tf_half_pixel_for_nn"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    int mode = 0;
    int coordinate = ASYMMETRIC;
    int round = FLOOR;
    enum err err = pick(attrs, "mode", "nearest", modes, 3, &mode, note);

    if (err == ERR_NONE && !resize->old) {
        err = pick(attrs, "coordinate_transformation_mode", "half_pixel", coordinates, 5, &coordinate, note);
        err = err != ERR_NONE ? err : pick(attrs, "nearest_mode", "round_prefer_floor", nearest, 4, &round, note);
        err = err != ERR_NONE ? err : refuse_new(attrs, note);
    }
    resize->linear = mode != 0;
    resize->coordinates = (enum coordinates)coordinate;
    resize->nearest = (enum nearest)round;
    return err;
}

static enum err parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                      struct err_note *note)
{
    struct resize *resize = ARENA_NEW(mem, struct resize);

    if (resize == NULL) {
        return arena_why(mem);
    }
    resize->old = opset < 11;
    enum err err = read_attrs(attrs, resize, note);
    if (err == ERR_NONE) {
        *ret = resize;
    }
    return err;
}

static enum err upsample_7_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem,
                                 void **ret, struct err_note *note)
{
    struct resize *resize = ARENA_NEW(mem, struct resize);
    const float *scales = NULL;
    size_t count = 0;

    if (resize == NULL) {
        return arena_why(mem);
    }
    resize->old = true;
    enum err err = read_attrs(attrs, resize, note);
    err = err != ERR_NONE ? err : attr_floats(attrs, "scales", &scales, &count, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (count == 0 || count > TENSOR_MAX_RANK) {
        return ERR_SAY(note, ERR_FORMAT, "%zu scales", count);
    }
    memcpy(resize->scales, scales, count * sizeof *scales);
    resize->n_scales = (int)count;
    *ret = resize;
    return ERR_NONE;
}

struct sizes {
    struct shape out;
    double scale[TENSOR_MAX_RANK];
    bool by_scale; /* scales were given, sizes follow; else the other way round */
};

static enum err scales_of(const struct op_call *call, int i, struct sizes *sizes, struct err_note *note)
{
    const struct resize *resize = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const float *scales = resize->scales;
    int64_t count = resize->n_scales;

    if (count == 0) {
        const struct tensor *in = &call->in[i];
        enum err err = op_type(call, i, OP_F32, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (in->data == NULL || in->shape.rank != 1) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "the scales are not known before running, or no vector");
        }
        scales = in->data;
        count = in->shape.dim[0];
    }
    if (count != x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "%lld scales for rank %d", (long long)count, x->rank);
    }
    for (int d = 0; d < x->rank; d++) {
        double size = floor((double)x->dim[d] * (double)scales[d]);
        if (!(scales[d] > 0) || !(size <= (double)INT32_MAX)) {
            return ERR_SAY(note, ERR_FORMAT, "scale %g of dimension %d", (double)scales[d], d);
        }
        sizes->out.dim[d] = (int64_t)size;
        sizes->scale[d] = (double)scales[d];
    }
    sizes->by_scale = true;
    return ERR_NONE;
}

static enum err sizes_given(const struct op_call *call, int i, struct sizes *sizes, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    int count = 0;
    enum err err = op_ints(call, i, sizes->out.dim, TENSOR_MAX_RANK, &count, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (count != x->rank) {
        return ERR_SAY(note, ERR_FORMAT, "%d sizes for rank %d", count, x->rank);
    }
    for (int d = 0; d < x->rank; d++) {
        if (sizes->out.dim[d] < 0 || sizes->out.dim[d] > INT32_MAX) {
            return ERR_SAY(note, ERR_FORMAT, "size %lld of dimension %d", (long long)sizes->out.dim[d], d);
        }
        sizes->scale[d] = x->dim[d] > 0 ? (double)sizes->out.dim[d] / (double)x->dim[d] : 1;
    }
    return ERR_NONE;
}

static bool is_empty(const struct op_call *call, int i)
{
    return !op_has(call, i) || shape_elements(&call->in[i].shape) == 0;
}

static enum err sizes_of(const struct op_call *call, struct sizes *ret, struct err_note *note)
{
    const struct resize *resize = call->parsed;
    struct sizes sizes = {.out = {.rank = call->in[0].shape.rank}};
    enum err err;

    if (resize->old) {
        err = scales_of(call, 1, &sizes, note);
    } else if (is_empty(call, 2) == is_empty(call, 3)) {
        err = ERR_SAY(note, ERR_FORMAT, "either scales or sizes must be given");
    } else {
        err = is_empty(call, 2) ? sizes_given(call, 3, &sizes, note) : scales_of(call, 2, &sizes, note);
    }
    if (err == ERR_NONE) {
        *ret = sizes;
    }
    return err;
}

/* Rules that different runtimes read differently are refused. */
static enum err refuse_ambiguous(const struct resize *resize, const struct shape *x, const struct sizes *sizes,
                                 struct err_note *note)
{
    for (int d = 0; d < x->rank; d++) {
        double scale = sizes->scale[d];
        double exact = (double)x->dim[d] * scale;
        if (sizes->out.dim[d] > 0 && x->dim[d] == 0) {
            return ERR_SAY(note, ERR_FORMAT, "dimension %d is empty and cannot grow", d);
        }
        if (x->dim[d] > INT32_MAX) {
            return ERR_SAY(note, ERR_LIMIT, "dimension %d of %lld is too large", d, (long long)x->dim[d]);
        }
        if (resize->coordinates == ALIGN_CORNERS && sizes->by_scale && exact != floor(exact)) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "align_corners with scale %g of %lld elements", scale,
                           (long long)x->dim[d]);
        }
        if (resize->old && !resize->linear && scale < 1 && 1 / scale != floor(1 / scale)) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "nearest with scale %g before opset 11", scale);
        }
    }
    return ERR_NONE;
}

/* One output coordinate of one dimension. */
struct tap {
    int32_t first, second;
    float weight; /* of the second */
};

static enum err shape(struct op_call *call, struct err_note *note)
{
    const struct shape *x = &call->in[0].shape;
    struct sizes sizes;
    int64_t taps = 0;
    enum err err = sizes_of(call, &sizes, note);

    err = err != ERR_NONE ? err : refuse_ambiguous(call->parsed, x, &sizes, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < x->rank; d++) {
        taps += sizes.out.dim[d]; /* each is below 2^31 */
    }
    err = op_set(call, 0, DTYPE_F32, &sizes.out, note);
    err = err != ERR_NONE ? err : op_work(call, taps, sizeof(struct tap), note);
    call->backward_bytes = call->work_bytes;
    return err;
}

static double origin(const struct resize *resize, int64_t at, int64_t in, int64_t out, double scale)
{
    double o = (double)at;

    switch (resize->coordinates) {
    case HALF_PIXEL: break;
    case PYTORCH_HALF_PIXEL:
        if (out <= 1) {
            return 0;
        }
        break;
    case ALIGN_CORNERS: return out <= 1 ? 0 : o * (double)(in - 1) / (double)(out - 1);
    case ASYMMETRIC: return o / scale;
    case TF_HALF_PIXEL_FOR_NN: return (o + 0.5) / scale;
    }
    return (o + 0.5) / scale - 0.5;
}

static double to_nearest(enum nearest how, double x)
{
    switch (how) {
    case ROUND_PREFER_FLOOR: return ceil(x - 0.5);
    case ROUND_PREFER_CEIL: return floor(x + 0.5);
    case FLOOR: return floor(x);
    case CEIL: break;
    }
    return ceil(x);
}

static int32_t clamp(double x, int64_t size)
{
    return x <= 0 ? 0 : x >= (double)(size - 1) ? (int32_t)(size - 1) : (int32_t)x;
}

static void fill_taps(const struct resize *resize, int64_t in, int64_t out, double scale, struct tap *taps)
{
    for (int64_t i = 0; i < out; i++) {
        double x = origin(resize, i, in, out, scale);
        if (resize->linear) {
            double low = floor(x);
            taps[i] = (struct tap){clamp(low, in), clamp(low + 1, in), (float)(x - low)};
        } else {
            int32_t at = clamp(to_nearest(resize->nearest, x), in);
            taps[i] = (struct tap){at, at, 0};
        }
    }
}

/* The value at the coordinates given by taps (one of each dimension), dimension d and inwards. */
static float interpolate(const float *x, const int64_t *step, const struct tap *const *at, int d, int rank)
{
    if (d == rank) {
        return *x;
    }
    float first = interpolate(x + at[d]->first * step[d], step, at, d + 1, rank);
    if (at[d]->weight == 0) {
        return first;
    }
    float second = interpolate(x + at[d]->second * step[d], step, at, d + 1, rank);
    return first * (1 - at[d]->weight) + second * at[d]->weight;
}

static void nearest_row(const float *x, const struct tap *taps, int64_t count, float *y)
{
    for (int64_t i = 0; i < count; i++) {
        y[i] = x[taps[i].first];
    }
}

/* Two rows and two columns: what an image needs.  Outer dimensions are not resized then. */
static void linear_row(const float *first, const float *second, float weight, const struct tap *taps, int64_t count,
                       float *y)
{
    for (int64_t i = 0; i < count; i++) {
        float a = first[taps[i].first] * (1 - taps[i].weight) + first[taps[i].second] * taps[i].weight;
        float b = second[taps[i].first] * (1 - taps[i].weight) + second[taps[i].second] * taps[i].weight;
        y[i] = a * (1 - weight) + b * weight;
    }
}

/* The tables of all dimensions, in scratch, and how far apart neighbours of the input are in each. */
static enum err lay_taps(const struct op_call *call, struct tap *taps[TENSOR_MAX_RANK], int64_t step[TENSOR_MAX_RANK])
{
    const struct shape *x = &call->in[0].shape;
    const struct shape *out = &call->out[0].shape;
    struct sizes sizes = {.by_scale = false};
    struct tap *next = call->work;
    enum err err = sizes_of(call, &sizes, NULL);

    if (err != ERR_NONE) {
        return err;
    }
    assert(x->rank >= 1 && next != NULL); /* claims, and scratch of at least one tap: no dimension is 0 here */
    for (int d = 0; d < x->rank; d++) {
        taps[d] = next;
        next += out->dim[d];
        step[d] = op_product(x, d + 1, x->rank);
        fill_taps(call->parsed, x->dim[d], out->dim[d], sizes.scale[d], taps[d]);
    }
    return ERR_NONE;
}

/* Images in blocks already, of which only rows and columns are taken, each from one place. */
static bool block(struct op_call *call, struct op_block *ret)
{
    const struct resize *resize = call->parsed;
    const struct shape *x = &call->in[0].shape;
    struct sizes sizes = {.by_scale = false};

    return x->rank == 4 && !resize->linear && sizes_of(call, &sizes, NULL) == ERR_NONE &&
           sizes.out.dim[0] == x->dim[0] && sizes.out.dim[1] == x->dim[1] && sizes.scale[0] == 1 &&
           sizes.scale[1] == 1 && op_block_one(call, ret);
}

static enum err forward_blocked(const struct op_call *call)
{
    const struct shape *x = &call->in[0].shape;
    const struct shape *out = &call->out[0].shape;
    struct tap *taps[TENSOR_MAX_RANK] = {NULL};
    int64_t step[TENSOR_MAX_RANK] = {0};
    float *y = call->out[0].data;
    enum err err = lay_taps(call, taps, step);

    if (err != ERR_NONE) {
        return err;
    }
    assert(taps[2] != NULL && taps[3] != NULL);
    for (int64_t plane = 0; plane < x->dim[0] * block_count(x->dim[1]); plane++) {
        const float *in = (const float *)call->in[0].data + plane * x->dim[2] * x->dim[3] * BLOCK;
        for (int64_t r = 0; r < out->dim[2]; r++) {
            for (int64_t c = 0; c < out->dim[3]; c++, y += BLOCK) {
                memcpy(y, in + (taps[2][r].first * x->dim[3] + taps[3][c].first) * BLOCK, BLOCK * sizeof *y);
            }
        }
    }
    return ERR_NONE;
}

static enum err forward(const struct op_call *call)
{
    const struct resize *resize = call->parsed;
    const struct shape *x = &call->in[0].shape;
    const struct shape *out = &call->out[0].shape;
    const float *in = call->in[0].data;
    float *y = call->out[0].data;
    struct tap *taps[TENSOR_MAX_RANK] = {NULL};
    const struct tap *at[TENSOR_MAX_RANK] = {NULL};
    int64_t step[TENSOR_MAX_RANK] = {0};
    int last = x->rank - 1;
    bool blended = false; /* an outer dimension mixes */

    if (shape_elements(out) == 0) {
        return ERR_NONE;
    }
    if (call->blocked_out) {
        return forward_blocked(call);
    }
    enum err err = lay_taps(call, taps, step);
    if (err != ERR_NONE) {
        return err;
    }
    for (int d = 0; d < last - 1; d++) {
        for (int64_t i = 0; i < out->dim[d]; i++) {
            blended = blended || taps[d][i].weight != 0;
        }
    }
    int64_t row = out->dim[last];
    for (int64_t r = 0; r < op_product(out, 0, last); r++) {
        int64_t rest = r;
        int64_t start = 0; /* of the first taps of all dimensions but the last two */
        for (int d = last - 1; d >= 0; d--) {
            at[d] = &taps[d][rest % out->dim[d]];
            rest /= out->dim[d];
            start += d < last - 1 ? at[d]->first * step[d] : 0;
        }
        const float *first = in + start + (last > 0 ? at[last - 1]->first * step[last - 1] : 0);
        const float *second = in + start + (last > 0 ? at[last - 1]->second * step[last - 1] : 0);
        if (!resize->linear) {
            nearest_row(first, taps[last], row, y + r * row);
        } else if (!blended) {
            linear_row(first, second, last > 0 ? at[last - 1]->weight : 0, taps[last], row, y + r * row);
        } else {
            for (int64_t i = 0; i < row; i++) {
                at[last] = &taps[last][i];
                y[r * row + i] = interpolate(in, step, at, 0, x->rank);
            }
        }
    }
    return ERR_NONE;
}

/* The other way: what an output took from the inputs around it, its gradient gives back in the same shares. */
static void give_back(float *dx, const int64_t *step, const struct tap *const *at, int d, int rank, float dy)
{
    for (; d < rank && at[d]->weight == 0; d++) {
        dx += at[d]->first * step[d];
    }
    if (d == rank) {
        *dx += dy;
        return;
    }
    give_back(dx + at[d]->first * step[d], step, at, d + 1, rank, dy * (1 - at[d]->weight));
    give_back(dx + at[d]->second * step[d], step, at, d + 1, rank, dy * at[d]->weight);
}

static enum err backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const struct resize *resize = call->parsed;
    const struct shape *out = &call->out[0].shape;
    const float *dy = out_grad[0].data;
    float *dx = in_grad[0].data;
    struct tap *taps[TENSOR_MAX_RANK] = {NULL};
    const struct tap *at[TENSOR_MAX_RANK] = {NULL};
    int64_t step[TENSOR_MAX_RANK] = {0};
    int last = out->rank - 1;

    if (dx == NULL || shape_elements(out) == 0) {
        return ERR_NONE;
    }
    enum err err = lay_taps(call, taps, step);
    if (err != ERR_NONE) {
        return err;
    }
    assert(last >= 0 && taps[last] != NULL);
    int64_t row = out->dim[last];
    for (int64_t r = 0; r < op_product(out, 0, last); r++) {
        int64_t rest = r;
        int64_t start = 0;
        for (int d = last - 1; d >= 0; d--) {
            assert(taps[d] != NULL);
            at[d] = &taps[d][rest % out->dim[d]];
            rest /= out->dim[d];
            start += at[d]->first * step[d];
        }
        for (int64_t i = 0; i < row; i++) {
            if (!resize->linear) {
                dx[start + taps[last][i].first] += dy[r * row + i];
                continue;
            }
            at[last] = &taps[last][i];
            give_back(dx, step, at, 0, out->rank, dy[r * row + i]);
        }
    }
    return ERR_NONE;
}

#define ROW(op, first, last, in_min, in_max, values, parse_fn)                                                         \
    {                                                                                                                  \
        .domain = "", .name = (op), .opset_min = (first), .opset_max = (last), .min_in = (in_min), .max_in = (in_max), \
        .min_out = 1, .max_out = 1, .types = OP_F32, .min_rank = 1, .max_rank = 5, .value_inputs = (values),           \
        .parse = (parse_fn), .shape = shape, .forward = forward, .backward = backward, .backward_in = (values),        \
        .block = block                                                                                                 \
    }

static const struct op_def rows[] = {
    ROW("Resize", 10, 10, 2, 2, 1U << 1, parse),
    ROW("Resize", 11, 18, 1, 4, 1U << 2 | 1U << 3, parse),
    ROW("Upsample", 7, 8, 1, 1, 0, upsample_7_parse),
    ROW("Upsample", 9, 9, 2, 2, 1U << 1, parse),
};
const struct op_rows op_rows_resize = OP_ROWS(rows);
