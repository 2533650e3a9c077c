/*
 * onnx_save_form.c: what each operator looks like in operator set 13.
 *
 * A row names the attributes that the standard's operator set 13 has, those of other sets that say nothing (or that the
 * row's function turns into something else), and the function for operators whose form differs.  An attribute that is in
 * neither list is refused: leaving it out could change the numbers.
 */
#include <assert.h>
#include <string.h>

#include "core/base/size.h"
#include "core/onnx/onnx_save_private.h"
#include "core/op/op_list.h"

/* A row's function may add so many inputs and attributes. */
#define SPARE 5

struct forming {
    struct saving *saving;
    const struct graph_node *node;
    struct save_node *form;
};

static enum err cannot(const struct forming *forming, struct err_note *note, const char *why)
{
    return ERR_SAY(note, ERR_UNSUPPORTED, "node '%.60s' (%s) of operator set %d cannot be saved in set %d: %s",
                   forming->form->name[0] != '\0' ? forming->form->name : forming->form->out[0],
                   forming->node->op->name, forming->node->opset, SAVE_OPSET, why);
}

/* ---- Tools of the rows ------------------------------------------------------------------------------------------- */

static bool name_taken(const struct graph *graph, const char *name)
{
    for (value_id id = 0; id < graph_value_count(graph); id++) {
        if (strcmp(graph_value_name(graph, id), name) == 0) {
            return true;
        }
    }
    return false;
}

/* Makes input i a constant of this node alone, named by the node's first output. */
static enum err own_constant(struct forming *forming, int i, const char *suffix, const struct tensor *tensor,
                             struct err_note *note)
{
    struct save_node *form = forming->form;
    struct saving *saving = forming->saving;
    struct tensor *copy = ARENA_NEW(saving->mem, struct tensor);
    const char *name = arena_format(saving->mem, "%s.%s", form->out[0], suffix);

    while (name != NULL && name_taken(saving->graph, name)) {
        name = arena_format(saving->mem, "%s_", name);
    }
    if (name == NULL || copy == NULL) {
        return save_full(saving, note);
    }
    *copy = *tensor;
    form->in[i] = (struct save_input){.id = -1, .name = name, .constant = copy};
    while (form->n_in <= i) {
        if (form->in[form->n_in].name == NULL) {
            form->in[form->n_in] = (struct save_input){.id = -1, .name = ""};
        }
        form->n_in++;
    }
    return ERR_NONE;
}

static enum err own_ints(struct forming *forming, int i, const char *suffix, const int64_t *ints, size_t count,
                         struct err_note *note)
{
    struct tensor tensor = {.type = DTYPE_I64, .shape = {1, {(int64_t)count}}};
    int64_t *copy = ARENA_ARRAY(forming->saving->mem, int64_t, count);

    if (copy == NULL) {
        return save_full(forming->saving, note);
    }
    if (count > 0) {
        memcpy(copy, ints, count * sizeof *copy);
    }
    tensor.data = copy;
    return own_constant(forming, i, suffix, &tensor, note);
}

/* A single number, of rank 0. */
static enum err own_float(struct forming *forming, int i, const char *suffix, float value, struct err_note *note)
{
    struct tensor tensor = {.type = DTYPE_F32};
    float *copy = ARENA_NEW(forming->saving->mem, float);

    if (copy == NULL) {
        return save_full(forming->saving, note);
    }
    *copy = value;
    tensor.data = copy;
    return own_constant(forming, i, suffix, &tensor, note);
}

static const struct attr *old_attr(const struct forming *forming, const char *name)
{
    return attr_find(&forming->node->attrs, name);
}

static int64_t old_int(const struct forming *forming, const char *name, int64_t absent)
{
    const struct attr *attr = old_attr(forming, name);

    return attr != NULL && attr->kind == ATTR_INT ? attr->i : absent;
}

static void set_attr(struct forming *forming, const struct attr *attr)
{
    struct save_node *form = forming->form;

    for (int i = 0; i < form->n_attrs; i++) {
        if (strcmp(form->attrs[i].name, attr->name) == 0) {
            form->attrs[i] = *attr;
            return;
        }
    }
    form->attrs[form->n_attrs++] = *attr;
}

static void set_int(struct forming *forming, const char *name, int64_t value)
{
    set_attr(forming, &(struct attr){.name = name, .kind = ATTR_INT, .i = value});
}

