/* op_conv.c: Conv, 1 to 3 spatial dimensions. */
#include <string.h>

#include "core/kernel/conv_backward.h"
#include "core/kernel/conv_block.h"
#include "core/kernel/conv_learn.h"
#include "core/kernel/conv_separable.h"
#include "core/kernel/kernels.h"
#include "core/op/op_conv_private.h"

enum err conv_parse(const struct attrs *attrs, int opset, int n_in, int n_out, struct arena *mem, void **ret,
                    struct err_note *note)
{
    struct conv_attrs *conv = ARENA_NEW(mem, struct conv_attrs);

    if (conv == NULL) {
        return arena_why(mem);
    }
    enum err err = window_parse(attrs, &conv->window, note);
    if (err == ERR_NONE) {
        err = attr_int(attrs, "group", 1, &conv->group, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    conv->window.ceil_mode = false;
    if (conv->group < 1 || conv->group > INT32_MAX) {
        return ERR_SAY(note, ERR_FORMAT, "group is %lld", (long long)conv->group);
    }
    *ret = conv;
    return ERR_NONE;
}

/* Of data and weights of these shapes. */
static enum err measure(const struct conv_attrs *conv, const struct shape *x, const struct shape *w,
                        struct conv_shape *ret, struct shape *ret_out, struct err_note *note)
{
    struct window_sizes sizes;
    char text_x[SHAPE_TEXT_BYTES];
    char text_w[SHAPE_TEXT_BYTES];

    if (w->rank != x->rank || w->dim[1] > INT32_MAX || x->dim[1] != w->dim[1] * conv->group ||
        w->dim[0] % conv->group != 0) {
        return ERR_SAY(note, ERR_FORMAT, "weights %s do not fit data %s in %lld groups", shape_text(w, text_w),
                       shape_text(x, text_x), (long long)conv->group);
    }
    enum err err = window_measure(&conv->window, x, w->dim + 2, &sizes, note);
    if (err != ERR_NONE) {
        return err;
    }
    struct conv_shape s = {.n = x->dim[0], .groups = conv->group, .ic = w->dim[1], .oc = w->dim[0] / conv->group};
    memcpy(s.in, sizes.in, sizeof s.in);
    memcpy(s.kernel, sizes.kernel, sizeof s.kernel);
    memcpy(s.stride, sizes.stride, sizeof s.stride);
    memcpy(s.dilation, sizes.dilation, sizeof s.dilation);
    memcpy(s.pad, sizes.pad, sizeof s.pad);
    memcpy(s.out, sizes.out, sizeof s.out);
    struct shape out = window_out_shape(&sizes, x, w->dim[0]);
    struct shape plane = {.rank = 3, .dim = {s.out[0], s.out[1], s.out[2]}};
    struct shape patch = {.rank = 4, .dim = {s.ic, s.kernel[0], s.kernel[1], s.kernel[2]}};
    struct shape image = {.rank = 3, .dim = {s.in[0], s.in[1], s.in[2]}};
    int64_t pixels = 0;
    int64_t depth = 0;
    int64_t from = 0;
    if (!shape_count(&plane, &pixels) || !shape_count(&patch, &depth) || !shape_count(&image, &from) ||
        pixels > INT32_MAX || depth > INT32_MAX || from > INT32_MAX || w->dim[0] > INT32_MAX) {
        return ERR_SAY(note, ERR_LIMIT, "weights %s over data %s are too large", shape_text(w, text_w),
                       shape_text(x, text_x));
    }
    *ret = s;
    *ret_out = out;
    return ERR_NONE;
}

enum err conv_measure(const struct op_call *call, struct conv_shape *ret, struct shape *ret_out, struct err_note *note)
{
    const struct before *before = &call->epilogue.before;
    const struct shape *x = &call->in[0].shape;
    struct conv_shape first;
    struct shape between;

    if (before->parsed != NULL) {
        enum err err = measure(before->parsed, x, &call->in[before->w].shape, &first, &between, note);
        if (err != ERR_NONE) {
            return err;
        }
        x = &between;
    }
    return measure(call->parsed, x, &call->in[1].shape, ret, ret_out, note);
}

struct conv_shape conv_sizes(const struct op_call *call)
{
    struct conv_shape s = {0};
    struct shape out;

    (void)!conv_measure(call, &s, &out, NULL); /* has succeeded in the shape rule */
    return s;
}

static enum err conv_shape_rule(struct op_call *call, struct err_note *note)
{
    struct conv_shape s;
    struct shape out;
    enum err err = op_type(call, 1, OP_F32, note);

    if (err == ERR_NONE) {
        err = conv_measure(call, &s, &out, note);
    }
    if (err == ERR_NONE && op_has(call, 2)) {
        const struct shape *bias = &call->in[2].shape;
        err = op_type(call, 2, OP_F32, note);
        if (err == ERR_NONE && (bias->rank != 1 || bias->dim[0] != out.dim[1])) {
            err = ERR_SAY(note, ERR_FORMAT, "the bias has not one value for each of %lld channels",
                          (long long)out.dim[1]);
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    bool fits = call->learning ? conv_learn_f32_work_bytes(&s, &call->work_bytes) &&
                                     conv_backward_f32_work_bytes(&s, &call->backward_bytes)
                               : conv_f32_work_bytes(&s, pool_threads(call->pool), &call->work_bytes);
    if (!fits) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch of this convolution is too large");
    }
    return op_set(call, 0, DTYPE_F32, &out, note);
}

/* ---- In blocks ---------------------------------------------------------------------------------------------------- */

static enum finish_act finish_act_of(enum epilogue_act act)
{
    switch (act) {
    case EPILOGUE_NONE: return FINISH_NONE;
    case EPILOGUE_RELU: return FINISH_RELU;
    case EPILOGUE_PRELU: return FINISH_PRELU;
    case EPILOGUE_LEAKY: return FINISH_LEAKY;
    case EPILOGUE_CLIP: return FINISH_CLIP;
    }
    return FINISH_NONE;
}

/* The depthwise convolution before this one, and this one. */
static struct conv_separable separable_of(const struct op_call *call)
{
    const struct before *before = &call->epilogue.before;
    struct conv_separable s = {
        .after = conv_sizes(call), .act = finish_act_of(before->act), .low = before->low, .high = before->high};
    struct shape out;

    (void)!measure(before->parsed, &call->in[0].shape, &call->in[before->w].shape, &s.before, &out, NULL);
    return s;
}

#define FORM_SEPARABLE (CONV_WINOGRAD4 + 1) /* op_block.form, beside those of enum conv_form */

static bool separable_block(struct op_call *call, struct op_block *ret)
{
    struct conv_separable s = separable_of(call);

    if (!conv_separable_can(&s)) {
        return false;
    }
    ret->in = 1;
    if (call->epilogue.residual_input > 0) {
        ret->in |= 1U << (unsigned)call->epilogue.residual_input;
    }
    ret->out = true;
    ret->form = FORM_SEPARABLE;
    return conv_separable_pack_bytes(&s, &ret->pack_bytes) &&
           conv_separable_work_bytes(&s, pool_threads(call->pool), &call->work_bytes);
}

/* All but the data and the residual are constants. */
static bool has_constants(const struct op_call *call)
{
    for (int i = 1; i < call->n_in; i++) {
        if (i != call->epilogue.residual_input && op_has(call, i) && call->in[i].data == NULL) {
            return false;
        }
    }
    return true;
}

static bool conv_block(struct op_call *call, struct op_block *ret)
{
    if (call->in[0].shape.rank != 4 || !has_constants(call)) {
        return false;
    }
    if (call->epilogue.before.parsed != NULL) {
        return separable_block(call, ret);
    }
    struct conv_shape s = conv_sizes(call);
    enum conv_form form = conv_block_choose(&s);
    for (int f = CONV_FIRST; call->only_forms != 0 && f <= CONV_WINOGRAD4; f++) {
        bool there = (call->only_forms >> (unsigned)f & 1U) != 0 && conv_block_can(&s, (enum conv_form)f);
        form = there && (call->only_forms >> (unsigned)form & 1U) == 0 ? (enum conv_form)f : form;
    }
    if (form == CONV_PLAIN || (form == CONV_LANES && call->epilogue.scale_input > 0)) {
        return false;
    }
    *ret = (struct op_block){.in = form == CONV_FIRST ? 0 : 1, .out = true, .form = (int)form};
    if (call->epilogue.residual_input > 0) {
        ret->in |= 1U << (unsigned)call->epilogue.residual_input;
    }
    return conv_pack_bytes(&s, form, &ret->pack_bytes) &&
           conv_block_work_bytes(&s, form, pool_threads(call->pool), &call->work_bytes);
}

static const float *constant_or_null(const struct op_call *call, bool there, int i)
{
    return there && op_has(call, i) ? call->in[i].data : NULL;
}

static size_t separable_pack(const struct op_call *call, void *ret)
{
    const struct epilogue *e = &call->epilogue;
    struct conv_separable s = separable_of(call);
    const struct conv_separable_constants constants = {
        .before_w = call->in[e->before.w].data,
        .before_bias = constant_or_null(call, e->before.bias > 0, e->before.bias),
        .before_slope = constant_or_null(call, e->before.slope > 0, e->before.slope),
        .w = call->in[1].data,
        .bias = constant_or_null(call, true, 2),
        .slope = constant_or_null(call, e->act == EPILOGUE_PRELU, e->slope_input),
    };

    return conv_separable_pack(&s, &constants, call->half_weights, ret);
}

static size_t conv_pack(const struct op_call *call, const struct op_block *block, void *ret)
{
    if (block->form == FORM_SEPARABLE) {
        return separable_pack(call, ret);
    }
    struct conv_shape s = conv_sizes(call);
    const struct epilogue *e = &call->epilogue;
    const struct conv_constants constants = {
        .w = call->in[1].data,
        .bias = constant_or_null(call, true, 2),
        .slope = constant_or_null(call, e->act == EPILOGUE_PRELU, e->slope_input),
        .scale = constant_or_null(call, e->scale_input > 0, e->scale_input),
        .shift = constant_or_null(call, e->scale_input > 0, e->shift_input),
    };

    return conv_pack_f32(&s, (enum conv_form)block->form, &constants, call->half_weights, ret);
}

static enum err conv_forward(const struct op_call *call)
{
    struct conv_shape s = conv_sizes(call);
    struct finish finish = op_finish(call, 2);

    if (call->epilogue.before.parsed != NULL) {
        struct conv_separable separable = separable_of(call);
        conv_separable_f32(kernels()->blocks, &separable, call->packed, call->in[0].data, &finish, call->out[0].data,
                           call->work, call->pool);
        return ERR_NONE;
    }
    if (call->blocked_out) {
        conv_block_f32(kernels()->blocks, &s, call->packed, call->in[0].data, &finish, call->out[0].data, call->work,
                       call->pool);
        return ERR_NONE;
    }
    if (call->learning) {
        conv_learn_f32(&s, call->in[0].data, call->in[1].data, &finish, call->out[0].data, call->work);
        return ERR_NONE;
    }
    conv_f32(&s, call->in[0].data, call->in[1].data, &finish, call->out[0].data, call->work, call->work_bytes,
             call->pool);
    return ERR_NONE;
}

static enum err conv_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    struct conv_shape s = conv_sizes(call);

    conv_backward_f32(&s, call->in[0].data, call->in[1].data, out_grad[0].data, in_grad[0].data, in_grad[1].data,
                      op_has(call, 2) ? in_grad[2].data : NULL, call->work);
    return ERR_NONE;
}

static const struct op_def rows[] = {
    {.domain = "",
     .name = "Conv",
     .opset_min = 1,
     .opset_max = OP_LAST,
     .kind = OP_CONV,
     .min_in = 2,
     .max_in = 3,
     .min_out = 1,
     .max_out = 1,
     .types = OP_F32,
     .min_rank = 3,
     .max_rank = 5,
     .takes_epilogue = true,
     .parse = conv_parse,
     .shape = conv_shape_rule,
     .forward = conv_forward,
     .block = conv_block,
     .pack = conv_pack,
     .backward = conv_backward,
     .backward_in = 1U << 0 | 1U << 1},
};
const struct op_rows op_rows_conv = OP_ROWS(rows);
