/* command.c: what the commands share. */
#include "server/command.h"

#include <stdio.h>
#include <string.h>

#include "core/base/cpu.h"
#include "core/graph/packing.h"
#include "core/kernel/kernels.h"

int command_fail(int status, enum err err, const struct err_note *note)
{
    (void)fprintf(stderr, "arcfaced: %s\n", note != NULL && note->text[0] != '\0' ? note->text : err_word(err));
    return status;
}

static void take_out(int *argc, char **argv, int at, int n)
{
    for (int i = at; i + n < *argc; i++) {
        argv[i] = argv[i + n];
    }
    *argc -= n;
}

bool command_switch(int *argc, char **argv, const char *flag)
{
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], flag) == 0) {
            take_out(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}

bool command_option(int *argc, char **argv, const char *flag, const char **ret)
{
    size_t len = strlen(flag);

    for (int i = 0; i < *argc; i++) {
        if (strncmp(argv[i], flag, len) == 0 && argv[i][len] == '=') {
            *ret = argv[i] + len + 1;
            take_out(argc, argv, i, 1);
            return true;
        }
        if (strcmp(argv[i], flag) == 0 && i + 1 < *argc) {
            *ret = argv[i + 1];
            take_out(argc, argv, i, 2);
            return true;
        }
    }
    return false;
}

static const char *said(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

/* A layer of a face network is a few hundred microseconds of work: more threads than this meet too often to gain by it. */
#define LONE_THREADS_MOST 8

static int lone_threads(const struct config *config)
{
    int threads = config_workers(config) < cpu_count() ? config_workers(config) : cpu_count();

    return threads < LONE_THREADS_MOST ? threads : LONE_THREADS_MOST;
}

struct gallery_options command_gallery_options(const struct config *config)
{
    struct gallery_options options = {.data = config->data,
                                      .detector = said(config->detector),
                                      .recognizer = said(config->recognizer),
                                      .policy = gallery_policy_default(),
                                      .session_bytes = (size_t)config->session_bytes,
                                      .map_saved = config->low_memory,
                                      .segment_rows = (size_t)config->segment_rows};

    options.batch = (int)config->batch;
    options.batch_wait_ms = config->batch_wait_ms;
    options.lone_threads = lone_threads(config);
    options.policy.threshold = (float)config->threshold;
    options.policy.max_fmr = config->max_fmr;
    options.policy.margin = (float)config->margin;
    options.policy.top_k_max = (int)config->top_k_max;
    options.policy.detect_side = (int)config->detect_side;
    options.policy.detect_score = (float)config->detect_score;
    options.policy.faces_max = (int)config->faces_max;
    options.policy.photo_bytes = (size_t)config->body_bytes;
    options.policy.photo_pixels = config->photo_pixels;
    options.policy.photo_side = (int)config->photo_side;
    options.policy.models_kept = (int)config->models_kept;
    return options;
}

enum err command_settings(int argc, char **argv, struct config *ret, struct err_note *note)
{
    struct config config;

    enum err err = config_parse(argc, argv, &config, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = kernels_force(config.kernels, note);
    err = err != ERR_NONE ? err : packing_choose(config.memory, config.weights, note);
    if (err != ERR_NONE) {
        config_release(&config);
        return err;
    }
    *ret = config;
    return ERR_NONE;
}

int command_config(int argc, char **argv)
{
    struct config config;
    struct err_note note = {0};

    enum err err = config_parse(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    config_print(&config, stdout);
    config_release(&config);
    return EXIT_DONE;
}
