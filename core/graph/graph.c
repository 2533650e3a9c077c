/* graph.c: building a graph and reading it; nodes are graph_node.c's. */
#include <assert.h>
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

const char *graph_copy_text(struct graph *graph, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = graph_carve(graph, bytes, 1);

    if (copy != NULL) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

enum err graph_grow(struct graph *graph, void *list_at, int count, int *room, size_t size, struct err_note *note)
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
    const char *copy = graph_copy_text(graph, name);
    if (copy == NULL) {
        return graph_full(graph, note);
    }
    enum err err = graph_grow(graph, &graph->values, graph->n_values, &graph->room_values, sizeof *graph->values, note);
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

/* The value of this name, which nothing may define yet. */
static enum err undefined_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    value_id id;
    enum err err = graph_value(graph, name, &id, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (value_is_defined(&graph->values[id])) {
        return ERR_SAY(note, ERR_FORMAT, "the name '%.100s' is defined twice", name);
    }
    *ret = id;
    return ERR_NONE;
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

const char *graph_short_domain(const char *domain)
{
    return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

const struct opset *graph_opset(const struct graph *graph, const char *domain)
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
    const char *name = graph_short_domain(domain);

    if (version < 1) {
        return ERR_SAY(note, ERR_FORMAT, "opset version %d of domain '%.60s' does not exist", version, domain);
    }
    const struct opset *known = graph_opset(graph, name);
    if (known != NULL) {
        /* Real exporters repeat an import; only a contradiction is an error. */
        return known->version == version ? ERR_NONE
                                         : ERR_SAY(note, ERR_FORMAT, "domain '%.60s' is imported as opset %d and as %d",
                                                   domain, known->version, version);
    }
    if (graph->n_opsets == 64) {
        return ERR_SAY(note, ERR_LIMIT, "more than 64 operator domains");
    }
    enum err err = graph_grow(graph, &graph->opsets, graph->n_opsets, &graph->room_opsets, sizeof *graph->opsets, note);
    if (err != ERR_NONE) {
        return err;
    }
    const char *copy = graph_copy_text(graph, name);
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
        err = graph_grow(graph, &graph->inputs, graph->n_inputs, &graph->room_inputs, sizeof *graph->inputs, note);
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

enum err graph_new_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note)
{
    return new_value(graph, name, ret, note);
}

enum err graph_add_output(struct graph *graph, value_id value, enum dtype type, const struct shape *declared,
                          struct err_note *note)
{
    assert(graph->state == GRAPH_BUILDING);
    enum err err =
        graph_grow(graph, &graph->outputs, graph->n_outputs, &graph->room_outputs, sizeof *graph->outputs, note);
    if (err != ERR_NONE) {
        return err;
    }
    graph->outputs[graph->n_outputs++] =
        (struct graph_io){.name = graph->values[value].name, .value = value, .type = type, .shape = *declared};
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
