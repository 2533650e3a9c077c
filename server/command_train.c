/* command_train.c: tune a recogniser on a folder of people, prove what it gained, write it. */
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cancel.h"
#include "core/base/file.h"
#include "core/base/point.h"
#include "core/train/checkpoint.h"
#include "core/train/cut.h"
#include "server/command.h"
#include "server/progress.h"
#include "server/train_data.h"
#include "server/train_flags.h"
#include "server/train_job.h"
#include "server/train_out.h"

#define ARENA_BYTES ((size_t)8 << 30)
#define CHECKPOINT_STEPS 100

struct train {
    struct train_wish wish;
    const char *recognizer_path;
    struct model *recognizer;
    struct model *detector;
    struct pool *pool;
    struct dataset *dataset;
    struct student *student;
    struct people_folder folder;
    const char **names; /* behind each label; NULL with --dataset */
    char run_folder[PATH_MAX];
    int people, count;
    int *person; /* [count] */
    struct parts parts;
    struct course_result course;
    struct train_measured measured;

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
    const struct train_wish *wish = &train->wish;
    char path[PATH_MAX];
    enum err err;

    if (wish->dataset == NULL) {
        if (snprintf(path, sizeof path, "%s/data", train->run_folder) >= (int)sizeof path) {
            return ERR_SAY(train->note, ERR_MISUSE, "the path of --out is too long");
        }
        err = people_folder_read(wish->set, wish->only, wish->except, train->mem, &train->folder, train->note);
        train->names = err != ERR_NONE ? NULL : ARENA_ARRAY(train->mem, const char *, train->folder.people);
        if (train->names == NULL) {
            return err != ERR_NONE ? err : ERR_NOMEM;
        }
        err = train_data_write(&train->folder, wish->aligned ? NULL : train->detector, train->recognizer->side,
                               (int)wish->threads, 2, path, &stop, train->names, &train->people, train->note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    err = dataset_open(wish->dataset != NULL ? wish->dataset : path, &train->dataset, train->note);
    if (err != ERR_NONE) {
        return err;
    }
    train->people = dataset_people(train->dataset);
    train->count = dataset_count(train->dataset);
    train->person = ARENA_ARRAY(train->mem, int, train->count);
    if (train->person == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < train->count; i++) {
        train->person[i] = dataset_label(train->dataset, i);
    }
    return dataset_side(train->dataset) == train->recognizer->side
               ? ERR_NONE
               : ERR_SAY(train->note, ERR_CONFLICT, "the crops are %d pixels a side, the recogniser takes %d",
                         dataset_side(train->dataset), train->recognizer->side);
}

/* What a file without its BatchNormalizations has lost. */
static void say_folded(const struct graph *graph)
{
    char text[STUDENT_FOLDED_TEXT];

    if (student_is_folded(graph, text)) {
        (void)fprintf(stderr, "arcfaced: %s\n", text);
    }
}

/* Where learning begins; *ret stays NULL for the whole network. */
static enum err find_cut(struct train *train, const struct graph *graph, const char **ret)
{
    const struct train_wish *wish = &train->wish;
    const char *cut = NULL;
    enum err err = ERR_NONE;

    if (wish->from != NULL) {
        err = cut_below(graph, wish->from, &cut, train->note);
    } else if (wish->learn < 1) {
        err = cut_find(graph, wish->learn, &cut, train->note);
    }
    if (err == ERR_NONE && cut != NULL) {
        *ret = arena_copy_text(train->mem, cut);
        err = *ret == NULL ? ERR_NOMEM : ERR_NONE;
    }
    return err;
}

static enum err load_student(struct train *train)
{
    const struct train_wish *wish = &train->wish;
    struct student_options options = {.how = train->recognizer->manifest.how,
                                      .augment = augment_default(),
                                      .looks = (int)wish->looks,
                                      .learn_norms = wish->learn_norms,
                                      .seed = wish->course.train.seed};
    struct model_bytes file = {.bytes = NULL};
    struct graph *graph = NULL;
    enum err err = model_bytes_open(train->recognizer_path, MODEL_RECOGNIZER, &file, train->note);

    if (err == ERR_NONE) {
        err = student_load(file.bytes, file.n_bytes, &graph, train->note);
        model_bytes_close(&file);
    }
    if (err == ERR_NONE) {
        say_folded(graph);
    }
    if (err == ERR_NONE) {
        err = find_cut(train, graph, &options.cut);
    }
    if (err != ERR_NONE) {
        graph_free(graph);
        return err;
    }
    return student_new(graph, train->dataset, &options, train->pool, &stop, &train->student, train->note);
}

/* ---- The course --------------------------------------------------------------------------------------------------- */

static void watch(void *context, const struct course_step *told)
{
    struct train *train = context;
    const struct train_step *step = told->step;
    char words[64];

    if (step == NULL) {
        progress_end(&train->progress);
        progress_start(&train->progress, told->phase, told->done, told->all);
    } else if (train->bar) {
        (void)snprintf(words, sizeof words, "loss %.3f, %.0f images/s", (double)step->point->loss, step->images_per_s);
        atomic_store(&train->progress.done, told->done);
        progress_show(&train->progress, words);
    } else {
        print_json(json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "kind", "step", "phase",
                             told->phase, "step", (int)step->step, "steps", (int)step->steps, "epoch",
                             (int)step->epoch + 1, "loss", (double)step->point->loss, "terms",
                             (double)step->point->terms, "rate", (double)step->point->rate, "angle_degrees",
                             (double)step->point->angle * (180 / 3.14159265358979), "correct",
                             (double)step->point->correct, "images_per_s", step->images_per_s));
    }
}

static void say_course(const struct train *train)
{
    const struct course_result *course = &train->course;
    const struct verdict *asked = train->wish.course.rule == COURSE_PLAIN ? course->plain : course->refined;
    int dropped = 0;
    int unsure = 0;

    for (int i = 0; i < course->n_judged; i++) {
        dropped += !asked[i].keep;
        unsure += asked[i].unsure;
    }
    if (!train->bar && course->has_first) {
        print_json(json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "kind", "purified", "rule", train->wish.purify,
                             "photos", course->n_judged, "dropped", dropped, "unsure", unsure, "plain", course->n_plain,
                             "refined", course->n_refined, "people", course->classes));
    }
    for (int k = 0; course->blended && k < BLEND_SHARES; k++) {
        bool chosen = course->blend.shares[k] == course->blend.share;
        if (train->bar) {
            (void)printf("share %3.0f %%: mean TAR %6.2f %%%s\n", 100 * (double)course->blend.shares[k],
                         100 * course->blend.score[k], chosen ? "  chosen" : "");
        } else {
            print_json(json_pack("{s:s, s:f, s:f, s:b}", "kind", "share", "share", (double)course->blend.shares[k],
                                 "mean_tar", course->blend.score[k], "chosen", (int)chosen));
        }
    }
}

