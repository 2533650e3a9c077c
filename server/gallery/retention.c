/* retention.c: what is too old is forgotten. */
#include "server/gallery/retention.h"

#include <stdio.h>

#include "server/gallery/gallery_private.h"
#include "server/store/retention_rows.h"

#define FACES_AT_ONCE 256 /* a transaction of some milliseconds: enrolling hardly waits */
#define COLLECTIONS_AT_ONCE 100
#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct expiring {
    struct gallery *gallery;
    int64_t collection_id;
    struct receipt receipt;
};

static void expired(void *context)
{
    const struct expiring *e = context;

    live_removed(e->gallery->live, e->collection_id, e->receipt.face_ids, (size_t)e->receipt.n_faces);
}

static void say_erased(const struct gallery *gallery, int64_t collection_id, int64_t n_faces, int64_t n_subjects)
{
    char sentence[160];

    if (gallery->listener.say != NULL && n_faces + n_subjects > 0) {
        (void)snprintf(sentence, sizeof sentence, "collection %lld: %lld faces and %lld subjects had come of age",
                       (long long)collection_id, (long long)n_faces, (long long)n_subjects);
        gallery->listener.say(gallery->listener.context, GALLERY_SAY_INFO, "retention", sentence);
    }
}

static enum err collection_expire(struct gallery_worker *worker, int64_t collection_id, int64_t before_ms,
                                  int64_t *ret_faces, struct gallery_fault *fault)
{
    struct expiring e = {.gallery = worker->gallery, .collection_id = collection_id};
    const struct after_commit after = {.call = expired, .context = &e};
    int64_t n_faces = 0;
    int64_t n_subjects = 0;
    enum err err = ERR_NONE;

    do {
        struct arena *mem = arena_new((size_t)1 << 20);
        err = mem == NULL ? ERR_NOMEM
                          : store_expire(worker->gallery->store, collection_id, before_ms, FACES_AT_ONCE, &after, mem,
                                         &e.receipt, &fault->note);
        arena_free(mem);
        if (err == ERR_NONE) {
            n_faces += e.receipt.n_faces;
            n_subjects += e.receipt.n_subjects;
            err = worker_may_go_on(worker, fault);
        }
    } while (err == ERR_NONE && e.receipt.n_faces > 0);
    live_flush(worker->gallery->live, collection_id);
    *ret_faces += n_faces;
    say_erased(worker->gallery, collection_id, n_faces, n_subjects);
    return err;
}

static enum err all_expire(struct gallery_worker *worker, int64_t now_ms, int64_t *ret_faces,
                           struct gallery_fault *fault)
{
    struct store_page page = {.limit = COLLECTIONS_AT_ONCE};

    do {
        struct collection_row *rows = NULL;
        int n = 0;
        enum err err =
            store_collection_list(worker->gallery->store, &page, worker->mem, &rows, &n, &page.token, &fault->note);
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            struct collection_settings settings = {0};
            err = settings_read(&rows[i], &settings, fault);
            if (err == ERR_NONE && settings.retention_days > 0) {
                err =
                    collection_expire(worker, rows[i].id, now_ms - settings.retention_days * DAY_MS, ret_faces, fault);
            }
        }
        if (err != ERR_NONE) {
            return err;
        }
    } while (page.token != NULL);
    return ERR_NONE;
}

enum err gallery_retention(struct gallery_worker *worker, int64_t now_ms, int64_t *ret_faces,
                           struct gallery_fault *fault)
{
    const struct gallery_listener *listener = &worker->gallery->listener;

    *ret_faces = 0;
    enum err err = all_expire(worker, now_ms, ret_faces, fault);
    if (err != ERR_NONE && err != ERR_CANCELLED && listener->say != NULL) {
        listener->say(listener->context, GALLERY_SAY_ERROR, "retention",
                      fault->note.text[0] == '\0' ? err_word(err) : fault->note.text);
    }
    return err;
}