static void set_text(struct forming *forming, const char *name, const char *value)
{
    set_attr(forming, &(struct attr){.name = name, .kind = ATTR_TEXT, .text = value});
}

/* An attribute that became an input: axes, pads, split ... */
static enum err ints_to_input(struct forming *forming, const char *name, int i, struct err_note *note)
{
    const struct attr *attr = old_attr(forming, name);

    if (attr == NULL) {
        return ERR_NONE;
    }
    return attr->kind == ATTR_INTS ? own_ints(forming, i, name, attr->ints, attr->count, note)
                                   : cannot(forming, note, "an attribute is not a list of integers");
}

/* What is known of input i for one image, or NULL. */
static const struct tensor *one_image(const struct forming *forming, int i)
{
    if (i >= forming->node->n_in || forming->node->in[i] < 0) {
        return NULL;
    }
    const struct tensor *tensor = &forming->saving->values[ONE_IMAGE][forming->node->in[i]];
    return tensor->type == DTYPE_NONE ? NULL : tensor;
}

/* Writes the constant that input i reads in another shape with the same numbers in the same order. */
static enum err reshape_constant(struct forming *forming, int i, const struct shape *shape, struct err_note *note)
{
    struct save_input *in = &forming->form->in[i];
    struct tensor *copy;

    if (in->constant == NULL) {
        return cannot(forming, note, "an input that must stretch differently is not constant");
    }
    copy = ARENA_NEW(forming->saving->mem, struct tensor);
    if (copy == NULL) {
        return save_full(forming->saving, note);
    }
    *copy = *in->constant;
    copy->shape = *shape;
    in->constant = copy;
    return ERR_NONE;
}

/* ---- Rows whose form differs ------------------------------------------------------------------------------------- */

/* Up to set 6 the second operand stretches only when asked to, and from any axis. */
static enum err form_arithmetic(struct forming *forming, struct err_note *note)
{
    const struct tensor *a = one_image(forming, 0);
    const struct tensor *b = one_image(forming, 1);

    if (a != NULL && (a->type == DTYPE_U8 || a->type == DTYPE_I8)) {
        return cannot(forming, note, "it computes with bytes");
    }
    if (forming->node->opset >= 7 || old_int(forming, "broadcast", 0) == 0 || old_attr(forming, "axis") == NULL) {
        return ERR_NONE;
    }
    if (a == NULL || b == NULL) {
        return cannot(forming, note, "it stretches along an axis, and the shapes are not known");
    }
    int64_t axis = old_int(forming, "axis", 0);
    axis = axis < 0 ? axis + a->shape.rank : axis;
    int64_t behind = a->shape.rank - axis - b->shape.rank;
    if (behind < 0) {
        return cannot(forming, note, "it stretches along an axis that is not there");
    }
    struct shape shape = b->shape;
    for (; behind > 0; behind--) {
        shape.dim[shape.rank++] = 1;
    }
    return shape.rank == b->shape.rank ? ERR_NONE : reshape_constant(forming, 1, &shape, note);
}

static enum err form_average_pool(struct forming *forming, struct err_note *note)
{
    const struct attr *dilations = old_attr(forming, "dilations");

    for (size_t i = 0; dilations != NULL && dilations->kind == ATTR_INTS && i < dilations->count; i++) {
        if (dilations->ints[i] != 1) {
            return cannot(forming, note, "dilations");
        }
    }
    return ERR_NONE;
}

static enum err form_clip(struct forming *forming, struct err_note *note)
{
    static const char *const bounds[] = {"min", "max"};
    enum err err = ERR_NONE;

    for (int i = 0; err == ERR_NONE && forming->node->opset < 11 && i < 2; i++) {
        const struct attr *bound = old_attr(forming, bounds[i]);
        if (bound != NULL && bound->kind == ATTR_FLOAT) {
            err = own_float(forming, i + 1, bounds[i], bound->f, note);
        }
    }
    return err;
}

static enum err form_concat(struct forming *forming, struct err_note *note)
{
    set_int(forming, "axis", old_int(forming, "axis", 1));
    return ERR_NONE;
}

static enum err form_dropout(struct forming *forming, struct err_note *note)
{
    const struct attr *ratio = old_attr(forming, "ratio");

