/* test_also.c: a face that another subject has already: enrolling it says so, or refuses, and never fails for the question's sake. */
#include "tests/server/gallery/fixture.h"

#include "core/base/hash.h"
#include "server/gallery/import.h"
#include "server/store/db_private.h"
#include "server/store/embedding_rows.h"
#include "server/store/enroll.h"
#include "server/store/import_rows.h"
#include "server/store/job_rows.h"

/* Enrolls a vector; the answer lives until the worker is reset. */
static enum err enroll(struct fixture *f, const char *name, const float *vector, enum on_duplicate on_duplicate,
                       struct enroll_answer *ret)
{
    const struct enroll_query query = {
        .subject = {.name = name}, .embedding = {.values = vector, .dim = DIM}, .on_duplicate = on_duplicate};

    f->fault = (struct gallery_fault){0};
    return gallery_enroll(f->worker, &query, ret, &f->fault);
}

static int64_t faces_of(struct fixture *f, const char *collection)
{
    struct collection_info info;

    GOOD(gallery_collection_get(f->worker, collection, &info, &f->fault));
    return info.n_faces;
}

static void test_others_are_told(void **state)
{
    static const struct {
        const char *name;
        int a, b;
        double c;              /* leaning(a, b, c) */
        const char *others[3]; /* in this order */
    } rows[] = {
        {"anna", 0, 1, 1, {NULL}},
        {"anna", 0, 1, .99, {NULL}}, /* her own do not count */
        {"bert", 2, 3, 1, {NULL}},
        {"cora", 0, 4, .8, {"anna"}},
        {"dora", 0, 5, .39, {NULL}}, /* below the threshold of .40 */
        {"emil", 0, 2, .8, {"anna", "cora", "bert"}},
        {"anna", 0, 6, .97, {"cora", "emil"}},
    };
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    struct collection_info info;
    float vector[DIM];
    bool is_new;

    (void)state;
    fixture_open(f, -1);
    GOOD(gallery_collection_put(f->worker, "other", &(struct collection_change){0}, &info, &is_new, &f->fault));
    leaning(DIM, 2, 3, 1, vector);
    enroll_vector(f, "other", "zoe", vector, DIM, NULL); /* of another collection, so never told */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        leaning(DIM, rows[i].a, rows[i].b, rows[i].c, vector);
        GOOD(enroll(f, rows[i].name, vector, DUPLICATE_KEEP, &answer));
        const struct also *also = &answer.faces[0].also;
        int n = 0;
        assert_true(also->asked);
        for (; n < 3 && rows[i].others[n] != NULL; n++) {
            if (n >= also->n || strcmp(also->faces[n].subject_name, rows[i].others[n]) != 0 ||
                !also->faces[n].has_cosine || also->faces[n].cosine < .4F || also->faces[n].same_photo ||
                strlen(also->faces[n].face_id) != 36 || strlen(also->faces[n].subject_id) != 36) {
                fail_msg("row %zu: other %d of %d", i, n, also->n);
            }
        }
        if (also->n != n) {
            fail_msg("row %zu: %d others", i, also->n);
        }
        gallery_worker_reset(f->worker);
    }
    fixture_close(f);
}

/* A subject's own faces, however many come first, hide nobody until there are ALSO_LOOK of them. */
static void test_own_faces_do_not_hide_others(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    float vector[DIM], stranger[DIM];
    int told_at = 0;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, vector);
    leaning(DIM, 0, 1, .9, stranger);
    enroll_vector(f, NULL, "bert", stranger, DIM, NULL);
    for (int i = 1; i < ALSO_LOOK; i++) {
        GOOD(enroll(f, "anna", vector, DUPLICATE_KEEP, &answer));
        told_at += answer.faces[0].also.n == 1 && strcmp(answer.faces[0].also.faces[0].subject_name, "bert") == 0;
        gallery_worker_reset(f->worker);
    }
    assert_int_equal(told_at, ALSO_LOOK - 1);
    fixture_close(f);
}

