/* command_train.c: tune a recogniser on a folder of people: sub-centers, purify, one center; prove, write, report. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cancel.h"
#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/checkpoint.h"
#include "core/train/cut.h"
#include "core/train/evaluate.h"
#include "core/train/purify.h"
#include "core/train/trainer.h"
#include "server/command.h"
#include "server/command_flags.h"
#include "server/progress.h"
#include "server/report.h"
#include "server/train_data.h"
#include "server/train_job.h"

#define ARENA_BYTES ((size_t)8 << 30)
#define GAIN_FMR 1e-3

/* People with fewer photos than this get one center from the start: three would each have too few. */
#define PHOTOS_FOR_SUBCENTERS 10

static const char usage[] =
    "usage: arcfaced train --recognizer F.onnx --set DIR [--detector F | --aligned] --out OUT.onnx [flags]\n"
    "Tunes a recogniser on a folder for each person.  Writes OUT.onnx, OUT.onnx.json (its manifest), OUT.onnx.html (a "
    "report)\n"
    "and, while it runs, the folder OUT.onnx.run, from which the same call goes on after it was cut off.\n"
    "  --only FILE, --except FILE  lists of people, one a line\n"
    "  --dataset FILE       crops and labels, instead of --set\n"
    "  --learn SHARE        of the convolutions, from the top (0.3); 1: the whole network\n"
    "  --loss NAME          softmax, norm_softmax, sphereface, cosface, arcface, cm1, cm2 (arcface)\n"
    "  --subcenters K       of the first phase (3; 1 where people have fewer than 10 photos)\n"
    "  --purify RULE        refined, plain or none (refined)\n"
    "  --photos FILE        what purifying says of each photo, a JSON line a photo\n"
    "  --epochs N           of the last phase (8); the first has a third of them\n"
    "  --rate R             of learning (0.0003)\n"
    "  --distill W          weight of staying near the recogniser as it was (10)\n"
    "  --batch N --shard N  crops a step (32) and at once in memory (8)\n"
    "  --balanced           people take turns, however many photos each has\n"
    "  --holdout SHARE      of the people, kept out to measure (0.2)\n"
    "  --looks N            augmented looks kept per crop (4)\n"
    "  --seed N --threads N\n";

struct train {
    /* asked for */
    const char *recognizer_path, *out, *set, *dataset_path, *only, *except, *loss, *purify, *photos;
    double learn, rate, distill, holdout;
    long subcenters, epochs, batch, shard, looks, seed, threads;
    bool aligned, balanced;

    struct model *recognizer;
    struct model *detector;
    struct pool *pool;
    struct dataset *dataset;
    struct student *student;
    struct people_folder folder;
    const char **names; /* behind each label; NULL with --dataset */
    char run_folder[PATH_MAX];
    int people, classes, count, n_held;
    int *label;          /* [count] in training, -1: held out or dropped */
    unsigned char *held; /* [people] */
    struct train_result first, last;
    bool has_first;
    int dropped, unsure;

    bool bar;
    struct progress progress;
    const char *phase;
    struct arena *mem;
    struct err_note *note;
};

static struct cancel stop;

static void on_signal(int number)
{
    (void)number;
    cancel_ask(&stop);
}

static void print_json(json_t *take)
{
    if (take == NULL || json_dumpf(take, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7)) != 0) {
        (void)printf("{\"code\":\"not_printable\"}");
    }
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(take);
}

/* ---- Data --------------------------------------------------------------------------------------------------------- */

static enum err open_data(struct train *train)
{
    char path[PATH_MAX];
    enum err err;

