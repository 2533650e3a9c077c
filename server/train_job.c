/* train_job.c: plan in, candidate and report out. */
#include "server/train_job.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/cut.h"
#include "core/train/purify.h"
#include "core/train/trainer.h"
#include "server/crop_files.h"
#include "server/gallery/freeze.h"
#include "server/train_proof.h"

#define ARENA_BYTES ((size_t)16 << 30)
#define TELL_EVERY_NS 250000000
#define CHECKPOINT_STEPS 50
#define CHILD_NICE 10
#define PHOTOS_FOR_SUBCENTERS 10 /* fewer a person: three sub-centers would each have too few */
#define LEAST_HELD_PEOPLE 5

struct plan {
    const char *model, *version;
    int subcenters, epochs, threads;
    double margin, scale, freeze, purify_deg, holdout, gate;
    int64_t seed, memory_bytes;
};

struct run {
    const char *folder;
    struct plan plan;
    struct arena *mem;
    struct err_note *note;
    struct pool *pool;
    struct model *model;
    struct dataset *dataset;
    struct student *student;
    float *first_weights;

    int count, people, dim;
    const int *name;     /* [count] labels of the data set */
    unsigned char *held; /* [count] */
    bool held_people;
    int *label; /* [count] classes of training, -1: held out or dropped */
    int classes;
    bool *dropped; /* [count] by the refined rule */

    const char *phase;
    long steps_before, steps_all;
    int64_t told_ns;
    json_t *report;
};

static struct cancel stop;

static void on_signal(int number)
{
    (void)number;
    cancel_ask(&stop);
}

