/* model.c: one model, from its file. */
#include "server/gallery/model.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/models/built_in.h"
#include "core/onnx/onnx.h"

#define TEXTS_LIMIT_BYTES ((size_t)8 << 20)

const struct graph *model_graph(const struct model *model)
{
    return model->detector != NULL ? detector_graph(model->detector) : recognizer_graph(model->recognizer);
}

void model_free(struct model *model)
{
    if (model == NULL) {
        return;
    }
    detector_free(model->detector);
    recognizer_free(model->recognizer);
    arena_free(model->mem);
    mem_free(model);
}

/* The manifest beside a model's file; *ret NULL without one. */
static enum err read_beside(const char *path, unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    char beside[PATH_MAX];

    if (snprintf(beside, sizeof beside, "%s.json", path) >= (int)sizeof beside) {
        return ERR_SAY(note, ERR_MISUSE, "the path is too long");
    }
    return file_exists(beside) ? file_read(beside, MANIFEST_LIMIT_BYTES, ret, ret_bytes, note) : ERR_NONE;
}

/* Takes the graph. */
static enum err wrap_graph(struct graph *take, struct model *model, struct err_note *note)
{
    if (model->manifest.role == MODEL_DETECTOR) {
        return detector_new(take, &model->manifest.how, &model->detector, note);
    }
    struct recognizer_options options = {.how = model->manifest.how, .flip = model->manifest.flip};
    enum err err = recognizer_new(take, &options, &model->recognizer, note);
    if (err == ERR_NONE) {
        model->dim = recognizer_dim(model->recognizer);
        model->side = recognizer_side(model->recognizer);
    }
    return err;
}

/* The parts of a model, as they were read. */
struct source {
    const char *name;
    const unsigned char *bytes;
    size_t n_bytes;
    const char *manifest; /* NULL: none */
    size_t manifest_bytes;
};

static enum err load_parts(const struct source *source, enum model_role role, struct model *model,
                           struct err_note *note)
{
    struct onnx_info info;
    struct graph *graph = NULL;
    unsigned char digest[HASH_SHA256_BYTES];

    enum err err = onnx_load(source->bytes, source->n_bytes, ONNX_FOR_INFERENCE, &graph, &info, note);
    if (err != ERR_NONE) {
        return err;
    }
    bool itself = role == MODEL_RECOGNIZER && recognizer_normalises_itself(graph);
    err = manifest_read(source->manifest, source->manifest_bytes, role, itself, model->mem, &model->manifest, note);
    if (err != ERR_NONE) {
        err_prefix(note, "the manifest: ");
        graph_free(graph);
        return err;
    }
    hash_sha256(source->bytes, source->n_bytes, digest);
    hash_text(digest, model->onnx_sha256);
    manifest_version(digest, &model->manifest, model->version);
    err = wrap_graph(graph, model, note);
    if (err == ERR_NONE) { /* its first run has packed the weights, and those of a recogniser are there packed only */
        model->constant_bytes = graph_constant_bytes(graph) + graph_packed_bytes(graph);
    }
    return err;
}

static enum err load(const struct source *source, enum model_role role, struct model **ret, struct err_note *note)
{
    struct model *model = MEM_NEW(struct model);

    if (model == NULL || (model->mem = arena_new(TEXTS_LIMIT_BYTES)) == NULL) {
        model_free(model);
        return ERR_SAY(note, ERR_NOMEM, "no memory to load %s", source->name);
    }
    model->refs = 1;
    model->name = arena_copy_text(model->mem, source->name);
    enum err err = model->name == NULL ? arena_why(model->mem) : load_parts(source, role, model, note);
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", source->name);
        model_free(model);
        return err;
    }
    *ret = model;
    return ERR_NONE;
}

static enum err find_built_in(enum model_role role, struct built_in_model *ret, struct err_note *note)
{
    bool detector = role == MODEL_DETECTOR;

    if (!built_in_find(detector ? BUILT_IN_DETECTOR : BUILT_IN_RECOGNIZER, ret)) {
        return ERR_SAY(note, ERR_NOT_FOUND, "this program was built without a %s of its own: give it --%s FILE.onnx",
                       detector ? "detector" : "recogniser", detector ? "detector" : "recognizer");
    }
    return ERR_NONE;
}

static bool is_built_in(const char *path)
{
    return strcmp(path, MODEL_BUILT_IN) == 0;
}

enum err model_bytes_open(const char *path, enum model_role role, struct model_bytes *ret, struct err_note *note)
{
    struct model_bytes bytes = {.mapped = !is_built_in(path)};
    struct built_in_model inside = {.name = NULL};
    enum err err = bytes.mapped ? file_map(path, MODEL_LIMIT_BYTES, &bytes.bytes, &bytes.n_bytes, note)
                                : find_built_in(role, &inside, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (!bytes.mapped) {
        bytes.bytes = inside.onnx;
        bytes.n_bytes = inside.onnx_bytes;
    }
    *ret = bytes;
    return ERR_NONE;
}

void model_bytes_close(struct model_bytes *bytes)
{
    if (bytes->mapped) {
        file_unmap(bytes->bytes, bytes->n_bytes);
    }
    *bytes = (struct model_bytes){.bytes = NULL};
}

static enum err load_built_in(enum model_role role, struct model **ret, struct err_note *note)
{
    struct built_in_model inside = {.name = NULL};
    enum err err = find_built_in(role, &inside, note);

    return err != ERR_NONE
               ? err
               : model_load_bytes(inside.name, inside.onnx, inside.onnx_bytes, inside.manifest, role, ret, note);
}

enum err model_load(const char *path, enum model_role role, struct model **ret, struct err_note *note)
{
    struct source source = {.name = file_base_name(path)};
    struct model_bytes bytes = {.bytes = NULL};
    unsigned char *manifest = NULL;

    if (is_built_in(path)) {
        return load_built_in(role, ret, note);
    }
    enum err err = model_bytes_open(path, role, &bytes, note);
    if (err != ERR_NONE) {
        err_prefix(note, "%s: ", source.name);
        return err;
    }
    err = read_beside(path, &manifest, &source.manifest_bytes, note);
    if (err == ERR_NONE) {
        source.bytes = bytes.bytes;
        source.n_bytes = bytes.n_bytes;
        source.manifest = (const char *)manifest;
        err = load(&source, role, ret, note);
    }
    mem_free(manifest);
    model_bytes_close(&bytes);
    return err;
}

enum err model_load_bytes(const char *name, const void *bytes, size_t n_bytes, const char *manifest,
                          enum model_role role, struct model **ret, struct err_note *note)
{
    const struct source source = {.name = name,
                                  .bytes = bytes,
                                  .n_bytes = n_bytes,
                                  .manifest = manifest,
                                  .manifest_bytes = manifest == NULL ? 0 : strlen(manifest)};

    return load(&source, role, ret, note);
}
