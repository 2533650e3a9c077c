/* enroll.c: faces enter the database, all of a photo or none. */
#include "server/store/enroll.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/random.h"
#include "server/store/enroll_private.h"
#include "server/store/replay_private.h"

#define FACES_MOST 1024 /* of one photo; bounds the audit row */
#define DIM_MOST 4096

struct enrolment {
    const struct enroll *what;
    struct enrolled *out; /* complete when the change is applied */
    struct enrolled_face *faces;
    unsigned char *vector; /* one embedding as bytes, wiped after use */
    char *objects;         /* room for the audit row */
    size_t objects_room;
};

/* ---- Checks that need no rows ------------------------------------------------------------------------------------- */

static enum err photo_check(const struct enroll *what, struct err_note *note)
{
    if (what->n_faces < 1 || what->n_faces > FACES_MOST) {
        return ERR_SAY(note, ERR_MISUSE, "%d faces cannot be enrolled at once: 1 to %d can", what->n_faces, FACES_MOST);
    }
    if (what->subject_id == 0) {
        enum err err = store_name_check("the subject's name", what->subject_name, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    for (int i = 0; i < what->n_faces; i++) {
        const char *quality = what->faces[i].quality;
        enum err err = quality == NULL ? ERR_NONE : store_json_check("the face's quality data", quality, note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return subject_details_check(what->external_id, what->metadata, note);
}

static enum err vector_check(const struct enroll_face *face, int dim, struct err_note *note)
{
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        if (!isfinite(face->embedding[i])) {
            return ERR_SAY(note, ERR_MISUSE, "the embedding's number %d is not finite", i);
        }
        sum += (double)face->embedding[i] * (double)face->embedding[i];
    }
    if (fabs(sqrt(sum) - 1) > 1e-3) {
        return ERR_SAY(note, ERR_MISUSE, "the embedding has length %g, not 1", sqrt(sum));
    }
    if (!isfinite(face->norm) || face->norm < 0) {
        return ERR_SAY(note, ERR_MISUSE, "the embedding's norm is not a length");
    }
    return ERR_NONE;
}

/* ---- The rows ----------------------------------------------------------------------------------------------------- */

/* The collection still uses this model; *ret_dim is the model's. */
static enum err collection_judge(struct db *db, const struct enroll *what, int *ret_dim, struct err_note *note)
{
    int64_t model_id = 0;
    int64_t dim = 0;
    enum err err = db_integer(db, "SELECT model_id FROM collections WHERE id = ?1",
                              (const struct db_value[]){db_int(what->collection_id), {0}}, &model_id, note);

    if (err == ERR_NOT_FOUND) {
        return ERR_SAY(note, err, "there is no such collection");
    }
    if (err == ERR_NONE && model_id != what->model_id) {
        return ERR_SAY(note, ERR_CONFLICT, "the collection uses model %lld by now, the embedding is of model %lld",
                       (long long)model_id, (long long)what->model_id);
    }
    if (err == ERR_NONE) {
        err = db_integer(db, "SELECT dim FROM models WHERE id = ?1", (const struct db_value[]){db_int(model_id), {0}},
                         &dim, note);
    }
    if (err == ERR_NONE && (dim < 1 || dim > DIM_MOST)) {
        err = ERR_SAY(note, ERR_UNSUPPORTED, "an embedding of %lld numbers is too long", (long long)dim);
    }
    if (err == ERR_NONE) {
        *ret_dim = (int)dim;
    }
    return err;
}

/* Fills in the subject if it is there. */
static enum err subject_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct enrolled *out = ret_row;

    (void)mem;
    out->subject_id = sqlite3_column_int64(statement, 0);
    return db_column_id(statement, 1, out->subject_uuid, sizeof out->subject_uuid);
}

/* When the faces were first enrolled; never in the future. */
static int64_t enrolled_ms(const struct enroll *what, const struct enrolled *out)
{
    return what->at_ms > 0 && what->at_ms < out->at_ms ? what->at_ms : out->at_ms;
}

static enum err subject_insert(struct db *db, const struct enroll *what, struct enrolled *out, struct err_note *note)
{
    random_uuid(out->subject_uuid);
    out->subject_is_new = true;
    enum err err = db_run(db,
                          "INSERT INTO subjects (uuid, collection_id, name, external_id, metadata, created_ms, "
                          "updated_ms) VALUES (?1, ?2, ?3, nullif(?4, ''), coalesce(?5, '{}'), ?7, ?6)",
                          (const struct db_value[]){db_text(out->subject_uuid),
                                                    db_int(what->collection_id),
                                                    db_text(what->subject_name),
                                                    db_text(what->external_id),
                                                    db_text(what->metadata),
                                                    db_int(out->at_ms),
                                                    db_int(enrolled_ms(what, out)),
                                                    {0}},
                          note);
    out->subject_id = db_last_id(db);
    return err;
}

static enum err subject_settle(struct db *db, const struct enroll *what, struct enrolled *out, struct err_note *note)
{
    enum err err;

    if (what->subject_id != 0) {
        err = one_read_in(db, "SELECT id, uuid FROM subjects WHERE id = ?1 AND collection_id = ?2",
                          (const struct db_value[]){db_int(what->subject_id), db_int(what->collection_id), {0}},
                          subject_read, NULL, out, "the collection has no such subject", note);
    } else {
        err = one_read_in(db, "SELECT id, uuid FROM subjects WHERE collection_id = ?1 AND name = ?2",
                          (const struct db_value[]){db_int(what->collection_id), db_text(what->subject_name), {0}},
                          subject_read, NULL, out, "", NULL);
        if (err == ERR_NOT_FOUND) {
            return subject_insert(db, what, out, note);
        }
    }
    if (err != ERR_NONE || (what->external_id == NULL && what->metadata == NULL)) {
        return err;
    }
    return db_run(
        db,
        "UPDATE subjects SET external_id = nullif(coalesce(?2, external_id), ''), "
        "metadata = coalesce(?3, metadata), updated_ms = ?4 WHERE id = ?1",
        (const struct db_value[]){
            db_int(out->subject_id), db_text(what->external_id), db_text(what->metadata), db_int(out->at_ms), {0}},
        note);
}

static enum err photo_insert(struct db *db, const struct enroll_photo *photo, int64_t *ret_id, struct err_note *note)
{
    if (photo->bytes == NULL) {
        *ret_id = 0;
        return ERR_NONE;
    }
    enum err err =
        db_run(db, "INSERT INTO photos (crc32c, bytes) VALUES (?1, ?2)",
               (const struct db_value[]){
                   db_int(hash_crc32c(0, photo->bytes, photo->n_bytes)), db_blob(photo->bytes, photo->n_bytes), {0}},
               note);
    *ret_id = db_last_id(db);
    return err;
}

static enum err face_insert(struct db *db, const struct enroll *what, const struct enroll_face *face, int64_t photo_id,
                            const struct enrolled *out, struct enrolled_face *ret, struct err_note *note)
{
    unsigned char points[sizeof face->point];

    floats_to_bytes(&face->point[0][0], 10, points);
    random_uuid(ret->uuid);
    enum err err = db_run(
        db,
        "INSERT INTO faces (uuid, collection_id, subject_id, source, box_x0, box_y0, box_x1, box_y1, points, score, "
        "quality, photo_width_px, photo_height_px, photo_sha256, photo_id, created_ms) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        (const struct db_value[]){db_text(ret->uuid),
                                  db_int(what->collection_id),
                                  db_int(out->subject_id),
                                  db_text(face_source_word(face->source)),
                                  db_real((double)face->box[0]),
                                  db_real((double)face->box[1]),
                                  db_real((double)face->box[2]),
                                  db_real((double)face->box[3]),
                                  db_blob(points, sizeof points),
                                  db_real((double)face->score),
                                  db_text(face->quality == NULL ? "{}" : face->quality),
                                  db_int(what->photo.width_px),
                                  db_int(what->photo.height_px),
                                  db_blob(what->photo.sha256, HASH_SHA256_BYTES),
                                  db_int_or_null(photo_id),
                                  db_int(enrolled_ms(what, out)),
                                  {0}},
        note);
    ret->id = db_last_id(db);
    return err;
}

static enum err embedding_insert(struct db *db, int64_t face_id, int64_t model_id, const struct enroll_face *face,
                                 int dim, unsigned char *vector, struct err_note *note)
{
    size_t n_bytes = (size_t)dim * 4;

    floats_to_bytes(face->embedding, (size_t)dim, vector);
    uint32_t crc = embedding_crc(face_id, model_id, face->norm, vector, n_bytes);
    return db_run(
        db, "INSERT INTO embeddings (face_id, model_id, norm, crc32c, vector) VALUES (?1, ?2, ?3, ?4, ?5)",
        (const struct db_value[]){
            db_int(face_id), db_int(model_id), db_real((double)face->norm), db_int(crc), db_blob(vector, n_bytes), {0}},
        note);
}

static enum err crop_insert(struct db *db, int64_t face_id, const struct enroll_face *face, struct err_note *note)
{
    if (face->crop == NULL) {
        return ERR_NONE;
    }
    return db_run(db, "INSERT INTO crops (face_id, side_px, crc32c, webp) VALUES (?1, ?2, ?3, ?4)",
                  (const struct db_value[]){db_int(face_id),
                                            db_int(face->crop_side_px),
                                            db_int(hash_crc32c(0, face->crop, face->crop_bytes)),
                                            db_blob(face->crop, face->crop_bytes),
                                            {0}},
                  note);
}

static enum err audit_write(struct db *db, struct enrolment *enrolment, struct err_note *note)
{
    const struct enroll *what = enrolment->what;
    char *text = enrolment->objects;
    size_t room = enrolment->objects_room;
    int len = snprintf(text, room, "{\"collection\":%lld,\"model\":%lld,\"subject\":\"%s\",\"faces\":[",
                       (long long)what->collection_id, (long long)what->model_id, enrolment->out->subject_uuid);

