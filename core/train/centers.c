/* centers.c: k-means on the sphere, class by class. */
#include "core/train/centers.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define PHOTOS_FOR_SEVERAL 10
#define MOST_ROUNDS 20

/* The photos of one class. */
struct group {
    const float *u;
    const int *photo;
    int n;
    int dim;
};

static const float *row_of(const struct group *group, int i)
{
    return group->u + (size_t)group->photo[i] * (size_t)group->dim;
}

static double dot(const float *a, const float *b, int dim)
{
    double sum = 0;

    for (int k = 0; k < dim; k++) {
        sum += (double)a[k] * (double)b[k];
    }
    return sum;
}

/* The mean direction of the members of a part (-1: of all); false if there are none, or they cancel out. */
static bool mean_of(const struct group *group, const int *part, int wanted, float *ret)
{
    double length;
    int members = 0;

    memset(ret, 0, (size_t)group->dim * sizeof *ret);
    for (int i = 0; i < group->n; i++) {
        if (wanted < 0 || part[i] == wanted) {
            const float *row = row_of(group, i);
            for (int k = 0; k < group->dim; k++) {
                ret[k] += row[k];
            }
            members++;
        }
    }
    length = sqrt(dot(ret, ret, group->dim));
    if (members == 0 || length < 1e-6) {
        return false;
    }
    for (int k = 0; k < group->dim; k++) {
        ret[k] = (float)((double)ret[k] / length);
    }
    return true;
}

/* The row whose nearest of the first n centers is farthest. */
static int farthest(const struct group *group, const float *center, int n)
{
    int found = 0;
    double least = 2;

    for (int i = 0; i < group->n; i++) {
        double nearest = -2;
        for (int c = 0; c < n; c++) {
            double cosine = dot(row_of(group, i), center + (size_t)c * (size_t)group->dim, group->dim);
            nearest = cosine > nearest ? cosine : nearest;
        }
        if (nearest < least) {
            least = nearest;
            found = i;
        }
    }
    return found;
}

static bool assign(const struct group *group, const float *center, int n, int *part)
{
    bool changed = false;

    for (int i = 0; i < group->n; i++) {
        int best = 0;
        double greatest = -2;
        for (int c = 0; c < n; c++) {
            double cosine = dot(row_of(group, i), center + (size_t)c * (size_t)group->dim, group->dim);
            if (cosine > greatest) {
                greatest = cosine;
                best = c;
            }
        }
        changed = changed || part[i] != best;
        part[i] = best;
    }
    return changed;
}

/* part [n] is scratch. */
static void divide(const struct group *group, int subcenters, int *part, float *center)
{
    size_t dim = (size_t)group->dim;
    bool moving = true;

    if (group->n == 0) {
        memset(center, 0, (size_t)subcenters * dim * sizeof *center);
        return;
    }
    if (!mean_of(group, part, -1, center)) {
        memcpy(center, row_of(group, 0), dim * sizeof *center);
    }
    for (int c = 1; c < subcenters; c++) {
        const float *from = group->n < subcenters ? center : row_of(group, farthest(group, center, c));
        memcpy(center + (size_t)c * dim, from, dim * sizeof *center);
    }
    memset(part, 0, (size_t)group->n * sizeof *part);
    for (int round = 0; moving && subcenters > 1 && group->n >= subcenters && round < MOST_ROUNDS; round++) {
        moving = assign(group, center, subcenters, part) || round == 0;
        for (int c = 0; c < subcenters; c++) {
            float *own = center + (size_t)c * dim;
            if (!mean_of(group, part, c, own)) {
                /* a part that has lost its members begins again at the row that is worst represented */
                memcpy(own, row_of(group, farthest(group, center, c)), dim * sizeof *own);
            }
        }
    }
}

int centers_by_photos(int photos)
{
    return photos >= PHOTOS_FOR_SEVERAL ? CENTERS_SEVERAL : 1;
}

enum err centers_begin(const float *u, const int *label, int n, int dim, int classes, int subcenters,
                       const int *centers_of, struct arena *mem, float *ret)
{
    int *first = ARENA_ARRAY(mem, int, classes + 1);
    int *fill = first == NULL ? NULL : ARENA_ARRAY(mem, int, classes + 1);
    int *photo = fill == NULL ? NULL : ARENA_ARRAY(mem, int, n + 1);
    int *part = photo == NULL ? NULL : ARENA_ARRAY(mem, int, n + 1);

    if (part == NULL) {
        return arena_why(mem);
    }
    for (int i = 0; i < n; i++) {
        if (label[i] >= 0) {
            first[label[i] + 1]++;
        }
    }
    for (int j = 0; j < classes; j++) {
        first[j + 1] += first[j];
    }
    for (int i = 0; i < n; i++) {
        if (label[i] >= 0) {
            photo[first[label[i]] + fill[label[i]]++] = i;
        }
    }
    for (int j = 0; j < classes; j++) {
        struct group group = {u, photo + first[j], first[j + 1] - first[j], dim};
        float *own = ret + (size_t)j * (size_t)subcenters * (size_t)dim;
        int count = centers_of != NULL ? centers_of[j] : subcenters;
        divide(&group, count, part, own);
        for (int k = count; k < subcenters; k++) {
            memcpy(own + (size_t)k * (size_t)dim, own, (size_t)dim * sizeof *own);
        }
    }
    return ERR_NONE;
}
