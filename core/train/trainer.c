/* trainer.c: a phase from its options to its result. */
#include "core/train/trainer.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "core/base/size.h"
#include "core/train/centers.h"
#include "core/train/checkpoint.h"
#include "core/train/phase_private.h"

#define RESULT_BYTES ((size_t)8 << 30)
#define WORKER_BYTES ((size_t)256 << 20)

struct train_options train_default(void)
{
    return (struct train_options){
        .objective = objective_default(),
        .optimizer = {.kind = OPTIMIZER_SGD, .momentum = .9F, .beta1 = .9F, .beta2 = .999F, .epsilon = 1e-8F},
        .schedule = {.kind = SCHEDULE_COSINE, .rate = .002F, .power = 1, .factor = .1F},
        .warmup_share = .1F,
        .weight_decay = 5e-4F,
        .center_rate = 10,
        .clip = 5,
        .epochs = 10,
        .batch = 32,
        .shard = 8,
        .seed = 1};
}

void train_result_release(struct train_result *result)
{
    arena_free(result->mem);
    *result = (struct train_result){0};
}

/* ---- Options ------------------------------------------------------------------------------------------------------ */

static enum err check(const struct train_options *options, int classes, struct err_note *note)
{
    if (options->epochs < 1 || options->epochs > 100000 || classes < 2) {
        return ERR_SAY(note, ERR_MISUSE, "%d epochs over %d people: at least 1 and 2 are needed", options->epochs,
                       classes);
    }
    if (options->shard < 1 || options->batch < options->shard || options->batch % options->shard != 0 ||
        options->batch > 65536) {
        return ERR_SAY(note, ERR_MISUSE, "a batch of %d is not made of whole shards of %d", options->batch,
                       options->shard);
    }
    if (!(options->schedule.rate > 0) || !isfinite(options->schedule.rate) || !(options->warmup_share >= 0) ||
        !(options->warmup_share < 1) || !(options->weight_decay >= 0) || !(options->center_rate >= 0)) {
        return ERR_SAY(note, ERR_MISUSE,
                       "the rate must be above 0, warm-up below 1, decay and the centers' factor not "
                       "below 0");
    }
    if (options->objective.softmax && options->n_frozen > 0) {
        return ERR_SAY(note, ERR_MISUSE, "the plain softmax has no angles that frozen centers could push by");
    }
    for (int j = 0; options->centers_of != NULL && j < classes; j++) {
        if (options->centers_of[j] < 1 || options->centers_of[j] > options->objective.subcenters) {
            return ERR_SAY(note, ERR_MISUSE, "person %d has %d sub-centers, which is not from 1 to %d", j,
                           options->centers_of[j], options->objective.subcenters);
        }
    }
    return objective_check(&options->objective, note);
}

