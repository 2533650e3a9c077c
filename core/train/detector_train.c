/* detector_train.c: a run from its options to the file: its beginning, its checkpoints, its end. */
#include "core/train/detector_train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/onnx/onnx_save.h"
#include "core/train/checkpoint.h"
#include "core/train/detector_assign.h"
#include "core/train/detector_train_private.h"

#define WORKER_BYTES ((size_t)512 << 20)

struct detector_train_options detector_train_default(void)
{
    return (struct detector_train_options){.steps = 20000,
                                           .batch = 16,
                                           .shard = 8,
                                           .side = 192,
                                           .rate = .002F,
                                           .weight_decay = .01F,
                                           .clip = 10,
                                           .average = .997F,
                                           .level = .5F,
                                           .seed = 1};
}

/* ---- Beginning ------------------------------------------------------------------------------------------------------ */

static enum err check(const struct detector_train_options *o, struct err_note *note)
{
    if (o->steps < 1 || o->shard < 1 || o->batch < o->shard || o->batch % o->shard != 0 ||
        o->batch > DETECTOR_MOST_BATCH || o->side < 64 || o->side > 1024 || o->side % 32 != 0 || !(o->rate > 0) ||
        !(o->weight_decay >= 0) || !(o->average >= 0 && o->average < 1) || !(o->level > 0 && o->level < 1)) {
        return ERR_SAY(
            note, ERR_MISUSE,
            "%ld steps of %d scenes in shards of %d, %d pixels a side: a batch is made of whole shards (up to "
            "%d scenes), a side is a multiple of 32 from 64 to 1024",
            o->steps, o->batch, o->shard, o->side, DETECTOR_MOST_BATCH);
    }
    return ERR_NONE;
}

/* Weights of another detector; what it lacks begins from chance: it may have been made when the network was smaller. */
struct beginning {
    const struct graph *start, *chance;
    int taken; /* from start */
};

static const struct tensor *find_constant(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph_value_count(graph); i++) {
        const struct tensor *tensor = graph_constant(graph, i);
        if (tensor != NULL && strcmp(graph_value_name(graph, i), name) == 0) {
            return tensor;
        }
    }
    return NULL;
}

static enum err take_from(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note)
{
    struct beginning *from = context;
    const struct tensor *tensor = find_constant(from->start, name);

    from->taken += tensor != NULL;
    tensor = tensor != NULL ? tensor : find_constant(from->chance, name);
    if (tensor == NULL || tensor->type != DTYPE_F32 || !shape_equal(&tensor->shape, shape)) {
        return ERR_SAY(note, ERR_CONFLICT, "the detector to start from has another shape of '%.60s'", name);
    }
    memcpy(ret, tensor->data, tensor_bytes(tensor));
    return ERR_NONE;
}

static enum err build(const struct detector_train_options *options, struct graph **ret, struct err_note *note)
{
    const struct build_options from_chance = {.seed = options->seed};
    struct beginning beginning = {.start = options->start};
    const struct build_source source = {.take = take_from, .context = &beginning};
    const struct build_options from_start = {.seed = options->seed, .source = &source};
    struct graph *chance = NULL;
    struct graph *graph = NULL;
    enum err err = detector_build(DETECTOR_LEARNS, &from_chance, &chance, note);

    if (err != ERR_NONE || options->start == NULL) {
        *ret = err != ERR_NONE ? *ret : chance;
        return err;
    }
    beginning.chance = chance;
    err = detector_build(DETECTOR_LEARNS, &from_start, &graph, note);
    graph_free(chance);
    if (err == ERR_NONE && beginning.taken == 0) {
        graph_free(graph);
        return ERR_SAY(note, ERR_CONFLICT,
                       "the detector to start from was not made by this program: it has no weight "
                       "of a name known here");
    }
    *ret = err != ERR_NONE ? *ret : graph;
    return err;
}

