/* test_metadata_filter.c: what passes is what JSON says is equal. */
#include "server/store/metadata_filter.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "tests/server/store/fixture.h"

static bool passes(const char *filter, const char *metadata)
{
    struct metadata_filter *made = NULL;
    struct err_note note = {0};

    enum err err = metadata_filter_new(filter, &made, &note);
    if (err != ERR_NONE) {
        fail_msg("%s: %s", filter, note.text);
    }
    bool ret = metadata_filter_passes(made, metadata);
    metadata_filter_free(made);
    return ret;
}

static void test_values(void **state)
{
    static const struct {
        const char *filter, *metadata;
        bool passes;
    } rows[] = {
        {"{}", "{}", true},
        {"{}", " {\"a\" : 1 }", true},
        {"{\"a\":1}", "{}", false},
        {"{\"a\":1}", "{\"b\":1}", false},
        {"{\"a\":1}", "{\"b\":{\"a\":1}}", false},
        {"{\"a\":1}", "{\"b\":[{\"a\":1},2,\"}\"],\"a\":1}", true},
        {"{\"a\":1}", " { \"b\" : [ 1 , 2 ] , \"a\" : 1 } ", true},
        {"{\"a\":\"x\"}", "{\"a\":\"x\"}", true},
        {"{\"a\":\"x\"}", "{\"a\":\"xy\"}", false},
        {"{\"a\":\"xy\"}", "{\"a\":\"x\"}", false},
        {"{\"a\":\"\"}", "{\"a\":\"\"}", true},
        {"{\"a\":\"1\"}", "{\"a\":1}", false},
        {"{\"a\":1}", "{\"a\":\"1\"}", false},
        {"{\"a\":1}", "{\"a\":1.0}", true},
        {"{\"a\":1.0}", "{\"a\":1}", true},
        {"{\"a\":100}", "{\"a\":1e2}", true},
        {"{\"a\":-0.5}", "{\"a\":-5E-1}", true},
        {"{\"a\":1.5}", "{\"a\":1}", false},
        {"{\"a\":10}", "{\"a\":1}", false},
        {"{\"a\":9007199254740993}", "{\"a\":9007199254740992.0}", false},
        {"{\"a\":9007199254740992}", "{\"a\":9007199254740992.0}", true},
        {"{\"a\":9223372036854775807}", "{\"a\":9223372036854775807}", true},
        {"{\"a\":9223372036854775807}", "{\"a\":9223372036854775808}", false},
        {"{\"a\":true}", "{\"a\":true}", true},
        {"{\"a\":true}", "{\"a\":1}", false},
        {"{\"a\":false}", "{\"a\":null}", false},
        {"{\"a\":null}", "{\"a\":null}", true},
        {"{\"a\":null}", "{\"b\":null}", false},
        {"{\"a\":[1,\"x\",null]}", "{\"a\":\"x\"}", true},
        {"{\"a\":[1,\"x\",null]}", "{\"a\":null}", true},
        {"{\"a\":[1,\"x\",null]}", "{\"a\":[1]}", false},
        {"{\"a\":[]}", "{\"a\":1}", false},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"c\":3,\"a\":1}", true},
        {"{\"a\":1,\"b\":2}", "{\"b\":3,\"c\":3,\"a\":1}", false},
        {"{\"\":1}", "{\"\":1}", true},
        {"{\"\xC3\xA9\":\"\xE2\x82\xAC\"}", "{\"\\u00e9\":\"\\u20AC\"}", true},
        {"{\"a\":\"\xF0\x9F\x98\x80\"}", "{\"a\":\"\\ud83d\\ude00\"}", true},
        {"{\"a\":\"\\\"\\\\/\\b\\f\\n\\r\\t\"}", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", true},
        {"{\"a\":\"x\\\\\"}", "{\"b\":\"\\\\\",\"a\":\"x\\\\\"}", true},
        {"{\"a\":\"b\"}", "{\"a\":\"\\u0062\"}", true},
        {"{\"a\":\"b\"}", "{\"a\":\"\\u0063\"}", false},
        {"{\"a\":1}", "", false},
        {"{\"a\":1}", "[\"a\",1]", false},
        {"{\"a\":1}", "{\"a", false},
        {"{\"a\":1}", "{\"a\"", false},
        {"{\"a\":1}", "{\"a\":", false},
        {"{\"a\":1}", "{\"b\":[1", false},
        {"{\"a\":1}", "{\"b\":\"\\", false},
        {"{\"a\":\"xx\"}", "{\"a\":\"\\ud83d\"}", false},
        {"{\"a\":\"xx\"}", "{\"a\":\"\\u12\"}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (passes(rows[i].filter, rows[i].metadata) != rows[i].passes) {
            fail_msg("row %zu: %s among %s", i, rows[i].filter, rows[i].metadata);
        }
    }
}

