/*
 * measure.h: how good a recogniser is, in the field's own terms, with intervals.
 *
 * Works on embeddings and identities only; it neither embeds nor reads files.  Terms: a genuine pair shows one person, an
 * impostor pair two; FMR (false match rate, also FAR) is the share of impostor pairs at or above a threshold, FNMR of genuine
 * ones below it, TAR = 1 − FNMR; a probe is mated when its person is in the gallery; FPIR is the share of non-mated probes that
 * return anybody at or above the threshold, FNIR of mated probes whose own person is not first, or below it (ISO/IEC 19795-1).
 * Repeatable: resampling is a function of its seed.  Any thread.
 */
#ifndef CORE_TRAIN_MEASURE_H
#define CORE_TRAIN_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"

/* ---- Lists of pairs (LFW) ---------------------------------------------------------------------------------------- */

/*
 * The cosine at which "same if cosine ≥ threshold" is right most often: midway between two neighbouring scores, the highest of
 * several equally good.
 * Shapes: cosine, same [n].  Errors: ERR_MISUSE n < 1; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err best_threshold(const float *cosine, const bool *same, int n, struct arena *mem,
                                   float *ret_threshold, double *ret_accuracy);

/*
 * Accuracy over folds in the given order (LFW View 2: ten): each fold is judged at the best threshold of the others.
 * Errors: ERR_MISUSE n is not a multiple of folds, or folds < 2; ERR_LIMIT, ERR_NOMEM.
 */
struct fold_accuracy {
    double mean;
    double deviation; /* of the folds' accuracies, divided by folds − 1 */
};
MUST_CHECK enum err fold_accuracy(const float *cosine, const bool *same, int n, int folds, struct arena *mem,
                                  struct fold_accuracy *ret);

/* ---- All pairs of a set ------------------------------------------------------------------------------------------ */

/* All genuine pairs of a set of embeddings, and the impostor pairs with the greatest cosines. */
struct pairs {
    int people;
    int64_t genuine_count;
    int64_t impostor_count; /* all of them */
    int64_t kept_count;     /* of the impostor pairs, the greatest ones */
    struct genuine {
        float cosine;
        int person;
    } * genuine; /* falling */
    struct impostor {
        float cosine;
        int person[2];
    } * kept;    /* falling */
    int *photos; /* [people] photos a person */
};

/*
 * Shapes: u [n, dim] unit rows, person [n] in 0 .. people-1.  greatest_fmr: the highest false match rate that will be asked for,
 * with weights up to 8 times the average (bootstrap).
 * Owns: carved from mem.  Errors: ERR_MISUSE not one genuine and one impostor pair; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err pairs_make(const float *u, const int *person, int n, int dim, int people, double greatest_fmr,
                               struct arena *mem, struct pairs *ret);

/*
 * The lowest threshold whose FMR is at most fmr, and the TAR there.  weight [people] counts each person so many times (a pair of
 * two people the product, a genuine pair once its person's); NULL: each once.
 * Errors: ERR_MISUSE fmr is greater than what pairs_make was told, or no pair has weight.
 */
MUST_CHECK enum err pairs_tar(const struct pairs *pairs, const int *weight, double fmr, double *ret_tar,
                              float *ret_threshold);

/* FMR and FNMR at a threshold that lies within the kept pairs (else ERR_MISUSE). */
MUST_CHECK enum err pairs_rates(const struct pairs *pairs, float threshold, double *ret_fmr, double *ret_fnmr);

/* A threshold for a false match rate is supported by at least so many false matches among impostor pairs: with 30 the true
 * rate lies within ±30 % of the stated one with 90 % confidence (Doddington's rule of 30). */
#define MEASURE_LEAST_ERRORS 30
bool pairs_support(const struct pairs *pairs, double fmr);

/* ---- Identification ---------------------------------------------------------------------------------------------- */

/* One probe's search of the gallery, as far as measuring needs it. */
struct probe {
    bool mated;
    int rank;         /* of its own person among the people, from 1; 0 if not mated */
    float own_cosine; /* of its own person, −2 if not mated */
    float best_other; /* the greatest cosine of anybody else */
    int person;
};

/*
 * Searches the gallery for every probe; a person's score is the greatest of the person's photos.
 * Shapes: probe_u [n, dim], probe_person [n]; gallery_u [m, dim], gallery_person [m]; people numbered 0 .. people-1; ret [n].
 * Errors: ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err search_probes(const float *probe_u, const int *probe_person, int n, const float *gallery_u,
                                  const int *gallery_person, int m, int dim, int people, struct arena *mem,
                                  struct probe *ret);

/* Share of the mated probes whose own person is among the first k.  NaN without mated probes. */
double rank_rate(const struct probe *probes, int n, int k, const int *weight);

/*
 * TPIR = 1 − FNIR at the lowest threshold where FPIR ≤ fpir; the hit must be first and at or above the threshold.
 * Errors: ERR_MISUSE without mated or non-mated probes; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err tpir_at_fpir(const struct probe *probes, int n, double fpir, const int *weight, struct arena *mem,
                                 double *ret_tpir, float *ret_threshold);

/* ---- Intervals --------------------------------------------------------------------------------------------------- */

/* A figure as a function of how often each person was drawn; NaN leaves the round out. */
typedef double measure_fn(void *context, const int *weight);

struct interval {
    double value; /* everybody once */
    double low, high;
    int rounds; /* that counted */
};

/*
 * Bootstrap by identity: people are drawn with replacement, so the interval speaks about other people, not about other photos of
 * these.  The interval holds the middle `level` (.95) of the rounds.  A paired comparison is a figure that is the difference of two.
 * Errors: ERR_MISUSE fewer than 2 people or rounds; ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK enum err bootstrap(int people, int rounds, uint64_t seed, double level, measure_fn *figure, void *context,
                              struct arena *mem, struct interval *ret);

#endif
