/*
 * test_tape.c: gradients of whole networks.
 *
 * The truth is the same network computed in double (network.h) and its central differences; the tape computes in float.  The
 * bound is relative to the largest gradient of a tensor: single operators agree to 1e-5 (tests/core/kernel), a dozen layers
 * in float add their roundings, hence 1e-4.  No number may lie so near a kink that the two precisions, or the two sides of
 * the difference, could stand on different sides: that is asserted, not hoped.
 */
#include "core/train/tape.h"

#include "network.h"

#define STEP 1e-6
#define BOUND 1e-4
#define KINK 2e-5

enum {
    N_IMAGES = 4
};

struct case_row {
    const char *name;
    struct graph *(*build)(uint64_t seed);
    uint64_t seed;
    int64_t channels, side;
    bool batch_statistics;
};

static const struct case_row cases[] = {
    {"mobile, statistics of the batch", net_mobile, 1, 3, 16, true},
    {"mobile, frozen statistics", net_mobile, 2, 3, 16, false},
    {"residual, statistics of the batch", net_residual, 3, 3, 12, true},
    {"residual, frozen statistics", net_residual, 4, 3, 12, false},
    {"mixed", net_mixed, 6, 2, 8, false},
};
#define N_CASES ((int)(sizeof cases / sizeof cases[0]))

/* One network with its input, its tape and what it gave. */
struct trial {
    struct graph *graph;
    struct parameters *parameters;
    struct tape *tape;
    struct tensor input;
    int64_t n_input, n_output;
    double *out_grad;
    float *out_grad_f32;
    float *gradients;
    float *input_grad;
};

static void check(enum err err, const struct err_note *note)
{
    if (err != ERR_NONE) {
        fail_msg("%s: %s", err_word(err), note->text);
    }
}

static struct trial trial_start(const struct case_row *row, int64_t n_images, struct tape_options options)
{
    struct trial t = {.graph = row->build(row->seed)};
    struct random random = random_seeded(row->seed, 77);
    struct err_note note = {0};
    struct tensor output;

    options.batch_statistics = row->batch_statistics;
    graph_seal(t.graph);
    check(parameters_new(t.graph, &t.parameters, &note), &note);
    check(tape_new(t.graph, t.parameters, &options, &t.tape, &note), &note);
    t.input = (struct tensor){.type = DTYPE_F32, .shape = NET_SHAPE(n_images, row->channels, row->side, row->side)};
    t.n_input = shape_elements(&t.input.shape);
    float *pixels = MEM_ARRAY(float, (size_t)t.n_input);
    t.input_grad = MEM_ARRAY(float, (size_t)t.n_input);
    t.gradients = parameters_block(t.parameters);
    assert_true(pixels != NULL && t.input_grad != NULL && t.gradients != NULL);
    for (int64_t i = 0; i < t.n_input; i++) {
        pixels[i] = (float)(2 * random_uniform(&random) - 1);
    }
    t.input.data = pixels;
    check(tape_forward(t.tape, &t.input, 0, &output, &note), &note);
    t.n_output = shape_elements(&output.shape);
    t.out_grad = MEM_ARRAY(double, (size_t)t.n_output);
    t.out_grad_f32 = MEM_ARRAY(float, (size_t)t.n_output);
    assert_true(t.out_grad != NULL && t.out_grad_f32 != NULL);
    for (int64_t i = 0; i < t.n_output; i++) {
        t.out_grad_f32[i] = (float)(2 * random_uniform(&random) - 1);
        t.out_grad[i] = (double)t.out_grad_f32[i];
    }
    return t;
}

static void trial_end(struct trial *t)
{
    tape_free(t->tape);
    parameters_free(t->parameters);
    graph_free(t->graph);
    mem_free(t->input.data);
    mem_free(t->input_grad);
    mem_free(t->gradients);
    mem_free(t->out_grad);
    mem_free(t->out_grad_f32);
}

