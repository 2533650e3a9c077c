/* cut.c: in running order, a value is a cut when after its node nothing else is still waited for. */
#include "core/train/cut.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"

#define MOST_LISTED 5 /* layers, where a name is none */
#define LIST_TEXT 160 /* of a note's 256 */

/* Fills last_use: the last node that reads each value; outputs of the graph are read behind the last node. */
static void find_last_uses(const struct graph *graph, int *last_use)
{
    int nodes = graph_node_count(graph);

    for (int i = 0; i < nodes; i++) {
        const struct graph_node *node = graph_node(graph, i);
        for (int k = 0; k < node->n_in; k++) {
            if (node->in[k] >= 0) {
                last_use[node->in[k]] = i;
            }
        }
    }
    for (int i = 0; i < graph_output_count(graph); i++) {
        last_use[graph_output(graph, i)->value] = nodes;
    }
}

/* True if values depends on an input, so that it is made anew for each image. */
static bool flows(const struct graph *graph, const struct graph_node *node, const bool *varies)
{
    for (int k = 0; k < node->n_in; k++) {
        if (node->in[k] >= 0 && graph_constant(graph, node->in[k]) == NULL && varies[node->in[k]]) {
            return true;
        }
    }
    return false;
}

/* A way through the nodes in running order. */
struct way {
    const struct graph *graph;
    int *last_use; /* [values] */
    bool *made;    /* [values] by now, and not of constants alone */
};

static enum err way_begin(const struct graph *graph, struct way *ret)
{
    struct way way = {.graph = graph,
                      .last_use = MEM_ARRAY(int, graph_value_count(graph)),
                      .made = MEM_ARRAY(bool, graph_value_count(graph))};

    *ret = way;
    if (way.last_use == NULL || way.made == NULL) {
        return ERR_NOMEM;
    }
    find_last_uses(graph, way.last_use);
    for (int i = 0; i < graph_input_count(graph); i++) {
        way.made[graph_input(graph, i)->value] = true;
    }
    return ERR_NONE;
}

static void way_end(struct way *way)
{
    mem_free(way->last_use);
    mem_free(way->made);
}

/* Passes a node; true if what it makes depends on the input. */
static bool way_pass(const struct way *way, int i)
{
    const struct graph_node *node = graph_node(way->graph, i);
    bool varies = flows(way->graph, node, way->made);

    for (int k = 0; k < node->n_out; k++) {
        if (node->out[k] >= 0) {
            way->made[node->out[k]] = varies;
        }
    }
    return varies;
}

/* The only value that is waited for behind node i (-1: before the first), or -1. */
static value_id way_only(const struct way *way, int i)
{
    value_id only = -1;

    for (value_id v = 0; v < graph_value_count(way->graph); v++) {
        if (way->made[v] && way->last_use[v] > i) {
            if (only >= 0) {
                return -1;
            }
            only = v;
        }
    }
    return only;
}

/* ---- By share ------------------------------------------------------------------------------------------------------ */

static bool is_convolution(const struct graph_node *node)
{
    return node->op->kind == OP_CONV;
}

static value_id search(const struct way *way, double share)
{
    int nodes = graph_node_count(way->graph);
    int convolutions = 0;
    int below = 0;

    for (int i = 0; i < nodes; i++) {
        convolutions += is_convolution(graph_node(way->graph, i));
    }
    for (int i = 0; i < nodes; i++) {
        const struct graph_node *node = graph_node(way->graph, i);
        (void)way_pass(way, i);
        below += is_convolution(node);
        if ((double)(convolutions - below) <= share * convolutions && i + 1 < nodes) {
            value_id only = way_only(way, i);
            if (only >= 0 && node->out[0] == only) {
                return only;
            }
        }
    }
    return -1;
}

enum err cut_find(const struct graph *graph, double share, const char **ret, struct err_note *note)
{
    struct way way;
    value_id found = -1;
    enum err err = way_begin(graph, &way);

    if (err == ERR_NONE) {
        found = search(&way, share);
        err = found >= 0 ? ERR_NONE
                         : ERR_SAY(note, ERR_NOT_FOUND,
                                   "the network has no value that everything passes with at most %.0f %% of the "
                                   "convolutions above it",
                                   100 * share);
    }
    way_end(&way);
    if (err == ERR_NONE) {
        *ret = graph_value_name(graph, found);
    }
    return err;
}

