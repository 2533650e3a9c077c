/* invert_statistics.c: sums of the parts, followed over steps, compared with the running statistics. */
#include <string.h>

#include "core/train/invert_private.h"

/*
 * Behind the last layer there is one value a picture.  Followed over steps they are enough, and they matter most: embeddings
 * vary as those of photos do only where eyes and mouth stand at the places that the last layer looks at.  But those of
 * fewer people than this do not vary like everybody's, and there the norm is left alone.
 */
#define LEAST_PEOPLE 8

void statistics_of_part(struct part *part)
{
    int64_t at = 0;

    for (int i = 0; part->sums.sum != NULL && i < tape_norm_count(part->tape); i++) {
        const struct tape_norm norm = tape_norm(part->tape, i);
        const struct prior_sums sums = {part->sums.sum + at, part->sums.squares + at};
        memset(sums.sum, 0, (size_t)norm.channels * sizeof *sums.sum);
        memset(sums.squares, 0, (size_t)norm.channels * sizeof *sums.squares);
        prior_add(norm.x, norm.n, norm.channels, norm.pixels, &sums);
        at += norm.channels;
    }
}

enum err statistics_init(struct inversion *run)
{
    const struct tape *tape = run->parts[0].tape;
    bool full = false;

    run->n_norms = tape_norm_count(tape);
    for (int i = 0; i < run->n_norms; i++) {
        run->channels += tape_norm(tape, i).channels;
    }
    run->mean = ARENA_ARRAY(run->mem, double, run->channels + 1);
    run->squares = ARENA_ARRAY(run->mem, double, run->channels + 1);
    run->offset = ARENA_ARRAY(run->mem, float, run->channels + 1);
    run->slope = ARENA_ARRAY(run->mem, float, run->channels + 1);
    full = run->mean == NULL || run->squares == NULL || run->offset == NULL || run->slope == NULL;
    for (int i = 0; i < run->n_parts && !full; i++) {
        struct prior_sums *sums = &run->parts[i].sums;
        sums->sum = ARENA_ARRAY(run->mem, double, run->channels + 1);
        sums->squares = ARENA_ARRAY(run->mem, double, run->channels + 1);
        full = sums->sum == NULL || sums->squares == NULL;
        if (!full) {
            statistics_of_part(&run->parts[i]);
        }
    }
    return full ? arena_why(run->mem) : ERR_NONE;
}

/* Adds up the parts in their order and lets the statistics follow; at .. at+channels are one norm's. */
static void follow(struct inversion *run, int64_t at, int64_t channels, double values)
{
    double share = run->followed == 0 ? 1 : (double)run->options->follow;

    for (int64_t c = at; c < at + channels; c++) {
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < run->n_parts; i++) {
            sum += run->parts[i].sums.sum[c];
            squares += run->parts[i].sums.squares[c];
        }
        run->mean[c] += share * (sum / values - run->mean[c]);
        run->squares[c] += share * (squares / values - run->squares[c]);
    }
}

void statistics_compare(struct inversion *run)
{
    int64_t at = 0;

    run->prior = 0;
    for (int i = 0; i < run->n_norms; i++) {
        const struct tape_norm norm = tape_norm(run->parts[0].tape, i);
        const struct prior_layer layer = {norm.channels, norm.mean, norm.variance, norm.epsilon};
        double values = (double)run->n * (double)norm.pixels;
        follow(run, at, norm.channels, values);
        /* The sums of a batch with the followed means, of as many values as this one: so the derivative is the batch's. */
        struct prior_sums sums = {run->mean + at, run->squares + at};
        enum prior_form form = norm.pixels == 1 && run->people < LEAST_PEOPLE ? PRIOR_NONE : run->options->form;
        run->prior += prior_value(form, &layer, &sums, 1, (float)((double)run->n * (double)run->options->prior),
                                  run->offset + at, run->slope + at);
        for (int64_t c = at; c < at + norm.channels; c++) {
            run->offset[c] = (float)((double)run->offset[c] / values);
            run->slope[c] = (float)((double)run->slope[c] / values);
        }
        at += norm.channels;
    }
    run->followed = 1;
}

/* Where the channels of a norm begin. */
static int64_t channels_before(const struct part *part, int norm)
{
    int64_t at = 0;

    for (int i = 0; i < norm; i++) {
        at += tape_norm(part->tape, i).channels;
    }
    return at;
}

void statistics_gradient(void *context, int norm, const struct tape_norm *is, float *x_grad)
{
    const struct part *part = context;
    int64_t at = channels_before(part, norm);

    prior_back(is->x, is->n, is->channels, is->pixels, part->run->offset + at, part->run->slope + at, x_grad);
}
