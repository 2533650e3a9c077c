/*
 * view.h: what a search sees: segments, how many of their rows, and which of these live, all as of one moment.
 *
 * A reader takes the present view and drops it when done; both are a few lines under a short lock, and whatever the reader
 * does in between, the writer waits for nobody but to overwrite or free what only older views show.  A view never changes; the
 * map that it has may get further ids, which nobody looks for in it.
 * One writer at a time; any number of readers.
 */
#ifndef INDEX_VIEW_H
#define INDEX_VIEW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "index/id_map.h"
#include "index/segment.h"

struct rewrite;

struct part {
    const struct segment *segment;
    const uint16_t *live;
    const struct accelerator *accelerator; /* NULL: none */
    size_t rows;
    size_t slot; /* the segment's number among the writer's */
};

struct view {
    struct view *next; /* among the unused */
    size_t refs;       /* guarded by the lock of the views */
    size_t room;
    size_t n_parts;
    size_t count;                 /* live rows */
    struct id_map ids;            /* has all that live, at the rows that they have here */
    const struct rewrite *landed; /* but what this has copied may still be where it was; NULL: nothing */
    struct part parts[];
};

struct views {
    pthread_mutex_t lock;
    pthread_cond_t nobody_left;

    /* guarded by lock */
    struct view *now;
    struct view *unused;
    size_t n_old; /* views that are no longer the present one and still in use */
    struct index_waits waits;
};

/* Begins with a view of nothing.  False if memory or locks are spent. */
MUST_CHECK bool views_init(struct views *views);
void views_release(struct views *views); /* no reader is left */

const struct view *views_take(struct views *views);
void views_drop(struct views *views, const struct view *view);
void views_waits(struct views *views, struct index_waits *ret);

/* ---- The writer's ------------------------------------------------------------------------------------------------ */

/* Has two unused views of room parts ready, so that a change to the present one can be shown without memory; false if it is
 * spent. */
MUST_CHECK bool views_reserve(struct views *views, size_t room);

/* Gives an unused view with that much room to fill; views_reserve, or views_wait after the last views_show, has made one
 * ready. */
struct view *views_begin(struct views *views, size_t room);

/* What was begun is what readers take from now on. */
void views_show(struct views *views, struct view *view);

/* Returns when no reader is left who took a view before the last views_show.  New readers do not lengthen the wait. */
void views_wait(struct views *views);

#endif
