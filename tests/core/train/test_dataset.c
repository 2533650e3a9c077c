/* test_dataset.c: what goes in comes out; damage is found; choosing is fair and repeats itself. */
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
#include "core/train/dataset.h"

enum {
    SIDE = 16,
    COUNT = 7
};

static char path[] = "/tmp/test_dataset.XXXXXX";
static const int labels[COUNT] = {0, 2, 1, 1, 2, 0, 2};

static struct image picture(int i, struct arena *mem)
{
    struct image image;
    struct random random = random_seeded((uint64_t)i, 0);
    assert_int_equal(image_new(SIDE, SIDE, mem, &image), ERR_NONE);
    for (int k = 0; k < SIDE * SIDE * 3; k++) {
        image.rgb[k] = (uint8_t)random_below(&random, 256);
    }
    return image;
}

static void write_set(int side)
{
    struct dataset_writer *writer;
    struct arena *mem = arena_new((size_t)8 << 20);
    struct err_note note = {0};

    assert_int_equal(dataset_create(path, side, &writer, &note), ERR_NONE);
    for (int i = 0; i < COUNT; i++) {
        struct image image = picture(i, mem);
        unsigned char *bytes;
        size_t n_bytes;
        assert_int_equal(image_encode(&image, IMAGE_WEBP_LOSSLESS, 0, mem, &bytes, &n_bytes), ERR_NONE);
        assert_int_equal(dataset_add(writer, bytes, n_bytes, labels[i], 1000 + i, &note), ERR_NONE);
    }
    assert_int_equal(dataset_finish(writer, &note), ERR_NONE);
    arena_free(mem);
}

static void what_goes_in_comes_out(void **state)
{
    size_t before = mem_live_blocks();
    struct arena *mem = arena_new((size_t)8 << 20);
    struct dataset *dataset;
    struct err_note note = {0};

    (void)state;
    write_set(SIDE);
    assert_int_equal(dataset_open(path, &dataset, &note), ERR_NONE);
    assert_int_equal(dataset_count(dataset), COUNT);
    assert_int_equal(dataset_people(dataset), 3);
    assert_int_equal(dataset_side(dataset), SIDE);
    for (int i = 0; i < COUNT; i++) {
        struct image wanted = picture(i, mem);
        struct image crop;
        assert_int_equal(dataset_crop(dataset, i, mem, &crop, &note), ERR_NONE);
        assert_memory_equal(crop.rgb, wanted.rgb, SIDE * SIDE * 3);
        assert_int_equal(dataset_label(dataset, i), labels[i]);
        assert_int_equal(dataset_id(dataset, i), 1000 + i);
    }
    dataset_close(dataset);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), before);
}

static void a_crop_of_another_side_is_named(void **state)
{
    struct arena *mem = arena_new((size_t)8 << 20);
    struct dataset *dataset;
    struct image crop;
    struct err_note note = {0};

    (void)state;
    write_set(SIDE + 1);
    assert_int_equal(dataset_open(path, &dataset, NULL), ERR_NONE);
    assert_int_equal(dataset_crop(dataset, 3, mem, &crop, &note), ERR_CORRUPT);
    assert_non_null(strstr(note.text, "id 1003"));
    dataset_close(dataset);
    arena_free(mem);
}

