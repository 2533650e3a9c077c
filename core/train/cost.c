/* cost.c: the parts of a training, each tried once. */
#include "core/train/cost.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/graph/session.h"
#include "core/graph/split.h"
#include "core/train/cut.h"
#include "core/train/parameters.h"
#include "core/train/tape.h"

#define DEFAULT_LOOKS 4
#define CHOICES BLEND_SHARES /* embeddings of those who choose */
#define EMBEDDINGS 3         /* of those who teach: teacher, centers' beginning, the plain rule */
#define MEASURES 2           /* whole runs of every photo when both models are measured */
#define CROP_BYTES 16384     /* of a crop and what stands beside it: file, labels, embeddings */

struct trial {
    const struct cost_question *question;
    struct graph *whole, *lower, *upper; /* upper is whole without a cut */
    struct parameters *parameters;
    struct shape map; /* of one crop, with its batch */
    struct cost cost;
    size_t tape_bytes, lower_bytes;
};

static double ms_since(int64_t start)
{
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

static enum err divide(struct trial *trial, struct err_note *note)
{
    const char *name = NULL;
    value_id cut = -1;

    if (trial->question->learn >= 1) {
        graph_seal(trial->whole);
        trial->upper = trial->whole;
        return ERR_NONE;
    }
    enum err err = cut_find(trial->whole, trial->question->learn, &name, note);
    if (err == ERR_NONE) {
        err = graph_find(trial->whole, name, &cut, note);
    }
    if (err == ERR_NONE) {
        err = graph_split(trial->whole, cut, &trial->lower, &trial->upper, note);
    }
    if (err == ERR_NONE) {
        graph_seal(trial->upper);
    }
    return err;
}

/* Below the cut: once to warm up, once by the clock. */
static enum err try_lower(struct trial *trial, struct err_note *note)
{
    int64_t side = trial->question->side;
    struct tensor input = {.type = DTYPE_F32, .shape = {.rank = 4, .dim = {1, 3, side, side}}};
    struct session *session = NULL;
    struct tensor map = {0};
    float *pixels = NULL;

    trial->map = input.shape;
    if (trial->lower == NULL) {
        return ERR_NONE;
    }
    enum err err = session_new(trial->lower, NULL, &session);
    if (err == ERR_NONE) {
        pixels = MEM_ARRAY(float, 3 * (size_t)side * (size_t)side);
        err = pixels == NULL ? ERR_NOMEM : ERR_NONE;
    }
    for (int round = 0; round < 2 && err == ERR_NONE; round++) {
        int64_t start = clock_monotonic_ns();
        input.data = pixels;
        err = session_run(session, &input, 1, &map, 1, note);
        trial->cost.lower_ms = ms_since(start);
    }
    if (err == ERR_NONE) {
        trial->map = map.shape;
        trial->lower_bytes = session_peak_bytes(session);
    }
    session_free(session);
    mem_free(pixels);
    return err;
}

static enum err go_through(struct trial *trial, struct tape *tape,
                           float *input, /* NOLINT(readability-non-const-parameter): a tensor's data */
                           float *gradients, struct err_note *note)
{
    int shard = trial->question->course->train.shard;
    struct tensor in = {.type = DTYPE_F32, .shape = trial->map, .data = input};
    struct tensor out = {0};
    enum err err = ERR_NONE;

    in.shape.dim[0] = shard;
    for (int round = 0; round < 2 && err == ERR_NONE; round++) {
        int64_t start = clock_monotonic_ns();
        err = tape_forward(tape, &in, 0, &out, note);
        trial->cost.upper_ms = ms_since(start) / shard;
        float *back = err == ERR_NONE ? mem_new((size_t)shape_elements(&out.shape), sizeof(float)) : NULL;
        if (err == ERR_NONE && back == NULL) {
            err = ERR_NOMEM;
        }
        start = clock_monotonic_ns();
        if (err == ERR_NONE) {
            err = tape_backward(tape, back, gradients, NULL, note);
        }
        trial->cost.back_ms = ms_since(start) / shard;
        mem_free(back);
    }
    trial->tape_bytes = tape_peak_bytes(tape);
    return err;
}

/* Above the cut, there and back, as many crops as a shard has. */
static enum err try_upper(struct trial *trial, struct err_note *note)
{
    const struct tape_options options = {0};
    size_t floats = (size_t)shape_elements(&trial->map) * (size_t)trial->question->course->train.shard;
    struct tape *tape = NULL;
    float *gradients = NULL;

    enum err err = parameters_new(trial->upper, &trial->parameters, note);
    if (err == ERR_NONE) {
        err = tape_new(trial->upper, trial->parameters, &options, &tape, note);
    }
    float *input = err == ERR_NONE ? MEM_ARRAY(float, floats) : NULL;
    if (err == ERR_NONE) {
        gradients = parameters_block(trial->parameters);
        err = input == NULL || gradients == NULL ? ERR_NOMEM : ERR_NONE;
    }
    if (err == ERR_NONE) {
        err = go_through(trial, tape, input, gradients, note);
    }
    tape_free(tape);
    mem_free(input);
    mem_free(gradients);
    return err;
}

static long steps_of(const struct cost_question *question, long epochs)
{
    long batch = question->course->train.batch;

    return (question->taught < batch ? 1 : question->taught / batch) * epochs;
}

static void add_up(struct trial *trial)
{
    const struct cost_question *question = trial->question;
    const struct train_options *train = &question->course->train;
    struct cost *cost = &trial->cost;
    double photos = (double)question->photos;
    int looks = question->looks > 0 ? question->looks : DEFAULT_LOOKS;
    long first = question->course->rule == COURSE_KEEPS_ALL ? 0 : train->epochs < 3 ? 1 : train->epochs / 3;
    size_t map_bytes = (size_t)shape_elements(&trial->map) * sizeof(float);
    size_t block = trial->parameters->n_floats * sizeof(float);

    cost->steps = steps_of(question, train->epochs) + steps_of(question, first);
    double maps = trial->lower == NULL ? 0 : photos * looks * cost->lower_ms;
    double embeddings = photos * (EMBEDDINGS + CHOICES * PARTS_CHOOSING) * cost->upper_ms;
    double learning = (double)cost->steps * train->batch * (cost->upper_ms + cost->back_ms);
    double measuring = photos * MEASURES * (cost->lower_ms + cost->upper_ms);
    cost->seconds = (maps + embeddings + learning + measuring) / 1e3 / question->threads;

    /* a gradient and a tape a thread; values, their sum, the moments of two phases, the first weights, those of the blend */
    const size_t inputs =
        trial->lower == NULL
            ? 2 * (size_t)train->batch * map_bytes /* ahead.h */
            : ((size_t)question->photos * (size_t)looks + (size_t)question->threads * (size_t)train->shard) * map_bytes;
    cost->bytes = inputs + (size_t)question->threads * (trial->tape_bytes + trial->lower_bytes + block) + 8 * block +
                  (size_t)question->photos * CROP_BYTES;
}

enum err cost_estimate(struct graph *take, const struct cost_question *question, struct cost *ret,
                       struct err_note *note)
{
    struct trial trial = {.question = question, .whole = take};

    enum err err = divide(&trial, note);
    if (err == ERR_NONE) {
        err = try_lower(&trial, note);
    }
    if (err == ERR_NONE) {
        err = try_upper(&trial, note);
    }
    if (err == ERR_NONE) {
        add_up(&trial);
        *ret = trial.cost;
    }
    parameters_free(trial.parameters);
    if (trial.upper != trial.whole) {
        graph_free(trial.upper);
    }
    graph_free(trial.lower);
    graph_free(trial.whole);
    return err;
}
