/* prepare.c: the passes for inference, in their order. */
#include <assert.h>

#include "core/graph/graph_private.h"

enum err graph_fold_constants(struct graph *graph, struct err_note *note)
{
    assert(graph->state == GRAPH_FINISHED);
    return pass_fold_constants(graph, note);
}

enum err graph_prepare(struct graph *graph, struct err_note *note)
{
    /*
     * Identities first, so that folding does not copy constants through them; BatchNorm before the epilogues, since it
     * stands between a convolution and its activation; heads of one map are joined when it is known that nothing is fused to
     * them; a BatchNorm before a convolution last, when the convolution is what will run.
     * Quantised layers in the form of DequantizeLinear, layer, QuantizeLinear are found before folding makes floats of their
     * weights.
     */
    enum err (*const passes[])(struct graph *, struct err_note *) = {
        pass_drop_identity, pass_fuse_qdq,    pass_fold_constants, pass_fold_batch_norm, pass_fuse_epilogue,
        pass_byte_maps,     pass_byte_layout, pass_join_heads,     pass_fuse_norm,       pass_fuse_depthwise,
    };

    assert(graph->state == GRAPH_FINISHED);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        enum err err = passes[i](graph, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    graph->prepared = true;
    return ERR_NONE;
}
