/* embedding_rows.c: the vectors, checked as they are read. */
#include "server/store/embedding_rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/store/db_private.h"

void floats_to_bytes(const float *values, size_t n, unsigned char *ret)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        ret[4 * i] = (unsigned char)bits;
        ret[4 * i + 1] = (unsigned char)(bits >> 8);
        ret[4 * i + 2] = (unsigned char)(bits >> 16);
        ret[4 * i + 3] = (unsigned char)(bits >> 24);
    }
}

void floats_from_bytes(const unsigned char *bytes, size_t n, float *ret)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char *p = bytes + 4 * i;
        uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        memcpy(&ret[i], &bits, sizeof bits);
    }
}

uint32_t embedding_crc(int64_t face_id, int64_t model_id, float norm, const unsigned char *vector, size_t n_bytes)
{
    unsigned char front[20];

    for (int i = 0; i < 8; i++) {
        front[i] = (unsigned char)((uint64_t)face_id >> (8 * i));
        front[8 + i] = (unsigned char)((uint64_t)model_id >> (8 * i));
    }
    floats_to_bytes(&norm, 1, front + 16);
    return hash_crc32c(hash_crc32c(0, front, sizeof front), vector, n_bytes);
}

/* Columns of every statement here: face, model, norm, checksum, vector. */
#define COLUMNS "e.face_id, e.model_id, e.norm, e.crc32c, e.vector"

/* The vector's bytes, checked; they stay valid until the statement's next step. */
static enum err vector_check(sqlite3_stmt *statement, const unsigned char **ret, int *ret_dim, struct err_note *note)
{
    int64_t face_id = sqlite3_column_int64(statement, 0);
    const unsigned char *vector = sqlite3_column_blob(statement, 4);
    int n_bytes = sqlite3_column_bytes(statement, 4);

    if (vector == NULL || n_bytes < 4 || n_bytes % 4 != 0 ||
        sqlite3_column_int64(statement, 3) != (int64_t)embedding_crc(face_id, sqlite3_column_int64(statement, 1),
                                                                     (float)sqlite3_column_double(statement, 2), vector,
                                                                     (size_t)n_bytes)) {
        return ERR_SAY(note, ERR_CORRUPT,
                       "the embedding of face %lld (model %lld) does not agree with its checksum: it is damaged",
                       (long long)face_id, (long long)sqlite3_column_int64(statement, 1));
    }
    *ret = vector;
    *ret_dim = n_bytes / 4;
    return ERR_NONE;
}

/* ---- One ---------------------------------------------------------------------------------------------------------- */

static enum err embedding_copy(sqlite3_stmt *statement, float *ret, int dim, float *ret_norm, struct err_note *note)
{
    const unsigned char *vector = NULL;
    int stored_dim = 0;
    enum err err = vector_check(statement, &vector, &stored_dim, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (stored_dim != dim) {
        return ERR_SAY(note, ERR_MISUSE, "the embedding has %d numbers, not %d", stored_dim, dim);
    }
    floats_from_bytes(vector, (size_t)dim, ret);
    if (ret_norm != NULL) {
        *ret_norm = (float)sqlite3_column_double(statement, 2);
    }
    return ERR_NONE;
}

enum err store_embedding_get(struct store *store, int64_t face_id, int64_t model_id, float *ret, int dim,
                             float *ret_norm, struct err_note *note)
{
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_start(db, "SELECT " COLUMNS " FROM embeddings e WHERE e.face_id = ?1 AND e.model_id = ?2",
                   (const struct db_value[]){db_int(face_id), db_int(model_id), {0}}, &statement, note);
    if (err == ERR_NONE) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err == ERR_NONE) {
            err = row ? embedding_copy(statement, ret, dim, ret_norm, note)
                      : ERR_SAY(note, ERR_NOT_FOUND, "face %lld has no embedding of model %lld", (long long)face_id,
                                (long long)model_id);
        }
        db_done(statement);
    }
    db_return(store, db);
    return err;
}

static enum err counts_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct embedding_counts *counts = ret_row;

    (void)mem;
    counts->n_there = sqlite3_column_int64(statement, 0);
    counts->n_missing = sqlite3_column_int64(statement, 1) - counts->n_there;
    return ERR_NONE;
}

enum err store_embedding_count(struct store *store, int64_t collection_id, int64_t model_id,
                               struct embedding_counts *ret, struct err_note *note)
{
    return one_read(store,
                    "SELECT count(e.face_id), count(*) FROM faces f LEFT JOIN embeddings e "
                    "ON e.face_id = f.id AND e.model_id = ?2 WHERE f.collection_id = ?1",
                    (const struct db_value[]){db_int(collection_id), db_int(model_id), {0}}, counts_read, NULL, ret, "",
                    note);
}

/* ---- All ---------------------------------------------------------------------------------------------------------- */

struct walk {
    store_embedding_visit *visit; /* one of the two */
    store_labelled_visit *labelled;
    void *context;
    float *vector; /* grows to the longest seen, wiped at the end */
    int room;
};

static enum err walk_step(struct walk *walk, sqlite3_stmt *statement, struct err_note *note)
{
    const unsigned char *bytes = NULL;
    int dim = 0;
    enum err err = vector_check(statement, &bytes, &dim, note);

    if (err != ERR_NONE) {
        return err;
    }
    if (dim > walk->room) {
        float *longer = mem_resize(walk->vector, (size_t)dim, sizeof *longer);
        if (longer == NULL) {
            return ERR_NOMEM;
        }
        walk->vector = longer;
        walk->room = dim;
    }
    floats_from_bytes(bytes, (size_t)dim, walk->vector);
    int64_t face_id = sqlite3_column_int64(statement, 0);
    if (walk->labelled != NULL) {
        return walk->labelled(walk->context, face_id, sqlite3_column_int64(statement, 5), walk->vector, dim);
    }
    assert(walk->visit != NULL);
    return walk->visit(walk->context, face_id, walk->vector, dim);
}

