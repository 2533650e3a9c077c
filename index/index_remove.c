/* index_remove.c: rows leave: from searches, from memory, from files, from the disk, in this order; and from FAISS. */
#include <assert.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "index/index_private.h"
#include "index/segment_file.h"

/* Marks the rows dead and shows it.  Needs no memory: the marks and the view stand ready. */
static size_t bury(struct index *index, const int64_t *ids, size_t n)
{
    const int64_t now_ns = clock_monotonic_ns();
    size_t buried = 0;

    for (size_t i = 0; i < n; i++) {
        size_t location;
        if (!id_map_find(&index->map, ids[i], &location)) {
            continue;
        }
        struct segment *segment = index->slots[location / SEGMENT_MAX_ROWS];
        if (!segment->marking) {
            segment_marks_begin(segment);
            segment->removed_ns = now_ns;
            index_drop_accelerator(index, segment);
        }
        if (segment_mark_dead(segment, location % SEGMENT_MAX_ROWS)) {
            rewrite_follow(index, location / SEGMENT_MAX_ROWS, location % SEGMENT_MAX_ROWS);
            buried++;
        }
    }
    if (buried > 0) {
        for (size_t slot = 0; slot < index->n_slots; slot++) {
            if (index->slots[slot] != NULL && index->slots[slot]->marking) {
                segment_marks_end(index->slots[slot]);
            }
        }
        index_show(index);
    }
    return buried;
}

enum err index_remove_unflushed(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed,
                                struct err_note *note)
{
    enum err err = ERR_NONE;

    index_lock_changing(index);
    size_t removed = bury(index, ids, n);
    if (removed > 0) {
        views_wait(&index->views); /* searches that began before may be reading the floats, and looking for the ids */
        for (size_t i = 0; i < n; i++) {
            id_map_remove(&index->map, ids[i]);
        }
        index_free_dropped(index);
        for (size_t slot = 0; slot < index->n_slots; slot++) {
            if (index->slots[slot] != NULL && index->slots[slot]->marking) {
                enum err wiped = segment_wipe_marked(index->slots[slot], err == ERR_NONE ? note : NULL);
                err = err == ERR_NONE ? wiped : err;
            }
        }
        (void)rewrite_step(index, removed * REWRITTEN_A_CHANGE);
    }
    index_unlock_changing(index);
    if (ret_removed != NULL) {
        *ret_removed = removed;
    }
    return err;
}

/* ---- The disk ---------------------------------------------------------------------------------------------------- */

/* What a slot's file has to have flushed, as a descriptor of its own, because the file may be closed meanwhile; -1: nothing.
 * Errors: those of flushing at once, where there is no descriptor to be had. */
static enum err take_unflushed(struct index *index, size_t slot, struct segment_file **ret, int *ret_fd,
                               struct err_note *note)
{
    enum err err = ERR_NONE;

    *ret = NULL;
    *ret_fd = -1;
    index_lock_changing(index);
    struct segment *segment = slot < index->n_slots ? index->slots[slot] : NULL;
    if (segment != NULL && segment->file != NULL && segment_file_wants_flush(segment->file)) {
        *ret = segment->file;
        err = segment_file_flush_begin(segment->file, ret_fd, note);
        if (err != ERR_NONE) {
            segment_file_unlink(segment->file);
        }
    }
    index_unlock_changing(index);
    return err;
}

/* A file that could not be flushed loses its name, if it still is this slot's. */
static void give_up(struct index *index, size_t slot, const struct segment_file *file)
{
    index_lock_changing(index);
    struct segment *segment = slot < index->n_slots ? index->slots[slot] : NULL;
    if (segment != NULL && segment->file == file) {
        segment_file_unlink(segment->file);
    }
    index_unlock_changing(index);
}

enum err index_flush(struct index *index, struct err_note *note)
{
    enum err err = ERR_NONE;

    /* Whoever waits here finds done what the one before has taken with it. */
    int failed = pthread_mutex_lock(&index->flushing);
    assert(failed == 0);
    (void)failed;
    index_lock_changing(index);
    index_await_builder(index);
    const size_t n_slots = index->n_slots;
    index_unlock_changing(index);
    for (size_t slot = 0; slot < n_slots; slot++) {
        struct segment_file *file = NULL;
        int fd = -1;
        enum err flushed = take_unflushed(index, slot, &file, &fd, err == ERR_NONE ? note : NULL);
        if (fd >= 0) {
            flushed = segment_file_flush_end(fd, err == ERR_NONE ? note : NULL);
            if (flushed != ERR_NONE) {
                give_up(index, slot, file);
            }
        }
        err = err == ERR_NONE ? flushed : err;
    }
    (void)pthread_mutex_unlock(&index->flushing);
    return err;
}

enum err index_remove(struct index *index, const int64_t *ids, size_t n, size_t *ret_removed, struct err_note *note)
{
    enum err err = index_remove_unflushed(index, ids, n, ret_removed, note);
    enum err flushed = index_flush(index, err == ERR_NONE ? note : NULL);

    return err == ERR_NONE ? flushed : err;
}
