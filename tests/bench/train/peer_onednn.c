/* peer_onednn.c: through oneDNN's C interface, versions 2 and 3. */
#include "tests/bench/train/peer_onednn.h"

#include <stddef.h>

#if __has_include(<dnnl.h>)
#include <dnnl.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

enum {
    FORWARD,
    DATA,
    WEIGHTS,
    WAYS
};

struct peer {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t way[WAYS];
    dnnl_memory_t memory[WAYS][3]; /* source, weights, destination, each in the way's own layout */
    bool here[WAYS];
};

struct sizes {
    dnnl_dims_t source, weights, destination, stride, dilation, pad;
    int weight_dims;
};

static struct sizes sizes_of(const struct conv_shape *s, int batch)
{
    struct sizes z = {.source = {batch, s->groups * s->ic, s->in[1], s->in[2]},
                      .destination = {batch, s->groups * s->oc, s->out[1], s->out[2]},
                      .stride = {s->stride[1], s->stride[2]},
                      .pad = {s->pad[1], s->pad[2]},
                      .weight_dims = s->groups > 1 ? 5 : 4};
    int at = 0;

    if (s->groups > 1) {
        z.weights[at++] = s->groups;
    }
    z.weights[at++] = s->oc;
    z.weights[at++] = s->ic;
    z.weights[at++] = s->kernel[1];
    z.weights[at] = s->kernel[2];
    return z;
}

#if DNNL_VERSION_MAJOR < 3
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
#endif

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t describe(dnnl_engine_t engine, const struct sizes *z, int way, dnnl_alg_kind_t how,
                              dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *ret)
{
    dnnl_memory_desc_t a = NULL;
    dnnl_memory_desc_t w = NULL;
    dnnl_memory_desc_t c = NULL;

    if (dnnl_memory_desc_create_with_tag(&a, 4, z->source, dnnl_f32, dnnl_format_tag_any) != dnnl_success ||
        dnnl_memory_desc_create_with_tag(&w, z->weight_dims, z->weights, dnnl_f32, dnnl_format_tag_any) !=
            dnnl_success ||
        dnnl_memory_desc_create_with_tag(&c, 4, z->destination, dnnl_f32, dnnl_format_tag_any) != dnnl_success) {
        return dnnl_invalid_arguments;
    }
    dnnl_status_t status =
        way == FORWARD
            ? dnnl_convolution_forward_primitive_desc_create(ret, engine, dnnl_forward_training, how, a, w, NULL, c,
                                                             z->stride, z->dilation, z->pad, z->pad, NULL)
        : way == DATA ? dnnl_convolution_backward_data_primitive_desc_create(ret, engine, how, a, w, c, z->stride,
                                                                             z->dilation, z->pad, z->pad, hint, NULL)
                      : dnnl_convolution_backward_weights_primitive_desc_create(
                            ret, engine, how, a, w, NULL, c, z->stride, z->dilation, z->pad, z->pad, hint, NULL);
    (void)dnnl_memory_desc_destroy(a);
    (void)dnnl_memory_desc_destroy(w);
    (void)dnnl_memory_desc_destroy(c);
    return status;
}
#else
static dnnl_status_t describe(dnnl_engine_t engine, const struct sizes *z, int way, dnnl_alg_kind_t how,
                              dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *ret)
{
    dnnl_convolution_desc_t d;
    dnnl_memory_desc_t a;
    dnnl_memory_desc_t w;
    dnnl_memory_desc_t c;

    (void)dnnl_memory_desc_init_by_tag(&a, 4, z->source, dnnl_f32, dnnl_format_tag_any);
    (void)dnnl_memory_desc_init_by_tag(&w, z->weight_dims, z->weights, dnnl_f32, dnnl_format_tag_any);
    (void)dnnl_memory_desc_init_by_tag(&c, 4, z->destination, dnnl_f32, dnnl_format_tag_any);
    dnnl_status_t status =
        way == FORWARD ? dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, how, &a, &w, NULL, &c, z->stride,
                                                            z->pad, z->pad)
        : way == DATA
            ? dnnl_convolution_backward_data_desc_init(&d, how, &a, &w, &c, z->stride, z->pad, z->pad)
            : dnnl_convolution_backward_weights_desc_init(&d, how, &a, &w, NULL, &c, z->stride, z->pad, z->pad);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(ret, &d, NULL, engine, hint);
}
#endif

