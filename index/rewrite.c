/*
 * rewrite.c: segments half of whose rows are dead are copied into a new one.
 *
 * It goes by steps of a few rows, taken by whoever changes the index: a segment becomes due when as many rows have been
 * removed as are left to copy, so a few rows a change are enough to be done in time, and no change waits for thousands.
 * Searches go on in the old segments until the new one is shown; a row that dies meanwhile dies in both.
 */
#include <assert.h>

#include "core/base/mem.h"
#include "core/base/point.h"
#include "index/index_private.h"

static size_t live_rows(const struct segment *segment)
{
    return segment->rows - segment->dead;
}

/* Short segments are left alone: there is little to win. */
static bool is_half_dead(const struct index *index, const struct segment *segment)
{
    return segment->dead >= live_rows(segment) && segment->dead >= index->segment_rows / 64;
}

/* Half a full segment's room stands empty at most: whatever fits into one with the segment that is due joins it. */
static size_t partner_of(const struct index *index, size_t due)
{
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        const struct segment *segment = index->slots[slot];
        if (segment != NULL && slot != due && slot != index->tail && !segment->saving &&
            live_rows(segment) + live_rows(index->slots[due]) <= index->segment_rows) {
            return slot;
        }
    }
    return NO_SLOT;
}

void rewrite_release(struct rewrite *rewrite)
{
    segment_free(rewrite->to);
    mem_free(rewrite->moved[0]);
    mem_free(rewrite->moved[1]);
    *rewrite = (struct rewrite){0};
}

static bool begin(struct index *index, size_t due)
{
    struct rewrite rewrite = {.n = 1, .slots = {due, partner_of(index, due)}};
    size_t rows = live_rows(index->slots[due]);
    enum err err = ERR_NONE;

    if (rewrite.slots[1] != NO_SLOT) {
        rows += live_rows(index->slots[rewrite.slots[1]]);
        rewrite.n = 2;
    }
    if (rows > 0) {
        err = segment_new(&index->codes, (rows + SCAN_ROWS - 1) / SCAN_ROWS * SCAN_ROWS, &rewrite.to, NULL);
    }
    for (size_t i = 0; i < rewrite.n && err == ERR_NONE; i++) {
        rewrite.moved[i] = MEM_ARRAY(uint32_t, index->slots[rewrite.slots[i]]->rows);
        err = rewrite.moved[i] == NULL ? ERR_NOMEM : ERR_NONE;
    }
    if (err != ERR_NONE) {
        rewrite_release(&rewrite);
        return false;
    }
    index->rewrite = rewrite;
    return true;
}

static bool begin_if_due(struct index *index)
{
    if (index->tail != NO_SLOT && is_half_dead(index, index->slots[index->tail])) {
        index->tail = NO_SLOT; /* sealed before it is full; what comes next begins another */
    }
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        const struct segment *segment = index->slots[slot];
        if (segment != NULL && slot != index->tail && !segment->saving && is_half_dead(index, segment)) {
            return begin(index, slot);
        }
    }
    return false;
}

void rewrite_follow(struct index *index, size_t slot, size_t row)
{
    const struct rewrite *rewrite = &index->rewrite;

    for (size_t i = 0; i < rewrite->n; i++) {
        if (rewrite->slots[i] == slot && rewrite->moved[i][row] != 0) {
            segment_kill(rewrite->to, rewrite->moved[i][row] - 1);
        }
    }
}

/* Puts the new segment in the place of its sources. */
static bool finish(struct index *index)
{
    struct rewrite *rewrite = &index->rewrite;
    struct segment *old[2] = {NULL, NULL};

    if (!views_reserve(&index->views, index->n_slots)) {
        return false;
    }
    for (size_t i = 0; i < rewrite->n; i++) {
        old[i] = index->slots[rewrite->slots[i]];
        index->slots[rewrite->slots[i]] = NULL;
        index_drop_accelerator(index, old[i]);
    }
    struct segment *to = rewrite->to;
    const bool lives = to != NULL && live_rows(to) > 0;
    if (lives) {
        index->slots[rewrite->slots[0]] = to;
        index->landed = rewrite;
    }
    index_show(index);
    views_wait(&index->views); /* for those who look for rows where they were */
    if (lives) {
        for (size_t row = 0; row < to->rows; row++) {
            if (segment_is_live(to, row)) {
                id_map_put(&index->map, to->ids[row], index_location(rewrite->slots[0], row));
            }
        }
        index->landed = NULL;
        index_show(index);
        views_wait(&index->views); /* for those who translate */
        rewrite->to = NULL;
    }
    index_free_dropped(index);
    point_reached("index.rewrite.shown");
    index_retire_file(index, old[0]);
    index_retire_file(index, old[1]);
    segment_free(old[0]);
    segment_free(old[1]);
    rewrite_release(rewrite);
    return true;
}

bool rewrite_step(struct index *index, size_t max_rows)
{
    struct rewrite *rewrite = &index->rewrite;
    size_t copied = 0;

    if (rewrite->n == 0 && !begin_if_due(index)) {
        return false;
    }
    while (copied < max_rows && rewrite->source < rewrite->n) {
        const struct segment *from = index->slots[rewrite->slots[rewrite->source]];
        size_t row = rewrite->row++;
        if (row == from->rows) {
            rewrite->source++;
            rewrite->row = 0;
        } else if (segment_is_live(from, row)) {
            assert(rewrite->to != NULL); /* begin saw live rows, and a dead one never lives again */
            segment_append(rewrite->to, &from->ids[row], from->floats + row * index->codes.dim, 1);
            rewrite->moved[rewrite->source][row] = (uint32_t)rewrite->to->rows;
            copied++;
        }
    }
    return rewrite->source < rewrite->n || finish(index);
}
