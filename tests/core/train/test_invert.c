/*
 * test_invert.c: descending through a network: the gradient of the whole with the prior at every norm, against the network in
 * double; that a descent finds its targets, repeats itself on any number of threads, stops when told, and says what is wrong.
 */
#include "core/train/invert.h"

#include "core/train/tape.h"
#include "network.h"

#define STEP 1e-6
#define BOUND 1e-4
#define KINK 2e-5

static void check(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note->text);
    }
}

/* ---- The gradient with the prior --------------------------------------------------------------------------------- */

enum {
    N_IMAGES = 3,
    MOST_CHANNELS = 256
};

/* What the hook works with: lines for all channels of all norms. */
struct lines {
    int first[32];
    float offset[MOST_CHANNELS], slope[MOST_CHANNELS];
    int calls;
};

static void add_lines(void *context, int norm, const struct tape_norm *is, float *x_grad)
{
    struct lines *lines = context;
    int at = lines->first[norm];

    lines->calls++;
    prior_back(is->x, is->n, is->channels, is->pixels, lines->offset + at, lines->slope + at, x_grad);
}

/* The prior of a batch on the tape, over all norms; fills lines. */
static double prior_of(const struct tape *tape, enum prior_form form, struct lines *lines)
{
    double value = 0;
    int at = 0;

    for (int i = 0; i < tape_norm_count(tape); i++) {
        const struct tape_norm norm = tape_norm(tape, i);
        const struct prior_layer layer = {norm.channels, norm.mean, norm.variance, norm.epsilon};
        double sum[MOST_CHANNELS] = {0};
        double squares[MOST_CHANNELS] = {0};
        const struct prior_sums sums = {sum, squares};
        assert_true(at + norm.channels <= MOST_CHANNELS);
        prior_add(norm.x, norm.n, norm.channels, norm.pixels, &sums);
        lines->first[i] = at;
        value +=
            prior_value(form, &layer, &sums, (double)(norm.n * norm.pixels), 1, lines->offset + at, lines->slope + at);
        at += (int)norm.channels;
    }
    return value;
}

/* The same from the network in double: the inputs of its norms stand in truth->values. */
static double true_prior(const struct truth *truth)
{
    double value = 0;

    for (int i = 0; i < graph_node_count(truth->graph); i++) {
        const struct graph_node *node = graph_node(truth->graph, i);
        if (node->op->kind != OP_BATCH_NORM) {
            continue;
        }
        const struct shape *shape = &truth->shapes[node->in[0]].shape;
        const double *x = truth->values[node->in[0]];
        int64_t channels = shape->dim[1];
        int64_t count = shape_elements(shape) / channels;
        int64_t pixels = count / shape->dim[0];
        double epsilon = (double)attr_find(&node->attrs, "epsilon")->f;
        for (int64_t c = 0; c < channels; c++) {
            double mean = 0;
            double variance = 0;
            for (int64_t k = 0; k < count; k++) {
                mean += x[(k / pixels * channels + c) * pixels + k % pixels] / (double)count;
            }
            for (int64_t k = 0; k < count; k++) {
                double d = x[(k / pixels * channels + c) * pixels + k % pixels] - mean;
                variance += d * d / (double)count;
            }
            const float *known[2] = {graph_constant(truth->graph, node->in[3])->data,
                                     graph_constant(truth->graph, node->in[4])->data};
            double off = mean - (double)known[0][c];
            double wide = sqrt(variance + epsilon) - sqrt((double)known[1][c] + epsilon);
            value += off * off + wide * wide;
        }
    }
    return value;
}

