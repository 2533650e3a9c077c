/* index_search.c: asking an index: the checks, the view, the masks of what may be a hit. */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "index/index_private.h"
#include "index/search.h"

/* ---- Searching --------------------------------------------------------------------------------------------------- */

static enum err check_ask(const struct index *index, const float *queries, size_t n, const struct index_ask *ask,
                          struct err_note *note)
{
    if (ask->k < 1) {
        return ERR_SAY(note, ERR_MISUSE, "a search for %d hits; at least 1", ask->k);
    }
    if (isnan(ask->min_cosine)) {
        return ERR_SAY(note, ERR_MISUSE, "the least cosine of a search is not a number");
    }
    for (size_t i = 0; i < n; i++) {
        enum err err = index_check_vector(index, queries + i * index->codes.dim, "the query", note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* Up to SEARCH_MAX_QUERIES, in one view.  Shapes: room [n, search_room_bytes]. */
static void search_together(const struct index *index, const struct view *view, const float *queries, size_t n,
                            const struct index_ask *ask, uint8_t *room, struct index_hit *ret_hits, int *ret_counts)
{
    struct search_query together[SEARCH_MAX_QUERIES];

    for (size_t i = 0; i < n; i++) {
        together[i].vector = queries + i * index->codes.dim;
        together[i].hits = ret_hits + i * (size_t)ask->k;
        together[i].room = room + i * search_room_bytes(&index->codes);
    }
    search_view(&index->codes, view, ask, together, n);
    for (size_t i = 0; i < n; i++) {
        ret_counts[i] = (int)together[i].n_hits;
    }
}

enum err index_search(struct index *index, const float *query, int k, float min_cosine, struct index_hit *ret_hits,
                      int *ret_count, struct err_note *note)
{
    const struct index_ask ask = {.k = k, .min_cosine = min_cosine};
    _Alignas(MEM_ALIGN) uint8_t room[SEARCH_MAX_ROOM_BYTES]; /* on the stack: this search allocates nothing */

    enum err err = check_ask(index, query, 1, &ask, note);
    if (err != ERR_NONE) {
        return err;
    }
    const struct view *view = views_take(&index->views);
    search_together(index, view, query, 1, &ask, room, ret_hits, ret_count);
    views_drop(&index->views, view);
    return ERR_NONE;
}

/* ---- Only some ids ----------------------------------------------------------------------------------------------- */

/* A view of the rows that live and are asked for, with masks of its own. */
struct masked {
    const struct view *whole;
    struct view *view;
    uint16_t *masks; /* [parts, SEGMENT_MAX_ROWS / SCAN_ROWS] */
};

#define MASKS_A_PART (SEGMENT_MAX_ROWS / SCAN_ROWS)

static void mask(const struct index_ask *ask, struct masked *masked)
{
    for (size_t i = 0; i < ask->n_only; i++) {
        struct row_at at;
        if (index_ids_find(masked->whole, ask->only[i], &at)) {
            masked->masks[at.part * MASKS_A_PART + at.row / SCAN_ROWS] |= (uint16_t)(1U << at.row % SCAN_ROWS);
            masked->view->count++;
        }
    }
    for (size_t i = 0; i < masked->view->n_parts; i++) {
        masked->view->parts[i].live = masked->masks + i * MASKS_A_PART;
        masked->view->parts[i].accelerator = NULL; /* most of what FAISS finds would not be asked for */
    }
}

static enum err masked_take(struct index *index, const struct index_ask *ask, struct masked *ret, struct err_note *note)
{
    struct masked masked = {.whole = views_take(&index->views)};
    const size_t n_parts = masked.whole->n_parts;
    masked.view = mem_new(1, sizeof *masked.view + n_parts * sizeof(struct part));
    masked.masks = mem_new(n_parts + 1, MASKS_A_PART * sizeof *masked.masks);
    if (masked.view == NULL || masked.masks == NULL) {
        views_drop(&index->views, masked.whole);
        mem_free(masked.view);
        mem_free(masked.masks);
        return ERR_SAY(note, ERR_NOMEM, "no memory for the masks of %zu ids", ask->n_only);
    }
    masked.view->n_parts = n_parts; /* and not what the lock of the views guards */
    memcpy(masked.view->parts, masked.whole->parts, n_parts * sizeof(struct part));
    mask(ask, &masked);
    *ret = masked;
    return ERR_NONE;
}

static void masked_drop(struct index *index, struct masked *masked)
{
    views_drop(&index->views, masked->whole);
    mem_free(masked->view);
    mem_free(masked->masks);
}

enum err index_search_many(struct index *index, const float *queries, size_t n, const struct index_ask *ask,
                           struct index_hit *ret_hits, int *ret_counts, struct err_note *note)
{
    enum err err = check_ask(index, queries, n, ask, note);
    if (err != ERR_NONE) {
        return err;
    }
    uint8_t *room = mem_new(n < SEARCH_MAX_QUERIES ? n : SEARCH_MAX_QUERIES, search_room_bytes(&index->codes));
    if (room == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for %zu queries", n);
    }
    struct masked masked = {0};
    if (ask->only != NULL) {
        err = masked_take(index, ask, &masked, note);
    }
    for (size_t i = 0; i < n && err == ERR_NONE; i += SEARCH_MAX_QUERIES) {
        const size_t some = n - i < SEARCH_MAX_QUERIES ? n - i : SEARCH_MAX_QUERIES;
        const struct view *view = ask->only != NULL ? masked.view : views_take(&index->views);
        search_together(index, view, queries + i * index->codes.dim, some, ask, room, ret_hits + i * (size_t)ask->k,
                        ret_counts + i);
        if (ask->only == NULL) {
            views_drop(&index->views, view);
        }
    }
    if (ask->only != NULL && err == ERR_NONE) {
        masked_drop(index, &masked);
    }
    mem_free_wiped(room);
    return err;
}

enum err index_get(struct index *index, int64_t id, float *ret, struct err_note *note)
{
    struct row_at at;

    const struct view *view = views_take(&index->views);
    const bool found = index_ids_find(view, id, &at);
    if (found) {
        memcpy(ret, view->parts[at.part].segment->floats + at.row * index->codes.dim, index->codes.dim * sizeof *ret);
    }
    views_drop(&index->views, view);
    return found ? ERR_NONE : ERR_SAY(note, ERR_NOT_FOUND, "id %lld is not in the index", (long long)id);
}
