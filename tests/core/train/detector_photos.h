/*
 * detector_photos.h: a folder of photos that a detector can learn from without a teacher: discs on grey with five bright dots
 * where a face has its points, and the labels that say so.
 */
#ifndef TESTS_CORE_TRAIN_DETECTOR_PHOTOS_H
#define TESTS_CORE_TRAIN_DETECTOR_PHOTOS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "core/image/encode.h"
#include "core/train/detector_labels.h"

enum {
    PHOTOS = 6,
    PHOTO_SIDE = 160,
    DISC = 36 /* radius */
};

struct detector_photos {
    char folder[64];
    struct arena *mem;
    struct detector_labels labels;
};

static const float disc_points[5][2] = {{-14, -10}, {14, -10}, {0, 4}, {-11, 18}, {11, 18}};

/* What is not a disc is dark, the disc is a middle grey, its dots are white. */
static inline void paint_disc(struct image *photo, float x, float y, struct labelled_face *ret)
{
    for (int row = 0; row < photo->height; row++) {
        for (int column = 0; column < photo->width; column++) {
            uint8_t *at = photo->rgb + 3 * ((size_t)row * (size_t)photo->width + (size_t)column);
            float dx = (float)column + .5F - x;
            float dy = (float)row + .5F - y;
            int grey = dx * dx + dy * dy < (float)(DISC * DISC) ? 120 : -1;
            for (int i = 0; i < 5; i++) {
                float ex = dx - disc_points[i][0];
                float ey = dy - disc_points[i][1];
                grey = ex * ex + ey * ey < 25 ? 255 : grey;
            }
            if (grey >= 0) {
                memset(at, grey, 3);
            }
        }
    }
    *ret = (struct labelled_face){.face = {.box = {x - DISC, y - DISC, x + DISC, y + DISC}, .score = 1}};
    for (int i = 0; i < 5; i++) {
        ret->face.point[i][0] = x + disc_points[i][0];
        ret->face.point[i][1] = y + disc_points[i][1];
    }
}

static inline void make_photos(struct detector_photos *photos)
{
    struct random random = random_seeded(11, 0);

    strcpy(photos->folder, "/tmp/arcfaced-discs-XXXXXX");
    assert_non_null(mkdtemp(photos->folder));
    photos->mem = arena_new((size_t)64 << 20);
    photos->labels = (struct detector_labels){
        .photos = ARENA_ARRAY(photos->mem, struct labelled_photo, PHOTOS), .n_photos = PHOTOS, .whole = true};
    for (int i = 0; i < PHOTOS; i++) {
        struct labelled_photo *labels = &photos->labels.photos[i];
        struct image photo;
        unsigned char *bytes;
        size_t n_bytes;
        assert_int_equal(image_new(PHOTO_SIDE, PHOTO_SIDE, photos->mem, &photo), ERR_NONE);
        for (int k = 0; k < 3 * PHOTO_SIDE * PHOTO_SIDE; k++) {
            photo.rgb[k] = (uint8_t)(20 + random_below(&random, 30));
        }
        labels->faces = ARENA_ARRAY(photos->mem, struct labelled_face, 1);
        labels->n_faces = 1;
        paint_disc(&photo, 60 + 8 * (float)i, 95 - 5 * (float)i, &labels->faces[0]);
        assert_int_equal(image_encode(&photo, IMAGE_PNG, 0, photos->mem, &bytes, &n_bytes), ERR_NONE);
        labels->path = arena_format(photos->mem, "%s/%d.png", photos->folder, i);
        assert_int_equal(file_write(labels->path, bytes, n_bytes, NULL), ERR_NONE);
    }
}

static inline void remove_photos(struct detector_photos *photos)
{
    for (int i = 0; i < PHOTOS; i++) {
        (void)unlink(photos->labels.photos[i].path);
    }
    (void)rmdir(photos->folder);
    arena_free(photos->mem);
}

#endif