/* At most 24 numbers of a tensor, spread over it. */
static void check_tensor(const char *name, const char *what, struct truth *truth, double *at, const float *gradient,
                         int64_t count, const double *out_grad)
{
    double difference[32];
    int64_t place[32];
    double largest = 0;
    int n = 0;

    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)gradient[i]));
    }
    for (int64_t i = 0; i < count && n < 24; i += count / 24 + 1) {
        double here = at[i];
        at[i] = here + STEP;
        difference[n] = truth_value(truth, out_grad);
        at[i] = here - STEP;
        difference[n] = (difference[n] - truth_value(truth, out_grad)) / (2 * STEP);
        at[i] = here;
        place[n] = i;
        largest = fmax(largest, fabs(difference[n]));
        n++;
    }
    for (int i = 0; i < n; i++) {
        if (!(fabs(difference[i] - (double)gradient[place[i]]) <= BOUND * largest + 1e-6)) {
            fail_msg("%s, gradient of %s [%lld]: %.9g, the difference says %.9g (largest %g)", name, what,
                     (long long)place[i], (double)gradient[place[i]], difference[i], largest);
        }
    }
}

static void gradients_of_networks(void **state)
{
    size_t live = mem_live_blocks();

    for (int c = 0; c < N_CASES; c++) {
        struct trial t = trial_start(&cases[c], N_IMAGES, (struct tape_options){.input_gradient = true});
        struct err_note note = {0};
        struct truth truth;
        truth_init(&truth, t.graph, t.parameters, &t.input);
        truth.batch_statistics = cases[c].batch_statistics;
        check(tape_backward(t.tape, t.out_grad_f32, t.gradients, t.input_grad, &note), &note);
        (void)truth_value(&truth, t.out_grad);
        if (truth.nearest_kink < KINK) {
            fail_msg("%s: a number is %g from a kink; choose another seed", cases[c].name, truth.nearest_kink);
        }
        for (int i = 0; i < t.parameters->count; i++) {
            const struct parameter *p = &t.parameters->list[i];
            if (p->offset < t.parameters->n_trainable) {
                check_tensor(cases[c].name, p->name, &truth, truth.block + p->offset, t.gradients + p->offset,
                             (int64_t)p->count, t.out_grad);
                continue;
            }
            for (size_t k = p->offset; k < p->offset + p->count; k++) {
                assert_true(fabs((double)t.gradients[k] - truth.seen[k]) < 1e-5);
            }
        }
        value_id input = graph_input(t.graph, 0)->value;
        check_tensor(cases[c].name, "the input", &truth, truth.values[input], t.input_grad, t.n_input, t.out_grad);
        truth_release(&truth);
        trial_end(&t);
    }
    assert_int_equal(mem_live_blocks(), live);
}

static void forward_is_that_of_a_session(void **state)
{
    /* The convolutions of a tape go other ways than those of a session: the order of sums differs. */
    struct trial t = trial_start(&cases[3], N_IMAGES, (struct tape_options){0});
    struct err_note note = {0};
    struct session *session;
    float largest = 0;
    struct tensor expected;
    struct tensor output;

    check(session_new(t.graph, NULL, &session), &note);
    check(session_run(session, &t.input, 1, &expected, 1, &note), &note);
    check(tape_forward(t.tape, &t.input, 0, &output, &note), &note);
    assert_true(shape_equal(&output.shape, &expected.shape));
    float *once = mem_copy(output.data, tensor_bytes(&output));
    for (int64_t i = 0; i < shape_elements(&output.shape); i++) {
        largest = fmaxf(largest, fabsf(((float *)expected.data)[i]));
    }
    for (int64_t i = 0; i < shape_elements(&output.shape); i++) {
        assert_true(fabsf(once[i] - ((float *)expected.data)[i]) <= 1e-5F * largest);
    }
    check(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), &note);
    assert_memory_equal(output.data, once, tensor_bytes(&output)); /* valid until the next forward */
    mem_free(once);
    session_free(session);
    trial_end(&t);
}

