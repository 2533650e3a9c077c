/* Targets, ids and texts of untrusted requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/http/request.h"

/* Writes what was parsed as "v1|subjects?limit=2&name=a b" for comparison. */
static void print(const struct request *request, char *ret, size_t room)
{
    size_t used = 0;
    for (int i = 0; i < request->n_segments; i++) {
        used += (size_t)snprintf(ret + used, room - used, "%s%s", i == 0 ? "" : "|", request->segments[i]);
    }
    for (int i = 0; i < request->n_query; i++) {
        used += (size_t)snprintf(ret + used, room - used, "%c%s=%s", i == 0 ? '?' : '&', request->query[i].name,
                                 request->query[i].value);
    }
    ret[used] = '\0';
}

static void targets_are_split_and_decoded(void **state)
{
    static const struct {
        const char *target;
        enum err err;
        const char *parsed;
    } rows[] = {
        {"/", ERR_NONE, ""},
        {"/v1/enroll", ERR_NONE, "v1|enroll"},
        {"/v1/enroll/", ERR_NONE, "v1|enroll"},
        {"/v1//enroll", ERR_NONE, "v1||enroll"},
        {"/v1/subjects?limit=2&name=a+b%26c", ERR_NONE, "v1|subjects?limit=2&name=a b&c"},
        {"/a%2Fb", ERR_NONE, "a/b"},
        {"/a+b", ERR_NONE, "a+b"},
        {"/x?", ERR_NONE, "x"},
        {"/x?a", ERR_NONE, "x?a="},
        {"/x?&&a=1&", ERR_NONE, "x?a=1"},
        {"/x?a=b=c", ERR_NONE, "x?a=b=c"},
        {"/gr%C3%BC", ERR_NONE, "gr\xc3\xbc"},
        {"", ERR_FORMAT, NULL},
        {"*", ERR_FORMAT, NULL},
        {"http://host/x", ERR_FORMAT, NULL},
        {"/%", ERR_FORMAT, NULL},
        {"/%4", ERR_FORMAT, NULL},
        {"/%zz", ERR_FORMAT, NULL},
        {"/%00", ERR_FORMAT, NULL},
        {"/x?a=%00", ERR_FORMAT, NULL},
        {"/x?a=%FF", ERR_FORMAT, NULL},
        {"/x?%C3=1", ERR_FORMAT, NULL},
        {"/%C0%AF", ERR_FORMAT, NULL},
        {"/%ED%A0%80", ERR_FORMAT, NULL},
        {"/1/2/3/4/5/6/7/8", ERR_NONE, "1|2|3|4|5|6|7|8"},
        {"/1/2/3/4/5/6/7/8/9", ERR_LIMIT, NULL},
    };
    size_t blocks = mem_live_blocks();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena *mem = arena_new((size_t)1 << 20);
        struct request request = {0};
        char text[256];
        enum err err = request_parse_target(rows[i].target, mem, &request, NULL);
        print(&request, text, sizeof(text));
        if (err != rows[i].err || strcmp(text, rows[i].parsed == NULL ? "" : rows[i].parsed) != 0) {
            fail_msg("row %zu: %s, \"%s\"", i, err_word(err), text);
        }
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void parameters_are_bounded(void **state)
{
    char target[2048] = "/x?";
    struct arena *mem = arena_new((size_t)1 << 20);
    struct request request = {0};

    (void)state;
    for (int i = 0; i < REQUEST_MAX_PAIRS; i++) {
        (void)snprintf(target + strlen(target), sizeof(target) - strlen(target), "a%d=1&", i);
    }
    assert_int_equal(request_parse_target(target, mem, &request, NULL), ERR_NONE);
    assert_int_equal(request.n_query, REQUEST_MAX_PAIRS);
    (void)strncat(target, "b=1", sizeof(target) - strlen(target) - 1);
    assert_int_equal(request_parse_target(target, mem, &request, NULL), ERR_LIMIT);
    arena_free(mem);
}

static void ids_are_taken_or_made(void **state)
{
    static const struct {
        const char *sent;
        bool taken;
    } rows[] = {{"abc-1.2_3:4", true},
                {"0123456789012345678901234567890123456789012345678901234567890123", true},
                {"01234567890123456789012345678901234567890123456789012345678901234", false},
                {"", false},
                {NULL, false},
                {"a b", false},
                {"a\"b", false},
                {"a\nb", false},
                {"\xc3\xbc", false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct request request = {0};
        request_set_id(&request, rows[i].sent);
        bool taken = rows[i].sent != NULL && strcmp(request.id, rows[i].sent) == 0;
        if (taken != rows[i].taken || (!taken && !text_is_uuid(request.id))) {
            fail_msg("row %zu: %s", i, request.id);
        }
    }
}

static void methods_and_uuids(void **state)
{
    (void)state;
    assert_int_equal(method_parse("GET"), METHOD_GET);
    assert_int_equal(method_parse("HEAD"), METHOD_GET);
    assert_int_equal(method_parse("DELETE"), METHOD_DELETE);
    assert_int_equal(method_parse("get"), METHOD_OTHER);
    assert_int_equal(method_parse("TRACE"), METHOD_OTHER);
    assert_true(text_is_uuid("01234567-89ab-cdef-0123-456789abcdef"));
    assert_true(text_is_uuid("01234567-89AB-CDEF-0123-456789ABCDEF"));
    assert_false(text_is_uuid("01234567-89ab-cdef-0123-456789abcde"));
    assert_false(text_is_uuid("01234567-89ab-cdef-0123-456789abcdef0"));
    assert_false(text_is_uuid("0123456789abcdef0123456789abcdef"));
    assert_false(text_is_uuid(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_split_and_decoded),
        cmocka_unit_test(parameters_are_bounded),
        cmocka_unit_test(ids_are_taken_or_made),
        cmocka_unit_test(methods_and_uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
