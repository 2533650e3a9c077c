/* objective.c: the terms of loss.h, weighed and added. */
#include "core/train/objective.h"

#include <string.h>

#include "core/kernel/gemm.h"

struct objective objective_default(void)
{
    struct objective objective = {
        .subcenters = 1, .sample_rate = 1, .triplet_margin = .35F, .kl_scale = 64, .margin = {.scale = 64, .m1 = 1}};

    (void)margin_by_name("arcface", &objective.margin);
    return objective;
}

enum err objective_choose(struct objective *objective, const char *loss, struct err_note *note)
{
    struct margin margin;

    if (strcmp(loss, "softmax") == 0) {
        objective->softmax = true;
        return ERR_NONE;
    }
    if (!margin_by_name(loss, &margin)) {
        return ERR_SAY(note, ERR_MISUSE,
                       "there is no loss \"%.40s\": softmax, norm_softmax, sphereface, cosface, arcface, cm1, cm2",
                       loss);
    }
    objective->softmax = false;
    objective->margin = margin;
    return ERR_NONE;
}

bool objective_distils(const struct objective *objective)
{
    return objective->distill_cosine > 0 || objective->distill_l2 > 0 || objective->distill_kl > 0;
}

static bool has_terms(const struct objective *objective)
{
    return objective->intra > 0 || objective->inter > 0 || objective->triplet > 0 || objective_distils(objective);
}

enum err objective_check(const struct objective *objective, struct err_note *note)
{
    bool one = objective->subcenters == 1;
    bool weights = objective->intra >= 0 && objective->inter >= 0 && objective->triplet >= 0 &&
                   objective->distill_cosine >= 0 && objective->distill_l2 >= 0 && objective->distill_kl >= 0;

    if (objective->subcenters < 1 || objective->subcenters > 64) {
        return ERR_SAY(note, ERR_MISUSE, "%d sub-centers are not from 1 to 64", objective->subcenters);
    }
    if (!(objective->sample_rate > 0 && objective->sample_rate <= 1)) {
        return ERR_SAY(note, ERR_MISUSE, "a share of %g of the classes is not within 0 and 1", objective->sample_rate);
    }
    if (!weights) {
        return ERR_SAY(note, ERR_MISUSE, "the weight of a term is below 0");
    }
    if (!one && (objective->softmax || objective->inter > 0 || objective->distill_kl > 0)) {
        return ERR_SAY(note, ERR_MISUSE, "the plain softmax, the inter term and the KL term know one sub-center only");
    }
    if (objective->softmax &&
        (objective->sample_rate < 1 || objective->intra > 0 || objective->inter > 0 || objective->distill_kl > 0)) {
        return ERR_SAY(note, ERR_MISUSE, "the plain softmax has no centers to sample or to measure angles to");
    }
    return ERR_NONE;
}

/* Scratch: u, du [n, dim]; length [n]; then what the terms need, one after the other in the same place. */
static size_t term_floats(const struct objective *objective, int n, int classes)
{
    size_t rows = (size_t)n;
    size_t most = margin_work_floats(n, classes, objective->subcenters);
    size_t softmax = rows * (size_t)classes;
    size_t kl = objective->distill_kl > 0 ? 2 * rows * (size_t)classes : 0;
    size_t triplet = objective->triplet > 0 ? rows * rows : 0;

    most = softmax > most ? softmax : most;
    most = kl > most ? kl : most;
    return triplet > most ? triplet : most;
}

size_t objective_work_floats(const struct objective *objective, int n, int dim, int classes)
{
    return 2 * (size_t)n * (size_t)dim + (size_t)n + term_floats(objective, n, classes);
}