static const int arguments[WAYS][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                       {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                       {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};

/* A memory of the layout that the primitive wants, filled with numbers that are no trouble. */
static bool fill(struct peer *peer, int way, dnnl_primitive_desc_t chosen)
{
    for (int i = 0; i < 3; i++) {
        const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(chosen, dnnl_query_exec_arg_md, arguments[way][i]);
        void *data = NULL;
        if (md == NULL || dnnl_memory_create(&peer->memory[way][i], md, peer->engine, DNNL_MEMORY_ALLOCATE) != 0 ||
            dnnl_memory_get_data_handle(peer->memory[way][i], &data) != dnnl_success) {
            return false;
        }
        float *f = data;
        for (size_t k = 0; k < dnnl_memory_desc_get_size(md) / sizeof *f; k++) {
            f[k] = (float)(k * 2654435761U >> 20 & 255) / 256 - .5F;
        }
    }
    return true;
}

static void execute(struct peer *peer, int way)
{
    dnnl_exec_arg_t list[3];

    for (int i = 0; i < 3; i++) {
        list[i] = (dnnl_exec_arg_t){arguments[way][i], peer->memory[way][i]};
    }
    (void)dnnl_primitive_execute(peer->way[way], peer->stream, 3, list);
    (void)dnnl_stream_wait(peer->stream);
}

static void drop(struct peer *peer, int way)
{
    for (int i = 0; i < 3; i++) {
        (void)dnnl_memory_destroy(peer->memory[way][i]);
        peer->memory[way][i] = NULL;
    }
    (void)dnnl_primitive_destroy(peer->way[way]);
    peer->way[way] = NULL;
    peer->here[way] = false;
}

static double make(struct peer *peer, const struct sizes *z, int way, dnnl_alg_kind_t how, dnnl_primitive_desc_t hint,
                   dnnl_primitive_desc_t *ret)
{
    if (describe(peer->engine, z, way, how, hint, ret) != dnnl_success) {
        return -1;
    }
    peer->here[way] = dnnl_primitive_create(&peer->way[way], *ret) == dnnl_success && fill(peer, way, *ret);
    if (!peer->here[way]) {
        return -1;
    }
    double best = 0;
    for (int i = 0; i < 3; i++) {
        int64_t start = clock_monotonic_ns();
        execute(peer, way);
        double now = (double)(clock_monotonic_ns() - start);
        best = i == 0 || now < best ? now : best;
    }
    return best;
}

struct peer *peer_new(const struct conv_shape *s, int batch, bool first)
{
    struct peer *peer = MEM_NEW(struct peer);
    struct sizes z = sizes_of(s, batch);
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_desc_t other = NULL;

    if (peer == NULL || dnnl_engine_create(&peer->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&peer->stream, peer->engine, dnnl_stream_default_flags) != dnnl_success) {
        return NULL;
    }
    double winograd = make(peer, &z, FORWARD, dnnl_convolution_winograd, NULL, &other);
    if (winograd >= 0) {
        drop(peer, FORWARD);
    }
    double direct = make(peer, &z, FORWARD, dnnl_convolution_direct, NULL, &hint);
    if (!first) {
        (void)make(peer, &z, DATA, dnnl_convolution_direct, hint, &other);
    }
    (void)make(peer, &z, WEIGHTS, dnnl_convolution_direct, hint, &other);
    if (winograd >= 0 && winograd < direct) {
        drop(peer, FORWARD);
        (void)make(peer, &z, FORWARD, dnnl_convolution_winograd, NULL, &other);
    }
    return peer;
}

void peer_run(struct peer *peer)
{
    for (int way = 0; way < WAYS; way++) {
        if (peer->here[way]) {
            execute(peer, way);
        }
    }
}

void peer_free(struct peer *peer)
{
    if (peer == NULL) {
        return;
    }
    for (int way = 0; way < WAYS; way++) {
        if (peer->here[way]) {
            drop(peer, way);
        }
    }
    (void)dnnl_stream_destroy(peer->stream);
    (void)dnnl_engine_destroy(peer->engine);
    mem_free(peer);
}

#else /* oneDNN is not installed */

struct peer *peer_new(const struct conv_shape *s, int batch, bool first)
{
    return NULL;
}

void peer_run(struct peer *peer)
{
}

void peer_free(struct peer *peer)
{
}

#endif