static void repeated_steps_allocate_nothing(void **state)
{
    size_t live = mem_live_blocks();

    for (int c = 0; c < N_CASES; c++) {
        struct trial t = trial_start(&cases[c], N_IMAGES, (struct tape_options){0});
        struct err_note note = {0};
        struct tensor output;
        float *once = parameters_block(t.parameters);
        size_t peak = tape_peak_bytes(t.tape);
        assert_true(peak > 0);
        check(tape_backward(t.tape, t.out_grad_f32, once, NULL, &note), &note);
        mem_fail_at(0);
        for (int i = 0; i < 2; i++) {
            check(tape_forward(t.tape, &t.input, 0, &output, &note), &note);
            check(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), &note);
        }
        mem_fail_at(-1);
        for (size_t i = 0; i < t.parameters->n_floats; i++) {
            /* Added twice; what is left of the difference is the order of sums. */
            assert_true(fabsf(t.gradients[i] - 2 * once[i]) <= 1e-4F * (1 + fabsf(once[i])));
        }
        /* Fewer images fit in the same block, more do not; both work. */
        struct tensor other = t.input;
        other.shape.dim[0] = 2;
        check(tape_forward(t.tape, &other, 0, &output, &note), &note);
        assert_true(tape_peak_bytes(t.tape) < peak);
        check(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), &note);
        check(tape_forward(t.tape, &t.input, 0, &output, &note), &note);
        assert_int_equal(tape_peak_bytes(t.tape), peak);
        mem_free(once);
        trial_end(&t);
    }
    assert_int_equal(mem_live_blocks(), live);
}

/* Two tapes on parts of a batch, added in order, give the bits of one tape that does both. */
static void parts_give_the_same_bits_on_any_tape(void **state)
{
    struct trial t = trial_start(&cases[2], N_IMAGES, (struct tape_options){0});
    const struct tape_options options = {.batch_statistics = true};
    struct tape *tapes[2] = {t.tape, NULL};
    float *sums[2];
    struct tensor output;
    struct err_note note = {0};

    check(tape_new(t.graph, t.parameters, &options, &tapes[1], &note), &note);
    for (int way = 0; way < 2; way++) {
        sums[way] = parameters_block(t.parameters);
        for (int part = 0; part < 2; part++) {
            float *one = parameters_block(t.parameters);
            struct tape *tape = tapes[way == 0 ? 0 : part];
            struct tensor half = t.input;
            half.shape.dim[0] = N_IMAGES / 2;
            half.data = (float *)t.input.data + part * t.n_input / 2;
            check(tape_forward(tape, &half, 0, &output, &note), &note);
            check(tape_backward(tape, t.out_grad_f32 + part * t.n_output / 2, one, NULL, &note), &note);
            for (size_t i = 0; i < t.parameters->n_floats; i++) {
                sums[way][i] += one[i];
            }
            mem_free(one);
        }
    }
    assert_memory_equal(sums[0], sums[1], t.parameters->n_floats * sizeof(float));

    /* And the running statistics follow the mean of both. */
    const struct parameter *mean = &t.parameters->list[t.parameters->count - 1];
    float before = t.parameters->values[mean->offset];
    parameters_follow(t.parameters, sums[0], 0.1F, 2);
    assert_float_equal(t.parameters->values[mean->offset], before * .9F + .05F * sums[0][mean->offset], 1e-6);
    mem_free(sums[0]);
    mem_free(sums[1]);
    tape_free(tapes[1]);
    trial_end(&t);
}

static void frozen_layers_cost_nothing_on_the_way_back(void **state)
{
    /* Enough images that their maps, not the scratch of a convolution, are what a tape needs memory for. */
    struct trial t = trial_start(&cases[3], 16 * N_IMAGES, (struct tape_options){0});
    const struct tape_options options = {0};
    struct tape *upper;
    struct tensor output;
    struct err_note note = {0};
    size_t all = tape_peak_bytes(t.tape);
    float *some = parameters_block(t.parameters);

    check(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), &note);
    for (int i = 0; i < t.parameters->count; i++) {
        struct parameter *p = &t.parameters->list[i];
        p->frozen = p->kind != PARAMETER_WEIGHT || p->shape.rank != 2; /* all but the matrix at the end */
    }
    check(tape_new(t.graph, t.parameters, &options, &upper, &note), &note);
    check(tape_forward(upper, &t.input, 0, &output, &note), &note);
    check(tape_backward(upper, t.out_grad_f32, some, NULL, &note), &note);
    assert_true(tape_peak_bytes(upper) < all / 2);
    for (int i = 0; i < t.parameters->count; i++) {
        const struct parameter *p = &t.parameters->list[i];
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            assert_true(some[k] == (p->frozen ? 0 : t.gradients[k]));
        }
    }
    mem_free(some);
    tape_free(upper);
    trial_end(&t);
}

