/* test_detector_labels.c: the file of labels: what was written is read, what is cut off is gone on with, what is wrong is named. */
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
#include "core/train/detector_labels.h"

static char path[64];

static int make_folder(void **state)
{
    char folder[] = "/tmp/arcfaced-labels-XXXXXX";

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/labels", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)unlink(path);
    *strrchr(path, '/') = '\0';
    return rmdir(path);
}

static struct labelled_face some_face(float x, bool unsure)
{
    struct labelled_face face = {.face = {.box = {x, -2.5F, x + 31.25F, 40}, .score = .875F}, .unsure = unsure};

    for (int i = 0; i < 5; i++) {
        face.face.point[i][0] = x + (float)i;
        face.face.point[i][1] = 7.75F * (float)i - 3;
    }
    return face;
}

static void write_text(const char *text)
{
    assert_int_equal(file_write(path, text, strlen(text), NULL), ERR_NONE);
}

static void what_is_written_is_read(void **state)
{
    struct labelled_face two[2] = {some_face(12, false), some_face(-80.5F, true)};
    struct detector_trap traps[2] = {{.box = {1, 2.5F, 3, 4}, .hidden = true}, {.box = {-5, 2, 3.25F, 400}}};
    struct labelled_photo photos[3] = {
        {.path = "a folder/photo 1.jpg", .faces = two, .n_faces = 2, .traps = traps, .n_traps = 1},
        {.path = "empty.png"},
        {"c.jpg", two + 1, 1, traps, 2}};
    struct detector_labels labels = {.photos = photos, .n_photos = 3};
    struct detector_labels read;
    struct arena *mem = arena_new((size_t)1 << 20);

    for (int whole = 0; whole < 2; whole++) {
        labels.whole = whole == 1;
        assert_int_equal(detector_labels_write(&labels, path, NULL), ERR_NONE);
        assert_int_equal(detector_labels_read(path, mem, &read, NULL), ERR_NONE);
        assert_int_equal(read.n_photos, 3);
        assert_int_equal(read.whole, labels.whole);
        assert_int_equal(read.n_traps, 3);
        for (int i = 0; i < 3; i++) {
            assert_string_equal(read.photos[i].path, photos[i].path);
            assert_int_equal(read.photos[i].n_faces, photos[i].n_faces);
            assert_int_equal(read.photos[i].n_traps, photos[i].n_traps);
            for (int k = 0; k < photos[i].n_traps; k++) {
                assert_memory_equal(read.photos[i].traps[k].box, traps[k].box, sizeof traps[k].box);
                assert_int_equal(read.photos[i].traps[k].hidden, traps[k].hidden);
            }
            for (int k = 0; k < photos[i].n_faces; k++) {
                assert_memory_equal(&read.photos[i].faces[k].face, &photos[i].faces[k].face, sizeof(struct face));
                assert_int_equal(read.photos[i].faces[k].unsure, photos[i].faces[k].unsure);
            }
        }
    }
    photos[1].path = "two\nlines";
    assert_int_equal(detector_labels_write(&labels, path, NULL), ERR_FORMAT);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

#define FACE "face .5 1 2 3 4 1 1 2 2 3 3 4 4 5 5\n"

static void what_is_cut_off_is_left_out(void **state)
{
    static const struct {
        const char *text;
        int n_photos;
    } rows[] = {{"arcfaced faces 1\n", 0},
                {"arcfaced faces 1\nphoto 1 a\n" FACE, 1},
                {"arcfaced faces 1\nphoto 1 a\n" FACE "photo 1 b\n", 1},
                {"arcfaced faces 1\nphoto 1 a\n" FACE "photo 2 b\n" FACE "face .5 1 2", 1},
                {"arcfaced faces 1\nphoto 1 a\n" FACE "pho", 1},
                {"arcfaced faces 1\nphoto 0 a\nphoto 0 b\nend", 2}};
    struct arena *mem = arena_new((size_t)1 << 20);

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct detector_labels read;
        struct err_note note = {0};
        write_text(rows[i].text);
        if (detector_labels_read(path, mem, &read, &note) != ERR_NONE) {
            fail_msg("row %d: %s", i, note.text);
        }
        assert_int_equal(read.n_photos, rows[i].n_photos);
        assert_false(read.whole);
    }
    arena_free(mem);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {{"", "no file of faces"},
                {"arcfaced faces 2\nend\n", "line 1"},
                {"arcfaced faces 1\nphoto -1 a\nend\n", "line 2"},
                {"arcfaced faces 1\nphoto 1\nend\n", "line 2"},
                {"arcfaced faces 1\nphoto 999999 a\nend\n", "line 2"},
                {"arcfaced faces 1\nphoto 1 a\nface .5 1 2 3\nend\n", "line 3"},
                {"arcfaced faces 1\nphoto 1 a\nface .5 1 2 nan 4 1 1 2 2 3 3 4 4 5 5\nend\n", "line 3"},
                {"arcfaced faces 1\nphoto 1 a\nnose .5 1 2 3 4 1 1 2 2 3 3 4 4 5 5\nend\n", "line 3"},
                {"arcfaced faces 1\nphoto 1 a\nface .5 1 2 3 4 1 1 2 2 3 3 4 4 5 5 6\nend\n", "line 3"},
                {"arcfaced faces 1\nphoto 1 a\ntrap 1 2 3\nend\n", "line 3"},
                {"arcfaced faces 1\nphoto 1 a\nhidden-trap 1 2 3 4 5\nend\n", "line 3"},
                {"arcfaced faces 1\nnonsense\nend\n", "line 2"}};
    struct arena *mem = arena_new((size_t)1 << 20);

    for (int i = 0; i < (int)(sizeof rows / sizeof rows[0]); i++) {
        struct detector_labels read;
        struct err_note note = {0};
        write_text(rows[i].text);
        if (detector_labels_read(path, mem, &read, &note) != ERR_FORMAT || strstr(note.text, rows[i].says) == NULL) {
            fail_msg("row %d: \"%s\"", i, note.text);
        }
    }
    assert_int_equal(file_write(path, "arcfaced faces 1\n\0photo", 23, NULL), ERR_NONE);
    struct detector_labels read;
    assert_int_equal(detector_labels_read(path, mem, &read, NULL), ERR_FORMAT);
    assert_int_equal(file_remove(path, NULL), ERR_NONE);
    assert_int_equal(detector_labels_read(path, mem, &read, NULL), ERR_NOT_FOUND);
    arena_free(mem);
    assert_int_equal(mem_live_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_written_is_read),
                                       cmocka_unit_test(what_is_cut_off_is_left_out),
                                       cmocka_unit_test(what_is_wrong_is_named)};

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
