/* detector_train.c: the loop. */
#include "core/train/detector_train.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/onnx/onnx_save.h"
#include "core/train/checkpoint.h"
#include "core/train/detector_assign.h"
#include "core/train/detector_loss.h"
#include "core/train/detector_scene.h"
#include "core/train/optimizer.h"
#include "core/train/tape.h"

#define WORKER_BYTES ((size_t)512 << 20)
#define MOST_BATCH 1024
#define MOST_THREADS 64
#define FOLLOW .1F /* of running statistics */

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
                                           .seed = 1};
}

struct sums {
    double score, box, point, overlap;
    int positive;
};

/* One scene of the batch, drawn before the step. */
struct example {
    struct detector_goal *goal; /* of its faces; mem_free */
    int *target;                /* of its cells */
    int positive;
};

struct run {
    const struct detector_labels *labels;
    const struct detector_train_options *options;
    struct pool *pool;
    struct cancel *cancel;
    struct graph *graph;
    struct parameters *parameters;
    struct optimizer *optimizer;
    struct schedule schedule;
    float *average;  /* as parameters->values */
    float *total;    /* gradient of a step */
    float *gradient; /* [batch / shard, n_floats] */
    float *input;    /* [batch, 3, most side, most side] */
    struct example example[MOST_BATCH];
    struct sums *sums; /* [batch / shard] */
    int shards;
    int side, cells; /* of this step */
    int positive;    /* cells of this step's batch with a face */
    long step;
    atomic_int next;
    atomic_bool failed;
    struct worker {
        struct tape *tape;
        struct arena *mem;
        float *grad; /* of the outputs of a shard */
        enum err err;
        struct err_note note;
    } worker[MOST_THREADS];
    struct err_note *note;
};

static int greatest_side(const struct detector_train_options *options)
{
    return options->side * 4 / 3 / 32 * 32;
}

/* ---- Beginning ------------------------------------------------------------------------------------------------------ */

static enum err check(const struct detector_train_options *o, struct err_note *note)
{
    if (o->steps < 1 || o->shard < 1 || o->batch < o->shard || o->batch % o->shard != 0 || o->batch > MOST_BATCH ||
        o->side < 64 || o->side > 1024 || o->side % 32 != 0 || !(o->rate > 0) || !(o->weight_decay >= 0) ||
        !(o->average >= 0 && o->average < 1)) {
        return ERR_SAY(
            note, ERR_MISUSE,
            "%ld steps of %d scenes in shards of %d, %d pixels a side: a batch is made of whole shards (up to "
            "%d scenes), a side is a multiple of 32 from 64 to 1024",
            o->steps, o->batch, o->shard, o->side, MOST_BATCH);
    }
    return ERR_NONE;
}

/* Weights of another graph with constants of the same names. */
static enum err take_from(void *context, const char *name, const struct shape *shape, float *ret, struct err_note *note)
{
    const struct graph *from = context;

    for (int i = 0; i < graph_value_count(from); i++) {
        const struct tensor *tensor = graph_constant(from, i);
        if (tensor != NULL && strcmp(graph_value_name(from, i), name) == 0 && tensor->type == DTYPE_F32 &&
            shape_equal(&tensor->shape, shape)) {
            memcpy(ret, tensor->data, tensor_bytes(tensor));
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_CONFLICT, "the detector to start from has no '%.60s' of this shape", name);
}

static enum err build(const struct detector_train_options *options, struct graph **ret, struct err_note *note)
{
    const struct build_source source = {.take = take_from, .context = (void *)options->start};
    const struct build_options how = {.seed = options->seed, .source = options->start != NULL ? &source : NULL};

    return detector_build(DETECTOR_LEARNS, &how, ret, note);
}

static enum err make_optimizer(struct run *run)
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

static enum err begin(struct run *run)
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

static enum err begin_workers(struct run *run)
{
    const struct detector_train_options *o = run->options;
    const struct tape_options how = {.batch_statistics = true};
    int most = greatest_side(o);
    size_t cells = (size_t)detector_cells(most, most);
    enum err err = ERR_NONE;

