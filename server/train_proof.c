/* train_proof.c: embed, measure, compare, judge. */
#include "server/train_proof.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/train/evaluate.h"
#include "core/train/purify.h"
#include "server/crop_files.h"

#define GATE_FMR 1e-3
#define MOST_GALLERY 20000 /* photos: every pair of them is looked at */

/* Photos side by side, with people numbered anew. */
struct set {
    float *before, *after; /* [n, dim] */
    int *person;
    int n, people;
};

struct proof {
    const struct proof_question *question;
    struct model *trained;
    float *before, *after; /* [count, dim] of all crops */
    bool *wrong; /* [count] mislabelled: dropped in training, or held out and dropped by the old model's eyes */
    struct arena *mem;
    struct err_note *note;
};

static enum err spent(const struct proof *proof)
{
    return arena_why(proof->mem) == ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
}

/* ---- Embedding ----------------------------------------------------------------------------------------------------- */

static enum err embed_all(const struct proof *proof, const struct model *model, float **ret)
{
    const struct proof_question *question = proof->question;
    const struct crop_source source = {.dataset = question->dataset,
                                       .n = question->count,
                                       .side = dataset_side(question->dataset),
                                       .threads = question->threads};
    float *u = ARENA_ARRAY(proof->mem, float, (size_t)question->count *(size_t)model->dim);
    unsigned char *state = ARENA_ARRAY(proof->mem, unsigned char, question->count);

    if (u == NULL || state == NULL) {
        return spent(proof);
    }
    enum err err = embed_crops(&source, model, false, NULL, u, state, proof->note);
    for (int i = 0; i < question->count && err == ERR_NONE; i++) {
        if (state[i] != CROP_SEEN) {
            err = ERR_SAY(proof->note, ERR_CORRUPT, "crop %d of the data set cannot be read", i);
        }
    }
    if (err == ERR_NONE) {
        *ret = u;
    }
    return err;
}

/* ---- Choosing ------------------------------------------------------------------------------------------------------ */

/* The photos that are held out (or all), without those under a wrong name. */
static enum err choose(const struct proof *proof, bool held_only, struct set *ret)
{
    const struct proof_question *question = proof->question;
    size_t before_dim = (size_t)question->before->dim;
    size_t after_dim = (size_t)proof->trained->dim;
    int *number = ARENA_ARRAY(proof->mem, int, question->people);
    struct set set = {.before = ARENA_ARRAY(proof->mem, float, (size_t)question->count *before_dim),
                      .after = ARENA_ARRAY(proof->mem, float, (size_t)question->count *after_dim),
                      .person = ARENA_ARRAY(proof->mem, int, question->count)};

    if (number == NULL || set.before == NULL || set.after == NULL || set.person == NULL) {
        return spent(proof);
    }
    for (int i = 0; i < question->count && set.n < MOST_GALLERY; i++) {
        int p = question->person[i];
        if ((held_only && !question->held[i]) || proof->wrong[i]) {
            continue;
        }
        if (number[p] == 0) {
            number[p] = ++set.people;
        }
        memcpy(set.before + (size_t)set.n * before_dim, proof->before + (size_t)i * before_dim,
               before_dim * sizeof(float));
        memcpy(set.after + (size_t)set.n * after_dim, proof->after + (size_t)i * after_dim, after_dim * sizeof(float));
        set.person[set.n++] = number[p] - 1;
    }
    *ret = set;
    return ERR_NONE;
}

/* Judges every photo by the old model, which has learnt none of these names. */
static enum err find_wrong(struct proof *proof)
{
    const struct proof_question *question = proof->question;
    struct verdict *verdicts = ARENA_ARRAY(proof->mem, struct verdict, question->count);

    proof->wrong = ARENA_ARRAY(proof->mem, bool, question->count);
    if (verdicts == NULL || proof->wrong == NULL) {
        return spent(proof);
    }
    enum err err = purify_refined(proof->before, question->person, question->count, question->before->dim,
                                  question->people, question->purify_deg, proof->mem, verdicts);
    for (int i = 0; i < question->count && err == ERR_NONE; i++) {
        proof->wrong[i] = question->held[i] ? !verdicts[i].keep : question->dropped[i];
    }
    return err;
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

/* Measures both on one set and says so; ret_old may be NULL. */
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
    enum err err = evaluate_set(set->before, set->person, set->n, proof->question->before->dim, set->people, &options,
                                proof->mem, old, proof->note);
    if (err == ERR_NONE) {
        err = evaluate_set(set->after, set->person, set->n, proof->trained->dim, set->people, &options, proof->mem, new,
                           proof->note);
    }
    if (err == ERR_NONE) {
        (void)json_object_set_new(
            report, name, json_pack("{s:o, s:o}", "before", evaluation_json(old), "after", evaluation_json(new)));
        *ret_old = *old;
    }
    return err;
}

