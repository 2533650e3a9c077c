/* enroll.c: POST /v1/enroll. */
#include "server/gallery/enroll.h"

#include "server/daemon/metrics.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"
#include "server/store/key_rows.h"

static json_t *also_json(const struct also *also)
{
    json_t *list = also->asked ? json_array() : json_null();

    for (int i = 0; i < also->n; i++) {
        const struct also_face *face = &also->faces[i];
        if (json_array_append_new(list, json_other(face->subject_id, face->subject_name, face->face_id,
                                                   face->has_cosine ? &face->cosine : NULL, face->same_photo)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *new_face_json(const struct new_face *face)
{
    json_t *id = json_pack("{s:s, s:o}", "id", face->id, "also", also_json(&face->also));
    return face->has_face ? json_join(id, json_seen_face(&face->face)) : id;
}

static json_t *answer_of(const void *context, const void *result)
{
    const struct enroll_answer *answer = result;
    (void)context;
    json_t *faces = json_array();
    json_t *rejected = json_array();
    bool whole = true;

    for (int i = 0; i < answer->n_faces; i++) {
        whole &= json_array_append_new(faces, new_face_json(&answer->faces[i])) == 0;
    }
    for (int i = 0; i < answer->n_rejected; i++) {
        whole &= json_array_append_new(rejected, json_seen_face(&answer->rejected[i])) == 0;
    }
    json_t *document =
        json_pack("{s:o, s:b, s:s, s:s, s:o, s:o}", "subject", json_subject(answer->subject_id, answer->subject_name),
                  "created", (int)answer->subject_is_new, "collection", answer->collection, "model", answer->model,
                  "faces", faces, "rejected", rejected);
    if (answer->photo.width > 0) {
        document = json_join(document, json_pack("{s:o}", "photo", json_photo_size(&answer->photo)));
    }
    if (!whole) {
        json_decref(document);
        return NULL;
    }
    return document;
}

/* Who has a face is what identify tells; a key that may only enroll does not learn it here. */
static bool may_know_others(const struct call *call)
{
    return call->caller->key.id[0] == '\0' || (call->caller->key.scopes & SCOPE_IDENTIFY) != 0;
}

void handle_enroll(struct call *call)
{
    static const enum quality_wanted qualities[] = {QUALITY_WANTED_NONE, QUALITY_WANTED_AUTO, QUALITY_WANTED_HIGH};
    struct enroll_query query = {.collection = call_text(call, "collection", NULL),
                                 .subject = call_subject(call),
                                 .photo = call_photo(call, "image"),
                                 .embedding = call_embedding(call, "embedding"),
                                 .external_id = call_text(call, "external_id", NULL),
                                 .metadata = call_text(call, "metadata", NULL),
                                 .faces = call_faces(call),
                                 .quality = qualities[call_choice(call, "quality", QUALITY_WANTED_AUTO)],
                                 .on_duplicate = call_on_duplicate(call),
                                 .others = may_know_others(call) ? OTHERS_TOLD : OTHERS_UNTOLD};
    struct enroll_answer answer;
    struct gallery_fault fault = {0};

    if (query.on_duplicate == DUPLICATE_REJECT_ANY && query.others == OTHERS_UNTOLD) {
        call_problem(call, &PROBLEM_SCOPE,
                     "on_duplicate=reject_any tells who is enrolled: it needs the scope \"identify\"");
        return;
    }
    query.photo.aligned = call_switch(call, "aligned");
    if (!call_has_probe(call, query.photo.bytes != NULL || query.embedding.values != NULL)) {
        return;
    }
    if (query.subject.id == NULL && query.subject.name == NULL) {
        call_problem(call, &PROBLEM_MISSING_PARAMETER, "\"subject\" is missing: the name or the id of the person");
        return;
    }
    (void)call_keep(call, 201, answer_of, NULL);
    enum err err = gallery_enroll(call->worker, &query, &answer, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    metrics_count(METRICS_ENROLLED, answer.n_faces);
    call_answer(call, 201, answer_of(NULL, &answer));
}