    if (forming->node->opset >= 12 || ratio == NULL || ratio->kind != ATTR_FLOAT) {
        return ERR_NONE;
    }
    return own_float(forming, 1, "ratio", ratio->f, note);
}

static enum err form_pad(struct forming *forming, struct err_note *note)
{
    const struct attr *value = old_attr(forming, "value");
    enum err err = ERR_NONE;

    if (forming->form->n_in > 3) {
        return cannot(forming, note, "it pads named axes");
    }
    if (forming->node->opset < 11) {
        err = ints_to_input(forming, "pads", 1, note);
        if (err == ERR_NONE && value != NULL && value->kind == ATTR_FLOAT) {
            err = own_float(forming, 2, "value", value->f, note);
        }
    }
    return err;
}

/*
 * The slopes of an image's channels have the shape [C, 1, 1].  Up to set 6 a vector means the channels, whatever follows
 * them; later a leading 1 stands for the batch at most.
 */
static enum err form_prelu(struct forming *forming, struct err_note *note)
{
    const struct tensor *x = one_image(forming, 0);
    const struct tensor *slope = one_image(forming, 1);

    if (x == NULL || slope == NULL) {
        return cannot(forming, note, "the shapes of its inputs are not known");
    }
    struct shape shape = slope->shape;
    if (forming->node->opset < 7 && shape.rank == 1 && shape.dim[0] != 1) {
        while (shape.rank < x->shape.rank - 1) {
            shape.dim[shape.rank++] = 1;
        }
    }
    if (shape.rank > 1 && shape.rank == x->shape.rank && shape.dim[0] == 1) {
        shape.rank--;
        memmove(shape.dim, shape.dim + 1, (size_t)shape.rank * sizeof shape.dim[0]);
    }
    return shape_equal(&shape, &slope->shape) ? ERR_NONE : reshape_constant(forming, 1, &shape, note);
}

/* The axes are an attribute in set 13, an input from set 18 on. */
static enum err form_reduce(struct forming *forming, struct err_note *note)
{
    const struct save_input *axes = &forming->form->in[1];

    if (forming->node->opset < 18) {
        return ERR_NONE;
    }
    if (forming->form->n_in == 2) {
        if (axes->constant == NULL || axes->constant->type != DTYPE_I64) {
            return cannot(forming, note, "its axes are not constant");
        }
        set_attr(forming, &(struct attr){.name = "axes",
                                         .kind = ATTR_INTS,
                                         .ints = axes->constant->data,
                                         .count = (size_t)shape_elements(&axes->constant->shape)});
        forming->form->n_in = 1;
    }
    const struct attr *given = attr_find(&(struct attrs){forming->form->attrs, forming->form->n_attrs}, "axes");
    if (old_int(forming, "noop_with_empty_axes", 0) != 0 && (given == NULL || given->count == 0)) {
        return cannot(forming, note, "it does nothing without axes");
    }
    return ERR_NONE;
}

static enum err form_reduce_sum(struct forming *forming, struct err_note *note)
{
    return forming->node->opset < 13 ? ints_to_input(forming, "axes", 1, note) : ERR_NONE;
}

/* Does the first dimension of input 0 follow the batch? */
static bool follows_batch(const struct forming *forming)
{
    value_id id = forming->node->in[0];
    const struct tensor *one = &forming->saving->values[ONE_IMAGE][id];
    const struct tensor *two = &forming->saving->values[TWO_IMAGES][id];

    return one->type != DTYPE_NONE && two->type != DTYPE_NONE && one->shape.rank > 0 && two->shape.rank > 0 &&
           one->shape.dim[0] == 1 && two->shape.dim[0] == 2;
}

/* [1, ...] pins the batch; [0, ...] keeps it, and is the same for one image. */
static enum err form_reshape(struct forming *forming, struct err_note *note)
{
    enum err err = forming->node->opset < 5 ? ints_to_input(forming, "shape", 1, note) : ERR_NONE;
    const struct tensor *target = forming->form->in[1].constant;
    int64_t sizes[TENSOR_MAX_RANK];