static void tell(json_t *take)
{
    if (take != NULL) {
        (void)json_dumpf(take, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        (void)putchar('\n');
        (void)fflush(stdout);
    }
    json_decref(take);
}

static void begin(struct run *run, const char *phase)
{
    run->phase = phase;
    tell(json_pack("{s:s, s:s}", "kind", "phase", "phase", phase));
}

static enum err spent(const struct run *run)
{
    return arena_why(run->mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

/* ---- The plan ------------------------------------------------------------------------------------------------------ */

static enum err read_plan(struct run *run)
{
    struct plan *plan = &run->plan;
    const char *path = arena_format(run->mem, "%s/plan.json", run->folder);
    const char *model = NULL;
    const char *version = NULL;
    json_int_t seed = 0;
    json_int_t memory = 0;

    if (path == NULL) {
        return spent(run);
    }
    json_t *root = json_load_file(path, 0, NULL);
    if (root == NULL ||
        json_unpack(root, "{s:s, s:s, s:i, s:F, s:F, s:i, s:F, s:F, s:F, s:F, s:I, s:i, s:I}", "model", &model,
                    "version", &version, "subcenters", &plan->subcenters, "margin", &plan->margin, "scale",
                    &plan->scale, "epochs", &plan->epochs, "freeze", &plan->freeze, "purify_deg", &plan->purify_deg,
                    "holdout", &plan->holdout, "gate", &plan->gate, "seed", &seed, "threads", &plan->threads,
                    "memory_bytes", &memory) != 0) {
        json_decref(root);
        return ERR_SAY(run->note, ERR_FORMAT, "%s is no plan of a training", path);
    }
    plan->model = arena_copy_text(run->mem, model);
    plan->version = arena_copy_text(run->mem, version);
    plan->seed = seed;
    plan->memory_bytes = memory;
    json_decref(root);
    return plan->model == NULL || plan->version == NULL ? spent(run) : ERR_NONE;
}

/* One process at a time works in a folder: another, whose daemon was killed, is waited for; it stops by itself. */
static enum err settle(struct run *run)
{
    const char *path = arena_format(run->mem, "%s/lock", run->folder);
    struct rlimit limit = {(rlim_t)run->plan.memory_bytes, (rlim_t)run->plan.memory_bytes};

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)setpriority(PRIO_PROCESS, 0, CHILD_NICE);
    if (run->plan.memory_bytes > 0 && setrlimit(RLIMIT_DATA, &limit) != 0) {
        return ERR_SAY(run->note, ERR_IO, "the memory of the training cannot be limited");
    }
    FILE *lock = path == NULL ? NULL : fopen(path, "we");
    if (lock == NULL || flock(fileno(lock), LOCK_EX) != 0) { /* held until the process ends */
        return ERR_SAY(run->note, ERR_IO, "the folder %s cannot be locked", run->folder);
    }
    return ERR_NONE;
}

/* ---- Data ---------------------------------------------------------------------------------------------------------- */

/* Holds out people, or where they are too few, every so many-th photo of everybody who has enough. */
static enum err split(struct run *run)
{
    unsigned char *held = ARENA_ARRAY(run->mem, unsigned char, run->people);
    int *seen = ARENA_ARRAY(run->mem, int, run->people);
    int *class = ARENA_ARRAY(run->mem, int, run->people);
    int every = run->plan.holdout > 0 ? (int)lround(1 / run->plan.holdout) : INT_MAX;

    run->held = ARENA_ARRAY(run->mem, unsigned char, run->count);
    run->label = ARENA_ARRAY(run->mem, int, run->count);
    if (held == NULL || seen == NULL || class == NULL || run->held == NULL || run->label == NULL) {
        return spent(run);
    }
    int n_held = split_people(run->name, run->count, run->people, run->plan.holdout, 2, (uint64_t)run->plan.seed, held);
    run->held_people = n_held >= LEAST_HELD_PEOPLE;
    for (int i = 0; i < run->count; i++) {
        int p = run->name[i];
        run->held[i] = run->held_people ? held[p] : ++seen[p] % every == 0;
    }
    for (int i = 0; i < run->count; i++) {
        int p = run->name[i];
        if (!run->held[i] && class[p] == 0) {
            class[p] = ++run->classes;
        }
        run->label[i] = run->held[i] ? -1 : class[p] - 1;
    }
    return run->classes >= 2
               ? ERR_NONE
               : ERR_SAY(run->note, ERR_FORMAT, "of %d people %d are left to train on", run->people, run->classes);
}

static enum err open_data(struct run *run)
{
    const char *path = arena_format(run->mem, "%s/%s", run->folder, FREEZE_DATASET);

    if (path == NULL) {
        return spent(run);
    }
    enum err err = dataset_open(path, &run->dataset, run->note);
    if (err != ERR_NONE) {
        return err;
    }
    run->count = dataset_count(run->dataset);
    run->people = dataset_people(run->dataset);
    run->dropped = ARENA_ARRAY(run->mem, bool, run->count);
    int *name = ARENA_ARRAY(run->mem, int, run->count);
    if (run->dropped == NULL || name == NULL) {
        return spent(run);
    }
    for (int i = 0; i < run->count; i++) {
        name[i] = dataset_label(run->dataset, i);
    }
    run->name = name;
    return split(run);
}

static enum err open_student(struct run *run)
{
    struct student_options options = {
        .how = run->model->manifest.how, .augment = augment_default(), .seed = (uint64_t)run->plan.seed};
    const unsigned char *bytes = NULL;
    struct graph *graph = NULL;
    size_t n_bytes = 0;

    begin(run, "frozen layers");
    enum err err = file_map(run->plan.model, MODEL_LIMIT_BYTES, &bytes, &n_bytes, run->note);
    if (err == ERR_NONE) {
        err = student_load(bytes, n_bytes, &graph, run->note);
        file_unmap(bytes, n_bytes);
    }
    if (err == ERR_NONE && run->plan.freeze > 0) {
        const char *cut = NULL;
        err = cut_find(graph, 1 - run->plan.freeze, &cut, run->note);
        options.cut = err != ERR_NONE ? NULL : arena_copy_text(run->mem, cut);
        err = err == ERR_NONE && options.cut == NULL ? spent(run) : err;
    }
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    err = student_new(graph, run->dataset, &options, run->pool, &stop, &run->student, run->note);
    if (err != ERR_NONE) {
        return err;
    }
    const struct parameters *parameters = student_parameters(run->student);
    run->dim = student_dim(run->student);
    run->first_weights = ARENA_ARRAY(run->mem, float, parameters->n_floats);
    if (run->first_weights == NULL) {
        return spent(run);
    }
    memcpy(run->first_weights, parameters->values, parameters->n_floats * sizeof(float));
    return ERR_NONE;
}

/* ---- Phases -------------------------------------------------------------------------------------------------------- */

static void watch(void *context, const struct train_step *step)
{
    struct run *run = context;
    int64_t now = clock_monotonic_ns();
    long done = run->steps_before + step->step;

    if (now - run->told_ns < TELL_EVERY_NS && step->step < step->steps) {
        return;
    }
    run->told_ns = now;
    double left_s =
        step->images_per_s > 0 ? (double)(run->steps_all - done) * train_default().batch / step->images_per_s : 0;
    tell(json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f}", "kind", "step", "phase", run->phase, "step", (json_int_t)done,
                   "steps", (json_int_t)run->steps_all, "loss", (double)step->point->loss, "rate",
                   (double)step->point->rate, "eta_s", left_s));
}