/* Whatever changes a bit of the result. */
static void hash_run(const struct phase *phase, unsigned char ret[HASH_SHA256_BYTES])
{
    const struct train_options *o = phase->options;
    const struct objective *j = &o->objective;
    const struct schedule *s = &o->schedule;
    struct {
        unsigned char student[HASH_SHA256_BYTES], start[HASH_SHA256_BYTES], items[HASH_SHA256_BYTES],
            label[HASH_SHA256_BYTES], followers[HASH_SHA256_BYTES], centers_of[HASH_SHA256_BYTES],
            frozen[HASH_SHA256_BYTES], options[HASH_SHA256_BYTES];
    } all;
    char text[1024];

    memset(&all, 0, sizeof all);
    student_hash(phase->student, all.student);
    hash_sha256(phase->parameters->values, phase->parameters->n_floats * sizeof(float), all.start);
    hash_sha256(phase->items, (size_t)phase->n_items * sizeof(int), all.items);
    hash_sha256(phase->label, (size_t)phase->n_items * sizeof(int), all.label);
    hash_sha256(phase->followers, (size_t)phase->n_followers * sizeof(int), all.followers);
    hash_sha256(o->centers_of != NULL ? (const void *)o->centers_of : "",
                o->centers_of != NULL ? (size_t)phase->classes * sizeof(int) : 0, all.centers_of);
    hash_sha256(o->frozen != NULL ? (const void *)o->frozen : "",
                (size_t)o->n_frozen * (size_t)phase->dim * sizeof(float), all.frozen);
    int len = snprintf(
        text, sizeof text,
        "loss %d %.9g %.9g %.9g %.9g %d %d %.9g k %d sample %.17g terms %.9g %.9g %.9g %.9g %.9g %.9g %.9g %.9g "
        "optimizer %d %.9g %.9g %.9g %.9g schedule %d %.9g %.9g %.9g warmup %.9g decay %.9g centers %.9g clip %.9g "
        "epochs %d batch %d shard %d balanced %d statistics %d dropout %d seed %llu at %d %.9g %.9g %.9g %.9g %.9g "
        "%.9g "
        "%.9g %.9g",
        j->softmax, (double)j->margin.scale, (double)j->margin.m1, (double)j->margin.m2, (double)j->margin.m3,
        j->margin.monotone, j->margin.straight, (double)j->margin.filter, j->subcenters, j->sample_rate,
        (double)j->intra, (double)j->inter, (double)j->triplet, (double)j->distill_cosine, (double)j->distill_l2,
        (double)j->distill_kl, (double)j->triplet_margin, (double)j->kl_scale, (int)o->optimizer.kind,
        (double)o->optimizer.momentum, (double)o->optimizer.beta1, (double)o->optimizer.beta2,
        (double)o->optimizer.epsilon, (int)s->kind, (double)s->rate, (double)s->power, (double)s->factor,
        (double)o->warmup_share, (double)o->weight_decay, (double)o->center_rate, (double)o->clip, o->epochs, o->batch,
        o->shard, o->balanced, o->batch_statistics, o->dropout, (unsigned long long)o->seed, s->n_at, (double)s->at[0],
        (double)s->at[1], (double)s->at[2], (double)s->at[3], (double)s->at[4], (double)s->at[5], (double)s->at[6],
        (double)s->at[7]);
    hash_sha256(text, (size_t)len, all.options);
    hash_sha256(&all, sizeof all, ret);
}

/* ---- Preparing ---------------------------------------------------------------------------------------------------- */

/* Carves one array of the phase; false when the arena is spent, and then for every later one too. */
static bool carve(struct arena *mem, bool *fine, void *ret, size_t count, size_t size)
{
    void *memory = *fine ? arena_alloc(mem, count, size) : NULL;

    *fine = memory != NULL;
    memcpy(ret, &memory, sizeof memory);
    return *fine;
}

static enum err choose_items(struct phase *phase, const int *label, struct arena *mem)
{
    int count = student_count(phase->student);
    bool fine = true;
    int *photos = NULL;

    (void)carve(mem, &fine, &phase->items, (size_t)count, sizeof(int));
    (void)carve(mem, &fine, &phase->label, (size_t)count, sizeof(int));
    (void)carve(mem, &fine, &phase->followers, (size_t)count, sizeof(int));
    if (!carve(mem, &fine, &photos, (size_t)phase->classes, sizeof(int))) {
        return arena_why(mem);
    }
    for (int i = 0; i < count; i++) {
        if (label[i] >= phase->classes) {
            return ERR_SAY(phase->note, ERR_MISUSE, "crop %d has label %d, but there are %d people", i, label[i],
                           phase->classes);
        }
        if (label[i] >= 0) {
            phase->items[phase->n_items] = i;
            phase->label[phase->n_items++] = label[i];
            photos[label[i]]++;
        } else if (label[i] == TRAIN_FOLLOWS && objective_distils(&phase->options->objective)) {
            phase->followers[phase->n_followers++] = i;
        }
    }
    for (int j = 0; j < phase->classes; j++) {
        if (photos[j] == 0) {
            return ERR_SAY(phase->note, ERR_MISUSE, "person %d of %d has no crop", j, phase->classes);
        }
    }
    return ERR_NONE;
}

/* Rows of followers in a step, at most. */
static size_t most_followers(const struct phase *phase)
{
    assert(phase->steps_per_epoch > 0);
    long shards = (phase->follow_shards + phase->steps_per_epoch - 1) / phase->steps_per_epoch;

    return (size_t)shards * (size_t)phase->shard;
}

static enum err carve_step(struct phase *phase, struct arena *mem)
{
    size_t dim = (size_t)phase->dim;
    size_t classes = (size_t)phase->classes;
    size_t rows;
    size_t frozen_classes = classes + (size_t)phase->options->n_frozen;
    bool fine = size_mul(frozen_classes, (size_t)phase->subcenters, &rows) && rows < (size_t)1 << 28;

