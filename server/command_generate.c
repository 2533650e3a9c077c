/* command_generate.c: faces from embeddings: of people in a folder, of given embeddings, or of nobody. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cancel.h"
#include "core/base/clock.h"
#include "core/base/cpu.h"
#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/image/encode.h"
#include "core/train/invert.h"
#include "core/train/student.h"
#include "server/command.h"
#include "server/command_flags.h"
#include "server/contact_sheet.h"
#include "server/generate_targets.h"
#include "server/progress.h"

#define ARENA_BYTES ((size_t)8 << 30)
#define SHEET_CELLS 12

const char command_generate_usage[] =
    "usage: arcfaced generate --recognizer F.onnx TARGETS --out DIR [--detector F | --aligned] [flags]\n"
    "Finds pictures that the recogniser takes for a person, and writes DIR/NAME-N.png and a contact sheet "
    "DIR/sheet.png.\n"
    "TARGETS is one of\n"
    "  --set DIR            a folder for each person: the dominant center of the photos; --only FILE, --except FILE\n"
    "  --embedding FILE     JSON: a list of numbers, or a list of such lists\n"
    "  --nobody N           N random directions: people whom nobody is\n"
    "flags\n"
    "  --aligned            the files are crops, not photos\n"
    "  --each N             pictures of each, with different seeds (1)\n"
    "  --batch N            pictures found together, of as many people as there are (20)\n"
    "  --steps N            of the descent (150)\n"
    "  --seconds S          a batch ends after so long (no limit)\n"
    "  --rate R             of Adam (0.04)\n"
    "  --form NAME          of the BatchNorm prior: relative, deviation, variance or none (relative)\n"
    "  --prior W --variation W --energy W   weights beside the identity's (0.5, 0.15, 0.001)\n"
    "  --follow SHARE       of a step in the statistics that are compared (0.5)\n"
    "  --together SHARE     of the way on which what all pictures have in common moves (0.3)\n"
    "  --even SHARE         of the way on which left and right are alike (0.5)\n"
    "  --detail SHARE       of the finest level (0.25)\n"
    "  --plain              the network sees the picture as it is in every step, not turned, mirrored or in other "
    "light\n"
    "  --pixels             descends on pixels alone, not on levels of falling size\n"
    "  --seed N --threads N\n";

struct generate {
    /* asked for */
    const char *recognizer_path, *set, *only, *except, *embedding, *out, *form;
    long nobody, each, batch, threads, seed;
    bool aligned, plain, pixels;
    double rate, prior, variation, energy, follow, even, detail, together;
    struct invert_options options;

    struct model *recognizer;
    struct model *detector;
    struct graph *graph; /* as written */
    struct pool *pool;
    struct targets targets;

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

/* ---- Pictures ----------------------------------------------------------------------------------------------------- */

static void watch(void *context, const struct invert_state *state)
{
    struct generate *generate = context;
    char words[64];

    if (generate->bar) {
        (void)snprintf(words, sizeof words, "cosine %.3f, prior %.3f", state->cosine, state->prior);
        atomic_store(&generate->progress.done, (long)(state->way * (double)state->steps));
        progress_show(&generate->progress, words);
    } else if (state->step % 25 == 0 || state->step == 1 || state->step == state->steps) {
        print_json(json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "kind", "step", "step", (int)state->step,
                             "steps", (int)state->steps, "seconds", state->seconds, "cosine", state->cosine, "prior",
                             state->prior, "variation", state->variation, "energy", state->energy));
    }
}

static enum err write_picture(struct generate *generate, const struct image *picture, const char *path)
{
    struct arena *mem = arena_new((size_t)256 << 20);
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    enum err err = mem == NULL ? ERR_NOMEM : image_encode(picture, IMAGE_PNG, 0, mem, &bytes, &n_bytes);

    err = err != ERR_NONE ? err : file_write(path, bytes, n_bytes, generate->note);
    arena_free(mem);
    return err;
}

