/* command_photo.c: embed and detect, a JSON line a file. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "server/command.h"
#include "server/gallery/look.h"

/* One run of embed or detect. */
struct looking {
    struct gallery_worker *worker;
    enum err (*look)(struct gallery_worker *worker, const struct look_query *query, struct look_answer *ret,
                     struct gallery_fault *fault);
    size_t limit_bytes;
    bool aligned;
};

static json_t *floats(const float *values, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_real((double)values[i]));
    }
    return list;
}

static json_t *face_json(const struct looked_face *looked, int dim)
{
    const struct seen_face *face = &looked->face;
    json_t *landmarks = json_array();
    json_t *reasons = json_array();

    for (int i = 0; i < 5; i++) {
        (void)json_array_append_new(landmarks, floats(face->landmarks[i], 2));
    }
    for (int i = 0; i < face->n_reasons; i++) {
        (void)json_array_append_new(reasons, json_string(face->reasons[i]));
    }
    json_t *object = json_pack("{s:o, s:o, s:f, s:f, s:o}", "box", floats(face->box, 4), "landmarks", landmarks,
                               "score", (double)face->score, "quality", (double)face->quality, "reasons", reasons);
    if (looked->embedding != NULL) {
        (void)json_object_set_new(object, "norm", json_real((double)looked->norm));
        (void)json_object_set_new(object, "embedding", floats(looked->embedding, dim));
    }
    return object;
}

static json_t *answer_json(const char *path, const struct look_answer *answer)
{
    json_t *faces = json_array();

    for (int i = 0; i < answer->n_faces; i++) {
        (void)json_array_append_new(faces, face_json(&answer->faces[i], answer->dim));
    }
    json_t *line =
        json_pack("{s:s, s:i, s:i}", "file", path, "width", answer->photo.width, "height", answer->photo.height);
    if (answer->model != NULL) {
        (void)json_object_set_new(line, "model", json_string(answer->model));
        (void)json_object_set_new(line, "dim", json_integer(answer->dim));
    }
    (void)json_object_set_new(line, "faces", faces);
    return line;
}

/* Looks at one file and prints its line; returns false after an error's. */
static bool look_at(const struct looking *looking, const char *path)
{
    struct look_query query = {.photo = {.aligned = looking->aligned}};
    struct look_answer answer = {0};
    struct gallery_fault fault = {0};
    unsigned char *bytes = NULL;
    json_t *line = NULL;

    enum err err = file_read(path, looking->limit_bytes, &bytes, &query.photo.n_bytes, &fault.note);
    if (err == ERR_NONE) {
        query.photo.bytes = bytes;
        err = looking->look(looking->worker, &query, &answer, &fault);
    }
    if (err == ERR_NONE) {
        line = answer_json(path, &answer);
    } else {
        const char *word = gallery_reason_word(fault.reason);
        line = json_pack("{s:s, s:s, s:s}", "file", path, "code", word != NULL ? word : err_word(err), "error",
                         fault.note.text[0] != '\0' ? fault.note.text : err_word(err));
    }
    if (line == NULL || json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0) {
        (void)printf("{\"code\":\"not_printable\",\"error\":\"the file's name is not UTF-8, or memory is short\"}");
        err = ERR_FOREIGN;
    }
    (void)printf("\n");
    json_decref(line);
    mem_free(bytes);
    gallery_worker_reset(looking->worker);
    return err == ERR_NONE;
}

static int look_at_all(struct looking *looking, const struct config *config)
{
    int status = EXIT_DONE;

    for (int i = 0; i < config->n_words; i++) {
        if (!look_at(looking, config->words[i])) {
            status = EXIT_FAILED;
        }
    }
    return status;
}

/* Warnings go where they do not disturb the lines. */
static void say(void *context, enum gallery_severity severity, const char *event, const char *sentence)
{
    (void)context;
    (void)event;
    if (severity != GALLERY_SAY_INFO) {
        (void)fprintf(stderr, "arcfaced: %s\n", sentence);
    }
}

static int run(struct looking *looking, const struct config *config)
{
    struct gallery_options options = command_gallery_options(config);
    struct gallery *gallery = NULL;
    struct err_note note = {0};

    options.listener.say = say;
    enum err err = gallery_open(&options, &gallery, &note);
    if (err == ERR_NONE) {
        err = gallery_worker_new(gallery, (size_t)config->arena_bytes, &looking->worker);
    }
    int status = err == ERR_NONE ? look_at_all(looking, config) : command_fail(EXIT_FAILED, err, &note);
    gallery_worker_free(looking->worker);
    gallery_close(gallery);
    return status;
}

static int command(struct looking *looking, int argc, char **argv, bool recognizer)
{
    struct config config;
    struct err_note note = {0};
    const char *side = NULL;

    looking->aligned = recognizer && command_switch(&argc, argv, "--aligned");
    bool has_side = command_option(&argc, argv, "--side", &side);
    enum err err = command_settings(argc, argv, &config, &note);
    if (err != ERR_NONE) {
        return command_fail(EXIT_USAGE, err, &note);
    }
    char *end = NULL;
    long pixels = has_side ? strtol(side, &end, 10) : 0;
    int status = EXIT_USAGE;
    if (has_side && (end == side || *end != '\0' || pixels < 32 || pixels > 4096)) {
        (void)fprintf(stderr, "arcfaced: --side must be from 32 to 4096 pixels\n");
    } else if (config.n_words == 0) {
        (void)fprintf(stderr, "arcfaced: name at least one photo\n");
    } else if (!looking->aligned && config.detector[0] == '\0') {
        (void)fprintf(stderr, "arcfaced: which network finds the faces? --detector FILE.onnx\n");
    } else if (recognizer && config.recognizer[0] == '\0') {
        (void)fprintf(stderr, "arcfaced: which network embeds them? --recognizer FILE.onnx\n");
    } else {
        config.detect_side = has_side ? pixels : config.detect_side;
        config.recognizer = recognizer ? config.recognizer : "";
        config.detector = looking->aligned ? "" : config.detector;
        looking->limit_bytes = (size_t)config.body_bytes;
        status = run(looking, &config);
    }
    config_release(&config);
    return status;
}

int command_embed(int argc, char **argv)
{
    struct looking looking = {.look = gallery_embed};
    return command(&looking, argc, argv, true);
}

int command_detect(int argc, char **argv)
{
    struct looking looking = {.look = gallery_detect};
    return command(&looking, argc, argv, false);
}