    if (train->dataset_path == NULL) {
        if (snprintf(path, sizeof path, "%s/data", train->run_folder) >= (int)sizeof path) {
            return ERR_SAY(train->note, ERR_MISUSE, "the path of --out is too long");
        }
        err = people_folder_read(train->set, train->only, train->except, train->mem, &train->folder, train->note);
        train->names = err != ERR_NONE ? NULL : ARENA_ARRAY(train->mem, const char *, train->folder.people);
        if (train->names == NULL) {
            return err != ERR_NONE ? err : ERR_NOMEM;
        }
        err = train_data_write(&train->folder, train->aligned ? NULL : train->detector, train->recognizer->side,
                               (int)train->threads, 2, path, train->names, &train->people, train->note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    err = dataset_open(train->dataset_path != NULL ? train->dataset_path : path, &train->dataset, train->note);
    if (err != ERR_NONE) {
        return err;
    }
    train->people = dataset_people(train->dataset);
    train->count = dataset_count(train->dataset);
    return dataset_side(train->dataset) == train->recognizer->side
               ? ERR_NONE
               : ERR_SAY(train->note, ERR_CONFLICT, "the crops are %d pixels a side, the recogniser takes %d",
                         dataset_side(train->dataset), train->recognizer->side);
}

/* Chooses who is held out, and numbers the others. */
static enum err divide_people(struct train *train)
{
    int *number = ARENA_ARRAY(train->mem, int, train->people);

    train->label = ARENA_ARRAY(train->mem, int, train->count);
    train->held = ARENA_ARRAY(train->mem, unsigned char, train->people);
    if (number == NULL || train->label == NULL || train->held == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < train->count; i++) {
        train->label[i] = dataset_label(train->dataset, i);
    }
    train->n_held =
        split_people(train->label, train->count, train->people, train->holdout, 4, (uint64_t)train->seed, train->held);
    for (int p = 0; p < train->people; p++) {
        number[p] = train->held[p] ? -1 : train->classes++;
    }
    for (int i = 0; i < train->count; i++) {
        train->label[i] = number[train->label[i]];
    }
    return train->classes >= 2 ? ERR_NONE
                               : ERR_SAY(train->note, ERR_FORMAT, "of %d people %d are left to train on", train->people,
                                         train->classes);
}

static enum err load_student(struct train *train)
{
    struct student_options options = {.how = train->recognizer->manifest.how,
                                      .augment = augment_default(),
                                      .looks = (int)train->looks,
                                      .seed = (uint64_t)train->seed};
    struct model_bytes file = {.bytes = NULL};
    struct graph *graph = NULL;
    enum err err = model_bytes_open(train->recognizer_path, MODEL_RECOGNIZER, &file, train->note);

    if (err == ERR_NONE) {
        err = student_load(file.bytes, file.n_bytes, &graph, train->note);
        model_bytes_close(&file);
    }
    if (err == ERR_NONE && train->learn < 1) {
        const char *cut = NULL;
        err = cut_find(graph, train->learn, &cut, train->note);
        options.cut = err != ERR_NONE ? NULL : arena_copy_text(train->mem, cut);
        if (err == ERR_NONE && options.cut == NULL) {
            err = ERR_NOMEM;
        }
    }
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    return student_new(graph, train->dataset, &options, train->pool, &stop, &train->student, train->note);
}

/* ---- Phases ------------------------------------------------------------------------------------------------------- */

static void watch(void *context, const struct train_step *step)
{
    struct train *train = context;
    char words[64];

    if (train->bar) {
        (void)snprintf(words, sizeof words, "loss %.3f, %.0f images/s", (double)step->point->loss, step->images_per_s);
        atomic_store(&train->progress.done, step->step);
        progress_show(&train->progress, words);
        return;
    }
    print_json(json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "kind", "step", "phase",
                         train->phase, "step", (int)step->step, "steps", (int)step->steps, "epoch",
                         (int)step->epoch + 1, "loss", (double)step->point->loss, "terms", (double)step->point->terms,
                         "rate", (double)step->point->rate, "angle_degrees",
                         (double)step->point->angle * (180 / 3.14159265358979), "correct", (double)step->point->correct,
                         "images_per_s", step->images_per_s));
}

static enum err run_phase(struct train *train, const char *name, int subcenters, int epochs, struct train_result *ret)
{
    struct train_options options = train_default();
    char folder[PATH_MAX];
    int used = 0;

