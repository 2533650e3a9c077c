/*
 * plan.c: from input shapes to steps and memory.
 *
 * One walk over the nodes in running order infers every shape.  A node whose inputs are all known already (constants,
 * the shape of something, an input that decides shapes) is computed during that walk and never again; every other node
 * becomes a step.  So the Shape, Gather, Concat chains in front of a Reshape cost nothing at run time, however they are
 * built.
 *
 * Which inputs are needed as values is found by a walk backwards from the inputs that operators name in value_inputs.  An
 * input of the graph reached this way must be small, and its bytes are part of the key.  Shape ends such a chain: it needs
 * no data.
 *
 * Deliberately not here: reuse of a node's input memory for its output.  Operators are promised that nothing aliases, and
 * the activations that it would save are the element-wise ones, which pass_fuse_epilogue.c removes altogether.
 */
#include "core/graph/plan_private.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "core/graph/node_call.h"
#include "core/graph/place.h"

enum err plan_init(struct plan *plan, const struct plan_options *options)
{
    struct arena *mem = arena_new(options->memory_limit);

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    *plan = (struct plan){.mem = mem};
    return ERR_NONE;
}

void plan_release(struct plan *plan)
{
    arena_free(plan->mem);
    *plan = (struct plan){0};
}

/* ---- The key ----------------------------------------------------------------------------------------------------- */

bool plan_fits(const struct plan *plan, const struct graph *graph, const struct tensor *inputs)
{
    if (!plan->valid) {
        return false;
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct tensor *key = &plan->key[i];
        if (key->type != inputs[i].type || !shape_equal(&key->shape, &inputs[i].shape)) {
            return false;
        }
        size_t bytes = tensor_bytes(key);
        if (key->data != NULL && bytes > 0 && memcmp(key->data, inputs[i].data, bytes) != 0) {
            return false;
        }
    }
    return true;
}

/* Marks every value that is needed before running with a node that needs it. */
static void mark_needed(const struct node *node, const struct node **needed_by)
{
    const struct node *reason = NULL;

    for (int k = 0; k < node->is.n_out; k++) {
        if (node->out[k] >= 0 && needed_by[node->out[k]] != NULL) {
            reason = needed_by[node->out[k]];
        }
    }
    bool through = reason != NULL && node->is.op->kind != OP_SHAPE;
    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] < 0) {
            continue;
        }
        if (through) {
            needed_by[node->in[k]] = reason;
        } else if (k < 32 && (node->is.op->value_inputs >> k & 1U) != 0) {
            needed_by[node->in[k]] = node;
        }
    }
}

/* Per value, a node for whose sake it must be known before running, or NULL; NULL for all when mem is full. */
static const struct node **find_needed(const struct graph *graph, struct arena *mem)
{
    const struct node **needed_by = ARENA_ARRAY(mem, const struct node *, graph->n_values);

    if (needed_by == NULL) {
        return NULL;
    }
    /* Every reader of a value stands behind its producer, so one walk from the end sees all reasons in time. */
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        const struct node *node = graph->nodes[i];
        mark_needed(node, needed_by);
        for (int k = node->n_plain - 1; k >= 0; k--) {
            mark_needed(node->plain[k], needed_by);
        }
    }
    return needed_by;
}

/* Copies the inputs' types and shapes, and the data of those that decide shapes. */
static enum err make_key(struct plan *plan, const struct graph *graph, const struct tensor *inputs,
                         struct err_note *note)
{
    char text[NODE_TEXT_BYTES];
    const struct node **needed_by = find_needed(graph, plan->mem);

    if (needed_by == NULL) {
        return arena_why(plan->mem);
    }
    plan->key = ARENA_ARRAY(plan->mem, struct tensor, graph->n_inputs);
    if (plan->key == NULL) {
        return arena_why(plan->mem);
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        const struct graph_io *input = &graph->inputs[i];
        const struct node *reason = needed_by[input->value];
        plan->key[i] = inputs[i];
        plan->key[i].data = NULL;
        if (reason == NULL) {
            continue;
        }
        if (shape_elements(&inputs[i].shape) > PLAN_VALUE_ELEMENTS) {
            return ERR_SAY(note, ERR_UNSUPPORTED,
                           "%s: a shape here depends on the data of input '%.40s' with %" PRId64
                           " elements; at most %d may decide a shape",
                           node_text(reason, text), input->name, shape_elements(&inputs[i].shape), PLAN_VALUE_ELEMENTS);
        }
        size_t bytes = tensor_bytes(&inputs[i]);
        void *copy = arena_alloc(plan->mem, bytes, 1);
        if (copy == NULL) {
            return arena_why(plan->mem);
        }
        if (bytes > 0) {
            memcpy(copy, inputs[i].data, bytes);
        }
        plan->key[i].data = copy;
    }
    return ERR_NONE;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* Fills in with what is known of a node's inputs; says whether all of them are known. */
static bool gather_inputs(const struct plan *plan, const struct node *node, struct tensor *in)
{
    bool all = true;

    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] < 0) {
            in[k] = (struct tensor){.type = DTYPE_NONE};
        } else {
            in[k] = plan->values[node->in[k]];
            all = all && plan_is_known(&in[k]);
        }
    }
    return all;
}