    if (!fine) {
        return ERR_SAY(phase->note, ERR_LIMIT, "%zu classes of %d sub-centers are too many", frozen_classes,
                       phase->subcenters);
    }
    phase->most_rows = (int)rows;
    phase->center_floats =
        classes * (size_t)phase->subcenters * dim + (phase->options->objective.softmax ? classes : 0);
    phase->gradient_floats = phase->parameters->n_floats + rows * dim + classes;
    (void)carve(mem, &fine, &phase->centers, phase->center_floats, sizeof(float));
    (void)carve(mem, &fine, &phase->center_gradient, phase->center_floats, sizeof(float));
    (void)carve(mem, &fine, &phase->total, phase->gradient_floats, sizeof(float));
    (void)carve(mem, &fine, &phase->order, (size_t)phase->n_items, sizeof(int));
    (void)carve(mem, &fine, &phase->follow_order, (size_t)phase->n_followers, sizeof(int));
    for (int i = 0; i < 2; i++) {
        struct phase_draw *draw = i == 0 ? &phase->now : &phase->next;
        (void)carve(mem, &fine, &draw->item, (size_t)phase->batch + most_followers(phase), sizeof(int));
        (void)carve(mem, &fine, &draw->label, (size_t)phase->batch, sizeof(int));
    }
    (void)carve(mem, &fine, &phase->batch_class, (size_t)phase->batch, sizeof(int));
    (void)carve(mem, &fine, &phase->chosen, classes, sizeof(int));
    (void)carve(mem, &fine, &phase->mark, classes, 1);
    if (phase->options->centers_of != NULL) {
        (void)carve(mem, &fine, &phase->centers_now, frozen_classes, sizeof(int));
    }
    (void)carve(mem, &fine, &phase->v, rows * dim, sizeof(float));
    (void)carve(mem, &fine, &phase->length, rows, sizeof(float));
    if (phase->options->objective.distill_kl > 0) {
        (void)carve(mem, &fine, &phase->taught, frozen_classes * dim, sizeof(float));
        (void)carve(mem, &fine, &phase->taught_now, frozen_classes * dim, sizeof(float));
    }
    if (!carve(mem, &fine, &phase->worker, (size_t)phase->threads, sizeof(struct phase_worker))) {
        return arena_why(mem);
    }
    phase->n_chosen = phase->classes;
    for (int j = 0; j < phase->classes; j++) {
        phase->chosen[j] = j;
    }
    phase->ordered = -1;
    phase->asked = -1;
    return ERR_NONE;
}

static enum err make_worker(struct phase *phase, struct phase_worker *worker, struct arena *mem)
{
    const struct train_options *options = phase->options;
    const struct tape_options how = {.batch_statistics = options->batch_statistics, .dropout = options->dropout};
    size_t shard = (size_t)phase->shard;
    size_t dim = (size_t)phase->dim;
    int classes = phase->classes + options->n_frozen;
    bool fine = true;

    if (student_maps_bytes(phase->student) > 0) {
        (void)carve(mem, &fine, &worker->input, shard * phase->map_floats, sizeof(float));
    }
    (void)carve(mem, &fine, &worker->gradients, phase->gradient_floats, sizeof(float));
    (void)carve(mem, &fine, &worker->work,
                objective_work_floats(&options->objective, phase->shard, phase->dim, classes), sizeof(float));
    (void)carve(mem, &fine, &worker->dx, shard * dim, sizeof(float));
    (void)carve(mem, &fine, &worker->teacher, shard * dim, sizeof(float));
    (void)carve(mem, &fine, &worker->angles, shard, sizeof(float));
    if (!carve(mem, &fine, &worker->label, (size_t)phase->batch, sizeof(int))) {
        return arena_why(mem);
    }
    worker->mem = arena_new(WORKER_BYTES);
    return worker->mem == NULL
               ? ERR_NOMEM
               : tape_new(student_graph(phase->student), phase->parameters, &how, &worker->tape, phase->note);
}

/* Frozen parameters lie in no range; weights alone decay. */
static enum err make_optimizers(struct phase *phase)
{
    const struct train_options *options = phase->options;
    const struct optimizer_range centers = {.begin = 0,
                                            .end = phase->center_floats,
                                            .rate_factor = options->center_rate,
                                            .weight_decay = options->weight_decay};
    struct optimizer_range *ranges = MEM_ARRAY(struct optimizer_range, phase->parameters->count);
    int n = 0;

