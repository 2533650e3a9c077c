/* invert.c: the descent: parts of a batch on their tapes, the batch's statistics between forward and back, one step of Adam. */
#include "core/train/invert.h"

#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/train/canvas.h"
#include "core/train/loss.h"
#include "core/train/optimizer.h"
#include "core/train/tape.h"

#define LARGEST_SIDE 512

/*
 * A norm that sees fewer values of a channel in a step than this is left alone: behind the last layer there is one value a
 * picture, and what these are is the identity's to say.
 */
#define LEAST_VALUES 64

#define PI 3.14159265358979323846

struct inversion;

/* Some pictures of the batch on a tape of their own. */
struct part {
    struct inversion *run;
    int from, n;
    struct tape *tape;
    struct tensor input;  /* [n, 3, side, side] as the network takes it */
    struct tensor output; /* of the last forward */
    float *pixels;        /* [n, 3, side, side] in −1 .. 1 */
    float *d_pixels, *d_input, *seen;
    float *unit, *length, *d_unit, *d_out;
    struct glance *glances;
    struct prior_sums sums; /* of all norms, one behind the other */
    double cosine, variation, energy;
    enum err err;
    struct err_note note;
};

struct inversion {
    const struct graph *graph;
    const struct invert_options *options;
    struct parameters *parameters;
    struct canvas canvas;
    int side, dim, n, n_parts;
    size_t pixels; /* 3 · side² */
    float *target; /* [n, dim] unit rows */
    struct part *parts;
    struct optimizer *optimizer;
    float *p, *dp; /* [n, canvas.count] */
    float *work;   /* [n, pixels] */
    struct arena *mem;
    long step;
    bool plain, mirrored; /* the pictures are seen as they are, for the end */

    /* Of the norms, one behind the other; NULL before the first forward. */
    int n_norms;
    int64_t channels;
    double *mean, *squares; /* followed over steps: means of values and of squares */
    float *offset, *slope;
    double prior;
    double followed; /* share that the followed statistics have gathered */
};

struct invert_options invert_defaults(void)
{
    return (struct invert_options){
        .form = PRIOR_RELATIVE,
        .prior = 0.5F,
        .variation = 0.02F,
        .energy = 0.001F,
        .follow = 0.5F,
        .glances = {.pixels = 4, .degrees = 6, .scale = 0.06F, .light = 0.15F, .noise = 0.05F, .mirror = true},
        .start = 0.1F,
        .colour = 0.3F,
        .detail = 0.25F,
        .even = 0.3F,
        .coarsest = 7,
        .steps = 300,
        .rate = 0.03F,
        .seed = 1,
        .part = 4,
    };
}

struct invert_memory invert_memory_of(const struct graph *graph)
{
    struct invert_memory memory = {0};

    for (int i = 0; i < graph_node_count(graph); i++) {
        const struct graph_node *node = graph_node(graph, i);
        memory.convolutions += node->op->kind == OP_CONV;
        if (node->op->kind == OP_BATCH_NORM) {
            const struct tensor *mean = graph_constant(graph, node->in[3]);
            memory.norms++;
            memory.channels += mean == NULL ? 0 : shape_elements(&mean->shape);
        }
    }
    return memory;
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

static void add_statistics(struct part *part)
{
    int64_t at = 0;

    for (int i = 0; i < tape_norm_count(part->tape); i++) {
        const struct tape_norm norm = tape_norm(part->tape, i);
        const struct prior_sums sums = {part->sums.sum + at, part->sums.squares + at};
        memset(sums.sum, 0, (size_t)norm.channels * sizeof *sums.sum);
        memset(sums.squares, 0, (size_t)norm.channels * sizeof *sums.squares);
        prior_add(norm.x, norm.n, norm.channels, norm.pixels, &sums);
        at += norm.channels;
    }
}

static enum err forward_part(struct part *part)
{
    struct inversion *run = part->run;

