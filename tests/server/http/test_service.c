/* Requests in, answers out, without a socket: who may, what is refused, what the answers look like. */
#include "tests/server/http/service_fixture.h"

#include "server/gallery/gallery.h"

struct asked {
    const char *method, *target, *key, *type, *body;
};

/* One request through both steps; the reply's document is returned. */
static json_t *ask(struct service_fixture *s, const struct asked *asked, struct reply *reply)
{
    struct arena *mem = arena_new((size_t)4 << 20);
    struct request request = {.method = method_parse(asked->method),
                              .content_type = asked->type,
                              .api_key = asked->key,
                              .content_length = asked->body == NULL ? -1 : (int64_t)strlen(asked->body),
                              .body = (const unsigned char *)asked->body,
                              .body_bytes = asked->body == NULL ? 0 : strlen(asked->body)};
    struct admission admission;

    *reply = (struct reply){0};
    request_set_id(&request, "test");
    assert_int_equal(request_parse_target(asked->target, mem, &request, NULL), ERR_NONE);
    if (service_admit(s->service, &request, mem, &admission, reply)) {
        bool here = (admission.match.route->flags & ROUTE_INLINE) != 0;
        service_run(s->service, here ? NULL : s->gallery.worker, mem, &request, &admission, reply);
    }
    assert_int_not_equal(reply->status, 0);
    arena_free(mem);
    return json_loadb((const char *)reply->body, reply->body_bytes, 0, NULL);
}

#define JSON_TYPE "application/json"
#define VECTOR "[1,0,0,0,0,0,0,0,0,0,0,0]"

static void rows_get_their_status_and_code(void **state)
{
    static const struct {
        struct asked asked;
        int status;
        const char *code; /* NULL: no problem */
    } rows[] = {
        {{"GET", "/healthz", NULL, NULL, NULL}, 200, NULL},
        {{"GET", "/readyz", NULL, NULL, NULL}, 200, NULL},
        {{"GET", "/openapi.json", NULL, NULL, NULL}, 200, NULL},
        {{"GET", "/v1/info", NULL, NULL, NULL}, 401, "no_key"},
        {{"GET", "/v1/info", "", NULL, NULL}, 401, "no_key"},
        {{"GET", "/v1/info", "wrong-key-wrong-key", NULL, NULL}, 401, "bad_key"},
        {{"GET", "/v1/info", FIXTURE_KEY, NULL, NULL}, 200, NULL},
        {{"POST", "/v1/info", FIXTURE_KEY, NULL, NULL}, 405, "wrong_method"},
        {{"POST", "/v1/info", NULL, NULL, NULL}, 405, "wrong_method"},
        {{"GET", "/v1/nothing", FIXTURE_KEY, NULL, NULL}, 404, "no_route"},
        {{"POST", "/v1/enroll", FIXTURE_KEY, JSON_TYPE, "{\"subject\":\"ada\",\"embedding\":" VECTOR "}"}, 201, NULL},
        {{"POST", "/v1/identify", FIXTURE_KEY, "application/JSON; charset=utf-8", "{\"embedding\":" VECTOR "}"},
         200,
         NULL},
        {{"POST", "/v1/identify", FIXTURE_KEY, JSON_TYPE, "{\"embedding\":[1]}"}, 422, "wrong_dimension"},
        {{"POST", "/v1/identify", FIXTURE_KEY, JSON_TYPE, "{\"embedding\":null}"}, 400, "missing_parameter"},
        {{"POST", "/v1/identify", FIXTURE_KEY, NULL, NULL}, 400, "empty_body"},
        {{"POST", "/v1/identify", FIXTURE_KEY, JSON_TYPE, "[1]"}, 400, "bad_json"},
        {{"POST", "/v1/identify?top_k=2", FIXTURE_KEY, JSON_TYPE, "{\"top_k\":2,\"embedding\":" VECTOR "}"},
         400,
         "bad_parameter"},
        {{"POST", "/v1/identify?embedding=[1]", FIXTURE_KEY, NULL, NULL}, 400, "bad_parameter"},
        {{"POST", "/v1/identify?image=x", FIXTURE_KEY, NULL, NULL}, 400, "bad_parameter"},
        {{"POST", "/v1/identify", FIXTURE_KEY, "image/jpeg", "x"}, 503, "no_model"},
        {{"POST", "/v1/identify?aligned=true", FIXTURE_KEY, "image/jpeg", "not a photo"}, 415, "not_an_image"},
        {{"GET", "/v1/subjects", FIXTURE_KEY, NULL, NULL}, 200, NULL},
        {{"GET", "/v1/subjects?limit=0", FIXTURE_KEY, NULL, NULL}, 400, "bad_parameter"},
        {{"GET", "/v1/subjects?limit=2x", FIXTURE_KEY, NULL, NULL}, 400, "bad_parameter"},
        {{"GET", "/v1/subjects?nonsense=1", FIXTURE_KEY, NULL, NULL}, 400, "unknown_parameter"},
        {{"PUT", "/v1/collections/c", FIXTURE_KEY, JSON_TYPE, "{\"keep\":\"none\"}"}, 201, NULL},
        {{"PUT", "/v1/collections/c", FIXTURE_KEY, JSON_TYPE, "{\"keep\":\"all\"}"}, 400, "bad_parameter"},
        {{"PUT", "/v1/collections/c", FIXTURE_KEY, "text/plain", "keep"}, 415, "unsupported_media_type"},
        {{"PUT", "/v1/collections/c%20d", FIXTURE_KEY, NULL, NULL}, 422, "bad_name"},
        {{"DELETE", "/v1/collections/c", FIXTURE_KEY, NULL, NULL}, 200, NULL},
        {{"DELETE", "/v1/collections/c", FIXTURE_KEY, NULL, NULL}, 404, "no_such_collection"},
        {{"POST", "/v1/admin/keys", FIXTURE_KEY, JSON_TYPE, "{\"name\":\"k\"}"}, 400, "missing_parameter"},
        {{"POST", "/v1/admin/keys", FIXTURE_KEY, JSON_TYPE, "{\"name\":\"k\",\"scopes\":[]}"}, 422, "unusable"},
        {{"GET", "/v1/admin/jobs/x", FIXTURE_KEY, NULL, NULL}, 404, "not_found"},
        {{"POST", "/v1/admin/jobs/1/cancel", FIXTURE_KEY, NULL, NULL}, 404, "not_found"},
        {{"GET", "/v1/admin/audit", FIXTURE_KEY, NULL, NULL}, 200, NULL},
        {{"GET", "/v1/faces/x", FIXTURE_KEY, NULL, NULL}, 404, "no_such_face"},
    };
    struct service_fixture s;

    (void)state;
    service_fixture_open(&s, "--no-auth=false", "30000");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply reply;
        json_t *document = ask(&s, &rows[i].asked, &reply);
        const char *code = json_string_value(json_object_get(document, "code"));
        bool problem = rows[i].code != NULL;
        if (reply.status != rows[i].status || document == NULL ||
            (problem && (code == NULL || strcmp(code, rows[i].code) != 0)) ||
            (problem && strcmp(reply.type, "application/problem+json") != 0) ||
            (problem && strcmp(json_string_value(json_object_get(document, "request_id")), "test") != 0)) {
            fail_msg("row %zu: %d, %.*s", i, reply.status, (int)reply.body_bytes, (const char *)reply.body);
        }
        json_decref(document);
        reply_release(&reply);
    }
    service_fixture_close(&s);
}