    if (snprintf(folder, sizeof folder, "%s/%s", train->run_folder, name) >= (int)sizeof folder) {
        return ERR_SAY(train->note, ERR_MISUSE, "the path of --out is too long");
    }
    enum err err = objective_choose(&options.objective, train->loss, train->note);
    if (err == ERR_NONE) {
        err = folder_make(folder, train->note);
    }
    if (err != ERR_NONE) {
        return err;
    }
    options.objective.subcenters = subcenters;
    options.objective.distill_l2 = (float)train->distill;
    options.schedule.rate = (float)train->rate;
    options.epochs = epochs;
    options.batch = (int)train->batch;
    options.shard = (int)train->shard;
    options.balanced = train->balanced;
    options.seed = (uint64_t)train->seed;
    options.checkpoint_folder = folder;
    options.checkpoint_every = 100;
    for (int i = 0; i < train->count; i++) {
        used += train->label[i] >= 0;
    }
    train->phase = name;
    progress_start(&train->progress, name, 0, (long)(used < options.batch ? 1 : used / options.batch) * epochs);
    err = train_phase(train->student, train->label, train->classes, &options, &stop, watch, train, ret, train->note);
    progress_end(&train->progress);
    return err;
}

/* ---- Purifying ---------------------------------------------------------------------------------------------------- */

/* The crops in training, side by side. */
struct judged {
    float *u;
    int *label;
    int *item;
    int n;
    struct verdict *verdict;
};

static enum err gather(struct train *train, struct judged *ret)
{
    size_t dim = (size_t)student_dim(train->student);

    ret->u = ARENA_ARRAY(train->mem, float, (size_t)train->count *dim);
    ret->label = ARENA_ARRAY(train->mem, int, train->count);
    ret->item = ARENA_ARRAY(train->mem, int, train->count);
    ret->verdict = ARENA_ARRAY(train->mem, struct verdict, train->count);
    if (ret->u == NULL || ret->label == NULL || ret->item == NULL || ret->verdict == NULL) {
        return ERR_NOMEM;
    }
    enum err err = student_embed(train->student, &stop, ret->u, train->note);
    ret->n = 0;
    for (int i = 0; i < train->count && err == ERR_NONE; i++) {
        if (train->label[i] >= 0) {
            memmove(ret->u + (size_t)ret->n * dim, ret->u + (size_t)i * dim, dim * sizeof(float));
            ret->label[ret->n] = train->label[i];
            ret->item[ret->n++] = i;
        }
    }
    return err;
}

/* Who stands behind a class of the training. */
static const char *class_name(const struct train *train, int class)
{
    for (int p = 0, at = 0; p < train->people; p++) {
        if (!train->held[p] && at++ == class) {
            return train->names != NULL ? train->names[p] : NULL;
        }
    }
    return NULL;
}

static enum err tell_photos(struct train *train, const struct judged *judged)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *out = train->photos == NULL ? NULL : open_memstream(&text, &n_bytes);
    enum err err = ERR_NONE;

    if (train->photos == NULL) {
        return ERR_NONE;
    }
    for (int i = 0; out != NULL && i < judged->n; i++) {
        const struct verdict *verdict = &judged->verdict[i];
        int64_t id = dataset_id(train->dataset, judged->item[i]);
        json_t *line = json_pack("{s:I, s:s*, s:s*, s:i, s:b, s:b, s:f}", "id", (json_int_t)id, "file",
                                 train->names != NULL ? train->folder.paths[id] : NULL, "person",
                                 class_name(train, judged->label[i]), "subcenter", verdict->subcenter, "keep",
                                 verdict->keep, "unsure", verdict->unsure, "degrees", (double)verdict->degrees);
        if (verdict->likely >= 0) {
            const char *likely = class_name(train, verdict->likely);
            (void)json_object_set_new(line, "likely",
                                      likely != NULL ? json_string(likely) : json_integer(verdict->likely));
            (void)json_object_set_new(line, "likely_degrees", json_real((double)verdict->likely_degrees));
        }
        if (line == NULL || json_dumpf(line, out, JSON_COMPACT | JSON_REAL_PRECISION(7)) != 0) {
            err = ERR_SAY(train->note, ERR_FOREIGN, "a file's name is not UTF-8: %s cannot be written", train->photos);
        }
        (void)fputc('\n', out);
        json_decref(line);
    }
    if (out == NULL || fclose(out) != 0) {
        err = ERR_NOMEM;
    }
    err = err == ERR_NONE ? file_write(train->photos, text, n_bytes, train->note) : err;
    free(text); /* open_memstream's, foreign heap */
    return err;
}

/* Drops what was judged so; people who lose all are gone, and the others are numbered anew. */
static enum err drop(struct train *train, const struct judged *judged)
{
    int *left = ARENA_ARRAY(train->mem, int, train->classes);
    int classes = 0;

