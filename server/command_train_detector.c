/* command_train_detector.c: a detector made from nothing (or from one of ours), taught by another. */
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cancel.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/onnx/onnx.h"
#include "core/train/detector_train.h"
#include "server/command.h"
#include "server/command_flags.h"
#include "server/find_traps.h"
#include "server/label_faces.h"
#include "server/progress.h"

#define ARENA_BYTES ((size_t)4 << 30)
#define MODEL_BYTES ((size_t)64 << 20)
#define TELL_EVERY 50 /* steps, where no terminal looks on */

const char command_train_detector_usage[] =
    "usage: arcfaced train-detector --teacher YUNET.onnx --set DIR --out OUT.onnx [flags]\n"
    "Makes a face detector with five points.  A teacher labels the photos first.  Writes OUT.onnx, OUT.onnx.json (its "
    "manifest)\n"
    "and, while it runs, the folder OUT.onnx.run, from which the same call goes on after it was cut off.\n"
    "  --set DIR            a folder for each person\n"
    "  --only FILE, --except FILE  lists of people, one a line\n"
    "  --most N             photos of each person (2)\n"
    "  --start FILE.onnx    begin from a detector that this command made\n"
    "  --traps              look more often where that detector sees faces that the teacher does not\n"
    "  --keep-statistics    norms go by what that detector has seen: for the last run, whose points come out finer\n"
    "  --steps N            (20000)\n"
    "  --rate R             of learning, falling to 0 (0.002)\n"
    "  --level S            the score that OUT.onnx shall show as 0.5: cells learn how well their boxes fit, and what "
    "is\n"
    "                       no face gets a little of it, too (0.5)\n"
    "  --batch N --shard N  scenes a step (16) and at once in memory (8)\n"
    "  --side N             of a scene, pixels (192)\n"
    "  --labels-only        label the photos, and stop\n"
    "  --peek               write OUT.onnx from the last checkpoint, and stop\n"
    "  --seed N --threads N\n";

struct training {
    /* asked for */
    const char *teacher, *set, *only, *except, *out, *start;
    long most, threads;
    double rate, level;
    bool labels_only, peek, traps;

    struct detector_train_options options;
    long batch, shard, side, seed;
    struct graph *start_graph;
    struct people_folder folder;
    struct detector_labels labels;
    char folder_path[PATH_MAX], labels_path[PATH_MAX], traps_path[PATH_MAX], checkpoints[PATH_MAX];
    struct detector_train_step sum; /* of the steps since the last line */
    long summed;
    bool bar;
    struct progress progress;
    struct arena *mem;
    struct err_note *note;
};

static struct cancel stop;

static void on_signal(int number)
{
    (void)number;
    cancel_ask(&stop);
}

/* ---- Telling -------------------------------------------------------------------------------------------------------- */

static void print_json(json_t *take)
{
    if (take == NULL || json_dumpf(take, stdout, JSON_COMPACT | JSON_REAL_PRECISION(5)) != 0) {
        (void)printf("{\"code\":\"not_printable\"}");
    }
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(take);
}

static void watch(void *context, const struct detector_train_step *step)
{
    struct training *training = context;
    struct detector_train_step *sum = &training->sum;
    char words[96];

    sum->score += step->score;
    sum->box += step->box;
    sum->point += step->point;
    sum->overlap += step->overlap;
    sum->norm += step->norm;
    training->summed++;
    if (training->bar) {
        (void)snprintf(words, sizeof words, "overlap %.3f, points %.3f, %.0f images/s", (double)step->overlap,
                       (double)step->point, step->images_per_s);
        atomic_store(&training->progress.done, step->step);
        progress_show(&training->progress, words);
    } else if (step->step % TELL_EVERY == 0 || step->step == step->steps) {
        double n = (double)training->summed;
        print_json(json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "kind", "step", "step",
                             (int)step->step, "steps", (int)step->steps, "score", (double)sum->score / n, "box",
                             (double)sum->box / n, "points", (double)sum->point / n, "overlap",
                             (double)sum->overlap / n, "norm", (double)sum->norm / n, "rate", (double)step->rate,
                             "images_per_s", step->images_per_s));
        *sum = (struct detector_train_step){0};
        training->summed = 0;
    }
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------- */