static void dropout_is_a_function_of_the_seed(void **state)
{
    struct trial t = trial_start(&cases[3], N_IMAGES, (struct tape_options){.dropout = true});
    static const uint64_t seeds[3] = {5, 5, 6};
    float *gradients[3];
    struct tensor output;
    struct err_note note = {0};

    for (int i = 0; i < 3; i++) {
        gradients[i] = parameters_block(t.parameters);
        check(tape_forward(t.tape, &t.input, seeds[i], &output, &note), &note);
        check(tape_backward(t.tape, t.out_grad_f32, gradients[i], NULL, &note), &note);
    }
    size_t bytes = t.parameters->n_floats * sizeof(float);
    assert_memory_equal(gradients[0], gradients[1], bytes);
    assert_memory_not_equal(gradients[0], gradients[2], bytes);
    for (int i = 0; i < 3; i++) {
        mem_free(gradients[i]);
    }
    trial_end(&t);
}

/* ---- Refusals ------------------------------------------------------------------------------------------------------ */

static void refuse(struct graph *graph, enum err expected, const char *words, struct tape_options options)
{
    struct parameters *parameters = NULL;
    struct tape *tape = NULL;
    struct err_note note = {0};
    struct tensor output;
    float x[512] = {0};
    const struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(2, 2, 8, 8), .data = x};

    graph_seal(graph);
    enum err err = parameters_new(graph, &parameters, &note);
    err = err != ERR_NONE ? err : tape_new(graph, parameters, &options, &tape, &note);
    err = err != ERR_NONE ? err : tape_forward(tape, &input, 0, &output, &note);
    if (err != expected || strstr(note.text, words) == NULL) {
        fail_msg("%s, '%s' instead of %s, '%s'", err_word(err), note.text, err_word(expected), words);
    }
    tape_free(tape);
    parameters_free(parameters);
    graph_free(graph);
}

static struct graph *with_softmax(bool below)
{
    struct net net = net_start(1, NET_SHAPE(1, 2, 8, 8));

    if (!below) {
        net_conv(&net, 2, 2, 3, 1, 1, false);
    }
    (void)net_node(&net, "Softmax", NET_NO_ATTRS, NULL, 0);
    if (below) {
        net_conv(&net, 2, 2, 3, 1, 1, false);
    }
    return net_finish(&net);
}

static void refusals_name_the_node(void **state)
{
    const struct tape_options standard = {0};
    size_t live = mem_live_blocks();
    struct err_note note = {0};

    refuse(with_softmax(false), ERR_UNSUPPORTED, "Softmax", standard);
    refuse(with_softmax(true), ERR_NONE, "", standard); /* no gradient goes through it */
    refuse(with_softmax(true), ERR_UNSUPPORTED, "Softmax", (struct tape_options){.input_gradient = true});
    refuse(net_mixed(1), ERR_LIMIT, "limit", (struct tape_options){.memory_limit = 8000});

    struct net net = net_start(1, NET_SHAPE(1, 2, 8, 8));
    (void)net_node(&net, "Relu", NET_NO_ATTRS, NULL, 0);
    refuse(net_finish(&net), ERR_UNSUPPORTED, "nothing here is to be learnt", standard);

    net = net_start(1, NET_SHAPE(1, 2, 8, 8));
    net_conv(&net, 2, 2, 3, 1, 1, true);
    (void)net_node(&net, "Relu", NET_NO_ATTRS, NULL, 0);
    struct graph *graph = net_finish(&net);
    check(graph_prepare(graph, &note), &note);
    refuse(graph, ERR_UNSUPPORTED, "fused", standard);

    /* One image of a vector has no statistics: the node says so. */
    net = net_start(1, NET_SHAPE(1, 2, 8, 8));
    net_conv(&net, 2, 2, 3, 1, 1, true);
    (void)!graph_add_output(net.graph, net.last, DTYPE_F32, &(struct shape){.rank = -1}, NULL);
    (void)net_node(&net, "Relu", NET_NO_ATTRS, NULL, 0);
    refuse(net_finish(&net), ERR_UNSUPPORTED, "one output", standard);
    assert_int_equal(mem_live_blocks(), live);
}

