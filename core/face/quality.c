/*
 * quality.c: six simple measures, each turned into a mark and into a reason.
 *
 * They are measures of the picture, not of a person, and each says what to do better with the next photo.  A network that
 * predicts a recogniser's error would rank photos better, but would not say why.
 */

#include <math.h>
#include <stdbool.h>

#include "core/face/align.h"
#include "core/face/quality.h"

#define CROP_SIDE 112

/* ---- The levels -------------------------------------------------------------------------------------------------- */

/*
 * A measure's mark rises in a straight line from 0 at `worst` to 1 at `best` (which may lie below: then less is better).  At
 * a level the reason is given when the measure is worse than that level's limit.
 *
 * The limits were chosen on LFW (tests/real/test_quality.c prints the distributions): at auto nearly every photo passes, at
 * high about nine of ten.  `test_quality 8`, 1655 photos, scrfd_500m: auto gives a reason to 7 (0.42 %: 3 blurred, 4 turned
 * away), high to 121 (7.31 %: 45 blurred, 80 turned away, 3 dark, 2 small, 1 unsure).  The same photos spoiled, auto: a
 * blur of 7 pixels 81 % blurred, of 11 pixels 99.5 %; a third as bright 1.9 % of any reason, a twelfth 100 % dark; burnt
 * out 97.5 % dark; 60 pixels wide 94.7 % too small; cut through the face 93.5 % cut off.
 */
struct scale {
    float worst;
    float best;
    float auto_limit;
    float high_limit;
};

// clang-format off
static const struct scale small_scale   = {  0.0F,  60.0F,  12.0F,  30.0F}; /* pixels between the eyes */
static const struct scale blur_scale    = {  0.0F,   0.1F, 0.018F,  0.04F}; /* finest detail over all detail */
static const struct scale turned_scale  = {  1.0F,   0.0F,  0.95F,  0.60F}; /* 0 frontal .. 1 profile */
static const struct scale dark_scale    = {  0.0F,  80.0F,  25.0F,  50.0F}; /* mean grey */
static const struct scale bright_scale  = {255.0F, 180.0F, 235.0F, 215.0F}; /* mean grey */
static const struct scale flat_scale    = {  0.0F,  30.0F,   5.0F,  15.0F}; /* deviation of the grey levels */
static const struct scale cut_off_scale = {  0.4F,   1.0F,  0.70F,  0.90F}; /* share inside */
static const struct scale unsure_scale  = {  0.3F,   0.8F,  0.50F,  0.60F}; /* the detector's score */
// clang-format on

static void judge(const struct scale *scale, float value, enum quality_level level, enum quality_reason reason,
                  struct quality *quality)
{
    const float mark = (value - scale->worst) / (scale->best - scale->worst);
    const float limit = level == QUALITY_HIGH ? scale->high_limit : scale->auto_limit;
    const bool less_is_better = scale->best < scale->worst;

    quality->score = fminf(quality->score, fmaxf(mark, 0.0F));
    if (level != QUALITY_NONE && (less_is_better ? value > limit : value < limit)) {
        quality->reasons |= reason;
    }
}

/* ---- The measures ------------------------------------------------------------------------------------------------ */

/* From between the eyes to between the mouth's corners: the line that keeps its length when a head turns sideways. */
struct midline {
    float top[2];
    float along[2];
    float length;
};

static struct midline midline_of(const struct face *face)
{
    const float(*point)[2] = face->point;
    struct midline line;

    for (int k = 0; k < 2; k++) {
        line.top[k] = (point[0][k] + point[1][k]) / 2.0F;
        line.along[k] = (point[3][k] + point[4][k]) / 2.0F - line.top[k];
    }
    line.length = hypotf(line.along[0], line.along[1]);
    return line;
}

/* As a head turns, the eyes come together; in the frontal template they are .866 of the middle line apart. */
static float eye_distance_of(const struct face *face)
{
    const struct midline line = midline_of(face);
    const float seen = hypotf(face->point[0][0] - face->point[1][0], face->point[0][1] - face->point[1][1]);

    return fmaxf(seen, .866F * line.length);
}

/* How far the nose stands beside the middle line, in halves of the eyes' distance.  Leaning (roll) does not matter. */
static float yaw_of(const struct face *face)
{
    const struct midline line = midline_of(face);

    if (!(line.length > 0.0F)) {
        return 1.0F;
    }
    const float nose[2] = {face->point[2][0] - line.top[0], face->point[2][1] - line.top[1]};
    const float aside = (line.along[0] * nose[1] - line.along[1] * nose[0]) / line.length;
    return fminf(fabsf(aside) / (eye_distance_of(face) / 2.0F), 1.0F);
}

