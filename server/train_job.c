/* train_job.c: plan in, candidate and report out. */
#include "server/train_job.h"

#include <jansson.h>
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
#include "core/base/point.h"
#include "core/train/course.h"
#include "core/train/cut.h"
#include "server/crop_files.h"
#include "server/gallery/freeze.h"
#include "server/jobs/training_findings.h"
#include "server/train_proof.h"

#define ARENA_BYTES ((size_t)16 << 30)
#define TELL_EVERY_NS 250000000
#define CHECKPOINT_STEPS 50
#define CHILD_NICE 10
#define NEGATIVES_BYTES ((size_t)512 << 20)

struct plan {
    const char *model, *version;
    int subcenters, epochs, threads;
    double margin, scale, rate, distill, kl, freeze, purify_deg, holdout, gate;
    const char *loss;
    enum course_rule rule;
    int64_t seed, memory_bytes;
    bool has_guard;
};

struct run {
    const char *folder;
    struct plan plan;
    struct arena *mem;
    struct err_note *note;
    struct pool *pool;
    struct model *model;
    struct dataset *dataset;
    struct dataset *guard; /* NULL: none is named */
    struct student *student;

    int count, people;
    const int *name; /* [count] labels of the data set */
    struct parts parts;
    struct course_result course;
    int64_t told_ns;
    json_t *report;
    const char *folded; /* what the model has lost, a sentence; NULL: nothing */
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

static void begin(const char *phase)
{
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
    const char *loss = NULL;
    const char *guard = NULL;
    const char *rule = "refined";
    json_int_t seed = 0;
    json_int_t memory = 0;

    if (path == NULL) {
        return spent(run);
    }
    json_t *root = json_load_file(path, 0, NULL);
    if (root == NULL ||
        json_unpack(root,
                    "{s:s, s:s, s:s, s:i, s:F, s:F, s:F, s:F, s:F, s:i, s:F, s:F, s:F, s:F, s:I, s:i, s:I, s?s, s?s}",
                    "model", &model, "version", &version, "loss", &loss, "subcenters", &plan->subcenters, "margin",
                    &plan->margin, "scale", &plan->scale, "rate", &plan->rate, "distill", &plan->distill, "kl",
                    &plan->kl, "epochs", &plan->epochs, "freeze", &plan->freeze, "purify_deg", &plan->purify_deg,
                    "holdout", &plan->holdout, "gate", &plan->gate, "seed", &seed, "threads", &plan->threads,
                    "memory_bytes", &memory, "guard", &guard, "rule", &rule) != 0) {
        json_decref(root);
        return ERR_SAY(run->note, ERR_FORMAT, "%s is no plan of a training", path);
    }
    plan->model = arena_copy_text(run->mem, model);
    plan->version = arena_copy_text(run->mem, version);
    plan->loss = arena_copy_text(run->mem, loss);
    plan->has_guard = guard != NULL;
    plan->rule = strcmp(rule, "plain") == 0 ? COURSE_PLAIN : COURSE_REFINED;
    plan->seed = seed;
    plan->memory_bytes = memory;
    json_decref(root);
    return plan->model == NULL || plan->version == NULL || plan->loss == NULL ? spent(run) : ERR_NONE;
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

static enum err open_data(struct run *run)
{
    const char *path = arena_format(run->mem, "%s/" FREEZE_DATASET, run->folder);
    const char *guard = arena_format(run->mem, "%s/" FREEZE_GUARD "/" FREEZE_DATASET, run->folder);

    if (path == NULL || guard == NULL) {
        return spent(run);
    }
    enum err err = dataset_open(path, &run->dataset, run->note);
    if (err == ERR_NONE && run->plan.has_guard) {
        err = dataset_open(guard, &run->guard, run->note);
    }
    if (err == ERR_NONE && run->guard != NULL && dataset_side(run->guard) != run->model->side) {
        err = ERR_SAY(run->note, ERR_CONFLICT, "the guard's crops are %d pixels a side, the model takes %d",
                      dataset_side(run->guard), run->model->side);
    }
    if (err != ERR_NONE) {
        return err;
    }
    run->count = dataset_count(run->dataset);
    run->people = dataset_people(run->dataset);
    int *name = ARENA_ARRAY(run->mem, int, run->count);
    if (name == NULL) {
        return spent(run);
    }
    for (int i = 0; i < run->count; i++) {
        name[i] = dataset_label(run->dataset, i);
    }
    run->name = name;
    return parts_make(name, run->count, run->people, run->plan.holdout, (uint64_t)run->plan.seed, run->mem, &run->parts,
                      run->note);
}

static enum err open_student(struct run *run)
{
    struct student_options options = {
        .how = run->model->manifest.how, .augment = augment_default(), .seed = (uint64_t)run->plan.seed};
    const unsigned char *bytes = NULL;
    struct graph *graph = NULL;
    size_t n_bytes = 0;

    begin("frozen layers");
    enum err err = file_map(run->plan.model, MODEL_LIMIT_BYTES, &bytes, &n_bytes, run->note);
    if (err == ERR_NONE) {
        err = student_load(bytes, n_bytes, &graph, run->note);
        file_unmap(bytes, n_bytes);
    }
    if (err == ERR_NONE) {
        char text[STUDENT_FOLDED_TEXT];
        run->folded = student_is_folded(graph, text) ? arena_copy_text(run->mem, text) : NULL;
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
    return student_new(graph, run->dataset, &options, run->pool, &stop, &run->student, run->note);
}

/* ---- The course ---------------------------------------------------------------------------------------------------- */

static void watch(void *context, const struct course_step *told)
{
    struct run *run = context;
    const struct train_step *step = told->step;
    int64_t now = clock_monotonic_ns();

    if (step == NULL) {
        begin(told->phase);
        return;
    }
    if (now - run->told_ns < TELL_EVERY_NS && step->step < step->steps) {
        return;
    }
    run->told_ns = now;
    double left_s =
        step->images_per_s > 0 ? (double)(told->all - told->done) * train_default().batch / step->images_per_s : 0;
    tell(json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f}", "kind", "step", "phase", told->phase, "step",
                   (json_int_t)told->done, "steps", (json_int_t)told->all, "loss", (double)step->point->loss, "rate",
                   (double)step->point->rate, "eta_s", left_s));
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

/* Rows of the faces that a rule drops; verdict NULL: of all that were judged. */
static json_t *ids_of(const struct run *run, const struct verdict *verdict)
{
    json_t *list = json_array();

    for (int i = 0; i < run->course.n_judged; i++) {
        if (verdict == NULL || !verdict[i].keep) {
            (void)json_array_append_new(list, json_integer(dataset_id(run->dataset, run->course.item[i])));
        }
    }
    return list;
}

/* The photos that the wanted rule drops, with what it says of each (server/jobs/training_findings.h). */
static json_t *found_of(const struct run *run)
{
    const struct course_result *course = &run->course;
    const struct verdict *verdict = run->plan.rule == COURSE_PLAIN ? course->plain : course->refined;
    json_t *list = json_array();

    for (int i = 0; i < course->n_judged; i++) {
        const struct verdict *v = &verdict[i];
        if (!v->keep) {
            int likely = v->likely < 0 ? -1 : course->person_of[v->likely];
            (void)json_array_append_new(list, json_pack("{s:I, s:i, s:i, s:f, s:i, s:f}", "face",
                                                        (json_int_t)dataset_id(run->dataset, course->item[i]), "label",
                                                        course->person_of[course->class_of[i]], "subcenter",
                                                        v->subcenter, "degrees", (double)v->degrees, "likely", likely,
                                                        "likely_degrees", (double)v->likely_degrees));
        }
    }
    return list;
}

static json_t *phase_json(const struct train_result *result)
{
    const struct train_point *last = result->steps > 0 ? &result->points[result->steps - 1] : NULL;

    return json_pack("{s:I, s:I, s:i, s:f, s:f, s:I}", "steps", (json_int_t)result->steps, "resumed_at",
                     (json_int_t)result->begun_at, "classes", result->classes, "loss",
                     last == NULL ? 0 : (double)last->loss, "correct", last == NULL ? 0 : (double)last->correct,
                     "peak_bytes", (json_int_t)result->peak_bytes);
}

static json_t *share_json(const struct course_result *course)
{
    json_t *tried = json_array();

    if (!course->blended) {
        json_decref(tried);
        return json_null();
    }
    for (int k = 0; k < BLEND_SHARES; k++) {
        (void)json_array_append_new(tried, json_pack("{s:f, s:f}", "share", (double)course->blend.shares[k], "mean_tar",
                                                     course->blend.score[k]));
    }
    return json_pack("{s:f, s:o}", "chosen", (double)course->blend.share, "tried", tried);
}

/* Directions of people who are enrolled beside those of the data set (server/gallery/freeze.h); none without a file. */
static enum err read_negatives(struct run *run, struct train_options *options)
{
    const char *path = arena_format(run->mem, "%s/" FREEZE_NEGATIVES, run->folder);
    size_t row_bytes = (size_t)run->model->dim * sizeof(float);
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    if (path == NULL) {
        return spent(run);
    }
    enum err err = file_read(path, NEGATIVES_BYTES, &bytes, &n_bytes, run->note);
    if (err == ERR_NOT_FOUND) {
        *run->note = (struct err_note){0};
        return ERR_NONE;
    }
    if (err == ERR_NONE && n_bytes % row_bytes != 0) {
        err = ERR_SAY(run->note, ERR_CORRUPT, "%s holds no whole embeddings of %d numbers", path, run->model->dim);
    }
    float *rows = err != ERR_NONE ? NULL : arena_alloc(run->mem, n_bytes / row_bytes, row_bytes);
    if (rows != NULL) {
        memcpy(rows, bytes, n_bytes);
        options->frozen = rows;
        options->n_frozen = (int)(n_bytes / row_bytes);
    } else if (err == ERR_NONE) {
        err = spent(run);
    }
    mem_free_wiped(bytes);
    return err;
}

static enum err train(struct run *run)
{
    struct course_options options = course_default();
    struct course_result *course = &run->course;

    enum err err = objective_choose(&options.train.objective, run->plan.loss, run->note);
    if (err != ERR_NONE) {
        return err;
    }
    if (run->plan.margin > 0) { /* else the loss's own */
        options.train.objective.margin.m2 = (float)run->plan.margin;
    }
    if (run->plan.scale > 0) {
        options.train.objective.margin.scale = (float)run->plan.scale;
    }
    options.train.objective.distill_l2 = (float)run->plan.distill;
    options.train.objective.distill_kl = (float)run->plan.kl;
    options.train.schedule.rate = (float)run->plan.rate;
    options.train.epochs = run->plan.epochs;
    options.train.seed = (uint64_t)run->plan.seed;
    options.train.checkpoint_every = CHECKPOINT_STEPS;
    options.subcenters = run->plan.subcenters;
    options.rule = run->plan.rule;
    options.purify_degrees = (float)run->plan.purify_deg;
    options.folder = run->folder;
    err = read_negatives(run, &options.train);
    if (err != ERR_NONE) {
        return err;
    }
    err = course_run(run->student, run->name, run->people, &run->parts, &options, &stop, watch, run, run->mem, course,
                     run->note);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *ids = json_pack("{s:o, s:o, s:o}", "judged", ids_of(run, NULL), "plain", ids_of(run, course->plain),
                            "refined", ids_of(run, course->refined));
    err = write_json(run, "dropped.json", ids);
    json_decref(ids);
    if (err == ERR_NONE) {
        json_t *found = found_of(run);
        err = write_json(run, TRAINING_FOUND, found);
        json_decref(found);
    }
    json_t *purified = json_pack(
        "{s:s, s:i, s:i, s:i, s:f, s:i, s:i}", "rule", run->plan.rule == COURSE_PLAIN ? "plain" : "refined", "photos",
        course->n_judged, "plain", course->n_plain, "refined", course->n_refined, "max_degrees", run->plan.purify_deg,
        "subcenters", course->subcenters, "people_with_subcenters", course->n_subcenters);
    (void)json_object_set_new(run->report, "purified", purified);
    (void)json_object_set_new(run->report, "photos_trained_on", json_integer(course->n_taught));
    (void)json_object_set_new(run->report, "people_trained_on", json_integer(course->classes));
    (void)json_object_set_new(run->report, "photos_distilled_only", json_integer(course->n_followed));
    (void)json_object_set_new(run->report, "people_kept_away_from",
                              json_integer(options.train.n_frozen + course->n_frozen));
    (void)json_object_set_new(run->report, "first", phase_json(&course->first));
    (void)json_object_set_new(run->report, "last", phase_json(&course->last));
    (void)json_object_set_new(run->report, "share", share_json(course));
    return err;
}

static enum err prove(struct run *run)
{
    struct proof_question question = {.before = run->model,
                                      .dataset = run->dataset,
                                      .guard = run->guard,
                                      .person = run->name,
                                      .parts = &run->parts,
                                      .dropped = run->course.dropped,
                                      .count = run->count,
                                      .people = run->people,
                                      .allowed_loss = run->plan.gate / 100,
                                      .purify_deg = (float)run->plan.purify_deg,
                                      .seed = (uint64_t)run->plan.seed,
                                      .threads = pool_threads(run->pool),
                                      .cancel = &stop};
    unsigned char *onnx = NULL;
    char *manifest = NULL;

    begin("measuring");
    point_reached("train.learnt");
    enum err err = student_save(run->student, &onnx, &question.n_bytes, run->note);
    if (err == ERR_NONE) {
        question.onnx = onnx;
        err = proof_make(&question, run->mem, run->report, &manifest, run->note);
    }
    point_reached("train.measured");
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
    point_reached("train.candidate");
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
        run->report = json_pack("{s:s, s:i, s:i, s:s, s:i, s:i}", "from", run->plan.version, "people", run->people,
                                "photos", run->count, "held_out", run->parts.held_people ? "people" : "photos",
                                "people_choosing", run->parts.choosing, "epochs", run->plan.epochs);
        if (run->report != NULL && run->folded != NULL) {
            (void)json_object_set_new(run->report, "folded", json_string(run->folded));
        }
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
    course_release(&run.course);
    student_free(run.student);
    dataset_close(run.guard);
    dataset_close(run.dataset);
    model_free(run.model);
    pool_free(run.pool);
    arena_free(run.mem);
    return err == ERR_NONE ? 0 : 1;
}
