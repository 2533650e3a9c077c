/* find_traps.c: one photo after the other; the file is written at the end. */
#include "server/find_traps.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/onnx/onnx.h"
#include "core/train/detector_traps.h"
#include "server/progress.h"

#define MODEL_BYTES ((size_t)64 << 20)
#define PHOTO_BYTES ((size_t)512 << 20)

static enum err load_detector(const char *path, struct detector **ret, struct err_note *note)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct graph *graph = NULL;
    struct onnx_info info;
    enum err err = file_read(path, MODEL_BYTES, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        err = onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, note);
    }
    mem_free(bytes);
    return err != ERR_NONE ? err : detector_new(graph, &how, ret, note);
}

static enum err search(const struct detector *detector, struct detector_labels *labels, struct cancel *cancel,
                       struct arena *mem, struct err_note *note)
{
    struct arena *scratch = arena_new(PHOTO_BYTES);
    struct session *session = NULL;
    struct progress progress;
    enum err err = scratch == NULL ? ERR_NOMEM : session_new(detector_graph(detector), NULL, &session);

    progress_start(&progress, "looking for traps", 0, labels->n_photos);
    for (int i = 0; i < labels->n_photos && err == ERR_NONE; i++) {
        struct labelled_photo *photo = &labels->photos[i];
        if (cancel_asked(cancel)) {
            err = ERR_CANCELLED;
        } else if (photo->n_faces > 0) { /* one that could not be read has none */
            err = detector_traps_find(detector, session, photo, (uint64_t)i, scratch, mem, note);
        }
        arena_reset(scratch);
        (void)progress_count(&progress);
        progress_show(&progress, "");
    }
    progress_end(&progress);
    session_free(session);
    arena_free(scratch);
    return err;
}

/* Labels of the same photos with nothing but the traps. */
static enum err write_traps(const struct detector_labels *labels, const char *path, struct arena *mem,
                            struct err_note *note)
{
    struct detector_labels traps = *labels;

    traps.whole = true;
    traps.photos = ARENA_ARRAY(mem, struct labelled_photo, labels->n_photos + 1);
    if (traps.photos == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < labels->n_photos; i++) {
        traps.photos[i] = labels->photos[i];
        traps.photos[i].n_faces = 0;
    }
    return detector_labels_write(&traps, path, note);
}

/* From a file: as the file rounds them, also where they were found just now. */
static enum err take_traps(struct detector_labels *labels, const char *path, struct arena *mem, struct err_note *note)
{
    struct detector_labels traps;
    enum err err = detector_labels_read(path, mem, &traps, note);

    if (err != ERR_NONE) {
        return err;
    }
    bool same = traps.whole && traps.n_photos == labels->n_photos;
    for (int i = 0; same && i < labels->n_photos; i++) {
        same = strcmp(traps.photos[i].path, labels->photos[i].path) == 0;
    }
    if (!same) {
        return ERR_SAY(note, ERR_CONFLICT, "%.150s holds the traps of other photos: remove it, or choose another",
                       path);
    }
    for (int i = 0; i < labels->n_photos; i++) {
        labels->photos[i].traps = traps.photos[i].traps;
        labels->photos[i].n_traps = traps.photos[i].n_traps;
    }
    labels->n_traps = traps.n_traps;
    return ERR_NONE;
}

enum err find_traps(const char *detector, struct detector_labels *labels, const char *traps_path, struct cancel *cancel,
                    struct arena *mem, struct err_note *note)
{
    struct detector *loaded = NULL;

    if (!file_exists(traps_path)) {
        enum err err = load_detector(detector, &loaded, note);
        err = err != ERR_NONE ? err : search(loaded, labels, cancel, mem, note);
        err = err != ERR_NONE ? err : write_traps(labels, traps_path, mem, note);
        detector_free(loaded);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return take_traps(labels, traps_path, mem, note);
}
