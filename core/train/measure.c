/* measure.c: thresholds, rates, ranks and intervals. */
#include "core/train/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/kernel/gemm.h"

/* ---- Lists of pairs ---------------------------------------------------------------------------------------------- */

/* A score with its truth, for sorting; photos of one score keep no order, so the sum over equal scores is what counts. */
struct scored {
    float cosine;
    bool same;
};

static int falling_scored(const void *a, const void *b)
{
    float x = ((const struct scored *)a)->cosine;
    float y = ((const struct scored *)b)->cosine;
    return (x < y) - (x > y);
}

/* The best threshold of scores sorted falling. */
static float best_of_sorted(const struct scored *scored, int n, double *ret_accuracy)
{
    int same = 0;

    for (int i = 0; i < n; i++) {
        same += scored[i].same;
    }
    /* With the threshold behind the first i scores: right are the genuine among them and the impostors after them. */
    int right = n - same;
    int best = right;
    int best_at = 0;
    for (int i = 0; i < n; i++) {
        right += scored[i].same ? 1 : -1;
        bool between = i + 1 == n || scored[i + 1].cosine < scored[i].cosine;
        if (between && right > best) {
            best = right;
            best_at = i + 1;
        }
    }
    *ret_accuracy = (double)best / n;
    if (best_at == 0) {
        return nextafterf(scored[0].cosine, 2);
    }
    if (best_at == n) {
        return scored[n - 1].cosine;
    }
    return .5F * (scored[best_at - 1].cosine + scored[best_at].cosine);
}

enum err best_threshold(const float *cosine, const bool *same, int n, struct arena *mem, float *ret_threshold,
                        double *ret_accuracy)
{
    struct scored *scored = n < 1 ? NULL : ARENA_ARRAY(mem, struct scored, n);

    if (scored == NULL) {
        return n < 1 ? ERR_MISUSE : arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        scored[i] = (struct scored){cosine[i], same[i]};
    }
    qsort(scored, (size_t)n, sizeof *scored, falling_scored);
    *ret_threshold = best_of_sorted(scored, n, ret_accuracy);
    return ERR_NONE;
}

enum err fold_accuracy(const float *cosine, const bool *same, int n, int folds, struct arena *mem,
                       struct fold_accuracy *ret)
{
    if (folds < 2 || n < folds || n % folds != 0) {
        return ERR_MISUSE;
    }
    int each = n / folds;
    struct scored *others = ARENA_ARRAY(mem, struct scored, n - each);
    double *accuracy = others == NULL ? NULL : ARENA_ARRAY(mem, double, folds);
    if (accuracy == NULL) {
        return arena_why(mem);
    }
    struct fold_accuracy sum = {0};
    for (int fold = 0; fold < folds; fold++) {
        int count = 0;
        int right = 0;
        double unused;
        for (int i = 0; i < n; i++) {
            if (i / each != fold) {
                others[count++] = (struct scored){cosine[i], same[i]};
            }
        }
        qsort(others, (size_t)count, sizeof *others, falling_scored);
        float threshold = best_of_sorted(others, count, &unused);
        for (int i = fold * each; i < (fold + 1) * each; i++) {
            right += (cosine[i] >= threshold) == same[i];
        }
        accuracy[fold] = (double)right / each;
        sum.mean += accuracy[fold] / folds;
    }
    for (int fold = 0; fold < folds; fold++) {
        sum.deviation += (accuracy[fold] - sum.mean) * (accuracy[fold] - sum.mean);
    }
    sum.deviation = sqrt(sum.deviation / (folds - 1));
    *ret = sum;
    return ERR_NONE;
}

/* ---- All pairs --------------------------------------------------------------------------------------------------- */

/* Weights are bounded by this multiple of the average when the tail of impostor pairs is cut (see pairs_make). */
#define WEIGHT_ROOM 8

/* Rows of the set that are multiplied at once. */
#define BLOCK 256

static int falling_genuine(const void *a, const void *b)
{
    const struct genuine *x = a;
    const struct genuine *y = b;
    int by_cosine = (x->cosine < y->cosine) - (x->cosine > y->cosine);
    return by_cosine != 0 ? by_cosine : (x->person > y->person) - (x->person < y->person);
}

