/*
 * graph_private.h: what a graph is made of, for the files of this folder.
 *
 * Nodes are held by pointer and in an order in which they can run (from graph_finish on); a pass changes nodes, sets those
 * it removes to NULL in the list and calls graph_sweep, which restores every derived field.
 */
#ifndef CORE_GRAPH_GRAPH_PRIVATE_H
#define CORE_GRAPH_GRAPH_PRIVATE_H

#include "core/graph/graph.h"

/* Far above any face network (the largest has about 700 nodes); they bound the quadratic search of place.c. */
#define GRAPH_MAX_NODES 16384
#define GRAPH_MAX_VALUES 65536

struct node {
    struct graph_node is; /* what readers see; is.in and is.out point to the arrays below */
    value_id *in;
    value_id *out;
    int number; /* position in the file, for notes */

    /*
     * What a fused node stands for, in running order, the convolution or product first; none for every other node.  The
     * plan runs these instead where the shapes do not allow the fusion (pass_fuse_epilogue.c argues why).
     */
    const struct node *const *plain;
    int n_plain;
};

struct value {
    const char *name;
    const struct tensor *constant; /* NULL for all others */
    bool dropped;                  /* its data is gone: nodes have it packed */
    bool is_input;
    int producer; /* index in nodes, -1: none */
    int uses;     /* inputs of nodes and outputs of the graph that read it */
    int next;     /* in its hash bucket, -1: last */
};

struct opset {
    const char *domain;
    int version;
};

struct graph {
    const struct op_lookup *ops;
    struct arena *mem;
    unsigned char *slab; /* where the next small piece comes from */
    size_t slab_left;

    struct value *values;
    int n_values, room_values;
    int *buckets;
    int n_buckets; /* a power of two, or 0 */

    struct node **nodes;
    int n_nodes, room_nodes;

    struct graph_io *inputs;
    int n_inputs, room_inputs;
    struct graph_io *outputs;
    int n_outputs, room_outputs;
    struct opset *opsets;
    int n_opsets, room_opsets;

    bool prepared;       /* sessions may choose how values lie in memory */
    struct packs *packs; /* guarded by its own lock: the one thing that changes in a sealed graph */

    enum graph_state {
        GRAPH_BUILDING,
        GRAPH_FINISHED,
        GRAPH_SEALED
    } state;
};

/* Returns count × size zeroed bytes for a small lasting thing, packed beside others; NULL as arena_alloc. */
void *graph_carve(struct graph *graph, size_t count, size_t size);

/* A lasting copy; NULL as arena_alloc. */
const char *graph_copy_text(struct graph *graph, const char *text);

/* Makes room for one more in a list that lives in the arena; the outgrown copy stays behind, at most as large again. */
MUST_CHECK enum err graph_grow(struct graph *graph, void *list_at, int count, int *room, size_t size,
                               struct err_note *note);

/* Why the last carving failed, said in words. */
enum err graph_full(const struct graph *graph, struct err_note *note);

/* Something makes it or holds it: until then a name is all that is known of a value. */
static inline bool value_is_defined(const struct value *value)
{
    return value->is_input || value->constant != NULL || value->producer >= 0;
}

/* The version that is imported of a domain, by its short name, or NULL.  "ai.onnx" is the long one of the standard's own, "". */
const char *graph_short_domain(const char *domain);
const struct opset *graph_opset(const struct graph *graph, const char *domain);

/* Drops nodes that are NULL or that no output needs, keeps the order, and counts producers and uses afresh. */
void graph_sweep(struct graph *graph);

/* Adds a value that no file names and makes it a constant; the tensor's data as for graph_add_constant. */
MUST_CHECK enum err graph_derive_constant(struct graph *graph, const char *name, const struct tensor *tensor,
                                          value_id *ret, struct err_note *note);

/* A value that no file names; it gets a producer by graph_make_node. */
MUST_CHECK enum err graph_new_value(struct graph *graph, const char *name, value_id *ret, struct err_note *note);

/*
 * Operators that only passes make: files may not use this domain.  graph_own_op finds one; a test's own list of operators
 * may lack it (NULL).
 */
#define GRAPH_OWN_DOMAIN "arcfaced"
static inline const struct op_def *graph_own_op(const struct graph *graph, const char *name)
{
    return graph->ops->find(GRAPH_OWN_DOMAIN, name, 1);
}

/*
 * Makes a node with one output, which is in no list yet; it has the number and the name of the node that it stands for.
 * attrs is copied; op's first opset is meant.
 * Errors: as graph_add_node.
 */
MUST_CHECK enum err graph_make_node(struct graph *graph, const struct op_def *op, const struct node *after,
                                    const struct attrs *attrs, const value_id *in, int n_in, value_id out,
                                    struct node **ret, struct err_note *note);

/* The constant that a node reads as input i, NULL if it is absent or no constant. */
static inline const struct tensor *node_constant(const struct graph *graph, const struct node *node, int i)
{
    return i < node->is.n_in && node->in[i] >= 0 ? graph->values[node->in[i]].constant : NULL;
}

/* Is the value one of the graph's outputs? */
bool graph_is_output(const struct graph *graph, value_id value);

/* Replaces a node's inputs. */
MUST_CHECK enum err node_set_inputs(struct graph *graph, struct node *node, const value_id *in, int n_in,
                                    struct err_note *note);

/* Writes "node 42 'Conv_17' (Conv)", for notes; returns text. */
#define NODE_TEXT_BYTES 160
const char *node_text(const struct node *node, char text[NODE_TEXT_BYTES]);

/*
 * The constants of a node, packed as its operator asks in block; made by the first plan that needs them, shared by all, kept
 * until the graph dies.  call has the node's inputs.
 * Threads: any.
 * Errors: ERR_NOMEM.
 */
MUST_CHECK enum err graph_pack(const struct graph *graph, const struct node *node, const struct op_call *call,
                               const struct op_block *block, const void **ret, struct err_note *note);
/* The forms in which a node's constants are packed, as bits; 0: none. */
unsigned graph_packed_forms(const struct graph *graph, const struct node *node);
MUST_CHECK enum err packs_new(struct packs **ret);
void packs_free(struct packs *packs);

/* The passes of graph_prepare, in the order in which they run.  Each leaves the graph swept. */
MUST_CHECK enum err pass_drop_identity(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fuse_qdq(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fold_constants(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fold_batch_norm(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fuse_epilogue(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_join_heads(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fuse_depthwise(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_fuse_norm(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_byte_maps(struct graph *graph, struct err_note *note);
MUST_CHECK enum err pass_byte_layout(struct graph *graph, struct err_note *note);

#endif
