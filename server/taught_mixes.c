/* taught_mixes.c: the crops are copied as they are encoded; mixes are encoded as crops are. */
#include "server/taught_mixes.h"

#include "core/base/random.h"
#include "core/image/encode.h"
#include "server/taught_data.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define LEAST_SHARE 0.3 /* of either face: below, it is the other one */

static enum err copy_crops(const struct dataset *from, struct dataset_writer *writer, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int i = 0; i < dataset_count(from) && err == ERR_NONE; i++) {
        size_t n_bytes = 0;
        const unsigned char *bytes = dataset_bytes(from, i, &n_bytes);
        err = dataset_add(writer, bytes, n_bytes, dataset_label(from, i), dataset_id(from, i), note);
    }
    return err;
}

/* Two crops of two people; there are two. */
static void draw_pair(const struct dataset *from, struct random *random, int pair[2])
{
    const uint64_t count = (uint64_t)dataset_count(from);

    pair[0] = (int)random_below(random, count);
    do {
        pair[1] = (int)random_below(random, count);
    } while (dataset_label(from, pair[0]) == dataset_label(from, pair[1]));
}

static void mix(const struct image *a, const struct image *b, double share, struct image *ret)
{
    const size_t n = 3 * (size_t)ret->width * (size_t)ret->height;

    for (size_t i = 0; i < n; i++) {
        ret->rgb[i] = (uint8_t)(share * a->rgb[i] + (1 - share) * b->rgb[i] + 0.5);
    }
}

static enum err add_mix(const struct dataset *from, struct random *random, int label, struct arena *mem,
                        struct dataset_writer *writer, struct err_note *note)
{
    struct image crop[2];
    struct image mixed;
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    int pair[2];

    draw_pair(from, random, pair);
    const double share = LEAST_SHARE + (1 - 2 * LEAST_SHARE) * random_uniform(random);
    enum err err = dataset_crop(from, pair[0], mem, &crop[0], note);
    if (err == ERR_NONE) {
        err = dataset_crop(from, pair[1], mem, &crop[1], note);
    }
    if (err == ERR_NONE) {
        err = image_new(dataset_side(from), dataset_side(from), mem, &mixed);
    }
    if (err == ERR_NONE) {
        mix(&crop[0], &crop[1], share, &mixed);
        err = image_encode(&mixed, IMAGE_JPEG, TAUGHT_QUALITY, mem, &bytes, &n_bytes);
    }
    return err != ERR_NONE ? err : dataset_add(writer, bytes, n_bytes, label, -1, note);
}

enum err taught_mixes_write(const struct dataset *from, int n, uint64_t seed, const char *path, struct err_note *note)
{
    struct random random = random_seeded(seed, 0);
    struct dataset_writer *writer = NULL;

    if (dataset_people(from) < 2) {
        return ERR_SAY(note, ERR_MISUSE, "faces are mixed of two people: one alone is not enough");
    }
    struct arena *mem = arena_new(ARENA_BYTES);
    enum err err = mem == NULL ? ERR_NOMEM : dataset_create(path, dataset_side(from), &writer, note);
    if (err == ERR_NONE) {
        err = copy_crops(from, writer, note);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        err = add_mix(from, &random, dataset_people(from) + i, mem, writer, note);
        arena_reset_wiped(mem);
    }
    arena_free(mem);
    if (err != ERR_NONE) {
        dataset_abandon(writer);
        return err;
    }
    return dataset_finish(writer, note);
}
