/* graph.c: building a graph and reading it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/graph/graph_private.h"

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/*
 * The arena rounds every piece up to 64 bytes, which suits tensors.  Names and lists of ids are often shorter than ten
 * bytes, and a hostile file can hold a million of them: they are packed into slabs instead.
 */
#define SLAB_BYTES 4096
#define SMALL_BYTES 512
#define SMALL_ALIGN 16

void *graph_carve(struct graph *graph, size_t count, size_t size)
{
    if (size > SMALL_BYTES || count > SMALL_BYTES / (size == 0 ? 1 : size)) {
        return arena_alloc(graph->mem, count, size);
    }
    size_t bytes = (count * size + SMALL_ALIGN - 1) & ~(size_t)(SMALL_ALIGN - 1);
    if (bytes > graph->slab_left) {
        unsigned char *slab = arena_alloc(graph->mem, SLAB_BYTES, 1);
        if (slab == NULL) {
            return NULL;
        }
        graph->slab = slab;
        graph->slab_left = SLAB_BYTES;
    }
    void *piece = graph->slab;
    graph->slab += bytes;
    graph->slab_left -= bytes;
    return piece;
}

enum err graph_full(const struct graph *graph, struct err_note *note)
{
    if (arena_why(graph->mem) == ERR_NOMEM) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for the graph");
    }
    return ERR_SAY(note, ERR_LIMIT, "the graph needs more memory than the limit for a file of this size");
}

static const char *copy_text(struct graph *graph, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = graph_carve(graph, bytes, 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

/* Makes room for one more in a list that lives in the arena; the outgrown copy stays behind, at most as large again. */
static enum err grow(struct graph *graph, void *list_at, int count, int *room, size_t size, struct err_note *note)
{
    void **list = list_at;

    if (count < *room) {
        return ERR_NONE;
    }
    int wanted = *room == 0 ? 16 : 2 * *room;
    void *bigger = arena_alloc(graph->mem, (size_t)wanted, size);
    if (bigger == NULL) {
        return graph_full(graph, note);
    }
    if (count > 0) {
        memcpy(bigger, *list, (size_t)count * size);
    }
    *list = bigger;
    *room = wanted;
    return ERR_NONE;
}

enum err graph_new(const struct op_lookup *ops, size_t cap_bytes, struct graph **ret)
{
    struct graph *graph = MEM_NEW(struct graph);

    if (graph == NULL) {
        return ERR_NOMEM;
    }
    graph->ops = ops;
    graph->mem = arena_new(cap_bytes);
    if (graph->mem == NULL || packs_new(&graph->packs) != ERR_NONE) {
        arena_free(graph->mem);
        mem_free(graph);
        return ERR_NOMEM;
    }
    *ret = graph;
    return ERR_NONE;
}

void graph_free(struct graph *graph)
{
    if (graph != NULL) {
        packs_free(graph->packs);
        arena_free(graph->mem);
        mem_free(graph);
    }
}

struct arena *graph_arena(struct graph *graph)
{
    return graph->mem;
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* FNV-1a.  A file made to collide makes loading quadratic in at most GRAPH_MAX_VALUES names, which stays in seconds. */
static unsigned name_hash(const char *name)
{
    unsigned hash = 2166136261U;

    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++) {
        hash = (hash ^ *p) * 16777619U;
    }
    return hash;
}

static value_id find_value(const struct graph *graph, const char *name)
{
    if (graph->n_buckets == 0) {
        return -1;
    }
    value_id id = graph->buckets[name_hash(name) & (unsigned)(graph->n_buckets - 1)];
    while (id >= 0 && strcmp(graph->values[id].name, name) != 0) {
        id = graph->values[id].next;
    }
    return id;
}

static void link_value(struct graph *graph, value_id id)
{
    int *bucket = &graph->buckets[name_hash(graph->values[id].name) & (unsigned)(graph->n_buckets - 1)];

    graph->values[id].next = *bucket;
    *bucket = id;
}

/* Keeps at least as many buckets as values. */
static enum err rehash(struct graph *graph, struct err_note *note)
{
    if (graph->n_values < graph->n_buckets) {
        return ERR_NONE;
    }
    int wanted = graph->n_buckets == 0 ? 64 : 2 * graph->n_buckets;
    int *buckets = ARENA_ARRAY(graph->mem, int, wanted);
    if (buckets == NULL) {
        return graph_full(graph, note);
    }
    memset(buckets, -1, (size_t)wanted * sizeof *buckets);
    graph->buckets = buckets;
    graph->n_buckets = wanted;
    for (value_id id = 0; id < graph->n_values; id++) {
        link_value(graph, id);
    }
    return ERR_NONE;
}

static enum err new_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    if (graph->n_values == GRAPH_MAX_VALUES) {
        return ERR_SAY(note, ERR_LIMIT, "the graph has more than %d values", GRAPH_MAX_VALUES);
    }
    const char *copy = copy_text(graph, name);
    if (copy == NULL) {
        return graph_full(graph, note);
    }
    enum err err = grow(graph, &graph->values, graph->n_values, &graph->room_values, sizeof *graph->values, note);
    if (err != ERR_NONE) {
        return err;
    }
    graph->values[graph->n_values] = (struct value){.name = copy, .producer = -1, .next = -1};
    *ret = graph->n_values++;
    return ERR_NONE;
}

enum err graph_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    if (name[0] == '\0') {
        return ERR_SAY(note, ERR_FORMAT, "a value has an empty name");
    }
    value_id id = find_value(graph, name);
    if (id < 0) {
        enum err err = rehash(graph, note);
        if (err == ERR_NONE) {
            err = new_value(graph, name, &id, note);
        }
        if (err != ERR_NONE) {
            return err;
        }
        link_value(graph, id);
    }
    *ret = id;
    return ERR_NONE;
}

