/* generate.c: from a subject's faces to a target, from the target to pictures. */
#include "server/gallery/generate.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/encode.h"
#include "core/train/invert.h"
#include "core/train/purify.h"
#include "core/train/student.h"
#include "server/gallery/gallery_private.h"
#include "server/gallery/pipeline.h"
#include "server/gallery/retrain.h"
#include "server/store/audit_rows.h"
#include "server/store/embedding_rows.h"
#include "server/store/face_rows.h"
#include "server/store/generation_rows.h"
#include "server/store/subject_rows.h"

#define PAGE 256
#define MOST_FACES 4096                 /* of a subject; the first ones are taken */
#define DESCENT_BYTES ((size_t)2 << 30) /* activations of all pictures */
#define ARENA_BYTES ((size_t)512 << 20)
#define ARGUMENTS_BYTES 512

/*
 * So many pictures of random directions are made beside those asked for, and thrown away.  Pictures of one person alone are
 * no sample of what the network remembers of photos, and come out with the eyes anywhere.
 */
#define COMPANY 8

struct generate_wish generate_wish_default(void)
{
    return (struct generate_wish){.count = 4, .steps = 150, .seconds = 300, .seed = 1};
}

/* ---- Asking -------------------------------------------------------------------------------------------------------- */

/* What the job's row says; whose face it is stands in a row of its own, which goes when the subject goes. */
static enum err ask(struct gallery_worker *worker, const struct generate_wish *wish,
                    const struct collection_row *collection, const struct generation_new *whose, int64_t *ret_job,
                    struct gallery_fault *fault)
{
    struct generation_new what = *whose;
    char text[ARGUMENTS_BYTES];
    json_t *root = json_pack("{s:i, s:I, s:f, s:I}", "count", wish->count, "steps", (json_int_t)wish->steps, "seconds",
                             wish->seconds, "seed", (json_int_t)wish->seed);
    size_t n_bytes = root == NULL ? 0 : json_dumpb(root, text, sizeof text - 1, JSON_COMPACT | JSON_REAL_PRECISION(9));

    json_decref(root);
    if (n_bytes == 0 || n_bytes >= sizeof text) {
        return ERR_NOMEM;
    }
    text[n_bytes] = '\0';
    what.collection_id = collection->id;
    what.kind = GENERATE_KIND;
    what.arguments = text;
    what.actor = worker_actor(worker);
    what.replay = worker->replay;
    return store_generation_add(worker->gallery->store, &what, ret_job, &fault->note);
}

enum err gallery_generate_ask(struct gallery_worker *worker, const struct generate_wish *wish, int64_t *ret_job,
                              struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    struct generation_new what = {0};
    struct pair *pair = NULL;
    float norm = 0;
    enum err err = find_pair(worker, wish->collection, &collection, &pair, fault);

    if (err != ERR_NONE) {
        return err;
    }
    if (wish->embedding.values != NULL) {
        what.dim = pair->model->dim;
        err = pipeline_vector(worker, &wish->embedding, what.dim, &what.embedding, &norm, fault);
    } else {
        struct subject_row subject = {0};
        err = find_subject(worker, &collection, &wish->subject, &subject, fault);
        what.subject_id = subject.id;
        if (err == ERR_NONE && subject.n_faces == 0) {
            err = ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_TOO_FEW, ERR_CONFLICT),
                          "this subject has no faces to make a picture of");
        }
    }
    live_unref(worker->gallery->live, pair);
    return err == ERR_NONE ? ask(worker, wish, &collection, &what, ret_job, fault) : err;
}

/* ---- The target ---------------------------------------------------------------------------------------------------- */

/* The embeddings of a subject's searched faces, one behind the other. */
static enum err read_faces(struct gallery_worker *worker, int64_t subject_id, int64_t model_id, int dim, float *u,
                           int *ret_n, struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct store_page page = {.limit = PAGE};
    enum err err = ERR_NONE;
    int n = 0;

    do {
        struct face_row *rows = NULL;
        int count = 0;
        const char *next = NULL;
        err = store_face_list(store, subject_id, &page, worker->mem, &rows, &count, &next, &fault->note);
        for (int i = 0; err == ERR_NONE && i < count && n < MOST_FACES; i++) {
            if (rows[i].set_aside) {
                continue;
            }
            err =
                store_embedding_get(store, rows[i].id, model_id, u + (size_t)n * (size_t)dim, dim, NULL, &fault->note);
            n += err == ERR_NONE;
            if (err == ERR_NOT_FOUND) { /* not embedded yet by this model */
                fault->note = (struct err_note){0};
                err = ERR_NONE;
            }
        }
        page.token = next;
    } while (err == ERR_NONE && page.token != NULL && n < MOST_FACES);
    *ret_n = n;
    return err;
}

