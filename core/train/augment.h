/*
 * augment.h: a crop as it might also have looked: mirrored, a little turned and shifted, in other light, less sharp, through a
 * JPEG, partly covered.
 *
 * What happens to a crop is a function of (seed, epoch, index) and the options alone, so a training run repeats itself at any
 * number of threads.  Any thread.
 */
#ifndef CORE_TRAIN_AUGMENT_H
#define CORE_TRAIN_AUGMENT_H

#include "core/image/image.h"

/* Probabilities 0..1 of each change, and how strong it may get.  {0} changes nothing. */
struct augment {
    float flip;           /* .5 in the paper, its only change */
    float move;           /* a small similarity: */
    float move_degrees;   /*   turned by up to so much, */
    float move_scale;     /*   scaled by 1 ± so much, */
    float move_pixels;    /*   shifted by up to so much on each axis */
    float light;          /* brightness, contrast and saturation: */
    float light_strength; /*   factors in 1 ± so much */
    float grey;           /* all colour gone */
    float blur;           /* a Gaussian: */
    float blur_pixels;    /*   of up to this deviation */
    float jpeg;           /* encoded and decoded: */
    int jpeg_quality;     /*   with a quality from this to 95 */
    float erase;          /* a rectangle filled with grey: */
    float erase_share;    /*   of up to this share of each side */
};

/* What fine-tuning on a small gallery uses: all of the above, mild. */
struct augment augment_default(void);

/*
 * Writes a changed copy of crop into out (same size, memory given by the caller).
 * Memory: the JPEG and the blur carve scratch from mem, which the caller resets.
 * Errors: ERR_LIMIT, ERR_NOMEM; and the codec's, which do not happen to an image of ours.
 */
MUST_CHECK enum err augment_crop(const struct augment *how, unsigned long long seed, long epoch, long index,
                                 const struct image *crop, struct arena *mem, struct image *out);

#endif
