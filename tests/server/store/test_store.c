/* test_store.c: opening, refusing, migrating, bounds, reading beside writing. */
#include <fcntl.h>
#include <sys/stat.h>

#include "server/store/db_private.h"
#include "tests/server/store/fixture.h"

static void test_open_makes_a_private_file(void **state)
{
    struct fixture f;
    struct stat facts;

    (void)state;
    fixture_open(&f);
    assert_int_equal(stat(f.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    GOOD(store_close(f.store, &note));
    /* A closed store is one file with our mark, schema, page size and vacuum mode. */
    char path[128];
    (void)snprintf(path, sizeof path, "%s-wal", f.path);
    assert_int_equal(access(path, F_OK), -1);
    unsigned char head[100];
    FILE *file = fopen(f.path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, sizeof head, file), sizeof head);
    (void)fclose(file);
    assert_int_equal(head[16] << 8 | head[17], 16384);
    assert_memory_equal(head + 68, "ARCF", 4);
    assert_int_equal(head[63], store_schema());
    assert_int_equal(head[67], 1); /* incremental vacuum */
    GOOD(store_open(f.path, NULL, &f.store, &note));
    fixture_close(&f);
}

static const struct {
    const char *sql;
    int64_t value;
} pragmas[] = {
    {"PRAGMA page_size", 16384},  {"PRAGMA auto_vacuum", 2},  {"PRAGMA synchronous", 2 /* FULL */},
    {"PRAGMA secure_delete", 1},  {"PRAGMA foreign_keys", 1}, {"PRAGMA temp_store", 2 /* memory */},
    {"PRAGMA trusted_schema", 0},
};

/* With context: a connection that may only read. */
static enum err expect_pragmas(struct db *db, void *context, struct err_note *note)
{
    bool reads_only = context != NULL;
    int64_t value = -1;
    char mode[16] = "";
    sqlite3_stmt *statement = NULL;
    bool row = false;
    enum err err = db_integer(db, "PRAGMA query_only", NULL, &value, note);

    assert_true(err != ERR_NONE || value == reads_only);
    for (size_t i = 0; err == ERR_NONE && i < sizeof pragmas / sizeof pragmas[0]; i++) {
        err = db_integer(db, pragmas[i].sql, NULL, &value, note);
        if (err == ERR_NONE && value != pragmas[i].value) {
            fail_msg("%s is %lld, not %lld", pragmas[i].sql, (long long)value, (long long)pragmas[i].value);
        }
    }
    if (err == ERR_NONE) {
        err = db_start(db, "PRAGMA journal_mode", NULL, &statement, note);
    }
    if (err == ERR_NONE) {
        err = db_step(db, statement, &row, note);
        (void)snprintf(mode, sizeof mode, "%s", row ? (const char *)sqlite3_column_text(statement, 0) : "");
        db_done(statement);
    }
    assert_true(err != ERR_NONE || strcmp(mode, "wal") == 0);
    return err;
}

/* What durability and erasing stand on, as the library itself says it; in a new file and in one opened again. */
static void test_what_connections_are_set_to(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f);
    for (int again = 0; again < 2; again++) {
        struct db *reader = NULL;
        GOOD(db_lend(f.store, &reader, &note));
        GOOD(expect_pragmas(reader, &f, &note));
        db_return(f.store, reader);
        GOOD(db_change(f.store, expect_pragmas, NULL, NULL, &note));
        GOOD(store_close(f.store, &note));
        GOOD(store_open(f.path, NULL, &f.store, &note));
    }
    fixture_close(&f);
}

static void file_fill(const char *path, const char *content, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, n, file), n);
    (void)fclose(file);
}

