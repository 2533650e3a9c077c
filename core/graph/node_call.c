/* node_call.c: calling an operator with every check around it. */
#include "core/graph/node_call.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"

struct op_call node_call(const struct node *node, const struct tensor *in, struct tensor *out, struct pool *pool)
{
    memset(out, 0, (size_t)node->is.n_out * sizeof *out);
    return (struct op_call){
        .parsed = node->is.parsed,
        .opset = node->is.opset,
        .epilogue = node->is.epilogue,
        .n_in = node->is.n_in,
        .n_out = node->is.n_out,
        .in = in,
        .out = out,
        .pool = pool,
    };
}

static enum err check_claims(const struct node *node, const struct op_call *call, struct err_note *note)
{
    const struct op_def *op = node->is.op;

    if (call->n_in > 0 && call->in[0].type != DTYPE_NONE) {
        if ((op->types & DTYPE_BIT(call->in[0].type)) == 0) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "its input is of type %s, which is not supported here",
                           dtype_name(call->in[0].type));
        }
        int rank = call->in[0].shape.rank;
        if (rank < op->min_rank || rank > op->max_rank) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "its input has %d dimensions, where %d to %d are supported", rank,
                           op->min_rank, op->max_rank);
        }
    }
    for (int i = 0; i < call->n_in && i < 32; i++) {
        if ((op->value_inputs >> i & 1U) != 0 && call->in[i].type != DTYPE_NONE && call->in[i].data == NULL) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "input %d must be known before running, but depends on data", i);
        }
    }
    return ERR_NONE;
}

/* An operator's rule is ours, but its results come from sizes that a file or a caller chose. */
static enum err check_results(const struct op_call *call, size_t limit_bytes, struct err_note *note)
{
    char text[SHAPE_TEXT_BYTES];

    for (int i = 0; i < call->n_out; i++) {
        const struct tensor *out = &call->out[i];
        int64_t count = 0;
        size_t bytes;
        if (!shape_count(&out->shape, &count) || !size_mul((size_t)count, dtype_bytes(out->type), &bytes) ||
            bytes > limit_bytes) {
            return ERR_SAY(note, ERR_LIMIT, "its output of shape %s is larger than the limit of %zu bytes",
                           shape_text(&out->shape, text), limit_bytes);
        }
    }
    if (call->work_bytes > limit_bytes) {
        return ERR_SAY(note, ERR_LIMIT, "needs %zu bytes to work in, the limit is %zu", call->work_bytes, limit_bytes);
    }
    return ERR_NONE;
}

enum err node_shape(const struct node *node, struct op_call *call, size_t limit_bytes, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];

    enum err err = check_claims(node, call, note);
    if (err == ERR_NONE) {
        err = node->is.op->shape(call, note);
    }
    if (err == ERR_NONE) {
        err = check_results(call, limit_bytes, note);
    }
    if (err != ERR_NONE) {
        (void)ERR_SAY(note, err, "its inputs do not fit (%s)", err_word(err));
        err_prefix(note, "%s: ", node_text(node, text));
    }
    return err;
}

enum err node_evaluate(const struct node *node, struct op_call *call, struct arena *mem, struct err_note *note)
{
    for (int i = 0; i < call->n_out; i++) {
        call->out[i].data = arena_alloc(mem, tensor_bytes(&call->out[i]), 1);
        if (call->out[i].data == NULL) {
            return node_failed(node, arena_why(mem), note);
        }
    }
    void *work = mem_new(call->work_bytes, 1);
    if (work == NULL) {
        return node_failed(node, ERR_NOMEM, note);
    }
    call->work = work;
    enum err err = node->is.op->forward(call);
    call->work = NULL;
    mem_free(work);
    return err == ERR_NONE ? ERR_NONE : node_failed(node, err, note);
}

enum err node_failed(const struct node *node, enum err err, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];

    return ERR_SAY(note, err, "%s: its data cannot be computed (%s)", node_text(node, text), err_word(err));
}