/* Picture number i shows person i % people, so that a batch holds as many people as it can. */
static enum err one_batch(struct generate *generate, int from, int n, struct image *pictures)
{
    size_t dim = (size_t)generate->recognizer->dim;
    struct arena *mem = arena_new(ARENA_BYTES);
    float *targets = mem == NULL ? NULL : ARENA_ARRAY(mem, float, (size_t)n *dim);
    float *cosine = mem == NULL ? NULL : ARENA_ARRAY(mem, float, n);
    struct image *found = mem == NULL ? NULL : ARENA_ARRAY(mem, struct image, n);
    enum err err = targets == NULL || cosine == NULL || found == NULL ? ERR_NOMEM : ERR_NONE;
    char path[PATH_MAX];

    for (int i = 0; err == ERR_NONE && i < n; i++) {
        int person = (from + i) % generate->targets.people;
        memcpy(targets + (size_t)i * dim, generate->targets.targets + (size_t)person * dim, dim * sizeof *targets);
    }
    generate->options.seed = (uint64_t)generate->seed + (uint64_t)from;
    progress_start(&generate->progress, "descending", 0, generate->options.steps);
    if (err == ERR_NONE) {
        err = invert_run(generate->graph, &generate->options, targets, n, (int)dim, mem, found, cosine, generate->note);
    }
    progress_end(&generate->progress);
    for (int i = 0; err == ERR_NONE && i < n; i++) {
        const char *name = generate->targets.names[(from + i) % generate->targets.people];
        int turn = (from + i) / generate->targets.people + 1;
        size_t n_bytes = (size_t)3 * (size_t)found[i].width * (size_t)found[i].height;
        if (snprintf(path, sizeof path, "%s/%s-%d.png", generate->out, name, turn) >= (int)sizeof path) {
            err = ERR_SAY(generate->note, ERR_MISUSE, "the path of --out is too long");
            break;
        }
        err = image_new(found[i].width, found[i].height, generate->mem, &pictures[from + i]);
        if (err == ERR_NONE) {
            memcpy(pictures[from + i].rgb, found[i].rgb, n_bytes);
            err = write_picture(generate, &found[i], path);
        }
        if (err == ERR_NONE) {
            print_json(json_pack("{s:s, s:s, s:s, s:f}", "kind", "picture", "person", name, "file", path, "cosine",
                                 (double)cosine[i]));
        }
    }
    arena_free(mem);
    return err;
}

/* A group for each person: a photo, where there is one, and the pictures beside it; as many groups a row as have room. */
static enum err write_sheet(struct generate *generate, const struct image *pictures)
{
    bool photos = generate->set != NULL;
    int group = (int)generate->each + (photos ? 1 : 0);
    int groups = group >= SHEET_CELLS ? 1 : SHEET_CELLS / group;
    char path[PATH_MAX];
    struct image sheet;

    groups = groups < generate->targets.people ? groups : generate->targets.people;
    enum err err = contact_sheet((generate->targets.people + groups - 1) / groups, groups * group, group,
                                 generate->recognizer->side, generate->mem, &sheet);
    if (err != ERR_NONE) {
        return err;
    }
    for (int person = 0; person < generate->targets.people; person++) {
        int row = person / groups;
        int first = person % groups * group;
        if (photos) {
            contact_sheet_put(&sheet, row, first, group, &generate->targets.likeness[person]);
        }
        for (int k = 0; k < generate->each; k++) {
            contact_sheet_put(&sheet, row, first + k + (photos ? 1 : 0), group,
                              &pictures[k * generate->targets.people + person]);
        }
    }
    if (snprintf(path, sizeof path, "%s/sheet.png", generate->out) >= (int)sizeof path) {
        return ERR_SAY(generate->note, ERR_MISUSE, "the path of --out is too long");
    }
    err = write_picture(generate, &sheet, path);
    if (err == ERR_NONE) {
        print_json(json_pack("{s:s, s:s}", "kind", "sheet", "file", path));
    }
    return err;
}

static void say_memory(struct generate *generate)
{
    struct invert_memory memory = invert_memory_of(generate->graph);
    char text[INVERT_MEMORY_TEXT];

    print_json(json_pack("{s:s, s:i, s:I, s:i}", "kind", "memory", "batch_norms", memory.norms, "channels",
                         (json_int_t)memory.channels, "convolutions", memory.convolutions));
    if (!invert_memory_say(&memory, text)) {
        (void)fprintf(stderr, "arcfaced: %s\n", text);
    }
}

static enum err find_targets(struct generate *generate)
{
    struct targets *targets = &generate->targets;

