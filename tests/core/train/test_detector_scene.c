/* test_detector_scene.c: labels come where their pixels come, hidden faces are gone, and the same number is the same scene. */
#include <math.h>

#include "core/train/detector_scene.h"
#include "detector_photos.h"

enum {
    SIDE = 192,
    SCENES = 150
};

static struct detector_photos photos;

static int set_up(void **state)
{
    make_photos(&photos);
    return 0;
}

static int tear_down(void **state)
{
    remove_photos(&photos);
    return mem_live_blocks() == 0 ? 0 : -1;
}

static int brightness(const struct image *image, float x, float y)
{
    const uint8_t *at = image->rgb + 3 * ((size_t)y * (size_t)image->width + (size_t)x);

    return at[0] + at[1] + at[2];
}

/* A dot is brighter than the disc around it, whatever the light. */
static void labels_follow_pixels(void **state)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    int dots = 0;
    int bright = 0;
    int small = 0;
    int large = 0;
    int turned = 0;
    int left = 0;

    for (int i = 0; i < SCENES; i++) {
        struct detector_scene scene;
        assert_int_equal(detector_scene_draw(&photos.labels, SIDE, 3, (uint64_t)i, mem, &scene, NULL), ERR_NONE);
        assert_int_equal(scene.image.width, SIDE);
        for (int k = 0; k < scene.n_faces; k++) {
            const struct face *face = &scene.faces[k].face;
            float width = face->box[2] - face->box[0];
            if (scene.faces[k].unsure) {
                continue;
            }
            assert_true(face->point[0][0] < face->point[1][0]); /* left first, mirrored too */
            small += width < 30;
            large += width > 120;
            turned += fabsf(face->point[0][1] - face->point[1][1]) > .1F * width;
            left += face->box[0] < 0 || face->box[2] > SIDE;
            for (int p = 0; p < 5 && width > 60; p++) {
                float x = face->point[p][0];
                float y = face->point[p][1];
                float off = .11F * width;
                if (x < off + 1 || y < off + 1 || x > SIDE - off - 2 || y > SIDE - off - 2) {
                    continue;
                }
                /* other dots are further away than this in each direction */
                int around = (brightness(&scene.image, x - off, y) + brightness(&scene.image, x + off, y) +
                              brightness(&scene.image, x, y - off) + brightness(&scene.image, x, y + off)) /
                             4;
                dots++;
                bright += brightness(&scene.image, x, y) > around + 60;
            }
        }
        arena_reset(mem);
    }
    arena_free(mem);
    if (dots < 200 || bright < .93 * dots) {
        fail_msg("%d of %d dots are where the labels say", bright, dots);
    }
    assert_true(small > 20 && large > 10 && turned > 20 && left > 5);
}

static void same_number_same_scene(void **state)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    struct detector_scene a;
    struct detector_scene b;
    struct detector_scene other;

    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(detector_scene_draw(&photos.labels, 96, 3, i, mem, &a, NULL), ERR_NONE);
        assert_int_equal(detector_scene_draw(&photos.labels, 96, 3, i, mem, &b, NULL), ERR_NONE);
        assert_int_equal(detector_scene_draw(&photos.labels, 96, 4, i, mem, &other, NULL), ERR_NONE);
        assert_memory_equal(a.image.rgb, b.image.rgb, 3 * 96 * 96);
        assert_int_equal(a.n_faces, b.n_faces);
        assert_memory_equal(a.faces, b.faces, (size_t)a.n_faces * sizeof *a.faces);
        assert_memory_not_equal(a.image.rgb, other.image.rgb, 3 * 96 * 96);
    }
    arena_free(mem);
}

/* Nothing bright is left of a disc that was painted over by its surroundings; what is outside stays. */
static void hidden_is_gone(void **state)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    int kept_dark = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct image photo;
        struct labelled_face face;
        assert_int_equal(image_new(PHOTO_SIDE, PHOTO_SIDE, mem, &photo), ERR_NONE);
        memset(photo.rgb, 30, 3 * PHOTO_SIDE * PHOTO_SIDE);
        paint_disc(&photo, 80, 80, &face);
        face.unsure = seed % 2 == 1;
        detector_scene_hide(&photo, &face, 1, seed);
        int most = 0;
        int least = 765;
        for (int y = 60; y < 100; y++) {
            for (int x = 60; x < 100; x++) {
                most = brightness(&photo, (float)x, (float)y) > most ? brightness(&photo, (float)x, (float)y) : most;
                least = brightness(&photo, (float)x, (float)y) < least ? brightness(&photo, (float)x, (float)y) : least;
            }
        }
        assert_true(most - least < 60); /* the dots had stood out by 405 */
        assert_int_equal(brightness(&photo, 5, 5), 90);
        kept_dark += most < 150;
        arena_reset(mem);
    }
    assert_true(kept_dark > 3 && kept_dark < 20); /* both ways occur */
    arena_free(mem);
}

/*
 * Where the labels have a trap, a part of the cells looks at it, with the faces there or painted over as it was seen.  The trap is
 * a bright field at the photo's edge, where hardly any cell looks otherwise.
 */
