/* The table of calls, and the description made from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "server/daemon/metrics.h"
#include "server/http/openapi.h"
#include "server/http/route.h"

static void requests_find_their_row(void **state)
{
    static const struct {
        enum method method;
        const char *target;
        enum err err;
        const char *pattern; /* or the Allow header */
        const char *argument;
    } rows[] = {
        {METHOD_POST, "/v1/enroll", ERR_NONE, "/v1/enroll", NULL},
        {METHOD_GET, "/v1/enroll", ERR_UNSUPPORTED, "POST", NULL},
        {METHOD_OTHER, "/v1/enroll", ERR_UNSUPPORTED, "POST", NULL},
        {METHOD_GET, "/v1/subjects/x", ERR_NONE, "/v1/subjects/{subject}", "x"},
        {METHOD_PUT, "/v1/subjects/x", ERR_UNSUPPORTED, "GET, HEAD, PATCH, DELETE", NULL},
        {METHOD_GET, "/v1/subjects/x/faces", ERR_NONE, "/v1/subjects/{subject}/faces", "x"},
        {METHOD_GET, "/v1/subjects//faces", ERR_NOT_FOUND, NULL, NULL},
        {METHOD_GET, "/v1/subjects/x/faces/y", ERR_NOT_FOUND, NULL, NULL},
        {METHOD_GET, "/v1/collections/a%2Fb", ERR_NONE, "/v1/collections/{collection}", "a/b"},
        {METHOD_GET, "/", ERR_NOT_FOUND, NULL, NULL},
        {METHOD_GET, "/v1", ERR_NOT_FOUND, NULL, NULL},
        {METHOD_GET, "/v2/info", ERR_NOT_FOUND, NULL, NULL},
        {METHOD_GET, "/healthz", ERR_NONE, "/healthz", NULL},
        {METHOD_POST, "/v1/admin/jobs/7/cancel", ERR_NONE, "/v1/admin/jobs/{job}/cancel", "7"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct arena *mem = arena_new((size_t)1 << 20);
        struct request request = {.method = rows[i].method};
        struct route_match match = {0};
        char allow[64] = "";
        assert_int_equal(request_parse_target(rows[i].target, mem, &request, NULL), ERR_NONE);
        enum err err = route_find(&request, &match, allow, sizeof(allow));
        const char *found = err == ERR_NONE ? match.route->pattern : err == ERR_UNSUPPORTED ? allow : NULL;
        if (err != rows[i].err || (found == NULL) != (rows[i].pattern == NULL) ||
            (found != NULL && strcmp(found, rows[i].pattern) != 0) ||
            (rows[i].argument != NULL && strcmp(match.argument[0], rows[i].argument) != 0)) {
            fail_msg("row %zu: %s, %s", i, err_word(err), found == NULL ? "-" : found);
        }
        arena_free(mem);
    }
}

static void rows_are_sound(void **state)
{
    int count = 0;
    const struct route *routes = route_list(&count);

    (void)state;
    assert_true(count <= METRICS_MAX_ROUTES);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < i; j++) {
            if (routes[i].method == routes[j].method && strcmp(routes[i].pattern, routes[j].pattern) == 0) {
                fail_msg("row %d repeats row %d", i, j);
            }
        }
        for (int j = 0; j < ROUTE_MAX_PARAMS && routes[i].params[j] != NULL; j++) {
            const struct param_def *def = routes[i].params[j];
            if ((def->type == PARAM_CHOICE) != (def->choices != NULL) || def->help == NULL ||
                ((def->type == PARAM_WHOLE || def->type == PARAM_REAL) && def->min >= def->max)) {
                fail_msg("row %d: parameter %s", i, def->name);
            }
        }
        if ((routes[i].flags & ROUTE_OPEN) != 0 && routes[i].scope != 0) {
            fail_msg("row %d is open and asks for a scope", i);
        }
        if (strncmp(routes[i].pattern, "/v1/admin/", 10) == 0 && routes[i].scope == 0) {
            fail_msg("row %d: %s asks for no scope", i, routes[i].pattern);
        }
    }
}

/* Every $ref points to something. */
static void check_references(const json_t *root, const json_t *value)
{
    const char *name = NULL;
    json_t *member = NULL;
    size_t i = 0;

    if (json_is_array(value)) {
        json_array_foreach(value, i, member)
        {
            check_references(root, member);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        if (strcmp(name, "$ref") == 0) {
            const char *at = json_string_value(member) + 2; /* behind "#/" */
            const json_t *target = root;
            while (*at != '\0' && target != NULL) {
                size_t length = strcspn(at, "/");
                char part[64];
                assert_true(length < sizeof(part));
                memcpy(part, at, length);
                part[length] = '\0';
                target = json_object_get(target, part);
                at += length + (at[length] == '/' ? 1 : 0);
            }
            if (target == NULL) {
                fail_msg("%s points nowhere", json_string_value(member));
            }
        }
        check_references(root, member);
    }
}

static void the_description_has_every_call_and_no_other(void **state)
{
    json_t *document = openapi_document("1.2.3");
    int count = 0;
    const struct route *routes = route_list(&count);

    (void)state;
    assert_non_null(document);
    assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(json_object_get(json_object_get(document, "info"), "version")), "1.2.3");
    for (int i = 0; i < count; i++) {
        char method[8] = "";
        for (size_t j = 0; method_text(routes[i].method)[j] != '\0'; j++) {
            method[j] = (char)tolower((unsigned char)method_text(routes[i].method)[j]);
        }
        const json_t *path = json_object_get(json_object_get(document, "paths"), routes[i].pattern);
        if (json_object_get(path, method) == NULL ||
            json_object_get(json_object_get(path, method), "responses") == NULL) {
            fail_msg("%s %s is missing", method, routes[i].pattern);
        }
    }
    size_t described = 0;
    const char *name = NULL;
    json_t *path = NULL;
    json_object_foreach(json_object_get(document, "paths"), name, path)
    {
        described += json_object_size(path);
    }
    assert_int_equal(described, count);
    check_references(document, document);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_find_their_row),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(the_description_has_every_call_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
