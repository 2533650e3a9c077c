/* verify.c: one probe against one claim. */
#include "server/gallery/verify.h"

#include <string.h>

#include "core/base/clock.h"
#include "server/gallery/pipeline.h"
#include "server/store/embedding_rows.h"
#include "server/store/face_rows.h"
#include "server/store/subject_rows.h"

struct verifying {
    struct gallery_worker *worker;
    const struct verify_query *query;
    struct collection_row collection;
    struct pair *pair;
    struct verify_answer answer;
};

/* One side that was sent: a photo or an embedding. */
struct side {
    const struct gallery_photo *photo;
    const struct gallery_embedding *embedding;
    const char *which;
    struct photo_size *ret_size;
    bool *ret_has_face;
    struct seen_face *ret_face;
};

static enum err check_query(const struct verify_query *query, struct gallery_fault *fault)
{
    int probes = (query->photo.bytes != NULL) + (query->embedding.values != NULL);
    int claims = (query->photo2.bytes != NULL) + (query->embedding2.values != NULL) + (query->subject.id != NULL) +
                 (query->subject.name != NULL) + (query->face_id != NULL);

    if (probes != 1) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "send either a photo or an embedding to verify");
    }
    if (claims != 1) {
        return ERR_SAY(
            &fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
            "say what to compare with: exactly one of a subject, a face, a second photo, a second embedding");
    }
    if (query->faces == FACES_ALL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "faces must be \"largest\" or \"single\" here");
    }
    return ERR_NONE;
}

/* The vector of a side that was sent. */
static enum err embed_side(struct verifying *v, const struct side *side, const float **ret, struct gallery_fault *fault)
{
    struct model *model = v->pair->model;
    struct pipeline_photo photo = {0};
    enum faces_wanted wanted = v->query->faces == FACES_DEFAULT ? FACES_LARGEST : v->query->faces;
    float norm;

    if (side->photo->bytes == NULL) {
        return pipeline_vector(v->worker, side->embedding, model->dim, ret, &norm, fault);
    }
    enum err err = pipeline_look(v->worker, side->photo, model, &photo, fault);
    if (err == ERR_NONE) {
        err = pipeline_choose(&photo, wanted, FACE_NEEDED, side->which, fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_crop(v->worker, &photo, model, QUALITY_AUTO, fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_choose(&photo, wanted, FACE_NEEDED, side->which, fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_embed(v->worker, model, photo.faces, 1, fault);
    }
    if (err == ERR_NONE) {
        *side->ret_size = pipeline_size(&photo);
        *side->ret_has_face = !photo.faces[0].aligned;
        *side->ret_face = pipeline_seen(&photo.faces[0]);
        *ret = photo.faces[0].embedding;
    }
    return err;
}

static void claim_face(struct verifying *v, const struct face_row *row, float cosine)
{
    v->answer.cosine = cosine;
    v->answer.face_id = row->uuid;
    v->answer.subject_id = row->subject_uuid;
    v->answer.subject_name = row->subject_name;
}

static enum err stored_cosine(struct verifying *v, int64_t face_id, const float *probe, float *scratch, float *ret,
                              struct gallery_fault *fault)
{
    const struct model *model = v->pair->model;
    enum err err =
        store_embedding_get(v->worker->gallery->store, face_id, model->row_id, scratch, model->dim, NULL, &fault->note);

    if (err == ERR_NONE) {
        *ret = pipeline_cosine(probe, scratch, model->dim);
    }
    return err;
}

static enum err against_face(struct verifying *v, const float *probe, float *scratch, struct gallery_fault *fault)
{
    struct face_row *row = ARENA_NEW(v->worker->mem, struct face_row);
    float cosine = 0;

    if (row == NULL) {
        return spent(v->worker->mem);
    }
    enum err err = find_face(v->worker, &v->collection, v->query->face_id, row, fault);
    if (err == ERR_NONE) {
        err = stored_cosine(v, row->id, probe, scratch, &cosine, fault);
    }
    if (err == ERR_NONE) {
        claim_face(v, row, cosine);
    }
    return err;
}

/* The best face of one page of a subject's. */
static enum err against_page(struct verifying *v, const struct face_row *rows, int n, const float *probe,
                             float *scratch, bool *found, struct gallery_fault *fault)
{
    for (int i = 0; i < n; i++) {
        float cosine = 0;
        struct gallery_fault passed = {0};
        if (rows[i].set_aside) {
            continue; /* probably somebody else's */
        }
        enum err err = stored_cosine(v, rows[i].id, probe, scratch, &cosine, &passed);
        if (err == ERR_NOT_FOUND) {
            continue; /* deleted since the page was read */
        }
        if (err != ERR_NONE) {
            *fault = passed;
            return err;
        }
        if (!*found || cosine > v->answer.cosine) {
            claim_face(v, &rows[i], cosine);
            *found = true;
        }
    }
    return ERR_NONE;
}

static enum err against_subject(struct verifying *v, const float *probe, float *scratch, struct gallery_fault *fault)
{
    struct subject_row subject = {0};
    struct store_page page = {.limit = STORE_PAGE_LIMIT};
    bool found = false;

    enum err err = find_subject(v->worker, &v->collection, &v->query->subject, &subject, fault);
    while (err == ERR_NONE) {
        struct face_row *rows = NULL;
        int n = 0;
        const char *next = NULL;
        err = store_face_list(v->worker->gallery->store, subject.id, &page, v->worker->mem, &rows, &n, &next,
                              &fault->note);
        if (err == ERR_NONE) {
            err = against_page(v, rows, n, probe, scratch, &found, fault);
        }
        if (err == ERR_NONE) {
            err = worker_may_go_on(v->worker, fault);
        }
        if (next == NULL) {
            break;
        }
        page.token = next;
    }
    if (err == ERR_NONE && !found) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_SUBJECT, ERR_NOT_FOUND),
                       "this subject has no face to compare with");
    }
    return err;
}

