/* label_faces.c: threads with a session each, group after group; the file is written after each. */
#include "server/label_faces.h"

#include <string.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/image/decode.h"
#include "core/onnx/onnx.h"
#include "core/train/detector_teacher.h"
#include "server/progress.h"

#define GROUP 32 /* photos between two writes */
#define MOST_THREADS 64
#define ARENA_BYTES ((size_t)512 << 20)
#define MODEL_BYTES ((size_t)64 << 20)

struct labelling {
    const struct detector_teacher *teacher;
    struct labelled_photo *photos;
    int from, to; /* of the group */
    struct cancel *cancel;
    struct progress progress;
    atomic_int next;
    atomic_bool failed;
    struct labelling_thread {
        struct session *session;
        struct arena *mem;  /* of one photo */
        struct arena *kept; /* of all labels that this thread made */
        enum err err;
        struct err_note note;
    } thread[MOST_THREADS];
};

static enum err label_one(const struct labelling *labelling, struct labelling_thread *thread,
                          struct labelled_photo *photo)
{
    const struct image_limits limits = image_limits_default();
    struct labelled_face *faces = NULL;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct image image;
    int n = 0;
    enum err err = file_read(photo->path, limits.bytes, &bytes, &n_bytes, &thread->note);

    if (err != ERR_NONE) {
        return err;
    }
    err = image_decode(bytes, n_bytes, &limits, thread->mem, &image, NULL);
    mem_free(bytes);
    if (err != ERR_NONE) {
        return err == ERR_NOMEM ? err : ERR_NONE;
    }
    err = detector_teacher_label(labelling->teacher, thread->session, &image, thread->mem, &faces, &n, &thread->note);
    if (err == ERR_NONE) {
        photo->faces = ARENA_ARRAY(thread->kept, struct labelled_face, n + 1);
        if (photo->faces == NULL) {
            return arena_why(thread->kept);
        }
        memcpy(photo->faces, faces, (size_t)n * sizeof *faces);
        photo->n_faces = n;
    }
    return err;
}

static void work(void *context, int number)
{
    struct labelling *labelling = context;
    struct labelling_thread *thread = &labelling->thread[number];

    while (!atomic_load(&labelling->failed)) {
        int i = atomic_fetch_add(&labelling->next, 1);
        if (i >= labelling->to) {
            return;
        }
        thread->err =
            cancel_asked(labelling->cancel) ? ERR_CANCELLED : label_one(labelling, thread, &labelling->photos[i]);
        arena_reset_wiped(thread->mem);
        if (thread->err != ERR_NONE) {
            atomic_store(&labelling->failed, true);
        }
        (void)progress_count(&labelling->progress);
        if (number == 0) {
            progress_show(&labelling->progress, "");
        }
    }
}

static enum err label_group(struct labelling *labelling, struct pool *pool, struct err_note *note)
{
    atomic_store(&labelling->next, labelling->from);
    pool_run(pool, pool_threads(pool), work, labelling);
    for (int t = 0; t < pool_threads(pool); t++) {
        struct labelling_thread *thread = &labelling->thread[t];
        if (thread->err != ERR_NONE) {
            return thread->note.text[0] == '\0' ? thread->err : ERR_SAY(note, thread->err, "%s", thread->note.text);
        }
    }
    return ERR_NONE;
}

/* What an earlier call has done, if it was about these photos. */
static enum err take_up(const struct people_folder *folder, const char *path, struct arena *mem,
                        struct detector_labels *ret, struct err_note *note)
{
    struct detector_labels labels = {.photos = NULL};
    enum err err = file_exists(path) ? detector_labels_read(path, mem, &labels, note) : ERR_NONE;