/* The terms on unit rows; returns their weighted sum as a mean over the shard. */
static double add_terms(const struct objective *objective, float share, const float *u, const int *label,
                        const float *teacher, int n, int dim, const struct objective_classes *classes, float *work,
                        float *du, float *dv)
{
    double sum = 0;

    if (objective->intra > 0) {
        sum += (double)objective->intra * intra_loss(objective->intra * share, u, label, n, dim, classes->v,
                                                     objective->subcenters, classes->centers_of, du, dv);
    }
    if (objective->inter > 0 && classes->classes > 1) {
        sum += (double)objective->inter *
               inter_loss(objective->inter * share, label, n, dim, classes->v, classes->classes, dv);
    }
    if (objective->triplet > 0) {
        sum += (double)objective->triplet *
               triplet_loss(objective->triplet * share, objective->triplet_margin, u, label, n, dim, work, du);
    }
    if (objective->distill_cosine > 0) {
        sum += (double)objective->distill_cosine *
               distill_cosine(objective->distill_cosine * share, u, teacher, n, dim, du);
    }
    if (objective->distill_l2 > 0) {
        sum += (double)objective->distill_l2 * distill_l2(objective->distill_l2 * share, u, teacher, n, dim, du);
    }
    if (objective->distill_kl > 0) {
        float *taught = work + (size_t)n * (size_t)classes->classes;
        gemm_f32(GEMM_AS_IS, GEMM_TRANSPOSED, n, classes->classes, dim, 1, teacher, dim, classes->taught, dim, 0,
                 taught, classes->classes);
        sum += (double)objective->distill_kl * distill_kl(objective->distill_kl * share, objective->kl_scale, u, taught,
                                                          n, dim, classes->v, classes->classes, work, du, dv);
    }
    return sum;
}

void objective_shard(const struct objective *objective, const float *x, const int *label, const float *teacher, int n,
                     int batch, int dim, const struct objective_classes *classes, float *work, float *ret_dx, float *dv,
                     float *dbias, float *ret_angles, struct objective_sums *sums)
{
    size_t floats = (size_t)n * (size_t)dim;
    float *u = work;
    float *du = work + floats;
    float *length = work + 2 * floats;
    float *rest = length + n;
    float share = (float)n / (float)batch; /* of the batch's mean in this shard's */
    struct margin_stats stats = {.angles = ret_angles};

    memset(ret_dx, 0, floats * sizeof *ret_dx);
    memset(du, 0, floats * sizeof *du);
    unit_rows(x, n, dim, u, length);
    if (objective->softmax) {
        stats.loss =
            softmax_loss(share, x, label, n, dim, classes->v, classes->bias, classes->classes, rest, ret_dx, dv, dbias);
        memset(ret_angles, 0, (size_t)n * sizeof *ret_angles);
    } else {
        margin_loss(&objective->margin, share, u, label, n, dim, classes->v, classes->classes, objective->subcenters,
                    classes->centers_of, rest, du, dv, &stats);
    }
    if (has_terms(objective)) {
        sums->terms += n * add_terms(objective, share, u, label, teacher, n, dim, classes, rest, du, dv);
    }
    unit_rows_backward(u, length, du, n, dim, ret_dx);
    sums->rows += n;
    sums->loss += n * stats.loss;
    sums->correct += n * stats.correct;
    sums->angle += n * stats.mean_angle;
}

void objective_follow(const struct objective *objective, const float *x, const float *teacher, int n, float weight,
                      int batch, int dim, const struct objective_classes *classes, float *work, float *ret_dx,
                      float *dv, struct objective_sums *sums)
{
    size_t floats = (size_t)n * (size_t)dim;
    float *u = work;
    float *du = work + floats;
    float *length = work + 2 * floats;
    float share = weight * (float)n / (float)batch;
    struct objective alone = *objective;

    alone.intra = alone.inter = alone.triplet = 0; /* they ask whose a row is */
    memset(ret_dx, 0, floats * sizeof *ret_dx);
    memset(du, 0, floats * sizeof *du);
    unit_rows(x, n, dim, u, length);
    sums->terms += (double)weight * n * add_terms(&alone, share, u, NULL, teacher, n, dim, classes, length + n, du, dv);
    unit_rows_backward(u, length, du, n, dim, ret_dx);
}
