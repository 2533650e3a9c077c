/* collections.c: making, changing and listing collections. */
#include <stdio.h>
#include <string.h>

#include "server/gallery/gallery_private.h"
#include "server/gallery/people.h"
#include "server/store/model_rows.h"

#define NAME_LIMIT 64
#define RETENTION_LIMIT_DAYS 36500

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Collections stand in paths and in metrics: their names are stricter than people's. */
static enum err check_name(const char *name, struct gallery_fault *fault)
{
    size_t len = strlen(name);
    bool good = len >= 1 && len <= NAME_LIMIT && is_plain(name[0]);

    for (size_t i = 0; i < len && good; i++) {
        good = is_plain(name[i]) || strchr("._-", name[i]) != NULL;
    }
    return good
               ? ERR_NONE
               : ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_NAME, ERR_MISUSE),
                         "a collection's name has 1 to %d characters of a-z, A-Z, 0-9, dot, underscore and hyphen, and "
                         "begins with a letter or digit",
                         NAME_LIMIT);
}

static const char *state_word(enum index_acceleration_state state)
{
    switch (state) {
    case INDEX_NOT_ACCELERATED:
    case INDEX_ACCELERATION_WAITS: return "waiting";
    case INDEX_ACCELERATION_BUILDS: return "building";
    case INDEX_ACCELERATION_STANDS: return "ready";
    case INDEX_ACCELERATION_FAILED: return "failed";
    }
    return NULL;
}

static enum err describe_index(struct gallery_worker *worker, int64_t collection_id, const char *description,
                               struct collection_index *ret)
{
    struct index_acceleration is = {0};
    struct collection_index index = {0};

    if (description[0] != '\0') {
        (void)live_acceleration(worker->gallery->live, collection_id, &is); /* not yet built: waiting */
        index =
            (struct collection_index){.description = arena_copy_text(worker->mem, description),
                                      .state = state_word(is.state),
                                      .reason = is.reason[0] == '\0' ? NULL : arena_copy_text(worker->mem, is.reason),
                                      .n_covered = is.n_covered,
                                      .n_bytes = (int64_t)is.bytes,
                                      .n_queries = is.recall.n_queries,
                                      .recall_at_1 = is.recall.at_1,
                                      .recall_at_10 = is.recall.at_10};
        if (index.description == NULL || (is.reason[0] != '\0' && index.reason == NULL)) {
            return spent(worker->mem);
        }
    }
    *ret = index;
    return ERR_NONE;
}

static enum err describe(struct gallery_worker *worker, const struct collection_row *row, struct collection_info *ret,
                         struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct collection_settings settings = {0};
    struct collection_counts counts = {0};
    struct collection_index index = {0};
    struct model_row model = {0};

    enum err err = settings_read(row, &settings, fault);
    if (err == ERR_NONE) {
        err = describe_index(worker, row->id, settings.index, &index);
    }
    if (err == ERR_NONE) {
        err = store_collection_count(store, row->id, &counts, &fault->note);
    }
    if (err == ERR_NONE) {
        err = store_model_get(store, row->model_id, worker->mem, &model, &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    *ret = (struct collection_info){.name = row->name,
                                    .model = row->model,
                                    .dim = model.dim,
                                    .keep = row->keep,
                                    .retention_days = settings.retention_days,
                                    .threshold = settings.threshold,
                                    .index = index,
                                    .calibrated = model.calibration != NULL,
                                    .created_ms = row->created_ms,
                                    .n_subjects = counts.n_subjects,
                                    .n_faces = counts.n_faces};
    return ERR_NONE;
}

enum err gallery_collections(struct gallery_worker *worker, const char *page_token, int limit,
                             struct collection_info **ret, int *ret_count, const char **ret_next,
                             struct gallery_fault *fault)
{
    struct store_page page = {.limit = limit, .token = page_token};
    struct collection_row *rows = NULL;
    const char *next = NULL;
    int n = 0;

    enum err err = store_collection_list(worker->gallery->store, &page, worker->mem, &rows, &n, &next, &fault->note);
    if (err != ERR_NONE) {
        return page_fault(err, fault);
    }
    struct collection_info *infos = ARENA_ARRAY(worker->mem, struct collection_info, n);
    if (infos == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        err = describe(worker, &rows[i], &infos[i], fault);
    }
    if (err == ERR_NONE) {
        *ret = infos;
        *ret_count = n;
        *ret_next = next;
    }
    return err;
}

enum err gallery_collection_get(struct gallery_worker *worker, const char *name, struct collection_info *ret,
                                struct gallery_fault *fault)
{
    struct collection_row row = {0};
    enum err err = find_collection(worker, name, &row, fault);

    return err == ERR_NONE ? describe(worker, &row, ret, fault) : err;
}

static enum err check_index(const struct gallery *gallery, int dim, const char *description,
                            struct gallery_fault *fault)
{
    enum err err = index_check_acceleration(dim, live_segment_rows(gallery->live), description, &fault->note);

    return err == ERR_UNSUPPORTED || err == ERR_LIMIT ? gallery_fail(fault, GALLERY_BAD_INDEX, ERR_UNSUPPORTED) : err;
}

/* Puts the change into settings; the wish must make sense for the collection's model. */
static enum err apply(struct gallery_worker *worker, int64_t model_id, const struct collection_change *change,
                      struct collection_settings *settings, const char **ret_text, struct gallery_fault *fault)
{
    struct model_row model = {0};
    struct calibration calibration = {0};
    enum err err = ERR_NONE;

    if (change->has_retention) {
        if (change->retention_days < 0 || change->retention_days > RETENTION_LIMIT_DAYS) {
            return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                           "retention_days must be from 0 (for ever) to %d", RETENTION_LIMIT_DAYS);
        }
        settings->retention_days = change->retention_days;
    }
    if (change->has_threshold || change->has_index) {
        err = store_model_get(worker->gallery->store, model_id, worker->mem, &model, &fault->note);
    }
    if (err == ERR_NONE && change->has_index) {
        err = change->index == NULL ? ERR_NONE : check_index(worker->gallery, model.dim, change->index, fault);
        if (err == ERR_NONE) {
            (void)snprintf(settings->index, sizeof settings->index, "%s", change->index == NULL ? "" : change->index);
        }
    }
    if (err == ERR_NONE && change->has_threshold) {
        if (model.calibration != NULL) {
            err = manifest_read_calibration(model.calibration, &calibration, &fault->note);
        }
        if (err == ERR_NONE) {
            err = decision_check_wish(&change->threshold, &calibration, fault);
        }
        settings->threshold = change->threshold;
    }
    return err == ERR_NONE ? settings_write(settings, worker->mem, ret_text, fault) : err;
}

static enum err patch(struct gallery_worker *worker, const struct collection_row *row,
                      const struct collection_change *change, struct collection_info *ret, struct gallery_fault *fault)
{
    struct collection_settings settings = {0};
    struct collection_row changed = {0};
    const char *text = NULL;
    struct store *store = worker->gallery->store;

    if (change->model != NULL && strcmp(change->model, row->model) != 0) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_MODEL_PINNED, ERR_CONFLICT),
                       "a collection keeps the model it was made with; its faces must be embedded again to change it");
    }
    enum err err = settings_read(row, &settings, fault);
    if (err == ERR_NONE) {
        err = apply(worker, row->model_id, change, &settings, &text, fault);
    }
    if (err == ERR_NONE) {
        err = store_collection_change(store, row->id, change->has_keep ? change->keep : row->keep, text,
                                      worker_actor(worker), &fault->note);
    }
    if (err == ERR_NONE) {
        err = store_collection_get(store, row->id, worker->mem, &changed, &fault->note);
    }
    if (err == ERR_NONE && change->has_index) {
        live_configured(worker->gallery->live, row->id, worker->mem);
    }
    return err == ERR_NONE ? describe(worker, &changed, ret, fault) : err;
}

