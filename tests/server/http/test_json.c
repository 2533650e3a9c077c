/* JSON from outside: bounds before the parser, refusals after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/http/json.h"

#define DEPTH 32

static void documents_are_read_or_refused(void **state)
{
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"{}", ERR_NONE},
        {" {\"a\": [1, 2.5, \"\\u00fc\", null, true]} ", ERR_NONE},
        {"{\"a\": \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}", ERR_NONE},
        {"{\"a\": \"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}", ERR_NONE},
        {"", ERR_FORMAT},
        {"[]", ERR_FORMAT},
        {"1", ERR_FORMAT},
        {"{", ERR_FORMAT},
        {"{\"a\": 1}x", ERR_FORMAT},
        {"{\"a\": 1, \"a\": 2}", ERR_FORMAT},
        {"{\"a\": NaN}", ERR_FORMAT},
        {"{\"a\": Infinity}", ERR_FORMAT},
        {"{\"a\": 1e999}", ERR_FORMAT},
        {"{\"a\": 99999999999999999999}", ERR_FORMAT},
        {"{\"a\": \"\xff\"}", ERR_FORMAT},
        {"{\"a\": \"\xed\xa0\x80\"}", ERR_FORMAT},
        {"{\"a\": \"\\u0000\"}", ERR_FORMAT},
        {"{\"a\": \"\\ud800\"}", ERR_FORMAT},
        {"{'a': 1}", ERR_FORMAT},
        {"{\"a\": 1,}", ERR_FORMAT},
        {"{\"a\": \"", ERR_FORMAT},
        {"{\"a\": \"\\", ERR_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *document = NULL;
        struct err_note note = {0};
        void *copy = mem_copy(rows[i].text, strlen(rows[i].text));
        enum err err = json_read(copy, strlen(rows[i].text), DEPTH, &document, &note);
        if (err != rows[i].err || (document != NULL) != (err == ERR_NONE) ||
            (note.text[0] != '\0') == (err == ERR_NONE)) {
            fail_msg("row %zu: %s, %s", i, err_word(err), note.text);
        }
        json_decref(document);
        mem_free(copy);
    }
}

static void nesting_is_bounded(void **state)
{
    static char text[200000];

    (void)state;
    for (int depth = DEPTH - 1; depth <= 10000; depth = depth < DEPTH ? depth + 1 : depth * 10) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        json_t *document = NULL;
        enum err err = json_read_array(text, 2 * (size_t)depth, DEPTH, &document, NULL);
        assert_int_equal(err, depth <= DEPTH ? ERR_NONE : ERR_LIMIT);
        json_decref(document);
    }
}

static void values_are_bounded(void **state)
{
    static char text[2 * JSON_MAX_VALUES + 8];

    (void)state;
    for (int extra = -1; extra <= 1; extra++) {
        size_t count = (size_t)(JSON_MAX_VALUES + extra); /* numbers, and the array itself takes one */
        size_t used = 0;
        text[used++] = '[';
        for (size_t i = 0; i < count; i++) {
            text[used++] = '0';
            text[used++] = i + 1 < count ? ',' : ']';
        }
        json_t *document = NULL;
        assert_int_equal(json_read_array(text, used, DEPTH, &document, NULL), extra < 1 ? ERR_NONE : ERR_LIMIT);
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read_or_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(values_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
