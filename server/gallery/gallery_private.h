/*
 * gallery_private.h: what the use cases share inside this folder.
 */
#ifndef SERVER_GALLERY_GALLERY_PRIVATE_H
#define SERVER_GALLERY_GALLERY_PRIVATE_H

#include <pthread.h>

#include "core/base/pool.h"
#include "core/image/decode.h"
#include "server/gallery/filter.h"
#include "server/gallery/gallery.h"
#include "server/gallery/live.h"
#include "server/store/collection_rows.h"
#include "server/store/replay_rows.h"

#define DEFAULT_COLLECTION "default"

struct gallery {
    /* immutable */
    struct store *store;
    struct gallery_policy policy;
    struct image_limits limits;
    size_t session_bytes;
    struct gallery_listener listener;
    struct model *detector;      /* NULL: none */
    struct model *default_model; /* NULL: none; a loan */

    /* guard themselves */
    struct batcher *batcher; /* batch.h; NULL: every request embeds by itself */
    struct pool *lone;       /* its guests are the workers that are at work; NULL: each has one thread */
    struct models *models;
    struct live *live;
    struct filters *filters;

    /* Held by who refuses what others have (DUPLICATE_REJECT_ANY), from the search until the index knows the new face: two who
     * enroll one face under two names at the same moment would not find each other.  Nobody else waits for it. */
    pthread_mutex_t refusing;
};

/*
 * A network's sessions, each NULL until it is needed: of one thread, for the times when several workers are at work, and of
 * the gallery's pool, for those when this one is alone.  They are two because what is cut for several threads and run on one
 * costs 2 % more than what was cut for one.
 */
struct worker_sessions {
    struct session *own, *lone;
};

/* A recogniser's, with the loan that keeps its graph. */
struct worker_slot {
    struct model *model; /* NULL: free */
    struct worker_sessions sessions;
    uint64_t used; /* counts uses: the smallest is the one to evict */
};

/* Galleries of one operator rarely use more models at a time; a session costs its activations. */
#define WORKER_SESSIONS 4

struct gallery_worker {
    struct gallery *gallery;
    struct arena *mem;
    struct gallery_times times;
    struct gallery_request request;
    const struct replay *replay; /* of the request in hand; NULL: no answer is kept */
    struct worker_sessions detector;
    bool expected; /* the batcher counts it as on its way */
    bool at_work;  /* a guest of the gallery's pool */
    struct worker_slot slots[WORKER_SESSIONS];
    uint64_t uses;
};

/* Why the arena gave nothing: the request is too large, or the heap is empty; never ERR_NONE. */
static inline enum err spent(const struct arena *mem)
{
    return arena_why(mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

/* Sets the reason and returns the error; the sentence is written by ERR_SAY beside it, or by whoever failed. */
enum err gallery_fail(struct gallery_fault *fault, enum gallery_reason reason, enum err err);

/* ERR_TIMEOUT or ERR_CANCELLED, with a sentence, when the request in hand shall not go on. */
MUST_CHECK enum err worker_may_go_on(const struct gallery_worker *worker, struct gallery_fault *fault);

/* Counts as at work, or not while it waits for another one's run; said again, it counts once. */
void worker_at_work(struct gallery_worker *worker, bool at_work);

/* Who asks, for an audit row; never NULL. */
const char *worker_actor(const struct gallery_worker *worker);

/*
 * The answer to keep with a change of the rows, made by make from the change's own result; NULL if the request keeps none.
 * make fills in the rest of the use case's *ret and hands that to worker_answer.
 */
const struct replay *worker_replay(const struct gallery_worker *worker,
                                   enum err (*make)(void *context, const void *result, struct replay_answer *ret),
                                   void *context, struct replay *room);
MUST_CHECK enum err worker_answer(const struct gallery_worker *worker, const void *use_case_ret,
                                  struct replay_answer *ret);

/*
 * The worker's session for a network and one run, made at first use; the worker is at work from here on.  Owns: the worker.
 */
MUST_CHECK enum err worker_detector_session(struct gallery_worker *worker, struct session **ret,
                                            struct gallery_fault *fault);
MUST_CHECK enum err worker_session(struct gallery_worker *worker, struct model *model, struct session **ret,
                                   struct gallery_fault *fault);

/* A list that could not be read: wrong limits and foreign tokens are the caller's. */
enum err page_fault(enum err err, struct gallery_fault *fault);

/* ---- Finding rows, with the reasons of the API (find.c) ------------------------------------------------------------ */

struct subject_row;
struct face_row;

/* name NULL: DEFAULT_COLLECTION. */
MUST_CHECK enum err find_collection(struct gallery_worker *worker, const char *name, struct collection_row *ret,
                                    struct gallery_fault *fault);
/* The collection and its pair; give it back with live_unref. */
MUST_CHECK enum err find_pair(struct gallery_worker *worker, const char *name, struct collection_row *ret,
                              struct pair **ret_pair, struct gallery_fault *fault);
/* A subject of the collection, by what the reference says. */
MUST_CHECK enum err find_subject(struct gallery_worker *worker, const struct collection_row *collection,
                                 const struct subject_ref *ref, struct subject_row *ret, struct gallery_fault *fault);
/* A face of the collection. */
MUST_CHECK enum err find_face(struct gallery_worker *worker, const struct collection_row *collection, const char *uuid,
                              struct face_row *ret, struct gallery_fault *fault);

/* A job of one of these kinds (NULL behind the last) that has succeeded.  Errors: GALLERY_NO_SUCH_JOB; GALLERY_OTHER_JOB. */
struct job_row;
MUST_CHECK enum err find_done_job(struct gallery_worker *worker, int64_t job_id, const char *const *kinds,
                                  struct job_row *ret, struct gallery_fault *fault);

/* A subject in the words of the API (people.c). */
struct subject_info;
struct subject_info subject_info_of(const struct subject_row *row, const char *collection);

/* What a collection's settings say; {0} for members that are absent. */
struct collection_settings {
    struct threshold_wish threshold;
    int64_t retention_days;
    char index[INDEX_ACCELERATION_CHARS]; /* index_accelerate's description */
};
MUST_CHECK enum err settings_read(const struct collection_row *collection, struct collection_settings *ret,
                                  struct gallery_fault *fault);
MUST_CHECK enum err settings_write(const struct collection_settings *settings, struct arena *mem, const char **ret,
                                   struct gallery_fault *fault);

#endif
