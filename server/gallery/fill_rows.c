/* fill_rows.c: two batches: one is being read while the other is being added. */
#include "server/gallery/fill_rows.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

#define BATCH 1024 /* rows */

struct batch {
    int64_t ids[BATCH];
    float *vectors; /* [BATCH, dim] */
    size_t n;
    bool full; /* guarded by lock: it is the adding thread's */
};

struct fill_rows {
    /* immutable */
    struct index *index;
    bool alone; /* there is no other thread */
    pthread_t thread;

    /* of the reading thread */
    const int64_t *wanted; /* NULL: all */
    size_t n_wanted, at;
    int reading; /* batch */

    pthread_mutex_t lock;
    pthread_cond_t turned; /* a batch is full, or is not any more; or the end has come */
    struct batch batches[2];
    bool ended;           /* guarded by lock */
    enum err err;         /* guarded by lock: the first of adding */
    struct err_note note; /* its sentence */
};

/* The batch is the caller's alone. */
static void add(struct fill_rows *rows, struct batch *batch)
{
    struct err_note note = {0};
    enum err err = batch->n == 0 ? ERR_NONE : index_add(rows->index, batch->ids, batch->vectors, batch->n, &note);

    batch->n = 0;
    if (err != ERR_NONE) {
        (void)pthread_mutex_lock(&rows->lock);
        rows->err = err;
        rows->note = note;
        (void)pthread_mutex_unlock(&rows->lock);
    }
}

static void *add_batches(void *context)
{
    struct fill_rows *rows = context;

    (void)pthread_mutex_lock(&rows->lock);
    for (int i = 0;; i = 1 - i) {
        struct batch *batch = &rows->batches[i];
        while (!batch->full && !rows->ended) {
            (void)pthread_cond_wait(&rows->turned, &rows->lock);
        }
        if (!batch->full || rows->err != ERR_NONE) {
            break;
        }
        (void)pthread_mutex_unlock(&rows->lock);
        add(rows, batch);
        (void)pthread_mutex_lock(&rows->lock);
        batch->full = false;
        (void)pthread_cond_signal(&rows->turned);
    }
    (void)pthread_mutex_unlock(&rows->lock);
    return NULL;
}

/* The batch that was read is to be added; the other one is read next. */
static enum err hand_over(struct fill_rows *rows)
{
    if (rows->alone) {
        add(rows, &rows->batches[0]);
        return rows->err;
    }
    (void)pthread_mutex_lock(&rows->lock);
    rows->batches[rows->reading].full = true;
    rows->reading = 1 - rows->reading;
    (void)pthread_cond_signal(&rows->turned);
    while (rows->batches[rows->reading].full && rows->err == ERR_NONE) {
        (void)pthread_cond_wait(&rows->turned, &rows->lock);
    }
    enum err err = rows->err;
    (void)pthread_mutex_unlock(&rows->lock);
    return err;
}

static bool is_wanted(struct fill_rows *rows, int64_t face_id)
{
    while (rows->at < rows->n_wanted && rows->wanted[rows->at] < face_id) {
        rows->at++;
    }
    return rows->wanted == NULL || (rows->at < rows->n_wanted && rows->wanted[rows->at] == face_id);
}

enum err fill_rows_take(void *context, int64_t face_id, const float *vector, int dim)
{
    struct fill_rows *rows = context;
    struct batch *batch = &rows->batches[rows->reading];

    if (!is_wanted(rows, face_id)) {
        return ERR_NONE;
    }
    memcpy(batch->vectors + batch->n * (size_t)dim, vector, (size_t)dim * sizeof *vector);
    batch->ids[batch->n++] = face_id;
    return batch->n == BATCH ? hand_over(rows) : ERR_NONE;
}

static void release(struct fill_rows *rows)
{
    for (int i = 0; i < 2; i++) {
        mem_free_wiped(rows->batches[i].vectors);
    }
    (void)pthread_cond_destroy(&rows->turned);
    (void)pthread_mutex_destroy(&rows->lock);
    mem_free(rows);
}

enum err fill_rows_begin(struct index *index, int dim, const int64_t *wanted, size_t n_wanted, struct fill_rows **ret,
                         struct err_note *note)
{
    struct fill_rows *rows = MEM_NEW(struct fill_rows);
    bool room = rows != NULL;

    if (room) {
        rows->index = index;
        rows->wanted = wanted;
        rows->n_wanted = n_wanted;
        (void)pthread_mutex_init(&rows->lock, NULL);
        (void)pthread_cond_init(&rows->turned, NULL);
        for (int i = 0; i < 2; i++) {
            rows->batches[i].vectors = mem_new((size_t)BATCH * (size_t)dim, sizeof(float));
            room = room && rows->batches[i].vectors != NULL;
        }
    }
    if (!room) {
        if (rows != NULL) {
            release(rows);
        }
        return ERR_SAY(note, ERR_NOMEM, "no memory to build an index");
    }
    rows->alone = pthread_create(&rows->thread, NULL, add_batches, rows) != 0;
    *ret = rows;
    return ERR_NONE;
}

enum err fill_rows_end(struct fill_rows *take, enum err so_far, struct err_note *note)
{
    enum err err = so_far == ERR_NONE ? hand_over(take) : so_far;

    if (!take->alone) {
        (void)pthread_mutex_lock(&take->lock);
        take->ended = true;
        (void)pthread_cond_signal(&take->turned);
        (void)pthread_mutex_unlock(&take->lock);
        (void)pthread_join(take->thread, NULL);
    }
    if (take->err != ERR_NONE) {
        err = ERR_SAY(note, take->err, "%s", take->note.text);
    }
    release(take);
    return err;
}