    if (left == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < judged->n; i++) {
        train->dropped += !judged->verdict[i].keep;
        train->unsure += judged->verdict[i].unsure;
        train->label[judged->item[i]] = judged->verdict[i].keep ? judged->label[i] : -1;
        left[judged->label[i]] += judged->verdict[i].keep;
    }
    for (int j = 0; j < train->classes; j++) {
        left[j] = left[j] > 0 ? classes++ : -1;
    }
    for (int i = 0; i < train->count; i++) {
        train->label[i] = train->label[i] >= 0 ? left[train->label[i]] : -1;
    }
    train->classes = classes;
    return classes >= 2 ? ERR_NONE
                        : ERR_SAY(train->note, ERR_FORMAT,
                                  "purifying leaves %d people: these labels say nothing about the faces", classes);
}

static enum err purify(struct train *train)
{
    struct judged judged;
    int dim = student_dim(train->student);
    bool plain = strcmp(train->purify, "plain") == 0;
    enum err err = gather(train, &judged);

    if (err == ERR_NONE && plain) {
        err = purify_plain(judged.u, judged.label, judged.n, dim, train->first.centers, train->classes,
                           train->first.subcenters, PURIFY_DEGREES, train->mem, judged.verdict);
    } else if (err == ERR_NONE) {
        err = purify_refined(judged.u, judged.label, judged.n, dim, train->classes, PURIFY_DEGREES, train->mem,
                             judged.verdict);
    }
    if (err == ERR_NONE) {
        err = tell_photos(train, &judged);
    }
    if (err == ERR_NONE) {
        err = drop(train, &judged);
    }
    if (err == ERR_NONE && !train->bar) {
        print_json(json_pack("{s:s, s:s, s:i, s:i, s:i, s:i}", "kind", "purified", "rule", train->purify, "photos",
                             judged.n, "dropped", train->dropped, "unsure", train->unsure, "people", train->classes));
    }
    return err;
}

/* ---- Proving ------------------------------------------------------------------------------------------------------ */

struct proof {
    bool made;
    struct evaluation before, after;
    struct interval gain;
};

static enum err prove(struct train *train, struct proof *ret)
{
    size_t dim = (size_t)student_dim(train->student);
    struct evaluate_options options = evaluate_default();
    float *before = ARENA_ARRAY(train->mem, float, (size_t)train->count *dim);
    float *after = ARENA_ARRAY(train->mem, float, (size_t)train->count *dim);
    int *person = ARENA_ARRAY(train->mem, int, train->count);
    int *number = ARENA_ARRAY(train->mem, int, train->people);
    int n = 0;

    options.seed = (uint64_t)train->seed;
    if (train->n_held < 2) {
        return ERR_NONE;
    }
    if (before == NULL || after == NULL || person == NULL || number == NULL) {
        return ERR_NOMEM;
    }
    for (int p = 0, next = 0; p < train->people; p++) {
        number[p] = train->held[p] ? next++ : -1;
    }
    enum err err = student_embed(train->student, &stop, after, train->note);
    for (int i = 0; i < train->count && err == ERR_NONE; i++) {
        int p = number[dataset_label(train->dataset, i)];
        if (p >= 0) {
            memcpy(before + (size_t)n * dim, student_teacher(train->student) + (size_t)i * dim, dim * sizeof(float));
            memmove(after + (size_t)n * dim, after + (size_t)i * dim, dim * sizeof(float));
            person[n++] = p;
        }
    }
    if (err == ERR_NONE) {
        err = evaluate_set(before, person, n, (int)dim, train->n_held, &options, train->mem, &ret->before, train->note);
    }
    if (err == ERR_NONE) {
        err = evaluate_set(after, person, n, (int)dim, train->n_held, &options, train->mem, &ret->after, train->note);
    }
    if (err == ERR_NONE) {
        err = evaluate_gain(before, (int)dim, after, (int)dim, person, n, train->n_held, GAIN_FMR, &options, train->mem,
                            &ret->gain, train->note);
    }
    ret->made = err == ERR_NONE;
    return err;
}

