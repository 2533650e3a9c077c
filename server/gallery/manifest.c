/* manifest.c: manifests through jansson, member by member. */
#include "server/gallery/manifest.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/face/align.h"

/* Looks a member up; null counts as absent. */
static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static enum err read_text(const json_t *root, const char *name, struct arena *mem, const char **ret,
                          struct err_note *note)
{
    json_t *value = member(root, name);

    if (value == NULL) {
        *ret = NULL;
        return ERR_NONE;
    }
    if (!json_is_string(value)) {
        return ERR_SAY(note, ERR_FORMAT, "member \"%s\" must be a text", name);
    }
    *ret = arena_copy_text(mem, json_string_value(value));
    return *ret == NULL ? arena_why(mem) : ERR_NONE;
}

static enum err read_triple(const json_t *value, const char *name, bool positive, float ret[3], struct err_note *note)
{
    if (!json_is_array(value) || json_array_size(value) != 3) {
        return ERR_SAY(note, ERR_FORMAT, "member \"%s\" must be a list of three numbers", name);
    }
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_array_get(value, i);
        double x = json_number_value(number);
        if (!json_is_number(number) || !isfinite((float)x) || (positive && !((float)x > 0))) {
            return ERR_SAY(note, ERR_FORMAT, "member \"%s\": number %zu must be finite%s", name, i + 1,
                           positive ? " and above zero" : "");
        }
        ret[i] = (float)x;
    }
    return ERR_NONE;
}

static enum err read_role(const json_t *root, enum model_role role, struct err_note *note)
{
    const json_t *value = member(root, "role");

    if (value == NULL) {
        return ERR_NONE;
    }
    const char *word = json_string_value(value);
    bool detector = word != NULL && strcmp(word, "detector") == 0;
    if (word == NULL || (!detector && strcmp(word, "recognizer") != 0)) {
        return ERR_SAY(note, ERR_FORMAT, "member \"role\" must be \"detector\" or \"recognizer\"");
    }
    if (detector != (role == MODEL_DETECTOR)) {
        return ERR_SAY(note, ERR_CONFLICT, "member \"role\" says %s, but the file is given as the %s", word,
                       model_role_word(role));
    }
    return ERR_NONE;
}

static enum err read_color(const json_t *root, struct preprocess *ret, struct err_note *note)
{
    const json_t *value = member(root, "color");

    if (value == NULL) {
        return ERR_NONE;
    }
    const char *word = json_string_value(value);
    if (word == NULL || (strcmp(word, "rgb") != 0 && strcmp(word, "bgr") != 0)) {
        return ERR_SAY(note, ERR_FORMAT, "member \"color\" must be \"rgb\" or \"bgr\"");
    }
    ret->color = word[0] == 'b' ? COLOR_BGR : COLOR_RGB;
    return ERR_NONE;
}

/* mean and std belong together: one without the other would be half an assumption. */
static enum err read_normalisation(const json_t *root, struct preprocess *ret, bool *ret_said, struct err_note *note)
{
    const json_t *mean = member(root, "mean");
    const json_t *std = member(root, "std");

    if (mean == NULL && std == NULL) {
        return ERR_NONE;
    }
    if (mean == NULL || std == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "members \"mean\" and \"std\" belong together: \"%s\" is missing",
                       mean == NULL ? "mean" : "std");
    }
    enum err err = read_triple(mean, "mean", false, ret->mean, note);
    if (err == ERR_NONE) {
        err = read_triple(std, "std", true, ret->std, note);
    }
    *ret_said = err == ERR_NONE;
    return err;
}

static enum err read_points(const json_t *root, struct calibration *ret, struct err_note *note)
{
    const json_t *points = json_object_get(root, "points");
    size_t count = json_array_size(points);

