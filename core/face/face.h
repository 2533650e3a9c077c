/*
 * face.h: what the pipeline hands from stage to stage, and how pixels are prepared for a network.
 */
#ifndef CORE_FACE_FACE_H
#define CORE_FACE_FACE_H

#include "core/image/image.h"

/* Where one face is.  All in pixels of the upright photo, pixel centres at .5 as detectors count them. */
struct face {
    float box[4];      /* x0 y0 x1 y1, clipped to the photo */
    float point[5][2]; /* eyes, nose, mouth corners, left first as seen; may lie outside the photo */
    float score;       /* 0..1 */
};

/*
 * How RGB8 becomes a network's input: x' = (x - mean) / std, channel by channel in the network's order, mean and std in
 * 0..255 units.  It comes from the manifest beside the model, which server reads.
 */
struct preprocess {
    enum color_order {
        COLOR_RGB,
        COLOR_BGR
    } color;
    float mean[3]; /* in the network's channel order */
    float std[3];  /* each > 0 */
};

/* Fills plane after plane: out is [3, height, width] f32. */
void preprocess_image(const struct image *image, const struct preprocess *how, float *out);

#endif