void plan_add_step(struct making *making, const struct node *node, const struct op_call *call, struct tensor *in,
                   const int *in_at, const int *out_at)
{
    struct plan *plan = making->plan;
    int number = plan->n_steps++;

    plan->steps[number] =
        (struct plan_step){.node = node, .call = *call, .in = in, .in_at = in_at, .out_at = out_at, .work_item = -1};
    for (int k = 0; k < node->is.n_in; k++) {
        if (in_at[k] >= 0) {
            making->last[in_at[k]] = number;
        }
    }
    for (int k = 0; k < node->is.n_out; k++) {
        if (out_at[k] >= 0) {
            making->first[out_at[k]] = number;
            making->last[out_at[k]] = number;
        }
    }
}

/* Enters an output at its place; one in blocks leaves its shape at the value's own place too. */
static enum err enter_output(struct making *making, const struct node *node, int k, const struct tensor *out,
                             const int *out_at)
{
    struct plan *plan = making->plan;

    if (node->out[k] < 0) {
        return ERR_NONE;
    }
    plan->values[node->out[k]] = *out;
    if (out_at[k] == node->out[k]) {
        return ERR_NONE;
    }
    plan->values[out_at[k]] = *out;
    return making->options->keep_all ? plan_need_dense(making, node->out[k]) : ERR_NONE;
}

/* Infers a node's outputs, then computes it at once or makes it a step. */
static enum err plan_node(struct making *making, const struct node *node, struct err_note *note)
{
    struct plan *plan = making->plan;
    /* One place more than needed, so that a node without inputs has an array too. */
    struct tensor *in = ARENA_ARRAY(plan->mem, struct tensor, node->is.n_in + 1);
    struct tensor *out = ARENA_ARRAY(plan->mem, struct tensor, node->is.n_out + 1);
    int *at = ARENA_ARRAY(plan->mem, int, node->is.n_in + node->is.n_out + 1);