/* Keeps the first few photos of each person: many faces teach more than many photos of one. */
static void keep_few(struct people_folder *folder, long most)
{
    int n = 0;

    for (int i = 0, of_person = 0; i < folder->n; i++) {
        of_person = i > 0 && folder->person[i] == folder->person[i - 1] ? of_person + 1 : 1;
        if (of_person <= most) {
            folder->person[n] = folder->person[i];
            folder->paths[n++] = folder->paths[i];
        }
    }
    folder->n = n;
}

static enum err make_folders(struct training *training)
{
    int n = snprintf(training->folder_path, sizeof training->folder_path, "%s.run", training->out);
    int m = snprintf(training->labels_path, sizeof training->labels_path, "%s.run/labels", training->out);
    int j = snprintf(training->traps_path, sizeof training->traps_path, "%s.run/traps", training->out);
    int k = snprintf(training->checkpoints, sizeof training->checkpoints, "%s.run/checkpoints", training->out);

    if (n >= PATH_MAX || m >= PATH_MAX || j >= PATH_MAX || k >= PATH_MAX) {
        return ERR_SAY(training->note, ERR_MISUSE, "the path of --out is too long");
    }
    enum err err = folder_make(training->folder_path, training->note);
    return err != ERR_NONE ? err : folder_make(training->checkpoints, training->note);
}

static enum err load_start(struct training *training)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    struct onnx_info info;

    if (training->start == NULL) {
        return ERR_NONE;
    }
    enum err err = file_read(training->start, MODEL_BYTES, &bytes, &n_bytes, training->note);
    if (err == ERR_NONE) {
        err = onnx_load(bytes, n_bytes, ONNX_AS_WRITTEN, &training->start_graph, &info, training->note);
    }
    mem_free(bytes);
    training->options.start = training->start_graph;
    return err;
}

static enum err write_out(const struct training *training, const unsigned char *onnx, size_t n_bytes)
{
    char path[PATH_MAX];
    json_t *manifest =
        json_pack("{s:s, s:s, s:[f,f,f], s:[f,f,f], s:s, s:s}", "role", "detector", "color", "rgb", "mean", 127.5,
                  127.5, 127.5, "std", 128.0, 128.0, 128.0, "source", "arcfaced train-detector", "licence",
                  "that of its teacher and of the photos it was taught with");
    char *text = manifest == NULL ? NULL : json_dumps(manifest, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    enum err err = text == NULL ? ERR_NOMEM : file_write(training->out, onnx, n_bytes, training->note);

    if (err == ERR_NONE && snprintf(path, sizeof path, "%s.json", training->out) < PATH_MAX) {
        err = file_write(path, text, strlen(text), training->note);
    }
    free(text); /* foreign heap */
    json_decref(manifest);
    return err;
}

static enum err run(struct training *training)
{
    unsigned char *onnx = NULL;
    size_t n_bytes = 0;
    struct pool *pool = NULL;
    enum err err = make_folders(training);