/* The model of a new collection: the one named, or this daemon's default. */
static enum err choose_model(struct gallery_worker *worker, const char *version, int64_t *ret,
                             struct gallery_fault *fault)
{
    const struct gallery *gallery = worker->gallery;
    struct model_row row = {0};

    if (version == NULL && gallery->default_model == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_MODEL, ERR_CONFLICT),
                       "no recogniser is loaded for new collections: start with --recognizer FILE.onnx");
    }
    if (version == NULL) {
        *ret = gallery->default_model->row_id;
        return ERR_NONE;
    }
    enum err err = store_model_find(gallery->store, version, worker->mem, &row, &fault->note);
    if (err == ERR_NOT_FOUND || (err == ERR_NONE && row.role != MODEL_RECOGNIZER)) {
        fault->note = (struct err_note){0};
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_MODEL, ERR_NOT_FOUND),
                       "there is no recogniser of this version");
    }
    if (err == ERR_NONE) {
        *ret = row.id;
    }
    return err;
}

static enum err make(struct gallery_worker *worker, const char *name, const struct collection_change *change,
                     struct collection_info *ret, struct gallery_fault *fault)
{
    struct collection_new what = {.name = name, .keep = change->has_keep ? change->keep : KEEP_CROP};
    struct collection_settings settings = {0};
    struct collection_row row = {0};

    enum err err = choose_model(worker, change->model, &what.model_id, fault);
    if (err == ERR_NONE) {
        err = apply(worker, what.model_id, change, &settings, &what.settings, fault);
    }
    if (err == ERR_NONE) {
        err =
            store_collection_add(worker->gallery->store, &what, worker_actor(worker), worker->mem, &row, &fault->note);
        if (err == ERR_EXISTS) {
            return gallery_fail(fault, GALLERY_COLLECTION_EXISTS, err);
        }
    }
    return err == ERR_NONE ? describe(worker, &row, ret, fault) : err;
}

enum err gallery_collection_put(struct gallery_worker *worker, const char *name, const struct collection_change *change,
                                struct collection_info *ret, bool *ret_is_new, struct gallery_fault *fault)
{
    struct collection_row row = {0};

    enum err err = check_name(name, fault);
    if (err != ERR_NONE) {
        return err;
    }
    err = store_collection_find(worker->gallery->store, name, worker->mem, &row, &fault->note);
    if (err != ERR_NONE && err != ERR_NOT_FOUND) {
        return err;
    }
    bool is_new = err == ERR_NOT_FOUND;
    fault->note = (struct err_note){0};
    err = is_new ? make(worker, name, change, ret, fault) : patch(worker, &row, change, ret, fault);
    if (err == ERR_NONE) {
        *ret_is_new = is_new;
    }
    return err;
}

enum err gallery_collection_patch(struct gallery_worker *worker, const char *name,
                                  const struct collection_change *change, struct collection_info *ret,
                                  struct gallery_fault *fault)
{
    struct collection_row row = {0};
    enum err err = find_collection(worker, name, &row, fault);

    return err == ERR_NONE ? patch(worker, &row, change, ret, fault) : err;
}
