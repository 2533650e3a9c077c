/* purify.c: dominant centers, and the photos too far from them. */
#include "core/train/purify.h"

#include <math.h>
#include <string.h>

#include "core/train/loss.h"

/* The greatest number of rounds in which the members of a dominant group are settled; three or four are usual. */
#define MOST_ROUNDS 20

static const double DEGREES = 180 / 3.14159265358979323846;

/* What both rules share: the photos sorted by class, and one dominant center a class. */
struct work {
    const float *u;
    const int *label;
    int n;
    int dim;
    int classes;
    double least_cosine; /* of a photo that is kept: strictly above it */
    int *first;          /* [classes + 1] where a class begins in order */
    int *order;          /* [n] photos, class by class */
    float *center;       /* [classes, dim] unit, or zeros where a class has none */
};

static double row_dot(const float *a, const float *b, int dim)
{
    double sum = 0;

    for (int k = 0; k < dim; k++) {
        sum += (double)a[k] * (double)b[k];
    }
    return sum;
}

static float degrees_of(double cosine)
{
    double c = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    return (float)(acos(c) * DEGREES);
}

static enum err work_new(struct work *work, float max_degrees, struct arena *mem)
{
    work->least_cosine = cos((double)max_degrees / DEGREES);
    work->first = ARENA_ARRAY(mem, int, work->classes + 1);
    work->order = work->first == NULL ? NULL : ARENA_ARRAY(mem, int, work->n);
    work->center =
        work->order == NULL ? NULL : arena_alloc(mem, (size_t)work->classes * (size_t)work->dim, sizeof(float));
    if (work->center == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < work->n; i++) {
        work->first[work->label[i] + 1]++;
    }
    for (int j = 0; j < work->classes; j++) {
        work->first[j + 1] += work->first[j];
    }
    for (int i = work->n - 1; i >= 0; i--) { /* fills each class from its end, so first[j + 1] becomes its beginning */
        work->order[--work->first[work->label[i] + 1]] = i;
    }
    memmove(work->first, work->first + 1, (size_t)work->classes * sizeof *work->first);
    work->first[work->classes] = work->n;
    return ERR_NONE;
}

static const float *row_of(const struct work *work, int photo)
{
    return work->u + (size_t)photo * (size_t)work->dim;
}

/* Fills likely for what is dropped: the nearest dominant center of all classes, if it is near enough. */
static void name_likely(const struct work *work, struct verdict *verdicts)
{
    for (int i = 0; i < work->n; i++) {
        struct verdict *verdict = &verdicts[i];
        double best = work->least_cosine;

        verdict->likely = -1;
        verdict->likely_degrees = 180;
        for (int j = 0; !verdict->keep && j < work->classes; j++) {
            double cosine = row_dot(row_of(work, i), work->center + (size_t)j * (size_t)work->dim, work->dim);
            if (j != work->label[i] && cosine > best) {
                best = cosine;
                verdict->likely = j;
                verdict->likely_degrees = degrees_of(cosine);
            }
        }
    }
}

enum err purify_plain(const float *u, const int *label, int n, int dim, const float *v, int classes, int subcenters,
                      const int *centers_of, float max_degrees, struct arena *mem, struct verdict *ret)
{
    struct work work = {.u = u, .label = label, .n = n, .dim = dim, .classes = classes};
    enum err err = work_new(&work, max_degrees, mem);
    int *votes = err != ERR_NONE ? NULL : ARENA_ARRAY(mem, int, subcenters);

    if (votes == NULL) {
        return err != ERR_NONE ? err : arena_why(mem);
    }
    for (int j = 0; j < classes; j++) {
        const float *own = v + (size_t)j * (size_t)subcenters * (size_t)dim;
        int count = centers_of != NULL ? centers_of[j] : subcenters;
        int dominant = 0;

        memset(votes, 0, (size_t)subcenters * sizeof *votes);
        for (int at = work.first[j]; at < work.first[j + 1]; at++) {
            int photo = work.order[at];
            double best = -2;
            for (int k = 0; k < count; k++) {
                double cosine = row_dot(row_of(&work, photo), own + (size_t)k * (size_t)dim, dim);
                if (cosine > best) {
                    best = cosine;
                    ret[photo].subcenter = k;
                }
            }
            votes[ret[photo].subcenter]++;
        }
        for (int k = 1; k < count; k++) {
            dominant = votes[k] > votes[dominant] ? k : dominant;
        }
        float *center = work.center + (size_t)j * (size_t)dim;
        memcpy(center, own + (size_t)dominant * (size_t)dim, (size_t)dim * sizeof *center);
        for (int at = work.first[j]; at < work.first[j + 1]; at++) {
            int photo = work.order[at];
            double cosine = row_dot(row_of(&work, photo), center, dim);
            ret[photo].degrees = degrees_of(cosine);
            ret[photo].keep = cosine > work.least_cosine;
            ret[photo].unsure = false;
        }
    }
    name_likely(&work, ret);
    return ERR_NONE;
}

/* The photo of a class with the most neighbours nearer than the angle; among equals the one nearest to them. */
static int densest(const struct work *work, int first, int count)
{
    int best = 0;
    double best_mark = -1;

    for (int i = 0; i < count; i++) {
        double mark = 0;
        for (int j = 0; j < count; j++) {
            double cosine =
                row_dot(row_of(work, work->order[first + i]), row_of(work, work->order[first + j]), work->dim);
            if (j != i && cosine > work->least_cosine) {
                mark += 1 + cosine / count; /* the cosines of all neighbours weigh less than one neighbour more */
            }
        }
        if (mark > best_mark) {
            best_mark = mark;
            best = i;
        }
    }
    return best;
}

