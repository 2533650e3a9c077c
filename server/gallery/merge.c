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

/* What of the answer is known before the rows change. */
struct merging {
    struct gallery_worker *worker;
    struct collection_row collection;
    struct subject_row *row; /* of the answer */
};

static enum err merging_begin(struct gallery_worker *worker, const struct subject_row *into, struct merging *ret,
                              struct gallery_fault *fault)
{
    *ret = (struct merging){.worker = worker, .row = ARENA_NEW(worker->mem, struct subject_row)};
    return ret->row == NULL ? spent(worker->mem)
                            : store_collection_get(worker->gallery->store, into->collection_id, worker->mem,
                                                   &ret->collection, &fault->note);
}

static enum err tell(void *context, const void *result, struct replay_answer *ret)
{
    const struct merging *merging = context;
    const struct subject_row *row = result;
    const struct subject_info info = subject_info_of(row, merging->collection.name);

    ret->subject_id = row->id;
    return worker_answer(merging->worker, &info, ret);
}

enum err gallery_merge(struct gallery_worker *worker, const char *from_id, const char *into_id,
                       struct subject_info *ret, struct gallery_fault *fault)
{
    struct subject_row from = {0};
    struct subject_row into = {0};
    struct merging merging = {0};
    struct replay room;
    int64_t begin = clock_monotonic_ns();

    enum err err = subject_by_id(worker, from_id, &from, fault);
    if (err == ERR_NONE) {
        err = subject_by_id(worker, into_id, &into, fault);
    }
    if (err == ERR_NONE) {
        err = merging_begin(worker, &into, &merging, fault);
    }
    if (err == ERR_NONE) {
        err = merge_explain(store_subject_merge(worker->gallery->store, from.id, into.id, worker_actor(worker),
                                                worker_replay(worker, tell, &merging, &room), worker->mem, merging.row,
                                                &fault->note),
                            fault);
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        *ret = subject_info_of(merging.row, merging.collection.name);
    }
    return err;
}

enum err gallery_merge_undo(struct gallery_worker *worker, const char *into_id, struct subject_info *ret,
                            struct gallery_fault *fault)
{
    struct subject_row into = {0};
    struct merging merging = {0};
    struct replay room;
    int64_t begin = clock_monotonic_ns();

    enum err err = subject_by_id(worker, into_id, &into, fault);
    if (err == ERR_NONE) {
        err = merging_begin(worker, &into, &merging, fault);
    }
    if (err == ERR_NONE) {
        err = store_merge_undo(worker->gallery->store, into.id, worker_actor(worker),
                               worker_replay(worker, tell, &merging, &room), worker->mem, merging.row, &fault->note);
        if (err == ERR_NOT_FOUND) {
            err = gallery_fail(fault, GALLERY_NOT_MERGED, ERR_CONFLICT);
        } else if (err == ERR_EXISTS) {
            err = gallery_fail(fault, GALLERY_NAME_TAKEN, err);
        }
    }
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    if (err == ERR_NONE) {
        *ret = subject_info_of(merging.row, merging.collection.name);
    }
    return err;
}