static enum err run_course(struct train *train)
{
    struct course_options options = train->wish.course;

    options.folder = train->run_folder;
    options.train.checkpoint_every = CHECKPOINT_STEPS;
    enum err err = course_run(train->student, train->person, train->people, &train->parts, &options, &stop, watch,
                              train, train->mem, &train->course, train->note);
    progress_end(&train->progress);
    return err;
}

/* ---- Proving ------------------------------------------------------------------------------------------------------ */

/* The photos held out, side by side, as both models embed them. */
struct held {
    float *before, *after;
    int *person;
    int n, people;
};

static enum err gather_held(struct train *train, struct held *ret)
{
    size_t dim = (size_t)student_dim(train->student);
    const float *teacher = student_teacher(train->student);
    int *item = ARENA_ARRAY(train->mem, int, train->count);
    int *number = ARENA_ARRAY(train->mem, int, train->people);
    struct held held = {.before = ARENA_ARRAY(train->mem, float, (size_t)train->count *dim),
                        .after = ARENA_ARRAY(train->mem, float, (size_t)train->count *dim),
                        .person = ARENA_ARRAY(train->mem, int, train->count)};

    if (item == NULL || number == NULL || held.before == NULL || held.after == NULL || held.person == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < train->count; i++) {
        if (train->parts.part[i] == PART_HELD) {
            int p = train->person[i];
            number[p] = number[p] == 0 ? ++held.people : number[p];
            memcpy(held.before + (size_t)held.n * dim, teacher + (size_t)i * dim, dim * sizeof(float));
            held.person[held.n] = number[p] - 1;
            item[held.n++] = i;
        }
    }
    enum err err =
        held.n == 0 ? ERR_NONE : student_embed_some(train->student, item, held.n, &stop, held.after, train->note);
    *ret = held;
    return err;
}