static enum err walk_all(struct store *store, const char *sql, const struct db_value *values, struct walk *walk,
                         struct err_note *note)
{
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_start(db, sql, values, &statement, note);
    if (err == ERR_NONE) {
        bool row = true;
        while (err == ERR_NONE && row) {
            err = db_step(db, statement, &row, note);
            if (err == ERR_NONE && row) {
                err = walk_step(walk, statement, note);
            }
        }
        db_done(statement);
    }
    db_return(store, db);
    mem_free_wiped(walk->vector);
    return err;
}

enum err store_embedding_each(struct store *store, int64_t collection_id, int64_t model_id, int64_t after_face_id,
                              store_embedding_visit *visit, void *context, struct err_note *note)
{
    struct walk walk = {.visit = visit, .context = context};

    return walk_all(store,
                    "SELECT " COLUMNS " FROM faces f JOIN embeddings e ON e.face_id = f.id AND e.model_id = ?2 "
                    "WHERE f.collection_id = ?1 AND f.id > ?3 AND f.set_aside_by = 0 ORDER BY f.id",
                    (const struct db_value[]){db_int(collection_id), db_int(model_id), db_int(after_face_id), {0}},
                    &walk, note);
}

enum err store_labelled_each(struct store *store, int64_t collection_id, int64_t model_id, store_labelled_visit *visit,
                             void *context, struct err_note *note)
{
    struct walk walk = {.labelled = visit, .context = context};

    return walk_all(store,
                    "SELECT " COLUMNS
                    ", f.subject_id FROM faces f JOIN embeddings e ON e.face_id = f.id AND e.model_id = ?2 "
                    "WHERE f.collection_id = ?1 AND f.set_aside_by = 0 ORDER BY f.subject_id, f.id",
                    (const struct db_value[]){db_int(collection_id), db_int(model_id), {0}}, &walk, note);
}

/* ---- Verifying ---------------------------------------------------------------------------------------------------- */

struct verification {
    store_progress *progress;
    void *context;
    struct cancel *cancel;
    int64_t done, total;
    int64_t n_damaged;
    struct err_note first;
};

static enum err embedding_verify(sqlite3_stmt *statement, struct err_note *note)
{
    const unsigned char *vector = NULL;
    int dim = 0;

    return vector_check(statement, &vector, &dim, note);
}

static enum err image_verify(sqlite3_stmt *statement, const char *what, struct err_note *note)
{
    const void *bytes = sqlite3_column_blob(statement, 2);
    size_t n_bytes = (size_t)sqlite3_column_bytes(statement, 2);

    if (bytes != NULL && (int64_t)hash_crc32c(0, bytes, n_bytes) == sqlite3_column_int64(statement, 1)) {
        return ERR_NONE;
    }
    return ERR_SAY(note, ERR_CORRUPT, "%s %lld does not agree with its checksum: it is damaged", what,
                   (long long)sqlite3_column_int64(statement, 0));
}

static enum err crop_verify(sqlite3_stmt *statement, struct err_note *note)
{
    return image_verify(statement, "the crop of face", note);
}

static enum err photo_verify(sqlite3_stmt *statement, struct err_note *note)
{
    return image_verify(statement, "photo", note);
}

static const struct {
    const char *count;
    const char *rows;
    enum err (*verify)(sqlite3_stmt *statement, struct err_note *note);
} tables[] = {
    {"SELECT count(*) FROM embeddings", "SELECT " COLUMNS " FROM embeddings e", embedding_verify},
    {"SELECT count(*) FROM crops", "SELECT face_id, crc32c, webp FROM crops", crop_verify},
    {"SELECT count(*) FROM photos", "SELECT id, crc32c, bytes FROM photos", photo_verify},
};
#define N_TABLES ((int)(sizeof tables / sizeof tables[0]))

static enum err table_verify(struct db *db, int table, struct verification *state, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = db_start(db, tables[table].rows, NULL, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    for (;;) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err != ERR_NONE || !row) {
            break;
        }
        if (tables[table].verify(statement, &state->first) != ERR_NONE) {
            state->n_damaged++;
        }
        state->done++;
        if (state->progress != NULL) {
            state->progress(state->context, state->done, state->total);
        }
        if (cancel_asked(state->cancel)) {
            err = ERR_CANCELLED;
            break;
        }
    }
    db_done(statement);
    return err;
}

static enum err tables_verify(struct db *db, struct verification *state, struct err_note *note)
{
    enum err err = db_snapshot_begin(db, note);

    for (int i = 0; err == ERR_NONE && i < N_TABLES; i++) {
        int64_t count = 0;
        err = db_integer(db, tables[i].count, NULL, &count, note);
        state->total += count;
    }
    for (int i = 0; err == ERR_NONE && i < N_TABLES; i++) {
        err = table_verify(db, i, state, note);
    }
    db_snapshot_end(db);
    return err;
}

enum err store_checksum_verify(struct store *store, store_progress *progress, void *context, struct cancel *cancel,
                               struct err_note *note)
{
    struct db *db = NULL;
    struct verification state = {.progress = progress, .context = context, .cancel = cancel};
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = tables_verify(db, &state, note);
    db_return(store, db);
    if (err == ERR_NONE && state.n_damaged > 0) {
        err = ERR_SAY(note, ERR_CORRUPT, "%s (%lld such rows in all)", state.first.text, (long long)state.n_damaged);
    }
    return err;
}
