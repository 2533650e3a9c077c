/* face_rows.c: enrolled faces. */
#include "server/store/face_rows.h"

#include <string.h>

#include "core/base/hash.h"
#include "server/store/erase_private.h"

#define COLUMNS                                                                                                       \
    "SELECT f.id, f.uuid, f.collection_id, f.subject_id, s.uuid, s.name, f.source, f.box_x0, f.box_y0, f.box_x1, "    \
    "f.box_y1, f.points, f.score, f.quality, f.photo_width_px, f.photo_height_px, "                                   \
    "EXISTS (SELECT 1 FROM crops c WHERE c.face_id = f.id), f.photo_id IS NOT NULL, f.created_ms, f.set_aside_by <> " \
    "0 "                                                                                                              \
    "FROM faces f JOIN subjects s ON s.id = f.subject_id "

static const char *const source_words[] = {"photo", "crop", "embedding"};

const char *face_source_word(enum face_source source)
{
    return source_words[source];
}

static bool source_from_word(const char *word, enum face_source *ret)
{
    for (int i = 0; word != NULL && i < 3; i++) {
        if (strcmp(word, source_words[i]) == 0) {
            *ret = (enum face_source)i;
            return true;
        }
    }
    return false;
}

static enum err face_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct face_row *row = ret_row;
    const unsigned char *points = sqlite3_column_blob(statement, 11);

    if (points == NULL || sqlite3_column_bytes(statement, 11) != sizeof row->point ||
        !source_from_word((const char *)sqlite3_column_text(statement, 6), &row->source)) {
        return ERR_CORRUPT;
    }
    floats_from_bytes(points, 10, &row->point[0][0]);
    row->id = sqlite3_column_int64(statement, 0);
    row->collection_id = sqlite3_column_int64(statement, 2);
    row->subject_id = sqlite3_column_int64(statement, 3);
    for (int i = 0; i < 4; i++) {
        row->box[i] = (float)sqlite3_column_double(statement, 7 + i);
    }
    row->score = (float)sqlite3_column_double(statement, 12);
    row->photo_width_px = sqlite3_column_int(statement, 14);
    row->photo_height_px = sqlite3_column_int(statement, 15);
    row->has_crop = sqlite3_column_int(statement, 16) != 0;
    row->has_photo = sqlite3_column_int(statement, 17) != 0;
    row->created_ms = sqlite3_column_int64(statement, 18);
    row->set_aside = sqlite3_column_int(statement, 19) != 0;
    enum err err = db_column_id(statement, 1, row->uuid, sizeof row->uuid);
    if (err == ERR_NONE) {
        err = db_column_id(statement, 4, row->subject_uuid, sizeof row->subject_uuid);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 5, mem, &row->subject_name);
    }
    if (err == ERR_NONE) {
        err = db_column_text(statement, 13, mem, &row->quality);
    }
    return err;
}

static int64_t face_id(const void *row)
{
    return ((const struct face_row *)row)->id;
}

enum err store_face_find_uuid(struct store *store, const char *uuid, struct arena *mem, struct face_row *ret,
                              struct err_note *note)
{
    struct face_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE f.uuid = ?1", (const struct db_value[]){db_text(uuid), {0}},
                            face_read, mem, &row, "there is no face with this id", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_face_get(struct store *store, int64_t id, struct arena *mem, struct face_row *ret, struct err_note *note)
{
    struct face_row row = {0};
    enum err err = one_read(store, COLUMNS "WHERE f.id = ?1", (const struct db_value[]){db_int(id), {0}}, face_read,
                            mem, &row, "there is no such face", note);
    if (err == ERR_NONE) {
        *ret = row;
    }
    return err;
}

enum err store_face_get_many(struct store *store, const int64_t *ids, int n, struct arena *mem, struct face_row **ret,
                             struct err_note *note)
{
    struct db *db = NULL;
    struct face_row *rows = ARENA_ARRAY(mem, struct face_row, n);

    if (rows == NULL) {
        return arena_why(mem);
    }
    enum err err = db_lend(store, &db, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = db_snapshot_begin(db, note);
    for (int i = 0; err == ERR_NONE && i < n; i++) {
        err = one_read_in(db, COLUMNS "WHERE f.id = ?1", (const struct db_value[]){db_int(ids[i]), {0}}, face_read, mem,
                          &rows[i], "", NULL);
        if (err == ERR_NOT_FOUND) {
            err = ERR_NONE; /* its id stays 0 */
        }
    }
    db_snapshot_end(db);
    db_return(store, db);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

enum err store_face_subjects(struct store *store, const int64_t *ids, int n, int64_t *ret, struct err_note *note)
{
    struct db *db = NULL;
    enum err err = db_lend(store, &db, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = db_snapshot_begin(db, note);
    for (int i = 0; err == ERR_NONE && i < n; i++) {
        ret[i] = 0;
        err = db_integer(db, "SELECT subject_id FROM faces WHERE id = ?1",
                         (const struct db_value[]){db_int(ids[i]), {0}}, &ret[i], note);
        if (err == ERR_NOT_FOUND) {
            err = ERR_NONE;
        }
    }
    db_snapshot_end(db);
    db_return(store, db);
    return err;
}

enum err store_face_list_photo(struct store *store, int64_t collection_id, const unsigned char *sha256,
                               struct arena *mem, struct face_row **ret, int *ret_count, struct err_note *note)
{
    void *rows = NULL;
    const char *next = NULL;
    const struct list_plan plan = {
        .sql = COLUMNS
        "WHERE f.photo_sha256 = ?1 AND +f.collection_id = ?2 AND +f.set_aside_by = 0 ORDER BY f.id LIMIT ?3",
        .values =
            (const struct db_value[]){
                db_blob(sha256, HASH_SHA256_BYTES), db_int(collection_id), db_int(FACES_OF_PHOTO + 1), {0}},
        .limit = FACES_OF_PHOTO,
        .row_bytes = sizeof(struct face_row),
        .read = face_read,
        .row_id = face_id};
    enum err err = list_read(store, &plan, mem, &rows, ret_count, &next, note);

    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

enum err store_face_list(struct store *store, int64_t subject_id, const struct store_page *page, struct arena *mem,
                         struct face_row **ret, int *ret_count, const char **ret_next, struct err_note *note)
{
    int64_t after = 0;
    void *rows = NULL;
    enum err err = page_start(page, &after, note);

    if (err != ERR_NONE) {
        return err;
    }
    err = list_read(
        store,
        &(struct list_plan){
            .sql = COLUMNS "WHERE f.subject_id = ?1 AND f.id > ?2 ORDER BY f.id LIMIT ?3",
            .values = (const struct db_value[]){db_int(subject_id), db_int(after), db_int(page->limit + 1), {0}},
            .limit = page->limit,
            .row_bytes = sizeof(struct face_row),
            .read = face_read,
            .row_id = face_id},
        mem, &rows, ret_count, ret_next, note);
    if (err == ERR_NONE) {
        *ret = rows;
    }
    return err;
}

enum err store_face_delete(struct store *store, int64_t id, const char *actor, const struct after_commit *after,
                           struct arena *mem, struct receipt *ret, struct err_note *note)
{
    struct erase erase = {.what = ERASE_FACE, .id = id, .actor = actor, .mem = mem};

    return erase_run(store, &erase, after, ret, note);
}
