/* test_rows.c: what each other kind of row promises, at its edges. */
#include "server/store/calibration_rows.h"
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
    GOOD(store_model_add(f.store, &other, "key1", NULL, f.mem, &again, &note));
    assert_int_equal(again.id, row.id);
    assert_int_equal(again.dim, DIM);

    const struct {
        struct model_row row;
        enum err expected;
    } bad[] = {{model_sample("Abcdefaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1), ERR_MISUSE},
               {model_sample(SHA_B, 0), ERR_MISUSE}};
    for (size_t i = 0; i < 2; i++) {
        FAILS(bad[i].expected, store_model_add(f.store, &bad[i].row, "key1", NULL, f.mem, &row, &note));
    }
    other = model_sample(SHA_B, 8);
    other.parent_id = 77;
    FAILS(ERR_NOT_FOUND, store_model_add(f.store, &other, "key1", NULL, f.mem, &row, &note));
    other.parent_id = f.model_id;
    other.flip = true;
    other.state = MODEL_CANDIDATE;
    other.report = "{\"rank1\":0.9}";
    GOOD(store_model_add(f.store, &other, "key1", NULL, f.mem, &row, &note));
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

static void count_calls(void *context)
{
    ++*(int *)context;
}

/* Put in force, taken back, and what holds in between. */
static void test_calibrations(void **state)
{
    struct fixture f;
    struct model_row row;
    struct audit_row *audit;
    const char *former = "untouched";
    const char *next;
    int count;
    int calls = 0;
    const struct after_commit after = {count_calls, &calls};

    (void)state;
    fixture_open(&f);
    GOOD(store_model_calibrate(f.store, f.model_id, "{\"own\":1}", "daemon", &note));
    FAILS(ERR_NOT_FOUND, store_calibration_apply(f.store, 99, 7, "{}", "key1", NULL, &after, &note));
    FAILS(ERR_MISUSE, store_calibration_apply(f.store, f.model_id, 7, "[1]", "key1", NULL, &after, &note));
    FAILS(ERR_CONFLICT, store_calibration_undo(f.store, f.model_id, 7, "key1", NULL, &after, f.mem, &former, &note));
    assert_true(calls == 0 && strcmp(former, "untouched") == 0);
    GOOD(store_calibration_apply(f.store, f.model_id, 7, "{\"job\":7}", "key1", NULL, &after, &note));
    GOOD(store_calibration_apply(f.store, f.model_id, 7, "{\"job\":7}", "key1", NULL, &after,
                                 &note)); /* changes nothing */
    GOOD(store_model_get(f.store, f.model_id, f.mem, &row, &note));
    assert_string_equal(row.calibration, "{\"job\":7}");
    assert_true(row.calibrated_by == 7 && calls == 2);
    GOOD(store_calibration_undo(f.store, f.model_id, 7, "key2", NULL, &after, f.mem, &former, &note));
    assert_string_equal(former, "{\"own\":1}");
    GOOD(store_model_get(f.store, f.model_id, f.mem, &row, &note));
    assert_string_equal(row.calibration, "{\"own\":1}");
    assert_int_equal(row.calibrated_by, 0);
    FAILS(ERR_CONFLICT, store_calibration_undo(f.store, f.model_id, 7, "key1", NULL, &after, f.mem, &former, &note));

    /* The next job's takes the place of the former one's, which cannot be taken back any more. */
    GOOD(store_calibration_apply(f.store, f.model_id, 7, "{\"job\":7}", "key1", NULL, NULL, &note));
    GOOD(store_calibration_apply(f.store, f.model_id, 8, "{\"job\":8}", "key1", NULL, NULL, &note));
    FAILS(ERR_CONFLICT, store_calibration_undo(f.store, f.model_id, 7, "key1", NULL, NULL, f.mem, &former, &note));
    GOOD(store_calibration_undo(f.store, f.model_id, 8, "key1", NULL, NULL, f.mem, &former, &note));
    assert_string_equal(former, "{\"job\":7}");
    /* What was not calibrated is not afterwards, and one that comes with the model ends it. */
    GOOD(store_model_calibrate(f.store, f.model_id, NULL, "daemon", &note));
    GOOD(store_calibration_apply(f.store, f.model_id, 9, "{\"job\":9}", "key1", NULL, NULL, &note));
    GOOD(store_calibration_undo(f.store, f.model_id, 9, "key1", NULL, NULL, f.mem, &former, &note));
    assert_null(former);

    GOOD(store_audit_list(f.store, &(struct store_page){.limit = 100}, f.mem, &audit, &count, &next, &note));
    int applied = 0;
    int back = 0;
    for (int i = 0; i < count; i++) {
        applied += strcmp(audit[i].action, "model.calibrate") == 0 && strstr(audit[i].objects, "\"job\":") != NULL;
        back += strcmp(audit[i].action, "model.calibrate_back") == 0;
    }
    assert_true(applied == 4 && back == 3);
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
    GOOD(store_model_add(f.store, &detector, "key1", NULL, f.mem, &detector, &note));
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
    GOOD(store_model_add(f.store, &newer, "key1", NULL, f.mem, &newer, &note));
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
    GOOD(store_job_add(f.store, "purify", f.collection_id, "{}", "key1", NULL, &job, &note));
    const struct finding_new found[] = {{ada.faces[0].id, ada.subject_id, 2, 80, bob.subject_id, 20},
                                        {bob.faces[0].id, ada.subject_id, 0, 90, 0, 0}, /* no longer hers */
                                        {4711, ada.subject_id, 0, 90, 0, 0}};
    FAILS(ERR_NOT_FOUND, store_findings_put(f.store, 99, found, 1, &note));
    GOOD(store_findings_put(f.store, job, found, 3, &note));
    GOOD(store_findings_put(f.store, job, found, 3, &note)); /* again: they are replaced */
    GOOD(store_finding_list(f.store, job, &(struct store_page){.limit = 10}, f.mem, &rows, &count, &next, &note));
    assert_int_equal(count, 1);
    assert_string_equal(rows[0].face_uuid, ada.faces[0].uuid);
    assert_string_equal(rows[0].subject_name, "Ada");
    assert_string_equal(rows[0].likely_name, "Bob");
    assert_true(rows[0].degrees == 80 && rows[0].subcenter == 2 && !rows[0].set_aside);

    FAILS(ERR_NOT_FOUND, store_set_aside(f.store, 99, "key1", NULL, NULL, f.mem, &aside, &note));
    GOOD(store_set_aside(f.store, job, "key1", NULL, NULL, f.mem, &aside, &note));
    assert_true(aside.n_faces == 1 && aside.face_ids[0] == ada.faces[0].id && aside.collection_id == f.collection_id);
    GOOD(store_face_get(f.store, ada.faces[0].id, f.mem, &face, &note));
    assert_true(face.set_aside);
    int seen = 0;
    GOOD(store_embedding_each(f.store, f.collection_id, f.model_id, 0, count_visit, &seen, &note));
    assert_int_equal(seen, 1);
    GOOD(store_embedding_count(f.store, f.collection_id, f.model_id, &counts, &note));
    assert_int_equal(counts.n_there, 2); /* it keeps its embedding */
    GOOD(store_set_aside(f.store, job, "key1", NULL, NULL, f.mem, &aside, &note));
    assert_int_equal(aside.n_faces, 0);
    GOOD(store_bring_back(f.store, job, "key1", NULL, NULL, f.mem, &aside, &note));
    assert_true(aside.n_faces == 1 && aside.face_ids[0] == ada.faces[0].id);
    seen = 0;
    GOOD(store_labelled_each(f.store, f.collection_id, f.model_id, count_labelled, &seen, &note));
    assert_int_equal(seen, 2);
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
    FAILS(ERR_MISUSE, store_job_add(f.store, "", 0, "{}", "key1", NULL, &id, &note));
    FAILS(ERR_FORMAT, store_job_add(f.store, "k", 0, "{", "key1", NULL, &id, &note));
    FAILS(ERR_NOT_FOUND, store_job_add(f.store, "k", 99, "{}", "key1", NULL, &id, &note));
    assert_int_equal(store_job_claim(f.store, f.mem, &row, NULL), ERR_NOT_FOUND);
    GOOD(store_job_add(f.store, "train", f.collection_id, "{\"a\":1}", "key1", NULL, &id, &note));
    GOOD(store_job_add(f.store, "other", 0, "{}", "key1", NULL, &second, &note));
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
    GOOD(store_job_cancel(f.store, id, "key1", NULL, &now, &note));
    assert_int_equal(now, JOB_RUNNING);
    assert_int_equal(store_job_progress(f.store, id, 7, 10, "faces", NULL, NULL), ERR_CANCELLED);
    GOOD(store_job_end(f.store, id, &(struct job_end){.state = JOB_CANCELLED}, &note));
    FAILS(ERR_CONFLICT, store_job_end(f.store, id, &(struct job_end){.state = JOB_CANCELLED}, &note));
    FAILS(ERR_CONFLICT, store_job_progress(f.store, id, 1, 1, "x", NULL, &note));
    FAILS(ERR_CONFLICT, store_job_cancel(f.store, id, "key1", NULL, &now, &note));
    FAILS(ERR_NOT_FOUND, store_job_cancel(f.store, 99, "key1", NULL, &now, &note));
    GOOD(store_job_cancel(f.store, second, "key1", NULL, &now, &note));
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
        cmocka_unit_test(test_models),          cmocka_unit_test(test_calibrations),
        cmocka_unit_test(test_collections),     cmocka_unit_test(test_findings_and_faces_aside),
        cmocka_unit_test(test_damage_is_named), cmocka_unit_test(test_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
