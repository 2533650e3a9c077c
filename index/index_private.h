/*
 * index_private.h: the inside of an index, for index*.c and rewrite.c.
 *
 * Order of locks: saving and accelerating, changing, the views' own.  Searches take the last alone, and for a few lines.
 */
#ifndef INDEX_INDEX_PRIVATE_H
#define INDEX_INDEX_PRIVATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/accelerator.h"
#include "index/codes.h"
#include "index/id_map.h"
#include "index/index.h"
#include "index/segment.h"
#include "index/view.h"

#define NO_SLOT SIZE_MAX
#define REWRITTEN_A_CHANGE 8 /* rows copied for each vector that is added or removed */

/* One or two segments on their way into a new one, some rows with every change. */
struct rewrite {
    size_t n; /* sources; 0: nothing is being rewritten */
    size_t slots[2];
    uint32_t *moved[2]; /* [rows of the source]: 1 + the row in to; 0: not copied */
    size_t source, row; /* what is copied next */
    struct segment *to; /* no view shows it before all is copied; NULL: no row is left to copy */
};

struct index {
    /* immutable */
    size_t segment_rows; /* of a full segment */
    struct codes codes;

    /* any thread */
    struct views views;

    pthread_mutex_t changing;
    /* guarded by changing */
    struct segment **slots; /* a segment keeps its number; some are NULL */
    size_t n_slots;
    size_t tail; /* the slot that is being filled, or NO_SLOT; every other segment is sealed */
    struct rewrite rewrite;
    const struct rewrite *landed; /* its copy is shown, and the map does not know all of its rows; NULL: none */
    struct id_map map;            /* what lives in any view that is held (index_ids.c) */
    bool keeps_files;
    struct segment_file *retired; /* without a name, still to be overwritten */
    struct index_files files;     /* its folder is the index's own */

    struct acceleration acceleration;
    struct accelerator *dropped; /* no slot has them any more; a view may */
    char build_failed[256];      /* "": it did not */
    struct index_recall recall;
    struct segment *building; /* what FAISS is being given; NULL: nothing */
    atomic_bool build_stops;  /* whatever has been given is to be forgotten; written with changing held */
    pthread_cond_t let_go;    /* with changing: building has become NULL */

    pthread_mutex_t accelerating; /* taken before changing: one builds at a time */
    pthread_mutex_t saving;       /* taken before changing: one saves at a time */
    pthread_mutex_t
        flushing; /* taken before changing: who gets it next finds flushed what was overwritten before he came */
};

/* For tests: segments as short as one likes, a multiple of 16 and a power of two; and the kernels. */
MUST_CHECK enum err index_new_with(int dim, size_t segment_rows, const struct scan *scan, struct index **ret,
                                   struct err_note *note);

static inline size_t index_location(size_t slot, size_t row)
{
    return slot * SEGMENT_MAX_ROWS + row;
}

void index_lock_changing(struct index *index);
void index_unlock_changing(struct index *index);

/* Finds an id in a view that the caller holds; false if it does not live there. */
struct row_at {
    size_t part, row;
};
MUST_CHECK bool index_ids_find(const struct view *view, int64_t id, struct row_at *ret);

/* With changing held, and views_reserve'd: room for n more ids in the map; false if memory is spent.  Where it needs a larger one, it waits
 * for the searches that look into the old one. */
MUST_CHECK bool index_ids_reserve(struct index *index, size_t n);

/* Errors: ERR_MISUSE not finite, not of unit length; what begins the sentence. */
MUST_CHECK enum err index_check_vector(const struct index *index, const float *vector, const char *what,
                                       struct err_note *note);

/* Shows searches what the slots hold; views_reserve has made room. */
void index_show(struct index *index);

/* Calls visit with the path of everything of ours in a folder; whether visit removes it does not matter.  ready: it has its last name. */
MUST_CHECK enum err index_each_file(const char *folder, void (*visit)(void *context, const char *path, bool ready),
                                    void *context, struct err_note *note);

/* With changing held and a segment out of use: its file loses its name and waits to be overwritten. */
void index_retire_file(struct index *index, struct segment *segment);

/* With changing held: a segment's rows have changed, or it goes: FAISS forgets it.  What was made of it stays until no view shows it any
 * more, and index_free_dropped. */
void index_drop_accelerator(struct index *index, struct segment *segment);
void index_free_dropped(struct index *index);
/* With changing held: returns when FAISS has let go of what it must forget; changing is given back meanwhile. */
void index_await_builder(struct index *index);

/* With changing held: whether a segment is being copied into another. */
bool index_is_rewritten(const struct index *index, size_t slot);

/* Closes what is left of files.  Nobody else uses the index. */
void index_files_release(struct index *index);

/*
 * With changing held: copies up to max_rows rows of a rewrite, which it begins if one is due.  True: there is more to do.
 * Without memory it does nothing, and tries again when next called.
 */
bool rewrite_step(struct index *index, size_t max_rows);

/* With changing held: the row of a source is dead; so is its copy, which is overwritten. */
void rewrite_follow(struct index *index, size_t slot, size_t row);

void rewrite_release(struct rewrite *rewrite);

#endif