    for (int i = 0; i < part->n; i++) {
        size_t at = (size_t)i * run->pixels;
        size_t picture = (size_t)part->from + (size_t)i;
        canvas_draw(&run->canvas, run->p + picture * run->canvas.count, run->work + picture * run->pixels,
                    part->pixels + at);
        part->glances[i] = glance_for(run, part->from + i);
        glance_see(&part->glances[i], run->side, part->pixels + at, part->seen);
        to_input(run, part->seen, (float *)part->input.data + at);
    }
    enum err err = tape_forward(part->tape, &part->input, 0, &part->output, &part->note);
    err = err != ERR_NONE ? err : check_output(part);
    err = err != ERR_NONE ? err : compare(part);
    if (err == ERR_NONE && part->sums.sum != NULL) {
        add_statistics(part);
    }
    return err;
}

static void forward_task(void *context, int i)
{
    struct part *part = &((struct inversion *)context)->parts[i];

    part->err = forward_part(part);
}

static enum err first_error(const struct inversion *run, struct err_note *note)
{
    for (int i = 0; i < run->n_parts; i++) {
        const struct part *part = &run->parts[i];
        if (part->err != ERR_NONE) {
            return part->note.text[0] == '\0' ? part->err : ERR_SAY(note, part->err, "%s", part->note.text);
        }
    }
    return ERR_NONE;
}

static enum err forward(struct inversion *run, struct err_note *note)
{
    pool_run(run->options->pool, run->n_parts, forward_task, run);
    return first_error(run, note);
}

/* ---- The batch's statistics -------------------------------------------------------------------------------------- */

/* After the first forward, when the norms are known: room for what is kept of them. */
static enum err room_for_norms(struct inversion *run)
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
            add_statistics(&run->parts[i]);
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

static void look_at_statistics(struct inversion *run)
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
        enum prior_form form = values < LEAST_VALUES ? PRIOR_NONE : run->options->form;
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

static void norm_gradient(void *context, int norm, const struct tape_norm *is, float *x_grad)
{
    const struct part *part = context;
    int64_t at = channels_before(part, norm);

    prior_back(is->x, is->n, is->channels, is->pixels, part->run->offset + at, part->run->slope + at, x_grad);
}

/* ---- Back -------------------------------------------------------------------------------------------------------- */

static enum err back_part(struct part *part)
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

static void back_task(void *context, int i)
{
    struct part *part = &((struct inversion *)context)->parts[i];

    part->err = back_part(part);
}

static enum err back(struct inversion *run, struct err_note *note)
{
    pool_run(run->options->pool, run->n_parts, back_task, run);
    return first_error(run, note);
}

/* ---- Descending -------------------------------------------------------------------------------------------------- */

static float rate_at(const struct invert_options *options, double way)
{
    return way < 0.5 ? options->rate : (float)((double)options->rate * 0.5 * (1 + cos(PI * (2 * way - 1))));
}

static float sides_at(const struct invert_options *options, double way)
{
    double even = (double)options->even;

    return way < even ? 0 : (even < 1 ? (float)((way - even) / (1 - even)) : 0);
}

static void tell(const struct inversion *run, double seconds, double way)
{
    struct invert_state state = {
        .step = run->step + 1, .steps = run->options->steps, .seconds = seconds, .way = way, .prior = run->prior};

    if (run->options->tell == NULL) {
        return;
    }
    for (int i = 0; i < run->n_parts; i++) {
        state.cosine += run->parts[i].cosine / run->n;
        state.variation += run->parts[i].variation / run->n;
        state.energy += run->parts[i].energy / run->n;
    }
    run->options->tell(run->options->tell_context, &state);
}

static enum err descend(struct inversion *run, struct err_note *note)
{
    const struct invert_options *options = run->options;
    int64_t start = clock_monotonic_ns();
    double way = 0;