/* The cosine of a photo with the mean of a group's members without it; -2 where nobody else is in the group. */
static double cosine_without(const struct work *work, const float *sum, int members, bool is_member, int photo)
{
    const float *row = row_of(work, photo);
    double along = row_dot(row, sum, work->dim) - (is_member ? 1 : 0);
    double length2 = row_dot(sum, sum, work->dim);

    if (members - (is_member ? 1 : 0) < 1) {
        return -2;
    }
    /* |S − u|² = |S|² − 2 S·u + 1 for a unit u */
    double without = is_member ? length2 - 2 * (along + 1) + 1 : length2;
    return without <= 1e-12 ? -2 : along / sqrt(without);
}

/* Settles the dominant group of one class; sum and in (one flag a photo of the class) are scratch. */
static void judge_class(struct work *work, int label, float *sum, bool *in, struct verdict *verdicts)
{
    int first = work->first[label];
    int count = work->first[label + 1] - first;
    int members = 1;
    bool changed = true;

    if (count == 0) {
        return;
    }
    memset(in, 0, (size_t)count * sizeof *in);
    memset(sum, 0, (size_t)work->dim * sizeof *sum);
    int seed = densest(work, first, count);
    in[seed] = true;
    memcpy(sum, row_of(work, work->order[first + seed]), (size_t)work->dim * sizeof *sum);
    for (int round = 0; changed && round < MOST_ROUNDS; round++) {
        changed = false;
        for (int i = 0; i < count; i++) {
            int photo = work->order[first + i];
            bool near = cosine_without(work, sum, members, in[i], photo) > work->least_cosine;
            if (near == in[i] || (in[i] && members == 1)) {
                continue;
            }
            const float *row = row_of(work, photo);
            for (int k = 0; k < work->dim; k++) {
                sum[k] += near ? row[k] : -row[k];
            }
            in[i] = near;
            members += near ? 1 : -1;
            changed = true;
        }
    }
    double length = sqrt(row_dot(sum, sum, work->dim));
    bool enough = members >= 2; /* one photo agrees with nobody: there is nothing to judge by */
    float *center = work->center + (size_t)label * (size_t)work->dim;
    for (int k = 0; enough && k < work->dim; k++) {
        center[k] = (float)((double)sum[k] / length);
    }
    for (int i = 0; i < count; i++) {
        int photo = work->order[first + i];
        double cosine = cosine_without(work, sum, members, in[i], photo);
        verdicts[photo].subcenter = in[i] ? 0 : 1;
        verdicts[photo].unsure = !enough;
        verdicts[photo].degrees = enough && cosine >= -1 ? degrees_of(cosine) : 180;
        verdicts[photo].keep = !enough || cosine > work->least_cosine;
    }
}

enum err purify_refined(const float *u, const int *label, int n, int dim, int classes, float max_degrees,
                        struct arena *mem, struct verdict *ret)
{
    struct work work = {.u = u, .label = label, .n = n, .dim = dim, .classes = classes};
    enum err err = work_new(&work, max_degrees, mem);

    if (err != ERR_NONE) {
        return err;
    }
    float *sum = ARENA_ARRAY(mem, float, dim);
    bool *in = sum == NULL ? NULL : ARENA_ARRAY(mem, bool, n);
    if (in == NULL) {
        return arena_why(mem);
    }
    for (int j = 0; j < classes; j++) {
        judge_class(&work, j, sum, in, ret);
    }
    name_likely(&work, ret);
    return ERR_NONE;
}

enum err purify_center(const float *u, int n, int dim, struct arena *mem, float *ret)
{
    struct verdict *verdict = ARENA_ARRAY(mem, struct verdict, n + 1);
    int *label = ARENA_ARRAY(mem, int, n + 1);
    float *sum = ARENA_ARRAY(mem, float, dim);
    float length = 0;

    if (verdict == NULL || label == NULL || sum == NULL) {
        return arena_why(mem);
    }
    enum err err = n < 1 ? ERR_NOT_FOUND : purify_refined(u, label, n, dim, 1, PURIFY_DEGREES, mem, verdict);
    if (err != ERR_NONE) {
        return err;
    }
    for (int i = 0; i < n; i++) {
        for (int k = 0; verdict[i].keep && k < dim; k++) {
            sum[k] += u[(size_t)i * (size_t)dim + (size_t)k];
        }
    }
    unit_rows(sum, 1, dim, ret, &length);
    return length > 1e-6F ? ERR_NONE : ERR_NOT_FOUND;
}

enum err purify_both(const float *before, int dim_before, const float *after, int dim_after, const int *label, int n,
                     int classes, float max_degrees, struct arena *mem, bool *ret)
{
    struct verdict *first = ARENA_ARRAY(mem, struct verdict, n);
    struct verdict *second = ARENA_ARRAY(mem, struct verdict, n);

    if (first == NULL || second == NULL) {
        return arena_why(mem);
    }
    enum err err = purify_refined(before, label, n, dim_before, classes, max_degrees, mem, first);
    if (err == ERR_NONE) {
        err = purify_refined(after, label, n, dim_after, classes, max_degrees, mem, second);
    }
    for (int i = 0; i < n && err == ERR_NONE; i++) {
        ret[i] = !first[i].keep && !second[i].keep;
    }
    return err;
}
