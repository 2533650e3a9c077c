/* build_safetensors.c: a network with the weights of a safetensors file. */
#include <stdio.h>
#include <string.h>

#include "core/onnx/safetensors.h"
#include "core/train/build_private.h"

/* Names and the list of a file; IResNet-100 has 1,000 tensors. */
#define NAMES_BYTES ((size_t)64 << 20)

struct giving {
    struct safetensors file;
    bool *given; /* per entry */
    char prefix[BUILD_NAME_BYTES];
};

/* Whole parts of a name only. */
static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name);
    size_t end_len = strlen(end);

    return len >= end_len && strcmp(name + len - end_len, end) == 0 &&
           (len == end_len || name[len - end_len - 1] == '.');
}

/* What stands before the network's own names ("model.net."): found by the name of its last layer. */
static enum err find_prefix(const struct safetensors *file, const char *last, char ret[BUILD_NAME_BYTES],
                            int *ret_embedding, struct err_note *note)
{
    const struct safetensors_entry *found = NULL;

    for (int i = 0; i < file->count; i++) {
        if (ends_with(file->list[i].name, last)) {
            if (found != NULL) {
                return ERR_SAY(note, ERR_FORMAT, "the file holds two networks: '%.60s' and '%.60s'", found->name,
                               file->list[i].name);
            }
            found = &file->list[i];
        }
    }
    size_t len = found == NULL ? 0 : strlen(found->name) - strlen(last);
    if (found == NULL || len >= BUILD_NAME_BYTES || found->shape.rank != 1 || found->shape.dim[0] < 1 ||
        found->shape.dim[0] > 4096) {
        return ERR_SAY(note, ERR_FORMAT, "the file holds no vector '%s': it is another network", last);
    }
    memcpy(ret, found->name, len);
    ret[len] = '\0';
    *ret_embedding = (int)found->shape.dim[0];
    return ERR_NONE;
}

/* torch keeps slopes as a vector. */
static bool same_shape(const struct shape *ours, const struct shape *file)
{
    bool slopes = ours->rank == 3 && file->rank == 1;

    return shape_equal(ours, file) || (slopes && file->dim[0] == ours->dim[0]);
}

static enum err give(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note)
{
    struct giving *giving = context;
    char whole[2 * BUILD_NAME_BYTES];
    char text_a[SHAPE_TEXT_BYTES];
    char text_b[SHAPE_TEXT_BYTES];

    (void)snprintf(whole, sizeof whole, "%s%s", giving->prefix, name);
    const struct safetensors_entry *entry = safetensors_find(&giving->file, whole);
    if (entry == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "the file holds no '%s'", whole);
    }
    if (!same_shape(shape, &entry->shape)) {
        return ERR_SAY(note, ERR_FORMAT, "'%s' has the shape %s; this network needs %s", whole,
                       shape_text(&entry->shape, text_a), shape_text(shape, text_b));
    }
    giving->given[entry - giving->file.list] = true;
    return safetensors_floats(entry, ret, note);
}

/* A tensor that has no place means that the network is another one than the file's. */
static enum err check_all_given(const struct giving *giving, struct err_note *note)
{
    for (int i = 0; i < giving->file.count; i++) {
        const char *name = giving->file.list[i].name;
        if (!giving->given[i] && !ends_with(name, "num_batches_tracked")) {
            return ERR_SAY(note, ERR_FORMAT, "'%.80s' has no place in this network", name);
        }
    }
    return ERR_NONE;
}

static enum err build_given(enum build_network network, struct giving *giving, struct graph **ret,
                            struct err_note *note)
{
    const struct build_source source = {give, giving};
    struct build_options options = {.source = &source};
    bool mobile = network == BUILD_MBF || network == BUILD_MBF_Y1;
    struct graph *graph = NULL;

    enum err err = find_prefix(&giving->file, mobile ? "features.layers.3.running_mean" : "features.running_mean",
                               giving->prefix, &options.embedding, note);
    if (err == ERR_NONE) {
        err = build_network(network, &options, &graph, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = check_all_given(giving, note);
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    *ret = graph;
    return ERR_NONE;
}

enum err build_from_safetensors(enum build_network network, const void *bytes, size_t n_bytes, struct graph **ret,
                                struct err_note *note)
{
    struct arena *mem = arena_new(NAMES_BYTES);
    struct giving giving = {.given = NULL};

    if (mem == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to read weights");
    }
    enum err err = safetensors_read(bytes, n_bytes, mem, &giving.file, note);
    if (err == ERR_NONE) {
        giving.given = ARENA_ARRAY(mem, bool, giving.file.count);
        err = giving.given == NULL ? ERR_SAY(note, arena_why(mem), "no memory to read weights") : ERR_NONE;
    }
    if (err == ERR_NONE) {
        err = build_given(network, &giving, ret, note);
    }
    arena_free(mem);
    return err;
}
