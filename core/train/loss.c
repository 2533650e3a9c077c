/*
 * loss.c: the losses of the ArcFace paper and their gradients, written so that the same lines can be compiled in double
 * precision and checked against differences (tests/core/train/loss_double.c).
 */
#include "core/train/loss.h"

#include <math.h>
#include <string.h>
#include <tgmath.h>

#include "core/base/random.h"
#include "core/kernel/gemm.h"

#define PI 3.14159265358979323846

/* A cosine is kept this far from ±1, where the angle has no derivative. */
#define EDGE 1e-7

/* ---- Small linear algebra ---------------------------------------------------------------------------------------- */

static float dot(const float *a, const float *b, int dim)
{
    float sum = 0;

    for (int i = 0; i < dim; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

static void add_scaled(float *to, float factor, const float *row, int dim)
{
    for (int i = 0; i < dim; i++) {
        to[i] += factor * row[i];
    }
}

/* out [n, m] = a [n, dim] · b [m, dim]ᵀ */
static void all_dots(const float *a, int n, const float *b, int m, int dim, float *out)
{
    gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, n, m, dim, 1, a, dim, b, dim, 0, out, m);
}

/* out [n, dim] += g [n, m] · b [m, dim] */
static void add_product(const float *g, int n, int m, const float *b, int dim, float *out)
{
    gemm_f32(GEMM_AS_IS, GEMM_AS_IS, n, dim, m, 1, g, m, b, dim, 1, out, dim);
}

/* out [m, dim] += g [n, m]ᵀ · a [n, dim] */
static void add_transposed_product(const float *g, int n, int m, const float *a, int dim, float *out)
{
    gemm_f32(GEMM_TRANSPOSED, GEMM_AS_IS, m, dim, n, 1, g, m, a, dim, 1, out, dim);
}

/* The largest of a row. */
static float row_max(const float *row, int count)
{
    float largest = row[0];

    for (int j = 1; j < count; j++) {
        largest = row[j] > largest ? row[j] : largest;
    }
    return largest;
}

/* Replaces logits by their softmax and returns log Σ exp(logit). */
static double softmax_row(float *row, int count)
{
    float largest = row_max(row, count);
    double sum = 0;

    for (int j = 0; j < count; j++) {
        row[j] = exp(row[j] - largest);
        sum += row[j];
    }
    for (int j = 0; j < count; j++) {
        row[j] = (float)(row[j] / sum);
    }
    return (double)largest + log(sum);
}

static float clamp_cosine(float c)
{
    float edge = (float)(1 - EDGE);
    return c > edge ? edge : c < -edge ? -edge : c;
}

/* The angle, and what its derivative by the cosine is: −1 / sin θ. */
static float angle_of(float cosine, float *ret_slope)
{
    float c = clamp_cosine(cosine);

    *ret_slope = -1 / sqrt(1 - c * c);
    return acos(c);
}

/* ---- Unit vectors ------------------------------------------------------------------------------------------------ */

void unit_rows(const float *x, int n, int dim, float *ret_u, float *ret_length)
{
    for (int i = 0; i < n; i++) {
        const float *row = x + (size_t)i * (size_t)dim;
        float *unit = ret_u + (size_t)i * (size_t)dim;
        float length = sqrt(dot(row, row, dim));
        bool usable = length > (float)1e-12;

        for (int k = 0; k < dim; k++) {
            unit[k] = usable ? row[k] / length : 0;
        }
        ret_length[i] = usable ? length : 0;
    }
}

void unit_rows_backward(const float *u, const float *length, const float *du, int n, int dim, float *dx)
{
    for (int i = 0; i < n; i++) {
        if (length[i] == 0) {
            continue;
        }
        size_t at = (size_t)i * (size_t)dim;
        float along = dot(du + at, u + at, dim);
        for (int k = 0; k < dim; k++) {
            dx[at + (size_t)k] += (du[at + (size_t)k] - along * u[at + (size_t)k]) / length[i];
        }
    }
}

/* ---- The classification loss ------------------------------------------------------------------------------------- */

bool margin_by_name(const char *name, struct margin *ret)
{
    static const struct {
        const char *name;
        struct margin margin;
    } known[] = {
        {"norm_softmax", {.scale = 20, .m1 = 1, .monotone = true, .filter = 1}},
        {"sphereface", {.scale = 64, .m1 = (float)1.35, .monotone = true, .filter = 1}},
        {"cosface", {.scale = 64, .m1 = 1, .m3 = (float)0.35, .monotone = true, .filter = 1}},
        {"arcface", {.scale = 64, .m1 = 1, .m2 = (float)0.5, .monotone = true, .filter = 1}},
        {"cm1", {.scale = 64, .m1 = 1, .m2 = (float)0.3, .m3 = (float)0.2, .monotone = true, .filter = 1}},
        {"cm2", {.scale = 64, .m1 = (float)0.9, .m2 = (float)0.4, .m3 = (float)0.15, .monotone = true, .filter = 1}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0) {
            *ret = known[i].margin;
            return true;
        }
    }
    return false;
}

size_t margin_work_floats(int n, int classes, int subcenters)
{
    /* cosines of all sub-centers, logits of the classes, and which sub-center was nearest (stored as a float) */
    return (size_t)n * (size_t)classes * ((size_t)subcenters + 2);
}

/*
 * The target's logit over s, and its derivative by the cosine.
 *
 * Past the angle where m1 θ + m2 = π the cosine would rise again.  For m1 = 1 the reference code falls on with c − m2 sin m2
 * (it jumps there: −1 above, −1.117 below for m2 = .5); other m1 have no reference, and fall on without a jump.
 */
static float target_logit(const struct margin *margin, float cosine, float *ret_slope)
{
    float c = clamp_cosine(cosine);
    float theta = acos(c);
    float shifted = margin->m1 * theta + margin->m2;
    float value;
    float slope;

    if (!margin->monotone || shifted < (float)PI) {
        value = cos(shifted);
        slope = margin->m1 * sin(shifted) / sqrt(1 - c * c);
    } else if (margin->m1 == 1) {
        value = c - margin->m2 * sin(margin->m2);
        slope = 1;
    } else {
        value = c - cos(((float)PI - margin->m2) / margin->m1) - 1;
        slope = 1;
    }
    if (margin->straight) {
        slope = 1;
    }
    *ret_slope = slope > LOSS_SLOPE_CAP ? LOSS_SLOPE_CAP : slope;
    return value - margin->m3;
}

static int count_centers(const int *centers_of, int label, int subcenters)
{
    return centers_of != NULL ? centers_of[label] : subcenters;
}

/* Class cosines: the greatest of each class's sub-centers, and which one it was. */
static void nearest_subcenters(const float *cosines, int n, int classes, int subcenters, const int *centers_of,
                               float *ret_cosine, float *ret_which)
{
    for (int i = 0; i < n * classes; i++) {
        const float *own = cosines + (size_t)i * (size_t)subcenters;
        int count = count_centers(centers_of, i % classes, subcenters);
        int best = 0;
        for (int k = 1; k < count; k++) {
            best = own[k] > own[best] ? k : best;
        }
        ret_cosine[i] = own[best];
        ret_which[i] = (float)best;
    }
}

/* Inter-class filtering: another class this near is taken for a wrong label, not for a hard negative. */
static bool silenced(const struct margin *margin, float cosine)
{
    return margin->filter < 1 && cosine > margin->filter;
}

/* One row: logits from cosines in place, softmax in place, then the gradient by the class cosines in place. */
static void margin_row(const struct margin *margin, float factor, int label, int classes, float *row,
                       struct margin_stats *stats, int row_number)
{
    float target = row[label];
    float slope;
    float own = target_logit(margin, target, &slope);
    bool correct = true;
    float unused;
    float angle = angle_of(target, &unused);

    for (int j = 0; j < classes; j++) {
        correct = correct && (j == label || row[j] < target);
        if (j != label && silenced(margin, row[j])) {
            row[j] = 0;
        }
        row[j] *= margin->scale;
    }
    float own_logit = margin->scale * own;
    row[label] = own_logit;
    stats->loss += softmax_row(row, classes) - (double)own_logit;
    stats->correct += correct ? 1 : 0;
    stats->mean_angle += angle;
    if (stats->angles != NULL) {
        stats->angles[row_number] = angle;
    }
    row[label] -= 1;
    for (int j = 0; j < classes; j++) {
        row[j] *= factor * margin->scale;
    }
    row[label] *= slope;
}

void margin_loss(const struct margin *margin, float weight, const float *u, const int *label, int n, int dim,
                 const float *v, int classes, int subcenters, const int *centers_of, float *work, float *du, float *dv,
                 struct margin_stats *ret)
{
    size_t pairs = (size_t)n * (size_t)classes;
    int centers = classes * subcenters;
    float *logits = work;
    float *which = work + pairs;
    float *cosines = work + 2 * pairs;
    struct margin_stats stats = {.angles = ret->angles};

    all_dots(u, n, v, centers, dim, cosines);
    nearest_subcenters(cosines, n, classes, subcenters, centers_of, logits, which);
    for (int i = 0; i < n; i++) {
        float *row = logits + (size_t)i * (size_t)classes;
        float *own = cosines + (size_t)i * (size_t)centers;
        const float *nearest = which + (size_t)i * (size_t)classes;

        /* What the filter silences has no gradient; remembered in the cosines, which are not needed as such any more. */
        for (int j = 0; j < classes; j++) {
            bool silent = j != label[i] && silenced(margin, row[j]);
            for (int k = 0; k < subcenters; k++) {
                own[(size_t)j * (size_t)subcenters + (size_t)k] = !silent && k == (int)nearest[j] ? 1 : 0;
            }
        }
        margin_row(margin, weight / (float)n, label[i], classes, row, &stats, i);
        for (int j = 0; j < centers; j++) {
            own[j] *= row[j / subcenters];
        }
    }
    if (du != NULL) {
        add_product(cosines, n, centers, v, dim, du);
    }
    if (dv != NULL) {
        add_transposed_product(cosines, n, centers, u, dim, dv);
    }
    stats.loss /= n;
    stats.correct /= n;
    stats.mean_angle /= n;
    *ret = stats;
}

double softmax_loss(float weight, const float *x, const int *label, int n, int dim, const float *w, const float *b,
                    int classes, float *work, float *dx, float *dw, float *db)
{
    double loss = 0;

    all_dots(x, n, w, classes, dim, work);
    for (int i = 0; i < n; i++) {
        float *row = work + (size_t)i * (size_t)classes;
        for (int j = 0; j < classes; j++) {
            row[j] += b[j];
        }
        double own = row[label[i]];
        loss += softmax_row(row, classes) - own;
        row[label[i]] -= 1;
        for (int j = 0; j < classes; j++) {
            row[j] *= weight / (float)n;
            db[j] += row[j];
        }
    }
    add_product(work, n, classes, w, dim, dx);
    add_transposed_product(work, n, classes, x, dim, dw);
    return loss / n;
}

/* ---- Sampled centers --------------------------------------------------------------------------------------------- */

int sample_classes(const int *label, int n, int classes, double rate, unsigned long long seed, unsigned long long step,
                   unsigned char *mark, int *ret_classes, int *ret_label)
{
    struct random random = random_seeded(seed, step);
    int wanted = (int)(rate * classes);
    int chosen = 0;

    memset(mark, 0, (size_t)classes);
    for (int i = 0; i < n; i++) {
        chosen += mark[label[i]] == 0;
        mark[label[i]] = 1;
    }
    /* Selection sampling over the rest: each class is taken with probability (still wanted) / (still to come). */
    int rest = classes - chosen;
    for (int j = 0; j < classes && chosen < wanted; j++) {
        if (mark[j] == 0) {
            if (random_below(&random, (uint64_t)rest) < (uint64_t)(wanted - chosen)) {
                mark[j] = 1;
                chosen++;
            }
            rest--;
        }
    }
    int count = 0;
    for (int j = 0; j < classes; j++) {
        if (mark[j] != 0) {
            ret_classes[count++] = j;
        }
    }
    for (int i = 0; i < n; i++) {
        int low = 0;
        int high = count - 1;
        while (low < high) {
            int middle = (low + high) / 2;
            if (ret_classes[middle] < label[i]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        ret_label[i] = low;
    }
    return count;
}

/* ---- Terms beside it --------------------------------------------------------------------------------------------- */

double intra_loss(float weight, const float *u, const int *label, int n, int dim, const float *v, int subcenters,
                  const int *centers_of, float *du, float *dv)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        const float *row = u + (size_t)i * (size_t)dim;
        size_t first = (size_t)label[i] * (size_t)subcenters * (size_t)dim;
        size_t best = first;
        float cosine = dot(row, v + first, dim);
        int count = count_centers(centers_of, label[i], subcenters);
        for (int k = 1; k < count; k++) {
            size_t at = first + (size_t)k * (size_t)dim;
            float other = dot(row, v + at, dim);
            if (other > cosine) {
                cosine = other;
                best = at;
            }
        }
        float slope;
        sum += (double)angle_of(cosine, &slope);
        float g = weight * slope / (float)(PI * n);
        add_scaled(du + (size_t)i * (size_t)dim, g, v + best, dim);
        add_scaled(dv + best, g, row, dim);
    }
    return sum / (PI * n);
}

double inter_loss(float weight, const int *label, int n, int dim, const float *v, int classes, float *dv)
{
    double share = 1.0 / (PI * (classes - 1) * n);
    double sum = 0;

    for (int i = 0; i < n; i++) {
        size_t own = (size_t)label[i] * (size_t)dim;
        for (int j = 0; j < classes; j++) {
            if (j == label[i]) {
                continue;
            }
            size_t other = (size_t)j * (size_t)dim;
            float slope;
            sum += (double)angle_of(dot(v + own, v + other, dim), &slope);
            float g = (float)(-(double)weight * (double)slope * share);
            add_scaled(dv + own, g, v + other, dim);
            add_scaled(dv + other, g, v + own, dim);
        }
    }
    return -sum * share;
}

double triplet_loss(float weight, float m, const float *u, const int *label, int n, int dim, float *work, float *du)
{
    double sum = 0;
    int pairs = 0;

    all_dots(u, n, u, n, dim, work);
    for (int pass = 0; pass < 2; pass++) { /* first count the pairs, since each weighs one of them */
        for (int i = 0; i < n; i++) {
            const float *cosine = work + (size_t)i * (size_t)n;
            int negative = -1;
            for (int j = 0; j < n; j++) {
                if (label[j] != label[i] && (negative < 0 || cosine[j] > cosine[negative])) {
                    negative = j;
                }
            }
            for (int j = 0; negative >= 0 && j < n; j++) {
                if (j == i || label[j] != label[i]) {
                    continue;
                }
                if (pass == 0) {
                    pairs++;
                    continue;
                }
                float slope_p;
                float slope_n;
                float excess = angle_of(cosine[j], &slope_p) + m - angle_of(cosine[negative], &slope_n);
                if (excess <= 0) {
                    continue;
                }
                sum += (double)excess;
                float g = weight / (float)pairs;
                float *row = du + (size_t)i * (size_t)dim;
                add_scaled(row, g * slope_p, u + (size_t)j * (size_t)dim, dim);
                add_scaled(du + (size_t)j * (size_t)dim, g * slope_p, u + (size_t)i * (size_t)dim, dim);
                add_scaled(row, -g * slope_n, u + (size_t)negative * (size_t)dim, dim);
                add_scaled(du + (size_t)negative * (size_t)dim, -g * slope_n, u + (size_t)i * (size_t)dim, dim);
            }
        }
    }
    return pairs == 0 ? 0 : sum / pairs;
}

double distill_cosine(float weight, const float *u, const float *t, int n, int dim, float *du)
{
    double sum = 0;

    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)dim;
        sum += 1.0 - (double)dot(u + at, t + at, dim);
        add_scaled(du + at, -weight / (float)n, t + at, dim);
    }
    return sum / n;
}

