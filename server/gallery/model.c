/* model.c: one model, from its file. */
#include "server/gallery/model.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
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

static enum err read_manifest(const char *path, enum model_role role, const struct graph *graph, struct model *model,
                              struct err_note *note)
{
    char beside[PATH_MAX];
    unsigned char *text = NULL;
    size_t bytes = 0;
    bool itself = role == MODEL_RECOGNIZER && recognizer_normalises_itself(graph);

    if (snprintf(beside, sizeof beside, "%s.json", path) >= (int)sizeof beside) {
        return ERR_SAY(note, ERR_MISUSE, "the path is too long");
    }
    enum err err = ERR_NONE;
    if (file_exists(beside)) {
        err = file_read(beside, MANIFEST_LIMIT_BYTES, &text, &bytes, note);
    }
    if (err == ERR_NONE) {
        err = manifest_read((const char *)text, bytes, role, itself, model->mem, &model->manifest, note);
        if (err != ERR_NONE) {
            err_prefix(note, "%s.json: ", file_base_name(path));
        }
    }
    mem_free(text);
    return err;
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

static enum err load_mapped(const char *path, const unsigned char *bytes, size_t n_bytes, enum model_role role,
                            struct model *model, struct err_note *note)
{
    struct onnx_info info;
    struct graph *graph = NULL;
    unsigned char digest[HASH_SHA256_BYTES];

    enum err err = onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = read_manifest(path, role, graph, model, note);
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    hash_sha256(bytes, n_bytes, digest);
    hash_text(digest, model->onnx_sha256);
    manifest_version(digest, &model->manifest, model->version);
    model->constant_bytes = graph_constant_bytes(graph);
    return wrap_graph(graph, model, note);
}

enum err model_load(const char *path, enum model_role role, struct model **ret, struct err_note *note)
{
    const unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct model *model = MEM_NEW(struct model);

    if (model == NULL || (model->mem = arena_new(TEXTS_LIMIT_BYTES)) == NULL) {
        model_free(model);
        return ERR_SAY(note, ERR_NOMEM, "no memory to load %s", file_base_name(path));
    }
    model->refs = 1;
    model->name = arena_copy_text(model->mem, file_base_name(path));
    enum err err =
        model->name == NULL ? arena_why(model->mem) : file_map(path, MODEL_LIMIT_BYTES, &bytes, &n_bytes, note);
    if (err == ERR_NONE) {
        err = load_mapped(path, bytes, n_bytes, role, model, note);
        if (err != ERR_NONE) {
            err_prefix(note, "%s: ", file_base_name(path));
        }
        file_unmap(bytes, n_bytes);
    }
    if (err != ERR_NONE) {
        model_free(model);
        return err;
    }
    *ret = model;
    return ERR_NONE;
}