    if (in == NULL || out == NULL || at == NULL) {
        return arena_why(plan->mem);
    }
    int *out_at = at + node->is.n_in;
    memcpy(out_at, node->out, (size_t)node->is.n_out * sizeof *out_at);
    bool known = gather_inputs(plan, node, in) || node->is.op->kind == OP_SHAPE;
    struct op_call call = node_call(node, in, out, making->options->pool);
    call.learning = making->options->learning;
    call.training =
        !known && (node->is.op->kind == OP_BATCH_NORM ? making->options->batch_statistics : making->options->dropout);
    enum err err = node_shape(node, &call, making->options->memory_limit, note);
    if (err == ERR_NONE && known) {
        err = node_evaluate(node, &call, plan->mem, note);
    } else if (err == ERR_NONE) {
        err = plan_lay(making, node, &call, in, at, out_at, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (!known) {
        plan_add_step(making, node, &call, in, at, out_at);
    }
    for (int k = 0; err == ERR_NONE && k < node->is.n_out; k++) {
        err = enter_output(making, node, k, &out[k], out_at);
        if (known) {
            plan->known_bytes += tensor_bytes(&out[k]);
        }
    }
    return err;
}

/*
 * May a fused node run as one: has the residual exactly the shape and type that the product puts out, and runs a product
 * that does something to its input before in blocks?
 */
static enum err may_fuse(struct making *making, const struct node *node, bool *ret, struct err_note *note)
{
    const struct epilogue *epilogue = &node->is.epilogue;
    struct tensor in[OP_MAX_INPUTS];
    struct tensor out[OP_MAX_OUTPUTS];

    (void)gather_inputs(making->plan, node, in);
    struct op_call call = node_call(node, in, out, making->options->pool);
    enum err err = node_shape(node, &call, making->options->memory_limit, note);
    if (err != ERR_NONE) {
        return err;
    }
    *ret = true;
    if (epilogue->residual_input >= 0) {
        const struct tensor *residual = &in[epilogue->residual_input];
        *ret = residual->type == out[0].type && shape_equal(&residual->shape, &out[0].shape);
    }
    bool before = epilogue->scale_input > 0 || epilogue->before.parsed != NULL;
    *ret = *ret && (!before || plan_can_block(making, node, &call));
    return ERR_NONE;
}

static enum err plan_nodes(struct making *making, struct err_note *note)
{
    const struct graph *graph = making->graph;

    for (int i = 0; i < graph->n_nodes; i++) {
        const struct node *node = graph->nodes[i];
        bool fused = true;
        enum err err = ERR_NONE;
        const struct epilogue *epilogue = &node->is.epilogue;
        if (epilogue->residual_input >= 0 || epilogue->scale_input > 0 || epilogue->before.parsed != NULL) {
            err = may_fuse(making, node, &fused, note);
        }
        if (err == ERR_NONE && fused) {
            err = plan_node(making, node, note);
        }
        for (int k = 0; err == ERR_NONE && !fused && k < node->n_plain; k++) {
            err = plan_node(making, node->plain[k], note);
        }
        if (err != ERR_NONE) {
            return err;
        }
    }
    enum err err = ERR_NONE;
    for (int i = 0; err == ERR_NONE && i < graph->n_outputs; i++) {
        err = plan_need_dense(making, graph->outputs[i].value);
    }
    return err;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Returns its number. */
static int add_item(struct plan *plan, size_t bytes, int first, int last)
{
    plan->items[plan->n_items] = (struct place_item){.bytes = bytes, .first = first, .last = last};
    return plan->n_items++;
}

/* Whether a value has a place in the block: a step makes it, or it is an input that must be copied to be an output. */
static bool is_placed(const struct making *making, int at)
{
    return making->first[at] >= 0 && !plan_is_known(&making->plan->values[at]);
}

static size_t out_bytes(const struct plan_step *step, int k)
{
    const struct tensor *out = &step->call.out[k];

    return k == 0 && step->call.blocked_out ? tensor_blocked_bytes(out) : tensor_bytes(out);
}

/* Scratch, and behind it the outputs that nobody named: an operator may write all its outputs without asking. */
static enum err list_scratch(struct plan *plan, int number)
{
    struct plan_step *step = &plan->steps[number];
    size_t bytes;

    if (!size_round_up(step->call.work_bytes, PLACE_ALIGN, &bytes)) {
        return ERR_LIMIT;
    }
    for (int k = 0; k < step->call.n_out; k++) {
        size_t more;
        if (step->out_at[k] < 0 &&
            (!size_round_up(out_bytes(step, k), PLACE_ALIGN, &more) || !size_add(bytes, more, &bytes))) {
            return ERR_LIMIT;
        }
    }
    if (bytes > 0) {
        step->work_item = add_item(plan, bytes, number, number);
    }
    return ERR_NONE;
}

static enum err list_items(struct making *making)
{
    struct plan *plan = making->plan;
    const struct graph *graph = making->graph;
    int end = plan->n_steps;
    int n_places = 2 * graph->n_values;

    plan->items = ARENA_ARRAY(plan->mem, struct place_item, n_places + plan->n_steps + 1);
    plan->item_of = ARENA_ARRAY(plan->mem, int, n_places + 1);
    if (plan->items == NULL || plan->item_of == NULL) {
        return arena_why(plan->mem);
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        value_id id = graph->outputs[i].value;
        making->last[id] = end;
        if (graph->values[id].is_input) {
            making->first[id] = 0;
        }
    }
    for (int at = 0; at < n_places; at++) {
        plan->item_of[at] = -1;
        if (is_placed(making, at)) {
            size_t bytes =
                at < graph->n_values ? tensor_bytes(&plan->values[at]) : tensor_blocked_bytes(&plan->values[at]);
            plan->item_of[at] =
                add_item(plan, bytes, making->first[at], making->options->keep_all ? end : making->last[at]);
        }
    }
    enum err err = ERR_NONE;
    for (int i = 0; err == ERR_NONE && i < plan->n_steps; i++) {
        err = list_scratch(plan, i);
    }
    return err;
}

/* Lists the places where a step reads an input of the graph: its data changes with every run. */
static enum err list_uses(struct plan *plan, const struct graph *graph)
{
    int room = 0;

    for (int i = 0; i < plan->n_steps; i++) {
        room += plan->steps[i].call.n_in;
    }
    plan->uses = ARENA_ARRAY(plan->mem, struct plan_use, room + 1);
    int *input_of = ARENA_ARRAY(plan->mem, int, graph->n_values + 1);
    if (plan->uses == NULL || input_of == NULL) {
        return arena_why(plan->mem);
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        input_of[graph->inputs[i].value] = i + 1;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        struct plan_step *step = &plan->steps[i];
        for (int k = 0; k < step->call.n_in; k++) {
            int id = step->in_at[k];
            if (id >= 0 && id < graph->n_values && input_of[id] != 0 && !plan_is_known(&plan->values[id])) {
                plan->uses[plan->n_uses++] = (struct plan_use){.where = &step->in[k], .input = input_of[id] - 1};
            }
        }
    }
    return ERR_NONE;
}

static enum err place_values(struct making *making, struct err_note *note)
{
    struct plan *plan = making->plan;
    size_t limit = making->options->memory_limit;

    enum err err = list_items(making);
    if (err == ERR_NONE) {
        err = place_items(plan->items, plan->n_items, &plan->block_bytes);
    }
    if (err == ERR_NONE && plan->block_bytes > limit) {
        err = ERR_SAY(note, ERR_LIMIT, "running needs %zu bytes for activations and scratch, the limit is %zu",
                      plan->block_bytes, limit);
    }
    return err;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static enum err start_values(struct making *making)
{
    struct plan *plan = making->plan;
    const struct graph *graph = making->graph;
    int n_places = 2 * graph->n_values;
    int room_steps = n_places; /* each place may be made by a conversion */

    for (int i = 0; i < graph->n_nodes; i++) {
        room_steps += graph->nodes[i]->n_plain > 0 ? graph->nodes[i]->n_plain : 1;
    }
    plan->steps = ARENA_ARRAY(plan->mem, struct plan_step, room_steps + 1);
    plan->values = ARENA_ARRAY(plan->mem, struct tensor, n_places + 1);
    making->first = ARENA_ARRAY(plan->mem, int, n_places + 1);
    making->last = ARENA_ARRAY(plan->mem, int, n_places + 1);
    if (plan->steps == NULL || plan->values == NULL || making->first == NULL || making->last == NULL) {
        return arena_why(plan->mem);
    }
    for (int at = 0; at < n_places; at++) {
        making->first[at] = -1;
    }
    for (value_id id = 0; id < graph->n_values; id++) {
        if (graph->values[id].constant != NULL) {
            plan->values[id] = *graph->values[id].constant;
        }
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        plan->values[graph->inputs[i].value] = plan->key[i];
    }
    return ERR_NONE;
}

enum err plan_make(struct plan *plan, const struct graph *graph, const struct plan_options *options,
                   const struct tensor *inputs, struct err_note *note)
{
    struct making making = {.plan = plan, .graph = graph, .options = options};

    arena_reset(plan->mem);
    *plan = (struct plan){.mem = plan->mem};
    enum err err = make_key(plan, graph, inputs, note);
    if (err == ERR_NONE) {
        err = start_values(&making);
    }
    if (err == ERR_NONE) {
        err = plan_nodes(&making, note);
    }
    if (err == ERR_NONE) {
        err = list_uses(plan, graph);
    }
    if (err == ERR_NONE) {
        err = place_values(&making, note);
    }
    plan->valid = err == ERR_NONE;
    if (err == ERR_LIMIT) {
        return ERR_SAY(note, err, "planning needs more than the limit of %zu bytes", options->memory_limit);
    }
    return err;
}

static void bind_step(struct plan *plan, struct plan_step *step, unsigned char *block)
{
    unsigned char *work = step->work_item < 0 ? NULL : block + plan->items[step->work_item].offset;

    for (int k = 0; k < step->call.n_in; k++) {
        int item = step->in_at[k] < 0 ? -1 : plan->item_of[step->in_at[k]];
        if (item >= 0) {
            step->in[k].data = block + plan->items[item].offset;
        }
    }
    step->call.work = work;
    if (work != NULL) {
        work += (step->call.work_bytes + PLACE_ALIGN - 1) & ~(size_t)(PLACE_ALIGN - 1);
    }
    for (int k = 0; k < step->call.n_out; k++) {
        struct tensor *out = &step->call.out[k];
        if (step->out_at[k] >= 0) {
            out->data = block + plan->items[plan->item_of[step->out_at[k]]].offset;
        } else {
            out->data = work != NULL ? work : block;
            work = work == NULL ? NULL : work + ((out_bytes(step, k) + PLACE_ALIGN - 1) & ~(size_t)(PLACE_ALIGN - 1));
        }
    }
}

void plan_bind(struct plan *plan, const struct graph *graph, unsigned char *block)
{
    for (int i = 0; i < plan->n_steps; i++) {
        bind_step(plan, &plan->steps[i], block);
    }
    for (int at = 0; at < 2 * graph->n_values; at++) {
        if (plan->item_of[at] >= 0) {
            plan->values[at].data = block + plan->items[plan->item_of[at]].offset;
        }
    }
}
