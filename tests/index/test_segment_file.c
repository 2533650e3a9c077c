/* test_segment_file.c: files of several groups of rows: what is removed from them touches little, and nothing is believed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <setjmp.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "index/index_private.h"
#include "index/segment_file.h"
#include "index/segment_file_private.h"

enum {
    ROWS = 4096, /* four groups of sums */
    FIRST_ID = 0x5ABCDEF,
    CHUNK = SEGMENT_FILE_CHUNK,
    MOST_DIM = 4096
};

static char folder[128];

static bool accept(void *context, const struct index_moment *of)
{
    return true;
}

static enum err now(void *context, struct index_moment *ret, struct err_note *note)
{
    *ret = (struct index_moment){{0}};
    return ERR_NONE;
}

static struct index *index_of(int dim, size_t segment_rows, struct index_load_report *ret)
{
    const struct index_files files = {.folder = folder, .accept = accept, .now = now};
    struct index *index = NULL;

    assert_int_equal(index_new_with(dim, segment_rows, scan_best(), &index, NULL), ERR_NONE);
    assert_int_equal(index_load(index, &files, ret, NULL), ERR_NONE);
    return index;
}

static struct index *index_of_files(int dim, struct index_load_report *ret)
{
    return index_of(dim, ROWS, ret);
}

static void face_of(int dim, int row, float *ret)
{
    struct random random = random_seeded(5, (uint64_t)row);
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        ret[i] = (float)random_normal(&random);
        sum += (double)ret[i] * (double)ret[i];
    }
    for (int i = 0; i < dim; i++) {
        ret[i] = (float)((double)ret[i] / sqrt(sum));
    }
}

static void fill(struct index *index, int dim, int rows)
{
    float face[MOST_DIM];

    for (int row = 0; row < rows; row++) {
        const int64_t id = FIRST_ID + row;
        face_of(dim, row, face);
        assert_int_equal(index_add(index, &id, face, 1, NULL), ERR_NONE);
    }
}

static struct index *full_index(int dim)
{
    struct index_load_report report;
    struct index *index = index_of_files(dim, &report);

    fill(index, dim, ROWS);
    return index;
}

/* The one file. */
static void file_there(char ret[512])
{
    DIR *entries = opendir(folder);
    int n = 0;

    assert_non_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(ret, 512, "%s/%s", folder, entry->d_name);
            n++;
        }
    }
    (void)closedir(entries);
    assert_int_equal(n, 1);
}

static unsigned char *content_of(const char *path, size_t *ret_length)
{
    unsigned char *content = NULL;

    assert_int_equal(file_read(path, 1 << 26, &content, ret_length, NULL), ERR_NONE);
    return content;
}

