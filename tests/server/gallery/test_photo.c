/* test_photo.c: photos on their way: detected or aligned, judged, kept as the collection says. */
#include "tests/server/gallery/fixture.h"

static void test_faces_wanted(void **state)
{
    static const struct {
        int seen; /* faces that the detector sees */
        enum faces_wanted wanted;
        enum err err;
        enum gallery_reason reason;
        int n;
    } rows[] = {
        {0, FACES_DEFAULT, ERR_CONFLICT, GALLERY_NO_FACE, 0},
        {0, FACES_LARGEST, ERR_CONFLICT, GALLERY_NO_FACE, 0},
        {0, FACES_ALL, ERR_CONFLICT, GALLERY_NO_FACE, 0},
        {1, FACES_DEFAULT, ERR_NONE, GALLERY_REASON_NONE, 1},
        {1, FACES_ALL, ERR_NONE, GALLERY_REASON_NONE, 1},
        {2, FACES_DEFAULT, ERR_CONFLICT, GALLERY_SEVERAL_FACES, 0},
        {2, FACES_SINGLE, ERR_CONFLICT, GALLERY_SEVERAL_FACES, 0},
        {2, FACES_LARGEST, ERR_NONE, GALLERY_REASON_NONE, 1},
        {2, FACES_ALL, ERR_NONE, GALLERY_REASON_NONE, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct enroll_answer answer = {0};
        struct collection_info info;
        fixture_open(f, rows[i].seen);
        const struct enroll_query query = {
            .subject = {.name = "anna"}, .photo = noise_photo(f, 256, 256, 5), .faces = rows[i].wanted};
        enum err err = gallery_enroll(f->worker, &query, &answer, &f->fault);
        if (err != rows[i].err || f->fault.reason != rows[i].reason || answer.n_faces != rows[i].n) {
            fail_msg("row %zu: %s, reason %d, %d faces, \"%s\"", i, err_word(err), (int)f->fault.reason, answer.n_faces,
                     f->fault.note.text);
        }
        if (answer.n_faces > 0) { /* the large face: 48 of 64 pixels, in the middle of 256 */
            const float *box = answer.faces[0].face.box;
            if (fabsf(box[0] - 32) > 2 || fabsf(box[1] - 32) > 2 || fabsf(box[2] - 192) > 4 ||
                fabsf(box[3] - 192) > 4) {
                fail_msg("row %zu: box %g %g %g %g", i, (double)box[0], (double)box[1], (double)box[2], (double)box[3]);
            }
            assert_int_equal(answer.photo.width, 256);
        }
        GOOD(gallery_collection_get(f->worker, NULL, &info, &f->fault));
        assert_int_equal(info.n_faces, rows[i].n);
        fixture_close(f);
    }
}

static void test_quality_decides(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer answer;

    (void)state;
    fixture_open(f, 2); /* the small face has 16 of 64 pixels: in a photo of 64 it is 16 pixels wide */
    struct enroll_query query = {.subject = {.name = "anna"},
                                 .photo = noise_photo(f, 64, 64, 5),
                                 .faces = FACES_ALL,
                                 .quality = QUALITY_WANTED_HIGH};
    BAD(gallery_enroll(f->worker, &query, &answer, &f->fault), ERR_CONFLICT, GALLERY_LOW_QUALITY);
    assert_non_null(strstr(f->fault.note.text, "too_small"));
    query.quality = QUALITY_WANTED_NONE;
    GOOD(gallery_enroll(f->worker, &query, &answer, &f->fault));
    assert_int_equal(answer.n_faces, 2);
    assert_int_equal(answer.n_rejected, 0);
    fixture_close(f);
}

static void test_enrolled_photo_is_found_and_its_crop_embeds_the_same(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct enroll_answer enrolled;
    struct identify_answer answer;
    struct face_image crop;
    struct look_answer looked, again;

    (void)state;
    fixture_open(f, 1);
    const struct gallery_photo photo = noise_photo(f, 256, 256, 5);
    const struct enroll_query query = {.subject = {.name = "anna"}, .photo = photo};
    GOOD(gallery_enroll(f->worker, &query, &enrolled, &f->fault));
    GOOD(gallery_identify(f->worker, &(struct identify_query){.photo = photo}, &answer, &f->fault));
    assert_int_equal(answer.n_faces, 1);
    assert_int_equal(answer.faces[0].decision, DECISION_MATCH);
    assert_true(answer.faces[0].candidates[0].cosine > .99999F);
    const struct gallery_times *times = gallery_worker_times(f->worker);
    assert_true(times->decode_ns > 0 && times->detect_ns > 0 && times->align_ns > 0 && times->embed_ns > 0 &&
                times->search_ns > 0 && times->rows_ns > 0 && times->faces == 2);

    GOOD(gallery_face_image(f->worker, enrolled.faces[0].id, FACE_CROP, &crop, &f->fault));
    assert_string_equal(crop.mime, "image/webp");
    const struct gallery_photo aligned = {.bytes = crop.bytes, .n_bytes = crop.n_bytes, .aligned = true};
    GOOD(gallery_embed(f->worker, &(struct look_query){.photo = photo}, &looked, &f->fault));
    GOOD(gallery_embed(f->worker, &(struct look_query){.photo = aligned}, &again, &f->fault));
    assert_int_equal(again.n_faces, 1);
    assert_int_equal(again.dim, DIM);
    assert_memory_equal(looked.faces[0].embedding, again.faces[0].embedding, DIM * sizeof(float)); /* lossless */

    const struct gallery_photo wrong = noise_photo(f, 100, 112, 1);
    BAD(gallery_embed(f->worker,
                      &(struct look_query){.photo = {.bytes = wrong.bytes, .n_bytes = wrong.n_bytes, .aligned = true}},
                      &again, &f->fault),
        ERR_CONFLICT, GALLERY_WRONG_CROP_SIZE);
    fixture_close(f);
}

/* They share a pass over the index, and the first needs more than that. */
static void test_all_faces_of_a_photo_are_identified_as_each_alone(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct look_answer looked;
    struct identify_answer together, alone;
    float face[2][DIM];

    (void)state;
    fixture_open(f, 2);
    struct gallery_photo photo = noise_photo(f, 64, 64, 5);
    GOOD(gallery_embed(f->worker, &(struct look_query){.photo = photo, .faces = FACES_ALL}, &looked, &f->fault));
    assert_int_equal(looked.n_faces, 2);
    memcpy(face[0], looked.faces[0].embedding, sizeof face[0]);
    memcpy(face[1], looked.faces[1].embedding, sizeof face[1]);
    for (int i = 0; i < 40; i++) {
        enroll_vector(f, NULL, "anna", face[0], DIM, NULL);
    }
    enroll_vector(f, NULL, "bert", face[1], DIM, NULL);
    photo = noise_photo(f, 64, 64, 5); /* the first went with the worker's memory */
    for (int exact = 0; exact < 2; exact++) {
        struct identify_query query = {.photo = photo, .faces = FACES_ALL, .top_k = 2, .exact = exact == 1};
        GOOD(gallery_identify(f->worker, &query, &together, &f->fault));
        assert_int_equal(together.n_faces, 2);
        for (int i = 0; i < 2; i++) {
            const struct identify_query one = {
                .embedding = {.values = face[i], .dim = DIM}, .top_k = 2, .exact = exact == 1};
            GOOD(gallery_identify(f->worker, &one, &alone, &f->fault));
            const struct identified_face *a = &together.faces[i];
            const struct identified_face *b = &alone.faces[0];
            assert_string_equal(a->candidates[0].subject_name, i == 0 ? "anna" : "bert");
            assert_int_equal(a->decision, b->decision);
            assert_int_equal(a->n_candidates, b->n_candidates);
            for (int c = 0; c < a->n_candidates; c++) {
                assert_string_equal(a->candidates[c].face_id, b->candidates[c].face_id);
                assert_true(fabsf(a->candidates[c].cosine - b->candidates[c].cosine) < 1e-6F);
            }
        }
    }
    fixture_close(f);
}

static void test_what_is_kept(void **state)
{
    static const struct {
        enum keep keep;
        bool crop, photo;
    } rows[] = {{KEEP_NONE, false, false}, {KEEP_CROP, true, false}, {KEEP_PHOTO, true, true}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture, *f = &fixture;
        struct collection_info info;
        struct enroll_answer enrolled;
        struct face_image image;
        struct face_info face;
        fixture_open(f, 1);
        const struct collection_change change = {.has_keep = true, .keep = rows[i].keep};
        GOOD(gallery_collection_patch(f->worker, "default", &change, &info, &f->fault));
        const struct gallery_photo photo = noise_photo(f, 256, 256, 5);
        const struct enroll_query query = {.subject = {.name = "anna"}, .photo = photo};
        GOOD(gallery_enroll(f->worker, &query, &enrolled, &f->fault));
        GOOD(gallery_face_get(f->worker, enrolled.faces[0].id, &face, &f->fault));
        if (face.has_crop != rows[i].crop || face.has_photo != rows[i].photo || !face.has_face) {
            fail_msg("row %zu: crop %d photo %d", i, face.has_crop, face.has_photo);
        }
        if (rows[i].photo) {
            GOOD(gallery_face_image(f->worker, enrolled.faces[0].id, FACE_PHOTO, &image, &f->fault));
            assert_int_equal(image.n_bytes, photo.n_bytes);
            assert_memory_equal(image.bytes, photo.bytes, photo.n_bytes);
            assert_string_equal(image.mime, "image/png");
        } else {
            BAD(gallery_face_image(f->worker, enrolled.faces[0].id, FACE_PHOTO, &image, &f->fault), ERR_NOT_FOUND,
                GALLERY_NO_IMAGE_KEPT);
        }
        fixture_close(f);
    }
}

static void test_deadline_and_damage(void **state)
{
    struct fixture fixture, *f = &fixture;
    struct identify_answer answer;
    struct cancel cancel = {0};

    (void)state;
    fixture_open(f, 1);
    struct identify_query query = {.photo = noise_photo(f, 256, 256, 5)};
    gallery_worker_begin(f->worker, &(struct gallery_request){.deadline_ns = 1});
    BAD(gallery_identify(f->worker, &query, &answer, &f->fault), ERR_TIMEOUT, GALLERY_REASON_NONE);
    cancel_ask(&cancel);
    gallery_worker_begin(f->worker, &(struct gallery_request){.cancel = &cancel});
    BAD(gallery_identify(f->worker, &query, &answer, &f->fault), ERR_CANCELLED, GALLERY_REASON_NONE);
    gallery_worker_begin(f->worker, &(struct gallery_request){0});
    query.photo.n_bytes /= 2;
    BAD(gallery_identify(f->worker, &query, &answer, &f->fault), ERR_FORMAT, GALLERY_DAMAGED_IMAGE);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faces_wanted),
        cmocka_unit_test(test_quality_decides),
        cmocka_unit_test(test_enrolled_photo_is_found_and_its_crop_embeds_the_same),
        cmocka_unit_test(test_all_faces_of_a_photo_are_identified_as_each_alone),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_deadline_and_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
