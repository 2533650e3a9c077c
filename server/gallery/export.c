/* export.c: rows become lines of JSON. */
#include "server/gallery/export.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/mem.h"
#include "server/gallery/gallery_private.h"

#define ROWS_AT_ONCE 32 /* of 4 to 20 KB each: about a millisecond */
#define PAGE_BYTES ((size_t)64 << 20)

enum part {
    PART_HEADER,
    PART_FACES,
    PART_END,
    PART_NOTHING
};

struct export
{
    struct store *store;
    int64_t collection_id, model_id;
    int dim;
    enum export_crops crops;
    struct export_span span;
    char *name;
    char model[STORE_VERSION_TEXT];

    enum part part;
    int64_t at; /* the last face's row id */
    int64_t n_faces;
    struct arena *mem; /* of one page's rows */
    char *text;
    size_t used, room;
};

/* ---- Text --------------------------------------------------------------------------------------------------------- */

static enum err room_make(struct export *export, size_t more)
{
    size_t room = export->room == 0 ? (size_t)64 << 10 : export->room;

    while (room - export->used < more) {
        if (room > PAGE_BYTES) {
            return ERR_LIMIT;
        }
        room *= 2;
    }
    if (room > export->room) {
        char *text = mem_resize(export->text, room, 1);
        if (text == NULL) {
            return ERR_NOMEM;
        }
        export->text = text;
        export->room = room;
    }
    return ERR_NONE;
}

static enum err put_text(struct export *export, const char *text)
{
    size_t len = strlen(text);
    enum err err = room_make(export, len + 1);

    if (err == ERR_NONE) {
        memcpy(export->text + export->used, text, len);
        export->used += len;
    }
    return err;
}

/* An embedding: nine digits give back every bit of a float. */
static enum err put_vector(struct export *export, const float *values, int n)
{
    enum err err = room_make(export, (size_t)n * 20 + 8);

    if (err != ERR_NONE) {
        return err;
    }
    char *at = export->text + export->used;
    for (int i = 0; i < n; i++) {
        at += snprintf(at, 20, "%s%.9g", i == 0 ? "" : ",", (double)values[i]);
    }
    export->used = (size_t)(at - export->text);
    return ERR_NONE;
}

static enum err put_base64(struct export *export, const unsigned char *bytes, size_t n_bytes)
{
    size_t room = sodium_base64_encoded_len(n_bytes, sodium_base64_VARIANT_ORIGINAL);
    enum err err = room_make(export, room);

    if (err == ERR_NONE) {
        (void)sodium_bin2base64(export->text + export->used, room, bytes, n_bytes, sodium_base64_VARIANT_ORIGINAL);
        export->used += room - 1; /* without the zero */
    }
    return err;
}

/* A document, which is taken, without its closing brace. */
static enum err put_open_json(struct export *export, json_t *take)
{
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    size_t len = take == NULL ? 0 : json_dumpb(take, NULL, 0, flags);
    enum err err = len == 0 ? ERR_NOMEM : room_make(export, len + 1);

    if (err == ERR_NONE) {
        (void)json_dumpb(take, export->text + export->used, len, flags);
        export->used += len - 1;
    }
    json_decref(take);
    return err;
}

/* ---- Lines -------------------------------------------------------------------------------------------------------- */

static json_t *time_json(int64_t unix_ms)
{
    char text[CLOCK_TEXT_BYTES];

    clock_text(unix_ms, text);
    return json_string(text);
}

static json_t *floats_json(const float *values, int n)
{
    json_t *array = json_array();

    for (int i = 0; i < n; i++) {
        (void)json_array_append_new(array, json_real((double)values[i]));
    }
    return array;
}

static json_t *photo_json(const struct export_row *row)
{
    char sha256[HASH_SHA256_TEXT];

    if (row->photo_sha256 != NULL) {
        hash_text(row->photo_sha256, sha256);
    }
    return json_pack("{s:i, s:i, s:s?}", "width", row->photo_width_px, "height", row->photo_height_px, "sha256",
                     row->photo_sha256 == NULL ? NULL : sha256);
}

static json_t *face_json(const struct export_row *row)
{
    json_t *subject = json_pack("{s:s, s:s, s:s?, s:o}", "id", row->subject_uuid, "name", row->subject_name,
                                "external_id", row->external_id, "metadata", json_loads(row->metadata, 0, NULL));
    json_t *face = json_pack("{s:s, s:s, s:o, s:o, s:s, s:f, s:f}", "type", "face", "id", row->uuid, "subject", subject,
                             "enrolled_at", time_json(row->created_ms), "source", face_source_word(row->source),
                             "score", (double)row->score, "norm", (double)row->norm);

    if (face != NULL && row->source == FACE_FROM_PHOTO) {
        const float box[4] = {row->box[0], row->box[1], row->box[2] - row->box[0], row->box[3] - row->box[1]};
        json_t *landmarks = json_array();
        for (int i = 0; i < 5; i++) {
            (void)json_array_append_new(landmarks, floats_json(row->point[i], 2));
        }
        (void)json_object_set_new(face, "box", floats_json(box, 4));
        (void)json_object_set_new(face, "landmarks", landmarks);
        (void)json_object_set_new(face, "quality", json_loads(row->quality, 0, NULL));
    }
    if (face != NULL && row->source != FACE_FROM_EMBEDDING) {
        (void)json_object_set_new(face, "photo", photo_json(row));
    }
    return face;
}

