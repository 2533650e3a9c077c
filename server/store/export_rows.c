/* export_rows.c: faces with everything that belongs to them, page by page. */
#include "server/store/export_rows.h"

#include <string.h>

#include "core/base/hash.h"
#include "server/store/db_private.h"

static enum err span_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct export_span *span = ret_row;

    (void)mem;
    span->last_face_id = sqlite3_column_int64(statement, 0);
    span->n_set_aside = sqlite3_column_int64(statement, 1);
    span->n_faces = sqlite3_column_int64(statement, 2) - span->n_set_aside;
    return ERR_NONE;
}

enum err store_export_span(struct store *store, int64_t collection_id, struct export_span *ret, struct err_note *note)
{
    return one_read(store,
                    "SELECT coalesce(max(id), 0), count(*) FILTER (WHERE set_aside_by <> 0), count(*) FROM faces "
                    "WHERE collection_id = ?1",
                    (const struct db_value[]){db_int(collection_id), {0}}, span_read, NULL, ret, "", note);
}

enum column {
    AT_ID,
    AT_UUID,
    AT_SUBJECT,
    AT_NAME,
    AT_EXTERNAL,
    AT_METADATA,
    AT_SOURCE,
    AT_BOX,
    AT_POINTS = AT_BOX + 4,
    AT_SCORE,
    AT_QUALITY,
    AT_WIDTH,
    AT_HEIGHT,
    AT_SHA256,
    AT_CREATED,
    AT_MODEL,
    AT_NORM,
    AT_CRC,
    AT_VECTOR,
    AT_CROP_CRC,
    AT_CROP
};

#define COLUMNS                                                                                                   \
    "f.id, f.uuid, s.uuid, s.name, s.external_id, s.metadata, f.source, f.box_x0, f.box_y0, f.box_x1, f.box_y1, " \
    "f.points, f.score, f.quality, f.photo_width_px, f.photo_height_px, f.photo_sha256, f.created_ms, "           \
    "e.model_id, e.norm, e.crc32c, e.vector"
#define FACES \
    "FROM faces f JOIN subjects s ON s.id = f.subject_id JOIN embeddings e ON e.face_id = f.id AND e.model_id = ?2 "
#define PAGE "WHERE f.collection_id = ?1 AND f.set_aside_by = 0 AND f.id > ?3 AND f.id <= ?4 ORDER BY f.id LIMIT ?5"

static enum err vector_read(sqlite3_stmt *statement, struct arena *mem, struct export_row *row)
{
    const unsigned char *bytes = sqlite3_column_blob(statement, AT_VECTOR);
    size_t n_bytes = (size_t)sqlite3_column_bytes(statement, AT_VECTOR);

    row->norm = (float)sqlite3_column_double(statement, AT_NORM);
    if (bytes == NULL || n_bytes % 4 != 0 ||
        embedding_crc(row->id, sqlite3_column_int64(statement, AT_MODEL), row->norm, bytes, n_bytes) !=
            (uint32_t)sqlite3_column_int64(statement, AT_CRC)) {
        return ERR_CORRUPT;
    }
    float *vector = ARENA_ARRAY(mem, float, n_bytes / 4);
    if (vector == NULL) {
        return arena_why(mem);
    }
    floats_from_bytes(bytes, n_bytes / 4, vector);
    row->vector = vector;
    row->dim = (int)(n_bytes / 4);
    return ERR_NONE;
}

static enum err crop_read(sqlite3_stmt *statement, struct arena *mem, struct export_row *row)
{
    if (sqlite3_column_count(statement) <= AT_CROP || sqlite3_column_type(statement, AT_CROP) == SQLITE_NULL) {
        return ERR_NONE;
    }
    enum err err = db_column_blob(statement, AT_CROP, mem, &row->crop, &row->crop_bytes);
    if (err == ERR_NONE &&
        hash_crc32c(0, row->crop, row->crop_bytes) != (uint32_t)sqlite3_column_int64(statement, AT_CROP_CRC)) {
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err texts_read(sqlite3_stmt *statement, struct arena *mem, struct export_row *row)
{
    const struct {
        enum column column;
        const char **ret;
    } texts[] = {{AT_UUID, &row->uuid},         {AT_SUBJECT, &row->subject_uuid},
                 {AT_NAME, &row->subject_name}, {AT_EXTERNAL, &row->external_id},
                 {AT_METADATA, &row->metadata}, {AT_QUALITY, &row->quality}};
    enum err err = ERR_NONE;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && err == ERR_NONE; i++) {
        err = db_column_text(statement, (int)texts[i].column, mem, texts[i].ret);
    }
    return err;
}

static enum face_source source_of(const char *word)
{
    for (enum face_source source = FACE_FROM_PHOTO; source < FACE_FROM_EMBEDDING; source++) {
        if (word != NULL && strcmp(word, face_source_word(source)) == 0) {
            return source;
        }
    }
    return FACE_FROM_EMBEDDING;
}

static enum err row_read(sqlite3_stmt *statement, struct arena *mem, struct export_row *row)
{
    size_t n_bytes = 0;

