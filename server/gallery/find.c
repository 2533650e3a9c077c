/* find.c: rows by the words of a request, and what it means when they are not there. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/gallery/gallery_private.h"
#include "server/store/face_rows.h"
#include "server/store/job_rows.h"
#include "server/store/subject_rows.h"

#define PAIR_TRIES 3

enum err gallery_fail(struct gallery_fault *fault, enum gallery_reason reason, enum err err)
{
    fault->reason = reason;
    return err;
}

enum err page_fault(enum err err, struct gallery_fault *fault)
{
    if (err == ERR_MISUSE || err == ERR_FORMAT) {
        fault->reason = GALLERY_BAD_OPTION;
    }
    return err;
}

/* "There is no such row" gets the reason; anything else is the store's own trouble.  The sentence is ours, and repeats no
 * names: they may be people's, and sentences are logged. */
static enum err explain(enum err err, enum gallery_reason reason, const char *sentence, struct gallery_fault *fault)
{
    if (err != ERR_NOT_FOUND) {
        return err;
    }
    fault->note = (struct err_note){0};
    return ERR_SAY(&fault->note, gallery_fail(fault, reason, ERR_NOT_FOUND), "%s", sentence);
}

enum err find_collection(struct gallery_worker *worker, const char *name, struct collection_row *ret,
                         struct gallery_fault *fault)
{
    if (worker->gallery->store == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_COLLECTION, ERR_NOT_FOUND),
                       "this gallery has no collections");
    }
    int64_t begin = clock_monotonic_ns();
    enum err err = store_collection_find(worker->gallery->store, name == NULL ? DEFAULT_COLLECTION : name, worker->mem,
                                         ret, &fault->note);

    worker->times.rows_ns += clock_monotonic_ns() - begin;
    return explain(err, GALLERY_NO_SUCH_COLLECTION, "there is no collection of this name", fault);
}

enum err find_pair(struct gallery_worker *worker, const char *name, struct collection_row *ret, struct pair **ret_pair,
                   struct gallery_fault *fault)
{
    struct collection_row row = {0};
    struct pair *pair = NULL;
    enum err err = ERR_NONE;

    /* The row may be of before a change of models and the pair of after it: then the row is read again.  In the instant between
     * the commit and the swap it is the other way round, and the request is answered by the former model. */
    for (int i = 0; i < PAIR_TRIES; i++) {
        err = find_collection(worker, name, &row, fault);
        if (err == ERR_NONE) {
            err = live_get(worker->gallery->live, row.id, worker->mem, &pair, &fault->note);
        }
        if (err != ERR_NONE) {
            return err;
        }
        if (pair->model->row_id == row.model_id || i + 1 == PAIR_TRIES) {
            break;
        }
        live_unref(worker->gallery->live, pair);
    }
    *ret = row;
    *ret_pair = pair;
    return ERR_NONE;
}

static enum err other_collection(const char *what, const struct collection_row *collection, struct gallery_fault *fault)
{
    return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_COLLECTION, ERR_CONFLICT),
                   "this %s belongs to another collection than \"%s\"", what, collection->name);
}

enum err find_subject(struct gallery_worker *worker, const struct collection_row *collection,
                      const struct subject_ref *ref, struct subject_row *ret, struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    int64_t begin = clock_monotonic_ns();
    enum err err = ref->id != NULL
                       ? store_subject_find_uuid(store, ref->id, worker->mem, ret, &fault->note)
                       : store_subject_find_name(store, collection->id, ref->name, worker->mem, ret, &fault->note);

    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE && ret->collection_id != collection->id) {
        return other_collection("subject", collection, fault);
    }
    return explain(err, GALLERY_NO_SUCH_SUBJECT,
                   ref->id != NULL ? "there is no subject with this id" : "there is no subject of this name", fault);
}

enum err find_face(struct gallery_worker *worker, const struct collection_row *collection, const char *uuid,
                   struct face_row *ret, struct gallery_fault *fault)
{
    int64_t begin = clock_monotonic_ns();
    enum err err = store_face_find_uuid(worker->gallery->store, uuid, worker->mem, ret, &fault->note);

    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE && ret->collection_id != collection->id) {
        return other_collection("face", collection, fault);
    }
    return explain(err, GALLERY_NO_SUCH_FACE, "there is no face with this id", fault);
}

