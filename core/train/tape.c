/*
 * tape.c: one plan over both ways.
 *
 * core/graph/plan.h gives the steps for an input's shape.  Time runs through them forward, 0 .. n-1, and back, 2n .. n+1
 * (step i comes back at 2n − i); at n the caller computes the loss.  Every value, gradient and scratch is a piece that is
 * needed from one moment to another, and place.h lays all of them into one block.
 *
 * Gradients flow where a value depends on something to be learnt and the output depends on the value; elsewhere nothing is
 * computed or kept, so frozen lower layers cost their forward only.
 */
#include "core/train/tape.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/base/size.h"
#include "core/graph/node_call.h"
#include "core/graph/place.h"
#include "core/graph/plan.h"
#include "core/op/op_batch_norm.h"

#define DEFAULT_MEMORY_LIMIT ((size_t)8 << 30)

/* What a step has beside its call; the arrays are as long as the node's outputs and inputs. */
struct tape_step {
    bool active; /* a gradient goes back through it */
    struct op_call back;
    struct tensor *out_grad;
    struct tensor *in_grad;
    int *out_item;
    int saved_item, work_item, back_item;    /* pieces, -1: none */
    const struct parameter *mean, *variance; /* BatchNormalization with the batch's statistics */
};

/* A gradient that goes to the caller's block. */
struct parameter_use {
    struct tensor *where;
    size_t offset;
};

/* A gradient's memory, cleared when the first step adds to it. */
struct clearing {
    int time;
    value_id value;
};

struct tape {
    const struct graph *graph;
    const struct parameters *parameters;
    struct tape_options options;
    struct plan_options plan_options;
    struct plan plan;
    unsigned char *block;
    size_t block_bytes; /* allocated; the plan may need less */
    bool laid_out;
    bool forward_done;

    struct arena *mem; /* everything below; new with every plan */
    struct tape_step *steps;
    struct place_item *items;
    int n_items;
    size_t peak_bytes;
    int *made_by; /* per value: the step that makes it, -1 */
    bool *needs;  /* per value: depends on what is to be learnt */
    bool *flows;  /* per value: and the output depends on it; it has a gradient */
    int *grad_item;
    const struct parameter **parameter_of; /* per value, or NULL */
    struct parameter_use *uses;
    int n_uses;
    struct tensor **input_uses;
    int n_input_uses;
    struct clearing *clearings; /* rising times */
    int n_clearings;
    int *norms; /* steps: BatchNormalizations through which the input's gradient goes */
    int n_norms;
};

enum err tape_new(const struct graph *graph, const struct parameters *parameters, const struct tape_options *options,
                  struct tape **ret, struct err_note *note)
{
    assert(graph->state == GRAPH_SEALED);
    if (graph->n_inputs != 1 || graph->n_outputs != 1 || graph->values[graph->outputs[0].value].producer < 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "only a graph from one input to one output is trained, this has %d and %d", graph->n_inputs,
                       graph->n_outputs);
    }
    struct tape *tape = MEM_NEW(struct tape);
    if (tape == NULL) {
        return ERR_NOMEM;
    }
    tape->graph = graph;
    tape->parameters = parameters;
    tape->options = *options;
    tape->plan_options = (struct plan_options){
        .memory_limit = options->memory_limit == 0 ? DEFAULT_MEMORY_LIMIT : options->memory_limit,
        .learning = true,
        .batch_statistics = options->batch_statistics,
        .dropout = options->dropout,
    };
    tape->mem = arena_new(tape->plan_options.memory_limit);
    enum err err = tape->mem == NULL ? ERR_NOMEM : plan_init(&tape->plan, &tape->plan_options);
    if (err != ERR_NONE) {
        arena_free(tape->mem);
        mem_free(tape);
        return err;
    }
    *ret = tape;
    return ERR_NONE;
}

void tape_free(struct tape *tape)
{
    if (tape == NULL) {
        return;
    }
    plan_release(&tape->plan);
    arena_free(tape->mem);
    mem_free_wiped(tape->block); /* activations of faces */
    mem_free(tape);
}

/* ---- Where gradients flow ------------------------------------------------------------------------------------------ */

static int time_back(const struct tape *tape, int step)
{
    return 2 * tape->plan.n_steps - step;
}

/* The k-th input of a step, if it is a value that has a gradient; else -1. */
static value_id flowing_input(const struct tape *tape, int step, int k)
{
    value_id id = tape->plan.steps[step].node->in[k];

    return id >= 0 && tape->needs[id] ? id : -1;
}

