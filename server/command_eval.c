/* command_eval.c: how good a recogniser is, on LFW or on any set of known people. */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/train/evaluate.h"
#include "server/command.h"
#include "server/command_flags.h"
#include "server/crop_files.h"
#include "server/lfw_pairs.h"
#include "server/people_folder.h"

#define ARENA_BYTES ((size_t)4 << 30)
#define MOST_LFW_PHOTOS 65536

const char command_eval_usage[] =
    "usage: arcfaced eval --recognizer F SET [--detector F | --aligned] [--flip] [flags]\n"
    "SET is one of\n"
    "  --lfw DIR --view 1   threshold chosen on pairsDevTrain.txt, accuracy on pairsDevTest.txt\n"
    "  --lfw DIR --view 2   accuracy over the ten folds of pairs.txt\n"
    "  --set DIR            a folder for each person; --only FILE, --except FILE: lists of people, one a line\n"
    "  --dataset FILE       crops and labels of a training run\n"
    "flags\n"
    "  --aligned            the files are crops, not photos\n"
    "  --flip               embed the mirrored crop too\n"
    "  --enroll N           photos of a known person in the gallery (3)\n"
    "  --rounds N           of the bootstrap by identity (500)\n"
    "  --seed N             of the split and the bootstrap (1)\n"
    "  --det                print the points of the DET curve\n"
    "  --calibrate          write thresholds for the false match rates that the set supports into FILE.onnx.json\n"
    "  --threads N          (all processors)\n";

