/*
 * quality.h: whether a face is good enough to enroll, and why not.
 *
 * Measures what can be said without another network; it is advice with reasons, not a probability.
 */
#ifndef CORE_FACE_QUALITY_H
#define CORE_FACE_QUALITY_H

#include "core/face/face.h"

enum quality_reason {
    QUALITY_TOO_SMALL = 1,   /* too few pixels between the eyes */
    QUALITY_BLURRED = 2,     /* no sharp edges in the crop */
    QUALITY_TURNED_AWAY = 4, /* the nose is far from the middle of eyes and mouth */
    QUALITY_DARK = 8,        /* or burnt out: hardly any contrast to see a face by */
    QUALITY_CUT_OFF = 16,    /* part of the face lies outside the photo */
    QUALITY_UNSURE = 32      /* the detector's own score is low */
};

struct quality {
    float score;           /* 0..1, the smallest of the single marks */
    unsigned reasons;      /* quality_reason bits, for the level asked for */
    float eye_distance_px; /* as if the face were frontal */
    float sharpness;       /* finest detail over all detail; blurred below about .02 */
    float yaw;             /* 0 frontal .. 1 profile, by the nose's place */
    float brightness;      /* mean grey level of the face, 0..255 */
    float contrast;        /* deviation of the grey levels, 0..127 */
    float inside;          /* share of the face's square that lies inside the photo */
};

enum quality_level {
    QUALITY_NONE,
    QUALITY_AUTO,
    QUALITY_HIGH
};

/* Judges a face by its place in the photo and its crop (112 × 112). */
void quality_judge(const struct image *photo, const struct face *face, const struct image *crop,
                   enum quality_level level, struct quality *ret);

/* The stable word of one reason: "too_small", "blurred", "turned_away", "dark", "cut_off", "unsure". */
const char *quality_reason_word(enum quality_reason reason);

#endif
