/*
 * plan_block.c: which values of a plan lie in blocks of channels, and the steps that bring them from one form to the other.
 *
 * Each operator says whether it can run in blocks (op_def.block); the plan follows it.  Convolutions always can if there is
 * any gain in it, and what works element by element goes with what it is given; so a network of convolutions is in blocks
 * from its first layer to its last, and steps of conversion stand only at its ends and around operators that know dense
 * images only.  A value that both kinds of operators read is there twice.
 *
 * This is decided per plan and not per graph, because it depends on shapes, which are free in a graph: whether an addition
 * broadcasts, whether a layer has pixels enough.
 */
#include "core/graph/packing.h"
#include "core/graph/plan_private.h"
#include "core/kernel/block.h"

/* ---- Conversions as operators ------------------------------------------------------------------------------------- */

static int64_t pixels_of(const struct tensor *image)
{
    return image->shape.dim[2] * image->shape.dim[3];
}

static enum err to_blocks(const struct op_call *call)
{
    const struct tensor *in = &call->in[0];

    block_pack_f32(in->shape.dim[0], in->shape.dim[1], pixels_of(in), in->data, call->out[0].data);
    return ERR_NONE;
}

static enum err from_blocks(const struct op_call *call)
{
    const struct tensor *in = &call->in[0];

    block_unpack_f32(in->shape.dim[0], in->shape.dim[1], pixels_of(in), in->data, call->out[0].data);
    return ERR_NONE;
}

static const struct op_def to_blocks_op = {.name = "to blocks", .forward = to_blocks};
static const struct op_def from_blocks_op = {.name = "from blocks", .forward = from_blocks};

static const struct node to_blocks_node = {.is = {.op = &to_blocks_op, .name = "", .n_in = 1, .n_out = 1}};
static const struct node from_blocks_node = {.is = {.op = &from_blocks_op, .name = "", .n_in = 1, .n_out = 1}};

static enum err add_conversion(struct making *making, const struct node *node, int from, int to)
{
    struct plan *plan = making->plan;
    struct tensor *views = ARENA_ARRAY(plan->mem, struct tensor, 2);
    int *at = ARENA_ARRAY(plan->mem, int, 2);

    if (views == NULL || at == NULL) {
        return arena_why(plan->mem);
    }
    at[0] = from;
    at[1] = to;
    views[0] = plan->values[from];
    views[1] = views[0];
    views[1].data = NULL;
    plan->values[to] = views[1];
    struct op_call call = {.n_in = 1, .n_out = 1, .in = views, .out = &views[1], .pool = making->options->pool};
    plan_add_step(making, node, &call, views, &at[0], &at[1]);
    return ERR_NONE;
}

static bool is_made(const struct making *making, int at)
{
    return making->first[at] >= 0;
}

enum err plan_need_dense(struct making *making, value_id id)
{
    int blocked = plan_blocked(making->graph, id);

    if (is_made(making, id) || making->graph->values[id].is_input || plan_is_known(&making->plan->values[id])) {
        return ERR_NONE;
    }
    return add_conversion(making, &from_blocks_node, blocked, id);
}

static enum err need_blocked(struct making *making, value_id id)
{
    int blocked = plan_blocked(making->graph, id);

    return is_made(making, blocked) ? ERR_NONE : add_conversion(making, &to_blocks_node, id, blocked);
}

/* ---- Nodes -------------------------------------------------------------------------------------------------------- */

static bool has_dropped(const struct graph *graph, const struct node *node)
{
    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] >= 0 && graph->values[node->in[k]].dropped) {
            return true;
        }
    }
    return false;
}

/* Asks the operator; at its question, the call says which inputs are there in blocks. */
static bool ask(const struct making *making, const struct node *node, struct op_call *call, struct op_block *ret)
{
    size_t work_bytes = call->work_bytes;

    call->half_weights = packing_chosen().half;
    call->only_forms = has_dropped(making->graph, node) ? graph_packed_forms(making->graph, node) : 0;
    if (!making->options->blocked || node->is.op->block == NULL) {
        return false;
    }
    for (int k = 0; k < node->is.n_in && k < 32; k++) {
        bool there = node->in[k] >= 0 && is_made(making, plan_blocked(making->graph, node->in[k]));
        call->blocked_in |= (unsigned)there << (unsigned)k;
    }
    bool blocks = node->is.op->block(call, ret);
    if (!blocks) {
        call->work_bytes = work_bytes;
        *ret = (struct op_block){0};
    }
    call->blocked_in = ret->in;
    call->blocked_out = ret->out;
    return blocks;
}

bool plan_can_block(const struct making *making, const struct node *node, struct op_call *call)
{
    struct op_block way = {0};

    return ask(making, node, call, &way);
}

enum err plan_lay(struct making *making, const struct node *node, struct op_call *call, struct tensor *in, int *in_at,
                  int *out_at, struct err_note *note)
{
    struct plan *plan = making->plan;
    struct op_block way = {0};

    (void)ask(making, node, call, &way);
    if (has_dropped(making->graph, node) && (way.form == 0 || (call->only_forms >> (unsigned)way.form & 1U) == 0)) {
        char text[NODE_TEXT_BYTES];
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "%s: its weights were packed for other sizes, and are not kept as the file has them",
                       node_text(node, text));
    }
    for (int k = 0; k < node->is.n_in; k++) {
        value_id id = node->in[k];
        bool blocked = k < 32 && (way.in >> k & 1U) != 0;
        in_at[k] = id;
        if (id < 0) {
            continue;
        }
        enum err err = blocked ? need_blocked(making, id) : plan_need_dense(making, id);
        if (err != ERR_NONE) {
            return err;
        }
        in_at[k] = blocked ? plan_blocked(making->graph, id) : id;
        in[k] = plan->values[in_at[k]];
    }
    for (int k = 0; k < node->is.n_out; k++) {
        value_id id = node->out[k];
        out_at[k] = id;
        if (k == 0 && way.out && id >= 0) {
            out_at[k] = plan_blocked(making->graph, id);
        }
    }
    if (way.form != 0) {
        return graph_pack(making->graph, node, call, &way, &call->packed, note);
    }
    return ERR_NONE;
}