static bool is_defined(const struct value *value)
{
    return value->is_input || value->constant != NULL || value->producer >= 0;
}

/* The value of this name, which nothing may define yet. */
static enum err undefined_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    value_id id;
    enum err err = graph_value(graph, name, &id, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (is_defined(&graph->values[id])) {
        return ERR_SAY(note, ERR_FORMAT, "the name '%.100s' is defined twice", name);
    }
    *ret = id;
    return ERR_NONE;
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

/* "ai.onnx" is the long name of the standard's own domain. */
static const char *short_domain(const char *domain)
{
    return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static const struct opset *find_opset(const struct graph *graph, const char *domain)
{
    for (int i = 0; i < graph->n_opsets; i++) {
        if (strcmp(graph->opsets[i].domain, domain) == 0) {
            return &graph->opsets[i];
        }
    }
    return NULL;
}

enum err graph_set_opset(struct graph *graph, const char *domain, int version, struct err_note *note)
{
    const char *name = short_domain(domain);

    if (version < 1) {
        return ERR_SAY(note, ERR_FORMAT, "opset version %d of domain '%.60s' does not exist", version, domain);
    }
    const struct opset *known = find_opset(graph, name);
    if (known != NULL) {
        /* Real exporters repeat an import; only a contradiction is an error. */
        return known->version == version ? ERR_NONE
                                         : ERR_SAY(note, ERR_FORMAT, "domain '%.60s' is imported as opset %d and as %d",
                                                   domain, known->version, version);
    }
    if (graph->n_opsets == 64) {
        return ERR_SAY(note, ERR_LIMIT, "more than 64 operator domains");
    }
    enum err err = grow(graph, &graph->opsets, graph->n_opsets, &graph->room_opsets, sizeof *graph->opsets, note);
    if (err != ERR_NONE) {
        return err;
    }
    const char *copy = copy_text(graph, name);
    if (copy == NULL) {
        return graph_full(graph, note);
    }
    graph->opsets[graph->n_opsets++] = (struct opset){.domain = copy, .version = version};
    return ERR_NONE;
}

enum err graph_add_input(struct graph *graph, const char *name, enum dtype type, const struct shape *declared,
                         value_id *ret, struct err_note *note)
{
    value_id id;

    assert(graph->state == GRAPH_BUILDING);
    enum err err = undefined_value(graph, name, &id, note);
    if (err == ERR_NONE) {
        err = grow(graph, &graph->inputs, graph->n_inputs, &graph->room_inputs, sizeof *graph->inputs, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    struct value *value = &graph->values[id];
    value->is_input = true;
    graph->inputs[graph->n_inputs++] =
        (struct graph_io){.name = value->name, .value = id, .type = type, .shape = *declared};
    *ret = id;
    return ERR_NONE;
}

/* Makes an undefined value a constant. */
static enum err set_constant(struct graph *graph, value_id id, const struct tensor *tensor, struct err_note *note)
{
    static unsigned char nothing[1]; /* where a tensor without elements points: data is never NULL */

    struct tensor *copy = graph_carve(graph, 1, sizeof *copy);
    if (copy == NULL) {
        return graph_full(graph, note);
    }
    *copy = *tensor;
    if (copy->data == NULL) {
        copy->data = nothing;
    }
    graph->values[id].constant = copy;
    return ERR_NONE;
}

enum err graph_add_constant(struct graph *graph, const char *name, const struct tensor *tensor, value_id *ret,
                            struct err_note *note)
{
    value_id id;

    assert(graph->state == GRAPH_BUILDING);
    assert(tensor->data != NULL || shape_elements(&tensor->shape) == 0);
    enum err err = undefined_value(graph, name, &id, note);
    if (err == ERR_NONE) {
        err = set_constant(graph, id, tensor, note);
    }
    if (err == ERR_NONE) {
        *ret = id;
    }
    return err;
}

enum err graph_derive_constant(struct graph *graph, const char *name, const struct tensor *tensor, value_id *ret,
                               struct err_note *note)
{
    value_id id;
    enum err err = new_value(graph, name, &id, note);

    if (err == ERR_NONE) {
        err = set_constant(graph, id, tensor, note);
    }
    if (err == ERR_NONE) {
        *ret = id;
    }
    return err;
}

static void *copy_bytes(struct graph *graph, const void *bytes, size_t count, size_t size)
{
    void *copy = graph_carve(graph, count, size);

    if (copy != NULL && count > 0) {
        memcpy(copy, bytes, count * size);
    }
    return copy;
}

/* Replaces what an attribute borrows by copies. */
static bool own_attr(struct graph *graph, struct attr *attr)
{
    attr->name = copy_text(graph, attr->name);
    bool copied = attr->name != NULL;
    switch (attr->kind) {
    case ATTR_TEXT: copied = copied && (attr->text = copy_text(graph, attr->text)) != NULL; break;
    case ATTR_INTS:
        copied = copied && (attr->ints = copy_bytes(graph, attr->ints, attr->count, sizeof *attr->ints)) != NULL;
        break;
    case ATTR_FLOATS:
        copied = copied && (attr->floats = copy_bytes(graph, attr->floats, attr->count, sizeof *attr->floats)) != NULL;
        break;
    case ATTR_TENSOR: {
        size_t bytes = tensor_bytes(&attr->tensor);
        void *data = arena_alloc(graph->mem, bytes, 1);
        if (data != NULL && bytes > 0) {
            memcpy(data, attr->tensor.data, bytes);
        }
        attr->tensor.data = data;
        copied = copied && data != NULL;
        break;
    }
    case ATTR_INT:
    case ATTR_FLOAT:
    case ATTR_OTHER: break;
    }
    return copied;
}

static enum err copy_attrs(struct graph *graph, const struct attrs *attrs, struct attrs *ret, struct err_note *note)
{
    struct attr *list = graph_carve(graph, (size_t)attrs->count, sizeof *list);

    if (list == NULL) {
        return graph_full(graph, note);
    }
    for (int i = 0; i < attrs->count; i++) {
        list[i] = attrs->list[i];
        if (!own_attr(graph, &list[i])) {
            return graph_full(graph, note);
        }
    }
    *ret = (struct attrs){.list = list, .count = attrs->count};
    return ERR_NONE;
}

/* Trailing absent ones do not count. */
static int trim_absent(const value_id *list, int count)
{
    while (count > 0 && list[count - 1] < 0) {
        count--;
    }
    return count;
}

static enum err check_counts(const struct op_def *op, const value_id *in, int n_in, int n_out, struct err_note *note)
{
    if (n_in < op->min_in || n_in > op->max_in) {
        return ERR_SAY(note, n_in < op->min_in ? ERR_FORMAT : ERR_UNSUPPORTED,
                       "%d inputs, where %d to %d are supported", n_in, op->min_in, op->max_in);
    }
    for (int i = 0; i < op->min_in; i++) {
        if (in[i] < 0) {
            return ERR_SAY(note, ERR_FORMAT, "input %d is absent, but needed", i);
        }
    }
    if (n_out < op->min_out || n_out > op->max_out) {
        return ERR_SAY(note, n_out < op->min_out ? ERR_FORMAT : ERR_UNSUPPORTED,
                       "%d outputs, where %d to %d are supported", n_out, op->min_out, op->max_out);
    }
    return ERR_NONE;
}

static enum err find_op(const struct graph *graph, const char *domain, const char *op, const struct op_def **ret,
                        int *ret_opset, struct err_note *note)
{
    const struct opset *opset = find_opset(graph, short_domain(domain));

    if (opset == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "its domain '%.60s' is not imported", domain);
    }
    const struct op_def *found =
        strcmp(opset->domain, GRAPH_OWN_DOMAIN) == 0 ? NULL : graph->ops->find(opset->domain, op, opset->version);
    if (found == NULL) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "this operator of opset %d%s%.60s is not supported", opset->version,
                       opset->domain[0] == '\0' ? "" : " of ", opset->domain);
    }
    *ret = found;
    *ret_opset = opset->version;
    return ERR_NONE;
}

/* Fills a node whose operator, opset and counts are there already. */
static enum err fill_node(struct graph *graph, const struct attrs *attrs, const value_id *in, const value_id *out,
                          struct node *node, struct err_note *note)
{
    struct graph_node *is = &node->is;
    enum err err = check_counts(is->op, in, is->n_in, is->n_out, note);

    if (err == ERR_NONE) {
        err = copy_attrs(graph, attrs, &is->attrs, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    node->out = copy_bytes(graph, out, (size_t)is->n_out, sizeof *out);
    if (node->out == NULL) {
        return graph_full(graph, note);
    }
    is->out = node->out;
    is->epilogue = (struct epilogue){.slope_input = -1, .residual_input = -1};
    err = node_set_inputs(graph, node, in, is->n_in, note);
    if (err == ERR_NONE && is->op->parse != NULL) {
        void *parsed = NULL;
        err = is->op->parse(&is->attrs, is->opset, is->n_in, is->n_out, graph->mem, &parsed, note);
        is->parsed = parsed;
    }
    return err;
}

/* Every output's name is new. */
static enum err describe_node(struct graph *graph, const char *domain, const char *op, const struct attrs *attrs,
                              const value_id *in, const value_id *out, struct node *node, struct err_note *note)
{
    enum err err = find_op(graph, domain, op, &node->is.op, &node->is.opset, note);

    return err != ERR_NONE ? err : fill_node(graph, attrs, in, out, node, note);
}

enum err graph_make_node(struct graph *graph, const struct op_def *op, const struct node *after,
                         const struct attrs *attrs, const value_id *in, int n_in, value_id out, struct node **ret,
                         struct err_note *note)
{
    char text[NODE_TEXT_BYTES];
    struct node *node = graph_carve(graph, 1, sizeof *node);

    if (node == NULL) {
        return graph_full(graph, note);
    }
    node->number = after->number;
    node->is.op = op;
    node->is.opset = op->opset_min;
    node->is.name = after->is.name;
    node->is.n_in = trim_absent(in, n_in);
    node->is.n_out = 1;
    enum err err = fill_node(graph, attrs, in, &out, node, note);
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", node_text(node, text));
        return err;
    }
    *ret = node;
    return ERR_NONE;
}

enum err graph_new_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    return new_value(graph, name, ret, note);
}

static enum err check_outputs(const struct graph *graph, const value_id *out, int n_out, struct err_note *note)
{
    for (int i = 0; i < n_out; i++) {
        bool twice = out[i] >= 0 && is_defined(&graph->values[out[i]]);
        for (int j = 0; j < i; j++) {
            twice = twice || (out[i] >= 0 && out[i] == out[j]);
        }
        if (twice) {
            return ERR_SAY(note, ERR_FORMAT, "its output '%.60s' is defined twice", graph->values[out[i]].name);
        }
    }
    return ERR_NONE;
}

enum err graph_add_node(struct graph *graph, const char *domain, const char *op, const char *name,
                        const struct attrs *attrs, const value_id *in, int n_in, const value_id *out, int n_out,
                        struct err_note *note)
{
    static const struct op_def unknown = {.name = "?"};
    char text[NODE_TEXT_BYTES];

    assert(graph->state == GRAPH_BUILDING);
    if (graph->n_nodes == GRAPH_MAX_NODES) {
        return ERR_SAY(note, ERR_LIMIT, "the graph has more than %d nodes", GRAPH_MAX_NODES);
    }
    struct node *node = graph_carve(graph, 1, sizeof *node);
    const char *copy = copy_text(graph, name);
    if (node == NULL || copy == NULL) {
        return graph_full(graph, note);
    }
    /* Until the operator is known, notes name it by the file's own word. */
    struct op_def as_written = unknown;
    as_written.name = op;
    node->number = graph->n_nodes;
    node->is.op = &as_written;
    node->is.name = copy;
    node->is.n_in = trim_absent(in, n_in);
    node->is.n_out = trim_absent(out, n_out);

    enum err err = ERR_NONE;
    if (node->is.n_in > OP_MAX_INPUTS || node->is.n_out > OP_MAX_OUTPUTS) {
        err = ERR_SAY(note, ERR_LIMIT, "%d inputs and %d outputs, where %d and %d are the most", node->is.n_in,
                      node->is.n_out, OP_MAX_INPUTS, OP_MAX_OUTPUTS);
    }
    if (err == ERR_NONE) {
        err = check_outputs(graph, out, node->is.n_out, note);
    }
    if (err == ERR_NONE) {
        err = describe_node(graph, domain, op, attrs, in, out, node, note);
    }
    if (err == ERR_NONE) {
        err = grow(graph, &graph->nodes, graph->n_nodes, &graph->room_nodes, sizeof(struct node *), note);
    }
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", node_text(node, text));
        return err;
    }
    for (int i = 0; i < node->is.n_out; i++) {
        if (out[i] >= 0) {
            graph->values[out[i]].producer = graph->n_nodes;
        }
    }
    graph->nodes[graph->n_nodes++] = node;
    return ERR_NONE;
}

