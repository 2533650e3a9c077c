/*
 * test_pass.c: graph_prepare changes what runs, never the result; which nodes it folds and fuses, and which it must not.
 */
#include "tiny_graph.h"

/* A graph of up to eight nodes over input x; weights are made by name: w* [3, 3, 1], g* [3, 3], b* [3], p* positive [3],
 * slope [3, 1], row [3], one [1], low and high scalars. */
struct row {
    struct tiny_node nodes[8];
    const char *outputs[3];
    int rank;        /* of x: [n, 3, l] or [n, 3] */
    int nodes_left;  /* after graph_prepare */
    int fused_calls; /* forwards with an epilogue in one run */
    int opset;       /* 0: 11 */
};

#define NORM(from, to)                                        \
    {                                                         \
        "BatchNormalization", {from, "p1", "b1", "b2", "p2"}, \
        {                                                     \
            to                                                \
        }                                                     \
    }

static const struct row rows[] = {
    /* BatchNorm folds into Conv and Gemm, with and without bias, and twice */
    {{{"Conv", {"x", "w1"}, {"a"}}, NORM("a", "y")}, {"y"}, 3, 1, 0, 0},
    {{{"Conv", {"x", "w1", "b3"}, {"a"}}, NORM("a", "y")}, {"y"}, 3, 1, 0, 0},
    {{{"PlainConv", {"x", "w1", "b3"}, {"a"}}, NORM("a", "b"), NORM("b", "y")}, {"y"}, 3, 1, 0, 0},
    {{{"Gemm", {"x", "g1"}, {"a"}}, NORM("a", "y")}, {"y"}, 2, 1, 0, 0},
    {{{"Gemm", {"x", "g1", "b3"}, {"a"}}, NORM("a", "y")}, {"y"}, 2, 1, 0, 0},
    {{{"Gemm", {"x", "g1", "one"}, {"a"}}, NORM("a", "y")}, {"y"}, 2, 1, 0, 0},
    /* ... also where two convolutions share their weights, or one is read plainly elsewhere */
    {{{"Conv", {"x", "w1"}, {"a"}}, NORM("a", "b"), {"Conv", {"b", "w1"}, {"c"}}, NORM("c", "y")}, {"y"}, 3, 2, 0, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, NORM("a", "b"), {"Conv", {"b", "w1"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    /* ... but not where somebody else reads the convolution, and never before one */
    {{{"Conv", {"x", "w1"}, {"a"}}, NORM("a", "y")}, {"y", "a"}, 3, 2, 0, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, NORM("a", "b"), {"Add", {"a", "b"}, {"y"}}}, {"y"}, 3, 3, 0, 0},
    {{NORM("x", "a"), {"Conv", {"a", "w1"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    /* activations */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Relu", {"a"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"LeakyRelu", {"a"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Clip", {"a", "low", "high"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Clip", {"a", "", "high"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1", "b1"}, {"a"}}, {"PRelu", {"a", "slope"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"PRelu", {"a", "one"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Gemm", {"x", "g1"}, {"a"}}, {"PRelu", {"a", "row"}, {"y"}}}, {"y"}, 2, 1, 1, 0},
    {{{"Gemm", {"x", "g1", "b1"}, {"a"}}, NORM("a", "b"), {"Relu", {"b"}, {"y"}}}, {"y"}, 2, 1, 1, 0},
    /* a slope of one dimension broadcasts along the last one: not per channel behind a convolution */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"PRelu", {"a", "row"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    {{{"PlainConv", {"x", "w1"}, {"a"}}, {"Relu", {"a"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Relu", {"a"}, {"y"}}}, {"y", "a"}, 3, 2, 0, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"PRelu", {"x", "slope"}, {"b"}}, {"Add", {"a", "b"}, {"y"}}}, {"y"}, 3, 2, 1, 0},
    /* residuals */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Add", {"a", "x"}, {"b"}}, {"Relu", {"b"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Add", {"x", "a"}, {"y"}}}, {"y"}, 3, 1, 1, 0},
    {{{"Conv", {"x", "w1", "b2"}, {"a"}}, NORM("a", "b"), {"Add", {"b", "x"}, {"c"}}, {"PRelu", {"c", "slope"}, {"y"}}},
     {"y"},
     3,
     1,
     1,
     0},
    /* ... of two products the later one takes it */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Conv", {"x", "w2"}, {"b"}}, {"Add", {"a", "b"}, {"c"}}, {"Relu", {"c"}, {"y"}}},
     {"y"},
     3,
     2,
     1,
     0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Conv", {"a", "w2"}, {"b"}}, {"Add", {"b", "a"}, {"y"}}}, {"y"}, 3, 2, 1, 0},
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Add", {"a", "a"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    /* ... a constant is none */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Add", {"a", "slope"}, {"y"}}}, {"y"}, 3, 2, 0, 0},
    /* ... one that broadcasts is fused by guess, and runs plainly */
    {{{"Conv", {"x", "w1"}, {"a"}}, {"Add", {"a", "small"}, {"b"}}, {"Relu", {"b"}, {"y"}}}, {"y"}, 3, 1, 0, 0},
    {{{"Conv", {"small", "w1"}, {"a"}}, {"Add", {"a", "x"}, {"b"}}, {"Relu", {"b"}, {"y"}}}, {"y"}, 3, 1, 0, 0},
    /* identities go, constants fold */
    {{{"Identity", {"x"}, {"a"}}, {"Dropout", {"a"}, {"b"}}, {"Relu", {"b"}, {"c"}}, {"Identity", {"c"}, {"y"}}},
     {"y"},
     3,
     1,
     0,
     0},
    {{{"Identity", {"x"}, {"y"}}, {"Relu", {"y"}, {"z"}}}, {"y", "z"}, 3, 2, 0, 0},
    {{{"Dropout", {"x"}, {"a", "mask"}}, {"Relu", {"a"}, {"y"}}}, {"y", "mask"}, 3, 2, 0, 0},
    {{{"Identity", {"w1"}, {"w"}}, {"Conv", {"x", "w"}, {"y"}}}, {"y"}, 3, 1, 0, 0},
    {{{"Add", {"b1", "b2"}, {"a"}},
      {"Relu", {"a"}, {"b"}},
      {"Add", {"b", "one"}, {"c"}},
      {"Conv", {"x", "w1", "c"}, {"y"}}},
     {"y"},
     3,
     1,
     0,
     0},
    {{{"Add", {"b1", "b2"}, {"y"}}}, {"y"}, 3, 0, 0, 0},
};

static struct graph *build(const struct row *row, bool prepared)
{
    struct graph *graph = tiny_graph();
    struct random random = random_seeded(3, 0);

    tiny_input(graph, "x", DTYPE_F32, row->rank == 3 ? SHAPE(-1, 3, -1) : SHAPE(-1, 3));
    tiny_input(graph, "small", DTYPE_F32, SHAPE(1, 3, 1));
    tiny_random(graph, "w1", SHAPE(3, 3, 1), &random, false);
    tiny_random(graph, "w2", SHAPE(3, 3, 1), &random, false);
    tiny_random(graph, "g1", SHAPE(3, 3), &random, false);
    tiny_random(graph, "b1", SHAPE(3), &random, false);
    tiny_random(graph, "b2", SHAPE(3), &random, false);
    tiny_random(graph, "b3", SHAPE(3), &random, false);
    tiny_random(graph, "p1", SHAPE(3), &random, true);
    tiny_random(graph, "p2", SHAPE(3), &random, true);
    tiny_random(graph, "slope", SHAPE(3, 1), &random, false);
    tiny_random(graph, "row", SHAPE(3), &random, false);
    tiny_random(graph, "one", SHAPE(1), &random, false);
    (void)tiny_constant(graph, "low", DTYPE_F32, (struct shape){.rank = 0}, &(float){-0.1F});
    (void)tiny_constant(graph, "high", DTYPE_F32, (struct shape){.rank = 0}, &(float){0.2F});
    for (int k = 0; k < 8 && row->nodes[k].op != NULL; k++) {
        assert_int_equal(tiny_add(graph, &row->nodes[k], NULL), ERR_NONE);
    }
    for (int k = 0; k < 3 && row->outputs[k] != NULL; k++) {
        tiny_output(graph, row->outputs[k]);
    }
    tiny_finish(graph, prepared);
    return graph;
}

static void check_outputs(const struct tensor *a, const struct tensor *b, size_t row, int output)
{
    if (a->type != b->type || !shape_equal(&a->shape, &b->shape)) {
        fail_msg("row %zu output %d: shapes differ", row, output);
    }
    for (int64_t i = 0; a->type == DTYPE_F32 && i < shape_elements(&a->shape); i++) {
        float x = ((const float *)a->data)[i];
        float y = ((const float *)b->data)[i];
        if (!(fabsf(x - y) <= 2e-6F * (1 + fabsf(x)))) {
            fail_msg("row %zu output %d[%d]: %.9g as written, %.9g prepared", row, output, (int)i, (double)x,
                     (double)y);
        }
    }
}

static void prepared_graphs_give_the_same_results(void **state)
{
    size_t blocks = mem_live_blocks();
    struct random random = random_seeded(5, 0);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct graph *written = build(&rows[i], false);
        struct graph *prepared = build(&rows[i], true);
        if (graph_node_count(prepared) != rows[i].nodes_left) {
            fail_msg("row %zu: %d nodes are left", i, graph_node_count(prepared));
        }
        struct session *first = tiny_session(written);
        struct session *second = tiny_session(prepared);
        int n_outputs = graph_output_count(written);
        for (int64_t n = 1; n < 4; n++) {
            int64_t l = rows[i].rank == 3 ? 3 : 1;
            float x[3 * 3 * 3];
            float small[3];
            for (int k = 0; k < 27; k++) {
                x[k] = (float)random_normal(&random);
            }
            for (int k = 0; k < 3; k++) {
                small[k] = (float)random_normal(&random);
            }
            struct tensor in[2] = {{DTYPE_F32, rows[i].rank == 3 ? SHAPE(n, 3, l) : SHAPE(n, 3), x},
                                   {DTYPE_F32, SHAPE(1, 3, 1), small}};
            struct tensor a[3];
            struct tensor b[3];
            struct err_note note = {0};
            enum err err = session_run(first, in, 2, a, n_outputs, &note);
            tiny_fused_calls = 0;
            if (err == ERR_NONE) {
                err = session_run(second, in, 2, b, n_outputs, &note);
            }
            if (err != ERR_NONE) {
                fail_msg("row %zu: %s", i, note.text);
            }
            if (tiny_fused_calls != rows[i].fused_calls) {
                fail_msg("row %zu: %d fused calls", i, tiny_fused_calls);
            }
            for (int k = 0; k < n_outputs; k++) {
                check_outputs(&a[k], &b[k], i, k);
            }
        }
        session_free(first);
        session_free(second);
        graph_free(written);
        graph_free(prepared);
    }
    assert_int_equal(mem_live_blocks(), blocks);
}

/* Equal at one size and broadcast at another: the same prepared graph, fused or plain as the plan finds it. */
static void each_plan_decides_whether_a_residual_fits(void **state)
{
    const struct row row = {
        {{"Conv", {"small", "w1"}, {"a"}}, {"Add", {"a", "x"}, {"b"}}, {"Relu", {"b"}, {"y"}}}, {"y"}, 3, 1, 0, 0};
    struct graph *graph = build(&row, true);
    struct session *session = tiny_session(graph);
    float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    float small[3] = {0, 0, 0};

    for (int round = 0; round < 6; round++) {
        bool equal = round % 2 == 0;
        struct tensor in[2] = {{DTYPE_F32, SHAPE(1, 3, equal ? 1 : 4), x}, {DTYPE_F32, SHAPE(1, 3, 1), small}};
        struct tensor out;
        tiny_fused_calls = 0;
        assert_int_equal(session_run(session, in, 2, &out, 1, NULL), ERR_NONE);
        assert_int_equal(tiny_fused_calls, equal);
        assert_true(shape_equal(&out.shape, &in[0].shape));
        assert_memory_equal(out.data, x, tensor_bytes(&out));
    }
    session_free(session);
    graph_free(graph);
}

/* transB and beta come from the node's attributes. */
static void batch_norm_folds_into_a_transposed_product(void **state)
{
    const struct attr list[] = {{.name = "transB", .kind = ATTR_INT, .i = 1},
                                {.name = "beta", .kind = ATTR_FLOAT, .f = 0.5F}};
    const struct attrs attrs = {list, 2};
    float result[2][2];

    for (int prepared = 0; prepared < 2; prepared++) {
        struct graph *graph = tiny_graph();
        tiny_input(graph, "x", DTYPE_F32, SHAPE(-1, 3));
        (void)tiny_constant(graph, "g", DTYPE_F32, SHAPE(2, 3), (float[]){1, 2, 3, 4, 5, 6});
        (void)tiny_constant(graph, "c", DTYPE_F32, SHAPE(1, 2), (float[]){7, 8});
        (void)tiny_constant(graph, "scale", DTYPE_F32, SHAPE(2), (float[]){2, 3});
        (void)tiny_constant(graph, "shift", DTYPE_F32, SHAPE(2), (float[]){4, 5});
        (void)tiny_constant(graph, "mean", DTYPE_F32, SHAPE(2), (float[]){6, 7});
        (void)tiny_constant(graph, "var", DTYPE_F32, SHAPE(2), (float[]){4, 9});
        value_id in[3] = {tiny_value(graph, "x"), tiny_value(graph, "g"), tiny_value(graph, "c")};
        value_id out = tiny_value(graph, "a");
        assert_int_equal(graph_add_node(graph, "", "Gemm", "", &attrs, in, 3, &out, 1, NULL), ERR_NONE);
        TINY_NODE(graph, "BatchNormalization", {"a", "scale", "shift", "mean", "var"}, {"y"});
        tiny_output(graph, "y");
        tiny_finish(graph, prepared);
        assert_int_equal(graph_node_count(graph), prepared ? 1 : 2);
        struct session *session = tiny_session(graph);
        float x[3] = {1, -1, 2};
        struct tensor input = {DTYPE_F32, SHAPE(1, 3), x};
        struct tensor output;
        assert_int_equal(session_run(session, &input, 1, &output, 1, NULL), ERR_NONE);
        memcpy(result[prepared], output.data, sizeof result[0]);
        session_free(session);
        graph_free(graph);
    }
    /* (1 - 2 + 6 + 3.5 - 6) / 2 × 2 + 4 and (4 - 5 + 12 + 4 - 7) / 3 × 3 + 5 */
    assert_float_equal(result[0][0], 6.5, 1e-4);
    assert_float_equal(result[0][1], 13, 1e-4);
    assert_float_equal(result[1][0], result[0][0], 1e-5);
    assert_float_equal(result[1][1], result[0][1], 1e-5);
}

/* A few bytes that describe megabytes stay a node: the session's limit decides about them. */
static void a_huge_result_is_not_folded(void **state)
{
    size_t before = mem_live_bytes();
    struct graph *graph = tiny_graph();

    tiny_input(graph, "x", DTYPE_F32, SHAPE(1));
    (void)tiny_constant(graph, "rows", DTYPE_I64, SHAPE(1), (int64_t[]){(int64_t)1 << 40});
    TINY_NODE(graph, "Zeros", {"rows"}, {"huge"});
    TINY_NODE(graph, "Add", {"x", "huge"}, {"y"});
    tiny_output(graph, "y");
    tiny_finish(graph, true);
    assert_int_equal(graph_node_count(graph), 2);
    assert_true(mem_live_bytes() - before < (size_t)1 << 20);
    struct session *session = tiny_session(graph);
    float x = 1;
    struct tensor in = {DTYPE_F32, SHAPE(1), &x};
    struct tensor out;
    struct err_note note = {0};
    assert_int_equal(session_run(session, &in, 1, &out, 1, &note), ERR_LIMIT);
    assert_string_equal(note.text, "node 0 'huge' (Zeros): its output of shape [1099511627776] is larger than the "
                                   "limit of 2147483648 bytes");
    session_free(session);
    graph_free(graph);
}

static void a_constant_that_cannot_be_computed_is_an_error(void **state)
{
    struct graph *graph = tiny_graph();
    struct err_note note = {0};

    (void)tiny_constant(graph, "row", DTYPE_I64, SHAPE(2), (int64_t[]){1, 2});
    (void)tiny_constant(graph, "beyond", DTYPE_I64, SHAPE(1), (int64_t[]){9});
    TINY_NODE(graph, "Gather", {"row", "beyond"}, {"y"});
    tiny_output(graph, "y");
    assert_int_equal(graph_finish(graph, NULL), ERR_NONE);
    assert_int_equal(graph_prepare(graph, &note), ERR_FORMAT);
    assert_string_equal(note.text, "node 0 'y' (Gather): its data cannot be computed (format)");
    graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepared_graphs_give_the_same_results),
        cmocka_unit_test(each_plan_decides_whether_a_residual_fits),
        cmocka_unit_test(batch_norm_folds_into_a_transposed_product),
        cmocka_unit_test(a_huge_result_is_not_folded),
        cmocka_unit_test(a_constant_that_cannot_be_computed_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
