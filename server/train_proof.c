/* train_proof.c: embed, measure, compare, judge. */
#include "server/train_proof.h"

#include <math.h>
#include <string.h>

#include "core/train/evaluate.h"
#include "core/train/gate.h"
#include "core/train/purify.h"
#include "server/crop_files.h"

#define GATE_FMR 1e-3
#define MOST_GALLERY 20000 /* photos: every pair of them is looked at */

/* Photos side by side, with people numbered anew. */
struct set {
    float *before, *after; /* [n, dim] */
    int *person;
    int n, people;
    int left_out; /* under a wrong name */
};

struct proof {
    const struct proof_question *question;
    struct model *trained;
    struct set all;  /* every crop of the data set; people as its labels */
    bool *wrong;     /* [count] dropped in training; of the others: both models drop it */
    struct set held; /* what judges */
    struct arena *mem;
    struct err_note *note;
};

static enum err spent(const struct proof *proof)
{
    return arena_why(proof->mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

/* Between evaluations, each of which looks at every pair of its set. */
static enum err still_wanted(const struct proof *proof)
{
    return cancel_asked(proof->question->cancel) ? ERR_CANCELLED : ERR_NONE;
}

/* ---- Embedding ----------------------------------------------------------------------------------------------------- */

static enum err embed_all(const struct proof *proof, const struct dataset *dataset, const struct model *model,
                          float **ret)
{
    int count = dataset_count(dataset);
    const struct crop_source source = {.dataset = dataset,
                                       .n = count,
                                       .side = dataset_side(dataset),
                                       .threads = proof->question->threads,
                                       .cancel = proof->question->cancel};
    float *u = ARENA_ARRAY(proof->mem, float, (size_t)count *(size_t)model->dim);
    unsigned char *state = ARENA_ARRAY(proof->mem, unsigned char, count);

    if (u == NULL || state == NULL) {
        return spent(proof);
    }
    enum err err = embed_crops(&source, model, false, NULL, u, state, proof->note);
    for (int i = 0; i < count && err == ERR_NONE; i++) {
        if (state[i] != CROP_SEEN) {
            err = ERR_SAY(proof->note, ERR_CORRUPT, "crop %d of the data set cannot be read", i);
        }
    }
    if (err == ERR_NONE) {
        *ret = u;
    }
    return err;
}

/* Embeds a whole data set with both. */
static enum err see(const struct proof *proof, const struct dataset *dataset, struct set *ret)
{
    struct set set = {.n = dataset_count(dataset), .people = dataset_people(dataset)};

    set.person = ARENA_ARRAY(proof->mem, int, set.n);
    if (set.person == NULL) {
        return spent(proof);
    }
    for (int i = 0; i < set.n; i++) {
        set.person[i] = dataset_label(dataset, i);
    }
    enum err err = embed_all(proof, dataset, proof->question->before, &set.before);
    if (err == ERR_NONE) {
        err = embed_all(proof, dataset, proof->trained, &set.after);
    }
    if (err == ERR_NONE) {
        *ret = set;
    }
    return err;
}

/* ---- Choosing ------------------------------------------------------------------------------------------------------ */

/* Marks what stands under a wrong name by both models' eyes: one's alone would choose what the other is measured on. */
static enum err find_wrong(const struct proof *proof, const struct set *set, bool **ret)
{
    const struct proof_question *question = proof->question;
    bool *wrong = ARENA_ARRAY(proof->mem, bool, set->n);

    if (wrong == NULL) {
        return spent(proof);
    }
    enum err err = purify_both(set->before, question->before->dim, set->after, proof->trained->dim, set->person, set->n,
                               set->people, question->purify_deg, proof->mem, wrong);
    if (err == ERR_NONE) {
        *ret = wrong;
    }
    return err;
}

/* The photos of a part (NULL: all), without those under a wrong name. */
static enum err choose(const struct proof *proof, const struct set *from, const bool *wrong, const unsigned char *part,
                       struct set *ret)
{
    size_t before_dim = (size_t)proof->question->before->dim;
    size_t after_dim = (size_t)proof->trained->dim;
    int *number = ARENA_ARRAY(proof->mem, int, from->people);
    struct set set = {.before = ARENA_ARRAY(proof->mem, float, (size_t)from->n *before_dim),
                      .after = ARENA_ARRAY(proof->mem, float, (size_t)from->n *after_dim),
                      .person = ARENA_ARRAY(proof->mem, int, from->n)};

    if (number == NULL || set.before == NULL || set.after == NULL || set.person == NULL) {
        return spent(proof);
    }
    for (int i = 0; i < from->n && set.n < MOST_GALLERY; i++) {
        int p = from->person[i];
        if (part != NULL && part[i] != PART_HELD) {
            continue;
        }
        if (wrong[i]) {
            set.left_out++;
            continue;
        }
        if (number[p] == 0) {
            number[p] = ++set.people;
        }
        memcpy(set.before + (size_t)set.n * before_dim, from->before + (size_t)i * before_dim,
               before_dim * sizeof(float));
        memcpy(set.after + (size_t)set.n * after_dim, from->after + (size_t)i * after_dim, after_dim * sizeof(float));
        set.person[set.n++] = number[p] - 1;
    }
    *ret = set;
    return ERR_NONE;
}

/* ---- Saying -------------------------------------------------------------------------------------------------------- */

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *figure_json(const struct interval *figure)
{
    return json_pack("{s:o, s:o, s:o}", "value", number_json(figure->value), "low", number_json(figure->low), "high",
                     number_json(figure->high));
}

static json_t *evaluation_json(const struct evaluation *e)
{
    json_t *tar = json_array();

    for (int i = 0; i < e->n_tar; i++) {
        (void)json_array_append_new(tar, json_pack("{s:f, s:b, s:o}", "fmr", e->tar[i].rate, "supported",
                                                   (int)e->tar[i].supported, "hit",
                                                   e->tar[i].measured ? figure_json(&e->tar[i].hit) : json_null()));
    }
    return json_pack("{s:i, s:i, s:I, s:I, s:o, s:o}", "people", e->people, "photos", e->photos, "genuine",
                     (json_int_t)e->genuine, "impostor", (json_int_t)e->impostor, "tar", tar, "rank1",
                     e->identifies ? figure_json(&e->rank1) : json_null());
}

/* Measures both on one set and says so. */
static enum err measure(const struct proof *proof, const struct set *set, const char *name, json_t *report,
                        struct evaluation *ret_old)
{
    struct evaluate_options options = evaluate_default();
    struct evaluation *old = ARENA_NEW(proof->mem, struct evaluation);
    struct evaluation *new = ARENA_NEW(proof->mem, struct evaluation);

    options.seed = proof->question->seed;
    if (old == NULL || new == NULL) {
        return spent(proof);
    }
    enum err err = still_wanted(proof);
    if (err == ERR_NONE) {
        err = evaluate_set(set->before, set->person, set->n, proof->question->before->dim, set->people, &options,
                           proof->mem, old, proof->note);
    }
    if (err == ERR_NONE) {
        err = still_wanted(proof);
    }
    if (err == ERR_NONE) {
        err = evaluate_set(set->after, set->person, set->n, proof->trained->dim, set->people, &options, proof->mem, new,
                           proof->note);
    }
    if (err == ERR_NONE) {
        json_t *said = json_pack("{s:o, s:o, s:i}", "before", evaluation_json(old), "after", evaluation_json(new),
                                 "left_out", set->left_out);
        (void)json_object_set_new(report, name, said);
        *ret_old = *old;
    }
    return err;
}

/* ---- The gate ------------------------------------------------------------------------------------------------------ */

/* The change of TAR on one set, said under a name. */
static enum err compare(const struct proof *proof, const struct set *set, const struct evaluation *measured,
                        const char *name, json_t *report, struct gate_change *ret)
{
    struct evaluate_options options = evaluate_default();
    struct gate_change change = {.fmr = evaluate_supported_fmr(measured, GATE_FMR)};

    if (change.fmr == 0) { /* its pairs support no rate */
        *ret = change;
        return ERR_NONE;
    }
    options.seed = proof->question->seed;
    enum err err = still_wanted(proof);
    if (err == ERR_NONE) {
        err = evaluate_gain(set->before, proof->question->before->dim, set->after, proof->trained->dim, set->person,
                            set->n, set->people, change.fmr, &options, proof->mem, &change.tar, proof->note);
    }
    if (err == ERR_NONE) {
        json_t *said = figure_json(&change.tar);
        (void)json_object_set_new(said, "fmr", json_real(change.fmr));
        (void)json_object_set_new(report, name, said);
        *ret = change;
    }
    return err;
}

/* Of the photos that were to teach. */
static double share_misnamed(const struct proof_question *question)
{
    int teaching = 0;
    int dropped = 0;

    for (int i = 0; i < question->count; i++) {
        teaching += question->parts->part[i] == PART_TEACHES;
        dropped += question->parts->part[i] == PART_TEACHES && question->dropped[i];
    }
    return teaching > 0 ? (double)dropped / teaching : 0;
}

static enum err judge(const struct proof *proof, const struct evaluation *held, const struct set *guard,
                      const struct evaluation *guarded, json_t *report)
{
    struct gate_question question = {.allowed_loss = proof->question->allowed_loss,
                                     .misnamed = share_misnamed(proof->question),
                                     .has_guard = proof->question->guard != NULL};
    char reason[GATE_REASON_TEXT];

    enum err err = compare(proof, &proof->held, held, "gain", report, &question.held);
    if (err == ERR_NONE && question.has_guard && guard->n > 0) {
        err = compare(proof, guard, guarded, "guard_gain", report, &question.guard);
    }
    if (err == ERR_NONE) {
        bool passed = gate_judge(&question, reason);
        (void)json_object_set_new(report, "gate", json_pack("{s:b, s:s}", "passed", (int)passed, "reason", reason));
    }
    return err;
}

/* ---- The manifest -------------------------------------------------------------------------------------------------- */

/* Thresholds come from people who were in nobody's training: those who were are told apart better than strangers will be. */
static enum err calibrate(const struct proof *proof, const struct set *held, json_t *manifest, json_t *report)
{
    struct calibrated points[EVALUATE_RATES];
    struct err_note unsaid = {0};
    int n = 0;
    int refused = 0;
    enum err err = ERR_UNSUPPORTED;

    if (proof->question->parts->held_people) {
        err = evaluate_calibrate(held->after, held->person, held->n, proof->trained->dim, held->people, evaluate_rates,
                                 EVALUATE_RATES, proof->mem, points, &n, &refused, &unsaid);
    }
    (void)json_object_set_new(report, "calibrated", json_boolean(err == ERR_NONE));
    if (err == ERR_UNSUPPORTED || err == ERR_MISUSE) { /* too little was held out: the daemon's cosine stands */
        return ERR_NONE;
    }
    if (err != ERR_NONE) {
        return err;
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(
            list, json_pack("{s:f, s:f}", "fmr", points[i].fmr, "cosine", (double)points[i].threshold));
    }
    json_t *evidence = json_pack("{s:i, s:i}", "people", held->people, "photos", held->n);
    return json_object_set_new(manifest, "calibration",
                               json_pack("{s:o, s:o}", "points", list, "evidence", evidence)) == 0
               ? ERR_NONE
               : ERR_NOMEM;
}

static enum err make_manifest(const struct proof *proof, const struct set *held, json_t *report, char **ret)
{
    json_t *manifest = json_loads(proof->question->before->manifest.json, 0, NULL);

    if (manifest == NULL) {
        return ERR_NOMEM;
    }
    (void)json_object_del(manifest, "calibration");
    (void)json_object_set_new(manifest, "trained", json_pack("{s:s}", "from", proof->question->before->version));
    enum err err = calibrate(proof, held, manifest, report);
    if (err == ERR_NONE) {
        *ret = json_dumps(manifest, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
        err = *ret == NULL ? ERR_NOMEM : ERR_NONE;
    }
    json_decref(manifest);
    return err;
}

/* ---- All of it ------------------------------------------------------------------------------------------------------ */

/* Not one pair of one person, or of two, is nothing to fail of: the gate says so. */
static enum err measure_if_any(struct proof *proof, const struct set *set, const char *name, json_t *report,
                               struct evaluation *ret_old)
{
    enum err err = measure(proof, set, name, report, ret_old);

    if (err == ERR_MISUSE) {
        *proof->note = (struct err_note){0};
        err = ERR_NONE;
    }
    return err;
}

static enum err see_gallery(struct proof *proof, json_t *report, struct evaluation *ret_held)
{
    const struct proof_question *question = proof->question;
    struct evaluation measured = {0};
    struct set gallery = {0};

    enum err err = see(proof, question->dataset, &proof->all);
    if (err == ERR_NONE) {
        err = find_wrong(proof, &proof->all, &proof->wrong);
    }
    for (int i = 0; i < question->count && err == ERR_NONE; i++) {
        proof->wrong[i] = question->parts->part[i] == PART_TEACHES ? question->dropped[i] : proof->wrong[i];
    }
    if (err == ERR_NONE) {
        err = choose(proof, &proof->all, proof->wrong, question->parts->part, &proof->held);
    }
    if (err == ERR_NONE) {
        err = choose(proof, &proof->all, proof->wrong, NULL, &gallery);
    }
    if (err == ERR_NONE) {
        err = measure(proof, &gallery, "gallery", report, &measured);
    }
    return err == ERR_NONE ? measure_if_any(proof, &proof->held, "held", report, ret_held) : err;
}

static enum err see_guard(struct proof *proof, json_t *report, struct set *ret, struct evaluation *ret_measured)
{
    struct set all = {0};
    bool *wrong = NULL;

    enum err err = see(proof, proof->question->guard, &all);
    if (err == ERR_NONE) {
        err = find_wrong(proof, &all, &wrong);
    }
    if (err == ERR_NONE) {
        err = choose(proof, &all, wrong, NULL, ret);
    }
    return err == ERR_NONE ? measure_if_any(proof, ret, "guard", report, ret_measured) : err;
}

static enum err prove(struct proof *proof, json_t *report, char **ret_manifest)
{
    struct evaluation held = {0};
    struct evaluation guarded = {0};
    struct set guard = {0};

    enum err err = see_gallery(proof, report, &held);
    if (err == ERR_NONE && proof->question->guard != NULL) {
        err = see_guard(proof, report, &guard, &guarded);
    }
    if (err == ERR_NONE) {
        err = judge(proof, &held, &guard, &guarded, report);
    }
    return err == ERR_NONE ? make_manifest(proof, &proof->held, report, ret_manifest) : err;
}

enum err proof_make(const struct proof_question *question, struct arena *mem, json_t *report, char **ret_manifest,
                    struct err_note *note)
{
    struct proof proof = {.question = question, .mem = mem, .note = note};

    enum err err = model_load_bytes("the trained model", question->onnx, question->n_bytes,
                                    question->before->manifest.json, MODEL_RECOGNIZER, &proof.trained, note);
    if (err == ERR_NONE) {
        err = prove(&proof, report, ret_manifest);
    }
    model_free(proof.trained);
    return err;
}
