/* evaluate.c: the protocol around measure.h. */
#include "core/train/evaluate.h"

#include <inttypes.h>
#include <math.h>

#include "core/base/random.h"

/* pairs_make keeps so many times more than a rate needs (its bootstrap room). */
#define KEPT_PER_NEEDED 8

#define DET_PER_DECADE 10

struct evaluate_options evaluate_default(void)
{
    return (struct evaluate_options){.fmr = {1e-1, 1e-2, 1e-3, 1e-4},
                                     .n_fmr = 4,
                                     .fpir = {1e-1, 1e-2},
                                     .n_fpir = 2,
                                     .known_share = 2.0 / 3,
                                     .enroll_photos = 3,
                                     .rounds = 500,
                                     .level = .95,
                                     .seed = 1,
                                     .most_pairs = 8000000};
}

/* Why the arena gave nothing, never "no error". */
static enum err spent(const struct arena *mem)
{
    enum err why = arena_why(mem);

    return why == ERR_NONE ? ERR_NOMEM : why;
}

static enum err check_rates(const double *rates, int n, const char *what, struct err_note *note)
{
    for (int i = 0; i < n; i++) {
        if (!(rates[i] > 0 && rates[i] < 1) || (i > 0 && rates[i] >= rates[i - 1])) {
            return ERR_SAY(note, ERR_MISUSE, "%s rates must lie between 0 and 1 and fall: number %d is %g", what, i + 1,
                           rates[i]);
        }
    }
    return ERR_NONE;
}

static enum err no_pairs(enum err err, int n, int people, struct err_note *note)
{
    return err != ERR_MISUSE
               ? err
               : ERR_SAY(note, ERR_MISUSE, "%d photos of %d people make no pair of one person or no pair of two", n,
                         people);
}

/* ---- Verification ------------------------------------------------------------------------------------------------ */

struct tar_figure {
    const struct pairs *pairs;
    double fmr;
};

static double tar_of(void *context, const int *weight)
{
    const struct tar_figure *figure = context;
    double tar;
    float threshold;

    return pairs_tar(figure->pairs, weight, figure->fmr, &tar, &threshold) == ERR_NONE ? tar : (double)NAN;
}

static enum err count_impostors(const int *person, int n, int people, struct arena *mem, int64_t *ret)
{
    int *photos = ARENA_ARRAY(mem, int, people);
    int64_t all = (int64_t)n * (n - 1) / 2;

    if (photos == NULL) {
        return spent(mem);
    }
    for (int i = 0; i < n; i++) {
        photos[person[i]]++;
    }
    for (int p = 0; p < people; p++) {
        all -= (int64_t)photos[p] * (photos[p] - 1) / 2;
    }
    *ret = all;
    return ERR_NONE;
}

static void measure_det(const struct pairs *pairs, double greatest, struct evaluation *ret)
{
    double least = 1 / (double)pairs->impostor_count;

    for (int i = 0; ret->n_det < EVALUATE_MOST_DET; i++) {
        double fmr = greatest * pow(10, -(double)i / DET_PER_DECADE);
        struct det_point *point = &ret->det[ret->n_det];
        double tar;
        if (fmr < least || pairs_tar(pairs, NULL, fmr, &tar, &point->threshold) != ERR_NONE ||
            pairs_rates(pairs, point->threshold, &point->fmr, &point->fnmr) != ERR_NONE || point->fmr <= 0) {
            return;
        }
        ret->n_det++;
    }
}

static enum err measure_pairs(const float *u, const int *person, int n, int dim, int people,
                              const struct evaluate_options *options, struct arena *mem, struct evaluation *ret,
                              struct err_note *note)
{
    struct pairs pairs;
    int64_t impostors = 0;
    enum err err = count_impostors(person, n, people, mem, &impostors);

