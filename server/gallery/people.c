/* people.c: reading and changing subjects and faces. */
#include "server/gallery/people.h"

#include <string.h>

#include "server/gallery/gallery_private.h"
#include "server/store/face_rows.h"
#include "server/store/image_rows.h"

/* ---- Subjects ---------------------------------------------------------------------------------------------------- */

struct subject_info subject_info_of(const struct subject_row *row, const char *collection)
{
    return (struct subject_info){.id = row->uuid,
                                 .name = row->name,
                                 .collection = collection,
                                 .external_id = row->external_id,
                                 .metadata = row->metadata,
                                 .created_ms = row->created_ms,
                                 .updated_ms = row->updated_ms,
                                 .n_faces = row->n_faces};
}

/* The subject by its id alone, in the arena, with its collection; NULL and the error if it cannot be had. */
static struct subject_row *find_anywhere(struct gallery_worker *worker, const char *subject_id,
                                         struct collection_row *ret_collection, enum err *ret_err,
                                         struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct subject_row *row = ARENA_NEW(worker->mem, struct subject_row);

    if (row == NULL) {
        *ret_err = spent(worker->mem);
        return NULL;
    }
    enum err err = store_subject_find_uuid(store, subject_id, worker->mem, row, &fault->note);
    if (err == ERR_NONE) {
        err = store_collection_get(store, row->collection_id, worker->mem, ret_collection, &fault->note);
    }
    if (err == ERR_NOT_FOUND) {
        fault->note = (struct err_note){0};
        (void)ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_SUBJECT, err),
                      "there is no subject with this id");
    }
    *ret_err = err;
    return err == ERR_NONE ? row : NULL;
}

/* A page of exactly one name: one subject or none. */
static enum err subject_named(struct gallery_worker *worker, const struct collection_row *collection, const char *name,
                              struct subject_row **ret, int *ret_count, struct gallery_fault *fault)
{
    struct subject_row *row = ARENA_NEW(worker->mem, struct subject_row);

    if (row == NULL) {
        return spent(worker->mem);
    }
    enum err err =
        store_subject_find_name(worker->gallery->store, collection->id, name, worker->mem, row, &fault->note);
    if (err != ERR_NONE && err != ERR_NOT_FOUND) {
        return err;
    }
    fault->note = (struct err_note){0};
    *ret = row;
    *ret_count = err == ERR_NONE;
    return ERR_NONE;
}

enum err gallery_subjects(struct gallery_worker *worker, const char *collection, const char *name,
                          const char *page_token, int limit, struct subject_info **ret, int *ret_count,
                          const char **ret_next, struct gallery_fault *fault)
{
    struct store_page page = {.limit = limit, .token = page_token};
    struct collection_row where = {0};
    struct subject_row *rows = NULL;
    const char *next = NULL;
    int n = 0;

    enum err err = find_collection(worker, collection, &where, fault);
    if (err != ERR_NONE) {
        return err;
    }
    if (name != NULL) {
        err = subject_named(worker, &where, name, &rows, &n, fault);
    } else {
        err = store_subject_list(worker->gallery->store, where.id, &page, worker->mem, &rows, &n, &next, &fault->note);
    }
    if (err != ERR_NONE) {
        return page_fault(err, fault);
    }
    struct subject_info *infos = ARENA_ARRAY(worker->mem, struct subject_info, n);
    if (infos == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < n; i++) {
        infos[i] = subject_info_of(&rows[i], where.name);
    }
    *ret = infos;
    *ret_count = n;
    *ret_next = next;
    return ERR_NONE;
}

enum err gallery_subject_get(struct gallery_worker *worker, const char *subject_id, struct subject_info *ret,
                             struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    enum err err = ERR_NONE;
    const struct subject_row *row = find_anywhere(worker, subject_id, &collection, &err, fault);

    if (row != NULL) {
        *ret = subject_info_of(row, collection.name);
    }
    return err;
}

enum err gallery_subject_patch(struct gallery_worker *worker, const char *subject_id,
                               const struct subject_change *change, struct subject_info *ret,
                               struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    enum err err = ERR_NONE;
    bool good_name =
        change->name == NULL || store_name_check("the subject's name", change->name, &fault->note) == ERR_NONE;
    bool good_external = change->external_id == NULL || change->external_id[0] == '\0' ||
                         store_name_check("external_id", change->external_id, &fault->note) == ERR_NONE;

    if (!good_name || !good_external) {
        return gallery_fail(fault, GALLERY_BAD_NAME, ERR_MISUSE);
    }
    if (change->metadata != NULL && store_json_check("metadata", change->metadata, &fault->note) != ERR_NONE) {
        return gallery_fail(fault, GALLERY_BAD_METADATA, ERR_MISUSE);
    }
    const struct subject_row *row = find_anywhere(worker, subject_id, &collection, &err, fault);
    if (row != NULL) {
        err = store_subject_change(worker->gallery->store, row->id, change, worker_actor(worker), &fault->note);
        if (err == ERR_EXISTS) {
            return gallery_fail(fault, GALLERY_NAME_TAKEN, err);
        }
    }
    return err == ERR_NONE ? gallery_subject_get(worker, subject_id, ret, fault) : err;
}

