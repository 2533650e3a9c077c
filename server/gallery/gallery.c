/* gallery.c: opening: models, then collections, then their indexes. */
#include "server/gallery/gallery.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/base/mem.h"
#include "server/gallery/batch.h"
#include "server/gallery/gallery_private.h"
#include "server/store/audit_rows.h"

#define OPENING_ARENA_BYTES ((size_t)256 << 20)

const char *gallery_reason_word(enum gallery_reason reason)
{
    switch (reason) {
    case GALLERY_REASON_NONE: return NULL;
    case GALLERY_NOT_AN_IMAGE: return "not_an_image";
    case GALLERY_DAMAGED_IMAGE: return "damaged_image";
    case GALLERY_IMAGE_TOO_LARGE: return "image_too_large";
    case GALLERY_WRONG_CROP_SIZE: return "wrong_crop_size";
    case GALLERY_NO_FACE: return "no_face";
    case GALLERY_SEVERAL_FACES: return "several_faces";
    case GALLERY_LOW_QUALITY: return "low_quality";
    case GALLERY_NO_SUCH_COLLECTION: return "no_such_collection";
    case GALLERY_NO_SUCH_SUBJECT: return "no_such_subject";
    case GALLERY_NO_SUCH_FACE: return "no_such_face";
    case GALLERY_NO_SUCH_MODEL: return "no_such_model";
    case GALLERY_NO_IMAGE_KEPT: return "no_image_kept";
    case GALLERY_BAD_NAME: return "bad_name";
    case GALLERY_BAD_METADATA: return "bad_metadata";
    case GALLERY_BAD_INDEX: return "bad_index";
    case GALLERY_BAD_OPTION: return "bad_option";
    case GALLERY_BAD_EMBEDDING: return "bad_embedding";
    case GALLERY_WRONG_DIMENSION: return "wrong_dimension";
    case GALLERY_UNSUPPORTED_RATE: return "unsupported_rate";
    case GALLERY_NAME_TAKEN: return "name_taken";
    case GALLERY_DUPLICATE: return "duplicate";
    case GALLERY_NOT_MERGED: return "not_merged";
    case GALLERY_COLLECTION_EXISTS: return "collection_exists";
    case GALLERY_OTHER_COLLECTION: return "other_collection";
    case GALLERY_NO_MODEL: return "no_model";
    case GALLERY_MODEL_PINNED: return "model_pinned";
    case GALLERY_NO_CROPS: return "no_crops";
    case GALLERY_OTHER_CROPS: return "other_crops";
    case GALLERY_NOT_PROVEN: return "not_proven";
    case GALLERY_MOVED: return "moved";
    case GALLERY_NO_FORMER_MODEL: return "no_former_model";
    case GALLERY_BAD_MODEL: return "bad_model";
    case GALLERY_MODEL_IN_USE: return "model_in_use";
    case GALLERY_TOO_FEW: return "too_few";
    case GALLERY_NO_SUCH_JOB: return "no_such_job";
    case GALLERY_OTHER_JOB: return "other_job";
    }
    return NULL;
}

struct gallery_policy gallery_policy_default(void)
{
    const struct image_limits limits = image_limits_default();

    return (struct gallery_policy){.threshold = .40F,
                                   .max_fmr = 1e-4,
                                   .margin = .03F,
                                   .top_k_max = 100,
                                   .detect_side = 640,
                                   .detect_score = .5F,
                                   .faces_max = 256,
                                   .photo_bytes = limits.bytes,
                                   .photo_pixels = limits.pixels,
                                   .photo_side = limits.side,
                                   .models_kept = 3};
}

struct store *gallery_store(struct gallery *gallery)
{
    return gallery->store;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void say(const struct gallery *gallery, enum gallery_severity severity, const char *event, const char *format,
                ...) PRINTF_LIKE(4, 5);
static void say(const struct gallery *gallery, enum gallery_severity severity, const char *event, const char *format,
                ...)
{
    char sentence[512];
    va_list args;

    if (gallery->listener.say != NULL) {
        va_start(args, format);
        (void)vsnprintf(sentence, sizeof sentence, format, args);
        va_end(args);
        gallery->listener.say(gallery->listener.context, severity, event, sentence);
    }
}

static void say_assumed(const struct gallery *gallery, const struct model *model)
{
    if (model->manifest.assumed != NULL) {
        say(gallery, GALLERY_SAY_WARN, "model_assumed", "%s: %s", model->name, model->manifest.assumed);
    }
}

static enum err load_detector(struct gallery *gallery, const char *path, struct err_note *note)
{
    if (path == NULL && gallery->store == NULL) {
        return ERR_NONE;
    }
    if (path == NULL) {
        say(gallery, GALLERY_SAY_WARN, "no_detector",
            "no detector is given: only aligned crops and embeddings are taken");
        return ERR_NONE;
    }
    enum err err = model_load(path, MODEL_DETECTOR, &gallery->detector, note);
    if (err == ERR_NONE) {
        say_assumed(gallery, gallery->detector);
    }
    return err;
}

static enum err load_recognizer(struct gallery *gallery, const char *path, struct arena *mem, struct err_note *note)
{
    struct model *model = NULL;

