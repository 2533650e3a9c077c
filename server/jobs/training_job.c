/* training_job.c: freeze, spawn, listen, take. */
#include "server/jobs/training_job.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/point.h"
#include "server/daemon/metrics.h"
#include "server/gallery/freeze.h"
#include "server/gallery/retrain.h"
#include "server/jobs/child.h"
#include "server/jobs/gallery_jobs.h"
#include "server/jobs/training_findings.h"

#define WORKER_ARENA_BYTES ((size_t)256 << 20)
#define WRITE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))
#define MOST_STARTS 3
#define TELL_EVERY_NS 1000000000
#define REPORT_BYTES ((size_t)1 << 20)

struct training {
    const struct training_job *job;
    struct job_run *run;
    struct gallery_worker *worker;
    json_t *arguments;
    char folder[PATH_MAX - 64]; /* what lies in it has short names */
    struct gallery_fault fault;
    bool done;  /* said by the child */
    int starts; /* of the child, by this daemon */
    int64_t told_ns;
    char code[32], text[200];
};

/* ---- The folder ---------------------------------------------------------------------------------------------------- */

static bool is_kept(const char *name)
{
    return strcmp(name, "report.json") == 0 || strcmp(name, "dropped.json") == 0 || strcmp(name, TRAINING_LOG) == 0;
}

