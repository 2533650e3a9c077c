/* test_replay_rows.c: answers that are kept with their change, and what becomes of them. */
#include "tests/server/store/fixture.h"

#include "core/base/clock.h"
#include "server/store/face_rows.h"
#include "server/store/merge_rows.h"
#include "server/store/replay_rows.h"
#include "server/store/retention_rows.h"

/* A request, and the answer that it shall be given. */
struct asked {
    struct replay_request request;
    struct replay replay;
    const char *body;
    int64_t also; /* a face of somebody else that the answer tells of; 0: none */
    enum err fails;
    int made;
    int64_t ids[2];
};

static enum err make_enrolled(void *context, const void *result, struct replay_answer *ret)
{
    struct asked *asked = context;
    const struct enrolled *enrolled = result;

    asked->made++;
    asked->ids[0] = enrolled->faces[0].id;
    asked->ids[1] = asked->also;
    *ret = (struct replay_answer){.status = 201,
                                  .location = "",
                                  .body = asked->body,
                                  .n_bytes = strlen(asked->body),
                                  .face_ids = asked->ids,
                                  .n_faces = asked->also == 0 ? 1 : 2};
    return asked->fails;
}

static enum err make_subject(void *context, const void *result, struct replay_answer *ret)
{
    struct asked *asked = context;
    const struct subject_row *row = result;

    *ret = (struct replay_answer){
        .status = 200, .location = "", .body = asked->body, .n_bytes = strlen(asked->body), .subject_id = row->id};
    return ERR_NONE;
}

static enum err make_job(void *context, const void *result, struct replay_answer *ret)
{
    const struct asked *asked = context;
    const struct job_row *job = result;

    assert_int_equal(job->state, JOB_QUEUED);
    assert_true(job->id > 0 && job->created_ms > 0);
    assert_string_equal(job->kind, "kind");
    *ret = (struct replay_answer){
        .status = 202, .location = "/jobs/1", .body = asked->body, .n_bytes = strlen(asked->body)};
    return ERR_NONE;
}

static void asked_init(struct asked *asked, const char *actor, int key, const char *body)
{
    *asked = (struct asked){.request = {.actor = actor, .route = "POST /v1/enroll"}, .body = body};
    memset(asked->request.key_hash, key, sizeof asked->request.key_hash);
    memset(asked->request.asked_hash, 7, sizeof asked->request.asked_hash);
    asked->replay = (struct replay){.request = &asked->request, .make = make_enrolled, .context = asked};
}

static enum err enroll_kept(struct fixture *f, const char *name, int seed, int64_t at_ms, struct asked *asked,
                            struct enrolled *ret, struct err_note *note)
{
    float vector[DIM];

    vector_sample((uint64_t)seed, DIM, vector);
    const struct enroll_face face = {.source = FACE_FROM_EMBEDDING, .embedding = vector};
    const struct enroll what = {.collection_id = f->collection_id,
                                .model_id = f->model_id,
                                .subject_name = name,
                                .faces = &face,
                                .n_faces = 1,
                                .actor = "key1",
                                .at_ms = at_ms,
                                .replay = &asked->replay};
    return store_enroll(f->store, &what, NULL, f->mem, ret, note);
}

static int64_t count_faces(const struct fixture *f)
{
    struct collection_counts counts = {0};

    GOOD(store_collection_count(f->store, f->collection_id, &counts, &note));
    return counts.n_faces;
}

/* Whether the database's files hold a text. */
static bool files_hold(const struct fixture *f, const char *text)
{
    static const char *const ends[] = {"", "-wal"};
    bool holds = false;

    for (int i = 0; i < 2; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", f->path, ends[i]);
        FILE *file = fopen(path, "rb");
        if (file == NULL) {
            continue;
        }
        (void)fseek(file, 0, SEEK_END);
        size_t n = (size_t)ftell(file);
        (void)fseek(file, 0, SEEK_SET);
        char *content = mem_new(n + 1, 1);
        assert_int_equal(fread(content, 1, n, file), n);
        (void)fclose(file);
        holds = holds || memmem(content, n, text, strlen(text)) != NULL;
        mem_free(content);
    }
    return holds;
}

