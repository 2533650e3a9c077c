/* gallery_jobs.c: arguments in, use case, result out. */
#include "server/jobs/gallery_jobs.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/point.h"
#include "server/gallery/activate.h"
#include "server/gallery/assess.h"

#define WORKER_ARENA_BYTES ((size_t)256 << 20)
#define WRITE_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* ---- Between jobs and use cases ------------------------------------------------------------------------------------ */

struct running {
    struct job_run *run;
    struct gallery_worker *worker;
    json_t *arguments;
    int64_t done_before; /* by the parts that are finished */
    int64_t total;       /* of all parts; 0: the use case knows */
    struct long_work work;
};

static void tell_progress(void *context, int64_t done, int64_t total, const char *unit)
{
    const struct running *running = context;
    int64_t all = running->total > 0 ? running->total : total;

    done += running->done_before;
    job_run_progress(running->run, done, all > done ? all : done, unit);
}

static void running_end(struct running *running)
{
    json_decref(running->arguments);
    gallery_worker_free(running->worker);
}

static enum err running_begin(struct gallery *gallery, struct job_run *run, struct running *ret, struct err_note *note)
{
    *ret = (struct running){.run = run, .arguments = json_loads(job_run_row(run)->arguments, 0, NULL)};
    ret->work =
        (struct long_work){.progress = tell_progress, .context = ret, .cancel = job_run_cancel(run), .actor = "daemon"};
    if (!json_is_object(ret->arguments)) {
        running_end(ret);
        return ERR_SAY(note, ERR_CORRUPT, "the job's arguments are no JSON object");
    }
    enum err err = gallery_worker_new(gallery, WORKER_ARENA_BYTES, &ret->worker);
    if (err != ERR_NONE) {
        ret->worker = NULL;
        running_end(ret);
    }
    return err;
}

static const char *argument_text(const struct running *running, const char *name)
{
    return json_string_value(json_object_get(running->arguments, name));
}

/* Puts the document, which is taken, into mem as text. */
static enum err give_result(json_t *take, struct arena *mem, const char **ret)
{
    char *text = take == NULL ? NULL : json_dumps(take, WRITE_FLAGS);
    enum err err = text == NULL ? ERR_NOMEM : ERR_NONE;

    if (err == ERR_NONE) {
        *ret = arena_copy_text(mem, text);
        err = *ret == NULL ? arena_why(mem) : ERR_NONE;
    }
    free(text); /* foreign heap: jansson's */
    json_decref(take);
    return err;
}

/* ---- Changing over ------------------------------------------------------------------------------------------------- */

/* How much there is to do in all, and whether it can be done: said before the first face is embedded. */
static enum err activate_plan(struct running *running, const char *version, const json_t *names,
                              struct gallery_fault *fault)
{
    size_t i;
    const json_t *name;

    json_array_foreach(names, i, name)
    {
        struct activation_plan plan = {0};
        enum err err =
            gallery_activation_plan(running->worker, version, json_string_value(name), ACTIVATE_FORCED, &plan, fault);
        gallery_worker_reset(running->worker);
        if (err != ERR_NONE) {
            return err;
        }
        running->total += plan.is_active ? 0 : plan.n_missing;
    }
    return ERR_NONE;
}

static enum err activate_one(struct running *running, const char *version, const char *name, json_t *list,
                             struct gallery_fault *fault)
{
    struct activated done = {0};
    enum err err = gallery_activate(running->worker, version, name, &running->work, &done, fault);

    gallery_worker_reset(running->worker);
    if (err != ERR_NONE) {
        return err;
    }
    running->done_before += done.n_embedded;
    json_t *entry = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:b}", "collection", name, "from", done.from, "to",
                              done.to, "faces", (json_int_t)done.n_faces, "embedded", (json_int_t)done.n_embedded,
                              "forgotten", (json_int_t)done.n_forgotten, "threshold_dropped",
                              (int)done.threshold_dropped, "max_fmr_dropped", (int)done.max_fmr_dropped);
    return json_array_append_new(list, entry) == 0 ? ERR_NONE : ERR_NOMEM;
}

static enum err activate_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                             struct err_note *note)
{
    struct running running;
    struct gallery_fault fault = {0};
    size_t i;
    const json_t *name;

