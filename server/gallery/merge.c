/* merge.c: rows change hands, the index does not. */
#include "server/gallery/merge.h"

#include "core/base/clock.h"
#include "server/gallery/gallery_private.h"
#include "server/store/merge_rows.h"

static enum err subject_by_id(struct gallery_worker *worker, const char *id, struct subject_row *ret,
                              struct gallery_fault *fault)
{
    enum err err = store_subject_find_uuid(worker->gallery->store, id, worker->mem, ret, &fault->note);

    return err == ERR_NOT_FOUND ? gallery_fail(fault, GALLERY_NO_SUCH_SUBJECT, err) : err;
}

static enum err merge_explain(enum err err, struct gallery_fault *fault)
{
    switch ((int)err) {
    case ERR_NOT_FOUND: return gallery_fail(fault, GALLERY_NO_SUCH_SUBJECT, err);
    case ERR_CONFLICT: return gallery_fail(fault, GALLERY_OTHER_COLLECTION, err);
    case ERR_MISUSE: return gallery_fail(fault, GALLERY_BAD_OPTION, err);
    default: return err;
    }
}

enum err gallery_merge(struct gallery_worker *worker, const char *from_id, const char *into_id,
                       struct subject_info *ret, struct gallery_fault *fault)
{
    struct subject_row from = {0};
    struct subject_row into = {0};
    int64_t begin = clock_monotonic_ns();

    enum err err = subject_by_id(worker, from_id, &from, fault);
    if (err == ERR_NONE) {
        err = subject_by_id(worker, into_id, &into, fault);
    }
    if (err == ERR_NONE) {
        err = merge_explain(
            store_subject_merge(worker->gallery->store, from.id, into.id, worker_actor(worker), &fault->note), fault);
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    return err == ERR_NONE ? gallery_subject_get(worker, into_id, ret, fault) : err;
}

enum err gallery_merge_undo(struct gallery_worker *worker, const char *into_id, struct subject_info *ret,
                            struct gallery_fault *fault)
{
    struct subject_row into = {0};
    char *uuid = arena_alloc(worker->mem, STORE_UUID_TEXT, 1);
    int64_t begin = clock_monotonic_ns();

    if (uuid == NULL) {
        return spent(worker->mem);
    }
    enum err err = subject_by_id(worker, into_id, &into, fault);
    if (err == ERR_NONE) {
        err = store_merge_undo(worker->gallery->store, into.id, worker_actor(worker), uuid, &fault->note);
        if (err == ERR_NOT_FOUND) {
            err = gallery_fail(fault, GALLERY_NOT_MERGED, ERR_CONFLICT);
        } else if (err == ERR_EXISTS) {
            err = gallery_fail(fault, GALLERY_NAME_TAKEN, err);
        }
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    return err == ERR_NONE ? gallery_subject_get(worker, uuid, ret, fault) : err;
}