static float grey_at(const struct image *crop, int x, int y)
{
    const uint8_t *pixel = crop->rgb + (size_t)3 * ((size_t)y * (size_t)crop->width + (size_t)x);

    return .299F * (float)pixel[0] + .587F * (float)pixel[1] + .114F * (float)pixel[2];
}

struct tones {
    float mean;
    float deviation;
    float sharpness;
};

/*
 * Looks at the part of the crop that shows skin, eyes and mouth in every aligned face, without hair and background: half
 * its width, and from a little above the eyes to below the mouth.
 *
 * Sharpness is the share of the finest detail in all detail: mean square of the Laplacian over the variance of the grey
 * levels.  Divided so, a face in dim light is not called blurred.
 */
static struct tones tones_of(const struct image *crop)
{
    const int left = crop->width / 4;
    const int right = crop->width - left;
    const int top = crop->height * 2 / 7;
    const int bottom = crop->height * 13 / 14;
    double sum = 0.0;
    double sum_squares = 0.0;
    double edges = 0.0;
    int count = 0;

    for (int y = top; y < bottom; y++) {
        for (int x = left; x < right; x++) {
            const float grey = grey_at(crop, x, y);
            const float laplacian = grey_at(crop, x - 1, y) + grey_at(crop, x + 1, y) + grey_at(crop, x, y - 1) +
                                    grey_at(crop, x, y + 1) - 4.0F * grey;
            sum += (double)grey;
            sum_squares += (double)grey * (double)grey;
            edges += (double)laplacian * (double)laplacian;
            count++;
        }
    }
    const double mean = sum / count;
    const double variance = fmax(sum_squares / count - mean * mean, 0.0);
    return (struct tones){.mean = (float)mean,
                          .deviation = (float)sqrt(variance),
                          .sharpness = variance > 1e-6 ? (float)(edges / count / variance) : 0.0F};
}

/* The share of the crop's square that lies inside the photo, looked up at 16 × 16 places. */
static float inside_of(const struct image *photo, const struct face *face)
{
    enum {
        STEPS = 16
    };
    struct affine photo_to_crop;
    struct affine map;
    int n_inside = 0;

    if (align_similarity(face->point, CROP_SIDE, &photo_to_crop) != ERR_NONE ||
        affine_invert(&photo_to_crop, &map) != ERR_NONE) {
        return 0.0F;
    }
    for (int i = 0; i < STEPS * STEPS; i++) {
        const int column = i % STEPS;
        const int row = i / STEPS;
        const double x = (column + .5) * CROP_SIDE / STEPS;
        const double y = (row + .5) * CROP_SIDE / STEPS;
        const double photo_x = map.a * x + map.b * y + map.c;
        const double photo_y = map.d * x + map.e * y + map.f;
        n_inside += photo_x >= 0.0 && photo_x < photo->width && photo_y >= 0.0 && photo_y < photo->height;
    }
    return (float)n_inside / (float)(STEPS * STEPS);
}

void quality_judge(const struct image *photo, const struct face *face, const struct image *crop,
                   enum quality_level level, struct quality *ret)
{
    const struct tones tones = tones_of(crop);
    struct quality quality = {.score = 1.0F,
                              .eye_distance_px = eye_distance_of(face),
                              .sharpness = tones.sharpness,
                              .yaw = yaw_of(face),
                              .brightness = tones.mean,
                              .contrast = tones.deviation,
                              .inside = inside_of(photo, face)};

    judge(&small_scale, quality.eye_distance_px, level, QUALITY_TOO_SMALL, &quality);
    judge(&blur_scale, quality.sharpness, level, QUALITY_BLURRED, &quality);
    judge(&turned_scale, quality.yaw, level, QUALITY_TURNED_AWAY, &quality);
    judge(&dark_scale, quality.brightness, level, QUALITY_DARK, &quality);
    judge(&bright_scale, quality.brightness, level, QUALITY_DARK, &quality);
    judge(&flat_scale, quality.contrast, level, QUALITY_DARK, &quality);
    judge(&cut_off_scale, quality.inside, level, QUALITY_CUT_OFF, &quality);
    judge(&unsure_scale, face->score, level, QUALITY_UNSURE, &quality);
    *ret = quality;
}

const char *quality_reason_word(enum quality_reason reason)
{
    switch (reason) {
    case QUALITY_TOO_SMALL: return "too_small";
    case QUALITY_BLURRED: return "blurred";
    case QUALITY_TURNED_AWAY: return "turned_away";
    case QUALITY_DARK: return "dark";
    case QUALITY_CUT_OFF: return "cut_off";
    case QUALITY_UNSURE: return "unsure";
    }
    return "";
}