static int falling_impostor(const void *a, const void *b)
{
    const struct impostor *x = a;
    const struct impostor *y = b;
    if (x->cosine != y->cosine) {
        return x->cosine < y->cosine ? 1 : -1;
    }
    int by_first = (x->person[0] > y->person[0]) - (x->person[0] < y->person[0]);
    return by_first != 0 ? by_first : (x->person[1] > y->person[1]) - (x->person[1] < y->person[1]);
}

/*
 * The greatest impostor pairs are kept in a heap whose root is the least of them: one pass over all pairs, memory for the kept
 * ones alone.
 */
static void heap_push(struct impostor *heap, int64_t *count, int64_t room, const struct impostor *pair)
{
    int64_t at;

    if (*count < room) {
        at = (*count)++;
        while (at > 0 && falling_impostor(&heap[(at - 1) / 2], pair) < 0) {
            heap[at] = heap[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap[at] = *pair;
        return;
    }
    if (falling_impostor(pair, &heap[0]) >= 0) {
        return; /* not greater than the least that is kept */
    }
    at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= room) {
            break;
        }
        if (child + 1 < room && falling_impostor(&heap[child + 1], &heap[child]) > 0) {
            child++;
        }
        if (falling_impostor(&heap[child], pair) <= 0) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = *pair;
}

static enum err count_pairs(const int *person, int n, int people, struct arena *mem, struct pairs *pairs)
{
    pairs->people = people;
    pairs->photos = ARENA_ARRAY(mem, int, people);
    if (pairs->photos == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        pairs->photos[person[i]]++;
    }
    for (int p = 0; p < people; p++) {
        pairs->genuine_count += (int64_t)pairs->photos[p] * (pairs->photos[p] - 1) / 2;
    }
    pairs->impostor_count = (int64_t)n * (n - 1) / 2 - pairs->genuine_count;
    return pairs->genuine_count < 1 || pairs->impostor_count < 1 ? ERR_MISUSE : ERR_NONE;
}

enum err pairs_make(const float *u, const int *person, int n, int dim, int people, double greatest_fmr,
                    struct arena *mem, struct pairs *ret)
{
    struct pairs pairs = {0};
    enum err err = count_pairs(person, n, people, mem, &pairs);

    if (err != ERR_NONE) {
        return err;
    }
    double wanted = ceil(greatest_fmr * WEIGHT_ROOM * (double)pairs.impostor_count) + 1;
    int64_t room = wanted < (double)pairs.impostor_count ? (int64_t)wanted : pairs.impostor_count;
    pairs.genuine = ARENA_ARRAY(mem, struct genuine, pairs.genuine_count);
    pairs.kept = pairs.genuine == NULL ? NULL : ARENA_ARRAY(mem, struct impostor, room);
    float *block = pairs.kept == NULL ? NULL : arena_alloc(mem, (size_t)BLOCK * (size_t)n, sizeof(float));
    if (block == NULL) {
        return arena_why(mem);
    }
    int64_t genuine = 0;
    for (int from = 0; from < n; from += BLOCK) {
        int rows = n - from < BLOCK ? n - from : BLOCK;
        /* only the columns from here on: each pair once */
        gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, rows, n - from, dim, 1, u + (size_t)from * (size_t)dim, dim,
                 u + (size_t)from * (size_t)dim, dim, 0, block, n - from);
        for (int i = 0; i < rows; i++) {
            for (int j = i + 1; j < n - from; j++) {
                float cosine = block[(size_t)i * (size_t)(n - from) + (size_t)j];
                int a = person[from + i];
                int b = person[from + j];
                if (a == b) {
                    pairs.genuine[genuine++] = (struct genuine){cosine, a};
                } else {
                    struct impostor pair = {cosine, {a, b}};
                    heap_push(pairs.kept, &pairs.kept_count, room, &pair);
                }
            }
        }
    }
    qsort(pairs.genuine, (size_t)pairs.genuine_count, sizeof *pairs.genuine, falling_genuine);
    qsort(pairs.kept, (size_t)pairs.kept_count, sizeof *pairs.kept, falling_impostor);
    *ret = pairs;
    return ERR_NONE;
}

/* Weight of all impostor pairs: (Σ wᵢ nᵢ)² − Σ (wᵢ nᵢ)², over two. */
static double impostor_weight(const struct pairs *pairs, const int *weight)
{
    double sum = 0;
    double squares = 0;

    if (weight == NULL) {
        return (double)pairs->impostor_count;
    }
    for (int p = 0; p < pairs->people; p++) {
        double mass = (double)weight[p] * pairs->photos[p];
        sum += mass;
        squares += mass * mass;
    }
    return (sum * sum - squares) / 2;
}

