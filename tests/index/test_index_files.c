/* test_index_files.c: segments kept as files: taken again, overwritten, damaged in every way. */
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

enum {
    DIM = 100,
    SEGMENT = 64,
    ROWS = 5 * SEGMENT + 20,
    FULL = 5, /* segments */
    FIRST_ID = 1000,
    K = 12
};

static char folder[128];
static float faces[ROWS][DIM];
static int64_t ids[ROWS];
static bool accepted;
static struct index_moment moment;

static bool accept(void *context, const struct index_moment *of)
{
    return accepted && memcmp(of, &moment, sizeof moment) == 0;
}

static enum err now(void *context, struct index_moment *ret, struct err_note *note)
{
    *ret = moment;
    return ERR_NONE;
}

static struct index_files files_of(unsigned char owner)
{
    return (struct index_files){.folder = folder, .owner = {owner}, .accept = accept, .now = now};
}

static void make_faces(void)
{
    struct random random = random_seeded(3, 1);

    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int j = 0; j < DIM; j++) {
            faces[i][j] = (float)random_normal(&random);
            sum += (double)faces[i][j] * (double)faces[i][j];
        }
        for (int j = 0; j < DIM; j++) {
            faces[i][j] = (float)((double)faces[i][j] / sqrt(sum));
        }
        ids[i] = FIRST_ID + i;
    }
}

static struct index *new_index(size_t segment_rows)
{
    struct index *index = NULL;
    assert_int_equal(index_new_with(DIM, segment_rows, scan_best(), &index, NULL), ERR_NONE);
    return index;
}

/* An index of all faces, whose files are written. */
static struct index *saved_index(void)
{
    const struct index_files files = files_of(1);
    struct index_load_report report;
    struct index *index = new_index(SEGMENT);

    assert_int_equal(index_load(index, &files, &report, NULL), ERR_NONE);
    assert_int_equal(report.n_taken, 0);
    assert_int_equal(index_add(index, ids, faces[0], ROWS, NULL), ERR_NONE);
    assert_true(index_wants_saving(index));
    assert_int_equal(index_save(index, NULL), ERR_NONE);
    assert_false(index_wants_saving(index));
    return index;
}

static struct index *loaded_index(unsigned char owner, struct index_load_report *ret)
{
    const struct index_files files = files_of(owner);
    struct index *index = new_index(SEGMENT);

    assert_int_equal(index_load(index, &files, ret, NULL), ERR_NONE);
    return index;
}

/* Makes it hold exactly the faces whose bit in there is set; says how many had to be added. */
static size_t catch_up(struct index *index, const bool *there)
{
    int64_t wanted[ROWS];
    int64_t missing[ROWS];
    size_t n = 0;
    size_t n_missing = 0;

    for (int i = 0; i < ROWS; i++) {
        if (there[i]) {
            wanted[n++] = ids[i];
        }
    }
    assert_int_equal(index_reconcile(index, wanted, n, missing, &n_missing, NULL), ERR_NONE);
    for (size_t i = 0; i < n_missing; i++) {
        assert_int_equal(index_add(index, &missing[i], faces[missing[i] - FIRST_ID], 1, NULL), ERR_NONE);
    }
    return n_missing;
}

/* Every way answers as all faces that are there, scored one by one, do. */
static void answers_right(struct index *index, const bool *there, const char *where)
{
    struct index_hit hits[K];
    int count = 0;

    size_t n_there = 0;
    for (int i = 0; i < ROWS; i++) {
        n_there += there[i];
    }
    if ((size_t)index_count(index) != n_there) {
        fail_msg("%s: %d vectors, not %zu", where, (int)index_count(index), n_there);
    }
    for (int q = 0; q < ROWS; q += 37) {
        for (enum index_way way = INDEX_WAY_EXACT; way <= INDEX_WAY_BYTES; way++) {
            const struct index_ask ask = {.k = K, .min_cosine = 0.05F, .way = way};
            assert_int_equal(index_search_many(index, faces[q], 1, &ask, hits, &count, NULL), ERR_NONE);
            int better[K] = {0};
            int n = 0;
            for (int i = 0; i < ROWS; i++) {
                float cosine = there[i] ? scan_ref.dot(faces[q], faces[i], DIM) : -1;
                n += cosine >= 0.05F;
                for (int h = 0; h < count; h++) {
                    better[h] += cosine > hits[h].cosine;
                    if (ids[i] == hits[h].id && cosine != hits[h].cosine) {
                        fail_msg("%s: face %d has cosine %g, not %g", where, i, (double)cosine, (double)hits[h].cosine);
                    }
                }
            }
            assert_int_equal(count, n < K ? n : K);
            for (int h = 0; h < count; h++) {
                assert_int_equal(better[h], h);
            }
        }
    }
}