static void test_found_again(void **state)
{
    struct fixture f;
    struct asked asked;
    struct enrolled enrolled;
    struct replay_row row;

    (void)state;
    fixture_open(&f);
    asked_init(&asked, "key1", 1, "{\"the\":\"answer\"}");
    assert_int_equal(store_replay_find(f.store, &asked.request, f.mem, &row, NULL), ERR_NOT_FOUND);
    GOOD(enroll_kept(&f, "ada", 1, 0, &asked, &enrolled, &note));
    GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
    assert_true(row.is_same && !row.erased);
    assert_int_equal(row.status, 201);
    assert_int_equal(row.n_bytes, strlen(asked.body));
    assert_memory_equal(row.body, asked.body, row.n_bytes);
    /* The same key for something else, and of somebody else. */
    struct replay_request other = asked.request;
    other.asked_hash[31]++;
    GOOD(store_replay_find(f.store, &other, f.mem, &row, &note));
    assert_false(row.is_same);
    other = asked.request;
    other.route = "POST /v1/import";
    GOOD(store_replay_find(f.store, &other, f.mem, &row, &note));
    assert_false(row.is_same);
    assert_string_equal(row.route, "POST /v1/enroll");
    other = asked.request;
    other.actor = "key2";
    assert_int_equal(store_replay_find(f.store, &other, f.mem, &row, NULL), ERR_NOT_FOUND);
    other = asked.request;
    other.key_hash[0]++;
    assert_int_equal(store_replay_find(f.store, &other, f.mem, &row, NULL), ERR_NOT_FOUND);
    /* A job's, with where it is. */
    int64_t job = 0;
    asked_init(&asked, "key2", 1, "{\"job\":1}");
    asked.replay.make = make_job;
    GOOD(store_job_add(f.store, "kind", 0, "{}", "key2", &asked.replay, &job, &note));
    GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
    assert_true(row.is_same);
    assert_string_equal(row.location, "/jobs/1");
    fixture_close(&f);
}

/* Change and answer are one: what keeps one of them from the rows keeps the other. */
static void test_both_or_neither(void **state)
{
    struct fixture f;
    struct asked asked;
    struct enrolled enrolled;
    struct replay_row row;

    (void)state;
    fixture_open(&f);
    asked_init(&asked, "key1", 1, "{}");
    asked.fails = ERR_NOMEM;
    assert_int_equal(enroll_kept(&f, "ada", 1, 0, &asked, &enrolled, NULL), ERR_NOMEM);
    assert_int_equal(count_faces(&f), 0);
    assert_int_equal(store_replay_find(f.store, &asked.request, f.mem, &row, NULL), ERR_NOT_FOUND);
    asked.fails = ERR_NONE;
    asked.made = 0;
    FAILS(ERR_MISUSE, enroll_kept(&f, "\n", 1, 0, &asked, &enrolled, &note));
    assert_int_equal(asked.made, 0);
    assert_int_equal(store_replay_find(f.store, &asked.request, f.mem, &row, NULL), ERR_NOT_FOUND);
    GOOD(enroll_kept(&f, "ada", 1, 0, &asked, &enrolled, &note));
    /* Two at the same time: the second is not carried out. */
    FAILS(ERR_BUSY, enroll_kept(&f, "ada", 2, 0, &asked, &enrolled, &note));
    assert_int_equal(count_faces(&f), 1);
    fixture_close(&f);
}