    if (ranges == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < phase->parameters->count; i++) {
        const struct parameter *one = &phase->parameters->list[i];
        if (!one->frozen && one->kind != PARAMETER_MEAN && one->kind != PARAMETER_VARIANCE) {
            ranges[n++] =
                (struct optimizer_range){.begin = one->offset,
                                         .end = one->offset + one->count,
                                         .rate_factor = 1,
                                         .weight_decay = one->kind == PARAMETER_WEIGHT ? options->weight_decay : 0};
        }
    }
    enum err err = optimizer_new(&options->optimizer, ranges, n, phase->parameters->n_floats, &phase->network_steps);
    if (err == ERR_NONE) {
        err = optimizer_new(&options->optimizer, &centers, 1, phase->center_floats, &phase->center_steps);
    }
    mem_free(ranges);
    return err;
}

static enum err prepare(struct phase *phase, const int *label, struct arena *mem)
{
    const struct train_options *options = phase->options;
    struct tensor one = student_input(phase->student, 1);
    enum err err = check(options, phase->classes, phase->note);

    phase->map_floats = (size_t)shape_elements(&one.shape);
    phase->subcenters = options->objective.subcenters;
    phase->batch = options->batch;
    phase->shard = options->shard;
    if (err == ERR_NONE) {
        err = choose_items(phase, label, mem);
    }
    if (err != ERR_NONE) {
        return err;
    }
    phase->steps_per_epoch = phase->n_items < phase->batch ? 1 : phase->n_items / phase->batch;
    phase->steps = phase->steps_per_epoch * options->epochs;
    phase->follow_shards = (phase->n_followers + phase->shard - 1) / phase->shard;
    phase->follow_weight =
        phase->n_followers > 0 ? (float)phase->n_followers / (float)(phase->follow_shards * phase->shard) : 0;
    phase->schedule = options->schedule;
    phase->schedule.steps = phase->steps;
    phase->schedule.warmup = (long)((double)options->warmup_share * (double)phase->steps);
    err = carve_step(phase, mem);
    for (int t = 0; t < phase->threads && err == ERR_NONE; t++) {
        err = make_worker(phase, &phase->worker[t], mem);
    }
    if (err == ERR_NONE && student_maps_bytes(phase->student) == 0) {
        err = ahead_new(phase->student, phase->batch + (int)most_followers(phase), phase->threads, &phase->ahead);
    }
    return err != ERR_NONE ? err : make_optimizers(phase);
}

static void release(struct phase *phase)
{
    ahead_free(phase->ahead);
    for (int t = 0; phase->worker != NULL && t < phase->threads; t++) {
        tape_free(phase->worker[t].tape);
        arena_free(phase->worker[t].mem);
    }
    optimizer_free(phase->network_steps);
    optimizer_free(phase->center_steps);
}

/* ---- Where it begins ---------------------------------------------------------------------------------------------- */

/* Labels of all crops of the student, from those that take part. */
static enum err begin_centers(struct phase *phase)
{
    int count = student_count(phase->student);
    size_t floats = (size_t)count * (size_t)phase->dim;
    struct arena *scratch = arena_new(floats * sizeof(float) + (size_t)count * 64 + ((size_t)16 << 20));
    int *label = scratch == NULL ? NULL : ARENA_ARRAY(scratch, int, count);
    float *u = label == NULL ? NULL : ARENA_ARRAY(scratch, float, floats);
    enum err err = u == NULL ? ERR_NOMEM : ERR_NONE;

    for (int i = 0; i < count && err == ERR_NONE; i++) {
        label[i] = -1;
    }
    for (int i = 0; i < phase->n_items && err == ERR_NONE; i++) {
        label[phase->items[i]] = phase->label[i];
    }
    if (err == ERR_NONE && phase->taught != NULL) {
        err = centers_begin(student_teacher(phase->student), label, count, phase->dim, phase->classes, 1, NULL, scratch,
                            phase->taught);
        if (phase->options->n_frozen > 0) {
            memcpy(phase->taught + (size_t)phase->classes * (size_t)phase->dim, phase->options->frozen,
                   (size_t)phase->options->n_frozen * (size_t)phase->dim * sizeof(float));
        }
    }
    if (err == ERR_NONE && student_has_other_teacher(phase->student)) {
        /* The network will come to where the teacher is. */
        memcpy(u, student_teacher(phase->student), floats * sizeof *u);
    } else if (err == ERR_NONE) {
        err = student_embed(phase->student, phase->cancel, u, phase->note);
    }
    if (err == ERR_NONE) {
        err = centers_begin(u, label, count, phase->dim, phase->classes, phase->subcenters, phase->options->centers_of,
                            scratch, phase->centers);
    }
    arena_free(scratch);
    return err;
}