static enum err center_of_subject(struct gallery_worker *worker, int64_t subject_id, const struct model *model,
                                  float *target, const char **ret_uuid, struct gallery_fault *fault)
{
    struct arena *mem = arena_new(ARENA_BYTES);
    struct subject_row subject = {0};
    float *u = mem == NULL ? NULL : ARENA_ARRAY(mem, float, (size_t)MOST_FACES *(size_t)model->dim);
    int n = 0;
    enum err err = u == NULL ? ERR_NOMEM : ERR_NONE;

    if (err == ERR_NONE) {
        err = store_subject_get(worker->gallery->store, subject_id, worker->mem, &subject, &fault->note);
    }
    if (err == ERR_NONE) {
        err = read_faces(worker, subject_id, model->row_id, model->dim, u, &n, fault);
    }
    if (err == ERR_NONE) {
        err = purify_center(u, n, model->dim, mem, target);
        if (err == ERR_NOT_FOUND) {
            (void)ERR_SAY(&fault->note, err, "the subject has no faces that are searched");
        }
    }
    if (err == ERR_NONE) {
        *ret_uuid = arena_copy_text(worker->mem, subject.uuid);
        err = *ret_uuid == NULL ? spent(worker->mem) : ERR_NONE;
    }
    if (mem != NULL) {
        arena_reset_wiped(mem);
    }
    arena_free(mem);
    return err;
}

/* ---- The pictures -------------------------------------------------------------------------------------------------- */

struct telling {
    const struct long_work *work;
};

static void tell(void *context, const struct invert_state *state)
{
    const struct telling *telling = context;

    long_work_progress(telling->work, (int64_t)(state->way * (double)state->steps), state->steps, "steps");
}

/* The model's network as it was written, to go back through. */
static enum err load_network(struct gallery_worker *worker, const char *data, int64_t model_id, struct graph **ret,
                             struct gallery_fault *fault)
{
    struct model_row row = {0};
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = store_model_get(worker->gallery->store, model_id, worker->mem, &row, &fault->note);
    const char *path = err != ERR_NONE ? NULL : gallery_model_path(worker, data, &row);

    if (path == NULL) {
        return err != ERR_NONE ? err : spent(worker->mem);
    }
    err = file_read(path, MODEL_LIMIT_BYTES, &bytes, &n_bytes, &fault->note);
    if (err == ERR_NONE) {
        err = student_load(bytes, n_bytes, ret, &fault->note);
    }
    mem_free(bytes);
    if (err == ERR_NONE) {
        graph_seal(*ret);
    }
    return err;
}

static enum err store_pictures(struct gallery_worker *worker, int64_t job_id, const struct image *images,
                               const float *cosine, int n, const struct long_work *work, struct arena *mem,
                               struct gallery_fault *fault)
{
    struct generated_picture pictures[GENERATE_MOST];

    for (int i = 0; i < n; i++) {
        unsigned char *png = NULL;
        enum err err = image_encode(&images[i], IMAGE_PNG, 0, mem, &png, &pictures[i].n_bytes);
        if (err != ERR_NONE) {
            return err;
        }
        pictures[i].png = png;
        pictures[i].cosine = (double)cosine[i];
    }
    return store_generation_end(worker->gallery->store, job_id, work->actor, pictures, n, &fault->note);
}