enum err graph_add_output(struct graph *graph, value_id value, enum dtype type, const struct shape *declared,
                          struct err_note *note)
{
    assert(graph->state == GRAPH_BUILDING);
    enum err err = grow(graph, &graph->outputs, graph->n_outputs, &graph->room_outputs, sizeof *graph->outputs, note);
    if (err != ERR_NONE) {
        return err;
    }
    graph->outputs[graph->n_outputs++] =
        (struct graph_io){.name = graph->values[value].name, .value = value, .type = type, .shape = *declared};
    return ERR_NONE;
}

enum err node_set_inputs(struct graph *graph, struct node *node, const value_id *in, int n_in, struct err_note *note)
{
    value_id *copy = copy_bytes(graph, in, (size_t)n_in, sizeof *in);

    if (copy == NULL) {
        return graph_full(graph, note);
    }
    node->in = copy;
    node->is.in = copy;
    node->is.n_in = n_in;
    return ERR_NONE;
}

void graph_seal(struct graph *graph)
{
    assert(graph->state != GRAPH_BUILDING);
    graph->state = GRAPH_SEALED;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

int graph_input_count(const struct graph *graph)
{
    return graph->n_inputs;
}

int graph_output_count(const struct graph *graph)
{
    return graph->n_outputs;
}

const struct graph_io *graph_input(const struct graph *graph, int i)
{
    assert(i >= 0 && i < graph->n_inputs);
    return &graph->inputs[i];
}

const struct graph_io *graph_output(const struct graph *graph, int i)
{
    assert(i >= 0 && i < graph->n_outputs);
    return &graph->outputs[i];
}

int graph_node_count(const struct graph *graph)
{
    return graph->n_nodes;
}

const struct graph_node *graph_node(const struct graph *graph, int i)
{
    assert(i >= 0 && i < graph->n_nodes);
    return &graph->nodes[i]->is;
}

int graph_value_count(const struct graph *graph)
{
    return graph->n_values;
}

const char *graph_value_name(const struct graph *graph, value_id value)
{
    assert(value >= 0 && value < graph->n_values);
    return graph->values[value].name;
}

const struct tensor *graph_constant(const struct graph *graph, value_id value)
{
    assert(value >= 0 && value < graph->n_values);
    return graph->values[value].constant;
}

bool graph_one_image(const struct graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        if (graph->nodes[i]->is.op->one_image) {
            return true;
        }
    }
    return false;
}

