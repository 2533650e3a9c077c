/* student.c: the network in two parts, the maps at the cut, the teacher's embeddings. */
#include "core/train/student.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/base/size.h"
#include "core/graph/session.h"
#include "core/graph/split.h"
#include "core/onnx/onnx.h"
#include "core/onnx/onnx_save.h"
#include "core/train/invert.h"
#include "core/train/loss.h"
#include "core/train/tape.h"

#define DEFAULT_LOOKS 4
#define DEFAULT_MAPS_LIMIT ((size_t)2 << 30)
#define ARENA_BYTES ((size_t)256 << 20)

/* Crops that are embedded at once by one thread. */
#define EMBED_SHARD 8

struct student {
    struct graph *whole; /* as written */
    struct graph *lower; /* prepared; NULL without a cut */
    struct graph *upper; /* as written, sealed; the whole without a cut */
    struct parameters *parameters;
    const struct dataset *dataset;
    struct pool *pool;
    struct student_options options;
    int side;
    int dim;
    struct shape map; /* of one crop's input to the upper part, without the batch */
    size_t map_floats;
    float *maps; /* [looks, count, map_floats] */
    float *teacher;
};

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

static enum err load_folded(const void *onnx, size_t n_bytes, struct graph **ret, struct err_note *note)
{
    struct onnx_info info;
    struct graph *graph = NULL;
    enum err err = onnx_load(onnx, n_bytes, ONNX_AS_WRITTEN, &graph, &info, note);

    if (err == ERR_NONE) {
        err = graph_fold_constants(graph, note);
    }
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    *ret = graph;
    return ERR_NONE;
}

/* Saving rewrites what pins the batch; so what is loaded again can run shards. */
enum err student_load(const void *onnx, size_t n_bytes, struct graph **ret, struct err_note *note)
{
    struct graph *first = NULL;
    unsigned char *bytes = NULL;
    size_t saved = 0;
    enum err err = load_folded(onnx, n_bytes, &first, note);

    if (err == ERR_NONE) {
        err = onnx_save(first, NULL, &bytes, &saved, note);
        if (err == ERR_UNSUPPORTED) {
            err_prefix(note, "only networks of floats can learn or be gone back through, no quantised ones: ");
        }
    }
    graph_free(first);
    if (err == ERR_NONE) {
        err = load_folded(bytes, saved, ret, note);
    }
    mem_free(bytes);
    return err;
}

bool student_is_folded(const struct graph *graph, char text[STUDENT_FOLDED_TEXT])
{
    const struct invert_memory memory = invert_memory_of(graph);

    if (memory.norms >= memory.convolutions / 2) {
        return false;
    }
    (void)snprintf(
        text, STUDENT_FOLDED_TEXT,
        "of this network's BatchNormalizations %d are left beside %d convolutions, the others are folded into weights: "
        "their "
        "scales are learnt as weights only, their statistics cannot follow other photos, and the file that comes out "
        "does not have them either",
        memory.norms, memory.convolutions);
    return true;
}

/* ---- Inputs ------------------------------------------------------------------------------------------------------ */

struct tensor student_input(const struct student *student, int n)
{
    struct tensor input = {.type = DTYPE_F32, .shape = {.rank = student->map.rank + 1}};

    input.shape.dim[0] = n;
    for (int i = 0; i < student->map.rank; i++) {
        input.shape.dim[i + 1] = student->map.dim[i];
    }
    return input;
}

static enum err fill_pixels(const struct student *student, int i, long epoch, struct arena *mem, float *row,
                            struct err_note *note)
{
    struct image crop;
    enum err err = dataset_crop(student->dataset, i, mem, &crop, note);

    if (err == ERR_NONE && epoch >= 0) {
        struct image changed;
        err = image_new(crop.width, crop.height, mem, &changed);
        if (err == ERR_NONE) {
            err = augment_crop(&student->options.augment, student->options.seed, epoch, i, &crop, mem, &changed);
        }
        crop = changed;
    }
    if (err == ERR_NONE) {
        preprocess_image(&crop, &student->options.how, row);
    }
    return err;
}

enum err student_fill(const struct student *student, int i, long epoch, struct arena *mem, float *row,
                      struct err_note *note)
{
    if (student->maps == NULL) {
        return fill_pixels(student, i, epoch, mem, row, note);
    }
    uint64_t look = 0;
    if (epoch >= 0) {
        struct random random = random_seeded(student->options.seed + (uint64_t)epoch, (uint64_t)i);
        look = random_below(&random, (uint64_t)student->options.looks);
    }
    size_t at = (size_t)look * (size_t)dataset_count(student->dataset) + (size_t)i;
    memcpy(row, student->maps + at * student->map_floats, student->map_floats * sizeof *row);
    return ERR_NONE;
}

