/* parameters.c: which constants of a graph are weights. */
#include "core/train/parameters.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"

#define ALIGN_FLOATS 16

static bool is_op(const struct graph_node *node, const char *name)
{
    return node->op->domain[0] == '\0' && strcmp(node->op->name, name) == 0;
}

/* What input k of the node is for; false if it is no parameter. */
static bool kind_of(const struct graph_node *node, int k, enum parameter_kind *ret)
{
    static const enum parameter_kind norm[] = {PARAMETER_SCALE, PARAMETER_SHIFT, PARAMETER_MEAN, PARAMETER_VARIANCE};

    if (node->op->kind == OP_BATCH_NORM && k >= 1 && k <= 4) {
        *ret = norm[k - 1];
        return true;
    }
    if (k == 1 && (node->op->kind == OP_CONV || node->op->kind == OP_GEMM || is_op(node, "MatMul"))) {
        *ret = PARAMETER_WEIGHT;
        return true;
    }
    if (k == 2 && (node->op->kind == OP_CONV || node->op->kind == OP_GEMM)) {
        *ret = PARAMETER_BIAS;
        return true;
    }
    if (k == 1 && node->op->kind == OP_PRELU) {
        *ret = PARAMETER_SLOPE;
        return true;
    }
    return false;
}

static bool is_statistic(enum parameter_kind kind)
{
    return kind == PARAMETER_MEAN || kind == PARAMETER_VARIANCE;
}

/* ---- Collecting ---------------------------------------------------------------------------------------------------- */

struct collecting {
    const struct graph *graph;
    struct parameters *parameters;
    int *number_of;    /* per value: its place in the list + 1, or 0 */
    bool *used_freely; /* per value: some node reads it for another purpose */
};

static enum err add(struct collecting *c, const struct graph_node *node, int k, enum parameter_kind kind,
                    struct err_note *note)
{
    struct parameters *p = c->parameters;
    value_id id = node->in[k];
    const char *name = graph_value_name(c->graph, id);
    const struct tensor *constant = graph_constant(c->graph, id);

    if (constant == NULL) {
        /* A product of two computed matrices has no weights; anything else has. */
        if (is_op(node, "MatMul")) {
            return ERR_NONE;
        }
        return ERR_SAY(note, ERR_UNSUPPORTED, "node '%.60s' (%.40s): its parameter '%.60s' is computed, not constant",
                       node->name, node->op->name, name);
    }
    if (constant->type != DTYPE_F32) {
        return ERR_SAY(note, ERR_UNSUPPORTED,
                       "node '%.60s' (%.40s): its parameter '%.60s' is %s; only float is trained", node->name,
                       node->op->name, name, dtype_name(constant->type));
    }
    if (c->number_of[id] != 0) {
        if (p->list[c->number_of[id] - 1].kind != kind || is_statistic(kind)) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "node '%.60s' (%.40s): its parameter '%.60s' is another node's too",
                           node->name, node->op->name, name);
        }
        return ERR_NONE;
    }
    p->list[p->count++] = (struct parameter){.name = name,
                                             .value = id,
                                             .kind = kind,
                                             .shape = constant->shape,
                                             .count = (size_t)shape_elements(&constant->shape)};
    c->number_of[id] = p->count;
    return ERR_NONE;
}

static enum err collect(struct collecting *c, struct err_note *note)
{
    for (int i = 0; i < graph_node_count(c->graph); i++) {
        const struct graph_node *node = graph_node(c->graph, i);
        for (int k = 0; k < node->n_in; k++) {
            enum parameter_kind kind = PARAMETER_WEIGHT;
            if (node->in[k] < 0) {
                continue;
            }
            if (!kind_of(node, k, &kind)) {
                c->used_freely[node->in[k]] = true;
                continue;
            }
            enum err err = add(c, node, k, kind, note);
            if (err != ERR_NONE) {
                return err;
            }
        }
    }
    for (int i = 0; i < c->parameters->count; i++) {
        const struct parameter *p = &c->parameters->list[i];
        if (c->used_freely[p->value]) {
            return ERR_SAY(note, ERR_UNSUPPORTED, "parameter '%.100s' is also read by a node that does not train it",
                           p->name);
        }
    }
    return ERR_NONE;
}

