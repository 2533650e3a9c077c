/*
 * live_private.h: the pairs in use, for live.c and coming.c.
 */
#ifndef SERVER_GALLERY_LIVE_PRIVATE_H
#define SERVER_GALLERY_LIVE_PRIVATE_H

#include <pthread.h>

#include "server/gallery/live.h"

struct collection_row;

struct place {
    int64_t collection_id;
    struct pair *pair;
    bool stale; /* the index missed a change */
};

struct coming {
    /* immutable */
    struct live *live;
    int64_t collection_id;

    struct pair *pair; /* the maker's own */

    /* guarded by changing */
    struct coming *next;
    int64_t *gone; /* deleted since the rows were read; may be in the index or not */
    size_t n_gone, room;
    bool incomplete; /* rows changed in a way that it could not follow */
};

struct live {
    /* immutable */
    struct filler filler;
    struct models *models;
    struct keeper *keeper;  /* NULL until live_keep_files */
    struct keeper *builder; /* of what accelerates the indexes; the same */

    pthread_mutex_t changing; /* building and following; taken before lending, never after; may wait for the disk */
    pthread_mutex_t lending;  /* places and refs; nothing is called while it is held */
    struct place *places;     /* guarded by lending; replaced only with changing held too */
    int n_places;
    int room;
    struct coming *coming; /* guarded by changing */
};

/* With lending held; NULL if there is none.  Ids rise, but the table is short: collections, not faces. */
struct place *live_place(const struct live *live, int64_t collection_id);

/* The pair of a place with one more reference; NULL if there is none, or a stale one unless that will do. */
struct pair *live_borrow(struct live *live, int64_t collection_id, bool stale_will_do);

/* Puts a pair in its place, with changing held and room made.  The old one's files go: nobody would overwrite in them what is
 * deleted from now on. */
void live_put(struct live *live, int64_t collection_id, struct pair *take);

/* The index has missed something: it is built again before anybody gets it. */
void live_mark_stale(struct live *live, int64_t collection_id);

/* The next place behind a collection, by its id, with one more reference; NULL behind the last one. */
struct pair *live_borrow_next(struct live *live, int64_t *collection_id);

/* Lets FAISS answer for an index as the collection's row says, or, if that cannot be, says so and leaves all to the scans. */
void live_accelerate(struct live *live, struct index *index, const struct collection_row *row);

/* On the builder's thread. */
int64_t live_build_all(void *live);

struct filled live_filled(int64_t collection_id, const struct model *model);

/* With changing held: what happened to a collection's rows, for the pairs that are being made for it. */
void coming_tell(struct live *live, int64_t collection_id, const int64_t *gone, size_t n_gone, bool incomplete);

#endif