/* Each way in which somebody goes takes the answers along that tell of them, and no others. */
static void test_erased_with_whom_it_tells_of(void **state)
{
    enum {
        FACE,
        SUBJECT,
        AGE,
        OTHERS_FACE,
        MERGED_FACE,
        COLLECTION,
        WAYS
    };
    const int64_t old_ms = clock_unix_ms() - 1000000;

    (void)state;
    for (int way = 0; way < WAYS; way++) {
        struct fixture f;
        struct asked asked;
        struct asked stays;
        struct enrolled enrolled;
        struct enrolled other;
        struct subject_row merged;
        struct receipt receipt;
        struct replay_row row;
        fixture_open(&f);
        asked_init(&stays, "key1", 1, "{\"who\":\"Grace Hopper\"}");
        GOOD(enroll_kept(&f, "grace", 1, 0, &stays, &other, &note));
        asked_init(&asked, "key1", 2, "{\"who\":\"Ada Lovelace\"}");
        asked.also = way == OTHERS_FACE ? other.faces[0].id : 0;
        GOOD(enroll_kept(&f, "ada", 2, old_ms - 1, &asked, &enrolled, &note));
        GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
        assert_false(row.erased);
        assert_true(files_hold(&f, "Ada Lovelace"));
        switch (way) {
        case FACE: GOOD(store_face_delete(f.store, enrolled.faces[0].id, "key1", NULL, f.mem, &receipt, &note)); break;
        case SUBJECT:
            GOOD(store_subject_delete(f.store, enrolled.subject_id, "key1", NULL, f.mem, &receipt, &note));
            break;
        case AGE: GOOD(store_expire(f.store, f.collection_id, old_ms, 10, NULL, f.mem, &receipt, &note)); break;
        case OTHERS_FACE:
            GOOD(store_face_delete(f.store, other.faces[0].id, "key1", NULL, f.mem, &receipt, &note));
            break;
        case MERGED_FACE:
            GOOD(store_subject_merge(f.store, enrolled.subject_id, other.subject_id, "key1", NULL, f.mem, &merged,
                                     &note));
            GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
            assert_false(row.erased);
            GOOD(store_subject_delete(f.store, other.subject_id, "key1", NULL, f.mem, &receipt, &note));
            break;
        default: GOOD(store_collection_delete(f.store, f.collection_id, "key1", NULL, &receipt, &note)); break;
        }
        GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
        if (!row.erased || files_hold(&f, "Ada Lovelace")) {
            fail_msg("way %d: erased %d", way, (int)row.erased);
        }
        GOOD(store_replay_find(f.store, &stays.request, f.mem, &row, &note));
        assert_int_equal(row.erased, way == OTHERS_FACE || way == MERGED_FACE || way == COLLECTION);
        fixture_close(&f);
    }
}

/* A merge's answer tells of a subject, as it has a name and metadata of its own. */
static void test_erased_with_its_subject(void **state)
{
    struct fixture f;
    struct asked asked;
    struct enrolled one;
    struct enrolled two;
    struct subject_row merged;
    struct receipt receipt;
    struct replay_row row;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "one", 1, f.mem, &one, &note));
    GOOD(enroll_sample(&f, "two", 2, f.mem, &two, &note));
    asked_init(&asked, "key1", 1, "{\"who\":\"Ada Lovelace\"}");
    asked.replay.make = make_subject;
    GOOD(store_subject_merge(f.store, one.subject_id, two.subject_id, "key1", &asked.replay, f.mem, &merged, &note));
    assert_int_equal(merged.id, two.subject_id);
    assert_int_equal(merged.n_faces, 2);
    GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
    assert_false(row.erased);
    GOOD(store_subject_delete(f.store, two.subject_id, "key1", NULL, f.mem, &receipt, &note));
    GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
    assert_true(row.erased);
    assert_false(files_hold(&f, "Ada Lovelace"));
    fixture_close(&f);
}

static void test_forgotten_in_time(void **state)
{
    struct fixture f;
    struct asked asked;
    struct enrolled enrolled;
    struct replay_row row;
    int64_t n = -1;

    (void)state;
    fixture_open(&f);
    asked_init(&asked, "key1", 1, "{}");
    int64_t before_ms = clock_unix_ms();
    GOOD(enroll_kept(&f, "ada", 1, 0, &asked, &enrolled, &note));
    GOOD(store_replay_forget(f.store, before_ms, &n, &note));
    assert_int_equal(n, 0);
    GOOD(store_replay_find(f.store, &asked.request, f.mem, &row, &note));
    GOOD(store_replay_forget(f.store, clock_unix_ms() + 1, &n, &note));
    assert_int_equal(n, 1);
    assert_int_equal(store_replay_find(f.store, &asked.request, f.mem, &row, NULL), ERR_NOT_FOUND);
    /* More than go in one change. */
    for (int i = 0; i < 1001; i++) {
        int64_t job = 0;
        asked_init(&asked, "key1", 0, "{}");
        memcpy(asked.request.key_hash, &i, sizeof i);
        asked.replay.make = make_job;
        GOOD(store_job_add(f.store, "kind", 0, "{}", "key1", &asked.replay, &job, &note));
        arena_reset(f.mem);
    }
    GOOD(store_replay_forget(f.store, clock_unix_ms() + 1, &n, &note));
    assert_int_equal(n, 1001);
    assert_int_equal(count_faces(&f), 1); /* what was done stays */
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_again),
        cmocka_unit_test(test_both_or_neither),
        cmocka_unit_test(test_erased_with_whom_it_tells_of),
        cmocka_unit_test(test_erased_with_its_subject),
        cmocka_unit_test(test_forgotten_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
