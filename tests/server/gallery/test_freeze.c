/* test_freeze.c: what of a collection can be trained on, and what lies in the data set then. */
#include "tests/server/gallery/fixture.h"

#include "core/train/dataset.h"
#include "server/gallery/freeze.h"

static void enroll_crop(struct fixture *f, int person, int photo)
{
    char name[16];
    struct enroll_query query = {.subject = {.name = name},
                                 .metadata = person < 10 ? "{\"site\":\"north\"}" : "{\"site\":\"south\"}"};
    struct enroll_answer answer;

    (void)snprintf(name, sizeof name, "person %d", person);
    query.photo = noise_photo(f, 112, 112, (uint64_t)(100 * person + photo));
    query.photo.aligned = true;
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    gallery_worker_reset(f->worker);
}

static void test_counted_and_written(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct cancel cancel = {0};
    const struct long_work work = {.actor = "key1", .cancel = &cancel};
    struct freezable found = {0};
    struct dataset *dataset = NULL;
    struct image crop;
    char path[PATH_MAX], people[PATH_MAX];
    float vector[DIM];

    (void)state;
    fixture_open(f, -1);
    (void)fixture_path(path, f->folder, FREEZE_DATASET);
    (void)fixture_path(people, f->folder, FREEZE_PEOPLE);
    BAD(gallery_freezable(f->worker, "nobody's", NULL, &found, &f->fault), ERR_NOT_FOUND, GALLERY_NO_SUCH_COLLECTION);
    leaning(DIM, 0, 1, .9, vector);
    enroll_vector(f, NULL, "person 0", vector, DIM, NULL);
    BAD(gallery_freezable(f->worker, NULL, NULL, &found, &f->fault), ERR_CONFLICT, GALLERY_NO_CROPS);
    for (int i = 0; i < 29; i++) {
        enroll_crop(f, i % 10, i / 10);
    }
    BAD(gallery_freezable(f->worker, NULL, NULL, &found, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    assert_non_null(strstr(f->fault.note.text, "10 people with 29 crops"));
    BAD(gallery_freeze(f->worker, NULL, NULL, f->folder, &work, &found, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    assert_false(file_exists(path));
    enroll_crop(f, 9, 2);
    enroll_crop(f, 9, 3);
    GOOD(gallery_freezable(f->worker, NULL, NULL, &found, &f->fault));
    assert_int_equal(found.n_people, 10);
    assert_int_equal(found.n_photos, 31);
    assert_int_equal(found.n_without_crop, 1);
    assert_int_equal(found.median_photos, 3);

    cancel_ask(&cancel);
    GOOD(gallery_freeze(f->worker, NULL, NULL, f->folder, &work, &found, &f->fault) == ERR_CANCELLED ? ERR_NONE
                                                                                                     : ERR_MISUSE);
    assert_false(file_exists(path));
    assert_false(file_exists(people));
    cancel = (struct cancel){0};
    found = (struct freezable){0};
    GOOD(gallery_freeze(f->worker, NULL, NULL, f->folder, &work, &found, &f->fault));
    assert_int_equal(found.n_photos, 31);
    assert_int_equal(found.model.side_px, 112);
    assert_true(file_exists(people));
    GOOD(dataset_open(path, &dataset, &f->fault.note));
    assert_int_equal(dataset_people(dataset), 10);
    assert_int_equal(dataset_count(dataset), 31);
    assert_int_equal(dataset_side(dataset), 112);
    for (int i = 0; i < 31; i++) {
        assert_int_equal(dataset_label(dataset, i), i < 30 ? i / 3 : 9);
    }
    GOOD(dataset_crop(dataset, 30, f->worker->mem, &crop, &f->fault.note));
    assert_int_equal(crop.width, 112);
    dataset_close(dataset);
    fixture_close(f);
}

static void test_only_whom_a_filter_lets_pass(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct cancel cancel = {0};
    const struct long_work work = {.actor = "key1", .cancel = &cancel};
    struct freezable found = {0};
    struct dataset *dataset = NULL;
    char path[PATH_MAX];
    float vector[DIM];

    (void)state;
    fixture_open(f, -1);
    (void)fixture_path(path, f->folder, FREEZE_DATASET);
    for (int i = 0; i < 36; i++) {
        enroll_crop(f, i % 12, i / 12);
    }
    leaning(DIM, 0, 1, .9, vector);
    enroll_vector(f, NULL, "person 3", vector, DIM, NULL);
    enroll_vector(f, NULL, "person 11", vector, DIM, NULL);

    GOOD(gallery_freezable(f->worker, NULL, "{}", &found, &f->fault));
    assert_int_equal(found.n_people, 12);
    assert_int_equal(found.n_without_crop, 2);
    BAD(gallery_freezable(f->worker, NULL, "{\"site\":\"south\"}", &found, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    assert_non_null(strstr(f->fault.note.text, "2 people with 6 crops"));
    assert_non_null(strstr(f->fault.note.text, "(1 faces have none)"));
    BAD(gallery_freezable(f->worker, NULL, "{\"site\":\"nowhere\"}", &found, &f->fault), ERR_CONFLICT, GALLERY_TOO_FEW);
    BAD(gallery_freezable(f->worker, NULL, "{\"site\":{}}", &found, &f->fault), ERR_MISUSE, GALLERY_BAD_OPTION);

    GOOD(gallery_freeze(f->worker, NULL, "{\"site\":\"north\"}", f->folder, &work, &found, &f->fault));
    assert_int_equal(found.n_people, 10);
    assert_int_equal(found.n_photos, 30);
    assert_int_equal(found.n_without_crop, 1);
    GOOD(dataset_open(path, &dataset, &f->fault.note));
    assert_int_equal(dataset_people(dataset), 10);
    assert_int_equal(dataset_count(dataset), 30);
    dataset_close(dataset);
    fixture_close(f);
}

/* The rows of the file of negatives, or -1 where there is none. */
static int read_negatives(struct fixture *f, float rows[8][DIM])
{
    char path[PATH_MAX];
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    (void)fixture_path(path, f->folder, FREEZE_NEGATIVES);
    if (file_read(path, 8 * DIM * sizeof(float), &bytes, &n_bytes, NULL) != ERR_NONE) {
        return -1;
    }
    assert_int_equal(n_bytes % (DIM * sizeof(float)), 0);
    memcpy(rows, bytes, n_bytes);
    mem_free(bytes);
    return (int)(n_bytes / (DIM * sizeof(float)));
}

/* Whoever is enrolled and not in the data set is somebody to keep away from; nobody of another collection is. */
static void test_others_are_kept_away_from(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct cancel cancel = {0};
    const struct long_work work = {.actor = "key1", .cancel = &cancel};
    struct freezable found = {0};
    float vector[3][DIM];
    float rows[8][DIM];
    struct collection_info info;
    bool is_new = false;
    int n = -1;

    (void)state;
    fixture_open(f, -1);
    for (int i = 0; i < 36; i++) {
        enroll_crop(f, i % 12, i / 12);
    }
    GOOD(gallery_freeze(f->worker, NULL, NULL, f->folder, &work, &found, &f->fault));
    GOOD(gallery_freeze_negatives(f->worker, &found, f->folder, &work, &n, &f->fault));
    assert_int_equal(n, 0);
    assert_int_equal(read_negatives(f, rows), -1);

    leaning(DIM, 0, 1, .9, vector[0]);
    leaning(DIM, 0, 1, .95, vector[1]);
    leaning(DIM, 2, 3, .9, vector[2]);
    enroll_vector(f, NULL, "no crop", vector[0], DIM, NULL);
    enroll_vector(f, NULL, "no crop", vector[1], DIM, NULL);
    enroll_vector(f, NULL, "person 3", vector[2], DIM, NULL); /* who has crops, too */
    GOOD(gallery_collection_put(f->worker, "others", &(struct collection_change){0}, &info, &is_new, &f->fault));
    enroll_vector(f, "others", "somebody", vector[2], DIM, NULL);

    /* without a filter only who has no crop; with one also those whom it does not let pass */
    GOOD(gallery_freeze(f->worker, NULL, NULL, f->folder, &work, &found, &f->fault));
    GOOD(gallery_freeze_negatives(f->worker, &found, f->folder, &work, &n, &f->fault));
    assert_int_equal(n, 1);
    assert_int_equal(read_negatives(f, rows), 1);
    double length = 0;
    double along[2] = {0};
    for (int k = 0; k < DIM; k++) {
        length += (double)rows[0][k] * (double)rows[0][k];
        along[0] += (double)rows[0][k] * (double)vector[0][k];
        along[1] += (double)rows[0][k] * (double)vector[1][k];
    }
    assert_float_equal(length, 1, 1e-5);
    assert_float_equal(along[0], along[1], 1e-5); /* midway */
    assert_true(along[0] > .99);
    GOOD(gallery_freeze(f->worker, NULL, "{\"site\":\"north\"}", f->folder, &work, &found, &f->fault));
    cancel_ask(&cancel);
    assert_int_equal(gallery_freeze_negatives(f->worker, &found, f->folder, &work, &n, &f->fault), ERR_CANCELLED);
    assert_int_equal(read_negatives(f, rows), 1);
    cancel = (struct cancel){0};
    GOOD(gallery_freeze_negatives(f->worker, &found, f->folder, &work, &n, &f->fault));
    assert_int_equal(n, 3);
    assert_int_equal(read_negatives(f, rows), 3);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counted_and_written),
                                       cmocka_unit_test(test_others_are_kept_away_from),
                                       cmocka_unit_test(test_only_whom_a_filter_lets_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