    if (path == NULL) {
        if (gallery->store != NULL) {
            say(gallery, GALLERY_SAY_WARN, "no_recognizer", "no recogniser is given: no collection can be made");
        }
        return ERR_NONE;
    }
    enum err err = model_load(path, MODEL_RECOGNIZER, &model, note);
    if (err == ERR_NONE) {
        say_assumed(gallery, model);
        err = models_take(gallery->models, model, path, mem, &gallery->default_model, note);
    }
    return err;
}

static enum err make_default_collection(struct gallery *gallery, struct arena *mem, struct err_note *note)
{
    struct collection_row row = {0};
    struct err_note none = {0};
    enum err err = store_collection_find(gallery->store, DEFAULT_COLLECTION, mem, &row, &none);

    if (err == ERR_NOT_FOUND && gallery->default_model != NULL) {
        const struct collection_new what = {
            .name = DEFAULT_COLLECTION, .model_id = gallery->default_model->row_id, .keep = KEEP_CROP};
        return store_collection_add(gallery->store, &what, AUDIT_DAEMON, mem, &row, note);
    }
    if (err != ERR_NONE && err != ERR_NOT_FOUND && note != NULL) {
        *note = none;
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* Builds the index of one collection now, so that no request waits for it; a broken one does not keep the others from
 * serving, and says so again to whoever asks for it. */
static enum err warm(struct gallery *gallery, const struct collection_row *row, struct arena *mem)
{
    struct err_note note = {0};
    struct pair *pair = NULL;

    enum err err = live_get(gallery->live, row->id, mem, &pair, &note);
    if (err != ERR_NONE) {
        say(gallery, GALLERY_SAY_ERROR, "collection_unusable", "collection %s cannot be served: %s", row->name,
            note.text[0] == '\0' ? err_word(err) : note.text);
        return err == ERR_NOMEM ? err : ERR_NONE;
    }
    if (gallery->default_model != NULL && pair->model != gallery->default_model) {
        say(gallery, GALLERY_SAY_INFO, "collection_pinned",
            "collection %s keeps its model %.12s (%s); the one given at start is for new collections", row->name,
            pair->model->version, pair->model->name);
    }
    live_unref(gallery->live, pair);
    return ERR_NONE;
}

static enum err warm_all(struct gallery *gallery, struct arena *mem, struct err_note *note)
{
    struct store_page page = {.limit = STORE_PAGE_LIMIT};
    enum err err = ERR_NONE;

    do {
        struct collection_row *rows = NULL;
        int n = 0;
        err = store_collection_list(gallery->store, &page, mem, &rows, &n, &page.token, note);
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            err = warm(gallery, &rows[i], mem);
        }
    } while (err == ERR_NONE && page.token != NULL);
    return err;
}

static enum err load_models(struct gallery *gallery, const struct gallery_options *options, struct arena *mem,
                            struct err_note *note)
{
    char folder[PATH_MAX] = "";

    if (options->store != NULL && snprintf(folder, sizeof folder, "%s/models", options->data) >= (int)sizeof folder) {
        return ERR_SAY(note, ERR_MISUSE, "the path of the data folder is too long");
    }
    enum err err = models_new(options->store, folder, &gallery->models, note);
    if (err == ERR_NONE) {
        err = load_detector(gallery, options->detector, note);
    }
    return err == ERR_NONE ? load_recognizer(gallery, options->recognizer, mem, note) : err;
}

static enum err load_collections(struct gallery *gallery, const struct gallery_options *options, struct arena *mem,
                                 struct err_note *note)
{
    const struct filler filler = {.store = gallery->store,
                                  .data = options->data,
                                  .segment_rows = options->segment_rows,
                                  .map_saved = options->map_saved,
                                  .listener = gallery->listener};
    enum err err = live_new(&filler, gallery->models, &gallery->live, note);

    if (err == ERR_NONE) {
        err = filters_new(gallery->store, &gallery->filters, note);
    }
    if (err == ERR_NONE) {
        err = make_default_collection(gallery, mem, note);
    }
    if (err == ERR_NONE) {
        err = warm_all(gallery, mem, note);
    }
    if (err == ERR_NONE) {
        live_keep_files(gallery->live);
    }
    return err;
}

enum err gallery_open(const struct gallery_options *options, struct gallery **ret, struct err_note *note)
{
    struct gallery *gallery = MEM_NEW(struct gallery);
    struct arena *mem = arena_new(OPENING_ARENA_BYTES);
    enum err err = ERR_NOMEM;