    if (err != ERR_NONE) {
        return err;
    }
    bool same = labels.n_photos <= folder->n && (!labels.whole || labels.n_photos == folder->n);
    for (int i = 0; same && i < labels.n_photos; i++) {
        same = strcmp(labels.photos[i].path, folder->paths[i]) == 0;
    }
    if (!same) {
        return ERR_SAY(note, ERR_CONFLICT, "%.150s holds the labels of other photos: remove it, or choose another",
                       path);
    }
    ret->photos = ARENA_ARRAY(mem, struct labelled_photo, folder->n + 1);
    if (ret->photos == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < folder->n; i++) {
        ret->photos[i].path = folder->paths[i];
        if (i < labels.n_photos) {
            ret->photos[i] = labels.photos[i];
        }
    }
    ret->n_photos = labels.n_photos;
    ret->whole = labels.n_photos == folder->n;
    return ERR_NONE;
}

static enum err load_teacher(const char *path, struct detector_teacher **ret, struct err_note *note)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct graph *graph = NULL;
    struct onnx_info info;
    enum err err = file_read(path, MODEL_BYTES, &bytes, &n_bytes, note);

    if (err == ERR_NONE) {
        err = onnx_load(bytes, n_bytes, ONNX_FOR_INFERENCE, &graph, &info, note);
    }
    mem_free(bytes);
    return err != ERR_NONE ? err : detector_teacher_new(graph, ret, note);
}

static enum err label_all(struct labelling *labelling, struct pool *pool, const struct people_folder *folder,
                          const char *labels_path, struct detector_labels *labels, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int t = 0; t < pool_threads(pool) && err == ERR_NONE; t++) {
        struct labelling_thread *thread = &labelling->thread[t];
        thread->mem = arena_new(ARENA_BYTES);
        thread->kept = arena_new(ARENA_BYTES);
        err = thread->mem == NULL || thread->kept == NULL
                  ? ERR_NOMEM
                  : session_new(detector_teacher_graph(labelling->teacher), NULL, &thread->session);
    }
    labelling->photos = labels->photos;
    progress_start(&labelling->progress, "labelling", labels->n_photos, folder->n);
    while (err == ERR_NONE && labels->n_photos < folder->n) {
        labelling->from = labels->n_photos;
        labelling->to = folder->n - labelling->from < GROUP ? folder->n : labelling->from + GROUP;
        err = label_group(labelling, pool, note);
        if (err == ERR_NONE) {
            labels->n_photos = labelling->to;
            labels->whole = labels->n_photos == folder->n;
            err = detector_labels_write(labels, labels_path, note);
        }
    }
    progress_end(&labelling->progress);
    for (int t = 0; t < pool_threads(pool); t++) {
        session_free(labelling->thread[t].session);
        arena_free(labelling->thread[t].mem);
    }
    return err;
}

enum err label_faces(const char *teacher, const struct people_folder *folder, int threads, const char *labels_path,
                     struct cancel *cancel, struct arena *mem, struct detector_labels *ret, struct err_note *note)
{
    struct detector_labels labels = {.photos = NULL};
    struct labelling *labelling = NULL;
    struct detector_teacher *loaded = NULL;
    struct pool *pool = NULL;
    enum err err = take_up(folder, labels_path, mem, &labels, note);

    if (err == ERR_NONE && !labels.whole) {
        labelling = MEM_NEW(struct labelling);
        err = labelling == NULL ? ERR_NOMEM : load_teacher(teacher, &loaded, note);
        if (err == ERR_NONE) {
            err = pool_new(threads < MOST_THREADS ? threads : MOST_THREADS, &pool);
        }
        if (err == ERR_NONE) {
            labelling->teacher = loaded;
            labelling->cancel = cancel;
            err = label_all(labelling, pool, folder, labels_path, &labels, note);
        }
        for (int t = 0; labelling != NULL && t < MOST_THREADS; t++) {
            arena_free(labelling->thread[t].kept);
        }
        pool_free(pool);
        detector_teacher_free(loaded);
        mem_free(labelling);
        if (err == ERR_NONE) {
            err = detector_labels_read(labels_path, mem, &labels, note); /* the threads' memory is gone */
        }
    }
    if (err == ERR_NONE) {
        *ret = labels;
    }
    return err;
}