/* ---- Work over all crops ----------------------------------------------------------------------------------------- */

struct sweep_thread;

/* One pass over the set in pieces; each piece is done whole by one thread, so nothing depends on their number. */
struct sweep {
    struct student *student;
    struct cancel *cancel;
    enum err (*piece)(struct sweep *sweep, struct sweep_thread *thread, int piece);
    int n_pieces;
    const int *item; /* of an embedding: [n_items] crops; NULL: all */
    int n_items;
    float *ret_u;
    atomic_int next;
    atomic_bool stop;
    struct sweep_thread {
        struct arena *mem;
        struct session *session;
        struct tape *tape;
        float *input;
        enum err err;
        struct err_note note;
    } * thread;
};

static void sweep_work(void *context, int number)
{
    struct sweep *sweep = context;
    struct sweep_thread *thread = &sweep->thread[number];

    while (!atomic_load(&sweep->stop)) {
        int piece = atomic_fetch_add(&sweep->next, 1);
        if (piece >= sweep->n_pieces) {
            return;
        }
        thread->err = cancel_asked(sweep->cancel) ? ERR_CANCELLED : sweep->piece(sweep, thread, piece);
        arena_reset_wiped(thread->mem);
        if (thread->err != ERR_NONE) {
            atomic_store(&sweep->stop, true);
            return;
        }
    }
}

static enum err sweep_run(struct sweep *sweep, enum err (*init)(struct sweep *, struct sweep_thread *),
                          struct err_note *note)
{
    int threads = pool_threads(sweep->student->pool);
    enum err err = ERR_NONE;

    sweep->thread = MEM_ARRAY(struct sweep_thread, threads);
    if (sweep->thread == NULL) {
        return ERR_NOMEM;
    }
    for (int t = 0; t < threads && err == ERR_NONE; t++) {
        sweep->thread[t].mem = arena_new(ARENA_BYTES);
        err = sweep->thread[t].mem == NULL ? ERR_NOMEM : init(sweep, &sweep->thread[t]);
        if (err != ERR_NONE) {
            sweep->thread[t].err = err;
        }
    }
    if (err == ERR_NONE) {
        pool_run(sweep->student->pool, threads, sweep_work, sweep);
    }
    err = ERR_NONE;
    for (int t = 0; t < threads; t++) {
        struct sweep_thread *thread = &sweep->thread[t];
        if (err == ERR_NONE && thread->err != ERR_NONE) {
            err = thread->note.text[0] == '\0' ? thread->err : ERR_SAY(note, thread->err, "%s", thread->note.text);
        }
        session_free(thread->session);
        tape_free(thread->tape);
        mem_free(thread->input);
        arena_free(thread->mem);
    }
    mem_free(sweep->thread);
    return err;
}

/* ---- Maps at the cut --------------------------------------------------------------------------------------------- */

static struct tensor image_input(const struct student *student)
{
    return (struct tensor){.type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, student->side, student->side}}};
}

static enum err maps_init(struct sweep *sweep, struct sweep_thread *thread)
{
    size_t pixels = 3 * (size_t)sweep->student->side * (size_t)sweep->student->side;

    thread->input = MEM_ARRAY(float, pixels);
    return thread->input == NULL ? ERR_NOMEM : session_new(sweep->student->lower, NULL, &thread->session);
}

/* The number under which a look is augmented: never that of an epoch of a run without a cut, which begin at 0. */
static long look_epoch(int look)
{
    return look == 0 ? -1 : look;
}

static enum err run_lower(struct sweep *sweep, struct sweep_thread *thread, int i, int look, struct tensor *ret)
{
    const struct student *student = sweep->student;
    struct tensor input = image_input(student);
    enum err err = fill_pixels(student, i, look_epoch(look), thread->mem, thread->input, &thread->note);

    input.data = thread->input;
    return err != ERR_NONE ? err : session_run(thread->session, &input, 1, ret, 1, &thread->note);
}

static enum err maps_piece(struct sweep *sweep, struct sweep_thread *thread, int piece)
{
    struct student *student = sweep->student;
    int count = dataset_count(student->dataset);
    struct tensor map;
    enum err err = run_lower(sweep, thread, piece % count, piece / count, &map);