static enum err make_optimizer(struct detector_run *run)
{
    const struct optimizer_options options = {.kind = OPTIMIZER_ADAMW, .beta1 = .9F, .beta2 = .999F, .epsilon = 1e-8F};
    const struct parameters *p = run->parameters;
    struct optimizer_range *ranges = MEM_ARRAY(struct optimizer_range, (size_t)p->count);
    int n = 0;

    if (ranges == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        if (one->kind != PARAMETER_MEAN && one->kind != PARAMETER_VARIANCE) {
            ranges[n++] = (struct optimizer_range){.begin = one->offset,
                                                   .end = one->offset + one->count,
                                                   .rate_factor = 1,
                                                   .weight_decay =
                                                       one->kind == PARAMETER_WEIGHT ? run->options->weight_decay : 0};
        }
    }
    enum err err = optimizer_new(&options, ranges, n, p->n_floats, &run->optimizer);
    mem_free(ranges);
    return err;
}

static enum err begin(struct detector_run *run)
{
    const struct detector_train_options *o = run->options;
    enum err err = check(o, run->note);

    err = err != ERR_NONE ? err : build(o, &run->graph, run->note);
    err = err != ERR_NONE ? err : parameters_new(run->graph, &run->parameters, run->note);
    err = err != ERR_NONE ? err : make_optimizer(run);
    if (err != ERR_NONE) {
        return err;
    }
    run->schedule = (struct schedule){.kind = SCHEDULE_COSINE,
                                      .rate = o->rate,
                                      .steps = o->steps,
                                      .warmup = o->steps / 20 < 300 ? o->steps / 20 : 300};
    run->average = parameters_block(run->parameters);
    if (run->average == NULL) {
        return ERR_NOMEM;
    }
    memcpy(run->average, run->parameters->values, run->parameters->n_floats * sizeof(float));
    return ERR_NONE;
}

static enum err begin_workers(struct detector_run *run)
{
    const struct detector_train_options *o = run->options;
    const struct tape_options how = {.batch_statistics = !o->keep_statistics};
    int most = detector_greatest_side(o);
    size_t cells = (size_t)detector_cells(most, most);
    enum err err = ERR_NONE;

    run->shards = o->batch / o->shard;
    run->total = parameters_block(run->parameters);
    run->gradient = mem_new((size_t)run->shards * run->parameters->n_floats, sizeof(float));
    run->input = mem_new((size_t)o->batch * 3 * (size_t)most * (size_t)most, sizeof(float));
    run->sums = MEM_ARRAY(struct detector_sums, (size_t)run->shards);
    if (run->total == NULL || run->gradient == NULL || run->input == NULL || run->sums == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < o->batch; i++) {
        run->example[i].target = MEM_ARRAY(int, cells);
        if (run->example[i].target == NULL) {
            return ERR_NOMEM;
        }
    }
    for (int t = 0; t < pool_threads(run->pool) && err == ERR_NONE; t++) {
        struct detector_worker *worker = &run->worker[t];
        worker->mem = arena_new(WORKER_BYTES);
        worker->grad = mem_new((size_t)o->shard * cells * DETECTOR_COLUMNS, sizeof(float));
        err = worker->mem == NULL || worker->grad == NULL
                  ? ERR_NOMEM
                  : tape_new(run->graph, run->parameters, &how, &worker->tape, run->note);
    }
    return err;
}

static void release(struct detector_run *run)
{
    for (int t = 0; t < DETECTOR_MOST_THREADS; t++) {
        tape_free(run->worker[t].tape);
        arena_free(run->worker[t].mem);
        mem_free(run->worker[t].grad);
    }
    for (int i = 0; i < DETECTOR_MOST_BATCH; i++) {
        mem_free(run->example[i].goal);
        mem_free(run->example[i].target);
    }
    optimizer_free(run->optimizer);
    parameters_free(run->parameters);
    graph_free(run->graph);
    mem_free(run->average);
    mem_free(run->total);
    mem_free(run->gradient);
    mem_free(run->input);
    mem_free(run->sums);
    mem_free(run);
}