    if (!json_is_object(root) || !json_is_array(points) || count < 2 || count > CALIBRATION_MAX_POINTS) {
        return ERR_SAY(note, ERR_FORMAT, "member \"calibration\" must hold \"points\", a list of 2 to %d of them",
                       CALIBRATION_MAX_POINTS);
    }
    struct calibration read = {.n_points = (int)count};
    for (size_t i = 0; i < count; i++) {
        const json_t *point = json_array_get(points, i);
        const json_t *fmr = json_object_get(point, "fmr");
        const json_t *cosine = json_object_get(point, "cosine");
        struct calibration_point *to = &read.points[i];
        to->fmr = json_number_value(fmr);
        to->cosine = (float)json_number_value(cosine);
        if (!json_is_number(fmr) || !(to->fmr > 0 && to->fmr < 1)) {
            return ERR_SAY(note, ERR_FORMAT, "member \"calibration\": \"fmr\" of point %zu must lie between 0 and 1",
                           i + 1);
        }
        if (!json_is_number(cosine) || !(to->cosine >= -1 && to->cosine <= 1)) {
            return ERR_SAY(note, ERR_FORMAT, "member \"calibration\": \"cosine\" of point %zu must lie from -1 to 1",
                           i + 1);
        }
        if (i > 0 && !(to->fmr < to[-1].fmr && to->cosine > to[-1].cosine)) {
            return ERR_SAY(
                note, ERR_FORMAT,
                "member \"calibration\": rates must fall and cosines rise, but point %zu does not follow %zu", i + 1,
                i);
        }
    }
    *ret = read;
    return ERR_NONE;
}

/* Dumps a value into the arena. */
static enum err dump(const json_t *value, struct arena *mem, const char **ret, struct err_note *note)
{
    size_t need = json_dumpb(value, NULL, 0, JSON_COMPACT);
    char *text = need == 0 ? NULL : arena_alloc(mem, need + 1, 1);

    if (need == 0) {
        return ERR_SAY(note, ERR_NOMEM, "no memory to write JSON");
    }
    if (text == NULL) {
        return arena_why(mem);
    }
    if (json_dumpb(value, text, need, JSON_COMPACT) != need) {
        return ERR_SAY(note, ERR_FOREIGN, "JSON came out longer the second time");
    }
    *ret = text;
    return ERR_NONE;
}

static enum err read_flip_and_calibration(const json_t *root, struct arena *mem, struct manifest *ret,
                                          struct err_note *note)
{
    const json_t *flip = member(root, "flip");
    const json_t *calibration = member(root, "calibration");

    if (flip != NULL && (!json_is_boolean(flip) || (json_is_true(flip) && ret->role == MODEL_DETECTOR))) {
        return ERR_SAY(note, ERR_FORMAT, "member \"flip\" must be true or false, and belongs to recognisers only");
    }
    ret->flip = json_is_true(flip);
    if (calibration == NULL) {
        return ERR_NONE;
    }
    enum err err = read_points(calibration, &ret->calibration, note);
    return err != ERR_NONE ? err : dump(calibration, mem, &ret->calibration_json, note);
}

/* Everything that was said or assumed, as one preprocess object and one whole manifest. */
static enum err write_texts(json_t *root, struct arena *mem, struct manifest *ret, struct err_note *note)
{
    const struct preprocess *how = &ret->how;
    json_t *pixels = json_pack("{s:s, s:[f,f,f], s:[f,f,f]}", "color", how->color == COLOR_BGR ? "bgr" : "rgb", "mean",
                               (double)how->mean[0], (double)how->mean[1], (double)how->mean[2], "std",
                               (double)how->std[0], (double)how->std[1], (double)how->std[2]);
    enum err err = ERR_NONE;

    if (pixels == NULL || json_object_update_missing(root, pixels) != 0 ||
        json_object_set_new(root, "role", json_string(model_role_word(ret->role))) != 0) {
        err = ERR_SAY(note, ERR_NOMEM, "no memory for the manifest");
    }
    if (err == ERR_NONE) {
        err = dump(pixels, mem, &ret->preprocess_json, note);
    }
    if (err == ERR_NONE) {
        err = dump(root, mem, &ret->json, note);
    }
    json_decref(pixels);
    return err;
}

/* What DESIGN calls the rules: raw pixels if the graph normalises, else the family's custom. */
static void assume_normalisation(enum model_role role, bool normalises_itself, struct preprocess *ret)
{
    float mean = normalises_itself ? 0 : 127.5F;
    float std = normalises_itself ? 1 : role == MODEL_DETECTOR ? 128.0F : 127.5F;

    for (int i = 0; i < 3; i++) {
        ret->mean[i] = mean;
        ret->std[i] = std;
    }
}