/* Marks what depends on something to be learnt, and who makes what. */
static void mark_needs(struct tape *tape)
{
    const struct graph *graph = tape->graph;

    for (int i = 0; i < tape->parameters->count; i++) {
        const struct parameter *p = &tape->parameters->list[i];
        tape->parameter_of[p->value] = p;
        tape->needs[p->value] = !p->frozen && p->kind != PARAMETER_MEAN && p->kind != PARAMETER_VARIANCE;
    }
    tape->needs[graph->inputs[0].value] = tape->options.input_gradient;
    for (value_id id = 0; id < graph->n_values; id++) {
        tape->made_by[id] = -1;
        tape->grad_item[id] = -1;
    }
    for (int i = 0; i < tape->plan.n_steps; i++) {
        const struct node *node = tape->plan.steps[i].node;
        bool any = false;
        for (int k = 0; k < node->is.n_in; k++) {
            any = any || flowing_input(tape, i, k) >= 0;
        }
        for (int k = 0; k < node->is.n_out; k++) {
            if (node->out[k] >= 0) {
                tape->made_by[node->out[k]] = i;
                tape->needs[node->out[k]] = any;
            }
        }
    }
}

static enum err check_active(const struct plan_step *step, struct err_note *note)
{
    char text[NODE_TEXT_BYTES];
    const struct graph_node *is = &step->node->is;

    if (step->node->n_plain > 0 || is->epilogue.act != EPILOGUE_NONE || is->epilogue.residual_input >= 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s is fused for inference: load the graph as written to train it",
                       node_text(step->node, text));
    }
    if (is->op->backward == NULL || step->call.out[0].type != DTYPE_F32 || is->n_out != 1) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "%s: gradients through this operator are not supported",
                       node_text(step->node, text));
    }
    return ERR_NONE;
}

/* From the output back: which steps a gradient goes through. */
static enum err mark_flows(struct tape *tape, struct err_note *note)
{
    value_id output = tape->graph->outputs[0].value;

    if (!tape->needs[output] || tape->made_by[output] < 0) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "nothing here is to be learnt: the output depends on no free parameter");
    }
    tape->flows[output] = true;
    for (int i = tape->plan.n_steps - 1; i >= 0; i--) {
        const struct plan_step *step = &tape->plan.steps[i];
        bool active = false;
        for (int k = 0; k < step->call.n_out; k++) {
            active = active || (step->node->out[k] >= 0 && tape->flows[step->node->out[k]]);
        }
        if (!active) {
            continue;
        }
        enum err err = check_active(step, note);
        if (err != ERR_NONE) {
            return err;
        }
        tape->steps[i].active = true;
        for (int k = 0; k < step->call.n_in; k++) {
            value_id id = flowing_input(tape, i, k);
            if (id >= 0) {
                tape->flows[id] = true;
            }
        }
    }
    return ERR_NONE;
}

/* ---- Memory -------------------------------------------------------------------------------------------------------- */

static int add_item(struct tape *tape, size_t bytes, int first, int last)
{
    tape->items[tape->n_items] = (struct place_item){.bytes = bytes, .first = first, .last = last};
    return tape->n_items++;
}

/* A value that some step makes: its piece. */
static struct place_item *item_of(const struct tape *tape, value_id id)
{
    int step = id < 0 ? -1 : tape->made_by[id];

    for (int k = 0; step >= 0 && k < tape->plan.steps[step].call.n_out; k++) {
        if (tape->plan.steps[step].node->out[k] == id) {
            return &tape->items[tape->steps[step].out_item[k]];
        }
    }
    return NULL;
}

static void need_until(struct place_item *item, int time)
{
    if (item != NULL && item->last < time) {
        item->last = time;
    }
}

static void list_step(struct tape *tape, int i)
{
    const struct plan_step *from = &tape->plan.steps[i];
    const struct op_call *call = &from->call;
    const struct op_def *op = from->node->is.op;
    struct tape_step *step = &tape->steps[i];
    int back = time_back(tape, i);

    for (int k = 0; k < call->n_out; k++) {
        bool read = step->active && (op->backward_out >> k & 1U) != 0;
        step->out_item[k] = add_item(tape, tensor_bytes(&call->out[k]), i, read ? back : i);
    }
    for (int k = 0; k < call->n_in; k++) {
        bool read = step->active && k < 32 && (op->backward_in >> k & 1U) != 0;
        need_until(item_of(tape, from->node->in[k]), read ? back : i);
    }
    step->work_item = call->work_bytes > 0 ? add_item(tape, call->work_bytes, i, i) : -1;
    /* To the very end, for what BatchNormalization has seen. */
    step->saved_item =
        call->training && call->saved_bytes > 0 ? add_item(tape, call->saved_bytes, i, 2 * tape->plan.n_steps) : -1;
    step->back_item = step->active && call->backward_bytes > 0 ? add_item(tape, call->backward_bytes, back, back) : -1;
    if (op->kind == OP_BATCH_NORM && call->training) {
        step->mean = tape->parameter_of[from->node->in[3]];
        step->variance = tape->parameter_of[from->node->in[4]];
    }
}

