/* command_train_recognizer.c: a recogniser made from nothing (or from one of ours), taught by another. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
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
#include "core/train/build.h"
#include "core/train/trainer.h"
#include "server/command.h"
#include "server/command_flags.h"
#include "server/progress.h"
#include "server/taught_data.h"
#include "server/taught_mixes.h"

#define ARENA_BYTES ((size_t)4 << 30)
#define MODEL_BYTES ((size_t)512 << 20)
#define TELL_EVERY 50 /* steps, where no terminal looks on */

const char command_train_recognizer_usage[] =
    "usage: arcfaced train-recognizer --teacher F.onnx --set DIR --detector F --out OUT.onnx [flags]\n"
    "Makes a recogniser: a teacher embeds the crops once, and the new network learns to give its embeddings, with\n"
    "ArcFace on the people beside it.  Writes OUT.onnx, OUT.onnx.json (its manifest) and, while it runs, the folder\n"
    "OUT.onnx.run, from which the same call goes on after it was cut off.\n"
    "  --set DIR            photos, a folder for each person; the detector finds the faces\n"
    "  --only FILE, --except FILE  lists of people of --set, one a line\n"
    "  --detect-side N      of the photos as the detector sees them (its default)\n"
    "  --crops DIR          aligned crops, a folder for each person, beside or instead of --set\n"
    "  --mixes N            faces between two people's, which nobody has, for the teacher to speak of (0)\n"
    "  --network NAME       small, y1, mbf, r18 ... (small)\n"
    "  --start FILE.onnx    begin from a recogniser that this command made\n"
    "  --epochs N           (8)\n"
    "  --rate R             of learning, falling to 0 (0.002)\n"
    "  --distill W          weight of the teacher beside ArcFace (100)\n"
    "  --batch N --shard N  crops a step (64) and at once in memory (16)\n"
    "  --data-only          crops and the teacher's embeddings, and stop\n"
    "  --peek               write OUT.onnx from the last checkpoint, and stop\n"
    "  --seed N --threads N\n";

struct training {
    /* asked for */
    const char *teacher_path, *set, *only, *except, *crops, *detector_path, *network, *start, *out;
    long epochs, batch, shard, seed, threads, detect_side, mixes;
    double rate, distill;
    bool data_only, peek;

    struct model *teacher, *detector;
    struct pool *pool;
    struct dataset *dataset;
    float *taught; /* [crops, dim of the teacher] */
    struct student *student;
    struct train_result result;
    char folder[PATH_MAX], checkpoints[PATH_MAX];
    int64_t begun_ns;
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

/* What the new network expects: its manifest says the same. */
static struct preprocess own_preprocess(void)
{
    return (struct preprocess){.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {127.5F, 127.5F, 127.5F}};
}

/* Mirrored, moved a little, in other light: what costs little beside a step of a small network. */
static struct augment own_augment(void)
{
    struct augment augment = {.flip = .5F,
                              .move = .8F,
                              .move_degrees = 6,
                              .move_scale = .08F,
                              .move_pixels = 4,
                              .light = .3F,
                              .light_strength = .2F,
                              .grey = .05F};
    return augment;
}

/* ---- Data --------------------------------------------------------------------------------------------------------- */

/* The data set with mixes takes the place of the one without. */
static enum err open_mixed(struct training *t)
{
    char path[PATH_MAX];
    struct dataset *mixed = NULL;
    enum err err = ERR_NONE;

    if (snprintf(path, sizeof path, "%s/data-%ld", t->folder, t->mixes) >= (int)sizeof path) {
        return ERR_SAY(t->note, ERR_MISUSE, "the path of --out is too long");
    }
    if (!file_exists(path)) {
        err = taught_mixes_write(t->dataset, (int)t->mixes, (uint64_t)t->seed, path, t->note);
    }
    if (err == ERR_NONE) {
        err = dataset_open(path, &mixed, t->note);
    }
    if (err == ERR_NONE) {
        dataset_close(t->dataset);
        t->dataset = mixed;
    }
    return err;
}

static enum err open_data(struct training *t)
{
    struct taught_source sources[2];
    char path[PATH_MAX];
    int n = 0;
    enum err err = ERR_NONE;

