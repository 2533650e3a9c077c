/* live.c: lending, swapping, and following the rows. */
#include "server/gallery/live_private.h"

#include <assert.h>

#include "core/base/mem.h"
#include "server/gallery/keeper.h"
#include "server/store/collection_rows.h"

#define BUILDER_NICE 10 /* it computes for minutes, and nobody waits for it */

enum err live_new(const struct filler *filler, struct models *models, struct live **ret, struct err_note *note)
{
    struct live *live = MEM_NEW(struct live);

    if (live == NULL) {
        return ERR_SAY(note, ERR_NOMEM, "no memory for the table of collections");
    }
    if (pthread_mutex_init(&live->changing, NULL) != 0) {
        mem_free(live);
        return ERR_SAY(note, ERR_NOMEM, "no memory for a lock");
    }
    if (pthread_mutex_init(&live->lending, NULL) != 0) {
        pthread_mutex_destroy(&live->changing);
        mem_free(live);
        return ERR_SAY(note, ERR_NOMEM, "no memory for a lock");
    }
    live->filler = *filler;
    live->models = models;
    *ret = live;
    return ERR_NONE;
}

static void pair_free(struct live *live, struct pair *pair)
{
    if (pair != NULL) {
        index_free(pair->index);
        models_unref(live->models, pair->model);
        mem_free(pair);
    }
}

void live_free(struct live *live)
{
    if (live == NULL) {
        return;
    }
    for (int i = 0; i < live->n_places;
         i++) { /* a file that is being written is given up: the next start has the rows */
        index_close_files(live->places[i].pair->index, false);
        index_stop_accelerating(live->places[i].pair->index);
    }
    keeper_stop(live->keeper);
    keeper_stop(live->builder);
    for (int i = 0; i < live->n_places; i++) {
        pair_free(live, live->places[i].pair);
    }
    mem_free(live->places);
    pthread_mutex_destroy(&live->lending);
    pthread_mutex_destroy(&live->changing);
    mem_free(live);
}

enum err pair_new(struct live *live, struct model *take_model, struct index *take_index, struct pair **ret)
{
    struct pair *pair = MEM_NEW(struct pair);

    if (pair == NULL) {
        index_free(take_index);
        models_unref(live->models, take_model);
        return ERR_NOMEM;
    }
    *pair = (struct pair){.model = take_model, .index = take_index, .refs = 1};
    *ret = pair;
    return ERR_NONE;
}

/* ---- Lending ----------------------------------------------------------------------------------------------------- */

struct place *live_place(const struct live *live, int64_t collection_id)
{
    for (int i = 0; i < live->n_places; i++) {
        if (live->places[i].collection_id == collection_id) {
            return &live->places[i];
        }
    }
    return NULL;
}

struct pair *live_borrow(struct live *live, int64_t collection_id, bool stale_will_do)
{
    struct pair *pair = NULL;

    (void)pthread_mutex_lock(&live->lending);
    struct place *place = live_place(live, collection_id);
    if (place != NULL && (stale_will_do || !place->stale)) {
        pair = place->pair;
        pair->refs++;
    }
    (void)pthread_mutex_unlock(&live->lending);
    return pair;
}

void live_unref(struct live *live, struct pair *pair)
{
    if (pair == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&live->lending);
    bool last = --pair->refs == 0;
    (void)pthread_mutex_unlock(&live->lending);
    if (last) {
        pair_free(live, pair);
    }
}

/* Makes room for one more place, outside of lending: only a thread that holds changing replaces the table. */
static bool make_room(struct live *live)
{
    if (live->n_places < live->room) {
        return true;
    }
    int room = live->room == 0 ? 16 : 2 * live->room;
    struct place *bigger = MEM_ARRAY(struct place, (size_t)room);
    if (bigger == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&live->lending);
    for (int i = 0; i < live->n_places; i++) {
        bigger[i] = live->places[i];
    }
    struct place *old = live->places;
    live->places = bigger;
    live->room = room;
    (void)pthread_mutex_unlock(&live->lending);
    mem_free(old);
    return true;
}

void live_put(struct live *live, int64_t collection_id, struct pair *take)
{
    struct pair *old = NULL;

    (void)pthread_mutex_lock(&live->lending);
    struct place *place = live_place(live, collection_id);
    if (place == NULL) {
        place = &live->places[live->n_places++];
        place->collection_id = collection_id;
    } else {
        old = place->pair;
    }
    place->pair = take;
    place->stale = false;
    (void)pthread_mutex_unlock(&live->lending);
    if (old != NULL) {
        struct index_acceleration former;
        index_acceleration(old->index, &former);
        enum err err = index_accelerate(take->index, former.description, NULL);
        assert(err == ERR_NONE); /* the old one understood it */
        (void)err;
        index_stop_accelerating(old->index); /* whoever makes that one shall stop */
        index_close_files(old->index, true);
    }
    live_unref(live, old);
    keeper_wake(live->keeper);
    keeper_wake(live->builder);
}