/* ---- Checkpoints ----------------------------------------------------------------------------------------------------- */

#define N_BLOCKS 3

static void name_blocks(struct detector_run *run, struct checkpoint_block blocks[N_BLOCKS])
{
    size_t bytes = run->parameters->n_floats * sizeof(float);
    size_t state_floats = 0;
    float *state = optimizer_state(run->optimizer, &state_floats);

    blocks[0] = (struct checkpoint_block){"weights", run->parameters->values, bytes};
    blocks[1] = (struct checkpoint_block){"average", run->average, bytes};
    blocks[2] = (struct checkpoint_block){"moments", state, state_floats * sizeof(float)};
}

/* Whatever changes a bit of the result: called before the first step. */
static void hash_run(const struct detector_run *run, unsigned char ret[HASH_SHA256_BYTES])
{
    const struct detector_train_options *o = run->options;
    struct {
        unsigned char start[HASH_SHA256_BYTES], labels[HASH_SHA256_BYTES], options[HASH_SHA256_BYTES];
    } all;
    char text[512];
    uint32_t crc = 0;

    memset(&all, 0, sizeof all);
    hash_sha256(run->parameters->values, run->parameters->n_floats * sizeof(float), all.start);
    for (int i = 0; i < run->labels->n_photos; i++) {
        const struct labelled_photo *photo = &run->labels->photos[i];
        crc = hash_crc32c(crc, photo->path, strlen(photo->path));
        for (int k = 0; k < photo->n_faces; k++) {
            const struct labelled_face *face = &photo->faces[k];
            crc = hash_crc32c(crc, &face->face, sizeof face->face);
            crc = hash_crc32c(crc, face->unsure ? "u" : "f", 1);
        }
        for (int k = 0; k < photo->n_traps; k++) {
            crc = hash_crc32c(crc, photo->traps[k].box, sizeof photo->traps[k].box);
            crc = hash_crc32c(crc, photo->traps[k].hidden ? "h" : "t", 1);
        }
    }
    hash_sha256(&crc, sizeof crc, all.labels);
    int len = snprintf(text, sizeof text,
                       "steps %ld batch %d shard %d side %d rate %.9g decay %.9g clip %.9g average "
                       "%.9g seed %llu keep %d",
                       o->steps, o->batch, o->shard, o->side, (double)o->rate, (double)o->weight_decay, (double)o->clip,
                       (double)o->average, (unsigned long long)o->seed, o->keep_statistics);
    hash_sha256(text, (size_t)len, all.options);
    hash_sha256(&all, sizeof all, ret);
}

static enum err load(struct detector_run *run, const unsigned char *hash)
{
    struct checkpoint_block blocks[N_BLOCKS];
    uint64_t step = 0;

    struct err_note why = {0};

    name_blocks(run, blocks);
    enum err err = checkpoint_load(run->options->checkpoint_folder, hash, blocks, N_BLOCKS, &step, &why);
    if (err != ERR_NONE) {
        return err == ERR_NOT_FOUND ? err : ERR_SAY(run->note, err, "%s", why.text);
    }
    run->step = (long)step;
    optimizer_set_steps(run->optimizer, run->step);
    return ERR_NONE;
}

static enum err save(struct detector_run *run, const unsigned char *hash)
{
    struct checkpoint_block blocks[N_BLOCKS];

    if (run->options->checkpoint_folder == NULL) {
        return ERR_NONE;
    }
    name_blocks(run, blocks);
    return checkpoint_save(run->options->checkpoint_folder, hash, (uint64_t)run->step, blocks, N_BLOCKS, run->note);
}

/* ---- All ---------------------------------------------------------------------------------------------------------------- */

#define SCORE_BIAS ".score.bias" /* detector_build.c */

