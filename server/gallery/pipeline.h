/*
 * pipeline.h: photo → faces → crops → embeddings, with the time each stage took.  The one place where a use case meets
 * core/image and core/face.
 */
#ifndef SERVER_GALLERY_PIPELINE_H
#define SERVER_GALLERY_PIPELINE_H

#include "core/face/quality.h"
#include "server/gallery/gallery_private.h"

/* One face on its way.  All memory is carved from the worker's arena. */
struct pipeline_face {
    struct face where; /* zeros for an aligned crop */
    bool aligned;      /* the photo was the crop */
    struct quality quality;
    struct image crop;      /* side of the recogniser; empty before pipeline_crop */
    const float *embedding; /* unit length; NULL before pipeline_embed */
    float norm;
};

struct pipeline_photo {
    struct image image;
    int n_faces;
    struct pipeline_face *faces; /* largest first */
};

/*
 * Decodes a photo and finds its faces; an aligned crop is one face as a whole, and must have the model's side.
 * model: whose side an aligned crop must have; NULL: photos that are not aligned only.
 * Errors: with reason GALLERY_NOT_AN_IMAGE, _DAMAGED_IMAGE, _IMAGE_TOO_LARGE, _WRONG_CROP_SIZE, _NO_MODEL.  No face is none.
 */
MUST_CHECK enum err pipeline_look(struct gallery_worker *worker, const struct gallery_photo *photo,
                                  const struct model *model, struct pipeline_photo *ret, struct gallery_fault *fault);

/*
 * Leaves the faces that are wanted.  which ("the photo", "image2") names the photo in sentences.
 * Errors: ERR_CONFLICT with GALLERY_NO_FACE (not for FACES_ALL and FACES_LARGEST unless one is needed),
 *         GALLERY_SEVERAL_FACES.
 */
enum face_need {
    FACE_OPTIONAL,
    FACE_NEEDED
};
MUST_CHECK enum err pipeline_choose(struct pipeline_photo *photo, enum faces_wanted wanted, enum face_need need,
                                    const char *which, struct gallery_fault *fault);

/* Cuts the crops for a model's side (NULL: 112) and judges the quality at the level. */
MUST_CHECK enum err pipeline_crop(struct gallery_worker *worker, struct pipeline_photo *photo,
                                  const struct model *model, enum quality_level level, struct gallery_fault *fault);

/* Embeds the crops; the embeddings stand one behind the other, from the first face's on. */
MUST_CHECK enum err pipeline_embed(struct gallery_worker *worker, struct model *model, struct pipeline_face *faces,
                                   int n, struct gallery_fault *fault);

/* Checks an embedding as sent, and makes it unit length.  Errors: GALLERY_WRONG_DIMENSION, GALLERY_BAD_EMBEDDING. */
MUST_CHECK enum err pipeline_vector(struct gallery_worker *worker, const struct gallery_embedding *sent, int dim,
                                    const float **ret, float *ret_norm, struct gallery_fault *fault);

/* Cosine of two unit vectors. */
float pipeline_cosine(const float *a, const float *b, int dim);

/* In the words of the answers. */
struct seen_face pipeline_seen(const struct pipeline_face *face);
struct photo_size pipeline_size(const struct pipeline_photo *photo);

#endif