    run->shards = o->batch / o->shard;
    run->total = parameters_block(run->parameters);
    run->gradient = mem_new((size_t)run->shards * run->parameters->n_floats, sizeof(float));
    run->input = mem_new((size_t)o->batch * 3 * (size_t)most * (size_t)most, sizeof(float));
    run->sums = MEM_ARRAY(struct sums, (size_t)run->shards);
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
        struct worker *worker = &run->worker[t];
        worker->mem = arena_new(WORKER_BYTES);
        worker->grad = mem_new((size_t)o->shard * cells * DETECTOR_COLUMNS, sizeof(float));
        err = worker->mem == NULL || worker->grad == NULL
                  ? ERR_NOMEM
                  : tape_new(run->graph, run->parameters, &how, &worker->tape, run->note);
    }
    return err;
}

static void release(struct run *run)
{
    for (int t = 0; t < MOST_THREADS; t++) {
        tape_free(run->worker[t].tape);
        arena_free(run->worker[t].mem);
        mem_free(run->worker[t].grad);
    }
    for (int i = 0; i < MOST_BATCH; i++) {
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

static void name_blocks(struct run *run, struct checkpoint_block blocks[N_BLOCKS])
{
    size_t bytes = run->parameters->n_floats * sizeof(float);
    size_t state_floats = 0;
    float *state = optimizer_state(run->optimizer, &state_floats);

    blocks[0] = (struct checkpoint_block){"weights", run->parameters->values, bytes};
    blocks[1] = (struct checkpoint_block){"average", run->average, bytes};
    blocks[2] = (struct checkpoint_block){"moments", state, state_floats * sizeof(float)};
}

/* Whatever changes a bit of the result: called before the first step. */
static void hash_run(const struct run *run, unsigned char ret[HASH_SHA256_BYTES])
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
    }
    hash_sha256(&crc, sizeof crc, all.labels);
    int len = snprintf(text, sizeof text,
                       "steps %ld batch %d shard %d side %d rate %.9g decay %.9g clip %.9g average "
                       "%.9g seed %llu",
                       o->steps, o->batch, o->shard, o->side, (double)o->rate, (double)o->weight_decay, (double)o->clip,
                       (double)o->average, (unsigned long long)o->seed);
    hash_sha256(text, (size_t)len, all.options);
    hash_sha256(&all, sizeof all, ret);
}

static enum err load(struct run *run, const unsigned char *hash)
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

static enum err save(struct run *run, const unsigned char *hash)
{
    struct checkpoint_block blocks[N_BLOCKS];

    if (run->options->checkpoint_folder == NULL) {
        return ERR_NONE;
    }
    name_blocks(run, blocks);
    return checkpoint_save(run->options->checkpoint_folder, hash, (uint64_t)run->step, blocks, N_BLOCKS, run->note);
}

/* ---- One step --------------------------------------------------------------------------------------------------------- */

/* Calls each for every number below count, on all threads; the numbers are shared out as they come. */
struct sharing {
    struct run *run;
    int count;
    enum err (*each)(struct run *run, struct worker *worker, int i);
};

static void share_work(void *context, int number)
{
    struct sharing *sharing = context;
    struct run *run = sharing->run;
    struct worker *worker = &run->worker[number];

    while (!atomic_load(&run->failed)) {
        int i = atomic_fetch_add(&run->next, 1);
        if (i >= sharing->count) {
            return;
        }
        worker->err = cancel_asked(run->cancel) ? ERR_CANCELLED : sharing->each(run, worker, i);
        arena_reset(worker->mem);
        if (worker->err != ERR_NONE) {
            atomic_store(&run->failed, true);
        }
    }
}

static enum err share(struct run *run, int count, enum err (*each)(struct run *, struct worker *, int))
{
    struct sharing sharing = {.run = run, .count = count, .each = each};
    int threads = pool_threads(run->pool);