static double pair_weight(const int *weight, const struct impostor *pair)
{
    return weight == NULL ? 1 : (double)weight[pair->person[0]] * weight[pair->person[1]];
}

enum err pairs_tar(const struct pairs *pairs, const int *weight, double fmr, double *ret_tar, float *ret_threshold)
{
    double allowed = fmr * impostor_weight(pairs, weight);
    double spent = 0;
    int64_t at = 0;

    if (allowed < 0 || impostor_weight(pairs, weight) <= 0) {
        return ERR_MISUSE;
    }
    /* The first group of equal cosines that does not fit any more; the threshold lies just above it. */
    while (at < pairs->kept_count) {
        int64_t end = at;
        double group = 0;
        while (end < pairs->kept_count && pairs->kept[end].cosine == pairs->kept[at].cosine) {
            group += pair_weight(weight, &pairs->kept[end++]);
        }
        if (spent + group > allowed * (1 + 1e-12)) {
            break;
        }
        spent += group;
        at = end;
    }
    if (at == pairs->kept_count && pairs->kept_count < pairs->impostor_count) {
        return ERR_MISUSE; /* the threshold lies below what was kept */
    }
    float threshold = at == pairs->kept_count ? -1 : nextafterf(pairs->kept[at].cosine, 2);
    double all = 0;
    double matched = 0;
    for (int64_t i = 0; i < pairs->genuine_count; i++) {
        double w = weight == NULL ? 1 : weight[pairs->genuine[i].person];
        all += w;
        matched += pairs->genuine[i].cosine >= threshold ? w : 0;
    }
    if (all <= 0) {
        return ERR_MISUSE;
    }
    *ret_tar = matched / all;
    *ret_threshold = threshold;
    return ERR_NONE;
}

enum err pairs_rates(const struct pairs *pairs, float threshold, double *ret_fmr, double *ret_fnmr)
{
    int64_t impostors = 0;
    int64_t below = 0;

    if (pairs->kept_count < pairs->impostor_count && threshold < pairs->kept[pairs->kept_count - 1].cosine) {
        return ERR_MISUSE;
    }
    while (impostors < pairs->kept_count && pairs->kept[impostors].cosine >= threshold) {
        impostors++;
    }
    while (below < pairs->genuine_count && pairs->genuine[pairs->genuine_count - 1 - below].cosine < threshold) {
        below++;
    }
    *ret_fmr = (double)impostors / (double)pairs->impostor_count;
    *ret_fnmr = (double)below / (double)pairs->genuine_count;
    return ERR_NONE;
}

bool pairs_support(const struct pairs *pairs, double fmr)
{
    return fmr * (double)pairs->impostor_count >= MEASURE_LEAST_ERRORS * (1 - 1e-9);
}

/* ---- Identification ---------------------------------------------------------------------------------------------- */

enum err search_probes(const float *probe_u, const int *probe_person, int n, const float *gallery_u,
                       const int *gallery_person, int m, int dim, int people, struct arena *mem, struct probe *ret)
{
    float *block = arena_alloc(mem, (size_t)BLOCK * (size_t)m, sizeof(float));
    float *best = block == NULL ? NULL : ARENA_ARRAY(mem, float, people);

    if (best == NULL) {
        return arena_why(mem);
    }
    for (int from = 0; from < n; from += BLOCK) {
        int rows = n - from < BLOCK ? n - from : BLOCK;
        gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, rows, m, dim, 1, probe_u + (size_t)from * (size_t)dim, dim, gallery_u,
                 dim, 0, block, m);
        for (int i = 0; i < rows; i++) {
            const float *cosine = block + (size_t)i * (size_t)m;
            struct probe probe = {.own_cosine = -2, .best_other = -2, .person = probe_person[from + i]};

            for (int p = 0; p < people; p++) {
                best[p] = -2;
            }
            for (int j = 0; j < m; j++) {
                int p = gallery_person[j];
                best[p] = cosine[j] > best[p] ? cosine[j] : best[p];
            }
            probe.own_cosine = best[probe.person];
            probe.mated = probe.own_cosine > -2;
            int above = 0;
            for (int p = 0; p < people; p++) {
                if (p != probe.person) {
                    probe.best_other = best[p] > probe.best_other ? best[p] : probe.best_other;
                    above += best[p] >= probe.own_cosine; /* a tie is not a win */
                }
            }
            probe.rank = probe.mated ? above + 1 : 0;
            ret[from + i] = probe;
        }
    }
    return ERR_NONE;
}

