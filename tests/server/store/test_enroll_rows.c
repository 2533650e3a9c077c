/* test_enroll_rows.c: faces come into the rows whole, or not at all. */
#include "tests/server/store/fixture.h"

static int called;
static void count_call(void *context)
{
    const struct enrolled *enrolled = context;
    assert_true(enrolled->faces[0].id > 0); /* the result is complete by now */
    called++;
}

static void test_enroll(void **state)
{
    struct fixture f;
    struct enrolled first;
    struct enrolled second;
    struct subject_row subject;
    struct face_row face;
    struct stored_image image;
    float vector[DIM];
    float found[DIM];
    float norm = 0;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "李 Ada", 1, f.mem, &first, &note));
    assert_true(first.subject_is_new);
    GOOD(enroll_sample(&f, "李 Ada", 2, f.mem, &second, &note));
    assert_false(second.subject_is_new);
    assert_int_equal(first.subject_id, second.subject_id);
    assert_string_equal(first.subject_uuid, second.subject_uuid);
    GOOD(store_subject_find_uuid(f.store, first.subject_uuid, f.mem, &subject, &note));
    assert_string_equal(subject.name, "李 Ada");
    assert_int_equal(subject.n_faces, 2);
    assert_string_equal(subject.metadata, "{}");

    GOOD(store_face_find_uuid(f.store, first.faces[0].uuid, f.mem, &face, &note));
    assert_int_equal(face.id, first.faces[0].id);
    assert_int_equal(face.subject_id, first.subject_id);
    assert_string_equal(face.subject_name, "李 Ada");
    assert_true(face.box[2] == 3.5F && face.point[4][1] == -10 && face.score == .75F);
    assert_int_equal(face.photo_width_px, 640);
    assert_true(face.has_crop);
    assert_false(face.has_photo);
    GOOD(store_embedding_get(f.store, face.id, f.model_id, found, DIM, &norm, &note));
    vector_sample(1, DIM, vector);
    assert_memory_equal(found, vector, sizeof vector);
    assert_true(norm == 12.5F);
    FAILS(ERR_MISUSE, store_embedding_get(f.store, face.id, f.model_id, found, DIM - 1, NULL, &note));
    FAILS(ERR_NOT_FOUND, store_embedding_get(f.store, 99, f.model_id, found, DIM, NULL, &note));
    GOOD(store_crop_get(f.store, face.id, f.mem, &image, &note));
    assert_memory_equal(image.bytes, "crop 1 of somebody", image.n_bytes);
    FAILS(ERR_NOT_FOUND, store_photo_get(f.store, face.id, f.mem, &image, &note));

    /* Several faces of one kept photo; details of the subject replaced; the callback sees the result. */
    const struct enroll_face two[] = {{.embedding = vector, .norm = 1}, {.embedding = vector}};
    struct enroll what = {.collection_id = f.collection_id,
                          .model_id = f.model_id,
                          .subject_id = first.subject_id,
                          .external_id = "E-1",
                          .metadata = "{\"a\":1}",
                          .faces = two,
                          .n_faces = 2,
                          .photo = {.bytes = "jpeg", .n_bytes = 4},
                          .actor = "key1"};
    struct enrolled both;
    called = 0;
    GOOD(store_enroll(f.store, &what, &(struct after_commit){count_call, &both}, f.mem, &both, &note));
    assert_int_equal(called, 1);
    GOOD(store_photo_get(f.store, both.faces[1].id, f.mem, &image, &note));
    assert_memory_equal(image.bytes, "jpeg", 4);
    GOOD(store_subject_get(f.store, first.subject_id, f.mem, &subject, &note));
    assert_string_equal(subject.external_id, "E-1");
    assert_string_equal(subject.metadata, "{\"a\":1}");
    assert_int_equal(subject.n_faces, 4);

    /* The photo goes with the last face that it shows. */
    struct receipt receipt;
    GOOD(store_face_delete(f.store, both.faces[0].id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_photos, 0);
    assert_int_equal(receipt.n_faces, 1);
    assert_int_equal(receipt.n_crops, 0);
    GOOD(store_face_delete(f.store, both.faces[1].id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_photos, 1);
    fixture_close(&f);
}

static void test_enroll_refuses(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct collection_counts counts;
    float good[DIM];
    float nan_in[DIM];
    float too_long[DIM];
    int64_t before;
    int64_t after;

    (void)state;
    fixture_open(&f);
    vector_sample(1, DIM, good);
    memcpy(nan_in, good, sizeof good);
    nan_in[3] = NAN;
    memcpy(too_long, good, sizeof good);
    too_long[0] += .1F;
    const struct enroll_face ok = {.embedding = good};
    const struct enroll_face has_nan = {.embedding = nan_in};
    const struct enroll_face not_unit = {.embedding = too_long};
    const struct enroll_face mixed[] = {ok, not_unit};
    const struct enroll_face quality = {.embedding = good, .quality = "x"};
    const struct enroll_face norm = {.embedding = good, .norm = -1};
    const struct {
        struct enroll what;
        enum err expected;
    } rows[] = {
        {{.collection_id = 99, .model_id = 1, .subject_name = "a", .faces = &ok, .n_faces = 1}, ERR_NOT_FOUND},
        {{.collection_id = 1, .model_id = 2, .subject_name = "a", .faces = &ok, .n_faces = 1}, ERR_CONFLICT},
        {{.collection_id = 1, .model_id = 1, .subject_name = "", .faces = &ok, .n_faces = 1}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "\xc3", .faces = &ok, .n_faces = 1}, ERR_FORMAT},
        {{.collection_id = 1, .model_id = 1, .subject_id = 99, .faces = &ok, .n_faces = 1}, ERR_NOT_FOUND},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &ok, .n_faces = 0}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &ok, .n_faces = 1025}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &has_nan, .n_faces = 1}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &not_unit, .n_faces = 1}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = mixed, .n_faces = 2}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &quality, .n_faces = 1}, ERR_FORMAT},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .faces = &norm, .n_faces = 1}, ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .metadata = "[]", .faces = &ok, .n_faces = 1},
         ERR_MISUSE},
        {{.collection_id = 1, .model_id = 1, .subject_name = "a", .external_id = "\n", .faces = &ok, .n_faces = 1},
         ERR_MISUSE},
    };
    GOOD(store_audit_verify(f.store, &before, NULL, &note));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note said = {0};
        struct enroll what = rows[i].what;
        what.actor = "key1";
        called = 0;
        enum err err =
            store_enroll(f.store, &what, &(struct after_commit){count_call, &enrolled}, f.mem, &enrolled, &said);
        if (err != rows[i].expected || said.text[0] == '\0' || called != 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    GOOD(store_audit_verify(f.store, &after, NULL, &note));
    assert_int_equal(before, after);
    GOOD(store_collection_count(f.store, f.collection_id, &counts, &note));
    assert_int_equal(counts.n_subjects, 0);
    fixture_close(&f);
}

static void test_memory_fails(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct face_row *faces = NULL;
    struct collection_counts counts;
    int tried = 0;

    (void)state;
    fixture_open(&f);
    for (long n = 0;; n++) {
        struct arena *mem = arena_new((size_t)1 << 20);
        mem_fail_at(n);
        enum err err = enroll_sample(&f, "Ada", 1, mem, &enrolled, NULL);
        if (err == ERR_NONE) {
            err = store_face_get_many(f.store, &enrolled.faces[0].id, 1, mem, &faces, NULL);
        }
        mem_fail_at(-1);
        arena_free(mem);
        if (err == ERR_NONE) {
            break;
        }
        tried++;
        assert_int_equal(err, ERR_NOMEM);
    }
    assert_true(tried >= 2);
    /* A cap instead of an empty heap. */
    struct arena *small = arena_new(1024);
    assert_int_equal(enroll_sample(&f, "Bob", 1, small, &enrolled, NULL), ERR_LIMIT);
    arena_free(small);
    GOOD(store_collection_count(f.store, f.collection_id, &counts, &note));
    assert_int_equal(counts.n_subjects, 1);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enroll),
        cmocka_unit_test(test_enroll_refuses),
        cmocka_unit_test(test_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
