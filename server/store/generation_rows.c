/* generation_rows.c: what generating was asked for and what it made. */
#include "server/store/generation_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/store/job_private.h"
#include "server/store/replay_private.h"

struct asking {
    const struct generation_new *what;
    const unsigned char *bytes; /* of the embedding; NULL: none */
    int64_t job_id;
};

/* Ids only: whose picture is asked for. */
static enum err audit(struct db *db, const char *actor, const char *action, int64_t job_id, struct err_note *note)
{
    char objects[AUDIT_IDS_TEXT];
    enum err err = one_read_in(
        db,
        "SELECT json_object('job', g.job_id, 'subject', s.uuid, 'pictures', (SELECT count(*) FROM generated d "
        "WHERE d.job_id = g.job_id)) FROM generations g LEFT JOIN subjects s ON s.id = g.subject_id WHERE g.job_id = "
        "?1",
        (const struct db_value[]){db_int(job_id), {0}}, audit_ids_read, NULL, objects, "there is no such job", note);

    return err != ERR_NONE ? err : audit_append(db, actor, action, objects, NULL, NULL, note);
}

static enum err asking_apply(struct db *db, void *context, struct err_note *note)
{
    struct asking *asking = context;
    const struct generation_new *what = asking->what;
    struct job_row job = {.kind = what->kind, .collection_id = what->collection_id, .arguments = what->arguments};
    enum err err = job_queue(db, &job, note);

    if (err == ERR_NONE) {
        asking->job_id = job.id;
        err = db_run(db, "INSERT INTO generations (job_id, subject_id, embedding) VALUES (?1, ?2, ?3)",
                     (const struct db_value[]){db_int(asking->job_id),
                                               db_int_or_null(what->subject_id),
                                               db_blob(asking->bytes, (size_t)what->dim * sizeof(float)),
                                               {0}},
                     note);
    }
    if (err == ERR_CONFLICT) {
        return ERR_SAY(note, ERR_NOT_FOUND, "there is no such collection or subject");
    }
    if (err == ERR_NONE) {
        err = audit(db, what->actor, "face.generate", asking->job_id, note);
    }
    return err != ERR_NONE ? err : replay_keep(db, what->replay, &job, note);
}

enum err store_generation_add(struct store *store, const struct generation_new *what, int64_t *ret_job,
                              struct err_note *note)
{
    struct asking asking = {.what = what};
    unsigned char *bytes = NULL;
    enum err err = store_json_check("the job's arguments", what->arguments, note);

    if (err == ERR_NONE && what->embedding != NULL) {
        bytes = mem_new((size_t)what->dim, sizeof(float));
        if (bytes == NULL) {
            return ERR_NOMEM;
        }
        floats_to_bytes(what->embedding, (size_t)what->dim, bytes);
        asking.bytes = bytes;
    }
    if (err == ERR_NONE) {
        err = db_change(store, asking_apply, &asking, NULL, note);
    }
    mem_free_wiped(bytes);
    if (err == ERR_NONE) {
        *ret_job = asking.job_id;
    }
    return err;
}

static enum err generation_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct generation_row *row = ret_row;
    const unsigned char *bytes = NULL;
    size_t n_bytes = 0;

    row->subject_id = sqlite3_column_int64(statement, 0);
    if (sqlite3_column_type(statement, 1) == SQLITE_NULL) {
        return ERR_NONE;
    }
    enum err err = db_column_blob(statement, 1, mem, &bytes, &n_bytes);
    if (err != ERR_NONE) {
        return err;
    }
    float *values = ARENA_ARRAY(mem, float, n_bytes / sizeof(float));
    if (values == NULL) {
        return arena_why(mem);
    }
    floats_from_bytes(bytes, n_bytes / sizeof(float), values);
    row->embedding = values;
    row->dim = (int)(n_bytes / sizeof(float));
    return ERR_NONE;
}

enum err store_generation_get(struct store *store, int64_t job_id, struct arena *mem, struct generation_row *ret,
                              struct err_note *note)
{
    struct generation_row row = {0};
    enum err err = one_read(store, "SELECT subject_id, embedding FROM generations WHERE job_id = ?1",
                            (const struct db_value[]){db_int(job_id), {0}}, generation_read, mem, &row,
                            "whose picture was asked for has been erased", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

/* ---- The end ------------------------------------------------------------------------------------------------------ */

struct ending {
    int64_t job_id;
    const char *actor;
    const struct generated_picture *pictures;
    int n;
};

static enum err ending_apply(struct db *db, void *context, struct err_note *note)
{
    const struct ending *what = context;
    const struct db_value job[] = {db_int(what->job_id), {0}};
    int64_t there = 0;
    enum err err = db_integer(db, "SELECT count(*) FROM generations WHERE job_id = ?1", job, &there, note);

    if (err == ERR_NONE && there == 0) {
        return ERR_SAY(note, ERR_NOT_FOUND, "whose picture was asked for has been erased");
    }
    err = err != ERR_NONE ? err : db_run(db, "DELETE FROM generated WHERE job_id = ?1", job, note);
    for (int i = 0; err == ERR_NONE && i < what->n; i++) {
        const struct generated_picture *picture = &what->pictures[i];
        err = db_run(db, "INSERT INTO generated (job_id, number, cosine, crc32c, png) VALUES (?1, ?2, ?3, ?4, ?5)",
                     (const struct db_value[]){db_int(what->job_id),
                                               db_int(i + 1),
                                               db_real(picture->cosine),
                                               db_int((int64_t)hash_crc32c(0, picture->png, picture->n_bytes)),
                                               db_blob(picture->png, picture->n_bytes),
                                               {0}},
                     note);
    }
    return err != ERR_NONE ? err : audit(db, what->actor, "face.generated", what->job_id, note);
}

enum err store_generation_end(struct store *store, int64_t job_id, const char *actor,
                              const struct generated_picture *pictures, int n, struct err_note *note)
{
    struct ending what = {.job_id = job_id, .actor = actor, .pictures = pictures, .n = n};

    return db_change(store, ending_apply, &what, NULL, note);
}

static enum err picture_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct generated_picture *picture = ret_row;
    enum err err = db_column_blob(statement, 2, mem, &picture->png, &picture->n_bytes);

    picture->cosine = sqlite3_column_double(statement, 0);
    if (err == ERR_NONE &&
        (int64_t)hash_crc32c(0, picture->png, picture->n_bytes) != sqlite3_column_int64(statement, 1)) {
        err = ERR_CORRUPT;
    }
    return err;
}

enum err store_generated_get(struct store *store, int64_t job_id, int number, struct arena *mem,
                             struct generated_picture *ret, struct err_note *note)
{
    struct generated_picture picture = {0};
    enum err err = one_read(store, "SELECT cosine, crc32c, png FROM generated WHERE job_id = ?1 AND number = ?2",
                            (const struct db_value[]){db_int(job_id), db_int(number), {0}}, picture_read, mem, &picture,
                            "there is no such picture", note);
    if (err == ERR_NONE) {
        *ret = picture;
    }
    return err;
}