/* Leaves out what stands under a wrong name; people who lose all photos keep their number. */
static enum err leave_out_wrong(struct train *train, struct held *held, int *ret_left_out)
{
    size_t dim = (size_t)student_dim(train->student);
    bool *wrong = ARENA_ARRAY(train->mem, bool, held->n);
    int left = 0;

    if (wrong == NULL) {
        return ERR_NOMEM;
    }
    enum err err = purify_both(held->before, (int)dim, held->after, (int)dim, held->person, held->n, held->people,
                               train->wish.course.purify_degrees, train->mem, wrong);
    for (int i = 0; i < held->n && err == ERR_NONE; i++) {
        if (!wrong[i]) {
            memmove(held->before + (size_t)left * dim, held->before + (size_t)i * dim, dim * sizeof(float));
            memmove(held->after + (size_t)left * dim, held->after + (size_t)i * dim, dim * sizeof(float));
            held->person[left++] = held->person[i];
        }
    }
    *ret_left_out = held->n - left;
    held->n = left;
    return err;
}

/* Between evaluations, each of which looks at every pair of what is held out. */
static enum err still_wanted(void)
{
    return cancel_asked(&stop) ? ERR_CANCELLED : ERR_NONE;
}

static enum err prove(struct train *train)
{
    struct train_measured *measured = &train->measured;
    struct evaluate_options options = evaluate_default();
    int dim = student_dim(train->student);
    struct held held = {0};

    options.seed = train->wish.course.train.seed;
    enum err err = gather_held(train, &held);
    if (err != ERR_NONE || held.people < 2) {
        return err;
    }
    measured->photos = held.n;
    err = leave_out_wrong(train, &held, &measured->mislabelled);
    if (err == ERR_NONE) {
        err = still_wanted();
    }
    if (err == ERR_NONE) {
        err = evaluate_set(held.before, held.person, held.n, dim, held.people, &options, train->mem, &measured->before,
                           train->note);
    }
    if (err == ERR_NONE) {
        err = still_wanted();
    }
    if (err == ERR_NONE) {
        err = evaluate_set(held.after, held.person, held.n, dim, held.people, &options, train->mem, &measured->after,
                           train->note);
    }
    if (err == ERR_NONE) {
        err = still_wanted();
    }
    if (err == ERR_NONE) {
        double fmr = evaluate_supported_fmr(&measured->before, TRAIN_GAIN_FMR);
        measured->gain_fmr = fmr > 0 ? fmr : measured->before.tar[0].rate;
        err = evaluate_gain(held.before, dim, held.after, dim, held.person, held.n, held.people, measured->gain_fmr,
                            &options, train->mem, &measured->gain, train->note);
    }
    measured->made = err == ERR_NONE;
    return err;
}

static void say_side(const struct train *train, const char *name, const struct evaluation *e)
{
    for (int i = 0; i < e->n_tar; i++) {
        const struct interval *hit = &e->tar[i].hit;
        if (train->bar && e->tar[i].measured) {
            (void)printf("%-6s TAR at FMR %-6g %6.2f %%  [%6.2f, %6.2f]\n", name, e->tar[i].rate, 100 * hit->value,
                         100 * hit->low, 100 * hit->high);
        } else if (!train->bar && e->tar[i].measured) {
            print_json(json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "kind", "TAR", "model", name, "fmr", e->tar[i].rate,
                                 "value", hit->value, "low", hit->low, "high", hit->high));
        }
    }
    if (e->identifies && train->bar) {
        (void)printf("%-6s rank-1            %6.2f %%  [%6.2f, %6.2f]\n", name, 100 * e->rank1.value,
                     100 * e->rank1.low, 100 * e->rank1.high);
    } else if (e->identifies) {
        print_json(json_pack("{s:s, s:s, s:i, s:f, s:f, s:f}", "kind", "rank", "model", name, "rank", 1, "value",
                             e->rank1.value, "low", e->rank1.low, "high", e->rank1.high));
    }
}