    if (err != ERR_NONE) {
        return err;
    }
    /* The greatest rate whose pairs fit: for more than that the set is too large to keep them all. */
    double reach = impostors > 0 ? (double)options->most_pairs / KEPT_PER_NEEDED / (double)impostors : 1;
    double greatest = options->n_fmr > 0 && options->fmr[0] < reach ? options->fmr[0] : reach < 1 ? reach : 1;
    err = pairs_make(u, person, n, dim, people, greatest, mem, &pairs);
    if (err != ERR_NONE) {
        return no_pairs(err, n, people, note);
    }
    ret->genuine = pairs.genuine_count;
    ret->impostor = pairs.impostor_count;
    ret->n_tar = options->n_fmr;
    for (int i = 0; i < options->n_fmr && err == ERR_NONE; i++) {
        struct rate_figure *figure = &ret->tar[i];
        struct tar_figure context = {&pairs, options->fmr[i]};
        double tar;
        figure->rate = options->fmr[i];
        figure->supported = pairs_support(&pairs, figure->rate);
        figure->measured = figure->rate <= greatest && figure->rate * (double)impostors >= 1;
        if (figure->measured) {
            err = pairs_tar(&pairs, NULL, figure->rate, &tar, &figure->threshold);
        }
        if (figure->measured && err == ERR_NONE) {
            err =
                bootstrap(people, options->rounds, options->seed, options->level, tar_of, &context, mem, &figure->hit);
        }
    }
    if (err == ERR_NONE) {
        measure_det(&pairs, greatest, ret);
    }
    return err;
}

/* ---- Identification ---------------------------------------------------------------------------------------------- */

/* Who is enrolled with which photos. */
struct draw {
    int *photos;         /* photos, person by person, each person's in shuffled order */
    int *first;          /* [people + 1] */
    unsigned char *role; /* per photo: ROLE_ */
};

enum {
    ROLE_PROBE,
    ROLE_GALLERY
};

static void shuffle(int *list, int n, struct random *random)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below(random, (uint64_t)i + 1);
        int kept = list[i];
        list[i] = list[j];
        list[j] = kept;
    }
}

static enum err sort_photos(const int *person, int n, int people, uint64_t seed, struct arena *mem, struct draw *ret)
{
    int *fill = ARENA_ARRAY(mem, int, people);

    ret->first = fill == NULL ? NULL : ARENA_ARRAY(mem, int, people + 1);
    ret->photos = ret->first == NULL ? NULL : ARENA_ARRAY(mem, int, n);
    ret->role = ret->photos == NULL ? NULL : ARENA_ARRAY(mem, unsigned char, n);
    if (ret->role == NULL) {
        return spent(mem);
    }
    for (int i = 0; i < n; i++) {
        ret->first[person[i] + 1]++;
    }
    for (int p = 0; p < people; p++) {
        ret->first[p + 1] += ret->first[p];
    }
    for (int i = 0; i < n; i++) {
        int p = person[i];
        ret->photos[ret->first[p] + fill[p]++] = i;
    }
    for (int p = 0; p < people; p++) {
        struct random random = random_seeded(seed, (uint64_t)p + 1);
        shuffle(ret->photos + ret->first[p], ret->first[p + 1] - ret->first[p], &random);
    }
    return ERR_NONE;
}

/* Chooses the known people and marks their gallery photos; returns how many people are enrolled. */
static enum err enroll(const struct evaluate_options *options, int people, struct draw *draw, struct arena *mem,
                       int *ret_known)
{
    int *able = ARENA_ARRAY(mem, int, people);
    int n_able = 0;

    if (able == NULL) {
        return spent(mem);
    }
    for (int p = 0; p < people; p++) {
        if (draw->first[p + 1] - draw->first[p] >= 2) {
            able[n_able++] = p;
        }
    }
    struct random random = random_seeded(options->seed, 0);
    shuffle(able, n_able, &random);
    int known = (int)lround(options->known_share * n_able);
    for (int k = 0; k < known; k++) {
        int first = draw->first[able[k]];
        int photos = draw->first[able[k] + 1] - first;
        int enrolled = photos - 1 < options->enroll_photos ? photos - 1 : options->enroll_photos;
        for (int i = 0; i < enrolled; i++) {
            draw->role[draw->photos[first + i]] = ROLE_GALLERY;
        }
    }
    *ret_known = known;
    return ERR_NONE;
}

struct probe_figure {
    const struct probe *probes;
    int n;
    int k;       /* rank, or 0: TPIR */
    double fpir; /* for it */
    struct arena *mem;
};

static double rank_of(void *context, const int *weight)
{
    const struct probe_figure *figure = context;

    return rank_rate(figure->probes, figure->n, figure->k, weight);
}

static double tpir_of(void *context, const int *weight)
{
    const struct probe_figure *figure = context;
    double tpir;
    float threshold;

    enum err err = tpir_at_fpir(figure->probes, figure->n, figure->fpir, weight, figure->mem, &tpir, &threshold);
    arena_reset(figure->mem);
    return err == ERR_NONE ? tpir : (double)NAN;
}