static void computed_weights_are_folded_first(void **state)
{
    struct net net = net_start(1, NET_SHAPE(1, 2, 8, 8));
    value_id raw = net_constant(&net, "raw", NET_SHAPE(3, 2, 1, 1), 0, 1);
    value_id input = net.last;
    struct parameters *parameters;
    struct err_note note = {0};

    net.last = raw;
    value_id weight = net_node(&net, "Identity", NET_NO_ATTRS, NULL, 0);
    net.last = input;
    (void)net_node(&net, "Conv", NET_NO_ATTRS, &weight, 1);
    struct graph *graph = net_finish(&net);
    assert_int_equal(parameters_new(graph, &parameters, &note), ERR_UNSUPPORTED);
    assert_non_null(strstr(note.text, "computed"));
    check(graph_fold_constants(graph, &note), &note);
    check(parameters_new(graph, &parameters, &note), &note);
    assert_int_equal(parameters->count, 1);
    assert_int_equal(parameters->list[0].count, 6);
    assert_string_equal(parameters->list[0].name, graph_value_name(graph, weight));
    parameters_free(parameters);
    graph_free(graph);
}

static void misuse_is_said(void **state)
{
    struct trial t = trial_start(&cases[4], N_IMAGES, (struct tape_options){0});
    struct err_note note = {0};
    struct tensor output;
    struct tensor wrong = t.input;

    assert_int_equal(tape_backward(t.tape, t.out_grad_f32, t.gradients, t.input_grad, &note), ERR_MISUSE);
    check(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), &note);
    note = (struct err_note){0};
    assert_int_equal(tape_backward(t.tape, t.out_grad_f32, t.gradients, NULL, &note), ERR_MISUSE);
    assert_non_null(strstr(note.text, "no forward"));
    wrong.shape.rank = 3;
    assert_int_equal(tape_forward(t.tape, &wrong, 0, &output, NULL), ERR_MISUSE);
    wrong = t.input;
    wrong.shape.dim[1] = 3; /* the first convolution takes two */
    assert_int_not_equal(tape_forward(t.tape, &wrong, 0, &output, NULL), ERR_NONE);
    check(tape_forward(t.tape, &t.input, 0, &output, &note), &note); /* still usable */
    trial_end(&t);
}

static void no_memory_is_no_harm(void **state)
{
    size_t live = mem_live_blocks();
    bool done = false;

    for (long n = 0; !done; n++) {
        struct graph *graph = net_residual(1);
        struct parameters *parameters = NULL;
        struct tape *tape = NULL;
        struct tensor output;
        static float x[2 * 3 * 144];
        const struct tensor input = {.type = DTYPE_F32, .shape = NET_SHAPE(2, 3, 12, 12), .data = x};
        const struct tape_options options = {.batch_statistics = true};
        graph_seal(graph);
        mem_fail_at(n);
        enum err err = parameters_new(graph, &parameters, NULL);
        err = err != ERR_NONE ? err : tape_new(graph, parameters, &options, &tape, NULL);
        err = err != ERR_NONE ? err : tape_forward(tape, &input, 0, &output, NULL);
        mem_fail_at(-1);
        done = err == ERR_NONE;
        assert_true(done || err == ERR_NOMEM);
        assert_true(n < 1000);
        tape_free(tape);
        parameters_free(parameters);
        graph_free(graph);
        assert_int_equal(mem_live_blocks(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_networks),
        cmocka_unit_test(forward_is_that_of_a_session),
        cmocka_unit_test(repeated_steps_allocate_nothing),
        cmocka_unit_test(parts_give_the_same_bits_on_any_tape),
        cmocka_unit_test(frozen_layers_cost_nothing_on_the_way_back),
        cmocka_unit_test(dropout_is_a_function_of_the_seed),
        cmocka_unit_test(refusals_name_the_node),
        cmocka_unit_test(computed_weights_are_folded_first),
        cmocka_unit_test(misuse_is_said),
        cmocka_unit_test(no_memory_is_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
