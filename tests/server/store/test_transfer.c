/* test_transfer.c: rows that come and go in numbers: imports, duplicates, merges, ages, copies. */
#include "tests/server/store/fixture.h"

#include <unistd.h>

#include "core/base/clock.h"
#include "server/store/backup.h"
#include "server/store/export_rows.h"
#include "server/store/face_rows.h"
#include "server/store/import_rows.h"
#include "server/store/merge_rows.h"
#include "server/store/retention_rows.h"

struct sample {
    struct enroll_face face;
    float vector[DIM];
    struct enroll what;
};

static const struct enroll *sample_make(const struct fixture *f, const char *name, uint64_t seed, struct sample *s)
{
    *s = (struct sample){0};
    vector_sample(seed, DIM, s->vector);
    s->face = (struct enroll_face){.source = FACE_FROM_EMBEDDING, .embedding = s->vector};
    s->what = (struct enroll){.collection_id = f->collection_id,
                              .model_id = f->model_id,
                              .subject_name = name,
                              .faces = &s->face,
                              .n_faces = 1,
                              .actor = "key1"};
    return &s->what;
}

static int64_t enroll_one(const struct fixture *f, const char *name, uint64_t seed, int64_t at_ms)
{
    struct sample s;
    struct enrolled enrolled = {0};

    (void)sample_make(f, name, seed, &s);
    s.what.at_ms = at_ms;
    GOOD(store_enroll(f->store, &s.what, NULL, f->mem, &enrolled, &note));
    return enrolled.subject_id;
}

static int64_t count_faces(const struct fixture *f)
{
    struct collection_counts counts = {0};

    GOOD(store_collection_count(f->store, f->collection_id, &counts, &note));
    return counts.n_faces;
}

static void test_duplicates(void **state)
{
    unsigned char photo_a[32] = {1};
    unsigned char photo_b[32] = {2};
    const struct {
        const char *name;
        uint64_t seed;
        float towards; /* how much of seed 1's vector is mixed in */
        const unsigned char *photo;
        enum err expected;
    } rows[] = {
        {"ada", 2, 0, photo_a, ERR_EXISTS}, /* the photo */
        {"bob", 3, 0, photo_a, ERR_NONE},   /* the photo, of somebody else */
        {"ada", 1, 0, photo_b, ERR_EXISTS}, /* the face */
        {"ada", 4, 5, NULL, ERR_EXISTS},    /* nearly the face */
        {"ada", 4, 1, NULL, ERR_NONE},      /* alike */
        {"ada", 5, 0, photo_b, ERR_NONE},
    };
    struct fixture f;
    struct sample s;
    struct enrolled enrolled;

    (void)state;
    fixture_open(&f);
    (void)sample_make(&f, "ada", 1, &s);
    s.what.photo.sha256 = photo_a;
    s.what.refuse_duplicates = true;
    GOOD(store_enroll(f.store, &s.what, NULL, f.mem, &enrolled, &note));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float first[DIM];
        double sum = 0;
        struct err_note note = {0};
        (void)sample_make(&f, rows[i].name, rows[i].seed, &s);
        vector_sample(1, DIM, first);
        for (int k = 0; k < DIM; k++) {
            s.vector[k] += rows[i].towards * first[k];
            sum += (double)s.vector[k] * (double)s.vector[k];
        }
        for (int k = 0; k < DIM; k++) {
            s.vector[k] = (float)((double)s.vector[k] / sqrt(sum));
        }
        s.what.photo.sha256 = rows[i].photo;
        s.what.refuse_duplicates = true;
        int64_t before = count_faces(&f);
        enum err err = store_enroll(f.store, &s.what, NULL, f.mem, &enrolled, &note);
        if (err != rows[i].expected || count_faces(&f) != before + (err == ERR_NONE)) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), note.text);
        }
    }
    fixture_close(&f);
}

