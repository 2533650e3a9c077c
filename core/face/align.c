/* align.c: five points onto the template by least squares, and the crop that this cuts out. */

#include <math.h>
#include <stdbool.h>

#include "core/face/align.h"

/* Eyes, nose, mouth corners in the 112 × 112 crops that ArcFace networks are trained on, in pixels. */
static const double template_112[5][2] = {
    {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};

/* Multiples of 112 scale the template; multiples of 128 scale it by side / 128 and add the margin of 8 pixels that such
 * networks are trained with.  Any other side scales it by side / 112. */
static void template_for(int side, double ret[5][2])
{
    const bool wide = side % 112 != 0 && side % 128 == 0;
    const double ratio = side / (wide ? 128.0 : 112.0);

    for (int i = 0; i < 5; i++) {
        ret[i][0] = template_112[i][0] * ratio + (wide ? 8.0 * ratio : 0.0);
        ret[i][1] = template_112[i][1] * ratio;
    }
}

static void mean_of(double point[5][2], double ret[2])
{
    ret[0] = 0.0;
    ret[1] = 0.0;
    for (int i = 0; i < 5; i++) {
        ret[0] += point[i][0] / 5.0;
        ret[1] += point[i][1] / 5.0;
    }
}

/*
 * With p and q the points and their targets, both centred, the best [a -b; b a] in the sense of least squares is
 * a = Σ p·q / Σ |p|² and b = Σ (p × q) / Σ |p|².  It has no reflection by its form, where the general solution (Umeyama)
 * needs a singular value decomposition to exclude one.
 */
enum err align_similarity(const float point[][2], int side, struct affine *ret_photo_to_crop)
{
    double from[5][2];
    double to[5][2];
    double from_mean[2];
    double to_mean[2];
    double dot = 0.0;
    double cross = 0.0;
    double spread = 0.0;

    for (int i = 0; i < 5; i++) {
        from[i][0] = point[i][0];
        from[i][1] = point[i][1];
    }
    template_for(side, to);
    mean_of(from, from_mean);
    mean_of(to, to_mean);
    for (int i = 0; i < 5; i++) {
        const double px = from[i][0] - from_mean[0];
        const double py = from[i][1] - from_mean[1];
        const double qx = to[i][0] - to_mean[0];
        const double qy = to[i][1] - to_mean[1];
        dot += px * qx + py * qy;
        cross += px * qy - py * qx;
        spread += px * px + py * py;
    }

    /* A face a thousandth of a pixel wide is none; and points can be such that every rotation is equally wrong.  Written so
     * that a NaN fails too. */
    const double a = dot / spread;
    const double b = cross / spread;
    if (!(spread > 1e-6) || !isfinite(spread) || !(a * a + b * b > 1e-12)) {
        return ERR_FORMAT;
    }
    *ret_photo_to_crop = (struct affine){.a = a,
                                         .b = -b,
                                         .c = to_mean[0] - a * from_mean[0] + b * from_mean[1],
                                         .d = b,
                                         .e = a,
                                         .f = to_mean[1] - b * from_mean[0] - a * from_mean[1]};
    return ERR_NONE;
}

enum err align_face(const struct image *photo, const struct face *face, int side, struct arena *mem, struct image *ret)
{
    struct affine photo_to_crop;
    struct affine crop_to_photo;
    struct image crop;

    enum err err = align_similarity(face->point, side, &photo_to_crop);
    if (err == ERR_NONE && affine_invert(&photo_to_crop, &crop_to_photo) != ERR_NONE) {
        err = ERR_FORMAT;
    }
    if (err == ERR_NONE) {
        err = image_new(side, side, mem, &crop);
    }
    if (err != ERR_NONE) {
        return err;
    }
    image_warp(photo, &crop_to_photo, &crop);
    *ret = crop;
    return ERR_NONE;
}