    if (err != ERR_NONE || target == NULL || target->type != DTYPE_I64 || target->shape.rank != 1) {
        return err == ERR_NONE && old_int(forming, "allowzero", 0) != 0 ? cannot(forming, note, "allowzero") : err;
    }
    int64_t count = target->shape.dim[0];
    if (count > TENSOR_MAX_RANK) {
        return cannot(forming, note, "its rank is too large");
    }
    for (int64_t i = 0; i < count; i++) {
        sizes[i] = ((const int64_t *)target->data)[i];
        if (sizes[i] == 0 && old_int(forming, "allowzero", 0) != 0) {
            return cannot(forming, note, "allowzero");
        }
    }
    if (count < 2 || sizes[0] != 1 || !follows_batch(forming)) {
        return ERR_NONE;
    }
    if (forming->node->opset < 5) {
        return cannot(forming, note, "it pins the batch in an attribute");
    }
    sizes[0] = 0;
    return own_ints(forming, 1, "shape", sizes, (size_t)count, note);
}

/* Upsample, and Resize of set 10, take corners as they come and the nearest downwards. */
static void resize_as_before(struct forming *forming)
{
    struct save_node *form = forming->form;
    const struct attr *mode = old_attr(forming, "mode");
    bool linear = mode != NULL && mode->kind == ATTR_TEXT && strcmp(mode->text, "nearest") != 0;

    form->op = "Resize";
    set_text(forming, "mode", linear ? "linear" : "nearest");
    set_text(forming, "coordinate_transformation_mode", "asymmetric");
    set_text(forming, "nearest_mode", "floor");
}

static enum err form_resize(struct forming *forming, struct err_note *note)
{
    struct save_node *form = forming->form;

    if (forming->node->opset < 11) {
        resize_as_before(forming);
        form->in[2] = form->in[1];
        form->in[1] = (struct save_input){.id = -1, .name = ""};
        form->n_in = 3;
    }
    return ERR_NONE;
}

static enum err form_upsample(struct forming *forming, struct err_note *note)
{
    const struct attr *scales = old_attr(forming, "scales");
    struct tensor tensor = {.type = DTYPE_F32};

    if (forming->node->opset >= 9) {
        return form_resize(forming, note);
    }
    resize_as_before(forming);
    if (scales == NULL || scales->kind != ATTR_FLOATS) {
        return cannot(forming, note, "it has no scales");
    }
    tensor.shape = (struct shape){1, {(int64_t)scales->count}};
    tensor.data = (void *)scales->floats;
    return own_constant(forming, 2, "scales", &tensor, note);
}

static enum err form_shape(struct forming *forming, struct err_note *note)
{
    if (old_int(forming, "start", 0) != 0 || old_attr(forming, "end") != NULL) {
        return cannot(forming, note, "it gives a part of the shape");
    }
    return ERR_NONE;
}

static enum err form_slice(struct forming *forming, struct err_note *note)
{
    enum err err = ERR_NONE;

    if (forming->node->opset < 10) {
        err = ints_to_input(forming, "starts", 1, note);
        err = err != ERR_NONE ? err : ints_to_input(forming, "ends", 2, note);
        err = err != ERR_NONE ? err : ints_to_input(forming, "axes", 3, note);
    }
    return err;
}

/* Up to set 12 it runs over everything behind the axis, since then along the axis alone. */
static enum err form_softmax(struct forming *forming, struct err_note *note)
{
    const struct tensor *x = one_image(forming, 0);
    int64_t axis = old_int(forming, "axis", 1);

    if (forming->node->opset >= 13) {
        return ERR_NONE;
    }
    if (x == NULL) {
        return cannot(forming, note, "the shape of its input is not known");
    }
    axis = axis < 0 ? axis + x->shape.rank : axis;
    if (axis != x->shape.rank - 1) {
        return cannot(forming, note, "it runs over several dimensions");
    }
    set_int(forming, "axis", -1);
    return ERR_NONE;
}

static enum err form_split(struct forming *forming, struct err_note *note)
{
    if (old_attr(forming, "num_outputs") != NULL && forming->form->n_in < 2) {
        return cannot(forming, note, "its parts may differ");
    }
    return forming->node->opset < 13 ? ints_to_input(forming, "split", 1, note) : ERR_NONE;
}

static enum err form_squeeze(struct forming *forming, struct err_note *note)
{
    return forming->node->opset < 13 ? ints_to_input(forming, "axes", 1, note) : ERR_NONE;
}

/* ---- The rows ---------------------------------------------------------------------------------------------------- */

