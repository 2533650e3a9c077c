/*
 * op_private.h: what the operators of this folder share: checks of inputs, axes and broadcasting, with their sentences.
 *
 * The graph has checked the claims of struct op_def before it calls parse and shape: numbers of inputs and outputs, type
 * and rank of input 0, and that inputs below min_in are present.
 */
#ifndef CORE_OP_OP_PRIVATE_H
#define CORE_OP_OP_PRIVATE_H

#include <stdbool.h>

#include "core/graph/op.h"
#include "core/kernel/finish.h"
#include "core/kernel/strided.h"

/* The rows of one file, listed by op_list.c. */
struct op_rows {
    const struct op_def *list;
    int count;
};
#define OP_ROWS(rows)                                 \
    {                                                 \
        (rows), (int)(sizeof(rows) / sizeof(rows)[0]) \
    }

extern const struct op_rows op_rows_batch_norm, op_rows_binary, op_rows_byte, op_rows_cast, op_rows_channel_part,
    op_rows_constant, op_rows_conv, op_rows_gather, op_rows_gemm, op_rows_integer, op_rows_move, op_rows_pad,
    op_rows_pooling, op_rows_qlinear, op_rows_quantize, op_rows_reduce, op_rows_resize, op_rows_same_data,
    op_rows_softmax, op_rows_unary;

#define OP_LAST 21 /* the newest opset version that any claim reaches */

#define OP_F32 DTYPE_BIT(DTYPE_F32)
#define OP_INDEX (DTYPE_BIT(DTYPE_I64) | DTYPE_BIT(DTYPE_I32))
#define OP_NUMBER (OP_F32 | OP_INDEX)
#define OP_BYTE (DTYPE_BIT(DTYPE_U8) | DTYPE_BIT(DTYPE_I8))
#define OP_ANY (OP_NUMBER | OP_BYTE | DTYPE_BIT(DTYPE_F64) | DTYPE_BIT(DTYPE_BOOL))

static inline bool op_has(const struct op_call *call, int i)
{
    return i >= 0 && i < call->n_in && call->in[i].type != DTYPE_NONE;
}

/* Sets type and shape of output i.  Errors: ERR_LIMIT its bytes do not fit in an int64. */
MUST_CHECK enum err op_set(struct op_call *call, int i, enum dtype type, const struct shape *shape,
                           struct err_note *note);

/* Input i is one of these types.  Errors: ERR_UNSUPPORTED. */
MUST_CHECK enum err op_type(const struct op_call *call, int i, unsigned types, struct err_note *note);

/* -rank .. rank-1 → 0 .. rank-1.  Errors: ERR_FORMAT. */
MUST_CHECK enum err op_axis(int64_t axis, int rank, int *ret, struct err_note *note);

/* The same for a list without repetitions: ret[d] says whether axis d is named. */
MUST_CHECK enum err op_axes(const int64_t *axes, size_t count, int rank, bool ret[TENSOR_MAX_RANK],
                            struct err_note *note);

/*
 * The values of a vector (or scalar) input of int64 or int32 that is known before running, widened to int64.
 * Errors: ERR_UNSUPPORTED it is not known, or has more than max; ERR_FORMAT it is no vector.
 */
MUST_CHECK enum err op_ints(const struct op_call *call, int i, int64_t *ret, int max, int *ret_count,
                            struct err_note *note);

/* The shape that both stretch to.  Errors: ERR_FORMAT. */
MUST_CHECK enum err op_broadcast(const struct shape *a, const struct shape *b, struct shape *ret,
                                 struct err_note *note);

/* Input k of s walks a tensor of shape in as if it were stretched to out; sets s->rank and s->dim too. */
void op_stretch(struct strided *s, int k, const struct shape *in, const struct shape *out);

/* Product of the dimensions first .. end-1 of a checked shape. */
int64_t op_product(const struct shape *shape, int first, int end);

/* Scratch as a size; ERR_LIMIT if count × bytes overflows. */
MUST_CHECK enum err op_work(struct op_call *call, int64_t count, size_t bytes, struct err_note *note);

/* What was fused behind a product, in the kernels' words; bias_input may be absent (-1). */
struct finish op_finish(const struct op_call *call, int bias_input);

/*
 * op_def.block of operators that map each number by itself, and of those that join two inputs of one shape so: they go with
 * what is there in blocks already.  Their forward takes op_numbers, which counts the numbers that fill up a block too.
 */
bool op_block_one(struct op_call *call, struct op_block *ret);
bool op_block_two(struct op_call *call, struct op_block *ret);
static inline int64_t op_numbers(const struct op_call *call)
{
    const struct tensor *out = &call->out[0];

    return (int64_t)((call->blocked_out ? tensor_blocked_bytes(out) : tensor_bytes(out)) / dtype_bytes(out->type));
}

/* Copies the data of input 0 to output 0: for operators that change the shape only. */
enum err op_copy(const struct op_call *call);

/* Their backward: adds the gradient of output 0 to that of input 0. */
enum err op_copy_backward(const struct op_call *call, const struct tensor *out_grad, struct tensor *in_grad);

#endif