struct averages {
    const struct parameters *parameters;
    const float *values;
    float level;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static enum err take_average(void *context, const char *name, const struct shape *shape, float *ret,
                             struct err_note *note)
{
    const struct averages *averages = context;

    for (int i = 0; i < averages->parameters->count; i++) {
        const struct parameter *one = &averages->parameters->list[i];
        if (strcmp(one->name, name) == 0) {
            memcpy(ret, averages->values + one->offset, one->count * sizeof *ret);
            if (ends_with(name, SCORE_BIAS)) {
                ret[0] -= logf(averages->level / (1 - averages->level));
            }
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_CONFLICT, "there is no parameter '%.60s'", name);
}

static enum err write_onnx(const struct detector_run *run, unsigned char **ret, size_t *ret_bytes)
{
    struct averages averages = {run->parameters, run->average, run->options->level};
    const struct build_source source = {.take = take_average, .context = &averages};
    const struct build_options how = {.source = &source};
    struct graph *graph = NULL;
    enum err err = detector_build(DETECTOR_FINDS, &how, &graph, run->note);

    if (err == ERR_NONE) {
        err = onnx_save(graph, NULL, ret, ret_bytes, run->note);
    }
    graph_free(graph);
    return err;
}

static enum err run_all(struct detector_run *run, detector_train_watch *watch, void *context)
{
    const struct detector_train_options *o = run->options;
    unsigned char hash[HASH_SHA256_BYTES];
    enum err err = begin_workers(run);

    if (err == ERR_NONE) {
        hash_run(run, hash);
        err = o->checkpoint_folder == NULL ? ERR_NONE : load(run, hash);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    int64_t start = clock_monotonic_ns();
    long begun_at = run->step;
    while (err == ERR_NONE && run->step < o->steps) {
        struct detector_train_step told = {.steps = o->steps};
        err = detector_step(run, &told);
        if (err != ERR_NONE) {
            break;
        }
        told.step = run->step;
        told.images_per_s =
            (double)(run->step - begun_at) * o->batch * 1e9 / (double)(clock_monotonic_ns() - start + 1);
        if (watch != NULL) {
            watch(context, &told);
        }
        if (run->step == o->steps || (o->checkpoint_every > 0 && run->step % o->checkpoint_every == 0)) {
            err = save(run, hash);
        }
    }
    if (err == ERR_CANCELLED && run->step > begun_at) {
        enum err saved = save(run, hash);
        err = saved != ERR_NONE ? saved : err;
    }
    return err;
}

static struct detector_run *new_run(const struct detector_labels *labels, const struct detector_train_options *options,
                                    struct err_note *note)
{
    struct detector_run *run = MEM_NEW(struct detector_run);

    if (run != NULL) {
        run->labels = labels;
        run->options = options;
        run->note = note;
    }
    return run;
}

enum err detector_train(const struct detector_labels *labels, const struct detector_train_options *options,
                        struct pool *pool, struct cancel *cancel, detector_train_watch *watch, void *context,
                        unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    struct detector_run *run = new_run(labels, options, note);

    if (run == NULL) {
        return ERR_NOMEM;
    }
    run->pool = pool;
    run->cancel = cancel;
    enum err err = begin(run);
    err = err != ERR_NONE ? err : run_all(run, watch, context);
    err = err != ERR_NONE ? err : write_onnx(run, ret, ret_bytes);
    release(run);
    return err;
}

enum err detector_train_peek(const struct detector_labels *labels, const struct detector_train_options *options,
                             unsigned char **ret, size_t *ret_bytes, struct err_note *note)
{
    struct detector_run *run = new_run(labels, options, note);
    unsigned char hash[HASH_SHA256_BYTES];

    if (run == NULL) {
        return ERR_NOMEM;
    }
    enum err err = begin(run);
    if (err == ERR_NONE) {
        hash_run(run, hash);
        err = load(run, hash);
    }
    err = err != ERR_NONE ? err : write_onnx(run, ret, ret_bytes);
    release(run);
    return err;
}