static void traps_are_looked_at(void **state)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    struct labelled_face face = {.face = {.box = {100, 100, 140, 140}, .score = 1}};
    struct detector_trap trap = {.box = {0, 0, 12, 12}};
    char path[96];
    struct labelled_photo photo = {.path = path, .faces = &face, .n_faces = 1, .traps = &trap, .n_traps = 1};
    struct detector_labels labels = {.photos = &photo, .n_photos = 1, .whole = true};
    struct image image;
    unsigned char *bytes;
    size_t n_bytes;
    int large[3] = {0}; /* the field fills a part of the scene: no trap known, known, known when faces are hidden */

    assert_int_equal(image_new(PHOTO_SIDE, PHOTO_SIDE, mem, &image), ERR_NONE);
    memset(image.rgb, 30, (size_t)3 * PHOTO_SIDE * PHOTO_SIDE);
    for (int y = 0; y < 12; y++) {
        memset(image.rgb + (size_t)3 * (size_t)y * PHOTO_SIDE, 255, 3 * 12);
    }
    (void)snprintf(path, sizeof path, "%s/trap.png", photos.folder);
    assert_int_equal(image_encode(&image, IMAGE_PNG, 0, mem, &bytes, &n_bytes), ERR_NONE);
    assert_int_equal(file_write(path, bytes, n_bytes, NULL), ERR_NONE);
    for (int way = 0; way < 3; way++) {
        labels.n_traps = way > 0;
        trap.hidden = way == 2;
        for (uint64_t i = 0; i < 300; i++) {
            struct detector_scene scene;
            int bright = 0;
            assert_int_equal(detector_scene_draw(&labels, 96, 5, i, mem, &scene, NULL), ERR_NONE);
            for (int k = 0; k < 96 * 96; k++) {
                const uint8_t *at = scene.image.rgb + (size_t)3 * (size_t)k;
                bright += at[0] > 130 && at[1] > 130 && at[2] > 130;
            }
            large[way] += bright > 96 * 96 / 20 && bright < 96 * 96 / 2;
            arena_reset(mem);
        }
    }
    (void)unlink(path);
    arena_free(mem);
    if (large[1] < large[0] + 25 || large[2] < large[0] + 25) {
        fail_msg("the trap stands out in %d of 300 scenes when unknown, in %d and %d when known", large[0], large[1],
                 large[2]);
    }
}

/* Of many photos the one with a face that is turned to the side comes more often than its turn. */
static void turned_faces_are_looked_at(void **state)
{
    enum {
        MANY = 20
    };
    struct arena *mem = arena_new((size_t)64 << 20);
    struct labelled_face faces[2] = {{.face = {.box = {40, 40, 120, 120}, .score = 1}}};
    struct labelled_photo list[MANY];
    struct detector_labels labels = {.photos = list, .n_photos = MANY, .whole = true};
    char paths[2][96];
    int seen[2] = {0}; /* while the one bright photo's face looks straight ahead, and when it is turned */

    faces[0].face.point[0][0] = 65;
    faces[0].face.point[1][0] = 95; /* of 80 pixels */
    faces[1] = faces[0];
    for (int i = 0; i < 2; i++) {
        struct image image;
        unsigned char *bytes;
        size_t n_bytes;
        assert_int_equal(image_new(PHOTO_SIDE, PHOTO_SIDE, mem, &image), ERR_NONE);
        memset(image.rgb, i == 0 ? 10 : 250, (size_t)3 * PHOTO_SIDE * PHOTO_SIDE);
        (void)snprintf(paths[i], sizeof paths[i], "%s/turned%d.png", photos.folder, i);
        assert_int_equal(image_encode(&image, IMAGE_PNG, 0, mem, &bytes, &n_bytes), ERR_NONE);
        assert_int_equal(file_write(paths[i], bytes, n_bytes, NULL), ERR_NONE);
    }
    for (int i = 0; i < MANY; i++) {
        list[i] = (struct labelled_photo){.path = paths[i == 7], .faces = &faces[i == 7], .n_faces = 1};
    }
    for (int turned = 0; turned < 2; turned++) {
        faces[1].face.point[1][0] = turned == 1 ? 80 : 95;
        for (uint64_t i = 0; i < 300; i++) {
            struct detector_scene scene;
            assert_int_equal(detector_scene_draw(&labels, 96, 6, i, mem, &scene, NULL), ERR_NONE);
            int bright = 0;
            for (int k = 0; k < 96 * 96; k++) {
                bright += scene.image.rgb[3 * k] > 140;
            }
            seen[turned] += bright > 96 * 96 / 8;
            arena_reset(mem);
        }
    }
    for (int i = 0; i < 2; i++) {
        (void)unlink(paths[i]);
    }
    arena_free(mem);
    if (seen[1] < seen[0] + 40) {
        fail_msg("the turned face's photo is seen in %d of 300 scenes, in %d when its face is not turned", seen[1],
                 seen[0]);
    }
}

static void nothing_to_draw(void **state)
{
    struct arena *mem = arena_new((size_t)64 << 20);
    struct labelled_photo empty = {.path = "nowhere"};
    struct labelled_face face = {.face = {.box = {0, 0, 9, 9}}};
    struct labelled_photo missing = {.path = "/tmp/no such photo", .faces = &face, .n_faces = 1};
    struct detector_labels labels = {.whole = true};
    struct detector_scene scene;

    assert_int_equal(detector_scene_draw(&labels, 96, 1, 1, mem, &scene, NULL), ERR_FORMAT);
    labels = (struct detector_labels){.photos = &empty, .n_photos = 1};
    assert_int_equal(detector_scene_draw(&labels, 96, 1, 1, mem, &scene, NULL), ERR_FORMAT);
    labels.photos = &missing;
    assert_int_equal(detector_scene_draw(&labels, 96, 1, 1, mem, &scene, NULL), ERR_NOT_FOUND);
    arena_free(mem);
    mem = arena_new((size_t)64 << 10);
    assert_int_equal(detector_scene_draw(&photos.labels, 512, 1, 1, mem, &scene, NULL), ERR_LIMIT);
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(labels_follow_pixels),
                                       cmocka_unit_test(same_number_same_scene),
                                       cmocka_unit_test(hidden_is_gone),
                                       cmocka_unit_test(traps_are_looked_at),
                                       cmocka_unit_test(turned_faces_are_looked_at),
                                       cmocka_unit_test(nothing_to_draw)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
