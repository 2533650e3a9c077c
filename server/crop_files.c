/* crop_files.c: a pool of threads, each with its own sessions, over one list. */
#include "server/crop_files.h"

#include <math.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/image/decode.h"

#define ARENA_BYTES ((size_t)512 << 20)
#define SESSION_BYTES ((size_t)2 << 30)
#define MOST_THREADS 64

struct crew {
    const struct crop_source *source;
    crop_taker *take;
    void *context;
    struct progress *progress;
    unsigned char *state;
    atomic_int next;
    atomic_bool failed;

    struct crew_thread {
        struct session *detect;
        struct arena *mem;
        enum err err;
        struct err_note note;
    } thread[MOST_THREADS];
};

static const struct face *central_face(const struct face *faces, int n, const struct image *photo)
{
    const struct face *best = NULL;
    float least = INFINITY;

    for (int i = 0; i < n; i++) {
        float dx = (faces[i].box[0] + faces[i].box[2] - (float)photo->width) / 2;
        float dy = (faces[i].box[1] + faces[i].box[3] - (float)photo->height) / 2;
        if (dx * dx + dy * dy < least) {
            least = dx * dx + dy * dy;
            best = &faces[i];
        }
    }
    return best;
}

/* Only what fails for every photo alike is an error. */
static bool is_fatal(enum err err)
{
    return err == ERR_NOMEM;
}

static enum err crop_photo(const struct crew *crew, struct crew_thread *thread, const struct image *photo,
                           struct image *ret, enum crop_state *state)
{
    const struct detect_options options = {.side = crew->source->detect_side};
    struct face *faces = NULL;
    int n = 0;
    struct err_note note = {0};
    enum err err =
        detector_run(crew->source->detector->detector, thread->detect, photo, &options, thread->mem, &faces, &n, &note);

    if (err != ERR_NONE) {
        *state = CROP_UNREADABLE;
        return is_fatal(err) ? err : ERR_NONE;
    }
    const struct face *face = central_face(faces, n, photo);
    if (face == NULL || align_face(photo, face, crew->source->side, thread->mem, ret) != ERR_NONE) {
        *state = CROP_NO_FACE;
    }
    return ERR_NONE;
}

static enum err read_crop(const struct crew *crew, struct crew_thread *thread, int i, struct image *ret,
                          enum crop_state *state)
{
    const struct crop_source *source = crew->source;
    const struct image_limits limits = image_limits_default();
    struct image photo;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err;

    *state = CROP_SEEN;
    if (source->dataset != NULL) {
        err = dataset_crop(source->dataset, i, thread->mem, ret, &thread->note);
        if (err != ERR_NONE) {
            *state = CROP_UNREADABLE;
        }
        return err;
    }
    err = file_read(source->paths[i], limits.bytes, &bytes, &n_bytes, NULL);
    if (err == ERR_NONE) {
        err = image_decode(bytes, n_bytes, &limits, thread->mem, &photo, NULL);
    }
    mem_free(bytes);
    if (err != ERR_NONE) {
        *state = CROP_UNREADABLE;
        return is_fatal(err) ? err : ERR_NONE;
    }
    if (source->detector != NULL) {
        return crop_photo(crew, thread, &photo, ret, state);
    }
    *state = photo.width == source->side && photo.height == source->side ? CROP_SEEN : CROP_UNREADABLE;
    *ret = photo;
    return ERR_NONE;
}

static void work(void *context, int number)
{
    struct crew *crew = context;
    struct crew_thread *thread = &crew->thread[number];

    while (!atomic_load(&crew->failed)) {
        struct image crop;
        enum crop_state state = CROP_UNREADABLE;
        int i = atomic_fetch_add(&crew->next, 1);
        if (i >= crew->source->n) {
            return;
        }
        thread->err = cancel_asked(crew->source->cancel) ? ERR_CANCELLED : read_crop(crew, thread, i, &crop, &state);
        if (thread->err == ERR_NONE && state == CROP_SEEN) {
            thread->err = crew->take(crew->context, number, i, &crop, thread->mem, &thread->note);
        }
        crew->state[i] = (unsigned char)state;
        arena_reset_wiped(thread->mem);
        if (thread->err != ERR_NONE) {
            atomic_store(&crew->failed, true);
        }
        if (crew->progress != NULL) {
            (void)progress_count(crew->progress);
            if (number == 0) {
                progress_show(crew->progress, "");
            }
        }
    }
}

static enum err crew_init(struct crew *crew, int threads)
{
    const struct session_options options = {.memory_limit = SESSION_BYTES};
    enum err err = ERR_NONE;

