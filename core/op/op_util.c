/* op_util.c: checks of inputs, axes and broadcasting. */
#include <string.h>

#include "core/base/size.h"
#include "core/op/op_private.h"

enum err op_set(struct op_call *call, int i, enum dtype type, const struct shape *shape, struct err_note *note)
{
    int64_t count = 0;
    int64_t bytes = 0;
    char text[SHAPE_TEXT_BYTES];

    if (!shape_count(shape, &count) || !dim_mul(count, (int64_t)dtype_bytes(type), &bytes)) {
        return ERR_SAY(note, ERR_LIMIT, "output %d of shape %s is too large", i, shape_text(shape, text));
    }
    call->out[i].type = type;
    call->out[i].shape = *shape;
    return ERR_NONE;
}

enum err op_type(const struct op_call *call, int i, unsigned types, struct err_note *note)
{
    if ((types & DTYPE_BIT(call->in[i].type)) == 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "input %d of type %s is not supported here", i,
                       dtype_name(call->in[i].type));
    }
    return ERR_NONE;
}

enum err op_axis(int64_t axis, int rank, int *ret, struct err_note *note)
{
    if (axis < -rank || axis >= rank) {
        return ERR_SAY(note, ERR_FORMAT, "axis %lld is outside of rank %d", (long long)axis, rank);
    }
    *ret = (int)(axis < 0 ? axis + rank : axis);
    return ERR_NONE;
}

enum err op_axes(const int64_t *axes, size_t count, int rank, bool ret[TENSOR_MAX_RANK], struct err_note *note)
{
    bool named[TENSOR_MAX_RANK] = {false};

    for (size_t i = 0; i < count; i++) {
        int axis = 0;
        enum err err = op_axis(axes[i], rank, &axis, note);
        if (err != ERR_NONE) {
            return err;
        }
        if (named[axis]) {
            return ERR_SAY(note, ERR_FORMAT, "axis %d is named twice", axis);
        }
        named[axis] = true;
    }
    memcpy(ret, named, sizeof named);
    return ERR_NONE;
}

enum err op_ints(const struct op_call *call, int i, int64_t *ret, int max, int *ret_count, struct err_note *note)
{
    const struct tensor *in = &call->in[i];
    enum err err = op_type(call, i, OP_INDEX, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (in->shape.rank > 1) {
        return ERR_SAY(note, ERR_FORMAT, "input %d must be a vector, its rank is %d", i, in->shape.rank);
    }
    int64_t count = in->shape.rank == 0 ? 1 : in->shape.dim[0];
    if (count > max) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "input %d has %lld values, more than %d are not supported", i,
                       (long long)count, max);
    }
    if (in->data == NULL && count > 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the value of input %d is not known before running", i);
    }
    for (int64_t k = 0; k < count; k++) {
        ret[k] = in->type == DTYPE_I64 ? ((const int64_t *)in->data)[k] : ((const int32_t *)in->data)[k];
    }
    *ret_count = (int)count;
    return ERR_NONE;
}

enum err op_broadcast(const struct shape *a, const struct shape *b, struct shape *ret, struct err_note *note)
{
    struct shape out = {.rank = a->rank > b->rank ? a->rank : b->rank};
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];

    for (int d = 0; d < out.rank; d++) {
        int da = d - (out.rank - a->rank);
        int db = d - (out.rank - b->rank);
        int64_t size_a = da >= 0 ? a->dim[da] : 1;
        int64_t size_b = db >= 0 ? b->dim[db] : 1;
        if (size_a != size_b && size_a != 1 && size_b != 1) {
            return ERR_SAY(note, ERR_FORMAT, "shapes %s and %s do not stretch to each other", shape_text(a, text_a),
                           shape_text(b, text_b));
        }
        out.dim[d] = size_a == 1 ? size_b : size_a;
    }
    *ret = out;
    return ERR_NONE;
}

void op_stretch(struct strided *s, int k, const struct shape *in, const struct shape *out)
{
    int64_t step = 1;

    s->rank = out->rank;
    memcpy(s->dim, out->dim, sizeof s->dim);
    for (int d = out->rank - 1; d >= 0; d--) {
        int from = d - (out->rank - in->rank);
        int64_t size = from >= 0 ? in->dim[from] : 1;
        s->step[k][d] = size == 1 ? 0 : step;
        step *= size;
    }
}

int64_t op_product(const struct shape *shape, int first, int end)
{
    int64_t product = 1;

    for (int d = first; d < end; d++) {
        product *= shape->dim[d];
    }
    return product;
}

enum err op_work(struct op_call *call, int64_t count, size_t bytes, struct err_note *note)
{
    size_t total = 0;

    if (!size_mul((size_t)count, bytes, &total)) {
        return ERR_SAY(note, ERR_LIMIT, "the scratch for %lld elements is too large", (long long)count);
    }
    call->work_bytes = total;
    return ERR_NONE;
}

struct finish op_finish(const struct op_call *call, int bias_input)
{
    const struct epilogue *e = &call->epilogue;
    struct finish finish = {.low = e->low, .high = e->high};

    if (op_has(call, bias_input)) {
        finish.bias = call->in[bias_input].data;
    }
    /* An epilogue that is all zero is an empty one: input 0 is the data, never a residual or a slope. */
    if (e->residual_input > 0 && op_has(call, e->residual_input)) {
        finish.residual = call->in[e->residual_input].data;
    }
    switch (e->act) {
    case EPILOGUE_NONE: finish.act = FINISH_NONE; break;
    case EPILOGUE_RELU: finish.act = FINISH_RELU; break;
    case EPILOGUE_PRELU:
        finish.act = FINISH_PRELU;
        finish.slope = call->in[e->slope_input].data;
        break;
    case EPILOGUE_LEAKY: finish.act = FINISH_LEAKY; break;
    case EPILOGUE_CLIP: finish.act = FINISH_CLIP; break;
    }
    return finish;
}

bool op_block_one(struct op_call *call, struct op_block *ret)
{
    if ((call->blocked_in & 1U) == 0) {
        return false;
    }
    *ret = (struct op_block){.in = 1U, .out = true};
    return true;
}

bool op_block_two(struct op_call *call, struct op_block *ret)
{
    const struct tensor *a = &call->in[0];
    const struct tensor *b = &call->in[1];

    if ((call->blocked_in & 3U) == 0 || b->type != DTYPE_F32 || !shape_equal(&a->shape, &b->shape)) {
        return false;
    }
    *ret = (struct op_block){.in = 3U, .out = true};
    return true;
}

enum err op_copy_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad)
{
    const float *dy = out_grad[0].data;
    float *dx = in_grad[0].data;

    for (int64_t i = 0; dx != NULL && i < shape_elements(&call->out[0].shape); i++) {
        dx[i] += dy[i];
    }
    return ERR_NONE;
}

enum err op_copy(const struct op_call *call)
{
    size_t bytes = tensor_bytes(&call->out[0]);

    if (bytes > 0) {
        memcpy(call->out[0].data, call->in[0].data, bytes);
    }
    return ERR_NONE;
}