struct row {
    const char *op;
    const char *kept;    /* attributes of set 13, separated by spaces */
    const char *dropped; /* of other sets: without meaning, or turned into something else */
    enum err (*form)(struct forming *forming, struct err_note *note);
};

/* clang-format off */
static const struct row rows[] = {
    {"Abs", "", "consumed_inputs", NULL},
    {"Add", "", "axis broadcast consumed_inputs", form_arithmetic},
    {"AveragePool", "auto_pad ceil_mode count_include_pad kernel_shape pads strides", "dilations", form_average_pool},
    {"BatchNormalization", "epsilon momentum", "consumed_inputs is_test spatial training_mode", NULL},
    {"Cast", "to", "saturate", NULL},
    {"Ceil", "", "consumed_inputs", NULL},
    {"Clip", "", "consumed_inputs max min", form_clip},
    {"Concat", "axis", "", form_concat},
    {"ConstantOfShape", "value", "", NULL},
    {"Conv", "auto_pad dilations group kernel_shape pads strides", "", NULL},
    {"Div", "", "axis broadcast consumed_inputs", form_arithmetic},
    {"Dropout", "seed", "consumed_inputs is_test ratio", form_dropout},
    {"Elu", "alpha", "consumed_inputs", NULL},
    {"Equal", "", "axis broadcast", form_arithmetic},
    {"Erf", "", "", NULL},
    {"Exp", "", "consumed_inputs", NULL},
    {"Expand", "", "", NULL},
    {"Flatten", "axis", "", NULL},
    {"Floor", "", "consumed_inputs", NULL},
    {"Gather", "axis", "", NULL},
    {"Gemm", "alpha beta transA transB", "broadcast", NULL},
    {"GlobalAveragePool", "", "", NULL},
    {"GlobalMaxPool", "", "", NULL},
    {"Greater", "", "axis broadcast", form_arithmetic},
    {"HardSigmoid", "alpha beta", "consumed_inputs", NULL},
    {"Identity", "", "", NULL},
    {"LeakyRelu", "alpha", "consumed_inputs", NULL},
    {"Less", "", "axis broadcast", form_arithmetic},
    {"Log", "", "consumed_inputs", NULL},
    {"LogSoftmax", "axis", "", form_softmax},
    {"MatMul", "", "", NULL},
    {"Max", "", "consumed_inputs", NULL},
    {"MaxPool", "auto_pad ceil_mode dilations kernel_shape pads storage_order strides", "", NULL},
    {"Mean", "", "consumed_inputs", NULL},
    {"Min", "", "consumed_inputs", NULL},
    {"Mul", "", "axis broadcast consumed_inputs", form_arithmetic},
    {"Neg", "", "consumed_inputs", NULL},
    {"PRelu", "", "consumed_inputs", form_prelu},
    {"Pad", "mode", "pads value", form_pad},
    {"Pow", "", "axis broadcast", form_arithmetic},
    {"Reciprocal", "", "consumed_inputs", NULL},
    {"ReduceL2", "axes keepdims", "noop_with_empty_axes", form_reduce},
    {"ReduceMax", "axes keepdims", "noop_with_empty_axes", form_reduce},
    {"ReduceMean", "axes keepdims", "noop_with_empty_axes", form_reduce},
    {"ReduceMin", "axes keepdims", "noop_with_empty_axes", form_reduce},
    {"ReduceSum", "keepdims noop_with_empty_axes", "axes", form_reduce_sum},
    {"ReduceSumSquare", "axes keepdims", "noop_with_empty_axes", form_reduce},
    {"Relu", "", "consumed_inputs", NULL},
    {"Reshape", "", "allowzero consumed_inputs shape", form_reshape},
    {"Resize", "coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value mode nearest_mode",
     "antialias keep_aspect_ratio_policy", form_resize},
    {"Shape", "", "end start", form_shape},
    {"Sigmoid", "", "consumed_inputs", NULL},
    {"Slice", "", "axes ends starts", form_slice},
    {"Softmax", "axis", "", form_softmax},
    {"Softplus", "", "", NULL},
    {"Split", "axis", "num_outputs split", form_split},
    {"Sqrt", "", "consumed_inputs", NULL},
    {"Squeeze", "", "axes", form_squeeze},
    {"Sub", "", "axis broadcast consumed_inputs", form_arithmetic},
    {"Sum", "", "consumed_inputs", NULL},
    {"Tanh", "", "consumed_inputs", NULL},
    {"Transpose", "perm", "", NULL},
    {"Unsqueeze", "", "axes", form_squeeze},
    {"Upsample", "mode", "scales", form_upsample},
    {"Where", "", "", NULL},
};
/* clang-format on */