enum err live_swap(struct live *live, int64_t collection_id, struct pair *take)
{
    (void)pthread_mutex_lock(&live->changing);
    bool room = make_room(live);
    if (room) {
        live_put(live, collection_id, take);
    }
    (void)pthread_mutex_unlock(&live->changing);
    if (!room) {
        live_unref(live, take);
        return ERR_NOMEM;
    }
    return ERR_NONE;
}

/* ---- Building ---------------------------------------------------------------------------------------------------- */

struct filled live_filled(int64_t collection_id, const struct model *model)
{
    return (struct filled){
        .collection_id = collection_id, .model_id = model->row_id, .version = model->version, .dim = model->dim};
}

/* A stale index lets go of its files, which the new one takes. */
static enum err build_index(struct live *live, int64_t collection_id, const struct model *model, struct index **ret,
                            struct err_note *note)
{
    const struct filled what = live_filled(collection_id, model);
    struct pair *stale = live_borrow(live, collection_id, true);

    if (stale != NULL) {
        index_close_files(stale->index, stale->model->row_id != model->row_id);
    }
    enum err err = fill_index(&live->filler, &what, false, ret, note);
    if (err != ERR_NONE && stale != NULL) {
        fill_destroy(&live->filler, &what); /* what is deleted until the next try would stay in them */
    }
    live_unref(live, stale);
    return err;
}

static enum err build(struct live *live, int64_t collection_id, struct arena *mem, struct pair **ret,
                      struct err_note *note)
{
    struct collection_row row = {0};
    struct model *model = NULL;
    struct index *index = NULL;