    if (err == ERR_NONE) {
        memcpy(student->maps + (size_t)piece * student->map_floats, map.data, student->map_floats * sizeof(float));
    }
    return err;
}

/* Runs one crop to learn what a map looks like. */
static enum err measure_piece(struct sweep *sweep, struct sweep_thread *thread, int piece)
{
    struct student *student = sweep->student;
    struct tensor map;
    enum err err = run_lower(sweep, thread, piece, 0, &map);

    if (err != ERR_NONE) {
        return err;
    }
    if (map.type != DTYPE_F32 || map.shape.rank < 2 || map.shape.dim[0] != 1) {
        return ERR_SAY(&thread->note, ERR_UNSUPPORTED, "the value '%.80s' is no map of one image",
                       student->options.cut);
    }
    student->map.rank = map.shape.rank - 1;
    memcpy(student->map.dim, map.shape.dim + 1, (size_t)student->map.rank * sizeof map.shape.dim[0]);
    student->map_floats = (size_t)shape_elements(&student->map);
    return ERR_NONE;
}

static enum err keep_maps(struct student *student, struct cancel *cancel, struct err_note *note)
{
    struct sweep measure = {.student = student, .cancel = cancel, .piece = measure_piece, .n_pieces = 1};
    struct sweep fill = {.student = student, .cancel = cancel, .piece = maps_piece};
    size_t limit = student->options.maps_limit != 0 ? student->options.maps_limit : DEFAULT_MAPS_LIMIT;
    size_t pieces = (size_t)dataset_count(student->dataset) * (size_t)student->options.looks;
    size_t bytes;
    enum err err = sweep_run(&measure, maps_init, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (!size_mul(pieces, student->map_floats * sizeof(float), &bytes) || bytes > limit) {
        return ERR_SAY(
            note, ERR_LIMIT,
            "%d looks at %d crops are %zu maps of %zu bytes, above the limit of %zu MiB: cut higher, or keep "
            "fewer looks",
            student->options.looks, dataset_count(student->dataset), pieces, student->map_floats * sizeof(float),
            limit >> 20);
    }
    student->maps = mem_new(pieces * student->map_floats, sizeof(float));
    if (student->maps == NULL) {
        return ERR_NOMEM;
    }
    fill.n_pieces = (int)pieces;
    return sweep_run(&fill, maps_init, note);
}

/* ---- Embedding --------------------------------------------------------------------------------------------------- */

static enum err embed_init(struct sweep *sweep, struct sweep_thread *thread)
{
    const struct tape_options options = {0};

    thread->input = MEM_ARRAY(float, EMBED_SHARD * sweep->student->map_floats);
    return thread->input == NULL
               ? ERR_NOMEM
               : tape_new(sweep->student->upper, sweep->student->parameters, &options, &thread->tape, &thread->note);
}

static enum err embed_piece(struct sweep *sweep, struct sweep_thread *thread, int piece)
{
    const struct student *student = sweep->student;
    int from = piece * EMBED_SHARD;
    int n = sweep->n_items - from < EMBED_SHARD ? sweep->n_items - from : EMBED_SHARD;
    struct tensor input = student_input(student, EMBED_SHARD);
    struct tensor output = {0};
    float length[EMBED_SHARD];

