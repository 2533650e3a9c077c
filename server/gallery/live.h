/*
 * live.h: the pair of model and index that answers for a collection at this moment.
 *
 * A request borrows the pair (live_get), works with it however long it takes, and gives it back (live_unref); meanwhile
 * another pair may be put in its place (live_swap) without either waiting.  A pair's model and dimension never change, its
 * index follows the rows: changes come from the store's after_commit, in the order of the rows.
 *
 * Building and changing are serialised by one lock, lending by another that is held for ten lines.  A collection's pair is
 * built from files and rows (fill.h) when it is first asked for, and again when a change could not be applied to its index (no memory): until
 * then nobody gets the old one, so that no answer misses an enrolled face.
 * Any thread.
 */
#ifndef SERVER_GALLERY_LIVE_H
#define SERVER_GALLERY_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "index/index.h"
#include "server/gallery/fill.h"
#include "server/gallery/model.h"

struct live;

struct pair {
    struct model *model; /* immutable */
    struct index *index; /* guards itself */
    int refs;            /* guarded by the lock of the live it belongs to */
};

/* models and what filler names are lent. */
MUST_CHECK enum err live_new(const struct filler *filler, struct models *models, struct live **ret,
                             struct err_note *note);
void live_free(struct live *live); /* every pair has been given back */

/* Once every collection has been asked for: removes files of the index that belong to none, as a crash may leave them, and
 * begins to write those that are missing, and to make what accelerates indexes, each on a thread of its own. */
void live_keep_files(struct live *live);

/*
 * Lends the pair of a collection; built if need be, with scratch from mem.
 * Errors: ERR_NOT_FOUND no such collection, or its model's file is gone; ERR_CORRUPT a damaged model or embedding: the note
 *         says which; ERR_UNSUPPORTED, ERR_FORMAT its model no longer loads; ERR_NOMEM, ERR_LIMIT, ERR_BUSY, ERR_IO.
 */
MUST_CHECK enum err live_get(struct live *live, int64_t collection_id, struct arena *mem, struct pair **ret,
                             struct err_note *note);
void live_unref(struct live *live, struct pair *pair);

/* Makes a pair (one reference) of a loan of a model, which it takes also when it fails, and an index, which it takes too. */
MUST_CHECK enum err pair_new(struct live *live, struct model *take_model, struct index *take_index, struct pair **ret);

/*
 * Puts a pair, complete with every row, in the place of the present one, which lives until its last borrower has given it
 * back.  take's reference moves to live.
 * Errors: ERR_NOMEM; take is then given back.
 */
MUST_CHECK enum err live_swap(struct live *live, int64_t collection_id, struct pair *take);

/* ---- Changing over to another model ------------------------------------------------------------------------------ */

/*
 * A pair in the making: complete with every row of another model, while the present pair answers.  What is deleted meanwhile is
 * deleted from it too; faces that are embedded meanwhile are added by whoever embeds them.  It belongs to one thread.
 */
struct coming;

/*
 * Builds the index of a model's embeddings as the rows hold them now.  Requests do not wait for it.
 * Owns:   take_model is a loan, taken also when this fails.  *ret until coming_live or coming_drop.
 * Errors: ERR_CORRUPT a damaged embedding; ERR_NOMEM, ERR_BUSY, ERR_IO.
 */
MUST_CHECK enum err live_prepare(struct live *live, int64_t collection_id, struct model *take_model,
                                 struct coming **ret, struct err_note *note);

/* Adds faces that were embedded since.  Errors: ERR_NOMEM, ERR_FOREIGN. */
MUST_CHECK enum err coming_add(struct coming *coming, const int64_t *face_ids, const float *vectors, size_t n,
                               struct err_note *note);

/*
 * From the after_commit of the rows' change over: the pair takes the place of the present one, and coming is gone.  Cannot fail:
 * if its index has missed anything, it is built again from the rows before anybody gets it.
 */
void coming_live(struct coming *take);
void coming_drop(struct coming *coming); /* NULL does nothing */

/* ---- From after_commit ------------------------------------------------------------------------------------------- */

/* Brings the index of a collection up to date with rows that are on the disk.  They cannot fail: an index that cannot
 * follow is built again before anybody gets it. */
void live_added(struct live *live, int64_t collection_id, const int64_t *face_ids, const float *vectors, size_t n);
void live_removed(struct live *live, int64_t collection_id, const int64_t *face_ids, size_t n);

/* Behind that, outside of every lock and before the answer: the disk has what was removed from the files of the index. */
void live_flush(struct live *live, int64_t collection_id);

/* After a change of the collection's settings is on the disk: what its index is accelerated by (index_accelerate) follows.  mem for
 * scratch. */
void live_configured(struct live *live, int64_t collection_id, struct arena *mem);

/* Faces of a segment of an index, for index_check_acceleration. */
size_t live_segment_rows(const struct live *live);

/* What of a collection's index is accelerated; false: nobody has asked for the collection yet. */
bool live_acceleration(struct live *live, int64_t collection_id, struct index_acceleration *ret);

/* Rows came back that the index does not hold: it is built again before anybody gets it. */
void live_returned(struct live *live, int64_t collection_id);

/* The collection is gone: its pair goes when the last borrower has given it back. */
void live_dropped(struct live *live, int64_t collection_id);

struct live_usage {
    int collections;
    int64_t vectors;
    size_t index_bytes;
    int64_t accelerated; /* vectors that FAISS answers for */
    size_t accelerator_bytes;
};
void live_usage(struct live *live, struct live_usage *ret);

#endif
