/* invert.c: the descent: parts of a batch on their tapes, the batch's statistics between forward and back, one step of Adam. */
#include "core/train/invert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/train/invert_private.h"
#include "core/train/loss.h"

#define LARGEST_SIDE 512

/* How fast a picture's own part moves while all move together. */
#define OWN_AT_FIRST 0.1F

#define PI 3.14159265358979323846

struct invert_options invert_defaults(void)
{
    return (struct invert_options){
        .form = PRIOR_RELATIVE,
        .prior = 0.5F,
        .variation = 0.15F,
        .energy = 0.001F,
        .follow = 0.5F,
        .glances = {.pixels = 4, .degrees = 6, .scale = 0.06F, .light = 0.15F, .noise = 0.05F, .mirror = true},
        .start = 0.03F,
        .colour = 0.3F,
        .detail = 0.25F,
        .even = 0.5F,
        .together = 0.3F,
        .coarsest = 7,
        .steps = 150,
        .rate = 0.04F,
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

bool invert_memory_say(const struct invert_memory *memory, char text[INVERT_MEMORY_TEXT])
{
    if (memory->norms >= memory->convolutions / 2 && memory->norms > 0) {
        (void)snprintf(text, INVERT_MEMORY_TEXT, "the statistics of %d BatchNormalizations", memory->norms);
        return true;
    }
    (void)snprintf(text, INVERT_MEMORY_TEXT,
                   "of this network's BatchNormalizations %d are left beside %d convolutions, the others are folded "
                   "away: %s",
                   memory->norms, memory->convolutions,
                   memory->norms == 0 ? "nothing but smoothness tells what faces look like"
                                      : "what the network remembers of faces is only partly there");
    return false;
}

/* ---- All parts --------------------------------------------------------------------------------------------------- */

static void forward_task(void *context, int i)
{
    part_forward(&((struct inversion *)context)->parts[i]);
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

static void back_task(void *context, int i)
{
    part_back(&((struct inversion *)context)->parts[i]);
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

/* At first what all pictures have in common moves and their own hardly; then only their own. */
static void step_down(struct inversion *run, double way)
{
    const struct invert_options *options = run->options;
    double together = (double)options->together;
    float rate = rate_at(options, way);

    if (way < together) {
        memset(run->dcommon, 0, run->canvas.count * sizeof *run->dcommon);
        for (size_t i = 0; i < (size_t)run->n * run->canvas.count; i++) {
            run->dcommon[i % run->canvas.count] += run->dp[i];
        }
        optimizer_step(run->common_optimizer, rate, run->dcommon, run->common);
        rate *= OWN_AT_FIRST;
    }
    optimizer_step(run->optimizer, rate, run->dp, run->p);
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
            err = statistics_init(run);
        }
        if (err == ERR_NONE) {
            statistics_compare(run);
            err = isfinite(run->prior) ? back(run, note)
                                       : ERR_SAY(note, ERR_FORMAT, "the statistics of a norm are no numbers");
        }
        if (err != ERR_NONE) {
            return err;
        }
        step_down(run, way);
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
        err = part_init(run, part, note);
    }
    return err;
}

static int count_people(const struct inversion *run)
{
    size_t bytes = (size_t)run->dim * sizeof *run->target;
    int people = 0;

    for (int i = 0; i < run->n; i++) {
        bool is_new = true;
        for (int k = 0; k < i && is_new; k++) {
            is_new = memcmp(run->target + (size_t)i * (size_t)run->dim, run->target + (size_t)k * (size_t)run->dim,
                            bytes) != 0;
        }
        people += is_new;
    }
    return people;
}

/* The targets at length 1, the first pictures, the optimiser. */
static enum err begin(struct inversion *run, const float *targets, struct err_note *note)
{
    const struct optimizer_options adam = {.kind = OPTIMIZER_ADAMW, .beta1 = 0.9F, .beta2 = 0.99F, .epsilon = 1e-8F};
    size_t numbers = (size_t)run->n * run->canvas.count;
    const struct optimizer_range all = {.begin = 0, .end = numbers, .rate_factor = 1};
    const struct optimizer_range one = {.begin = 0, .end = run->canvas.count, .rate_factor = 1};
    float *length = ARENA_ARRAY(run->mem, float, run->n);

    run->target = ARENA_ARRAY(run->mem, float, (size_t)run->n *(size_t)run->dim);
    run->p = ARENA_ARRAY(run->mem, float, numbers);
    run->dp = ARENA_ARRAY(run->mem, float, numbers);
    run->work = ARENA_ARRAY(run->mem, float, (size_t)run->n * run->pixels);
    run->common = ARENA_ARRAY(run->mem, float, run->canvas.count);
    run->dcommon = ARENA_ARRAY(run->mem, float, run->canvas.count);
    if (length == NULL || run->common == NULL || run->dcommon == NULL || run->target == NULL || run->p == NULL ||
        run->dp == NULL || run->work == NULL) {
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
    run->people = count_people(run);
    enum err err = optimizer_new(&adam, &one, 1, run->canvas.count, &run->common_optimizer);
    return err != ERR_NONE ? err : optimizer_new(&adam, &all, 1, numbers, &run->optimizer);
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
    optimizer_free(run.common_optimizer);
    parameters_free(run.parameters);
    return err;
}