static void test_open_refuses(void **state)
{
    static char rubbish[5000];
    static const struct {
        const char *sql; /* a foreign database, or NULL */
        size_t rubbish;  /* bytes of rubbish */
        enum err expected;
        const char *word;
    } rows[] = {
        {NULL, 5000, ERR_FORMAT, "not a database"},
        {NULL, 50, ERR_FORMAT, "not a database"},
        {"CREATE TABLE t (a)", 0, ERR_FORMAT, "another program"},
        {"PRAGMA application_id = 7; CREATE TABLE t (a)", 0, ERR_FORMAT, "another program"},
        {"PRAGMA application_id = 0x41524346; PRAGMA user_version = 999; CREATE TABLE t (a)", 0, ERR_UNSUPPORTED,
         "newer"},
        {"PRAGMA application_id = 0x41524346; PRAGMA user_version = 0; CREATE TABLE t (a)", 0, ERR_UNSUPPORTED, ""},
    };

    (void)state;
    memset(rubbish, 'x', sizeof rubbish);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        struct err_note note = {0};
        struct stat before;
        struct stat after;
        fixture_folder(&f);
        if (rows[i].sql != NULL) {
            raw_sql(f.path, rows[i].sql);
        } else {
            file_fill(f.path, rubbish, rows[i].rubbish);
        }
        assert_int_equal(stat(f.path, &before), 0);
        enum err err = store_open(f.path, NULL, &f.store, &note);
        if (err != rows[i].expected || strstr(note.text, rows[i].word) == NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
        assert_int_equal(stat(f.path, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        f.store = NULL;
        fixture_close(&f);
    }
}

static void test_open_without_folder(void **state)
{
    struct store *store = NULL;

    (void)state;
    FAILS(ERR_NOT_FOUND, store_open("/nonexistent/folder/store.db", NULL, &store, &note));
    assert_null(store);
}

static void test_open_without_memory(void **state)
{
    struct fixture f;

    (void)state;
    fixture_folder(&f);
    for (long n = 0;; n++) {
        mem_fail_at(n);
        enum err err = store_open(f.path, NULL, &f.store, NULL);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_true(n > 2);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_null(f.store);
    }
    fixture_close(&f);
}

static void test_schema_file(void **state)
{
    struct fixture f;
    sqlite3 *db;
    sqlite3_stmt *statement;
    char *expected = NULL;
    size_t expected_bytes = 0;

    (void)state;
    fixture_open(&f);
    FILE *text = open_memstream(&expected, &expected_bytes);
    assert_non_null(text);
    assert_int_equal(sqlite3_open(f.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE "
                                        "'sqlite_%' ORDER BY type DESC, name",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        (void)fprintf(text, "%s;\n\n", (const char *)sqlite3_column_text(statement, 0));
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    (void)fclose(text);
    if (getenv("ARCFACED_UPDATE_SCHEMA") != NULL) {
        file_fill("migrations/schema.sql", expected, expected_bytes);
    }
    FILE *file = fopen("migrations/schema.sql", "rb");
    assert_non_null(file);
    char *found = mem_new(expected_bytes + 2, 1);
    size_t n = fread(found, 1, expected_bytes + 1, file);
    (void)fclose(file);
    if (n != expected_bytes || memcmp(found, expected, n) != 0) {
        fail_msg("migrations/schema.sql is not what the migrations make: run this test with ARCFACED_UPDATE_SCHEMA=1");
    }
    mem_free(found);
    free(expected);
    fixture_close(&f);
}

static void test_names(void **state)
{
    static char longest[STORE_NAME_BYTES + 2];
    static char too_long[STORE_NAME_BYTES + 2];
    memset(longest, 'n', STORE_NAME_BYTES);
    memset(too_long, 'n', STORE_NAME_BYTES + 1);
    const struct {
        const char *name;
        enum err expected;
    } rows[] = {{"Ada", ERR_NONE},
                {"Zoë Müller 李小龍 🙂", ERR_NONE},
                {longest, ERR_NONE},
                {too_long, ERR_MISUSE},
                {"", ERR_MISUSE},
                {"a\nb", ERR_MISUSE},
                {"a\x7f", ERR_MISUSE},
                {"\xc2\x85", ERR_MISUSE}, /* C1 */
                {"\xc2\xa0", ERR_NONE},   /* no-break space */
                {"\xff", ERR_FORMAT},
                {"\xc3", ERR_FORMAT},         /* cut */
                {"\xc0\xaf", ERR_FORMAT},     /* overlong */
                {"\xe0\x80\x80", ERR_FORMAT}, /* overlong */
                {"\xed\xa0\x80", ERR_FORMAT}, /* surrogate */
                {"\xf4\x90\x80\x80", ERR_FORMAT},
                {"\x80", ERR_FORMAT}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note note = {0};
        enum err err = store_name_check("the name", rows[i].name, &note);
        if (err != rows[i].expected || (err != ERR_NONE && note.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }
}

static void test_json(void **state)
{
    static char at_limit[STORE_JSON_BYTES + 2];
    static char deep[STORE_JSON_BYTES];
    memset(at_limit, ' ', STORE_JSON_BYTES);
    at_limit[0] = '{';
    at_limit[STORE_JSON_BYTES - 1] = '}';
    memset(deep, '[', sizeof deep - 1);
    static char over[STORE_JSON_BYTES + 2];
    memcpy(over, at_limit, STORE_JSON_BYTES);
    over[STORE_JSON_BYTES] = ' ';
    const struct {
        const char *json;
        enum err expected;
    } rows[] = {{"{}", ERR_NONE},     {"{\"a\":{\"b\":[1,2,null]}}", ERR_NONE},
                {at_limit, ERR_NONE}, {over, ERR_MISUSE},
                {"[]", ERR_MISUSE},   {"\"a\"", ERR_MISUSE},
                {"", ERR_FORMAT},     {"{\"a\":}", ERR_FORMAT},
                {"{} x", ERR_FORMAT}, {deep, ERR_FORMAT},
                {NULL, ERR_FORMAT},   {"{\"a\":1,\"a\":2}", ERR_FORMAT}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note note = {0};
        enum err err = store_json_check("the metadata", rows[i].json, &note);
        if (err != rows[i].expected || (err != ERR_NONE && note.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }
}

static void test_full_disk(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct subject_row subject;
    struct err_note full = {0};
    int64_t n_audit;
    char name[32];
    int n = 0;

    (void)state;
    fixture_folder(&f);
    GOOD(store_open(f.path, &(struct store_options){.max_bytes = 45 * 16384}, &f.store, &note));
    fixture_rows(&f, DIM);
    enum err err = ERR_NONE;
    for (; n < 100000; n++) {
        (void)snprintf(name, sizeof name, "person %d", n);
        err = enroll_sample(&f, name, (uint64_t)n, f.mem, &enrolled, &full);
        if (err != ERR_NONE) {
            break;
        }
        arena_reset(f.mem);
    }
    assert_int_equal(err, ERR_NO_SPACE);
    assert_non_null(strstr(full.text, "full"));
    assert_true(n > 10);
    /* Reads go on, and nothing of the refused change is there. */
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f.store, f.collection_id, name, f.mem, &subject, &note));
    GOOD(store_subject_find_name(f.store, f.collection_id, "person 0", f.mem, &subject, &note));
    GOOD(store_audit_verify(f.store, &n_audit, NULL, &note));
    assert_int_equal(n_audit, n + 2);
    GOOD(store_check(f.store, &note));
    fixture_close(&f);
}

/* ---- Erased means erased ------------------------------------------------------------------------------------------ */

/* A file's content; NULL if it is not there. */
static char *file_load(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    (void)fseek(file, 0, SEEK_SET);
    char *content = mem_new((size_t)size + 1, 1);
    assert_int_equal(fread(content, 1, (size_t)size, file), size);
    (void)fclose(file);
    *ret_bytes = (size_t)size;
    return content;
}

static bool file_has(const char *path, const void *bytes, size_t n)
{
    size_t size = 0;
    char *content = file_load(path, &size);
    bool has = content != NULL && memmem(content, size, bytes, n) != NULL;
    mem_free(content);
    return has;
}

static bool store_has(const struct fixture *f, const void *bytes, size_t n)
{
    char wal[128];

    (void)snprintf(wal, sizeof wal, "%s-wal", f->path);
    return file_has(f->path, bytes, n) || file_has(wal, bytes, n);
}

static void test_erased_bytes_leave_the_files(void **state)
{
    struct fixture f;
    struct enrolled first;
    struct enrolled other;
    struct receipt receipt;
    float vector[DIM];

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada Lovelace", 1, f.mem, &first, &note));
    GOOD(enroll_sample(&f, "Charles", 2, f.mem, &other, &note));
    vector_sample(1, DIM, vector);
    assert_true(store_has(&f, vector, sizeof vector));
    assert_true(store_has(&f, "crop 1 of", 9));
    GOOD(store_subject_delete(f.store, first.subject_id, "key1", NULL, f.mem, &receipt, &note));
    assert_false(store_has(&f, vector, sizeof vector));
    assert_false(store_has(&f, "crop 1 of", 9));
    assert_false(store_has(&f, "Ada Lovelace", 12));
    assert_true(store_has(&f, "crop 2 of", 9));
    fixture_close(&f);
}

/* Pages split, merge and move while rows come and go; no copy of an erased row may stay in a gap of one. */
static void test_erased_bytes_after_many_changes(void **state)
{
    enum {
        N = 600
    };
    struct fixture f;
    struct random random = random_seeded(3, 5);
    static int64_t subjects[N];
    char name[32];

    (void)state;
    fixture_open(&f);
    struct arena *mem = arena_new((size_t)1 << 20);
    for (int i = 0; i < N; i++) {
        struct enrolled enrolled;
        (void)snprintf(name, sizeof name, "person %d", i);
        GOOD(enroll_sample(&f, name, (uint64_t)i, mem, &enrolled, &note));
        subjects[i] = enrolled.subject_id;
        arena_reset(mem);
    }
    int n_deleted = 0;
    for (int k = 0; k < N; k++) {
        struct receipt receipt;
        int i = (int)random_below(&random, N);
        if (subjects[i] != 0) {
            GOOD(store_subject_delete(f.store, subjects[i], "key1", NULL, mem, &receipt, &note));
            subjects[i] = 0;
            n_deleted++;
            arena_reset(mem);
        }
    }
    assert_true(n_deleted > N / 2);
    size_t size = 0;
    GOOD(store_scrub(f.store, &note)); /* nothing but the database itself is left to look into */
    char *content = file_load(f.path, &size);
    for (int i = 0; i < N; i++) {
        float vector[DIM];
        vector_sample((uint64_t)i, DIM, vector);
        if ((memmem(content, size, vector, sizeof vector) != NULL) != (subjects[i] != 0)) {
            fail_msg("the vector of person %d is %s", i, subjects[i] != 0 ? "gone" : "still in the file");
        }
    }
    mem_free(content);
    arena_free(mem);
    fixture_close(&f);
}

static enum err visit_delete(void *context, int64_t face_id, const float *vector, int dim)
{
    struct fixture *f = context;
    struct receipt receipt;

    (void)vector;
    (void)dim;
    return store_face_delete(f->store, face_id, "key1", NULL, f->mem, &receipt, NULL);
}

/* A reader that holds the log while a face is erased cuts it when it ends. */
static void test_erasing_beside_a_reader(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    float vector[DIM];

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
    vector_sample(1, DIM, vector);
    GOOD(store_embedding_each(f.store, f.collection_id, f.model_id, 0, visit_delete, &f, &note));
    assert_false(store_has(&f, vector, sizeof vector));
    fixture_close(&f);
}

static void test_shrink(void **state)
{
    struct fixture f;
    struct receipt receipt;
    int64_t given = 0;
    int64_t left = 0;
    static char photo[200000];

    (void)state;
    fixture_open(&f);
    float vector[DIM];
    vector_sample(1, DIM, vector);
    const struct enroll_face face = {.embedding = vector};
    const struct enroll what = {.collection_id = f.collection_id,
                                .model_id = f.model_id,
                                .subject_name = "Ada",
                                .faces = &face,
                                .n_faces = 1,
                                .photo = {.bytes = photo, .n_bytes = sizeof photo},
                                .actor = "key1"};
    struct enrolled enrolled;
    GOOD(store_enroll(f.store, &what, NULL, f.mem, &enrolled, &note));
    GOOD(store_face_delete(f.store, enrolled.faces[0].id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_photos, 1);
    FAILS(ERR_MISUSE, store_shrink(f.store, 0, &given, &left, &note));
    GOOD(store_shrink(f.store, 3, &given, &left, &note));
    assert_int_equal(given, 3);
    assert_true(left >= 9);
    GOOD(store_shrink(f.store, 1000, &given, &left, &note));
    assert_true(given >= 9);
    assert_int_equal(left, 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_makes_a_private_file),
        cmocka_unit_test(test_what_connections_are_set_to),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_open_without_folder),
        cmocka_unit_test(test_open_without_memory),
        cmocka_unit_test(test_schema_file),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_erased_bytes_leave_the_files),
        cmocka_unit_test(test_erasing_beside_a_reader),
        cmocka_unit_test(test_shrink),
        cmocka_unit_test(test_erased_bytes_after_many_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
