/*
 * models.c: every recogniser in memory, once, and its copy in the data folder.
 *
 * One lock guards the list and the counts, and is held while a model is loaded: two requests that need the same model for
 * the first time must not load it twice, and loading happens at start or once in a collection's life.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/gallery/model.h"
#include "server/store/audit_rows.h"

struct models {
    /* immutable */
    struct store *store;
    char folder[PATH_MAX];

    pthread_mutex_t lock;
    struct model *first; /* guarded by lock, like every model's refs and next */

    /* For the calibration of the models in the list: lock is held while a model is loaded, for which no search may wait.  Who
     * replaces one holds both. */
    pthread_mutex_t calibrating;
};

enum err models_new(struct store *store, const char *folder, struct models **ret, struct err_note *note)
{
    struct models *models = MEM_NEW(struct models);

    if (models == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for the list of models");
    }
    enum err err = ERR_NONE;
    if (snprintf(models->folder, sizeof models->folder, "%s", folder) >= (int)sizeof models->folder) {
        err = ERR_SAY(note, ERR_MISUSE, "the path of the folder of models is too long");
    } else if (store != NULL) {
        err = folder_make(folder, note);
    }
    if (err == ERR_NONE && pthread_mutex_init(&models->lock, NULL) != 0) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for a lock");
    }
    if (err == ERR_NONE && pthread_mutex_init(&models->calibrating, NULL) != 0) {
        pthread_mutex_destroy(&models->lock);
        err = ERR_SAY(note, ERR_NOMEM, "no memory for a lock");
    }
    if (err != ERR_NONE) {
        mem_free(models);
        return err;
    }
    models->store = store;
    *ret = models;
    return ERR_NONE;
}

void models_free(struct models *models)
{
    if (models == NULL) {
        return;
    }
    while (models->first != NULL) {
        struct model *model = models->first;
        models->first = model->next;
        model_free(model);
    }
    pthread_mutex_destroy(&models->calibrating);
    pthread_mutex_destroy(&models->lock);
    mem_free(models);
}

static struct model *find_version(struct models *models, const char *version)
{
    for (struct model *model = models->first; model != NULL; model = model->next) {
        if (strcmp(model->version, version) == 0) {
            return model;
        }
    }
    return NULL;
}

static struct model *find_row(struct models *models, int64_t row_id)
{
    for (struct model *model = models->first; model != NULL; model = model->next) {
        if (model->row_id == row_id) {
            return model;
        }
    }
    return NULL;
}

static enum err path_in_folder(const struct models *models, const char *file, const char *ending, char ret[PATH_MAX],
                               struct err_note *note)
{
    if (snprintf(ret, PATH_MAX, "%s/%s%s", models->folder, file, ending) >= PATH_MAX) {
        return ERR_SAY(note, ERR_MISUSE, "the path of a model in the data folder is too long");
    }
    return ERR_NONE;
}

/* True if the file holds exactly these bytes. */
static bool file_holds(const char *path, const unsigned char *bytes, size_t n_bytes)
{
    const unsigned char *held = NULL;
    size_t n_held = 0;
    struct err_note unsaid = {0};

    if (!file_exists(path) || file_map(path, MODEL_LIMIT_BYTES, &held, &n_held, &unsaid) != ERR_NONE) {
        return false;
    }
    bool same = n_held == n_bytes && (n_bytes == 0 || memcmp(held, bytes, n_bytes) == 0);
    file_unmap(held, n_held);
    return same;
}

/* A file that is there is written again only if a disk or a person has damaged it. */
static enum err write_unless_there(const char *path, const void *bytes, size_t n_bytes, struct err_note *note)
{
    return file_holds(path, bytes, n_bytes) ? ERR_NONE : file_write(path, bytes, n_bytes, note);
}

/* The manifest goes first: a model's file without it would be read with assumptions after a crash in between. */
static enum err write_files(struct models *models, const struct model *model, const void *bytes, size_t n_bytes,
                            const char *file, struct err_note *note)
{
    char to[PATH_MAX];
    char beside[PATH_MAX];

    enum err err = path_in_folder(models, file, "", to, note);
    if (err == ERR_NONE) {
        err = path_in_folder(models, file, ".json", beside, note);
    }
    if (err == ERR_NONE) {
        err = write_unless_there(beside, model->manifest.json, strlen(model->manifest.json), note);
    }
    return err != ERR_NONE ? err : write_unless_there(to, bytes, n_bytes, note);
}