    atomic_store(&run->next, 0);
    pool_run(run->pool, threads, share_work, &sharing);
    for (int t = 0; t < threads; t++) {
        struct worker *worker = &run->worker[t];
        if (worker->err != ERR_NONE) {
            return worker->note.text[0] == '\0' ? worker->err
                                                : ERR_SAY(run->note, worker->err, "%s", worker->note.text);
        }
    }
    return ERR_NONE;
}

static enum err draw_example(struct run *run, struct worker *worker, int i)
{
    static const struct preprocess how = {.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {128, 128, 128}};
    struct example *example = &run->example[i];
    struct detector_scene scene;
    uint64_t number = (uint64_t)run->step * (uint64_t)run->options->batch + (uint64_t)i;
    enum err err =
        detector_scene_draw(run->labels, run->side, run->options->seed, number, worker->mem, &scene, &worker->note);

    if (err == ERR_NONE) {
        err = detector_assign(run->side, run->side, scene.faces, scene.n_faces, worker->mem, example->target,
                              &example->positive);
    }
    if (err != ERR_NONE) {
        return err;
    }
    mem_free(example->goal);
    example->goal = MEM_ARRAY(struct detector_goal, (size_t)scene.n_faces);
    if (example->goal == NULL) {
        return ERR_NOMEM;
    }
    for (int k = 0; k < scene.n_faces; k++) {
        memcpy(example->goal[k].box, scene.faces[k].face.box, sizeof example->goal[k].box);
        memcpy(example->goal[k].point, scene.faces[k].face.point, sizeof example->goal[k].point);
    }
    preprocess_image(&scene.image, &how, run->input + (size_t)i * 3 * (size_t)run->side * (size_t)run->side);
    return ERR_NONE;
}

/* Losses and their gradient over one scene's cells. */
static void judge(const struct run *run, const struct example *example, const float *out, float *grad,
                  struct sums *sums)
{
    float factor = 1 / (float)(run->positive > 0 ? run->positive : 1);

    for (int cell = 0; cell < run->cells; cell++) {
        const float *row = out + (size_t)cell * DETECTOR_COLUMNS;
        float *slope = grad + (size_t)cell * DETECTOR_COLUMNS;
        int target = example->target[cell];
        if (target == DETECTOR_CELL_NONE) {
            sums->score += (double)detector_loss_none(row, factor, slope);
        } else if (target >= 0) {
            struct detector_cell at = detector_cell_at(run->side, run->side, cell);
            struct detector_loss loss = detector_loss_face(row, at.x, at.y, (float)detector_stride(at.level),
                                                           &example->goal[target], factor, slope);
            sums->score += (double)loss.score;
            sums->box += (double)loss.box;
            sums->point += (double)loss.point;
            sums->overlap += (double)loss.overlap;
            sums->positive++;
        }
    }
}

static enum err run_shard(struct run *run, struct worker *worker, int shard)
{
    int n = run->options->shard;
    size_t pixels = 3 * (size_t)run->side * (size_t)run->side;
    size_t floats = (size_t)run->cells * DETECTOR_COLUMNS;
    float *gradient = run->gradient + (size_t)shard * run->parameters->n_floats;
    struct tensor input = {.type = DTYPE_F32,
                           .shape = {.rank = 4, .dim = {n, 3, run->side, run->side}},
                           .data = run->input + (size_t)shard * (size_t)n * pixels};
    struct tensor output = {0};
    enum err err = tape_forward(worker->tape, &input, 0, &output, &worker->note);

    if (err != ERR_NONE) {
        return err;
    }
    memset(gradient, 0, run->parameters->n_floats * sizeof *gradient);
    memset(worker->grad, 0, (size_t)n * floats * sizeof *worker->grad);
    memset(&run->sums[shard], 0, sizeof run->sums[shard]);
    for (int i = 0; i < n; i++) {
        judge(run, &run->example[shard * n + i], (const float *)output.data + (size_t)i * floats,
              worker->grad + (size_t)i * floats, &run->sums[shard]);
    }
    return tape_backward(worker->tape, worker->grad, gradient, NULL, &worker->note);
}

