/* coming.c: a pair in the making, told of what is deleted meanwhile. */
#include "core/base/mem.h"
#include "server/gallery/live_private.h"

enum err live_prepare(struct live *live, int64_t collection_id, struct model *take_model, struct coming **ret,
                      struct err_note *note)
{
    const struct filled what = live_filled(collection_id, take_model);
    struct index *index = NULL;
    struct coming *coming = MEM_NEW(struct coming);

    if (coming == NULL) {
        models_unref(live->models, take_model);
        return ERR_SAY(note, ERR_NOMEM, "no memory to prepare another model");
    }
    coming->live = live;
    coming->collection_id = collection_id;
    /* Known before the rows are read, so that no deletion falls in between. */
    (void)pthread_mutex_lock(&live->changing);
    coming->next = live->coming;
    live->coming = coming;
    (void)pthread_mutex_unlock(&live->changing);
    enum err err = fill_index(&live->filler, &what, true, &index, note);
    if (err != ERR_NONE) {
        models_unref(live->models, take_model);
    } else {
        err = pair_new(live, take_model, index, &coming->pair);
    }
    if (err != ERR_NONE) {
        coming_drop(coming);
        return err;
    }
    *ret = coming;
    return ERR_NONE;
}

enum err coming_add(struct coming *coming, const int64_t *face_ids, const float *vectors, size_t n,
                    struct err_note *note)
{
    return index_add(coming->pair->index, face_ids, vectors, n, note);
}

/* With changing held. */
static void unlink_coming(struct coming *coming)
{
    struct coming **link = &coming->live->coming;

    while (*link != coming) {
        link = &(*link)->next;
    }
    *link = coming->next;
}

static void note_gone(struct coming *coming, const int64_t *face_ids, size_t n)
{
    if (coming->n_gone + n > coming->room) {
        size_t room = 2 * coming->room + n;
        int64_t *more = mem_resize(coming->gone, room, sizeof *more);
        if (more == NULL) {
            coming->incomplete = true;
            return;
        }
        coming->gone = more;
        coming->room = room;
    }
    for (size_t i = 0; i < n; i++) {
        coming->gone[coming->n_gone++] = face_ids[i];
    }
}

void coming_tell(struct live *live, int64_t collection_id, const int64_t *gone, size_t n_gone, bool incomplete)
{
    for (struct coming *coming = live->coming; coming != NULL; coming = coming->next) {
        if (coming->collection_id == collection_id) {
            coming->incomplete = coming->incomplete || incomplete;
            note_gone(coming, gone, n_gone);
        }
    }
}

void coming_live(struct coming *take)
{
    struct live *live = take->live;
    bool stale = false;

    (void)pthread_mutex_lock(&live->changing);
    unlink_coming(take);
    stale = take->incomplete ||
            (take->n_gone > 0 && index_remove(take->pair->index, take->gone, take->n_gone, NULL, NULL) != ERR_NONE);
    /* A collection that nobody has asked for has no place: then the first request builds its pair from the rows. */
    (void)pthread_mutex_lock(&live->lending);
    bool known = live_place(live, take->collection_id) != NULL;
    (void)pthread_mutex_unlock(&live->lending);
    if (known) {
        live_put(live, take->collection_id, take->pair);
        take->pair = NULL;
        if (stale) {
            live_mark_stale(live, take->collection_id);
        }
    }
    (void)pthread_mutex_unlock(&live->changing);
    live_unref(live, take->pair);
    mem_free(take->gone);
    mem_free(take);
}

void coming_drop(struct coming *coming)
{
    if (coming == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&coming->live->changing);
    unlink_coming(coming);
    (void)pthread_mutex_unlock(&coming->live->changing);
    live_unref(coming->live, coming->pair);
    mem_free(coming->gone);
    mem_free(coming);
}