/* Rates that thresholds are written for, where the set is large enough. */
static const double wanted_rates[] = {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
#define N_WANTED ((int)(sizeof wanted_rates / sizeof wanted_rates[0]))

struct eval {
    /* asked for */
    const char *recognizer_path;
    const char *lfw, *set, *dataset_path, *only, *except;
    long view, threads;
    bool aligned, flip, det, calibrate;
    struct evaluate_options options;

    struct model *detector;
    struct model *recognizer;
    struct arena *mem;
    bool table; /* for a person at a terminal */
    struct err_note *note;
};

/* The embeddings of a list of photos. */
struct embedded {
    float *u;
    unsigned char *state;
    int n, n_seen;
};

/* Why the arena gave nothing, never "no error". */
static enum err spent(const struct arena *mem)
{
    enum err why = arena_why(mem);

    return why == ERR_NONE ? ERR_NOMEM : why;
}

/* ---- Saying ------------------------------------------------------------------------------------------------------ */

static void print_json(json_t *take)
{
    if (take == NULL || json_dumpf(take, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0) {
        (void)printf("{\"code\":\"not_printable\"}");
    }
    (void)printf("\n");
    json_decref(take);
}

static json_t *interval_json(const struct interval *interval)
{
    return json_pack("{s:f, s:f, s:f}", "value", interval->value, "low", interval->low, "high", interval->high);
}

static void say_photos(const struct eval *eval, const struct embedded *photos)
{
    int no_face = 0;

    for (int i = 0; i < photos->n; i++) {
        no_face += photos->state[i] == CROP_NO_FACE;
    }
    if (eval->table) {
        (void)printf("%d photos, %d without a face, %d not readable\n", photos->n, no_face,
                     photos->n - photos->n_seen - no_face);
    } else {
        print_json(json_pack("{s:s, s:i, s:i, s:i, s:s, s:b}", "kind", "photos", "photos", photos->n, "no_face",
                             no_face, "unreadable", photos->n - photos->n_seen - no_face, "model",
                             eval->recognizer->version, "flip", eval->flip || eval->recognizer->manifest.flip));
    }
}

static void say_rates(const struct eval *eval, const char *kind, const char *word, const struct rate_figure *rates,
                      int n)
{
    for (int i = 0; i < n; i++) {
        const struct rate_figure *rate = &rates[i];
        if (eval->table && !rate->measured) {
            (void)printf("  %-4s at %s %-8g  not measured: the set is too small for this rate, or too large\n", kind,
                         word, rate->rate);
        } else if (eval->table) {
            (void)printf("  %-4s at %s %-8g  %6.2f %%  [%6.2f, %6.2f]  threshold %.4f%s\n", kind, word, rate->rate,
                         100 * rate->hit.value, 100 * rate->hit.low, 100 * rate->hit.high, (double)rate->threshold,
                         rate->supported ? "" : "  (few errors to count: an indication)");
        } else {
            json_t *line = json_pack("{s:s, s:f, s:b, s:b}", "kind", kind, word, rate->rate, "measured", rate->measured,
                                     "supported", rate->supported);
            if (rate->measured) {
                (void)json_object_set_new(line, "threshold", json_real((double)rate->threshold));
                (void)json_object_set_new(line, "rate", interval_json(&rate->hit));
            }
            print_json(line);
        }
    }
}

static void say_rank(const struct eval *eval, int rank, const struct interval *interval)
{
    if (eval->table) {
        (void)printf("  rank-%d              %6.2f %%  [%6.2f, %6.2f]\n", rank, 100 * interval->value,
                     100 * interval->low, 100 * interval->high);
    } else {
        print_json(json_pack("{s:s, s:i, s:o}", "kind", "rank", "rank", rank, "rate", interval_json(interval)));
    }
}

static void say_det(const struct eval *eval, const struct evaluation *found)
{
    if (eval->table) {
        (void)printf("DET\n  FMR        FNMR       threshold\n");
    }
    for (int i = 0; i < found->n_det; i++) {
        const struct det_point *point = &found->det[i];
        if (eval->table) {
            (void)printf("  %-9.3g  %-9.3g  %.4f\n", point->fmr, point->fnmr, (double)point->threshold);
        } else {
            print_json(json_pack("{s:s, s:f, s:f, s:f}", "kind", "det", "fmr", point->fmr, "fnmr", point->fnmr,
                                 "threshold", (double)point->threshold));
        }
    }
}

static void say_evaluation(const struct eval *eval, const struct evaluation *found)
{
    if (eval->table) {
        (void)printf("Verification: %d photos of %d people, %" PRId64 " genuine and %" PRId64 " impostor pairs\n",
                     found->photos, found->people, found->genuine, found->impostor);
    } else {
        print_json(json_pack("{s:s, s:i, s:i, s:I, s:I, s:f}", "kind", "pairs", "people", found->people, "photos",
                             found->photos, "genuine", (json_int_t)found->genuine, "impostor",
                             (json_int_t)found->impostor, "level", eval->options.level));
    }
    say_rates(eval, "TAR", "fmr", found->tar, found->n_tar);
    if (found->identifies) {
        if (eval->table) {
            (void)printf("Identification: %d people enrolled with %d photos, %d mated and %d non-mated probes\n",
                         found->gallery_people, found->gallery_photos, found->mated, found->non_mated);
        } else {
            print_json(json_pack("{s:s, s:i, s:i, s:i, s:i}", "kind", "gallery", "people", found->gallery_people,
                                 "photos", found->gallery_photos, "mated", found->mated, "non_mated",
                                 found->non_mated));
        }
        say_rank(eval, 1, &found->rank1);
        say_rank(eval, 5, &found->rank5);
        say_rates(eval, "TPIR", "fpir", found->tpir, found->n_tpir);
    }
    if (eval->det) {
        say_det(eval, found);
    }
}

/* ---- Embedding --------------------------------------------------------------------------------------------------- */

static enum err embed_all(const struct eval *eval, struct crop_source *source, struct embedded *ret)
{
    struct progress progress;

    source->detector = eval->aligned ? NULL : eval->detector;
    source->threads = (int)eval->threads;
    ret->n = source->n;
    ret->u = arena_alloc(eval->mem, (size_t)source->n * (size_t)eval->recognizer->dim, sizeof(float));
    ret->state = ret->u == NULL ? NULL : ARENA_ARRAY(eval->mem, unsigned char, source->n);
    if (ret->state == NULL) {
        return spent(eval->mem);
    }
    progress_start(&progress, "embedding", 0, source->n);
    enum err err = embed_crops(source, eval->recognizer, eval->flip, &progress, ret->u, ret->state, eval->note);
    progress_end(&progress);
    ret->n_seen = 0;
    for (int i = 0; i < ret->n; i++) {
        ret->n_seen += ret->state[i] == CROP_SEEN;
    }
    return err;
}

/* ---- LFW --------------------------------------------------------------------------------------------------------- */

static enum err read_pairs(const struct eval *eval, const char *name, struct lfw_photos *photos, struct lfw_pairs *ret)
{
    const char *path = arena_format(eval->mem, "%s/%s", eval->lfw, name);

    return path == NULL ? spent(eval->mem) : lfw_pairs_read(path, photos, eval->mem, ret, eval->note);
}

/* A photo without a face has a zero row, so its pairs have cosine 0: they count as strangers. */
static enum err compare(const struct eval *eval, const struct lfw_pairs *pairs, const struct embedded *photos,
                        float **ret)
{
    size_t dim = (size_t)eval->recognizer->dim;

    *ret = ARENA_ARRAY(eval->mem, float, pairs->n);
    if (*ret == NULL) {
        return spent(eval->mem);
    }
    for (int i = 0; i < pairs->n; i++) {
        const float *a = photos->u + (size_t)pairs->photo[i][0] * dim;
        const float *b = photos->u + (size_t)pairs->photo[i][1] * dim;
        double dot = 0;
        for (size_t k = 0; k < dim; k++) {
            dot += (double)a[k] * (double)b[k];
        }
        (*ret)[i] = (float)dot;
    }
    return ERR_NONE;
}

static enum err view_1(const struct eval *eval, const struct lfw_pairs *train, const struct lfw_pairs *test,
                       const struct embedded *photos)
{
    float *chosen_on = NULL;
    float *judged_on = NULL;
    float threshold = 0;
    double accuracy_there = 0;
    int right = 0;
    enum err err = compare(eval, train, photos, &chosen_on);

    if (err == ERR_NONE) {
        err = compare(eval, test, photos, &judged_on);
    }
    if (err == ERR_NONE) {
        err = best_threshold(chosen_on, train->same, train->n, eval->mem, &threshold, &accuracy_there);
    }
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < test->n; i++) {
        right += (judged_on[i] >= threshold) == test->same[i];
    }
    double accuracy = (double)right / test->n;
    if (eval->table) {
        (void)printf("LFW View 1: %.2f %% of %d pairs at threshold %.4f, chosen on %d others (%.2f %% there)\n",
                     100 * accuracy, test->n, (double)threshold, train->n, 100 * accuracy_there);
    } else {
        print_json(json_pack("{s:s, s:i, s:f, s:i, s:f, s:i, s:f}", "kind", "lfw", "view", 1, "accuracy", accuracy,
                             "pairs", test->n, "threshold", (double)threshold, "chosen_on", train->n, "accuracy_there",
                             accuracy_there));
    }
    return ERR_NONE;
}

static enum err view_2(const struct eval *eval, const struct lfw_pairs *pairs, const struct embedded *photos)
{
    struct fold_accuracy found = {0};
    float *cosine = NULL;
    enum err err = compare(eval, pairs, photos, &cosine);

    if (err == ERR_NONE) {
        err = fold_accuracy(cosine, pairs->same, pairs->n, pairs->folds, eval->mem, &found);
        if (err == ERR_MISUSE) {
            err = ERR_SAY(eval->note, ERR_FORMAT, "pairs.txt holds %d folds, at least 2 are needed", pairs->folds);
        }
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (eval->table) {
        (void)printf("LFW View 2: %.3f %% ± %.3f over %d folds, %d pairs\n", 100 * found.mean, 100 * found.deviation,
                     pairs->folds, pairs->n);
    } else {
        print_json(json_pack("{s:s, s:i, s:f, s:f, s:i, s:i}", "kind", "lfw", "view", 2, "accuracy", found.mean,
                             "deviation", found.deviation, "folds", pairs->folds, "pairs", pairs->n));
    }
    return ERR_NONE;
}

static enum err eval_lfw(const struct eval *eval)
{
    const char *folder = arena_format(eval->mem, "%s/images", eval->lfw);
    struct lfw_photos photos = {0};
    struct lfw_pairs first = {0};
    struct lfw_pairs second = {0};
    struct embedded embedded = {0};
    enum err err = folder == NULL ? spent(eval->mem) : lfw_photos_init(&photos, folder, MOST_LFW_PHOTOS, eval->mem);

    if (err == ERR_NONE) {
        err = read_pairs(eval, eval->view == 1 ? "pairsDevTrain.txt" : "pairs.txt", &photos, &first);
    }
    if (err == ERR_NONE && eval->view == 1) {
        err = read_pairs(eval, "pairsDevTest.txt", &photos, &second);
    }
    if (err == ERR_NONE) {
        struct crop_source source = {.paths = photos.paths, .n = photos.n};
        err = embed_all(eval, &source, &embedded);
    }
    if (err != ERR_NONE) {
        return err;
    }
    say_photos(eval, &embedded);
    return eval->view == 1 ? view_1(eval, &first, &second, &embedded) : view_2(eval, &first, &embedded);
}

/* ---- Calibration ------------------------------------------------------------------------------------------------- */

static json_t *calibration_json(const struct eval *eval, const struct calibrated *points, int n,
                                const struct evaluation *found)
{
    char today[CLOCK_TEXT_BYTES];
    json_t *list = json_array();

    clock_text(clock_unix_ms(), today);
    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_pack("{s:f, s:f, s:f}", "fmr", points[i].fmr, "cosine",
                                                    (double)points[i].threshold, "tar", points[i].tar));
    }
    return json_pack("{s:o, s:{s:s, s:i, s:i, s:I, s:I, s:s}}", "points", list, "evidence", "set",
                     file_base_name(eval->set != NULL ? eval->set : eval->dataset_path), "people", found->people,
                     "photos", found->photos, "genuine_pairs", (json_int_t)found->genuine, "impostor_pairs",
                     (json_int_t)found->impostor, "measured", today);
}