static void test_refusing_what_others_have(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    struct subject_info *subjects;
    const char *next;
    float anna[DIM], near[DIM], far[DIM];
    char face[37];
    int n = 0;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    leaning(DIM, 0, 2, .5, near);
    leaning(DIM, 0, 3, .3, far);
    enroll_vector(f, NULL, "anna", anna, DIM, face);
    BAD(enroll(f, "bert", near, DUPLICATE_REJECT_ANY, &answer), ERR_EXISTS, GALLERY_DUPLICATE);
    GOOD(gallery_subjects(f->worker, NULL, "anna", NULL, 10, &subjects, &n, &next, &f->fault));
    BAD(enroll(f, "bert", near, DUPLICATE_REJECT_ANY, &answer), ERR_EXISTS, GALLERY_DUPLICATE);
    assert_non_null(strstr(f->fault.note.text, subjects[0].id)); /* it says who */
    assert_non_null(strstr(f->fault.note.text, face));
    assert_null(strstr(f->fault.note.text, "anna")); /* and by no name: sentences are logged */
    GOOD(gallery_subjects(f->worker, NULL, "bert", NULL, 10, &subjects, &n, &next, &f->fault));
    assert_int_equal(n, 0); /* nothing of it was stored */
    gallery_worker_reset(f->worker);
    BAD(enroll(f, "anna", anna, DUPLICATE_REJECT_ANY, &answer), ERR_EXISTS, GALLERY_DUPLICATE); /* as reject does */
    GOOD(enroll(f, "anna", near, DUPLICATE_REJECT_ANY, &answer)); /* her own face, and not the same one */
    gallery_worker_reset(f->worker);
    GOOD(enroll(f, "bert", far, DUPLICATE_REJECT_ANY, &answer));
    gallery_worker_reset(f->worker);
    GOOD(enroll(f, "cora", anna, DUPLICATE_REJECT, &answer)); /* reject asks of the subject only */
    assert_int_equal(answer.faces[0].also.n, 1);
    gallery_worker_reset(f->worker);
    assert_int_equal(faces_of(f, "default"), 4);
    fixture_close(f);
}

/* A photo that outlives the worker's arena, and its hash. */
static struct gallery_photo photo_kept(struct fixture *f, uint64_t seed, struct arena *mem,
                                       unsigned char ret_sha256[HASH_SHA256_BYTES])
{
    struct gallery_photo photo = noise_photo(f, 300, 300, seed);
    unsigned char *bytes = arena_alloc(mem, photo.n_bytes, 1);

    assert_non_null(bytes);
    memcpy(bytes, photo.bytes, photo.n_bytes);
    photo.bytes = bytes;
    hash_sha256(bytes, photo.n_bytes, ret_sha256);
    gallery_worker_reset(f->worker);
    return photo;
}

static void test_the_same_photo(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    unsigned char sha256[HASH_SHA256_BYTES];

    (void)state;
    fixture_open(f, 1);
    struct arena *mem = arena_new((size_t)16 << 20);
    struct enroll_query query = {
        .subject = {.name = "anna"}, .photo = photo_kept(f, 1, mem, sha256), .quality = QUALITY_WANTED_NONE};
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.faces[0].also.n, 0);
    gallery_worker_reset(f->worker);
    query.subject.name = "bert";
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    const struct also *also = &answer.faces[0].also;
    assert_int_equal(also->n, 1);
    assert_string_equal(also->faces[0].subject_name, "anna");
    assert_true(also->faces[0].same_photo && also->faces[0].cosine > .999F);
    gallery_worker_reset(f->worker);
    arena_free(mem);
    fixture_close(f);
}

/* The embedding that a photo gets; nothing of it stays. */
static void embedding_of(struct fixture *f, const struct gallery_photo *photo, float *ret)
{
    const struct enroll_query query = {.subject = {.name = "x"}, .photo = *photo, .quality = QUALITY_WANTED_NONE};
    struct enroll_answer answer;
    struct face_row row;
    struct receipt receipt;

    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    GOOD(store_face_find_uuid(f->store, answer.faces[0].id, f->worker->mem, &row, &f->fault.note));
    GOOD(store_embedding_get(f->store, row.id, 1, ret, DIM, NULL, &f->fault.note));
    GOOD(gallery_forget_subject(f->worker, answer.subject_id, &receipt, &f->fault));
    gallery_worker_reset(f->worker);
}

/* Gives somebody a face of a photo without the index knowing it. */
static void face_of_photo(struct fixture *f, const char *name, const float *vector, const unsigned char *sha256,
                          struct arena *mem)
{
    struct enrolled enrolled;
    const struct enroll_face face = {.embedding = vector};
    const struct enroll what = {.collection_id = 1,
                                .model_id = 1,
                                .subject_name = name,
                                .faces = &face,
                                .n_faces = 1,
                                .photo = {.sha256 = sha256},
                                .actor = "key1"};

    GOOD(store_enroll(f->store, &what, NULL, mem, &enrolled, &f->fault.note));
}

/* Somebody else who is on a photo too: told, with a cosine that is no match, and no reason to refuse. */
static void test_another_face_of_the_same_photo(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    unsigned char sha256[HASH_SHA256_BYTES];
    float vector[DIM];
    float across[DIM] = {0};

    (void)state;
    fixture_open(f, 1);
    struct arena *mem = arena_new((size_t)16 << 20);
    struct enroll_query query = {.subject = {.name = "cora"},
                                 .photo = photo_kept(f, 2, mem, sha256),
                                 .quality = QUALITY_WANTED_NONE,
                                 .on_duplicate = DUPLICATE_REJECT_ANY};
    embedding_of(f, &query.photo, vector);
    float length = hypotf(vector[0], vector[1]);
    across[0] = -vector[1] / length; /* at a right angle */
    across[1] = vector[0] / length;
    face_of_photo(f, "dora", across, sha256, mem);
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    const struct also *also = &answer.faces[0].also;
    assert_int_equal(also->n, 1);
    assert_string_equal(also->faces[0].subject_name, "dora");
    assert_true(also->faces[0].same_photo && also->faces[0].has_cosine && fabsf(also->faces[0].cosine) < 1e-4F);
    gallery_worker_reset(f->worker);
    arena_free(mem);
    fixture_close(f);
}

