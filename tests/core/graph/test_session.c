/* test_session.c: shapes at run time, values known before running, memory, and everything that must be refused. */
#include "tiny_graph.h"

/* The SCRFD pattern: the target of a Reshape is computed from the shape of another value. */
static struct graph *chain_graph(bool prepared)
{
    struct graph *graph = tiny_graph();

    tiny_input(graph, "x", DTYPE_F32, SHAPE(1, 2, -1));
    (void)tiny_constant(graph, "w", DTYPE_F32, SHAPE(3, 2, 1), (float[]){1, 0, 0, 1, 1, 1});
    (void)tiny_constant(graph, "zero", DTYPE_I64, SHAPE(1), (int64_t[]){0});
    (void)tiny_constant(graph, "two", DTYPE_I64, SHAPE(1), (int64_t[]){2});
    (void)tiny_constant(graph, "three", DTYPE_I64, SHAPE(1), (int64_t[]){3});
    TINY_NODE(graph, "Conv", {"x", "w"}, {"y"});
    TINY_NODE(graph, "Relu", {"y"}, {"r"});
    TINY_NODE(graph, "Shape", {"r"}, {"s"});
    TINY_NODE(graph, "Gather", {"s", "zero"}, {"n"});
    TINY_NODE(graph, "Gather", {"s", "two"}, {"l"});
    TINY_NODE(graph, "Concat", {"n", "l", "three"}, {"target"});
    TINY_NODE(graph, "Reshape", {"r", "target"}, {"z"});
    tiny_output(graph, "z");
    tiny_finish(graph, prepared);
    return graph;
}

