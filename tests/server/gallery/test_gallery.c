/* test_gallery.c: enrolled is found, deleted is gone, restarts keep, by vectors alone. */
#include "tests/server/gallery/fixture.h"

static void test_enroll_identify_delete(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct receipt receipt;
    float anna[DIM], bert[DIM];
    char name[64], face[37];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    leaning(DIM, 2, 3, 1, bert);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_UNKNOWN); /* an empty gallery is no error */
    enroll_vector(f, NULL, "anna", anna, DIM, face);
    enroll_vector(f, NULL, "bert", bert, DIM, NULL);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_MATCH);
    assert_string_equal(name, "anna");
    assert_int_equal(who(f, NULL, bert, DIM, name), DECISION_MATCH);
    assert_string_equal(name, "bert");

    GOOD(gallery_forget_face(f->worker, face, &receipt, &f->fault));
    assert_int_equal(receipt.n_faces, 1);
    assert_int_equal(receipt.n_subjects, 0);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_UNKNOWN);
    BAD(gallery_forget_face(f->worker, face, &receipt, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_FACE);
    fixture_restart(f);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_UNKNOWN);
    assert_int_equal(who(f, NULL, bert, DIM, name), DECISION_MATCH);
    fixture_close(f);
}

static void test_forgetting_subjects_and_collections(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct subject_info *subjects;
    struct collection_info info;
    struct receipt receipt;
    const char *next;
    float anna[DIM];
    char name[64];
    bool is_new;
    int n;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    GOOD(gallery_collection_put(f->worker, "other", &(struct collection_change){0}, &info, &is_new, &f->fault));
    assert_true(is_new);
    for (int i = 0; i < 3; i++) {
        enroll_vector(f, NULL, "anna", anna, DIM, NULL);
        enroll_vector(f, "other", "anna", anna, DIM, NULL);
    }
    GOOD(gallery_subjects(f->worker, NULL, "anna", NULL, 10, &subjects, &n, &next, &f->fault));
    assert_int_equal(n, 1);
    assert_int_equal(subjects[0].n_faces, 3);
    GOOD(gallery_forget_subject(f->worker, subjects[0].id, &receipt, &f->fault));
    assert_int_equal(receipt.n_faces, 3);
    assert_int_equal(receipt.n_subjects, 1);
    BAD(gallery_forget_subject(f->worker, subjects[0].id, &receipt, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_SUBJECT);
    gallery_worker_reset(f->worker);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_UNKNOWN);
    assert_int_equal(who(f, "other", anna, DIM, name), DECISION_MATCH); /* a namesake elsewhere is somebody else */

    GOOD(gallery_forget_collection(f->worker, "other", &receipt, &f->fault));
    assert_int_equal(receipt.n_faces, 3);
    const struct identify_query query = {.collection = "other", .embedding = {.values = anna, .dim = DIM}};
    struct identify_answer answer;
    BAD(gallery_identify(f->worker, &query, &answer, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_COLLECTION);
    /* A collection of the same name is a new one. */
    GOOD(gallery_collection_put(f->worker, "other", &(struct collection_change){0}, &info, &is_new, &f->fault));
    assert_true(is_new);
    assert_int_equal(who(f, "other", anna, DIM, name), DECISION_UNKNOWN);
    fixture_close(f);
}

/* Several faces of one subject are one candidate; a second subject close by makes it ambiguous. */
static void test_candidates_and_decisions(void **state)
{
    static const struct {
        double bert; /* Bert's cosine with the probe; Anna has 40 faces at .90 and above */
        float margin;
        int top_k;
        enum group_by group;
        enum decision decision;
        int n;
    } rows[] = {
        {.60, -1, 5, GROUP_BY_SUBJECT, DECISION_MATCH, 2},
        {.39, -1, 5, GROUP_BY_SUBJECT, DECISION_MATCH, 1},
        {.985, -1, 5, GROUP_BY_SUBJECT, DECISION_AMBIGUOUS, 2},
        {.985, -1, 1, GROUP_BY_SUBJECT, DECISION_AMBIGUOUS, 1}, /* the runner-up counts, listed or not */
        {.985, .001F, 5, GROUP_BY_SUBJECT, DECISION_MATCH, 2},
        {.985, -1, 3, GROUP_BY_FACE, DECISION_AMBIGUOUS, 3},
        {.60, -1, 100, GROUP_BY_FACE, DECISION_MATCH, 41},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct identify_answer answer;
        float probe[DIM], face[DIM];
        fixture_open(f, -1);
        leaning(DIM, 0, 1, 1, probe);
        for (int k = 0; k < 40; k++) {
            leaning(DIM, 0, 1, .90 + .10 * k / 40, face);
            enroll_vector(f, NULL, "anna", face, DIM, NULL);
        }
        leaning(DIM, 0, 2, rows[i].bert, face);
        enroll_vector(f, NULL, "bert", face, DIM, NULL);
        const struct identify_query query = {
            .embedding = {.values = probe, .dim = DIM},
            .top_k = rows[i].top_k,
            .group = rows[i].group,
            .threshold = {.has_margin = rows[i].margin >= 0, .margin = rows[i].margin}};
        GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
        const struct identified_face *got = &answer.faces[0];
        if (got->decision != rows[i].decision || got->n_candidates != rows[i].n ||
            strcmp(got->candidates[0].subject_name, "anna") != 0 || fabsf(got->candidates[0].cosine - .9975F) > 1e-4F) {
            fail_msg("row %zu: %s with %d candidates, first at %g", i, decision_word(got->decision), got->n_candidates,
                     (double)got->candidates[0].cosine);
        }
        for (int k = 1; k < got->n_candidates; k++) {
            assert_true(got->candidates[k].cosine <= got->candidates[k - 1].cosine);
        }
        assert_false(answer.threshold.calibrated);
        assert_false(answer.threshold.has_fmr);
        fixture_close(f);
    }
}

static void test_identify_by_face_leaves_itself_out(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct identify_answer answer;
    float one[DIM], two[DIM];
    char face[37], other[37];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, one);
    leaning(DIM, 0, 1, .8, two);
    enroll_vector(f, NULL, "anna", one, DIM, face);
    enroll_vector(f, NULL, "double of anna", two, DIM, other);
    const struct identify_query query = {.face_id = face};
    GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.faces[0].n_candidates, 1);
    assert_string_equal(answer.faces[0].candidates[0].face_id, other);
    assert_false(answer.faces[0].has_face);
    fixture_close(f);
}