    row->id = sqlite3_column_int64(statement, AT_ID);
    row->source = source_of((const char *)sqlite3_column_text(statement, AT_SOURCE));
    for (int i = 0; i < 4; i++) {
        row->box[i] = (float)sqlite3_column_double(statement, AT_BOX + i);
    }
    if (sqlite3_column_bytes(statement, AT_POINTS) != (int)sizeof row->point) {
        return ERR_CORRUPT;
    }
    floats_from_bytes(sqlite3_column_blob(statement, AT_POINTS), 10, &row->point[0][0]);
    row->score = (float)sqlite3_column_double(statement, AT_SCORE);
    row->photo_width_px = sqlite3_column_int(statement, AT_WIDTH);
    row->photo_height_px = sqlite3_column_int(statement, AT_HEIGHT);
    row->created_ms = sqlite3_column_int64(statement, AT_CREATED);
    enum err err = texts_read(statement, mem, row);
    if (err == ERR_NONE && sqlite3_column_type(statement, AT_SHA256) != SQLITE_NULL) {
        err = db_column_blob(statement, AT_SHA256, mem, &row->photo_sha256, &n_bytes);
        err = err == ERR_NONE && n_bytes != HASH_SHA256_BYTES ? ERR_CORRUPT : err;
    }
    if (err == ERR_NONE) {
        err = vector_read(statement, mem, row);
    }
    return err != ERR_NONE ? err : crop_read(statement, mem, row);
}

static enum err page_read(struct db *db, const char *sql, const struct db_value *values, int limit, struct arena *mem,
                          struct export_row *rows, int *ret_count, struct err_note *note)
{
    sqlite3_stmt *statement = NULL;
    int count = 0;
    enum err err = db_start(db, sql, values, &statement, note);

    if (err != ERR_NONE) {
        return err;
    }
    while (err == ERR_NONE && count < limit) {
        bool row = false;
        err = db_step(db, statement, &row, note);
        if (err != ERR_NONE || !row) {
            break;
        }
        err = row_read(statement, mem, &rows[count]);
        if (err == ERR_CORRUPT) {
            (void)ERR_SAY(note, err, "the rows of face %lld are damaged", (long long)rows[count].id);
        }
        count++;
    }
    db_done(statement);
    *ret_count = count;
    return err;
}

enum err store_export_page(struct store *store, int64_t collection_id, int64_t model_id, int64_t after_face_id,
                           int64_t last_face_id, enum export_crops crops, int limit, struct arena *mem,
                           struct export_row **ret, int *ret_count, struct err_note *note)
{
    static const char bare[] = "SELECT " COLUMNS " " FACES PAGE;
    static const char full[] =
        "SELECT " COLUMNS ", c.crc32c, c.webp " FACES "LEFT JOIN crops c ON c.face_id = f.id " PAGE;
    const struct db_value values[] = {db_int(collection_id), db_int(model_id), db_int(after_face_id),
                                      db_int(last_face_id),  db_int(limit),    {0}};
    struct db *db = NULL;
    int count = 0;
    struct export_row *rows = ARENA_ARRAY(mem, struct export_row, limit);

    if (rows == NULL) {
        return arena_why(mem);
    }
    enum err err = db_lend(store, &db, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = page_read(db, crops == EXPORT_WITH_CROPS ? full : bare, values, limit, mem, rows, &count, note);
    db_return(store, db);
    if (err == ERR_NONE) {
        *ret = rows;
        *ret_count = count;
    }
    return err;
}