    /* The last piece repeats its last crop, so that all have one shape. */
    for (int k = 0; k < EMBED_SHARD; k++) {
        int at = from + (k < n ? k : n - 1);
        int i = sweep->item == NULL ? at : sweep->item[at];
        enum err err =
            student_fill(student, i, -1, thread->mem, thread->input + (size_t)k * student->map_floats, &thread->note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    input.data = thread->input;
    enum err err = tape_forward(thread->tape, &input, 0, &output, &thread->note);
    if (err != ERR_NONE) {
        return err;
    }
    float *u = sweep->ret_u + (size_t)from * (size_t)student->dim;
    unit_rows(output.data, n, student->dim, u, length);
    for (int k = 0; k < n; k++) {
        if (!isfinite(length[k]) || length[k] < 1e-12F) {
            return ERR_SAY(&thread->note, ERR_FORMAT, "the network embeds crop %d as nothing, or as no number",
                           sweep->item == NULL ? from + k : sweep->item[from + k]);
        }
    }
    return ERR_NONE;
}

enum err student_embed_some(struct student *student, const int *item, int n, struct cancel *cancel,
                            float *ret_u, /* NOLINT(readability-non-const-parameter): the threads fill it */
                            struct err_note *note)
{
    struct sweep sweep = {.student = student,
                          .cancel = cancel,
                          .piece = embed_piece,
                          .n_pieces = (n + EMBED_SHARD - 1) / EMBED_SHARD,
                          .item = item,
                          .n_items = n,
                          .ret_u = ret_u};

    return sweep_run(&sweep, embed_init, note);
}

enum err student_embed(struct student *student, struct cancel *cancel, float *ret_u, struct err_note *note)
{
    return student_embed_some(student, NULL, dataset_count(student->dataset), cancel, ret_u, note);
}

/* The output of the learning part for one crop: how many numbers an embedding has. */
static enum err find_dim(struct student *student, struct err_note *note)
{
    const struct tape_options options = {0};
    struct tape *tape = NULL;
    struct tensor input = student_input(student, 2);
    struct tensor output = {0};
    enum err err = tape_new(student->upper, student->parameters, &options, &tape, note);

    input.data = err != ERR_NONE ? NULL : mem_new(2 * student->map_floats, sizeof(float));
    if (err == ERR_NONE && input.data == NULL) {
        err = ERR_NOMEM;
    }
    if (err == ERR_NONE) {
        err = tape_forward(tape, &input, 0, &output, note);
    }
    if (err == ERR_NONE) {
        int64_t count = shape_elements(&output.shape);
        if (output.shape.rank < 2 || output.shape.dim[0] != 2 || count < 4 || count > 2 * 65536) {
            err = ERR_SAY(note, ERR_UNSUPPORTED, "the network does not give one vector for each image");
        }
        student->dim = (int)(count / 2);
    }
    tape_free(tape);
    mem_free(input.data);
    return err;
}

/* ---- Life -------------------------------------------------------------------------------------------------------- */

static enum err divide(struct student *student, struct err_note *note)
{
    value_id cut = -1;

    if (student->options.cut == NULL) {
        graph_seal(student->whole);
        student->upper = student->whole;
        student->map = (struct shape){.rank = 3, .dim = {3, student->side, student->side}};
        student->map_floats = (size_t)shape_elements(&student->map);
        return ERR_NONE;
    }
    enum err err = graph_find(student->whole, student->options.cut, &cut, note);
    if (err == ERR_NONE) {
        err = graph_split(student->whole, cut, &student->lower, &student->upper, note);
    }
    if (err == ERR_NONE) {
        graph_seal(student->upper);
    }
    return err;
}

static enum err collect_parameters(struct student *student, struct err_note *note)
{
    enum err err = parameters_new(student->upper, &student->parameters, note);
    int learning = 0;

    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < student->parameters->count; i++) {
        struct parameter *one = &student->parameters->list[i];
        bool norm = one->kind == PARAMETER_SCALE || one->kind == PARAMETER_SHIFT;
        one->frozen = norm && !student->options.learn_norms;
        learning += !one->frozen && one->kind != PARAMETER_MEAN && one->kind != PARAMETER_VARIANCE;
    }
    return learning > 0 ? ERR_NONE : ERR_SAY(note, ERR_UNSUPPORTED, "above the cut there is nothing that can learn");
}

static enum err check_options(const struct student *student, struct err_note *note)
{
    if (student->options.looks < 0 || student->options.looks > 1000) {
        return ERR_SAY(note, ERR_MISUSE, "%d looks at each crop are not from 1 to 1000", student->options.looks);
    }
    return ERR_NONE;
}

static enum err student_init(struct student *student, struct cancel *cancel, struct err_note *note)
{
    enum err err = check_options(student, note);