static void the_prior_goes_back_through_every_norm(void **state)
{
    static const struct {
        struct graph *(*build)(uint64_t seed);
        uint64_t seed;
        int64_t side;
        int norms;
    } rows[] = {{net_mobile, 2, 16, 8}, {net_residual, 4, 12, 10}};

    for (int r = 0; r < 2; r++) {
        struct graph *graph = rows[r].build(rows[r].seed);
        struct parameters *parameters = NULL;
        struct tape *tape = NULL;
        struct lines lines = {0};
        const struct tape_options options = {
            .input_gradient = true, .norm_gradient = add_lines, .norm_context = &lines};
        struct random random = random_seeded(rows[r].seed, 77);
        struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(N_IMAGES, 3, rows[r].side, rows[r].side)};
        struct tensor output;
        struct truth truth;
        struct err_note note = {0};
        double out_grad[64];
        float out_grad_f32[64];

        graph_seal(graph);
        check(parameters_new(graph, &parameters, &note), &note);
        for (int i = 0; i < parameters->count; i++) {
            parameters->list[i].frozen = true;
        }
        check(tape_new(graph, parameters, &options, &tape, &note), &note);
        int64_t count = shape_elements(&input.shape);
        float *pixels = MEM_ARRAY(float, (size_t)count);
        float *input_grad = MEM_ARRAY(float, (size_t)count);
        assert_true(pixels != NULL && input_grad != NULL);
        for (int64_t i = 0; i < count; i++) {
            pixels[i] = (float)(2 * random_uniform(&random) - 1);
        }
        input.data = pixels;
        check(tape_forward(tape, &input, 0, &output, &note), &note);
        for (int64_t i = 0; i < shape_elements(&output.shape); i++) {
            out_grad_f32[i] = (float)(2 * random_uniform(&random) - 1);
            out_grad[i] = (double)out_grad_f32[i];
        }
        assert_int_equal(tape_norm_count(tape), rows[r].norms);
        double value = prior_of(tape, PRIOR_DEVIATION, &lines);
        check(tape_backward(tape, out_grad_f32, NULL, input_grad, &note), &note);
        assert_int_equal(lines.calls, rows[r].norms);

        truth_init(&truth, graph, parameters, &input);
        (void)truth_value(&truth, out_grad);
        assert_true(truth.nearest_kink > KINK);
        assert_true(fabs(true_prior(&truth) - value) < 1e-4 * value);
        double *at = truth.values[graph_input(graph, 0)->value];
        double largest = 0;
        for (int64_t i = 0; i < count; i++) {
            largest = fmax(largest, fabs((double)input_grad[i]));
        }
        for (int64_t i = 0; i < count; i += count / 40) {
            double here = at[i];
            at[i] = here + STEP;
            double up = truth_value(&truth, out_grad);
            up += true_prior(&truth);
            at[i] = here - STEP;
            double down = truth_value(&truth, out_grad);
            down += true_prior(&truth);
            at[i] = here;
            double difference = (up - down) / (2 * STEP);
            if (!(fabs(difference - (double)input_grad[i]) < BOUND * largest)) {
                fail_msg("network %d, pixel %lld: %.9g, the difference says %.9g", r, (long long)i,
                         (double)input_grad[i], difference);
            }
        }
        truth_release(&truth);
        mem_free(pixels);
        mem_free(input_grad);
        tape_free(tape);
        parameters_free(parameters);
        graph_free(graph);
    }
}

/* ---- Descending -------------------------------------------------------------------------------------------------- */

enum {
    TARGETS = 5,
    DIM = 6,
    SIDE = 16
};

/* The small network takes pictures of 16 pixels; the rest is the usual. */
static struct invert_options usual(void)
{
    struct invert_options options = invert_defaults();

    options.how = (struct preprocess){.color = COLOR_RGB, .mean = {127.5F, 127.5F, 127.5F}, .std = {64, 64, 64}};
    options.steps = 60;
    options.part = 2;
    options.coarsest = 4;
    options.glances = (struct glance_limits){.mirror = false};
    options.even = 0;
    options.together = 0.2F;
    options.detail = 1;
    options.rate = 0.1F;
    options.variation = 0;
    return options;
}