    *targets = (struct targets){.recognizer = generate->recognizer, .mem = generate->mem, .note = generate->note};
    if (generate->set != NULL) {
        return targets_of_people(targets, generate->set, generate->only, generate->except,
                                 generate->aligned ? NULL : generate->detector, (int)generate->threads);
    }
    return generate->embedding != NULL ? targets_of_file(targets, generate->embedding)
                                       : targets_of_nobody(targets, (int)generate->nobody, (uint64_t)generate->seed);
}

static enum err run(struct generate *generate)
{
    enum err err = find_targets(generate);
    int total = err == ERR_NONE ? generate->targets.people * (int)generate->each : 0;

    if (err == ERR_NONE && (total < 1 || total > TARGETS_MOST)) {
        err = ERR_SAY(generate->note, ERR_LIMIT, "%d pictures are asked for, %d at once are the most", total,
                      TARGETS_MOST);
    }
    struct image *pictures = err == ERR_NONE ? ARENA_ARRAY(generate->mem, struct image, total) : NULL;
    if (pictures == NULL) {
        return err != ERR_NONE ? err : ERR_NOMEM;
    }
    err = folder_make(generate->out, generate->note);
    say_memory(generate);
    int64_t start = clock_monotonic_ns();
    for (int from = 0; err == ERR_NONE && from < total; from += (int)generate->batch) {
        int n = total - from < (int)generate->batch ? total - from : (int)generate->batch;
        err = one_batch(generate, from, n, pictures);
    }
    if (err == ERR_NONE) {
        double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
        print_json(json_pack("{s:s, s:i, s:f, s:f}", "kind", "done", "pictures", total, "seconds", seconds,
                             "seconds_per_picture", seconds / total));
        err = write_sheet(generate, pictures);
    }
    return err;
}

/* ---- The command -------------------------------------------------------------------------------------------------- */

static bool take_form(struct generate *generate)
{
    static const struct {
        const char *name;
        enum prior_form form;
    } forms[] = {{"relative", PRIOR_RELATIVE},
                 {"deviation", PRIOR_DEVIATION},
                 {"variance", PRIOR_VARIANCE},
                 {"none", PRIOR_NONE}};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (strcmp(generate->form, forms[i].name) == 0) {
            generate->options.form = forms[i].form;
            return true;
        }
    }
    (void)fprintf(stderr, "arcfaced: --form is relative, deviation, variance or none\n");
    return false;
}

static bool take_flags(struct generate *generate, int *argc, char **argv)
{
    struct invert_options *options = &generate->options;

    (void)command_option(argc, argv, "--set", &generate->set);
    (void)command_option(argc, argv, "--only", &generate->only);
    (void)command_option(argc, argv, "--except", &generate->except);
    (void)command_option(argc, argv, "--embedding", &generate->embedding);
    (void)command_option(argc, argv, "--out", &generate->out);
    (void)command_option(argc, argv, "--form", &generate->form);
    generate->aligned = command_switch(argc, argv, "--aligned");
    generate->plain = command_switch(argc, argv, "--plain");
    generate->pixels = command_switch(argc, argv, "--pixels");
    bool good = take_form(generate) && command_whole(argc, argv, "--nobody", 1, TARGETS_MOST, &generate->nobody) &&
                command_whole(argc, argv, "--each", 1, TARGETS_MOST, &generate->each) &&
                command_whole(argc, argv, "--batch", 1, 256, &generate->batch) &&
                command_whole(argc, argv, "--steps", 1, 100000, &options->steps) &&
                command_whole(argc, argv, "--seed", 0, LONG_MAX, &generate->seed) &&
                command_whole(argc, argv, "--threads", 1, 64, &generate->threads) &&
                command_real(argc, argv, "--seconds", 0, 1e6, &options->seconds) &&
                command_real(argc, argv, "--rate", 1e-6, 10, &generate->rate) &&
                command_real(argc, argv, "--prior", 0, 1e6, &generate->prior) &&
                command_real(argc, argv, "--variation", 0, 1e6, &generate->variation) &&
                command_real(argc, argv, "--energy", 0, 1e6, &generate->energy) &&
                command_real(argc, argv, "--even", 0, 1, &generate->even) &&
                command_real(argc, argv, "--detail", 1e-3, 1, &generate->detail) &&
                command_real(argc, argv, "--together", 0, 1, &generate->together) &&
                command_real(argc, argv, "--follow", 1e-3, 1, &generate->follow);
    options->rate = (float)generate->rate;
    options->prior = (float)generate->prior;
    options->variation = (float)generate->variation;
    options->energy = (float)generate->energy;
    options->follow = (float)generate->follow;
    options->even = (float)generate->even;
    options->detail = (float)generate->detail;
    options->together = (float)generate->together;
    if (generate->plain) {
        options->glances = (struct glance_limits){0};
    }
    return good;
}