static void say_proof(const struct train *train, const struct proof *proof)
{
    const struct evaluation *sides[] = {&proof->before, &proof->after};
    static const char *const names[] = {"before", "after"};

    for (int s = 0; s < 2; s++) {
        const struct evaluation *e = sides[s];
        for (int i = 0; i < e->n_tar; i++) {
            const struct interval *hit = &e->tar[i].hit;
            if (train->bar && e->tar[i].measured) {
                (void)printf("%-6s TAR at FMR %-6g %6.2f %%  [%6.2f, %6.2f]\n", names[s], e->tar[i].rate,
                             100 * hit->value, 100 * hit->low, 100 * hit->high);
            } else if (!train->bar && e->tar[i].measured) {
                print_json(json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "kind", "TAR", "model", names[s], "fmr",
                                     e->tar[i].rate, "value", hit->value, "low", hit->low, "high", hit->high));
            }
        }
        if (e->identifies && train->bar) {
            (void)printf("%-6s rank-1            %6.2f %%  [%6.2f, %6.2f]\n", names[s], 100 * e->rank1.value,
                         100 * e->rank1.low, 100 * e->rank1.high);
        } else if (e->identifies) {
            print_json(json_pack("{s:s, s:s, s:i, s:f, s:f, s:f}", "kind", "rank", "model", names[s], "rank", 1,
                                 "value", e->rank1.value, "low", e->rank1.low, "high", e->rank1.high));
        }
    }
    if (train->bar) {
        (void)printf("change of TAR at FMR %g: %+.2f points [%+.2f, %+.2f]\n", GAIN_FMR, 100 * proof->gain.value,
                     100 * proof->gain.low, 100 * proof->gain.high);
    } else {
        print_json(json_pack("{s:s, s:f, s:f, s:f, s:f}", "kind", "gain", "fmr", GAIN_FMR, "value", proof->gain.value,
                             "low", proof->gain.low, "high", proof->gain.high));
    }
}

/* ---- Writing ------------------------------------------------------------------------------------------------------ */

/* The old model's manifest without its calibration, which does not hold for other weights. */
static enum err write_manifest(const struct train *train, const char *path)
{
    json_t *root = json_loads(train->recognizer->manifest.json, 0, NULL);
    char *text = NULL;
    enum err err = ERR_NONE;

    (void)json_object_del(root, "calibration");
    if (root == NULL ||
        json_object_set_new(root, "trained",
                            json_pack("{s:s, s:i, s:i, s:s}", "from", train->recognizer->onnx_sha256, "people",
                                      train->last.classes, "steps", (int)train->last.steps, "loss", train->loss)) !=
            0 ||
        (text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))) == NULL) {
        err = ERR_SAY(train->note, ERR_NOMEM, "no memory for the manifest");
    }
    err = err == ERR_NONE ? file_write(path, text, strlen(text), train->note) : err;
    free(text); /* jansson's, foreign heap */
    json_decref(root);
    return err;
}

static void add_fact(struct report *report, const char *name, const char *value)
{
    if (value != NULL && report->n_facts < REPORT_MOST_FACTS) {
        report->facts[report->n_facts++] = (struct report_fact){name, value};
    }
}

static enum err write_report(const struct train *train, const struct proof *proof, const char *path)
{
    struct arena *mem = train->mem;
    struct report report = {
        .title = arena_format(mem, "%s, trained on %d people", train->recognizer->name, train->last.classes)};

    if (report.title == NULL) {
        return ERR_NOMEM;
    }
    add_fact(&report, "from", train->recognizer->onnx_sha256);
    add_fact(&report, "crops",
             arena_format(mem, "%d of %d people, %d people held out", train->count, train->people, train->n_held));
    add_fact(&report, "loss", train->loss);
    add_fact(&report, "learning",
             arena_format(mem, "the upper %.0f %% of the convolutions, rate %g, batches of %ld", 100 * train->learn,
                          train->rate, train->batch));
    add_fact(&report, "distillation", arena_format(mem, "%g · |u − teacher|²", train->distill));
    add_fact(&report, "purified", arena_format(mem, "%s: %d photos dropped", train->purify, train->dropped));
    add_fact(&report, "memory of the tapes", arena_format(mem, "%zu MiB", train->last.peak_bytes >> 20));
    add_fact(&report, "maps below the cut", arena_format(mem, "%zu MiB", student_maps_bytes(train->student) >> 20));
    if (train->has_first) {
        report.phases[report.n_phases++] = (struct report_phase){"First phase", &train->first};
    }
    report.phases[report.n_phases++] = (struct report_phase){"Last phase, one center a person", &train->last};
    if (proof->made) {
        report.before = &proof->before;
        report.after = &proof->after;
        report.gain = &proof->gain;
        report.gain_fmr = GAIN_FMR;
    }
    return report_write(&report, path, train->note);
}