static double probe_weight(const int *weight, const struct probe *probe)
{
    return weight == NULL ? 1 : weight[probe->person];
}

double rank_rate(const struct probe *probes, int n, int k, const int *weight)
{
    double mated = 0;
    double hits = 0;

    for (int i = 0; i < n; i++) {
        if (probes[i].mated) {
            mated += probe_weight(weight, &probes[i]);
            hits += probes[i].rank <= k ? probe_weight(weight, &probes[i]) : 0;
        }
    }
    return hits / mated; /* NaN without mated probes */
}

struct weighed {
    float cosine;
    double weight;
};

static int falling_weighed(const void *a, const void *b)
{
    float x = ((const struct weighed *)a)->cosine;
    float y = ((const struct weighed *)b)->cosine;
    return (x < y) - (x > y);
}

enum err tpir_at_fpir(const struct probe *probes, int n, double fpir, const int *weight, struct arena *mem,
                      double *ret_tpir, float *ret_threshold)
{
    struct weighed *strangers = ARENA_ARRAY(mem, struct weighed, n);
    double strangers_weight = 0;
    double mated_weight = 0;
    int count = 0;

    if (strangers == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        double w = probe_weight(weight, &probes[i]);
        if (probes[i].mated) {
            mated_weight += w;
        } else if (w > 0) {
            strangers[count++] = (struct weighed){probes[i].best_other, w};
            strangers_weight += w;
        }
    }
    if (strangers_weight <= 0 || mated_weight <= 0) {
        return ERR_MISUSE;
    }
    qsort(strangers, (size_t)count, sizeof *strangers, falling_weighed);
    double spent = 0;
    int at = 0;
    while (at < count) {
        int end = at;
        double group = 0;
        while (end < count && strangers[end].cosine == strangers[at].cosine) {
            group += strangers[end++].weight;
        }
        if (spent + group > fpir * strangers_weight * (1 + 1e-12)) {
            break;
        }
        spent += group;
        at = end;
    }
    float threshold = at == count ? -1 : nextafterf(strangers[at].cosine, 2);
    double hits = 0;
    for (int i = 0; i < n; i++) {
        if (probes[i].mated && probes[i].rank == 1 && probes[i].own_cosine >= threshold) {
            hits += probe_weight(weight, &probes[i]);
        }
    }
    *ret_tpir = hits / mated_weight;
    *ret_threshold = threshold;
    return ERR_NONE;
}

/* ---- Intervals --------------------------------------------------------------------------------------------------- */

static int rising_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which a share of sorted values lies, between neighbours linearly. */
static double quantile(const double *sorted, int count, double share)
{
    double at = share * (count - 1);
    int below = (int)at;

    if (below + 1 >= count) {
        return sorted[count - 1];
    }
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

enum err bootstrap(int people, int rounds, uint64_t seed, double level, measure_fn *figure, void *context,
                   struct arena *mem, struct interval *ret)
{
    if (people < 2 || rounds < 2) {
        return ERR_MISUSE;
    }
    int *weight = ARENA_ARRAY(mem, int, people);
    double *values = weight == NULL ? NULL : ARENA_ARRAY(mem, double, rounds);
    if (values == NULL) {
        return arena_why(mem);
    }
    struct interval interval = {.value = figure(context, NULL)};
    for (int round = 0; round < rounds; round++) {
        struct random random = random_seeded(seed, (uint64_t)round);
        memset(weight, 0, (size_t)people * sizeof *weight);
        for (int draw = 0; draw < people; draw++) {
            weight[random_below(&random, (uint64_t)people)]++;
        }
        double value = figure(context, weight);
        if (!isnan(value)) {
            values[interval.rounds++] = value;
        }
    }
    qsort(values, (size_t)interval.rounds, sizeof *values, rising_double);
    interval.low = interval.rounds > 0 ? quantile(values, interval.rounds, (1 - level) / 2) : (double)NAN;
    interval.high = interval.rounds > 0 ? quantile(values, interval.rounds, (1 + level) / 2) : (double)NAN;
    *ret = interval;
    return ERR_NONE;
}
