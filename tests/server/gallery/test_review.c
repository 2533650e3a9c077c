/* test_review.c: wrong names are found, set aside and brought back; what is measured on stored embeddings. */
#include "tests/server/gallery/fixture.h"

#include "server/gallery/assess.h"
#include "server/gallery/calibrate.h"
#include "server/gallery/review.h"
#include "server/store/finding_rows.h"
#include "server/store/job_rows.h"

#define PEOPLE 6
#define FACES 6

/* Somebody's face: near the axis of that number, leaning a little elsewhere. */
static void face_of(int person, int photo, float *ret)
{
    leaning(DIM, person, (person + 1 + photo) % DIM == person ? (person + 2) % DIM : (person + 1 + photo) % DIM, .96,
            ret);
}

static void enroll_as(struct fixture *f, int named, int person, int photo, char *ret_face)
{
    char name[16];
    float vector[DIM];

    (void)snprintf(name, sizeof name, "person %d", named);
    face_of(person, photo, vector);
    enroll_vector(f, NULL, name, vector, DIM, ret_face);
}

static int64_t queue_job(struct fixture *f, const char *kind)
{
    struct collection_row row;
    int64_t job = 0;

    GOOD(store_collection_find(f->store, "default", f->worker->mem, &row, &f->fault.note));
    GOOD(store_job_add(f->store, kind, row.id, "{}", "key1", NULL, &job, &f->fault.note));
    gallery_worker_reset(f->worker);
    return job;
}

static void end_job(struct fixture *f, const char *result)
{
    struct job_row row;
    const struct job_end end = {.state = JOB_SUCCEEDED, .result = result};

    GOOD(store_job_claim(f->store, f->worker->mem, &row, &f->fault.note));
    GOOD(store_job_end(f->store, row.id, &end, &f->fault.note));
    gallery_worker_reset(f->worker);
}

static int64_t indexed(struct fixture *f)
{
    struct gallery_usage usage;

    gallery_usage(f->gallery, &usage);
    return usage.indexed_faces;
}

static const struct review_wish usual = {.rule = REVIEW_REFINED};

