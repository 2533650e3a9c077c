/* byte_nodes.c: recognising quantised layers. */
#include "core/graph/byte_nodes.h"

#include <string.h>

#include "core/base/mem.h"

bool byte_node_is(const struct node *node, const char *domain, const char *name)
{
    return node != NULL && strcmp(node->is.op->name, name) == 0 && strcmp(node->is.op->domain, domain) == 0;
}

bool byte_scale(const struct graph *graph, const struct node *node, int i, float *ret_scale, int *ret_zero,
                enum dtype *ret_type)
{
    const struct tensor *scale = node_constant(graph, node, i);
    const struct tensor *zero = node_constant(graph, node, i + 1);

    if (scale == NULL || zero == NULL || scale->type != DTYPE_F32 || shape_elements(&scale->shape) != 1 ||
        (zero->type != DTYPE_U8 && zero->type != DTYPE_I8) || shape_elements(&zero->shape) != 1) {
        return false;
    }
    *ret_scale = *(const float *)scale->data;
    *ret_zero = zero->type == DTYPE_U8 ? *(const uint8_t *)zero->data : *(const int8_t *)zero->data;
    *ret_type = zero->type;
    return true;
}

int *byte_readers(const struct graph *graph)
{
    int *readers = MEM_ARRAY(int, (size_t)graph->n_values);

    for (int i = 0; readers != NULL && i < graph->n_nodes; i++) {
        const struct node *node = graph->nodes[i];
        for (int k = 0; k < node->is.n_in; k++) {
            if (node->in[k] >= 0) {
                readers[node->in[k]] = i;
            }
        }
    }
    return readers;
}

int byte_only_reader(const struct graph *graph, const int *readers, value_id value)
{
    return value >= 0 && graph->values[value].uses == 1 && !graph_is_output(graph, value) ? readers[value] : -1;
}
