/*
 * op_rows.h: tables of operator calls: attributes, inputs, and the output or the error that must come.
 *
 * A row is run as the graph does it: claims, parse, shape, forward into memory with canaries; nothing may be allocated by
 * forward.  Included by the tests of this folder.
 */
#ifndef TESTS_CORE_OP_OP_ROWS_H
#define TESTS_CORE_OP_OP_ROWS_H

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/op/op_list.h"

#define ROW_MAX_IN 6
#define ROW_MAX_OUT 3
#define ROW_GUARD 64

/* Numbers of any type, written as doubles.  data NULL: not known before running. */
struct value {
    enum dtype type;
    struct shape shape;
    const double *data;
};

struct op_row {
    const char *op;
    int opset;
    struct attr attrs[5]; /* up to the first without a name */
    struct value in[ROW_MAX_IN];
    enum err err;
    struct value out[ROW_MAX_OUT];
};

#define NUMBERS(...) ((const double[]){__VA_ARGS__})
#define DIMS(n, ...)                        \
    {                                       \
        .rank = (n), .dim = { __VA_ARGS__ } \
    }
#define F32_OF(shape, ...)                     \
    {                                          \
        DTYPE_F32, shape, NUMBERS(__VA_ARGS__) \
    }
#define VECTOR(type, n, ...)                                  \
    {                                                         \
        (type), {.rank = 1, .dim = {n}}, NUMBERS(__VA_ARGS__) \
    }
#define INTS(n, ...) VECTOR(DTYPE_I64, n, __VA_ARGS__)
#define FLOATS(n, ...) VECTOR(DTYPE_F32, n, __VA_ARGS__)
#define SCALAR(type, v)                 \
    {                                   \
        (type), {.rank = 0}, NUMBERS(v) \
    }
#define ABSENT             \
    {                      \
        .type = DTYPE_NONE \
    }
#define UNKNOWN(type, n, ...)                             \
    {                                                     \
        (type), {.rank = (n), .dim = {__VA_ARGS__}}, NULL \
    }
#define A_INT(n, v)                             \
    {                                           \
        .name = (n), .kind = ATTR_INT, .i = (v) \
    }
#define A_FLOAT(n, v)                             \
    {                                             \
        .name = (n), .kind = ATTR_FLOAT, .f = (v) \
    }
#define A_TEXT(n, v)                                \
    {                                               \
        .name = (n), .kind = ATTR_TEXT, .text = (v) \
    }
#define A_INTS(n, c, ...)                                                                    \
    {                                                                                        \
        .name = (n), .kind = ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__}, .count = (c) \
    }
#define A_FLOATS(n, c, ...)                                                                    \
    {                                                                                          \
        .name = (n), .kind = ATTR_FLOATS, .floats = (const float[]){__VA_ARGS__}, .count = (c) \
    }

