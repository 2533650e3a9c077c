/* live_accelerate.c: FAISS's kinds for the indexes of collections that have one in their settings (index_accelerate). */
#include <stdio.h>

#include "server/gallery/gallery_private.h"
#include "server/gallery/keeper.h"
#include "server/gallery/live_private.h"
#include "server/store/collection_rows.h"

/* Making one anew takes from a second to minutes: who deletes several faces of a collection shall be done first. */
#define QUIET_NS INT64_C(3000000000)

void live_accelerate(struct live *live, struct index *index, const struct collection_row *row)
{
    const struct gallery_listener *listener = &live->filler.listener;
    struct collection_settings settings = {0};
    struct gallery_fault fault = {0};

    enum err err = settings_read(row, &settings, &fault);
    if (err == ERR_NONE) {
        err = index_accelerate(index, settings.index, &fault.note);
    }
    if (err != ERR_NONE && listener->say != NULL) {
        char sentence[512];
        (void)snprintf(sentence, sizeof sentence, "collection \"%s\" is searched exactly, and not by \"%s\": %s",
                       row->name, settings.index, fault.note.text);
        listener->say(listener->context, GALLERY_SAY_WARN, "index_not_accelerated", sentence);
    }
}

void live_configured(struct live *live, int64_t collection_id, struct arena *mem)
{
    struct collection_row row = {0};

    /* The row is read under the lock, so that of two changes the later one stays.  What cannot be read now is read when the pair is
     * built again. */
    (void)pthread_mutex_lock(&live->changing);
    struct pair *pair = live_borrow(live, collection_id, true);
    if (pair != NULL && store_collection_get(live->filler.store, collection_id, mem, &row, NULL) == ERR_NONE) {
        live_accelerate(live, pair->index, &row);
    }
    (void)pthread_mutex_unlock(&live->changing);
    live_unref(live, pair);
    keeper_wake(live->builder);
}

size_t live_segment_rows(const struct live *live)
{
    return live->filler.segment_rows == 0 ? INDEX_SEGMENT_ROWS : live->filler.segment_rows;
}

bool live_acceleration(struct live *live, int64_t collection_id, struct index_acceleration *ret)
{
    struct pair *pair = live_borrow(live, collection_id, true);

    if (pair == NULL) {
        return false;
    }
    index_acceleration(pair->index, ret);
    live_unref(live, pair);
    return true;
}

int64_t live_build_all(void *context)
{
    struct live *live = context;
    int64_t collection_id = 0;
    int64_t soonest_ns = 0;

    for (struct pair *pair = live_borrow_next(live, &collection_id); pair != NULL;
         pair = live_borrow_next(live, &collection_id)) {
        int64_t wait_ns = 0;
        index_build(pair->index, QUIET_NS, &wait_ns);
        live_unref(live, pair);
        soonest_ns = wait_ns > 0 && (soonest_ns == 0 || wait_ns < soonest_ns) ? wait_ns : soonest_ns;
    }
    return soonest_ns;
}