    if (snprintf(path, sizeof path, "%s/data", t->folder) >= (int)sizeof path) {
        return ERR_SAY(t->note, ERR_MISUSE, "the path of --out is too long");
    }
    if (!file_exists(path)) {
        if (t->set != NULL) {
            sources[n++] = (struct taught_source){t->set, t->only, t->except, t->detector, (int)t->detect_side};
        }
        if (t->crops != NULL) {
            sources[n++] = (struct taught_source){t->crops, NULL, NULL, NULL, 0};
        }
        err = taught_data_write(sources, n, BUILD_SIDE, (int)t->threads, path, t->mem, t->note);
    }
    if (err == ERR_NONE) {
        err = dataset_open(path, &t->dataset, t->note);
    }
    if (err == ERR_NONE && t->mixes > 0) {
        err = open_mixed(t);
    }
    return err != ERR_NONE
               ? err
               : taught_embeddings(t->dataset, t->teacher, (int)t->threads, t->folder, t->mem, &t->taught, t->note);
}

/* ---- Learning ----------------------------------------------------------------------------------------------------- */

static enum err first_network(const struct training *t, struct graph **ret)
{
    struct build_options options = {.seed = (uint64_t)t->seed, .embedding = t->teacher->dim};
    enum build_network which;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    if (t->start == NULL) {
        return build_find(t->network, &which) ? build_network(which, &options, ret, t->note)
                                              : ERR_SAY(t->note, ERR_MISUSE, "there is no network '%.40s'", t->network);
    }
    enum err err = file_read(t->start, MODEL_BYTES, &bytes, &n_bytes, t->note);
    if (err == ERR_NONE) {
        err = student_load(bytes, n_bytes, ret, t->note);
    }
    mem_free(bytes);
    return err;
}

static enum err load_student(struct training *t)
{
    const struct student_options options = {.how = own_preprocess(),
                                            .augment = own_augment(),
                                            .seed = (uint64_t)t->seed,
                                            .learn_norms = true,
                                            .teacher = t->taught,
                                            .teacher_dim = t->teacher->dim};
    struct graph *graph = NULL;
    enum err err = first_network(t, &graph);

    return err != ERR_NONE ? err : student_new(graph, t->dataset, &options, t->pool, &stop, &t->student, t->note);
}

static void watch(void *context, const struct train_step *step)
{
    struct training *t = context;

    if (t->bar) {
        atomic_store(&t->progress.done, step->step);
        progress_show(&t->progress, "");
    } else if (step->step == 1 || step->step % TELL_EVERY == 0 || step->step == step->steps) {
        double past = (double)(clock_monotonic_ns() - t->begun_ns) * 1e-9;
        (void)printf("{\"step\":%ld,\"steps\":%ld,\"epoch\":%ld,\"loss\":%.4f,\"distill\":%.5f,\"rate\":%.3g,"
                     "\"norm\":%.3g,\"images_per_s\":%.1f,\"seconds\":%.0f}\n",
                     step->step, step->steps, step->epoch, (double)step->point->loss,
                     (double)step->point->terms / t->distill, (double)step->point->rate, (double)step->point->norm,
                     step->images_per_s, past);
        (void)fflush(stdout);
    }
}

static enum err learn(struct training *t)
{
    struct train_options options = train_default();
    int count = student_count(t->student);
    int *label = ARENA_ARRAY(t->mem, int, count);