static int n_training(const struct run *run)
{
    int n = 0;

    for (int i = 0; i < run->count; i++) {
        n += run->label[i] >= 0;
    }
    return n;
}

static long steps_of(const struct run *run, int epochs)
{
    int batch = train_default().batch;
    int n = n_training(run);

    return (long)(n < batch ? 1 : n / batch) * epochs;
}

static enum err run_phase(struct run *run, const char *name, int subcenters, int epochs, struct train_result *ret)
{
    struct train_options options = train_default();
    const char *folder = arena_format(run->mem, "%s/%s", run->folder, name);

    if (folder == NULL) {
        return spent(run);
    }
    begin(run, name);
    options.objective.subcenters = subcenters;
    options.objective.margin.m2 = (float)run->plan.margin;
    options.objective.margin.scale = (float)run->plan.scale;
    options.objective.distill_l2 = 1;
    options.epochs = epochs;
    options.seed = (uint64_t)run->plan.seed;
    options.checkpoint_folder = folder;
    options.checkpoint_every = CHECKPOINT_STEPS;
    enum err err = folder_make(folder, run->note);
    return err != ERR_NONE
               ? err
               : train_phase(run->student, run->label, run->classes, &options, &stop, watch, run, ret, run->note);
}

/* Three sub-centers where most people have photos enough for three groups. */
static int choose_subcenters(const struct run *run)
{
    int enough = 0;
    int *photos = ARENA_ARRAY(run->mem, int, run->classes);

    if (run->plan.subcenters > 0 || photos == NULL) {
        return run->plan.subcenters > 0 ? run->plan.subcenters : 1;
    }
    for (int i = 0; i < run->count; i++) {
        if (run->label[i] >= 0) {
            photos[run->label[i]]++;
        }
    }
    for (int j = 0; j < run->classes; j++) {
        enough += photos[j] >= PHOTOS_FOR_SUBCENTERS;
    }
    return 2 * enough > run->classes ? 3 : 1;
}

/* ---- Purifying ----------------------------------------------------------------------------------------------------- */

/* Rows of the faces that a rule drops; verdict NULL: of all that were judged. */
static json_t *ids_of(const struct run *run, const int *item, const struct verdict *verdict, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) {
        if (verdict == NULL || !verdict[i].keep) {
            (void)json_array_append_new(list, json_integer(dataset_id(run->dataset, item[i])));
        }
    }
    return list;
}

static enum err write_json(const struct run *run, const char *name, const json_t *root)
{
    const char *path = arena_format(run->mem, "%s/%s", run->folder, name);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));

    if (path == NULL || text == NULL) {
        free(text); /* foreign heap: jansson's */
        return ERR_NOMEM;
    }
    enum err err = file_write(path, text, strlen(text), run->note);
    free(text); /* foreign heap: jansson's */
    return err;
}

/* Numbers the classes that are left anew. */
static enum err renumber(struct run *run)
{
    int *number = ARENA_ARRAY(run->mem, int, run->classes);
    int left = 0;

    if (number == NULL) {
        return spent(run);
    }
    for (int i = 0; i < run->count; i++) {
        if (run->label[i] >= 0) {
            if (number[run->label[i]] == 0) {
                number[run->label[i]] = ++left;
            }
            run->label[i] = number[run->label[i]] - 1;
        }
    }
    run->classes = left;
    return left >= 2 ? ERR_NONE
                     : ERR_SAY(run->note, ERR_FORMAT,
                               "purifying leaves %d people: these names say nothing about the faces", left);
}

