/* test_sweep.c: after every deletion the files hold no byte of what was deleted, and nothing lies beside the rows. */
#include "tests/server/store/fixture.h"

#include "core/base/file.h"
#include "server/store/backup.h"
#include "server/store/sweep_private.h"

#define FACES 160
#define PEOPLE 7
#define CROP_MOST 3000
#define WINDOW 24

static struct {
    float vector[FACES][DIM];
    unsigned char crop[FACES][CROP_MOST];
    size_t crop_bytes[FACES];
    int64_t id[FACES];
    int64_t subject_id[FACES];
} sample;

static void enroll_all(struct fixture *f)
{
    struct random random = random_seeded(7, 1);

    for (int i = 0; i < FACES; i++) {
        struct enrolled enrolled;
        char name[32];
        double sum = 0;
        for (int j = 0; j < DIM; j++) {
            sample.vector[i][j] = (float)random_normal(&random);
            sum += (double)sample.vector[i][j] * (double)sample.vector[i][j];
        }
        for (int j = 0; j < DIM; j++) {
            sample.vector[i][j] /= (float)sqrt(sum);
        }
        /* Sizes that differ much make the pages of neighbours be filled anew. */
        sample.crop_bytes[i] = 200 + random_below(&random, CROP_MOST - 200);
        for (size_t j = 0; j < sample.crop_bytes[i]; j++) {
            sample.crop[i][j] = (unsigned char)random_below(&random, 256);
        }
        (void)snprintf(name, sizeof name, "person %d", i % PEOPLE);
        struct enroll_face face = {.source = FACE_FROM_CROP,
                                   .embedding = sample.vector[i],
                                   .norm = 9,
                                   .crop = sample.crop[i],
                                   .crop_bytes = sample.crop_bytes[i],
                                   .crop_side_px = 112};
        struct enroll what = {.collection_id = f->collection_id,
                              .model_id = f->model_id,
                              .subject_name = name,
                              .faces = &face,
                              .n_faces = 1,
                              .actor = "key1"};
        GOOD(store_enroll(f->store, &what, NULL, f->mem, &enrolled, &note));
        sample.id[i] = enrolled.faces[0].id;
        sample.subject_id[i] = enrolled.subject_id;
        arena_reset(f->mem);
    }
}

static void expect_absent(const unsigned char *file, size_t file_bytes, int i)
{
    unsigned char vector[DIM * 4];

    memcpy(vector, sample.vector[i], sizeof vector);
    if (memmem(file, file_bytes, vector, WINDOW) != NULL ||
        memmem(file, file_bytes, vector + sizeof vector - WINDOW, WINDOW) != NULL) {
        fail_msg("the vector of face %d is still there", i);
    }
    for (size_t at = 0; at + WINDOW <= sample.crop_bytes[i]; at += 797) {
        if (memmem(file, file_bytes, sample.crop[i] + at, WINDOW) != NULL) {
            fail_msg("byte %zu of the crop of face %d is still there", at, i);
        }
    }
}

static void test_nothing_stays(void **state)
{
    struct fixture f;
    bool gone[FACES] = {false};
    struct random random = random_seeded(8, 1);
    char log[128];

    (void)state;
    fixture_open(&f);
    enroll_all(&f);
    (void)snprintf(log, sizeof log, "%s-wal", f.path);
    for (int n = 0; n < FACES; n++) {
        struct receipt receipt;
        const unsigned char *file = NULL;
        size_t file_bytes = 0;
        int i = (int)random_below(&random, FACES);
        while (gone[i]) {
            i = (i + 1) % FACES;
        }
        GOOD(store_face_delete(f.store, sample.id[i], "key1", NULL, f.mem, &receipt, &note));
        assert_true(receipt.scrubbed);
        gone[i] = true;
        arena_reset(f.mem);
        if (n % 24 != 23 && n < FACES - 4) {
            continue;
        }
        assert_int_equal(file_map(log, 1, &file, &file_bytes, NULL), ERR_FORMAT); /* empty */
        /* The process keeps locks on the file that it would lose with a second handle: a copy is read. */
        char copy[128];
        char command[300];
        (void)snprintf(copy, sizeof copy, "%s/copy", f.folder);
        (void)snprintf(command, sizeof command, "cp '%s' '%s'", f.path, copy);
        assert_int_equal(system(command), 0);
        GOOD(file_map(copy, (size_t)1 << 30, &file, &file_bytes, &note));
        for (int j = 0; j < FACES; j++) {
            if (gone[j]) {
                expect_absent(file, file_bytes, j);
            }
        }
        file_unmap(file, file_bytes);
        int64_t n_unused = -1;
        GOOD(store_unused_bytes(copy, &n_unused, &note));
        assert_int_equal(n_unused, 0);
        assert_int_equal(unlink(copy), 0);
    }
    GOOD(store_check(f.store, &note));
    fixture_close(&f);
}

