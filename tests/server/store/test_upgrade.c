/*
 * test_upgrade.c: databases of every earlier schema open, are migrated, and hold what they held (tests/upgrade).
 *
 * With ARCFACED_MAKE_FIXTURE=FILE it writes a database of the present schema with the sample rows instead.
 */
#include "tests/server/store/fixture.h"

static void rows_make(struct fixture *f)
{
    struct enrolled enrolled;
    struct receipt receipt;
    struct key_row key;
    int64_t job;
    static const char photo[] = "a photo";
    float vector[DIM];

    fixture_rows(f, DIM);
    GOOD(enroll_sample(f, "Ada Lovelace", 1, f->mem, &enrolled, &note));
    GOOD(enroll_sample(f, "李小龍", 2, f->mem, &enrolled, &note));
    GOOD(enroll_sample(f, "gone", 3, f->mem, &enrolled, &note));
    GOOD(store_subject_delete(f->store, enrolled.subject_id, "key1", NULL, f->mem, &receipt, &note));
    vector_sample(4, DIM, vector);
    const struct enroll_face face = {.embedding = vector, .norm = 2};
    const struct enroll what = {.collection_id = f->collection_id,
                                .model_id = f->model_id,
                                .subject_name = "Ada Lovelace",
                                .external_id = "E-1",
                                .metadata = "{\"team\":\"engine\"}",
                                .faces = &face,
                                .n_faces = 1,
                                .photo = {.width_px = 1, .height_px = 1, .bytes = photo, .n_bytes = sizeof photo},
                                .actor = "key1"};
    GOOD(store_enroll(f->store, &what, NULL, f->mem, &enrolled, &note));
    const struct key_new new = {.name = "bootstrap", .scopes = SCOPE_ALL};
    GOOD(store_key_give(f->store, &new, "the-key-of-the-fixture", AUDIT_DAEMON, f->mem, &key, &note));
    GOOD(store_job_add(f->store, "maintenance", 0, "{}", "key1", NULL, &job, &note));
}

static void rows_check(struct fixture *f)
{
    struct collection_row collection;
    struct subject_row subject;
    struct face_row *faces;
    struct key_row key;
    struct job_row job;
    struct stored_image image;
    const char *next;
    int count;
    int64_t n_audit;
    float vector[DIM];
    float expected[DIM];

    GOOD(store_check(f->store, &note));
    GOOD(store_checksum_verify(f->store, NULL, NULL, NULL, &note));
    GOOD(store_audit_verify(f->store, &n_audit, NULL, &note));
    assert_int_equal(n_audit, 9);
    GOOD(store_collection_find(f->store, "default", f->mem, &collection, &note));
    assert_string_equal(collection.model, SHA_A);
    GOOD(store_subject_find_name(f->store, collection.id, "李小龍", f->mem, &subject, &note));
    GOOD(store_subject_find_name(f->store, collection.id, "Ada Lovelace", f->mem, &subject, &note));
    assert_string_equal(subject.external_id, "E-1");
    assert_string_equal(subject.metadata, "{\"team\":\"engine\"}");
    GOOD(
        store_face_list(f->store, subject.id, &(struct store_page){.limit = 10}, f->mem, &faces, &count, &next, &note));
    assert_int_equal(count, 2);
    assert_true(faces[0].score == .75F && faces[0].point[4][1] == -10);
    GOOD(store_embedding_get(f->store, faces[0].id, collection.model_id, vector, DIM, NULL, &note));
    vector_sample(1, DIM, expected);
    assert_memory_equal(vector, expected, sizeof vector);
    GOOD(store_crop_get(f->store, faces[0].id, f->mem, &image, &note));
    GOOD(store_photo_get(f->store, faces[1].id, f->mem, &image, &note));
    assert_string_equal((const char *)image.bytes, "a photo");
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f->store, collection.id, "gone", f->mem, &subject, &note));
    GOOD(store_key_check(f->store, "the-key-of-the-fixture", 1, f->mem, &key, &note));
    assert_int_equal(key.scopes, SCOPE_ALL);
    GOOD(store_job_get(f->store, 1, f->mem, &job, &note));
    assert_int_equal(job.state, JOB_QUEUED);
}

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is not there: tests/upgrade/make_fixture makes it", path);
        return NULL;
    }
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    (void)fseek(file, 0, SEEK_SET);
    char *text = mem_new((size_t)size + 1, 1);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    (void)fclose(file);
    return text;
}

static void test_every_schema_opens(void **state)
{
    (void)state;
    for (int schema = 1; schema <= store_schema(); schema++) {
        struct fixture f;
        char path[64];
        fixture_folder(&f);
        (void)snprintf(path, sizeof path, "tests/upgrade/schema_%d.sql", schema);
        char *sql = file_text(path);
        raw_sql(f.path, sql);
        mem_free(sql);
        GOOD(store_open(f.path, NULL, &f.store, &note));
        rows_check(&f);
        /* And it goes on from there: no id is used twice. */
        struct enrolled enrolled;
        f.collection_id = 1;
        f.model_id = 1;
        GOOD(enroll_sample(&f, "new", 9, f.mem, &enrolled, &note));
        assert_int_equal(enrolled.faces[0].id, 5);
        fixture_close(&f);
    }
}

/* Writes the database that make_fixture dumps. */
static void fixture_make(const char *path)
{
    struct fixture f = {.live_blocks = mem_live_blocks()};

    f.mem = arena_new((size_t)1 << 20);
    GOOD(store_open(path, NULL, &f.store, &note));
    rows_make(&f);
    GOOD(store_close(f.store, &note));
    arena_free(f.mem);
}

static void test_make(void **state)
{
    struct fixture f;
    const char *path = getenv("ARCFACED_MAKE_FIXTURE");

    (void)state;
    if (path != NULL) {
        fixture_make(path);
        return;
    }
    /* The sample rows of the present program pass the same check. */
    fixture_folder(&f);
    GOOD(store_open(f.path, NULL, &f.store, &note));
    rows_make(&f);
    rows_check(&f);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_every_schema_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