/* scratch is emptied by every round of the bootstrap, mem is not. */
static enum err measure_probes(const struct probe *probes, int n, int people, const struct evaluate_options *options,
                               struct arena *mem, struct arena *scratch, struct evaluation *ret)
{
    struct probe_figure figure = {.probes = probes, .n = n, .k = 1, .mem = scratch};
    enum err err =
        bootstrap(people, options->rounds, options->seed, options->level, rank_of, &figure, mem, &ret->rank1);

    if (err == ERR_NONE) {
        figure.k = 5;
        err = bootstrap(people, options->rounds, options->seed, options->level, rank_of, &figure, mem, &ret->rank5);
    }
    ret->n_tpir = options->n_fpir;
    for (int i = 0; i < options->n_fpir && err == ERR_NONE; i++) {
        struct rate_figure *rate = &ret->tpir[i];
        double tpir;
        rate->rate = figure.fpir = options->fpir[i];
        rate->measured = rate->rate * ret->non_mated >= 1;
        rate->supported = rate->rate * ret->non_mated >= MEASURE_LEAST_ERRORS;
        if (rate->measured) {
            err = tpir_at_fpir(probes, n, rate->rate, NULL, scratch, &tpir, &rate->threshold);
            arena_reset(scratch);
        }
        if (rate->measured && err == ERR_NONE) {
            err = bootstrap(people, options->rounds, options->seed, options->level, tpir_of, &figure, mem, &rate->hit);
        }
    }
    return err;
}

/* The rows of one role, side by side. */
struct rows {
    float *u;
    int *person;
    int n;
};

static enum err gather(const float *u, const int *person, int n, int dim, const unsigned char *role, int wanted,
                       struct arena *mem, struct rows *ret)
{
    ret->n = 0;
    for (int i = 0; i < n; i++) {
        ret->n += role[i] == wanted;
    }
    ret->person = ARENA_ARRAY(mem, int, ret->n);
    ret->u = ret->person == NULL ? NULL : arena_alloc(mem, (size_t)ret->n * (size_t)dim, sizeof(float));
    if (ret->u == NULL) {
        return spent(mem);
    }
    for (int i = 0, at = 0; i < n; i++) {
        if (role[i] == wanted) {
            for (int k = 0; k < dim; k++) {
                ret->u[(size_t)at * (size_t)dim + (size_t)k] = u[(size_t)i * (size_t)dim + (size_t)k];
            }
            ret->person[at++] = person[i];
        }
    }
    return ERR_NONE;
}

static enum err measure_identification(const float *u, const int *person, int n, int dim, int people,
                                       const struct evaluate_options *options, struct arena *mem,
                                       struct evaluation *ret)
{
    struct draw draw;
    struct rows gallery;
    struct rows probe;
    int known = 0;
    enum err err = sort_photos(person, n, people, options->seed, mem, &draw);

    if (err == ERR_NONE) {
        err = enroll(options, people, &draw, mem, &known);
    }
    if (err == ERR_NONE) {
        err = gather(u, person, n, dim, draw.role, ROLE_GALLERY, mem, &gallery);
    }
    if (err == ERR_NONE) {
        err = gather(u, person, n, dim, draw.role, ROLE_PROBE, mem, &probe);
    }
    struct probe *probes = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, struct probe, probe.n);
    if (probes == NULL) {
        return err != ERR_NONE ? err : spent(mem);
    }
    if (known < 2) {
        return ERR_NONE;
    }
    err = search_probes(probe.u, probe.person, probe.n, gallery.u, gallery.person, gallery.n, dim, people, mem, probes);
    if (err != ERR_NONE) {
        return err;
    }
    ret->gallery_people = known;
    ret->gallery_photos = gallery.n;
    for (int i = 0; i < probe.n; i++) {
        ret->mated += probes[i].mated;
        ret->non_mated += !probes[i].mated;
    }
    ret->identifies = true;
    struct arena *scratch = arena_new((size_t)probe.n * 64 + ((size_t)4 << 20));
    if (scratch == NULL) {
        return ERR_NOMEM;
    }
    err = measure_probes(probes, probe.n, people, options, mem, scratch, ret);
    arena_free(scratch);
    return err;
}

