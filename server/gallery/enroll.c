/* enroll.c: photo or embedding → rows → index. */
#include "server/gallery/enroll.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/image/encode.h"
#include "server/gallery/pipeline.h"
#include "server/store/enroll.h"
#include "server/store/subject_rows.h"

#define OTHERS_ARENA_BYTES ((size_t)8 << 20)
#define TRIES 8 /* a collection changes its model while a photo is looked at: rarely once, hardly twice */

/* One call on its way from the query to the answer. */
struct enrolling {
    struct gallery_worker *worker;
    const struct enroll_query *query;
    struct collection_row collection;
    struct pair *pair;
    struct pipeline_photo photo;
    int n_rejected;
    struct seen_face *rejected;
    unsigned rejected_for; /* all reasons together */
    bool outdated;         /* the rows refused the embedding, because the collection had another model by then */
};

static enum quality_level level_of(enum quality_wanted wanted)
{
    switch (wanted) {
    case QUALITY_WANTED_AUTO: return QUALITY_AUTO;
    case QUALITY_WANTED_HIGH: return QUALITY_HIGH;
    case QUALITY_WANTED_NONE: break;
    }
    return QUALITY_NONE;
}

static enum err check_query(const struct enroll_query *query, struct gallery_fault *fault)
{
    bool photo = query->photo.bytes != NULL;
    bool embedding = query->embedding.values != NULL;

    if (photo == embedding) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "send either a photo or an embedding");
    }
    if ((query->subject.id == NULL) == (query->subject.name == NULL)) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "say whose face it is: by name or by id");
    }
    enum err err = ERR_NONE;
    if (query->subject.name != NULL) {
        err = store_name_check("the subject's name", query->subject.name, &fault->note);
    }
    if (err == ERR_NONE && query->external_id != NULL) {
        err = store_name_check("external_id", query->external_id, &fault->note);
    }
    if (err != ERR_NONE) {
        return gallery_fail(fault, GALLERY_BAD_NAME, ERR_MISUSE);
    }
    if (query->metadata != NULL && store_json_check("metadata", query->metadata, &fault->note) != ERR_NONE) {
        return gallery_fail(fault, GALLERY_BAD_METADATA, ERR_MISUSE);
    }
    return ERR_NONE;
}

/* ---- What is good enough ----------------------------------------------------------------------------------------- */

static enum err refuse_all(const struct enrolling *e, struct gallery_fault *fault)
{
    char words[160] = "";

    for (unsigned bit = QUALITY_TOO_SMALL; bit <= QUALITY_UNSURE; bit <<= 1) {
        if ((e->rejected_for & bit) != 0) {
            size_t used = strlen(words);
            (void)snprintf(words + used, sizeof words - used, "%s%s", used == 0 ? "" : ", ",
                           quality_reason_word((enum quality_reason)bit));
        }
    }
    return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_LOW_QUALITY, ERR_CONFLICT),
                   "%s not good enough to enroll (%s): send a better photo, or say quality=none",
                   e->n_rejected == 1 ? "the face is" : "the faces are", words);
}

/* Moves the faces with reasons against them to the rejected ones. */
static enum err sort_out(struct enrolling *e, struct gallery_fault *fault)
{
    int kept = 0;

    e->rejected = ARENA_ARRAY(e->worker->mem, struct seen_face, e->photo.n_faces);
    if (e->rejected == NULL) {
        return spent(e->worker->mem);
    }
    for (int i = 0; i < e->photo.n_faces; i++) {
        const struct pipeline_face *face = &e->photo.faces[i];
        if (face->quality.reasons != 0 && e->query->quality != QUALITY_WANTED_NONE) {
            e->rejected[e->n_rejected++] = pipeline_seen(face);
            e->rejected_for |= face->quality.reasons;
        } else {
            e->photo.faces[kept++] = *face;
        }
    }
    e->photo.n_faces = kept;
    return kept == 0 && e->n_rejected > 0 ? refuse_all(e, fault) : ERR_NONE;
}

static enum err look(struct enrolling *e, struct gallery_fault *fault)
{
    const struct enroll_query *query = e->query;
    enum faces_wanted wanted = query->faces == FACES_DEFAULT ? FACES_SINGLE : query->faces;