    for (run->step = 0; run->step < options->steps && way < 1; run->step++) {
        if (cancel_asked(options->cancel)) {
            return ERR_CANCELLED;
        }
        run->canvas.sides = sides_at(options, way);
        enum err err = forward(run, note);
        if (err == ERR_NONE && run->mean == NULL) {
            err = room_for_norms(run);
        }
        if (err == ERR_NONE) {
            look_at_statistics(run);
            err = back(run, note);
        }
        if (err != ERR_NONE) {
            return err;
        }
        optimizer_step(run->optimizer, rate_at(options, way), run->dp, run->p);
        double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
        way = (double)(run->step + 1) / (double)options->steps;
        if (options->seconds > 0 && seconds / options->seconds > way) {
            way = seconds / options->seconds;
        }
        tell(run, seconds, way > 1 ? 1 : way);
    }
    return ERR_NONE;
}

/* The finished pictures as bytes, and what the network says of them and their mirror images. */
static enum err finish(struct inversion *run, struct arena *mem, struct image *ret, float *ret_cosine,
                       struct err_note *note)
{
    size_t count = run->pixels / 3;
    float *sum = ARENA_ARRAY(run->mem, float, (size_t)run->n *(size_t)run->dim);

    if (sum == NULL) {
        return arena_why(run->mem);
    }
    run->plain = true;
    for (int turn = 0; turn < 2; turn++) {
        run->mirrored = turn == 1;
        enum err err = forward(run, note);
        if (err != ERR_NONE) {
            return err;
        }
        for (int i = 0; i < run->n_parts; i++) {
            const struct part *part = &run->parts[i];
            const float *raw = part->output.data;
            for (size_t k = 0; k < (size_t)part->n * (size_t)run->dim; k++) {
                sum[(size_t)part->from * (size_t)run->dim + k] += raw[k];
            }
        }
    }
    for (int i = 0; i < run->n; i++) {
        const float *row = sum + (size_t)i * (size_t)run->dim;
        const float *t = run->target + (size_t)i * (size_t)run->dim;
        double dot = 0;
        double squares = 0;
        for (int k = 0; k < run->dim; k++) {
            dot += (double)row[k] * (double)t[k];
            squares += (double)row[k] * (double)row[k];
        }
        ret_cosine[i] = squares > 0 ? (float)(dot / sqrt(squares)) : 0;
        enum err err = image_new(run->side, run->side, mem, &ret[i]);
        if (err != ERR_NONE) {
            return err;
        }
        const struct part *part = &run->parts[i / run->options->part];
        const float *pixels = part->pixels + (size_t)(i - part->from) * run->pixels;
        for (size_t k = 0; k < run->pixels; k++) {
            ret[i].rgb[3 * (k % count) + k / count] = (uint8_t)(127.5F + 127.5F * pixels[k] + 0.5F);
        }
    }
    return ERR_NONE;
}

/* ---- Life -------------------------------------------------------------------------------------------------------- */

static enum err find_side(struct inversion *run, struct err_note *note)
{
    const struct graph_io *input = graph_input(run->graph, 0);
    int64_t side = 112;

    if (graph_input_count(run->graph) != 1 || graph_output_count(run->graph) != 1) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "a recogniser has one input and one output");
    }
    if (input->shape.rank == 4 && input->shape.dim[2] > 0) {
        side = input->shape.dim[2];
    }
    if ((input->shape.rank != 4 && input->shape.rank != -1) || side > LARGEST_SIDE) {
        return ERR_SAY(note, ERR_UNSUPPORTED, "the network's input '%s' is no picture", input->name);
    }
    run->side = (int)side;
    run->pixels = (size_t)3 * (size_t)side * (size_t)side;
    return ERR_NONE;
}

static enum err make_part(struct inversion *run, struct part *part, struct err_note *note)
{
    const struct tape_options options = {.input_gradient = true, .norm_gradient = norm_gradient, .norm_context = part};
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
    part->unit = ARENA_ARRAY(run->mem, float, numbers);
    part->d_unit = ARENA_ARRAY(run->mem, float, numbers);
    part->d_out = ARENA_ARRAY(run->mem, float, numbers);
    part->length = ARENA_ARRAY(run->mem, float, part->n);
    part->glances = ARENA_ARRAY(run->mem, struct glance, part->n);
    if (part->input.data == NULL || part->pixels == NULL || part->d_pixels == NULL || part->d_input == NULL ||
        part->seen == NULL || part->unit == NULL || part->d_unit == NULL || part->d_out == NULL ||
        part->length == NULL || part->glances == NULL) {
        return arena_why(run->mem);
    }
    return tape_new(run->graph, run->parameters, &options, &part->tape, note);
}