static enum err against_claim(struct verifying *v, const float *probe, struct gallery_fault *fault)
{
    const struct verify_query *query = v->query;
    const struct side second = {.photo = &query->photo2,
                                .embedding = &query->embedding2,
                                .which = "the second photo",
                                .ret_size = &v->answer.photo2,
                                .ret_has_face = &v->answer.has_face2,
                                .ret_face = &v->answer.face2};
    const float *other = NULL;

    if (query->photo2.bytes != NULL || query->embedding2.values != NULL) {
        enum err err = embed_side(v, &second, &other, fault);
        if (err == ERR_NONE) {
            v->answer.cosine = pipeline_cosine(probe, other, v->pair->model->dim);
        }
        return err;
    }
    float *scratch = ARENA_ARRAY(v->worker->mem, float, v->pair->model->dim);
    if (scratch == NULL) {
        return spent(v->worker->mem);
    }
    int64_t begin = clock_monotonic_ns();
    enum err err =
        query->face_id != NULL ? against_face(v, probe, scratch, fault) : against_subject(v, probe, scratch, fault);
    v->worker->times.rows_ns += clock_monotonic_ns() - begin;
    return err;
}

static enum err run(struct verifying *v, struct gallery_fault *fault)
{
    const struct verify_query *query = v->query;
    const struct side first = {.photo = &query->photo,
                               .embedding = &query->embedding,
                               .which = "the photo",
                               .ret_size = &v->answer.photo,
                               .ret_has_face = &v->answer.has_face,
                               .ret_face = &v->answer.face};
    struct collection_settings settings = {0};
    struct calibration calibration;
    const float *probe = NULL;
    float margin;

    enum err err = settings_read(&v->collection, &settings, fault);
    if (err == ERR_NONE) {
        models_calibration(v->worker->gallery->models, v->pair->model, &calibration);
        err = decision_threshold(&query->threshold, &settings.threshold, &calibration, &v->worker->gallery->policy,
                                 &v->answer.threshold, &margin, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    v->answer.model = arena_copy_text(v->worker->mem, v->pair->model->version);
    if (v->answer.model == NULL) {
        return spent(v->worker->mem);
    }
    err = embed_side(v, &first, &probe, fault);
    if (err == ERR_NONE) {
        err = against_claim(v, probe, fault);
    }
    if (err == ERR_NONE) {
        v->answer.match =
            decision_make(v->answer.cosine, DECISION_NOBODY, v->answer.threshold.cosine, -1) == DECISION_MATCH;
    }
    return err;
}

enum err gallery_verify(struct gallery_worker *worker, const struct verify_query *query, struct verify_answer *ret,
                        struct gallery_fault *fault)
{
    struct verifying v = {.worker = worker, .query = query};

    enum err err = check_query(query, fault);
    if (err == ERR_NONE) {
        err = find_pair(worker, query->collection, &v.collection, &v.pair, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    err = run(&v, fault);
    live_unref(worker->gallery->live, v.pair);
    if (err == ERR_NONE) {
        *ret = v.answer;
    }
    return err;
}
