/* verify.c: POST /v1/verify. */
#include "server/gallery/verify.h"

#include "server/http/answers.h"
#include "server/http/handlers.h"

static json_t *answer_of(const struct verify_answer *answer)
{
    json_t *document =
        json_join(json_pack("{s:b, s:f, s:s, s:s?}", "match", (int)answer->match, "cosine", decimal_of(answer->cosine),
                            "model", answer->model, "face_id", answer->face_id),
                  json_threshold(&answer->threshold));
    if (answer->subject_id != NULL) {
        document =
            json_join(document, json_pack("{s:o}", "subject", json_subject(answer->subject_id, answer->subject_name)));
    }
    if (answer->has_face) {
        document = json_join(document, json_pack("{s:o, s:o}", "face", json_seen_face(&answer->face), "photo",
                                                 json_photo_size(&answer->photo)));
    }
    if (answer->has_face2) {
        document = json_join(document, json_pack("{s:o, s:o}", "face2", json_seen_face(&answer->face2), "photo2",
                                                 json_photo_size(&answer->photo2)));
    }
    return document;
}

void handle_verify(struct call *call)
{
    struct verify_query query = {.collection = call_text(call, "collection", NULL),
                                 .photo = call_photo(call, "image"),
                                 .embedding = call_embedding(call, "embedding"),
                                 .photo2 = call_photo(call, "image2"),
                                 .embedding2 = call_embedding(call, "embedding2"),
                                 .subject = call_subject(call),
                                 .face_id = call_text(call, "face_id", NULL),
                                 .faces = call_faces(call),
                                 .threshold = call_threshold(call)};
    struct verify_answer answer;
    struct gallery_fault fault = {0};

    query.photo.aligned = query.photo2.aligned = call_switch(call, "aligned");
    if (!call_has_probe(call, query.photo.bytes != NULL || query.embedding.values != NULL)) {
        return;
    }
    int claims = (query.photo2.bytes != NULL) + (query.embedding2.values != NULL) + (query.face_id != NULL) +
                 (query.subject.id != NULL || query.subject.name != NULL);
    if (claims != 1) {
        call_problem(call, claims == 0 ? &PROBLEM_MISSING_PARAMETER : &PROBLEM_BAD_PARAMETER,
                     "exactly one of subject, face_id, image2 and embedding2 says whom to compare with");
        return;
    }
    enum err err = gallery_verify(call->worker, &query, &answer, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, answer_of(&answer));
}