static void test_many_or_none(void **state)
{
    struct fixture f;
    struct sample s[3];
    struct enroll all[3];
    struct enrolled enrolled[3];
    int failed = 0;

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < 3; i++) {
        all[i] = *sample_make(&f, "ada", (uint64_t)i + 1, &s[i]);
    }
    s[1].vector[0] = NAN;
    FAILS(ERR_MISUSE, store_enroll_many(f.store, all, 3, NULL, f.mem, enrolled, &failed, &note));
    assert_int_equal(failed, 1);
    assert_int_equal(count_faces(&f), 0);
    all[1] = all[2];
    GOOD(store_enroll_many(f.store, all, 2, NULL, f.mem, enrolled, &failed, &note));
    assert_int_equal(count_faces(&f), 2);
    assert_true(enrolled[0].subject_is_new && !enrolled[1].subject_is_new);
    fixture_close(&f);
}

static void test_import_items(void **state)
{
    const struct import_item failed[] = {{.number = 3, .name = "a/3", .outcome = "no_face", .sentence = "none"},
                                         {.number = 9, .name = "a/9", .outcome = "no_face", .sentence = "none"}};
    struct fixture f;
    struct sample s;
    struct enrolled enrolled;
    struct receipt receipt;
    struct import_item *items = NULL;
    struct import_count *counts = NULL;
    unsigned char *done = NULL;
    const char *next = NULL;
    int64_t job = 0;
    int64_t highest = 0;
    int n = 0;
    bool wanted = false;

    (void)state;
    fixture_open(&f);
    GOOD(store_job_add(f.store, "import", f.collection_id, "{\"file\":\"x\"}", "key1", NULL, &job, &note));
    GOOD(store_job_wants_file(f.store, "x", &wanted, &note));
    assert_true(wanted);
    GOOD(store_job_wants_file(f.store, "y", &wanted, &note));
    assert_false(wanted);
    const struct import_mark mark = {.job_id = job, .number = 2, .name = "ada/1.jpg"};
    (void)sample_make(&f, "ada", 1, &s);
    s.what.mark = &mark;
    GOOD(store_enroll(f.store, &s.what, NULL, f.mem, &enrolled, &note));
    /* The same part again is refused with everything in it. */
    FAILS(ERR_EXISTS, store_enroll(f.store, &s.what, NULL, f.mem, &enrolled, &note));
    assert_int_equal(count_faces(&f), 1);
    GOOD(store_import_add(f.store, job, failed, 2, &note));
    GOOD(store_import_add(f.store, job, failed, 2, &note));
    GOOD(store_import_done(f.store, job, f.mem, &done, &highest, &note));
    assert_int_equal(highest, 9);
    assert_int_equal(done[0], 1 << 1 | 1 << 2);
    assert_int_equal(done[1], 1);
    GOOD(store_import_counts(f.store, job, f.mem, &counts, &n, &note));
    assert_int_equal(n, 2);
    assert_string_equal(counts[0].outcome, "no_face");
    assert_int_equal(counts[0].n, 2);
    /* Erased: the name is gone, the row is not. */
    GOOD(store_subject_delete(f.store, enrolled.subject_id, "key1", NULL, f.mem, &receipt, &note));
    GOOD(store_import_list(f.store, job, &(struct store_page){.limit = 10}, f.mem, &items, &n, &next, &note));
    assert_int_equal(n, 3);
    assert_string_equal(items[0].outcome, "erased");
    assert_string_equal(items[0].name, "");
    assert_null(items[0].face_uuid);
    assert_string_equal(items[1].name, "a/3");
    GOOD(store_import_done(f.store, job, f.mem, &done, &highest, &note));
    assert_int_equal(done[0], 1 << 1 | 1 << 2);
    fixture_close(&f);
}