/* Without the sync that file_write does: there are hundreds of them. */
static void put_file(const unsigned char *content, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* Every single flipped bit and every length: refused at open, or the crop it hit is refused and the others are whole. */
static void damage_is_found(void **state)
{
    unsigned char *file;
    size_t bytes;
    struct arena *mem = arena_new((size_t)8 << 20);

    (void)state;
    write_set(SIDE);
    assert_int_equal(file_read(path, (size_t)1 << 20, &file, &bytes, NULL), ERR_NONE);
    for (size_t at = 0; at < bytes; at += 1 + at % 3) {
        struct dataset *dataset;
        int bad = 0;
        file[at] ^= (unsigned char)(1U << (at % 8));
        put_file(file, bytes);
        file[at] ^= (unsigned char)(1U << (at % 8));
        enum err err = dataset_open(path, &dataset, NULL);
        if (err == ERR_NONE) {
            for (int i = 0; i < COUNT; i++) {
                struct image crop;
                bad += dataset_crop(dataset, i, mem, &crop, NULL) == ERR_CORRUPT;
            }
            dataset_close(dataset);
            if (bad != 1) {
                fail_msg("byte %zu: %d crops refused", at, bad);
            }
        } else {
            assert_int_equal(err, ERR_CORRUPT);
        }
        arena_reset(mem);
    }
    for (size_t cut = 0; cut < bytes; cut += 7) {
        struct dataset *dataset;
        put_file(file, cut);
        enum err err = dataset_open(path, &dataset, NULL);
        assert_true(err == ERR_CORRUPT || (cut == 0 && err == ERR_FORMAT));
    }
    mem_free(file);
    arena_free(mem);
}

static void what_cannot_be_a_set_is_refused(void **state)
{
    struct dataset_writer *writer;
    struct err_note note = {0};
    size_t before = mem_live_blocks();

    (void)state;
    assert_int_equal(dataset_create(path, SIDE, &writer, &note), ERR_NONE);
    assert_int_equal(dataset_finish(writer, &note), ERR_MISUSE);
    assert_int_equal(dataset_create(path, SIDE, &writer, &note), ERR_NONE);
    assert_int_equal(dataset_add(writer, "x", 1, -1, 0, &note), ERR_MISUSE);
    assert_int_equal(dataset_add(writer, "x", 0, 0, 0, &note), ERR_MISUSE);
    assert_int_equal(dataset_add(writer, "x", 1, 0, 0, &note), ERR_NONE);
    assert_int_equal(dataset_add(writer, "x", 1, 2, 0, &note), ERR_NONE);
    assert_int_equal(dataset_add(writer, "x", 1, 2, 0, &note), ERR_NONE);
    assert_int_equal(dataset_finish(writer, &note), ERR_MISUSE); /* nobody has label 1 */
    assert_int_equal(dataset_create("/nonexistent/x", SIDE, &writer, &note), ERR_NOT_FOUND);
    assert_int_equal(mem_live_blocks(), before);
    assert_false(file_exists("/tmp/test_dataset.tmp"));
}

static void splitting_is_by_person(void **state)
{
    enum {
        PEOPLE = 200
    };
    int label[PEOPLE * 3];
    int n = 0;
    unsigned char held_out[PEOPLE];
    unsigned char again[PEOPLE];

    (void)state;
    for (int p = 0; p < PEOPLE; p++) { /* every other person has one photo only */
        for (int k = 0; k < (p % 2 == 0 ? 4 : 1); k++) {
            label[n++] = p;
        }
    }
    assert_int_equal(split_people(label, n, PEOPLE, .2, 2, 9, held_out), 20);
    assert_int_equal(split_people(label, n, PEOPLE, .2, 2, 9, again), 20);
    assert_memory_equal(held_out, again, PEOPLE);
    for (int p = 1; p < PEOPLE; p += 2) {
        assert_int_equal(held_out[p], 0);
    }
    assert_int_equal(split_people(label, n, PEOPLE, .2, 2, 10, again), 20);
    assert_true(memcmp(held_out, again, PEOPLE) != 0);
}

static void an_epoch_sees_everything_or_everybody(void **state)
{
    enum {
        N = 103,
        PEOPLE = 5
    };
    int label[N];
    int order[N];
    int again[N];
    int seen[N] = {0};
    int drawn[PEOPLE] = {0};
    struct arena *mem = arena_new((size_t)1 << 20);

    (void)state;
    for (int i = 0; i < N; i++) {
        label[i] = i < 90 ? 0 : i % 3 + 1; /* person 4 has none */
    }
    assert_int_equal(epoch_order(label, N, PEOPLE, 0, 1, 0, mem, order), ERR_NONE);
    assert_int_equal(epoch_order(label, N, PEOPLE, 0, 1, 1, mem, again), ERR_NONE);
    assert_true(memcmp(order, again, sizeof order) != 0);
    for (int i = 0; i < N; i++) {
        seen[order[i]]++;
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i], 1);
    }
    assert_int_equal(epoch_order(label, N, PEOPLE, 1, 1, 0, mem, order), ERR_NONE);
    assert_int_equal(epoch_order(label, N, PEOPLE, 1, 1, 0, mem, again), ERR_NONE);
    assert_memory_equal(order, again, sizeof order);
    for (int i = 0; i < N; i++) {
        drawn[label[order[i]]]++;
    }
    for (int p = 0; p < 4; p++) {
        assert_in_range(drawn[p], 25, 26);
    }
    arena_free(mem);
}

static int make_path(void **state)
{
    int fd = mkstemp(path);
    (void)state;
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out), cmocka_unit_test(a_crop_of_another_side_is_named),
        cmocka_unit_test(damage_is_found),        cmocka_unit_test(what_cannot_be_a_set_is_refused),
        cmocka_unit_test(splitting_is_by_person), cmocka_unit_test(an_epoch_sees_everything_or_everybody),
    };
    return cmocka_run_group_tests_name("dataset", tests, make_path, remove_path);
}
