/* preprocess.c: pixels become numbers, plane after plane. */

#include "core/face/face.h"

void preprocess_image(const struct image *image, const struct preprocess *how, float *out)
{
    const size_t n_pixels = (size_t)image->width * (size_t)image->height;

    for (int channel = 0; channel < 3; channel++) {
        const uint8_t *in = image->rgb + (how->color == COLOR_RGB ? channel : 2 - channel);
        float *plane = out + (size_t)channel * n_pixels;
        float value_of[256]; /* a division for each grey level instead of each pixel, and the same bits */

        for (int grey = 0; grey < 256; grey++) {
            value_of[grey] = ((float)grey - how->mean[channel]) / how->std[channel];
        }
        for (size_t i = 0; i < n_pixels; i++) {
            plane[i] = value_of[in[3 * i]];
        }
    }
}