enum err find_done_job(struct gallery_worker *worker, int64_t job_id, const char *const *kinds, struct job_row *ret,
                       struct gallery_fault *fault)
{
    enum err err = store_job_get(worker->gallery->store, job_id, worker->mem, ret, &fault->note);

    if (err != ERR_NONE) {
        return err == ERR_NOT_FOUND ? gallery_fail(fault, GALLERY_NO_SUCH_JOB, err) : err;
    }
    while (*kinds != NULL && strcmp(*kinds, ret->kind) != 0) {
        kinds++;
    }
    if (*kinds == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_JOB, ERR_CONFLICT),
                       "job %lld is of kind %s: it has found nothing that could be used here", (long long)job_id,
                       ret->kind);
    }
    if (ret->state != JOB_SUCCEEDED) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_OTHER_JOB, ERR_CONFLICT),
                       "job %lld is %s: only what a job that succeeded has found can be used", (long long)job_id,
                       job_state_word(ret->state));
    }
    return ERR_NONE;
}

/* ---- Settings of a collection ------------------------------------------------------------------------------------ */

enum err settings_read(const struct collection_row *collection, struct collection_settings *ret,
                       struct gallery_fault *fault)
{
    json_t *root = json_loads(collection->settings, 0, NULL);
    struct collection_settings read = {0};

    if (!json_is_object(root)) {
        json_decref(root);
        return ERR_SAY(&fault->note, ERR_CORRUPT, "the settings of collection \"%s\" are not a JSON object",
                       collection->name);
    }
    const json_t *threshold = json_object_get(root, "threshold");
    const json_t *max_fmr = json_object_get(root, "max_fmr");
    const json_t *margin = json_object_get(root, "margin");
    read.threshold = (struct threshold_wish){.has_threshold = json_is_number(threshold),
                                             .threshold = (float)json_number_value(threshold),
                                             .has_max_fmr = json_is_number(max_fmr),
                                             .max_fmr = json_number_value(max_fmr),
                                             .has_margin = json_is_number(margin),
                                             .margin = (float)json_number_value(margin)};
    read.retention_days = json_integer_value(json_object_get(root, "retention_days"));
    const char *index = json_string_value(json_object_get(root, "index"));
    (void)snprintf(read.index, sizeof read.index, "%s", index == NULL ? "" : index);
    json_decref(root);
    *ret = read;
    return ERR_NONE;
}

enum err settings_write(const struct collection_settings *settings, struct arena *mem, const char **ret,
                        struct gallery_fault *fault)
{
    const struct threshold_wish *wish = &settings->threshold;
    json_t *root = json_object();
    bool whole = root != NULL;

    if (wish->has_threshold) {
        whole = whole && json_object_set_new(root, "threshold", json_real((double)wish->threshold)) == 0;
    }
    if (wish->has_max_fmr) {
        whole = whole && json_object_set_new(root, "max_fmr", json_real(wish->max_fmr)) == 0;
    }
    if (wish->has_margin) {
        whole = whole && json_object_set_new(root, "margin", json_real((double)wish->margin)) == 0;
    }
    if (settings->retention_days > 0) {
        whole = whole && json_object_set_new(root, "retention_days", json_integer(settings->retention_days)) == 0;
    }
    if (settings->index[0] != '\0') {
        whole = whole && json_object_set_new(root, "index", json_string(settings->index)) == 0;
    }
    char text[512];
    size_t len = whole ? json_dumpb(root, text, sizeof text - 1, JSON_COMPACT | JSON_REAL_PRECISION(9)) : 0;
    json_decref(root);
    if (len == 0 || len >= sizeof text) {
        return ERR_SAY(&fault->note, ERR_NOMEM, "no memory to write the collection's settings");
    }
    text[len] = '\0';
    *ret = arena_copy_text(mem, text);
    return *ret == NULL ? spent(mem) : ERR_NONE;
}