/* Statistics to the end, order kept, then offsets. */
static enum err lay_out(struct parameters *p, struct err_note *note)
{
    struct parameter *sorted = MEM_ARRAY(struct parameter, (size_t)p->count);
    int n = 0;
    size_t at = 0;

    if (sorted == NULL) {
        return ERR_NOMEM;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < p->count; i++) {
            if (is_statistic(p->list[i].kind) == (pass == 1)) {
                sorted[n++] = p->list[i];
            }
        }
    }
    mem_free(p->list);
    p->list = sorted;
    for (int i = 0; i < p->count; i++) {
        struct parameter *one = &p->list[i];
        one->offset = at;
        if (!size_add(at, one->count, &at) || !size_round_up(at, ALIGN_FLOATS, &at)) {
            return ERR_SAY(note, ERR_LIMIT, "the parameters do not fit in memory");
        }
        p->n_trainable = is_statistic(one->kind) ? p->n_trainable : at;
    }
    p->n_floats = at;
    return ERR_NONE;
}

static enum err make(struct collecting *c, struct err_note *note)
{
    struct parameters *p = c->parameters;
    size_t n_values = (size_t)graph_value_count(c->graph);

    c->number_of = MEM_ARRAY(int, n_values);
    c->used_freely = MEM_ARRAY(bool, n_values);
    p->list = MEM_ARRAY(struct parameter, n_values);
    if (c->number_of == NULL || c->used_freely == NULL || p->list == NULL) {
        return ERR_NOMEM;
    }
    enum err err = collect(c, note);
    err = err != ERR_NONE ? err : lay_out(p, note);
    if (err != ERR_NONE) {
        return err;
    }
    p->values = parameters_block(p);
    if (p->values == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu parameters", p->n_floats);
    }
    for (int i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        const struct tensor *constant = graph_constant(c->graph, one->value);
        if (one->count > 0) {
            memcpy(p->values + one->offset, constant->data, one->count * sizeof(float));
        }
    }
    return ERR_NONE;
}

enum err parameters_new(const struct graph *graph, struct parameters **ret, struct err_note *note)
{
    struct collecting c = {.graph = graph, .parameters = MEM_NEW(struct parameters)};

    if (c.parameters == NULL) {
        return ERR_NOMEM;
    }
    enum err err = make(&c, note);
    mem_free(c.number_of);
    mem_free(c.used_freely);
    if (err != ERR_NONE) {
        parameters_free(c.parameters);
        return err;
    }
    *ret = c.parameters;
    return ERR_NONE;
}

void parameters_free(struct parameters *parameters)
{
    if (parameters != NULL) {
        mem_free(parameters->values);
        mem_free(parameters->list);
        mem_free(parameters);
    }
}

const struct parameter *parameters_find(const struct parameters *parameters, value_id value)
{
    for (int i = 0; i < parameters->count; i++) {
        if (parameters->list[i].value == value) {
            return &parameters->list[i];
        }
    }
    return NULL;
}

float *parameters_block(const struct parameters *parameters)
{
    return MEM_ARRAY(float, parameters->n_floats);
}

void parameters_follow(struct parameters *parameters, const float *gradients, float momentum, int n_batches)
{
    for (int i = 0; i < parameters->count; i++) {
        const struct parameter *one = &parameters->list[i];
        for (size_t k = one->offset; is_statistic(one->kind) && k < one->offset + one->count; k++) {
            float seen = gradients[k] / (float)n_batches;
            parameters->values[k] += momentum * (seen - parameters->values[k]);
        }
    }
}