/* ---- The gate ------------------------------------------------------------------------------------------------------ */

/* FMR 1e-3, or the lowest greater rate that the pairs support; 0: none. */
static double gate_rate(const struct evaluation *held)
{
    double rate = 0;

    for (int i = 0; i < held->n_tar; i++) {
        if (held->tar[i].supported && held->tar[i].rate > .999 * GATE_FMR) {
            rate = held->tar[i].rate;
        }
    }
    return rate;
}

static void say_gate(json_t *report, bool passed, const char *reason)
{
    (void)json_object_set_new(report, "gate", json_pack("{s:b, s:s}", "passed", (int)passed, "reason", reason));
}

static enum err judge(const struct proof *proof, const struct set *held, const struct evaluation *measured,
                      json_t *report)
{
    struct evaluate_options options = evaluate_default();
    struct interval gain = {0};
    double fmr = gate_rate(measured);
    char reason[200];

    if (fmr == 0) {
        say_gate(report, false, "too few pairs are held out to prove anything");
        return ERR_NONE;
    }
    options.seed = proof->question->seed;
    enum err err = evaluate_gain(held->before, proof->question->before->dim, held->after, proof->trained->dim,
                                 held->person, held->n, held->people, fmr, &options, proof->mem, &gain, proof->note);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *said = figure_json(&gain);
    (void)json_object_set_new(said, "fmr", json_real(fmr));
    (void)json_object_set_new(report, "gain", said);
    bool safe = gain.low >= -proof->question->allowed_loss;
    (void)snprintf(reason, sizeof reason, "TAR at FMR %g changed by %+.2f points [%+.2f, %+.2f] on what was held out%s",
                   fmr, 100 * gain.value, 100 * gain.low, 100 * gain.high,
                   !safe             ? ": a loss cannot be excluded"
                   : gain.value <= 0 ? ": no gain"
                                     : "");
    say_gate(report, safe && gain.value > 0, reason);
    return ERR_NONE;
}

/* ---- The manifest -------------------------------------------------------------------------------------------------- */

/* Thresholds come from people who were in nobody's training: those who were are told apart better than strangers will be. */
static enum err calibrate(const struct proof *proof, const struct set *held, json_t *manifest, json_t *report)
{
    static const double wanted[] = {1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5};
    enum {
        N_WANTED = sizeof wanted / sizeof wanted[0]
    };
    struct calibrated points[N_WANTED];
    struct err_note unsaid = {0};
    int n = 0;
    int refused = 0;
    enum err err = ERR_UNSUPPORTED;

    if (proof->question->held_people) {
        err = evaluate_calibrate(held->after, held->person, held->n, proof->trained->dim, held->people, wanted,
                                 N_WANTED, proof->mem, points, &n, &refused, &unsaid);
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

static enum err prove(struct proof *proof, json_t *report, char **ret_manifest)
{
    struct evaluation held_before = {0};
    struct evaluation gallery_before = {0};
    struct set held = {0};
    struct set gallery = {0};

    enum err err = embed_all(proof, proof->question->before, &proof->before);
    if (err == ERR_NONE) {
        err = embed_all(proof, proof->trained, &proof->after);
    }
    if (err == ERR_NONE) {
        err = find_wrong(proof);
    }
    if (err == ERR_NONE) {
        err = choose(proof, true, &held);
    }
    if (err == ERR_NONE) {
        err = choose(proof, false, &gallery);
    }
    if (err == ERR_NONE) {
        err = measure(proof, &gallery, "gallery", report, &gallery_before);
    }
    if (err == ERR_NONE) {
        err = measure(proof, &held, "held", report, &held_before);
        if (err == ERR_MISUSE) { /* not one pair of one person, or of two */
            *proof->note = (struct err_note){0};
            err = ERR_NONE;
        }
    }
    if (err == ERR_NONE) {
        err = judge(proof, &held, &held_before, report);
    }
    return err == ERR_NONE ? make_manifest(proof, &held, report, ret_manifest) : err;
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
