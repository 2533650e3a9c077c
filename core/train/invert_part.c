/* invert_part.c: some pictures of a batch on their way through the network and back. */
#include <math.h>
#include <string.h>

#include "core/train/invert_private.h"
#include "core/train/loss.h"

/* ---- Room -------------------------------------------------------------------------------------------------------- */

enum err part_init(struct inversion *run, struct part *part, struct err_note *note)
{
    const struct tape_options options = {
        .input_gradient = true, .norm_gradient = statistics_gradient, .norm_context = part};
    size_t pixels = (size_t)part->n * run->pixels;
    size_t numbers = (size_t)part->n * (size_t)run->dim;

    part->run = run;
    part->input = (struct tensor){
        .type = DTYPE_F32,
        .shape = {.rank = 4, .dim = {part->n, 3, run->side, run->side}},
        .data = ARENA_ARRAY(run->mem, float, pixels),
    };
    part->pixels = ARENA_ARRAY(run->mem, float, pixels);
    part->d_pixels = ARENA_ARRAY(run->mem, float, pixels);
    part->d_input = ARENA_ARRAY(run->mem, float, pixels);
    part->seen = ARENA_ARRAY(run->mem, float, run->pixels);
    part->numbers = ARENA_ARRAY(run->mem, float, run->canvas.count);
    part->unit = ARENA_ARRAY(run->mem, float, numbers);
    part->d_unit = ARENA_ARRAY(run->mem, float, numbers);
    part->d_out = ARENA_ARRAY(run->mem, float, numbers);
    part->length = ARENA_ARRAY(run->mem, float, part->n);
    part->glances = ARENA_ARRAY(run->mem, struct glance, part->n);
    if (part->input.data == NULL || part->pixels == NULL || part->d_pixels == NULL || part->d_input == NULL ||
        part->seen == NULL || part->numbers == NULL || part->unit == NULL || part->d_unit == NULL ||
        part->d_out == NULL || part->length == NULL || part->glances == NULL) {
        return arena_why(run->mem);
    }
    return tape_new(run->graph, run->parameters, &options, &part->tape, note);
}

/* ---- Pictures and inputs ----------------------------------------------------------------------------------------- */

/* The plane of red, green, blue that the network's channel c is. */
static size_t plane_of(const struct preprocess *how, size_t c)
{
    return how->color == COLOR_BGR ? 2 - c : c;
}

static void to_input(const struct inversion *run, const float *seen, float *input)
{
    const struct preprocess *how = &run->options->how;
    size_t count = run->pixels / 3;

    for (size_t c = 0; c < 3; c++) {
        const float *plane = seen + plane_of(how, c) * count;
        for (size_t i = 0; i < count; i++) {
            input[c * count + i] = (127.5F + 127.5F * plane[i] - how->mean[c]) / how->std[c];
        }
    }
}

static void from_input(const struct inversion *run, const float *d_input, float *d_seen)
{
    const struct preprocess *how = &run->options->how;
    size_t count = run->pixels / 3;

    for (size_t c = 0; c < 3; c++) {
        float *plane = d_seen + plane_of(how, c) * count;
        for (size_t i = 0; i < count; i++) {
            plane[i] = 127.5F / how->std[c] * d_input[c * count + i];
        }
    }
}

static struct glance glance_for(const struct inversion *run, int picture)
{
    if (run->plain) {
        return glance_plain(run->side, run->mirrored);
    }
    struct random random =
        random_seeded(run->options->seed + 1, (uint64_t)run->step * (uint64_t)run->n + (uint64_t)picture);
    return glance_draw(&run->options->glances, run->side, &random);
}

/* ---- Forward ----------------------------------------------------------------------------------------------------- */

static enum err check_output(struct part *part)
{
    const struct shape *shape = &part->output.shape;
    int64_t count = 0;