/* A copy made while a reader keeps the log: its pages are copied as they are, with what lies beside their rows. */
static void test_a_copy_holds_rows_alone(void **state)
{
    struct fixture f;
    struct db *reader = NULL;
    struct receipt receipt;
    const unsigned char *file = NULL;
    size_t file_bytes = 0;
    char copy[128];
    int64_t rows = 0;
    int64_t n_unused = -1;

    (void)state;
    fixture_open(&f);
    enroll_all(&f);
    GOOD(db_lend(f.store, &reader, &note));
    GOOD(db_snapshot_begin(reader, &note));
    GOOD(db_integer(reader, "SELECT count(*) FROM faces", NULL, &rows, &note));
    GOOD(store_subject_delete(f.store, sample.subject_id[3], "key1", NULL, f.mem, &receipt, &note));
    assert_false(receipt.scrubbed);
    (void)snprintf(copy, sizeof copy, "%s/copy", f.folder);
    GOOD(store_backup(f.store, copy, &note));
    db_snapshot_end(reader);
    db_return(f.store, reader);
    GOOD(store_unused_bytes(copy, &n_unused, &note));
    assert_int_equal(n_unused, 0);
    GOOD(file_map(copy, (size_t)1 << 30, &file, &file_bytes, &note));
    for (int i = 3; i < FACES; i += PEOPLE) {
        expect_absent(file, file_bytes, i);
    }
    file_unmap(file, file_bytes);
    assert_int_equal(unlink(copy), 0);
    fixture_close(&f);
}

/* Where the unused bytes of a page lie; a damaged one has none that may be touched. */
static void test_gaps(void **state)
{
    static const struct {
        unsigned char type, n_cells, content, cell, free_piece;
        uint32_t number;
        size_t from, to; /* 0: none */
    } rows[] = {
        {13, 1, 200, 200, 0, 3, 10, 200},  {13, 1, 200, 199, 0, 3, 0, 0},   {13, 1, 200, 220, 210, 3, 10, 200},
        {13, 1, 200, 220, 190, 3, 0, 0},   {5, 1, 200, 200, 0, 3, 14, 200}, {10, 0, 8, 0, 0, 3, 0, 0},
        {13, 1, 200, 200, 0, 2, 0, 0},     {13, 1, 200, 200, 0, 105, 0, 0}, {2, 1, 250, 250, 0, 104, 14, 250},
        {13, 1, 200, 200, 0, 1, 110, 200}, {3, 1, 200, 200, 0, 3, 0, 0},    {13, 100, 200, 200, 0, 3, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char page[512] = {0};
        unsigned char *header = page + (rows[i].number == 1 ? 100 : 0);
        size_t from = 0;
        size_t to = 0;
        header[0] = rows[i].type;
        header[2] = rows[i].free_piece;
        header[4] = rows[i].n_cells;
        header[6] = rows[i].content;
        header[rows[i].type == 5 || rows[i].type == 2 ? 13 : 9] = rows[i].cell;
        bool found = page_gap(page, sizeof page, rows[i].number, true, &from, &to);
        if (found != (rows[i].to != 0) || from != rows[i].from || to != rows[i].to) {
            fail_msg("row %zu: %d, %zu to %zu", i, found, from, to);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_nothing_stays),
        cmocka_unit_test(test_a_copy_holds_rows_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