static enum err add_row(struct models *models, const struct model *model, const char *file, const struct replay *replay,
                        struct arena *mem, int64_t *ret, struct err_note *note)
{
    const struct manifest *manifest = &model->manifest;
    struct model_row row = {.role = MODEL_RECOGNIZER,
                            .state = MODEL_READY,
                            .name = model->name,
                            .file = file,
                            .dim = model->dim,
                            .side_px = model->side,
                            .flip = manifest->flip,
                            .align_version = ALIGN_VERSION,
                            .preprocess = manifest->preprocess_json,
                            .calibration = manifest->calibration_json,
                            .source = manifest->source,
                            .licence = manifest->licence};
    struct model_row added = {0};

    memcpy(row.version, model->version, sizeof row.version);
    memcpy(row.onnx_sha256, model->onnx_sha256, sizeof row.onnx_sha256);
    enum err err = store_model_add(models->store, &row, AUDIT_DAEMON, replay, mem, &added, note);
    /* A manifest does not take away a calibration that was measured here, and put in force by a person. */
    if (err == ERR_NONE && manifest->calibration_json != NULL && added.calibrated_by == 0) {
        err = store_model_calibrate(models->store, added.id, manifest->calibration_json, AUDIT_DAEMON, note);
    }
    if (err == ERR_NONE) {
        *ret = added.id;
    }
    return err;
}

/* The rows hold the calibration in force: it is data beside the version and may have been measured since. */
static enum err use_row(struct model *model, const struct model_row *row, struct err_note *note)
{
    model->row_id = row->id;
    model->manifest.calibration = (struct calibration){0};
    return row->calibration == NULL ? ERR_NONE
                                    : manifest_read_calibration(row->calibration, &model->manifest.calibration, note);
}

static enum err take_new(struct models *models, struct model *model, const void *bytes, size_t n_bytes,
                         const struct replay *replay, struct arena *mem, struct err_note *note)
{
    char file[STORE_VERSION_TEXT + sizeof ".onnx"];
    struct model_row row;
    int64_t id = 0;

    (void)snprintf(file, sizeof file, "%s.onnx", model->version);
    enum err err = write_files(models, model, bytes, n_bytes, file, note);
    if (err == ERR_NONE) {
        err = add_row(models, model, file, replay, mem, &id, note);
    }
    if (err == ERR_NONE) {
        err = store_model_get(models->store, id, mem, &row, note);
    }
    return err != ERR_NONE ? err : use_row(model, &row, note);
}

enum err models_take_bytes(struct models *models, struct model *take, const void *bytes, size_t n_bytes,
                           const struct replay *replay, struct arena *mem, struct model **ret, struct err_note *note)
{
    /* Outside of the lock, because it writes rows: a writer may be waiting for an index, and who builds one for a model. */
    enum err err = models->store == NULL ? ERR_NONE : take_new(models, take, bytes, n_bytes, replay, mem, note);

    if (err != ERR_NONE) {
        model_free(take);
        return err;
    }
    (void)pthread_mutex_lock(&models->lock);
    struct model *known = find_version(models, take->version);
    if (known != NULL) {
        known->refs++;
    } else {
        take->next = models->first;
        models->first = take;
    }
    (void)pthread_mutex_unlock(&models->lock);
    if (known != NULL) {
        model_free(take);
    }
    *ret = known != NULL ? known : take;
    return ERR_NONE;
}

enum err models_take(struct models *models, struct model *take, const char *path, struct arena *mem, struct model **ret,
                     struct err_note *note)
{
    struct model_bytes bytes = {.bytes = NULL};

    enum err err = model_bytes_open(path, MODEL_RECOGNIZER, &bytes, note);
    if (err != ERR_NONE) {
        model_free(take);
        return err;
    }
    err = models_take_bytes(models, take, bytes.bytes, bytes.n_bytes, NULL, mem, ret, note);
    model_bytes_close(&bytes);
    return err;
}