static void test_verify(void **state)
{
    struct fixture fixture, *f = &fixture;
    float anna[DIM], near[DIM], far[DIM];
    struct verify_answer answer;
    char face[37];

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    leaning(DIM, 0, 1, .7, near);
    leaning(DIM, 0, 2, .2, far);
    enroll_vector(f, NULL, "anna", far, DIM, NULL);
    enroll_vector(f, NULL, "anna", near, DIM, face);
    const struct gallery_embedding probe = {.values = anna, .dim = DIM};
    const struct {
        struct verify_query query;
        float cosine;
        bool match;
    } rows[] = {
        {{.embedding = probe, .subject = {.name = "anna"}}, .7F, true}, /* the best of her faces */
        {{.embedding = probe, .face_id = face}, .7F, true},
        {{.embedding = probe, .embedding2 = {.values = far, .dim = DIM}}, .2F, false},
        {{.embedding = probe, .embedding2 = {.values = anna, .dim = DIM}}, 1, true},
        {{.embedding = probe, .subject = {.name = "anna"}, .threshold = {.has_threshold = true, .threshold = .71F}},
         .7F,
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        GOOD(gallery_verify(f->worker, &rows[i].query, &answer, &f->fault));
        if (answer.match != rows[i].match || fabsf(answer.cosine - rows[i].cosine) > 1e-5F) {
            fail_msg("row %zu: %d at %g", i, answer.match, (double)answer.cosine);
        }
    }
    fixture_close(f);
}

static void test_refusals(void **state)
{
    struct fixture fixture, *f = &fixture;
    float good[DIM] = {1}, nan[DIM] = {NAN}, infinite[DIM] = {1, INFINITY}, zero[DIM] = {0};
    struct identify_answer identified;
    struct enroll_answer enrolled;
    struct verify_answer verified;
    const struct gallery_embedding e = {.values = good, .dim = DIM};

    (void)state;
    fixture_open(f, -1);
    const struct {
        struct identify_query query;
        enum err err;
        enum gallery_reason reason;
    } identify[] = {
        {{0}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e, .face_id = "x"}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e, .top_k = 101}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e, .top_k = -1}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e, .collection = "nowhere"}, ERR_NOT_FOUND, GALLERY_NO_SUCH_COLLECTION},
        {{.embedding = {.values = good, .dim = DIM - 1}}, ERR_MISUSE, GALLERY_WRONG_DIMENSION},
        {{.embedding = {.values = nan, .dim = DIM}}, ERR_MISUSE, GALLERY_BAD_EMBEDDING},
        {{.embedding = {.values = infinite, .dim = DIM}}, ERR_MISUSE, GALLERY_BAD_EMBEDDING},
        {{.embedding = {.values = zero, .dim = DIM}}, ERR_MISUSE, GALLERY_BAD_EMBEDDING},
        {{.face_id = "00000000-0000-4000-8000-000000000000"}, ERR_NOT_FOUND, GALLERY_NO_SUCH_FACE},
        {{.face_id = "not an id"}, ERR_NOT_FOUND, GALLERY_NO_SUCH_FACE},
        {{.embedding = e, .threshold = {.has_max_fmr = true, .max_fmr = .1}}, ERR_CONFLICT, GALLERY_UNSUPPORTED_RATE},
        {{.photo = {.bytes = "text", .n_bytes = 4}}, ERR_CONFLICT, GALLERY_NO_MODEL},
        {{.photo = {.bytes = "text", .n_bytes = 4, .aligned = true}}, ERR_UNSUPPORTED, GALLERY_NOT_AN_IMAGE},
        {{.photo = noise_photo(f, 64, 64, 1), .faces = FACES_SINGLE}, ERR_MISUSE, GALLERY_BAD_OPTION},
    };
    const struct {
        struct enroll_query query;
        enum err err;
        enum gallery_reason reason;
    } enroll[] = {
        {{.subject = {.name = "a"}}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e}, ERR_MISUSE, GALLERY_BAD_OPTION},
        {{.embedding = e, .subject = {.name = ""}}, ERR_MISUSE, GALLERY_BAD_NAME},
        {{.embedding = e, .subject = {.name = "\xff\xfe"}}, ERR_MISUSE, GALLERY_BAD_NAME},
        {{.embedding = e, .subject = {.name = "a\nb"}}, ERR_MISUSE, GALLERY_BAD_NAME},
        {{.embedding = e, .subject = {.name = "a"}, .metadata = "[1]"}, ERR_MISUSE, GALLERY_BAD_METADATA},
        {{.embedding = e, .subject = {.name = "a"}, .metadata = "{"}, ERR_MISUSE, GALLERY_BAD_METADATA},
        {{.embedding = e, .subject = {.id = "nobody"}}, ERR_NOT_FOUND, GALLERY_NO_SUCH_SUBJECT},
        {{.embedding = {.values = nan, .dim = DIM}, .subject = {.name = "a"}}, ERR_MISUSE, GALLERY_BAD_EMBEDDING},
        {{.embedding = {.values = good, .dim = 512}, .subject = {.name = "a"}}, ERR_MISUSE, GALLERY_WRONG_DIMENSION},
    };
    for (size_t i = 0; i < sizeof identify / sizeof identify[0]; i++) {
        print_message("# identify row %zu\n", i);
        BAD(gallery_identify(f->worker, &identify[i].query, &identified, &f->fault), identify[i].err,
            identify[i].reason);
    }
    for (size_t i = 0; i < sizeof enroll / sizeof enroll[0]; i++) {
        print_message("# enroll row %zu\n", i);
        BAD(gallery_enroll(f->worker, &enroll[i].query, &enrolled, &f->fault), enroll[i].err, enroll[i].reason);
    }
    BAD(gallery_verify(f->worker, &(struct verify_query){.embedding = e}, &verified, &f->fault), ERR_MISUSE,
        GALLERY_BAD_OPTION);
    BAD(gallery_verify(f->worker, &(struct verify_query){.embedding = e, .subject = {.name = "a"}}, &verified,
                       &f->fault),
        ERR_NOT_FOUND, GALLERY_NO_SUCH_SUBJECT);
    struct collection_info info;
    GOOD(gallery_collection_get(f->worker, "default", &info, &f->fault));
    assert_int_equal(info.n_subjects, 0); /* nothing of all this was stored */
    fixture_close(f);
}

