/*
 * real_support.h: finding and reading what lies under $ARCFACED_SHARED: models with their manifests, photos, numbers.
 *
 * Included by the programs of tests/real and tests/bench, which are single files; everything ends the program in words when
 * a file that must be there is not.
 */
#ifndef TESTS_REAL_REAL_SUPPORT_H
#define TESTS_REAL_REAL_SUPPORT_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/face/align.h"
#include "core/face/detect.h"
#include "core/face/embed.h"
#include "core/face/quality.h"
#include "core/image/decode.h"
#include "core/onnx/onnx.h"

#define REAL_ARENA_BYTES ((size_t)512 << 20)

PRINTF_LIKE(1, 2) static inline _Noreturn void real_die(const char *format, ...)
{
    va_list list;

    printf("Bail out! ");
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
    exit(1);
}

static inline const char *real_root(void)
{
    const char *root = getenv("ARCFACED_SHARED");

    return root != NULL && root[0] != '\0' ? root : "../shared";
}

/* Where the models and photos are not, the program says so in one line of TAP and succeeds. */
static inline void real_skip_without_shared(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/models/scrfd_500m.onnx", real_root());
    if (!file_exists(path)) {
        printf("1..1\nok 1 - all # SKIP no models at %s (set ARCFACED_SHARED)\n", real_root());
        exit(0);
    }
}

/* Reads a file below the root; mem_free. */
PRINTF_LIKE(2, 3) static inline unsigned char *real_read(size_t *ret_bytes, const char *format, ...)
{
    char path[4096];
    va_list list;
    unsigned char *bytes;
    struct err_note note = {0};

    const int used = snprintf(path, sizeof path, "%s/", real_root());
    va_start(list, format);
    vsnprintf(path + used, sizeof path - (size_t)used, format, list);
    va_end(list);
    if (file_read(path, (size_t)64 << 20, &bytes, ret_bytes, &note) != ERR_NONE) {
        real_die("%s: %s", path, note.text);
    }
    return bytes;
}

static inline json_t *real_json(const char *name)
{
    size_t n_bytes;
    unsigned char *bytes = real_read(&n_bytes, "%s", name);
    json_error_t error;
    json_t *json = json_loadb((const char *)bytes, n_bytes, 0, &error);

    if (json == NULL) {
        real_die("%s: %s", name, error.text);
    }
    mem_free(bytes);
    return json;
}

static inline struct preprocess real_preprocess(const json_t *manifest)
{
    struct preprocess how;
    const char *color = json_string_value(json_object_get(manifest, "color"));

    how.color = color != NULL && strcmp(color, "bgr") == 0 ? COLOR_BGR : COLOR_RGB;
    for (size_t i = 0; i < 3; i++) {
        how.mean[i] = (float)json_number_value(json_array_get(json_object_get(manifest, "mean"), i));
        how.std[i] = (float)json_number_value(json_array_get(json_object_get(manifest, "std"), i));
    }
    return how;
}

/* models/NAME.onnx and the preprocessing in the manifest beside it. */
static inline struct graph *real_graph(const char *name, enum onnx_purpose purpose, struct preprocess *ret_how)
{
    char manifest_name[256];
    size_t n_bytes;
    struct graph *graph;
    struct onnx_info info;
    struct err_note note = {0};

    snprintf(manifest_name, sizeof manifest_name, "models/%s.onnx.json", name);
    json_t *manifest = real_json(manifest_name);
    *ret_how = real_preprocess(manifest);
    json_decref(manifest);

    unsigned char *bytes = real_read(&n_bytes, "models/%s.onnx", name);
    if (onnx_load(bytes, n_bytes, purpose, &graph, &info, &note) != ERR_NONE) {
        real_die("%s: %s", name, note.text);
    }
    mem_free(bytes);
    return graph;
}

static inline struct detector *real_detector(const char *name)
{
    struct preprocess how;
    struct graph *graph = real_graph(name, ONNX_FOR_INFERENCE, &how);
    struct detector *detector;
    struct err_note note = {0};

    if (detector_new(graph, &how, &detector, &note) != ERR_NONE) {
        real_die("%s: %s", name, note.text);
    }
    return detector;
}

static inline struct recognizer *real_recognizer(const char *name)
{
    struct recognizer_options options = {.flip = false};
    struct graph *graph = real_graph(name, ONNX_FOR_INFERENCE, &options.how);
    struct recognizer *recognizer;
    struct err_note note = {0};

    if (recognizer_new(graph, &options, &recognizer, &note) != ERR_NONE) {
        real_die("%s: %s", name, note.text);
    }
    return recognizer;
}

static inline struct session *real_session(const struct graph *graph, bool keep_all)
{
    const struct session_options options = {.keep_all = keep_all};
    struct session *session;

    if (session_new(graph, &options, &session) != ERR_NONE) {
        real_die("no memory for a session");
    }
    return session;
}

static inline struct arena *real_arena(void)
{
    struct arena *arena = arena_new(REAL_ARENA_BYTES);

    if (arena == NULL) {
        real_die("no memory for an arena");
    }
    return arena;
}

static inline struct image real_photo(const unsigned char *bytes, size_t n_bytes, struct arena *mem, const char *name)
{
    const struct image_limits limits = image_limits_default();
    struct image photo;
    struct err_note note = {0};

    if (image_decode(bytes, n_bytes, &limits, mem, &photo, &note) != ERR_NONE) {
        real_die("%s: %s", name, note.text);
    }
    return photo;
}

/* The face nearest the photo's centre; NULL if there is none. */
static inline const struct face *real_central_face(const struct face *faces, int n_faces, const struct image *photo)
{
    const struct face *best = NULL;
    float best_distance = 0;

    for (int i = 0; i < n_faces; i++) {
        const float dx = (faces[i].box[0] + faces[i].box[2] - (float)photo->width) / 2;
        const float dy = (faces[i].box[1] + faces[i].box[3] - (float)photo->height) / 2;
        const float distance = dx * dx + dy * dy;
        if (best == NULL || distance < best_distance) {
            best = &faces[i];
            best_distance = distance;
        }
    }
    return best;
}

static inline double real_cosine(const float *a, const float *b, int dim)
{
    double dot = 0;
    double aa = 0;
    double bb = 0;

    for (int i = 0; i < dim; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(aa * bb);
}

#endif