/* Beside the JSON library: random objects, written by it in ways of its own, filters of members that are there or not. */
static json_t *random_value(struct random *random, int depth)
{
    static const char *const texts[] = {"",   "a",  "ab",   "\xC3\xA9",         "\"",
                                        "\\", "{}", "a\tb", "\xF0\x9F\x98\x80", "true"};

    switch (random_below(random, depth > 0 ? 8 : 6)) {
    case 0: return json_integer((json_int_t)random_below(random, 3));
    case 1: return json_real((double)random_below(random, 6) * 0.5);
    case 2: return json_boolean(random_below(random, 2));
    case 3: return json_null();
    case 4:
    case 5: return json_string(texts[random_below(random, sizeof texts / sizeof *texts)]);
    default: break;
    }
    json_t *list = json_array();
    for (uint64_t n = random_below(random, 3); n > 0; n--) {
        json_t *one = random_value(random, depth - 1);
        if (random_below(random, 2) == 0) {
            json_t *inside = json_object();
            json_object_set_new(inside, "a", one);
            one = inside;
        }
        json_array_append_new(list, one);
    }
    return list;
}

static bool equal(const json_t *a, const json_t *b)
{
    return json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal(a, b);
}

static bool expected(json_t *filter, json_t *metadata)
{
    const char *name = NULL;
    json_t *wanted = NULL;
    bool all = true;

    json_object_foreach(filter, name, wanted)
    {
        const json_t *value = json_object_get(metadata, name);
        bool one = false;
        for (size_t i = 0; i < json_array_size(wanted); i++) {
            one = one || (value != NULL && equal(json_array_get(wanted, i), value));
        }
        all = all && (json_is_array(wanted) ? one : value != NULL && equal(wanted, value));
    }
    return all;
}

static void test_random(void **state)
{
    static const char *const names[] = {"a", "b", "\xC3\xA9", "a b", "\"", ""};
    struct random random = random_seeded(5, 5);
    int n_passed = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        json_t *metadata = json_object();
        json_t *filter = json_object();
        for (uint64_t n = random_below(&random, 5); n > 0; n--) {
            json_object_set_new(metadata, names[random_below(&random, 6)], random_value(&random, 2));
        }
        for (uint64_t n = random_below(&random, 3); n > 0; n--) {
            json_t *value = random_value(&random, 0);
            if (random_below(&random, 3) == 0) {
                json_t *list = json_array();
                json_array_append_new(list, value);
                json_array_append_new(list, random_value(&random, 0));
                value = list;
            }
            const char *name = names[random_below(&random, 6)];
            const json_t *there = json_object_get(metadata, name);
            if (there != NULL && !json_is_array(there) && random_below(&random, 2) == 0) {
                json_decref(value);
                value = json_deep_copy(there);
            }
            json_object_set_new(filter, name, value);
        }
        const size_t flags[] = {JSON_COMPACT, JSON_INDENT(3), JSON_ENSURE_ASCII, JSON_ESCAPE_SLASH | JSON_SORT_KEYS};
        char *text = json_dumps(metadata, flags[random_below(&random, 4)]);
        char *filter_text = json_dumps(filter, flags[random_below(&random, 4)]);
        bool passed = passes(filter_text, text);
        if (passed != expected(filter, metadata)) {
            fail_msg("row %d: %s among %s passes: %d", i, filter_text, text, passed);
        }
        n_passed += passed && json_object_size(filter) > 0;
        free(text);
        free(filter_text);
        json_decref(metadata);
        json_decref(filter);
    }
    if (n_passed < 900) {
        fail_msg("only %d of the filters let anything pass", n_passed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