static void apply(struct run *run, struct detector_train_step *told)
{
    struct parameters *p = run->parameters;
    struct sums sums = {0};

    memset(run->total, 0, p->n_floats * sizeof *run->total);
    for (int s = 0; s < run->shards; s++) {
        const float *gradient = run->gradient + (size_t)s * p->n_floats;
        for (size_t i = 0; i < p->n_floats; i++) {
            run->total[i] += gradient[i];
        }
        sums.score += run->sums[s].score;
        sums.box += run->sums[s].box;
        sums.point += run->sums[s].point;
        sums.overlap += run->sums[s].overlap;
        sums.positive += run->sums[s].positive;
    }
    double cells = sums.positive > 0 ? sums.positive : 1;
    told->rate = schedule_rate(&run->schedule, run->step);
    told->norm = (float)gradient_clip(run->total, 0, p->n_trainable, (double)run->options->clip);
    told->score = (float)(sums.score / cells);
    told->box = (float)(sums.box / cells);
    told->point = (float)(sums.point / cells);
    told->overlap = (float)(sums.overlap / cells);
}

static enum err take_step(struct run *run, struct detector_train_step *told)
{
    const struct detector_train_options *o = run->options;
    struct parameters *p = run->parameters;

    run->side = run->step % 3 == 2 ? greatest_side(o) : o->side;
    run->cells = detector_cells(run->side, run->side);
    enum err err = share(run, o->batch, draw_example);
    if (err != ERR_NONE) {
        return err;
    }
    run->positive = 0;
    for (int i = 0; i < o->batch; i++) {
        run->positive += run->example[i].positive;
    }
    err = share(run, run->shards, run_shard);
    if (err != ERR_NONE) {
        return err;
    }
    apply(run, told);
    if (!isfinite(told->norm) || !isfinite(told->score) || !isfinite(told->box) || !isfinite(told->point)) {
        return ERR_SAY(run->note, ERR_FORMAT, "step %ld: the loss is no number any more: the rate %g is too high",
                       run->step + 1, (double)told->rate);
    }
    parameters_follow(p, run->total, FOLLOW, run->shards);
    optimizer_step(run->optimizer, told->rate, run->total, p->values);
    /* At first the mean looks back over as many steps as there were. */
    float keep = fminf(o->average, (float)(run->step + 1) / (float)(run->step + 10));
    for (size_t i = 0; i < p->n_floats; i++) {
        run->average[i] = keep * run->average[i] + (1 - keep) * p->values[i];
    }
    run->step++;
    return ERR_NONE;
}

/* ---- All ---------------------------------------------------------------------------------------------------------------- */

struct averages {
    const struct parameters *parameters;
    const float *values;
};

static enum err take_average(void *context, const char *name, const struct shape *shape, float *ret,
                             struct err_note *note)
{
    const struct averages *averages = context;

    for (int i = 0; i < averages->parameters->count; i++) {
        const struct parameter *one = &averages->parameters->list[i];
        if (strcmp(one->name, name) == 0) {
            memcpy(ret, averages->values + one->offset, one->count * sizeof *ret);
            return ERR_NONE;
        }
    }
    return ERR_SAY(note, ERR_CONFLICT, "there is no parameter '%.60s'", name);
}

static enum err write_onnx(const struct run *run, unsigned char **ret, size_t *ret_bytes)
{
    struct averages averages = {run->parameters, run->average};
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

static enum err run_all(struct run *run, detector_train_watch *watch, void *context)
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
        err = take_step(run, &told);
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

static struct run *new_run(const struct detector_labels *labels, const struct detector_train_options *options,
                           struct err_note *note)
{
    struct run *run = MEM_NEW(struct run);

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
    struct run *run = new_run(labels, options, note);

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
    struct run *run = new_run(labels, options, note);
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