static void shape_chains_are_computed_once_for_any_size(void **state)
{
    size_t blocks = mem_live_blocks();

    for (int prepared = 0; prepared < 2; prepared++) {
        struct graph *graph = chain_graph(prepared);
        struct session *session = tiny_session(graph);
        for (int64_t n = 1; n < 4; n++) {
            for (int64_t l = 0; l < 5; l++) {
                float x[3 * 2 * 4];
                for (int i = 0; i < 24; i++) {
                    x[i] = (float)(i - 7);
                }
                struct tensor in = {DTYPE_F32, SHAPE(n, 2, l), x};
                struct tensor out;
                struct err_note note = {0};
                if (session_run(session, &in, 1, &out, 1, &note) != ERR_NONE) {
                    fail_msg("n %d l %d: %s", (int)n, (int)l, note.text);
                }
                assert_true(shape_equal(&out.shape, &SHAPE(n, l, 3)));
                for (int64_t i = 0; i < n; i++) {
                    for (int64_t k = 0; k < l; k++) {
                        float a = x[i * 2 * l + k];
                        float b = x[i * 2 * l + l + k];
                        const float *y = (float *)out.data + i * 3 * l;
                        assert_true(y[k] == (a > 0 ? a : 0));
                        assert_true(y[l + k] == (b > 0 ? b : 0));
                        assert_true(y[2 * l + k] == (a + b > 0 ? a + b : 0));
                    }
                }
                /* Again: only what depends on data runs, and nothing is allocated. */
                tiny_calls = 0;
                mem_fail_at(0);
                enum err err = session_run(session, &in, 1, &out, 1, NULL);
                mem_fail_at(-1);
                assert_int_equal(err, ERR_NONE);
                assert_int_equal(tiny_calls, prepared ? 2 : 3);
            }
        }
        session_free(session);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void an_input_that_decides_a_shape_is_part_of_the_key(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = tiny_graph();

    tiny_input(graph, "x", DTYPE_F32, (struct shape){.rank = -1});
    tiny_input(graph, "target", DTYPE_I64, SHAPE(-1));
    TINY_NODE(graph, "Identity", {"target"}, {"same"});
    TINY_NODE(graph, "Reshape", {"x", "same"}, {"y"});
    tiny_output(graph, "y");
    tiny_output(graph, "same");
    tiny_finish(graph, false);

    struct session *session = tiny_session(graph);
    float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    int64_t target[2] = {3, 4};
    struct tensor in[2] = {{DTYPE_F32, SHAPE(12), x}, {DTYPE_I64, SHAPE(2), target}};
    struct tensor out[2];
    assert_int_equal(session_run(session, in, 2, out, 2, NULL), ERR_NONE);
    assert_true(shape_equal(&out[0].shape, &SHAPE(3, 4)));
    assert_int_equal(((int64_t *)out[1].data)[1], 4);
    target[0] = 2;
    target[1] = 6;
    assert_int_equal(session_run(session, in, 2, out, 2, NULL), ERR_NONE);
    assert_true(shape_equal(&out[0].shape, &SHAPE(2, 6)));
    assert_int_equal(((int64_t *)out[1].data)[1], 6);
    /* The same values from another place are the same plan. */
    int64_t again[2] = {2, 6};
    in[1].data = again;
    mem_fail_at(0);
    enum err err = session_run(session, in, 2, out, 2, NULL);
    mem_fail_at(-1);
    assert_int_equal(err, ERR_NONE);
    assert_true(((float *)out[0].data)[11] == 12);
    session_free(session);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void a_shape_that_depends_on_an_image_is_refused(void **state)
{
    struct graph *graph = tiny_graph();
    static int64_t big[1025];

    tiny_input(graph, "image", DTYPE_I64, SHAPE(-1));
    (void)tiny_constant(graph, "zero", DTYPE_I64, SHAPE(1), (int64_t[]){0});
    TINY_NODE(graph, "Gather", {"image", "zero"}, {"rows"});
    TINY_NODE(graph, "Zeros", {"rows"}, {"y"});
    tiny_output(graph, "y");
    tiny_finish(graph, true);
    struct session *session = tiny_session(graph);
    struct tensor in = {DTYPE_I64, SHAPE(1024), big};
    struct tensor out;
    struct err_note note = {0};
    big[0] = 7;
    assert_int_equal(session_run(session, &in, 1, &out, 1, &note), ERR_NONE);
    assert_true(shape_equal(&out.shape, &SHAPE(7)));
    in.shape.dim[0] = 1025;
    assert_int_equal(session_run(session, &in, 1, &out, 1, &note), ERR_UNSUPPORTED);
    assert_string_equal(note.text, "node 1 'y' (Zeros): a shape here depends on the data of input 'image' with 1025 "
                                   "elements; at most 1024 may decide a shape");
    session_free(session);
    graph_free(graph);
}

static void inputs_that_do_not_fit_are_refused_in_words(void **state)
{
    float x[64] = {0};
    static const struct {
        enum dtype type;
        struct shape shape;
        bool no_data;
        int n_inputs;
        enum err err;
        const char *text;
    } rows[] = {
        {DTYPE_F32, {3, {1, 2, 4}}, false, 1, ERR_NONE, ""},
        {DTYPE_F32, {3, {3, 2, 4}}, false, 1, ERR_NONE, ""}, /* the batch is free */
        {DTYPE_F32, {3, {1, 2, 4}}, false, 2, ERR_MISUSE, "2 inputs and 1 outputs are given, the graph has 1 and 1"},
        {DTYPE_I64, {3, {1, 2, 4}}, false, 1, ERR_MISUSE, "input 'x' is int64, the graph takes float"},
        {DTYPE_F32, {2, {1, 2}}, false, 1, ERR_MISUSE, "input 'x' has 2 dimensions, the graph takes 3"},
        {DTYPE_F32, {3, {1, 5, 4}}, false, 1, ERR_FORMAT, "input 'x' is [1, 5, 4], the graph takes [1, 2, -1]"},
        {DTYPE_F32, {3, {1, 2, 4}}, true, 1, ERR_MISUSE, "input 'x' has no data"},
        {DTYPE_F32, {3, {1, -2, 4}}, false, 1, ERR_MISUSE, "input 'x' has no valid shape"},
        {DTYPE_F32, {9, {1, 2, 4}}, false, 1, ERR_MISUSE, "input 'x' has no valid shape"},
        {DTYPE_F32, {3, {INT64_MAX, 2, 4}}, false, 1, ERR_MISUSE, "input 'x' has no valid shape"},
    };
    struct graph *graph = chain_graph(true);
    struct session *session = tiny_session(graph);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor in[2] = {{rows[i].type, rows[i].shape, rows[i].no_data ? NULL : x}};
        struct tensor out = {.type = DTYPE_COUNT};
        struct err_note note = {0};
        in[1] = in[0];
        enum err err = session_run(session, in, rows[i].n_inputs, &out, 1, &note);
        if (err != rows[i].err || strcmp(note.text, rows[i].text) != 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
        assert_int_equal(out.type, err == ERR_NONE ? DTYPE_F32 : DTYPE_COUNT);
    }
    session_free(session);
    graph_free(graph);
}

static void a_shape_rule_names_its_node(void **state)
{
    struct graph *graph = tiny_graph();
    float data[6] = {0};

    tiny_input(graph, "x", DTYPE_F32, (struct shape){.rank = -1});
    tiny_input(graph, "y", DTYPE_F32, (struct shape){.rank = -1});
    TINY_NODE(graph, "Add", {"x", "y"}, {"z"});
    TINY_NODE(graph, "PlainConv", {"z", "y"}, {"c"});
    tiny_output(graph, "c");
    tiny_finish(graph, true);
    struct session *session = tiny_session(graph);
    struct tensor in[2] = {{DTYPE_F32, SHAPE(2), data}, {DTYPE_F32, SHAPE(3), data}};
    struct tensor out;
    struct err_note note = {0};
    assert_int_equal(session_run(session, in, 2, &out, 1, &note), ERR_FORMAT);
    assert_string_equal(note.text, "node 0 'z' (Add): 2 and 3 do not broadcast");
    in[0].shape.dim[0] = 3;
    memset(&note, 0, sizeof note);
    assert_int_equal(session_run(session, in, 2, &out, 1, &note), ERR_UNSUPPORTED);
    assert_string_equal(note.text, "node 1 'c' (PlainConv): its input has 1 dimensions, where 3 to 3 are supported");
    session_free(session);
    graph_free(graph);
}

static void data_that_cannot_be_computed_names_its_node(void **state)
{
    struct graph *graph = tiny_graph();

    tiny_input(graph, "row", DTYPE_I64, SHAPE(-1));
    tiny_input(graph, "index", DTYPE_I64, SHAPE(1));
    TINY_NODE(graph, "Gather", {"row", "index"}, {"y"});
    tiny_output(graph, "y");
    tiny_finish(graph, true);
    struct session *session = tiny_session(graph);
    int64_t row[2] = {4, 5};
    int64_t index = 1;
    struct tensor in[2] = {{DTYPE_I64, SHAPE(2), row}, {DTYPE_I64, SHAPE(1), &index}};
    struct tensor out;
    struct err_note note = {0};
    assert_int_equal(session_run(session, in, 2, &out, 1, &note), ERR_NONE);
    assert_int_equal(((int64_t *)out.data)[0], 5);
    index = 2;
    assert_int_equal(session_run(session, in, 2, &out, 1, &note), ERR_FORMAT);
    assert_string_equal(note.text, "node 0 'y' (Gather): its data cannot be computed (format)");
    index = 0;
    assert_int_equal(session_run(session, in, 2, &out, 1, NULL), ERR_NONE); /* the session lives on */
    assert_int_equal(((int64_t *)out.data)[0], 4);
    session_free(session);
    graph_free(graph);
}

/* A long chain of Relu: two activations at a time are enough for any length. */
static struct graph *relu_chain(int length)
{
    struct graph *graph = tiny_graph();
    char from[16];
    char to[16];

    tiny_input(graph, "v0", DTYPE_F32, SHAPE(-1));
    for (int i = 0; i < length; i++) {
        (void)snprintf(from, sizeof from, "v%d", i);
        (void)snprintf(to, sizeof to, "v%d", i + 1);
        TINY_NODE(graph, "Relu", {from}, {to});
    }
    tiny_output(graph, to);
    tiny_finish(graph, false);
    return graph;
}

static void memory_is_shared_unless_everything_is_kept(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = relu_chain(20);
    float x[1000];

    for (int i = 0; i < 1000; i++) {
        x[i] = (float)(i - 500);
    }
    for (int keep = 0; keep < 2; keep++) {
        struct session_options options = {.keep_all = keep};
        struct session *session;
        assert_int_equal(session_new(graph, &options, &session), ERR_NONE);
        assert_int_equal(session_peak_bytes(session), 0);
        struct tensor in = {DTYPE_F32, SHAPE(1000), x};
        struct tensor out;
        assert_int_equal(session_run(session, &in, 1, &out, 1, NULL), ERR_NONE);
        assert_true(((float *)out.data)[0] == 0 && ((float *)out.data)[999] == 499);
        assert_int_equal(session_peak_bytes(session), (keep ? 20 : 2) * 4032);
        if (keep) {
            for (value_id id = 0; id < graph_value_count(graph); id++) {
                const struct tensor *value = session_value(session, id);
                assert_non_null(value);
                assert_true(((float *)value->data)[999] == 499);
                assert_true(((float *)value->data)[0] == (id == 0 ? -500 : 0));
            }
        }
        session_free(session);
    }
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void the_memory_limit_is_kept(void **state)
{
    size_t blocks = mem_live_blocks();
    struct graph *graph = relu_chain(3);
    struct session *session;
    static float x[100000];

    assert_int_equal(session_new(graph, &(struct session_options){.memory_limit = 100000}, &session), ERR_NONE);
    static const struct {
        int64_t n;
        enum err err;
        const char *text;
    } rows[] = {
        {12496, ERR_NONE, ""},
        {12500, ERR_LIMIT, "running needs 100096 bytes for activations and scratch, the limit is 100000"},
        {25001, ERR_LIMIT, "node 0 'v1' (Relu): its output of shape [25001] is larger than the limit of 100000 bytes"},
        {100, ERR_NONE, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tensor in = {DTYPE_F32, SHAPE(rows[i].n), x};
        struct tensor out;
        struct err_note note = {0};
        enum err err = session_run(session, &in, 1, &out, 1, &note);
        if (err != rows[i].err || strcmp(note.text, rows[i].text) != 0) {
            fail_msg("row %zu: %s: %s", i, err_word(err), note.text);
        }
    }
    session_free(session);
    graph_free(graph);
    assert_int_equal(mem_live_blocks(), blocks);
}

static void every_failed_allocation_is_survived(void **state)
{
    size_t blocks = mem_live_blocks();
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct tensor in = {DTYPE_F32, SHAPE(1, 2, 4), x};
    struct tensor out;
    enum err err = ERR_NOMEM;

    for (long n = 0; err != ERR_NONE; n++) {
        struct session *session = NULL;
        struct graph *graph = chain_graph(true);
        mem_fail_at(n);
        err = session_new(graph, NULL, &session);
        if (err == ERR_NONE) {
            err = session_run(session, &in, 1, &out, 1, NULL);
        }
        mem_fail_at(-1);
        if (err != ERR_NONE && (err != ERR_NOMEM || n > 50)) {
            fail_msg("allocation %ld: %s", n, err_word(err));
        }
        if (session != NULL && err != ERR_NONE) {
            assert_int_equal(session_run(session, &in, 1, &out, 1, NULL), ERR_NONE);
            assert_true(((float *)out.data)[0] == 1);
        }
        session_free(session);
        graph_free(graph);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

static void scalars_and_unnamed_outputs_work(void **state)
{
    struct graph *graph = tiny_graph();
    float x = -3;

    tiny_input(graph, "x", DTYPE_F32, (struct shape){.rank = 0});
    TINY_NODE(graph, "Dropout", {"x"}, {"", "mask"});
    TINY_NODE(graph, "Relu", {"x"}, {"y"});
    TINY_NODE(graph, "Identity", {"x"}, {"copy"});
    tiny_output(graph, "y");
    tiny_output(graph, "mask");
    tiny_output(graph, "copy");
    tiny_output(graph, "x");
    tiny_finish(graph, true);
    struct session *session = tiny_session(graph);
    struct tensor in = {DTYPE_F32, {.rank = 0}, &x};
    struct tensor out[4];
    for (int again = 0; again < 2; again++) {
        assert_int_equal(session_run(session, &in, 1, out, 4, NULL), ERR_NONE);
        assert_int_equal(out[0].shape.rank, 0);
        assert_true(((float *)out[0].data)[0] == (x > 0 ? x : 0));
        assert_int_equal(((uint8_t *)out[1].data)[0], 1);
        assert_true(((float *)out[2].data)[0] == x);
        assert_true(((float *)out[3].data)[0] == x);
        assert_ptr_not_equal(out[2].data, &x); /* outputs are the session's memory */
        assert_ptr_not_equal(out[3].data, &x);
        x = 5;
    }
    session_free(session);
    graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_chains_are_computed_once_for_any_size),
        cmocka_unit_test(an_input_that_decides_a_shape_is_part_of_the_key),
        cmocka_unit_test(a_shape_that_depends_on_an_image_is_refused),
        cmocka_unit_test(inputs_that_do_not_fit_are_refused_in_words),
        cmocka_unit_test(a_shape_rule_names_its_node),
        cmocka_unit_test(data_that_cannot_be_computed_names_its_node),
        cmocka_unit_test(memory_is_shared_unless_everything_is_kept),
        cmocka_unit_test(the_memory_limit_is_kept),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(scalars_and_unnamed_outputs_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