    enum err err = running_begin(context, run, &running, note);
    if (err != ERR_NONE) {
        return err;
    }
    const char *version = argument_text(&running, "model");
    const json_t *names = json_object_get(running.arguments, "collections");
    json_t *list = json_array();
    if (version == NULL || !json_is_array(names)) {
        err = ERR_SAY(&fault.note, ERR_CORRUPT, "the job's arguments name no model and collections");
    }
    if (err == ERR_NONE) {
        err = activate_plan(&running, version, names, &fault);
    }
    json_array_foreach(names, i, name)
    {
        if (err == ERR_NONE) {
            err = activate_one(&running, version, json_string_value(name), list, &fault);
        }
    }
    if (err == ERR_NONE) {
        err = give_result(json_pack("{s:o}", "collections", list), mem, ret_result);
    } else {
        json_decref(list);
        *note = fault.note;
    }
    running_end(&running);
    return err;
}

struct job_handler activate_handler(struct gallery *gallery)
{
    return (struct job_handler){.kind = ACTIVATE_KIND, .resumable = true, .context = gallery, .run = activate_run};
}

/* ---- Judging labels ------------------------------------------------------------------------------------------------ */

static enum err purify_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                           struct err_note *note)
{
    struct running running;
    struct gallery_fault fault = {0};
    struct review review = {0};

    enum err err = running_begin(context, run, &running, note);
    if (err != ERR_NONE) {
        return err;
    }
    const char *name = argument_text(&running, "collection");
    const struct review_wish wish = {.rule = review_rule_named(argument_text(&running, "rule")),
                                     .degrees = json_number_value(json_object_get(running.arguments, "max_degrees"))};
    err = gallery_review(running.worker, name, &wish, job_run_row(run)->id, &running.work, &review, &fault);
    if (err == ERR_NONE) {
        err = give_result(json_pack("{s:s, s:s, s:i, s:i, s:s, s:f, s:i, s:i, s:i, s:i, s:i, s:i}", "collection",
                                    name == NULL ? "default" : name, "model", review.model, "faces", review.n_faces,
                                    "people", review.n_people, "rule", review_rule_word(wish.rule), "max_degrees",
                                    (double)review.degrees, "subcenters", review.subcenters, "plain", review.n_plain,
                                    "refined", review.n_refined, "found", review.n_found, "likely", review.n_likely,
                                    "unsure", review.n_unsure),
                          mem, ret_result);
    } else {
        *note = fault.note;
    }
    running_end(&running);
    return err;
}

struct job_handler purify_handler(struct gallery *gallery)
{
    return (struct job_handler){.kind = PURIFY_KIND, .resumable = true, .context = gallery, .run = purify_run};
}

/* ---- Measuring ----------------------------------------------------------------------------------------------------- */

/* What is no number (no probe of that kind, too few rounds) is null. */
static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *figure_json(const struct interval *figure)
{
    return json_pack("{s:o, s:o, s:o}", "value", number_json(figure->value), "low", number_json(figure->low), "high",
                     number_json(figure->high));
}

/* A rate that cannot be measured on so few pairs is null: silence would look like a good figure. */
static json_t *rates_json(const char *rate_name, const struct rate_figure *figures, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) {
        json_t *entry = json_pack("{s:f, s:b}", rate_name, figures[i].rate, "supported", (int)figures[i].supported);
        if (figures[i].measured) {
            (void)json_object_set_new(entry, "hit", figure_json(&figures[i].hit));
            (void)json_object_set_new(entry, "threshold", json_real((double)figures[i].threshold));
        } else {
            (void)json_object_set_new(entry, "hit", json_null());
            (void)json_object_set_new(entry, "threshold", json_null());
        }
        (void)json_array_append_new(list, entry);
    }
    return list;
}

static json_t *det_json(const struct evaluation *e)
{
    json_t *list = json_array();

    for (int i = 0; i < e->n_det; i++) {
        (void)json_array_append_new(list,
                                    json_pack("[f, f, f]", e->det[i].fmr, e->det[i].fnmr, (double)e->det[i].threshold));
    }
    return list;
}

static json_t *proposal_json(const struct assessment *a)
{
    json_t *points = json_array();

    if (a->proposed.n_points == 0) {
        json_decref(points);
        return json_null();
    }
    for (int i = 0; i < a->proposed.n_points; i++) {
        const struct calibration_point *point = &a->proposed.points[i];
        (void)json_array_append_new(points,
                                    json_pack("{s:f, s:f}", "fmr", point->fmr, "cosine", (double)point->cosine));
    }
    return json_pack("{s:o, s:{s:i, s:i, s:I}}", "points", points, "evidence", "people", a->evaluation.people, "photos",
                     a->evaluation.photos, "pairs", (json_int_t)a->evaluation.impostor);
}