    for (int i = 0; i < what->n_faces; i++) {
        len += snprintf(text + len, room - (size_t)len, "%s\"%s\"", i == 0 ? "" : ",", enrolment->faces[i].uuid);
    }
    (void)snprintf(text + len, room - (size_t)len, "]}");
    return audit_append(db, what->actor, "face.enroll", text, &enrolment->out->audit_id, NULL, note);
}

/* A face that was erased since it was looked for selects no row. */
static enum err also_write(struct db *db, const struct import_mark *mark, int64_t item_id, struct err_note *note)
{
    enum err err = ERR_NONE;

    for (int i = 0; i < mark->n_also && err == ERR_NONE; i++) {
        const struct import_also *also = &mark->also[i];
        err = db_run(db,
                     "INSERT INTO import_also (item_id, other_id, cosine) SELECT ?1, id, ?3 FROM faces WHERE id = "
                     "CASE WHEN ?2 <> 0 THEN ?2 ELSE "
                     "(SELECT face_id FROM import_items WHERE job_id = ?4 AND number = ?5) END "
                     "ON CONFLICT (item_id, other_id) DO NOTHING",
                     (const struct db_value[]){db_int(item_id),
                                               db_int(also->face_id),
                                               also->has_cosine ? db_real((double)also->cosine) : db_text(NULL),
                                               db_int(mark->job_id),
                                               db_int(also->number),
                                               {0}},
                     note);
    }
    return err;
}

static enum err mark_write(struct db *db, const struct import_mark *mark, int64_t face_id, struct err_note *note)
{
    enum err err = db_run(db,
                          "INSERT INTO import_items (job_id, number, name, outcome, sentence, face_id) "
                          "VALUES (?1, ?2, ?3, '" IMPORT_ENROLLED "', '', ?4)",
                          (const struct db_value[]){
                              db_int(mark->job_id), db_int(mark->number), db_text(mark->name), db_int(face_id), {0}},
                          note);