struct heard {
    long calls;
    double first_prior, prior, cosine, way;
    struct cancel *cancel_at_3;
};

static void hear(void *context, const struct invert_state *state)
{
    struct heard *heard = context;

    heard->calls++;
    assert_int_equal(state->step, heard->calls);
    assert_true(state->way > heard->way - 1e-9 && state->way <= 1);
    heard->first_prior = heard->calls == 1 ? state->prior : heard->first_prior;
    heard->prior = state->prior;
    heard->cosine = state->cosine;
    heard->way = state->way;
    if (heard->calls == 3 && heard->cancel_at_3 != NULL) {
        cancel_ask(heard->cancel_at_3);
    }
}

static struct graph *network(void)
{
    struct graph *graph = net_mobile(2);

    graph_seal(graph);
    return graph;
}

/* What the network makes of pictures that somebody took: targets that can be reached. */
static void draw_targets(const struct graph *graph, const struct preprocess *how, float *ret)
{
    float input[TARGETS * 3 * SIDE * SIDE];
    struct tensor tensor = {.type = DTYPE_F32, .shape = NET_SHAPE(TARGETS, 3, SIDE, SIDE), .data = input};
    struct tensor output;
    struct session *session;
    struct random random = random_seeded(9, 9);
    struct err_note note = {0};

    for (int i = 0; i < TARGETS * 3 * SIDE * SIDE; i++) {
        input[i] = (float)((double)(i % 97) / 97 + random_uniform(&random) - 1) * 127.5F / how->std[0];
    }
    check(session_new(graph, NULL, &session), &note);
    check(session_run(session, &tensor, 1, &output, 1, &note), &note);
    memcpy(ret, output.data, sizeof(float) * TARGETS * DIM);
    session_free(session);
}

static void a_descent_finds_its_targets(void **state)
{
    struct graph *graph = network();
    struct invert_options options = usual();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct heard heard[2] = {{0}};
    struct image pictures[2][TARGETS];
    float cosine[2][TARGETS];
    float targets[TARGETS * DIM];
    struct err_note note = {0};

    assert_non_null(mem);
    draw_targets(graph, &options.how, targets);
    options.tell = hear;
    for (int turn = 0; turn < 2; turn++) {
        options.form = turn == 0 ? PRIOR_NONE : PRIOR_RELATIVE;
        options.tell_context = &heard[turn];
        check(invert_run(graph, &options, targets, TARGETS, DIM, mem, pictures[turn], cosine[turn], &note), &note);
        assert_int_equal(heard[turn].calls, 60);
        printf("# cosine %.3f, prior %.3f to %.3f\n", heard[turn].cosine / TARGETS * TARGETS, heard[turn].first_prior,
               heard[turn].prior);
        assert_true(heard[turn].cosine > 0.8);
        for (int i = 0; i < TARGETS; i++) {
            assert_int_equal(pictures[turn][i].width, SIDE);
        }
    }
    assert_true(heard[0].prior == 0);
    assert_true(heard[1].prior < 0.5 * heard[1].first_prior);
    arena_free(mem);
    graph_free(graph);
}

static void any_number_of_threads_gives_the_same_pictures(void **state)
{
    struct graph *graph = network();
    struct invert_options options = usual();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct image pictures[2][TARGETS];
    float cosine[2][TARGETS];
    float targets[TARGETS * DIM];
    struct pool *pool = NULL;
    struct err_note note = {0};

    assert_non_null(mem);
    draw_targets(graph, &options.how, targets);
    options.glances = invert_defaults().glances;
    options.steps = 8;
    check(pool_new(3, &pool), &note);
    for (int turn = 0; turn < 2; turn++) {
        options.pool = turn == 0 ? NULL : pool;
        check(invert_run(graph, &options, targets, TARGETS, DIM, mem, pictures[turn], cosine[turn], &note), &note);
    }
    assert_memory_equal(cosine[0], cosine[1], sizeof cosine[0]);
    for (int i = 0; i < TARGETS; i++) {
        assert_memory_equal(pictures[0][i].rgb, pictures[1][i].rgb, 3 * SIDE * SIDE);
        assert_true(i == 0 || memcmp(pictures[0][i].rgb, pictures[0][0].rgb, 3 * SIDE * SIDE) != 0);
    }
    /* Another seed, other pictures. */
    options.seed = 2;
    check(invert_run(graph, &options, targets, TARGETS, DIM, mem, pictures[1], cosine[1], &note), &note);
    assert_true(memcmp(pictures[0][0].rgb, pictures[1][0].rgb, 3 * SIDE * SIDE) != 0);
    pool_free(pool);
    arena_free(mem);
    graph_free(graph);
}

