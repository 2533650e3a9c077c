/*
 * synthetic.h: people who can be learnt in seconds, and a small network that learns them.
 *
 * A person is a smooth pattern of a few waves; a photo of it carries other waves, light and colour that say nothing and are
 * stronger than the person.  The people of the second half are not in label: what was learnt must help them too.
 */
#ifndef TESTS_CORE_TRAIN_SYNTHETIC_H
#define TESTS_CORE_TRAIN_SYNTHETIC_H

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "network.h"

#include "core/image/encode.h"
#include "core/train/measure.h"
#include "core/train/trainer.h"

enum {
    SIDE = 32,
    PEOPLE = 40,
    TRAINED = 20,
    PHOTOS = 12,
    COUNT = PEOPLE * PHOTOS,
    DIM = 32
};

static char folder[] = "/tmp/arcfaced-learning-XXXXXX";
static char data_path[sizeof folder + 32];
static struct dataset *dataset;
static int label[COUNT];

/* ---- People ------------------------------------------------------------------------------------------------------- */

/* Adds waves to a picture: phases and directions from the generator. */
static inline void add_waves(float *pixels, struct random *random, int n, double most, double strength)
{
    for (int wave = 0; wave < n; wave++) {
        double fx = (2 * random_uniform(random) - 1) * most;
        double fy = (2 * random_uniform(random) - 1) * most;
        double phase = 6.2831853 * random_uniform(random);
        double colour[3];
        for (int c = 0; c < 3; c++) {
            colour[c] = strength * random_normal(random);
        }
        for (int i = 0; i < SIDE * SIDE; i++) {
            double value = cos(6.2831853 * (fx * (i % SIDE) + fy * (i / SIDE)) / SIDE + phase);
            for (int c = 0; c < 3; c++) {
                pixels[3 * i + c] += (float)(colour[c] * value);
            }
        }
    }
}

static inline void draw(int person, int photo, struct image *crop)
{
    static float pixels[SIDE * SIDE * 3];
    struct random own = random_seeded(7, (uint64_t)person);
    struct random other = random_seeded(8, (uint64_t)(person * 1000 + photo));

    memset(pixels, 0, sizeof pixels);
    add_waves(pixels, &own, 3, 4, 12);
    add_waves(pixels, &other, 3, 1.5, 30);
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        double value = 128 + pixels[i] + 6 * random_normal(&other);
        crop->rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

static inline int make_people(void **state)
{
    struct arena *mem = arena_new((size_t)16 << 20);
    struct dataset_writer *writer = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(data_path, sizeof data_path, "%s/people", folder);
    assert_int_equal(dataset_create(data_path, SIDE, &writer, NULL), ERR_NONE);
    for (int i = 0; i < COUNT; i++) {
        struct image crop;
        unsigned char *bytes;
        size_t n_bytes;
        label[i] = i / PHOTOS;
        assert_int_equal(image_new(SIDE, SIDE, mem, &crop), ERR_NONE);
        draw(label[i], i % PHOTOS, &crop);
        assert_int_equal(image_encode(&crop, IMAGE_PNG, 0, mem, &bytes, &n_bytes), ERR_NONE);
        assert_int_equal(dataset_add(writer, bytes, n_bytes, label[i], i, NULL), ERR_NONE);
        arena_reset(mem);
    }
    assert_int_equal(dataset_finish(writer, NULL), ERR_NONE);
    assert_int_equal(dataset_open(data_path, &dataset, NULL), ERR_NONE);
    arena_free(mem);
    for (int i = 0; i < COUNT; i++) {
        label[i] = label[i] < TRAINED ? label[i] : -1;
    }
    return 0;
}

static inline void empty_folder(const char *path)
{
    DIR *open = opendir(path);
    char full[1200];

    for (const struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
        (void)snprintf(full, sizeof full, "%s/%s", path, entry->d_name);
        (void)unlink(full);
    }
    if (open != NULL) {
        (void)closedir(open);
    }
}

static inline int remove_people(void **state)
{
    (void)state;
    dataset_close(dataset);
    empty_folder(folder);
    (void)rmdir(folder);
    assert_int_equal(mem_live_blocks(), 0);
    return 0;
}

/* ---- The network -------------------------------------------------------------------------------------------------- */

static inline struct graph *make_network(void)
{
    struct net net = net_start(5, NET_SHAPE(1, 3, SIDE, SIDE));

    net_conv(&net, 3, 8, 3, 2, 1, false);
    net_norm(&net, 8);
    net_prelu(&net, 8);
    net_conv(&net, 8, 16, 3, 2, 1, false);
    net_norm(&net, 16);
    net_prelu(&net, 16);
    net_conv(&net, 16, 16, 3, 2, 1, false);
    net_norm(&net, 16);
    net_prelu(&net, 16);
    (void)net_node(&net, "Flatten", NET_NO_ATTRS, NULL, 0);
    net_gemm(&net, 256, DIM);
    net_norm(&net, DIM);
    return net_finish(&net);
}

static inline struct student *make_student(const char *cut, struct pool *pool)
{
    struct student_options options = {.cut = cut,
                                      .how = {.mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}},
                                      .augment = {.flip = .5F, .light = .5F, .light_strength = .2F},
                                      .looks = 3,
                                      .seed = 3,
                                      .learn_norms = true};
    struct student *student = NULL;
    struct err_note note = {0};
    enum err err = student_new(make_network(), dataset, &options, pool, NULL, &student, &note);

    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note.text);
    }
    return student;
}

static inline struct train_options quick_options(void)
{
    struct train_options options = train_default();

    options.schedule.rate = .01F;
    options.objective.margin.scale = 24;
    options.epochs = 3;
    options.batch = 24;
    options.shard = 8;
    options.batch_statistics = true;
    options.center_rate = 5;
    return options;
}

/* TAR at a false match rate of 1 % over the people who were never trained on. */
static inline double held_out_tar(struct student *student)
{
    static float u[COUNT * DIM];
    static int person[COUNT];
    struct arena *mem = arena_new((size_t)256 << 20);
    struct pairs pairs;
    double tar = 0;
    float threshold = 0;
    int from = TRAINED * PHOTOS;

    for (int i = from; i < COUNT; i++) {
        person[i - from] = i / PHOTOS - TRAINED;
    }
    assert_int_equal(student_embed(student, NULL, u, NULL), ERR_NONE);
    assert_int_equal(pairs_make(u + from * DIM, person, COUNT - from, DIM, PEOPLE - TRAINED, .01, mem, &pairs),
                     ERR_NONE);
    assert_int_equal(pairs_tar(&pairs, NULL, .01, &tar, &threshold), ERR_NONE);
    arena_free(mem);
    return tar;
}

static inline void run(struct student *student, const struct train_options *options, struct train_result *ret)
{
    struct err_note note = {0};
    enum err err = train_phase(student, label, TRAINED, options, NULL, NULL, NULL, ret, &note);

    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note.text);
    }
}

#endif