enum err evaluate_set(const float *u, const int *person, int n, int dim, int people,
                      const struct evaluate_options *options, struct arena *mem, struct evaluation *ret,
                      struct err_note *note)
{
    struct evaluation evaluation = {.people = people, .photos = n};
    enum err err = check_rates(options->fmr, options->n_fmr, "false match", note);

    if (err == ERR_NONE) {
        err = check_rates(options->fpir, options->n_fpir, "false positive identification", note);
    }
    if (err == ERR_NONE) {
        err = measure_pairs(u, person, n, dim, people, options, mem, &evaluation, note);
    }
    if (err == ERR_NONE) {
        err = measure_identification(u, person, n, dim, people, options, mem, &evaluation);
    }
    if (err == ERR_NONE) {
        *ret = evaluation;
    }
    return err;
}

double evaluate_supported_fmr(const struct evaluation *evaluation, double least)
{
    double rate = 0;

    for (int i = 0; i < evaluation->n_tar; i++) {
        if (evaluation->tar[i].supported && evaluation->tar[i].rate > .999 * least) {
            rate = evaluation->tar[i].rate;
        }
    }
    return rate;
}

/* ---- Two recognisers --------------------------------------------------------------------------------------------- */

struct gain_figure {
    struct pairs before, after;
    double fmr;
};

static double gain_of(void *context, const int *weight)
{
    const struct gain_figure *figure = context;
    double before;
    double after;
    float threshold;

    if (pairs_tar(&figure->before, weight, figure->fmr, &before, &threshold) != ERR_NONE ||
        pairs_tar(&figure->after, weight, figure->fmr, &after, &threshold) != ERR_NONE) {
        return (double)NAN;
    }
    return after - before;
}

enum err evaluate_gain(const float *before, int dim_before, const float *after, int dim_after, const int *person, int n,
                       int people, double fmr, const struct evaluate_options *options, struct arena *mem,
                       struct interval *ret, struct err_note *note)
{
    struct gain_figure figure = {.fmr = fmr};
    enum err err = check_rates(&fmr, 1, "false match", note);

    if (err == ERR_NONE) {
        err = no_pairs(pairs_make(before, person, n, dim_before, people, fmr, mem, &figure.before), n, people, note);
    }
    if (err == ERR_NONE) {
        err = no_pairs(pairs_make(after, person, n, dim_after, people, fmr, mem, &figure.after), n, people, note);
    }
    return err != ERR_NONE
               ? err
               : bootstrap(people, options->rounds, options->seed, options->level, gain_of, &figure, mem, ret);
}

/* ---- Calibration ------------------------------------------------------------------------------------------------- */

const double evaluate_rates[EVALUATE_RATES] = {1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5};

enum err evaluate_calibrate(const float *u, const int *person, int n, int dim, int people, const double *wanted,
                            int n_wanted, struct arena *mem, struct calibrated *ret, int *ret_count, int *ret_refused,
                            struct err_note *note)
{
    struct pairs pairs;
    int count = 0;
    int refused = 0;
    enum err err = check_rates(wanted, n_wanted, "false match", note);

    if (err == ERR_NONE && n_wanted < 1) {
        err = ERR_SAY(note, ERR_MISUSE, "no false match rate is asked for");
    }
    if (err == ERR_NONE) {
        err = no_pairs(pairs_make(u, person, n, dim, people, wanted[0], mem, &pairs), n, people, note);
    }
    for (int i = 0; i < n_wanted && err == ERR_NONE; i++) {
        struct calibrated point = {.fmr = wanted[i]};
        if (!pairs_support(&pairs, wanted[i])) {
            refused++;
            continue;
        }
        err = pairs_tar(&pairs, NULL, wanted[i], &point.tar, &point.threshold);
        if (err == ERR_NONE && (count == 0 || point.threshold > ret[count - 1].threshold)) {
            ret[count++] = point;
        }
    }
    if (err == ERR_NONE && count < 2) {
        err =
            ERR_SAY(note, ERR_UNSUPPORTED,
                    "%" PRId64 " pairs of strangers support fewer than two of the wanted rates: a rate of 1 in N needs "
                    "%d × N pairs",
                    pairs.impostor_count, MEASURE_LEAST_ERRORS);
    }
    if (err == ERR_NONE) {
        *ret_count = count;
        *ret_refused = refused;
    }
    return err;
}