static const char *wrong_flags(const struct generate *generate, const struct config *config)
{
    int sources = (generate->set != NULL) + (generate->embedding != NULL) + (generate->nobody > 0);

    if (config->recognizer[0] == '\0') {
        return "generate needs --recognizer FILE.onnx";
    }
    if (sources != 1) {
        return "one of --set, --embedding and --nobody says whose faces";
    }
    if (generate->set != NULL && !generate->aligned && config->detector[0] == '\0') {
        return "photos need a detector: --detector FILE.onnx, or --aligned for crops";
    }
    return generate->out == NULL ? "--out DIR says where the pictures go" : NULL;
}

static enum err load(struct generate *generate, const struct config *config)
{
    struct model_bytes file = {.bytes = NULL};
    enum err err = model_load(config->recognizer, MODEL_RECOGNIZER, &generate->recognizer, generate->note);

    if (err == ERR_NONE && generate->set != NULL && !generate->aligned) {
        err = model_load(config->detector, MODEL_DETECTOR, &generate->detector, generate->note);
    }
    err = err != ERR_NONE ? err : model_bytes_open(config->recognizer, MODEL_RECOGNIZER, &file, generate->note);
    if (err == ERR_NONE) {
        err = student_load(file.bytes, file.n_bytes, &generate->graph, generate->note);
        model_bytes_close(&file);
    }
    if (err == ERR_NONE) {
        graph_seal(generate->graph);
        generate->options.how = generate->recognizer->manifest.how;
        if (generate->pixels) {
            generate->options.coarsest = generate->recognizer->side;
        }
        err = pool_new((int)generate->threads, &generate->pool);
    }
    generate->options.pool = generate->pool;
    return err;
}

static void release(struct generate *generate)
{
    pool_free(generate->pool);
    graph_free(generate->graph);
    model_free(generate->detector);
    model_free(generate->recognizer);
    arena_free(generate->mem);
}

int command_generate(int argc, char **argv)
{
    struct err_note note = {0};
    struct config config;
    struct sigaction action = {.sa_handler = on_signal};
    struct generate generate = {.options = invert_defaults(),
                                .form = "relative",
                                .each = 1,
                                .batch = 20,
                                .seed = 1,
                                .threads = cpu_count(),
                                .bar = isatty(STDERR_FILENO) == 1 && isatty(STDOUT_FILENO) == 1,
                                .note = &note};

    generate.rate = (double)generate.options.rate;
    generate.prior = (double)generate.options.prior;
    generate.variation = (double)generate.options.variation;
    generate.energy = (double)generate.options.energy;
    generate.follow = (double)generate.options.follow;
    generate.even = (double)generate.options.even;
    generate.detail = (double)generate.options.detail;
    generate.together = (double)generate.options.together;
    generate.options.tell = watch;
    generate.options.tell_context = &generate;
    generate.options.cancel = &stop;
    if (!take_flags(&generate, &argc, argv)) {
        return EXIT_USAGE;
    }
    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    const char *wrong = wrong_flags(&generate, &config);
    if (wrong != NULL) {
        (void)fprintf(stderr, "arcfaced: %s\n%s", wrong, command_generate_usage);
        config_release(&config);
        return EXIT_USAGE;
    }
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    generate.mem = arena_new(ARENA_BYTES);
    err = generate.mem == NULL ? ERR_NOMEM : load(&generate, &config);
    if (err == ERR_NONE) {
        err = run(&generate);
    }
    int status = EXIT_DONE;
    if (err == ERR_CANCELLED) {
        (void)fprintf(stderr, "arcfaced: stopped\n");
        status = EXIT_FAILED;
    } else if (err != ERR_NONE) {
        status = command_fail(EXIT_FAILED, err, &note);
    }
    release(&generate);
    config_release(&config);
    return status;
}