/* A key with one scope opens that scope's calls and no other, on every row of the table. */
static void scopes_open_their_calls_and_no_other(void **state)
{
    struct service_fixture s;
    int count = 0;
    const struct route *routes = route_list(&count);

    (void)state;
    service_fixture_open(&s, "--no-auth=false", "30000");
    for (unsigned scope = 1; scope <= SCOPE_ADMIN; scope <<= 1) {
        struct arena *mem = arena_new((size_t)4 << 20);
        const struct key_new what = {.name = "one", .scopes = scope};
        struct key_row row;
        char secret[KEY_SECRET_TEXT];
        assert_int_equal(store_key_add(s.gallery.store, &what, "test", mem, &row, secret, NULL), ERR_NONE);
        for (int i = 0; i < count; i++) {
            struct request request = {.method = routes[i].method, .api_key = secret, .content_length = -1};
            struct reply reply = {0};
            struct admission admission;
            assert_int_equal(request_parse_target(routes[i].pattern, mem, &request, NULL), ERR_NONE);
            bool in = service_admit(s.service, &request, mem, &admission, &reply);
            bool should = routes[i].scope == 0 || routes[i].scope == scope;
            if (in != should || (!in && (reply.status != 403 || strcmp(reply.code, "missing_scope") != 0))) {
                fail_msg("scope %u, %s %s: %d", scope, method_text(routes[i].method), routes[i].pattern, reply.status);
            }
            reply_release(&reply);
        }
        arena_free(mem);
    }
    service_fixture_close(&s);
}

static void stopping_admits_probes_only(void **state)
{
    struct service_fixture s;
    struct reply reply;

    (void)state;
    service_fixture_open(&s, "--no-auth", "30000");
    service_stop_admitting(s.service);
    json_decref(ask(&s, &(struct asked){.method = "GET", .target = "/v1/info"}, &reply));
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.code, "stopping");
    assert_true(reply.close);
    reply_release(&reply);
    json_decref(ask(&s, &(struct asked){.method = "GET", .target = "/readyz"}, &reply));
    assert_int_equal(reply.status, 503);
    reply_release(&reply);
    json_decref(ask(&s, &(struct asked){.method = "GET", .target = "/healthz"}, &reply));
    assert_int_equal(reply.status, 200);
    reply_release(&reply);
    service_fixture_close(&s);
}

static void every_failure_has_a_problem(void **state)
{
    (void)state;
    for (int err = ERR_NOMEM; err <= ERR_FOREIGN; err++) {
        const struct problem *problem = problem_of((enum err)err);
        if (problem->status < 400 || problem->code == NULL || problem->title == NULL || problem->hint == NULL) {
            fail_msg("error %d", err);
        }
    }
    /* The gallery's words and ours are the same. */
    for (int reason = GALLERY_REASON_NONE + 1; reason <= GALLERY_MODEL_PINNED; reason++) {
        const struct problem *problem = problem_of_reason((enum gallery_reason)reason);
        if (problem == NULL || strcmp(problem->code, gallery_reason_word((enum gallery_reason)reason)) != 0) {
            fail_msg("reason %d: %s", reason, gallery_reason_word((enum gallery_reason)reason));
        }
    }
}

static void what_is_inside_stays_inside(void **state)
{
    struct reply reply = {0};

    (void)state;
    reply_problem(&reply, problem_of(ERR_IO), "/var/lib/secret/path: cannot be read", "id");
    assert_null(memmem(reply.body, reply.body_bytes, "secret", 6));
    reply_problem(&reply, problem_of(ERR_CONFLICT), "\xff\xfe", "id");
    json_t *document = json_loadb((const char *)reply.body, reply.body_bytes, 0, NULL);
    assert_non_null(document);
    json_decref(document);
    reply_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_get_their_status_and_code), cmocka_unit_test(scopes_open_their_calls_and_no_other),
        cmocka_unit_test(stopping_admits_probes_only),    cmocka_unit_test(every_failure_has_a_problem),
        cmocka_unit_test(what_is_inside_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