/* Another recogniser at the next start: collections keep theirs, from the data folder, even when the file is gone. */
static void test_other_recognizer_leaves_collections_alone(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct collection_info before, after, second;
    float anna[DIM], small[48] = {1};
    char name[64];
    bool is_new;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    enroll_vector(f, NULL, "anna", anna, DIM, NULL);
    GOOD(gallery_collection_get(f->worker, "default", &before, &f->fault));
    char version[STORE_VERSION_TEXT];
    (void)snprintf(version, sizeof version, "%s", before.model);
    fixture_stop(f);
    assert_int_equal(unlink(f->recognizer), 0);
    (void)fixture_path(f->recognizer, f->folder, "tiny28.onnx");
    tiny_recognizer(f->recognizer, 28); /* 48 numbers */
    fixture_start(f);
    assert_non_null(strstr(f->said, "collection_pinned"));
    GOOD(gallery_collection_get(f->worker, "default", &after, &f->fault));
    assert_string_equal(after.model, version);
    assert_int_equal(after.dim, DIM);
    assert_int_equal(who(f, NULL, anna, DIM, name), DECISION_MATCH);
    GOOD(gallery_collection_put(f->worker, "second", &(struct collection_change){0}, &second, &is_new, &f->fault));
    assert_int_equal(second.dim, 48);
    enroll_vector(f, "second", "bert", small, 48, NULL);
    assert_int_equal(who(f, "second", small, 48, name), DECISION_MATCH);
    /* A collection of the old version can still be made, by its name. */
    const struct collection_change old = {.model = version};
    GOOD(gallery_collection_put(f->worker, "third", &old, &second, &is_new, &f->fault));
    assert_int_equal(second.dim, DIM);
    BAD(gallery_collection_patch(f->worker, "second", &old, &second, &f->fault), ERR_CONFLICT, GALLERY_MODEL_PINNED);
    fixture_close(f);
}