/* ---- Faces ------------------------------------------------------------------------------------------------------- */

static struct face_info face_of(const struct face_row *row, const char *collection)
{
    struct face_info info = {.id = row->uuid,
                             .subject_id = row->subject_uuid,
                             .subject_name = row->subject_name,
                             .collection = collection,
                             .created_ms = row->created_ms,
                             .has_face = row->source == FACE_FROM_PHOTO,
                             .photo = {.width = row->photo_width_px, .height = row->photo_height_px},
                             .box = {row->box[0], row->box[1], row->box[2] - row->box[0], row->box[3] - row->box[1]},
                             .score = row->score,
                             .quality = row->quality,
                             .has_crop = row->has_crop,
                             .has_photo = row->has_photo,
                             .set_aside = row->set_aside};

    memcpy(info.landmarks, row->point, sizeof info.landmarks);
    return info;
}

enum err gallery_faces(struct gallery_worker *worker, const char *subject_id, const char *page_token, int limit,
                       struct face_info **ret, int *ret_count, const char **ret_next, struct gallery_fault *fault)
{
    struct store_page page = {.limit = limit, .token = page_token};
    struct collection_row collection = {0};
    struct face_row *rows = NULL;
    const char *next = NULL;
    enum err err = ERR_NONE;
    int n = 0;

    const struct subject_row *subject = find_anywhere(worker, subject_id, &collection, &err, fault);
    if (subject == NULL) {
        return err;
    }
    err = store_face_list(worker->gallery->store, subject->id, &page, worker->mem, &rows, &n, &next, &fault->note);
    if (err != ERR_NONE) {
        return page_fault(err, fault);
    }
    struct face_info *infos = ARENA_ARRAY(worker->mem, struct face_info, n);
    if (infos == NULL) {
        return spent(worker->mem);
    }
    for (int i = 0; i < n; i++) {
        infos[i] = face_of(&rows[i], collection.name);
    }
    *ret = infos;
    *ret_count = n;
    *ret_next = next;
    return ERR_NONE;
}

static struct face_row *find_face_anywhere(struct gallery_worker *worker, const char *face_id, enum err *ret_err,
                                           struct gallery_fault *fault)
{
    struct face_row *row = ARENA_NEW(worker->mem, struct face_row);

    if (row == NULL) {
        *ret_err = spent(worker->mem);
        return NULL;
    }
    enum err err = store_face_find_uuid(worker->gallery->store, face_id, worker->mem, row, &fault->note);
    if (err == ERR_NOT_FOUND) {
        fault->note = (struct err_note){0};
        (void)ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_SUCH_FACE, err), "there is no face with this id");
    }
    *ret_err = err;
    return err == ERR_NONE ? row : NULL;
}

enum err gallery_face_get(struct gallery_worker *worker, const char *face_id, struct face_info *ret,
                          struct gallery_fault *fault)
{
    struct collection_row collection = {0};
    enum err err = ERR_NONE;

    const struct face_row *row = find_face_anywhere(worker, face_id, &err, fault);
    if (row == NULL) {
        return err;
    }
    err = store_collection_get(worker->gallery->store, row->collection_id, worker->mem, &collection, &fault->note);
    if (err == ERR_NONE) {
        *ret = face_of(row, collection.name);
    }
    return err;
}

/* Photos are kept as sent, so what they are stands in their first bytes; image_decode has accepted them. */
static const char *mime_of(const unsigned char *bytes, size_t n_bytes)
{
    if (n_bytes > 3 && bytes[0] == 0xFF && bytes[1] == 0xD8) {
        return "image/jpeg";
    }
    if (n_bytes > 8 && memcmp(bytes, "\x89PNG", 4) == 0) {
        return "image/png";
    }
    if (n_bytes > 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0) {
        return "image/webp";
    }
    return "application/octet-stream";
}

enum err gallery_face_image(struct gallery_worker *worker, const char *face_id, enum face_picture which,
                            struct face_image *ret, struct gallery_fault *fault)
{
    struct store *store = worker->gallery->store;
    struct stored_image image = {0};
    enum err err = ERR_NONE;

    const struct face_row *row = find_face_anywhere(worker, face_id, &err, fault);
    if (row == NULL) {
        return err;
    }
    err = which == FACE_CROP ? store_crop_get(store, row->id, worker->mem, &image, &fault->note)
                             : store_photo_get(store, row->id, worker->mem, &image, &fault->note);
    if (err == ERR_NOT_FOUND) {
        fault->note = (struct err_note){0};
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_IMAGE_KEPT, err),
                       "the %s of this face was not kept", which == FACE_CROP ? "crop" : "photo");
    }
    if (err == ERR_NONE) {
        *ret = (struct face_image){
            .bytes = image.bytes, .n_bytes = image.n_bytes, .mime = mime_of(image.bytes, image.n_bytes)};
    }
    return err;
}
