/* Multipart bodies, whole and broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/http/multipart.h"

#define TYPE "multipart/form-data; boundary=XX"
#define HEAD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n\r\n"

static const struct {
    const char *type, *body;
    enum err err;
    const char *parts; /* "name=value|" of each */
} rows[] = {
    {TYPE, "--XX\r\n" HEAD("a") "1\r\n--XX--\r\n", ERR_NONE, "a=1|"},
    {TYPE, "--XX\r\n" HEAD("a") "1\r\n--XX\r\n" HEAD("b") "two\r\nlines\r\n--XX--", ERR_NONE, "a=1|b=two\r\nlines|"},
    {TYPE, "--XX\r\n" HEAD("a") "\r\n--XX--\r\n", ERR_NONE, "a=|"},
    {TYPE, "preamble\r\n--XX\r\n" HEAD("a") "1\r\n--XX--\r\nepilogue", ERR_NONE, "a=1|"},
    {TYPE, "--XX--\r\n", ERR_NONE, ""},
    {TYPE, "--XX \t\r\n" HEAD("a") "1\r\n--XX--", ERR_NONE, "a=1|"},
    {TYPE, "--XX\r\n" HEAD("a") "x--XX y\r\n--X\r\n--XX--", ERR_NONE, "a=x--XX y\r\n--X|"},
    {"multipart/form-data; charset=utf-8; Boundary=\"XX\"", "--XX\r\n" HEAD("a") "1\r\n--XX--", ERR_NONE, "a=1|"},
    {TYPE, "--XX\r\ncontent-disposition: form-data; filename=\"; name=x\"; name=a\r\nX: y\r\n\r\n1\r\n--XX--", ERR_NONE,
     "a=1|"},
    {TYPE, "--XX\r\nContent-Type: image/jpeg\r\n" HEAD("a") "1\r\n--XX--", ERR_NONE, "a=1|"},
    {"multipart/form-data", "--XX--", ERR_FORMAT, NULL},
    {"multipart/form-data; boundary=", "--XX--", ERR_FORMAT, NULL},
    {"multipart/form-data; boundary=\"XX", "--XX--", ERR_FORMAT, NULL},
    {"multipart/form-data; boundary=01234567890123456789012345678901234567890123456789012345678901234567890", "--XX--",
     ERR_FORMAT, NULL},
    {TYPE, "", ERR_FORMAT, NULL},
    {TYPE, "--X", ERR_FORMAT, NULL},
    {TYPE, "--XX", ERR_FORMAT, NULL},
    {TYPE, "--XXYY\r\n" HEAD("a") "1\r\n--XX--", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n" HEAD("a"), ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n" HEAD("a") "1", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n" HEAD("a") "1\r\n--XX", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n" HEAD("") "1\r\n--XX--", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n" HEAD("\xff") "1\r\n--XX--", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\n\r\n1\r\n--XX--", ERR_FORMAT, NULL},
    {TYPE, "--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--XX--", ERR_FORMAT, NULL},
};

static void bodies_are_split_or_refused(void **state)
{
    size_t blocks = mem_live_blocks();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena *mem = arena_new((size_t)1 << 20);
        struct part parts[MULTIPART_MAX_PARTS];
        char text[256] = "";
        int count = 0;
        struct err_note note = {0};
        /* On the heap without a byte behind it, so that a read too far is seen. */
        size_t n_bytes = strlen(rows[i].body);
        void *body = mem_copy(rows[i].body, n_bytes);
        enum err err = multipart_parse(rows[i].type, body, n_bytes, mem, parts, &count, &note);
        for (int j = 0; j < count; j++) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof(text) - used, "%s=%.*s|", parts[j].name, (int)parts[j].n_bytes,
                           (const char *)parts[j].bytes);
        }
        if (err != rows[i].err || (err == ERR_NONE && strcmp(text, rows[i].parts) != 0)) {
            fail_msg("row %zu: %s, \"%s\", %s", i, err_word(err), text, note.text);
        }
        mem_free(body);
        arena_free(mem);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Every good body, cut after every byte, is an error and never more than the parts that were whole. */
static void every_cut_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t cut = 0; cut < strlen(rows[i].body); cut++) {
            struct arena *mem = arena_new((size_t)1 << 20);
            struct part parts[MULTIPART_MAX_PARTS];
            int count = 0;
            void *body = mem_copy(rows[i].body, cut);
            enum err err = multipart_parse(rows[i].type, body, cut, mem, parts, &count, NULL);
            if (err == ERR_NONE && rows[i].err != ERR_NONE) {
                fail_msg("row %zu cut at %zu is taken", i, cut);
            }
            mem_free(body);
            arena_free(mem);
        }
    }
}

static void parts_are_counted(void **state)
{
    static char body[64 * 128];
    struct part parts[MULTIPART_MAX_PARTS];
    int count = 0;

    (void)state;
    for (int n = MULTIPART_MAX_PARTS; n <= MULTIPART_MAX_PARTS + 1; n++) {
        size_t used = 0;
        for (int i = 0; i < n; i++) {
            used +=
                (size_t)snprintf(body + used, sizeof(body) - used, "%s--XX\r\n" HEAD("a") "1", i == 0 ? "" : "\r\n");
        }
        used += (size_t)snprintf(body + used, sizeof(body) - used, "\r\n--XX--");
        struct arena *mem = arena_new((size_t)1 << 20);
        enum err err = multipart_parse(TYPE, body, used, mem, parts, &count, NULL);
        assert_int_equal(err, n == MULTIPART_MAX_PARTS ? ERR_NONE : ERR_LIMIT);
        arena_free(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_split_or_refused),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(parts_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