    if (label == NULL) {
        return arena_why(t->mem);
    }
    for (int i = 0; i < count; i++) {
        label[i] = dataset_label(t->dataset, i);
    }
    options.objective.distill_cosine = (float)t->distill;
    options.optimizer = (struct optimizer_options){OPTIMIZER_ADAMW, .beta1 = .9F, .beta2 = .99F, .epsilon = 1e-8F};
    options.schedule = (struct schedule){.kind = SCHEDULE_COSINE, .rate = (float)t->rate};
    options.warmup_share = .02F;
    options.weight_decay = .05F;
    options.center_rate = 1;
    options.clip = 0;
    options.epochs = (int)t->epochs;
    options.batch = (int)t->batch;
    options.shard = (int)t->shard;
    options.batch_statistics = true;
    options.seed = (uint64_t)t->seed;
    options.checkpoint_folder = t->checkpoints;
    options.checkpoint_every = 100;
    t->begun_ns = clock_monotonic_ns();
    progress_start(&t->progress, "learning", 0, (long)count / t->batch * t->epochs);
    enum err err =
        train_phase(t->student, label, dataset_people(t->dataset), &options, &stop, watch, t, &t->result, t->note);
    progress_end(&t->progress);
    return err == ERR_CANCELLED && t->peek ? ERR_NONE : err;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------ */

static enum err write_model(const struct training *t)
{
    char path[PATH_MAX];
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    json_t *manifest =
        json_pack("{s:s, s:s, s:[f,f,f], s:[f,f,f], s:s, s:s, s:b}", "role", "recognizer", "color", "rgb", "mean",
                  127.5, 127.5, 127.5, "std", 127.5, 127.5, 127.5, "source", "made by arcfaced train-recognizer",
                  "licence", "that of the photos and of the teacher it learnt from", "flip", 0);
    char *text = manifest == NULL ? NULL : json_dumps(manifest, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    enum err err = text == NULL ? ERR_SAY(t->note, ERR_NOMEM, "no memory for the manifest") : ERR_NONE;

    if (err == ERR_NONE) {
        err = student_save(t->student, &bytes, &n_bytes, t->note);
    }
    if (err == ERR_NONE) {
        err = file_write(t->out, bytes, n_bytes, t->note);
    }
    if (err == ERR_NONE && snprintf(path, sizeof path, "%s.json", t->out) < (int)sizeof path) {
        err = file_write(path, text, strlen(text), t->note);
    }
    mem_free(bytes);
    free(text); /* jansson's, foreign heap */
    json_decref(manifest);
    return err;
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static enum err run(struct training *t)
{
    enum err err = model_load(t->teacher_path, MODEL_RECOGNIZER, &t->teacher, t->note);

    if (err == ERR_NONE && t->set != NULL) {
        err = model_load(t->detector_path, MODEL_DETECTOR, &t->detector, t->note);
    }
    if (err == ERR_NONE) {
        err = pool_new((int)t->threads, &t->pool);
    }
    if (err == ERR_NONE) {
        err = folder_make(t->folder, t->note);
    }
    if (err == ERR_NONE) {
        err = folder_make(t->checkpoints, t->note);
    }
    if (err == ERR_NONE) {
        err = open_data(t);
    }
    if (err != ERR_NONE || t->data_only) {
        return err;
    }
    err = load_student(t);
    if (err == ERR_NONE && t->peek) {
        cancel_ask(&stop);
    }
    if (err == ERR_NONE) {
        err = learn(t);
    }
    return err != ERR_NONE ? err : write_model(t);
}

static bool take_flags(struct training *t, int *argc, char **argv)
{
    (void)command_option(argc, argv, "--teacher", &t->teacher_path);
    (void)command_option(argc, argv, "--set", &t->set);
    (void)command_option(argc, argv, "--only", &t->only);
    (void)command_option(argc, argv, "--except", &t->except);
    (void)command_option(argc, argv, "--crops", &t->crops);
    (void)command_option(argc, argv, "--network", &t->network);
    (void)command_option(argc, argv, "--start", &t->start);
    (void)command_option(argc, argv, "--out", &t->out);
    t->data_only = command_switch(argc, argv, "--data-only");
    t->peek = command_switch(argc, argv, "--peek");
    return command_whole(argc, argv, "--epochs", 1, 100000, &t->epochs) &&
           command_whole(argc, argv, "--batch", 1, 65536, &t->batch) &&
           command_whole(argc, argv, "--detect-side", 0, 4096, &t->detect_side) &&
           command_whole(argc, argv, "--mixes", 0, 10000000, &t->mixes) &&
           command_whole(argc, argv, "--shard", 1, 65536, &t->shard) &&
           command_whole(argc, argv, "--seed", 0, LONG_MAX, &t->seed) &&
           command_whole(argc, argv, "--threads", 1, 64, &t->threads) &&
           command_real(argc, argv, "--rate", 1e-9, 10, &t->rate) &&
           command_real(argc, argv, "--distill", 1e-3, 1e6, &t->distill);
}

static const char *wrong_flags(const struct training *t, const struct config *config)
{
    if (t->teacher_path == NULL || t->out == NULL || config->n_words > 0) {
        return "who teaches, and where to? --teacher FILE.onnx --out FILE.onnx";
    }
    if (t->set == NULL && t->crops == NULL) {
        return "name what to learn from: --set DIR, --crops DIR, or both";
    }
    if (t->set != NULL && config->detector[0] == '\0') {
        return "photos need a detector (--detector FILE.onnx)";
    }
    return NULL;
}

static void release(struct training *t)
{
    train_result_release(&t->result);
    student_free(t->student);
    dataset_close(t->dataset);
    pool_free(t->pool);
    model_free(t->detector);
    model_free(t->teacher);
    arena_free(t->mem);
}

int command_train_recognizer(int argc, char **argv)
{
    struct err_note note = {0};
    struct config config;
    struct sigaction action = {.sa_handler = on_signal};
    struct training t = {.network = "small",
                         .epochs = 8,
                         .batch = 64,
                         .shard = 16,
                         .threads = cpu_count(),
                         .rate = 2e-3,
                         .distill = 100,
                         .note = &note};

    if (!take_flags(&t, &argc, argv)) {
        return EXIT_USAGE;
    }
    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    const char *wrong = wrong_flags(&t, &config);
    if (wrong != NULL || snprintf(t.folder, sizeof t.folder, "%s.run", t.out) >= (int)sizeof t.folder ||
        snprintf(t.checkpoints, sizeof t.checkpoints, "%s.run/steps", t.out) >= (int)sizeof t.checkpoints) {
        (void)fprintf(stderr, "arcfaced: %s\n%s", wrong != NULL ? wrong : "the path of --out is too long",
                      command_train_recognizer_usage);
        return EXIT_USAGE;
    }
    t.detector_path = config.detector;
    t.mem = arena_new(ARENA_BYTES);
    if (t.mem == NULL) {
        return command_fail(EXIT_FAILED, ERR_NOMEM, &note);
    }
    t.bar = isatty(STDERR_FILENO) != 0;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    err = run(&t);
    release(&t);
    return err == ERR_NONE ? EXIT_DONE : command_fail(EXIT_FAILED, err, &note);
}
