/*
 * index.c: ids over segments, and how changes and searches keep out of each other's way.
 *
 * Searches read a view (view.h) and wait for nobody.  Changes come one at a time: they write where no view looks, show a new
 * view, and, where something is to be overwritten or freed, wait until the last search that might read it is over.
 * Nothing is done in place under readers but in the map of ids (index_ids.c), so a search sees each change whole.
 *
 * The map of ids is our own and not FAISS's IndexIDMap2: that one takes an id twice without a word, cannot be asked whether
 * it has one, and rebuilds its whole table on every removal.
 */
#include "index/index.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/size.h"
#include "index/index_private.h"

enum {
    FIRST_ROWS = 64, /* of the first segment, and of every later one while it is short */
    MANY_ROWS = 1024 /* added at once: more will come */
};

void index_lock_changing(struct index *index)
{
    int failed = pthread_mutex_lock(&index->changing);
    assert(failed == 0);
    (void)failed;
}

void index_unlock_changing(struct index *index)
{
    (void)pthread_mutex_unlock(&index->changing);
}

enum err index_new_with(int dim, size_t segment_rows, const struct scan *scan, struct index **ret,
                        struct err_note *note)
{
    if (dim < 1 || dim > CODES_MAX_DIM) {
        return ERR_SAY(note, ERR_MISUSE, "an index of dimension %d; 1 to %d are possible", dim, CODES_MAX_DIM);
    }
    assert(segment_rows % SCAN_ROWS == 0 && segment_rows <= SEGMENT_MAX_ROWS);
    struct index *index = MEM_NEW(struct index);
    if (index == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for an index");
    }
    index->segment_rows = segment_rows;
    index->tail = NO_SLOT;
    if (!codes_init(&index->codes, (size_t)dim, scan)) {
        goto no_codes;
    }
    if (!views_init(&index->views)) {
        goto no_views;
    }
    if (pthread_mutex_init(&index->changing, NULL) != 0) {
        goto no_changing;
    }
    if (pthread_mutex_init(&index->saving, NULL) != 0) {
        goto no_saving;
    }
    if (pthread_mutex_init(&index->flushing, NULL) != 0) {
        goto no_flushing;
    }
    if (pthread_mutex_init(&index->accelerating, NULL) != 0) {
        goto no_accelerating;
    }
    if (pthread_cond_init(&index->let_go, NULL) != 0) {
        goto no_let_go;
    }
    *ret = index;
    return ERR_NONE;

no_let_go:
    (void)pthread_mutex_destroy(&index->accelerating);
no_accelerating:
    (void)pthread_mutex_destroy(&index->flushing);
no_flushing:
    (void)pthread_mutex_destroy(&index->saving);
no_saving:
    (void)pthread_mutex_destroy(&index->changing);
no_changing:
    views_release(&index->views);
no_views:
    codes_release(&index->codes);
no_codes:
    mem_free(index);
    return ERR_SAY(note, ERR_NOMEM, "no memory for an index of dimension %d", dim);
}

enum err index_new_segmented(int dim, size_t segment_rows, struct index **ret, struct err_note *note)
{
    if (segment_rows < FIRST_ROWS || segment_rows > SEGMENT_MAX_ROWS || (segment_rows & (segment_rows - 1)) != 0) {
        return ERR_SAY(note, ERR_MISUSE, "segments of %zu rows; a power of two from %d to %d is possible", segment_rows,
                       FIRST_ROWS, SEGMENT_MAX_ROWS);
    }
    return index_new_with(dim, segment_rows, scan_best(), ret, note);
}

enum err index_new(int dim, struct index **ret, struct err_note *note)
{
    return index_new_with(dim, SEGMENT_MAX_ROWS, scan_best(), ret, note);
}

void index_free(struct index *index)
{
    if (index == NULL) {
        return;
    }
    rewrite_release(&index->rewrite);
    index_files_release(index);
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        segment_free(index->slots[slot]);
    }
    mem_free(index->slots);
    id_map_release(&index->map);
    views_release(&index->views);
    codes_release(&index->codes);
    (void)pthread_mutex_destroy(&index->changing);
    (void)pthread_mutex_destroy(&index->saving);
    (void)pthread_mutex_destroy(&index->flushing);
    (void)pthread_mutex_destroy(&index->accelerating);
    (void)pthread_cond_destroy(&index->let_go);
    mem_free(index);
}

int index_dim(const struct index *index)
{
    return (int)index->codes.dim;
}

int64_t index_count(struct index *index)
{
    const struct view *view = views_take(&index->views);
    int64_t count = (int64_t)view->count;
    views_drop(&index->views, view);
    return count;
}

void index_waits(struct index *index, struct index_waits *ret)
{
    views_waits(&index->views, ret);
}

