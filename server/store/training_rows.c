/* training_rows.c: one walk over the crops of a collection. */
#include "server/store/training_rows.h"

#include "core/base/hash.h"
#include "server/store/db_private.h"

static enum err crop_pass(sqlite3_stmt *statement, store_training_visit *visit, void *context, struct err_note *note)
{
    struct training_crop crop = {.face_id = sqlite3_column_int64(statement, 0),
                                 .subject_id = sqlite3_column_int64(statement, 1),
                                 .subject_uuid = (const char *)sqlite3_column_text(statement, 2),
                                 .side_px = sqlite3_column_int(statement, 3)};

    if (sqlite3_column_count(statement) > 4) {
        crop.bytes = sqlite3_column_blob(statement, 5);
        crop.n_bytes = (size_t)sqlite3_column_bytes(statement, 5);
        if (crop.bytes == NULL ||
            hash_crc32c(0, crop.bytes, crop.n_bytes) != (uint32_t)sqlite3_column_int64(statement, 4)) {
            return ERR_SAY(note, ERR_CORRUPT, "the crop of face %lld does not agree with its checksum: it is damaged",
                           (long long)crop.face_id);
        }
    }
    return crop.subject_uuid == NULL ? ERR_NOMEM : visit(context, &crop);
}

#define FROM_CROPS                                                                           \
    " FROM faces f JOIN crops c ON c.face_id = f.id JOIN subjects s ON s.id = f.subject_id " \
    "WHERE f.collection_id = ?1 AND f.set_aside_by = 0 ORDER BY f.subject_id, f.id"

enum err store_training_each(struct store *store, int64_t collection_id, enum training_bytes bytes,
                             store_training_visit *visit, void *context, struct err_note *note)
{
    static const char counting[] = "SELECT f.id, f.subject_id, s.uuid, c.side_px" FROM_CROPS;
    static const char reading[] = "SELECT f.id, f.subject_id, s.uuid, c.side_px, c.crc32c, c.webp" FROM_CROPS;
    struct db *db = NULL;
    sqlite3_stmt *statement = NULL;
    bool row = true;

    enum err err = db_lend(store, &db, note);
    if (err != ERR_NONE) {
        return err;
    }
    err = db_start(db, bytes == TRAINING_CROPS ? reading : counting,
                   (const struct db_value[]){db_int(collection_id), {0}}, &statement, note);
    if (err == ERR_NONE) {
        while (err == ERR_NONE && row) {
            err = db_step(db, statement, &row, note);
            if (err == ERR_NONE && row) {
                err = crop_pass(statement, visit, context, note);
            }
        }
        db_done(statement);
    }
    db_return(store, db);
    return err;
}

struct counts {
    int64_t faces, without_crop;
};

static enum err counts_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct counts *counts = ret_row;

    (void)mem;
    counts->faces = sqlite3_column_int64(statement, 0);
    counts->without_crop = counts->faces - sqlite3_column_int64(statement, 1);
    return ERR_NONE;
}

enum err store_training_count(struct store *store, int64_t collection_id, int64_t *ret_faces, int64_t *ret_without_crop,
                              struct err_note *note)
{
    struct counts counts = {0};
    enum err err =
        one_read(store,
                 "SELECT count(*), count(c.face_id) FROM faces f LEFT JOIN crops c ON c.face_id = f.id "
                 "WHERE f.collection_id = ?1 AND f.set_aside_by = 0",
                 (const struct db_value[]){db_int(collection_id), {0}}, counts_read, NULL, &counts, "", note);

    if (err == ERR_NONE) {
        *ret_faces = counts.faces;
        *ret_without_crop = counts.without_crop;
    }
    return err;
}