size_t graph_constant_bytes(const struct graph *graph)
{
    size_t bytes = 0;

    /* Each of them is in memory, so their sum fits. */
    for (value_id id = 0; id < graph->n_values; id++) {
        const struct value *value = &graph->values[id];
        if (value->constant != NULL && value->uses > 0 && !value->dropped) {
            bytes += tensor_bytes(value->constant);
        }
    }
    return bytes;
}

bool graph_is_output(const struct graph *graph, value_id value)
{
    for (int i = 0; i < graph->n_outputs; i++) {
        if (graph->outputs[i].value == value) {
            return true;
        }
    }
    return false;
}

/* Copies at most room-1 bytes, never half a UTF-8 character. */
static void cut_text(const char *text, char *ret, size_t room)
{
    size_t len = strlen(text);

    if (len >= room) {
        len = room - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0U) == 0x80U) {
            len--;
        }
    }
    memcpy(ret, text, len);
    ret[len] = '\0';
}

const char *node_text(const struct node *node, char text[NODE_TEXT_BYTES])
{
    char name[64];
    char op[48];

    cut_text(node->is.name, name, sizeof name);
    cut_text(node->is.op->name, op, sizeof op);
    if (name[0] == '\0') {
        (void)snprintf(text, NODE_TEXT_BYTES, "node %d (%s)", node->number, op);
    } else {
        (void)snprintf(text, NODE_TEXT_BYTES, "node %d '%s' (%s)", node->number, name, op);
    }
    return text;
}