    if (student->options.looks == 0) {
        student->options.looks = DEFAULT_LOOKS;
    }
    student->side = dataset_side(student->dataset);
    if (err == ERR_NONE) {
        err = divide(student, note);
    }
    if (err == ERR_NONE) {
        err = collect_parameters(student, note);
    }
    if (err == ERR_NONE && student->lower != NULL) {
        err = keep_maps(student, cancel, note);
    }
    if (err == ERR_NONE) {
        err = find_dim(student, note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (student->options.teacher != NULL && student->options.teacher_dim != student->dim) {
        return ERR_SAY(note, ERR_MISUSE, "the teacher's embeddings have %d numbers, the network's %d",
                       student->options.teacher_dim, student->dim);
    }
    student->teacher = mem_new((size_t)dataset_count(student->dataset) * (size_t)student->dim, sizeof(float));
    if (student->teacher == NULL) {
        return ERR_NOMEM;
    }
    if (student->options.teacher == NULL) {
        return student_embed(student, cancel, student->teacher, note);
    }
    memcpy(student->teacher, student->options.teacher,
           (size_t)dataset_count(student->dataset) * (size_t)student->dim * sizeof(float));
    return ERR_NONE;
}

enum err student_new(struct graph *take, const struct dataset *dataset, const struct student_options *options,
                     struct pool *pool, struct cancel *cancel, struct student **ret, struct err_note *note)
{
    struct student *student = MEM_NEW(struct student);

    if (student == NULL) {
        graph_free(take);
        return ERR_NOMEM;
    }
    student->whole = take;
    student->dataset = dataset;
    student->pool = pool;
    student->options = *options;
    enum err err = student_init(student, cancel, note);
    if (err != ERR_NONE) {
        student_free(student);
        return err;
    }
    *ret = student;
    return ERR_NONE;
}

void student_free(struct student *student)
{
    if (student == NULL) {
        return;
    }
    mem_free_wiped(student->teacher);
    mem_free_wiped(student->maps);
    parameters_free(student->parameters);
    if (student->upper != student->whole) {
        graph_free(student->upper);
    }
    graph_free(student->lower);
    graph_free(student->whole);
    mem_free(student);
}

int student_dim(const struct student *student)
{
    return student->dim;
}

int student_count(const struct student *student)
{
    return dataset_count(student->dataset);
}

struct parameters *student_parameters(struct student *student)
{
    return student->parameters;
}

const struct graph *student_graph(const struct student *student)
{
    return student->upper;
}

const struct dataset *student_dataset(const struct student *student)
{
    return student->dataset;
}

struct pool *student_pool(struct student *student)
{
    return student->pool;
}

const float *student_teacher(const struct student *student)
{
    return student->teacher;
}

bool student_has_other_teacher(const struct student *student)
{
    return student->options.teacher != NULL;
}

size_t student_maps_bytes(const struct student *student)
{
    return student->maps == NULL ? 0
                                 : (size_t)dataset_count(student->dataset) * (size_t)student->options.looks *
                                       student->map_floats * sizeof(float);
}

void student_hash(const struct student *student, unsigned char ret[HASH_SHA256_BYTES])
{
    const struct student_options *o = &student->options;
    const struct augment *a = &o->augment;
    size_t floats = (size_t)dataset_count(student->dataset) * (size_t)student->dim;
    unsigned char teacher[HASH_SHA256_BYTES];
    char hash[2][HASH_SHA256_TEXT];
    char text[1024];

    hash_sha256(student->teacher, floats * sizeof(float), teacher); /* any other weight or pixel makes others */
    hash_text(teacher, hash[0]);
    hash_text(dataset_hash(student->dataset), hash[1]);
    int len = snprintf(text, sizeof text,
                       "teacher %s data %s cut %.200s color %d looks %d seed %llu norms %d augment %.9g %.9g %.9g %.9g "
                       "%.9g %.9g %.9g %.9g %.9g %.9g %.9g %d %.9g %.9g",
                       hash[0], hash[1], o->cut != NULL ? o->cut : "", (int)o->how.color, o->looks,
                       (unsigned long long)o->seed, o->learn_norms, (double)a->flip, (double)a->move,
                       (double)a->move_degrees, (double)a->move_scale, (double)a->move_pixels, (double)a->light,
                       (double)a->light_strength, (double)a->grey, (double)a->blur, (double)a->blur_pixels,
                       (double)a->jpeg, a->jpeg_quality, (double)a->erase, (double)a->erase_share);
    hash_sha256(text, (size_t)len, ret);
}

/* ---- Out --------------------------------------------------------------------------------------------------------- */

/* The parts name their constants as the whole does. */
static const void *learnt_weights(const void *context, value_id constant)
{
    const struct student *student = context;
    const char *name = graph_value_name(student->whole, constant);

    for (int i = 0; i < student->parameters->count; i++) {
        const struct parameter *one = &student->parameters->list[i];
        if (strcmp(one->name, name) == 0) {
            return student->parameters->values + one->offset;
        }
    }
    return NULL;
}

enum err student_save(const struct student *student, unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    const struct onnx_weights weights = {learnt_weights, student};

    return onnx_save(student->whole, &weights, ret, ret_bytes, note);
}
