/* blend.c: between two networks, measured at a few places. */
#include "core/train/blend.h"

#include "core/base/mem.h"
#include "core/train/measure.h"

static const double rates[] = {BLEND_RATES};
#define N_RATES ((int)(sizeof rates / sizeof rates[0]))

void blend_set(struct student *student, const float *before, const float *after, float share)
{
    const struct parameters *parameters = student_parameters(student);

    for (size_t i = 0; i < parameters->n_floats; i++) {
        parameters->values[i] = share >= 1 ? after[i] : before[i] + share * (after[i] - before[i]);
    }
}

/* Mean TAR over the rates that the pairs support. */
static enum err score(const float *u, const int *person, int n, int dim, int people, double *ret, struct err_note *note)
{
    size_t pairs_bytes = (size_t)n * (size_t)n * (sizeof(struct genuine) + sizeof(struct impostor));
    struct arena *mem = arena_new(pairs_bytes + ((size_t)4 << 20));
    struct pairs pairs = {0};
    double sum = 0;
    int used = 0;

    if (mem == NULL) {
        return ERR_NOMEM;
    }
    enum err err = pairs_make(u, person, n, dim, people, rates[0], mem, &pairs);
    if (err == ERR_MISUSE) {
        err = ERR_SAY(note, ERR_MISUSE, "no two of the %d photos show one person, or two", n);
    }
    for (int i = 0; i < N_RATES && err == ERR_NONE; i++) {
        double tar = 0;
        float threshold = 0;
        if (pairs_support(&pairs, rates[i])) {
            err = pairs_tar(&pairs, NULL, rates[i], &tar, &threshold);
            sum += tar;
            used++;
        }
    }
    arena_free(mem);
    if (err == ERR_NONE && used == 0) {
        err = ERR_SAY(note, ERR_MISUSE, "%d photos of %d people are too few to choose by", n, people);
    }
    if (err == ERR_NONE) {
        *ret = sum / used;
    }
    return err;
}

static enum err try_all(struct student *student, const float *before, const float *after, const int *item,
                        const int *person, int n, int people, struct cancel *cancel, float *u, struct blend *blend,
                        struct err_note *note)
{
    enum err err = ERR_NONE;
    int best = 0;

    for (int k = 0; k < BLEND_SHARES && err == ERR_NONE; k++) {
        blend->shares[k] = (float)k / (BLEND_SHARES - 1);
        blend_set(student, before, after, blend->shares[k]);
        err = student_embed_some(student, item, n, cancel, u, note);
        if (err == ERR_NONE) {
            err = score(u, person, n, student_dim(student), people, &blend->score[k], note);
        }
        best = err == ERR_NONE && blend->score[k] > blend->score[best] ? k : best;
    }
    if (err == ERR_NONE) {
        blend->share = blend->shares[best];
    }
    blend_set(student, before, after, err == ERR_NONE ? blend->share : 1);
    return err;
}

enum err blend_choose(struct student *student, const float *before, const int *item, const int *person, int n,
                      int people, struct cancel *cancel, struct blend *ret, struct err_note *note)
{
    const struct parameters *parameters = student_parameters(student);
    struct blend blend = {0};

    if (n < 2) {
        return ERR_SAY(note, ERR_MISUSE, "%d photos are too few to choose by", n);
    }
    float *after = mem_copy(parameters->values, parameters->n_floats * sizeof(float));
    float *u = MEM_ARRAY(float, (size_t)n *(size_t)student_dim(student));
    enum err err = after == NULL || u == NULL ? ERR_NOMEM : ERR_NONE;
    if (err == ERR_NONE) {
        err = try_all(student, before, after, item, person, n, people, cancel, u, &blend, note);
    }
    mem_free(after);
    mem_free_wiped(u);
    if (err == ERR_NONE) {
        *ret = blend;
    }
    return err;
}