size_t index_bytes(struct index *index)
{
    const struct view *view = views_take(&index->views);
    size_t bytes = sizeof *index + view->ids.n_slots * sizeof *view->ids.slots;

    for (size_t i = 0; i < view->n_parts; i++) {
        const struct accelerator *accelerator = view->parts[i].accelerator;
        bytes += segment_bytes(view->parts[i].segment) + (accelerator == NULL ? 0 : accelerator_bytes(accelerator));
    }
    views_drop(&index->views, view);
    return bytes;
}

/* FAISS takes NaN and vectors of any length without a word, and codes rest on the length; both are found here. */
enum err index_check_vector(const struct index *index, const float *vector, const char *what, struct err_note *note)
{
    double parts[4] = {0}; /* one sum alone is a chain in which each addition waits for the one before */

    for (size_t i = 0; i < index->codes.dim; i++) {
        parts[i % 4] += (double)vector[i] * (double)vector[i];
    }
    const double sum = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    if (!isfinite(sum)) {
        return ERR_SAY(note, ERR_MISUSE, "%s holds a value that is not a finite number", what);
    }
    if (fabs(sqrt(sum) - 1.0) > 1e-3) {
        return ERR_SAY(note, ERR_MISUSE, "%s has length %.6g; only vectors of length 1 are compared", what, sqrt(sum));
    }
    return ERR_NONE;
}

void index_show(struct index *index)
{
    struct view *view = views_begin(&index->views, index->n_slots);

    view->ids = index->map;
    view->landed = index->landed;
    for (size_t slot = 0; slot < index->n_slots; slot++) {
        const struct segment *segment = index->slots[slot];
        if (segment != NULL && segment->rows > 0) {
            view->parts[view->n_parts++] = (struct part){.segment = segment,
                                                         .live = segment->live[segment->now],
                                                         .accelerator = segment->accelerator,
                                                         .rows = segment->rows,
                                                         .slot = slot};
            view->count += segment->rows - segment->dead;
        }
    }
    views_show(&index->views, view);
}

/* ---- Adding ------------------------------------------------------------------------------------------------------ */

/* Where new rows go: the tail, or a longer copy that takes its place, then new segments. */
struct place {
    struct segment *segment;
    size_t slot;
    size_t n;
    bool is_new; /* not yet in the slots */
};

struct places {
    struct place *list;
    size_t n;
    size_t n_slots; /* that the index will have */
};

/* Where a large index is being filled, growing would cost more than the codes do. */
static size_t capacity_for(const struct index *index, size_t rows, size_t added)
{
    if (added >= MANY_ROWS && index->n_slots > 1) {
        return index->segment_rows;
    }
    size_t capacity = FIRST_ROWS < index->segment_rows ? FIRST_ROWS : index->segment_rows;

    while (capacity < rows && capacity < index->segment_rows) {
        capacity *= 2;
    }
    return capacity < index->segment_rows ? capacity : index->segment_rows;
}

static void places_release(struct places *places)
{
    for (size_t i = 0; i < places->n; i++) {
        if (places->list[i].is_new) {
            segment_free(places->list[i].segment);
        }
    }
    mem_free(places->list);
    *places = (struct places){0};
}

/* The tail, grown if it is too short for n more and not as long as it can be; its n is what it can take of them. */
static enum err place_in_tail(const struct index *index, size_t n, struct place *ret, struct err_note *note)
{
    struct segment *tail = index->slots[index->tail];
    struct place place = {.segment = tail, .slot = index->tail};

    if (tail->capacity - tail->rows < n && tail->capacity < index->segment_rows) {
        enum err err = segment_grow(tail, capacity_for(index, tail->rows + n, n), &place.segment, note);
        if (err != ERR_NONE) {
            return err;
        }
        place.is_new = true;
    }
    size_t room = place.segment->capacity - place.segment->rows;
    place.n = n < room ? n : room;
    *ret = place;
    return ERR_NONE;
}

static size_t next_free_slot(const struct index *index, size_t slot)
{
    while (slot < index->n_slots && index->slots[slot] != NULL) {
        slot++;
    }
    return slot;
}

static enum err places_new(const struct index *index, size_t n, struct places *ret, struct err_note *note)
{
    struct places places = {.n_slots = index->n_slots};
    enum err err = ERR_NONE;
    size_t slot = 0;
    const size_t added = n;

