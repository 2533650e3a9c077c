/* test_key_rows.c: keys, and the log of who did what. */
#include "tests/server/store/fixture.h"

static void test_keys(void **state)
{
    struct fixture f;
    struct key_row key;
    struct key_row found;
    char secret[KEY_SECRET_TEXT];
    int64_t count;

    (void)state;
    fixture_open(&f);
    const struct key_new new = {.name = "front desk",
                                .scopes = SCOPE_IDENTIFY | SCOPE_ENROLL,
                                .collection_id = f.collection_id,
                                .expires_ms = INT64_C(4000000000000)};
    GOOD(store_key_add(f.store, &new, "key1", f.mem, &key, secret, &note));
    assert_int_equal(strlen(secret), 4 + 12 + 1 + 43);
    assert_memory_equal(secret + 4, key.id, 12);
    GOOD(store_key_check(f.store, secret, 1000, f.mem, &found, &note));
    assert_string_equal(found.id, key.id);
    assert_int_equal(found.scopes, SCOPE_IDENTIFY | SCOPE_ENROLL);
    assert_int_equal(found.collection_id, f.collection_id);
    FAILS(ERR_DENIED, store_key_check(f.store, secret, INT64_C(4000000000000), f.mem, &found, &note));
    secret[59] = secret[59] == 'A' ? 'B' : 'A';
    FAILS(ERR_NOT_FOUND, store_key_check(f.store, secret, 1000, f.mem, &found, &note));
    FAILS(ERR_NOT_FOUND, store_key_check(f.store, "", 1000, f.mem, &found, &note));

    /* A use is written down once an hour. */
    GOOD(store_key_touch(f.store, &key, INT64_C(3000000000000), &note));
    GOOD(store_key_get(f.store, key.id, f.mem, &found, &note));
    assert_int_equal(found.last_used_ms, INT64_C(3000000000000));
    GOOD(store_key_touch(f.store, &found, INT64_C(3000003599999), &note));
    GOOD(store_key_get(f.store, key.id, f.mem, &found, &note));
    assert_int_equal(found.last_used_ms, INT64_C(3000000000000));

    const struct {
        struct key_new new;
        enum err expected;
    } bad[] = {{{.name = "x", .scopes = 0}, ERR_MISUSE},
               {{.name = "x", .scopes = 64}, ERR_MISUSE},
               {{.name = "", .scopes = 1}, ERR_MISUSE},
               {{.name = "x", .scopes = 1, .expires_ms = 1}, ERR_MISUSE},
               {{.name = "x", .scopes = 1, .collection_id = 99}, ERR_NOT_FOUND}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err_note said = {0};
        enum err err = store_key_add(f.store, &bad[i].new, "key1", f.mem, &key, secret, &said);
        if (err != bad[i].expected || said.text[0] == '\0') {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }

    /* A key of the operator's choice: the same text is the same key. */
    const struct key_new boot = {.name = "bootstrap", .scopes = SCOPE_ALL};
    struct key_row first;
    struct key_row second;
    FAILS(ERR_MISUSE, store_key_give(f.store, &boot, "short", AUDIT_DAEMON, f.mem, &first, &note));
    FAILS(ERR_MISUSE, store_key_give(f.store, &boot, "has a space in the middle", AUDIT_DAEMON, f.mem, &first, &note));
    GOOD(store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &first, &note));
    GOOD(store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &second, &note));
    assert_string_equal(first.id, second.id);
    GOOD(store_key_check(f.store, "correct-horse-battery", 1000, f.mem, &found, &note));
    GOOD(store_key_count(f.store, SCOPE_ADMIN, 1000, &count, &note));
    assert_int_equal(count, 1);
    GOOD(store_key_revoke(f.store, first.id, "key1", &note));
    GOOD(store_key_revoke(f.store, first.id, "key1", &note));
    FAILS(ERR_NOT_FOUND, store_key_revoke(f.store, "nobody", "key1", &note));
    FAILS(ERR_CONFLICT, store_key_check(f.store, "correct-horse-battery", 1000, f.mem, &found, &note));
    FAILS(ERR_CONFLICT, store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &second, &note));
    GOOD(store_key_count(f.store, SCOPE_ADMIN, 1000, &count, &note));
    assert_int_equal(count, 0);

    struct key_row *rows;
    const char *next;
    int n;
    GOOD(store_key_list(f.store, &(struct store_page){.limit = 1}, f.mem, &rows, &n, &next, &note));
    assert_string_equal(rows[0].name, "front desk");
    GOOD(store_key_list(f.store, &(struct store_page){.limit = 5, .token = next}, f.mem, &rows, &n, &next, &note));
    assert_int_equal(n, 1);
    assert_true(rows[0].revoked_ms > 0);
    assert_null(next);

    for (unsigned bit = 1; bit < 32; bit <<= 1) {
        assert_int_equal(scope_from_word(scope_word((enum scope)bit)), bit);
    }
    assert_int_equal(scope_from_word("everything"), 0);
    fixture_close(&f);
}

static void test_audit(void **state)
{
    static const struct {
        const char *damage;
        const char *word;
    } rows[] = {{"UPDATE audit SET actor = 'other' WHERE id = 2", "entry 2"},
                {"UPDATE audit SET objects = '{}' WHERE id = 3", "entry 3"},
                {"UPDATE audit SET at_ms = at_ms + 1 WHERE id = 1", "entry 1"},
                {"UPDATE audit SET hash = zeroblob(32) WHERE id = 2", "entry 2"},
                {"DELETE FROM audit WHERE id = 2", "where 2 should"},
                {"DELETE FROM audit WHERE id >= 3", "ends with entry 2"},
                {"DELETE FROM audit", "ends with entry 0"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        struct enrolled enrolled;
        struct err_note said = {0};
        int64_t count;
        char hash[65];
        fixture_open(&f);
        GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
        GOOD(store_audit_verify(f.store, &count, hash, &note));
        assert_int_equal(count, 3);
        raw_sql(f.path, rows[i].damage);
        enum err err = store_audit_verify(f.store, &count, hash, &said);
        if (err != ERR_CORRUPT || strstr(said.text, rows[i].word) == NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
        fixture_close(&f);
    }
}

static void test_audit_entries(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct audit_row *rows;
    const char *next;
    int64_t id;
    int count;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada Lovelace", 1, f.mem, &enrolled, &note));
    GOOD(store_audit_add(f.store, "key1", "photo.show", "{\"face\":1}", &id, &note));
    assert_int_equal(id, 4);
    FAILS(ERR_MISUSE, store_audit_add(f.store, "", "a", "{}", NULL, &note));
    FAILS(ERR_MISUSE, store_audit_add(f.store, "k", "", "{}", NULL, &note));
    FAILS(ERR_MISUSE, store_audit_add(f.store, "k", "a", "[]", NULL, &note));
    FAILS(ERR_FORMAT, store_audit_add(f.store, "k", "a", "{", NULL, &note));
    GOOD(store_audit_list(f.store, &(struct store_page){.limit = 3}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 3);
    assert_string_equal(rows[2].action, "face.enroll");
    assert_string_equal(rows[2].actor, "key1");
    assert_null(strstr(rows[2].objects, "Ada")); /* ids only */
    assert_non_null(strstr(rows[2].objects, enrolled.faces[0].uuid));
    GOOD(store_json_check("objects", rows[2].objects, &note));
    GOOD(
        store_audit_list(f.store, &(struct store_page){.limit = 3, .token = next}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 1);
    assert_null(next);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_audit_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