/* ---- Checkpoints -------------------------------------------------------------------------------------------------- */

#define N_BLOCKS 7

static void name_blocks(struct phase *phase, struct train_result *result,
                        int64_t taken[2], /* NOLINT(readability-non-const-parameter): loading writes it */
                        struct checkpoint_block blocks[N_BLOCKS])
{
    size_t network = 0;
    size_t centers = 0;
    float *network_state = optimizer_state(phase->network_steps, &network);
    float *center_state = optimizer_state(phase->center_steps, &centers);

    blocks[0] =
        (struct checkpoint_block){"parameters", phase->parameters->values, phase->parameters->n_floats * sizeof(float)};
    blocks[1] = (struct checkpoint_block){"centers", phase->centers, phase->center_floats * sizeof(float)};
    blocks[2] = (struct checkpoint_block){"network moments", network_state, network * sizeof(float)};
    blocks[3] = (struct checkpoint_block){"center moments", center_state, centers * sizeof(float)};
    blocks[4] = (struct checkpoint_block){"steps taken", taken, 2 * sizeof *taken};
    blocks[5] = (struct checkpoint_block){"points", result->points, (size_t)result->steps * sizeof *result->points};
    blocks[6] = (struct checkpoint_block){"angles", result->angles, (size_t)result->epochs * sizeof *result->angles};
}

static enum err save(struct phase *phase, struct train_result *result, const unsigned char *run_hash)
{
    struct checkpoint_block blocks[N_BLOCKS];
    int64_t taken[2] = {optimizer_steps(phase->network_steps), optimizer_steps(phase->center_steps)};

    if (phase->options->checkpoint_folder == NULL) {
        return ERR_NONE;
    }
    name_blocks(phase, result, taken, blocks);
    return checkpoint_save(phase->options->checkpoint_folder, run_hash, (uint64_t)phase->step, blocks, N_BLOCKS,
                           phase->note);
}

/* Goes on from a checkpoint, or begins. */
static enum err begin(struct phase *phase, struct train_result *result, const unsigned char *run_hash)
{
    struct checkpoint_block blocks[N_BLOCKS];
    int64_t taken[2] = {0, 0};
    uint64_t step = 0;
    enum err err = ERR_NOT_FOUND;

    if (phase->options->checkpoint_folder != NULL) {
        struct err_note why = {0};
        name_blocks(phase, result, taken, blocks);
        err = checkpoint_load(phase->options->checkpoint_folder, run_hash, blocks, N_BLOCKS, &step, &why);
        if (err != ERR_NONE && err != ERR_NOT_FOUND) {
            return ERR_SAY(phase->note, err, "%s", why.text[0] != '\0' ? why.text : err_word(err));
        }
    }
    if (err == ERR_NONE) {
        phase->step = (long)step;
        optimizer_set_steps(phase->network_steps, (long)taken[0]);
        optimizer_set_steps(phase->center_steps, (long)taken[1]);
        if (phase->taught == NULL) {
            return ERR_NONE;
        }
    }
    /* With a KL term the teacher's class means are needed after a checkpoint too; the centers then stay what was read. */
    float *read = err == ERR_NONE ? mem_copy(phase->centers, phase->center_floats * sizeof(float)) : NULL;
    if (err == ERR_NONE && read == NULL) {
        return ERR_NOMEM;
    }
    err = begin_centers(phase);
    if (read != NULL) {
        memcpy(phase->centers, read, phase->center_floats * sizeof(float));
    }
    mem_free(read);
    return err;
}

/* ---- The way ------------------------------------------------------------------------------------------------------ */

static size_t tapes_peak(const struct phase *phase)
{
    size_t bytes = 0;

    for (int t = 0; t < phase->threads; t++) {
        bytes += tape_peak_bytes(phase->worker[t].tape);
    }
    return bytes;
}