enum err models_remove_files(struct models *models, const char *file, struct err_note *note)
{
    char path[PATH_MAX];
    char beside[PATH_MAX];

    enum err err = path_in_folder(models, file, "", path, note);
    if (err == ERR_NONE) {
        err = path_in_folder(models, file, ".json", beside, note);
    }
    if (err == ERR_NONE) {
        err = file_remove(path, note);
    }
    return err != ERR_NONE ? err : file_remove(beside, note);
}

/* The data folder's copy was good when it was written: if it is not read now, that is no fault of whoever asks. */
static enum err blame_folder(enum err err)
{
    bool unread = err == ERR_FORMAT || err == ERR_UNSUPPORTED || err == ERR_NOT_FOUND || err == ERR_MISUSE;
    return unread ? ERR_CORRUPT : err;
}

static enum err load_row(struct models *models, int64_t row_id, struct arena *mem, struct model **ret,
                         struct err_note *note)
{
    char path[PATH_MAX];
    struct model_row row = {0};
    struct model *model = NULL;

    enum err err = store_model_get(models->store, row_id, mem, &row, note);
    if (err == ERR_NONE) {
        err = path_in_folder(models, row.file, "", path, note);
    }
    if (err == ERR_NONE) {
        err = blame_folder(model_load(path, MODEL_RECOGNIZER, &model, note));
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (strcmp(model->version, row.version) != 0) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s in the data folder has changed: it is no longer the model version %.12s…",
                      row.file, row.version);
    } else {
        model->name = arena_copy_text(model->mem, row.name);
        err = model->name == NULL ? arena_why(model->mem) : use_row(model, &row, note);
    }
    if (err != ERR_NONE) {
        model_free(model);
        return err;
    }
    *ret = model;
    return ERR_NONE;
}

enum err models_get(struct models *models, int64_t row_id, struct arena *mem, struct model **ret, struct err_note *note)
{
    enum err err = ERR_NONE;

    (void)pthread_mutex_lock(&models->lock);
    struct model *model = find_row(models, row_id);
    if (model != NULL) {
        model->refs++;
    } else {
        err = load_row(models, row_id, mem, &model, note);
        if (err == ERR_NONE) {
            model->next = models->first;
            models->first = model;
        }
    }
    (void)pthread_mutex_unlock(&models->lock);
    if (err == ERR_NONE) {
        *ret = model;
    }
    return err;
}

struct model *models_ref(struct models *models, struct model *model)
{
    (void)pthread_mutex_lock(&models->lock);
    model->refs++;
    (void)pthread_mutex_unlock(&models->lock);
    return model;
}

void models_unref(struct models *models, struct model *model)
{
    struct model *dead = NULL;

    if (model == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&models->lock);
    if (--model->refs == 0) {
        struct model **link = &models->first;
        while (*link != model) {
            link = &(*link)->next;
        }
        *link = model->next;
        dead = model;
    }
    (void)pthread_mutex_unlock(&models->lock);
    model_free(dead);
}

void models_calibration(struct models *models, const struct model *model, struct calibration *ret)
{
    (void)pthread_mutex_lock(&models->calibrating);
    *ret = model->manifest.calibration;
    (void)pthread_mutex_unlock(&models->calibrating);
}

void models_calibrate(struct models *models, int64_t row_id, const struct calibration *calibration)
{
    (void)pthread_mutex_lock(&models->lock);
    struct model *model = find_row(models, row_id);
    if (model != NULL) {
        (void)pthread_mutex_lock(&models->calibrating);
        model->manifest.calibration = *calibration;
        (void)pthread_mutex_unlock(&models->calibrating);
    }
    (void)pthread_mutex_unlock(&models->lock);
}

void models_each(struct models *models, void (*call)(void *context, const struct model *model), void *context)
{
    (void)pthread_mutex_lock(&models->lock);
    for (const struct model *model = models->first; model != NULL; model = model->next) {
        call(context, model);
    }
    (void)pthread_mutex_unlock(&models->lock);
}
