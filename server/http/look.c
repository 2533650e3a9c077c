/* look.c: POST /v1/detect and POST /v1/embed, which store nothing. */
#include "server/gallery/look.h"

#include "server/http/answers.h"
#include "server/http/handlers.h"

static json_t *answer_of(const struct look_answer *answer)
{
    json_t *faces = json_array();

    for (int i = 0; i < answer->n_faces; i++) {
        const struct looked_face *looked = &answer->faces[i];
        json_t *face = json_seen_face(&looked->face);
        if (looked->embedding != NULL) {
            face = json_join(face, json_pack("{s:o, s:f}", "embedding", json_floats(looked->embedding, answer->dim),
                                             "norm", decimal_of(looked->norm)));
        }
        if (json_array_append_new(faces, face) != 0) {
            json_decref(faces);
            return NULL;
        }
    }
    json_t *document = json_pack("{s:o, s:o}", "photo", json_photo_size(&answer->photo), "faces", faces);
    if (answer->model != NULL) {
        document = json_join(document, json_pack("{s:s, s:i}", "model", answer->model, "dim", answer->dim));
    }
    return document;
}

typedef enum err (*look_function)(struct gallery_worker *worker, const struct look_query *query,
                                  struct look_answer *ret, struct gallery_fault *fault);

static void look(struct call *call, look_function function, const struct look_query *query)
{
    struct look_answer answer;
    struct gallery_fault fault = {0};

    if (!call_has_probe(call, query->photo.bytes != NULL)) {
        return;
    }
    enum err err = function(call->worker, query, &answer, &fault);
    if (err != ERR_NONE) {
        call_fault(call, err, &fault);
        return;
    }
    call_answer(call, 200, answer_of(&answer));
}

void handle_detect(struct call *call)
{
    struct look_query query = {.photo = call_photo(call, "image"), .faces = call_faces(call)};

    look(call, gallery_detect, &query);
}

void handle_embed(struct call *call)
{
    struct look_query query = {.photo = call_photo(call, "image"),
                               .faces = call_faces(call),
                               .collection = call_text(call, "collection", NULL)};

    query.photo.aligned = call_switch(call, "aligned");
    look(call, gallery_embed, &query);
}