static void test_merge_and_undo(void **state)
{
    struct fixture f;
    struct subject_row row;
    struct subject_row merged;
    struct receipt receipt;

    (void)state;
    fixture_open(&f);
    int64_t ada = enroll_one(&f, "ada", 1, 0);
    int64_t bob = enroll_one(&f, "bob", 2, 0);
    int64_t cyd = enroll_one(&f, "cyd", 3, 0);
    FAILS(ERR_MISUSE, store_subject_merge(f.store, ada, ada, "key1", NULL, f.mem, &merged, &note));
    FAILS(ERR_NOT_FOUND, store_subject_merge(f.store, ada, 999, "key1", NULL, f.mem, &merged, &note));
    FAILS(ERR_NOT_FOUND, store_merge_undo(f.store, bob, "key1", NULL, f.mem, &merged, &note));
    /* ada → bob → cyd, then back in two steps. */
    GOOD(store_subject_merge(f.store, ada, bob, "key1", NULL, f.mem, &merged, &note));
    GOOD(store_subject_merge(f.store, bob, cyd, "key1", NULL, f.mem, &merged, &note));
    assert_string_equal(merged.name, "cyd");
    assert_int_equal(merged.n_faces, 3);
    GOOD(store_subject_get(f.store, cyd, f.mem, &row, &note));
    assert_int_equal(row.n_faces, 3);
    GOOD(store_merge_undo(f.store, cyd, "key1", NULL, f.mem, &merged, &note));
    GOOD(store_subject_find_uuid(f.store, merged.uuid, f.mem, &row, &note));
    assert_string_equal(row.name, "bob");
    assert_string_equal(merged.name, "bob");
    assert_int_equal(merged.n_faces, 2);
    assert_int_equal(row.n_faces, 2);
    GOOD(store_merge_undo(f.store, row.id, "key1", NULL, f.mem, &merged, &note));
    GOOD(store_subject_find_uuid(f.store, merged.uuid, f.mem, &row, &note));
    assert_string_equal(row.name, "ada");
    assert_int_equal(row.n_faces, 1);
    /* What was erased with its owner does not come back. */
    GOOD(store_subject_merge(f.store, row.id, cyd, "key1", NULL, f.mem, &merged, &note));
    GOOD(store_subject_delete(f.store, cyd, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 2);
    FAILS(ERR_NOT_FOUND, store_merge_undo(f.store, cyd, "key1", NULL, f.mem, &merged, &note));
    GOOD(store_audit_verify(f.store, &receipt.n_faces, NULL, &note));
    fixture_close(&f);
}

static void test_expiry(void **state)
{
    const int64_t now_ms = clock_unix_ms();
    const int64_t limit_ms = now_ms - 1000000;
    struct fixture f;
    struct receipt receipt;
    int64_t n = 0;

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < 5; i++) { /* two of them are of the moment itself or younger */
        const int64_t at_ms[] = {limit_ms - 1, limit_ms, limit_ms - 500, now_ms, limit_ms - 1};
        char name[8];
        (void)snprintf(name, sizeof name, "s-%d", i);
        (void)enroll_one(&f, name, (uint64_t)i, at_ms[i]);
    }
    FAILS(ERR_MISUSE, store_expire(f.store, f.collection_id, limit_ms, 0, NULL, f.mem, &receipt, &note));
    GOOD(store_expire(f.store, f.collection_id, limit_ms, 2, NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 2);
    assert_int_equal(receipt.n_embeddings, 2);
    assert_int_equal(receipt.n_subjects, 2);
    GOOD(store_expire(f.store, f.collection_id, limit_ms, 2, NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 1);
    GOOD(store_audit_verify(f.store, &n, NULL, &note));
    int64_t before = n;
    GOOD(store_expire(f.store, f.collection_id, limit_ms, 2, NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces + receipt.n_subjects + receipt.audit_id, 0);
    GOOD(store_audit_verify(f.store, &n, NULL, &note));
    assert_int_equal(n, before);
    assert_int_equal(count_faces(&f), 2);
    fixture_close(&f);
}

/* What of an import names a person goes with the person, whether by a call or by age. */
static void test_expiry_forgets_names(void **state)
{
    static const struct import_item refused[] = {
        {.number = 1, .name = "top/ada/1.jpg", .outcome = "no_face", .sentence = "none"},
        {.number = 2, .name = "ada/2.jpg", .outcome = "no_face", .sentence = "none"},
        {.number = 3, .name = "adam/3.jpg", .outcome = "no_face", .sentence = "none"},
        {.number = 4, .name = "bob/4.jpg", .outcome = "no_face", .sentence = "none"},
        {.number = 5, .name = "cyd/5.jpg", .outcome = "no_face", .sentence = "none"},
        {.number = 6, .name = "ada.jpg", .outcome = "no_folder", .sentence = "none"},
    };
    static const char *const names[] = {"", "", "adam/3.jpg", "bob/4.jpg", "cyd/5.jpg", "ada.jpg"};
    const int64_t now_ms = clock_unix_ms();
    const int64_t old_ms = now_ms - 1000000;
    const int n_refused = (int)(sizeof refused / sizeof refused[0]);
    struct fixture f;
    struct receipt receipt;
    struct collection_row other = {0};
    struct import_item *items = NULL;
    const char *next = NULL;
    int64_t jobs[2] = {0};
    int n = 0;

    (void)state;
    fixture_open(&f);
    const struct collection_new new = {.name = "other", .model_id = f.model_id, .keep = KEEP_CROP};
    GOOD(store_collection_add(f.store, &new, "key1", f.mem, &other, &note));
    for (int i = 0; i < 2; i++) {
        GOOD(
            store_job_add(f.store, "import", i == 0 ? f.collection_id : other.id, "{}", "key1", NULL, &jobs[i], &note));
        GOOD(store_import_add(f.store, jobs[i], refused, n_refused, &note));
    }
    (void)enroll_one(&f, "ada", 1, old_ms - 1);
    (void)enroll_one(&f, "bob", 2, now_ms); /* young */
    (void)enroll_one(&f, "cyd", 3, old_ms - 1);
    (void)enroll_one(&f, "cyd", 4, now_ms); /* one face stays, and so does the subject */
    GOOD(store_expire(f.store, f.collection_id, old_ms, 10, NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 2);
    assert_int_equal(receipt.n_subjects, 1);
    for (int i = 0; i < 2; i++) {
        GOOD(store_import_list(f.store, jobs[i], &(struct store_page){.limit = 10}, f.mem, &items, &n, &next, &note));
        assert_int_equal(n, n_refused);
        for (int k = 0; k < n; k++) {
            const char *name = i == 0 ? names[k] : refused[k].name; /* the other collection keeps what it has */
            if (strcmp(items[k].name, name) != 0 ||
                strcmp(items[k].outcome, name[0] == '\0' ? "erased" : refused[k].outcome) != 0 ||
                (name[0] == '\0' && items[k].sentence[0] != '\0')) {
                fail_msg("job %d, item %d: \"%s\", %s", i, k + 1, items[k].name, items[k].outcome);
            }
        }
    }
    fixture_close(&f);
}

static void test_export_pages(void **state)
{
    struct fixture f;
    struct export_span span;
    struct export_row *rows = NULL;
    int64_t at = 0;
    int seen = 0;
    int n = 0;

    (void)state;
    fixture_open(&f);
    for (uint64_t i = 1; i <= 7; i++) {
        (void)enroll_one(&f, i % 2 == 0 ? "even" : "odd", i, 0);
    }
    GOOD(store_export_span(f.store, f.collection_id, &span, &note));
    assert_int_equal(span.n_faces, 7);
    (void)enroll_one(&f, "late", 8, 0);
    do {
        GOOD(store_export_page(f.store, f.collection_id, f.model_id, at, span.last_face_id, EXPORT_WITH_CROPS, 3, f.mem,
                               &rows, &n, &note));
        for (int i = 0; i < n; i++) {
            float expected[DIM];
            vector_sample((uint64_t)++seen, DIM, expected);
            assert_memory_equal(rows[i].vector, expected, sizeof expected);
            assert_string_equal(rows[i].subject_name, seen % 2 == 0 ? "even" : "odd");
            at = rows[i].id;
        }
    } while (n > 0);
    assert_int_equal(seen, 7);
    fixture_close(&f);
}

static void test_backup(void **state)
{
    struct fixture f;
    struct store *copy = NULL;
    struct collection_counts counts;
    char path[128];

    (void)state;
    fixture_open(&f);
    (void)enroll_one(&f, "ada", 1, 0);
    (void)snprintf(path, sizeof path, "%s/copy.db", f.folder);
    GOOD(store_backup(f.store, path, &note));
    FAILS(ERR_EXISTS, store_backup(f.store, path, &note));
    (void)enroll_one(&f, "bob", 2, 0);
    GOOD(store_open(path, NULL, &copy, &note));
    GOOD(store_collection_count(copy, f.collection_id, &counts, &note));
    assert_int_equal(counts.n_faces, 1);
    GOOD(store_check(copy, &note));
    GOOD(store_close(copy, &note));
    (void)unlink(path);
    fixture_close(&f);
}

/* Which copies a receipt is about: those that hold what it says was erased, and those that nobody can read. */
static void test_what_a_copy_holds(void **state)
{
    struct fixture f;
    struct receipt receipt = {0};
    char path[128];
    char damaged[128];

    (void)state;
    fixture_open(&f);
    int64_t ada = enroll_one(&f, "ada", 1, 0);
    int64_t bob = enroll_one(&f, "bob", 2, 0);
    (void)enroll_one(&f, "bob", 3, 0);
    (void)snprintf(path, sizeof path, "%s/copy.db", f.folder);
    (void)snprintf(damaged, sizeof damaged, "%s/damaged.db", f.folder);
    GOOD(store_backup(f.store, path, &note));
    int64_t cyd = enroll_one(&f, "cyd", 4, 0);

    GOOD(store_subject_delete(f.store, cyd, "key1", NULL, f.mem, &receipt, &note));
    assert_false(store_backup_holds(path, &receipt));
    GOOD(store_subject_delete(f.store, ada, "key1", NULL, f.mem, &receipt, &note));
    assert_true(store_backup_holds(path, &receipt));
    /* Bob's later face is not in the copy, Bob is: by his name. */
    (void)enroll_one(&f, "bob", 5, 0);
    GOOD(store_face_delete(f.store, 5, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 1);
    assert_false(store_backup_holds(path, &receipt));
    GOOD(store_face_delete(f.store, 3, "key1", NULL, f.mem, &receipt, &note));
    assert_true(store_backup_holds(path, &receipt));
    GOOD(store_face_delete(f.store, 2, "key1", NULL, f.mem, &receipt, &note));
    GOOD(store_subject_delete(f.store, bob, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_faces, 0);
    assert_true(store_backup_holds(path, &receipt));
    GOOD(store_collection_delete(f.store, f.collection_id, "key1", NULL, &receipt, &note));
    assert_true(store_backup_holds(path, &receipt));

    /* What cannot be read may hold anything. */
    (void)memset(&receipt, 0, sizeof receipt);
    assert_false(store_backup_holds(path, &receipt));
    FILE *file = fopen(damaged, "wb");
    assert_non_null(file);
    assert_true(fputs("no database at all, and longer than a hundred bytes, so that nobody takes it for an empty one: "
                      "................",
                      file) >= 0);
    (void)fclose(file);
    assert_true(store_backup_holds(damaged, &receipt));
    (void)unlink(damaged);
    assert_true(store_backup_holds(damaged, &receipt));
    assert_int_not_equal(access(damaged, F_OK), 0); /* looking makes none */
    (void)unlink(path);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_many_or_none),
        cmocka_unit_test(test_import_items),
        cmocka_unit_test(test_merge_and_undo),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_expiry_forgets_names),
        cmocka_unit_test(test_export_pages),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_what_a_copy_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