/* Everything that the manifest says stays; what was assumed without one is written out. */
static enum err write_calibration(const struct eval *eval, json_t *take)
{
    char path[PATH_MAX];
    json_t *root = json_loads(eval->recognizer->manifest.json, 0, NULL);
    char *text = NULL;
    enum err err = ERR_NONE;

    if (root == NULL || take == NULL || json_object_set(root, "calibration", take) != 0 ||
        (text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9))) == NULL) {
        err = ERR_SAY(eval->note, ERR_NOMEM, "no memory for the manifest");
    } else if (snprintf(path, sizeof path, "%s.json", eval->recognizer_path) >= (int)sizeof path) {
        err = ERR_SAY(eval->note, ERR_MISUSE, "the path of the recogniser is too long");
    } else {
        err = file_write(path, text, strlen(text), eval->note);
    }
    free(text); /* jansson's, foreign heap */
    json_decref(root);
    json_decref(take);
    return err;
}

static enum err calibrate(const struct eval *eval, const struct embedded *photos, const int *person,
                          const struct evaluation *found)
{
    struct calibrated points[N_WANTED];
    int n = 0;
    int refused = 0;
    enum err err = evaluate_calibrate(photos->u, person, photos->n, eval->recognizer->dim, found->people, wanted_rates,
                                      N_WANTED, eval->mem, points, &n, &refused, eval->note);

    if (err == ERR_NONE) {
        err = write_calibration(eval, calibration_json(eval, points, n, found));
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (eval->table) {
        (void)printf(
            "Calibrated: thresholds for %d rates down to %g written into %s.json; %d smaller ones would need more "
            "pairs of strangers\n",
            n, points[n - 1].fmr, eval->recognizer_path, refused);
    } else {
        print_json(json_pack("{s:s, s:i, s:f, s:i}", "kind", "calibrated", "points", n, "least_fmr", points[n - 1].fmr,
                             "refused", refused));
    }
    return ERR_NONE;
}

/* ---- Any set ----------------------------------------------------------------------------------------------------- */

/* Leaves out the rows without a face, and numbers the people that remain. */
static enum err drop_unseen(const struct eval *eval, struct embedded *photos, int *person, int people, int *ret_people)
{
    int *number = ARENA_ARRAY(eval->mem, int, people);
    size_t dim = (size_t)eval->recognizer->dim;
    int at = 0;

    if (number == NULL) {
        return spent(eval->mem);
    }
    *ret_people = 0;
    for (int i = 0; i < photos->n; i++) {
        if (photos->state[i] == CROP_SEEN) {
            memmove(photos->u + (size_t)at * dim, photos->u + (size_t)i * dim, dim * sizeof(float));
            if (number[person[i]] == 0) {
                number[person[i]] = ++*ret_people;
            }
            person[at++] = number[person[i]] - 1;
        }
    }
    photos->n = at;
    return ERR_NONE;
}

static enum err eval_people(const struct eval *eval, struct crop_source *source, int *person, int people)
{
    struct embedded photos = {0};
    struct evaluation *found = ARENA_NEW(eval->mem, struct evaluation);
    enum err err = found == NULL ? spent(eval->mem) : embed_all(eval, source, &photos);

    if (err != ERR_NONE) {
        return err;
    }
    say_photos(eval, &photos);
    err = drop_unseen(eval, &photos, person, people, &people);
    if (err == ERR_NONE) {
        err = evaluate_set(photos.u, person, photos.n, eval->recognizer->dim, people, &eval->options, eval->mem, found,
                           eval->note);
    }
    if (err == ERR_NONE) {
        say_evaluation(eval, found);
        err = eval->calibrate ? calibrate(eval, &photos, person, found) : ERR_NONE;
    }
    return err;
}

static enum err eval_set(const struct eval *eval)
{
    struct people_folder folder;
    enum err err = people_folder_read(eval->set, eval->only, eval->except, eval->mem, &folder, eval->note);

    if (err != ERR_NONE) {
        return err;
    }
    struct crop_source source = {.paths = folder.paths, .n = folder.n};
    return eval_people(eval, &source, folder.person, folder.people);
}

static enum err eval_dataset(const struct eval *eval)
{
    struct dataset *dataset = NULL;
    enum err err = dataset_open(eval->dataset_path, &dataset, eval->note);
    int *person = err != ERR_NONE ? NULL : ARENA_ARRAY(eval->mem, int, dataset_count(dataset));

    if (person != NULL) {
        struct crop_source source = {.dataset = dataset, .n = dataset_count(dataset)};
        for (int i = 0; i < source.n; i++) {
            person[i] = dataset_label(dataset, i);
        }
        err = eval_people(eval, &source, person, dataset_people(dataset));
    } else if (err == ERR_NONE) {
        err = spent(eval->mem);
    }
    dataset_close(dataset);
    return err;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static bool take_flags(struct eval *eval, int *argc, char **argv)
{
    long enroll = eval->options.enroll_photos;
    long rounds = eval->options.rounds;
    long seed = (long)eval->options.seed;

    (void)command_option(argc, argv, "--lfw", &eval->lfw);
    (void)command_option(argc, argv, "--set", &eval->set);
    (void)command_option(argc, argv, "--dataset", &eval->dataset_path);
    (void)command_option(argc, argv, "--only", &eval->only);
    (void)command_option(argc, argv, "--except", &eval->except);
    eval->aligned = command_switch(argc, argv, "--aligned");
    eval->flip = command_switch(argc, argv, "--flip");
    eval->det = command_switch(argc, argv, "--det");
    eval->calibrate = command_switch(argc, argv, "--calibrate");
    bool right = command_whole(argc, argv, "--view", 1, 2, &eval->view) &&
                 command_whole(argc, argv, "--enroll", 1, 1000, &enroll) &&
                 command_whole(argc, argv, "--rounds", 2, 1000000, &rounds) &&
                 command_whole(argc, argv, "--seed", 0, LONG_MAX, &seed) &&
                 command_whole(argc, argv, "--threads", 1, 64, &eval->threads);
    eval->options.enroll_photos = (int)enroll;
    eval->options.rounds = (int)rounds;
    eval->options.seed = (uint64_t)seed;
    return right;
}

/* What is missing or contradicts itself; NULL: nothing. */
static const char *wrong_flags(const struct eval *eval, const struct config *config)
{
    if ((eval->lfw != NULL) + (eval->set != NULL) + (eval->dataset_path != NULL) != 1 || config->n_words > 0) {
        return "name one set: --lfw DIR, --set DIR or --dataset FILE";
    }
    if (config->recognizer[0] == '\0') {
        return "which recogniser? --recognizer FILE.onnx";
    }
    if (!eval->aligned && eval->dataset_path == NULL && config->detector[0] == '\0') {
        return "photos need a detector (--detector FILE.onnx); crops need --aligned";
    }
    if ((eval->only != NULL || eval->except != NULL) && eval->set == NULL) {
        return "--only and --except choose among the people of --set";
    }
    if (eval->calibrate && strcmp(config->recognizer, MODEL_BUILT_IN) == 0) {
        return "the program's own recogniser brings its calibration; --calibrate writes into the manifest of a file";
    }
    if (eval->calibrate && eval->lfw != NULL) {
        return "--calibrate needs a set of people; LFW's lists hold too few pairs of strangers";
    }
    return NULL;
}

static enum err load_models(struct eval *eval, const struct config *config)
{
    enum err err = model_load(config->recognizer, MODEL_RECOGNIZER, &eval->recognizer, eval->note);

    if (err == ERR_NONE && !eval->aligned) {
        err = model_load(config->detector, MODEL_DETECTOR, &eval->detector, eval->note);
    }
    if (err == ERR_NONE && eval->calibrate && eval->flip && !eval->recognizer->manifest.flip) {
        err = ERR_SAY(
            eval->note, ERR_CONFLICT,
            "thresholds measured with --flip do not hold for a model whose manifest does not say \"flip\": true");
    }
    return err;
}

int command_eval(int argc, char **argv)
{
    struct err_note note = {0};
    struct config config;
    struct eval eval = {.view = 1,
                        .threads = cpu_count(),
                        .options = evaluate_default(),
                        .table = isatty(STDOUT_FILENO) == 1,
                        .note = &note};

    if (!take_flags(&eval, &argc, argv)) {
        return EXIT_USAGE;
    }
    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    const char *wrong = wrong_flags(&eval, &config);
    if (wrong != NULL) {
        (void)fprintf(stderr, "arcfaced: %s\n%s", wrong, command_eval_usage);
        config_release(&config);
        return EXIT_USAGE;
    }
    eval.aligned = eval.aligned || eval.dataset_path != NULL;
    eval.recognizer_path = config.recognizer;
    eval.mem = arena_new(ARENA_BYTES);
    err = eval.mem == NULL ? ERR_NOMEM : load_models(&eval, &config);
    if (err == ERR_NONE) {
        err = eval.lfw != NULL ? eval_lfw(&eval) : eval.set != NULL ? eval_set(&eval) : eval_dataset(&eval);
    }
    int status = err == ERR_NONE ? EXIT_DONE : command_fail(EXIT_FAILED, err, &note);
    model_free(eval.detector);
    model_free(eval.recognizer);
    arena_free(eval.mem);
    config_release(&config);
    return status;
}
