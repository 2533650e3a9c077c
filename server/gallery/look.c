/* look.c: detection and embedding for callers that keep their own gallery. */
#include "server/gallery/look.h"

#include "server/gallery/pipeline.h"

static enum err fill(struct gallery_worker *worker, const struct pipeline_photo *photo, const struct model *model,
                     struct look_answer *ret)
{
    struct look_answer answer = {.photo = pipeline_size(photo), .n_faces = photo->n_faces};

    answer.faces = ARENA_ARRAY(worker->mem, struct looked_face, photo->n_faces);
    if (answer.faces == NULL) {
        return spent(worker->mem);
    }
    if (model != NULL) {
        answer.dim = model->dim;
        answer.model = arena_copy_text(worker->mem, model->version);
        if (answer.model == NULL) {
            return spent(worker->mem);
        }
    }
    for (int i = 0; i < photo->n_faces; i++) {
        const struct pipeline_face *from = &photo->faces[i];
        answer.faces[i] = (struct looked_face){.face = pipeline_seen(from)};
        if (model != NULL) {
            answer.faces[i].embedding = from->embedding;
            answer.faces[i].norm = from->norm;
        }
    }
    *ret = answer;
    return ERR_NONE;
}

static enum err look_and_crop(struct gallery_worker *worker, const struct look_query *query, const struct model *model,
                              struct pipeline_photo *ret, struct gallery_fault *fault)
{
    enum faces_wanted wanted = query->faces == FACES_DEFAULT ? FACES_ALL : query->faces;

    enum err err = pipeline_look(worker, &query->photo, model, ret, fault);
    if (err == ERR_NONE) {
        err = pipeline_choose(ret, wanted, FACE_OPTIONAL, "the photo", fault);
    }
    return err == ERR_NONE ? pipeline_crop(worker, ret, model, QUALITY_AUTO, fault) : err;
}

enum err gallery_detect(struct gallery_worker *worker, const struct look_query *query, struct look_answer *ret,
                        struct gallery_fault *fault)
{
    struct pipeline_photo photo = {0};

    if (query->photo.bytes == NULL || query->photo.aligned) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE),
                       "send a photo that is not an aligned crop: there is nothing to detect in one");
    }
    enum err err = look_and_crop(worker, query, NULL, &photo, fault);
    return err == ERR_NONE ? fill(worker, &photo, NULL, ret) : err;
}

static enum err embed(struct gallery_worker *worker, const struct look_query *query, struct model *model,
                      struct look_answer *ret, struct gallery_fault *fault)
{
    struct pipeline_photo photo = {0};

    enum err err = look_and_crop(worker, query, model, &photo, fault);
    if (err == ERR_NONE) {
        err = pipeline_embed(worker, model, photo.faces, photo.n_faces, fault);
    }
    return err == ERR_NONE ? fill(worker, &photo, model, ret) : err;
}

enum err gallery_embed(struct gallery_worker *worker, const struct look_query *query, struct look_answer *ret,
                       struct gallery_fault *fault)
{
    struct gallery *gallery = worker->gallery;
    struct collection_row collection = {0};
    struct pair *pair = NULL;

    if (query->photo.bytes == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_BAD_OPTION, ERR_MISUSE), "send a photo");
    }
    if (query->collection != NULL) {
        enum err err = find_pair(worker, query->collection, &collection, &pair, fault);
        if (err == ERR_NONE) {
            err = embed(worker, query, pair->model, ret, fault);
            live_unref(gallery->live, pair);
        }
        return err;
    }
    if (gallery->default_model == NULL) {
        return ERR_SAY(&fault->note, gallery_fail(fault, GALLERY_NO_MODEL, ERR_CONFLICT),
                       "no recogniser is loaded: start with --recognizer FILE.onnx, or name a collection");
    }
    return embed(worker, query, gallery->default_model, ret, fault);
}