static void it_ends_when_it_should(void **state)
{
    size_t live = mem_live_blocks();
    struct graph *graph = network();
    struct invert_options options = usual();
    struct arena *mem = arena_new((size_t)64 << 20);
    struct cancel cancel = {0};
    struct heard heard = {.cancel_at_3 = &cancel};
    struct image pictures[TARGETS];
    float cosine[TARGETS];
    float targets[TARGETS * DIM];
    struct err_note note = {0};

    assert_non_null(mem);
    draw_targets(graph, &options.how, targets);
    options.tell = hear;
    options.tell_context = &heard;
    options.cancel = &cancel;
    assert_int_equal(invert_run(graph, &options, targets, TARGETS, DIM, mem, pictures, cosine, &note), ERR_CANCELLED);
    assert_int_equal(heard.calls, 3);

    /* A budget that is spent after the first step. */
    heard = (struct heard){0};
    options.cancel = NULL;
    options.seconds = 1e-9;
    check(invert_run(graph, &options, targets, TARGETS, DIM, mem, pictures, cosine, &note), &note);
    assert_int_equal(heard.calls, 1);
    assert_true(heard.way == 1);

    /* What cannot be a target, or is another network's. */
    options.tell = NULL;
    options.seconds = 0;
    assert_int_equal(invert_run(graph, &options, targets, 1, DIM - 1, mem, pictures, cosine, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "[1, 6]"));
    memset(targets, 0, sizeof targets);
    assert_int_equal(invert_run(graph, &options, targets, 1, DIM, mem, pictures, cosine, &note), ERR_MISUSE);
    assert_int_equal(invert_run(graph, &options, targets, 0, DIM, mem, pictures, cosine, &note), ERR_MISUSE);
    arena_free(mem);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), live);
}

static void what_is_left_to_lean_on_is_counted(void **state)
{
    struct graph *whole = net_mobile(1);
    struct graph *bare = net_mixed(1);
    struct invert_memory memory = invert_memory_of(whole);
    char text[INVERT_MEMORY_TEXT];

    assert_int_equal(memory.norms, 8);
    assert_true(invert_memory_say(&memory, text));
    assert_string_equal(text, "the statistics of 8 BatchNormalizations");
    assert_int_equal(memory.channels, 8 + 8 + 16 + 16 + 8 + 8 + 8 + 6);
    assert_int_equal(memory.convolutions, 7);
    memory.norms = 2;
    assert_false(invert_memory_say(&memory, text));
    assert_non_null(strstr(text, "2 are left beside 7 convolutions"));
    assert_non_null(strstr(text, "partly"));
    memory = invert_memory_of(bare);
    assert_int_equal(memory.norms, 0);
    assert_false(invert_memory_say(&memory, text));
    assert_non_null(strstr(text, "nothing but smoothness"));
    graph_free(whole);
    graph_free(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prior_goes_back_through_every_norm),
        cmocka_unit_test(a_descent_finds_its_targets),
        cmocka_unit_test(any_number_of_threads_gives_the_same_pictures),
        cmocka_unit_test(it_ends_when_it_should),
        cmocka_unit_test(what_is_left_to_lean_on_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