/*
 * Both rules judge the photos in training; those of the refined one are dropped.  The plain rule needs the sub-centers and looks
 * through the network that learnt them; the refined one looks through the network as it was before, because what has been
 * trained on wrong names has bent towards them.
 */
static enum err purify(struct run *run, const struct train_result *first)
{
    size_t dim = (size_t)run->dim;
    float *u = ARENA_ARRAY(run->mem, float, (size_t)run->count *dim);
    float *taught = ARENA_ARRAY(run->mem, float, (size_t)run->count *dim);
    const float *teacher = student_teacher(run->student);
    int *item = ARENA_ARRAY(run->mem, int, run->count);
    int *label = ARENA_ARRAY(run->mem, int, run->count);
    struct verdict *plain = ARENA_ARRAY(run->mem, struct verdict, run->count);
    struct verdict *refined = ARENA_ARRAY(run->mem, struct verdict, run->count);
    float degrees = (float)run->plan.purify_deg;
    int n = 0;
    int n_dropped = 0;
    int n_plain = 0;

    begin(run, "purify");
    if (u == NULL || taught == NULL || item == NULL || label == NULL || plain == NULL || refined == NULL) {
        return spent(run);
    }
    enum err err = student_embed(run->student, &stop, u, run->note);
    for (int i = 0; i < run->count && err == ERR_NONE; i++) {
        if (run->label[i] >= 0) {
            memmove(u + (size_t)n * dim, u + (size_t)i * dim, dim * sizeof *u);
            memcpy(taught + (size_t)n * dim, teacher + (size_t)i * dim, dim * sizeof *taught);
            label[n] = run->label[i];
            item[n++] = i;
        }
    }
    if (err == ERR_NONE) {
        err = purify_plain(u, label, n, run->dim, first->centers, first->classes, first->subcenters, degrees, run->mem,
                           plain);
    }
    if (err == ERR_NONE) {
        err = purify_refined(taught, label, n, run->dim, run->classes, degrees, run->mem, refined);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < n; i++) {
        n_plain += !plain[i].keep;
        if (!refined[i].keep) {
            n_dropped++;
            run->dropped[item[i]] = true;
            run->label[item[i]] = -1;
        }
    }
    json_t *ids = json_pack("{s:o, s:o, s:o}", "judged", ids_of(run, item, NULL, n), "plain",
                            ids_of(run, item, plain, n), "refined", ids_of(run, item, refined, n));
    err = write_json(run, "dropped.json", ids);
    json_decref(ids);
    (void)json_object_set_new(run->report, "purified",
                              json_pack("{s:i, s:i, s:i, s:f, s:i}", "photos", n, "plain", n_plain, "refined",
                                        n_dropped, "max_degrees", run->plan.purify_deg, "subcenters",
                                        first->subcenters));
    return err == ERR_NONE ? renumber(run) : err;
}

/* ---- The run ------------------------------------------------------------------------------------------------------- */

static json_t *phase_json(const struct train_result *result)
{
    const struct train_point *last = result->steps > 0 ? &result->points[result->steps - 1] : NULL;

    return json_pack("{s:I, s:I, s:i, s:f, s:f, s:I}", "steps", (json_int_t)result->steps, "resumed_at",
                     (json_int_t)result->begun_at, "classes", result->classes, "loss",
                     last == NULL ? 0 : (double)last->loss, "correct", last == NULL ? 0 : (double)last->correct,
                     "peak_bytes", (json_int_t)result->peak_bytes);
}

static enum err train(struct run *run)
{
    struct train_result first = {0};
    struct train_result last = {0};
    int epochs = run->plan.epochs < 3 ? 1 : run->plan.epochs / 3;