double distill_l2(float weight, const float *u, const float *t, int n, int dim, float *du)
{
    double sum = 0;

    for (size_t i = 0; i < (size_t)n * (size_t)dim; i++) {
        float apart = u[i] - t[i];
        sum += (double)apart * (double)apart;
        du[i] += 2 * weight * apart / (float)n;
    }
    return sum / n;
}

double distill_kl(float weight, float scale, const float *u, const float *teacher, int n, int dim, const float *v,
                  int classes, float *work, float *du, float *dv)
{
    double sum = 0;

    all_dots(u, n, v, classes, dim, work);
    for (int i = 0; i < n; i++) {
        float *row = work + (size_t)i * (size_t)classes;
        const float *given = teacher + (size_t)i * (size_t)classes;
        float largest = row_max(given, classes) * scale;
        double total = 0;

        for (int j = 0; j < classes; j++) {
            row[j] *= scale;
            total += exp((double)(given[j] * scale - largest));
        }
        /* KL(q ‖ p) = Σ q (log q − log p), with log p = logit − log Σ; the gradient by the logit is p − q. */
        double expected_gap = 0;
        for (int j = 0; j < classes; j++) {
            double q = exp((double)(given[j] * scale - largest)) / total;
            expected_gap += q * ((double)(given[j] * scale - largest) - log(total) - (double)row[j]);
        }
        sum += expected_gap + softmax_row(row, classes);
        for (int j = 0; j < classes; j++) {
            double q = exp((double)(given[j] * scale - largest)) / total;
            row[j] = (float)((double)row[j] - q) * scale * weight / (float)n;
        }
    }
    add_product(work, n, classes, v, dim, du);
    add_transposed_product(work, n, classes, u, dim, dv);
    return sum / n;
}