    if (gallery != NULL) {
        (void)pthread_mutex_init(&gallery->refusing, NULL);
    }
    if (gallery != NULL && mem != NULL) {
        const struct gallery_policy *policy = &options->policy;
        gallery->store = options->store;
        gallery->policy = *policy;
        gallery->limits = (struct image_limits){
            .bytes = policy->photo_bytes, .pixels = policy->photo_pixels, .side = policy->photo_side};
        gallery->session_bytes = options->session_bytes;
        gallery->listener = options->listener;
        const struct batch_plan plan = {
            .crops = options->batch, .wait_ns = options->batch_wait_ms * 1000000, .runs = cpu_count()};
        err = options->batch > 1 ? batcher_new(&plan, &gallery->batcher) : ERR_NONE;
        if (err == ERR_NONE && options->lone_threads > 1) {
            err = pool_new(options->lone_threads, &gallery->lone);
        }
        err = err != ERR_NONE ? err : load_models(gallery, options, mem, note);
        if (err == ERR_NONE && gallery->store != NULL) {
            err = load_collections(gallery, options, mem, note);
        }
    }
    arena_free(mem);
    if (err != ERR_NONE) {
        gallery_close(gallery);
        return ERR_SAY(note, err, "the gallery cannot be opened: %s", err_word(err));
    }
    *ret = gallery;
    return ERR_NONE;
}

void gallery_close(struct gallery *gallery)
{
    if (gallery == NULL) {
        return;
    }
    live_free(gallery->live);
    filters_free(gallery->filters);
    models_free(gallery->models);
    model_free(gallery->detector);
    batcher_free(gallery->batcher);
    pool_free(gallery->lone);
    (void)pthread_mutex_destroy(&gallery->refusing);
    mem_free(gallery);
}

/* ---- What runs here ---------------------------------------------------------------------------------------------- */

/* Room for what is in memory at one moment; more models than this come only with as many collections, each its own. */
#define MODELS_SHOWN 256

struct showing {
    struct gallery_worker *worker;
    struct model_info *infos;
    int n;
    bool spent;
};

static const char *keep_text(struct showing *showing, const char *text)
{
    if (text == NULL) {
        return NULL;
    }
    const char *copy = arena_copy_text(showing->worker->mem, text);
    showing->spent = showing->spent || copy == NULL;
    return copy;
}

static void show(void *context, const struct model *model)
{
    struct showing *showing = context;
    const struct gallery *gallery = showing->worker->gallery;

    if (showing->n == MODELS_SHOWN) {
        return;
    }
    showing->infos[showing->n++] = (struct model_info){.version = keep_text(showing, model->version),
                                                       .role = model_role_word(model->manifest.role),
                                                       .file = keep_text(showing, model->name),
                                                       .source = keep_text(showing, model->manifest.source),
                                                       .licence = keep_text(showing, model->manifest.licence),
                                                       .dim = model->dim,
                                                       .side = model->side,
                                                       .calibrated = model->manifest.calibration.n_points >= 2,
                                                       .is_default = model == gallery->default_model};
}

enum err gallery_models(struct gallery_worker *worker, struct model_info **ret, int *ret_count)
{
    struct showing showing = {.worker = worker, .infos = ARENA_ARRAY(worker->mem, struct model_info, MODELS_SHOWN)};

    if (showing.infos == NULL) {
        return spent(worker->mem);
    }
    if (worker->gallery->detector != NULL) {
        show(&showing, worker->gallery->detector);
    }
    models_each(worker->gallery->models, show, &showing);
    if (showing.spent) {
        return spent(worker->mem);
    }
    *ret = showing.infos;
    *ret_count = showing.n;
    return ERR_NONE;
}

static void add_model(void *context, const struct model *model)
{
    struct gallery_usage *usage = context;

    usage->models++;
    usage->model_bytes += model->constant_bytes;
}

void gallery_usage(struct gallery *gallery, struct gallery_usage *ret)
{
    struct gallery_usage usage = {0};
    struct live_usage live = {0};

    if (gallery->live != NULL) {
        live_usage(gallery->live, &live);
    }
    usage.collections = live.collections;
    usage.indexed_faces = live.vectors;
    usage.index_bytes = live.index_bytes;
    usage.accelerated_faces = live.accelerated;
    usage.accelerator_bytes = live.accelerator_bytes;
    models_each(gallery->models, add_model, &usage);
    if (gallery->detector != NULL) {
        add_model(&usage, gallery->detector);
    }
    *ret = usage;
}
