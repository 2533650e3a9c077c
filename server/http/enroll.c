/* enroll.c: POST /v1/enroll. */
#include "server/gallery/enroll.h"

#include "server/daemon/metrics.h"
#include "server/http/answers.h"
#include "server/http/handlers.h"

static json_t *new_face_json(const struct new_face *face)
{
    json_t *id = json_pack("{s:s}", "id", face->id);
    return face->has_face ? json_join(id, json_seen_face(&face->face)) : id;
}

static json_t *answer_of(const struct enroll_answer *answer)
{
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
                                 .on_duplicate =
                                     call_choice(call, "on_duplicate", 0) == 0 ? DUPLICATE_KEEP : DUPLICATE_REJECT};
    struct enroll_answer answer;
    struct gallery_fault fault = {0};

    query.photo.aligned = call_switch(call, "aligned");
    if (!call_has_probe(call, query.photo.bytes != NULL || query.embedding.values != NULL)) {
        return;
    }
    if (query.subject.id == NULL && query.subject.name == NULL) {
        call_problem(call, &PROBLEM_MISSING_PARAMETER, "\"subject\" is missing: the name or the id of the person");
        return;
    }
    enum err err = gallery_enroll(call->worker, &query, &answer, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    metrics_count(METRICS_ENROLLED, answer.n_faces);
    call_answer(call, 201, answer_of(&answer));
}