static int set_up(void **state)
{
    (void)snprintf(folder, sizeof folder, "%s/test_segment_file.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    int failed = index_files_destroy(folder, NULL) != ERR_NONE;
    return failed || mem_live_blocks() != 0;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

/* Every chunk has a sum of its own. */
static void test_damage_anywhere_is_refused(void **state)
{
    static const int dims[] = {36, 64, 100}; /* no bit codes; as many as need no padding; padded */

    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        struct index_load_report report;
        char path[512];
        size_t length = 0;
        struct index *index = full_index(dims[i]);
        assert_int_equal(index_save(index, NULL), ERR_NONE);
        index_free(index);
        file_there(path);
        unsigned char *content = content_of(path, &length);
        for (size_t at = 100; at < length; at += CHUNK) {
            content[at] ^= 0x10;
            assert_int_equal(file_write(path, content, length, NULL), ERR_NONE);
            index = index_of_files(dims[i], &report);
            if (report.n_taken != 0 || report.n_refused != 1) {
                fail_msg("%d dimensions, byte %zu of %zu: %zu taken", dims[i], at, length, report.n_taken);
            }
            index_free(index);
            content[at] ^= 0x10;
        }
        assert_int_equal(file_write(path, content, length, NULL), ERR_NONE);
        index = index_of_files(dims[i], &report);
        assert_int_equal(report.n_vectors, ROWS);
        index_close_files(index, true);
        index_free(index);
        mem_free(content);
    }
}

/* What is written and flushed before a removal is answered: ids, all codes, floats, and their sums, which are neighbours. */
static void test_a_removal_touches_few_pages(void **state)
{
    enum {
        DIM = 512,
        MOST = 1 + 1 + 2 + 1 + 4 + 2 /* floats, ids, bits, signs, bytes, sums */
    };
    struct index_load_report report;
    char path[512];
    size_t length = 0;
    struct index *index = full_index(DIM);

    assert_int_equal(index_save(index, NULL), ERR_NONE);
    file_there(path);
    for (int row = 11; row < ROWS; row += 233) {
        const int64_t id = FIRST_ID + row;
        unsigned char *before = content_of(path, &length);
        assert_int_equal(index_remove(index, &id, 1, NULL, NULL), ERR_NONE);
        unsigned char *after = content_of(path, &length);
        int touched = 0;
        size_t first_sum = SIZE_MAX;
        size_t last_sum = 0;
        const size_t sums = (length - CHUNK) / (CHUNK + sizeof(uint32_t)) * CHUNK + CHUNK;
        for (size_t at = 0; at < length; at += CHUNK) {
            touched += memcmp(before + at, after + at, length - at < CHUNK ? length - at : CHUNK) != 0;
        }
        for (size_t at = sums; at < length; at++) {
            if (before[at] != after[at]) {
                first_sum = at < first_sum ? at : first_sum;
                last_sum = at;
            }
        }
        if (touched > MOST || last_sum - first_sum > CHUNK) {
            fail_msg("row %d: %d pages touched, the sums over %zu bytes", row, touched, last_sum - first_sum);
        }
        mem_free(before);
        mem_free(after);
    }
    index_free(index);
    index = index_of_files(DIM, &report);
    assert_int_equal(report.n_refused, 0);
    assert_int_equal(index_check_codes(index, NULL), ERR_NONE);
    index_free(index);
}

/* Several of a block, of neighbours and of far ones at once; before the file is written, and when it is mapped. */
static void test_the_removed_have_no_ids(void **state)
{
    enum {
        DIM = 100,
        N = 300
    };
    struct index_load_report report;
    struct random random = random_seeded(8, 1);
    bool there[ROWS];
    char path[512];

    memset(there, true, sizeof there);
    struct index *index = full_index(DIM);
    for (int round = 0; round < 2; round++) {
        int64_t gone[N];
        size_t n = 0;
        size_t removed = 0;
        for (int i = 0; i < N; i++) {
            int row = i % 3 == 0 ? (int)random_below(&random, ROWS) : 1000 * (1 + round) + i / 2;
            if (there[row]) {
                there[row] = false;
                gone[n++] = FIRST_ID + row;
            }
        }
        assert_int_equal(index_remove(index, gone, n, &removed, NULL), ERR_NONE);
        assert_int_equal(removed, n);
        assert_int_equal(index_save(index, NULL), ERR_NONE);
        index_free(index);
        index = index_of_files(DIM, &report);
        assert_int_equal(report.n_taken, 1);
        assert_int_equal(report.n_refused, 0);
        assert_int_equal(index_check_codes(index, NULL), ERR_NONE);
    }
    file_there(path);
    size_t length = 0;
    unsigned char *content = content_of(path, &length);
    for (int row = 0; row < ROWS; row++) {
        const int64_t id = FIRST_ID + row;
        float face[DIM];
        float held[DIM];
        face_of(DIM, row, face);
        const bool found = index_get(index, id, held, NULL) == ERR_NONE;
        const bool in_file = memmem(content, length, &id, sizeof id) != NULL;
        const bool floats_in_file = memmem(content, length, face, sizeof face) != NULL;
        if (found != there[row] || in_file != there[row] || floats_in_file != there[row]) {
            fail_msg("row %d, %s: found %d, id in the file %d, floats in the file %d", row,
                     there[row] ? "there" : "removed", found, in_file, floats_in_file);
        }
    }
    mem_free(content);
    index_free(index);
}

/* The bytes that say something of a row in the block of bits that it lies in, and its signs, counted if they are not zero. */
static size_t bytes_of_codes(const struct codes *codes, const uint8_t *bits, const uint8_t *signs, size_t row)
{
    const uint8_t *block = bits + row / SCAN_BITS_ROWS * codes_bits_bytes(codes) + row % SCAN_BITS_ROWS;
    size_t count = 0;

    for (size_t plane = 0; plane <= codes->planes; plane++) {
        count += block[plane * SCAN_BITS_ROWS] != 0;
    }
    for (size_t i = 0; i < codes_sign_bytes(codes); i++) {
        count += signs[row * codes_sign_bytes(codes) + i] != 0;
    }
    return count;
}

/* Neither in memory nor in the file, while a segment has both, and when it is mapped. */
static void test_the_removed_have_no_codes(void **state)
{
    enum {
        DIM = 512
    };
    static const int rows[] = {0, 15, 16, 100, 127, 4095};
    struct index_load_report report;
    char path[512];
    size_t length = 0;
    struct index *index = full_index(DIM);

    (void)state;
    assert_int_equal(index_save(index, NULL), ERR_NONE);
    for (int mapped = 0; mapped < 2; mapped++) {
        const struct segment *segment = index->slots[0];
        const struct segment_layout *layout = &segment->file->layout;
        assert_int_equal(segment->mapped, mapped);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const size_t row = (size_t)rows[i] + (mapped == 0 ? 0 : rows[i] == 4095 ? (size_t)-7 : 7);
            const int64_t id = FIRST_ID + (int64_t)row;
            uint8_t signs[DIM / 8];
            memcpy(signs, segment->at.signs + row * sizeof signs, sizeof signs);
            assert_true(bytes_of_codes(&index->codes, segment->at.bits, segment->at.signs, row) > 80);
            file_there(path);
            unsigned char *content = content_of(path, &length);
            assert_non_null(memmem(content, length, signs + 1, sizeof signs - 1));
            mem_free(content);
            assert_int_equal(index_remove(index, &id, 1, NULL, NULL), ERR_NONE);
            content = content_of(path, &length);
            assert_null(memmem(content, length, signs + 1, sizeof signs - 1));
            assert_int_equal(bytes_of_codes(&index->codes, segment->at.bits, segment->at.signs, row), 0);
            assert_int_equal(bytes_of_codes(&index->codes, content + layout->bits, content + layout->signs, row), 0);
            mem_free(content);
        }
        assert_int_equal(index_check_codes(index, NULL), ERR_NONE);
        index_free(index);
        index = index_of_files(DIM, &report);
        assert_int_equal(report.n_taken, 1);
    }
    index_free(index);
}

/* Two at the ends of a block, and one, of which each is as large as it can be: what is changed together has room. */
static void test_removals_of_many_dimensions(void **state)
{
    static const int dims[] = {2049, MOST_DIM};
    static const int64_t gone[] = {FIRST_ID + 16, FIRST_ID + 31, FIRST_ID + 40};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct index_load_report report;
        size_t removed = 0;
        struct index *index = index_of(dims[i], 64, &report);
        fill(index, dims[i], 64);
        assert_int_equal(index_save(index, NULL), ERR_NONE);
        assert_int_equal(index_remove(index, gone, 3, &removed, NULL), ERR_NONE);
        assert_int_equal(removed, 3);
        index_free(index);
        index = index_of(dims[i], 64, &report);
        assert_int_equal(report.n_taken, 1);
        assert_int_equal(report.n_vectors, 61);
        assert_int_equal(index_check_codes(index, NULL), ERR_NONE);
        index_close_files(index, true);
        index_free(index);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_removed_have_no_codes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_removals_of_many_dimensions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_anywhere_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_removal_touches_few_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_removed_have_no_ids, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