/* Gradients live from the first step back that adds to them until their value's own step has used them. */
static void list_gradients(struct tape *tape)
{
    const struct plan *plan = &tape->plan;
    value_id output = tape->graph->outputs[0].value;

    tape->grad_item[output] =
        add_item(tape, tensor_bytes(&plan->values[output]), plan->n_steps, time_back(tape, tape->made_by[output]));
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        for (int k = 0; tape->steps[i].active && k < plan->steps[i].call.n_in; k++) {
            value_id id = flowing_input(tape, i, k);
            if (id < 0 || tape->made_by[id] < 0 || tape->grad_item[id] >= 0) {
                continue;
            }
            tape->grad_item[id] =
                add_item(tape, tensor_bytes(&plan->values[id]), time_back(tape, i), time_back(tape, tape->made_by[id]));
            tape->clearings[tape->n_clearings++] = (struct clearing){.time = time_back(tape, i), .value = id};
        }
    }
}

static enum err place(struct tape *tape, struct err_note *note)
{
    const struct plan *plan = &tape->plan;
    size_t limit = tape->plan_options.memory_limit;

    for (int i = 0; i < plan->n_steps; i++) {
        list_step(tape, i);
    }
    need_until(item_of(tape, tape->graph->outputs[0].value), 2 * plan->n_steps);
    list_gradients(tape);
    enum err err = place_items(tape->items, tape->n_items, &tape->peak_bytes);
    if (err == ERR_LIMIT || (err == ERR_NONE && tape->peak_bytes > limit)) {
        return ERR_SAY(note, ERR_LIMIT, "training needs %zu bytes for activations and gradients, the limit is %zu",
                       tape->peak_bytes, limit);
    }
    return err;
}

/* ---- Binding ------------------------------------------------------------------------------------------------------- */

static void *at_item(const struct tape *tape, int item)
{
    return item < 0 ? NULL : tape->block + tape->items[item].offset;
}

static void bind_step(struct tape *tape, int i)
{
    struct plan_step *from = &tape->plan.steps[i];
    struct tape_step *step = &tape->steps[i];

    for (int k = 0; k < from->call.n_in; k++) {
        value_id id = from->node->in[k];
        const struct place_item *item = item_of(tape, id);
        const struct parameter *parameter = id < 0 ? NULL : tape->parameter_of[id];
        if (item != NULL) {
            from->in[k].data = tape->block + item->offset;
        } else if (parameter != NULL) {
            from->in[k].data = tape->parameters->values + parameter->offset;
        }
        step->in_grad[k] = from->in[k];
        step->in_grad[k].data = NULL;
        if (!step->active || flowing_input(tape, i, k) < 0) {
            continue;
        }
        step->in_grad[k].data = at_item(tape, tape->grad_item[id]);
        if (parameter != NULL) {
            tape->uses[tape->n_uses++] = (struct parameter_use){&step->in_grad[k], parameter->offset};
        } else if (item == NULL) {
            tape->input_uses[tape->n_input_uses++] = &step->in_grad[k];
        }
    }
    for (int k = 0; k < from->call.n_out; k++) {
        value_id id = from->node->out[k];
        from->call.out[k].data = at_item(tape, step->out_item[k]);
        step->out_grad[k] = from->call.out[k];
        step->out_grad[k].data = id < 0 ? NULL : at_item(tape, tape->grad_item[id]);
    }
    from->call.work = at_item(tape, step->work_item);
    from->call.saved = at_item(tape, step->saved_item);
    step->back = from->call;
    step->back.work = at_item(tape, step->back_item);
    if (from->node->is.op->kind == OP_BATCH_NORM && step->active && flowing_input(tape, i, 0) >= 0) {
        tape->norms[tape->n_norms++] = i;
    }
}

/* Arrays for this plan; every count is known. */
static enum err carve(struct tape *tape)
{
    const struct plan *plan = &tape->plan;
    int n_values = tape->graph->n_values;
    int n_in = 0;
    int n_out = 0;
    bool full = false;

