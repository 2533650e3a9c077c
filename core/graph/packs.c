/*
 * packs.c: constants as kernels want them, packed when the first plan asks and shared from then on.
 *
 * Which form a layer takes depends on its image's size and the batch, so it is a plan that knows; packing when the graph is
 * prepared would guess.  A pack never changes once it is listed, so plans keep pointers to it without the lock.
 */
#include <pthread.h>

#include "core/base/mem.h"
#include "core/graph/graph_private.h"

struct pack {
    const struct node *node;
    int form;
    void *data;
    size_t bytes;
    struct pack *next;
};

struct packs {
    pthread_mutex_t lock; /* held while packing: another thread that wants the same waits instead of doing it again */
    struct pack *list;    /* guarded by lock */
};

enum err packs_new(struct packs **ret)
{
    struct packs *packs = MEM_NEW(struct packs);

    if (packs == NULL) {
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&packs->lock, NULL);
    *ret = packs;
    return ERR_NONE;
}

void packs_free(struct packs *packs)
{
    if (packs == NULL) {
        return;
    }
    while (packs->list != NULL) {
        struct pack *next = packs->list->next;
        mem_free(packs->list->data);
        mem_free(packs->list);
        packs->list = next;
    }
    (void)pthread_mutex_destroy(&packs->lock);
    mem_free(packs);
}

static struct pack *find(const struct packs *packs, const struct node *node, int form)
{
    struct pack *pack = packs->list;

    while (pack != NULL && (pack->node != node || pack->form != form)) {
        pack = pack->next;
    }
    return pack;
}

static struct pack *make(struct packs *packs, const struct node *node, const struct op_call *call,
                         const struct op_block *block)
{
    struct pack *pack = MEM_NEW(struct pack);
    void *data = mem_new_huge(block->pack_bytes, 1);

    if (pack == NULL || data == NULL) {
        mem_free(pack);
        mem_free(data);
        return NULL;
    }
    size_t used = node->is.op->pack(call, block, data);
    mem_forget((unsigned char *)data + used, block->pack_bytes - used);
    *pack = (struct pack){.node = node, .form = block->form, .data = data, .bytes = used, .next = packs->list};
    packs->list = pack;
    return pack;
}

enum err graph_pack(const struct graph *graph, const struct node *node, const struct op_call *call,
                    const struct op_block *block, const void **ret, struct err_note *note)
{
    struct packs *packs = graph->packs;

    (void)pthread_mutex_lock(&packs->lock);
    struct pack *pack = find(packs, node, block->form);
    if (pack == NULL) {
        pack = make(packs, node, call, block);
    }
    (void)pthread_mutex_unlock(&packs->lock);
    if (pack == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu bytes of packed weights", block->pack_bytes);
    }
    *ret = pack->data;
    return ERR_NONE;
}

size_t graph_packed_bytes(const struct graph *graph)
{
    struct packs *packs = graph->packs;
    size_t bytes = 0;

    (void)pthread_mutex_lock(&packs->lock);
    for (const struct pack *pack = packs->list; pack != NULL; pack = pack->next) {
        bytes += pack->bytes;
    }
    (void)pthread_mutex_unlock(&packs->lock);
    return bytes;
}

unsigned graph_packed_forms(const struct graph *graph, const struct node *node)
{
    struct packs *packs = graph->packs;
    unsigned forms = 0;

    (void)pthread_mutex_lock(&packs->lock);
    for (const struct pack *pack = packs->list; pack != NULL; pack = pack->next) {
        forms |= pack->node == node ? 1U << (unsigned)pack->form : 0;
    }
    (void)pthread_mutex_unlock(&packs->lock);
    return forms;
}

/* ---- Weights as written --------------------------------------------------------------------------------------------- */

#define WORTH_BYTES ((size_t)32 << 10) /* less is not given back: it shares its pages with others */

/* Does the node need this constant as it was written?  Packed are weights, which are input 1, and what is smaller. */
static bool needs(const struct graph *graph, const struct node *node, value_id value)
{
    for (int k = 0; k < node->is.n_in; k++) {
        if (node->in[k] == value && (k != 1 || graph_packed_forms(graph, node) == 0)) {
            return true;
        }
    }
    return false;
}

void graph_drop_packed(struct graph *graph)
{
    for (value_id id = 0; id < graph->n_values; id++) {
        struct value *value = &graph->values[id];
        bool drop = value->constant != NULL && value->uses > 0 && !value->dropped &&
                    tensor_bytes(value->constant) >= WORTH_BYTES && !graph_is_output(graph, id);
        for (int i = 0; drop && i < graph->n_nodes; i++) {
            drop = !needs(graph, graph->nodes[i], id);
        }
        if (drop) {
            mem_forget(value->constant->data, tensor_bytes(value->constant));
            value->dropped = true;
        }
    }
}

bool graph_dropped(const struct graph *graph, value_id value)
{
    return graph->values[value].dropped;
}
