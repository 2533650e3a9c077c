/* ahead.c: crops are taken one by one by whichever thread is free. */
#include "core/train/ahead.h"

#include <pthread.h>
#include <string.h>

#include "core/base/mem.h"

#define ARENA_BYTES ((size_t)256 << 20)

struct maker {
    struct ahead *ahead;
    struct arena *mem;
    pthread_t thread;
};

struct ahead {
    /* immutable after ahead_new */
    const struct student *student;
    int most;      /* crops of a batch */
    size_t floats; /* of one input */
    struct maker *makers;
    int n_started;

    pthread_mutex_t lock;
    pthread_cond_t asked, made;

    /* guarded by the lock */
    bool closing;
    int n, next, done; /* crops of the batch, that were begun, that are there; all the same: nothing is asked for */
    int ask;           /* which of the two buffers is being filled */
    enum err err;      /* the first of this batch */
    struct err_note note;

    /* written while nothing is asked for */
    int *item; /* [most] */
    long epoch;
    float *input[2]; /* [most, floats] */
};

/* ---- The threads ------------------------------------------------------------------------------------------------- */

/* Waits for a crop to make; -1: it is over. */
static int take_crop(struct ahead *ahead)
{
    int i = -1;

    (void)pthread_mutex_lock(&ahead->lock);
    while (ahead->next == ahead->n && !ahead->closing) {
        (void)pthread_cond_wait(&ahead->asked, &ahead->lock);
    }
    if (!ahead->closing) {
        i = ahead->next++;
    }
    (void)pthread_mutex_unlock(&ahead->lock);
    return i;
}

static void give_crop(struct ahead *ahead, enum err err, const struct err_note *note)
{
    (void)pthread_mutex_lock(&ahead->lock);
    if (err != ERR_NONE && ahead->err == ERR_NONE) {
        ahead->err = err;
        ahead->note = *note;
    }
    if (++ahead->done == ahead->n) {
        (void)pthread_cond_signal(&ahead->made);
    }
    (void)pthread_mutex_unlock(&ahead->lock);
}

static void *make(void *context)
{
    struct maker *maker = context;
    struct ahead *ahead = maker->ahead;

    for (int i = take_crop(ahead); i >= 0; i = take_crop(ahead)) {
        struct err_note note = {0};
        float *input = ahead->input[ahead->ask] + (size_t)i * ahead->floats;
        enum err err = student_fill(ahead->student, ahead->item[i], ahead->epoch, maker->mem, input, &note);
        arena_reset(maker->mem);
        give_crop(ahead, err, &note);
    }
    return NULL;
}

/* ---- Asking ------------------------------------------------------------------------------------------------------- */

void ahead_ask(struct ahead *ahead, const int *item, int n, long epoch)
{
    (void)pthread_mutex_lock(&ahead->lock);
    memcpy(ahead->item, item, (size_t)n * sizeof *item);
    ahead->n = n;
    ahead->epoch = epoch;
    ahead->ask = 1 - ahead->ask;
    ahead->err = ERR_NONE;
    ahead->note = (struct err_note){0};
    ahead->next = 0;
    ahead->done = 0;
    (void)pthread_cond_broadcast(&ahead->asked);
    (void)pthread_mutex_unlock(&ahead->lock);
}

enum err ahead_take(struct ahead *ahead, float **ret, struct err_note *note)
{
    (void)pthread_mutex_lock(&ahead->lock);
    while (ahead->done < ahead->n) {
        (void)pthread_cond_wait(&ahead->made, &ahead->lock);
    }
    enum err err = ahead->err;
    (void)pthread_mutex_unlock(&ahead->lock);
    *ret = ahead->input[ahead->ask];
    return err != ERR_NONE && ahead->note.text[0] != '\0' ? ERR_SAY(note, err, "%s", ahead->note.text) : err;
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static enum err start(struct ahead *ahead, int threads)
{
    ahead->item = MEM_ARRAY(int, ahead->most);
    ahead->makers = MEM_ARRAY(struct maker, threads);
    for (int i = 0; i < 2; i++) {
        ahead->input[i] = MEM_ARRAY(float, (size_t)ahead->most * ahead->floats);
    }
    if (ahead->item == NULL || ahead->makers == NULL || ahead->input[0] == NULL || ahead->input[1] == NULL) {
        return ERR_NOMEM;
    }
    for (int t = 0; t < threads; t++) {
        struct maker *maker = &ahead->makers[t];
        maker->ahead = ahead;
        maker->mem = arena_new(ARENA_BYTES);
        if (maker->mem == NULL || pthread_create(&maker->thread, NULL, make, maker) != 0) {
            arena_free(maker->mem);
            return ERR_NOMEM;
        }
        ahead->n_started++;
    }
    return ERR_NONE;
}

enum err ahead_new(const struct student *student, int most, int threads, struct ahead **ret)
{
    const struct tensor one = student_input(student, 1);
    struct ahead *ahead = MEM_NEW(struct ahead);

    if (ahead == NULL) {
        return ERR_NOMEM;
    }
    ahead->student = student;
    ahead->most = most;
    ahead->floats = (size_t)shape_elements(&one.shape);
    (void)pthread_mutex_init(&ahead->lock, NULL);
    (void)pthread_cond_init(&ahead->asked, NULL);
    (void)pthread_cond_init(&ahead->made, NULL);
    enum err err = start(ahead, threads);
    if (err != ERR_NONE) {
        ahead_free(ahead);
        return err;
    }
    *ret = ahead;
    return ERR_NONE;
}

void ahead_free(struct ahead *ahead)
{
    if (ahead == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&ahead->lock);
    ahead->closing = true;
    (void)pthread_cond_broadcast(&ahead->asked);
    (void)pthread_mutex_unlock(&ahead->lock);
    for (int t = 0; t < ahead->n_started; t++) {
        (void)pthread_join(ahead->makers[t].thread, NULL);
        arena_free(ahead->makers[t].mem);
    }
    mem_free_wiped(ahead->input[0]);
    mem_free_wiped(ahead->input[1]);
    mem_free(ahead->makers);
    mem_free(ahead->item);
    (void)pthread_cond_destroy(&ahead->made);
    (void)pthread_cond_destroy(&ahead->asked);
    (void)pthread_mutex_destroy(&ahead->lock);
    mem_free(ahead);
}