static enum err write_all(const struct train *train, const struct proof *proof)
{
    const char *manifest = arena_format(train->mem, "%s.json", train->out);
    const char *page = arena_format(train->mem, "%s.html", train->out);
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = manifest == NULL || page == NULL ? ERR_NOMEM : ERR_NONE;

    if (err == ERR_NONE) {
        err = student_save(train->student, &bytes, &n_bytes, train->note);
    }
    if (err == ERR_NONE) {
        err = file_write(train->out, bytes, n_bytes, train->note);
    }
    mem_free(bytes);
    if (err == ERR_NONE) {
        err = write_manifest(train, manifest);
    }
    return err != ERR_NONE ? err : write_report(train, proof, page);
}

/* What was only there to go on from holds people's crops: it goes when the model is there. */
static enum err remove_run(const struct train *train)
{
    static const char *const phases[] = {"first", "last"};
    char path[PATH_MAX];
    enum err err = ERR_NONE;

    for (int i = 0; i < 2 && err == ERR_NONE; i++) {
        if (snprintf(path, sizeof path, "%s/%s", train->run_folder, phases[i]) < (int)sizeof path &&
            file_exists(path)) {
            err = checkpoint_clear(path, train->note);
            (void)rmdir(path);
        }
    }
    if (err == ERR_NONE && snprintf(path, sizeof path, "%s/data", train->run_folder) < (int)sizeof path) {
        err = file_remove(path, train->note);
    }
    (void)rmdir(train->run_folder);
    return err;
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static enum err run(struct train *train)
{
    struct proof proof = {0};
    bool purifies = strcmp(train->purify, "none") != 0;
    enum err err = folder_make(train->run_folder, train->note);

    if (err == ERR_NONE) {
        err = open_data(train);
    }
    if (err == ERR_NONE) {
        err = divide_people(train);
    }
    if (err == ERR_NONE) {
        err = load_student(train);
    }
    if (err == ERR_NONE && purifies) {
        bool few = train->count < PHOTOS_FOR_SUBCENTERS * train->people;
        int epochs = train->epochs < 3 ? 1 : (int)train->epochs / 3;
        err = run_phase(train, "first", few ? 1 : (int)train->subcenters, epochs, &train->first);
        train->has_first = err == ERR_NONE;
    }
    if (err == ERR_NONE && purifies) {
        err = purify(train);
    }
    if (err == ERR_NONE) {
        err = run_phase(train, "last", 1, (int)train->epochs, &train->last);
    }
    if (err == ERR_NONE) {
        err = prove(train, &proof);
    }
    if (err == ERR_NONE && proof.made) {
        say_proof(train, &proof);
    }
    if (err == ERR_NONE) {
        err = write_all(train, &proof);
    }
    return err != ERR_NONE ? err : remove_run(train);
}

static bool take_flags(struct train *train, int *argc, char **argv)
{
    (void)command_option(argc, argv, "--set", &train->set);
    (void)command_option(argc, argv, "--dataset", &train->dataset_path);
    (void)command_option(argc, argv, "--only", &train->only);
    (void)command_option(argc, argv, "--except", &train->except);
    (void)command_option(argc, argv, "--out", &train->out);
    (void)command_option(argc, argv, "--loss", &train->loss);
    (void)command_option(argc, argv, "--purify", &train->purify);
    (void)command_option(argc, argv, "--photos", &train->photos);
    train->aligned = command_switch(argc, argv, "--aligned");
    train->balanced = command_switch(argc, argv, "--balanced");
    return command_whole(argc, argv, "--subcenters", 1, 64, &train->subcenters) &&
           command_whole(argc, argv, "--epochs", 1, 100000, &train->epochs) &&
           command_whole(argc, argv, "--batch", 1, 65536, &train->batch) &&
           command_whole(argc, argv, "--shard", 1, 65536, &train->shard) &&
           command_whole(argc, argv, "--looks", 1, 1000, &train->looks) &&
           command_whole(argc, argv, "--seed", 0, LONG_MAX, &train->seed) &&
           command_whole(argc, argv, "--threads", 1, 64, &train->threads) &&
           command_real(argc, argv, "--learn", .01, 1, &train->learn) &&
           command_real(argc, argv, "--rate", 1e-9, 10, &train->rate) &&
           command_real(argc, argv, "--distill", 0, 1000, &train->distill) &&
           command_real(argc, argv, "--holdout", 0, .9, &train->holdout);
}

static const char *wrong_flags(const struct train *train, const struct config *config)
{
    if ((train->set != NULL) + (train->dataset_path != NULL) != 1 || config->n_words > 0) {
        return "name what to learn from: --set DIR or --dataset FILE";
    }
    if (config->recognizer[0] == '\0' || train->out == NULL) {
        return "which recogniser, and where to? --recognizer FILE.onnx --out FILE.onnx";
    }
    if (train->set != NULL && !train->aligned && config->detector[0] == '\0') {
        return "photos need a detector (--detector FILE.onnx); crops need --aligned";
    }
    if (strcmp(train->purify, "refined") != 0 && strcmp(train->purify, "plain") != 0 &&
        strcmp(train->purify, "none") != 0) {
        return "--purify must be refined, plain or none";
    }
    if (strcmp(train->purify, "plain") == 0 && strcmp(train->loss, "softmax") == 0) {
        return "the plain rule needs unit centers, which the plain softmax has not";
    }
    return NULL;
}

static enum err load_models(struct train *train, const struct config *config)
{
    enum err err = model_load(config->recognizer, MODEL_RECOGNIZER, &train->recognizer, train->note);

