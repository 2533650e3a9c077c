/*
 * evaluate.h: one set of embeddings of known people, measured in every way that a report or a gate needs.
 *
 * Verification takes all pairs of the set.  Identification follows one seeded draw: two thirds (known_share) of the people
 * with at least two photos are enrolled with enroll_photos photos each (but always one photo is left to search with); all
 * their other photos are mated probes, all photos of everybody else are non-mated ones.  Intervals come from resampling people.
 * Nothing here embeds or reads files.  A function of its inputs and the seed; any thread.
 */
#ifndef CORE_TRAIN_EVALUATE_H
#define CORE_TRAIN_EVALUATE_H

#include "core/train/measure.h"

#define EVALUATE_MOST_RATES 8
#define EVALUATE_MOST_DET 64

struct evaluate_options {
    double fmr[EVALUATE_MOST_RATES]; /* falling: TAR is told at each */
    int n_fmr;
    double fpir[EVALUATE_MOST_RATES]; /* falling: TPIR is told at each */
    int n_fpir;
    double known_share;
    int enroll_photos;
    int rounds; /* of the bootstrap */
    double level;
    uint64_t seed;
    int64_t most_pairs; /* impostor pairs to keep; greater rates than they reach are not measured */
};

/* FMR 1e-1 .. 1e-4, FPIR 10 % and 1 %, two thirds known with 3 photos, 500 rounds, 95 %, 8 million pairs (96 MB). */
struct evaluate_options evaluate_default(void);

/* A hit rate at a wanted rate of errors. */
struct rate_figure {
    double rate;
    bool measured;  /* false: not one error can be expected at this rate, or too many pairs would have to be kept */
    bool supported; /* by MEASURE_LEAST_ERRORS expected errors; what is not, is an indication only */
    struct interval hit;
    float threshold;
};

struct det_point {
    double fmr, fnmr;
    float threshold;
};

struct evaluation {
    int people;
    int photos;
    int64_t genuine, impostor; /* pairs */
    struct rate_figure tar[EVALUATE_MOST_RATES];
    int n_tar;
    struct det_point det[EVALUATE_MOST_DET]; /* by falling FMR, ten a decade */
    int n_det;

    bool identifies;                    /* false: too few people or photos for the draw; nothing below is filled */
    int gallery_people, gallery_photos; /* enrolled */
    int mated, non_mated;               /* probes */
    struct interval rank1, rank5;       /* of the mated probes */
    struct rate_figure tpir[EVALUATE_MOST_RATES];
    int n_tpir;
};

/*
 * Shapes: u [n, dim] unit rows, person [n] in 0 .. people-1.
 * Errors: ERR_MISUSE not one genuine and one impostor pair, or rates that do not fall or lie outside 0 .. 1; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err evaluate_set(const float *u, const int *person, int n, int dim, int people,
                                 const struct evaluate_options *options, struct arena *mem, struct evaluation *ret,
                                 struct err_note *note);

/* The lowest rate of those that TAR is told at which is not below least and which the pairs support; 0: none. */
double evaluate_supported_fmr(const struct evaluation *evaluation, double least);

/*
 * How much better the second of two recognisers is on the same photos: the difference of TAR at a false match rate (each at its own
 * threshold), with the interval of the paired bootstrap.
 * Shapes: before, after [n, ...] unit rows of dim_before and dim_after.  Errors: as above.
 */
MUST_CHECK enum err evaluate_gain(const float *before, int dim_before, const float *after, int dim_after,
                                  const int *person, int n, int people, double fmr,
                                  const struct evaluate_options *options, struct arena *mem, struct interval *ret,
                                  struct err_note *note);

/* The false match rates that a model's thresholds are told for, as far as the data supports them. */
#define EVALUATE_RATES 8
extern const double evaluate_rates[EVALUATE_RATES];

/*
 * Thresholds for wanted false match rates: only of those rates that the data supports, by falling rate and rising threshold.
 * Shapes: wanted, ret [n_wanted].  *ret_refused counts the rates that were left out.
 * Errors: as above; ERR_UNSUPPORTED fewer than two rates are supported: the note says how many pairs there are and are needed.
 */
struct calibrated {
    double fmr;
    float threshold;
    double tar;
};
MUST_CHECK enum err evaluate_calibrate(const float *u, const int *person, int n, int dim, int people,
                                       const double *wanted, int n_wanted, struct arena *mem, struct calibrated *ret,
                                       int *ret_count, int *ret_refused, struct err_note *note);

#endif
