/* test_once.c: requests that carry an Idempotency-Key: which routes heed it, who waits for whom, what is sent again. */
#include "tests/server/http/service_fixture.h"

#include "server/http/once.h"

#define VECTOR "[1,0,0,0,0,0,0,0,0,0,0,0]"
#define ENROLL "{\"subject\":\"ada\",\"embedding\":" VECTOR "}"

/* One request through both steps; the fail_at-th allocation of the second fails, -1: none. */
static void ask_failing(struct service_fixture *s, const char *target, const char *key, const char *body, long fail_at,
                        struct reply *reply)
{
    struct arena *mem = arena_new((size_t)4 << 20);
    struct request request = {.method = METHOD_POST,
                              .content_type = "application/json",
                              .api_key = FIXTURE_KEY,
                              .idempotency_key = key,
                              .content_length = (int64_t)strlen(body),
                              .body = (const unsigned char *)body,
                              .body_bytes = strlen(body)};
    struct admission admission;

    *reply = (struct reply){0};
    request_set_id(&request, "test");
    assert_int_equal(request_parse_target(target, mem, &request, NULL), ERR_NONE);
    if (service_admit(s->service, &request, mem, &admission, reply)) {
        mem_fail_at(fail_at);
        service_run(s->service, s->gallery.worker, mem, &request, &admission, reply);
        mem_fail_at(-1);
    }
    arena_free(mem);
}

static void ask(struct service_fixture *s, const char *target, const char *key, const char *body, struct reply *reply)
{
    ask_failing(s, target, key, body, -1, reply);
}

/* A POST that changes something keeps its answers; the others are known by name, so that a new one is thought about. */
static void test_every_post_is_one_or_the_other(void **state)
{
    static const char *const looks[] = {"/v1/verify", "/v1/identify", "/v1/detect", "/v1/embed"};
    int count = 0;
    int n_looks = 0;
    int n_keeps = 0;
    const struct route *routes = route_list(&count);

    (void)state;
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof looks / sizeof looks[0]; k++) {
            known = known || strcmp(routes[i].pattern, looks[k]) == 0;
        }
        bool is_look = (routes[i].flags & ROUTE_LOOKS) != 0;
        bool is_secret = (routes[i].flags & ROUTE_SECRET) != 0;
        if (is_look != known ||
            is_secret != (routes[i].method == METHOD_POST && strcmp(routes[i].pattern, "/v1/admin/keys") == 0) ||
            ((is_look || is_secret) && routes[i].method != METHOD_POST) ||
            route_keeps(&routes[i]) != (routes[i].method == METHOD_POST && !is_look && !is_secret) ||
            (route_keeps(&routes[i]) && (routes[i].flags & ROUTE_INLINE) != 0)) {
            fail_msg("%s %s", method_text(routes[i].method), routes[i].pattern);
        }
        n_looks += is_look;
        n_keeps += route_keeps(&routes[i]);
    }
    assert_int_equal(n_looks, 4);
    assert_int_equal(n_keeps, 13);
}

static void test_who_waits_for_whom(void **state)
{
    struct service_fixture s;
    struct admission admission;
    struct once once[4];
    struct call call[4];
    struct reply reply[4] = {{0}};
    const struct {
        const char *key, *actor;
        bool begins;
    } rows[] = {{"a", "key1", true}, {"a", "key1", false}, {"b", "key1", true}, {"a", "key2", true}};
    struct request requests[4];
    struct caller callers[4];

    (void)state;
    service_fixture_open(&s, "--no-auth", "30000");
    struct arena *mem = arena_new((size_t)4 << 20);
    for (int i = 0; i < 4; i++) {
        requests[i] = (struct request){.method = METHOD_POST, .idempotency_key = rows[i].key, .content_length = -1};
        callers[i] = (struct caller){0};
        (void)snprintf(callers[i].key.id, sizeof callers[i].key.id, "%s", rows[i].actor);
        assert_int_equal(request_parse_target("/v1/enroll", mem, &requests[i], NULL), ERR_NONE);
        assert_true(service_admit(s.service, &requests[i], mem, &admission, &reply[i]));
        call[i] = (struct call){.service = s.service,
                                .config = &s.config,
                                .store = s.gallery.store,
                                .mem = mem,
                                .request = &requests[i],
                                .route = admission.match.route,
                                .route_number = admission.match.number,
                                .caller = &callers[i],
                                .reply = &reply[i]};
        if (once_begin(&once[i], &call[i]) != rows[i].begins) {
            fail_msg("row %d", i);
        }
    }
    assert_int_equal(reply[1].status, 409);
    assert_string_equal(reply[1].code, "idempotency_key_under_way");
    assert_int_equal(reply[1].retry_after_s, 1);
    assert_null(call[1].once);
    once_end(&once[0]); /* unanswered: nothing was kept, so the same may begin again */
    assert_true(once_begin(&once[1], &call[1]));
    for (int i = 1; i < 4; i++) {
        once_end(&once[i]);
    }
    for (int i = 0; i < 4; i++) {
        reply_release(&reply[i]);
    }
    arena_free(mem);
    service_fixture_close(&s);
}