static const struct row *find_row(const struct op_def *op)
{
    for (size_t i = 0; op->domain[0] == '\0' && i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].op, op->name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static bool lists(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = strstr(words, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool is_integer_op(const char *op)
{
    return strstr(op, "Quantize") != NULL || strstr(op, "Integer") != NULL || strncmp(op, "QLinear", 7) == 0 ||
           strncmp(op, "QGemm", 5) == 0;
}

/* ---- A node ------------------------------------------------------------------------------------------------------ */

static enum err copy_values(struct saving *saving, const struct graph_node *node, struct save_node *form,
                            struct err_note *note)
{
    form->in = ARENA_ARRAY(saving->mem, struct save_input, node->n_in + SPARE);
    form->out = ARENA_ARRAY(saving->mem, const char *, node->n_out);
    form->attrs = ARENA_ARRAY(saving->mem, struct attr, node->attrs.count + SPARE);
    if (form->in == NULL || form->out == NULL || form->attrs == NULL) {
        return save_full(saving, note);
    }
    for (int i = 0; i < node->n_in; i++) {
        value_id id = node->in[i];
        form->in[i].id = id;
        form->in[i].name = id < 0 ? "" : graph_value_name(saving->graph, id);
        form->in[i].constant = id < 0 ? NULL : saving->constants[id];
    }
    for (int i = 0; i < node->n_out; i++) {
        form->out[i] = node->out[i] < 0 ? "" : graph_value_name(saving->graph, node->out[i]);
    }
    form->n_in = node->n_in;
    form->n_out = node->n_out;
    return ERR_NONE;
}

static enum err copy_attrs(const struct forming *forming, const struct row *row, struct err_note *note)
{
    const struct attrs *attrs = &forming->node->attrs;

    for (int i = 0; i < attrs->count; i++) {
        const struct attr *attr = &attrs->list[i];
        if (lists(row->kept, attr->name) && attr->kind != ATTR_OTHER) {
            forming->form->attrs[forming->form->n_attrs++] = *attr;
        } else if (!lists(row->dropped, attr->name)) {
            struct err_note why = {0};
            (void)ERR_SAY(&why, ERR_UNSUPPORTED, "attribute '%.40s'", attr->name);
            return cannot(forming, note, why.text);
        }
    }
    return ERR_NONE;
}

/* A node that lacks what it needs does not run, but loads where it would stand in an attribute. */
static enum err check_form(const struct forming *forming, struct err_note *note)
{
    const struct save_node *form = forming->form;
    const struct op_def *op = op_find("", form->op, SAVE_OPSET);

    if (op == NULL) {
        return cannot(forming, note, "set 13 has no such operator");
    }
    for (int i = 0; i < op->min_in; i++) {
        if (i >= form->n_in || form->in[i].name[0] == '\0') {
            return cannot(forming, note, "an attribute that it needs is missing");
        }
    }
    return ERR_NONE;
}

enum err save_form(struct saving *saving, const struct graph_node *node, struct save_node *ret, struct err_note *note)
{
    const struct row *row = find_row(node->op);
    struct save_node form = {.op = node->op->name, .name = node->name};
    struct forming forming = {.saving = saving, .node = node, .form = &form};
    enum err err = copy_values(saving, node, &form, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (is_integer_op(node->op->name)) {
        return cannot(&forming, note, "an integer network cannot be saved; save the one it was made from");
    }
    if (node->epilogue.act != EPILOGUE_NONE || node->epilogue.residual_input >= 0) {
        return ERR_SAY(note, ERR_MISUSE, "the graph was prepared for inference and cannot be saved");
    }
    if (row == NULL) {
        return cannot(&forming, note, "set 13 has no such operator");
    }
    err = copy_attrs(&forming, row, note);
    if (err == ERR_NONE && row->form != NULL) {
        err = row->form(&forming, note);
    }
    if (err == ERR_NONE) {
        err = check_form(&forming, note);
    }
    if (err == ERR_NONE) {
        *ret = form;
    }
    return err;
}