static json_t *assessment_json(const char *name, const struct assessment *a)
{
    const struct evaluation *e = &a->evaluation;
    json_t *root = json_pack("{s:s, s:s, s:I, s:i, s:i, s:b, s:{s:I, s:I}, s:o, s:o}", "collection",
                             name == NULL ? "default" : name, "model", a->model, "faces", (json_int_t)a->n_faces,
                             "measured_faces", e->photos, "people", e->people, "sampled", (int)a->sampled, "pairs",
                             "genuine", (json_int_t)e->genuine, "impostor", (json_int_t)e->impostor, "tar",
                             rates_json("fmr", e->tar, e->n_tar), "det", det_json(e));

    (void)json_object_set_new(root, "calibration", proposal_json(a));
    (void)json_object_set_new(root, "uncalibrated",
                              a->proposed.n_points > 0 ? json_null() : json_string(a->unproposed));
    if (root == NULL || !e->identifies) {
        (void)json_object_set_new(root, "rank1", json_null());
        return root;
    }
    (void)json_object_set_new(root, "rank1", figure_json(&e->rank1));
    (void)json_object_set_new(root, "rank5", figure_json(&e->rank5));
    (void)json_object_set_new(root, "tpir", rates_json("fpir", e->tpir, e->n_tpir));
    (void)json_object_set_new(root, "probes",
                              json_pack("{s:i, s:i, s:i, s:i}", "gallery_people", e->gallery_people, "gallery_faces",
                                        e->gallery_photos, "mated", e->mated, "non_mated", e->non_mated));
    return root;
}

static enum err evaluate_run(void *context, struct job_run *run, struct arena *mem, const char **ret_result,
                             struct err_note *note)
{
    struct running running;
    struct gallery_fault fault = {0};
    struct assessment *assessment = ARENA_NEW(mem, struct assessment);

    if (assessment == NULL) {
        return arena_why(mem);
    }
    enum err err = running_begin(context, run, &running, note);
    if (err != ERR_NONE) {
        return err;
    }
    const char *name = argument_text(&running, "collection");
    int64_t most_faces = json_integer_value(json_object_get(running.arguments, "most_faces"));
    int rounds = (int)json_integer_value(json_object_get(running.arguments, "rounds"));
    err = gallery_assess(running.worker, name, most_faces, rounds, &running.work, assessment, &fault);
    point_reached("evaluate.measured");
    if (err == ERR_NONE) {
        err = give_result(assessment_json(name, assessment), mem, ret_result);
    } else {
        *note = fault.note;
    }
    running_end(&running);
    return err;
}

struct job_handler evaluate_handler(struct gallery *gallery)
{
    return (struct job_handler){.kind = EVALUATE_KIND, .resumable = true, .context = gallery, .run = evaluate_run};
}

/* ---- Queueing ------------------------------------------------------------------------------------------------------ */

/* The document is taken. */
static enum err add(struct store *store, const char *kind, int64_t collection_id, json_t *take, const char *actor,
                    const struct replay *replay, int64_t *ret_id, struct err_note *note)
{
    char *text = take == NULL ? NULL : json_dumps(take, WRITE_FLAGS);

    json_decref(take);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    enum err err = store_job_add(store, kind, collection_id, text, actor, replay, ret_id, note);
    free(text); /* foreign heap: jansson's */
    return err;
}

enum err activate_job_add(struct store *store, const char *version, const char *const *collections, int n,
                          int64_t collection_id, const char *actor, const struct replay *replay, int64_t *ret_id,
                          struct err_note *note)
{
    json_t *names = json_array();

    for (int i = 0; i < n; i++) {
        if (json_array_append_new(names, json_string(collections[i])) != 0) {
            json_decref(names);
            return ERR_NOMEM;
        }
    }
    return add(store, ACTIVATE_KIND, collection_id, json_pack("{s:s, s:o}", "model", version, "collections", names),
               actor, replay, ret_id, note);
}

enum err purify_job_add(struct store *store, const char *collection, int64_t collection_id,
                        const struct review_wish *wish, const char *actor, const struct replay *replay, int64_t *ret_id,
                        struct err_note *note)
{
    return add(store, PURIFY_KIND, collection_id,
               json_pack("{s:s, s:f, s:s}", "collection", collection, "max_degrees", wish->degrees, "rule",
                         review_rule_word(wish->rule)),
               actor, replay, ret_id, note);
}

enum err evaluate_job_add(struct store *store, const char *collection, int64_t collection_id, int64_t most_faces,
                          int64_t rounds, const char *actor, const struct replay *replay, int64_t *ret_id,
                          struct err_note *note)
{
    return add(store, EVALUATE_KIND, collection_id,
               json_pack("{s:s, s:I, s:I}", "collection", collection, "most_faces", (json_int_t)most_faces, "rounds",
                         (json_int_t)rounds),
               actor, replay, ret_id, note);
}
