/* test_rows.c: what each kind of row promises, at its edges. */
#include "tests/server/store/fixture.h"

static void test_models(void **state)
{
    struct fixture f;
    struct model_row row;
    struct model_row again;

    (void)state;
    fixture_open(&f);
    GOOD(store_model_find(f.store, SHA_A, f.mem, &row, &note));
    assert_int_equal(row.id, f.model_id);
    assert_string_equal(row.preprocess, "{\"color\":\"rgb\"}");
    assert_null(row.calibration);
    assert_int_equal(row.dim, DIM);
    /* The same version again is the same row, untouched. */
    struct model_row other = model_sample(SHA_A, 99);
    GOOD(store_model_add(f.store, &other, "key1", f.mem, &again, &note));
    assert_int_equal(again.id, row.id);
    assert_int_equal(again.dim, DIM);

    const struct {
        struct model_row row;
        enum err expected;
    } bad[] = {{model_sample("Abcdefaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1), ERR_MISUSE},
               {model_sample(SHA_B, 0), ERR_MISUSE}};
    for (size_t i = 0; i < 2; i++) {
        FAILS(bad[i].expected, store_model_add(f.store, &bad[i].row, "key1", f.mem, &row, &note));
    }
    other = model_sample(SHA_B, 8);
    other.parent_id = 77;
    FAILS(ERR_NOT_FOUND, store_model_add(f.store, &other, "key1", f.mem, &row, &note));
    other.parent_id = f.model_id;
    other.flip = true;
    other.state = MODEL_CANDIDATE;
    other.report = "{\"rank1\":0.9}";
    GOOD(store_model_add(f.store, &other, "key1", f.mem, &row, &note));
    assert_int_equal(row.parent_id, f.model_id);
    assert_true(row.flip);
    assert_int_equal(row.state, MODEL_CANDIDATE);
    assert_string_equal(row.report, "{\"rank1\":0.9}");

    int64_t before;
    int64_t after;
    GOOD(store_model_calibrate(f.store, row.id, "{\"a\":1}", "key1", &note));
    GOOD(store_audit_verify(f.store, &before, NULL, &note));
    GOOD(store_model_calibrate(f.store, row.id, "{\"a\":1}", "key1", &note));
    GOOD(store_audit_verify(f.store, &after, NULL, &note));
    assert_int_equal(before, after);
    GOOD(store_model_get(f.store, row.id, f.mem, &row, &note));
    assert_string_equal(row.calibration, "{\"a\":1}");
    GOOD(store_model_calibrate(f.store, row.id, NULL, "key1", &note));
    GOOD(store_model_get(f.store, row.id, f.mem, &row, &note));
    assert_null(row.calibration);
    FAILS(ERR_NOT_FOUND, store_model_calibrate(f.store, 99, "{}", "key1", &note));
    FAILS(ERR_NOT_FOUND, store_model_get(f.store, 99, f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_model_find(f.store, "nothing", f.mem, &row, &note));

    struct model_row *rows;
    const char *next;
    int count;
    GOOD(store_model_list(f.store, &(struct store_page){.limit = 1}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 1);
    GOOD(
        store_model_list(f.store, &(struct store_page){.limit = 1, .token = next}, f.mem, &rows, &count, &next, &note));
    assert_string_equal(rows[0].version, SHA_B);
    assert_null(next);
    fixture_close(&f);
}

static void never(void *context)
{
    (void)context;
    fail_msg("nothing follows a switch that was not made");
}

static void test_collections(void **state)
{
    struct fixture f;
    enum switch_outcome outcome;
    struct missing_counts missing;
    struct past_model *history;
    int64_t n_forgotten;
    int n_history;
    float vector[DIM];
    struct collection_row row;
    struct collection_counts counts;
    struct enrolled enrolled;
    struct receipt receipt;

    (void)state;
    fixture_open(&f);
    struct model_row detector = model_sample(SHA_B, 0);
    detector.role = MODEL_DETECTOR;
    GOOD(store_model_add(f.store, &detector, "key1", f.mem, &detector, &note));
    const struct {
        struct collection_new new;
        enum err expected;
    } bad[] = {
        {{.name = "default", .model_id = 1, .keep = KEEP_CROP}, ERR_EXISTS},
        {{.name = "", .model_id = 1}, ERR_MISUSE},
        {{.name = "\xff", .model_id = 1}, ERR_FORMAT},
        {{.name = "x", .model_id = 99}, ERR_NOT_FOUND},
        {{.name = "x", .model_id = 2}, ERR_CONFLICT},
        {{.name = "x", .model_id = 1, .settings = "[]"}, ERR_MISUSE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err_note said = {0};
        enum err err = store_collection_add(f.store, &bad[i].new, "key1", f.mem, &row, &said);
        if (err != bad[i].expected || said.text[0] == '\0') {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    GOOD(store_collection_find(f.store, "default", f.mem, &row, &note));
    assert_string_equal(row.model, SHA_A);
    assert_string_equal(row.settings, "{}");
    assert_int_equal(row.keep, KEEP_CROP);
    GOOD(store_collection_change(f.store, row.id, KEEP_NONE, "{\"threshold\":0.5}", "key1", &note));
    GOOD(store_collection_get(f.store, row.id, f.mem, &row, &note));
    assert_int_equal(row.keep, KEEP_NONE);
    assert_string_equal(row.settings, "{\"threshold\":0.5}");
    FAILS(ERR_NOT_FOUND, store_collection_change(f.store, 99, KEEP_NONE, "{}", "key1", &note));
    FAILS(ERR_NOT_FOUND, store_collection_find(f.store, "Default", f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_collection_count(f.store, 99, &counts, &note));

    /* Another model: only when no face lacks its embedding. */
    struct model_row newer = model_sample("cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc", DIM);
    GOOD(store_model_add(f.store, &newer, "key1", f.mem, &newer, &note));
    GOOD(store_collection_get(f.store, f.collection_id, f.mem, &row, &note));
    struct model_switch over = {.collection_id = f.collection_id,
                                .from_model_id = row.model_id,
                                .to_model_id = detector.id,
                                .from_settings = row.settings,
                                .settings = "{\"margin\":0.5}",
                                .actor = "key1"};
    FAILS(ERR_CONFLICT, store_collection_switch(f.store, &over, NULL, &outcome, &note));
    over.to_model_id = newer.id;
    over.collection_id = 99;
    FAILS(ERR_NOT_FOUND, store_collection_switch(f.store, &over, NULL, &outcome, &note));
    over.collection_id = f.collection_id;
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
    GOOD(store_collection_switch(f.store, &over, &(struct after_commit){never, NULL}, &outcome, &note));
    assert_int_equal(outcome, SWITCH_MISSING);
    over.from_settings = "{\"margin\":1}";
    GOOD(store_collection_switch(f.store, &over, &(struct after_commit){never, NULL}, &outcome, &note));
    assert_int_equal(outcome, SWITCH_MOVED);
    over.from_settings = row.settings;
    vector_sample(7, DIM, vector);
    const struct embedding_new rows[] = {{.face_id = enrolled.faces[0].id, .vector = vector, .norm = 3},
                                         {.face_id = 4711, .vector = vector}}; /* the second is gone */
    GOOD(store_embedding_add(f.store, newer.id, rows, 2, &note));
    GOOD(store_embedding_add(f.store, newer.id, rows, 2, &note)); /* again: nothing */
    GOOD(store_missing_count(f.store, f.collection_id, newer.id, 112, &missing, &note));
    assert_true(missing.n_faces == 1 && missing.n_missing == 0);
    GOOD(store_missing_count(f.store, f.collection_id, detector.id, 56, &missing, &note));
    assert_true(missing.n_missing == 1 && missing.n_without_crop == 0 && missing.n_other_side == 1);
    GOOD(store_collection_switch(f.store, &over, NULL, &outcome, &note));
    assert_int_equal(outcome, SWITCH_DONE);
    GOOD(store_collection_history(f.store, f.collection_id, 10, f.mem, &history, &n_history, &note));
    assert_int_equal(n_history, 2);
    assert_int_equal(history[0].model_id, newer.id);
    assert_null(history[0].settings);
    assert_string_equal(history[1].settings, row.settings);
    GOOD(store_collection_forget_models(f.store, f.collection_id, 2, "key1", &n_forgotten, &note));
    assert_int_equal(n_forgotten, 0);
    GOOD(store_collection_forget_models(f.store, f.collection_id, 1, "key1", &n_forgotten, &note));
    assert_int_equal(n_forgotten, 1); /* the first model's */
    GOOD(store_face_delete(f.store, enrolled.faces[0].id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_embeddings, 1);
    GOOD(store_collection_get(f.store, f.collection_id, f.mem, &row, &note));
    assert_int_equal(row.model_id, newer.id);
    FAILS(ERR_CONFLICT, enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note)); /* the pair has changed */

    f.model_id = newer.id;
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
    GOOD(enroll_sample(&f, "Bob", 2, f.mem, &enrolled, &note));
    GOOD(store_collection_count(f.store, f.collection_id, &counts, &note));
    assert_int_equal(counts.n_subjects, 2);
    assert_int_equal(counts.n_faces, 2);
    GOOD(store_collection_delete(f.store, f.collection_id, "key1", NULL, &receipt, &note));
    assert_int_equal(receipt.n_subjects, 2);
    assert_int_equal(receipt.n_faces, 2);
    assert_int_equal(receipt.n_embeddings, 2);
    assert_int_equal(receipt.n_crops, 2);
    assert_null(receipt.face_ids);
    FAILS(ERR_NOT_FOUND, store_collection_delete(f.store, f.collection_id, "key1", NULL, &receipt, &note));
    /* Ids are never used twice. */
    const struct collection_new new = {.name = "default", .model_id = newer.id};
    GOOD(store_collection_add(f.store, &new, "key1", f.mem, &row, &note));
    assert_true(row.id > f.collection_id);
    fixture_close(&f);
}

static enum err count_visit(void *context, int64_t face_id, const float *vector, int dim)
{
    (void)face_id;
    (void)vector;
    *(int *)context += dim == DIM;
    return ERR_NONE;
}

static enum err count_labelled(void *context, int64_t face_id, int64_t subject_id, const float *vector, int dim)
{
    (void)face_id;
    (void)vector;
    *(int *)context += dim == DIM && subject_id > 0;
    return ERR_NONE;
}

static void test_findings_and_faces_aside(void **state)
{
    struct fixture f;
    struct enrolled ada, bob;
    struct finding_row *rows;
    struct face_row face;
    struct aside aside;
    struct embedding_counts counts;
    const char *next;
    int64_t job;
    int count;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &ada, &note));
    GOOD(enroll_sample(&f, "Bob", 2, f.mem, &bob, &note));
    GOOD(store_job_add(f.store, "purify", f.collection_id, "{}", "key1", &job, &note));
    const struct finding_new found[] = {{ada.faces[0].id, ada.subject_id, 80, bob.subject_id, 20},
                                        {bob.faces[0].id, ada.subject_id, 90, 0, 0}, /* no longer hers */
                                        {4711, ada.subject_id, 90, 0, 0}};
    FAILS(ERR_NOT_FOUND, store_findings_put(f.store, 99, found, 1, &note));
    GOOD(store_findings_put(f.store, job, found, 3, &note));
    GOOD(store_findings_put(f.store, job, found, 3, &note)); /* again: they are replaced */
    GOOD(store_finding_list(f.store, job, &(struct store_page){.limit = 10}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 1);
    assert_string_equal(rows[0].face_uuid, ada.faces[0].uuid);
    assert_string_equal(rows[0].subject_name, "Ada");
    assert_string_equal(rows[0].likely_name, "Bob");
    assert_true(rows[0].degrees == 80 && !rows[0].set_aside);

    FAILS(ERR_NOT_FOUND, store_set_aside(f.store, 99, "key1", NULL, f.mem, &aside, &note));
    GOOD(store_set_aside(f.store, job, "key1", NULL, f.mem, &aside, &note));
    assert_true(aside.n_faces == 1 && aside.face_ids[0] == ada.faces[0].id && aside.collection_id == f.collection_id);
    GOOD(store_face_get(f.store, ada.faces[0].id, f.mem, &face, &note));
    assert_true(face.set_aside);
    int seen = 0;
    GOOD(store_embedding_each(f.store, f.collection_id, f.model_id, 0, count_visit, &seen, &note));
    assert_int_equal(seen, 1);
    GOOD(store_embedding_count(f.store, f.collection_id, f.model_id, &counts, &note));
    assert_int_equal(counts.n_there, 2); /* it keeps its embedding */
    GOOD(store_set_aside(f.store, job, "key1", NULL, f.mem, &aside, &note));
    assert_int_equal(aside.n_faces, 0);
    GOOD(store_bring_back(f.store, job, "key1", NULL, f.mem, &aside, &note));
    assert_true(aside.n_faces == 1 && aside.face_ids[0] == ada.faces[0].id);
    seen = 0;
    GOOD(store_labelled_each(f.store, f.collection_id, f.model_id, count_labelled, &seen, &note));
    assert_int_equal(seen, 2);
    fixture_close(&f);
}

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

static void test_subjects(void **state)
{
    struct fixture f;
    struct enrolled ada;
    struct enrolled bob;
    struct subject_row row;
    struct receipt receipt;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada", 1, f.mem, &ada, &note));
    GOOD(enroll_sample(&f, "Bob", 2, f.mem, &bob, &note));
    const struct {
        int64_t id;
        struct subject_change change;
        enum err expected;
    } rows[] = {{ada.subject_id, {.name = "Bob"}, ERR_EXISTS},
                {ada.subject_id, {.name = "bob"}, ERR_NONE},
                {99, {.name = "x"}, ERR_NOT_FOUND},
                {ada.subject_id, {.name = ""}, ERR_MISUSE},
                {ada.subject_id, {.metadata = "1"}, ERR_MISUSE},
                {ada.subject_id, {.external_id = "X7"}, ERR_NONE},
                {ada.subject_id, {.metadata = "{}"}, ERR_NONE},
                {ada.subject_id, {.name = "Zoë"}, ERR_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note said = {0};
        enum err err = store_subject_change(f.store, rows[i].id, &rows[i].change, "key1", &said);
        if (err != rows[i].expected || (err != ERR_NONE && said.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    GOOD(store_subject_find_name(f.store, f.collection_id, "Zoë", f.mem, &row, &note));
    assert_string_equal(row.external_id, "X7");
    GOOD(store_subject_change(f.store, ada.subject_id, &(struct subject_change){.external_id = ""}, "key1", &note));
    GOOD(store_subject_get(f.store, ada.subject_id, f.mem, &row, &note));
    assert_null(row.external_id);
    /* A name is not an id and an id is not a name. */
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f.store, f.collection_id, ada.subject_uuid, f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_subject_find_uuid(f.store, "Zoë", f.mem, &row, &note));
    FAILS(ERR_NOT_FOUND, store_subject_find_name(f.store, 99, "Zoë", f.mem, &row, &note));

    GOOD(store_subject_delete(f.store, ada.subject_id, "key1", NULL, f.mem, &receipt, &note));
    assert_int_equal(receipt.n_subjects, 1);
    assert_int_equal(receipt.n_faces, 1);
    assert_int_equal(receipt.face_ids[0], ada.faces[0].id);
    assert_int_equal(strlen(receipt.audit_hash), 64);
    FAILS(ERR_NOT_FOUND, store_subject_delete(f.store, ada.subject_id, "key1", NULL, f.mem, &receipt, &note));
    struct face_row *faces;
    const int64_t ids[] = {bob.faces[0].id, ada.faces[0].id, 12345};
    GOOD(store_face_get_many(f.store, ids, 3, f.mem, &faces, &note));
    assert_string_equal(faces[0].subject_name, "Bob");
    assert_int_equal(faces[1].id, 0);
    assert_int_equal(faces[2].id, 0);
    fixture_close(&f);
}

/* A thousand subjects, by pages of 37, while others are added and deleted: each that stays is seen once. */
static void test_pages(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct receipt receipt;
    char name[32];
    static int seen[1200];
    const char *token = NULL;
    int n_seen = 0;
    int n_added = 1000;

    (void)state;
    fixture_open(&f);
    memset(seen, 0, sizeof seen);
    struct arena *mem = arena_new((size_t)8 << 20);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        GOOD(enroll_sample(&f, name, (uint64_t)i, mem, &enrolled, &note));
        arena_reset(mem);
    }
    for (int page = 0;; page++) {
        struct subject_row *rows;
        int count;
        const char *next;
        GOOD(store_subject_list(f.store, f.collection_id, &(struct store_page){.limit = 37, .token = token}, f.mem,
                                &rows, &count, &next, &note));
        for (int i = 0; i < count; i++) {
            seen[atoi(rows[i].name + 1)]++;
            n_seen++;
        }
        if (next == NULL) {
            break;
        }
        assert_int_equal(count, 37);
        token = next;
        if (page < 10) {
            (void)snprintf(name, sizeof name, "n%d", n_added++);
            GOOD(enroll_sample(&f, name, 1, mem, &enrolled, &note));
            /* The last row of the page, which the token stands on. */
            GOOD(store_subject_delete(f.store, rows[count - 1].id, "key1", NULL, mem, &receipt, &note));
        }
        arena_reset(mem);
    }
    arena_free(mem);
    assert_int_equal(n_seen, 1010);
    int64_t total = 0;
    GOOD(store_subject_count(f.store, &total, &note));
    assert_int_equal(total, n_added - 10);
    for (int i = 0; i < 1010; i++) {
        assert_int_equal(seen[i], 1);
    }
    fixture_close(&f);
}

static void test_page_arguments(void **state)
{
    struct fixture f;
    static const struct {
        struct store_page page;
        enum err expected;
    } rows[] = {{{.limit = 0}, ERR_MISUSE},
                {{.limit = -1}, ERR_MISUSE},
                {{.limit = 1001}, ERR_MISUSE},
                {{.limit = 1000}, ERR_NONE},
                {{.limit = 1, .token = ""}, ERR_NONE},
                {{.limit = 1, .token = "p"}, ERR_FORMAT},
                {{.limit = 1, .token = "7"}, ERR_FORMAT},
                {{.limit = 1, .token = "p0000000000000000"}, ERR_FORMAT},
                {{.limit = 1, .token = "pffffffffffffffff"}, ERR_FORMAT},
                {{.limit = 1, .token = "p000000000000000g"}, ERR_FORMAT},
                {{.limit = 1, .token = "p0000000000000001 "}, ERR_FORMAT}};

    (void)state;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err_note said = {0};
        struct collection_row *ret;
        int count;
        const char *next;
        enum err err = store_collection_list(f.store, &rows[i].page, f.mem, &ret, &count, &next, &said);
        if (err != rows[i].expected || (err != ERR_NONE && said.text[0] == '\0')) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }
    fixture_close(&f);
}

static void test_keys(void **state)
{
    struct fixture f;
    struct key_row key;
    struct key_row found;
    char secret[KEY_SECRET_TEXT];
    int64_t count;

    (void)state;
    fixture_open(&f);
    const struct key_new new = {.name = "front desk",
                                .scopes = SCOPE_IDENTIFY | SCOPE_ENROLL,
                                .collection_id = f.collection_id,
                                .expires_ms = INT64_C(4000000000000)};
    GOOD(store_key_add(f.store, &new, "key1", f.mem, &key, secret, &note));
    assert_int_equal(strlen(secret), 4 + 12 + 1 + 43);
    assert_memory_equal(secret + 4, key.id, 12);
    GOOD(store_key_check(f.store, secret, 1000, f.mem, &found, &note));
    assert_string_equal(found.id, key.id);
    assert_int_equal(found.scopes, SCOPE_IDENTIFY | SCOPE_ENROLL);
    assert_int_equal(found.collection_id, f.collection_id);
    FAILS(ERR_DENIED, store_key_check(f.store, secret, INT64_C(4000000000000), f.mem, &found, &note));
    secret[59] = secret[59] == 'A' ? 'B' : 'A';
    FAILS(ERR_NOT_FOUND, store_key_check(f.store, secret, 1000, f.mem, &found, &note));
    FAILS(ERR_NOT_FOUND, store_key_check(f.store, "", 1000, f.mem, &found, &note));

    /* A use is written down once an hour. */
    GOOD(store_key_touch(f.store, &key, INT64_C(3000000000000), &note));
    GOOD(store_key_get(f.store, key.id, f.mem, &found, &note));
    assert_int_equal(found.last_used_ms, INT64_C(3000000000000));
    GOOD(store_key_touch(f.store, &found, INT64_C(3000003599999), &note));
    GOOD(store_key_get(f.store, key.id, f.mem, &found, &note));
    assert_int_equal(found.last_used_ms, INT64_C(3000000000000));

    const struct {
        struct key_new new;
        enum err expected;
    } bad[] = {{{.name = "x", .scopes = 0}, ERR_MISUSE},
               {{.name = "x", .scopes = 64}, ERR_MISUSE},
               {{.name = "", .scopes = 1}, ERR_MISUSE},
               {{.name = "x", .scopes = 1, .expires_ms = 1}, ERR_MISUSE},
               {{.name = "x", .scopes = 1, .collection_id = 99}, ERR_NOT_FOUND}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err_note said = {0};
        enum err err = store_key_add(f.store, &bad[i].new, "key1", f.mem, &key, secret, &said);
        if (err != bad[i].expected || said.text[0] == '\0') {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
    }

    /* A key of the operator's choice: the same text is the same key. */
    const struct key_new boot = {.name = "bootstrap", .scopes = SCOPE_ALL};
    struct key_row first;
    struct key_row second;
    FAILS(ERR_MISUSE, store_key_give(f.store, &boot, "short", AUDIT_DAEMON, f.mem, &first, &note));
    FAILS(ERR_MISUSE, store_key_give(f.store, &boot, "has a space in the middle", AUDIT_DAEMON, f.mem, &first, &note));
    GOOD(store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &first, &note));
    GOOD(store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &second, &note));
    assert_string_equal(first.id, second.id);
    GOOD(store_key_check(f.store, "correct-horse-battery", 1000, f.mem, &found, &note));
    GOOD(store_key_count(f.store, SCOPE_ADMIN, 1000, &count, &note));
    assert_int_equal(count, 1);
    GOOD(store_key_revoke(f.store, first.id, "key1", &note));
    GOOD(store_key_revoke(f.store, first.id, "key1", &note));
    FAILS(ERR_NOT_FOUND, store_key_revoke(f.store, "nobody", "key1", &note));
    FAILS(ERR_CONFLICT, store_key_check(f.store, "correct-horse-battery", 1000, f.mem, &found, &note));
    FAILS(ERR_CONFLICT, store_key_give(f.store, &boot, "correct-horse-battery", AUDIT_DAEMON, f.mem, &second, &note));
    GOOD(store_key_count(f.store, SCOPE_ADMIN, 1000, &count, &note));
    assert_int_equal(count, 0);

    struct key_row *rows;
    const char *next;
    int n;
    GOOD(store_key_list(f.store, &(struct store_page){.limit = 1}, f.mem, &rows, &n, &next, &note));
    assert_string_equal(rows[0].name, "front desk");
    GOOD(store_key_list(f.store, &(struct store_page){.limit = 5, .token = next}, f.mem, &rows, &n, &next, &note));
    assert_int_equal(n, 1);
    assert_true(rows[0].revoked_ms > 0);
    assert_null(next);

    for (unsigned bit = 1; bit < 32; bit <<= 1) {
        assert_int_equal(scope_from_word(scope_word((enum scope)bit)), bit);
    }
    assert_int_equal(scope_from_word("everything"), 0);
    fixture_close(&f);
}

static void test_audit(void **state)
{
    static const struct {
        const char *damage;
        const char *word;
    } rows[] = {{"UPDATE audit SET actor = 'other' WHERE id = 2", "entry 2"},
                {"UPDATE audit SET objects = '{}' WHERE id = 3", "entry 3"},
                {"UPDATE audit SET at_ms = at_ms + 1 WHERE id = 1", "entry 1"},
                {"UPDATE audit SET hash = zeroblob(32) WHERE id = 2", "entry 2"},
                {"DELETE FROM audit WHERE id = 2", "where 2 should"},
                {"DELETE FROM audit WHERE id >= 3", "ends with entry 2"},
                {"DELETE FROM audit", "ends with entry 0"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture f;
        struct enrolled enrolled;
        struct err_note said = {0};
        int64_t count;
        char hash[65];
        fixture_open(&f);
        GOOD(enroll_sample(&f, "Ada", 1, f.mem, &enrolled, &note));
        GOOD(store_audit_verify(f.store, &count, hash, &note));
        assert_int_equal(count, 3);
        raw_sql(f.path, rows[i].damage);
        enum err err = store_audit_verify(f.store, &count, hash, &said);
        if (err != ERR_CORRUPT || strstr(said.text, rows[i].word) == NULL) {
            fail_msg("row %zu: %s: %s", i, err_word(err), said.text);
        }
        fixture_close(&f);
    }
}

static void test_audit_entries(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct audit_row *rows;
    const char *next;
    int64_t id;
    int count;

    (void)state;
    fixture_open(&f);
    GOOD(enroll_sample(&f, "Ada Lovelace", 1, f.mem, &enrolled, &note));
    GOOD(store_audit_add(f.store, "key1", "photo.show", "{\"face\":1}", &id, &note));
    assert_int_equal(id, 4);
    FAILS(ERR_MISUSE, store_audit_add(f.store, "", "a", "{}", NULL, &note));
    FAILS(ERR_MISUSE, store_audit_add(f.store, "k", "", "{}", NULL, &note));
    FAILS(ERR_MISUSE, store_audit_add(f.store, "k", "a", "[]", NULL, &note));
    FAILS(ERR_FORMAT, store_audit_add(f.store, "k", "a", "{", NULL, &note));
    GOOD(store_audit_list(f.store, &(struct store_page){.limit = 3}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 3);
    assert_string_equal(rows[2].action, "face.enroll");
    assert_string_equal(rows[2].actor, "key1");
    assert_null(strstr(rows[2].objects, "Ada")); /* ids only */
    assert_non_null(strstr(rows[2].objects, enrolled.faces[0].uuid));
    GOOD(store_json_check("objects", rows[2].objects, &note));
    GOOD(
        store_audit_list(f.store, &(struct store_page){.limit = 3, .token = next}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 1);
    assert_null(next);
    fixture_close(&f);
}

static enum err visit_stop(void *context, int64_t face_id, const float *vector, int dim)
{
    int64_t *last = context;

    (void)vector;
    (void)dim;
    *last = face_id;
    return face_id == 3 ? ERR_CANCELLED : ERR_NONE;
}

static void test_damage_is_named(void **state)
{
    struct fixture f;
    struct enrolled enrolled;
    struct embedding_counts counts;
    int64_t last = 0;
    struct err_note said = {0};

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < 5; i++) {
        GOOD(enroll_sample(&f, "Ada", (uint64_t)i, f.mem, &enrolled, &note));
    }
    assert_int_equal(store_embedding_each(f.store, f.collection_id, f.model_id, 1, visit_stop, &last, NULL),
                     ERR_CANCELLED);
    assert_int_equal(last, 3);
    GOOD(store_embedding_count(f.store, f.collection_id, f.model_id, &counts, &note));
    assert_int_equal(counts.n_there, 5);
    GOOD(store_embedding_count(f.store, f.collection_id, 99, &counts, &note));
    assert_int_equal(counts.n_missing, 5);
    GOOD(store_checksum_verify(f.store, NULL, NULL, NULL, &note));
    struct cancel cancel = {0};
    cancel_ask(&cancel);
    assert_int_equal(store_checksum_verify(f.store, NULL, NULL, &cancel, NULL), ERR_CANCELLED);

    /* One bit of the vector of face 4, and all of face 2's crop. */
    raw_sql(f.path, "UPDATE embeddings SET vector = CAST(substr(vector, 1, 20) || "
                    "CASE WHEN substr(vector, 21, 1) = x'00' THEN x'01' ELSE x'00' END || substr(vector, 22) AS BLOB) "
                    "WHERE face_id = 4; UPDATE crops SET webp = x'00' WHERE face_id = 2");
    assert_int_equal(store_embedding_each(f.store, f.collection_id, f.model_id, 3, visit_stop, &last, &said),
                     ERR_CORRUPT);
    assert_non_null(strstr(said.text, "face 4"));
    float vector[DIM];
    FAILS(ERR_CORRUPT, store_embedding_get(f.store, 4, f.model_id, vector, DIM, NULL, &note));
    struct stored_image image;
    FAILS(ERR_CORRUPT, store_crop_get(f.store, 2, f.mem, &image, &note));
    said = (struct err_note){0};
    assert_int_equal(store_checksum_verify(f.store, NULL, NULL, NULL, &said), ERR_CORRUPT);
    assert_non_null(strstr(said.text, "face 4"));
    assert_non_null(strstr(said.text, "2 such rows"));
    /* A whole vector in the wrong row is damage too. */
    raw_sql(f.path, "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE face_id = 1), "
                    "crc32c = (SELECT crc32c FROM embeddings WHERE face_id = 1), "
                    "norm = (SELECT norm FROM embeddings WHERE face_id = 1) WHERE face_id = 5");
    FAILS(ERR_CORRUPT, store_embedding_get(f.store, 5, f.model_id, vector, DIM, NULL, &note));
    fixture_close(&f);
}

static void test_jobs(void **state)
{
    struct fixture f;
    struct job_row row;
    struct job_row *rows;
    const char *next;
    enum job_state now;
    int64_t id;
    int64_t second;
    int count;

    (void)state;
    fixture_open(&f);
    FAILS(ERR_MISUSE, store_job_add(f.store, "", 0, "{}", "key1", &id, &note));
    FAILS(ERR_FORMAT, store_job_add(f.store, "k", 0, "{", "key1", &id, &note));
    FAILS(ERR_NOT_FOUND, store_job_add(f.store, "k", 99, "{}", "key1", &id, &note));
    assert_int_equal(store_job_claim(f.store, f.mem, &row, NULL), ERR_NOT_FOUND);
    GOOD(store_job_add(f.store, "train", f.collection_id, "{\"a\":1}", "key1", &id, &note));
    GOOD(store_job_add(f.store, "other", 0, "{}", "key1", &second, &note));
    GOOD(store_job_claim(f.store, f.mem, &row, &note));
    assert_int_equal(row.id, id);
    assert_int_equal(row.state, JOB_RUNNING);
    assert_int_equal(row.attempts, 1);
    assert_string_equal(row.arguments, "{\"a\":1}");
    GOOD(store_job_progress(f.store, id, 5, 10, "faces", "at 5", &note));
    GOOD(store_job_progress(f.store, id, 6, 10, "faces", NULL, &note));
    GOOD(store_job_get(f.store, id, f.mem, &row, &note));
    assert_int_equal(row.done, 6);
    assert_string_equal(row.checkpoint, "at 5");
    GOOD(store_job_cancel(f.store, id, "key1", &now, &note));
    assert_int_equal(now, JOB_RUNNING);
    assert_int_equal(store_job_progress(f.store, id, 7, 10, "faces", NULL, NULL), ERR_CANCELLED);
    GOOD(store_job_end(f.store, id, &(struct job_end){.state = JOB_CANCELLED}, &note));
    FAILS(ERR_CONFLICT, store_job_end(f.store, id, &(struct job_end){.state = JOB_CANCELLED}, &note));
    FAILS(ERR_CONFLICT, store_job_progress(f.store, id, 1, 1, "x", NULL, &note));
    FAILS(ERR_CONFLICT, store_job_cancel(f.store, id, "key1", &now, &note));
    FAILS(ERR_NOT_FOUND, store_job_cancel(f.store, 99, "key1", &now, &note));
    GOOD(store_job_cancel(f.store, second, "key1", &now, &note));
    assert_int_equal(now, JOB_CANCELLED);
    GOOD(store_job_list(f.store, &(struct store_page){.limit = 1}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(rows[0].id, second);
    GOOD(store_job_list(f.store, &(struct store_page){.limit = 1, .token = next}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(rows[0].id, id);
    assert_int_equal(rows[0].done, 7);
    assert_true(rows[0].finished_ms > 0);
    assert_null(next);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings_and_faces_aside),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_collections),
        cmocka_unit_test(test_enroll),
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_enroll_refuses),
        cmocka_unit_test(test_memory_fails),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_page_arguments),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_audit),
        cmocka_unit_test(test_audit_entries),
        cmocka_unit_test(test_damage_is_named),
        cmocka_unit_test(test_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