    places.list = MEM_ARRAY(struct place, n / index->segment_rows + 2);
    if (places.list == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to add %zu vectors", n);
    }
    /* A full one is let alone: whoever writes its file reads its number of rows without a lock. */
    if (index->tail != NO_SLOT && index->slots[index->tail]->rows < index->segment_rows) {
        err = place_in_tail(index, n, &places.list[0], note);
        if (err == ERR_NONE) {
            n -= places.list[0].n;
            places.n = 1;
        }
    }
    while (err == ERR_NONE && n > 0) {
        size_t rows = n < index->segment_rows ? n : index->segment_rows;
        struct place place = {.slot = next_free_slot(index, slot), .n = rows, .is_new = true};
        err = segment_new(&index->codes, capacity_for(index, rows, added), &place.segment, note);
        if (err == ERR_NONE) {
            places.list[places.n++] = place;
            slot = place.slot + 1;
            places.n_slots = slot > places.n_slots ? slot : places.n_slots;
            n -= rows;
        }
    }
    if (err != ERR_NONE) {
        places_release(&places);
        return err;
    }
    *ret = places;
    return ERR_NONE;
}

/* Takes the ids in, at the rows that their vectors will have; none of them if one is there already. */
static enum err claim_ids(struct index *index, const int64_t *ids, size_t n, const struct places *places,
                          struct err_note *note)
{
    size_t i = 0;

    for (size_t p = 0; p < places->n; p++) {
        const struct place *place = &places->list[p];
        for (size_t row = 0; row < place->n; row++, i++) {
            size_t known;
            if (!id_map_find(&index->map, ids[i], &known)) {
                id_map_put(&index->map, ids[i], index_location(place->slot, place->segment->rows + row));
                continue;
            }
            bool twice = false;
            for (size_t j = 0; j < i; j++) {
                twice = twice || ids[j] == ids[i];
                id_map_remove(&index->map, ids[j]);
            }
            return ERR_SAY(note, ERR_EXISTS,
                           twice ? "id %lld stands twice in the list" : "id %lld is in the index already",
                           (long long)ids[i]);
        }
    }
    assert(i == n);
    return ERR_NONE;
}

/* Everything that can fail comes first, the ids last: from there on nothing does. */
static enum err add_prepare(struct index *index, const int64_t *ids, size_t n, struct places *ret,
                            struct err_note *note)
{
    struct places places;

    enum err err = places_new(index, n, &places, note);
    if (err != ERR_NONE) {
        return err;
    }
    bool room = views_reserve(&index->views, places.n_slots) && index_ids_reserve(index, n);
    if (room && places.n_slots > index->n_slots) {
        struct segment **slots = mem_resize(index->slots, places.n_slots, sizeof(struct segment *));
        room = slots != NULL;
        if (room) {
            index->slots = slots;
            index->n_slots = places.n_slots;
        }
    }
    err = room ? claim_ids(index, ids, n, &places, note)
               : ERR_SAY(note, ERR_NOMEM, "no memory for the ids of %zu more vectors", n);
    if (err != ERR_NONE) {
        places_release(&places);
        return err;
    }
    *ret = places;
    return ERR_NONE;
}

static enum err add_alone(struct index *index, const int64_t *ids, const float *vectors, size_t n,
                          struct err_note *note)
{
    struct segment *outgrown = NULL;
    struct places places;

    enum err err = add_prepare(index, ids, n, &places, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (size_t p = 0; p < places.n; p++) {
        struct place *place = &places.list[p];
        if (place->is_new) {
            outgrown = index->slots[place->slot] != NULL ? index->slots[place->slot] : outgrown;
            index->slots[place->slot] = place->segment;
            place->is_new = false;
        }
        segment_append(place->segment, ids, vectors, place->n);
        ids += place->n;
        vectors += place->n * index->codes.dim;
        index->tail = place->slot;
    }
    places_release(&places);
    index_show(index);
    if (outgrown != NULL) {
        views_wait(&index->views);
        segment_free(outgrown);
    }
    return ERR_NONE;
}

enum err index_add(struct index *index, const int64_t *ids, const float *vectors, size_t n, struct err_note *note)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0) {
            return ERR_SAY(note, ERR_MISUSE, "id %lld is negative", (long long)ids[i]);
        }
        enum err err = index_check_vector(index, vectors + i * index->codes.dim, "a vector to add", note);
        if (err != ERR_NONE) {
            err_prefix(note, "id %lld: ", (long long)ids[i]);
            return err;
        }
    }
    if (n == 0) {
        return ERR_NONE;
    }
    index_lock_changing(index);
    enum err err = add_alone(index, ids, vectors, n, note);
    if (err == ERR_NONE) {
        (void)rewrite_step(index, n * REWRITTEN_A_CHANGE);
    }
    index_unlock_changing(index);
    return err;
}

/* ---- Tidying ------------------------------------------------------------------------------------------------------ */

void index_tidy(struct index *index)
{
    bool more = true;

    while (more) { /* other changes come in between */
        index_lock_changing(index);
        more = rewrite_step(index, SCAN_ROWS * SCAN_ROWS);
        index_unlock_changing(index);
    }
}