static enum err descend(struct gallery_worker *worker, const struct graph *graph, const struct model *model,
                        const float *target, int64_t job_id, const struct generate_wish *wish,
                        const struct long_work *work, struct generated *ret, struct gallery_fault *fault)
{
    struct arena *mem = arena_new(ARENA_BYTES);
    struct telling telling = {work};
    struct invert_options options = invert_defaults();
    struct image images[GENERATE_MOST + COMPANY];
    float cosine[GENERATE_MOST + COMPANY];
    size_t dim = (size_t)model->dim;
    int n = wish->count + COMPANY;
    float *targets = mem == NULL ? NULL : ARENA_ARRAY(mem, float, (size_t)n *dim);
    struct random random = random_seeded((uint64_t)wish->seed, (uint64_t)wish->count);
    enum err err = targets == NULL ? ERR_NOMEM : ERR_NONE;

    for (size_t i = 0; err == ERR_NONE && i < (size_t)n * dim; i++) {
        targets[i] = i < (size_t)wish->count * dim ? target[i % dim] : (float)random_normal(&random);
    }
    options.how = model->manifest.how;
    options.steps = wish->steps;
    options.seconds = wish->seconds;
    options.seed = (uint64_t)wish->seed;
    options.memory_limit = DESCENT_BYTES;
    options.cancel = work->cancel;
    options.tell = tell;
    options.tell_context = &telling;
    if (err == ERR_NONE) {
        err = invert_run(graph, &options, targets, n, model->dim, mem, images, cosine, &fault->note);
    }
    if (err == ERR_NONE) {
        err = store_pictures(worker, job_id, images, cosine, wish->count, work, mem, fault);
    }
    ret->n = wish->count;
    for (int i = 0; err == ERR_NONE && i < wish->count; i++) {
        ret->cosine[i] = (double)cosine[i];
    }
    if (mem != NULL) {
        arena_reset_wiped(mem);
    }
    arena_free(mem);
    return err;
}

enum err gallery_generate(struct gallery_worker *worker, const char *data, int64_t job_id, int64_t collection_id,
                          const struct generate_wish *numbers, const struct long_work *work, struct generated *ret,
                          struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct models *models = worker->gallery->models;
    struct collection_row collection = {0};
    struct generation_row asked = {0};
    struct generated made = {0};
    struct model *model = NULL;
    struct graph *graph = NULL;
    int64_t begin = clock_monotonic_ns();

    if (numbers->count < 1 || numbers->count > GENERATE_MOST || numbers->steps < 1) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "1 to %d pictures are made at once, in at least one step", GENERATE_MOST);
    }
    enum err err = store_generation_get(store, job_id, worker->mem, &asked, &fault->note);
    if (err == ERR_NONE) {
        err = store_collection_get(store, collection_id, worker->mem, &collection, &fault->note);
    }
    if (err == ERR_NONE) {
        err = models_get(models, collection.model_id, worker->mem, &model, &fault->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    float *target = ARENA_ARRAY(worker->mem, float, model->dim);
    err = target == NULL ? spent(worker->mem) : ERR_NONE;
    if (err == ERR_NONE && asked.subject_id != 0) {
        err = center_of_subject(worker, asked.subject_id, model, target, &made.subject_id, fault);
    } else if (err == ERR_NONE && (asked.embedding == NULL || asked.dim != model->dim)) {
        err = ERR_SAY(&fault->note, ERR_CONFLICT, "the embedding is not of this collection's model");
    } else if (err == ERR_NONE) {
        memcpy(target, asked.embedding, (size_t)model->dim * sizeof *target);
    }
    err = err != ERR_NONE ? err : load_network(worker, data, model->row_id, &graph, fault);
    if (err == ERR_NONE) {
        struct invert_memory memory = invert_memory_of(graph);
        char text[INVERT_MEMORY_TEXT];
        made.norms = memory.norms;
        made.convolutions = memory.convolutions;
        (void)invert_memory_say(&memory, text);
        made.prior = arena_copy_text(worker->mem, text);
        made.collection = collection.name;
        made.model = arena_copy_text(worker->mem, model->version);
        err = made.prior == NULL || made.model == NULL
                  ? spent(worker->mem)
                  : descend(worker, graph, model, target, job_id, numbers, work, &made, fault);
    }
    graph_free(graph);
    models_unref(models, model);
    if (err == ERR_NONE) {
        made.seconds = (double)(clock_monotonic_ns() - begin) / 1e9;
        *ret = made;
    }
    return err;
}

/* ---- Looking ------------------------------------------------------------------------------------------------------- */

enum err gallery_generated_picture(struct gallery_worker *worker, int64_t job_id, int number, const unsigned char **ret,
                                   size_t *ret_bytes, struct gallery_fault *fault)
{
    struct generated_picture picture = {0};
    char objects[96];
    enum err err = store_generated_get(worker->gallery->store, job_id, number, worker->mem, &picture, &fault->note);

    if (err == ERR_NONE) {
        (void)snprintf(objects, sizeof objects, "{\"job\":%lld,\"picture\":%d}", (long long)job_id, number);
        err = store_audit_add(worker->gallery->store, worker_actor(worker), "face.generated.show", objects, NULL,
                              &fault->note);
    }
    if (err == ERR_NONE) {
        *ret = picture.png;
        *ret_bytes = picture.n_bytes;
    }
    return err;
}
