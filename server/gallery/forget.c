/* forget.c: rows first, then the index, then the answer. */
#include "server/gallery/forget.h"

#include <string.h>

#include "core/base/clock.h"
#include "server/gallery/gallery_private.h"
#include "server/store/face_rows.h"
#include "server/store/subject_rows.h"

/* What the index must forget, told when the rows are gone. */
struct forgetting {
    struct gallery *gallery;
    int64_t collection_id;
    const struct receipt *receipt;
};

static void forget_faces(void *context)
{
    const struct forgetting *f = context;
    live_removed(f->gallery->live, f->collection_id, f->receipt->face_ids, (size_t)f->receipt->n_faces);
}

static void forget_all(void *context)
{
    const struct forgetting *f = context;
    live_dropped(f->gallery->live, f->collection_id);
}

/* Deleted by somebody else between our look and our delete, or never there. */
static enum err gone(enum err err, enum gallery_reason reason, const char *sentence, struct gallery_fault *fault)
{
    if (err != ERR_NOT_FOUND) {
        return err;
    }
    fault->note = (struct err_note){0};
    return ERR_SAY(&fault->note, gallery_fail(fault, reason, err), "%s", sentence);
}

enum err gallery_forget_face(struct gallery_worker *worker, const char *face_id, struct receipt *ret,
                             struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct face_row row = {0};
    struct receipt receipt = {0};
    int64_t begin = clock_monotonic_ns();

    enum err err = store_face_find_uuid(store, face_id, worker->mem, &row, &fault->note);
    if (err == ERR_NONE) {
        struct forgetting f = {.gallery = worker->gallery, .collection_id = row.collection_id, .receipt = &receipt};
        struct after_commit after = {.call = forget_faces, .context = &f};
        err = store_face_delete(store, row.id, worker_actor(worker), &after, worker->mem, &receipt, &fault->note);
        live_flush(worker->gallery->live, row.collection_id);
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        *ret = receipt;
    }
    return gone(err, GALLERY_NO_SUCH_FACE, "there is no face with this id", fault);
}

enum err gallery_forget_subject(struct gallery_worker *worker, const char *subject_id, struct receipt *ret,
                                struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct subject_row row = {0};
    struct receipt receipt = {0};
    int64_t begin = clock_monotonic_ns();

    enum err err = store_subject_find_uuid(store, subject_id, worker->mem, &row, &fault->note);
    if (err == ERR_NONE) {
        struct forgetting f = {.gallery = worker->gallery, .collection_id = row.collection_id, .receipt = &receipt};
        struct after_commit after = {.call = forget_faces, .context = &f};
        err = store_subject_delete(store, row.id, worker_actor(worker), &after, worker->mem, &receipt, &fault->note);
        live_flush(worker->gallery->live, row.collection_id);
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        *ret = receipt;
    }
    return gone(err, GALLERY_NO_SUCH_SUBJECT, "there is no subject with this id", fault);
}

enum err gallery_forget_collection(struct gallery_worker *worker, const char *name, struct receipt *ret,
                                   struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct collection_row row = {0};
    struct receipt receipt = {0};
    int64_t begin = clock_monotonic_ns();

    enum err err = store_collection_find(store, name, worker->mem, &row, &fault->note);
    if (err == ERR_NONE) {
        struct forgetting f = {.gallery = worker->gallery, .collection_id = row.id};
        struct after_commit after = {.call = forget_all, .context = &f};
        err = store_collection_delete(store, row.id, worker_actor(worker), &after, &receipt, &fault->note);
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        *ret = receipt;
    }
    return gone(err, GALLERY_NO_SUCH_COLLECTION, "there is no collection of this name", fault);
}