static void tell(const struct phase *phase, const struct train_result *result, int64_t start_ns, train_watch *watch,
                 void *context)
{
    double seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    struct train_step step = {.step = phase->step,
                              .steps = phase->steps,
                              .epoch = phase->epoch,
                              .point = &result->points[phase->step - 1],
                              .images_per_s = seconds > 0 ? phase->batch / seconds : 0,
                              .peak_bytes = tapes_peak(phase)};

    if (watch != NULL) {
        watch(context, &step);
    }
}

static enum err walk(struct phase *phase, struct train_result *result, const unsigned char *run_hash,
                     train_watch *watch, void *context)
{
    long every = phase->options->checkpoint_every;
    long saved = phase->step;
    enum err err = ERR_NONE;

    while (phase->step < phase->steps && err == ERR_NONE) {
        int64_t start = clock_monotonic_ns();
        phase->epoch = phase->step / phase->steps_per_epoch;
        err = cancel_asked(phase->cancel) ? ERR_CANCELLED : phase_choose(phase, phase->worker[0].mem);
        if (err == ERR_NONE) {
            err = phase_gradient(phase);
        }
        if (err == ERR_NONE) {
            err = phase_apply(phase, &result->points[phase->step]);
        }
        if (err != ERR_NONE) {
            break;
        }
        phase->step++;
        tell(phase, result, start, watch, context);
        point_reached("train.step");
        if ((every > 0 && phase->step % every == 0) || phase->step == phase->steps) {
            err = save(phase, result, run_hash);
            saved = phase->step;
            point_reached("train.checkpoint");
        }
    }
    if (err == ERR_CANCELLED && phase->step > saved) {
        enum err saving = save(phase, result, run_hash);
        err = saving == ERR_NONE ? err : saving;
    }
    return err;
}

static enum err carve_result(const struct phase *phase, struct train_result *result)
{
    result->steps = phase->steps;
    result->epochs = phase->options->epochs;
    result->classes = phase->classes;
    result->subcenters = phase->subcenters;
    result->points = ARENA_ARRAY(result->mem, struct train_point, result->steps);
    result->angles =
        result->points == NULL ? NULL : arena_alloc(result->mem, (size_t)result->epochs, sizeof *result->angles);
    if (result->angles != NULL && phase->options->centers_of != NULL) {
        result->centers_of = ARENA_ARRAY(result->mem, int, result->classes);
        if (result->centers_of == NULL) {
            return arena_why(result->mem);
        }
        memcpy(result->centers_of, phase->options->centers_of, (size_t)result->classes * sizeof(int));
    }
    return result->angles == NULL ? arena_why(result->mem) : ERR_NONE;
}

static void finish(struct phase *phase, struct train_result *result)
{
    result->peak_bytes = tapes_peak(phase);
    result->centers = phase->centers;
    if (!phase->options->objective.softmax) {
        int rows = phase->classes * phase->subcenters;
        for (int j = 0; j < rows; j++) {
            float *row = phase->centers + (size_t)j * (size_t)phase->dim;
            unit_rows(row, 1, phase->dim, row, &phase->length[j]);
        }
    }
}

enum err train_phase(struct student *student, const int *label, int classes, const struct train_options *options,
                     struct cancel *cancel, train_watch *watch, void *context, struct train_result *ret,
                     struct err_note *note)
{
    struct train_result result = {.mem = arena_new(RESULT_BYTES)};
    struct phase phase = {.student = student,
                          .parameters = student_parameters(student),
                          .options = options,
                          .cancel = cancel,
                          .dim = student_dim(student),
                          .threads = pool_threads(student_pool(student)),
                          .classes = classes,
                          .note = note};
    unsigned char run_hash[HASH_SHA256_BYTES];
    enum err err = result.mem == NULL ? ERR_NOMEM : prepare(&phase, label, result.mem);

    if (err == ERR_NONE) {
        err = carve_result(&phase, &result);
    }
    if (err == ERR_NONE) {
        phase.angle_bins = result.angles;
        hash_run(&phase, run_hash);
        err = begin(&phase, &result, run_hash);
    }
    if (err == ERR_NONE) {
        result.begun_at = phase.step;
        err = walk(&phase, &result, run_hash, watch, context);
    }
    if (err == ERR_NONE) {
        finish(&phase, &result);
    }
    release(&phase);
    if (err != ERR_NONE) {
        train_result_release(&result);
        return err;
    }
    *ret = result;
    return ERR_NONE;
}