/* ---- By name ------------------------------------------------------------------------------------------------------- */

/* The layer of this name, or the one that makes a value of this name; -1: none. */
static int find_layer(const struct graph *graph, const char *name)
{
    int maker = -1;

    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        if (node->name != NULL && strcmp(node->name, name) == 0) {
            return i;
        }
        for (int k = 0; k < node->n_out; k++) {
            if (node->out[k] >= 0 && strcmp(graph_value_name(graph, node->out[k]), name) == 0) {
                maker = i;
            }
        }
    }
    return maker;
}

static bool has_weights(const struct graph *graph, const struct graph_node *node)
{
    for (int k = 0; k < node->n_in; k++) {
        if (node->in[k] >= 0 && graph_constant(graph, node->in[k]) != NULL) {
            return true;
        }
    }
    return false;
}

static const char *layer_name(const struct graph *graph, const struct graph_node *node)
{
    return node->name != NULL && node->name[0] != '\0' ? node->name : graph_value_name(graph, node->out[0]);
}

/*
 * Fills enters, for each node, with the value that enters it where nothing passes it by; else -1.  Returns how many nodes with weights
 * have one.
 */
static int find_entries(const struct way *way, value_id *enters)
{
    int n = 0;

    for (int i = 0; i < graph_node_count(way->graph); i++) {
        value_id only = way_only(way, i - 1);
        enters[i] = way_pass(way, i) ? only : -1;
        n += enters[i] >= 0 && has_weights(way->graph, graph_node(way->graph, i));
    }
    return n;
}

/* A few layers with weights that can be named, evenly over the n there are: whole names only, as many as find room. */
static enum err say_unknown(const struct graph *graph, const char *name, const value_id *enters, int n,
                            struct err_note *note)
{
    char list[LIST_TEXT] = "none that can be named";
    size_t length = 0;
    int told = 0;
    int seen = 0;

    for (int i = 0; i < graph_node_count(graph) && told < MOST_LISTED; i++) {
        const struct graph_node *node = graph_node(graph, i);
        if (enters[i] < 0 || !has_weights(graph, node) || seen++ < told * n / MOST_LISTED) {
            continue;
        }
        const char *known = layer_name(graph, node);
        if (length + strlen(known) + 3 < LIST_TEXT) {
            length += (size_t)snprintf(list + length, LIST_TEXT - length, "%s%s", length > 0 ? ", " : "", known);
        }
        told++;
    }
    return ERR_SAY(note, ERR_NOT_FOUND, "the network has no layer '%.60s'; there are %s", name, list);
}

/* The nearest layer on one side that can be named. */
static const char *neighbour(const struct graph *graph, const value_id *enters, int layer, int step)
{
    int nodes = graph_node_count(graph);

    while (layer >= 0 && layer < nodes && enters[layer] < 0) {
        layer += step;
    }
    return layer >= 0 && layer < nodes ? layer_name(graph, graph_node(graph, layer)) : "none";
}

static enum err say_passed(const struct graph *graph, const char *name, const value_id *enters, int layer,
                           struct err_note *note)
{
    return ERR_SAY(note, ERR_UNSUPPORTED,
                   "something passes by the layer '%.50s'; the nearest that nothing passes by are %.50s below it and "
                   "%.50s above",
                   name, neighbour(graph, enters, layer, -1), neighbour(graph, enters, layer, 1));
}

enum err cut_below(const struct graph *graph, const char *name, const char **ret, struct err_note *note)
{
    value_id *enters = MEM_ARRAY(value_id, graph_node_count(graph));
    int layer = find_layer(graph, name);
    struct way way;
    enum err err = way_begin(graph, &way);

    if (err == ERR_NONE && enters == NULL) {
        err = ERR_NOMEM;
    }
    int n = err == ERR_NONE ? find_entries(&way, enters) : 0;
    if (err == ERR_NONE && layer < 0) {
        err = say_unknown(graph, name, enters, n, note);
    } else if (err == ERR_NONE && enters[layer] < 0) {
        err = say_passed(graph, name, enters, layer, note);
    }
    if (err == ERR_NONE) {
        bool whole = false;
        for (int i = 0; i < graph_input_count(graph); i++) {
            whole = whole || graph_input(graph, i)->value == enters[layer];
        }
        *ret = whole ? NULL : graph_value_name(graph, enters[layer]);
    }
    mem_free(enters);
    way_end(&way);
    return err;
}