/* Removes all but the reports and the log; checkpoints lie one folder deeper. */
static void clear_folder(const char *folder, int deeper)
{
    DIR *dir = opendir(folder);
    char path[PATH_MAX];

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_kept(entry->d_name) ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path) {
            continue;
        }
        if (unlink(path) != 0 && deeper > 0) {
            clear_folder(path, deeper - 1);
            (void)rmdir(path);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* A path in the folder; ret holds PATH_MAX. */
static const char *in_folder(const struct training *training, const char *name, char *ret)
{
    (void)snprintf(ret, PATH_MAX, "%s/%s", training->folder, name);
    return ret;
}

static enum err make_folder(struct training *training)
{
    long long id = job_run_row(training->run)->id;

    if (snprintf(training->folder, sizeof training->folder, "%s/jobs/%lld", training->job->data, id) >=
        (int)sizeof training->folder) {
        return ERR_SAY(&training->fault.note, ERR_MISUSE, "the path of the data folder is too long");
    }
    return folder_make(training->folder, &training->fault.note);
}

/* ---- Freezing ------------------------------------------------------------------------------------------------------ */

static void tell_progress(void *context, int64_t done, int64_t total, const char *unit)
{
    job_run_progress(context, done, total, unit);
}

static enum err write_plan(struct training *training, const struct freezable *found)
{
    const char *model = gallery_model_path(training->worker, training->job->data, &found->model);
    json_t *plan = json_copy(training->arguments);
    char path[PATH_MAX];

    if (model == NULL || plan == NULL ||
        json_object_update_new(plan, json_pack("{s:s, s:s, s:i, s:I}", "model", model, "version", found->model.version,
                                               "threads", cpu_count(), "memory_bytes",
                                               (json_int_t)training->job->memory_bytes)) != 0) {
        json_decref(plan);
        return ERR_NOMEM;
    }
    char *text = json_dumps(plan, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(plan);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    enum err err = file_write(in_folder(training, "plan.json", path), text, strlen(text), &training->fault.note);
    free(text); /* foreign heap: jansson's */
    return err;
}

static enum err freeze_one(struct training *training, const char *collection, const char *filter, const char *folder,
                           const struct long_work *work, struct freezable *ret)
{
    enum err err = folder_make(folder, &training->fault.note);

    return err == ERR_NONE ? gallery_freeze(training->worker, collection, filter, folder, work, ret, &training->fault)
                           : err;
}

/* The plan is written last: where it is, the crops are whole, and the job goes on with them. */
static enum err freeze(struct training *training)
{
    const struct long_work work = {.progress = tell_progress,
                                   .context = training->run,
                                   .cancel = job_run_cancel(training->run),
                                   .actor = "daemon"};
    const char *guard = json_string_value(json_object_get(training->arguments, "guard"));
    const char *collection = json_string_value(json_object_get(training->arguments, "collection"));
    const char *filter = json_string_value(json_object_get(training->arguments, "filter"));
    struct freezable found = {0};
    struct freezable guarded = {0};
    int n_negatives = 0;
    char path[PATH_MAX];
    enum err err = ERR_NONE;

    if (file_exists(in_folder(training, "plan.json", path))) {
        return ERR_NONE;
    }
    if (guard != NULL) {
        err = freeze_one(training, guard, NULL, in_folder(training, FREEZE_GUARD, path), &work, &guarded);
    }
    if (err == ERR_NONE) {
        err = freeze_one(training, collection, filter, training->folder, &work, &found);
    }
    if (err == ERR_NONE) {
        err =
            gallery_freeze_negatives(training->worker, &found, training->folder, &work, &n_negatives, &training->fault);
    }
    point_reached("training.frozen");
    if (err == ERR_NONE) {
        err = write_plan(training, &found);
    }
    gallery_worker_reset(training->worker);
    return err;
}

/* ---- The child ----------------------------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, const json_t *line, const char *member)
{
    const char *text = json_string_value(json_object_get(line, member));

    (void)snprintf(to, room, "%s", text == NULL ? "" : text);
}

/* What the child is at, for who asks; what a run goes on from lies in its folder. */
static void tell_now(struct training *training, const json_t *line, bool phase)
{
    int64_t now = clock_monotonic_ns();
    const json_t *loss = json_object_get(line, "loss");
    const json_t *rate = json_object_get(line, "rate");

    if (!phase && now - training->told_ns < TELL_EVERY_NS) {
        return;
    }
    training->told_ns = now;
    json_t *said = json_pack("{s:O, s:O*, s:O*}", "phase", json_object_get(line, "phase"), "loss", loss, "rate", rate);
    char *text = said == NULL ? NULL : json_dumps(said, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text != NULL) {
        (void)!job_run_checkpoint(training->run, text, NULL); /* not being told is no reason to fail */
    }
    free(text); /* foreign heap: jansson's */
    json_decref(said);
}

/* A line more in the log, which stays when the job is over.  A disk that is full takes none, which is no reason to fail. */
static void keep_line(const struct training *training, const char *text)
{
    char path[PATH_MAX];
    FILE *log = fopen(in_folder(training, TRAINING_LOG, path), "ae");

    if (log != NULL) {
        if (fseek(log, 0, SEEK_END) == 0 && ftell(log) < TRAINING_LOG_BYTES) {
            (void)fprintf(log, "%s\n", text);
        }
        (void)fclose(log);
    }
}

static void hear(void *context, const char *text)
{
    struct training *training = context;
    json_t *line = json_loads(text, 0, NULL);
    const char *kind = json_string_value(json_object_get(line, "kind"));

    keep_line(training, text);
    if (kind != NULL && strcmp(kind, "step") == 0) {
        job_run_progress(training->run, json_integer_value(json_object_get(line, "step")),
                         json_integer_value(json_object_get(line, "steps")), "steps");
        tell_now(training, line, false);
    } else if (kind != NULL && strcmp(kind, "phase") == 0) {
        tell_now(training, line, true);
    } else if (kind != NULL && strcmp(kind, "failed") == 0) {
        copy_text(training->code, sizeof training->code, line, "code");
        copy_text(training->text, sizeof training->text, line, "text");
    } else if (kind != NULL && strcmp(kind, "done") == 0) {
        training->done = true;
    }
    json_decref(line);
}

/* The child's word for an error, as ours. */
static enum err error_of(const char *code)
{
    for (int err = ERR_NOMEM; err <= ERR_FOREIGN; err++) {
        if (strcmp(err_word((enum err)err), code) == 0) {
            return (enum err)err;
        }
    }
    return ERR_FOREIGN;
}

static enum err run_child(struct training *training)
{
    const char *const plain[] = {"arcfaced", "train", "--job", training->folder, NULL};
    const char *const armed[] = {"arcfaced", "train", "--job", training->folder, "--kill-at", training->job->kill_at,
                                 NULL};
    struct cancel *cancel = job_run_cancel(training->run);
    struct child_end end = {.killed = true};

    for (int start = 0; start < MOST_STARTS && end.killed && !cancel_asked(cancel); start++) {
        training->starts++;
        /* a test's child dies once and is to go on then */
        bool dies = start == 0 && training->job->kill_at != NULL && training->job->kill_at[0] != '\0';
        enum err err = child_run(dies ? armed : plain, cancel, hear, training, &end, &training->fault.note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (cancel_asked(cancel)) {
        return ERR_CANCELLED;
    }
    if (end.killed) {
        return ERR_SAY(&training->fault.note, ERR_FOREIGN,
                       "the training process was ended by signal %d, %d times in a row", end.number, MOST_STARTS);
    }
    if (end.number == 0 && training->done) {
        return ERR_NONE;
    }
    return training->text[0] != '\0' ? ERR_SAY(&training->fault.note, error_of(training->code), "%s", training->text)
                                     : ERR_SAY(&training->fault.note, ERR_FOREIGN,
                                               "the training process ended with status %d and no word", end.number);
}

/* ---- What came of it ----------------------------------------------------------------------------------------------- */

static enum err read_report(struct training *training, json_t **ret)
{
    unsigned char *text = NULL;
    size_t n_bytes = 0;
    char path[PATH_MAX];

    enum err err =
        file_read(in_folder(training, "report.json", path), REPORT_BYTES, &text, &n_bytes, &training->fault.note);
    if (err != ERR_NONE) {
        return err;
    }
    *ret = json_loadb((const char *)text, n_bytes, 0, NULL);
    mem_free(text);
    return *ret == NULL ? ERR_SAY(&training->fault.note, ERR_FORMAT, "the report of the training is no JSON")
                        : ERR_NONE;
}

static enum err take_model(struct training *training, const json_t *report, bool passed, char *ret_version)
{
    char path[PATH_MAX];
    char name[64];
    char *text = json_dumps(report, WRITE_FLAGS);
    struct trained_model trained = {.file = in_folder(training, "candidate.onnx", path),
                                    .name = name,
                                    .from = json_string_value(json_object_get(report, "from")),
                                    .proven = passed,
                                    .report = text};

    (void)snprintf(name, sizeof name, "trained by job %lld", (long long)job_run_row(training->run)->id);
    enum err err = text == NULL || trained.from == NULL
                       ? ERR_NOMEM
                       : gallery_take_trained(training->worker, &trained, ret_version, &training->fault);
    free(text); /* foreign heap: jansson's */
    gallery_worker_reset(training->worker);
    return err;
}

static enum err finish(struct training *training, struct arena *mem, const char **ret_result)
{
    const struct job_row *row = job_run_row(training->run);
    const char *collection = json_string_value(json_object_get(training->arguments, "collection"));
    char version[STORE_VERSION_TEXT] = "";
    json_t *report = NULL;
    int64_t activation = 0;

    enum err err =
        training_findings_take(job_run_store(training->run), row->id, training->folder, mem, &training->fault.note);
    if (err == ERR_NONE) {
        err = read_report(training, &report);
    }
    if (err != ERR_NONE) {
        return err;
    }
    bool passed = json_is_true(json_object_get(json_object_get(report, "gate"), "passed"));
    err = take_model(training, report, passed, version);
    point_reached("training.taken");
    if (err == ERR_NONE) {
        metrics_count(passed ? METRICS_TRAINED_READY : METRICS_TRAINED_REJECTED, 1);
    }
    if (err == ERR_NONE && passed && json_is_true(json_object_get(training->arguments, "activate"))) {
        err = activate_job_add(job_run_store(training->run), version, &collection, 1, row->collection_id, "daemon",
                               NULL, &activation, &training->fault.note);
    }
    json_t *result = json_pack("{s:s, s:s, s:s, s:i, s:o, s:O}", "collection", collection, "model", version, "state",
                               passed ? "ready" : "rejected", "child_starts", training->starts, "activation",
                               activation == 0 ? json_null() : json_integer((json_int_t)activation), "report", report);
    char *text = err != ERR_NONE || result == NULL ? NULL : json_dumps(result, WRITE_FLAGS);
    if (err == ERR_NONE) {
        *ret_result = text == NULL ? NULL : arena_copy_text(mem, text);
        err = *ret_result == NULL ? ERR_NOMEM : ERR_NONE;
    }
    free(text); /* foreign heap: jansson's */
    json_decref(result);
    json_decref(report);
    return err;
}

/* Stopped because the daemon stops, and not because a person said so: then the folder is needed again. */
static bool goes_on_later(struct training *training, struct arena *mem, enum err err)
{
    struct job_row row = {0};

    return err == ERR_CANCELLED &&
           store_job_get(job_run_store(training->run), job_run_row(training->run)->id, mem, &row, NULL) == ERR_NONE &&
           !row.cancel_requested;
}

static enum err train(struct training *training, struct arena *mem, const char **ret_result)
{
    enum err err = make_folder(training);

    if (err == ERR_NONE) {
        err = freeze(training);
    }
    if (err == ERR_NONE) {
        err = run_child(training);
    }
    if (err == ERR_NONE) {
        err = finish(training, mem, ret_result);
    }
    if (!goes_on_later(training, mem, err)) {
        clear_folder(training->folder, 1);
    }
    return err;
}

static enum err training_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                             struct err_note *note)
{
    const struct training_job *job = context;
    struct training *training = ARENA_NEW(mem, struct training);

    if (training == NULL) {
        return arena_why(mem);
    }
    training->job = job;
    training->run = run;
    enum err err = gallery_worker_new(job->gallery, WORKER_ARENA_BYTES, &training->worker);
    if (err != ERR_NONE) {
        return err;
    }
    training->arguments = json_loads(job_run_row(run)->arguments, 0, NULL);
    if (json_is_string(json_object_get(training->arguments, "collection"))) {
        err = train(training, mem, ret_result);
    } else {
        err = ERR_SAY(&training->fault.note, ERR_CORRUPT, "the job's arguments name no collection");
    }
    if (err != ERR_NONE) {
        *note = training->fault.note;
    }
    json_decref(training->arguments);
    gallery_worker_free(training->worker);
    return err;
}

struct job_handler training_handler(struct training_job *job)
{
    return (struct job_handler){.kind = TRAINING_KIND, .resumable = true, .context = job, .run = training_run};
}

/* ---- Queueing ------------------------------------------------------------------------------------------------------ */

struct training_wish training_wish_default(const char *collection)
{
    const struct training_defaults d = gallery_training_defaults();

    return (struct training_wish){.collection = collection,
                                  .loss = "arcface",
                                  .rule = "refined",
                                  .epochs = d.epochs,
                                  .rate = d.rate,
                                  .distill = d.distill,
                                  .kl = d.kl,
                                  .freeze = d.freeze,
                                  .purify_deg = d.purify_deg,
                                  .holdout = d.holdout,
                                  .gate = d.gate,
                                  .seed = d.seed,
                                  .activate = true};
}

enum err training_job_add(struct store *store, const struct training_wish *wish, int64_t collection_id,
                          const char *actor, const struct replay *replay, int64_t *ret_id, struct err_note *note)
{
    json_t *root = json_pack(
        "{s:s, s:s*, s:s*, s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:b}", "collection",
        wish->collection, "filter", wish->filter, "guard", wish->guard, "loss", wish->loss, "rule", wish->rule,
        "subcenters", wish->subcenters, "epochs", wish->epochs, "margin", wish->margin, "scale", wish->scale, "rate",
        wish->rate, "distill", wish->distill, "kl", wish->kl, "freeze", wish->freeze, "purify_deg", wish->purify_deg,
        "holdout", wish->holdout, "gate", wish->gate, "seed", (json_int_t)wish->seed, "activate", (int)wish->activate);
    char *text = root == NULL ? NULL : json_dumps(root, WRITE_FLAGS);

    json_decref(root);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    enum err err = store_job_add(store, TRAINING_KIND, collection_id, text, actor, replay, ret_id, note);
    free(text); /* foreign heap: jansson's */
    return err;
}
