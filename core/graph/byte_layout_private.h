/*
 * byte_layout_private.h: what the files of one pass share: pass_byte_layout.c walks the graph, byte_layout_static.c and
 * byte_layout_dynamic.c know one kind of layers each.
 */
#ifndef CORE_GRAPH_BYTE_LAYOUT_PRIVATE_H
#define CORE_GRAPH_BYTE_LAYOUT_PRIVATE_H

#include "core/graph/byte_nodes.h"
#include "core/kernel/conv_byte.h"

/* A walk over the nodes, and the list of those that come out. */
struct layout {
    struct graph *graph;
    const struct op_def *conv, *map, *dynamic, *transpose;
    const int *readers; /* per value: see byte_only_reader */
    bool *taken;        /* per node: it has become part of another */
    value_id *twin;     /* per value: it with its channels last, -1: none */
    bool *lost;         /* per value: only the twin is computed so far */
    int room;           /* of both */
    struct node **list;
    int n, list_room;
};

/* Appends a node to those that come out. */
void layout_put(struct layout *layout, struct node *node);

/* A new value that is this one with its channels last; nobody makes it yet. */
MUST_CHECK enum err layout_new_twin(struct layout *layout, value_id value, value_id *ret, struct err_note *note);

/* The value with its channels last, turned around here if nobody has it yet. */
MUST_CHECK enum err layout_twin_of(struct layout *layout, const struct node *near, value_id value, value_id *ret,
                                   struct err_note *note);

/* The value as the file has it, for a reader that is in no chain. */
MUST_CHECK enum err layout_give_back(struct layout *layout, const struct node *near, value_id value,
                                     struct err_note *note);

/* ---- Layers --------------------------------------------------------------------------------------------------------- */

/* A layer of bytes with constant weights: a convolution, or a matrix product as one over images of a pixel. */
struct byte_conv {
    struct conv_shape shape; /* channels and kernel; not the image's size */
    float x_scale, y_scale;
    int x_zero, y_zero;
    enum dtype x_type, y_type;
    const struct tensor *w, *w_scale, *w_zero, *bias;
    const int16_t *weights; /* with their zero points subtracted */
    int passes;
};

/* One value of the type for all channels, or one for each. */
bool layout_is_per_channel(const struct tensor *t, enum dtype type, int64_t channels);

/* What weights [oc, ic / group, height, width] say of a convolution; its images are known when it runs. */
static inline struct conv_shape layout_weights_shape(const int64_t dim[4], int64_t group)
{
    return (struct conv_shape){.n = 1,
                               .groups = group,
                               .ic = dim[1],
                               .oc = dim[0] / group,
                               .in = {1, 1, 1},
                               .kernel = {1, dim[2], dim[3]},
                               .stride = {1, 1, 1},
                               .dilation = {1, 1, 1},
                               .out = {1, 1, 1}};
}

/* Fills to with the weights less their zero points, and what of c follows from them. */
void layout_subtract_zeros(struct byte_conv *c, int16_t *to);

#define LAYOUT_MAX_ATTRS 16

/* The convolution's own attributes, and what the new operator needs to know beside; false: they are too many. */
bool layout_attrs(const struct node *node, const struct byte_conv *c, struct attr list[LAYOUT_MAX_ATTRS],
                  int *ret_count);

/* Each puts what a layer becomes, and sets *ret_done, if the node begins a layer of its kind. */
MUST_CHECK enum err layout_take_conv(struct layout *layout, const struct node *node, bool *ret_done,
                                     struct err_note *note);
MUST_CHECK enum err layout_take_matmul(struct layout *layout, const struct node *node, bool *ret_done,
                                       struct err_note *note);
MUST_CHECK enum err layout_take_dynamic(struct layout *layout, const struct node *node, bool *ret_done,
                                        struct err_note *note);

/* Would one of the first two take it? */
bool layout_is_static(const struct graph *graph, const struct node *node);

#endif