    for (int t = 0; t < threads && err == ERR_NONE; t++) {
        crew->thread[t].mem = arena_new(ARENA_BYTES);
        err = crew->thread[t].mem == NULL ? ERR_NOMEM : ERR_NONE;
        if (err == ERR_NONE && crew->source->detector != NULL) {
            err = session_new(model_graph(crew->source->detector), &options, &crew->thread[t].detect);
        }
    }
    return err;
}

enum err crop_files(const struct crop_source *source, crop_taker *take, void *context, struct progress *progress,
                    unsigned char *ret_state, struct err_note *note)
{
    int threads = source->threads < MOST_THREADS ? source->threads : MOST_THREADS;
    struct crew *crew = MEM_NEW(struct crew);
    struct pool *pool = NULL;

    if (crew == NULL) {
        return ERR_NOMEM;
    }
    crew->source = source;
    crew->take = take;
    crew->context = context;
    crew->progress = progress;
    crew->state = ret_state;
    enum err err = crew_init(crew, threads);
    if (err == ERR_NONE) {
        err = pool_new(threads, &pool);
    }
    if (err == ERR_NONE) {
        pool_run(pool, threads, work, crew);
    }
    for (int t = 0; t < threads; t++) {
        if (err == ERR_NONE && crew->thread[t].err != ERR_NONE) {
            err = ERR_SAY(note, crew->thread[t].err, "%s",
                          crew->thread[t].note.text[0] != '\0' ? crew->thread[t].note.text
                                                               : err_word(crew->thread[t].err));
        }
        session_free(crew->thread[t].detect);
        arena_free(crew->thread[t].mem);
    }
    pool_free(pool);
    mem_free(crew);
    return err;
}

/* ---- Embedding --------------------------------------------------------------------------------------------------- */

struct embedding {
    const struct recognizer *recognizer;
    bool flip;
    int dim;
    float *u;
    struct session *session[MOST_THREADS];
};

/* Both raw vectors are added, as recognizer_options.flip has it. */
static enum err add_mirrored(const struct embedding *embedding, int thread, const struct image *crop, struct arena *mem,
                             float norm, float *row, struct err_note *note)
{
    struct image mirrored;
    float *other = ARENA_ARRAY(mem, float, embedding->dim);
    float other_norm = 0;
    double length = 0;

    if (other == NULL) {
        return arena_why(mem);
    }
    enum err err = image_new(crop->width, crop->height, mem, &mirrored);
    if (err != ERR_NONE) {
        return err;
    }
    for (int y = 0; y < crop->height; y++) {
        for (int x = 0; x < crop->width; x++) {
            const uint8_t *from = crop->rgb + 3 * ((size_t)y * (size_t)crop->width + (size_t)x);
            memcpy(mirrored.rgb + 3 * ((size_t)(y + 1) * (size_t)crop->width - 1 - (size_t)x), from, 3);
        }
    }
    err =
        recognizer_run(embedding->recognizer, embedding->session[thread], &mirrored, 1, mem, other, &other_norm, note);
    if (err != ERR_NONE) {
        return err;
    }
    for (int k = 0; k < embedding->dim; k++) {
        row[k] = norm * row[k] + other_norm * other[k];
        length += (double)row[k] * (double)row[k];
    }
    for (int k = 0; k < embedding->dim; k++) {
        row[k] = (float)(row[k] / sqrt(length));
    }
    return ERR_NONE;
}

static enum err embed(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                      struct err_note *note)
{
    struct embedding *embedding = context;
    float *row = embedding->u + (size_t)i * (size_t)embedding->dim;
    float norm = 0;
    enum err err = recognizer_run(embedding->recognizer, embedding->session[thread], crop, 1, mem, row, &norm, note);

    return err != ERR_NONE || !embedding->flip ? err : add_mirrored(embedding, thread, crop, mem, norm, row, note);
}

enum err embed_crops(const struct crop_source *source, const struct model *recognizer, bool flip,
                     struct progress *progress,
                     float *ret_u, /* NOLINT(readability-non-const-parameter): the threads fill it */
                     unsigned char *ret_state, struct err_note *note)
{
    const struct session_options options = {.memory_limit = SESSION_BYTES};
    struct embedding embedding = {.recognizer = recognizer->recognizer,
                                  .flip = flip && !recognizer->manifest.flip,
                                  .dim = recognizer->dim,
                                  .u = ret_u};
    struct crop_source fitting = *source;
    enum err err = ERR_NONE;

    fitting.side = recognizer->side;
    for (int t = 0; t < source->threads && t < MOST_THREADS && err == ERR_NONE; t++) {
        err = session_new(recognizer_graph(recognizer->recognizer), &options, &embedding.session[t]);
    }
    if (err == ERR_NONE) {
        err = crop_files(&fitting, embed, &embedding, progress, ret_state, note);
    }
    for (int t = 0; t < MOST_THREADS; t++) {
        session_free(embedding.session[t]);
    }
    return err;
}