/* A model in the data folder that was tampered with makes its collection unusable in words; the others serve. */
static void test_damaged_model_is_reported(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct collection_info info;
    float anna[DIM] = {1}, small[48] = {1};
    char path[PATH_MAX], name[64];
    bool is_new;

    (void)state;
    fixture_open(f, -1);
    enroll_vector(f, NULL, "anna", anna, DIM, NULL);
    assert_true(snprintf(path, sizeof path, "%s/models/%s.onnx", f->data, f->gallery->default_model->version) <
                (int)sizeof path);
    fixture_stop(f);
    tiny_recognizer(path, 112); /* loads, but is not what its name says */
    (void)fixture_path(f->recognizer, f->folder, "tiny28.onnx");
    tiny_recognizer(f->recognizer, 28);
    fixture_start(f);
    assert_non_null(strstr(f->said, "collection_unusable"));
    const struct identify_query query = {.embedding = {.values = anna, .dim = DIM}};
    struct identify_answer answer;
    BAD(gallery_identify(f->worker, &query, &answer, &f->fault), ERR_CORRUPT, GALLERY_REASON_NONE);
    GOOD(gallery_collection_put(f->worker, "second", &(struct collection_change){0}, &info, &is_new, &f->fault));
    enroll_vector(f, "second", "bert", small, 48, NULL);
    assert_int_equal(who(f, "second", small, 48, name), DECISION_MATCH);
    fixture_close(f);
}

