/* identify.c: POST /v1/identify. */
#include "server/gallery/identify.h"

#include "server/http/answers.h"
#include "server/http/handlers.h"

static json_t *candidate_json(const struct candidate *candidate)
{
    return json_pack("{s:o, s:s, s:f}", "subject", json_subject(candidate->subject_id, candidate->subject_name),
                     "face_id", candidate->face_id, "cosine", decimal_of(candidate->cosine));
}

static json_t *face_json(const struct identified_face *face)
{
    json_t *candidates = json_array();

    for (int i = 0; i < face->n_candidates; i++) {
        if (json_array_append_new(candidates, candidate_json(&face->candidates[i])) != 0) {
            json_decref(candidates);
            return NULL;
        }
    }
    json_t *decision = json_pack("{s:s, s:o}", "decision", decision_word(face->decision), "candidates", candidates);
    return face->has_face ? json_join(json_seen_face(&face->face), decision) : decision;
}

static json_t *answer_of(const struct identify_answer *answer)
{
    json_t *faces = json_array();

    for (int i = 0; i < answer->n_faces; i++) {
        if (json_array_append_new(faces, face_json(&answer->faces[i])) != 0) {
            json_decref(faces);
            return NULL;
        }
    }
    json_t *document =
        json_join(json_pack("{s:o, s:s}", "faces", faces, "model", answer->model), json_threshold(&answer->threshold));
    if (answer->photo.width > 0) {
        document = json_join(document, json_pack("{s:o}", "photo", json_photo_size(&answer->photo)));
    }
    return document;
}

void handle_identify(struct call *call)
{
    static const enum group_by groups[] = {GROUP_BY_SUBJECT, GROUP_BY_FACE};
    struct identify_query query = {.collection = call_text(call, "collection", NULL),
                                   .photo = call_photo(call, "image"),
                                   .embedding = call_embedding(call, "embedding"),
                                   .face_id = call_text(call, "face_id", NULL),
                                   .faces = call_faces(call),
                                   .group = groups[call_choice(call, "group_by", 0)],
                                   .top_k = (int)call_whole(call, "top_k", 0),
                                   .threshold = call_threshold(call),
                                   .exact = call_switch(call, "exact"),
                                   .filter = call_text(call, "filter", NULL)};
    struct identify_answer answer;
    struct gallery_fault fault = {0};

    query.photo.aligned = call_switch(call, "aligned");
    if (!call_has_probe(call, query.photo.bytes != NULL || query.embedding.values != NULL || query.face_id != NULL)) {
        return;
    }
    enum err err = gallery_identify(call->worker, &query, &answer, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, answer_of(&answer));
}
