/* faces.c: /v1/faces, the faces of a subject, and the pictures that were kept. */
#include "server/gallery/forget.h"
#include "server/gallery/people.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"

/* Score and reasons of a stored judgement, under the names that a fresh one has. */
static json_t *quality_json(const char *quality)
{
    json_t *stored = json_object_text(quality);
    json_t *score = json_object_get(stored, "score");
    json_t *reasons = json_object_get(stored, "reasons");
    json_t *document = json_pack("{s:O, s:O}", "quality", score == NULL ? json_null() : score, "reasons",
                                 reasons == NULL ? json_null() : reasons);

    json_decref(stored);
    return document;
}

static json_t *face_json(const struct face_info *info)
{
    json_t *face = json_pack("{s:s, s:o, s:s, s:o, s:b, s:b, s:b}", "id", info->id, "subject",
                             json_subject(info->subject_id, info->subject_name), "collection", info->collection,
                             "created_at", json_time(info->created_ms), "has_crop", (int)info->has_crop, "has_photo",
                             (int)info->has_photo, "set_aside", (int)info->set_aside);
    if (!info->has_face) {
        return face;
    }
    json_t *landmarks = json_array();
    for (int i = 0; i < 5; i++) {
        if (json_array_append_new(landmarks, json_floats(info->landmarks[i], 2)) != 0) {
            json_decref(landmarks);
            landmarks = NULL;
            break;
        }
    }
    face = json_join(face, json_pack("{s:o, s:o, s:f, s:o}", "box", json_floats(info->box, 4), "landmarks", landmarks,
                                     "score", decimal_of(info->score), "photo", json_photo_size(&info->photo)));
    return json_join(face, quality_json(info->quality));
}

void handle_subject_faces(struct call *call)
{
    struct face_info *list = NULL;
    const char *next = NULL;
    int count = 0;
    struct gallery_fault fault = {0};

    enum err err = gallery_faces(call->worker, call->argument, call_text(call, "page_token", NULL), call_limit(call),
                                 &list, &count, &next, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    json_t *items = json_array();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(items, face_json(&list[i])) != 0) {
            json_decref(items);
            items = NULL;
            break;
        }
    }
    call_answer(call, 200, json_page("faces", items, next));
}

void handle_face_get(struct call *call)
{
    struct face_info info;
    struct gallery_fault fault = {0};

    enum err err = gallery_face_get(call->worker, call->argument, &info, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, face_json(&info));
}

void handle_face_delete(struct call *call)
{
    struct receipt receipt;
    struct gallery_fault fault = {0};

    enum err err = gallery_forget_face(call->worker, call->argument, &receipt, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_receipt(call, "face", &receipt);
}

void handle_face_image(struct call *call)
{
    static const enum face_picture pictures[] = {FACE_CROP, FACE_PHOTO};
    struct face_image image;
    struct gallery_fault fault = {0};

    enum err err =
        gallery_face_image(call->worker, call->argument, pictures[call_choice(call, "kind", 0)], &image, &fault);
    if (err == ERR_NONE) {
        err = reply_set(call->reply, 200, image.mime, image.bytes, image.n_bytes);
    }
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
    }
}