static void test_wrong_names(void **state)
{
    struct fixture fixture, *f = &fixture;
    const struct long_work work = {.actor = "key1"};
    struct review review;
    struct finding_row *rows;
    struct face_info info;
    char wrong[2][STORE_UUID_TEXT], name[64];
    float probe[DIM];
    const char *next;
    int64_t n_faces = 0;
    int n = 0;

    (void)state;
    fixture_open(f, -1);
    int64_t job = queue_job(f, REVIEW_KIND);
    BAD(gallery_review(f->worker, NULL, &usual, job, &work, &review, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    for (int i = 0; i < PEOPLE * FACES; i++) {
        enroll_as(f, i / FACES, i / FACES, i % FACES, NULL);
    }
    enroll_as(f, 0, 3, 7, wrong[0]);
    enroll_as(f, 1, 9, 0, wrong[1]); /* nobody whom we know */
    BAD(gallery_review(f->worker, NULL, &(struct review_wish){.degrees = 181}, job, &work, &review, &f->fault),
        ERR_MISUSE, GALLERY_BAD_OPTION);
    GOOD(gallery_review(f->worker, NULL, &usual, job, &work, &review, &f->fault));
    gallery_worker_reset(f->worker);
    assert_int_equal(review.n_faces, PEOPLE * FACES + 2);
    assert_int_equal(review.n_people, PEOPLE);
    assert_int_equal(review.n_found, 2);
    assert_int_equal(review.n_likely, 1);
    GOOD(store_finding_list(f->store, job, &(struct store_page){.limit = 10}, f->worker->mem, &rows, &n, &next,
                            &f->fault.note));
    assert_int_equal(n, 2);
    for (int i = 0; i < 2; i++) {
        if (strcmp(rows[i].face_uuid, wrong[i]) != 0 || rows[i].degrees < 75 || rows[i].set_aside) {
            fail_msg("finding %d: %s at %g degrees", i, rows[i].face_uuid, (double)rows[i].degrees);
        }
    }
    assert_string_equal(rows[0].likely_name, "person 3");
    assert_null(rows[1].likely_name);

    /* Only what a job that succeeded has found can be used. */
    BAD(gallery_set_aside(f->worker, job, &n_faces, &f->fault), ERR_CONFLICT, GALLERY_OTHER_JOB);
    BAD(gallery_set_aside(f->worker, job + 1, &n_faces, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_JOB);
    end_job(f, "{}");
    face_of(9, 0, probe);
    assert_int_equal(who(f, NULL, probe, DIM, name), DECISION_MATCH);
    assert_string_equal(name, "person 1");
    GOOD(gallery_set_aside(f->worker, job, &n_faces, &f->fault));
    assert_int_equal(n_faces, 2);
    assert_int_equal(who(f, NULL, probe, DIM, name), DECISION_UNKNOWN);
    assert_int_equal(indexed(f), PEOPLE * FACES);
    fixture_restart(f);
    assert_int_equal(indexed(f), PEOPLE * FACES);
    GOOD(gallery_face_get(f->worker, wrong[1], &info, &f->fault)); /* still there */
    assert_true(info.set_aside);
    int64_t other = queue_job(f, REVIEW_KIND);
    GOOD(gallery_review(f->worker, NULL, &usual, other, &work, &review, &f->fault));
    assert_int_equal(review.n_found, 0); /* they are judged no more */

    GOOD(gallery_bring_back(f->worker, job, &n_faces, &f->fault));
    assert_int_equal(n_faces, 2);
    assert_int_equal(who(f, NULL, probe, DIM, name), DECISION_MATCH);
    assert_int_equal(indexed(f), PEOPLE * FACES + 2);
    GOOD(gallery_bring_back(f->worker, job, &n_faces, &f->fault));
    assert_int_equal(n_faces, 0);
    fixture_close(f);
}

/* Where each rule sees what the other does not, and what either says of a face. */
static void test_rules(void **state)
{
    static const struct {
        enum review_rule rule;
        int own, wrong; /* faces of the person who is judged, and of a stranger under the same name */
        int subcenters; /* of the plain rule */
        int n_plain, n_refined;
    } rows[] = {
        {REVIEW_REFINED, 2, 1, 1, 0, 1}, /* a third of the middle is the stranger's own: 62 degrees */
        {REVIEW_PLAIN, 2, 1, 1, 0, 1},
        {REVIEW_PLAIN, 9, 1, 3, 1, 1}, /* ten faces: the stranger has a sub-center of his own */
        {REVIEW_REFINED, 9, 1, 3, 1, 1},
    };
    const struct long_work work = {.actor = "key1"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        char wrong[STORE_UUID_TEXT];
        struct review review;
        struct finding_row *found;
        const char *next;
        int n = 0;
        fixture_open(f, -1);
        int64_t job = queue_job(f, REVIEW_KIND);
        for (int k = 0; k < rows[i].own; k++) {
            enroll_as(f, 0, 0, k, NULL);
        }
        enroll_as(f, 0, 5, 0, wrong);
        const struct review_wish wish = {.rule = rows[i].rule};
        GOOD(gallery_review(f->worker, NULL, &wish, job, &work, &review, &f->fault));
        gallery_worker_reset(f->worker);
        int wanted = rows[i].rule == REVIEW_PLAIN ? rows[i].n_plain : rows[i].n_refined;
        if (review.n_plain != rows[i].n_plain || review.n_refined != rows[i].n_refined ||
            review.subcenters != rows[i].subcenters || review.n_found != wanted) {
            fail_msg("row %zu: plain %d, refined %d, found %d, %d sub-centers", i, review.n_plain, review.n_refined,
                     review.n_found, review.subcenters);
        }
        GOOD(store_finding_list(f->store, job, &(struct store_page){.limit = 10}, f->worker->mem, &found, &n, &next,
                                &f->fault.note));
        assert_int_equal(n, wanted);
        if (n == 1 && (strcmp(found[0].face_uuid, wrong) != 0 || found[0].subcenter < 1 || found[0].degrees < 75)) {
            fail_msg("row %zu: %s in sub-center %d at %g degrees", i, found[0].face_uuid, found[0].subcenter,
                     (double)found[0].degrees);
        }
        fixture_close(f);
    }
    assert_int_equal(review_rule_named(review_rule_word(REVIEW_PLAIN)), REVIEW_PLAIN);
    assert_int_equal(review_rule_named(review_rule_word(REVIEW_REFINED)), REVIEW_REFINED);
    assert_int_equal(review_rule_named(NULL), REVIEW_REFINED);
}

static void test_measured(void **state)
{
    struct fixture fixture, *f = &fixture;
    const struct long_work work = {.actor = "key1"};
    static struct assessment got;

    (void)state;
    fixture_open(f, -1);
    enroll_as(f, 0, 0, 0, NULL);
    enroll_as(f, 0, 0, 1, NULL);
    BAD(gallery_assess(f->worker, NULL, 0, 20, &work, &got, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    for (int i = 2; i < PEOPLE * FACES; i++) {
        enroll_as(f, i / FACES, i / FACES, i % FACES, NULL);
    }
    GOOD(gallery_assess(f->worker, NULL, 0, 20, &work, &got, &f->fault));
    assert_int_equal(got.evaluation.photos, PEOPLE * FACES);
    assert_int_equal(got.evaluation.people, PEOPLE);
    assert_false(got.sampled);
    assert_int_equal(got.evaluation.genuine, PEOPLE * FACES * (FACES - 1) / 2);
    assert_true(got.evaluation.n_tar > 0 && got.evaluation.tar[0].measured);
    assert_true(got.evaluation.tar[0].hit.value > .99); /* the axes are far apart */
    assert_true(got.evaluation.identifies && got.evaluation.rank1.value > .99);
    /* 540 pairs of strangers support one rate, a table needs two. */
    assert_int_equal(got.proposed.n_points, 0);
    assert_non_null(strstr(got.unproposed, "540 pairs of strangers"));
    /* A share of the people when there are more faces than wanted. */
    GOOD(gallery_assess(f->worker, NULL, 20, 20, &work, &got, &f->fault));
    assert_true(got.sampled && got.evaluation.photos < PEOPLE * FACES && got.n_faces == PEOPLE * FACES);
    fixture_close(f);
}

/* By what the default collection decides now. */
static struct threshold_used decides(struct fixture *f)
{
    struct identify_answer answer;
    float probe[DIM];

    face_of(9, 0, probe);
    const struct identify_query query = {.embedding = {.values = probe, .dim = DIM}};
    GOOD(gallery_identify(f->worker, &query, &answer, &f->fault));
    gallery_worker_reset(f->worker);
    return answer.threshold;
}

static int64_t measured_job(struct fixture *f, const char *kind, const char *calibration)
{
    struct collection_info info;
    char result[STORE_VERSION_TEXT + 128];
    int64_t job = queue_job(f, kind);

    GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
    (void)snprintf(result, sizeof result, "{\"model\":\"%s\",\"calibration\":%s}", info.model, calibration);
    end_job(f, result);
    return job;
}

#define FIRST_TABLE "{\"points\":[{\"fmr\":0.1,\"cosine\":0.2},{\"fmr\":0.0001,\"cosine\":0.3}]}"
#define SECOND_TABLE "{\"points\":[{\"fmr\":0.1,\"cosine\":0.4},{\"fmr\":0.0001,\"cosine\":0.5}]}"

static void test_thresholds(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct calibrated_model got;

    (void)state;
    fixture_open(f, -1);
    enroll_as(f, 0, 0, 0, NULL);
    int64_t first = measured_job(f, EVALUATION_KIND, FIRST_TABLE);
    int64_t second = measured_job(f, EVALUATION_KIND, SECOND_TABLE);
    int64_t nothing = measured_job(f, EVALUATION_KIND, "null");
    int64_t other = measured_job(f, REVIEW_KIND, FIRST_TABLE);
    int64_t broken = measured_job(f, EVALUATION_KIND, "{\"points\":[]}");
    const struct threshold_used before = decides(f);
    assert_false(before.calibrated);

    BAD(gallery_calibrate(f->worker, broken + 1, &got, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_JOB);
    BAD(gallery_calibrate(f->worker, other, &got, &f->fault), ERR_CONFLICT, GALLERY_OTHER_JOB);
    BAD(gallery_calibrate(f->worker, nothing, &got, &f->fault), ERR_CONFLICT, GALLERY_OTHER_JOB);
    BAD(gallery_calibrate(f->worker, broken, &got, &f->fault), ERR_FORMAT, GALLERY_REASON_NONE);
    BAD(gallery_calibrate_back(f->worker, first, &got, &f->fault), ERR_CONFLICT, GALLERY_OTHER_JOB);
    assert_false(decides(f).calibrated);

    GOOD(gallery_calibrate(f->worker, first, &got, &f->fault));
    assert_int_equal(got.n_points, 2);
    assert_true(decides(f).calibrated && fabsf(decides(f).cosine - .3F) < 1e-6F); /* the policy's rate is 1e-4 */
    fixture_restart(f);
    assert_true(decides(f).calibrated && fabsf(decides(f).cosine - .3F) < 1e-6F);

    GOOD(gallery_calibrate(f->worker, second, &got, &f->fault));
    assert_true(fabsf(decides(f).cosine - .5F) < 1e-6F);
    BAD(gallery_calibrate_back(f->worker, first, &got, &f->fault), ERR_CONFLICT, GALLERY_OTHER_JOB);
    GOOD(gallery_calibrate_back(f->worker, second, &got, &f->fault));
    assert_int_equal(got.n_points, 2);
    assert_true(fabsf(decides(f).cosine - .3F) < 1e-6F);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wrong_names), cmocka_unit_test(test_rules),
                                       cmocka_unit_test(test_thresholds), cmocka_unit_test(test_measured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