/* ---- The folder -------------------------------------------------------------------------------------------------- */

static int list_files(char ret[64][512])
{
    DIR *entries = opendir(folder);
    int n = 0;

    if (entries == NULL) {
        return 0;
    }
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(ret[n++], 512, "%s/%s", folder, entry->d_name);
        }
    }
    (void)closedir(entries);
    return n;
}

static bool files_hold(const void *bytes, size_t n_bytes)
{
    static char paths[64][512];
    bool found = false;

    for (int n = list_files(paths) - 1; n >= 0; n--) {
        unsigned char *content = NULL;
        size_t length = 0;
        assert_int_equal(file_read(paths[n], 1 << 24, &content, &length, NULL), ERR_NONE);
        found = found || memmem(content, length, bytes, n_bytes) != NULL;
        mem_free(content);
    }
    return found;
}

static int set_up(void **state)
{
    /* In memory where that is possible: thousands of flushes to a disk take minutes. */
    (void)snprintf(folder, sizeof folder, "%s/test_index_files.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    make_faces();
    accepted = true;
    memset(&moment, 7, sizeof moment);
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    int failed = index_files_destroy(folder, NULL) != ERR_NONE;
    return failed || mem_live_blocks() != 0;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void test_is_there_again(void **state)
{
    static char paths[64][512];
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    assert_int_equal(list_files(paths), FULL);
    answers_right(index, there, "as it was made");
    index_free(index);

    index = loaded_index(1, &report);
    assert_int_equal(report.n_taken, FULL);
    assert_int_equal(report.n_refused, 0);
    assert_int_equal(report.n_vectors, FULL * SEGMENT);
    assert_int_equal(catch_up(index, there), ROWS - FULL * SEGMENT);
    answers_right(index, there, "loaded");
    assert_false(index_wants_saving(index));
    /* One that holds something takes no files, and nor does one that keeps some. */
    const struct index_files files = files_of(1);
    assert_int_equal(index_load(index, &files, &report, NULL), ERR_MISUSE);
    index_free(index);
}

static void test_overwrites_what_is_removed(void **state)
{
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    for (int round = 0; round < 2; round++) { /* once in memory, once mapped */
        for (int i = round; i < ROWS; i += 5) {
            size_t removed = 0;
            if (!there[i] || i >= FULL * SEGMENT) {
                continue;
            }
            assert_true(files_hold(faces[i], sizeof faces[i]));
            assert_int_equal(index_remove(index, &ids[i], 1, &removed, NULL), ERR_NONE);
            assert_int_equal(removed, 1);
            there[i] = false;
            assert_false(files_hold(faces[i], sizeof faces[i]));
            assert_false(files_hold(faces[i], 8 * sizeof(float)));
        }
        answers_right(index, there, "removed");
        index_free(index);
        index = loaded_index(1, &report);
        assert_int_equal(report.n_refused, 0);
        assert_int_equal(catch_up(index, there), ROWS - FULL * SEGMENT);
        answers_right(index, there, "removed and loaded");
    }
    index_free(index);
}

/* The rows lost some while nobody looked. */
static void test_follows_the_rows(void **state)
{
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    index_free(saved_index());
    for (int i = 0; i < ROWS; i += 5) {
        there[i] = false;
    }
    for (int i = 2 * SEGMENT; i < 3 * SEGMENT; i++) {
        there[i] = false;
    }
    struct index *index = loaded_index(1, &report);
    (void)catch_up(index, there);
    answers_right(index, there, "reconciled");
    for (int i = 0; i < ROWS; i++) {
        if (!there[i]) {
            assert_false(files_hold(faces[i], sizeof faces[i]));
        }
    }
    memset(there, true, sizeof there); /* and some came back, whose ids are old */
    (void)catch_up(index, there);
    answers_right(index, there, "reconciled again");
    index_free(index);
}

static void test_rewritten_segments_have_new_files(void **state)
{
    static char paths[64][512];
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    for (int i = 0; i < 2 * SEGMENT; i += 1) {
        if (i % 4 != 0) {
            assert_int_equal(index_remove(index, &ids[i], 1, NULL, NULL), ERR_NONE);
            there[i] = false;
        }
    }
    index_tidy(index);
    assert_true(list_files(paths) < FULL); /* a row of theirs that is removed now is in no file */
    assert_true(index_wants_saving(index));
    assert_int_equal(index_save(index, NULL), ERR_NONE);
    answers_right(index, there, "rewritten");
    index_free(index);
    index = loaded_index(1, &report);
    assert_int_equal(report.n_refused, 0);
    assert_int_equal(report.n_taken, FULL - 1);
    (void)catch_up(index, there);
    answers_right(index, there, "rewritten and loaded");
    /* Mapped ones are rewritten too. */
    for (int i = 2 * SEGMENT; i < 4 * SEGMENT; i++) {
        if (i % 8 != 0) {
            assert_int_equal(index_remove(index, &ids[i], 1, NULL, NULL), ERR_NONE);
            there[i] = false;
        }
    }
    index_tidy(index);
    answers_right(index, there, "rewritten from a map");
    index_free(index);
}

static void test_refuses_what_is_not_its_own(void **state)
{
    static char paths[64][512];
    static const struct {
        const char *what;
        unsigned char owner;
        bool accepted, other_moment;
        const char *word;
    } rows[] = {
        {"another owner", 2, true, false, "belongs to another"},
        {"a past that is not accepted", 1, false, false, "of a past"},
        {"another moment", 1, true, true, "of a past"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct index_load_report report;
        index_free(saved_index());
        accepted = rows[i].accepted;
        moment.bytes[3] ^= rows[i].other_moment ? 1 : 0;
        struct index *index = loaded_index(rows[i].owner, &report);
        if (report.n_taken != 0 || report.n_refused != FULL || strstr(report.reason, rows[i].word) == NULL) {
            fail_msg("%s: %zu taken, %zu refused: %s", rows[i].what, report.n_taken, report.n_refused, report.reason);
        }
        assert_int_equal(list_files(paths), 0);
        index_free(index);
        accepted = true;
    }
}

/* Two files with the same ids, as after a crash between a rewriting and the next start. */
static void test_takes_an_id_once(void **state)
{
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    index_close_files(index, false); /* they stay, and it knows them no more */
    index_free(index);
    char copy[600];
    static char paths[64][512];
    unsigned char *content = NULL;
    size_t length = 0;
    assert_int_equal(list_files(paths), FULL);
    assert_int_equal(file_read(paths[0], 1 << 24, &content, &length, NULL), ERR_NONE);
    (void)snprintf(copy, sizeof copy, "%s/0" SEGMENT_FILE_SUFFIX, folder);
    assert_int_equal(file_write(copy, content, length, NULL), ERR_NONE);
    (void)snprintf(copy, sizeof copy, "%s/1" SEGMENT_FILE_SUFFIX SEGMENT_FILE_UNREADY, folder);
    assert_int_equal(file_write(copy, content, length / 2, NULL), ERR_NONE);
    mem_free(content);
    index = loaded_index(1, &report);
    assert_int_equal(report.n_taken, FULL);
    assert_int_equal(report.n_refused, 2);
    (void)catch_up(index, there);
    answers_right(index, there, "twice");
    assert_int_equal(list_files(paths), FULL);
    index_free(index);
}

/* Flips, cuts, growth, swapped chunks: refused in words or not noticed because nothing reads it, never a wrong answer. */
static void test_damage_is_refused(void **state)
{
    enum {
        DAMAGES = 400
    };
    static char paths[64][512];
    struct index_load_report report;
    bool there[ROWS];
    unsigned char *content = NULL;
    size_t length = 0;
    int refused = 0;

    memset(there, true, sizeof there);
    for (int i = 0; i < DAMAGES; i++) {
        struct random random = random_seeded(17, (uint64_t)i);
        struct index *index = saved_index();
        index_free(index);
        int n = list_files(paths);
        assert_int_equal(n, FULL);
        const char *path = paths[random_below(&random, (uint64_t)n)];
        char where[64];
        (void)snprintf(where, sizeof where, "damage %d", i);
        assert_int_equal(file_read(path, 1 << 24, &content, &length, NULL), ERR_NONE);
        size_t at = (size_t)random_below(&random, length);
        switch (i % 4) {
        case 0: content[at] ^= (unsigned char)(1U << random_below(&random, 8)); break;
        case 1: content[random_below(&random, 200)] ^= (unsigned char)(1 + random_below(&random, 255)); break;
        case 2: length = at; break;
        default: memset(content + at, (int)random_below(&random, 256), (length - at) / 3 + 1); break;
        }
        assert_int_equal(file_write(path, content, length, NULL), ERR_NONE);
        mem_free(content);
        index = loaded_index(1, &report);
        assert_int_equal(report.n_taken + report.n_refused, FULL);
        assert_int_equal(strlen(report.reason) > 0, report.n_refused > 0);
        refused += (int)report.n_refused;
        (void)catch_up(index, there);
        answers_right(index, there, where);
        index_close_files(index, true);
        index_free(index);
        assert_int_equal(list_files(paths), 0);
    }
    /* What was written over with what stood there already is no damage: a few of the fills. */
    assert_in_range(refused, DAMAGES * 9 / 10, DAMAGES);
}

/* What was saved is read from its file at once, and goes on as before. */
static void test_maps_what_it_saved(void **state)
{
    struct index_files files = files_of(1);
    struct index_load_report report;
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = new_index(SEGMENT);
    files.map_saved = true;
    assert_int_equal(index_load(index, &files, &report, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, faces[0], ROWS, NULL), ERR_NONE);
    assert_int_equal(index_remove(index, &ids[5], 1, NULL, NULL), ERR_NONE);
    there[5] = false;
    size_t before = index_bytes(index);
    assert_int_equal(index_save(index, NULL), ERR_NONE);
    assert_true(index_bytes(index) < before / 2);
    answers_right(index, there, "mapped at once");
    assert_int_equal(index_remove(index, &ids[70], 1, NULL, NULL), ERR_NONE);
    there[70] = false;
    assert_false(files_hold(faces[70], sizeof faces[70]));
    answers_right(index, there, "removed from a map");
    assert_int_equal(index_check_codes(index, NULL), ERR_NONE);
    index_free(index);
    index = loaded_index(1, &report);
    assert_int_equal(report.n_refused, 0);
    (void)catch_up(index, there);
    answers_right(index, there, "and loaded");
    index_free(index);
}

static void test_is_closed(void **state)
{
    static char paths[64][512];
    bool there[ROWS];

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    index_close_files(index, true);
    assert_int_equal(list_files(paths), 0);
    assert_false(index_wants_saving(index));
    assert_int_equal(index_save(index, NULL), ERR_NONE);
    assert_int_equal(index_remove(index, &ids[3], 1, NULL, NULL), ERR_NONE);
    there[3] = false;
    answers_right(index, there, "closed");
    index_free(index);
}

/* Every allocation fails once: the index is then as it was, or the files are not taken. */
static void test_without_memory(void **state)
{
    struct index_load_report report;
    bool there[ROWS];
    enum err err = ERR_NOMEM;

    memset(there, true, sizeof there);
    struct index *index = saved_index();
    index_free(index);
    for (long n = 0; err == ERR_NOMEM; n++) {
        const struct index_files files = files_of(1);
        index = new_index(SEGMENT);
        mem_fail_at(n);
        err = index_load(index, &files, &report, NULL);
        mem_fail_at(-1);
        assert_true(err == ERR_NONE || err == ERR_NOMEM);
        if (err == ERR_NOMEM) {
            assert_int_equal(index_count(index), 0);
            index_free(index);
        }
        assert_true(n < 1000);
    }
    (void)catch_up(index, there);
    answers_right(index, there, "after all");
    index_free(index);
    index = new_index(SEGMENT);
    const struct index_files files = files_of(1);
    assert_int_equal(index_files_destroy(folder, NULL), ERR_NONE);
    assert_int_equal(index_load(index, &files, &report, NULL), ERR_NONE);
    assert_int_equal(index_add(index, ids, faces[0], ROWS, NULL), ERR_NONE);
    err = ERR_NOMEM;
    for (long n = 0; err == ERR_NOMEM; n++) {
        mem_fail_at(n);
        err = index_save(index, NULL);
        mem_fail_at(-1);
        answers_right(index, there, "could not be saved");
        assert_true(n < 1000);
    }
    assert_int_equal(err, ERR_NONE);
    index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_is_there_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overwrites_what_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_follows_the_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rewritten_segments_have_new_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refuses_what_is_not_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takes_an_id_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_maps_what_it_saved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
