/* test_subject_rows.c: subjects and their faces, listed page by page. */
#include "tests/server/store/fixture.h"

static void test_subjects(void **state)
{
    struct fixture f;
    struct enrolled ada;
    struct enrolled bob;
    struct subject_row row;
    struct receipt receipt;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &ada, &note));
    GOOD(enroll_sample(&f, "Bob", 2, f.mem, &bob, &note));
    const struct {
        int64_t id;
        struct subject_change change;
        enum err expected;
    } rows[] = {{ada.subject_id, {.name = "Bob"}, ERR_EXISTS},
                {ada.subject_id, {.name = "bob"}, ERR_NONE},
                {99, {.name = "x"}, ERR_NOT_FOUND},
                {ada.subject_id, {.name = ""}, ERR_MISUSE},
                {ada.subject_id, {.metadata = "1"}, ERR_MISUSE},
                {ada.subject_id, {.external_id = "X7"}, ERR_NONE},
                {ada.subject_id, {.metadata = "{}"}, ERR_NONE},
                {ada.subject_id, {.name = "Zoë"}, ERR_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note said = {0};
        enum err err = store_subject_change(f.store, rows[i].id, &rows[i].change, "key1", &said);
        if (err != rows[i].expected || (err != ERR_NONE && said.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    GOOD(store_subject_find_name(f.store, f.collection_id, "Zoë", f.mem, &row, &note));
    assert_string_equal(row.external_id, "X7");
    GOOD(store_subject_change(f.store, ada.subject_id, &(struct subject_change){.external_id = ""}, "key1", &note));
    GOOD(store_subject_get(f.store, ada.subject_id, f.mem, &row, &note));
    assert_null(row.external_id);
    /* A name is not an id and an id is not a name. */
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f.store, f.collection_id, ada.subject_uuid, f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_subject_find_uuid(f.store, "Zoë", f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f.store, 99, "Zoë", f.mem, &row, &note));

    GOOD(store_subject_delete(f.store, ada.subject_id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_subjects, 1);
    assert_int_equal(receipt.n_faces, 1);
    assert_int_equal(receipt.face_ids[0], ada.faces[0].id);
    assert_int_equal(strlen(receipt.audit_hash), 64);
    FAILS(ERR_NOT_FOUND, store_subject_delete(f.store, ada.subject_id, "key1", NULL, f.mem, &receipt, &note));
    struct face_row *faces;
    const int64_t ids[] = {bob.faces[0].id, ada.faces[0].id, 12345};
    GOOD(store_face_get_many(f.store, ids, 3, f.mem, &faces, &note));
    assert_string_equal(faces[0].subject_name, "Bob");
    assert_int_equal(faces[1].id, 0);
    assert_int_equal(faces[2].id, 0);
    fixture_close(&f);
}

/* A thousand subjects, by pages of 37, while others are added and deleted: each that stays is seen once. */
static void test_pages(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct receipt receipt;
    char name[32];
    static int seen[1200];
    const char *token = NULL;
    int n_seen = 0;
    int n_added = 1000;

    (void)state;
    fixture_open(&f);
    memset(seen, 0, sizeof seen);
    struct arena *mem = arena_new((size_t)8 << 20);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        GOOD(enroll_sample(&f, name, (uint64_t)i, mem, &enrolled, &note));
        arena_reset(mem);
    }
    for (int page = 0;; page++) {
        struct subject_row *rows;
        int count;
        const char *next;
        GOOD(store_subject_list(f.store, f.collection_id, &(struct store_page){.limit = 37, .token = token}, f.mem,
                                &rows, &count, &next, &note));
        for (int i = 0; i < count; i++) {
            seen[atoi(rows[i].name + 1)]++;
            n_seen++;
        }
        if (next == NULL) {
            break;
        }
        assert_int_equal(count, 37);
        token = next;
        if (page < 10) {
            (void)snprintf(name, sizeof name, "n%d", n_added++);
            GOOD(enroll_sample(&f, name, 1, mem, &enrolled, &note));
            /* The last row of the page, which the token stands on. */
            GOOD(store_subject_delete(f.store, rows[count - 1].id, "key1", NULL, mem, &receipt, &note));
        }
        arena_reset(mem);
    }
    arena_free(mem);
    assert_int_equal(n_seen, 1010);
    int64_t total = 0;
    GOOD(store_subject_count(f.store, &total, &note));
    assert_int_equal(total, n_added - 10);
    for (int i = 0; i < 1010; i++) {
        assert_int_equal(seen[i], 1);
    }
    fixture_close(&f);
}

static void test_page_arguments(void **state)
{
    struct fixture f;
    static const struct {
        struct store_page page;
        enum err expected;
    } rows[] = {{{.limit = 0}, ERR_MISUSE},
                {{.limit = -1}, ERR_MISUSE},
                {{.limit = 1001}, ERR_MISUSE},
                {{.limit = 1000}, ERR_NONE},
                {{.limit = 1, .token = ""}, ERR_NONE},
                {{.limit = 1, .token = "p"}, ERR_FORMAT},
                {{.limit = 1, .token = "7"}, ERR_FORMAT},
                {{.limit = 1, .token = "p0000000000000000"}, ERR_FORMAT},
                {{.limit = 1, .token = "pffffffffffffffff"}, ERR_FORMAT},
                {{.limit = 1, .token = "p000000000000000g"}, ERR_FORMAT},
                {{.limit = 1, .token = "p0000000000000001 "}, ERR_FORMAT}};

    (void)state;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note said = {0};
        struct collection_row *ret;
        int count;
        const char *next;
        enum err err = store_collection_list(f.store, &rows[i].page, f.mem, &ret, &count, &next, &said);
        if (err != rows[i].expected || (err != ERR_NONE && said.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_page_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