    enum err err = store_collection_get(live->filler.store, collection_id, mem, &row, note);
    if (err == ERR_NONE) {
        err = models_get(live->models, row.model_id, mem, &model, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = build_index(live, collection_id, model, &index, note);
    if (err != ERR_NONE) {
        models_unref(live->models, model);
        return err;
    }
    live_accelerate(live, index, &row);
    return pair_new(live, model, index, ret);
}

enum err live_get(struct live *live, int64_t collection_id, struct arena *mem, struct pair **ret, struct err_note *note)
{
    enum err err = ERR_NONE;
    struct pair *pair = live_borrow(live, collection_id, false);

    if (pair == NULL) {
        (void)pthread_mutex_lock(&live->changing);
        pair = live_borrow(live, collection_id, false); /* somebody else may have built it meanwhile */
        if (pair == NULL) {
            err = make_room(live) ? build(live, collection_id, mem, &pair, note) : ERR_NOMEM;
            if (err == ERR_NONE) {
                pair->refs = 2; /* the table's and the borrower's; nobody else knows it yet */
                live_put(live, collection_id, pair);
            }
        }
        (void)pthread_mutex_unlock(&live->changing);
    }
    if (err == ERR_NONE) {
        *ret = pair;
    }
    return err;
}

void live_mark_stale(struct live *live, int64_t collection_id)
{
    (void)pthread_mutex_lock(&live->lending);
    struct place *place = live_place(live, collection_id);
    if (place != NULL) {
        place->stale = true;
    }
    (void)pthread_mutex_unlock(&live->lending);
}

/* ---- Following the rows ------------------------------------------------------------------------------------------ */

void live_added(struct live *live, int64_t collection_id, const int64_t *face_ids, const float *vectors, size_t n)
{
    (void)pthread_mutex_lock(&live->changing);
    struct pair *pair = live_borrow(live, collection_id, true);
    if (pair != NULL) {
        /* ERR_EXISTS: the pair was built between the commit and now, from rows that held these already. */
        enum err err = index_add(pair->index, face_ids, vectors, n, NULL);
        if (err != ERR_NONE && err != ERR_EXISTS) {
            live_mark_stale(live, collection_id);
        } else if (index_wants_saving(pair->index)) {
            keeper_wake(live->keeper);
        }
        if (index_wants_building(pair->index)) {
            keeper_wake(live->builder);
        }
        live_unref(live, pair);
    }
    (void)pthread_mutex_unlock(&live->changing);
}

void live_removed(struct live *live, int64_t collection_id, const int64_t *face_ids, size_t n)
{
    (void)pthread_mutex_lock(&live->changing);
    struct pair *pair = live_borrow(live, collection_id, true);
    if (pair != NULL) {
        struct err_note note = {0};
        if (index_remove_unflushed(pair->index, face_ids, n, NULL, &note) != ERR_NONE &&
            live->filler.listener.say != NULL) {
            live->filler.listener.say(live->filler.listener.context, GALLERY_SAY_ERROR, "index_not_overwritten",
                                      note.text);
        }
        if (index_wants_saving(pair->index)) {
            keeper_wake(live->keeper);
        }
        if (index_wants_building(pair->index)) {
            keeper_wake(live->builder);
        }
        live_unref(live, pair);
    }
    coming_tell(live, collection_id, face_ids, n, false);
    (void)pthread_mutex_unlock(&live->changing);
}

void live_flush(struct live *live, int64_t collection_id)
{
    struct err_note note = {0};

    /* Whoever builds the pair anew, or leaves its files to another, holds this lock until the disk has them. */
    (void)pthread_mutex_lock(&live->changing);
    struct pair *pair = live_borrow(live, collection_id, true);
    (void)pthread_mutex_unlock(&live->changing);
    if (pair != NULL && index_flush(pair->index, &note) != ERR_NONE && live->filler.listener.say != NULL) {
        live->filler.listener.say(live->filler.listener.context, GALLERY_SAY_ERROR, "index_not_overwritten", note.text);
    }
    live_unref(live, pair);
}

void live_returned(struct live *live, int64_t collection_id)
{
    (void)pthread_mutex_lock(&live->changing);
    live_mark_stale(live, collection_id);
    coming_tell(live, collection_id, NULL, 0, true);
    (void)pthread_mutex_unlock(&live->changing);
}

void live_dropped(struct live *live, int64_t collection_id)
{
    struct pair *pair = NULL;

    (void)pthread_mutex_lock(&live->changing);
    (void)pthread_mutex_lock(&live->lending);
    struct place *place = live_place(live, collection_id);
    if (place != NULL) {
        pair = place->pair;
        *place = live->places[--live->n_places];
    }
    (void)pthread_mutex_unlock(&live->lending);
    if (pair != NULL) {
        index_stop_accelerating(pair->index); /* whoever makes that one has let go of it */
        index_close_files(pair->index, true);
    }
    (void)pthread_mutex_unlock(&live->changing);
    live_unref(live, pair);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

struct pair *live_borrow_next(struct live *live, int64_t *collection_id)
{
    const struct place *next = NULL;
    struct pair *pair = NULL;

    (void)pthread_mutex_lock(&live->lending);
    for (int i = 0; i < live->n_places; i++) {
        const struct place *place = &live->places[i];
        if (place->collection_id > *collection_id && (next == NULL || place->collection_id < next->collection_id)) {
            next = place;
        }
    }
    if (next != NULL) {
        *collection_id = next->collection_id;
        pair = next->pair;
        pair->refs++;
    }
    (void)pthread_mutex_unlock(&live->lending);
    return pair;
}

/* On the keeper's thread. */
static int64_t save_all(void *context)
{
    struct live *live = context;
    int64_t collection_id = 0;
    bool saved = false;

    for (struct pair *pair = live_borrow_next(live, &collection_id); pair != NULL;
         pair = live_borrow_next(live, &collection_id)) {
        struct err_note note = {0};
        saved = saved || index_wants_saving(pair->index);
        enum err err = index_save(pair->index, &note);
        if (err != ERR_NONE && live->filler.listener.say != NULL) {
            live->filler.listener.say(live->filler.listener.context, GALLERY_SAY_WARN, "index_not_saved",
                                      note.text[0] == '\0' ? err_word(err) : note.text);
        }
        live_unref(live, pair);
    }
    if (saved) {
        mem_return_free(); /* 130 MB where a million faces were read from their rows */
    }
    return 0;
}

static bool is_wanted(void *context, int64_t collection_id, int64_t model_id)
{
    struct live *live = context;
    struct pair *pair = live_borrow(live, collection_id, true);
    bool wanted = pair != NULL && pair->model->row_id == model_id;

    live_unref(live, pair);
    return wanted;
}

void live_keep_files(struct live *live)
{
    struct err_note note = {0};

    enum err err = fill_sweep(&live->filler, is_wanted, live, &note);
    if (err == ERR_NONE && live->filler.data != NULL) {
        err = keeper_start(save_all, live, 0, &live->keeper, &note);
    }
    if (err != ERR_NONE && live->filler.listener.say != NULL) {
        live->filler.listener.say(live->filler.listener.context, GALLERY_SAY_ERROR, "index_files", note.text);
    }
    keeper_wake(live->keeper);
    note = (struct err_note){0};
    err = keeper_start(live_build_all, live, BUILDER_NICE, &live->builder, &note);
    if (err != ERR_NONE && live->filler.listener.say != NULL) {
        live->filler.listener.say(live->filler.listener.context, GALLERY_SAY_ERROR, "index_not_accelerated", note.text);
    }
    keeper_wake(live->builder);
}

void live_usage(struct live *live, struct live_usage *ret)
{
    struct live_usage usage = {0};

    (void)pthread_mutex_lock(&live->changing); /* so that the pairs stay while their indexes are asked */
    usage.collections = live->n_places;
    for (int i = 0; i < live->n_places; i++) {
        usage.vectors += index_count(live->places[i].pair->index);
        usage.index_bytes += index_bytes(live->places[i].pair->index);
        struct index_acceleration acceleration;
        index_acceleration(live->places[i].pair->index, &acceleration);
        usage.accelerated += acceleration.n_covered;
        usage.accelerator_bytes += acceleration.bytes;
    }
    (void)pthread_mutex_unlock(&live->changing);
    *ret = usage;
}