    if (err == ERR_NONE && train->set != NULL && !train->aligned) {
        err = model_load(config->detector, MODEL_DETECTOR, &train->detector, train->note);
    }
    return err != ERR_NONE ? err : pool_new((int)train->threads, &train->pool);
}

static void release(struct train *train)
{
    train_result_release(&train->first);
    train_result_release(&train->last);
    student_free(train->student);
    dataset_close(train->dataset);
    pool_free(train->pool);
    model_free(train->detector);
    model_free(train->recognizer);
    arena_free(train->mem);
}

int command_train(int argc, char **argv)
{
    struct err_note note = {0};
    struct config config;
    struct sigaction action = {.sa_handler = on_signal};
    struct train train = {.loss = "arcface",
                          .purify = "refined",
                          .learn = .3,
                          .rate = 3e-4,
                          .distill = 10,
                          .holdout = .2,
                          .subcenters = 3,
                          .epochs = 8,
                          .batch = 32,
                          .shard = 8,
                          .looks = 4,
                          .seed = 1,
                          .threads = cpu_count(),
                          .bar = isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1,
                          .note = &note};

    const char *job = NULL;
    if (command_option(&argc, argv, "--job", &job)) {
        return train_job(job);
    }
    if (!take_flags(&train, &argc, argv)) {
        return EXIT_USAGE;
    }
    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    const char *wrong = wrong_flags(&train, &config);
    if (wrong == NULL &&
        snprintf(train.run_folder, sizeof train.run_folder, "%s.run", train.out) >= (int)sizeof train.run_folder) {
        wrong = "the path of --out is too long";
    }
    if (wrong != NULL) {
        (void)fprintf(stderr, "arcfaced: %s\n%s", wrong, usage);
        config_release(&config);
        return EXIT_USAGE;
    }
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    train.recognizer_path = config.recognizer;
    train.mem = arena_new(ARENA_BYTES);
    err = train.mem == NULL ? ERR_NOMEM : load_models(&train, &config);
    if (err == ERR_NONE) {
        err = run(&train);
    }
    int status = EXIT_DONE;
    if (err == ERR_CANCELLED) {
        (void)fprintf(stderr, "arcfaced: stopped; the same call goes on from %s\n", train.run_folder);
        status = EXIT_FAILED;
    } else if (err != ERR_NONE) {
        status = command_fail(EXIT_FAILED, err, &note);
    }
    release(&train);
    config_release(&config);
    return status;
}