static void test_sent_again(void **state)
{
    static const struct {
        const char *target, *key, *body;
        int status;
        const char *code; /* of a problem; "again": the first answer; NULL: another good one */
    } rows[] = {
        {"/v1/enroll", "k", ENROLL, 201, "again"},
        {"/v1/enroll/", "k", "{ \"embedding\": " VECTOR ", \"subject\": \"ada\" }", 201, "again"},
        {"/v1/enroll?subject=ada", "k", "{\"embedding\":" VECTOR "}", 201, "again"},
        {"/v1/enroll?collection=default", "k", ENROLL, 422, "idempotency_key_reused"},
        {"/v1/enroll", "k", "{\"subject\":\"eve\",\"embedding\":" VECTOR "}", 422, "idempotency_key_reused"},
        {"/v1/enroll", "k", "{\"subject\":\"ada\",\"embedding\":[0,1,0,0,0,0,0,0,0,0,0,0]}", 422,
         "idempotency_key_reused"},
        {"/v1/admin/backup", "k", "", 422, "idempotency_key_reused"},
        {"/v1/enroll", "k", "{\"subject\":", 400, "bad_json"},
        {"/v1/enroll", "", ENROLL, 400, "bad_idempotency_key"},
        {"/v1/enroll", "a\x7f", ENROLL, 400, "bad_idempotency_key"},
        {"/v1/enroll", "\xff", ENROLL, 400, "bad_idempotency_key"},
        {"/v1/admin/keys", "k", "{\"name\":\"k\",\"scopes\":[\"identify\"]}", 422, "idempotency_key_refused"},
        {"/v1/identify", "k", "{\"embedding\":" VECTOR "}", 200, NULL},
        {"/v1/identify", "", "{\"embedding\":" VECTOR "}", 200, NULL},
        {"/v1/enroll", NULL, ENROLL, 201, NULL},
        {"/v1/enroll", "other", ENROLL, 201, NULL},
    };
    struct service_fixture s;
    struct reply first;

    (void)state;
    service_fixture_open(&s, "--no-auth=false", "30000");
    ask(&s, "/v1/enroll", "k", ENROLL, &first);
    assert_int_equal(first.status, 201);
    assert_false(first.replayed);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct reply reply;
        ask(&s, rows[i].target, rows[i].key, rows[i].body, &reply);
        bool again = rows[i].code != NULL && strcmp(rows[i].code, "again") == 0;
        bool same = reply.body_bytes == first.body_bytes && memcmp(reply.body, first.body, first.body_bytes) == 0;
        if (reply.status != rows[i].status || reply.replayed != again || same != again ||
            (!again && rows[i].code != NULL && (reply.code == NULL || strcmp(reply.code, rows[i].code) != 0))) {
            fail_msg("row %zu: %d, %.*s", i, reply.status, (int)reply.body_bytes, (const char *)reply.body);
        }
        reply_release(&reply);
    }
    reply_release(&first);
    service_fixture_close(&s);
}

static int64_t count_faces(const struct service_fixture *s)
{
    struct collection_counts counts = {0};

    assert_int_equal(store_collection_count(s->gallery.store, 1, &counts, NULL), ERR_NONE);
    return counts.n_faces;
}

/* Wherever memory ends, the request was carried out and its answer is kept, or neither: sent again, it is done once. */
static void test_without_memory(void **state)
{
    struct service_fixture s;
    struct reply reply;
    int n_refused = 0;
    int n_whole = 0;

    (void)state;
    service_fixture_open(&s, "--no-auth=false", "30000");
    ask(&s, "/v1/enroll", NULL, ENROLL, &reply); /* what is made once is there */
    reply_release(&reply);
    for (long at = 0; n_whole < 10; at++) { /* some failures are borne; ten in a row are none any more */
        char key[32];
        struct reply again;
        int64_t before = count_faces(&s);
        (void)snprintf(key, sizeof key, "fail-%ld", at);
        ask_failing(&s, "/v1/enroll", key, ENROLL, at, &reply);
        n_whole = reply.status == 201 ? n_whole + 1 : 0;
        n_refused += reply.status != 201;
        bool done = count_faces(&s) == before + 1;
        ask(&s, "/v1/enroll", key, ENROLL, &again);
        if (again.status != 201 || again.replayed != done || count_faces(&s) != before + 1 ||
            (reply.status == 201 && !done)) {
            fail_msg("allocation %ld: %d, then %d", at, reply.status, again.status);
        }
        reply_release(&reply);
        reply_release(&again);
    }
    assert_true(n_refused > 2);
    service_fixture_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_post_is_one_or_the_other),
        cmocka_unit_test(test_who_waits_for_whom),
        cmocka_unit_test(test_sent_again),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
