/* session.c: running a plan in one block of memory. */
#include "core/graph/session.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/node_call.h"
#include "core/graph/place.h"
#include "core/graph/plan.h"

#define DEFAULT_MEMORY_LIMIT ((size_t)2 << 30)

struct session {
    const struct graph *graph;
    struct plan_options options;
    struct plan plan;
    unsigned char *block; /* kept when a plan needs less */
    size_t block_bytes;
};

enum err session_new(const struct graph *graph, const struct session_options *options, struct session **ret)
{
    static const struct session_options standard = {0};

    assert(graph->state == GRAPH_SEALED);
    const struct session_options *given = options == NULL ? &standard : options;
    struct session *session = MEM_NEW(struct session);
    if (session == NULL) {
        return ERR_NOMEM;
    }
    session->graph = graph;
    session->options = (struct plan_options){
        .pool = given->pool,
        .memory_limit = given->memory_limit == 0 ? DEFAULT_MEMORY_LIMIT : given->memory_limit,
        .keep_all = given->keep_all,
        .blocked = graph->prepared,
    };
    enum err err = plan_init(&session->plan, &session->options);
    if (err != ERR_NONE) {
        mem_free(session);
        return err;
    }
    *ret = session;
    return ERR_NONE;
}

void session_free(struct session *session)
{
    if (session == NULL) {
        return;
    }
    plan_release(&session->plan);
    mem_free_wiped(session->block); /* activations of faces */
    mem_free(session);
}

/* ---- Inputs ------------------------------------------------------------------------------------------------------ */

static enum err check_input(const struct graph_io *declared, const struct tensor *input, struct err_note *note)
{
    char given[SHAPE_TEXT_BYTES];
    char wanted[SHAPE_TEXT_BYTES];
    int64_t count;

    if (input->type != declared->type) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' is %s, the graph takes %s", declared->name,
                       dtype_name(input->type), dtype_name(declared->type));
    }
    if (input->shape.rank < 0 || input->shape.rank > TENSOR_MAX_RANK || !shape_count(&input->shape, &count)) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' has no valid shape", declared->name);
    }
    if (input->data == NULL && count > 0) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' has no data", declared->name);
    }
    if (declared->shape.rank < 0) {
        return ERR_NONE;
    }
    if (input->shape.rank != declared->shape.rank) {
        return ERR_SAY(note, ERR_MISUSE, "input '%.60s' has %d dimensions, the graph takes %d", declared->name,
                       input->shape.rank, declared->shape.rank);
    }
    /* The first one is the batch, which exporters pin to the one they traced with. */
    for (int i = 1; i < input->shape.rank; i++) {
        if (declared->shape.dim[i] >= 0 && declared->shape.dim[i] != input->shape.dim[i]) {
            return ERR_SAY(note, ERR_FORMAT, "input '%.60s' is %s, the graph takes %s", declared->name,
                           shape_text(&input->shape, given), shape_text(&declared->shape, wanted));
        }
    }
    return ERR_NONE;
}

static enum err check_inputs(const struct graph *graph, const struct tensor *inputs, int n_inputs, int n_outputs,
                             struct err_note *note)
{
    if (n_inputs != graph->n_inputs || n_outputs != graph->n_outputs) {
        return ERR_SAY(note, ERR_MISUSE, "%d inputs and %d outputs are given, the graph has %d and %d", n_inputs,
                       n_outputs, graph->n_inputs, graph->n_outputs);
    }
    for (int i = 0; i < n_inputs; i++) {
        enum err err = check_input(&graph->inputs[i], &inputs[i], note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* A plan for these inputs, and a block that is large enough for it. */
static enum err prepare_run(struct session *session, const struct tensor *inputs, struct err_note *note)
{
    struct plan *plan = &session->plan;

    if (plan_fits(plan, session->graph, inputs)) {
        return ERR_NONE;
    }
    enum err err = plan_make(plan, session->graph, &session->options, inputs, note);
    if (err != ERR_NONE) {
        return err;
    }
    if (session->block == NULL || session->block_bytes < plan->block_bytes) {
        mem_free_wiped(session->block); /* first, so that the two are never there together */
        session->block_bytes = 0;
        session->block = mem_new(plan->block_bytes, 1);
        if (session->block == NULL) {
            plan->valid = false;
            return ERR_SAY(note, ERR_NOMEM, "no memory for %zu bytes of activations", plan->block_bytes);
        }
        session->block_bytes = plan->block_bytes;
    }
    plan_bind(plan, session->graph, session->block);
    return ERR_NONE;
}

/* Points the plan at this run's input data; an input that is an output at once is copied, since outputs are ours. */
static void set_inputs(struct plan *plan, const struct graph *graph, const struct tensor *inputs)
{
    for (int i = 0; i < plan->n_uses; i++) {
        plan->uses[i].where->data = inputs[plan->uses[i].input].data;
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        value_id id = graph->inputs[i].value;
        size_t bytes = tensor_bytes(&inputs[i]);
        if (plan->item_of[id] >= 0) {
            if (bytes > 0) {
                memcpy(plan->values[id].data, inputs[i].data, bytes);
            }
        } else if (plan->key[i].data == NULL) {
            plan->values[id].data = inputs[i].data;
        }
    }
}

enum err session_run(struct session *session, const struct tensor *inputs, int n_inputs, struct tensor *ret_outputs,
                     int n_outputs, struct err_note *note)
{
    const struct graph *graph = session->graph;
    struct plan *plan = &session->plan;

    enum err err = check_inputs(graph, inputs, n_inputs, n_outputs, note);
    if (err == ERR_NONE) {
        err = prepare_run(session, inputs, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    set_inputs(plan, graph, inputs);
    for (int i = 0; i < plan->n_steps; i++) {
        const struct plan_step *step = &plan->steps[i];
        err = step->node->is.op->forward(&step->call);
        if (err != ERR_NONE) {
            return node_failed(step->node, err, note);
        }
    }
    for (int i = 0; i < n_outputs; i++) {
        ret_outputs[i] = plan->values[graph->outputs[i].value];
    }
    return ERR_NONE;
}

const struct tensor *session_value(const struct session *session, value_id value)
{
    const struct plan *plan = &session->plan;

    assert(value >= 0 && value < session->graph->n_values);
    if (!plan->valid || plan->values[value].type == DTYPE_NONE) {
        return NULL;
    }
    return &plan->values[value];
}

size_t session_peak_bytes(const struct session *session)
{
    return session->plan.valid ? session->plan.block_bytes : 0;
}