    long first_steps = steps_of(run, epochs);
    run->steps_all = first_steps + steps_of(run, run->plan.epochs);
    enum err err = run_phase(run, "first", choose_subcenters(run), epochs, &first);
    if (err == ERR_NONE) {
        err = purify(run, &first);
    }
    if (err == ERR_NONE) {
        const struct parameters *parameters = student_parameters(run->student);
        memcpy(parameters->values, run->first_weights, parameters->n_floats * sizeof(float));
        run->steps_before = first_steps;
        run->steps_all = first_steps + steps_of(run, run->plan.epochs);
        err = run_phase(run, "last", 1, run->plan.epochs, &last);
    }
    if (err == ERR_NONE) {
        (void)json_object_set_new(run->report, "first", phase_json(&first));
        (void)json_object_set_new(run->report, "last", phase_json(&last));
    }
    train_result_release(&first);
    train_result_release(&last);
    return err;
}

static enum err prove(struct run *run)
{
    struct proof_question question = {.before = run->model,
                                      .dataset = run->dataset,
                                      .person = run->name,
                                      .held = run->held,
                                      .dropped = run->dropped,
                                      .count = run->count,
                                      .people = run->people,
                                      .held_people = run->held_people,
                                      .allowed_loss = run->plan.gate / 100,
                                      .purify_deg = (float)run->plan.purify_deg,
                                      .seed = (uint64_t)run->plan.seed,
                                      .threads = pool_threads(run->pool)};
    unsigned char *onnx = NULL;
    char *manifest = NULL;

    begin(run, "measuring");
    enum err err = student_save(run->student, &onnx, &question.n_bytes, run->note);
    if (err == ERR_NONE) {
        question.onnx = onnx;
        err = proof_make(&question, run->mem, run->report, &manifest, run->note);
    }
    const char *path = arena_format(run->mem, "%s/candidate.onnx", run->folder);
    const char *beside = arena_format(run->mem, "%s/candidate.onnx.json", run->folder);
    if (err == ERR_NONE && (path == NULL || beside == NULL)) {
        err = spent(run);
    }
    if (err == ERR_NONE) {
        err = file_write(path, onnx, question.n_bytes, run->note);
    }
    if (err == ERR_NONE) {
        err = file_write(beside, manifest, strlen(manifest), run->note);
    }
    free(manifest); /* foreign heap: jansson's */
    mem_free(onnx);
    return err == ERR_NONE ? write_json(run, "report.json", run->report) : err;
}

static enum err run_all(struct run *run)
{
    enum err err = read_plan(run);

    if (err == ERR_NONE) {
        err = settle(run);
    }
    if (err == ERR_NONE) {
        err = pool_new(run->plan.threads, &run->pool);
    }
    if (err == ERR_NONE) {
        err = model_load(run->plan.model, MODEL_RECOGNIZER, &run->model, run->note);
    }
    if (err == ERR_NONE) {
        err = open_data(run);
    }
    if (err == ERR_NONE) {
        err = open_student(run);
    }
    if (err == ERR_NONE) {
        run->report = json_pack("{s:s, s:i, s:i, s:i, s:s, s:i}", "from", run->plan.version, "people", run->people,
                                "photos", run->count, "photos_trained_on", n_training(run), "held_out",
                                run->held_people ? "people" : "photos", "epochs", run->plan.epochs);
        err = run->report == NULL ? ERR_NOMEM : train(run);
    }
    return err == ERR_NONE ? prove(run) : err;
}

int train_job(const char *folder)
{
    struct err_note note = {0};
    struct sigaction action = {.sa_handler = on_signal};
    struct run run = {.folder = folder, .note = &note, .mem = arena_new(ARENA_BYTES)};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    enum err err = run.mem == NULL ? ERR_NOMEM : run_all(&run);
    if (err == ERR_NONE) {
        tell(json_pack("{s:s}", "kind", "done"));
    } else {
        const char *sentence = note.text[0] != '\0' ? note.text
                               : err == ERR_NOMEM   ? "the training needs more memory than it may use"
                                                    : err_word(err);
        tell(json_pack("{s:s, s:s, s:s}", "kind", "failed", "code", err_word(err), "text", sentence));
    }
    json_decref(run.report);
    student_free(run.student);
    dataset_close(run.dataset);
    model_free(run.model);
    pool_free(run.pool);
    arena_free(run.mem);
    return err == ERR_NONE ? 0 : 1;
}