    enum err err = pipeline_look(e->worker, &query->photo, e->pair->model, &e->photo, fault);
    if (err == ERR_NONE) {
        err = pipeline_choose(&e->photo, wanted, FACE_NEEDED, "the photo", fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_crop(e->worker, &e->photo, e->pair->model, level_of(query->quality), fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_choose(&e->photo, wanted, FACE_NEEDED, "the photo", fault);
    }
    if (err == ERR_NONE) {
        err = sort_out(e, fault);
    }
    if (err == ERR_NONE) {
        err = pipeline_embed(e->worker, e->pair->model, e->photo.faces, e->photo.n_faces, fault);
    }
    return err;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static enum err quality_text(const struct enrolling *e, const struct pipeline_face *face, const char **ret)
{
    struct seen_face seen = pipeline_seen(face);
    const struct quality *q = &face->quality;
    char reasons[160] = "";

    if (face->aligned) { /* nothing was measured */
        *ret = NULL;
        return ERR_NONE;
    }
    for (int i = 0; i < seen.n_reasons; i++) {
        size_t used = strlen(reasons);
        (void)snprintf(reasons + used, sizeof reasons - used, "%s\"%s\"", i == 0 ? "" : ",", seen.reasons[i]);
    }
    *ret = arena_format(e->worker->mem,
                        "{\"score\":%.4f,\"reasons\":[%s],\"eye_distance_px\":%.1f,\"sharpness\":%.4f,\"yaw\":%.4f,"
                        "\"brightness\":%.1f,\"inside\":%.4f}",
                        (double)q->score, reasons, (double)q->eye_distance_px, (double)q->sharpness, (double)q->yaw,
                        (double)q->brightness, (double)q->inside);
    return *ret == NULL ? spent(e->worker->mem) : ERR_NONE;
}

static enum err face_row_of(struct enrolling *e, const struct pipeline_face *face, struct enroll_face *ret,
                            struct gallery_fault *fault)
{
    struct enroll_face row = {.source = face->aligned ? FACE_FROM_CROP : FACE_FROM_PHOTO,
                              .embedding = face->embedding,
                              .norm = face->norm,
                              .score = face->where.score};
    enum err err = quality_text(e, face, &row.quality);

    if (!face->aligned) {
        memcpy(row.box, face->where.box, sizeof row.box);
        memcpy(row.point, face->where.point, sizeof row.point);
    }
    if (err == ERR_NONE && e->collection.keep != KEEP_NONE) {
        unsigned char *crop = NULL;
        err = image_encode(&face->crop, IMAGE_WEBP_LOSSLESS, 0, e->worker->mem, &crop, &row.crop_bytes);
        row.crop = crop;
        row.crop_side_px = face->crop.width;
        if (err != ERR_NONE) {
            return ERR_SAY(&fault->note, err, "the crop could not be encoded");
        }
    }
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

static enum err face_rows(struct enrolling *e, struct enroll *what, struct gallery_fault *fault)
{
    bool photo = e->query->photo.bytes != NULL;
    int n = photo ? e->photo.n_faces : 1;
    struct enroll_face *rows = ARENA_ARRAY(e->worker->mem, struct enroll_face, n);
    enum err err = ERR_NONE;

    if (rows == NULL) {
        return spent(e->worker->mem);
    }
    if (photo) {
        for (int i = 0; i < n && err == ERR_NONE; i++) {
            err = face_row_of(e, &e->photo.faces[i], &rows[i], fault);
        }
    } else {
        rows[0].source = FACE_FROM_EMBEDDING;
        err = pipeline_vector(e->worker, &e->query->embedding, e->pair->model->dim, &rows[0].embedding, &rows[0].norm,
                              fault);
    }
    what->faces = rows;
    what->n_faces = n;
    return err;
}

static enum err photo_row(struct enrolling *e, struct enroll *what)
{
    const struct gallery_photo *sent = &e->query->photo;

    if (sent->bytes == NULL) {
        return ERR_NONE;
    }
    unsigned char *digest = arena_alloc(e->worker->mem, HASH_SHA256_BYTES, 1);
    if (digest == NULL) {
        return spent(e->worker->mem);
    }
    hash_sha256(sent->bytes, sent->n_bytes, digest);
    what->photo =
        (struct enroll_photo){.width_px = e->photo.image.width, .height_px = e->photo.image.height, .sha256 = digest};
    if (e->collection.keep == KEEP_PHOTO) {
        what->photo.bytes = sent->bytes;
        what->photo.n_bytes = sent->n_bytes;
    }
    return ERR_NONE;
}

/* ---- Commit, index, answer --------------------------------------------------------------------------------------- */

struct following {
    struct enrolling *e;
    const struct enroll *what;
    const struct enrolled *enrolled;
    int64_t *ids;
    float *vectors; /* of all faces, one behind the other */
};

static void follow(void *context)
{
    struct following *f = context;

    for (int i = 0; i < f->what->n_faces; i++) {
        f->ids[i] = f->enrolled->faces[i].id;
    }
    live_added(f->e->worker->gallery->live, f->e->collection.id, f->ids, f->vectors, (size_t)f->what->n_faces);
}

/* Everything of the answer but the ids.  Made before the commit, because behind it nothing may fail for want of memory. */
static enum err prepare_answer(const struct enrolling *e, const struct subject_row *subject, struct enroll_answer *ret,
                               char **ret_subject_id)
{
    struct arena *mem = e->worker->mem;
    char *subject_id = arena_alloc(mem, STORE_UUID_TEXT, 1);
    struct enroll_answer a = {.subject_id = subject_id,
                              .subject_name =
                                  subject->id != 0 ? subject->name : arena_copy_text(mem, e->query->subject.name),
                              .collection = e->collection.name,
                              .model = arena_copy_text(mem, e->pair->model->version),
                              .photo = pipeline_size(&e->photo),
                              .n_faces = e->photo.n_faces > 0 ? e->photo.n_faces : 1,
                              .n_rejected = e->n_rejected,
                              .rejected = e->rejected};

    a.faces = ARENA_ARRAY(mem, struct new_face, a.n_faces);
    if (subject_id == NULL || a.subject_name == NULL || a.model == NULL || a.faces == NULL) {
        return spent(e->worker->mem);
    }
    for (int i = 0; i < e->photo.n_faces; i++) {
        a.faces[i].has_face = !e->photo.faces[i].aligned;
        a.faces[i].face = pipeline_seen(&e->photo.faces[i]);
    }
    *ret = a;
    *ret_subject_id = subject_id;
    return ERR_NONE;
}

/* Store's reasons in the API's words. */
static enum err explain(enum err err, struct gallery_fault *fault)
{
    if (err == ERR_EXISTS) {
        return gallery_fail(fault, GALLERY_DUPLICATE, err);
    }
    if (err == ERR_NOT_FOUND) {
        /* deleted since we looked */
        return gallery_fail(fault, GALLERY_NO_SUCH_SUBJECT, err);
    }
    return err;
}

/* What others have, on its way from the search to the answer and to the row of an import. */
struct others_found {
    struct arena *mem; /* its own, so that no question about others takes memory from an enrolment */
    struct also *also; /* of each face; NULL: not asked */
    struct import_mark mark;
    struct import_also *rows;
};

static enum err ask_others(struct enrolling *e, const struct subject_row *subject, const struct enroll *what,
                           const float *vectors, struct others_found *ret, struct gallery_fault *fault)
{
    struct subject_row named = {0};
    float threshold = 0;
    int n = what->n_faces;
    struct also *also = ARENA_ARRAY(ret->mem, struct also, n);
    struct also_probe *probes = ARENA_ARRAY(ret->mem, struct also_probe, n);
    enum err err = ERR_NONE;

    if (also == NULL || probes == NULL) {
        return spent(ret->mem);
    }
    if (what->subject_id == 0) {
        err = store_subject_find_name(e->worker->gallery->store, e->collection.id, what->subject_name, ret->mem, &named,
                                      &fault->note);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
        fault->note = err == ERR_NONE ? (struct err_note){0} : fault->note;
    }
    for (int i = 0; i < n; i++) {
        probes[i] = (struct also_probe){.subject_id = what->subject_id != 0 ? subject->id : named.id,
                                        .subject_name = what->subject_name,
                                        .photo_sha256 = what->photo.sha256};
    }
    if (err == ERR_NONE) {
        err = also_threshold(e->worker, &e->collection, e->pair, &threshold, fault);
    }
    if (err == ERR_NONE) {
        err = also_find(e->worker, e->pair, e->collection.id, threshold, probes, vectors, n, ret->mem, also,
                        &fault->note);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        if (e->query->on_duplicate == DUPLICATE_REJECT_ANY && also_matches(&also[i], threshold)) {
            also_say(&also[i], &fault->note);
            return gallery_fail(fault, GALLERY_DUPLICATE, ERR_EXISTS);
        }
    }
    ret->also = err == ERR_NONE ? also : NULL;
    return err;
}

/* The part of an import remembers them too. */
static void mark_others(struct others_found *found, struct enroll *what)
{
    if (found->also == NULL || what->mark == NULL) {
        return;
    }
    found->rows = ARENA_ARRAY(found->mem, struct import_also, ALSO_MOST);
    if (found->rows == NULL) {
        return;
    }
    found->mark = *what->mark;
    found->mark.also = found->rows;
    for (int i = 0; i < what->n_faces; i++) {
        for (int k = 0; k < found->also[i].n && found->mark.n_also < ALSO_MOST; k++) {
            const struct also_face *face = &found->also[i].faces[k];
            found->rows[found->mark.n_also++] =
                (struct import_also){.face_id = face->row_id, .has_cosine = face->has_cosine, .cosine = face->cosine};
        }
    }
    what->mark = &found->mark;
}

/* A failure to ask is no reason not to enroll, but for who must know. */
static enum err look_for_others(struct enrolling *e, const struct subject_row *subject, struct enroll *what,
                                const float *vectors, struct others_found *found, struct gallery_fault *fault)
{
    bool must = e->query->on_duplicate == DUPLICATE_REJECT_ANY;

    if (e->query->others == OTHERS_UNTOLD && !must) {
        return ERR_NONE;
    }
    found->mem = arena_new(OTHERS_ARENA_BYTES);
    enum err err = found->mem == NULL ? ERR_NOMEM : ask_others(e, subject, what, vectors, found, fault);
    if (err != ERR_NONE && !must) {
        *fault = (struct gallery_fault){0};
        err = ERR_NONE;
    }
    mark_others(found, what);
    return err;
}

/* What does not fit any more into the worker's arena is not told. */
static void tell_others(const struct enrolling *e, const struct others_found *found, struct enroll_answer *answer)
{
    struct arena *mem = e->worker->mem;

    for (int i = 0; i < answer->n_faces && found->also != NULL; i++) {
        struct also also = found->also[i];
        for (int k = 0; k < also.n; k++) {
            struct also_face *face = &also.faces[k];
            face->subject_id = arena_copy_text(mem, face->subject_id);
            face->subject_name = arena_copy_text(mem, face->subject_name);
            face->face_id = arena_copy_text(mem, face->face_id);
            also.asked = also.asked && face->subject_id != NULL && face->subject_name != NULL && face->face_id != NULL;
        }
        answer->faces[i].also = also.asked ? also : (struct also){0};
    }
}

/* An answer on its way to completion: inside the transaction if it is kept with it, and behind it. */
struct completing {
    const struct enrolling *e;
    const struct others_found *found;
    char *subject_id;
    struct enroll_answer answer;
};

static void complete(struct completing *c, const struct enrolled *enrolled)
{
    tell_others(c->e, c->found, &c->answer);
    memcpy(c->subject_id, enrolled->subject_uuid, STORE_UUID_TEXT);
    c->answer.subject_is_new = enrolled->subject_is_new;
    for (int i = 0; i < c->answer.n_faces; i++) {
        c->answer.faces[i].id = enrolled->faces[i].uuid;
    }
}

/* It tells of the faces that were enrolled, and of those of others. */
static enum err keep(void *context, const void *result, struct replay_answer *ret)
{
    struct completing *c = context;
    const struct enrolled *enrolled = result;
    int n = c->answer.n_faces;
    int64_t *ids = ARENA_ARRAY(c->e->worker->mem, int64_t, (size_t)n * (1 + ALSO_MOST));

    if (ids == NULL) {
        return spent(c->e->worker->mem);
    }
    complete(c, enrolled);
    ret->face_ids = ids;
    for (int i = 0; i < n; i++) {
        const struct also *also = &c->answer.faces[i].also;
        ids[ret->n_faces++] = enrolled->faces[i].id;
        for (int k = 0; k < also->n; k++) {
            ids[ret->n_faces++] = also->faces[k].row_id;
        }
    }
    return worker_answer(c->e->worker, &c->answer, ret);
}

static enum err write_rows(struct enrolling *e, const struct enroll *what, const struct after_commit *after,
                           struct enrolled *ret, struct gallery_fault *fault)
{
    struct gallery_worker *worker = e->worker;
    int64_t begin = clock_monotonic_ns();

    enum err err = store_enroll(worker->gallery->store, what, after, worker->mem, ret, &fault->note);
    worker->times.rows_ns += clock_monotonic_ns() - begin;
    e->outdated = err == ERR_CONFLICT;
    return err == ERR_NONE ? err : explain(err, fault);
}

static enum err commit(struct enrolling *e, const struct subject_row *subject, struct enroll *what,
                       struct enroll_answer *ret, struct gallery_fault *fault)
{
    struct gallery_worker *worker = e->worker;
    size_t dim = (size_t)e->pair->model->dim;
    struct enrolled enrolled = {0};
    struct others_found found = {0};
    struct completing completing = {.e = e, .found = &found};
    struct replay room;
    struct following following = {.e = e, .what = what, .enrolled = &enrolled};
    struct after_commit after = {.call = follow, .context = &following};
    bool refuses = e->query->on_duplicate == DUPLICATE_REJECT_ANY;

    following.ids = ARENA_ARRAY(worker->mem, int64_t, what->n_faces);
    following.vectors = arena_alloc(worker->mem, (size_t)what->n_faces * dim, sizeof(float));
    if (following.ids == NULL || following.vectors == NULL) {
        return spent(e->worker->mem);
    }
    for (int i = 0; i < what->n_faces; i++) {
        memcpy(following.vectors + (size_t)i * dim, what->faces[i].embedding, dim * sizeof(float));
    }
    enum err err = prepare_answer(e, subject, &completing.answer, &completing.subject_id);
    if (err == ERR_NONE) {
        err = worker_may_go_on(worker, fault);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (refuses) {
        (void)pthread_mutex_lock(&worker->gallery->refusing);
    }
    err = look_for_others(e, subject, what, following.vectors, &found, fault);
    what->replay = worker_replay(worker, keep, &completing, &room);
    if (err == ERR_NONE) {
        err = write_rows(e, what, &after, &enrolled, fault);
    }
    if (refuses) {
        (void)pthread_mutex_unlock(&worker->gallery->refusing);
    }
    if (err == ERR_NONE) {
        complete(&completing, &enrolled);
        *ret = completing.answer;
    }
    if (found.mem != NULL) {
        arena_reset_wiped(found.mem); /* it held embeddings */
        arena_free(found.mem);
    }
    return err;
}

static enum err run(struct enrolling *e, struct enroll_answer *ret, struct gallery_fault *fault)
{
    const struct enroll_query *query = e->query;
    struct enroll what = {.collection_id = e->collection.id,
                          .model_id = e->pair->model->row_id,
                          .external_id = query->external_id,
                          .metadata = query->metadata,
                          .refuse_duplicates = query->on_duplicate != DUPLICATE_KEEP,
                          .mark = query->mark,
                          .actor = worker_actor(e->worker)};
    struct subject_row subject = {0};
    enum err err = ERR_NONE;

    if (query->subject.id != NULL) { /* before the photo is looked at: most of the work would be for nothing */
        err = find_subject(e->worker, &e->collection, &query->subject, &subject, fault);
        what.subject_id = subject.id;
    } else {
        what.subject_name = query->subject.name;
    }
    if (err == ERR_NONE && query->photo.bytes != NULL) {
        err = look(e, fault);
    }
    if (err == ERR_NONE) {
        err = face_rows(e, &what, fault);
    }
    if (err == ERR_NONE) {
        err = photo_row(e, &what);
    }
    if (err == ERR_NONE) {
        err = commit(e, &subject, &what, ret, fault);
    }
    return err;
}

enum err gallery_enroll(struct gallery_worker *worker, const struct enroll_query *query, struct enroll_answer *ret,
                        struct gallery_fault *fault)
{
    struct enrolling e;

    enum err err = check_query(query, fault);
    for (int i = 0; i < TRIES && err == ERR_NONE; i++) {
        e = (struct enrolling){.worker = worker, .query = query};
        err = find_pair(worker, query->collection, &e.collection, &e.pair, fault);
        if (err != ERR_NONE) {
            break;
        }
        err = run(&e, ret, fault);
        live_unref(worker->gallery->live, e.pair);
        if (!e.outdated || i + 1 == TRIES) {
            break;
        }
        *fault = (struct gallery_fault){0};
        err = ERR_NONE;
    }
    return err;
}