static void say_proof(const struct train *train)
{
    const struct train_measured *measured = &train->measured;

    say_side(train, "before", &measured->before);
    say_side(train, "after", &measured->after);
    if (train->bar) {
        (void)printf("change of TAR at FMR %g: %+.2f points [%+.2f, %+.2f]\n", measured->gain_fmr,
                     100 * measured->gain.value, 100 * measured->gain.low, 100 * measured->gain.high);
    } else {
        print_json(json_pack("{s:s, s:f, s:f, s:f, s:f, s:i, s:i}", "kind", "gain", "fmr", measured->gain_fmr, "value",
                             measured->gain.value, "low", measured->gain.low, "high", measured->gain.high, "photos",
                             measured->photos, "mislabelled", measured->mislabelled));
    }
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

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

static enum err run(struct train *train)
{
    enum err err = folder_make(train->run_folder, train->note);

    if (err == ERR_NONE) {
        err = open_data(train);
    }
    if (err == ERR_NONE) {
        err = parts_make(train->person, train->count, train->people, train->wish.holdout, train->wish.course.train.seed,
                         train->mem, &train->parts, train->note);
    }
    if (err == ERR_NONE) {
        err = load_student(train);
    }
    if (err == ERR_NONE) {
        err = run_course(train);
    }
    if (err != ERR_NONE) {
        return err;
    }
    const struct train_out out = {.wish = &train->wish,
                                  .from = train->recognizer,
                                  .student = train->student,
                                  .dataset = train->dataset,
                                  .folder = train->names != NULL ? &train->folder : NULL,
                                  .names = train->names,
                                  .parts = &train->parts,
                                  .course = &train->course,
                                  .measured = &train->measured,
                                  .mem = train->mem,
                                  .note = train->note};
    say_course(train);
    err = train_out_photos(&out);
    if (err == ERR_NONE) {
        err = prove(train);
    }
    if (err == ERR_NONE && train->measured.made) {
        say_proof(train);
    }
    if (err == ERR_NONE) {
        err = train_out_write(&out);
    }
    return err != ERR_NONE ? err : remove_run(train);
}

static const char *wrong_flags(struct train *train, const struct config *config)
{
    const struct train_wish *wish = &train->wish;

    if ((wish->set != NULL) + (wish->dataset != NULL) != 1 || config->n_words > 0) {
        return "name what to learn from: --set DIR or --dataset FILE";
    }
    if (config->recognizer[0] == '\0' || wish->out == NULL) {
        return "which recogniser, and where to? --recognizer FILE.onnx --out FILE.onnx";
    }
    if (wish->set != NULL && !wish->aligned && config->detector[0] == '\0') {
        return "photos need a detector (--detector FILE.onnx); crops need --aligned";
    }
    if (snprintf(train->run_folder, sizeof train->run_folder, "%s.run", wish->out) >= (int)sizeof train->run_folder) {
        return "the path of --out is too long";
    }
    return NULL;
}

static enum err load_models(struct train *train, const struct config *config)
{
    enum err err = model_load(config->recognizer, MODEL_RECOGNIZER, &train->recognizer, train->note);

    if (err == ERR_NONE && train->wish.set != NULL && !train->wish.aligned) {
        err = model_load(config->detector, MODEL_DETECTOR, &train->detector, train->note);
    }
    return err != ERR_NONE ? err : pool_new((int)train->wish.threads, &train->pool);
}

static void release(struct train *train)
{
    course_release(&train->course);
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
    struct train train = {.bar = isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1, .note = &note};
    const char *job = NULL;

    if (command_option(&argc, argv, "--job", &job)) {
        const char *kill_at = "";
        (void)command_option(&argc, argv, "--kill-at", &kill_at);
        point_arm(kill_at);
        return train_job(job);
    }
    if (!train_flags_take(&train.wish, &argc, argv)) {
        return EXIT_USAGE;
    }
    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    const char *wrong = wrong_flags(&train, &config);
    if (wrong != NULL) {
        (void)fprintf(stderr, "arcfaced: %s\n%s", wrong, train_usage);
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