    if (part->output.type != DTYPE_F32 || shape->rank < 2 || shape->dim[0] != part->n || !shape_count(shape, &count) ||
        count != (int64_t)part->n * part->run->dim) {
        char text[SHAPE_TEXT_BYTES];
        return ERR_SAY(&part->note, ERR_MISUSE, "the network returns %s for %d pictures, the targets have %d numbers",
                       shape_text(shape, text), part->n, part->run->dim);
    }
    return ERR_NONE;
}

/* |u − t|² for each picture; d_out gets its derivative. */
static enum err compare(struct part *part)
{
    const struct inversion *run = part->run;
    int dim = run->dim;

    unit_rows(part->output.data, part->n, dim, part->unit, part->length);
    part->cosine = 0;
    for (int i = 0; i < part->n; i++) {
        const float *t = run->target + (size_t)(part->from + i) * (size_t)dim;
        const float *u = part->unit + (size_t)i * (size_t)dim;
        float *du = part->d_unit + (size_t)i * (size_t)dim;
        if (!isfinite(part->length[i])) {
            return ERR_SAY(&part->note, ERR_FORMAT, "the network's embedding of a picture is no number");
        }
        for (int k = 0; k < dim; k++) {
            part->cosine += (double)u[k] * (double)t[k];
            du[k] = 2 * (u[k] - t[k]);
        }
    }
    memset(part->d_out, 0, (size_t)part->n * (size_t)dim * sizeof *part->d_out);
    unit_rows_backward(part->unit, part->length, part->d_unit, part->n, dim, part->d_out);
    return ERR_NONE;
}

static enum err forward(struct part *part)
{
    struct inversion *run = part->run;

    for (int i = 0; i < part->n; i++) {
        size_t at = (size_t)i * run->pixels;
        size_t picture = (size_t)part->from + (size_t)i;
        const float *own = run->p + picture * run->canvas.count;
        for (size_t k = 0; k < run->canvas.count; k++) {
            part->numbers[k] = own[k] + run->common[k];
        }
        canvas_draw(&run->canvas, part->numbers, run->work + picture * run->pixels, part->pixels + at);
        part->glances[i] = glance_for(run, part->from + i);
        glance_see(&part->glances[i], run->side, part->pixels + at, part->seen);
        to_input(run, part->seen, (float *)part->input.data + at);
    }
    enum err err = tape_forward(part->tape, &part->input, 0, &part->output, &part->note);
    err = err != ERR_NONE ? err : check_output(part);
    err = err != ERR_NONE ? err : compare(part);
    if (err == ERR_NONE) {
        statistics_of_part(part);
    }
    return err;
}

void part_forward(struct part *part)
{
    part->err = forward(part);
}

/* ---- Back -------------------------------------------------------------------------------------------------------- */

static enum err back(struct part *part)
{
    struct inversion *run = part->run;
    const struct invert_options *options = run->options;

    memset(part->d_input, 0, (size_t)part->n * run->pixels * sizeof *part->d_input);
    enum err err = tape_backward(part->tape, part->d_out, NULL, part->d_input, &part->note);
    if (err != ERR_NONE) {
        return err;
    }
    memset(part->d_pixels, 0, (size_t)part->n * run->pixels * sizeof *part->d_pixels);
    for (int i = 0; i < part->n; i++) {
        size_t at = (size_t)i * run->pixels;
        from_input(run, part->d_input + at, part->seen);
        glance_back(&part->glances[i], run->side, part->seen, part->d_pixels + at);
    }
    part->variation =
        variation_loss(part->pixels, part->n, 3, run->side, run->side, options->variation, part->d_pixels);
    part->energy = energy_loss(part->pixels, part->n, run->pixels, options->energy, part->d_pixels);
    for (int i = 0; i < part->n; i++) {
        size_t at = (size_t)i * run->pixels;
        size_t picture = (size_t)part->from + (size_t)i;
        canvas_back(&run->canvas, part->pixels + at, part->d_pixels + at, run->work + picture * run->pixels,
                    run->dp + picture * run->canvas.count);
    }
    return ERR_NONE;
}

void part_back(struct part *part)
{
    part->err = back(part);
}