    return err != ERR_NONE ? err : also_write(db, mark, db_last_id(db), note);
}

static enum err enrolment_apply(struct db *db, void *context, struct err_note *note)
{
    struct enrolment *enrolment = context;
    const struct enroll *what = enrolment->what;
    struct enrolled *out = enrolment->out;
    int64_t photo_id = 0;
    int dim = 0;

    *out = (struct enrolled){.at_ms = clock_unix_ms(), .faces = enrolment->faces};
    enum err err = collection_judge(db, what, &dim, note);
    for (int i = 0; err == ERR_NONE && i < what->n_faces; i++) {
        err = vector_check(&what->faces[i], dim, note);
    }
    if (err == ERR_NONE) {
        err = subject_settle(db, what, out, note);
    }
    if (err == ERR_NONE && what->refuse_duplicates && !out->subject_is_new) {
        err = duplicate_judge(db, what, out->subject_id, dim, note);
    }
    if (err == ERR_NONE) {
        err = photo_insert(db, &what->photo, &photo_id, note);
    }
    for (int i = 0; err == ERR_NONE && i < what->n_faces; i++) {
        struct enrolled_face *face = &enrolment->faces[i];
        err = face_insert(db, what, &what->faces[i], photo_id, out, face, note);
        if (err == ERR_NONE) {
            err = embedding_insert(db, face->id, what->model_id, &what->faces[i], dim, enrolment->vector, note);
        }
        if (err == ERR_NONE) {
            err = crop_insert(db, face->id, &what->faces[i], note);
        }
    }
    if (err == ERR_NONE && what->mark != NULL) {
        err = mark_write(db, what->mark, enrolment->faces[0].id, note);
    }
    if (err == ERR_NONE) {
        err = audit_write(db, enrolment, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, out, note);
}

/* ---- One and many ------------------------------------------------------------------------------------------------- */

struct enrolments {
    struct enrolment *all;
    int n;
    int at; /* the one being applied; n behind the last */
    const struct after_commit *after;
    struct enrolled *ret;
};

static enum err enrolments_apply(struct db *db, void *context, struct err_note *note)
{
    struct enrolments *enrolments = context;