static enum err put_face(struct export *export, const struct export_row *row)
{
    enum err err = put_open_json(export, face_json(row));

    if (err == ERR_NONE && row->crop != NULL) {
        err = put_text(export, ",\"crop\":\"");
        err = err == ERR_NONE ? put_base64(export, row->crop, row->crop_bytes) : err;
        err = err == ERR_NONE ? put_text(export, "\"") : err;
    }
    if (err == ERR_NONE) {
        err = put_text(export, ",\"embedding\":[");
    }
    if (err == ERR_NONE) {
        err = put_vector(export, row->vector, row->dim);
    }
    return err == ERR_NONE ? put_text(export, "]}\n") : err;
}

static enum err put_page(struct export *export)
{
    struct export_row *rows = NULL;
    int count = 0;

    enum err err =
        store_export_page(export->store, export->collection_id, export->model_id, export->at, export->span.last_face_id,
                          export->crops, ROWS_AT_ONCE, export->mem, &rows, &count, NULL);
    for (int i = 0; i < count && err == ERR_NONE; i++) {
        err = put_face(export, &rows[i]);
        export->at = rows[i].id;
    }
    export->n_faces += count;
    if (err == ERR_NONE && count < ROWS_AT_ONCE) {
        export->part = PART_END;
    }
    arena_reset_wiped(export->mem);
    return err;
}

static enum err put_header(struct export *export)
{
    json_t *header = json_pack("{s:s, s:i, s:s, s:s, s:i, s:I, s:o}", "type", "header", "format", EXPORT_FORMAT,
                               "collection", export->name, "model", export->model, "dim", export->dim, "faces",
                               (json_int_t) export->span.n_faces, "exported_at", time_json(clock_unix_ms()));
    enum err err = put_open_json(export, header);

    export->part = PART_FACES;
    return err == ERR_NONE ? put_text(export, "}\n") : err;
}

static enum err put_end(struct export *export)
{
    char text[96];

    export->part = PART_NOTHING;
    (void)snprintf(text, sizeof text, "{\"type\":\"end\",\"faces\":%lld,\"set_aside\":%lld}\n",
                   (long long)export->n_faces, (long long)export->span.n_set_aside);
    return put_text(export, text);
}

enum err export_next(struct export *export, const char **ret, size_t *ret_bytes)
{
    enum err err = ERR_NONE;

    mem_wipe(export->text, export->used);
    export->used = 0;
    while (err == ERR_NONE && export->used == 0 && export->part != PART_NOTHING) {
        switch (export->part) {
        case PART_HEADER: err = put_header(export); break;
        case PART_FACES: err = put_page(export); break;
        case PART_END: err = put_end(export); break;
        case PART_NOTHING: break;
        }
    }
    if (err == ERR_NONE) {
        *ret = export->text;
        *ret_bytes = export->used;
    }
    return err;
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static enum err export_begin(struct gallery_worker *worker, const char *collection, struct export *export,
                             struct gallery_fault *fault)
{
    struct collection_row row = {0};
    struct pair *pair = NULL;

    enum err err = find_pair(worker, collection, &row, &pair, fault);
    if (err != ERR_NONE) {
        return err;
    }
    export->collection_id = row.id;
    export->model_id = pair->model->row_id;
    export->dim = pair->model->dim;
    (void)snprintf(export->model, sizeof export->model, "%s", pair->model->version);
    live_unref(worker->gallery->live, pair);
    export->name = mem_copy_text(row.name);
    export->mem = arena_new(PAGE_BYTES);
    err = export->name == NULL || export->mem == NULL ? ERR_NOMEM : room_make(export, 1);
    return err == ERR_NONE ? store_export_span(export->store, row.id, &export->span, &fault->note) : err;
}

enum err gallery_export(struct gallery_worker *worker, const char *collection, enum export_crops crops,
                        struct export **ret, struct gallery_fault *fault)
{
    struct export *export = MEM_NEW(struct export);

    if (export == NULL) {
        return ERR_NOMEM;
    }
    export->store = worker->gallery->store;
    export->crops = crops;
    enum err err = export_begin(worker, collection, export, fault);
    if (err != ERR_NONE) {
        export_free(export);
        return err;
    }
    *ret = export;
    return ERR_NONE;
}

void export_free(struct export *export)
{
    if (export == NULL) {
        return;
    }
    mem_free_wiped(export->text);
    mem_free(export->name);
    arena_free(export->mem);
    mem_free(export);
}