static enum err say_assumed(bool has_manifest, bool normalised, bool colored, struct arena *mem, struct manifest *ret)
{
    const char *why = has_manifest ? "its manifest does not say all" : "it has no manifest";
    const char *itself = ret->how.std[0] == 1.0F ? ", because the graph normalises by itself" : "";

    if (normalised && colored) {
        return ERR_NONE;
    }
    if (normalised) {
        ret->assumed = arena_format(mem, "%s: assumed rgb", why);
    } else {
        ret->assumed = arena_format(mem, "%s: assumed %s(x - %g) / %g%s", why, colored ? "" : "rgb, ",
                                    (double)ret->how.mean[0], (double)ret->how.std[0], itself);
    }
    return ret->assumed == NULL ? arena_why(mem) : ERR_NONE;
}

enum err manifest_read(const char *text, size_t bytes, enum model_role role, bool normalises_itself, struct arena *mem,
                       struct manifest *ret, struct err_note *note)
{
    json_error_t wrong;
    json_t *root = text == NULL ? json_object() : json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &wrong);
    struct manifest read = {.role = role};
    bool normalised = false;

    if (root == NULL) {
        return text == NULL ? ERR_SAY(note, ERR_NOMEM, "no memory for the manifest")
                            : ERR_SAY(note, ERR_FORMAT, "not JSON: %s (line %d)", wrong.text, wrong.line);
    }
    assume_normalisation(role, normalises_itself, &read.how);
    enum err err =
        json_is_object(root) ? ERR_NONE : ERR_SAY(note, ERR_FORMAT, "the manifest must be a JSON object, not a list");
    if (err == ERR_NONE) {
        err = read_role(root, role, note);
    }
    if (err == ERR_NONE) {
        err = read_color(root, &read.how, note);
    }
    if (err == ERR_NONE) {
        err = read_normalisation(root, &read.how, &normalised, note);
    }
    if (err == ERR_NONE) {
        err = read_text(root, "source", mem, &read.source, note);
    }
    if (err == ERR_NONE) {
        err = read_text(root, "licence", mem, &read.licence, note);
    }
    if (err == ERR_NONE) {
        err = read_flip_and_calibration(root, mem, &read, note);
    }
    if (err == ERR_NONE) {
        err = say_assumed(text != NULL, normalised, member(root, "color") != NULL, mem, &read);
    }
    if (err == ERR_NONE) {
        err = write_texts(root, mem, &read, note);
    }
    json_decref(root);
    if (err == ERR_NONE) {
        *ret = read;
    }
    return err;
}

enum err manifest_read_calibration(const char *json, struct calibration *ret, struct err_note *note)
{
    json_error_t wrong;
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &wrong);

    if (root == NULL) {
        return ERR_SAY(note, ERR_FORMAT, "the calibration is not JSON: %s", wrong.text);
    }
    enum err err = read_points(root, ret, note);
    json_decref(root);
    return err;
}

void manifest_version(const unsigned char onnx_sha256[HASH_SHA256_BYTES], const struct manifest *manifest,
                      char ret[STORE_VERSION_TEXT])
{
    const struct preprocess *how = &manifest->how;
    char digest[HASH_SHA256_TEXT];
    char line[512];
    unsigned char hash[HASH_SHA256_BYTES];

    /* Nine digits tell every float from its neighbours. */
    hash_text(onnx_sha256, digest);
    int len = snprintf(line, sizeof line, "onnx %s color %s mean %.9g %.9g %.9g std %.9g %.9g %.9g flip %d align %d",
                       digest, how->color == COLOR_BGR ? "bgr" : "rgb", (double)how->mean[0], (double)how->mean[1],
                       (double)how->mean[2], (double)how->std[0], (double)how->std[1], (double)how->std[2],
                       manifest->flip, manifest->role == MODEL_RECOGNIZER ? ALIGN_VERSION : 0);
    hash_sha256(line, (size_t)len, hash);
    hash_text(hash, ret);
}