    for (int i = 0; i < plan->n_steps; i++) {
        n_in += plan->steps[i].call.n_in;
        n_out += plan->steps[i].call.n_out;
    }
    tape->steps = ARENA_ARRAY(tape->mem, struct tape_step, plan->n_steps + 1);
    tape->items = ARENA_ARRAY(tape->mem, struct place_item, 3 * plan->n_steps + n_out + n_values + 1);
    tape->made_by = ARENA_ARRAY(tape->mem, int, n_values);
    tape->grad_item = ARENA_ARRAY(tape->mem, int, n_values);
    tape->needs = ARENA_ARRAY(tape->mem, bool, n_values);
    tape->flows = ARENA_ARRAY(tape->mem, bool, n_values);
    tape->parameter_of = ARENA_ARRAY(tape->mem, const struct parameter *, n_values);
    tape->uses = ARENA_ARRAY(tape->mem, struct parameter_use, n_in + 1);
    tape->input_uses = ARENA_ARRAY(tape->mem, struct tensor *, n_in + 1);
    tape->clearings = ARENA_ARRAY(tape->mem, struct clearing, n_values);
    tape->norms = ARENA_ARRAY(tape->mem, int, plan->n_steps + 1);
    full = tape->steps == NULL || tape->items == NULL || tape->made_by == NULL || tape->grad_item == NULL ||
           tape->needs == NULL || tape->flows == NULL || tape->parameter_of == NULL || tape->uses == NULL ||
           tape->input_uses == NULL || tape->clearings == NULL || tape->norms == NULL;
    for (int i = 0; !full && i < plan->n_steps; i++) {
        struct tape_step *step = &tape->steps[i];
        step->in_grad = ARENA_ARRAY(tape->mem, struct tensor, plan->steps[i].call.n_in + 1);
        step->out_grad = ARENA_ARRAY(tape->mem, struct tensor, plan->steps[i].call.n_out + 1);
        step->out_item = ARENA_ARRAY(tape->mem, int, plan->steps[i].call.n_out + 1);
        full = step->in_grad == NULL || step->out_grad == NULL || step->out_item == NULL;
    }
    return full ? arena_why(tape->mem) : ERR_NONE;
}

/* A plan for this input, both ways, and a block that holds it. */
static enum err lay_out(struct tape *tape, const struct tensor *input, struct err_note *note)
{
    tape->laid_out = false;
    enum err err = plan_make(&tape->plan, tape->graph, &tape->plan_options, input, note);
    if (err != ERR_NONE) {
        return err;
    }
    arena_reset(tape->mem);
    tape->n_items = 0;
    tape->n_uses = 0;
    tape->n_input_uses = 0;
    tape->n_clearings = 0;
    tape->n_norms = 0;
    err = carve(tape);
    if (err == ERR_NONE) {
        mark_needs(tape);
        err = mark_flows(tape, note);
    }
    err = err != ERR_NONE ? err : place(tape, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (tape->block == NULL || tape->block_bytes < tape->peak_bytes) {
        mem_free_wiped(tape->block); /* first, so that the two are never there together */
        tape->block_bytes = 0;
        tape->block = mem_new_huge(tape->peak_bytes, 1);
        if (tape->block == NULL) {
            return ERR_SAY(note, ERR_NOMEM, "no memory for %zu bytes of activations and gradients", tape->peak_bytes);
        }
        tape->block_bytes = tape->peak_bytes;
    }
    for (int i = 0; i < tape->plan.n_steps; i++) {
        bind_step(tape, i);
    }
    tape->laid_out = true;
    return ERR_NONE;
}

/* ---- Running ------------------------------------------------------------------------------------------------------- */

static enum err check_input(const struct tape *tape, const struct tensor *input, struct err_note *note)
{
    const struct graph_io *declared = &tape->graph->inputs[0];
    int64_t count = 0;

    if (input->type != DTYPE_F32 || input->data == NULL || input->shape.rank < 0 ||
        input->shape.rank > TENSOR_MAX_RANK || !shape_count(&input->shape, &count)) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' is no tensor of floats", declared->name);
    }
    if (declared->shape.rank >= 0 && declared->shape.rank != input->shape.rank) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' has %d dimensions, the graph takes %d", declared->name,
                       input->shape.rank, declared->shape.rank);
    }
    return ERR_NONE;
}

enum err tape_forward(struct tape *tape, const struct tensor *input, uint64_t seed, struct tensor *ret_output,
                      struct err_note *note)
{
    struct plan *plan = &tape->plan;
    enum err err = check_input(tape, input, note);

