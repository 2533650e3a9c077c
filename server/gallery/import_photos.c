/*
 * import_photos.c: an archive of photos, one folder for each subject.
 *
 * The archive is read by one thread and looked at by several: a handful of photos at a time goes through a pool, each with the
 * worker of its thread.  What was enrolled writes its own row; what was not is written in order when the handful is done.
 */
#include <pthread.h>

#include "core/base/mem.h"
#include "core/base/pool.h"
#include "server/gallery/import_private.h"
#include "server/gallery/unpack.h"

#define HANDFUL_PER_WORKER 8
#define HANDFUL_BYTES ((size_t)48 << 20)       /* then the handful is full */
#define HANDFUL_ARENA_BYTES ((size_t)96 << 20) /* and the photo that made it full, and names */

struct photo {
    struct unpack_item item;
    const unsigned char *bytes;
    size_t n_bytes;
    enum err err;
    struct gallery_fault fault;
};

struct crew {
    struct import *import;
    struct pool *pool;
    struct photo *photos;
    int n_photos, room;
    size_t held_bytes;
    struct arena *mem; /* of the photos */

    struct gallery_worker **workers;
    int n_workers;

    /* guarded by lock */
    pthread_mutex_t lock;
    int n_idle; /* the first workers are idle */
};

/* ---- One photo ---------------------------------------------------------------------------------------------------- */

static struct gallery_worker *worker_take(struct crew *crew)
{
    (void)pthread_mutex_lock(&crew->lock);
    struct gallery_worker *worker = crew->workers[--crew->n_idle];
    (void)pthread_mutex_unlock(&crew->lock);
    return worker;
}

static void worker_give_back(struct crew *crew, struct gallery_worker *worker)
{
    (void)pthread_mutex_lock(&crew->lock);
    crew->workers[crew->n_idle++] = worker;
    (void)pthread_mutex_unlock(&crew->lock);
}

static void photo_enroll(void *context, int i)
{
    struct crew *crew = context;
    struct photo *photo = &crew->photos[i];
    const struct import_plan *plan = crew->import->plan;
    const struct import_mark mark = {.job_id = plan->job_id, .number = photo->item.number, .name = photo->item.name};
    const struct enroll_query query = {.collection = plan->collection,
                                       .subject = {.name = photo->item.folder},
                                       .photo = {.bytes = photo->bytes, .n_bytes = photo->n_bytes},
                                       .faces = plan->faces,
                                       .quality = plan->quality,
                                       .on_duplicate = plan->on_duplicate,
                                       .mark = &mark};
    struct enroll_answer answer;
    struct gallery_worker *worker = worker_take(crew);

    gallery_worker_begin(worker, &(struct gallery_request){.actor = plan->actor, .cancel = plan->cancel});
    photo->err = gallery_enroll(worker, &query, &answer, &photo->fault);
    gallery_worker_reset(worker);
    worker_give_back(crew, worker);
}

/* ---- A handful ---------------------------------------------------------------------------------------------------- */

static enum err handful_finish(struct crew *crew, struct gallery_fault *fault)
{
    enum err err = ERR_NONE;

    pool_run(crew->pool, crew->n_photos, photo_enroll, crew);
    for (int i = 0; i < crew->n_photos && err == ERR_NONE; i++) {
        const struct photo *photo = &crew->photos[i];
        if (photo->err == ERR_NONE) {
            continue;
        }
        const char *outcome = import_outcome(photo->err, &photo->fault);
        if (outcome == NULL) {
            *fault = photo->fault;
            err = photo->err;
        } else {
            err = import_failed(crew->import, photo->item.number, photo->item.name, outcome, photo->fault.note.text,
                                &fault->note);
        }
    }
    crew->n_photos = 0;
    crew->held_bytes = 0;
    arena_reset_wiped(crew->mem);
    return err == ERR_NONE ? import_flush(crew->import, &fault->note) : err;
}

/* Puts the present entry where it belongs: into the handful, or among what failed. */
static enum err entry_take(struct crew *crew, struct unpack_source *source, struct unpack_item *item,
                           struct gallery_fault *fault)
{
    struct photo *photo = &crew->photos[crew->n_photos];
    enum err err = ERR_NONE;

    *photo = (struct photo){0};
    if (item->what == UNPACK_FILE) {
        err = unpack_read(source, crew->mem, item, &photo->bytes, &photo->n_bytes, &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (item->what == UNPACK_REFUSED) {
        return import_failed(crew->import, item->number, item->name, item->outcome, item->sentence, &fault->note);
    }
    photo->item = *item;
    crew->n_photos++;
    crew->held_bytes += photo->n_bytes;
    return ERR_NONE;
}

static enum err entries_walk(struct crew *crew, struct unpack_source *source, struct gallery_fault *fault)
{
    for (;;) {
        struct unpack_item item;
        enum err err = unpack_next(source, crew->mem, &item, &fault->note);
        if (err == ERR_NOT_FOUND) {
            return handful_finish(crew, fault);
        }
        if (err == ERR_NONE && item.what != UNPACK_PASSED && !import_is_done(crew->import, item.number)) {
            err = entry_take(crew, source, &item, fault);
        }
        /* The names of what is passed over fill the arena too. */
        bool full = crew->n_photos == crew->room || crew->held_bytes >= HANDFUL_BYTES ||
                    arena_used_bytes(crew->mem) >= HANDFUL_ARENA_BYTES / 2;
        if (err == ERR_NONE && full) {
            err = handful_finish(crew, fault);
        }
        if (err == ERR_NONE) {
            err = import_goes_on(crew->import, unpack_position(source));
        }
        if (err != ERR_NONE) {
            return err;
        }
    }
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static void crew_release(struct crew *crew)
{
    for (int i = 0; i < crew->n_workers; i++) {
        gallery_worker_free(crew->workers[i]);
    }
    mem_free(crew->workers);
    mem_free(crew->photos);
    pool_free(crew->pool);
    arena_free(crew->mem);
    (void)pthread_mutex_destroy(&crew->lock);
}

static enum err crew_init(struct crew *crew, struct import *import)
{
    int n = import->plan->n_workers;

    *crew = (struct crew){.import = import, .room = n * HANDFUL_PER_WORKER};
    (void)pthread_mutex_init(&crew->lock, NULL);
    crew->mem = arena_new(HANDFUL_ARENA_BYTES);
    crew->photos = MEM_ARRAY(struct photo, crew->room);
    crew->workers = MEM_ARRAY(struct gallery_worker *, n);
    enum err err =
        crew->mem == NULL || crew->photos == NULL || crew->workers == NULL ? ERR_NOMEM : pool_new(n, &crew->pool);
    while (err == ERR_NONE && crew->n_workers < n) {
        err = gallery_worker_new(import->gallery, import->plan->arena_bytes, &crew->workers[crew->n_workers]);
        crew->n_workers += err == ERR_NONE;
    }
    crew->n_idle = crew->n_workers;
    if (err != ERR_NONE) {
        crew_release(crew);
    }
    return err;
}

enum err import_photos(struct import *import, struct gallery_fault *fault)
{
    struct unpack_limits limits = unpack_limits_default();
    struct unpack_source *source = NULL;
    struct crew crew;

    limits.entry_bytes = import->gallery->limits.bytes;
    enum err err = unpack_open(import->plan->path, &limits, &source, &fault->note);
    if (err != ERR_NONE) {
        return err;
    }
    err = crew_init(&crew, import);
    if (err == ERR_NONE) {
        err = entries_walk(&crew, source, fault);
        crew_release(&crew);
    }
    unpack_close(source);
    return err;
}