static enum err damage(struct db *db, void *context, struct err_note *note)
{
    (void)context;
    return db_run(db, "UPDATE embeddings SET vector = zeroblob(length(vector))", NULL, note);
}

/* The question may fail without the enrolment: then nobody knows.  Who refuses must know. */
static void test_a_failed_question_loses_nothing(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    float vector[DIM];
    unsigned char digest[HASH_SHA256_BYTES];

    (void)state;
    fixture_open(f, 1);
    struct arena *mem = arena_new((size_t)16 << 20);
    struct enroll_query query = {
        .subject = {.name = "anna"}, .photo = photo_kept(f, 1, mem, digest), .quality = QUALITY_WANTED_NONE};
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    gallery_worker_reset(f->worker);
    /* Another face of that photo, which the index does not hold: its row is asked for its embedding, which is damaged. */
    leaning(DIM, 0, 1, 1, vector);
    face_of_photo(f, "dora", vector, digest, mem);
    GOOD(db_change(f->store, damage, NULL, NULL, &f->fault.note));
    query.subject.name = "bert";
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    assert_false(answer.faces[0].also.asked);
    gallery_worker_reset(f->worker);
    query.subject.name = "cora";
    query.on_duplicate = DUPLICATE_REJECT_ANY;
    f->fault = (struct gallery_fault){0};
    assert_int_equal(gallery_enroll(f->worker, &query, &answer, &f->fault), ERR_CORRUPT);
    gallery_worker_reset(f->worker);
    assert_int_equal(faces_of(f, "default"), 3);
    arena_free(mem);
    fixture_close(f);
}

/* Without memory it is either stored or refused, whatever was being asked. */
static void test_no_memory_is_told_or_not_stored(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;
    float anna[DIM];
    int64_t stored = 1;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    enroll_vector(f, NULL, "anna", anna, DIM, NULL);
    for (long n = 0; n < 60; n++) {
        mem_fail_at(n);
        enum err err = enroll(f, "bert", anna, DUPLICATE_KEEP, &answer);
        mem_fail_at(-1);
        if (err == ERR_NONE && answer.faces[0].also.asked && answer.faces[0].also.n != 1) {
            fail_msg("allocation %ld: %d others", n, answer.faces[0].also.n);
        }
        stored += err == ERR_NONE;
        gallery_worker_reset(f->worker);
        assert_int_equal(faces_of(f, "default"), stored);
        gallery_worker_reset(f->worker);
        mem_fail_at(n);
        err = enroll(f, "cora", anna, DUPLICATE_REJECT_ANY, &answer);
        mem_fail_at(-1);
        assert_int_not_equal(err, ERR_NONE);
        gallery_worker_reset(f->worker);
        assert_int_equal(faces_of(f, "default"), stored);
        gallery_worker_reset(f->worker);
    }
    assert_true(stored > 10);
    fixture_close(f);
}

/* ---- Imports ------------------------------------------------------------------------------------------------------ */

struct line {
    const char *name;
    int a, b;
    double c;
};

/* Imports lines as export.h has them; returns the job. */
static int64_t import_of(struct fixture *f, const struct line *lines, int n, enum on_duplicate on_duplicate)
{
    char path[PATH_MAX];
    struct collection_info info;
    float vector[DIM];
    int64_t job = 0;

    (void)fixture_path(path, f->folder, "lines");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    GOOD(gallery_collection_get(f->worker, "default", &info, &f->fault));
    (void)fprintf(file, "{\"type\":\"header\",\"format\":1,\"model\":\"%s\"}\n", info.model);
    gallery_worker_reset(f->worker);
    for (int i = 0; i < n; i++) {
        leaning(DIM, lines[i].a, lines[i].b, lines[i].c, vector);
        (void)fprintf(file, "{\"type\":\"face\",\"subject\":{\"name\":\"%s\"},\"embedding\":[", lines[i].name);
        for (int k = 0; k < DIM; k++) {
            (void)fprintf(file, "%s%.9g", k == 0 ? "" : ",", (double)vector[k]);
        }
        (void)fprintf(file, "]}\n");
    }
    (void)fprintf(file, "{\"type\":\"end\"}\n");
    assert_int_equal(fclose(file), 0);
    GOOD(store_job_add(f->store, "import", 1, "{}", "key1", NULL, &job, &f->fault.note));
    const struct import_plan plan = {.path = path,
                                     .job_id = job,
                                     .on_duplicate = on_duplicate,
                                     .actor = "key1",
                                     .n_workers = 1,
                                     .arena_bytes = (size_t)16 << 20};
    GOOD(gallery_import(f->gallery, &plan, &f->fault));
    return job;
}

