/* duplicate.c: is this face there already? */
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/store/enroll_private.h"

static enum err uuid_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    (void)mem;
    return db_column_id(statement, 0, ret_row, STORE_UUID_TEXT);
}

static enum err same_photo(struct db *db, const struct enroll *what, int64_t subject_id, struct err_note *note)
{
    char uuid[STORE_UUID_TEXT] = "";

    if (what->photo.sha256 == NULL) {
        return ERR_NONE;
    }
    enum err err =
        one_read_in(db, "SELECT uuid FROM faces WHERE photo_sha256 = ?1 AND subject_id = ?2 LIMIT 1",
                    (const struct db_value[]){db_blob(what->photo.sha256, HASH_SHA256_BYTES), db_int(subject_id), {0}},
                    uuid_read, NULL, uuid, "", NULL);
    if (err == ERR_NOT_FOUND) {
        return ERR_NONE;
    }
    return err != ERR_NONE ? err : ERR_SAY(note, ERR_EXISTS, "the subject has this very photo already: face %s", uuid);
}

static float cosine(const float *a, const float *b, int dim)
{
    double sum = 0;

    for (int i = 0; i < dim; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return (float)sum;
}

/* The row's vector against every face that is to be enrolled. */
static enum err row_judge(const struct enroll *what, sqlite3_stmt *statement, float *there, int dim,
                          struct err_note *note)
{
    if (sqlite3_column_bytes(statement, 1) != dim * 4) {
        return ERR_SAY(note, ERR_CORRUPT, "the embedding of face %s has another length",
                       (const char *)sqlite3_column_text(statement, 0));
    }
    floats_from_bytes(sqlite3_column_blob(statement, 1), (size_t)dim, there);
    for (int i = 0; i < what->n_faces; i++) {
        float found = cosine(what->faces[i].embedding, there, dim);
        if (found >= DUPLICATE_COSINE) {
            return ERR_SAY(note, ERR_EXISTS, "the subject has this face already: face %s, cosine %.3f",
                           (const char *)sqlite3_column_text(statement, 0), (double)found);
        }
    }
    return ERR_NONE;
}

static enum err same_face(struct db *db, const struct enroll *what, int64_t subject_id, int dim, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    bool row = true;
    float *there = MEM_ARRAY(float, dim);

    if (there == NULL) {
        return ERR_NOMEM;
    }
    enum err err =
        db_start(db,
                 "SELECT f.uuid, e.vector FROM faces f JOIN embeddings e ON e.face_id = f.id "
                 "WHERE f.subject_id = ?1 AND e.model_id = ?2",
                 (const struct db_value[]){db_int(subject_id), db_int(what->model_id), {0}}, &statement, note);
    if (err == ERR_NONE) {
        while (err == ERR_NONE && row) {
            err = db_step(db, statement, &row, note);
            if (err == ERR_NONE && row) {
                err = row_judge(what, statement, there, dim, note);
            }
        }
        db_done(statement);
    }
    mem_free_wiped(there);
    return err;
}

enum err duplicate_judge(struct db *db, const struct enroll *what, int64_t subject_id, int dim, struct err_note *note)
{
    enum err err = same_photo(db, what, subject_id, note);

    return err != ERR_NONE ? err : same_face(db, what, subject_id, dim, note);
}