static inline void put(enum dtype type, void *data, int64_t i, double v)
{
    switch (type) {
    case DTYPE_F32: ((float *)data)[i] = (float)v; break;
    case DTYPE_F64: ((double *)data)[i] = v; break;
    case DTYPE_I64: ((int64_t *)data)[i] = v >= 0x1p63 ? INT64_MAX : (int64_t)v; break;
    case DTYPE_I32: ((int32_t *)data)[i] = (int32_t)v; break;
    case DTYPE_U8:
    case DTYPE_BOOL: ((uint8_t *)data)[i] = (uint8_t)v; break;
    case DTYPE_I8: ((int8_t *)data)[i] = (int8_t)v; break;
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
}

static inline double get(enum dtype type, const void *data, int64_t i)
{
    switch (type) {
    case DTYPE_F32: return (double)((const float *)data)[i];
    case DTYPE_F64: return ((const double *)data)[i];
    case DTYPE_I64: return (double)((const int64_t *)data)[i];
    case DTYPE_I32: return ((const int32_t *)data)[i];
    case DTYPE_U8:
    case DTYPE_BOOL: return ((const uint8_t *)data)[i];
    case DTYPE_I8: return ((const int8_t *)data)[i];
    case DTYPE_NONE:
    case DTYPE_COUNT: break;
    }
    return NAN;
}

/* The claims as the graph checks them. */
static inline enum err check_claims(const struct op_def *op, const struct op_call *call)
{
    const struct tensor *x = &call->in[0];

    if (call->n_in < op->min_in || call->n_in > op->max_in || call->n_out < op->min_out || call->n_out > op->max_out) {
        return ERR_UNSUPPORTED;
    }
    if (call->n_in > 0 &&
        ((op->types & DTYPE_BIT(x->type)) == 0 || x->shape.rank < op->min_rank || x->shape.rank > op->max_rank)) {
        return ERR_UNSUPPORTED;
    }
    return ERR_NONE;
}

static inline void compare(int row, const char *op, int i, const struct value *expected, const struct tensor *out)
{
    if (out->type != expected->type || !shape_equal(&out->shape, &expected->shape)) {
        char text[SHAPE_TEXT_BYTES];
        fail_msg("row %d, %s: output %d is %s %s", row, op, i, dtype_name(out->type), shape_text(&out->shape, text));
    }
    for (int64_t j = 0; j < shape_elements(&out->shape); j++) {
        double v = get(out->type, out->data, j);
        double e = expected->data[j];
        if (!(fabs(v - e) <= 1e-5 * (1 + fabs(e)) || (isnan(v) && isnan(e)) || v == e)) {
            fail_msg("row %d, %s: output %d [%lld] is %.9g, not %.9g", row, op, i, (long long)j, v, e);
        }
    }
}

static inline enum err call_forward(const struct op_row *row, int at, const struct op_def *op, struct op_call *call,
                                    struct arena *mem)
{
    uint8_t *blocks[ROW_MAX_OUT] = {NULL};

    for (int i = 0; i < call->n_out; i++) {
        size_t bytes = tensor_bytes(&call->out[i]);
        blocks[i] = arena_alloc(mem, bytes + 2 * ROW_GUARD, 1);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0xA5, bytes + 2 * ROW_GUARD);
        call->out[i].data = blocks[i] + ROW_GUARD;
    }
    call->work = arena_alloc(mem, call->work_bytes, 1);
    assert_non_null(call->work);
    mem_fail_at(0);
    enum err err = op->forward(call);
    mem_fail_at(-1);
    for (int i = 0; i < call->n_out; i++) {
        size_t bytes = tensor_bytes(&call->out[i]);
        for (int g = 0; g < ROW_GUARD; g++) {
            if (blocks[i][g] != 0xA5 || blocks[i][ROW_GUARD + bytes + (size_t)g] != 0xA5) {
                fail_msg("row %d, %s: forward wrote outside of output %d", at, row->op, i);
            }
        }
    }
    return err;
}

static inline enum err call_row(const struct op_row *row, int at, struct tensor *out, int n_out, struct arena *mem,
                                struct err_note *note)
{
    struct tensor in[ROW_MAX_IN] = {{0}};
    struct attrs attrs = {.list = row->attrs};
    const struct op_def *op = op_find("", row->op, row->opset);
    struct op_call call = {.opset = row->opset, .in = in, .out = out, .n_out = n_out};
    void *parsed = NULL;

    if (op == NULL) {
        return ERR_NOT_FOUND;
    }
    while (attrs.count < 5 && row->attrs[attrs.count].name != NULL) {
        attrs.count++;
    }
    for (int i = 0; i < ROW_MAX_IN; i++) {
        const struct value *v = &row->in[i];
        in[i].type = v->type;
        in[i].shape = v->shape;
        call.n_in = v->type != DTYPE_NONE ? i + 1 : call.n_in;
        if (v->data != NULL) {
            in[i].data = arena_alloc(mem, tensor_bytes(&in[i]), 1);
            assert_non_null(in[i].data);
            for (int64_t j = 0; j < shape_elements(&v->shape); j++) {
                put(v->type, in[i].data, j, v->data[j]);
            }
        }
    }
    enum err err = check_claims(op, &call);
    if (err != ERR_NONE) {
        return ERR_SAY(note, err, "outside of the claims");
    }
    err = op->parse != NULL ? op->parse(&attrs, row->opset, call.n_in, n_out, mem, &parsed, note) : ERR_NONE;
    call.parsed = parsed;
    err = err != ERR_NONE ? err : op->shape(&call, note);
    return err != ERR_NONE ? err : call_forward(row, at, op, &call, mem);
}

static inline void run_rows(const struct op_row *rows, size_t count)
{
    size_t live = mem_live_blocks();

    for (size_t i = 0; i < count; i++) {
        const struct op_row *row = &rows[i];
        struct arena *mem = arena_new((size_t)16 << 20);
        struct tensor out[ROW_MAX_OUT] = {{0}};
        struct err_note note = {0};
        int n_out = 1;
        while (n_out < ROW_MAX_OUT && row->out[n_out].type != DTYPE_NONE) {
            n_out++;
        }
        assert_non_null(mem);
        enum err err = call_row(row, (int)i, out, n_out, mem, &note);
        if (err != row->err) {
            fail_msg("row %zu, %s: %s (%s) instead of %s", i, row->op, err_word(err), note.text, err_word(row->err));
        }
        for (int o = 0; err == ERR_NONE && o < n_out; o++) {
            compare((int)i, row->op, o, &row->out[o], &out[o]);
        }
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), live);
}

#endif