static enum err make_parts(struct inversion *run, struct err_note *note)
{
    int size = run->options->part;
    enum err err = ERR_NONE;

    run->n_parts = (run->n + size - 1) / size;
    run->parts = ARENA_ARRAY(run->mem, struct part, run->n_parts);
    if (run->parts == NULL) {
        run->n_parts = 0;
        return arena_why(run->mem);
    }
    for (int i = 0; i < run->n_parts && err == ERR_NONE; i++) {
        struct part *part = &run->parts[i];
        part->from = i * size;
        part->n = run->n - part->from < size ? run->n - part->from : size;
        err = make_part(run, part, note);
    }
    return err;
}

/* The targets at length 1, the first pictures, the optimiser. */
static enum err begin(struct inversion *run, const float *targets, struct err_note *note)
{
    const struct optimizer_options adam = {.kind = OPTIMIZER_ADAMW, .beta1 = 0.9F, .beta2 = 0.99F, .epsilon = 1e-8F};
    size_t numbers = (size_t)run->n * run->canvas.count;
    const struct optimizer_range all = {.begin = 0, .end = numbers, .rate_factor = 1};
    float *length = ARENA_ARRAY(run->mem, float, run->n);

    run->target = ARENA_ARRAY(run->mem, float, (size_t)run->n *(size_t)run->dim);
    run->p = ARENA_ARRAY(run->mem, float, numbers);
    run->dp = ARENA_ARRAY(run->mem, float, numbers);
    run->work = ARENA_ARRAY(run->mem, float, (size_t)run->n * run->pixels);
    if (length == NULL || run->target == NULL || run->p == NULL || run->dp == NULL || run->work == NULL) {
        return arena_why(run->mem);
    }
    unit_rows(targets, run->n, run->dim, run->target, length);
    for (int i = 0; i < run->n; i++) {
        if (!isfinite(length[i]) || length[i] < 1e-12F) {
            return ERR_SAY(note, ERR_MISUSE, "target %d is no direction", i);
        }
        struct random random = random_seeded(run->options->seed, (uint64_t)i);
        for (size_t k = 0; k < run->canvas.count; k++) {
            run->p[(size_t)i * run->canvas.count + k] = run->options->start * (float)random_normal(&random);
        }
    }
    return optimizer_new(&adam, &all, 1, numbers, &run->optimizer);
}

enum err invert_run(const struct graph *graph, const struct invert_options *options, const float *targets, int n,
                    int dim, struct arena *mem, struct image *ret, float *ret_cosine, struct err_note *note)
{
    struct inversion run = {.graph = graph, .options = options, .n = n, .dim = dim, .mem = mem};

    if (n < 1 || dim < 2 || options->part < 1 || options->steps < 1) {
        return ERR_SAY(note, ERR_MISUSE, "%d targets of %d numbers, parts of %d, %ld steps", n, dim, options->part,
                       options->steps);
    }
    enum err err = find_side(&run, note);
    if (err != ERR_NONE) {
        return err;
    }
    run.canvas = canvas_of(run.side, options->coarsest, options->detail, options->colour);
    err = parameters_new(graph, &run.parameters, note);
    for (int i = 0; err == ERR_NONE && i < run.parameters->count; i++) {
        run.parameters->list[i].frozen = true;
    }
    err = err != ERR_NONE ? err : make_parts(&run, note);
    err = err != ERR_NONE ? err : begin(&run, targets, note);
    err = err != ERR_NONE ? err : descend(&run, note);
    err = err != ERR_NONE ? err : finish(&run, mem, ret, ret_cosine, note);
    for (int i = 0; i < run.n_parts; i++) {
        tape_free(run.parts[i].tape);
    }
    optimizer_free(run.optimizer);
    parameters_free(run.parameters);
    return err;
}