    err = err != ERR_NONE ? err
                          : people_folder_read(training->set, training->only, training->except, training->mem,
                                               &training->folder, training->note);
    if (err == ERR_NONE) {
        keep_few(&training->folder, training->most);
        err = label_faces(training->teacher, &training->folder, (int)training->threads, training->labels_path, &stop,
                          training->mem, &training->labels, training->note);
    }
    if (err != ERR_NONE || training->labels_only) {
        return err;
    }
    err = load_start(training);
    if (err == ERR_NONE && training->traps) {
        err =
            find_traps(training->start, &training->labels, training->traps_path, &stop, training->mem, training->note);
    }
    err = err != ERR_NONE ? err : pool_new((int)training->threads, &pool);
    if (err == ERR_NONE) {
        training->options.checkpoint_folder = training->checkpoints;
        training->options.checkpoint_every = 200;
        training->bar = !training->peek && isatty(STDERR_FILENO) == 1;
        progress_start(&training->progress, "training", 0, training->options.steps);
        err = training->peek
                  ? detector_train_peek(&training->labels, &training->options, &onnx, &n_bytes, training->note)
                  : detector_train(&training->labels, &training->options, pool, &stop, watch, training, &onnx, &n_bytes,
                                   training->note);
        progress_end(&training->progress);
    }
    err = err != ERR_NONE ? err : write_out(training, onnx, n_bytes);
    mem_free(onnx);
    pool_free(pool);
    graph_free(training->start_graph);
    return err;
}

/* ---- Arguments -------------------------------------------------------------------------------------------------------- */

static bool read_flags(struct training *training, int *argc, char **argv)
{
    (void)command_option(argc, argv, "--teacher", &training->teacher);
    (void)command_option(argc, argv, "--set", &training->set);
    (void)command_option(argc, argv, "--only", &training->only);
    (void)command_option(argc, argv, "--except", &training->except);
    (void)command_option(argc, argv, "--out", &training->out);
    (void)command_option(argc, argv, "--start", &training->start);
    training->labels_only = command_switch(argc, argv, "--labels-only");
    training->peek = command_switch(argc, argv, "--peek");
    training->traps = command_switch(argc, argv, "--traps");
    training->options.keep_statistics = command_switch(argc, argv, "--keep-statistics");
    if (!command_whole(argc, argv, "--most", 1, 1000000, &training->most) ||
        !command_whole(argc, argv, "--steps", 1, 100000000, &training->options.steps) ||
        !command_real(argc, argv, "--rate", 1e-7, 1, &training->rate) ||
        !command_real(argc, argv, "--level", .01, .99, &training->level) ||
        !command_whole(argc, argv, "--batch", 1, 1024, &training->batch) ||
        !command_whole(argc, argv, "--shard", 1, 1024, &training->shard) ||
        !command_whole(argc, argv, "--side", 64, 1024, &training->side) ||
        !command_whole(argc, argv, "--seed", 0, LONG_MAX, &training->seed) ||
        !command_whole(argc, argv, "--threads", 1, 64, &training->threads)) {
        return false;
    }
    training->options.rate = (float)training->rate;
    training->options.level = (float)training->level;
    training->options.batch = (int)training->batch;
    training->options.shard = (int)training->shard;
    training->options.side = (int)training->side;
    training->options.seed = (uint64_t)training->seed;
    if (*argc != 0 || training->teacher == NULL || training->set == NULL || training->out == NULL ||
        ((training->traps || training->options.keep_statistics) && training->start == NULL)) {
        (void)fputs(command_train_detector_usage, stderr);
        return false;
    }
    return true;
}

int command_train_detector(int argc, char **argv)
{
    struct err_note note = {0};
    struct training training = {.options = detector_train_default(),
                                .most = 2,
                                .threads = cpu_count(),
                                .mem = arena_new(ARENA_BYTES),
                                .note = &note};

    training.rate = (double)training.options.rate;
    training.level = (double)training.options.level;
    training.batch = training.options.batch;
    training.shard = training.options.shard;
    training.side = training.options.side;
    training.seed = (long)training.options.seed;
    if (training.mem == NULL) {
        return command_fail(EXIT_FAILED, ERR_NOMEM, NULL);
    }
    if (!read_flags(&training, &argc, argv)) {
        arena_free(training.mem);
        return EXIT_USAGE;
    }
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    enum err err = run(&training);
    arena_free(training.mem);
    return err == ERR_NONE ? EXIT_DONE : command_fail(EXIT_FAILED, err, &note);
}