    tape->forward_done = false;
    if (err == ERR_NONE && !(tape->laid_out && plan_fits(plan, tape->graph, input))) {
        err = lay_out(tape, input, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < plan->n_uses; i++) {
        plan->uses[i].where->data = input->data;
    }
    for (int i = 0; i < plan->n_steps; i++) {
        struct plan_step *step = &plan->steps[i];
        struct random random = random_seeded(seed, (uint64_t)i);
        step->call.seed = random_u64(&random);
        tape->steps[i].back.seed = step->call.seed;
        err = step->node->is.op->forward(&step->call);
        if (err != ERR_NONE) {
            return node_failed(step->node, err, note);
        }
    }
    value_id output = tape->graph->outputs[0].value;
    *ret_output = plan->values[output];
    ret_output->data = tape->block + item_of(tape, output)->offset;
    tape->forward_done = true;
    return ERR_NONE;
}

/* Adds what each BatchNormalization has seen to the places of its running statistics. */
static void add_statistics(const struct tape *tape, float *gradients)
{
    for (int i = 0; i < tape->plan.n_steps; i++) {
        const struct tape_step *step = &tape->steps[i];
        if (step->mean == NULL || step->variance == NULL) {
            continue;
        }
        const float *mean = NULL;
        const float *variance = NULL;
        batch_norm_seen(&tape->plan.steps[i].call, &mean, &variance);
        for (size_t k = 0; k < step->mean->count; k++) {
            gradients[step->mean->offset + k] += mean[k];
            gradients[step->variance->offset + k] += variance[k];
        }
    }
}

int tape_norm_count(const struct tape *tape)
{
    return tape->laid_out ? tape->n_norms : 0;
}

struct tape_norm tape_norm(const struct tape *tape, int i)
{
    const struct op_call *call = &tape->plan.steps[tape->norms[i]].call;
    const struct shape *x = &call->in[0].shape;
    struct tape_norm norm = {.n = x->dim[0],
                             .channels = x->dim[1],
                             .pixels = 1,
                             .x = call->in[0].data,
                             .mean = call->in[3].data,
                             .variance = call->in[4].data,
                             .epsilon = batch_norm_epsilon(call)};

    for (int k = 2; k < x->rank; k++) {
        norm.pixels *= x->dim[k];
    }
    return norm;
}

/* After a step back: if it was the next of the norms, whoever wants to adds to the gradient of what entered it. */
static void add_to_norm(const struct tape *tape, int step, int *left)
{
    if (*left == 0 || tape->norms[*left - 1] != step) {
        return;
    }
    (*left)--;
    if (tape->options.norm_gradient != NULL && tape->steps[step].in_grad[0].data != NULL) {
        struct tape_norm is = tape_norm(tape, *left);
        tape->options.norm_gradient(tape->options.norm_context, *left, &is, tape->steps[step].in_grad[0].data);
    }
}

enum err tape_backward(struct tape *tape, const float *out_grad, float *gradients, float *input_grad,
                       struct err_note *note)
{
    const struct plan *plan = &tape->plan;
    value_id output = tape->graph->outputs[0].value;
    int cleared = 0;
    int norms_left = tape->n_norms;

    if (!tape->forward_done) {
        return ERR_SAY(note, ERR_MISUSE, "there is no forward to go back from");
    }
    if (input_grad != NULL && !tape->options.input_gradient) {
        return ERR_SAY(note, ERR_MISUSE, "the tape was not made for the gradient of its input");
    }
    tape->forward_done = false;
    for (int i = 0; i < tape->n_uses; i++) {
        tape->uses[i].where->data = gradients + tape->uses[i].offset;
    }
    for (int i = 0; i < tape->n_input_uses; i++) {
        tape->input_uses[i]->data = input_grad;
    }
    size_t bytes = tensor_bytes(&plan->values[output]);
    if (bytes > 0) {
        memcpy(at_item(tape, tape->grad_item[output]), out_grad, bytes);
    }
    for (int i = plan->n_steps - 1; i >= 0; i--) {
        struct tape_step *step = &tape->steps[i];
        if (!step->active) {
            continue;
        }
        for (; cleared < tape->n_clearings && tape->clearings[cleared].time == time_back(tape, i); cleared++) {
            value_id id = tape->clearings[cleared].value;
            memset(at_item(tape, tape->grad_item[id]), 0, tensor_bytes(&plan->values[id]));
        }
        enum err err = plan->steps[i].node->is.op->backward(&step->back, step->out_grad, step->in_grad);
        if (err != ERR_NONE) {
            return node_failed(plan->steps[i].node, err, note);
        }
        add_to_norm(tape, i, &norms_left);
    }
    add_statistics(tape, gradients);
    return ERR_NONE;
}

size_t tape_peak_bytes(const struct tape *tape)
{
    return tape->laid_out ? tape->peak_bytes : 0;
}