    for (enrolments->at = 0; enrolments->at < enrolments->n; enrolments->at++) {
        enum err err = enrolment_apply(db, &enrolments->all[enrolments->at], note);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

/* The results are the caller's before the index is told. */
static void enrolments_committed(void *context)
{
    const struct enrolments *enrolments = context;

    for (int i = 0; i < enrolments->n; i++) {
        enrolments->ret[i] = *enrolments->all[i].out;
    }
    if (enrolments->after != NULL) {
        enrolments->after->call(enrolments->after->context);
    }
}

static enum err enrolment_prepare(const struct enroll *what, struct arena *mem, struct enrolment *ret)
{
    struct enrolment enrolment = {.what = what};

    enrolment.objects_room = 192 + (size_t)what->n_faces * (STORE_UUID_TEXT + 2);
    enrolment.out = ARENA_NEW(mem, struct enrolled);
    if (enrolment.out != NULL) {
        enrolment.faces = ARENA_ARRAY(mem, struct enrolled_face, what->n_faces);
    }
    if (enrolment.faces != NULL) {
        enrolment.objects = arena_alloc(mem, enrolment.objects_room, 1);
    }
    if (enrolment.objects == NULL) {
        return arena_why(mem);
    }
    *ret = enrolment;
    return ERR_NONE;
}

enum err store_enroll_many(struct store *store, const struct enroll *what, int n, const struct after_commit *after,
                           struct arena *mem, struct enrolled *ret, int *ret_failed, struct err_note *note)
{
    struct enrolments enrolments = {.n = n, .at = n, .after = after, .ret = ret};
    unsigned char *vector = arena_alloc(mem, DIM_MOST, 4);

    *ret_failed = n;
    if (vector != NULL) {
        enrolments.all = ARENA_ARRAY(mem, struct enrolment, n);
    }
    if (enrolments.all == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        enum err err = photo_check(&what[i], note);
        if (err != ERR_NONE) {
            *ret_failed = i;
            return err;
        }
        err = enrolment_prepare(&what[i], mem, &enrolments.all[i]);
        if (err != ERR_NONE) {
            return err;
        }
        enrolments.all[i].vector = vector; /* one for all: they are applied one after the other */
    }
    enum err err = db_change(store, enrolments_apply, &enrolments,
                             &(struct after_commit){enrolments_committed, &enrolments}, note);
    mem_wipe(vector, (size_t)DIM_MOST * 4);
    *ret_failed = enrolments.at;
    return err;
}

enum err store_enroll(struct store *store, const struct enroll *what, const struct after_commit *after,
                      struct arena *mem, struct enrolled *ret, struct err_note *note)
{
    int failed = 0;

    return store_enroll_many(store, what, 1, after, mem, ret, &failed, note);
}
