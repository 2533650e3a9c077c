/* generate_targets.c: centers, lists of numbers, random directions. */
#include "server/generate_targets.h"

#include <jansson.h>
#include <string.h>

#include "core/base/random.h"
#include "core/train/purify.h"
#include "server/crop_files.h"

static enum err room_for(struct targets *ret, int people)
{
    ret->people = people;
    ret->names = ARENA_ARRAY(ret->mem, const char *, people);
    ret->targets = ARENA_ARRAY(ret->mem, float, (size_t)people *(size_t)ret->recognizer->dim);
    ret->likeness = ARENA_ARRAY(ret->mem, struct image, people);
    ret->nearest = ARENA_ARRAY(ret->mem, float, people);
    return ret->names == NULL || ret->targets == NULL || ret->likeness == NULL || ret->nearest == NULL ? ERR_NOMEM
                                                                                                       : ERR_NONE;
}

enum err targets_of_nobody(struct targets *ret, int count, uint64_t seed)
{
    size_t dim = (size_t)ret->recognizer->dim;
    enum err err = room_for(ret, count);

    for (int i = 0; err == ERR_NONE && i < ret->people; i++) {
        struct random random = random_seeded(seed, (uint64_t)i);
        for (size_t k = 0; k < dim; k++) {
            ret->targets[(size_t)i * dim + k] = (float)random_normal(&random);
        }
        ret->names[i] = arena_format(ret->mem, "nobody-%03d", i + 1);
        err = ret->names[i] == NULL ? ERR_NOMEM : ERR_NONE;
    }
    return err;
}

static enum err take_numbers(struct targets *ret, const json_t *list, int person)
{
    size_t dim = (size_t)ret->recognizer->dim;

    if (json_array_size(list) != dim) {
        return ERR_SAY(ret->note, ERR_FORMAT, "embedding %d has %zu numbers, the recogniser's have %zu", person,
                       json_array_size(list), dim);
    }
    for (size_t k = 0; k < dim; k++) {
        const json_t *number = json_array_get(list, k);
        if (!json_is_number(number)) {
            return ERR_SAY(ret->note, ERR_FORMAT, "embedding %d holds what is no number", person);
        }
        ret->targets[(size_t)person * dim + k] = (float)json_number_value(number);
    }
    ret->names[person] = arena_format(ret->mem, "embedding-%03d", person + 1);
    return ret->names[person] == NULL ? ERR_NOMEM : ERR_NONE;
}

enum err targets_of_file(struct targets *ret, const char *path)
{
    json_error_t error;
    json_t *list = json_load_file(path, 0, &error);
    bool many = json_is_array(json_array_get(list, 0));
    size_t n = many ? json_array_size(list) : 1;
    enum err err = ERR_NONE;

    if (!json_is_array(list) || n > TARGETS_MOST) {
        err = ERR_SAY(ret->note, ERR_FORMAT, "%s: %s", path,
                      list == NULL ? error.text : "no list of numbers, or too many");
    }
    err = err != ERR_NONE ? err : room_for(ret, (int)n);
    for (size_t i = 0; err == ERR_NONE && i < n; i++) {
        err = take_numbers(ret, many ? json_array_get(list, i) : list, (int)i);
    }
    json_decref(list);
    return err;
}

/* Keeps the crops that are nearest to their people's targets. */
struct likeness {
    struct targets *targets;
    const int *nearest; /* [people] photo, -1: none */
};

static enum err keep_likeness(void *context, int thread, int i, const struct image *crop, struct arena *mem,
                              struct err_note *note)
{
    struct likeness *likeness = context;
    struct targets *ret = likeness->targets;
    int person = ret->folder.person[i];

    (void)thread;
    (void)mem;
    (void)note;
    if (likeness->nearest[person] == i) {
        memcpy(ret->likeness[person].rgb, crop->rgb, (size_t)3 * (size_t)crop->width * (size_t)crop->height);
    }
    return ERR_NONE;
}

/* The dominant center of a person's photos u [n, dim], and which of them is nearest. */
static enum err center_of(struct targets *ret, int person, const float *u, const int *photos, int n, int *ret_nearest)
{
    size_t dim = (size_t)ret->recognizer->dim;
    float *target = ret->targets + (size_t)person * dim;
    enum err err = purify_center(u, n, (int)dim, ret->mem, target);

    if (err != ERR_NONE) {
        return ERR_SAY(ret->note, err, "no face of '%s' was found", ret->folder.names[person]);
    }
    ret->names[person] = ret->folder.names[person];
    for (int i = 0; i < n; i++) {
        float cosine = 0;
        for (size_t k = 0; k < dim; k++) {
            cosine += u[(size_t)i * dim + k] * target[k];
        }
        if (i == 0 || cosine > ret->nearest[person]) {
            ret->nearest[person] = cosine;
            *ret_nearest = photos[i];
        }
    }
    return image_new(ret->recognizer->side, ret->recognizer->side, ret->mem, &ret->likeness[person]);
}

static enum err centers(struct targets *ret, const float *u, const unsigned char *state, int *nearest)
{
    const struct people_folder *folder = &ret->folder;
    size_t dim = (size_t)ret->recognizer->dim;
    float *own = ARENA_ARRAY(ret->mem, float, (size_t)folder->n *dim);
    int *photos = ARENA_ARRAY(ret->mem, int, folder->n);
    enum err err = own == NULL || photos == NULL ? ERR_NOMEM : ERR_NONE;

    for (int person = 0; err == ERR_NONE && person < folder->people; person++) {
        int n = 0;
        for (int i = 0; i < folder->n; i++) {
            if (folder->person[i] == person && state[i] == CROP_SEEN) {
                memcpy(own + (size_t)n * dim, u + (size_t)i * dim, dim * sizeof *own);
                photos[n++] = i;
            }
        }
        nearest[person] = -1;
        err = center_of(ret, person, own, photos, n, &nearest[person]);
    }
    return err;
}

enum err targets_of_people(struct targets *ret, const char *folder, const char *only, const char *except,
                           const struct model *detector, int threads)
{
    enum err err = people_folder_read(folder, only, except, ret->mem, &ret->folder, ret->note);
    err = err != ERR_NONE ? err : room_for(ret, ret->folder.people);
    if (err != ERR_NONE) {
        return err;
    }
    int n = ret->folder.n;
    struct crop_source source = {
        .paths = ret->folder.paths, .n = n, .detector = detector, .side = ret->recognizer->side, .threads = threads};
    float *u = ARENA_ARRAY(ret->mem, float, (size_t)n *(size_t)ret->recognizer->dim);
    unsigned char *state = ARENA_ARRAY(ret->mem, unsigned char, n);
    int *nearest = ARENA_ARRAY(ret->mem, int, ret->people);
    if (u == NULL || state == NULL || nearest == NULL) {
        return ERR_NOMEM;
    }
    err = embed_crops(&source, ret->recognizer, true, NULL, u, state, ret->note);
    err = err != ERR_NONE ? err : centers(ret, u, state, nearest);
    struct likeness likeness = {ret, nearest};
    return err != ERR_NONE ? err : crop_files(&source, keep_likeness, &likeness, NULL, state, ret->note);
}
