/* image_rows.c: kept pixels. */
#include "server/store/image_rows.h"

#include "core/base/hash.h"
#include "server/store/db_private.h"

static enum err image_read(sqlite3_stmt *statement, struct arena *mem, void *ret_row)
{
    struct stored_image *image = ret_row;
    enum err err = db_column_blob(statement, 1, mem, &image->bytes, &image->n_bytes);

    if (err == ERR_NONE &&
        (int64_t)hash_crc32c(0, image->bytes, image->n_bytes) != sqlite3_column_int64(statement, 0)) {
        err = ERR_CORRUPT;
    }
    return err;
}

static enum err image_get(struct store *store, const char *sql, const char *what, int64_t face_id, struct arena *mem,
                          struct stored_image *ret, struct err_note *note)
{
    struct stored_image image = {0};
    struct err_note said = {0};
    enum err err = one_read(store, sql, (const struct db_value[]){db_int(face_id), {0}}, image_read, mem, &image,
                            "nothing was kept of it", &said);

    if (err == ERR_NONE) {
        *ret = image;
        return ERR_NONE;
    }
    if (err == ERR_CORRUPT) {
        (void)ERR_SAY(&said, err, "it does not agree with its checksum and is damaged");
    }
    return said.text[0] == '\0' ? err
                                : ERR_SAY(note, err, "the %s of face %lld: %s", what, (long long)face_id, said.text);
}

enum err store_crop_get(struct store *store, int64_t face_id, struct arena *mem, struct stored_image *ret,
                        struct err_note *note)
{
    return image_get(store, "SELECT crc32c, webp FROM crops WHERE face_id = ?1", "crop", face_id, mem, ret, note);
}

enum err store_photo_get(struct store *store, int64_t face_id, struct arena *mem, struct stored_image *ret,
                         struct err_note *note)
{
    return image_get(store, "SELECT p.crc32c, p.bytes FROM faces f JOIN photos p ON p.id = f.photo_id WHERE f.id = ?1",
                     "photo", face_id, mem, ret, note);
}