/* Every allocation of a search may fail: an error each time, never a wrong answer, nothing left behind. */
static void test_search_survives_failing_memory(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct identify_answer answer;
    float anna[DIM];
    long n = 0;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    for (int i = 0; i < 30; i++) {
        enroll_vector(f, NULL, "anna", anna, DIM, NULL);
    }
    const struct identify_query query = {.embedding = {.values = anna, .dim = DIM}};
    for (enum err err = ERR_NOMEM; err != ERR_NONE; n++) {
        gallery_worker_free(f->worker); /* so that the arena has nothing left over */
        assert_int_equal(gallery_worker_new(f->gallery, (size_t)64 << 20, &f->worker), ERR_NONE);
        size_t blocks = mem_live_blocks();
        f->fault = (struct gallery_fault){0};
        mem_fail_at(n);
        err = gallery_identify(f->worker, &query, &answer, &f->fault);
        mem_fail_at(-1);
        if (err == ERR_NONE) {
            assert_int_equal(answer.faces[0].decision, DECISION_MATCH);
        } else if (err != ERR_NOMEM) {
            fail_msg("allocation %ld: %s, %s", n, err_word(err), f->fault.note.text);
        }
        gallery_worker_reset(f->worker);
        assert_true(mem_live_blocks() <= blocks + 1); /* the chunk that an arena keeps */
        assert_true(n < 1000);
    }
    assert_true(n > 1);
    fixture_close(f);
}

/* An index that could not follow a commit is built again: the face is found by the next request. */
static void test_index_that_missed_a_change_is_rebuilt(void **state)
{
    struct fixture fixture, *f = &fixture;
    float anna[DIM];
    char name[64];
    int found = 0;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    for (long n = 0; n < 60; n++) {
        const struct enroll_query query = {.subject = {.name = "anna"}, .embedding = {.values = anna, .dim = DIM}};
        struct enroll_answer answer;
        struct collection_info info;
        f->fault = (struct gallery_fault){0};
        mem_fail_at(n);
        enum err err = gallery_enroll(f->worker, &query, &answer, &f->fault);
        mem_fail_at(-1);
        gallery_worker_reset(f->worker);
        GOOD(gallery_collection_get(f->worker, "default", &info, &f->fault));
        found += err == ERR_NONE;
        if (info.n_faces != found) {
            fail_msg("allocation %ld: %s, but %d faces are stored", n, err_word(err), (int)info.n_faces);
        }
        gallery_worker_reset(f->worker);
        if (who(f, NULL, anna, DIM, name) != (found > 0 ? DECISION_MATCH : DECISION_UNKNOWN)) {
            fail_msg("allocation %ld: the search disagrees with the rows", n);
        }
        struct gallery_usage usage;
        gallery_usage(f->gallery, &usage);
        assert_int_equal(usage.indexed_faces, found);
    }
    assert_true(found > 0);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enroll_identify_delete),
        cmocka_unit_test(test_forgetting_subjects_and_collections),
        cmocka_unit_test(test_candidates_and_decisions),
        cmocka_unit_test(test_identify_by_face_leaves_itself_out),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_other_recognizer_leaves_collections_alone),
        cmocka_unit_test(test_damaged_model_is_reported),
        cmocka_unit_test(test_search_survives_failing_memory),
        cmocka_unit_test(test_index_that_missed_a_change_is_rebuilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