/* The items of a job as "2 enrolled anna|3 duplicate|": number, outcome, and who else has the face. */
static void items_text(struct fixture *f, int64_t job, char *ret, size_t room)
{
    struct import_item *items = NULL;
    struct import_other *others = NULL;
    const char *next = NULL;
    int n = 0;
    int n_others = 0;
    size_t used = 0;

    ret[0] = '\0';
    GOOD(store_import_list(f->store, job, &(struct store_page){.limit = 100}, f->worker->mem, &items, &n, &next,
                           &f->fault.note));
    GOOD(store_import_others(f->store, job, 0, INT64_MAX, 500, f->worker->mem, &others, &n_others, &f->fault.note));
    for (int64_t number = 1; number < 100; number++) {
        for (int i = 0; i < n; i++) {
            if (items[i].number != number) {
                continue;
            }
            used += (size_t)snprintf(ret + used, room - used, "%d %s", (int)number, items[i].outcome);
            for (int k = 0; k < n_others; k++) {
                if (others[k].item_id == items[i].id) {
                    used += (size_t)snprintf(ret + used, room - used, " %s", others[k].subject_name);
                }
            }
            used += (size_t)snprintf(ret + used, room - used, "|");
        }
    }
    gallery_worker_reset(f->worker);
}

static void forget(struct fixture *f, const char *name)
{
    struct subject_info *subjects;
    struct receipt receipt;
    const char *next;
    int n = 0;

    GOOD(gallery_subjects(f->worker, NULL, name, NULL, 10, &subjects, &n, &next, &f->fault));
    assert_int_equal(n, 1);
    GOOD(gallery_forget_subject(f->worker, subjects[0].id, &receipt, &f->fault));
    gallery_worker_reset(f->worker);
}

static void test_imports_tell_and_refuse(void **state)
{
    static const struct line lines[] = {
        {"bert", 0, 1, 1},  /* 2: anna's, who is enrolled */
        {"cora", 2, 3, 1},  /* 3 */
        {"cora", 2, 3, .9}, /* 4: her own, once more */
        {"dora", 2, 4, .9}, /* 5: cora's, of the same batch */
        {"bert", 0, 5, .6}, /* 6: anna's and his own */
    };
    int n = (int)(sizeof lines / sizeof lines[0]);
    struct fixture fixture, *f = &fixture;
    float anna[DIM];
    char text[1024];
    int64_t count = 0;

    (void)state;
    fixture_open(f, -1);
    leaning(DIM, 0, 1, 1, anna);
    enroll_vector(f, NULL, "anna", anna, DIM, NULL);
    int64_t refused = import_of(f, lines, n, DUPLICATE_REJECT_ANY);
    items_text(f, refused, text, sizeof text);
    assert_string_equal(text, "2 duplicate|3 enrolled|4 enrolled|5 duplicate|6 duplicate|");
    assert_int_equal(faces_of(f, "default"), 3);
    gallery_worker_reset(f->worker);
    forget(f, "cora");
    int64_t kept = import_of(f, lines, n, DUPLICATE_KEEP);
    items_text(f, kept, text, sizeof text);
    assert_string_equal(text, "2 enrolled anna|3 enrolled|4 enrolled|5 enrolled cora|6 enrolled anna|");
    GOOD(store_import_count_others(f->store, kept, &count, &f->fault.note));
    assert_int_equal(count, 3);
    forget(f, "anna"); /* whoever is erased is named nowhere */
    items_text(f, kept, text, sizeof text);
    assert_string_equal(text, "2 enrolled|3 enrolled|4 enrolled|5 enrolled cora|6 enrolled|");
    forget(f, "dora");
    items_text(f, kept, text, sizeof text);
    assert_string_equal(text, "2 enrolled|3 enrolled|4 enrolled|5 erased|6 enrolled|");
    GOOD(store_import_count_others(f->store, kept, &count, &f->fault.note));
    assert_int_equal(count, 0);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_are_told),
        cmocka_unit_test(test_own_faces_do_not_hide_others),
        cmocka_unit_test(test_refusing_what_others_have),
        cmocka_unit_test(test_the_same_photo),
        cmocka_unit_test(test_another_face_of_the_same_photo),
        cmocka_unit_test(test_a_failed_question_loses_nothing),
        cmocka_unit_test(test_no_memory_is_told_or_not_stored),
        cmocka_unit_test(test_imports_tell_and_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
